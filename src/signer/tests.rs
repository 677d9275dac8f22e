//! Rules of keys: where they may be, what is refused, and that nothing ever prints one.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use alloy::primitives::{Bytes, U256, address, bytes};
use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::*;
use crate::chain::Call;
use crate::fsutil;

/// A well-known development key, so that the address is somebody else's word.
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const ADDRESS: Address = address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
const PASSWORD: &str = "canary correct horse";

/// A person who answers in order and then is gone.
#[derive(Default)]
struct Person {
    answers: Mutex<VecDeque<String>>,
    variables: BTreeMap<String, String>,
    told: Mutex<Vec<String>>,
    asked: Mutex<Vec<String>>,
}

impl Person {
    fn who_types<const N: usize>(answers: [&str; N]) -> Self {
        Self {
            answers: Mutex::new(answers.map(str::to_owned).into()),
            ..Self::default()
        }
    }
}

impl Ask for Person {
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, AskError> {
        self.asked.lock().unwrap().push(prompt.to_owned());
        let answer = self.answers.lock().unwrap().pop_front();
        answer
            .map(Zeroizing::new)
            .ok_or_else(|| AskError::Nobody(prompt.to_owned()))
    }
    fn variable(&self, name: &str) -> Option<Zeroizing<String>> {
        self.variables.get(name).cloned().map(Zeroizing::new)
    }
    fn consent(&self, _what: &Consent) -> Result<bool, AskError> {
        Ok(false)
    }
    fn tell(&self, news: &str) {
        self.told.lock().unwrap().push(news.to_owned());
    }
}

fn open(source: &Source, unlock: &Unlock, ask: &dyn Ask) -> Result<Signer, SignerError> {
    now(Signer::open(source, unlock, ask))
}

/// The result of what waits for nothing.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

fn typed(text: &str) -> Result<Signer, SignerError> {
    open(&Source::Prompt, &Unlock::default(), &Person::who_types([text]))
}

fn put(dir: &TempDir, name: &str, content: &str) -> PathBuf {
    let path = dir.path().join(name);
    fsutil::write(&path, content.as_bytes(), 0o600).unwrap();
    path
}

/// A keystore of [`KEY`] as alloy writes it, for Foundry as well.
fn keystore(dir: &Path) -> PathBuf {
    let key = hex::decode(KEY).unwrap();
    PrivateKeySigner::encrypt_keystore(dir, &mut OsRng, key, PASSWORD, Some("deployer")).unwrap();
    dir.join("deployer")
}

fn change(path: &Path, pointer: &str, value: Value) {
    let mut json: Value = serde_json::from_slice(&fsutil::read(path, 1 << 16).unwrap()).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    fsutil::write(path, json.to_string().as_bytes(), 0o600).unwrap();
}

fn everything_it_says(error: &SignerError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(" {inner} {inner:?}"));
        cause = inner.source();
    }
    text
}

#[test]
fn a_source_reads_back_from_what_it_prints() {
    for text in [
        "browser",
        "browser:0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "prompt",
        "env:DEPLOYER_KEY",
        "file:/run/secrets/key",
        "keystore:./a b.json",
        "account:deployer",
        "ledger:m/44'/60'/0'/0/0",
        "ledger:m/44'/60'/7",
        "aws:1234abcd-12ab-34cd-56ef-1234567890ab",
        "aws:arn:aws:kms:eu-central-1:111122223333:alias/owner",
    ] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
    }
    assert_eq!("file:a:b".parse::<Source>().unwrap(), Source::File("a:b".into()));
}

#[test]
fn a_text_that_names_no_key_is_refused() {
    for text in [
        "",
        "PROMPT",
        "prompt:",
        "browser:",
        "browser:alice",
        "browser:0x70997970c51812dc3A010C7d01b50e0d17dc79C8",
        "browser:0x70997970C51812dc3A010C7d01b50e0d17dc79C",
        "env:",
        "file:",
        "ledgerx",
        "env:A-B",
        "env:1A",
        "env:A B",
        "account:../x",
    ] {
        assert!(text.parse::<Source>().is_err(), "{text}");
    }
    for text in [
        "account:a/b",
        "account:..",
        "account:.",
        "account:",
        "keystore",
        "stdin:x",
    ] {
        assert!(text.parse::<Source>().is_err(), "{text}");
    }
}

