//! What a witness shows, and that nothing that was changed in it shows anything.

use std::collections::BTreeMap;

use alloy::consensus::{Header, SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256, address, b256, keccak256};
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::super::storage::numbered;
use super::super::trie::{ordered, tests::made};
use super::wire::{WireReceipt, transaction_bytes};
use super::*;

const APP: Address = Address::repeat_byte(0xaa);
const BARE: Address = Address::repeat_byte(0xbb);
const NOBODY: Address = Address::repeat_byte(0xcc);
const CODE: B256 = B256::repeat_byte(0xc0);

fn key() -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap()
}

fn ours() -> Vec<u8> {
    let tx = TxEip1559 {
        chain_id: 8453,
        nonce: 3,
        gas_limit: 90_000,
        to: TxKind::Call(APP),
        value: U256::from(5),
        input: vec![0xdf; 36].into(),
        ..TxEip1559::default()
    };
    let signature = key().sign_hash_sync(&tx.signature_hash()).unwrap();
    TxEnvelope::Eip1559(tx.into_signed(signature)).encoded_2718()
}

/// A deposit as a node of Base gives it, from somebody.
fn deposit(from: Address) -> serde_json::Value {
    json!({
        "type": "0x7e", "sourceHash": B256::repeat_byte(0x50), "from": from, "to": APP, "mint": "0x1", "value": "0x2",
        "gas": "0xf4240", "isSystemTx": false, "input": "0x015d8eb9", "nonce": "0x1", "depositReceiptVersion": "0x1",
        "v": "0x0", "r": "0x0", "s": "0x0", "gasPrice": "0x0",
    })
}

fn wire_receipt(kind: &str, succeeded: bool, logs: &[Log]) -> serde_json::Value {
    json!({
        "type": kind, "status": if succeeded { "0x1" } else { "0x0" }, "cumulativeGasUsed": "0x5208", "logs": logs,
        "logsBloom": alloy::primitives::logs_bloom(logs), "transactionHash": B256::ZERO,
    })
}

fn receipt_bytes(receipt: serde_json::Value) -> Vec<u8> {
    serde_json::from_value::<WireReceipt>(receipt).unwrap().bytes().unwrap()
}

fn log(byte: u8) -> Log {
    Log::new_unchecked(APP, vec![B256::repeat_byte(byte)], vec![byte; 32].into())
}

/// A block with a deposit, our transaction at index 1, and a failed one, after which the app holds 5 in slot 1 and much in
/// slot 2; and what is taken of it.
fn block() -> (B256, BlockWitness) {
    let raw = to_raw_value(&deposit(BARE)).unwrap();
    let transactions = [transaction_bytes(&raw).unwrap(), ours(), ours()];
    let receipts = [
        receipt_bytes(wire_receipt("0x7e", true, &[])),
        receipt_bytes(wire_receipt("0x2", true, &[log(1), log(2)])),
        receipt_bytes(wire_receipt("0x2", false, &[])),
    ];
    let (transactions_root, transaction_nodes) = ordered(&transactions, 1);
    let (receipts_root, receipt_nodes) = ordered(&receipts, 1);
    let slots = [1, 2, 9].map(numbered);
    let others = (100..140).map(|slot| (numbered(slot), U256::ONE));
    let held = others.chain([(numbered(1), U256::from(5)), (numbered(2), U256::MAX)]);
    let leaves = held.map(|(slot, value)| (keccak256(slot), alloy::rlp::encode(value)));
    let (storage_root, slot_nodes) = made(&leaves.collect(), &slots.map(keccak256));
    let account = |root, code| alloy::rlp::encode(TrieAccount::new(1, U256::from(7), root, code));
    let nothing = account(EMPTY_ROOT_HASH, KECCAK_EMPTY);
    let others = (0..40u8).map(|other| (keccak256([other]), nothing.clone()));
    let named = [
        (keccak256(APP), account(storage_root, CODE)),
        (keccak256(BARE), nothing.clone()),
    ];
    let accounts: BTreeMap<B256, Vec<u8>> = others.chain(named).collect();
    let (state_root, account_nodes) = made(&accounts, &[APP, BARE, NOBODY].map(keccak256));
    let header = Header {
        number: 77,
        timestamp: 1_790_000_000,
        state_root,
        transactions_root,
        receipts_root,
        ..Header::default()
    };
    let header: Bytes = alloy::rlp::encode(header).into();
    let contract = |contract, slots: &[B256]| ContractSlots {
        contract,
        slots: slots.to_vec(),
    };
    let lists = slot_nodes
        .into_iter()
        .chain(account_nodes)
        .chain([transaction_nodes, receipt_nodes]);
    let all = BlockWitness {
        transaction: Some(1),
        receipt: Some(1),
        contracts: vec![
            contract(APP, &slots),
            contract(BARE, &[numbered(1)]),
            contract(NOBODY, &[numbered(1)]),
        ],
        nodes: lists.flatten().collect(),
        header,
    };
    let hash = keccak256(&all.header);
    let (_, nodes) = all.walk(hash).unwrap();
    (hash, BlockWitness { nodes, ..all })
}

