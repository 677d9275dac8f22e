//! Many CVMs: the whole list of a workspace, and where the upgrades of all instances of an app stand.

use serde_json::{Value, json};

use crate::acts::Ours;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::table::{Costs, Row, Target};

/// Most memory that a list of any length may take, MB: 64 MiB.
const MEMORY: f64 = 67.1;
/// CVMs of the workspaces that are listed: four times as many shall cost about four times as much.
const LISTS: [u64; 2] = [250, 1000];
/// Instances of the app whose upgrades are looked at.
const INSTANCES: u64 = 200;

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
    rows
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
