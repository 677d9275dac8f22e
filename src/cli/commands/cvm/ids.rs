//! `instance-id` and `instance-ids`.

use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::order::Terms;
use crate::cli::act::api::{Api, get};
use crate::cli::act::waiting::{Waiting, settle};
use crate::cli::args::Agree;
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::{self, error::CliError};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::{
    CvmId,
    instance_ids::{Refresh, RefreshMany, Refreshed},
    settle::{Goal, Settled},
};
use crate::code::Code;

/// How to refresh.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct How {
    /// Replace an id that is there
    #[arg(long)]
    overwrite: bool,
    /// Only say what would change
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
}

/// Have a CVM's instance id read again; no new id is made
///
/// The answer says what became of it; --wait goes on until the CVM's own record names that id.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm instance-id my-app --dry-run")]
pub(super) struct InstanceId {
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    terms: Terms,
}

/// Have the instance ids of several CVMs read again
///
/// The answer says what became of each; --wait goes on until the record of every CVM whose id is known names that id.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm instance-ids my-app other-app --dry-run")]
pub(super) struct InstanceIds {
    /// CVMs [default: all of the workspace's]
    #[arg(value_name = "ID", value_parser = values::cvm)]
    cvms: Vec<CvmId>,
    /// Whether only those that run [default: true]
    #[arg(long, value_name = "BOOL")]
    running_only: Option<bool>,
    /// Whether only those without an id [default: true]
    #[arg(long, value_name = "BOOL")]
    missing_only: Option<bool>,
    /// Most CVMs [default: 100]
    #[arg(long, value_name = "N", value_parser = values::whole::<u32>(1..=500))]
    limit: Option<u32>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    waiting: Waiting,
    #[command(flatten)]
    agree: Agree,
}

impl How {
    fn asked(self) -> Refresh {
        Refresh {
            overwrite: self.overwrite.then_some(true),
            dry_run: self.dry_run.then_some(true),
        }
    }
}

fn row(one: &Refreshed) -> String {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let mut words = vec![
        or(&one.identifier),
        or(&one.status),
        or(&one.old_instance_id),
        or(&one.new_instance_id),
    ];
    words.extend(one.reason.clone());
    words.join("  ")
}

/// A conflict or an error needs somebody who decides.
fn judge(report: &mut Report, items: &[Refreshed]) {
    let bad = |one: &&Refreshed| matches!(one.status.as_deref(), Some("conflict" | "error"));
    let count = items.iter().filter(bad).count();
    for one in items {
        report.page.line(&row(one));
    }
    if count > 0 {
        report.exit = Exit::State;
        report.code = Code::InstanceIdUnsettled;
        report.message = format!("{count} of {} could not be settled", items.len());
        report.hint = Some(failure::by_code(report.code).hint);
    }
}

impl InstanceId {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm instance-id")?;
        if !self.how.dry_run {
            order.ask("Have the instance id read again?", &[])?;
        }
        let one = order.api.cloud.refresh_instance_id(&order.id, self.how.asked()).await?;
        let mut report = order.taken("the instance id was read again");
        report.data = Some(json!(one));
        let settled = is_settled(&one).then(|| one.new_instance_id.clone()).flatten();
        judge(&mut report, &[one]);
        match settled {
            Some(id) => order.carried_out(report, &order.id, Goal::InstanceId(id)).await,
            None => Ok(report),
        }
    }
}

impl InstanceIds {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        if !self.how.dry_run {
            let which = match self.cvms.len() {
                0 => "all of the workspace's".to_owned(),
                count => count.to_string(),
            };
            api.ask("Have instance ids read again?", &[("CVMs", which)])?;
        }
        let which = RefreshMany {
            cvm_ids: Some(self.cvms).filter(|ids| !ids.is_empty()),
            running_only: self.running_only,
            missing_only: self.missing_only,
            refresh: self.how.asked(),
            limit: self.limit,
        };
        let many = api.cloud.refresh_instance_ids(&which).await?;
        let mut report = Report::done("cvm instance-ids", "the instance ids were read again");
        judge(&mut report, &many.items);
        report.data = Some(json!(many));
        if !self.waiting.wait {
            return Ok(report);
        }
        let end = Instant::now() + self.waiting.timeout;
        for one in many.items.iter().filter(|one| is_settled(one)) {
            let (Some(cvm), Some(id)) = (named(one), one.new_instance_id.clone()) else {
                continue;
            };
            let left = end.saturating_duration_since(Instant::now());
            if let (Settled::Waiting(_), _) = settle(&api, &cvm, Goal::InstanceId(id), left).await? {
                report.exit = Exit::Pending;
                report.code = Code::PendingInstanceId;
                report.message = format!("the record of {cvm} does not name its instance id yet");
                report.next = Some(get(&cvm));
                return Ok(report);
            }
        }
        if report.exit == Exit::Done {
            report.message = format!("{}, and every record names its id", report.message);
        }
        Ok(report)
    }
}

/// Whether the answer says which id the CVM has now.
fn is_settled(one: &Refreshed) -> bool {
    matches!(one.status.as_deref(), Some("updated" | "unchanged"))
}

/// The CVM by the name that it has in the API's paths.
fn named(one: &Refreshed) -> Option<CvmId> {
    let names = [&one.identifier, &one.cvm_id];
    names.into_iter().flatten().find_map(|name| name.parse().ok())
}
