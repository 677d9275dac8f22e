//! Where the contracts of apps and of KMSs keep what matters to an upgrade. Pure.
//!
//! A contract that keeps it elsewhere shows zero in these slots: that is not known, and differs from nothing.

use alloy::primitives::{Address, B256};

use super::super::app::IMPLEMENTATION_SLOT;
use super::super::closed::{NAMESPACES, device_slots, hash_slots};
use super::super::storage::{mapping_slot, numbered};
use super::ContractSlots;

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

/// Where a KMS's contract (DstackKms) keeps which apps it knows, which OS images it allows, and the code of new apps.
const APPS: u8 = 5;
const OS_IMAGES: u8 = 8;
const APP_IMPLEMENTATION: u8 = 9;

/// Slots of a KMS: its implementation (ERC-1967), its owner (ERC-7201, OpenZeppelin 5), the code of new apps, whether it
/// knows `app`, and whether it allows `os_images`.
pub fn kms_slots(kms: Address, app: Address, os_images: &[B256]) -> ContractSlots {
    let mut slots = vec![IMPLEMENTATION_SLOT];
    slots.extend(NAMESPACES);
    slots.push(numbered(APP_IMPLEMENTATION));
    slots.push(mapping_slot(app.into_word(), numbered(APPS)));
    slots.extend(os_images.iter().map(|image| mapping_slot(*image, numbered(OS_IMAGES))));
    ContractSlots { contract: kms, slots }
}
