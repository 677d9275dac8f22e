//! The world's own rules: the contracts have the documented interface, the simulated cloud refuses what it should.

use std::time::Duration;

use alloy::primitives::{B256, keccak256};
use serde_json::{Value, json};

use crate::support::cloud::{API_KEY, Fate, TOKEN_LIFE};
use crate::support::contracts::{abi, artifact};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{Anvil, AnvilOptions, AppVariant, BootFailure, World, WorldOptions, block, http};

/// A CVM that restarts for as long as a test likes.
const FOREVER: Duration = Duration::from_secs(3600);

struct Answer {
    status: u16,
    body: Value,
    headers: reqwest::header::HeaderMap,
}

fn send(request: reqwest::RequestBuilder) -> Answer {
    block(async move {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer {
            status,
            headers,
            body: answer.json().await.unwrap_or_default(),
        }
    })
}

fn patch(world: &World, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut request = http()
        .patch(format!("{}/cvms/{CVM}", world.cloud.prefix()))
        .header("X-API-Key", API_KEY)
        .json(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request)
}

/// Prepares and gives the token and the hash.
fn prepare(world: &World, compose: &str) -> (String, B256) {
    let answer = patch(
        world,
        &[("X-Prepare-Only", "true")],
        &json!({"docker_compose_file": compose}),
    );
    assert_eq!(answer.status, 465, "{}", answer.body);
    (
        detail(&answer.body, "commit_token"),
        format!("0x{}", detail(&answer.body, "compose_hash")).parse().unwrap(),
    )
}

