//! What the hardware measured of a CVM: quotes of Intel TDX, event logs of dstack guests, and the certificates that hold both.
//!
//! Pure but for [`mod@fetch`]: bytes in, findings out. Nothing else here talks to a network, and nothing opens a file or reads a
//! clock; whoever fetched the evidence brings it, with the time at which it is looked at.
//!
//! Every step has three answers ([`Standing`]): it holds, it is broken, or it is not known. Broken is only what contradicts:
//! a signature, a digest, a register, a key. Another format, something that is missing, collateral of another time is not
//! known, and never counts as shown.
//!
//! A log says what the guest's own system measured. It means nothing unless firmware and kernel, the registers before
//! RTMR3, are those of an image that is allowed: whoever boots a kernel of his own in a genuine TD can extend what he likes.
//!
//! ```
//! use countersign::attest::{EventLog, Register, Standing};
//!
//! let log = EventLog::parse(br#"[{"imr":3,"event_type":134217729,"digest":"","event":"system-preparing","event_payload":""}]"#)?;
//! // A boot that was measured before it ended shows nothing, and contradicts nothing.
//! let early = log.boot(&log.replay(3)).unwrap_err();
//! assert_eq!(early.standing(), Standing::NotKnown);
//! // A register that the log never leads to contradicts it.
//! let other = log.boot(&Register::repeat_byte(1)).unwrap_err();
//! assert_eq!(other.standing(), Standing::Broken);
//! # Ok::<(), countersign::attest::LogError>(())
//! ```

mod boot;
mod certificate;
pub mod collateral;
mod config_id;
mod event;
mod expected;
pub mod fetch;
mod image;
mod image_document;
mod link;
mod log;
mod log_error;
mod platform;
mod quote;
mod quote_error;
mod reader;
mod reason;
mod report;
mod root;
pub mod saved;
mod standing;
mod verdict;
mod versioned;
mod x509;

pub use boot::{Boot, KeyProvider, KeyProviderKind};
pub use certificate::{AppCertificate, CertificateError, CertifiedEvidence};
pub use collateral::Collateral;
pub use config_id::ConfigId;
pub use event::{Event, Register};
pub use expected::{BootInfo, DevicePolicy, Expected, ExpectedInstance, ReferenceRegisters};
pub use image::ImageWay;
pub use link::Link;
pub use log::EventLog;
pub use log_error::LogError;
pub use platform::{NoTcbStatus, Platform, TcbPolicy, TcbStatus};
pub use quote::{PlatformIdentity, Quote};
pub use quote_error::QuoteError;
pub use reason::Reason;
pub use report::{TdFault, TdReport};
pub use root::Root;
pub use standing::Standing;
pub use verdict::{Evidence, Finding, Verdict};
pub use versioned::{Versioned, VersionedError};
pub use x509::P256Key;

#[cfg(test)]
mod certificate_tests;
#[cfg(test)]
mod log_tests;
#[cfg(test)]
mod quote_tests;
#[cfg(test)]
mod sample;
#[cfg(test)]
#[path = "../../tests/it/support/attestation.rs"]
#[allow(
    unreachable_pub,
    missing_debug_implementations,
    missing_docs,
    reason = "tests of other kinds take it too"
)]
mod synthetic;
#[cfg(test)]
mod verdict_tests;
