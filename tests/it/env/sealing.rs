//! The workload environment against code that is not ours: the official SDK seals and opens, node's own crypto opens,
//! npm `dotenv` reads.

use alloy::primitives::{Address, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use countersign::env::{EnvFile, EnvName, RecipientKey, RootKey, UncheckedKey};
use jiff::Timestamp;
use serde_json::{Value, json};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::compose::hash_agreement::Dice;
use crate::harness::judge::runs;
use crate::support;

/// Environments that go each way.
fn environments() -> usize {
    runs(200, 1_000)
}
/// KMSs that they are sealed for.
const KMSS: usize = 50;
/// Files that are read by all.
const FILES: u64 = 10_000;

/// Asks `tests/node/env.mjs`; one answer for each question.
pub(crate) fn ask(act: &str, questions: &[Value]) -> Vec<Value> {
    let answers = support::command::ask("env.mjs", act, questions);
    assert_eq!(answers.len(), questions.len());
    answers
}

/// A KMS as far as an environment needs one: an app's key pair, and the root key's word for it.
struct Kms {
    secret: [u8; 32],
    public: [u8; 32],
    app: Address,
    root: PrivateKeySigner,
}

impl Kms {
    fn rolled(dice: &mut Dice) -> Self {
        let mut secret = [0; 32];
        secret.fill_with(|| dice.byte());
        let mut app = [0; 20];
        app.fill_with(|| dice.byte());
        Self {
            secret,
            public: PublicKey::from(&StaticSecret::from(secret)).to_bytes(),
            app: Address::from(app),
            root: PrivateKeySigner::random(),
        }
    }

    fn root(&self) -> RootKey {
        RootKey::from_bytes(&self.root.credential().verifying_key().to_sec1_bytes()).unwrap()
    }

    /// The word for `key`, with a date or without.
    fn signature(&self, key: &[u8; 32], time: Option<u64>) -> String {
        let time = time.map(u64::to_be_bytes);
        let time = time.as_ref().map_or(&[][..], |time| &time[..]);
        let message = [b"dstack-env-encrypt-pubkey:", self.app.as_slice(), time, key].concat();
        let signature = self.root.sign_hash_sync(&keccak256(message)).unwrap();
        format!(
            "{}{:02x}",
            hex::encode(&signature.as_bytes()[..64]),
            u8::from(signature.v())
        )
    }

    fn recipient(&self) -> RecipientKey {
        UncheckedKey::new(&hex::encode(self.public))
            .unwrap()
            .signed(&self.signature(&self.public, None))
            .unwrap()
            .check(self.app, &self.root(), Timestamp::UNIX_EPOCH)
            .unwrap()
    }
}

/// Text of everything that JSON, shells and terminals take amiss.
fn value(dice: &mut Dice) -> String {
    const PIECES: &[&str] = &[
        "a",
        "Z",
        "0",
        " ",
        "\n",
        "\r",
        "\t",
        "\"",
        "'",
        "`",
        "\\",
        "\\n",
        "$",
        "#",
        "=",
        "{",
        "\u{1}",
        "\u{1f}",
        "\u{7f}",
        "é",
        "签",
        "😀",
        "\u{2028}",
        "\u{feff}",
        "/",
        "<&>",
        "-----BEGIN KEY-----\n",
    ];
    let value: String = (0..dice.below(30)).map(|_| dice.pick(PIECES)).collect();
    // A backslash at the end would take the line behind it for a part of the value.
    value.trim_end_matches('\\').to_owned()
}

fn environment(dice: &mut Dice) -> EnvFile {
    let count = dice.below(12);
    let variables = (0..count).map(|at| {
        let name = EnvName::new(&format!("V{at}_{}", dice.below(100))).unwrap();
        (name, Zeroizing::new(value(dice)))
    });
    EnvFile::new(variables.collect()).unwrap()
}

fn pairs(env: &EnvFile) -> Value {
    env.expose()
        .map(|(name, value)| json!({"key": name.as_str(), "value": value}))
        .collect()
}

#[test]
fn a_thousand_environments_sealed_here_open_elsewhere() {
    let mut dice = Dice(0x5ea1);
    let worlds: Vec<Kms> = (0..KMSS).map(|_| Kms::rolled(&mut dice)).collect();
    let sealed: Vec<(EnvFile, Value)> = (0..environments())
        .zip(worlds.iter().cycle())
        .map(|(_, kms)| {
            let env = environment(&mut dice);
            let blob = env.seal(&kms.recipient()).unwrap();
            (env, json!({"secret": hex::encode(kms.secret), "blob": blob.blob()}))
        })
        .collect();
    let questions: Vec<Value> = sealed.iter().map(|(_, question)| question.clone()).collect();
    for ((env, _), answer) in sealed.iter().zip(ask("open", &questions)) {
        let plain: Value = serde_json::from_str(answer["ok"].as_str().unwrap_or_else(|| panic!("{answer}"))).unwrap();
        assert_eq!(plain, json!({"env": pairs(env)}));
    }
}

#[test]
fn a_thousand_environments_sealed_by_the_official_sdk_open_as_ours_do() {
    let mut dice = Dice(0x0ff1c1a1);
    let kmss: Vec<Kms> = (0..KMSS).map(|_| Kms::rolled(&mut dice)).collect();
    let worlds: Vec<(&Kms, EnvFile)> = (0..environments())
        .zip(kmss.iter().cycle())
        .map(|(_, kms)| (kms, environment(&mut dice)))
        .collect();
    let questions: Vec<Value> = worlds
        .iter()
        .map(|(kms, env)| json!({"key": hex::encode(kms.public), "envs": pairs(env)}))
        .collect();
    for ((kms, env), answer) in worlds.iter().zip(ask("seal", &questions)) {
        let official = support::guest::open(&kms.secret, answer["ok"].as_str().unwrap()).unwrap();
        let ours = support::guest::open(&kms.secret, env.seal(&kms.recipient()).unwrap().blob()).unwrap();
        assert_eq!(String::from_utf8(ours).unwrap(), String::from_utf8(official).unwrap());
    }
}

#[test]
fn a_changed_or_misdirected_blob_opens_nowhere() {
    let mut dice = Dice(7);
    let (kms, other) = (Kms::rolled(&mut dice), Kms::rolled(&mut dice));
    let env = EnvFile::default().with_pair("A=1").unwrap();
    let blob = env.seal(&kms.recipient()).unwrap().blob().to_owned();
    let mut questions = vec![json!({"secret": hex::encode(other.secret), "blob": blob})];
    for at in 0..blob.len() / 2 {
        let mut bytes = hex::decode(&blob).unwrap();
        bytes[at] ^= 1;
        questions.push(json!({"secret": hex::encode(kms.secret), "blob": hex::encode(bytes)}));
    }
    for answer in ask("open", &questions) {
        assert!(answer.get("error").is_some(), "{answer}");
    }
}

#[test]
fn v24_the_official_sdk_recovers_the_same_signer() {
    let mut dice = Dice(24);
    let worlds: Vec<Kms> = (0..100).map(|_| Kms::rolled(&mut dice)).collect();
    let questions: Vec<Value> = worlds
        .iter()
        .map(|kms| {
            let signature = kms.signature(&kms.public, None);
            json!({"key": hex::encode(kms.public), "signature": signature, "app": hex::encode(kms.app)})
        })
        .collect();
    for (kms, answer) in worlds.iter().zip(ask("recover", &questions)) {
        assert_eq!(answer["ok"].as_str(), Some(kms.root().to_string().as_str()));
        assert_eq!(kms.recipient().root(), &kms.root());
    }
}

#[test]
fn v24_wrong_swapped_unsigned_and_stale_keys_are_refused_for_every_kms() {
    let mut dice = Dice(2424);
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let second = u64::try_from(now.as_second()).unwrap();
    for _ in 0..100 {
        let (kms, other) = (Kms::rolled(&mut dice), Kms::rolled(&mut dice));
        let plain = |key: &[u8; 32]| UncheckedKey::new(&hex::encode(key)).unwrap();
        let dated = |signer: &Kms, time: u64| {
            let signature = signer.signature(&kms.public, Some(time));
            let key = plain(&kms.public).signed_at(Some(&signature), Some(time)).unwrap();
            key.check(kms.app, &kms.root(), now)
        };
        assert!(dated(&kms, second).is_ok() && dated(&kms, second - 300).is_ok() && dated(&kms, second + 60).is_ok());
        assert!(dated(&kms, second - 301).is_err() && dated(&kms, second + 61).is_err());
        assert!(dated(&other, second).is_err(), "another root key");
        assert!(plain(&kms.public).check(kms.app, &kms.root(), now).is_err(), "unsigned");
        let swapped = plain(&other.public).signed(&kms.signature(&kms.public, None)).unwrap();
        assert!(swapped.check(kms.app, &kms.root(), now).is_err(), "swapped");
        let elsewhere = plain(&kms.public).signed(&kms.signature(&kms.public, None)).unwrap();
        assert!(elsewhere.check(other.app, &kms.root(), now).is_err(), "another app");
        assert!(elsewhere.check(kms.app, &other.root(), now).is_err(), "another KMS");
    }
}

/// A file of lines that are mostly assignments, with everything in them that readers may take in different ways.
fn env_file(dice: &mut Dice) -> String {
    const STARTS: &[&str] = &["", "", "", "", "export ", " ", "\t", "# ", "\u{a0}", "x "];
    const NAMES: &[&str] = &["A", "B2", "_c", "D", "E", "F", "a.b", "G-H", "", "9"];
    const SIGNS: &[&str] = &["=", "=", "=", "=", "=", "=", " = ", ": ", "", "=="];
    const PIECES: &[&str] = &[
        "x", "y z", " ", "#", " # ", "\"", "'", "`", "\\", "\\n", "\\r", "=", "\t", "\u{a0}", "\u{2028}", "$D", "é",
        "\n",
    ];
    const ENDS: &[&str] = &[
        "\n",
        "\n",
        "\n",
        "\r\n",
        "\r",
        "\n\n",
        " \n",
        " # c\n",
        "",
        "\u{feff}\n",
    ];
    const QUOTES: &[&str] = &["", "", "", "\"", "'", "`"];
    let mut text = String::new();
    for _ in 0..=dice.below(3) {
        let quote = dice.pick(QUOTES);
        let value: String = (0..dice.below(4)).map(|_| dice.pick(PIECES)).collect();
        let parts = [
            dice.pick(STARTS),
            dice.pick(NAMES),
            dice.pick(SIGNS),
            quote,
            &value,
            quote,
            dice.pick(ENDS),
        ];
        text.extend(parts);
    }
    text
}

#[test]
fn where_a_file_is_taken_npm_dotenv_and_the_official_sdk_read_the_same() {
    let mut dice = Dice(0xd07e);
    let texts: Vec<String> = (0..FILES).map(|_| env_file(&mut dice)).collect();
    let questions: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    let mut taken = 0;
    for (text, answer) in texts.iter().zip(ask("dotenv", &questions)) {
        let Ok(env) = EnvFile::parse(text.as_bytes()) else {
            continue;
        };
        let ours: Value = env
            .expose()
            .map(|(name, value)| json!([name.as_str(), value]))
            .collect();
        assert_eq!(answer["ok"]["dotenv"], ours, "npm dotenv on {text:?}");
        assert_eq!(answer["ok"]["sdk"], ours, "the official SDK on {text:?}");
        taken += u64::from(!env.is_empty());
    }
    assert!(taken > FILES / 10, "only {taken} files were taken, which shows little");
}
