//! Files that go out to other tools and come back from them, with the tools and contracts that they are for.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolValue;
use countersign::chain::Call;
use countersign::safe::{
    Intent, SafeDomain, SafeTx,
    approvals::{Facts, Inserted, Packed, SignatureSet},
    collect::{Offer, SignatureFile, collect, merge},
    export::{Format, Label, export},
    nested::approval,
    recognise::{Announced, Recognition, recognise},
};
use serde_json::{Value, json};

use crate::support::safes::{RELEASES, Release, abi};
use crate::support::{ACCOUNTS, Anvil, AnvilOptions, Rpc, contracts};

const CHAIN: u64 = 8453;

fn anvil() -> Anvil {
    let more = ["--code-size-limit", "100000"].map(str::to_owned).to_vec();
    Anvil::start(AnvilOptions {
        chain_id: CHAIN,
        more,
        ..AnvilOptions::default()
    })
}

fn domain(release: &Release, safe: Address) -> SafeDomain {
    SafeDomain {
        chain_id: CHAIN,
        safe,
        version: release.version.parse().unwrap(),
    }
}

fn label() -> Label {
    Label {
        name: "upgrade".to_owned(),
        description: String::new(),
        created_at: jiff::Timestamp::from_second(1_767_225_600).unwrap(),
    }
}

fn exported(tx: &SafeTx, packed: Option<&Packed>, format: &str) -> Vec<u8> {
    let format: Format = format.parse().unwrap();
    export(tx, packed, format, &label()).unwrap()
}

