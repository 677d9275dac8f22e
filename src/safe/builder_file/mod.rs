//! The batch file of Safe{Wallet}'s Transaction Builder: written so that it imports without a banner, read so that
//! nothing else is signed than what it shows.
//!
//! The file names no nonce and no hash. A batch that was made from it is recognised by its content
//! ([`SafeTx::expect_calls`](super::SafeTx::expect_calls)). Pure.

mod checksum;
mod error;
mod method;
mod remark;

use alloy::primitives::{Address, Bytes, hex};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

pub use error::BuilderFileError;
pub(super) use method::{address, decimal};
pub use remark::{Mislabelled, Remark};

use error::{MAX_BYTES, wrong};
use remark::{Encoded, Odd};

use crate::chain::Call;
use crate::json;
use crate::text;

/// Format, as the builder writes it; part of the checksum, not checked by anybody.
const FORMAT: &str = "1.0";
/// The builder's own version, as a file from it says; not checked by anybody.
const BUILDER: &str = "1.18.3";

/// A batch of calls for one Safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Chain id.
    pub chain_id: u64,
    /// The Safe; the builder lets a file be imported into any other.
    pub safe: Option<Address>,
    /// What the wallet shows as the batch's name. Not part of the checksum.
    pub name: String,
    /// A description; the wallet does not show it.
    pub description: String,
    /// When it was made, to the millisecond; a file that somebody's script made need not say.
    pub created_at: Option<Timestamp>,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// How calls are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By method and arguments where the method is one of an upgrade, so that signers see its name; otherwise raw.
    Method,
    /// Calldata only.
    Raw,
}

/// What a file says about its own checksum. A wrong one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It is right.
    Right,
    /// It has none: the wallet shows a warning, and so should the reader.
    Missing,
}

/// A file that somebody else made, and what is odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// What the wallet makes of it.
    pub batch: Batch,
    /// What it says about its own checksum.
    pub checksum: Checksum,
    /// In what it is not as the builder writes it, although the wallet imports it all the same.
    pub remarks: Vec<Remark>,
    /// Calls whose data is not what their method says: the wallet executes the data.
    pub mislabelled: Vec<Mislabelled>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    version: &'a str,
    chain_id: String,
    created_at: Option<i64>,
    meta: Meta<'a>,
    transactions: Vec<Entry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    name: &'a str,
    description: &'a str,
    tx_builder_version: &'a str,
    created_from_safe_address: String,
    created_from_owner_address: &'a str,
    checksum: String,
}

/// Every field is written, `null` where there is nothing: an absent key has another checksum.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    to: String,
    value: String,
    data: Option<String>,
    contract_method: Option<Value>,
    contract_inputs_values: Option<Value>,
}

/// The file for `batch`; the same bytes whenever it is written.
///
/// # Errors
/// No call, or the file would be too long to be read back.
pub fn export(batch: &Batch, form: Form) -> Result<String, BuilderFileError> {
    if batch.calls.is_empty() {
        return Err(wrong("transactions", "empty"));
    }
    let mut file = File {
        version: FORMAT,
        chain_id: batch.chain_id.to_string(),
        created_at: batch.created_at.map(Timestamp::as_millisecond),
        meta: Meta {
            name: &batch.name,
            description: &batch.description,
            tx_builder_version: BUILDER,
            created_from_safe_address: batch.safe.map(|safe| safe.to_checksum(None)).unwrap_or_default(),
            created_from_owner_address: "",
            checksum: String::new(),
        },
        transactions: batch.calls.iter().map(|call| entry(call, form)).collect(),
    };
    let unsummed = serde_json::to_value(&file).map_err(BuilderFileError::Json)?;
    file.meta.checksum = checksum::of(&unsummed).to_string();
    let mut text = text::json(&serde_json::to_string_pretty(&file).map_err(BuilderFileError::Json)?);
    text.push('\n');
    if text.len() > MAX_BYTES {
        return Err(BuilderFileError::TooLong { found: text.len() });
    }
    Ok(text)
}

/// Reads a file that somebody else made, as the wallet imports it: data wins over a method, and keys that it does not know
/// mean nothing. Every call is encoded here; what this build cannot encode is refused, where the builder would make an empty
/// call of it.
///
/// # Errors
/// See [`BuilderFileError`].
pub fn import(bytes: &[u8]) -> Result<Imported, BuilderFileError> {
    if bytes.len() > MAX_BYTES {
        return Err(BuilderFileError::TooLong { found: bytes.len() });
    }
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.starts_with('\u{feff}'));
    let file = json::parse(text.ok_or(BuilderFileError::NotUtf8)?).map_err(BuilderFileError::Json)?;
    let top = file.as_object().ok_or_else(|| wrong("the file", "no object"))?;
    if top.contains_key("data") && !top.contains_key("transactions") {
        return Err(BuilderFileError::Library);
    }
    let mut odd = Odd::default();
    odd.keys(top, "", &["version", "chainId", "createdAt", "meta", "transactions"])?;
    let meta = top.get("meta").and_then(Value::as_object);
    let meta = meta.ok_or_else(|| wrong("meta", "no object"))?;
    let checksum = compare_checksum(&file, meta)?;
    let entries = top.get("transactions").and_then(Value::as_array);
    let entries = entries.filter(|entries| !entries.is_empty());
    let entries = entries.ok_or_else(|| wrong("transactions", "no list of calls"))?;
    let calls = entries.iter().enumerate();
    let calls = calls.map(|(index, entry)| read_call(index, entry, &mut odd));
    let calls = calls.collect::<Result<_, _>>()?;
    let batch = Batch {
        chain_id: chain_id(top)?,
        safe: safe(meta)?,
        name: optional_text(meta, "name", "meta.name")?,
        description: optional_text(meta, "description", "meta.description")?,
        created_at: odd.created_at(top),
        calls,
    };
    Ok(Imported {
        batch,
        checksum,
        remarks: odd.remarks,
        mislabelled: odd.mislabelled,
    })
}

