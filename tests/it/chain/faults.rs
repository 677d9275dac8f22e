//! Every fault that an Ethereum endpoint, or a transaction's life, can have, met by the whole program: judged by the
//! chain's logs, the cloud's requests and the journal. After the fault heals, a rerun lands exactly once.
//!
//! What the chain room's own tests show completely is not shown again:
//!
//! | case | shown by |
//! |---|---|
//! | R12 | `chain::reads::r12_…` (only chains with a known rhythm have it) |
//! | R13 | `chain::reads::r13_…`, `chain::watch` |
//! | R17 | `chain::proofs::r17_…` (a second endpoint contradicts the receipt or the state) |
//! | X4 | `chain::life::x4_…` |
//! | X7 | `chain::life::x7_…` (this program leaves a margin) |
//! | X12, X11 | `chain::life::x12_…`, `chain::watch` (a minute); eviction also by X10 here |
//! | X22 | `chain::life::x22_…` (anvil bounds every call by the block's gas as well) |
//! | R29 | `chain::reads::r29_…` |
//! | O1–O8, H4–H6 | `owners` |

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, ended, finished, legal, spawn};
use crate::support::contracts::abi;
use crate::support::world::{CVM, WorldOptions};
use crate::support::{Action, AnvilOptions, FaultProxy, Match, Message, Moment, Nth, World, until};

const SEND: &str = "eth_sendRawTransaction";

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

fn automine(world: &World) {
    world.rpc().call("evm_setAutomine", json!([true]));
    world.rpc().mine(1);
}

/// The fault is over.
fn heal(flow: &mut Flow<'_>) {
    flow.env.retain(|(name, _)| name != "ETH_RPC_URL");
}

/// The healthy rerun.
#[track_caller]
fn lands(flow: &Flow<'_>) {
    flow.step("resume").exits(0);
    finished(flow);
}

/// Signed bytes of the upgrade, oldest first.
fn signed(flow: &Flow<'_>) -> Vec<(B256, Value)> {
    let records = flow
        .journal()
        .into_iter()
        .filter(|record| record["kind"] == "tx.signed");
    records
        .map(|record| {
            let hash = serde_json::from_value(record["body"]["hash"].clone()).unwrap();
            (hash, record["body"]["raw"].clone())
        })
        .collect()
}

fn count(flow: &Flow<'_>, kind: &str) -> usize {
    flow.kinds().iter().filter(|one| *one == kind).count()
}

/// Another transaction of the owner's with this nonce and high fees; not mined here.
fn other_of_owner(world: &World, nonce: u64) -> B256 {
    let gas = "0x174876e800";
    let owner = world.owner.address;
    let transaction = json!({"from": owner, "to": owner, "value": "0x1", "nonce": U256::from(nonce),
        "maxFeePerGas": gas, "maxPriorityFeePerGas": gas});
    serde_json::from_value(world.rpc().call("eth_sendTransaction", json!([transaction]))).unwrap()
}

/// Nothing was signed.
#[track_caller]
fn unsigned(flow: &Flow<'_>) {
    assert_eq!(count(flow, "tx.signed"), 0, "{:?}", flow.kinds());
    assert_eq!(flow.world.rpc().nonce(flow.world.owner.address), 0);
    flow.nothing_happened();
}

#[test]
fn r1_without_an_endpoint_nothing_begins_and_later_all_of_it_happens() {
    let world = World::start();
    let mut proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    proxy.refuse();
    for step in ["plan", "upgrade"] {
        flow.step(step).exits(75).says("RPC_UNAVAILABLE");
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    proxy.listen_again();
    flow.step("upgrade").exits(0);
    finished(&flow);
}

#[test]
fn r2_an_endpoint_that_goes_away_while_waiting_is_waited_for_and_a_deadline_means_pending() {
    let world = still();
    let mut proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let looked = |proxy: &FaultProxy, flow: &Flow<'_>, timeout: &str| {
        let gate = proxy.gate(Match::Rpc("eth_getTransactionReceipt"), Nth::Only(1), Moment::Answered);
        let child = spawn(flow, "wait", &["--timeout", timeout]);
        gate.wait();
        child
    };
    let child = looked(&proxy, &flow, "3s");
    proxy.refuse();
    ended(child).exits(8).says("PENDING_INCLUSION");
    proxy.listen_again();
    let child = looked(&proxy, &flow, "10m");
    proxy.refuse();
    automine(&world);
    std::thread::sleep(Duration::from_millis(500));
    proxy.listen_again();
    ended(child).exits(0);
    lands(&flow);
}

