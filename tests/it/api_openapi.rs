//! Answers of the simulated cloud against the schemas of the published OpenAPI file, where that is at hand: the tests of
//! commands rest on what the simulated cloud says.

use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::cloud::API_KEY;
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
        kind,
        body,
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
    let head = format!(
        "{method} /api/v1{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: {API_KEY}\r\n\
         X-Phala-Version: 2026-01-21\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// The schema of an answer, if the file has one that says anything.
fn schema<'o>(openapi: &'o Value, asked: &Asked, status: u16) -> Option<&'o Value> {
    let path = format!("/api/v1{}", asked.path.split('?').next().unwrap());
    let fits = |template: &str| {
        let (one, other): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        one.len() == other.len()
            && one
                .iter()
                .zip(&other)
                .all(|(one, other)| one.starts_with('{') || one == other)
    };
    let paths = openapi["paths"].as_object().unwrap();
    // A path without a variable comes before one with.
    let found = paths.get(&path).or_else(|| {
        paths
            .iter()
            .find(|(template, _)| fits(template))
            .map(|(_, found)| found)
    })?;
    let answer = &found[asked.method.to_lowercase()]["responses"][status.to_string()];
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

#[expect(clippy::too_many_lines, reason = "one line for each operation")]
fn requests(world: &World) -> Vec<Asked> {
    let (app, hash) = (hex::encode(world.app), hex::encode(world.first_hash));
    let uuid = world.cloud.cvm(CVM).dashed_uuid();
    let of = |rest: &str| format!("/cvms/{CVM}{rest}");
    let (none, manifest) = (
        Value::Null,
        json!({"name": "new-app", "docker_compose_file": NEW_COMPOSE}),
    );
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
        ("pending_updates", format!("/apps/{app}/pending-updates")),
        ("preview", format!("/apps/{app}/pending-updates/{uuid}/{hash}/preview")),
        ("app_kms_info", format!("/apps/{app}/kms-info")),
        ("kms_list", "/kms".to_owned()),
        ("kms", "/kms/kms_abc".to_owned()),
        ("kms_on_chain", "/kms/on-chain/base".to_owned()),
        ("kms_public_key", format!("/kms/kms_abc/pubkey/{app}")),
        ("next_app_ids", "/kms/phala/next_app_id?counts=2".to_owned()),
        ("webhooks", "/workspace/webhooks".to_owned()),
    ];
    let mut all: Vec<_> = reads
        .into_iter()
        .map(|(name, path)| asked(name, "GET", path, &none))
        .collect();
    all.extend([
        asked("start", "POST", of("/start"), &none),
        asked("shutdown", "POST", of("/shutdown"), &none),
        asked("stop", "POST", of("/stop"), &none),
        asked("restart", "POST", of("/restart"), &json!({"force": false})),
        asked("cancel", "POST", of("/operations/cancel"), &none),
        asked("replicate", "POST", of("/replicas"), &json!({})),
        asked(
            "is_allowed",
            "POST",
            format!("/apps/{app}/is-allowed"),
            &json!({"compose_hash": hash}),
        ),
        asked("set_listed", "PATCH", of("/listed"), &json!({"listed": true})),
        asked(
            "set_docker_compose",
            "PATCH",
            of("/docker-compose"),
            &json!(NEW_COMPOSE),
        ),
        asked("set_envs", "PATCH", of("/envs"), &json!({"encrypted_env": "ab"})),
        asked(
            "set_os_image",
            "PATCH",
            of("/os-image"),
            &json!({"os_image_name": "dstack-0.5.8"}),
        ),
        asked("refresh_instance_id", "PATCH", of("/instance-id"), &json!({})),
        asked("refresh_instance_ids", "PATCH", "/cvms/instance-ids", &json!({})),
        asked(
            "provision_compose_file",
            "POST",
            of("/compose_file/provision"),
            &manifest,
        ),
        asked("patch", "PATCH", of(""), &json!({"vcpu": 4})),
        asked("invalid", "PATCH", of(""), &json!({"allowed_envs": 7})),
        asked(
            "provision",
            "POST",
            "/cvms/provision",
            &json!({"name": "new-app", "compose_file": manifest, "vcpu": 2,
            "memory": 2048}),
        ),
        asked(
            "create_webhook",
            "POST",
            "/workspace/webhooks",
            &json!({"url": "https://example.org/hook",
            "events": ["cvm.updated"]}),
        ),
        asked("delete", "DELETE", of(""), &none),
    ]);
    all
}

#[test]
fn what_the_simulated_cloud_answers_is_what_the_published_schemas_say() {
    let Some(openapi) = published() else { return };
    let world = World::start();
    let cvm = world.cloud.cvm(CVM);
    let (mut judged, mut wrong, mut met) = (Vec::new(), Vec::new(), Vec::new());
    for one in requests(&world) {
        world.cloud.restore(&cvm);
        if one.name == "start" {
            world.cloud.change_cvm(CVM, |cvm| "stopped".clone_into(&mut cvm.status));
        }
        let (status, body) = ask(&world, &one);
        let refused = [("preview", 404), ("invalid", 422), ("set_docker_compose", 465)];
        if status >= 300 && !refused.contains(&(one.name, status)) {
            wrong.push(format!("{}: {status} {body}", one.name));
        }
        let Some(schema) = schema(&openapi, &one, status) else {
            continue;
        };
        judged.push(one.name);
        let mut judge = Judge {
            openapi: &openapi,
            found: Vec::new(),
        };
        judge.judge(schema, &body, "");
        for complaint in judge.found {
            let known = KNOWN
                .iter()
                .find(|(name, part, _)| *name == one.name && complaint.contains(part));
            match known {
                Some(known) => met.push(known.1),
                None => wrong.push(format!("{}: {complaint}", one.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(judged.len() >= 20, "few schemas were found: {judged:?}");
    for (name, part, _) in KNOWN {
        assert!(met.contains(part), "{name}: {part} is no longer so");
    }
}
