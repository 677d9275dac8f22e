//! One run of the program: its output, its environment, its arguments, and the upgrade it is about.

mod accept;
pub(super) mod advice;
pub(super) mod completion;
pub(super) mod delivery;
pub(super) mod environment;
pub(super) mod files;
pub(super) mod known;
mod network;
pub(super) mod next;
mod origins;
pub(super) mod out_file;
mod outside;
pub(super) mod pages;
pub(super) mod person;
pub(super) mod project;
pub(super) mod project_text;
pub(super) mod quote_root;
pub(super) mod settings;
mod telling;
mod workload;

pub(super) use outside::Outside;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use alloy::primitives::B256;
use tokio::time::Instant;

use crate::chain::quorum::Turnout;
use crate::cli::args::{self, Change, Governor, PageOptions, Which};
use crate::cli::exit::Exit;
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::advice::Reader;
use crate::cli::session::environment::{Environment, RPC_URL};
use crate::cli::session::known::{beside, locate, placed};
use crate::cli::session::network::network;
use crate::cli::session::next::{CommandLine, commit_provision};
use crate::cli::session::origins::Origins;
use crate::cli::session::out_file::OutFile;
use crate::cli::session::outside::patient;
use crate::cli::session::pages::{Pages, Screen};
use crate::cli::session::person::Person;
use crate::cli::session::project::Project;
use crate::cli::session::settings::{ROOT, Settings, Sourced, Wanted};
use crate::cli::show::advice::Advice;
use crate::cli::show::names::Names;
use crate::cli::show::output::{Output, notice};
use crate::cli::show::report::{Report, certain};
use crate::cli::show::view;
use crate::cloud::Spoken;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::fsutil;
use crate::http::{Http, Limits, Rate};
use crate::safe::service::Service;
use crate::signer::Source;
use crate::upgrade::{
    self, Acceptance, Outcome, PROPOSAL_FILE, Upgrade, UpgradeError,
    model::{Intent, Proposal},
    record::State,
    workspace::{Document, Subject, ToReject},
};

/// How long a Safe Transaction Service is listened to where the command has no `--timeout`.
const SERVICE_TIME: Duration = Duration::from_mins(2);

/// One run.
#[derive(Debug)]
pub(in crate::cli) struct Session {
    pub(in crate::cli) out: Output,
    pub(in crate::cli) env: Environment,
    typed: CommandLine,
    command: &'static str,
    accepted: Vec<Acceptance>,
    base_tx: Option<B256>,
    needs_digests: bool,
    /// Certificates of authorities that are trusted besides.
    ca_file: Option<PathBuf>,
    /// One client for all servers, since the time for the run is one.
    http: Http,
    /// That client on its way, once the settings name it.
    reaching: OnceLock<Http>,
    /// Where the settings come from.
    origins: Mutex<Origins>,
    /// Which endpoints answered.
    turnout: Turnout,
    /// Which versions of its API Phala Cloud speaks.
    spoken: Spoken,
    /// The page of a wallet in a browser.
    pub(in crate::cli) pages: Pages,
    dir: Mutex<Option<PathBuf>>,
    /// The proposal, where the run is about one by itself.
    file: Mutex<Option<PathBuf>>,
}

/// What is to be looked at without being touched.
#[derive(Debug)]
pub(in crate::cli) struct Seen {
    /// What is known.
    pub(in crate::cli) state: State,
    /// Its proposal.
    pub(in crate::cli) proposal: PathBuf,
    /// The directory of an upgrade of this machine.
    dir: Option<PathBuf>,
}

impl Session {
    /// Nothing is read or opened yet.
    pub(in crate::cli) fn new(out: Output, env: Environment, typed: CommandLine, command: &'static str) -> Self {
        Self {
            out,
            env,
            typed,
            command,
            accepted: Vec::new(),
            base_tx: None,
            needs_digests: false,
            ca_file: None,
            reaching: OnceLock::new(),
            origins: Mutex::default(),
            http: Http::new(Limits::default()).telling(notice),
            turnout: Turnout::default(),
            spoken: Spoken::default(),
            pages: Pages::default(),
            dir: Mutex::new(None),
            file: Mutex::new(None),
        }
    }

    /// With what was agreed to by name for every command, and where an approval of what runs may be found.
    pub(in crate::cli) fn with(mut self, accepted: Vec<Acceptance>, base_tx: Option<B256>) -> Self {
        (self.accepted, self.base_tx) = (accepted, base_tx);
        self
    }

