//! What a timelock was asked, and has. Pure.

use crate::upgrade::{
    model::timelock_operation::{Choice, Scheduled},
    record::event::Event,
};

/// The timelock's part of an approval.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct TimelockState {
    /// What it has.
    pub(in crate::upgrade) scheduled: Option<Scheduled>,
    /// Which operation it is asked for; what follows from the upgrade's name alone was not chosen.
    pub(in crate::upgrade) chosen: Option<Choice>,
    /// How often an operation was cancelled and chosen anew.
    pub(in crate::upgrade) attempt: u64,
}

impl TimelockState {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::TimelockChosen(choice) => self.chosen = Some(*choice),
            Event::TimelockScheduled(scheduled) => self.scheduled = Some(scheduled),
            Event::TimelockUnscheduled { .. } => self.scheduled = None,
            Event::TimelockAgain => {
                self.attempt += 1;
                self.chosen = None;
                self.scheduled = None;
            }
            _ => {}
        }
    }
}
