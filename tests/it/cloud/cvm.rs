//! `countersign cvm`, `nodes`, `kms` and `webhook` as processes, against the simulated cloud.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use alloy::primitives::keccak256;
use serde_json::{Value, json};

use crate::harness::flow::{BINARY, Flow, Ran};
use crate::support::cloud::STEP_UP;
use crate::support::contracts::abi;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{ACCOUNTS, World, WorldOptions};

/// A CVM that Phala's own KMS guards.
fn offchain() -> World {
    World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    })
}

/// Runs words with `--json`, without consent.
fn ask(world: &World, words: &str) -> Ran {
    let words: Vec<String> = words.split(' ').map(|word| word.replace("{cvm}", CVM)).collect();
    Ran::of(
        world
            .countersign(BINARY)
            .args(&words)
            .arg("--json")
            .env("COUNTERSIGN_REQUEST_MS", "20000"),
    )
}

/// The same with consent.
fn agree(world: &World, words: &str) -> Ran {
    ask(world, &format!("{words} --yes"))
}

fn data(ran: &Ran) -> &Value {
    &ran.json["data"]
}

#[test]
fn a_cvm_is_stopped_started_restarted_and_deleted_and_each_is_waited_for() {
    let world = offchain();
    let shutdown = agree(&world, "cvm shutdown --cvm {cvm} --wait").exits(0);
    assert_eq!(data(&shutdown)["cvm"]["status"], "stopped", "{}", shutdown.said);
    let start = agree(&world, "cvm start --cvm {cvm} --wait").exits(0);
    assert_eq!(data(&start)["cvm"]["status"], "running");
    agree(&world, "cvm stop --cvm {cvm} --wait").exits(0);
    agree(&world, "cvm start --cvm {cvm} --wait").exits(0);
    let restart = agree(&world, "cvm restart --cvm {cvm} --force --wait").exits(0);
    assert!(
        restart.json["message"].as_str().unwrap().contains("carried out"),
        "{}",
        restart.said
    );
    let listed = ask(&world, "cvm operations --cvm {cvm} --limit 2").exits(0);
    let kinds: Vec<_> = data(&listed)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["operation_type"])
        .collect();
    assert_eq!(kinds, ["restart", "power_on"]);
    assert!(
        listed.json["next"].as_str().unwrap().contains("--cursor 2"),
        "{}",
        listed.said
    );
    agree(&world, "cvm delete --cvm {cvm} --wait --accept CVM_DELETED={cvm}").exits(0);
    assert!(world.cloud.names().is_empty());
    ask(&world, "cvm get --cvm {cvm}").exits(6).says("API_NOT_FOUND");
}

#[test]
fn nothing_that_changes_anything_is_done_without_consent() {
    let world = offchain();
    world.file("x.yml", NEW_COMPOSE);
    world.file("env.hex", "abcd");
    let manifest = json!({"name": "x", "docker_compose_file": NEW_COMPOSE});
    world.file("app-compose.json", &manifest.to_string());
    let orders = [
        "cvm start --cvm {cvm}",
        "cvm stop --cvm {cvm}",
        "cvm shutdown --cvm {cvm}",
        "cvm restart --cvm {cvm}",
        "cvm delete --cvm {cvm}",
        "cvm cancel --cvm {cvm}",
        "cvm replicate --cvm {cvm}",
        "cvm patch --cvm {cvm} --vcpu 4",
        "cvm resources --cvm {cvm} --vcpu 4",
        "cvm visibility --cvm {cvm} --public-sysinfo true --public-logs true",
        "cvm listed true --cvm {cvm}",
        "cvm os-image dstack-0.5.8 --cvm {cvm}",
        "cvm pre-launch-script x.yml --cvm {cvm}",
        "cvm docker-compose x.yml --cvm {cvm}",
        "cvm compose-file app-compose.json --cvm {cvm}",
        "cvm envs env.hex --cvm {cvm}",
        "cvm instance-id --cvm {cvm}",
        "cvm instance-ids",
        "cvm create --name new-app -c x.yml",
        "webhook create https://example.org/hook --event cvm.updated --secret-file s",
        "webhook test wh_1",
        "webhook delete wh_1",
        "webhook resend wh_1 evt_1",
        "webhook update wh_1 --enabled false",
        "webhook rotate wh_1 --secret-file s",
    ];
    for words in orders {
        let ran = ask(&world, words).exits(2).says("USAGE_CONSENT");
        let next = ran.json["next"].as_str().unwrap();
        assert!(next.ends_with("--yes"), "{words}: {next}");
    }
    let written: Vec<_> = world
        .cloud
        .requests()
        .into_iter()
        .filter(|one| one.method != "GET")
        .collect();
    assert!(written.is_empty(), "{written:?}");
}

