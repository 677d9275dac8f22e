//! What is proof that a hash is allowed, and what is not.

use alloy::primitives::B256;
use countersign::chain::{
    AppChanges, Chain, ChainError, FeePolicy, Finality, PolicyChange, Proof, ProofFailure, SignedTx,
};
use serde_json::{Value, json};

use super::liar::Liar;
use super::{HASH, ONE, STRANGER, addition, chain_of, connect, foreign, sign};
use crate::support::contracts::abi;
use crate::support::world::AppVariant;
use crate::support::{AnvilOptions, World, WorldOptions};

const OTHER: B256 = B256::repeat_byte(0xcd);

/// The owner's transaction that allows the hash, mined.
async fn allowed(world: &World, chain: &Chain) -> SignedTx {
    let tx = addition(world, chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    assert_eq!(world.rpc().mined(tx.hash)["status"], "0x1");
    tx
}

fn removed(world: &World, hash: B256) -> B256 {
    world.as_owner(&abi::removeComposeHashCall { composeHash: hash })
}

/// An endpoint that shows this receipt for every transaction.
fn forger(world: &World, receipt: Value) -> Liar {
    Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_getTransactionReceipt").then(|| receipt.clone())
    })
}

async fn prove(world: &World, chain: &Chain, tx: B256) -> Result<Proof, ProofFailure> {
    chain.prove(tx, &AppChanges::allowing(world.app, HASH), ONE).await
}

fn disagrees(failure: &ProofFailure, about: &str) -> bool {
    matches!(failure, ProofFailure::Chain(ChainError::Disagreement { what, .. }) if what.contains(about))
}

#[tokio::test]
async fn a_proof_names_the_transaction_its_block_its_event_and_its_sender_for_both_kinds_of_app() {
    for app in [AppVariant::OneStep, AppVariant::TwoStep] {
        let world = World::with(WorldOptions {
            app,
            ..WorldOptions::default()
        });
        let chain = chain_of(&world).await;
        let tx = allowed(&world, &chain).await;
        let proof = prove(&world, &chain, tx.hash).await.unwrap();
        let receipt = world.rpc().receipt(tx.hash).unwrap();
        assert_eq!(json!(proof.block.hash), receipt["blockHash"]);
        assert_eq!(proof.block, proof.head);
        assert_eq!(
            json!(format!("{:#x}", proof.changes[0].log_index.unwrap())),
            receipt["logs"][0]["logIndex"]
        );
        assert_eq!(json!(format!("{:#x}", proof.gas_used.unwrap())), receipt["gasUsed"]);
        assert_eq!(
            (proof.sender, proof.transaction),
            (Some(world.owner.address), Some(tx.hash))
        );
        assert_eq!(
            (proof.subject(), proof.chain_id),
            (AppChanges::allowing(world.app, HASH), 31337)
        );
        assert_eq!(proof.endpoints, [world.anvil.url()]);
    }
}

#[tokio::test]
async fn two_endpoints_that_agree_are_both_named() {
    let world = World::start();
    let honest = Liar::to(&world.anvil.url(), |_, _| None);
    let chain = connect(&[&world.anvil.url(), honest.url()]).await.unwrap();
    let tx = allowed(&world, &chain).await;
    let proof = prove(&world, &chain, tx.hash).await.unwrap();
    assert_eq!(proof.endpoints, [world.anvil.url(), honest.url().to_owned()]);
}

/// An endpoint that has forgotten the state of this block.
fn forgetful(world: &World, block: B256) -> Liar {
    Liar::to(&world.anvil.url(), move |method, params| {
        let old = method == "eth_call" && params[1]["blockHash"] == json!(block);
        old.then(|| json!({"error": {"code": -32000, "message": "missing trie node 5f (path ) state 0x5f is not available"}}))
    })
}

#[tokio::test]
async fn an_old_change_is_proved_by_endpoints_that_have_forgotten_the_state_after_its_block() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = allowed(&world, &chain).await;
    let block = prove(&world, &chain, tx.hash).await.unwrap().block;
    let endpoint = forgetful(&world, block.hash);
    let poor = connect(&[endpoint.url()]).await.unwrap();
    // What everybody remembers has to be shown by everybody.
    world.rpc().mine(1);
    let failure = prove(&world, &poor, tx.hash).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::Chain(_)), "{failure}");
    world.rpc().mine(100);
    let proof = prove(&world, &poor, tx.hash).await.unwrap();
    assert_eq!((proof.block, proof.transaction), (block, Some(tx.hash)));
    assert_eq!(proof.head.number, world.rpc().height());
    // Nobody has to name the transaction.
    let changes = AppChanges::allowing(world.app, HASH);
    let proof = poor.prove_state(&changes, ONE).await.unwrap();
    assert_eq!(proof.transaction, Some(tx.hash));
    // Whoever remembers that it was not so is heard.
    let liar = Liar::to(&world.anvil.url(), move |method, params| {
        let old = method == "eth_call" && params[1]["blockHash"] == json!(block.hash);
        old.then(|| json!(B256::ZERO))
    });
    let denied = connect(&[liar.url()]).await.unwrap();
    let failure = prove(&world, &denied, tx.hash).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::NoEffect { .. }), "{failure}");
    // What is undone at the head is no proof, whatever anybody forgot.
    removed(&world, HASH);
    let failure = prove(&world, &poor, tx.hash).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::Removed { .. }), "{failure}");
}

