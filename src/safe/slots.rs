//! The slots of a Safe's storage that can be named, from its getters and from its events, and whether it has others: a
//! module or an owner that was planted when the Safe was set up shows in no getter, and works.
//!
//! A Safe takes whoever stands in its mapping for a module or an owner; its lists are only what it shows (Safe's
//! `ModuleManager.isModuleEnabled`, `OwnerManager.isOwner`).

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, U256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;

use super::info::{
    FALLBACK_HANDLER_SLOT, Finding, GUARD_SLOT, MODULE_GUARD_SLOT, SENTINEL, SafeInfo, Trust, approved_hash_slot,
    message_slot,
};
use super::standing::{StandingApproval, standing};
use crate::abi::safe_told::SafeTold as E;
use crate::chain::{
    Chain, ChainError, StorageSubject, Told,
    closed::{StorageCheck, StorageFound},
    mapping_slot, numbered,
};

/// Singleton, bases of the lists of modules and owners, their number, threshold, nonce, and the domain separator of Safes
/// before 1.3.0.
const NUMBERED: std::ops::RangeInclusive<u8> = 0..=6;
const SINGLETON: u8 = 0;
const MODULES: u8 = 1;
const OWNERS: u8 = 2;
const OWNER_COUNT: u8 = 3;
const THRESHOLD: u8 = 4;
const NONCE: u8 = 5;

/// Whether a Safe's storage holds more than what its getters and events name, at the block at which it was read, and which
/// approvals stand there. One round trip where getters name all; those of reading logs, and one more, where they do not, and
/// those of looking for what was executed where approvals stand.
///
/// # Errors
/// See [`ChainError`]. What no endpoint offers is no error: [`StorageCheck::NotChecked`] says why.
pub async fn check_storage(
    chain: &Chain,
    info: &SafeInfo,
) -> Result<(StorageFound, Vec<StandingApproval>), ChainError> {
    let subject = StorageSubject {
        contract: info.address,
        block: &info.block,
        slots: named_by_getters(info),
        only: Default::default(),
        topics: vec![
            E::SafeSetup::SIGNATURE_HASH,
            E::SignMsg::SIGNATURE_HASH,
            E::ApproveHash::SIGNATURE_HASH,
            E::RemovedOwner::SIGNATURE_HASH,
            E::DisabledModule::SIGNATURE_HASH,
        ],
        told: &told,
    };
    let read = chain.storage_check(&subject).await?;
    let standing = standing(chain, info, &read).await?;
    Ok((read.found, standing))
}

/// Whether a Safe's storage holds nothing but what its getters name and `told`, which an earlier reading of its events
/// named, or why nobody tells; nothing where it holds more. One round trip, and no logs.
///
/// # Errors
/// See [`ChainError`].
pub async fn check_named_storage(
    chain: &Chain,
    info: &SafeInfo,
    told: &[B256],
) -> Result<Option<StorageCheck>, ChainError> {
    let slots = named_by_getters(info).into_iter().chain(told.iter().copied());
    let named = Told {
        slots: slots.collect(),
        ..Told::default()
    };
    chain.storage_of_slots(info.address, &info.block, &named).await
}

/// A Safe and the Safes that own it, from whose slots something follows: one whose code nobody vouches for keeps what it
/// likes where it likes. Two round trips for every Safe behind it.
///
/// # Errors
/// See [`ChainError`].
pub async fn with_known_code(chain: &Chain, info: &SafeInfo, trust: &Trust) -> Result<Vec<SafeInfo>, ChainError> {
    let mut all = vec![info.clone()];
    for owner in info.contract_owners.iter().filter(|owner| owner.safe.is_some()) {
        if all.iter().any(|known| known.address == owner.address) {
            continue;
        }
        all.extend(SafeInfo::read_at(chain, owner.address, &info.block).await?);
    }
    all.retain(|info| has_known_code(info, trust));
    Ok(all)
}

