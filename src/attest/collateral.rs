//! What Intel says of kinds of machines, signed: levels of security, the quoting enclave's identity, revoked certificates.
//! Pure; whoever fetched the four answers, or keeps them as evidence, brings them.

use dcap_qvl::{QeIdentity, QuoteCollateralV3, TcbInfo};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

use super::x509::{Certificate, X509Error, timestamp};

/// Longest collateral that is read, bytes: real ones have 25 kB.
const MAX_COLLATERAL_BYTES: usize = 512 * 1024;

/// Collateral whose parts were read; nothing of it is believed before a quote is verified with it.
#[derive(Debug, Clone)]
pub struct Collateral {
    pub(super) parts: QuoteCollateralV3,
    pub(super) tcb_info: TcbInfo,
    window: Window,
}

/// From when until when something is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From when: the latest of its parts.
    pub from: Timestamp,
    /// Until when: the earliest of its parts.
    pub until: Timestamp,
}

/// The four answers of a server of collateral (Intel PCS API 4, or any PCCS), with the headers that hold certificates.
#[derive(Debug, Clone, Copy)]
pub struct CollateralAnswers<'a> {
    /// Body of `GET /sgx/certification/v4/pckcrl?ca=…&encoding=der`.
    pub pck_crl: &'a [u8],
    /// Its header `SGX-PCK-CRL-Issuer-Chain`.
    pub pck_crl_chain: &'a str,
    /// Body of `GET /tdx/certification/v4/tcb?fmspc=…`.
    pub tcb_info: &'a [u8],
    /// Its header `TCB-Info-Issuer-Chain` or `SGX-TCB-Info-Issuer-Chain`.
    pub tcb_info_chain: &'a str,
    /// Body of `GET /tdx/certification/v4/qe/identity`.
    pub enclave: &'a [u8],
    /// Its header `SGX-Enclave-Identity-Issuer-Chain`.
    pub enclave_chain: &'a str,
    /// Body of `GET /sgx/certification/v4/rootcacrl` (hex digits), or of the list that Intel's root certificate names (DER).
    pub root_crl: &'a [u8],
}

