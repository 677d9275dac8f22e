//! What an upgrade knows and what comes next. Pure: no I/O, no clock.
//!
//! The state is the fold of the journal's events; an event that the state does not allow is refused.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::UpgradeError;
use super::ceremony::{Ceremony, Frozen, Nested, Paper, Signatures, Stage};
use super::errand::Errand;
use super::event::{Event, Identity, IllegalStep, Preparation, Scheduled};
use super::plan::{CodeChange, Plan};
use crate::chain::{AppChanges, BlockRef, Call, PolicyChange, Proof, SignedTx};
use crate::cloud::Accepted;
use crate::compose::{ComposeHash, Verification};
use crate::safe::SafeInfo;

/// The next thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Ask the cloud for hash and token.
    Prepare,
    /// Check the hash.
    Verify,
    /// Choose the Safe transaction.
    Freeze,
    /// Get the owner's authority.
    Approve,
    /// Send the signed bytes.
    Broadcast,
    /// Wait until it is proved.
    Wait,
    /// Commit.
    Commit,
    /// Find out what became of a commit.
    Settle,
    /// Watch the CVM.
    Watch,
    /// Nothing.
    Finished,
}

/// What is certain about one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// It did not happen.
    #[default]
    None,
    /// It may have happened.
    Maybe,
    /// It happened.
    Done,
}

/// What is certain about the effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Effects {
    /// A prepared update exists in the cloud.
    pub prepare: Effect,
    /// Something was signed.
    pub approval: Effect,
    /// The transaction took effect on chain.
    pub transaction: Effect,
    /// The update was committed.
    pub commit: Effect,
    /// The CVM runs it.
    pub live: Effect,
}

/// What is known, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Name of the upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<String>,
    /// CVM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvm: Option<String>,
    /// App.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<Address>,
    /// Chain id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<u64>,
    /// Owner of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<Address>,
    /// Hash before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_compose_hash: Option<ComposeHash>,
    /// Hash to allow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose_hash: Option<ComposeHash>,
    /// What else changes of the app's policy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<PolicyChange>,
    /// Hash of the Safe transaction that owners sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_tx_hash: Option<B256>,
    /// Nonce of that transaction, decimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe_nonce: Option<String>,
    /// Owners who signed it, as far as this upgrade has their signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<Vec<Address>>,
    /// Signatures that the Safe asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u64>,
    /// Id of the timelock's operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<B256>,
    /// From when on that can be executed, once it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// Transaction that allowed it, or that is on its way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_hash: Option<B256>,
    /// Nonce of our transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
    /// Its block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_number: Option<u64>,
    /// Hash of its block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_hash: Option<B256>,
    /// When the commit token dies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires: Option<Timestamp>,
    /// The cloud's name for the committed operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
}

/// Where an upgrade stands, from its journal alone.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// What comes next.
    pub step: Step,
    /// What is certain about effects.
    pub effects: Effects,
    /// What is known.
    pub facts: Facts,
    /// Records in the journal.
    pub records: u64,
}

