//! `attest`: what the hardware measured of a CVM, held against what its owners approved.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use crate::attest::saved::{self, Measure, NamedBy, Saved};
use crate::attest::{Collateral, Finding, Root, Standing, TcbPolicy};
use crate::cli::act::attest::{Shortfall, accepted_levels, add_to_evidence, keep, known, places, shortfall};
use crate::cli::args::attesting::Witnesses;
use crate::cli::args::{Dir, Overwrite, Reach, SharedOptions, Which, values};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Commands as _, told};
use crate::cli::session::Session;
use crate::cli::session::out_file::OutFile;
use crate::cli::session::settings::{self, Project, Settings};
use crate::cli::show::attestation::{self as page, Source};
use crate::cli::show::report::Report;
use crate::cloud::CvmId;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::fsutil;
use crate::upgrade::attestation::{self, Attested, Conclusion, Known, Request};
use crate::upgrade::{Accepted, UpgradeError};

/// Longest collateral that is read, bytes.
const MAX_COLLATERAL: u64 = 1 << 20;

/// Prove by its hardware that a CVM runs what was approved
///
/// Reads the quote, the event log and the certificate of the CVM's guest, Intel's collateral for its machine, and what the
/// contracts say, and verifies all of it here: nothing is believed but Intel's root key, the contracts and, for the image, the
/// KMS that they name. Each link of the proof holds, is broken, or is not known. Ends with 0 when every link holds (but
/// `fresh`, which only an app with --attest-url can show), with 5 when one is broken, with 6 when one is not known, with 8 when
/// the CVM is not up yet or still runs what it ran before, with 75 when nothing is missing but Intel's collateral. Nothing is
/// uploaded anywhere, and no key is sent but Phala Cloud's to Phala Cloud.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign attest my-app --dir .countersign/my-app-1a2b3c4d\n  \
    countersign attest my-app --compose-hash 0x1a2b… --out attestation.json\n  \
    countersign attest --evidence attestation.json"
)]
pub(in crate::cli) struct Attest {
    /// CVM: name, UUID, app id or instance id [default: that of --dir, or what phala.toml names]
    #[arg(value_name = "CVM", value_parser = values::cvm, conflicts_with_all = ["named", "evidence"])]
    cvm: Option<CvmId>,
    /// CVM, as in other commands
    #[arg(long = "cvm", id = "named", value_name = "ID", value_parser = values::cvm, conflicts_with = "evidence")]
    named: Option<CvmId>,
    /// Upgrade whose hash should run: its directory, or its proposal
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "compose_hash",
        help_heading = "What has to hold"
    )]
    dir: Option<PathBuf>,
    /// Compose hash that should run [default: what Phala Cloud says it runs, if the app allows it]
    #[arg(long, value_name = "HASH", value_parser = values::compose_hash, help_heading = "What has to hold")]
    compose_hash: Option<ComposeHash>,
    /// Judge this file of an earlier run again, and ask nobody
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["pccs", "guest_url", "attest_url"],
        help_heading = "Evidence"
    )]
    evidence: Option<PathBuf>,
    /// Judge it as of this time [default: when it was made]
    #[arg(long, value_name = "TIME", requires = "evidence", value_parser = values::moment, help_heading = "Evidence")]
    at: Option<Timestamp>,
    /// Intel's collateral from this file in place of a server
    #[arg(long, value_name = "FILE", help_heading = "Evidence")]
    collateral: Option<PathBuf>,
    #[command(flatten)]
    witnesses: Witnesses,
    /// Write all that the verdict was made of to this file [default: attestation.json in the directory of --dir]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    reach: Reach,
}

/// The upgrade whose hash should run.
struct Subject {
    known: Known,
    /// Its CVM.
    cvm: Option<CvmId>,
    /// Its directory, where it has one here.
    dir: Option<PathBuf>,
}

/// What is asked about, and by what it is judged.
struct Asked<'a> {
    subject: &'a Subject,
    tcb: &'a TcbPolicy,
    root: &'a Root,
}

impl<'a> Asked<'a> {
    fn by(&self, at: Timestamp) -> Measure<'a> {
        Measure {
            tcb: self.tcb,
            root: self.root,
            at,
        }
    }
}

