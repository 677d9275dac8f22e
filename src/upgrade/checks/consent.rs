//! What somebody agrees to before a key signs: the effects, read from the bytes that are signed, and what else has to be
//! known. Everything that signs builds its consent here. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};

use crate::chain::timelock::TimelockAct;
use crate::code::Code;
use crate::safe::{
    effects::{Effect, Parties},
    info::SafeInfo,
};
use crate::signer::{Consent, Decision, Fact, Name};
use crate::upgrade::{
    Accepted,
    model::safe_approval::{SafeApproval, SignedSafeTx},
    model::{Plan, Proposal},
    record::State,
};

/// Who is who in the calls of these apps' owner.
pub(in crate::upgrade) fn parties<'a>(
    plans: impl Iterator<Item = &'a Plan>,
    ceremony: Option<&SafeApproval>,
) -> Parties {
    let mut parties = Parties::default();
    for plan in plans {
        let cvm = plan.code.as_ref().map(|code| code.cvm.clone());
        parties.apps.insert(plan.app, cvm);
        parties.kms.extend(plan.kms);
        parties.safes.extend(plan.safe.as_ref().map(|safe| safe.address));
        let timelock = plan.timelock.as_ref().map(|timelock| timelock.info.address);
        parties.timelock = parties.timelock.or(timelock);
    }
    if let Some(ceremony) = ceremony {
        parties.safes.extend(ceremony.nested.keys());
        parties.known.push(ceremony.approval.tx.clone());
    }
    parties
}

impl Proposal {
    /// Who is who in the calls that it asks for.
    pub(in crate::upgrade) fn parties(&self, ceremony: Option<&SafeApproval>) -> Parties {
        parties(self.apps().map(|one| &one.plan), ceremony)
    }

    /// The hashes that it shows as those to be allowed, each on its app.
    pub(in crate::upgrade) fn shown_hashes(&self) -> Vec<(Address, B256)> {
        let with_code = self.apps().filter(|one| one.plan.code.is_some());
        let hash = |one: &Self| {
            one.compose_hash
                .map(|hash| (one.plan.app, B256::from(*hash.as_bytes())))
        };
        with_code.filter_map(hash).collect()
    }
}

impl State {
    /// Who is who in the calls of the apps' owner.
    pub(in crate::upgrade) fn parties(&self) -> Parties {
        let ceremony = self.last_ceremony().ok().flatten();
        let plans = self
            .plan()
            .into_iter()
            .chain(self.batch.others.iter().map(|one| &one.plan));
        let mut parties = parties(plans, ceremony.as_ref());
        parties.kms.extend(self.deployment().map(|deployment| deployment.kms));
        parties
    }

    /// What is known of the content behind the hashes: of each app its images and fields, as they were checked against
    /// the hash.
    pub(in crate::upgrade) fn content(&self) -> Vec<Fact> {
        let plans: Vec<&Plan> = self
            .plan()
            .into_iter()
            .chain(self.batch.others.iter().map(|one| &one.plan))
            .collect();
        let several = plans.len() > 1;
        let each = plans.iter().enumerate().flat_map(|(index, plan)| {
            let facts = content(plan, several);
            facts
                .into_iter()
                .map(move |fact| if several { fact.of_app(index + 1) } else { fact })
        });
        each.collect()
    }
}

fn content(plan: &Plan, several: bool) -> Vec<Fact> {
    let mut facts = vec![Fact::new(Name::App, plan.app)];
    let Some(code) = &plan.code else { return facts };
    facts.extend(several.then(|| Fact::new(Name::Cvm, &code.cvm)));
    facts.extend(code.makes().map(|made| Fact::new(Name::Makes, made)));
    let fields: Vec<&str> = code.changes.iter().map(|change| change.field.as_str()).collect();
    if !fields.is_empty() {
        facts.push(Fact::new(Name::Changes, fields.join(", ")));
    }
    facts.push(Fact::new(Name::ImagesBefore, code.manifest.images().join(", ")));
    facts.push(Fact::new(Name::ImagesAfter, code.manifest_after().images().join(", ")));
    let uncovered = code.uncovered().into_iter();
    facts.extend(uncovered.map(|one| Fact::new(Name::Uncovered, one)));
    facts
}