fn error_answer() -> Message {
    let body = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"message":"limit exceeded"}}"#;
    Message::answer(200, &[("content-type", "application/json")], body)
}

#[test]
fn r3_to_r8_bad_answers_are_discarded_and_one_never_ends_the_upgrade() {
    let late = Message::answer(429, &[("retry-after", "1")], "slow down");
    let faults = [
        ("r3", Action::Drip(Duration::from_micros(50))),
        ("r3", Action::Truncate),
        ("r3", Action::ResetAfterRead),
        ("r4", Action::Answer(late)),
        ("r4", Action::ForwardThenStatus(503)),
        ("r5", Action::Answer(error_answer())),
        ("r6", Action::Html),
        ("r6", Action::Empty),
        ("r7", Action::Big(6 << 20)),
        ("r7", Action::GzipBomb),
        ("r7", Action::DeepJson(100_000)),
        ("r8", Action::WrongId),
        ("r8", Action::WrongLength),
    ];
    each(&faults, |(id, action)| {
        let world = World::start();
        let proxy = FaultProxy::to(&world.anvil.url());
        let flow = Flow::new(&world).chain_at(&proxy.url());
        for nth in [2, 5, 8, 12] {
            proxy.on(Match::Any, Nth::Only(nth), action.clone());
        }
        let ran = flow.step("upgrade");
        assert!([0, 9, 75].contains(&ran.exit), "{id}: {}", ran.said);
        proxy.heal();
        flow.step("upgrade").exits(0);
        finished(&flow);
    });
}

#[test]
fn r9_another_chain_stops_before_anything() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_chainId").then(|| json!("0x1"))
    });
    let flow = Flow::new(&world).chain_at(liar.url());
    for step in ["plan", "upgrade"] {
        flow.step(step).exits(5).says("CHAIN_MISMATCH");
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    assert!(!flow.dir.exists());
}

#[test]
fn r10_x23_a_chain_that_becomes_another_one_stops_every_step() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    let become_chain = |id: u64| world.rpc().call("anvil_setChainId", json!([id]));
    flow.step("prepare").exits(0);
    become_chain(1);
    flow.step("execute").exits(5).says("CHAIN_MISMATCH");
    become_chain(31337);
    unsigned(&flow);

    let gate = proxy.gate(Match::Rpc(SEND), Nth::Only(1), Moment::Arrived);
    let child = spawn(&flow, "execute", &[]);
    gate.wait();
    become_chain(1);
    gate.open();
    ended(child).exits(5).says("CHAIN_MISMATCH");
    assert_eq!((count(&flow, "tx.signed"), count(&flow, "tx.sent")), (1, 0));
    become_chain(31337);
    flow.step("execute").exits(0);
    for step in ["wait", "commit"] {
        become_chain(1);
        flow.step(step).exits(5).says("CHAIN_MISMATCH");
        become_chain(31337);
        flow.step("wait").exits(0);
    }
    flow.nothing_committed();
    lands(&flow);
}

