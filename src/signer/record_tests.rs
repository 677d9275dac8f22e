//! Rules of the record of signatures, and of signing for a Safe with it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command};

use alloy::primitives::address;
use alloy::signers::local::PrivateKeySigner;
use futures_util::FutureExt as _;
use tempfile::TempDir;

use super::*;
use crate::chain::Call;
use crate::safe::{Intent, OwnerSignature, SafeDomain, version::SafeVersion};
use crate::signer::{Key, Signer};

const SAFE: Address = address!("2222222222222222222222222222222222222222");
const APP: Address = address!("1111111111111111111111111111111111111111");

fn domain() -> SafeDomain {
    SafeDomain {
        chain_id: 8453,
        safe: SAFE,
        version: SafeVersion::V1_4_1,
    }
}

/// A transaction that allows the hash of this byte.
fn tx_of(domain: SafeDomain, nonce: u64, byte: u8) -> SafeTx {
    let data = [&[0xdf, 0xc7, 0x72, 0x23][..], &[byte; 32]].concat();
    let call = Call {
        to: APP,
        value: U256::ZERO,
        data: data.into(),
    };
    let intent = Intent {
        domain,
        nonce: U256::from(nonce),
        calls: vec![call],
        batcher: None,
        old_versions: false,
    };
    SafeTx::freeze(&intent).unwrap()
}

fn tx(byte: u8) -> SafeTx {
    tx_of(domain(), 12, byte)
}

fn rejection(nonce: u64) -> SafeTx {
    SafeTx::rejection(domain(), U256::from(nonce), false).unwrap()
}

fn signer(byte: u8) -> Signer {
    let key = PrivateKeySigner::from_slice(&[byte; 32]).unwrap();
    Signer {
        address: key.address(),
        key: Key::Local(key),
    }
}

/// A key that says it is another one.
fn liar() -> Signer {
    Signer {
        address: Address::repeat_byte(9),
        ..signer(1)
    }
}

fn folder() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("countersign").join("signed");
    (dir, path)
}

fn sign(signer: &Signer, tx: &SafeTx, record: &SigningRecord) -> Result<OwnerSignature, SignerError> {
    signer.sign_safe_tx(tx, record, &[]).now_or_never().unwrap()
}

#[track_caller]
fn refused(outcome: Result<OwnerSignature, SignerError>, first: &SafeTx) {
    match outcome {
        Err(SignerError::AlreadySigned(earlier)) => {
            assert_eq!((earlier.digest, earlier.nonce), (first.hash(), first.fields().nonce));
            assert_eq!(earlier.safe, first.domain().safe);
        }
        other => panic!("{other:?}"),
    }
}

fn entries(path: &Path) -> Vec<SafeConsent> {
    let bytes = fsutil::read(path, MAX_BYTES).unwrap();
    Reading::of(Path::new("x"), &bytes)
        .unwrap_or_else(|bad| panic!("{bad:?}"))
        .entries
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A record of three signatures, and its bytes.
fn three(path: &Path) -> Vec<u8> {
    let record = SigningRecord::open(path).unwrap();
    for nonce in 12..15 {
        sign(&signer(1), &tx_of(domain(), nonce, 1), &record).unwrap();
    }
    fsutil::read(path, MAX_BYTES).unwrap()
}

fn put(path: &Path, bytes: &[u8]) {
    fsutil::write(path, bytes, 0o600).unwrap();
}

#[test]
fn a_signature_recovers_to_the_owner_and_is_one_that_every_safe_takes() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    for byte in 1..20 {
        let (owner, tx) = (signer(byte), tx(1));
        let signature = sign(&owner, &tx, &record).unwrap();
        assert_eq!(signature.signer(tx.hash()).unwrap(), owner.address());
        let bytes = signature.to_bytes();
        assert!(matches!(bytes.as_ref(), [.., 27 | 28]) && bytes.len() == 65);
        // Reading refuses the upper half of s.
        assert!(matches!(OwnerSignature::read(&bytes), Ok(OwnerSignature::Eip712(_))));
    }
}

#[test]
fn v13_the_same_transaction_is_signed_again_and_recorded_once() {
    let (_dir, path) = folder();
    let first = sign(&signer(1), &tx(1), &SigningRecord::open(&path).unwrap()).unwrap();
    let again = sign(&signer(1), &tx(1), &SigningRecord::open(&path).unwrap()).unwrap();
    assert_eq!(first, again);
    let recorded = entries(&path);
    assert_eq!(recorded.len(), 1);
    assert_eq!(
        (recorded[0].owner, recorded[0].digest),
        (signer(1).address(), tx(1).hash())
    );
}

