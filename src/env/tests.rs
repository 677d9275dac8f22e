//! Rules of the workload's environment, on vectors made by the official tools and the guest's own.

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use alloy::primitives::Address;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;
use x25519_dalek::{PublicKey, StaticSecret};

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/env.json")).unwrap()
}

fn text<'v>(value: &'v Value, path: &str) -> &'v str {
    value.pointer(path).and_then(Value::as_str).unwrap()
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn name(text: &str) -> EnvName {
    EnvName::new(text).unwrap()
}

fn names(list: &[&str]) -> Names {
    list.iter().copied().map(name).collect()
}

fn file(pairs: &[(&str, &str)]) -> EnvFile {
    let variables = pairs
        .iter()
        .map(|(key, value)| (name(key), Zeroizing::new((*value).to_owned())));
    EnvFile::new(variables.collect()).unwrap()
}

fn read(text: &str) -> Result<Vec<(String, String)>, EnvError> {
    let file = EnvFile::parse(text.as_bytes())?;
    Ok(file
        .expose()
        .map(|(name, value)| (name.to_string(), value.to_owned()))
        .collect())
}

fn read_one(text: &str) -> String {
    let mut all = read(text).unwrap();
    assert_eq!(all.len(), 1, "{text:?} gives {all:?}");
    all.remove(0).1
}

fn fault(text: &str) -> (usize, LineFault) {
    match read(text) {
        Err(EnvError::Line { line, why }) => (line, why),
        other => panic!("{text:?} gives {other:?}"),
    }
}

/// Opens a blob as a guest does.
fn open(secret: [u8; 32], blob: &str) -> Option<Vec<u8>> {
    let blob = hex::decode(blob).unwrap();
    let shared =
        StaticSecret::from(secret).diffie_hellman(&PublicKey::from(<[u8; 32]>::try_from(&blob[..32]).unwrap()));
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(shared.to_bytes()));
    let nonce = Nonce::from(<[u8; 12]>::try_from(&blob[32..44]).unwrap());
    cipher.decrypt(&nonce, &blob[44..]).ok()
}

fn app() -> Address {
    let vectors = vectors();
    Address::from(bytes(text(&vectors, "/env_pubkey_signature/app_id")))
}

fn root() -> RootKey {
    text(&vectors(), "/env_pubkey_signature/k256_pub").parse().unwrap()
}

