//! The API's versions: whole upgrades in each of them, and what each calls things.

use serde_json::{Value, json};

use crate::harness::flow::{BINARY, Flow, Ran};
use crate::support::World;
use crate::support::world::CVM;

/// Every version that is known, the oldest first.
const VERSIONS: [&str; 4] = ["2025-10-28", "2026-01-21", "2026-05-22", "2026-06-23"];

fn ask(world: &World, words: &str) -> Ran {
    let words: Vec<String> = words.split(' ').map(|word| word.replace("{cvm}", CVM)).collect();
    Ran::of(world.countersign(BINARY).args(&words).arg("--json"))
}

/// The versions of the requests that the cloud did not refuse for theirs, each once.
fn spoken(world: &World) -> Vec<String> {
    let answered = world.cloud.requests().into_iter().filter(|one| one.status != 422);
    let mut all: Vec<String> = answered
        .filter_map(|one| Some(one.header("x-phala-version")?.to_owned()))
        .collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_whole_upgrade_with_an_environment_works_in_each_version_that_a_server_may_speak() {
    for version in VERSIONS {
        let world = World::start();
        // The newest version has no key for an environment: it is the one before's.
        let oldest = if version == "2026-06-23" { "2026-05-22" } else { version };
        world.cloud.speak(oldest, version);
        let env = world.file("prod.env", "DATABASE_URL=postgres://db\nLOG_LEVEL=info\n");
        let flow = Flow::new(&world);
        let mut words = vec!["-e", env.to_str().unwrap()];
        let first = version == "2025-10-28";
        if first {
            // A record of then names no hash: whoever goes on agrees to what cannot be known, and nothing tells the end.
            words.extend(["--accept-unverified-hash", "--accept", "BASE_UNKNOWN=none", "--no-wait"]);
        }
        let done = flow.with("upgrade", &words).exits(0);
        assert_eq!(done.effect("commit"), "done", "{version}: {}", done.said);
        assert!(first || done.effect("live") == "done", "{version}: {}", done.said);
        world.cloud.wait_for_hash(CVM, flow.hash);
        flow.landed_once();
        assert_eq!(world.cloud.cvm(CVM).environment["LOG_LEVEL"], "info");
        let mut expected = vec![oldest.to_owned(), version.to_owned()];
        expected.dedup();
        assert_eq!(spoken(&world), expected, "{version}");
    }
}

#[test]
fn a_server_that_speaks_all_of_them_is_asked_in_the_newest_but_for_what_only_an_older_one_says() {
    let world = World::start();
    let env = world.file("prod.env", "DATABASE_URL=postgres://db\nLOG_LEVEL=info\n");
    Flow::new(&world)
        .with("upgrade", &["-e", env.to_str().unwrap()])
        .exits(0);
    for request in world.cloud.requests() {
        let Some(version) = request.header("x-phala-version") else {
            assert!(request.path.ends_with("/state"), "{}", request.path);
            continue;
        };
        let newest = VERSIONS[3];
        let expected = match request.path.contains("/pubkey/") {
            true => "2026-05-22",
            false => newest,
        };
        let names_its_kms = version == "2025-10-28" && request.path.ends_with(CVM);
        assert!(version == expected || names_its_kms, "{} in {version}", request.path);
        assert_eq!(
            request.status / 100,
            if request.status == 465 { 4 } else { 2 },
            "{}",
            request.path
        );
    }
}

#[test]
fn a_kms_is_a_contract_with_nodes_and_in_older_versions_a_node() {
    let world = World::start();
    let contract = format!("{:?}", world.kms);
    let of = |ran: &Ran, place: &str| ran.json["data"].pointer(place).cloned().unwrap_or(Value::Null);
    let all = ask(&world, "kms list").exits(0);
    assert_eq!(of(&all, "/items/0/slug"), "phala");
    assert_eq!(
        (of(&all, "/items/0/chain_id"), of(&all, "/items/0/contract")),
        (Value::Null, Value::Null)
    );
    let base = ask(&world, "kms show base").exits(0);
    assert_eq!(
        (of(&base, "/id"), of(&base, "/contract")),
        (json!("kc_base"), json!(contract))
    );
    assert_eq!(
        (of(&base, "/node_count"), base.fact("chain_id")),
        (json!(1), &json!(31337))
    );
    let root = of(&base, "/k256_pubkey");
    assert!(root.as_str().unwrap().starts_with("0x0"), "{root}");
    let nodes = ask(&world, "kms nodes base").exits(0);
    assert_eq!(of(&nodes, "/items/0/slug"), "kms-base-prod9");
    let node = ask(&world, "kms show kms-base-prod9").exits(0);
    assert_eq!(
        (of(&node, "/id"), of(&node, "/url")),
        (json!("kms_abc"), json!("https://kms.sim.invalid"))
    );
    let key = ask(&world, &format!("kms pubkey kms-base-prod9 {}", world.app)).exits(0);
    assert!(of(&key, "/public_key").is_string());
    ask(&world, "kms show nobody").exits(6).says("API_NOT_FOUND");
    // A server of before speaks of nodes alone.
    world.cloud.speak("2025-10-28", "2026-05-22");
    let node = ask(&world, "kms show kms-base-prod9").exits(0);
    assert_eq!(
        (of(&node, "/id"), of(&node, "/contract")),
        (json!("kms_abc"), json!(contract))
    );
    ask(&world, "kms nodes base").exits(6).says("API_NOT_FOUND");
}

#[test]
fn ids_of_cvms_are_read_as_numbers_and_as_texts() {
    let world = World::start();
    for (version, id) in [("2026-01-21", "1"), ("2026-06-23", "cvm_00000001")] {
        world.cloud.speak("2025-10-28", version);
        let refreshed = ask(&world, "cvm instance-id --cvm {cvm} --yes").exits(0);
        assert_eq!(refreshed.json["data"]["cvm_id"], id, "{}", refreshed.said);
        let stopped = ask(&world, "cvm stop --cvm {cvm} --wait --yes").exits(0);
        assert_eq!(stopped.json["data"]["cvm"]["status"], "stopped");
        ask(&world, "cvm start --cvm {cvm} --wait --yes").exits(0);
    }
}

#[test]
fn a_version_of_tomorrow_is_read_and_said() {
    let world = World::start();
    world.cloud.lie(|lies| lies.version = Some("2027-02-01".to_owned()));
    let plan = Flow::new(&world).step("plan").exits(0);
    let warnings = plan.json["warnings"].as_array().unwrap();
    let said = warnings
        .iter()
        .find(|one| one["code"] == "CLOUD_VERSION_UNKNOWN")
        .expect("it is said");
    assert!(said["text"].as_str().unwrap().contains("2027-02-01"), "{said}");
    world.cloud.lie(|lies| lies.version = Some("2026-06-23".to_owned()));
    let plan = Flow::new(&world).step("plan").exits(0);
    assert!(!plan.said.contains("CLOUD_VERSION_UNKNOWN"), "{}", plan.said);
}
