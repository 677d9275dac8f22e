//! The compose hash.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ComposeError;

/// SHA-256 of a manifest's canonical bytes: what the app's contract allows and the guest measures.
///
/// Parses 64 hex digits of either case, with or without `0x`; prints with `0x`, lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ComposeHash([u8; 32]);

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

/// Enough of a refused text to recognise it.
fn shortened(text: &str) -> String {
    crate::text::shorten(text, 80)
}
