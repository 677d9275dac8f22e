//! Which steps a goal takes: decided by their order alone.

use super::{Goal, Step, UpgradeError};

impl Goal {
    /// Whether nothing is left to do for the goal when `next` comes next.
    pub(super) fn is_reached_before(self, next: Step, no_wait: bool) -> bool {
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
    pub(super) fn permits(self, step: Step) -> Result<(), UpgradeError> {
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