#[test]
fn a_ledger_is_named_by_an_index_or_a_whole_path() {
    for (text, path) in [
        ("ledger", "m/44'/60'/0'/0/0"),
        ("ledger:0", "m/44'/60'/0'/0/0"),
        ("ledger:2147483647", "m/44'/60'/2147483647'/0/0"),
        ("ledger:m/44h/60H/1'/2", "m/44'/60'/1'/2"),
        ("ledger:m/0", "m/0"),
        ("ledger:m/1/2/3/4/5/6/7/8/9/10", "m/1/2/3/4/5/6/7/8/9/10"),
    ] {
        assert_eq!(text.parse::<Source>().unwrap().to_string(), format!("ledger:{path}"));
    }
    for text in [
        "ledger:",
        "ledger:m",
        "ledger:m/",
        "ledger:m//0",
        "ledger:44'/60'",
        "ledger:m/44''",
        "ledger:m/+1",
        "ledger:+1",
        "ledger:-1",
        "ledger:2147483648",
        "ledger:m/2147483648",
        "ledger:m/1/2/3/4/5/6/7/8/9/10/11",
        "aws:",
        "aws:a b",
        "aws:key;rm",
    ] {
        assert!(text.parse::<Source>().is_err(), "{text}");
    }
}

#[test]
fn a_build_says_which_keys_it_cannot_reach() {
    for (text, built, feature) in [
        ("ledger", cfg!(feature = "ledger"), "ledger"),
        ("aws:x", cfg!(feature = "aws-kms"), "aws-kms"),
        ("prompt", true, ""),
    ] {
        match text.parse::<Source>().unwrap().check_built() {
            Ok(()) => assert!(built, "{text}"),
            Err(error) => {
                assert!(!built && error.to_string().contains(feature), "{error}");
            }
        }
    }
}

#[test]
fn n5_a_key_in_the_place_of_its_name_is_refused_and_not_repeated() {
    let upper = KEY.to_uppercase();
    let prefixed = format!("0x{KEY}");
    let (half, _) = KEY.split_at(30);
    let seed = "test test test test test test test test test test test junk";
    for secret in [KEY, upper.as_str(), prefixed.as_str(), half, seed] {
        for text in [
            secret.to_owned(),
            format!("env:{secret}"),
            format!("key:{secret}"),
            format!(" {secret}\n"),
        ] {
            let error = text.parse::<Source>().err();
            // A variable may have a hexadecimal name; it is the whole key that is refused.
            if let Some(error) = error {
                assert!(!everything_it_says(&error).contains(secret), "{error}");
            } else {
                assert_eq!(secret, half);
            }
        }
    }
    for text in [
        format!("file:{KEY}"),
        format!("keystore:0x{KEY}"),
        format!("account:{KEY}"),
    ] {
        assert!(!everything_it_says(&text.parse::<Source>().unwrap_err()).contains(KEY));
    }
}

#[test]
fn a_key_is_64_hex_digits_with_or_without_a_prefix_and_white_space() {
    let upper = KEY.to_uppercase();
    for text in [
        KEY,
        &upper,
        &format!("0x{KEY}"),
        &format!(" \t{KEY}\r\n"),
        &format!("0x{upper}\n"),
    ] {
        assert_eq!(typed(text).unwrap().address(), ADDRESS);
    }
}

#[test]
fn zero_the_curve_order_and_anything_else_is_no_key() {
    let order = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    let last = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140";
    assert!(typed(last).is_ok());
    let (short, _) = KEY.split_at(63);
    let long = format!("{KEY}0");
    let not_hex = KEY.replace('a', "g");
    let inner_space = KEY.replacen('9', " ", 1);
    for text in [
        order,
        &"0".repeat(64),
        &"f".repeat(64),
        short,
        &long,
        &not_hex,
        &inner_space,
        "",
        "0x",
    ] {
        let refusal = typed(text);
        assert!(matches!(refusal, Err(SignerError::NotAKey { .. })), "{refusal:?}");
    }
}

