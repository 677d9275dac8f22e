//! Event logs: recorded ones, and those that lie.

use alloy::primitives::{B256, FixedBytes, address, b256, fixed_bytes, keccak256};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha384};

use super::sample::{self, CRABBOX, Cases, LITE, LITE_ATTESTATION, NEAR_TCB_INFO, QUOTE_REPORT, Recorded};
use super::{Boot, ConfigId, EventLog, KeyProviderKind, LogError, P256Key, Register, Standing, Versioned};
use crate::compose::ComposeHash;

#[derive(Deserialize)]
struct Case {
    name: String,
    rtmr3: String,
    event_log: Value,
    expect: String,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../../tests/vectors/attestation/synthetic/eventlog-cases.json");
    serde_json::from_str::<Cases<Case>>(text).unwrap().cases
}

fn register(text: &str) -> Register {
    text.parse().unwrap()
}

fn read(json: &str, rtmr3: &Register) -> Result<Boot, LogError> {
    EventLog::parse(json.as_bytes())?.boot(rtmr3)
}

fn boot(recorded: &Recorded) -> Boot {
    recorded.log.boot(&recorded.quote.report().rtmr[3]).unwrap()
}

/// Cases in which nothing contradicts: the boot had not ended, or it is of a form that no known guest has.
const NOT_KNOWN: [&str; 8] = [
    "no system-ready",
    "no compose-hash",
    "no key-provider",
    "app-id before system-preparing, measured so",
    "payload with 0x",
    "compose-hash of 31 bytes",
    "register ends before system-ready, log goes on",
    "empty log, RTMR3 zero",
];

#[test]
fn each_of_the_log_cases_gets_its_answer() {
    let cases = cases();
    assert_eq!(cases.len(), 26);
    for case in cases {
        let found = read(&case.event_log.to_string(), &register(&case.rtmr3));
        let expected = match case.expect.as_str() {
            "refuse" => None,
            "accept-as-evil" => Some([0x66; 32]),
            "accept" | "accept-with-tail" => Some([0x11; 32]),
            other => panic!("{other}"),
        };
        match (found, expected) {
            (Ok(boot), Some(hash)) => {
                assert_eq!(boot.compose_hash, ComposeHash::new(hash), "{}", case.name);
                assert_eq!(boot.app_id.as_slice(), [0xaa; 20], "{}", case.name);
                assert_eq!(boot.instance_id, Some(FixedBytes::repeat_byte(0xbb)), "{}", case.name);
                assert_eq!(
                    boot.uncovered.is_empty(),
                    case.expect != "accept-with-tail",
                    "{}",
                    case.name
                );
            }
            (Err(error), None) => {
                let standing = match NOT_KNOWN.contains(&case.name.as_str()) {
                    true => Standing::NotKnown,
                    false => Standing::Broken,
                };
                assert_eq!(error.standing(), standing, "{}: {error}", case.name);
            }
            (found, _) => panic!("{}: {found:?}", case.name),
        }
    }
}

#[test]
fn recorded_logs_lead_to_every_register_of_their_quotes() {
    for recorded in [
        sample::near_mpc(),
        sample::crabbox(),
        sample::reply(QUOTE_REPORT),
        sample::reply(LITE),
    ] {
        for (index, measured) in (0..).zip(recorded.quote.report().rtmr) {
            assert_eq!(recorded.log.replay(index), measured, "RTMR{index}");
        }
    }
}

#[test]
fn near_mpc_booted_what_its_publishers_say() {
    let recorded = sample::near_mpc();
    let boot = boot(&recorded);
    assert_eq!(boot.app_id, address!("2911e1f733466216dedb862d6d669e11256ee7a3"));
    let hash = ComposeHash::of(sample::text(&sample::json(NEAR_TCB_INFO), "app_compose").as_bytes());
    assert_eq!(boot.compose_hash, hash);
    assert_eq!(boot.instance_id, None);
    assert_eq!(boot.key_provider.kind, KeyProviderKind::LocalSgx);
    let names: Vec<&str> = boot.app_events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["mpc-image-digest"]);
    let report = recorded.quote.report();
    assert_eq!(ConfigId::read(&report.mr_config_id), ConfigId::ComposeHash(hash));
    let aggregated = b256!("5cd7c8e25647053ff6e0df9ea21170b355bb48b9032db7bce27410ad10a150e0");
    assert_eq!(report.mr_aggregated(&report.rtmr[3]), aggregated);
}

