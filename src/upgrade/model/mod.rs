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
pub(super) mod unapproved;
pub(super) mod uncovered;

pub use actor::SaltRule;
pub use actor::{Actor, TimelockChoice, TimelockPlan};
pub use deployment::{DeployIntent, Deployment};
pub use environment::{EnvRequest, Environment, Vouched};
pub use in_use::InUse;
pub use intent::{Expected, Intent};
pub use machine::Machine;
pub use plan::{CodeChange, Plan};
pub use proposal::Proposal;
pub use remarks::{policy_code, safe_code};
pub use route::Route;
pub use safe_approval::{
    FrozenSafeTx, NestedSection, RejectionSection, SafeApproval, SafeSection, SafeTxRole, Signed, SignedSafeTx, Stage,
    upper_s,
};
pub use storage_note::StorageNote;
pub use target::{Placement, Target};
pub use timelock_operation::{Choice, Scheduled, TimelockSection};
pub use tx_purpose::TxPurpose;
pub use unapproved::UnapprovedPlan;
pub use uncovered::Uncovered;