#[tokio::test]
async fn no_proof_before_the_asked_depth() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = allowed(&world, &chain).await;
    let deep = Finality::Confirmations(4);
    for _ in 0..3 {
        let failure = chain
            .prove(tx.hash, &AppChanges::allowing(world.app, HASH), deep)
            .await
            .unwrap_err();
        assert!(
            matches!(failure, ProofFailure::NotSettled { transaction } if transaction == tx.hash),
            "{failure}"
        );
        world.rpc().mine(1);
    }
    let proof = chain
        .prove(tx.hash, &AppChanges::allowing(world.app, HASH), deep)
        .await
        .unwrap();
    assert_eq!(proof.head.number, proof.block.number + 3);
}

#[tokio::test]
async fn no_proof_before_the_asked_tag_has_reached_the_block() {
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            slots_in_epoch: Some(1),
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let chain = chain_of(&world).await;
    let tx = allowed(&world, &chain).await;
    for (finality, needed) in [(Finality::Safe, 1), (Finality::Finalized, 1)] {
        let failure = chain
            .prove(tx.hash, &AppChanges::allowing(world.app, HASH), finality)
            .await
            .unwrap_err();
        assert!(
            matches!(failure, ProofFailure::NotSettled { .. }),
            "{finality:?}: {failure}"
        );
        world.rpc().mine(needed);
        chain
            .prove(tx.hash, &AppChanges::allowing(world.app, HASH), finality)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_transaction_that_nobody_knows_proves_nothing() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let failure = prove(&world, &chain, OTHER).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::NotSettled { .. }), "{failure}");
}

#[tokio::test]
async fn x15_a_failed_transaction_is_told_with_its_reason() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    // Ownership moves between signing and mining (two steps, so that the sender is no owner any more).
    world.rpc().execute_as(
        world.owner.address,
        world.app,
        &abi::transferOwnershipCall { to: STRANGER },
    );
    world
        .rpc()
        .execute_as(STRANGER, world.app, &abi::acceptOwnershipCall {});
    let nonce = world.rpc().nonce(world.owner.address);
    let mut request = tx.request;
    request.nonce = nonce;
    let tx = sign(request, world.owner);
    chain.broadcast(&tx).await.unwrap();
    world.rpc().mined(tx.hash);
    let failure = prove(&world, &chain, tx.hash).await.unwrap_err();
    let expected = format!("OwnableUnauthorizedAccount({})", world.owner.address);
    assert!(
        matches!(&failure, ProofFailure::Reverted { reason, .. } if *reason == expected),
        "{failure}"
    );
}

#[tokio::test]
async fn x16_a_transaction_that_ran_out_of_gas_says_so() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let mut request = addition(&world, &chain, HASH).await.request;
    request.gas_limit = 30_000;
    let tx = sign(request, world.owner);
    chain.broadcast(&tx).await.unwrap();
    assert_eq!(world.rpc().mined(tx.hash)["status"], "0x0");
    let failure = prove(&world, &chain, tx.hash).await.unwrap_err();
    assert!(
        matches!(&failure, ProofFailure::Reverted { reason, .. } if reason == "out of gas"),
        "{failure}"
    );
}

#[tokio::test]
async fn a_transaction_without_the_event_is_no_proof_though_it_succeeded() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let like = addition(&world, &chain, HASH).await;
    let transfer = foreign(&world, &like);
    chain.broadcast(&transfer).await.unwrap();
    world.rpc().mined(transfer.hash);
    world.allow(HASH);
    let failure = prove(&world, &chain, transfer.hash).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::NoEffect { .. }), "{failure}");
    let of_another = world.allow(OTHER);
    let failure = prove(&world, &chain, of_another).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::NoEffect { .. }), "{failure}");
}

