//! The journal: append-only, hash-chained lines, locked for the whole run.
//!
//! A line is `{"seq","prev","kind","body","sum"}`. `sum` is SHA-256 over the line without it, `prev` the line before's
//! sum. A torn last line is cut before the next append; any other damage is refused. `journal.head` remembers the last
//! record, so that an older copy of the journal is noticed, and that it was one, whatever is written after.
//!
//! An upgrade has a journal of its own in its directory, unless the directory is that of a fleet's member: then its
//! records are in the fleet's, one level above, each under the member's name, and what the fleet decides is between them.
//! Several members of one process write there at once, one record after the other.

mod fleet;
mod line;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fleet::Book;
use line::{Head, Record};
use serde::{Deserialize, Serialize};

use crate::fsutil::{self, AppendFile, FsError, LineFile};
use crate::upgrade::{State, UpgradeError, journal_error::JournalError, record::event::Event};

pub(in crate::upgrade) use fleet::{FleetJournal, FleetReading, is_fleet};

/// File name within the directory of an upgrade or a fleet.
pub(in crate::upgrade) const FILE: &str = "journal";
const HEAD: &str = "journal.head";
/// Format that this build writes and the newest that it reads.
pub(in crate::upgrade) const SCHEMA: u32 = 1;
/// An upgrade's journal holds tens of records; a larger file is not one.
const MAX_BYTES: u64 = 16 << 20;
/// A fleet's holds those of some thousand CVMs.
const MAX_FLEET_BYTES: u64 = 4 << 30;

/// What opening found besides the records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::upgrade) struct Found {
    /// Bytes of an incomplete last record.
    pub(in crate::upgrade) torn: u64,
    /// The journal is older than what was last written.
    pub(in crate::upgrade) rolled_back: bool,
    /// The journal's mode, if others could open it until now.
    pub(in crate::upgrade) tightened: Option<u32>,
}

/// A record of an upgrade, and its number in the journal.
#[derive(Debug, Clone)]
pub(in crate::upgrade) struct Entry {
    pub(in crate::upgrade) seq: u64,
    pub(in crate::upgrade) event: Event,
}

/// The journal of one upgrade, which this process holds: a file of its own, or its part of a fleet's.
#[derive(Debug)]
pub(in crate::upgrade) struct Journal {
    held: Arc<Mutex<Held>>,
    path: PathBuf,
    /// Under which name it writes, in a fleet's.
    member: Option<String>,
}

/// The file itself, behind everybody who writes there.
#[derive(Debug)]
struct Held {
    file: AppendFile,
    last: Head,
    /// Where the next record begins.
    end: u64,
    /// It is an older copy, now or when an earlier run found it.
    older: bool,
    /// What is in it, if it is a fleet's.
    book: Option<Book>,
}

/// What `journal.head` holds.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    #[serde(flatten)]
    last: Head,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    older: bool,
}

/// What a file has.
#[derive(Debug)]
struct Contents {
    last: Head,
    /// Bytes of whole records.
    end: u64,
    torn: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Own(Vec<Entry>),
    Fleet(Box<Book>),
}

impl Journal {
    /// Opens or creates the journal of the upgrade in `dir` and holds it; for a member of a fleet that is the fleet's.
    pub(in crate::upgrade) fn hold(dir: &Path) -> Result<(Self, Vec<Entry>, Found), JournalError> {
        if let Some((above, member)) = fleet::above(dir) {
            let fleet = FleetJournal::hold(&above)?;
            if fleet.has(&member) {
                let found = fleet.found();
                let (journal, entries) = fleet.member(&member)?;
                return Ok((journal, entries, found));
            }
        }
        let (held, body, found) = Held::open(dir)?;
        let Body::Own(entries) = body else {
            return Err(JournalError::Fleet { dir: dir.to_owned() });
        };
        let path = held.file.path().to_owned();
        let journal = Self {
            held: Arc::new(Mutex::new(held)),
            path,
            member: None,
        };
        Ok((journal, entries, found))
    }

