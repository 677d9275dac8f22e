//! Why a timelock refuses: the named errors of 5.x and the texts of 4.x, as one list in our words. Pure.

use std::fmt;

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::{Revert, SolError, SolInterface};

use super::timelock_role::TimelockRole;
use crate::abi::timelock::TimelockController::TimelockControllerErrors as Named;

/// Why a timelock refused a call. What an older one does not tell is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimelockRefusal {
    /// Executed too early, twice, or without having been scheduled.
    NotReady,
    /// An operation with this id is scheduled or executed already.
    AlreadyScheduled,
    /// Cancelled, and not scheduled.
    NotPending,
    /// The delay is below the smallest one.
    InsufficientDelay {
        /// Asked for and smallest, seconds.
        delays: Option<(U256, U256)>,
    },
    /// The account has not the role.
    MissingRole {
        /// The account without the role.
        account: Address,
        /// Identifier of the role.
        role: B256,
    },
    /// The operation before it is not done.
    PredecessorNotDone,
    /// Only the timelock itself may change its delay, by an operation.
    OnlyItself,
    /// Targets, values and payloads are not equally many.
    Lengths,
    /// A role can be given up only by who has it.
    NotOwnRole,
    /// A call inside failed (4.x; 5.x passes on that call's own reason).
    CallFailed,
}

/// What 4.x says, without the contract's name.
const TEXTS: [(&str, TimelockRefusal); 8] = [
    ("operation is not ready", TimelockRefusal::NotReady),
    ("operation already scheduled", TimelockRefusal::AlreadyScheduled),
    ("operation cannot be cancelled", TimelockRefusal::NotPending),
    (
        "insufficient delay",
        TimelockRefusal::InsufficientDelay { delays: None },
    ),
    ("missing dependency", TimelockRefusal::PredecessorNotDone),
    ("caller must be timelock", TimelockRefusal::OnlyItself),
    ("length mismatch", TimelockRefusal::Lengths),
    ("underlying transaction reverted", TimelockRefusal::CallFailed),
];

impl TimelockRefusal {
    /// The refusal in revert data; `None` for anything else.
    pub fn decode(data: &[u8]) -> Option<Self> {
        if let Ok(text) = Revert::abi_decode(data) {
            return Self::of_text(&text.reason);
        }
        Some(match Named::abi_decode(data).ok()? {
            Named::TimelockUnexpectedOperationState(error) => Self::of_states(error.expectedStates)?,
            Named::TimelockInsufficientDelay(error) => Self::InsufficientDelay {
                delays: Some((error.delay, error.minDelay)),
            },
            Named::AccessControlUnauthorizedAccount(error) => Self::MissingRole {
                account: error.account,
                role: error.neededRole,
            },
            Named::TimelockUnexecutedPredecessor(_) => Self::PredecessorNotDone,
            Named::TimelockUnauthorizedCaller(_) => Self::OnlyItself,
            Named::TimelockInvalidOperationLength(_) => Self::Lengths,
            Named::AccessControlBadConfirmation(_) => Self::NotOwnRole,
        })
    }

    fn of_text(text: &str) -> Option<Self> {
        if let Some(reason) = text.strip_prefix("TimelockController: ") {
            return TEXTS
                .into_iter()
                .find(|(known, _)| *known == reason)
                .map(|(_, refusal)| refusal);
        }
        let (account, role) = text
            .strip_prefix("AccessControl: account ")?
            .split_once(" is missing role ")?;
        Some(Self::MissingRole {
            account: account.parse().ok()?,
            role: role.parse().ok()?,
        })
    }

    /// By the states that the operation should have been in: bit 0 unset, 1 waiting, 2 ready, 3 done.
    fn of_states(expected: B256) -> Option<Self> {
        let bits = U256::from_be_bytes(expected.0);
        match u8::try_from(bits).ok()? {
            0b0001 => Some(Self::AlreadyScheduled),
            0b0100 => Some(Self::NotReady),
            0b0110 => Some(Self::NotPending),
            _ => None,
        }
    }
}

