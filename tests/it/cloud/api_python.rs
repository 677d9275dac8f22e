//! Requests of the official Python SDK, as `tests/python/record.py` recorded them, against ours for the same.
//!
//! Every difference stands here with its reason; one that does not is a failure, and so is one that is gone.

use alloy::primitives::{Address, B256};
use countersign::cloud::{
    Client, CvmId, Page,
    compose_file::CommitCompose,
    configure::{Approved, Envs, ResourceChange, Visibility},
    instance_ids::{Refresh, RefreshMany},
    patch::Patch,
    provision::{CommitProvision, Provision},
    replicas::Replica,
    updates::Registration,
    watch::Watch,
};
use countersign::compose::{ComposeHash, Manifest};
use serde_json::{Map, Value, json};

use crate::cloud::peers::our_client;
use crate::support::cloud::Request;
use crate::support::world::CVM;
use crate::support::{World, WorldOptions, block};

/// What differs, in which acts, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "replicate_cvm",
        "body",
        "without a node there is nothing to say, and `null` is not nothing",
    ),
    (
        "update_cvm_resources",
        "path",
        "the path of the documents and of the JavaScript SDK; the unified PATCH takes its place where it is gone",
    ),
    (
        "update_cvm_resources",
        "body.disk_size",
        "whole numbers are whole: 4 instead of 4.0",
    ),
    (
        "update_cvm_resources",
        "body.memory",
        "whole numbers are whole: 4 instead of 4.0",
    ),
    (
        "update_cvm_resources",
        "body.vcpu",
        "whole numbers are whole: 4 instead of 4.0",
    ),
    ("update_cvm_envs", "body", "what is not given is left out, not null"),
    (
        "refresh_cvm_instance_id",
        "body",
        "the server's own defaults are not repeated",
    ),
    (
        "watch_cvm_state",
        "x-phala-version",
        "a stream has no version and no content, as in the JavaScript SDK",
    ),
    (
        "watch_cvm_state",
        "content-type",
        "a stream has no version and no content, as in the JavaScript SDK",
    ),
    (
        "get_kms_list",
        "x-phala-version",
        "one version for all requests, which lists KMS nodes as the later one does",
    ),
    ("get_kms_info", "x-phala-version", "one version for all requests"),
    (
        "get_app_env_encrypt_pub_key",
        "x-phala-version",
        "one version for all requests",
    ),
];

fn recorded() -> Value {
    serde_json::from_str(include_str!("../../vectors/python_sdk.json")).unwrap()
}

fn number(request: &Value, name: &str) -> Option<u32> {
    Some(u32::try_from(request.get(name)?.as_u64()?).unwrap())
}
fn text<'v>(request: &'v Value, name: &str) -> &'v str {
    request[name].as_str().unwrap()
}
fn names(request: &Value, name: &str) -> Option<Vec<String>> {
    serde_json::from_value(request.get(name)?.clone()).unwrap()
}
fn flag(request: &Value, name: &str) -> Option<bool> {
    request.get(name)?.as_bool()
}
fn page(request: &Value) -> Page {
    Page {
        number: number(request, "page"),
        size: number(request, "page_size"),
    }
}
fn hash(request: &Value) -> ComposeHash {
    text(request, "compose_hash").parse().unwrap()
}
fn approved(request: &Value) -> Option<Approved> {
    let by: B256 = request.get("transaction_hash")?.as_str()?.parse().unwrap();
    Some(Approved {
        hash: hash(request),
        by: Registration::Transaction(by),
    })
}
fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}
/// The fields of an act on a CVM without the CVM.
fn fields(request: &Value) -> Value {
    let mut fields = object(request);
    fields.remove("id");
    Value::Object(fields)
}

