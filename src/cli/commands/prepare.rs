//! `prepare`: ask the cloud for compose hash and commit token, check the hash, write the proposal.

use clap::Args;

use crate::cli::act::begin::{Beginning, begin};
use crate::cli::args::{Agree, Allow, Change, Governor, Multisig, NewDir, Notices, Reach, SharedOptions};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::upgrade::Goal;

/// Get compose hash and commit token, and write the proposal
///
/// Makes a prepared update in Phala Cloud; the CVM goes on running what it runs. The hash that the server answers with is
/// recomputed from the current manifest and your files: another one stops everything. What is needed later stands in the
/// upgrade's directory; `proposal.json` there holds no secret and can be given to everybody who has to approve.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign prepare --cvm my-app -c docker-compose.yml")]
pub(in crate::cli) struct Prepare {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    dir: NewDir,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    timelock: Governor,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    agree: Agree,
}

impl Prepare {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let settings = session.settings(typed)?;
        let beginning = Beginning {
            intent: session.intent(&settings, &self.change, &self.timelock)?.value,
            dir: self.dir.dir.as_deref(),
            goal: Goal::Prepared,
            command: "prepare",
            remarks: Vec::new(),
            received: None,
        };
        begin(session, &settings, beginning).await
    }
}
