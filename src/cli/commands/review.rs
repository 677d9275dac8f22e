//! `review`: everything that a signer has to see, compared with their own files and with the chain.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use clap::Args;

use crate::cli::act::power::tell_transfer;
use crate::cli::args::values;
use crate::cli::args::{
    self, Files, Multisig, Offline, PageFormat, PageOptions, Posted, Reach, SharedOptions, Written,
};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Commands, Next, decision, judge};
use crate::cli::session::files;
use crate::cli::session::settings::Settings;
use crate::cli::session::{Seen, Session};
use crate::cli::show::report::Report;
use crate::cli::show::review as view;
use crate::code::Code;
use crate::fsutil;
use crate::safe::builder_file::{self, Imported};
use crate::safe::service::links;
use crate::signer::{AskError, WalletError};
use crate::upgrade::review::{self, Found, Problem, Question, Trial, Wanted, Which};
use crate::upgrade::{self, UpgradeError, model::Proposal};

/// Largest batch file that is read from the disk; its reader refuses less.
const MAX_BATCH: u64 = 1 << 20;

/// Show and check what an upgrade asks for, before it is signed
///
/// It says whether it can be signed, by your own files and the chain.
/// Everything is recomputed from the proposal: the manifest's change, the compose hash, the call, the hashes that hardware
/// wallets show. With -c it is compared with your own Docker Compose file as well, and unless --offline is given, with the
/// chain: who owns the app, what the Safe is and who has signed, whether it would succeed. Nothing is written or signed.
/// Ends with 5 when something does not match, with 6 when it cannot be signed now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign review proposal.json -c docker-compose.yml --rpc-url https://mainnet.base.org\n  \
    countersign review proposal.json --offline\n  \
    countersign review proposal.json --builder-file batch.json\n  \
    countersign review --safe base:0x5afe… --safe-nonce 7")]
pub(in crate::cli) struct Review {
    #[command(flatten)]
    which: args::Which,
    #[command(flatten)]
    files: Files,
    /// Review the rejection instead: the transaction that only uses up the nonce
    #[arg(long)]
    reject: bool,
    /// Who will send the transaction, for the simulation [default: the first owner]
    #[arg(long, value_name = "ADDRESS", help_heading = "Chain", value_parser = values::address, hide_short_help = true)]
    executor: Option<Address>,
    /// Batch file for Safe{Wallet}'s Transaction Builder that somebody sent: compare it with the proposal, or show it
    #[arg(long, value_name = "FILE")]
    builder_file: Option<PathBuf>,
    #[command(flatten)]
    posted: Posted,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    offline: Offline,
    #[command(flatten)]
    safe: Multisig,
    /// Go on although the compose hash cannot be recomputed here
    #[arg(long, help_heading = "Consent", hide_short_help = true)]
    accept_unverified_hash: bool,
    /// Show it in a browser as well, as the page on which a wallet there would be asked, without a button
    #[arg(long, help_heading = "Browser")]
    open: bool,
    #[command(flatten)]
    page: PageOptions,
    #[command(flatten)]
    written: Written,
}

impl Review {
    pub(in crate::cli) async fn run(mut self, session: &Session) -> Result<Report, CliError> {
        // Of a proposal it says which nonce that has to have.
        if self.posted.is_asked() {
            self.posted.nonce = self.posted.nonce.or(self.safe.safe_nonce);
        }
        let typed = SharedOptions {
            reach: Some(&self.reach),
            offline: Some(&self.offline),
            safe: Some(&self.safe),
            notices: Some(&self.posted.notices),
            ..SharedOptions::default()
        };
        let mut settings = session.settings(typed)?;
        settings.quorum.partial = true;
        if self.accept_unverified_hash {
            settings.limits.accepted.agree_to_all(Code::HashUnverifiable);
        }
        self.posted.check(settings.limits.offline)?;
        let batch = self.builder_file.as_deref().map(batch).transpose()?;
        let named = self.which.proposal.is_some() || self.which.dir.dir.is_some();
        let mut report = if !named && (batch.is_some() || self.posted.is_asked()) {
            self.alone(session, &settings, batch.as_ref()).await?
        } else {
            self.upgrade(session, &settings, batch.as_ref()).await?
        };
        report.is_markdown = self.written.format == PageFormat::Markdown;
        if self.open {
            self.present(session, &settings, &report).await?;
        }
        Ok(report)
    }

