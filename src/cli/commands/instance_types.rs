//! `instance-types`: the sizes that CVMs come in.

use clap::Args;
use serde_json::json;

use crate::cli::act::api::Api;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;

/// List the sizes that CVMs come in
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign instance-types")]
pub(in crate::cli) struct InstanceTypes {}

impl InstanceTypes {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let types = Api::new(session, None)?.cloud.instance_types().await?;
        let mut report = Report::done("instance-types", "read");
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let rows = types.iter().map(|one| {
            cells([
                one.id.clone(),
                number(one.vcpu),
                number(one.memory),
                number(one.disk_size),
                one.hourly_rate.as_ref().map(ToString::to_string),
            ])
        });
        let head = ["TYPE", "VCPUS", "MEMORY MB", "DISK GB", "AN HOUR"];
        report.page.table(&head, &rows.collect::<Vec<_>>());
        report.data = Some(json!({ "items": types }));
        Ok(report)
    }
}
