//! Whole upgrades of apps that a timelock owns: scheduled by a key or by a Safe, executed by anybody, cancelled, late.

use std::os::unix::process::ExitStatusExt as _;

use alloy::primitives::{Address, B256, U256, b256, keccak256};
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::each;
use crate::support::command::shown;
use crate::support::contracts;
use crate::support::timelocks::{TimelockOptions, TimelockSource, abi, advance, pass};
use crate::support::world::{SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

const DAY: u64 = 86_400;
/// Where OpenZeppelin's upgradeable `Ownable` keeps the owner (ERC-7201).
const OWNER_SLOT: B256 = b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
const TWO_OF_THREE: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};

/// A world whose app a timelock owns.
pub struct Ground {
    pub world: World,
    timelock: Address,
}

impl Ground {
    pub fn with(options: TimelockOptions) -> Self {
        let world = World::start();
        Self::of(world, options)
    }
    fn of(world: World, options: TimelockOptions) -> Self {
        let timelock = options.deploy(&world.rpc());
        let change = json!([world.app, OWNER_SLOT, timelock.into_word()]);
        world.rpc().call("anvil_setStorageAt", change);
        Self { world, timelock }
    }
    /// A Safe, of which two of three owners sign, proposes; it executes and cancels too where nobody else may.
    pub fn with_safe(executors: Option<Vec<Address>>) -> Self {
        let world = World::with(WorldOptions {
            safe: Some(TWO_OF_THREE),
            ..WorldOptions::default()
        });
        let safe = world.safe.unwrap();
        let options = TimelockOptions {
            proposers: vec![safe],
            executors: executors.unwrap_or_else(|| vec![safe]),
            ..TimelockOptions::default()
        };
        Self::of(world, options)
    }
    fn state_of(&self, id: &Value) -> U256 {
        let id: B256 = serde_json::from_value(id.clone()).unwrap();
        self.world.rpc().read(self.timelock, &abi::getTimestampCall { id })
    }
}

/// A step by the key of an account.
fn by(flow: &Flow<'_>, step: &str, account: usize) -> Ran {
    let (dir, signer) = (flow.dir.to_str().unwrap(), format!("env:SIGNER_{account}"));
    Ran::of(&mut flow.command(&[
        step,
        "--json",
        "--dir",
        dir,
        "--signer",
        &signer,
        "--yes",
        "--timeout",
        "20s",
    ]))
}

/// Both signatures of the Safe, then the execution by somebody else.
fn approve(flow: &Flow<'_>) {
    by(flow, "sign", 0).exits(0);
    by(flow, "sign", 2).exits(0);
    by(flow, "execute", 4).exits(8).says("PENDING_DELAY");
}

#[test]
fn l1_a_key_schedules_and_anybody_executes_once_the_delay_is_over() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    let plan = flow.step("plan").exits(0);
    assert_eq!(plan.json["data"]["route"]["kind"], "timelock", "{}", plan.said);
    flow.step("prepare").exits(0);
    let review = flow.step("review").exits(0);
    assert_eq!(review.json["data"]["timelock"]["state"], "unset", "{}", review.said);
    let call = &review.json["data"]["transaction"]["calls"][0]["decoded"];
    assert_eq!(
        call["inner"][0]["decoded"]["function"], "addComposeHash(bytes32)",
        "{}",
        review.said
    );
    let waiting = flow.step("execute").exits(8).says("PENDING_DELAY");
    let review = flow.step("review").exits(0);
    assert!(
        review.json["data"]["timelock"]["state"]["waiting"].is_object(),
        "{}",
        review.said
    );
    assert!(!waiting.fact("ready_at").is_null(), "{}", waiting.said);
    assert_ne!(waiting.effect("transaction"), "done");
    flow.nothing_committed();

    advance(&ground.world.rpc(), DAY - 60);
    by(&flow, "execute", 3).exits(8).says("PENDING_DELAY");
    advance(&ground.world.rpc(), 120);
    by(&flow, "execute", 3).exits(0);
    flow.step("wait").exits(0);
    flow.step("resume").exits(0);
    flow.landed_once();
    assert_eq!(ground.state_of(waiting.fact("operation_id")), U256::from(1), "done");
    let evidence = flow.json_file("evidence.json");
    assert_eq!(evidence["timelock"]["id"], *waiting.fact("operation_id"));
    assert_eq!(evidence["timelock"]["address"], json!(ground.timelock));
    assert!(evidence["said"]["scheduled"]["transaction"].is_string(), "{evidence}");
}

