//! `webhook verify` as a process, and the official SDK's word on the same deliveries.

use std::path::PathBuf;
use std::process::Stdio;

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2_for_hmac::Sha256;

use crate::flow::{BINARY, Ran};
use crate::support;

const SECRET: &str = "whsec_canary-0123456789abcdef01234567";
const TOKEN: &str = "6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11";

struct Hook {
    home: tempfile::TempDir,
}

impl Hook {
    fn new() -> Self {
        support::packages();
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }
    fn file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
    /// Runs `webhook verify` with the secret in a variable and the headers in a file.
    fn verify(&self, headers: &str, body: &str, more: &[&str]) -> Ran {
        let (headers, body) = (self.file("headers", headers), self.file("body", body));
        let mut command = support::countersign(BINARY, self.home.path());
        command
            .args(["webhook", "verify", "--json", "--secret-from", "env:HOOK", "--headers"])
            .arg(&headers)
            .args(more)
            .env("HOOK", SECRET)
            .stdin(Stdio::from(std::fs::File::open(body).unwrap()));
        let ran = Ran::of(&mut command);
        assert!(!ran.said.contains(SECRET) && !ran.said.contains(TOKEN), "{}", ran.said);
        ran
    }
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn sign(time: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn headers(time: &str, signature: &str) -> String {
    format!("POST /hook HTTP/1.1\r\nHost: x\r\nX-Webhook-Timestamp: {time}\r\nX-Webhook-Signature: {signature}\r\n\r\n")
}

fn signed(time: i64, body: &str) -> String {
    headers(&time.to_string(), &sign(&time.to_string(), body))
}

fn pending() -> String {
    json!({
        "id": "evt_0123456789abcdef", "event": "cvm.update.pending_approval", "version": "1",
        "created_at": "2026-01-01T00:00:00Z", "workspace": {"id": "ws_1", "slug": "acme", "name": "Acme"},
        "data": {
            "cvm_id": "cvm_1", "cvm_name": "prod", "compose_hash": format!("0x{}", "ab".repeat(32)),
            "app_id": "11".repeat(20), "device_id": "22".repeat(32),
            "kms": {"chain_id": 8453, "contract_address": format!("0x{}", "33".repeat(20))},
            "onchain_action": {"to": format!("0x{}", "11".repeat(20)), "method": "addComposeHash(bytes32)",
                "calldata": format!("0x{}", "ab".repeat(32))},
            "commit_token": TOKEN, "commit_url": format!("https://cloud.phala.com/?token={TOKEN}"),
            "api_commit_url": "https://cloud-api.phala.com/", "expires_at": "2026-01-15T00:00:00Z",
        },
    })
    .to_string()
}

#[test]
fn a_delivery_of_phala_clouds_is_told_without_its_token() {
    let hook = Hook::new();
    let ran = hook.verify(&signed(now(), &pending()), &pending(), &[]).exits(0);
    assert_eq!(ran.json["data"]["event"], "cvm.update.pending_approval");
    assert_eq!(ran.json["data"]["pending_approval"]["has_commit_token"], true);
    assert_eq!(ran.fact("compose_hash"), &json!(format!("0x{}", "ab".repeat(32))));
    assert_eq!(ran.fact("chain_id"), 8453);
    let unknown = r#"{"id":"evt_1","event":"cvm.teleported","data":{"where":"there"}}"#;
    let ran = hook.verify(&signed(now(), unknown), unknown, &[]).exits(0);
    assert_eq!(
        (&ran.json["data"]["known"], &ran.json["data"]["data"]["where"]),
        (&json!(false), &json!("there"))
    );
}

#[test]
fn i20_a_bad_signature_ends_with_5_and_an_old_delivery_with_6() {
    let hook = Hook::new();
    let body = pending();
    hook.verify(&signed(now(), &body), &body.replace("prod", "test"), &[])
        .exits(5)
        .says("WEBHOOK_SIGNATURE");
    hook.verify("Host: x\n", &body, &[]).exits(5).says("WEBHOOK_SIGNATURE");
    hook.verify(&signed(now() - 400, &body), &body, &[])
        .exits(6)
        .says("WEBHOOK_STALE");
    hook.verify(&signed(now() + 400, &body), &body, &[])
        .exits(6)
        .says("WEBHOOK_AHEAD");
    let other = ["--header", "X-Webhook-Id: evt_1"];
    hook.verify(&signed(now(), &body), &body, &other)
        .exits(5)
        .says("WEBHOOK_CONTRADICTION");
    hook.verify(&signed(now(), "[]"), "[]", &[])
        .exits(3)
        .says("INPUT_WEBHOOK");
}

#[test]
fn n5_the_secret_is_named_and_never_typed() {
    let hook = Hook::new();
    let run = |words: &[&str]| {
        let mut command = support::countersign(BINARY, hook.home.path());
        command
            .args(["webhook", "verify", "--json", "--header", "a: b"])
            .args(words);
        let ran = Ran::of(&mut command);
        assert!(!ran.said.contains("canary"), "{}", ran.said);
        ran
    };
    run(&["--secret-from", SECRET]).exits(2).says("USAGE_SECRET_ARGUMENT");
    run(&["--secret-from", "canary"]).exits(2);
    run(&["--secret", "canary"]).exits(2).says("USAGE_SECRET_ARGUMENT");
    run(&["--secret-from", "env:NOT_SET"])
        .exits(3)
        .says("INPUT_WEBHOOK_SECRET");
    run(&[]).exits(2);
    let open = hook.file("secret", SECRET);
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let source = format!("file:{}", open.display());
    assert_ne!(run(&["--secret-from", &source]).exit, 0, "others may read it");
    std::fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    run(&["--secret-from", &source]).exits(5);
}

#[test]
fn i20_the_official_sdk_judges_the_same_deliveries_alike() {
    let hook = Hook::new();
    let body = pending();
    let now = now();
    let deliveries = [
        (now.to_string(), sign(&now.to_string(), &body), body.clone()),
        (
            now.to_string(),
            sign(&now.to_string(), &body),
            body.replace("prod", "test"),
        ),
        (now.to_string(), sign(&(now + 1).to_string(), &body), body.clone()),
        (
            (now - 400).to_string(),
            sign(&(now - 400).to_string(), &body),
            body.clone(),
        ),
        (
            now.to_string(),
            sign(&now.to_string(), &body).to_uppercase(),
            body.clone(),
        ),
    ];
    let questions: Vec<Value> = deliveries
        .iter()
        .map(|(time, signature, body)| json!({"secret": SECRET, "timestamp": time, "signature": signature, "body": body}))
        .collect();
    let theirs = crate::sealing::ask("webhook", &questions);
    for ((time, signature, body), theirs) in deliveries.iter().zip(theirs) {
        let ours = hook.verify(&headers(time, signature), body, &[]).exit == 0;
        assert_eq!(theirs["ok"], ours, "{time} {signature}");
    }
}