fn signed_at() -> i64 {
    vectors()
        .pointer("/env_pubkey_signature/timestamp")
        .and_then(Value::as_i64)
        .unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn bare_key() -> UncheckedKey {
    UncheckedKey::new(text(&vectors(), "/env_pubkey_signature/x25519_pub")).unwrap()
}

fn undated_key() -> UncheckedKey {
    bare_key()
        .signed(text(&vectors(), "/env_pubkey_signature/legacy/sig"))
        .unwrap()
}

fn dated_key() -> UncheckedKey {
    let vectors = vectors();
    let signature = text(&vectors, "/env_pubkey_signature/v1/sig");
    bare_key()
        .signed_at(Some(signature), u64::try_from(signed_at()).ok())
        .unwrap()
}

fn recipient() -> RecipientKey {
    undated_key().check(app(), &root(), at(0)).unwrap()
}

#[test]
fn the_plaintext_is_the_one_of_the_official_sdk_byte_for_byte() {
    let vectors = vectors();
    for case in vectors
        .pointer("/encrypted_env/cases")
        .and_then(Value::as_array)
        .unwrap()
    {
        let pairs: Vec<(&str, &str)> = case["envs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (text(pair, "/key"), text(pair, "/value")))
            .collect();
        // A file never has a name twice; the official SDK would seal it.
        if text(case, "/name") == "E4-dup-keys" {
            continue;
        }
        assert_eq!(
            file(&pairs).plaintext().unwrap().as_slice(),
            text(case, "/plaintext").as_bytes()
        );
    }
}

#[test]
fn with_the_same_randomness_the_blob_is_the_one_of_the_official_sdk() {
    let vectors = vectors();
    let recipient = bytes(text(&vectors, "/encrypted_env/kms_pub"));
    let cases = vectors
        .pointer("/encrypted_env/cases")
        .and_then(Value::as_array)
        .unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let plain = Zeroizing::new(text(case, "/plaintext").as_bytes().to_vec());
        let (ephemeral, nonce) = (bytes(text(case, "/eph_priv")), bytes(text(case, "/iv")));
        let blob = seal::encrypt(plain, &recipient, &ephemeral, nonce).unwrap();
        assert_eq!(hex::encode(blob), text(case, "/blob"), "{}", text(case, "/name"));
    }
}

#[test]
fn the_guests_own_vector_opens_as_the_tests_open() {
    let vectors = vectors();
    let secret = bytes(text(&vectors, "/dstack_guest_decrypt_vector/secret"));
    let opened = open(secret, text(&vectors, "/dstack_guest_decrypt_vector/blob")).unwrap();
    assert_eq!(
        opened,
        text(&vectors, "/dstack_guest_decrypt_vector/plaintext").as_bytes()
    );
}

#[test]
fn what_is_sealed_opens_for_its_recipient_and_for_nobody_else() {
    let vectors = vectors();
    let env = file(&[("A", "1"), ("B", "")]);
    let sealed = env.seal(&recipient()).unwrap();
    let secret = bytes(text(&vectors, "/encrypted_env/kms_priv"));
    let plain = open(secret, sealed.blob()).unwrap();
    assert_eq!(plain, br#"{"env":[{"key":"A","value":"1"},{"key":"B","value":""}]}"#);
    assert_eq!(open([7; 32], sealed.blob()), None);
    assert_eq!(sealed.names(), &names(&["A", "B"]));
    assert_eq!(sealed.recipient().app(), app());
    let again = env.seal(&recipient()).unwrap();
    let parts = |sealed: &SealedEnv| {
        let bytes = hex::decode(sealed.blob()).unwrap();
        (bytes[..32].to_vec(), bytes[32..44].to_vec())
    };
    let (one, two) = (parts(&sealed), parts(&again));
    assert_ne!(one.0, two.0, "each blob has an ephemeral key of its own");
    assert_ne!(one.1, two.1, "and a nonce of its own");
}

#[test]
fn a_weak_recipient_is_refused_as_the_guest_refuses_it() {
    let plain = || Zeroizing::new(b"{}".to_vec());
    let mut one = [0; 32];
    one[0] = 1;
    for weak in [[0; 32], one] {
        let refused = seal::encrypt(plain(), &weak, &[9; 32], [0; 12]);
        assert!(matches!(refused, Err(SealError::WeakKey)));
    }
}

#[test]
fn v24_both_forms_of_signature_are_believed_when_the_root_key_made_them() {
    let undated = undated_key().check(app(), &root(), at(0)).unwrap();
    assert_eq!(
        (undated.dated(), undated.app(), undated.root()),
        (Dated::Undated, app(), &root())
    );
    let dated = dated_key().check(app(), &root(), at(signed_at() + 10)).unwrap();
    assert_eq!(dated.dated(), Dated::At(at(signed_at())));
    assert_eq!(dated.as_bytes(), undated.as_bytes());
}

#[test]
fn v24_the_documents_own_example_is_believed() {
    let vectors = vectors();
    let example = |part: &str| {
        text(
            &vectors,
            &format!("/env_pubkey_signature/upstream_legacy_example/{part}"),
        )
        .to_owned()
    };
    let root: RootKey = example("signer").parse().unwrap();
    let key = UncheckedKey::new(&example("public_key"))
        .unwrap()
        .signed(&example("signature"))
        .unwrap();
    assert!(
        key.check(Address::from(bytes(&example("app_id"))), &root, at(0))
            .is_ok()
    );
}

#[test]
fn v24_a_dated_signature_lives_five_minutes_and_may_be_a_minute_ahead() {
    let check = |second: i64| dated_key().check(app(), &root(), at(second));
    assert!(check(signed_at() + 300).is_ok() && check(signed_at() - 60).is_ok());
    assert_eq!(check(signed_at() + 301), Err(KeyError::Stale { age: 301 }));
    assert_eq!(check(signed_at() - 61), Err(KeyError::Ahead { ahead: 61 }));
}

#[test]
fn v24_a_swapped_key_another_app_and_another_root_are_refused() {
    let now = at(signed_at());
    let other_key = "aa".repeat(32);
    let vectors = vectors();
    let swapped = UncheckedKey::new(&other_key)
        .unwrap()
        .signed(text(&vectors, "/env_pubkey_signature/legacy/sig"))
        .unwrap();
    let by_nobody = |result: Result<RecipientKey, KeyError>| matches!(result, Err(KeyError::NotByRoot { .. }));
    assert!(by_nobody(swapped.check(app(), &root(), now)));
    for key in [undated_key(), dated_key()] {
        assert!(by_nobody(key.check(Address::repeat_byte(1), &root(), now)));
        let example = "/env_pubkey_signature/upstream_legacy_example/signer";
        let another: RootKey = text(&vectors, example).parse().unwrap();
        assert!(by_nobody(key.check(app(), &another, now)));
    }
}

#[test]
fn v24_a_signature_of_one_form_is_not_taken_for_the_other() {
    let vectors = vectors();
    let crossed = bare_key()
        .signed(text(&vectors, "/env_pubkey_signature/v1/sig"))
        .unwrap();
    let wrong = text(
        &vectors,
        "/env_pubkey_signature/v1_with_0.5.7_function_returns_wrong_but_nonnull",
    );
    assert_eq!(
        crossed.check(app(), &root(), at(signed_at())),
        Err(KeyError::NotByRoot {
            root: root(),
            found: wrong.to_owned()
        }),
        "recovery gives a key, and only comparing shows that it is another"
    );
    let legacy = text(&vectors, "/env_pubkey_signature/legacy/sig");
    let crossed = bare_key()
        .signed_at(Some(legacy), u64::try_from(signed_at()).ok())
        .unwrap();
    assert!(crossed.check(app(), &root(), at(signed_at())).is_err());
}

#[test]
fn v24_the_time_is_part_of_what_is_signed() {
    let vectors = vectors();
    let signature = text(&vectors, "/env_pubkey_signature/v1/sig");
    let moved = bare_key()
        .signed_at(Some(signature), u64::try_from(signed_at() + 600).ok())
        .unwrap();
    assert!(matches!(
        moved.check(app(), &root(), at(signed_at() + 600)),
        Err(KeyError::NotByRoot { .. })
    ));
    let endless = bare_key().signed_at(Some(signature), Some(u64::MAX)).unwrap();
    assert!(endless.check(app(), &root(), at(0)).is_err());
}

#[test]
fn v24_every_signature_that_is_there_has_to_hold() {
    let vectors = vectors();
    let good = text(&vectors, "/env_pubkey_signature/v1/sig");
    let stamp = u64::try_from(signed_at()).ok();
    let both = |undated: &str| {
        bare_key()
            .signed(undated)
            .unwrap()
            .signed_at(Some(good), stamp)
            .unwrap()
    };
    let legacy = text(&vectors, "/env_pubkey_signature/legacy/sig");
    assert!(both(legacy).check(app(), &root(), at(signed_at())).is_ok());
    assert!(both(&"11".repeat(65)).check(app(), &root(), at(signed_at())).is_err());
    assert_eq!(
        both(legacy).check(app(), &root(), at(signed_at() + 301)),
        Err(KeyError::Stale { age: 301 }),
        "a stale date is not rescued by the form without one"
    );
}

#[test]
fn v24_unsigned_half_signed_and_malformed_keys_are_refused() {
    assert_eq!(bare_key().check(app(), &root(), at(0)), Err(KeyError::Unsigned));
    assert_eq!(bare_key().signed_at(None, Some(1)), Err(KeyError::HalfDated));
    assert_eq!(
        bare_key().signed_at(Some(&"00".repeat(65)), None),
        Err(KeyError::HalfDated)
    );
    for bad in [
        "",
        "0x",
        "zz",
        &"ab".repeat(31),
        &"ab".repeat(33),
        &"zz".repeat(32),
        &format!(" {}", "ab".repeat(32)),
    ] {
        assert!(UncheckedKey::new(bad).is_err(), "{bad:?}");
        assert!(bare_key().signed(bad).is_err());
    }
    assert!(UncheckedKey::new(&format!("0x{}", "AB".repeat(32))).is_ok());
}

#[test]
fn v24_recovery_numbers_of_both_conventions_are_read_and_others_are_not() {
    let vectors = vectors();
    let signature = text(&vectors, "/env_pubkey_signature/legacy/sig");
    let ending = |last: u8| {
        let text = format!("{}{last:02x}", signature.strip_suffix("00").unwrap());
        bare_key().signed(&text).unwrap().check(app(), &root(), at(0))
    };
    assert!(ending(0).is_ok() && ending(27).is_ok());
    for other in [1, 2, 3, 26, 28, 29, 255] {
        assert!(ending(other).is_err(), "{other}");
    }
}

#[test]
fn a_root_key_is_a_point_in_either_encoding() {
    let key = root();
    assert_eq!(RootKey::from_bytes(key.as_bytes()), Ok(key));
    let point = alloy::signers::k256::ecdsa::VerifyingKey::from_sec1_bytes(key.as_bytes()).unwrap();
    assert_eq!(RootKey::from_bytes(point.to_encoded_point(false).as_bytes()), Ok(key));
    for bad in [&[][..], &[0; 33], &[2; 32], &[4; 65], &[0xff; 33]] {
        assert_eq!(RootKey::from_bytes(bad), Err(KeyError::RootKey));
    }
}

#[test]
fn v23_no_debug_text_and_no_error_shows_a_value() {
    let env = file(&[("TOKEN", "CANARY")]);
    let sealed = env.seal(&recipient()).unwrap();
    for shown in [format!("{env:?}"), format!("{env:#?}"), format!("{sealed:?}")] {
        assert!(!shown.contains("CANARY") && shown.contains("TOKEN"), "{shown}");
    }
    assert!(!format!("{sealed:?}").contains(sealed.blob()));
    for bad in [
        "CANARY",
        "A='CANARY",
        "A=\"CANARY\" CANARY",
        "A=CANARY#CANARY",
        "CANARY CANARY=CANARY",
        "A=1\nA=CANARY",
    ] {
        let error = EnvFile::parse(bad.as_bytes()).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("CANARY"), "{error:?}");
    }
    let long = format!("A={}", "CANARY".repeat(30_000));
    let error = EnvFile::parse(long.as_bytes()).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("CANARY"));
}

