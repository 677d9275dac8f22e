//! What the cloud keeps and says beside upgrades, as processes against the simulated cloud: a test for each group of operations.

use serde_json::{Value, json};

use crate::harness::flow::{BINARY, Flow, Ran};
use crate::support::cloud::{OFFICIAL_SCRIPT, revision};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{World, WorldOptions};

fn offchain() -> World {
    World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    })
}

/// Runs words with `--json`, without consent.
fn ask(world: &World, words: &str) -> Ran {
    let words: Vec<String> = words.split(' ').map(|word| word.replace("{cvm}", CVM)).collect();
    Ran::of(world.countersign(BINARY).args(&words).arg("--json"))
}

/// The same with consent.
fn agree(world: &World, words: &str) -> Ran {
    ask(world, &format!("{words} --yes"))
}

/// A value of the command's own result.
fn of(ran: &Ran, place: &str) -> Value {
    ran.json["data"].pointer(place).cloned().unwrap_or(Value::Null)
}

/// The codes of what a person should know.
fn warned(ran: &Ran) -> Vec<String> {
    let warnings = ran.json["warnings"].as_array().unwrap();
    warnings
        .iter()
        .map(|one| one["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_the_cloud_says_is_allowed_of_one_cvm_and_of_all_of_an_app() {
    let world = World::start();
    world.add_cvm(2);
    let one = ask(&world, "cvm is-allowed --cvm {cvm}").exits(0);
    assert_eq!(
        (of(&one, "/is_allowed"), of(&one, "/cvm_id")),
        (json!(true), json!("cvm_00000001"))
    );
    let other = format!(
        "cvm is-allowed --cvm {{cvm}} --compose-hash {}",
        world.hash_with(NEW_COMPOSE)
    );
    let other = ask(&world, &other).exits(6).says("CLOUD_SAYS_NOT_ALLOWED");
    assert_eq!(
        (of(&other, "/compose_hash_allowed"), of(&other, "/device_id_allowed")),
        (json!(false), json!(true))
    );
    let node = ask(&world, "cvm is-allowed --cvm {cvm} --node 26")
        .exits(6)
        .says("CLOUD_SAYS_NOT_ALLOWED");
    assert_eq!(of(&node, "/device_id_allowed"), false);
    let all = ask(&world, &format!("cvm is-allowed --app {}", world.app)).exits(0);
    assert_eq!(
        (of(&all, "/allowed_count"), of(&all, "/results/1/is_allowed")),
        (json!(2), json!(true))
    );
    world
        .cloud
        .change_cvm(&format!("{CVM}-2"), |cvm| cvm.status = "created".to_owned());
    let skipped = ask(&world, &format!("cvm is-allowed --app {}", world.app))
        .exits(6)
        .says("CLOUD_SAYS_NOT_ALLOWED");
    assert_eq!(
        of(&skipped, "/skipped_cvm_ids"),
        json!(["cvm_00000002"]),
        "{}",
        skipped.said
    );
    // In older versions the same ids are numbers.
    world.cloud.speak("2025-10-28", "2026-01-21");
    let skipped = ask(&world, &format!("cvm is-allowed --app {}", world.app)).exits(6);
    assert_eq!(
        (of(&skipped, "/skipped_cvm_ids"), of(&skipped, "/results/0/cvm_id")),
        (json!([2]), json!(1))
    );
    let asked = world.cloud.requests_to("POST", "/cvms/is-allowed");
    assert!(
        asked.iter().filter(|one| one.status == 200).count() == 3,
        "one request for all of them"
    );
}

#[test]
fn the_states_of_two_hundred_cvms_are_one_request_beside_their_list() {
    let world = World::start();
    for number in 2..=200 {
        world.add_cvm(number);
    }
    world.cloud.change_cvm(&format!("{CVM}-7"), |cvm| {
        cvm.status = "error".to_owned();
        cvm.boot_error = Some("KMS denied".to_owned());
    });
    let all = ask(&world, "cvm status --all").exits(0);
    let items = of(&all, "/items");
    assert_eq!(items.as_array().unwrap().len(), 200);
    let seventh = items
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == format!("{CVM}-7"))
        .unwrap();
    assert_eq!(
        (&seventh["state"]["status"], &seventh["state"]["boot_error"]),
        (&json!("error"), &json!("KMS denied"))
    );
    assert_eq!(world.cloud.requests_to("POST", "/status/batch").len(), 1);
    assert_eq!(world.cloud.requests_to("GET", "/paginated").len(), 2);
    let named = ask(&world, "cvm status {cvm}").exits(0);
    assert_eq!(
        (of(&named, "/items/0/name"), of(&named, "/items/0/state/status")),
        (json!(CVM), json!("running"))
    );
}

#[test]
fn up_to_fifty_cvms_stop_in_one_request_and_what_did_not_is_told() {
    let world = offchain();
    world.add_cvm(2);
    ask(&world, "cvm batch-stop {cvm}").exits(2).says("USAGE_CONSENT");
    let stopped = agree(&world, &format!("cvm batch-stop {{cvm}} {CVM}-2")).exits(0);
    assert_eq!((of(&stopped, "/stopped"), of(&stopped, "/total")), (json!(2), json!(2)));
    world.cloud.change_cvm(CVM, |cvm| cvm.status = "stopped".to_owned());
    let some = agree(&world, "cvm batch-stop {cvm} nobody")
        .exits(6)
        .says("CVMS_NOT_STOPPED");
    assert_eq!(of(&some, "/errors/0/cvm_id"), "nobody");
    let many: Vec<String> = (0..51).map(|number| format!("cvm-{number}")).collect();
    agree(&world, &format!("cvm batch-stop {}", many.join(" "))).exits(2);
    assert_eq!(world.cloud.requests_to("POST", "/batch-stop").len(), 2);
}

#[test]
fn the_texts_that_a_cvm_has_are_printed_as_they_are() {
    let world = World::start();
    let manifest = world.cloud.cvm(CVM).manifest;
    for (words, field) in [
        ("docker-compose", "docker_compose_file"),
        ("pre-launch-script", "pre_launch_script"),
    ] {
        let shown =
            crate::support::command::run(world.countersign(BINARY).args(["cvm", words, "--show", "--cvm", CVM]));
        assert_eq!(
            json!(String::from_utf8(shown.stdout).unwrap()),
            manifest[field],
            "{words}"
        );
        let shown = ask(&world, &format!("cvm {words} --show --cvm {{cvm}}")).exits(0);
        assert_eq!(of(&shown, "/text"), manifest[field]);
    }
    let status = ask(&world, "cvm pre-launch-script --upgrade-status --cvm {cvm}").exits(0);
    assert_eq!(
        (of(&status, "/is_official"), of(&status, "/can_upgrade")),
        (json!(true), json!(true))
    );
    ask(&world, "cvm pre-launch-script --cvm {cvm}").exits(2);
    assert!(world.cloud.requests().iter().all(|one| one.method == "GET"));
}

#[test]
fn the_official_script_is_approved_as_any_change_and_only_where_it_is_what_the_cloud_says() {
    let world = World::start();
    world.file("official.sh", OFFICIAL_SCRIPT);
    world.file("other.sh", "#!/bin/sh\n");
    let words = "cvm pre-launch-script --to-latest-official --cvm {cvm}";
    ask(&world, words).exits(2).says("USAGE_CONSENT");
    agree(&world, &format!("{words} --dir up"))
        .exits(2)
        .says("USAGE_NO_FILE");
    agree(
        &world,
        "cvm pre-launch-script other.sh --to-latest-official --cvm {cvm} --dir up",
    )
    .exits(5)
    .says("SCRIPT_NOT_OFFICIAL");
    assert!(
        world
            .cloud
            .requests_to("POST", "/upgrade-to-latest-official")
            .is_empty()
    );
    let named = agree(&world, words).exits(6).says("HASH_REQUIRED");
    let next = named.json["next"].as_str().unwrap();
    assert!(
        next.ends_with("FILE --dir DIR") && next.contains("--to-latest-official"),
        "{next}"
    );
    let up = "cvm pre-launch-script official.sh --to-latest-official --cvm {cvm} --dir up";
    let begun = agree(&world, up).exits(0);
    assert_eq!(begun.fact("compose_hash"), named.fact("compose_hash"));
    let resumed = agree(&world, "resume --dir up --signer env:OWNER_KEY").exits(0);
    assert_eq!(resumed.effect("live"), "done", "{}", resumed.said);
    assert_eq!(world.cloud.cvm(CVM).manifest["pre_launch_script"], OFFICIAL_SCRIPT);
    // The second phase of the path itself, once the hash is allowed.
    let status = ask(&world, "cvm pre-launch-script --upgrade-status --cvm {cvm}").exits(0);
    assert_eq!(of(&status, "/is_latest"), true);
    // Where nobody has to be asked it is done at once.
    let world = offchain();
    agree(&world, &format!("{words} --wait")).exits(0);
    assert_eq!(world.cloud.cvm(CVM).manifest["pre_launch_script"], OFFICIAL_SCRIPT);
}

#[test]
fn a_hash_that_is_not_that_of_the_official_script_stops_before_anything_is_prepared() {
    let world = World::start();
    world.file("official.sh", OFFICIAL_SCRIPT);
    world.cloud.lie(|lies| lies.hash = Some("ab".repeat(32)));
    let up = "cvm pre-launch-script official.sh --to-latest-official --cvm {cvm} --dir up";
    agree(&world, up).exits(5).says("HASH_MISMATCH");
    assert!(!world.folder().join("up").exists());
    assert!(world.cloud.tokens().is_empty());
}

#[test]
fn what_runs_inside_is_shown_with_its_images() {
    let world = World::start();
    let inside = ask(&world, "cvm composition --cvm {cvm}").exits(0);
    assert_eq!(of(&inside, "/containers/0/image"), "nginx:1.27");
    assert!(
        of(&inside, "/containers/0/image_id")
            .as_str()
            .unwrap()
            .starts_with("sha256:")
    );
}

#[test]
fn keys_that_may_log_in_are_listed_and_replaced_and_nobody_calls_that_approved() {
    let world = World::start();
    let none = ask(&world, "cvm ssh-keys --cvm {cvm}").exits(0);
    assert_eq!(of(&none, "/keys"), json!([]));
    let words = "cvm ssh-keys --cvm {cvm} --key sshkey_abc --user alice";
    ask(&world, words).exits(2).says("USAGE_CONSENT");
    let set = agree(&world, words).exits(0);
    assert_eq!(warned(&set), ["LOGIN_UNCOVERED"], "{}", set.said);
    let sent = world.cloud.requests_to("PUT", "/ssh-keys")[0].json();
    assert_eq!(
        sent,
        json!({"ssh_key_ids": ["sshkey_abc"], "usernames": ["alice"], "apply_now": false})
    );
    assert_eq!(
        (of(&set, "/restart_required"), of(&set, "/keys/1/id")),
        (json!(true), json!("sshkey_of_alice"))
    );
    let config = ask(&world, "cvm user-config --cvm {cvm}").exits(0);
    let key = of(&config, "/ssh_authorized_keys/0");
    assert!(
        key.as_str().unwrap().ends_with("AAA sshkey_abc"),
        "a key is not cut: {key}"
    );
    let waited = agree(&world, &format!("{words} --wait")).exits(0);
    assert!(warned(&waited).contains(&"NOTHING_TO_WAIT_FOR".to_owned()));
    let now = agree(&world, "cvm ssh-keys --cvm {cvm} --none --apply-now --wait").exits(0);
    assert!(
        now.json["message"].as_str().unwrap().contains("carried out"),
        "{}",
        now.said
    );
    assert!(world.cloud.cvm(CVM).more.ssh_keys.is_empty());
}

#[test]
fn a_plan_says_who_may_log_in_where_the_image_lets_anybody_and_what_no_hash_covers() {
    let world = World::start();
    let plan = Flow::new(&world).step("plan").exits(0);
    assert!(
        !warned(&plan).contains(&"IMAGE_LETS_LOG_IN".to_owned()),
        "{}",
        plan.said
    );
    assert!(
        world.cloud.requests_to("GET", "/ssh-keys").is_empty(),
        "nobody asks where nobody can log in"
    );
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.more.image = "dstack-dev-0.5.7".to_owned();
        cvm.more.ssh_keys = vec!["sshkey_abc".to_owned()];
    });
    world.file("config", "text for the guest");
    let flow = Flow::new(&world);
    let words = [
        "--user-config",
        "config",
        "--gpus",
        "1",
        "--shutdown-timeout",
        "30",
        "--allow-force-stop",
    ];
    let plan = flow.with("plan", &words).exits(0);
    let said = plan.json["warnings"].to_string();
    assert!(
        said.contains("IMAGE_LETS_LOG_IN") && said.contains("SHA256:sshkey_abc of alice"),
        "{said}"
    );
    for uncovered in [
        "user_config becomes",
        "gpus becomes",
        "shutdown_timeout becomes",
        "allow_force_stop becomes",
    ] {
        let field = uncovered.split(' ').next().unwrap();
        assert!(plan.said.contains(field), "{field}: {}", plan.said);
    }
    // They go out with the update that the owner approved.
    flow.with("prepare", &words).exits(0);
    let sent = world.cloud.requests_to("PATCH", CVM)[0].json();
    let besides = json!([
        sent["user_config"],
        sent["gpus"],
        sent["shutdown_timeout"],
        sent["allow_force_stop"]
    ]);
    assert_eq!(besides, json!(["text for the guest", {"count": 1}, 30, true]));
}