/// Why collateral cannot be read. It is never more than *not known*.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollateralError {
    /// More than is read.
    #[error("the collateral has {found} bytes, and at most {MAX_COLLATERAL_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No JSON of the form that is known here.
    #[error("the {part} of the collateral cannot be read")]
    Json {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Not hex.
    #[error("the {part} of the collateral is not hex")]
    Hex {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: hex::FromHexError,
    },
    /// A header that is no text.
    #[error("the {part} of the collateral is no text")]
    Header {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: std::str::Utf8Error,
    },
    /// A date that is none.
    #[error("a date of the collateral cannot be read")]
    Date(#[source] jiff::Error),
    /// A certificate, or a list of revoked ones.
    #[error("the {part} of the collateral cannot be read")]
    Certificate {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The body of the answer about levels of security.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TcbAnswer<'a> {
    #[serde(borrow)]
    tcb_info: &'a RawValue,
    signature: &'a str,
}

/// The body of the answer about the quoting enclave.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EnclaveAnswer<'a> {
    #[serde(borrow)]
    enclave_identity: &'a RawValue,
    signature: &'a str,
}

impl Collateral {
    /// Reads what a server answered. Intel signs the bytes of the inner objects as they came, so these are cut out and
    /// never written anew.
    ///
    /// # Errors
    /// Too long, or a part that cannot be read.
    pub fn from_answers(answers: &CollateralAnswers<'_>) -> Result<Self, CollateralError> {
        let bodies = [answers.pck_crl, answers.tcb_info, answers.enclave, answers.root_crl];
        check_length(bodies.iter().map(|body| body.len()).sum())?;
        let json = |part| move |source| CollateralError::Json { part, source };
        let tcb: TcbAnswer<'_> = serde_json::from_slice(answers.tcb_info).map_err(json(TCB_INFO))?;
        let enclave: EnclaveAnswer<'_> = serde_json::from_slice(answers.enclave).map_err(json(ENCLAVE))?;
        let is_der =
            answers.root_crl.first() == Some(&0x30) && answers.root_crl.get(1).is_some_and(|byte| *byte >= 0x80);
        Self::of(QuoteCollateralV3 {
            pck_crl_issuer_chain: header("chain of the list of revoked certificates", answers.pck_crl_chain)?,
            root_ca_crl: match is_der {
                true => answers.root_crl.to_vec(),
                false => unhex(ROOT_CRL, answers.root_crl.trim_ascii())?,
            },
            pck_crl: answers.pck_crl.to_vec(),
            tcb_info_issuer_chain: header(TCB_CHAIN, answers.tcb_info_chain)?,
            tcb_info: tcb.tcb_info.get().to_owned(),
            tcb_info_signature: unhex(TCB_INFO, tcb.signature.as_bytes())?,
            qe_identity_issuer_chain: header(ENCLAVE_CHAIN, answers.enclave_chain)?,
            qe_identity: enclave.enclave_identity.get().to_owned(),
            qe_identity_signature: unhex(ENCLAVE, enclave.signature.as_bytes())?,
            pck_certificate_chain: None,
        })
    }

    /// Reads what is kept as evidence: the JSON of dcap-qvl's `QuoteCollateralV3`, which is what this serializes as. A chain
    /// for the machine's own certificate in it is ignored: that stands in the quote.
    ///
    /// # Errors
    /// Too long, or a part that cannot be read.
    pub fn parse(json: &[u8]) -> Result<Self, CollateralError> {
        check_length(json.len())?;
        let parts = serde_json::from_slice(json).map_err(|source| CollateralError::Json { part: "JSON", source })?;
        Self::of(parts)
    }

    fn of(mut parts: QuoteCollateralV3) -> Result<Self, CollateralError> {
        parts.pck_certificate_chain = None;
        let json = |part| move |source| CollateralError::Json { part, source };
        let tcb_info: TcbInfo = serde_json::from_str(&parts.tcb_info).map_err(json(TCB_INFO))?;
        let enclave: QeIdentity = serde_json::from_str(&parts.qe_identity).map_err(json(ENCLAVE))?;
        let mut window = Window {
            from: Timestamp::MIN,
            until: Timestamp::MAX,
        };
        window.narrow(date(&tcb_info.issue_date)?, date(&tcb_info.next_update)?);
        window.narrow(date(&enclave.issue_date)?, date(&enclave.next_update)?);
        for (part, list) in [(ROOT_CRL, &parts.root_ca_crl), (PCK_CRL, &parts.pck_crl)] {
            let list = CertificateList::<Rfc5280>::from_der(list).map_err(|source| certificate(part, source))?;
            let until = list.tbs_cert_list.next_update.map(timestamp);
            window.narrow(
                timestamp(list.tbs_cert_list.this_update),
                until.unwrap_or(Timestamp::MAX),
            );
        }
        for (part, chain) in [
            (TCB_CHAIN, &parts.tcb_info_issuer_chain),
            (ENCLAVE_CHAIN, &parts.qe_identity_issuer_chain),
        ] {
            let chain = Certificate::chain(chain.as_bytes()).map_err(|source: X509Error| certificate(part, source))?;
            chain.iter().for_each(|one| window.narrow_to(one));
        }
        Ok(Self {
            parts,
            tcb_info,
            window,
        })
    }

    /// From when until when all of it is good.
    pub const fn window(&self) -> Window {
        self.window
    }
}

impl Window {
    fn narrow(&mut self, from: Timestamp, until: Timestamp) {
        self.from = self.from.max(from);
        self.until = self.until.min(until);
    }
    /// Leaves of it when this certificate is good.
    pub(super) fn narrow_to(&mut self, certificate: &Certificate) {
        let (from, until) = certificate.validity();
        self.narrow(from, until);
    }
    /// Whether it holds `at`.
    pub fn contains(&self, at: Timestamp) -> bool {
        (self.from..=self.until).contains(&at)
    }
}

impl Serialize for Collateral {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(s)
    }
}

const TCB_INFO: &str = "levels of security";
const TCB_CHAIN: &str = "chain of who signed the levels of security";
const ENCLAVE: &str = "identity of the quoting enclave";
const ENCLAVE_CHAIN: &str = "chain of who signed the quoting enclave's identity";
const ROOT_CRL: &str = "root's list of revoked certificates";
const PCK_CRL: &str = "list of revoked machines";

const fn check_length(found: usize) -> Result<(), CollateralError> {
    if found > MAX_COLLATERAL_BYTES {
        return Err(CollateralError::TooLong { found });
    }
    Ok(())
}

/// A chain of certificates as a header holds it: PEM, percent-encoded.
fn header(part: &'static str, value: &str) -> Result<String, CollateralError> {
    let text = percent_encoding::percent_decode_str(value).decode_utf8();
    match text {
        Ok(text) => Ok(text.into_owned()),
        Err(source) => Err(CollateralError::Header { part, source }),
    }
}

fn unhex(part: &'static str, digits: &[u8]) -> Result<Vec<u8>, CollateralError> {
    hex::decode(digits).map_err(|source| CollateralError::Hex { part, source })
}

fn date(text: &str) -> Result<Timestamp, CollateralError> {
    text.parse().map_err(CollateralError::Date)
}

fn certificate(part: &'static str, source: impl std::error::Error + Send + Sync + 'static) -> CollateralError {
    CollateralError::Certificate {
        part,
        source: Box::new(source),
    }
}
