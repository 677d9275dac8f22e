//! `resume`: go on with an upgrade as far as it can go now.

use clap::Args;

use crate::cli::act::advance::advance;
use crate::cli::act::probe;
use crate::cli::args::attesting::Attesting;
use crate::cli::args::probing::Probing;
use crate::cli::args::{Agree, Allow, Key, Multisig, Notices, Reach, Settle, SharedOptions, Watch, Which};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::upgrade::Goal;

/// Go on with an upgrade as far as it can go now
///
/// Looks at chain and cloud first, then does what comes next, step by step, until the CVM runs the new hash or something
/// has to be waited for. Safe to run as often as you like.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign resume --yes --json")]
pub(in crate::cli) struct Resume {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    key: Key,
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

impl Resume {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            settle: Some(&self.settle),
            key: Some(&self.key),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            watch: Some(&self.watch),
            attesting: Some(&self.attesting),
            ..SharedOptions::default()
        };
        let report = advance(session, &self.which, typed, Goal::Live).await?;
        Ok(probe::follow(session, &self.probing, self.reach.timeout, report).await)
    }
}
