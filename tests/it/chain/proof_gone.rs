//! A proof whose block goes away: what was proved is looked at again by whoever reports it, found anew wherever it is, and
//! never a dead end.

use alloy::primitives::B256;
use alloy::sol_types::SolCall as _;
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::support::contracts::abi;
use crate::support::timelocks::{TimelockOptions, advance, pass};
use crate::support::world::{SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

/// The owner's wallet allows the hash, outside of the upgrade, at a price of its own.
fn allow(flow: &Flow<'_>, gwei: u64) -> B256 {
    let data = abi::addComposeHashCall { composeHash: flow.hash }.abi_encode();
    let data = alloy::primitives::Bytes::from(data);
    let transaction = json!([{
        "from": flow.world.owner.address, "to": flow.world.app, "data": data, "gas": "0x30000",
        "gasPrice": alloy::primitives::U64::from(gwei * 1_000_000_000),
    }]);
    let rpc = flow.world.rpc();
    let hash: B256 = serde_json::from_value(rpc.call("eth_sendTransaction", transaction)).unwrap();
    rpc.mined(hash);
    hash
}

/// An upgrade that somebody else's transaction proved, and a chain on which that block never was.
fn proved_and_gone<'w>(world: &'w World) -> (Flow<'w>, B256) {
    let flow = Flow::new(world);
    flow.step("prepare").exits(0);
    let before = world.rpc().call("evm_snapshot", json!([]));
    let first = allow(&flow, 20);
    flow.step("wait").exits(0);
    assert_eq!(proof(&flow), json!(first));
    world.rpc().call("evm_revert", json!([before]));
    (flow, first)
}

/// The transaction of the newest proof that the journal has.
fn proof(flow: &Flow<'_>) -> Value {
    let journal = std::fs::read_to_string(flow.dir.join("journal")).unwrap();
    let records = journal.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_proof = |record: &Value| ["adopted", "tx.final"].contains(&record["kind"].as_str().unwrap());
    records.rev().find(is_proof).unwrap()["body"]["transaction"].clone()
}

fn warned(ran: &Ran, code: &str) -> bool {
    let warnings = ran.json["warnings"].as_array().unwrap();
    warnings.iter().any(|one| one["code"] == code)
}

#[test]
fn se2_r1_a_proof_whose_block_goes_away_is_found_anew_by_each_command() {
    for (step, blocks) in [("wait", 0), ("commit", 0), ("execute", 30), ("resume", 30)] {
        let world = World::start();
        let (flow, first) = proved_and_gone(&world);
        let second = allow(&flow, 30);
        assert_ne!(first, second);
        world.rpc().mine(blocks);
        let ran = flow.step(step).exits(0);
        assert!(warned(&ran, "PROOF_GONE"), "{step}: {}", ran.said);
        assert_eq!(proof(&flow), json!(second), "{step}");
        assert!(
            flow.kinds().contains(&"proof.gone".to_owned()),
            "{step}: {:?}",
            flow.kinds()
        );
        flow.step("commit").exits(0);
        flow.landed_once();
        assert_eq!(
            flow.json_file("evidence.json")["transaction"]["hash"],
            json!(second),
            "{step}"
        );
    }
}

#[test]
fn se2_r1_a_proof_that_is_gone_for_good_is_waited_for_and_reported_by_nobody() {
    let world = World::start();
    let (flow, _) = proved_and_gone(&world);
    // Another block stands in its place.
    world.rpc().mine(3);
    for step in ["wait", "commit", "wait"] {
        flow.with(step, &["--timeout", "1s"]).exits(8);
    }
    assert_eq!(flow.kinds().iter().filter(|kind| *kind == "proof.gone").count(), 1);
    let url = world.anvil.url();
    let status = flow.with("status", &["--rpc-url", &url]).exits(0);
    assert_ne!(status.effect("transaction"), "done", "{}", status.said);
    flow.nothing_committed();
    let second = allow(&flow, 30);
    flow.step("commit").exits(0);
    assert_eq!(proof(&flow), json!(second));
    flow.landed_once();
}

