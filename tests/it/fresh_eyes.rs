//! What somebody found who had nothing but the binary: other agreements that show elsewhere, proposals that are wrong and
//! have to be rejected, signatures that nobody made, and what is said and advised after each step.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::flow::{Flow, Ran};
use crate::safe_notices::ground;
use crate::safe_service::{Elsewhere, elsewhere};
use crate::safe_upgrade::signer;
use crate::support::world::CVM;
use crate::support::{ACCOUNTS, SafeOptions, World, WorldOptions};

fn world() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

/// A prepared upgrade in a directory of its own, and a copy of its proposal outside of it.
fn proposed(world: &World, name: &str) -> PathBuf {
    let text = format!("services:\n  web:\n    image: nginx:{name}\n");
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join(name);
    flow.compose = world.file(&format!("{name}.yml"), &text);
    let same = [
        "--supersede",
        "--safe-nonce",
        "0",
        "--accept",
        "SAFE_NONCE_TAKEN_HERE=0",
    ];
    flow.with("prepare", &same).exits(0);
    let place = world.folder().join(format!("{name}-sent"));
    std::fs::create_dir(&place).unwrap();
    let copy = place.join("p.json");
    std::fs::copy(flow.dir.join("proposal.json"), &copy).unwrap();
    copy
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn digest(file: &Path) -> String {
    json(file)["safe"]["digests"]["safe_tx"].as_str().unwrap().to_owned()
}

/// A command on a file, in a folder of its own below the world's, with a home of its own.
fn run_at(world: &World, (place, home): (&str, &str), arguments: &[&str]) -> Ran {
    let (place, home) = (world.folder().join(place), world.folder().join(home));
    for dir in [&place, &home] {
        std::fs::create_dir_all(dir).unwrap();
    }
    let flow = Flow::new(world);
    let mut command = flow.command(arguments);
    command.arg("--json").current_dir(place);
    command.env("HOME", &home).env_remove("XDG_STATE_HOME");
    Ran::of(&mut command)
}

fn run(world: &World, arguments: &[&str]) -> Ran {
    run_at(world, ("here", "home"), arguments)
}

#[test]
fn fre_5a_another_digest_that_the_service_shows_of_an_owner_stops_it_as_its_own_record_does() {
    let (world, service) = ground();
    let file = proposed(&world, "a");
    let file = file.to_str().unwrap();
    let other = elsewhere(&service, world.safe.unwrap(), (0, 1), Elsewhere::Signed(1)).to_string();
    let (url, key, out) = (service.url(), signer(1), world.folder().join("o"));
    let sign = ["sign", file, "--service-url", &url, "--signer", &key, "--yes"];
    let to_file = [&sign[..], &["--out", out.to_str().unwrap()]].concat();
    let refused = run(&world, &to_file).exits(6).says("ALREADY_SIGNED");
    assert!(refused.said.contains(&other), "{}", refused.said);
    assert!(!out.exists());
    let execute = ["execute", file, "--service-url", &url, "--signer", &key, "--yes"];
    for index in [0, 2] {
        let key = signer(index);
        run(&world, &["sign", file, "--signer", &key, "--yes"]).exits(0);
    }
    run(&world, &execute).exits(6).says("ALREADY_SIGNED");
    let known = format!("ALREADY_SIGNED={other}");
    run(&world, &[&to_file[..], &["--accept", &known]].concat()).exits(0);
    // Whoever agreed to nothing else is not hindered, nor is anybody by a service that is not there.
    let key = signer(2);
    run(
        &world,
        &["sign", file, "--service-url", &url, "--signer", &key, "--yes"],
    )
    .exits(0);
    let nowhere = ["--service-url", "http://127.0.0.1:1"];
    let key = signer(0);
    let ran = run(
        &world,
        &[&["sign", file, "--signer", &key, "--yes"], &nowhere[..]].concat(),
    );
    ran.exits(0);
}

#[test]
fn fre_5b_an_approval_on_chain_in_a_neighbours_journal_counts_without_a_record() {
    let world = world();
    let (a, b) = (proposed(&world, "a"), proposed(&world, "b"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let key = signer(1);
    run(&world, &["sign", b, "--on-chain", "--signer", &key, "--yes"]).exits(0);
    let refused = run_at(&world, ("here", "other"), &["sign", a, "--signer", &key, "--yes"]);
    let refused = refused.exits(6).says("ALREADY_SIGNED");
    assert!(refused.said.contains(&digest(Path::new(b))), "{}", refused.said);
    // Where the journal of it is gone and only a copy of the proposal is left, the chain still says it.
    let place = world.folder().join("left").join(".countersign").join("b");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::copy(b, place.join("proposal.json")).unwrap();
    let refused = run_at(&world, ("left", "third"), &["sign", a, "--signer", &key, "--yes"]);
    let refused = refused.exits(6).says("ALREADY_SIGNED");
    assert!(refused.said.contains("as the chain shows"), "{}", refused.said);
    let free = signer(2);
    run_at(&world, ("left", "third"), &["sign", a, "--signer", &free, "--yes"]).exits(0);
}
