//! The checksum of a batch file, as the Transaction Builder computes it: keccak256 of a serialization of its own.
//!
//! Objects are written as the list of their sorted keys followed by every value and a comma; the batch's name and the
//! checksum itself do not count.

use alloy::primitives::{B256, keccak256};
use serde_json::{Map, Value};

/// The checksum of `file`, which may hold one already.
pub(super) fn of(file: &Value) -> B256 {
    let mut counted = file.clone();
    if let Some(meta) = counted.get_mut("meta").and_then(Value::as_object_mut) {
        meta.remove("checksum");
        meta.insert("name".to_owned(), Value::Null);
    }
    let mut text = String::new();
    write(&counted, &mut text);
    keccak256(text)
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => write_object(members, text),
        Value::Number(number) => write_number(number, text),
        // JSON.stringify and serde_json escape the same characters of a string in the same way.
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

fn write_object(members: &Map<String, Value>, text: &mut String) {
    let mut keys: Vec<&String> = members.keys().collect();
    // JavaScript sorts by UTF-16 code units.
    keys.sort_by(|a, b| a.encode_utf16().cmp(b.encode_utf16()));
    text.push('{');
    text.push_str(&Value::from(keys.iter().map(|key| key.as_str()).collect::<Vec<_>>()).to_string());
    for value in keys.into_iter().filter_map(|key| members.get(key)) {
        write(value, text);
        text.push(',');
    }
    text.push('}');
}

/// JavaScript has only floats.
fn write_number(number: &serde_json::Number, text: &mut String) {
    let float = number.as_f64().unwrap_or_default();
    text.push_str(ryu_js::Buffer::new().format(float));
}