#[test]
fn what_can_be_read_is_read_without_consent() {
    let world = World::start();
    let get = ask(&world, "cvm get --cvm {cvm}").exits(0);
    assert_eq!(data(&get)["record"]["name"], CVM, "the record as it came");
    assert_eq!(get.fact("chain_id"), 31337);
    let list = ask(&world, "cvm list --page-size 1").exits(0);
    assert_eq!(data(&list)["items"][0]["cvm"]["name"], CVM);
    assert_eq!(data(&ask(&world, "cvm stats --cvm {cvm}").exits(0))["num_cpus"], 2);
    let network = ask(&world, "cvm network --cvm {cvm}").exits(0);
    assert!(
        data(&network)["public_urls"][0]["app"]
            .as_str()
            .unwrap()
            .starts_with("https://")
    );
    let attestation = ask(&world, "cvm attestation --cvm {cvm}").exits(0);
    let hash = format!("0x{}", hex::encode(world.first_hash));
    assert_eq!(data(&attestation)["shown_compose_hash"], hash);
    assert_eq!(data(&attestation)["measured_compose_hash"], hash);
    let images = ask(&world, "cvm os-images --cvm {cvm}").exits(0);
    assert_eq!(data(&images)["items"][0]["is_current"], true);
    ask(&world, "cvm os-images --all --page 1").exits(0);
    let watch = ask(&world, "cvm watch --cvm {cvm} --target RUNNING").exits(0);
    assert_eq!(data(&watch)["state"]["status"], "running");
    let nodes = ask(&world, "nodes").exits(0);
    assert_eq!(data(&nodes)["nodes"][0]["id"], 18);
    let kms = ask(&world, "kms list --onchain true").exits(0);
    assert_eq!(
        data(&kms)["items"][0]["contract"].as_str().unwrap().to_lowercase(),
        format!("{:?}", world.kms).to_lowercase()
    );
    ask(&world, "kms show kms-base-prod9").exits(0);
    let contracts = ask(&world, "kms contracts base").exits(0);
    assert_eq!(
        data(&contracts)["contracts"][0]["os_images"][0]["on_chain_allowed"],
        true
    );
    let key = ask(&world, &format!("kms pubkey kms_abc {}", world.app)).exits(0);
    assert!(data(&key)["public_key"].as_str().unwrap().starts_with("0x"));
    assert!(world.cloud.requests().iter().all(|one| one.method == "GET"));
}

