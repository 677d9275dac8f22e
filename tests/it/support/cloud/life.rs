//! A CVM's life, its operations, and what it says of itself.

use serde_json::{Value, json};

use super::Request;
use super::model::{Cvm, Operation, State, bare};
use super::routes::{Answer, Context};
use super::updates::{self, query};

/// Routes below `/cvms/{id}` of this file; `None` when it has none for them.
pub(super) fn route(context: &Context, cvm: &Cvm, request: &Request, rest: &[&str]) -> Option<Answer> {
    Some(match (request.method.as_str(), rest) {
        ("POST", ["start"]) => start(context, cvm),
        ("POST", ["stop"]) => context.order(cvm, "power_off", ("stopping", "stopped")),
        ("POST", ["shutdown"]) => unless_busy(cvm, || context.order(cvm, "shutdown", ("stopping", "stopped"))),
        ("POST", ["restart"]) => restart(context, cvm, request),
        ("DELETE", []) => delete(context, cvm),
        ("GET", ["operations"]) => operations(context, cvm, request),
        ("GET", ["operation-status"]) => {
            Answer::ok(json!({"status": cvm.progress.as_ref().map_or("idle", |_| "busy")}))
        }
        ("POST", ["operations", "cancel"]) => cancel(context, cvm),
        ("GET", ["stats"]) => Answer::ok(stats(cvm)),
        ("GET", ["network"]) => Answer::ok(network(cvm)),
        ("GET", ["attestation"]) => {
            let mut shown = attestation(cvm);
            let edit = context.lock().lies.edit_attestation.clone();
            edit.inspect(|edit| edit(&mut shown));
            Answer::ok(shown)
        }
        _ => return None,
    })
}

/// The record that lifecycle orders answer with.
pub(super) fn vm(cvm: &Cvm) -> Value {
    json!({"id": cvm.number, "name": cvm.name, "status": cvm.status, "teepod_id": 18,
        "teepod": {"id": 18, "name": "sim1", "region_identifier": "sim"}, "user_id": 1, "app_id": bare(cvm.app),
        "vm_uuid": cvm.uuid, "instance_id": cvm.instance_id, "app_url": null, "base_image": cvm.more.image,
        "vcpu": cvm.more.vcpu, "memory": cvm.more.memory, "disk_size": cvm.more.disk_size, "manifest_version": 2,
        "version": "1.0.0", "runner": "docker-compose",
        "docker_compose_file": cvm.manifest.get("docker_compose_file"), "features": ["kms", "tproxy-net"],
        "created_at": "2026-11-21T00:00:00Z", "encrypted_env_pubkey": null, "listed": cvm.more.listed})
}

fn unless_busy(cvm: &Cvm, act: impl FnOnce() -> Answer) -> Answer {
    if cvm.progress.is_some() {
        return Answer::detail(409, "Another operation is in progress");
    }
    act()
}

fn start(context: &Context, cvm: &Cvm) -> Answer {
    unless_busy(cvm, || {
        if cvm.status == "running" {
            return Answer::detail(400, "CVM is already running");
        }
        context.order(cvm, "power_on", ("starting", "running"))
    })
}

fn restart(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    if !body["force"].is_boolean() {
        return updates::invalid("force", "Input should be a valid boolean");
    }
    unless_busy(cvm, || context.order(cvm, "restart", ("restarting", "running")))
}

fn delete(context: &Context, cvm: &Cvm) -> Answer {
    context.lock().cvms.retain(|one| one.uuid != cvm.uuid);
    Answer {
        status: 204,
        body: Value::Null,
    }
}

fn operations(context: &Context, cvm: &Cvm, request: &Request) -> Answer {
    let limit: usize = match query(request, "limit").map(|text| text.parse()) {
        None => 50,
        Some(Ok(limit @ 1..=500)) => limit,
        Some(_) => return updates::invalid("limit", "Input should be between 1 and 500"),
    };
    let from: usize = query(request, "cursor").and_then(|text| text.parse().ok()).unwrap_or(0);
    let state = context.lock();
    let kinds: Vec<String> = url::form_urlencoded::parse(request.query.as_bytes())
        .filter(|(name, _)| name == "operation_types")
        .map(|(_, kind)| kind.into_owned())
        .collect();
    let all: Vec<Value> = state
        .operations
        .iter()
        .rev()
        .filter(|one| one.uuid == cvm.uuid && (kinds.is_empty() || kinds.contains(&one.kind)))
        .map(Operation::record)
        .collect();
    let next = (from + limit < all.len()).then(|| (from + limit).to_string());
    let items: Vec<Value> = all.iter().skip(from).take(limit).cloned().collect();
    Answer::ok(json!({"items": items, "next_cursor": next, "total": all.len()}))
}

fn cancel(context: &Context, cvm: &Cvm) -> Answer {
    let Some(correlation) = cvm.progress.clone() else {
        return Answer::ok(json!({"cancelled": false, "correlation_id": null}));
    };
    let mut state = context.lock();
    state.end(&correlation, Some("cancelled"));
    if let Some(cvm) = state.find_mut(&cvm.uuid) {
        cvm.progress = None;
        "stopped".clone_into(&mut cvm.status);
    }
    Answer::ok(json!({"cancelled": true, "correlation_id": correlation}))
}

