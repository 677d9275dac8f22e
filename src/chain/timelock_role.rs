//! Who may do what at a timelock.

use alloy::primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimelockRole {
    /// Schedule.
    Proposer,
    /// Execute what is ready.
    Executor,
    /// Cancel what is scheduled.
    Canceller,
    /// Grant and revoke roles, without a delay.
    Admin,
}

impl TimelockRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Proposer, Self::Executor, Self::Canceller, Self::Admin];

    /// Identifier of the role in `AccessControl`; the admin's is that of 5.x, see [`crate::chain::timelock::TimelockInfo::role_id`].
    pub(super) fn id(self) -> B256 {
        match self {
            Self::Proposer => keccak256("PROPOSER_ROLE"),
            Self::Executor => keccak256("EXECUTOR_ROLE"),
            Self::Canceller => keccak256("CANCELLER_ROLE"),
            Self::Admin => B256::ZERO,
        }
    }
    /// The role with this identifier; 4.x and 5.x name the admin's differently.
    pub fn of_id(id: B256) -> Option<Self> {
        if id == timelock_admin() {
            return Some(Self::Admin);
        }
        Self::ALL.into_iter().find(|role| role.id() == id)
    }
}

impl std::fmt::Display for TimelockRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Proposer => "proposer",
            Self::Executor => "executor",
            Self::Canceller => "canceller",
            Self::Admin => "admin",
        })
    }
}

/// The role that administers in 4.x.
pub(super) fn timelock_admin() -> B256 {
    keccak256("TIMELOCK_ADMIN_ROLE")
}
