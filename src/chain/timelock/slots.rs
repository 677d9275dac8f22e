//! The slots of a timelock's storage that can be named: by its roles, its delay and its operations, as its events tell them.
//! Pure.
//!
//! OpenZeppelin's `TimelockController` of 4.x and 5.x, behind no proxy: `AccessControl._roles` at 0, `_timestamps` at 1,
//! `_minDelay` at 2. A role's members are a mapping at the beginning of its entry, its admin role stands one slot after.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent;

use super::record::{Life, named, newest, told};
use super::{TimelockInfo, TimelockRelease, TimelockRole};
use crate::abi::timelock::TimelockController as T;
use crate::chain::closed::Told;
use crate::chain::logs::PlacedLog;
use crate::chain::storage::{mapping_slot, numbered};
use crate::chain::timelock_role::timelock_admin;

const ROLES: u8 = 0;
const TIMESTAMPS: u8 = 1;
const MIN_DELAY: u8 = 2;
/// What the timelock keeps of an operation that it executed.
const DONE: U256 = U256::ONE;

/// The slots that a timelock's events name, oldest first. A member of a role is asked for by the contract's own function, so
/// whoever tells of one hides nothing. An operation's place counts where its calls have its id, so that it is shown among
/// those that wait for what it is, or else once it is done, for that it stays.
pub(super) fn told_by(info: &TimelockInfo, logs: &[PlacedLog]) -> Told {
    let mut found = Told::default();
    let admin = role_of_admins(info);
    let mut of_operations: BTreeMap<B256, Vec<PlacedLog>> = BTreeMap::new();
    let mut births = BTreeSet::new();
    for placed in logs {
        if let [T::RoleGranted::SIGNATURE_HASH, role, account, ..] = *placed.log.topics() {
            found.slots.insert(member(role, Address::from_word(account)));
            if role == admin && account == info.address.into_word() {
                births.insert(placed.transaction);
            }
        } else if let Some(told) = told(&placed.log) {
            of_operations.entry(told.id).or_default().push(placed.clone());
        }
    }
    for (id, logs) in of_operations {
        let Some(life) = newest(id, &logs) else { continue };
        let slot = mapping_slot(id, numbered(TIMESTAMPS));
        if life.end.is_none() && is_told(info, id, &life, &births) {
            found.slots.insert(slot);
        } else {
            found.only.insert(slot, DONE);
        }
    }
    found.whole = !births.is_empty();
    found
}

/// Whether events tell truly what an operation is. Before 4.9 none tells the salt, so that not every id can be computed: there
/// it counts what was told in another transaction than the one that made the contract, in which anybody's code ran.
fn is_told(info: &TimelockInfo, id: B256, life: &Life, births: &BTreeSet<B256>) -> bool {
    let tells_salts =
        info.release == TimelockRelease::V5 || info.known_release().is_some_and(|name| name.starts_with("4.9"));
    named(id, life.clone()).is_some() || !(tells_salts || births.contains(&life.scheduled.transaction))
}

/// The role that administers in a release.
fn role_of_admins(info: &TimelockInfo) -> B256 {
    match info.release {
        TimelockRelease::V4 => timelock_admin(),
        TimelockRelease::V5 => TimelockRole::Admin.id(),
    }
}

/// Where the constructor of 4.x writes which role administers; 5.x writes nothing, which a development node keeps once it is
/// read. No function changes it.
pub(super) fn role_admins(info: &TimelockInfo) -> BTreeMap<B256, U256> {
    let admin = role_of_admins(info);
    let others = TimelockRole::ALL
        .into_iter()
        .filter(|role| *role != TimelockRole::Admin);
    let roles = others.map(TimelockRole::id).chain([admin]);
    let slots = roles.map(|role| B256::from(U256::from_be_bytes(entry(role).0).wrapping_add(U256::ONE)));
    let admin = U256::from_be_bytes(admin.0);
    slots.map(|slot| (slot, admin)).collect()
}

/// What functions name of every timelock: its delay, and whether everybody may execute.
pub(super) fn by_functions() -> [B256; 2] {
    let everybody = member(TimelockRole::Executor.id(), Address::ZERO);
    [numbered(MIN_DELAY), everybody]
}

fn entry(role: B256) -> B256 {
    mapping_slot(role, numbered(ROLES))
}

