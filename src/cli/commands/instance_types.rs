//! `instance-types`: the sizes that CVMs come in.

use clap::Args;
use serde_json::json;

use crate::cli::act::api::Api;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;

/// List the sizes that CVMs come in
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign instance-types")]
pub(in crate::cli) struct InstanceTypes {}

impl InstanceTypes {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let types = Api::new(session, None)?.cloud.instance_types().await?;
        let mut report = Report::done("instance-types", "read");
        let number =
            |number: Option<u64>, unit: &str| number.map_or_else(|| "?".to_owned(), |number| format!("{number}{unit}"));
        for one in &types {
            let mut words = vec![one.id.clone().unwrap_or_else(|| "?".to_owned())];
            words.push(number(one.vcpu, " vCPUs"));
            words.push(number(one.memory, " MB"));
            words.push(number(one.disk_size, " GB"));
            words.extend(one.hourly_rate.as_ref().map(|rate| format!("{rate} an hour")));
            report.page.line(&words.join("  "));
        }
        report.data = Some(json!({ "items": types }));
        Ok(report)
    }
}
