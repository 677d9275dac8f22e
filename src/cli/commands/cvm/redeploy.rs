//! `redeploy`: back to a revision that the cloud keeps, at once.

use alloy::primitives::B256;
use clap::Args;

use super::order::Terms;
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::{
    inventory::{RevisionId, redeploy::Redeployment},
    updates::Patched,
};
use crate::code::Code;

/// Have a CVM run a revision that Phala Cloud keeps, at once: without proof, and without a look at what it holds
///
/// Phala Cloud applies it as soon as it is ordered. Where a contract guards the CVM, the revision's hash has to be allowed on chain;
/// nothing else is asked. An upgrade to the same texts goes by `countersign prepare`, which proves what it does.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Example:\n  countersign cvm redeploy my-app rev_1234 --wait --yes"
)]
pub(super) struct Redeploy {
    #[command(flatten)]
    terms: Terms,
    /// The revision's id
    #[arg(value_name = "REVISION")]
    revision: RevisionId,
    /// Transaction that allowed the revision's hash
    #[arg(long, value_name = "HASH", value_parser = values::word)]
    transaction_hash: Option<B256>,
}

impl Redeploy {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm redeploy")?;
        order.ask(
            "Have this CVM run the revision at once? It restarts; nothing is proved, and nobody is shown what the revision holds.",
            &[("revision", self.revision.to_string())],
        )?;
        let since = order.before().await?;
        let back = Redeployment {
            revision: self.revision,
            transaction: self.transaction_hash,
        };
        let patched = order.api.cloud.redeploy_cvm(&order.id, &back).await?;
        let mut report = match patched {
            Patched::HashRequired(prepared) => return Ok(order.first_phase(&prepared)),
            Patched::Accepted(accepted) => order.with_operation("the revision was taken", &accepted, since).await?,
        };
        report.warn(
            Code::RedeployUnproved,
            "the revision was applied at once: nothing of it was shown to anybody or proved here",
        );
        Ok(report)
    }
}
