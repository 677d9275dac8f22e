//! Two machines that want the same of one timelock, and what waits there when somebody removes, adds or looks.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, U256, b256, keccak256};
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{BINARY, Flow, Ran};
use crate::support::contracts::abi as app_abi;
use crate::support::timelocks::{TimelockOptions, TimelockSource, abi, advance};
use crate::support::world::{SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

const DAY: u64 = 86_400;
/// Where OpenZeppelin's upgradeable `Ownable` keeps the owner (ERC-7201).
const OWNER_SLOT: B256 = b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
const HASH: B256 = B256::repeat_byte(0xab);
const SCHEDULED: &str = "CallScheduled(bytes32,uint256,address,uint256,bytes,bytes32,uint256)";
const EXECUTED: &str = "CallExecuted(bytes32,uint256,address,uint256,bytes)";

/// An app that a timelock owns.
struct Ground {
    world: World,
    timelock: Address,
}

impl Ground {
    fn new() -> Self {
        Self::of(World::start(), TimelockOptions::default())
    }

    fn of(world: World, options: TimelockOptions) -> Self {
        let timelock = options.deploy(&world.rpc());
        let change = json!([world.app, OWNER_SLOT, timelock.into_word()]);
        world.rpc().call("anvil_setStorageAt", change);
        Self { world, timelock }
    }

    /// The same, with a Safe of one owner's signature as the proposer.
    fn with_safe() -> Self {
        let world = World::with(WorldOptions {
            safe: Some(SafeOptions {
                release: 1,
                l2: true,
                threshold: 1,
                owners: 2,
            }),
            ..WorldOptions::default()
        });
        let options = TimelockOptions {
            proposers: vec![world.safe.unwrap()],
            executors: vec![Address::ZERO],
            ..TimelockOptions::default()
        };
        Self::of(world, options)
    }

    /// A change of the policy, proposed on the machine whose directory this is.
    fn app(&self, words: &[&str], dir: &str) -> Ran {
        let app = self.world.app.to_string();
        let mut command = self.world.countersign(BINARY);
        command.arg("app").args(words);
        command.args(["--app", &app, "--chain-id", "31337", "--json", "--dir"]);
        Ran::of(command.arg(self.dir(dir)))
    }

    fn add(&self, dir: &str) -> Ran {
        self.app(&["hashes", "add", &HASH.to_string()], dir)
    }

    fn remove(&self, dir: &str) -> Ran {
        self.app(&["hashes", "remove", &HASH.to_string()], dir)
    }

    fn step(&self, step: &str, dir: &str, account: usize) -> Ran {
        let signer = format!("env:SIGNER_{account}");
        let mut command = self.world.countersign(BINARY);
        command.args([
            step,
            "--json",
            "--yes",
            "--timeout",
            "20s",
            "--signer",
            &signer,
            "--dir",
        ]);
        Ran::of(command.arg(self.dir(dir)))
    }

    /// What a machine proposed is carried out.
    fn carry_out(&self, dir: &str) {
        self.step("execute", dir, 1).exits(8).says("PENDING_DELAY");
        advance(&self.world.rpc(), DAY);
        self.step("resume", dir, 3).exits(0);
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.world.folder().join(name)
    }

    fn section(&self, dir: &str) -> Value {
        proposal(&self.dir(dir))["timelock"].clone()
    }

    fn said(&self, event: &str) -> usize {
        let filter = json!([{"fromBlock": "0x0", "address": self.timelock, "topics": [keccak256(event)]}]);
        self.world.rpc().call("eth_getLogs", filter).as_array().unwrap().len()
    }

    /// Schedules by the proposer what allows the hash, with a salt of its own.
    fn schedule_elsewhere(&self, salt: B256, predecessor: B256) {
        let data = app_abi::addComposeHashCall { composeHash: HASH }.abi_encode();
        let call = abi::scheduleCall {
            target: self.world.app,
            value: U256::ZERO,
            data: data.into(),
            predecessor,
            salt,
            delay: U256::from(DAY),
        };
        self.world.rpc().execute(ACCOUNTS[1].address, self.timelock, &call);
    }

    fn is_allowed(&self) -> bool {
        self.world.is_allowed(HASH)
    }
}

fn proposal(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join("proposal.json")).unwrap()).unwrap()
}

fn warned(ran: &Ran, code: &str) -> Option<String> {
    let warnings = ran.json["warnings"].as_array().cloned().unwrap_or_default();
    let found = warnings.into_iter().find(|one| one["code"] == code)?;
    Some(found["text"].as_str().unwrap().to_owned())
}

