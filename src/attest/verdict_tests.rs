//! Verdicts: each way to lie that is known, by the link that it breaks or leaves open.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, FixedBytes};
use jiff::Timestamp;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256, Sha512};

use super::sample::{self, LITE};
use super::synthetic::{self, Chain, Cvm, Event, NOW};
use super::{
    Collateral, DevicePolicy, Evidence, Expected, ExpectedInstance, ImageWay, Link, Quote, Reason, ReferenceRegisters,
    Register, Root, Standing, TcbPolicy, TcbStatus, Verdict,
};
use crate::compose::ComposeHash;

/// All that is gathered of a CVM.
#[derive(Clone, Default)]
struct Gathered {
    certificate: Option<String>,
    quote: Option<Vec<u8>>,
    log: Option<Vec<u8>>,
    manifest: Option<Vec<u8>>,
    vm_config: Option<Vec<u8>>,
    collateral: Option<Collateral>,
    nonce: Option<Vec<u8>>,
    answer: Option<Vec<u8>>,
}

impl Gathered {
    fn of(cvm: &mut Cvm) -> Self {
        let log = cvm.log.clone();
        Self {
            certificate: Some(cvm.certificate(&log)),
            quote: Some(cvm.quote()),
            log: Some(synthetic::written(&log)),
            manifest: Some(cvm.manifest.clone()),
            collateral: Some(Collateral::parse(cvm.intel.collateral().to_string().as_bytes()).unwrap()),
            ..Self::default()
        }
    }
    /// As an interface gives it that knows no certificates.
    fn without_certificate(cvm: &mut Cvm) -> Self {
        Self {
            certificate: None,
            ..Self::of(cvm)
        }
    }
    fn evidence(&self) -> Evidence<'_> {
        Evidence {
            certificate: self.certificate.as_ref().map(String::as_bytes),
            quote: self.quote.as_deref(),
            log: self.log.as_deref(),
            manifest: self.manifest.as_deref(),
            vm_config: self.vm_config.as_deref(),
            collateral: self.collateral.as_ref(),
            nonce: self.nonce.as_deref(),
            answer: self.answer.as_deref(),
            ..Evidence::default()
        }
    }
}

/// What `cvm` should be, said while it was as it should be.
fn expected(cvm: &Cvm) -> Expected {
    Expected {
        compose_hash: ComposeHash::of(&cvm.manifest),
        app_id: Address::from(cvm.chain.app_id),
        instance: ExpectedInstance::Is(FixedBytes::repeat_byte(0xbb)),
        device_id: Some(B256::from(cvm.intel.device_id())),
        devices: Some(DevicePolicy::Listed(BTreeSet::from([B256::from(
            cvm.intel.device_id(),
        )]))),
        kms_key: Some(cvm.chain.kms_key()),
        allowed_images: BTreeSet::new(),
        asked: None,
        is_allowed: None,
        tcb: TcbPolicy::default(),
        requires_tcb: false,
        reference: None,
    }
}