#[tokio::test]
async fn r17_a_forged_receipt_is_contradicted_by_the_second_endpoint() {
    let world = World::start();
    let direct = chain_of(&world).await;
    // What a real one looks like, moved to a transaction that did something else, and to one that nobody sent.
    let real = world.rpc().receipt(world.allow(OTHER)).unwrap();
    let like = addition(&world, &direct, HASH).await;
    let transfer = foreign(&world, &like);
    direct.broadcast(&transfer).await.unwrap();
    let place = world.rpc().mined(transfer.hash);
    for transaction in [transfer.hash, like.hash] {
        let mut forged = place.clone();
        forged["transactionHash"] = json!(transaction);
        forged["logs"] = real["logs"].clone();
        forged["logs"][0]["data"] = json!(HASH);
        let liar = forger(&world, forged);
        for urls in [[liar.url(), &world.anvil.url()], [&world.anvil.url(), liar.url()]] {
            let chain = connect(&urls).await.unwrap();
            let failure = prove(&world, &chain, transaction).await.unwrap_err();
            let stopped = match transaction == transfer.hash {
                true => disagrees(&failure, "receipt"),
                false => matches!(failure, ProofFailure::NotSettled { .. }),
            };
            assert!(stopped, "{transaction}: {failure}");
        }
    }
}

#[tokio::test]
async fn v18_r17_r19_a_liar_that_forges_receipt_and_state_is_contradicted_about_the_state() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let like = addition(&world, &chain, HASH).await;
    let real = world.rpc().receipt(world.allow(OTHER)).unwrap();
    let mut forged = real.clone();
    forged["transactionHash"] = json!(like.hash);
    forged["logs"][0]["data"] = json!(HASH);
    let liar = Liar::to(&world.anvil.url(), move |method, _| match method {
        "eth_getTransactionReceipt" => Some(forged.clone()),
        "eth_call" => Some(json!(B256::with_last_byte(1))),
        _ => None,
    });
    let chain = connect(&[liar.url(), &world.anvil.url()]).await.unwrap();
    let failure = prove(&world, &chain, like.hash).await.unwrap_err();
    assert!(disagrees(&failure, "allowedComposeHashes"), "{failure}");
}

#[tokio::test]
async fn r17_a_failure_that_only_one_endpoint_tells_of_is_not_believed() {
    let world = World::start();
    let direct = chain_of(&world).await;
    let tx = addition(&world, &direct, HASH).await;
    let mut forged = world.rpc().receipt(world.allow(OTHER)).unwrap();
    forged["transactionHash"] = json!(tx.hash);
    for (field, value) in [("status", json!("0x0")), ("logs", json!([]))] {
        let mut forged = forged.clone();
        forged[field] = value;
        let liar = forger(&world, forged);
        let chain = connect(&[liar.url(), &world.anvil.url()]).await.unwrap();
        let failure = prove(&world, &chain, tx.hash).await.unwrap_err();
        assert!(matches!(failure, ProofFailure::NotSettled { .. }), "{field}: {failure}");
    }
}

#[tokio::test]
async fn x14_pitfall_23_a_transaction_that_a_wallet_sped_up_is_found_by_its_event() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let ours = addition(&world, &chain, HASH).await;
    let theirs = sign(ours.request.bumped(0, &FeePolicy::default()).unwrap(), world.owner);
    assert_ne!(ours.hash, theirs.hash);
    chain.broadcast(&theirs).await.unwrap();
    world.rpc().mined(theirs.hash);
    let sighting = chain.look(std::slice::from_ref(&ours), ONE).await.unwrap();
    assert!(sighting.included.is_none() && sighting.nonce > ours.request.nonce);
    let proof = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap();
    assert_eq!(proof.transaction, Some(theirs.hash));
}

#[tokio::test]
async fn r14_a_receipt_that_one_endpoint_does_not_have_yet_is_waited_for() {
    let world = World::start();
    let late = forger(&world, Value::Null);
    let chain = connect(&[&world.anvil.url(), late.url()]).await.unwrap();
    let tx = allowed(&world, &chain).await;
    let failure = prove(&world, &chain, tx.hash).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::NotSettled { .. }), "{failure}");
}

#[tokio::test]
async fn r16_a_receipt_of_a_block_that_the_chain_does_not_have_is_no_proof() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = allowed(&world, &chain).await;
    let mut receipt = world.rpc().receipt(tx.hash).unwrap();
    receipt["blockHash"] = json!(OTHER);
    for blocks in [0, 2] {
        world.rpc().mine(blocks);
        let liar = forger(&world, receipt.clone());
        let chain = connect(&[liar.url()]).await.unwrap();
        let failure = prove(&world, &chain, tx.hash).await.unwrap_err();
        assert!(matches!(failure, ProofFailure::NotSettled { .. }), "{failure}");
    }
}