/// Signs an exported file with `cast wallet sign` and gives what it printed.
fn cast(typed_data: &[u8], key: &str, more: &[&str]) -> Vec<u8> {
    let cast = crate::support::packages().join("@foundry-rs/cast/bin.mjs");
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("typed.json");
    std::fs::write(&file, typed_data).unwrap();
    let output = std::process::Command::new("node")
        .arg(&cast)
        .args(["wallet", "sign", "--data", "--from-file"])
        .arg(&file)
        .args(["--private-key", key])
        .args(more)
        .env("HOME", home.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn take(set: &mut SignatureSet, tx: &SafeTx, offers: Vec<Offer>, owners: &BTreeSet<Address>) -> Vec<Inserted> {
    let merged = merge(set, tx, offers, owners).into_iter();
    merged
        .map(|one| one.outcome.unwrap_or_else(|e| panic!("{e}")))
        .collect()
}

/// Sends what an exported calldata file says.
fn send(rpc: &Rpc, file: &[u8]) -> Value {
    let file: Value = serde_json::from_slice(file).unwrap();
    assert_eq!(file["call"], "execTransaction");
    let data: Bytes = serde_json::from_value(file["data"].clone()).unwrap();
    let length = U256::from(data.len()).abi_encode();
    assert_eq!(file["digest"], json!(keccak256([&length[..], &data].concat())));
    let to: Address = serde_json::from_value(file["to"].clone()).unwrap();
    let receipt = rpc.mined(rpc.send(ACCOUNTS[4].address, Some(to), &data));
    assert_eq!(receipt["status"], "0x1");
    receipt
}

fn logs(receipt: &Value) -> Vec<(Address, Vec<B256>, Bytes)> {
    let logs = receipt["logs"].as_array().unwrap().iter().cloned();
    let field = |log: &Value, key: &str| log[key].clone();
    logs.map(|log| {
        (
            serde_json::from_value(field(&log, "address")).unwrap(),
            serde_json::from_value(field(&log, "topics")).unwrap(),
            serde_json::from_value(field(&log, "data")).unwrap(),
        )
    })
    .collect()
}

/// Whether the Safe says that it executed `hash`: as a topic from 1.4.0 on, before that in the data.
fn executed(receipt: &Value, safe: Address, hash: B256) -> bool {
    let topic = keccak256("ExecutionSuccess(bytes32,uint256)");
    logs(receipt).iter().any(|(address, topics, data)| {
        *address == safe && topics[0] == topic && (topics.contains(&hash) || data.starts_with(hash.as_slice()))
    })
}

#[test]
fn cast_signs_our_file_the_signatures_come_back_the_calldata_executes_and_the_event_is_recognised() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let owners: BTreeSet<Address> = (0..3).map(|number| ACCOUNTS[number].address).collect();
    let target = contracts::deploy(&rpc, ACCOUNTS[0].address, "ContractOwner", &[]);
    for (number, release) in RELEASES.into_iter().enumerate() {
        release.install(&rpc);
        let safe = release.create(&rpc, true, (&owners.iter().copied().collect::<Vec<_>>(), 3));
        let domain = domain(&release, safe);
        let calls: Vec<Call> = (0..=u8::from(number > 0))
            .map(|byte| Call {
                to: target,
                value: U256::ZERO,
                data: vec![1, 2, 3, byte].into(),
            })
            .collect();
        let intent = Intent {
            domain,
            nonce: U256::ZERO,
            calls: calls.clone(),
            batcher: Some(release.call_only),
            old_versions: false,
        };
        let tx = SafeTx::freeze(&intent).unwrap();
        let typed = exported(&tx, None, "typed-data");
        let mut set = SignatureSet::new(&tx);
        for (account, more) in [(0, &[][..]), (1, &["-v"]), (2, &["-v", "--json"])] {
            let printed = cast(&typed, ACCOUNTS[account].key, more);
            let inserted = take(&mut set, &tx, collect(&printed).unwrap().offers, &owners);
            assert_eq!(inserted, [Inserted::New(ACCOUNTS[account].address)]);
        }
        // As files, they say the same.
        let mut again = SignatureSet::new(&tx);
        for (owner, signature) in set.by_owner() {
            let file = SignatureFile::new(&tx, *owner, signature).to_json();
            take(&mut again, &tx, collect(file.as_bytes()).unwrap().offers, &owners);
        }
        assert_eq!(again, set);

        let facts = Facts {
            owners: owners.clone(),
            threshold: 3,
            ..Facts::default()
        };
        let packed = set.pack(&facts).unwrap();
        let receipt = send(&rpc, &exported(&tx, Some(&packed), "calldata"));
        assert!(executed(&receipt, safe, tx.hash()), "{}", release.version);
        let announced: Vec<_> = logs(&receipt)
            .iter()
            .filter(|(address, ..)| *address == safe)
            .filter_map(|(_, topics, data)| Announced::read(topics, data))
            .collect();
        let [announced] = announced.as_slice() else {
            panic!("{announced:?}");
        };
        assert_eq!(announced.fields.hash(&domain), tx.hash(), "{}", release.version);
        assert_eq!(announced.signatures, packed.bytes);
        assert_eq!(announced.sender, ACCOUNTS[4].address);
        assert_eq!(recognise(&announced.fields, &domain, &calls), Recognition::Same);
    }
}

#[test]
fn m13_a_safe_that_owns_a_safe_agrees_on_chain_between_all_versions() {
    let anvil = anvil();
    let rpc = anvil.rpc();
    let owners: BTreeSet<Address> = [ACCOUNTS[0].address].into();
    for release in RELEASES {
        release.install(&rpc);
    }
    for child_release in RELEASES {
        let child = child_release.create(&rpc, true, (&[ACCOUNTS[0].address], 1));
        for (nonce, parent_release) in RELEASES.into_iter().enumerate() {
            let parent = parent_release.create(&rpc, true, (&[child], 1));
            let intent = Intent {
                domain: domain(&parent_release, parent),
                nonce: U256::ZERO,
                calls: vec![Call {
                    to: ACCOUNTS[4].address,
                    value: U256::ZERO,
                    data: Bytes::new(),
                }],
                batcher: None,
                old_versions: false,
            };
            let parent_tx = SafeTx::freeze(&intent).unwrap();
            let child_tx = approval(&parent_tx, domain(&child_release, child), U256::from(nonce)).unwrap();
            let printed = cast(&exported(&child_tx, None, "typed-data"), ACCOUNTS[0].key, &[]);
            let mut set = SignatureSet::new(&child_tx);
            take(&mut set, &child_tx, collect(&printed).unwrap().offers, &owners);
            let facts = Facts {
                owners: owners.clone(),
                threshold: 1,
                ..Facts::default()
            };
            let packed = set.pack(&facts).unwrap();
            let receipt = send(&rpc, &exported(&child_tx, Some(&packed), "calldata"));
            assert!(executed(&receipt, child, child_tx.hash()));

            let facts = Facts {
                owners: [child].into(),
                threshold: 1,
                approved: [child].into(),
                ..Facts::default()
            };
            let packed = SignatureSet::new(&parent_tx).pack(&facts).unwrap();
            let receipt = send(&rpc, &exported(&parent_tx, Some(&packed), "calldata"));
            let versions = (parent_release.version, child_release.version);
            assert!(executed(&receipt, parent, parent_tx.hash()), "{versions:?}");
            assert_eq!(rpc.read(parent, &abi::nonceCall {}), U256::from(1));
        }
    }
}
