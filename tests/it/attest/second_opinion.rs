//! Quotes before two judges: this program, and npm `@phala/dcap-qvl`, which is JavaScript and no binding of the crate that
//! judges here (`tests/node/quotes.mjs`). They say the same, or differ for a reason that has a name here.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use countersign::attest::{Collateral, Quote, Root, Versioned};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::compose::hash_agreement::Dice;
use crate::harness::flow::{BINARY, Ran};
use crate::harness::judge::{each, runs};
use crate::support;
use crate::support::attestation::{Cvm, DAY, Intel, NOW};
use crate::support::command::ask;

/// Quotes that are made and judged.
fn quotes() -> usize {
    runs(72, 1_000)
}

/// Why the two say different things. Each is told in `docs/src/verification/attestation.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    /// A TDX module has levels and a signer of its own. The package holds its version against the machine's levels.
    Module,
    /// Of a quoting enclave only what is out of date lowers the machine's level. The package takes the worse of the two.
    Enclave,
    /// Attributes of a trust domain that Intel has given a meaning to. The package refuses them as reserved.
    Attributes,
    /// A report of TDX 1.5 with its later fields. The package does not read it.
    Report,
    /// Who signed a list of revoked certificates. The package reads the numbers in it.
    Lists,
    /// A root certificate that comes with collateral. The package takes its key for the next step; here the root is known.
    Root,
    /// Bytes behind the end of a quote. The package does not look there.
    Tail,
}

/// Status and advisories of a quote that is accepted.
type Said = Option<(String, BTreeSet<String>)>;

/// A quote, with all by which it is judged.
struct Asked {
    name: String,
    quote: Vec<u8>,
    collateral: Value,
    at: i64,
    /// In Intel's place.
    root: Option<Vec<u8>>,
    differs: Option<Differs>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as of {}", self.name, self.at)
    }
}

/// What the package says.
fn theirs(asked: &[Asked]) -> Vec<Said> {
    let question = |one: &Asked| {
        json!({"quote": hex::encode(&one.quote), "collateral": one.collateral, "at": one.at,
            "root": one.root.as_ref().map(hex::encode)})
    };
    let answers = ask("quotes.mjs", "judge", &asked.iter().map(question).collect::<Vec<_>>());
    assert_eq!(answers.len(), asked.len());
    answers.iter().map(|answer| said(&answer["ok"], "status")).collect()
}

/// An answer's status and advisories; nothing where it has none.
fn said(answer: &Value, status: &str) -> Said {
    let advisories = answer["advisories"].as_array().into_iter().flatten();
    let advisories = advisories.map(|one| one.as_str().unwrap().to_owned()).collect();
    Some((answer[status].as_str()?.to_owned(), advisories))
}

/// They say the same, or differ as it is named.
fn compare(one: &Asked, ours: &Said, theirs: &Said) {
    match one.differs {
        None => assert_eq!(ours, theirs, "{one:?}: here, and by the package"),
        Some(why) => assert_ne!(ours, theirs, "{one:?}: they no longer differ by {why:?}"),
    }
}

fn vector(path: &str) -> Vec<u8> {
    std::fs::read(support::repository().join("tests/vectors/attestation").join(path)).unwrap()
}

fn document(path: &str) -> Value {
    serde_json::from_slice(&vector(path)).unwrap()
}

