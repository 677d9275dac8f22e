//! Why an event log shows nothing, and whether that contradicts the CVM or is only not known. Pure.

use super::event::Register;
use super::standing::Standing;
use crate::text::shorten;

/// Longest log that is read, bytes: real ones have 5 kB, and an app may add to its own.
pub(super) const MAX_LOG_BYTES: usize = 1024 * 1024;
/// Characters of a stranger's name that a message repeats.
const MAX_NAME: usize = 60;

/// Why an event log shows no boot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// More than is read.
    #[error("the event log has {found} bytes, and at most {MAX_LOG_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// More events than are read.
    #[error("the event log has {found} events, and so many are not read")]
    TooMany {
        /// Events found.
        found: usize,
    },
    /// No JSON array of events.
    #[error("the event log is no list of events that is known here")]
    Json(#[source] serde_json::Error),
    /// Something that should be hex digits, without `0x`.
    #[error("`{what}` of event {at} is not hex")]
    Hex {
        /// Index of the event.
        at: usize,
        /// Field.
        what: &'static str,
        /// Why.
        #[source]
        source: hex::FromHexError,
    },
    /// A digest of the firmware's log that is no SHA-384.
    #[error("the digest of event {at} has {found} bytes and not 48")]
    DigestLength {
        /// Index of the event.
        at: usize,
        /// Bytes found.
        found: usize,
    },
    /// A register that no TD has.
    #[error("event {at} is of register {register}, which no TD has")]
    NoSuchRegister {
        /// Index of the event.
        at: usize,
        /// Register.
        register: u32,
    },
    /// A way to make digests that is not known here.
    #[error("event {at} has digests of version {version}, which is not known here")]
    Version {
        /// Index of the event.
        at: usize,
        /// Version.
        version: u32,
    },
    /// A run-time event outside RTMR3, or another event inside.
    #[error("event {at} of type {kind:#010x} is said to be in register {register}, where such an event never is")]
    ForeignRegister {
        /// Index of the event.
        at: usize,
        /// Register.
        register: u32,
        /// Type.
        kind: u32,
    },
    /// The digest that came with an event is not that of its name and payload.
    #[error(
        "the digest of event {at} `{}` is not that of its name and payload",
        shorten(name, MAX_NAME)
    )]
    Digest {
        /// Index of the event.
        at: usize,
        /// Name.
        name: String,
    },
    /// The preimage that came with an event is not that of its name and payload.
    #[error(
        "the preimage of event {at} `{}` is not that of its name and payload",
        shorten(name, MAX_NAME)
    )]
    Preimage {
        /// Index of the event.
        at: usize,
        /// Name.
        name: String,
    },
    /// No point of the log has the register's value.
    #[error("the event log leads to RTMR3 {found} and never to {measured}, which the quote measured")]
    Register {
        /// Where the log ends.
        found: Register,
        /// What the quote says.
        measured: Register,
    },
    /// A name twice before `system-ready`, so that two readers could see two identities.
    #[error("the event `{}` comes twice before `system-ready`", shorten(name, MAX_NAME))]
    Twice {
        /// Name.
        name: String,
    },
    /// A colon in a name before `system-ready`: the digest would be the same if the text were cut at another colon.
    #[error(
        "the event `{}` before `system-ready` has a colon in its name, where its text can be cut in two ways",
        shorten(name, MAX_NAME)
    )]
    Colon {
        /// Name.
        name: String,
    },
    /// The boot had not ended when it was measured.
    #[error("the boot was measured before `system-ready`, when it had not ended")]
    NotReady,
    /// An event where no known guest has it.
    #[error(
        "the event `{}` stands where no guest that is known here has it",
        shorten(name, MAX_NAME)
    )]
    Order {
        /// Name.
        name: String,
    },
    /// An event that every known guest has.
    #[error("the event `{name}` is missing before `system-ready`")]
    Missing {
        /// Name.
        name: &'static str,
    },
    /// A payload of another length than every known guest gives it.
    #[error("the payload of `{name}` has {found} bytes, which is not its length")]
    Length {
        /// Name.
        name: &'static str,
        /// Bytes found.
        found: usize,
    },
    /// A key provider that is described in another way.
    #[error("the key provider is described in a way that is not known here")]
    KeyProvider,
}

impl LogError {
    /// *Broken* where the log contradicts itself or the register, *not known* where it is only of another format, or
    /// incomplete.
    pub const fn standing(&self) -> Standing {
        match self {
            Self::ForeignRegister { .. }
            | Self::Digest { .. }
            | Self::Preimage { .. }
            | Self::Register { .. }
            | Self::Twice { .. }
            | Self::Colon { .. } => Standing::Broken,
            Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::Json(_)
            | Self::Hex { .. }
            | Self::DigestLength { .. }
            | Self::NoSuchRegister { .. }
            | Self::Version { .. }
            | Self::NotReady
            | Self::Order { .. }
            | Self::Missing { .. }
            | Self::Length { .. }
            | Self::KeyProvider => Standing::NotKnown,
        }
    }
}