    /// Reads the records of the upgrade in `dir` without holding the journal; an incomplete last one is ignored.
    pub(in crate::upgrade) fn peek(dir: &Path) -> Result<Vec<Entry>, JournalError> {
        if let Some((above, member)) = fleet::above(dir) {
            let fleet = FleetReading::open(&above)?;
            if fleet.roster().has(&member) {
                return fleet.entries(&member);
            }
        }
        match read_file(&open(dir)?)?.body {
            Body::Own(entries) => Ok(entries),
            Body::Fleet(_) => Err(JournalError::Fleet { dir: dir.to_owned() }),
        }
    }

    /// Appends one record; it is on disk when this returns.
    pub(in crate::upgrade) fn record(&mut self, event: &Event) -> Result<(), JournalError> {
        // A plan is large, and in a fleet's journal it must not take the room of another member's outcome.
        let room = event.precedes_effect() || matches!(event, Event::Plan(_));
        let mut held = lock(&self.held);
        if let (Some(member), Some(book), Event::Open(identity)) = (&self.member, &held.book, event) {
            book.admit(member, identity).map_err(|found| JournalError::Foreign {
                path: self.path.clone(),
                expected: format!("the fleet's member {member}"),
                found,
            })?;
        }
        held.append(self.member.as_deref(), event, room)
    }

    pub(in crate::upgrade) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is a part of a fleet's.
    pub(in crate::upgrade) const fn is_shared(&self) -> bool {
        self.member.is_some()
    }

    /// Whether this is the upgrade of a fleet's member whose proposal nobody approves: another one's is.
    pub(in crate::upgrade) fn follows(&self) -> bool {
        let Some(member) = &self.member else { return false };
        let held = lock(&self.held);
        let lead = held.book.as_ref().and_then(|book| book.roster.approval());
        lead.is_some_and(|lead| lead != member)
    }

    /// Number of the next record.
    pub(in crate::upgrade) fn next(&self) -> u64 {
        lock(&self.held).last.seq + 1
    }
}

impl Held {
    fn open(dir: &Path) -> Result<(Self, Body, Found), JournalError> {
        let mut file = AppendFile::hold(&dir.join(FILE))?;
        let contents = read_file(&file.lines()?)?;
        if contents.torn > 0 {
            file.cut(contents.end)?;
        }
        let found = Found {
            torn: contents.torn,
            rolled_back: is_older(dir, &contents.last),
            tightened: file.tightened(),
        };
        let held = Self {
            file,
            last: contents.last,
            end: contents.end,
            older: found.rolled_back,
            book: None,
        };
        Ok((held, contents.body, found))
    }