fn detail(body: &Value, field: &str) -> String {
    let list = body["details"].as_array().unwrap();
    list.iter().find(|item| item["field"] == field).unwrap()["value"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn commit(world: &World, token: &str, hash: &str, transaction: &str) -> Answer {
    let body = json!({"token": token, "compose_hash": hash, "transaction_hash": transaction});
    send(
        http()
            .post(format!("{}/cvms/{CVM}/commit-update", world.cloud.prefix()))
            .json(&body),
    )
}

fn get(world: &World, path: &str, version: &str) -> Answer {
    let url = format!("{}/{path}", world.cloud.prefix());
    send(
        http()
            .get(url)
            .header("X-API-Key", API_KEY)
            .header("X-Phala-Version", version),
    )
}

#[test]
fn contracts_have_the_documented_selectors() {
    let expected: [(&str, &[&str]); 3] = [
        (
            "DstackAppOneStep",
            &[
                "dfc77223", "67b3f22c", "2f6622e5", "2a819728", "1d266200", "bf8b211b", "3440a16a", "7c4beeb8",
                "ec669036", "8da5cb5b", "f2fde38b", "715018a6", "4f1ef286", "01ffc9a7", "1e079198", "187515ca",
            ],
        ),
        (
            "DstackAppTwoStep",
            &[
                "dfc77223", "e30c3978", "79ba5097", "0aa58c83", "6e4c7422", "54fd4d50", "9ed28193", "1e079198",
            ],
        ),
        (
            "DstackKms",
            &[
                "17a1d80f", "a6c4cce9", "8618169d", "9cb9c31f", "09177063", "95f51931", "9a4e1d18", "25a992da",
                "1e079198", "e067ec9d",
            ],
        ),
    ];
    for (contract, selectors) in expected {
        let methods = artifact(contract).json["methods"].clone();
        let present: Vec<&str> = methods
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_str)
            .collect();
        for selector in selectors {
            assert!(present.contains(selector), "{contract} has no {selector}");
        }
    }
    let old = artifact("DstackAppOneStep").json["methods"].to_string();
    for newer in ["e30c3978", "54fd4d50", "0aa58c83"] {
        assert!(!old.contains(newer), "the older app has {newer}");
    }
}

#[test]
fn both_apps_keep_hashes_in_slot_0_and_devices_in_slot_2() {
    for variant in [AppVariant::OneStep, AppVariant::TwoStep] {
        let world = World::with(WorldOptions {
            app: variant,
            ..WorldOptions::default()
        });
        for (key, slot) in [(world.first_hash, 0), (world.device, 2)] {
            let place = keccak256([key, B256::with_last_byte(slot)].concat());
            let word = world
                .rpc()
                .call("eth_getStorageAt", json!([world.app, place, "latest"]));
            assert_eq!(word, json!(B256::with_last_byte(1)), "{variant:?} slot {slot}");
        }
    }
}

#[test]
fn a_new_owner_of_the_newer_app_has_to_accept() {
    let heir = crate::support::ACCOUNTS[2].address;
    for (variant, moved) in [(AppVariant::OneStep, true), (AppVariant::TwoStep, false)] {
        let world = World::with(WorldOptions {
            app: variant,
            ..WorldOptions::default()
        });
        world.as_owner(&abi::transferOwnershipCall { to: heir });
        assert_eq!(
            world.rpc().read(world.app, &abi::ownerCall {}) == heir,
            moved,
            "{variant:?}"
        );
        if !moved {
            world.rpc().execute(heir, world.app, &abi::acceptOwnershipCall {});
            assert_eq!(world.rpc().read(world.app, &abi::ownerCall {}), heir);
        }
    }
}

#[test]
fn an_approved_update_runs_after_commit_and_announces_its_operation_meanwhile() {
    let world = World::start();
    world.cloud.set_boot_time(FOREVER);
    let (token, hash) = prepare(&world, NEW_COMPOSE);
    assert_eq!(hash, world.hash_with(NEW_COMPOSE));
    assert_eq!(
        world.cloud.cvm(CVM).compose_hash,
        world.first_hash,
        "prepare changes nothing"
    );
    let transaction = world.allow(hash);
    let answer = commit(&world, &token, &format!("{hash}"), &transaction.to_string());
    assert_eq!((answer.status, &answer.body["status"]), (202, &json!("in_progress")));
    let during = get(&world, &format!("cvms/{CVM}"), "2026-01-21").body;
    assert_eq!(during["progress"]["correlation_id"], answer.body["correlation_id"]);
    assert_eq!(during["compose_hash"], hex::encode(world.first_hash));
    world.cloud.set_boot_time(Duration::ZERO);
    world.cloud.wait_for_hash(CVM, hash);
    assert_eq!(
        get(&world, &format!("cvms/{CVM}/compose_file"), "2026-01-21").body["docker_compose_file"],
        NEW_COMPOSE
    );
    assert_eq!(world.cloud.commits(CVM), [hash]);
}

#[test]
fn a_hash_that_the_chain_does_not_allow_is_468() {
    let world = World::start();
    let (token, _) = prepare(&world, NEW_COMPOSE);
    let answer = commit(&world, &token, "", "already-registered");
    assert_eq!((answer.status, &answer.body["error_code"]), (468, &json!("ERR-01-008")));
    assert_eq!(
        world.cloud.tokens()[0].fate,
        Fate::Live,
        "a refused commit spends nothing"
    );
}

#[test]
fn a_transaction_that_did_not_register_the_hash_is_467() {
    let world = World::start();
    let (token, hash) = prepare(&world, NEW_COMPOSE);
    let other = world.allow(B256::repeat_byte(7));
    world.allow(hash);
    for transaction in [other.to_string(), B256::repeat_byte(9).to_string(), "0x12".to_owned()] {
        let answer = commit(&world, &token, "", &transaction);
        assert_eq!(
            (answer.status, &answer.body["error_code"]),
            (467, &json!("ERR-01-007")),
            "{transaction}"
        );
    }
    assert_eq!(
        commit(&world, &token, "", "").status,
        202,
        "the state alone is enough when no transaction is named"
    );
}

#[test]
fn t1_t3_t4_an_expired_superseded_used_foreign_or_mismatched_token_is_466() {
    let world = World::start();
    let (first, hash) = prepare(&world, NEW_COMPOSE);
    let (second, again) = prepare(&world, NEW_COMPOSE);
    assert_eq!(hash, again, "the same input has the same hash");
    world.allow(hash);
    let refused = |token: &str, given: &str| {
        let answer = commit(&world, token, given, "already-registered");
        assert_eq!(
            (answer.status, &answer.body["error_code"]),
            (466, &json!("ERR-01-006")),
            "{}",
            answer.body
        );
    };
    refused(&first, "");
    refused("6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11", "");
    refused(&second, &world.first_hash.to_string());
    world.cloud.advance(TOKEN_LIFE);
    refused(&second, "");
    // Time goes by meanwhile, more of it on a slow machine.
    world.cloud.advance(-600);
    assert_eq!(commit(&world, &second, "", "already-registered").status, 202);
    refused(&second, "");
    assert_eq!(world.cloud.commits(CVM).len(), 1);
}

#[test]
fn of_many_commits_at_once_one_wins() {
    let world = World::start();
    let (token, hash) = prepare(&world, NEW_COMPOSE);
    world.allow(hash);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| commit(&world, &token, "", "").status))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(
        statuses.iter().filter(|status| **status == 202).count(),
        1,
        "{statuses:?}"
    );
    assert_eq!(world.cloud.commits(CVM), [hash]);
}

