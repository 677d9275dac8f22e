//! `start`, `stop`, `shutdown`, `restart`, `delete`, `cancel`.

use clap::Args;
use serde_json::json;

use super::order::Terms;
use crate::cli::act::api::record;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::settle::Goal;
use crate::code::Code;

/// Start a stopped CVM
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm start my-app --wait --yes")]
pub(super) struct Start {
    #[command(flatten)]
    terms: Terms,
}

/// Stop a CVM at once, like pulling the power; cancels an operation under way
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm stop my-app --wait --yes")]
pub(super) struct Stop {
    #[command(flatten)]
    terms: Terms,
}

/// Shut a CVM down, its containers may end by themselves
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm shutdown my-app --wait --yes")]
pub(super) struct Shutdown {
    #[command(flatten)]
    terms: Terms,
}

/// Restart a CVM
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm restart my-app --wait --yes")]
pub(super) struct Restart {
    /// Without a graceful shutdown
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    terms: Terms,
}

/// Delete a CVM and all its data, for good
#[derive(Debug, Args)]
#[command(after_help = format!("Example:\n  countersign cvm delete my-app --wait --accept {}=my-app", Code::CvmDeleted))]
pub(super) struct Delete {
    #[command(flatten)]
    terms: Terms,
}

/// Cancel the operation under way; with --wait until it is over and nothing else is under way
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm cancel my-app --wait --yes")]
pub(super) struct Cancel {
    #[command(flatten)]
    terms: Terms,
}

impl Start {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm start")?;
        order.ask("Start the CVM?", &[])?;
        let since = order.before().await?;
        let cvm = order.api.cloud.start(&order.id).await?;
        order.with_record("the CVM starts", &cvm, since.next("running")).await
    }
}

impl Stop {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm stop")?;
        order.ask("Stop the CVM at once, without a shutdown?", &[])?;
        let since = order.before().await?;
        let cvm = order.api.cloud.stop(&order.id).await?;
        order.with_record("the CVM stops", &cvm, since.next("stopped")).await
    }
}

impl Shutdown {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm shutdown")?;
        order.ask("Shut the CVM down?", &[])?;
        let since = order.before().await?;
        let cvm = order.api.cloud.shutdown(&order.id).await?;
        order
            .with_record("the CVM shuts down", &cvm, since.next("stopped"))
            .await
    }
}

impl Restart {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm restart")?;
        let how = if self.force { "at once" } else { "after a shutdown" };
        order.ask("Restart the CVM?", &[("how", how.to_owned())])?;
        // A fast restart shows no state but `running`: it is known by its operation.
        let since = order.before().await?;
        let cvm = order.api.cloud.restart(&order.id, self.force).await?;
        order.with_record("the CVM restarts", &cvm, since.next("running")).await
    }
}

impl Delete {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm delete")?;
        let cvm = order.api.cloud.cvm(&order.id).await?;
        order.ask_to_delete(&cvm)?;
        order.api.cloud.delete(&order.id).await?;
        let mut report = order.taken("the CVM is being deleted");
        report.next = Some("countersign cvm list".to_owned());
        report.data = Some(record(&cvm));
        order.carried_out(report, &order.id, Goal::Gone).await
    }
}

impl Cancel {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm cancel")?;
        order.ask("Cancel the operation under way?", &[])?;
        let cancelled = order.api.cloud.cancel(&order.id).await?;
        let said = if cancelled.cancelled {
            "the operation is cancelled"
        } else {
            "no operation was under way"
        };
        let mut report = order.taken(said);
        report
            .facts
            .upgrade
            .correlation_id
            .clone_from(&cancelled.correlation_id);
        report.data = Some(json!(cancelled));
        if !cancelled.cancelled {
            return Ok(report);
        }
        let goal = Goal::Idle {
            operation: cancelled.correlation_id,
        };
        order.carried_out(report, &order.id, goal).await
    }
}
