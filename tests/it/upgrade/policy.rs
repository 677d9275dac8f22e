//! Changes of an app's policy alone, driven through the binary: devices, hashes, switches, who owns it. By a key and by a
//! Safe whose owners exchange files; for both kinds of app (O8 is the one-step half of every case here).

use std::path::PathBuf;

use alloy::primitives::{Address, B256, U256, address, keccak256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{self, each};
use crate::safe::upgrade::Person;
use crate::support::contracts::{self, abi};
use crate::support::timelocks::{self, TimelockOptions};
use crate::support::world::{AppVariant, CVM, WorldOptions};
use crate::support::{ACCOUNTS, AnvilOptions, SafeOptions, World, safes};

const BOTH: [AppVariant; 2] = [AppVariant::OneStep, AppVariant::TwoStep];
const TWO_OF_THREE: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};
/// An address that nobody used.
const UNSEEN: Address = address!("00000000000000000000000000000000000abcde");

/// A device or a hash that no world has.
fn other() -> B256 {
    keccak256("other")
}

fn world_of(app: AppVariant) -> World {
    World::with(WorldOptions {
        app,
        ..WorldOptions::default()
    })
}

/// Without an API key: what is proposed by the app's address needs no cloud.
pub fn flow(world: &World) -> Flow<'_> {
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join("change");
    flow.env.push(("PHALA_CLOUD_API_KEY".to_owned(), String::new()));
    flow
}

/// Proposes a change of the app that is named by its address.
pub fn propose(flow: &Flow<'_>, words: &[&str]) -> Ran {
    let (app, dir) = (flow.world.app.to_string(), flow.dir.to_str().unwrap().to_owned());
    let mut all = vec!["app"];
    all.extend(words);
    all.extend(["--app", &app, "--chain-id", "31337", "--dir", &dir, "--json"]);
    Ran::of(&mut flow.command(&all))
}

fn by(flow: &Flow<'_>, step: &str, account: usize) -> Ran {
    by_with(flow, step, account, &[])
}

fn by_with(flow: &Flow<'_>, step: &str, account: usize, more: &[&str]) -> Ran {
    let (dir, signer) = (flow.dir.to_str().unwrap(), format!("env:SIGNER_{account}"));
    let mut command = flow.command(&[
        step,
        "--json",
        "--dir",
        dir,
        "--signer",
        &signer,
        "--yes",
        "--timeout",
        "20s",
    ]);
    Ran::of(command.args(flow.given_away()).args(more))
}

fn owner(world: &World) -> Address {
    world.rpc().read(world.app, &abi::ownerCall {})
}

fn pending(world: &World) -> Address {
    world.rpc().read(world.app, &abi::pendingOwnerCall {})
}

/// The owner, whoever that is, calls the app without this tool.
fn as_whoever_owns<C: SolCall>(world: &World, call: &C) -> B256 {
    world.rpc().execute_as(owner(world), world.app, call)
}

fn listed(world: &World, device: B256) -> bool {
    world
        .rpc()
        .read(world.app, &abi::allowedDeviceIdsCall { deviceId: device })
}

fn warned(ran: &Ran, code: &str) -> bool {
    let list = ran.json["warnings"].as_array().unwrap();
    list.iter().any(|warning| warning["code"] == code)
}

