//! How an owner acts: by key, Safe, timelock, other contract, or for several apps at once.

pub(super) mod batch;
pub(super) mod reject;
pub(super) mod safe;
pub(super) mod safe_nonce;
pub(super) mod safe_on_chain;
pub(super) mod safe_recognise;
pub(super) mod safe_shown;
pub(super) mod safe_sign;
pub(super) mod subject;
pub(super) mod timelock;
pub(super) mod timelock_scheduling;
pub(super) mod timelock_waiting;
pub(super) mod transaction;
