//! What an upgrade is about, as data: plan, target, owner, proposal. Pure.

pub(super) mod actor;
pub(super) mod baseline;
pub(super) mod deployment;
pub(super) mod environment;
pub(super) mod in_use;
pub(super) mod intent;
pub(super) mod machine;
pub(super) mod plan;
pub(super) mod proposal;
pub(super) mod proposal_limits;
pub(super) mod remarks;
pub(super) mod route;
pub(super) mod safe_approval;
pub(super) mod storage_note;
pub(super) mod target;
pub(super) mod timelock_operation;
pub(super) mod tx_purpose;
pub(super) mod uncovered;
