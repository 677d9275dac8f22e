//! A call as method and arguments in text, the way the Transaction Builder shows and encodes it.

use alloy::primitives::{Address, Bytes, U256, hex, keccak256};
use serde_json::{Map, Value, json};

use super::error::BuilderFileError;

/// Methods that are written by name, each with its one argument: what an upgrade calls.
const KNOWN: [(&str, &str, &str); 6] = [
    ("addComposeHash", "composeHash", "bytes32"),
    ("removeComposeHash", "composeHash", "bytes32"),
    ("addDevice", "deviceId", "bytes32"),
    ("removeDevice", "deviceId", "bytes32"),
    ("setAllowAnyDevice", "allowAny", "bool"),
    ("approveHash", "hashToApprove", "bytes32"),
];

/// Deeper than any tuple of tuples that somebody could read.
const MAX_DEPTH: usize = 8;

/// `contractMethod` and `contractInputsValues` of calldata that one of the known methods makes; `None` for any other.
pub(super) fn describe(data: &Bytes) -> Option<(Value, Value)> {
    KNOWN.iter().find_map(|(name, input, kind)| {
        let argument = data.strip_prefix(&selector(&format!("{name}({kind})")))?;
        let text = match (*kind, argument) {
            ("bool", [.., last]) => (*last == 1).to_string(),
            _ => hex::encode_prefixed(argument),
        };
        let method = json!({
            "inputs": [{"internalType": kind, "name": input, "type": kind}],
            "name": name,
            "payable": false,
        });
        let mut values = Map::new();
        values.insert((*input).to_owned(), text.into());
        let values = Value::Object(values);
        // What the importing side will make of it, or it is not written this way.
        let encoded = encode(0, &method, &values).ok()?;
        (encoded == *data).then_some((method, values))
    })
}

/// Calldata of a method with its arguments in text. The builder turns what it cannot encode into an empty call; here
/// that is an error.
pub(super) fn encode(index: usize, method: &Value, values: &Value) -> Result<Bytes, BuilderFileError> {
    let refuse = |what: &'static str| BuilderFileError::Method { index, what };
    let method = method.as_object().ok_or(refuse("it is no object"))?;
    let values = values.as_object().ok_or(refuse("its arguments are no object"))?;
    if method.get("type").is_some_and(|kind| kind != "function") {
        return Err(refuse("it is no function"));
    }
    let name = method.get("name").and_then(Value::as_str).unwrap_or_default();
    if !is_name(name) || ["receive", "fallback"].contains(&name) {
        return Err(refuse("it has no name that can be called"));
    }
    let inputs = method
        .get("inputs")
        .and_then(Value::as_array)
        .ok_or(refuse("it has no inputs"))?;
    let (mut kinds, mut words) = (Vec::new(), Vec::new());
    for (position, input) in inputs.iter().enumerate() {
        let (kind, key) = parameter(position, input).ok_or(refuse("an input is malformed"))?;
        let text = values
            .get(&key)
            .and_then(Value::as_str)
            .ok_or(refuse("an argument is missing or no string"))?;
        words.push(argument(kind, text).ok_or(refuse("an argument does not fit its type, or the type is not known"))?);
        kinds.push(kind);
    }
    if values.len() != inputs.len() {
        return Err(refuse("it has more arguments than inputs"));
    }
    let mut data = selector(&format!("{name}({})", kinds.join(","))).to_vec();
    append(&mut data, &words);
    Ok(data.into())
}

/// Keys of a method that the builder does not write. The wallet passes over them, as it does with those of an input.
pub(super) fn unknown_keys(method: &Value) -> Vec<String> {
    let keys = method.as_object().into_iter().flat_map(Map::keys);
    let unknown = keys.filter(|key| !["inputs", "name", "payable"].contains(&key.as_str()));
    unknown.cloned().collect()
}

/// A method by its name and the types of its inputs, as far as the file says them; tuples by those of their components.
pub(super) fn told(method: &Value) -> String {
    let name = method.get("name").and_then(Value::as_str).unwrap_or_default();
    format!("{name}{}", types(method.get("inputs"), 0))
}

/// Whether data begins with the selector of a method.
pub(super) fn starts(method: &Value, data: &[u8]) -> bool {
    data.starts_with(&selector(&told(method)))
}

fn types(inputs: Option<&Value>, depth: usize) -> String {
    let inputs = inputs.and_then(Value::as_array).into_iter().flatten();
    let kind = |input: &Value| {
        let kind = input.get("type").and_then(Value::as_str).unwrap_or_default();
        match kind.strip_prefix("tuple") {
            Some(rest) if depth < MAX_DEPTH => format!("{}{rest}", types(input.get("components"), depth + 1)),
            _ if kind == "uint" => "uint256".to_owned(),
            _ => kind.to_owned(),
        }
    };
    let kinds: Vec<String> = inputs.map(kind).collect();
    format!("({})", kinds.join(","))
}