#[test]
fn r11_base_with_another_first_block_stops() {
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            chain_id: 8453,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    for step in ["plan", "upgrade"] {
        flow.step(step).exits(5).says("GENESIS_MISMATCH");
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
}

/// A receipt that an endpoint shows otherwise than it is, for a transaction that was mined.
fn receipt_lie(id: &'static str, change: fn(&mut Value)) {
    let world = World::start();
    let mut flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let rpc = world.rpc();
    let (hash, _) = signed(&flow)[0];
    let mut receipt = rpc.mined(hash);
    change(&mut receipt);
    let lie = move |method: &str, _: &Value| (method == "eth_getTransactionReceipt").then(|| receipt.clone());
    let liar = Liar::to(rpc.url(), lie);
    flow = flow.chain_at(liar.url());
    for step in ["wait", "resume"] {
        let ran = flow.with(step, &["--timeout", "4s"]);
        assert_eq!(ran.exit, 8, "{id}: {}", ran.said);
        assert_eq!(count(&flow, "tx.gone"), 0, "{id}: {}", ran.said);
        assert_eq!(count(&flow, "tx.final"), 0, "{id}: {}", ran.said);
    }
    flow.nothing_committed();
    heal(&mut flow);
    lands(&flow);
}

#[test]
fn r14_a_receipt_that_is_kept_back_is_waited_for() {
    receipt_lie("r14", |receipt| *receipt = Value::Null);
}

#[test]
fn r15_a_receipt_without_a_block_is_pending() {
    receipt_lie("r15", |receipt| {
        receipt["blockHash"] = Value::Null;
        receipt["blockNumber"] = Value::Null;
    });
}

#[test]
fn r16_a_receipt_of_a_block_that_is_not_on_the_chain_is_pending() {
    receipt_lie("r16", |receipt| receipt["blockHash"] = json!(B256::repeat_byte(9)));
}

/// Runs with an honest and a lying endpoint.
fn contradicted(flow: &Flow<'_>, step: &str, liar: &Liar) {
    let honest = flow.world.anvil.url();
    let stopped = flow.with(step, &["--rpc-url", liar.url(), "--rpc-url", &honest]);
    stopped.exits(5).says("RPC_DISAGREEMENT");
}

fn is_call(params: &Value, call: [u8; 4]) -> bool {
    let data: Option<Bytes> = ["data", "input"]
        .iter()
        .find_map(|name| params[0][*name].as_str()?.parse().ok());
    data.is_some_and(|data| data.starts_with(&call))
}

#[test]
fn r18_r19_a_forged_owner_or_allowance_is_contradicted_by_the_second_endpoint() {
    let world = World::start();
    let flow = Flow::new(&world);
    let stranger = Liar::to(&world.anvil.url(), |method, params| {
        let asked = method == "eth_call" && is_call(params, abi::ownerCall::SELECTOR);
        asked.then(|| json!(Address::repeat_byte(0x57).into_word()))
    });
    contradicted(&flow, "plan", &stranger);
    flow.step("prepare").exits(0);
    let allowed = Liar::to(&world.anvil.url(), |method, params| {
        let asked = method == "eth_call" && is_call(params, abi::allowedComposeHashesCall::SELECTOR);
        asked.then(|| json!(B256::with_last_byte(1)))
    });
    contradicted(&flow, "execute", &allowed);
    unsigned(&flow);
    flow.step("execute").exits(0);
    let denied = Liar::to(&world.anvil.url(), |method, params| {
        let asked = method == "eth_call" && is_call(params, abi::allowedComposeHashesCall::SELECTOR);
        asked.then(|| json!(B256::ZERO))
    });
    contradicted(&flow, "wait", &denied);
    flow.nothing_committed();
    lands(&flow);
}

#[test]
fn r20_x25_fees_above_the_ceiling_are_waited_out_and_nothing_is_signed() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let own = flow
        .with("execute", &["--max-fee", "0.000001"])
        .exits(8)
        .says("PENDING_FEES");
    assert!(own.said.contains("1000"), "the ceiling in wei: {}", own.said);
    unsigned(&flow);
    world
        .rpc()
        .call("anvil_setNextBlockBaseFeePerGas", json!(["0x746a528800000"]));
    flow.step("execute").exits(8).says("PENDING_FEES");
    unsigned(&flow);
    world
        .rpc()
        .call("anvil_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"]));
    lands(&flow);
}

