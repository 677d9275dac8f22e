//! What was found last of a contract's storage. Data only.

use alloy::primitives::{Address, B256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain::{
    BlockRef,
    closed::{StorageCheck, StorageFound},
};
use crate::safe::standing::StandingApproval;

/// Names the format.
pub(in crate::upgrade) const SCHEMA: &str = "countersign.checked/1";

/// What was found of one contract's storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageNote {
    pub(in crate::upgrade) schema: String,
    /// Chain id.
    pub chain_id: u64,
    /// Contract.
    pub contract: Address,
    /// The block at which it was so.
    pub block: BlockRef,
    /// What was found.
    pub found: StorageCheck,
    /// Slots that only the contract's events name, where they had to be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<B256>,
    /// Endpoints on whose word it rests which slots there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// Approvals that stand in a Safe's, also those of owners who are none any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standing: Vec<StandingApproval>,
    /// Time of the reading.
    pub at: Timestamp,
}

impl StorageNote {
    /// What was found of a contract just now.
    pub fn now(chain_id: u64, contract: Address, block: BlockRef, found: StorageFound) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            chain_id,
            contract,
            block,
            found: found.check,
            told: found.told,
            by: found.by,
            standing: Vec::new(),
            at: Timestamp::now(),
        }
    }

    /// Sets the approvals that stand in the Safe whose storage it is about.
    #[must_use]
    pub fn with_approvals(mut self, standing: Vec<StandingApproval>) -> Self {
        self.standing = standing;
        self
    }

    /// The approvals that count for the Safe as it is now.
    pub fn counted(&self, owners: &[Address], is_owner: bool) -> Vec<StandingApproval> {
        let counted = self.standing.iter().filter_map(|one| one.counted(owners, is_owner));
        counted.collect()
    }

    /// Whether it takes the place of what was found before: not knowing takes nothing back, and a doubt goes only by the
    /// word of everybody by whose word it came.
    pub fn replaces(&self, last: &Self) -> bool {
        match self.found {
            StorageCheck::NotChecked { .. } => false,
            StorageCheck::NotClosed { .. } => true,
            StorageCheck::Closed { .. } => {
                last.doubt().is_none() || last.by.iter().all(|endpoint| self.by.contains(endpoint))
            }
        }
    }

    /// The doubt that it is, if it is one.
    pub fn doubt(&self) -> Option<String> {
        let StorageCheck::NotClosed { .. } = self.found else {
            return None;
        };
        Some(format!(
            "the storage of {} holds something that no function and no event of it names: a module, an owner, a role or a \
             hash may be hidden there (read at block {})",
            self.contract, self.block.number
        ))
    }
}

/// What is known of the storage of the contracts of a change, before it is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::upgrade) struct Storages {
    /// What this machine found last and is a doubt still.
    pub(in crate::upgrade) doubts: Vec<StorageNote>,
    /// What was newly found, for whoever keeps it.
    pub(in crate::upgrade) newly: Vec<StorageNote>,
    /// Approvals that stand in Safes, as was found when their history was read.
    pub(in crate::upgrade) standing: Vec<(Address, StandingApproval)>,
    /// What nobody knows, one sentence each.
    pub(in crate::upgrade) not_checked: Vec<String>,
}

impl Storages {
    /// Takes in what is known of other contracts.
    pub(in crate::upgrade) fn add(&mut self, other: Self) {
        self.doubts.extend(other.doubts);
        self.newly.extend(other.newly);
        self.standing.extend(other.standing);
        self.not_checked.extend(other.not_checked);
    }
}