#[test]
fn m23_v13_another_transaction_for_the_nonce_is_refused_and_the_first_is_named() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    sign(&signer(1), &tx(1), &record).unwrap();
    for byte in [2, 3] {
        refused(sign(&signer(1), &tx(byte), &record), &tx(1));
        refused(
            sign(&signer(1), &tx(byte), &SigningRecord::open(&path).unwrap()),
            &tx(1),
        );
    }
    // The same Safe under the rules of another version is the same Safe.
    let other_version = SafeDomain {
        version: SafeVersion::V1_3_0,
        ..domain()
    };
    assert!(sign(&signer(1), &tx_of(other_version, 12, 1), &record).is_ok());
    refused(sign(&signer(1), &tx_of(other_version, 12, 2), &record), &tx(1));
    assert_eq!(entries(&path).len(), 1);
}

#[test]
fn v13_another_nonce_chain_safe_or_owner_has_its_own_first_transaction() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    sign(&signer(1), &tx(1), &record).unwrap();
    let other_chain = SafeDomain {
        chain_id: 1,
        ..domain()
    };
    let other_safe = SafeDomain { safe: APP, ..domain() };
    sign(&signer(1), &tx_of(domain(), 13, 2), &record).unwrap();
    sign(&signer(1), &tx_of(other_chain, 12, 2), &record).unwrap();
    let call = Call {
        to: SAFE,
        value: U256::ZERO,
        data: vec![1, 2, 3, 4].into(),
    };
    let intent = Intent {
        domain: other_safe,
        nonce: U256::from(12),
        calls: vec![call],
        batcher: None,
        old_versions: false,
    };
    sign(&signer(1), &SafeTx::freeze(&intent).unwrap(), &record).unwrap();
    sign(&signer(2), &tx(2), &record).unwrap();
    assert_eq!(entries(&path).len(), 5);
}

#[test]
fn m23_m24_the_rejection_of_the_nonce_may_follow_and_after_it_nothing_else() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    sign(&signer(1), &tx(1), &record).unwrap();
    sign(&signer(1), &rejection(12), &record).unwrap();
    sign(&signer(1), &rejection(12), &record).unwrap();
    refused(sign(&signer(1), &tx(1), &record), &rejection(12));
    refused(sign(&signer(1), &tx(2), &record), &rejection(12));
    // Nor after a rejection that came first.
    sign(&signer(1), &rejection(13), &record).unwrap();
    refused(sign(&signer(1), &tx_of(domain(), 13, 1), &record), &rejection(13));
    assert_eq!(entries(&path).len(), 3);
}

#[test]
fn n7_a_signature_by_another_key_is_not_given_out() {
    let (_dir, path) = folder();
    let outcome = sign(&liar(), &tx(1), &SigningRecord::open(&path).unwrap());
    let Err(SignerError::WrongSignature { found, expected }) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!((found, expected), (signer(1).address(), liar().address()));
    // What became of that signature nobody knows, so it counts as made.
    refused(sign(&liar(), &tx(2), &SigningRecord::open(&path).unwrap()), &tx(1));
}

#[test]
fn a_refusal_is_remembered_and_stands_for_an_agreement_until_the_same_is_agreed_to_again() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    let consent = |byte| SafeConsent::new(signer(1).address(), &tx(byte), ConsentBy::Signature);
    record.admit(&[consent(1)], &[]).unwrap();
    record.refuse(&consent(1)).unwrap();
    assert_eq!(entries(&path).len(), 2);
    let Err(SignerError::AlreadySigned(earlier)) = record.check(&[consent(2)], &[]) else {
        panic!("another digest");
    };
    assert!(
        earlier.to_string().contains("whose wallet said that it refused"),
        "{earlier}"
    );
    record.admit(&[consent(1)], &[]).unwrap();
    record.admit(&[consent(1)], &[]).unwrap();
    let by: Vec<ConsentBy> = entries(&path).iter().map(|one| one.by).collect();
    assert_eq!(by, [ConsentBy::Signature, ConsentBy::Refused, ConsentBy::Signature]);
    record.check(&[consent(2)], &[tx(1).hash()]).unwrap();
}