#[test]
fn r21_a_call_that_would_fail_is_not_sent_and_the_reason_is_named() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    // OwnableUnauthorizedAccount(address)
    let refusal = json!({"error": {"code": 3, "message": "execution reverted",
        "data": format!("0x118cdaa7{}", hex::encode(world.owner.address.into_word()))}});
    let liar = Liar::to(&world.anvil.url(), move |method, params| {
        let asked =
            matches!(method, "eth_estimateGas" | "eth_call") && is_call(params, abi::addComposeHashCall::SELECTOR);
        asked.then(|| refusal.clone())
    });
    flow = flow.chain_at(liar.url());
    let refused = flow.step("execute").exits(6).says("TX_WOULD_REVERT");
    assert!(refused.said.contains("OwnableUnauthorizedAccount"), "{}", refused.said);
    unsigned(&flow);
    heal(&mut flow);
    lands(&flow);
}

#[test]
fn r22_an_endpoint_that_names_another_hash_stops_and_the_same_bytes_land_later() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == SEND).then(|| json!(B256::repeat_byte(0x22)))
    });
    let mut flow = Flow::new(&world).chain_at(liar.url());
    flow.step("prepare").exits(0);
    flow.step("execute").exits(5).says("TX_HASH_MISMATCH");
    flow.nothing_happened();
    heal(&mut flow);
    let (hash, _) = signed(&flow)[0];
    lands(&flow);
    assert_eq!(signed(&flow).len(), 1);
    assert!(world.rpc().receipt(hash).is_some(), "the first bytes were mined");
}

#[test]
fn x9_x24_a_send_that_was_refused_for_unknown_reasons_is_sent_again_as_it_was() {
    for said in ["internal error", "txpool is full", "service busy"] {
        let world = World::start();
        let sent = std::sync::Arc::new(Mutex::new(Vec::new()));
        let log = std::sync::Arc::clone(&sent);
        let broken = std::sync::Arc::new(AtomicBool::new(true));
        let switch = std::sync::Arc::clone(&broken);
        let liar = Liar::to(&world.anvil.url(), move |method, params| {
            if method == SEND {
                log.lock().unwrap().push(params[0].clone());
            }
            let lies = method == SEND && switch.load(Ordering::SeqCst);
            lies.then(|| json!({"error": {"code": -32000, "message": said}}))
        });
        let flow = Flow::new(&world).chain_at(liar.url());
        flow.step("prepare").exits(0);
        let unknown = flow.step("execute").exits(9).says("BROADCAST_UNKNOWN");
        assert_ne!(unknown.effect("transaction"), "done");
        broken.store(false, Ordering::SeqCst);
        lands(&flow);
        let sent = sent.lock().unwrap();
        assert!(sent.len() == 2 && sent[0] == sent[1], "the same bytes: {sent:?}");
    }
}

#[test]
fn r23_bytes_that_were_taken_and_dropped_are_pending_and_go_out_again_after_half_a_minute() {
    let world = World::start();
    let sent = std::sync::Arc::new(Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&sent);
    let liar = Liar::to(&world.anvil.url(), move |method, params| {
        let raw: Bytes = params[0].as_str().filter(|_| method == SEND)?.parse().ok()?;
        let mut sent = log.lock().unwrap();
        sent.push(raw.clone());
        (sent.len() == 1).then(|| json!(keccak256(&raw)))
    });
    let flow = Flow::new(&world).chain_at(liar.url());
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    flow.with("wait", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_INCLUSION");
    flow.nothing_happened();
    lands(&flow);
    let sent = sent.lock().unwrap();
    assert!(sent.len() == 2 && sent[0] == sent[1], "the same bytes: {sent:?}");
}

#[test]
fn r24_a_finality_that_the_endpoint_does_not_have_needs_a_decision() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let liar = Liar::to(&world.anvil.url(), |method, params| {
        let asked = method == "eth_getBlockByNumber" && params[0] == "finalized";
        asked.then(|| json!({"error": {"code": -39001, "message": "Unknown block"}}))
    });
    flow = flow.chain_at(liar.url());
    flow.with("wait", &["--finality", "finalized"])
        .exits(6)
        .says("RPC_NO_FINALITY_TAG");
    flow.nothing_committed();
    heal(&mut flow);
    lands(&flow);
}