#[test]
fn se2_r1_status_looks_at_the_chain_before_it_says_that_a_hash_is_allowed() {
    let world = World::start();
    let (flow, _) = proved_and_gone(&world);
    world.rpc().mine(3);
    let url = world.anvil.url();
    let status = flow.with("status", &["--rpc-url", &url]).exits(0);
    assert!(warned(&status, "PROOF_GONE"), "{}", status.said);
    assert!(
        !status.json["message"].as_str().unwrap().contains("is allowed"),
        "{}",
        status.said
    );
    assert!(!flow.kinds().contains(&"proof.gone".to_owned()), "nothing is written");
    // Nobody answers there: what the journal says is shown, and that nobody looked.
    let status = flow.with("status", &["--rpc-url", "http://127.0.0.1:9"]).exits(0);
    assert!(status.said.contains("not checked"), "{}", status.said);
}

#[test]
fn se2_r1_our_own_transaction_goes_out_again_with_the_same_bytes() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let before = world.rpc().call("evm_snapshot", json!([]));
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let first = proof(&flow);
    world.rpc().call("evm_revert", json!([before]));
    world.rpc().mine(3);
    let ran = flow.step("wait").exits(0);
    assert!(warned(&ran, "PROOF_GONE"), "{}", ran.said);
    assert_eq!(proof(&flow), first);
    assert_eq!(flow.kinds().iter().filter(|kind| *kind == "tx.signed").count(), 1);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn se2_r1_what_was_taken_back_is_not_reported_as_allowed() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    allow(&flow, 20);
    flow.step("wait").exits(0);
    world.rpc().execute(
        world.owner.address,
        world.app,
        &abi::removeComposeHashCall { composeHash: flow.hash },
    );
    for step in ["wait", "execute", "commit"] {
        flow.step(step).exits(6).says("HASH_REMOVED");
    }
    flow.nothing_committed();
}

#[test]
fn se2_r1_what_one_endpoint_alone_made_up_is_proved_anew_by_an_honest_one() {
    for step in ["wait", "commit", "execute", "resume"] {
        let world = World::start();
        let flow = Flow::new(&world);
        flow.step("prepare").exits(0);
        let asked = hex::encode(flow.hash);
        let liar = Liar::to(&world.anvil.url(), move |method, params| {
            let data = params[0]["data"].as_str().or_else(|| params[0]["input"].as_str());
            let about = method == "eth_call" && data.is_some_and(|data| data.ends_with(&asked));
            about.then(|| json!(B256::with_last_byte(1)))
        });
        flow.with("wait", &["--rpc-url", liar.url()]).exits(0);
        assert!(proof(&flow).is_null(), "by the state alone");
        let url = world.anvil.url();
        let status = flow.with("status", &["--rpc-url", &url]).exits(0);
        assert!(warned(&status, "PROOF_GONE"), "{}", status.said);
        let (more, exit) = match step {
            "wait" | "commit" | "resume" => (&["--timeout", "1s"][..], 8),
            _ => (&[][..], 0),
        };
        let ran = flow.with(step, more).exits(exit);
        assert!(flow.kinds().contains(&"proof.gone".to_owned()), "{step}: {}", ran.said);
        assert!(ran.said.contains(liar.url()), "{step}: {}", ran.said);
        flow.step("resume").exits(0);
        flow.landed_once();
    }
}

/// An endpoint that says of the hash that it is allowed.
fn says_allowed(flow: &Flow<'_>) -> Liar {
    let asked = hex::encode(flow.hash);
    Liar::to(&flow.world.anvil.url(), move |method, params| {
        let data = params[0]["data"].as_str().or_else(|| params[0]["input"].as_str());
        let about = method == "eth_call" && data.is_some_and(|data| data.ends_with(&asked));
        about.then(|| json!(B256::with_last_byte(1)))
    })
}

