//! Reading records leniently: what is missing is `None`, what is there and names a hash, an address or a chain has to
//! be one. Pure.

use alloy::primitives::{Address, B256};
use serde_json::Value;

use super::error::{CloudError, LINE};
use super::id::AnyId;
use crate::compose::ComposeHash;
use crate::text::shorten;

/// Longer than any name that the API gives something, bytes.
const LONGEST_NAME: usize = 1024;

/// What stands for the contract of Phala's own KMS, which has none (`js/src/types/kms_contract.ts` of Phala-Network/phala-cloud).
const OFF_CHAIN: &str = "phala";

/// A value that is there and cannot be what it should be, in words.
#[derive(Debug)]
pub(super) enum Malformed {
    /// The answer has another shape than it should.
    Shape(String),
    /// A hash, app, chain, contract or device that cannot be one.
    Identity(String),
}

impl Malformed {
    /// The error of the answer that holds it.
    pub(super) fn in_answer_to(self, request: &str, status: u16) -> CloudError {
        let request = request.to_owned();
        match self {
            Self::Shape(what) => CloudError::Unexpected { request, status, what },
            Self::Identity(what) => CloudError::Identity { request, what },
        }
    }
}

/// The first of these places (JSON pointers, RFC 6901) that holds something: not null, not an empty text.
pub(super) fn pick<'a>(record: &'a Value, places: &[&str]) -> Option<&'a Value> {
    places
        .iter()
        .filter_map(|place| record.pointer(place))
        .find(|value| !value.is_null() && value.as_str() != Some(""))
}

/// A text for people, escaped; numbers are texts too.
pub(super) fn text(record: &Value, places: &[&str]) -> Option<String> {
    match pick(record, places)? {
        Value::String(text) => Some(shorten(text, LINE)),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A name that is given back as it came, so nothing of it is changed; what shows it escapes it. None that is longer than any
/// name.
pub(super) fn exact(record: &Value, place: &str) -> Option<String> {
    match pick(record, &[place])? {
        Value::String(text) => Some(text.clone()).filter(|text| text.len() <= LONGEST_NAME),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A text as it came, of many lines perhaps.
pub(super) fn document(record: &Value, place: &str) -> Option<String> {
    record.pointer(place)?.as_str().map(str::to_owned)
}

pub(super) fn flag(record: &Value, places: &[&str]) -> Option<bool> {
    pick(record, places)?.as_bool()
}

/// A whole number that is not negative; also one that is written as `4.0`, as the Python client sends them.
pub(super) fn number(record: &Value, places: &[&str]) -> Option<u64> {
    let value = pick(record, places)?;
    value.as_u64().or_else(|| {
        let float = value.as_f64().filter(|float| float.fract() == 0.0)?;
        format!("{float:.0}").parse().ok()
    })
}

/// An id that is a number or a text.
pub(super) fn id(record: &Value, places: &[&str]) -> Option<AnyId> {
    number(record, places)
        .map(AnyId::Number)
        .or_else(|| text(record, places).map(AnyId::Text))
}

/// Texts of a list; what is no text is left out.
pub(super) fn texts(record: &Value, place: &str) -> Vec<String> {
    let items = record.pointer(place).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| text(item, &[""])).collect()
}

/// An app id or contract address: 40 hex digits, with or without `0x` or `app_`.
pub(super) fn address(record: &Value, places: &[&str]) -> Result<Option<Address>, Malformed> {
    let Some(value) = pick(record, places) else {
        return Ok(None);
    };
    let digits = value.as_str().map(|text| text.strip_prefix("app_").unwrap_or(text));
    digits
        .and_then(bytes)
        .map(Address::new)
        .map(Some)
        .ok_or_else(|| malformed(places, value, "40 hex digits"))
}

/// A device id or image hash: 64 hex digits, with or without `0x`.
pub(super) fn word(record: &Value, places: &[&str]) -> Result<Option<B256>, Malformed> {
    let Some(value) = pick(record, places) else {
        return Ok(None);
    };
    value
        .as_str()
        .and_then(bytes)
        .map(|bytes| Some(B256::new(bytes)))
        .ok_or_else(|| malformed(places, value, "64 hex digits"))
}

pub(super) fn hash(record: &Value, places: &[&str]) -> Result<Option<ComposeHash>, Malformed> {
    Ok(word(record, places)?.map(|word| ComposeHash::new(word.0)))
}

/// A chain id, also as decimal text.
pub(super) fn chain_id(record: &Value, places: &[&str]) -> Result<Option<u64>, Malformed> {
    let Some(value) = pick(record, places) else {
        return Ok(None);
    };
    value
        .as_u64()
        .or_else(|| value.as_str()?.parse().ok())
        .filter(|id| *id != 0)
        .map(Some)
        .ok_or_else(|| malformed(places, value, "a chain id"))
}

/// Chain and contract of a KMS. Phala's own has neither; newer records say so by the chain 0 and the contract `phala`.
pub(super) fn kms_place(record: &Value, contract: &[&str]) -> Result<(Option<u64>, Option<Address>), Malformed> {
    if pick(record, contract).is_none_or(|contract| contract != OFF_CHAIN) {
        return Ok((chain_id(record, &["/chain_id"])?, address(record, contract)?));
    }
    match pick(record, &["/chain_id"]) {
        Some(chain) if *chain != 0 && *chain != "0" => {
            Err(malformed(&["/chain_id"], chain, "0, as Phala's own KMS has it"))
        }
        _ => Ok((None, None)),
    }
}

/// `N` bytes of hex text.
pub(super) fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .unwrap_or(text);
    let mut bytes = [0; N];
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

fn malformed(places: &[&str], value: &Value, wanted: &str) -> Malformed {
    let name = places.first().map_or("", |place| place.trim_start_matches('/'));
    let found = match value {
        Value::String(text) => format!("`{}`, {} characters", shorten(text, 80), text.chars().count()),
        Value::Number(number) => format!("the number {number}"),
        _ => "neither text nor number".to_owned(),
    };
    Malformed::Identity(format!("`{name}` is not {wanted} but {found}"))
}
