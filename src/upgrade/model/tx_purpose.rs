//! Why a transaction is sent that is not the change of policy itself. Data only.

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use crate::upgrade::model::safe_approval::Stage;

/// An approval that is sent to the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TxPurpose {
    /// An owner's key sends `approveHash`.
    Approve(Address),
    /// Anybody executes the transaction of the Safe that is an owner.
    Nested(Address),
    /// The change is scheduled at a timelock.
    Schedule,
    /// What is scheduled there is cancelled.
    Cancel,
}

impl TxPurpose {
    /// The owner whose approval it is; nobody's for what a timelock is asked.
    pub const fn owner(self) -> Option<Address> {
        match self {
            Self::Approve(owner) | Self::Nested(owner) => Some(owner),
            Self::Schedule | Self::Cancel => None,
        }
    }

    /// What a Safe makes calls for when it does that.
    pub(in crate::upgrade) const fn stage(self) -> Option<Stage> {
        match self {
            Self::Approve(_) | Self::Nested(_) => None,
            Self::Schedule => Some(Stage::Schedule),
            Self::Cancel => Some(Stage::Cancel),
        }
    }
}