#[test]
fn r25_endpoints_that_know_no_block_hashes_are_asked_by_number() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |_, params| {
        let by_hash = params
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one.get("blockHash").is_some()));
        by_hash.then(|| json!({"error": {"code": -32602, "message": "invalid argument 1: hex string expected"}}))
    });
    let flow = Flow::new(&world).chain_at(liar.url());
    flow.step("upgrade").exits(0);
    finished(&flow);
}

#[test]
fn r26_a_key_with_a_transaction_in_flight_signs_no_other() {
    let world = still();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    other_of_owner(&world, 0);
    let refused = flow.step("execute").exits(6).says("TX_IN_FLIGHT");
    assert!(
        refused.said.contains(&world.owner.address.to_string()),
        "{}",
        refused.said
    );
    unsigned(&flow);
    automine(&world);
    flow.step("resume").exits(0);
    flow.landed_once();
    legal(&flow);
    assert_eq!(world.rpc().nonce(world.owner.address), 2);
}

#[test]
fn r26_x8_a_nonce_that_was_chosen_goes_behind_what_is_in_flight_and_leaves_no_gap() {
    let world = still();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    other_of_owner(&world, 0);
    world.rpc().mine(1);
    flow.with("execute", &["--nonce", "0"]).exits(6).says("TX_NONCE_USED");
    other_of_owner(&world, 1);
    flow.with("execute", &["--nonce", "3"]).exits(6).says("TX_NONCE_GAP");
    assert_eq!(count(&flow, "tx.signed"), 0, "{:?}", flow.kinds());
    flow.with("execute", &["--nonce", "2"]).exits(0);
    automine(&world);
    // The choice was for the signing: what is signed keeps its nonce.
    flow.with("resume", &["--nonce", "7"]).exits(0);
    flow.landed_once();
    legal(&flow);
    assert_eq!(world.rpc().nonce(world.owner.address), 3);
}

#[test]
fn r27_no_failure_spreads_the_key_in_an_endpoints_address() {
    const CANARY: &str = "c4n4ry-5ecret";
    let actions = [
        Action::ResetAfterRead,
        Action::Html,
        Action::Answer(error_answer()),
        Action::ForwardThenStatus(500),
        Action::Redirect(format!("http://127.0.0.1:1/{CANARY}")),
    ];
    each(&actions, |action| {
        let world = World::start();
        let proxy = FaultProxy::to(&world.anvil.url());
        let place = format!("{}/v3/{CANARY}?key={CANARY}", proxy.url());
        let flow = Flow::new(&world).chain_at(&place);
        proxy.on(Match::Any, Nth::Every, action.clone());
        let failed = flow.with("upgrade", &["-vv"]);
        assert_ne!(failed.exit, 0, "{}", failed.said);
        assert!(!failed.said.contains(CANARY), "{}", failed.said);
        proxy.heal();
        let flow = flow.chain_at(&format!("{}/?key={CANARY}", proxy.url()));
        let done = flow.with("upgrade", &["-vv"]).exits(0);
        assert!(!done.said.contains(CANARY), "{}", done.said);
        for name in ["journal", "proposal.json", "evidence.json", "evidence.md"] {
            let text = std::fs::read_to_string(flow.dir.join(name)).unwrap();
            assert!(!text.contains(CANARY), "{name}");
        }
        finished(&flow);
    });
}

#[test]
fn r28_proxies_that_the_environment_names_are_not_asked() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        flow.env.push((name.to_owned(), "http://127.0.0.1:1".to_owned()));
    }
    flow.step("upgrade").exits(0);
    finished(&flow);
}

#[test]
fn r30_h1_without_logs_the_state_is_the_proof() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!({"error": {"code": -32005, "message": "range too large"}}))
    });
    let flow = Flow::new(&world).chain_at(liar.url());
    world.allow(flow.hash);
    flow.step("upgrade").exits(0);
    flow.landed_once();
    assert_eq!(world.rpc().nonce(world.owner.address), 1);
}

