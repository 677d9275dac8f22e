//! Several endpoints: as many as were named have to agree, one that is missing is waited for and named, and none of them
//! proves, signs or commits anything alone. Then the matrix of what endpoints do, met by every step.

use std::time::{Duration, Instant};

use alloy::primitives::{B256, Bytes, U256, keccak256};
use alloy::sol_types::SolCall;
use countersign::chain::{Chain, Options, quorum::Quorum};
use countersign::http::{Http, Limits};
use countersign::safe::executed::find_execution;
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, finished, say};
use crate::support::contracts::{self, abi};
use crate::support::world::{AppVariant, SafeOptions};
use crate::support::{Action, Anvil, AnvilOptions, FaultProxy, Match, Message, Nth, World, WorldOptions};

/// For a run that is to end soon because an endpoint is missing.
const SOON: [&str; 2] = ["--timeout", "1500ms"];

fn at<'a>(urls: &[&'a str]) -> Vec<&'a str> {
    urls.iter().flat_map(|url| ["--rpc-url", url]).collect()
}

/// A step with these endpoints.
fn step(flow: &Flow<'_>, step: &str, (urls, more): (&[&str], &[&str])) -> Ran {
    flow.with(step, &[&at(urls), more].concat())
}

fn answered(status: u16, headers: &[(&str, &str)]) -> Action {
    Action::Answer(Message::answer(status, headers, "no"))
}

/// A chain of its own that has everything up to now, and goes on alone.
fn fork(world: &World) -> Anvil {
    Anvil::start(AnvilOptions {
        more: vec!["--fork-url".to_owned(), world.anvil.url()],
        ..AnvilOptions::default()
    })
}

/// One on which the hash is allowed and nothing else is different.
fn lying_fork(flow: &Flow<'_>) -> Anvil {
    let anvil = fork(flow.world);
    let call = abi::addComposeHashCall { composeHash: flow.hash };
    anvil.rpc().execute(flow.world.owner.address, flow.world.app, &call);
    anvil.rpc().mine(5);
    anvil
}

#[track_caller]
fn no_proof(flow: &Flow<'_>, ran: &Ran) {
    let kinds = flow.kinds();
    let proved = |kind: &String| kind == "adopted" || kind == "tx.final";
    assert!(!kinds.iter().any(proved), "{kinds:?}: {}", ran.said);
}

#[track_caller]
fn nothing_proved(flow: &Flow<'_>, ran: &Ran) {
    no_proof(flow, ran);
    flow.nothing_happened();
}

#[test]
fn se2_r2_a_liar_proves_nothing_while_the_honest_endpoint_fails() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let liar = lying_fork(&flow);
    let faults = [
        (Match::Any, Nth::Every, answered(429, &[])),
        (Match::Any, Nth::Every, answered(500, &[])),
        (Match::Any, Nth::Every, Action::ResetAfterRead),
        (Match::Rpc("eth_call"), Nth::Every, answered(500, &[])),
        (Match::Rpc("eth_getBlockByNumber"), Nth::From(3), answered(403, &[])),
        (Match::Any, Nth::Only(1), answered(429, &[])),
    ];
    for (matches, nth, action) in &faults {
        let honest = FaultProxy::to(&world.anvil.url());
        let liar = liar.url();
        let once = matches!(nth, Nth::Only(_));
        for (command, urls) in [
            ("wait", [honest.url(), liar.clone()]),
            ("execute", [liar.clone(), honest.url()]),
        ] {
            if once && command == "execute" {
                continue;
            }
            honest.heal();
            honest.on(matches.clone(), *nth, action.clone());
            let ran = step(&flow, command, (&[&urls[0], &urls[1]], &SOON));
            assert_eq!(ran.exit, 8, "{}", ran.said);
            assert!(
                once || ran.json["message"].to_string().contains(&honest.url()),
                "{}",
                ran.said
            );
            assert!(once || ran.json["code"] == "PENDING_ENDPOINTS", "{}", ran.said);
            nothing_proved(&flow, &ran);
        }
    }
    flow.step("resume").exits(0);
    finished(&flow);
    let evidence = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(evidence.contains("endpoints that agree | 1 of 1: "), "{evidence}");
}

#[test]
fn se2_r2_a_hanging_endpoint_ends_with_the_time_for_the_run() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let (liar, honest) = (lying_fork(&flow), FaultProxy::to(&world.anvil.url()));
    honest.on(Match::Any, Nth::Every, Action::Swallow);
    let began = Instant::now();
    let ran = step(&flow, "wait", (&[&liar.url(), &honest.url()], &SOON));
    ran.exits(8).says("PENDING_ENDPOINTS");
    // One request may take ten seconds by itself.
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    flow.nothing_happened();
}

