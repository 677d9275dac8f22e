//! JSON that can be read in one way only.
//!
//! A reader that takes the last of two equal keys and one that takes the first show two people two manifests, so
//! such a text is refused. Pure; called by the manifest and by whoever reads a file that somebody else wrote.

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::ComposeError;

/// Deepest nesting that is read: real manifests have three levels.
const MAX_DEPTH: u8 = 32;

/// Keys that JavaScript objects treat as their own machinery, so that the official SDK hashes another document
/// than the one it was given.
const JS_MACHINERY: [&str; 2] = ["__proto__", "constructor"];

/// Parses JSON of at most `max` bytes and refuses what two readers could take for two things.
///
/// # Errors
/// Too long, a byte order mark, not UTF-8, not JSON, a duplicate key, a lone surrogate, a number beyond every
/// float, nesting deeper than 32.
pub fn strict_json(bytes: &[u8], max: usize) -> Result<Value, ComposeError> {
    if bytes.len() > max {
        return Err(ComposeError::TooLong {
            found: bytes.len(),
            max,
        });
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err(ComposeError::ByteOrderMark);
    }
    let text = std::str::from_utf8(bytes).map_err(ComposeError::Utf8)?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict::TOP.deserialize(&mut reader).map_err(ComposeError::Json)?;
    reader.end().map_err(ComposeError::Json)?;
    Ok(value)
}

/// What a JSON value is, in words.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Builds a [`Value`] at most this much deeper.
#[derive(Clone, Copy)]
pub(super) struct Strict {
    left: u8,
}

impl Strict {
    /// The outermost value.
    pub(super) const TOP: Self = Self { left: MAX_DEPTH };

    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left }),
            None => Err(E::custom(format_args!("nested deeper than {MAX_DEPTH}"))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if JS_MACHINERY.contains(&key.as_str()) {
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` means something else in JavaScript"
                )));
            }
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key {key:?} appears twice in one object"
                )));
            }
            let value = members.next_value_seed(inside)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
