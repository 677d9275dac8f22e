//! The life of a commit token: expired, replaced, used by others, of others; approvals that outlive it; what becomes of
//! a hash that is removed around the commit; the endings without a token; commit from a proposal alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cloud::faults::{COMMIT, PREPARE, keeps_secrets, numbered};
use crate::harness::flow::{Flow, Ran};
use crate::support::cloud::{API_KEY, Fate};
use crate::support::contracts::abi;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{Action, BootFailure, FaultProxy, Message, Moment, Nth, World, block, http, until};

const DAY: i64 = 24 * 3600;

/// Everything but the commit.
fn approved(flow: &Flow<'_>) {
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
}

/// A step as a pipeline runs it that agreed to nothing.
fn without_consent(flow: &Flow<'_>, step: &str) -> Ran {
    let mut arguments = flow.arguments(step);
    arguments.retain(|argument| argument != "--yes");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ran = Ran::of(&mut flow.command(&arguments));
    keeps_secrets(flow, &ran);
    ran
}

/// What a colleague with the same API key sends.
fn colleague(world: &World, method: &str, path: &str, body: Value) -> u16 {
    let prepare = method == "PATCH";
    let url = format!("{}/cvms/{path}", world.cloud.prefix());
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    block(async move {
        let mut request = http().request(method, url).header("x-api-key", API_KEY).json(&body);
        if prepare {
            request = request.header("x-prepare-only", "true");
        }
        request.send().await.unwrap().status().as_u16()
    })
}

fn newest_token(world: &World) -> String {
    world.cloud.tokens().last().unwrap().text.clone()
}

