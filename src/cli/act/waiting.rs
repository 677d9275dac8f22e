//! Waiting until an order is carried out: whether, how long, what is said meanwhile, and how it ended.

use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::act::api::{Api, merged, record, show};
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::show::output::Output;
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cloud::{
    Cvm, CvmId,
    settle::{Goal, Settle, Settled},
};
use crate::code::Code;
use crate::text::option;

/// Time between two looks at a CVM that is waited for.
const PACE: Duration = Duration::from_secs(1);

/// Whether to wait, and how long.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct Waiting {
    /// Wait until it is carried out
    #[arg(long, overrides_with = "no_wait")]
    pub(in crate::cli) wait: bool,
    /// Return when it is ordered, as it does anyway
    #[arg(long, hide = true, overrides_with = "wait")]
    no_wait: bool,
    /// How long to wait, for example 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = values::duration)]
    pub(in crate::cli) timeout: Duration,
}

/// Says what is waited for, and whenever something changed: a moving line with the time on a terminal, a line each elsewhere.
#[derive(Debug)]
pub(in crate::cli) struct Teller<'a> {
    out: &'a Output,
    since: Instant,
    said: Option<String>,
}

impl<'a> Teller<'a> {
    /// Says once what is waited for and for how long at most.
    pub(in crate::cli) fn begin(out: &'a Output, what: &str, time: Duration) -> Self {
        let time = jiff::SignedDuration::try_from(time).unwrap_or(jiff::SignedDuration::MAX);
        out.progress(&format!(
            "waiting {what}, for at most {time:#}; an interrupt ends the waiting and nothing else"
        ));
        Self {
            out,
            since: Instant::now(),
            said: None,
        }
    }

    /// Says it, unless it was said last.
    pub(in crate::cli) fn news(&mut self, news: String) {
        if self.said.as_ref() == Some(&news) {
            return;
        }
        let seconds = self.since.elapsed().as_secs();
        self.out.progress(&format!("{news} (after {seconds}s)"));
        self.said = Some(news);
    }
}

/// What an order is to come to.
pub(in crate::cli) struct Ordered<'a> {
    pub(in crate::cli) id: &'a CvmId,
    pub(in crate::cli) goal: Goal,
}

/// Waits until an order is carried out, where that was asked for, and says how it ended.
pub(in crate::cli) async fn finish(
    api: &Api<'_>,
    waiting: &Waiting,
    ordered: Ordered<'_>,
    report: Report,
) -> Result<Report, CliError> {
    if !waiting.wait {
        return Ok(report);
    }
    let (settled, operation) = settle(api, ordered.id, ordered.goal, waiting.timeout).await?;
    Ok(conclude(report, ordered.id, settled, operation.as_deref()))
}

/// Waits and tells meanwhile; gives how it ended, and the operation that was waited for by its name.
pub(in crate::cli) async fn settle(
    api: &Api<'_>,
    id: &CvmId,
    goal: Goal,
    time: Duration,
) -> Result<(Settled, Option<String>), CliError> {
    let what = words(&goal);
    let operation = match &goal {
        Goal::Operation { id, .. } => Some(id.clone()),
        _ => None,
    };
    let settle = Settle {
        goal,
        pace: api.settings.request_time.map_or(PACE, |time| time / 100),
        time,
    };
    let mut teller = Teller::begin(&api.session.out, &what, time);
    let mut tell = |cvm: &Cvm| {
        let status = cvm.status.as_deref().unwrap_or("silent");
        let busy = if cvm.progress.is_some() {
            ""
        } else {
            ", nothing is under way"
        };
        teller.news(format!("the CVM is {status}{busy}; waiting {what}"));
    };
    Ok((api.cloud.settle(id, &settle, &mut tell).await?, operation))
}

/// What is waited for, for people.
fn words(goal: &Goal) -> String {
    match goal {
        Goal::Gone => "until the CVM is gone".to_owned(),
        Goal::Status(status) => format!("until the CVM is {status}"),
        Goal::Operation { id, hash: None, .. } => format!("for operation {id}"),
        Goal::Operation {
            id, hash: Some(hash), ..
        } => format!("for operation {id} and compose hash {hash}"),
        Goal::NextOperation { .. } => "for the operation that was ordered".to_owned(),
        Goal::Idle { operation: Some(id) } => format!("until operation {id} is over"),
        Goal::Idle { operation: None } => "until nothing is under way".to_owned(),
        Goal::Listed(true) => "until the public directory names the CVM".to_owned(),
        Goal::Listed(false) => "until the public directory no longer names the CVM".to_owned(),
        Goal::InstanceId(id) => format!("until the record names instance {id}"),
    }
}

/// How an order that was waited for ended; `operation` is the name to go on waiting by.
pub(in crate::cli) fn conclude(mut report: Report, id: &CvmId, settled: Settled, operation: Option<&str>) -> Report {
    let cvm = option("--cvm", &id.to_string());
    match settled {
        Settled::Done(found) => {
            if let Some(found) = found {
                known(&mut report, &found);
                let hash = &mut report.facts.upgrade.compose_hash;
                *hash = hash.or(found.compose_hash);
                report.data = merged(report.data, record(&found));
                report.page = Page::default();
                show(&mut report.page, &found);
            }
            report.message = format!("{}; as Phala Cloud says, it was carried out", report.message);
        }
        Settled::Failed(why) => {
            report.exit = Exit::Failed;
            report.code = Code::OperationFailed;
            report.message = format!("the order was taken, and the operation failed: {why}");
            report.next = Some(format!("countersign cvm operations {cvm}"));
        }
        Settled::Waiting(found) => {
            if let Some(found) = found {
                known(&mut report, &found);
                report.data = merged(report.data, record(&found));
            }
            report.exit = Exit::Pending;
            report.code = Code::PendingOperation;
            "the order was taken, and is not carried out yet".clone_into(&mut report.message);
            if let Some(operation) = operation {
                let hash = report.facts.upgrade.compose_hash;
                let hash = hash.map_or_else(String::new, |hash| format!(" --compose-hash {hash}"));
                let operation = option("--operation", operation);
                report.next = Some(format!("countersign cvm watch {cvm} {operation}{hash}"));
            }
        }
    }
    report
}

/// Facts that the record adds to those of the order.
fn known(report: &mut Report, cvm: &Cvm) {
    let facts = &mut report.facts.upgrade;
    facts.app = facts.app.or(cvm.app_id);
    facts.chain_id = facts.chain_id.or(cvm.kms.chain_id);
}
