//! Every operation: the request it makes, and what it makes of every status and of answers that nobody expects.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use serde_json::json;

use super::tests::{client, cvm_id, hash, keyless, patch, token};
use super::*;
use super::{
    compose_file::CommitCompose,
    configure::{Approved, Changed, Envs, ResourceChange, Visibility},
    instance_ids::{Refresh, RefreshMany},
    instances::NewInstance,
    inventory::{
        AnyId, allowed::AllowedQuery, networking::NetworkChange, redeploy::Redeployment, ssh_keys::SshKeyChange,
    },
    lifecycle::OperationsQuery,
    patch::{Gpus, Patch},
    provision::{CommitProvision, CvmName, KmsKind, Provision},
    replicas::{Replica, Replicated},
    updates::{Commit, CommitToken, RawAnswer, Registration},
    watch::Watch,
    webhooks::{NewWebhook, SecondFactor, WebhookChange, WebhookSecret},
};
use crate::http::fake::{self, Act, Fake, Seen};

/// Methods and paths of the API, as committed.
const TABLE: &str = include_str!("../../tests/vectors/api.json");

const APP: &str = "3f91deaf16ff7c823ee65081d6bafa1ceea05ffc";

/// What an operation gave, as text.
type Outcome = Result<String, CloudError>;

macro_rules! run {
    ($($name:literal: $call:expr,)*) => {
        vec![$(($name, $call.await.map(|value| format!("{value:?}"))),)*]
    };
}

