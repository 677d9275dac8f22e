//! Several runs at once: of one upgrade, of one key, of one CVM.

use crate::harness::flow::Flow;
use crate::harness::judge::{ended, finished, lines, moved, spawn};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{FaultProxy, Gate, Match, Moment, Nth, World};

/// Milliseconds for a request that is held for as long as other runs take; read by builds with `failpoints`.
const LONG: &str = "600000";

/// A prepared and approved upgrade whose commit is held in front of the cloud, by a run that goes on when the gate opens.
struct Held<'w> {
    flow: Flow<'w>,
    holder: std::process::Child,
    gate: Gate,
    _proxy: FaultProxy,
}

/// Everything but the commit, which will be held.
fn gated(world: &World) -> (FaultProxy, Flow<'_>, Gate) {
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let mut flow = Flow::new(world).cloud_at(&proxy.prefix());
    flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), LONG.to_owned()));
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let gate = proxy.gate(Match::Http("POST", "/commit-update"), Nth::Only(1), Moment::Arrived);
    (proxy, flow, gate)
}

fn held(world: &World) -> Held<'_> {
    let (proxy, flow, gate) = gated(world);
    let holder = spawn(&flow, "resume", &[]);
    gate.wait();
    Held {
        flow,
        holder,
        gate,
        _proxy: proxy,
    }
}

#[test]
fn c1_a_second_run_is_told_at_once_who_holds_the_upgrade() {
    let world = World::start();
    let held = held(&world);
    let asked = world.cloud.requests().len();
    for step in ["execute", "wait", "commit", "resume"] {
        let second = held.flow.step(step).exits(11).says("LOCKED");
        let holder = format!("process {}", held.holder.id());
        assert!(second.said.contains(&holder), "{}", second.said);
    }
    assert_eq!(
        world.cloud.requests().len(),
        asked,
        "a run that is locked out asks nobody"
    );
    held.gate.open();
    ended(held.holder).exits(0);
    finished(&held.flow);
}

#[test]
fn c2_of_sixty_four_runs_at_once_one_proceeds() {
    let world = World::start();
    let (_proxy, flow, gate) = gated(&world);
    let mut runs: Vec<_> = (0..64).map(|_| spawn(&flow, "resume", &[])).collect();
    gate.wait();
    crate::support::until("all but one to end", || {
        let running = runs
            .iter_mut()
            .map(|run| run.try_wait().unwrap())
            .filter(Option::is_none)
            .count();
        (running == 1).then_some(())
    });
    gate.open();
    let mut exits: Vec<i32> = runs.into_iter().map(|run| ended(run).exit).collect();
    exits.sort_unstable();
    assert_eq!(exits, [&[0][..], &[11; 63]].concat());
    finished(&flow);
}

#[test]
fn c3_the_lock_of_a_holder_that_was_killed_is_gone_with_it() {
    let world = World::start();
    let mut held = held(&world);
    held.holder.kill().unwrap();
    held.gate.cut();
    held.flow.step("resume").exits(0);
    finished(&held.flow);
}

#[test]
fn c5_two_journals_and_one_key_are_one_transaction() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let first = Flow::new(&world).chain_at(&proxy.url());
    first.step("prepare").exits(0);
    let second = moved(&first, world.folder().join("another machine"));
    second.with("prepare", &["--supersede"]).exits(0);
    let gates = [1, 2].map(|nth| proxy.gate(Match::Rpc("eth_sendRawTransaction"), Nth::Only(nth), Moment::Arrived));
    let runs = [&first, &second].map(|flow| spawn(flow, "execute", &[]));
    for gate in &gates {
        gate.wait();
    }
    drop(gates);
    for run in runs {
        ended(run).exits(0);
    }
    second.step("resume").exits(0);
    finished(&second);
    // The other one's token died, and the CVM runs what it wanted.
    first.step("resume").exits(0);
    finished(&first);
}

#[test]
fn c6_the_update_of_somebody_else_is_not_ended_without_saying_so() {
    let world = World::start();
    let mut alice = moved(&Flow::new(&world), world.folder().join("alice"));
    alice.compose = world.file("alice.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    alice.hash = world.hash_with(&NEW_COMPOSE.replace("1.28", "1.29"));
    alice.step("prepare").exits(0);
    let flow = Flow::new(&world);
    let refused = flow.step("upgrade").exits(6).says("UPDATE_PENDING");
    assert!(refused.said.contains(&alice.hash.to_string()), "{}", refused.said);
    assert_eq!(world.cloud.tokens().len(), 1, "her token lives");
    assert!(refused.json["next"].as_str().unwrap().contains("--supersede"));
    flow.with("upgrade", &["--supersede"]).exits(0);
    flow.landed_once();
    assert_eq!(world.rpc().nonce(world.owner.address), 1);
    assert_eq!(alice.announcements(), 0);
}

#[test]
fn c8_status_is_answered_during_a_run_and_changes_nothing() {
    let world = World::start();
    let held = held(&world);
    let (before, asked) = (lines(&held.flow), world.cloud.requests().len());
    for _ in 0..20 {
        let status = held.flow.step("status").exits(0);
        assert_eq!(
            (status.effect("transaction"), status.effect("commit")),
            ("done", "maybe")
        );
    }
    assert_eq!((lines(&held.flow), world.cloud.requests().len()), (before, asked));
    held.gate.open();
    ended(held.holder).exits(0);
    finished(&held.flow);
    assert_eq!(world.cloud.commits(CVM).len(), 1);
}