/// The fold of the events.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(super) identity: Option<Identity>,
    pub(super) plan: Option<Box<Plan>>,
    /// SHA-256 of the sealed environment.
    pub(super) sealed: Option<B256>,
    pub(super) preparing: bool,
    /// The preparation came with a proposal; its token is on another machine.
    pub(super) imported: bool,
    pub(super) token_refused: bool,
    pub(super) prepared: Option<Preparation>,
    pub(super) verified: Option<(ComposeHash, Verification)>,
    /// The Safe transaction, once it is chosen.
    pub(super) frozen: Option<Box<Frozen>>,
    pub(super) ballots: Signatures,
    /// The transaction that is on its way is an owner's approval, not the execution.
    pub(super) errand: Option<Errand>,
    /// Transactions of the Safe that did their part, and who signed them.
    pub(super) spent: Vec<(Frozen, Signatures)>,
    /// What the timelock has.
    pub(super) scheduled: Option<Scheduled>,
    /// How often an operation was cancelled and chosen anew.
    pub(super) attempt: u64,
    /// Why the Safe transaction can never take effect.
    pub(super) safe_gone: Option<String>,
    /// When somebody decided to reject it.
    pub(super) rejecting: Option<Timestamp>,
    pub(super) signing: Option<(Address, B256)>,
    pub(super) signed: Vec<SignedTx>,
    pub(super) sent: bool,
    pub(super) seen: Option<(B256, BlockRef)>,
    pub(super) proof: Option<Box<Proof>>,
    pub(super) adopted: bool,
    pub(super) gone: Option<String>,
    pub(super) committing: bool,
    pub(super) committed: Option<(Option<Accepted>, Timestamp)>,
    pub(super) done: Option<Timestamp>,
    pub(super) abandoned: Option<String>,
    pub(super) records: u64,
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
            Event::Sealed { sha256 } => self.sealed = Some(sha256),
            Event::PrepareTry { .. } => self.preparing = true,
            Event::PrepareOk(preparation) => {
                self.imported = !self.preparing;
                self.preparing = false;
                self.token_refused = false;
                self.prepared = Some(preparation);
            }
            Event::Verified { hash, how } => self.verified = Some((hash, how)),
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
            Event::SafePinned(safe) => {
                if let Some(plan) = &mut self.plan {
                    plan.safe = Some(*safe);
                }
            }
            Event::SafeGone { why } => self.safe_gone = Some(why),
            Event::SafeReject { at } => self.rejecting = Some(at),
            Event::TimelockScheduled(scheduled) => self.take_scheduled(scheduled),
            Event::TimelockAgain => self.schedule_anew(),
            Event::SignTry { signer, digest } => self.signing = Some((signer, digest)),
            Event::TxSigned(tx) => self.take_signed(tx),
            Event::TxSent { .. } => self.sent = true,
            Event::TxSeen { hash, block } => self.seen = Some((hash, block)),
            Event::TxFinal(proof) => self.proof = Some(proof),
            Event::Adopted(proof) => {
                self.adopted = true;
                self.proof = Some(proof);
            }
            Event::TxGone { why } => self.lose_transaction(why),
            Event::CommitTry { .. } => self.committing = true,
            Event::CommitNot { token_refused, .. } => {
                self.committing = false;
                self.token_refused |= token_refused;
            }
            Event::CommitOk { accepted, at } => {
                self.committing = false;
                self.committed = Some((accepted, at));
            }
            Event::Done { at } => self.done = Some(at),
            Event::Abandoned { why } => self.abandoned = Some(why),
            Event::Note { .. } => {}
        }
        Ok(())
    }

    /// What comes next.
    pub fn next(&self) -> Step {
        if self.done.is_some() || self.abandoned.is_some() || (self.proof.is_some() && !self.has_code()) {
            Step::Finished
        } else if self.committed.is_some() {
            Step::Watch
        } else if self.committing {
            Step::Settle
        } else if self.has_code() && self.prepared.is_none() {
            Step::Prepare
        } else if self.has_code() && self.verified.is_none() {
            Step::Verify
        } else if self.proof.is_some() {
            Step::Commit
        } else if self.signed.is_empty() && self.frozen.is_none() && self.has_safe() && self.scheduled.is_none() {
            Step::Freeze
        } else if self.signed.is_empty() {
            Step::Approve
        } else if self.sent {
            Step::Wait
        } else {
            Step::Broadcast
        }
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        Status {
            step: self.next(),
            effects: self.effects(),
            facts: self.facts(),
            records: self.records,
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
            Event::Plan(_) => missing(
                self.signed.is_empty() && self.proof.is_none(),
                "something was approved already",
            ),
            Event::Sealed { .. } => missing(self.has_environment(), "the plan has no environment"),
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
            | Event::SafePinned(_) => self.safe_objection(event),
            Event::TimelockScheduled(scheduled) => missing(
                self.asked().is_some_and(|asked| asked.operation.id() == scheduled.id),
                "the operation is another one",
            ),
            Event::TimelockAgain => missing(
                self.has_timelock() && self.signed.is_empty() && self.proof.is_none(),
                "no timelock acts, or something is on its way",
            ),
            Event::SignTry { .. } => missing(self.changes().is_some(), "the hash was not verified"),
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
            Event::TxGone { .. } => missing(!self.signed.is_empty(), "nothing was signed"),
            Event::CommitTry { .. } | Event::CommitOk { .. } => missing(
                self.proof.is_some() && self.has_code(),
                "there is no proof, or nothing to commit",
            ),
            Event::CommitNot { .. } => missing(self.committing, "no commit was tried"),
            Event::Done { .. } => missing(self.committed.is_some(), "nothing was committed"),
            Event::Abandoned { .. } | Event::Note { .. } => None,
        }
    }

    /// The same for what concerns a Safe.
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
            _ => None,
        }
    }

    fn has_environment(&self) -> bool {
        self.code().is_some_and(|code| code.environment.is_some())
    }

    /// Whether the code changes. Before there is a plan nothing is known to be without.
    fn has_code(&self) -> bool {
        self.plan.as_ref().is_none_or(|plan| plan.code.is_some())
    }

    fn agrees(&self, hash: ComposeHash) -> bool {
        self.verified.as_ref().is_none_or(|(verified, _)| *verified == hash)
    }

    /// Whether a Safe has to act.
    fn has_safe(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.safe.is_some())
    }

    fn has_timelock(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.timelock.is_some())
    }

    /// What the chosen Safe transaction is for.
    pub(super) fn stage(&self) -> Option<Stage> {
        self.frozen.as_ref().map(|frozen| frozen.stage)
    }

    /// What the next Safe transaction is for, unless something else is asked.
    pub(super) fn first_stage(&self) -> Stage {
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

    /// The calls that change the policy; none before all of them are known.
    pub(super) fn calls(&self) -> Vec<Call> {
        let hash = self.verified.as_ref().map(|(hash, _)| *hash);
        self.plan().map(|plan| plan.calls_with(hash)).unwrap_or_default()
    }

    /// Whether somebody decided to reject the Safe transaction.
    pub const fn is_rejecting(&self) -> bool {
        self.rejecting.is_some()
    }

    /// Whether an owner signed a paper.
    pub(super) fn has_signed(&self, paper: Paper, owner: Address) -> bool {
        self.ballots.of(paper).is_some_and(|signed| signed.contains_key(&owner))
    }

    fn take_frozen(&mut self, frozen: Box<Frozen>) {
        self.frozen = Some(frozen);
        self.safe_gone = None;
        self.rejecting = None;
        // Signatures are for one hash.
        self.ballots = Signatures::default();
    }

    fn take_nested(&mut self, safe: SafeInfo, frozen: Frozen) {
        let nested = Nested {
            safe,
            frozen,
            // Signatures are for one hash.
            signatures: BTreeMap::new(),
        };
        self.ballots.nested.insert(nested.safe.address, nested);
    }

    /// The Safe transaction that scheduled it did its part.
    fn take_scheduled(&mut self, scheduled: Scheduled) {
        self.scheduled = Some(scheduled);
        self.spend();
    }

    fn spend(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.spent.push((*frozen, std::mem::take(&mut self.ballots)));
        }
        self.safe_gone = None;
    }

    fn schedule_anew(&mut self) {
        self.attempt += 1;
        self.scheduled = None;
        self.rejecting = None;
        self.spend();
    }

    fn end_errand(&mut self) {
        self.errand = None;
        self.signed.clear();
        self.sent = false;
        self.seen = None;
        self.gone = None;
    }

    fn take_signed(&mut self, tx: SignedTx) {
        self.signing = None;
        self.sent = false;
        self.gone = None;
        self.signed.push(tx);
    }

    fn lose_transaction(&mut self, why: String) {
        self.signed.clear();
        self.sent = false;
        self.seen = None;
        self.errand = None;
        // A reorganisation may have come after the proof.
        self.proof = None;
        self.gone = Some(why);
    }

    fn effects(&self) -> Effects {
        let of = |done: bool, maybe: bool| match (done, maybe) {
            (true, _) => Effect::Done,
            (false, true) => Effect::Maybe,
            (false, false) => Effect::None,
        };
        Effects {
            prepare: of(self.prepared.is_some(), self.preparing),
            approval: of(
                self.proof.is_some()
                    || !self.signed.is_empty()
                    || !self.ballots.approvals.is_empty()
                    || self.scheduled.is_some(),
                self.signing.is_some(),
            ),
            transaction: of(
                self.proof.is_some(),
                !self.signed.is_empty() && self.rejecting.is_none() && self.errand.is_none(),
            ),
            commit: of(self.committed.is_some(), self.committing),
            live: of(self.done.is_some(), self.committed.is_some()),
        }
    }

    fn facts(&self) -> Facts {
        let plan = self.plan.as_deref();
        let proof = self.proof.as_deref();
        let newest = self.signed.last();
        Facts {
            update: self.identity.as_ref().map(|identity| identity.update.clone()),
            cvm: self.identity.as_ref().and_then(|identity| identity.cvm.clone()),
            app: self.identity.as_ref().map(|identity| identity.app),
            chain_id: self.identity.as_ref().map(|identity| identity.chain_id),
            owner: plan.map(|plan| plan.app_state.owner),
            previous_compose_hash: plan.and_then(Plan::current_hash),
            compose_hash: self
                .prepared
                .as_ref()
                .map(|prepared| prepared.hash)
                .or_else(|| self.code().and_then(|code| code.expected_hash)),
            policy: plan.map(|plan| plan.policy.clone()).unwrap_or_default(),
            safe_tx_hash: self
                .frozen
                .as_ref()
                .map(|frozen| frozen.transaction.hash(&frozen.domain)),
            safe_nonce: self.frozen.as_ref().map(|frozen| frozen.transaction.nonce.to_string()),
            signed_by: self
                .frozen
                .as_ref()
                .map(|_| self.ballots.approvals.keys().copied().collect()),
            threshold: plan.and_then(|plan| plan.safe.as_ref()).map(|safe| safe.threshold),
            operation_id: self.asked().map(|asked| asked.operation.id()),
            ready_at: self.scheduled.and_then(|scheduled| {
                let seconds = i64::try_from(scheduled.ready_at).ok()?;
                Timestamp::from_second(seconds).ok()
            }),
            transaction_hash: proof
                .and_then(|proof| proof.transaction)
                .or_else(|| self.seen.map(|(hash, _)| hash))
                .or_else(|| newest.map(|tx| tx.hash)),
            nonce: newest.map(|tx| tx.request.nonce),
            block_number: proof
                .map(|proof| proof.block.number)
                .or_else(|| self.seen.map(|(_, block)| block.number)),
            block_hash: proof
                .map(|proof| proof.block.hash)
                .or_else(|| self.seen.map(|(_, block)| block.hash)),
            token_expires: self
                .prepared
                .as_ref()
                .filter(|prepared| prepared.token_sha256.is_some())
                .map(|prepared| prepared.expires),
            correlation_id: self
                .committed
                .as_ref()
                .and_then(|(accepted, _)| accepted.as_ref())
                .and_then(|accepted| accepted.correlation_id.clone()),
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
