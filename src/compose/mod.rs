//! The manifest (`app-compose.json`), its canonical bytes and the compose hash over them.
//!
//! Pure: nothing here talks to the network or the disk. `cloud` reads manifests, `upgrade` verifies with them.

mod canonical;
mod difference;
mod images;
mod strict;
mod verify;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::json;

pub use strict::strict_json;

/// Longest Docker Compose text and pre-launch script together, UTF-8 bytes, that Phala Cloud takes.
pub const MAX_CHANGE_BYTES: usize = 200 * 1024;

/// Longest manifest that is read: several times what Phala Cloud takes, so that only garbage is refused.
pub const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

/// SHA-256 of a manifest's canonical bytes: what the app's contract allows and the guest measures.
///
/// Parses 64 hex digits of either case, with or without `0x`; prints with `0x`, lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComposeHash([u8; 32]);

/// Why a manifest or a hash was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComposeError {
    /// Not 64 hex digits.
    #[error("a compose hash has 64 hex digits, this has {found}: `{text}`")]
    HashLength {
        /// Digits found, without `0x`.
        found: usize,
        /// The text, shortened.
        text: String,
    },
    /// 64 characters, but not all of them hex digits.
    #[error("a compose hash has only hex digits: `{text}`")]
    HashDigits {
        /// The text, shortened.
        text: String,
    },
    /// Too long to be what it should be.
    #[error("{found} bytes of JSON, and at most {max} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A byte order mark, which some tools hash and others do not.
    #[error("the JSON starts with a byte order mark; save it without one")]
    ByteOrderMark,
    /// Not UTF-8.
    #[error("the JSON is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// Not JSON, or JSON that two readers could take for two things: a key twice, a lone surrogate, a number
    /// beyond every float, nesting without end.
    #[error("the JSON cannot be read in one way only")]
    Json(#[source] serde_json::Error),
    /// JSON, but no object.
    #[error("a manifest is a JSON object, and this is {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// More text for the guest than is read from a proposal.
    #[error("the `user_config` has {found} bytes, and at most {max} are taken")]
    UserConfigTooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// More text than Phala Cloud takes.
    #[error("the Docker Compose text and the pre-launch script have {found} bytes, and at most {max} are taken")]
    ChangesTooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
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

/// `app-compose.json` with every field that it came with, known or not.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Manifest(Map<String, Value>);

/// The manifest fields that an update may change. Absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Docker Compose text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub docker_compose_file: Option<String>,
    /// Script that runs before the containers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pre_launch_script: Option<String>,
    /// Names of environment variables the guest may receive, in this order.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allowed_envs: Option<Vec<String>>,
    /// Whether logs are public.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_logs: Option<bool>,
    /// Whether system information is public.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_sysinfo: Option<bool>,
    /// Whether TCB information is public.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_tcbinfo: Option<bool>,
}

/// One manifest field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Field name at the manifest's top level.
    pub field: String,
    /// Value before; `None` when the field was absent.
    pub before: Option<Value>,
    /// Value after; `None` when the field is gone.
    pub after: Option<Value>,
}

/// What an independent recomputation says about a hash that somebody else sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Verification {
    /// The same hash, computed here from the CVM's manifest and the local changes.
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

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verified { form } => write!(f, "verified, in the form \"{form}\""),
            Self::Uncomputable => f.write_str("it cannot be recomputed"),
            Self::Mismatch { computed, .. } => write!(f, "another one: {computed}"),
        }
    }
}

impl ComposeHash {
    /// Wraps 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// SHA-256 of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// 64 hex digits without `0x`, as Phala Cloud's API writes them.
    pub fn bare(&self) -> String {
        hex::encode(self.0)
    }
}

