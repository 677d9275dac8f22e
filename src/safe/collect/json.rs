//! Signatures in the JSON of others: what a Safe Transaction Service answers, and what the protocol kit holds.
//!
//! Fields that nobody here needs are passed over: services add some with every version.

use alloy::primitives::U256;
use serde_json::Value;

use super::claims::Claims;
use super::error::{CollectError, wrong};
use super::fields::{Object, address, decimal, hash, required};
use super::file;
use super::found::{Form, Found, bare, contract, digits};
use super::split;
use crate::json;
use crate::safe::builder_file;
use crate::safe::service;
use crate::safe::signature::OwnerSignature;
use crate::safe::tx::SafeTxFields;

const SERVICE: &str = "Safe Transaction Service";
const KIT: &str = "protocol kit";
const GATEWAY: &str = "Safe{Wallet}'s gateway";
const PARTS: &str = "r, s and v";
/// What a batch file is, for somebody who takes it for signatures.
const BATCH: &str = "a batch file of the Transaction Builder, which holds calls and no signatures; Safe{Wallet} gives what it \
    imports a nonce of its own, so that signatures made there do not count for this transaction";

/// Reads a JSON file of any of the known kinds.
pub(super) fn read(text: &str) -> Result<Vec<Found>, CollectError> {
    let value = json::parse(text).map_err(CollectError::Json)?;
    match &value {
        Value::Object(object) if object.contains_key("schema") => file::read(object),
        Value::Object(object) if object.contains_key("confirmations") => transaction(object),
        Value::Object(object) if object.contains_key("results") => page(object),
        Value::Object(object) if object.contains_key("signatures") => kit_transaction(object),
        Value::Object(object) if object.contains_key("detailedExecutionInfo") => gateway(object),
        Value::Object(object) if object.contains_key("meta") && object.contains_key("transactions") => {
            Err(CollectError::Mistaken { what: BATCH })
        }
        Value::Array(items) => items.iter().enumerate().map(|(at, item)| item_of(at, item)).collect(),
        Value::Object(object) if is_single(object) => Ok(vec![one(object, "")?]),
        Value::Object(object) => kit_map(object, &Claims::default()),
        Value::String(text) => Ok(vec![bare(digits(text).ok_or(CollectError::NotRecognised)?)]),
        _ => Err(CollectError::NotRecognised),
    }
}

/// An element of a list: a signature in one of its forms, or a pair of owner and signature.
fn item_of(at: usize, item: &Value) -> Result<Found, CollectError> {
    match item {
        Value::String(text) => digits(text)
            .map(bare)
            .ok_or_else(|| wrong(format!("[{at}]"), "no bytes")),
        Value::Object(object) if is_single(object) => one(object, &format!("[{at}].")),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(owner), signature] => kit_entry(owner, signature, &Claims::default()),
            _ => Err(CollectError::NotRecognised),
        },
        _ => Err(CollectError::NotRecognised),
    }
}

fn is_single(object: &Object) -> bool {
    let has = |key: &str| object.contains_key(key);
    split::is_split(object) || (has("signer") && has("data")) || has("signature")
}

fn one(object: &Object, path: &str) -> Result<Found, CollectError> {
    if split::is_split(object) {
        Ok(Found {
            source: PARTS,
            ..bare(split::joined(object, path)?)
        })
    } else if object.contains_key("signer") && object.contains_key("data") {
        kit(object, path, &Claims::default())
    } else if !["address", "owner"].into_iter().any(|key| object.contains_key(key)) {
        alone(object, path)
    } else if object.contains_key("address") {
        cast(object, path)
    } else {
        confirmation(object, path, &Claims::default())
    }
}

/// A signature of which the rest of its object names nobody, as web3 writes what it signed; it may be in its parts.
fn alone(object: &Object, path: &str) -> Result<Found, CollectError> {
    match object.get("signature") {
        Some(Value::Object(parts)) if split::is_split(parts) => one(parts, &format!("{path}signature.")),
        _ => {
            let bytes = digits(required(object, "signature", path)?);
            let found = bare(bytes.ok_or_else(|| wrong(format!("{path}signature"), "no bytes"))?);
            let owner = optional(object, "signer", |text, key| address(text, &format!("{path}{key}")))?;
            let claims = Claims { owner, ..found.claims };
            Ok(Found { claims, ..found })
        }
    }
}

