//! Timelocks with the genuine code of OpenZeppelin's releases in whose storage something was planted when they were made: it
//! is found by whoever reads the history, and by whoever plans, reviews, signs or gives an app away without it.

use alloy::primitives::{Address, B256, Bytes, U256, b256, keccak256};
use alloy::sol_types::SolValue;
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::support::contracts;
use crate::support::timelocks::{TimelockOptions, TimelockSource, abi, advance, pass};
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, Rpc, World};

const DAY: u64 = 86_400;
/// Where OpenZeppelin's upgradeable `Ownable` keeps the owner (ERC-7201).
pub const OWNER_SLOT: B256 = b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
const STRANGER: Address = ACCOUNTS[4].address;

/// What a constructor of somebody's own writes and tells before the genuine code stands there.
#[derive(Debug, Clone, Default)]
struct Birth {
    stores: Vec<(B256, B256)>,
    logs: Vec<(Vec<B256>, Vec<u8>)>,
}

fn slot(number: u8) -> B256 {
    B256::with_last_byte(number)
}

fn mapping(key: B256, at: B256) -> B256 {
    keccak256([key, at].concat())
}

/// Where a role's members are kept, and after it its admin role.
fn entry(role: B256) -> B256 {
    mapping(role, slot(0))
}

fn member(role: B256, account: Address) -> B256 {
    mapping(account.into_word(), entry(role))
}

fn admin_of(role: B256) -> B256 {
    B256::from(U256::from_be_bytes(entry(role).0) + U256::ONE)
}

fn timestamp(id: B256) -> B256 {
    mapping(id, slot(1))
}

fn role(name: &str) -> B256 {
    keccak256(name)
}

fn is_of_4(source: TimelockSource) -> bool {
    source != TimelockSource::V5
}

/// The role that administers the others.
fn admin(source: TimelockSource) -> B256 {
    if is_of_4(source) {
        role("TIMELOCK_ADMIN_ROLE")
    } else {
        B256::ZERO
    }
}

impl Birth {
    /// What the genuine constructor does, for one proposer, with executing open to everybody.
    fn honest(source: TimelockSource, timelock: Address, proposer: Address) -> Self {
        let mut birth = Self::default();
        birth.stores.push((slot(2), B256::from(U256::from(DAY))));
        let admin = admin(source);
        if is_of_4(source) {
            for name in [
                "TIMELOCK_ADMIN_ROLE",
                "PROPOSER_ROLE",
                "EXECUTOR_ROLE",
                "CANCELLER_ROLE",
            ] {
                birth.stores.push((admin_of(role(name)), admin));
            }
        }
        birth.grant(admin, timelock);
        birth.grant(role("PROPOSER_ROLE"), proposer);
        birth.grant(role("CANCELLER_ROLE"), proposer);
        birth.grant(role("EXECUTOR_ROLE"), Address::ZERO);
        birth
    }

    fn grant(&mut self, role: B256, account: Address) {
        self.stores.push((member(role, account), slot(1)));
        let told = keccak256("RoleGranted(bytes32,address,address)");
        let topics = vec![told, role, account.into_word(), ACCOUNTS[0].address.into_word()];
        self.logs.push((topics, Vec::new()));
    }

    fn with(mut self, stores: &[(B256, B256)]) -> Self {
        self.stores.extend(stores);
        self
    }

    /// Creation code that does this and leaves `runtime`.
    fn code(&self, runtime: &[u8]) -> Vec<u8> {
        let body = |base: usize| {
            let push = |number: usize| [&[0x63][..], &u32::try_from(number).unwrap().to_be_bytes()].concat();
            let word = |word: &B256| [&[0x7f][..], word.as_slice()].concat();
            let mut code = Vec::new();
            for (slot, value) in &self.stores {
                code.extend([word(value), word(slot), vec![0x55]].concat());
            }
            let mut at = base + runtime.len();
            for (topics, data) in &self.logs {
                code.extend([push(data.len()), push(at), vec![0x60, 0, 0x39]].concat());
                code.extend(topics.iter().rev().flat_map(word));
                code.extend(push(data.len()));
                code.extend([0x60, 0, 0xa0 + u8::try_from(topics.len()).unwrap()]);
                at += data.len();
            }
            code.extend([push(runtime.len()), push(base), vec![0x60, 0, 0x39]].concat());
            code.extend([push(runtime.len()), vec![0x60, 0, 0xf3]].concat());
            code
        };
        let data = self.logs.iter().flat_map(|(_, data)| data.clone());
        let base = body(0).len();
        body(base).into_iter().chain(runtime.to_vec()).chain(data).collect()
    }
}

