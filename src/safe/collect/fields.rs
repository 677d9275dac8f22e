//! Fields of JSON as several kinds of file write them.

use alloy::primitives::{Address, B256, U256};
use serde_json::{Map, Value};

use super::error::{CollectError, wrong};
use super::found::digits;
use crate::safe::builder_file;

pub(super) type Object = Map<String, Value>;

pub(super) fn required<'a>(object: &'a Object, key: &str, path: &str) -> Result<&'a str, CollectError> {
    let text = object.get(key).and_then(Value::as_str);
    text.ok_or_else(|| wrong(format!("{path}{key}"), "missing or no string"))
}

pub(super) fn text<'a>(object: &'a Object, key: &str) -> Result<&'a str, CollectError> {
    required(object, key, "")
}

pub(super) fn address(text: &str, path: &str) -> Result<Address, CollectError> {
    builder_file::address(text).ok_or_else(|| wrong(path, "no address, or its capitals are wrong"))
}

pub(super) fn hash(text: &str, path: &str) -> Result<B256, CollectError> {
    let bytes = text.strip_prefix("0x").and_then(digits);
    let hash = bytes.and_then(|bytes| B256::try_from(bytes.as_slice()).ok());
    hash.ok_or_else(|| wrong(path, "no hash of 32 bytes with 0x before it"))
}

/// Decimal digits as everybody writes them: no sign, no leading zero.
pub(super) fn decimal(text: &str) -> Option<U256> {
    builder_file::decimal(text)
}
