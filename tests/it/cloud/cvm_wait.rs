//! `--wait` of every kind, `cvm watch`, and what a person and a pipeline are told meanwhile.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::flow::{BINARY, Ran};
use crate::support::terminal::AtTerminal;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{World, WorldOptions, until};

fn offchain() -> World {
    World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    })
}

/// A command that looks at a waited CVM often.
fn command(world: &World, words: &str) -> Command {
    let mut command = world.countersign(BINARY);
    let words = words.split(' ').map(|word| word.replace("{cvm}", CVM));
    command.args(words).env("COUNTERSIGN_REQUEST_MS", "5000");
    command
}

fn agree(world: &World, words: &str) -> Ran {
    Ran::of(command(world, words).args(["--json", "--yes"]))
}

fn status(ran: &Ran) -> &Value {
    &ran.json["data"]["cvm"]["status"]
}

#[test]
fn each_kind_of_waiting_ends_when_what_was_ordered_is_so() {
    let world = offchain();
    world.file("x.yml", NEW_COMPOSE);
    // The status, by the operation that the order began.
    world.cloud.set_boot_time(Duration::from_millis(150));
    for (order, after) in [
        ("shutdown", "stopped"),
        ("start", "running"),
        ("stop", "stopped"),
        ("start", "running"),
    ] {
        let ran = agree(&world, &format!("cvm {order} --cvm {{cvm}} --wait")).exits(0);
        assert_eq!(status(&ran), after, "{order}: {}", ran.said);
        assert!(ran.json["message"].as_str().unwrap().ends_with("carried out"));
    }
    // However fast the restart is: it shows no other state, and is over before the first look.
    world.cloud.set_boot_time(Duration::ZERO);
    let before = world.cloud.requests().len();
    agree(&world, "cvm restart --cvm {cvm} --wait").exits(0);
    let asked = world.cloud.requests()[before..]
        .iter()
        .filter(|one| one.path.ends_with(CVM))
        .count();
    assert_eq!(asked, 1, "the operation told it at the first look");
    // What the record says.
    agree(&world, "cvm listed true --cvm {cvm} --wait").exits(0);
    let id = agree(&world, "cvm instance-id --cvm {cvm} --wait").exits(0);
    assert_eq!(
        id.json["data"]["cvm"]["instance_id"],
        id.json["data"]["new_instance_id"]
    );
    let ids = agree(&world, "cvm instance-ids --wait").exits(0);
    assert!(
        ids.json["message"].as_str().unwrap().contains("every record"),
        "{}",
        ids.said
    );
    for words in ["cvm instance-id --cvm {cvm}", "cvm instance-ids"] {
        agree(&world, &format!("{words} --dry-run --wait")).exits(2);
    }
    // Nothing under way, nothing to wait for.
    let none = agree(&world, "cvm cancel --cvm {cvm} --wait").exits(0);
    assert_eq!(none.json["data"]["cancelled"], false);
    // An operation that would take for ever is cancelled, and over.
    world.cloud.set_boot_time(Duration::from_secs(600));
    agree(&world, "cvm os-image dstack-0.5.8 --cvm {cvm}").exits(0);
    let cancelled = agree(&world, "cvm cancel --cvm {cvm} --wait").exits(0);
    assert_eq!(cancelled.json["data"]["cancelled"], true);
    assert!(
        cancelled.json["data"]["cvm"]["progress"].is_null(),
        "{}",
        cancelled.said
    );
    world.cloud.set_boot_time(Duration::from_millis(50));
    // Provisioning changes nothing.
    world.file("app-compose.json", r#"{"name":"x","docker_compose_file":"x"}"#);
    agree(&world, "cvm compose-file app-compose.json --cvm {cvm} --wait")
        .exits(2)
        .says("USAGE_NOTHING_TO_WAIT_FOR");
    agree(&world, "cvm create --name new-app -c x.yml --provision-only --wait").exits(2);
    agree(&world, "cvm delete --cvm {cvm} --wait --accept CVM_DELETED={cvm}").exits(0);
    assert!(world.cloud.names().is_empty());
}

#[test]
fn live_is_what_operation_and_compose_hash_say_and_a_time_that_is_up_names_how_to_go_on() {
    let world = World::start();
    world.file("x.yml", NEW_COMPOSE);
    let hash = world.hash_with(NEW_COMPOSE);
    agree(&world, "cvm docker-compose x.yml --cvm {cvm}").exits(6);
    world.allow(hash);
    // The old CVM answers all the time, and the operation is under way.
    world.cloud.set_boot_time(Duration::from_secs(600));
    let words = format!("cvm docker-compose x.yml --cvm {{cvm}} --compose-hash {hash} --wait --timeout 1s");
    let pending = agree(&world, &words).exits(8).says("PENDING_OPERATION");
    let operation = pending.fact("correlation_id").as_str().unwrap();
    let next = format!("cvm watch --cvm {CVM} --operation {operation} --compose-hash {hash}");
    assert_eq!(pending.json["next"], format!("countersign {next}"));
    assert_eq!(pending.fact("compose_hash"), &serde_json::json!(hash));
    Ran::of(command(&world, &format!("{next} --timeout 1s")).arg("--json"))
        .exits(8)
        .says("PENDING_OPERATION");
    world.cloud.set_boot_time(Duration::ZERO);
    let live = Ran::of(command(&world, &next).arg("--json")).exits(0);
    assert_eq!(
        live.json["data"]["cvm"]["compose_hash"],
        serde_json::json!(hash),
        "{}",
        live.said
    );
    // Another hash than the one that was asked for is a failure, though the operation is over.
    let other = format!(
        "cvm watch --cvm {CVM} --operation {operation} --compose-hash {}",
        world.first_hash
    );
    let failed = Ran::of(command(&world, &other).arg("--json"))
        .exits(7)
        .says("OPERATION_FAILED");
    assert!(
        failed.json["message"].as_str().unwrap().contains(&hash.to_string()),
        "{}",
        failed.said
    );
}

/// Lines of a text as a person reads them at last: without control sequences.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
            continue;
        }
        let _sequence: String = characters
            .by_ref()
            .take_while(|one| !one.is_ascii_alphabetic())
            .collect();
    }
    plain
}

