//! Answers of the simulated cloud against the schemas of the published OpenAPI file, where that is at hand: the tests of
//! commands rest on what the simulated cloud says.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::cloud::{API_KEY, STEP_UP, revision};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{PATIENCE, World};

/// Where a schema says otherwise than the server, by name of the operation and part of the complaint, and why it is left.
const KNOWN: &[(&str, &str, &str)] = &[];

/// The published file, or `None` with a word about it.
#[expect(clippy::print_stderr, reason = "a comparison that was left out has to say so")]
pub fn published() -> Option<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = [
        "../shared/reference/openapi.json",
        "../../shared/reference/openapi.json",
    ];
    let text = places
        .iter()
        .find_map(|place| std::fs::read_to_string(root.join(place)).ok());
    if text.is_none() {
        eprintln!("openapi.json is not at hand: nothing is compared with it");
    }
    text.map(|text| serde_json::from_str(&text).unwrap())
}

/// One request as it stands.
struct Asked {
    name: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    kind: &'static str,
    body: String,
}

fn asked(name: &'static str, method: &'static str, path: impl Into<String>, body: &Value) -> Asked {
    let (kind, body) = match body {
        Value::Null => ("application/json", String::new()),
        Value::String(text) => ("text/yaml", text.clone()),
        other => ("application/json", other.to_string()),
    };
    Asked {
        name,
        method,
        path: path.into(),
        headers: Vec::new(),
        kind,
        body,
    }
}

impl Asked {
    fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }
    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// Status and body of the answer.
fn ask(world: &World, asked: &Asked) -> (u16, Value) {
    let mut stream = std::net::TcpStream::connect(world.cloud.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let Asked {
        method,
        path,
        kind,
        body,
        ..
    } = asked;
    let more: String = asked
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {API_KEY}\r\n\
         X-Phala-Version: 2026-01-21\r\n{more}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// What the file has for the request's path and verb.
fn operation<'o>(openapi: &'o Value, method: &str, path: &str) -> Option<&'o Value> {
    let path = format!("/api/v1{}", path.split('?').next().unwrap());
    let fits = |template: &str| {
        let (one, other): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        one.len() == other.len()
            && one
                .iter()
                .zip(&other)
                .all(|(one, other)| one.starts_with('{') || one == other || other.starts_with('{'))
    };
    let paths = openapi["paths"].as_object().unwrap();
    // A path without a variable comes before one with.
    let found = paths.get(&path).or_else(|| {
        paths
            .iter()
            .find(|(template, _)| fits(template))
            .map(|(_, found)| found)
    })?;
    found.get(method.to_lowercase())
}

/// The schema of an answer, if the file has one that says anything.
fn schema(operation: &Value, status: u64) -> Option<&Value> {
    let answer = &operation["responses"][status.to_string()];
    let schema = answer.pointer("/content/application~1json/schema")?;
    (schema != &json!({})).then_some(schema)
}

/// Where values are not what their schemas say. Knows what the file uses.
struct Judge<'o> {
    openapi: &'o Value,
    found: Vec<String>,
}

