//! What follows from a proposal alone, and from the reviewer's own files beside it. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256, keccak256};
use jiff::Timestamp;
use serde_json::Value;

use crate::chain::{
    Call,
    timelock::{TimelockInfo, TimelockRoles},
};
use crate::code::Code;
use crate::compose::{Changes, FieldChange, Manifest, NamedImage, Unlisted, Verification};
use crate::safe::{
    OwnerSignature,
    approvals::{Doubt, Facts},
    decode::decode,
    deployments::{self, Identity},
    effects::besides,
    info::{SafeInfo, Trust},
};
use crate::upgrade::{
    Accepted, Origin, Stop, UpgradeError,
    checks::{
        consent::{decisions, effects_of},
        timelock::TimelockFound,
    },
    finding::Verdict,
    model::remarks::safe_remarks,
    model::{Proposal, SafeApproval, SignedSafeTx},
    record::State,
    review::{
        model::{
            Agreement, AppNow, Asked, CallShown, ExecutionCall, HashCheck, Image, ImageChange, LocalCheck, NestedNow,
            Owner, Review, SafeNow, Singleton, TimelockNow, Transaction, Trial, Turn,
        },
        problem::{Problem, Question},
    },
};

/// Everything that needs no chain; what the chain would say is as it was when the update was prepared.
pub(super) fn review(
    proposal: &Proposal,
    ceremony: Option<&SafeApproval>,
    question: &Question,
    trust: &Trust,
) -> Result<Review, UpgradeError> {
    let plan = &proposal.plan;
    let signed_tx = ceremony.map(|ceremony| ceremony.signed_tx(question.rejects));
    if signed_tx.is_none() && question.rejects {
        return Err(UpgradeError::decide(
            Code::NoSafe,
            format!(
                "there is no Safe transaction to reject: the owner of the app is {}",
                plan.app_state.owner
            ),
        ));
    }
    let code = proposal.code();
    let mut review = Review {
        asked: asked(proposal),
        images: code
            .map(|(code, after, _)| images(&code.manifest, after))
            .unwrap_or_default(),
        unlisted: unlisted(proposal),
        changes: code.map(|(code, ..)| code.changes.clone()).unwrap_or_default(),
        uncovered: code.map(|(code, ..)| code.uncovered()).unwrap_or_default(),
        compose_hash: code.map(|(code, after, (hash, verified))| HashCheck {
            before: code.current_hash,
            after: *hash,
            verified: verified.clone(),
            local: question.local.as_ref().and_then(|local| compare(proposal, local)),
            launch_script: after.launch_script(),
        }),
        others: Vec::new(),
        transaction: transaction(proposal, ceremony, question.rejects),
        app: AppNow {
            now: false,
            state: plan.app_state.clone(),
        },
        safe: None,
        timelock: timelock(proposal),
        hashes: signed_tx.map(|signed_tx| signed_tx.tx.digests()),
        nested: ceremony.filter(|_| !question.rejects).map(nested).unwrap_or_default(),
        execution: None,
        simulation: Trial::NotAsked {
            why: "no chain was asked".to_owned(),
        },
        found: None,
        warnings: plan.warnings.clone(),
        unchecked: Vec::new(),
        problems: Vec::new(),
        verdict: Verdict::default(),
        whole: Vec::new(),
    };
    if let (Some(signed_tx), Some(pinned)) = (signed_tx, &plan.safe) {
        review.show_pinned(pinned, signed_tx, trust);
    }
    review.judge_files(proposal);
    review.judge_calls(proposal);
    review.show_others(proposal, question, trust)?;
    Ok(review)
}

/// What the owners of owners sign.
fn nested(ceremony: &SafeApproval) -> Vec<NestedNow> {
    let all = ceremony.nested.iter();
    all.map(|(child, (safe, signed_tx))| {
        let signed: BTreeSet<Address> = signed_tx.signatures.proven().collect();
        let missing = safe.owners.iter().filter(|owner| !signed.contains(*owner));
        NestedNow {
            safe: *child,
            approves: ceremony.hash(),
            nonce: signed_tx.tx.fields().nonce,
            turn: None,
            hashes: signed_tx.tx.digests(),
            threshold: safe.threshold,
            signed_by: signed.iter().copied().collect(),
            missing: missing.copied().collect(),
        }
    })
    .collect()
}