#[test]
fn values_are_read_as_npm_dotenv_reads_them() {
    for (text, value) in [
        ("A=", ""),
        ("A=b", "b"),
        ("  export A = b c \t", "b c"),
        ("A==b=", "=b="),
        ("A=it's", "it's"),
        ("A=b # c", "b"),
        ("A= # c", ""),
        ("A='b # c' # d", "b # c"),
        ("A=\"b\\nc\\rd\\te\"", "b\nc\rd\\te"),
        ("A='b\\nc'", "b\\nc"),
        ("A=`\"'`", "\"'"),
        ("A=\"b\\\"c\"", "b\\\"c"),
        ("A=\"1\n2\r\n3\"", "1\n2\n3"),
        ("\u{feff}A=b\r\n", "b"),
        ("A='$B ${C} $$'", "$B ${C} $$"),
        ("A=5$ and $1 \"$\"", "5$ and $1 \"$\""),
        ("A=é😀", "é😀"),
    ] {
        assert_eq!(read_one(text), value, "{text:?}");
    }
    assert_eq!(read("\n# B=1\n\t# C\nA=1\n\n_b2='x'").unwrap().len(), 2);
    assert!(read("").unwrap().is_empty());
}

#[test]
fn bug_b10_a_backslash_at_the_end_is_refused_with_what_the_guest_would_lose() {
    let swallowed = |text: &str| match read(text) {
        Err(EnvError::Swallows { name, next }) => (name.to_string(), next.map(|next| next.to_string())),
        other => panic!("{text:?} gives {other:?}"),
    };
    // The guest writes them in alphabetical order.
    assert_eq!(
        swallowed("TOKEN=a\\\nZ=1\nA=1\nURL=2"),
        ("TOKEN".to_owned(), Some("URL".to_owned()))
    );
    assert_eq!(swallowed("B=x\\\nA=1"), ("B".to_owned(), None));
    assert_eq!(
        read_one("A=x\\\\"),
        "x\\\\",
        "two of them are one on the guest, and nothing is lost"
    );
    let text = EnvError::Swallows {
        name: name("A"),
        next: Some(name("B")),
    }
    .to_string();
    assert!(text.ends_with("a part of it: `B` would be lost"), "{text}");
}

