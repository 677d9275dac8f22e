//! A run that made its hash live goes on to the hardware, as far as it was asked to.

use std::process::Command;

use super::saved;
use crate::harness::flow::{Flow, Ran};
use crate::harness::judge;
use crate::support::attested::{Behaviour, Serves};
use crate::support::{Attested, World};

/// A step of the upgrade that goes on to the servers of `attested`.
fn step(flow: &Flow<'_>, attested: &Attested, name: &str, how: &str) -> Command {
    let (guest, pccs) = (attested.guest(), attested.pccs());
    let more = ["--attest", how, "--guest-url", &guest, "--pccs", &pccs];
    let mut command = judge::command(flow, name, &more);
    command.env("COUNTERSIGN_TEST_ROOT", attested.root());
    command
}

fn is_broken(ran: &Ran) -> bool {
    ran.json["data"]["attestation"]["standing"] == "broken"
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn an_upgrade_goes_on_to_the_hardware_and_fails_where_a_link_is_broken() {
    let world = World::start();
    let attested = Attested::of(&world);
    let flow = Flow::new(&world);
    let proven = Ran::of(&mut step(&flow, &attested, "upgrade", "require"))
        .exits(0)
        .says("OK");
    let links = proven.json["data"]["attestation"]["links"].as_array().unwrap();
    let open: Vec<_> = links.iter().filter(|one| one["standing"] != "holds").collect();
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0]["link"], "fresh");
    let file = flow.dir.join("attestation.json");
    assert_eq!(saved(&file)["wanted"]["named_by"], "upgrade");
    // Nothing was asked of the hardware by a run that was told not to, and the file stays what it was.
    let before = attested.requests().len();
    Ran::of(&mut step(&flow, &attested, "resume", "no")).exits(0);
    assert_eq!(attested.requests().len(), before);
    // What is missing changes the end of a run that insists, and of no other.
    attested.behave(Behaviour {
        pccs: Serves::Status(503),
        ..Behaviour::default()
    });
    Ran::of(&mut step(&flow, &attested, "commit", "require"))
        .exits(75)
        .says("COLLATERAL_UNREACHABLE");
    let tried = Ran::of(&mut step(&flow, &attested, "commit", "try"))
        .exits(0)
        .says("OK");
    assert_eq!(tried.json["data"]["attestation"]["standing"], "not-known");
    assert!(!is_broken(&tried));
    // A link that is broken is one for whoever only tried.
    attested.behave(Behaviour::default());
    attested.lie(|cvm| cvm.measure("compose-hash", &[0x66; 32]));
    for how in ["try", "require"] {
        let broken = Ran::of(&mut step(&flow, &attested, "resume", how));
        assert!(is_broken(&broken.exits(5).says("ATTESTATION_BROKEN")), "{how}");
    }
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn the_project_says_how_much_of_a_proof_a_run_insists_on() {
    let world = World::start();
    let attested = Attested::of(&world);
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    assert!(!flow.dir.join("attestation.json").exists());
    world.file(
        "phala.toml",
        &format!("kms = \"{}\"\nattest = \"require\"\n", world.kms),
    );
    attested.behave(Behaviour {
        pccs: Serves::Status(503),
        ..Behaviour::default()
    });
    let (guest, pccs) = (attested.guest(), attested.pccs());
    let mut commit = judge::command(&flow, "commit", &["--guest-url", &guest, "--pccs", &pccs]);
    commit.env("COUNTERSIGN_TEST_ROOT", attested.root());
    Ran::of(&mut commit).exits(75).says("COLLATERAL_UNREACHABLE");
    // A KMS that nobody knows is a decision for whoever insists.
    world.file("phala.toml", "attest = \"require\"\n");
    Ran::of(&mut commit).exits(6).says("KMS_NOT_KNOWN");
    world.file("phala.toml", "attest = \"try\"\n");
    let tried = Ran::of(&mut commit).exits(0).says("OK");
    let told = &tried.json["data"]["attestation"];
    assert_eq!(told["standing"], "not-known", "{}", tried.said);
    assert!(told["why"].as_str().unwrap().contains("KMS contract"), "{}", tried.said);
    world.file("phala.toml", "attest = \"sometimes\"\n");
    Ran::of(&mut commit).exits(3).says("INPUT_PROJECT_FILE");
}

#[test]
fn what_is_wrong_about_the_proof_is_told_before_anything_takes_effect() {
    let world = World::start();
    let flow = Flow::new(&world);
    let level = ["--attest", "try", "--accept", "TCB_STATUS=Splendid"];
    flow.with("upgrade", &level).exits(2).says("USAGE_INVALID_VALUE");
    world.file("phala.toml", "attest = \"sometimes\"\n");
    flow.step("upgrade").exits(3).says("INPUT_PROJECT_FILE");
    assert!(!flow.dir.exists(), "nothing is begun");
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn a_verdict_that_cannot_be_kept_is_told_and_ends_only_a_run_that_insists() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    std::fs::create_dir(flow.dir.join("attestation.json")).unwrap();
    let nowhere = crate::support::attested::closed_port();
    let commit = |how: &str| {
        let more = ["--attest", how, "--guest-url", &nowhere, "--pccs", &nowhere];
        Ran::of(&mut judge::command(&flow, "commit", &more))
    };
    let tried = commit("try").exits(0).says("OK");
    let why = tried.json["data"]["attestation_not_kept"].as_str().unwrap();
    assert!(why.contains("attestation.json"), "{why}");
    assert_ne!(commit("require").exit, 0);
}

#[test]
fn a_proof_that_is_insisted_on_is_not_passed_over_where_phala_cloud_names_no_kms() {
    let world = World::start();
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(std::sync::Arc::new(|record| {
            for name in ["kms_contract_address", "dstack_kms_address"] {
                record["kms_info"][name] = serde_json::Value::Null;
            }
        }));
    });
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    let nowhere = crate::support::attested::closed_port();
    let commit = |how: &str| {
        let more = ["--attest", how, "--guest-url", &nowhere, "--pccs", &nowhere];
        Ran::of(&mut judge::command(&flow, "commit", &more))
    };
    commit("try").exits(0);
    commit("require").exits(6).says("KMS_OFFCHAIN");
}