/// A timelock with the genuine code of a release, made by a constructor of somebody's own.
fn born(rpc: &Rpc, (source, proposer): (TimelockSource, Address), change: impl FnOnce(Birth) -> Birth) -> Address {
    let options = TimelockOptions {
        source,
        ..TimelockOptions::default()
    };
    let genuine = options.deploy(rpc);
    let runtime: Bytes = serde_json::from_value(rpc.call("eth_getCode", json!([genuine, "latest"]))).unwrap();
    let from = ACCOUNTS[0].address;
    let nonce: U256 = serde_json::from_value(rpc.call("eth_getTransactionCount", json!([from, "latest"]))).unwrap();
    let timelock = from.create(nonce.to());
    let birth = change(Birth::honest(source, timelock, proposer));
    let data = Bytes::from(birth.code(&runtime));
    let sent = rpc.call(
        "eth_sendTransaction",
        json!([{"from": from, "data": data, "gas": "0xb71b00"}]),
    );
    let receipt = rpc.mined(serde_json::from_value(sent).unwrap());
    assert_eq!(receipt["status"], "0x1", "{receipt}");
    assert_eq!(
        receipt["contractAddress"],
        json!(timelock).as_str().unwrap().to_lowercase()
    );
    timelock
}

/// Makes a timelock the app's owner.
fn own(world: &World, timelock: Address) {
    let change = json!([world.app, OWNER_SLOT, timelock.into_word()]);
    world.rpc().call("anvil_setStorageAt", change);
    world.rpc().mine(1);
}

fn of_app(flow: &Flow<'_>, words: &[&str]) -> Ran {
    let app = flow.world.app.to_string();
    let words = [&["app"], words, &[&app, "--chain-id", "31337", "--json"]].concat();
    Ran::of(&mut flow.command(&words))
}

/// What `app check` found of a contract's storage.
fn found(ran: &Ran, contract: Address) -> Value {
    let all = ran.json["data"]["storage"].as_array().unwrap().clone();
    let one = all.into_iter().find(|one| one["contract"] == json!(contract));
    one.unwrap_or_else(|| panic!("{}", ran.said))["found"]["storage"].clone()
}

fn forbidding(ran: &Ran) -> Vec<String> {
    let findings = ran.json["data"]["verdict"]["findings"].as_array().cloned();
    let open = findings.unwrap_or_default().into_iter();
    let open = open.filter(|one| one["severity"] != "note" && one["accepted"] != true);
    open.map(|one| one["code"].as_str().unwrap().to_owned()).collect()
}

