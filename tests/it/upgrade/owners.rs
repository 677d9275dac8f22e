//! Owners, contract and hash states as an upgrade meets them, for both kinds of app: who may approve changes hands, gives
//! up, turns out to be a contract; the app's code changes; the policy would refuse what is about to be allowed.
//!
//! O8 (one-step ownership) is the `OneStep` half of every case here; H1 is in `upgrade.rs`, H2 and H3 in `tokens.rs`.

use alloy::primitives::{Address, B256, Bytes, address, b256, hex};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, spawn};
use crate::support::contracts::{self, abi};
use crate::support::world::{AppVariant, CVM, WorldOptions};
use crate::support::{ACCOUNTS, AnvilOptions, World};

const BOTH: [AppVariant; 2] = [AppVariant::OneStep, AppVariant::TwoStep];
/// Where OpenZeppelin's upgradeable `Ownable` keeps the owner (ERC-7201).
const OWNER_SLOT: B256 = b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
/// An address without a key here.
const CONTRACT: Address = address!("00000000000000000000000000000000000c0de5");

fn world_of(app: AppVariant) -> World {
    World::with(WorldOptions {
        app,
        ..WorldOptions::default()
    })
}

/// Puts another owner there without a transaction of the old one.
fn give_to(world: &World, owner: Address) {
    let change = json!([world.app, OWNER_SLOT, owner.into_word()]);
    world.rpc().call("anvil_setStorageAt", change);
}

fn set_code(world: &World, at: Address, code: &[u8]) {
    let code = Bytes::copy_from_slice(code);
    world.rpc().call("anvil_setCode", json!([at, code]));
}

fn warned(ran: &Ran, code: &str) -> bool {
    let list = ran.json["warnings"].as_array().unwrap();
    list.iter().any(|warning| warning["code"] == code)
}

/// Nothing was signed, sent or committed.
#[track_caller]
fn untouched(flow: &Flow<'_>) {
    assert_eq!(flow.announcements(), 0);
    flow.nothing_committed();
    let kinds = flow.kinds();
    assert!(
        !kinds.iter().any(|kind| kind == "sign.try" || kind == "tx.signed"),
        "{kinds:?}"
    );
}

#[test]
fn o1_an_owner_that_changed_before_signing_stops_with_both_addresses_and_the_block() {
    each(&BOTH, |app| {
        let world = world_of(*app);
        let flow = Flow::new(&world);
        flow.step("prepare").exits(0);
        give_to(&world, ACCOUNTS[2].address);
        world.rpc().mine(1);
        for step in ["execute", "resume"] {
            let stopped = flow.step(step).exits(5).says("OWNER_CHANGED");
            for part in [world.owner.address.to_string(), ACCOUNTS[2].address.to_string()] {
                assert!(stopped.said.contains(&part), "{part}: {}", stopped.said);
            }
            let block = format!("block {}", world.rpc().height());
            assert!(stopped.said.contains(&block), "{block}: {}", stopped.said);
        }
        untouched(&flow);
        assert_eq!(world.rpc().nonce(world.owner.address), 0);
        give_to(&world, world.owner.address);
        flow.step("resume").exits(0);
        flow.landed_once();
    });
}

#[test]
fn o1_a_transfer_that_completed_stops_as_well() {
    let world = world_of(AppVariant::TwoStep);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let heir = ACCOUNTS[2].address;
    world.as_owner(&abi::transferOwnershipCall { to: heir });
    world.rpc().execute(heir, world.app, &abi::acceptOwnershipCall {});
    flow.step("execute").exits(5).says("OWNER_CHANGED");
    untouched(&flow);
}

#[test]
fn o2_x15_an_owner_that_changed_after_sending_makes_it_fail_for_good_with_the_reason() {
    each(&BOTH, |app| {
        let world = World::with(WorldOptions {
            app: *app,
            anvil: AnvilOptions {
                no_mining: true,
                ..AnvilOptions::default()
            },
            ..WorldOptions::default()
        });
        let flow = Flow::new(&world);
        flow.step("prepare").exits(0);
        flow.step("execute").exits(0);
        give_to(&world, ACCOUNTS[2].address);
        world.rpc().mine(1);
        let failed = flow.step("wait").exits(7).says("TX_REVERTED");
        assert!(failed.said.contains("OwnableUnauthorizedAccount"), "{}", failed.said);
        assert_ne!(failed.effect("transaction"), "done", "{}", failed.said);
        assert_eq!(world.rpc().nonce(world.owner.address), 1);
        flow.step("resume").exits(5).says("OWNER_CHANGED");
        assert_eq!(world.rpc().nonce(world.owner.address), 1, "no second transaction");
        assert_eq!(flow.announcements(), 0);
        flow.nothing_committed();
    });
}