#[test]
fn a_cvm_gets_another_name_and_a_time_to_go() {
    let world = offchain();
    let named = agree(&world, "cvm name other-name --cvm {cvm}").exits(0);
    assert_eq!(named.json["next"], "countersign cvm get --cvm other-name");
    assert_eq!(world.cloud.names(), ["other-name"]);
    ask(&world, "cvm name no --cvm other-name --yes").exits(2);
    let when = "2026-12-31T00:00:00Z";
    agree(&world, &format!("cvm scheduled-delete {when} --cvm other-name")).exits(0);
    assert_eq!(world.cloud.cvm("other-name").more.delete_at.as_deref(), Some(when));
    agree(&world, "cvm scheduled-delete --never --cvm other-name").exits(0);
    assert_eq!(world.cloud.cvm("other-name").more.delete_at, None);
    ask(&world, "cvm scheduled-delete --cvm other-name --yes").exits(2);
}

#[test]
fn ports_are_listed_and_replaced() {
    let world = offchain();
    assert_eq!(of(&ask(&world, "cvm ports --cvm {cvm}").exits(0), "/items"), json!([]));
    let set = agree(&world, "cvm ports 443/tcp 53/udp --cvm {cvm}").exits(0);
    assert_eq!(
        (of(&set, "/items/1/vm_port"), of(&set, "/items/1/protocol")),
        (json!(53), json!("udp"))
    );
    let sent = world.cloud.requests_to("PUT", "/ports")[0].json();
    assert_eq!(
        sent,
        json!({"ports": [{"vm_port": 443, "protocol": "tcp"}, {"vm_port": 53, "protocol": "udp"}]})
    );
    agree(&world, "cvm ports --none --cvm {cvm}").exits(0);
    assert_eq!(of(&ask(&world, "cvm ports --cvm {cvm}").exits(0), "/items"), json!([]));
    for bad in ["0", "443/sctp", "x", "70000", "+1"] {
        agree(&world, &format!("cvm ports {bad} --cvm {{cvm}}")).exits(2);
    }
}

