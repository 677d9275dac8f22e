//! Why a journal cannot be used.

use std::path::PathBuf;

use crate::fsutil::{FsError, HoldError};

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another process holds it, or it is not a file that may be used.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// The disk said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// There is none.
    #[error("`{}` holds no upgrade", dir.display())]
    Missing {
        /// Directory.
        dir: PathBuf,
    },
    /// A record is not what was written.
    #[error("`{}` is damaged at record {record}: {why}", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// First bad record, counted from 1.
        record: u64,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer version.
    #[error("`{}` has format {found}; this version reads up to {known}", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// It is a fleet's: whose upgrade is meant was not said.
    #[error("`{}` holds a fleet, not one upgrade", dir.display())]
    Fleet {
        /// Directory.
        dir: PathBuf,
    },
    /// It belongs to another upgrade.
    #[error("`{}` belongs to {found}, not to {expected}", path.display())]
    Foreign {
        /// The journal.
        path: PathBuf,
        /// What was expected.
        expected: String,
        /// What it belongs to.
        found: String,
    },
}
