//! How the calls get the owner's authority.

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use crate::chain::OwnerKind;
use crate::safe::info::SafeInfo;
use crate::upgrade::model::actor::{Actor, TimelockPlan};

/// How the calls get the owner's authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Route {
    /// The owner is a key.
    Eoa {
        /// Owner.
        owner: Address,
    },
    /// The owner is a Safe: its owners sign, anybody executes.
    Safe {
        /// Owner.
        owner: Address,
    },
    /// The owner is a timelock: somebody schedules, and after a delay somebody executes.
    Timelock {
        /// Owner.
        owner: Address,
        /// Who schedules: a key, or a Safe whose owners sign.
        proposer: Address,
    },
    /// The owner is another contract; its calldata is shown, and the effect is waited for.
    Calldata {
        /// Owner.
        owner: Address,
    },
}

impl Route {
    /// The route that whoever has to act needs.
    pub(in crate::upgrade) fn of(actor: Actor, safe: Option<&SafeInfo>, timelock: Option<&TimelockPlan>) -> Self {
        let owner = actor.address;
        match (actor.kind, timelock, safe) {
            (OwnerKind::Contract, Some(timelock), _) => Self::Timelock {
                owner,
                proposer: timelock.proposer,
            },
            (OwnerKind::Contract, None, Some(_)) => Self::Safe { owner },
            (OwnerKind::Contract, None, None) => Self::Calldata { owner },
            (OwnerKind::Nobody | OwnerKind::Eoa | OwnerKind::DelegatedEoa, ..) => Self::Eoa { owner },
        }
    }

    /// Its name, as proposals write it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Eoa { .. } => "eoa",
            Self::Safe { .. } => "safe",
            Self::Timelock { .. } => "timelock",
            Self::Calldata { .. } => "calldata",
        }
    }

    /// Who signs as a key: the owner, or who schedules unless that is a Safe.
    pub(in crate::upgrade) const fn key(&self, by_safe: bool) -> Option<Address> {
        match self {
            Self::Eoa { owner } => Some(*owner),
            Self::Timelock { proposer, .. } if !by_safe => Some(*proposer),
            _ => None,
        }
    }

    /// The owner, where it makes one call in one transaction, or where that is not known.
    pub(in crate::upgrade) const fn single_caller(&self) -> Option<Address> {
        match self {
            Self::Eoa { owner } | Self::Calldata { owner } => Some(*owner),
            Self::Safe { .. } | Self::Timelock { .. } => None,
        }
    }

    /// Whether the owner is a key.
    pub const fn is_key(&self) -> bool {
        matches!(self, Self::Eoa { .. })
    }

    /// Whether the owner is a Safe.
    pub const fn is_safe(&self) -> bool {
        matches!(self, Self::Safe { .. })
    }

    /// Whether the owner is a timelock.
    pub const fn is_timelock(&self) -> bool {
        matches!(self, Self::Timelock { .. })
    }

    /// Whether the owner is a contract of which only the calldata is shown.
    pub const fn is_calldata(&self) -> bool {
        matches!(self, Self::Calldata { .. })
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Eoa { owner } => write!(f, "key {owner}"),
            Self::Safe { owner } => write!(f, "Safe {owner}"),
            Self::Timelock { owner, proposer } => write!(f, "timelock {owner}, proposed by {proposer}"),
            Self::Calldata { owner } => write!(f, "contract {owner}, by calldata"),
        }
    }
}
