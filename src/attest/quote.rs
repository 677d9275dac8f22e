//! A quote of Intel TDX: a TD report that the machine's quoting enclave signed. Pure.
//!
//! Layout: Intel TDX DCAP Quoting Library, quote formats 4 and 5. Here it is cut at its end, read, and its own signatures are
//! checked up to Intel's root; whether Intel still stands behind the machine is said by [`Quote::verify`], which needs
//! collateral.

use alloy::primitives::B256;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

use super::quote_error::{MAX_QUOTE_BYTES, QuoteError};
use super::reader::Reader;
use super::report::TdReport;
use super::root::Root;
use super::x509::{Certificate, P256Key};

/// The technology that a header names.
const TDX: u32 = 0x81;
/// ECDSA over P-256.
const KEY_TYPE: u16 = 2;
/// Intel's quoting enclave.
const INTEL: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
/// Certification data that is the quoting enclave's report and its certificates.
const ENCLAVE_REPORT: u16 = 6;
/// Certification data that is the platform's certificate chain.
const CERTIFICATE_CHAIN: u16 = 5;
/// Where the report data of an enclave's report begins.
const ENCLAVE_REPORT_DATA: usize = 320;

/// A quote, cut at the end of its signatures.
#[derive(Debug, Clone)]
pub struct Quote {
    bytes: Vec<u8>,
    version: u16,
    /// Bytes of header and report: what the attestation key signs.
    signed: usize,
    report: TdReport,
    signatures: Signatures,
}

/// What makes the report believable.
#[derive(Debug, Clone)]
struct Signatures {
    of_report: [u8; 64],
    attestation_key: [u8; 64],
    enclave_report: [u8; 384],
    of_enclave: [u8; 64],
    enclave_data: Vec<u8>,
    certification: u16,
    chain: Vec<u8>,
}

/// Which machine a quote is of, by the certificate inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformIdentity {
    /// The kind of machine, as Intel names it: what its collateral is asked for by.
    pub fmspc: [u8; 6],
    /// Whose list of revoked certificates counts: `platform` or `processor`.
    pub authority: &'static str,
    /// dstack's `device_id`: SHA-256 of the machine's own identifier (PPID).
    pub device_id: B256,
}