#[test]
fn a_key_comes_from_a_variable_or_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let person = Person {
        variables: [("K".to_owned(), KEY.to_owned())].into(),
        ..Person::default()
    };
    let unlock = Unlock::default();
    let from_variable = open(&Source::Env("K".into()), &unlock, &person).unwrap();
    let file = put(&dir, "key", &format!("0x{KEY}\n"));
    let from_file = open(&Source::File(file), &unlock, &person).unwrap();
    assert_eq!([from_variable.address(), from_file.address()], [ADDRESS; 2]);
    let missing = open(&Source::Env("L".into()), &unlock, &person);
    assert!(matches!(missing, Err(SignerError::NoVariable { name }) if name == "L"));
}

#[test]
fn n4_a_key_file_that_others_may_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fsutil::write(&path, KEY.as_bytes(), 0o640).unwrap();
    let refusal = open(&Source::File(path), &Unlock::default(), &Person::default());
    assert!(matches!(refusal, Err(SignerError::File(_))), "{refusal:?}");
}

#[test]
fn a_keystore_that_alloy_wrote_opens_with_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let path = keystore(dir.path());
    let signer = open(
        &Source::Keystore(path),
        &Unlock::default(),
        &Person::who_types([PASSWORD]),
    )
    .unwrap();
    assert_eq!(signer.address(), ADDRESS);
}

#[test]
fn an_account_is_a_keystore_in_foundrys_folder() {
    let dir = tempfile::tempdir().unwrap();
    keystore(dir.path());
    let source = Source::Account("deployer".into());
    let unlock = Unlock {
        keystore_dir: Some(dir.path().to_owned()),
        ..Unlock::default()
    };
    assert_eq!(
        open(&source, &unlock, &Person::who_types([PASSWORD]))
            .unwrap()
            .address(),
        ADDRESS
    );
    let refusal = open(&source, &Unlock::default(), &Person::default());
    assert!(matches!(refusal, Err(SignerError::NoFolder { .. })));
}

#[test]
fn the_published_keystores_hold_the_published_key() {
    let vectors: Value = serde_json::from_str(include_str!("../../tests/vectors/keystore.json")).unwrap();
    let password = vectors["password"].as_str().unwrap().as_bytes();
    for kdf in ["pbkdf2", "scrypt"] {
        let keystore = keystore::Keystore::parse(vectors[kdf].to_string().as_bytes()).unwrap();
        let key = keystore.decrypt(password).unwrap();
        assert_eq!(hex::encode(*key), vectors["private_key"].as_str().unwrap(), "{kdf}");
    }
}

#[test]
fn n2_a_wrong_password_may_be_typed_twice_and_not_three_times() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::Keystore(keystore(dir.path()));
    let third_time = Person::who_types(["canary-1", "canary-2", PASSWORD]);
    assert!(open(&source, &Unlock::default(), &third_time).is_ok());
    assert_eq!(third_time.told.lock().unwrap().len(), 2);

    let never = Person::who_types(["canary-1", "canary-2", "canary-3", PASSWORD]);
    let refusal = open(&source, &Unlock::default(), &never).unwrap_err();
    assert!(matches!(refusal, SignerError::Password { .. }), "{refusal:?}");
    assert_eq!(never.asked.lock().unwrap().len(), 3);
}