#[test]
fn bug_b3_two_machines_that_want_the_same_schedule_one_operation() {
    let ground = Ground::new();
    ground.add("m1").exits(0);
    ground.add("m2").exits(0);
    assert_eq!(ground.section("m1")["id"], ground.section("m2")["id"]);
    ground.step("execute", "m1", 1).exits(8).says("PENDING_DELAY");
    ground.step("execute", "m2", 1).exits(8).says("PENDING_DELAY");
    // A third machine begins when it waits already.
    let third = ground.add("m3").exits(0);
    assert_eq!(ground.section("m3")["id"], ground.section("m1")["id"]);
    assert!(warned(&third, "OPERATION_TAKEN_OVER").is_some(), "{}", third.said);
    ground.step("execute", "m3", 1).exits(8).says("PENDING_DELAY");
    assert_eq!(ground.said(SCHEDULED), 1);
    advance(&ground.world.rpc(), DAY);
    for machine in ["m1", "m2", "m3"] {
        ground.step("resume", machine, 3).exits(0);
    }
    assert_eq!((ground.said(SCHEDULED), ground.said(EXECUTED)), (1, 1));
    // Nothing is left that allows the hash again after it was removed.
    ground.remove("removal").exits(0);
    ground.carry_out("removal");
    assert!(!ground.is_allowed());
    for machine in ["m1", "m2", "m3"] {
        ground.step("execute", machine, 3);
    }
    assert!(!ground.is_allowed());
}

#[test]
fn bug_b3_two_machines_that_upgrade_one_cvm_schedule_one_operation() {
    let ground = Ground::new();
    let first = Flow::new(&ground.world);
    let mut second = Flow::new(&ground.world);
    second.dir = ground.dir("elsewhere/upgrade");
    first.step("prepare").exits(0);
    second.with("prepare", &["--supersede"]).exits(0);
    let ids: Vec<Value> = [&first, &second]
        .iter()
        .map(|flow| flow.json_file("proposal.json")["timelock"]["id"].clone())
        .collect();
    assert_eq!(ids[0], ids[1]);
    first.step("execute").exits(8).says("PENDING_DELAY");
    second.step("execute").exits(8).says("PENDING_DELAY");
    assert_eq!(ground.said(SCHEDULED), 1);
    advance(&ground.world.rpc(), DAY);
    second.step("resume").exits(0);
    second.landed_once();
}

#[test]
fn bug_b3_a_hash_that_was_removed_is_allowed_again_by_the_next_number() {
    let ground = Ground::new();
    ground.add("first").exits(0);
    ground.carry_out("first");
    ground.remove("removal").exits(0);
    ground.carry_out("removal");
    ground.add("again").exits(0);
    let (first, again) = (ground.section("first"), ground.section("again"));
    assert_eq!((&first["attempt"], &again["attempt"]), (&json!(0), &json!(1)));
    assert_ne!(first["id"], again["id"]);
    ground.carry_out("again");
    assert!(ground.is_allowed());
    assert_eq!(ground.said(EXECUTED), 3);
}

#[test]
fn bug_b3_what_somebody_scheduled_with_another_salt_is_taken_over_and_nothing_is_scheduled_beside_it() {
    let ground = Ground::new();
    ground.schedule_elsewhere(B256::repeat_byte(7), B256::ZERO);
    let ran = ground.add("m1").exits(0);
    assert!(warned(&ran, "OPERATION_TAKEN_OVER").is_some(), "{}", ran.said);
    let section = ground.section("m1");
    assert_eq!(section["rule"], "found", "{section}");
    assert_eq!(section["operation"]["salt"], json!(B256::repeat_byte(7)));
    ground.step("execute", "m1", 1).exits(8).says("PENDING_DELAY");
    // A proposal that names it is read, reviewed and executed elsewhere.
    let copy = ground.world.file("copy.json", &proposal(&ground.dir("m1")).to_string());
    let mut review = ground.world.countersign(BINARY);
    Ran::of(review.args(["review", "--json"]).arg(&copy)).exits(0);
    advance(&ground.world.rpc(), DAY);
    let mut execute = ground.world.countersign(BINARY);
    execute.args(["execute", "--json", "--yes", "--signer", "env:SIGNER_4"]);
    Ran::of(execute.arg(&copy)).exits(0);
    ground.step("resume", "m1", 3).exits(0);
    assert_eq!((ground.said(SCHEDULED), ground.said(EXECUTED)), (1, 1));
    assert!(ground.is_allowed());
}