#[test]
fn a_terminal_shows_what_is_waited_for_and_since_when_and_stdout_is_the_same_as_without() {
    let world = offchain();
    world.file("x.yml", NEW_COMPOSE);
    world.cloud.set_boot_time(Duration::from_millis(700));
    let words = [
        "cvm restart --cvm {cvm} --wait --yes",
        "cvm watch --cvm {cvm} --target running",
    ];
    for words in words {
        let elsewhere = crate::support::command::run(&mut command(&world, words));
        let quiet = String::from_utf8(elsewhere.stderr).unwrap();
        assert!(!quiet.contains('\u{1b}') && !quiet.contains('\r'), "{quiet:?}");
        let begun: Vec<_> = quiet.lines().filter(|line| line.starts_with("waiting ")).collect();
        assert_eq!(begun.len(), 1, "{quiet}");
        assert!(begun[0].contains("at most 15m"), "{quiet}");
        let mut lines: Vec<_> = quiet.lines().filter(|line| line.starts_with("the CVM is ")).collect();
        let all = lines.len();
        lines.dedup();
        assert!(
            all > 0 && all == lines.len() && all <= 4,
            "a line for each change: {quiet}"
        );
        let there = AtTerminal::start(&mut command(&world, words)).end();
        assert_eq!(there.exit, 0, "{}", there.terminal);
        assert_eq!(there.stdout, String::from_utf8(elsewhere.stdout).unwrap());
        assert!(there.terminal.contains('\u{1b}'), "nothing moves: {:?}", there.terminal);
        let shown = plain(&there.terminal);
        assert!(shown.contains("waiting ") && shown.contains("the CVM is "), "{shown}");
    }
    // With --json there is one object on stdout, and nothing that moves.
    let there = AtTerminal::start(command(&world, words[0]).arg("--json")).end();
    let object: Value = serde_json::from_str(&there.stdout).unwrap();
    assert_eq!((there.exit, &object["exit"]), (0, &0.into()));
    assert!(!there.terminal.contains('\u{1b}'), "{:?}", there.terminal);
}

#[test]
fn an_interrupt_ends_the_waiting_and_not_the_operation() {
    let world = offchain();
    world.cloud.set_boot_time(Duration::from_secs(600));
    let waiting = AtTerminal::start(&mut command(&world, "cvm restart --cvm {cvm} --wait --yes"));
    until("the restart", || world.cloud.cvm(CVM).progress);
    let looked = || world.cloud.requests_to("GET", "/operations").len();
    until("a look at it", || (looked() >= 2).then_some(()));
    waiting.signal(Signal::INT);
    assert_eq!(waiting.end().exit, 130);
    assert!(world.cloud.cvm(CVM).progress.is_some(), "the operation goes on");
}
