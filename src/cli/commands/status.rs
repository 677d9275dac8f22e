//! `status`: where upgrades stand, from their journals; whether the chain still says what was proved, and, of one that is
//! over, what runs now.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::primitives::B256;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use url::Url;

use crate::chain::{Finality, PolicyChange, Proof};
use crate::cli::act::failed::failed;
use crate::cli::args::values;
use crate::cli::args::{PageFormat, Reach, SharedOptions, Which, Written};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Commands, Next, decision, ended};
use crate::cli::session::Session;
use crate::cli::session::known::{Known, Texts};
use crate::cli::show::advice::Advice;
use crate::cli::show::report::{self, Report};
use crate::cli::show::view;
use crate::code::Code;
use crate::text::option;
use crate::upgrade::{
    self, OperationNow, UpgradeError, Warning, World, look_at_operation,
    record::{Effect, State, Step},
    steps::{ProofNow, look_at_proof},
};

/// Show where an upgrade stands, from its journal
///
/// Writes nothing and waits for no lock, so it can be run beside a run that is under way. Where an endpoint is named and
/// something was proved or scheduled, it looks whether that still stands; where there is an API key, it asks Phala Cloud whether a CVM that
/// ran the new hash still does. Otherwise it asks nobody. Without a name, it lists every unfinished upgrade below
/// .countersign, or shows the last one where none is unfinished. What it calls unknown
/// is settled by `countersign resume`. Of a proposal by itself it says what the file says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign status\n  \
    countersign status --dir .countersign/my-app-1a2b3c4d --json\n  countersign status --all")]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    which: Which,
    /// List finished upgrades too
    #[arg(long, conflicts_with_all = ["proposal", "dir"])]
    all: bool,
    /// JSON-RPC endpoint that is asked whether what was proved or scheduled still stands [env: ETH_RPC_URL]
    #[arg(long, value_name = "URL", help_heading = "Chain", value_parser = values::web_address)]
    rpc_url: Vec<Url>,
    /// End with 6 where a commit token that is still needed expires within this time, for example 3d
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    expiring: Option<Duration>,
    #[command(flatten)]
    written: Written,
}

/// How long the chain is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Status {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let mut expiring = Expiring::within(self.expiring);
        let mut report = self.found(session, &mut expiring).await?;
        expiring.tell(session, &mut report);
        report.is_markdown = self.written.format == PageFormat::Markdown;
        Ok(report)
    }

    /// Several upgrades at once, or none where only tokens were asked for.
    fn listed(&self, session: &Session, expiring: &mut Expiring) -> Result<Option<Report>, CliError> {
        if self.which.proposal.is_some() || self.which.dir.dir.is_some() {
            return Ok(None);
        }
        let mut list = List::new();
        for one in Known::each(self.which.dir.cvm.as_ref())? {
            list.finished += usize::from(!one.is_open());
            if self.all || one.is_open() {
                list.add(session, &one);
                expiring.look(&one.dir, one.state.as_ref().ok());
            }
        }
        let found = list.upgrades.len() + if self.all { 0 } else { list.finished };
        if !list.upgrades.is_empty() && (self.all || found > 1) {
            expiring.is_listed = true;
            return Ok(Some(list.report(self.all)));
        }
        let nothing = "no upgrade is here whose commit token could expire";
        Ok((found == 0 && self.expiring.is_some()).then(|| Report::done("status", nothing)))
    }

    async fn found(&self, session: &Session, expiring: &mut Expiring) -> Result<Report, CliError> {
        if let Some(report) = self.listed(session, expiring)? {
            return Ok(report);
        }
        let standing = session.standing(&self.which)?;
        expiring.look(standing.dir().unwrap_or(&standing.proposal), Some(&standing.state));
        let looked = self.look(session, &standing.state).await;
        let state = &looked.state;
        let mut status = state.status();
        if let Some(ready_at) = looked.ready_at.and_then(|at| i64::try_from(at).ok()) {
            status.facts.ready_at = Timestamp::from_second(ready_at).ok();
        }
        let message = looked.message.unwrap_or_else(|| report::certain(&status));
        let mut report = Report::done("status", message);
        report.warnings.extend(looked.remark);
        let proposal = standing.proposal.clone();
        report.advise(match looked.next {
            Some(next) => Advice {
                next: Some(next),
                ..Advice::default()
            },
            None => session.advise(&proposal, |reader| reader.advise(state)),
        });
        if let Some(dir) = standing.dir()
            && let Some(warning) = look_again(session, state).await?
        {
            if warning.code == Code::CvmRunsAnother {
                status.effects.live = Effect::None;
                report.message = format!("Phala Cloud reported the new hash once: {}.", warning.text);
                report.next = Some(format!(
                    "countersign resume {}",
                    option("--dir", &dir.display().to_string())
                ));
            }
            report.warnings.push(warning);
        }
        report.data = serde_json::to_value(&status).ok();
        match standing.dir() {
            Some(dir) => view::standing(&mut report.page, &status, &report.message, dir),
            None => view::standing_alone(&mut report.page, &status, &report.message, &proposal),
        }
        view::effects(&mut report.page, &status);
        report.know(status, &proposal);
        standing.locate(&mut report);
        Ok(report)
    }
}

