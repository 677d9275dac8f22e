//! The files: the document, and its page.

use std::path::Path;

use alloy::primitives::B256;
use sha2::{Digest as _, Sha256};

use super::document::{Attestation, Evidence};
use super::page::page;
use super::read::MAX_BYTES;
use crate::fsutil::{self, FsError};

/// Name of the document within an upgrade's directory.
pub const FILE: &str = "evidence.json";
/// Name of its page for people.
pub const PAGE: &str = "evidence.md";

/// Longest proposal, bytes.
const MAX_PROPOSAL: u64 = 64 << 20;

/// The document of an upgrade's directory; nothing where there is none that can be read.
pub fn read(dir: &Path) -> Option<Evidence> {
    let bytes = fsutil::read(&dir.join(FILE), MAX_BYTES as u64).ok()?;
    Evidence::parse(&bytes).ok()
}

/// Writes document and page; what stands there already is not written again.
///
/// # Errors
/// They cannot be written.
pub fn store(dir: &Path, evidence: &Evidence) -> Result<(), FsError> {
    keep(&dir.join(FILE), evidence.to_json().as_bytes())?;
    keep(&dir.join(PAGE), page(evidence).as_bytes())
}

/// Adds what the hardware measured to the document of a directory, where that is about the same hash. Whether it is.
///
/// # Errors
/// The files cannot be written.
pub fn add(dir: &Path, attestation: Attestation) -> Result<bool, FsError> {
    let Some(mut evidence) = read(dir).filter(|evidence| !evidence.is_of_format_1()) else {
        return Ok(false);
    };
    let wanted = attestation.made_of.wanted.compose_hash;
    if evidence.code.as_ref().map(|code| code.compose_hash) != Some(wanted) {
        return Ok(false);
    }
    evidence.attestation = Some(attestation);
    store(dir, &evidence).map(|()| true)
}

/// SHA-256 of a file; nothing where it cannot be read, or is longer than any proposal.
pub fn sha256_of(file: &Path) -> Option<B256> {
    let bytes = fsutil::read(file, MAX_PROPOSAL).ok()?;
    Some(B256::from(<[u8; 32]>::from(Sha256::digest(bytes))))
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let room = bytes.len().try_into().unwrap_or(u64::MAX);
    if fsutil::read(path, room).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fsutil::write(path, bytes, 0o644)
}
