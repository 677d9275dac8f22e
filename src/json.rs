//! JSON of strangers, read in one way only. A reader that takes the last of two equal keys and one that takes the first
//! show two people two documents, so such a text is refused. Pure.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Deepest nesting that is read: real manifests have three levels, a batch file has five.
const MAX_DEPTH: u8 = 32;
/// Keys that JavaScript objects treat as their own machinery, so that programs written in it, the official SDK among
/// them, see another document than the one they were given.
const JS_MACHINERY: [&str; 2] = ["__proto__", "constructor"];

/// Parses JSON; refuses equal keys in one object, keys that JavaScript takes for its own machinery, numbers beyond
/// every float, and deep nesting.
///
/// # Errors
/// Those, or no JSON at all.
pub(crate) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict::TOP.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// What a JSON value is, in words.
pub(crate) const fn kind(value: &Value) -> &'static str {
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strict {
    left: u8,
}

impl Strict {
    /// The outermost value.
    pub(crate) const TOP: Self = Self { left: MAX_DEPTH };

    fn inside<E: Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        left.map(|left| Self { left })
            .ok_or_else(|| E::custom(format_args!("nested deeper than {MAX_DEPTH}")))
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

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            array.push(item);
        }
        Ok(array.into())
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
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i5_nesting_is_read_up_to_the_limit_and_no_deeper() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let most = usize::from(MAX_DEPTH);
        assert!(parse(&nested(most)).is_ok());
        assert!(parse(&nested(most + 1)).is_err());
        assert!(parse(&nested(100_000)).is_err());
    }

    #[test]
    fn i6_equal_keys_are_refused_in_any_spelling_and_at_any_depth() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{"b":{"a":1,"c":2,"a":3}}]"#,
            r#"{"__proto__":1}"#,
            r#"{"a":{"constructor":1}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(r#"{"a":{"a":1},"b":{"a":2}}"#).is_ok());
    }

    #[test]
    fn i9_what_is_no_number_or_not_all_of_the_text_is_refused() {
        for text in [
            "NaN",
            "1e999",
            "-Infinity",
            "01",
            "+1",
            "1 2",
            "",
            "\"\\ud800\"",
            "'a'",
            "{a:1}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