/// Commit tokens that expire soon.
struct Expiring {
    /// Until when; nothing where nobody asked.
    until: Option<Timestamp>,
    found: BTreeMap<PathBuf, Timestamp>,
    /// Several upgrades were looked at, so that the next command has to name one.
    is_listed: bool,
}

impl Expiring {
    fn within(time: Option<Duration>) -> Self {
        let until = time.map(|time| {
            let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
            Timestamp::now().checked_add(time).unwrap_or(Timestamp::MAX)
        });
        Self {
            until,
            found: BTreeMap::new(),
            is_listed: false,
        }
    }

    /// Looks at the token of an upgrade that still needs it.
    fn look(&mut self, dir: &Path, state: Option<&State>) {
        let needed = state.filter(|state| state.next() < Step::Settle);
        let at = needed.and_then(|state| state.status().facts.token_expires);
        if let Some(at) = at.filter(|at| self.until.is_some_and(|until| *at <= until)) {
            self.found.insert(dir.to_owned(), at);
        }
    }

    fn tell(&self, session: &Session, report: &mut Report) {
        let Some((dir, at)) = self.found.iter().min_by_key(|(_, at)| **at) else {
            return;
        };
        let meant = decision(Code::TokenExpiring);
        (report.exit, report.code) = (meant.exit, meant.code);
        report.message = format!(
            "{} commit tokens expire soon, first that of `{}` at {at}",
            self.found.len(),
            dir.display()
        );
        let typed = session.typed();
        let typed = if self.is_listed { typed.within(Some(dir)) } else { typed };
        report.next = Some(typed.command(&meant.next));
        report.hint = Some(meant.hint);
    }
}

/// Whether the CVM of an upgrade that is over still runs its hash, where there is an API key to ask with.
async fn look_again(session: &Session, state: &State) -> Result<Option<Warning>, CliError> {
    if state.status().effects.live != Effect::Done {
        return Ok(None);
    }
    let settings = session.settings(SharedOptions::default())?;
    if settings.api_key.is_none() {
        return Ok(None);
    }
    let outside = session.outside(&settings);
    Ok(state.look_again(outside.cloud()).await)
}

/// A journal's state as the chain leaves it, and what is said then in place of what the journal alone says.
struct Looked {
    state: State,
    remark: Option<Warning>,
    message: Option<String>,
    next: Option<String>,
    /// From when on an operation can be executed, seconds since 1970, where it is another time than the one recorded.
    ready_at: Option<u64>,
}

