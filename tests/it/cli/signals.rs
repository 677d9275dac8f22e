//! Signals, closed streams and suspended machines in the middle of an upgrade.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{behind, command, each, effects, ended, finished, legal, offline_status, signal, spawn};
use crate::support::{AnvilOptions, FaultProxy, Match, Moment, Nth, World, WorldOptions, until};

const SIGNALS: [(Signal, i32); 3] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];

fn without_mining() -> World {
    World::with(WorldOptions {
        anvil: AnvilOptions {
            no_mining: true,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    })
}

fn mine(world: &World) {
    world.rpc().call("evm_setAutomine", serde_json::json!([true]));
    world.rpc().mine(1);
}

/// A run that has sent its transaction to a chain that does not mine.
fn waiting(flow: &Flow<'_>, more: &[&str]) -> Child {
    let child = spawn(flow, "upgrade", more);
    until("the broadcast", || (flow.kinds().last()? == "tx.sent").then_some(()));
    child
}

#[test]
fn g1_g4_a_signal_while_waiting_leaves_a_checkpoint() {
    each(&SIGNALS, |(which, exit)| {
        let world = without_mining();
        let flow = Flow::new(&world);
        let child = waiting(&flow, &[]);
        signal(&child, *which);
        let ran = ended(child).exits(*exit);
        effects(&ran, "G1", "done done maybe none none");
        assert!(!ran.fact("transaction_hash").is_null(), "{}", ran.said);
        assert!(
            ran.json["next"].as_str().unwrap().starts_with("countersign resume"),
            "{}",
            ran.said
        );
        legal(&flow);
        mine(&world);
        flow.step("resume").exits(0);
        finished(&flow);
    });
}

#[test]
fn g2_two_interrupts_at_once_end_it_and_harm_nothing() {
    let world = without_mining();
    let flow = Flow::new(&world);
    let child = waiting(&flow, &[]);
    signal(&child, Signal::INT);
    signal(&child, Signal::INT);
    assert_eq!(ended(child).exit, 130);
    legal(&flow);
    mine(&world);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn g3_a_signal_in_flight_is_settled_whether_or_not_the_server_did_it() {
    let requests = [
        (Match::Http("PATCH", "/cvms/"), "maybe none none none none"),
        (Match::Rpc("eth_sendRawTransaction"), "done done maybe none none"),
        (Match::Http("POST", "/commit-update"), "done done done maybe none"),
    ];
    let cases: Vec<_> = requests
        .into_iter()
        .flat_map(|(request, certain)| {
            [Moment::Arrived, Moment::Served].map(|moment| (request.clone(), certain, moment))
        })
        .zip(SIGNALS.into_iter().cycle())
        .collect();
    each(&cases, |((request, certain, moment), (which, exit))| {
        let world = World::start();
        let (chain, cloud) = (
            FaultProxy::to(&world.anvil.url()),
            FaultProxy::to(&world.cloud.prefix()),
        );
        let flow = Flow::new(&world).chain_at(&chain.url()).cloud_at(&cloud.prefix());
        let proxy = if matches!(request, Match::Rpc(_)) {
            &chain
        } else {
            &cloud
        };
        let gate = proxy.gate(request.clone(), Nth::Only(1), *moment);
        let child = spawn(&flow, "upgrade", &[]);
        gate.wait();
        signal(&child, *which);
        let ran = ended(child).exits(*exit);
        effects(&ran, "G3", certain);
        gate.cut();
        effects(&offline_status(&flow), "G3", certain);
        flow.step("resume").exits(0);
        finished(&flow);
    });
}

#[test]
fn g5_g6_nobody_who_reads_is_no_reason_to_stop_halfway() {
    let world = World::start();
    let flow = Flow::new(&world);
    let mut child = spawn(&flow, "upgrade", &[]);
    drop(child.stdout.take());
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    finished(&flow);
    each(&[">&-", "2>&-", ">&- 2>&-", "2>/dev/full", "<&- >&- 2>&-"], |streams| {
        let world = World::start();
        let flow = Flow::new(&world);
        let script = format!("exec \"$@\" {streams}");
        let output = behind(&["sh", "-c", &script, "sh"], &flow, ("upgrade", &[]))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{streams}");
        finished(&flow);
    });
}

#[test]
fn a_result_that_finds_no_room_changes_nothing_that_was_done() {
    let world = World::start();
    let flow = Flow::new(&world);
    let mut run = behind(&["sh", "-c", "exec \"$@\" >/dev/full", "sh"], &flow, ("upgrade", &[]));
    assert_eq!(run.output().unwrap().status.code(), Some(12));
    finished(&flow);
}

/// Arguments without `--yes`.
fn unasked(flow: &Flow<'_>, step: &str) -> Command {
    let arguments = flow.arguments(step);
    let all: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| *argument != "--yes")
        .collect();
    flow.command(&all)
}

#[test]
fn g7_where_nobody_can_be_asked_nothing_is_signed_and_the_flag_is_named() {
    let world = World::start();
    let flow = Flow::new(&world);
    for stdin in [Stdio::null(), Stdio::piped()] {
        let output = unasked(&flow, "upgrade").stdin(stdin).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("USAGE_CONSENT") && said.contains("--yes"), "{said}");
        flow.nothing_happened();
        assert_eq!(world.rpc().nonce(world.owner.address), 0);
        assert_eq!(world.cloud.tokens().len(), 0, "nothing was prepared either");
        legal(&flow);
    }
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let ran = Ran::of(&mut unasked(&flow, "commit")).exits(2).says("USAGE_CONSENT");
    effects(&ran, "G7", "done done done none none");
    flow.nothing_committed();
    flow.step("commit").exits(0);
    finished(&flow);
}

