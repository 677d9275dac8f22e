//! A signature in its parts, as libraries hold it: r, s and v, or r and s with v in its top bit (EIP-2098). Pure.

use alloy::primitives::{B256, U256};
use serde_json::Value;

use super::error::{CollectError, wrong};
use super::fields::Object;
use super::found::digits;

/// Marks of v that a Safe knows, and those that wallets write for 27 and 28.
const KNOWN: [u64; 6] = [0, 1, 27, 28, 31, 32];

/// Names under which libraries write v: ethers, viem, web3, Ledger, eth-account.
const MARKS: [&str; 5] = ["v", "yParity", "recoveryParam", "recovery", "recid"];

/// Whether an object holds a signature in its parts.
pub(super) fn is_split(object: &Object) -> bool {
    let has = |key: &str| object.contains_key(key);
    has("r") && ((has("s") && MARKS.into_iter().any(has)) || has("yParityAndS") || has("vs") || has("_vs"))
}

/// Its 65 bytes.
pub(super) fn joined(object: &Object, path: &str) -> Result<Vec<u8>, CollectError> {
    let word = |key: &str| -> Result<[u8; 32], CollectError> {
        let found = object.get(key).and_then(word);
        found.ok_or_else(|| wrong(format!("{path}{key}"), "no number of 32 bytes in hexadecimal"))
    };
    if let Some(key) = ["yParityAndS", "vs", "_vs"]
        .into_iter()
        .find(|key| object.contains_key(*key))
        && !object.contains_key("s")
    {
        return Ok(expanded(&[word("r")?, word(key)?].concat()));
    }
    let mut marks = Vec::new();
    for key in MARKS {
        if let Some(value) = object.get(key).filter(|value| !value.is_null()) {
            let found = number(value).ok_or_else(|| wrong(format!("{path}{key}"), "no number"))?;
            marks.push(mark(found).ok_or_else(|| wrong(format!("{path}{key}"), NOT_KNOWN))?);
        }
    }
    let first = *marks.first().ok_or_else(|| wrong(format!("{path}v"), "missing"))?;
    // ethers and viem write v beside the parity.
    if marks.iter().any(|other| other % 2 != first % 2) {
        return Err(wrong(format!("{path}v"), "another one than the parity beside it"));
    }
    Ok([word("r")?.as_slice(), &word("s")?, &[first]].concat())
}

/// What is wrong with a v that no signature of a hash has.
const NOT_KNOWN: &str = "not 0, 1, 27, 28, 31 or 32: from 35 on it is that of a transaction (EIP-155), not of a hash";

/// The 65 bytes of a compact signature (EIP-2098).
pub(super) fn expanded(bytes: &[u8]) -> Vec<u8> {
    let mut all = bytes.to_vec();
    let mut v = 27;
    if let Some(top) = all.get_mut(32) {
        v += *top >> 7;
        *top &= 0x7f;
    }
    all.push(v);
    all
}

/// v as one byte, where 0 and 1 stand for 27 and 28.
fn mark(number: u64) -> Option<u8> {
    let known = KNOWN.contains(&number).then(|| u8::try_from(number).ok()).flatten()?;
    Some(if known < 2 { known + 27 } else { known })
}

/// 32 bytes in hexadecimal; libraries that hold numbers leave zeros in front out.
fn word(value: &Value) -> Option<[u8; 32]> {
    let text = value.as_str()?;
    let bare = text.strip_prefix("0x").unwrap_or(text);
    let padded = match bare.len() % 2 {
        0 => digits(bare)?,
        _ => digits(&format!("0{bare}"))?,
    };
    let number = U256::try_from_be_slice(&padded)?;
    Some(B256::from(number).0)
}

/// A number, or digits of one in a string: decimal, or hexadecimal after `0x`.
fn number(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else {
        return value.as_u64();
    };
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
