//! `webhook verify` and `webhook serve` as processes, and the official SDK's word on the same deliveries.

use std::path::PathBuf;
use std::process::Stdio;

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2_for_hmac::Sha256;

use crate::harness::flow::{BINARY, Ran};
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
    /// The binary with these words.
    fn command(&self, words: &[&str]) -> std::process::Command {
        let mut command = support::countersign(BINARY, self.home.path());
        command.args(words);
        command
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
    let theirs = crate::env::sealing::ask("webhook", &questions);
    for ((time, signature, body), theirs) in deliveries.iter().zip(theirs) {
        let ours = hook.verify(&headers(time, signature), body, &[]).exit == 0;
        assert_eq!(theirs["ok"], ours, "{time} {signature}");
    }
}

/// A receiver as a process, on a port of its own.
struct Receiver {
    child: std::process::Child,
    address: String,
}

impl Receiver {
    fn start(hook: &Hook, more: &[&str]) -> Self {
        let mut command = hook.command(&[
            "webhook",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--secret-from",
            "env:HOOK_SECRET",
        ]);
        let mut child = command
            .args(more)
            .env("HOOK_SECRET", SECRET)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut first).unwrap();
        // Whatever else it says must not stop it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let address = first
            .trim()
            .strip_prefix("listening on http://")
            .unwrap_or_else(|| panic!("{first}"));
        Self {
            address: address.to_owned(),
            child,
        }
    }
    /// Sends bytes as they are, and gives the answer's status; 0 without one.
    fn send(&self, bytes: &[u8]) -> u16 {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        // A refusal may come before everything is sent.
        drop(stream.write_all(bytes));
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer));
        answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0)
    }
    fn deliver(&self, body: &str) -> u16 {
        self.send(&delivery(now(), body))
    }
    /// Its lines, once it has ended by itself.
    fn ended(self) -> Vec<Value> {
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn delivery(time: i64, body: &str) -> Vec<u8> {
    let head = signed(time, body);
    let head = head.strip_suffix("\r\n").unwrap();
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn event(number: u32) -> String {
    json!({"id": format!("evt_{number}"), "event": "cvm.updated", "data": {"cvm_name": "prod"}}).to_string()
}

#[test]
fn i20_a_receiver_prints_each_event_once_and_nothing_of_what_is_refused() {
    let hook = Hook::new();
    let receiver = Receiver::start(&hook, &["--count", "3"]);
    assert_eq!(receiver.deliver(&pending()), 204);
    for _ in 0..3 {
        assert_eq!(
            receiver.deliver(&event(1)),
            204,
            "a repetition is answered like the first"
        );
    }
    let forged = String::from_utf8(delivery(now(), &event(2)))
        .unwrap()
        .replace("prod", "test");
    assert_eq!(receiver.send(forged.as_bytes()), 401);
    assert_eq!(receiver.send(&delivery(now() - 400, &event(3))), 400, "too old");
    assert_eq!(
        receiver.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"),
        401
    );
    assert_eq!(receiver.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 405);
    assert_eq!(receiver.deliver("[]"), 400);
    assert_eq!(receiver.deliver(&event(4)), 204);
    let lines = receiver.ended();
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["evt_0123456789abcdef", "evt_1", "evt_4"]);
    assert_eq!(lines[0]["pending_approval"]["has_commit_token"], true);
    assert!(!lines.iter().any(|line| line.to_string().contains(TOKEN)), "{lines:?}");
}

#[test]
fn a_receiver_lets_nobody_take_its_room_or_its_time() {
    let hook = Hook::new();
    let receiver = Receiver::start(&hook, &["--count", "1"]);
    // Connections that say nothing, half a request, or announce more than is taken.
    let idle: Vec<_> = (0..40)
        .map(|_| std::net::TcpStream::connect(&receiver.address).unwrap())
        .collect();
    for stream in idle.iter().take(20) {
        let mut stream = stream;
        std::io::Write::write_all(&mut stream, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").unwrap();
    }
    let long = "x".repeat(1024 * 1024 + 1);
    assert_eq!(receiver.deliver(&long), 413);
    let headers = format!("POST / HTTP/1.1\r\nX-Long: {long}\r\n\r\n");
    assert!(
        matches!(receiver.send(headers.as_bytes()), 0 | 431),
        "headers are limited"
    );
    assert_eq!(receiver.send(b"\x16\x03\x01\x02\x00"), 400, "TLS to a plain port");
    assert_eq!(receiver.deliver(&event(1)), 204);
    assert_eq!(receiver.ended().len(), 1);
    drop(idle);
}

#[test]
fn a_receiver_keeps_json_to_one_object_and_can_wait_for_one_kind_of_event() {
    let hook = Hook::new();
    let refused = Ran::of(&mut hook.command(&["webhook", "serve", "--json", "--secret-from", "env:HOOK_SECRET"]));
    refused.exits(2).says("USAGE_JSON_STREAM");
    let kind = ["--count", "1", "--json", "--event", "cvm.update.pending_approval"];
    let receiver = Receiver::start(&hook, &kind);
    assert_eq!(receiver.deliver(&event(1)), 204);
    assert_eq!(receiver.deliver(&pending()), 204);
    let said = receiver.ended();
    assert_eq!(said.len(), 1, "one object");
    let items = said[0]["data"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["event"], "cvm.update.pending_approval");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let words = [
        "webhook",
        "serve",
        "--json",
        "--count",
        "1",
        "--listen",
        &address,
        "--secret-from",
        "env:HOOK_SECRET",
    ];
    Ran::of(hook.command(&words).env("HOOK_SECRET", SECRET))
        .exits(3)
        .says("INPUT_LISTEN");
}
