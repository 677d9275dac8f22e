//! Edits to a JSON document, read from bytes: a fuzzer that changes bytes of a text mostly makes texts that are no JSON,
//! and what is behind the parser is seldom reached.

use serde_json::{Map, Number, Value};

/// Values that readers stumble over.
const ODD: [&str; 24] = [
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1.5",
    "1e400",
    "18446744073709551616",
    "\"\"",
    "\"0x\"",
    "\"0x0\"",
    "\"0\"",
    "\"0x00\"",
    "[]",
    "{}",
    "\"0x0000000000000000000000000000000000000000\"",
    "31337",
    "\"31337\"",
    "9223372036854775807",
    "\"\\u202e\"",
    "\"latest\"",
    "[null]",
    "\"0x0000000000000000000000000000000000000000000000000000000000000001\"",
];

/// Longest string that an edit brings along.
const LONGEST: usize = 64;

/// Some edits double what they touch: a document of this size (values and bytes of its texts) is edited no further.
const LARGEST: usize = 1 << 16;

/// `document` after the edits; a script that ends in the middle of one ends before it.
pub fn edited(mut document: Value, script: &[u8]) -> Value {
    let mut rest = script;
    while let [what, high, low, argument, more @ ..] = rest
        && size(&document) < LARGEST
    {
        rest = more;
        let count = count(&document);
        let place = usize::from(u16::from_be_bytes([*high, *low])) % count;
        match what % 9 {
            0 => replace(&mut document, place, odd(*argument)),
            1 => {
                let other = nth(&mut document, usize::from(*argument) % count).cloned();
                replace(&mut document, place, other.unwrap_or_default());
            }
            2 => remove(&mut document, place, usize::from(*argument)),
            3 => repeat(&mut document, place, usize::from(*argument)),
            4 => {
                let (text, behind) = rest.split_at(rest.len().min(usize::from(*argument) % LONGEST));
                rest = behind;
                let text = String::from_utf8_lossy(text).into_owned();
                replace(&mut document, place, Value::String(text));
            }
            5 => {
                if let [byte, behind @ ..] = rest {
                    change(&mut document, place, usize::from(*argument), *byte);
                    rest = behind;
                }
            }
            6 => add(&mut document, place, *argument),
            7 => step(&mut document, place, *argument),
            _ => case(&mut document, place, *argument),
        }
    }
    document
}

fn odd(argument: u8) -> Value {
    let text = ODD[usize::from(argument) % ODD.len()];
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// How many values the document is made of, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 0,
    }
}

/// The value at a place, counted from the front.
fn nth(value: &mut Value, mut place: usize) -> Option<&mut Value> {
    if place == 0 {
        return Some(value);
    }
    place -= 1;
    let inside: Vec<&mut Value> = match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(members) => members.values_mut().collect(),
        _ => Vec::new(),
    };
    for one in inside {
        let size = count(one);
        if place < size {
            return nth(one, place);
        }
        place -= size;
    }
    None
}

fn replace(document: &mut Value, place: usize, by: Value) {
    if let Some(found) = nth(document, place) {
        *found = by;
    }
}

/// Takes out an element or a member.
fn remove(document: &mut Value, place: usize, which: usize) {
    match nth(document, place) {
        Some(Value::Array(items)) if !items.is_empty() => drop(items.remove(which % items.len())),
        Some(Value::Object(members)) if !members.is_empty() => {
            let key = members.keys().nth(which % members.len()).cloned();
            key.and_then(|key| members.remove(&key));
        }
        _ => {}
    }
}

/// An element stands twice, and a member under a second name.
fn repeat(document: &mut Value, place: usize, which: usize) {
    match nth(document, place) {
        Some(Value::Array(items)) if !items.is_empty() => {
            let item = items[which % items.len()].clone();
            items.push(item);
        }
        Some(Value::Object(members)) if !members.is_empty() => {
            let found = members.iter().nth(which % members.len());
            if let Some((key, value)) = found.map(|(key, value)| (format!("{key}_"), value.clone())) {
                members.insert(key, value);
            }
        }
        _ => {}
    }
}

/// One character of a string is another one.
fn change(document: &mut Value, place: usize, at: usize, byte: u8) {
    if let Some(Value::String(text)) = nth(document, place) {
        let mut characters: Vec<char> = text.chars().collect();
        let length = characters.len().max(1);
        if let Some(one) = characters.get_mut(at % length) {
            *one = char::from(byte);
        }
        *text = characters.into_iter().collect();
    }
}

/// A member that nobody knows, or an element.
fn add(document: &mut Value, place: usize, argument: u8) {
    match nth(document, place) {
        Some(Value::Array(items)) => items.push(odd(argument)),
        Some(Value::Object(members)) => {
            members.insert(format!("extra{}", argument % 4), odd(argument));
        }
        Some(other) => {
            let inner = std::mem::take(other);
            *other = match argument % 2 {
                0 => Value::Array(vec![inner]),
                _ => Value::Object(Map::from_iter([("value".to_owned(), inner)])),
            };
        }
        None => {}
    }
}

/// A number is a little larger or smaller, or written as another reader would.
fn step(document: &mut Value, place: usize, argument: u8) {
    let Some(value) = nth(document, place) else { return };
    let changed = match value {
        Value::Number(number) if argument % 2 == 0 => number.as_i64().map(|one| Value::from(one.wrapping_add(1))),
        Value::Number(number) if argument % 3 == 0 => number.as_i64().map(|one| Value::from(one.to_string())),
        Value::Number(number) => number.as_f64().and_then(Number::from_f64).map(Value::Number),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16)
                .ok()
                .map(|one| Value::from(one.to_string())),
            None => text.parse::<u64>().ok().map(Value::from),
        },
        _ => None,
    };
    if let Some(changed) = changed {
        *value = changed;
    }
}

/// A string in another case, with white space around it, or another end.
fn case(document: &mut Value, place: usize, argument: u8) {
    if let Some(Value::String(text)) = nth(document, place) {
        *text = match argument % 6 {
            0 => text.to_uppercase(),
            1 => text.to_lowercase(),
            2 => format!(" {text}"),
            3 => format!("{text}\n"),
            4 => text.replace('\n', "\r\n"),
            _ => format!("{text}{text}"),
        };
    }
}
