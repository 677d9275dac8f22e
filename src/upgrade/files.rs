//! How this room writes its public files: the same bytes are not written twice.

use std::path::Path;

use alloy::primitives::B256;
use sha2::{Digest as _, Sha256};

use crate::cloud::updates::CommitToken;
use crate::fsutil;
use crate::text;

/// The commit token (private).
pub(super) const TOKEN_FILE: &str = "token";

/// SHA-256 of a commit token, by which records know it.
pub(super) fn digest_of(token: &CommitToken) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(token.expose().as_bytes())))
}

/// Writes a file unless it holds these bytes already.
pub(super) fn keep(path: &Path, bytes: &[u8], mode: u32) -> Result<(), fsutil::FsError> {
    let room = bytes.len().try_into().unwrap_or(u64::MAX);
    if fsutil::read(path, room).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fsutil::write(path, bytes, mode)
}

/// A value as the JSON text of a file, with what terminals would obey written as `\\u`.
pub(super) fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = text::json(&serde_json::to_string_pretty(value).unwrap_or_default());
    text.push('\n');
    text.into_bytes()
}
