//! Every operation: the request it makes, and what it makes of every status and of answers that nobody expects.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use serde_json::json;

use super::tests::{client, cvm_id, hash, keyless, patch, token};
use super::*;
use crate::http::fake::{self, Act, Fake};

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
async fn every(client: &Client) -> Vec<(&'static str, Outcome)> {
    let (id, token, hash) = (cvm_id(), token(), hash());
    let app: Address = APP.parse().unwrap();
    let commit = Commit {
        token: &token,
        hash,
        by: Registration::Already,
    };
    let mut all = run! {
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
        "confirm": client.confirm(&id, hash, Registration::Already),
        "commit": client.commit(&id, commit),
        "pending_updates": client.pending_updates(app),
        "preview": client.preview(app, "6b1f0f4e3c1a4a6a8c590a8f5d3c2b11", hash),
        "app_kms_info": client.app_kms_info(app),
        "is_allowed": client.is_allowed(app, hash, None),
    };
    let read = |raw: Result<RawAnswer, CloudError>| raw.and_then(|raw| raw.read()).map(|value| format!("{value:?}"));
    all.push(("patch", read(client.patch(&id, &patch()).await)));
    all.push(("prepare", read(client.prepare(&id, &patch()).await)));
    let prepared = client.prepare_replica(&id, &Replica::default()).await;
    let read = prepared.and_then(|raw| raw.read_replica());
    all.push(("prepare_replica", read.map(|value| format!("{value:?}"))));
    all
}

/// Operations for which 465 is an answer and no error.
const TWO_PHASES: &[&str] = &["patch", "prepare", "replicate", "prepare_replica"];

/// Operations whose answer may be anything or nothing, so that no success can surprise them.
const WITHOUT_SHAPE: &[&str] = &["delete", "operation_status"];

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

#[tokio::test]
async fn every_error_status_of_every_operation_has_its_variant() {
    let plain = r#"{"detail":"no"}"#;
    let coded = r#"{"error_code":"ERR-03-007","message":"no","request_id":"req_1","details":null}"#;
    let cases = [
        (400, plain, "refused"),
        (401, plain, "auth"),
        (403, plain, "auth"),
        (404, plain, "not found"),
        (409, plain, "busy"),
        (409, coded, "refused"),
        (
            422,
            r#"{"detail":[{"loc":["body","x"],"msg":"bad","type":"t"}]}"#,
            "refused",
        ),
        (466, coded, "refused"),
        (467, coded, "refused"),
        (468, coded, "refused"),
        (500, plain, "unavailable"),
        (503, plain, "unavailable"),
        (504, "<html>", "unavailable"),
    ];
    for (status, body, expected) in cases {
        let fake = Fake::always(status, body).await;
        for (name, outcome) in every(&client(&fake)).await {
            let error = outcome.expect_err(name);
            assert_eq!(kind(&error), expected, "{name} {status}: {error}");
            assert!(error.to_string().contains(&status.to_string()), "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_465_is_a_typed_answer_where_there_is_a_second_phase_and_a_refusal_elsewhere() {
    let body = json!({"error_code": "ERR-01-005", "message": "m", "details": [
        {"field": "compose_hash", "value": hash().bare()}, {"field": "app_id", "value": APP}]});
    let fake = Fake::always(465, &body.to_string()).await;
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
        let open = matches!(name, "commit" | "commit_replica");
        let refused = matches!(outcome, Err(CloudError::NoApiKey { .. }));
        assert_eq!(refused, !open, "{name}: {outcome:?}");
    }
    assert_eq!(fake.seen().len(), 2);
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
        let reads = line.starts_with("GET ") || line.ends_with("/is-allowed");
        // Three patches and two replications differ in headers only.
        let once = match line.as_str() {
            "PATCH /api/v1/cvms/chipotle-prod" => 3,
            "POST /api/v1/cvms/chipotle-prod/replicas" => 2,
            _ => 1,
        };
        assert_eq!(*times, if reads { 2 } else { once }, "{line}");
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
