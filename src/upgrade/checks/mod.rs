//! Whether something may be signed, sent or committed: one home for each check.

pub(super) mod app;
pub(super) mod baseline;
pub(super) mod consent;
pub(super) mod findings;
pub(super) mod governance;
pub(super) mod images;
pub(super) mod kms;
pub(super) mod new_owner;
pub(super) mod os_image;
pub(super) mod pending_operations;
pub(super) mod safe;
pub(super) mod safe_findings;
pub(super) mod timelock;
pub(super) mod uncovered;
pub(super) mod verdict;
