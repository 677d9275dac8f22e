//! `stats`, `network`, `attestation`, `operations`.

use clap::Args;
use serde_json::json;

use crate::cli::act::api::{Api, On};
use crate::cli::args::values::{self, Given};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::cloud::{health::TcbInfo, lifecycle::OperationsQuery};
use crate::text::option;

/// Show what a CVM's system says of itself
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm stats my-app")]
pub(super) struct Stats {
    #[command(flatten)]
    on: On,
}

/// Show where a CVM can be reached
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm network my-app")]
pub(super) struct Network {
    #[command(flatten)]
    on: On,
}

/// Show a CVM's measurements as the cloud passes them on; no quote is verified here
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm attestation my-app --json")]
pub(super) struct Attestation {
    #[command(flatten)]
    on: On,
}

/// List a CVM's operations, the latest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm operations my-app --limit 5")]
pub(super) struct Operations {
    #[command(flatten)]
    on: On,
    /// Entries to show
    #[arg(long, value_name = "N", value_parser = values::whole::<u32>(1..=500))]
    limit: Option<u32>,
    /// Where an earlier list ended
    #[arg(long, value_name = "CURSOR", value_parser = values::given)]
    cursor: Option<Given>,
    /// Only this type, for example compose_update; repeat it
    #[arg(long = "type", value_name = "TYPE", value_parser = values::filled)]
    types: Vec<String>,
}

fn yes(flag: Option<bool>) -> Option<String> {
    flag.map(|flag| if flag { "yes" } else { "no" }.to_owned())
}

impl Stats {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let stats = Api::new(session, None)?.cloud.stats(&id).await?;
        let mut report = Report::done("cvm stats", "read");
        report.facts.upgrade.cvm = Some(id.to_string());
        let bytes = |bytes: Option<u64>| bytes.map(|bytes| format!("{bytes} bytes"));
        report.page.facts(&[
            ("online", yes(stats.is_online)),
            ("status", stats.status.clone()),
            ("error", stats.error.clone()),
            ("boot", stats.boot_progress.clone()),
            ("boot error", stats.boot_error.clone()),
            ("vCPUs", stats.num_cpus.map(|cpus| cpus.to_string())),
            ("memory", bytes(stats.total_memory)),
            ("in use", bytes(stats.used_memory)),
            ("up", stats.uptime.map(|seconds| format!("{seconds} s"))),
        ]);
        report.data = Some(json!(stats));
        Ok(report)
    }
}

impl Network {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let network = Api::new(session, None)?.cloud.network(&id).await?;
        let mut report = Report::done("cvm network", "read");
        report.facts.upgrade.cvm = Some(id.to_string());
        report.page.facts(&[
            ("online", yes(network.is_online)),
            ("error", network.error.clone()),
            ("internal", network.internal_ip.clone()),
            ("last heard", network.latest_handshake.clone()),
        ]);
        for urls in &network.public_urls {
            let both = [&urls.app, &urls.instance].into_iter().flatten();
            report.page.block(&both.cloned().collect::<Vec<_>>().join("\n"));
        }
        report.data = Some(json!(network));
        Ok(report)
    }
}

impl Attestation {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let attestation = Api::new(session, None)?.cloud.attestation(&id).await?;
        let mut report = Report::done("cvm attestation", "read; no quote was verified");
        report.facts.upgrade.cvm = Some(id.to_string());
        let info = attestation.tcb_info.as_ref();
        let shown = info.and_then(TcbInfo::shown_compose_hash);
        let measured = info.and_then(TcbInfo::measured_compose_hash);
        report.page.facts(&[
            ("online", yes(attestation.is_online)),
            ("error", attestation.error.clone()),
            ("MRTD", info.and_then(|info| info.mrtd.clone())),
            ("manifest's hash", shown.map(|hash| hash.to_string())),
            ("hash in the log", measured.map(|hash| hash.to_string())),
        ]);
        report.facts.upgrade.compose_hash = measured.or(shown);
        report.data = Some(
            json!({ "is_online": attestation.is_online, "is_public": attestation.is_public,
            "error": attestation.error, "shown_compose_hash": shown, "measured_compose_hash": measured,
            "record": attestation.raw }),
        );
        Ok(report)
    }
}

impl Operations {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let query = OperationsQuery {
            cursor: self.cursor.map(|Given(cursor)| cursor),
            limit: self.limit,
            types: self.types,
        };
        let list = Api::new(session, None)?.cloud.operations(&id, &query).await?;
        let mut report = Report::done(
            "cvm operations",
            if list.items.is_empty() {
                "there are none"
            } else {
                "read"
            },
        );
        report.facts.upgrade.cvm = Some(id.to_string());
        let rows = list.items.iter().map(|one| {
            cells([
                one.started_at.clone(),
                one.operation_type.clone(),
                one.status.clone(),
                one.correlation_id.clone(),
                one.error_message.clone().or_else(|| Some("-".to_owned())),
            ])
        });
        let head = ["TIME", "TYPE", "STATUS", "OPERATION", "ERROR"];
        report.page.table(&head, &rows.collect::<Vec<_>>());
        if let Some(cursor) = &list.next_cursor {
            report.next = Some(format!(
                "countersign cvm operations {} {}",
                option("--cvm", &id.to_string()),
                option("--cursor", cursor)
            ));
        }
        report.data = Some(json!(list));
        Ok(report)
    }
}
