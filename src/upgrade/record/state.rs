//! What an upgrade knows and what comes next. Pure: no I/O, no clock.
//!
//! The state is the fold of the journal's events; an event that the state does not allow is refused.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use jiff::Timestamp;

use crate::chain::{AppChanges, BlockRef, Call, DeployedApp, Proof, SignedTx, Spending};
use crate::cloud::Accepted;
use crate::compose::{ComposeHash, Verification};
use crate::upgrade::{
    UpgradeError,
    accepted::Acceptance,
    model::{
        deployment::Deployment,
        plan::{CodeChange, Plan},
        proposal::Proposal,
        safe_approval::{Ceremony, Frozen, Paper, Signatures, Stage},
        timelock_operation::{Choice, Scheduled},
        tx_purpose::Errand,
    },
    record::{
        event::{Event, Identity, IllegalStep, Preparation},
        step::Step,
    },
};

/// The fold of the events.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(in crate::upgrade) identity: Option<Identity>,
    pub(in crate::upgrade) plan: Option<Box<Plan>>,
    /// The new app that is intended, in the place of a plan.
    pub(in crate::upgrade) deployment: Option<Box<Deployment>>,
    /// The new app.
    pub(in crate::upgrade) deployed: Option<Box<DeployedApp>>,
    /// SHA-256 of the sealed environment.
    pub(in crate::upgrade) sealed: Option<B256>,
    /// What tells its values from others.
    pub(in crate::upgrade) values: Option<B256>,
    /// What was prepared is for other values than those that were sealed since.
    pub(in crate::upgrade) outdated: bool,
    pub(in crate::upgrade) preparing: bool,
    /// The preparation came with a proposal; its token is on another machine.
    pub(in crate::upgrade) imported: bool,
    /// The upgrade began with a proposal that was prepared on another machine.
    pub(in crate::upgrade) from_elsewhere: bool,
    pub(in crate::upgrade) token_refused: bool,
    /// How often a commit was refused for its token.
    pub(in crate::upgrade) refusals: u32,
    pub(in crate::upgrade) prepared: Option<Preparation>,
    pub(in crate::upgrade) verified: Option<(ComposeHash, Verification)>,
    /// Other apps of the same owner that the same transaction changes, as their own proposals say it.
    pub(in crate::upgrade) others: Vec<Proposal>,
    /// The app whose proposal is approved instead of this one's.
    pub(in crate::upgrade) joins: Option<Address>,
    /// Doubts that somebody agreed to by name, for this upgrade.
    pub(in crate::upgrade) accepted: Vec<Acceptance>,
    /// What is proved of them, by app.
    pub(in crate::upgrade) others_proved: BTreeMap<Address, Proof>,
    /// The Safe transaction, once it is chosen.
    pub(in crate::upgrade) frozen: Option<Box<Frozen>>,
    pub(in crate::upgrade) ballots: Signatures,
    /// The transaction that is on its way is an owner's approval, not the execution.
    pub(in crate::upgrade) errand: Option<Errand>,
    /// Transactions of the Safe that did their part, and who signed them.
    pub(in crate::upgrade) spent: Vec<(Frozen, Signatures)>,
    /// What the timelock has.
    pub(in crate::upgrade) scheduled: Option<Scheduled>,
    /// Which operation the timelock is asked for.
    pub(in crate::upgrade) chosen: Option<Choice>,
    /// How often an operation was cancelled and chosen anew.
    pub(in crate::upgrade) attempt: u64,
    /// Why the Safe transaction can never take effect.
    pub(in crate::upgrade) safe_gone: Option<String>,
    /// When somebody decided to reject it.
    pub(in crate::upgrade) rejecting: Option<Timestamp>,
    /// Where on this machine somebody decided to reject the very transaction; no record of this upgrade.
    pub(in crate::upgrade) rejected_at: Option<String>,
    pub(in crate::upgrade) signing: Option<(Address, B256)>,
    /// Owners whose approvals on chain were sent from here and proved.
    pub(in crate::upgrade) approved: BTreeSet<Address>,
    /// Transactions signed here by which somebody agreed to what a Safe was asked.
    pub(in crate::upgrade) agreements: Vec<SentAgreement>,
    pub(in crate::upgrade) signed: Vec<SignedTx>,
    /// The most that everything signed here can cost, also what was given up since: its bytes are out.
    pub(in crate::upgrade) spending: Spending,
    pub(in crate::upgrade) sent: bool,
    pub(in crate::upgrade) seen: Option<(B256, BlockRef)>,
    pub(in crate::upgrade) proof: Option<Box<Proof>>,
    pub(in crate::upgrade) adopted: bool,
    /// The block of the last proof, where that is not the chain's any more.
    pub(in crate::upgrade) proof_gone: Option<BlockRef>,
    pub(in crate::upgrade) gone: Option<String>,
    pub(in crate::upgrade) committing: bool,
    /// A commit was sent.
    pub(in crate::upgrade) commit_sent: bool,
    /// The app's CVMs before the last request that may have made another one.
    pub(in crate::upgrade) there: Vec<String>,
    /// The CVM that the commit made.
    pub(in crate::upgrade) made: Option<String>,
    pub(in crate::upgrade) committed: Option<(Option<Accepted>, Timestamp)>,
    pub(in crate::upgrade) done: Option<Timestamp>,
    /// When the hash stood for a second look, after an operation of this upgrade's own.
    pub(in crate::upgrade) confirmed: Option<Timestamp>,
    pub(in crate::upgrade) abandoned: Option<String>,
    pub(in crate::upgrade) records: u64,
}

