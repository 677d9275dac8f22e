//! `attest` end to end: the real binary, the real contracts on a real chain, and a guest, a cloud and a server of collateral that
//! show evidence of one generator, honest or not.

mod attacks;
mod fleet;
mod follow;
mod missing;
mod second_opinion;

use std::path::Path;

use serde_json::Value;

use crate::harness::flow::{BINARY, Flow, Ran};
use crate::support::attested::Behaviour;
use crate::support::cloud::API_KEY;
use crate::support::command::{run, shown};
use crate::support::contracts::abi;
use crate::support::world::CVM;
use crate::support::{Attested, World};

/// `attest` of the world's CVM at the servers of `attested`, with more arguments.
fn attest(world: &World, attested: &Attested, more: &[&str]) -> Ran {
    let (guest, pccs) = (attested.guest(), attested.pccs());
    let mut arguments = vec!["--guest-url", guest.as_str(), "--pccs", pccs.as_str()];
    arguments.extend(more);
    of(world, attested, &arguments)
}

/// `attest` with these arguments alone.
fn of(world: &World, attested: &Attested, arguments: &[&str]) -> Ran {
    let mut command = world.countersign(BINARY);
    command.args(["attest", "--json"]).args(arguments);
    if !arguments.contains(&"--evidence") {
        command.args(["--cvm", CVM]);
    }
    Ran::of(command.env("COUNTERSIGN_TEST_ROOT", attested.root()))
}

/// What a link is.
fn standing<'r>(ran: &'r Ran, link: &str) -> &'r str {
    let links = ran.json["data"]["links"].as_array();
    let found = links.into_iter().flatten().find(|one| one["link"] == link);
    found.and_then(|one| one["standing"].as_str()).unwrap_or("absent")
}

/// The first link that does not hold, and how.
fn first(ran: &Ran) -> (&str, &str) {
    for grave in ["broken", "not-known"] {
        let links = ran.json["data"]["links"].as_array().unwrap();
        let found = links
            .iter()
            .find(|one| one["standing"] == grave && (one["link"] != "fresh" || grave == "broken"));
        if let Some(one) = found {
            return (one["link"].as_str().unwrap(), grave);
        }
    }
    ("none", "holds")
}