fn not_checked(ran: &Ran) -> Vec<String> {
    let all = ran.json["data"]["verdict"]["not_checked"].as_array().unwrap().clone();
    all.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn plan_words(compose: &std::path::Path) -> [String; 6] {
    ["plan", "--cvm", CVM, "-c", compose.to_str().unwrap(), "--json"].map(str::to_owned)
}

/// A command on another machine.
fn home(flow: &Flow<'_>, words: &[&str]) -> (tempfile::TempDir, std::process::Command) {
    let home = tempfile::tempdir().unwrap();
    let mut command = flow.command(words);
    command.env("HOME", home.path());
    (home, command)
}

/// An operation that allows another hash, and the event that tells of its scheduling with these calls.
fn hidden(world: &World) -> (B256, Bytes) {
    let call = alloy::sol_types::SolCall::abi_encode(&contracts::abi::addComposeHashCall {
        composeHash: B256::repeat_byte(0xee),
    });
    let words = (world.app, U256::ZERO, Bytes::from(call.clone()), B256::ZERO, B256::ZERO);
    (keccak256(words.abi_encode_params()), call.into())
}

fn scheduled(world: &World, id: B256, data: &Bytes) -> (Vec<B256>, Vec<u8>) {
    let told = keccak256("CallScheduled(bytes32,uint256,address,uint256,bytes,bytes32,uint256)");
    let words = (world.app, U256::ZERO, data.clone(), B256::ZERO, U256::ZERO);
    (vec![told, id, B256::ZERO], words.abi_encode_params())
}

#[test]
fn fr2_1_whatever_was_planted_in_genuine_code_is_found_by_app_check_and_by_a_plan_without_it() {
    let sources = [TimelockSource::V5, TimelockSource::V4, TimelockSource::V45];
    for source in sources {
        let world = World::start();
        let rpc = world.rpc();
        let flow = Flow::new(&world);
        let (id, _) = hidden(&world);
        let proposer = role("PROPOSER_ROLE");
        let other = role("SOMEBODY_ELSES");
        let plants: [(&str, Vec<(B256, B256)>); 6] = [
            ("nothing", vec![]),
            ("a proposer", vec![(member(proposer, STRANGER), slot(1))]),
            ("an admin", vec![(member(admin(source), STRANGER), slot(1))]),
            ("a ready operation", vec![(timestamp(id), slot(2))]),
            ("who administers proposers", vec![(admin_of(proposer), other)]),
            (
                "a role that administers the admins",
                vec![(admin_of(admin(source)), role("EXECUTOR_ROLE"))],
            ),
        ];
        for (what, stores) in plants {
            let by = (source, ACCOUNTS[1].address);
            let timelock = born(&rpc, by, |birth| birth.with(&stores));
            own(&world, timelock);
            let words = plan_words(&flow.compose);
            let (_home, mut alone) = home(&flow, &words.each_ref().map(String::as_str));
            let plan = Ran::of(&mut alone);
            if stores.is_empty() {
                let plan = plan.exits(0);
                assert!(!plan.said.contains("the storage of the timelock"), "{}", plan.said);
                assert_eq!(
                    found(&of_app(&flow, &["check"]).exits(0), timelock),
                    "closed",
                    "{source:?}"
                );
                continue;
            }
            assert_eq!(forbidding(&plan.exits(6)), ["STORAGE_NOT_CLOSED"], "{source:?} {what}");
            let checked = of_app(&flow, &["check"]).exits(6).says("STORAGE_NOT_CLOSED");
            assert_eq!(found(&checked, timelock), "not-closed", "{source:?} {what}");
            let agree = format!("STORAGE_NOT_CLOSED={timelock}");
            assert!(
                checked.json["next"].as_str().unwrap().contains(&agree),
                "{}",
                checked.said
            );
            let shown = of_app(&flow, &["owner", "show"]).exits(0);
            assert!(shown.said.contains("STORAGE_NOT_CLOSED"), "{}", shown.said);
        }
    }
}

#[test]
fn fr2_1_an_operation_that_was_planted_with_an_event_is_shown_for_what_it_is_or_found() {
    let world = World::start();
    let rpc = world.rpc();
    let flow = Flow::new(&world);
    let (id, data) = hidden(&world);
    let harmless = Bytes::from_static(&[1, 2, 3]);
    for (told, truly) in [(&harmless, false), (&data, true)] {
        let timelock = born(&rpc, (TimelockSource::V5, ACCOUNTS[1].address), |mut birth| {
            birth.logs.push(scheduled(&world, id, told));
            birth.with(&[(timestamp(id), slot(2))])
        });
        own(&world, timelock);
        let shown = of_app(&flow, &["owner", "show"]).exits(0);
        let waiting = shown.json["data"]["owner"]["timelock"]["operations"]
            .as_array()
            .unwrap();
        assert_eq!(waiting.len(), 1, "{}", shown.said);
        assert_eq!(waiting[0]["operation"].is_null(), !truly, "{}", shown.said);
        assert_eq!(shown.said.contains("STORAGE_NOT_CLOSED"), !truly, "{}", shown.said);
        let checked = of_app(&flow, &["check"]).exits(if truly { 0 } else { 6 });
        assert_eq!(found(&checked, timelock), if truly { "closed" } else { "not-closed" });
    }
    // An event that says it was cancelled hides nothing that is ready.
    let timelock = born(&rpc, (TimelockSource::V5, ACCOUNTS[1].address), |mut birth| {
        birth.logs.push(scheduled(&world, id, &data));
        birth.logs.push((vec![keccak256("Cancelled(bytes32)"), id], Vec::new()));
        birth.with(&[(timestamp(id), slot(2))])
    });
    own(&world, timelock);
    of_app(&flow, &["check"]).exits(6).says("STORAGE_NOT_CLOSED");
}

/// A Safe of which one owner's signature is enough.
fn with_safe() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 1,
            owners: 2,
        }),
        ..WorldOptions::default()
    })
}

#[test]
fn fr2_1_what_was_planted_is_told_to_whoever_prepares_reviews_or_signs() {
    let world = with_safe();
    let rpc = world.rpc();
    let flow = Flow::new(&world);
    let by = (TimelockSource::V5, world.safe.unwrap());
    let plant = [(member(role("PROPOSER_ROLE"), STRANGER), slot(1))];
    let timelock = born(&rpc, by, |birth| birth.with(&plant));
    own(&world, timelock);
    let agree = format!("STORAGE_NOT_CLOSED={timelock}");
    flow.step("prepare").exits(6).says("STORAGE_NOT_CLOSED");
    flow.with("prepare", &["--accept", &agree]).exits(0);
    let file = world.file("alone.json", &flow.json_file("proposal.json").to_string());
    let file = file.to_str().unwrap();
    let sign = ["sign", file, "--signer", "env:SIGNER_0", "--yes", "--json"];
    for words in [&["review", file, "--json"][..], &sign] {
        let (there, mut command) = home(&flow, words);
        let ran = Ran::of(&mut command).exits(6).says("STORAGE_NOT_CLOSED");
        assert!(ran.said.contains(&timelock.to_string()), "{}", ran.said);
        let files: Vec<_> = std::fs::read_dir(there.path()).unwrap().collect();
        assert!(files.is_empty(), "{files:?}");
    }
    let (_home, mut command) = home(&flow, &[&sign[..], &["--accept", &agree]].concat());
    Ran::of(&mut command).exits(0);
}