impl Judge<'_> {
    fn judge(&mut self, schema: &Value, value: &Value, place: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let target = self.openapi.pointer(name.trim_start_matches('#')).unwrap().clone();
            return self.judge(&target, value, place);
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = schema[key].as_array() {
                return self.choose(choices, value, place);
            }
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.judge(part, value, place);
        }
        if self.by_itself(schema, value, place) {
            self.inside(schema, value, place);
        }
    }

    /// The choice with the fewest complaints is the one that is meant.
    fn choose(&mut self, choices: &[Value], value: &Value, place: &str) {
        let each = choices.iter().map(|choice| {
            let mut judge = Judge {
                openapi: self.openapi,
                found: Vec::new(),
            };
            judge.judge(choice, value, place);
            judge.found
        });
        let best = each.min_by_key(Vec::len).unwrap_or_default();
        self.found.extend(best);
    }

    /// Whether the value has the right type, so that looking inside means something.
    fn by_itself(&mut self, schema: &Value, value: &Value, place: &str) -> bool {
        let is = |kind: &str| match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("a type {other}"),
        };
        if let Some(kind) = schema["type"].as_str()
            && !is(kind)
        {
            self.found.push(format!("{place}: {value} is no {kind}"));
            return false;
        }
        if schema["enum"].as_array().is_some_and(|list| !list.contains(value)) {
            self.found
                .push(format!("{place}: {value} is none of {}", schema["enum"]));
        }
        if schema.get("const").is_some_and(|only| only != value) {
            self.found.push(format!("{place}: {value} is not {}", schema["const"]));
        }
        true
    }

    fn inside(&mut self, schema: &Value, value: &Value, place: &str) {
        let required = schema["required"].as_array().into_iter().flatten();
        for name in required
            .filter_map(Value::as_str)
            .filter(|name| value.get(*name).is_none())
        {
            self.found.push(format!("{place}: `{name}` is missing"));
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(value) = value.get(name) {
                self.judge(inner, value, &format!("{place}/{name}"));
            }
        }
        if let (Some(list), Some(inner)) = (value.as_array(), schema.get("items")) {
            for (index, item) in list.iter().enumerate() {
                self.judge(inner, item, &format!("{place}/{index}"));
            }
        }
    }
}

/// Asks, and holds every answer against the file.
struct Look<'w> {
    world: &'w World,
    openapi: &'w Value,
    /// Operations with the statuses that they answered with, and whether there was a schema.
    met: BTreeMap<&'static str, BTreeMap<u64, bool>>,
    wrong: Vec<String>,
    known: Vec<&'static str>,
}