fn saved(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn an_upgrade_is_proven_at_the_hardware_and_anybody_judges_it_again() {
    let world = World::start();
    let attested = Attested::of(&world);
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let proven = attest(&world, &attested, &["--dir", dir]).exits(0).says("OK");
    assert_eq!(first(&proven), ("none", "holds"), "{}", proven.said);
    assert_eq!(standing(&proven, "fresh"), "not-known");
    assert_eq!(proven.json["data"]["image_by"], serde_json::json!(["kms"]));
    assert_eq!(proven.json["data"]["wanted"]["named_by"], "upgrade");
    assert_eq!(proven.fact("compose_hash"), &flow.hash.to_string());
    // For people, in words that are true.
    let mut command = world.countersign(BINARY);
    let (guest, pccs) = (attested.guest(), attested.pccs());
    command.args(["attest", CVM, "--dir", dir, "--guest-url", &guest, "--pccs", &pccs]);
    let page = run(command.env("COUNTERSIGN_TEST_ROOT", attested.root()));
    let page = shown(&page);
    let transaction = flow.json_file("evidence.json")["transaction"]["hash"].to_string();
    for part in [
        "TEST ROOT",
        "PROVEN except: fresh",
        "UpToDate, no advisories",
        "measured in RTMR3 and MRCONFIGID = approved in transaction",
        "key provider = kmsInfo().caPubkey of",
        "certified by that KMS",
        "not proven: there is no answer to a number that was sent to it; the certificate was issued about",
    ] {
        assert!(page.contains(part), "{part}: {page}\n{transaction}");
    }
    for word in ["verified", "secure"] {
        assert!(!page.contains(word), "{word}: {page}");
    }
    // What was kept is judged again, by nobody's help and to the same end.
    let file = flow.dir.join("attestation.json");
    let kept = saved(&file);
    assert_eq!(kept["format"], "countersign.attestation/1");
    let mut command = crate::support::countersign(BINARY, world.folder());
    command.args(["attest", "--json", "--evidence"]).arg(&file);
    let again = Ran::of(command.env("COUNTERSIGN_TEST_ROOT", attested.root()))
        .exits(0)
        .says("OK");
    assert_eq!(again.json["data"]["links"], proven.json["data"]["links"]);
    assert_eq!(again.json["data"]["at"], kept["at"]);
    assert!(
        again.json["message"].as_str().unwrap().contains("the file's word"),
        "{}",
        again.said
    );
    a_kms_that_its_writer_chose_is_not_believed(&world, &attested, kept);
    // Of another time its collateral says nothing, and another hash is not what was measured.
    let path = file.to_str().unwrap();
    let late = of(&world, &attested, &["--evidence", path, "--at", "2048-01-01T00:00:00Z"]);
    let late = late.exits(6).says("NOT_PROVEN");
    assert_eq!(first(&late), ("genuine", "not-known"));
    let other = world.first_hash.to_string();
    let other = of(&world, &attested, &["--evidence", path, "--compose-hash", &other]);
    assert_eq!(first(&other.exits(5).says("ATTESTATION_BROKEN")), ("compose", "broken"));
    the_key_stayed_at_home(&attested);
}

/// Whoever writes a file may name a KMS of their own: it is asked about as Phala Cloud's is.
fn a_kms_that_its_writer_chose_is_not_believed(world: &World, attested: &Attested, mut forged: Value) {
    forged["wanted"]["kms"] = "0x6666666666666666666666666666666666666666".into();
    let forged = world.file("forged.json", &forged.to_string());
    let forged = forged.to_str().unwrap();
    of(world, attested, &["--evidence", forged])
        .exits(5)
        .says("KMS_MISMATCH");
    let empty = tempfile::tempdir().unwrap();
    let mut elsewhere = crate::support::countersign(BINARY, empty.path());
    elsewhere.args(["attest", "--json", "--evidence", forged]);
    Ran::of(elsewhere.env("COUNTERSIGN_TEST_ROOT", attested.root()))
        .exits(6)
        .says("KMS_NOT_KNOWN");
}

/// The API key went to Phala Cloud alone.
fn the_key_stayed_at_home(attested: &Attested) {
    let requests = attested.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    for asked in [
        "/guest/prpc/Info",
        "/pccs/tdx/certification/v4/tcb",
        "/pccs/sgx/certification/v4/rootcacrl",
    ] {
        assert!(paths.contains(&asked), "{asked}: {paths:?}");
    }
    for request in &requests {
        let all = format!("{request:?}");
        let body = String::from_utf8_lossy(&request.body);
        assert!(!all.contains(API_KEY) && !body.contains(API_KEY), "{all}");
        for header in ["x-api-key", "authorization", "cookie", "referer"] {
            assert_eq!(request.header(header), None, "{all}");
        }
    }
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn what_ran_before_is_waited_for_and_a_third_hash_is_broken() {
    let world = World::start();
    let attested = Attested::of(&world);
    let flow = Flow::new(&world);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let dir = flow.dir.to_str().unwrap();
    let early = attest(&world, &attested, &["--dir", dir])
        .exits(8)
        .says("PENDING_ATTESTATION");
    assert_eq!(standing(&early, "compose"), "broken");
    // What ran before may be off the list already.
    world.as_owner(&abi::removeComposeHashCall {
        composeHash: world.first_hash,
    });
    attest(&world, &attested, &["--dir", dir])
        .exits(8)
        .says("PENDING_ATTESTATION");
    // With keys of another KMS it is not what ran before.
    attested.lie(|cvm| cvm.measure("key-provider", br#"{"name":"local-sgx","id":""}"#));
    attest(&world, &attested, &["--dir", dir])
        .exits(5)
        .says("ATTESTATION_BROKEN");
    attested.lie(|cvm| crate::support::attested::boot(cvm, b"{\"third\":true}".to_vec()));
    let third = attest(&world, &attested, &["--dir", dir])
        .exits(5)
        .says("ATTESTATION_BROKEN");
    assert_eq!(first(&third), ("compose", "broken"));
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn a_number_that_the_app_answers_shows_when() {
    let world = World::start();
    let attested = Attested::of(&world);
    let app = attested.app();
    let asked = ["--attest-url", app.as_str()];
    let fresh = attest(&world, &attested, &asked).exits(0);
    assert_eq!(standing(&fresh, "fresh"), "holds");
    let numbers = || -> Vec<String> {
        let requests = attested.requests();
        let asked = requests.iter().filter(|request| request.path.starts_with("/app/"));
        asked.map(|request| request.path.clone()).collect()
    };
    attest(&world, &attested, &asked).exits(0);
    let numbers = numbers();
    assert!(numbers.len() == 2 && numbers[0] != numbers[1], "{numbers:?}");
    // A quote about something else is a lie, not a lack.
    attested.behave(Behaviour {
        answers: Some([7; 64]),
        ..Behaviour::default()
    });
    let replayed = attest(&world, &attested, &asked).exits(5).says("ATTESTATION_BROKEN");
    assert_eq!(first(&replayed), ("fresh", "broken"));
    of(&world, &attested, &["--attest-url", "https://app.example/quote"]).exits(2);
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn a_test_build_says_so_and_takes_no_test_root_that_nobody_named() {
    let world = World::start();
    let attested = Attested::of(&world);
    let (guest, pccs) = (attested.guest(), attested.pccs());
    let mut command = world.countersign(BINARY);
    command.args(["attest", "--json", "--cvm", CVM, "--guest-url", &guest, "--pccs", &pccs]);
    let intel = Ran::of(&mut command).exits(5).says("ATTESTATION_BROKEN");
    assert_eq!(first(&intel), ("genuine", "broken"));
    assert_eq!(intel.json["data"]["test_root"], false);
    let version = |more: &[&str]| shown(&run(world.countersign(BINARY).arg("--version").args(more)));
    assert!(version(&["-v"]).contains("TEST BUILD"));
    assert!(!version(&[]).contains("TEST BUILD"));
}
