//! A transaction's life: filling in, sending, looking, and what waiting makes of it.

use std::time::Duration;

use alloy::primitives::U256;
use countersign::chain::{
    AppChanges, Call, Chain, ChainError, FeePolicy, Finality, SignedTx, TxError, TxRequest,
    fees::Filling,
    send::{Broadcast, Rejection},
    watch::{Sighting, Watch, WatchAction},
};
use serde_json::{Value, json};

use super::liar::Liar;
use super::{HASH, ONE, STRANGER, addition, chain_of, connect, foreign, sign};
use crate::support::{Action, AnvilOptions, FaultProxy, Match, Nth, World, WorldOptions};

const GWEI: u128 = 1_000_000_000;

/// A world that mines only when told.
fn still() -> World {
    World::with(WorldOptions {
        anvil: AnvilOptions {
            no_mining: true,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    })
}

async fn look(chain: &Chain, tx: &SignedTx) -> Sighting {
    chain.look(std::slice::from_ref(tx), ONE).await.unwrap()
}

/// Looks until the transaction is in a block, and the head that was read with it is no earlier one.
async fn mined(chain: &Chain, tx: &SignedTx) -> Sighting {
    for _ in 0..9000 {
        let sighting = look(chain, tx).await;
        if sighting
            .included
            .is_some_and(|included| included.block.number <= sighting.head.number)
        {
            return sighting;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} is in no block", tx.hash)
}

async fn fill(world: &World, chain: &Chain) -> Result<TxRequest, TxError> {
    let call = Call::add_compose_hash(world.app, HASH);
    let quote = chain.fill(world.owner.address, &call, Filling::default()).await?;
    Ok(quote.request)
}

/// `anvil_reorg` by `depth` blocks, with these transactions in the new ones.
fn reorganise(world: &World, depth: u64, with: &[(&SignedTx, u64)]) {
    let list: Vec<Value> = with.iter().map(|(tx, block)| json!([tx.raw, block])).collect();
    world.rpc().call("anvil_reorg", json!([depth, list]));
}

#[tokio::test]
async fn a_transaction_is_filled_sent_and_seen() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let nonce = world.rpc().nonce(world.owner.address);
    let tx = addition(&world, &chain, HASH).await;
    assert_eq!((tx.request.nonce, tx.request.chain_id), (nonce, 31337));
    assert_eq!(chain.broadcast(&tx).await.unwrap(), Broadcast::Accepted);
    let sighting = mined(&chain, &tx).await;
    let inclusion = sighting.included.unwrap();
    assert!(inclusion.succeeded && inclusion.transaction == tx.hash);
    assert_eq!(inclusion.block, sighting.head);
    assert_eq!(sighting.nonce, nonce + 1);
    assert!(world.is_allowed(HASH));
    let used = world.rpc().receipt(tx.hash).unwrap()["gasUsed"].clone();
    let used: U256 = serde_json::from_value(used).unwrap();
    assert!(
        tx.request.gas_limit >= used.to::<u64>() * 11 / 10,
        "the limit has a margin"
    );
}

#[tokio::test]
async fn filling_sending_looking_and_proving_what_was_seen_are_one_round_trip_each() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let chain = connect(&[&proxy.url()]).await.unwrap();
    proxy.forget();
    let tx = addition(&world, &chain, HASH).await;
    assert_eq!(proxy.requests(), 1, "fill");
    chain.broadcast(&tx).await.unwrap();
    assert_eq!(proxy.requests(), 2, "broadcast");
    world.rpc().mined(tx.hash);
    look(&chain, &tx).await;
    assert_eq!(proxy.requests(), 3, "look");
    chain
        .prove(tx.hash, &AppChanges::allowing(world.app, HASH), ONE)
        .await
        .unwrap();
    assert_eq!(proxy.requests(), 4, "prove");
}

#[tokio::test]
async fn x1_bytes_that_go_out_twice_are_known() {
    let world = still();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    assert_eq!(chain.broadcast(&tx).await.unwrap(), Broadcast::Accepted);
    assert_eq!(chain.broadcast(&tx).await.unwrap(), Broadcast::AlreadyKnown);
    let sighting = look(&chain, &tx).await;
    assert!(sighting.pooled && sighting.included.is_none());
}