/// What a Safe's owners agree to, whether they sign it, approve it on chain or execute it. `safe` is the Safe as it was
/// last read.
pub(in crate::upgrade) fn of_safe(state: &State, signed_tx: &SignedSafeTx, safe: Option<&SafeInfo>) -> Consent {
    let (tx, fields) = (&signed_tx.tx, signed_tx.tx.fields());
    let names: Vec<String> = signed_tx.signatures.proven().map(|owner| owner.to_string()).collect();
    let signed = if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ")
    };
    let mut facts = state.content();
    facts.push(Fact::new(Name::Calldata, &fields.data));
    facts.extend(operation_facts(&fields.data));
    facts.extend([
        Fact::new(Name::SafeNonce, fields.nonce),
        Fact::new(Name::SafeOperation, u8::from(fields.operation)),
        Fact::new(Name::SignedBy, signed),
    ]);
    facts.extend(safe.map(|safe| Fact::new(Name::Threshold, safe.threshold)));
    Consent {
        question: String::new(),
        subject: vec![
            Fact::new(Name::Chain, tx.domain().chain_id),
            Fact::new(Name::Safe, format!("{} {}", tx.domain().safe, tx.domain().version)),
        ],
        effects: state.parties().effects_of_tx(tx),
        facts,
        digests: Some(tx.digests()),
        decisions: Vec::new(),
        acting: None,
    }
}

/// The owners whose approval the chain holds, where it holds any.
pub(in crate::upgrade) fn approved_by(owners: &BTreeSet<Address>) -> Option<Fact> {
    let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| Fact::new(Name::ApprovedBy, names.join(", ")))
}

/// What of these effects has to be agreed to by name: who hands over control, or freezes code, says to whom or whose. What
/// was agreed to already is left out.
pub(in crate::upgrade) fn decisions(effects: &[Effect], accepted: &Accepted) -> Vec<Decision> {
    let mut open: Vec<Decision> = Vec::new();
    for effect in effects {
        let named = [
            (Code::AppGivenAway, effect.hands_over()),
            (Code::UpgradesDisabled, effect.freezes()),
        ];
        for (code, address) in named {
            let Some(value) = address.map(|address| address.to_string()) else {
                continue;
            };
            let known = open.iter().any(|one| one.code == code && one.value == value);
            if known || accepted.covers(code, Some(&value)) {
                continue;
            }
            let what = effect.sentence.clone();
            open.push(Decision { code, value, what });
        }
    }
    open
}

/// The operation of a timelock that these bytes are about, and its delay where they schedule it.
pub(in crate::upgrade) fn operation_facts(data: &[u8]) -> Vec<Fact> {
    let id = |id: B256| Fact::new(Name::OperationId, id);
    match TimelockAct::decode(data) {
        Some(TimelockAct::Schedule { operation, delay }) => {
            vec![id(operation.id()), Fact::new(Name::Delay, format!("{delay} seconds"))]
        }
        Some(TimelockAct::Execute { operation }) => vec![id(operation.id())],
        Some(TimelockAct::Cancel { id: cancelled }) => vec![id(cancelled)],
        None => Vec::new(),
    }
}

/// What the bytes of a proposal's calls do, where no Safe transaction holds them.
pub(in crate::upgrade) fn effects_of(
    proposal: &Proposal,
    signed_tx: Option<&SignedSafeTx>,
    ceremony: Option<&SafeApproval>,
) -> Vec<Effect> {
    let parties = proposal.parties(ceremony);
    match signed_tx {
        Some(signed_tx) => parties.effects_of_tx(&signed_tx.tx),
        None => parties.effects_of_calls(&proposal.expected_calls()),
    }
}
