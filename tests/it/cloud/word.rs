//! What Phala Cloud says of a commit, and of the hash that runs, is its word: called so, looked at again, taken back where it
//! was false. Judged by the simulated cloud's own state.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::B256;
use serde_json::{Value, json};

use crate::cloud::faults::{COMMIT, PREPARE, keeps_secrets, numbered};
use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{each, moved, say};
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
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
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
            json["said"]["cloud"]["committed_at"].is_null() && json["said"]["cloud"]["found_running_at"].is_string(),
            "{json}"
        );
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
        assert!(evidence(&flow).0["said"]["cloud"]["committed_at"].is_string());
        assert!(!flow.dir.join("token").exists(), "it is of no use any more");
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
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
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
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
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
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
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
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
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
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
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
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
/// server say of the token; and whether all that goes on while the run after it settles what became of the commit.
#[derive(Debug, Clone, Copy)]
struct Lie {
    commit: &'static str,
    record: usize,
    operations: &'static str,
    token: &'static str,
    goes_on: bool,
}

/// Every combination; each record lies so often from the commit on.
fn lies() -> Vec<Lie> {
    let mut all = Vec::new();
    for commit in ["honest", "202", "202 for ever", "lost", "unheard", "409", "466", "500"] {
        for record in [0, 1, 2, 3, usize::MAX] {
            for operations in ["honest", "completed", "failed", "empty", "refused"] {
                for token in ["honest", "used", "live"] {
                    for goes_on in [false, true] {
                        all.push(Lie {
                            commit,
                            record,
                            operations,
                            token,
                            goes_on,
                        });
                    }
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
        let mut said = vec![lied.said];
        if self.goes_on {
            let settled = flow.with("resume", &["--timeout", "9s"]);
            keeps_secrets(&flow, &settled);
            assert!(
                [0, 6, 7, 8, 9, 75].contains(&settled.exit),
                "{self:?}: {}",
                settled.said
            );
            if !self.is_consistent() {
                keeps_its_token(&flow, &settled);
            }
            said.push(settled.said);
        }
        proxy.heal();
        world.cloud.lie(|lies| lies.edit_cvm = None);
        // Where everything said so again and again, the token went; then it is said, and the change is made anew.
        let ran = flow.step("resume");
        if self.is_consistent() && ran.exit == 6 && ran.said.contains("CVM_RUNS_ANOTHER") {
            assert_eq!(flow.step("status").effect("live"), "none");
            let anew = moved(&flow, world.folder().join(format!("anew-{number}")));
            return comes_to_its_end(&anew, said);
        }
        said.push(ran.said);
        comes_to_its_end(&flow, said);
    }
}

/// With an honest cloud a few runs make the CVM run the hash, by one commit.
#[track_caller]
fn comes_to_its_end(flow: &Flow<'_>, mut said: Vec<String>) {
    let cloud = &flow.world.cloud;
    for _ in 0..6 {
        // What an earlier case left pending at the cloud ends by it.
        let ran = match flow.dir.join("journal").exists() {
            true => flow.step("resume"),
            false => flow.with("upgrade", &["--supersede"]),
        };
        let runs = cloud.cvm(CVM).compose_hash == flow.hash;
        assert!(ran.exit != 0 || runs, "a false live stands: {}", ran.said);
        said.push(ran.said);
        if ran.exit == 0 {
            break;
        }
    }
    let ours = cloud.commits(CVM).iter().filter(|hash| **hash == flow.hash).count();
    let seen = (ours, flow.announcements(), cloud.cvm(CVM).compose_hash);
    assert_eq!(seen, (1, 1, flow.hash), "{}", said.join("\n"));
}

/// What is false at a prepare: what answers it, what the CVM's record says how often, and the list of what is pending.
#[derive(Debug, Clone, Copy)]
struct EarlyLie {
    answer: &'static str,
    record: usize,
    pending: &'static str,
}

/// What the app's list of pending updates answers.
const PENDING: Match = Match::Http("GET", "/pending-updates");

fn early_lies() -> Vec<EarlyLie> {
    let answers = [
        "honest",
        "lost",
        "lost for ever",
        "unheard",
        "409",
        "500",
        "200",
        "466",
        "another hash",
        "another app",
        "another chain",
        "another KMS",
        "another device",
        "a stranger's link",
        "no token",
        "a false token",
        "no fields",
    ];
    let mut all = Vec::new();
    for answer in answers {
        for record in [0, 1, 2, usize::MAX] {
            for pending in ["honest", "empty", "refused", "another"] {
                all.push(EarlyLie {
                    answer,
                    record,
                    pending,
                });
            }
        }
    }
    all
}

/// Replaces what a 465 says of a field; `None` takes it out.
fn says(name: &'static str, value: Option<Value>) -> Edit {
    Arc::new(move |body| {
        let Some(details) = body["details"].as_array_mut() else {
            return;
        };
        details.retain(|one| value.is_some() || one["field"] != name);
        for one in details.iter_mut().filter(|one| one["field"] == name) {
            one["value"] = value.clone().unwrap_or_default();
        }
    })
}

impl EarlyLie {
    fn begin(self, flow: &Flow<'_>, proxy: &FaultProxy) {
        let other = B256::repeat_byte(0x66);
        let cloud = &flow.world.cloud;
        match self.answer {
            "lost" => proxy.on(PREPARE, Nth::Only(1), Action::ResetAfterForward),
            "lost for ever" => proxy.on(PREPARE, Nth::Every, Action::ResetAfterForward),
            "unheard" => proxy.on(PREPARE, Nth::Only(1), Action::ResetAfterRead),
            "409" => proxy.on(PREPARE, Nth::Only(1), answer(409, &json!({"detail": "busy"}))),
            "500" => proxy.on(PREPARE, Nth::Only(1), answer(500, &json!({"detail": "no"}))),
            "466" => proxy.on(
                PREPARE,
                Nth::Only(1),
                answer(466, &json!({"error_code": "ERR-01-006", "message": "no"})),
            ),
            "200" => {
                let made = json!({"vm_uuid": "x", "correlation_id": "corr_lie", "status": "in_progress"});
                proxy.on(PREPARE, Nth::Only(1), answer(200, &made));
            }
            "another hash" => cloud.lie(|lies| lies.hash = Some(hex::encode(other))),
            "another app" => cloud.lie(|lies| lies.app_id = Some("66".repeat(20))),
            "another chain" => {
                cloud.lie(|lies| lies.edit_prepare = Some(says("kms_info", Some(json!({"chain_id": 1})))))
            }
            "another KMS" => cloud.lie(|lies| {
                let kms = json!({"chain_id": 31337, "kms_contract_address": format!("0x{}", "66".repeat(20))});
                lies.edit_prepare = Some(says("kms_info", Some(kms)));
            }),
            "another device" => cloud.lie(|lies| lies.device_id = Some(json!(hex::encode(other)))),
            "a stranger's link" => cloud.lie(|lies| lies.commit_host = Some("https://evil.example".to_owned())),
            "no token" => cloud.lie(|lies| lies.edit_prepare = Some(says("commit_token", None))),
            "a false token" => cloud.lie(|lies| {
                lies.edit_prepare = Some(says(
                    "commit_token",
                    Some(json!("00000000-0000-4000-8000-000000000000")),
                ));
            }),
            "no fields" => proxy.on(
                PREPARE,
                Nth::Only(1),
                answer(465, &json!({"error_code": "ERR-01-005", "details": []})),
            ),
            _ => {}
        }
        let list = json!([{"compose_hash": hex::encode(other), "on_chain": false}]);
        match self.pending {
            "empty" => proxy.on(PENDING, Nth::Every, answer(200, &json!([]))),
            "refused" => proxy.on(PENDING, Nth::Every, answer(403, &json!({"detail": "no"}))),
            "another" => proxy.on(PENDING, Nth::Every, answer(200, &list)),
            _ => {}
        }
        let (hash, looks) = (flow.hash, self.record);
        cloud.lie(|lies| lies.edit_cvm = Some(reports(hash, looks)));
    }

    /// One upgrade whose preparation meets it, and an honest cloud afterwards.
    fn judge(self, world: &World, number: usize) {
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = numbered(world, &proxy, number);
        self.begin(&flow, &proxy);
        let lied = flow.with("prepare", &["--timeout", "4s"]);
        keeps_secrets(&flow, &lied);
        let applied = lied.exit == 7 && self.answer == "200" && lied.said.contains("Phala Cloud says");
        assert!(applied || [0, 4, 5, 6, 8, 75].contains(&lied.exit), "{}", lied.said);
        let done = (flow.announcements(), world.cloud.commits(CVM).contains(&flow.hash));
        assert_eq!(done, (0, false), "{}", lied.said);
        // What was taken for prepared is what the cloud would run by it, and the token is the one that it takes.
        if lied.exit == 0 && !self.answer.contains("token") {
            keeps_its_token(&flow, &lied);
        }
        proxy.heal();
        world.cloud.lie(|lies| *lies = Default::default());
        comes_to_its_end(&flow, vec![lied.said]);
    }
}

/// Every case in a number of worlds at once, each world in turn for some of them; all that fails is told in the end.
fn judged<T: Copy + Sync + std::fmt::Debug>(all: &[T], judge: impl Fn(T, &World, usize) + Sync) {
    let began = std::time::Instant::now();
    let wrong = std::sync::Mutex::new(Vec::new());
    let some: Vec<&[T]> = all.chunks(16).collect();
    each(&some, |some| {
        let mut world = World::start();
        for (number, one) in some.iter().enumerate() {
            let run = std::panic::AssertUnwindSafe(|| judge(*one, &world, number + 1));
            if let Err(why) = std::panic::catch_unwind(run) {
                let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                wrong.lock().unwrap().push(format!("{one:?}: {why}"));
                world = World::start();
            }
        }
    });
    let wrong = wrong.into_inner().unwrap();
    say(&format!(
        "{} cases in {:?}, {} wrong",
        all.len(),
        began.elapsed(),
        wrong.len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// All of them, a part of them such as `0-100`, or the sample that every run of the tests makes.
fn chosen<T>(all: Vec<T>, sample: impl Fn(Vec<T>) -> Vec<T>) -> Vec<T> {
    let Ok(wanted) = std::env::var("COUNTERSIGN_THOROUGH") else {
        return sample(all);
    };
    let part = wanted.split_once('-');
    match part.and_then(|(from, to)| Some((from.parse::<usize>().ok()?, to.parse::<usize>().ok()?))) {
        Some((from, to)) => all.into_iter().take(to).skip(from).collect(),
        None => all,
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn se2_p1_whatever_lies_at_a_commit_one_takes_effect_and_no_false_live_stands() {
    // Of the sample none waits for a grace to pass.
    let quick = |lie: &Lie| matches!(lie.commit, "honest" | "lost" | "unheard" | "466" | "409") && lie.token != "used";
    let sample = |all: Vec<Lie>| all.into_iter().filter(quick).step_by(23).collect();
    judged(&chosen(lies(), sample), Lie::judge);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn se2_p1_whatever_lies_at_a_prepare_nothing_is_lost_and_one_commit_takes_effect() {
    let sample = |all: Vec<EarlyLie>| all.into_iter().step_by(19).collect();
    judged(&chosen(early_lies(), sample), EarlyLie::judge);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn fr2_2_a_commit_that_is_carried_out_and_refused_for_its_token_is_not_sent_again_unasked() {
    for token in ["honest", "nobody tells", "expired"] {
        let world = World::start();
        let proxy = FaultProxy::to(&world.cloud.prefix());
        let flow = numbered(&world, &proxy, 1);
        approved(&flow);
        proxy.on(COMMIT, Nth::Every, Action::ForwardThenStatus(466));
        proxy.on(OPERATIONS, Nth::Every, answer(200, &json!({"items": [], "total": 0})));
        match token {
            "nobody tells" => proxy.on(TOKEN, Nth::Every, answer(404, &json!({"detail": "no"}))),
            "expired" => proxy.on(TOKEN, Nth::Every, answer(200, &json!({"status": "expired"}))),
            _ => {}
        }
        let before = world.first_hash;
        world
            .cloud
            .lie(|lies| lies.edit_cvm = Some(reports(before, usize::MAX)));
        let exit = if token == "honest" { 9 } else { 6 };
        let first = flow.with("commit", &["--timeout", "9s"]).exits(exit);
        keeps_secrets(&flow, &first);
        for step in ["resume", "commit", "upgrade", "resume"] {
            let ran = flow.with(step, &["--timeout", "9s"]);
            assert!([6, 9].contains(&ran.exit), "{token}, {step}: {}", ran.said);
        }
        let last = flow
            .with("resume", &["--timeout", "9s"])
            .exits(6)
            .says("COMMIT_MAY_STAND");
        assert!(last.said.contains("--accept COMMIT_MAY_STAND"), "{}", last.said);
        let commits = world.cloud.commits(CVM).len();
        // Whoever says each time that a token expired which it used is believed once.
        assert_eq!(commits, if token == "expired" { 2 } else { 1 }, "{token}");
        proxy.heal();
        world.cloud.lie(|lies| lies.edit_cvm = None);
        flow.step("resume").exits(0);
        assert_eq!(world.cloud.commits(CVM).len(), commits, "{token}");
        assert_eq!(flow.step("status").effect("live"), "done");
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn fr2_2_whoever_knows_that_nothing_came_of_the_commit_agrees_to_another_one() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    approved(&flow);
    proxy.on(
        COMMIT,
        Nth::Only(1),
        answer(466, &json!({"error_code": "ERR-01-006", "message": "no"})),
    );
    proxy.on(TOKEN, Nth::Every, answer(200, &json!({"status": "used"})));
    flow.with("commit", &["--timeout", "9s"])
        .exits(9)
        .says("COMMIT_UNKNOWN");
    flow.step("commit").exits(6).says("COMMIT_MAY_STAND");
    flow.nothing_committed();
    flow.with("commit", &["--accept", "COMMIT_MAY_STAND"]).exits(0);
    is_live(&flow);
}