fn unhex(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// The quote of near-mpc, which stands as a list of numbers.
fn near_mpc() -> Vec<u8> {
    serde_json::from_slice(&vector("near-mpc/quote.json")).unwrap()
}

#[test]
fn recorded_quotes_are_judged_as_another_program_judges_them() {
    let published = |name: &str, at, differs| Asked {
        name: name.to_owned(),
        quote: vector(&format!("dcap-qvl/{name}")),
        collateral: document(&format!("dcap-qvl/{name}_collateral.json")),
        at,
        root: None,
        differs,
    };
    let asked = [
        Asked {
            name: "near-mpc".to_owned(),
            quote: near_mpc(),
            collateral: document("near-mpc/collateral.json"),
            at: 1_786_665_600,
            root: None,
            differs: None,
        },
        published("tdx_quote", 1_751_000_000, None),
        published("tdx_quote_outdated", 1_772_500_000, None),
        published("tdx_quote_td15ex", 1_792_000_000, Some(Differs::Report)),
    ];
    let mut accepted = 0;
    for (one, theirs) in asked.iter().zip(theirs(&asked)) {
        let quote = Quote::parse(&one.quote).unwrap();
        let collateral = Collateral::parse(one.collateral.to_string().as_bytes()).unwrap();
        let at = Timestamp::from_second(one.at).unwrap();
        let platform = quote.verify(&collateral, &Root::intel(), at).ok();
        let ours = platform.map(|found| (found.status.to_string(), found.advisories.into_iter().collect()));
        accepted += usize::from(ours.is_some());
        compare(one, &ours, &theirs);
    }
    assert_eq!(accepted, 3);
}

#[test]
fn whose_recorded_quotes_are_another_program_says_too() {
    let whole = unhex(&document("dstack-verifier/tdx-lite-attestation.json")["attestation"]);
    let quotes = [
        near_mpc(),
        vector("crabbox-phala-cloud/real_tdx_quote.bin"),
        unhex(&document("dstack-verifier/quote-report.json")["quote"]),
        unhex(&document("dstack-verifier/tdx-lite-getquote.json")["quote"]),
        Versioned::parse(&whole).unwrap().quote,
        vector("dcap-qvl/tdx_quote"),
        vector("dcap-qvl/tdx_quote_outdated"),
    ];
    // Each of them, and with one bit changed of what the machine signed.
    let changed = |quote: &Vec<u8>| {
        let mut changed = quote.clone();
        changed[600] ^= 1;
        [quote.clone(), changed]
    };
    let quotes: Vec<Vec<u8>> = quotes.iter().flat_map(changed).collect();
    let question = |quote: &Vec<u8>| json!({"quote": hex::encode(quote), "at": 1_782_864_000});
    let answers = ask("quotes.mjs", "signed", &quotes.iter().map(question).collect::<Vec<_>>());
    assert_eq!(answers.len(), quotes.len());
    for (number, (quote, answer)) in quotes.iter().zip(&answers).enumerate() {
        let ours = Quote::parse(quote).unwrap().platform(&Root::intel());
        assert_eq!(ours.is_ok(), number % 2 == 0, "{number}: {ours:?}");
        let ours = ours
            .ok()
            .map(|machine| json!({"fmspc": hex::encode(machine.fmspc), "device": hex::encode(machine.device_id)}));
        assert_eq!(ours.unwrap_or_default(), answer["ok"], "{number}: {answer}");
    }
}

/// What this program says of quotes under roots that tests made.
fn compare_all(asked: Vec<Asked>) -> BTreeSet<String> {
    let theirs = theirs(&asked);
    let statuses = theirs.iter().flatten().map(|said| said.0.clone()).collect();
    let folder = tempfile::tempdir().unwrap();
    let cases: Vec<_> = asked.into_iter().zip(theirs).enumerate().collect();
    each(&cases, |(number, (one, theirs))| {
        let home = folder.path().join(number.to_string());
        std::fs::create_dir(&home).unwrap();
        compare(one, &ours(one, &home), theirs);
    });
    statuses
}

/// What `attest` says of a saved attestation that holds no more than a quote and collateral.
fn ours(one: &Asked, home: &Path) -> Said {
    let zeros = "00".repeat(20);
    let saved = json!({
        "format": "countersign.attestation/1", "at": Timestamp::from_second(one.at).unwrap(), "cvm": "my-app",
        "wanted": {"compose_hash": "00".repeat(32), "named_by": "person", "chain_id": 1, "app": format!("0x{zeros}"),
            "kms": "0xd343a3f5593b93D8056aB5D60c433622d7D65a80", "instance": "not-known"},
        "gathered": {"quote": format!("0x{}", hex::encode(&one.quote)), "collateral": one.collateral},
    });
    let (file, root) = (home.join("attestation.json"), home.join("root.der"));
    std::fs::write(&file, saved.to_string()).unwrap();
    std::fs::write(&root, one.root.as_ref().unwrap()).unwrap();
    let mut command = support::countersign(BINARY, home);
    command.args(["attest", "--json", "--evidence"]).arg(file);
    let ran = Ran::of(command.env("COUNTERSIGN_TEST_ROOT", root));
    if ran.exit == 3 {
        // Collateral that cannot be read.
        ran.says("INPUT_ATTESTATION");
        return None;
    }
    assert!([5, 6].contains(&ran.exit), "{one:?}: {}", ran.said);
    assert_eq!(ran.json["data"]["test_root"], true, "{one:?}: {}", ran.said);
    said(&ran.json["data"], "tcb_status")
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn the_quote_cases_are_judged_as_another_program_judges_them() {
    let cases = document("synthetic/quote-cases.json");
    let root = unhex(&cases["root_der"]);
    let asked = cases["cases"].as_array().unwrap().iter().map(|case| {
        let name = case["name"].as_str().unwrap();
        Asked {
            name: name.to_owned(),
            quote: unhex(&case["quote"]),
            collateral: case["collateral"].clone(),
            at: case["now"].as_i64().unwrap(),
            root: Some(root.clone()),
            differs: match name {
                "TDX module OutOfDate"
                | "TDX module ISVSVN below every level"
                | "unknown TDX module version"
                | "old TEE_TCB_SVN" => Some(Differs::Module),
                _ => None,
            },
        }
    });
    let asked: Vec<Asked> = asked.collect();
    assert_eq!(asked.len(), 24);
    compare_all(asked);
}

/// A CVM's quote, and what it is judged by.
struct Shown {
    cvm: Cvm,
    quote: Vec<u8>,
    collateral: Value,
    at: i64,
    root: Vec<u8>,
}

impl Shown {
    fn of(cvm: Cvm, at: i64) -> Self {
        Self {
            quote: cvm.quote(),
            collateral: cvm.intel.collateral(),
            at,
            root: cvm.intel.root(),
            cvm,
        }
    }

    /// The machine measures something else.
    fn measure(&mut self, change: impl FnOnce(&mut [u8])) {
        let mut report = self.quote[48..632].to_vec();
        change(&mut report);
        self.quote = self.cvm.intel.quote(&report);
    }

    /// The TDX module is of this version.
    fn module(&mut self, version: [u8; 2]) {
        self.measure(|report| report[..2].copy_from_slice(&version));
    }

    /// One bit of the quote is another.
    fn flip(&mut self, within: Range<usize>, dice: &mut Dice) {
        let at = within.start + below(dice, within.len());
        self.quote[at] ^= 1 << below(dice, 8);
    }

    /// One character of what the collateral says there is another of the same kind.
    fn change(&mut self, part: &str, dice: &mut Dice) {
        let mut text = self.collateral[part].as_str().unwrap().to_owned().into_bytes();
        change(&mut text, char::is_numeric, dice);
        self.collateral[part] = String::from_utf8(text).unwrap().into();
    }
}

fn below(dice: &mut Dice, limit: usize) -> usize {
    usize::try_from(dice.below(limit.try_into().unwrap())).unwrap()
}

/// Makes one of the characters that `is` takes another digit.
fn change(text: &mut [u8], is: impl Fn(char) -> bool, dice: &mut Dice) {
    let places: Vec<usize> = (0..text.len()).filter(|at| is(char::from(text[*at]))).collect();
    let place = places[below(dice, places.len())];
    text[place] = if text[place] == b'7' { b'4' } else { b'7' };
}

/// What stands between two certificates.
const END: &str = "-----END CERTIFICATE-----";

/// Changes a character in the signed part of one certificate of this text: not in its first line, whose lengths say where that
/// part is, nor in the last three, where the signature and what is filled up stand.
fn change_certificate(text: &mut [u8], which: usize, dice: &mut Dice) {
    let mut start = 0;
    let mut bodies: Vec<Vec<Range<usize>>> = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let (place, end) = (start, start + line.len());
        match line.starts_with(b"-----BEGIN ") {
            true => bodies.push(Vec::new()),
            false => bodies.last_mut().unwrap().push(place..end - 1),
        }
        start = end;
    }
    let lines = &bodies[which];
    // The line that ends the certificate is one of them.
    let line = lines[1 + below(dice, lines.len() - 5)].clone();
    change(&mut text[line], char::is_alphanumeric, dice);
}

const STATUSES: [&str; 8] = [
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "Revoked",
    "NoSuchStatus",
];

const ENCLAVES: [&str; 5] = ["UpToDate", "UpToDate", "OutOfDate", "ConfigurationNeeded", "Revoked"];

/// A machine of some level, at some moment at which its collateral is good. Each level comes with each of its enclave.
fn honest(number: usize, dice: &mut Dice) -> (Shown, Option<Differs>) {
    let mut cvm = Cvm::default();
    cvm.intel.status = STATUSES[number % STATUSES.len()];
    cvm.intel.enclave = ENCLAVES[(number + number / STATUSES.len()) % ENCLAVES.len()];
    cvm.intel.advisories = (0..dice.below(3))
        .map(|_| dice.pick(&["INTEL-SA-00001", "INTEL-SA-00002"]))
        .collect();
    cvm.mrtd.fill_with(|| dice.byte());
    cvm.config_id.fill_with(|| dice.byte());
    let differs = match (cvm.intel.status, cvm.intel.enclave) {
        ("ConfigurationNeeded" | "ConfigurationAndSWHardeningNeeded", "OutOfDate")
        | ("UpToDate" | "SWHardeningNeeded", "ConfigurationNeeded") => Some(Differs::Enclave),
        _ => None,
    };
    let later = [0, 1, 14 * DAY, 30 * DAY - 1][below(dice, 4)];
    let at = cvm.intel.issued + later;
    (Shown::of(cvm, at), differs)
}

/// What is done to a quote that is as it should be, and why the two differ about it if they do.
type Lie = (&'static str, fn(&mut Shown, &mut Dice) -> Option<Differs>);

const LIES: [Lie; 23] = [
    ("a bit of header or report", |shown, dice| {
        shown.flip(0..632, dice);
        None
    }),
    ("a bit of the signature or its key", |shown, dice| {
        shown.flip(636..764, dice);
        None
    }),
    ("a bit of the quoting enclave", |shown, dice| {
        shown.flip(770..1218, dice);
        None
    }),
    ("a bit of the quoting enclave's own data", |shown, dice| {
        shown.flip(1220..1252, dice);
        None
    }),
    ("a character of a certificate in the quote", |shown, dice| {
        let (end, which) = (shown.quote.len() - 70, below(dice, 3));
        change_certificate(&mut shown.quote[1258..end], which, dice);
        None
    }),
    ("a character of a certificate of the collateral", |shown, dice| {
        let part = dice.pick(&["tcb_info_issuer_chain", "qe_identity_issuer_chain"]);
        let mut text = shown.collateral[part].as_str().unwrap().to_owned().into_bytes();
        change_certificate(&mut text, 0, dice);
        shown.collateral[part] = String::from_utf8(text).unwrap().into();
        None
    }),
    ("another root beside what Intel says", |shown, dice| {
        let part = dice.pick(&["tcb_info_issuer_chain", "qe_identity_issuer_chain"]);
        let chain = |collateral: &Value| collateral[part].as_str().unwrap().to_owned();
        let (ours, others) = (chain(&shown.collateral), chain(&Intel::default().collateral()));
        let (signer, root) = (ours.split_once(END).unwrap().0, others.split_once(END).unwrap().1);
        shown.collateral[part] = format!("{signer}{END}{root}").into();
        Some(Differs::Root)
    }),
    ("a digit of what Intel says", |shown, dice| {
        let part = dice.pick(&["tcb_info", "qe_identity", "tcb_info_signature", "qe_identity_signature"]);
        shown.change(part, dice);
        None
    }),
    ("cut off", |shown, dice| {
        let length = below(dice, shown.quote.len() - 70);
        shown.quote.truncate(length);
        None
    }),
    ("without the zeros behind it", |shown, _| {
        shown.quote.truncate(shown.quote.len() - 70);
        None
    }),
    ("something behind it", |shown, dice| {
        shown.flip(shown.quote.len() - 70..shown.quote.len(), dice);
        Some(Differs::Tail)
    }),
    ("an attribute", |shown, dice| {
        let bit = below(dice, 64);
        shown.measure(|report| report[120 + bit / 8] ^= 1 << (bit % 8));
        [16, 18, 19, 20, 21, 22, 27, 62]
            .contains(&bit)
            .then_some(Differs::Attributes)
    }),
    ("revoked", |shown, _| {
        shown.cvm.intel.is_revoked = true;
        shown.collateral = shown.cvm.intel.collateral();
        None
    }),
    ("a list that nobody signed", |shown, _| {
        let list = shown.collateral["pck_crl"].as_str().unwrap();
        let (kept, last) = list.split_at(list.len() - 1);
        shown.collateral["pck_crl"] = format!("{kept}{}", if last == "7" { 4 } else { 7 }).into();
        Some(Differs::Lists)
    }),
    ("too late", |shown, dice| {
        shown.at = shown.cvm.intel.issued + 30 * DAY + 1 + i64::from(dice.byte());
        None
    }),
    ("too early", |shown, dice| {
        shown.at = shown.cvm.intel.issued - 1 - i64::from(dice.byte());
        None
    }),
    ("another maker's collateral", |shown, _| {
        shown.collateral = Intel::default().collateral();
        None
    }),
    ("another root", |shown, _| {
        shown.root = Intel::default().root();
        None
    }),
    ("a module below its levels", |shown, _| {
        shown.module([2, 1]);
        None
    }),
    ("a machine below its levels", |shown, _| {
        shown.module([4, 0]);
        None
    }),
    ("a module of its own level", |shown, _| {
        shown.module([4, 1]);
        Some(Differs::Module)
    }),
    ("a module that nobody lists", |shown, _| {
        shown.module([5, 2]);
        Some(Differs::Module)
    }),
    ("a module of another signer", |shown, _| {
        shown.measure(|report| report[64] ^= 1);
        Some(Differs::Module)
    }),
];

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn a_thousand_made_quotes_are_judged_as_another_program_judges_them() {
    let mut dice = Dice(0x0071_d0c4);
    let mut asked = Vec::new();
    for number in 0..quotes() {
        // Each lie comes, and between them machines of every level that do not lie.
        let (name, (shown, differs)) = match number % 3 {
            0 => ("honest", honest(number / 3, &mut dice)),
            _ => {
                let (name, lie) = LIES[number % LIES.len()];
                let at = NOW - i64::from(dice.byte());
                let mut shown = Shown::of(Cvm::default(), at);
                let differs = lie(&mut shown, &mut dice);
                (name, (shown, differs))
            }
        };
        let Shown {
            cvm,
            quote,
            collateral,
            at,
            root,
        } = shown;
        asked.push(Asked {
            name: format!("{number}: {name}, {} and {}", cvm.intel.status, cvm.intel.enclave),
            quote,
            collateral,
            at,
            root: Some(root),
            differs,
        });
    }
    let statuses = compare_all(asked);
    assert_eq!(statuses.len(), 6, "not all levels came: {statuses:?}");
}
