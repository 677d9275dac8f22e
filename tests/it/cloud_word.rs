//! What Phala Cloud says of a commit, and of the hash that runs, is its word: called so, looked at again, taken back where it
//! was false. Judged by the simulated cloud's own state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::B256;
use serde_json::{Value, json};

use crate::cloud_faults::{COMMIT, keeps_secrets, numbered};
use crate::flow::{Flow, Ran};
use crate::support::cloud::{Edit, Fate};
use crate::support::world::CVM;
use crate::support::{Action, FaultProxy, Match, Message, Nth, World};

/// The list of a CVM's operations.
const OPERATIONS: Match = Match::Http("GET", "/operations");
/// What the cloud says of a token.
const TOKEN: Match = Match::Http("GET", "/commit-update");

/// The next `looks` records of a CVM say that it runs `hash`.
fn reports(hash: B256, looks: usize) -> Edit {
    let left = AtomicUsize::new(looks);
    Arc::new(move |record| {
        let take = |left: usize| left.checked_sub(1);
        if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            record["compose_hash"] = json!(hex::encode(hash));
            record["status"] = json!("running");
            record["progress"] = Value::Null;
        }
    })
}

fn answer(status: u16, body: &Value) -> Action {
    Action::Answer(Message::answer(
        status,
        &[("content-type", "application/json")],
        body.to_string(),
    ))
}

/// An answer to a commit by somebody who does nothing.
fn accepted() -> Action {
    answer(
        202,
        &json!({"vm_uuid": "x", "correlation_id": "corr_lie", "status": "in_progress"}),
    )
}

/// Everything up to the proof.
fn approved(flow: &Flow<'_>) {
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
}

/// The token that the cloud would still take is still here, if there is one.
#[track_caller]
fn keeps_its_token(flow: &Flow<'_>, ran: &Ran) {
    let tokens = flow.world.cloud.tokens();
    let ours = tokens.iter().rev().find(|token| token.hash == flow.hash).unwrap();
    if ours.fate == Fate::Live {
        let kept = std::fs::read_to_string(flow.dir.join("token")).unwrap_or_default();
        assert_eq!(kept.trim(), ours.text, "the token is lost: {}", ran.said);
    }
}

/// The CVM runs our hash by one commit, and everything says so.
#[track_caller]
fn is_live(flow: &Flow<'_>) {
    flow.world.cloud.wait_for_hash(CVM, flow.hash);
    let commits = flow.world.cloud.commits(CVM);
    assert_eq!(commits.iter().filter(|hash| **hash == flow.hash).count(), 1, "commits");
    let status = flow.step("status").exits(0);
    assert_eq!(status.effect("live"), "done", "{}", status.said);
}

fn evidence(flow: &Flow<'_>) -> (Value, String) {
    let text = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    (flow.json_file("evidence.json"), text)
}

#[test]
fn se2_p1_what_is_only_reported_is_the_clouds_word_and_costs_no_token() {
    for rerun in ["commit", "resume", "upgrade"] {
        let world = World::start();
        let flow = Flow::new(&world);
        approved(&flow);
        world.cloud.lie(|lies| lies.edit_cvm = Some(reports(flow.hash, 2)));
        let first = flow.step("commit").exits(0);
        assert!(first.said.contains("Phala Cloud"), "{}", first.said);
        assert!(!first.said.contains("the commit was accepted"), "{}", first.said);
        assert_eq!(first.effect("commit"), "maybe");
        flow.nothing_committed();
        keeps_its_token(&flow, &first);
        let (json, text) = evidence(&flow);
        assert!(
            json["committed_at"].is_null() && json["found_running_at"].is_string(),
            "{json}"
        );
        assert_eq!(json["live_says"], "Phala Cloud");
        assert!(
            text.contains("as Phala Cloud says") && text.contains("no answer to a commit"),
            "{text}"
        );
        let status = flow.step("status").exits(0);
        assert_eq!(status.effect("live"), "none", "{}", status.said);
        assert!(status.said.contains("CVM_RUNS_ANOTHER"), "{}", status.said);
        let second = flow.step(rerun).exits(0);
        keeps_secrets(&flow, &second);
        flow.landed_once();
        is_live(&flow);
        assert!(evidence(&flow).0["committed_at"].is_string());
        assert!(!flow.dir.join("token").exists(), "it is of no use any more");
    }
}

