//! `upgrade`: the whole of it, when one key is enough.

use clap::Args;

use crate::cli::act::begin::{Beginning, begin};
use crate::cli::act::probe;
use crate::cli::act::unapproved;
use crate::cli::args::attesting::Attesting;
use crate::cli::args::probing::Probing;
use crate::cli::args::{
    Agree, Allow, Change, Governor, Key, Multisig, NewDir, Notices, Reach, Settle, SharedOptions, Watch,
};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::upgrade::Goal;

/// Do the whole upgrade, where one key can approve it
///
/// It plans, prepares, approves, proves, commits and watches.
/// Shows the plan and prepares, then asks before anything is signed, sent or committed; --yes agrees in advance. Where a
/// single key cannot approve, it prepares, shows the call that the owner has to make, and ends with 8: go on with
/// `countersign resume` when the call is made. It can be interrupted at any time and started again.
///
/// A CVM that no KMS on a chain guards needs nobody's approval: --without-approval has Phala Cloud apply the change at once,
/// with consent, and waits for it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign upgrade --cvm my-app -c docker-compose.yml --signer keystore:~/key.json\n  \
    countersign upgrade --cvm my-app -c docker-compose.yml --signer env:DEPLOY_KEY --yes --json\n  \
    countersign upgrade --cvm my-app -c docker-compose.yml --without-approval")]
pub(in crate::cli) struct Upgrade {
    #[command(flatten)]
    change: Change,
    /// Apply it at once, which nobody approves: only for a CVM that no KMS on a chain guards
    #[arg(long)]
    without_approval: bool,
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

impl Upgrade {
    /// What settings are made from.
    pub(in crate::cli) const fn typed(&self) -> SharedOptions<'_> {
        SharedOptions {
            reviewed: None,
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            settle: Some(&self.settle),
            key: Some(&self.key),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            watch: Some(&self.watch),
            attesting: Some(&self.attesting),
            offline: None,
            source: None,
        }
    }

    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = session.settings(self.typed())?;
        let intent = session.intent(&settings, &self.change, &self.timelock)?.value;
        if self.without_approval {
            return unapproved::apply(session, &settings, (&intent, self.dir.dir.as_deref())).await;
        }
        let beginning = Beginning {
            intent,
            dir: self.dir.dir.as_deref(),
            goal: Goal::Live,
            command: "upgrade",
            remarks: Vec::new(),
            received: None,
        };
        let report = begin(session, &settings, beginning).await?;
        Ok(probe::follow(session, &self.probing, self.reach.timeout, report).await)
    }
}