#[test]
fn se2_r3_another_block_at_one_height_is_a_disagreement_and_names_both() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let other = fork(&world);
    for anvil in [&world.anvil, &other] {
        anvil.rpc().call("evm_increaseTime", json!([anvil.id() % 1000 + 5]));
        anvil.rpc().mine(2);
    }
    for urls in [[world.anvil.url(), other.url()], [other.url(), world.anvil.url()]] {
        let ran = step(&flow, "wait", (&[&urls[0], &urls[1]], &SOON))
            .exits(5)
            .says("RPC_DISAGREEMENT");
        assert!(urls.iter().all(|url| ran.said.contains(url)), "{}", ran.said);
    }
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn se2_r3_one_that_hides_the_transaction_is_named() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let hides = Liar::to(&world.anvil.url(), |method, _| match method {
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" => Some(Value::Null),
        "eth_getLogs" => Some(json!([])),
        _ => None,
    });
    for urls in [
        [world.anvil.url(), hides.url().to_owned()],
        [hides.url().to_owned(), world.anvil.url()],
    ] {
        let ran = step(&flow, "wait", (&[&urls[0], &urls[1]], &SOON)).exits(8);
        assert!(ran.json["message"].to_string().contains(hides.url()), "{}", ran.said);
    }
    flow.step("resume").exits(0);
    finished(&flow);
}

/// A log of the hash that names this transaction, as if it were newer than the real one.
fn forged_log(world: &World, hash: B256, transaction: B256) -> Value {
    let receipt = world.rpc().receipt(transaction).unwrap();
    let (topic, data) = contracts::compose_hash_added(hash);
    json!({"address": world.app, "topics": [topic], "data": data, "blockNumber": receipt["blockNumber"],
        "blockHash": receipt["blockHash"], "transactionHash": transaction, "transactionIndex": "0x0",
        "logIndex": "0xff", "removed": false})
}

#[test]
fn se2_r3_a_log_that_names_another_transaction_accuses_nobody() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let real = world.allow(flow.hash);
    let other = world.rpc().send(world.owner.address, Some(world.owner.address), &[]);
    world.rpc().mined(other);
    let log = forged_log(&world, flow.hash, other);
    let liar = Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_getLogs").then(|| json!([log]))
    });
    let ran = step(&flow, "wait", (&[liar.url(), &world.anvil.url()], &[])).exits(0);
    assert_eq!(ran.fact("transaction_hash"), &json!(real), "{}", ran.said);
    // Nor does one that nobody sent.
    let flow = crate::harness::judge::moved(&flow, world.folder().join("second"));
    flow.with("prepare", &["--supersede"]).exits(0);
    let mut invented = forged_log(&world, flow.hash, other);
    invented["transactionHash"] = json!(B256::repeat_byte(0x77));
    let liar = Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_getLogs").then(|| json!([invented]))
    });
    let ran = step(&flow, "wait", (&[&world.anvil.url(), liar.url()], &[])).exits(0);
    assert_eq!(ran.fact("transaction_hash"), &json!(real), "{}", ran.said);
}