#[tokio::test]
async fn x2_bytes_that_were_mined_are_refused_and_found() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    mined(&chain, &tx).await;
    let again = chain.broadcast(&tx).await.unwrap();
    let known = matches!(
        again,
        Broadcast::Rejected(Rejection::NonceTooLow) | Broadcast::AlreadyKnown
    );
    assert!(known, "{again:?}");
    assert!(look(&chain, &tx).await.included.is_some());
}

#[tokio::test]
async fn x3_x13_a_nonce_that_another_transaction_used_is_gone() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    let other = foreign(&world, &tx);
    chain.broadcast(&other).await.unwrap();
    mined(&chain, &other).await;
    let refused = chain.broadcast(&tx).await.unwrap();
    assert_eq!(refused, Broadcast::Rejected(Rejection::NonceTooLow));
    let mut watch = Watch::new(ONE);
    let mut actions = Vec::new();
    for second in 0..5 {
        let sighting = look(&chain, &tx).await;
        assert!(sighting.nonce > tx.request.nonce && sighting.included.is_none());
        actions.push(watch.step(&sighting, tx.request.nonce, Duration::from_secs(second)));
    }
    assert_eq!(actions.iter().position(|action| *action == WatchAction::Gone), Some(3));
}

#[tokio::test]
async fn x4_a_replacement_that_pays_the_same_is_refused_and_a_raised_one_taken() {
    let world = still();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    let other = foreign(&world, &tx);
    let refused = chain.broadcast(&other).await.unwrap();
    assert_eq!(refused, Broadcast::Rejected(Rejection::Underpriced));
    let base_fee = look(&chain, &tx).await.base_fee;
    let raised = sign(tx.request.bumped(base_fee, &FeePolicy::default()).unwrap(), world.owner);
    assert_eq!(chain.broadcast(&raised).await.unwrap(), Broadcast::Accepted);
    world.rpc().mine(1);
    let both = [tx, raised.clone()];
    let sighting = chain.look(&both, ONE).await.unwrap();
    assert_eq!(
        sighting.included.unwrap().transaction,
        raised.hash,
        "x2: the receipt of any of ours"
    );
}

#[tokio::test]
async fn x5_a_cap_below_the_base_fee_is_told() {
    let world = still();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    let dear = json!(U256::from(tx.request.max_fee_per_gas * 2));
    world.rpc().call("anvil_setNextBlockBaseFeePerGas", json!([dear]));
    let refused = chain.broadcast(&tx).await.unwrap();
    assert_eq!(refused, Broadcast::Rejected(Rejection::FeeTooLow));
}

#[tokio::test]
async fn x6_a_sender_without_money_is_refused_before_signing_with_both_numbers() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    world
        .rpc()
        .call("anvil_setBalance", json!([world.owner.address, "0x7"]));
    let error = fill(&world, &chain).await.unwrap_err();
    let TxError::Funds { have, need, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(have, "7");
    assert!(need.parse::<u128>().unwrap() > GWEI, "{need}");
    assert_eq!(
        chain.broadcast(&tx).await.unwrap(),
        Broadcast::Rejected(Rejection::Funds)
    );
}

#[tokio::test]
async fn x7_too_little_gas_is_refused_by_the_endpoint() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    let poor = TxRequest {
        gas_limit: 20_000,
        ..tx.request
    };
    let refused = chain.broadcast(&sign(poor, world.owner)).await.unwrap();
    assert_eq!(refused, Broadcast::Rejected(Rejection::Gas));
}

#[tokio::test]
async fn x22_more_gas_than_a_block_holds_is_refused_before_signing() {
    let world = World::start();
    let chain = chain_of(&world).await;
    world.rpc().call("anvil_setBlockGasLimit", json!(["0x7530"]));
    world.rpc().mine(1);
    let error = fill(&world, &chain).await.unwrap_err();
    assert!(matches!(error, TxError::BlockGasLimit { limit: 30_000, .. }), "{error}");
}

#[tokio::test]
async fn r21_a_call_that_would_fail_is_refused_before_signing_with_its_reason() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let call = Call::add_compose_hash(world.app, HASH);
    let error = chain.fill(STRANGER, &call, Filling::default()).await.unwrap_err();
    let expected = format!("OwnableUnauthorizedAccount({STRANGER})");
    assert!(
        matches!(&error, TxError::WouldRevert { reason } if *reason == expected),
        "{error}"
    );
}

