//! What is not about one CVM: the list, new CVMs and replicas, KMSs, nodes, OS images.

use alloy::primitives::{Address, keccak256};
use serde_json::{Value, json};

use super::Request;
use super::configure::{IMAGES, object, refreshed};
use super::model::{Cvm, More, NODES, State, Wanted, bare, compose_hash};
use super::routes::{Answer, Context};
use super::updates::{self, query};
use super::{approval, hooks, life, records};

/// Routes of this file; `None` when it has none for the request.
pub(super) fn route(context: &Context, request: &Request, parts: &[&str]) -> Option<Answer> {
    Some(match (request.method.as_str(), parts) {
        ("GET", ["cvms", "paginated"]) => list(context, request),
        ("POST", ["cvms", "provision"]) => provision(context, request),
        ("POST", ["cvms"]) => commit(context, request),
        ("PATCH", ["cvms", "instance-ids"]) => instance_ids(context, request),
        ("GET", ["kms"]) => page(
            request,
            &[kms("kms_phala", None), kms("kms_abc", context.lock().contract())],
        ),
        ("GET", ["kms", "phala", "next_app_id"]) => next_app_ids(request),
        ("GET", ["kms", "on-chain", chain]) => on_chain(context, chain),
        ("GET", ["kms", id]) => match *id {
            "kms_abc" | "kms-base-prod9" => Answer::ok(kms("kms_abc", context.lock().contract())),
            _ => Answer::detail(404, "KMS not found"),
        },
        ("GET", ["kms", _, "pubkey", app]) => {
            Answer::ok(json!({"public_key": hex::encode(keccak256(app)), "signature": hex::encode([7; 65])}))
        }
        ("GET", ["teepods", "available"]) => nodes(context),
        ("GET", ["os-images"]) => {
            let image = |name: &&str| {
                json!({"name": name, "slug": name, "version": name.trim_start_matches("dstack-"),
                "os_image_hash": null, "is_dev": false, "requires_gpu": false})
            };
            page(request, &IMAGES.iter().map(image).collect::<Vec<_>>())
        }
        (verb, ["workspace", "webhooks", rest @ ..]) => return hooks::route(context, (verb, rest), request),
        _ => return None,
    })
}

pub(super) fn page(request: &Request, all: &[Value]) -> Answer {
    let number = |name: &str, usual: usize| query(request, name).map_or(Ok(usual), |text| text.parse());
    let (Ok(number), Ok(size @ 1..=100)) = (number("page", 1), number("page_size", 30)) else {
        return updates::invalid("page_size", "Input should be less than or equal to 100");
    };
    let items: Vec<&Value> = all.iter().skip((number.max(1) - 1) * size).take(size).collect();
    Answer::ok(
        json!({"items": items, "total": all.len(), "page": number, "page_size": size,
        "pages": all.len().div_ceil(size)}),
    )
}

fn list(context: &Context, request: &Request) -> Answer {
    let state = context.lock();
    let records: Vec<Value> = state.cvms.iter().map(|cvm| records::nested(cvm, &state.lies)).collect();
    page(request, &records)
}

fn provision(context: &Context, request: &Request) -> Answer {
    let Some(body) = object(request) else {
        return updates::invalid("body", "Input should be a valid dictionary");
    };
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let Some(name) = text("name").filter(|name| (5..=63).contains(&name.len())) else {
        return updates::invalid("name", "String should have at least 5 characters");
    };
    let Some(Value::Object(manifest)) = body.get("compose_file").cloned() else {
        return updates::invalid("compose_file", "Field required");
    };
    let mut state = context.lock();
    if state.cvms.iter().any(|cvm| cvm.name == name) {
        return Answer::error(409, "ERR-01-004", "A CVM of this name exists in the workspace");
    }
    let hash = compose_hash(&manifest);
    let onchain = matches!(text("kms").as_deref(), Some("ETHEREUM" | "BASE"));
    let app = (!onchain).then(|| Address::from_slice(&keccak256(format!("{name}{hash}"))[..20]));
    let number = |name: &str, usual: u64| body.get(name).and_then(Value::as_u64).unwrap_or(usual);
    let usual = More::default();
    let more = More {
        vcpu: number("vcpu", usual.vcpu),
        memory: number("memory", usual.memory),
        disk_size: number("disk_size", usual.disk_size),
        listed: body.get("listed").and_then(Value::as_bool).unwrap_or(true),
        image: text("image").unwrap_or(usual.image.clone()),
        ..usual
    };
    let info = kms("kms_abc", onchain.then(|| state.contract()).flatten());
    state.wanted.push(Wanted {
        name,
        app,
        hash,
        manifest,
        more,
    });
    Answer::ok(
        json!({"app_id": app.map(bare).unwrap_or_default(), "compose_hash": hex::encode(hash),
        "app_env_encrypt_pubkey": app.map(|app| hex::encode(keccak256(bare(app)))), "kms_info": info,
        "fmspc": "00806f050000", "device_id": hex::encode(keccak256("device")),
        "os_image_hash": hex::encode(keccak256("os image")), "instance_type": "tdx.small", "teepod_id": 18,
        "kms_id": "kms_abc"}),
    )
}