#[test]
fn a_long_list_is_read_whole_a_few_pages_at_a_time_and_each_cvm_once() {
    let world = World::start();
    for number in 2..=450 {
        world.add_cvm(number);
    }
    let all = ask(&world, "cvm list --all").exits(0);
    let mut names: Vec<_> = data(&all)["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["cvm"]["name"].to_string())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), data(&all)["total"].as_u64()), (450, Some(450)));
    let asked = world.cloud.requests_to("GET", "/paginated");
    assert_eq!(asked.len(), 5, "as many requests as pages");
    world
        .cloud
        .change_cvm(CVM, |cvm| cvm.app = alloy::primitives::Address::repeat_byte(9));
    let of_app = ask(&world, &format!("cvm list --all --app {}", world.app)).exits(0);
    assert_eq!(data(&of_app)["items"].as_array().unwrap().len(), 449);
    ask(&world, "cvm list --all --page 2").exits(2);
}

#[test]
fn a_watch_that_takes_too_long_is_pending_and_a_cvm_named_by_phala_toml_is_found() {
    let world = offchain();
    world.file("phala.toml", &format!("name = \"{CVM}\"\nattest = \"no\"\n"));
    let watch = ask(&world, "cvm watch --target stopped --timeout 1s")
        .exits(8)
        .says("PENDING_STATUS");
    assert_ne!(data(&watch)["state"]["status"], "stopped");
    assert_eq!(watch.json["next"], format!("countersign cvm get --cvm {CVM}"));
}

#[test]
fn a_change_that_needs_an_approval_names_the_upgrade_to_go_on_with_and_that_command_works() {
    let world = World::start();
    world.file("x.yml", NEW_COMPOSE);
    let hash = world.hash_with(NEW_COMPOSE);
    for words in [
        "cvm docker-compose x.yml --cvm {cvm}",
        "cvm patch --cvm {cvm} -c x.yml --vcpu 2",
    ] {
        let ran = agree(&world, words).exits(6).says("HASH_REQUIRED");
        assert_eq!(ran.fact("compose_hash"), &json!(hash));
        assert_eq!(ran.fact("chain_id"), 31337);
        let next = ran.json["next"].as_str().unwrap();
        let words = next.strip_prefix("countersign ").unwrap();
        assert!(
            words.starts_with(&format!("prepare --cvm {CVM} --compose x.yml")),
            "{next}"
        );
        let prepared = ask(&world, &format!("{words} --supersede --dir up-{}", words.len())).exits(0);
        assert_eq!(prepared.fact("compose_hash"), &json!(hash));
    }
    let visibility = "cvm visibility --cvm {cvm} --public-sysinfo false --public-logs true";
    let ran = agree(&world, visibility).exits(6).says("HASH_REQUIRED");
    let expected = format!("countersign prepare --cvm {CVM} --public-sysinfo false --public-logs true");
    assert_eq!(ran.json["next"], expected);
    assert!(world.cloud.commits(CVM).is_empty());
}

#[test]
fn each_change_that_needs_an_approval_goes_on_as_an_upgrade_in_a_directory() {
    let world = World::start();
    world.file("x.yml", NEW_COMPOSE);
    world.file("run.sh", "#!/bin/sh\n");
    world.file("config", "text for the guest");
    let mut manifest = world.cloud.cvm(CVM).manifest;
    manifest.insert("docker_compose_file".to_owned(), json!(NEW_COMPOSE));
    manifest.insert("public_logs".to_owned(), json!(false));
    world.file("app-compose.json", &serde_json::to_string(&manifest).unwrap());
    let commands = [
        "cvm docker-compose x.yml --cvm {cvm}",
        "cvm pre-launch-script run.sh --cvm {cvm}",
        "cvm visibility --cvm {cvm} --public-sysinfo false --public-logs false",
        "cvm patch --cvm {cvm} -c x.yml --user-config config --shutdown-timeout 30",
        "cvm compose-file app-compose.json --cvm {cvm}",
    ];
    let first = world.cloud.cvm(CVM);
    for (number, words) in commands.iter().enumerate() {
        let dir = format!("up-{number}");
        let begun = agree(&world, &format!("{words} --dir {dir} --supersede")).exits(0);
        let hash = begun.fact("compose_hash").as_str().unwrap().to_owned();
        let resumed = agree(&world, &format!("resume --dir {dir} --signer env:OWNER_KEY")).exits(0);
        assert_eq!(resumed.effect("live"), "done", "{words}: {}", resumed.said);
        assert_eq!(world.cloud.cvm(CVM).compose_hash.to_string(), hash, "{words}");
        world.cloud.restore(&first);
    }
    let prepares = world.cloud.requests_to("PATCH", CVM);
    let patched = prepares
        .iter()
        .find(|one| one.json().get("user_config").is_some() && one.header("x-prepare-only").is_some());
    let patched = patched
        .expect("what the options of `prepare` do not say goes along")
        .json();
    assert_eq!(
        (&patched["user_config"], &patched["shutdown_timeout"]),
        (&json!("text for the guest"), &json!(30))
    );
    manifest.insert("name".to_owned(), json!("another"));
    world.file("other.json", &serde_json::to_string(&manifest).unwrap());
    let other = agree(&world, "cvm compose-file other.json --cvm {cvm} --dir up")
        .exits(2)
        .says("USAGE_MANIFEST_UPGRADE");
    assert!(
        other.json["message"].as_str().unwrap().ends_with(": name"),
        "{}",
        other.said
    );
    assert!(!world.folder().join("up").exists());
}

#[test]
fn the_options_of_prepare_say_all_of_a_change_but_what_was_sealed_elsewhere() {
    let world = World::start();
    world.file("x.yml", NEW_COMPOSE);
    let named = agree(
        &world,
        "cvm patch --cvm {cvm} -c x.yml --shutdown-timeout 30 --allow-force-stop",
    )
    .exits(6)
    .says("HASH_REQUIRED");
    let options =
        format!("countersign prepare --cvm {CVM} --compose x.yml --shutdown-timeout 30 --allow-force-stop=true");
    assert_eq!(named.json["next"], options);
    world.file("env.hex", "abcd");
    let named = agree(
        &world,
        "cvm patch --cvm {cvm} -c x.yml --encrypted-env env.hex --allowed-env LOG_LEVEL",
    )
    .exits(6)
    .says("HASH_REQUIRED");
    assert!(
        named.json["next"].as_str().unwrap().ends_with("--dir DIR"),
        "{}",
        named.said
    );
}

#[test]
fn the_second_phase_carries_out_what_the_owner_allowed_and_nothing_else() {
    let world = World::start();
    world.file("x.yml", NEW_COMPOSE);
    let hash = world.hash_with(NEW_COMPOSE);
    agree(&world, "cvm docker-compose x.yml --cvm {cvm}").exits(6);
    let words = format!("cvm docker-compose x.yml --cvm {{cvm}} --compose-hash {hash}");
    agree(&world, &words).exits(6).says("HASH_NOT_ALLOWED");
    let transaction = world.allow(hash);
    let other = format!(
        "cvm docker-compose x.yml --cvm {{cvm}} --compose-hash {}",
        world.first_hash
    );
    agree(&world, &other).exits(6).says("COMMIT_REJECTED_466");
    let wrong = format!("{words} --transaction-hash 0x{}", "99".repeat(32));
    agree(&world, &wrong).exits(6).says("COMMIT_REJECTED_467");
    let done = agree(&world, &format!("{words} --transaction-hash {transaction} --wait")).exits(0);
    assert!(done.fact("correlation_id").is_string(), "{}", done.said);
    assert_eq!(world.cloud.commits(CVM), [hash]);
    assert_eq!(world.cloud.cvm(CVM).compose_hash, hash);
    // The same by the unified request: the hash alone, without the change.
    world.file("y.yml", "services: {web: {image: nginx}}\n");
    let hash = world.hash_with("services: {web: {image: nginx}}\n");
    agree(&world, "cvm patch --cvm {cvm} -c y.yml")
        .exits(6)
        .says("HASH_REQUIRED");
    let transaction = world.allow(hash);
    let words = format!("cvm patch --cvm {{cvm}} --compose-hash {hash} --transaction-hash {transaction}");
    agree(&world, &format!("{words} -c y.yml"))
        .exits(2)
        .says("USAGE_SECOND_PHASE");
    agree(&world, &format!("{words} --wait")).exits(0);
    assert_eq!(world.cloud.cvm(CVM).compose_hash, hash);
}

#[test]
fn an_environment_with_other_names_needs_an_approval_and_one_with_the_same_does_not() {
    let world = World::start();
    world.file("env.hex", "abcdef\n");
    agree(&world, "cvm envs env.hex --cvm {cvm} --wait").exits(0);
    assert_eq!(world.cloud.cvm(CVM).more.encrypted_env.as_deref(), Some("abcdef"));
    let words = "cvm envs env.hex --cvm {cvm} --allowed-env B,A";
    let asked = agree(&world, words).exits(6).says("HASH_REQUIRED");
    assert_eq!(
        asked.json["next"],
        format!("countersign prepare --cvm {CVM} --allowed-env B,A")
    );
    let hash = asked.fact("compose_hash").as_str().unwrap().to_owned();
    world.allow(hash.parse().unwrap());
    agree(&world, &format!("{words} --compose-hash {hash} --wait")).exits(0);
    assert_eq!(world.cloud.cvm(CVM).manifest["allowed_envs"], json!(["B", "A"]));
    for bad in ["", "xyz", "abc", "KEY=value"] {
        world.file("bad.hex", bad);
        let ran = agree(&world, "cvm envs bad.hex --cvm {cvm}")
            .exits(3)
            .says("INPUT_SEALED_ENV");
        assert!(bad.is_empty() || !ran.said.contains("KEY=value"), "{}", ran.said);
    }
}

#[test]
fn settings_are_changed_one_by_one() {
    let world = offchain();
    world.file("x.yml", NEW_COMPOSE);
    world.file("run.sh", "#!/bin/sh\n");
    agree(
        &world,
        "cvm resources --cvm {cvm} --vcpu 4 --memory 8192 --disk-size 80 --wait",
    )
    .exits(0);
    let more = world.cloud.cvm(CVM).more;
    assert_eq!((more.vcpu, more.memory, more.disk_size), (4, 8192, 80));
    agree(&world, "cvm resources --cvm {cvm}")
        .exits(2)
        .says("USAGE_NOTHING_TO_CHANGE");
    agree(
        &world,
        "cvm visibility --cvm {cvm} --public-sysinfo false --public-logs false --wait",
    )
    .exits(0);
    assert_eq!(world.cloud.cvm(CVM).manifest["public_logs"], false);
    agree(&world, "cvm listed true --cvm {cvm}").exits(0);
    assert!(world.cloud.cvm(CVM).more.listed);
    agree(&world, "cvm os-image dstack-0.5.8 --cvm {cvm} --wait").exits(0);
    assert_eq!(world.cloud.cvm(CVM).more.image, "dstack-0.5.8");
    agree(&world, "cvm os-image dstack-9 --cvm {cvm}")
        .exits(3)
        .says("API_REFUSED_INPUT");
    agree(&world, "cvm pre-launch-script run.sh --cvm {cvm} --wait").exits(0);
    agree(&world, "cvm docker-compose x.yml --cvm {cvm} --wait").exits(0);
    let manifest = world.cloud.cvm(CVM).manifest;
    assert_eq!(
        (&manifest["pre_launch_script"], &manifest["docker_compose_file"]),
        (&json!("#!/bin/sh\n"), &json!(NEW_COMPOSE))
    );
    agree(
        &world,
        "cvm patch --cvm {cvm} --vcpu 8 --shutdown-timeout none --allow-force-stop --wait",
    )
    .exits(0);
    let sent = world.cloud.requests_to("PATCH", CVM).remove(0).json();
    assert_eq!(
        sent,
        json!({"vcpu": 8, "shutdown_timeout": null, "allow_force_stop": true})
    );
    agree(&world, "cvm patch --cvm {cvm}")
        .exits(2)
        .says("USAGE_NOTHING_TO_CHANGE");
    let id = ask(&world, "cvm instance-id --cvm {cvm} --dry-run").exits(0);
    assert_eq!(data(&id)["status"], "unchanged");
    let ids = agree(&world, "cvm instance-ids {cvm} --overwrite").exits(0);
    assert_eq!(data(&ids)["total"], 1);
    let cancel = agree(&world, "cvm cancel --cvm {cvm}").exits(0);
    assert_eq!(data(&cancel)["cancelled"], false);
}

#[test]
fn a_whole_manifest_is_provisioned_allowed_and_committed() {
    let world = World::start();
    let printed = crate::support::command::run(world.countersign(BINARY).args(["cvm", "manifest", "--cvm", CVM]));
    let text = String::from_utf8(printed.stdout).unwrap();
    let hash = countersign::compose::ComposeHash::of(text.trim_end_matches('\n').as_bytes());
    assert_eq!(
        hash.as_bytes(),
        &world.first_hash.0,
        "what is printed is what is measured"
    );
    let shown = ask(&world, "cvm manifest --cvm {cvm}").exits(0);
    let mut manifest = data(&shown)["manifest"].as_object().unwrap().clone();
    assert_eq!(manifest, world.cloud.cvm(CVM).manifest);
    manifest.insert("docker_compose_file".to_owned(), json!(NEW_COMPOSE));
    world.file("app-compose.json", &Value::Object(manifest).to_string());
    let made = agree(&world, "cvm compose-file app-compose.json --cvm {cvm}").exits(0);
    let hash = world.hash_with(NEW_COMPOSE);
    assert_eq!(made.fact("compose_hash"), &json!(hash));
    let next = made.json["next"]
        .as_str()
        .unwrap()
        .strip_prefix("countersign ")
        .unwrap();
    agree(&world, next).exits(6).says("HASH_NOT_ALLOWED");
    world.allow(hash);
    agree(&world, &format!("{next} --wait")).exits(0);
    assert_eq!(world.cloud.cvm(CVM).compose_hash, hash);
    let unknown = format!("cvm compose-file --commit 0x{} --cvm {{cvm}}", "77".repeat(32));
    agree(&world, &unknown).exits(3).says("API_REFUSED_INPUT");
}

#[test]
fn a_new_cvm_is_made_in_one_run_or_in_two() {
    let world = offchain();
    world.file("x.yml", NEW_COMPOSE);
    world.file("env.hex", "abcd");
    let made = agree(
        &world,
        "cvm create --name first-app -c x.yml --vcpu 2 --memory 2048 --wait",
    )
    .exits(0);
    assert_eq!(data(&made)["cvm"]["status"], "running", "{}", made.said);
    assert!(
        !world.cloud.cvm("first-app").more.listed,
        "nobody is listed who did not ask for it"
    );
    let taken = agree(&world, "cvm create --name first-app -c x.yml").exits(6);
    assert_eq!(taken.fact("vendor_code"), "ERR-01-004");
    let provisioned = agree(
        &world,
        "cvm create --name second-app -c x.yml --allowed-env A --provision-only",
    )
    .exits(0);
    assert!(
        data(&provisioned)["provisioned"]["env_pubkey"].is_string(),
        "{}",
        provisioned.said
    );
    let next = provisioned.json["next"]
        .as_str()
        .unwrap()
        .strip_prefix("countersign ")
        .unwrap()
        .to_owned();
    let committed = agree(
        &world,
        &format!("{next} --encrypted-env env.hex --allowed-env A --wait"),
    )
    .exits(0);
    assert_eq!(
        world.cloud.cvm("second-app").more.encrypted_env.as_deref(),
        Some("abcd")
    );
    // Idempotent: the same again gives the CVM that is there.
    let again = agree(&world, &next).exits(0);
    let uuid = |ran: &Ran| data(ran)["cvm"]["uuid"].as_str().unwrap().replace('-', "");
    assert_eq!(uuid(&again), uuid(&committed));
    assert_eq!(world.cloud.names().len(), 3);
    let hash = format!("0x{}", "77".repeat(32));
    let app = provisioned.fact("app").as_str().unwrap().to_owned();
    agree(
        &world,
        &format!("cvm create --commit --app-id {app} --compose-hash {hash}"),
    )
    .exits(6)
    .says("APP_ID_CONFLICT");
    agree(&world, "cvm create --name a -c x.yml").exits(2);
}

#[test]
fn a_new_cvm_on_an_onchain_kms_waits_for_its_contract() {
    let world = World::start();
    world.file("x.yml", NEW_COMPOSE);
    let made = agree(&world, "cvm create --name new-app -c x.yml --kms base")
        .exits(6)
        .says("APP_NEEDED");
    assert!(made.fact("app").is_null(), "{}", made.said);
    let next = made.json["next"]
        .as_str()
        .unwrap()
        .strip_prefix("countersign ")
        .unwrap();
    let app = format!("{:?}", alloy::primitives::Address::repeat_byte(7));
    let words = next
        .replace("APP", &app)
        .replace("DEPLOYER", &world.owner.address.to_string());
    agree(&world, &words).exits(0);
    let sent = world.cloud.requests_to("POST", "/cvms").remove(0).json();
    assert_eq!(sent["contract_address"].as_str().unwrap().to_lowercase(), app);
    assert_eq!(
        world.cloud.cvm("new-app").app,
        alloy::primitives::Address::repeat_byte(7)
    );
}

#[test]
fn a_replica_is_prepared_and_committed_and_its_token_is_in_no_output() {
    let world = World::start();
    let prepare = "cvm replicate --cvm {cvm} --prepare-only --token-file r.token";
    let prepared = agree(&world, prepare).exits(0);
    let token = world.cloud.tokens().remove(0).text;
    let file = world.folder().join("r.token");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!world.folder().join("r.raw").exists());
    let next = prepared.json["next"]
        .as_str()
        .unwrap()
        .strip_prefix("countersign ")
        .unwrap();
    let committed = agree(&world, &format!("{next} --wait")).exits(0);
    assert_eq!(world.cloud.names().len(), 2);
    let again = agree(&world, next).exits(6).says("COMMIT_REJECTED_466");
    for ran in [&prepared, &committed, &again] {
        assert!(!ran.said.contains(&token), "{}", ran.said);
    }
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    agree(&world, next).exits(12);
    let offchain = offchain();
    agree(&offchain, prepare).exits(2).says("USAGE_KMS_OFFCHAIN");
    assert_eq!(offchain.cloud.names().len(), 1, "nothing was made by a preparation");
    agree(&offchain, "cvm replicate --cvm {cvm} --node 18 --wait").exits(0);
    assert_eq!(offchain.cloud.names().len(), 2);
    agree(&offchain, "cvm replicate --cvm {cvm} --node 7").exits(6);
}