#[test]
fn a_witness_shows_transaction_receipt_and_slots_to_whoever_knows_the_blocks_hash() {
    let (hash, witness) = block();
    let written = serde_json::to_string(&witness).unwrap();
    let witness: BlockWitness = serde_json::from_str(&written).unwrap();
    let shown = witness.check(hash).unwrap();
    assert_eq!((shown.fault(), shown.unused), (None, 0));
    assert_eq!(
        (shown.block.number, shown.block.hash, shown.block.timestamp),
        (77, hash, 1_790_000_000)
    );
    let transaction = shown.transaction.unwrap().unwrap();
    assert_eq!((transaction.index, transaction.hash), (1, keccak256(ours())));
    assert_eq!((transaction.sender, transaction.to), (key().address(), Some(APP)));
    assert_eq!(
        (transaction.value, transaction.input),
        (U256::from(5), vec![0xdf; 36].into())
    );
    let receipt = shown.receipt.unwrap().unwrap();
    assert_eq!(
        (receipt.index, receipt.succeeded, receipt.logs),
        (1, true, vec![log(1), log(2)])
    );
    let app = shown.contracts[&APP].as_ref().unwrap();
    assert_eq!(app.code_hash, Some(CODE));
    let expected = [(1, U256::from(5)), (2, U256::MAX), (9, U256::ZERO)];
    assert_eq!(
        app.slots,
        expected.map(|(slot, value)| (numbered(slot), Ok(value))).into()
    );
    let nothing: BTreeMap<_, _> = [(numbered(1), Ok(U256::ZERO))].into();
    for (contract, code) in [(BARE, Some(KECCAK_EMPTY)), (NOBODY, None)] {
        let shown = shown.contracts[&contract].as_ref().unwrap();
        assert_eq!((shown.code_hash, &shown.slots), (code, &nothing));
    }
}

#[test]
fn a_byte_that_was_changed_anywhere_is_noticed() {
    let (hash, witness) = block();
    for place in 0..witness.header.len() {
        let mut changed = witness.clone();
        changed.header = flipped(&changed.header, place);
        assert!(matches!(changed.check(hash), Err(Fault::OtherBlock { .. })), "{place}");
        // A stranger's file may name the hash that fits; it must not bring the reader down.
        drop(changed.check(keccak256(&changed.header)));
    }
    for node in 0..witness.nodes.len() {
        for place in 0..witness.nodes[node].len() {
            let mut changed = witness.clone();
            changed.nodes[node] = flipped(&changed.nodes[node], place);
            let shown = changed.check(hash).unwrap();
            assert!(shown.fault().is_some() && shown.unused > 0, "{node} {place}");
        }
        let mut fewer = witness.clone();
        fewer.nodes.remove(node);
        assert!(fewer.check(hash).unwrap().fault().is_some(), "{node}");
    }
}

fn flipped(bytes: &Bytes, place: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[place] ^= 1 << (place % 8);
    bytes.into()
}

#[test]
fn what_is_wrong_stands_with_the_part_that_it_is_about() {
    let (hash, witness) = block();
    type Edit = fn(&mut BlockWitness);
    let edits: [(Edit, Fault); 4] = [
        (
            |witness| witness.transaction = Some(0),
            Fault::NotLedTo(Part::Transaction),
        ),
        (
            |witness| witness.transaction = Some(3),
            Fault::NotThere(Part::Transaction),
        ),
        (|witness| witness.receipt = Some(2), Fault::Apart),
        (
            |witness| {
                witness.transaction = None;
                witness.receipt = Some(0);
            },
            Fault::NotLedTo(Part::Receipt),
        ),
    ];
    for (index, (edit, expected)) in edits.into_iter().enumerate() {
        let mut changed = witness.clone();
        edit(&mut changed);
        assert_eq!(changed.check(hash).unwrap().fault(), Some(expected), "{index}");
    }
    let mut other = witness.clone();
    let header = Header {
        state_root: B256::repeat_byte(1),
        ..Header::default()
    };
    other.header = alloy::rlp::encode(header).into();
    let found = keccak256(&other.header);
    assert_eq!(other.check(hash), Err(Fault::OtherBlock { expected: hash, found }));
    let elsewhere = other.check(found).unwrap();
    let nothing = Fault::NotThere(Part::Transaction);
    assert_eq!(elsewhere.transaction, Some(Err(nothing)));
    assert_eq!(elsewhere.contracts[&APP], Err(Fault::NotLedTo(Part::Contract(APP))));
}

