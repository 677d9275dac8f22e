//! `commit`: hand the proof to the cloud and watch the CVM.

use clap::Args;

use crate::cli::act::advance::advance;
use crate::cli::act::probe;
use crate::cli::args::attesting::Attesting;
use crate::cli::args::probing::Probing;
use crate::cli::args::{Agree, Allow, Reach, Settle, SharedOptions, Watch, Which};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::upgrade::Goal;

/// Commit the approved update, and watch the CVM restart
///
/// It is over when the CVM reports the new hash.
/// The proof is made again first. When the reply to a commit is lost, the next run finds out what became of it before
/// anything is sent again. A commit token that died is replaced by preparing again, which has to give the same hash.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign commit --dir .countersign/my-app-1a2b3c4d --yes")]
pub(in crate::cli) struct Commit {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    agree: Agree,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    attesting: Attesting,
    #[command(flatten)]
    probing: Probing,
}

impl Commit {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            settle: Some(&self.settle),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            watch: Some(&self.watch),
            attesting: Some(&self.attesting),
            ..SharedOptions::default()
        };
        let report = advance(session, &self.which, typed, Goal::Committed).await?;
        Ok(probe::follow(session, &self.probing, self.reach.timeout, report).await)
    }
}
