//! What has to be true after any fault, judged by the chain, the cloud and the files, never by the tool's own words.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::flow::{Flow, Ran};
use crate::support::command::path_of;

/// Cases that run at once: most of a case is waiting for processes.
const AT_ONCE: usize = 3;
/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

/// Whether all runs of a large number are made, as `make thorough` has it, in place of a sample of them.
pub fn is_thorough() -> bool {
    std::env::var_os("COUNTERSIGN_THOROUGH").is_some()
}

/// So many of a large number of runs.
pub fn runs(sample: usize, all: usize) -> usize {
    if is_thorough() { all } else { sample }
}

/// Runs every case, several at once; the first that fails fails the test, and says which it was.
pub fn each<T: Sync + std::fmt::Debug>(cases: &[T], run: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
            if let Err(why) = catch_unwind(AssertUnwindSafe(|| run(case))) {
                next.store(cases.len(), Ordering::SeqCst);
                let why = why.downcast_ref::<String>().cloned().unwrap_or_default();
                panic!("{case:?}: {why}");
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().unwrap_or_else(|why| resume_unwind(why));
        }
    });
}

/// A step with more arguments, ready to be changed or spawned.
pub fn command(flow: &Flow<'_>, step: &str, more: &[&str]) -> Command {
    let arguments = flow.arguments(step);
    let all: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect();
    flow.command(&all)
}

/// Starts a step and returns at once.
pub fn spawn(flow: &Flow<'_>, step: &str, more: &[&str]) -> Child {
    command(flow, step, more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for the end of a child that was spawned.
pub fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        exit: output.status.code().unwrap_or(-1),
        json: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        said: crate::support::command::shown(&output),
    }
}

/// Sends a signal to a child that was spawned.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

/// `status` without a network, without keys.
pub fn offline_status(flow: &Flow<'_>) -> Ran {
    let mut status = command(flow, "status", &[]);
    status
        .env("ETH_RPC_URL", NOWHERE)
        .env("PHALA_CLOUD_API_PREFIX", format!("{NOWHERE}/api/v1"))
        .env_remove("PHALA_CLOUD_API_KEY")
        .env_remove("OWNER_KEY");
    Ran::of(&mut status)
}

/// What is certain about prepare, approval, transaction, commit and live, in that order.
#[track_caller]
pub fn effects(ran: &Ran, id: &str, expected: &str) {
    let names = ["prepare", "approval", "transaction", "commit", "live"];
    let said: Vec<&str> = names.iter().map(|name| ran.effect(name)).collect();
    assert_eq!(said.join(" "), expected, "{id}: {}", ran.said);
}

/// The journal's lines, whole or not.
pub fn lines(flow: &Flow<'_>) -> Vec<String> {
    let text = std::fs::read_to_string(flow.dir.join("journal")).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// A line with its place in the chain, its content kept: what whoever can write the file can make.
pub fn chained(seq: usize, prev: &str, record: &Value) -> (String, String) {
    let text = format!(
        r#"{{"seq":{seq},"prev":"{prev}","kind":{},"body":{}"#,
        record["kind"], record["body"]
    );
    let sum = hex::encode(Sha256::digest(text.as_bytes()));
    (format!("{text},\"sum\":\"{sum}\"}}\n"), sum)
}

/// Writes a journal of these records with sums that fit, and no head.
pub fn rewrite(flow: &Flow<'_>, records: &[Value]) {
    let mut prev = "0".repeat(64);
    let mut text = String::new();
    for (at, record) in records.iter().enumerate() {
        let (line, sum) = chained(at + 1, &prev, record);
        text.push_str(&line);
        prev = sum;
    }
    std::fs::write(flow.dir.join("journal"), text).unwrap();
    std::fs::remove_file(flow.dir.join("journal.head")).unwrap();
}

/// The journal is an unbroken chain of records.
#[track_caller]
pub fn chain(flow: &Flow<'_>) {
    let mut prev = "0".repeat(64);
    for (at, line) in lines(flow).iter().enumerate() {
        let (content, sum) = line.trim_end().rsplit_once(",\"sum\":\"").unwrap();
        assert_eq!(
            hex::encode(Sha256::digest(content.as_bytes())),
            sum.trim_end_matches("\"}")
        );
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&record["seq"], &record["prev"]),
            (&serde_json::json!(at + 1), &serde_json::json!(prev))
        );
        sum.trim_end_matches("\"}").clone_into(&mut prev);
    }
}

