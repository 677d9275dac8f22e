//! A fleet's journal: one file for all of its members. Whoever reads it reads it once, and then a member's records by
//! their places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use alloy::primitives::Address;

use crate::fsutil::{self, LineFile};
use crate::text::escape;
use crate::upgrade::{
    journal_error::JournalError,
    record::{
        event::{Event, Identity, IllegalStep},
        fleet_decisions::{Charter, Decision, Roster},
        gitignore::{self, Holds},
        journal::{Body, Entry, FILE, Found, Held, Journal, damaged, line::Record, lock, open, read_file},
    },
};

/// Kind of a fleet's first record.
pub(in crate::upgrade) const OPEN: &str = "fleet.open";
/// The same, as the record begins with it.
pub(in crate::upgrade) const KIND: &str = r#""kind":"fleet.open""#;
/// How much of a journal says whose it is.
pub(in crate::upgrade) const START: u64 = 512;

/// What is in a fleet's journal: its decisions, and where each member's records are.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) roster: Roster,
    places: HashMap<String, Vec<Place>>,
}

/// Where a record is.
#[derive(Debug, Clone, Copy)]
pub(in crate::upgrade) struct Place {
    seq: u64,
    at: u64,
    length: usize,
}

/// A fleet's journal that this process holds; copies write to the same file.
#[derive(Debug, Clone)]
pub(in crate::upgrade) struct FleetJournal {
    held: Arc<Mutex<Held>>,
    path: PathBuf,
    found: Found,
}

/// A fleet's journal that is only read.
#[derive(Debug)]
pub(in crate::upgrade) struct FleetReading {
    file: LineFile,
    book: Box<Book>,
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

    fn of(charter: Charter) -> Result<Self, IllegalStep> {
        Ok(Self {
            roster: Roster::new(charter)?,
            places: HashMap::new(),
        })
    }

    /// Takes in the record that begins `at` and has so many bytes; or why it cannot be there.
    pub(super) fn take(&mut self, record: &Record<'_>, (at, length): (u64, usize)) -> Result<(), String> {
        match &record.member {
            None => {
                let decision = record.content().map_err(|error| error.to_string())?;
                self.roster.apply(decision).map_err(|illegal| illegal.to_string())
            }
            Some(member) if self.roster.has(member) => {
                self.keep(member, (record.head.seq, at, length));
                Ok(())
            }
            Some(member) => Err(format!("{} does not belong to the fleet", escape(member))),
        }
    }

    /// Remembers where a member's record is.
    pub(super) fn keep(&mut self, member: &str, (seq, at, length): (u64, u64, usize)) {
        let place = Place { seq, at, length };
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
    fn entries(&self, file: &LineFile, member: &str) -> Result<Vec<Entry>, JournalError> {
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
            let event = record.content().map_err(|error| refused(&error.to_string()))?;
            if let Event::Open(identity) = &event {
                self.admit(member, identity).map_err(|found| refused(&found))?;
            }
            Ok(Entry { seq: place.seq, event })
        };
        places.iter().map(read).collect()
    }
}

impl FleetJournal {
    /// Opens or creates the journal of the fleet in `dir` and holds it.
    pub(in crate::upgrade) fn hold(dir: &Path) -> Result<Self, JournalError> {
        fsutil::create_private_dir(dir)?;
        gitignore::protect(dir, Holds::Fleet)?;
        let (mut held, body, found) = Held::open(dir)?;
        let path = held.file.path().to_owned();
        match body {
            Body::Fleet(book) => held.book = Some(*book),
            Body::Own(entries) if entries.is_empty() => {}
            Body::Own(_) => {
                return Err(JournalError::Foreign {
                    path,
                    expected: "a fleet".to_owned(),
                    found: "one upgrade".to_owned(),
                });
            }
        }
        Ok(Self {
            held: Arc::new(Mutex::new(held)),
            path,
            found,
        })
    }

    /// Its path, canonical.
    pub(in crate::upgrade) fn path(&self) -> &Path {
        &self.path
    }

    /// What opening found besides the records.
    pub(super) const fn found(&self) -> Found {
        self.found
    }

    /// What a person should know of how it was opened.
    pub(in crate::upgrade) const fn recovered(&self) -> (u64, Option<u32>, bool) {
        (self.found.torn, self.found.tightened, self.found.rolled_back)
    }

    /// The fleet as far as it is decided; none before its first record.
    pub(in crate::upgrade) fn roster(&self) -> Option<Roster> {
        lock(&self.held).book.as_ref().map(|book| book.roster.clone())
    }

    /// The app, and its chain; none before its first record.
    pub(in crate::upgrade) fn app(&self) -> Option<(Address, u64)> {
        let held = lock(&self.held);
        let charter = held.book.as_ref().map(|book| &book.roster.charter);
        charter.map(|charter| (charter.app, charter.chain_id))
    }

