//! The history: what each CVM was made to run, as the API lists it.

use alloy::primitives::Address;
use serde_json::{Value, json};

use super::Request;
use super::model::{Cvm, Manifest, State, bare, canonical};
use super::routes::{Answer, Context};
use super::updates;

/// One time that a CVM was made to run something.
#[derive(Debug, Clone)]
pub struct Revision {
    /// Its name.
    pub id: String,
    /// The CVM, without dashes.
    pub uuid: String,
    /// The app.
    pub app: Address,
    /// What it was to run; nothing where it was pruned.
    pub manifest: Option<Manifest>,
    /// Its hash, hex.
    pub hash: String,
    /// By what kind of order.
    pub operation: &'static str,
    /// It is listed, and there is nothing behind it.
    pub is_gone: bool,
}

impl State {
    /// Remembers that a CVM is made to run something.
    pub(super) fn revise(&mut self, cvm: &Cvm, manifest: &Manifest, operation: &'static str) {
        let id = format!("rev_{:04}", self.revisions.len() + 1);
        self.revisions.push(Revision {
            id,
            uuid: cvm.uuid.clone(),
            app: cvm.app,
            manifest: Some(manifest.clone()),
            hash: hex::encode(super::compose_hash(manifest)),
            operation,
            is_gone: false,
        });
    }
}

/// `GET /apps/{app}/revisions` and `GET /apps/{app}/revisions/{id}`.
pub(super) fn route(context: &Context, app: Address, request: &Request, rest: &[&str]) -> Option<Answer> {
    let state = context.lock();
    let of_app: Vec<(usize, &Revision)> = state
        .revisions
        .iter()
        .enumerate()
        .filter(|(_, one)| one.app == app)
        .collect();
    match (request.method.as_str(), rest) {
        ("GET", ["revisions"]) => {
            let number = |name: &str, or: usize| {
                let text = updates::query(request, name);
                text.and_then(|text| text.parse().ok()).unwrap_or(or)
            };
            let (page, size) = (number("page", 1), number("page_size", 50));
            if page == 0 || size == 0 || size > 1000 {
                return Some(updates::invalid(
                    "page_size",
                    "Input should be less than or equal to 1000",
                ));
            }
            let newest = of_app.iter().rev().skip((page - 1) * size).take(size);
            let items: Vec<Value> = newest.map(|(at, one)| record(&state, *at, one)).collect();
            let total = of_app.len();
            Some(Answer::ok(
                json!({"revisions": items, "total": total, "page": page, "page_size": size,
                "total_pages": total.div_ceil(size)}),
            ))
        }
        ("GET", ["revisions", id]) => {
            let Some((at, one)) = of_app.iter().find(|(_, one)| one.id == *id && !one.is_gone) else {
                return Some(Answer::detail(404, "Revision not found"));
            };
            let mut body = record(&state, *at, one);
            let raw = updates::query(request, "raw_compose_file").as_deref() == Some("true");
            body["compose_file"] = match &one.manifest {
                None => Value::Null,
                Some(manifest) if raw => json!(canonical(manifest)),
                Some(manifest) => Value::Object(manifest.clone()),
            };
            body["encrypted_env"] = json!("");
            body["user_config"] = json!("");
            Some(Answer::ok(body))
        }
        _ => None,
    }
}

fn record(state: &State, at: usize, one: &Revision) -> Value {
    let cvm = state.cvms.iter().find(|cvm| cvm.uuid == one.uuid);
    let uuid = cvm.map_or_else(|| one.uuid.clone(), Cvm::dashed_uuid);
    json!({"revision_id": one.id, "app_id": bare(one.app), "vm_uuid": uuid, "compose_hash": one.hash,
        "created_at": format!("2026-11-{:02}T{:02}:00:00Z", 1 + at / 24 % 28, at % 24), "trace_id": null,
        "operation_type": one.operation,
        "triggered_by": {"object_type": "user", "id": "usr_1", "username": "sim"},
        "cvm": {"object_type": "cvm", "vm_uuid": uuid, "app_id": bare(one.app), "name": cvm.map(|cvm| &cvm.name)},
        "workspace": {"object_type": "workspace", "id": "ws_1", "name": "sim"}})
}
