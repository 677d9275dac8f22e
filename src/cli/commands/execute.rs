//! `execute`: get the owner's authority and send the call.

use alloy::primitives::Address;
use clap::Args;

use crate::cli::act::advance::advance;
use crate::cli::act::page;
use crate::cli::args::values;
use crate::cli::args::{Agree, Key, Multisig, Notices, Reach, Reviewed, Settle, SharedOptions, Which};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::upgrade::Goal;

/// Sign and send the call that allows the compose hash
///
/// The transaction's bytes are on disk before they are sent; running again sends the same bytes, never another nonce.
/// Where a Safe owns the app, any key executes the Safe transaction once enough owners signed; it is simulated first.
/// Where the owner is another contract, it shows the call and waits for nobody: see `wait`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign execute --dir .countersign/my-app-1a2b3c4d --signer keystore:~/key.json"
)]
pub(in crate::cli) struct Execute {
    #[command(flatten)]
    which: Which,
    /// Execute what the owners of this Safe signed, which is itself an owner: its approval on chain
    #[arg(long = "for", value_name = "SAFE", value_parser = values::address)]
    nested: Option<Address>,
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
    reviewed: Reviewed,
    #[command(flatten)]
    agree: Agree,
}

impl Execute {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            settle: Some(&self.settle),
            key: Some(&self.key),
            reviewed: Some(&self.reviewed),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let Some(child) = self.nested else {
            return advance(session, &self.which, typed, Goal::Executed).await;
        };
        let settings = session.settings(typed)?;
        let outside = session.outside(&settings);
        let mut upgrade = session.open(&self.which)?;
        let world = outside.world();
        page::offer_review(session, &settings, &world, page::Signed::of(upgrade.state(), false)).await;
        let outcome = upgrade.approve_on_chain(&world, &settings.limits, Some(child)).await?;
        Ok(session.went(&upgrade, &outcome, "execute"))
    }
}