impl Look<'_> {
    /// Asks a world whose CVM is as it was at first, and expects `status`.
    fn at(&mut self, status: u64, asked: &Asked) -> Value {
        let (found, body) = ask(self.world, asked);
        let name = asked.name;
        if u64::from(found) != status {
            self.wrong.push(format!("{name}: {found} instead of {status}: {body}"));
        }
        let found = u64::from(found);
        let Some(operation) = operation(self.openapi, asked.method, &asked.path) else {
            self.met.entry(name).or_default().insert(found, false);
            return body;
        };
        if operation["responses"].get(found.to_string()).is_none() && !ELSEWHERE.contains(&(name, found)) {
            self.wrong.push(format!("{name}: the file knows no {found}"));
        }
        let schema = schema(operation, found);
        self.met.entry(name).or_default().insert(found, schema.is_some());
        let mut judge = Judge {
            openapi: self.openapi,
            found: Vec::new(),
        };
        if let Some(schema) = schema {
            judge.judge(schema, &body, "");
        }
        for complaint in judge.found {
            let known = KNOWN
                .iter()
                .find(|(known, part, _)| *known == name && complaint.contains(part));
            match known {
                Some(known) => self.known.push(known.1),
                None => self.wrong.push(format!("{name}: {complaint}")),
            }
        }
        body
    }

    fn reads(&mut self) {
        let (app, uuid) = (hex::encode(self.world.app), self.world.cloud.cvm(CVM).dashed_uuid());
        let of = |rest: &str| format!("/cvms/{CVM}{rest}");
        let reads = [
            ("cvms", "/cvms/paginated?page=1".to_owned()),
            ("cvm", of("")),
            ("manifest", of("/compose_file")),
            ("state", of("/state")),
            ("operations", of("/operations")),
            ("operation_status", of("/operation-status")),
            ("stats", of("/stats")),
            ("network", of("/network")),
            ("attestation", of("/attestation")),
            ("available_os_images", of("/available-os-images")),
            ("os_images", "/os-images".to_owned()),
            ("nodes", "/teepods/available".to_owned()),
            ("pending_updates", format!("/apps/{app}/pending-updates")),
            ("revisions", format!("/apps/{app}/revisions")),
            ("revision", format!("/apps/{app}/revisions/rev_0001")),
            ("app_kms_info", format!("/apps/{app}/kms-info")),
            ("app_cvms", format!("/apps/{app}/cvms")),
            ("kms_list", "/kms".to_owned()),
            ("kms", "/kms/kms_abc".to_owned()),
            ("kms_on_chain", "/kms/on-chain/base".to_owned()),
            ("kms_public_key", format!("/kms/kms_abc/pubkey/{app}")),
            ("next_app_ids", "/kms/phala/next_app_id?counts=2".to_owned()),
        ];
        for (name, path) in reads {
            self.at(200, &asked(name, "GET", path, &Value::Null));
        }
        let hash = hex::encode(self.world.first_hash);
        let allowed = json!({"compose_hash": hash});
        self.at(
            200,
            &asked("is_allowed", "POST", format!("/apps/{app}/is-allowed"), &allowed),
        );
        let preview = format!("/apps/{app}/pending-updates/{uuid}/{hash}/preview");
        self.at(404, &asked("preview", "GET", preview, &Value::Null));
    }

    /// What changes in one request; each meets the CVM as it was at first.
    fn orders(&mut self) {
        let of = |rest: &str| format!("/cvms/{CVM}{rest}");
        let none = Value::Null;
        let image = json!({"os_image_name": "dstack-0.5.8"});
        let visible = json!({"public_sysinfo": true, "public_logs": true});
        let orders = [
            (200, asked("shutdown", "POST", of("/shutdown"), &none)),
            (200, asked("stop", "POST", of("/stop"), &none)),
            (200, asked("restart", "POST", of("/restart"), &json!({"force": false}))),
            (200, asked("cancel", "POST", of("/operations/cancel"), &none)),
            (200, asked("replicate", "POST", of("/replicas"), &json!({}))),
            (
                200,
                asked("set_listed", "PATCH", of("/listed"), &json!({"listed": true})),
            ),
            (
                202,
                asked("set_resources", "PATCH", of("/resources"), &json!({"vcpu": 4})),
            ),
            (200, asked("set_visibility", "PATCH", of("/visibility"), &visible)),
            (
                202,
                asked("set_envs", "PATCH", of("/envs"), &json!({"encrypted_env": "ab"})),
            ),
            (202, asked("set_os_image", "PATCH", of("/os-image"), &image)),
            (
                200,
                asked("refresh_instance_id", "PATCH", of("/instance-id"), &json!({})),
            ),
            (
                200,
                asked("refresh_instance_ids", "PATCH", "/cvms/instance-ids", &json!({})),
            ),
            (202, asked("patch", "PATCH", of(""), &json!({"vcpu": 4}))),
            (204, asked("delete", "DELETE", of(""), &none)),
        ];
        let cvm = self.world.cloud.cvm(CVM);
        for (status, order) in orders {
            self.at(status, &order);
            self.world.cloud.restore(&cvm);
        }
        self.world
            .cloud
            .change_cvm(CVM, |cvm| "stopped".clone_into(&mut cvm.status));
        self.at(200, &asked("start", "POST", of("/start"), &none));
        self.world.cloud.restore(&cvm);
    }

    /// First phases, and second ones in each of their ways.
    fn phases(&mut self) {
        let of = |rest: &str| format!("/cvms/{CVM}{rest}");
        let cvm = self.world.cloud.cvm(CVM);
        let (app, uuid) = (hex::encode(self.world.app), cvm.dashed_uuid());
        let change = json!({"docker_compose_file": NEW_COMPOSE});
        let first = asked("prepare", "PATCH", of(""), &change).with("X-Prepare-Only", "true");
        let prepared = self.at(465, &first);
        let token = self.world.cloud.tokens().last().unwrap().clone();
        assert!(prepared["details"].to_string().contains(&token.text), "{prepared}");
        let hash = hex::encode(token.hash);
        self.at(
            200,
            &asked(
                "token_info",
                "GET",
                of(&format!("/commit-update?token={}", token.text)),
                &Value::Null,
            ),
        );
        let preview = format!("/apps/{app}/pending-updates/{uuid}/{hash}/preview");
        self.at(200, &asked("preview", "GET", preview, &Value::Null));
        let proof = json!({"token": token.text, "compose_hash": hash, "transaction_hash": "already-registered"});
        self.at(468, &asked("commit", "POST", of("/commit-update"), &proof));
        let second = |name, path: String, body: &Value| {
            asked(name, "PATCH", path, body)
                .with("X-Compose-Hash", &hash)
                .with("X-Transaction-Hash", "already-registered")
        };
        self.at(468, &second("confirm", of(""), &json!({})));
        for (name, path, kind) in TEXTS {
            self.at(465, &asked(name, "PATCH", of(path), &json!(NEW_COMPOSE)).of_kind(kind));
        }
        self.at(
            465,
            &asked(
                "set_envs",
                "PATCH",
                of("/envs"),
                &json!({"encrypted_env": "ab", "env_keys": ["A"]}),
            ),
        );
        self.world.allow(token.hash);
        self.at(202, &asked("commit", "POST", of("/commit-update"), &proof));
        self.world.cloud.restore(&cvm);
        self.at(202, &second("confirm", of(""), &json!({})));
        self.world.cloud.restore(&cvm);
        let text = second("set_docker_compose", of("/docker-compose"), &json!(NEW_COMPOSE));
        self.at(202, &text);
        self.world.cloud.restore(&cvm);
    }

    /// First phases that need no change, and a replica's two.
    fn replicas(&mut self) {
        let of = |rest: &str| format!("/cvms/{CVM}{rest}");
        let cvm = self.world.cloud.cvm(CVM);
        let script = asked(
            "set_pre_launch_script",
            "PATCH",
            of("/pre-launch-script"),
            &json!("#!/bin/sh\n"),
        )
        .of_kind("text/plain");
        self.at(465, &script);
        self.at(
            465,
            &asked("replicate", "POST", of("/replicas"), &json!({})).with("X-Prepare-Only", "true"),
        );
        let prepared = asked("prepare_replica", "POST", of("/replicas"), &json!({})).with("X-Prepare-Only", "true");
        self.at(465, &prepared);
        let token = self.world.cloud.tokens().last().unwrap().clone();
        let proof = json!({"token": token.text, "compose_hash": hex::encode(token.hash),
            "transaction_hash": "already-registered"});
        self.at(200, &asked("commit_replica", "POST", of("/commit-replica"), &proof));
        self.world.cloud.restore(&cvm);
        let place = format!("/apps/{}/instances", hex::encode(self.world.app));
        self.at(200, &asked("create_instance", "POST", place.clone(), &json!({})));
        self.world.cloud.restore(&cvm);
        let prepare = asked("prepare_instance", "POST", place.clone(), &json!({})).with("X-Prepare-Only", "true");
        self.world.cloud.lie(|lies| lies.makes_at_once = true);
        self.at(200, &prepare);
        self.world.cloud.lie(|lies| lies.makes_at_once = false);
        self.world.cloud.restore(&cvm);
        self.at(465, &prepare);
        let token = self.world.cloud.tokens().last().unwrap().clone();
        let proof = json!({"token": token.text, "compose_hash": hex::encode(token.hash),
            "transaction_hash": "already-registered"});
        self.at(200, &asked("commit_instance", "POST", place, &proof));
        self.world.cloud.restore(&cvm);
    }

    /// What the cloud keeps and says beside upgrades.
    fn inventory(&mut self) {
        let (app, none) = (hex::encode(self.world.app), Value::Null);
        let checksum = self.at(200, &asked("recent_attestations", "GET", "/attestations/recent", &none));
        let checksum = checksum[0]["checksum"].as_str().unwrap().to_owned();
        for (name, path) in INVENTORY {
            let path = path
                .replace("{id}", CVM)
                .replace("{app}", &app)
                .replace("{sum}", &checksum);
            self.at(200, &asked(name, "GET", path, &none));
        }
        let nodes = asked("kms_nodes", "GET", "/kms/base/nodes", &none);
        self.at(200, &nodes.with("X-Phala-Version", "2026-06-23"));
        for (status, order) in self.settings().into_iter().chain(self.questions()) {
            let cvm = self.world.cloud.cvm(CVM);
            self.at(status, &order);
            self.world.cloud.restore(&cvm);
            self.world.cloud.set_api_key(API_KEY);
        }
    }

    /// What is asked with a body, and orders to more than one CVM or to none.
    fn questions(&self) -> Vec<(u64, Asked)> {
        let app = hex::encode(self.world.app);
        let uuids = json!({"vm_uuids": [self.world.cloud.cvm(CVM).uuid]});
        let back = format!("/apps/{app}/revisions/{}/redeploy", revision(self.world.first_hash));
        let all = format!("/apps/{app}/cvms/is-allowed");
        let (stop, quote) = (json!({"cvm_ids": [CVM]}), json!({"hex": "abcd"}));
        vec![
            (200, asked("app_cvms_are_allowed", "POST", all, &json!({}))),
            (200, asked("statuses", "POST", "/status/batch", &uuids)),
            (200, asked("batch_stop", "POST", "/cvms/batch-stop", &stop)),
            (202, asked("redeploy_app", "POST", back, &uuids)),
            (200, asked("verify_attestation", "POST", "/attestations/verify", &quote)),
            (204, asked("revoke_token", "DELETE", "/tokens/self", &Value::Null)),
        ]
    }

    /// Settings of a CVM that no hash covers, and what is asked about it.
    fn settings(&self) -> Vec<(u64, Asked)> {
        let (cvm, none) = (self.world.cloud.cvm(CVM), Value::Null);
        let of = |rest: &str| format!("/cvms/{CVM}{rest}");
        let keys = json!({"ssh_key_ids": ["sshkey_abc"], "apply_now": false});
        let ports = json!({"ports": [{"vm_port": 443, "protocol": "tcp"}]});
        let never = json!({"scheduled_delete_at": null});
        let named = format!("/cvms/{}/name", cvm.hashed_id());
        let back = of(&format!("/revisions/{}/redeploy", revision(self.world.first_hash)));
        let official = of("/pre-launch-script/upgrade-to-latest-official");
        let network = json!({"restart": false});
        vec![
            (200, asked("cvm_is_allowed", "POST", of("/is-allowed"), &json!({}))),
            (465, asked("upgrade_script", "POST", official, &none)),
            (200, asked("set_ssh_keys", "PUT", of("/ssh-keys"), &keys)),
            (200, asked("set_ports", "PUT", of("/ports"), &ports)),
            (
                200,
                asked("set_network_config", "PATCH", of("/network-config"), &network),
            ),
            (200, asked("schedule_delete", "PATCH", of("/scheduled-delete"), &never)),
            (204, asked("set_name", "PATCH", named, &json!({"name": "other"}))),
            (202, asked("redeploy_cvm", "POST", back, &none)),
        ]
    }

    /// What is provisioned first and committed by its hash.
    fn provisions(&mut self) {
        let of = |rest: &str| format!("/cvms/{CVM}{rest}");
        let cvm = self.world.cloud.cvm(CVM);
        let manifest = json!({"name": "new-app", "docker_compose_file": NEW_COMPOSE});
        let made = self.at(
            200,
            &asked(
                "provision_compose_file",
                "POST",
                of("/compose_file/provision"),
                &manifest,
            ),
        );
        let hash = made["compose_hash"].as_str().unwrap().to_owned();
        self.world.allow(hash.parse().unwrap());
        let commit = json!({"compose_hash": hash});
        self.at(
            202,
            &asked("commit_compose_file", "PATCH", of("/compose_file"), &commit),
        );
        self.world.cloud.restore(&cvm);
        let new = json!({"name": "new-app", "compose_file": manifest, "vcpu": 2, "memory": 2048});
        let made = self.at(200, &asked("provision", "POST", "/cvms/provision", &new));
        let commit = json!({"app_id": made["app_id"], "compose_hash": made["compose_hash"]});
        self.at(200, &asked("commit_provision", "POST", "/cvms", &commit));
        self.world.cloud.restore(&cvm);
    }

    fn webhooks(&mut self) {
        let none = Value::Null;
        let new = json!({"url": "https://example.org/hook", "events": ["cvm.updated"]});
        let made = self.at(201, &asked("create_webhook", "POST", "/workspace/webhooks", &new));
        let id = made["id"].as_str().unwrap().to_owned();
        let of = |rest: &str| format!("/workspace/webhooks/{id}{rest}");
        let resend = of("/deliveries/evt_0123456789abcdef/resend");
        let all = [
            (200, asked("webhooks", "GET", "/workspace/webhooks", &none)),
            (200, asked("webhook", "GET", of(""), &none)),
            (200, asked("update_webhook", "PUT", of(""), &json!({"enabled": false}))),
            (200, asked("webhook_stats", "GET", of("/stats"), &none)),
            (200, asked("test_webhook", "POST", of("/test"), &json!({}))),
            (200, asked("deliveries", "GET", of("/deliveries"), &none)),
            (200, asked("resend_delivery", "POST", resend, &json!({}))),
            (
                200,
                asked("reveal_webhook_secret", "POST", of("/reveal-secret"), &json!({})).with("Cookie", STEP_UP),
            ),
            (
                200,
                asked("rotate_webhook_secret", "POST", of("/rotate-secret"), &json!({})).with("Cookie", STEP_UP),
            ),
            (204, asked("delete_webhook", "DELETE", of(""), &none)),
        ];
        for (status, one) in all {
            self.at(status, &one);
        }
    }

    /// What the server cannot read.
    fn invalid(&mut self) {
        let of = |rest: &str| format!("/cvms/{CVM}{rest}");
        let wrong = json!({"of": "another kind"});
        let new = json!({"url": "http://example.org/hook", "events": ["cvm.updated"]});
        let all = [
            asked("cvms", "GET", "/cvms/paginated?page_size=1000", &Value::Null),
            asked("operations", "GET", of("/operations?limit=0"), &Value::Null),
            asked("restart", "POST", of("/restart"), &wrong),
            asked("patch", "PATCH", of(""), &json!({"allowed_envs": 7})),
            asked("set_listed", "PATCH", of("/listed"), &wrong),
            asked("set_envs", "PATCH", of("/envs"), &wrong),
            asked("set_os_image", "PATCH", of("/os-image"), &wrong),
            asked("refresh_instance_id", "PATCH", of("/instance-id"), &json!([])),
            asked("refresh_instance_ids", "PATCH", "/cvms/instance-ids", &json!([])),
            asked("commit", "POST", of("/commit-update"), &json!({})),
            asked("commit_replica", "POST", of("/commit-replica"), &json!({})),
            asked(
                "is_allowed",
                "POST",
                format!("/apps/{}/is-allowed", hex::encode(self.world.app)),
                &wrong,
            ),
            asked("next_app_ids", "GET", "/kms/phala/next_app_id?counts=0", &Value::Null),
            asked("create_webhook", "POST", "/workspace/webhooks", &new),
        ];
        for one in all {
            self.at(422, &one);
        }
    }
}