#[test]
fn fr2_3_what_one_endpoint_made_up_does_not_keep_anybody_from_signing() {
    for liars in [
        &["prepare", "wait"][..],
        &["prepare", "execute"],
        &["prepare", "execute", "wait"],
    ] {
        let world = World::start();
        let flow = Flow::new(&world);
        let liar = says_allowed(&flow);
        for step in liars {
            flow.with(step, &["--rpc-url", liar.url()]).exits(0);
        }
        let review = flow.step("review").exits(0);
        let next = review.json["next"].as_str().unwrap();
        assert!(next.starts_with("countersign execute"), "{next}");
        for step in ["execute", "wait", "commit"] {
            flow.step(step).exits(0);
        }
        flow.landed_once();
    }
}

#[test]
fn fr2_8_a_nonce_that_one_endpoint_made_up_is_told_and_replaced_on_demand() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let ahead = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getTransactionCount").then(|| json!("0x3"))
    });
    flow.with("execute", &["--rpc-url", ahead.url()]).exits(0);
    for step in ["wait", "resume"] {
        let ran = flow.with(step, &["--timeout", "2s"]).exits(8).says("PENDING_NONCE");
        assert!(
            ran.said.contains("has nonce 3") && ran.said.contains("is 0"),
            "{}",
            ran.said
        );
        let next = ran.json["next"].as_str().unwrap();
        assert!(
            next.starts_with("countersign execute") && next.ends_with("--new-nonce"),
            "{next}"
        );
    }
    let ran = flow.with("execute", &["--new-nonce"]).exits(0);
    assert_eq!(ran.fact("nonce"), &json!(0), "{}", ran.said);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    assert_eq!(flow.step("status").effect("live"), "done");
    // What the first one could cost counts on.
    assert_eq!(flow.kinds().iter().filter(|kind| *kind == "tx.signed").count(), 2);
}

/// Runs the command that a run named as the next one, with the key and the consent that it needs.
fn follow(flow: &Flow<'_>, ran: &Ran) -> Ran {
    let next = ran.json["next"].as_str().unwrap_or_else(|| panic!("{}", ran.said));
    let mut words: Vec<&str> = next.split(' ').skip(1).collect();
    words.push("--json");
    if matches!(words[0], "execute" | "resume") && !next.contains("--signer") {
        words.extend(["--signer", "env:OWNER_KEY"]);
    }
    if matches!(words[0], "execute" | "resume" | "commit") {
        words.push("--yes");
    }
    Ran::of(&mut flow.command(&words))
}

/// The app's owner takes the hash back.
fn remove(flow: &Flow<'_>) {
    let call = abi::removeComposeHashCall { composeHash: flow.hash };
    flow.world
        .rpc()
        .execute(flow.world.owner.address, flow.world.app, &call);
}

/// Each command says the same of it, and names the same as next.
fn each_says_undone(flow: &Flow<'_>) -> Ran {
    let by = proof(flow).as_str().unwrap().to_owned();
    let url = flow.world.anvil.url();
    let status = flow.with("status", &["--rpc-url", &url]).exits(0);
    assert!(warned(&status, "HASH_REMOVED"), "{}", status.said);
    let others = ["wait", "execute", "prepare", "commit", "resume", "review"];
    let others = others.map(|step| flow.step(step).exits(6).says("HASH_REMOVED"));
    for ran in others.iter().chain([&status]) {
        let message = ran.json["message"].as_str().unwrap();
        for word in ["approved in transaction", &by, "is undone since"] {
            assert!(message.contains(word), "{}", ran.said);
        }
        let next = ran.json["next"].as_str().unwrap();
        let again = next.starts_with("countersign execute --dir") && next.contains("--new-nonce");
        assert!(again, "{}", ran.said);
    }
    flow.nothing_committed();
    status
}