/// What a signer is told when an endpoint is missing where the baseline was read.
#[test]
fn base_3a_what_the_others_say_while_one_is_silent_is_not_checked() {
    let world = World::start();
    let flow = Flow::new(&world);
    let mut silent = FaultProxy::to(&world.anvil.url());
    let silent_url = silent.url();
    silent.refuse();
    let names = |list: &Value| {
        let lines = list.as_array().unwrap().iter();
        lines.filter(|line| line.to_string().contains(&silent_url)).count()
    };
    for urls in [[world.anvil.url(), silent.url()], [silent.url(), world.anvil.url()]] {
        let plan = step(&flow, "plan", (&[&urls[0], &urls[1]], &[])).exits(0);
        assert_eq!(names(&plan.json["warnings"]), 1, "{}", plan.said);
        assert_eq!(
            plan.json["warnings"].as_array().unwrap().last().unwrap()["code"],
            "ENDPOINT_MISSING"
        );
        assert_eq!(names(&plan.json["data"]["verdict"]["not_checked"]), 1, "{}", plan.said);
        assert_eq!(plan.json["data"]["endpoints"]["named"], 2, "{}", plan.said);
        assert_eq!(plan.json["data"]["endpoints"]["agreed"], json!([world.anvil.url()]));
    }
    let both = [world.anvil.url(), silent.url()];
    step(&flow, "prepare", (&[&both[0], &both[1]], &SOON))
        .exits(8)
        .says("PENDING_ENDPOINTS");
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    flow.step("prepare").exits(0);
    let review = step(&flow, "review", (&[&both[0], &both[1]], &[])).exits(0);
    assert_eq!(names(&review.json["warnings"]), 1, "{}", review.said);
    assert_eq!(
        names(&review.json["data"]["verdict"]["not_checked"]),
        1,
        "{}",
        review.said
    );
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn a_quorum_names_fewer_and_everything_says_how_many() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    let mut dead = FaultProxy::to(&world.anvil.url());
    dead.refuse();
    let urls = [dead.url(), world.anvil.url()];
    let urls = [urls[0].as_str(), urls[1].as_str()];
    step(&flow, "plan", (&urls, &["--quorum", "3"]))
        .exits(2)
        .says("USAGE_QUORUM");
    let twice = [urls[1], urls[1]];
    step(&flow, "plan", (&twice, &["--quorum", "2"]))
        .exits(2)
        .says("USAGE_QUORUM");
    step(&flow, "plan", (&urls, &["--quorum", "0"])).exits(2);
    flow.env.push(("ETH_RPC_QUORUM".to_owned(), "many".to_owned()));
    step(&flow, "plan", (&urls, &[])).exits(3).says("INPUT_QUORUM");
    flow.env.clear();
    flow.env.push(("ETH_RPC_QUORUM".to_owned(), "1".to_owned()));
    step(&flow, "prepare", (&urls, &[])).exits(0);
    flow.env.clear();
    let ran = step(&flow, "resume", (&urls, &["--quorum", "1"])).exits(0);
    finished(&flow);
    let told = &ran.json["data"]["endpoints"];
    assert_eq!(
        (&told["named"], &told["needed"]),
        (&json!(2), &json!(1)),
        "{}",
        ran.said
    );
    assert_eq!(told["agreed"], json!([world.anvil.url()]));
    assert_eq!(told["missing"][0]["endpoint"], json!(dead.url()));
    let proof = &flow.json_file("evidence.json")["said"]["settled"];
    assert_eq!(
        (&proof["named"], &proof["endpoints"]),
        (&json!(2), &json!([world.anvil.url()]))
    );
    let evidence = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(evidence.contains("1 of 2: "), "{evidence}");
}

#[test]
fn a_limit_of_one_endpoint_is_waited_out() {
    let world = World::start();
    let flow = Flow::new(&world);
    let limited = FaultProxy::to(&world.anvil.url());
    for nth in [1, 6] {
        limited.on(Match::Any, Nth::Only(nth), answered(429, &[("retry-after", "1")]));
    }
    let ran = step(&flow, "upgrade", (&[&limited.url(), &world.anvil.url()], &[])).exits(0);
    assert!(limited.requests() > 8, "{}", ran.said);
    finished(&flow);
    let proof = &flow.json_file("evidence.json")["said"]["settled"];
    assert_eq!(proof["endpoints"], json!([limited.url(), world.anvil.url()]));
    // One that asks for more than there is time for ends the run at once.
    let honest = world.anvil.url();
    limited.on(Match::Any, Nth::Every, answered(429, &[("retry-after", "100000")]));
    let flow = crate::harness::judge::moved(&flow, world.folder().join("second"));
    step(&flow, "prepare", (&[&limited.url(), &honest], &["--timeout", "10m"]))
        .exits(8)
        .says("PENDING_ENDPOINTS");
}

#[test]
fn se2_r3_what_one_says_of_the_key_or_the_call_accuses_nobody() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let honest = world.anvil.url();
    let nonce = Liar::to(&honest, |method, _| {
        (method == "eth_getTransactionCount").then(|| json!("0x64"))
    });
    let fails = Liar::to(&honest, |method, _| {
        let refusal = json!({"error": {"code": 3, "message": "execution reverted", "data": "0x"}});
        (method == "eth_estimateGas").then_some(refusal)
    });
    for liar in [&nonce, &fails] {
        for urls in [[liar.url(), &honest], [&honest, liar.url()]] {
            let ran = step(&flow, "execute", (&urls, &SOON)).exits(5).says("RPC_DISAGREEMENT");
            assert!(urls.iter().all(|url| ran.said.contains(url)), "{}", ran.said);
            nothing_proved(&flow, &ran);
        }
    }
    let poor = Liar::to(&honest, |method, _| (method == "eth_getBalance").then(|| json!("0x0")));
    step(&flow, "execute", (&[poor.url(), &honest], &[])).exits(0);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn se2_r2_nobody_signs_for_a_safe_by_one_endpoints_word() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 1,
            owners: 2,
        }),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let limited = FaultProxy::to(&world.anvil.url());
    limited.on(Match::Any, Nth::Every, answered(429, &[]));
    let urls = [world.anvil.url(), limited.url()];
    let urls = [urls[0].as_str(), urls[1].as_str()];
    let key = ["--signer", "env:SIGNER_0", "--yes"];
    for more in [&[][..], &["--on-chain"]] {
        let more = [&key[..], more, &SOON].concat();
        let ran = step(&flow, "sign", (&urls, &more)).exits(8).says("PENDING_ENDPOINTS");
        assert!(ran.json["message"].to_string().contains(urls[1]), "{}", ran.said);
    }
    let kinds = flow.kinds();
    assert!(
        !kinds.iter().any(|kind| kind.contains("sign") || kind.contains("tx.")),
        "{kinds:?}"
    );
    let shown = step(&flow, "review", (&urls, &[])).exits(0);
    assert!(
        shown.json["warnings"].to_string().contains("ENDPOINT_MISSING"),
        "{}",
        shown.said
    );
    flow.with("sign", &key).exits(0);
    flow.step("resume").exits(0);
    flow.landed_once();
}

