//! Whom a quote has to come from: Intel's root certificate, the only one outside of tests. Pure.

use dcap_qvl::verify::QuoteVerifier;

use super::x509::P256Key;

#[cfg(all(feature = "attest-test-root", not(debug_assertions)))]
compile_error!("a release takes evidence of Intel's root alone");

/// The public key of Intel's SGX Root CA (`Intel_SGX_Provisioning_Certification_RootCA.cer`), which signs for TDX too.
const INTEL: [u8; 64] = [
    0x0b, 0xa9, 0xc4, 0xc0, 0xc0, 0xc8, 0x61, 0x93, 0xa3, 0xfe, 0x23, 0xd6, 0xb0, 0x2c, 0xda, 0x10, 0xa8, 0xbb, 0xd4,
    0xe8, 0x8e, 0x48, 0xb4, 0x45, 0x85, 0x61, 0xa3, 0x6e, 0x70, 0x55, 0x25, 0xf5, 0x67, 0x91, 0x8e, 0x2e, 0xdc, 0x88,
    0xe4, 0x0d, 0x86, 0x0b, 0xd0, 0xcc, 0x4e, 0xe2, 0x6a, 0xac, 0xc9, 0x88, 0xe5, 0x05, 0xa9, 0x53, 0x55, 0x8c, 0x45,
    0x3f, 0x6b, 0x09, 0x04, 0xae, 0x73, 0x94,
];

/// The root that a quote's certificates have to lead to.
#[derive(Debug, Clone)]
pub struct Root(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Intel,
    #[cfg(any(test, feature = "attest-test-root"))]
    Test {
        der: Vec<u8>,
        key: P256Key,
    },
}

impl Root {
    /// Intel's.
    pub const fn intel() -> Self {
        Self(Kind::Intel)
    }

    /// One that a test made; nothing where this is no certificate of a P-256 key.
    #[cfg(any(test, feature = "attest-test-root"))]
    pub fn for_tests(der: Vec<u8>) -> Option<Self> {
        let key = super::x509::Certificate::parse(&der).ok()?.key()?;
        Some(Self(Kind::Test { der, key }))
    }

    /// Its key.
    pub(super) fn key(&self) -> P256Key {
        match &self.0 {
            Kind::Intel => P256Key::from_coordinates(INTEL),
            #[cfg(any(test, feature = "attest-test-root"))]
            Kind::Test { key, .. } => *key,
        }
    }

    /// What judges quotes by it.
    pub(super) fn verifier(&self) -> QuoteVerifier {
        match &self.0 {
            Kind::Intel => QuoteVerifier::new_prod(),
            #[cfg(any(test, feature = "attest-test-root"))]
            Kind::Test { der, .. } => QuoteVerifier::new(der.clone()),
        }
    }
}
