//! The journal: append-only, hash-chained lines, locked for the whole run.
//!
//! A line is `{"seq","prev","kind","body","sum"}`. `sum` is SHA-256 over the line without it, `prev` the line before's
//! sum. A torn last line is cut before the next append; any other damage is refused. `journal.head` remembers the last
//! record, so that an older copy of the journal is noticed, and that it was one, whatever is written after.
//!
//! An upgrade has a journal of its own in its directory, unless the directory is that of a fleet's member: then its
//! records are in the fleet's, one level above, each under the member's name, and what the fleet decides is between them.
//! Several members of one process write there at once, one record after the other.

mod file;
mod fleet;
mod line;
mod standing;

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::fsutil::{self, LineFile};
use crate::upgrade::{
    UpgradeError,
    journal_error::JournalError,
    record::State,
    record::journal::file::{Body, Held, read_file},
};

pub(in crate::upgrade) use file::{Entry, FILE, Found, Journal, SCHEMA, open};
pub(in crate::upgrade) use fleet::{FleetJournal, FleetReading, begins, is_fleet, standings};
pub(in crate::upgrade) use standing::fold;

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
        own(dir, &open(dir)?)
    }
}

fn own(dir: &Path, file: &LineFile) -> Result<Vec<Entry>, JournalError> {
    match read_file(file)?.body {
        Body::Own(entries) => Ok(entries),
        Body::Fleet(_) => Err(JournalError::Fleet { dir: dir.to_owned() }),
    }
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

#[cfg(test)]
mod tests;

/// Where the upgrade in `dir` stands by its records, without holding the journal.
pub(in crate::upgrade) fn state_in(dir: &Path) -> Result<State, UpgradeError> {
    stands(dir, Journal::peek(dir)?)
}

/// Where the upgrade in `dir` stands by the journal of its own that was opened.
pub(in crate::upgrade) fn state_of(dir: &Path, file: &LineFile) -> Result<State, UpgradeError> {
    stands(dir, own(dir, file)?)
}

fn stands(dir: &Path, entries: Vec<Entry>) -> Result<State, UpgradeError> {
    let state = fold(&dir.join(FILE), entries)?;
    if state.identity().is_none() {
        return Err(JournalError::Missing { dir: dir.to_owned() }.into());
    }
    Ok(state)
}

/// The directories in one directory: whether that is a fleet's, and they its members', is looked at once for all of them.
#[derive(Debug)]
pub(in crate::upgrade) struct Siblings {
    fleet: Option<FleetReading>,
    /// There is a fleet, and it cannot be read: whoever opens a member finds out.
    is_damaged: bool,
}

impl Siblings {
    /// Those in `above`.
    pub(in crate::upgrade) fn within(above: &Path) -> Self {
        let fleet = fleet::seems_fleet(above).then(|| FleetReading::open(above));
        Self {
            is_damaged: fleet.as_ref().is_some_and(Result::is_err),
            fleet: fleet.and_then(Result::ok),
        }
    }

    /// Where the upgrade in `dir` stands, which is one of them; nothing where it [`holds`] none.
    pub(in crate::upgrade) fn state_in(&self, dir: &Path) -> Option<Result<State, UpgradeError>> {
        if self.is_damaged || fsutil::is_symlink(dir) {
            return holds(dir).then(|| state_in(dir));
        }
        if let (Some(fleet), Some(member)) = (&self.fleet, dir.file_name().and_then(|name| name.to_str()))
            && fleet.roster().has(member)
        {
            let entries = fleet.has_records(member).then(|| fleet.entries(member))?;
            return Some(
                entries
                    .map_err(UpgradeError::from)
                    .and_then(|entries| stands(dir, entries)),
            );
        }
        match open(dir) {
            Ok(file) if begins(&file) => None,
            Ok(file) => Some(state_of(dir, &file)),
            Err(error) => dir.join(FILE).exists().then(|| Err(error.into())),
        }
    }
}
