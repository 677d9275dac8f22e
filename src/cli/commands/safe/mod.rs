//! `safe`: a Safe as the chain shows it, the hashes of its transactions, and what waits for it.

mod check;
mod delegates;
mod hash;
mod queue;

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::check::Check;
use self::delegates::Delegates;
use self::hash::Hash;
use self::queue::Queue;
use crate::chain::Chain;
use crate::cli::args::values;
use crate::cli::args::{Reach, Typed};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Next, told};
use crate::cli::session::Session;
use crate::cli::session::settings::Settings;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::service::links::{self, parse_prefixed_address};
use crate::safe::{Finding, SafeInfo, Severity, Trust};
use crate::upgrade::{UpgradeError, safe_code};

/// Read a Safe from the chain, and compute the hashes of its transactions
#[derive(Debug, Args)]
pub(in crate::cli) struct Safe {
    #[command(subcommand)]
    command: SafeCommand,
}

#[derive(Debug, Subcommand)]
enum SafeCommand {
    /// Show owners, threshold, nonce, code, modules, guard and fallback handler, and what is remarkable about them
    #[command(
        after_help = "Example:\n  countersign safe show 0x1234567890123456789012345678901234567890 --chain-id 8453"
    )]
    Show(Target),
    /// Say whether the Safe may be signed for; ends with 5 on unknown code and with 6 on an old version
    #[command(
        after_help = "Example:\n  countersign safe check base:0x1234567890123456789012345678901234567890 \
        --chain-id 8453"
    )]
    Check(Check),
    Hash(Box<Hash>),
    Queue(Queue),
    Delegates(Delegates),
}

#[derive(Debug, Args)]
struct Target {
    /// Address of the Safe, with or without its chain's prefix, for example base:0x1234...
    #[arg(value_name = "ADDRESS", value_parser = values::safe_address)]
    safe: String,
    /// Chain of the Safe: the same address can be somebody else's on another one
    #[arg(long, value_name = "N", value_parser = values::whole::<u64>(1..))]
    chain_id: u64,
    #[command(flatten)]
    reach: Reach,
}

impl Safe {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            SafeCommand::Show(target) => target.show(session).await,
            SafeCommand::Check(check) => check.run(session).await,
            SafeCommand::Hash(hash) => hash.run(session).await,
            SafeCommand::Queue(queue) => queue.run(session).await,
            SafeCommand::Delegates(delegates) => delegates.run(session).await,
        }
    }
}

impl Target {
    /// The Safe, and the chain that it was read from.
    async fn read(&self, session: &Session) -> Result<(Settings, Chain, SafeInfo), CliError> {
        let safe = address(&self.safe, self.chain_id)?;
        let typed = Typed {
            reach: Some(&self.reach),
            ..Typed::default()
        };
        let mut settings = session.settings(typed)?;
        settings.quorum.partial = true;
        let outside = session.outside(&settings)?;
        let chain = outside.world().chain(self.chain_id).await?;
        let info = SafeInfo::read(&chain, safe).await?;
        drop(outside);
        let info = info.ok_or_else(|| not_a_safe(safe, self.chain_id))?;
        Ok((settings, chain, info))
    }

    async fn show(self, session: &Session) -> Result<Report, CliError> {
        let (_, _, info) = self.read(session).await?;
        let mut report = Report::done("safe show", "read from the chain");
        shown(&mut report, &info, &Trust::default());
        Ok(report)
    }
}

/// Shows the Safe and what is remarkable about it; gives the latter.
fn shown(report: &mut Report, info: &SafeInfo, trust: &Trust) -> Vec<Finding> {
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

/// An address that was typed, on its chain: prefix and capitals have to be right.
fn address(text: &str, chain_id: u64) -> Result<Address, CliError> {
    parse_prefixed_address(text, chain_id).map_err(|error| CliError::Input {
        code: Code::InputAddress,
        message: told(&error),
        hint: "copy the address again, with the prefix of its chain or without any".to_owned(),
    })
}

/// Chain and address of a Safe: the prefix and `--chain-id` have to agree.
fn place(safe: &str, chain_id: Option<u64>) -> Result<(u64, Address), CliError> {
    let prefix = safe.split_once(':').map(|(prefix, _)| prefix);
    let chain_id = chain_id.or_else(|| links::chain_of(prefix?));
    let Some(chain_id) = chain_id else {
        return Err(CliError::Usage {
            code: Code::UsageNoChain,
            message: "the chain of the Safe was not named".to_owned(),
            hint: "name it by --chain-id, or by a prefix such as base:0x...".to_owned(),
            next: Next::with("--chain-id N"),
        });
    };
    Ok((chain_id, address(safe, chain_id)?))
}

fn not_a_safe(address: Address, chain_id: u64) -> CliError {
    CliError::from(UpgradeError::Decide {
        code: Code::NotASafe,
        message: format!("{address} on chain {chain_id} is not a Safe"),
        source: None,
    })
}