fn asked(proposal: &Proposal) -> Asked {
    let plan = &proposal.plan;
    let new = plan.code.as_ref().filter(|code| code.target.is_new());
    Asked {
        update: proposal.update.clone(),
        cvm: plan.code.as_ref().map(|code| code.cvm.clone()),
        cvm_name: plan.code.as_ref().and_then(|code| code.cvm_name.clone()),
        target: new.map(|code| code.target.clone()),
        cvm_uuid: plan.code.as_ref().and_then(|code| code.cvm_uuid.clone()),
        device: plan.code.as_ref().and_then(|code| code.device),
        os_image: plan.code.as_ref().and_then(|code| code.os_image),
        without_token: plan.code.as_ref().is_some_and(|code| code.confirm),
        app: plan.app,
        chain_id: plan.chain_id,
        kms: plan.kms,
        cloud: proposal.cloud.clone(),
        prepared_at: proposal.prepared_at,
        token_expires: proposal.token_expires,
        token_expired: proposal
            .token_expires
            .is_some_and(|expires| expires <= Timestamp::now()),
        route: plan.route.clone(),
    }
}

fn timelock(proposal: &Proposal) -> Option<TimelockNow> {
    let (section, plan) = (proposal.timelock.as_ref()?, proposal.plan.timelock.as_ref()?);
    let mut shown = TimelockNow {
        now: false,
        address: plan.info.address,
        proposer: plan.proposer,
        id: section.id,
        delay: section.delay,
        state: None,
        waiting: None,
        code_hash: plan.info.code_hash,
        release: None,
        min_delay: 0,
        open_executor: false,
        proposers: Vec::new(),
        cancellers: Vec::new(),
        admins: Vec::new(),
    };
    shown.take(&plan.info, &plan.roles);
    Some(shown)
}

impl TimelockNow {
    /// What was read of the contract.
    fn take(&mut self, info: &TimelockInfo, roles: &TimelockRoles) {
        self.code_hash = info.code_hash;
        self.release = info.known_release();
        self.min_delay = info.min_delay;
        self.open_executor = info.open_executor;
        self.proposers.clone_from(&roles.proposers);
        self.cancellers.clone_from(&roles.cancellers);
        self.admins = roles
            .admins
            .iter()
            .filter(|admin| **admin != info.address)
            .copied()
            .collect();
    }

    /// What was read for this review.
    pub(super) fn take_found(&mut self, found: &TimelockFound) {
        self.now = true;
        self.take(&found.info, &found.roles);
        let others = found.waiting.operations.iter().filter(|one| one.id != self.id);
        self.waiting = Some(others.count());
    }
}

/// What runs after the change besides the images.
fn unlisted(proposal: &Proposal) -> Vec<Unlisted> {
    proposal
        .code()
        .map(|(_, after, _)| after.image_list().unlisted)
        .unwrap_or_default()
}

/// Images that come, go and stay; those with a digest first.
pub(super) fn images(before: &Manifest, after: &Manifest) -> Vec<Image> {
    let (before, after) = (before.image_list().images, after.image_list().images);
    let names = |list: &[NamedImage]| -> BTreeSet<String> { list.iter().map(|image| image.name.clone()).collect() };
    let (was, is) = (names(&before), names(&after));
    let gone = before.into_iter().filter(|image| !is.contains(&image.name));
    let gone = gone.map(|image| shown(image, ImageChange::Gone));
    let there = after.into_iter().map(|image| {
        let change = match was.contains(&image.name) {
            true => ImageChange::Kept,
            false => ImageChange::New,
        };
        shown(image, change)
    });
    let mut all: Vec<Image> = gone.chain(there).collect();
    all.sort_by_key(|image| (image.change, image.digest.is_none()));
    all
}

fn shown(image: NamedImage, change: ImageChange) -> Image {
    Image {
        digest: image.digest().map(str::to_owned),
        name: image.name,
        role: image.role,
        services: image.services,
        chosen_by: image.chosen_by,
        change,
    }
}

/// Whether two texts are the same but for CR before LF, as an editor or a checkout leaves them.
fn differs_by_line_ends(change: &FieldChange) -> bool {
    let text = |value: &Option<Value>| {
        let text = value.as_ref().and_then(Value::as_str);
        text.map(|text| text.replace("\r\n", "\n"))
    };
    text(&change.before).is_some_and(|before| text(&change.after) == Some(before))
}

/// The proposal's manifest beside the reviewer's own values.
pub(super) fn compare(proposal: &Proposal, local: &Changes) -> Option<LocalCheck> {
    let (code, after, (_, verified)) = proposal.code()?;
    let mine = after.with(local);
    let named: BTreeSet<String> = match serde_json::to_value(local) {
        Ok(Value::Object(fields)) => fields.into_iter().map(|(field, _)| field).collect(),
        _ => BTreeSet::new(),
    };
    let changing = code.changes.iter().map(|change| &change.field);
    let fields = after
        .fields()
        .filter(|field| !named.contains(*field))
        .map(str::to_owned);
    Some(LocalCheck {
        not_compared: fields.collect(),
        from_proposal: changing.filter(|field| !named.contains(*field)).cloned().collect(),
        compared: named.into_iter().collect(),
        differences: mine.diff(after),
        computed: match verified {
            Verification::Verified { form } => Some(mine.hash(*form)),
            Verification::Uncomputable | Verification::Mismatch { .. } => None,
        },
    })
}

