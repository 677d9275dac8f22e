//! Certificates of guests: a recorded one, and those that lie.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use proptest::prelude::*;
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::sample::{self, CRABBOX, LITE, LITE_ATTESTATION};
use super::synthetic::{Chain, Event, in_one_piece};
use super::{AppCertificate, CertificateError, P256Key, Quote, Standing, Versioned, VersionedError};

fn summer() -> Timestamp {
    "2026-07-01T00:00:00Z".parse().unwrap()
}

fn recorded() -> AppCertificate {
    AppCertificate::parse(sample::text(&sample::json(CRABBOX), "app_cert").as_bytes()).unwrap()
}

fn parsed(chain: &Chain) -> AppCertificate {
    AppCertificate::parse(chain.pem().as_bytes()).unwrap()
}

/// The extensions of a quote and a log as older KMSes write them.
fn apart() -> Vec<(u64, Vec<u8>)> {
    let quote = sample::reply(LITE).quote.bytes().to_vec();
    let log = sample::text(&sample::json(LITE), "event_log").as_bytes().to_vec();
    vec![(1, quote), (2, log)]
}

/// The events of a guest's own.
fn runtime(cvm: &sample::Recorded) -> Vec<Event> {
    let events = sample::events(&cvm.log).into_iter();
    events.filter(|event| event.register == 3).collect()
}

/// A certificate with these extensions.
fn holding(extensions: Vec<(u64, Vec<u8>)>) -> AppCertificate {
    parsed(&Chain {
        extensions,
        ..Chain::default()
    })
}

fn lite_attestation() -> Vec<u8> {
    hex::decode(sample::text(&sample::json(LITE_ATTESTATION), "attestation")).unwrap()
}

#[test]
fn the_certificate_of_a_phala_cloud_cvm_is_of_its_kms_and_of_its_quote() {
    let (certificate, cvm) = (recorded(), sample::crabbox());
    let boot = cvm.log.boot(&cvm.quote.report().rtmr[3]).unwrap();
    let kms = certificate.check(summer()).unwrap();
    assert_eq!(Some(kms), P256Key::parse(&boot.key_provider.id));
    assert_eq!(kms.to_der(), boot.key_provider.id);
    assert_eq!(certificate.app_id().unwrap(), boot.app_id);
    let evidence = certificate.evidence().unwrap();
    let quote = Quote::parse(&evidence.quote).unwrap();
    assert_eq!(quote.bytes(), cvm.quote.bytes());
    certificate.check_key(quote.report()).unwrap();
    assert_eq!(evidence.log.boot(&quote.report().rtmr[3]).unwrap(), boot);
    assert_eq!(
        certificate.signed_about().unwrap(),
        "2026-06-15T11:08:39Z".parse().unwrap()
    );
    let error = certificate.check("2040-01-01T00:00:00Z".parse().unwrap()).unwrap_err();
    assert!(matches!(error, CertificateError::NotCurrent { .. }), "{error}");
}

#[test]
fn att_a17_an_authority_that_calls_itself_a_kms_is_of_another_key() {
    let (one, other) = (Chain::default(), Chain::default());
    let key = parsed(&one).check(summer()).unwrap();
    assert_eq!(key.to_der(), one.kms_key());
    assert_ne!(key, parsed(&other).check(summer()).unwrap());
    assert_ne!(
        Some(key),
        P256Key::parse(
            &sample::crabbox()
                .log
                .boot(&sample::crabbox().quote.report().rtmr[3])
                .unwrap()
                .key_provider
                .id
        )
    );
}

#[test]
fn att_a18_a_good_quote_in_a_certificate_of_another_key_is_refused() {
    let chain = Chain {
        extensions: apart(),
        ..Chain::default()
    };
    let certificate = parsed(&chain);
    let mut report = *Quote::parse(&certificate.evidence().unwrap().quote).unwrap().report();
    let error = certificate.check_key(&report).unwrap_err();
    assert_eq!(error.standing(), Standing::Broken, "{error}");
    report.report_data = chain.report_data().into();
    certificate.check_key(&report).unwrap();
}

