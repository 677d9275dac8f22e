//! Changed files, records and transactions: ten thousand changes of one bit or one field, the same in every run. Each is
//! refused, or has no effect on what would be signed and executed.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, address};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use countersign::chain::Call;
use countersign::safe::builder_file::{self, Batch, Form};
use countersign::safe::service::{Confirmation, NotAccepted, ServiceTx};
use countersign::safe::{
    Intent, OwnerSignature, SafeDomain, SafeTx, SafeTxFields,
    approvals::{Facts, SignatureSet},
    check::check_signatures,
    collect::{SignatureFile, collect, merge},
    recognise::{Recognition, recognise, recognise_batch},
    version::SafeVersion,
};
use countersign::upgrade::model::Proposal;
use serde_json::{Value, json};

use crate::harness::flow::Flow;
use crate::harness::judge::runs;
use crate::support::{SafeOptions, World, WorldOptions};

const APP: Address = address!("1111111111111111111111111111111111111111");
const SAFE: Address = address!("2222222222222222222222222222222222222222");
const CONTRACT: Address = address!("4444444444444444444444444444444444444444");
const LIBRARY: Address = address!("9641d764fc13c8B624c04430C7356C1C7C8102e2");

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(most).unwrap()).unwrap()
    }
    /// Changes one bit.
    pub fn bit(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        bytes[at] ^= 1 << self.below(8);
    }
    fn number(&mut self, number: U256) -> U256 {
        let mut bytes = number.to_be_bytes::<32>();
        self.bit(&mut bytes);
        U256::from_be_bytes(bytes)
    }
    fn address(&mut self, address: Address) -> Address {
        let mut bytes = address.into_array();
        self.bit(&mut bytes);
        bytes.into()
    }
    fn data(&mut self, data: &Bytes) -> Bytes {
        let mut bytes = data.to_vec();
        match self.below(4) {
            0 if !bytes.is_empty() => drop(bytes.pop()),
            1 => bytes.push(0),
            _ if !bytes.is_empty() => self.bit(&mut bytes),
            _ => bytes.push(1),
        }
        bytes.into()
    }
    /// Changes one of the ten fields, once or in one bit.
    fn fields(&mut self, fields: &SafeTxFields) -> SafeTxFields {
        let mut changed = fields.clone();
        match self.below(12) {
            0 => changed.to = self.address(fields.to),
            1 => changed.value = self.number(fields.value),
            2..=4 => changed.data = self.data(&fields.data),
            5 => changed.operation = (1 - u8::from(fields.operation)).try_into().unwrap(),
            6 => changed.safe_tx_gas = self.number(fields.safe_tx_gas),
            7 => changed.base_gas = self.number(fields.base_gas),
            8 => changed.gas_price = self.number(fields.gas_price),
            9 => changed.gas_token = self.address(fields.gas_token),
            10 => changed.refund_receiver = self.address(fields.refund_receiver),
            _ => changed.nonce = self.number(fields.nonce),
        }
        changed
    }
}

fn domain() -> SafeDomain {
    SafeDomain {
        chain_id: 8453,
        safe: SAFE,
        version: SafeVersion::V1_4_1,
    }
}

fn call(selector: [u8; 4], byte: u8) -> Call {
    Call {
        to: APP,
        value: U256::ZERO,
        data: [&selector[..], &[byte; 32]].concat().into(),
    }
}

/// `addComposeHash` and `addDevice`.
fn calls(count: usize) -> Vec<Call> {
    let all = [
        call([0xdf, 0xc7, 0x72, 0x23], 0xab),
        call([0x2a, 0x81, 0x97, 0x28], 0xcd),
    ];
    all.into_iter().take(count).collect()
}

fn tx(count: usize) -> SafeTx {
    SafeTx::freeze(&Intent {
        domain: domain(),
        nonce: U256::from(7),
        calls: calls(count),
        batcher: Some(LIBRARY),
        old_versions: false,
    })
    .unwrap()
}

fn key(number: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_slice(&[number; 32]).unwrap()
}

fn signed(number: u8, tx: &SafeTx) -> OwnerSignature {
    OwnerSignature::Eip712(key(number).sign_hash_sync(&tx.hash()).unwrap())
}

fn contract_signature() -> OwnerSignature {
    OwnerSignature::Contract {
        owner: CONTRACT,
        data: vec![0x5a; 70].into(),
    }
}

/// What the chain says: two keys and a contract own the Safe, and the contract took its one signature.
fn facts() -> Facts {
    Facts {
        owners: [key(1).address(), key(2).address(), CONTRACT].into(),
        threshold: 1,
        confirmed: [(CONTRACT, vec![0x5a; 70].into())].into(),
        ..Facts::default()
    }
}