#[test]
fn a_webhooks_secret_goes_into_a_file_and_into_no_output() {
    let world = offchain();
    let create = "webhook create https://example.org/hook --event cvm.updated --secret-file hook.secret";
    let made = agree(&world, create).exits(0);
    let file = world.folder().join("hook.secret");
    let secret = std::fs::read_to_string(&file).unwrap();
    assert!(
        secret.starts_with("whsec_") && !made.said.contains(&secret),
        "{}",
        made.said
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let id = data(&made)["webhook"]["id"].as_str().unwrap().to_owned();
    let again = agree(&world, create).exits(0);
    assert!(!again.said.contains(&secret));
    let sent = world.cloud.requests_to("POST", "/webhooks").remove(1).json();
    assert_eq!(sent["secret"], secret, "the secret that is there is the one to use");
    assert_eq!(
        data(&ask(&world, "webhook list").exits(0))["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    agree(&world, &format!("webhook test {id}")).exits(0);
    let deliveries = ask(&world, &format!("webhook deliveries {id}")).exits(0);
    assert_eq!(data(&deliveries)["items"][0]["attempts"], 3);
    agree(&world, &format!("webhook resend {id} evt_0123456789abcdef")).exits(0);
    agree(&world, &format!("webhook resend {id} evt_0"))
        .exits(6)
        .says("API_NOT_FOUND");
    let show = ask(&world, &format!("webhook show {id}")).exits(0);
    assert_eq!(data(&show)["webhook"]["enabled"], true);
    let off = agree(
        &world,
        &format!("webhook update {id} --enabled false --event cvm.deleted"),
    )
    .exits(0);
    assert_eq!(data(&off)["webhook"]["enabled"], false);
    assert_eq!(data(&off)["webhook"]["events"], json!(["cvm.deleted"]));
    let sent = world.cloud.requests_to("PUT", &id).remove(0).json();
    assert_eq!(
        sent,
        json!({"enabled": false, "events": ["cvm.deleted"]}),
        "what is not named stays"
    );
    agree(&world, &format!("webhook update {id}"))
        .exits(2)
        .says("USAGE_NOTHING_TO_CHANGE");
    let stats = ask(&world, &format!("webhook stats {id}")).exits(0);
    assert_eq!(data(&stats)["failed_count"], 1);
    agree(&world, &format!("webhook delete {id}")).exits(0);
    agree(&world, &format!("webhook test {id}"))
        .exits(6)
        .says("API_NOT_FOUND");
    agree(
        &world,
        "webhook create http://example.org/hook --event x --secret-file other",
    )
    .exits(3);
    assert!(!world.folder().join("other").exists());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story from its beginning to its end")]
fn v23_a_revealed_secret_takes_a_second_factor_and_goes_where_it_was_told_and_nowhere_else() {
    let world = offchain();
    agree(
        &world,
        "webhook create https://example.org/hook --event cvm.updated --secret-file hook.secret",
    )
    .exits(0);
    let file = world.folder().join("hook.secret");
    let first = std::fs::read_to_string(&file).unwrap();
    let cookie = world.file("cookie", &format!("{STEP_UP}; other=1\n"));
    let wide = ask(
        &world,
        "webhook reveal wh_2 --secret-file x --second-factor-from file:cookie",
    );
    assert_eq!(wide.exit, 12, "a cookie that others can read: {}", wide.said);
    std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o600)).unwrap();
    let id = data(&ask(&world, "webhook list"))["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let canary = STEP_UP.split('=').nth(1).unwrap();
    let clean = |ran: Ran, secrets: &[&str]| {
        for secret in secrets.iter().chain([&canary]) {
            assert!(!ran.said.contains(secret), "{}", ran.said);
        }
        ran
    };
    // An API key alone is not enough, and what to do is said.
    let needed = ask(&world, &format!("webhook reveal {id} --secret-file other.secret"))
        .exits(4)
        .says("SECOND_FACTOR_NEEDED");
    assert!(
        needed.json["next"].as_str().unwrap().contains("--second-factor-from"),
        "{}",
        needed.said
    );
    let with = "--second-factor-from file:cookie -vvv";
    let revealed = ask(
        &world,
        &format!("webhook reveal {id} --secret-file other.secret {with}"),
    )
    .exits(0);
    clean(revealed, &[&first]);
    let other = world.folder().join("other.secret");
    assert_eq!(std::fs::read_to_string(&other).unwrap(), first);
    assert_eq!(std::fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o600);
    // Another one takes its place; nobody is asked for it twice.
    ask(&world, &format!("webhook rotate {id} --secret-file hook.secret {with}"))
        .exits(2)
        .says("USAGE_CONSENT");
    let rotated = agree(&world, &format!("webhook rotate {id} --secret-file hook.secret {with}")).exits(0);
    let second = std::fs::read_to_string(&file).unwrap();
    assert_ne!(first, second);
    clean(rotated, &[&first, &second]);
    // Into a descriptor that somebody opened, and never into stdout or stderr.
    let shell = format!(
        "exec {BINARY} webhook reveal {id} --secret-fd 7 --json --second-factor-from env:FACTOR 7>piped.secret"
    );
    let mut piped = world.countersign("/bin/sh");
    let piped = Ran::of(piped.args(["-c", &shell]).env("FACTOR", STEP_UP)).exits(0);
    clean(piped, &[&second]);
    assert_eq!(
        std::fs::read_to_string(world.folder().join("piped.secret")).unwrap(),
        second
    );
    for bad in ["--secret-fd 1", "--secret-fd 2", "--secret-fd 7 --secret-file x", ""] {
        ask(&world, format!("webhook reveal {id} {bad}").trim()).exits(2);
    }
    ask(&world, &format!("webhook reveal {id} --secret-fd 97 {with}")).exits(12);
    // A file that cannot be written is told before anything is rotated.
    let asked = world.cloud.requests().len();
    let refused = agree(&world, &format!("webhook rotate {id} --secret-file nowhere/x {with}")).exits(3);
    assert!(refused.said.contains("nowhere/x"), "{}", refused.said);
    assert_eq!(world.cloud.requests().len(), asked, "nothing was asked");
    world.file("cookie", "no cookie at all");
    let malformed = ask(&world, &format!("webhook reveal {id} --secret-file x {with}"))
        .exits(3)
        .says("INPUT_SECOND_FACTOR");
    assert!(!malformed.said.contains("no cookie at all"), "{}", malformed.said);
}

#[test]
fn refusals_have_the_documented_exit_codes() {
    let world = offchain();
    world
        .cloud
        .change_cvm(CVM, |cvm| cvm.progress = Some("corr_1".to_owned()));
    for order in ["start", "shutdown", "restart"] {
        agree(&world, &format!("cvm {order} --cvm {{cvm}}"))
            .exits(75)
            .says("API_BUSY");
    }
    agree(&world, "cvm stop --cvm {cvm}").exits(0);
    agree(&world, "cvm start --cvm nobody-here")
        .exits(6)
        .says("API_NOT_FOUND");
    agree(&world, "cvm start --cvm a/b").exits(2);
    agree(&world, "cvm start").exits(2).says("USAGE_NO_CVM");
    world.cloud.set_api_key("phak_another-0123456789");
    agree(&world, "cvm start --cvm {cvm}").exits(4).says("AUTH_API_KEY");
    ask(&world, "nodes").exits(4).says("AUTH_API_KEY");
}

#[test]
fn an_operation_that_fails_is_told_with_the_servers_words() {
    let world = offchain();
    world.file("x.yml", NEW_COMPOSE);
    let failure = crate::support::BootFailure::Error("no disk left".to_owned());
    world.cloud.set_boot_failure(Some(failure));
    let ran = agree(&world, "cvm docker-compose x.yml --cvm {cvm} --wait")
        .exits(7)
        .says("OPERATION_FAILED");
    assert!(
        ran.json["message"].as_str().unwrap().contains("no disk left"),
        "{}",
        ran.said
    );
    world.cloud.set_boot_failure(Some(crate::support::BootFailure::Never));
    let pending = agree(&world, "cvm docker-compose x.yml --cvm {cvm} --wait --timeout 1s").exits(8);
    assert_eq!(pending.json["code"], "PENDING_OPERATION");
}

#[test]
fn a9_an_order_whose_answer_was_lost_is_unknown_and_the_next_command_looks() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = stream.read(&mut request).unwrap();
        // Half an answer, and then nothing.
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            .unwrap();
        String::from_utf8_lossy(&request[..read])
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    });
    let world = offchain();
    let ran = Ran::of(
        world
            .countersign(BINARY)
            .args(["cvm", "start", "--cvm", CVM, "--yes", "--json"])
            .env("PHALA_CLOUD_API_PREFIX", format!("http://{address}/api/v1")),
    )
    .exits(9)
    .says("API_UNKNOWN");
    assert_eq!(ran.json["next"], format!("countersign cvm get --cvm {CVM}"));
    assert_eq!(
        server.join().unwrap(),
        format!("POST /api/v1/cvms/{CVM}/start HTTP/1.1")
    );
}