#[test]
fn o3_a_transfer_under_way_is_a_warning_that_names_the_heir() {
    let world = world_of(AppVariant::TwoStep);
    let heir = ACCOUNTS[2].address;
    world.as_owner(&abi::transferOwnershipCall { to: heir });
    let flow = Flow::new(&world);
    let plan = flow.step("plan").exits(0);
    assert!(
        warned(&plan, "OWNER_PENDING") && plan.said.contains(&heir.to_string()),
        "{}",
        plan.said
    );
    assert!(!warned(
        &Flow::new(&World::start()).step("plan").exits(0),
        "OWNER_PENDING"
    ));
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

#[test]
fn o4_a_renounced_app_is_refused_before_any_write() {
    each(&BOTH, |app| {
        let world = world_of(*app);
        world.as_owner(&abi::renounceOwnershipCall {});
        let flow = Flow::new(&world);
        for step in ["prepare", "upgrade"] {
            flow.step(step).exits(6).says("OWNER_RENOUNCED");
        }
        assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
        assert!(!flow.dir.exists());
    });
}

#[test]
fn o5_another_implementation_stops_before_signing_and_going_back_goes_on() {
    each(&BOTH, |app| {
        let world = world_of(*app);
        let flow = Flow::new(&world);
        flow.step("prepare").exits(0);
        let snapshot = world.rpc().call("evm_snapshot", json!([]));
        let other = contracts::deploy(&world.rpc(), ACCOUNTS[0].address, contract_of(*app), &[]);
        world.as_owner(&abi::upgradeToAndCallCall {
            implementation: other,
            data: Bytes::new(),
        });
        let stopped = flow.step("execute").exits(5).says("APP_CODE_CHANGED");
        let shown = stopped.said.to_lowercase();
        assert!(shown.contains(&format!("{other:?}").to_lowercase()), "{}", stopped.said);
        untouched(&flow);
        world.rpc().call("evm_revert", json!([snapshot]));
        flow.step("resume").exits(0);
        flow.landed_once();
    });
}

const fn contract_of(app: AppVariant) -> &'static str {
    match app {
        AppVariant::OneStep => "DstackAppOneStep",
        AppVariant::TwoStep => "DstackAppTwoStep",
    }
}

