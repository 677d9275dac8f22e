//! What an upgrade knows and what comes next. Pure: no I/O, no clock.
//!
//! The state is the fold of the journal's events; an event that the state does not allow is refused. Each part has a file
//! and takes in what concerns it; `objections` says which event may come, `calls` which calls follow.

pub(super) mod about;
mod batch;
mod calls;
mod commit;
mod kms;
mod objections;
mod prepare;
mod proof;
mod safe;
mod timelock;
mod tx;

use std::sync::OnceLock;

use alloy::primitives::{Address, B256};

use crate::chain::{AppChanges, Proof, factory::DeployedApp};
use crate::compose::{ComposeHash, Verification};
use crate::upgrade::{
    accepted::Acceptance,
    model::{
        deployment::Deployment,
        plan::{CodeChange, Plan},
        safe_approval::{SafeApproval, SafeTxRole, Stage},
        tx_purpose::TxPurpose,
    },
    record::{
        event::{Event, Identity, IllegalStep},
        step::Step,
    },
};
pub(in crate::upgrade) use about::About;
pub(in crate::upgrade) use tx::SentAgreement;

/// The fold of the events.
#[derive(Debug, Clone, Default)]
pub struct State {
    pub(in crate::upgrade) identity: Option<Identity>,
    pub(in crate::upgrade) about: Option<About>,
    pub(in crate::upgrade) prepare: prepare::PrepareState,
    pub(in crate::upgrade) batch: batch::BatchState,
    pub(in crate::upgrade) safe: safe::SafeState,
    pub(in crate::upgrade) timelock: timelock::TimelockState,
    pub(in crate::upgrade) tx: tx::TxState,
    pub(in crate::upgrade) proof: proof::ProofState,
    pub(in crate::upgrade) commit: commit::CommitState,
    /// Doubts that somebody agreed to by name, for this upgrade.
    pub(in crate::upgrade) accepted: Vec<Acceptance>,
    pub(in crate::upgrade) abandoned: Option<String>,
    pub(in crate::upgrade) records: u64,
    /// The Safe's approval, rebuilt once between two events: its signatures are recovered one by one.
    ceremony: OnceLock<SafeApproval>,
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

    /// Takes one event in.
    ///
    /// # Errors
    /// The state does not allow it; the state is unchanged.
    pub fn apply(&mut self, event: Event) -> Result<(), IllegalStep> {
        self.check(&event)?;
        self.records += 1;
        self.ceremony = OnceLock::new();
        self.apply_across(&event);
        match event {
            Event::Open(identity) => self.identity = Some(identity),
            Event::Plan(_) | Event::Deploy(_) | Event::Deployed(_) | Event::SafePinned(_) => self.apply_subject(event),
            Event::Sealed { .. } | Event::PrepareTry { .. } | Event::PrepareOk(_) | Event::Verified { .. } => {
                self.prepare.apply(event);
            }
            Event::Joined(_) | Event::Joins { .. } | Event::JoinedFinal(_) => self.batch.apply(event),
            Event::SafeFrozen(_)
            | Event::SafeSignature { .. }
            | Event::SafeNested { .. }
            | Event::SafeGone { .. }
            | Event::SafeReject { .. } => self.safe.apply(event),
            Event::TimelockChosen(_)
            | Event::TimelockScheduled(_)
            | Event::TimelockUnscheduled { .. }
            | Event::TimelockAgain => self.timelock.apply(event),
            Event::SafePurpose { .. }
            | Event::SafePurposeDone { .. }
            | Event::SignTry { .. }
            | Event::TxSigned(_)
            | Event::TxSent { .. }
            | Event::TxSeen { .. }
            | Event::TxGone { .. } => self.tx.apply(event),
            Event::TxFinal(_) | Event::Adopted(_) | Event::ProofGone { .. } => self.proof.apply(event),
            Event::CommitTry { .. }
            | Event::CommitNot { .. }
            | Event::CommitOk { .. }
            | Event::CommitVoid { .. }
            | Event::Done { .. } => self.commit.apply(event),
            Event::Abandoned { why } => self.abandoned = Some(why),
            Event::Accepted(acceptance) => self.accepted.push(acceptance),
            Event::Note { .. } => {}
        }
        Ok(())
    }

    fn apply_subject(&mut self, event: Event) {
        match (event, &mut self.about) {
            (Event::Plan(plan), about) => *about = Some(About::Upgrade(plan)),
            (Event::Deploy(intended), about) => *about = Some(About::NewApp { intended, made: None }),
            (Event::Deployed(app), Some(About::NewApp { made, .. })) => *made = Some(app),
            (Event::SafePinned(safe), Some(About::Upgrade(plan))) => plan.safe = Some(*safe),
            _ => {}
        }
    }