#[test]
fn an_image_before_dstack_0_6_is_refused_where_the_manifest_would_not_come_up_on_it() {
    let world = offchain();
    let set = |name: &str, value: Value| {
        world.cloud.change_cvm(CVM, |cvm| {
            cvm.manifest.insert(name.to_owned(), value);
        });
    };
    set("manifest_version", json!("3"));
    let image = world.cloud.cvm(CVM).more.image;
    for words in [
        "cvm os-image dstack-0.5.8 --cvm {cvm}",
        "cvm patch --image dstack-0.5.8 --cvm {cvm}",
    ] {
        agree(&world, words).exits(6).says("IMAGE_TOO_OLD");
    }
    assert_eq!(world.cloud.cvm(CVM).more.image, image);
    set("manifest_version", json!(2));
    set("key_provider_id", json!("0a0b"));
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(std::sync::Arc::new(|record: &mut Value| {
            record["node_info"]["version"] = json!("v0.6.0");
        }));
    });
    agree(&world, "cvm os-image dstack-0.5.8 --cvm {cvm}")
        .exits(6)
        .says("IMAGE_TOO_OLD");
    world.cloud.lie(|lies| lies.edit_cvm = None);
    agree(&world, "cvm os-image dstack-0.5.8 --cvm {cvm}").exits(0);
}

