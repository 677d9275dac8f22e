//! `power`: who can change what an app runs, how fast, and with whom. Reads the chain, changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use clap::{Args, ValueEnum};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::chain::known_kms;
use crate::cli::act::place::Place;
use crate::cli::args::values;
use crate::cli::args::vouched::{ImageIs, TrustCode};
use crate::cli::exit::Exit;
use crate::cli::failure::{self, error::CliError, told};
use crate::cli::session::Session;
use crate::cli::session::files::manifest_file;
use crate::cli::show::power as shown;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::compose::{Form, Manifest};
use crate::fsutil;
use crate::power::{Class, DEFAULT_NOTICE, Domain, Earlier, Power as Answer, PowerQuery, read};

/// Largest answer that is compared with.
const MAX_EARLIER: u64 = 16 << 20;

/// Say who can change what an app runs, how fast, and with whom
///
/// Every path to other code is read from the chain, with the parties that it needs and the notice that it gives: by the power
/// of whoever governs the app, of the platform, of the operator, and of anybody. What nobody here knows adds power and never
/// takes it away.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign power --cvm my-app --notice 48h\n  \
    countersign power 0x1234567890123456789012345678901234567890 --chain-id 8453 --format markdown")]
pub(in crate::cli) struct Power {
    #[command(flatten)]
    place: Place,
    /// Address of the KMS contract [default: the CVM's, or the one that Phala runs on the chain]
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    kms: Option<Address>,
    /// Manifest of a hash that the app allows (its app-compose.json); repeat it
    #[arg(long, value_name = "FILE")]
    manifest: Vec<PathBuf>,
    /// Take code with this keccak256 for that of an app, kms, safe, timelock, delay or delegate; repeat it
    #[arg(long, value_name = "HASH=KIND")]
    trust_code: Vec<TrustCode>,
    /// Say whether the OS image with this hash has a login (dev) or none (prod); repeat it
    #[arg(long, value_name = "HASH=dev|prod")]
    os_image: Vec<ImageIs>,
    /// End with 6 where whoever governs the app needs less notice than this for other code
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    notice: Option<Duration>,
    /// End with 6 where not every contract that acts for the app is known, with nothing hidden in its storage
    #[arg(long)]
    require_closed: bool,
    /// End with 6 where fewer people, or the same ones sooner, can do something than in this answer of --json
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// How the answer is printed
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a terminal
    Text,
    /// Markdown
    Markdown,
}

impl Power {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let earlier = self.compare.as_deref().map(earlier).transpose()?;
        let manifests = self.manifests()?;
        let settings = self.place.settings(session)?;
        let outside = session.outside(&settings);
        let found = self.place.find(&outside).await?;
        let chain = outside.world().chain(found.chain_id).await?;
        let query = PowerQuery {
            app: found.query.app,
            kms: self.kms.or(found.query.kms).or_else(|| known_kms(found.chain_id)),
            owner: None,
            trusted: self.trust_code.iter().map(|one| (one.hash, one.kind)).collect(),
            images: self.os_image.iter().map(|one| (one.hash, one.image)).collect(),
        };
        let survey = read(&chain, &query).await?;
        drop(outside);
        let asked = self.notice.map_or(DEFAULT_NOTICE, |notice| notice.as_secs());
        let answer = Answer::new(survey, &manifests, asked);
        let mut report = Report::done("power", shown::least(&answer, Domain::App, Class::AnyCode));
        match self.format {
            Format::Text => shown::page(&mut report.page, &answer),
            Format::Markdown => report.raw = Some(shown::document(&answer)),
        }
        report.facts.upgrade.chain_id = Some(answer.chain_id);
        report.facts.upgrade.app = Some(answer.app);
        report.facts.upgrade.owner = answer.policy.owner;
        for finding in &answer.findings {
            report.warn(finding.code, finding.text.clone());
        }
        report.data = serde_json::to_value(&answer).ok();
        self.judge(&mut report, &answer, earlier.as_ref())?;
        Ok(report)
    }

    /// What ends it with 6, the gravest first.
    fn judge(&self, report: &mut Report, answer: &Answer, earlier: Option<&Earlier>) -> Result<(), CliError> {
        if let Some(earlier) = earlier {
            let worse = answer.worse_than(earlier).map_err(|other| unreadable(&told(&other)))?;
            report.set_data("worse", &worse);
            if !worse.is_empty() {
                end(
                    report,
                    Code::PowerGrew,
                    format!("more can be done than before: {}", worse.join("; ")),
                );
            }
        }
        let least = answer.least(Domain::App, Class::AnyCode);
        if let Some((asked, least)) = self.notice.zip(least)
            && least.notice < asked.as_secs()
        {
            let text = format!(
                "the least notice is {} s, and {} s are asked for",
                least.notice,
                asked.as_secs()
            );
            end(report, Code::NoticeTooShort, text);
        }
        if self.require_closed && !answer.closed {
            let text =
                "not every contract that acts for the app is known with nothing hidden in its storage".to_owned();
            end(report, Code::PowerNotClosed, text);
        }
        Ok(())
    }

    fn manifests(&self) -> Result<BTreeMap<B256, Manifest>, CliError> {
        let each = self.manifest.iter().map(|path| {
            let (bytes, manifest) = manifest_file(path)?;
            let measured = B256::from_slice(&Sha256::digest(bytes));
            // A file that was printed for people has the hash of the form that is measured.
            let forms = Form::ALL.map(|form| B256::from(*manifest.hash(form).as_bytes()));
            let all = forms.into_iter().chain([measured]).map(|hash| (hash, manifest.clone()));
            Ok(all.collect::<Vec<_>>())
        });
        Ok(each
            .collect::<Result<Vec<_>, CliError>>()?
            .into_iter()
            .flatten()
            .collect())
    }
}

fn end(report: &mut Report, code: Code, message: String) {
    if report.exit != Exit::Done {
        return;
    }
    report.exit = Exit::State;
    report.code = code;
    report.message = message;
    report.hint = Some(failure::by_code(code).hint);
    report.next = Some(format!("countersign explain {code}"));
}

/// An answer that was kept, by itself or as the data of a result.
fn earlier(path: &std::path::Path) -> Result<Earlier, CliError> {
    let bytes = fsutil::read(path, MAX_EARLIER).map_err(CliError::UserFile)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| unreadable(&error.to_string()))?;
    let answer = value.get("data").cloned().unwrap_or(value);
    serde_json::from_value(answer).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(why: &str) -> CliError {
    CliError::Input {
        code: Code::InputPowerAnswer,
        message: format!("the answer to compare with cannot be used: {why}"),
        hint: failure::by_code(Code::InputPowerAnswer).hint,
    }
}