    /// From here on, no server gets more requests than that.
    pub(in crate::cli) fn at_most(mut self, rate: Option<Rate>) -> Self {
        if let Some(rate) = rate {
            self.http = self.http.at_most(rate);
        }
        self
    }

    /// From here on, the authorities in this file are trusted besides those of the system.
    pub(in crate::cli) fn trusting(mut self, ca_file: Option<PathBuf>) -> Self {
        self.ca_file = ca_file;
        self
    }

    /// The client for all servers.
    fn reached(&self, settings: &Settings) -> &Http {
        self.reaching
            .get_or_init(|| self.http.clone().reaching(settings.network.clone()))
    }

    /// From here on, whatever runs and no digest fixes is a doubt.
    pub(in crate::cli) const fn insisting_on_digests(mut self, insists: bool) -> Self {
        self.needs_digests = insists;
        self
    }

    /// The change that was typed, with what `phala.toml` says besides.
    pub(in crate::cli) fn intent(
        &self,
        settings: &Settings,
        change: &Change,
        governor: &Governor,
    ) -> Result<Sourced<Intent>, CliError> {
        let wanted = Wanted {
            change,
            project: &Project::here()?,
            trust: &settings.limits.trust,
            governor,
        };
        settings::intent(&wanted, &self.env, &|news| self.out.progress(news))
    }

    /// Connects settings to the outside; does no I/O. Whoever agrees does so at the terminal, or, where the key is in a browser,
    /// on a page to what that key does.
    pub(in crate::cli) fn outside<'a>(&'a self, settings: &'a Settings) -> Outside<'a> {
        let asks_there = matches!(settings.signer, Some(Source::Browser(_)));
        let screen = asks_there.then(|| self.screen(settings.page, settings.limits.timeout));
        Outside::new(
            self.reached(settings).clone(),
            self.spoken.clone(),
            settings,
            Person::new(&self.out, &self.env, settings.yes).at(screen),
        )
    }

