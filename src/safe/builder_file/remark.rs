//! In what a file is not as the builder writes it, although the wallet imports it: what scripts leave out or add, and data
//! that is not what the method beside it says. Pure.

use std::fmt;

use alloy::primitives::{Bytes, U256};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::error::{BuilderFileError, wrong};
use super::method::{self, decimal};
use crate::text::shorten;

/// Longest name of a key or a method that is repeated.
const LONGEST: usize = 60;

/// In what a file is not as the builder writes it; it changes no call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// A key that the builder does not write, and that the wallet passes over.
    UnknownKey {
        /// Path of the key.
        path: String,
    },
    /// `createdAt` is missing, or no time in milliseconds.
    NoTime,
    /// An amount that is written in another way than as decimal digits.
    Number {
        /// Path of the field.
        path: String,
        /// What it is.
        read: U256,
    },
    /// A method whose arguments could not be compared with the data beside it; the data is what is executed.
    NotCompared {
        /// Position of the call, from zero.
        index: usize,
        /// The method, as the file names it.
        method: String,
    },
}

/// A call whose data is not what its method says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mislabelled {
    /// Position, from zero.
    pub index: usize,
    /// The method, as the file names it.
    pub method: String,
    /// What that method would execute, where it can be encoded.
    pub shown: Option<Bytes>,
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey { path } => write!(f, "`{path}` is a key that the wallet does not know and passes over"),
            Self::NoTime => f.write_str("`createdAt` is no time in milliseconds; nobody compares it"),
            Self::Number { path, read } => write!(f, "`{path}` is not written in decimal digits; it is read as {read}"),
            Self::NotCompared { index, method } => write!(
                f,
                "call {index} has data and names the method `{method}`, whose arguments could not be compared with it; \
                 the data is executed"
            ),
        }
    }
}

/// What is gathered while a file is read.
#[derive(Default)]
pub(super) struct Odd {
    pub(super) remarks: Vec<Remark>,
    pub(super) mislabelled: Vec<Mislabelled>,
}

impl Odd {
    /// Keys that the builder does not write: the wallet passes over them, but another tool that reads the file as well would
    /// make another kind of call of an `operation`.
    pub(super) fn keys(
        &mut self,
        object: &Map<String, Value>,
        path: &str,
        known: &[&str],
    ) -> Result<(), BuilderFileError> {
        for (key, value) in object.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let path = format!("{path}{}", shorten(key, LONGEST));
            if key.eq_ignore_ascii_case("operation") && !is_plain_call(value) {
                return Err(wrong(path, "no plain call, and the wallet would make one of it"));
            }
            self.remarks.push(Remark::UnknownKey { path });
        }
        Ok(())
    }

    /// When the file was made; nobody compares it.
    pub(super) fn created_at(&mut self, top: &Map<String, Value>) -> Option<Timestamp> {
        let number = top.get("createdAt").and_then(Value::as_i64);
        let time = number.and_then(|number| Timestamp::from_millisecond(number).ok());
        if time.is_none() {
            self.remarks.push(Remark::NoTime);
        }
        time
    }

    /// An amount as the wallet reads it: decimal digits, or hexadecimal ones after `0x`.
    pub(super) fn number(&mut self, text: &str, path: &str) -> Option<U256> {
        if let Some(number) = decimal(text) {
            return Some(number);
        }
        let read = match text.strip_prefix("0x") {
            Some(digits) => method::number(digits, 16),
            None => method::number(text, 10),
        }?;
        let path = path.to_owned();
        self.remarks.push(Remark::Number { path, read });
        Some(read)
    }

    /// Keys of an ABI that the builder leaves out of a method.
    pub(super) fn fragment(&mut self, described: &Value, path: &str) {
        let unknown = method::unknown_keys(described).into_iter();
        let unknown = unknown.map(|key| Remark::UnknownKey {
            path: format!("{path}.{}", shorten(&key, LONGEST)),
        });
        self.remarks.extend(unknown);
    }

    /// A method beside data that wins, of the call of this index: `encoded` is what the method would be, where it can be
    /// encoded.
    pub(super) fn beside(&mut self, index: usize, described: &Value, encoded: Encoded<'_>) {
        let Encoded { method: encoded, data } = encoded;
        if encoded == Some(data) {
            return;
        }
        let method = shorten(&method::told(described), LONGEST);
        let may_be_it = encoded.is_none() && method::starts(described, data);
        match may_be_it {
            true => self.remarks.push(Remark::NotCompared { index, method }),
            false => self.mislabelled.push(Mislabelled {
                index,
                method,
                shown: encoded.cloned(),
            }),
        }
    }
}

/// What a call does, by its method and by its data.
pub(super) struct Encoded<'a> {
    pub(super) method: Option<&'a Bytes>,
    pub(super) data: &'a Bytes,
}

/// Whether an `operation` is what the wallet makes of every entry.
fn is_plain_call(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text == "0" || text.eq_ignore_ascii_case("call"),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
    }
}
