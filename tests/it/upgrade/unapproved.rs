//! A CVM that no KMS on a chain guards: what can be had without an approval, and the change that Phala Cloud applies at once.
//! Nothing is applied twice, whatever is lost or dies.

use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::B256;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{self, command, each, ended, spawn};
use crate::support::cloud::BootFailure;
use crate::support::world::{CVM, WorldOptions};
use crate::support::{Action, FaultProxy, Match, Moment, Nth, World};

const APPLY: &str = "--without-approval";

fn unguarded() -> World {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    world.forget_the_kms();
    world
}

/// Applies the change; with `--yes`.
fn apply(flow: &Flow<'_>) -> Ran {
    flow.with("upgrade", &[APPLY])
}

fn warned<'r>(ran: &'r Ran, code: &str) -> &'r str {
    let all = ran.json["warnings"].as_array().unwrap();
    let one = all.iter().find(|warning| warning["code"] == code);
    one.unwrap_or_else(|| panic!("no {code}: {}", ran.said))["text"]
        .as_str()
        .unwrap()
}

#[track_caller]
fn only_reads(world: &World) {
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    assert_eq!(world.cloud.commits(CVM), Vec::<B256>::new());
}

#[test]
fn a_plan_shows_the_recomputed_hash_and_that_nobody_approves_and_names_what_applies_it() {
    let world = unguarded();
    let flow = Flow::new(&world);
    let plan = flow.step("plan").exits(0);
    assert_eq!(plan.fact("compose_hash"), &json!(flow.hash), "{}", plan.said);
    assert_eq!(
        plan.fact("previous_compose_hash"),
        &json!(world.first_hash),
        "{}",
        plan.said
    );
    assert!(
        warned(&plan, "KMS_OFFCHAIN").contains("nobody approves"),
        "{}",
        plan.said
    );
    assert!(plan.json["next"].as_str().unwrap().contains(APPLY), "{}", plan.said);
    assert_eq!(plan.json["data"]["code"]["changes"][0]["field"], "docker_compose_file");
    let words = ["plan", "--cvm", CVM, "-c", flow.compose.to_str().unwrap()];
    let page = crate::support::command::run(&mut flow.command(&words));
    let page = String::from_utf8(page.stdout).unwrap();
    for part in ["nginx:1.28", "nobody", &flow.hash.to_string()] {
        assert!(page.contains(part), "{part}: {page}");
    }
    only_reads(&world);
}

#[test]
fn what_asks_for_an_approval_goes_on_refusing_and_names_what_does_without() {
    let world = unguarded();
    let flow = Flow::new(&world);
    let compose = flow.compose.to_str().unwrap();
    let fleet = [
        "fleet", "prepare", "--cvm", CVM, "-c", compose, "--dir", "fleet", "--json",
    ];
    for refused in [
        flow.step("prepare"),
        flow.step("upgrade"),
        Ran::of(&mut flow.command(&fleet)),
    ] {
        let refused = refused.exits(6).says("KMS_OFFCHAIN");
        let hint = refused.json["hint"].as_str().unwrap();
        assert!(
            hint.contains("countersign upgrade --without-approval"),
            "{}",
            refused.said
        );
    }
    only_reads(&world);
    assert!(!flow.dir.exists(), "nothing is begun");
}

#[test]
fn it_is_applied_once_with_consent_and_known_again_by_the_next_run() {
    let world = unguarded();
    let flow = Flow::new(&world);
    let done = apply(&flow).exits(0);
    let message = done.json["message"].as_str().unwrap();
    assert!(message.contains("nobody approved anything"), "{}", done.said);
    assert!(done.json["data"]["approved_by"].is_null(), "{}", done.said);
    assert_eq!(done.fact("compose_hash"), &json!(flow.hash), "{}", done.said);
    flow.committed_once();
    let patches = world.cloud.requests_to("PATCH", "");
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0].header("x-prepare-only"), None);
    for _ in 0..2 {
        let again = apply(&flow).exits(0);
        assert_eq!(again.json["data"]["earlier"], true, "{}", again.said);
    }
    flow.committed_once();
    assert_eq!(flow.announcements(), 0, "no chain was asked for anything");
}

