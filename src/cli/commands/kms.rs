//! `kms`: key management services.

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::act::api::{Api, Part};
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::{cells, chain};
use crate::cloud::{CloudError, KmsId, kms::KmsInfo};

/// Show key management services, their contracts and keys
#[derive(Debug, Args)]
pub(in crate::cli) struct Kms {
    #[command(subcommand)]
    command: KmsCommand,
}

#[derive(Debug, Subcommand)]
enum KmsCommand {
    /// List them
    #[command(after_help = "Example:\n  countersign kms list --onchain true")]
    List {
        /// Whether only those with a contract, or those without
        #[arg(long, value_name = "BOOL")]
        onchain: Option<bool>,
        #[command(flatten)]
        part: Part,
    },
    /// Show one: a contract with the keys that its nodes share, or a node
    #[command(after_help = "Examples:\n  countersign kms show base\n  countersign kms show kms-base-prod9")]
    Show {
        /// Id or name
        #[arg(value_name = "ID")]
        kms: KmsId,
    },
    /// List the nodes of a contract
    #[command(after_help = "Example:\n  countersign kms nodes base")]
    Nodes {
        /// Id or name of the contract
        #[arg(value_name = "ID")]
        kms: KmsId,
    },
    /// Show the contracts of a chain, and which devices and OS images they allow
    #[command(after_help = "Example:\n  countersign kms contracts base")]
    Contracts {
        /// Name of the chain, for example ethereum or base
        #[arg(value_name = "CHAIN")]
        chain: KmsId,
    },
    /// Show the key that an app's environment is sealed for; its signature is not verified here
    #[command(
        after_help = "Example:\n  countersign kms pubkey kms-base-prod9 0x1234567890123456789012345678901234567890"
    )]
    Pubkey {
        /// Id or name of a node of the KMS
        #[arg(value_name = "ID")]
        kms: KmsId,
        /// App id = address of the app's contract
        #[arg(value_name = "APP", value_parser = values::address)]
        app: Address,
    },
}

impl Kms {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let cloud = Api::new(session, None)?.cloud;
        match self.command {
            KmsCommand::List { onchain, part } => {
                let list = cloud.kms_list(part.asked(), onchain).await?;
                let mut report = Report::done("kms list", "read");
                report
                    .page
                    .table(&HEAD, &list.items.iter().map(row).collect::<Vec<_>>());
                report.next = Part::next(&list, "kms list");
                report.data = Some(json!(list));
                Ok(report)
            }
            KmsCommand::Show { kms } => {
                let found = match cloud.kms(&kms).await {
                    // What names no contract may name a node.
                    Err(CloudError::NotFound(_)) => cloud.kms_node(&kms).await,
                    found => found,
                };
                Ok(shown(&found?))
            }
            KmsCommand::Nodes { kms } => {
                let nodes = cloud.kms_nodes(&kms).await?;
                let mut report = Report::done("kms nodes", "read");
                report.page.table(&HEAD, &nodes.iter().map(row).collect::<Vec<_>>());
                report.data = Some(json!({ "items": nodes }));
                Ok(report)
            }
            KmsCommand::Contracts { chain } => contracts(&cloud.kms_on_chain(&chain).await?),
            KmsCommand::Pubkey { kms, app } => {
                let key = cloud.kms_public_key(&kms, app).await?;
                let mut report = Report::done("kms pubkey", "read; its signature was not verified");
                report.facts.upgrade.app = Some(app);
                report.page.facts(&[
                    ("public key", Some(key.public_key.to_string())),
                    ("signature", key.signature.clone()),
                ]);
                report.data = Some(json!(key));
                Ok(report)
            }
        }
    }
}

fn shown(kms: &KmsInfo) -> Report {
    let mut report = Report::done("kms show", "read");
    report.facts.upgrade.chain_id = kms.chain_id;
    report.page.facts(&[
        ("id", kms.id.clone()),
        ("name", kms.slug.clone()),
        ("label", kms.label.clone()),
        ("URL", kms.url.clone()),
        ("version", kms.version.clone()),
        ("chain", kms.chain_id.map(chain)),
        ("contract", kms.contract.map(|contract| contract.to_string())),
        ("root key, as Phala Cloud has it", kms.k256_pubkey.clone()),
        ("nodes", kms.node_count.map(|count| count.to_string())),
    ]);
    report.data = Some(json!(kms));
    report
}

const HEAD: [&str; 7] = ["ID", "NAME", "VERSION", "CHAIN", "NODES", "CONTRACT", "URL"];

fn row(kms: &KmsInfo) -> Vec<String> {
    // The nodes of a contract do not repeat whose they are.
    let off_chain = kms.node_count.map(|_| "off-chain".to_owned());
    cells([
        kms.id.clone(),
        kms.slug.clone(),
        kms.version.clone(),
        kms.chain_id.map(chain).or(off_chain),
        kms.node_count.map(|count| count.to_string()),
        kms.contract.map(|contract| contract.to_string()),
        kms.url.clone(),
    ])
}

fn contracts(kms: &crate::cloud::kms::OnChainKms) -> Result<Report, CliError> {
    let mut report = Report::done(
        "kms contracts",
        "as Phala Cloud reads them; ask the chain before you rely on it",
    );
    report.facts.upgrade.chain_id = kms.chain_id;
    let said = |allowed: Option<bool>| match allowed {
        Some(true) => "allowed",
        Some(false) => "not allowed",
        None => "unknown",
    };
    for contract in &kms.contracts {
        let address = contract.address.map(|address| address.to_string()).unwrap_or_default();
        report.page.heading(&address);
        for device in &contract.devices {
            let id = device.device_id.map(|id| id.to_string()).unwrap_or_default();
            let node = device.node_name.clone().unwrap_or_default();
            report
                .page
                .block(&format!("device {id}  {node}  {}", said(device.on_chain_allowed)));
        }
        for image in &contract.os_images {
            let name = image.name.clone().unwrap_or_default();
            report
                .page
                .block(&format!("OS image {name}  {}", said(image.on_chain_allowed)));
        }
    }
    report.data = Some(json!(kms));
    Ok(report)
}
