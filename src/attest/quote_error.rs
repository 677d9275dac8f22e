//! Why a quote shows nothing, and whether that contradicts the CVM or is only not known. Pure.

use jiff::Timestamp;

use super::report::TdFault;
use super::standing::Standing;

/// Longest quote that is read, bytes: real ones have 5 kB.
pub(super) const MAX_QUOTE_BYTES: usize = 64 * 1024;

/// Why a quote is not shown to be genuine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuoteError {
    /// More than is read.
    #[error("the quote has {found} bytes, and at most {MAX_QUOTE_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// It ends too early, or its parts do not fill it.
    #[error("the quote is incomplete: its {part} cannot be read")]
    Incomplete {
        /// Which part.
        part: &'static str,
    },
    /// Of another version.
    #[error("quotes of version {found} are not known here")]
    Version {
        /// Version.
        found: u16,
    },
    /// Of another technology.
    #[error("the quote is not of Intel TDX but of type {found:#x}")]
    NotTdx {
        /// Type.
        found: u32,
    },
    /// Signed in another way, by another vendor's enclave, or with another report inside.
    #[error("the quote has another {part} than is known here")]
    Format {
        /// Which part.
        part: &'static str,
    },
    /// Something stands behind its end.
    #[error("{found} bytes that are not zeros stand behind the end of the quote, and nothing covers them")]
    Tail {
        /// Bytes behind the end.
        found: usize,
    },
    /// The platform's certificate is elsewhere.
    #[error("the platform's certificate is not in the quote: its certification data is of type {found}")]
    NoPlatformCertificate {
        /// Type of the certification data.
        found: u16,
    },
    /// The platform's certificate cannot be read.
    #[error("the platform's certificate cannot be read")]
    PlatformCertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A signature that is none.
    #[error("the signature of the {of} is not valid")]
    Signature {
        /// What should be signed.
        of: &'static str,
    },
    /// The platform's certificate does not come from the root.
    #[error("the platform's certificate does not come from Intel")]
    Root,
    /// Somebody outside may look into it, or move it.
    #[error("the trust domain is not closed: {}", told(.0))]
    Td(Vec<TdFault>),
    /// Collateral of another kind of machine.
    #[error("the collateral is of machines {found} and the quote of machines {quoted}")]
    OtherPlatform {
        /// FMSPC of the collateral.
        found: String,
        /// FMSPC of the quote.
        quoted: String,
    },
    /// Collateral that is not of this time.
    #[error("the collateral is good from {from} until {until}, and not at {at}")]
    NotCurrent {
        /// From when.
        from: Timestamp,
        /// Until when.
        until: Timestamp,
        /// When it was looked at.
        at: Timestamp,
    },
    /// Intel's collateral says nothing of this platform.
    #[error("Intel's collateral has no level for this platform")]
    NoLevel(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Intel revoked the platform's level.
    #[error("Intel revoked the keys of platforms like this one")]
    Revoked(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Intel's rules refuse it.
    #[error("the quote is not genuine by Intel's collateral")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl QuoteError {
    /// *Broken* where a signature, a certificate or an attribute contradicts, *not known* where the format or the
    /// collateral does not allow an answer.
    pub const fn standing(&self) -> Standing {
        match self {
            Self::Signature { .. } | Self::Root | Self::Td(_) | Self::Revoked(_) | Self::Refused(_) => Standing::Broken,
            Self::TooLong { .. }
            | Self::Incomplete { .. }
            | Self::Version { .. }
            | Self::NotTdx { .. }
            | Self::Format { .. }
            | Self::Tail { .. }
            | Self::NoPlatformCertificate { .. }
            | Self::PlatformCertificate(_)
            | Self::OtherPlatform { .. }
            | Self::NotCurrent { .. }
            | Self::NoLevel(_) => Standing::NotKnown,
        }
    }
}

fn told(faults: &[TdFault]) -> String {
    faults.iter().map(TdFault::to_string).collect::<Vec<_>>().join("; ")
}