/// A transaction signed here that executes what a Safe was asked, or approves it on chain. Its bytes may be out, so it
/// counts whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) struct SentAgreement {
    /// Whose key signed it.
    pub(in crate::upgrade) from: Address,
    pub(in crate::upgrade) errand: Option<Errand>,
    /// The safeTxHash of the approval that was chosen then.
    pub(in crate::upgrade) approval: B256,
    /// It executed the rejection instead.
    pub(in crate::upgrade) rejects: bool,
}

impl State {
    /// The fold of `events`.
    ///
    /// # Errors
    /// The number of the first event (from 1) that the state before it does not allow.
    pub fn fold(events: impl IntoIterator<Item = Event>) -> Result<Self, (u64, IllegalStep)> {
        let mut state = Self::default();
        for event in events {
            let record = state.records + 1;
            state.apply(event).map_err(|illegal| (record, illegal))?;
        }
        Ok(state)
    }

    /// Whether `event` may come now.
    ///
    /// # Errors
    /// It may not.
    pub fn check(&self, event: &Event) -> Result<(), IllegalStep> {
        self.objection(event).map_or(Ok(()), |why| {
            Err(IllegalStep {
                kind: event.kind(),
                why,
            })
        })
    }

    /// Takes one event in.
    ///
    /// # Errors
    /// The state does not allow it; the state is unchanged.
    pub fn apply(&mut self, event: Event) -> Result<(), IllegalStep> {
        self.check(&event)?;
        self.records += 1;
        match event {
            Event::Open(identity) => self.identity = Some(identity),
            Event::Plan(plan) => self.plan = Some(plan),
            Event::Deploy(deployment) => self.deployment = Some(deployment),
            Event::Deployed(app) => self.deployed = Some(app),
            sealed @ Event::Sealed { .. } => self.take_sealed(&sealed),
            Event::PrepareTry { there, .. } => self.try_prepare(there),
            Event::PrepareOk(preparation) => self.take_prepared(preparation),
            Event::Verified { hash, how } => self.verified = Some((hash, how)),
            Event::Joined(others) => self.others = others,
            Event::Joins { app } => self.joins = Some(app),
            Event::SafeFrozen(frozen) => self.take_frozen(frozen),
            Event::SafeSignature {
                owner,
                signature,
                paper,
                ..
            } => {
                self.signing = None;
                self.ballots.keep(paper, owner, signature);
            }
            Event::SafeNested { safe, frozen } => self.take_nested(*safe, *frozen),
            Event::SafeErrand { errand } => self.errand = Some(errand),
            Event::SafeErrandDone { .. } => self.end_errand(),
            Event::SafePinned(safe) => self.pin(*safe),
            Event::SafeGone { why } => self.safe_gone = Some(why),
            Event::SafeReject { at } => self.rejecting = Some(at),
            Event::TimelockChosen(choice) => self.chosen = Some(*choice),
            Event::TimelockScheduled(scheduled) => self.take_scheduled(scheduled),
            Event::TimelockUnscheduled { .. } => self.unschedule(),
            Event::TimelockAgain => self.schedule_anew(),
            Event::SignTry { signer, digest } => self.signing = Some((signer, digest)),
            Event::TxSigned(tx) => self.take_signed(tx),
            Event::TxSent { .. } => self.sent = true,
            Event::TxSeen { hash, block } => self.seen = Some((hash, block)),
            Event::TxFinal(proof) => self.take_proof(proof),
            Event::ProofGone { block } => self.lose_proof(block),
            Event::JoinedFinal(proof) => {
                self.others_proved.insert(proof.app, *proof);
            }
            Event::Adopted(proof) => {
                self.adopted = true;
                self.take_proof(proof);
            }
            Event::TxGone { why } => self.lose_transaction(why),
            Event::CommitTry { there, .. } => self.try_commit(there),
            Event::CommitNot { token_refused, .. } => self.refuse_commit(token_refused),
            Event::CommitOk { accepted, at, made } => {
                (self.committing, self.made) = (false, made);
                self.committed = Some((accepted, at));
            }
            Event::CommitVoid { .. } => self.take_commit_back(),
            Event::Done { at, again } => self.take_done(at, again),
            Event::Abandoned { why } => self.abandoned = Some(why),
            Event::Accepted(acceptance) => self.accepted.push(acceptance),
            Event::Note { .. } => {}
        }
        Ok(())
    }

