//! Rules of keys on a Ledger, against a device that speaks its packets and is otherwise made of software.

use std::collections::{BTreeMap, VecDeque};

use alloy::consensus::transaction::RlpEcdsaDecodableTx as _;
use alloy::eips::eip2930::AccessList;
use alloy::primitives::{B256, TxKind, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;

use super::super::hid::PACKET;
use super::*;
use crate::chain::{Call, TxRequest};
use crate::safe::{Intent, OwnerSignature, SafeDomain, version::SafeVersion};
use crate::signer::{Key, Signer, SigningRecord, Source};

/// What the person and the device do.
#[derive(Clone)]
struct Manner {
    version: [u8; 3],
    /// Status words instead of an answer, by instruction.
    status: BTreeMap<u8, u16>,
    /// Answers instead of the right ones, by instruction.
    answer: BTreeMap<u8, Vec<u8>>,
    /// Signs with another key than the one whose address it gave.
    lies: bool,
    /// Adds this to the parity, as versions of the app did.
    parity: u8,
    silent: bool,
    /// Changes a packet on its way.
    spoil: fn(&mut Vec<[u8; PACKET]>),
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            version: [1, 6, 0],
            status: BTreeMap::new(),
            answer: BTreeMap::new(),
            lies: false,
            parity: 27,
            silent: false,
            spoil: |_| {},
        }
    }
}

/// A device with one seed: each path has a key of its own.
struct Fake {
    manner: Arc<Mutex<Manner>>,
    coming: Vec<u8>,
    missing: usize,
    held: Vec<u8>,
    going: VecDeque<[u8; PACKET]>,
    signed: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn key_of(path: &[u8]) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&keccak256(path)).unwrap()
}

impl Packets for Fake {
    fn send(&mut self, packet: &[u8; PACKET]) -> Result<(), LedgerError> {
        assert_eq!(packet[..3], [1, 1, 5]);
        let number = u16::from_be_bytes([packet[3], packet[4]]);
        let mut rest = &packet[5..];
        if number == 0 {
            self.coming.clear();
            self.missing = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
            rest = &rest[2..];
        }
        let part = rest.len().min(self.missing);
        self.coming.extend(&rest[..part]);
        self.missing -= part;
        if self.missing == 0 {
            let command = std::mem::take(&mut self.coming);
            self.reply(&command);
        }
        Ok(())
    }
    fn receive(&mut self, wait: Duration) -> Result<Option<[u8; PACKET]>, LedgerError> {
        let packet = self.going.pop_front();
        if packet.is_none() {
            std::thread::sleep(wait);
        }
        Ok(packet)
    }
}

impl Fake {
    fn reply(&mut self, command: &[u8]) {
        let manner = self.manner.lock().unwrap().clone();
        if manner.silent {
            return;
        }
        let [0xe0, instruction, place, 0, length, data @ ..] = command else {
            panic!("{command:02x?}")
        };
        assert_eq!(usize::from(*length), data.len());
        let answer = match (manner.status.get(instruction), manner.answer.get(instruction)) {
            (Some(status), _) => status.to_be_bytes().to_vec(),
            (None, Some(answer)) => answer.clone(),
            (None, None) => [self.act(&manner, [*instruction, *place], data), vec![0x90, 0]].concat(),
        };
        let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
        let stream = [&length[..], &answer].concat();
        let mut packets: Vec<[u8; PACKET]> = Vec::new();
        for (number, part) in (0_u16..).zip(stream.chunks(PACKET - 5)) {
            let mut packet = [0xee; PACKET];
            packet[..3].copy_from_slice(&[1, 1, 5]);
            packet[3..5].copy_from_slice(&number.to_be_bytes());
            packet[5..5 + part.len()].copy_from_slice(part);
            packets.push(packet);
        }
        (manner.spoil)(&mut packets);
        self.going.extend(packets);
    }

    fn act(&mut self, manner: &Manner, [instruction, place]: [u8; 2], data: &[u8]) -> Vec<u8> {
        match instruction {
            0x02 => {
                let key = key_of(data);
                let point = key.credential().verifying_key().to_encoded_point(false);
                let text = key.address().to_checksum(None);
                [&[65], point.as_bytes(), &[40], &text.as_bytes()[2..]].concat()
            }
            0x06 => [&[1][..], &manner.version].concat(),
            0x04 => {
                if place == 0 {
                    self.held.clear();
                }
                self.held.extend(data);
                let (path, rest) = split(&self.held);
                // Whole once it decodes; before that, more is waited for.
                let Some((2, mut rlp)) = rest.split_first().map(|(kind, rlp)| (*kind, rlp)) else {
                    panic!("not EIP-1559")
                };
                if TxEip1559::rlp_decode(&mut rlp).is_err() || !rlp.is_empty() {
                    return Vec::new();
                }
                let (path, digest) = (path.to_vec(), keccak256(rest));
                self.sign(manner, &path, digest)
            }
            0x0c => {
                let (path, hashes) = split(data);
                assert_eq!(hashes.len(), 64);
                let digest = keccak256([&[0x19, 0x01], hashes].concat());
                let path = path.to_vec();
                self.sign(manner, &path, digest)
            }
            other => panic!("{other:#x}"),
        }
    }

