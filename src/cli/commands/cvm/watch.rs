//! `watch`: until a CVM is where it should be, or an operation is over.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::act::api::{Api, On, get};
use crate::cli::act::waiting::{Teller, conclude, settle};
use crate::cli::args::values::{self, Given};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::{
    CvmId, CvmState,
    settle::{Goal, Settled},
    watch::{News, Watched},
};
use crate::code::Code;
use crate::compose::ComposeHash;

/// Watch a CVM until it has a status; a stream of events where the server gives one
///
/// With --operation it waits until that operation came to its end, however fast the restart was, and with --compose-hash
/// until the CVM runs that hash as well.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign cvm watch my-app --target running --timeout 10m\n  \
    countersign cvm watch my-app --operation corr_1234 --compose-hash 0x1234..."
)]
pub(super) struct Watch {
    #[command(flatten)]
    on: On,
    /// Status to wait for, for example running or stopped
    #[arg(long, value_name = "STATUS", default_value = "running", value_parser = values::filled)]
    target: String,
    /// Time between two states, 5s to 30s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::duration)]
    interval: Duration,
    /// Operation to wait for, as the order that began it named it
    #[arg(long, value_name = "ID", value_parser = values::given)]
    operation: Option<Given>,
    /// Compose hash that the CVM has to run after the operation
    #[arg(long, value_name = "HASH", requires = "operation", value_parser = values::compose_hash)]
    compose_hash: Option<ComposeHash>,
    /// How long to wait in all, for example 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = values::duration)]
    timeout: Duration,
}

impl Watch {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let api = Api::new(session, None)?;
        if let Some(Given(operation)) = self.operation.clone() {
            return self.operation(&api, &id, operation).await;
        }
        let watch = crate::cloud::watch::Watch {
            interval: self.interval,
            deadline: Some(self.timeout),
            ..crate::cloud::watch::Watch::for_target(&self.target)
        };
        let what = format!("until the CVM is {}", self.target);
        let mut teller = Teller::begin(&session.out, &what, self.timeout);
        let mut tell = |news: News<'_>| {
            teller.news(match news {
                News::State(state) => format!("{}; waiting {what}", sentence(state)),
                News::Again { why } => format!("watching again: {why}"),
                News::Polling { why } => format!("asking in intervals: {why}"),
            });
        };
        let watched = api.cloud.watch(&id, &watch, &mut tell).await?;
        let mut report = Report::done("cvm watch", format!("the CVM is {}", self.target));
        report.facts.upgrade.cvm = Some(id.to_string());
        let state = match watched {
            Watched::Reached(state) => Some(state),
            Watched::TimedOut(state) => {
                report.exit = Exit::Pending;
                report.code = Code::PendingStatus;
                report.message = format!("the CVM is not {} yet", self.target);
                report.next = Some(get(&id));
                state
            }
        };
        if let Some(state) = &state {
            report.page.facts(&[
                ("status", state.status.clone()),
                ("up", state.uptime.clone()),
                ("boot", state.boot_progress.clone()),
                ("boot error", state.boot_error.clone()),
                ("shutdown", state.shutdown_progress.clone()),
            ]);
        }
        report.data = Some(json!({ "target": self.target, "state": state }));
        Ok(report)
    }

    async fn operation(&self, api: &Api<'_>, id: &CvmId, operation: String) -> Result<Report, CliError> {
        let mut report = Report::done("cvm watch", format!("operation {operation} is over"));
        report.facts.upgrade.cvm = Some(id.to_string());
        report.facts.upgrade.correlation_id = Some(operation.clone());
        report.facts.upgrade.compose_hash = self.compose_hash;
        let goal = Goal::Operation {
            id: operation,
            status: self.target.clone(),
            hash: self.compose_hash,
        };
        let (settled, operation) = settle(api, id, goal, self.timeout).await?;
        let name = operation.clone().unwrap_or_default();
        let said = match &settled {
            Settled::Done(_) => format!("operation {name} is carried out"),
            Settled::Failed(why) => format!("operation {name} failed: {why}"),
            Settled::Waiting(_) => format!("operation {name} is not carried out yet"),
        };
        let mut report = conclude(report, id, settled, operation.as_deref());
        report.message = said;
        Ok(report)
    }
}

fn sentence(state: &CvmState) -> String {
    let parts = [
        &state.status,
        &state.boot_progress,
        &state.boot_error,
        &state.shutdown_progress,
    ];
    let parts: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
    format!("the CVM is {}", parts.join(", "))
}