/// The honest endpoint gives no logs, so the other one alone says that a Safe transaction failed inside.
#[tokio::test]
async fn se2_r3_an_event_that_one_alone_tells_of_is_looked_up_in_its_receipt() {
    let world = World::start();
    let (hash, real) = (B256::repeat_byte(0xab), world.allow(B256::repeat_byte(1)));
    let mut log = forged_log(&world, hash, real);
    let topic = keccak256("ExecutionFailure(bytes32,uint256)");
    log["topics"] = json!([topic]);
    log["data"] = json!(Bytes::from([hash.as_slice(), B256::ZERO.as_slice()].concat()));
    let refuses = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!({"error": {"code": -32005, "message": "no logs here"}}))
    });
    let liar = Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_getLogs").then(|| json!([log]))
    });
    for (urls, believed) in [(vec![liar.url(), refuses.url()], false), (vec![liar.url()], true)] {
        let options = Options {
            endpoints: urls.iter().map(|url| url.parse().unwrap()).collect(),
            quorum: Quorum::default(),
            chain_id: 31337,
            allow_unpinned: false,
        };
        let chain = Chain::connect(&options, &Http::new(Limits::default())).await.unwrap();
        let found = find_execution(&chain, world.app, hash, 0).await.unwrap();
        assert_eq!(found.is_some(), believed, "{found:?}");
    }
}

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Honest,
    State,
    Nonce,
    Logs,
    Receipts,
    Blocks,
    Fees,
    Gas,
    Silent,
    LimitedOnce,
    Limited,
    Broken,
    Slow,
    Behind,
    Forked,
}

use Kind::{
    Behind, Blocks, Broken, Fees, Forked, Gas, Honest, Limited, LimitedOnce, Logs, Nonce, Receipts, Silent, Slow, State,
};

const KINDS: [Kind; 14] = [
    State,
    Nonce,
    Logs,
    Receipts,
    Blocks,
    Fees,
    Gas,
    Silent,
    LimitedOnce,
    Limited,
    Broken,
    Slow,
    Behind,
    Forked,
];

/// An endpoint, as long as it lives.
enum Node {
    Plain(String),
    Liar(Liar),
    Proxy(FaultProxy),
    Chain(Anvil),
}

impl Node {
    fn url(&self) -> String {
        match self {
            Self::Plain(url) => url.clone(),
            Self::Liar(liar) => liar.url().to_owned(),
            Self::Proxy(proxy) => proxy.url(),
            Self::Chain(anvil) => anvil.url(),
        }
    }

    /// One that forges logs or receipts of the hash.
    fn forger(kind: Kind, flow: &Flow<'_>) -> Self {
        let (world, upstream) = (flow.world, flow.world.anvil.url());
        let first = world.rpc().call("eth_getBlockByNumber", json!(["0x1", false]));
        let old = first["transactions"][0].clone();
        let log = forged_log(world, flow.hash, serde_json::from_value(old.clone()).unwrap());
        if kind == Logs {
            let lie = move |method: &str, _: &Value| (method == "eth_getLogs").then(|| json!([log]));
            return Self::Liar(Liar::to(&upstream, lie));
        }
        let mut receipt = world.rpc().call("eth_getTransactionReceipt", json!([old]));
        receipt["logs"] = json!([log]);
        Self::Liar(Liar::to(&upstream, move |method, params| {
            let mut forged = receipt.clone();
            forged["transactionHash"] = params[0].clone();
            forged["logs"][0]["transactionHash"] = params[0].clone();
            (method == "eth_getTransactionReceipt").then_some(forged)
        }))
    }

