//! Several CVMs of one app by one approval: every one is committed exactly once, whatever happens on the way.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use alloy::primitives::B256;
use serde_json::Value;

use crate::flow::{Flow, Ran};
use crate::judge::each;
use crate::support::command::shown;
use crate::support::world::{CVM, SafeOptions, WorldOptions};
use crate::support::{BootFailure, World};

/// A fleet of CVMs of one app.
struct Ground {
    world: World,
    names: Vec<String>,
}

impl Ground {
    fn of(world: World, size: u64) -> Self {
        let mut names = vec![CVM.to_owned()];
        names.extend((1..size).map(|number| world.add_cvm(number + 1).name));
        Self { world, names }
    }
    fn new(size: u64) -> Self {
        Self::of(World::start(), size)
    }
    fn flow(&self) -> Flow<'_> {
        Flow::new(&self.world)
    }
    fn commits(&self) -> Vec<Vec<B256>> {
        self.names.iter().map(|name| self.world.cloud.commits(name)).collect()
    }
}

fn prepare(flow: &Flow<'_>) -> Command {
    let (dir, compose) = (flow.dir.to_str().unwrap(), flow.compose.to_str().unwrap());
    let arguments = [
        "fleet", "prepare", "--json", "--cvm", CVM, "--all", "-c", compose, "--dir", dir,
    ];
    flow.command(&arguments)
}

fn commit(flow: &Flow<'_>, more: &[&str]) -> Command {
    let dir = flow.dir.to_str().unwrap();
    let mut command = flow.command(&["fleet", "commit", "--json", "--yes", "--dir", dir]);
    command.args(more);
    command
}

/// Executes and proves the first one's proposal by the owner's key.
fn approve(flow: &Flow<'_>) {
    let first = flow.dir.join(CVM);
    let dir = first.to_str().unwrap();
    for step in [
        &["execute", "--json", "--dir", dir, "--signer", "env:OWNER_KEY", "--yes"][..],
        &["wait", "--json", "--dir", dir],
    ] {
        Ran::of(&mut flow.command(step)).exits(0);
    }
}

fn live(ran: &Ran) -> usize {
    let members = ran.json["data"]["members"].as_array().unwrap();
    members
        .iter()
        .filter(|member| member["live"] == Value::Bool(true))
        .count()
}

#[test]
fn one_approval_serves_every_cvm_of_an_app() {
    let ground = Ground::new(12);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow)).exits(0);
    assert_eq!(
        prepared.json["data"]["members"].as_array().unwrap().len(),
        12,
        "{}",
        prepared.said
    );
    Ran::of(&mut commit(&flow, &[])).exits(6);
    assert!(
        ground.commits().iter().all(Vec::is_empty),
        "nothing is committed before it is proved"
    );
    approve(&flow);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&done), 12, "{}", done.said);
    assert_eq!(flow.announcements(), 1, "one transaction for all of them");
    assert!(ground.commits().iter().all(|commits| *commits == [flow.hash]));
    let again = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&again), 12);
    assert!(
        ground.commits().iter().all(|commits| commits.len() == 1),
        "nothing twice"
    );
    let dir = flow.dir.to_str().unwrap();
    let status = Ran::of(&mut flow.command(&["fleet", "status", "--json", "--dir", dir])).exits(0);
    assert_eq!(live(&status), 12);
}

#[test]
fn a_safe_approves_for_the_whole_fleet() {
    let safe = SafeOptions {
        release: 1,
        l2: true,
        threshold: 1,
        owners: 2,
    };
    let world = World::with(WorldOptions {
        safe: Some(safe),
        ..WorldOptions::default()
    });
    let ground = Ground::of(world, 3);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    let first = flow.dir.join(CVM);
    let dir = first.to_str().unwrap();
    let signed = ["--signer", "env:SIGNER_0", "--yes"];
    for step in ["sign", "execute"] {
        let mut command = flow.command(&[step, "--json", "--dir", dir]);
        Ran::of(command.args(signed)).exits(0);
    }
    Ran::of(&mut flow.command(&["wait", "--json", "--dir", dir])).exits(0);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&done), 3, "{}", done.said);
    for name in &ground.names[1..] {
        let text = std::fs::read_to_string(flow.dir.join(name).join("journal")).unwrap();
        assert!(
            !text.contains("safe.frozen"),
            "{name} chose a transaction of its own that somebody could sign"
        );
    }
    assert!(ground.commits().iter().all(|commits| *commits == [flow.hash]));
}

#[test]
fn a_canary_that_does_not_come_back_stops_the_rest() {
    let ground = Ground::new(5);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    approve(&flow);
    ground
        .world
        .cloud
        .set_boot_failure(Some(BootFailure::Error("no disk left".to_owned())));
    let failed = Ran::of(&mut commit(&flow, &["--canary", "1"]))
        .exits(7)
        .says("BOOT_FAILED");
    assert_eq!(live(&failed), 0, "{}", failed.said);
    let touched = ground.commits().iter().filter(|commits| !commits.is_empty()).count();
    assert_eq!(touched, 1, "only the canary was touched");
}

#[test]
fn k_a_fleet_that_is_killed_on_the_way_commits_every_cvm_once() {
    const DEATHS: [&str; 8] = [
        "commit.a=return",
        "commit.b=return",
        "commit.d=return",
        "commit.e=return",
        "commit.a=3*off->return",
        "commit.b=3*off->return",
        "commit.d=3*off->return",
        "commit.e=3*off->return",
    ];
    each(&DEATHS, |failpoints| {
        let ground = Ground::new(6);
        let flow = ground.flow();
        Ran::of(&mut prepare(&flow)).exits(0);
        approve(&flow);
        let output = commit(&flow, &["--parallel", "2"])
            .env("FAILPOINTS", failpoints)
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(9), "{failpoints}: {}", shown(&output));
        let done = Ran::of(&mut commit(&flow, &[])).exits(0);
        assert_eq!(live(&done), 6, "{failpoints}: {}", done.said);
        let commits = ground.commits();
        assert!(
            commits.iter().all(|commits| *commits == [flow.hash]),
            "{failpoints}: {commits:?}"
        );
    });
}

#[test]
fn a_cvm_of_another_app_or_with_another_hash_does_not_join() {
    let ground = Ground::new(2);
    let other = ground.names[1].clone();
    ground.world.cloud.change_cvm(&other, |cvm| {
        cvm.manifest["name"] = Value::from("renamed");
        cvm.compose_hash = crate::support::cloud::compose_hash(&cvm.manifest);
    });
    let runs = ground.world.cloud.cvm(&other).compose_hash;
    ground
        .world
        .as_owner(&crate::support::contracts::abi::addComposeHashCall { composeHash: runs });
    let flow = ground.flow();
    let stopped = Ran::of(&mut prepare(&flow)).exits(5).says("FLEET_HASH_MISMATCH");
    assert!(stopped.said.contains(&other), "{}", stopped.said);
    assert!(!flow.dir.join("fleet.json").exists());
}
