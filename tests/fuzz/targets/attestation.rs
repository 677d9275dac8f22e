//! What a guest attests with: a quote, an attestation in one piece, a certificate chain; the first byte says which. Nobody but a
//! machine of Intel's can sign, so that a quote that passes has measured what a recorded one did; and nobody but a KMS, so that
//! a chain that passes with its key has the key of the recorded one.

use alloy::primitives::U256;
use countersign::attest::{AppCertificate, Quote, Root, Versioned};
use countersign_fuzz::repository;

pub(crate) struct Target {
    /// What the recorded quotes measured.
    signed: Vec<Vec<u8>>,
    certificate: Vec<u8>,
    kms: Vec<u8>,
}

/// The end of a report of TDX 1.0 in a quote of format 4.
const SIGNED: usize = 632;

impl Target {
    pub(crate) fn new() -> Self {
        let read = |path: &str| std::fs::read(repository().join("tests/vectors/attestation").join(path)).unwrap();
        let json = |path: &str| -> serde_json::Value { serde_json::from_slice(&read(path)).unwrap() };
        let info = json("crabbox-phala-cloud/real_attestation_info.json");
        let certificate = info["app_cert"].as_str().unwrap().as_bytes().to_vec();
        let kms = AppCertificate::parse(&certificate)
            .unwrap()
            .check(now())
            .unwrap()
            .to_der();
        let near: Vec<u8> = serde_json::from_value(json("near-mpc/quote.json")).unwrap();
        let hex = |path: &str, field: &str| alloy::hex::decode(json(path)[field].as_str().unwrap()).unwrap();
        let lite = hex("dstack-verifier/tdx-lite-getquote.json", "quote");
        let whole = Versioned::parse(&hex("dstack-verifier/tdx-lite-attestation.json", "attestation")).unwrap();
        let quotes = [
            near,
            lite,
            whole.quote,
            read("crabbox-phala-cloud/real_tdx_quote.bin"),
            read("dcap-qvl/tdx_quote"),
        ];
        Self {
            signed: quotes.iter().map(|quote| quote[..SIGNED].to_vec()).collect(),
            certificate,
            kms,
        }
    }

    pub(crate) fn check(&self, input: &[u8]) {
        match input {
            [0, quote @ ..] => self.check_quote(quote),
            [1, whole @ ..] => self.check_whole(whole),
            [2, edit @ ..] => self.check_certificate(edit),
            _ => {}
        }
    }

    fn check_quote(&self, bytes: &[u8]) {
        let Ok(quote) = Quote::parse(bytes) else { return };
        let (read, tail) = bytes.split_at(quote.bytes().len());
        assert_eq!(read, quote.bytes());
        assert!(tail.iter().all(|byte| *byte == 0));
        let again = Quote::parse(quote.bytes()).expect("it is whole without its tail");
        assert_eq!(again.report(), quote.report());
        if quote.platform(&Root::intel()).is_ok() && quote.version() == 4 {
            assert!(
                self.signed.iter().any(|signed| bytes.starts_with(signed)),
                "nobody signed that"
            );
        }
    }

    fn check_whole(&self, bytes: &[u8]) {
        let Ok(whole) = Versioned::parse(bytes) else { return };
        self.check_quote(&whole.quote);
        let lengths = whole.quote.len() + whole.vm_config.len();
        assert!(bytes.len() >= lengths + 64, "it says more than it holds");
    }

    /// The recorded chain with some of its characters changed: base64 leaves bytes of certificates to chance.
    fn check_certificate(&self, edit: &[u8]) {
        let mut pem = self.certificate.clone();
        for change in edit.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % pem.len();
            pem[at] = change[2];
        }
        let Ok(certificate) = AppCertificate::parse(&pem) else {
            return;
        };
        if let Ok(evidence) = certificate.evidence() {
            self.check_quote(&evidence.quote);
        }
        if certificate.check(now()).is_ok_and(|key| key.to_der() == self.kms) {
            let app = certificate.app_id().expect("a chain that passes is of an app");
            assert_ne!(U256::from_be_slice(app.as_slice()), U256::ZERO);
        }
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_782_864_000).unwrap()
}