#[test]
fn a_cvm_that_a_contract_guards_is_no_case_for_it() {
    let world = World::start();
    let flow = Flow::new(&world);
    apply(&flow).exits(2).says("USAGE_KMS_ONCHAIN");
    only_reads(&world);
    assert!(!flow.dir.exists());
    // Phala Cloud says that none does, and somebody knows better: a contract was named.
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(Arc::new(|record: &mut Value| {
            for name in [
                "chain_id",
                "kms_contract_address",
                "dstack_kms_address",
                "dstack_app_address",
            ] {
                record["kms_info"][name] = Value::Null;
            }
        }));
    });
    apply(&flow).exits(5).says("KMS_MISMATCH");
    only_reads(&world);
    // Nobody knows better, and Phala Cloud asks for an approval all the same.
    world.forget_the_kms();
    apply(&flow).exits(6).says("HASH_REQUIRED");
    assert_eq!(world.cloud.commits(CVM), Vec::<B256>::new());
}

#[test]
fn nobody_is_taken_to_agree_and_yes_answers_no_decision() {
    let world = unguarded();
    let flow = Flow::new(&world);
    let compose = flow.compose.to_str().unwrap();
    let dir = flow.dir.to_str().unwrap();
    let silent = ["upgrade", "--cvm", CVM, "-c", compose, "--dir", dir, APPLY, "--json"];
    Ran::of(&mut flow.command(&silent)).exits(2).says("USAGE_CONSENT");
    only_reads(&world);
    let digests = flow.with("upgrade", &[APPLY, "--require-digests"]);
    digests.exits(6).says("DIGEST_REQUIRED");
    only_reads(&world);
    // No known form gives the hash that Phala Cloud says runs.
    let other = B256::repeat_byte(0x77);
    world.cloud.change_cvm(CVM, |cvm| cvm.compose_hash = other);
    apply(&flow).exits(6).says("HASH_UNVERIFIABLE");
    only_reads(&world);
    let agreed = format!("HASH_UNVERIFIABLE={other}");
    flow.with("upgrade", &[APPLY, "--accept", &agreed]).exits(0);
    flow.committed_once();
}

#[test]
fn values_are_sealed_for_no_key_that_nobody_vouches_for() {
    let world = unguarded();
    let flow = Flow::new(&world);
    let env = world.file("values.env", "TOKEN=1\n");
    let more = [APPLY, "--env-file", env.to_str().unwrap()];
    flow.with("upgrade", &more).exits(6).says("ENV_KMS_UNKNOWN");
    only_reads(&world);
}

#[test]
fn another_hash_than_the_files_give_is_told_as_what_runs_now() {
    let world = unguarded();
    world
        .cloud
        .lie(|lies| lies.injected_script = Some("#!/bin/sh\necho more\n".to_owned()));
    let flow = Flow::new(&world);
    let stopped = apply(&flow).exits(5).says("HASH_MISMATCH");
    assert!(stopped.said.contains("nobody approved it"), "{}", stopped.said);
    assert_eq!(world.cloud.commits(CVM).len(), 1);
}

