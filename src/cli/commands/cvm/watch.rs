//! `watch`: until a CVM is where it should be.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::order::{Api, On, get};
use crate::cli::args::duration;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cloud::{CvmState, News, Watched};

/// Watch a CVM until it has a status; a stream of events where the server gives one
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm watch --cvm my-app --target running --timeout 10m")]
pub(super) struct Watch {
    #[command(flatten)]
    on: On,
    /// Status to wait for, for example running or stopped
    #[arg(long, value_name = "STATUS", default_value = "running")]
    target: String,
    /// Time between two states, 5s to 30s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    interval: Duration,
    /// How long to wait in all, for example 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    timeout: Duration,
}

impl Watch {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let api = Api::new(session, None)?;
        let watch = crate::cloud::Watch {
            interval: self.interval,
            deadline: Some(self.timeout),
            ..crate::cloud::Watch::for_target(&self.target)
        };
        let mut tell = |news: News<'_>| {
            session.out.progress(&match news {
                News::State(state) => sentence(state),
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
                "PENDING_STATUS".clone_into(&mut report.code);
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
