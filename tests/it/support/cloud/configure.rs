//! The single settings of a CVM, in one phase or two.

use alloy::primitives::B256;
use serde_json::{Map, Value, json};

use super::Request;
use super::model::{Change, Cvm, Manifest, bare, compose_hash};
use super::routes::{Answer, Context};
use super::updates::{self, Phase};
use super::{approval, life, records};

/// OS images that every CVM may be given.
pub(super) const IMAGES: [&str; 2] = ["dstack-0.5.7", "dstack-0.5.8"];

/// Routes below `/cvms/{id}` of this file; `None` when it has none for them.
pub(super) async fn route(context: &Context, cvm: &Cvm, request: &Request, rest: &[&str]) -> Option<Answer> {
    let verb = request.method.as_str();
    if verb == "PATCH"
        && cvm.progress.is_some()
        && !matches!(
            rest,
            ["instance-id" | "listed" | "name" | "scheduled-delete" | "network-config"]
        )
    {
        return Some(Answer::detail(409, "Another operation is in progress"));
    }
    Some(match (verb, rest) {
        ("PATCH", ["resources"]) => resources(context, cvm, request),
        ("PATCH", ["visibility"]) => visibility(context, cvm, request).await,
        ("PATCH", ["listed"]) => listed(context, cvm, request),
        ("PATCH", ["pre-launch-script"]) => text(context, cvm, request, ("pre_launch_script", "text/plain")).await,
        ("PATCH", ["docker-compose"]) => text(context, cvm, request, ("docker_compose_file", "text/yaml")).await,
        ("PATCH", ["envs"]) => envs(context, cvm, request).await,
        ("PATCH", ["os-image"]) => os_image(context, cvm, request),
        ("GET", ["available-os-images"]) => Answer::ok(images(cvm)),
        ("PATCH", ["instance-id"]) => match object(request) {
            Some(_) => Answer::ok(refreshed(cvm)),
            None => updates::invalid("body", "Input should be a valid dictionary"),
        },
        ("POST", ["compose_file", "provision"]) => provision_compose(context, cvm, request).await,
        ("PATCH", ["compose_file"]) => commit_compose(context, cvm, request).await,
        _ => return None,
    })
}

pub(super) fn object(request: &Request) -> Option<Map<String, Value>> {
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(body)) => Some(body),
        _ => None,
    }
}

fn in_progress(correlation: &str) -> Value {
    json!({"status": "in_progress", "message": "Update accepted", "correlation_id": correlation})
}

fn accepted(body: Value) -> Answer {
    Answer { status: 202, body }
}

fn resources(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Some(body) = object(request) else {
        return updates::invalid("body", "Input should be a valid dictionary");
    };
    let number = |name: &str| body.get(name).and_then(Value::as_f64).map(|number| number as u64);
    let (vcpu, memory, disk) = (number("vcpu"), number("memory"), number("disk_size"));
    let id = context.operate(cvm, "resize", ("updating", "running"), move |cvm| {
        let more = &mut cvm.more;
        more.vcpu = vcpu.unwrap_or(more.vcpu);
        more.memory = memory.unwrap_or(more.memory);
        more.disk_size = disk.unwrap_or(more.disk_size);
    });
    accepted(in_progress(&id))
}

async fn visibility(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Some(body) = object(request) else {
        return updates::invalid("body", "Input should be a valid dictionary");
    };
    let mut manifest = cvm.manifest.clone();
    for name in ["public_sysinfo", "public_logs", "public_tcbinfo"] {
        match body.get(name) {
            Some(Value::Bool(on)) => drop(manifest.insert(name.to_owned(), json!(on))),
            None if name == "public_tcbinfo" => {}
            _ => return updates::invalid(name, "Input should be a valid boolean"),
        }
    }
    match updates::two_phases(context, cvm, manifest, None).await {
        Phase::Done(_) => {
            let state = context.lock();
            Answer::ok(records::flat(state.find(&cvm.uuid)[0], &state.lies))
        }
        Phase::Answer(answer) => answer,
    }
}

fn listed(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Some(listed) = object(request).and_then(|body| body.get("listed")?.as_bool()) else {
        return updates::invalid("listed", "Field required");
    };
    let mut state = context.lock();
    let cvm = state.cvm_mut(&cvm.uuid);
    cvm.more.listed = listed;
    Answer::ok(life::vm(cvm))
}

async fn text(context: &Context, cvm: &Cvm, request: &Request, (field, kind): (&str, &str)) -> Answer {
    let text = String::from_utf8_lossy(&request.body).into_owned();
    if text.trim().is_empty() || request.header("content-type") != Some(kind) {
        return Answer::detail(400, "Invalid content type or empty body");
    }
    let mut manifest = cvm.manifest.clone();
    manifest.insert(field.to_owned(), json!(text));
    let given = |name: &str| request.header(name).map(str::to_owned);
    let proof = given("x-compose-hash").zip(given("x-transaction-hash"));
    match updates::two_phases(context, cvm, manifest, proof).await {
        Phase::Done(id) => accepted(in_progress(&id)),
        Phase::Answer(answer) => answer,
    }
}

