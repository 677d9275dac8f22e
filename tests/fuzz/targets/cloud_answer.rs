//! What Phala Cloud answers. The kept answer to a prepare request is read for the hash that stands in it; a manifest is the
//! one that was sent, and other records say what the answer says.

use std::cell::RefCell;
use std::rc::Rc;

use alloy::primitives::Address;
use countersign::cloud::updates::{Patched, RawAnswer};
use countersign::cloud::{ApiKey, ApiVersion, Client, CvmId, KmsId, Options, Page};
use countersign::compose::{Form, Manifest};
use countersign::http::{Http, Limits, RetryPolicy};
use countersign_fuzz::{Bases, endpoint};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

const TOKEN: &str = "6f1b0a52-5b0e-4d0c-9d55-2f6f6f6f6f6f";

pub(crate) struct Target {
    bases: Bases,
    said: Rc<RefCell<(u16, Vec<u8>)>>,
    client: Client,
    cvm: CvmId,
    kms: KmsId,
    local: LocalSet,
    runtime: Runtime,
}

impl Target {
    pub(crate) fn new() -> Self {
        let said = Rc::new(RefCell::new((200, Vec::new())));
        let (runtime, local) = (super::runtime(), LocalSet::new());
        let answer = Rc::clone(&said);
        let address = local.block_on(&runtime, async move {
            let answers = move |_: &[u8]| answer.borrow().clone();
            endpoint::serve(Rc::new(RefCell::new(Box::new(answers)))).await
        });
        let http = Http::new(Limits::default()).with_retries(RetryPolicy {
            attempts: 1,
            ..RetryPolicy::default()
        });
        let options = Options {
            prefix: format!("http://{address}/api/v1").parse().unwrap(),
            api_key: Some(ApiKey::new("key".to_owned().into()).unwrap()),
            version: ApiVersion::NEWEST,
        };
        Self {
            bases: Bases::of(answers()),
            said,
            client: Client::new(http, options),
            cvm: "app-1".parse().unwrap(),
            kms: "kms-1".parse().unwrap(),
            local,
            runtime,
        }
    }

    /// The first byte says what was asked.
    pub(crate) fn check(&self, input: &[u8]) {
        let [which, rest @ ..] = input else { return };
        let text = self.bases.text(rest);
        if which % 16 == 0 {
            return prepared(&text);
        }
        let status = if which & 0x80 == 0 { 200 } else { 465 };
        self.said.replace((status, text.into_owned()));
        self.local.block_on(&self.runtime, self.ask(which % 16));
    }

    async fn ask(&self, which: u8) {
        let (client, app) = (&self.client, Address::repeat_byte(0xa1));
        let said = || serde_json::from_slice::<Value>(&self.said.borrow().1).expect("an answer that is no JSON");
        match which {
            1 => {
                if let Ok(manifest) = client.manifest(&self.cvm).await {
                    let direct = match said() {
                        Value::String(text) => Manifest::parse(text.as_bytes()),
                        _ => Manifest::parse(&self.said.borrow().1),
                    };
                    let direct = direct.expect("a manifest that is none");
                    assert_eq!(direct.hash(Form::Sorted), manifest.hash(Form::Sorted));
                    assert_eq!(direct.image_list(), manifest.image_list());
                }
            }
            2 => {
                if let Ok(cvm) = client.cvm(&self.cvm).await {
                    assert_eq!(cvm.raw, said());
                    let text = cvm.raw.to_string().to_ascii_lowercase();
                    let stands = |digits: String| text.contains(digits.trim_start_matches("0x"));
                    assert!(cvm.compose_hash.is_none_or(|hash| stands(hash.bare())));
                    assert!(cvm.device_id.is_none_or(|id| stands(id.to_string())));
                }
            }
            3 => drop(client.state(&self.cvm).await),
            4 => drop(client.cvms(Page::default()).await),
            5 => drop(client.pending_updates(app).await),
            6 => drop(client.app_kms_info(app).await),
            7 => drop(client.kms_list(Page::default(), None).await),
            8 => drop(client.kms(&self.kms).await),
            9 => drop(client.env_key(&self.cvm, app).await),
            10 => drop(client.webhooks().await),
            11 => drop(client.nodes().await),
            12 => drop(client.attestation(&self.cvm).await),
            13 => drop(client.stats(&self.cvm).await),
            14 => drop(client.available_os_images(&self.cvm).await),
            _ => drop(client.next_app_ids(2).await),
        }
    }
}