fn commit(context: &Context, request: &Request) -> Answer {
    let body = object(request).unwrap_or_default();
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let app = text("app_id").and_then(|text| text.trim_start_matches("0x").parse::<Address>().ok());
    let (Some(app), Some(hash)) = (app, text("compose_hash").and_then(updates::parse_hash)) else {
        return Answer::detail(400, "Invalid payload");
    };
    let mut state = context.lock();
    if let Some(there) = state.cvms.iter().find(|cvm| cvm.app == app) {
        return if there.first_hash() == hash {
            Answer::ok(life::vm(there))
        } else {
            Answer::error(409, "ERR-03-007", "The app id is in use with another compose hash")
        };
    }
    let fits = |wanted: &&Wanted| wanted.hash == hash && wanted.app.is_none_or(|its| its == app);
    let Some(wanted) = state.wanted.iter().rev().find(fits).cloned() else {
        return Answer::detail(422, "Provision data not found");
    };
    let template = state.cvms.first().and_then(|cvm| cvm.kms.clone());
    let cvm = state.make(Cvm {
        name: wanted.name,
        app,
        kms: if wanted.app.is_some() { None } else { template },
        manifest: wanted.manifest,
        compose_hash: hash,
        more: More {
            encrypted_env: text("encrypted_env").map(str::to_owned),
            ..wanted.more
        },
        ..Cvm::blank()
    });
    if cvm.kms.is_some() {
        let operation = state.record(&cvm.uuid, "create", "running");
        state.cvm_mut(&cvm.uuid).progress = Some(operation);
        drop(state);
        tokio::spawn(first_boot(context.clone(), cvm.uuid.clone()));
    } else {
        drop(state);
        context.operate(&cvm, "create", ("starting", "running"), |_| {});
    }
    let state = context.lock();
    Answer::ok(life::vm(state.find(&cvm.uuid)[0]))
}

/// A CVM that a contract guards boots for the first time: the contract has to let it, and its guest finds what it can open.
async fn first_boot(context: Context, uuid: String) {
    let time = context.lock().boot_time;
    tokio::time::sleep(time).await;
    let Some(cvm) = context.lock().find_mut(&uuid).cloned() else {
        return;
    };
    let allowed = approval::may_boot(&cvm, cvm.compose_hash).await;
    let blob = cvm.more.encrypted_env.as_deref();
    let opened = cvm
        .kms
        .as_ref()
        .zip(blob)
        .map(|(kms, blob)| kms.keys.boot(cvm.app, blob, &cvm.manifest));
    let outcome = allowed.and_then(|()| opened.unwrap_or_else(|| Ok(cvm.environment.clone())));
    let mut state = context.lock();
    let Some(cvm) = state.find_mut(&uuid) else { return };
    let operation = cvm.progress.take().unwrap_or_default();
    "running".clone_into(&mut cvm.status);
    let mut failed = None;
    match outcome {
        Ok(environment) => cvm.environment = environment,
        Err(why) => failed = Some(cvm.boot_error.insert(why).clone()),
    }
    state.end(&operation, failed.as_deref());
}

