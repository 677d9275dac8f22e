//! What an endpoint that lies about fees, gas and nonces can cost a key, judged by the chain's own balance; and that honest
//! endpoints with usual fees are asked nothing more for it.

use alloy::primitives::U256;
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, ended, finished, spawn};
use crate::support::world::WorldOptions;
use crate::support::{AnvilOptions, World, until};

const GWEI: u128 = 1_000_000_000;
/// 0.05 of the coin: the limit on the development chain.
const LIMIT: u128 = 50_000_000 * GWEI;
/// More than an honest upgrade costs there.
const USUAL: u128 = 1_000_000 * GWEI;

fn balance(world: &World) -> u128 {
    let wei = world
        .rpc()
        .call("eth_getBalance", json!([world.owner.address, "latest"]));
    serde_json::from_value::<U256>(wei).unwrap().to()
}

/// What an endpoint says instead of the truth; nothing: the truth.
#[derive(Debug, Clone, Copy, Default)]
struct Lie {
    name: &'static str,
    /// Tip of all past blocks.
    tip: Option<u128>,
    /// Base fee of all past blocks, in their headers as well.
    base: Option<u128>,
    /// Base fee of the next block.
    next: Option<u128>,
    /// Gas of every call.
    gas: Option<u64>,
}

fn lying(upstream: &str, lie: Lie) -> Liar {
    Liar::editing(upstream, move |method, result| match method {
        "eth_feeHistory" => {
            let count = result["baseFeePerGas"].as_array().map_or(0, Vec::len);
            let fees = result["baseFeePerGas"].as_array_mut().unwrap();
            if let Some(base) = lie.base {
                fees.fill(json!(U256::from(base)));
            }
            if let Some(next) = lie.next.or(lie.base) {
                fees[count - 1] = json!(U256::from(next));
            }
            if let Some(tip) = lie.tip {
                result["reward"] = vec![json!([U256::from(tip)]); count - 1].into();
            }
        }
        "eth_getBlockByNumber" => {
            if let Some(base) = lie.base {
                result["baseFeePerGas"] = json!(U256::from(base));
            }
        }
        "eth_estimateGas" => {
            if let Some(gas) = lie.gas {
                *result = json!(U256::from(gas));
            }
        }
        _ => {}
    })
}

const LIES: [Lie; 5] = [
    Lie {
        name: "a tip of a million gwei",
        tip: Some(1_000_000 * GWEI),
        base: None,
        next: None,
        gas: None,
    },
    Lie {
        name: "a tip and all the gas of a block",
        tip: Some(1_000_000 * GWEI),
        base: None,
        next: None,
        gas: Some(20_000_000),
    },
    Lie {
        name: "a base fee of a million gwei, and tips to match",
        tip: Some(1_000_000 * GWEI),
        base: Some(1_000_000 * GWEI),
        next: None,
        gas: None,
    },
    Lie {
        name: "a base fee that stays below the limit by itself",
        tip: Some(400 * GWEI),
        base: Some(200 * GWEI),
        next: None,
        gas: None,
    },
    Lie {
        name: "the next base fee",
        tip: None,
        base: None,
        next: Some(1_000_000 * GWEI),
        gas: None,
    },
];

/// Executes with these endpoints, and gives what that cost the key.
fn cost_of(world: &World, endpoints: &[&str]) -> (Ran, u128) {
    let flow = Flow::new(world);
    flow.step("prepare").exits(0);
    let before = balance(world);
    let named: Vec<&str> = endpoints.iter().flat_map(|url| ["--rpc-url", url]).collect();
    let ran = flow.with("execute", &named);
    (ran, before - balance(world))
}

#[test]
fn sec_c3_one_endpoint_that_lies_about_fees_or_gas_costs_at_most_the_limit() {
    each(&LIES, |lie| {
        let world = World::start();
        let liar = lying(&world.anvil.url(), *lie);
        let (ran, lost) = cost_of(&world, &[liar.url()]);
        assert!(lost <= LIMIT, "{}: {lost} wei lost: {}", lie.name, ran.said);
        match ran.exit {
            0 => assert!(lost > 0, "{}: {}", lie.name, ran.said),
            6 => {
                let ran = ran.says("COST_ABOVE_LIMIT");
                assert!(ran.said.contains("--max-cost"), "{}: {}", lie.name, ran.said);
                assert_eq!(lost, 0, "{}", lie.name);
            }
            _ => drop(ran.exits(8).says("PENDING_FEES")),
        }
    });
}

