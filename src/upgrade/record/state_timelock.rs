//! What the records say of the operation at the timelock. Pure.

use crate::chain::Call;
use crate::upgrade::{
    Plan, State,
    model::{
        safe_approval::Stage,
        timelock_operation::{Asked, Choice},
    },
    record::event::Event,
};

impl State {
    /// What the timelock is asked to do; `None`: none acts, or not all is known yet.
    pub(in crate::upgrade) fn asked(&self) -> Option<Asked> {
        let (update, plan) = (&self.identity()?.update, self.plan()?);
        let choice = match &self.chosen {
            Some(choice) => choice.clone(),
            None if plan.chooses_its_operation() => return None,
            None => Choice::by_name(self.attempt),
        };
        Asked::of(update, plan, (&self.calls(), choice))
    }

    /// Which operation was chosen; what follows from the upgrade's name alone was not.
    pub(in crate::upgrade) const fn chosen(&self) -> Option<&Choice> {
        self.chosen.as_ref()
    }

    /// Whether an operation has to be chosen before anything else is asked of the timelock.
    pub(in crate::upgrade) fn lacks_operation(&self) -> bool {
        self.chosen.is_none() && self.scheduled.is_none() && self.plan().is_some_and(Plan::chooses_its_operation)
    }

    /// Whether a Safe's owners are to sign what is not chosen yet; what a timelock has needs no signature of theirs.
    pub(in crate::upgrade) fn lacks_safe_tx(&self) -> bool {
        self.frozen.is_none() && self.has_safe() && self.scheduled.is_none()
    }

    /// Why an operation cannot be chosen now.
    pub(in crate::upgrade) fn chosen_objection(&self, event: &Event) -> Option<&'static str> {
        let Event::TimelockChosen(choice) = event else {
            return None;
        };
        let (Some(identity), Some(plan)) = (self.identity(), self.plan()) else {
            return Some("there is no plan");
        };
        if !plan.chooses_its_operation() || choice.rule.is_name() {
            return Some("its operation follows from its name");
        }
        if self.scheduled.is_some() || self.frozen.is_some() || !self.signed.is_empty() || self.proof().is_some() {
            return Some("an operation was asked for already");
        }
        match Asked::of(&identity.update, plan, (&self.calls(), choice.as_ref().clone())) {
            Some(_) => None,
            None => Some("the operation is not one of its calls"),
        }
    }

    /// The calls that a Safe makes at a stage.
    pub(in crate::upgrade) fn calls_at(&self, stage: Stage) -> Vec<Call> {
        match stage {
            Stage::Policy => self.calls(),
            other => self.asked().and_then(|asked| asked.call(other)).into_iter().collect(),
        }
    }
}
