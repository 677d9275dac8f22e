//! A fleet's journal: one file for all of its members. Whoever reads it reads it once, and then a member's records by
//! their places.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use alloy::primitives::Address;

use crate::fsutil::{self, LineFile};
use crate::upgrade::{
    UpgradeError,
    journal_error::JournalError,
    record::State,
    record::{
        fleet_decisions::{Decision, FleetIdentity, Roster},
        gitignore::{self, Holds},
        journal::file::{
            Body, Book, Contents, Entry, FILE, Found, Held, Journal, KIND, START, damaged, lock, open, read_file,
            read_with,
        },
        journal::standing::take,
    },
};

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
    pub(in crate::upgrade) fn begin(&self, charter: FleetIdentity) -> Result<(), JournalError> {
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

    /// Findings of the opening for one of several members under way: only whether the journal is an older copy is left
    /// to tell.
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
        let book = of_fleet(dir, read_file(&file)?)?;
        Ok(Self { file, book })
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

/// A member's directory, and where it stands.
type Standing = (PathBuf, Result<State, UpgradeError>);

/// Where each member of the fleet in `dir` stands that has records, in the order of the members: at most `most` of them, and
/// whether there are more. Reads every record once.
pub(in crate::upgrade) fn standings(
    dir: &Path,
    file: &LineFile,
    most: usize,
) -> Result<(Vec<Standing>, bool), JournalError> {
    let mut states: HashMap<String, Result<State, UpgradeError>> = HashMap::new();
    let mut more = false;
    let contents = read_with(file, |book, record| {
        let Some(member) = &record.member else { return };
        if !states.contains_key(member) {
            match states.len() < most {
                true => drop(states.insert(member.clone(), Ok(State::default()))),
                false => more = true,
            }
        }
        if let Some(state) = states.get_mut(member)
            && let Ok(so_far) = state
        {
            let entry = book.entry(member, record);
            let entry = entry.map_err(|why| damaged(file.path(), record.head.seq, &why).into());
            if let Err(error) = entry.and_then(|entry| take(so_far, file.path(), entry)) {
                *state = Err(error);
            }
        }
    })?;
    let book = of_fleet(dir, contents)?;
    let members = book.roster.members.iter();
    let found = members.filter_map(|cvm| Some((dir.join(cvm), states.remove(cvm)?)));
    Ok((found.collect(), more))
}

fn of_fleet(dir: &Path, contents: Contents) -> Result<Box<Book>, JournalError> {
    match contents.body {
        Body::Fleet(book) => Ok(book),
        Body::Own(entries) if entries.is_empty() => Err(JournalError::Missing { dir: dir.to_owned() }),
        Body::Own(_) => Err(JournalError::Foreign {
            path: dir.join(FILE),
            expected: "a fleet".to_owned(),
            found: "one upgrade".to_owned(),
        }),
    }
}

/// Whether the journal in `dir` is a fleet's, by how it begins.
pub(in crate::upgrade) fn is_fleet(dir: &Path) -> bool {
    open(dir).is_ok_and(|file| begins(&file))
}

/// Whether a journal is a fleet's, by how it begins.
pub(in crate::upgrade) fn begins(file: &LineFile) -> bool {
    start_of(file).is_some_and(|start| start.contains(KIND))
}

/// Whether the journal in `dir` is taken for a fleet's: so is one that is damaged where it says whose it is, so that
/// whoever opens it finds the damage.
pub(in crate::upgrade) fn seems_fleet(dir: &Path) -> bool {
    let start = open(dir).ok().and_then(|file| start_of(&file));
    start.is_some_and(|start| {
        let is_ours = start.starts_with(r#"{"seq":1,"prev":"0000"#);
        start.contains(KIND) || (is_ours && !start.contains(r#""kind":"open""#))
    })
}

/// How the first line begins.
fn start_of(file: &LineFile) -> Option<String> {
    let start = file.start(START).ok()?;
    let first = start.split(|byte| *byte == b'\n').next()?;
    Some(String::from_utf8_lossy(first).into_owned())
}

#[cfg(test)]
#[path = "fleet_tests.rs"]
mod tests;