/// An encoded argument: a word, or what stands behind an offset.
enum Encoded {
    Word([u8; 32]),
    Tail(Vec<u8>),
}

/// Type and key of an input: its name, or its position when it has none.
fn parameter(position: usize, input: &Value) -> Option<(&str, String)> {
    let input = input.as_object()?;
    let name = input.get("name").map_or(Some(""), Value::as_str)?;
    let kind = input.get("type")?.as_str()?;
    let key = if name.is_empty() {
        position.to_string()
    } else {
        name.to_owned()
    };
    Some((if kind == "uint" { "uint256" } else { kind }, key))
}

fn argument(kind: &str, text: &str) -> Option<Encoded> {
    match kind {
        "address" => Some(Encoded::Word(address(text)?.into_word().0)),
        "bool" => boolean(text).map(|yes| Encoded::Word(U256::from(yes).to_be_bytes())),
        "string" => Some(Encoded::Tail(text.as_bytes().to_vec())),
        "bytes" => hexadecimal(text).map(Encoded::Tail),
        _ => match kind.strip_prefix("bytes") {
            Some(size) => fixed(width(size, 1, 32)?, text),
            None => unsigned(width(kind.strip_prefix("uint")?, 8, 256)?, text),
        },
    }
}

/// The texts that the builder takes for a boolean.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "1" => Some(true),
        "false" | "False" | "FALSE" | "0" => Some(false),
        _ => None,
    }
}

fn fixed(size: usize, text: &str) -> Option<Encoded> {
    let bytes = hexadecimal(text).filter(|bytes| bytes.len() == size)?;
    let mut word = [0; 32];
    word.get_mut(..size)?.copy_from_slice(&bytes);
    Some(Encoded::Word(word))
}

fn unsigned(bits: usize, text: &str) -> Option<Encoded> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => number(digits, 16),
        None => number(text, 10),
    };
    let number = number.filter(|number| number.bit_len() <= bits)?;
    Some(Encoded::Word(number.to_be_bytes()))
}

/// Digits and nothing else.
pub(super) fn number(digits: &str, radix: u8) -> Option<U256> {
    let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(u32::from(radix)));
    plain
        .then(|| U256::from_str_radix(digits, u64::from(radix)).ok())
        .flatten()
}

/// A width as Solidity writes it: no leading zero, a multiple of `step`.
fn width(text: &str, step: usize, most: usize) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    let canonical = number.to_string() == text && number > 0 && number <= most && number.is_multiple_of(step);
    canonical.then_some(number)
}

/// Bytes in hexadecimal with `0x`.
pub(super) fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?)
        .ok()
        .filter(|_| !text.starts_with("0x0x"))
}

/// Decimal digits as the builder writes them: no sign, no leading zero.
pub(in crate::safe) fn decimal(text: &str) -> Option<U256> {
    let number: U256 = U256::from_str_radix(text, 10).ok()?;
    (number.to_string() == text).then_some(number)
}

/// Head and tails, as the contract ABI lays them out.
fn append(data: &mut Vec<u8>, arguments: &[Encoded]) {
    let (mut head, mut tails) = (Vec::new(), Vec::new());
    for argument in arguments {
        match argument {
            Encoded::Word(word) => head.extend_from_slice(word),
            Encoded::Tail(bytes) => {
                let offset = arguments.len() * 32 + tails.len();
                head.extend_from_slice(&U256::from(offset).to_be_bytes::<32>());
                tails.extend_from_slice(&U256::from(bytes.len()).to_be_bytes::<32>());
                tails.extend_from_slice(bytes);
                tails.resize(tails.len().next_multiple_of(32), 0);
            }
        }
    }
    data.append(&mut head);
    data.append(&mut tails);
}

fn selector(signature: &str) -> [u8; 4] {
    let [a, b, c, d, ..] = keccak256(signature).0;
    [a, b, c, d]
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// An address as wallets write it: one case throughout, or the capitals of EIP-55.
pub(in crate::safe) fn address(text: &str) -> Option<Address> {
    let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 40)?;
    let mixed =
        digits.bytes().any(|byte| byte.is_ascii_lowercase()) && digits.bytes().any(|byte| byte.is_ascii_uppercase());
    if mixed {
        Address::parse_checksummed(text, None).ok()
    } else {
        text.parse().ok()
    }
}