#[tokio::test]
async fn r21_an_estimate_that_the_endpoint_does_not_give_is_no_verdict_about_the_call() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        let lie = method == "eth_estimateGas";
        lie.then(|| json!({"error": {"code": -32005, "message": "daily request count exceeded"}}))
    });
    let error = fill(&world, &connect(&[liar.url()]).await.unwrap()).await.unwrap_err();
    assert!(
        matches!(error, TxError::Chain(ChainError::Unavailable { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn r26_a_key_with_a_transaction_in_flight_is_not_given_another_nonce() {
    let world = still();
    let chain = chain_of(&world).await;
    let nonce = world.rpc().nonce(world.owner.address);
    world.rpc().send(world.owner.address, Some(STRANGER), &[]);
    let error = fill(&world, &chain).await.unwrap_err();
    let TxError::InFlight { latest, pending, from } = error else {
        panic!("{error}")
    };
    assert_eq!((from, latest, pending), (world.owner.address, nonce, nonce + 1));
}

#[tokio::test]
async fn r20_a_gas_price_out_of_all_proportion_is_refused() {
    let world = World::start();
    world.rpc().mine(25);
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        let mut fees = vec![json!("0x3b9aca00"); 20];
        fees.push(json!("0x174876e800"));
        let lie = method == "eth_feeHistory";
        lie.then(|| json!({"oldestBlock": "0x1", "baseFeePerGas": fees, "gasUsedRatio": [], "reward": []}))
    });
    let chain = connect(&[liar.url()]).await.unwrap();
    let error = fill(&world, &chain).await.unwrap_err();
    assert!(
        matches!(error, TxError::FeeCeiling { needed, .. } if needed > 100 * GWEI),
        "{error}"
    );
}

#[tokio::test]
async fn x25_an_own_ceiling_below_the_fee_is_told_with_the_number_needed() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let call = Call::add_compose_hash(world.app, HASH);
    let filling = Filling {
        fees: FeePolicy {
            ceiling: Some(1000),
            ..FeePolicy::default()
        },
        nonce: None,
    };
    let error = chain.fill(world.owner.address, &call, filling).await.unwrap_err();
    assert!(
        matches!(error, TxError::FeeCeiling { needed, ceiling: 1000 } if needed > 1000),
        "{error}"
    );
}

/// OP Stack chains have a contract at this address that says what a transaction's data costs besides its gas.
#[tokio::test]
async fn x6_what_the_chain_below_takes_for_the_data_is_part_of_the_cost() {
    const ORACLE: &str = "0x420000000000000000000000000000000000000F";
    let world = World::start();
    let chain = chain_of(&world).await;
    let call = Call::add_compose_hash(world.app, HASH);
    let quote = chain
        .fill(world.owner.address, &call, Filling::default())
        .await
        .unwrap();
    assert_eq!((quote.data_fee, quote.most()), (None, quote.request.most()));

    // Answers every call with the number of bytes that it was asked about, times 10^12.
    let code = "0x60043564e8d4a510000260005260206000f3";
    world.rpc().call("anvil_setCode", json!([ORACLE, code]));
    let quote = chain
        .fill(world.owner.address, &call, Filling::default())
        .await
        .unwrap();
    let fee = quote.data_fee.unwrap();
    let bytes = fee / U256::from(1_000_000_000_000_u64);
    // The unsigned bytes of the transaction itself are at most what was asked about.
    let unsigned = 4 + 32 + 20;
    assert!(
        bytes > U256::from(unsigned) && bytes < U256::from(4 * unsigned),
        "{bytes}"
    );
    assert_eq!(quote.most(), quote.request.most() + fee);

    let just_gas = quote.request.most();
    world
        .rpc()
        .call("anvil_setBalance", json!([world.owner.address, just_gas]));
    let error = fill(&world, &chain).await.unwrap_err();
    assert!(matches!(error, TxError::Funds { .. }), "{error}");

    // A contract there that does not know the question, as before Fjord.
    world.rpc().call("anvil_setCode", json!([ORACLE, "0x60006000fd"]));
    assert!(fill(&world, &chain).await.is_ok());
}

#[tokio::test]
async fn x12_x11_a_dropped_transaction_is_neither_in_a_pool_nor_in_a_block_and_its_bytes_work_again() {
    let world = still();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    world.rpc().call("anvil_dropTransaction", json!([tx.hash]));
    let sighting = look(&chain, &tx).await;
    assert!(!sighting.pooled && sighting.included.is_none());
    assert_eq!(sighting.nonce, tx.request.nonce);
    assert_eq!(chain.broadcast(&tx).await.unwrap(), Broadcast::Accepted);
    world.rpc().mine(1);
    assert!(look(&chain, &tx).await.included.is_some());
}

#[tokio::test]
async fn x10_a_fee_below_what_is_needed_leads_to_a_raise_that_is_mined() {
    let world = still();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    let mut watch = Watch::new(ONE);
    let nonce = tx.request.nonce;
    watch.step(&look(&chain, &tx).await, nonce, Duration::ZERO);
    let dear = tx.request.max_fee_per_gas + GWEI;
    for _ in 0..3 {
        world
            .rpc()
            .call("anvil_setNextBlockBaseFeePerGas", json!([U256::from(dear)]));
        world.rpc().mine(1);
    }
    let sighting = look(&chain, &tx).await;
    assert!(sighting.offered < sighting.needed, "{sighting:?}");
    assert_eq!(watch.step(&sighting, nonce, Duration::from_secs(6)), WatchAction::Bump);
    let request = tx.request.bumped(sighting.base_fee, &FeePolicy::default()).unwrap();
    assert_eq!(request.nonce, nonce);
    let raised = sign(request, world.owner);
    assert_eq!(chain.broadcast(&raised).await.unwrap(), Broadcast::Accepted);
    world.rpc().mine(1);
    let sighting = chain.look(&[tx, raised.clone()], ONE).await.unwrap();
    let action = watch.step(&sighting, nonce, Duration::from_secs(8));
    assert!(
        matches!(action, WatchAction::Settled(at) if at.transaction == raised.hash),
        "{action:?}"
    );
}

#[tokio::test]
async fn x17_a_transaction_that_moves_to_another_block_starts_counting_again() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    let first = mined(&chain, &tx).await.included.unwrap();
    world.rpc().mine(3);
    reorganise(&world, 4, &[(&tx, 2)]);
    let deep = Finality::Confirmations(4);
    let sighting = chain.look(std::slice::from_ref(&tx), deep).await.unwrap();
    let second = sighting.included.unwrap();
    assert_ne!(first.block, second.block);
    assert_eq!(second.block.number, first.block.number + 2);
    let action = Watch::new(deep).step(&sighting, tx.request.nonce, Duration::ZERO);
    assert!(matches!(action, WatchAction::Settling { .. }), "{action:?}");
    world.rpc().mine(2);
    let sighting = chain.look(&[tx], deep).await.unwrap();
    let action = Watch::new(deep).step(&sighting, second.block.number, Duration::ZERO);
    assert_eq!(action, WatchAction::Settled(second));
}