    /// Whether `cvm` belongs to it.
    pub(in crate::upgrade) fn has(&self, cvm: &str) -> bool {
        lock(&self.held).book.as_ref().is_some_and(|book| book.roster.has(cvm))
    }

    /// Writes the first record.
    pub(in crate::upgrade) fn begin(&self, charter: Charter) -> Result<(), JournalError> {
        let mut held = lock(&self.held);
        let book = Book::of(charter.clone()).map_err(|illegal| damaged(&self.path, 1, &illegal.to_string()))?;
        held.append(None, &Decision::Open(charter), true)?;
        held.book = Some(book);
        Ok(())
    }

    /// Appends a decision; it is on disk when this returns.
    pub(in crate::upgrade) fn record(&self, decision: Decision) -> Result<(), JournalError> {
        let mut held = lock(&self.held);
        let number = held.last.seq + 1;
        let refused = |why: String| damaged(&self.path, number, &why);
        let roster = held.book.as_ref().map(|book| &book.roster);
        match roster.map(|roster| roster.check(&decision)) {
            None => return Err(refused("the fleet has not been opened".to_owned())),
            Some(checked) => checked.map_err(|illegal| refused(illegal.to_string()))?,
        }
        held.append(None, &decision, true)?;
        match &mut held.book {
            Some(book) => book
                .roster
                .apply(decision)
                .map_err(|illegal| refused(illegal.to_string())),
            None => Ok(()),
        }
    }

    /// A member's part, and the records that are there. What opening the whole found is told by whoever opened it.
    pub(in crate::upgrade) fn member(&self, cvm: &str) -> Result<(Journal, Vec<Entry>), JournalError> {
        let held = lock(&self.held);
        let entries = match &held.book {
            Some(book) if book.roster.has(cvm) => book.entries(&held.file.lines()?, cvm)?,
            _ => {
                return Err(JournalError::Foreign {
                    path: self.path.clone(),
                    expected: format!("a fleet with {cvm}"),
                    found: "one without it".to_owned(),
                });
            }
        };
        let journal = Journal {
            held: Arc::clone(&self.held),
            path: self.path.clone(),
            member: Some(cvm.to_owned()),
        };
        Ok((journal, entries))
    }

    /// The same, for one of several members under way: only that the journal is an older copy is left to tell.
    pub(in crate::upgrade) fn quiet(&self) -> Found {
        Found {
            rolled_back: self.found.rolled_back,
            ..Found::default()
        }
    }
}

impl FleetReading {
    /// Reads the journal of the fleet in `dir` once; an incomplete last record is ignored.
    pub(in crate::upgrade) fn open(dir: &Path) -> Result<Self, JournalError> {
        let file = open(dir)?;
        match read_file(&file)?.body {
            Body::Fleet(book) => Ok(Self { file, book }),
            Body::Own(entries) if entries.is_empty() => Err(JournalError::Missing { dir: dir.to_owned() }),
            Body::Own(_) => Err(JournalError::Foreign {
                path: dir.join(FILE),
                expected: "a fleet".to_owned(),
                found: "one upgrade".to_owned(),
            }),
        }
    }

    /// The fleet as far as it is decided.
    pub(in crate::upgrade) const fn roster(&self) -> &Roster {
        &self.book.roster
    }

    /// A member's records.
    pub(in crate::upgrade) fn entries(&self, member: &str) -> Result<Vec<Entry>, JournalError> {
        self.book.entries(&self.file, member)
    }

    /// Whether a member has any.
    pub(in crate::upgrade) fn has_records(&self, member: &str) -> bool {
        self.book.places.contains_key(member)
    }
}

/// The fleet's directory above `dir`, and the name that `dir` has there, if there is a fleet.
pub(super) fn above(dir: &Path) -> Option<(PathBuf, String)> {
    let dir = fsutil::absolute(dir).ok()?;
    let (above, name) = (dir.parent()?, dir.file_name()?.to_str()?);
    seems_fleet(above).then(|| (above.to_owned(), name.to_owned()))
}

/// Whether the journal in `dir` is a fleet's, by how it begins.
pub(in crate::upgrade) fn is_fleet(dir: &Path) -> bool {
    start_of(dir).is_some_and(|start| start.contains(KIND))
}

/// The same, for a journal that may be damaged there: what is no upgrade's is taken for a fleet's, so that the damage is
/// found by who reads it.
pub(in crate::upgrade) fn seems_fleet(dir: &Path) -> bool {
    start_of(dir).is_some_and(|start| {
        let is_ours = start.starts_with(r#"{"seq":1,"prev":"0000"#);
        start.contains(KIND) || (is_ours && !start.contains(r#""kind":"open""#))
    })
}

/// How the first line begins.
pub(in crate::upgrade) fn start_of(dir: &Path) -> Option<String> {
    let start = fsutil::read_start(&dir.join(FILE), START).ok()?;
    let first = start.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(first).into_owned())
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