/// Everything besides an upgrade that changes a timelock's storage.
fn do_everything(world: &World, timelock: Address) {
    let rpc = world.rpc();
    let (proposer, who) = (ACCOUNTS[1].address, ACCOUNTS[2].address);
    let of = (timelock, proposer);
    let role = role("EXECUTOR_ROLE");
    pass(&rpc, of, (timelock, &abi::grantRoleCall { role, account: who }));
    pass(&rpc, of, (timelock, &abi::revokeRoleCall { role, account: who }));
    let longer = abi::updateDelayCall {
        newDelay: U256::from(2 * DAY),
    };
    pass(&rpc, of, (timelock, &longer));
    for salt in [1, 2] {
        let schedule = abi::scheduleCall {
            target: world.app,
            value: U256::ZERO,
            data: Bytes::new(),
            predecessor: B256::ZERO,
            salt: slot(salt),
            delay: U256::from(2 * DAY),
        };
        rpc.execute(proposer, timelock, &schedule);
    }
    let id = rpc.read(
        timelock,
        &abi::hashOperationCall {
            target: world.app,
            value: U256::ZERO,
            data: Bytes::new(),
            predecessor: B256::ZERO,
            salt: slot(1),
        },
    );
    rpc.execute(proposer, timelock, &abi::cancelCall { id });
}

#[test]
fn fr2_1_honest_timelocks_of_each_release_are_closed_through_all_that_they_do() {
    let all = [TimelockSource::V45, TimelockSource::V4, TimelockSource::V5];
    let may_execute = [Address::ZERO, ACCOUNTS[1].address];
    for (source, executor) in all
        .into_iter()
        .flat_map(|one| may_execute.map(|executor| (one, executor)))
    {
        let world = World::start();
        let rpc = world.rpc();
        let options = TimelockOptions {
            source,
            executors: vec![executor],
            admin: ACCOUNTS[3].address,
            ..TimelockOptions::default()
        };
        let timelock = options.deploy(&rpc);
        own(&world, timelock);
        let flow = Flow::new(&world);
        let of_storage = |plan: &Ran| {
            assert!(forbidding(plan).is_empty(), "{source:?} {}", plan.said);
            let told = not_checked(plan).into_iter();
            told.filter(|one| one.contains("the storage of the timelock")).count()
        };
        let first = flow.step("plan").exits(0);
        assert_eq!(of_storage(&first), 0, "{source:?} {}", first.said);
        flow.step("prepare").exits(0);
        flow.step("execute").exits(8);
        advance(&rpc, DAY);
        flow.step("resume").exits(0);
        do_everything(&world, timelock);
        let next = world.file("next.yml", &NEW_COMPOSE.replace("web:", "second:"));
        let plan = |url: &str| {
            let (_home, mut command) = home(&flow, &plan_words(&next).each_ref().map(String::as_str));
            let proposer = ["--proposer", &ACCOUNTS[1].address.to_string()];
            Ran::of(command.args(proposer).env("ETH_RPC_URL", url))
        };
        let alone = plan(&world.anvil.url());
        assert_eq!(of_storage(&alone), 0, "{source:?} {}", alone.said);
        assert_eq!(
            found(&of_app(&flow, &["check"]).exits(0), timelock),
            "closed",
            "{source:?}"
        );

        // Who gives no proof, or no logs, makes one line and no question.
        let refused = || json!({"error": {"code": -32601, "message": "the method does not exist"}});
        for method in ["eth_getProof", "eth_getLogs"] {
            let liar = Liar::to(&world.anvil.url(), move |asked, _| (asked == method).then(refused));
            let plan = plan(liar.url());
            assert_eq!(of_storage(&plan), 1, "{source:?} {}", plan.said);
        }
    }
}

