//! One upgrade: one intent, from prepare to the CVM running it, kept in one directory.
//!
//! | floor | what stands there |
//! |---|---|
//! | `accepted` `error` `finding` `files` `journal_error` | what may go wrong, and what somebody agreed to |
//! | `model` | what an upgrade is about, as data |
//! | `world` | cloud, chain, key, person, limits |
//! | `record` | what happened: events, the state that follows from them, journal, evidence |
//! | `checks` | whether something may be signed, sent or committed |
//! | `planning` | reads cloud and chain, and judges |
//! | `workspace` | the directory, and what stands in it |
//! | `run` | what every step has |
//! | `routes` | how an owner acts |
//! | `steps` | the loop, one file for each step |
//! | `review` | what a signer is shown, as data |
//! | `fleet` | many CVMs, many apps |
//!
//! Each may use the floors above it in this table, and none below. Callers need [`plan()`], [`Upgrade`] and [`World`];
//! nothing here prints or reads the environment.

mod accepted;
mod checks;
mod error;
mod files;
mod finding;
mod fleet;
mod journal_error;
mod model;
mod planning;
mod record;
pub mod review;
mod routes;
mod run;
#[cfg(test)]
mod sample;
mod steps;
mod workspace;
mod world;

use std::path::Path;

pub use crate::upgrade::model::actor::SaltRule;
pub use crate::upgrade::model::machine::Machine;
pub use accepted::{AcceptError, Acceptance, Accepted};
pub use checks::findings::lost_on_image;
pub use error::{Pending, UpgradeError};
pub use finding::{Finding, Origin, Stop, Verdict, Warning};
pub use fleet::apps::{AppIntent, Apps, by_app};
pub use fleet::{Counts, Fleet, Halt, Invitation, Member, Standing, Wave, WaveEnd, Waves, cvms_of};
pub use journal_error::JournalError;
pub use model::actor::{Actor, TimelockChoice, TimelockPlan};
pub use model::deployment::{DeployIntent, Deployment};
pub use model::environment::{EnvRequest, Environment, Vouched};
pub use model::in_use::InUse;
pub use model::intent::{Expected, Intent};
pub use model::plan::{CodeChange, Plan};
pub use model::proposal::Proposal;
pub use model::remarks::safe_code;
pub use model::route::Route;
pub use model::safe_approval::{
    Ballot, Ceremony, Frozen, NestedSection, Paper, RejectionSection, SafeSection, Signed, Stage, upper_s,
};
pub use model::storage_note::StorageNote;
pub use model::target::{Seat, Target};
pub use model::timelock_operation::{Choice, Scheduled, TimelockSection};
pub use model::tx_purpose::Errand;
pub use model::uncovered::Uncovered;
pub use planning::neighbours::APPS_FILE;
pub use planning::pending_updates::recall;
pub use planning::policy::{PolicyIntent, Wish, plan_policy};
pub use planning::read::plan;
pub use planning::seal::seal_new;
pub use record::event::{Event, Identity, IllegalStep, Preparation};
pub use record::gitignore::STATE_DIR;
pub use record::state::State;
pub use record::status::{Effect, Effects, Facts, OtherFacts, Status};
pub use record::step::Step;
pub use routes::subject::Checked;
pub use routes::timelock::scheduling::{OperationNow, look_at_operation};
pub use steps::beforehand::{look_ahead, recognise_kms};
pub use steps::deploy::plan_deployment;
pub use steps::proof_again::{ProofNow, look_at_proof};
pub use steps::values::{ValuesChange, ValuesSent};
pub use workspace::document::{Document, Subject};
pub use workspace::rejection_only::ToReject;
pub use workspace::storage_note::{KnownStorage, safe_storage, standing_approvals, timelock_storage};
pub use workspace::upgrade::Upgrade;
pub use world::{Goal, Limits, Outcome, Reached, World};

/// Name of the public file within an upgrade's directory.
pub const PROPOSAL_FILE: &str = crate::upgrade::model::proposal::FILE;
/// Name of the journal within an upgrade's directory.
pub const JOURNAL_FILE: &str = crate::upgrade::record::journal::FILE;
/// Name of the auditors' page within an upgrade's directory.
pub const EVIDENCE_FILE: &str = crate::upgrade::record::evidence::TEXT;

/// Whether `dir` holds an upgrade. Reads the directory only.
pub fn holds(dir: &Path) -> bool {
    crate::upgrade::record::journal::holds(dir)
}

/// Directories below `root` that hold an upgrade, oldest first.
///
/// # Errors
/// `root` cannot be read.
pub fn find(root: &Path) -> Result<Vec<std::path::PathBuf>, UpgradeError> {
    Ok(crate::fsutil::list(root)?
        .into_iter()
        .filter(|dir| holds(dir))
        .collect())
}