#[test]
fn the_phala_cloud_cvm_booted_what_its_record_says() {
    let recorded = sample::crabbox();
    let (boot, info) = (boot(&recorded), sample::json(CRABBOX));
    assert_eq!(
        boot.app_id,
        sample::text(&info, "app_id")
            .parse::<alloy::primitives::Address>()
            .unwrap()
    );
    assert_eq!(boot.compose_hash.bare(), sample::text(&info, "compose_hash"));
    assert_eq!(
        boot.instance_id.unwrap(),
        sample::text(&info, "instance_id").parse::<FixedBytes<20>>().unwrap()
    );
    assert_eq!(
        boot.os_image_hash.unwrap(),
        sample::text(&info, "os_image_hash").parse::<B256>().unwrap()
    );
    assert_eq!(
        boot.mr_kms.unwrap(),
        b256!("7eb8f89cf5067da82fe5a8321dd6dbd08681c25165dbd0ab3cefc26bbd028855")
    );
    assert_eq!(boot.key_provider.kind, KeyProviderKind::Kms);
    assert!(P256Key::parse(&boot.key_provider.id).is_some());
    assert_eq!(
        boot.key_provider.payload,
        sample::text(&info, "key_provider_info").as_bytes()
    );
    let manifest = sample::json(sample::text(&info, "tcb_info"));
    let hash = ComposeHash::of(sample::text(&manifest, "app_compose").as_bytes());
    assert_eq!(boot.compose_hash, hash);
    let report = recorded.quote.report();
    assert_eq!(ConfigId::read(&report.mr_config_id).check(&boot, None), Standing::Holds);
    let aggregated = sample::text(&info, "mr_aggregated").parse::<B256>().unwrap();
    assert_eq!(report.mr_aggregated(&report.rtmr[3]), aggregated);
}

#[test]
fn guests_of_0_6_boot_without_the_digests_of_their_own_events() {
    let recorded = sample::reply(LITE);
    let boot = boot(&recorded);
    assert_eq!(boot.key_provider.kind, KeyProviderKind::Kms);
    assert_eq!(boot.mr_kms, None);
    assert!(boot.app_events.is_empty() && boot.uncovered.is_empty());
    assert_eq!(
        ConfigId::read(&recorded.quote.report().mr_config_id).check(&boot, None),
        Standing::Holds
    );
    // The same CVM in one piece says the same.
    let whole = hex::decode(sample::text(&sample::json(LITE_ATTESTATION), "attestation")).unwrap();
    let whole = Versioned::parse(&whole).unwrap();
    let quote = super::Quote::parse(&whole.quote).unwrap();
    assert_eq!(quote.report().mrtd, recorded.quote.report().mrtd);
    assert_eq!(
        whole.log.boot(&quote.report().rtmr[3]).unwrap().compose_hash,
        boot.compose_hash
    );
    assert!(
        whole.vm_config.contains("tdx_attestation_variant"),
        "{}",
        whole.vm_config
    );
}

#[test]
fn what_an_app_added_is_no_part_of_the_boot() {
    let recorded = sample::reply(QUOTE_REPORT);
    let boot = boot(&recorded);
    assert_eq!(boot.os_image_hash, None);
    let names: Vec<&str> = boot.app_events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["LIUM_MINER_HOTKEY"]);
}

