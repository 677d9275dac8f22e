//! Every operation that the official SDK has: it takes the simulated cloud's answers, and its requests and ours say the
//! same.

use std::time::Duration;

use countersign::cloud::{
    Client, CvmId, Page,
    compose_file::CommitCompose,
    configure::{Envs, ResourceChange, Visibility},
    instance_ids::{Refresh, RefreshMany},
    patch::Patch,
    provision::{CommitProvision, KmsKind, Provision},
    replicas::Replica,
    watch::Watch,
};
use countersign::compose::{Changes, ComposeHash, Manifest};
use serde_json::{Map, Value, json};

use crate::cloud::peers::{Words, our_client, sdk_acts};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{World, WorldOptions, block};

fn offchain() -> World {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    world.cloud.set_boot_time(Duration::ZERO);
    world
}

fn manifest() -> Map<String, Value> {
    // The SDK drops what its own schema does not have; these it has.
    let value =
        json!({"name": "new-app", "docker_compose_file": NEW_COMPOSE, "public_logs": true, "public_sysinfo": true});
    match value {
        Value::Object(manifest) => manifest,
        _ => unreachable!("an object was written above"),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story from its beginning to its end")]
fn the_official_sdk_takes_every_answer_of_the_simulated_cloud() {
    let world = offchain();
    let id = json!({"id": CVM});
    let with = |more: Value| {
        let mut request = id.clone();
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let wanted = json!({"name": "new-app", "compose_file": manifest(), "vcpu": 2, "memory": 2048, "listed": false});
    let acts = [
        ("getCvmList", json!({"page": 1, "page_size": 10})),
        ("getCvmInfo", id.clone()),
        ("getCvmState", id.clone()),
        ("getCvmStats", id.clone()),
        ("getCvmNetwork", id.clone()),
        ("getCvmAttestation", id.clone()),
        ("getAvailableOsImages", id.clone()),
        ("getOsImages", json!({"page": 1})),
        ("shutdownCvm", id.clone()),
        ("startCvm", id.clone()),
        ("stopCvm", id.clone()),
        ("startCvm", id.clone()),
        ("restartCvm", with(json!({"force": true}))),
        ("watchCvmState", with(json!({"target": "running", "maxRetries": 2}))),
        ("updateCvmResources", with(json!({"vcpu": 4}))),
        (
            "updateCvmVisibility",
            with(json!({"public_sysinfo": true, "public_logs": false})),
        ),
        (
            "updatePreLaunchScript",
            with(json!({"pre_launch_script": "#!/bin/sh\n"})),
        ),
        ("updateDockerCompose", with(json!({"docker_compose_file": NEW_COMPOSE}))),
        ("updateCvmEnvs", with(json!({"encrypted_env": "ab", "env_keys": ["A"]}))),
        ("updateOsImage", with(json!({"os_image_name": "dstack-0.5.8"}))),
        ("refreshCvmInstanceId", id.clone()),
        ("refreshCvmInstanceIds", json!({})),
        (
            "provisionCvmComposeFileUpdate",
            with(json!({"app_compose": manifest()})),
        ),
        ("patchCvm", with(json!({"vcpu": 8, "disk_size": 80}))),
        ("replicateCvm", with(json!({"node_id": 18}))),
        ("provisionCvm", wanted),
        ("getAvailableNodes", json!({})),
        ("getKmsList", json!({"page": 1, "is_onchain": true})),
        ("getKmsInfo", json!({"kms_id": "kms_abc"})),
        (
            "getAppEnvEncryptPubKey",
            json!({"kms": "kms_abc", "app_id": hex::encode(world.app)}),
        ),
        ("nextAppIds", json!({"counts": 2})),
    ];
    let names: Vec<_> = acts.iter().map(|(name, _)| *name).collect();
    let outcomes = sdk_acts(&world, &acts);
    for (name, outcome) in names.iter().zip(&outcomes) {
        assert!(outcome.get("ok").is_some(), "{name}: {outcome}");
    }
    let of = |name: &str| &outcomes[names.iter().position(|act| *act == name).unwrap()]["ok"];
    assert_eq!(of("watchCvmState")["status"], "running");
    let provisioned = of("provisionCvm");
    let commit = json!({"app_id": provisioned["app_id"], "compose_hash": provisioned["compose_hash"]});
    let compose = json!({"id": CVM, "compose_hash": of("provisionCvmComposeFileUpdate")["compose_hash"]});
    let more = [
        ("commitCvmProvision", commit.clone()),
        ("commitCvmProvision", commit),
        ("commitCvmComposeFileUpdate", compose),
        ("deleteCvm", id),
    ];
    for (outcome, (name, _)) in sdk_acts(&world, &more).iter().zip(&more) {
        assert!(outcome.get("ok").is_some(), "{name}: {outcome}");
    }
    let mut names = world.cloud.names();
    names.sort();
    assert_eq!(names.len(), 2, "the replica and the new one: {names:?}");
    assert!(names[0] == "new-app" && names[1].starts_with(CVM));
}

/// Each act of the SDK, and what we do for the same. `{id}` is any way to name the CVM.
fn acts(id: &str) -> Vec<(&'static str, Value)> {
    let with = |more: Value| {
        let mut request = json!({ "id": id });
        request
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        request
    };
    let plain = || with(json!({}));
    vec![
        ("getCvmState", plain()),
        ("getCvmStats", plain()),
        ("getCvmNetwork", plain()),
        ("getCvmAttestation", plain()),
        ("getAvailableOsImages", plain()),
        ("startCvm", plain()),
        ("shutdownCvm", plain()),
        ("stopCvm", plain()),
        ("startCvm", plain()),
        ("restartCvm", with(json!({"force": true}))),
        ("restartCvm", plain()),
        ("watchCvmState", with(json!({"target": "running", "maxRetries": 1}))),
        (
            "updateCvmResources",
            with(json!({"vcpu": 4, "memory": 8192, "disk_size": 100})),
        ),
        (
            "updateCvmVisibility",
            with(json!({"public_sysinfo": true, "public_logs": false, "public_tcbinfo": true})),
        ),
        (
            "updatePreLaunchScript",
            with(json!({"pre_launch_script": "#!/bin/sh\n# é\n"})),
        ),
        ("updateDockerCompose", with(json!({"docker_compose_file": NEW_COMPOSE}))),
        (
            "updateCvmEnvs",
            with(json!({"encrypted_env": "ab", "env_keys": ["B", "A"]})),
        ),
        ("updateOsImage", with(json!({"os_image_name": "dstack-0.5.8"}))),
        ("refreshCvmInstanceId", plain()),
        (
            "refreshCvmInstanceId",
            with(json!({"overwrite": true, "dry_run": true})),
        ),
        (
            "patchCvm",
            with(
                json!({"vcpu": 4, "encrypted_env": "ab", "user_config": "u", "shutdown_timeout": 30,
            "allow_force_stop": true, "gpus": {"count": 1, "product_name": "H200"}, "image": "dstack-0.5.8"}),
            ),
        ),
        ("replicateCvm", plain()),
        ("replicateCvm", with(json!({"node_id": 18}))),
        ("deleteCvm", plain()),
    ]
}

/// The same acts by our client; what was said is in the cloud's log.
async fn ours(client: &Client, id: &CvmId) {
    drop(client.state(id).await);
    drop(client.stats(id).await);
    drop(client.network(id).await);
    drop(client.attestation(id).await);
    drop(client.available_os_images(id).await);
    drop(client.start(id).await);
    drop(client.shutdown(id).await);
    drop(client.stop(id).await);
    drop(client.start(id).await);
    drop(client.restart(id, true).await);
    drop(client.restart(id, false).await);
    drop(client.watch(id, &Watch::for_target("running"), &mut |_| {}).await);
    configure(client, id).await;
    drop(client.replicate(id, &Replica::default()).await);
    let replica = Replica {
        node_id: Some(18),
        ..Replica::default()
    };
    drop(client.replicate(id, &replica).await);
    drop(client.delete(id).await);
}

async fn configure(client: &Client, id: &CvmId) {
    let resources = ResourceChange {
        vcpu: Some(4),
        memory: Some(8192),
        disk_size: Some(100),
        ..ResourceChange::default()
    };
    let visibility = Visibility {
        public_sysinfo: true,
        public_logs: false,
        public_tcbinfo: Some(true),
    };
    let envs = Envs {
        encrypted_env: "ab".to_owned(),
        env_keys: Some(vec!["B".to_owned(), "A".to_owned()]),
    };
    drop(client.set_resources(id, &resources).await);
    drop(client.set_visibility(id, visibility).await);
    drop(client.set_pre_launch_script(id, "#!/bin/sh\n# é\n", None).await);
    drop(client.set_docker_compose(id, NEW_COMPOSE, None).await);
    drop(client.set_envs(id, &envs, None).await);
    drop(client.set_os_image(id, "dstack-0.5.8").await);
    drop(client.refresh_instance_id(id, Refresh::default()).await);
    let refresh = Refresh {
        overwrite: Some(true),
        dry_run: Some(true),
    };
    drop(client.refresh_instance_id(id, refresh).await);
    let patch: Patch = serde_json::from_value(json!({"vcpu": 4, "encrypted_env": "ab", "user_config": "u",
        "shutdown_timeout": 30, "allow_force_stop": true, "gpus": {"count": 1, "product_name": "H200"},
        "image": "dstack-0.5.8"}))
    .unwrap();
    drop(client.patch(id, &patch).await);
}

/// The requests since they were forgotten, each in its words.
fn heard(world: &World) -> Vec<Words> {
    let said = world.cloud.requests().iter().map(Words::of).collect();
    world.cloud.forget_requests();
    said
}

fn compare(acts: &[(&str, Value)], theirs: Vec<Words>, ours: Vec<Words>) {
    assert_eq!(theirs.len(), acts.len(), "{theirs:?}");
    assert_eq!(ours.len(), acts.len(), "{ours:?}");
    for (((name, _), mut theirs), ours) in acts.iter().zip(theirs).zip(ours) {
        if *name == "updateCvmResources" {
            // The SDK repeats the identifier in the body, which no document asks for.
            theirs.body.as_object_mut().unwrap().remove("id");
        }
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn each_operation_on_a_cvm_says_the_same_as_the_official_sdks() {
    let world = offchain();
    let cvm = world.cloud.cvm(CVM);
    let ids = [CVM.to_owned(), cvm.dashed_uuid(), hex::encode(world.app)];
    for id in ids {
        let acts = acts(&id);
        world.cloud.forget_requests();
        sdk_acts(&world, &acts);
        let theirs = heard(&world);
        world.cloud.restore(&cvm);
        let (client, id) = (our_client(&world), id.parse().unwrap());
        block(async move { ours(&client, &id).await });
        let ours = heard(&world);
        world.cloud.restore(&cvm);
        compare(&acts, theirs, ours);
    }
}

/// What is not about one CVM.
async fn fleet(client: &Client, hash: ComposeHash) {
    let page = Page {
        number: Some(2),
        size: Some(5),
    };
    drop(client.cvms(page).await);
    drop(client.os_images(page).await);
    let which = RefreshMany {
        cvm_ids: Some(vec![CVM.parse().unwrap()]),
        running_only: Some(false),
        limit: Some(7),
        ..RefreshMany::default()
    };
    drop(client.refresh_instance_ids(&which).await);
    drop(client.nodes().await);
    drop(client.kms_list(page, Some(true)).await);
    drop(client.kms(&"kms_abc".parse().unwrap()).await);
    drop(client.kms_on_chain(&"base".parse().unwrap()).await);
    let app = alloy::primitives::Address::repeat_byte(7);
    drop(client.kms_public_key(&"kms_abc".parse().unwrap(), app).await);
    drop(client.next_app_ids(3).await);
    let id: CvmId = CVM.parse().unwrap();
    let wanted = Manifest::from_map(manifest());
    drop(client.provision_compose_file(&id, &wanted, Some(true)).await);
    let commit = CommitCompose {
        hash,
        encrypted_env: Some("ab".to_owned()),
        env_keys: Some(vec!["A".to_owned()]),
        update_env_vars: Some(true),
    };
    drop(client.commit_compose_file(&id, &commit).await);
    let wanted = Provision {
        vcpu: Some(2),
        memory: Some(2048),
        disk_size: Some(20),
        node_id: Some(18),
        kms: Some(KmsKind::Base),
        env_keys: Some(vec!["A".to_owned()]),
        ..Provision::new("new-app".parse().unwrap(), manifest())
    };
    drop(client.provision(&wanted).await);
    let commit = CommitProvision {
        encrypted_env: Some("ab".to_owned()),
        env_keys: Some(vec!["A".to_owned()]),
        kms_id: Some("kms_abc".parse().unwrap()),
        ..CommitProvision::new(app, hash)
    };
    drop(client.commit_provision(&commit).await);
    let patch = Patch {
        changes: Changes {
            pre_launch_script: Some("x".to_owned()),
            ..Changes::default()
        },
        ..Patch::default()
    };
    drop(client.patch(&id, &patch).await);
}

#[test]
fn each_operation_on_the_workspace_says_the_same_as_the_official_sdks() {
    let world = World::start();
    let hash = hex::encode([7; 32]);
    let app = hex::encode([7; 20]);
    let acts = [
        ("getCvmList", json!({"page": 2, "page_size": 5})),
        ("getOsImages", json!({"page": 2, "page_size": 5})),
        (
            "refreshCvmInstanceIds",
            json!({"cvm_ids": [CVM], "running_only": false, "limit": 7}),
        ),
        ("getAvailableNodes", json!({})),
        ("getKmsList", json!({"page": 2, "page_size": 5, "is_onchain": true})),
        ("getKmsInfo", json!({"kms_id": "kms_abc"})),
        ("getKmsOnChainDetail", json!({"chain": "base"})),
        ("getAppEnvEncryptPubKey", json!({"kms": "kms_abc", "app_id": app})),
        ("nextAppIds", json!({"counts": 3})),
        (
            "provisionCvmComposeFileUpdate",
            json!({"id": CVM, "app_compose": manifest(), "update_env_vars": true}),
        ),
        (
            "commitCvmComposeFileUpdate",
            json!({"id": CVM, "compose_hash": hash, "encrypted_env": "ab",
            "env_keys": ["A"], "update_env_vars": true}),
        ),
        (
            "provisionCvm",
            json!({"name": "new-app", "compose_file": manifest(), "vcpu": 2, "memory": 2048,
            "disk_size": 20, "node_id": 18, "kms": "BASE", "listed": false, "env_keys": ["A"]}),
        ),
        (
            "commitCvmProvision",
            json!({"app_id": app, "compose_hash": hash, "encrypted_env": "ab", "env_keys": ["A"],
            "kms_id": "kms_abc"}),
        ),
        ("patchCvm", json!({"id": CVM, "pre_launch_script": "x"})),
    ];
    let outcomes = sdk_acts(&world, &acts);
    assert_eq!(outcomes[6]["ok"]["chain_id"], 31337, "{}", outcomes[6]);
    assert_eq!(outcomes[13]["ok"]["requiresOnChainHash"], true, "{}", outcomes[13]);
    let theirs = heard(&world);
    let client = our_client(&world);
    block(async move { fleet(&client, ComposeHash::new([7; 32])).await });
    compare(&acts, theirs, heard(&world));
}

#[test]
fn the_second_phase_of_each_text_says_the_same_as_the_official_sdks() {
    let world = World::start();
    let (hash, transaction) = (hex::encode([7; 32]), format!("0x{}", hex::encode([9; 32])));
    let with =
        |name: &str, text: &str| json!({"id": CVM, name: text, "compose_hash": hash, "transaction_hash": transaction});
    let acts = [
        ("updatePreLaunchScript", with("pre_launch_script", "x")),
        ("updateDockerCompose", with("docker_compose_file", "x")),
        ("updateCvmEnvs", with("encrypted_env", "ab")),
    ];
    sdk_acts(&world, &acts);
    let theirs = heard(&world);
    let client = our_client(&world);
    block(async move {
        let id = CVM.parse().unwrap();
        let approved = Some(countersign::cloud::configure::Approved {
            hash: ComposeHash::new([7; 32]),
            by: countersign::cloud::updates::Registration::Transaction([9; 32].into()),
        });
        drop(client.set_pre_launch_script(&id, "x", approved).await);
        drop(client.set_docker_compose(&id, "x", approved).await);
        let envs = Envs {
            encrypted_env: "ab".to_owned(),
            env_keys: None,
        };
        drop(client.set_envs(&id, &envs, approved).await);
    });
    let mut theirs = theirs;
    let mut ours = heard(&world);
    // `0x` before the transaction is the caller's choice.
    for words in theirs.iter_mut().chain(&mut ours) {
        if let Some(text) = words.body["transaction_hash"]
            .as_str()
            .map(|text| text.trim_start_matches("0x").to_owned())
        {
            words.body["transaction_hash"] = json!(text);
        }
    }
    compare(&acts, theirs, ours);
}
