//! A file of lines that may be too long to hold: read one line after the other, or a part of it by its place.
//!
//! Called by the journal. Reading goes by position, so it disturbs nobody who appends.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{At as _, FsError};

/// A file that is read line by line.
#[derive(Debug)]
pub struct LineFile {
    path: PathBuf,
    file: File,
}

/// The lines of a [`LineFile`], from its start.
#[derive(Debug)]
pub struct Lines<'f> {
    path: &'f Path,
    reader: BufReader<Positioned<'f>>,
    at: u64,
    max: u64,
    line: Vec<u8>,
}

/// One line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'l> {
    /// Where it begins, bytes from the start of the file.
    pub at: u64,
    /// Its bytes, with the newline where there is one.
    pub bytes: &'l [u8],
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
        let (file, _) = super::open_regular(path, rustix::fs::OFlags::empty()).at("read", path)?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    pub(super) const fn of(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its lines, none of them longer than `max` bytes.
    pub fn lines(&self, max: u64) -> Lines<'_> {
        let from_start = Positioned {
            file: &self.file,
            at: 0,
        };
        Lines {
            path: &self.path,
            reader: BufReader::with_capacity(64 * 1024, from_start),
            at: 0,
            max,
            line: Vec::new(),
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

impl Lines<'_> {
    /// The next line; `None` at the end of the file. Only the last one can be without its newline.
    ///
    /// # Errors
    /// Unreadable, or longer than was asked for.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, FsError> {
        self.line.clear();
        let mut bounded = self.reader.by_ref().take(self.max.saturating_add(1));
        let read = bounded.read_until(b'\n', &mut self.line).at("read", self.path)? as u64;
        if read > self.max {
            return Err(super::too_long(self.max)).at("read", self.path);
        }
        let at = self.at;
        self.at = at.saturating_add(read);
        Ok((read > 0).then_some(Line { at, bytes: &self.line }))
    }
}
