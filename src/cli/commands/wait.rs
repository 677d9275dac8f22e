//! `wait`: wait for the approval and prove it.

use clap::Args;

use super::advance;
use crate::cli::args::{Multisig, Reach, Settle, Which};
use crate::cli::error::CliError;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cli::settings::Typed;
use crate::upgrade::Goal;

/// Wait until the hash is allowed on chain, in a block that stays, and prove it
///
/// A receipt alone proves nothing: the app's own event in a canonical block and the state there and at the head do. Needs
/// no key and no API key. Ends with 8 when the time is over and nothing is wrong.
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
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = Typed {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            settle: Some(&self.settle),
            ..Typed::default()
        };
        advance(session, &self.which, typed, (Goal::Proved, "wait")).await
    }
}
