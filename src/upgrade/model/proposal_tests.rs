//! Proposals from elsewhere: what is refused, and that nothing of the file is taken on trust.

use crate::upgrade::record::State;
use std::path::PathBuf;

use alloy::primitives::B256;
use serde_json::{Value, json};

use super::*;
use crate::upgrade::{Stop, Upgrade, UpgradeError, sample};

/// A proposal file in a folder of its own.
struct File {
    dir: tempfile::TempDir,
}

impl File {
    fn holding(bytes: &[u8]) -> Self {
        let file = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        crate::fsutil::write(&file.path(), bytes, 0o644).unwrap();
        file
    }
    fn edited(pointer: &str, value: Value) -> Self {
        let mut proposal = honest();
        *proposal.pointer_mut(pointer).expect(pointer) = value;
        Self::holding(proposal.to_string().as_bytes())
    }
    fn path(&self) -> PathBuf {
        self.dir.path().join("proposal.json")
    }
    fn read(&self) -> Result<Proposal, UpgradeError> {
        Proposal::read(&self.path())
    }
    #[track_caller]
    fn is_malformed(&self, what: &str) {
        match self.read() {
            Err(UpgradeError::Proposal { .. } | UpgradeError::Cloud(crate::cloud::CloudError::BadId { .. })) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

fn honest() -> Value {
    let prepared_and_verified = State::fold(sample::story().into_iter().take(5)).unwrap();
    serde_json::to_value(Proposal::of(&prepared_and_verified).unwrap()).unwrap()
}

fn text() -> String {
    honest().to_string()
}

#[test]
fn i1_to_i8_a_file_that_two_readers_could_take_for_two_things_is_malformed() {
    File::holding(text().as_bytes()).read().unwrap();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let long = format!("{}{}", text(), " ".repeat(MAX_BYTES.try_into().unwrap()));
    for (what, bytes) in [
        ("empty", String::new()),
        ("a byte order mark", format!("\u{feff}{}", text())),
        ("nested without end", deep),
        ("two documents", format!("{0}{0}", text())),
        ("a key twice", text().replacen('{', "{\"update\":\"u-1\",", 1)),
        (
            "a key twice, further inside",
            text().replacen("\"manifest\":{", "\"manifest\":{\"name\":\"app\",", 1),
        ),
        ("another version", text().replace("proposal/1", "proposal/2")),
    ] {
        assert_ne!(bytes, text(), "{what}");
        File::holding(bytes.as_bytes()).is_malformed(what);
    }
    File::holding(b"\xff\xfe{}").is_malformed("not UTF-8");
    let refused = File::holding(long.as_bytes()).read().unwrap_err();
    assert!(matches!(refused, UpgradeError::File(_)), "{refused}");
}

#[test]
fn i7_i9_members_and_spellings_that_this_version_does_not_write_are_malformed_wherever_they_stand() {
    for place in [
        "",
        "/plan",
        "/plan/app_state",
        "/plan/code/patch",
        "/calls/0",
        "/verified",
    ] {
        let mut proposal = honest();
        let object = proposal.pointer_mut(place).unwrap().as_object_mut().unwrap();
        object.insert("approved_by".to_owned(), json!("everybody"));
        File::holding(proposal.to_string().as_bytes()).is_malformed(place);
    }
    let hash = honest()["compose_hash"].as_str().unwrap().to_owned();
    for odd in [hash.to_uppercase(), format!("{hash}0"), hash.chars().skip(1).collect()] {
        File::edited("/compose_hash", json!(odd)).is_malformed(&odd);
    }
    File::edited("/plan/chain_id", json!(-1)).is_malformed("a chain below zero");
    File::edited("/plan/chain_id", json!(1e19)).is_malformed("a chain beyond every number");
}

#[test]
fn i19_a_cvm_whose_name_would_leave_the_folder_is_malformed() {
    for name in [
        "../../evil",
        "/tmp/evil",
        "a/../../b",
        "",
        " app-1",
        "app\u{1b}[2J",
        "x\u{202e}y",
    ] {
        File::edited("/plan/code/cvm", json!(name)).is_malformed(name);
    }
}

#[test]
fn v16_what_follows_from_other_values_is_recomputed() {
    let other = json!(B256::repeat_byte(9));
    for (pointer, value) in [
        ("/cloud", json!("evil.example")),
        ("/plan/app", json!(sample::OWNER)),
        ("/plan/app_state/app", json!(sample::OWNER)),
        ("/plan/code/expected_hash", other.clone()),
        ("/plan/code/form", json!("go")),
        ("/plan/code/changes", json!([])),
        ("/plan/calls", json!([])),
        ("/plan/route", json!({"kind": "eoa", "owner": sample::APP})),
        ("/verified", json!({"result": "uncomputable"})),
    ] {
        let refused = File::edited(pointer, value).read().expect_err(pointer);
        assert!(matches!(refused, UpgradeError::Stop(_)), "{pointer}: {refused:?}");
    }
}

#[test]
fn v1_a_hash_is_not_called_verified_without_the_hash_it_was_calibrated_with() {
    let mut proposal = honest();
    proposal["plan"]["code"]["current_hash"] = Value::Null;
    let refused = File::holding(proposal.to_string().as_bytes()).read().unwrap_err();
    assert!(matches!(refused, UpgradeError::Stop(_)), "{refused:?}");
}

#[test]
fn i14_sentences_of_the_file_are_not_repeated() {
    let lie = |code: &str| json!([{"code": code, "text": "audited by everybody"}]);
    assert!(File::edited("/plan/warnings", lie("ALL_IS_WELL")).read().is_err());
    let proposal = File::edited("/plan/warnings", lie("NO_CHECKSUM")).read().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let adopted = Upgrade::adopt(dir.path(), proposal).unwrap();
    let warnings = &adopted.state().plan().unwrap().warnings;
    let told = warnings.iter().find(|warning| warning.code == "NO_CHECKSUM").unwrap();
    assert!(told.is_told_before() && !told.text.contains("audited"), "{warnings:?}");
}

#[test]
fn i12_a_file_with_the_name_of_an_upgrade_and_another_wish_stops() {
    let dir = tempfile::tempdir().unwrap();
    let proposal: Proposal = serde_json::from_value(honest()).unwrap();
    drop(Upgrade::adopt(dir.path(), proposal.clone()).unwrap());
    drop(Upgrade::adopt(dir.path(), proposal.clone()).unwrap());
    let mut other = proposal.clone();
    other.compose_hash = Some(ComposeHash::new([9; 32]));
    match Upgrade::adopt(dir.path(), other) {
        Err(UpgradeError::Stop(stop)) => assert!(matches!(
            *stop,
            Stop {
                code: Code::ProposalChanged,
                ..
            }
        )),
        other => panic!("{other:?}"),
    }
    let mut foreign = proposal;
    foreign.update = "u-other".to_owned();
    assert!(matches!(
        Upgrade::adopt(dir.path(), foreign),
        Err(UpgradeError::Journal(_))
    ));
}