#[test]
fn what_the_nodes_were_not_taken_for_is_not_led_to_or_truly_absent() {
    let (hash, witness) = block();
    let (mut contracts, mut slots) = (0, 0);
    for byte in (0..=255).filter(|byte| ![0xaa, 0xbb].contains(byte)) {
        let contract = Address::repeat_byte(byte);
        let mut changed = witness.clone();
        changed.contracts[0].contract = contract;
        match &changed.check(hash).unwrap().contracts[&contract] {
            Ok(shown) => assert_eq!(shown.code_hash, None, "{byte}"),
            Err(fault) => {
                assert_eq!(*fault, Fault::NotLedTo(Part::Contract(contract)));
                contracts += 1;
            }
        }
        let slot = B256::repeat_byte(byte);
        let mut changed = witness.clone();
        changed.contracts[0].slots[0] = slot;
        match changed.check(hash).unwrap().contracts[&APP].as_ref().unwrap().slots[&slot] {
            Ok(value) => assert_eq!(value, U256::ZERO, "{byte}"),
            Err(fault) => {
                assert_eq!(fault, Fault::Slot(slot));
                slots += 1;
            }
        }
    }
    assert!(contracts > 100 && slots > 100, "{contracts} {slots}");
}

#[test]
fn what_names_more_than_anybody_asks_for_is_not_looked_at() {
    let (hash, witness) = block();
    let mut slots = witness.clone();
    slots.contracts[0].slots = (1..=MOST_SLOTS).map(|slot| B256::from(U256::from(slot))).collect();
    assert_eq!(slots.check(hash), Err(Fault::TooMany));
    let mut contracts = witness;
    let twice = vec![contracts.contracts[0].clone(); MOST_CONTRACTS + 1];
    contracts.contracts.extend(twice);
    assert_eq!(contracts.check(hash).unwrap().fault(), None);
    let more = (0..30).map(|byte| ContractSlots {
        contract: Address::repeat_byte(byte),
        slots: Vec::new(),
    });
    contracts.contracts.extend(more);
    assert_eq!(contracts.check(hash), Err(Fault::TooMany));
}

#[test]
fn a_member_that_is_not_known_is_refused() {
    let (_, witness) = block();
    for place in ["", "/contracts/0"] {
        let mut written = serde_json::to_value(&witness).unwrap();
        written.pointer_mut(place).unwrap()["more"] = json!(1);
        assert!(serde_json::from_value::<BlockWitness>(written).is_err(), "{place}");
    }
    assert!(serde_json::from_value::<Witness>(json!({"missing": [], "more": 1})).is_err());
}