#[test]
fn x1_x2_bytes_that_arrive_twice_or_whose_reply_is_lost_are_sent() {
    let ways = [
        Action::Twice,
        Action::ResetAfterForward,
        Action::ResetAfterRead,
        Action::ForwardThenStatus(502),
    ];
    each(&ways, |action| {
        let world = World::start();
        let proxy = FaultProxy::to(&world.anvil.url());
        let flow = Flow::new(&world).chain_at(&proxy.url());
        proxy.on(Match::Rpc(SEND), Nth::Only(1), action.clone());
        let ran = flow.step("upgrade");
        assert!([0, 9].contains(&ran.exit), "{}", ran.said);
        flow.step("resume").exits(0);
        finished(&flow);
        assert_eq!(signed(&flow).len(), 1);
    });
}

/// What follows when a stranger has our nonce: nothing by itself, one more transaction with consent.
#[track_caller]
fn goes_on_with_a_new_nonce(flow: &Flow<'_>) {
    let world = flow.world;
    flow.step("wait").exits(6).says("TX_REPLACED");
    flow.step("resume").exits(6).says("TX_GONE");
    flow.nothing_happened();
    assert_eq!(
        world.rpc().nonce(world.owner.address),
        1,
        "no new nonce without consent"
    );
    flow.with("execute", &["--new-nonce"]).exits(0);
    flow.step("resume").exits(0);
    flow.landed_once();
    assert_eq!(world.rpc().nonce(world.owner.address), 2);
}

#[test]
fn x3_a_nonce_that_is_used_while_the_bytes_are_on_their_way_is_gone() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    let gate = proxy.gate(Match::Rpc(SEND), Nth::Only(1), Moment::Arrived);
    let child = spawn(&flow, "execute", &[]);
    gate.wait();
    world.rpc().mined(other_of_owner(&world, 0));
    gate.open();
    ended(child).exits(0);
    goes_on_with_a_new_nonce(&flow);
}

#[test]
fn x13_a_transaction_that_its_owner_cancelled_is_gone() {
    let world = still();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    other_of_owner(&world, 0);
    automine(&world);
    goes_on_with_a_new_nonce(&flow);
}

#[test]
fn x19_a_reorganisation_that_gives_the_nonce_to_another_transaction_ends_it() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let snapshot = world.rpc().call("evm_snapshot", json!([]));
    let other = other_of_owner(&world, 0);
    world.rpc().mined(other);
    let raw = world.rpc().call("debug_getRawTransaction", json!([other]));
    world.rpc().call("evm_revert", json!([snapshot]));
    flow.step("execute").exits(0);
    world.rpc().mined(signed(&flow)[0].0);
    world.rpc().call("anvil_reorg", json!([1, [[raw, 0]]]));
    goes_on_with_a_new_nonce(&flow);
}

#[test]
fn x5_fees_that_rise_between_signing_and_sending_are_followed_with_the_same_nonce() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    let gate = proxy.gate(Match::Rpc(SEND), Nth::Only(1), Moment::Arrived);
    let child = spawn(&flow, "execute", &[]);
    gate.wait();
    raise_base_fee(&flow);
    gate.open();
    ended(child).exits(0);
    assert_eq!(signed(&flow).len(), 2, "raised once");
    lands(&flow);
}

/// The next block asks for somewhat more than the last signed transaction pays.
fn raise_base_fee(flow: &Flow<'_>) {
    let last = flow
        .journal()
        .into_iter()
        .rfind(|record| record["kind"] == "tx.signed")
        .unwrap();
    let cap: u128 = number(&last["body"]["request"]["max_fee_per_gas"]);
    let fee = U256::from(cap * 5 / 4);
    flow.world.rpc().call("anvil_setNextBlockBaseFeePerGas", json!([fee]));
}