#[tokio::test]
async fn x18_a_transaction_whose_block_was_replaced_goes_out_again_and_is_mined_again() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    let mut watch = Watch::new(Finality::Confirmations(3));
    watch.step(&mined(&chain, &tx).await, tx.request.nonce, Duration::ZERO);
    reorganise(&world, 1, &[]);
    let sighting = look(&chain, &tx).await;
    assert_eq!((sighting.included, sighting.pooled), (None, false));
    let action = watch.step(&sighting, tx.request.nonce, Duration::from_secs(1));
    assert_eq!(action, WatchAction::Rebroadcast);
    assert_eq!(chain.broadcast(&tx).await.unwrap(), Broadcast::Accepted);
    mined(&chain, &tx).await;
    assert!(world.is_allowed(HASH));
}

#[tokio::test]
async fn x19_a_reorganisation_that_gives_the_nonce_to_another_is_seen_as_such() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    mined(&chain, &tx).await;
    let other = foreign(&world, &tx);
    reorganise(&world, 1, &[(&other, 0)]);
    let sighting = look(&chain, &tx).await;
    assert_eq!((sighting.included, sighting.nonce), (None, tx.request.nonce + 1));
}

#[tokio::test]
async fn r16_r15_a_receipt_of_a_block_that_the_chain_does_not_have_is_pending() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    mined(&chain, &tx).await;
    let receipt = world.rpc().receipt(tx.hash).unwrap();
    for (field, value) in [
        ("blockHash", json!(HASH)),
        ("blockHash", Value::Null),
        ("blockNumber", Value::Null),
    ] {
        let mut forged = receipt.clone();
        forged[field] = value.clone();
        let liar = Liar::to(&world.anvil.url(), move |method, _| {
            (method == "eth_getTransactionReceipt").then(|| forged.clone())
        });
        let sighting = look(&connect(&[liar.url()]).await.unwrap(), &tx).await;
        assert!(sighting.included.is_none() && sighting.pooled, "{field}: {value}");
    }
}

