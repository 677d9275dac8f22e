//! Which steps a goal takes, and when it is reached. Pure.

use crate::code::Code;
use crate::upgrade::{
    Goal, UpgradeError,
    model::tx_purpose::TxPurpose,
    record::{State, Step},
};

impl Goal {
    /// The step that comes next for the goal. What only sends a transaction has no other steps than those.
    pub(in crate::upgrade) fn next(self, state: &State) -> Step {
        match self {
            Self::ApprovedOnChain(_) | Self::Rejected => state.next_of_transaction(),
            _ => state.next(),
        }
    }

    /// Whether nothing is left to do.
    pub(in crate::upgrade) fn is_reached(self, state: &State, no_wait: bool) -> bool {
        // Nothing is reported of what was committed with a proof that is gone before it is proved anew.
        let commit = &state.commit;
        let lost = state.proof.gone.is_some() && commit.committed.is_some() && commit.done.is_none();
        let last = match self {
            Self::Verified => Step::Verify,
            Self::Prepared => Step::Freeze,
            // What is on its way to the timelock is not the transaction that was asked for.
            Self::Executed if state.tx.purpose.is_some() => return false,
            Self::Executed => Step::Broadcast,
            Self::Proved => Step::Wait,
            Self::Committed | Self::Live if no_wait => Step::Settle,
            Self::Committed | Self::Live => Step::Watch,
            // The chain says whether it is.
            Self::ApprovedOnChain(_) => return false,
            Self::Rejected => return state.abandoned.is_some() || state.safe.gone.is_some(),
        };
        !lost && self.next(state) > last
    }

    /// Refuses what belongs to an earlier command, or waits for the transaction of another one.
    pub(in crate::upgrade) fn permits(self, state: &State) -> Result<(), UpgradeError> {
        let first = match self {
            Self::Verified | Self::Prepared | Self::Live => Step::Prepare,
            Self::Executed | Self::Proved => Step::Freeze,
            // A commit that was begun with a proof that is gone goes on where the change is proved anew.
            Self::Committed if state.proof.gone.is_some() => Step::Freeze,
            Self::Committed => Step::Commit,
            Self::ApprovedOnChain(_) | Self::Rejected => return self.permits_transaction(state),
        };
        let step = self.next(state);
        if step >= first {
            return Ok(());
        }
        let (message, command) = match step {
            Step::Prepare | Step::Verify => ("nothing was prepared and verified yet", "prepare"),
            Step::Freeze | Step::Approve => ("nothing that makes the change was sent to the chain yet", "execute"),
            Step::Broadcast => (
                "no endpoint has taken the signed transaction yet, as far as is known",
                "execute",
            ),
            _ => ("the effect on chain is not proved yet", "wait"),
        };
        Err(state.before_execution(UpgradeError::TooEarly {
            message: message.to_owned(),
            command,
        }))
    }

    fn permits_transaction(self, state: &State) -> Result<(), UpgradeError> {
        let is_ours = match self {
            Self::Rejected => state.is_rejecting() || state.tx.purpose == Some(TxPurpose::Cancel),
            _ => state.tx.purpose.is_some(),
        };
        if state.tx.signed.is_empty() || is_ours {
            return Ok(());
        }
        Err(UpgradeError::decide(
            Code::TxInFlight,
            "a transaction of this upgrade was sent already; wait for it first",
        ))
    }
}

impl State {
    /// What has to be done before the step that was too early, where that is not its execution: owners have to sign first.
    fn before_execution(&self, early: UpgradeError) -> UpgradeError {
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