/// Whether somebody vouches for the code of a Safe: proxy and singleton.
pub(crate) fn has_known_code(info: &SafeInfo, trust: &Trust) -> bool {
    !info.findings(trust).iter().any(is_other_code)
}

const fn is_other_code(finding: &Finding) -> bool {
    matches!(
        finding,
        Finding::UnknownSingleton { .. } | Finding::UnknownProxy { .. } | Finding::NotASingleton { .. }
    )
}

/// The slots in which a Safe keeps its code, its owners, their number and its threshold.
pub fn owner_slots(owners: &[Address]) -> Vec<B256> {
    let singles = [SINGLETON, OWNER_COUNT, THRESHOLD, NONCE].map(numbered);
    let entries = [SENTINEL].into_iter().chain(owners.iter().copied()).map(owner_slot);
    singles.into_iter().chain(entries).collect()
}

/// Where a Safe keeps the owner that follows `owner` in its list; the list begins and ends with the sentinel.
fn owner_slot(owner: Address) -> B256 {
    mapping_slot(owner.into_word(), numbered(OWNERS))
}

/// Whether the slots of [`owner_slots`] show exactly these owners, in the order of the Safe's list, and this threshold;
/// nothing where no slot contradicts it and one is not known, or where the contract keeps nothing there.
pub fn shows_owners(owners: &[Address], threshold: u64, value: impl Fn(B256) -> Option<U256>) -> Option<bool> {
    let count = value(numbered(OWNER_COUNT)).filter(|count| !count.is_zero())?;
    let listed = [&[SENTINEL], owners, &[SENTINEL]].concat();
    let follows = |pair: &[Address]| {
        let [owner, next] = pair else { return Some(true) };
        Some(value(owner_slot(*owner))? == U256::from_be_bytes(next.into_word().0))
    };
    let one_owner_each = Some(count == U256::from(owners.len()));
    let same_threshold = value(numbered(THRESHOLD)).map(|found| found == U256::from(threshold));
    let shown: Vec<Option<bool>> = listed
        .windows(2)
        .map(follows)
        .chain([one_owner_each, same_threshold])
        .collect();
    match shown.contains(&Some(false)) {
        true => Some(false),
        false => shown.into_iter().collect::<Option<Vec<bool>>>().map(|_all| true),
    }
}

fn named_by_getters(info: &SafeInfo) -> Vec<B256> {
    let entry = |list: u8| move |member: Address| mapping_slot(member.into_word(), numbered(list));
    let modules = info.modules.iter().copied().chain([SENTINEL]).map(entry(MODULES));
    let owners = info.owners.iter().copied().chain([SENTINEL]).map(entry(OWNERS));
    let singles = [GUARD_SLOT, MODULE_GUARD_SLOT, FALLBACK_HANDLER_SLOT];
    let all = NUMBERED.map(numbered).chain(singles).chain(modules).chain(owners);
    all.collect()
}

/// Messages that the Safe signed and hashes that its owners approved. What is told in the transaction that set it up nobody
/// did who had the right to, so it is not named: `setup` runs code of the caller's choice, before its event until 1.4.1 and
/// after it in 1.5.0.
fn told(logs: &[Log]) -> Told {
    let is_setup = |log: &&Log| log.topic0() == Some(&E::SafeSetup::SIGNATURE_HASH);
    let setups: BTreeSet<_> = logs.iter().filter(is_setup).map(|log| log.transaction_hash).collect();
    let begun = logs.iter().rposition(|log| setups.contains(&log.transaction_hash));
    let since = logs.iter().skip(begun.map_or(0, |begun| begun + 1));
    Told {
        slots: since.clone().filter_map(slot).collect(),
        only: Default::default(),
        emptied: since.filter_map(emptied).collect(),
        whole: begun.is_some(),
    }
}

