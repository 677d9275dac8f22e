//! `execute`: get the owner's authority and send the call.

use clap::Args;

use super::advance;
use crate::cli::args::{Agree, Key, Multisig, Reach, Settle, Which};
use crate::cli::error::CliError;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cli::settings::Typed;
use crate::upgrade::Goal;

/// Sign and send the call that allows the compose hash
///
/// The transaction's bytes are on disk before they are sent; running again sends the same bytes, never another nonce.
/// Where the owner is a contract, it shows the call and waits for nobody: see `wait`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign execute --dir .countersign/my-app-1a2b3c4d --signer keystore:~/key.json"
)]
pub(in crate::cli) struct Execute {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    agree: Agree,
}

impl Execute {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = Typed {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            settle: Some(&self.settle),
            key: Some(&self.key),
            agree: Some(&self.agree),
            ..Typed::default()
        };
        advance(session, &self.which, typed, (Goal::Executed, "execute")).await
    }
}