#[test]
fn where_keys_come_from_is_changed_with_a_warning() {
    let world = World::start();
    let read = ask(&world, "cvm network-config --cvm {cvm}").exits(0);
    assert_eq!(of(&read, "/kms_urls/0"), "https://kms.sim.invalid");
    let words = "cvm network-config --cvm {cvm} --kms-url https://kms.example.org --restart";
    ask(&world, words).exits(2).says("USAGE_CONSENT");
    let set = agree(&world, &format!("{words} --wait")).exits(0);
    assert_eq!(warned(&set), ["KMS_URLS_UNCOVERED"], "{}", set.said);
    assert_eq!(world.cloud.cvm(CVM).more.kms_urls, ["https://kms.example.org/"]);
    let sent = world.cloud.requests_to("PATCH", "/network-config")[0].json();
    assert_eq!(sent, json!({"kms_urls": ["https://kms.example.org/"], "restart": true}));
    let gateway = agree(
        &world,
        "cvm network-config --cvm {cvm} --gateway-url https://g.example.org",
    )
    .exits(0);
    assert!(warned(&gateway).is_empty(), "{}", gateway.said);
    let firewall = ask(&world, "cvm firewall-status --cvm {cvm}").exits(0);
    assert_eq!(of(&firewall, "/available"), false);
}