    /// One of this kind, in front of the chain as it stands now.
    fn of(kind: Kind, flow: &Flow<'_>) -> Self {
        let (world, hash) = (flow.world, flow.hash);
        let upstream = world.anvil.url();
        let proxy = |nth: Nth, action: Action| {
            let proxy = FaultProxy::to(&upstream);
            proxy.on(Match::Any, nth, action);
            Self::Proxy(proxy)
        };
        match kind {
            Honest => Self::Plain(upstream),
            State => {
                let asked = abi::addComposeHashCall { composeHash: hash }.abi_encode();
                Self::Liar(Liar::to(&upstream, move |method, params| {
                    let data = params[0]["data"].as_str().or_else(|| params[0]["input"].as_str());
                    let about = data.is_some_and(|data| data.ends_with(&hex::encode(&asked[4..])));
                    (method == "eth_call" && about).then(|| json!(B256::with_last_byte(1)))
                }))
            }
            Logs | Receipts => Self::forger(kind, flow),
            Blocks => {
                let proxy = FaultProxy::to(&upstream);
                let lie = Action::Mutate("/result/hash", json!(B256::repeat_byte(0xbb)));
                proxy.on(Match::Rpc("eth_getBlockByNumber"), Nth::Every, lie);
                Self::Proxy(proxy)
            }
            Fees => {
                let (base, tip) = (U256::from(3_000_000_000_000_u64), U256::from(9_000_000_000_000_u64));
                let history = json!({"oldestBlock": "0x1", "gasUsedRatio": vec![0.5; 20],
                    "baseFeePerGas": vec![base; 21], "reward": vec![vec![tip]; 20]});
                Self::Liar(Liar::to(&upstream, move |method, _| {
                    (method == "eth_feeHistory").then(|| history.clone())
                }))
            }
            Nonce => Self::Liar(Liar::to(&upstream, |method, _| {
                (method == "eth_getTransactionCount").then(|| json!("0x64"))
            })),
            Gas => Self::Liar(Liar::to(&upstream, |method, _| {
                (method == "eth_estimateGas").then(|| json!("0x1c00000"))
            })),
            Silent => proxy(Nth::Every, Action::Swallow),
            LimitedOnce => proxy(Nth::Only(2), answered(429, &[("retry-after", "1")])),
            Limited => proxy(Nth::Every, answered(429, &[])),
            Broken => proxy(Nth::Every, answered(500, &[])),
            Slow => proxy(Nth::Every, Action::Delay(Duration::from_millis(60))),
            Behind => Self::Chain(fork(world)),
            Forked => {
                let anvil = fork(world);
                anvil.rpc().call("evm_increaseTime", json!([77]));
                anvil.rpc().mine(30);
                Self::Chain(anvil)
            }
        }
    }
}

impl Kind {
    /// Whether what it says cannot be held against another's word, so that alone it is believed.
    const fn is_believed_alone(self) -> bool {
        matches!(self, State | Nonce | Logs | Receipts | Blocks | Forked)
    }
}

/// After any run: what was proved or committed is so, nothing was lost, and the end says something.
#[track_caller]
fn judge(flow: &Flow<'_>, (kinds, nodes): (&[Kind], &[Node]), (command, ran): (&str, &Ran)) {
    let world = flow.world;
    let message = ran.json["message"].as_str().unwrap_or_default();
    assert!([0, 5, 6, 7, 8, 9, 75].contains(&ran.exit), "{command}: {}", ran.said);
    assert!(!message.is_empty(), "{command}: {}", ran.said);
    let kinds_of_records = flow.kinds();
    let has = |kind: &str| kinds_of_records.iter().any(|one| one == kind);
    let proved = has("adopted") || has("tx.final");
    assert!(
        !proved || world.is_allowed(flow.hash),
        "{command}: false proof: {}",
        ran.said
    );
    let committed = world.cloud.commits(crate::support::world::CVM);
    assert!(
        committed.is_empty() || world.is_allowed(flow.hash),
        "{command}: {}",
        ran.said
    );
    assert!(
        committed.len() <= 1 && flow.announcements() <= 1,
        "{command}: {}",
        ran.said
    );
    // Endpoints that are missing or contradict are named.
    let by_name = ["PENDING_ENDPOINTS", "RPC_DISAGREEMENT", "RPC_UNAVAILABLE"];
    let bad = nodes.iter().zip(kinds).filter(|(_, kind)| **kind != Honest);
    if by_name.contains(&ran.json["code"].as_str().unwrap_or_default()) {
        let mut bad = bad;
        assert!(
            bad.any(|(node, _)| ran.said.contains(&node.url())),
            "{command}: {}",
            ran.said
        );
    }
}

/// What an upgrade may cost where nobody said more, wei.
const CAP: u128 = 50_000_000_000_000_000;

