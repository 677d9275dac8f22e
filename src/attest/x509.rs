//! One X.509 certificate (RFC 5280) of a chain whose keys are all P-256, as Intel's and dstack's are. Pure; used for the
//! certificates inside quotes and for those of a CVM's guest.

use std::fmt;

use jiff::Timestamp;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use x509_cert::der::{
    Decode as _, Encode as _, Reader as _, SliceReader,
    asn1::{ObjectIdentifier, OctetStringRef},
};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

/// ECDSA with SHA-256 (RFC 5758).
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
/// What stands before the coordinates in the DER of a P-256 key (RFC 5480): 91 bytes in all.
const SPKI_PREFIX: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];
/// Most certificates of one chain that are read: real chains have three.
const MAX_CERTIFICATES: usize = 8;

/// A public key on P-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct P256Key([u8; 64]);

/// A certificate, and the bytes of it that are signed.
#[derive(Clone)]
pub(super) struct Certificate {
    parsed: x509_cert::Certificate,
    /// The certificate as it came.
    pub(super) der: Vec<u8>,
    signed: Vec<u8>,
    /// Its public key's DER.
    pub(super) spki: Vec<u8>,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum X509Error {
    #[error("it cannot be read")]
    Read(#[source] x509_cert::der::Error),
    #[error("it is no PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    #[error("it has {found} certificates")]
    Count { found: usize },
    #[error("its key or signature is not of P-256 with SHA-256")]
    Algorithm,
    #[error("its signature is not valid")]
    Signature,
    #[error("an extension comes twice")]
    Twice,
}

impl P256Key {
    pub(super) const fn from_coordinates(coordinates: [u8; 64]) -> Self {
        Self(coordinates)
    }
    /// Reads a key in any of its encodings: 91 bytes of DER, 65 bytes of an uncompressed point, or its 64 bytes of
    /// coordinates.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let point = match bytes.len() {
            91 => bytes.strip_prefix(&SPKI_PREFIX)?,
            65 => bytes.strip_prefix(&[4])?,
            _ => bytes,
        };
        point.try_into().ok().map(Self)
    }
    /// Its DER (RFC 5480).
    pub fn to_der(&self) -> Vec<u8> {
        [&SPKI_PREFIX[..], &self.0].concat()
    }
    /// The uncompressed point.
    pub(super) fn point(&self) -> Vec<u8> {
        [&[4], &self.0[..]].concat()
    }
}

impl fmt::Debug for P256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.parsed.tbs_certificate().subject())
    }
}

impl Certificate {
    /// Reads the certificates of a PEM text, in their order.
    pub(super) fn chain(pem: &[u8]) -> Result<Vec<Self>, X509Error> {
        let mut found = Vec::new();
        for der in CertificateDer::pem_slice_iter(pem) {
            if found.len() >= MAX_CERTIFICATES {
                return Err(X509Error::Count {
                    found: found.len().saturating_add(1),
                });
            }
            found.push(Self::parse(&der.map_err(X509Error::Pem)?)?);
        }
        Ok(found)
    }

    pub(super) fn parse(der: &[u8]) -> Result<Self, X509Error> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(X509Error::Read)?;
        let mut reader = SliceReader::new(der).map_err(X509Error::Read)?;
        let signed = reader.sequence(|inner| {
            let signed = inner.tlv_bytes()?;
            inner.drain(inner.remaining_len())?;
            Ok::<_, x509_cert::der::Error>(signed)
        });
        let spki = parsed.tbs_certificate().subject_public_key_info().to_der();
        Ok(Self {
            der: der.to_vec(),
            signed: signed.map_err(X509Error::Read)?.to_vec(),
            spki: spki.map_err(X509Error::Read)?,
            parsed,
        })
    }

    /// Its public key, where that is on P-256.
    pub(super) fn key(&self) -> Option<P256Key> {
        P256Key::parse(&self.spki).filter(|_| self.spki.len() == 91)
    }

    /// Whether the holder of `key` signed it.
    pub(super) fn check_signed_by(&self, key: &P256Key) -> Result<(), X509Error> {
        if self.parsed.signature_algorithm().oid != ECDSA_WITH_SHA256 {
            return Err(X509Error::Algorithm);
        }
        let signature = self.parsed.signature().as_bytes().ok_or(X509Error::Signature)?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.point());
        key.verify(&self.signed, signature).ok().ok_or(X509Error::Signature)
    }

    /// Whether `issuer` is named in it and signed it.
    pub(super) fn check_issued_by(&self, issuer: &Self) -> Result<(), X509Error> {
        let (ours, theirs) = (self.parsed.tbs_certificate(), issuer.parsed.tbs_certificate());
        if ours.issuer() != theirs.subject() {
            return Err(X509Error::Signature);
        }
        self.check_signed_by(&issuer.key().ok_or(X509Error::Algorithm)?)
    }

    /// Whether it may sign certificates, with at most `below` authorities under it.
    pub(super) fn is_authority(&self, below: u8) -> Result<bool, X509Error> {
        let constraints: Option<BasicConstraints> = self.decoded("2.5.29.19")?;
        let usage: Option<KeyUsage> = self.decoded("2.5.29.15")?;
        let is_authority = constraints.is_some_and(|constraints| {
            constraints.ca && constraints.path_len_constraint.is_none_or(|length| length >= below)
        });
        Ok(is_authority && usage.is_none_or(|usage| usage.key_cert_sign()))
    }

    /// From when until when it is good.
    pub(super) fn validity(&self) -> (Timestamp, Timestamp) {
        let validity = self.parsed.tbs_certificate().validity();
        (timestamp(validity.not_before), timestamp(validity.not_after))
    }

    /// What is inside an extension whose value is one more octet string, as dstack writes its own.
    pub(super) fn octets(&self, oid: &str) -> Result<Option<&[u8]>, X509Error> {
        let Some(value) = self.extension(oid)? else {
            return Ok(None);
        };
        let inner = <&OctetStringRef>::from_der(value).map_err(X509Error::Read)?;
        Ok(Some(inner.as_bytes()))
    }

    fn decoded<'a, T: x509_cert::der::Decode<'a, Error = x509_cert::der::Error>>(
        &'a self,
        oid: &str,
    ) -> Result<Option<T>, X509Error> {
        let value = self.extension(oid)?;
        value
            .map(|value| T::from_der(value).map_err(X509Error::Read))
            .transpose()
    }

    fn extension(&self, oid: &str) -> Result<Option<&[u8]>, X509Error> {
        let oid = ObjectIdentifier::new(oid).ok();
        let all = self.parsed.tbs_certificate().extensions();
        let mut named = all.into_iter().flatten().filter(|one| Some(one.extn_id) == oid);
        let first = named.next();
        if named.next().is_some() {
            return Err(X509Error::Twice);
        }
        Ok(first.map(|one| one.extn_value.as_bytes()))
    }
}

/// A certificate's time.
pub(super) fn timestamp(time: x509_cert::time::Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
