//! Many CVMs: the whole list of a workspace, where the upgrades of all instances of an app stand, and all of them
//! upgraded by one approval.

use serde_json::{Value, json};

use crate::acts::Ours;
use crate::measure::Cost;
use crate::support::FaultProxy;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::table::{Costs, Row, Target, Unit};

/// Most memory that a list of any length may take, MB: 64 MiB.
const MEMORY: f64 = 67.1;
/// CVMs of the workspaces that are listed: four times as many shall cost about four times as much.
const LISTS: [u64; 2] = [250, 1000];
/// Instances of the app whose upgrades are looked at.
const INSTANCES: u64 = 200;

/// CVMs that one approval upgrades: four times as many shall cost about four times as much, and each of them the same.
const FLEETS: [u64; 2] = [50, 200];
/// Rounds of a fleet at most: each upgrades all of it.
const FLEET_ROUNDS: u32 = 3;
/// HTTP requests that each CVM of a fleet may take, from its plan until it runs the hash, to either server.
const REQUESTS: f64 = 20.0;

/// Lists of both lengths, then the state of every instance's upgrade.
pub fn rows(rounds: u32) -> Vec<Row> {
    let ours = Ours::start(None);
    let mut rows = Vec::new();
    let mut there = 1;
    for length in LISTS {
        for number in there + 1..=length {
            ours.world.add_cvm(number);
        }
        there = length;
        let mut costs = Costs::new(
            &format!("cvm list --all, {length} CVMs"),
            Target::None,
            Target::NeverAbove(MEMORY),
        );
        for _ in 0..rounds {
            let (cost, said) = ours.measured(&["cvm", "list", "--all", "--json"]);
            let items = said["data"]["items"].as_array().map(Vec::len);
            assert_eq!(items.map(|items| items as u64), Some(length), "every CVM once");
            costs.ours(cost);
        }
        rows.extend(costs.rows());
    }
    rows.extend(status(&ours, rounds));
    for size in FLEETS {
        rows.extend(fleet(size, rounds.min(FLEET_ROUNDS)));
    }
    rows
}

/// A fleet of `size` CVMs: prepared, approved (not measured), committed, looked at. What is asked of the servers is counted
/// in a round of its own, with a proxy in front of the chain.
fn fleet(size: u64, rounds: u32) -> Vec<Row> {
    let mut ours = Ours::start(None);
    for number in 2..=size {
        ours.world.add_cvm(number);
    }
    let costs = |act: &str| {
        let name = format!("fleet {act}, {size} CVMs");
        Costs::new(&name, Target::None, Target::NeverAbove(MEMORY))
    };
    let mut each = ["prepare", "commit", "status"].map(costs);
    for round in 0..rounds {
        for (costs, cost) in each.iter_mut().zip(upgrade_all(&ours, size, round)) {
            costs.ours(cost);
        }
    }
    let proxy = FaultProxy::to(&ours.world.anvil.url());
    ours.chain = Some(proxy.url());
    ours.world.cloud.forget_requests();
    upgrade_all(&ours, size, rounds);
    let per_cvm =
        |requests: usize| f64::from(u32::try_from(requests).unwrap()) / f64::from(u32::try_from(size).unwrap());
    let counts = [
        ("Phala Cloud", ours.world.cloud.request_count()),
        ("the RPC endpoint", proxy.requests()),
    ];
    let counts = counts.map(|(server, requests)| {
        let name = format!("fleet, {size} CVMs: requests to {server} for each");
        let mut row = Row::new(&name, Unit::Count, Target::NeverAbove(REQUESTS));
        row.ours.add(per_cvm(requests));
        row
    });
    each.into_iter().flat_map(Costs::rows).chain(counts).collect()
}

/// One change for all CVMs, by one approval; what prepare, commit and status took.
fn upgrade_all(ours: &Ours, size: u64, round: u32) -> [Cost; 3] {
    let (dir, file, hash) = ours.round(round);
    let prepare = [
        "fleet", "prepare", "--cvm", CVM, "--all", "-c", &file, "--dir", &dir, "--json",
    ];
    let (prepared, _) = ours.measured(&prepare);
    ours.world.allow(hash);
    ours.measured(&["wait", "--dir", &format!("{dir}/{CVM}"), "--json"]);
    let (committed, _) = ours.measured(&["fleet", "commit", "--dir", &dir, "--yes", "--json"]);
    let (looked, said) = ours.measured(&["fleet", "status", "--dir", &dir, "--json"]);
    assert_eq!(said["data"]["counts"]["live"], json!(size), "{said}");
    [prepared, committed, looked]
}

/// One upgrade for each instance, below the folder where they are looked for.
fn status(ours: &Ours, rounds: u32) -> [Row; 3] {
    let file = ours.world.file("docker-compose.yml", NEW_COMPOSE);
    let file = file.to_str().unwrap();
    let names: Vec<String> = ours
        .world
        .cloud
        .names()
        .into_iter()
        .filter(|name| name != CVM)
        .collect();
    for name in names.iter().take(usize::try_from(INSTANCES).unwrap()) {
        ours.measured(&["prepare", "--cvm", name, "-c", file, "--json"]);
    }
    let mut costs = Costs::new(
        &format!("status, {INSTANCES} instances of an app"),
        Target::None,
        Target::NeverAbove(MEMORY),
    );
    for _ in 0..rounds {
        let (cost, said) = ours.measured(&["status", "--json"]);
        let prepared = |one: &&Value| one["status"]["effects"]["prepare"] == json!("done");
        let list = said["data"].as_array().unwrap();
        assert_eq!(list.iter().filter(prepared).count() as u64, INSTANCES, "{said}");
        costs.ours(cost);
    }
    costs.rows()
}