#[test]
fn a_safe_schedules_by_signed_files_and_a_stranger_executes() {
    let ground = Ground::with_safe(Some(vec![Address::ZERO]));
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    by(&flow, "execute", 4).exits(8).says("PENDING_SIGNATURES");
    let review = flow.step("review").exits(0);
    assert_eq!(
        review.json["data"]["simulation"]["result"], "succeeds",
        "{}",
        review.said
    );
    assert_eq!(review.json["data"]["transaction"]["to"], json!(ground.timelock));
    for format in ["builder-file", "typed-data", "calldata", "eip712sign"] {
        let dir = flow.dir.to_str().unwrap();
        Ran::of(&mut flow.command(&["export", "--json", "--dir", dir, "--format", format])).exits(0);
    }
    approve(&flow);
    advance(&ground.world.rpc(), DAY);
    by(&flow, "resume", 4).exits(0);
    flow.landed_once();
    let evidence = flow.json_file("evidence.json");
    assert_eq!(evidence["safe"]["domain"]["safe"], json!(ground.world.safe.unwrap()));
    assert_eq!(evidence["safe"]["signed_by"].as_array().unwrap().len(), 2);
}

#[test]
fn a_safe_that_alone_may_execute_signs_twice() {
    let ground = Ground::with_safe(None);
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    approve(&flow);
    advance(&ground.world.rpc(), DAY);
    by(&flow, "execute", 4).exits(8).says("PENDING_SIGNATURES");
    by(&flow, "sign", 1).exits(0);
    by(&flow, "sign", 2).exits(0);
    by(&flow, "resume", 4).exits(0);
    flow.landed_once();
}

#[test]
fn l2_l3_what_others_scheduled_and_executed_is_taken_over() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let section = flow.json_file("proposal.json")["timelock"].clone();
    let send = |call: &Value| {
        let data = call["data"].clone();
        let transaction = json!([{"from": ACCOUNTS[1].address, "to": call["to"], "data": data}]);
        ground.world.rpc().call("eth_sendTransaction", transaction);
    };
    send(&section["schedule"]);
    let waits = flow.with("wait", &["--timeout", "2s"]).exits(8).says("PENDING_DELAY");
    assert_eq!(*waits.fact("operation_id"), section["id"]);
    let scheduled = flow.json_file("proposal.json")["timelock"]["scheduled"].clone();
    assert!(scheduled["transaction"].is_string(), "{scheduled}");
    advance(&ground.world.rpc(), DAY);
    send(&section["execute"]);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn l4_what_was_cancelled_is_told_and_scheduled_anew_when_somebody_decides_so() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let first = flow.step("execute").exits(8).fact("operation_id").clone();
    let id: B256 = serde_json::from_value(first.clone()).unwrap();
    ground
        .world
        .rpc()
        .execute(ACCOUNTS[1].address, ground.timelock, &abi::cancelCall { id });
    for step in ["execute", "resume"] {
        let told = flow.step(step).exits(7).says("OPERATION_CANCELLED");
        let next = told.json["next"].as_str().unwrap();
        assert!(
            next.starts_with("countersign execute --dir ") && next.ends_with(" --new-nonce"),
            "{next}"
        );
    }
    let second = flow.with("execute", &["--new-nonce"]).exits(8).says("PENDING_DELAY");
    // A second machine finds the same one.
    assert_eq!(*second.fact("operation_id"), first);
    advance(&ground.world.rpc(), DAY);
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn l5_t7_a_delay_beyond_the_tokens_life_is_told_and_prepared_again_for_the_same_hash() {
    let ground = Ground::with(TimelockOptions {
        min_delay: 15 * DAY,
        ..TimelockOptions::default()
    });
    let flow = Flow::new(&ground.world);
    let prepared = flow.step("prepare").exits(0);
    let warnings = prepared.json["warnings"].as_array().unwrap();
    assert!(
        warnings.iter().any(|one| one["code"] == "TOKEN_OUTLIVED"),
        "{}",
        prepared.said
    );
    flow.step("execute").exits(8).says("PENDING_DELAY");
    ground.world.cloud.advance(15 * i64::try_from(DAY).unwrap());
    advance(&ground.world.rpc(), 15 * DAY);
    by(&flow, "execute", 3).exits(0);
    flow.step("resume").exits(6).says("COMMIT_REJECTED_466");
    flow.step("resume").exits(0);
    assert_eq!(ground.world.cloud.tokens().len(), 2);
    flow.landed_once();
}

