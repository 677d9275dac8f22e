//! What several commands do.

pub(super) mod storage;