#[test]
fn v26_the_record_is_private_and_so_is_its_folder() {
    let (_dir, path) = folder();
    SigningRecord::open(&path).unwrap();
    let above = path.parent().unwrap();
    assert_eq!((mode(&path), mode(above)), (0o600, 0o700));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).unwrap();
    SigningRecord::open(&path).unwrap();
    assert_eq!((mode(&path), mode(above)), (0o600, 0o700));
}

#[test]
fn d11_a_record_that_is_a_symlink_or_has_two_names_is_not_used() {
    let (dir, path) = folder();
    let elsewhere = dir.path().join("elsewhere");
    put(&elsewhere, b"");
    fsutil::create_private_dir(path.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(matches!(SigningRecord::open(&path), Err(RecordError::Hold(_))));
    std::fs::remove_file(&path).unwrap();
    std::fs::hard_link(&elsewhere, &path).unwrap();
    assert!(matches!(SigningRecord::open(&path), Err(RecordError::Hold(_))));
    assert!(fsutil::read(&elsewhere, 1).unwrap().is_empty());
    // A folder that is a symlink could be anybody's.
    let folder = dir.path().join("linked");
    std::os::unix::fs::symlink(dir.path(), &folder).unwrap();
    assert!(matches!(
        SigningRecord::open(&folder.join("signed")),
        Err(RecordError::Fs(_))
    ));
}

#[test]
fn j1_cut_at_any_byte_the_record_keeps_every_whole_line() {
    let (_dir, path) = folder();
    let whole = three(&path);
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for cut in 0..whole.len() {
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let reading = Reading::of(Path::new("x"), &whole[..cut]).unwrap_or_else(|bad| panic!("{cut}: {bad:?}"));
        assert_eq!(reading.entries.len(), kept, "{cut}");
    }
}

#[test]
fn j1_after_a_cut_the_next_record_takes_the_place_of_the_torn_one() {
    let (_dir, path) = folder();
    let whole = three(&path);
    let middle = whole.len() / 2;
    let end = whole.len() - 1;
    for (cut, kept) in [(0, 0), (1, 0), (middle, 1), (end - 1, 2), (end, 3)] {
        put(&path, &whole[..cut]);
        let record = SigningRecord::open(&path).unwrap();
        for nonce in 12..15 {
            let outcome = sign(&signer(1), &tx_of(domain(), nonce, 2), &record);
            assert_eq!(outcome.is_err(), nonce - 12 < kept, "{cut} {nonce} {outcome:?}");
        }
        // One more, behind the line that only lacked its end.
        sign(&signer(1), &tx_of(domain(), 15, 2), &record).unwrap();
        assert_eq!(entries(&path).len(), 4);
    }
}

#[test]
fn j2_no_changed_bit_is_overlooked() {
    let (_dir, path) = folder();
    let whole = three(&path);
    for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << bit;
        assert!(Reading::of(Path::new("x"), &changed).is_err(), "byte {at}, bit {bit}");
    }
}

#[test]
fn j2_a_damaged_record_is_an_error_that_names_the_line_and_is_left_as_it_is() {
    let (_dir, path) = folder();
    let whole = three(&path);
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    let cases = [
        (lines[1..].concat(), 1),
        ([lines[0], lines[2]].concat(), 2),
        ([lines[0], lines[0]].concat(), 2),
        ([lines[1], lines[0]].concat(), 1),
        ([&whole, &[0; 512][..]].concat(), 4),
        (b"\n".to_vec(), 1),
        (vec![0; 4096], 1),
        (b"\xff\xfe\n".to_vec(), 1),
    ];
    for (bytes, bad) in cases {
        put(&path, &bytes);
        let Err(RecordError::Damaged { line, .. }) = SigningRecord::open(&path) else {
            panic!("{bytes:?}")
        };
        assert_eq!(line, bad);
        let outcome = sign(&signer(1), &tx(1), &SigningRecord { path: path.clone() });
        assert!(matches!(outcome, Err(SignerError::Record(RecordError::Damaged { .. }))));
        assert_eq!(fsutil::read(&path, MAX_BYTES).unwrap(), bytes);
    }
}

#[test]
fn a_record_of_a_newer_version_is_not_guessed_at() {
    let (_dir, path) = folder();
    SigningRecord::open(&path).unwrap();
    let mut entry = serde_json::to_value(SafeConsent::new(APP, &tx(1), ConsentBy::Signature)).unwrap();
    entry["purpose"] = "unknown".into();
    let json = entry.to_string();
    put(&path, format!("{} {json}\n", fsutil::sum(&[GENESIS, &json])).as_bytes());
    let Err(RecordError::Damaged { why, .. }) = SigningRecord::open(&path) else {
        panic!("it was read")
    };
    assert!(why.contains("newer"), "{why}");
}

