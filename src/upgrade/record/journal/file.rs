//! The file of a journal: held by one process, each record under the sum of those before it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::line::Head;
use serde::{Deserialize, Serialize};

use crate::fsutil::{self, AppendFile, FsError, LineFile};
use crate::text::escape;
use crate::upgrade::{
    journal_error::JournalError,
    record::{
        event::{Event, Identity, IllegalStep},
        fleet_decisions::{Decision, FleetIdentity, Roster},
        journal::line::Record,
    },
};

/// Kind of a fleet's first record.
pub(in crate::upgrade) const OPEN: &str = "fleet.open";

/// Kind of a fleet's first record as JSON: the beginning of a journal that holds it is a fleet's.
pub(in crate::upgrade) const KIND: &str = r#""kind":"fleet.open""#;

/// How much of a journal says whose it is.
pub(in crate::upgrade) const START: u64 = 512;

/// Where a record is.
#[derive(Debug, Clone, Copy)]
pub(in crate::upgrade) struct Place {
    pub(super) seq: u64,
    pub(super) at: u64,
    pub(super) length: usize,
}

/// What is in a fleet's journal: its decisions, and where each member's records are.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) roster: Roster,
    pub(super) places: HashMap<String, Vec<Place>>,
}

impl Book {
    /// Whether a record is a fleet's first.
    pub(super) fn opens(record: &Record<'_>) -> bool {
        record.is(OPEN)
    }

    /// The fleet that its first record names.
    pub(super) fn begin(record: &Record<'_>) -> Result<Self, String> {
        match record.content() {
            Ok(Decision::Open(charter)) if record.member.is_none() => {
                Self::of(charter).map_err(|illegal| illegal.to_string())
            }
            Ok(_) => Err("it does not open a fleet".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn of(charter: FleetIdentity) -> Result<Self, IllegalStep> {
        Ok(Self {
            roster: Roster::new(charter)?,
            places: HashMap::new(),
        })
    }

    /// Takes in the record that begins `at` and has so many bytes; or why it cannot be there.
    pub(super) fn take(&mut self, record: &Record<'_>, at: u64, length: usize) -> Result<(), String> {
        match &record.member {
            None => {
                let decision = record.content().map_err(|error| error.to_string())?;
                self.roster.apply(decision).map_err(|illegal| illegal.to_string())
            }
            Some(member) if self.roster.has(member) => {
                let seq = record.head.seq;
                self.keep(member, Place { seq, at, length });
                Ok(())
            }
            Some(member) => Err(format!("{} does not belong to the fleet", escape(member))),
        }
    }

    /// Remembers where a member's record is.
    pub(super) fn keep(&mut self, member: &str, place: Place) {
        match self.places.get_mut(member) {
            Some(places) => places.push(place),
            None => {
                self.places.insert(member.to_owned(), vec![place]);
            }
        }
    }

    /// Whether an upgrade is that of the member; or which one it is.
    pub(super) fn admit(&self, member: &str, identity: &Identity) -> Result<(), String> {
        let charter = &self.roster.charter;
        let cvm = identity.cvm.as_deref();
        if (cvm, identity.app, identity.chain_id) == (Some(member), charter.app, charter.chain_id) {
            return Ok(());
        }
        Err(format!(
            "an upgrade of {}, app {} on chain {}",
            escape(cvm.unwrap_or("no CVM")),
            identity.app,
            identity.chain_id
        ))
    }

    /// A member's records, read by their places.
    pub(super) fn entries(&self, file: &LineFile, member: &str) -> Result<Vec<Entry>, JournalError> {
        let places = self.places.get(member).map(Vec::as_slice).unwrap_or_default();
        let read = |place: &Place| {
            let bytes = file.part(place.at, place.length)?;
            let refused = |why: &str| damaged(file.path(), place.seq, why);
            let line = bytes
                .strip_suffix(b"\n")
                .ok_or_else(|| refused("it changed while it was read"))?;
            let record = Record::again(line).map_err(refused)?;
            if record.head.seq != place.seq || record.member.as_deref() != Some(member) {
                return Err(refused("it changed while it was read"));
            }
            self.entry(member, &record).map_err(|why| refused(&why))
        };
        places.iter().map(read).collect()
    }

    /// What a member's record says.
    pub(super) fn entry(&self, member: &str, record: &Record<'_>) -> Result<Entry, String> {
        let event = record.content().map_err(|error| error.to_string())?;
        if let Event::Open(identity) = &event {
            self.admit(member, identity)?;
        }
        let seq = record.head.seq;
        Ok(Entry { seq, event })
    }
}

/// File name within the directory of an upgrade or a fleet.
pub(in crate::upgrade) const FILE: &str = "journal";

/// Format that this build writes and the newest that it reads.
pub(in crate::upgrade) const SCHEMA: u32 = 1;

pub(super) const HEAD: &str = "journal.head";

/// An upgrade's journal holds tens of records; a larger file is not one.
pub(super) const MAX_BYTES: u64 = 16 << 20;

/// A fleet's holds those of some thousand CVMs.
pub(super) const MAX_FLEET_BYTES: u64 = 4 << 30;

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
    pub(super) held: Arc<Mutex<Held>>,
    pub(super) path: PathBuf,
    /// Under which name it writes, in a fleet's.
    pub(super) member: Option<String>,
}

/// The file itself, behind everybody who writes there.
#[derive(Debug)]
pub(in crate::upgrade) struct Held {
    pub(super) file: AppendFile,
    pub(super) last: Head,
    /// Where the next record begins.
    pub(super) end: u64,
    /// It is an older copy, now or when an earlier run found it.
    pub(super) older: bool,
    /// What is in it, if it is a fleet's.
    pub(super) book: Option<Book>,
}

/// What `journal.head` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    #[serde(flatten)]
    pub(super) last: Head,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) older: bool,
}