#[tokio::test]
async fn r14_one_endpoint_with_the_receipt_is_enough_to_see_it() {
    let world = World::start();
    let late = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getTransactionReceipt").then_some(Value::Null)
    });
    let chain = connect(&[late.url(), &world.anvil.url()]).await.unwrap();
    let tx = addition(&world, &chain, HASH).await;
    chain.broadcast(&tx).await.unwrap();
    assert!(mined(&chain, &tx).await.included.is_some());
}

#[tokio::test]
async fn r22_an_endpoint_that_names_another_hash_stops_everything() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_sendRawTransaction").then(|| json!(HASH))
    });
    let chain = connect(&[&world.anvil.url(), liar.url()]).await.unwrap();
    let tx = addition(&world, &chain, HASH).await;
    let outcome = chain.broadcast(&tx).await.unwrap();
    assert_eq!(outcome, Broadcast::Rejected(Rejection::OtherHash { said: HASH }));
}

#[tokio::test]
async fn x24_a9_a_lost_or_strange_reply_leaves_the_outcome_open() {
    let world = still();
    let strange = Liar::to(&world.anvil.url(), |method, _| {
        let lie = method == "eth_sendRawTransaction";
        lie.then(|| json!({"error": {"code": -32000, "message": "mystery \u{1b}[31m"}}))
    });
    let proxy = FaultProxy::to(&world.anvil.url());
    let chain = connect(&[&proxy.url()]).await.unwrap();
    let tx = addition(&world, &chain, HASH).await;
    proxy.on(Match::Any, Nth::Only(1), Action::ResetAfterForward);
    let lost = chain.broadcast(&tx).await.unwrap();
    assert!(matches!(lost, Broadcast::Ambiguous { .. }), "{lost:?}");
    assert!(look(&chain, &tx).await.pooled, "it had been taken");
    let said = connect(&[strange.url()]).await.unwrap().broadcast(&tx).await.unwrap();
    let Broadcast::Ambiguous { said } = said else {
        panic!("{said:?}")
    };
    assert!(said.contains("mystery") && !said.contains('\u{1b}'), "{said}");
}

#[tokio::test]
async fn bytes_that_never_left_are_an_error_and_not_an_unknown_outcome() {
    let world = World::start();
    let mut proxy = FaultProxy::to(&world.anvil.url());
    let chain = connect(&[&proxy.url()]).await.unwrap();
    let tx = addition(&world, &chain, HASH).await;
    proxy.refuse();
    let error = chain.broadcast(&tx).await.unwrap_err();
    assert!(matches!(error, ChainError::Unavailable { .. }), "{error}");
    assert_eq!(world.rpc().nonce(world.owner.address), tx.request.nonce);
}

#[tokio::test]
async fn r24_a_finality_that_no_endpoint_has_is_refused() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = addition(&world, &chain, HASH).await;
    let table = [
        json!({"error": {"code": -39001, "message": "Unknown block"}}),
        Value::Null,
    ];
    for answer in table {
        let liar = Liar::to(&world.anvil.url(), move |method, params| {
            (method == "eth_getBlockByNumber" && params[0] == "safe").then(|| answer.clone())
        });
        let chain = connect(&[liar.url()]).await.unwrap();
        let error = chain.look(std::slice::from_ref(&tx), Finality::Safe).await.unwrap_err();
        assert!(
            matches!(error, ChainError::NoFinalityTag { tag: "safe", .. }),
            "{error}"
        );
    }
    assert!(chain.look(&[tx], Finality::Safe).await.is_ok());
}

#[tokio::test]
async fn the_time_between_blocks_is_measured() {
    let world = World::start();
    world.rpc().call("anvil_setBlockTimestampInterval", json!([2]));
    world.rpc().mine(12);
    let time = chain_of(&world).await.block_time().await.unwrap();
    assert_eq!(time, Duration::from_secs(2));
}
