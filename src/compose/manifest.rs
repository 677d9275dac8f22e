//! The manifest, every field of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::canonical::{self, Form};
use super::changes::Changes;
use super::difference::{self, FieldChange};
use super::error::ComposeError;
use super::hash::ComposeHash;
use super::listed::{ImageList, Way};
use super::names::TextVariables;
use super::strict::strict_json;
use crate::json;

/// Longest manifest that is read: several times what Phala Cloud takes, so that only garbage is refused.
pub const MAX_MANIFEST_BYTES: usize = 1024 * 1024;

/// `app-compose.json` with every field that it came with, known or not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Manifest(pub(super) Map<String, Value>);

impl From<Map<String, Value>> for Manifest {
    fn from(fields: Map<String, Value>) -> Self {
        Self(fields)
    }
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
    /// Container images that the Docker Compose text names, each once, in order of appearance, as written.
    pub fn images(&self) -> Vec<String> {
        self.image_list().images.into_iter().map(|image| image.name).collect()
    }
    /// What the Docker Compose text runs: its images, what chooses them, and what runs that no list can name.
    pub fn image_list(&self) -> ImageList {
        let names = self.get("allowed_envs").and_then(Value::as_array);
        let open = names.into_iter().flatten().filter_map(Value::as_str).collect();
        match (self.get("runner").and_then(Value::as_str), self.compose_text()) {
            (Some("docker-compose") | None, Some(_)) if !self.lists_variables() => {
                let why = "`allowed_envs` is no list of names, so what the environment may set is not known";
                ImageList::without_text(Way::Unreadable, why.to_owned())
            }
            (Some("docker-compose") | None, Some(text)) => ImageList::of(text, &open),
            (Some("docker-compose") | None, None) => {
                let why = "the manifest holds no Docker Compose text, so what runs is not known";
                ImageList::without_text(Way::Unreadable, why.to_owned())
            }
            (Some(other), _) => {
                let other: String = other.chars().take(40).collect();
                let why = format!("`{other}` runs the app and not Docker Compose, so no list names what it starts");
                ImageList::without_text(Way::OtherRunner, why)
            }
        }
    }
    /// Whether what stands where the variables of the environment are named is a list of names, or nothing.
    fn lists_variables(&self) -> bool {
        match self.get("allowed_envs") {
            None | Some(Value::Null) => true,
            Some(Value::Array(names)) => names.iter().all(Value::is_string),
            Some(_) => false,
        }
    }

    /// The variables that the Docker Compose text refers to; nothing where there is none that Compose reads.
    pub fn text_variables(&self) -> Option<TextVariables> {
        self.compose_text().and_then(TextVariables::of)
    }

    /// The Docker Compose text; nothing where there is none.
    pub fn compose_text(&self) -> Option<&str> {
        self.get("docker_compose_file").and_then(Value::as_str)
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