    fn append(&mut self, member: Option<&str>, content: &impl Serialize, room: bool) -> Result<(), JournalError> {
        let (line, head) = self.last.next(member, content).map_err(|source| FsError {
            action: "encode a record of",
            path: self.file.path().to_owned(),
            source: source.into(),
        })?;
        if room {
            self.file.reserve_behind(line.len())?;
        }
        self.file.append(line.as_bytes())?;
        if let (Some(book), Some(member)) = (&mut self.book, member) {
            book.keep(member, (head.seq, self.end, line.len()));
        }
        self.end = self.end.saturating_add(line.len() as u64);
        self.last = head.clone();
        let remembered = Remembered {
            last: head,
            older: self.older,
        };
        // Power loss may take this back or away, which says nothing; only a copy of the journal that is older than it does.
        let bytes = serde_json::to_vec(&remembered).unwrap_or_default();
        fsutil::note(&self.file.path().with_file_name(HEAD), &bytes, 0o600)?;
        Ok(())
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `dir` holds an upgrade, of its own or as a fleet's member.
pub(in crate::upgrade) fn holds(dir: &Path) -> bool {
    if let Some((above, member)) = fleet::above(dir) {
        // What cannot be read is found out by whoever opens it.
        let part = FleetReading::open(&above).map_or(Some(true), |fleet| {
            fleet.roster().has(&member).then(|| fleet.has_records(&member))
        });
        if let Some(part) = part {
            return part;
        }
    }
    dir.join(FILE).exists() && !fleet::is_fleet(dir)
}

fn open(dir: &Path) -> Result<LineFile, JournalError> {
    match LineFile::open(&dir.join(FILE)) {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
            Err(JournalError::Missing { dir: dir.to_owned() })
        }
        other => Ok(other?),
    }
}

fn is_older(dir: &Path, last: &Head) -> bool {
    let Ok(bytes) = fsutil::read_own(&dir.join(HEAD), 4096) else {
        return false;
    };
    serde_json::from_slice::<Remembered>(&bytes).is_ok_and(|found| {
        let head = &found.last;
        found.older || head.seq > last.seq || (head.seq == last.seq && head.sum != last.sum)
    })
}

/// Reads a journal from its first line to its last, once.
fn read_file(file: &LineFile) -> Result<Contents, JournalError> {
    let mut contents = Contents {
        last: Head::genesis(),
        end: 0,
        torn: 0,
        body: Body::Own(Vec::new()),
    };
    let mut lines = file.lines(MAX_BYTES);
    loop {
        let record = contents.last.seq + 1;
        let line = lines.next_line().map_err(|error| too_long(error, record))?;
        let Some(line) = line else { return Ok(contents) };
        let Some(whole) = line.bytes.strip_suffix(b"\n") else {
            contents.torn = line.bytes.len() as u64;
            return Ok(contents);
        };
        contents.take(file.path(), whole)?;
    }
}

/// A file that is too long to be a journal is none; the disk is not to blame.
fn too_long(error: FsError, record: u64) -> JournalError {
    if error.source.kind() == std::io::ErrorKind::FileTooLarge {
        return damaged(&error.path, record, &error.source.to_string());
    }
    error.into()
}

fn damaged(path: &Path, record: u64, why: &str) -> JournalError {
    JournalError::Damaged {
        path: path.to_owned(),
        record,
        why: why.to_owned(),
    }
}

impl Contents {
    /// Takes the next line in, without its newline.
    fn take(&mut self, path: &Path, line: &[u8]) -> Result<(), JournalError> {
        let number = self.last.seq + 1;
        let refused = |why: &str| damaged(path, number, why);
        let record = Record::read(line, &self.last).map_err(refused)?;
        if number == 1 {
            self.body = Body::first(path, &record)?;
        }
        let length = line.len().saturating_add(1);
        match &mut self.body {
            Body::Own(_) if record.member.is_some() => {
                return Err(refused("it names a member, and this is no fleet's"));
            }
            Body::Own(entries) => entries.push(Entry {
                seq: number,
                event: record.content().map_err(|error| refused(&error.to_string()))?,
            }),
            Body::Fleet(_) if number == 1 => {}
            Body::Fleet(book) => book.take(&record, (self.end, length)).map_err(|why| refused(&why))?,
        }
        self.last = record.head;
        self.end = self.end.saturating_add(length as u64);
        let most = match self.body {
            Body::Own(_) => MAX_BYTES,
            Body::Fleet(_) => MAX_FLEET_BYTES,
        };
        if self.end > most {
            return Err(refused(&format!("the file has more than {most} bytes")));
        }
        Ok(())
    }
}

impl Body {
    /// Whose journal it is, by its first record.
    fn first(path: &Path, record: &Record<'_>) -> Result<Self, JournalError> {
        if let Some(found) = record.schema().filter(|schema| *schema > SCHEMA) {
            return Err(JournalError::Newer {
                path: path.to_owned(),
                found,
                known: SCHEMA,
            });
        }
        if !Book::opens(record) {
            return Ok(Self::Own(Vec::new()));
        }
        let book = Book::begin(record).map_err(|why| damaged(path, 1, &why))?;
        Ok(Self::Fleet(Box::new(book)))
    }
}

#[cfg(test)]
mod tests;

/// Where the upgrade in `dir` stands by its records, without holding the journal.
pub(in crate::upgrade) fn state_in(dir: &Path) -> Result<State, UpgradeError> {
    let state = fold(&dir.join(FILE), Journal::peek(dir)?)?;
    if state.identity().is_none() {
        return Err(JournalError::Missing { dir: dir.to_owned() }.into());
    }
    Ok(state)
}

/// What an upgrade's records come to.
pub(in crate::upgrade) fn fold(path: &Path, entries: Vec<Entry>) -> Result<State, UpgradeError> {
    let mut state = State::default();
    for Entry { seq, event } in entries {
        state.apply(event).map_err(|illegal| JournalError::Damaged {
            path: path.to_owned(),
            record: seq,
            why: illegal.to_string(),
        })?;
    }
    Ok(state)
}
