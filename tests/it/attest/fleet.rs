//! The CVMs of a fleet are proven one by one, the canaries before any other is touched.

use std::process::Command;

use super::saved;
use crate::harness::flow::{Flow, Ran};
use crate::support::attested::{Behaviour, Serves};
use crate::support::world::CVM;
use crate::support::{Attested, World};

/// A fleet of two that is approved: the first can be attested, and the second one's guest shows what the first one's does.
fn approved(world: &World) -> Flow<'_> {
    let flow = Flow::new(world);
    let (dir, compose) = (flow.dir.to_str().unwrap(), flow.compose.to_str().unwrap());
    let prepare = [
        "fleet", "prepare", "--json", "--cvm", CVM, "--all", "-c", compose, "--dir", dir,
    ];
    Ran::of(&mut flow.command(&prepare)).exits(0);
    let first = flow.dir.join(CVM);
    let first = first.to_str().unwrap();
    let execute = [
        "execute",
        "--json",
        "--dir",
        first,
        "--signer",
        "env:OWNER_KEY",
        "--yes",
    ];
    Ran::of(&mut flow.command(&execute)).exits(0);
    Ran::of(&mut flow.command(&["wait", "--json", "--dir", first])).exits(0);
    flow
}

fn commit(flow: &Flow<'_>, attested: &Attested, how: &str) -> Command {
    let (guest, pccs) = (attested.guest(), attested.pccs());
    let dir = flow.dir.to_str().unwrap();
    let mut command = flow.command(&["fleet", "commit", "--json", "--yes", "--dir", dir, "--attest", how]);
    command.args(["--guest-url", &guest, "--pccs", &pccs]);
    command.env("COUNTERSIGN_TEST_ROOT", attested.root());
    command
}

/// What was said of each CVM's hardware.
fn standings(ran: &Ran) -> Vec<(&str, &str)> {
    let all = ran.json["data"]["hardware"].as_array().unwrap().iter();
    all.map(|one| {
        let standing = &one["attestation"]["standing"];
        (one["cvm"].as_str().unwrap(), standing.as_str().unwrap())
    })
    .collect()
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn a_canary_that_is_not_proven_stops_the_others_and_one_that_is_broken_ends_the_run() {
    let world = World::start();
    let second = world.add_cvm(2).name;
    let attested = Attested::of(&world);
    let flow = approved(&world);
    attested.behave(Behaviour {
        pccs: Serves::Status(503),
        ..Behaviour::default()
    });
    for run in 0..2 {
        let ran = Ran::of(&mut commit(&flow, &attested, "require"));
        let ran = ran.exits(75).says("COLLATERAL_UNREACHABLE");
        assert_eq!(standings(&ran), [(CVM, "not-known")], "{run}");
        assert!(ran.json["message"].as_str().unwrap().starts_with(CVM), "{}", ran.said);
        assert_eq!(world.cloud.commits(CVM), [flow.hash]);
        assert!(world.cloud.commits(&second).is_empty(), "the canary is not proven");
    }
    attested.behave(Behaviour::default());
    let ran = Ran::of(&mut commit(&flow, &attested, "require"))
        .exits(5)
        .says("ATTESTATION_BROKEN");
    let mut found = standings(&ran);
    found.sort_unstable();
    let mut expected = [(CVM, "holds"), (second.as_str(), "broken")];
    expected.sort_unstable();
    assert_eq!(found, expected, "{}", ran.said);
    assert_eq!(
        world.cloud.commits(&second),
        [flow.hash],
        "it runs the hash, as far as the cloud says"
    );
    let again = format!("countersign attest --dir {}", flow.dir.join(&second).display());
    assert!(ran.json["next"].as_str().unwrap().starts_with(&again), "{}", ran.said);
    assert!(
        ran.json["message"].as_str().unwrap().contains("instance"),
        "{}",
        ran.said
    );
    assert_eq!(
        saved(&flow.dir.join(CVM).join("attestation.json"))["wanted"]["named_by"],
        "upgrade"
    );
    let evidence = flow.json_file(&format!("{CVM}/evidence.json"));
    assert!(evidence["attestation"].is_object());
    // Who asks for no proof gets none, and nobody is asked.
    let before = attested.requests().len();
    Ran::of(&mut commit(&flow, &attested, "no")).exits(0);
    assert_eq!(attested.requests().len(), before);
}

#[test]
fn a_fleet_whose_hardware_nobody_can_reach_is_committed_where_a_proof_is_only_tried() {
    let world = World::start();
    let second = world.add_cvm(2).name;
    let flow = approved(&world);
    let nowhere = crate::support::attested::closed_port();
    let dir = flow.dir.to_str().unwrap();
    let tried = [
        "fleet",
        "commit",
        "--json",
        "--yes",
        "--dir",
        dir,
        "--attest",
        "try",
        "--guest-url",
        &nowhere,
        "--pccs",
        &nowhere,
    ];
    let ran = Ran::of(&mut flow.command(&tried)).exits(0).says("OK");
    assert_eq!(standings(&ran).len(), 2, "{}", ran.said);
    assert!(standings(&ran).iter().all(|(_, standing)| *standing == "not-known"));
    for name in [CVM, &second] {
        assert_eq!(world.cloud.commits(name), [flow.hash]);
    }
}