#[tokio::test]
async fn r19_a_forged_allowance_alone_is_contradicted() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_call").then(|| json!(B256::with_last_byte(1)))
    });
    let chain = connect(&[liar.url(), &world.anvil.url()]).await.unwrap();
    let failure = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap_err();
    assert!(disagrees(&failure, "allowedComposeHashes"), "{failure}");
}

#[tokio::test]
async fn x17_x18_pitfall_20_after_a_reorganisation_only_the_block_that_stayed_is_proof() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = allowed(&world, &chain).await;
    let before = prove(&world, &chain, tx.hash).await.unwrap();
    world.rpc().mine(2);
    world.rpc().call("anvil_reorg", json!([3, []]));
    let failure = prove(&world, &chain, tx.hash).await.unwrap_err();
    assert!(matches!(failure, ProofFailure::NotSettled { .. }), "{failure}");
    chain.broadcast(&tx).await.unwrap();
    world.rpc().mined(tx.hash);
    let after = prove(&world, &chain, tx.hash).await.unwrap();
    assert_ne!(before.block, after.block);
}

#[tokio::test]
async fn h1_a_hash_that_is_allowed_is_proved_by_the_transaction_that_added_it() {
    let world = World::start();
    let chain = chain_of(&world).await;
    world.allow(OTHER);
    let first = world.allow(HASH);
    world.rpc().mine(3);
    let proof = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap();
    assert_eq!(proof.transaction, Some(first));
    // Adding again is possible and changes nothing; the newest event is the proof.
    let second = world.allow(HASH);
    let proof = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap();
    assert_eq!(proof.transaction, Some(second));
}

#[tokio::test]
async fn h4_after_adding_removing_and_adding_the_newest_addition_is_the_proof() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let first = world.allow(HASH);
    assert!(prove(&world, &chain, first).await.is_ok());
    removed(&world, HASH);
    let failure = prove(&world, &chain, first).await.unwrap_err();
    assert!(
        matches!(failure, ProofFailure::Removed { change: PolicyChange::AddComposeHash(hash), .. } if hash == HASH),
        "h2: {failure}"
    );
    let failure = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap_err();
    assert!(
        matches!(failure, ProofFailure::NotInForce { change: PolicyChange::AddComposeHash(hash) } if hash == HASH),
        "{failure}"
    );
    let newest = world.allow(HASH);
    let proof = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap();
    assert_eq!(proof.transaction, Some(newest));
}

#[tokio::test]
async fn without_logs_the_state_alone_is_the_proof() {
    let world = World::start();
    world.allow(HASH);
    world.rpc().mine(2);
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        let lie = method == "eth_getLogs";
        lie.then(|| json!({"error": {"code": -32601, "message": "the method does not exist"}}))
    });
    let chain = connect(&[liar.url()]).await.unwrap();
    let proof = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), Finality::Confirmations(3))
        .await
        .unwrap();
    assert_eq!((proof.transaction, proof.changes[0].log_index), (None, None));
    assert_eq!(proof.block.number + 2, proof.head.number);
    let failure = chain
        .prove_state(&AppChanges::allowing(world.app, HASH), Finality::Confirmations(4))
        .await
        .unwrap_err();
    assert!(matches!(failure, ProofFailure::NotSettled { .. }), "{failure}");
}

#[tokio::test]
async fn r30_a_refused_range_is_asked_for_in_pieces() {
    let world = World::start();
    let chain = chain_of(&world).await;
    world.allow(HASH);
    world.rpc().mine(700);
    world.allow(OTHER);
    let number = |value: &Value| u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let liar = Liar::to(&world.anvil.url(), move |method, params| {
        let range = || number(&params[0]["toBlock"]) - number(&params[0]["fromBlock"]);
        (method == "eth_getLogs" && range() >= 500)
            .then(|| json!({"error": {"code": -32005, "message": "query returned more than 10000 results"}}))
    });
    let limited = connect(&[liar.url()]).await.unwrap();
    let state = chain.app(&super::reads::query(&world)).await.unwrap();
    let whole = chain.policy_history(&state, &[], &[]).await.unwrap();
    assert_eq!(limited.policy_history(&state, &[], &[]).await.unwrap(), whole);
    assert_eq!((whole.hashes.len(), &whole.incomplete), (3, &None));
    let asked = liar.asked().iter().filter(|method| *method == "eth_getLogs").count();
    assert!(asked < 20, "the search ends where the contract begins: {asked}");
    let proof = limited
        .prove_state(&AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap();
    assert_eq!(proof.transaction, whole.hashes[1].since.map(|since| since.transaction));
}
