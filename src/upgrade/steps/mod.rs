//! The loop, and what each step of an upgrade does.

pub(super) mod advance;
pub(super) mod approve;
pub(super) mod at_once;
pub(super) mod beforehand;
pub(super) mod cloud_word;
pub(super) mod commit;
pub(super) mod commit_request;
pub(super) mod deploy;
pub(super) mod goal;
pub(super) mod new_cvm;
pub(super) mod prepare;
pub(super) mod proof_again;
pub(super) mod raise;
pub(super) mod token_status;
pub(super) mod unapproved;
pub(super) mod values;
pub(super) mod wait;
pub(super) mod watch;

pub use crate::upgrade::checks::images::check_sent;
pub use crate::upgrade::planning::governance::governance_of;
pub use crate::upgrade::planning::read::{Planned, plan_either};
pub use beforehand::{look_ahead, recognise_kms};
pub use deploy::plan_deployment;
pub use proof_again::{ProofNow, look_at_proof};
pub use unapproved::{Applied, applied_effects};
pub use values::{ValuesChange, ValuesSent};