impl Looked {
    fn of(state: &State) -> Self {
        Self {
            state: state.clone(),
            remark: None,
            message: None,
            next: None,
            ready_at: None,
        }
    }

    /// What is so in place of what is recorded, and what comes next then.
    fn is_otherwise(&mut self, found: Warning, next: String) {
        self.message = Some(format!("{}.", capital(&found.text)));
        self.remark = Some(found);
        self.next = Some(next);
    }

    /// What the proof is worth now.
    fn take_proof(&mut self, session: &Session, proof: &Proof, found: ProofNow) {
        let place = held(proof);
        let lost = matches!(found, ProofNow::Gone | ProofNow::NeverWas | ProofNow::Undone(_));
        self.remark = match found {
            ProofNow::Stands(_) => None,
            ProofNow::Unsettled => Some(told(
                Code::ProofNotChecked,
                format!("{place}, is not at every endpoint now"),
            )),
            ProofNow::Gone => Some(told(
                Code::ProofGone,
                format!("{place}, was replaced: the change has to be proved anew"),
            )),
            ProofNow::NeverWas => Some(told(
                Code::ProofGone,
                format!("{place}, did not have the change in force: it has to be proved anew"),
            )),
            ProofNow::Undone(change) => {
                self.take_undone(session, proof, &change);
                self.remark.take()
            }
        };
        if lost {
            self.state.forget_proof();
        }
    }

    /// What was committed runs on until its next boot; what was not is to be approved again, if it is still wanted.
    fn take_undone(&mut self, session: &Session, proof: &Proof, change: &PolicyChange) {
        let text = ProofNow::told_undone(proof, change);
        let status = self.state.status();
        if status.effects.commit != Effect::Done && status.effects.live != Effect::Done {
            let next = decision(Code::HashRemoved).next;
            return self.is_otherwise(told(Code::HashRemoved, text), session.typed().command(&next));
        }
        let text = format!("{text}: the next boot will be refused");
        self.message = Some(format!("{} But {text}.", report::certain(&status)));
        self.next = status.facts.compose_hash.map(|hash| {
            let (app, chain) = (proof.app, proof.chain_id);
            format!("countersign app hashes add {hash} --app {app} --chain-id {chain}")
        });
        self.remark = Some(told(Code::CommittedButNotAllowed, text));
    }

    /// Where the operation stands now.
    fn take_operation(&mut self, session: &Session, id: B256, found: OperationNow) {
        let (code, text) = match found {
            OperationNow::Pending { ready_at } => {
                self.ready_at = Some(ready_at);
                return;
            }
            OperationNow::Cancelled => (
                Code::OperationCancelled,
                format!("operation {id} was scheduled and then cancelled; nothing of it can be executed"),
            ),
            OperationNow::Unseen => (
                Code::OperationUnseen,
                format!(
                    "operation {id} was scheduled, the timelock has it no more, and no event says that it was cancelled"
                ),
            ),
            OperationNow::InForce => (
                Code::PendingFinality,
                format!("operation {id} was executed, and the change is in force: it is to be proved"),
            ),
            OperationNow::WithoutEffect => (
                Code::OperationWithoutEffect,
                format!("operation {id} was executed, and what it changed is not in force: somebody changed it again"),
            ),
        };
        let next = match found {
            OperationNow::InForce => Next::Command("wait"),
            OperationNow::WithoutEffect => decision(code).next,
            _ => ended(Exit::Failed, code).next,
        };
        let next = session.typed().command(&next);
        if found == OperationNow::InForce {
            self.message = Some(format!("{}.", capital(&text)));
            self.next = Some(next);
        } else {
            self.is_otherwise(told(code, text), next);
        }
        self.state.forget_scheduling();
    }
}