impl Attest {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = session.settings(SharedOptions {
            reach: Some(&self.reach),
            ..SharedOptions::default()
        })?;
        let tcb = accepted_levels(&settings.limits.accepted)?;
        let root = session.env.quote_root()?;
        let out = self
            .out
            .as_deref()
            .map(|out| OutFile::new(out, self.overwrite.overwrite));
        let out = out.map(|out| session.apart_from_arguments(out)).transpose()?;
        let subject = match &self.dir {
            Some(dir) => Subject::of_upgrade(session, dir)?,
            None => Subject::of_hash(self.compose_hash),
        };
        let asked = Asked {
            subject: &subject,
            tcb: &tcb,
            root: &root.root,
        };
        let seen = match &self.evidence {
            Some(file) => self.again(file, &asked, &settings.limits.accepted)?,
            None => self.ask(session, &settings, &asked).await?,
        };
        let at = self.at.unwrap_or(seen.saved.at);
        let file = self.evidence.as_ref().map(|file| file.display().to_string());
        let source = Source {
            file: file.as_deref(),
            at,
            is_test_root: root.is_of_a_test,
        };
        let mut report = report(session, &seen, seen.conclusion(&asked.by(at)), source);
        let dir = subject.dir.filter(|_| self.evidence.is_none());
        let place = dir.as_ref().map(|dir| dir.join(saved::FILE));
        let out = out.or_else(|| place.as_deref().map(|place| OutFile::new(place, true)));
        if let Some(out) = out {
            keep(out, &seen.saved)?;
            if let Some(dir) = &dir {
                add_to_evidence(dir, &seen, &settings.limits.accepted)?;
            }
            let path = self.out.as_deref().or(place.as_deref());
            let named = path.map(|path| path.display().to_string()).unwrap_or_default();
            report.page.line(&format!(
                "saved in `{named}`: `countersign attest --evidence` judges it again"
            ));
            report.set_data("file", &named);
        }
        Ok(report)
    }

    /// Judges what an earlier run saved, as of the time that was named or else its own.
    fn again(&self, file: &Path, asked: &Asked<'_>, accepted: &Accepted) -> Result<Attested, CliError> {
        let saved = self.saved(file, &asked.subject.known)?;
        let at = self.at.unwrap_or(saved.at);
        let known = Known {
            named_kms: Project::here()?.kms,
            ..asked.subject.known.clone()
        };
        Ok(Attested::again(saved, &known, accepted, &asked.by(at))?)
    }

    /// Asks everybody who has something to say.
    async fn ask(&self, session: &Session, settings: &Settings, asked: &Asked<'_>) -> Result<Attested, CliError> {
        let subject = asked.subject;
        let project = Project::here()?;
        let typed = self.cvm.as_ref().or(self.named.as_ref()).or(subject.cvm.as_ref());
        let cvm = settings::cvm(typed, &project)?.value;
        let known = Known {
            app: subject.known.app.or(project.app),
            named_kms: project.kms,
            ..subject.known.clone()
        };
        let here = self.collateral.as_deref().map(collateral).transpose()?;
        let places = places(&self.witnesses, here)?;
        let request = Request {
            cvm: &cvm,
            known: &known,
            places: &places,
            tcb: asked.tcb,
            root: asked.root,
            accepted: &settings.limits.accepted,
        };
        let outside = session.outside(settings);
        Ok(attestation::attest(&outside.world(), &request).await?)
    }

    /// A saved attestation, with what was named now in place of what its writer expected.
    fn saved(&self, file: &Path, known: &Known) -> Result<Saved, CliError> {
        let bytes = fsutil::read(file, saved::MAX_BYTES as u64).map_err(CliError::UserFile)?;
        let mut saved = Saved::parse(&bytes).map_err(|error| no_attestation(file, &error))?;
        if let Some(collateral) = self.collateral.as_deref().map(collateral).transpose()? {
            saved.gathered.collateral = Some(collateral);
        }
        let wanted = &mut saved.wanted;
        if let Some(named) = known.hash {
            (wanted.compose_hash, wanted.named_by) = named;
            (wanted.previous_compose_hash, wanted.transaction) = (known.previous, known.transaction);
        }
        wanted.app = known.app.unwrap_or(wanted.app);
        Ok(saved)
    }
}

impl Subject {
    fn of_hash(hash: Option<ComposeHash>) -> Self {
        Self {
            known: Known {
                hash: hash.map(|hash| (hash, NamedBy::Person)),
                ..Known::default()
            },
            cvm: None,
            dir: None,
        }
    }

    fn of_upgrade(session: &Session, dir: &Path) -> Result<Self, CliError> {
        let is_file = dir.is_file();
        let which = Which {
            proposal: Some(dir.to_owned()).filter(|_| is_file),
            dir: Dir {
                dir: Some(dir.to_owned()).filter(|_| !is_file),
                cvm: None,
            },
        };
        let standing = session.standing(&which)?;
        let (known, cvm) = known(&standing.state).ok_or(UpgradeError::TooEarly {
            message: "no compose hash was prepared in this upgrade: there is nothing that a CVM should run".to_owned(),
            command: "prepare",
        })?;
        Ok(Self {
            known,
            cvm,
            dir: standing.dir().map(Path::to_owned),
        })
    }
}

fn collateral(file: &Path) -> Result<Collateral, CliError> {
    let bytes = fsutil::read(file, MAX_COLLATERAL).map_err(CliError::UserFile)?;
    Collateral::parse(&bytes).map_err(|error| no_attestation(file, &error))
}

fn no_attestation(file: &Path, error: &dyn std::error::Error) -> CliError {
    CliError::Input {
        code: Code::InputAttestation,
        message: format!("`{}` cannot be judged: {}", file.display(), told(error)),
        hint: "name a file that `countersign attest` wrote by --evidence, or collateral as dcap-qvl keeps it by --collateral"
            .to_owned(),
    }
}

fn report(session: &Session, seen: &Attested, ended: Conclusion, source: Source<'_>) -> Report {
    let mut report = Report::done("attest", "every link holds: the hardware measured what was approved");
    page::show(&mut report.page, seen, ended, source);
    report.data = Some(page::data(seen, source));
    let wanted = &seen.saved.wanted;
    report.facts.upgrade.cvm = Some(seen.saved.cvm.clone());
    report.facts.upgrade.app = Some(wanted.app);
    report.facts.upgrade.chain_id = Some(wanted.chain_id);
    report.facts.upgrade.compose_hash = Some(wanted.compose_hash);
    report.facts.upgrade.previous_compose_hash = wanted.previous_compose_hash;
    let Some(Shortfall { why, meant }) = shortfall(seen, ended) else {
        let is_open = |one: &Finding| one.standing != Standing::Holds;
        if seen.verdict.findings.iter().any(is_open) {
            report.message.push_str("; that it was measured now is not shown");
        }
        if source.file.is_some() {
            report.message.push_str("; what the contracts said is the file's word");
        }
        return report;
    };
    report.message = why;
    (report.exit, report.code) = (meant.exit, meant.code);
    report.next = Some(session.typed().command(&meant.next));
    report.hint = Some(meant.hint);
    report
}