fn stats(cvm: &Cvm) -> Value {
    let disks = [json!({"name": "vda", "mount_point": "/", "total_size": 40, "free_size": 20})];
    json!({"is_online": cvm.status == "running", "is_public": true, "error": null, "status": cvm.status,
        "in_progress": cvm.progress.is_some(), "boot_progress": null, "boot_error": cvm.boot_error,
        "sysinfo": {"os_name": "dstack", "os_version": "0.5.7", "kernel_version": "6.9", "cpu_model": "sim",
            "num_cpus": cvm.more.vcpu, "total_memory": 4_000_000_000_u64, "available_memory": 1, "used_memory": 2,
            "free_memory": 3, "total_swap": 0, "used_swap": 0, "free_swap": 0, "uptime": 60, "loadavg_one": 1,
            "loadavg_five": 1, "loadavg_fifteen": 1, "disks": disks}})
}

fn network(cvm: &Cvm) -> Value {
    let (app, instance) = (bare(cvm.app), &cvm.instance_id);
    json!({"is_online": cvm.status == "running", "is_public": true, "error": null, "internal_ip": "10.0.0.7",
        "latest_handshake": "5s ago", "public_urls": [{"app": format!("https://{app}-80.sim.invalid"),
            "instance": format!("https://{instance}-80.sim.invalid")}]})
}

fn attestation(cvm: &Cvm) -> Value {
    let event = json!({"imr": 3, "event_type": 134_217_729, "digest": "", "event": "compose-hash",
        "event_payload": hex::encode(cvm.compose_hash)});
    let register = "cd".repeat(48);
    json!({"name": cvm.name, "is_online": true, "is_public": true, "error": null, "app_certificates": [],
        "compose_file": null, "tcb_info": {"mrtd": register, "rootfs_hash": null, "rtmr0": register, "rtmr1": register,
            "rtmr2": register, "rtmr3": register, "event_log": [event],
            "app_compose": super::model::canonical(&cvm.manifest)}})
}

impl Operation {
    fn record(&self) -> Value {
        let status = match (&self.ended, &self.error) {
            (false, _) => "in_progress",
            (true, None) => "completed",
            (true, Some(_)) => "failed",
        };
        json!({"correlation_id": self.id, "operation_type": self.kind, "target_state": self.target, "triggered_by": 1,
            "started_at": "2026-11-21T00:00:00Z", "completed_at": self.ended.then_some("2026-11-21T00:00:01Z"),
            "duration_ms": self.ended.then_some(1000), "status": status, "error_message": self.error,
            "sub_operations": [], "events": [], "instance_name": "x", "compose_hash": null})
    }
}

impl State {
    /// A CVM that may have been deleted meanwhile.
    pub(super) fn find_mut(&mut self, uuid: &str) -> Option<&mut Cvm> {
        self.cvms.iter_mut().find(|cvm| cvm.uuid == uuid)
    }
    /// Writes a new operation down.
    pub(super) fn record(&mut self, uuid: &str, kind: &str, target: &str) -> String {
        let id = format!("corr_{:06}", self.next());
        self.operations.push(Operation {
            id: id.clone(),
            uuid: uuid.to_owned(),
            kind: kind.to_owned(),
            target: target.to_owned(),
            ended: false,
            error: None,
        });
        id
    }
    /// An operation is over.
    pub(super) fn end(&mut self, id: &str, error: Option<&str>) {
        if let Some(operation) = self.operations.iter_mut().find(|one| one.id == id) {
            operation.ended = true;
            operation.error = error.map(str::to_owned);
        }
    }
}

impl Context {
    /// Begins an order and answers with the record.
    fn order(&self, cvm: &Cvm, kind: &str, states: (&str, &str)) -> Answer {
        self.operate(cvm, kind, states, |_| {});
        let state = self.lock();
        let now = state.cvms.iter().find(|one| one.uuid == cvm.uuid).cloned();
        Answer::ok(vm(&now.unwrap_or_else(|| cvm.clone())))
    }

    /// Begins an operation: `during` at once, `after` and `change` when the boot time has passed.
    pub(super) fn operate(
        &self,
        cvm: &Cvm,
        kind: &str,
        (during, after): (&str, &str),
        change: impl FnOnce(&mut Cvm) + Send + 'static,
    ) -> String {
        let mut state = self.lock();
        let id = state.record(&cvm.uuid, kind, after);
        let time = state.boot_time;
        if let Some(cvm) = state.find_mut(&cvm.uuid) {
            during.clone_into(&mut cvm.status);
            cvm.progress = Some(id.clone());
        }
        if time.is_zero() {
            if let Some(cvm) = state.find_mut(&cvm.uuid) {
                cvm.progress = None;
                after.clone_into(&mut cvm.status);
                change(cvm);
            }
            state.end(&id, None);
            return id;
        }
        drop(state);
        let (context, uuid, after, mine) = (self.clone(), cvm.uuid.clone(), after.to_owned(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let mut state = context.lock();
            // A later order, or a cancellation, took its place.
            let Some(cvm) = state.find_mut(&uuid).filter(|cvm| cvm.progress.as_ref() == Some(&mine)) else {
                return;
            };
            cvm.progress = None;
            cvm.status = after;
            change(cvm);
            state.end(&mine, None);
        });
        id
    }
}