#[test]
fn a_password_file_is_private_its_line_end_is_not_part_of_it_and_nobody_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::Keystore(keystore(dir.path()));
    let open_with = |file: PathBuf| {
        let unlock = Unlock {
            password_file: Some(file),
            ..Unlock::default()
        };
        open(&source, &unlock, &Person::who_types([PASSWORD]))
    };
    for end in ["", "\n", "\r\n"] {
        assert!(
            open_with(put(&dir, "password", &format!("{PASSWORD}{end}"))).is_ok(),
            "{end:?}"
        );
    }
    let wrong = open_with(put(&dir, "password", &format!("{PASSWORD} \n")));
    assert!(matches!(wrong, Err(SignerError::Password { .. })));
    let path = dir.path().join("wide");
    fsutil::write(&path, PASSWORD.as_bytes(), 0o644).unwrap();
    assert!(matches!(open_with(path), Err(SignerError::File(_))));
}

#[test]
fn n1_a_missing_keystore_is_said_before_a_password_is_asked_for() {
    let person = Person::who_types([PASSWORD]);
    let refusal = open(&Source::Keystore("/nowhere".into()), &Unlock::default(), &person);
    assert!(matches!(refusal, Err(SignerError::File(_))));
    assert!(person.asked.lock().unwrap().is_empty());
}

#[test]
fn n3_a_damaged_or_greedy_keystore_is_refused_before_a_password_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let damages = [
        ("/version", json!(4)),
        ("/crypto/cipher", json!("aes-256-cbc")),
        ("/crypto/cipherparams/iv", json!("00")),
        ("/crypto/ciphertext", json!("00")),
        ("/crypto/ciphertext", json!("zz")),
        ("/crypto/mac", json!("")),
        ("/crypto/kdf", json!("argon2")),
        ("/crypto/kdf", json!("pbkdf2")),
        ("/crypto/kdfparams/dklen", json!(16)),
        ("/crypto/kdfparams/n", json!(0)),
        ("/crypto/kdfparams/n", json!(8191)),
        ("/crypto/kdfparams/n", json!(1_u64 << 40)),
        ("/crypto/kdfparams/r", json!(0)),
        ("/crypto/kdfparams/r", json!(u32::MAX)),
        ("/crypto/kdfparams/p", json!(u32::MAX)),
        (
            "/crypto/kdfparams",
            json!({"dklen": 32, "salt": "00", "c": u32::MAX, "prf": "hmac-sha256"}),
        ),
        ("/crypto", json!([])),
    ];
    for (pointer, value) in damages {
        let path = keystore(dir.path());
        change(&path, pointer, value.clone());
        let person = Person::who_types([PASSWORD]);
        let refusal = open(&Source::Keystore(path), &Unlock::default(), &person);
        assert!(
            matches!(refusal, Err(SignerError::Keystore { .. })),
            "{pointer} {value}: {refusal:?}"
        );
        assert!(person.asked.lock().unwrap().is_empty());
    }
}

#[test]
fn se2_low_a_keystore_that_others_may_change_is_refused_before_a_password_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = keystore(dir.path());
    let folder = Unlock {
        keystore_dir: Some(dir.path().to_owned()),
        ..Unlock::default()
    };
    for (mode, opens) in [
        (0o600, true),
        (0o400, true),
        (0o644, true),
        (0o664, false),
        (0o620, false),
        (0o602, false),
        (0o666, false),
        (0o777, false),
    ] {
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        for source in [Source::Keystore(path.clone()), Source::Account("deployer".to_owned())] {
            let person = Person::who_types([PASSWORD]);
            let opened = open(&source, &folder, &person);
            assert_eq!(opened.is_ok(), opens, "{mode:o}: {opened:?}");
            assert_eq!(person.asked.lock().unwrap().is_empty(), !opens, "{mode:o}");
        }
    }
}

#[test]
fn a_keystore_of_another_address_than_it_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = keystore(dir.path());
    let mut json: Value = serde_json::from_slice(&fsutil::read(&path, 1 << 16).unwrap()).unwrap();
    for (address, accepted) in [(ADDRESS, true), (Address::repeat_byte(1), false)] {
        json["address"] = json!(hex::encode(address));
        let path = put(&dir, "with-address", &json.to_string());
        let outcome = open(
            &Source::Keystore(path),
            &Unlock::default(),
            &Person::who_types([PASSWORD]),
        );
        assert_eq!(outcome.is_ok(), accepted, "{outcome:?}");
    }
}