#[test]
fn what_readers_take_in_different_ways_is_refused_with_its_line() {
    for (text, line, why) in [
        ("A", 1, LineFault::NotAnAssignment),
        ("A: b", 1, LineFault::NotAnAssignment),
        ("A=1\n\nA: b=c", 3, LineFault::Name),
        ("A-B=1", 1, LineFault::Name),
        ("A.B=1", 1, LineFault::Name),
        ("1A=1", 1, LineFault::Name),
        ("=1", 1, LineFault::Name),
        ("A B=1", 1, LineFault::Name),
        ("\u{a0}A=1", 1, LineFault::Name),
        ("A='b", 1, LineFault::OpenQuote),
        ("A='b\\'", 1, LineFault::OpenQuote),
        ("X=\"1\n2\"\nA=\"b\nc\n", 3, LineFault::OpenQuote),
        ("A='b' c", 1, LineFault::AfterQuote),
        ("A='b''c'", 1, LineFault::AfterQuote),
        ("A=b#c", 1, LineFault::Hash),
        ("B=1\nA=$B", 2, LineFault::Dollar),
        ("A=${B}/v1", 1, LineFault::Dollar),
        ("A=x$_", 1, LineFault::Dollar),
        ("A=a$$b", 1, LineFault::Dollar),
        ("A=\"x\n$B\"", 1, LineFault::Dollar),
        ("A=#c", 1, LineFault::Hash),
        ("A=b\u{a0}", 1, LineFault::Invisible),
        ("A=\u{feff}b", 1, LineFault::Invisible),
        ("# c\u{2028}A=1", 1, LineFault::Invisible),
        ("A=1\nB=2\nA=3", 3, LineFault::Twice),
    ] {
        assert_eq!(fault(text), (line, why), "{text:?}");
    }
    assert_eq!(read_one("A='\u{a0}b\u{2028}'"), "\u{a0}b\u{2028}");
    assert_eq!(EnvFile::parse(b"A=\xff").unwrap_err(), EnvError::Utf8);
    assert!(matches!(
        EnvFile::parse(&vec![b'#'; MAX_FILE_BYTES + 1]),
        Err(EnvError::TooLong { .. })
    ));
}

