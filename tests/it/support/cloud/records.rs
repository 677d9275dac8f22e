//! CVM records as the API's versions shape them, and error bodies.

use serde_json::{Value, json};

use super::model::{Cvm, Lies, bare};

/// `GET /cvms/{id}` for the version that the request names.
pub(super) fn cvm(cvm: &Cvm, version: &str, lies: &Lies) -> Value {
    let mut record = if version == "2025-10-28" {
        flat(cvm, lies)
    } else {
        nested(cvm, lies)
    };
    if let Some(edit) = &lies.edit_cvm {
        edit(&mut record);
    }
    record
}

pub(super) fn flat(cvm: &Cvm, lies: &Lies) -> Value {
    json!({
        "id": cvm.number, "name": cvm.name, "status": cvm.status, "in_progress": cvm.progress.is_some(),
        "teepod_id": cvm.node().0, "teepod": {"id": cvm.node().0, "name": cvm.node().1, "region_identifier": "sim"},
        "app_id": bare(cvm.app), "vm_uuid": cvm.uuid, "instance_id": cvm.instance_id,
        "vcpu": cvm.more.vcpu, "memory": cvm.more.memory, "disk_size": cvm.more.disk_size,
        "base_image": cvm.more.image,
        "encrypted_env_pubkey": cvm.kms.is_none().then(|| "ab".repeat(32)),
        "listed": cvm.more.listed, "instance_type": "tdx.small",
        "public_sysinfo": cvm.manifest.get("public_sysinfo"), "public_logs": cvm.manifest.get("public_logs"),
        "kms_info": kms_info(cvm, lies, false), "contract_address": cvm.kms.as_ref().map(|_| bare(cvm.app)),
        "deployer_address": null, "public_urls": [], "gateway_domain": "sim.invalid",
        "machine_info": null, "updated_at": null,
    })
}

pub(super) fn nested(cvm: &Cvm, lies: &Lies) -> Value {
    let kms = cvm.kms.as_ref().map(|kms| {
        json!({
            "chain_id": lies.chain_id.unwrap_or(kms.chain_id),
            "dstack_kms_address": contract(cvm, lies),
            "dstack_app_address": format!("0x{}", bare(cvm.app)),
            "deployer_address": null, "rpc_endpoint": null, "encrypted_env_pubkey": null,
        })
    });
    let progress = cvm
        .progress
        .as_ref()
        .map(|id| json!({"target": "running", "started_at": "2026-11-21T00:00:00Z", "correlation_id": id}));
    json!({
        "id": cvm.hashed_id(), "name": cvm.name, "app_id": bare(cvm.app), "vm_uuid": cvm.dashed_uuid(),
        "instance_id": cvm.instance_id,
        "resource": {"instance_type": "tdx.small", "vcpu": cvm.more.vcpu,
            "memory_in_gb": cvm.more.memory as f64 / 1024.0, "disk_in_gb": cvm.more.disk_size, "gpus": 0,
            "compute_billing_price": "0.058", "billing_period": "hourly"},
        "node_info": {"object_type": "node", "id": cvm.node().0, "name": cvm.node().1, "region": "sim",
            "device_id": hex::encode(cvm.device), "ppid": null, "status": "ONLINE", "version": "0.5.7"},
        "os": {"name": cvm.more.image, "version": "0.5.7", "is_dev": cvm.more.image.contains("-dev"),
            "os_image_hash": hex::encode(cvm.os_image)},
        "kms_type": if cvm.kms.is_some() { "base" } else { "phala" },
        "kms_info": kms, "status": cvm.status, "progress": progress,
        "compose_hash": hex::encode(cvm.compose_hash), "gateway": {"base_domain": "sim.invalid", "cname": null},
        "services": [], "endpoints": [], "public_logs": true, "public_sysinfo": true, "public_tcbinfo": true,
        "gateway_enabled": true, "secure_time": false, "listed": cvm.more.listed, "storage_fs": "zfs",
        "workspace": {"object_type": "workspace", "id": "ws_1", "name": "sim", "slug": "sim"},
        "creator": {"object_type": "user", "id": "usr_1", "username": "sim"},
    })
}

/// `kms_info` in its full shape, as 465 and the older record have it.
pub(super) fn kms_info(cvm: &Cvm, lies: &Lies, short: bool) -> Value {
    let Some(kms) = &cvm.kms else {
        return json!({"id": "kms_phala", "slug": "phala-prod7", "url": "https://kms.sim.invalid", "version": "v0.5.7",
            "chain_id": null, "kms_contract_address": null, "gateway_app_id": null});
    };
    let (chain_id, address) = (lies.chain_id.unwrap_or(kms.chain_id), contract(cvm, lies));
    if short {
        return json!({"chain_id": chain_id, "kms_contract_address": address});
    }
    json!({"id": "kms_abc", "slug": "kms-base-prod9", "url": "https://kms.sim.invalid", "version": "v0.5.7",
        "chain_id": chain_id, "kms_contract_address": address,
        "gateway_app_id": "0x0000000000000000000000000000000000000077"})
}

/// `GET /cvms/{id}/state` without a target.
pub(super) fn state(cvm: &Cvm) -> Value {
    let booted = if cvm.status == "running" { "done" } else { "booting" };
    json!({"id": cvm.uuid, "instance_id": cvm.instance_id, "name": cvm.name, "status": cvm.status, "uptime": "1m",
        "exited_at": "", "boot_progress": booted, "boot_error": cvm.boot_error.clone().unwrap_or_default(),
        "shutdown_progress": ""})
}

fn contract(cvm: &Cvm, lies: &Lies) -> Value {
    let honest = cvm.kms.as_ref().map(|kms| kms.contract.to_string());
    json!(lies.kms_contract.clone().or(honest))
}
