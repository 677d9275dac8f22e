//! One event of a log, and the registers that events are extended into. Pure.

use std::fmt;

use alloy::primitives::FixedBytes;
use sha2::{Digest as _, Sha384};

/// A measurement register of a TD: SHA-384.
pub type Register = FixedBytes<48>;

/// The type of events that the guest extends at run time (`DSTACK_RUNTIME_EVENT_TYPE`).
pub(super) const RUNTIME_EVENT: u32 = 0x0800_0001;
/// The register of those events, and of nothing else.
pub(super) const RUNTIME_REGISTER: u32 = 3;

/// One event that was extended into a register.
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    /// Index of the run-time measurement register.
    pub register: u32,
    /// Type, as the firmware's and the guest's logs have it.
    pub kind: u32,
    /// Name; events of the firmware have none, or a label.
    pub name: String,
    /// What was measured; of the firmware's events a description that no digest covers.
    pub payload: Vec<u8>,
    /// What the register was extended with: of run-time events computed here, of others as given.
    pub digest: Register,
}

/// `value` extended by an event.
pub(super) fn extended(value: &Register, event: &Event) -> Register {
    let mut hasher = Sha384::new();
    hasher.update(value);
    hasher.update(event.digest);
    Register::from(<[u8; 48]>::from(hasher.finalize()))
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}={}", self.register, self.name, hex::encode(&self.payload))
    }
}
