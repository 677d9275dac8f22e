//! `reject`: use up the nonce, so that the Safe transaction can never be executed.

use clap::Args;

use crate::cli::act::page;
use crate::cli::args::{Agree, Key, Multisig, Reach, Reviewed, Settle, SharedOptions, Which};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;

/// Have the Safe's owners reject the transaction for good
///
/// Signatures that were given stay good until the nonce is used up: who gives an upgrade up has to use it up. The rejection
/// is a transaction of the Safe to itself, with the same nonce, that does nothing. With a key of an owner it is signed; with
/// enough signatures it is executed. Other owners sign it by `countersign sign --reject`. Ends with 8 until it is executed.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign reject --dir .countersign/my-app-1a2b3c4d --signer keystore:~/key.json"
)]
pub(in crate::cli) struct Reject {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    key: Key,
    #[command(flatten)]
    reviewed: Reviewed,
    #[command(flatten)]
    agree: Agree,
}

impl Reject {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            settle: Some(&self.settle),
            safe: Some(&self.safe),
            key: Some(&self.key),
            reviewed: Some(&self.reviewed),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let outside = session.outside(&settings);
        let mut upgrade = session.open_to_reject(&self.which)?;
        let world = outside.world();
        page::offer_review(session, &settings, &world, page::Signed::of(upgrade.state(), true)).await;
        let outcome = upgrade.reject(&world, &settings.limits).await?;
        Ok(session.went(&upgrade, &outcome, "reject"))
    }
}
