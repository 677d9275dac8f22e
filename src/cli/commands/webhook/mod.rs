//! `webhook`: the workspace's webhooks.

mod manage;
mod secret;
mod serve;
mod verify;

use clap::{Args, Subcommand};

use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;

/// Manage the workspace's webhooks, and check their deliveries
///
/// What these commands change is changed when the answer comes, and no CVM changes by it: there is nothing to wait for.
#[derive(Debug, Args)]
pub(in crate::cli) struct Webhook {
    #[command(subcommand)]
    command: WebhookCommand,
}

#[derive(Debug, Subcommand)]
enum WebhookCommand {
    Create(manage::Create),
    List(manage::List),
    Show(manage::Show),
    Update(manage::Update),
    Delete(manage::Delete),
    Test(manage::Test),
    Deliveries(manage::Deliveries),
    Resend(manage::Resend),
    Stats(manage::Stats),
    Reveal(secret::Reveal),
    Rotate(secret::Rotate),
    Verify(verify::Verify),
    Serve(serve::Serve),
}

impl Webhook {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            WebhookCommand::Create(args) => args.run(session).await,
            WebhookCommand::List(args) => args.run(session).await,
            WebhookCommand::Show(args) => args.run(session).await,
            WebhookCommand::Update(args) => args.run(session).await,
            WebhookCommand::Delete(args) => args.run(session).await,
            WebhookCommand::Test(args) => args.run(session).await,
            WebhookCommand::Deliveries(args) => args.run(session).await,
            WebhookCommand::Resend(args) => args.run(session).await,
            WebhookCommand::Stats(args) => args.run(session).await,
            WebhookCommand::Reveal(args) => args.run(session).await,
            WebhookCommand::Rotate(args) => args.run(session).await,
            WebhookCommand::Verify(args) => args.run(session),
            WebhookCommand::Serve(args) => args.run(session).await,
        }
    }
}