fn transaction(proposal: &Proposal, ceremony: Option<&SafeApproval>, rejects: bool) -> Transaction {
    let signed_tx = ceremony.map(|ceremony| ceremony.signed_tx(rejects));
    let apps = proposal.addresses();
    let calls = match signed_tx {
        Some(signed_tx) => signed_tx.tx.calls().to_vec(),
        None => proposal.expected_calls(),
    };
    let effects = effects_of(proposal, signed_tx, ceremony);
    let shown = proposal.shown_hashes();
    let besides = besides(&effects, &shown).map(|effect| effect.sentence.clone());
    let fields = signed_tx.map(|signed_tx| signed_tx.tx.fields());
    Transaction {
        rejects,
        to: fields.map_or_else(
            || calls.first().map_or(proposal.app(), |call| call.to),
            |fields| fields.to,
        ),
        value: fields.map_or(U256::ZERO, |fields| fields.value),
        operation: fields.map_or(0, |fields| fields.operation.into()),
        besides: besides.collect(),
        decisions: decisions(&effects, &Accepted::default()),
        calls: calls.iter().map(|call| show(call, &apps)).collect(),
        effects,
    }
}

pub(super) fn show(call: &Call, apps: &[Address]) -> CallShown {
    CallShown {
        to: call.to,
        to_the_app: apps.contains(&call.to),
        value: call.value,
        data: call.data.clone(),
        decoded: decode(&call.data),
        digest: call.digest(),
        keccak256: keccak256(&call.data),
    }
}

/// A call in a line.
pub(super) fn told(call: &CallShown) -> String {
    match &call.decoded {
        Some(decoded) => decoded.to_string(),
        None => format!("an unknown call to {}", call.to),
    }
}

impl Turn {
    /// Where `nonce` stands when the Safe's next one is `next`.
    pub(super) fn of(nonce: U256, next: U256) -> Self {
        match nonce.cmp(&next) {
            std::cmp::Ordering::Less => Self::Used,
            std::cmp::Ordering::Equal => Self::Next,
            std::cmp::Ordering::Greater => Self::Queued,
        }
    }
}

/// A Safe, and one of its transactions.
pub(super) struct SafeShown<'a> {
    /// As it is; without a chain it is the one that was read before.
    pub(super) info: &'a SafeInfo,
    /// As it was read when the update was prepared.
    pub(super) pinned: &'a SafeInfo,
    pub(super) signed_tx: &'a SignedSafeTx,
    pub(super) facts: &'a Facts,
}

impl Review {
    /// The Safe as it was read before, without a chain.
    fn show_pinned(&mut self, pinned: &SafeInfo, signed_tx: &SignedSafeTx, trust: &Trust) {
        let facts = Facts {
            owners: pinned.owner_set(),
            threshold: pinned.threshold,
            ..Facts::default()
        };
        let shown = SafeShown {
            info: pinned,
            pinned,
            signed_tx,
            facts: &facts,
        };
        self.show_safe(&shown, trust);
    }

    /// The Safe as it is, compared with what was read when the update was prepared.
    pub(super) fn show_safe(&mut self, shown: &SafeShown<'_>, trust: &Trust) {
        let SafeShown {
            info,
            pinned,
            signed_tx,
            facts,
        } = *shown;
        let standing = signed_tx.signatures.standing(facts);
        // Without a chain the Safe is shown as it was read before.
        let asked = !std::ptr::eq(info, pinned);
        let owners = info.owners.iter().map(|address| Owner {
            address: *address,
            kind: None,
            agreed: standing
                .counted
                .contains(address)
                .then(|| match signed_tx.signatures.by_owner().get(address) {
                    Some(signature) if signature.proves_itself() => Agreement::Signature,
                    Some(OwnerSignature::Contract { .. }) if !facts.approved.contains(address) => Agreement::Contract,
                    _ => Agreement::OnChain,
                }),
            doubt: standing
                .doubtful
                .get(address)
                .map(|doubt| doubt_of(*doubt, asked).to_owned()),
        });
        let (forbids, notes) = safe_remarks(info, trust);
        let (nonce, next) = (signed_tx.tx.fields().nonce, info.nonce);
        let packed = signed_tx.signatures.pack(facts).ok();
        self.execution = packed.map(|packed| {
            let call = signed_tx.tx.exec_call(&packed.bytes);
            ExecutionCall {
                to: call.to,
                owners: packed.owners,
                keccak256: keccak256(&call.data),
                digest: call.digest(),
                bytes: call.data.len(),
            }
        });
        self.safe = Some(SafeNow {
            now: false,
            singleton: singleton(info),
            owners: owners.collect(),
            counted: standing.counted.len(),
            nonce,
            turn: Turn::of(nonce, next),
            findings: forbids.into_iter().chain(notes).collect(),
            changes: info.changes_since(pinned).iter().map(ToString::to_string).collect(),
            info: info.clone(),
        });
    }