/// One kind of change.
struct Case {
    name: &'static str,
    words: fn(&World) -> Vec<String>,
    /// What has to be so before, where a new app is not.
    before: fn(&World),
    holds: fn(&World) -> bool,
    /// Event of the contract.
    event: &'static str,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// What both kinds of app can change.
fn common() -> Vec<Case> {
    vec![
        Case {
            name: "add a device",
            words: |_| words(&["devices", "add", &other().to_string()]),
            before: |_| {},
            holds: |world| listed(world, other()),
            event: "DeviceAdded(bytes32)",
        },
        Case {
            name: "remove a device",
            words: |world| words(&["devices", "remove", &world.device.to_string()]),
            before: |_| {},
            holds: |world| !listed(world, world.device),
            event: "DeviceRemoved(bytes32)",
        },
        Case {
            name: "add a hash",
            words: |_| words(&["hashes", "add", &other().to_string()]),
            before: |_| {},
            holds: |world| world.is_allowed(other()),
            event: "ComposeHashAdded(bytes32)",
        },
        Case {
            name: "remove a hash",
            words: |world| words(&["hashes", "remove", &world.first_hash.to_string()]),
            before: |_| {},
            holds: |world| !world.is_allowed(world.first_hash),
            event: "ComposeHashRemoved(bytes32)",
        },
        Case {
            name: "let any device in",
            words: |_| words(&["allow-any-device", "on"]),
            before: |_| {},
            holds: |world| world.rpc().read(world.app, &abi::allowAnyDeviceCall {}),
            event: "AllowAnyDeviceSet(bool)",
        },
        Case {
            name: "let listed devices in only",
            words: |_| words(&["allow-any-device", "off"]),
            before: |world| {
                as_whoever_owns(world, &abi::setAllowAnyDeviceCall { allowAny: true });
            },
            holds: |world| !world.rpc().read(world.app, &abi::allowAnyDeviceCall {}),
            event: "AllowAnyDeviceSet(bool)",
        },
    ]
}

fn cases(app: AppVariant) -> Vec<Case> {
    let mut all = common();
    if app == AppVariant::TwoStep {
        all.push(Case {
            name: "ask for fresh firmware",
            words: |_| words(&["require-tcb-up-to-date", "on"]),
            before: |_| {},
            holds: |world| world.rpc().read(world.app, &abi::requireTcbUpToDateCall {}),
            event: "RequireTcbUpToDateSet(bool)",
        });
        all.push(Case {
            name: "offer the app",
            words: |_| words(&["owner", "transfer", &ACCOUNTS[2].address.to_string()]),
            before: |_| {},
            holds: |world| pending(world) == ACCOUNTS[2].address,
            event: "OwnershipTransferStarted(address,address)",
        });
    } else {
        all.push(Case {
            name: "give the app away",
            words: |_| words(&["owner", "transfer", &ACCOUNTS[2].address.to_string()]),
            before: |_| {},
            holds: |world| owner(world) == ACCOUNTS[2].address,
            event: "OwnershipTransferred(address,address)",
        });
    }
    all
}

fn both() -> Vec<(AppVariant, Case)> {
    let of = |app: AppVariant| cases(app).into_iter().map(move |case| (app, case));
    BOTH.into_iter().flat_map(of).collect()
}

/// The evidence says of every change where the chain shows it.
#[track_caller]
fn proved(flow: &Flow<'_>, events: &[&str]) -> Value {
    let evidence = flow.json_file("evidence.json");
    let transaction: B256 = serde_json::from_value(evidence["transaction"]["hash"].clone()).unwrap();
    let receipt = flow.world.rpc().mined(transaction);
    assert_eq!(receipt["status"], "0x1");
    assert_eq!(receipt["blockHash"], evidence["block"]["hash"]);
    let logs = receipt["logs"].as_array().unwrap();
    let indexes = evidence["said"]["settled"]["log_indexes"].as_array().unwrap();
    assert_eq!(
        evidence["changes"].as_array().unwrap().len(),
        events.len(),
        "{evidence}"
    );
    assert_eq!(indexes.len(), events.len(), "{evidence}");
    for (index, event) in indexes.iter().zip(events) {
        let index = index.as_u64().unwrap();
        let log = logs
            .iter()
            .find(|log| log["logIndex"] == json!(format!("{index:#x}")))
            .unwrap();
        assert_eq!(log["topics"][0], json!(keccak256(event)), "{event}");
        let at: Address = serde_json::from_value(log["address"].clone()).unwrap();
        assert_eq!(at, flow.world.app);
    }
    let text = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    for part in [
        transaction.to_string(),
        flow.world.app.to_string(),
        "## Policy".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    assert!(
        !text.contains("compose hash before") && !text.contains("## Changes"),
        "{text}"
    );
    assert!(
        evidence.get("code").is_none() && evidence["said"].get("cvm").is_none(),
        "{evidence}"
    );
    evidence
}

/// Nothing was signed or sent.
#[track_caller]
fn untouched(flow: &Flow<'_>) {
    let kinds = flow.kinds();
    let touched = |kind: &String| kind == "sign.try" || kind == "tx.signed" || kind == "safe.signature";
    assert!(!kinds.iter().any(touched), "{kinds:?}");
}

#[test]
fn each_change_goes_through_a_key_is_proved_and_needs_no_cloud() {
    each(&both(), |(app, case)| {
        let world = world_of(*app);
        (case.before)(&world);
        let nonce = world.rpc().nonce(world.owner.address);
        let flow = flow(&world);
        let words = (case.words)(&world);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let proposed = propose(&flow, &words).exits(0);
        let next = proposed.json["next"].as_str().unwrap();
        assert!(next.starts_with("countersign execute --dir"), "{next}");
        judge::effects(&proposed, case.name, "none none none none none");
        assert!(flow.dir.join("proposal.json").exists());
        propose(&flow, &words).exits(0);
        flow.step("status").exits(0);
        let named = flow.given_away();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        flow.with("review", &named).exits(0);
        for step in ["wait", "commit"] {
            let early = flow.with(step, &["--timeout", "1s"]);
            assert!(
                early.exit == 8 || early.json["code"] == "NOTHING_TO_COMMIT",
                "{}",
                early.said
            );
        }
        assert!(!(case.holds)(&world));

        by(&flow, "execute", 3).exits(5).says("SIGNER_NOT_OWNER");
        untouched(&flow);
        let executed = flow.step("execute").exits(0);
        assert_eq!(executed.effect("approval"), "done", "{}", executed.said);
        let waited = flow.step("wait").exits(0);
        assert_eq!(waited.effect("transaction"), "done", "{}", waited.said);
        assert!(waited.json["next"].is_null(), "{}", waited.said);
        assert!((case.holds)(&world), "{}", case.name);
        proved(&flow, &[case.event]);
        judge::legal(&flow);
        flow.step("commit").exits(6).says("NOTHING_TO_COMMIT");
        flow.step("resume").exits(0);
        flow.step("execute").exits(0);
        let status = flow.step("status").exits(0);
        assert_eq!(status.json["step"], "finished", "{}", status.said);
        assert_eq!(world.rpc().nonce(world.owner.address), nonce + 1, "one transaction");
        assert!(world.cloud.requests().is_empty(), "the cloud was asked");
    });
}

#[test]
fn each_change_goes_through_a_safe_by_files_alone() {
    each(&both(), |(app, case)| {
        let world = World::with(WorldOptions {
            app: *app,
            safe: Some(TWO_OF_THREE),
            ..WorldOptions::default()
        });
        (case.before)(&world);
        let flow = flow(&world);
        let words = (case.words)(&world);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let proposed = propose(&flow, &words).exits(0);
        assert_eq!(proposed.fact("threshold"), 2, "{}", proposed.said);
        by(&flow, "execute", 4).exits(8).says("PENDING_SIGNATURES");

        // Each owner has a file and nothing else; one of them no network.
        let (alice, bob) = (Person::new(&flow, "alice"), Person::new(&flow, "bob"));
        let file = alice.get(&flow.dir.join("proposal.json"), "proposal.json");
        let named = flow.given_away();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        alice.run(&[&["review", &file][..], &named].concat()).exits(0);
        let words = ["sign", &file, "--signer", "env:SIGNER_0", "--yes"];
        alice.run(&[&words[..], &named].concat()).exits(0);
        let file = bob.get(&flow.dir.join("proposal.json"), "proposal.json");
        let words = ["sign", &file, "--offline", "--signer", "env:SIGNER_2", "--yes"];
        bob.run(&[&words[..], &named].concat()).exits(0);
        let words = ["sign", &file, "--signer", "env:SIGNER_4", "--yes"];
        bob.run(&[&words[..], &named].concat())
            .exits(5)
            .says("SIGNER_NOT_OWNER");
        let dir = flow.dir.to_str().unwrap();
        let (from_alice, from_bob) = (alice.file("proposal.json"), bob.file("proposal.json"));
        Ran::of(&mut flow.command(&["import", &from_alice, &from_bob, "--dir", dir, "--json"])).exits(0);
        by(&flow, "execute", 4).exits(0);
        flow.step("wait").exits(0);
        assert!((case.holds)(&world), "{}", case.name);
        let evidence = proved(&flow, &[case.event]);
        let mut signed: Vec<Address> = serde_json::from_value(evidence["safe"]["signed_by"].clone()).unwrap();
        signed.sort();
        let mut expected = [ACCOUNTS[0].address, ACCOUNTS[2].address];
        expected.sort();
        assert_eq!(signed, expected);
        flow.step("commit").exits(6).says("NOTHING_TO_COMMIT");
        let nonce = world.rpc().read(world.safe.unwrap(), &safes::abi::nonceCall {});
        assert_eq!(nonce, U256::from(1));
        assert!(world.cloud.requests().is_empty(), "the cloud was asked");
    });
}

#[test]
fn several_changes_are_one_transaction_of_a_safe_and_none_of_a_key() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let flow_of_safe = flow(&world);
    let (new, old) = (other().to_string(), world.first_hash.to_string());
    let several = [
        "change",
        "--add-device",
        &new,
        "--add-hash",
        &new,
        "--remove-hash",
        &old,
        "--allow-any-device",
        "on",
        "--require-tcb-up-to-date",
        "on",
    ];
    propose(&flow_of_safe, &several).exits(0);
    for form in ["builder-file", "typed-data", "calldata", "eip712sign"] {
        let exported = flow_of_safe.with("export", &["--format", form]).exits(0);
        assert_eq!(exported.json["data"]["format"], form, "{}", exported.said);
    }
    by(&flow_of_safe, "sign", 0).exits(0);
    by(&flow_of_safe, "execute", 1).exits(0);
    flow_of_safe.step("wait").exits(0);
    proved(
        &flow_of_safe,
        &[
            "DeviceAdded(bytes32)",
            "ComposeHashAdded(bytes32)",
            "ComposeHashRemoved(bytes32)",
            "AllowAnyDeviceSet(bool)",
            "RequireTcbUpToDateSet(bool)",
        ],
    );
    let world = World::start();
    let flow = flow(&world);
    propose(&flow, &several).exits(6).says("BATCH_NEEDS_SAFE");
    assert!(!flow.dir.exists());
}

/// Which app, what happens to it first, what is asked for (H is a hash or device), exit code, code.
type Refused = (AppVariant, fn(&World), &'static str, i32, &'static str);

const fn nothing(_: &World) {}

fn let_it_in(world: &World) {
    world.as_owner(&abi::addDeviceCall { deviceId: other() });
}

fn give_up(world: &World) {
    world.as_owner(&abi::renounceOwnershipCall {});
}

fn take_the_code(world: &World) {
    world.rpc().call("anvil_setCode", json!([world.app, "0x"]));
}

const REFUSED: [Refused; 10] = [
    (AppVariant::TwoStep, let_it_in, "devices add H", 6, "POLICY_IN_FORCE"),
    (
        AppVariant::TwoStep,
        nothing,
        "change --add-hash H --remove-hash H",
        6,
        "POLICY_CONFLICT",
    ),
    (AppVariant::OneStep, give_up, "devices add H", 6, "OWNER_RENOUNCED"),
    (
        AppVariant::OneStep,
        nothing,
        "require-tcb-up-to-date on",
        6,
        "APP_INTERFACE",
    ),
    (AppVariant::OneStep, nothing, "owner accept", 6, "ONE_STEP_OWNERSHIP"),
    (AppVariant::TwoStep, nothing, "owner accept", 6, "NOTHING_OFFERED"),
    (AppVariant::TwoStep, nothing, "change", 2, "USAGE_MISSING_ARGUMENT"),
    (AppVariant::TwoStep, nothing, "devices add", 2, "USAGE_MISSING_ARGUMENT"),
    (AppVariant::TwoStep, take_the_code, "devices add H", 5, "APP_MISMATCH"),
    (
        AppVariant::TwoStep,
        nothing,
        "devices add H --expect-pending-owner A",
        5,
        "PENDING_OWNER_MISMATCH",
    ),
];

#[test]
fn what_cannot_be_asked_for_is_refused_before_anything_is_written() {
    let (hash, somebody) = (other().to_string(), UNSEEN.to_string());
    each(&REFUSED, |(app, first, words, exit, code)| {
        let world = world_of(*app);
        first(&world);
        let flow = flow(&world);
        let words: Vec<&str> = words
            .split(' ')
            .map(|word| match word {
                "H" => hash.as_str(),
                "A" => somebody.as_str(),
                other => other,
            })
            .collect();
        propose(&flow, &words).exits(*exit).says(code);
        assert!(!flow.dir.exists(), "{code}");
        assert!(world.cloud.requests().is_empty());
    });
}

#[test]
fn what_a_cvm_needs_is_taken_away_only_when_that_is_agreed_to() {
    let world = World::start();
    let mut flow = flow(&world);
    flow.env.clear();
    let (hash, device) = (world.first_hash.to_string(), world.device.to_string());
    let dir = flow.dir.to_str().unwrap().to_owned();
    let run = |words: &[&str]| {
        let mut all = vec!["app"];
        all.extend(words);
        all.extend(["--cvm", CVM, "--dir", &dir, "--json"]);
        Ran::of(&mut flow.command(&all))
    };
    let refused = run(&["hashes", "remove", &hash]).exits(6).says("HASH_IN_USE");
    assert!(
        refused.json["next"].as_str().unwrap().ends_with("--remove-in-use"),
        "{}",
        refused.said
    );
    run(&["devices", "remove", &device]).exits(6).says("DEVICE_IN_USE");
    assert!(!flow.dir.exists());
    // By the address alone nobody knows, which is said.
    assert!(warned(
        &propose(&flow, &["devices", "remove", &device]).exits(0),
        "IN_USE_UNKNOWN"
    ));
    std::fs::remove_dir_all(&flow.dir).unwrap();
    let agreed = run(&["hashes", "remove", &hash, "--remove-in-use"]).exits(0);
    assert!(warned(&agreed, "HASH_IN_USE"), "{}", agreed.said);
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn what_was_done_undone_and_is_done_again_is_another_change() {
    let world = World::start();
    let flow = flow(&world);
    let (app, device) = (world.app.to_string(), other().to_string());
    let add = || {
        let words = [
            "app",
            "devices",
            "add",
            &device,
            "--app",
            &app,
            "--chain-id",
            "31337",
            "--json",
        ];
        Ran::of(&mut flow.command(&words))
    };
    let dir = |ran: &Ran| ran.fact("dir").as_str().unwrap().to_owned();
    let finish = |dir: &str| {
        let words = ["resume", "--dir", dir, "--signer", "env:OWNER_KEY", "--yes", "--json"];
        Ran::of(&mut flow.command(&words)).exits(0);
    };
    let first = add().exits(0);
    assert_eq!(dir(&add().exits(0)), dir(&first));
    finish(&dir(&first));
    // What is finished and holds is found again.
    assert_eq!(add().exits(0).json["step"], "finished");
    world.as_owner(&abi::removeDeviceCall { deviceId: other() });
    let second = add().exits(0);
    assert_ne!(dir(&second), dir(&first));
    finish(&dir(&second));
    assert!(listed(&world, other()));
    assert_eq!(world.rpc().nonce(world.owner.address), 3);
}

#[test]
fn what_somebody_else_did_meanwhile_is_adopted_and_nothing_is_sent() {
    each(&BOTH, |app| {
        let world = world_of(*app);
        let flow = flow(&world);
        let heir = ACCOUNTS[2].address;
        propose(&flow, &["owner", "transfer", &heir.to_string()]).exits(0);
        let outside = world.as_owner(&abi::transferOwnershipCall { to: heir });
        if *app == AppVariant::TwoStep {
            world.rpc().execute(heir, world.app, &abi::acceptOwnershipCall {});
        }
        let done = flow.step("resume").exits(0);
        assert_eq!(done.effect("transaction"), "done", "{}", done.said);
        assert_eq!(world.rpc().nonce(world.owner.address), 1);
        let evidence = flow.json_file("evidence.json");
        assert_eq!(evidence["said"]["adopted"], true);
        assert_eq!(evidence["transaction"]["hash"], json!(outside));
    });
}

#[test]
fn o1_o2_o5_an_owner_or_a_contract_that_changed_stops_a_change_of_policy() {
    let slot = alloy::primitives::b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
    each(&BOTH, |app| {
        let world = World::with(WorldOptions {
            app: *app,
            anvil: AnvilOptions {
                no_mining: true,
                ..AnvilOptions::default()
            },
            ..WorldOptions::default()
        });
        let give_to = |owner: Address| {
            let change = json!([world.app, slot, owner.into_word()]);
            world.rpc().call("anvil_setStorageAt", change);
        };
        let flow = flow(&world);
        propose(&flow, &["devices", "add", &other().to_string()]).exits(0);
        give_to(ACCOUNTS[2].address);
        world.rpc().mine(1);
        flow.step("execute").exits(5).says("OWNER_CHANGED");
        flow.step("review").exits(5);
        untouched(&flow);
        give_to(world.owner.address);
        flow.step("execute").exits(0);
        give_to(ACCOUNTS[2].address);
        world.rpc().mine(1);
        let failed = flow.step("wait").exits(7).says("TX_REVERTED");
        assert!(failed.said.contains("OwnableUnauthorizedAccount"), "{}", failed.said);
        flow.step("resume").exits(5).says("OWNER_CHANGED");
        assert_eq!(world.rpc().nonce(world.owner.address), 1);
    });
    let world = World::start();
    let flow = flow(&world);
    propose(&flow, &["devices", "add", &other().to_string()]).exits(0);
    let code = contracts::deploy(&world.rpc(), ACCOUNTS[0].address, "DstackAppTwoStep", &[]);
    world.as_owner(&abi::upgradeToAndCallCall {
        implementation: code,
        data: alloy::primitives::Bytes::new(),
    });
    flow.step("execute").exits(5).says("APP_CODE_CHANGED");
    untouched(&flow);
}

#[test]
fn o3_an_offer_under_way_is_a_warning_unless_it_is_expected() {
    let world = World::start();
    let heir = ACCOUNTS[2].address;
    world.as_owner(&abi::transferOwnershipCall { to: heir });
    let flow = flow(&world);
    let (device, named) = (other().to_string(), heir.to_string());
    assert!(warned(
        &propose(&flow, &["devices", "add", &device]).exits(0),
        "OWNER_PENDING"
    ));
    std::fs::remove_dir_all(&flow.dir).unwrap();
    let expected = ["devices", "add", &device, "--expect-pending-owner", &named];
    assert!(!warned(&propose(&flow, &expected).exits(0), "OWNER_PENDING"));
}

/// Proposes a change in a directory of its own and takes it to its end by these keys.
fn carry(flow: &Flow<'_>, name: &str, words: &[&str], keys: &[usize]) {
    let flow = judge::moved(flow, flow.world.folder().join(name));
    propose(&flow, words).exits(0);
    let (last, owners) = keys.split_last().unwrap();
    for owner in owners {
        by(&flow, "sign", *owner).exits(0);
    }
    by(&flow, "execute", *last).exits(0);
    flow.step("wait").exits(0);
}

#[test]
fn an_app_goes_to_a_key_to_a_safe_and_back() {
    each(&BOTH, |app| {
        let world = world_of(*app);
        let safe = TWO_OF_THREE.create(&world.rpc());
        let flow = flow(&world);
        let two_step = *app == AppVariant::TwoStep;
        let (key, first) = (ACCOUNTS[3].address, world.owner.address);
        let words = |to: Address| ["owner".to_owned(), "transfer".to_owned(), to.to_string()];
        let transfer = |name: &str, to: Address, keys: &[usize]| {
            let words = words(to);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            carry(&flow, name, &words, keys);
        };
        let accept = |name: &str, heir: Address, keys: &[usize]| {
            if !two_step {
                return;
            }
            assert_eq!(pending(&world), heir);
            carry(&flow, name, &["owner", "accept"], keys);
        };
        transfer("to-key", key, &[1]);
        accept("as-key", key, &[3]);
        assert_eq!(owner(&world), key);
        transfer("to-safe", safe, &[3]);
        accept("as-safe", safe, &[0, 2, 4]);
        assert_eq!(owner(&world), safe);
        transfer("back", first, &[0, 1, 4]);
        accept("as-first", first, &[1]);
        assert_eq!(owner(&world), first);
    });
}

#[test]
fn only_whom_an_app_was_offered_to_accepts_it() {
    let world = World::start();
    let flow = flow(&world);
    let heir = ACCOUNTS[2].address;
    world.as_owner(&abi::transferOwnershipCall { to: heir });
    let proposed = propose(&flow, &["owner", "accept"]).exits(0);
    assert!(!warned(&proposed, "OWNER_PENDING"), "{}", proposed.said);
    let refused = flow.step("execute").exits(5).says("SIGNER_NOT_OWNER");
    assert!(refused.said.contains(&heir.to_string()), "{}", refused.said);
    // Offered to another one meanwhile.
    world.as_owner(&abi::transferOwnershipCall {
        to: ACCOUNTS[3].address,
    });
    by(&flow, "execute", 2).exits(5).says("OWNER_CHANGED");
    untouched(&flow);
    world.as_owner(&abi::transferOwnershipCall { to: heir });
    by(&flow, "execute", 2).exits(0);
    flow.step("wait").exits(0);
    proved(&flow, &["OwnershipTransferred(address,address)"]);
    assert_eq!(owner(&world), heir);
}

/// An address that cannot own an app, as far as can be seen; whether it is taken when somebody agrees to it.
type Heir = (&'static str, fn(&World) -> Address, &'static str, bool);

const HEIRS: [Heir; 7] = [
    ("never seen", |_| UNSEEN, "NEW_OWNER_UNSEEN", true),
    ("the app itself", |world| world.app, "NEW_OWNER_CANNOT_ACT", true),
    (
        "a contract without a face",
        |world| world.kms,
        "NEW_OWNER_UNKNOWN",
        true,
    ),
    (
        "a timelock without proposers",
        |world| {
            let options = TimelockOptions {
                proposers: Vec::new(),
                ..TimelockOptions::default()
            };
            options.deploy(&world.rpc())
        },
        "NEW_OWNER_CANNOT_ACT",
        true,
    ),
    (
        "a timelock that nobody executes at",
        |world| {
            let options = TimelockOptions {
                executors: Vec::new(),
                ..TimelockOptions::default()
            };
            options.deploy(&world.rpc())
        },
        "NEW_OWNER_CANNOT_ACT",
        true,
    ),
    (
        "a Safe with code that nobody knows",
        |world| {
            let safe = TWO_OF_THREE.create(&world.rpc());
            let release = &safes::RELEASES[TWO_OF_THREE.release];
            let code = world.rpc().call("eth_getCode", json!([release.singleton_l2, "latest"]));
            let changed = format!("{}00", code.as_str().unwrap());
            world
                .rpc()
                .call("anvil_setCode", json!([release.singleton_l2, changed]));
            safe
        },
        "SAFE_UNKNOWN_CODE",
        true,
    ),
    ("nobody", |_| Address::ZERO, "NEW_OWNER_CANNOT_ACT", false),
];

#[test]
fn a_new_owner_of_whom_nothing_shows_that_it_can_act_is_refused_unless_told() {
    let all: Vec<(AppVariant, Heir)> = BOTH
        .into_iter()
        .flat_map(|app| HEIRS.into_iter().map(move |heir| (app, heir)))
        .collect();
    each(&all, |(app, (name, heir, code, taken))| {
        let world = world_of(*app);
        let to = heir(&world).to_string();
        let flow = flow(&world);
        let words = ["owner", "transfer", &to];
        let told = [&words[..], &["--accept-new-owner"]].concat();
        if !taken {
            // An offer to nobody takes an offer back; there is none yet.
            let two_step = *app == AppVariant::TwoStep;
            let code = if two_step { "POLICY_IN_FORCE" } else { *code };
            for words in [&words[..], &told] {
                propose(&flow, words).exits(6).says(code);
            }
            assert!(!flow.dir.exists(), "{name}");
            return;
        }
        propose(&flow, &words).exits(6).says(code);
        assert!(!flow.dir.exists(), "{name}");
        let proposed = propose(&flow, &told).exits(0);
        assert!(warned(&proposed, code), "{name}: {}", proposed.said);
    });
}

#[test]
fn an_offer_is_taken_back_by_offering_the_app_to_nobody() {
    let world = World::start();
    world.as_owner(&abi::transferOwnershipCall {
        to: ACCOUNTS[2].address,
    });
    let flow = flow(&world);
    let zero = Address::ZERO.to_string();
    let words = ["owner", "transfer", &zero, "--accept-new-owner"];
    carry(&flow, "back", &words, &[1]);
    assert_eq!((pending(&world), owner(&world)), (Address::ZERO, world.owner.address));
}

#[test]
fn an_app_goes_behind_a_timelock_and_back() {
    each(&BOTH, |app| {
        let world = world_of(*app);
        let rpc = world.rpc();
        let timelock = TimelockOptions::default().deploy(&rpc);
        let flow = flow(&world);
        let first = world.owner.address;
        carry(&flow, "to", &["owner", "transfer", &timelock.to_string()], &[1]);
        let late = |name: &str, words: &[&str]| {
            let flow = judge::moved(&flow, world.folder().join(name));
            propose(&flow, words).exits(0);
            let pending = by(&flow, "execute", 1).exits(8).says("PENDING_DELAY");
            assert!(!pending.fact("ready_at").is_null(), "{}", pending.said);
            timelocks::advance(&rpc, 86_400);
            by(&flow, "resume", 3).exits(0);
        };
        if *app == AppVariant::TwoStep {
            late("accept", &["owner", "accept"]);
        }
        assert_eq!(owner(&world), timelock);
        late("device", &["devices", "add", &other().to_string(), "--delay", "86400"]);
        assert!(listed(&world, other()));
        late("back", &["owner", "transfer", &first.to_string()]);
        if *app == AppVariant::TwoStep {
            carry(&flow, "again", &["owner", "accept"], &[1]);
        }
        assert_eq!(owner(&world), first);
    });
}

/// Proposes a change that a Safe has to make of whose two owners one is a Safe, and has it executed.
fn by_nested(flow: &Flow<'_>, (name, child): (&str, Address), words: &[&str]) -> (PathBuf, Ran) {
    let flow = judge::moved(flow, flow.world.folder().join(name));
    propose(&flow, words).exits(0);
    let child = child.to_string();
    by(&flow, "sign", 0).exits(0);
    for owner in [1, 2] {
        by_with(&flow, "sign", owner, &["--for", &child]).exits(0);
    }
    by_with(&flow, "execute", 4, &["--for", &child]).exits(0);
    let ran = by(&flow, "execute", 4);
    (flow.dir, ran)
}

#[test]
fn an_app_goes_to_a_nested_safe_behind_a_timelock_to_which_that_one_proposes_and_back() {
    each(&BOTH, |app| {
        let world = world_of(*app);
        let rpc = world.rpc();
        let release = &safes::RELEASES[TWO_OF_THREE.release];
        release.install(&rpc);
        let account = |index: usize| ACCOUNTS[index].address;
        let child = release.create(&rpc, true, (&[account(1), account(2)], 2));
        let parent = release.create(&rpc, true, (&[account(0), child], 2));
        let options = TimelockOptions {
            proposers: vec![parent],
            ..TimelockOptions::default()
        };
        let timelock = options.deploy(&rpc);
        let (first, flow) = (world.owner.address, flow(&world));
        let accepts = *app == AppVariant::TwoStep;
        let transfer = |to: Address| ["owner".to_owned(), "transfer".to_owned(), to.to_string()];
        let nested = |name: &str, words: &[&str]| {
            let (dir, ran) = by_nested(&flow, (name, child), words);
            ran.exits(0);
            judge::moved(&flow, dir).step("wait").exits(0);
        };
        let late = |name: &str, words: &[&str]| {
            let (dir, ran) = by_nested(&flow, (name, child), words);
            ran.exits(8).says("PENDING_DELAY");
            timelocks::advance(&rpc, 86_400);
            by(&judge::moved(&flow, dir), "resume", 3).exits(0);
        };
        let to = transfer(parent);
        carry(&flow, "to-nested", &to.each_ref().map(String::as_str), &[1]);
        if accepts {
            nested("as-nested", &["owner", "accept"]);
        }
        assert_eq!(owner(&world), parent);
        let to = transfer(timelock);
        nested("to-timelock", &to.each_ref().map(String::as_str));
        if accepts {
            late("as-timelock", &["owner", "accept"]);
        }
        assert_eq!(owner(&world), timelock);
        let to = transfer(parent);
        late("back-to-nested", &to.each_ref().map(String::as_str));
        if accepts {
            nested("as-nested-again", &["owner", "accept"]);
        }
        assert_eq!(owner(&world), parent);
        let to = transfer(first);
        nested("back", &to.each_ref().map(String::as_str));
        if accepts {
            carry(&flow, "as-first", &["owner", "accept"], &[1]);
        }
        assert_eq!(owner(&world), first);
    });
}

#[test]
fn a_timelock_is_asked_by_whom_and_as_late_as_was_said() {
    let world = World::start();
    let proposers = vec![ACCOUNTS[1].address, ACCOUNTS[2].address];
    let options = TimelockOptions {
        proposers,
        ..TimelockOptions::default()
    };
    let timelock = options.deploy(&world.rpc());
    world.as_owner(&abi::transferOwnershipCall { to: timelock });
    world
        .rpc()
        .execute_as(timelock, world.app, &abi::acceptOwnershipCall {});
    let flow = flow(&world);
    let device = other().to_string();
    let (second, stranger) = (ACCOUNTS[2].address.to_string(), ACCOUNTS[3].address.to_string());
    let add = |more: &[&str]| propose(&flow, &[&["devices", "add", &device], more].concat());
    add(&[]).exits(6).says("WHICH_PROPOSER");
    add(&["--proposer", &stranger]).exits(6).says("NOT_A_PROPOSER");
    add(&["--proposer", &second, "--delay", "60"])
        .exits(6)
        .says("TIMELOCK_DELAY");
    assert!(!flow.dir.exists());
    add(&["--proposer", &second, "--delay", "100000"]).exits(0);
    assert_eq!(flow.json_file("proposal.json")["plan"]["timelock"]["delay"], 100_000);
    by(&flow, "execute", 2).exits(8).says("PENDING_DELAY");
}

#[test]
fn h5_a_missing_device_is_let_in_by_the_approval_of_the_upgrade_only_when_it_is_named() {
    let world = World::with(WorldOptions {
        device_allowed: false,
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let refused = flow.step("prepare").exits(6).says("DEVICE_NOT_ALLOWED");
    let offered = format!("--add-device {}", world.device);
    assert!(refused.said.contains(&offered), "{}", refused.said);
    let plan = flow.step("plan").exits(6).says("DEVICE_NOT_ALLOWED");
    assert!(plan.said.contains(&offered), "{}", plan.said);
    flow.with("prepare", &["--add-device", &world.device.to_string()])
        .exits(0);
    by(&flow, "sign", 0).exits(0);
    by(&flow, "execute", 1).exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
    assert!(listed(&world, world.device));
}

#[test]
fn h6_older_hashes_go_by_the_approval_of_the_upgrade_and_what_cvms_run_stays() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let (old, gone, lives) = (keccak256("old"), keccak256("gone"), keccak256("lives"));
    for hash in [old, gone, lives] {
        as_whoever_owns(&world, &abi::addComposeHashCall { composeHash: hash });
    }
    as_whoever_owns(&world, &abi::removeComposeHashCall { composeHash: gone });
    let mut second = world.add_cvm(2);
    second.compose_hash = lives;
    second.name = "payments-other".to_owned();
    second.number = 3;
    second.uuid = "33333333333333333333333333333333".to_owned();
    world.cloud.add_cvm(second);
    let flow = Flow::new(&world);
    flow.with("prepare", &["--strict"])
        .exits(6)
        .says("OLDER_HASHES_ALLOWED");
    let prepared = flow.with("prepare", &["--revoke-old"]).exits(0);
    assert!(warned(&prepared, "HASH_KEPT"), "{}", prepared.said);
    let policy = flow.json_file("proposal.json")["plan"]["policy"].clone();
    assert_eq!(policy, json!([{ "remove-compose-hash": old }]));
    by(&flow, "sign", 0).exits(0);
    by(&flow, "execute", 1).exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
    assert!(!world.is_allowed(old) && world.is_allowed(world.first_hash) && world.is_allowed(lives));
    // By a key the calls are made one by one.
    let world = World::start();
    world.allow(old);
    let flow = Flow::new(&world);
    flow.with("prepare", &["--revoke-old"])
        .exits(6)
        .says("BATCH_NEEDS_SAFE");
}

#[test]
fn a_rejected_change_of_policy_can_no_longer_be_executed() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let flow = flow(&world);
    propose(&flow, &["devices", "add", &other().to_string()]).exits(0);
    by(&flow, "sign", 0).exits(0);
    by(&flow, "sign", 1).exits(0);
    by(&flow, "reject", 0).exits(8).says("PENDING_REJECTION");
    by(&flow, "reject", 1).exits(0);
    by(&flow, "execute", 4).exits(6).says("ABANDONED");
    assert!(!listed(&world, other()));
}

#[test]
fn a_contract_that_owns_the_app_is_shown_the_call_and_what_it_did_is_proved() {
    let contract = address!("00000000000000000000000000000000000c0de5");
    let world = World::with(WorldOptions {
        owner: Some(contract),
        ..WorldOptions::default()
    });
    world.rpc().call("anvil_setCode", json!([contract, "0x00"]));
    let flow = flow(&world);
    propose(&flow, &["devices", "add", &other().to_string()]).exits(0);
    let call = abi::addDeviceCall { deviceId: other() };
    let shown = flow.step("execute").exits(8).says("PENDING_OWNER");
    let calldata = alloy::primitives::Bytes::from(call.abi_encode()).to_string();
    assert!(shown.said.contains(&calldata), "{}", shown.said);
    world.rpc().execute_as(contract, world.app, &call);
    flow.step("wait").exits(0);
    proved(&flow, &["DeviceAdded(bytes32)"]);
}

/// Place of death on the way of a change that a key makes.
const POINTS: [&str; 9] = [
    "sign.a",
    "sign.b",
    "sign.d",
    "sign.e",
    "broadcast.b",
    "broadcast.d",
    "broadcast.e",
    "wait.b",
    "wait.e",
];

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k_a_death_at_any_point_of_a_change_of_policy_is_followed_by_one_that_finishes() {
    use std::os::unix::process::ExitStatusExt as _;
    each(&POINTS, |point| {
        let world = World::start();
        let flow = flow(&world);
        let heir = ACCOUNTS[2].address.to_string();
        propose(&flow, &["owner", "transfer", &heir]).exits(0);
        let mut run = judge::command(&flow, "resume", &[]);
        let output = run.env("FAILPOINTS", format!("{point}=return")).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{point}");
        judge::offline_status(&flow).exits(0);
        flow.step("resume").exits(0);
        proved(&flow, &["OwnershipTransferStarted(address,address)"]);
        let witness = &flow.json_file("evidence.json")["witness"];
        assert!(witness["block"]["receipt"].is_number(), "{point}: {witness}");
        judge::legal(&flow);
        assert_eq!(world.rpc().nonce(world.owner.address), 1, "{point}");
    });
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k06_to_k10_a_death_at_any_write_of_a_proposal_of_policy_is_followed_by_the_same_proposal() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let (app, device) = (world.app.to_string(), other().to_string());
    let first = flow(&world);
    let deaths = crate::safe::kills::at_every_write(|failpoints, tag| {
        let flow = judge::moved(&first, world.folder().join(tag));
        let dir = flow.dir.to_str().unwrap();
        let words = [
            "devices",
            "add",
            &device,
            "--app",
            &app,
            "--chain-id",
            "31337",
            "--dir",
            dir,
            "--json",
        ];
        let mut run = flow.command(&[&["app"], &words[..]].concat());
        if !crate::safe::kills::dies(&mut run, failpoints) {
            return false;
        }
        Ran::of(&mut run).exits(0);
        judge::legal(&flow);
        let calls = &flow.json_file("proposal.json")["calls"];
        let call = abi::addDeviceCall { deviceId: other() };
        assert_eq!(
            calls[0]["data"],
            json!(alloy::primitives::Bytes::from(call.abi_encode()))
        );
        assert_eq!(flow.kinds(), ["open", "plan", "safe.frozen"], "{tag}");
        true
    });
    assert!(deaths >= 3 * 2, "{deaths}");
}

/// Where proposals of a change of policy are made: by a key, by a Safe.
pub fn proposals() -> [(World, PathBuf); 2] {
    [None, Some(TWO_OF_THREE)].map(|safe| {
        let world = World::with(WorldOptions {
            safe,
            ..WorldOptions::default()
        });
        let flow = flow(&world);
        propose(&flow, &["devices", "add", &other().to_string()]).exits(0);
        if world.safe.is_some() {
            by(&flow, "sign", 0).exits(0);
        }
        let path = flow.dir.join("proposal.json");
        (world, path)
    })
}