/// The most that the transactions of the journal can cost: of each nonce the dearest.
fn at_stake(flow: &Flow<'_>) -> u128 {
    let figure = |value: &Value| value.to_string().trim_matches('"').parse::<u128>().unwrap();
    let mut dearest = std::collections::BTreeMap::new();
    for record in flow.journal().iter().filter(|record| record["kind"] == "tx.signed") {
        let request = &record["body"]["request"];
        let cost = figure(&request["gas_limit"]) * figure(&request["max_fee_per_gas"]);
        let known: &mut u128 = dearest.entry(figure(&request["nonce"])).or_default();
        *known = cost.max(*known);
    }
    dearest.values().sum()
}

/// One upgrade in which every step is first made with these endpoints, and then with an honest one alone.
fn survive(kinds: &[Kind]) {
    let world = World::with(WorldOptions {
        app: AppVariant::TwoStep,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    for command in ["plan", "prepare", "wait", "execute", "wait", "commit"] {
        let nodes: Vec<Node> = kinds.iter().map(|kind| Node::of(*kind, &flow)).collect();
        let urls: Vec<String> = nodes.iter().map(Node::url).collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        if kinds.contains(&Behind) && command == "execute" {
            world.rpc().mine(20);
        }
        let began = Instant::now();
        let ran = step(&flow, command, (&urls, &["--timeout", "2s"]));
        assert!(began.elapsed() < Duration::from_secs(40), "{command}: {}", ran.said);
        judge(&flow, (kinds, &nodes), (command, &ran));
        if command != "wait" || world.is_allowed(flow.hash) {
            let mut honest = flow.step(command);
            // What was signed with a stranger's fees may have to be raised, and what was taken back signed anew.
            if honest.exit != 0 {
                honest = flow.with("resume", &["--new-nonce"]);
            }
            assert_eq!(honest.exit, 0, "{command} after {}: {}", ran.said, honest.said);
        }
    }
    flow.step("resume").exits(0);
    flow.landed_once();
    assert!(at_stake(&flow) <= CAP, "{} wei", at_stake(&flow));
    crate::harness::judge::chain(&flow);
}

/// The sets of endpoints of the matrix.
fn matrix() -> Vec<Vec<Kind>> {
    // One alone that lies about the chain itself is believed: it is all that its user named.
    let alone = KINDS.iter().filter(|kind| !kind.is_believed_alone());
    let mut sets: Vec<Vec<Kind>> = alone.map(|kind| vec![*kind]).collect();
    sets.extend(KINDS.iter().map(|kind| vec![Honest, *kind]));
    sets.extend(KINDS.iter().map(|kind| vec![*kind, Honest]));
    for (index, kind) in KINDS.iter().enumerate() {
        sets.extend(KINDS.iter().take(index).map(|other| vec![*kind, Honest, *other]));
    }
    sets
}

/// The sample that every run of the tests makes.
fn sample() -> Vec<Vec<Kind>> {
    vec![
        vec![Fees],
        vec![Honest, State],
        vec![Receipts, Honest],
        vec![Blocks, Honest],
        vec![LimitedOnce, Honest, Slow],
    ]
}

#[test]
fn whatever_endpoints_do_nothing_false_is_proved_and_an_honest_one_ends_it() {
    let sets = match std::env::var("COUNTERSIGN_THOROUGH").as_deref() {
        Err(_) => sample(),
        // A part of it, for whoever looks for one case.
        Ok(part) => match part
            .split_once('-')
            .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)))
        {
            Some((from, to)) => matrix().get(from..to).unwrap_or_default().to_vec(),
            None => matrix(),
        },
    };
    let whole = sets.len() > sample().len();
    each(&sets, |kinds| {
        let began = Instant::now();
        survive(kinds);
        if whole {
            say(&format!("{kinds:?} in {:?}", began.elapsed()));
        }
    });
}

/// One whose blocks end with `block` and that shows no receipts, while nonces and state come from the chain as it is.
fn late_blocks(world: &World, block: Value) -> Liar {
    Liar::to(&world.anvil.url(), move |method, params| match method {
        "eth_getTransactionReceipt" | "eth_getTransactionByHash" => Some(Value::Null),
        "eth_blockNumber" => Some(block["number"].clone()),
        "eth_getBlockByNumber" if !params[0].as_str().unwrap_or_default().starts_with("0x") => Some(block.clone()),
        _ => None,
    })
}

/// One that shows no receipts until `end`.
fn late_receipts(world: &World, end: Option<Instant>) -> Liar {
    Liar::to(&world.anvil.url(), move |method, _| {
        let is_early = end.is_none_or(|end| Instant::now() < end);
        let hidden = matches!(method, "eth_getTransactionReceipt" | "eth_getTransactionByHash");
        (hidden && is_early).then_some(Value::Null)
    })
}

