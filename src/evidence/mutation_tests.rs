//! Every value of a document that something binds, changed: each change is noticed.

use std::path::Path;

use serde_json::Value;

use super::{Evidence, Measured, Outcome, verify, worst};
use crate::attest::Root;
use crate::fsutil;

/// What only the writer says, by where it stands, with the reason. It shrinks by reason only.
const SAID: [(&str, &str); 13] = [
    ("/said", "the part that is called that"),
    ("/witness/missing", "why an endpoint gave something not"),
    (
        "/attestation/made_of/at",
        "when the writer looked; that the collateral was good then is proved",
    ),
    ("/attestation/made_of/cvm", "the CVM as it was named"),
    (
        "/attestation/made_of/gathered/log",
        "the guest's certificate holds a log and a quote of its own, and those count",
    ),
    (
        "/attestation/made_of/gathered/vm_config",
        "the host's word, which counts where the image is known by nothing else",
    ),
    (
        "/attestation/made_of/gathered/collateral/pck_crl_issuer_chain",
        "the root in it: the one that is known here counts",
    ),
    (
        "/attestation/made_of/gathered/collateral/qe_identity_issuer_chain",
        "the root in it: the one that is known here counts",
    ),
    (
        "/attestation/made_of/gathered/collateral/tcb_info_issuer_chain",
        "the root in it: the one that is known here counts",
    ),
    (
        "/witness/block/contracts",
        "which slots were asked for: what is read from a slot is proved, whichever it is",
    ),
    (
        "/attestation/made_of/contracts",
        "what contracts said at a block whose state is not in the document",
    ),
    (
        "/attestation/made_of/wanted/named_by",
        "who named the hash that should run",
    ),
    (
        "/witness/genesis",
        "the first block, where the chain is none that is known",
    ),
];

/// The places of all values that hold no others.
fn leaves(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members
            .iter()
            .for_each(|(name, value)| leaves(value, &format!("{place}/{name}"), found)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, value)| leaves(value, &format!("{place}/{index}"), found)),
        _ => found.push(place.to_owned()),
    }
}

/// Another value of the same kind.
fn another(value: &Value, dice: &mut Dice) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::from("0x00"),
        Value::String(text) => {
            let mut characters: Vec<char> = text.chars().collect();
            let at = dice.below(characters.len());
            let old = characters[at];
            characters[at] = match old.to_digit(16) {
                Some(digit) => char::from_digit((digit + 1) % 16, 16).unwrap(),
                None if old == 'z' => 'y',
                None => 'z',
            };
            Value::from(characters.into_iter().collect::<String>())
        }
        Value::Number(number) => Value::from(number.as_u64().unwrap_or_default() + 1),
        Value::Bool(yes) => Value::from(!yes),
        other => other.clone(),
    }
}

/// Changes values of a document, and gives the places of those that nobody noticed.
fn unnoticed(evidence: &Value, root: &Root, changes: usize) -> Vec<String> {
    let mut places = Vec::new();
    leaves(evidence, "", &mut places);
    places.retain(|place| !SAID.iter().any(|(said, _)| place.starts_with(said)));
    let by = Measured { root, at: None };
    let mut dice = Dice(14);
    let mut open = Vec::new();
    for change in 0..changes {
        // Each place at least once, then by chance.
        let place = match places.get(change) {
            Some(place) => place,
            None => &places[dice.below(places.len())],
        };
        let mut changed = evidence.clone();
        let value = changed.pointer_mut(place).unwrap();
        *value = another(value, &mut dice);
        let read = Evidence::parse(changed.to_string().as_bytes());
        let noticed = read.is_err() || read.is_ok_and(|read| worst(&verify(&read, &by)) == Outcome::Differs);
        if !noticed {
            open.push(place.clone());
        }
    }
    open.sort_unstable();
    open.dedup();
    open
}

/// Numbers by chance, the same in each run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

fn vector(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/evidence");
    fsutil::read(&folder.join(name), 1 << 20).unwrap()
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the environment says how long the tests may take"
)]
fn twenty_thousand_changes_of_what_something_binds_are_noticed() {
    let changes = match std::env::var_os("COUNTERSIGN_THOROUGH") {
        Some(_) => 10_000,
        None => 700,
    };
    let root = Root::for_tests(vector("root.der")).unwrap();
    for name in ["attested.json", "safe.json"] {
        let evidence: Value = serde_json::from_slice(&vector(name)).unwrap();
        assert_eq!(unnoticed(&evidence, &root, changes), Vec::<String>::new(), "{name}");
    }
}