fn root(cvm: &Cvm) -> Root {
    Root::for_tests(cvm.intel.root()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// The verdict, after a contract that allows everything was asked about what was measured.
fn judged(gathered: &Gathered, expected: &Expected, root: &Root) -> Verdict {
    let first = Verdict::of(&gathered.evidence(), expected, root, now());
    let expected = Expected {
        asked: first.boot_info(),
        is_allowed: Some(true),
        ..expected.clone()
    };
    Verdict::of(&gathered.evidence(), &expected, root, now())
}

/// The verdict on a CVM that lies, beside what one that does not lie should be.
fn lying(lie: impl FnOnce(&mut Cvm)) -> Verdict {
    let mut cvm = Cvm::default();
    let (expected, root) = (expected(&cvm), root(&cvm));
    lie(&mut cvm);
    judged(&Gathered::of(&mut cvm), &expected, &root)
}

/// The verdict on what was gathered of an honest CVM and changed on the way.
fn changed(change: impl FnOnce(&mut Cvm, &mut Gathered, &mut Expected)) -> Verdict {
    let mut cvm = Cvm::default();
    let (mut expected, root) = (expected(&cvm), root(&cvm));
    let mut gathered = Gathered::of(&mut cvm);
    change(&mut cvm, &mut gathered, &mut expected);
    judged(&gathered, &expected, &root)
}

#[track_caller]
fn is(verdict: &Verdict, standing: Standing, link: Link) {
    let first = verdict.first().map(|finding| finding.link);
    let told: Vec<String> = (verdict.findings.iter())
        .filter_map(|finding| Some(format!("{}: {}", finding.link, finding.reason.as_ref()?)))
        .collect();
    assert_eq!((verdict.standing(), first), (standing, Some(link)), "{told:#?}");
}

#[track_caller]
fn is_proven(verdict: &Verdict) {
    let first = verdict
        .first()
        .map(|finding| (finding.link, finding.reason.as_ref().map(ToString::to_string)));
    assert_eq!((verdict.standing(), first), (Standing::Holds, None));
}

#[test]
fn a_cvm_that_is_as_it_should_be_is_proven_but_for_when() {
    for in_one_piece in [false, true] {
        let verdict = lying(|cvm| cvm.in_one_piece = in_one_piece);
        is_proven(&verdict);
        assert_eq!(verdict.image, [ImageWay::Kms]);
        assert_eq!(verdict.config_id, Some(Standing::Holds));
        let links: Vec<Link> = verdict.findings.iter().map(|finding| finding.link).collect();
        assert_eq!(links, Link::ALL);
        assert_eq!(verdict.findings[10].standing, Standing::NotKnown);
        assert!(verdict.certified_about.is_some());
    }
}

#[test]
fn a_number_that_nobody_knew_before_says_when() {
    let nonce = [0x5e; 32];
    let mut zeros = [0; 64];
    zeros[..32].copy_from_slice(&nonce);
    let tagged: [u8; 64] = Sha512::digest([&b"app-data:"[..], &nonce].concat()).into();
    for signed in [zeros, tagged] {
        let verdict = changed(|cvm, gathered, _| {
            gathered.nonce = Some(nonce.to_vec());
            // The app added an event since its certificate was made.
            cvm.log.push(Event::runtime("app", b"event"));
            gathered.log = Some(synthetic::written(&cvm.log));
            gathered.answer = Some(cvm.quote_of(signed));
        });
        is_proven(&verdict);
        assert_eq!(verdict.findings[10].standing, Standing::Holds);
    }
    // A number that is short, or an answer whose events nobody lists, shows nothing.
    for short in [true, false] {
        let verdict = changed(|cvm, gathered, _| {
            gathered.nonce = Some(if short { vec![0] } else { nonce.to_vec() });
            gathered.log = None;
            if !short {
                cvm.log.push(Event::runtime("app", b"event"));
            }
            gathered.answer = Some(cvm.quote_of(if short { [0; 64] } else { zeros }));
        });
        assert_ne!(verdict.findings[10].standing, Standing::Holds);
    }
}

#[test]
fn the_phala_cloud_cvm_misses_what_nobody_recorded() {
    let info = sample::json(sample::CRABBOX);
    let tcb_info = sample::json(sample::text(&info, "tcb_info"));
    let cvm = sample::crabbox();
    let boot = cvm.log.boot(&cvm.quote.report().rtmr[3]).unwrap();
    let gathered = Gathered {
        certificate: Some(sample::text(&info, "app_cert").to_owned()),
        manifest: Some(sample::text(&tcb_info, "app_compose").as_bytes().to_vec()),
        ..Gathered::default()
    };
    let expected = Expected {
        compose_hash: boot.compose_hash,
        app_id: boot.app_id,
        instance: ExpectedInstance::Is(boot.instance_id.unwrap()),
        device_id: None,
        devices: Some(DevicePolicy::Any),
        kms_key: Some(boot.key_provider.id.clone()),
        ..expected(&Cvm::default())
    };
    let verdict = judged(&gathered, &expected, &Root::intel());
    is(&verdict, Standing::NotKnown, Link::Genuine);
    let open: Vec<Link> = (verdict.findings.iter())
        .filter(|finding| finding.standing != Standing::Holds)
        .map(|finding| finding.link)
        .collect();
    assert_eq!(open, [Link::Genuine, Link::Tcb, Link::Chain, Link::Fresh]);
}

#[test]
fn att_a1_an_own_kernel_that_extends_what_was_approved() {
    // No KMS certifies it, so that its image is not known.
    let rogue = |cvm: &mut Cvm| {
        cvm.mrtd = [0x66; 48];
        cvm.log[1] = Event::firmware(1, b"own kernel");
    };
    let mut cvm = Cvm::default();
    let (mut expected, root) = (expected(&cvm), root(&cvm));
    let honest = Quote::parse(&cvm.quote()).unwrap();
    rogue(&mut cvm);
    let gathered = Gathered::without_certificate(&mut cvm);
    is(&judged(&gathered, &expected, &root), Standing::NotKnown, Link::Image);
    // Beside the registers of before it is told.
    let report = honest.report();
    expected.reference = Some(ReferenceRegisters {
        mrtd: report.mrtd,
        rtmr0: Some(report.rtmr[0]),
        rtmr1: report.rtmr[1],
        rtmr2: report.rtmr[2],
    });
    is(&judged(&gathered, &expected, &root), Standing::Broken, Link::Image);
    let known = changed(|_, gathered, expected| {
        let quote = Quote::parse(gathered.quote.as_ref().unwrap()).unwrap();
        let rtmr = quote.report().rtmr;
        expected.reference = Some(ReferenceRegisters {
            mrtd: quote.report().mrtd,
            rtmr0: None,
            rtmr1: rtmr[1],
            rtmr2: rtmr[2],
        });
        gathered.certificate = None;
    });
    is_proven(&known);
    assert_eq!(known.image, [ImageWay::Reference]);
}

/// The verdict where the log in the certificate is another than was measured.
fn with_log(change: impl FnOnce(&mut Cvm)) -> Verdict {
    changed(|cvm, gathered, _| {
        let measured = cvm.log.clone();
        change(cvm);
        let shown = std::mem::replace(&mut cvm.log, measured);
        gathered.certificate = Some(cvm.certificate(&shown));
    })
}

#[test]
fn att_a2_a_payload_beside_the_digest_of_another() {
    is(
        &with_log(|cvm| cvm.event("compose-hash").payload = vec![0x66; 32]),
        Standing::Broken,
        Link::Log,
    );
}

#[test]
fn att_a3_an_app_that_adds_what_was_approved_after_its_boot() {
    let verdict = lying(|cvm| {
        let approved = Sha256::digest(&cvm.manifest);
        cvm.measure("compose-hash", &[0x66; 32]);
        cvm.log.push(Event::runtime("compose-hash", &approved));
    });
    is(&verdict, Standing::Broken, Link::Compose);
    assert_eq!(verdict.boot.unwrap().compose_hash, ComposeHash::new([0x66; 32]));
}

#[test]
fn att_a4_an_event_of_another_register() {
    is(
        &with_log(|cvm| cvm.event("compose-hash").register = 1),
        Standing::Broken,
        Link::Log,
    );
    is(
        &with_log(|cvm| cvm.event("compose-hash").kind = 4),
        Standing::Broken,
        Link::Log,
    );
}

#[test]
fn att_a5_an_event_cut_at_another_colon() {
    let verdict = with_log(|cvm| {
        let event = cvm.event("key-provider");
        let payload = String::from_utf8(event.payload.clone()).unwrap();
        let (first, rest) = payload.split_once(':').unwrap();
        (event.name, event.payload) = (format!("key-provider:{first}"), rest.as_bytes().to_vec());
    });
    is(&verdict, Standing::Broken, Link::Log);
}

#[test]
fn att_a6_an_event_that_was_never_measured_is_not_empty() {
    for name in ["app-id", "compose-hash", "key-provider", "boot-mr-done"] {
        let verdict = lying(|cvm| cvm.log.retain(|event| event.name != name));
        is(&verdict, Standing::NotKnown, Link::Log);
    }
}

#[test]
fn att_a7_two_lists_of_which_one_is_measured() {
    let verdict = changed(|cvm, gathered, _| {
        let mut other = cvm.log.clone();
        other.retain(|event| event.register == 3);
        other[2].payload = vec![0x66; 32];
        cvm.chain.extensions = vec![(8, synthetic::in_one_piece(&cvm.quote(), &cvm.log, &other, ""))];
        gathered.certificate = Some(cvm.chain.pem());
    });
    is(&verdict, Standing::Broken, Link::Log);
}

#[test]
fn att_a8_registers_come_from_the_quote_and_from_nothing_else() {
    let verdict = with_log(|cvm| cvm.measure("compose-hash", &[0x66; 32]));
    is(&verdict, Standing::Broken, Link::Log);
    let verdict = with_log(|cvm| cvm.log[0] = Event::firmware(0, b"other hardware"));
    is(&verdict, Standing::Broken, Link::Log);
}

#[test]
fn att_a9_a12_a_log_that_nobody_signed_and_words_of_servers_show_nothing() {
    let verdict = changed(|_, gathered, _| (gathered.certificate, gathered.quote) = (None, None));
    is(&verdict, Standing::NotKnown, Link::Genuine);
    is(
        &changed(|_, gathered, _| *gathered = Gathered::default()),
        Standing::NotKnown,
        Link::Genuine,
    );
}

#[test]
fn att_a10_a_machine_that_is_out_of_date() {
    let out_of_date = |cvm: &mut Cvm, gathered: &mut Gathered| {
        cvm.intel.status = "OutOfDate";
        gathered.collateral = Some(Collateral::parse(cvm.intel.collateral().to_string().as_bytes()).unwrap());
    };
    is(
        &changed(|cvm, gathered, _| out_of_date(cvm, gathered)),
        Standing::NotKnown,
        Link::Tcb,
    );
    let required = changed(|cvm, gathered, expected| {
        out_of_date(cvm, gathered);
        expected.requires_tcb = true;
    });
    is(&required, Standing::Broken, Link::Tcb);
    let accepted = changed(|cvm, gathered, expected| {
        out_of_date(cvm, gathered);
        expected.tcb = TcbPolicy::default().accept(TcbStatus::OutOfDate);
    });
    is_proven(&accepted);
    let revoked = changed(|cvm, gathered, _| {
        cvm.intel.status = "Revoked";
        gathered.collateral = Some(Collateral::parse(cvm.intel.collateral().to_string().as_bytes()).unwrap());
    });
    is(&revoked, Standing::Broken, Link::Tcb);
    let stolen = changed(|cvm, gathered, _| {
        cvm.intel.is_revoked = true;
        gathered.collateral = Some(Collateral::parse(cvm.intel.collateral().to_string().as_bytes()).unwrap());
    });
    is(&stolen, Standing::Broken, Link::Genuine);
}

#[test]
fn att_a11_without_collateral_nobody_knows_what_was_revoked() {
    is(
        &changed(|_, gathered, _| gathered.collateral = None),
        Standing::NotKnown,
        Link::Genuine,
    );
}

#[test]
fn att_a13_the_quote_of_another_app() {
    let verdict = lying(|cvm| {
        cvm.measure("app-id", &[0x66; 20]);
        (cvm.chain.app_id, cvm.chain.authority_id) = ([0x66; 20], [0x66; 20]);
    });
    is(&verdict, Standing::Broken, Link::App);
    let certified = lying(|cvm| (cvm.chain.app_id, cvm.chain.authority_id) = ([0x66; 20], [0x66; 20]));
    is(&certified, Standing::Broken, Link::App);
}

#[test]
fn att_a14_the_quote_of_another_instance() {
    for other in [&[0x66; 20][..], b""] {
        is(
            &lying(|cvm| cvm.measure("instance-id", other)),
            Standing::Broken,
            Link::Instance,
        );
    }
    let without = changed(|_, _, expected| expected.instance = ExpectedInstance::Without);
    is(&without, Standing::Broken, Link::Instance);
    let nobody = changed(|_, _, expected| expected.instance = ExpectedInstance::NotKnown);
    is(&nobody, Standing::NotKnown, Link::Instance);
}

#[test]
fn att_a15_a_machine_that_is_not_allowed() {
    let other = changed(|_, _, expected| {
        expected.device_id = None;
        expected.devices = Some(DevicePolicy::Listed(BTreeSet::from([B256::repeat_byte(1)])));
    });
    is(&other, Standing::Broken, Link::Device);
    let recorded = changed(|_, _, expected| {
        expected.device_id = Some(B256::repeat_byte(1));
        expected.devices = Some(DevicePolicy::Any);
    });
    is(&recorded, Standing::Broken, Link::Device);
    is(
        &changed(|_, _, expected| expected.devices = None),
        Standing::NotKnown,
        Link::Device,
    );
}

#[test]
fn att_a16_keys_from_elsewhere_than_the_kms_of_the_contract() {
    for provider in [
        r#"{"name":"local-sgx","id":"00"}"#.to_owned(),
        r#"{"name":"none","id":""}"#.to_owned(),
        format!(r#"{{"name":"kms","id":"{}"}}"#, hex::encode(Chain::default().kms_key())),
    ] {
        is(
            &lying(|cvm| cvm.measure("key-provider", provider.as_bytes())),
            Standing::Broken,
            Link::Kms,
        );
    }
}

#[test]
fn att_a17_a_chain_of_an_authority_that_only_calls_itself_a_kms() {
    let verdict = changed(|cvm, gathered, _| {
        let log = cvm.log.clone();
        cvm.chain.kms = Chain::default().kms;
        gathered.certificate = Some(cvm.certificate(&log));
    });
    is(&verdict, Standing::Broken, Link::Image);
}

#[test]
fn att_a18_a_good_quote_in_a_certificate_of_another_key() {
    let verdict = lying(|cvm| {
        cvm.report_data = Some(cvm.chain.report_data());
        cvm.chain.guest = Chain::default().guest;
    });
    is(&verdict, Standing::Broken, Link::Image);
}

#[test]
fn att_a19_a_quote_of_before_the_upgrade_beside_the_new_manifest() {
    let verdict = lying(|cvm| {
        cvm.measure("compose-hash", &Sha256::digest(b"{}"));
        cvm.config_id = [0; 48];
    });
    is(&verdict, Standing::Broken, Link::Compose);
    let Some(Reason::Differs { found, .. }) = verdict.first().and_then(|finding| finding.reason.as_ref()) else {
        panic!("the hash that was measured is not named");
    };
    assert_eq!(*found, ComposeHash::of(b"{}").to_string());
}

#[test]
fn att_a20_a_quote_that_was_made_for_something_else_as_an_answer() {
    let verdict = changed(|_, gathered, _| {
        gathered.nonce = Some(vec![0x5e; 32]);
        gathered.answer = gathered.quote.clone();
    });
    is(&verdict, Standing::Broken, Link::Fresh);
    // So is the right answer of another image.
    let verdict = changed(|cvm, gathered, _| {
        gathered.nonce = Some(vec![0x5e; 64]);
        cvm.mrtd = [0x66; 48];
        gathered.answer = Some(cvm.quote_of([0x5e; 64]));
    });
    is(&verdict, Standing::Broken, Link::Fresh);
}

#[test]
fn att_a21_a_manifest_that_was_written_anew_is_another() {
    let verdict = changed(|_, gathered, _| {
        gathered.manifest = Some(br#"{"name":"app","manifest_version":2,"runner":"docker-compose"}"#.to_vec());
    });
    is(&verdict, Standing::Broken, Link::Compose);
}

#[test]
fn att_a22_what_the_host_says_is_checked_and_never_believed() {
    // The host says what was approved, and the guest measured something else.
    is(
        &lying(|cvm| cvm.measure("compose-hash", &[0x66; 32])),
        Standing::Broken,
        Link::Compose,
    );
    // The guest measured what was approved, and the host says something else.
    is(&lying(|cvm| cvm.config_id[5] ^= 1), Standing::Broken, Link::Compose);
    // The host's word alone, without a log.
    let alone = changed(|_, gathered, _| (gathered.certificate, gathered.log) = (None, None));
    is(&alone, Standing::NotKnown, Link::Log);
    let unknown = lying(|cvm| cvm.config_id[0] = 9);
    is_proven(&unknown);
    assert_eq!(unknown.config_id, Some(Standing::NotKnown));
}

/// What a host says of an image that nobody else knows, with the document of its measurement.
fn lite() -> (Gathered, Expected) {
    let cvm = sample::reply(LITE);
    let boot = cvm.log.boot(&cvm.quote.report().rtmr[3]).unwrap();
    let reply = sample::json(LITE);
    let gathered = Gathered {
        quote: Some(cvm.quote.bytes().to_vec()),
        log: Some(sample::text(&reply, "event_log").as_bytes().to_vec()),
        vm_config: Some(sample::text(&reply, "vm_config").as_bytes().to_vec()),
        ..Gathered::default()
    };
    let expected = Expected {
        compose_hash: boot.compose_hash,
        app_id: boot.app_id,
        ..expected(&Cvm::default())
    };
    (gathered, expected)
}

#[test]
fn att_a23_a24_a_document_of_an_image_counts_where_the_contract_allows_that_image() {
    let (mut gathered, mut expected) = lite();
    let image = |gathered: &Gathered, expected: &Expected| {
        let verdict = judged(gathered, expected, &Root::intel());
        (verdict.findings[8].standing, verdict.image)
    };
    assert_eq!(image(&gathered, &expected), (Standing::NotKnown, vec![]));
    expected.allowed_images = BTreeSet::from([B256::repeat_byte(1)]);
    assert_eq!(image(&gathered, &expected), (Standing::NotKnown, vec![]));
    let config = sample::json(std::str::from_utf8(gathered.vm_config.as_ref().unwrap()).unwrap());
    let hash: B256 = sample::text(&config, "os_image_hash").parse().unwrap();
    expected.allowed_images.insert(hash);
    assert_eq!(
        image(&gathered, &expected),
        (Standing::Holds, vec![ImageWay::Document(hash)])
    );
    // A document that was changed is of no image, and one of another image contradicts.
    let text = String::from_utf8(gathered.vm_config.take().unwrap()).unwrap();
    let swapped = text.replace("CQILAhAQ", "CQILAhAR");
    assert_ne!(swapped, text);
    gathered.vm_config = Some(swapped.into_bytes());
    assert_eq!(image(&gathered, &expected), (Standing::NotKnown, vec![]));
    gathered.vm_config = Some(text.replace("o2d2ZXJzaW9uA2", "o2d2ZXJzaW9uBG").into_bytes());
    assert_eq!(image(&gathered, &expected), (Standing::NotKnown, vec![]));
    let verdict = changed(|_, gathered, _| gathered.vm_config = Some(text.into_bytes()));
    is(&verdict, Standing::Broken, Link::Image);
}

#[test]
fn att_a25_a_trust_domain_that_is_open() {
    for attributes in [
        1,
        1 << 28 | 1,
        1 << 28 | 1 << 4,
        0,
        1 << 28 | 1 << 29,
        1 << 28 | 1 << 17,
        1 << 28 | 1 << 40,
    ] {
        is(
            &lying(|cvm| cvm.td_attributes = attributes),
            Standing::Broken,
            Link::Genuine,
        );
    }
}

#[test]
fn att_a26_fields_of_every_format_are_where_they_are() {
    let bytes = include_bytes!("../../tests/vectors/attestation/dcap-qvl/tdx_quote_td15ex");
    let report = *Quote::parse(bytes).unwrap().report();
    assert_eq!(report.mrtd, Register::from_slice(&bytes[54 + 136..54 + 184]));
    assert_eq!(report.report_data.as_slice(), &bytes[54 + 520..54 + 584]);
    assert_eq!(
        report.mr_service_td.unwrap(),
        Register::from_slice(&bytes[54 + 600..54 + 648])
    );
}

#[test]
fn att_a27_collateral_of_another_time_or_of_before_what_was_found_since() {
    for other in ["2026-10-31T00:00:00Z", "2026-12-02T00:00:00Z"] {
        let mut cvm = Cvm::default();
        let (expected, root) = (expected(&cvm), root(&cvm));
        let gathered = Gathered::of(&mut cvm);
        let verdict = Verdict::of(&gathered.evidence(), &expected, &root, other.parse().unwrap());
        is(&verdict, Standing::NotKnown, Link::Genuine);
    }
    let old = changed(|_, _, expected| expected.tcb = TcbPolicy::default().from_evaluation(21));
    is(&old, Standing::NotKnown, Link::Tcb);
}

#[test]
fn att_a28_evidence_of_another_maker_of_machines() {
    let mut cvm = Cvm::default();
    let expected = expected(&cvm);
    let gathered = Gathered::of(&mut cvm);
    is(
        &judged(&gathered, &expected, &Root::intel()),
        Standing::Broken,
        Link::Genuine,
    );
    // Also where the collateral is held back.
    let withheld = Gathered {
        collateral: None,
        ..gathered
    };
    is(
        &judged(&withheld, &expected, &Root::intel()),
        Standing::Broken,
        Link::Genuine,
    );
    // And where only the collateral is foreign.
    let foreign = changed(|_, gathered, _| {
        let collateral = Cvm::default().intel.collateral().to_string();
        gathered.collateral = Some(Collateral::parse(collateral.as_bytes()).unwrap());
    });
    is(&foreign, Standing::Broken, Link::Genuine);
}

#[test]
fn att_a29_what_stands_behind_the_quote_is_no_part_of_it() {
    let verdict = changed(|_, gathered, _| {
        gathered.certificate = None;
        gathered.quote.as_mut().unwrap().push(1);
    });
    is(&verdict, Standing::NotKnown, Link::Genuine);
}

#[test]
fn att_a30_half_a_boot() {
    is(&lying(|cvm| cvm.log.truncate(8)), Standing::NotKnown, Link::Log);
    is(&lying(|cvm| drop(cvm.log.pop())), Standing::NotKnown, Link::Log);
}

#[test]
fn att_a31_a_kms_without_a_contract() {
    is(
        &changed(|_, _, expected| expected.kms_key = None),
        Standing::NotKnown,
        Link::Kms,
    );
}

#[test]
fn att_a32_hashes_are_bytes_and_not_texts() {
    let verdict = changed(|_, gathered, expected| {
        gathered.certificate = None;
        let log = String::from_utf8(gathered.log.take().unwrap()).unwrap();
        gathered.log = Some(log.replace("bbbbbbbb", "BBBBbbBB").into_bytes());
        let quote = Quote::parse(gathered.quote.as_ref().unwrap()).unwrap();
        let rtmr = quote.report().rtmr;
        expected.reference = Some(ReferenceRegisters {
            mrtd: quote.report().mrtd,
            rtmr0: None,
            rtmr1: rtmr[1],
            rtmr2: rtmr[2],
        });
    });
    is_proven(&verdict);
}

#[test]
fn the_contract_is_asked_about_what_was_measured_and_about_nothing_else() {
    let mut cvm = Cvm::default();
    let (mut expected, root) = (expected(&cvm), root(&cvm));
    let gathered = Gathered::of(&mut cvm);
    let verdict = |expected: &Expected| Verdict::of(&gathered.evidence(), expected, &root, now());
    is(&verdict(&expected), Standing::NotKnown, Link::Chain);
    expected.asked = verdict(&expected).boot_info();
    expected.is_allowed = Some(false);
    is(&verdict(&expected), Standing::Broken, Link::Chain);
    expected.is_allowed = Some(true);
    is_proven(&verdict(&expected));
    expected.asked.as_mut().unwrap().device_id = B256::ZERO;
    is(&verdict(&expected), Standing::NotKnown, Link::Chain);
}

#[test]
fn a_certificate_of_a_format_that_is_not_known_leaves_the_quote_beside_it_standing() {
    let with = |known_key: bool| {
        changed(|cvm, gathered, _| {
            cvm.chain.extensions = vec![(8, vec![0x82])];
            gathered.certificate = Some(cvm.chain.pem());
            if !known_key {
                gathered.quote = Some(cvm.quote_of([1; 64]));
            }
        })
    };
    // The quote is of some other key, which says nothing of the certificate.
    is(&with(false), Standing::NotKnown, Link::Image);
    is_proven(&with(true));
    let no_image = lying(|cvm| cvm.log.retain(|event| event.name != "os-image-hash"));
    is(&no_image, Standing::NotKnown, Link::Chain);
}

/// Takes away what `mask` names.
fn without(mask: u16, gathered: &Gathered, expected: &Expected) -> (Gathered, Expected) {
    let (mut gathered, mut expected) = (gathered.clone(), expected.clone());
    let gone = |bit: u16| mask & (1 << bit) != 0;
    let taken: [(u16, &mut dyn FnMut()); 7] = [
        (0, &mut || gathered.certificate = None),
        (1, &mut || gathered.collateral = None),
        (4, &mut || expected.kms_key = None),
        (5, &mut || expected.devices = None),
        (6, &mut || expected.is_allowed = None),
        (7, &mut || expected.instance = ExpectedInstance::NotKnown),
        (8, &mut || expected.reference = None),
    ];
    for (bit, take) in taken {
        if gone(bit) {
            take();
        }
    }
    if gone(2) {
        gathered.quote = None;
    }
    if gone(3) {
        gathered.log = None;
    }
    (gathered, expected)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn taking_evidence_away_never_raises_a_verdict(less in 0..512_u16, more in 0..512_u16, lie in 0..6_u8) {
        let mut cvm = Cvm::default();
        let (mut expected, root) = (expected(&cvm), root(&cvm));
        let report = *Quote::parse(&cvm.quote()).unwrap().report();
        let [_, rtmr1, rtmr2, _] = report.rtmr;
        expected.reference = Some(ReferenceRegisters { mrtd: report.mrtd, rtmr0: None, rtmr1, rtmr2 });
        match lie {
            1 => cvm.measure("compose-hash", &[0x66; 32]),
            2 => cvm.measure("app-id", &[0x66; 20]),
            3 => cvm.td_attributes |= 1,
            4 => cvm.mrtd = [0x66; 48],
            5 => cvm.log.retain(|event| event.name != "system-ready"),
            _ => {}
        }
        let gathered = Gathered::of(&mut cvm);
        expected.asked = Verdict::of(&gathered.evidence(), &expected, &root, now()).boot_info();
        expected.is_allowed = Some(true);
        // Registers of before are what it should be: a lie that they show cannot be seen without them.
        let kept = if lie == 4 { 255 } else { 511 };
        let standing = |mask: u16| {
            let mask = mask & kept;
            let (gathered, expected) = without(mask, &gathered, &expected);
            Verdict::of(&gathered.evidence(), &expected, &root, now()).standing()
        };
        let (some, fewer) = (standing(less), standing(less | more));
        // Once more is gone, it is proven only if it was before, and a lie is never proven.
        prop_assert!(fewer != Standing::Holds || some == Standing::Holds, "{some:?} {fewer:?}");
        prop_assert!(lie == 0 || some != Standing::Holds);
    }
}