#[test]
fn while_an_update_runs_another_is_409_without_a_code() {
    let world = World::start();
    world.cloud.set_boot_failure(Some(BootFailure::Never));
    let (token, hash) = prepare(&world, NEW_COMPOSE);
    world.allow(hash);
    assert_eq!(commit(&world, &token, "", "").status, 202);
    let answer = patch(
        &world,
        &[("X-Prepare-Only", "true")],
        &json!({"docker_compose_file": "services: {}\n"}),
    );
    assert_eq!((answer.status, answer.body.get("error_code")), (409, None));
}

#[test]
fn confirm_by_headers_needs_an_announced_hash_and_the_chain() {
    let world = World::start();
    let hash = world.hash_with(NEW_COMPOSE).to_string();
    let confirm = |transaction: &str| {
        patch(
            &world,
            &[("X-Compose-Hash", &hash), ("X-Transaction-Hash", transaction)],
            &json!({}),
        )
    };
    assert_eq!(confirm("already-registered").status, 466, "nobody announced it");
    let announced = patch(&world, &[], &json!({"docker_compose_file": NEW_COMPOSE}));
    assert_eq!(announced.status, 465);
    let fields: Vec<&str> = announced.body["details"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|d| d["field"].as_str())
        .collect();
    assert_eq!(
        fields,
        ["compose_hash", "app_id", "device_id", "kms_info"],
        "no token without the prepare-only header"
    );
    assert_eq!(confirm("already-registered").status, 468);
    let transaction = world.allow(hash.parse().unwrap());
    assert_eq!(confirm(&transaction.to_string()).status, 202);
    world.cloud.wait_for_hash(CVM, hash.parse().unwrap());
}

#[test]
fn without_a_contract_prepare_only_is_ignored_and_the_update_applied() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    let answer = patch(
        &world,
        &[("X-Prepare-Only", "true")],
        &json!({"docker_compose_file": NEW_COMPOSE}),
    );
    assert_eq!(answer.status, 202);
    world.cloud.wait_for_hash(CVM, world.hash_with(NEW_COMPOSE));
    assert!(world.cloud.tokens().is_empty());
}

#[test]
fn h3_a_hash_removed_after_commit_does_not_boot() {
    let world = World::start();
    world.cloud.set_boot_time(FOREVER);
    let (token, hash) = prepare(&world, NEW_COMPOSE);
    world.allow(hash);
    assert_eq!(commit(&world, &token, "", "").status, 202);
    world.as_owner(&abi::removeComposeHashCall { composeHash: hash });
    world.cloud.set_boot_time(Duration::ZERO);
    let error = crate::support::until("the boot error", || world.cloud.cvm(CVM).boot_error);
    assert_eq!(error, "Compose hash not allowed");
    assert_eq!(world.cloud.cvm(CVM).compose_hash, world.first_hash);
}

