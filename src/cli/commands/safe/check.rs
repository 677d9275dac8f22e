//! `safe check`: whether a Safe may be signed for, as far as its chain tells.

use alloy::primitives::B256;
use clap::Args;

use super::target::{Target, shown};
use crate::chain::closed::StorageCheck;
use crate::cli::act::storage;
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::{self, error::CliError};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::safe::info::{Finding, Severity};
use crate::upgrade::model::{StorageNote, safe_code};

#[derive(Debug, Args)]
pub(super) struct Check {
    #[command(flatten)]
    target: Target,
    /// Take code with this keccak256 for that of a Safe; repeat it
    #[arg(long, value_name = "HASH", help_heading = "Safe", value_parser = values::word)]
    trust_code: Vec<B256>,
    /// Accept a Safe before 1.3.0, whose signatures are good on every chain
    #[arg(long, help_heading = "Safe")]
    accept_old_safe: bool,
}

impl Check {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let (settings, chain, info) = self.target.read(session).await?;
        let mut trust = settings.limits.trust.clone();
        trust.code.extend(self.trust_code.iter().copied());
        trust.old_versions |= self.accept_old_safe;
        let mut report = Report::done("safe check", "its code is known, and so is who may act for it");
        let findings = shown(&mut report, &info, &trust);
        let is_hidden = |finding: &Finding| matches!(finding, Finding::OwnerIsContract { .. });
        let hidden = findings.iter().any(is_hidden);
        judge(&mut report, findings);
        if report.exit != Exit::Done {
            report.next = Some(session.typed().instead_of("check", "show"));
        }
        let (notes, standing) = storage::of_safe(&chain, &info, &trust).await?;
        storage::tell(&mut report, session, &settings, &notes);
        storage::tell_approvals(&mut report, session, &settings, &standing);
        let is_open = |note: &StorageNote| matches!(note.found, StorageCheck::NotChecked { .. });
        if report.exit == Exit::Done && (hidden || notes.iter().any(is_open)) {
            report.message.push_str(", as far as its functions show");
        }
        Ok(report)
    }
}

/// What forbids signing, by what was read.
fn judge(report: &mut Report, findings: Vec<Finding>) {
    let stops: Vec<Finding> = findings
        .into_iter()
        .filter(|one| one.severity() == Severity::Stop)
        .collect();
    let worst = stops.iter().find(|one| !is_decision(one)).or(stops.first());
    let Some(finding) = worst else { return };
    report.exit = if is_decision(finding) {
        Exit::State
    } else {
        Exit::Verify
    };
    report.code = safe_code(finding).to_owned();
    let said: Vec<String> = stops.iter().map(ToString::to_string).collect();
    report.message = format!("do not sign for it: {}", said.join("; "));
    report.hint = Some(hint(finding));
}

/// Whether it is a doubt that somebody may agree to, and nothing that has to be wrong.
const fn is_decision(finding: &Finding) -> bool {
    matches!(
        finding,
        Finding::OldVersion { .. } | Finding::UnknownVersion { .. } | Finding::OwnerUnknown { .. }
    )
}

/// What can be done about a finding that forbids signing.
fn hint(finding: &Finding) -> String {
    match finding {
        Finding::OldVersion { .. } => {
            "move the Safe to a newer version, or agree to its signatures being good on other chains too with \
             --accept-old-safe"
                .to_owned()
        }
        Finding::UnknownSingleton { code_hash, .. }
        | Finding::UnknownProxy { code_hash }
        | Finding::OwnerUnknown { code_hash, .. } => {
            format!("find out whose code that is; if you have checked it, agree to it with --trust-code {code_hash}")
        }
        Finding::UnknownVersion { .. } => {
            "look for a version of countersign that knows this one of the Safe".to_owned()
        }
        _ => failure::by_code(safe_code(finding)).hint,
    }
}
