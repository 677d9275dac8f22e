//! `safe`: a Safe as the chain shows it, the hashes of its transactions, and what waits for it.

mod check;
mod delegates;
mod hash;
mod place;
mod queue;
mod target;

use clap::{Args, Subcommand};

use self::check::Check;
use self::delegates::Delegates;
use self::hash::Hash;
use self::queue::Queue;
use self::target::Target;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;

/// Read a Safe, and compute the hashes of its transactions
#[derive(Debug, Args)]
pub(in crate::cli) struct Safe {
    #[command(subcommand)]
    command: SafeCommand,
}

#[derive(Debug, Subcommand)]
enum SafeCommand {
    /// Show owners, threshold, nonce, code, modules, guard and fallback handler, and what is remarkable about them
    #[command(
        after_help = "Example:\n  countersign safe show 0x1234567890123456789012345678901234567890 --chain-id 8453"
    )]
    Show(Target),
    /// Say whether the Safe may be signed for; ends with 5 on unknown code and with 6 on an old version
    #[command(
        after_help = "Example:\n  countersign safe check base:0x1234567890123456789012345678901234567890 \
        --chain-id 8453"
    )]
    Check(Check),
    Hash(Box<Hash>),
    Queue(Queue),
    Delegates(Delegates),
}

impl Safe {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            SafeCommand::Show(target) => target.show(session).await,
            SafeCommand::Check(check) => check.run(session).await,
            SafeCommand::Hash(hash) => hash.run(session).await,
            SafeCommand::Queue(queue) => queue.run(session).await,
            SafeCommand::Delegates(delegates) => delegates.run(session).await,
        }
    }
}
