//! How the calls get the owner's authority.

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use crate::chain::OwnerKind;
use crate::safe::SafeInfo;
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
}