impl Status {
    /// Looks again at what is recorded as proved or scheduled, where an endpoint is named; writes nothing.
    async fn look(&self, session: &Session, state: &State) -> Looked {
        let mut looked = Looked::of(state);
        let open = match state.proof() {
            Some(proof) => {
                let asked = async |world: &World<'_>, finality| look_at_proof(world, finality, state).await;
                match self.ask(session, asked).await {
                    Ok(found) => {
                        if let Some(found) = found {
                            looked.take_proof(session, proof, found);
                        }
                        return looked;
                    }
                    Err(error) => (format!("{}, is still there", held(proof)), error),
                }
            }
            None => {
                let asked = async |world: &World<'_>, _| look_at_operation(world, state).await;
                match self.ask(session, asked).await {
                    Ok(found) => {
                        if let Some((id, now)) = found {
                            looked.take_operation(session, id, now);
                        }
                        return looked;
                    }
                    Err(error) => ("what is recorded as scheduled stands".to_owned(), error),
                }
            }
        };
        let (what, error) = open;
        let why = failed(session, &error).message;
        looked.remark = Some(told(
            Code::ProofNotChecked,
            format!("not checked: whether {what}: {why}"),
        ));
        looked
    }

    /// What the chain says; nothing where no endpoint is named.
    async fn ask<T>(
        &self,
        session: &Session,
        look: impl AsyncFnOnce(&World<'_>, Option<Finality>) -> Result<Option<T>, UpgradeError>,
    ) -> Result<Option<T>, CliError> {
        let reach = Reach::to(self.rpc_url.clone(), None, PATIENCE);
        let settings = session.settings(SharedOptions {
            reach: Some(&reach),
            ..SharedOptions::default()
        })?;
        if settings.endpoints.is_empty() {
            return Ok(None);
        }
        let outside = session.outside(&settings);
        let world = outside.world();
        let asked = look(&world, settings.limits.finality);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(found) => Ok(found?),
            Err(_) => Err(UpgradeError::Later {
                code: Code::NetTimeout,
                message: "no endpoint answered in time".to_owned(),
                source: None,
            }
            .into()),
        }
    }
}

fn held(proof: &Proof) -> String {
    format!(
        "block {} ({}), which held the proof",
        proof.block.number, proof.block.hash
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn told(code: Code, text: String) -> Warning {
    Warning { code, text }
}

/// A table of several upgrades; one that cannot be read does not hide the others.
struct List {
    texts: Texts,
    rows: Vec<Vec<String>>,
    upgrades: Vec<Value>,
    finished: usize,
}

impl List {
    fn new() -> Self {
        Self {
            texts: Texts::default(),
            rows: Vec::new(),
            upgrades: Vec::new(),
            finished: 0,
        }
    }

    fn add(&mut self, session: &Session, one: &Known) {
        let dir = one.dir.display().to_string();
        let words = one.words(&mut self.texts);
        self.upgrades.push(match &one.state {
            Ok(state) => {
                let typed = session.typed().within(Some(&one.dir));
                let proposal = one.dir.join(upgrade::PROPOSAL_FILE);
                let advice = session.advise_as(&typed, &proposal, |reader| reader.advise(state));
                json!({ "dir": dir, "status": state.status(), "waits": words[2], "next": advice.next, "others": advice.others })
            }
            Err(error) => json!({ "dir": dir, "error": error.to_string() }),
        });
        self.rows.push(std::iter::once(dir).chain(words).collect());
    }

    /// `all`: the finished ones are among them.
    fn report(self, all: bool) -> Report {
        let mut report = Report::done("status", "read from the journals");
        let head = ["DIRECTORY", "CVM", "IMAGES", "STEP", "AGE", "TOKEN"];
        report.page.table(&head, &self.rows);
        if !all && self.finished > 0 {
            report.page.line(&format!(
                "{} finished: `countersign status --all` lists them too",
                self.finished
            ));
        }
        if let [only] = self.upgrades.as_slice() {
            report.next = only["next"].as_str().map(str::to_owned);
        }
        report.data = Some(Value::Array(self.upgrades));
        report
    }
}