#[test]
fn fr2_17_a_nonce_that_is_newer_than_blocks_and_receipts_loses_no_transaction() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let newest = world.rpc().call("eth_getBlockByNumber", json!(["latest", false]));
    flow.step("execute").exits(0);
    for late in [late_blocks(&world, newest), late_receipts(&world, None)] {
        let ran = step(&flow, "wait", (&[late.url()], &["--timeout", "6s"])).exits(8);
        assert!(ran.json["message"].to_string().contains(late.url()), "{}", ran.said);
        assert!(!flow.kinds().contains(&"tx.gone".to_owned()), "{}", ran.said);
        no_proof(&flow, &ran);
    }
    let late = late_receipts(&world, Some(Instant::now() + Duration::from_secs(6)));
    step(&flow, "wait", (&[late.url()], &["--timeout", "60s"])).exits(0);
    flow.step("resume").exits(0);
    finished(&flow);
    assert_eq!(world.rpc().nonce(world.owner.address), 1);
}

#[test]
fn fr2_14_another_time_of_one_block_is_a_disagreement_in_wait_and_commit() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let honest = world.anvil.url();
    let liar = Liar::editing(&honest, |method, result| {
        if method == "eth_getBlockByNumber" && !result.is_null() {
            let time: U256 = serde_json::from_value(result["timestamp"].clone()).unwrap();
            result["timestamp"] = json!(time + U256::from(31_536_000));
        }
    });
    let both = [[liar.url(), &honest], [&honest, liar.url()]];
    for command in ["wait", "commit"] {
        for urls in both {
            let ran = step(&flow, command, (&urls, &SOON)).exits(5).says("RPC_DISAGREEMENT");
            assert!(urls.iter().all(|url| ran.said.contains(url)), "{}", ran.said);
        }
        if command == "wait" {
            no_proof(&flow, &step(&flow, "wait", (&both[0], &SOON)));
            flow.step("wait").exits(0);
        }
    }
    flow.nothing_committed();
    flow.step("resume").exits(0);
    finished(&flow);
}

/// One that claims to be a thousand blocks further than the chain, and has blocks of its own there.
fn far_ahead(world: &World) -> Liar {
    let mut block = world.rpc().call("eth_getBlockByNumber", json!(["latest", false]));
    block["number"] = json!(U256::from(world.rpc().height() + 1000));
    block["hash"] = json!(B256::repeat_byte(0x77));
    Liar::to(&world.anvil.url(), move |method, params| match method {
        "eth_blockNumber" => Some(block["number"].clone()),
        "eth_getBlockByNumber" => {
            let asked = params[0].as_str().unwrap_or_default();
            let height = U256::from_str_radix(asked.trim_start_matches("0x"), 16).ok();
            let claimed = !asked.starts_with("0x") || height.is_some_and(|height| height > U256::from(500));
            claimed.then(|| block.clone())
        }
        _ => None,
    })
}

