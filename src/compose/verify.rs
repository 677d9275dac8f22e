//! Recomputing a hash that somebody else sent, and saying what would explain another one.
//!
//! Pure. An explanation is for the person who decides; it never turns a mismatch into agreement.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::canonical::Form;
use super::changes::Changes;
use super::hash::ComposeHash;
use super::manifest::Manifest;

/// Calibrates on the manifest whose hash is known, applies the changes, compares.
pub(super) fn check(before: &Manifest, current: ComposeHash, changes: &Changes, claimed: ComposeHash) -> Verification {
    // Several forms can give the current hash: a manifest without nulls has one text in two of them.
    let forms = || Form::ALL.into_iter().filter(|form| before.hash(*form) == current);
    let after = before.with(changes);
    if let Some(form) = forms().find(|form| after.hash(*form) == claimed) {
        return Verification::Verified { form };
    }
    let forms: Vec<Form> = forms().collect();
    let Some(likeliest) = forms.first() else {
        return Verification::Uncomputable;
    };
    let explanation = if claimed == current {
        Some("it is the hash of the manifest as it is now, so nothing would change".to_owned())
    } else {
        in_another_form(&after, claimed).or_else(|| explain(before, &after, &forms, claimed))
    };
    Verification::Mismatch {
        computed: after.hash(*likeliest),
        explanation,
    }
}

/// What an independent recomputation says about a hash that somebody else sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Verification {
    /// The hash sent is the one computed here from the CVM's manifest and the local changes.
    Verified {
        /// The form that reproduced the current hash and the new one.
        form: Form,
    },
    /// No form reproduces the current hash, so nothing can be said.
    Uncomputable,
    /// Another hash.
    Mismatch {
        /// What the local files give.
        computed: ComposeHash,
        /// A change of one field that would explain the hash sent, in words, if one was found.
        explanation: Option<String>,
    },
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified { form } => write!(f, "verified, in the form \"{form}\""),
            Self::Uncomputable => f.write_str("it cannot be recomputed"),
            Self::Mismatch { computed, .. } => write!(f, "another one: {computed}"),
        }
    }
}

impl Manifest {
    /// Checks a hash that somebody else computed for `self` with `changes`; `current` is the hash of `self`.
    pub fn verify(&self, current: ComposeHash, changes: &Changes, claimed: ComposeHash) -> Verification {
        check(self, current, changes, claimed)
    }
}

fn in_another_form(after: &Manifest, claimed: ComposeHash) -> Option<String> {
    let form = Form::ALL.into_iter().find(|form| after.hash(*form) == claimed)?;
    let name = match form {
        Form::Sorted => "compact with sorted keys",
        Form::SortedAscii => "compact with sorted keys, in ASCII",
        Form::SortedWithoutNulls => "compact with sorted keys, without nulls",
        Form::LegacyPretty => "in Phala's legacy layout",
        Form::Go => "as dstack's Go SDK does",
    };
    Some(format!(
        "the same manifest written {name}, which is not how the current one was written"
    ))
}

/// The first single alternative that has the claimed hash.
fn explain(before: &Manifest, after: &Manifest, forms: &[Form], claimed: ComposeHash) -> Option<String> {
    alternatives(&before.0, &after.0)
        .into_iter()
        .find(|alternative| {
            let mut map = after.0.clone();
            for (field, value) in &alternative.set {
                match value {
                    Some(value) => map.insert((*field).to_owned(), value.clone()),
                    None => map.remove(*field),
                };
            }
            let manifest = Manifest(map);
            forms.iter().any(|form| manifest.hash(*form) == claimed)
        })
        .map(|alternative| alternative.words)
}