fn number(value: &Value) -> u128 {
    value
        .as_u64()
        .map(u128::from)
        .or_else(|| value.as_str()?.parse().ok())
        .unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn x6_a_key_without_money_is_told_what_it_needs_and_goes_on_when_it_has_it() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    let balance = |wei: &str| world.rpc().call("anvil_setBalance", json!([world.owner.address, wei]));
    flow.step("prepare").exits(0);
    balance("0x7");
    let poor = flow.step("execute").exits(6).says("TX_FUNDS");
    assert!(poor.said.contains("has 7 wei and needs"), "{}", poor.said);
    unsigned(&flow);
    balance("0xde0b6b3a7640000");
    let gate = proxy.gate(Match::Rpc(SEND), Nth::Only(1), Moment::Arrived);
    let child = spawn(&flow, "execute", &[]);
    gate.wait();
    balance("0x7");
    gate.open();
    ended(child).exits(6).says("FUNDS");
    flow.nothing_happened();
    balance("0xde0b6b3a7640000");
    lands(&flow);
    assert_eq!(signed(&flow).len(), 1, "the same bytes");
}

#[test]
fn x10_x11_a_stuck_transaction_is_raised_on_the_same_nonce() {
    let world = still();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let child = spawn(&flow, "resume", &[]);
    let raised = until("a raise", || {
        if count(&flow, "tx.signed") == 1 {
            raise_base_fee(&flow);
            world.rpc().mine(1);
            std::thread::sleep(Duration::from_millis(200));
        }
        (count(&flow, "tx.signed") > 1).then(|| signed(&flow))
    });
    until("the raise in the pool", || {
        let newest = signed(&flow).pop()?.0;
        let known = world.rpc().call("eth_getTransactionByHash", json!([newest]));
        (!known.is_null()).then_some(())
    });
    automine(&world);
    ended(child).exits(0);
    finished(&flow);
    assert!(
        world.rpc().receipt(raised[0].0).is_none(),
        "only the raised one was mined"
    );
}

#[test]
fn x14_a_transaction_that_the_wallet_sped_up_is_adopted() {
    let world = still();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let call = Bytes::from(abi::addComposeHashCall { composeHash: flow.hash }.abi_encode());
    let faster = json!({"from": world.owner.address, "to": world.app, "data": call, "nonce": "0x0",
        "maxFeePerGas": "0x174876e800", "maxPriorityFeePerGas": "0x174876e800"});
    let faster = world.rpc().call("eth_sendTransaction", json!([faster]));
    automine(&world);
    let waited = flow.step("wait").exits(0);
    assert_eq!(waited.fact("transaction_hash"), &faster);
    lands(&flow);
    assert_eq!(flow.json_file("evidence.json")["transaction"]["hash"], faster);
}

#[test]
fn x16_a_transaction_that_ran_out_of_gas_fails_and_another_needs_consent() {
    let world = World::start();
    let little = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_estimateGas").then(|| json!("0x6978"))
    });
    let mut flow = Flow::new(&world).chain_at(little.url());
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let failed = flow.step("wait").exits(7).says("TX_REVERTED");
    assert!(failed.said.to_lowercase().contains("gas"), "{}", failed.said);
    heal(&mut flow);
    flow.step("resume").exits(6).says("TX_GONE");
    assert_eq!(world.rpc().nonce(world.owner.address), 1);
    flow.with("resume", &["--new-nonce"]).exits(0);
    flow.landed_once();
    assert_eq!(world.rpc().nonce(world.owner.address), 2);
}

/// Sent, seen in a block, and waiting for two more.
fn half_buried(flow: &Flow<'_>) -> std::process::Child {
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let child = spawn(flow, "wait", &["--confirmations", "3"]);
    until("tx.seen", || (count(flow, "tx.seen") == 1).then_some(()));
    child
}

#[test]
fn x17_a_transaction_that_moves_to_another_block_starts_counting_again() {
    let world = World::start();
    let flow = Flow::new(&world);
    let child = half_buried(&flow);
    let raw = signed(&flow)[0].1.clone();
    world.rpc().mine(1);
    world.rpc().call("anvil_reorg", json!([2, [[raw, 1]]]));
    until("a second tx.seen", || (count(&flow, "tx.seen") == 2).then_some(()));
    assert_eq!(count(&flow, "tx.final"), 0);
    world.rpc().mine(2);
    ended(child).exits(0);
    lands(&flow);
    let receipt = world.rpc().receipt(signed(&flow)[0].0).unwrap();
    assert_eq!(flow.json_file("evidence.json")["block"]["hash"], receipt["blockHash"]);
}