#[test]
fn fr2_7_who_alone_is_far_ahead_is_named_and_the_others_go_on() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let (ahead, second) = (far_ahead(&world), Liar::to(&world.anvil.url(), |_, _| None));
    let (honest, other, alone) = (world.anvil.url(), second.url().to_owned(), ahead.url().to_owned());
    for urls in [[&honest, &other, &alone], [&alone, &honest, &other]] {
        let urls = urls.map(String::as_str);
        let ran = step(&flow, "review", (&urls, &["--quorum", "2"])).exits(0);
        let told = &ran.json["data"]["endpoints"];
        let named: Vec<&Value> = told["missing"].as_array().into_iter().flatten().collect();
        assert!(named.iter().all(|one| one["endpoint"] == json!(alone)), "{}", ran.said);
        assert!(named[0]["why"].to_string().contains("ahead"), "{}", ran.said);
        for label in [&honest, &other] {
            assert!(
                told["agreed"].as_array().unwrap().contains(&json!(label)),
                "{}",
                ran.said
            );
        }
    }
    // Of two, nobody can tell who is right: both are named.
    let ran = step(&flow, "execute", (&[&honest, &alone], &SOON))
        .exits(8)
        .says("PENDING_ENDPOINTS");
    assert_eq!(ran.json["data"]["endpoints"]["agreed"], json!([]), "{}", ran.said);
    nothing_proved(&flow, &ran);
    step(&flow, "execute", (&[&alone, &honest, &other], &["--quorum", "2"])).exits(0);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn fr2_4_one_that_is_a_block_behind_is_named_and_not_among_those_that_agree() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let stays = fork(&world);
    flow.step("execute").exits(0);
    let (honest, behind) = (world.anvil.url(), stays.url());
    for command in ["wait", "commit"] {
        for urls in [[&honest, &behind], [&behind, &honest]] {
            let urls = urls.map(String::as_str);
            let ran = step(&flow, command, (&urls, &SOON)).exits(8);
            assert!(ran.json["message"].to_string().contains(&behind), "{}", ran.said);
            let told = &ran.json["data"]["endpoints"];
            assert_eq!(told["agreed"], json!([honest]), "{}", ran.said);
            assert_eq!(told["missing"][0]["endpoint"], json!(behind), "{}", ran.said);
        }
        if command == "wait" {
            flow.step("wait").exits(0);
        }
    }
    flow.nothing_committed();
    // Where the other one is enough, it goes on.
    step(&flow, "commit", (&[&honest, &behind], &["--quorum", "1"])).exits(0);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn fr2_12_spellings_of_one_server_are_one_endpoint_and_its_accounts_are_refused() {
    let world = World::start();
    let flow = Flow::new(&world);
    let url = world.anvil.url();
    let port = url.rsplit(':').next().unwrap().to_owned();
    let spellings = [
        format!("{url}#a"),
        format!("{url}/"),
        format!("{url}/?"),
        format!("http://localhost:{port}"),
        format!("http://LocalHost.:{port}/"),
        format!("http://127.1:{port}"),
        format!("http://[::1]:{port}"),
    ];
    let all: Vec<&str> = std::iter::once(&url).chain(&spellings).map(String::as_str).collect();
    let ran = step(&flow, "plan", (&all, &[])).exits(0);
    let told = &ran.json["data"]["endpoints"];
    assert_eq!(told, &json!({"named": 1, "needed": 1, "agreed": [url]}), "{}", ran.said);
    step(&flow, "plan", (&all, &["--quorum", "2"]))
        .exits(2)
        .says("USAGE_QUORUM");
    let accounts = [
        format!("{url}/other"),
        format!("{url}/?key=secret"),
        format!("http://somebody:secret@127.0.0.1:{port}"),
        format!("https://localhost:{port}"),
    ];
    for account in &accounts {
        let ran = step(&flow, "plan", (&[&url, account], &[]));
        let ran = ran.exits(2).says("USAGE_ONE_SERVER");
        assert!(!ran.said.contains("secret"), "{}", ran.said);
    }
    flow.nothing_happened();
}

#[test]
fn fr2_what_only_a_fork_was_sent_is_sent_again_with_fees_that_the_chain_takes() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let fork = Node::of(Forked, &flow);
    step(&flow, "execute", (&[&fork.url()], &[])).exits(0);
    let poor = json!({"error": {"code": -32000, "message": "insufficient funds for gas * price + value"}});
    let picky = Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_sendRawTransaction").then(|| poor.clone())
    });
    let refused = step(&flow, "wait", (&[picky.url()], &["--timeout", "34s"])).exits(8);
    let message = refused.says("PENDING_INCLUSION").json["message"].to_string();
    assert!(
        message.contains("the endpoints refuse it: too little money"),
        "{message}"
    );
    // The fork's base fee fell, and the chain takes no such transaction: it is raised, as far as somebody allows.
    let most = ["--new-nonce", "--timeout", "90s", "--max-fee", "3"];
    flow.with("resume", &most).exits(0);
    finished(&flow);
    assert_eq!(world.rpc().nonce(world.owner.address), 1, "one nonce");
}

#[test]
fn fr2_where_no_endpoint_answers_it_is_trouble_and_what_is_under_way_is_pending() {
    let world = World::start();
    let mut proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    let another = |name: &str| {
        let mut other = Flow::new(&world).chain_at(&flow.env[0].1);
        other.dir = world.folder().join(name);
        other
    };
    let names = |ran: &Ran| assert!(ran.said.contains(&flow.env[0].1), "{}", ran.said);
    let trouble = |flow: &Flow<'_>, steps: &[&str]| {
        for step in steps {
            names(&flow.with(step, &["--timeout", "2s"]).exits(75).says("RPC_UNAVAILABLE"));
        }
    };
    let pending = |steps: &[&str], code: &str| {
        for step in steps {
            names(&flow.with(step, &["--timeout", "2s"]).exits(8).says(code));
        }
    };
    flow.step("prepare").exits(0);
    proxy.refuse();
    trouble(&another("other"), &["plan", "prepare", "upgrade"]);
    trouble(&flow, &["execute", "resume", "upgrade"]);
    pending(&["wait"], "PENDING_APPROVAL");
    proxy.listen_again();
    flow.step("execute").exits(0);
    proxy.refuse();
    pending(&["wait", "resume"], "PENDING_INCLUSION");
    proxy.listen_again();
    flow.step("wait").exits(0);
    proxy.refuse();
    trouble(&flow, &["commit", "resume"]);
    proxy.listen_again();
    flow.step("resume").exits(0);
    finished(&flow);
}
