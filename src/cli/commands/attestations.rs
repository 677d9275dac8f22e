//! `attestations`: quotes and machines that Phala Cloud knows.

use std::path::PathBuf;

use alloy::primitives::B256;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::act::api::Api;
use crate::cli::args::Agree;
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::fsutil;

/// Longest file with a quote, bytes.
const MAX_QUOTE: u64 = 1 << 20;

/// Look at quotes and machines that Phala Cloud knows
///
/// Nothing is verified here; `countersign attest` does that.
#[derive(Debug, Args)]
pub(in crate::cli) struct Attestations {
    #[command(subcommand)]
    command: AttestationsCommand,
}

#[derive(Debug, Subcommand)]
enum AttestationsCommand {
    /// List the machines that there are, with their devices
    #[command(after_help = "Example:\n  countersign attestations nodes")]
    Nodes,
    /// List the device ids of all machines
    #[command(after_help = "Example:\n  countersign attestations device-ids")]
    DeviceIds,
    /// List the platform ids (PPID) of all machines
    #[command(after_help = "Example:\n  countersign attestations ppids")]
    Ppids,
    /// List quotes that were published, the latest first
    #[command(after_help = "Example:\n  countersign attestations recent --limit 5")]
    Recent {
        /// Leave out as many
        #[arg(long, value_name = "N", default_value = "0", value_parser = values::whole::<u32>(0..))]
        skip: u32,
        /// Entries to show
        #[arg(long, value_name = "N", default_value = "20", value_parser = values::whole::<u32>(1..=100))]
        limit: u32,
    },
    /// Show a quote, taken apart by Phala Cloud
    #[command(after_help = "Example:\n  countersign attestations view 0x1234...")]
    View {
        /// SHA-256 of the quote
        #[arg(value_name = "CHECKSUM", value_parser = values::word)]
        checksum: B256,
    },
    /// Print a quote in hex, to be verified elsewhere
    #[command(after_help = "Example:\n  countersign attestations raw 0x1234... > quote.hex")]
    Raw {
        /// SHA-256 of the quote
        #[arg(value_name = "CHECKSUM", value_parser = values::word)]
        checksum: B256,
    },
    /// Show what a quote is verified with, without a network afterwards
    #[command(after_help = "Example:\n  countersign attestations collateral 0x1234... --json")]
    Collateral {
        /// SHA-256 of the quote
        #[arg(value_name = "CHECKSUM", value_parser = values::word)]
        checksum: B256,
    },
    /// Have Phala Cloud look at a quote; it publishes it
    #[command(after_help = "Example:\n  countersign attestations verify quote.hex --yes")]
    Verify {
        /// File with the quote, its bytes or hex
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        agree: Agree,
    },
}

impl Attestations {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let agree = match &self.command {
            AttestationsCommand::Verify { agree, .. } => Some(agree),
            _ => None,
        };
        let api = Api::new(session, agree)?;
        let cloud = &api.cloud;
        match self.command {
            AttestationsCommand::Nodes => nodes(&api).await,
            AttestationsCommand::DeviceIds => {
                Ok(list("attestations device-ids", cloud.attestation_device_ids().await?))
            }
            AttestationsCommand::Ppids => Ok(list("attestations ppids", cloud.attestation_ppids().await?)),
            AttestationsCommand::Recent { skip, limit } => Ok(list(
                "attestations recent",
                cloud.recent_attestations(skip, limit).await?,
            )),
            AttestationsCommand::View { checksum } => {
                Ok(document("attestations view", cloud.attestation_view(checksum).await?))
            }
            AttestationsCommand::Collateral { checksum } => Ok(document(
                "attestations collateral",
                cloud.attestation_collateral(checksum).await?,
            )),
            AttestationsCommand::Raw { checksum } => {
                let quote = hex::encode(cloud.attestation_raw(checksum).await?);
                let mut report = Report::done("attestations raw", "read; it was not verified");
                report.raw = Some(format!("{quote}\n"));
                report.data = Some(json!({ "quote": quote }));
                Ok(report)
            }
            AttestationsCommand::Verify { file, .. } => verify(&api, &file).await,
        }
    }
}

async fn nodes(api: &Api<'_>) -> Result<Report, CliError> {
    let machines = api.cloud.attestation_nodes().await?;
    let mut report = Report::done("attestations nodes", "read");
    let rows = machines.iter().map(|machine| {
        cells([
            machine.id.as_ref().map(ToString::to_string),
            machine.name.clone(),
            machine.region.clone(),
            machine.status.clone(),
            machine.version.clone(),
            machine.device_id.map(|device| device.to_string()),
        ])
    });
    let head = ["NODE", "NAME", "REGION", "STATUS", "VERSION", "DEVICE"];
    report.page.table(&head, &rows.collect::<Vec<_>>());
    report.data = Some(json!({ "items": machines }));
    Ok(report)
}

async fn verify(api: &Api<'_>, file: &std::path::Path) -> Result<Report, CliError> {
    let bytes = fsutil::read(file, MAX_QUOTE).map_err(CliError::UserFile)?;
    let text = String::from_utf8_lossy(&bytes);
    let quote = hex::decode(text.trim().trim_start_matches("0x")).unwrap_or_else(|_binary| bytes.clone());
    api.ask(
        "Send this quote to Phala Cloud? It is published there.",
        &[("file", file.display().to_string()), ("bytes", quote.len().to_string())],
    )?;
    let said = api.cloud.verify_attestation(&quote).await?;
    let word = match said["success"].as_bool() {
        Some(true) => "Phala Cloud calls the quote genuine",
        Some(false) => "Phala Cloud does not call the quote genuine",
        None => "Phala Cloud does not say whether the quote is genuine",
    };
    let mut report = Report::done("attestations verify", word);
    report.page.line(word);
    report
        .page
        .facts(&[("checksum", said["checksum"].as_str().map(str::to_owned))]);
    report.data = Some(said);
    Ok(report)
}

/// A list in the server's own shape, a line for each entry.
fn list(step: &str, said: Value) -> Report {
    let mut report = Report::done(step, "read");
    let places = ["/items", "/device_ids", "/ppids", ""];
    let items = places.into_iter().find_map(|place| said.pointer(place)?.as_array());
    for item in items.into_iter().flatten() {
        let line = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
        report.page.line(&line);
    }
    report.data = Some(json!({ "record": said }));
    report
}

/// A document in the server's own shape.
fn document(step: &str, said: Value) -> Report {
    let mut report = Report::done(step, "read; it is Phala Cloud's word");
    report.page.line(&format!("{said:#}"));
    report.data = Some(json!({ "record": said }));
    report
}