fn entry(call: &Call, form: Form) -> Entry {
    let described = match form {
        Form::Method => method::describe(&call.data),
        Form::Raw => None,
    };
    let (method, values) = described.unzip();
    Entry {
        to: call.to.to_checksum(None),
        value: call.value.to_string(),
        data: method.is_none().then(|| hex::encode_prefixed(&call.data)),
        contract_method: method,
        contract_inputs_values: values,
    }
}

fn compare_checksum(file: &Value, meta: &Map<String, Value>) -> Result<Checksum, BuilderFileError> {
    let found = optional_text(meta, "checksum", "meta.checksum")?;
    let computed = checksum::of(file);
    if found.is_empty() {
        Ok(Checksum::Missing)
    } else if found == computed.to_string() {
        Ok(Checksum::Right)
    } else {
        Err(BuilderFileError::Checksum {
            found: found.chars().take(80).collect(),
            computed,
        })
    }
}

fn read_call(index: usize, entry: &Value, odd: &mut Odd) -> Result<Call, BuilderFileError> {
    let path = |key: &str| format!("transactions[{index}].{key}");
    let entry = entry.as_object().ok_or_else(|| wrong(path("to"), "missing"))?;
    let keys = ["to", "value", "data", "contractMethod", "contractInputsValues"];
    odd.keys(entry, &path(""), &keys)?;
    let to = entry.get("to").and_then(Value::as_str).and_then(method::address);
    let value = entry.get("value").and_then(Value::as_str);
    Ok(Call {
        to: to.ok_or_else(|| wrong(path("to"), "no address, or its capitals are wrong"))?,
        value: value
            .and_then(|value| odd.number(value, &path("value")))
            .ok_or_else(|| wrong(path("value"), "no string with a number of wei"))?,
        data: read_data(index, entry, odd)?,
    })
}

/// The builder's rule: data wins over a method, unless it is empty text.
fn read_data(index: usize, entry: &Map<String, Value>, odd: &mut Odd) -> Result<Bytes, BuilderFileError> {
    let path = |key: &str| format!("transactions[{index}].{key}");
    let present = |key: &str| entry.get(key).filter(|value| !value.is_null());
    let data = match present("data") {
        None => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(method::hexadecimal(text).ok_or_else(|| wrong(path("data"), "no bytes"))?),
        Some(_) => return Err(wrong(path("data"), "no string")),
    };
    let none = Value::Object(Map::new());
    let arguments = present("contractInputsValues");
    let method = match (present("contractMethod"), &data) {
        (None, None) if arguments.is_some() => {
            return Err(wrong(path("contractInputsValues"), "without a method"));
        }
        (None, None) => return Err(wrong(path("data"), "missing, and there is no method")),
        (method, _) => method,
    };
    let Some(method) = method else {
        return Ok(data.unwrap_or_default().into());
    };
    let encoded = method::encode(index, method, arguments.unwrap_or(&none));
    let Some(data) = data.map(Bytes::from) else {
        odd.fragment(method, &path("contractMethod"));
        return encoded;
    };
    let by_method = encoded.ok();
    odd.beside(
        index,
        method,
        Encoded {
            method: by_method.as_ref(),
            data: &data,
        },
    );
    Ok(data)
}

fn chain_id(top: &Map<String, Value>) -> Result<u64, BuilderFileError> {
    let text = top.get("chainId").and_then(Value::as_str);
    let number = text.and_then(decimal).and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| wrong("chainId", "no string of decimal digits"))
}

fn safe(meta: &Map<String, Value>) -> Result<Option<Address>, BuilderFileError> {
    const FIELD: &str = "meta.createdFromSafeAddress";
    let text = optional_text(meta, "createdFromSafeAddress", FIELD)?;
    if text.is_empty() {
        return Ok(None);
    }
    let safe = method::address(&text);
    safe.map(Some)
        .ok_or_else(|| wrong(FIELD, "no address, or its capitals are wrong"))
}

/// A text that may be absent or `null`; both are empty.
fn optional_text(object: &Map<String, Value>, key: &str, path: &str) -> Result<String, BuilderFileError> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(wrong(path, "no string")),
    }
}

#[cfg(test)]
mod tests;