#[test]
fn o5_the_same_implementation_address_with_other_code_stops() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let slot = b256!("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc");
    let word = world.rpc().call("eth_getStorageAt", json!([world.app, slot, "latest"]));
    let word: B256 = serde_json::from_value(word).unwrap();
    let implementation = Address::from_word(word);
    let code = world.rpc().call("eth_getCode", json!([implementation, "latest"]));
    let honest: Bytes = serde_json::from_value(code).unwrap();
    let mut changed = honest.to_vec();
    changed.push(0);
    set_code(&world, implementation, &changed);
    flow.step("execute").exits(5).says("APP_CODE_CHANGED");
    untouched(&flow);
    set_code(&world, implementation, &honest);
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn o6_an_app_without_code_stops_before_any_write_and_before_signing() {
    let world = World::start();
    let flow = Flow::new(&world);
    let code = world.rpc().call("eth_getCode", json!([world.app, "latest"]));
    let honest: Bytes = serde_json::from_value(code).unwrap();
    set_code(&world, world.app, &[]);
    for step in ["plan", "prepare", "upgrade"] {
        flow.step(step).exits(5).says("APP_MISMATCH");
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    set_code(&world, world.app, &honest);
    flow.step("prepare").exits(0);
    set_code(&world, world.app, &[]);
    flow.step("execute").exits(5);
    untouched(&flow);
    set_code(&world, world.app, &honest);
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn o7_a_key_that_delegates_is_a_key_which_is_said_and_one_that_begins_to_stops() {
    let mut delegation = hex!("ef0100").to_vec();
    delegation.extend_from_slice(CONTRACT.as_slice());
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    set_code(&world, world.owner.address, &delegation);
    flow.step("execute").exits(5).says("OWNER_CHANGED");
    untouched(&flow);

    let world = World::start();
    set_code(&world, world.owner.address, &delegation);
    let flow = Flow::new(&world);
    assert!(warned(&flow.step("plan").exits(0), "OWNER_DELEGATES"));
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

#[test]
fn a_contract_that_owns_the_app_is_shown_what_to_call_and_its_call_is_adopted() {
    each(&BOTH, |app| {
        let world = World::with(WorldOptions {
            app: *app,
            owner: Some(CONTRACT),
            ..WorldOptions::default()
        });
        set_code(&world, CONTRACT, &hex!("00"));
        let flow = Flow::new(&world);
        let call = abi::addComposeHashCall { composeHash: flow.hash };
        let prepared = flow.step("prepare").exits(0);
        assert!(warned(&prepared, "OWNER_IS_A_CONTRACT"), "{}", prepared.said);
        for step in ["execute", "resume"] {
            let pending = flow.step(step).exits(8).says("PENDING_OWNER");
            let calldata = Bytes::from(call.abi_encode()).to_string();
            for part in [CONTRACT.to_string(), world.app.to_string(), calldata] {
                assert!(pending.said.contains(&part), "{part}: {}", pending.said);
            }
        }
        untouched(&flow);
        flow.with("wait", &["--timeout", "1s"])
            .exits(8)
            .says("PENDING_APPROVAL");

        let waiting = spawn(&flow, "wait", &[]);
        let by = world.rpc().execute_as(CONTRACT, world.app, &call);
        let waited = crate::harness::judge::ended(waiting).exits(0);
        assert_eq!(waited.effect("transaction"), "done", "{}", waited.said);
        flow.nothing_committed();
        let done = flow.step("commit").exits(0);
        assert_eq!(done.fact("transaction_hash"), &json!(by));
        flow.landed_once();
        assert_eq!(
            world.rpc().nonce(world.owner.address),
            0,
            "no key of ours sent anything"
        );
    });
}

#[test]
fn h5_v14_a_device_that_the_app_does_not_allow_is_refused_and_never_added() {
    each(&BOTH, |app| {
        let world = World::with(WorldOptions {
            app: *app,
            device_allowed: false,
            ..WorldOptions::default()
        });
        let flow = Flow::new(&world);
        for step in ["prepare", "upgrade"] {
            let refused = flow.step(step).exits(6).says("DEVICE_NOT_ALLOWED");
            let device = world.device.to_string();
            assert!(
                refused.said.contains("addDevice") && refused.said.contains(&device),
                "{}",
                refused.said
            );
        }
        assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
        assert_eq!(world.rpc().nonce(world.owner.address), 0);
        world.as_owner(&abi::addDeviceCall { deviceId: world.device });
        flow.step("upgrade").exits(0);
        flow.landed_once();
    });
}

#[test]
fn h5_pitfall_19_a_device_that_is_removed_before_signing_is_refused() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    world.as_owner(&abi::removeDeviceCall { deviceId: world.device });
    let refused = flow.step("execute").exits(6).says("DEVICE_NOT_ALLOWED");
    // No option answers it, so none is offered.
    assert!(!refused.said.contains("--accept"), "{}", refused.said);
    untouched(&flow);
    world.as_owner(&abi::setAllowAnyDeviceCall { allowAny: true });
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn an_app_that_lets_any_device_in_needs_no_device_on_its_list() {
    let world = World::with(WorldOptions {
        any_device: true,
        device_allowed: false,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

#[test]
fn h5_what_the_kms_would_refuse_is_refused_with_its_own_words() {
    let world = World::with(WorldOptions {
        os_image_allowed: false,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    for step in ["prepare", "upgrade"] {
        let refused = flow.step(step).exits(6).says("KMS_WOULD_REFUSE");
        assert!(refused.said.contains("OS image is not allowed"), "{}", refused.said);
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    flow.nothing_happened();
}

#[test]
fn an_app_that_the_kms_does_not_know_is_refused_before_any_write() {
    let world = World::start();
    // registeredApps is the sixth variable: four for the KMS's keys, one for the gateway.
    let slot = alloy::primitives::keccak256([world.app.into_word().0, B256::with_last_byte(5).0].concat());
    world
        .rpc()
        .call("anvil_setStorageAt", json!([world.kms, slot, B256::ZERO]));
    let known = world.rpc().read(world.kms, &abi::registeredAppsCall { app: world.app });
    assert!(!known, "the slot is another one by now");
    let flow = Flow::new(&world);
    for step in ["prepare", "upgrade"] {
        flow.step(step).exits(6).says("APP_NOT_REGISTERED");
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    let anybody = ACCOUNTS[3].address;
    world
        .rpc()
        .execute(anybody, world.kms, &abi::registerAppCall { app: world.app });
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

#[test]
fn a_key_that_is_not_the_owners_stops_and_signs_nothing() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.env.push(("OWNER_KEY".to_owned(), ACCOUNTS[2].key.to_owned()));
    flow.step("execute").exits(5).says("SIGNER_NOT_OWNER");
    untouched(&flow);
    assert_eq!(world.rpc().nonce(ACCOUNTS[2].address), 0);
    flow.env.clear();
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn h4_of_several_additions_the_newest_is_committed() {
    let world = World::start();
    let flow = Flow::new(&world);
    let first = world.allow(flow.hash);
    world.as_owner(&abi::removeComposeHashCall { composeHash: flow.hash });
    let newest = world.allow(flow.hash);
    assert_ne!(first, newest);
    let done = flow.step("upgrade").exits(0);
    assert_eq!(done.fact("transaction_hash"), &json!(newest));
    let sent: Value = world.cloud.requests_to("POST", "/commit-update")[0].json();
    assert_eq!(sent["transaction_hash"], json!(newest));
    flow.committed_once();
    assert_eq!(world.rpc().nonce(world.owner.address), 3, "no fourth transaction");
}

#[test]
fn h4_an_addition_that_was_taken_back_is_no_approval() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.allow(flow.hash);
    world.as_owner(&abi::removeComposeHashCall { composeHash: flow.hash });
    flow.step("upgrade").exits(0);
    assert_eq!((flow.announcements(), world.rpc().nonce(world.owner.address)), (2, 3));
    flow.committed_once();
}

#[test]
fn h6_an_older_hash_stays_allowed_until_somebody_takes_it_back() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    flow.landed_once();
    assert!(
        world.is_allowed(world.first_hash),
        "nothing is withdrawn without being asked"
    );
    assert_eq!(world.cloud.cvm(CVM).compose_hash, flow.hash);
    assert_eq!(world.rpc().nonce(world.owner.address), 1, "one transaction");
}
