//! Signing a Safe transaction as one of its owners: what is checked, what is shown, and what is remembered before the
//! key is touched.

use alloy::primitives::Address;

use super::ceremony::{Ballot, Ceremony, Paper};
use super::consent::{decisions, of_safe};
use super::document::Document;
use super::drive::Upgrade;
use super::event::Event;
use super::one_digest::{accepted, consents};
use super::shown::refuse_shown;
use super::verdict::Verdict;
use super::{Limits, Plan, State, Stop, UpgradeError, World};
use crate::chain::Chain;
use crate::code::Code;
use crate::safe::{Change, Look, OwnerSignature, SafeInfo, look};
use crate::signer::{ConsentBy, Decision, Fact, Name, Signer};

/// Where signatures are written down.
pub(super) enum Book<'a> {
    /// An upgrade with a journal.
    Upgrade(&'a mut Upgrade),
    /// A proposal by itself.
    Document(&'a mut Document),
}

impl Book<'_> {
    fn state(&self) -> &State {
        match self {
            Self::Upgrade(upgrade) => upgrade.state(),
            Self::Document(document) => document.state(),
        }
    }

    fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.record(event),
            Self::Document(document) => document.record(event),
        }
    }

    /// Remembers what somebody was asked for and named.
    fn keep_named(&mut self, named: &[Decision]) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.keep_named(named),
            Self::Document(document) => named
                .iter()
                .try_for_each(|one| document.record(Event::Accepted(one.into()))),
        }
    }

    fn write(&mut self) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.write_proposal(),
            Self::Document(document) => document.write(),
        }
    }
}