#[test]
fn l6_a_delay_that_was_raised_in_between_is_found_before_anything_is_sent() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let longer = abi::updateDelayCall {
        newDelay: U256::from(2 * DAY),
    };
    let rpc = ground.world.rpc();
    pass(&rpc, (ground.timelock, ACCOUNTS[1].address), (ground.timelock, &longer));
    let nonce = rpc.nonce(ACCOUNTS[1].address);
    flow.step("execute").exits(6).says("TIMELOCK_DELAY");
    assert_eq!(rpc.nonce(ACCOUNTS[1].address), nonce);
    flow.nothing_happened();
}

#[test]
fn l7_a_role_that_was_revoked_is_found_before_anything_is_sent() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let gone = abi::revokeRoleCall {
        role: keccak256("PROPOSER_ROLE"),
        account: ACCOUNTS[1].address,
    };
    let rpc = ground.world.rpc();
    pass(&rpc, (ground.timelock, ACCOUNTS[1].address), (ground.timelock, &gone));
    flow.step("execute").exits(6).says("TIMELOCK_ROLE_MISSING");
    flow.nothing_happened();
}

#[test]
fn l7_a_key_that_may_not_propose_signs_nothing() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    by(&flow, "execute", 2).exits(5).says("SIGNER_NOT_PROPOSER");
    assert!(!flow.kinds().contains(&"sign.try".to_owned()));
}

#[test]
fn l9_what_is_abandoned_is_cancelled_at_the_timelock() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let id = flow.step("execute").exits(8).fact("operation_id").clone();
    assert!(ground.state_of(&id) > U256::from(1));
    by(&flow, "reject", 1).exits(0);
    assert_eq!(ground.state_of(&id), U256::ZERO, "cancelled");
    flow.step("resume").exits(6).says("ABANDONED");
    advance(&ground.world.rpc(), 2 * DAY);
    flow.step("execute").exits(6).says("ABANDONED");
    flow.nothing_happened();
}

#[test]
fn l9_a_safe_cancels_with_its_owners_signatures() {
    let ground = Ground::with_safe(None);
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    approve(&flow);
    let id = flow.json_file("proposal.json")["timelock"]["id"].clone();
    by(&flow, "reject", 4).exits(8).says("PENDING_SIGNATURES");
    by(&flow, "sign", 0).exits(0);
    by(&flow, "sign", 1).exits(0);
    by(&flow, "reject", 4).exits(0);
    assert_eq!(ground.state_of(&id), U256::ZERO, "cancelled");
    flow.nothing_happened();
}

#[test]
fn l11_another_operation_is_not_taken_for_ours_and_a_changed_proposal_stops() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let add = crate::support::contracts::abi::addComposeHashCall { composeHash: flow.hash }.abi_encode();
    let more = abi::scheduleBatchCall {
        targets: vec![ground.world.app, ground.world.app],
        values: vec![U256::ZERO; 2],
        payloads: vec![add.into(), vec![0x71, 0x50, 0x18, 0xa6].into()],
        predecessor: B256::ZERO,
        salt: B256::ZERO,
        delay: U256::from(DAY),
    };
    ground.world.rpc().execute(ACCOUNTS[1].address, ground.timelock, &more);
    let ours = flow.step("execute").exits(8).says("PENDING_DELAY");
    assert!(ground.state_of(ours.fact("operation_id")) > U256::from(1));

    let honest = flow.json_file("proposal.json");
    for (place, value) in [
        ("/timelock/id", json!(B256::ZERO)),
        ("/timelock/delay", json!(1)),
        ("/timelock/operation/salt", json!(B256::ZERO)),
        ("/timelock/operation/predecessor", json!(B256::repeat_byte(1))),
        ("/timelock/schedule/to", json!(ACCOUNTS[4].address)),
        ("/timelock/execute/data", json!("0x")),
        ("/plan/timelock/delay", json!(DAY + 1)),
        ("/plan/timelock/proposer", json!(ACCOUNTS[4].address)),
        ("/plan/timelock/info/address", json!(ACCOUNTS[4].address)),
        ("/plan/actor/address", json!(ACCOUNTS[4].address)),
    ] {
        let mut changed = honest.clone();
        *changed.pointer_mut(place).unwrap() = value;
        let file = ground.world.file("changed.json", &changed.to_string());
        let ran = Ran::of(&mut flow.command(&["review", file.to_str().unwrap(), "--json", "--offline"]));
        assert!([3, 5].contains(&ran.exit), "{place}: {}", ran.said);
    }
}