impl fmt::Display for TimelockRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady => f.write_str("the operation is not ready to be executed"),
            Self::AlreadyScheduled => f.write_str("the operation was scheduled before"),
            Self::NotPending => f.write_str("the operation is not scheduled"),
            Self::InsufficientDelay { delays: None } => {
                f.write_str("the delay is shorter than the timelock's smallest")
            }
            Self::InsufficientDelay {
                delays: Some((asked, smallest)),
            } => write!(
                f,
                "a delay of {asked} seconds is shorter than the timelock's smallest of {smallest}"
            ),
            Self::MissingRole { account, role } => match TimelockRole::of_id(*role) {
                Some(role) => write!(f, "{account} has not the role of {role}"),
                None => write!(f, "{account} has not the role {role}"),
            },
            Self::PredecessorNotDone => f.write_str("the operation that has to come before it is not done"),
            Self::OnlyItself => f.write_str("only an operation of the timelock may change its delay"),
            Self::Lengths => f.write_str("targets, values and payloads are not equally many"),
            Self::NotOwnRole => f.write_str("a role can be given up only by who has it"),
            Self::CallFailed => f.write_str("a call of the operation failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{address, hex, keccak256};
    use alloy::sol_types::SolError;

    use super::*;
    use crate::abi::timelock::TimelockController as T;

    #[test]
    fn l1_l2_l6_l7_l8_named_errors_and_texts_are_one_refusal() {
        let id = B256::repeat_byte(1);
        let account = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
        let role = keccak256("PROPOSER_ROLE");
        let state = |bits: u8| T::TimelockUnexpectedOperationState {
            operationId: id,
            expectedStates: B256::with_last_byte(bits),
        };
        let missing = T::AccessControlUnauthorizedAccount {
            account,
            neededRole: role,
        };
        let text = |reason: &str| Revert::from(reason).abi_encode();
        let told = format!(
            "AccessControl: account {} is missing role {role}",
            account.to_string().to_lowercase()
        );
        for (named, text, words) in [
            (
                state(4).abi_encode(),
                text("TimelockController: operation is not ready"),
                "not ready",
            ),
            (
                state(1).abi_encode(),
                text("TimelockController: operation already scheduled"),
                "scheduled before",
            ),
            (
                state(6).abi_encode(),
                text("TimelockController: operation cannot be cancelled"),
                "is not scheduled",
            ),
            (missing.abi_encode(), text(&told), "has not the role of proposer"),
            (
                T::TimelockUnexecutedPredecessor { predecessorId: id }.abi_encode(),
                text("TimelockController: missing dependency"),
                "has to come before",
            ),
        ] {
            let refusal = TimelockRefusal::decode(&named).unwrap();
            assert_eq!(TimelockRefusal::decode(&text), Some(refusal.clone()));
            assert!(refusal.to_string().contains(words), "{refusal}");
        }
        let short = T::TimelockInsufficientDelay {
            delay: U256::from(5),
            minDelay: U256::from(7),
        };
        let short = TimelockRefusal::decode(&short.abi_encode()).unwrap().to_string();
        assert!(short.contains("5 seconds") && short.contains("of 7"), "{short}");
        assert_eq!(
            TimelockRefusal::decode(&text("TimelockController: insufficient delay")),
            Some(TimelockRefusal::InsufficientDelay { delays: None })
        );
    }

    #[test]
    fn other_reasons_are_none_of_a_timelock() {
        for other in [
            Vec::new(),
            hex!("118cdaa7").to_vec(),
            Revert::from("Upgrades are permanently disabled").abi_encode(),
            Revert::from("TimelockController: something new").abi_encode(),
            T::TimelockUnexpectedOperationState {
                operationId: B256::ZERO,
                expectedStates: B256::ZERO,
            }
            .abi_encode(),
        ] {
            assert_eq!(TimelockRefusal::decode(&other), None);
        }
    }
}