/// The journal is an unbroken chain of records in an order that can have happened, with one nonce.
#[track_caller]
pub fn legal(flow: &Flow<'_>) {
    chain(flow);
    let signed = flow
        .journal()
        .into_iter()
        .filter(|record| record["kind"] == "tx.signed");
    let mut nonces: Vec<Value> = signed
        .map(|record| record["body"]["request"]["nonce"].clone())
        .collect();
    nonces.dedup();
    assert!(nonces.len() <= 1, "one intent, several nonces: {nonces:?}");
    let kinds = flow.kinds();
    let first = |kind: &str| kinds.iter().position(|one| one == kind).unwrap_or(usize::MAX);
    assert!(kinds.is_empty() || first("open") == 0, "{kinds:?}");
    for (earlier, later) in [
        ("plan", "prepare.try"),
        ("prepare.try", "prepare.ok"),
        ("prepare.ok", "verified"),
        ("sign.try", "tx.signed"),
        ("tx.signed", "tx.sent"),
        ("commit.ok", "done"),
    ] {
        assert!(first(later) == usize::MAX || first(earlier) < first(later), "{kinds:?}");
    }
    assert!(
        kinds.iter().filter(|kind| *kind == "commit.ok").count() <= 1,
        "{kinds:?}"
    );
}

/// Nothing lost, nothing twice, nothing left over.
#[track_caller]
pub fn finished(flow: &Flow<'_>) {
    flow.landed_once();
    assert_eq!(
        flow.world.rpc().nonce(flow.world.owner.address),
        1,
        "the owner's transactions"
    );
    legal(flow);
    assert_eq!(flow.kinds().last().map(String::as_str), Some("done"));
    same_request_each_time(flow);
    let mut names: Vec<String> = std::fs::read_dir(&flow.dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let kept = [
        ".gitignore",
        "evidence.json",
        "evidence.md",
        "journal",
        "journal.head",
        "journal.lock",
        "proposal.json",
    ];
    assert_eq!(names, kept);
    let evidence = flow.json_file("evidence.json");
    assert!(
        !evidence["said"]["cloud"]["live_at"].is_null() && !evidence["said"]["cloud"]["committed_at"].is_null(),
        "{evidence}"
    );
}

/// However often prepare was asked, it was asked for the same.
#[track_caller]
fn same_request_each_time(flow: &Flow<'_>) {
    let mut bodies: Vec<_> = flow
        .world
        .cloud
        .requests()
        .into_iter()
        .filter(|request| request.header("x-prepare-only").is_some())
        .map(|request| request.json())
        .collect();
    bodies.dedup();
    assert!(bodies.len() <= 1, "{bodies:?}");
}

/// A step that another program starts: `before`, then the binary and its arguments, in the same environment.
pub fn behind(before: &[&str], flow: &Flow<'_>, (step, more): (&str, &[&str])) -> Command {
    let inner = command(flow, step, more);
    let mut outer = Command::new(path_of(before[0]));
    outer
        .args(&before[1..])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(inner.get_current_dir().unwrap())
        .stdin(Stdio::null());
    outer
}

/// Says that this machine cannot show a case, where the test harness does not swallow it.
pub fn skipped(cases: &str, why: &str) {
    say(&format!("SKIPPED {cases}: {why}"));
}

/// Says something where the test harness does not swallow it.
pub fn say(line: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).unwrap();
}

/// The same upgrade in another directory.
pub fn moved<'w>(flow: &Flow<'w>, dir: std::path::PathBuf) -> Flow<'w> {
    Flow {
        dir,
        compose: flow.compose.clone(),
        env: flow.env.clone(),
        ..*flow
    }
}

/// The same upgrade from a copy of its directory.
pub fn copied<'w>(flow: &Flow<'w>, name: &str) -> Flow<'w> {
    let dir = flow.world.folder().join(name);
    std::fs::create_dir(&dir).unwrap();
    for entry in std::fs::read_dir(&flow.dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.join(entry.file_name())).unwrap();
    }
    moved(flow, dir)
}

/// Whether a program runs and succeeds here.
pub fn works(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Whether calls to the kernel can be made to fail here.
pub fn can_trace() -> bool {
    works(
        "strace",
        &[
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "inject=write:error=ENOSPC:when=9999",
            "true",
        ],
    )
}
