//! The forms in which backends wrote manifests, byte for byte.
//!
//! Pure. ECMAScript is the model: its object key order (ECMA-262, OrdinaryOwnPropertyKeys), its
//! `Number::toString` and its `JSON.stringify`; Go's `encoding/json` for form D.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The whole manifest in one form.
pub(super) fn text(manifest: &Map<String, Value>, form: Form) -> String {
    match form {
        Form::Sorted => Writer::new(Style::Script).object(manifest),
        Form::SortedAscii => Writer::new(Style::Ascii).object(manifest),
        Form::SortedWithoutNulls => Writer::new(Style::NullFree).object(manifest),
        Form::LegacyPretty => {
            let pretty = Writer::new(Style::Indented).object(&preprocessed(manifest));
            // Legacy Phala did this to the whole text, Docker Compose text inside strings included.
            pretty.replace("\": ", "\":")
        }
        Form::Go => Writer::new(Style::Go).object(&go_fields(manifest)),
    }
}

/// A way in which a backend wrote the manifest's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Form A: compact, keys sorted as ECMAScript orders them. Phala Cloud today.
    Sorted,
    /// Form A with every non-ASCII character escaped.
    SortedAscii,
    /// Form A with null members left out, at every depth.
    SortedWithoutNulls,
    /// Form B: legacy Phala, indented by four, `": ` written as `":`.
    LegacyPretty,
    /// Form D: dstack's Go SDK.
    Go,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sorted => "keys sorted, compact",
            Self::SortedAscii => "keys sorted, compact, only ASCII",
            Self::SortedWithoutNulls => "keys sorted, compact, without nulls",
            Self::LegacyPretty => "legacy, indented",
            Self::Go => "Go SDK",
        })
    }
}

impl Form {
    /// Every form, most likely first.
    pub const ALL: [Self; 5] = [
        Self::Sorted,
        Self::SortedAscii,
        Self::SortedWithoutNulls,
        Self::LegacyPretty,
        Self::Go,
    ];
}

/// One value in form A.
pub(super) fn value_text(value: &Value) -> String {
    let mut writer = Writer::new(Style::Script);
    writer.value(value);
    writer.out
}

/// What legacy Phala left out before it wrote: the other runner's script, and a pre-launch script that is falsy.
fn preprocessed(manifest: &Map<String, Value>) -> Map<String, Value> {
    let mut map = manifest.clone();
    match map.get("runner").and_then(Value::as_str) {
        Some("bash") => map.remove("docker_compose_file"),
        Some("docker-compose") => map.remove("bash_script"),
        _ => None,
    };
    if map.get("pre_launch_script").is_some_and(is_falsy) {
        map.remove("pre_launch_script");
    }
    map
}

/// ECMAScript's ToBoolean is false.
fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// What Go's type for a field does with it.
#[derive(Clone, Copy)]
enum GoField {
    /// `string`, left out when empty.
    Text,
    /// `string`, always there.
    TextAlways,
    /// `*bool`, left out when nil.
    Flag,
    /// `[]string`, left out when empty.
    List,
    /// `*[]string`, left out when nil.
    ListPointer,
    /// `any`, left out when nil.
    Any,
    /// Pointer to a struct of these fields, left out when nil.
    Struct(&'static [(&'static str, Self)]),
}

/// `AppCompose` of dstack's Go SDK before it kept unknown fields.
const GO_APP_COMPOSE: &[(&str, GoField)] = &[
    ("manifest_version", GoField::Any),
    ("name", GoField::Text),
    ("features", GoField::List),
    ("runner", GoField::TextAlways),
    ("snapshotter", GoField::Text),
    ("docker_compose_file", GoField::Text),
    ("docker_config", GoField::Struct(GO_DOCKER_CONFIG)),
    ("public_logs", GoField::Flag),
    ("public_sysinfo", GoField::Flag),
    ("public_tcbinfo", GoField::Flag),
    ("kms_enabled", GoField::Flag),
    ("gateway_enabled", GoField::Flag),
    ("tproxy_enabled", GoField::Flag),
    ("local_key_provider_enabled", GoField::Flag),
    ("key_provider", GoField::Text),
    ("key_provider_id", GoField::Text),
    ("allowed_envs", GoField::List),
    ("no_instance_id", GoField::Flag),
    ("secure_time", GoField::Flag),
    ("requirements", GoField::Struct(GO_REQUIREMENTS)),
    ("bash_script", GoField::Text),
    ("pre_launch_script", GoField::Text),
];

const GO_DOCKER_CONFIG: &[(&str, GoField)] = &[
    ("registry", GoField::Text),
    ("username", GoField::Text),
    ("token_key", GoField::Text),
];

const GO_REQUIREMENTS: &[(&str, GoField)] = &[
    ("os_version", GoField::Text),
    ("platforms", GoField::ListPointer),
    ("tdx_measure_acpi_tables", GoField::Flag),
    ("launch_token_hash", GoField::Text),
];

/// What Go reads into its struct and writes again. A value of another type than Go's is dropped like an unknown
/// field: Go itself refuses such a manifest, so no hash of its making exists.
fn go_fields(manifest: &Map<String, Value>) -> Map<String, Value> {
    go_struct(manifest, GO_APP_COMPOSE)
}