/// Where an owner or a module stood that was removed: named in a topic, or in the data by 1.3.0.
fn emptied(log: &Log) -> Option<B256> {
    let list = match *log.topics().first()? {
        E::RemovedOwner::SIGNATURE_HASH => OWNERS,
        E::DisabledModule::SIGNATURE_HASH => MODULES,
        _ => return None,
    };
    let member = match (log.topics(), log.inner.data.data.as_chunks::<32>()) {
        ([_], ([member], [])) => B256::from(*member),
        ([_, member], _) => *member,
        _ => return None,
    };
    Some(mapping_slot(member, numbered(list)))
}

fn slot(log: &Log) -> Option<B256> {
    match *log.topics() {
        [E::SignMsg::SIGNATURE_HASH, message] => Some(message_slot(message)),
        [E::ApproveHash::SIGNATURE_HASH, hash, owner] => Some(approved_hash_slot(Address::from_word(owner), hash)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::b256;

    use super::*;

    /// An event of the transaction with this number.
    fn log(transaction: u8, topics: &[B256]) -> Log {
        Log {
            inner: alloy::primitives::Log::new_unchecked(Address::ZERO, topics.to_vec(), Default::default()),
            transaction_hash: Some(B256::with_last_byte(transaction)),
            ..Log::default()
        }
    }

    #[test]
    fn events_are_known_by_the_topics_of_every_release() {
        let approve = b256!("f2a0eb156472d1440255b0d7c1e19cc07115d1051fe605b0dce69acfec884d9c");
        let message = b256!("e7f4675038f4f6034dfcbbb24c4dc08e4ebf10eb9d257d3d02c0f38d122ac6e4");
        let setup = b256!("141df868a6331af528e38c83b7aa03edc19be66e37ae67f9285bf4f8e3c6a1a8");
        assert_eq!(E::ApproveHash::SIGNATURE_HASH, approve);
        assert_eq!(E::SignMsg::SIGNATURE_HASH, message);
        assert_eq!(E::SafeSetup::SIGNATURE_HASH, setup);
    }

    #[test]
    fn what_was_approved_while_the_safe_was_set_up_is_not_named() {
        let setup = |transaction| log(transaction, &[E::SafeSetup::SIGNATURE_HASH, B256::ZERO]);
        let owner = Address::repeat_byte(7).into_word();
        let approved = |transaction: u8, byte: u8| {
            log(
                transaction,
                &[E::ApproveHash::SIGNATURE_HASH, B256::repeat_byte(byte), owner],
            )
        };
        let of = |byte: u8| approved_hash_slot(Address::repeat_byte(7), B256::repeat_byte(byte));
        for planted in [[approved(1, 1), setup(1)], [setup(1), approved(1, 1)]] {
            let logs = [planted.to_vec(), vec![approved(2, 2)]].concat();
            let known = told(&logs);
            assert_eq!((known.slots, known.whole), ([of(2)].into(), true));
        }
        // Whoever tells of a setup of its own first gains nothing.
        let known = told(&[setup(1), approved(1, 1), setup(1), approved(1, 3), approved(2, 2)]);
        assert_eq!(known.slots, [of(2)].into());
        let known = told(&[approved(1, 1), approved(2, 2)]);
        assert_eq!((known.slots, known.whole), ([of(1), of(2)].into(), false));
    }

    #[test]
    fn who_was_removed_is_named_by_either_layout_of_the_event() {
        let member = Address::repeat_byte(7).into_word();
        let topic = log(1, &[E::RemovedOwner::SIGNATURE_HASH, member]);
        let mut data = log(1, &[E::DisabledModule::SIGNATURE_HASH]);
        data.inner.data.data = member.to_vec().into();
        let expected = [(OWNERS, &topic), (MODULES, &data)];
        for (list, log) in expected {
            assert_eq!(emptied(log), Some(mapping_slot(member, numbered(list))));
            assert_eq!(slot(log), None);
        }
    }
}
