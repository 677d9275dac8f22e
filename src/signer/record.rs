//! What each key signed for which nonce of which Safe: one digest each, across processes and restarts.
//!
//! Two signatures for one nonce are how signers were robbed: one is shown, the other is kept. A record is on disk before
//! the key is touched, so it may name a signature that was never made, and lacks none that was.
//!
//! A line is `<sum> <record as JSON>`; `sum` is SHA-256 over the line before's sum and the JSON. The beginning of a record
//! at the end of the file is one whose writing was cut off, before the key was touched: the next record takes its
//! place. Anything else that does not add up is damage, and nothing is signed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::SignerError;
use crate::fsutil::{self, AppendFile, FsError, HoldError};
use crate::safe::SafeTx;

/// Some fifty thousand signatures.
const MAX_BYTES: u64 = 16 << 20;
/// What stands for the sum before the first; it names the format.
const GENESIS: &str = "countersign signed 1";
/// How long another process may hold the record: it needs milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The record of what was signed for Safes, in one file.
///
/// It is locked only while it is read and written, so that processes take turns.
#[derive(Debug)]
pub struct SigningRecord {
    path: PathBuf,
}

/// Why a record of signatures cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Another process holds it, or it is not a file that may be used.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// The disk said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// It is not what was written.
    #[error("the record of signatures `{}` is damaged at line {line}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// First bad line, counted from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
}

/// One signature, made or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    owner: Address,
    chain_id: u64,
    safe: Address,
    nonce: U256,
    /// safeTxHash.
    digest: B256,
    /// It only uses up the nonce.
    rejection: bool,
    at: Timestamp,
}

/// What a record says.
struct Reading {
    entries: Vec<Entry>,
    /// Sum of the last whole line.
    sum: String,
    /// Bytes of the whole lines.
    whole: usize,
    tail: Tail,
}

/// What stands behind the last whole line.
enum Tail {
    Nothing,
    /// The beginning of a record.
    Torn,
    /// A record that only lacks its line end; it counts.
    Unended,
}

impl SigningRecord {
    /// Opens the record at `path` (0600), creates it and its directory (0700) if need be, and reads it whole.
    ///
    /// # Errors
    /// Damaged, not a file of one's own that may be used, or held by another process for long.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fsutil::create_private_dir(directory)?;
        }
        let this = Self { path: path.to_owned() };
        let file = this.hold()?;
        read(&file)?;
        Ok(this)
    }

    /// Records that `owner` signs `tx`, unless it signed something else for the nonce; on disk when this returns.
    pub(super) fn admit(&self, owner: Address, tx: &SafeTx) -> Result<(), SignerError> {
        let mut file = self.hold()?;
        let reading = read(&file)?;
        let wanted = Entry::of(owner, tx, Timestamp::now());
        match reading.entries.iter().rfind(|entry| entry.key() == wanted.key()) {
            Some(last) if last.digest == wanted.digest => return Ok(()),
            Some(last) if !wanted.rejection => {
                return Err(SignerError::AlreadySigned {
                    earlier: last.digest,
                    nonce: last.nonce,
                    safe: last.safe,
                    at: last.at,
                });
            }
            _ => {}
        }
        append(&mut file, &reading, &wanted)?;
        Ok(())
    }

    fn hold(&self) -> Result<AppendFile, RecordError> {
        let since = Instant::now();
        loop {
            match AppendFile::hold(&self.path) {
                Err(HoldError::Held { .. }) if since.elapsed() < PATIENCE => {}
                settled => return Ok(settled?),
            }
        }
    }
}

impl Entry {
    fn of(owner: Address, tx: &SafeTx, at: Timestamp) -> Self {
        let domain = tx.domain();
        Self {
            owner,
            chain_id: domain.chain_id,
            safe: domain.safe,
            nonce: tx.fields().nonce,
            digest: tx.hash(),
            rejection: tx.is_rejection(),
            at,
        }
    }
    /// For this, one digest is signed.
    const fn key(&self) -> (Address, u64, Address, U256) {
        (self.owner, self.chain_id, self.safe, self.nonce)
    }
}

fn append(file: &mut AppendFile, reading: &Reading, entry: &Entry) -> Result<(), RecordError> {
    let json = serde_json::to_string(entry).map_err(|source| FsError {
        action: "encode a record of",
        path: file.path().to_owned(),
        source: source.into(),
    })?;
    let end = match reading.tail {
        Tail::Nothing => "",
        Tail::Unended => "\n",
        Tail::Torn => {
            file.cut(reading.whole as u64)?;
            ""
        }
    };
    let line = format!("{end}{} {json}\n", sum(&reading.sum, &json));
    Ok(file.append(line.as_bytes())?)
}

fn sum(before: &str, json: &str) -> String {
    hex::encode(Sha256::digest([before, json].concat()))
}

fn read(file: &AppendFile) -> Result<Reading, RecordError> {
    let damaged = |(line, why)| RecordError::Damaged {
        path: file.path().to_owned(),
        line,
        why,
    };
    let bytes = file.read(MAX_BYTES).map_err(|error| match error.source.kind() {
        std::io::ErrorKind::FileTooLarge => damaged((1, "it is too long to be one")),
        _ => error.into(),
    })?;
    Reading::of(&bytes).map_err(damaged)
}

impl Reading {
    /// What the bytes say, or the first bad line and why.
    fn of(bytes: &[u8]) -> Result<Self, (usize, &'static str)> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (lines, rest) = bytes.split_at(whole);
        let mut reading = Self {
            entries: Vec::new(),
            sum: GENESIS.to_owned(),
            whole,
            tail: Tail::Nothing,
        };
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            reading.take(line).map_err(|why| (reading.entries.len() + 1, why))?;
        }
        let ended = rest.contains(&b'}');
        reading.tail = match rest {
            [] => Tail::Nothing,
            whole if ended && reading.take(whole).is_ok() => Tail::Unended,
            torn if !ended && torn.iter().all(|byte| matches!(byte, b' '..=b'~')) => Tail::Torn,
            _ => return Err((reading.entries.len() + 1, "it is not the beginning of a record")),
        };
        Ok(reading)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let text = std::str::from_utf8(line).ok();
        let (found, json) = text.and_then(|text| text.split_once(' ')).ok_or("it is no record")?;
        let sum = sum(&self.sum, json);
        if sum != found {
            return Err("its checksum is wrong, or it does not follow the line before it");
        }
        let entry = serde_json::from_str(json).ok().ok_or("a newer version wrote it")?;
        self.entries.push(entry);
        self.sum = sum;
        Ok(())
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
