//! The certificate of a CVM's guest (RA-TLS, dstack `ra-tls`): a chain from the KMS's own authority, with a quote and an event
//! log inside, and a key that the quote names. Pure.
//!
//! dstack signs such a certificate for a key that its quote names, for an app that the KMS's contract allows, after it looked
//! at the image: so the chain is the KMS's word for the CVM, if its authority is the one that the contract names.

use std::io::Read as _;

use alloy::primitives::{Address, FixedBytes};
use flate2::read::GzDecoder;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha512};

use super::log::EventLog;
use super::log_error::LogError;
use super::report::TdReport;
use super::standing::Standing;
use super::versioned::{Versioned, VersionedError};
use super::x509::{Certificate, P256Key, X509Error};

/// Longest chain that is read, bytes of PEM: real ones have 19 kB.
const MAX_CHAIN_BYTES: usize = 256 * 1024;
/// Longest event log inside a certificate, bytes, which is dstack's own limit.
const MAX_INFLATED: u64 = 16 * 1024;
/// What stands before a packed event log.
const PACKED: &[u8] = b"ELGZv1";
/// What stands before a key in what its quote signs.
const KEY_TAG: &[u8] = b"ratls-cert:";
/// For how long dstack signs certificates when nobody says otherwise.
const LIFETIME: SignedDuration = SignedDuration::from_hours(24 * 3650);

/// Extensions of dstack.
const QUOTE: &str = "1.3.6.1.4.1.62397.1.1";
const EVENT_LOG: &str = "1.3.6.1.4.1.62397.1.2";
const APP_ID: &str = "1.3.6.1.4.1.62397.1.3";
const USAGE: &str = "1.3.6.1.4.1.62397.1.4";
const ATTESTATION: &str = "1.3.6.1.4.1.62397.1.8";

/// The certificate of a CVM's guest, with its two authorities.
#[derive(Debug, Clone)]
pub struct AppCertificate {
    leaf: Certificate,
    app: Certificate,
    kms: Certificate,
}

/// What a certificate holds of its CVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertifiedEvidence {
    /// The quote's bytes.
    pub quote: Vec<u8>,
    /// The event log.
    pub log: EventLog,
    /// The CVM's configuration as its host wrote it; nothing where the certificate has none.
    pub vm_config: Option<String>,
}