#[test]
fn several_proposers_are_listed_and_one_is_named() {
    let ground = Ground::with(TimelockOptions {
        proposers: vec![ACCOUNTS[1].address, ACCOUNTS[2].address],
        ..TimelockOptions::default()
    });
    let flow = Flow::new(&ground.world);
    let device = keccak256("another device").to_string();
    flow.with("prepare", &["--add-device", &device])
        .exits(6)
        .says("WHICH_PROPOSER");
    let asked = flow.step("prepare").exits(6).says("WHICH_PROPOSER");
    for account in [1, 2] {
        assert!(
            asked.said.contains(&ACCOUNTS[account].address.to_string()),
            "{}",
            asked.said
        );
    }
}

/// Where a run dies while it schedules.
const SCHEDULING: [&str; 8] = [
    "sign.a",
    "errand.a",
    "sign.b",
    "sign.d",
    "sign.e",
    "broadcast.b",
    "broadcast.d",
    "wait.b",
];
/// Where one dies while it executes.
const EXECUTING: [&str; 6] = ["sign.a", "sign.b", "sign.d", "sign.e", "broadcast.b", "broadcast.d"];

/// How often the timelock said one of these.
fn said(ground: &Ground, event: &str) -> usize {
    let filter = json!([{"fromBlock": "0x0", "address": ground.timelock, "topics": [keccak256(event)]}]);
    ground.world.rpc().call("eth_getLogs", filter).as_array().unwrap().len()
}

#[test]
fn k36_to_k45_a_death_around_any_effect_of_the_timelock_route_is_followed_by_one_that_finishes() {
    let deaths: Vec<(usize, &str)> = SCHEDULING
        .iter()
        .map(|point| (0, *point))
        .chain(EXECUTING.iter().map(|point| (1, *point)))
        .collect();
    each(&deaths, |(stage, point)| {
        let ground = Ground::with(TimelockOptions::default());
        let flow = Flow::new(&ground.world);
        flow.step("prepare").exits(0);
        let die = || {
            let arguments = flow.arguments("execute");
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let output = flow
                .command(&arguments)
                .env("FAILPOINTS", format!("{point}=return"))
                .output()
                .unwrap();
            assert_eq!(output.status.signal(), Some(9), "{point}: {}", shown(&output));
        };
        if *stage == 0 {
            die();
        }
        flow.step("execute").exits(8).says("PENDING_DELAY");
        advance(&ground.world.rpc(), DAY);
        if *stage == 1 {
            die();
        }
        flow.step("execute").exits(0);
        flow.step("wait").exits(0);
        flow.step("commit").exits(0);
        flow.landed_once();
        let scheduled = said(
            &ground,
            "CallScheduled(bytes32,uint256,address,uint256,bytes,bytes32,uint256)",
        );
        let executed = said(&ground, "CallExecuted(bytes32,uint256,address,uint256,bytes)");
        assert_eq!((scheduled, executed), (1, 1), "{point}");
    });
}