/// Our request for a recorded one.
async fn ours(client: &Client, act: &str, request: &Value) {
    let id: CvmId = CVM.parse().unwrap();
    match act {
        "get_cvm_list" => drop(client.cvms(page(request)).await),
        "get_cvm_info" => drop(client.cvm(&id).await),
        "get_cvm_compose_file" => drop(client.manifest(&id).await),
        "get_cvm_state" => drop(client.state(&id).await),
        "watch_cvm_state" => drop(
            client
                .watch(&id, &Watch::for_target(text(request, "target")), &mut |_| {})
                .await,
        ),
        "get_cvm_stats" => drop(client.stats(&id).await),
        "get_cvm_network" => drop(client.network(&id).await),
        "get_cvm_attestation" => drop(client.attestation(&id).await),
        "get_available_os_images" => drop(client.available_os_images(&id).await),
        "get_os_images" => drop(client.os_images(page(request)).await),
        "start_cvm" => drop(client.start(&id).await),
        "stop_cvm" => drop(client.stop(&id).await),
        "shutdown_cvm" => drop(client.shutdown(&id).await),
        "restart_cvm" => drop(client.restart(&id, flag(request, "force").unwrap_or(false)).await),
        "delete_cvm" => drop(client.delete(&id).await),
        "get_available_nodes" => drop(client.nodes().await),
        "get_kms_list" => drop(client.kms_list(page(request), flag(request, "is_onchain")).await),
        "get_kms_info" => drop(client.kms(&text(request, "kms_id").parse().unwrap()).await),
        "get_kms_on_chain_detail" => drop(client.kms_on_chain(&text(request, "chain").parse().unwrap()).await),
        "next_app_ids" => drop(client.next_app_ids(number(request, "counts").unwrap()).await),
        "confirm_cvm_patch" => {
            let approved = approved(request).unwrap();
            drop(client.confirm(&id, approved.hash, approved.by).await);
        }
        "patch_cvm" => {
            let patch: Patch = serde_json::from_value(fields(request)).unwrap();
            drop(client.patch(&id, &patch).await);
        }
        _ => configure(client, act, request).await,
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each operation")]
async fn configure(client: &Client, act: &str, request: &Value) {
    let id: CvmId = CVM.parse().unwrap();
    match act {
        "replicate_cvm" => {
            let node_id = request.get("node_id").and_then(Value::as_u64);
            let replica = Replica {
                node_id,
                ..Replica::default()
            };
            drop(client.replicate(&id, &replica).await);
        }
        "update_cvm_resources" => {
            let change = ResourceChange {
                vcpu: number(request, "vcpu"),
                memory: number(request, "memory"),
                disk_size: number(request, "disk_size"),
                ..ResourceChange::default()
            };
            drop(client.set_resources(&id, &change).await);
        }
        "update_cvm_visibility" => {
            let visibility = Visibility {
                public_sysinfo: flag(request, "public_sysinfo").unwrap(),
                public_logs: flag(request, "public_logs").unwrap(),
                public_tcbinfo: flag(request, "public_tcbinfo"),
            };
            drop(client.set_visibility(&id, visibility).await);
        }
        "update_pre_launch_script" => {
            let script = text(request, "pre_launch_script");
            drop(client.set_pre_launch_script(&id, script, approved(request)).await);
        }
        "update_docker_compose" => {
            let compose = text(request, "docker_compose_file");
            drop(client.set_docker_compose(&id, compose, approved(request)).await);
        }
        "update_cvm_envs" => {
            let envs = Envs {
                encrypted_env: text(request, "encrypted_env").to_owned(),
                env_keys: names(request, "env_keys"),
            };
            drop(client.set_envs(&id, &envs, approved(request)).await);
        }
        "update_os_image" => drop(client.set_os_image(&id, text(request, "os_image_name")).await),
        "refresh_cvm_instance_id" => {
            let refresh = Refresh {
                overwrite: flag(request, "overwrite"),
                dry_run: flag(request, "dry_run"),
            };
            drop(client.refresh_instance_id(&id, refresh).await);
        }
        "refresh_cvm_instance_ids" => {
            let which = RefreshMany {
                cvm_ids: names(request, "cvm_ids").map(|ids| ids.iter().map(|id| id.parse().unwrap()).collect()),
                running_only: flag(request, "running_only"),
                limit: number(request, "limit"),
                ..RefreshMany::default()
            };
            drop(client.refresh_instance_ids(&which).await);
        }
        _ => provision(client, act, request).await,
    }
}

async fn provision(client: &Client, act: &str, request: &Value) {
    let id: CvmId = CVM.parse().unwrap();
    let app = || -> Address { text(request, "app_id").parse().unwrap() };
    match act {
        "provision_cvm_compose_file_update" => {
            let manifest = Manifest::from_map(object(&request["app_compose"]));
            let update = flag(request, "update_env_vars");
            drop(client.provision_compose_file(&id, &manifest, update).await);
        }
        "commit_cvm_compose_file_update" => {
            let commit = CommitCompose {
                hash: hash(request),
                encrypted_env: Some(text(request, "encrypted_env").to_owned()),
                env_keys: names(request, "env_keys"),
                update_env_vars: flag(request, "update_env_vars"),
            };
            drop(client.commit_compose_file(&id, &commit).await);
        }
        "provision_cvm" => {
            let wanted = Provision {
                vcpu: number(request, "vcpu"),
                memory: number(request, "memory"),
                disk_size: number(request, "disk_size"),
                node_id: request.get("teepod_id").and_then(Value::as_u64),
                ..Provision::new(text(request, "name").parse().unwrap(), object(&request["compose_file"]))
            };
            drop(client.provision(&wanted).await);
        }
        "commit_cvm_provision" => {
            let commit = CommitProvision {
                encrypted_env: Some(text(request, "encrypted_env").to_owned()),
                env_keys: names(request, "env_keys"),
                kms_id: Some(text(request, "kms_id").parse().unwrap()),
                ..CommitProvision::new(app(), hash(request))
            };
            drop(client.commit_provision(&commit).await);
        }
        "get_app_env_encrypt_pub_key" => {
            drop(
                client
                    .kms_public_key(&text(request, "kms").parse().unwrap(), app())
                    .await,
            );
        }
        "check_app_is_allowed" => {
            let device = text(request, "device_id").parse().unwrap();
            drop(client.is_allowed(app(), hash(request), Some(device)).await);
        }
        other => panic!("nothing of ours does what {other} does"),
    }
}

/// What two requests say differently: `path`, a header's name, `body`, or one field of a body with the same fields.
fn differences(theirs: &Value, ours: &Request) -> Vec<String> {
    let mut found = Vec::new();
    let lines = [
        ("method", ours.method.clone()),
        ("path", ours.path.clone()),
        ("query", ours.query.clone()),
    ];
    found.extend(
        lines
            .iter()
            .filter(|(name, line)| theirs[*name] != json!(line))
            .map(|(name, _)| (*name).to_owned()),
    );
    for header in [
        "x-phala-version",
        "content-type",
        "cache-control",
        "x-prepare-only",
        "x-compose-hash",
        "x-transaction-hash",
    ] {
        let plain = |value: Option<&str>| value.map(|value| value.trim_start_matches("0x").to_owned());
        if plain(theirs["headers"][header].as_str()) != plain(ours.header(header)) {
            found.push(header.to_owned());
        }
    }
    let said = String::from_utf8_lossy(&ours.body);
    let body = match said.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&ours.body).unwrap_or(json!(said)),
    };
    let keys = |body: &Value| body.as_object().map(|body| body.keys().cloned().collect::<Vec<_>>());
    match (&theirs["body"], &body) {
        (theirs, ours) if theirs == ours => {}
        (Value::Object(one), Value::Object(other)) if keys(&theirs["body"]) == keys(&body) => {
            let fields = one.iter().filter(|(name, value)| other[name.as_str()] != **value);
            found.extend(fields.map(|(name, _)| format!("body.{name}")));
        }
        _ => found.push("body".to_owned()),
    }
    found
}

