//! The calls that an upgrade asks for, and the Safe transactions that make them, rebuilt from what is recorded. Pure.

use crate::chain::Call;
use crate::upgrade::{
    UpgradeError,
    model::Plan,
    model::{
        proposal::Proposal,
        safe_approval::{SafeApproval, Stage},
        timelock_operation::{Asked, Choice},
    },
    record::state::State,
};

impl State {
    /// What the timelock is asked to do; `None`: none acts, or not all is known yet.
    pub(in crate::upgrade) fn asked(&self) -> Option<Asked> {
        let (update, plan) = (&self.identity()?.update, self.plan()?);
        let choice = match &self.timelock.chosen {
            Some(choice) => choice.clone(),
            None if plan.chooses_its_operation() => return None,
            None => Choice::by_name(self.timelock.attempt),
        };
        Asked::of(update, plan, &self.calls(), choice)
    }

    /// Whether an operation has to be chosen before anything else is asked of the timelock.
    pub(in crate::upgrade) fn lacks_operation(&self) -> bool {
        self.timelock.chosen.is_none()
            && self.timelock.scheduled.is_none()
            && self.plan().is_some_and(Plan::chooses_its_operation)
    }

    /// Whether a Safe's owners are to sign what is not chosen yet; what a timelock has needs no signature of theirs.
    pub(in crate::upgrade) fn lacks_safe_tx(&self) -> bool {
        self.safe.frozen.is_none() && self.has_safe() && self.timelock.scheduled.is_none()
    }

    /// The calls that a Safe makes at a stage.
    pub(in crate::upgrade) fn calls_at(&self, stage: Stage) -> Vec<Call> {
        match stage {
            Stage::Policy => self.calls(),
            other => self.asked().and_then(|asked| asked.call(other)).into_iter().collect(),
        }
    }

    /// The Safe transaction and its signatures, rebuilt; `None` before it was chosen.
    ///
    /// # Errors
    /// What is recorded is not what the plan asks for.
    pub fn ceremony(&self) -> Result<Option<SafeApproval>, UpgradeError> {
        if let Some(ceremony) = self.ceremony.get() {
            return Ok(Some(ceremony.clone()));
        }
        let (Some(plan), Some(frozen)) = (self.plan(), &self.safe.frozen) else {
            return Ok(None);
        };
        let rebuilt = SafeApproval::new(plan, &self.calls_at(frozen.stage), frozen, &self.safe.signatures)?;
        Ok(Some(self.ceremony.get_or_init(|| rebuilt).clone()))
    }

    /// The current Safe transaction and its signatures, or the last spent one, which scheduled the operation, where
    /// none is chosen.
    pub(in crate::upgrade) fn last_ceremony(&self) -> Result<Option<SafeApproval>, UpgradeError> {
        match (self.plan(), self.safe.spent.last()) {
            (Some(plan), Some((frozen, signatures))) if self.safe.frozen.is_none() => {
                SafeApproval::new(plan, &self.calls_at(frozen.stage), frozen, signatures).map(Some)
            }
            _ => self.ceremony(),
        }
    }

    /// Every Safe transaction that was chosen here, also those that did their part, as far as they can be rebuilt.
    pub(in crate::upgrade) fn ceremonies(&self) -> Vec<SafeApproval> {
        let spent = self.safe.spent.iter().map(|(frozen, signatures)| (frozen, signatures));
        let all = spent.chain(
            self.safe
                .frozen
                .as_deref()
                .map(|frozen| (frozen, &self.safe.signatures)),
        );
        let Some(plan) = self.plan() else { return Vec::new() };
        all.filter_map(|(frozen, signatures)| {
            SafeApproval::new(plan, &self.calls_at(frozen.stage), frozen, signatures).ok()
        })
        .collect()
    }

    /// The calls that change the policy, of all apps; none before all of them are known.
    pub(in crate::upgrade) fn calls(&self) -> Vec<Call> {
        let hash = self.prepare.verified.as_ref().map(|(hash, _)| *hash);
        let own = self.plan().map(|plan| plan.calls_with(hash)).unwrap_or_default();
        let others = self.batch.others.iter().flat_map(Proposal::own_calls);
        own.into_iter().chain(others).collect()
    }
}
