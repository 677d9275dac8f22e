//! What the client sends, and what it makes of every answer that a server can give.

use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use alloy::primitives::{Address, address, b256};
use serde_json::json;

use super::*;
use super::{
    patch::Patch,
    updates::{Accepted, Commit, CommitToken, Patched, Prepared, RawAnswer, Registration},
};
use crate::compose::{Changes, ComposeHash};
use crate::http::fake::{self, Act, Fake, Seen, answer};
use crate::http::tests::overheard;
use crate::http::{Limits, RetryPolicy};
use crate::text::is_deceptive;

pub(super) const KEY: &str = "phak_canary_0123456789";
const TOKEN: &str = "6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11";
const HASH: &str = "c40639a1b2c3d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789a";
const APP: &str = "3f91deaf16ff7c823ee65081d6bafa1ceea05ffc";
const DEVICE: &str = "e5a0c70bb6503de2d31c11d85914fe3776ed5b33a078ed856327c371a60fe0fd";

const ACCEPTED: &str = r#"{"correlation_id":"c-1","status":"in_progress"}"#;

fn http() -> Http {
    let limits = Limits {
        body: 256 * 1024,
        ..Limits::default()
    };
    Http::new(limits).with_retries(RetryPolicy {
        attempts: 2,
        base: Duration::from_millis(2),
        cap: Duration::from_millis(2),
        deadline: None,
    })
}

pub(super) fn client(fake: &Fake) -> Client {
    with_prefix(fake.url("/api/v1"))
}

fn with_prefix(prefix: Url) -> Client {
    let key = ApiKey::new(Zeroizing::new(KEY.to_owned())).unwrap();
    Client::new(
        http(),
        Options {
            prefix,
            api_key: Some(key),
            version: ApiVersion::V20260121,
        },
    )
}

pub(super) fn keyless(fake: &Fake) -> Client {
    let mut client = client(fake);
    client.options.api_key = None;
    client
}

pub(super) fn cvm_id() -> CvmId {
    "chipotle-prod".parse().unwrap()
}

pub(super) fn token() -> CommitToken {
    CommitToken::new(TOKEN).unwrap()
}

pub(super) fn hash() -> ComposeHash {
    HASH.parse().unwrap()
}

pub(super) fn patch() -> Patch {
    Patch {
        changes: Changes {
            docker_compose_file: Some("services: {}\n".to_owned()),
            ..Changes::default()
        },
        ..Patch::default()
    }
}

/// An error with all its causes, in both of its forms.
fn everything(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(cause) = next {
        write!(text, " {cause} {cause:?}").unwrap();
        next = cause.source();
    }
    text
}

async fn commit(client: &Client) -> Result<Accepted, CloudError> {
    let token = token();
    let commit = Commit {
        token: &token,
        hash: hash(),
        by: Registration::Already,
    };
    client.commit(&cvm_id(), commit).await
}

async fn committed(status: u16, body: &str) -> Result<Accepted, CloudError> {
    commit(&client(&Fake::always(status, body).await)).await
}

async fn prepared(status: u16, body: &str) -> Result<Patched, CloudError> {
    let fake = Fake::always(status, body).await;
    let raw = client(&fake).prepare(&cvm_id(), &patch()).await?;
    assert_eq!(raw.bytes, body.as_bytes(), "the bytes are there whatever they mean");
    raw.read()
}

async fn read_cvm(status: u16, body: &str) -> Result<Cvm, CloudError> {
    client(&Fake::always(status, body).await).cvm(&cvm_id()).await
}

async fn required(body: Value) -> Prepared {
    match prepared(465, &body.to_string()).await.unwrap() {
        Patched::HashRequired(prepared) => *prepared,
        Patched::Accepted(accepted) => panic!("{accepted:?}"),
    }
}

fn full_465() -> Value {
    json!({
        "error_code": "ERR-01-005", "message": "Compose hash registration required", "request_id": "req_9f3c",
        "details": [
            {"field": "compose_hash", "value": HASH, "message": "m"},
            {"field": "app_id", "value": APP, "message": "m"},
            {"field": "device_id", "value": DEVICE, "message": "m"},
            {"field": "kms_info", "value": {"id": "kms_abc", "slug": "kms-base-prod9", "url": "https://kms.example.org",
                "version": "v0.5.7", "chain_id": 8453,
                "kms_contract_address": "0x2f83172A49584C017F2B256F0FB2Dca14126Ba9C", "gateway_app_id": "0x00"}},
            {"field": "commit_token", "value": TOKEN},
            {"field": "commit_url", "value": format!("https://cloud.phala.com/confirm?token={TOKEN}")},
            {"field": "api_commit_url", "value": "https://cloud-api.phala.com/api/v1/cvms/x/commit-update"},
            {"field": "onchain_status", "value": {"compose_hash_allowed": false, "device_id_allowed": true, "is_allowed": false}}
        ],
        "suggestions": null, "links": null
    })
}

fn set(body: &mut Value, field: &str, value: Value) {
    let details = body["details"].as_array_mut().unwrap();
    details.retain(|detail| detail["field"] != field);
    details.push(json!({"field": field, "value": value}));
}

// ---- what is sent ----

