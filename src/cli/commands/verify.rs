//! `verify`: every claim of an upgrade's evidence, proved again by anybody.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use crate::attest::Root;
use crate::cli::args::{Offline, Reach, SharedOptions, values};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Commands as _, Verdict, by_code};
use crate::cli::session::Session;
use crate::cli::session::files::evidence_file;
use crate::cli::session::settings::Settings;
use crate::cli::show::report::Report;
use crate::cli::show::verified::Verified;
use crate::code::Code;
use crate::evidence::{self, Claim, Evidence, Measured, Outcome};
use crate::upgrade::PROPOSAL_FILE;

/// Prove the evidence of an upgrade again
///
/// No key and no account is needed, and nothing is written.
/// Computes every claim of the document again from what the document holds: hashes from manifests, the calls and the Safe's
/// transaction with its signatures, the block's header with the transaction, the receipt and the storage that follow from it,
/// the quote of the hardware with Intel's collateral of its time. With an endpoint the chain is asked whether the block is its
/// own and what is in force now. One line for each claim: it holds, it differs, it was not checked, or only the writer says it.
/// Ends with 0 when nothing differs, and with 5 when something does.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign verify evidence.json\n  \
    countersign verify .countersign/my-app-1a2b3c4d --rpc-url https://mainnet.base.org --require-all")]
pub(in crate::cli) struct Verify {
    /// Evidence, or the directory of an upgrade that has it
    #[arg(value_name = "DIR|FILE")]
    evidence: PathBuf,
    /// What was not checked is a refusal
    #[arg(long)]
    require_all: bool,
    /// Judge the hardware's quote as of this time [default: when it was made]
    #[arg(long, value_name = "TIME", value_parser = values::moment)]
    at: Option<Timestamp>,
    #[command(flatten)]
    offline: Offline,
    #[command(flatten)]
    reach: Reach,
}

impl Verify {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = session.settings(SharedOptions {
            reach: Some(&self.reach),
            offline: Some(&self.offline),
            ..SharedOptions::default()
        })?;
        let root = session.env.quote_root()?;
        let is_dir = self.evidence.is_dir();
        let file = match is_dir {
            true => self.evidence.join(evidence::FILE),
            false => self.evidence.clone(),
        };
        let evidence = evidence_file(&file)?;
        let by = Measured {
            root: &root.root,
            at: self.at,
        };
        let mut claims = evidence::verify(&evidence, &by);
        if is_dir {
            claims.extend(evidence::beside(
                &evidence,
                evidence::sha256_of(&self.evidence.join(PROPOSAL_FILE)),
            ));
        }
        // Whoever cannot be asked hides nothing of what the document shows by itself.
        let unasked = match ask(&evidence, session, settings, &root.root).await {
            Ok(more) => {
                claims.extend(more);
                None
            }
            Err(error) => {
                claims.extend(evidence::without_chain(&evidence));
                Some(error)
            }
        };
        let differs = evidence::worst(&claims) == Outcome::Differs;
        let mut report = match &unasked {
            Some(error) if !differs => failure::report(error, session.command(), &session.typed()),
            _ => Report::done("verify", ""),
        };
        if root.is_of_a_test {
            report
                .page
                .line("TEST ROOT: this build takes evidence of a root that a test made. NOTHING HERE IS PROVEN of any real machine.");
        }
        show(&mut report, &evidence, &claims);
        report.set_data("test_root", &root.is_of_a_test);
        if unasked.is_none() || differs {
            conclude(&mut report, session, &claims, self.require_all);
        }
        Ok(report)
    }
}

/// What the chain says, where an endpoint is named.
async fn ask(
    evidence: &Evidence,
    session: &Session,
    mut settings: Settings,
    root: &Root,
) -> Result<Vec<Claim>, CliError> {
    if settings.limits.offline || settings.endpoints.is_empty() {
        return Ok(evidence::without_chain(evidence));
    }
    settings.quorum.partial = true;
    let outside = session.outside(&settings);
    let chain = outside.world().chain(evidence.chain_id).await?;
    Ok(evidence::ask(evidence, &chain, root)
        .await
        .map_err(crate::upgrade::UpgradeError::from)?)
}

fn show(report: &mut Report, evidence: &Evidence, claims: &[Claim]) {
    report.page.line(&format!(
        "evidence of the app {} on chain {}",
        evidence.app, evidence.chain_id
    ));
    let lines = claims
        .iter()
        .map(|claim| (&claim.about, Some(format!("{}: {}", claim.outcome, claim.text))));
    report.page.facts(&lines.collect::<Vec<_>>());
    report.page.line(
        "nothing here covers values of the environment, images without a digest, what is on the disk, or what the app does \
         after it was measured",
    );
    report.data = serde_json::to_value(Verified::of(claims)).ok();
    report.facts.upgrade.app = Some(evidence.app);
    report.facts.upgrade.chain_id = Some(evidence.chain_id);
    report.facts.upgrade.compose_hash = evidence.code.as_ref().map(|code| code.compose_hash);
    report.facts.upgrade.transaction_hash = evidence.transaction.map(|transaction| transaction.hash);
}

fn conclude(report: &mut Report, session: &Session, claims: &[Claim], require_all: bool) {
    let count = |outcome: Outcome| claims.iter().filter(|claim| claim.outcome == outcome).count();
    let [holds, said, open, differs] =
        [Outcome::Holds, Outcome::Said, Outcome::NotChecked, Outcome::Differs].map(count);
    let counted = format!("{holds} hold, {open} were not checked, {said} are only said by the writer");
    let first = |outcome: Outcome| claims.iter().find(|claim| claim.outcome == outcome);
    let fallen: Option<(Verdict, String)> = match (first(Outcome::Differs), first(Outcome::NotChecked)) {
        (Some(claim), _) => Some((
            by_code(Code::EvidenceDiffers),
            format!(
                "{differs} of the claims differ, first `{}`: {}",
                claim.about, claim.text
            ),
        )),
        (None, Some(claim)) if require_all => Some((
            by_code(Code::EvidenceNotChecked),
            format!("`{}` was not checked: {}", claim.about, claim.text),
        )),
        _ => None,
    };
    let besides = claims.iter().filter(|claim| claim.about == evidence::BESIDES).count();
    let besides = (besides > 0).then(|| format!("; {besides} changes besides were NOT ASKED FOR"));
    let counted = counted + &besides.unwrap_or_default();
    report.message = match &fallen {
        Some((_, why)) => format!("{why}; {counted}"),
        None => format!("nothing differs: {counted}"),
    };
    if let Some((meant, _)) = fallen {
        (report.exit, report.code) = (meant.exit, meant.code);
        report.next = Some(session.typed().command(&meant.next));
        report.hint = Some(meant.hint);
    }
}