#[test]
fn sec_c3_beside_an_honest_endpoint_in_either_order_no_lie_costs_anything() {
    let cases: Vec<(Lie, bool)> = LIES.iter().flat_map(|lie| [(*lie, false), (*lie, true)]).collect();
    each(&cases, |(lie, first)| {
        let world = World::start();
        let (honest, liar) = (world.anvil.url(), lying(&world.anvil.url(), *lie));
        let both = if *first {
            [liar.url(), &honest]
        } else {
            [&honest, liar.url()]
        };
        let (ran, lost) = cost_of(&world, &both);
        assert!(lost < USUAL, "{}: {lost} wei lost: {}", lie.name, ran.said);
        if lie.base.is_some() || lie.gas.is_some() {
            let ran = ran.exits(5).says("RPC_DISAGREEMENT");
            assert!(both.iter().all(|url| ran.said.contains(url)), "by whom: {}", ran.said);
            assert_eq!(lost, 0, "{}", lie.name);
        } else {
            ran.exits(0);
        }
    });
}

fn still() -> World {
    World::with(WorldOptions {
        anvil: AnvilOptions {
            no_mining: true,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    })
}

fn number(value: &Value) -> u128 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap()
}

/// The requests of signed transactions, oldest first.
fn requests(flow: &Flow<'_>) -> Vec<Value> {
    let records = flow.journal().into_iter();
    let signed = records.filter(|record| record["kind"] == "tx.signed");
    signed.map(|record| record["body"]["request"].clone()).collect()
}

fn fee_of_last(flow: &Flow<'_>) -> u128 {
    number(&requests(flow).pop().unwrap()["max_fee_per_gas"])
}

/// The most that each signed transaction can cost, oldest first.
fn signed(flow: &Flow<'_>) -> Vec<u128> {
    let most = |request: &Value| number(&request["max_fee_per_gas"]) * number(&request["gas_limit"]);
    requests(flow).iter().map(most).collect()
}

/// An amount of wei as the option takes it.
fn coins(wei: u128) -> String {
    format!("{}.{:018}", wei / (GWEI * GWEI), wei % (GWEI * GWEI))
}