/// Runs every operation once; the names are those of the methods.
#[expect(clippy::too_many_lines, reason = "one line for each operation")]
async fn every(client: &Client) -> Vec<(&'static str, Outcome)> {
    let (id, token, hash) = (cvm_id(), token(), hash());
    let app: Address = APP.parse().unwrap();
    let commit = Commit {
        token: &token,
        hash,
        by: Registration::Already,
    };
    let manifest = crate::compose::Manifest::parse(br#"{"name":"x"}"#).unwrap();
    let kms: KmsId = "kms-base-prod9".parse().unwrap();
    let webhook: WebhookId = "wh_1".parse().unwrap();
    let checksum = B256::repeat_byte(0xab);
    let back = Redeployment {
        revision: "rev_1".parse().unwrap(),
        transaction: None,
    };
    let ids = [cvm_id()];
    let new = NewWebhook {
        url: "https://example.org/hook".parse().unwrap(),
        events: Vec::new(),
        name: None,
        secret: None,
    };
    let visibility = Visibility {
        public_sysinfo: true,
        public_logs: false,
        public_tcbinfo: None,
    };
    let envs = Envs {
        encrypted_env: "ab".to_owned(),
        env_keys: None,
    };
    let commit_compose = CommitCompose {
        hash,
        encrypted_env: None,
        env_keys: None,
        update_env_vars: None,
    };
    let mut all = run! {
        "set_resources": client.set_resources(&id, &ResourceChange::default()),
        "set_visibility": client.set_visibility(&id, visibility),
        "set_listed": client.set_listed(&id, true),
        "set_pre_launch_script": client.set_pre_launch_script(&id, "x", None),
        "set_docker_compose": client.set_docker_compose(&id, "x", None),
        "set_envs": client.set_envs(&id, &envs, None),
        "set_os_image": client.set_os_image(&id, "dstack-0.5.7"),
        "available_os_images": client.available_os_images(&id),
        "os_images": client.os_images(Page::default()),
        "refresh_instance_id": client.refresh_instance_id(&id, Refresh::default()),
        "refresh_instance_ids": client.refresh_instance_ids(&RefreshMany::default()),
        "provision_compose_file": client.provision_compose_file(&id, &manifest, None),
        "commit_compose_file": client.commit_compose_file(&id, &commit_compose),
        "provision": client.provision(&wanted()),
        "commit_provision": client.commit_provision(&CommitProvision::new(app, hash)),
        "nodes": client.nodes(),
        "kms_list": client.kms_list(Page::default(), None),
        "kms": client.kms(&kms),
        "kms_node": client.kms_node(&kms),
        "kms_nodes": client.kms_nodes(&kms),
        "kms_on_chain": client.kms_on_chain(&"base".parse().unwrap()),
        "kms_public_key": client.kms_public_key(&kms, app),
        "next_app_ids": client.next_app_ids(1),
        "webhooks": client.webhooks(),
        "create_webhook": client.create_webhook(&new),
        "delete_webhook": client.delete_webhook(&webhook),
        "test_webhook": client.test_webhook(&webhook),
        "deliveries": client.deliveries(&webhook, 50, 0),
        "resend_delivery": client.resend_delivery(&webhook, &"evt_1".parse().unwrap()),
        "webhook": client.webhook(&webhook),
        "update_webhook": client.update_webhook(&webhook, &WebhookChange::default()),
        "webhook_stats": client.webhook_stats(&webhook),
        "reveal_webhook_secret": client.reveal_webhook_secret(&webhook, None),
        "rotate_webhook_secret": client.rotate_webhook_secret(&webhook, None),
        "cvms": client.cvms(Page::default()),
        "cvm": client.cvm(&id),
        "manifest": client.manifest(&id),
        "state": client.state(&id),
        "start": client.start(&id),
        "stop": client.stop(&id),
        "shutdown": client.shutdown(&id),
        "restart": client.restart(&id, false),
        "delete": client.delete(&id),
        "operations": client.operations(&id, &OperationsQuery::default()),
        "operation_status": client.operation_status(&id),
        "cancel": client.cancel(&id),
        "stats": client.stats(&id),
        "network": client.network(&id),
        "attestation": client.attestation(&id),
        "replicate": client.replicate(&id, &Replica::default()),
        "commit_replica": client.commit_replica(&id, commit),
        "app_cvms": client.app_cvms(app),
        "create_instance": client.create_instance(app, &NewInstance::default()),
        "commit_instance": client.commit_instance(app, commit),
        "confirm": client.confirm(&id, hash, Registration::Already),
        "commit": client.commit(&id, commit),
        "pending_updates": client.pending_updates(app),
        "preview": client.preview(app, "6b1f0f4e3c1a4a6a8c590a8f5d3c2b11", hash),
        "revisions": client.revisions(app, Page::default()),
        "revision": client.revision(app, "rev_1"),
        "app_kms_info": client.app_kms_info(app),
        "is_allowed": client.is_allowed(app, hash, None),
        "cvm_is_allowed": client.cvm_is_allowed(&id, &AllowedQuery::default()),
        "app_cvms_are_allowed": client.app_cvms_are_allowed(app),
        "statuses": client.statuses(&ids),
        "batch_stop": client.batch_stop(&ids),
        "docker_compose": client.docker_compose(&id),
        "pre_launch_script": client.pre_launch_script(&id),
        "script_status": client.script_status(&id),
        "upgrade_script": client.upgrade_script(&id, None),
        "composition": client.composition(&id),
        "user_config": client.user_config(&id),
        "ssh_keys": client.ssh_keys(&id),
        "set_ssh_keys": client.set_ssh_keys(&id, &SshKeyChange::default()),
        "set_name": client.set_name(&id, &"other-name".parse().unwrap()),
        "schedule_delete": client.schedule_delete(&id, None),
        "ports": client.ports(&id),
        "set_ports": client.set_ports(&id, &[]),
        "network_config": client.network_config(&id),
        "set_network_config": client.set_network_config(&id, &NetworkChange::default()),
        "firewall_status": client.firewall_status(&id),
        "redeploy_cvm": client.redeploy_cvm(&id, &back),
        "redeploy_app": client.redeploy_app(app, &ids, &back),
        "device_allowlist": client.device_allowlist(app),
        "attestation_nodes": client.attestation_nodes(),
        "attestation_device_ids": client.attestation_device_ids(),
        "attestation_ppids": client.attestation_ppids(),
        "app_attestations": client.app_attestations(app),
        "tcb_evaluation": client.tcb_evaluation(app),
        "verify_attestation": client.verify_attestation(&[1, 2]),
        "attestation_raw": client.attestation_raw(checksum),
        "attestation_view": client.attestation_view(checksum),
        "attestation_collateral": client.attestation_collateral(checksum),
        "recent_attestations": client.recent_attestations(0, 20),
        "account": client.account(),
        "quotas": client.quotas(&"sim".parse().unwrap()),
        "apps": client.apps(Page::default()),
        "app": client.app(app),
        "instance_types": client.instance_types(),
        "revoke_token": client.revoke_token(),
    };
    let read = |raw: Result<RawAnswer, CloudError>| raw.and_then(|raw| raw.read()).map(|value| format!("{value:?}"));
    all.push(("patch", read(client.patch(&id, &patch()).await)));
    all.push(("prepare", read(client.prepare(&id, &patch()).await)));
    let prepared = client.prepare_replica(&id, &Replica::default()).await;
    let read = prepared.and_then(|raw| raw.read_replica());
    all.push(("prepare_replica", read.map(|value| format!("{value:?}"))));
    let prepared = client.prepare_instance(app, &NewInstance::default()).await;
    let read = prepared.and_then(|raw| raw.read_replica());
    all.push(("prepare_instance", read.map(|value| format!("{value:?}"))));
    all
}

fn wanted() -> Provision {
    Provision::new("my-app".parse().unwrap(), serde_json::Map::new())
}

/// Operations for which 465 is an answer and no error.
const TWO_PHASES: &[&str] = &[
    "patch",
    "prepare",
    "replicate",
    "prepare_replica",
    "create_instance",
    "prepare_instance",
    "set_resources",
    "set_visibility",
    "set_pre_launch_script",
    "set_docker_compose",
    "set_envs",
    "upgrade_script",
    "redeploy_cvm",
    "redeploy_app",
];

/// Operations whose answer may be anything or nothing, so that no success can surprise them.
const WITHOUT_SHAPE: &[&str] = &[
    "docker_compose",
    "pre_launch_script",
    "set_name",
    "revoke_token",
    "attestation_device_ids",
    "attestation_ppids",
    "attestation_raw",
    "attestation_view",
    "attestation_collateral",
    "recent_attestations",
    "delete",
    "operation_status",
    "delete_webhook",
    "test_webhook",
    "resend_delivery",
];

fn kind(error: &CloudError) -> &'static str {
    match error {
        CloudError::Auth(_) => "auth",
        CloudError::NotFound(_) => "not found",
        CloudError::Busy(_) => "busy",
        CloudError::Unavailable(_) => "unavailable",
        CloudError::Refused(_) => "refused",
        CloudError::Unexpected { .. } => "unexpected",
        _ => "another",
    }
}

/// Statuses, bodies and what they mean to every operation.
fn refusals() -> [(u16, &'static str, &'static str); 15] {
    let plain = r#"{"detail":"no"}"#;
    let coded = r#"{"error_code":"ERR-03-007","message":"no","request_id":"req_1","details":null}"#;
    let listed = r#"{"detail":[{"loc":["body","x"],"msg":"bad","type":"t"}]}"#;
    [
        (400, plain, "refused"),
        (401, plain, "auth"),
        (403, plain, "auth"),
        (404, plain, "not found"),
        (409, plain, "busy"),
        (409, coded, "refused"),
        (422, listed, "refused"),
        (428, plain, "refused"),
        (466, coded, "refused"),
        (467, coded, "refused"),
        (468, coded, "refused"),
        (500, plain, "unavailable"),
        (502, "<html>", "unavailable"),
        (503, plain, "unavailable"),
        (504, "<html>", "unavailable"),
    ]
}

