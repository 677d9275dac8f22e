//! What the cloud keeps of CVMs and machines beside their manifests: who may log in, what leads to them, their containers and
//! quotes, revisions, the account.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::configure::object;
use super::model::{Cvm, Manifest, NODES, compose_hash};
use super::routes::{Answer, Context};
use super::updates::{self, Phase, parse_hash};
use super::{Request, approval, life};

/// The newest script of Phala's, as this cloud has it.
pub const OFFICIAL_SCRIPT: &str = "#!/bin/bash\necho \"Running Phala Cloud Pre-Launch Script v0.0.20\"\n";

/// The id of the revision that has this hash.
pub fn revision(hash: alloy::primitives::B256) -> String {
    format!("rev_{}", hex::encode(hash.get(..4).unwrap()))
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn script(cvm: &Cvm) -> &str {
    cvm.manifest
        .get("pre_launch_script")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Routes below `/cvms/{id}` of this file; `None` when it has none for them.
pub(super) async fn route(context: &Context, cvm: &Cvm, request: &Request, rest: &[&str]) -> Option<Answer> {
    Some(match (request.method.as_str(), rest) {
        ("POST", ["is-allowed"]) => one_allowed(cvm, request).await,
        ("GET", ["docker-compose.yml"]) => {
            Answer::ok(cvm.manifest.get("docker_compose_file").cloned().unwrap_or_default())
        }
        ("GET", ["pre-launch-script"]) => Answer::ok(json!(script(cvm))),
        ("GET", ["pre-launch-script", "upgrade-status"]) => {
            let official = script(cvm).contains("Phala Cloud Pre-Launch Script v");
            let latest = script(cvm) == OFFICIAL_SCRIPT;
            Answer::ok(
                json!({"current_hash": sha256(script(cvm)), "latest_official_hash": sha256(OFFICIAL_SCRIPT),
                "is_official": official, "is_latest": latest, "can_upgrade": official && !latest}),
            )
        }
        ("POST", ["pre-launch-script", "upgrade-to-latest-official"]) => official(context, cvm, request).await,
        ("GET", ["composition"]) => Answer::ok(composition(cvm)),
        ("GET", ["user_config"]) => Answer::ok(json!({"hostname": cvm.name,
            "ssh_authorized_keys": cvm.more.ssh_keys.iter().map(|id| public_key(id)).collect::<Vec<_>>(),
            "default_gateway_domain": "sim.invalid"})),
        ("GET", ["ssh-keys"]) => Answer::ok(ssh_keys(cvm, false)),
        ("PUT", ["ssh-keys"]) => set_ssh_keys(context, cvm, request),
        ("GET", ["ports"]) => Answer::ok(ports(cvm)),
        ("PUT", ["ports"]) => set_ports(context, cvm, request),
        ("GET", ["network-config"]) => Answer::ok(network_config(cvm)),
        ("PATCH", ["network-config"]) => set_network_config(context, cvm, request),
        ("GET", ["firewall-status"]) => Answer::ok(json!({"available": false, "reason": "teescope is too old"})),
        ("PATCH", ["name"]) => rename(context, cvm, request),
        ("PATCH", ["scheduled-delete"]) => schedule(context, cvm, request),
        ("POST", ["revisions", id, "redeploy"]) => redeploy(context, cvm, request, id).await,
        _ => return None,
    })
}

/// Routes that are about no one CVM.
pub(super) fn others(context: &Context, request: &Request, parts: &[&str]) -> Option<Answer> {
    Some(match (request.method.as_str(), parts) {
        ("POST", ["status", "batch"]) => statuses(context, request),
        ("POST", ["cvms", "batch-stop"]) => batch_stop(context, request),
        ("GET", ["auth", "me"]) if super::versions::asked(request) == "2025-10-28" => Answer::ok(
            json!({"username": "sim", "email": "sim@example.org", "credits": 1, "team_name": "Sim", "team_tier": "free"}),
        ),
        ("GET", ["auth", "me"]) => Answer::ok(json!({
            "user": {"username": "sim", "email": "sim@example.org", "role": "user", "totp_enabled": false},
            "workspace": {"id": "ws_1", "name": "Sim", "slug": "sim", "tier": "pro", "role": "owner"},
            "credits": {"balance": "12.50", "granted_balance": "0", "is_post_paid": false}})),
        ("GET", ["workspaces", "sim", "quotas"]) => Answer::ok(json!({"max_instances": 10, "max_vcpu": 64})),
        ("DELETE", ["tokens", "self"]) => {
            context.lock().api_key = "revoked".to_owned();
            Answer {
                status: 204,
                body: Value::Null,
            }
        }
        ("GET", ["apps"]) => {
            let state = context.lock();
            let mut apps: Vec<_> = state.cvms.iter().map(|cvm| cvm.app).collect();
            apps.sort();
            apps.dedup();
            let record = |app: &alloy::primitives::Address| {
                let of: Vec<&Cvm> = state.cvms.iter().filter(|cvm| cvm.app == *app).collect();
                app_record(of[0], of.len())
            };
            let all: Vec<Value> = apps.iter().map(record).collect();
            Answer::ok(json!({"dstack_apps": all, "page": 1, "page_size": 20, "total": all.len(), "total_pages": 1}))
        }
        _ => return None,
    })
}

/// What anybody may read.
pub(super) fn open(request: &Request, parts: &[&str]) -> Option<Answer> {
    let quote = b"a quote";
    let checksum = hex::encode(Sha256::digest(quote));
    Some(match (request.method.as_str(), parts) {
        ("GET", ["attestations", "nodes"]) => Answer::ok(NODES.into_iter().map(machine).collect()),
        ("GET", ["attestations", "device_ids"]) => Answer::ok(
            NODES
                .into_iter()
                .map(|node| machine(node)["device_id"].clone())
                .collect(),
        ),
        ("GET", ["attestations", "ppids"]) => {
            Answer::ok(NODES.into_iter().map(|node| machine(node)["ppid"].clone()).collect())
        }
        ("GET", ["attestations", "recent"]) => {
            Answer::ok(json!([{"checksum": checksum, "uploaded_at": "2026-11-21T00:00:00Z"}]))
        }
        ("GET", ["attestations", "view", sum]) if *sum == checksum => {
            Answer::ok(json!({"checksum": sum, "verified": true}))
        }
        ("GET", ["attestations", "collateral", sum]) if *sum == checksum => {
            Answer::ok(json!({"tcb_info": "{}", "qe_identity": "{}"}))
        }
        ("GET", ["attestations", "raw", sum]) if *sum == checksum => Answer::ok(json!("raw")),
        ("GET", ["attestations", ..]) => Answer::detail(404, "Quote not found"),
        ("POST", ["attestations", "verify"]) => match object(request).and_then(|body| body.get("hex").cloned()) {
            Some(_) => {
                Answer::ok(json!({"id": checksum, "success": true, "proof_of_cloud": true, "checksum": checksum}))
            }
            None => Answer::detail(400, "No quote"),
        },
        ("GET", ["instance-types"]) => {
            let small = json!({"id": "tdx.small", "name": "Small", "description": "", "vcpu": 1, "memory_mb": 2048,
                "hourly_rate": "0.058", "requires_gpu": false, "default_disk_size_gb": 20, "family": "cpu"});
            Answer::ok(json!({"result": [{"name": "cpu", "items": [small], "total": 1}]}))
        }
        _ => return None,
    })
}

/// Routes below `/apps/{id}` of this file.
pub(super) async fn of_app(context: &Context, cvm: &Cvm, request: &Request, rest: &[&str]) -> Option<Answer> {
    Some(match (request.method.as_str(), rest) {
        ("GET", []) => {
            let count = context.lock().cvms.iter().filter(|one| one.app == cvm.app).count();
            Answer::ok(app_record(cvm, count))
        }
        ("POST", ["cvms", "is-allowed"]) => all_allowed(context, cvm).await,
        ("GET", ["attestations"]) => Answer::ok(
            json!({"app_id": super::bare(cvm.app), "contract_address": cvm.app.to_string(),
            "kms_info": {}, "instances": [{"vm_uuid": cvm.dashed_uuid(), "name": cvm.name, "status": cvm.status,
                "device_id": hex::encode(cvm.device), "image_version": cvm.more.image, "error": null}]}),
        ),
        ("GET", ["attestations", "tcb-evaluation"]) => {
            Answer::ok(json!({"app_id": super::bare(cvm.app), "update": "early",
            "instances": [{"vm_uuid": cvm.dashed_uuid(), "name": cvm.name, "instance_id": cvm.instance_id,
                "status": cvm.status, "image_version": cvm.more.image, "evaluation_ok": true,
                "evaluation_status": "UpToDate", "error": null}]}))
        }
        ("POST", ["revisions", id, "redeploy"]) => {
            let asked = object(request).unwrap_or_default();
            let asked = asked
                .get("vm_uuids")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default();
            let of: Vec<Cvm> = context
                .lock()
                .cvms
                .iter()
                .filter(|one| one.app == cvm.app)
                .cloned()
                .collect();
            let chosen: Vec<&Cvm> = match (asked.as_slice(), of.as_slice()) {
                ([], [one]) => vec![one],
                ([], _) => return Some(updates::invalid("vm_uuids", "The app has several CVMs")),
                (some, _) => of
                    .iter()
                    .filter(|one| some.iter().any(|id| *id == json!(one.uuid)))
                    .collect(),
            };
            let mut last = Answer::detail(404, "CVM not found");
            for one in chosen {
                last = redeploy(context, one, request, id).await;
            }
            last
        }
        _ => return None,
    })
}

fn app_record(cvm: &Cvm, count: usize) -> Value {
    json!({"id": "app_1", "name": cvm.name, "app_id": super::bare(cvm.app), "created_at": "2026-11-21T00:00:00Z",
        "kms_type": if cvm.kms.is_some() { "base" } else { "phala" }, "cvm_count": count})
}

fn machine((id, name, seed): (u64, &str, &str)) -> Value {
    let device = hex::encode(alloy::primitives::keccak256(seed));
    json!({"object_type": "node", "id": id, "node_id": id, "name": name, "region": "sim", "device_id": device,
        "ppid": format!("{id:032x}"), "status": "ONLINE", "version": "0.5.7"})
}

async fn verdict(cvm: &Cvm, hash: alloy::primitives::B256, device: alloy::primitives::B256) -> Result<Value, Answer> {
    let Some(kms) = &cvm.kms else {
        return Err(Answer::detail(400, "The app has no on-chain KMS"));
    };
    let known = approval::hash_allowed(kms, cvm.app, hash).await;
    let (Ok(known), Ok((any, device_ok))) = (known, approval::device_allowed(kms, cvm.app, device).await) else {
        return Err(Answer::detail(503, "Chain is unreachable"));
    };
    Ok(
        json!({"cvm_id": cvm.number, "app_contract_address": cvm.app.to_string(), "compose_hash": hex::encode(hash),
        "device_id": hex::encode(device), "compose_hash_allowed": known, "allow_any_device": any,
        "device_id_allowed": device_ok, "is_allowed": known && device_ok, "error": null}),
    )
}

async fn one_allowed(cvm: &Cvm, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let given = |name: &str| body.get(name).and_then(Value::as_str).and_then(parse_hash);
    let node = body.get("node_id").and_then(Value::as_u64);
    let on_node = NODES.into_iter().find(|(id, ..)| Some(*id) == node);
    let device = on_node.map(|(_, _, seed)| alloy::primitives::keccak256(seed));
    let device = given("device_id").or(device).unwrap_or(cvm.device);
    match verdict(cvm, given("compose_hash").unwrap_or(cvm.compose_hash), device).await {
        Ok(said) => Answer::ok(said),
        Err(answer) => answer,
    }
}

async fn all_allowed(context: &Context, app: &Cvm) -> Answer {
    let of: Vec<Cvm> = context
        .lock()
        .cvms
        .iter()
        .filter(|one| one.app == app.app)
        .cloned()
        .collect();
    if app.kms.is_none() {
        return Answer::ok(json!({"is_onchain": false, "results": [], "skipped_cvm_ids": []}));
    }
    // A CVM that never ran has nothing to ask about.
    let (asked, skipped): (Vec<Cvm>, Vec<Cvm>) = of.into_iter().partition(|cvm| cvm.status != "created");
    let mut results = Vec::new();
    let mut errors = 0;
    for cvm in &asked {
        match verdict(cvm, cvm.compose_hash, cvm.device).await {
            Ok(said) => results.push(said),
            Err(_) => errors += 1,
        }
    }
    let allowed = results.iter().filter(|one| one["is_allowed"] == true).count();
    let skipped: Vec<u64> = skipped.iter().map(|cvm| cvm.number).collect();
    Answer::ok(
        json!({"is_onchain": true, "total": asked.len(), "allowed_count": allowed,
        "denied_count": results.len() - allowed, "error_count": errors, "results": results, "skipped_cvm_ids": skipped}),
    )
}

fn statuses(context: &Context, request: &Request) -> Answer {
    let asked = object(request).and_then(|body| body.get("vm_uuids").and_then(Value::as_array).cloned());
    let Some(asked) = asked else {
        return updates::invalid("vm_uuids", "Field required");
    };
    let state = context.lock();
    let plain = |uuid: &Value| uuid.as_str().unwrap_or_default().replace('-', "");
    let found = asked.iter().filter_map(|uuid| {
        let cvm = state.cvms.iter().find(|cvm| cvm.uuid == plain(uuid))?;
        let operation = cvm
            .progress
            .as_ref()
            .and_then(|id| state.operations.iter().find(|one| one.id == *id));
        Some((
            cvm.dashed_uuid(),
            json!({"vm_uuid": cvm.dashed_uuid(), "status": cvm.status, "uptime": "1m",
            "in_progress": cvm.progress.is_some(), "boot_progress": "done", "boot_error": cvm.boot_error,
            "shutdown_progress": null, "events": [], "operation_type": operation.map(|one| one.kind.clone()),
            "operation_started_at": null, "correlation_id": cvm.progress}),
        ))
    });
    Answer::ok(Value::Object(found.collect()))
}

fn batch_stop(context: &Context, request: &Request) -> Answer {
    let asked = object(request).and_then(|body| body.get("cvm_ids").and_then(Value::as_array).cloned());
    let Some(asked) = asked.filter(|asked| asked.len() <= 50) else {
        return updates::invalid("cvm_ids", "List should have at most 50 items");
    };
    let (mut stopped, mut skipped, mut errors) = (0, 0, Vec::new());
    for id in &asked {
        let name = id.as_str().unwrap_or_default();
        match context.find(name) {
            Ok(cvm) if cvm.status == "stopped" => skipped += 1,
            Ok(cvm) => {
                context.operate(&cvm, "power_off", ("stopping", "stopped"), |_| {});
                stopped += 1;
            }
            Err(_) => errors.push(json!({"cvm_id": name, "error": "CVM not found"})),
        }
    }
    Answer::ok(json!({"total": asked.len(), "stopped": stopped, "skipped": skipped, "errors": errors}))
}

/// The proof of a second phase.
fn proof(request: &Request) -> Option<(String, String)> {
    let given = |name: &str| request.header(name).map(str::to_owned);
    given("x-compose-hash").zip(given("x-transaction-hash"))
}

async fn apply(context: &Context, cvm: &Cvm, manifest: Manifest, proof: Option<(String, String)>) -> Answer {
    if cvm.progress.is_some() {
        return Answer::detail(409, "Another operation is in progress");
    }
    match updates::two_phases(context, cvm, manifest, proof).await {
        Phase::Done(id) => Answer {
            status: 202,
            body: json!({"status": "in_progress", "message": "Update accepted", "correlation_id": id}),
        },
        Phase::Answer(answer) => answer,
    }
}

async fn official(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let mut manifest = cvm.manifest.clone();
    manifest.insert("pre_launch_script".to_owned(), json!(OFFICIAL_SCRIPT));
    apply(context, cvm, manifest, proof(request)).await
}

/// A revision goes by the beginning of its hash; what a contract does not allow is refused, whatever else it is.
async fn redeploy(context: &Context, cvm: &Cvm, request: &Request, id: &str) -> Answer {
    let named = |manifest: &Manifest| revision(compose_hash(manifest)) == id;
    let all = context.lock().revisions.clone();
    let kept = all.into_iter().filter_map(|one| one.manifest).find(named);
    let Some(manifest) = kept else {
        return Answer::detail(404, "Revision not found");
    };
    let hash = compose_hash(&manifest);
    let known = match &cvm.kms {
        Some(kms) => approval::hash_allowed(kms, cvm.app, hash).await.unwrap_or(false),
        None => true,
    };
    let transaction = updates::query(request, "transaction_hash").unwrap_or_else(|| "already-registered".to_owned());
    let proof = known.then(|| (hex::encode(hash), transaction));
    apply(context, cvm, manifest, proof).await
}

fn composition(cvm: &Cvm) -> Value {
    let container = json!({"id": "c1", "names": ["/web"], "image": "nginx:1.27", "image_id": format!("sha256:{}", "ab".repeat(32)),
        "command": null, "created": 1, "state": "running", "status": "Up 1 minute", "log_endpoint": null});
    json!({"is_online": true, "is_public": true, "error": null, "docker_compose_file": cvm.manifest.get("docker_compose_file"),
        "manifest_version": 2, "version": "1", "runner": "docker-compose", "features": [], "containers": [container]})
}

fn public_key(id: &str) -> String {
    // Longer than a line of a terminal, as RSA keys are.
    format!("ssh-rsa {} {id}", "A".repeat(700))
}

fn ssh_keys(cvm: &Cvm, restart: bool) -> Value {
    let key = |id: &String| {
        json!({"id": id, "owner_user_id": "usr_1", "owner_username": "alice", "added_by_user_id": "usr_1", "name": "laptop",
            "public_key": public_key(id), "fingerprint": format!("SHA256:{id}"), "key_type": "ssh-rsa"})
    };
    json!({"keys": cvm.more.ssh_keys.iter().map(key).collect::<Vec<_>>(), "restart_required": restart})
}

fn set_ssh_keys(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let texts = |name: &str| -> Option<Vec<String>> {
        let list = body.get(name)?.as_array()?;
        Some(list.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect())
    };
    let Some(mut keys) = texts("ssh_key_ids") else {
        return updates::invalid("ssh_key_ids", "Field required");
    };
    keys.extend(
        texts("usernames")
            .into_iter()
            .flatten()
            .map(|name| format!("sshkey_of_{name}")),
    );
    let now = body.get("apply_now") == Some(&json!(true));
    context.lock().cvm_mut(&cvm.uuid).more.ssh_keys = keys;
    if now {
        context.operate(cvm, "restart", ("restarting", "running"), |_| {});
    }
    let state = context.lock();
    Answer::ok(ssh_keys(state.find(&cvm.uuid)[0], !now))
}

fn ports(cvm: &Cvm) -> Value {
    let port = |(index, (vm_port, protocol)): (usize, &(u64, String))| {
        json!({"id": format!("pm_{index}"), "host_port": 30_000 + index, "vm_port": vm_port, "protocol": protocol,
            "host_address": "192.0.2.1"})
    };
    cvm.more.ports.iter().enumerate().map(port).collect()
}

fn set_ports(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let Some(asked) = body.get("ports").and_then(Value::as_array) else {
        return updates::invalid("ports", "Field required");
    };
    let port = |one: &Value| {
        Some((
            one["vm_port"].as_u64()?,
            one["protocol"].as_str().unwrap_or("tcp").to_owned(),
        ))
    };
    let wanted: Option<Vec<_>> = asked.iter().map(port).collect();
    let Some(wanted) = wanted else {
        return updates::invalid("ports", "Input should be a valid port");
    };
    let mut state = context.lock();
    let cvm = state.cvm_mut(&cvm.uuid);
    cvm.more.ports = wanted;
    Answer::ok(ports(cvm))
}

fn network_config(cvm: &Cvm) -> Value {
    let entries: Vec<Value> = cvm.more.ports.iter().map(|(port, protocol)| {
        json!({"protocol": protocol, "host_address": "192.0.2.1", "host_port": 30_000, "vm_port": port})
    }).collect();
    json!({"kms_urls": cvm.more.kms_urls, "gateway_urls": cvm.more.gateway_urls, "ports": entries})
}

fn set_network_config(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let urls = |name: &str| -> Option<Vec<String>> {
        let list = body.get(name)?.as_array()?;
        Some(list.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect())
    };
    {
        let mut state = context.lock();
        let more = &mut state.cvm_mut(&cvm.uuid).more;
        more.kms_urls = urls("kms_urls").unwrap_or_else(|| more.kms_urls.clone());
        more.gateway_urls = urls("gateway_urls").unwrap_or_else(|| more.gateway_urls.clone());
    }
    if body.get("restart") == Some(&json!(true)) {
        context.operate(cvm, "restart", ("restarting", "running"), |_| {});
    }
    let state = context.lock();
    Answer::ok(network_config(state.find(&cvm.uuid)[0]))
}

fn rename(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let Some(name) = object(request).and_then(|body| Some(body.get("name")?.as_str()?.to_owned())) else {
        return updates::invalid("name", "Field required");
    };
    // Some servers know a CVM by nothing else here.
    if !request.path.contains("/cvm_") {
        return Answer::detail(404, "CVM not found");
    }
    let mut state = context.lock();
    if state.cvms.iter().any(|one| one.name == name) {
        return Answer::detail(400, &format!("CVM name \"{name}\" is already in use in this workspace"));
    }
    state.cvm_mut(&cvm.uuid).name = name;
    Answer {
        status: 204,
        body: Value::Null,
    }
}

fn schedule(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let mut state = context.lock();
    let cvm = state.cvm_mut(&cvm.uuid);
    cvm.more.delete_at = body
        .get("scheduled_delete_at")
        .and_then(Value::as_str)
        .map(str::to_owned);
    Answer::ok(life::vm(cvm))
}