/// Why a certificate shows nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// More than is read.
    #[error("the certificate chain has {found} bytes, and at most {MAX_CHAIN_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No chain of a guest, an app and a KMS.
    #[error("the certificate chain has {found} certificates, and one of a guest that is known here has 3")]
    Chain {
        /// Certificates found.
        found: usize,
    },
    /// A certificate that cannot be read.
    #[error("the certificate of the {of} cannot be used")]
    Certificate {
        /// Whose.
        of: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate that its authority did not sign.
    #[error("the certificate of the {of} is not signed by the authority above it")]
    NotSigned {
        /// Whose.
        of: &'static str,
    },
    /// A certificate that may not sign others.
    #[error("the certificate of the {of} is not one of an authority")]
    NoAuthority {
        /// Whose.
        of: &'static str,
    },
    /// A certificate for something else.
    #[error("the certificate of the {of} is not for that use")]
    OtherUse {
        /// Whose.
        of: &'static str,
    },
    /// Not of this time.
    #[error("the certificate of the {of} is not good at {at}")]
    NotCurrent {
        /// Whose.
        of: &'static str,
        /// When it was looked at.
        at: Timestamp,
    },
    /// Another app's authority signed it.
    #[error("the certificate is of the app {leaf}, and the authority above it of {authority}")]
    OtherApp {
        /// App id of the guest's certificate.
        leaf: Address,
        /// App id of the authority.
        authority: Address,
    },
    /// The certificate has a key that its quote does not name.
    #[error("the quote in the certificate is of another key than the certificate")]
    OtherKey,
    /// Nothing that attests.
    #[error("the certificate holds no {part}")]
    Missing {
        /// What is missing.
        part: &'static str,
    },
    /// The certificate says two things.
    #[error("the certificate holds two accounts of its {part}, and they differ")]
    Differs {
        /// Of what.
        part: &'static str,
    },
    /// A packed event log that cannot be unpacked within its limit.
    #[error("the event log in the certificate cannot be unpacked into {MAX_INFLATED} bytes")]
    Packed(#[source] std::io::Error),
    /// The event log.
    #[error("the event log in the certificate is not usable")]
    Log(#[source] LogError),
    /// The attestation.
    #[error("the attestation in the certificate is not usable")]
    Attestation(#[source] VersionedError),
}

impl CertificateError {
    /// *Broken* where a signature, a key or two accounts contradict, *not known* where something is missing or of another
    /// format.
    pub const fn standing(&self) -> Standing {
        match self {
            Self::NotSigned { .. } | Self::OtherApp { .. } | Self::OtherKey | Self::Differs { .. } => Standing::Broken,
            Self::Log(source) => source.standing(),
            Self::Attestation(source) => source.standing(),
            Self::TooLong { .. }
            | Self::Chain { .. }
            | Self::Certificate { .. }
            | Self::NoAuthority { .. }
            | Self::OtherUse { .. }
            | Self::NotCurrent { .. }
            | Self::Missing { .. }
            | Self::Packed(_) => Standing::NotKnown,
        }
    }
}

const GUEST: &str = "guest";
const APP: &str = "app";
const KMS: &str = "KMS";

impl AppCertificate {
    /// Reads a chain of three certificates in PEM: the guest's, the app's authority, the KMS's authority.
    ///
    /// # Errors
    /// Too long, no such chain, or a certificate that cannot be read.
    pub fn parse(pem: &[u8]) -> Result<Self, CertificateError> {
        if pem.len() > MAX_CHAIN_BYTES {
            return Err(CertificateError::TooLong { found: pem.len() });
        }
        let chain = Certificate::chain(pem).map_err(unusable(GUEST))?;
        let found = chain.len();
        let [leaf, app, kms] = <[Certificate; 3]>::try_from(chain)
            .ok()
            .ok_or(CertificateError::Chain { found })?;
        Ok(Self { leaf, app, kms })
    }

    /// Whether the chain is whole at `at`, up to the KMS's authority, whose key this gives.
    ///
    /// Whose key that is has to be asked elsewhere: anybody can make an authority of this name.
    ///
    /// # Errors
    /// A signature that is not valid, an authority that is none, another app's authority, or a certificate that is not of
    /// this time.
    pub fn check(&self, at: Timestamp) -> Result<P256Key, CertificateError> {
        issued(GUEST, &self.leaf, &self.app)?;
        issued(APP, &self.app, &self.kms)?;
        issued(KMS, &self.kms, &self.kms)?;
        for (of, certificate, below) in [(APP, &self.app, 0), (KMS, &self.kms, 1)] {
            if !certificate.is_authority(below).map_err(unusable(of))? {
                return Err(CertificateError::NoAuthority { of });
            }
        }
        let (leaf, authority) = (self.app_id()?, app_id(APP, &self.app)?);
        if leaf != authority {
            return Err(CertificateError::OtherApp { leaf, authority });
        }
        for (of, certificate, usage) in [(GUEST, &self.leaf, &b"app:custom"[..]), (APP, &self.app, b"app:ca")] {
            if certificate.octets(USAGE).map_err(unusable(of))? != Some(usage) {
                return Err(CertificateError::OtherUse { of });
            }
        }
        for (of, certificate) in [(GUEST, &self.leaf), (APP, &self.app), (KMS, &self.kms)] {
            let (from, until) = certificate.validity();
            if !(from..=until).contains(&at) {
                return Err(CertificateError::NotCurrent { of, at });
            }
        }
        self.kms.key().ok_or(CertificateError::Missing { part: "key of a KMS" })
    }

    /// The app that the guest's certificate is of.
    ///
    /// # Errors
    /// None is named.
    pub fn app_id(&self) -> Result<Address, CertificateError> {
        app_id(GUEST, &self.leaf)
    }

    /// The quote and the event log inside: as two extensions, as older KMSes write them, or as one attestation.
    ///
    /// # Errors
    /// Missing, of an unknown format, or two accounts that differ.
    pub fn evidence(&self) -> Result<CertifiedEvidence, CertificateError> {
        let part = |oid| self.leaf.octets(oid).map_err(unusable(GUEST));
        let apart = match (part(QUOTE)?, part(EVENT_LOG)?) {
            (Some(quote), Some(log)) => Some(CertifiedEvidence {
                quote: quote.to_vec(),
                log: unpacked(log)?,
                vm_config: None,
            }),
            (None, None) => None,
            (None, Some(_)) => return Err(CertificateError::Missing { part: "quote" }),
            (Some(_), None) => return Err(CertificateError::Missing { part: "event log" }),
        };
        let whole = part(ATTESTATION)?.map(Versioned::parse).transpose();
        let whole = whole.map_err(CertificateError::Attestation)?;
        let whole = whole.map(|attestation| CertifiedEvidence {
            quote: attestation.quote,
            log: attestation.log,
            vm_config: Some(attestation.vm_config),
        });
        match (apart, whole) {
            (Some(apart), Some(whole)) if apart.quote != whole.quote || apart.log != whole.log => {
                Err(CertificateError::Differs { part: "CVM" })
            }
            (_, Some(evidence)) | (Some(evidence), None) => Ok(evidence),
            (None, None) => Err(CertificateError::Missing { part: "quote" }),
        }
    }

    /// Whether the quote with this report names the certificate's key: SHA-512 of a tag and the key's DER.
    ///
    /// # Errors
    /// It names another.
    pub fn check_key(&self, report: &TdReport) -> Result<(), CertificateError> {
        let named = Sha512::digest([KEY_TAG, &self.leaf.spki].concat());
        if report.report_data != FixedBytes::<64>::from(<[u8; 64]>::from(named)) {
            return Err(CertificateError::OtherKey);
        }
        Ok(())
    }

    /// About when the KMS signed it, by its own clock; a hint and no proof, since an app may ask for another lifetime.
    pub fn signed_about(&self) -> Option<Timestamp> {
        self.leaf.validity().1.checked_sub(LIFETIME).ok()
    }
}

/// The event log of an extension, unpacked.
fn unpacked(log: &[u8]) -> Result<EventLog, CertificateError> {
    let Some(packed) = log.strip_prefix(PACKED) else {
        return EventLog::parse(log).map_err(CertificateError::Log);
    };
    let mut json = Vec::new();
    let limit = MAX_INFLATED.saturating_add(1);
    let read = GzDecoder::new(packed).take(limit).read_to_end(&mut json);
    let length = read.map_err(CertificateError::Packed)?;
    if u64::try_from(length).is_ok_and(|length| length >= limit) {
        return Err(CertificateError::Packed(std::io::ErrorKind::FileTooLarge.into()));
    }
    EventLog::parse(&json).map_err(CertificateError::Log)
}

/// Whether `above` issued `certificate`.
fn issued(of: &'static str, certificate: &Certificate, above: &Certificate) -> Result<(), CertificateError> {
    certificate.check_issued_by(above).map_err(|source| match source {
        X509Error::Signature => CertificateError::NotSigned { of },
        source => unusable(of)(source),
    })
}

fn app_id(of: &'static str, certificate: &Certificate) -> Result<Address, CertificateError> {
    let bytes = certificate.octets(APP_ID).map_err(unusable(of))?;
    let id = bytes.and_then(|bytes| Address::try_from(bytes).ok());
    id.ok_or(CertificateError::Missing { part: "app id" })
}

fn unusable(of: &'static str) -> impl Fn(X509Error) -> CertificateError {
    move |source| CertificateError::Certificate {
        of,
        source: Box::new(source),
    }
}