fn prepared(text: &[u8]) {
    if let Ok(Patched::HashRequired(prepared)) = RawAnswer::stored(text.to_vec()).read() {
        let value: Value = serde_json::from_slice(text).expect("an answer that is no JSON");
        let said = value.to_string().to_ascii_lowercase();
        assert!(
            said.contains(&prepared.compose_hash.bare()),
            "a hash that stands nowhere"
        );
        let shown = format!("{prepared:?}");
        if let Some(token) = &prepared.commit_token {
            assert!(
                said.contains(&token.expose().to_ascii_lowercase()),
                "a token that stands nowhere"
            );
            // Where an edit put it into another field as well, that field is shown.
            let elsewhere = stands_elsewhere(&value, token.expose());
            assert!(elsewhere || !shown.contains(token.expose()), "the token is shown");
        }
    }
}

/// Whether a text holds the token that belongs to no field of the token or of a link with it.
fn stands_elsewhere(value: &Value, token: &str) -> bool {
    let is_its = |name: &str| matches!(name, "commit_token" | "commit_url" | "api_commit_url");
    match value {
        Value::String(found) => found.contains(token),
        Value::Array(items) => items.iter().any(|one| stands_elsewhere(one, token)),
        Value::Object(members) => {
            let named = members.get("field").and_then(Value::as_str).is_some_and(is_its);
            let others = members
                .iter()
                .filter(|(name, _)| !is_its(name) && !(named && *name == "value"));
            others
                .into_iter()
                .any(|(name, one)| name.contains(token) || stands_elsewhere(one, token))
        }
        _ => false,
    }
}

fn answers() -> Vec<Value> {
    let hash = "ab".repeat(32);
    let app = "a1".repeat(20);
    let kms = json!({"id": "kms_1", "slug": "kms-1", "url": "https://kms.example", "version": "v0.5.5", "chain_id": 8453,
        "kms_contract_address": format!("0x{}", "5a".repeat(20)), "gateway_app_id": format!("0x{}", "6a".repeat(20))});
    let details = json!([
        {"field": "compose_hash", "value": hash}, {"field": "app_id", "value": app}, {"field": "commit_token", "value": TOKEN},
        {"field": "device_id", "value": "de".repeat(32)}, {"field": "kms_info", "value": kms},
        {"field": "onchain_status", "value": {"compose_hash_allowed": false, "device_id_allowed": true, "is_allowed": false}},
        {"field": "commit_url", "value": format!("https://cloud.phala.com/commit?token={TOKEN}")}
    ]);
    let flat = json!({"detail": {"error_code": "ERR-01-005", "message": "m", "compose_hash": format!("0x{hash}"), "app_id": app,
        "commit_token": TOKEN, "kms_info": kms.to_string(), "device_id": format!("0x{}", "de".repeat(32))}});
    let compose = "services:\n  web:\n    image: nginx:1.28@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n";
    let manifest = json!({"manifest_version": 2, "name": "app", "runner": "docker-compose", "docker_compose_file": compose,
        "allowed_envs": ["A"], "public_logs": true});
    let cvm = json!({"id": 17, "name": "app-1", "vm_uuid": "6f1b0a52-5b0e-4d0c-9d55-2f6f6f6f6f60", "app_id": app,
        "instance_id": "1a".repeat(20), "status": "running", "compose_hash": hash, "kms_info": kms,
        "node_info": {"id": 1, "name": "n", "device_id": "de".repeat(32)}, "os": {"name": "dstack-0.5.5", "os_image_hash": "0f".repeat(32)},
        "resource": {"instance_type": "tdx.small", "vcpu": 1, "memory_in_gb": 2, "disk_in_gb": 20}, "progress": null});
    vec![
        json!({"error_code": "ERR-01-005", "message": "hash required", "details": details}),
        flat,
        manifest.clone(),
        json!(manifest.to_string()),
        cvm.clone(),
        json!({"items": [cvm], "total": 1, "page": 1, "page_size": 30, "pages": 1}),
        json!({"items": [kms.clone()], "total": 1, "page": 1, "page_size": 30, "pages": 1}),
        kms,
    ]
}