/// What an executor would send with what a file brought; `None` where nothing counts.
fn executable(file: &[u8], tx: &SafeTx) -> Option<BTreeSet<Address>> {
    let mut set = SignatureSet::new(tx);
    let offers = collect(file).ok()?.offers;
    merge(&mut set, tx, offers, &facts().owners);
    let counted = set.standing(&facts()).counted;
    if counted.is_empty() {
        return None;
    }
    let threshold = u64::try_from(counted.len()).unwrap();
    let facts = Facts { threshold, ..facts() };
    let packed = set.pack(&facts).unwrap();
    assert_eq!(
        check_signatures(&packed.bytes, tx.hash(), &facts),
        Ok(packed.owners.clone())
    );
    Some(packed.owners.into_iter().collect())
}

#[test]
fn v8_v10_three_thousand_changed_transactions_are_refused_or_have_another_hash() {
    let mut dice = Dice(1);
    let (mut refused, mut other) = (0, 0);
    for round in 0..3_000 {
        let count = 1 + round % 2;
        let own = tx(count);
        let changed = dice.fields(own.fields());
        assert_ne!(&changed, own.fields());
        assert_ne!(changed.hash(&domain()), own.hash(), "{changed:?}");
        let only_the_nonce = SafeTxFields {
            nonce: own.fields().nonce,
            ..changed.clone()
        };
        let content_is_ours = only_the_nonce == *own.fields();
        // A batch through another known library makes the same calls.
        let same = recognise(&changed, &domain(), &calls(count)) == Recognition::Same;
        assert_eq!(same, content_is_ours, "{changed:?}");
        match SafeTx::accept(domain(), changed, false) {
            Ok(tx) => {
                assert_ne!(tx.hash(), own.hash());
                assert_eq!(tx.expect_calls(&calls(count)).is_ok(), content_is_ours);
                other += 1;
            }
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1_000 && other > 500, "{refused} {other}");
}

#[test]
fn m11_m26_every_change_of_the_domain_that_a_safe_tells_apart_changes_the_hash() {
    let mut dice = Dice(2);
    let own = tx(1);
    for round in 0..500 {
        let mut changed = domain();
        match round % 3 {
            0 => changed.chain_id ^= 1 << dice.below(64),
            1 => changed.safe = dice.address(SAFE),
            _ => {
                let versions = [SafeVersion::new(0, 1, 0), SafeVersion::new(1, 2, 0)];
                changed.version = versions[dice.below(2)];
            }
        }
        assert_ne!(own.fields().hash(&changed), own.hash(), "{changed:?}");
    }
    for same in [SafeVersion::V1_3_0, SafeVersion::V1_5_0] {
        let domain = SafeDomain {
            version: same,
            ..domain()
        };
        assert_eq!(own.fields().hash(&domain), own.hash());
    }
}

#[test]
fn v9_two_and_a_half_thousand_changed_batches_are_refused_or_make_other_calls() {
    let mut dice = Dice(3);
    let own = tx(2);
    let mut refused = 0;
    for _ in 0..2_500 {
        let mut data = own.fields().data.to_vec();
        dice.bit(&mut data);
        let fields = SafeTxFields {
            data: data.into(),
            ..own.fields().clone()
        };
        assert_ne!(recognise(&fields, &domain(), &calls(2)), Recognition::Same);
        match SafeTx::accept(domain(), fields, false) {
            Ok(tx) => assert!(tx.expect_calls(&calls(2)).is_err()),
            Err(_) => refused += 1,
        }
    }
    // Lengths, offsets, padding, operations and ether; the rest are other targets and other arguments.
    assert!(refused > 1_250 && refused < 2_500, "{refused}");
}

fn batch() -> Batch {
    Batch {
        chain_id: 8453,
        safe: Some(SAFE),
        name: "upgrade".to_owned(),
        description: "allow a new compose hash".to_owned(),
        created_at: Some(jiff::Timestamp::from_second(1_767_225_600).unwrap()),
        calls: calls(2),
    }
}

#[test]
fn pitfall_62_two_thousand_changed_builder_files_are_refused_or_say_the_same() {
    let mut dice = Dice(4);
    let mut read = 0;
    for round in 0..2_000 {
        let form = if round % 2 == 0 { Form::Method } else { Form::Raw };
        let mut file = builder_file::export(&batch(), form).unwrap().into_bytes();
        dice.bit(&mut file);
        let Ok(found) = builder_file::import(&file).map(|read| read.batch) else {
            continue;
        };
        // The checksum leaves the name out; bytes in hexadecimal and white space can be written in two ways.
        let unnamed = Batch {
            name: batch().name,
            ..found.clone()
        };
        assert_eq!(recognise_batch(&found, &domain(), &calls(2)), Recognition::Same);
        assert_eq!(unnamed, batch());
        read += 1;
    }
    assert!(read > 0 && read < 400, "{read}");
}

/// The checksum, right again: what somebody would do who changes a file on purpose.
fn sealed(mut file: Value) -> Vec<u8> {
    file["meta"].as_object_mut().unwrap().remove("checksum");
    file.to_string().into_bytes()
}

#[test]
fn pitfall_61_five_hundred_builder_files_with_a_changed_call_chain_or_safe_are_not_recognised() {
    let mut dice = Dice(5);
    for round in 0..500 {
        let text = builder_file::export(&batch(), Form::Raw).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        let entry = dice.below(2);
        match round % 6 {
            0 => file["chainId"] = (8453u64 ^ (1 << dice.below(32))).to_string().into(),
            1 => file["meta"]["createdFromSafeAddress"] = json!(dice.address(SAFE)),
            2 => file["transactions"][entry]["to"] = json!(dice.address(APP)),
            3 => file["transactions"][entry]["value"] = dice.number(U256::ZERO).to_string().into(),
            4 => {
                let data = &calls(2)[entry].data;
                file["transactions"][entry]["data"] = json!(dice.data(data));
            }
            _ => {
                let list = file["transactions"].as_array_mut().unwrap();
                match dice.below(3) {
                    0 => drop(list.remove(entry)),
                    1 => list.swap(0, 1),
                    _ => list.push(list[entry].clone()),
                }
            }
        }
        let found = builder_file::import(&sealed(file)).unwrap().batch;
        assert_ne!(
            recognise_batch(&found, &domain(), &calls(2)),
            Recognition::Same,
            "{found:?}"
        );
    }
}

#[test]
fn i12_i13_v15_five_hundred_changed_signature_files_add_nothing_that_was_not_signed() {
    let mut dice = Dice(6);
    let tx = tx(1);
    let own = [(key(1).address(), signed(1, &tx)), (CONTRACT, contract_signature())];
    let (mut empty, mut same) = (0, 0);
    for round in 0..500 {
        let (owner, signature) = &own[round % 2];
        let mut file = SignatureFile::new(&tx, *owner, signature).to_json().into_bytes();
        dice.bit(&mut file);
        match executable(&file, &tx) {
            None => empty += 1,
            Some(owners) => {
                assert_eq!(owners, [*owner].into());
                same += 1;
            }
        }
    }
    // Only white space and the case of digits can change without effect.
    assert!(empty > 300 && same > 0, "{empty} {same}");
}

fn service(tx: &SafeTx) -> Value {
    let fields = tx.fields();
    let confirmation = |owner: Address, signature: OwnerSignature| {
        json!({
            "owner": owner.to_checksum(None),
            "submissionDate": "2026-11-21T10:00:00Z",
            "transactionHash": null,
            "signature": signature.to_bytes(),
            "signatureType": "EOA",
        })
    };
    json!({
        "safe": SAFE.to_checksum(None),
        "to": fields.to.to_checksum(None),
        "value": "0",
        "data": fields.data,
        "operation": u8::from(fields.operation),
        "gasToken": Address::ZERO,
        "safeTxGas": "0",
        "baseGas": "0",
        "gasPrice": "0",
        "refundReceiver": Address::ZERO,
        "nonce": "7",
        "safeTxHash": tx.hash(),
        "confirmations": [
            confirmation(key(1).address(), signed(1, tx)),
            confirmation(key(2).address(), signed(2, tx)),
            confirmation(CONTRACT, contract_signature()),
        ],
    })
}

#[test]
fn m21_three_hundred_changed_service_records_add_nothing_that_was_not_signed() {
    let mut dice = Dice(7);
    let tx = tx(2);
    let honest = service(&tx).to_string();
    let all = facts().owners;
    assert_eq!(executable(honest.as_bytes(), &tx), Some(all.clone()));
    let (mut none, mut some) = (0, 0);
    for _ in 0..300 {
        let mut record = honest.clone().into_bytes();
        dice.bit(&mut record);
        match executable(&record, &tx) {
            None => none += 1,
            Some(owners) => {
                assert!(owners.is_subset(&all));
                some += 1;
            }
        }
    }
    assert!(none > 150 && some > 3, "{none} {some}");
}

#[test]
fn m21_one_thousand_changed_service_transactions_are_not_accepted() {
    let mut dice = Dice(8);
    for round in 0..1_000 {
        let own = tx(1 + round % 2);
        let honest = ServiceTx {
            safe: SAFE,
            fields: own.fields().clone(),
            claimed_hash: own.hash(),
            proposer: None,
            delegate: None,
            trusted: true,
            executed: false,
            transaction_hash: None,
            confirmations: vec![Confirmation {
                owner: key(1).address(),
                signature: Some(signed(1, &own).to_bytes()),
            }],
            agreed: None,
            origin: None,
        };
        assert_eq!(honest.accept(domain()).unwrap(), own);
        let mut changed = honest.clone();
        match round % 4 {
            0 => changed.safe = dice.address(SAFE),
            1 => {
                let mut hash = own.hash().0;
                dice.bit(&mut hash);
                changed.claimed_hash = B256::from(hash);
            }
            2 => changed.fields = dice.fields(own.fields()),
            // With the hash that belongs to it: another transaction, not ours.
            _ => {
                changed.fields = dice.fields(own.fields());
                changed.claimed_hash = changed.fields.hash(&domain());
                match changed.accept(domain()) {
                    Ok(other) => assert_ne!(other.hash(), own.hash()),
                    Err(error) => assert!(matches!(error, NotAccepted::Rules(_)), "{error}"),
                }
                // Nobody who signed ours has signed it.
                assert_eq!(changed.confirmed().next(), None);
                continue;
            }
        }
        let error = changed.accept(domain()).unwrap_err();
        assert!(
            matches!(error, NotAccepted::OtherSafe { .. } | NotAccepted::OtherHash { .. }),
            "{error}"
        );
    }
}

#[test]
fn v16_ten_thousand_changed_proposals_are_refused_or_ask_for_the_same_signature() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let path = flow.dir.join("proposal.json");
    let sign = ["sign", path.to_str().unwrap(), "--signer", "env:SIGNER_0", "--yes"];
    assert!(flow.command(&sign).output().unwrap().status.success());
    let honest = std::fs::read(&path).unwrap();
    let asked = |path: &std::path::Path| {
        let proposal = Proposal::read(path).ok()?;
        let ceremony = proposal.ceremony().unwrap().unwrap();
        let owners: Vec<Address> = ceremony.approval.signatures.by_owner().keys().copied().collect();
        Some((ceremony.approval.tx, ceremony.rejection.tx, owners))
    };
    let own = asked(&path).unwrap();
    assert_eq!(own.2.len(), 1);

    let mut dice = Dice(9);
    let file = flow.dir.join("changed.json");
    let mut read = 0;
    let changes = runs(2_000, 10_000);
    for _ in 0..changes {
        let mut changed = honest.clone();
        dice.bit(&mut changed);
        std::fs::write(&file, &changed).unwrap();
        if let Some(found) = asked(&file) {
            assert_eq!(found, own, "{}", String::from_utf8_lossy(&changed));
            read += 1;
        }
    }
    // Names and times may change; what is signed and who signed it may not.
    assert!(read < changes / 2, "{read}");
}

