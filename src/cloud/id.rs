//! What names a CVM, a KMS or a webhook in a path. Pure.

use std::fmt;
use std::str::FromStr;

use alloy::primitives::Address;
use uuid::{Uuid, Variant};

use super::CloudError;
use crate::text::{is_deceptive, shorten};

/// Longest identifier: the longest form that the API gives is far shorter.
const MAX: usize = 128;

/// A CVM's name in a path, normalised as the official clients do it; percent-encoded when a path is made of it.
///
/// A UUID of version 4 loses its dashes, 40 hex digits (with or without `0x`) get `app_` in front, and everything
/// else stays: names, `app_…`, `instance_…`, `cvm_…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CvmId(String);

impl CvmId {
    /// As the paths name it, before it is percent-encoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The app, when this names a CVM by it.
    pub fn app(&self) -> Option<Address> {
        let digits = self.0.strip_prefix("app_").filter(|digits| is_app_id(digits))?;
        digits.parse().ok()
    }

    /// The UUID, without dashes, when this names a CVM by it.
    pub fn uuid(&self) -> Option<&str> {
        Some(self.as_str()).filter(|text| is_random_uuid(text))
    }
}

impl FromStr for CvmId {
    type Err = CloudError;
    fn from_str(text: &str) -> Result<Self, CloudError> {
        let text = text.trim();
        if let Some(why) = fault(text) {
            return Err(CloudError::BadId {
                text: shorten(text, 64),
                why,
            });
        }
        let digits = text
            .strip_prefix("0x")
            .or_else(|| text.strip_prefix("0X"))
            .unwrap_or(text);
        Ok(Self(if is_app_id(digits) {
            format!("app_{digits}")
        } else if is_random_uuid(text) {
            text.replace('-', "")
        } else {
            text.to_owned()
        }))
    }
}

impl fmt::Display for CvmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! names {
    ($(#[$doc:meta] $name:ident)*) => {$(
        #[$doc]
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            pub(super) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = CloudError;
            fn from_str(text: &str) -> Result<Self, CloudError> {
                match fault(text) {
                    Some(why) => Err(CloudError::BadId { text: shorten(text, 64), why }),
                    None => Ok(Self(text.to_owned())),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A KMS by its id or name, or a chain of KMS contracts by its name; one segment of a path.
    KmsId
    /// A webhook's id; one segment of a path.
    WebhookId
    /// The id of an event that a webhook delivers; one segment of a path.
    EventId
    /// The id of a revision that the cloud keeps; one segment of a path.
    RevisionId
    /// What paths call a workspace; one segment of a path.
    WorkspaceSlug
}

/// An id that some versions of the API write as a number and others as a text.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum AnyId {
    /// A number.
    Number(u64),
    /// A text; it came from outside.
    Text(String),
}

impl fmt::Display for AnyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Why a text cannot stand in a path as one segment that means itself.
fn fault(text: &str) -> Option<&'static str> {
    if text.trim().is_empty() {
        Some("it is empty")
    } else if text.len() > MAX {
        Some("it is too long")
    } else if text.chars().any(is_deceptive) {
        Some("it has control or invisible characters")
    } else if text.contains(['/', '\\', '?', '#', '%']) || text == "." || text.contains("..") {
        Some("`/`, `\\`, `?`, `#`, `%` and `..` would change the path")
    } else {
        None
    }
}

fn is_app_id(digits: &str) -> bool {
    digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_random_uuid(text: &str) -> bool {
    matches!(text.len(), 32 | 36)
        && Uuid::try_parse(text).is_ok_and(|uuid| uuid.get_version_num() == 4 && uuid.get_variant() == Variant::RFC4122)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> String {
        text.parse::<CvmId>().unwrap().to_string()
    }

    #[test]
    fn identifiers_are_normalised_as_the_official_clients_do_it() {
        let app = "3f91DEaf16ff7c823ee65081d6bafa1ceea05ffc";
        assert_eq!(id(app), format!("app_{app}"));
        assert_eq!(id(&format!("0x{app}")), format!("app_{app}"));
        assert_eq!(id(&format!("app_{app}")), format!("app_{app}"));
        assert_eq!(
            id("6b1f0f4e-3c1a-4a6a-8c59-0A8f5d3c2b11"),
            "6b1f0f4e3c1a4a6a8c590A8f5d3c2b11"
        );
        assert_eq!(
            id("6b1f0f4e3c1a4a6a8c590a8f5d3c2b11"),
            "6b1f0f4e3c1a4a6a8c590a8f5d3c2b11"
        );
        let time_based = "c232ab00-9414-11ec-b3c8-9f6bdeced846";
        assert_eq!(id(time_based), time_based, "only version 4 loses its dashes");
        let other_variant = "6b1f0f4e-3c1a-4a6a-7c59-0a8f5d3c2b11";
        assert_eq!(id(other_variant), other_variant);
        for kept in ["chipotle-prod", "cvm_9aXz", "instance_00ff", "two words", "döner"] {
            assert_eq!(id(kept), kept);
        }
    }

    #[test]
    fn what_was_normalised_once_stays_as_it_is() {
        for text in [
            "0x3f91deaf16ff7c823ee65081d6bafa1ceea05ffc",
            "6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11",
            "a b",
        ] {
            assert_eq!(id(&id(text)), id(text));
        }
    }

    #[test]
    fn a_text_that_would_leave_its_place_in_the_path_is_refused() {
        let bad = [
            "",
            " ",
            ".",
            "..",
            "a/../b",
            "a/b",
            "a\\b",
            "a?x=1",
            "a#b",
            "%2e%2e",
            "a\nb",
            "a\u{202e}b",
            "\u{1b}[1m",
        ];
        for text in bad {
            let error = text.parse::<CvmId>().unwrap_err();
            assert!(matches!(error, CloudError::BadId { .. }), "{text:?}");
            assert!(!error.to_string().chars().any(is_deceptive), "{text:?}");
        }
        assert!("x".repeat(129).parse::<CvmId>().is_err());
    }
}
