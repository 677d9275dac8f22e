//! Which steps a goal takes: decided by their order alone.

use crate::upgrade::{Goal, State, Step, UpgradeError};

impl Goal {
    /// Whether nothing is left to do for the goal when `next` comes next.
    pub(in crate::upgrade) fn is_reached_before(self, next: Step, no_wait: bool) -> bool {
        let last = match self {
            Self::Verified => Step::Verify,
            Self::Prepared => Step::Freeze,
            Self::Executed => Step::Broadcast,
            Self::Proved => Step::Wait,
            Self::Committed | Self::Live if no_wait => Step::Settle,
            Self::Committed | Self::Live => Step::Watch,
        };
        next > last
    }

    /// Refuses a step that belongs to an earlier command.
    pub(in crate::upgrade) fn permits(self, step: Step) -> Result<(), UpgradeError> {
        let first = match self {
            Self::Verified | Self::Prepared | Self::Live => Step::Prepare,
            Self::Executed | Self::Proved => Step::Freeze,
            Self::Committed => Step::Commit,
        };
        if step >= first {
            return Ok(());
        }
        let (message, command) = match step {
            Step::Prepare | Step::Verify => ("nothing was prepared and verified yet", "prepare"),
            Step::Freeze | Step::Approve | Step::Broadcast => ("nothing was sent to the chain yet", "execute"),
            _ => ("the effect on chain is not proved yet", "wait"),
        };
        Err(UpgradeError::TooEarly {
            message: message.to_owned(),
            command,
        })
    }
}

impl State {
    /// What has to be done before the step that was too early, where that is not its execution: owners have to sign first.
    pub(in crate::upgrade) fn before_execution(&self, early: UpgradeError) -> UpgradeError {
        let safe = self.plan().and_then(|plan| plan.safe.as_ref());
        let (Some(safe), true) = (
            safe.filter(|_| self.safe.frozen.is_some()),
            self.next() == Step::Approve,
        ) else {
            return early;
        };
        let have = self.agreed().len();
        match early {
            UpgradeError::TooEarly { .. } if u64::try_from(have).is_ok_and(|have| have < safe.threshold) => {
                UpgradeError::TooEarly {
                    message: format!("{have} of {} owners signed the Safe transaction", safe.threshold),
                    command: "review",
                }
            }
            other => other,
        }
    }
}
