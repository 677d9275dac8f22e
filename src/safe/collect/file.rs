//! Our own signature file: one owner's signature of one Safe transaction, and which transaction that is.

use alloy::primitives::{Address, B256, Bytes, U256};
use serde::Serialize;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::error::{CollectError, wrong};
use super::fields::{address, decimal, hash, text};
use super::found::{Form, Found, digits};
use crate::safe::signature::OwnerSignature;
use crate::safe::tx::SafeTx;
use crate::text::shorten;

/// What the file says that it is.
const SCHEMA: &str = "countersign.signature/1";
/// What it holds, in this order.
const KEYS: [&str; 7] = ["schema", "chainId", "safe", "nonce", "safeTxHash", "owner", "signature"];

/// The signature of one owner as a file that can be sent by any way; it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SignatureFile {
    schema: &'static str,
    chain_id: String,
    safe: String,
    nonce: String,
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    safe_tx_hash: B256,
    owner: String,
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    signature: Bytes,
}

impl SignatureFile {
    /// Name and version of the format.
    pub const FORMAT: &str = SCHEMA;

    /// The file for the signature of `tx` by `owner`.
    pub fn new(tx: &SafeTx, owner: Address, signature: &OwnerSignature) -> Self {
        Self {
            schema: SCHEMA,
            chain_id: tx.domain().chain_id.to_string(),
            safe: tx.domain().safe.to_checksum(None),
            nonce: tx.fields().nonce.to_string(),
            safe_tx_hash: tx.hash(),
            owner: owner.to_checksum(None),
            signature: signature.to_bytes(),
        }
    }
    /// The file's text; the same bytes whenever it is written.
    pub fn to_json(&self) -> String {
        // Strings only: there is nothing that could fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Whose signature of which transaction such a file holds, by its own word; nothing for any other file. No I/O.
    pub fn claims(bytes: &[u8]) -> Option<(B256, Address)> {
        let file: Value = serde_json::from_slice(bytes).ok()?;
        let text = |key| file.get(key).and_then(Value::as_str);
        if text("schema") != Some(SCHEMA) {
            return None;
        }
        Some((text("safeTxHash")?.parse().ok()?, text("owner")?.parse().ok()?))
    }
}

/// Reads such a file: each field once, no other.
pub(super) fn read(file: &Map<String, Value>) -> Result<Vec<Found>, CollectError> {
    let schema = file.get("schema").and_then(Value::as_str);
    let schema = schema.ok_or_else(|| wrong("schema", "no string"))?;
    if schema != SCHEMA {
        let found = shorten(schema, 40);
        return Err(CollectError::Schema { found });
    }
    if let Some(key) = file.keys().find(|key| !KEYS.contains(&key.as_str())) {
        let key = shorten(key, 40);
        return Err(wrong(key, "not known"));
    }
    let number = |key: &'static str| -> Result<U256, CollectError> {
        decimal(text(file, key)?).ok_or_else(|| wrong(key, "no string of decimal digits"))
    };
    let chain_id = u64::try_from(number("chainId")?).ok();
    let signature = text(file, "signature")?;
    let signature = signature.strip_prefix("0x").and_then(digits);
    Ok(vec![Found {
        bytes: Form::Bytes(signature.ok_or_else(|| wrong("signature", "no bytes with 0x before them"))?),
        claims: Claims {
            safe_tx_hash: Some(hash(text(file, "safeTxHash")?, "safeTxHash")?),
            chain_id: Some(chain_id.ok_or_else(|| wrong("chainId", "too large for a chain id"))?),
            safe: Some(address(text(file, "safe")?, "safe")?),
            nonce: Some(number("nonce")?),
            owner: Some(address(text(file, "owner")?, "owner")?),
            fields: None,
        },
        source: "signature file",
    }])
}
