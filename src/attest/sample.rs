//! Recorded evidence, and chains of a KMS that a test made.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, SerialNumber, date_time_ymd,
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha512};

use super::{Collateral, EventLog, Quote};

pub(super) const NEAR_QUOTE: &str = include_str!("../../tests/vectors/attestation/near-mpc/quote.json");
pub(super) const NEAR_COLLATERAL: &str = include_str!("../../tests/vectors/attestation/near-mpc/collateral.json");
pub(super) const NEAR_TCB_INFO: &str = include_str!("../../tests/vectors/attestation/near-mpc/tcb_info.json");
/// A date at which the collateral of near-mpc is good.
pub(super) const NEAR_TIME: i64 = 1_786_665_600;
pub(super) const CRABBOX: &str =
    include_str!("../../tests/vectors/attestation/crabbox-phala-cloud/real_attestation_info.json");
pub(super) const CRABBOX_QUOTE: &[u8] =
    include_bytes!("../../tests/vectors/attestation/crabbox-phala-cloud/real_tdx_quote.bin");
pub(super) const QUOTE_REPORT: &str = include_str!("../../tests/vectors/attestation/dstack-verifier/quote-report.json");
pub(super) const LITE: &str = include_str!("../../tests/vectors/attestation/dstack-verifier/tdx-lite-getquote.json");
pub(super) const LITE_ATTESTATION: &str =
    include_str!("../../tests/vectors/attestation/dstack-verifier/tdx-lite-attestation.json");

pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

/// A recorded quote with its event log.
pub(super) struct Recorded {
    pub(super) quote: Quote,
    pub(super) log: EventLog,
}

pub(super) fn near_mpc() -> Recorded {
    let bytes: Vec<u8> = serde_json::from_str(NEAR_QUOTE).unwrap();
    Recorded {
        quote: Quote::parse(&bytes).unwrap(),
        log: EventLog::parse(json(NEAR_TCB_INFO)["event_log"].to_string().as_bytes()).unwrap(),
    }
}

pub(super) fn near_collateral() -> Collateral {
    Collateral::parse(NEAR_COLLATERAL.as_bytes()).unwrap()
}

pub(super) fn crabbox() -> Recorded {
    let info = json(CRABBOX);
    let tcb_info = json(text(&info, "tcb_info"));
    Recorded {
        quote: Quote::parse(CRABBOX_QUOTE).unwrap(),
        log: EventLog::parse(tcb_info["event_log"].to_string().as_bytes()).unwrap(),
    }
}

/// Of a reply to `GetQuote`.
pub(super) fn reply(reply: &str) -> Recorded {
    let reply = json(reply);
    Recorded {
        quote: Quote::parse(&hex::decode(text(&reply, "quote")).unwrap()).unwrap(),
        log: EventLog::parse(text(&reply, "event_log").as_bytes()).unwrap(),
    }
}

/// Cases that were made here, in one file.
#[derive(Deserialize)]
pub(super) struct Cases<T> {
    pub(super) cases: Vec<T>,
    #[serde(default)]
    pub(super) root_der: String,
}

/// A chain of a guest, an app and a KMS, as it should be, and what may be wrong with it.
pub(super) struct Chain {
    pub(super) kms: KeyPair,
    pub(super) app: KeyPair,
    pub(super) guest: KeyPair,
    pub(super) app_id: [u8; 20],
    /// App id of the authority above.
    pub(super) authority_id: [u8; 20],
    pub(super) usage: &'static [u8],
    /// Last extension of dstack's arcs, and what is inside both octet strings.
    pub(super) extensions: Vec<(u64, Vec<u8>)>,
    /// Certificates that the app's authority may sign below itself; nothing where it is no authority.
    pub(super) app_is_authority: bool,
    /// Whether the guest's certificate is signed by another key than that of the authority above.
    pub(super) guest_is_signed_by_itself: bool,
}

impl Chain {
    pub(super) fn new() -> Self {
        let key = || KeyPair::generate().unwrap();
        Self {
            kms: key(),
            app: key(),
            guest: key(),
            app_id: [0xaa; 20],
            authority_id: [0xaa; 20],
            usage: b"app:custom",
            extensions: Vec::new(),
            app_is_authority: true,
            guest_is_signed_by_itself: false,
        }
    }

    /// What a quote has to sign to name the guest's key.
    pub(super) fn report_data(&self) -> [u8; 64] {
        Sha512::digest([b"ratls-cert:", &self.guest.subject_public_key_info()[..]].concat()).into()
    }

    pub(super) fn pem(&self) -> String {
        let of = |name: &str, authority: Option<u8>| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.serial_number = Some(SerialNumber::from(7));
            params.not_before = date_time_ymd(1975, 1, 1);
            params.not_after = date_time_ymd(2036, 6, 12);
            if let Some(below) = authority {
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
                params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            }
            params
        };
        let kms = of("Dstack KMS CA", Some(1));
        let root = kms.self_signed(&self.kms).unwrap();
        let mut app = of("Dstack App CA", self.app_is_authority.then_some(0));
        app.custom_extensions = vec![extension(3, &self.authority_id), extension(4, b"app:ca")];
        let authority = app.signed_by(&self.app, &Issuer::from_params(&kms, &self.kms)).unwrap();
        let mut guest = of("demo-cert", None);
        guest.custom_extensions = vec![extension(3, &self.app_id), extension(4, self.usage)];
        let more = self.extensions.iter().map(|(arc, bytes)| extension(*arc, bytes));
        guest.custom_extensions.extend(more);
        let signer = match self.guest_is_signed_by_itself {
            true => &self.guest,
            false => &self.app,
        };
        let leaf = guest
            .signed_by(&self.guest, &Issuer::from_params(&app, signer))
            .unwrap();
        [leaf.pem(), authority.pem(), root.pem()].concat()
    }
}

/// An extension of dstack's: two octet strings around the bytes.
fn extension(arc: u64, bytes: &[u8]) -> CustomExtension {
    let inner = x509_cert::der::asn1::OctetString::new(bytes.to_vec()).unwrap();
    let content = x509_cert::der::Encode::to_der(&inner).unwrap();
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 62397, 1, arc], content)
}

/// An attestation in one piece (SCALE, version 0).
pub(super) fn attestation(quote: &[u8], log: &EventLog, runtime: &[(&str, &[u8])], config: &str) -> Vec<u8> {
    let mut out = vec![0, 0];
    let count = |out: &mut Vec<u8>, count: usize| match u32::try_from(count).unwrap() {
        count @ 0..64 => out.push(u8::try_from(count << 2).unwrap()),
        count @ 64..16384 => out.extend(u16::try_from(count << 2 | 1).unwrap().to_le_bytes()),
        count => out.extend((count << 2 | 2).to_le_bytes()),
    };
    let counted = |out: &mut Vec<u8>, bytes: &[u8]| {
        count(out, bytes.len());
        out.extend(bytes);
    };
    counted(&mut out, quote);
    count(&mut out, log.events().len());
    for event in log.events() {
        out.extend(event.register.to_le_bytes());
        out.extend(event.kind.to_le_bytes());
        counted(&mut out, event.digest.as_slice());
        counted(&mut out, event.name.as_bytes());
        counted(&mut out, &event.payload);
    }
    count(&mut out, runtime.len());
    for (name, payload) in runtime {
        counted(&mut out, name.as_bytes());
        counted(&mut out, payload);
    }
    out.extend(Quote::parse(quote).unwrap().report().report_data);
    counted(&mut out, config.as_bytes());
    out
}