#[test]
fn an_image_that_the_kms_does_not_allow_is_refused_and_the_one_to_ask_is_its_owner() {
    let world = World::start();
    let flow = Flow::new(&world);
    let next = keccak256("the next OS image");
    world.cloud.change_cvm(CVM, |cvm| cvm.more.next_image = Some(next));
    let image = world.cloud.cvm(CVM).more.image;
    let move_it = ["--image", "dstack-0.5.8"];
    let refused = |ran: Ran| {
        let ran = ran.exits(6).says("OS_IMAGE_NOT_ALLOWED");
        for part in [
            "KMS's owner",
            &format!("addOsImageHash({next})"),
            &world.kms.to_string(),
        ] {
            assert!(ran.said.contains(part), "{part}: {}", ran.said);
        }
    };
    refused(agree(&world, "cvm os-image dstack-0.5.8 --cvm {cvm}"));
    refused(agree(&world, "cvm patch --image dstack-0.5.8 --cvm {cvm}"));
    refused(flow.with("plan", &move_it));
    refused(flow.with("prepare", &move_it));
    assert_eq!(world.cloud.cvm(CVM).more.image, image);
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));

    // An image of which nobody knows the hash is not asked about, and that is said.
    let unknown = flow.with("plan", &["--image", "dstack-9"]).exits(0);
    let warnings = unknown.json["warnings"].as_array().unwrap();
    let not_asked = warnings.iter().find(|one| one["code"] == "KMS_NOT_ASKED").unwrap();
    assert!(
        not_asked["text"].as_str().unwrap().contains("dstack-9"),
        "{}",
        unknown.said
    );

    // The KMS's owner allows it, and no approval of the app's owner was needed for that.
    let rpc = world.rpc();
    rpc.execute(
        ACCOUNTS[0].address,
        world.kms,
        &abi::addOsImageHashCall { osImageHash: next },
    );
    let plan = flow.with("plan", &move_it).exits(0);
    assert_eq!(plan.json["data"]["code"]["os_image"], json!(next), "{}", plan.said);
    // What was allowed when it was prepared is asked about again before anything is signed.
    flow.with("prepare", &move_it).exits(0);
    rpc.execute(
        ACCOUNTS[0].address,
        world.kms,
        &abi::removeOsImageHashCall { osImageHash: next },
    );
    refused(flow.step("execute"));
    rpc.execute(
        ACCOUNTS[0].address,
        world.kms,
        &abi::addOsImageHashCall { osImageHash: next },
    );
    flow.step("execute").exits(0);
}

#[test]
fn where_the_kms_cannot_be_asked_about_an_image_consent_is_told_so() {
    let world = World::start();
    let words = ["cvm", "os-image", "dstack-0.5.8", "--cvm", CVM, "--yes"];
    let said = |change: &dyn Fn(&mut std::process::Command)| {
        let mut command = world.countersign(BINARY);
        command.args(words);
        change(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let asked = said(&|_| {});
    assert!(asked.contains("allowed by the KMS") && asked.contains("yes"), "{asked}");
    let unasked = said(&|command| {
        command.env("ETH_RPC_URL", "http://127.0.0.1:9");
    });
    assert!(
        unasked.contains("allowed by the KMS") && unasked.contains("not known: "),
        "{unasked}"
    );
}