#[test]
fn the_guests_limits_hold_at_their_edges() {
    assert!(EnvName::new(&"a".repeat(MAX_NAME_BYTES)).is_ok());
    assert_eq!(EnvName::new(&"a".repeat(MAX_NAME_BYTES + 1)), Err(EnvError::Name));
    let value = |length: usize| Zeroizing::new("v".repeat(length));
    assert!(EnvFile::new(vec![(name("A"), value(MAX_VALUE_BYTES))]).is_ok());
    let long = EnvFile::new(vec![(name("A"), value(MAX_VALUE_BYTES + 1))]).unwrap_err();
    assert_eq!(
        long,
        EnvError::ValueTooLong {
            name: name("A"),
            found: MAX_VALUE_BYTES + 1
        }
    );
    let many = |count: usize| (0..count).map(|at| (name(&format!("V{at}")), value(0))).collect();
    assert!(EnvFile::new(many(MAX_VARIABLES)).is_ok());
    assert_eq!(
        EnvFile::new(many(MAX_VARIABLES + 1)).unwrap_err(),
        EnvError::TooMany {
            found: MAX_VARIABLES + 1
        }
    );
    let full = |last: usize| {
        let mut list: Vec<_> = (0..7)
            .map(|at| (name(&format!("V{at}")), value(MAX_VALUE_BYTES - 2)))
            .collect();
        list.push((name("W7"), value(last)));
        EnvFile::new(list)
    };
    assert!(full(MAX_VALUE_BYTES - 2).is_ok());
    assert_eq!(
        full(MAX_VALUE_BYTES - 1).unwrap_err(),
        EnvError::TooMuch {
            found: MAX_TOTAL_BYTES + 1
        }
    );
    assert_eq!(read("A=a\0b").unwrap_err(), EnvError::Nul { name: name("A") });
}