#[test]
fn se2_p1_a_202_without_an_effect_is_settled_with_the_token_still_there() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    approved(&flow);
    proxy.on(COMMIT, Nth::Only(1), accepted());
    let first = flow.step("commit").exits(75).says("COMMIT_WITHOUT_EFFECT");
    assert_eq!((first.effect("commit"), first.effect("live")), ("none", "none"));
    keeps_its_token(&flow, &first);
    flow.step("commit").exits(0);
    is_live(&flow);
    assert!(!flow.dir.join("token").exists());
}

#[test]
fn se2_p1_one_false_reading_on_the_way_is_gone_on_from_in_the_same_run() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    world.cloud.lie(|lies| lies.edit_cvm = Some(reports(flow.hash, 1)));
    flow.step("commit").exits(0);
    flow.landed_once();
    is_live(&flow);
}

#[test]
fn se2_p1_a_boot_that_failed_is_no_commit_without_an_effect() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    world
        .cloud
        .set_boot_failure(Some(crate::support::BootFailure::Error("no keys".to_owned())));
    for _ in 0..2 {
        flow.step("commit").exits(7).says("BOOT_FAILED");
    }
    assert_eq!(world.cloud.commits(CVM), vec![flow.hash]);
}

#[test]
fn se2_p1_an_upgrade_that_something_replaced_is_not_made_again() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    let first = world.first_hash;
    world.cloud.change_cvm(CVM, |cvm| cvm.compose_hash = first);
    let asked = world.cloud.requests_to("POST", "/commit-update").len();
    for step in ["commit", "resume"] {
        let ran = flow.step(step).exits(0);
        assert!(ran.said.contains("CVM_RUNS_ANOTHER"), "{}", ran.said);
    }
    assert_eq!(flow.step("status").effect("live"), "none");
    assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), asked);
    assert_eq!(world.cloud.commits(CVM), vec![flow.hash]);
}

#[test]
fn se2_p1_an_order_that_a_list_calls_done_is_called_the_clouds_word() {
    let world = World::start();
    let flow = Flow::new(&world);
    let ran = Ran::of(&mut flow.command(&["cvm", "restart", "--cvm", CVM, "--wait", "--yes", "--json"])).exits(0);
    assert!(
        ran.said.contains("as Phala Cloud says, it was carried out"),
        "{}",
        ran.said
    );
}

#[test]
fn se2_s2_a_deadline_cuts_a_request_that_drips() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let mut flow = numbered(&world, &proxy, 1);
    flow.env.retain(|(name, _)| name != "COUNTERSIGN_REQUEST_MS");
    approved(&flow);
    let drip = Action::Drip(std::time::Duration::from_secs(1));
    proxy.on(Match::Http("GET", "/cvms/"), Nth::Every, drip);
    let before = proxy.seen().len();
    flow.with("commit", &["--timeout", "1s"]).exits(75).says("NET_TIMEOUT");
    assert_eq!(proxy.seen().len() - before, 1, "one request, and no time for another");
    let restart = [
        "cvm",
        "restart",
        "--cvm",
        CVM,
        "--wait",
        "--timeout",
        "1s",
        "--yes",
        "--json",
    ];
    let before = proxy.seen().len();
    Ran::of(&mut flow.command(&restart)).exits(75).says("NET_TIMEOUT");
    assert_eq!(proxy.seen().len() - before, 1, "one request, and no time for another");
}

/// What is false at a commit: what answers it, what the CVM's record says how often, what the list of operations and the
/// server say of the token.
#[derive(Debug, Clone, Copy)]
struct Lie {
    commit: &'static str,
    record: usize,
    operations: &'static str,
    token: &'static str,
}

/// Every combination; each record lies so often from the commit on.
fn lies() -> Vec<Lie> {
    let mut all = Vec::new();
    for commit in ["honest", "202", "202 for ever", "lost", "unheard", "409", "466", "500"] {
        for record in [0, 1, 2, 3, usize::MAX] {
            for operations in ["honest", "completed", "failed", "empty", "refused"] {
                for token in ["honest", "used", "live"] {
                    all.push(Lie {
                        commit,
                        record,
                        operations,
                        token,
                    });
                }
            }
        }
    }
    all
}