    fn sign(&mut self, manner: &Manner, path: &[u8], digest: B256) -> Vec<u8> {
        let key = if manner.lies { key_of(b"other") } else { key_of(path) };
        let signature = key.sign_hash_sync(&digest).unwrap();
        let mut bytes = vec![u8::from(signature.v()).wrapping_add(manner.parity)];
        bytes.extend(&signature.as_bytes()[..64]);
        self.signed.lock().unwrap().push(bytes.clone());
        bytes
    }
}

fn split(data: &[u8]) -> (&[u8], &[u8]) {
    data.split_at(1 + 4 * usize::from(data[0]))
}

struct Bench {
    manner: Arc<Mutex<Manner>>,
    signed: Arc<Mutex<Vec<Vec<u8>>>>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(manner: Manner) -> Self {
        Self {
            manner: Arc::new(Mutex::new(manner)),
            signed: Arc::default(),
            dir: tempfile::tempdir().unwrap(),
        }
    }
    fn plug(&self) -> Box<dyn Packets> {
        Box::new(Fake {
            manner: Arc::clone(&self.manner),
            coming: Vec::new(),
            missing: 0,
            held: Vec::new(),
            going: VecDeque::new(),
            signed: Arc::clone(&self.signed),
        })
    }
    async fn open(&self, path: &str) -> Result<Signer, SignerError> {
        let Source::Ledger(path) = path.parse::<Source>().unwrap() else {
            panic!("{path}")
        };
        let ledger = Ledger::connect(self.plug(), &path, Duration::from_millis(300)).await?;
        let (address, key) = (ledger.address(), Key::Ledger(ledger));
        Ok(Signer { address, key })
    }
    fn now(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock().unwrap());
    }
    fn record(&self) -> SigningRecord {
        SigningRecord::open(&self.dir.path().join("signed")).unwrap()
    }
}

fn safe_tx() -> SafeTx {
    let call = Call {
        to: Address::repeat_byte(0x11),
        value: U256::ZERO,
        data: [&[0xdf, 0xc7, 0x72, 0x23][..], &[0xab; 32]].concat().into(),
    };
    let intent = Intent {
        domain: SafeDomain {
            chain_id: 8453,
            safe: Address::repeat_byte(0x22),
            version: SafeVersion::V1_4_1,
        },
        nonce: U256::from(7),
        calls: vec![call],
        batcher: None,
        old_versions: false,
    };
    SafeTx::freeze(&intent).unwrap()
}

fn request(from: Address, bytes: usize) -> TxRequest {
    TxRequest {
        chain_id: 8453,
        from,
        nonce: 7,
        call: Call {
            to: Address::repeat_byte(0x3f),
            value: U256::ZERO,
            data: vec![0xdf; bytes].into(),
        },
        gas_limit: 90_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
    }
}