#[test]
fn each_request_of_the_official_python_sdk_is_ours_but_for_what_is_listed() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    let cvm = world.cloud.cvm(CVM);
    let recorded = recorded();
    assert_eq!(recorded["sdk"], "phala-cloud 0.2.0");
    let mut met = std::collections::BTreeSet::new();
    let mut unlisted = Vec::new();
    for one in recorded["requests"].as_array().unwrap() {
        world.cloud.restore(&cvm);
        world.cloud.forget_requests();
        let (act, request) = (one["act"].as_str().unwrap().to_owned(), one["request"].clone());
        let client = our_client(&world);
        let name = act.clone();
        block(async move { ours(&client, &name, &request).await });
        let said = world.cloud.requests();
        let first = said.first().unwrap_or_else(|| panic!("{act}: nothing was sent"));
        for what in differences(one, first) {
            let listed = DIFFERENCES.iter().find(|(name, part, _)| *name == act && *part == what);
            match listed {
                Some((name, part, _)) => drop(met.insert((*name, *part))),
                None => unlisted.push(format!("{act}: {what}: {one} against {first:?}")),
            }
        }
    }
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    let listed: std::collections::BTreeSet<_> = DIFFERENCES.iter().map(|(name, part, _)| (*name, *part)).collect();
    assert_eq!(met, listed, "what is listed and no longer so");
}