/// Signs as an owner. What is about to be signed is on disk before the key is touched.
///
/// # Errors
/// The key is no owner's, consent is refused, or this machine signed something else for the nonce.
pub(super) async fn sign_ballot(
    (world, limits): (&World<'_>, &Limits),
    book: &mut Book<'_>,
    signer: &Signer,
    paper: Paper,
) -> Result<(), UpgradeError> {
    let state = book.state();
    let (Some(plan), Some(ceremony)) = (state.plan(), state.ceremony()?) else {
        return Err(UpgradeError::TooEarly {
            message: "no Safe transaction was chosen yet".to_owned(),
            command: "prepare",
        });
    };
    let Some((ballot, nested)) = ceremony.paper(paper) else {
        return Err(UpgradeError::TooEarly {
            message: "the transaction of the nested Safe was not chosen yet".to_owned(),
            command: "sign",
        });
    };
    let owner = signer.address();
    refuse_stranger(nested.or(plan.safe.as_ref()), owner)?;
    let earlier = ballot.signatures.by_owner().get(&owner);
    if earlier.is_some_and(OwnerSignature::proves_itself) {
        // Nobody is asked twice, and no key touched.
        return book.write();
    }
    let consents = consents(&ceremony, paper, (Some(owner), ConsentBy::Signature));
    world.check_consents(limits, &consents)?;
    refuse_shown(world, limits, state, &consents).await?;
    let named = ask_owner((world, limits), state, &ceremony, (paper, owner))?;
    book.keep_named(&named)?;
    let record = world.signing_record()?;
    super::point("safe.sign.a");
    book.record(Event::SignTry {
        signer: owner,
        digest: ballot.tx.hash(),
    })?;
    super::point("safe.sign.b");
    world.admit_consents(limits, &consents)?;
    let signature = signer.sign_safe_tx(&ballot.tx, &record, &accepted(limits)).await?;
    super::point("safe.sign.d");
    book.record(Event::SafeSignature {
        owner,
        signature: signature.to_bytes(),
        paper,
        source: "key".to_owned(),
    })?;
    book.write()?;
    super::point("safe.sign.e");
    Ok(())
}

/// Shows what is about to be signed, and asks. Gives what was agreed to by name.
fn ask_owner(
    (world, limits): (&World<'_>, &Limits),
    state: &State,
    ceremony: &Ceremony,
    (paper, owner): (Paper, Address),
) -> Result<Vec<Decision>, UpgradeError> {
    let (what, verb) = match paper {
        Paper::Approval => ("signing", "Sign this Safe transaction"),
        Paper::Rejection => ("rejecting", "Sign this rejection"),
        Paper::Nested(_) => ("signing", "Sign this nested Safe's approval"),
    };
    let (ballot, safe) = ceremony.paper(paper).unwrap_or((&ceremony.approval, None));
    let mut consent = of_safe(state, ballot, safe.or(state.plan().and_then(|plan| plan.safe.as_ref())));
    consent.question = format!("{verb} as {owner}?");
    consent.decisions = decisions(&consent.effects, &limits.accepted.with(&state.accepted));
    if let Paper::Nested(_) = paper {
        let parent = &ceremony.approval.tx;
        let approves = format!("{} of {}", parent.hash(), parent.domain().safe);
        consent.facts.push(Fact::new(Name::Approves, approves));
    }
    if world.ask.consent(&consent)? {
        Ok(consent.decisions)
    } else {
        Err(UpgradeError::Declined { what: what.to_owned() })
    }
}

fn refuse_stranger(safe: Option<&SafeInfo>, key: Address) -> Result<(), UpgradeError> {
    let owners = safe.map(SafeInfo::owner_set).unwrap_or_default();
    if owners.contains(&key) {
        return Ok(());
    }
    let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
    Err(UpgradeError::Stop(Box::new(Stop {
        code: Code::SignerNotOwner,
        what: "signer".to_owned(),
        expected: names.join(" or "),
        found: key.to_string(),
        details: vec!["only an owner of the Safe can sign".to_owned()],
        origin: None,
    })))
}

/// Checks, before anything is signed or executed, everything that a chain says of the Safe and the transaction. `true`: the
/// Safe changed in a way that was accepted.
///
/// # Errors
/// Something is not what the plan read, or not what the transaction needs.
pub(super) fn check_ballot(
    limits: &Limits,
    plan: &Plan,
    (ballot, look): (&Ballot, &Look),
) -> Result<bool, UpgradeError> {
    let Some(pinned) = &plan.safe else {
        return Err(UpgradeError::stop(
            Code::SafeChanged,
            "owner of the app",
            "a Safe",
            "no Safe",
        ));
    };
    let asks_nothing = plan.code.is_none() && plan.policy.is_empty();
    let changed = match asks_nothing {
        true => {
            judge(limits, &look.info, &look.info)?;
            !look.info.changes_since(pinned).is_empty()
        }
        false => judge(limits, pinned, &look.info)?,
    };
    same_hash(look, ballot)?;
    Ok(changed)
}

/// The same for a Safe that is an owner, and its transaction; gives the Safe as it is now.
///
/// # Errors
/// As above.
pub(super) async fn check_child(
    chain: &Chain,
    limits: &Limits,
    pinned: &SafeInfo,
    ballot: &Ballot,
) -> Result<SafeInfo, UpgradeError> {
    let found = look(chain, &ballot.tx, &ballot.signatures, None).await?;
    judge(limits, pinned, &found.info)?;
    if found.hash_on_chain != Some(ballot.tx.hash()) {
        return Err(UpgradeError::stop(
            Code::SafeTxHash,
            "hash of the nested Safe's transaction",
            ballot.tx.hash(),
            found
                .hash_on_chain
                .map_or_else(|| "no answer of the Safe".to_owned(), |hash| hash.to_string()),
        ));
    }
    Ok(found.info)
}

/// The Safe has to compute the hash that its owners sign.
///
/// # Errors
/// Another one, or none.
pub(super) fn same_hash(look: &Look, ballot: &Ballot) -> Result<(), UpgradeError> {
    let hash = ballot.tx.hash();
    // Once its nonce is used up, a Safe may have moved to code that hashes otherwise.
    if look.hash_on_chain == Some(hash) || look.info.nonce > ballot.tx.fields().nonce {
        return Ok(());
    }
    Err(UpgradeError::stop(
        Code::SafeTxHash,
        "hash of the Safe transaction",
        hash,
        look.hash_on_chain
            .map_or_else(|| "no answer of the Safe".to_owned(), |found| found.to_string()),
    ))
}

/// Whether the Safe may be signed for: its code is known, and it is what was read before. `true`: it changed, and that
/// was accepted.
///
/// # Errors
/// Unknown code, or a change that nobody accepted.
pub(super) fn judge(limits: &Limits, pinned: &SafeInfo, now: &SafeInfo) -> Result<bool, UpgradeError> {
    let changes = same_code(limits, pinned, now)?;
    match safe_verdict(limits, pinned, now).forbidding() {
        Some(finding) => Err(finding.error()),
        None => Ok(!changes.is_empty()),
    }
}

fn safe_verdict(limits: &Limits, pinned: &SafeInfo, now: &SafeInfo) -> Verdict {
    let findings = super::verdict::of_safe(pinned, now, &limits.trust);
    Verdict::new(findings, Vec::new(), &limits.accepted)
}

/// Changes in words.
pub(super) fn in_words(changes: &[Change]) -> String {
    let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
    told.join("; ")
}

/// What is asked of the Safe even by those who only wait for what it does: its code is known and the one that was read
/// before, or nothing that it answers counts. Gives what else changed.
///
/// # Errors
/// Unknown or other code.
pub(super) fn same_code(limits: &Limits, pinned: &SafeInfo, now: &SafeInfo) -> Result<Vec<Change>, UpgradeError> {
    let verdict = safe_verdict(limits, pinned, now);
    let of_people = [Code::SafeOwnersChanged, Code::SafeHelpersChanged];
    let mut forbidding = verdict.findings.iter().filter(|finding| finding.forbids());
    match forbidding.find(|finding| !of_people.contains(&finding.code)) {
        Some(finding) => Err(finding.error()),
        None => Ok(now.changes_since(pinned)),
    }
}