#[test]
fn sec_c3_raised_fees_count_and_a_base_fee_that_is_a_lie_raises_them_to_the_limit_at_most() {
    let world = still();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let first = signed(&flow)[0];
    let fee = fee_of_last(&flow);
    let cap = 3 * first / 2;
    // Somewhat more than the first one pays, so that no ceiling of a single raise stops it.
    let lie = Lie {
        next: Some(5 * fee / 4),
        ..Lie::default()
    };
    let liar = lying(&world.anvil.url(), lie);
    let options = ["--rpc-url", liar.url(), "--max-cost", &coins(cap)];
    let mut child = spawn(&flow, "resume", &options);
    until("the end of the run", || {
        world.rpc().call("anvil_dropAllTransactions", json!([]));
        world.rpc().mine(1);
        child.try_wait().unwrap()
    });
    let ran = ended(child).exits(6).says("COST_ABOVE_LIMIT");
    let most = signed(&flow).into_iter().max().unwrap();
    assert!(most <= cap, "{most} of {cap}: {}", ran.said);
    world.rpc().call("evm_setAutomine", json!([true]));
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn sec_c3_another_nonce_adds_to_what_was_signed_before() {
    let world = still();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let first = signed(&flow)[0];
    // The owner cancels it in a wallet.
    let owner = world.owner.address;
    let gas = "0x174876e800";
    let cancel = json!({"from": owner, "to": owner, "value": "0x1", "nonce": "0x0",
        "maxFeePerGas": gas, "maxPriorityFeePerGas": gas});
    world.rpc().call("eth_sendTransaction", json!([cancel]));
    world.rpc().call("evm_setAutomine", json!([true]));
    world.rpc().mine(4);
    flow.step("resume").exits(6).says("TX_REPLACED");
    let few = coins(3 * first / 2);
    let refused = flow.with("execute", &["--new-nonce", "--max-cost", &few]);
    let refused = refused.exits(6).says("COST_ABOVE_LIMIT");
    assert!(refused.said.contains("--max-cost"), "{}", refused.said);
    assert_eq!(signed(&flow).len(), 1, "{}", refused.said);
    let shown = flow.with("execute", &["--new-nonce"]).exits(0);
    assert!(shown.said.contains("with what was signed before"), "{}", shown.said);
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn on_a_chain_without_a_limit_consent_in_advance_needs_one() {
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            chain_id: 100,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let refused = flow.step("execute").exits(6).says("COST_NOT_LIMITED");
    assert!(refused.said.contains("--max-cost"), "{}", refused.said);
    assert_eq!(signed(&flow), Vec::<u128>::new());
    flow.with("execute", &["--max-cost", "0.000001"])
        .exits(6)
        .says("COST_ABOVE_LIMIT");
    assert_eq!(signed(&flow), Vec::<u128>::new());
    flow.with("execute", &["--max-cost", "0.01"]).exits(0);
    assert_eq!(flow.announcements(), 1);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn what_base_takes_for_the_data_is_shown_as_what_the_signature_does_not_limit() {
    const ORACLE: &str = "0x420000000000000000000000000000000000000F";
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            chain_id: 8453,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let unpinned = ["--allow-unpinned-chain"];
    flow.with("prepare", &unpinned).exits(0);
    // Answers every call with the number of bytes that it was asked about, times 10^15: too much for the limit of Base.
    let dear = "0x60043566038d7ea4c680000260005260206000f3";
    world.rpc().call("anvil_setCode", json!([ORACLE, dear]));
    flow.with("execute", &unpinned).exits(6).says("COST_ABOVE_LIMIT");
    assert_eq!(signed(&flow), Vec::<u128>::new());
    // The same, times 10^12.
    let usual = "0x60043564e8d4a510000260005260206000f3";
    world.rpc().call("anvil_setCode", json!([ORACLE, usual]));
    let shown = flow.with("execute", &unpinned).exits(0);
    let line = shown.said.lines().find(|line| line.contains("of it for its data"));
    assert!(
        line.is_some_and(|line| line.contains("the signature does not limit it")),
        "{}",
        shown.said
    );
}

#[test]
fn fr2_15_who_refuses_every_fee_was_shown_signed_transactions_and_that_is_said() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let refused = json!({"error": {"code": -32000, "message": "max fee per gas less than block base fee"}});
    let picky = Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_sendRawTransaction").then(|| refused.clone())
    });
    let shown = || {
        picky
            .asked()
            .iter()
            .filter(|method| *method == "eth_sendRawTransaction")
            .count()
    };
    let ran = flow.with("execute", &["--rpc-url", picky.url()]);
    let ran = ran.exits(6).says("FEE_TOO_LOW");
    let signed = flow.kinds().iter().filter(|kind| *kind == "tx.signed").count();
    assert!(signed > 1 && shown() == signed, "{signed}: {}", ran.said);
    assert!(!ran.said.contains("nothing was sent"), "{}", ran.said);
    let message = ran.json["message"].to_string();
    assert!(
        message.contains(&format!("{signed} of this nonce are signed")),
        "{message}"
    );
    assert_eq!(ran.effect("transaction"), "maybe");
    let next = ran.json["next"].as_str().unwrap();
    assert!(
        next.contains("--signer env:OWNER_KEY") && !next.contains("keystore"),
        "{next}"
    );
    // Nor does who comes too early hear that nothing was sent.
    let early = flow.step("commit").exits(6).says("STEP_TOO_EARLY");
    assert!(!early.said.contains("nothing was sent"), "{}", early.said);
    flow.step("resume").exits(0);
    crate::harness::judge::finished(&flow);
}

#[test]
fn fees_that_nobody_may_raise_end_the_run() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let refusing = |message: &'static str| {
        Liar::to(&world.anvil.url(), move |method, _| {
            let refused = || json!({"error": {"code": -32000, "message": message}});
            (method == "eth_sendRawTransaction").then(refused)
        })
    };
    let signed = || flow.kinds().iter().filter(|kind| *kind == "tx.signed").count();
    let poor = refusing("insufficient funds for gas * price + value");
    flow.with("execute", &["--rpc-url", poor.url()]).exits(6);
    assert_eq!(signed(), 1);
    // The key is named, and nobody is there who could agree to higher fees.
    let picky = refusing("max fee per gas less than block base fee");
    let mut arguments = flow.arguments("execute");
    arguments.retain(|argument| argument != "--yes");
    arguments.extend(["--rpc-url".to_owned(), picky.url().to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = Ran::of(&mut flow.command(&arguments)).exits(6).says("FEE_TOO_LOW");
    assert_eq!(signed(), 1, "{}", ran.said);
    flow.step("resume").exits(0);
    crate::harness::judge::finished(&flow);
}
