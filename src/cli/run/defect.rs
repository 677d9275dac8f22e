//! A panic is a defect: it ends as one report with its own exit code, not as the runtime's.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use crate::cli::failure::error::CliError;

/// Where the last panic was; its message stays untold, since it may hold anything.
static PLACE: Mutex<String> = Mutex::new(String::new());

/// Runs `work`; a panic in it becomes an error.
///
/// Nothing of `work` is used after a panic but the journal, which is on disk and read again.
pub(in crate::cli) fn caught<T>(work: impl FnOnce() -> Result<T, CliError>) -> Result<T, CliError> {
    panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(String::new, ToString::to_string);
        *PLACE.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }));
    panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let place = PLACE.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Err(CliError::Defect { place })
    })
}