/// What the cloud keeps and says beside upgrades, read by one CVM, one app, or for all.
const INVENTORY: [(&str, &str); 24] = [
    ("docker_compose", "/cvms/{id}/docker-compose.yml"),
    ("pre_launch_script", "/cvms/{id}/pre-launch-script"),
    ("script_status", "/cvms/{id}/pre-launch-script/upgrade-status"),
    ("composition", "/cvms/{id}/composition"),
    ("user_config", "/cvms/{id}/user_config"),
    ("ssh_keys", "/cvms/{id}/ssh-keys"),
    ("ports", "/cvms/{id}/ports"),
    ("network_config", "/cvms/{id}/network-config"),
    ("firewall_status", "/cvms/{id}/firewall-status"),
    ("device_allowlist", "/apps/{app}/device-allowlist"),
    ("app_attestations", "/apps/{app}/attestations"),
    ("tcb_evaluation", "/apps/{app}/attestations/tcb-evaluation"),
    ("attestation_nodes", "/attestations/nodes"),
    ("attestation_device_ids", "/attestations/device_ids"),
    ("attestation_ppids", "/attestations/ppids"),
    ("attestation_raw", "/attestations/raw/{sum}"),
    ("attestation_view", "/attestations/view/{sum}"),
    ("attestation_collateral", "/attestations/collateral/{sum}"),
    ("account", "/auth/me"),
    ("quotas", "/workspaces/sim/quotas"),
    ("apps", "/apps"),
    ("app", "/apps/{app}"),
    ("instance_types", "/instance-types"),
    ("kms_node", "/kms/kms_abc"),
];