    /// What an event changes in parts that are not its own, before its own part takes it in.
    fn apply_across(&mut self, event: &Event) {
        match event {
            Event::PrepareTry { there, .. } => self.commit.remember(self.prepare.trying, there.clone()),
            Event::CommitNot { .. } => self.prepare.apply(event.clone()),
            Event::SafeSignature { .. } => self.tx.apply(event.clone()),
            Event::SafePurposeDone { .. } => self.safe.approved.extend(self.tx.purpose.and_then(TxPurpose::owner)),
            // What executed another one is no matter any more.
            Event::SafeFrozen(_) if self.safe.gone.is_some() => self.tx.gone = None,
            // The Safe transaction that scheduled it did its part.
            Event::TimelockScheduled(_) if self.timelock.scheduled.is_none() => self.safe.spend(),
            Event::TimelockUnscheduled { .. } => self.safe.schedule_again(),
            Event::TimelockAgain => {
                self.tx.gone = None;
                self.safe.rejecting = None;
                self.safe.spend();
            }
            Event::TxSigned(tx) => {
                let agreement = self.safe.chosen_hash().map(|approval| SentAgreement {
                    from: tx.request.from,
                    purpose: self.tx.purpose,
                    approval,
                    rejects: self.is_rejecting(),
                });
                self.tx.agreements.extend(agreement);
            }
            // What the same transaction did elsewhere is as doubtful, and our own bytes are waited for again.
            Event::ProofGone { .. } => {
                self.batch.proofs.clear();
                self.tx.seen = None;
            }
            Event::TxGone { .. } => {
                self.batch.proofs.clear();
                self.proof.apply(event.clone());
            }
            _ => {}
        }
    }

    /// What comes next.
    pub fn next(&self) -> Step {
        if self.commit.done.is_some()
            || self.abandoned.is_some()
            || self.deployed().is_some()
            || (self.proof().is_some() && !self.has_code())
        {
            Step::Finished
        } else if self.commit.committed.is_some() && self.proof.gone.is_none() {
            Step::Watch
        } else if self.commit.committed.is_some() && self.tx.signed.is_empty() {
            Step::Wait
        } else if self.commit.committed.is_some() {
            self.next_of_transaction()
        } else if self.commit.trying {
            Step::Settle
        } else if self.has_code() && (self.prepare.answer.is_none() || self.prepare.outdated) {
            Step::Prepare
        } else if self.has_code() && self.prepare.verified.is_none() {
            Step::Verify
        } else if self.proof().is_some() {
            Step::Commit
        } else if self.tx.signed.is_empty() && (self.lacks_operation() || self.lacks_safe_tx()) {
            Step::Freeze
        } else {
            self.next_of_transaction()
        }
    }

    /// What comes next of a transaction, whatever it is for.
    pub(in crate::upgrade) const fn next_of_transaction(&self) -> Step {
        match (self.tx.signed.is_empty(), self.tx.sent) {
            (true, _) => Step::Approve,
            (false, true) => Step::Wait,
            (false, false) => Step::Broadcast,
        }
    }

    /// As if nothing had been proved: for showing what a chain took back. No record says so.
    pub fn forget_proof(&mut self) {
        if let Some(block) = self.proof().map(|proof| proof.block) {
            let event = Event::ProofGone { block };
            self.apply_across(&event);
            self.proof.apply(event);
        }
    }

    /// As if nothing had been scheduled: for showing what is scheduled no more. No record says so.
    pub fn forget_scheduling(&mut self) {
        self.ceremony = OnceLock::new();
        self.safe.schedule_again();
        self.timelock.scheduled = None;
    }

