//! Logs of lines: what stands in whole lines was written whole, and what stands behind the last of them was cut off while it
//! was written. A line of a log names the one before it by its sum.
//!
//! Called by the journal, the record of signatures and the record of values. A file that may be too long to hold is read one
//! line after the other, or a part of it by its place. Reading goes by position, so it disturbs nobody who appends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{At as _, FsError};

/// Least and most of a file that is read at once.
const BUFFER: (u64, u64) = (4 * 1024, 64 * 1024);

/// A file that is read line by line.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: File,
    /// How long it was when it was opened; it may have grown.
    length: u64,
}

/// One whole line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'l> {
    /// Its number, from 1.
    pub number: u64,
    /// Where it begins, bytes from the start.
    pub at: u64,
    /// Its bytes, without the newline.
    pub bytes: &'l [u8],
}

/// What stands behind the last whole line: nothing, or what was cut off while it was written.
#[derive(Debug, Default)]
pub struct Rest {
    /// How many whole lines there are.
    pub lines: u64,
    /// Where it begins, bytes from the start.
    pub at: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
struct Positioned<'f> {
    file: &'f File,
    at: u64,
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

impl LineFile {
    /// Opens a regular file; symlinks are followed, devices and pipes are not read.
    ///
    /// # Errors
    /// Missing, not a regular file, unreadable.
    pub fn open(path: &Path) -> Result<Self, FsError> {
        let (file, metadata) = super::open_regular(path, rustix::fs::OFlags::empty()).at("read", path)?;
        Ok(Self::of(path.to_owned(), file, metadata.len()))
    }

    pub(super) const fn of(path: PathBuf, file: File, length: u64) -> Self {
        Self { path, file, length }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands each whole line to `take`, from the first on, and gives what stands behind the last.
    ///
    /// # Errors
    /// Unreadable, a line of more than `longest` bytes, or what `take` says.
    pub fn each<E: From<FsError>>(&self, longest: u64, take: impl FnMut(Line<'_>) -> Result<(), E>) -> Result<Rest, E> {
        let room = self.length.saturating_add(1).clamp(BUFFER.0, BUFFER.1);
        let reader = BufReader::with_capacity(usize::try_from(room).unwrap_or_default(), self.beginning());
        each_line(&self.path, reader, longest, take)
    }

    /// Its first bytes, at most `most` of them.
    ///
    /// # Errors
    /// Unreadable.
    pub fn start(&self, most: u64) -> Result<Vec<u8>, FsError> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.length.min(most)).unwrap_or_default());
        let mut start = self.beginning().take(most);
        start.read_to_end(&mut bytes).at("read", &self.path)?;
        Ok(bytes)
    }

    const fn beginning(&self) -> Positioned<'_> {
        Positioned {
            file: &self.file,
            at: 0,
        }
    }

    /// `length` bytes from `at` on.
    ///
    /// # Errors
    /// The file is shorter, or unreadable.
    pub fn part(&self, at: u64, length: usize) -> Result<Vec<u8>, FsError> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).at("read", &self.path)?;
        Ok(bytes)
    }
}

/// Hands each whole line of what is read from the file at `path` to `take`, and gives what stands behind the last.
///
/// # Errors
/// Unreadable, a line of more than `longest` bytes, or what `take` says.
pub fn each_line<E: From<FsError>>(
    path: &Path,
    mut reader: impl BufRead,
    longest: u64,
    mut take: impl FnMut(Line<'_>) -> Result<(), E>,
) -> Result<Rest, E> {
    let mut rest = Rest::default();
    loop {
        rest.bytes.clear();
        let mut bounded = reader.by_ref().take(longest.saturating_add(1));
        let read = bounded.read_until(b'\n', &mut rest.bytes).at("read", path)? as u64;
        if read > longest {
            return Err(super::too_long(longest)).at("read", path).map_err(E::from);
        }
        let Some(bytes) = rest.bytes.strip_suffix(b"\n") else {
            return Ok(rest);
        };
        rest.lines = rest.lines.saturating_add(1);
        take(Line {
            number: rest.lines,
            at: rest.at,
            bytes,
        })?;
        rest.at = rest.at.saturating_add(read);
    }
}

/// What a line of a log is named by: SHA-256 over `parts`, hex.
pub fn sum(parts: &[&str]) -> String {
    let mut sum = Sha256::new();
    parts.iter().for_each(|part| sum.update(part));
    hex::encode(sum.finalize())
}