#[test]
fn x18_a_transaction_whose_block_was_replaced_goes_out_again_at_once_as_it_was() {
    let world = World::start();
    let flow = Flow::new(&world);
    let child = half_buried(&flow);
    let hash = signed(&flow)[0].0;
    world.rpc().call("anvil_reorg", json!([1, []]));
    world.rpc().mined(hash);
    world.rpc().mine(3);
    ended(child).exits(0);
    lands(&flow);
    assert_eq!(signed(&flow).len(), 1);
}

#[test]
fn x18_a_block_that_is_replaced_after_it_was_proof_is_no_proof_for_the_commit() {
    let world = World::start();
    let flow = Flow::new(&world);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let hash = signed(&flow)[0].0;
    world.rpc().call("anvil_reorg", json!([1, []]));
    assert!(!world.is_allowed(flow.hash));
    flow.step("commit").exits(0);
    finished(&flow);
    let receipt = world.rpc().receipt(hash).unwrap();
    assert_eq!(flow.json_file("evidence.json")["block"]["hash"], receipt["blockHash"]);
}

#[test]
fn x21_a_block_that_was_called_safe_and_is_replaced_stops_everything() {
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            slots_in_epoch: Some(1),
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    world.rpc().mine(2);
    flow.with("wait", &["--finality", "safe"]).exits(0);
    world.rpc().call("anvil_reorg", json!([3, []]));
    world.rpc().mine(3);
    flow.with("commit", &["--finality", "safe"])
        .exits(5)
        .says("CHAIN_NOT_TRUSTWORTHY");
    flow.nothing_committed();
}

#[test]
fn x19_a_stranger_that_takes_the_nonce_after_the_proof_ends_it_before_the_commit() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let snapshot = world.rpc().call("evm_snapshot", json!([]));
    let other = other_of_owner(&world, 0);
    world.rpc().mined(other);
    let raw = world.rpc().call("debug_getRawTransaction", json!([other]));
    world.rpc().call("evm_revert", json!([snapshot]));
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    world.rpc().call("anvil_reorg", json!([1, [[raw, 0]]]));
    flow.step("commit").exits(6).says("TX_REPLACED");
    flow.nothing_happened();
    flow.with("execute", &["--new-nonce"]).exits(0);
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn x20_a_reorganisation_after_the_commit_is_healed_by_the_same_bytes() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.with("upgrade", &["--no-wait"]).exits(0);
    world.cloud.wait_for_hash(CVM, flow.hash);
    world.rpc().call("anvil_reorg", json!([1, []]));
    assert!(!world.is_allowed(flow.hash));
    lands(&flow);
    assert!(world.is_allowed(flow.hash));
    assert_eq!(signed(&flow).len(), 1);
}

#[test]
fn x20_a_committed_hash_that_cannot_come_back_is_a_failure() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.with("upgrade", &["--no-wait"]).exits(0);
    world.cloud.wait_for_hash(CVM, flow.hash);
    world.rpc().call("anvil_reorg", json!([1, []]));
    world.rpc().mined(other_of_owner(&world, 0));
    let failed = flow.step("resume");
    failed.exits(7).says("COMMITTED_BUT_NOT_ALLOWED");
    assert!(!world.is_allowed(flow.hash));
}

#[test]
fn x26_a_chain_that_halts_after_inclusion_does_not_stop_the_clock() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let halted: Ran = flow.with("wait", &["--confirmations", "5", "--timeout", "1s"]);
    halted.exits(8).says("PENDING_CONFIRMATIONS");
    flow.nothing_committed();
    world.rpc().mine(5);
    flow.with("resume", &["--confirmations", "5"]).exits(0);
    finished(&flow);
}