impl std::fmt::Display for ComposeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{}", self.bare())
    }
}
impl std::fmt::Debug for ComposeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
impl std::str::FromStr for ComposeHash {
    type Err = ComposeError;
    fn from_str(text: &str) -> Result<Self, ComposeError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let found = digits.chars().count();
        if found != 64 {
            return Err(ComposeError::HashLength {
                found,
                text: shortened(text),
            });
        }
        let mut bytes = [0; 32];
        match hex::decode_to_slice(digits, &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(ComposeError::HashDigits { text: shortened(text) }),
        }
    }
}
impl Serialize for ComposeHash {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for ComposeHash {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
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

impl Manifest {
    /// Parses a manifest and keeps every field.
    ///
    /// # Errors
    /// Not JSON, not an object, a lone surrogate, a duplicate key, nested too deeply, or too long.
    pub fn parse(bytes: &[u8]) -> Result<Self, ComposeError> {
        match strict_json(bytes, MAX_MANIFEST_BYTES)? {
            Value::Object(map) => Ok(Self(map)),
            other => Err(ComposeError::NotAnObject {
                found: json::kind(&other),
            }),
        }
    }
    /// Wraps an object that was parsed already.
    pub const fn from_map(map: Map<String, Value>) -> Self {
        Self(map)
    }
    /// Names of its fields, in their order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A top-level field.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }
    /// The canonical text in `form`.
    pub fn canonical(&self, form: Form) -> String {
        canonical::text(&self.0, form)
    }
    /// SHA-256 of the canonical text in `form`.
    pub fn hash(&self, form: Form) -> ComposeHash {
        ComposeHash::of(self.canonical(form).as_bytes())
    }
    /// The form in which this manifest has the hash `known`, if any.
    pub fn calibrate(&self, known: ComposeHash) -> Option<Form> {
        Form::ALL.into_iter().find(|form| self.hash(*form) == known)
    }
    /// This manifest with `changes` applied.
    #[must_use]
    pub fn with(&self, changes: &Changes) -> Self {
        let mut map = self.0.clone();
        let mut set = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                map.insert(field.to_owned(), value);
            }
        };
        set(
            "docker_compose_file",
            changes.docker_compose_file.clone().map(Value::from),
        );
        set("pre_launch_script", changes.pre_launch_script.clone().map(Value::from));
        set("allowed_envs", changes.allowed_envs.clone().map(Value::from));
        set("public_logs", changes.public_logs.map(Value::from));
        set("public_sysinfo", changes.public_sysinfo.map(Value::from));
        set("public_tcbinfo", changes.public_tcbinfo.map(Value::from));
        Self(map)
    }
    /// Fields that differ from `self` to `after`, by name; image digests are found in `text_diff`.
    pub fn diff(&self, after: &Self) -> Vec<FieldChange> {
        difference::fields(&self.0, &after.0)
    }
    /// Whether it is no longer than one that is read from Phala Cloud.
    ///
    /// # Errors
    /// More than [`MAX_MANIFEST_BYTES`].
    pub fn check_size(&self) -> Result<(), ComposeError> {
        let found = self.canonical(Form::Sorted).len();
        if found > MAX_MANIFEST_BYTES {
            return Err(ComposeError::TooLong {
                found,
                max: MAX_MANIFEST_BYTES,
            });
        }
        Ok(())
    }
    /// Container images of the services in the Docker Compose text, each once, in order of appearance, as written.
    pub fn images(&self) -> Vec<String> {
        self.get("docker_compose_file")
            .and_then(Value::as_str)
            .map(images::named)
            .unwrap_or_default()
    }
    /// Checks a hash that somebody else computed for `self` with `changes`; `current` is the hash of `self`.
    pub fn verify(&self, current: ComposeHash, changes: &Changes, claimed: ComposeHash) -> Verification {
        verify::check(self, current, changes, claimed)
    }
}

impl<'de> Deserialize<'de> for Manifest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match serde::de::DeserializeSeed::deserialize(json::Strict::TOP, d)? {
            Value::Object(map) => Ok(Self(map)),
            other => Err(serde::de::Error::custom(ComposeError::NotAnObject {
                found: json::kind(&other),
            })),
        }
    }
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
    /// Whether Phala Cloud takes this much text.
    ///
    /// # Errors
    /// More than [`MAX_CHANGE_BYTES`].
    pub fn check_size(&self) -> Result<(), ComposeError> {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let found = len(&self.docker_compose_file).saturating_add(len(&self.pre_launch_script));
        if found > MAX_CHANGE_BYTES {
            return Err(ComposeError::ChangesTooLong {
                found,
                max: MAX_CHANGE_BYTES,
            });
        }
        Ok(())
    }
}

impl FieldChange {
    /// The difference as unified text lines (`-` before, `+` after), for people: what a terminal would obey or
    /// hide (control and bidirectional characters) is written as `\u{…}`.
    pub fn text_diff(&self) -> String {
        difference::text(self)
    }
}

/// Enough of a refused text to recognise it.
fn shortened(text: &str) -> String {
    crate::text::shorten(text, 80)
}

#[cfg(test)]
mod tests;