impl Quote {
    /// Reads a quote and cuts off the zeros that stand behind it.
    ///
    /// # Errors
    /// Too long, incomplete, of another format, or with something behind its end.
    pub fn parse(bytes: &[u8]) -> Result<Self, QuoteError> {
        if bytes.len() > MAX_QUOTE_BYTES {
            return Err(QuoteError::TooLong { found: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let version = header(&mut reader)?;
        let report = body(&mut reader, version)?;
        let signed = bytes.len().saturating_sub(reader.rest().len());
        let inside = reader.counted_u32().ok_or(incomplete("signatures"))?;
        let signatures = Signatures::read(inside)?;
        let tail = reader.rest();
        if tail.iter().any(|byte| *byte != 0) {
            return Err(QuoteError::Tail { found: tail.len() });
        }
        let end = bytes.len().saturating_sub(tail.len());
        Ok(Self {
            bytes: bytes.get(..end).unwrap_or(bytes).to_vec(),
            version,
            signed,
            report,
            signatures,
        })
    }

    /// Its bytes up to the end of its signatures.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// Version of its format.
    pub const fn version(&self) -> u16 {
        self.version
    }
    /// What was measured.
    pub const fn report(&self) -> &TdReport {
        &self.report
    }

    /// Checks what needs no collateral: the chain from Intel's root to the machine's key, to the quoting enclave, to the
    /// attestation key, to the report; and that the trust domain is closed.
    ///
    /// Whether Intel revoked any of it since is not known by that.
    ///
    /// # Errors
    /// A signature that is not valid, an open trust domain, or a certificate that is not in the quote.
    pub fn platform(&self, root: &Root) -> Result<PlatformIdentity, QuoteError> {
        let chain = self.chain()?;
        let [machine, authority, rest @ ..] = &chain[..] else {
            return Err(incomplete("chain of certificates"));
        };
        let issued = machine.check_issued_by(authority);
        // A root that comes with them is one more certificate that the root signed.
        let mut rooted = std::iter::once(authority).chain(rest);
        let rooted = rooted.all(|certificate| certificate.check_signed_by(&root.key()).is_ok());
        issued.ok().filter(|()| rooted).ok_or(QuoteError::Root)?;
        self.signatures
            .check(machine, self.bytes.get(..self.signed).unwrap_or_default())?;
        let faults = self.report.faults();
        if !faults.is_empty() {
            return Err(QuoteError::Td(faults));
        }
        let named = dcap_qvl::intel::parse_pck_extension(&machine.der);
        let named = named.map_err(|source| QuoteError::PlatformCertificate(source.into()))?;
        let authority = dcap_qvl::intel::pck_ca(&machine.der);
        let authority = authority.map_err(|source| QuoteError::PlatformCertificate(source.into()))?;
        Ok(PlatformIdentity {
            fmspc: named.fmspc,
            authority: authority.as_id_str(),
            device_id: device_id(&named.ppid),
        })
    }

    /// The certificates inside, the machine's first.
    pub(super) fn chain(&self) -> Result<Vec<Certificate>, QuoteError> {
        match self.signatures.certification {
            CERTIFICATE_CHAIN => Certificate::chain(&self.signatures.chain)
                .map_err(|source| QuoteError::PlatformCertificate(Box::new(source))),
            found => Err(QuoteError::NoPlatformCertificate { found }),
        }
    }
}

/// dstack's name of a machine.
pub(super) fn device_id(ppid: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(ppid)))
}

/// Reads the header; gives the version.
fn header(reader: &mut Reader<'_>) -> Result<u16, QuoteError> {
    let missing = || incomplete("header");
    let version = reader.u16().ok_or_else(missing)?;
    if ![4, 5].contains(&version) {
        return Err(QuoteError::Version { found: version });
    }
    let key = reader.u16().ok_or_else(missing)?;
    let technology = reader.u32().ok_or_else(missing)?;
    let _security_versions = reader.take(4).ok_or_else(missing)?;
    let vendor: [u8; 16] = reader.array().ok_or_else(missing)?;
    let _user_data = reader.take(20).ok_or_else(missing)?;
    if technology != TDX {
        return Err(QuoteError::NotTdx { found: technology });
    }
    if key != KEY_TYPE {
        return Err(QuoteError::Format {
            part: "kind of attestation key",
        });
    }
    if vendor != INTEL {
        return Err(QuoteError::Format {
            part: "vendor of its quoting enclave",
        });
    }
    Ok(version)
}

/// Reads the report; version 5 says first which one it is.
fn body(reader: &mut Reader<'_>, version: u16) -> Result<TdReport, QuoteError> {
    let missing = || incomplete("report");
    let (kind, inside) = match version {
        5 => {
            let kind = reader.u16().ok_or_else(missing)?;
            (kind, reader.counted_u32().ok_or_else(missing)?)
        }
        _ => (2, reader.take(584).ok_or_else(missing)?),
    };
    let length = match kind {
        2 => 584,
        3 => 648,
        4 => 885,
        _ => 0,
    };
    if inside.len() != length {
        return Err(QuoteError::Format { part: "kind of report" });
    }
    TdReport::read(&mut Reader::new(inside), kind > 2).ok_or_else(missing)
}

impl Signatures {
    fn read(inside: &[u8]) -> Result<Self, QuoteError> {
        let missing = || incomplete("signatures");
        let mut reader = Reader::new(inside);
        let of_report = reader.array().ok_or_else(missing)?;
        let attestation_key = reader.array().ok_or_else(missing)?;
        if reader.u16().ok_or_else(missing)? != ENCLAVE_REPORT {
            return Err(QuoteError::Format {
                part: "kind of certification data",
            });
        }
        let enclave = reader.counted_u32().ok_or_else(missing)?;
        if !reader.rest().is_empty() {
            return Err(missing());
        }
        let mut reader = Reader::new(enclave);
        let found = Self {
            of_report,
            attestation_key,
            enclave_report: reader.array().ok_or_else(missing)?,
            of_enclave: reader.array().ok_or_else(missing)?,
            enclave_data: reader.counted_u16().ok_or_else(missing)?.to_vec(),
            certification: reader.u16().ok_or_else(missing)?,
            chain: reader.counted_u32().ok_or_else(missing)?.to_vec(),
        };
        if !reader.rest().is_empty() {
            return Err(missing());
        }
        Ok(found)
    }

    /// The machine's key signs the quoting enclave, which names the attestation key, which signs `signed`.
    fn check(&self, machine: &Certificate, signed: &[u8]) -> Result<(), QuoteError> {
        let key = machine.key().ok_or(QuoteError::Format {
            part: "kind of platform key",
        })?;
        check(&key, &self.enclave_report, &self.of_enclave, "quoting enclave")?;
        let named = Sha256::digest([&self.attestation_key[..], &self.enclave_data].concat());
        let data = self.enclave_report.get(ENCLAVE_REPORT_DATA..);
        if !data.is_some_and(|data| data.starts_with(&named)) {
            return Err(QuoteError::Signature { of: "attestation key" });
        }
        let key = P256Key::parse(&self.attestation_key).ok_or(incomplete("attestation key"))?;
        check(&key, signed, &self.of_report, "report")
    }
}

fn check(key: &P256Key, signed: &[u8], signature: &[u8], of: &'static str) -> Result<(), QuoteError> {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.point());
    key.verify(signed, signature).ok().ok_or(QuoteError::Signature { of })
}

const fn incomplete(part: &'static str) -> QuoteError {
    QuoteError::Incomplete { part }
}
