//! The examples of the library, each run against the simulated cloud.

use std::path::Path;

use crate::harness::flow::BINARY;
use crate::support::cloud::API_KEY;
use crate::support::command::{countersign, run, shown};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{World, WorldOptions};

/// What an example printed, with the chain and the owner's key at hand.
fn example(world: &World, name: &str, words: &[&str]) -> String {
    let program = Path::new(BINARY).with_file_name("examples").join(name);
    assert!(program.is_file(), "run `cargo test` as a whole, it builds the examples");
    let mut command = countersign(program, world.folder());
    command
        .args(words)
        .env("PHALA_CLOUD_API_PREFIX", world.cloud.prefix())
        .env("PHALA_CLOUD_API_KEY", API_KEY)
        .env("ETH_RPC_URL", world.anvil.url())
        .env("OWNER_KEY", world.owner.key);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn world() -> World {
    World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    })
}

#[test]
fn the_lifecycle_example_brings_a_cvm_down_and_up() {
    let world = world();
    let said = example(&world, "lifecycle", &[CVM]);
    assert!(
        said.starts_with(&format!("{CVM} is running\n")) && said.ends_with("running\n"),
        "{said}"
    );
    assert_eq!(world.cloud.requests_to("POST", "/shutdown").len(), 1);
    assert_eq!(world.cloud.cvm(CVM).status, "running");
}

#[test]
fn the_provisioning_example_makes_a_cvm_that_runs() {
    let world = world();
    world.file("docker-compose.yml", NEW_COMPOSE);
    let said = example(&world, "provisioning", &["new-app", "docker-compose.yml"]);
    assert!(said.ends_with("runs\n"), "{said}");
    assert_eq!(world.cloud.cvm("new-app").status, "running");
}

#[test]
fn the_watching_example_prints_states_to_the_target() {
    let world = world();
    assert_eq!(example(&world, "watching", &[CVM, "Running"]), "running\n");
}

#[test]
fn the_upgrade_example_brings_a_cvm_to_the_new_hash() {
    let world = World::start();
    world.file("docker-compose.yml", NEW_COMPOSE);
    let said = example(&world, "upgrade", &[CVM, "docker-compose.yml"]);
    assert!(said.contains("the CVM runs what .countersign/"), "{said}");
    assert_eq!(world.cloud.commits(CVM), [world.hash_with(NEW_COMPOSE)]);
}