#[test]
fn a_chain_is_whole_or_refused() {
    let error = |change: &dyn Fn(&mut Chain)| {
        let mut chain = Chain::default();
        change(&mut chain);
        parsed(&chain).check(summer()).unwrap_err()
    };
    let itself = error(&|chain| chain.guest_is_signed_by_itself = true);
    assert!(
        matches!(itself, CertificateError::NotSigned { of: "guest" }),
        "{itself}"
    );
    let other = error(&|chain| chain.app_id = [0xbb; 20]);
    assert!(matches!(other, CertificateError::OtherApp { .. }), "{other}");
    assert_eq!(other.standing(), Standing::Broken);
    let no_authority = error(&|chain| chain.app_is_authority = false);
    assert!(
        matches!(no_authority, CertificateError::NoAuthority { of: "app" }),
        "{no_authority}"
    );
    let usage = error(&|chain| chain.usage = b"kms:rpc");
    assert!(matches!(usage, CertificateError::OtherUse { of: "guest" }), "{usage}");
}

#[test]
fn a_certificate_of_another_chain_or_one_that_was_changed_is_not_signed() {
    let (one, other) = (Chain::default().pem(), Chain::default().pem());
    let certificates = |pem: &str| {
        let parts = pem.split_inclusive("-----END CERTIFICATE-----");
        parts
            .filter(|part| part.contains("BEGIN"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (one, other) = (certificates(&one), certificates(&other));
    for foreign in 0..3 {
        let mut mixed = one.clone();
        mixed[foreign] = other[foreign].clone();
        let error = AppCertificate::parse(mixed.concat().as_bytes())
            .unwrap()
            .check(summer())
            .unwrap_err();
        assert!(
            matches!(error, CertificateError::NotSigned { .. }),
            "{foreign}: {error}"
        );
    }
    // The KMS's own certificate, whose key is all that others name, is whole too.
    let mut root = CertificateDer::from_pem_slice(one[2].as_bytes()).unwrap().to_vec();
    *root.last_mut().unwrap() ^= 1;
    let root = BASE64_STANDARD.encode(root);
    let root = format!("-----BEGIN CERTIFICATE-----\n{root}\n-----END CERTIFICATE-----\n");
    let chain = [one[0].as_str(), &one[1], "\n", &root].concat();
    let error = AppCertificate::parse(chain.as_bytes())
        .unwrap()
        .check(summer())
        .unwrap_err();
    assert!(matches!(error, CertificateError::NotSigned { of: "KMS" }), "{error}");
    for count in [0, 1, 2, 4, 9] {
        let chain = one
            .iter()
            .cycle()
            .take(count)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n");
        let error = AppCertificate::parse(chain.as_bytes()).unwrap_err();
        assert_eq!(error.standing(), Standing::NotKnown, "{error}");
    }
    let error = AppCertificate::parse(&vec![b'-'; 1024 * 1024]).unwrap_err();
    assert_eq!(error.standing(), Standing::NotKnown, "{error}");
}

#[test]
fn evidence_is_read_as_both_kinds_of_kms_write_it_and_has_to_be_the_same() {
    let with = |extensions: Vec<(u64, Vec<u8>)>| holding(extensions).evidence();
    let old = with(apart()).unwrap();
    assert_eq!(old.vm_config, None);
    let whole = lite_attestation();
    let new = with(vec![(8, whole.clone())]).unwrap();
    assert!(new.vm_config.is_some());
    // They are of one CVM and of two quotes.
    let error = with([apart(), vec![(8, whole.clone())]].concat()).unwrap_err();
    assert!(matches!(error, CertificateError::Differs { .. }), "{error}");
    let cvm = sample::reply(LITE);
    let same = in_one_piece(cvm.quote.bytes(), &sample::events(&cvm.log), &runtime(&cvm), "{}");
    let mut longer = apart();
    longer[0].1.push(0);
    let error = with([longer, vec![(8, same.clone())]].concat()).unwrap_err();
    assert!(matches!(error, CertificateError::Differs { .. }), "{error}");
    let both = with([apart(), vec![(8, same)]].concat()).unwrap();
    assert_eq!((both.quote, both.log), (old.quote, old.log));

    for (extensions, standing) in [
        (vec![], Standing::NotKnown),
        (apart()[..1].to_vec(), Standing::NotKnown),
        (apart()[1..].to_vec(), Standing::NotKnown),
        (vec![(8, vec![0x82])], Standing::NotKnown),
        ([apart(), apart()].concat(), Standing::NotKnown),
    ] {
        assert_eq!(with(extensions).unwrap_err().standing(), standing);
    }
}

#[test]
fn att_a29_a_packed_log_is_unpacked_up_to_its_limit() {
    let packed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(b"ELGZv1".to_vec(), Compression::best());
        encoder.write_all(bytes).unwrap();
        holding(vec![apart().remove(0), (2, encoder.finish().unwrap())]).evidence()
    };
    let log = apart().remove(1).1;
    assert_eq!(packed(&log).unwrap().log, sample::reply(LITE).log);
    let padded = |length: usize| [&log[..], &vec![b' '; length - log.len()]].concat();
    assert!(packed(&padded(16 * 1024)).is_ok());
    for length in [16 * 1024 + 1, 64 * 1024 * 1024] {
        let error = packed(&padded(length)).unwrap_err();
        assert!(matches!(error, CertificateError::Packed(_)), "{error}");
    }
    let error = holding(vec![apart().remove(0), (2, b"ELGZv1 and no gzip".to_vec())])
        .evidence()
        .unwrap_err();
    assert_eq!(error.standing(), Standing::NotKnown, "{error}");
}

#[test]
fn att_a7_two_lists_of_events_have_to_be_one() {
    let cvm = sample::reply(LITE);
    let events = runtime(&cvm);
    let read =
        |runtime: &[Event]| Versioned::parse(&in_one_piece(cvm.quote.bytes(), &sample::events(&cvm.log), runtime, ""));
    read(&events).unwrap();
    // A length in more bytes than it needs.
    let mut long = in_one_piece(cvm.quote.bytes(), &sample::events(&cvm.log), &events, "");
    long.pop();
    long.extend([1, 0]);
    assert_eq!(Versioned::parse(&long).unwrap_err().standing(), Standing::NotKnown);
    let mut other = events.clone();
    other[2].payload = vec![0x66; 32];
    for runtime in [&other[..], &events[1..], &[]] {
        let error = read(runtime).unwrap_err();
        assert!(matches!(error, VersionedError::TwoLists), "{error}");
        assert_eq!(error.standing(), Standing::Broken);
    }
}

#[test]
fn an_attestation_in_one_piece_is_read_whole_or_not_at_all() {
    let whole = lite_attestation();
    for end in 0..whole.len() {
        let error = Versioned::parse(&whole[..end]).unwrap_err();
        assert!(matches!(error, VersionedError::Incomplete { .. }), "{end}: {error}");
    }
    let more = [&whole[..], b"\0"].concat();
    assert_eq!(Versioned::parse(&more).unwrap_err().standing(), Standing::NotKnown);
    for first in [0x01, 0x80, 0x8f, 0xde, 0xdf, 0xff] {
        let error = Versioned::parse(&[first, 0]).unwrap_err();
        assert!(matches!(error, VersionedError::Format { .. }), "{error}");
    }
    assert!(matches!(
        Versioned::parse(&[0, 1]).unwrap_err(),
        VersionedError::NotTdx { found: 1 }
    ));
    // What it says was signed stands before its configuration, and has to be what the quote says.
    let quote = Versioned::parse(&whole).unwrap().quote;
    let signed = Quote::parse(&quote).unwrap().report().report_data;
    let last = whole.windows(64).rposition(|bytes| bytes == signed.as_slice()).unwrap();
    let mut other = whole.clone();
    other[last] ^= 1;
    assert_eq!(Versioned::parse(&other).unwrap_err().standing(), Standing::Broken);
    // A length in more bytes than it needs, and lists of more than there is.
    for bytes in [
        &[0, 0, 0x01, 0x00][..],
        &[0, 0, 0x00, 0xfe, 0xff, 0xff, 0xff],
        &[0, 0, 0x03, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(Versioned::parse(bytes).unwrap_err().standing(), Standing::NotKnown);
    }
}

#[test]
fn keys_are_one_in_each_of_their_encodings() {
    let der = sample::crabbox()
        .log
        .boot(&sample::crabbox().quote.report().rtmr[3])
        .unwrap()
        .key_provider
        .id;
    let key = P256Key::parse(&der).unwrap();
    assert_eq!(P256Key::parse(&der[26..]), Some(key));
    assert_eq!(P256Key::parse(&der[27..]), Some(key));
    for other in [&der[..90], &der[28..], &[], &[&[2], &der[27..]].concat()] {
        assert_eq!(P256Key::parse(other), None);
    }
}

proptest! {
    #[test]
    fn any_certificates_and_attestations_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..2000), at in 0..18_000_usize, by: u8) {
        prop_assert!(Versioned::parse(&bytes).is_err());
        prop_assert!(AppCertificate::parse(&bytes).is_err());
        let mut whole = lite_attestation();
        let length = whole.len();
        whole[at % length] = by;
        drop(Versioned::parse(&whole));
        let mut pem = sample::text(&sample::json(CRABBOX), "app_cert").as_bytes().to_vec();
        let length = pem.len();
        pem[at % length] = by;
        if let Ok(certificate) = AppCertificate::parse(&pem) {
            drop(certificate.check(summer()));
            drop(certificate.evidence());
        }
    }
}