#[test]
fn v16_one_thousand_changed_proposals_of_policy_are_refused_or_ask_for_the_same_call() {
    for (world, path) in crate::upgrade::policy::proposals() {
        let honest = std::fs::read(&path).unwrap();
        let asked = |path: &std::path::Path| {
            let proposal = Proposal::read(path).ok()?;
            let signed = proposal.ceremony().unwrap().map(|ceremony| {
                let owners: Vec<Address> = ceremony.approval.signatures.by_owner().keys().copied().collect();
                (ceremony.approval.tx, owners)
            });
            let plan = &proposal.plan;
            let actor = (plan.actor.address, plan.chain_id, plan.app);
            Some((proposal.changes(), proposal.calls.clone(), actor, signed))
        };
        let own = asked(&path).unwrap();
        let mut dice = Dice(10);
        let file = world.folder().join("changed.json");
        let mut read = 0;
        for _ in 0..1_000 {
            let mut changed = honest.clone();
            dice.bit(&mut changed);
            std::fs::write(&file, &changed).unwrap();
            if let Some(found) = asked(&file) {
                // Another chain is another domain for a Safe; a key's transaction is made for the chain that is asked.
                let same_chain = found.2.1 == own.2.1;
                assert!(
                    found == own || (!same_chain && own.3.is_none()),
                    "{}",
                    String::from_utf8_lossy(&changed)
                );
                read += 1;
            }
        }
        assert!(read < 500, "{read}");
    }
}
