//! What a CVM should be: what the owners approved, what the contracts say, and what it was before. Pure data; whoever asked
//! for a verdict brings it.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, FixedBytes};
use serde::{Deserialize, Serialize};

use super::event::Register;
use super::platform::{TcbPolicy, TcbStatus};
use crate::compose::ComposeHash;

/// What a CVM should be. What is not known stays nothing, and the link that needs it is not known.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The manifest that was approved, by its hash.
    pub compose_hash: ComposeHash,
    /// The app: its contract.
    pub app_id: Address,
    /// The instance, as Phala Cloud records it.
    pub instance: ExpectedInstance,
    /// The machine, as Phala Cloud records it.
    pub device_id: Option<B256>,
    /// The machines that the app's contract allows.
    pub devices: Option<DevicePolicy>,
    /// The public key that the KMS's contract names (`kmsInfo().caPubkey`), in any of its encodings.
    pub kms_key: Option<Vec<u8>>,
    /// OS images that the KMS's contract allows (`allowedOsImages`), of those that were asked about.
    pub allowed_images: BTreeSet<B256>,
    /// What the KMS's contract was asked about (`isAppAllowed`), and whether it allows that.
    pub asked: Option<BootInfo>,
    /// Its answer.
    pub is_allowed: Option<bool>,
    /// Machines that are safe enough.
    pub tcb: TcbPolicy,
    /// Whether one that is not is refused: the app's contract, or whoever asks, says so (`requireTcbUpToDate`).
    pub requires_tcb: bool,
    /// Registers of before the upgrade, or of an image that somebody vouches for.
    pub reference: Option<ReferenceRegisters>,
}

/// The instance that a CVM should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedInstance {
    /// Nobody knows.
    NotKnown,
    /// The manifest says `no_instance_id`.
    Without,
    /// This one.
    Is(FixedBytes<20>),
}

/// Machines that an app's contract allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DevicePolicy {
    /// Any.
    Any,
    /// These.
    Listed(BTreeSet<B256>),
}

/// Registers of an image; RTMR3 is the app's, and RTMR0 changes with processors and memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferenceRegisters {
    /// The firmware.
    pub mrtd: Register,
    /// The virtual hardware, where it has to be the same.
    pub rtmr0: Option<Register>,
    /// The kernel.
    pub rtmr1: Register,
    /// Its command line and initial file system.
    pub rtmr2: Register,
}

/// What the KMS's contract is asked about (`DstackKms.isAppAllowed`), with what was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootInfo {
    /// The app.
    pub app_id: Address,
    /// The manifest.
    pub compose_hash: ComposeHash,
    /// The instance; zeros where there is none.
    pub instance_id: FixedBytes<20>,
    /// The machine.
    pub device_id: B256,
    /// All that was measured up to the end of the boot.
    pub mr_aggregated: B256,
    /// Firmware, image and key provider.
    pub mr_system: B256,
    /// The image that the guest was told.
    pub os_image_hash: B256,
    /// How safe the machine is.
    pub tcb_status: TcbStatus,
    /// Intel's advisories about it.
    pub advisories: Vec<String>,
}
