//! Setting a folder up: what is read, what is written, and that the official client reads the same file.

use std::process::Command;

use serde_json::json;

use crate::chain::liar::Liar;
use crate::cloud::peers::phala;
use crate::harness::flow::{BINARY, Ran};
use crate::support::command::{run, shown};
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

const SAFE: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};

fn countersign(world: &World, words: &[&str]) -> Command {
    let mut command = world.countersign(BINARY);
    command.args(words);
    command
}

fn init(world: &World, more: &[&str]) -> Ran {
    Ran::of(&mut countersign(
        world,
        &[&["init", "--json"] as &[&str], more].concat(),
    ))
}

fn file(world: &World) -> String {
    std::fs::read_to_string(world.folder().join("phala.toml")).unwrap_or_default()
}

/// What a person is shown on stdout.
fn page(world: &World, words: &[&str]) -> String {
    let output = run(&mut countersign(world, words));
    assert!(output.status.success(), "{}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_folder_is_set_up_once_and_short_commands_work_in_it_for_both_clients() {
    let world = World::with(WorldOptions {
        safe: Some(SAFE),
        ..WorldOptions::default()
    });
    world.file("docker-compose.yml", NEW_COMPOSE);
    let alice = format!("alice={}", ACCOUNTS[0].address);
    let words = [
        "--owner",
        &alice,
        "--rpc-url",
        &world.anvil.url(),
        "--signer",
        "env:SIGNER_0",
        "--confirmations",
        "1",
    ];
    // Nobody agreed.
    let before = file(&world);
    let refused = init(&world, &words).exits(2).says("USAGE_CONSENT");
    assert!(
        refused.said.contains("--yes") && file(&world) == before,
        "{}",
        refused.said
    );
    let done = init(&world, &[&words[..], &["--yes"]].concat()).exits(0);
    let data = &done.json["data"];
    assert_eq!((&data["written"], &data["file"]), (&json!(true), &json!("phala.toml")));
    let owner = &data["chain"]["owner"]["safe"];
    assert_eq!(owner["owners"].as_array().map(Vec::len), Some(SAFE.owners), "{data}");
    assert_eq!(done.json["next"], "countersign plan");
    let text = file(&world);
    for line in [
        format!("name = \"{CVM}\""),
        "compose_file = \"docker-compose.yml\"".to_owned(),
        format!("app = \"{}\"", world.app),
        "[countersign.owners]".to_owned(),
        format!("alice = \"{}\"", ACCOUNTS[0].address),
        "signer = \"env:SIGNER_0\"".to_owned(),
        "confirmations = 1".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    // Once more it writes nothing, and asks nobody.
    let again = init(&world, &[]).exits(0);
    assert_eq!((&again.json["data"]["written"], file(&world)), (&json!(false), text));
    short_commands(&world);
    // The official client takes the file as it is.
    let output = phala(&world, &["deploy", "--prepare-only", "--json"]);
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(world.cloud.tokens().len(), 1);
}

/// The endpoint comes from the file, the name stands beside the address.
fn short_commands(world: &World) {
    let mut short = countersign(world, &["plan", "--json"]);
    short.env_remove("ETH_RPC_URL");
    let planned = Ran::of(&mut short).exits(0);
    let said = format!("; the endpoints are {}", world.anvil.url());
    assert!(
        planned.said.contains("`phala.toml` says ") && planned.said.contains(&said),
        "{}",
        planned.said
    );
    let from = &planned.json["facts"]["settings"];
    assert_eq!(
        (&from["rpc_url"], &from["api_key"]),
        (&json!("phala.toml"), &json!("PHALA_CLOUD_API_KEY")),
        "{from}"
    );
    let shown = page(world, &["app", "owner", "show"]);
    assert!(shown.contains(&format!("{} (alice)", ACCOUNTS[0].address)), "{shown}");
    assert!(!shown.contains("(bob)"), "{shown}");
    let other = Ran::of(&mut countersign(
        world,
        &["plan", "--json", "--rpc-url", &world.anvil.url()],
    ))
    .exits(0);
    assert_eq!(other.json["facts"]["settings"]["rpc_url"], "--rpc-url");
}

#[test]
fn of_several_cvms_one_is_named_and_a_file_for_another_is_refused() {
    let world = World::start();
    let second = world.add_cvm(2);
    let refused = init(&world, &["--yes"]).exits(2).says("USAGE_NO_CVM");
    for name in [CVM, &second.name] {
        assert!(refused.said.contains(name), "{}", refused.said);
    }
    assert!(
        refused.json["next"].as_str().unwrap().contains("--cvm"),
        "{}",
        refused.said
    );
    world.file("phala.toml", "");
    init(&world, &[CVM, "--yes"]).exits(0);
    // Phala Cloud's word alone vouches for no KMS.
    let text = file(&world);
    assert!(text.contains("app = ") && !text.contains("kms"), "{text}");
    init(&world, &[&second.name, "--yes"])
        .exits(3)
        .says("INPUT_PROJECT_FILE");
    init(&world, &["--owner", "alice=0x12"]).exits(2);
    let name = format!("0x12={}", world.app);
    init(&world, &["--owner", &name, "--yes"])
        .exits(3)
        .says("INPUT_PROJECT_FILE");
    init(&world, &["-c", "missing.yml", "--yes"]).exits(2);
    world.file("phala.toml", "[countersign]\nrpc = 1\n");
    init(&world, &[CVM, "--yes"]).exits(3).says("INPUT_PROJECT_FILE");
}

#[test]
fn an_endpoint_that_may_hold_a_key_is_not_written_and_one_of_another_chain_is_refused() {
    let world = World::start();
    let endpoint = Liar::to(&world.anvil.url(), |_, _| None);
    let keyed = format!("{}/0123456789abcdef0123456789abcdef", endpoint.url());
    let done = init(&world, &["--rpc-url", &keyed, "--yes"]).exits(0);
    assert!(!file(&world).contains("0123456789abcdef"), "{}", file(&world));
    assert!(!done.said.contains("0123456789abcdef"), "{}", done.said);
    world.file("phala.toml", "");
    let other = crate::support::Anvil::start(crate::support::AnvilOptions {
        chain_id: 8453,
        ..crate::support::AnvilOptions::default()
    });
    let refused = init(&world, &["--rpc-url", &other.url(), "--yes"]);
    assert_ne!(refused.exit, 0, "{}", refused.said);
    assert!(file(&world).is_empty());
}
