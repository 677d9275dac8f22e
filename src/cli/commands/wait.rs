//! `wait`: wait for the approval and prove it.

use clap::Args;

use std::path::Path;

use crate::cli::act::advance::advance;
use crate::cli::args::{Multisig, Reach, Settle, SharedOptions, Which};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::known::placed;
use crate::cli::show::report::Report;
use crate::upgrade::{Goal, record::Effect};

/// Wait until the hash is allowed on chain, and prove it
///
/// A receipt alone proves nothing: the app's own event in a canonical block and the state there and at the head do. Needs
/// no key and no API key, and leaves nothing behind where the proposal is somebody else's. Ends with 8 when the time is over and nothing is wrong.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign wait proposal.json --timeout 1h --finality safe")]
pub(in crate::cli) struct Wait {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    settle: Settle,
}

impl Wait {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            settle: Some(&self.settle),
            ..SharedOptions::default()
        };
        let which = placed(&self.which);
        match &which.proposal {
            Some(file) if session.journal_of(file)?.is_none() => watch(session, file, typed).await,
            _ => advance(session, &which, typed, Goal::Proved).await,
        }
    }
}

/// Proves what somebody else's proposal asked for. The token and the commit are theirs, and nothing is kept here.
async fn watch(session: &Session, file: &Path, typed: SharedOptions<'_>) -> Result<Report, CliError> {
    let settings = session.settings(typed)?;
    let outside = session.outside(&settings);
    let (mut upgrade, _passing) = session.watch(file)?;
    let outcome = upgrade
        .advance(&outside.world(), Goal::Proved, &settings.limits)
        .await?;
    let mut report = session.watched(file, &upgrade, &outcome);
    let is_code = upgrade.state().code().is_some();
    if upgrade.status().effects.transaction == Effect::Done && is_code {
        report.certain = Some("The hash is allowed on chain; whether it was committed is not asked here.".to_owned());
    }
    if let Some(certain) = report.certain.clone() {
        report.message = match report.code {
            crate::code::Code::Ok => certain.clone(),
            _ => report.message,
        };
        crate::cli::show::view::standing_alone(&mut report.page, &upgrade.status(), &certain, file);
    }
    Ok(report)
}
