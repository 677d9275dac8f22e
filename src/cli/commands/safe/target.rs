//! A Safe as the chain shows it, and what is remarkable about it: `safe show`.

use clap::Args;
use serde_json::{Value, json};

use super::place::{address, not_a_safe};
use crate::chain::Chain;
use crate::cli::args::values;
use crate::cli::args::{Reach, SharedOptions};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::settings::Settings;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::safe::info::{Finding, SafeInfo, Severity, Trust};
use crate::upgrade::model::safe_code;

#[derive(Debug, Args)]
pub(super) struct Target {
    /// Address of the Safe, with or without its chain's prefix, for example base:0x1234...
    #[arg(value_name = "ADDRESS", value_parser = values::safe_address)]
    pub(super) safe: String,
    /// Chain of the Safe: the same address can be somebody else's on another one
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(1..))]
    pub(super) chain_id: u64,
    #[command(flatten)]
    pub(super) reach: Reach,
}

impl Target {
    /// The Safe, and the chain that it was read from.
    pub(super) async fn read(&self, session: &Session) -> Result<(Settings, Chain, SafeInfo), CliError> {
        let safe = address(&self.safe, self.chain_id)?;
        let typed = SharedOptions {
            reach: Some(&self.reach),
            ..SharedOptions::default()
        };
        let mut settings = session.settings(typed)?;
        settings.quorum.partial = true;
        let outside = session.outside(&settings);
        let chain = outside.world().chain(self.chain_id).await?;
        let info = SafeInfo::read(&chain, safe).await?;
        drop(outside);
        let info = info.ok_or_else(|| not_a_safe(safe, self.chain_id))?;
        Ok((settings, chain, info))
    }

    /// Shows it.
    pub(super) async fn show(self, session: &Session) -> Result<Report, CliError> {
        let (_, _, info) = self.read(session).await?;
        let mut report = Report::done("safe show", "read from the chain");
        shown(&mut report, &info, &Trust::default());
        Ok(report)
    }
}

/// Shows the Safe and what is remarkable about it; gives the latter.
pub(super) fn shown(report: &mut Report, info: &SafeInfo, trust: &Trust) -> Vec<Finding> {
    view::safe(&mut report.page, info);
    let findings = info.findings(trust);
    report.page.heading("remarkable");
    if findings.is_empty() {
        report.page.block("nothing");
    }
    for finding in &findings {
        report.page.block(&format!("{}  {finding}", word(finding.severity())));
    }
    let listed: Vec<Value> = findings
        .iter()
        .map(|one| json!({"finding": one, "severity": one.severity(), "code": safe_code(one), "text": one.to_string()}))
        .collect();
    report.facts.upgrade.chain_id = Some(info.chain_id);
    report.data = Some(json!({ "safe": info, "findings": listed }));
    findings
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Stop => "STOP",
    }
}