/// The statuses that the table names for each operation.
fn documented() -> Vec<(String, u16)> {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let rows = table["operations"].as_array().unwrap().clone();
    let each = rows.into_iter().flat_map(|row| {
        let statuses = row["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("{row} names no errors"))
            .clone();
        let name = row["name"].as_str().unwrap().to_owned();
        statuses
            .into_iter()
            .map(move |status| (name.clone(), u16::try_from(status.as_u64().unwrap()).unwrap()))
    });
    each.collect()
}

#[tokio::test]
async fn every_error_status_of_every_operation_has_its_variant() {
    let mut met = std::collections::BTreeSet::new();
    for (status, body, expected) in refusals() {
        let fake = Fake::always(status, body).await;
        let client = client(&fake);
        let mut outcomes = every(&client).await;
        if status < 500 {
            // What another attempt may cure is tried again until the deadline.
            let watch = Watch::for_target("running");
            let watched = client.watch(&cvm_id(), &watch, &mut |_| {}).await;
            outcomes.push(("watch", watched.map(|value| format!("{value:?}"))));
        }
        for (name, outcome) in outcomes {
            let error = outcome.expect_err(name);
            assert_eq!(kind(&error), expected, "{name} {status}: {error}");
            assert!(error.to_string().contains(&status.to_string()), "{name}: {error}");
            met.insert((name.to_owned(), status));
        }
        match client.token_info(&cvm_id(), &token()).await {
            Ok(said) => assert!(said.is_none() && status < 500, "the server will not say: {status}"),
            Err(error) => assert_eq!((kind(&error), status >= 500), ("unavailable", true), "{error}"),
        }
        met.insert(("token_info".to_owned(), status));
    }
    let body = hash_required();
    let fake = Fake::always(465, &body).await;
    met.extend(
        every(&client(&fake))
            .await
            .into_iter()
            .map(|(name, _)| (name.to_owned(), 465)),
    );
    for (name, status) in documented() {
        assert!(
            met.contains(&(name.clone(), status)),
            "{name}: nothing shows what {status} means"
        );
    }
}

/// A 465 that names a hash.
fn hash_required() -> String {
    let body = json!({"error_code": "ERR-01-005", "message": "m", "details": [
        {"field": "compose_hash", "value": hash().bare()}, {"field": "app_id", "value": APP}]});
    body.to_string()
}

#[tokio::test]
async fn a_465_is_a_typed_answer_where_there_is_a_second_phase_and_a_refusal_elsewhere() {
    let fake = Fake::always(465, &hash_required()).await;
    for (name, outcome) in every(&client(&fake)).await {
        match outcome {
            Ok(text) => {
                assert!(TWO_PHASES.contains(&name), "{name}: {text}");
                assert!(
                    text.contains("HashRequired") && text.contains(&hash().bare()),
                    "{name}: {text}"
                );
            }
            Err(error) => {
                assert!(!TWO_PHASES.contains(&name), "{name}: {error}");
                assert_eq!(kind(&error), "refused", "{name}");
            }
        }
    }
}

#[tokio::test]
async fn a14_answers_of_other_shapes_never_break_anything() {
    let shapes = [
        "{}",
        "[]",
        "null",
        "7",
        r#""text""#,
        "",
        r#"{"items":[{}]}"#,
        r#"{"items":[null,7,"x",[]]}"#,
        r#"{"status":{"new":1},"progress":"x","public_urls":[7],"tcb_info":{"event_log":[1,{"imr":"x"}]},"sysinfo":[]}"#,
        r#"{"status":"a-status-of-tomorrow","kms_type":"lunar","id":{},"cancelled":true,"correlation_id":"c"}"#,
    ];
    for body in shapes {
        for status in [200, 202] {
            let fake = Fake::always(status, body).await;
            for (name, outcome) in every(&client(&fake)).await {
                if let Err(error) = outcome {
                    assert!(!WITHOUT_SHAPE.contains(&name) || body.is_empty(), "{name}: {error}");
                    assert_eq!(kind(&error), "unexpected", "{name} {body}: {error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn only_what_carries_a_token_goes_without_a_key() {
    let fake = Fake::always(200, "{}").await;
    for (name, outcome) in every(&keyless(&fake)).await {
        let public = matches!(name, "instance_types" | "verify_attestation" | "recent_attestations");
        let open = matches!(name, "commit" | "commit_replica") || public || name.starts_with("attestation_");
        let refused = matches!(outcome, Err(CloudError::NoApiKey { .. }));
        assert_eq!(refused, !open, "{name}: {outcome:?}");
    }
    assert_eq!(fake.seen().len(), 11);
}

#[tokio::test]
async fn a9_no_order_is_sent_twice_when_its_answer_is_lost() {
    let fake = Fake::serve(|_, _| Act::Reset).await;
    let names: Vec<_> = every(&client(&fake)).await.into_iter().map(|(name, _)| name).collect();
    let mut sent = BTreeMap::new();
    for seen in fake.seen() {
        *sent.entry(seen.line().to_owned()).or_insert(0) += 1;
    }
    for (line, times) in &sent {
        // The question about what is allowed changes nothing, and committing a provision twice gives the same CVM.
        let asks = ["/is-allowed", "/status/batch"].iter().any(|end| line.ends_with(end));
        let reads = line.starts_with("GET ") || asks || line == "POST /api/v1/cvms";
        // Three patches and two replications differ in headers only, and an instance is committed where it is made.
        let once = match line.as_str() {
            "PATCH /api/v1/cvms/chipotle-prod" => 3,
            "POST /api/v1/cvms/chipotle-prod/replicas" => 2,
            line if line.ends_with("/instances") => 3,
            _ => 1,
        };
        // A KMS is asked for by the same path, whether it is a contract or a node.
        let once = if line == "GET /api/v1/kms/kms-base-prod9" {
            2
        } else {
            once
        };
        assert_eq!(*times, if reads { 2 * once } else { once }, "{line}");
    }
    assert!(names.len() >= sent.len());
}

#[tokio::test]
async fn each_operation_asks_for_the_path_of_the_table() {
    let table: Value = serde_json::from_str(TABLE).unwrap();
    let fake = Fake::serve(|_, _| Act::Say(fake::json(404, "{}"))).await;
    let names: Vec<_> = every(&client(&fake)).await.into_iter().map(|(name, _)| name).collect();
    let mut seen: Vec<String> = fake.seen().iter().map(|seen| seen.line().to_owned()).collect();
    for name in names {
        let row = table["operations"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == name);
        let row = row.unwrap_or_else(|| panic!("{name} is not in the table"));
        let path = row["path"].as_str().unwrap();
        let filled = [
            ("{cvm_id}", "chipotle-prod"),
            ("{app_id}", APP),
            ("{kms_id}", "kms-base-prod9"),
            ("{chain}", "base"),
            ("{revision_id}", "rev_1"),
            ("{checksum}", &"ab".repeat(32)),
            ("{workspace}", "sim"),
            ("{webhook_id}", "wh_1"),
            ("{event_id}", "evt_1"),
            ("{revision_id}", "rev_1"),
            ("{vm_uuid}", "6b1f0f4e3c1a4a6a8c590a8f5d3c2b11"),
            ("{compose_hash}", &hash().bare()),
        ]
        .iter()
        .fold(path.to_owned(), |path, (name, value)| path.replace(name, value));
        let line = format!("{} {filled}", row["method"].as_str().unwrap());
        let at = seen.iter().position(|seen| seen.split('?').next() == Some(&line));
        seen.remove(at.unwrap_or_else(|| panic!("{name}: nobody asked for {line}")));
    }
    assert_eq!(seen, Vec::<String>::new(), "requests of no operation");
}

// ---- what is sent, and what is read ----

/// Verb and path, query and body of the one request that `fake` saw.
fn said(fake: &Fake) -> (String, Value) {
    let seen = fake.seen();
    let [seen] = &seen[..] else {
        panic!("one request, not {}", seen.len())
    };
    (seen.line().to_owned(), seen.json())
}

#[tokio::test]
async fn restart_says_whether_to_force() {
    for force in [true, false] {
        let fake = Fake::always(200, "{}").await;
        client(&fake).restart(&cvm_id(), force).await.unwrap();
        assert_eq!(said(&fake).1, json!({ "force": force }));
    }
}

#[tokio::test]
async fn delete_takes_204_for_an_answer() {
    let fake = Fake::serve(|_, _| Act::Say(b"HTTP/1.1 204 X\r\nConnection: close\r\n\r\n".to_vec())).await;
    client(&fake).delete(&cvm_id()).await.unwrap();
    assert_eq!(said(&fake).0, "DELETE /api/v1/cvms/chipotle-prod");
}

#[tokio::test]
async fn a_list_is_asked_for_by_page_and_read_in_both_versions() {
    let body = json!({"items": [
        {"id": "cvm_1", "name": "new", "app_id": APP, "status": "running", "vm_uuid": "u", "instance_id": "i",
         "resource": {"instance_type": "tdx.small", "vcpu": 2, "memory_in_gb": 1.5, "disk_in_gb": 40}},
        {"hosted": {"id": "u2", "app_id": APP, "status": "stopped", "instance_id": "j"}, "name": "old",
         "vcpu": 1, "memory": 2048.0, "disk_size": 20}],
        "total": 12, "page": 2, "page_size": 2, "pages": 6});
    let fake = Fake::always(200, &body.to_string()).await;
    let page = Page {
        number: Some(2),
        size: Some(2),
    };
    let list = client(&fake).cvms(page).await.unwrap();
    assert_eq!(said(&fake).0, "GET /api/v1/cvms/paginated?page=2&page_size=2");
    assert!(list.goes_on() && list.total == Some(12));
    let [new, old] = &list.items[..] else { panic!("two") };
    assert_eq!(
        (new.resources.vcpu, new.resources.memory, new.resources.disk_size),
        (Some(2), Some(1536), Some(40))
    );
    assert_eq!(
        (old.resources.vcpu, old.resources.memory, old.resources.disk_size),
        (Some(1), Some(2048), Some(20))
    );
    assert_eq!(
        (new.instance_id.as_deref(), old.instance_id.as_deref()),
        (Some("i"), Some("j"))
    );
    assert_eq!(old.status.as_deref(), Some("stopped"));
}

#[tokio::test]
async fn a_list_of_more_pages_than_anybody_has_is_not_believed_and_not_asked_for() {
    for pages in [u64::from(MAX_PAGES) + 1, 1 << 40, u64::MAX] {
        let body = json!({"items": [], "total": 7, "page": 1, "pages": pages});
        let fake = Fake::always(200, &body.to_string()).await;
        let error = client(&fake).all_cvms().await.unwrap_err();
        assert!(
            matches!(&error, CloudError::Unexpected { what, .. } if what.contains(&pages.to_string())),
            "{error}"
        );
        assert_eq!(fake.seen().len(), 1, "{pages}");
    }
    let body = json!({"items": [{"uuid": "a"}, {"uuid": "a"}, {"name": "nameless"}], "pages": 3});
    let fake = Fake::always(200, &body.to_string()).await;
    let all = client(&fake).all_cvms().await.unwrap();
    assert_eq!(
        (all.len(), fake.seen().len()),
        (4, 3),
        "each once, and what has no UUID as often as it came"
    );
}

#[tokio::test]
async fn a_list_whose_pages_bring_nothing_new_or_too_much_ends_long_before_its_last_page() {
    let refused = |act: fn(usize, &Seen) -> Act| async move {
        let fake = Fake::serve(act).await;
        let error = client(&fake).all_cvms().await.unwrap_err();
        let CloudError::Unexpected { what, .. } = &error else {
            panic!("{error}")
        };
        (what.clone(), fake.seen().len())
    };
    let (told, asked) = refused(|_, _| Act::Say(said_page(&json!([{"uuid": "a"}])))).await;
    assert_eq!(told, "page 2 of 90 holds nothing new");
    assert!(asked <= 2 + PAGES_AT_ONCE, "{asked}");
    let (told, asked) = refused(|_, _| Act::Say(said_page(&json!([])))).await;
    assert_eq!(told, "page 1 of 90 holds nothing new");
    assert!(asked <= 1 + PAGES_AT_ONCE, "{asked}");
    let (told, asked) = refused(|number, _| {
        Act::Say(said_page(
            &json!([{"uuid": number.to_string(), "filler": "x".repeat(7 << 20)}]),
        ))
    })
    .await;
    assert_eq!(told, "a list of more than 33554432 bytes");
    assert!(asked <= 5 + PAGES_AT_ONCE, "{asked}");
}

/// One of many pages.
fn said_page(items: &Value) -> Vec<u8> {
    crate::http::fake::json(200, &json!({"items": items, "page": 1, "pages": 90}).to_string())
}

#[tokio::test]
async fn operations_are_asked_for_by_cursor_limit_and_type() {
    let body = json!({"items": [{"correlation_id": "c-1", "operation_type": "power_on", "status": "failed",
        "error_message": "no\u{1b}[2J room", "duration_ms": 5, "compose_hash": "not one"}], "next_cursor": "n", "total": 1});
    let fake = Fake::always(200, &body.to_string()).await;
    let query = OperationsQuery {
        cursor: Some("a b".to_owned()),
        limit: Some(5),
        types: vec!["power_on".to_owned(), "resize".to_owned()],
    };
    let list = client(&fake).operations(&cvm_id(), &query).await.unwrap();
    let line =
        "GET /api/v1/cvms/chipotle-prod/operations?cursor=a+b&limit=5&operation_types=power_on&operation_types=resize";
    assert_eq!(said(&fake).0, line);
    let [operation] = &list.items[..] else { panic!("one") };
    assert_eq!(operation.error_message.as_deref(), Some("no\\u{1b}[2J room"));
    assert_eq!((operation.compose_hash, list.next_cursor.as_deref()), (None, Some("n")));
}

#[tokio::test]
async fn a_replica_is_asked_for_with_what_was_said_and_nothing_else() {
    let fake = Fake::always(200, r#"{"id":7,"status":"starting"}"#).await;
    let client = client(&fake);
    let replica = Replica {
        node_id: Some(5),
        encrypted_env: Some("ab".to_owned()),
        compose_hash: Some(hash()),
    };
    let made = client.replicate(&cvm_id(), &replica).await.unwrap();
    assert!(matches!(made, Replicated::Created(cvm) if cvm.status.as_deref() == Some("starting")));
    client.replicate(&cvm_id(), &Replica::default()).await.unwrap();
    let _raw = client.prepare_replica(&cvm_id(), &Replica::default()).await.unwrap();
    let seen = fake.seen();
    let full = json!({"node_id": 5, "encrypted_env": "ab", "compose_hash": hash().bare()});
    assert_eq!((seen[0].json(), seen[0].header("x-prepare-only")), (full, None));
    assert_eq!((seen[1].json(), seen[1].header("x-prepare-only")), (json!({}), None));
    assert_eq!(
        (seen[2].json(), seen[2].header("x-prepare-only")),
        (json!({}), Some("true"))
    );
}

#[tokio::test]
async fn an_instance_is_asked_for_with_what_was_said_and_committed_at_the_same_place() {
    let fake = Fake::always(200, r#"{"id":7,"vm_uuid":"u","status":"starting"}"#).await;
    let client = client(&fake);
    let instance = NewInstance {
        node_id: Some(5),
        docker_compose_file: Some("services: {}\n".to_owned()),
        pre_launch_script: Some("true".to_owned()),
        encrypted_env: Some("ab".to_owned()),
        compose_hash: Some(hash()),
    };
    let app: Address = APP.parse().unwrap();
    client.create_instance(app, &instance).await.unwrap();
    let _raw = client.prepare_instance(app, &NewInstance::default()).await.unwrap();
    let token = CommitToken::new("6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11").unwrap();
    let commit = Commit {
        token: &token,
        hash: hash(),
        by: Registration::Already,
    };
    let made = client.commit_instance(app, commit).await.unwrap();
    assert_eq!(made.uuid.as_deref(), Some("u"));
    let seen = fake.seen();
    let full = json!({"node_id": 5, "docker_compose_file": "services: {}\n", "pre_launch_script": "true",
        "encrypted_env": "ab", "compose_hash": hash().bare()});
    assert_eq!((seen[0].json(), seen[0].header("x-prepare-only")), (full, None));
    assert_eq!(
        (seen[1].json(), seen[1].header("x-prepare-only")),
        (json!({}), Some("true"))
    );
    let committed = json!({"token": token.expose(), "compose_hash": hash().bare(),
        "transaction_hash": "already-registered"});
    assert_eq!((seen[2].json(), seen[2].header("x-prepare-only")), (committed, None));
}

#[tokio::test]
async fn an_attestation_gives_the_hash_it_shows_and_the_hash_it_measured() {
    let manifest = "{\"name\":\"x\"}";
    let measured = crate::compose::ComposeHash::of(manifest.as_bytes());
    let event = json!({"imr": 3, "event": "compose-hash", "event_payload": measured.bare(), "digest": "00"});
    let answer = |events: Value| {
        json!({"is_online": true, "tcb_info": {"mrtd": "aa", "rtmr3": "bb", "app_compose": manifest,
        "event_log": events}})
        .to_string()
    };
    let fake = Fake::always(200, &answer(json!([{"imr": 0}, event]))).await;
    let info = client(&fake).attestation(&cvm_id()).await.unwrap().tcb_info.unwrap();
    assert_eq!(info.shown_compose_hash(), Some(measured));
    assert_eq!(info.measured_compose_hash(), Some(measured));
    let fake = Fake::always(200, &answer(json!([event, event]))).await;
    let info = client(&fake).attestation(&cvm_id()).await.unwrap().tcb_info.unwrap();
    assert_eq!(info.measured_compose_hash(), None, "two events name none");
}

#[tokio::test]
async fn every_field_of_a_patch_goes_out_and_no_other() {
    let fake = Fake::always(202, r#"{"correlation_id":"c"}"#).await;
    let full = Patch {
        changes: crate::compose::Changes {
            docker_compose_file: Some("a".to_owned()),
            pre_launch_script: Some("b".to_owned()),
            allowed_envs: Some(vec!["C".to_owned()]),
            public_logs: Some(true),
            public_sysinfo: Some(false),
            public_tcbinfo: Some(true),
        },
        vcpu: Some(1),
        memory: Some(2),
        disk_size: Some(3),
        image: Some("i".to_owned()),
        encrypted_env: Some("ab".to_owned()),
        user_config: Some("u".to_owned()),
        gpus: Some(Gpus::Count {
            count: 2,
            product_name: Some("H200".to_owned()),
        }),
        shutdown_timeout: Some(None),
        allow_force_stop: Some(true),
    };
    let expected = json!({"docker_compose_file": "a", "pre_launch_script": "b", "allowed_envs": ["C"],
        "public_logs": true, "public_sysinfo": false, "public_tcbinfo": true, "vcpu": 1, "memory": 2, "disk_size": 3,
        "image": "i", "encrypted_env": "ab", "user_config": "u", "gpus": {"count": 2, "product_name": "H200"},
        "shutdown_timeout": null, "allow_force_stop": true});
    let _raw = client(&fake).patch(&cvm_id(), &full).await.unwrap();
    assert_eq!(said(&fake).1, expected);
    let back: Patch = serde_json::from_value(expected).unwrap();
    assert_eq!(back, full, "a timeout of null is kept apart from none");
    let slots: Gpus = serde_json::from_value(json!({"gpus": [{"slot": "18:00.0"}], "attach_mode": "listed"})).unwrap();
    assert!(matches!(slots, Gpus::Slots { .. }));
}

#[tokio::test]
async fn texts_go_out_as_they_are_and_the_second_phase_in_headers() {
    let fake = Fake::always(202, r#"{"correlation_id":"c","status":"in_progress"}"#).await;
    let (client, id) = (client(&fake), cvm_id());
    let approved = Approved {
        hash: hash(),
        by: Registration::Already,
    };
    let text = "services: {}\r\n# \u{feff}\n";
    client.set_docker_compose(&id, text, None).await.unwrap();
    client
        .set_pre_launch_script(&id, "#!/bin/sh\n", Some(approved))
        .await
        .unwrap();
    let [compose, script] = &fake.seen()[..] else {
        panic!("two")
    };
    assert_eq!(
        (compose.body.as_slice(), compose.header("content-type")),
        (text.as_bytes(), Some("text/yaml"))
    );
    assert_eq!(compose.header("x-compose-hash"), None);
    assert_eq!(
        (script.body.as_slice(), script.header("content-type")),
        (&b"#!/bin/sh\n"[..], Some("text/plain"))
    );
    assert_eq!(script.header("x-compose-hash"), Some(&*hash().bare()));
    assert_eq!(script.header("x-transaction-hash"), Some("already-registered"));
}

#[tokio::test]
async fn the_second_phase_of_an_environment_stands_in_the_body() {
    let fake = Fake::always(202, r#"{"correlation_id":"c"}"#).await;
    let envs = Envs {
        encrypted_env: "ab".to_owned(),
        env_keys: Some(vec!["B".to_owned(), "A".to_owned()]),
    };
    let approved = Approved {
        hash: hash(),
        by: Registration::Already,
    };
    client(&fake).set_envs(&cvm_id(), &envs, Some(approved)).await.unwrap();
    let expected = json!({"encrypted_env": "ab", "env_keys": ["B", "A"], "compose_hash": hash().bare(),
        "transaction_hash": "already-registered"});
    assert_eq!(said(&fake).1, expected);
}

#[tokio::test]
async fn a_path_that_the_server_dropped_is_replaced_by_the_unified_one() {
    let dropped: [(u16, &str); 2] = [
        (404, r#"{"detail":"Not Found"}"#),
        (405, r#"{"detail":"Method Not Allowed"}"#),
    ];
    for (status, body) in dropped {
        let fake = Fake::serve(move |number, _| {
            Act::Say(if number % 2 == 0 {
                fake::json(status, body)
            } else {
                fake::json(202, r#"{"correlation_id":"c"}"#)
            })
        })
        .await;
        let client = client(&fake);
        let change = ResourceChange {
            vcpu: Some(4),
            ..ResourceChange::default()
        };
        let visibility = Visibility {
            public_sysinfo: true,
            public_logs: false,
            public_tcbinfo: None,
        };
        let resources = client.set_resources(&cvm_id(), &change).await.unwrap();
        assert!(matches!(resources, Changed::Accepted(accepted) if accepted.correlation_id.as_deref() == Some("c")));
        client.set_visibility(&cvm_id(), visibility).await.unwrap();
        let seen = fake.seen();
        assert_eq!(
            (seen[1].line(), seen[1].json()),
            ("PATCH /api/v1/cvms/chipotle-prod", json!({"vcpu": 4}))
        );
        assert_eq!(seen[3].json(), json!({"public_sysinfo": true, "public_logs": false}));
    }
    // A CVM that is not there is another matter.
    let fake = Fake::always(404, r#"{"detail":"CVM not found"}"#).await;
    client(&fake)
        .set_resources(&cvm_id(), &ResourceChange::default())
        .await
        .unwrap_err();
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn changes_are_read_whether_the_server_gives_a_record_an_operation_or_nothing() {
    let answers = [
        (200, r#"{"id":7,"name":"x","vcpu":4}"#),
        (202, r#"{"correlation_id":"c"}"#),
        (200, "null"),
    ];
    let mut found = Vec::new();
    for (status, body) in answers {
        let fake = Fake::always(status, body).await;
        found.push(
            client(&fake)
                .set_resources(&cvm_id(), &ResourceChange::default())
                .await
                .unwrap(),
        );
    }
    assert!(matches!(&found[0], Changed::Updated(cvm) if cvm.resources.vcpu == Some(4)));
    assert!(matches!(&found[1], Changed::Accepted(accepted) if accepted.correlation_id.is_some()));
    assert!(matches!(&found[2], Changed::Accepted(accepted) if accepted.correlation_id.is_none()));
}

#[tokio::test]
async fn images_are_read_by_version_and_variant() {
    let body = json!([{"version": [0, 5, 7], "prod": {"name": "dstack-0.5.7", "slug": "s", "is_current": true,
        "os_image_hash": "ab".repeat(32)}, "dev": {"name": "dstack-dev-0.5.7", "os_image_hash": null}},
        {"version": "0.6", "prod": null, "dev": null}]);
    let fake = Fake::always(200, &body.to_string()).await;
    let images = client(&fake).available_os_images(&cvm_id()).await.unwrap();
    let read: Vec<_> = images
        .iter()
        .map(|image| (image.name.as_deref(), image.version.as_deref(), image.is_dev))
        .collect();
    let version = Some("0.5.7");
    assert_eq!(
        read,
        [
            (Some("dstack-0.5.7"), version, Some(false)),
            (Some("dstack-dev-0.5.7"), version, Some(true))
        ]
    );
    assert_eq!(images[0].is_current, Some(true));
}

#[tokio::test]
async fn instance_ids_are_refreshed_as_was_said_and_nothing_is_assumed() {
    let fake = Fake::always(
        200,
        r#"{"cvm_id":7,"status":"a-new-one","items":[{"cvm_id":"cvm_1"}],"total":1}"#,
    )
    .await;
    let client = client(&fake);
    let one = client.refresh_instance_id(&cvm_id(), Refresh::default()).await.unwrap();
    assert_eq!(
        (one.cvm_id.as_deref(), one.status.as_deref()),
        (Some("7"), Some("a-new-one"))
    );
    let which = RefreshMany {
        cvm_ids: Some(vec![cvm_id()]),
        refresh: Refresh {
            overwrite: None,
            dry_run: Some(true),
        },
        ..RefreshMany::default()
    };
    let many = client.refresh_instance_ids(&which).await.unwrap();
    assert_eq!((many.total, many.items[0].cvm_id.as_deref()), (Some(1), Some("cvm_1")));
    let [one, many] = &fake.seen()[..] else { panic!("two") };
    assert_eq!(one.json(), json!({}));
    assert_eq!(many.json(), json!({"cvm_ids": ["chipotle-prod"], "dry_run": true}));
}

#[tokio::test]
async fn a_manifest_is_provisioned_with_every_field_it_has_and_committed_by_its_hash() {
    let body = json!({"app_id": APP, "device_id": null, "compose_hash": hash().bare(), "compose_hash_registered": true,
        "kms_info": {"chain_id": 8453}});
    let fake = Fake::always(200, &body.to_string()).await;
    let client = client(&fake);
    let manifest = crate::compose::Manifest::parse(br#"{"name":"x","of_tomorrow":{"b":1,"a":null}}"#).unwrap();
    let made = client
        .provision_compose_file(&cvm_id(), &manifest, Some(true))
        .await
        .unwrap();
    assert_eq!(
        (made.compose_hash, made.registered, made.kms.chain_id),
        (hash(), Some(true), Some(8453))
    );
    let commit = CommitCompose {
        hash: hash(),
        encrypted_env: Some("ab".to_owned()),
        env_keys: Some(vec!["A".to_owned()]),
        update_env_vars: Some(true),
    };
    client.commit_compose_file(&cvm_id(), &commit).await.unwrap();
    let [provision, commit] = &fake.seen()[..] else {
        panic!("two")
    };
    assert_eq!(
        provision.json(),
        json!({"name": "x", "of_tomorrow": {"b": 1, "a": null}, "update_env_vars": true})
    );
    let expected =
        json!({"compose_hash": hash().bare(), "encrypted_env": "ab", "env_keys": ["A"], "update_env_vars": true});
    assert_eq!(commit.json(), expected);
}

#[tokio::test]
async fn a_new_cvm_is_asked_for_as_it_was_described_and_is_not_listed_by_itself() {
    let body = json!({"app_id": "", "compose_hash": hash().bare(), "kms_info": {"chain_id": 8453}, "teepod_id": 18,
        "device_id": "ab".repeat(32), "fmspc": "x"});
    let fake = Fake::always(200, &body.to_string()).await;
    let wanted = Provision {
        kms: Some(KmsKind::Base),
        node_id: Some(18),
        vcpu: Some(2),
        ..wanted()
    };
    let made = client(&fake).provision(&wanted).await.unwrap();
    assert_eq!(
        (made.app_id, made.compose_hash, made.node_id),
        (None, hash(), Some(AnyId::Number(18)))
    );
    let expected = json!({"name": "my-app", "compose_file": {"name": "my-app"}, "listed": false, "kms": "BASE",
        "teepod_id": 18, "vcpu": 2});
    assert_eq!(said(&fake).1, expected);
}

#[tokio::test]
async fn an_app_id_that_runs_another_hash_is_told_apart_from_a_busy_one() {
    let commit = CommitProvision::new(APP.parse().unwrap(), hash());
    let coded = r#"{"error_code":"ERR-03-007","message":"conflict","details":null}"#;
    let fake = Fake::always(409, coded).await;
    match client(&fake).commit_provision(&commit).await.unwrap_err() {
        CloudError::Refused(problem) => assert!(problem.is_app_id_conflict()),
        other => panic!("{other}"),
    }
    assert_eq!(said(&fake).1, json!({"app_id": APP, "compose_hash": hash().bare()}));
    let fake = Fake::always(409, r#"{"detail":"Another operation is in progress"}"#).await;
    assert!(matches!(
        client(&fake).commit_provision(&commit).await,
        Err(CloudError::Busy(_))
    ));
}

#[tokio::test]
async fn a_commit_of_a_provision_whose_answer_was_lost_is_sent_again() {
    let fake = Fake::serve(|number, _| match number {
        0 => Act::Reset,
        _ => Act::Say(fake::json(200, r#"{"id":7,"status":"starting"}"#)),
    })
    .await;
    let commit = CommitProvision::new(APP.parse().unwrap(), hash());
    client(&fake).commit_provision(&commit).await.unwrap();
    let [first, second] = &fake.seen()[..] else {
        panic!("two")
    };
    assert_eq!(first.body, second.body);
}

#[test]
fn names_of_cvms_follow_the_servers_rule() {
    for good in ["my-app", "abcde", "A1b2c", &"x".repeat(63)] {
        assert!(good.parse::<CvmName>().is_ok(), "{good}");
    }
    for bad in [
        "",
        "abcd",
        &"x".repeat(64),
        "1abcd",
        "-abcd",
        "abcd-",
        "ab--cd",
        "ab_cd",
        "ab cd",
        "äbcde",
    ] {
        assert!(bad.parse::<CvmName>().is_err(), "{bad}");
    }
}

#[test]
fn names_of_kms_and_webhooks_stay_one_segment() {
    for bad in ["", ".", "..", "a/b", "a?b", "a#b", "%2e", "a\nb"] {
        assert!(
            bad.parse::<KmsId>().is_err() && bad.parse::<WebhookId>().is_err(),
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn the_key_to_seal_for_has_to_be_one() {
    let kms = "kms_1".parse().unwrap();
    let app = APP.parse().unwrap();
    let fake = Fake::always(
        200,
        &json!({"public_key": "ab".repeat(32), "signature": "cd"}).to_string(),
    )
    .await;
    let key = client(&fake).kms_public_key(&kms, app).await.unwrap();
    assert_eq!(
        (hex::encode(key.public_key), key.signature.as_deref()),
        ("ab".repeat(32), Some("cd"))
    );
    let fake = Fake::always(200, r#"{"public_key":"zz"}"#).await;
    assert!(matches!(
        client(&fake).kms_public_key(&kms, app).await,
        Err(CloudError::Identity { .. })
    ));
}

#[tokio::test]
async fn a_webhooks_secret_is_in_no_text() {
    const SECRET: &str = "whsec_canary0123456789";
    let app_url = "https://example.org/hook";
    let body = json!({"id": "wh_1", "url": app_url, "secret": SECRET, "events": ["cvm.updated"], "enabled": true});
    let fake = Fake::always(201, &body.to_string()).await;
    let new = NewWebhook {
        url: app_url.parse().unwrap(),
        events: vec!["cvm.updated".to_owned()],
        name: Some("n".to_owned()),
        secret: Some(WebhookSecret::new(zeroize::Zeroizing::new(SECRET.to_owned()))),
    };
    let (made, secret) = client(&fake).create_webhook(&new).await.unwrap();
    assert_eq!(secret.as_ref().map(WebhookSecret::expose), Some(SECRET));
    assert!(!format!("{made:?} {secret:?} {new:?}").contains("canary"));
    assert_eq!(
        said(&fake).1,
        json!({"url": app_url, "events": ["cvm.updated"], "name": "n", "secret": SECRET})
    );
    for (status, body) in [
        (201, format!("{{\"secret\": \"{SECRET}\"")),
        (422, json!({"detail": SECRET}).to_string()),
    ] {
        let fake = Fake::always(status, &body).await;
        let error = client(&fake).create_webhook(&new).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn a_revealed_secret_and_the_second_factor_are_in_no_text() {
    const SECRET: &str = "whsec_canary0123456789";
    const COOKIE: &str = "step_up=canary-cookie";
    let factor = SecondFactor::new(zeroize::Zeroizing::new(COOKIE.to_owned())).unwrap();
    let id: WebhookId = "wh_1".parse().unwrap();
    let fake = Fake::always(200, &json!({"secret": SECRET}).to_string()).await;
    let revealed = client(&fake).reveal_webhook_secret(&id, Some(&factor)).await.unwrap();
    assert_eq!(revealed.expose(), SECRET);
    client(&fake).rotate_webhook_secret(&id, None).await.unwrap();
    let [with, without] = &fake.seen()[..] else {
        panic!("two")
    };
    assert_eq!((with.header("cookie"), without.header("cookie")), (Some(COOKIE), None));
    assert!(!format!("{factor:?} {revealed:?}").contains("canary"));
    let answers = [
        (200, format!("{{\"secret\": \"{SECRET}\"")),
        (200, json!([SECRET]).to_string()),
        (200, json!({"secret": "", "said": SECRET}).to_string()),
        (428, json!({"detail": "canary-cookie"}).to_string()),
    ];
    for (status, body) in answers {
        let fake = Fake::always(status, &body).await;
        let error = client(&fake)
            .reveal_webhook_secret(&id, Some(&factor))
            .await
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    for bad in ["", "nameless", "=x", "a=b\nc", "a=b; ;", "a=\u{e9}"] {
        assert!(
            SecondFactor::new(zeroize::Zeroizing::new(bad.to_owned())).is_err(),
            "{bad:?}"
        );
    }
}