/// Texts that are sent as they are.
const TEXTS: [(&str, &str, &str); 2] = [
    ("set_docker_compose", "/docker-compose", "text/yaml"),
    ("set_pre_launch_script", "/pre-launch-script", "text/plain"),
];

/// Statuses that the file leaves out, and the error catalogue has.
const ELSEWHERE: &[(&str, u64)] = &[("commit", 468)];

/// Operations that are not held against the file, and why.
const LEFT_OUT: &[(&str, &str)] = &[(
    "watch",
    "a stream of events, whose schema the file does not have; `cloud::watch::tests` read it",
)];

/// Schemas of successes that no answer of the simulated cloud was held against, and operations that were not asked.
fn uncovered(look: &Look<'_>) -> Vec<String> {
    let table: Value = serde_json::from_str(include_str!("../../vectors/api.json")).unwrap();
    let mut missing = Vec::new();
    for row in table["operations"].as_array().unwrap() {
        let text = |name: &str| row[name].as_str().unwrap();
        let name = text("name");
        if LEFT_OUT.iter().any(|(left, _)| *left == name) {
            continue;
        }
        let met = look.met.get(name);
        if met.is_none() {
            missing.push(format!("{name}: not asked"));
        }
        let path = text("path").trim_start_matches("/api/v1");
        let known = operation(look.openapi, text("method"), path);
        let Some(operation) = known.filter(|_| row["openapi"] == true) else {
            continue;
        };
        let statuses = operation["responses"].as_object().unwrap().keys();
        for status in statuses
            .filter_map(|status| status.parse::<u64>().ok())
            .filter(|status| *status < 300)
        {
            let judged = met.and_then(|met| met.get(&status)).copied().unwrap_or_default();
            if schema(operation, status).is_some() && !judged {
                missing.push(format!("{name}: nothing was held against the schema of {status}"));
            }
        }
        // What cannot be read is answered in one and the same shape, which a dozen operations show.
        let invalid = schema(operation, 422).map(|schema| schema["$ref"].as_str().unwrap_or_default());
        if invalid.is_some_and(|name| !name.ends_with("/HTTPValidationError")) {
            missing.push(format!("{name}: a 422 of its own"));
        }
    }
    missing
}

#[test]
fn what_the_simulated_cloud_answers_is_what_the_published_schemas_say() {
    let Some(openapi) = published() else { return };
    let world = World::start();
    // What was begun does not end by itself while the next one is looked at.
    world.cloud.set_boot_time(std::time::Duration::from_secs(600));
    let mut look = Look {
        world: &world,
        openapi: &openapi,
        met: BTreeMap::new(),
        wrong: Vec::new(),
        known: Vec::new(),
    };
    look.reads();
    look.orders();
    look.phases();
    look.replicas();
    look.inventory();
    look.provisions();
    look.webhooks();
    look.invalid();
    assert!(look.wrong.is_empty(), "{:#?}", look.wrong);
    assert_eq!(uncovered(&look), Vec::<String>::new());
    let invalid = look.met.values().filter(|met| met.get(&422) == Some(&true)).count();
    assert!(invalid >= 12, "a 422 was held against its schema {invalid} times");
    for (name, part, _) in KNOWN {
        assert!(look.known.contains(part), "{name}: {part} is no longer so");
    }
}
