//! Why a link of the verdict does not hold. Pure.

use alloy::primitives::B256;

use super::boot::KeyProviderKind;
use super::certificate::CertificateError;
use super::link::Link;
use super::log_error::LogError;
use super::platform::TcbStatus;
use super::quote_error::QuoteError;
use super::standing::Standing;

/// Why a link does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Nobody brought it.
    #[error("there is no {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// Another link has to hold first.
    #[error("nothing is known of it before `{0}` holds")]
    Needs(Link),
    /// The quote.
    #[error(transparent)]
    Quote(QuoteError),
    /// The event log.
    #[error(transparent)]
    Log(LogError),
    /// The guest's certificate.
    #[error(transparent)]
    Certificate(CertificateError),
    /// The log does not lead to a register before the app's own.
    #[error("the event log does not lead to RTMR{index}, which the quote measured")]
    Register {
        /// Index.
        index: u32,
    },
    /// Measured, and another.
    #[error("the {what} is {found} and not {expected}")]
    Differs {
        /// What.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The host said something else than the guest measured.
    #[error("MRCONFIGID, which the host set, says something else than the guest measured")]
    Host,
    /// A machine that is not safe enough.
    #[error("the machine is {status} by Intel's evaluation {evaluation}, which is not accepted")]
    NotSafe {
        /// Intel's word.
        status: TcbStatus,
        /// Intel's evaluation.
        evaluation: u32,
        /// Whether somebody asked for one that is.
        is_required: bool,
    },
    /// A machine that the app's contract does not allow.
    #[error("the machine {measured} is not one that the app's contract allows")]
    Device {
        /// Its name.
        measured: B256,
    },
    /// Keys from somewhere else than a KMS.
    #[error("the guest got its keys from `{}` and not from a KMS", kind.name())]
    NoKms {
        /// From where.
        kind: KeyProviderKind,
    },
    /// Keys or a certificate of another KMS.
    #[error("the KMS is not the one that the contract names")]
    OtherKms,
    /// Registers of another image.
    #[error("the image is not that of the registers that it is compared with")]
    OtherImage,
    /// The document about the image is not of what was measured.
    #[error("the host's document about the image is not of the image that was measured")]
    OtherDocument,
    /// The KMS's contract says no.
    #[error("the KMS's contract does not allow what was measured")]
    NotAllowed,
    /// The app answered with something else.
    #[error("the app's answer is not of this boot and the number that was sent to it")]
    OtherAnswer,
}

impl Reason {
    /// *Broken* where something contradicts, *not known* where something is missing.
    pub const fn standing(&self) -> Standing {
        match self {
            Self::Quote(source) => source.standing(),
            Self::Log(source) => source.standing(),
            Self::Certificate(source) => source.standing(),
            Self::NotSafe { is_required: false, .. } | Self::Missing { .. } | Self::Needs(_) => Standing::NotKnown,
            Self::NotSafe { is_required: true, .. }
            | Self::Register { .. }
            | Self::Differs { .. }
            | Self::Host
            | Self::Device { .. }
            | Self::NoKms { .. }
            | Self::OtherKms
            | Self::OtherImage
            | Self::OtherDocument
            | Self::NotAllowed
            | Self::OtherAnswer => Standing::Broken,
        }
    }
}
