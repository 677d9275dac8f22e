//! The journal: append-only, hash-chained lines, locked for the whole run.
//!
//! A line is `{"seq","prev","kind","body","sum"}`. `sum` is SHA-256 over the line without it, `prev` the line before's
//! sum. A torn last line is cut before the next append; any other damage is refused. `journal.head` remembers the last
//! record, so that an older copy of the journal is noticed.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::event::Event;
use crate::fsutil::{self, AppendFile, FsError, HoldError};

/// File name within an upgrade's directory.
pub(super) const FILE: &str = "journal";
const HEAD: &str = "journal.head";
/// Format that this build writes and the newest that it reads.
pub(super) const SCHEMA: u32 = 1;
/// A journal holds tens of records; a larger file is not one.
const MAX_BYTES: u64 = 16 << 20;
/// `prev` of the first record.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process holds it, or it is not a file that may be used.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// The disk said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// There is none.
    #[error("`{}` holds no upgrade", dir.display())]
    Missing {
        /// Directory.
        dir: PathBuf,
    },
    /// A record is not what was written.
    #[error("`{}` is damaged at record {record}: {why}", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// First bad record, counted from 1.
        record: u64,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer version.
    #[error("`{}` has format {found}; this version reads up to {known}", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// It belongs to another upgrade.
    #[error("`{}` belongs to {found}, not to {expected}", path.display())]
    Foreign {
        /// The journal.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What it belongs to.
        found: String,
    },
}

/// What opening found besides the records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes of an incomplete last record.
    pub(super) torn: u64,
    /// The journal is older than what was last written.
    pub(super) rolled_back: bool,
    /// The journal's mode, if others could open it until now.
    pub(super) tightened: Option<u32>,
}

/// A journal that this process holds.
#[derive(Debug)]
pub(super) struct Journal {
    file: AppendFile,
    last: Head,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    seq: u64,
    sum: String,
}

#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: String,
}

struct Reading {
    events: Vec<Event>,
    last: Head,
    whole: u64,
    torn: u64,
}

impl Journal {
    /// Opens or creates the journal in `dir` and holds it.
    pub(super) fn hold(dir: &Path) -> Result<(Self, Vec<Event>, Found), JournalError> {
        let mut file = AppendFile::hold(&dir.join(FILE))?;
        let reading = read_lines(file.path(), &file.read(MAX_BYTES).map_err(too_long)?)?;
        if reading.torn > 0 {
            file.cut(reading.whole)?;
        }
        let found = Found {
            torn: reading.torn,
            rolled_back: is_older(dir, &reading.last),
            tightened: file.tightened(),
        };
        Ok((
            Self {
                file,
                last: reading.last,
            },
            reading.events,
            found,
        ))
    }

    /// Reads the journal in `dir` without holding it; an incomplete last record is ignored.
    pub(super) fn peek(dir: &Path) -> Result<Vec<Event>, JournalError> {
        let path = dir.join(FILE);
        let bytes = match fsutil::read(&path, MAX_BYTES) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
                return Err(JournalError::Missing { dir: dir.to_owned() });
            }
            other => other.map_err(too_long)?,
        };
        Ok(read_lines(&path, &bytes)?.events)
    }

    /// Appends one record; it is on disk when this returns.
    pub(super) fn record(&mut self, event: &Event) -> Result<(), JournalError> {
        let seq = self.last.seq + 1;
        let (line, sum) = write_line(seq, &self.last.sum, event).map_err(|source| FsError {
            action: "encode a record of",
            path: self.file.path().to_owned(),
            source: source.into(),
        })?;
        if event.precedes_effect() {
            self.file.reserve()?;
        }
        self.file.append(line.as_bytes())?;
        self.last = Head { seq, sum };
        let head = serde_json::json!({ "seq": seq, "sum": self.last.sum });
        // Power loss may take this back or away, which says nothing; only a copy of the journal that is older than it does.
        fsutil::note(
            &self.file.path().with_file_name(HEAD),
            head.to_string().as_bytes(),
            0o600,
        )?;
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }
}

/// A file that is too long to be a journal is none; the disk is not to blame.
fn too_long(error: FsError) -> JournalError {
    if error.source.kind() == std::io::ErrorKind::FileTooLarge {
        return JournalError::Damaged {
            path: error.path,
            record: 1,
            why: error.source.to_string(),
        };
    }
    error.into()
}

fn is_older(dir: &Path, last: &Head) -> bool {
    let Ok(bytes) = fsutil::read(&dir.join(HEAD), 4096) else {
        return false;
    };
    serde_json::from_slice::<Head>(&bytes)
        .is_ok_and(|head| head.seq > last.seq || (head.seq == last.seq && head.sum != last.sum))
}

fn write_line(seq: u64, prev: &str, event: &Event) -> Result<(String, String), serde_json::Error> {
    let event = serde_json::to_string(event)?;
    let inner = event
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .unwrap_or_default();
    let text = format!(r#"{{"seq":{seq},"prev":"{prev}",{inner}"#);
    let sum = hex::encode(Sha256::digest(text.as_bytes()));
    Ok((format!("{text},\"sum\":\"{sum}\"}}\n"), sum))
}

fn read_lines(path: &Path, bytes: &[u8]) -> Result<Reading, JournalError> {
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (complete, torn) = bytes.split_at(whole);
    let mut reading = Reading {
        events: Vec::new(),
        last: Head {
            seq: 0,
            sum: GENESIS.to_owned(),
        },
        whole: whole as u64,
        torn: torn.len() as u64,
    };
    for line in complete.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (event, last) = read_line(path, line, &reading.last)?;
        reading.events.push(event);
        reading.last = last;
    }
    Ok(reading)
}

fn read_line(path: &Path, line: &[u8], before: &Head) -> Result<(Event, Head), JournalError> {
    let record = before.seq + 1;
    let damaged = |why: &str| JournalError::Damaged {
        path: path.to_owned(),
        record,
        why: why.to_owned(),
    };
    let text = std::str::from_utf8(line)
        .ok()
        .ok_or_else(|| damaged("it is not text"))?;
    let (content, sum) = text
        .strip_suffix("\"}")
        .and_then(|text| text.rsplit_once(",\"sum\":\""))
        .ok_or_else(|| damaged("it has no checksum"))?;
    if hex::encode(Sha256::digest(content.as_bytes())) != sum {
        return Err(damaged("its checksum is wrong"));
    }
    let (link, event) = content
        .split_once(",\"kind\":")
        .ok_or_else(|| damaged("it has no kind"))?;
    let link: Link = serde_json::from_str(&format!("{link}}}"))
        .ok()
        .ok_or_else(|| damaged("it has no number"))?;
    if link.seq != record || link.prev != before.sum {
        return Err(damaged("it does not follow the record before it"));
    }
    if let Some(newer) = newer_schema(event).filter(|_| record == 1) {
        return Err(JournalError::Newer {
            path: path.to_owned(),
            found: newer,
            known: SCHEMA,
        });
    }
    let event = serde_json::from_str(&format!("{{\"kind\":{event}}}")).map_err(|error| damaged(&error.to_string()))?;
    Ok((
        event,
        Head {
            seq: record,
            sum: sum.to_owned(),
        },
    ))
}

/// The format that the first record names, when it is newer than this build's.
fn newer_schema(event: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct First {
        body: Schema,
    }
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let first: First = serde_json::from_str(&format!("{{\"kind\":{event}}}")).ok()?;
    Some(first.body.schema).filter(|schema| *schema > SCHEMA)
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