#[track_caller]
fn why<T: std::fmt::Debug>(outcome: Result<T, SignerError>) -> LedgerError {
    match outcome {
        Err(SignerError::Ledger(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_path_has_its_own_address() {
    let bench = Bench::new(Manner::default());
    let mut seen = Vec::new();
    for path in ["ledger", "ledger:1", "ledger:m/44'/60'/0'/3", "ledger:m/44h/60h/0H"] {
        seen.push(bench.open(path).await.unwrap().address());
    }
    assert_eq!(bench.open("ledger:m/44'/60'/0'/0/0").await.unwrap().address(), seen[0]);
    assert_eq!(
        bench.open("ledger:0").await.unwrap().address(),
        key_of(&hex::decode("058000002c8000003c800000000000000000000000").unwrap()).address()
    );
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn a_safe_transaction_is_signed_by_domain_hash_and_message_hash() {
    let bench = Bench::new(Manner::default());
    let (signer, tx) = (bench.open("ledger").await.unwrap(), safe_tx());
    for parity in [27, 0, 35] {
        bench.now(|manner| manner.parity = parity);
        let signature = signer.sign_safe_tx(&tx, &bench.record(), &[]).await.unwrap();
        assert!(matches!(signature, OwnerSignature::Eip712(_)));
        assert_eq!(signature.signer(tx.hash()).unwrap(), signer.address());
        assert!(matches!(signature.to_bytes().last(), Some(27 | 28)));
    }
}

#[tokio::test]
async fn a_transaction_of_any_length_is_signed_in_parts() {
    let bench = Bench::new(Manner::default());
    let signer = bench.open("ledger").await.unwrap();
    for bytes in [0, 36, 160, 187, 188, 189, 250, 255, 600, 5_000] {
        for parity in [0, 27] {
            bench.now(|manner| manner.parity = parity);
            let wanted = request(signer.address(), bytes);
            assert_eq!(signer.sign_tx(&wanted).await.unwrap().request, wanted, "{bytes}");
        }
    }
}

#[tokio::test]
async fn n7_a_device_that_has_become_another_one_signs_nothing() {
    let bench = Bench::new(Manner::default());
    let (signer, other) = (
        bench.open("ledger").await.unwrap(),
        bench.open("ledger:1").await.unwrap(),
    );
    let point = key_of(b"another seed");
    let point = point.credential().verifying_key().to_encoded_point(false);
    let address = Address::from_raw_public_key(point.as_bytes()[1..].try_into().unwrap());
    let text = hex::encode(address);
    let answer = [&[65], point.as_bytes(), &[40], text.as_bytes(), &[0x90, 0]].concat();
    bench.now(|manner| drop(manner.answer.insert(0x02, answer)));
    for signer in [signer, other] {
        let outcome = signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await;
        let Err(SignerError::OtherKey { found, expected }) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((found, expected), (address, signer.address()));
        let outcome = signer.sign_tx(&request(signer.address(), 36)).await;
        assert!(matches!(outcome, Err(SignerError::OtherKey { .. })), "{outcome:?}");
    }
    assert!(bench.signed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn n7_a_signature_by_another_key_is_not_given_out() {
    let bench = Bench::new(Manner {
        lies: true,
        ..Manner::default()
    });
    let signer = bench.open("ledger").await.unwrap();
    let outcome = signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await;
    assert!(
        matches!(outcome, Err(SignerError::WrongSignature { .. })),
        "{outcome:?}"
    );
    let outcome = signer.sign_tx(&request(signer.address(), 36)).await;
    assert!(
        matches!(outcome, Err(SignerError::WrongSignature { .. })),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn n8_locked_refused_blind_and_other_apps_are_told_apart() {
    use LedgerError::{BlindSigning, Locked, OtherApp, Refused, Status};
    type IsRight = fn(&LedgerError) -> bool;

    let bench = Bench::new(Manner::default());
    let signer = bench.open("ledger").await.unwrap();
    let cases: [(u16, IsRight); 14] = [
        (0x5515, |error| matches!(error, Locked)),
        (0x6804, |error| matches!(error, Locked)),
        (0x6982, |error| matches!(error, Locked)),
        (0x6985, |error| matches!(error, Refused)),
        (0x5501, |error| matches!(error, Refused)),
        (0x6a80, |error| matches!(error, BlindSigning)),
        (0x6511, |error| matches!(error, OtherApp)),
        (0x6d00, |error| matches!(error, OtherApp)),
        (0x6d02, |error| matches!(error, OtherApp)),
        (0x6e00, |error| matches!(error, OtherApp)),
        (0x6e01, |error| matches!(error, OtherApp)),
        (0x6f00, |error| matches!(error, Status(0x6f00))),
        (0x6700, |error| matches!(error, Status(0x6700))),
        (0x0000, |error| matches!(error, Status(0))),
    ];
    for (status, is_right) in cases {
        bench.now(|manner| manner.status = [(0x04, status), (0x0c, status)].into());
        let safe = why(signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await);
        let plain = why(signer.sign_tx(&request(signer.address(), 300)).await);
        assert!(is_right(&safe) && is_right(&plain), "{status:04x}: {safe:?} {plain:?}");
    }
    bench.now(|manner| manner.status = [(0x02, 0x5515)].into());
    assert!(matches!(why(bench.open("ledger").await), Locked));
    bench.now(|manner| manner.status = [(0x02, 0x6a80)].into());
    assert!(matches!(why(bench.open("ledger").await), Status(0x6a80)));
}

#[tokio::test]
async fn n9_an_app_before_1_6_0_is_not_asked_for_typed_data() {
    let bench = Bench::new(Manner::default());
    let signer = bench.open("ledger").await.unwrap();
    for (version, old) in [
        ([1, 5, 9], true),
        ([0, 9, 0], true),
        ([1, 6, 0], false),
        ([2, 0, 0], false),
    ] {
        bench.now(|manner| manner.version = version);
        let outcome = signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await;
        assert_eq!(outcome.is_err(), old, "{outcome:?}");
        if old {
            let [major, minor, patch] = version;
            let found = Some((major, minor, patch));
            assert!(matches!(why(outcome), LedgerError::TooOld { found: said } if said == found));
            assert!(bench.signed.lock().unwrap().is_empty());
        }
    }
    bench.now(|manner| manner.status = [(0x04, 0x6501)].into());
    let outcome = signer.sign_tx(&request(signer.address(), 36)).await;
    assert!(matches!(why(outcome), LedgerError::TooOld { found: None }));
}

#[tokio::test]
async fn n10_a_device_that_says_nothing_is_given_up_and_can_be_asked_again() {
    let bench = Bench::new(Manner::default());
    let signer = bench.open("ledger").await.unwrap();
    bench.now(|manner| manner.silent = true);
    let outcome = signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await;
    assert!(matches!(why(outcome), LedgerError::TimedOut(_)));
    bench.now(|manner| manner.silent = false);
    assert!(signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await.is_ok());
    assert_eq!(PATIENCE, Duration::from_secs(120));
}

#[tokio::test]
async fn n10_an_answer_that_is_none_is_an_error_and_never_an_abort() {
    let bench = Bench::new(Manner::default());
    let signer = bench.open("ledger").await.unwrap();
    let rubbish: [&[u8]; 9] = [
        &[],
        &[0x90],
        &[0x90, 0],
        &[0, 0x90, 0],
        &[0xff, 0x90, 0],
        &[65, 1, 2, 3, 4, 0x90, 0],
        &[0xff; 300],
        &[&[27; 64][..], &[0x90, 0]].concat(),
        &[&[0; 70][..], &[0x90, 0]].concat(),
    ];
    for instruction in [0x02, 0x06, 0x0c] {
        for answer in rubbish {
            bench.now(|manner| manner.answer = [(instruction, answer.to_vec())].into());
            let error = why(signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await);
            let known = matches!(error, LedgerError::Malformed(_) | LedgerError::Status(_));
            assert!(known, "{instruction:#x} {answer:02x?} {error:?}");
        }
    }
    // A signature of zeros has the right length.
    let zeros = [&[0; 65][..], &[0x90, 0]].concat();
    bench.now(|manner| manner.answer = [(0x0c, zeros)].into());
    let outcome = signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await;
    assert!(matches!(outcome, Err(SignerError::NoSignature(_))), "{outcome:?}");
}

#[tokio::test]
async fn n10_an_address_that_is_not_the_one_of_its_key_is_refused() {
    let bench = Bench::new(Manner::default());
    let key = key_of(b"x");
    let point = key.credential().verifying_key().to_encoded_point(false);
    let text = hex::encode(Address::repeat_byte(5));
    let answer = [&[65], point.as_bytes(), &[40], text.as_bytes(), &[0x90, 0]].concat();
    bench.now(|manner| drop(manner.answer.insert(0x02, answer)));
    assert!(matches!(why(bench.open("ledger").await), LedgerError::Malformed(_)));
}

#[tokio::test]
async fn n10_packets_that_are_spoilt_on_their_way_are_no_answer() {
    let bench = Bench::new(Manner::default());
    let signer = bench.open("ledger").await.unwrap();
    let spoilers: [fn(&mut Vec<[u8; PACKET]>); 5] = [
        |packets| packets[0][0] = 2,
        |packets| packets[0][2] = 4,
        |packets| packets[0][4] = 1,
        |packets| packets.swap(0, 1),
        |packets| packets[1][4] = 2,
    ];
    for spoil in spoilers {
        bench.now(|manner| manner.spoil = spoil);
        let error = why(signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await);
        assert!(matches!(error, LedgerError::Malformed(_)), "{error:?}");
        // What is left of that answer is not taken for the next one.
        bench.now(|manner| manner.spoil = |_| {});
        assert!(signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await.is_ok());
    }
    bench.now(|manner| manner.spoil = |packets| packets.truncate(1));
    let error = why(signer.sign_safe_tx(&safe_tx(), &bench.record(), &[]).await);
    assert!(matches!(error, LedgerError::TimedOut(_)), "{error:?}");
}

#[tokio::test]
async fn n8_without_a_device_the_source_says_so() {
    // A machine that has one is not asked.
    if let Err(error) = hid::find() {
        assert!(matches!(error, LedgerError::Absent | LedgerError::Usb(_)), "{error:?}");
    }
}

#[test]
fn what_is_signed_is_the_unsigned_transaction_and_nothing_else() {
    let tx = TxEip1559 {
        chain_id: 1,
        nonce: 0,
        gas_limit: 21_000,
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::ZERO),
        value: U256::ZERO,
        access_list: AccessList::default(),
        input: alloy::primitives::Bytes::new(),
    };
    assert_eq!(keccak256(tx.encoded_for_signing()), tx.signature_hash());
}