/// A timelock in which a proposer was planted, and an honest one that an account administers.
fn new_owners(world: &World) -> (Address, Address) {
    let rpc = world.rpc();
    let by = (TimelockSource::V4, ACCOUNTS[1].address);
    let plant = [(member(role("PROPOSER_ROLE"), STRANGER), slot(1))];
    let planted = born(&rpc, by, |birth| birth.with(&plant));
    let honest = TimelockOptions {
        admin: ACCOUNTS[3].address,
        ..TimelockOptions::default()
    };
    (planted, honest.deploy(&rpc))
}

fn transfer(flow: &Flow<'_>, to: Address, more: &[&str]) -> Ran {
    let (to, app) = (to.to_string(), flow.world.app.to_string());
    let words = [
        "app",
        "owner",
        "transfer",
        &to,
        "--app",
        &app,
        "--chain-id",
        "31337",
        "--json",
    ];
    let dir = ["--dir", &format!("to-{to}")];
    Ran::of(&mut flow.command(&[&words[..], &dir, more].concat()))
}

fn deploy(flow: &Flow<'_>, owner: Address, more: &[&str]) -> Ran {
    let (kms, owner) = (flow.world.kms.to_string(), owner.to_string());
    let (hash, from) = (B256::repeat_byte(7).to_string(), ACCOUNTS[1].address.to_string());
    let words = [
        "app",
        "deploy",
        "--json",
        "--chain-id",
        "31337",
        "--kms-contract",
        &kms,
        "--owner",
        &owner,
    ];
    let rest = ["--compose-hash", &hash, "--device", &hash, "--from", &from];
    Ran::of(&mut flow.command(&[&words[..], &rest, more].concat()))
}

#[test]
fn fr2_1_a_new_owner_that_is_a_timelock_gets_the_looks_of_the_present_one() {
    let world = World::start();
    let flow = Flow::new(&world);
    let (planted, honest) = new_owners(&world);
    let ran = transfer(&flow, planted, &["--accept-new-owner"])
        .exits(6)
        .says("STORAGE_NOT_CLOSED");
    assert!(ran.said.contains(&planted.to_string()), "{}", ran.said);
    let agree = format!("STORAGE_NOT_CLOSED={planted}");
    transfer(&flow, planted, &["--accept", &agree]).exits(0);
    // Elsewhere no journal says what was agreed to.
    let file = world.folder().join("given.json");
    std::fs::copy(world.folder().join(format!("to-{planted}/proposal.json")), &file).unwrap();
    let given = format!("APP_GIVEN_AWAY={planted}");
    let (_home, mut review) = home(&flow, &["review", file.to_str().unwrap(), "--json", "--accept", &given]);
    let review = Ran::of(&mut review).exits(6);
    assert_eq!(forbidding(&review), ["STORAGE_NOT_CLOSED"], "{}", review.said);
    let fine = transfer(&flow, honest, &[]).exits(0);
    assert!(!fine.said.contains("the storage of the timelock"), "{}", fine.said);
    let told = fine.said.contains("TIMELOCK_ADMIN") && fine.said.contains(&ACCOUNTS[3].address.to_string());
    assert!(told, "{}", fine.said);
}

#[test]
fn fr2_1_a_new_app_is_not_made_for_a_timelock_in_which_something_was_planted() {
    let world = World::start();
    let flow = Flow::new(&world);
    let (planted, honest) = new_owners(&world);
    deploy(&flow, planted, &[]).exits(6).says("STORAGE_NOT_CLOSED");
    deploy(&flow, planted, &["--accept-new-owner"]).exits(0);
    let fine = deploy(&flow, honest, &[]).exits(0);
    assert!(fine.said.contains("TIMELOCK_ADMIN"), "{}", fine.said);
}

#[test]
fn fr2_1_an_owner_safes_standing_approvals_are_told_by_app_check() {
    let world = with_safe();
    let hash = B256::repeat_byte(0xcd);
    let safe = world.safe.unwrap();
    let quiet = of_app(&Flow::new(&world), &["check"]).exits(0);
    assert!(!quiet.said.contains("SAFE_STANDING_APPROVAL"), "{}", quiet.said);
    assert_eq!(found(&quiet, safe), "closed");
    alloy::sol! { function approveHash(bytes32 hash); }
    world
        .rpc()
        .execute(ACCOUNTS[0].address, safe, &approveHashCall { hash });
    let told = of_app(&Flow::new(&world), &["check"]).exits(0);
    assert!(told.said.contains("SAFE_STANDING_APPROVAL"), "{}", told.said);
    assert!(told.said.contains(&hash.to_string()), "{}", told.said);
    assert_eq!(
        told.json["data"]["standing_approvals"][0]["safe"],
        json!(safe),
        "{}",
        told.said
    );
}