fn go_struct(object: &Map<String, Value>, fields: &[(&'static str, GoField)]) -> Map<String, Value> {
    fields
        .iter()
        .filter_map(|(name, field)| Some(((*name).to_owned(), go_value(object.get(*name), *field)?)))
        .collect()
}

fn go_value(value: Option<&Value>, field: GoField) -> Option<Value> {
    match (field, value) {
        (GoField::TextAlways, None | Some(Value::Null)) => Some(Value::from("")),
        (_, None | Some(Value::Null)) => None,
        (GoField::Text, Some(Value::String(text))) => (!text.is_empty()).then(|| Value::from(text.as_str())),
        (GoField::TextAlways, Some(Value::String(text))) => Some(Value::from(text.as_str())),
        (GoField::Flag, Some(Value::Bool(flag))) => Some(Value::Bool(*flag)),
        (GoField::List, Some(Value::Array(items))) if items.is_empty() => None,
        (GoField::List | GoField::ListPointer, Some(Value::Array(items))) => {
            items.iter().map(go_item).collect::<Option<_>>().map(Value::Array)
        }
        (GoField::Any, Some(any)) => Some(any.clone()),
        (GoField::Struct(fields), Some(Value::Object(object))) => Some(Value::Object(go_struct(object, fields))),
        _ => None,
    }
}

/// An item of a `[]string`: null reads as the zero value.
fn go_item(item: &Value) -> Option<Value> {
    match item {
        Value::Null => Some(Value::from("")),
        Value::String(_) => Some(item.clone()),
        _ => None,
    }
}

/// How values are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `JSON.stringify(value)`, keys sorted.
    Script,
    /// `JSON.stringify(value)`, keys sorted, everything but printable ASCII escaped.
    Ascii,
    /// `JSON.stringify(value)`, keys sorted, members that are null left out.
    NullFree,
    /// `JSON.stringify(value, null, 4)`, keys sorted.
    Indented,
    /// Go's `json.Marshal` of a map.
    Go,
}

struct Writer {
    out: String,
    style: Style,
    depth: usize,
}

impl Writer {
    const fn new(style: Style) -> Self {
        Self {
            out: String::new(),
            style,
            depth: 0,
        }
    }

    fn object(mut self, object: &Map<String, Value>) -> String {
        self.members(object);
        self.out
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.string(text),
            Value::Array(items) => self.items(items),
            Value::Object(object) => self.members(object),
        }
    }

    fn members(&mut self, object: &Map<String, Value>) {
        let keep_nulls = self.style != Style::NullFree;
        let mut members: Vec<_> = object
            .iter()
            .filter(|(_, value)| keep_nulls || !value.is_null())
            .collect();
        match self.style {
            Style::Go => members.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes())),
            _ => members.sort_by(|(a, _), (b, _)| script_order(a, b)),
        }
        self.bracketed(['{', '}'], &members, |writer, (key, value)| {
            writer.string(key);
            writer
                .out
                .push_str(if writer.style == Style::Indented { ": " } else { ":" });
            writer.value(value);
        });
    }

    fn items(&mut self, items: &[Value]) {
        self.bracketed(['[', ']'], items, Self::value);
    }

    fn bracketed<T>(&mut self, [open, close]: [char; 2], all: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.out.push(open);
        self.depth += 1;
        for (index, item) in all.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.new_line();
            one(self, item);
        }
        self.depth -= 1;
        if !all.is_empty() {
            self.new_line();
        }
        self.out.push(close);
    }

    fn new_line(&mut self) {
        if self.style == Style::Indented {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("    ", self.depth));
        }
    }

    /// Every reader in circulation holds numbers as IEEE 754 doubles.
    fn number(&mut self, number: &serde_json::Number) {
        let double = number.as_f64().unwrap_or(f64::NAN);
        let negative_zero = double == 0.0 && double.is_sign_negative();
        if self.style == Style::Go && negative_zero {
            self.out.push_str("-0");
        } else {
            self.out.push_str(ryu_js::Buffer::new().format(double));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match self.escape(character) {
                Some(escape) => self.out.push_str(&escape),
                None => self.out.push(character),
            }
        }
        self.out.push('"');
    }

    fn escape(&self, character: char) -> Option<Cow<'static, str>> {
        let short = match character {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            // Go wrote these two by number until 1.22.
            '\u{8}' if self.style != Style::Go => "\\b",
            '\u{c}' if self.style != Style::Go => "\\f",
            _ => {
                let by_number = match self.style {
                    Style::Go => matches!(character, '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
                    Style::Ascii => !matches!(character, ' '..='~'),
                    _ => character < ' ',
                };
                return by_number.then(|| Cow::Owned(numbered(character)));
            }
        };
        Some(Cow::Borrowed(short))
    }
}

/// `\uxxxx`, twice when UTF-16 needs a surrogate pair.
fn numbered(character: char) -> String {
    let mut units = [0; 2];
    character
        .encode_utf16(&mut units)
        .iter()
        .fold(String::new(), |mut text, unit| {
            // Writing to a `String` cannot fail.
            let _infallible = write!(text, "\\u{unit:04x}");
            text
        })
}

/// The order in which ECMAScript lists the keys of an object whose keys were added in sorted order: array indices
/// by number, then the others by UTF-16 code unit.
fn script_order(a: &str, b: &str) -> Ordering {
    match (array_index(a), array_index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.encode_utf16().cmp(b.encode_utf16()),
    }
}

/// ECMA-262, array index: the decimal text of an integer from 0 to 2^32 - 2.
fn array_index(key: &str) -> Option<u32> {
    let canonical = key == "0" || (!key.starts_with('0') && key.bytes().all(|byte| byte.is_ascii_digit()));
    key.parse().ok().filter(|index| canonical && *index < u32::MAX)
}