fn old_domain(chain_id: u64) -> SafeDomain {
    SafeDomain {
        chain_id,
        version: SafeVersion::new(1, 1, 1),
        ..domain()
    }
}

/// Accepted as old versions have to be.
fn old_tx(chain_id: u64, byte: u8) -> SafeTx {
    SafeTx::accept(old_domain(chain_id), tx(byte).fields().clone(), true).unwrap()
}

#[test]
fn sec_h3_d_a_safe_without_chain_in_its_hashes_has_one_digest_on_all_chains() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    sign(&signer(1), &old_tx(1, 1), &record).unwrap();
    refused(sign(&signer(1), &old_tx(8453, 2), &record), &old_tx(1, 1));
    // The very same hash for another chain is the very same signature.
    assert_eq!(old_tx(1, 1).hash(), old_tx(8453, 1).hash());
    sign(&signer(1), &old_tx(8453, 1), &record).unwrap();
    assert_eq!(entries(&path).len(), 1);
    // Nor does it help to say that the Safe is of another version, before or after.
    refused(sign(&signer(1), &tx(2), &record), &old_tx(1, 1));
    sign(&signer(2), &tx(2), &record).unwrap();
    refused(sign(&signer(2), &old_tx(1, 1), &record), &tx(2));
    // What 0.1.0 wrote says nothing of versions, and counts on every chain for such a Safe.
    let (_dir, path) = folder();
    put_first(&path, 1);
    let record = SigningRecord::open(&path).unwrap();
    refused(sign(&signer(1), &old_tx(8453, 2), &record), &tx(1));
}

/// A record as 0.1.0 wrote it: `tx(1)`, by the key of this byte.
fn put_first(path: &Path, byte: u8) {
    let json = format!(
        r#"{{"owner":"{:#x}","chain_id":8453,"safe":"{SAFE:#x}","nonce":"0xc","digest":"{}","rejection":false,"at":"2026-11-01T10:00:00Z"}}"#,
        signer(byte).address(),
        tx(1).hash()
    );
    fsutil::create_private_dir(path.parent().unwrap()).unwrap();
    put(path, format!("{} {json}\n", fsutil::sum(&[GENESIS, &json])).as_bytes());
}

#[test]
fn a_record_of_0_1_0_counts_and_a_plain_signature_is_still_written_like_one() {
    let (_dir, path) = folder();
    put_first(&path, 1);
    let record = SigningRecord::open(&path).unwrap();
    refused(sign(&signer(1), &tx(2), &record), &tx(1));
    sign(&signer(2), &tx(1), &record).unwrap();
    let text = String::from_utf8(fsutil::read(&path, MAX_BYTES).unwrap()).unwrap();
    let keys = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
        value.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(keys(lines[0]), keys(lines[1]));
}

fn consent(owner: u8, tx: &SafeTx, by: ConsentBy) -> SafeConsent {
    SafeConsent::new(signer(owner).address(), tx, by)
}

#[test]
fn sec_h3_an_agreement_in_one_way_is_one_in_every_other() {
    let ways = [
        ConsentBy::Signature,
        ConsentBy::ApproveHash,
        ConsentBy::Execution,
        ConsentBy::Nested(APP),
    ];
    for first in ways {
        for second in ways {
            let (_dir, path) = folder();
            let record = SigningRecord::open(&path).unwrap();
            record.admit(&[consent(1, &tx(1), first)], &[]).unwrap();
            for _ in 0..2 {
                record.admit(&[consent(1, &tx(1), second)], &[]).unwrap();
                let other = consent(1, &tx(2), second);
                let told = [record.check(&[other], &[]), record.admit(&[other], &[])].map(|refused| match refused {
                    Err(error @ SignerError::AlreadySigned(_)) => error.to_string(),
                    other => panic!("{first:?} {second:?} {other:?}"),
                });
                assert_eq!(told[0], told[1]);
                assert!(told[0].contains(&first.to_string()), "{}", told[0]);
            }
            assert_eq!(entries(&path).len(), 1);
            record.admit(&[consent(1, &rejection(12), second)], &[]).unwrap();
            assert!(record.admit(&[consent(1, &tx(1), second)], &[]).is_err());
        }
    }
}