#[test]
fn a_revision_is_redeployed_only_where_the_chain_allows_it_and_is_called_unproved() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    let before = revision(world.first_hash);
    let words = format!("cvm redeploy {before} --cvm {{cvm}} --wait");
    ask(&world, &words).exits(2).says("USAGE_CONSENT");
    let back = agree(&world, &words).exits(0);
    assert!(warned(&back).contains(&"REDEPLOY_UNPROVED".to_owned()), "{}", back.said);
    assert_eq!(world.cloud.cvm(CVM).compose_hash, world.first_hash);
    agree(&world, "cvm redeploy rev_00000000 --cvm {cvm}")
        .exits(6)
        .says("API_NOT_FOUND");
    // What the owner took back is not run again, whoever asks for it.
    let hash = flow.hash;
    let call = crate::support::contracts::abi::removeComposeHashCall { composeHash: hash };
    world.as_owner(&call);
    let gone = revision(hash);
    let refused = agree(&world, &format!("cvm redeploy {gone} --cvm {{cvm}}"))
        .exits(6)
        .says("HASH_REQUIRED");
    assert_eq!(refused.fact("compose_hash"), &json!(hash));
    let app = format!("app redeploy {gone} --app {}", world.app);
    agree(&world, &app).exits(6).says("HASH_REQUIRED");
    world.allow(hash);
    let app = agree(&world, &app).exits(0);
    assert!(warned(&app).contains(&"REDEPLOY_UNPROVED".to_owned()), "{}", app.said);
    world.cloud.wait_for_hash(CVM, hash);
}

