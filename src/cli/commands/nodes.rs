//! `nodes`: where a CVM can run.

use clap::Args;
use serde_json::json;

use crate::cli::act::api::Api;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;

/// List the nodes that have room, with their devices
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign nodes --json")]
pub(in crate::cli) struct Nodes {}

impl Nodes {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let nodes = Api::new(session, None)?.cloud.nodes().await?;
        let mut report = Report::done("nodes", "read");
        let number =
            |number: Option<u64>, unit: &str| number.map_or_else(|| "?".to_owned(), |number| format!("{number}{unit}"));
        for node in &nodes.nodes {
            let name = node.name.clone().unwrap_or_default();
            let id = node.id.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            report.page.heading(&format!("{id}  {name}"));
            report.page.facts(&[
                ("region", node.region.clone()),
                ("device", node.device_id.map(|device| device.to_string())),
                ("free vCPUs", Some(number(node.remaining_vcpu, ""))),
                ("free memory", Some(number(node.remaining_memory, " MB"))),
                ("free places", Some(number(node.remaining_cvm_slots, ""))),
                (
                    "on-chain KMS",
                    node.support_onchain_kms
                        .map(|yes| if yes { "yes" } else { "no" }.to_owned()),
                ),
                ("KMS", node.default_kms.clone()),
            ]);
        }
        report.data = Some(json!(nodes));
        Ok(report)
    }
}