#[test]
fn pairs_are_taken_as_they_stand_and_never_twice() {
    let env = EnvFile::default()
        .with_pair("A=\"b\" #c")
        .unwrap()
        .with_pair("B=")
        .unwrap();
    let all: Vec<_> = env.expose().map(|(name, value)| (name.as_str(), value)).collect();
    assert_eq!(all, [("A", "\"b\" #c"), ("B", "")]);
    assert_eq!(
        env.clone().with_pair("A=2").unwrap_err(),
        EnvError::Twice { name: name("A") }
    );
    assert_eq!(env.clone().with_pair("C").unwrap_err(), EnvError::NoEquals);
    assert_eq!(
        env.clone().and(file(&[("B", "1")])).unwrap_err(),
        EnvError::Twice { name: name("B") }
    );
    assert_eq!(env.and(file(&[("C", "1")])).unwrap().names(), names(&["A", "B", "C"]));
}

#[test]
fn what_the_guest_would_change_is_named() {
    let env = file(&[
        ("A", "x"),
        ("B", "C:\\x"),
        ("C", "1\r2"),
        ("PATH", "/x"),
        ("D", "$`\"\n"),
    ]);
    let expected = [
        (name("B"), Caution::Backslash),
        (name("C"), Caution::CarriageReturn),
        (name("PATH"), Caution::ShellName),
    ];
    assert_eq!(env.cautions(), expected);
}

#[test]
fn names_that_appear_and_vanish_are_told_apart_from_values_that_change() {
    let live = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let local = live(&["A", "B", "C"]);
    let same = NameChange::between(&local, &live(&["A", "B", "C"]), None);
    assert!(same.is_value_only() && same == NameChange::default());
    let turned = NameChange::between(&local, &live(&["C", "B", "A"]), None);
    assert!(turned.reordered && !turned.is_value_only());
    let doubled = NameChange::between(&local, &live(&["A", "B", "C", "C"]), None);
    assert!(doubled.reordered, "another list is another hash");
    let moved = NameChange::between(&local, &live(&["A", "X", "B"]), Some(&live(&["A", "B", "P"])));
    assert_eq!(moved.appear, ["C"]);
    assert_eq!(moved.vanish, ["X"]);
    assert_eq!(moved.lost_from_pending, ["P"]);
    assert!(!moved.reordered && !moved.is_value_only());
    assert!(!NameChange::between(&local, &[], None).is_value_only());
    assert!(NameChange::between(&[], &[], None).is_value_only());
}

#[test]
fn a_name_read_from_a_record_is_checked_like_any_other() {
    assert_eq!(serde_json::from_str::<EnvName>("\"A_1\"").unwrap(), name("A_1"));
    assert!(serde_json::from_str::<EnvName>("\"A=1\"").is_err());
    assert_eq!(serde_json::to_string(&name("A")).unwrap(), "\"A\"");
}

proptest! {
    #[test]
    fn reading_never_panics_and_what_is_read_is_within_the_rules(text in "[AB=#'\"`\\\\ \\n\\r\\tex\u{a0}\u{feff}\u{2028}]{0,60}") {
        if let Ok(env) = EnvFile::parse(text.as_bytes()) {
            for (name, _) in env.expose() {
                prop_assert!(EnvName::new(name.as_str()).is_ok());
            }
        }
    }

    #[test]
    fn a_value_in_quotes_comes_back_as_it_was(value in "[^'\\\\\r\0]{0,40}") {
        prop_assert_eq!(read_one(&format!("A='{value}' # c\n")), value);
    }
}

#[test]
fn a_mark_tells_values_apart_and_only_under_its_key() {
    let (key, other) = (MarkKey::random().unwrap(), MarkKey::random().unwrap());
    let mark = |pairs: &[(&str, &str)], key: &MarkKey| file(pairs).mark(key).unwrap();
    let same = [("A", "1"), ("B", "2")];
    assert_eq!(
        mark(&same, &key),
        mark(&same, &MarkKey::from_bytes(key.expose()).unwrap())
    );
    assert_ne!(mark(&same, &key), mark(&same, &other));
    for different in [
        [("A", "1"), ("B", "3")],
        [("B", "2"), ("A", "1")],
        [("A", "12"), ("B", "")],
    ] {
        assert_ne!(mark(&same, &key), mark(&different, &key), "{different:?}");
    }
    assert!(MarkKey::from_bytes(&[0; 31]).is_none());
    assert_eq!(format!("{key:?}"), "MarkKey(…)");
}
