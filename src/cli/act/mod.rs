//! What several commands do.

pub(super) mod advance;
pub(super) mod api;
pub(super) mod attest;
pub(super) mod begin;
pub(super) mod cvms;
pub(super) mod drift;
pub(super) mod failed;
pub(super) mod fleet;
pub(super) mod fleet_attest;
pub(super) mod page;
pub(super) mod place;
pub(super) mod power;
pub(super) mod probe;
pub(super) mod storage;
pub(super) mod unapproved;
pub(super) mod waiting;