/// A transaction as the gateway behind Safe{Wallet} tells it.
fn gateway(object: &Object) -> Result<Vec<Found>, CollectError> {
    const PATH: &str = "detailedExecutionInfo.";
    let info = object.get("detailedExecutionInfo").and_then(Value::as_object);
    let info = info.ok_or_else(|| wrong("detailedExecutionInfo", "no object"))?;
    let claims = Claims {
        safe_tx_hash: optional(info, "safeTxHash", hash)?,
        nonce: nonce(info)?,
        ..Claims::default()
    };
    let list = info.get("confirmations").and_then(Value::as_array);
    let list = list.ok_or_else(|| wrong(format!("{PATH}confirmations"), "no list"))?;
    let read = |(at, item): (usize, &Value)| {
        let path = format!("{PATH}confirmations[{at}].");
        let signer = item.pointer("/signer/value").and_then(Value::as_str);
        let signer = signer.ok_or_else(|| wrong(format!("{path}signer.value"), "missing or no string"))?;
        let owner = address(signer, &format!("{path}signer.value"))?;
        let bytes = match (item.get("signature"), item.as_object()) {
            (None | Some(Value::Null), _) | (_, None) => Form::Read(OwnerSignature::Approved { owner }),
            (Some(_), Some(item)) => Form::Bytes(prefixed(item, "signature", &path)?),
        };
        Ok(Found {
            bytes,
            claims: Claims {
                owner: Some(owner),
                ..claims.clone()
            },
            source: GATEWAY,
        })
    };
    list.iter().enumerate().map(read).collect()
}

/// What `cast wallet sign -v --json` prints; its signature has no `0x`.
fn cast(object: &Object, path: &str) -> Result<Found, CollectError> {
    let bytes = digits(required(object, "signature", path)?);
    Ok(Found {
        bytes: Form::Bytes(bytes.ok_or_else(|| wrong(format!("{path}signature"), "no bytes"))?),
        claims: Claims {
            owner: Some(address(required(object, "address", path)?, &format!("{path}address"))?),
            ..Claims::default()
        },
        source: "cast",
    })
}

/// A multisig transaction of a service, version 1 or 2, with its confirmations.
fn transaction(object: &Object) -> Result<Vec<Found>, CollectError> {
    let claims = Claims {
        safe_tx_hash: optional(object, "safeTxHash", hash)?,
        safe: optional(object, "safe", address)?,
        nonce: nonce(object)?,
        fields: fields(object)?,
        ..Claims::default()
    };
    match object.get("confirmations") {
        Some(Value::Array(list)) => confirmations(list, "confirmations", &claims),
        Some(Value::Null) => Ok(Vec::new()),
        _ => Err(wrong("confirmations", "no list")),
    }
}

/// The transaction itself, where the file has it.
fn fields(object: &Object) -> Result<Option<Box<SafeTxFields>>, CollectError> {
    if !object.contains_key("to") {
        return Ok(None);
    }
    let read = service::fields(&Value::Object(object.clone()));
    let read = read.map(|fields| Some(Box::new(fields)));
    read.ok_or_else(|| wrong("the transaction", "not one that a service writes"))
}

/// A page of confirmations, or a page with one transaction.
fn page(object: &Object) -> Result<Vec<Found>, CollectError> {
    let list = object.get("results").and_then(Value::as_array);
    let list = list.ok_or_else(|| wrong("results", "no list"))?;
    if object.get("next").is_some_and(|next| !next.is_null()) {
        return Err(wrong("next", "not null: the page is not the whole answer"));
    }
    let transactions = list.iter().filter_map(Value::as_object);
    let transactions: Vec<_> = transactions.filter(|item| item.contains_key("confirmations")).collect();
    match transactions.as_slice() {
        [] => confirmations(list, "results", &Claims::default()),
        [only] if list.len() == 1 => transaction(only),
        _ => Err(CollectError::ManyTransactions { found: list.len() }),
    }
}

fn confirmations(list: &[Value], path: &str, claims: &Claims) -> Result<Vec<Found>, CollectError> {
    let read = |(at, item): (usize, &Value)| {
        let path = format!("{path}[{at}]");
        let item = item.as_object().ok_or_else(|| wrong(path.as_str(), "no object"))?;
        confirmation(item, &format!("{path}."), claims)
    };
    list.iter().enumerate().map(read).collect()
}

fn confirmation(object: &Object, path: &str, claims: &Claims) -> Result<Found, CollectError> {
    let owner = required(object, "owner", path)?;
    let owner = address(owner, &format!("{path}owner"))?;
    let bytes = match object.get("signature") {
        // An approval that the service saw on chain and nowhere else.
        Some(Value::Null) if object.get("signatureType").and_then(Value::as_str) == Some("APPROVED_HASH") => {
            Form::Read(OwnerSignature::Approved { owner })
        }
        _ => Form::Bytes(service::without_filling(&prefixed(object, "signature", path)?).to_vec()),
    };
    let claims = Claims {
        owner: Some(owner),
        ..claims.clone()
    };
    Ok(Found {
        bytes,
        claims,
        source: SERVICE,
    })
}