#[test]
fn an_operation_that_fails_or_takes_longer_is_neither_called_done_nor_sent_again() {
    let world = unguarded();
    world.cloud.set_boot_time(Duration::from_secs(3600));
    let flow = Flow::new(&world);
    flow.with("upgrade", &[APPLY, "--timeout", "1s"])
        .exits(8)
        .says("PENDING_OPERATION");
    world.cloud.set_boot_time(Duration::ZERO);
    let later = apply(&flow).exits(0);
    assert_eq!(later.json["data"]["earlier"], true, "{}", later.said);
    flow.committed_once();

    let world = unguarded();
    world
        .cloud
        .set_boot_failure(Some(BootFailure::Error("no room".to_owned())));
    let flow = Flow::new(&world);
    let failed = apply(&flow).exits(7).says("OPERATION_FAILED");
    assert!(failed.said.contains("no room"), "{}", failed.said);
    world.cloud.set_boot_failure(None);
    apply(&flow).exits(0);
    assert_eq!(world.cloud.cvm(CVM).compose_hash, flow.hash);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_death_at_any_write_is_followed_by_a_run_that_applies_it_once() {
    each(&["apply.a", "apply.b", "apply.d", "apply.e"], |point| {
        let world = unguarded();
        let flow = Flow::new(&world);
        let mut run = command(&flow, "upgrade", &[APPLY]);
        let output = run.env("FAILPOINTS", format!("{point}=return")).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{point}");
        let sent = usize::from(["apply.d", "apply.e"].contains(point));
        assert_eq!(world.cloud.commits(CVM).len(), sent, "{point}");
        let again = apply(&flow).exits(0);
        assert_eq!(again.json["data"]["earlier"], sent == 1, "{point}: {}", again.said);
        flow.committed_once();
    });
}

#[test]
fn a_death_in_flight_is_settled_by_reading_whether_or_not_the_server_did_it() {
    let slow = [Duration::ZERO, Duration::from_millis(300)];
    let cases = [Moment::Arrived, Moment::Served].map(|moment| slow.map(|time| (moment, time)));
    each(cases.as_flattened(), |(moment, time)| {
        let world = unguarded();
        world.cloud.set_boot_time(*time);
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = Flow::new(&world).cloud_at(&proxy.prefix());
        let gate = proxy.gate(Match::Http("PATCH", "/cvms/"), Nth::Only(1), *moment);
        let mut child = spawn(&flow, "upgrade", &[APPLY]);
        gate.wait();
        child.kill().unwrap();
        ended(child);
        gate.cut();
        apply(&flow).exits(0);
        flow.committed_once();
    });
}

#[test]
fn an_answer_that_was_lost_is_settled_by_reading_and_never_sent_again_by_itself() {
    let world = unguarded();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    let patch = || Match::Http("PATCH", "/cvms/");
    proxy.on(patch(), Nth::Every, Action::ResetAfterForward);
    apply(&flow).exits(0);
    flow.committed_once();

    let world = unguarded();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    proxy.on(patch(), Nth::Every, Action::ResetAfterRead);
    let unknown = apply(&flow).exits(9).says("APPLY_UNKNOWN");
    assert_eq!((unknown.effect("commit"), unknown.effect("live")), ("maybe", "maybe"));
    assert_eq!(world.cloud.commits(CVM), Vec::<B256>::new());
    proxy.heal();
    apply(&flow).exits(0);
    flow.committed_once();
    assert!(judge::is_thorough() || proxy.requests() > 0);
}

#[test]
fn what_was_applied_and_undone_is_applied_again() {
    let world = unguarded();
    let flow = Flow::new(&world);
    let other = world.file("other.yml", "services:\n  web:\n    image: nginx:1.27\n");
    let to = |file: &str| {
        let words = ["upgrade", "--cvm", CVM, "-c", file, APPLY, "--yes", "--json"];
        Ran::of(&mut flow.command(&words)).exits(0)
    };
    let at_once = |file: &str| {
        let words = [
            "upgrade",
            "--cvm",
            CVM,
            "-c",
            file,
            APPLY,
            "--yes",
            "--json",
            "--no-wait",
        ];
        Ran::of(&mut flow.command(&words)).exits(0)
    };
    let (one, other) = (flow.compose.to_str().unwrap(), other.to_str().unwrap());
    // One whose end nobody waited for is over as well, once something else was applied.
    at_once(one);
    world.cloud.wait_for_hash(CVM, flow.hash);
    to(other);
    world.cloud.forget_requests();
    for (round, file) in [one, other, one, other].into_iter().enumerate() {
        let went = to(file);
        assert_eq!((went.effect("commit"), went.effect("live")), ("done", "done"));
        assert_eq!(went.json["data"]["earlier"], json!(false), "{}", went.said);
        assert_eq!(world.cloud.requests_to("PATCH", CVM).len(), round + 1);
        // The same once more sends nothing.
        assert_eq!(to(file).json["data"]["earlier"], json!(true));
        assert_eq!(world.cloud.requests_to("PATCH", CVM).len(), round + 1);
    }
}
