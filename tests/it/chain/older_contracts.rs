//! KMS contracts and apps of other versions, and what is said of an app that was just made: everything of it was read.

use alloy::primitives::{Address, B256, Bytes};
use alloy::sol;
use alloy::sol_types::{SolCall, SolValue};
use serde_json::json;

use crate::harness::flow::{Flow, Ran};
use crate::support::contracts;
use crate::support::world::{AppVariant, CVM, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

sol! {
    interface Five {
        function deployAndRegisterApp(address, bool, bool, bytes32, bytes32) external returns (address);
    }
    interface Six {
        function deployAndRegisterApp(address, bool, bool, bool, bytes32, bytes32) external returns (address);
    }
    interface Made {
        function allowedComposeHashes(bytes32) external view returns (bool);
        function disableUpgrades() external;
        function renounceOwnership() external;
    }
}

const HASH: B256 = B256::repeat_byte(0xab);
const DEVICE: B256 = B256::repeat_byte(0xde);
const OTHER: B256 = B256::repeat_byte(0xee);

fn safe_world() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

/// `app deploy` at a KMS for an owner.
fn deploy(world: &World, (kms, owner): (Address, Address), more: &[&str]) -> Ran {
    let flow = Flow::new(world);
    let (kms, owner, hash) = (kms.to_string(), owner.to_string(), HASH.to_string());
    let mut words = vec!["app", "deploy", "--json", "--chain-id", "31337", "--kms-contract", &kms];
    words.extend(["--owner", &owner, "--compose-hash", &hash]);
    words.extend(more);
    Ran::of(&mut flow.command(&words))
}

/// A call of the factory by `from`.
fn call(world: &World, from: Address, (to, data): (Address, Vec<u8>)) -> B256 {
    let rpc = world.rpc();
    rpc.call("anvil_impersonateAccount", json!([from]));
    rpc.call("anvil_setBalance", json!([from, "0xde0b6b3a7640000"]));
    let transaction = rpc.send(from, Some(to), &data);
    assert_eq!(rpc.mined(transaction)["status"], "0x1");
    transaction
}

fn six(owner: Address, frozen: bool, (any, device): (bool, B256)) -> Vec<u8> {
    Six::deployAndRegisterAppCall {
        _0: owner,
        _1: frozen,
        _2: false,
        _3: any,
        _4: device,
        _5: HASH,
    }
    .abi_encode()
}

#[test]
fn con_c1_a_new_app_whose_code_is_not_frozen_as_asked_is_not_what_was_asked_for() {
    let world = World::start();
    let (owner, device) = (ACCOUNTS[3].address, DEVICE.to_string());
    for frozen in [true, false] {
        let transaction = call(
            &world,
            ACCOUNTS[4].address,
            (world.kms, six(owner, frozen, (false, DEVICE))),
        );
        let transaction = transaction.to_string();
        let asked = |freeze: bool| {
            let mut more = vec!["--device", &device, "--transaction-hash", &transaction];
            more.extend(freeze.then_some("--disable-upgrades"));
            deploy(&world, (world.kms, owner), &more)
        };
        asked(frozen).exits(0);
        let refused = asked(!frozen).exits(5).says("DEPLOY_MISMATCH");
        assert!(refused.said.contains("code can"), "{}", refused.said);
    }
}

#[test]
fn con_c1_a_safe_that_made_it_without_the_freeze_is_found_out_and_the_right_one_is_taken_later() {
    let world = safe_world();
    let safe = world.safe.unwrap();
    let flow = Flow::new(&world);
    let (device, from, dir) = (DEVICE.to_string(), safe.to_string(), flow.dir.to_str().unwrap());
    let words = ["--device", &device, "--disable-upgrades", "--from", &from, "--dir", dir];
    deploy(&world, (world.kms, safe), &words).exits(8);
    let wait = || Ran::of(&mut flow.command(&["wait", "--dir", dir, "--json", "--timeout", "1s"]));
    // Another app of the same Safe is none of ours.
    let other = six(safe, true, (false, OTHER));
    let other = Bytes::from(other).to_vec();
    let unrelated: Vec<u8> = other
        .iter()
        .enumerate()
        .map(|(at, byte)| if at >= 4 + 5 * 32 { 0x77 } else { *byte })
        .collect();
    call(&world, safe, (world.kms, unrelated));
    wait().exits(8);
    call(&world, safe, (world.kms, six(safe, false, (false, DEVICE))));
    let refused = wait().exits(5).says("DEPLOY_MISMATCH");
    assert!(refused.said.contains("its code can be changed"), "{}", refused.said);
    assert!(!flow.dir.join("evidence.json").exists());
    call(&world, safe, (world.kms, six(safe, true, (false, DEVICE))));
    wait().exits(0);
    let page = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(page.contains("| code can change | no |"), "{page}");
}

#[test]
fn con_c1b_a_device_or_a_hash_that_nobody_asked_for_is_seen() {
    let world = World::start();
    let owner = ACCOUNTS[3].address;
    let transaction = call(
        &world,
        ACCOUNTS[4].address,
        (world.kms, six(owner, false, (true, OTHER))),
    );
    let transaction = transaction.to_string();
    let more = ["--allow-any-device", "--transaction-hash", &transaction];
    let refused = deploy(&world, (world.kms, owner), &more)
        .exits(5)
        .says("DEPLOY_MISMATCH");
    assert!(refused.said.contains(&OTHER.to_string()), "{}", refused.said);
}

/// A KMS of July 2025.
fn kms_of_july(world: &World) -> Address {
    let rpc = world.rpc();
    let deployer = ACCOUNTS[0].address;
    let implementation = contracts::deploy(&rpc, deployer, "DstackAppOneStep", &[]);
    contracts::deploy(&rpc, deployer, "DstackKmsOfJuly2025", &implementation.abi_encode())
}

#[test]
fn con_c2_a_kms_that_names_its_code_by_the_older_getter_makes_apps_and_their_code_is_compared() {
    let world = World::with(WorldOptions {
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let kms = kms_of_july(&world);
    let (owner, device) = (ACCOUNTS[3].address, DEVICE.to_string());
    let flow = Flow::new(&world);
    let dir = flow.dir.to_str().unwrap().to_owned();
    let more = [
        "--device",
        &device,
        "--dir",
        &dir,
        "--signer",
        "env:SIGNER_0",
        "--yes",
        "--accept-new-owner",
    ];
    let made = deploy(&world, (kms, owner), &more).exits(0);
    let evidence = flow.json_file("evidence.json");
    let told = &evidence["deployed"]["code"]["implementation"];
    assert!(told.is_string(), "{evidence}");
    let rerun = Ran::of(&mut flow.command(&["wait", "--dir", &dir, "--json"]));
    rerun.exits(0);
    assert!(!made.said.contains("FactoryCode"), "{}", made.said);
}

/// A KMS of May 2025 and an app that it made: contract and id.
fn of_may(world: &World) -> (Address, B256, Address) {
    let rpc = world.rpc();
    let deployer = ACCOUNTS[0].address;
    let implementation = contracts::deploy(&rpc, deployer, "DstackAppOfMay2025", &[]);
    let kms = contracts::deploy(&rpc, deployer, "DstackKmsOfMay2025", &implementation.abi_encode());
    let make = Five::deployAndRegisterAppCall {
        _0: world.owner.address,
        _1: false,
        _2: false,
        _3: DEVICE,
        _4: HASH,
    };
    let transaction = call(world, deployer, (kms, make.abi_encode()));
    let receipt = rpc.mined(transaction);
    let topics = receipt["logs"].as_array().unwrap().iter().map(|log| &log["topics"]);
    let made = topics
        .into_iter()
        .find(|topics| topics.as_array().unwrap().len() == 4)
        .unwrap();
    let contract: B256 = made[2].as_str().unwrap().parse().unwrap();
    (kms, transaction, Address::from_word(contract))
}

#[test]
fn con_c4_what_a_kms_of_before_july_2025_made_is_called_that_and_is_no_stop() {
    let world = World::start();
    let (kms, transaction, contract) = of_may(&world);
    let (owner, device, transaction) = (world.owner.address, DEVICE.to_string(), transaction.to_string());
    let more = ["--device", &device, "--transaction-hash", &transaction];
    let told = deploy(&world, (kms, owner), &more).exits(6).says("APPS_BY_ID");
    assert!(told.said.contains(&contract.to_string()), "{}", told.said);
    let tried = deploy(
        &world,
        (kms, owner),
        &["--device", &device, "--from", &owner.to_string()],
    );
    let tried = tried.exits(6).says("DEPLOY_REFUSED");
    assert!(tried.said.contains("before July 2025"), "{}", tried.said);
    let nowhere = Address::repeat_byte(0x99);
    let tried = deploy(
        &world,
        (nowhere, owner),
        &["--device", &device, "--from", &owner.to_string()],
    );
    assert!(tried.exits(6).said.contains("there is no code"));
}

#[test]
fn con_c4_an_app_of_before_june_2025_by_its_address_is_asked_as_itself_and_its_lists_can_be_changed() {
    let world = World::start();
    let (_, _, contract) = of_may(&world);
    let flow = crate::upgrade::policy::flow(&world);
    let (app, hash, device) = (contract.to_string(), HASH.to_string(), DEVICE.to_string());
    let check = [
        "app",
        "check",
        &app,
        "--chain-id",
        "31337",
        "--hash",
        &hash,
        "--device",
        &device,
        "--json",
    ];
    let said = Ran::of(&mut flow.command(&check)).exits(0);
    assert!(!said.said.contains("Wrong app controller"), "{}", said.said);
    let other = OTHER.to_string();
    for (list, dir) in [("hashes", "h"), ("devices", "d")] {
        let dir = world.folder().join(dir);
        let dir = dir.to_str().unwrap();
        let add = [
            "app",
            list,
            "add",
            &other,
            "--app",
            &app,
            "--chain-id",
            "31337",
            "--dir",
            dir,
            "--json",
        ];
        Ran::of(&mut flow.command(&add)).exits(0);
        let execute = ["execute", "--dir", dir, "--signer", "env:OWNER_KEY", "--yes", "--json"];
        Ran::of(&mut flow.command(&execute)).exits(0);
    }
    assert!(world.rpc().read(contract, &Made::allowedComposeHashesCall(OTHER)));
}

#[test]
fn con_c4_a_cvm_of_a_kms_of_before_july_2025_is_refused_with_the_reason_and_is_no_stop() {
    let world = World::start();
    world.forget_the_kms();
    let (kms, _, contract) = of_may(&world);
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.app = contract;
        if let Some(onchain) = &mut cvm.kms {
            onchain.contract = kms;
        }
    });
    let told = Flow::new(&world).step("plan").exits(6).says("APPS_BY_ID");
    assert!(told.said.contains("before July 2025"), "{}", told.said);
}

#[test]
fn con_c6_an_app_that_was_frozen_and_given_up_is_known_to_be_frozen() {
    let world = World::start();
    world.as_owner(&Made::disableUpgradesCall {});
    world.as_owner(&Made::renounceOwnershipCall {});
    let flow = crate::upgrade::policy::flow(&world);
    let app = world.app.to_string();
    let shown = Ran::of(&mut flow.command(&["app", "show", &app, "--chain-id", "31337", "--json"]));
    assert_eq!(shown.json["data"]["upgrades_disabled"], true, "{}", shown.said);
}

#[test]
fn con_c6_a_factory_whose_code_is_older_than_itself_says_what_that_may_mean() {
    let world = World::start();
    let older = contracts::deploy(&world.rpc(), ACCOUNTS[0].address, "DstackAppOneStep", &[]);
    sol! { function setAppImplementation(address implementation); }
    let set = setAppImplementationCall { implementation: older };
    world.rpc().execute(ACCOUNTS[0].address, world.kms, &set);
    let (owner, device) = (ACCOUNTS[3].address, DEVICE.to_string());
    let more = [
        "--device",
        &device,
        "--require-tcb-up-to-date",
        "--from",
        &owner.to_string(),
    ];
    let tried = deploy(&world, (world.kms, owner), &more)
        .exits(6)
        .says("DEPLOY_REFUSED");
    assert!(tried.said.contains("older than its factory"), "{}", tried.said);
}