#[test]
fn l12_a_contract_that_nobody_knows_is_given_its_calldata_and_its_effect_is_waited_for() {
    let world = World::start();
    let rpc = world.rpc();
    let stranger = contracts::deploy(&rpc, ACCOUNTS[0].address, "ContractOwner", &[]);
    let change = json!([world.app, OWNER_SLOT, stranger.into_word()]);
    rpc.call("anvil_setStorageAt", change);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let asked = flow.step("execute").exits(8).says("PENDING_OWNER");
    let call = flow.json_file("proposal.json")["calls"][0].clone();
    for part in [&call["to"], &call["data"]] {
        let part = part.as_str().unwrap().to_lowercase();
        assert!(asked.said.to_lowercase().contains(&part), "{part}: {}", asked.said);
    }
    let review = flow.step("review").exits(0);
    let shown = &review.json["data"]["transaction"]["calls"][0];
    assert_eq!(shown["digest"], flow.json_file("proposal.json")["calldata_digests"][0]);
    flow.with("wait", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_APPROVAL");
    rpc.call("anvil_impersonateAccount", json!([stranger]));
    rpc.call("anvil_setBalance", json!([stranger, "0xde0b6b3a7640000"]));
    let sent = json!([{"from": stranger, "to": call["to"], "data": call["data"]}]);
    rpc.call("eth_sendTransaction", sent);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn older_timelocks_do_the_same_and_several_calls_are_one_operation() {
    each(&[TimelockSource::V4, TimelockSource::V45], |source| older(*source));
}

fn older(source: TimelockSource) {
    let ground = Ground::with(TimelockOptions {
        source,
        ..TimelockOptions::default()
    });
    let flow = Flow::new(&ground.world);
    let device = keccak256("another device");
    flow.with("prepare", &["--add-device", &device.to_string()]).exits(0);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    let section = flow.json_file("proposal.json")["timelock"].clone();
    assert_eq!(
        section["operation"]["calls"]["batch"].as_array().unwrap().len(),
        2,
        "{section}"
    );
    advance(&ground.world.rpc(), DAY);
    by(&flow, "resume", 3).exits(0);
    flow.landed_once();
    let allowed = crate::support::contracts::abi::allowedDeviceIdsCall { deviceId: device };
    assert!(
        ground.world.rpc().read(ground.world.app, &allowed),
        "the device is allowed"
    );
    let evidence = flow.json_file("evidence.json");
    assert_eq!(evidence["changes"].as_array().unwrap().len(), 2, "{evidence}");
}

#[test]
fn l9_before_4_6_proposers_cancel_and_nobody_else_does() {
    let ground = Ground::with(TimelockOptions {
        source: TimelockSource::V45,
        ..TimelockOptions::default()
    });
    let flow = Flow::new(&ground.world);
    let prepared = flow.step("prepare").exits(0);
    // Whoever deployed it administers it.
    assert!(prepared.said.contains("TIMELOCK_ADMIN"), "{}", prepared.said);
    let id = flow.step("execute").exits(8).fact("operation_id").clone();
    let plan = &flow.json_file("proposal.json")["plan"]["timelock"];
    assert_eq!(plan["info"]["separate_cancellers"], false, "{plan}");
    assert_eq!(plan["roles"]["cancellers"], json!([ACCOUNTS[1].address]));
    by(&flow, "reject", 3).exits(6).says("TIMELOCK_ROLE_MISSING");
    assert!(!ground.state_of(&id).is_zero());
    by(&flow, "reject", 1).exits(0);
    assert!(ground.state_of(&id).is_zero());
    flow.step("execute").exits(6).says("ABANDONED");
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k36_to_k45_a_death_at_any_durable_write_with_a_safe_as_proposer_schedules_once_and_executes_once() {
    use crate::harness::judge::copied;
    use crate::safe::kills::at_every_write;
    let ground = Ground::with_safe(Some(vec![Address::ZERO]));
    let rpc = ground.world.rpc();
    let first = Flow::new(&ground.world);
    first.step("prepare").exits(0);
    by(&first, "sign", 0).exits(0);
    by(&first, "sign", 2).exits(0);
    // The Safe and its payer have one nonce at a time.
    let one_at_a_time = std::sync::Mutex::new(());
    let deaths = |stage: &str, ends: i32, counts: (usize, usize)| {
        at_every_write(|failpoints, tag| {
            let _alone = one_at_a_time.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let flow = copied(&first, &format!("{stage}-{tag}"));
            let snapshot = rpc.call("evm_snapshot", json!([]));
            let words = ["execute", "--json", "--yes", "--signer", "env:SIGNER_4", "--dir"];
            let mut execute = flow.command(&words);
            let output = execute.arg(&flow.dir).env("FAILPOINTS", failpoints).output().unwrap();
            let died = output.status.signal() == Some(9);
            assert!(died || output.status.code() == Some(ends), "{tag}: {}", shown(&output));
            by(&flow, "execute", 4).exits(ends);
            if ends == 0 {
                flow.step("wait").exits(0);
            }
            let scheduled = "CallScheduled(bytes32,uint256,address,uint256,bytes,bytes32,uint256)";
            let executed = "CallExecuted(bytes32,uint256,address,uint256,bytes)";
            assert_eq!((said(&ground, scheduled), said(&ground, executed)), counts, "{tag}");
            let sent = (counts.0 + counts.1) as u64;
            assert_eq!(rpc.nonce(ACCOUNTS[4].address), sent, "{tag}: transactions of the payer");
            rpc.call("evm_revert", json!([snapshot]));
            died
        })
    };
    let scheduling = deaths("schedule", 8, (1, 0));
    // TxPurpose, intent, bytes, sent, seen, done, scheduled; the proposal.
    assert!(scheduling >= 2 * 7 + 3, "{scheduling}");
    by(&first, "execute", 4).exits(8).says("PENDING_DELAY");
    advance(&rpc, DAY);
    let executing = deaths("execute", 0, (1, 1));
    // Intent, bytes, sent.
    assert!(executing >= 2 * 3, "{executing}");
}

#[test]
fn a_proposal_alone_is_enough_to_execute_on_another_machine() {
    let ground = Ground::with_safe(Some(vec![Address::ZERO]));
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    approve(&flow);
    advance(&ground.world.rpc(), DAY);
    let copy = ground
        .world
        .file("copy.json", &flow.json_file("proposal.json").to_string());
    let elsewhere = |step: &str| {
        let copy = copy.to_str().unwrap();
        let mut command = flow.command(&[step, copy, "--json", "--signer", "env:SIGNER_4", "--yes"]);
        Ran::of(&mut command)
    };
    elsewhere("execute").exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn v5_other_code_at_the_timelock_stops_before_it_is_asked_to_schedule_or_to_execute() {
    let ground = Ground::with(TimelockOptions::default());
    let rpc = ground.world.rpc();
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let code = rpc.call("eth_getCode", json!([ground.timelock, "latest"]));
    let other = format!("{}00", code.as_str().unwrap());
    let set = |code: &str| rpc.call("anvil_setCode", json!([ground.timelock, code]));
    set(&other);
    flow.step("execute").exits(5).says("TIMELOCK_CHANGED");
    set(code.as_str().unwrap());
    flow.step("execute").exits(8).says("PENDING_DELAY");
    advance(&rpc, DAY);
    set(&other);
    let nonce = rpc.nonce(ACCOUNTS[1].address);
    flow.step("execute").exits(5).says("TIMELOCK_CHANGED");
    assert_eq!(rpc.nonce(ACCOUNTS[1].address), nonce, "nothing was sent");
    flow.nothing_happened();
}

#[test]
fn x_a_scheduling_whose_block_was_replaced_is_not_called_cancelled_and_is_made_again() {
    let ground = Ground::with(TimelockOptions::default());
    let rpc = ground.world.rpc();
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let before = rpc.call("evm_snapshot", json!([]));
    let call = flow.json_file("proposal.json")["timelock"]["schedule"].clone();
    let sent = json!([{"from": ACCOUNTS[1].address, "to": call["to"], "data": call["data"]}]);
    rpc.call("eth_sendTransaction", sent);
    flow.with("wait", &["--timeout", "2s"]).exits(8).says("PENDING_DELAY");
    rpc.call("evm_revert", json!([before]));
    flow.with("wait", &["--timeout", "2s"])
        .exits(8)
        .says("PENDING_APPROVAL");
    assert!(flow.kinds().contains(&"timelock.unscheduled".to_owned()));
    flow.step("execute").exits(8).says("PENDING_DELAY");
    advance(&rpc, DAY);
    flow.step("resume").exits(0);
    flow.landed_once();
}