#[test]
fn the_kms_names_what_it_denies() {
    let world = World::with(WorldOptions {
        device_allowed: false,
        ..WorldOptions::default()
    });
    let cvm = world.cloud.cvm(CVM);
    let ask = |app, os_image, hash| {
        let boot = abi::AppBootInfo {
            appId: app,
            composeHash: hash,
            instanceId: app,
            deviceId: cvm.device,
            mrAggregated: B256::ZERO,
            mrSystem: B256::ZERO,
            osImageHash: os_image,
            tcbStatus: "UpToDate".into(),
            advisoryIds: vec![],
        };
        world.rpc().read(world.kms, &abi::isAppAllowedCall { boot }).reason
    };
    assert_eq!(ask(world.kms, cvm.os_image, world.first_hash), "App not registered");
    assert_eq!(ask(world.app, B256::ZERO, world.first_hash), "OS image is not allowed");
    assert_eq!(ask(world.app, cvm.os_image, B256::ZERO), "Compose hash not allowed");
    assert_eq!(ask(world.app, cvm.os_image, world.first_hash), "Device not allowed");
    world.as_owner(&abi::setAllowAnyDeviceCall { allowAny: true });
    assert_eq!(ask(world.app, cvm.os_image, world.first_hash), "");
}

#[test]
fn every_request_needs_the_key_except_commit_and_carries_date_and_request_id() {
    let world = World::start();
    let url = format!("{}/cvms/{CVM}", world.cloud.prefix());
    assert_eq!(send(http().get(&url)).status, 401);
    assert_eq!(send(http().get(&url).header("X-API-Key", "phak_wrong")).status, 401);
    let answer = get(&world, &format!("cvms/{CVM}"), "2025-10-28");
    assert_eq!(answer.status, 200);
    assert!(answer.headers.contains_key("date") && answer.headers.contains_key("x-request-id"));
    assert_eq!(
        commit(&world, "x", "", "").status,
        466,
        "no key, and the token is looked at"
    );
}

#[test]
fn a_cvm_answers_to_each_of_its_names_and_an_app_with_two_cvms_to_none() {
    let world = World::start();
    let cvm = world.cloud.cvm(CVM);
    let app = hex::encode(world.app);
    let names = [
        cvm.uuid.clone(),
        cvm.dashed_uuid(),
        app.clone(),
        format!("app_{app}"),
        format!("instance_{}", cvm.instance_id),
        cvm.hashed_id(),
        CVM.to_owned(),
    ];
    for name in names {
        assert_eq!(get(&world, &format!("cvms/{name}"), "2026-01-21").status, 200, "{name}");
    }
    assert_eq!(get(&world, "cvms/unknown-name", "2026-01-21").status, 404);
    world.add_cvm(2);
    let answer = get(&world, &format!("cvms/app_{app}"), "2026-01-21");
    assert_eq!((answer.status, &answer.body["error_code"]), (409, &json!("ERR-03-010")));
}

#[test]
fn a_pending_update_is_listed_previewed_and_gone_after_commit() {
    let world = World::start();
    let (token, hash) = prepare(&world, NEW_COMPOSE);
    let app = world.app;
    let listed = || get(&world, &format!("apps/{app}/pending-updates"), "2026-01-21").body["items"].clone();
    assert_eq!(listed()[0]["on_chain"], json!(false));
    world.allow(hash);
    assert_eq!(listed()[0]["on_chain"], json!(true));
    let uuid = world.cloud.cvm(CVM).dashed_uuid();
    let preview = get(
        &world,
        &format!("apps/{app}/pending-updates/{uuid}/{}/preview", hex::encode(hash)),
        "2026-01-21",
    );
    assert_eq!(preview.body["pending_docker_compose"], NEW_COMPOSE);
    assert_eq!(commit(&world, &token, "", "").status, 202);
    assert_eq!(listed(), json!([]));
}

