//! The directory of an upgrade: opening it, its files, proposals beside it, and what other directories of this machine know.

pub(super) mod applied_log;
pub(super) mod document;
pub(super) mod environment_files;
pub(super) mod merge;
pub(super) mod open;
pub(super) mod received;
pub(super) mod record_log;
pub(super) mod rejection_only;
pub(super) mod signed_digests;
pub(super) mod storage_note;
pub(super) mod upgrade;
pub(super) mod values_log;

pub use document::{Document, Subject};
pub use rejection_only::ToReject;
pub use storage_note::{KnownStorage, safe_storage, standing_approvals, timelock_storage};