impl Lie {
    fn begin(self, flow: &Flow<'_>, proxy: &FaultProxy) {
        let problem = |status| {
            answer(
                status,
                &json!({"error_code": "ERR-01-006", "message": "no", "details": []}),
            )
        };
        match self.commit {
            "202" => proxy.on(COMMIT, Nth::Only(1), accepted()),
            "202 for ever" => proxy.on(COMMIT, Nth::Every, accepted()),
            "lost" => proxy.on(COMMIT, Nth::Only(1), Action::ResetAfterForward),
            "unheard" => proxy.on(COMMIT, Nth::Only(1), Action::ResetAfterRead),
            "409" => proxy.on(COMMIT, Nth::Only(1), answer(409, &json!({"detail": "busy"}))),
            "466" => proxy.on(COMMIT, Nth::Only(1), problem(466)),
            "500" => proxy.on(COMMIT, Nth::Only(1), answer(500, &json!({"detail": "no"}))),
            _ => {}
        }
        let list = |status: &str| {
            let one = json!({"correlation_id": "corr_lie", "status": status, "error_message": "no"});
            answer(200, &json!({"items": [one], "next_cursor": null, "total": 1}))
        };
        match self.operations {
            "empty" => proxy.on(OPERATIONS, Nth::Every, answer(200, &json!({"items": [], "total": 0}))),
            "refused" => proxy.on(OPERATIONS, Nth::Every, answer(403, &json!({"detail": "no"}))),
            "honest" => {}
            status => proxy.on(OPERATIONS, Nth::Every, list(status)),
        }
        match self.token {
            "honest" => {}
            status => proxy.on(TOKEN, Nth::Every, answer(200, &json!({"status": status}))),
        }
        let (hash, looks) = (flow.hash, self.record);
        flow.world.cloud.lie(|lies| lies.edit_cvm = Some(reports(hash, looks)));
    }

    /// Whether somebody has to have lied about all three, again and again, for the token to go.
    fn is_consistent(self) -> bool {
        let used = self.operations == "completed" || self.token == "used";
        self.commit.starts_with("202") && used && self.record == usize::MAX || self.token == "used" && self.record > 2
    }

    /// One upgrade whose commit meets it, and an honest cloud afterwards.
    fn judge(self, world: &World, number: usize) {
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = numbered(world, &proxy, number);
        approved(&flow);
        self.begin(&flow, &proxy);
        let lied = flow.with("commit", &["--timeout", "9s"]);
        keeps_secrets(&flow, &lied);
        assert!([0, 6, 7, 8, 9, 75].contains(&lied.exit), "{self:?}: {}", lied.said);
        if !self.is_consistent() {
            keeps_its_token(&flow, &lied);
        }
        proxy.heal();
        world.cloud.lie(|lies| lies.edit_cvm = None);
        let mut said = Vec::new();
        for _ in 0..5 {
            let ran = flow.step("resume");
            let runs = world.cloud.cvm(CVM).compose_hash == flow.hash;
            assert!(ran.exit != 0 || runs, "{self:?}: a false live stands: {}", ran.said);
            said.push(ran.said);
            if ran.exit == 0 {
                break;
            }
        }
        let commits = world.cloud.commits(CVM);
        let ours = commits.iter().filter(|hash| **hash == flow.hash).count();
        let runs = world.cloud.cvm(CVM).compose_hash;
        assert_eq!(
            (ours, runs),
            (1, flow.hash),
            "{self:?}: {}\n{}",
            lied.said,
            said.join("\n")
        );
    }
}

#[test]
fn se2_p1_whatever_lies_at_a_commit_one_takes_effect_and_no_false_live_stands() {
    let all = lies();
    let thorough = std::env::var_os("COUNTERSIGN_THOROUGH").is_some();
    // Of the sample none waits for a grace to pass.
    let sample = |lie: &Lie| matches!(lie.commit, "honest" | "lost" | "unheard" | "466" | "409") && lie.token != "used";
    let chosen: Vec<Lie> = match thorough {
        true => all,
        false => all.into_iter().filter(sample).step_by(23).collect(),
    };
    let world = World::start();
    for (number, lie) in chosen.into_iter().enumerate() {
        lie.judge(&world, number + 1);
    }
}