#[test]
fn v23_no_error_and_no_debug_text_holds_a_key_or_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let canary = "cafe5ec2e7cafe5ec2e7cafe5ec2e7cafe5ec2e7cafe5ec2e7cafe5ec2e7cafe";
    let digits = "7".repeat(64);
    let person = || Person {
        variables: [("BAD".to_owned(), format!("{canary}00"))].into(),
        ..Person::who_types([&format!("{canary}zz"), "hunter2-canary", "hunter2-canary"])
    };
    let sources = [
        Source::Prompt,
        Source::Env("BAD".into()),
        Source::File(put(&dir, "bad", &format!("{canary}!"))),
        Source::File(put(&dir, "json", &format!("{{\"key\":\"{canary}\"}}"))),
        Source::Keystore(put(&dir, "bare", canary)),
        Source::Keystore(put(&dir, "decimal", &digits)),
        Source::Keystore(put(&dir, "quoted", &format!("\"{canary}\""))),
        Source::Keystore(put(
            &dir,
            "field",
            &format!("{{\"crypto\":\"{canary}\",\"version\":3}}"),
        )),
        Source::Keystore(keystore(dir.path())),
    ];
    for source in sources {
        let error = open(&source, &Unlock::default(), &person()).unwrap_err();
        let said = everything_it_says(&error).to_lowercase();
        for secret in ["cafe5ec2e7", "7777777", "hunter2"] {
            assert!(!said.contains(secret), "{source}: {said}");
        }
    }
    let signer = typed(KEY).unwrap();
    let said = format!("{signer:?} {signer:#?}");
    assert!(
        said.contains("0xf39fd6e5") && !said.to_lowercase().contains("ac0974be"),
        "{said}"
    );
}

fn request() -> TxRequest {
    TxRequest {
        chain_id: 8453,
        from: ADDRESS,
        nonce: 7,
        call: Call {
            to: Address::repeat_byte(0x3f),
            value: U256::ZERO,
            data: bytes!("dfc77223c40639a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789a"),
        },
        gas_limit: 90_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
    }
}

#[test]
fn n7_another_address_is_refused_before_anything_is_signed() {
    let other = TxRequest {
        from: Address::repeat_byte(9),
        ..request()
    };
    let refusal = now(typed(KEY).unwrap().sign_tx(&other));
    assert!(
        matches!(refusal, Err(SignerError::OtherKey { found: ADDRESS, .. })),
        "{refusal:?}"
    );
}

#[test]
fn a_signed_transaction_recovers_to_the_key_and_says_what_was_asked() {
    use alloy::consensus::transaction::SignerRecoverable as _;
    use alloy::consensus::{Transaction as _, TxEnvelope};
    use alloy::eips::eip2718::Decodable2718 as _;

    let request = request();
    let signed = now(typed(KEY).unwrap().sign_tx(&request)).unwrap();
    assert_eq!(signed.request, request);
    let envelope = TxEnvelope::decode_2718(&mut signed.raw.as_ref()).unwrap();
    assert_eq!(envelope.recover_signer().unwrap(), ADDRESS);
    assert_eq!(*envelope.tx_hash(), signed.hash);
    assert_eq!(
        (envelope.chain_id(), envelope.nonce(), envelope.to()),
        (Some(8453), 7, Some(request.call.to))
    );
    assert_eq!(
        (envelope.gas_limit(), envelope.max_fee_per_gas()),
        (90_000, 2_000_000_000)
    );
    assert_eq!(envelope.max_priority_fee_per_gas(), Some(1_000_000));
    assert_eq!(
        (envelope.value(), envelope.input()),
        (U256::ZERO, &Bytes::clone(&request.call.data))
    );
}

#[test]
fn the_same_request_is_signed_with_the_same_bytes() {
    let signer = typed(KEY).unwrap();
    assert_eq!(
        now(signer.sign_tx(&request())).unwrap().raw,
        now(signer.sign_tx(&request())).unwrap().raw
    );
}