/// A second preparation gave the identical hash, no second nonce was used, and it landed once.
#[track_caller]
fn landed_by_a_second_token(flow: &Flow<'_>) {
    let tokens = flow.world.cloud.tokens();
    let ours = tokens.iter().filter(|token| token.hash == flow.hash).count();
    assert!(ours >= 2, "{tokens:?}");
    assert_eq!(flow.world.rpc().nonce(flow.world.owner.address), 1);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t1_t7_an_expired_token_is_replaced_for_the_identical_hash_once_somebody_agrees() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    world.cloud.advance(15 * DAY);
    let expired = flow.step("commit").exits(6).says("COMMIT_REJECTED_466");
    assert_eq!(
        (expired.effect("transaction"), expired.effect("commit")),
        ("done", "none")
    );
    assert_eq!(expired.fact("vendor_code"), "ERR-01-006");
    assert!(expired.json["message"].as_str().unwrap().contains("no new signature"));
    assert!(expired.json["next"].as_str().unwrap().contains("countersign resume"));

    let asked = without_consent(&flow, "commit").exits(6).says("TOKEN_EXPIRED");
    assert!(
        asked.json["next"].as_str().unwrap().ends_with("--yes"),
        "{}",
        asked.said
    );
    assert_eq!(world.cloud.tokens().len(), 1, "nobody agreed to a second one");

    flow.step("commit").exits(0);
    landed_by_a_second_token(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t1_w1_expiry_is_counted_by_the_servers_clock_and_known_without_asking() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.cloud.advance(-15 * DAY);
    approved(&flow);
    world.cloud.advance(15 * DAY);
    world.cloud.forget_requests();
    without_consent(&flow, "commit").exits(6).says("TOKEN_EXPIRED");
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    flow.step("resume").exits(0);
    assert_eq!(
        world.cloud.requests_to("POST", "/commit-update").len(),
        1,
        "the dead token was not tried"
    );
    landed_by_a_second_token(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t2_a_token_in_its_last_day_is_told_and_in_its_last_minutes_not_relied_on() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.cloud.advance(-13 * DAY - DAY / 2);
    flow.step("prepare").exits(0);
    assert!(flow.step("execute").said.contains("the commit token expires at"));
    assert!(flow.step("wait").exits(0).said.contains("the commit token expires at"));

    let other = World::start();
    let last = Flow::new(&other);
    other.cloud.advance(-14 * DAY + 180);
    approved(&last);
    without_consent(&last, "commit").exits(6).says("TOKEN_EXPIRED");
    last.step("commit").exits(0);
    landed_by_a_second_token(&last);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t3_a_token_that_somebody_replaced_is_replaced_back_only_for_the_same_change() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    let same = json!({"docker_compose_file": NEW_COMPOSE});
    assert_eq!(colleague(&world, "PATCH", CVM, same), 465);
    flow.step("commit").exits(6).says("COMMIT_REJECTED_466");

    let another = json!({"docker_compose_file": "services:\n  web:\n    image: nginx:1.29\n"});
    assert_eq!(colleague(&world, "PATCH", CVM, another), 465);
    let theirs = newest_token(&world);
    let refused = flow.step("commit").exits(6).says("UPDATE_PENDING");
    assert!(
        refused.json["next"].as_str().unwrap().ends_with("--supersede"),
        "{}",
        refused.said
    );
    let kept = |text: &str| {
        world
            .cloud
            .tokens()
            .iter()
            .any(|token| token.text == text && token.fate == Fate::Live)
    };
    assert!(kept(&theirs), "their token lives on");
    flow.with("commit", &["--supersede"]).exits(0);
    assert!(!kept(&theirs));
    landed_by_a_second_token(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t4_a_token_that_somebody_used_for_us_is_success() {
    for boot in [Duration::from_millis(20), Duration::from_millis(1500)] {
        let world = World::start();
        let flow = Flow::new(&world);
        approved(&flow);
        world.cloud.set_boot_time(boot);
        let body =
            json!({"token": newest_token(&world), "compose_hash": flow.hash, "transaction_hash": "already-registered"});
        assert_eq!(colleague(&world, "POST", &format!("{CVM}/commit-update"), body), 202);
        let adopted = flow.step("commit").exits(0);
        assert_eq!((adopted.effect("commit"), adopted.effect("live")), ("done", "done"));
        flow.landed_once();
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t1_a_dead_token_and_somebody_elses_operation_are_not_taken_for_our_commit() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    world.cloud.advance(15 * DAY);
    world
        .cloud
        .change_cvm(CVM, |cvm| cvm.progress = Some("restart".to_owned()));
    let waits = flow
        .with("commit", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_OPERATION");
    assert_eq!(waits.effect("commit"), "none");
    world.cloud.change_cvm(CVM, |cvm| cvm.progress = None);
    flow.step("commit").exits(6).says("COMMIT_REJECTED_466");
    flow.nothing_committed();
    flow.step("commit").exits(0);
    landed_by_a_second_token(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t5_t6_a_token_file_that_holds_something_else_stops() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    let ours = std::fs::read_to_string(flow.dir.join("token")).unwrap();
    let other = world.add_cvm(2);
    let change = json!({"docker_compose_file": NEW_COMPOSE});
    assert_eq!(colleague(&world, "PATCH", &other.uuid, change), 465);
    for foreign in [newest_token(&world), "not a token".to_owned(), String::new()] {
        std::fs::write(flow.dir.join("token"), &foreign).unwrap();
        let stopped = flow.step("commit").exits(5).says("TOKEN_CHANGED");
        keeps_secrets(&flow, &stopped);
        assert!(foreign.is_empty() || !stopped.said.contains(&foreign));
    }
    assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), 0);
    std::fs::write(flow.dir.join("token"), ours).unwrap();
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t6_a_token_that_is_none_is_an_unusable_answer() {
    let world = World::start();
    let flow = Flow::new(&world);
    for text in ["not-a-uuid", "6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b1", "\u{1b}[2J"] {
        world
            .cloud
            .lie(|lies| lies.edit_prepare = Some(set("commit_token", json!(text))));
        let refused = flow.step("prepare").exits(75).says("PREPARE_UNHEARD");
        assert!(!refused.said.contains(text), "{}", refused.said);
    }
    world.cloud.lie(|lies| lies.edit_prepare = None);
    flow.step("resume").exits(0);
    flow.landed_once();
}

/// Sets the value of one of a 465's details; null takes it away.
fn set(field: &'static str, value: Value) -> crate::support::cloud::Edit {
    std::sync::Arc::new(move |body| {
        let details = body["details"].as_array_mut().unwrap();
        if value.is_null() {
            details.retain(|detail| detail["field"] != field);
        } else if let Some(detail) = details.iter_mut().find(|detail| detail["field"] == field) {
            detail["value"] = value.clone();
        }
    })
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a36_t7_a_second_preparation_with_another_hash_stops_and_an_honest_one_goes_on() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    world.cloud.advance(15 * DAY);
    flow.step("commit").exits(6);
    world
        .cloud
        .lie(|lies| lies.injected_script = Some("#!/bin/bash\necho newer\n".to_owned()));
    let stopped = flow.step("commit").exits(5).says("HASH_CHANGED");
    keeps_secrets(&flow, &stopped);
    flow.nothing_committed();
    world.cloud.lie(|lies| lies.injected_script = None);
    // What the lying cloud prepared is pending for another hash, so replacing it is a decision.
    flow.step("commit").exits(6).says("UPDATE_PENDING");
    flow.with("commit", &["--supersede"]).exits(0);
    landed_by_a_second_token(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn t7_an_approval_that_comes_after_the_token_died_is_committed_with_a_fresh_one() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    world.cloud.advance(15 * DAY);
    let allowed_by = world.allow(flow.hash);
    flow.step("resume").exits(6).says("COMMIT_REJECTED_466");
    let done = flow.step("resume").exits(0);
    assert_eq!(done.fact("transaction_hash"), &json!(allowed_by));
    landed_by_a_second_token(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn h2_a_hash_removed_before_the_commit_is_not_committed() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    world.as_owner(&abi::removeComposeHashCall { composeHash: flow.hash });
    let removed = flow.step("commit").exits(6).says("HASH_REMOVED");
    assert_eq!(removed.effect("commit"), "none");
    assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), 0);
    flow.step("resume").exits(6).says("HASH_REMOVED");
    flow.nothing_committed();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a31_h2_a_hash_removed_while_the_commit_is_on_its_way_is_refused_by_both() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    approved(&flow);
    let gate = proxy.gate(COMMIT, Nth::Only(1), Moment::Arrived);
    let ran = std::thread::scope(|scope| {
        let run = scope.spawn(|| flow.step("commit"));
        gate.wait();
        world.as_owner(&abi::removeComposeHashCall { composeHash: flow.hash });
        gate.open();
        run.join().unwrap()
    });
    let removed = ran.exits(6).says("HASH_REMOVED");
    assert_eq!(removed.fact("vendor_code"), "ERR-01-008");
    assert_eq!(flow.kinds().last().unwrap(), "commit.not");
    flow.nothing_committed();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn h3_a_hash_removed_after_the_commit_is_a_failure_that_is_told() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    let committed = flow.with("commit", &["--no-wait"]).exits(0);
    assert_eq!(committed.effect("commit"), "done");
    world.cloud.wait_for_hash(CVM, flow.hash);
    world.as_owner(&abi::removeComposeHashCall { composeHash: flow.hash });
    let told = flow.step("resume").exits(7).says("COMMITTED_BUT_NOT_ALLOWED");
    assert!(told.json["message"].as_str().unwrap().contains("next boot"));
    flow.committed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a34_an_update_that_never_ends_is_pending_with_its_operation_named() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    world.cloud.set_boot_failure(Some(BootFailure::Never));
    let pending = flow
        .with("commit", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_RESTART");
    assert_eq!((pending.effect("commit"), pending.effect("live")), ("done", "maybe"));
    assert!(pending.fact("correlation_id").as_str().unwrap().starts_with("corr_"));
    assert_eq!(flow.kinds().last().unwrap(), "commit.ok");
    flow.with("resume", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_RESTART");
    world.cloud.change_cvm(CVM, |cvm| {
        (cvm.compose_hash, cvm.status, cvm.progress) = (flow.hash, "running".to_owned(), None);
    });
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a35_a_cvm_that_comes_back_on_its_old_hash_has_failed() {
    let world = World::start();
    let flow = Flow::new(&world);
    let reason = "disk\u{1b}[31m full\n\u{202e}evil";
    // Long enough to be seen away: a CVM that never seems to restart is given half a minute.
    world.cloud.set_boot_time(Duration::from_secs(1));
    world
        .cloud
        .set_boot_failure(Some(BootFailure::Error(reason.to_owned())));
    let failed = flow.step("upgrade").exits(7).says("BOOT_FAILED");
    let message = failed.json["message"].as_str().unwrap();
    assert!(message.contains("corr_") && message.contains("disk"), "{message}");
    assert!(!failed.said.contains(['\u{1b}', '\u{202e}']), "{}", failed.said);
    assert_eq!((failed.effect("commit"), failed.effect("live")), ("done", "maybe"));
    assert_eq!(world.cloud.commits(CVM), vec![flow.hash]);
    assert_eq!(world.cloud.cvm(CVM).compose_hash, world.first_hash);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a9_the_ending_with_two_headers_survives_a_lost_reply() {
    for (fault, first) in [(Action::ResetAfterForward, 0), (Action::ResetAfterRead, 9)] {
        let world = World::start();
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = numbered(&world, &proxy, 1);
        proxy.on(PREPARE, Nth::Only(2), fault);
        flow.with("upgrade", &["--confirm"]).exits(first);
        flow.step("resume").exits(0);
        flow.landed_once();
        assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), 0);
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a9_a_cloud_that_gave_no_token_is_confirmed_and_survives_a_lost_reply() {
    for (fault, first) in [(Action::ResetAfterForward, 0), (Action::ResetAfterRead, 9)] {
        let world = World::start();
        world
            .cloud
            .lie(|lies| lies.edit_prepare = Some(set("commit_token", Value::Null)));
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = numbered(&world, &proxy, 1);
        proxy.on(PREPARE, Nth::Only(2), fault);
        flow.step("upgrade").exits(first);
        flow.step("resume").exits(0);
        flow.landed_once();
        assert!(!flow.dir.join("token").exists());
        assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), 0);
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a29_a_confirmation_that_is_refused_prepares_again() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    let refused = Message::answer(466, &[], "{\"error_code\":\"ERR-01-006\",\"message\":\"expired\"}");
    proxy.on(PREPARE, Nth::Only(2), Action::Answer(refused));
    flow.with("upgrade", &["--confirm"])
        .exits(6)
        .says("COMMIT_REJECTED_466");
    flow.step("resume").exits(0);
    flow.landed_once();
    assert_eq!(world.cloud.tokens().len(), 2, "the cloud was told the change again");
}

/// The same world from another machine's point of view: a folder with the proposal and nothing else.
struct Elsewhere<'a> {
    flow: &'a Flow<'a>,
    folder: std::path::PathBuf,
}

impl<'a> Elsewhere<'a> {
    fn new(flow: &'a Flow<'a>) -> Self {
        let folder = flow.world.folder().join("elsewhere");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(flow.dir.join("proposal.json"), folder.join("proposal.json")).unwrap();
        Self { flow, folder }
    }
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.flow.command(arguments);
        let ran = Ran::of(command.args(["proposal.json", "--json"]).current_dir(&self.folder));
        keeps_secrets(self.flow, &ran);
        ran
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_proposal_alone_is_enough_to_wait_and_to_commit_with_the_identical_hash() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let there = Elsewhere::new(&flow);
    there.run(&["wait"]).exits(0);
    assert_eq!(
        there.run(&["commit"]).exits(6).says("TOKEN_EXPIRED").effect("commit"),
        "none"
    );
    assert_eq!(world.cloud.tokens().len(), 1);
    let done = there.run(&["commit", "--yes"]).exits(0);
    assert_eq!(done.fact("compose_hash"), &json!(flow.hash));
    landed_by_a_second_token(&flow);
    // The machine that began it finds it done.
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a36_a_proposal_whose_change_gives_another_hash_by_now_is_not_committed() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let there = Elsewhere::new(&flow);
    there.run(&["wait"]).exits(0);
    world
        .cloud
        .lie(|lies| lies.injected_script = Some("#!/bin/sh\n".to_owned()));
    there.run(&["commit", "--yes"]).exits(5).says("HASH_CHANGED");
    flow.nothing_committed();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_commit_that_two_machines_send_at_once_lands_once() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let there = Elsewhere::new(&flow);
    there.run(&["wait"]).exits(0);
    flow.step("wait").exits(0);
    let exits = std::thread::scope(|scope| {
        let here = scope.spawn(|| flow.step("commit"));
        let far = scope.spawn(|| there.run(&["commit", "--yes"]));
        [here.join().unwrap(), far.join().unwrap()].map(|ran| ran.exit)
    });
    assert!(
        exits.iter().all(|exit| [0, 6].contains(exit)) && exits.contains(&0),
        "{exits:?}"
    );
    flow.landed_once();
    flow.step("resume").exits(0);
    there.run(&["resume", "--yes"]).exits(0);
    flow.landed_once();
    until("no operation", || world.cloud.cvm(CVM).progress.is_none().then_some(()));
    assert!(world.cloud.requests_to("PATCH", CVM).len() <= 3);
}
