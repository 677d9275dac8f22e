//! What the cloud keeps and says beside upgrades: who may log in to a CVM and what leads to it, what runs inside, machines and
//! quotes, accounts and sizes, and one request for several CVMs.
//!
//! None of it is in a compose hash, so no owner is asked for a change of it. What the cloud only says here is verified elsewhere.

pub mod account;
pub mod allowed;
pub mod attestations;
pub mod batch;
pub mod composition;
pub mod networking;
pub mod redeploy;
pub mod script;
pub mod ssh_keys;

pub use super::id::{AnyId, RevisionId, WorkspaceSlug};