fn instance_ids(context: &Context, request: &Request) -> Answer {
    let Some(body) = object(request) else {
        return updates::invalid("body", "Input should be a valid dictionary");
    };
    let asked = body.get("cvm_ids").and_then(Value::as_array).cloned();
    let state = context.lock();
    let chosen: Vec<&Cvm> = match &asked {
        Some(ids) => ids
            .iter()
            .filter_map(Value::as_str)
            .flat_map(|id| state.find(id))
            .collect(),
        None => state.cvms.iter().collect(),
    };
    let items: Vec<Value> = chosen.iter().map(|cvm| refreshed(cvm)).collect();
    Answer::ok(
        json!({"total": items.len(), "scanned": items.len(), "updated": 0, "unchanged": items.len(),
        "skipped": 0, "conflicts": 0, "errors": 0, "items": items}),
    )
}

fn kms(id: &str, contract: Option<(u64, Address)>) -> Value {
    json!({"id": id, "slug": if contract.is_some() { "kms-base-prod9" } else { "phala-prod7" },
        "url": "https://kms.sim.invalid", "version": "v0.5.7", "chain_id": contract.map(|(chain, _)| chain),
        "kms_contract_address": contract.map(|(_, contract)| contract.to_string()), "gateway_app_id": null})
}

fn on_chain(context: &Context, chain: &str) -> Answer {
    let state = context.lock();
    let Some((chain_id, contract)) = state.contract().filter(|_| chain == "base") else {
        return Answer::detail(400, "Unsupported chain name");
    };
    let first = &state.cvms[0];
    Answer::ok(json!({"chain_name": chain, "chain_id": chain_id, "contracts": [{
        "contract_address": contract.to_string(), "chain_id": chain_id, "chain_name": chain,
        "devices": [{"device_id": hex::encode(first.device), "node_name": "sim1", "on_chain_allowed": null}],
        "os_images": [{"name": first.more.image, "version": "0.5.7", "os_image_hash": hex::encode(first.os_image),
            "on_chain_allowed": true}]}]}))
}

fn next_app_ids(request: &Request) -> Answer {
    let Some(count @ 1..=20) = query(request, "counts").map_or(Some(1_u64), |text| text.parse().ok()) else {
        return updates::invalid("counts", "Input should be less than or equal to 20");
    };
    let id =
        |nonce: u64| json!({"app_id": bare(Address::from_slice(&keccak256(nonce.to_string())[..20])), "nonce": nonce});
    Answer::ok(json!({"app_ids": (0..count).map(id).collect::<Vec<_>>()}))
}

fn nodes(context: &Context) -> Answer {
    let state = context.lock();
    let images = [json!({"name": IMAGES[0], "is_dev": false, "version": [0, 5, 7], "os_image_hash": null})];
    let node = |(id, name, seed): (u64, &str, &str)| {
        json!({"teepod_id": id, "name": name, "listed": true, "resource_score": 0.9, "remaining_vcpu": 30.0,
            "remaining_memory": 65536.0, "remaining_cvm_slots": 7, "images": images, "support_onchain_kms": true,
            "fmspc": null, "device_id": hex::encode(keccak256(seed)), "region_identifier": "sim",
            "default_kms": "kms_abc", "kms_list": ["kms_abc"]})
    };
    let nodes: Vec<Value> = NODES.into_iter().map(node).collect();
    Answer::ok(
        json!({"tier": "pro", "capacity": {"max_instances": 10, "max_vcpu": 64, "max_memory": 131_072,
        "max_disk": 1000}, "nodes": nodes, "kms_list": [kms("kms_abc", state.contract())]}),
    )
}

impl State {
    /// Chain and contract of the first CVM's KMS.
    fn contract(&self) -> Option<(u64, Address)> {
        let kms = self.cvms.iter().find_map(|cvm| cvm.kms.as_ref())?;
        Some((kms.chain_id, kms.contract))
    }

    /// Gives a new CVM its number and names, and keeps it.
    pub(super) fn make(&mut self, cvm: Cvm) -> Cvm {
        let number = 1000 + self.next();
        let seed = keccak256(format!("made {number}"));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&seed[..16]);
        let name = if self.cvms.iter().any(|there| there.name == cvm.name) {
            format!("{}-{number}", cvm.name)
        } else {
            cvm.name
        };
        let made = Cvm {
            number,
            uuid: uuid::Builder::from_random_bytes(bytes).into_uuid().simple().to_string(),
            instance_id: hex::encode(&seed[12..]),
            status: "starting".to_owned(),
            name,
            ..cvm
        };
        self.cvms.push(made.clone());
        made
    }
}