/// What a file has.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) last: Head,
    /// Bytes of whole records.
    pub(super) end: u64,
    pub(super) torn: u64,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(in crate::upgrade) enum Body {
    Own(Vec<Entry>),
    Fleet(Box<Book>),
}

impl Journal {
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

    /// SHA-256 of the last record with all before it: the head of the chain of records.
    pub(in crate::upgrade) fn last(&self) -> String {
        lock(&self.held).last.sum.clone()
    }

    /// Number of the next record.
    pub(in crate::upgrade) fn next(&self) -> u64 {
        lock(&self.held).last.seq + 1
    }
}

impl Held {
    pub(super) fn open(dir: &Path) -> Result<(Self, Body, Found), JournalError> {
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

    pub(super) fn append(
        &mut self,
        member: Option<&str>,
        content: &impl Serialize,
        room: bool,
    ) -> Result<(), JournalError> {
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
            let place = Place {
                seq: head.seq,
                at: self.end,
                length: line.len(),
            };
            book.keep(member, place);
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

pub(in crate::upgrade) fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(in crate::upgrade) fn open(dir: &Path) -> Result<LineFile, JournalError> {
    match LineFile::open(&dir.join(FILE)) {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => {
            Err(JournalError::Missing { dir: dir.to_owned() })
        }
        other => Ok(other?),
    }
}

pub(super) fn is_older(dir: &Path, last: &Head) -> bool {
    let Ok(bytes) = fsutil::read_own(&dir.join(HEAD), 4096) else {
        return false;
    };
    serde_json::from_slice::<Remembered>(&bytes).is_ok_and(|found| {
        let head = &found.last;
        found.older || head.seq > last.seq || (head.seq == last.seq && head.sum != last.sum)
    })
}

/// Reads a journal from its first line to its last, once.
pub(in crate::upgrade) fn read_file(file: &LineFile) -> Result<Contents, JournalError> {
    read_with(file, |_, _| {})
}

/// As [`read_file`]; `look` is shown each record of a fleet's member.
pub(super) fn read_with(file: &LineFile, mut look: impl FnMut(&Book, &Record<'_>)) -> Result<Contents, JournalError> {
    let mut contents = Contents {
        last: Head::genesis(),
        end: 0,
        torn: 0,
        body: Body::Own(Vec::new()),
    };
    match file.each(MAX_BYTES, |line| contents.take(file.path(), line.bytes, &mut look)) {
        Ok(rest) => {
            contents.torn = rest.bytes.len() as u64;
            Ok(contents)
        }
        Err(JournalError::Fs(error)) => Err(too_long(error, contents.last.seq + 1)),
        Err(error) => Err(error),
    }
}

/// A file that is too long to be a journal is none; the disk is not to blame.
pub(super) fn too_long(error: FsError, record: u64) -> JournalError {
    if error.source.kind() == std::io::ErrorKind::FileTooLarge {
        return damaged(&error.path, record, &error.source.to_string());
    }
    error.into()
}

pub(in crate::upgrade) fn damaged(path: &Path, record: u64, why: &str) -> JournalError {
    JournalError::Damaged {
        path: path.to_owned(),
        record,
        why: why.to_owned(),
    }
}

impl Contents {
    /// Takes the next line in, without its newline.
    fn take(
        &mut self,
        path: &Path,
        line: &[u8],
        look: &mut impl FnMut(&Book, &Record<'_>),
    ) -> Result<(), JournalError> {
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
            Body::Fleet(book) => {
                book.take(&record, self.end, length).map_err(|why| refused(&why))?;
                look(book, &record);
            }
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
    pub(super) fn first(path: &Path, record: &Record<'_>) -> Result<Self, JournalError> {
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