#[test]
fn g9_w5_a_suspended_run_looks_first_and_goes_on_without_a_burst() {
    let world = without_mining();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    let child = waiting(&flow, &[]);
    signal(&child, Signal::STOP);
    std::thread::sleep(Duration::from_millis(300));
    proxy.forget();
    mine(&world);
    std::thread::sleep(Duration::from_millis(2500));
    assert!(proxy.requests() <= 1, "a suspended process asks nothing");
    signal(&child, Signal::CONT);
    ended(child).exits(0);
    assert!(proxy.requests() < 20, "{} requests after the pause", proxy.requests());
    let sent = proxy
        .seen()
        .iter()
        .filter(|one| one.rpc.iter().any(|method| method == "eth_sendRawTransaction"))
        .count();
    assert_eq!(sent, 0, "nothing had to be sent again");
    finished(&flow);
}

#[test]
fn w5_a_pause_longer_than_the_patience_ends_with_a_look() {
    let world = without_mining();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    let look = proxy.gate(Match::Rpc("eth_getTransactionReceipt"), Nth::Only(1), Moment::Answered);
    let child = spawn(&flow, "resume", &["--timeout", "2s"]);
    look.wait();
    signal(&child, Signal::STOP);
    look.open();
    std::thread::sleep(Duration::from_millis(2500));
    signal(&child, Signal::CONT);
    let ran = ended(child).exits(8);
    effects(&ran, "W5", "done done maybe none none");
    mine(&world);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn w1_a_cloud_whose_clock_is_off_gets_one_commit_and_a_word_is_said() {
    const DAY: i64 = 24 * 3600;
    each(&[-20 * DAY, -DAY, DAY, 20 * DAY], |offset| {
        let world = World::start();
        world.cloud.advance(*offset);
        let flow = Flow::new(&world);
        let done = flow.step("upgrade").exits(0);
        assert!(done.said.contains("clock"), "{}", done.said);
        finished(&flow);
        assert!(world.cloud.tokens().len() <= 2);
    });
}

#[test]
fn g3_a_signal_before_the_first_record_leaves_nothing() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    let gate = proxy.gate(Match::Http("GET", "/cvms/"), Nth::Only(1), Moment::Arrived);
    let child = command(&flow, "upgrade", &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    gate.wait();
    signal(&child, Signal::TERM);
    let ran = ended(child).exits(143);
    effects(&ran, "G4", "none none none none none");
    assert!(!flow.dir.exists());
    gate.open();
    flow.nothing_happened();
}

#[cfg(target_os = "linux")]
#[test]
fn sec_l5_no_core_of_a_run_is_written_and_no_other_program_of_the_user_looks_into_it() {
    use std::os::unix::fs::MetadataExt;
    let world = without_mining();
    let flow = Flow::new(&world);
    let child = waiting(&flow, &[]);
    let about = std::path::PathBuf::from(format!("/proc/{}", child.id()));
    let limits = std::fs::read_to_string(about.join("limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let sizes: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
    assert_eq!(sizes, ["0", "0"], "{limits}");
    // The kernel gives what may not be looked into to root, whoever runs it; where root does, the owner tells nothing.
    let owner = std::fs::metadata(about.join("mem")).unwrap().uid();
    assert_eq!(owner, 0);
    signal(&child, Signal::INT);
    ended(child).exits(130);
}
