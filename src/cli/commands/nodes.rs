//! `nodes`: where a CVM can run.

use clap::Args;
use serde_json::json;

use crate::cli::act::api::Api;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;

/// List the nodes that have room, with their devices
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign nodes --json")]
pub(in crate::cli) struct Nodes {}

impl Nodes {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let nodes = Api::new(session, None)?.cloud.nodes().await?;
        let mut report = Report::done("nodes", "read");
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let on_chain = |yes| if yes { "yes" } else { "no" }.to_owned();
        let rows = nodes.nodes.iter().map(|node| {
            cells([
                node.id.as_ref().map(ToString::to_string),
                node.name.clone(),
                node.region.clone(),
                number(node.remaining_vcpu),
                number(node.remaining_memory),
                number(node.remaining_cvm_slots),
                node.support_onchain_kms.map(on_chain),
                node.default_kms.clone(),
                node.device_id.map(|device| device.to_string()),
            ])
        });
        let head = [
            "NODE",
            "NAME",
            "REGION",
            "VCPUS",
            "MEMORY MB",
            "PLACES",
            "ON CHAIN",
            "KMS",
            "DEVICE",
        ];
        report.page.table(&head, &rows.collect::<Vec<_>>());
        report.data = Some(json!(nodes));
        Ok(report)
    }
}