#[tokio::test]
async fn prepare_is_one_patch_with_the_header_the_key_and_only_the_changes() {
    let fake = Fake::always(465, &full_465().to_string()).await;
    let _raw = client(&fake).prepare(&cvm_id(), &patch()).await.unwrap();
    let [seen] = &fake.seen()[..] else {
        panic!("one request")
    };
    assert_eq!(seen.line(), "PATCH /api/v1/cvms/chipotle-prod");
    assert_eq!(seen.header("x-prepare-only"), Some("true"));
    assert_eq!(seen.header("x-api-key"), Some(KEY));
    assert_eq!(seen.header("x-phala-version"), Some("2026-01-21"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("content-length"), Some(&*seen.body.len().to_string()));
    assert_eq!(seen.json(), json!({"docker_compose_file": "services: {}\n"}));
}

#[tokio::test]
async fn commit_names_token_hash_and_proof_and_needs_no_key() {
    let fake = Fake::always(202, r#"{"vm_uuid":"x","correlation_id":"c-1","status":"in_progress"}"#).await;
    let accepted = commit(&keyless(&fake)).await.unwrap();
    assert_eq!(accepted.correlation_id.as_deref(), Some("c-1"));
    let [seen] = &fake.seen()[..] else {
        panic!("one request")
    };
    assert_eq!(seen.line(), "POST /api/v1/cvms/chipotle-prod/commit-update");
    assert_eq!(seen.header("x-api-key"), None);
    let expected = json!({"token": TOKEN, "compose_hash": HASH, "transaction_hash": "already-registered"});
    assert_eq!(seen.json(), expected);
}

#[tokio::test]
async fn a_commit_by_transaction_names_the_transaction() {
    let fake = Fake::always(202, ACCEPTED).await;
    let (token, transaction) = (
        token(),
        b256!("11000000000000000000000000000000000000000000000000000000000000ff"),
    );
    let commit = Commit {
        token: &token,
        hash: hash(),
        by: Registration::Transaction(transaction),
    };
    client(&fake).commit(&cvm_id(), commit).await.unwrap();
    assert_eq!(fake.seen()[0].json()["transaction_hash"], transaction.to_string());
}

#[tokio::test]
async fn confirm_has_its_proof_in_headers_and_an_empty_body() {
    let fake = Fake::always(202, r#"{"correlation_id":"c-2"}"#).await;
    let accepted = client(&fake)
        .confirm(&cvm_id(), hash(), Registration::Already)
        .await
        .unwrap();
    assert_eq!(accepted.correlation_id.as_deref(), Some("c-2"));
    let [seen] = &fake.seen()[..] else {
        panic!("one request")
    };
    assert_eq!(seen.line(), "PATCH /api/v1/cvms/chipotle-prod");
    assert_eq!(seen.header("x-compose-hash"), Some(HASH));
    assert_eq!(seen.header("x-transaction-hash"), Some("already-registered"));
    assert_eq!(seen.header("x-prepare-only"), None);
    assert_eq!(seen.body, b"{}");
}

#[tokio::test]
async fn a_plain_patch_does_not_ask_for_a_token() {
    let fake = Fake::always(202, "{}").await;
    let _raw = client(&fake).patch(&cvm_id(), &patch()).await.unwrap();
    assert_eq!(fake.seen()[0].header("x-prepare-only"), None);
}

#[tokio::test]
async fn without_a_key_there_is_no_request_but_for_what_carries_a_token() {
    let fake = Fake::always(200, "{}").await;
    let client = keyless(&fake);
    let id = cvm_id();
    let app = Address::ZERO;
    let refused = [
        client.cvm(&id).await.map(drop),
        client.manifest(&id).await.map(drop),
        client.state(&id).await.map(drop),
        client.patch(&id, &patch()).await.map(drop),
        client.prepare(&id, &patch()).await.map(drop),
        client.confirm(&id, hash(), Registration::Already).await.map(drop),
        client.pending_updates(app).await.map(drop),
        client.preview(app, "x", hash()).await.map(drop),
        client.app_kms_info(app).await.map(drop),
        client.is_allowed(app, hash(), None).await.map(drop),
    ];
    for outcome in refused {
        assert!(matches!(outcome, Err(CloudError::NoApiKey { .. })), "{outcome:?}");
    }
    assert!(fake.seen().is_empty());
    assert!(client.token_info(&id, &token()).await.unwrap().is_some());
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn the_prefix_may_end_with_a_slash_and_an_identifier_stays_one_segment() {
    let fake = Fake::always(200, "{}").await;
    let id = "two words é".parse().unwrap();
    for prefix in ["/api/v1", "/api/v1/", "/api/v1/?x=1#y"] {
        with_prefix(fake.url(prefix)).cvm(&id).await.unwrap();
    }
    for seen in fake.seen() {
        assert_eq!(seen.line(), "GET /api/v1/cvms/two%20words%20%C3%A9");
    }
}

#[tokio::test]
async fn reads_of_an_app_name_it_by_forty_digits_and_a_hash_by_sixty_four() {
    let fake = Fake::always(200, r#"{"items":[]}"#).await;
    let client = client(&fake);
    let app = address!("3f91deaf16ff7c823ee65081d6bafa1ceea05ffc");
    let device = b256!("e5a0c70bb6503de2d31c11d85914fe3776ed5b33a078ed856327c371a60fe0fd");
    client.pending_updates(app).await.unwrap();
    client
        .preview(app, "6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11", hash())
        .await
        .unwrap();
    client.app_kms_info(app).await.unwrap();
    client.is_allowed(app, hash(), Some(device)).await.unwrap();
    client.is_allowed(app, hash(), None).await.unwrap();
    let seen = fake.seen();
    let lines: Vec<_> = seen.iter().map(Seen::line).collect();
    let uuid = "6b1f0f4e3c1a4a6a8c590a8f5d3c2b11";
    let expected = [
        format!("GET /api/v1/apps/{APP}/pending-updates"),
        format!("GET /api/v1/apps/{APP}/pending-updates/{uuid}/{HASH}/preview"),
        format!("GET /api/v1/apps/{APP}/kms-info"),
        format!("POST /api/v1/apps/{APP}/is-allowed"),
        format!("POST /api/v1/apps/{APP}/is-allowed"),
    ];
    assert_eq!(lines, expected);
    assert_eq!(seen[3].json(), json!({"compose_hash": HASH, "device_id": DEVICE}));
    assert_eq!(seen[4].json(), json!({"compose_hash": HASH}));
}

// ---- 465 ----

#[tokio::test]
async fn a_465_gives_every_value_of_its_details() {
    let prepared = required(full_465()).await;
    assert_eq!(prepared.compose_hash, hash());
    assert_eq!(
        prepared.app_id,
        Some(address!("3f91deaf16ff7c823ee65081d6bafa1ceea05ffc"))
    );
    assert_eq!(prepared.device_id.map(hex::encode).as_deref(), Some(DEVICE));
    assert_eq!(prepared.kms.chain_id, Some(8453));
    assert_eq!(
        prepared.kms.kms_contract,
        Some(address!("2f83172A49584C017F2B256F0FB2Dca14126Ba9C"))
    );
    assert_eq!(prepared.kms.slug.as_deref(), Some("kms-base-prod9"));
    assert_eq!(prepared.commit_token, Some(token()));
    let status = prepared.onchain_status.unwrap();
    assert!(!status.compose_hash_allowed && status.device_id_allowed && !status.is_allowed);
    assert_eq!(prepared.commit_hosts, ["cloud.phala.com", "cloud-api.phala.com"]);
    assert_eq!(prepared.request_id.as_deref(), Some("req_9f3c"));
}

#[tokio::test]
async fn a_465_is_read_wrapped_under_detail_and_in_its_flat_form() {
    let wrapped = required(json!({"detail": full_465()})).await;
    assert_eq!((wrapped.compose_hash, wrapped.commit_token), (hash(), Some(token())));
    let flat = json!({"status": "precondition_required", "compose_hash": format!("0x{HASH}"), "app_id": format!("0x{APP}"),
        "device_id": null, "kms_info": {"chain_id": 8453}});
    for body in [flat.clone(), json!({"detail": flat})] {
        let flat = required(body).await;
        assert_eq!((flat.compose_hash, flat.kms.chain_id), (hash(), Some(8453)));
        assert_eq!((flat.device_id, flat.commit_token), (None, None));
        assert!(flat.app_id.is_some() && flat.commit_hosts.is_empty());
    }
}

#[tokio::test]
async fn of_two_equal_fields_the_last_counts_as_in_the_official_sdk() {
    let mut body = full_465();
    let details = body["details"].as_array_mut().unwrap();
    details.insert(0, json!({"field": "compose_hash", "value": "11".repeat(32)}));
    assert_eq!(required(body).await.compose_hash, hash());
}

#[tokio::test]
async fn a_short_kms_info_does_not_cost_the_token() {
    let short = [
        json!({"chain_id": 8453, "kms_contract_address": "0x2f83172A49584C017F2B256F0FB2Dca14126Ba9C"}),
        json!({"chain_id": "8453", "dstack_kms_address": "2f83172A49584C017F2B256F0FB2Dca14126Ba9C"}),
        json!(r#"{"chain_id":8453,"kms_contract_address":"0x2f83172A49584C017F2B256F0FB2Dca14126Ba9C"}"#),
    ];
    for info in short {
        let mut body = full_465();
        set(&mut body, "kms_info", info);
        let prepared = required(body).await;
        assert_eq!(prepared.commit_token, Some(token()));
        assert_eq!(prepared.kms.chain_id, Some(8453));
        assert!(prepared.kms.kms_contract.is_some());
    }
    for nothing in [json!(null), json!("kms-base-prod9"), json!([]), json!({})] {
        let mut body = full_465();
        set(&mut body, "kms_info", nothing);
        let prepared = required(body).await;
        assert_eq!((prepared.commit_token, prepared.kms), (Some(token()), Kms::default()));
    }
}

#[tokio::test]
async fn an_app_id_of_decimal_digits_keeps_them_all_when_it_comes_as_a_number() {
    let digits = "3091234567160782310065081061234510005112";
    let body = full_465().to_string().replace(&format!("\"{APP}\""), digits);
    let Patched::HashRequired(prepared) = prepared(465, &body).await.unwrap() else {
        panic!("a 465");
    };
    assert_eq!(prepared.app_id.map(hex::encode).as_deref(), Some(digits));
}

#[tokio::test]
async fn a18_a_465_that_cannot_be_believed_is_named_without_its_token() {
    let bad = [
        ("compose_hash", json!(HASH.get(1..).unwrap()), "63 characters"),
        ("compose_hash", json!("zz".repeat(32)), "compose_hash"),
        ("compose_hash", json!(7), "compose_hash"),
        ("compose_hash", json!(null), "no `compose_hash`"),
        ("app_id", json!("3f91"), "app_id"),
        ("app_id", json!(12), "app_id"),
        ("device_id", json!("e5"), "device_id"),
        ("kms_info", json!({"chain_id": "base"}), "chain_id"),
        ("kms_info", json!({"chain_id": -1}), "chain_id"),
        (
            "kms_info",
            json!({"kms_contract_address": "0x00"}),
            "kms_contract_address",
        ),
        ("commit_token", json!("6b1f0f4e-canary"), "commit_token"),
    ];
    for (field, value, word) in bad {
        let mut body = full_465();
        set(&mut body, field, value.clone());
        let error = prepared(465, &body.to_string()).await.unwrap_err();
        let shape = value.is_null() || field == "commit_token";
        let right = match &error {
            CloudError::Unexpected { status, .. } => shape && *status == 465,
            CloudError::Identity { .. } => !shape,
            _ => false,
        };
        assert!(right, "{field} {value}: {error:?}");
        let said = everything(&error);
        assert!(said.contains(word), "{said}");
        assert!(!said.contains(TOKEN) && !said.contains("canary"), "{said}");
    }
}

#[tokio::test]
async fn a28_a_465_without_details_or_json_is_unexpected() {
    let token_in_garbage = format!("<html>{TOKEN}");
    for body in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"detail":"hash required"}"#,
        r#"{"details":[7,{"value":1}]}"#,
        &token_in_garbage,
    ] {
        let error = prepared(465, body).await.unwrap_err();
        assert!(
            matches!(error, CloudError::Unexpected { status: 465, .. }),
            "{body}: {error:?}"
        );
        assert!(!everything(&error).contains(TOKEN));
    }
}

#[tokio::test]
async fn a19_unknown_fields_are_ignored() {
    let mut body = full_465();
    body["new"] = json!({"x": [1, 2]});
    set(&mut body, "newer", json!([{}]));
    assert_eq!(required(body).await.compose_hash, hash());
}

#[tokio::test]
async fn a_202_to_prepare_says_that_the_change_was_applied() {
    let patched = prepared(202, r#"{"correlation_id":"c-9","status":"in_progress"}"#)
        .await
        .unwrap();
    let Patched::Accepted(accepted) = patched else {
        panic!("applied")
    };
    assert_eq!(accepted.correlation_id.as_deref(), Some("c-9"));
}

#[tokio::test]
async fn a_stored_465_reads_like_a_fresh_one() {
    let stored = RawAnswer::stored(full_465().to_string().into_bytes());
    let Patched::HashRequired(prepared) = stored.read().unwrap() else {
        panic!("a 465")
    };
    assert_eq!(prepared.commit_token, Some(token()));
}

// ---- refusals ----

#[tokio::test]
async fn statuses_become_what_a_caller_may_do_about_them() {
    let coded = r#"{"error_code":"ERR-01-004","message":"duplicate name"}"#;
    type Is = fn(&CloudError) -> bool;
    let auth: Is = |error| matches!(error, CloudError::Auth(_));
    let missing: Is = |error| matches!(error, CloudError::NotFound(_));
    let busy: Is = |error| matches!(error, CloudError::Busy(_));
    let later: Is = |error| matches!(error, CloudError::Unavailable(_));
    let refused: Is = |error| matches!(error, CloudError::Refused(_));
    let odd: Is = |error| matches!(error, CloudError::Unexpected { .. });
    let cases: [(u16, &str, Is); 21] = [
        (401, "{}", auth),
        (403, r#"{"detail":"PERMISSION_DENIED"}"#, auth),
        (404, r#"{"detail":"CVM not found"}"#, missing),
        (409, r#"{"detail":"another operation in progress"}"#, busy),
        (409, "", busy),
        (409, coded, refused),
        (400, coded, refused),
        (422, r#"{"detail":[{"loc":["body","x"],"msg":"bad"}]}"#, refused),
        (465, "{}", refused),
        (466, "{}", refused),
        (467, "{}", refused),
        (468, "{}", refused),
        (408, "", later),
        (425, "", later),
        (429, "", later),
        (500, "<html>", later),
        (503, "{}", later),
        (599, "", later),
        (299, "{}", odd),
        (304, "", odd),
        (600, "{}", odd),
    ];
    for (status, body, is) in cases {
        let error = committed(status, body).await.unwrap_err();
        assert!(is(&error), "{status} {body}: {error:?}");
    }
}

fn problem(error: CloudError) -> Problem {
    match error {
        CloudError::Refused(problem) => *problem,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_error_families_are_read_and_either_under_detail() {
    let structured = json!({"error_code": "ERR-01-006", "message": "hash expired", "request_id": "req_1",
        "details": [{"field": "compose_hash", "value": TOKEN, "message": "is superseded"}],
        "suggestions": ["prepare again"], "links": null});
    for body in [structured.clone(), json!({"detail": structured})] {
        let problem = problem(committed(466, &body.to_string()).await.unwrap_err());
        assert_eq!(problem.code.as_deref(), Some("ERR-01-006"));
        assert_eq!(problem.message, "hash expired (compose_hash: is superseded)");
        assert_eq!(problem.request_id.as_deref(), Some("req_1"));
        assert_eq!(problem.suggestions, ["prepare again"]);
        assert_eq!(problem.request, "POST /api/v1/cvms/chipotle-prod/commit-update");
    }
    let plain = [
        (r#"{"detail":"bad things"}"#, "bad things"),
        (
            r#"{"detail":[{"loc":["body","vcpu",0],"msg":"too small","input":"phak"},{"msg":"and more"}]}"#,
            "body.vcpu.0: too small; and more",
        ),
        (r#""only a text""#, "only a text"),
        ("  plain text\n", "plain text"),
        ("<html>teapot</html>", "a page of HTML"),
        ("", "no words"),
    ];
    for (body, message) in plain {
        let problem = problem(committed(422, body).await.unwrap_err());
        assert_eq!((problem.message.as_str(), problem.code), (message, None), "{body}");
    }
}

#[tokio::test]
async fn the_header_names_the_request_when_the_body_does_not() {
    let said = answer(400, "X-Request-ID: req_head\r\n", b"{}");
    let fake = Fake::serve(move |_, _| Act::Say(said.clone())).await;
    let problem = problem(commit(&client(&fake)).await.unwrap_err());
    assert_eq!(problem.request_id.as_deref(), Some("req_head"));
}

#[tokio::test]
async fn a40_no_word_of_the_server_reaches_a_terminal_as_it_came() {
    let evil = "\u{1b}]0;owned\u{7}\u{202e}\r\nok\u{9b}31m";
    let structured = json!({"error_code": evil, "message": evil, "request_id": evil, "suggestions": [evil],
        "details": [{"field": evil, "message": evil}]});
    let list = json!({"detail": [{"loc": [evil], "msg": evil}]});
    for body in [structured.to_string(), list.to_string(), evil.to_owned()] {
        for status in [400, 401, 404, 409, 503] {
            let error = committed(status, &body).await.unwrap_err();
            assert!(!error.to_string().chars().any(is_deceptive), "{error}");
        }
        let error = read_cvm(200, &body).await.map(|cvm| cvm.name).unwrap_or_default();
        assert_eq!(error, None);
    }
    let record = json!({"name": evil, "status": evil, "vm_uuid": evil, "os": {"name": evil},
        "progress": {"target": evil}, "kms_info": {"slug": evil}});
    let cvm = read_cvm(200, &record.to_string()).await.unwrap();
    let shown = [
        cvm.name,
        cvm.status,
        cvm.uuid,
        cvm.os_image,
        cvm.progress.unwrap().target,
        cvm.kms.slug,
    ];
    for text in shown {
        assert!(!text.unwrap().chars().any(is_deceptive));
    }
    let accepted = committed(202, &json!({"correlation_id": evil, "status": evil}).to_string())
        .await
        .unwrap();
    assert!(!accepted.correlation_id.unwrap().chars().any(is_deceptive));
    let long = json!({"message": "x".repeat(100_000), "suggestions": vec!["y".repeat(10_000); 100]});
    let error = committed(400, &long.to_string()).await.unwrap_err();
    assert!(format!("{error:?}").len() < 4000);
}

// ---- answers that are none ----

#[tokio::test]
async fn a10_to_a17_a_success_that_cannot_be_read_is_never_taken_for_one() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_member = format!(r#"{{"status":{}1{}}}"#, r#"{"a":"#.repeat(5_000), "}".repeat(5_000));
    let bodies = [
        "",
        "{",
        r#"{"correlation_id":"c"#,
        "<html><title>Sign in to this network</title>",
        "[]",
        "null",
        "\"accepted\"",
        r#"{"status":"a","status":"b"}"#,
        r#"{"correlation_id":"a","correlation_id":"b"}"#,
        "{} {}",
        &deep,
        &deep_member,
    ];
    for body in bodies {
        let short: String = body.chars().take(40).collect();
        let commit = committed(202, body).await;
        assert!(
            matches!(commit, Err(CloudError::Unexpected { status: 202, .. })),
            "{short}: {commit:?}"
        );
        let prepare = prepared(202, body).await;
        assert!(
            matches!(prepare, Err(CloudError::Unexpected { .. })),
            "{short}: {prepare:?}"
        );
        let cvm = read_cvm(200, body).await;
        assert!(matches!(cvm, Err(CloudError::Unexpected { .. })), "{short}: {cvm:?}");
        assert!(everything(&cvm.unwrap_err()).len() < 2_000);
    }
    let invalid = answer(202, "", b"{\"status\":\"\xff\"}");
    let fake = Fake::serve(move |_, _| Act::Say(invalid.clone())).await;
    let error = commit(&client(&fake)).await.unwrap_err();
    assert!(matches!(error, CloudError::Unexpected { .. }), "{error:?}");
}

#[tokio::test]
async fn a12_an_object_that_names_no_operation_is_not_an_acceptance() {
    for body in [
        "{}",
        r#"{"status":"ok"}"#,
        r#"{"correlation_id":null}"#,
        r#"{"login":"https://portal"}"#,
    ] {
        for status in [200, 202] {
            let outcome = committed(status, body).await;
            assert!(
                matches!(outcome, Err(CloudError::Unexpected { .. })),
                "{status} {body}: {outcome:?}"
            );
        }
    }
}

#[tokio::test]
async fn a9_a_lost_reply_to_commit_may_have_been_accepted_and_is_sent_once() {
    let fake = Fake::serve(|_, _| Act::Reset).await;
    let error = commit(&client(&fake)).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Http(error) if error.sent == Sent::Maybe),
        "{error:?}"
    );
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a27_a_gateway_error_to_prepare_or_commit_is_not_answered_by_a_second_one() {
    let fake = Fake::always(503, "{}").await;
    let client = client(&fake);
    let raw = client.prepare(&cvm_id(), &patch()).await.unwrap();
    assert!(matches!(raw.read(), Err(CloudError::Unavailable(_))));
    assert!(matches!(commit(&client).await, Err(CloudError::Unavailable(_))));
    assert_eq!(fake.seen().len(), 2);
    assert!(matches!(
        client.is_allowed(Address::ZERO, hash(), None).await,
        Err(CloudError::Unavailable(_))
    ));
    assert_eq!(fake.seen().len(), 4, "a POST that only reads is repeated");
}

#[tokio::test]
async fn a20_a_redirected_commit_gives_its_token_and_key_to_nobody_else() {
    let target = Fake::always(202, "{}").await;
    let location = format!(
        "Location: {}\r\n",
        target.url("/api/v1/cvms/chipotle-prod/commit-update")
    );
    let moved = answer(307, &location, b"");
    let fake = Fake::serve(move |_, _| Act::Say(moved.clone())).await;
    let error = commit(&client(&fake)).await.unwrap_err();
    assert!(
        matches!(&error, CloudError::Http(error) if matches!(error.kind, Kind::Redirect { .. })),
        "{error:?}"
    );
    assert!(target.seen().is_empty());
}

// ---- records ----

#[tokio::test]
async fn the_flat_record_of_2025_10_28_is_read() {
    let record = json!({"id": 12, "name": "chipotle-prod", "status": "running", "in_progress": false, "app_id": APP,
        "vm_uuid": TOKEN, "base_image": "dstack-0.5.7", "contract_address": format!("0x{APP}"), "compose_hash": format!("0x{HASH}"),
        "kms_info": {"id": "kms_abc", "slug": "kms-base-prod9", "url": "https://x", "version": "v0.5.7", "chain_id": 8453,
            "kms_contract_address": "0x2f83172A49584C017F2B256F0FB2Dca14126Ba9C", "gateway_app_id": "0x"},
        "billing_period": "a new one", "node": null});
    let cvm = read_cvm(200, &record.to_string()).await.unwrap();
    assert_eq!(cvm.name.as_deref(), Some("chipotle-prod"));
    assert_eq!(cvm.uuid.as_deref(), Some(TOKEN));
    assert_eq!(cvm.app_id.map(hex::encode).as_deref(), Some(APP));
    assert_eq!(cvm.kms.app_contract, cvm.app_id);
    assert_eq!(cvm.kms.chain_id, Some(8453));
    assert!(cvm.kms.is_onchain() && cvm.kms.kms_contract.is_some());
    assert_eq!(cvm.compose_hash, Some(hash()));
    assert_eq!(cvm.os_image.as_deref(), Some("dstack-0.5.7"));
    assert_eq!((cvm.progress, cvm.device_id), (None, None));
    assert_eq!(cvm.raw, record, "nothing is lost");
    let hosted = json!({"hosted": {"id": TOKEN, "name": "n", "status": "running", "app_id": APP}, "kms_info": null, "in_progress": true});
    let cvm = read_cvm(200, &hosted.to_string()).await.unwrap();
    assert_eq!(
        (cvm.name.as_deref(), cvm.uuid.as_deref(), cvm.status.as_deref()),
        (Some("n"), Some(TOKEN), Some("running"))
    );
    assert!(cvm.app_id.is_some() && cvm.progress.is_some() && !cvm.kms.is_onchain());
}

#[tokio::test]
async fn the_nested_record_since_2026_01_21_is_read() {
    let record = json!({"id": "cvm_9aXz", "name": "n", "app_id": format!("app_{APP}"), "vm_uuid": TOKEN, "status": "running",
        "node_info": {"object_type": "node", "device_id": format!("0x{DEVICE}")},
        "os": {"name": "dstack", "version": "0.5.7", "os_image_hash": HASH}, "kms_type": "base",
        "kms_info": {"chain_id": 8453, "dstack_kms_address": "0x2f83172A49584C017F2B256F0FB2Dca14126Ba9C",
            "dstack_app_address": format!("0x{APP}"), "rpc_endpoint": "https://x"},
        "compose_hash": HASH, "progress": {"target": "running", "started_at": "x", "correlation_id": "c-1"}});
    let cvm = read_cvm(200, &record.to_string()).await.unwrap();
    assert_eq!(cvm.device_id.map(hex::encode).as_deref(), Some(DEVICE));
    assert_eq!(cvm.os_image_hash.map(hex::encode).as_deref(), Some(HASH));
    assert_eq!(cvm.compose_hash, Some(hash()));
    assert_eq!(cvm.kms.app_contract, cvm.app_id);
    assert_eq!(
        cvm.kms.kms_contract,
        Some(address!("2f83172A49584C017F2B256F0FB2Dca14126Ba9C"))
    );
    let progress = cvm.progress.unwrap();
    assert_eq!(
        (progress.target.as_deref(), progress.correlation_id.as_deref()),
        (Some("running"), Some("c-1"))
    );
}

/// The KMS that an answer to `GET /kms/{id}` names.
async fn read_kms(record: &Value) -> Result<super::kms::KmsInfo, CloudError> {
    let fake = Fake::always(200, &record.to_string()).await;
    client(&fake).kms(&"base".parse().unwrap()).await
}

#[tokio::test]
async fn a_kms_is_read_in_each_shape_and_phalas_own_has_neither_chain_nor_contract() {
    let address = "0x2f83172A49584C017F2B256F0FB2Dca14126Ba9C";
    let contract = json!({"id": "kc_abc", "slug": "base", "label": "Base KMS", "contract_address": address, "chain_id": 8453,
        "k256_pubkey": "0x02a335", "ca_pubkey": "0xca01", "node_count": 11, "new": {}});
    let read = read_kms(&contract).await.unwrap();
    assert_eq!((read.chain_id, read.node_count), (Some(8453), Some(11)));
    assert_eq!(read.contract, Some(address.parse().unwrap()));
    assert_eq!((read.k256_pubkey.as_deref(), read.url), (Some("0x02a335"), None));
    for id in [json!("kms_abc"), json!(12)] {
        let node = json!({"id": id, "slug": "kms-base-prod9", "url": "https://x", "version": "v0.5.7", "chain_id": 8453,
            "kms_contract_address": address, "gateway_app_id": null});
        let read = read_kms(&node).await.unwrap();
        assert_eq!((read.chain_id, read.node_count), (Some(8453), None));
        assert_eq!(read.id, Some(id.as_str().map_or_else(|| id.to_string(), str::to_owned)));
    }
    let own = json!({"id": "kc_phala", "slug": "phala", "contract_address": "phala", "chain_id": 0, "node_count": 3});
    let read = read_kms(&own).await.unwrap();
    assert_eq!((read.chain_id, read.contract), (None, None));
    // A CVM's record may name its KMS in the same words, and is off chain only where both say so.
    let cvm = read_cvm(200, &json!({"name": "n", "kms_info": own}).to_string())
        .await
        .unwrap();
    assert!(!cvm.kms.is_onchain());
    let cvm = read_cvm(200, &json!({"name": "n", "kms_info": contract}).to_string())
        .await
        .unwrap();
    assert_eq!(
        (cvm.kms.chain_id, cvm.kms.kms_contract),
        (Some(8453), Some(address.parse().unwrap()))
    );
    for torn in [
        json!({"contract_address": "phala", "chain_id": 8453}),
        json!({"contract_address": address, "chain_id": 0}),
        json!({"contract_address": "Phala", "chain_id": 0}),
    ] {
        let error = read_kms(&torn).await.unwrap_err();
        assert!(matches!(error, CloudError::Identity { .. }), "{torn}: {error:?}");
        let record = json!({ "kms_info": torn });
        let error = read_cvm(200, &record.to_string()).await.unwrap_err();
        assert!(matches!(error, CloudError::Identity { .. }), "{torn}: {error:?}");
    }
}

#[tokio::test]
async fn a_cvm_without_a_chain_is_not_taken_for_one_with() {
    for kms in [
        json!(null),
        json!({}),
        json!({"chain_id": null}),
        json!({"slug": "phala-kms"}),
    ] {
        let cvm = read_cvm(200, &json!({"name": "n", "kms_info": kms}).to_string())
            .await
            .unwrap();
        assert!(!cvm.kms.is_onchain());
    }
    let empty = json!({"name": null, "app_id": "", "compose_hash": "", "progress": null, "node_info": null});
    let cvm = read_cvm(200, &empty.to_string()).await.unwrap();
    assert_eq!(
        (cvm.name, cvm.app_id, cvm.compose_hash, cvm.progress),
        (None, None, None, None)
    );
}

#[tokio::test]
async fn a18_a_record_that_names_no_real_hash_app_or_chain_is_refused_for_that() {
    for record in [
        json!({"compose_hash": HASH.get(1..).unwrap()}),
        json!({"app_id": "0x12"}),
        json!({"app_id": {"id": APP}}),
        json!({"kms_info": {"chain_id": 1.5}}),
        json!({"kms_info": {"chain_id": 0}}),
        json!({"kms_info": {"dstack_kms_address": 12}}),
    ] {
        let error = read_cvm(200, &record.to_string()).await.unwrap_err();
        assert!(matches!(error, CloudError::Identity { .. }), "{record}: {error:?}");
    }
}

#[tokio::test]
async fn a_manifest_is_read_as_an_object_and_as_text_and_only_if_it_means_one_thing() {
    let manifest = r#"{"name":"n","manifest_version":2,"docker_compose_file":"services: {}"}"#;
    for body in [manifest.to_owned(), serde_json::to_string(manifest).unwrap()] {
        let read = client(&Fake::always(200, &body).await)
            .manifest(&cvm_id())
            .await
            .unwrap();
        assert_eq!(read.get("manifest_version"), Some(&json!(2)));
    }
    for body in [
        r#"{"name":"a","name":"b"}"#,
        "[]",
        "\"services: {}\"",
        "services: {}",
        "",
    ] {
        let outcome = client(&Fake::always(200, body).await).manifest(&cvm_id()).await;
        assert!(
            matches!(outcome, Err(CloudError::Unexpected { .. })),
            "{body}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn pending_updates_and_their_preview_give_what_is_there() {
    let body = json!({"items": [{"vm_uuid": TOKEN, "compose_hash": HASH, "on_chain": true, "instance_name": null}]});
    let updates = client(&Fake::always(200, &body.to_string()).await)
        .pending_updates(Address::ZERO)
        .await
        .unwrap();
    assert_eq!(updates.len(), 1);
    assert_eq!(
        (updates[0].compose_hash, updates[0].on_chain),
        (Some(hash()), Some(true))
    );
    let odd = client(&Fake::always(200, "{}").await)
        .pending_updates(Address::ZERO)
        .await;
    assert!(
        matches!(odd, Err(CloudError::Unexpected { .. })),
        "no list is not an empty list"
    );

    let body = json!({"current_docker_compose": "a\nb", "pending_docker_compose": null});
    let preview = client(&Fake::always(200, &body.to_string()).await)
        .preview(Address::ZERO, "x", hash())
        .await
        .unwrap();
    assert_eq!(
        (
            preview.current_docker_compose.as_deref(),
            preview.pending_docker_compose
        ),
        (Some("a\nb"), None)
    );
}

#[tokio::test]
async fn what_the_cloud_believes_of_app_and_instance_is_read_as_it_stands() {
    let body = json!({"is_onchain_kms": true, "chain_id": 8453, "kms_contract_address": format!("0x{APP}"),
        "app_contract_address": format!("0x{APP}"), "deployer_address": format!("0x{APP}"), "deployer_type": "safe"});
    let info = client(&Fake::always(200, &body.to_string()).await)
        .app_kms_info(Address::ZERO)
        .await
        .unwrap();
    assert_eq!(
        (info.kms.chain_id, info.deployer_type.as_deref()),
        (Some(8453), Some("safe"))
    );
    assert_eq!(
        (info.kms.app_contract, info.kms.kms_contract),
        (info.deployer, info.deployer)
    );

    let body =
        json!({"compose_hash_allowed": true, "device_id_allowed": null, "is_allowed": false, "error": "rpc down"});
    let allowed = client(&Fake::always(200, &body.to_string()).await)
        .is_allowed(Address::ZERO, hash(), None)
        .await
        .unwrap();
    assert_eq!(
        (
            allowed.compose_hash_allowed,
            allowed.device_id_allowed,
            allowed.is_allowed
        ),
        (Some(true), None, Some(false))
    );
    assert_eq!(allowed.error.as_deref(), Some("rpc down"));

    let body = json!({"status": "starting", "boot_progress": "pulling", "boot_error": null});
    let state = client(&Fake::always(200, &body.to_string()).await)
        .state(&cvm_id())
        .await
        .unwrap();
    assert_eq!(
        (
            state.status.as_deref(),
            state.boot_progress.as_deref(),
            state.boot_error
        ),
        (Some("starting"), Some("pulling"), None)
    );
}

#[tokio::test]
async fn a_server_that_will_not_speak_of_a_token_is_no_error_and_one_that_is_away_is() {
    for (status, body) in [
        (404, "{}"),
        (401, ""),
        (466, "{}"),
        (422, "[]"),
        (200, "<html>"),
        (200, "[]"),
    ] {
        let fake = Fake::always(status, body).await;
        assert!(
            client(&fake).token_info(&cvm_id(), &token()).await.unwrap().is_none(),
            "{status}"
        );
    }
    let fake = Fake::always(503, "{}").await;
    let outcome = client(&fake).token_info(&cvm_id(), &token()).await;
    assert!(matches!(outcome, Err(CloudError::Unavailable(_))));
    let fake = Fake::always(200, r#"{"used":false}"#).await;
    let info = client(&fake).token_info(&cvm_id(), &token()).await.unwrap();
    assert_eq!(info, Some(json!({"used": false})));
    assert_eq!(
        fake.seen()[0].line(),
        format!("GET /api/v1/cvms/chipotle-prod/commit-update?token={TOKEN}")
    );
}

// ---- secrets ----

/// Servers that repeat all they were sent, each in another way, and one that says nothing.
async fn parrots() -> [Fake; 5] {
    fn all(seen: &Seen) -> String {
        format!(
            "{} {}",
            seen.head.replace("\r\n", " "),
            String::from_utf8_lossy(&seen.body)
        )
    }
    let echo = |status: u16| {
        move |_: usize, seen: &Seen| {
            let all = all(seen);
            let body = json!({"error_code": all, "message": all, "suggestions": [all], "request_id": all});
            Act::Say(fake::json(status, &body.to_string()))
        }
    };
    [
        Fake::serve(echo(400)).await,
        Fake::serve(echo(401)).await,
        Fake::serve(echo(503)).await,
        Fake::serve(|_, seen| Act::Say(answer(200, "", all(seen).as_bytes()))).await,
        Fake::serve(|_, _| Act::Reset).await,
    ]
}

#[tokio::test]
async fn neither_key_nor_token_is_in_any_word_of_ours_even_if_the_server_repeats_them() {
    for fake in &parrots().await {
        let mut prefix = fake.url("/api/v1");
        prefix.set_username("canaryuser").unwrap();
        prefix.set_password(Some("canarypass")).unwrap();
        let client = with_prefix(prefix);
        let work = async {
            let raw = client.prepare(&cvm_id(), &patch()).await;
            let read = raw
                .as_ref()
                .map(|raw| (format!("{raw:?}"), raw.read().map_err(|error| everything(&error))));
            format!(
                "{client:?} {:?} {} {} {} {:?}",
                read,
                everything(&commit(&client).await.unwrap_err()),
                everything(&client.cvm(&cvm_id()).await.unwrap_err()),
                everything(
                    &client
                        .confirm(&cvm_id(), hash(), Registration::Already)
                        .await
                        .unwrap_err()
                ),
                client
                    .token_info(&cvm_id(), &token())
                    .await
                    .map_err(|error| everything(&error)),
            )
        };
        let (said, heard) = overheard(work).await;
        assert!(
            heard.contains("/api/v1/cvms/chipotle-prod/commit-update"),
            "events name the path: {heard}"
        );
        let all = format!("{said} {heard}");
        for canary in [KEY, TOKEN, "canaryuser", "canarypass"] {
            assert!(!all.contains(canary), "{canary} in {all}");
        }
    }
}

#[tokio::test]
async fn types_that_hold_a_secret_do_not_print_it() {
    let prepared = required(full_465()).await;
    let stored = RawAnswer::stored(full_465().to_string().into_bytes());
    let token = token();
    let commit = Commit {
        token: &token,
        hash: hash(),
        by: Registration::Already,
    };
    let shown = format!("{prepared:?} {stored:?} {token:?} {commit:?} {:?}", stored.read());
    assert!(!shown.contains(TOKEN), "{shown}");
    assert!(
        !shown.contains(&format!("{}, {}", TOKEN.as_bytes()[0], TOKEN.as_bytes()[1])),
        "nor as bytes"
    );
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_without_showing_it() {
    for text in ["", "canary key", "canary\n", "canaryé", &"k".repeat(513)] {
        let error = ApiKey::new(Zeroizing::new(text.to_owned())).unwrap_err();
        assert!(!everything(&error).contains("canary"));
    }
}