#[test]
fn of_several_agreements_all_are_recorded_or_none() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    record.admit(&[consent(2, &tx(1), ConsentBy::Signature)], &[]).unwrap();
    let before = fsutil::read(&path, MAX_BYTES).unwrap();
    let both = [
        consent(1, &tx(2), ConsentBy::Execution),
        consent(2, &tx(2), ConsentBy::Nested(APP)),
    ];
    assert!(record.admit(&both, &[]).is_err());
    assert_eq!(fsutil::read(&path, MAX_BYTES).unwrap(), before);
    // Also when two of them contradict each other.
    let both = [
        consent(3, &tx(1), ConsentBy::Execution),
        consent(3, &tx(2), ConsentBy::Execution),
    ];
    assert!(record.admit(&both, &[]).is_err());
    assert_eq!(fsutil::read(&path, MAX_BYTES).unwrap(), before);
}

#[test]
fn who_names_the_earlier_digest_may_agree_to_another() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    let signed = |byte: u8, accepted: &[B256]| {
        let signer = signer(1);
        signer
            .sign_safe_tx(&tx(byte), &record, accepted)
            .now_or_never()
            .unwrap()
    };
    signed(1, &[]).unwrap();
    refused(signed(2, &[tx(2).hash(), tx(3).hash()]), &tx(1));
    signed(2, &[tx(1).hash()]).unwrap();
    signed(2, &[]).unwrap();
    refused(signed(3, &[tx(1).hash()]), &tx(2));
    assert_eq!(entries(&path).len(), 2);
}

#[test]
fn j1_cut_within_several_agreements_the_record_keeps_every_whole_line() {
    let (_dir, path) = folder();
    let record = SigningRecord::open(&path).unwrap();
    let both = [
        consent(1, &tx(2), ConsentBy::Execution),
        consent(2, &tx(2), ConsentBy::Nested(APP)),
    ];
    record.admit(&both, &[]).unwrap();
    let whole = fsutil::read(&path, MAX_BYTES).unwrap();
    for cut in 0..whole.len() {
        put(&path, &whole[..cut]);
        record.admit(&both, &[]).unwrap();
        let recorded: Vec<Address> = entries(&path).iter().map(SafeConsent::owner).collect();
        assert_eq!(recorded, [signer(1).address(), signer(2).address()], "{cut}");
    }
}

/// Runs an ignored test of this file as another process, in `dir`.
fn child(name: &str, dir: &Path, more: &[(&str, &str)]) -> Child {
    let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--ignored", "--quiet"])
        .envs(more.iter().copied())
        .current_dir(dir)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Signs a transaction of its own for the same nonce as the others do.
#[test]
#[ignore = "the other process of the tests with several"]
fn other_process() {
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    let record = SigningRecord::open(Path::new("countersign/signed")).unwrap();
    let byte = u8::try_from(std::process::id() % 251).unwrap();
    match sign(&signer(1), &tx(byte), &record) {
        Ok(signature) => put(
            Path::new(&format!("signature-{}", std::process::id())),
            &signature.to_bytes(),
        ),
        Err(SignerError::AlreadySigned(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn m23_of_many_processes_that_sign_different_things_for_a_nonce_one_signs() {
    let (dir, path) = folder();
    let children: Vec<Child> = (0..16).map(|_| child("other_process", dir.path(), &[])).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let names = fsutil::list(dir.path()).unwrap();
    let signatures = names
        .iter()
        .filter(|name| name.to_string_lossy().contains("signature-"));
    assert_eq!(signatures.count(), 1);
    assert_eq!(entries(&path).len(), 1);
}

#[cfg(feature = "failpoints")]
#[test]
fn m23_killed_between_record_and_signature_the_nonce_stays_taken() {
    use std::os::unix::process::ExitStatusExt as _;

    for point in ["safe-sign.b", "safe-sign.d"] {
        let (dir, path) = folder();
        let mut killed = child(
            "other_process",
            dir.path(),
            &[("FAILPOINTS", &format!("{point}=return"))],
        );
        assert_eq!(killed.wait().unwrap().signal(), Some(9), "{point}");
        let recorded = entries(&path);
        assert_eq!(recorded.len(), 1);
        let same = (0..=251).map(tx).find(|tx| tx.hash() == recorded[0].digest).unwrap();
        let record = SigningRecord::open(&path).unwrap();
        refused(sign(&signer(1), &tx(252), &record), &same);
        assert!(sign(&signer(1), &same, &record).is_ok());
    }
}