#[test]
fn digests_of_the_second_version_are_of_canonical_json() {
    let event = |name: &str, version: Value| {
        let digest = Sha384::digest(br#"{"name":"compose-hash","payload":"abcd","type":134217729}"#);
        json!([{"imr": 3, "event_type": 134_217_729, "digest": hex::encode(digest), "event": name, "event_payload": "ABCD", "version": version}])
            .to_string()
    };
    assert!(EventLog::parse(event("compose-hash", json!(2)).as_bytes()).is_ok());
    let first = EventLog::parse(event("compose-hash", Value::Null).as_bytes()).unwrap_err();
    assert!(matches!(first, LogError::Digest { .. }), "{first}");
    // An interface that drops the version is read by the manifest's word.
    assert!(EventLog::parse_second_version(event("compose-hash", Value::Null).as_bytes()).is_ok());
    let third = EventLog::parse(event("compose-hash", json!(3)).as_bytes()).unwrap_err();
    assert_eq!(third.standing(), Standing::NotKnown);
}

/// A log of run-time events, as a guest would write it, and its register.
fn log(events: &[(&str, &[u8])]) -> (String, Register) {
    let list: Vec<Value> = events
        .iter()
        .map(|(name, payload)| {
            json!({"imr": 3, "event_type": 134_217_729, "digest": "", "event": name, "event_payload": hex::encode(payload)})
        })
        .collect();
    let text = Value::from(list).to_string();
    let register = EventLog::parse(text.as_bytes()).unwrap().replay(3);
    (text, register)
}

const KMS: &[u8] = br#"{"name":"kms","id":"0a0b"}"#;
const WHOLE: [(&str, &[u8]); 13] = [
    ("system-preparing", b""),
    ("app-id", &[0xaa; 20]),
    ("compose-hash", &[0x11; 32]),
    ("init-script-hash", &[1; 32]),
    ("init-script-hash", &[2; 32]),
    ("gpu-policy-hash", &[3; 32]),
    ("gpu-attestation", b"{}"),
    ("instance-id", &[0xbb; 20]),
    ("boot-mr-done", b""),
    ("os-image-hash", &[4; 32]),
    ("key-provider", KMS),
    ("storage-fs", b"ext4"),
    ("system-ready", b""),
];

#[test]
fn every_event_that_any_known_guest_has_is_read_in_its_place_and_in_no_other() {
    let (text, register) = log(&WHOLE);
    let whole = read(&text, &register).unwrap();
    assert_eq!(whole.gpu_policy_hash, Some(B256::repeat_byte(3)));
    assert_eq!(whole.rtmr3_at_boot, log(&WHOLE[..9]).1);
    for first in 0..WHOLE.len() {
        for second in first + 1..WHOLE.len() {
            let mut swapped = WHOLE;
            swapped.swap(first, second);
            let (text, register) = log(&swapped);
            // Two scripts in another order are another boot of the same form, and what comes after the end is the app's.
            let is_fine = swapped[first].0 == swapped[second].0 || (first, second) == (11, 12);
            assert_eq!(read(&text, &register).is_ok(), is_fine, "{first} {second}");
        }
    }
    let mut early = WHOLE.to_vec();
    early.insert(3, ("rootfs-hash", &[5; 32]));
    let (text, register) = log(&early);
    assert_eq!(read(&text, &register).unwrap_err().standing(), Standing::NotKnown);
}

#[test]
fn a_key_provider_is_read_in_one_way_only() {
    let with = |payload: &[u8]| {
        let mut events = WHOLE;
        events[10].1 = payload;
        let (text, register) = log(&events);
        read(&text, &register)
    };
    for (payload, kind) in [
        (&br#"{"name":"none","id":""}"#[..], KeyProviderKind::None),
        (br#"{"name":"tpm","id":"00"}"#, KeyProviderKind::Tpm),
        (br#"{"id":"00","name":"local-sgx","more":1}"#, KeyProviderKind::LocalSgx),
    ] {
        assert_eq!(with(payload).unwrap().key_provider.kind, kind);
    }
    for payload in [
        &b""[..],
        b"{}",
        br#"{"name":"kms"}"#,
        br#"{"name":"KMS","id":"00"}"#,
        br#"{"name":"kms","id":"0x00"}"#,
        br#"{"name":"kms","name":"none","id":"00"}"#,
        br#"["kms"]"#,
        b"\xff",
    ] {
        let error = with(payload).unwrap_err();
        assert!(matches!(error, LogError::KeyProvider), "{error}");
    }
}

#[test]
fn what_the_host_said_of_the_app_has_to_be_what_was_measured() {
    let (text, rtmr3) = log(&WHOLE);
    let boot = read(&text, &rtmr3).unwrap();
    let id = |form: u8, hash: &[u8]| {
        let mut register = Register::ZERO;
        register.0[0] = form;
        register.0[1..33].copy_from_slice(hash);
        ConfigId::read(&register)
    };
    let other = [9; 32];
    assert_eq!(id(0, &[0; 32]).check(&boot, None), Standing::Holds);
    assert_eq!(id(0, &other).check(&boot, None), Standing::NotKnown);
    assert_eq!(id(1, &[0x11; 32]).check(&boot, None), Standing::Holds);
    assert_eq!(id(1, &other).check(&boot, None), Standing::Broken);
    let identity = keccak256([&[0x11; 32][..], &[0xaa; 20], &[2], &[0x0a, 0x0b]].concat());
    assert_eq!(id(2, identity.as_slice()).check(&boot, None), Standing::Holds);
    assert_eq!(id(2, &other).check(&boot, None), Standing::Broken);
    assert_eq!(id(4, &other).check(&boot, None), Standing::NotKnown);
    let mut tail = fixed_bytes!(
        "0x000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001"
    );
    tail.0[0] = 1;
    assert_eq!(ConfigId::read(&tail).check(&boot, None), Standing::NotKnown);

    let document = |hash: &str, provider: &str| {
        json!({"app_id": "aa".repeat(20), "compose_hash": hash, "instance_id": "bb".repeat(20), "key_provider": provider,
            "key_provider_id": "0a0b", "version": 3})
        .to_string()
    };
    let bound = |document: &str| {
        id(
            3,
            &Sha256::digest([b"dstack-mr-config-v3:\0", document.as_bytes()].concat()),
        )
    };
    let right = document(&"11".repeat(32), "kms");
    assert_eq!(bound(&right).check(&boot, Some(right.as_bytes())), Standing::Holds);
    assert_eq!(bound(&right).check(&boot, None), Standing::NotKnown);
    for wrong in [document(&"22".repeat(32), "kms"), document(&"11".repeat(32), "tpm")] {
        assert_eq!(bound(&wrong).check(&boot, Some(wrong.as_bytes())), Standing::Broken);
        assert_eq!(bound(&right).check(&boot, Some(wrong.as_bytes())), Standing::Broken);
    }
    assert_eq!(bound("{}").check(&boot, Some(b"{}")), Standing::NotKnown);
}

#[test]
fn what_is_no_log_is_not_known_and_contradicts_nothing() {
    let many = format!("[{}]", vec!["{}"; 5000].join(","));
    let one = r#"{"imr":0,"event_type":4,"digest":"","event":"","event_payload":""}"#;
    let events = format!("[{}]", vec![one; 5000].join(","));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let twice = r#"[{"imr":3,"imr":3,"event_type":134217729,"digest":"","event":"a","event_payload":""}]"#;
    let long = " ".repeat(1024 * 1024 + 1);
    for text in [
        "",
        "null",
        "{}",
        "[1]",
        "[] []",
        &many,
        &events,
        &deep,
        twice,
        &long,
        "[{\"imr\":4}]",
    ] {
        let error = EventLog::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.standing(), Standing::NotKnown, "{error}");
    }
    let fifth = r#"[{"imr":4,"event_type":4,"digest":"","event":"","event_payload":""}]"#;
    assert_eq!(
        EventLog::parse(fifth.as_bytes()).unwrap_err().standing(),
        Standing::NotKnown
    );
}

proptest! {
    #[test]
    fn no_change_of_one_byte_of_an_event_leaves_the_boot_standing(at in 0..13_usize, byte in 0..200_usize, by in 1..=255_u8, is_name: bool) {
        let (_, rtmr3) = log(&WHOLE);
        let (name, payload) = WHOLE[at];
        let (mut name, mut payload) = (name.as_bytes().to_vec(), payload.to_vec());
        let of = if is_name { &mut name } else { &mut payload };
        prop_assume!(!of.is_empty());
        let byte = byte % of.len();
        of[byte] ^= by;
        let Ok(name) = String::from_utf8(name) else { return Ok(()) };
        let mut events = WHOLE.to_vec();
        events[at] = (&name, &payload);
        let error = read(&log(&events).0, &rtmr3).unwrap_err();
        prop_assert_eq!(error.standing(), Standing::Broken);
    }

    #[test]
    fn no_other_order_and_no_missing_event_leaves_the_boot_standing(order in Just((0..WHOLE.len()).collect::<Vec<_>>()).prop_shuffle(), gone in 0..13_usize) {
        let (_, rtmr3) = log(&WHOLE);
        let shuffled: Vec<_> = order.iter().map(|at| WHOLE[*at]).collect();
        prop_assume!(shuffled != WHOLE);
        prop_assert!(read(&log(&shuffled).0, &rtmr3).is_err());
        let mut fewer = WHOLE.to_vec();
        fewer.remove(gone);
        prop_assert!(read(&log(&fewer).0, &rtmr3).is_err());
    }

    #[test]
    fn any_text_is_answered(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0..4000_usize, by: u8) {
        prop_assert!(EventLog::parse(&bytes).and_then(|log| log.boot(&Register::ZERO)).is_err());
        let mut text = log(&WHOLE).0.into_bytes();
        let at = at % text.len();
        text[at] = by;
        prop_assert!(EventLog::parse(&text).and_then(|log| log.boot(&Register::ZERO)).is_err());
    }
}