    /// The page of this run as a person gets to it.
    pub(in crate::cli) const fn screen(&self, options: PageOptions, patience: Duration) -> Screen<'_> {
        Screen {
            pages: &self.pages,
            options,
            patience,
            out: &self.out,
            env: &self.env,
        }
    }

    /// The service of a chain: the one that was typed, or Safe's own; does no I/O.
    pub(in crate::cli) fn service(&self, settings: &Settings, chain_id: u64) -> Result<Service, CliError> {
        let http = patient(self.reached(settings), settings);
        let http = match settings.quorum.until {
            Some(_) => http,
            None => http.until(Instant::now() + SERVICE_TIME),
        };
        let service = settings.services.of(&http, chain_id)?;
        service.ok_or_else(|| CliError::Usage {
            code: Code::UsageNoService,
            message: format!("Safe runs no Transaction Service for chain {chain_id}"),
            hint: "name one by --service-url, or pass the proposal on as a file".to_owned(),
            next: Next::with("--service-url URL"),
        })
    }

    /// How cloud, chain and keys are reached, with every doubt that was agreed to by name.
    pub(in crate::cli) fn settings(&self, typed: args::SharedOptions<'_>) -> Result<Settings, CliError> {
        let file = Project::here()?.countersign;
        let mut settings = Settings::gather(typed, &self.env, &file)?;
        settings.network = network(self.ca_file.as_deref(), &self.env)?;
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = settings.of_the_file().filter(|_| origins.is_empty()) {
            self.out.progress(&told);
        }
        origins.clone_from(&settings.origins);
        self.out.call(Names::new(file.owners));
        settings.agree(&self.accepted);
        if self.needs_digests {
            settings.limits.accepted.insist_on_digests();
        }
        settings.base_tx = self.base_tx;
        settings.quorum.turnout = self.turnout.clone();
        Ok(settings)
    }

    /// Remembers which upgrade this run is about, for failures and signals.
    pub(in crate::cli) fn about(&self, dir: &Path) {
        *self.dir.lock().unwrap_or_else(PoisonError::into_inner) = Some(dir.to_owned());
    }

    /// The client for other servers, on the way that the settings name once they were gathered.
    pub(in crate::cli) fn http(&self) -> &Http {
        self.reaching.get().unwrap_or(&self.http)
    }

    /// The command's name.
    pub(in crate::cli) const fn command(&self) -> &'static str {
        self.command
    }

    /// The directory that this run is about, where one is known.
    pub(in crate::cli) fn dir(&self) -> Option<PathBuf> {
        self.dir.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Next commands as this run would phrase them.
    pub(in crate::cli) fn typed(&self) -> CommandLine {
        let dir = self.dir();
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.typed
            .clone()
            .within(dir.as_deref())
            .about_file(file)
            .with_accounts(self.env.accounts())
            .with_endpoint(self.env.text(RPC_URL))
    }

    /// A result's file, once it is none that this run reads: the proposal, the journal beside it, or a file that was named
    /// for something else.
    pub(in crate::cli) fn apart<'a>(&self, out: OutFile<'a>, proposal: &Path) -> Result<OutFile<'a>, CliError> {
        let journal = beside(proposal).join(upgrade::record::JOURNAL_FILE);
        let out = out.apart_from([proposal, journal.as_path()])?;
        self.apart_from_arguments(out)
    }

    /// A result's file, once it is none of those that the arguments name.
    pub(in crate::cli) fn apart_from_arguments<'a>(&self, out: OutFile<'a>) -> Result<OutFile<'a>, CliError> {
        let named: Vec<PathBuf> = self.typed().files();
        out.apart_from(named.iter().map(PathBuf::as_path))
    }

    /// Remembers that this run is about a proposal by itself.
    fn about_file(&self, file: &Path) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.to_owned());
    }

    /// What comes next for whoever reads this run's report of the upgrade whose proposal is there.
    pub(in crate::cli) fn advise(&self, proposal: &Path, of: impl FnOnce(&Reader<'_>) -> Advice) -> Advice {
        self.advise_as(&self.typed(), proposal, of)
    }

    /// Next command after this run's report of an upgrade, phrased from `typed` in place of this run's own arguments.
    pub(in crate::cli) fn advise_as(
        &self,
        typed: &CommandLine,
        proposal: &Path,
        of: impl FnOnce(&Reader<'_>) -> Advice,
    ) -> Advice {
        let (has_api_key, has_service_key) = self.env.has_keys();
        of(&Reader {
            typed,
            proposal,
            has_service: has_service_key || typed.has("--service-url"),
            has_api_key,
        })
    }

    /// Opens the upgrade that the arguments name; a proposal from elsewhere is adopted, and one that lies beside a
    /// journal has to be that journal's.
    pub(in crate::cli) fn open(&self, which: &Which) -> Result<Upgrade, CliError> {
        let which = &placed(which);
        let dir = self.name(which)?;
        match &which.proposal {
            Some(file) => Ok(Upgrade::adopt(&dir, proposal(file)?)?),
            None => Ok(Upgrade::open(&dir)?),
        }
    }

    /// What the arguments name, to be reviewed, signed or exported: an upgrade of this machine, or a proposal by itself.
    pub(in crate::cli) fn subject(&self, which: &Which) -> Result<Subject, CliError> {
        let which = &placed(which);
        match &which.proposal {
            Some(file) if !upgrade::holds(beside(file)) => {
                self.about_file(file);
                Ok(Subject::Document(Box::new(document(file)?)))
            }
            _ => Ok(Subject::Upgrade(Box::new(self.open(which)?))),
        }
    }

    /// Opens what the arguments name, to be reviewed, signed, exported or rejected; a file that is only to be rejected
    /// may be wrong in everything but chain, Safe and nonce.
    pub(in crate::cli) fn subject_for(&self, which: &Which, rejects: bool) -> Result<Subject, CliError> {
        match self.to_reject(which, rejects)? {
            ToReject::AsItIs => self.subject(which),
            ToReject::Journal(dir) => Ok(Subject::Upgrade(Box::new(self.open_dir(&dir)?))),
            ToReject::Half(document) => {
                self.about_file(document.path());
                Ok(Subject::Document(document))
            }
        }
    }

    /// The upgrade that is to be rejected.
    pub(in crate::cli) fn open_to_reject(&self, which: &Which) -> Result<Upgrade, CliError> {
        let which = &placed(which);
        match (self.to_reject(which, true)?, &which.proposal) {
            (ToReject::AsItIs, _) | (_, None) => self.open(which),
            (ToReject::Journal(dir), _) => self.open_dir(&dir),
            (ToReject::Half(_), Some(file)) => {
                let upgrade = Upgrade::adopt_to_reject(Path::new(ROOT), file)?;
                self.about(upgrade.dir());
                Ok(upgrade)
            }
        }
    }

    fn open_dir(&self, dir: &Path) -> Result<Upgrade, CliError> {
        self.about(dir);
        Ok(Upgrade::open(dir)?)
    }

    /// What cannot be read is named in the advice all the same.
    fn about_named(&self, which: &Which) {
        if let Some(file) = &which.proposal {
            self.about_file(file);
        }
    }

    fn to_reject(&self, which: &Which, rejects: bool) -> Result<ToReject, CliError> {
        let which = &placed(which);
        self.about_named(which);
        match &which.proposal {
            Some(file) if rejects => ToReject::look(file).map_err(of_user),
            _ => Ok(ToReject::AsItIs),
        }
    }

    /// As [`Self::subject_for`], to be looked at only.
    pub(in crate::cli) fn see_for(&self, which: &Which, rejects: bool) -> Result<Seen, CliError> {
        let (state, proposal, dir) = match self.to_reject(which, rejects)? {
            ToReject::AsItIs => return self.see(which),
            ToReject::Journal(dir) => (Upgrade::peek(&dir)?, dir.join(PROPOSAL_FILE), Some(dir)),
            ToReject::Half(document) => {
                let file = document.path().to_owned();
                (document.into_state(), file, None)
            }
        };
        match &dir {
            Some(dir) => self.about(dir),
            None => self.about_file(&proposal),
        }
        Ok(Seen { state, proposal, dir })
    }

    /// Reads what the arguments name to show it: nothing is locked, adopted or written. A proposal beside a journal has
    /// to be that journal's.
    pub(in crate::cli) fn see(&self, which: &Which) -> Result<Seen, CliError> {
        let which = &placed(which);
        let Some(file) = &which.proposal else {
            let dir = self.name(which)?;
            return Ok(Seen {
                state: Upgrade::peek(&dir)?,
                proposal: dir.join(PROPOSAL_FILE),
                dir: Some(dir),
            });
        };
        self.about_file(file);
        let mut state = document(file)?.into_state();
        let dir = Some(beside(file)).filter(|dir| upgrade::holds(dir)).map(Path::to_owned);
        if let Some(dir) = &dir {
            self.about(dir);
            let journal = Upgrade::peek(dir)?;
            proposal(file)?.check_same(&journal)?;
            state.is_kept_by(&journal);
        } else {
            self.about_file(file);
        }
        let proposal = file.clone();
        Ok(Seen { state, proposal, dir })
    }

    /// Where an upgrade stands: by its journal where this machine has one, otherwise by the proposal alone.
    pub(in crate::cli) fn standing(&self, which: &Which) -> Result<Seen, CliError> {
        let which = &placed(which);
        let dir = match &which.proposal {
            None => self.name(which)?,
            Some(file) => match self.journal_of(file)? {
                Some(dir) => dir,
                None => return self.see(which),
            },
        };
        self.about(&dir);
        Ok(Seen {
            state: Upgrade::peek(&dir)?,
            proposal: dir.join(PROPOSAL_FILE),
            dir: Some(dir),
        })
    }

    /// The directory of this machine that goes on with a proposal, if there is one.
    pub(in crate::cli) fn journal_of(&self, file: &Path) -> Result<Option<PathBuf>, CliError> {
        let near = beside(file);
        if upgrade::holds(near) {
            return Ok(Some(near.to_owned()));
        }
        let own = Upgrade::dir_of(Path::new(ROOT), &proposal(file)?);
        Ok(Some(own).filter(|dir| upgrade::holds(dir)))
    }

    /// A proposal as an upgrade in a directory that goes away, for who only watches.
    pub(in crate::cli) fn watch(&self, file: &Path) -> Result<(Upgrade, Passing), CliError> {
        self.about_file(file);
        let dir = Passing(self.env.passing());
        // Below it, since a directory is told to git where it stands.
        let upgrade = Upgrade::adopt(&dir.0.join("upgrade"), proposal(file)?)?;
        Ok((upgrade, dir))
    }

    /// Says in a report where the subject is.
    pub(in crate::cli) fn locate_in(&self, report: &mut Report, subject: &Subject) {
        let dir = match subject {
            Subject::Upgrade(upgrade) => Some(upgrade.dir()),
            Subject::Document(_) => None,
        };
        report.know_files(subject.state(), dir);
        report.facts.proposal = Some(subject.path().display().to_string());
    }

    /// The directory of the upgrade that the arguments name: where the proposal lies, or where it is adopted to.
    pub(in crate::cli) fn name(&self, which: &Which) -> Result<PathBuf, CliError> {
        let which = &placed(which);
        self.about_named(which);
        let dir = match &which.proposal {
            Some(file) if upgrade::holds(beside(file)) => beside(file).to_owned(),
            Some(file) => Upgrade::dir_of(Path::new(ROOT), &proposal(file)?),
            None => locate(&which.dir)?,
        };
        self.about(&dir);
        Ok(dir)
    }

    /// The report of a run that went as far as it can go now.
    pub(in crate::cli) fn went(&self, upgrade: &Upgrade, outcome: &Outcome, command: &str) -> Report {
        let status = upgrade.status();
        let mut report = Report::done(command, certain(&status));
        let proposal = upgrade.dir().join(PROPOSAL_FILE);
        let state = upgrade.state();
        let mut advice = self.advise(&proposal, |reader| reader.advise(state));
        if let Outcome::Pending(pending) = outcome {
            report.exit = Exit::Pending;
            report.code = pending.code.to_owned();
            report.message = format!("waiting: {}", pending.what);
            advice = self.advise(&proposal, |reader| reader.pending(state, pending.code, command));
        }
        report.advise(advice);
        if let Some(plan) = state.plan() {
            report.warnings.clone_from(&plan.warnings);
            report.recalled = plan.warnings.len();
        }
        if let (Some(new), Some(app)) = (state.deployment(), state.deployed()) {
            let hash = ComposeHash::new(new.new.hash.unwrap_or_default().0);
            report.next = Some(commit_provision(app, hash, new.from));
        }
        report.warnings.extend_from_slice(upgrade.remarks());
        view::standing(&mut report.page, &status, &certain(&status), upgrade.dir());
        report.know(status, upgrade.dir());
        report.know_files(state, Some(upgrade.dir()));
        if let Some(verdict) = upgrade.verdict() {
            report.set_verdict(verdict);
        }
        report
    }

    /// Report on somebody else's proposal that was only watched: once it is in force, nothing comes after it here.
    pub(in crate::cli) fn watched(&self, file: &Path, upgrade: &Upgrade, outcome: &Outcome) -> Report {
        let (state, status) = (upgrade.state(), upgrade.status());
        let mut report = Report::done("wait", certain(&status));
        if let Outcome::Pending(pending) = outcome {
            report.exit = Exit::Pending;
            report.code = pending.code;
            report.message = format!("waiting: {}", pending.what);
            report.advise(self.advise(file, |reader| reader.pending(state, pending.code, "wait")));
        }
        if let Some(plan) = state.plan() {
            report.warnings.clone_from(&plan.warnings);
            report.recalled = plan.warnings.len();
        }
        report.warnings.extend_from_slice(upgrade.remarks());
        report.know(status, file);
        report.know_files(state, None);
        report.facts.proposal = Some(file.display().to_string());
        report
    }
}

/// A directory that is removed when its user is done.
#[derive(Debug)]
pub(in crate::cli) struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = fsutil::remove_dir(&self.0) {
            tracing::warn!(%error, "a directory stays behind");
        }
    }
}

impl Seen {
    /// The directory of an upgrade of this machine.
    pub(in crate::cli) fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Says in a report where it is.
    pub(in crate::cli) fn locate(&self, report: &mut Report) {
        report.know_files(&self.state, self.dir());
        report.facts.proposal = Some(self.proposal.display().to_string());
    }
    /// Another command about it.
    pub(in crate::cli) fn command(&self, session: &Session, command: &str) -> String {
        match self.dir {
            Some(_) => session.typed().step(command),
            None => session.typed().of_file(command, &self.proposal),
        }
    }
}

/// Reads a proposal file; one that is missing is the user's to correct.
fn proposal(file: &Path) -> Result<Proposal, CliError> {
    Proposal::read(file).map_err(of_user)
}

/// Opens a proposal file to be signed, and looks on this machine for a rejection of its Safe transaction.
fn document(file: &Path) -> Result<Document, CliError> {
    let mut document = Document::open(file).map_err(of_user)?;
    document.heed(Path::new(ROOT));
    Ok(document)
}

fn of_user(error: UpgradeError) -> CliError {
    match error {
        UpgradeError::File(error) => CliError::UserFile(error),
        other => CliError::from(other),
    }
}
