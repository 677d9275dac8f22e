//! What a guest attests with: a quote, an attestation in one piece, a certificate chain, and Intel's collateral; the first byte
//! says which. Nobody but a machine of Intel's can sign, so that a quote that passes has measured what a recorded one did;
//! nobody but a KMS, so that a chain that passes with its key is of the app of the recorded one; and nobody but Intel, so that
//! collateral that passes says of a machine what the recorded one says.

use alloy::primitives::Address;
use countersign::attest::{AppCertificate, Collateral, P256Key, Quote, Root, TcbStatus, Versioned};
use countersign_fuzz::{Bases, repository};
use jiff::Timestamp;
use serde_json::Value;

pub(crate) struct Target {
    /// What the recorded quotes measured.
    signed: Vec<Vec<u8>>,
    certificate: Vec<u8>,
    kms: P256Key,
    app: Address,
    /// A quote, and collateral of its machine.
    quote: Quote,
    collateral: Bases,
}

/// The end of a report of TDX 1.0 in a quote of format 4.
const SIGNED: usize = 632;
/// When the recorded certificates are good.
const CERTIFIED: i64 = 1_782_864_000;
/// When the recorded collateral is good.
const COLLATERAL: i64 = 1_786_665_600;

impl Target {
    pub(crate) fn new() -> Self {
        let read = |path: &str| std::fs::read(repository().join("tests/vectors/attestation").join(path)).unwrap();
        let json = |path: &str| -> Value { serde_json::from_slice(&read(path)).unwrap() };
        let info = json("crabbox-phala-cloud/real_attestation_info.json");
        let certificate = info["app_cert"].as_str().unwrap().as_bytes().to_vec();
        let chain = AppCertificate::parse(&certificate).unwrap();
        let near: Vec<u8> = serde_json::from_value(json("near-mpc/quote.json")).unwrap();
        let hex = |path: &str, field: &str| alloy::hex::decode(json(path)[field].as_str().unwrap()).unwrap();
        let whole = Versioned::parse(&hex("dstack-verifier/tdx-lite-attestation.json", "attestation")).unwrap();
        let quotes = [
            hex("dstack-verifier/tdx-lite-getquote.json", "quote"),
            whole.quote,
            read("crabbox-phala-cloud/real_tdx_quote.bin"),
            read("dcap-qvl/tdx_quote"),
            near.clone(),
        ];
        Self {
            signed: quotes.iter().map(|quote| quote[..SIGNED].to_vec()).collect(),
            certificate,
            kms: chain.check(at(CERTIFIED)).unwrap(),
            app: chain.app_id().unwrap(),
            quote: Quote::parse(&near).unwrap(),
            collateral: Bases::read(&["tests/vectors/attestation/near-mpc/collateral.json"]),
        }
    }

    pub(crate) fn check(&self, input: &[u8]) {
        match input {
            [0, quote @ ..] => self.check_quote(quote),
            [1, whole @ ..] => self.check_whole(whole),
            [2, edit @ ..] => self.check_certificate(edit),
            [3, text @ ..] => self.check_collateral(text),
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
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % pem.len();
            pem[place] = change[2];
        }
        let Ok(certificate) = AppCertificate::parse(&pem) else {
            return;
        };
        if let Ok(evidence) = certificate.evidence() {
            self.check_quote(&evidence.quote);
        }
        if certificate.check(at(CERTIFIED)).is_ok_and(|key| key == self.kms) {
            let app = certificate.app_id().expect("a chain that passes is of an app");
            assert_eq!(app, self.app, "nobody signed that");
        }
    }

    fn check_collateral(&self, input: &[u8]) {
        let text = self.collateral.text(input);
        let Ok(collateral) = Collateral::parse(&text) else {
            return;
        };
        if let Ok(platform) = self.quote.verify(&collateral, &Root::intel(), at(COLLATERAL)) {
            assert_eq!(platform.status, TcbStatus::UpToDate, "Intel did not say that");
            assert!(platform.advisories.is_empty() && platform.window.contains(at(COLLATERAL)));
        }
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}
