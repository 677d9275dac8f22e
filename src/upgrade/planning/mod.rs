//! Reads cloud and chain, and judges what was read. Changes nothing.

pub mod adoption;
pub mod attestation;
pub(super) mod authority;
pub(super) mod examine;
pub(super) mod governance;
pub(super) mod login;
pub(super) mod neighbours;
pub(super) mod new_owner;
pub(super) mod own_history;
pub(super) mod pending_updates;
pub(super) mod placement;
pub(super) mod policy;
pub(super) mod read;
pub(super) mod revoke;
pub mod rollback;
pub mod seal;
pub(super) mod unapproved;
