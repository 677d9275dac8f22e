//! What was read when the upgrade was planned is compared with what is there when it counts.

use alloy::primitives::{Address, B256};
use serde_json::json;

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::support::contracts::abi;
use crate::support::{ACCOUNTS, AppVariant, World, WorldOptions};

/// Code at `address` that does the same and is not the same: one byte that is never reached.
fn change_code(world: &World, address: Address) {
    let code = world.rpc().call("eth_getCode", json!([address, "latest"]));
    let other = format!("{}00", code.as_str().unwrap());
    world.rpc().call("anvil_setCode", json!([address, other]));
}

#[test]
fn v6_an_owner_who_changed_since_the_plan_stops_before_anything_is_signed() {
    let world = World::with(WorldOptions {
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    world.as_owner(&abi::transferOwnershipCall {
        to: ACCOUNTS[3].address,
    });
    let before = world.rpc().nonce(world.owner.address);
    let stopped = flow.step("execute").exits(5).says("OWNER_CHANGED");
    assert_eq!(stopped.effect("approval"), "none");
    assert_eq!(world.rpc().nonce(world.owner.address), before);
    flow.nothing_happened();
}

#[test]
fn v5_code_that_changed_since_the_plan_stops_before_the_signature_and_before_the_commit() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let honest = world.rpc().call("eth_getCode", json!([world.app, "latest"]));
    change_code(&world, world.app);
    flow.step("execute").exits(5).says("APP_CODE_CHANGED");
    flow.nothing_happened();
    world.rpc().call("anvil_setCode", json!([world.app, honest]));
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    change_code(&world, world.app);
    flow.step("commit").exits(5).says("APP_CODE_CHANGED");
    flow.nothing_committed();
    world.rpc().call("anvil_setCode", json!([world.app, honest]));
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn v2_a_cvm_that_was_named_by_its_app_is_of_that_app_whatever_the_cloud_says() {
    let world = World::start();
    let flow = Flow::new(&world);
    let named = format!("app_{}", hex::encode(world.app));
    let plan = |name: &str| {
        let compose = flow.compose.to_str().unwrap();
        Ran::of(&mut flow.command(&["plan", "--json", "--cvm", name, "-c", compose]))
    };
    plan(&named).exits(0);
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(std::sync::Arc::new(|record| record["app_id"] = json!("aa".repeat(20))));
    });
    let stopped = plan(&named).exits(5);
    assert!(stopped.said.contains("MISMATCH"), "{}", stopped.said);
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn w1_clocks_that_differ_by_more_than_five_minutes_are_told() {
    for (seconds, told) in [(400, true), (-400, true), (100, false)] {
        let world = World::start();
        world.cloud.advance(seconds);
        let ran = Flow::new(&world).step("prepare").exits(0);
        assert_eq!(
            ran.said.contains("clock and Phala Cloud's differ"),
            told,
            "{seconds}: {}",
            ran.said
        );
    }
}

#[test]
fn v19_whoever_signs_is_shown_the_images_the_hash_and_the_digest() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let digest = flow.json_file("proposal.json")["calldata_digests"][0].clone();
    let said = flow.step("execute").exits(0).said;
    for needed in [
        "nginx:1.28",
        "nginx:1.27",
        digest.as_str().unwrap(),
        &flow.hash.to_string(),
    ] {
        assert!(said.contains(needed), "{needed} in {said}");
    }
}

#[test]
fn i19_a_proposal_whose_cvm_leads_out_of_the_folder_creates_nothing() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let mut proposal = flow.json_file("proposal.json");
    proposal["plan"]["code"]["cvm"] = json!("../../out");
    let folder = world.folder().join("a/b");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("proposal.json"), proposal.to_string()).unwrap();
    for step in ["status", "wait", "commit"] {
        let mut command = flow.command(&[step, "proposal.json", "--json"]);
        let ran = Ran::of(command.current_dir(&folder));
        assert_eq!(ran.exit, 3, "{}", ran.said);
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(world.folder().join("a")).unwrap().count(), 1);
}

