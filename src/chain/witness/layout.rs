//! Where the contracts of apps and of KMSs keep what matters to an upgrade. Pure.
//!
//! A contract that keeps it elsewhere shows zero in these slots: that is not known, and differs from nothing.

use alloy::primitives::{Address, B256, U256};

use super::super::app::IMPLEMENTATION_SLOT;
use super::super::closed::{NAMESPACES, device_slots, hash_slots};
use super::super::storage::{mapping_slot, numbered};
use super::{ContractSlots, ShownContract};

/// Slots of an app: its implementation (ERC-1967), its owner and pending owner (ERC-7201, OpenZeppelin 5), the small
/// numbers where its switches are (in DstackApp since July 2025: 1 says in its lowest byte whether upgrades are disabled,
/// in the one above whether any device may run it; 3 whether the platform has to be up to date), and whether it allows
/// `hashes` and `devices`.
pub fn app_slots(app: Address, hashes: &[B256], devices: &[B256]) -> ContractSlots {
    let mut slots = vec![IMPLEMENTATION_SLOT];
    slots.extend(NAMESPACES);
    slots.extend((0..=4).map(numbered));
    slots.extend(hashes.iter().flat_map(|hash| hash_slots(*hash)));
    slots.extend(devices.iter().flat_map(|device| device_slots(*device)));
    ContractSlots { contract: app, slots }
}

/// Where a KMS's contract (DstackKms) keeps which apps it knows, and the code of new apps.
const APPS: u8 = 5;
const APP_IMPLEMENTATION: u8 = 9;

/// Slots of a KMS: its implementation (ERC-1967), its owner (ERC-7201, OpenZeppelin 5), the code of new apps, and whether it
/// knows `app`.
pub fn kms_slots(kms: Address, app: Address) -> ContractSlots {
    let mut slots = vec![IMPLEMENTATION_SLOT];
    slots.extend(NAMESPACES);
    slots.push(numbered(APP_IMPLEMENTATION));
    slots.push(app_slot(app));
    ContractSlots { contract: kms, slots }
}

fn app_slot(app: Address) -> B256 {
    mapping_slot(app.into_word(), numbered(APPS))
}

/// What slots of [`app_slots`] and [`kms_slots`] say. `None` and `false` are *not known*: they were not asked for, do not
/// follow from the root, or the contract keeps it elsewhere.
impl ShownContract {
    /// Its implementation (ERC-1967).
    pub fn implementation(&self) -> Option<Address> {
        self.address(IMPLEMENTATION_SLOT)
    }

    /// Its owner (ERC-7201, OpenZeppelin 5).
    pub fn owner(&self) -> Option<Address> {
        let [owner, _, _] = NAMESPACES;
        self.address(owner)
    }

    /// Whether it is an app that allows a compose hash.
    pub fn allows_hash(&self, hash: B256) -> bool {
        hash_slots(hash).into_iter().any(|slot| self.says_yes(slot))
    }

    /// Whether it is an app that allows a device.
    pub fn allows_device(&self, device: B256) -> bool {
        device_slots(device).into_iter().any(|slot| self.says_yes(slot))
    }

    /// Whether it is a KMS that knows an app.
    pub fn knows_app(&self, app: Address) -> bool {
        self.says_yes(app_slot(app))
    }

    fn value(&self, slot: B256) -> Option<U256> {
        self.slots.get(&slot)?.ok()
    }

    fn says_yes(&self, slot: B256) -> bool {
        self.value(slot) == Some(U256::ONE)
    }

    fn address(&self, slot: B256) -> Option<Address> {
        let word = B256::from(self.value(slot)?);
        let is_one = !word.is_zero() && word.iter().take(12).all(|byte| *byte == 0);
        is_one.then(|| Address::from_word(word))
    }
}
