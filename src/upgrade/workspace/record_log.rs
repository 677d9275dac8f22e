//! Records of requests that no upgrade's journal keeps: lines of a file, of which the last whole one counts. A record is there
//! before the request goes out.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

use crate::fsutil::{self, AppendFile};
use crate::upgrade::{
    UpgradeError,
    journal_error::JournalError,
    record::gitignore::{self, Holds},
};

/// A record is some hundred bytes, and two or three are written each time.
pub(in crate::upgrade) const MAX: u64 = 1 << 20;
/// From this size on earlier records are let go.
pub(in crate::upgrade) const LONG: usize = 64 << 10;

/// What a line holds.
pub(in crate::upgrade) trait Line: Clone + Serialize + DeserializeOwned {
    /// File name within the directory.
    const FILE: &'static str;
    /// Format that this build writes and the newest that it reads.
    const SCHEMA: u32;
    /// Format that the record is of.
    fn schema(&self) -> u32;
}

/// Records of one kind, held by this process.
#[derive(Debug)]
pub(in crate::upgrade) struct Records<L> {
    file: AppendFile,
    last: Option<L>,
}

impl<L: Line> Records<L> {
    /// The last record in `dir`, without holding it.
    pub(in crate::upgrade) fn peek(dir: &Path) -> Result<Option<L>, UpgradeError> {
        let path = dir.join(L::FILE);
        match fsutil::read_own(&path, MAX) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => Ok(last(&path, &other?)?.0),
        }
    }

    /// Creates the records or opens them, and holds them.
    pub(in crate::upgrade) fn hold(dir: &Path) -> Result<Self, UpgradeError> {
        fsutil::create_private_dir(dir)?;
        gitignore::protect(dir, Holds::One)?;
        let mut file = AppendFile::hold(&dir.join(L::FILE)).map_err(JournalError::from)?;
        let bytes = file.read(MAX)?;
        let (last, whole) = last(file.path(), &bytes)?;
        let is_long = bytes.len() > LONG;
        let keep = if is_long { 0 } else { whole };
        if keep < bytes.len() as u64 {
            file.cut(keep)?;
        }
        let mut records = Self { file, last: None };
        match last {
            Some(record) if is_long => records.write(record)?,
            other => records.last = other,
        }
        Ok(records)
    }

    /// The last record.
    pub(in crate::upgrade) const fn last(&self) -> Option<&L> {
        self.last.as_ref()
    }

    /// Writes one more, durably.
    pub(in crate::upgrade) fn write(&mut self, record: L) -> Result<(), UpgradeError> {
        let mut line = serde_json::to_vec(&record).unwrap_or_default();
        line.push(b'\n');
        self.file.append(&line)?;
        self.last = Some(record);
        Ok(())
    }
}

/// The last whole record, and where it ends. What follows was cut off while it was written.
fn last<L: Line>(path: &Path, bytes: &[u8]) -> Result<(Option<L>, u64), JournalError> {
    let mut line = Vec::new();
    let rest = fsutil::each_line::<JournalError>(path, bytes, MAX, |whole| {
        line = whole.bytes.to_vec();
        Ok(())
    })?;
    if line.is_empty() {
        return Ok((None, rest.at));
    }
    let record: L = serde_json::from_slice(&line).map_err(|error| JournalError::Damaged {
        path: path.to_owned(),
        record: rest.lines,
        why: error.to_string(),
    })?;
    if record.schema() > L::SCHEMA {
        return Err(JournalError::Newer {
            path: path.to_owned(),
            found: record.schema(),
            known: L::SCHEMA,
        });
    }
    Ok((Some(record), rest.at))
}