pub(super) fn member(role: B256, account: Address) -> B256 {
    mapping_slot(account.into_word(), entry(role))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::timelock::{TimelockCalls, TimelockOperation};
    use crate::chain::{BlockRef, Call};
    use alloy::primitives::Log;

    const TIMELOCK: Address = Address::repeat_byte(0x71);

    fn info(release: TimelockRelease) -> TimelockInfo {
        TimelockInfo {
            block: BlockRef::default(),
            address: TIMELOCK,
            code_hash: B256::ZERO,
            body_hash: None,
            implementation: None,
            implementation_code_hash: None,
            release,
            min_delay: 0,
            open_executor: true,
            separate_cancellers: true,
            admin_role: B256::ZERO,
            self_administered: true,
        }
    }

    /// An event of the transaction with this number.
    fn placed(transaction: u8, event: &impl SolEvent) -> PlacedLog {
        PlacedLog {
            log: Log {
                address: TIMELOCK,
                data: event.encode_log_data(),
            },
            block: BlockRef::default(),
            transaction: B256::with_last_byte(transaction),
            index: 0,
        }
    }

    fn operation(salt: u8) -> TimelockOperation {
        TimelockOperation {
            calls: TimelockCalls::Single(Call::add_compose_hash(Address::repeat_byte(1), B256::repeat_byte(2))),
            predecessor: B256::ZERO,
            salt: B256::with_last_byte(salt),
        }
    }

    fn scheduled(operation: &TimelockOperation) -> T::CallScheduled {
        let call = &operation.calls()[0];
        T::CallScheduled {
            id: operation.id(),
            index: U256::ZERO,
            target: call.to,
            value: call.value,
            data: call.data.clone(),
            predecessor: B256::ZERO,
            delay: U256::from(5),
        }
    }

    fn birth(release: TimelockRelease) -> PlacedLog {
        let event = T::RoleGranted {
            role: role_of_admins(&info(release)),
            account: TIMELOCK,
            sender: Address::ZERO,
        };
        placed(1, &event)
    }

    /// Whether the place of an operation counts with any value, by its events.
    fn counts(release: TimelockRelease, operation: &TimelockOperation, logs: &[PlacedLog]) -> bool {
        let found = told_by(&info(release), logs);
        let slot = mapping_slot(operation.id(), numbered(TIMESTAMPS));
        assert_ne!(found.slots.contains(&slot), found.only.get(&slot) == Some(&DONE));
        found.slots.contains(&slot)
    }

    #[test]
    fn an_operation_counts_where_its_calls_have_its_id_and_else_once_it_is_done() {
        use TimelockRelease::{V4, V5};
        let (plain, salted) = (operation(0), operation(7));
        let salt = T::CallSalt {
            id: salted.id(),
            salt: salted.salt,
        };
        let ended = T::Cancelled { id: plain.id() };
        for release in [V4, V5] {
            let birth = birth(release);
            let told = |operation: &TimelockOperation, at: u8| placed(at, &scheduled(operation));
            for at in [1, 2] {
                assert!(counts(release, &plain, &[birth.clone(), told(&plain, at)]));
                let with_salt = [birth.clone(), told(&salted, at), placed(at, &salt)];
                assert!(counts(release, &salted, &with_salt));
                let over = [birth.clone(), told(&plain, at), placed(3, &ended)];
                assert!(!counts(release, &plain, &over), "somebody said that it ended");
            }
            // Before 4.9 nothing tells a salt: only the constructor's own transaction is not believed.
            let early = [birth.clone(), told(&salted, 1)];
            assert!(!counts(release, &salted, &early));
            let later = [birth, told(&salted, 2)];
            assert_eq!(counts(release, &salted, &later), release == V4);
        }
    }

    #[test]
    fn events_are_whole_from_the_role_on_that_the_timelock_has_itself() {
        for release in [TimelockRelease::V4, TimelockRelease::V5] {
            let found = told_by(&info(release), &[birth(release)]);
            let own = member(role_of_admins(&info(release)), TIMELOCK);
            assert_eq!((found.whole, found.slots), (true, [own].into()));
            assert!(!told_by(&info(release), &[placed(2, &scheduled(&operation(0)))]).whole);
        }
        let other = birth(TimelockRelease::V4);
        assert!(!told_by(&info(TimelockRelease::V5), &[other]).whole);
    }
}