/// Block 274 of an OP Stack chain on Sepolia, as its node gave it: the header's fields and the one transaction that was in
/// it. Its receipt is the one whose fields the block itself gives: gas used, the deposit's nonce, Canyon's version.
#[test]
fn the_roots_of_a_real_op_stack_block_come_out() {
    let empty_bloom = alloy::primitives::Bloom::ZERO;
    let header: Header = serde_json::from_value(json!({
        "baseFeePerGas": "0x1418f329", "difficulty": "0x0", "extraData": "0x", "gasLimit": "0x1c9c380", "gasUsed": "0xb76d",
        "logsBloom": empty_bloom, "miner": "0x4200000000000000000000000000000000000011",
        "mixHash": "0x8bc8a48326d9309959f2452206c1c842be9fcc9840c789845caab9d290a9700c", "nonce": "0x0000000000000000",
        "number": "0x112", "parentHash": "0xcfbc479d5f63476538db9ff15295167a6e91ecc9d6cf54be471eded689c251c9",
        "receiptsRoot": "0x8c303881b3e408cc739f55ef3e5133075d552cbec9ee987aff6b71f58cf291ee",
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "stateRoot": "0x86be45fb7a22b8c12cbce8d538372b800377cc589de590b6d88f5f65dde97df8", "timestamp": "0x65da607b",
        "transactionsRoot": "0xb01a2ad2c1ceb76f2edcdc02f2e0453c52e24c421fb04132cdfc0da5b70a593e",
        "withdrawalsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
    }))
    .unwrap();
    let hash = b256!("fc70e073ec6e1bb7f387698e4be418d7b1ff2216f625cdf41e1b80fb08029ef5");
    let input = concat!(
        "0x015d8eb9",
        "0000000000000000000000000000000000000000000000000000000001267f33",
        "0000000000000000000000000000000000000000000000000000000065da6073",
        "000000000000000000000000000000000000000000000000000000075d3f8610",
        "97c24796a4f639846a6a3ea3a59c11de8d89e11f551bae8feca9271a78926d42",
        "0000000000000000000000000000000000000000000000000000000000000004",
        "000000000000000000000000415c8893d514f9bc5211d36eeda4183226b84aa7",
        "00000000000000000000000000000000000000000000000000000000000000bc",
        "00000000000000000000000000000000000000000000000000000000000a6fe0",
    );
    let sender = address!("deaddeaddeaddeaddeaddeaddeaddeaddead0001");
    let transaction = to_raw_value(&json!({
        "blockHash": hash, "blockNumber": "0x112", "from": sender, "gas": "0xf4240", "gasPrice": "0x0", "input": input,
        "nonce": "0x111", "to": "0x4200000000000000000000000000000000000015", "transactionIndex": "0x0", "value": "0x0",
        "type": "0x7e", "v": "0x0", "r": "0x0", "s": "0x0", "mint": "0x0", "depositReceiptVersion": "0x1",
        "sourceHash": "0x5a1b66228a26547e2ce6fe1aa734d2c34e062e42ccd5710463e6987890f1ad5d",
    }))
    .unwrap();
    let mut receipt = wire_receipt("0x7e", true, &[]);
    receipt["cumulativeGasUsed"] = json!("0xb76d");
    receipt["depositNonce"] = json!("0x111");
    receipt["depositReceiptVersion"] = json!("0x1");
    let (_, mut nodes) = ordered(&[transaction_bytes(&transaction).unwrap()], 0);
    nodes.extend(ordered(&[receipt_bytes(receipt)], 0).1);
    let witness = BlockWitness {
        header: alloy::rlp::encode(&header).into(),
        transaction: Some(0),
        receipt: Some(0),
        contracts: Vec::new(),
        nodes,
    };
    let shown = witness.check(hash).unwrap();
    let transaction = shown.transaction.unwrap().unwrap();
    let id = b256!("13a644af4f64ce801dcd57faa823e8952f2290b810fdd31995dda62977ed3df1");
    assert_eq!((transaction.hash, transaction.sender), (id, sender));
    let receipt = shown.receipt.unwrap().unwrap();
    assert!(receipt.succeeded && receipt.logs.is_empty());
}

#[test]
fn a_deposit_shows_its_sender_though_nobody_signed_it() {
    let raw = to_raw_value(&deposit(BARE)).unwrap();
    let bytes = transaction_bytes(&raw).unwrap();
    let shown = super::wire::read_transaction(4, &bytes).unwrap();
    assert_eq!((shown.sender, shown.to, shown.value), (BARE, Some(APP), U256::from(2)));
    let mut creates = deposit(BARE);
    creates["to"] = json!(null);
    creates["mint"] = json!(null);
    let bytes = transaction_bytes(&to_raw_value(&creates).unwrap()).unwrap();
    assert_eq!(super::wire::read_transaction(4, &bytes).unwrap().to, None);
}

#[test]
fn before_it_had_a_version_a_deposits_nonce_was_not_in_the_trie() {
    let plain = receipt_bytes(wire_receipt("0x7e", true, &[]));
    let mut regolith = wire_receipt("0x7e", true, &[]);
    regolith["depositNonce"] = json!("0x5");
    assert_eq!(receipt_bytes(regolith.clone()), plain);
    regolith["depositReceiptVersion"] = json!("0x1");
    assert_ne!(receipt_bytes(regolith), plain);
}

#[test]
fn what_is_of_an_unknown_type_is_not_read() {
    assert_eq!(super::wire::read_receipt(0, &[]), None);
    assert_eq!(super::wire::read_transaction(0, &[]), None);
    let mut receipt = receipt_bytes(wire_receipt("0x2", true, &[log(1)]));
    assert!(super::wire::read_receipt(0, &receipt).is_some());
    receipt[0] = 0x55;
    assert_eq!(super::wire::read_receipt(0, &receipt), None);
    let mut transaction = ours();
    transaction.push(0);
    assert_eq!(super::wire::read_transaction(0, &transaction), None);
    let unknown = to_raw_value(&json!({"type": "0x55", "from": APP})).unwrap();
    assert_eq!(transaction_bytes(&unknown), None);
}