#[test]
fn devices_quotes_and_evaluations_of_an_app_are_read() {
    let world = World::start();
    let list = ask(&world, "app device-allowlist --cvm {cvm}").exits(0);
    assert_eq!(
        (
            of(&list, "/devices/0/allowed_onchain"),
            of(&list, "/devices/0/cvm_ids/0")
        ),
        (json!(true), json!("cvm_00000001"))
    );
    let quotes = ask(&world, &format!("app attestations {}", world.app)).exits(0);
    assert_eq!(of(&quotes, "/instances/0/name"), CVM);
    let evaluation = ask(&world, "app tcb-evaluation --cvm {cvm}").exits(0);
    assert_eq!(of(&evaluation, "/instances/0/evaluation_ok"), true);
}

#[test]
fn quotes_are_read_and_verified_without_an_account() {
    let world = World::start();
    let ask = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        Ran::of(
            world
                .countersign(BINARY)
                .args(words)
                .arg("--json")
                .env_remove("PHALA_CLOUD_API_KEY"),
        )
    };
    let nodes = ask("attestations nodes").exits(0);
    assert_eq!(
        (of(&nodes, "/items/0/id"), of(&nodes, "/items/1/name")),
        (json!(18), json!("sim2"))
    );
    let devices = ask("attestations device-ids").exits(0);
    assert_eq!(of(&devices, "/record/0"), hex::encode(world.device));
    ask("attestations ppids").exits(0);
    let recent = ask("attestations recent --limit 1").exits(0);
    let checksum = of(&recent, "/record/0/checksum").as_str().unwrap().to_owned();
    assert_eq!(world.cloud.requests_to("GET", "/recent")[0].query, "skip=0&limit=1");
    assert_eq!(
        of(
            &ask(&format!("attestations view {checksum}")).exits(0),
            "/record/verified"
        ),
        true
    );
    assert!(
        of(
            &ask(&format!("attestations collateral {checksum}")).exits(0),
            "/record/tcb_info"
        )
        .is_string()
    );
    let raw = ask(&format!("attestations raw {checksum}")).exits(0);
    assert_eq!(of(&raw, "/quote"), hex::encode("\"raw\""), "the bytes as they came");
    ask(&format!("attestations raw {}", "00".repeat(32)))
        .exits(6)
        .says("API_NOT_FOUND");
    world.file("quote.hex", "0xabcd\n");
    ask("attestations verify quote.hex").exits(2).says("USAGE_CONSENT");
    let verified = ask("attestations verify quote.hex --yes").exits(0);
    assert_eq!(of(&verified, "/success"), true);
    assert_eq!(
        world.cloud.requests_to("POST", "/verify")[0].json(),
        json!({"hex": "abcd"})
    );
    assert!(
        world
            .cloud
            .requests()
            .iter()
            .all(|one| one.header("x-api-key").is_none())
    );
}

