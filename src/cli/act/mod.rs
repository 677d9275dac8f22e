//! What several commands do.

pub(super) mod failed;
pub(super) mod fleet;
pub(super) mod storage;