#[test]
fn bug_b3_what_came_between_choice_and_scheduling_is_taken_over_too() {
    let ground = Ground::new();
    ground.add("m1").exits(0);
    assert_eq!(ground.section("m1")["rule"], "calls");
    ground.schedule_elsewhere(B256::repeat_byte(7), B256::ZERO);
    ground.step("execute", "m1", 1).exits(8).says("PENDING_DELAY");
    assert_eq!(ground.section("m1")["rule"], "found");
    assert_eq!(ground.said(SCHEDULED), 1);
    advance(&ground.world.rpc(), DAY);
    ground.step("resume", "m1", 3).exits(0);
    assert!(ground.is_allowed());
}

#[test]
fn bug_b3_what_cannot_be_taken_over_is_named_before_anything_is_prepared() {
    let ground = Ground::new();
    ground.schedule_elsewhere(B256::repeat_byte(7), B256::repeat_byte(1));
    let ran = ground.add("m1").exits(6).says("OPERATION_PENDING_SAME");
    assert!(ran.json["message"].as_str().unwrap().contains("0x"), "{}", ran.said);
    assert!(!ground.dir("m1").join("journal").exists());
    // Before 4.9 no event tells the salt of what waits.
    let older = Ground::of(
        World::start(),
        TimelockOptions {
            source: TimelockSource::V45,
            ..TimelockOptions::default()
        },
    );
    older.schedule_elsewhere(B256::repeat_byte(7), B256::ZERO);
    older.add("m1").exits(6).says("OPERATION_PENDING_SAME");
}

#[test]
fn bug_b3_a_removal_warns_of_what_waits_and_would_allow_the_hash_again() {
    let ground = Ground::new();
    ground.add("first").exits(0);
    ground.carry_out("first");
    ground.schedule_elsewhere(B256::repeat_byte(7), B256::ZERO);
    let ids = |ran: &Ran| ran.json["data"]["owner"]["timelock"]["operations"].clone();
    let mut show = ground.world.countersign(BINARY);
    show.args([
        "app",
        "owner",
        "show",
        &ground.world.app.to_string(),
        "--chain-id",
        "31337",
        "--json",
    ]);
    let shown = Ran::of(&mut show).exits(0);
    let waiting = ids(&shown);
    let [one] = waiting.as_array().unwrap().as_slice() else {
        panic!("{}", shown.said)
    };
    let id = one["id"].as_str().unwrap();
    assert_eq!(one["decoded"][0]["function"], "addComposeHash(bytes32)", "{one}");
    assert!(one["ready_at"].as_str().unwrap().ends_with('Z'), "{one}");
    assert!(
        one["calls"][0]["data"].as_str().unwrap().contains(&hex::encode(HASH)),
        "{one}"
    );
    let removals = [
        ground.remove("removal"),
        ground.app(&["change", "--remove-hash", &HASH.to_string()], "change"),
    ];
    for ran in removals {
        let text = warned(&ran, "OPERATION_PENDING_UNDOES").unwrap_or_else(|| panic!("{}", ran.said));
        assert!(text.contains(id) && text.contains(&hex::encode(HASH)), "{text}");
    }
}

#[test]
fn bug_b3_revoking_older_hashes_warns_of_what_would_allow_one_of_them_again() {
    let ground = Ground::new();
    ground.add("first").exits(0);
    ground.carry_out("first");
    ground.schedule_elsewhere(B256::repeat_byte(7), B256::ZERO);
    let flow = Flow::new(&ground.world);
    let ran = flow.with("prepare", &["--revoke-old"]).exits(0);
    assert!(warned(&ran, "OPERATION_PENDING_UNDOES").is_some(), "{}", ran.said);
}

#[test]
fn bug_b3_what_was_cancelled_is_scheduled_anew_by_the_same_id_on_every_machine() {
    let ground = Ground::new();
    ground.add("m1").exits(0);
    ground.add("m2").exits(0);
    ground.step("execute", "m1", 1).exits(8).says("PENDING_DELAY");
    let id: B256 = serde_json::from_value(ground.section("m1")["id"].clone()).unwrap();
    ground
        .world
        .rpc()
        .execute(ACCOUNTS[1].address, ground.timelock, &abi::cancelCall { id });
    ground.step("execute", "m1", 1).exits(7).says("OPERATION_CANCELLED");
    let mut again = ground.world.countersign(BINARY);
    again.args([
        "execute",
        "--json",
        "--yes",
        "--new-nonce",
        "--signer",
        "env:SIGNER_1",
        "--dir",
    ]);
    Ran::of(again.arg(ground.dir("m1"))).exits(8).says("PENDING_DELAY");
    assert_eq!(ground.section("m1")["id"], json!(id));
    ground.step("execute", "m2", 1).exits(8).says("PENDING_DELAY");
    assert_eq!(ground.said(SCHEDULED), 2);
}

