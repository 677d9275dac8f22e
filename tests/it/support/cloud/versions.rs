//! The versions of the API: which the cloud speaks, and how its answers differ between them.

use alloy::primitives::Address;
use serde_json::{Value, json};

use super::Request;
use super::model::State;
use super::routes::{Answer, Context};

/// From here on ids of CVMs are texts everywhere.
const TEXT_IDS: &str = "2026-05-22";
/// From here on KMSs are their contracts.
const BY_CONTRACT: &str = "2026-06-23";

/// The version that a request asks for; without one the token's own.
pub(super) fn asked(request: &Request) -> &str {
    request.header("x-phala-version").unwrap_or("2025-10-28")
}

/// The refusal of a version that this cloud does not speak.
pub(super) fn refused(state: &State, request: &Request) -> Option<Answer> {
    let (oldest, newest) = &state.versions;
    let spoken = (oldest.as_str()..=newest.as_str()).contains(&asked(request));
    let error = json!({"loc": ["header", "x-phala-version"], "msg": "Unsupported API version", "type": "value_error",
        "input": asked(request)});
    (!spoken).then(|| Answer {
        status: 422,
        body: json!({ "detail": [error] }),
    })
}

/// Gives an answer the shape of the version that was asked for.
pub(super) fn shape(body: &mut Value, version: &str) {
    if version >= TEXT_IDS {
        name_ids(body);
    }
}

fn name_ids(value: &mut Value) {
    let hashed = |id: &mut Value| {
        if let Some(number) = id.as_u64() {
            *id = json!(format!("cvm_{number:08x}"));
        }
    };
    match value {
        Value::Array(items) => items.iter_mut().for_each(name_ids),
        Value::Object(members) => {
            let is_cvm = members.contains_key("vm_uuid");
            for (name, member) in members.iter_mut() {
                match name.as_str() {
                    "cvm_id" => hashed(member),
                    "id" if is_cvm => hashed(member),
                    "cvm_ids" | "skipped_cvm_ids" => member.as_array_mut().into_iter().flatten().for_each(hashed),
                    _ => name_ids(member),
                }
            }
        }
        _ => {}
    }
}

/// What stands below `/kms` where KMSs are contracts; `None` for what is the same in all versions, or in an older one.
pub(super) fn kms(context: &Context, request: &Request, parts: &[&str]) -> Option<Answer> {
    if asked(request) < BY_CONTRACT || request.method != "GET" {
        return None;
    }
    let state = context.lock();
    let known = contracts(&state);
    let find = |name: &str| known.iter().find(|kms| kms["slug"] == name || kms["id"] == name);
    let unknown = || Answer::detail(404, "KMS contract not found");
    Some(match parts {
        ["kms"] => {
            let wanted = super::updates::query(request, "is_onchain");
            let onchain = |kms: &&Value| (kms["chain_id"] != 0).to_string();
            let chosen = known.iter().filter(|kms| wanted.as_ref().is_none_or(|wanted| *wanted == onchain(kms)));
            super::fleet::page(request, &chosen.cloned().collect::<Vec<_>>())
        }
        ["kms", "phala", "next_app_id"] | ["kms", "on-chain", _] => return None,
        ["kms", name] => find(name).map_or_else(unknown, |kms| Answer::ok(kms.clone())),
        ["kms", name, "nodes"] => find(name).map_or_else(unknown, |kms| {
            let (id, slug) = match kms["chain_id"] == 0 {
                true => ("kms_phala", "phala-prod7"),
                false => ("kms_abc", "kms-base-prod9"),
            };
            let node = json!({"id": id, "slug": slug, "url": "https://kms.sim.invalid", "version": "v0.5.7", "kms_type": "base"});
            Answer::ok(json!({"items": [node], "total": 1}))
        }),
        ["kms", ..] => unknown(),
        _ => return None,
    })
}

fn contracts(state: &State) -> Vec<Value> {
    let record = |id: &str, slug: &str, place: (Value, u64), root: Option<String>| {
        json!({"id": id, "slug": slug, "label": format!("{slug} KMS"), "contract_address": place.0, "chain_id": place.1,
            "k256_pubkey": root, "ca_pubkey": null, "node_count": 1})
    };
    let mut all = vec![record("kc_phala", "phala", (json!("phala"), 0), None)];
    let guarded = state.cvms.iter().find_map(|cvm| cvm.kms.as_ref());
    all.extend(guarded.map(|kms| {
        let contract: Address = kms.contract;
        let place = (json!(contract.to_string()), kms.chain_id);
        record(
            "kc_base",
            "base",
            place,
            Some(format!("0x{}", hex::encode(kms.keys.root_key()))),
        )
    }));
    all
}
