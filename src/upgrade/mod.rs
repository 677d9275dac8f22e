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
//!
//! ```
//! use std::path::Path;
//!
//! use countersign::upgrade::model::Proposal;
//!
//! // The file that every signer gets says what its calls do, and which images run after it.
//! let proposal = Proposal::read(Path::new("tests/vectors/proposals-0.1.0/timelock.json"))?;
//! let (_, after, (hash, _)) = proposal.code().ok_or("a change of code")?;
//! assert_eq!(after.images().len(), 1);
//! assert_eq!(proposal.changes().to_string(), format!("allow compose hash {hash}"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accepted;
mod checks;
mod error;
mod files;
mod finding;
pub mod fleet;
mod journal_error;
pub mod model;
mod planning;
pub mod record;
pub mod review;
mod routes;
mod run;
#[cfg(test)]
mod sample;
pub mod steps;
pub mod workspace;
mod world;

use std::path::{Path, PathBuf};

use record::State;
use record::journal::Siblings;

pub use accepted::{AcceptError, Acceptance, Accepted};
pub use checks::os_image::check_image;
pub use error::{Pending, UpgradeError};
pub use finding::{Finding, Origin, Stop, Verdict, Warning};
pub use journal_error::JournalError;
pub use planning::neighbours::APPS_FILE;
pub use planning::pending_updates::recall;
pub use planning::policy::{PolicyIntent, Wish, plan_policy};
pub use planning::read::plan;
pub use planning::rollback;
pub use planning::seal;
pub use planning::{adoption, attestation};
pub use routes::subject::Checked;
pub use routes::timelock::scheduling::{OperationNow, look_at_operation};
pub use workspace::upgrade::Upgrade;
pub use world::{Goal, Limits, Outcome, Reached, World};

/// Name of the public file within an upgrade's directory.
pub const PROPOSAL_FILE: &str = crate::upgrade::model::proposal::FILE;

/// Whether `dir` holds an upgrade. Reads the directory only.
pub fn holds(dir: &Path) -> bool {
    crate::upgrade::record::journal::holds(dir)
}

/// The upgrades in the directories of `root`, by name, and where each stands; its journal is read when it is its turn.
///
/// # Errors
/// `root` cannot be read.
pub fn each(root: &Path) -> Result<impl Iterator<Item = (PathBuf, Result<State, UpgradeError>)>, UpgradeError> {
    let siblings = Siblings::within(root);
    let dirs = crate::fsutil::list(root)?.into_iter();
    Ok(dirs.filter_map(move |dir| {
        let state = siblings.state_in(&dir)?;
        Some((dir, state))
    }))
}
