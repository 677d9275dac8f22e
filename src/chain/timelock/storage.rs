//! Whether a timelock's storage holds more than what can be named of it: a role or an operation that was planted when it was
//! made shows in no event, and works.

use alloy::primitives::B256;
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;

use super::slots::{by_functions, member, role_admins, told_by};
use super::{PendingOperations, TimelockInfo, TimelockRole, TimelockRoles};
use crate::abi::timelock::TimelockController as T;
use crate::chain::closed::{Subject, Told};
use crate::chain::logs::PlacedLog;
use crate::chain::{BlockRef, Chain, ChainError, closed::StorageFound};

impl Chain {
    /// Whether a timelock's storage holds more than what its functions and its events name, at the block at which it was
    /// read; nothing where its code is no release that this build knows: what that keeps where, nobody knows. Round trips
    /// as for reading logs, and two more.
    ///
    /// # Errors
    /// See [`ChainError`]. What no endpoint offers is no error.
    pub async fn timelock_storage(&self, info: &TimelockInfo) -> Result<Option<StorageFound>, ChainError> {
        if info.known_release().is_none() {
            return Ok(None);
        }
        let told = |logs: &[Log]| told_by(info, &logs.iter().map(placed).collect::<Vec<_>>());
        let subject = Subject {
            contract: info.address,
            block: &info.block,
            slots: by_functions().to_vec(),
            only: role_admins(info),
            topics: vec![
                T::RoleGranted::SIGNATURE_HASH,
                T::CallScheduled::SIGNATURE_HASH,
                T::CallSalt::SIGNATURE_HASH,
                T::CallExecuted::SIGNATURE_HASH,
                T::Cancelled::SIGNATURE_HASH,
            ],
            told: &told,
        };
        Ok(Some(self.storage_check(&subject).await?.found))
    }

    /// Whether a timelock's storage holds more than what was named when its roles and operations were read, and by `told`,
    /// which an earlier reading named. No logs are read: nothing where only more of them could tell, or where the code is no
    /// release that this build knows. One round trip.
    ///
    /// # Errors
    /// See [`ChainError`]. What no endpoint offers is no error.
    pub async fn timelock_storage_as_read(
        &self,
        read: &TimelockRead,
        told: &[B256],
    ) -> Result<Option<StorageFound>, ChainError> {
        if read.info.known_release().is_none() {
            return Ok(None);
        }
        let named = read.named(told);
        let info = &read.info;
        let check = self.storage_of_slots(info.address, &info.block, &named).await?;
        Ok(check.map(|check| StorageFound {
            check,
            told: named.all(),
            by: self.believed(),
        }))
    }
}

/// A timelock as it was read at one block.
#[derive(Debug, Clone)]
pub struct TimelockRead {
    /// What it is.
    pub info: TimelockInfo,
    /// Who may act for it.
    pub roles: TimelockRoles,
    /// What waits there.
    pub waiting: PendingOperations,
}

impl TimelockRead {
    fn named(&self, told: &[B256]) -> Told {
        let Self { info, roles, waiting } = self;
        let mut named = waiting.named.clone();
        named.whole &= waiting.incomplete.is_none();
        named.slots.extend(told.iter().copied().chain(by_functions()));
        for role in TimelockRole::ALL {
            let id = info.role_id(role);
            let members = roles.of(role).iter().map(|account| member(id, *account));
            named.slots.extend(members);
        }
        named.only.extend(role_admins(info));
        named
    }
}

fn placed(log: &Log) -> PlacedLog {
    PlacedLog {
        log: log.inner.clone(),
        block: BlockRef::default(),
        transaction: log.transaction_hash.unwrap_or_default(),
        index: log.log_index.unwrap_or_default(),
    }
}