#[test]
fn fr2_3_what_was_approved_and_removed_goes_on_by_a_new_approval_in_the_same_directory() {
    let world = World::start();
    let flow = Flow::new(&world);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let first = proof(&flow);
    remove(&flow);
    let mut ran = each_says_undone(&flow);
    for step in ["execute", "wait", "commit"] {
        let next = ran.json["next"].as_str().unwrap().to_owned();
        assert!(next.starts_with(&format!("countersign {step} ")), "{next}");
        ran = follow(&flow, &ran).exits(0);
    }
    assert_eq!(flow.step("status").exits(0).effect("live"), "done");
    flow.committed_once();
    assert_ne!(proof(&flow), first);
    assert_eq!(flow.json_file("evidence.json")["transaction"]["hash"], proof(&flow));
    assert_eq!(flow.announcements(), 2);
}

#[test]
fn fr2_3_what_others_approved_and_the_owner_removed_goes_on_by_a_transaction_of_this_upgrade() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    allow(&flow, 20);
    flow.step("wait").exits(0);
    remove(&flow);
    let mut ran = each_says_undone(&flow);
    for _ in 0..3 {
        ran = follow(&flow, &ran).exits(0);
    }
    assert_eq!(flow.step("status").exits(0).effect("live"), "done");
    flow.committed_once();
}

#[test]
fn fr2_3_an_approval_of_a_safe_that_was_removed_is_signed_anew_with_its_next_nonce() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 1,
            owners: 2,
        }),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let sign = |flow: &Flow<'_>| {
        let file = flow.dir.join("proposal.json");
        let words = [
            "sign",
            file.to_str().unwrap(),
            "--signer",
            "env:SIGNER_0",
            "--yes",
            "--json",
        ];
        Ran::of(&mut flow.command(&words)).exits(0);
    };
    flow.step("prepare").exits(0);
    sign(&flow);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let call = abi::removeComposeHashCall { composeHash: flow.hash };
    world.rpc().execute_as(world.safe.unwrap(), world.app, &call);
    let status = each_says_undone(&flow);
    let mut ran = follow(&flow, &status).exits(0);
    assert_eq!(ran.fact("safe_nonce"), "1", "{}", ran.said);
    for _ in 0..2 {
        ran = follow(&flow, &ran).exits(0);
    }
    assert_eq!(flow.step("status").exits(0).effect("live"), "done");
    flow.committed_once();
}

#[test]
fn fr2_3_an_approval_of_a_timelock_that_was_removed_is_scheduled_anew() {
    let world = World::start();
    let timelock = TimelockOptions::default().deploy(&world.rpc());
    let owner = json!([world.app, crate::timelock::storage::OWNER_SLOT, timelock.into_word()]);
    world.rpc().call("anvil_setStorageAt", owner);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(8);
    advance(&world.rpc(), 86_400);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let call = abi::removeComposeHashCall { composeHash: flow.hash };
    pass(&world.rpc(), (timelock, ACCOUNTS[1].address), (world.app, &call));
    let status = each_says_undone(&flow);
    let again = follow(&flow, &status).exits(8).says("PENDING_DELAY");
    advance(&world.rpc(), 86_400);
    follow(&flow, &again).exits(0);
    assert_eq!(flow.step("status").exits(0).effect("live"), "done");
    flow.committed_once();
}

#[test]
fn fr2_3_what_is_removed_after_the_commit_is_live_until_its_next_boot_and_status_says_so() {
    let world = World::start();
    let flow = Flow::new(&world);
    for step in ["prepare", "execute", "wait", "commit"] {
        flow.step(step).exits(0);
    }
    remove(&flow);
    let url = world.anvil.url();
    let status = flow.with("status", &["--rpc-url", &url]).exits(0);
    assert_eq!(status.effect("live"), "done");
    assert!(warned(&status, "COMMITTED_BUT_NOT_ALLOWED"), "{}", status.said);
    let message = status.json["message"].as_str().unwrap();
    assert!(message.contains("The CVM runs the new hash"), "{message}");
    assert!(message.contains("the next boot will be refused"), "{message}");
    let again = follow(&flow, &status).exits(0);
    assert_eq!(
        again.fact("policy"),
        &json!([{"add-compose-hash": flow.hash}]),
        "{}",
        again.said
    );
}