    /// Which upgrade this is.
    pub const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The plan, once there is one.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.about {
            Some(About::Upgrade(plan)) => Some(plan),
            _ => None,
        }
    }

    /// The new app that is intended, if one is.
    pub fn deployment(&self) -> Option<&Deployment> {
        match &self.about {
            Some(About::NewApp { intended, .. }) => Some(intended),
            _ => None,
        }
    }

    /// The new app, once it is made and proved.
    pub fn deployed(&self) -> Option<&DeployedApp> {
        match &self.about {
            Some(About::NewApp { made, .. }) => made.as_deref(),
            _ => None,
        }
    }

    /// The proof, once there is one.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.proof.as_deref()
    }

    /// What changes of the code that runs; `None`: only the policy changes.
    pub fn code(&self) -> Option<&CodeChange> {
        self.plan().and_then(|plan| plan.code.as_ref())
    }

    /// What has to be in force on chain in the end; `None` before all of it is known.
    pub fn changes(&self) -> Option<AppChanges> {
        let plan = self.plan()?;
        let hash = self.prepare.verified.as_ref().map(|(hash, _)| *hash);
        Some(AppChanges {
            app: plan.app,
            changes: plan.changes_with(hash)?,
        })
    }

    /// The hash that was checked, and how.
    pub const fn verified(&self) -> Option<&(ComposeHash, Verification)> {
        self.prepare.verified.as_ref()
    }

    /// Takes over what only a journal knows of the same proposal: who prepared it, and what was agreed to by name.
    pub fn is_kept_by(&mut self, journal: &Self) {
        if let (Some(here), Some(own)) = (&mut self.prepare.answer, &journal.prepare.answer) {
            here.token_sha256 = own.token_sha256;
        }
        self.accepted.clone_from(&journal.accepted);
    }

    /// Whether nothing was prepared yet.
    pub(in crate::upgrade) fn is_new(&self) -> bool {
        self.prepare.answer.is_none() && self.next() == Step::Prepare
    }

    /// Whether a preparation can take the place of an earlier one: no commit may have been made with that.
    pub(in crate::upgrade) const fn may_prepare_again(&self) -> bool {
        self.prepare.answer.is_some() && !self.commit.trying && self.commit.committed.is_none()
    }

    fn has_environment(&self) -> bool {
        self.code().is_some_and(|code| code.environment.is_some())
    }

    /// Whether the code changes. Before there is a plan nothing is known to be without.
    fn has_code(&self) -> bool {
        match &self.about {
            None => true,
            Some(About::Upgrade(plan)) => plan.code.is_some(),
            Some(About::NewApp { .. }) => false,
        }
    }

    /// Whether a Safe has to act.
    pub(in crate::upgrade) fn has_safe(&self) -> bool {
        self.plan().is_some_and(|plan| plan.safe.is_some())
    }

    fn has_timelock(&self) -> bool {
        self.plan().is_some_and(|plan| plan.timelock.is_some())
    }

    /// What the chosen Safe transaction is for.
    pub(in crate::upgrade) fn stage(&self) -> Option<Stage> {
        self.safe.stage()
    }

    /// What the next Safe transaction is for, unless something else is asked.
    pub(in crate::upgrade) fn first_stage(&self) -> Stage {
        if self.has_timelock() {
            Stage::Schedule
        } else {
            Stage::Policy
        }
    }

    /// Whether the transaction that was chosen can never take effect, so that the change needs another nonce.
    pub const fn needs_new_nonce(&self) -> bool {
        self.safe.gone.is_some() || self.tx.gone.is_some()
    }

    /// Whether it came as a proposal from another machine, which has the commit token.
    pub const fn is_adopted(&self) -> bool {
        self.prepare.imported
    }

    /// Whether somebody decided to reject the Safe transaction.
    pub const fn is_rejecting(&self) -> bool {
        self.safe.rejecting.is_some()
    }

    /// Whether enough owners of an owner that is a Safe have signed its transaction, as far as signatures prove that.
    pub fn nested_is_signed(&self, child: Address) -> bool {
        let have = self.safe.signatures.proven(SafeTxRole::Nested(child)).len();
        let nested = self.safe.signatures.nested.get(&child);
        nested.is_some_and(|nested| u64::try_from(have).is_ok_and(|have| have >= nested.safe.threshold))
    }

    /// Whether the approval is not signed any more, since somebody decided to reject it, and where that is known from.
    pub(in crate::upgrade) fn refused_here(&self) -> Option<String> {
        let elsewhere = self.safe.rejected_at.as_ref().map(|place| format!(" (`{place}`)"));
        elsewhere.or_else(|| self.is_rejecting().then(String::new))
    }

    /// The hash of the Safe transaction that was chosen.
    pub(in crate::upgrade) fn chosen_hash(&self) -> Option<B256> {
        self.safe.chosen_hash()
    }

    /// Whether an owner signed the Safe transaction of a role.
    pub(in crate::upgrade) fn has_signed(&self, role: SafeTxRole, owner: Address) -> bool {
        self.safe.signatures.proven(role).contains(&owner)
    }

    /// Whether it began with a proposal that was prepared on another machine.
    pub(in crate::upgrade) const fn is_from_elsewhere(&self) -> bool {
        self.prepare.from_elsewhere
    }
}

#[cfg(test)]
mod tests;
