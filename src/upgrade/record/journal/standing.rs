//! Where an upgrade stands, by what its records come to. Pure.

use std::path::Path;

use crate::upgrade::{UpgradeError, journal_error::JournalError, record::State, record::journal::file::Entry};

/// What an upgrade's records come to.
pub(in crate::upgrade) fn fold(path: &Path, entries: Vec<Entry>) -> Result<State, UpgradeError> {
    let mut state = State::default();
    for entry in entries {
        take(&mut state, path, entry)?;
    }
    Ok(state)
}

/// Takes the next record of the journal at `path` in.
pub(super) fn take(state: &mut State, path: &Path, entry: Entry) -> Result<(), UpgradeError> {
    let Entry { seq, event } = entry;
    state.apply(event).map_err(|illegal| {
        let damaged = JournalError::Damaged {
            path: path.to_owned(),
            record: seq,
            why: illegal.to_string(),
        };
        damaged.into()
    })
}