    /// The reviewer's own files: another byte is another hash, and nobody should approve it.
    fn judge_files(&mut self, proposal: &Proposal) {
        let (Some(local), Some(hash)) = (
            self.compose_hash.as_ref().and_then(|check| check.local.as_ref()),
            proposal.compose_hash,
        ) else {
            return;
        };
        if local.differences.is_empty() {
            return;
        }
        let fields: Vec<String> = local.differences.iter().map(|one| format!("`{}`", one.field)).collect();
        let mut details = vec!["- is yours, + is the proposal's".to_owned()];
        details.extend(local.differences.iter().map(FieldChange::text_diff));
        let yours = local.computed.map_or_else(
            || "what your files say".to_owned(),
            |hash| format!("{hash} (computed from your files)"),
        );
        let is_line_ends = local.differences.iter().all(differs_by_line_ends);
        let (code, what) = match is_line_ends {
            true => (
                Code::LineEndsDiffer,
                format!("the line ends of {}, and nothing else", fields.join(", ")),
            ),
            false => (Code::HashMismatch, format!("{} of the proposal", fields.join(", "))),
        };
        self.problems.push(Problem::Stop(Stop {
            code,
            what,
            expected: yours,
            found: format!("{hash} (written in this proposal)"),
            details,
            origin: Some(Origin::Proposal),
        }));
    }

    /// Every call has to be one that an upgrade makes, to the app, without ether.
    fn judge_calls(&mut self, proposal: &Proposal) {
        if self.transaction.rejects {
            return;
        }
        let expected = proposal.expected_calls();
        let fits = |call: &CallShown| {
            let same = |one: &Call| (one.to, one.value, &one.data) == (call.to, call.value, &call.data);
            call.decoded.is_some() && call.value.is_zero() && expected.iter().any(same)
        };
        if let Some(call) = self.transaction.calls.iter().find(|call| !fits(call)) {
            self.problems.push(Problem::Stop(Stop {
                code: Code::CallRefused,
                what: "a call of the upgrade".to_owned(),
                expected: format!("what makes this of the app {}: {}", proposal.app(), proposal.told()),
                found: told(call),
                details: Vec::new(),
                origin: None,
            }));
        }
    }

    /// What is known of the upgrade besides its proposal.
    pub(super) fn judge_state(&mut self, state: &State, question: &Question) {
        if let Some(why) = &state.abandoned {
            self.decide(Code::Abandoned, format!("the upgrade was given up: {why}"));
        } else if let Some(why) = &state.safe.gone {
            self.decide(Code::SafeTxGone, why.clone());
        } else if state.proof().is_some() {
            self.decide(
                Code::HashAlreadyAllowed,
                "the change is in force already: nobody has to sign",
            );
        } else if let Some(place) = state.refused_here().filter(|_| !question.rejects) {
            self.decide(
                Code::SafeRejecting,
                format!("somebody decided to reject the Safe transaction{place}; signing it would undo that"),
            );
        }
    }
}

const fn doubt_of(doubt: Doubt, asked: bool) -> &'static str {
    match doubt {
        Doubt::Unconfirmed | Doubt::NotApproved if !asked => {
            "not checked and not counted: only the chain says whether this owner agreed"
        }
        other => why(other),
    }
}

pub(super) const fn why(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::NotAnOwner => "no owner any more",
        Doubt::Unconfirmed => "a contract's signature that the contract did not confirm",
        Doubt::NotApproved => "an approval that is not on chain",
    }
}

fn singleton(info: &SafeInfo) -> Singleton {
    match deployments::identify(info.singleton, info.singleton_code_hash) {
        Identity::Listed(known) if known.contract.is_singleton() => Singleton::Known,
        Identity::Elsewhere(known) if known.contract.is_singleton() => Singleton::Unlisted,
        _ => Singleton::Unknown,
    }
}