async fn envs(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Some(body) = object(request) else {
        return updates::invalid("body", "Input should be a valid dictionary");
    };
    let Some(sealed) = body.get("encrypted_env").and_then(Value::as_str) else {
        return updates::invalid("encrypted_env", "Field required");
    };
    if hex::decode(sealed).is_err() {
        return updates::invalid("encrypted_env", "Input should be hex");
    }
    let mut manifest = cvm.manifest.clone();
    if let Some(keys) = body.get("env_keys").filter(|keys| !keys.is_null()) {
        manifest.insert("allowed_envs".to_owned(), keys.clone());
    }
    let changed = manifest != cvm.manifest;
    let given = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let proof = given("compose_hash").zip(given("transaction_hash"));
    let done = |id: &str| {
        let mut body = in_progress(id);
        body["allowed_envs_changed"] = json!(changed);
        context.lock().cvm_mut(&cvm.uuid).more.encrypted_env = Some(sealed.to_owned());
        accepted(body)
    };
    if !changed {
        let kms = cvm.kms.as_ref();
        // What a guest cannot open it would stop at; here it keeps what it has, since the order is what is looked at.
        let opened = kms.and_then(|kms| kms.keys.boot(cvm.app, sealed, &cvm.manifest).ok());
        return done(&context.operate(cvm, "envs_update", ("updating", "running"), |cvm| {
            cvm.environment = opened.unwrap_or_else(|| cvm.environment.clone());
        }));
    }
    match updates::two_phases(context, cvm, manifest, proof).await {
        Phase::Done(id) => done(&id),
        Phase::Answer(answer) => answer,
    }
}

fn os_image(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Some(name) = object(request).and_then(|body| Some(body.get("os_image_name")?.as_str()?.to_owned())) else {
        return updates::invalid("os_image_name", "Field required");
    };
    if !IMAGES.contains(&name.as_str()) {
        return Answer::detail(400, "OS image not available for this CVM");
    }
    let id = context.operate(cvm, "os_update", ("updating", "running"), move |cvm| {
        cvm.more.image = name
    });
    accepted(in_progress(&id))
}

fn images(cvm: &Cvm) -> Value {
    let versions = IMAGES.iter().map(|name| {
        let patch: u64 = name.rsplit('.').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        let is_current = *name == cvm.more.image;
        let hash = cvm.more.next_image.filter(|_| !is_current).unwrap_or(cvm.os_image);
        json!({"version": [0, 5, patch], "prod": {"name": name, "slug": format!("{name}-e18f5407"),
            "os_image_hash": hex::encode(hash), "is_current": is_current}, "dev": null})
    });
    versions.collect()
}

pub(super) fn refreshed(cvm: &Cvm) -> Value {
    json!({"cvm_id": cvm.number, "identifier": cvm.name, "status": "unchanged", "old_instance_id": cvm.instance_id,
        "new_instance_id": cvm.instance_id, "source": "teepod_state", "verified_with_gateway": true, "reason": null})
}

async fn provision_compose(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Some(mut manifest) = object(request) else {
        return updates::invalid("body", "Input should be a valid dictionary");
    };
    manifest.remove("update_env_vars");
    if manifest
        .get("docker_compose_file")
        .and_then(Value::as_str)
        .is_none_or(str::is_empty)
    {
        return Answer::detail(400, "Docker Compose file is empty");
    }
    let hash = compose_hash(&manifest);
    let known = match &cvm.kms {
        Some(kms) => approval::hash_allowed(kms, cvm.app, hash).await.unwrap_or(false),
        None => false,
    };
    let mut state = context.lock();
    let lies = state.lies.clone();
    state.announced.insert((cvm.uuid.clone(), hash), (manifest, None));
    Answer::ok(
        json!({"app_id": bare(cvm.app), "device_id": hex::encode(cvm.device), "compose_hash": hex::encode(hash),
        "kms_info": records::kms_info(cvm, &lies, false), "compose_hash_registered": known}),
    )
}

async fn commit_compose(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let hash = body
        .get("compose_hash")
        .and_then(Value::as_str)
        .and_then(updates::parse_hash);
    let change: Option<(B256, Change)> = hash.and_then(|hash| {
        let state = context.lock();
        let change = state.announced.get(&(cvm.uuid.clone(), hash))?;
        Some((hash, change.clone()))
    });
    let Some((hash, change)) = change else {
        return Answer::detail(400, "Provision not found");
    };
    if let Some(kms) = &cvm.kms
        && let Err(denial) = approval::check(kms, cvm.app, hash, "already-registered").await
    {
        return updates::denied(denial);
    }
    if let Some(sealed) = body.get("encrypted_env").and_then(Value::as_str) {
        context.lock().cvm_mut(&cvm.uuid).more.encrypted_env = Some(sealed.to_owned());
    }
    accepted(in_progress(&updates::begin(context, cvm, hash, change)))
}