    /// Shows it in a browser. That nobody looked there changes nothing of what was found.
    async fn present(&self, session: &Session, settings: &Settings, report: &Report) -> Result<(), CliError> {
        session.pages.review(report.page.clone());
        let screen = session.screen(self.page, settings.limits.timeout);
        match screen.present(&report.message, !report.is_failure()).await {
            Err(error @ WalletError::Unserved(_)) => Err(AskError::from(error).into()),
            Err(error) => {
                session.out.progress(&error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// An upgrade, and what somebody made of it.
    async fn upgrade(
        &self,
        session: &Session,
        settings: &Settings,
        batch: Option<&Imported>,
    ) -> Result<Report, CliError> {
        let seen = session.see_for(&self.which, self.reject)?;
        let question = Question {
            rejects: self.reject,
            local: files::local(&self.files)?,
            executor: self.executor,
            others: files::expected(&self.files.also)?,
        };
        let outside = session.outside(settings);
        let world = outside.world();
        let mut review = review::review(&world, &settings.limits, &seen.state, &question).await?;
        let proposal = Proposal::of(&seen.state);
        if let Some(batch) = batch {
            review.take_found(review::review_batch(batch, proposal.as_ref()));
        }
        if self.posted.is_asked() {
            let mut wanted = self.posted.wanted(proposal.as_ref())?;
            wanted.rejects = self.reject;
            let service = session.service(settings, wanted.chain_id)?;
            let found = review::review_posted(&world, &service, &settings.limits, wanted).await?;
            review.take_found(found);
        }
        let mut report = Report::done("review", view::clean(review.unchecked.len()));
        view::page(&mut report.page, &review);
        report.know(seen.state.status(), &seen.proposal);
        seen.locate(&mut report);
        report.next = Some(next(session, &seen, self.reject, &review));
        report.data = serde_json::to_value(&review).ok();
        report.warnings.clone_from(&review.warnings);
        conclude(&mut report, session, &review.problems, Some(&review.verdict));
        if let Some(proposal) = proposal.filter(|_| !settings.limits.offline && !self.reject) {
            tell_transfer(&mut report, &world, &proposal.plan).await;
        }
        Ok(report)
    }

    /// A batch file or a transaction at the service that no upgrade was named for.
    async fn alone(
        &self,
        session: &Session,
        settings: &Settings,
        batch: Option<&Imported>,
    ) -> Result<Report, CliError> {
        let outside = session.outside(settings);
        let world = outside.world();
        let found = match batch {
            Some(batch) => {
                let mut found = review::review_batch(batch, None);
                if settings.limits.offline {
                    found.stay_offline();
                } else {
                    found.ask(&world).await?;
                }
                found
            }
            None => {
                let wanted = self.posted.wanted(None)?;
                let service = session.service(settings, wanted.chain_id)?;
                review::review_posted(&world, &service, &settings.limits, wanted).await?
            }
        };
        Ok(alone(session, &found))
    }
}

impl Posted {
    /// Whether the service is to be asked.
    const fn is_asked(&self) -> bool {
        self.safe.is_some() || self.safe_tx_hash.is_some() || self.nonce.is_some() || self.notices.service_url.is_some()
    }

    fn check(&self, offline: bool) -> Result<(), CliError> {
        if offline && self.is_asked() {
            return Err(CliError::Usage {
                code: Code::UsageOffline,
                message: "the Safe Transaction Service cannot be asked with --offline".to_owned(),
                hint: "leave --offline out, or leave out what asks the service".to_owned(),
                next: Next::Without("--offline"),
            });
        }
        Ok(())
    }

    /// Which transactions of which Safe; what is not named is the proposal's.
    fn wanted<'a>(&self, proposal: Option<&'a Proposal>) -> Result<Wanted<'a>, CliError> {
        let prefix = self.safe.as_deref().and_then(|text| text.split_once(':'));
        let chain_id = self
            .chain_id
            .or_else(|| proposal.map(|proposal| proposal.plan.chain_id))
            .or_else(|| prefix.and_then(|(prefix, _)| links::chain_of(prefix)));
        let chain_id = chain_id.ok_or_else(|| missing("the Safe's chain", "--chain-id 8453"))?;
        let safe = match (&self.safe, proposal) {
            (Some(text), _) => links::parse_prefixed_address(text, chain_id).map_err(|error| CliError::Input {
                code: Code::InputAddress,
                message: error.to_string(),
                hint: "write the Safe's address as the wallet shows it".to_owned(),
            })?,
            (None, Some(proposal)) => proposal.plan.asked_address(),
            (None, None) => return Err(missing("the Safe", "--safe 0x…")),
        };
        let frozen = proposal.and_then(|proposal| proposal.safe.as_ref());
        let which = match (self.safe_tx_hash, self.nonce, frozen) {
            (Some(hash), ..) => Which::Hash(hash),
            (None, Some(nonce), _) => Which::Nonce(nonce),
            (None, None, Some(section)) => Which::Nonce(section.frozen.transaction.nonce),
            (None, None, None) => return Err(missing("the transaction", "--safe-nonce 0")),
        };
        Ok(Wanted {
            chain_id,
            safe,
            which,
            proposal,
            rejects: false,
        })
    }
}

fn missing(what: &str, flag: &str) -> CliError {
    CliError::Usage {
        code: Code::UsageService,
        message: format!("{what} was not named"),
        hint: format!("name {what}, for example {flag}"),
        next: Next::with(flag.to_owned()),
    }
}

fn alone(session: &Session, found: &Found) -> Report {
    let mut report = Report::done("review", view::clean(found.unchecked.len()));
    view::found_alone(&mut report.page, found);
    report.data = serde_json::to_value(found).ok();
    report.warnings.clone_from(&found.warnings);
    conclude(&mut report, session, &found.problems, None);
    report
}

/// Exit code, sentence and advice, from what stands against it.
fn conclude(report: &mut Report, session: &Session, problems: &[Problem], verdict: Option<&upgrade::Verdict>) {
    let verdict = match problems.first() {
        None => return,
        Some(Problem::Stop(stop)) => {
            report.message = stop.to_string();
            report.stop = Some(Box::new(stop.clone()));
            judge(&CliError::from(UpgradeError::Stop(Box::new(stop.clone()))))
        }
        Some(Problem::Decide { code, message }) => {
            report.message.clone_from(message);
            let doubt = verdict.and_then(upgrade::Verdict::forbidding);
            match doubt.filter(|finding| finding.code == *code) {
                Some(finding) => failure::doubt(finding.code, finding.value.as_deref()),
                None => decision(*code),
            }
        }
    };
    report.next = Some(session.typed().command(&verdict.next));
    report.hint = Some(verdict.hint).filter(|hint| !hint.is_empty());
    report.exit = verdict.exit;
    report.code = verdict.code;
}

/// What comes after a review that found nothing.
fn next(session: &Session, seen: &Seen, rejects: bool, review: &review::Review) -> String {
    let command = match &review.safe {
        Some(safe) if review.asked.route.is_safe() => {
            let enough = u64::try_from(safe.counted).is_ok_and(|counted| counted >= safe.info.threshold);
            let goes = enough && matches!(review.simulation, Trial::Succeeds { queued: false, .. });
            let command = match (goes, rejects) {
                (true, false) => "execute",
                (true, true) => "reject",
                (false, false) => "sign",
                (false, true) => "sign --reject",
            };
            return reviewed(seen.command(session, command), review);
        }
        _ if review.asked.route.is_key() => "execute",
        _ => "wait",
    };
    seen.command(session, command)
}

/// The command, for nothing but what was reviewed: another could stand in the file by then.
fn reviewed(command: String, review: &review::Review) -> String {
    match &review.hashes {
        Some(hashes) => format!("{command} --expect-safe-tx-hash {}", hashes.safe_tx),
        None => command,
    }
}

fn batch(path: &Path) -> Result<Imported, CliError> {
    let bytes = fsutil::read(path, MAX_BATCH).map_err(CliError::UserFile)?;
    builder_file::import(&bytes).map_err(|error| CliError::Input {
        code: Code::InputBuilderFile,
        message: format!(
            "`{}` is no batch that could be reviewed: {}",
            path.display(),
            crate::cli::failure::told(&error)
        ),
        hint: "ask whoever sent it to export it again from the Transaction Builder".to_owned(),
    })
}