/// A transaction of the protocol kit, written with its signatures: `data` is the Safe transaction.
fn kit_transaction(object: &Object) -> Result<Vec<Found>, CollectError> {
    let data = object.get("data").and_then(Value::as_object);
    let packed = object.get("signatures").is_some_and(Value::is_string);
    let claims = match (data, packed) {
        (Some(data), _) => Claims {
            nonce: nonce(data)?,
            ..Claims::default()
        },
        (None, true) => Claims::default(),
        (None, false) => return Err(wrong("data", "no object")),
    };
    match object.get("signatures") {
        Some(Value::Object(map)) if !map.is_empty() => kit_map(map, &claims),
        // What becomes of a JavaScript map that nobody turned into an object.
        Some(Value::Object(_)) => Ok(Vec::new()),
        // Packed, as a Safe takes them.
        Some(Value::String(text)) => Ok(vec![bare(digits(text).ok_or_else(|| wrong("signatures", "no bytes"))?)]),
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(at, item)| kit_item(at, item, &claims))
            .collect(),
        _ => Err(wrong("signatures", "neither a list nor an object")),
    }
}

fn kit_item(at: usize, item: &Value, claims: &Claims) -> Result<Found, CollectError> {
    match item {
        Value::Object(object) => kit(object, &format!("signatures[{at}]."), claims),
        Value::Array(pair) => match pair.as_slice() {
            [Value::String(owner), signature] => kit_entry(owner, signature, claims),
            _ => Err(wrong(format!("signatures[{at}]"), "no pair of owner and signature")),
        },
        _ => Err(wrong(format!("signatures[{at}]"), "no signature")),
    }
}

/// Signatures by owner.
fn kit_map(map: &Object, claims: &Claims) -> Result<Vec<Found>, CollectError> {
    if map.is_empty() || !map.keys().all(|key| builder_file::address(key).is_some()) {
        return Err(CollectError::NotRecognised);
    }
    map.iter()
        .map(|(owner, signature)| kit_entry(owner, signature, claims))
        .collect()
}

fn kit_entry(owner: &str, signature: &Value, claims: &Claims) -> Result<Found, CollectError> {
    let owner = builder_file::address(owner).ok_or(CollectError::NotRecognised)?;
    let path = format!("{owner}.");
    let found = match signature {
        Value::Object(object) => kit(object, &path, claims)?,
        Value::String(text) => Found {
            bytes: Form::Bytes(digits(text).ok_or_else(|| wrong(owner.to_string(), "no bytes"))?),
            claims: Claims {
                owner: Some(owner),
                ..claims.clone()
            },
            source: KIT,
        },
        _ => return Err(wrong(owner.to_string(), "no signature")),
    };
    if found.claims.owner == Some(owner) {
        Ok(found)
    } else {
        Err(wrong(
            format!("{path}signer"),
            "another owner than the one that it stands under",
        ))
    }
}

/// `EthSafeSignature`: of a contract it holds the data alone.
fn kit(object: &Object, path: &str, claims: &Claims) -> Result<Found, CollectError> {
    let signer = address(required(object, "signer", path)?, &format!("{path}signer"))?;
    let data = prefixed(object, "data", path)?;
    let bytes = match object.get("isContractSignature") {
        Some(Value::Bool(true)) => contract(signer, data),
        None | Some(Value::Bool(false)) => Form::Bytes(data),
        Some(_) => return Err(wrong(format!("{path}isContractSignature"), "neither true nor false")),
    };
    Ok(Found {
        bytes,
        claims: Claims {
            owner: Some(signer),
            ..claims.clone()
        },
        source: KIT,
    })
}

/// A nonce as version 1 (number) or 2 (string) of a service writes it.
fn nonce(object: &Object) -> Result<Option<U256>, CollectError> {
    let nonce = match object.get("nonce") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => decimal(text),
        Some(number) => number.as_u64().map(U256::from),
    };
    nonce.map(Some).ok_or_else(|| wrong("nonce", "no decimal number"))
}

fn optional<T>(
    object: &Object,
    key: &str,
    read: impl FnOnce(&str, &str) -> Result<T, CollectError>,
) -> Result<Option<T>, CollectError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => read(text, key).map(Some),
        Some(_) => Err(wrong(key, "no string")),
    }
}

fn prefixed(object: &Object, key: &str, path: &str) -> Result<Vec<u8>, CollectError> {
    let bytes = required(object, key, path)?.strip_prefix("0x").and_then(digits);
    bytes.ok_or_else(|| wrong(format!("{path}{key}"), "no bytes with 0x before them"))
}
