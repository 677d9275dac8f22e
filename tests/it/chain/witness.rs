//! What is taken of a proof that was just made, and that it shows the same without any endpoint.

use alloy::primitives::{Address, B256, Bytes, U64, U256, keccak256};
use countersign::chain::witness::{BlockWitness, ContractSlots, Part, Witness, app_slots, kms_slots};
use countersign::chain::{AppChanges, Chain, Proof, SignedTx};
use serde_json::{Value, json};

use super::liar::Liar;
use super::{HASH, ONE, addition, chain_of, connect};
use crate::support::World;
use crate::support::contracts::abi;

/// The owner's transaction that allows the hash, and the proof of it with so many blocks on top.
async fn proved(world: &World, above: u64) -> (SignedTx, Proof) {
    let chain = chain_of(world).await;
    let tx = addition(world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    assert_eq!(world.rpc().mined(tx.hash)["status"], "0x1");
    world.rpc().mine(above);
    let proof = chain.prove(tx.hash, &AppChanges::allowing(world.app, HASH), ONE).await;
    (tx, proof.unwrap())
}

fn wanted(world: &World) -> Vec<ContractSlots> {
    vec![
        app_slots(world.app, &[HASH], &[world.device]),
        kms_slots(world.kms, world.app),
    ]
}

fn refusing(world: &World, method: &'static str) -> Liar {
    let refusal = json!({"error": {"code": -32601, "message": "the method does not exist"}});
    Liar::to(&world.anvil.url(), move |asked, _| {
        (asked == method).then(|| refusal.clone())
    })
}

async fn at(url: &str) -> Chain {
    connect(&[url]).await.unwrap()
}

fn parts(witness: &Witness) -> Vec<Part> {
    witness.missing.iter().map(|lack| lack.part).collect()
}

/// What it shows of a contract's slot.
fn slot(witness: &BlockWitness, block: B256, contract: Address, slot: B256) -> U256 {
    let shown = witness.check(block).unwrap();
    assert_eq!((shown.fault(), shown.unused), (None, 0));
    shown.contracts[&contract].as_ref().unwrap().slots[&slot].unwrap()
}

#[tokio::test]
async fn what_was_taken_shows_without_any_endpoint_who_allowed_the_hash_and_that_the_app_does() {
    let world = World::start();
    let (tx, proof) = proved(&world, 0).await;
    let counting = Liar::to(&world.anvil.url(), |_, _| None);
    let chain = at(counting.url()).await;
    let before = counting.asked().len();
    let taken = chain.witness(&proof, &wanted(&world)).await;
    // The header with two proofs, the block with its transactions, its receipts.
    assert_eq!(counting.asked().len() - before, 5);
    let code = world.rpc().call("eth_getCode", json!([world.app, "latest"]));
    let (app, kms, owner, device) = (world.app, world.kms, world.owner.address, world.device);
    drop(world);
    let written = serde_json::to_string(&taken).unwrap();
    let taken: Witness = serde_json::from_str(&written).unwrap();
    assert_eq!((taken.missing.as_slice(), taken.head.as_ref()), (&[][..], None));
    let witness = taken.block.unwrap();
    let shown = witness.check(proof.block.hash).unwrap();
    assert_eq!((shown.fault(), shown.unused, shown.block), (None, 0, proof.block));
    let transaction = shown.transaction.unwrap().unwrap();
    assert_eq!((transaction.hash, transaction.sender), (tx.hash, owner));
    assert_eq!((transaction.to, transaction.input), (Some(app), tx.request.call.data));
    let receipt = shown.receipt.unwrap().unwrap();
    assert!(receipt.succeeded);
    let (topic, data) = crate::support::contracts::compose_hash_added(HASH);
    assert_eq!(receipt.logs[0].address, app);
    assert_eq!(
        (receipt.logs[0].topics(), &receipt.logs[0].data.data),
        (&[topic][..], &data)
    );
    let code: Bytes = serde_json::from_value(code).unwrap();
    let of_app = shown.contracts[&app].as_ref().unwrap();
    assert_eq!(of_app.code_hash, Some(keccak256(code)));
    assert_eq!((of_app.owner(), of_app.allows_hash(HASH)), (Some(owner), true));
    assert!(of_app.allows_device(device) && of_app.implementation().is_some());
    assert!(!of_app.allows_hash(B256::ZERO) && !of_app.knows_app(app));
    let of_kms = shown.contracts[&kms].as_ref().unwrap();
    assert!(of_kms.knows_app(app) && of_kms.implementation().is_some());
    assert!(!of_kms.knows_app(kms));
}

#[tokio::test]
async fn a_part_that_an_endpoint_does_not_offer_is_missing_with_the_reason_and_the_others_stay() {
    let world = World::start();
    let (_, proof) = proved(&world, 0).await;
    let both = vec![Part::Contract(world.app), Part::Contract(world.kms)];
    for (method, missing) in [("eth_getBlockReceipts", vec![Part::Receipt]), ("eth_getProof", both)] {
        let liar = refusing(&world, method);
        let taken = at(liar.url()).await.witness(&proof, &wanted(&world)).await;
        let mut found = parts(&taken);
        found.sort();
        let mut missing = missing;
        missing.sort();
        assert_eq!(found, missing, "{method}");
        for lack in &taken.missing {
            assert!(
                lack.why.contains(liar.url()) && lack.why.contains("does not exist"),
                "{}",
                lack.why
            );
        }
        let shown = taken.block.unwrap().check(proof.block.hash).unwrap();
        assert_eq!((shown.fault(), shown.unused), (None, 0), "{method}");
        assert!(shown.transaction.is_some(), "{method}");
    }
    let blind = refusing(&world, "eth_getBlockByHash");
    let taken = at(blind.url()).await.witness(&proof, &wanted(&world)).await;
    assert_eq!((taken.block.is_none(), taken.missing.len()), (true, 5));
}

#[tokio::test]
async fn one_endpoint_gives_what_another_one_does_not() {
    let world = World::start();
    let (_, proof) = proved(&world, 0).await;
    let (first, second) = (
        refusing(&world, "eth_getProof"),
        refusing(&world, "eth_getBlockReceipts"),
    );
    let chain = connect(&[first.url(), second.url()]).await.unwrap();
    let taken = chain.witness(&proof, &wanted(&world)).await;
    assert_eq!(taken.missing, []);
    let asked = second.asked();
    assert!(!asked.contains(&"eth_getBlockReceipts".to_owned()), "{asked:?}");
}

#[tokio::test]
async fn what_an_endpoint_makes_up_is_not_taken() {
    let world = World::start();
    let (_, proof) = proved(&world, 0).await;
    let (app, kms) = (Part::Contract(world.app), Part::Contract(world.kms));
    type Edit = fn(&str, &mut Value);
    let edits: [(Edit, Vec<Part>); 4] = [
        (
            |method, said| {
                if method == "eth_getBlockReceipts" {
                    said[0]["status"] = json!("0x0");
                }
            },
            vec![Part::Receipt],
        ),
        (
            |_, said| {
                if let Some(Value::Object(tx)) = said.pointer_mut("/transactions/0") {
                    tx.insert("input".to_owned(), json!("0x1234"));
                }
            },
            vec![Part::Transaction],
        ),
        (
            |method, said| {
                if method == "eth_getProof" {
                    said["accountProof"][0] = json!("0xc0");
                }
            },
            vec![app, kms],
        ),
        (
            |method, said| {
                if method == "eth_getBlockByHash" {
                    said["stateRoot"] = json!(B256::ZERO);
                }
            },
            vec![Part::Header, Part::Transaction, Part::Receipt, app, kms],
        ),
    ];
    for (index, (edit, mut missing)) in edits.into_iter().enumerate() {
        let liar = Liar::editing(&world.anvil.url(), edit);
        let taken = at(liar.url()).await.witness(&proof, &wanted(&world)).await;
        let mut found = parts(&taken);
        found.sort();
        missing.sort();
        assert_eq!(found, missing, "{index}");
        if let Some(witness) = taken.block {
            assert_eq!(witness.check(proof.block.hash).unwrap().fault(), None, "{index}");
        }
    }
}

#[tokio::test]
async fn contracts_whose_state_is_forgotten_are_taken_at_the_head_that_the_proof_names() {
    let world = World::start();
    let (_, proof) = proved(&world, 2).await;
    assert_ne!(proof.head, proof.block);
    let block = json!(U64::from(proof.block.number));
    let forgetful = Liar::to(&world.anvil.url(), move |method, params| {
        let old = method == "eth_getProof" && params[2] == block;
        old.then(|| json!({"error": {"code": -32000, "message": "missing trie node"}}))
    });
    let wanted = wanted(&world);
    let taken = at(forgetful.url()).await.witness(&proof, &wanted).await;
    assert_eq!(taken.missing, []);
    let (witness, head) = (taken.block.unwrap(), taken.head.unwrap());
    assert!(witness.contracts.is_empty() && witness.transaction.is_some() && witness.receipt.is_some());
    assert_eq!((head.transaction, head.receipt), (None, None));
    let allowed = wanted[0].slots[wanted[0].slots.len() - 4];
    assert_eq!(slot(&head, proof.head.hash, world.app, allowed), U256::from(1));
    // Nobody who forgot nothing is asked about the head.
    let taken = chain_of(&world).await.witness(&proof, &wanted).await;
    assert_eq!((taken.head, taken.block.unwrap().contracts.len()), (None, 2));
}

#[tokio::test]
async fn a_hash_that_the_app_does_not_allow_any_more_shows_as_such() {
    let world = World::start();
    let (_, proof) = proved(&world, 0).await;
    world.as_owner(&abi::removeComposeHashCall { composeHash: HASH });
    let allowed = app_slots(world.app, &[HASH], &[]);
    let chain = chain_of(&world).await;
    let head = chain.head().await.unwrap();
    let later = Proof {
        block: head,
        head,
        transaction: None,
        ..proof
    };
    let taken = chain.witness(&later, std::slice::from_ref(&allowed)).await;
    assert_eq!(taken.missing, []);
    let witness = taken.block.unwrap();
    assert_eq!((witness.transaction, witness.receipt), (None, None));
    let last_two = &allowed.slots[allowed.slots.len() - 2..];
    for place in last_two {
        assert_eq!(slot(&witness, head.hash, world.app, *place), U256::ZERO);
    }
}
