//! An AWS KMS on loopback: `GetPublicKey` and `Sign` as AWS JSON 1.1, with a real secp256k1 key, and ways to be wrong.
//!
//! It knows nothing of the library that is tested; unit tests of the library include this file as well.
#![allow(
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test harness: it aborts when the world itself is broken, and no single test uses all of it"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::primitives::Address;
use alloy::signers::k256::ecdsa::signature::hazmat::PrehashSigner as _;
use alloy::signers::k256::ecdsa::{Signature, SigningKey};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

pub const KEY_ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
pub const ACCESS_KEY: &str = "AKIACANARY3D8E7F60AA";
pub const SECRET_KEY: &str = "canary/aws/secret/9b1d7c33";
pub const SESSION_TOKEN: &str = "canary-aws-session-77e2";
/// `SubjectPublicKeyInfo` of an uncompressed secp256k1 point, up to the point (RFC 5480).
const SPKI: &str = "3056301006072a8648ce3d020106052b8104000a034200";
/// A P-256 key: the same for its curve, and its base point (SEC 2, 2.4.2).
const KEY_OF_ANOTHER_CURVE: &str = concat!(
    "3059301306072a8648ce3d020106082a8648ce3d03010703420004",
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
);

/// What it does with a request.
#[derive(Clone)]
pub enum Act {
    /// What KMS does.
    Answer,
    /// Signs with s in the upper half, as KMS does every other time.
    HighS,
    /// Uses another key than it said.
    OtherKey,
    /// Refuses with status and code.
    Refuse(u16, &'static str),
    /// Refuses with a message that repeats all it was sent.
    Echo(u16, &'static str),
    /// Refuses with a body that is no JSON.
    Page(u16),
    /// Takes the request and says nothing.
    Silence,
    /// Leaves out what was asked for.
    Nothing,
    /// Bytes that are no signature and no key.
    Rubbish,
    /// A key of another curve.
    OtherCurve,
}

struct State {
    key: SigningKey,
    acts: Mutex<BTreeMap<&'static str, Act>>,
    asked: Mutex<Vec<String>>,
}

/// A running KMS.
pub struct FakeKms {
    pub at: SocketAddr,
    state: Arc<State>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl FakeKms {
    /// Starts one that keeps the key of these bytes.
    pub fn start(key: &[u8]) -> Self {
        let state = Arc::new(State {
            key: SigningKey::from_slice(key).unwrap(),
            acts: Mutex::default(),
            asked: Mutex::default(),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (send, receive) = std::sync::mpsc::channel();
        let served = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                send.send(listener.local_addr().unwrap()).unwrap();
                let answer = move |request: Request| answer(Arc::clone(&served), request);
                let server = axum::serve(listener, axum::Router::new().fallback(answer));
                tokio::select! {
                    _ended = server => {}
                    _stopped = stopped => {}
                }
            });
        });
        Self {
            at: receive.recv().unwrap(),
            state,
            stop: Some(stop),
        }
    }
    pub fn url(&self) -> String {
        format!("http://{}", self.at)
    }
    /// Whose key it keeps.
    pub fn address(&self) -> Address {
        Address::from_public_key(self.state.key.verifying_key())
    }
    /// Does this from now on with `GetPublicKey` or `Sign`.
    pub fn on(&self, action: &'static str, act: Act) {
        self.state.acts.lock().unwrap().insert(action, act);
    }
    pub fn heal(&self) {
        self.state.acts.lock().unwrap().clear();
    }
    /// The actions that were asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }
    /// The environment in which AWS's own chain finds it.
    pub fn env(&self) -> Vec<(String, String)> {
        let nowhere = "/nonexistent/aws".to_owned();
        [
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_SESSION_TOKEN", SESSION_TOKEN.to_owned()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ENDPOINT_URL_KMS", self.url()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_CONFIG_FILE", nowhere.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE", nowhere),
            ("AWS_MAX_ATTEMPTS", "2".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

impl Drop for FakeKms {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _gone = stop.send(());
        }
    }
}

async fn answer(state: Arc<State>, request: Request) -> (StatusCode, String) {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
    let refuse = |status: u16, code: &str, message: &str| {
        let text = json!({"__type": code, "message": message}).to_string();
        (StatusCode::from_u16(status).unwrap(), text)
    };
    let target = header(&head.headers, "x-amz-target");
    let action = match target.strip_prefix("TrentService.") {
        Some("GetPublicKey") => "GetPublicKey",
        Some("Sign") => "Sign",
        _ => return refuse(400, "UnknownOperationException", &target),
    };
    state.asked.lock().unwrap().push(action.to_owned());
    let signed = header(&head.headers, "authorization");
    let known = signed.starts_with("AWS4-HMAC-SHA256 ") && signed.contains(ACCESS_KEY);
    if !known || header(&head.headers, "x-amz-security-token") != SESSION_TOKEN {
        return refuse(403, "UnrecognizedClientException", "who are you");
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    if asked["KeyId"] != KEY_ID {
        return refuse(400, "NotFoundException", "no such key");
    }
    let act = state.acts.lock().unwrap().get(action).cloned();
    match act.unwrap_or(Act::Answer) {
        Act::Refuse(status, code) => refuse(status, code, "no"),
        Act::Echo(status, code) => {
            let echo = format!("{:?} {SECRET_KEY} {}", head.headers, String::from_utf8_lossy(&body));
            refuse(status, code, &echo)
        }
        Act::Page(status) => (StatusCode::from_u16(status).unwrap(), format!("<p>{SESSION_TOKEN}</p>")),
        Act::Silence => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            refuse(500, "Late", "")
        }
        act => (StatusCode::OK, result(&state.key, action, &act, &asked).to_string()),
    }
}

fn result(key: &SigningKey, action: &str, act: &Act, asked: &Value) -> Value {
    if matches!(act, Act::Nothing) {
        return json!({"KeyId": KEY_ID});
    }
    if action == "GetPublicKey" {
        let mut der = hex::decode(SPKI).unwrap();
        der.extend(key.verifying_key().to_encoded_point(false).as_bytes());
        if matches!(act, Act::OtherCurve) {
            der = hex::decode(KEY_OF_ANOTHER_CURVE).unwrap();
        }
        if matches!(act, Act::Rubbish) {
            der.truncate(20);
        }
        return json!({"KeyId": KEY_ID, "PublicKey": BASE64_STANDARD.encode(der), "KeySpec": "ECC_SECG_P256K1",
            "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": ["ECDSA_SHA_256"]});
    }
    assert_eq!(
        (&asked["MessageType"], &asked["SigningAlgorithm"]),
        (&json!("DIGEST"), &json!("ECDSA_SHA_256"))
    );
    let digest = BASE64_STANDARD.decode(asked["Message"].as_str().unwrap()).unwrap();
    let other = SigningKey::from_slice(&[9; 32]).unwrap();
    let key = if matches!(act, Act::OtherKey) { &other } else { key };
    let signature: Signature = key.sign_prehash(&digest).unwrap();
    let (r, s) = signature.split_scalars();
    let low = signature.normalize_s().is_none();
    let s = if matches!(act, Act::HighS) == low {
        -*s.as_ref()
    } else {
        *s.as_ref()
    };
    let signature = Signature::from_scalars(*r.as_ref(), s).unwrap();
    let mut der = signature.to_der().as_bytes().to_vec();
    if matches!(act, Act::Rubbish) {
        der.truncate(20);
    }
    json!({"KeyId": KEY_ID, "Signature": BASE64_STANDARD.encode(der), "SigningAlgorithm": "ECDSA_SHA_256"})
}

fn header(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