#[test]
fn an_account_its_quotas_and_the_end_of_its_key() {
    let world = World::start();
    let account = ask(&world, "workspace show").exits(0);
    assert_eq!(
        (of(&account, "/workspace_slug"), of(&account, "/balance")),
        (json!("sim"), json!("12.50"))
    );
    let quotas = ask(&world, "workspace quotas").exits(0);
    assert_eq!(
        (of(&quotas, "/workspace"), of(&quotas, "/quotas/max_vcpu")),
        (json!("sim"), json!(64))
    );
    ask(&world, "workspace quotas nobody").exits(6).says("API_NOT_FOUND");
    // In the first version an account does not say which workspace it is of.
    world.cloud.speak("2025-10-28", "2025-10-28");
    assert_eq!(of(&ask(&world, "workspace show").exits(0), "/workspace"), "Sim");
    ask(&world, "workspace quotas").exits(2).says("USAGE_NO_WORKSPACE");
    ask(&world, "workspace revoke-key").exits(2).says("USAGE_CONSENT");
    agree(&world, "workspace revoke-key").exits(0);
    ask(&world, "workspace show").exits(4);
}

#[test]
fn apps_and_sizes_are_listed() {
    let world = World::start();
    world.add_cvm(2);
    let apps = ask(&world, "app list").exits(0);
    assert_eq!(
        (of(&apps, "/items/0/cvm_count"), of(&apps, "/total")),
        (json!(2), json!(1))
    );
    let types = ask(&world, "instance-types").exits(0);
    assert_eq!(
        (of(&types, "/items/0/id"), of(&types, "/items/0/memory")),
        (json!("tdx.small"), json!(2048))
    );
}
