//! Whole upgrades with the real binary: every step, both endings, both kinds of app, and every step twice.

use alloy::primitives::B256;

use crate::harness::flow::Flow;
use crate::support::world::{AppVariant, CVM, WorldOptions};
use crate::support::{AnvilOptions, World};

const STEPS: [&str; 4] = ["prepare", "execute", "wait", "commit"];

fn shown(hash: B256) -> serde_json::Value {
    serde_json::json!(hash)
}

#[test]
fn a_release_goes_from_plan_to_live_in_single_steps_for_both_kinds_of_app() {
    for app in [AppVariant::OneStep, AppVariant::TwoStep] {
        let world = World::with(WorldOptions {
            app,
            ..WorldOptions::default()
        });
        let flow = Flow::new(&world);
        let plan = flow.step("plan").exits(0);
        assert_eq!(plan.fact("compose_hash"), &shown(flow.hash), "{}", plan.said);
        flow.nothing_happened();
        assert!(
            world.cloud.requests().iter().all(|request| request.method == "GET"),
            "a plan only reads"
        );

        let prepared = flow.step("prepare").exits(0);
        assert_eq!(prepared.effect("prepare"), "done");
        flow.nothing_happened();
        let executed = flow.step("execute").exits(0);
        assert_eq!(executed.effect("approval"), "done");
        let waited = flow.step("wait").exits(0);
        assert_eq!(waited.effect("transaction"), "done");
        assert_eq!(world.cloud.commits(CVM), Vec::<B256>::new(), "waiting commits nothing");
        let committed = flow.step("commit").exits(0);
        assert_eq!((committed.effect("commit"), committed.effect("live")), ("done", "done"));

        flow.landed_once();
        for fact in [
            "cvm",
            "app",
            "chain_id",
            "compose_hash",
            "transaction_hash",
            "block_number",
            "correlation_id",
        ] {
            assert!(!committed.fact(fact).is_null(), "{fact}: {}", committed.said);
        }
        let sent = &world.cloud.requests_to("POST", "/commit-update")[0].json();
        assert_eq!(&sent["transaction_hash"], committed.fact("transaction_hash"));
        assert_eq!(sent["compose_hash"], hex::encode(flow.hash), "as prepare gave it");
    }
}

#[test]
fn one_command_does_it_all_and_leaves_evidence_and_no_token() {
    let world = World::start();
    let flow = Flow::new(&world);
    let done = flow.step("upgrade").exits(0);
    flow.landed_once();
    assert_eq!(done.effect("live"), "done");
    let evidence = flow.json_file("evidence.json");
    assert_eq!(evidence["code"]["compose_hash"], shown(flow.hash));
    assert_eq!(evidence["transaction"]["hash"], *done.fact("transaction_hash"));
    assert_eq!(evidence["owner"], serde_json::json!(world.owner.address));
    let receipt = world
        .rpc()
        .receipt(done.fact("transaction_hash").as_str().unwrap().parse().unwrap())
        .unwrap();
    assert_eq!(evidence["block"]["hash"], receipt["blockHash"]);
    assert!(
        std::fs::read_to_string(flow.dir.join("evidence.md"))
            .unwrap()
            .contains(&flow.hash.to_string())
    );
    assert!(!flow.dir.join("token").exists() && !flow.dir.join("prepare.raw").exists());
}

#[test]
fn every_step_twice_is_the_same_as_once() {
    let world = World::start();
    let flow = Flow::new(&world);
    for step in STEPS {
        flow.step(step).exits(0);
        let before = flow.kinds();
        flow.step(step).exits(0);
        assert_eq!(flow.kinds(), before, "the second {step} recorded an effect");
    }
    flow.landed_once();
    assert_eq!(world.cloud.tokens().len(), 1);
    assert_eq!(world.rpc().nonce(world.owner.address), 1);
    flow.step("upgrade").exits(0);
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
fn resume_finishes_whatever_was_begun() {
    for begun in 1..=STEPS.len() {
        let world = World::start();
        let flow = Flow::new(&world);
        for step in &STEPS[..begun] {
            flow.step(step).exits(0);
        }
        flow.step("resume").exits(0);
        flow.landed_once();
    }
}

#[test]
fn a_step_before_its_time_names_the_one_that_comes_first() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let early = flow.step("commit").exits(6);
    assert!(
        early.json["next"].as_str().unwrap().contains("countersign execute"),
        "{}",
        early.said
    );
    flow.step("execute").exits(0);
    let early = flow.step("commit").exits(6);
    assert!(
        early.json["next"].as_str().unwrap().contains("countersign wait"),
        "{}",
        early.said
    );
    flow.nothing_committed();
}

#[test]
fn the_ending_with_two_headers_needs_no_token() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.with("upgrade", &["--confirm"]).exits(0);
    flow.landed_once();
    assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), 0);
    let confirmed = world
        .cloud
        .requests()
        .into_iter()
        .find(|request| request.header("x-compose-hash").is_some());
    assert!(confirmed.is_some(), "no confirming request");
}

#[test]
fn a_change_of_nothing_is_refused_before_anything_is_sent() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    let current = world.cloud.cvm(CVM).manifest["docker_compose_file"]
        .as_str()
        .unwrap()
        .to_owned();
    flow.compose = world.file("same.yml", &current);
    flow.step("prepare").exits(6).says("NOTHING_TO_APPROVE");
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn a_cvm_with_an_off_chain_kms_is_refused_before_any_patch() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    for step in ["prepare", "upgrade"] {
        flow.step(step).exits(6).says("KMS_OFFCHAIN");
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    assert!(!flow.dir.exists(), "nothing is begun");
}

#[test]
fn h1_a_hash_that_is_allowed_already_needs_no_transaction() {
    let world = World::start();
    let flow = Flow::new(&world);
    let allowed_by = world.allow(flow.hash);
    let done = flow.step("upgrade").exits(0);
    assert_eq!(
        world.rpc().nonce(world.owner.address),
        1,
        "only the owner's own transaction"
    );
    assert_eq!(done.fact("transaction_hash"), &shown(allowed_by));
    flow.landed_once();
}

#[test]
fn a_whole_upgrade_asks_one_endpoint_at_most_twenty_three_times() {
    let world = World::start();
    let proxy = crate::support::FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    for step in STEPS {
        flow.step(step).exits(0);
        // anvil answers a send before it has mined; how long that takes is not what is counted.
        if step == "execute" {
            let sent = flow.journal().pop().unwrap()["body"]["hash"].clone();
            world.rpc().mined(serde_json::from_value(sent).unwrap());
        }
    }
    flow.landed_once();
    let requests = proxy.requests();
    assert!(requests <= 23, "{requests} round trips");
}

#[test]
fn a_chain_with_blocks_of_a_second_is_waited_for() {
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            block_time: Some(1),
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.with("upgrade", &["--confirmations", "2"]).exits(0);
    flow.landed_once();
}