    /// What comes next.
    pub fn next(&self) -> Step {
        if self.done.is_some()
            || self.abandoned.is_some()
            || self.deployed.is_some()
            || (self.proof.is_some() && !self.has_code())
        {
            Step::Finished
        } else if self.committed.is_some() {
            Step::Watch
        } else if self.committing {
            Step::Settle
        } else if self.has_code() && (self.prepared.is_none() || self.outdated) {
            Step::Prepare
        } else if self.has_code() && self.verified.is_none() {
            Step::Verify
        } else if self.proof.is_some() {
            Step::Commit
        } else if self.signed.is_empty() && (self.lacks_operation() || self.lacks_safe_tx()) {
            Step::Freeze
        } else if self.signed.is_empty() {
            Step::Approve
        } else if self.sent {
            Step::Wait
        } else {
            Step::Broadcast
        }
    }

    /// Which upgrade this is.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The plan, once there is one.
    pub fn plan(&self) -> Option<&Plan> {
        self.plan.as_deref()
    }

    /// The proof, once there is one.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_deref()
    }

    /// What changes of the code that runs; `None`: only the policy changes.
    pub fn code(&self) -> Option<&CodeChange> {
        self.plan().and_then(|plan| plan.code.as_ref())
    }

    /// What has to be in force on chain in the end; `None` before all of it is known.
    pub fn changes(&self) -> Option<AppChanges> {
        let plan = self.plan()?;
        let hash = self.verified.as_ref().map(|(hash, _)| *hash);
        Some(AppChanges {
            app: plan.app,
            changes: plan.changes_with(hash)?,
        })
    }

    /// The hash that was checked, and how.
    pub const fn verified(&self) -> Option<&(ComposeHash, Verification)> {
        self.verified.as_ref()
    }

    /// Why `event` cannot come now.
    fn objection(&self, event: &Event) -> Option<&'static str> {
        let missing = |is_there: bool, why| (!is_there).then_some(why);
        if self.identity.is_none() {
            return missing(matches!(event, Event::Open(_)), "the journal has not been opened");
        }
        match event {
            Event::Open(_) => Some("the journal was opened before"),
            Event::Deploy(_) | Event::Deployed(_) => self.deploy_objection(event),
            Event::Plan(_) => missing(
                self.signed.is_empty() && self.proof.is_none() && self.deployment.is_none(),
                "something was approved already",
            ),
            Event::Sealed { replaces, .. } => self.sealed_objection(*replaces),
            Event::PrepareTry { .. } => missing(self.plan.is_some(), "there is no plan"),
            Event::PrepareOk(preparation) => missing(
                self.preparing || preparation.token_sha256.is_none(),
                "nothing was asked",
            )
            .or_else(|| missing(self.agrees(preparation.hash), "the hash is not the verified one")),
            Event::Verified { hash, .. } => missing(
                self.prepared.as_ref().is_some_and(|prepared| prepared.hash == *hash),
                "the hash was not prepared",
            ),
            Event::SafeFrozen(_)
            | Event::SafeSignature { .. }
            | Event::SafeGone { .. }
            | Event::SafeReject { .. }
            | Event::SafeNested { .. }
            | Event::SafeErrand { .. }
            | Event::SafeErrandDone { .. }
            | Event::TimelockChosen(_)
            | Event::TimelockScheduled(_)
            | Event::TimelockUnscheduled { .. }
            | Event::TimelockAgain
            | Event::SafePinned(_) => self.safe_objection(event),
            Event::SignTry { .. } => missing(self.knows_its_calls(), "the hash was not verified"),
            Event::TxSigned(tx) => missing(self.signing.is_some(), "no signature was asked for").or_else(|| {
                let same_nonce = self
                    .signed
                    .iter()
                    .all(|earlier| earlier.request.nonce == tx.request.nonce);
                missing(same_nonce, "an intent has one nonce")
            }),
            Event::TxSent { hash, .. } | Event::TxSeen { hash, .. } => missing(
                self.signed.iter().any(|tx| tx.hash == *hash),
                "the transaction is not ours",
            ),
            Event::TxFinal(proof) | Event::Adopted(proof) => missing(
                self.changes().is_some_and(|changes| changes == proof.subject()),
                "the proof is for something else",
            ),
            Event::Joined(_) | Event::Joins { .. } | Event::JoinedFinal(_) => self.joined_objection(event),
            Event::TxGone { .. } => missing(!self.signed.is_empty(), "nothing was signed"),
            Event::CommitTry { .. }
            | Event::CommitOk { .. }
            | Event::CommitNot { .. }
            | Event::CommitVoid { .. }
            | Event::Done { .. } => self.commit_objection(event),
            Event::ProofGone { .. } => missing(self.proof.is_some(), "nothing was proved"),
            Event::Abandoned { .. } | Event::Accepted(_) | Event::Note { .. } => None,
        }
    }

    /// Whether there is a proof; what was sent with one may be answered after that is gone.
    const fn takes_commit(&self, event: &Event) -> bool {
        self.proof.is_some() || (self.committing && matches!(event, Event::CommitOk { .. }))
    }

    /// The same for what concerns a Safe or a timelock.
    fn safe_objection(&self, event: &Event) -> Option<&'static str> {
        let missing = |is_there: bool, why| (!is_there).then_some(why);
        match event {
            Event::SafeFrozen(frozen) => missing(
                self.changes().is_some() && self.has_safe() && self.signed.is_empty(),
                "no Safe approves, or something was sent already",
            )
            .or_else(|| {
                missing(
                    self.stage().is_none_or(|stage| stage != frozen.stage) || self.safe_gone.is_some(),
                    "an intent has one nonce of the Safe",
                )
            })
            .or_else(|| missing(self.has_place_for(frozen.stage), "that is not what comes next")),
            Event::SafeSignature { .. }
            | Event::SafeGone { .. }
            | Event::SafeReject { .. }
            | Event::SafeNested { .. } => missing(self.frozen.is_some(), "no Safe transaction was chosen"),
            Event::SafeErrand { errand } => missing(
                (self.frozen.is_some() || (errand.owner().is_none() && self.has_timelock()))
                    && self.signed.is_empty()
                    && self.proof.is_none(),
                "another transaction is on its way, or none is needed",
            ),
            Event::SafeErrandDone { .. } => missing(self.errand.is_some(), "no approval was sent"),
            Event::SafePinned(safe) => missing(
                self.plan
                    .as_ref()
                    .and_then(|plan| plan.safe.as_ref())
                    .is_some_and(|pinned| (pinned.address, pinned.chain_id) == (safe.address, safe.chain_id)),
                "it is another Safe",
            ),
            Event::TimelockChosen(_) => self.chosen_objection(event),
            Event::TimelockScheduled(scheduled) => missing(
                self.asked().is_some_and(|asked| asked.operation.id() == scheduled.id),
                "the operation is another one",
            ),
            Event::TimelockUnscheduled { .. } => missing(
                self.scheduled.is_some() && self.signed.is_empty() && self.proof.is_none(),
                "nothing was scheduled, or something is on its way",
            ),
            Event::TimelockAgain => missing(
                self.has_timelock() && self.signed.is_empty() && self.proof.is_none(),
                "no timelock acts, or something is on its way",
            ),
            _ => None,
        }
    }

    /// The same for a commit and what came of it.
    fn commit_objection(&self, event: &Event) -> Option<&'static str> {
        let missing = |is_there: bool, why| (!is_there).then_some(why);
        match event {
            // What was sent with a proof may be answered after that is gone.
            Event::CommitTry { .. } | Event::CommitOk { .. } => missing(
                self.takes_commit(event) && self.has_code(),
                "there is no proof, or nothing to commit",
            ),
            Event::CommitNot { .. } => missing(self.committing, "no commit was tried"),
            Event::CommitVoid { .. } | Event::Done { .. } => missing(self.committed.is_some(), "nothing was committed"),
            _ => None,
        }
    }

    fn sealed_objection(&self, replaces: bool) -> Option<&'static str> {
        match (self.has_environment(), !replaces || self.may_prepare_again()) {
            (false, _) => Some("the plan has no environment"),
            (true, false) => Some("the commit was sent already"),
            (true, true) => None,
        }
    }

    /// Takes over what only a journal knows of the same proposal: who prepared it, and what was agreed to by name.
    pub fn is_kept_by(&mut self, journal: &Self) {
        if let (Some(here), Some(own)) = (&mut self.prepared, &journal.prepared) {
            here.token_sha256 = own.token_sha256;
        }
        self.accepted.clone_from(&journal.accepted);
    }

    /// Whether nothing was prepared yet.
    pub(in crate::upgrade) fn is_new(&self) -> bool {
        self.prepared.is_none() && self.next() == Step::Prepare
    }

    /// Whether a preparation can take the place of an earlier one: no commit may have been made with that.
    pub(in crate::upgrade) const fn may_prepare_again(&self) -> bool {
        self.prepared.is_some() && !self.committing && self.committed.is_none()
    }

    fn has_environment(&self) -> bool {
        self.code().is_some_and(|code| code.environment.is_some())
    }

    /// Whether the code changes. Before there is a plan nothing is known to be without.
    fn has_code(&self) -> bool {
        self.deployment.is_none() && self.plan.as_ref().is_none_or(|plan| plan.code.is_some())
    }

    fn agrees(&self, hash: ComposeHash) -> bool {
        self.verified.as_ref().is_none_or(|(verified, _)| *verified == hash)
    }

    /// Whether a Safe has to act.
    pub(in crate::upgrade) fn has_safe(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.safe.is_some())
    }

    fn has_timelock(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.timelock.is_some())
    }

    /// What the chosen Safe transaction is for.
    pub(in crate::upgrade) fn stage(&self) -> Option<Stage> {
        self.frozen.as_ref().map(|frozen| frozen.stage)
    }

    /// What the next Safe transaction is for, unless something else is asked.
    pub(in crate::upgrade) fn first_stage(&self) -> Stage {
        if self.has_timelock() {
            Stage::Schedule
        } else {
            Stage::Policy
        }
    }

    fn has_place_for(&self, stage: Stage) -> bool {
        match stage {
            Stage::Policy => !self.has_timelock(),
            Stage::Schedule => self.has_timelock() && self.scheduled.is_none(),
            Stage::Execute | Stage::Cancel => self.has_timelock(),
        }
    }

    /// The Safe transaction and its signatures, rebuilt; `None` before it was chosen.
    ///
    /// # Errors
    /// What is recorded is not what the plan asks for.
    pub fn ceremony(&self) -> Result<Option<Ceremony>, UpgradeError> {
        let (Some(plan), Some(frozen)) = (self.plan(), &self.frozen) else {
            return Ok(None);
        };
        Ceremony::new(plan, &self.calls_at(frozen.stage), frozen, &self.ballots).map(Some)
    }

    /// The same; when the one that scheduled the change did its part, that one.
    pub(in crate::upgrade) fn last_ceremony(&self) -> Result<Option<Ceremony>, UpgradeError> {
        match (self.plan(), self.spent.last()) {
            (Some(plan), Some((frozen, ballots))) if self.frozen.is_none() => {
                Ceremony::new(plan, &self.calls_at(frozen.stage), frozen, ballots).map(Some)
            }
            _ => self.ceremony(),
        }
    }

    /// Every Safe transaction that was chosen here, also those that did their part, as far as they can be rebuilt.
    pub(in crate::upgrade) fn ceremonies(&self) -> Vec<Ceremony> {
        let spent = self.spent.iter().map(|(frozen, ballots)| (frozen, ballots));
        let all = spent.chain(self.frozen.as_deref().map(|frozen| (frozen, &self.ballots)));
        let Some(plan) = self.plan() else { return Vec::new() };
        all.filter_map(|(frozen, ballots)| Ceremony::new(plan, &self.calls_at(frozen.stage), frozen, ballots).ok())
            .collect()
    }

    /// The calls that change the policy, of all apps; none before all of them are known.
    pub(in crate::upgrade) fn calls(&self) -> Vec<Call> {
        let hash = self.verified.as_ref().map(|(hash, _)| *hash);
        let own = self.plan().map(|plan| plan.calls_with(hash)).unwrap_or_default();
        let others = self.others.iter().flat_map(Proposal::own_calls);
        own.into_iter().chain(others).collect()
    }

    /// Whether the transaction that was chosen can never take effect, so that the change needs another nonce.
    pub const fn needs_new_nonce(&self) -> bool {
        self.safe_gone.is_some() || self.gone.is_some()
    }

    /// Whether it came as a proposal from another machine, which has the commit token.
    pub const fn is_adopted(&self) -> bool {
        self.imported
    }

    /// Whether somebody decided to reject the Safe transaction.
    pub const fn is_rejecting(&self) -> bool {
        self.rejecting.is_some()
    }

    /// Whether enough owners of an owner that is a Safe have signed its transaction, as far as signatures prove that.
    pub fn nested_is_signed(&self, child: Address) -> bool {
        let have = self.ballots.proven(Paper::Nested(child)).len();
        let nested = self.ballots.nested.get(&child);
        nested.is_some_and(|nested| u64::try_from(have).is_ok_and(|have| have >= nested.safe.threshold))
    }

    /// Whether the approval is not signed any more, since somebody decided to reject it, and where that is known from.
    pub(in crate::upgrade) fn refused_here(&self) -> Option<String> {
        let elsewhere = self.rejected_at.as_ref().map(|place| format!(" (`{place}`)"));
        elsewhere.or_else(|| self.is_rejecting().then(String::new))
    }

    /// The hash of the Safe transaction that was chosen.
    pub(in crate::upgrade) fn chosen_hash(&self) -> Option<B256> {
        let frozen = self.frozen.as_ref()?;
        Some(frozen.transaction.hash(&frozen.domain))
    }

    /// Whether an owner signed a paper.
    pub(in crate::upgrade) fn has_signed(&self, paper: Paper, owner: Address) -> bool {
        self.ballots.proven(paper).contains(&owner)
    }

    /// Whether what is signed is known.
    fn knows_its_calls(&self) -> bool {
        self.changes().is_some() || self.deployment.is_some()
    }

    fn refuse_commit(&mut self, token_refused: bool) {
        self.committing = false;
        self.refusals += u32::from(token_refused);
        self.token_refused |= token_refused;
    }

    /// Whether it began with a proposal that was prepared on another machine.
    pub(in crate::upgrade) const fn is_from_elsewhere(&self) -> bool {
        self.from_elsewhere
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