/// What a server may have done instead.
struct Alternative {
    words: String,
    /// Fields and their values; `None` removes.
    set: Vec<(&'static str, Option<Value>)>,
}

impl Alternative {
    fn one(field: &'static str, value: Option<Value>, words: String) -> Self {
        Self {
            words,
            set: vec![(field, value)],
        }
    }
}

/// Fields that a person writes as text, and whose bytes a server may tidy.
const TEXTS: [&str; 2] = ["docker_compose_file", "pre_launch_script"];
/// Fields that an update may set and a server may ignore.
const CHANGEABLE: [&str; 6] = [
    "docker_compose_file",
    "pre_launch_script",
    "allowed_envs",
    "public_logs",
    "public_sysinfo",
    "public_tcbinfo",
];
/// Flags of the manifest.
const FLAGS: [&str; 9] = [
    "public_logs",
    "public_sysinfo",
    "public_tcbinfo",
    "kms_enabled",
    "gateway_enabled",
    "tproxy_enabled",
    "local_key_provider_enabled",
    "no_instance_id",
    "secure_time",
];

/// Every alternative that is tried, the likeliest first.
fn alternatives(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<Alternative> {
    let mut all = Vec::new();
    for field in CHANGEABLE
        .into_iter()
        .filter(|field| before.get(*field) != after.get(*field))
    {
        let words = format!("the change of `{field}` was not taken over");
        all.push(Alternative::one(field, before.get(field).cloned(), words));
    }
    for field in TEXTS {
        all.extend(texts(field, after.get(field)));
    }
    all.extend(environment(after.get("allowed_envs")));
    all.extend(gateway(after));
    for field in FLAGS {
        all.extend(flag(field, after.get(field)));
    }
    all
}

/// Line ends, a byte order mark, and nothing in place of emptiness.
fn texts(field: &'static str, value: Option<&Value>) -> Vec<Alternative> {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    let lf = text.replace("\r\n", "\n");
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let without_ends = text.trim_end_matches(['\r', '\n']);
    let variants = [
        ("with a newline at its end", format!("{without_ends}\n")),
        ("without newlines at its end", without_ends.to_owned()),
        ("without white space at its ends", text.trim().to_owned()),
        ("with one newline more at its end", format!("{text}\n")),
        ("with LF line ends", lf.clone()),
        (
            "with LF line ends and none at its end",
            lf.trim_end_matches('\n').to_owned(),
        ),
        ("with CRLF line ends", lf.replace('\n', "\r\n")),
        ("without its byte order mark", bare.to_owned()),
        ("with a byte order mark", format!("\u{feff}{bare}")),
        ("as an empty text", String::new()),
    ];
    let mut all: Vec<_> = variants
        .into_iter()
        .filter(|(_, variant)| value.and_then(Value::as_str) != Some(variant.as_str()))
        .map(|(how, variant)| Alternative::one(field, Some(variant.into()), format!("`{field}` {how}")))
        .collect();
    all.extend(absent_or_null(field, value));
    all
}

/// Order, duplicates, emptiness.
fn environment(value: Option<&Value>) -> Vec<Alternative> {
    const FIELD: &str = "allowed_envs";
    let names: Vec<String> = value
        .and_then(Value::as_array)
        .map(|items| {
            items
                .iter()
                .filter_map(|item| item.as_str().map(str::to_owned))
                .collect()
        })
        .unwrap_or_default();
    let mut sorted = names.clone();
    sorted.sort();
    let mut sorted_once = sorted.clone();
    sorted_once.dedup();
    let mut known = BTreeSet::new();
    let once: Vec<String> = names.iter().filter(|name| known.insert(*name)).cloned().collect();
    let reversed: Vec<String> = names.iter().rev().cloned().collect();
    let variants = [
        ("sorted", sorted),
        ("sorted, each name once", sorted_once),
        ("each name once", once),
        ("in reverse order", reversed),
        ("empty", Vec::new()),
    ];
    let mut all: Vec<_> = variants
        .into_iter()
        .map(|(how, variant)| Alternative::one(FIELD, Some(variant.into()), format!("`{FIELD}` {how}")))
        .collect();
    all.extend(absent_or_null(FIELD, value));
    all
}

/// `tproxy_enabled` is the old name of `gateway_enabled`.
fn gateway(after: &Map<String, Value>) -> Vec<Alternative> {
    let rename = |from: &'static str, to: &'static str| {
        after.get(from).map(|value| {
            [
                Alternative {
                    words: format!("`{to}` in place of `{from}`"),
                    set: vec![(from, None), (to, Some(value.clone()))],
                },
                Alternative::one(to, Some(value.clone()), format!("`{to}` as well as `{from}`")),
                Alternative::one(from, None, format!("no `{from}`")),
            ]
        })
    };
    let both = [
        rename("gateway_enabled", "tproxy_enabled"),
        rename("tproxy_enabled", "gateway_enabled"),
    ];
    both.into_iter().flatten().flatten().collect()
}

fn flag(field: &'static str, value: Option<&Value>) -> Vec<Alternative> {
    let mut all: Vec<_> = [true, false]
        .into_iter()
        .filter(|flag| value != Some(&Value::Bool(*flag)))
        .map(|flag| Alternative::one(field, Some(flag.into()), format!("`{field}` {flag}")))
        .collect();
    all.extend(absent_or_null(field, value));
    all
}

fn absent_or_null(field: &'static str, value: Option<&Value>) -> Vec<Alternative> {
    let absent = value.map(|_| Alternative::one(field, None, format!("no `{field}`")));
    let null = Alternative::one(field, Some(Value::Null), format!("`{field}` null"));
    absent.into_iter().chain([null]).collect()
}