#[test]
fn every_lie_stands_where_it_says() {
    let world = World::start();
    let honest = patch(
        &world,
        &[("X-Prepare-Only", "true")],
        &json!({"docker_compose_file": NEW_COMPOSE}),
    )
    .body;
    let all = |body: &Value, field: &str| {
        let list = body["details"].as_array().unwrap();
        list.iter().find(|item| item["field"] == field).unwrap()["value"].clone()
    };
    world.cloud.lie(|lies| {
        lies.hash = Some("ab".repeat(31) + "a");
        lies.app_id = Some("11".repeat(20));
        lies.chain_id = Some(1);
        lies.kms_contract = Some("0x2f83172A49584C017F2B256F0FB2Dca14126Ba9C".to_owned());
        lies.device_id = Some(Value::Null);
        lies.commit_host = Some("https://evil.example".to_owned());
        lies.message = Some("\u{1b}[31mred\n".to_owned());
        lies.edit_prepare = Some(std::sync::Arc::new(|body| body["surprise"] = json!(1)));
    });
    let lying = patch(
        &world,
        &[("X-Prepare-Only", "true")],
        &json!({"docker_compose_file": NEW_COMPOSE}),
    )
    .body;
    for field in [
        "compose_hash",
        "app_id",
        "device_id",
        "kms_info",
        "commit_url",
        "api_commit_url",
    ] {
        assert_ne!(all(&honest, field), all(&lying, field), "{field}");
    }
    assert_eq!(all(&lying, "kms_info")["chain_id"], 1);
    assert_eq!(all(&lying, "compose_hash").as_str().unwrap().len(), 63);
    assert!(
        all(&lying, "api_commit_url")
            .as_str()
            .unwrap()
            .starts_with("https://evil.example/")
    );
    assert_eq!(
        (&lying["message"], &lying["surprise"]),
        (&json!("\u{1b}[31mred\n"), &json!(1))
    );
    let record = get(&world, &format!("cvms/{CVM}"), "2026-01-21").body;
    assert_eq!(record["kms_info"]["chain_id"], 1);
    world
        .cloud
        .lie(|lies| lies.redirect = Some("https://evil.example/".to_owned()));
    let answer = get(&world, &format!("cvms/{CVM}"), "2026-01-21");
    assert_eq!(
        (answer.status, &answer.headers["location"]),
        (307, &"https://evil.example/".parse().unwrap())
    );
}

#[test]
fn a36_an_injected_script_changes_the_hash_that_will_run() {
    let world = World::start();
    world
        .cloud
        .lie(|lies| lies.injected_script = Some("#!/bin/bash\necho v0.0.20".to_owned()));
    let (_, hash) = prepare(&world, NEW_COMPOSE);
    assert_ne!(hash, world.hash_with(NEW_COMPOSE));
    assert_eq!(
        world.cloud.tokens()[0].manifest["pre_launch_script"],
        "#!/bin/bash\necho v0.0.20"
    );
}

#[test]
fn a_chain_with_a_state_file_survives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let state = Some(folder.path().join("state.json"));
    let mut anvil = Anvil::start(AnvilOptions {
        state: state.clone(),
        ..AnvilOptions::default()
    });
    anvil.rpc().mine(7);
    let written = || {
        let text = std::fs::read_to_string(state.as_ref()?).ok()?;
        let saved: Value = serde_json::from_str(&text).ok()?;
        (saved["best_block_number"] == json!(7)).then_some(())
    };
    crate::support::until("the state file", written);
    anvil.kill();
    assert!(anvil.rpc().try_call("eth_blockNumber", json!([])).is_err());
    anvil.restart();
    assert_eq!(anvil.rpc().height(), 7);
}
