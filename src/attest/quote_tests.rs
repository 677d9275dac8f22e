//! Quotes: recorded ones with Intel's collateral, and those that lie under a root that was made for it.

use alloy::primitives::b256;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::collateral::CollateralAnswers;
use super::sample::{self, CRABBOX_QUOTE, Cases, LITE, NEAR_COLLATERAL, NEAR_QUOTE, NEAR_TIME, QUOTE_REPORT};
use super::{Collateral, Quote, QuoteError, Root, Standing, TcbPolicy, TcbStatus, TdFault};

#[derive(Deserialize)]
struct Case {
    name: String,
    quote: String,
    collateral: Value,
    now: i64,
    dcap_qvl_0_7_1: String,
}

fn cases() -> Cases<Case> {
    serde_json::from_str(include_str!(
        "../../tests/vectors/attestation/synthetic/quote-cases.json"
    ))
    .unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// What a case of the file means here: the status that it has, or how it is refused.
enum Means {
    Status(TcbStatus),
    Refused(Standing),
}

fn meaning(name: &str) -> Means {
    use Means::{Refused, Status};
    match name {
        "good v4" | "good v5 TD1.5" | "old TEE_TCB_SVN" => Status(TcbStatus::UpToDate),
        "platform SWHardeningNeeded" => Status(TcbStatus::SWHardeningNeeded),
        "platform ConfigurationNeeded" => Status(TcbStatus::ConfigurationNeeded),
        "platform ConfigurationAndSWHardeningNeeded" => Status(TcbStatus::ConfigurationAndSWHardeningNeeded),
        "platform OutOfDate" | "TDX module OutOfDate" | "QE OutOfDate" => Status(TcbStatus::OutOfDate),
        "platform OutOfDateConfigurationNeeded" => Status(TcbStatus::OutOfDateConfigurationNeeded),
        // Nothing contradicts: the collateral says nothing that is known here of this machine, or not at this time.
        "platform NoSuchStatus"
        | "TDX module ISVSVN below every level"
        | "unknown TDX module version"
        | "collateral expired"
        | "collateral from the future"
        | "other FMSPC" => Refused(Standing::NotKnown),
        "platform Revoked"
        | "PCK revoked"
        | "QE of another signer"
        | "debug TD"
        | "no SEPT_VE_DISABLE"
        | "migratable TD"
        | "service TD bound (v5)"
        | "collateral of another Intel" => Refused(Standing::Broken),
        other => panic!("{other}"),
    }
}

#[test]
fn each_of_the_quote_cases_gets_its_answer() {
    let cases = cases();
    assert_eq!(cases.cases.len(), 24);
    let root = Root::for_tests(hex::decode(&cases.root_der).unwrap()).unwrap();
    for case in cases.cases {
        let quote = Quote::parse(&hex::decode(&case.quote).unwrap()).unwrap();
        let collateral = Collateral::parse(case.collateral.to_string().as_bytes());
        let found = match &collateral {
            Ok(collateral) => quote
                .verify(collateral, &root, at(case.now))
                .map_err(|error| (error.standing(), error.to_string())),
            Err(error) => Err((Standing::NotKnown, error.to_string())),
        };
        let accepted = found
            .as_ref()
            .is_ok_and(|platform| TcbPolicy::default().accepts(platform));
        assert_eq!(
            accepted,
            case.dcap_qvl_0_7_1 == "OK UpToDate",
            "{}: {found:?}",
            case.name
        );
        match (meaning(&case.name), found) {
            (Means::Status(status), Ok(platform)) => assert_eq!(platform.status, status, "{}", case.name),
            (Means::Refused(standing), Err((found, error))) => assert_eq!(found, standing, "{}: {error}", case.name),
            (_, found) => panic!("{}: {found:?}", case.name),
        }
        // The root that Intel has takes none of them, and knows it without collateral.
        let foreign = quote.platform(&Root::intel()).unwrap_err();
        assert!(matches!(foreign, QuoteError::Root), "{}: {foreign}", case.name);
        if let Ok(collateral) = collateral {
            let foreign = quote.verify(&collateral, &Root::intel(), at(case.now)).unwrap_err();
            assert_eq!(foreign.standing(), Standing::Broken, "{}", case.name);
        }
    }
}

#[test]
fn a_revoked_machine_is_told_from_one_that_is_not_listed() {
    let cases = cases();
    let root = Root::for_tests(hex::decode(&cases.root_der).unwrap()).unwrap();
    let error = |name: &str| {
        let case = cases.cases.iter().find(|case| case.name == name).unwrap();
        let quote = Quote::parse(&hex::decode(&case.quote).unwrap()).unwrap();
        let collateral = Collateral::parse(case.collateral.to_string().as_bytes()).unwrap();
        quote.verify(&collateral, &root, at(case.now)).unwrap_err()
    };
    assert!(matches!(error("platform Revoked"), QuoteError::Revoked(_)));
    assert!(matches!(error("unknown TDX module version"), QuoteError::NoLevel(_)));
    assert!(matches!(error("PCK revoked"), QuoteError::Refused(_)));
    assert!(matches!(error("other FMSPC"), QuoteError::OtherPlatform { .. }));
    assert!(matches!(error("collateral expired"), QuoteError::NotCurrent { .. }));
    let td = |name| match error(name) {
        QuoteError::Td(faults) => faults,
        other => panic!("{other}"),
    };
    assert_eq!(td("debug TD"), [TdFault::Debug]);
    assert_eq!(td("no SEPT_VE_DISABLE"), [TdFault::PageFaults]);
    assert_eq!(td("migratable TD"), [TdFault::Migratable]);
    assert_eq!(td("service TD bound (v5)"), [TdFault::ServiceTd]);
}

#[test]
fn each_attribute_that_opens_a_trust_domain_is_named() {
    let mut report = *sample::near_mpc().quote.report();
    for (attributes, fault) in [
        (1, TdFault::Debug),
        (1 << 4, TdFault::Profiled),
        (1 << 2, TdFault::Reserved),
        (1 << 61, TdFault::Reserved),
        (1 << 29, TdFault::Migratable),
        (1 << 17, TdFault::ServiceTd),
    ] {
        report.td_attributes = 1 << 28 | attributes;
        assert_eq!(report.faults(), [fault]);
    }
    report.td_attributes = 1 << 28 | 1 << 63 | 1 << 30;
    assert_eq!(report.faults(), []);
}

#[test]
fn near_mpc_is_genuine_at_its_date_and_nothing_is_known_of_other_dates() {
    let (quote, collateral) = (sample::near_mpc().quote, sample::near_collateral());
    let platform = quote.verify(&collateral, &Root::intel(), at(NEAR_TIME)).unwrap();
    assert_eq!(
        (platform.status, &platform.advisories[..]),
        (TcbStatus::UpToDate, &[][..])
    );
    assert_eq!(platform.fmspc, [0xb0, 0xc0, 0x6f, 0, 0, 0]);
    assert_eq!(
        platform.device_id,
        b256!("34b13d4228e918e3fb33f90afa2bbe21c6d23d6a96b08971a527d4317dbcd053")
    );
    assert_eq!(platform.window.until, "2026-09-11T23:57:11Z".parse().unwrap());
    assert!(TcbPolicy::default().accepts(&platform));
    assert!(
        !TcbPolicy::default()
            .from_evaluation(platform.evaluation + 1)
            .accepts(&platform)
    );
    for other in [
        at(0),
        at(NEAR_TIME) - 200.hours(),
        platform.window.until + 1.second(),
        Timestamp::MAX,
    ] {
        let error = quote.verify(&collateral, &Root::intel(), other).unwrap_err();
        assert!(matches!(error, QuoteError::NotCurrent { .. }), "{error}");
    }
    // Without collateral it is Intel's, and nobody knows what was revoked since.
    let identity = quote.platform(&Root::intel()).unwrap();
    assert_eq!((identity.fmspc, identity.authority), (platform.fmspc, "platform"));
    assert_eq!(identity.device_id, platform.device_id);
}

#[test]
fn every_recorded_quote_is_signed_by_a_machine_of_intels() {
    let phala_cloud = Quote::parse(CRABBOX_QUOTE).unwrap().platform(&Root::intel()).unwrap();
    assert_eq!(phala_cloud.fmspc, [0x20, 0xa0, 0x6f, 0, 0, 0]);
    let device = b256!("c4691f9c88f44e05cbc45521678e72b99fcd54fa35d302f13e8f9fa9727f33a6");
    assert_eq!(phala_cloud.device_id, device);
    for reply in [QUOTE_REPORT, LITE] {
        sample::reply(reply).quote.platform(&Root::intel()).unwrap();
    }
}

macro_rules! published {
    ($name:literal) => {
        (
            Quote::parse(include_bytes!(concat!(
                "../../tests/vectors/attestation/dcap-qvl/",
                $name
            )))
            .unwrap(),
            Collateral::parse(include_bytes!(concat!(
                "../../tests/vectors/attestation/dcap-qvl/",
                $name,
                "_collateral.json"
            )))
            .unwrap(),
        )
    };
}

#[test]
fn quotes_of_every_format_are_judged_by_intels_collateral_of_their_time() {
    let root = Root::intel();
    let (fourth, collateral) = published!("tdx_quote");
    assert_eq!((fourth.version(), fourth.report().mr_service_td), (4, None));
    fourth.verify(&collateral, &root, at(1_751_000_000)).unwrap();

    let (fifth, collateral) = published!("tdx_quote_outdated");
    assert_eq!(fifth.version(), 5);
    assert!(fifth.report().tee_tcb_svn2.is_some());
    let error = fifth.verify(&collateral, &root, at(1_772_500_000)).unwrap_err();
    assert!(matches!(error, QuoteError::NoLevel(_)), "{error}");

    let (extended, collateral) = published!("tdx_quote_td15ex");
    assert_eq!(extended.report().mr_config_id[0], 1);
    extended.verify(&collateral, &root, at(1_792_000_000)).unwrap();
}

#[test]
fn a_quote_ends_where_its_signatures_end() {
    let bytes: Vec<u8> = serde_json::from_str(NEAR_QUOTE).unwrap();
    let quote = Quote::parse(&bytes).unwrap();
    assert_eq!(bytes.len() - quote.bytes().len(), 70);
    assert_eq!(Quote::parse(quote.bytes()).unwrap().bytes(), quote.bytes());
    let behind = [quote.bytes(), b"\0\0more"].concat();
    let error = Quote::parse(&behind).unwrap_err();
    assert!(matches!(error, QuoteError::Tail { found: 6 }), "{error}");
    for end in 0..quote.bytes().len() {
        let error = Quote::parse(&quote.bytes()[..end]).unwrap_err();
        assert!(matches!(error, QuoteError::Incomplete { .. }), "{end}: {error}");
    }
    let error = Quote::parse(&vec![0; 1024 * 1024]).unwrap_err();
    assert!(matches!(error, QuoteError::TooLong { .. }), "{error}");
}

#[test]
fn other_formats_are_named_and_contradict_nothing() {
    let with = |at: usize, byte: u8| {
        let mut bytes: Vec<u8> = serde_json::from_str(NEAR_QUOTE).unwrap();
        bytes[at] = byte;
        Quote::parse(&bytes).unwrap_err()
    };
    assert!(matches!(with(0, 3), QuoteError::Version { found: 3 }));
    assert!(matches!(with(2, 3), QuoteError::Format { .. }));
    assert!(matches!(with(4, 0), QuoteError::NotTdx { found: 0 }));
    assert!(matches!(with(12, 0), QuoteError::Format { .. }));
    for at in [0, 2, 4, 12] {
        assert_eq!(with(at, 9).standing(), Standing::NotKnown);
    }
}

#[test]
fn no_byte_of_a_genuine_quote_can_be_another() {
    let (quote, collateral) = (sample::near_mpc().quote, sample::near_collateral());
    // Every byte of what was measured up to the first certificate, and some of those behind.
    let certificates = quote
        .bytes()
        .windows(11)
        .position(|text| text == b"-----BEGIN ")
        .unwrap();
    let all = (0..certificates).chain((certificates..quote.bytes().len()).step_by(61));
    for position in all {
        let mut bytes = quote.bytes().to_vec();
        bytes[position] ^= 0x20;
        let Ok(changed) = Quote::parse(&bytes) else { continue };
        let found = changed.verify(&collateral, &Root::intel(), at(NEAR_TIME));
        // What stands between certificates is no part of them.
        let is_between = position >= certificates && bytes[position].is_ascii_whitespace();
        assert!(found.is_err() || is_between, "{position}");
        // Type and length of the certificates stand before them.
        if position < certificates - 6 {
            assert_eq!(
                changed.platform(&Root::intel()).unwrap_err().standing(),
                Standing::Broken,
                "{position}"
            );
        }
    }
}

#[test]
fn collateral_that_somebody_wrote_anew_is_refused() {
    let quote = sample::near_mpc().quote;
    let with = |field: &str, change: &dyn Fn(&str) -> String| {
        let mut collateral: Value = serde_json::from_str(NEAR_COLLATERAL).unwrap();
        collateral[field] = change(collateral[field].as_str().unwrap()).into();
        let collateral = Collateral::parse(collateral.to_string().as_bytes()).unwrap();
        quote.verify(&collateral, &Root::intel(), at(NEAR_TIME)).unwrap_err()
    };
    let spaced = |text: &str| text.replacen(',', ", ", 1);
    for error in [
        with("tcb_info", &|text| text.replace("OutOfDate", "UpToDate")),
        with("tcb_info", &spaced),
        with("qe_identity", &spaced),
        with("tcb_info_signature", &|text| text.replacen('2', "3", 1)),
        with("qe_identity_signature", &|text| text.replacen('b', "c", 1)),
    ] {
        assert_eq!(error.standing(), Standing::Broken, "{error}");
    }
    // The list of another authority.
    let mut collateral: Value = serde_json::from_str(NEAR_COLLATERAL).unwrap();
    collateral["pck_crl"] = collateral["root_ca_crl"].clone();
    let collateral = Collateral::parse(collateral.to_string().as_bytes()).unwrap();
    let error = quote.verify(&collateral, &Root::intel(), at(NEAR_TIME)).unwrap_err();
    assert_eq!(error.standing(), Standing::Broken, "{error}");
}

/// The collateral of near-mpc as a server answers, and as it is kept.
struct Answered {
    kept: Value,
    chains: [String; 3],
    tcb_info: String,
    enclave: String,
    lists: [Vec<u8>; 2],
}

fn answered() -> Answered {
    let kept: Value = serde_json::from_str(NEAR_COLLATERAL).unwrap();
    let part = |name: &str| kept[name].as_str().unwrap().to_owned();
    let chain =
        |name: &str| percent_encoding::utf8_percent_encode(&part(name), percent_encoding::NON_ALPHANUMERIC).to_string();
    let body = |name: &str, inner: &str| {
        let signature = part(&format!("{inner}_signature"));
        format!(r#"{{"{name}": {},"signature":"{signature}"}}"#, part(inner))
    };
    Answered {
        chains: [
            "pck_crl_issuer_chain",
            "tcb_info_issuer_chain",
            "qe_identity_issuer_chain",
        ]
        .map(chain),
        tcb_info: body("tcbInfo", "tcb_info"),
        enclave: body("enclaveIdentity", "qe_identity"),
        lists: ["pck_crl", "root_ca_crl"].map(|name| hex::decode(part(name)).unwrap()),
        kept,
    }
}

#[test]
fn the_answers_of_a_server_become_the_collateral_that_is_kept() {
    let answered = answered();
    let root_hex = hex::encode(&answered.lists[1]);
    for root_crl in [root_hex.as_bytes(), &answered.lists[1]] {
        let answers = CollateralAnswers {
            pck_crl: &answered.lists[0],
            pck_crl_chain: &answered.chains[0],
            tcb_info: answered.tcb_info.as_bytes(),
            tcb_info_chain: &answered.chains[1],
            enclave: answered.enclave.as_bytes(),
            enclave_chain: &answered.chains[2],
            root_crl,
        };
        let collateral = Collateral::from_answers(&answers).unwrap();
        sample::near_mpc()
            .quote
            .verify(&collateral, &Root::intel(), at(NEAR_TIME))
            .unwrap();
        let mut same = answered.kept.clone();
        same.as_object_mut().unwrap().remove("pck_certificate_chain");
        assert_eq!(json!(collateral), same);
        let again = Collateral::parse(json!(collateral).to_string().as_bytes()).unwrap();
        assert_eq!(again.window(), collateral.window());
        for broken in [
            CollateralAnswers {
                tcb_info: b"{}",
                ..answers
            },
            CollateralAnswers {
                enclave: b"404",
                ..answers
            },
            CollateralAnswers {
                root_crl: b"zz",
                ..answers
            },
            CollateralAnswers {
                pck_crl: b"<html>",
                ..answers
            },
            CollateralAnswers {
                tcb_info_chain: "%ff",
                ..answers
            },
        ] {
            Collateral::from_answers(&broken).unwrap_err();
        }
    }
    Collateral::parse(&vec![b' '; 1024 * 1024]).unwrap_err();
}

#[test]
fn a_status_is_accepted_by_its_name_and_revoked_never() {
    for status in TcbStatus::ALL {
        assert_eq!(status.to_string().parse::<TcbStatus>().unwrap(), status);
    }
    for text in ["Revoked", "uptodate", "", "\u{202e}UpToDate"] {
        let error = text.parse::<TcbStatus>().unwrap_err().to_string();
        assert!(error.contains("`OutOfDate`") && !error.contains('\u{202e}'), "{error}");
    }
    let (quote, collateral) = (sample::near_mpc().quote, sample::near_collateral());
    let mut platform = quote.verify(&collateral, &Root::intel(), at(NEAR_TIME)).unwrap();
    for status in [TcbStatus::OutOfDate, TcbStatus::Revoked] {
        platform.status = status;
        assert!(!TcbPolicy::default().accepts(&platform));
        assert_eq!(
            TcbPolicy::default().accept(status).accepts(&platform),
            status != TcbStatus::Revoked
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..6000), at in 0..5006_usize, by: u8) {
        prop_assert!(Quote::parse(&bytes).and_then(|quote| quote.platform(&Root::intel())).is_err());
        let mut near: Vec<u8> = serde_json::from_str(NEAR_QUOTE).unwrap();
        near[at] = by;
        drop(Quote::parse(&near).map(|quote| quote.platform(&Root::intel())));
    }
}