#[test]
fn v2_the_app_that_somebody_expects_is_compared_when_the_cvm_is_named_by_its_name() {
    let world = World::start();
    let flow = Flow::new(&world);
    let other = ACCOUNTS[3].address.to_string();
    let app = world.app.to_string();
    let project = |app: &str| world.file("phala.toml", &format!("app = \"{app}\"\nattest = \"no\"\n"));
    for step in ["plan", "prepare", "upgrade"] {
        let stopped = flow.with(step, &["--app", &other]).exits(5).says("APP_MISMATCH");
        assert!(
            stopped.said.contains(&other) && stopped.said.contains(&app),
            "{}",
            stopped.said
        );
        project(&other);
        flow.step(step).exits(5).says("APP_MISMATCH");
        // What was typed counts more than the file.
        flow.with("plan", &["--app", &app]).exits(0);
        project(&app);
        flow.step("plan").exits(0);
        world.file("phala.toml", "attest = \"no\"\n");
    }
    assert!(!flow.dir.exists(), "nothing is begun");
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    project("app_1234");
    flow.step("plan").exits(3).says("INPUT_PROJECT_FILE");
    project(&app);
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

#[test]
fn h6_v28_strictly_no_older_hash_stays_allowed() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.with("plan", &["--strict"]).exits(0);
    let older = B256::repeat_byte(7);
    world.allow(older);
    for step in ["plan", "prepare", "upgrade"] {
        let refused = flow.with(step, &["--strict"]).exits(6).says("OLDER_HASHES_ALLOWED");
        assert!(refused.said.contains(&older.to_string()), "{}", refused.said);
        assert!(
            !refused.said.contains(&format!("approval: {}", world.first_hash)),
            "{}",
            refused.said
        );
    }
    assert!(!flow.dir.exists(), "nothing is begun");
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    flow.step("plan").exits(0);
    world.as_owner(&abi::removeComposeHashCall { composeHash: older });
    // The new hash may be allowed already.
    world.allow(flow.hash);
    flow.with("upgrade", &["--strict"]).exits(0);
    flow.landed_once();
}

#[test]
fn h6_an_endpoint_that_gives_no_history_proves_no_list_to_be_short() {
    let world = World::start();
    world.allow(B256::repeat_byte(7));
    let silent = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!([]))
    });
    let pruned = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!({"error": {"code": -32000, "message": "history is pruned"}}))
    });
    for endpoint in [&silent, &pruned] {
        let flow = Flow::new(&world).chain_at(endpoint.url());
        flow.with("plan", &["--strict"]).exits(6).says("OLDER_HASHES_UNKNOWN");
        flow.step("plan").exits(0);
    }
}

#[test]
fn o3_a_transfer_goes_to_whom_somebody_expects_or_nothing_goes_on() {
    let world = World::start();
    let flow = Flow::new(&world);
    let heir = ACCOUNTS[2].address;
    let expecting = |step: &str, who: Address| flow.with(step, &["--expect-pending-owner", &who.to_string()]);
    // None is under way.
    expecting("plan", heir).exits(5).says("PENDING_OWNER_MISMATCH");
    world.as_owner(&abi::transferOwnershipCall { to: heir });
    for step in ["plan", "prepare", "upgrade"] {
        let stopped = expecting(step, ACCOUNTS[3].address)
            .exits(5)
            .says("PENDING_OWNER_MISMATCH");
        assert!(stopped.said.contains(&heir.to_string()), "{}", stopped.said);
    }
    assert!(!flow.dir.exists(), "nothing is begun");
    assert!(flow.step("plan").exits(0).said.contains("OWNER_PENDING"));
    let plan = expecting("plan", heir).exits(0);
    assert!(!plan.said.contains("OWNER_PENDING"), "{}", plan.said);
    expecting("upgrade", heir).exits(0);
    flow.landed_once();
}