#[test]
fn bug_b3_the_lists_of_an_app_tell_what_waits_at_its_timelock() {
    let ground = Ground::new();
    ground.schedule_elsewhere(B256::repeat_byte(7), B256::ZERO);
    for list in ["hashes", "devices"] {
        let app = ground.world.app.to_string();
        let words = ["app", list, "list", &app, "--chain-id", "31337"];
        let told = Ran::of(ground.world.countersign(BINARY).args(words).arg("--json")).exits(0);
        let [one] = told.json["data"]["timelock"]["operations"]
            .as_array()
            .unwrap()
            .as_slice()
        else {
            panic!("{}", told.said)
        };
        assert_eq!(one["decoded"][0]["function"], "addComposeHash(bytes32)", "{one}");
        // In a pipe, what is no row of the list stands beside it.
        let page = ground.world.countersign(BINARY).args(words).output().unwrap();
        let page = String::from_utf8([page.stdout, page.stderr].concat()).unwrap();
        assert!(page.contains(one["id"].as_str().unwrap()), "{page}");
        assert!(page.contains(&hex::encode(HASH)), "{page}");
    }
}

#[test]
fn bug_b3_owners_of_a_safe_sign_nothing_for_what_waits_already() {
    let ground = Ground::with_safe();
    ground.add("m1").exits(0);
    ground.step("sign", "m1", 0).exits(0);
    ground.step("execute", "m1", 4).exits(8).says("PENDING_DELAY");
    ground.add("m2").exits(0);
    assert!(proposal(&ground.dir("m2"))["safe"].is_null());
    advance(&ground.world.rpc(), DAY);
    ground.step("resume", "m2", 3).exits(0);
    ground.step("resume", "m1", 3).exits(0);
    assert_eq!((ground.said(SCHEDULED), ground.said(EXECUTED)), (1, 1));
}

#[test]
fn bug_b3_a_proposal_that_names_another_number_rule_or_salt_stops() {
    let ground = Ground::new();
    ground.add("m1").exits(0);
    let honest = proposal(&ground.dir("m1"));
    for (place, value) in [
        ("/timelock/attempt", json!(1)),
        ("/timelock/attempt", json!(1_000_000)),
        ("/timelock/rule", json!("found")),
        ("/timelock/rule", json!("name")),
        ("/timelock/operation/salt", json!(B256::ZERO)),
        ("/timelock/id", json!(B256::ZERO)),
        ("/plan/timelock/salt", json!("name")),
    ] {
        let mut changed = honest.clone();
        *changed.pointer_mut(place).unwrap() = value.clone();
        let file = ground.world.file("changed.json", &changed.to_string());
        let mut command = ground.world.countersign(BINARY);
        let ran = Ran::of(command.args(["review", "--json", "--offline"]).arg(file));
        // An operation that was found is what it says it is: a proposal may name any salt so, and every machine shows its id.
        let expected: &[i32] = if value == "found" { &[0, 6] } else { &[3, 5] };
        assert!(expected.contains(&ran.exit), "{place} {value}: {}", ran.said);
    }
}

#[test]
fn bug_b3_what_endpoints_without_logs_do_not_show_is_said_to_be_unchecked() {
    let ground = Ground::new();
    let liar = Liar::to(&ground.world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!({"error": {"code": -32005, "message": "range too large"}}))
    });
    let mut command = ground.world.countersign(BINARY);
    let app = ground.world.app.to_string();
    command.args([
        "app",
        "hashes",
        "add",
        &HASH.to_string(),
        "--app",
        &app,
        "--chain-id",
        "31337",
        "--json",
    ]);
    command.args(["--proposer", &ACCOUNTS[1].address.to_string(), "--dir"]);
    let ran = Ran::of(command.arg(ground.dir("m1")).env("ETH_RPC_URL", liar.url())).exits(0);
    let text = warned(&ran, "OPERATIONS_UNKNOWN").unwrap_or_else(|| panic!("{}", ran.said));
    assert!(text.starts_with("not checked"), "{text}");
    // What follows from the calls is found all the same.
    ground.add("m2").exits(0);
    assert_eq!(ground.section("m1")["id"], ground.section("m2")["id"]);
}

#[test]
fn bug_b3_an_upgrade_without_a_timelock_asks_for_no_logs() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!({"error": {"code": -32005, "message": "range too large"}}))
    });
    let flow = Flow::new(&world).chain_at(liar.url());
    flow.step("upgrade").exits(0);
    flow.landed_once();
    assert!(!liar.asked().iter().any(|method| method == "eth_getLogs"));
}
