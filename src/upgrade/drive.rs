//! The driver: observes, writes the intent, acts, writes the outcome. One step after the other.
//!
//! The steps stand in `prepare`, `approve`, `wait` and `commit`; here is what they share and the order they run in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::accepted::Acceptance;
use super::ceremony::Paper;
use super::event::{Event, Identity};
use super::journal::{Found, Journal, JournalError};
use super::safe_half::keep_rejection;
use super::uncovered::agreed_unseen;
use super::verdict::Verdict;
use super::{
    Accepted, CodeChange, Goal, Limits, Outcome, Plan, Proposal, State, Status, Step, UpgradeError, Warning, World,
    evidence, proposal,
};
use crate::chain::{AppChanges, Chain, Finality};
use crate::cloud::{Client, CvmId};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::fsutil;
use crate::signer::{Decision, Signer};
use crate::text;

/// Life of a commit token below which people are told.
const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(24);

/// An upgrade whose directory this process holds.
#[derive(Debug)]
pub struct Upgrade {
    dir: PathBuf,
    journal: Journal,
    state: State,
    found: Found,
    remarks: Vec<Warning>,
    /// The last verdict over what it asks for.
    verdict: Option<Verdict>,
    /// Leave the proposal as it is.
    kept: bool,
}

/// One run over an upgrade.
pub(super) struct Run<'a> {
    pub(super) upgrade: &'a mut Upgrade,
    pub(super) world: &'a World<'a>,
    /// Phala Cloud, for as long as this run has time.
    pub(super) cloud: Client,
    pub(super) limits: &'a Limits,
    pub(super) deadline: Instant,
    /// Something that Phala Cloud reported was taken back in this run.
    pub(super) took_back: bool,
    /// When this run made the proof that is in the journal.
    pub(super) proved: Option<Instant>,
    pub(super) signer: Option<Signer>,
}

impl Upgrade {
    pub(super) fn assembled(dir: &Path, (journal, state, found): (Journal, State, Found)) -> Self {
        Self {
            dir: dir.to_owned(),
            journal,
            state,
            found,
            remarks: Vec::new(),
            verdict: None,
            kept: false,
        }
    }

    /// Leaves the proposal as it is; the journal is written all the same.
    pub(super) const fn leave(&mut self) {
        self.kept = true;
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What is known.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Where it stands.
    pub fn status(&self) -> Status {
        self.state.status()
    }

    /// What a person should know of what was met since it was opened.
    pub fn remarks(&self) -> &[Warning] {
        &self.remarks
    }

    /// The last verdict over what it asks for; nothing before one was made since it was opened.
    pub const fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// Remembers a verdict, and in the journal every doubt that somebody agreed to for the first time.
    pub(super) fn keep_verdict(&mut self, verdict: &Verdict) -> Result<(), UpgradeError> {
        for finding in verdict.agreed() {
            self.agree(Acceptance {
                code: finding.code,
                value: finding.value.clone(),
            })?;
        }
        self.verdict = Some(verdict.clone());
        Ok(())
    }

    /// Remembers what somebody was asked for and named.
    pub(super) fn keep_named(&mut self, named: &[Decision]) -> Result<(), UpgradeError> {
        for one in named {
            self.agree(one.into())?;
        }
        if let Some(verdict) = &mut self.verdict {
            verdict.agree(&Accepted::default().with(&self.state.accepted));
        }
        Ok(())
    }

    /// Remembers what somebody agreed to by name, once.
    fn agree(&mut self, one: Acceptance) -> Result<(), UpgradeError> {
        match self.state.accepted.contains(&one) {
            true => Ok(()),
            false => self.record(Event::Accepted(one)),
        }
    }

    /// Remembers a remark, once. `true`: it is a new one.
    pub(super) fn remark(&mut self, remark: Warning) -> bool {
        let is_new = !self.remarks.contains(&remark);
        if is_new {
            self.remarks.push(remark);
        }
        is_new
    }

    /// Goes on until `goal` is reached, something has to be waited for, or somebody has to decide.
    ///
    /// # Errors
    /// See [`UpgradeError`]; what was done before is in the journal.
    pub async fn advance(&mut self, world: &World<'_>, goal: Goal, limits: &Limits) -> Result<Outcome, UpgradeError> {
        // Proving asks no cloud.
        if goal != Goal::Proved {
            self.refuse_foreign_cloud(world)?;
        }
        self.refuse_given_up()?;
        if self.state.is_only_to_reject() {
            return Err(UpgradeError::decide(
                Code::SafeRejecting,
                "the proposal is wrong, and only its rejection can go on",
            ));
        }
        self.expect_safe_tx(limits, Paper::Approval)?;
        self.state.expect_nonce(limits, Paper::Approval)?;
        if self.state.deployment().is_some() {
            return self.make_app(world, (goal, limits), None).await;
        }
        if goal == Goal::Committed && self.state.plan().is_some_and(|plan| plan.code.is_none()) {
            return Err(UpgradeError::decide(
                Code::NothingToCommit,
                "only the app's policy changes: there is nothing to commit",
            ));
        }
        if matches!(goal, Goal::Committed | Goal::Live) && self.state.committed.is_none() {
            for agreed in agreed_unseen(&self.state, limits)? {
                self.agree(agreed)?;
            }
        }
        // Whoever commits from a proposal alone waited somewhere else: what is in force is found here as well.
        let searched = self.state.signed.is_empty() && self.state.proof_gone.is_none();
        if goal == Goal::Committed && self.state.is_from_elsewhere() && searched {
            self.adopt_in_force(world, limits).await?;
        }
        let mut run = self.run(world, limits)?;
        run.warn_of_expiry();
        if let Some(outcome) = run.look_at_the_proof(goal).await? {
            return Ok(outcome);
        }
        run.catch_up()?;
        if matches!(goal, Goal::Committed | Goal::Live) && run.upgrade.state.done.is_some() {
            run.look_again().await?;
        }
        loop {
            let step = run.upgrade.state.next();
            // What is on its way to the timelock is not the transaction that was asked for.
            let on_the_way = goal == Goal::Executed && run.upgrade.state.errand.is_some();
            if goal.is_reached_before(step, limits.no_wait) && !on_the_way {
                return Ok(Outcome::Reached);
            }
            goal.permits(step)
                .map_err(|early| run.upgrade.state.before_execution(early))?;
            if let Outcome::Pending(pending) = run.step(step, goal).await? {
                return Ok(Outcome::Pending(pending));
            }
        }
    }

    /// Looks once more at what Phala Cloud reported in the end, and takes it back where it was false.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub(super) async fn look_again(&mut self, world: &World<'_>, limits: &Limits) -> Result<(), UpgradeError> {
        self.refuse_foreign_cloud(world)?;
        let mut run = self.run(world, limits)?;
        run.catch_up()?;
        run.look_again().await
    }

    /// A run over this upgrade, once what opening recovered was told.
    pub(super) fn run<'a>(&'a mut self, world: &'a World<'a>, limits: &'a Limits) -> Result<Run<'a>, UpgradeError> {
        self.tell_recovery(world)?;
        let deadline = Instant::now() + limits.timeout;
        Ok(Run {
            upgrade: self,
            world,
            cloud: world.cloud.until(deadline),
            limits,
            deadline,
            took_back: false,
            proved: None,
            signer: None,
        })
    }

    /// On disk first, then in memory.
    pub(super) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        self.state.check(&event).map_err(|illegal| self.illegal(illegal))?;
        self.journal.record(&event)?;
        self.state.apply(event).map_err(|illegal| self.illegal(illegal))
    }

    fn illegal(&self, illegal: super::IllegalStep) -> UpgradeError {
        JournalError::Damaged {
            path: self.journal.path().to_owned(),
            record: self.journal.next(),
            why: illegal.to_string(),
        }
        .into()
    }

    pub(super) fn journal_path(&self) -> &Path {
        self.journal.path()
    }

    /// Whether another proposal is the one that is approved: another member's of its fleet, or another app's.
    pub(super) fn follows(&self) -> bool {
        self.journal.follows() || self.state.joins.is_some()
    }

    /// Whether it is in a fleet.
    pub(super) const fn is_in_fleet(&self) -> bool {
        self.journal.is_shared()
    }

    pub(super) const fn is_rolled_back(&self) -> bool {
        self.found.rolled_back
    }

    pub(super) fn write_proposal(&self) -> Result<(), UpgradeError> {
        if self.kept {
            return Ok(());
        }
        let path = self.dir.join(proposal::FILE);
        if self.state.joins.is_some() {
            // Another proposal holds it; nobody is to approve it by itself, here or elsewhere.
            return Ok(fsutil::remove(&path)?);
        }
        if self.state.is_only_to_reject() {
            return keep_rejection(&path, &self.state);
        }
        if let Some(proposal) = Proposal::of(&self.state) {
            keep(&path, &pretty(&proposal), 0o644)?;
        }
        Ok(())
    }

    pub(super) fn refuse_given_up(&self) -> Result<(), UpgradeError> {
        match &self.state.abandoned {
            None => Ok(()),
            Some(why) => Err(UpgradeError::decide(
                Code::Abandoned,
                format!("the upgrade was given up: {why}"),
            )),
        }
    }

    pub(super) fn refuse_foreign_cloud(&self, world: &World<'_>) -> Result<(), UpgradeError> {
        match self.state.identity() {
            Some(Identity { cloud: Some(ours), .. }) if *ours != world.cloud.host() => Err(UpgradeError::stop(
                Code::CloudMismatch,
                "API host",
                ours,
                world.cloud.host(),
            )),
            _ => Ok(()),
        }
    }

    fn tell_recovery(&mut self, world: &World<'_>) -> Result<(), UpgradeError> {
        let Found {
            torn,
            rolled_back,
            tightened,
        } = self.found;
        if torn > 0 {
            self.record(Event::Note {
                text: format!("dropped {torn} bytes of an incomplete record"),
            })?;
            world.ask.tell(&format!(
                "recovered the journal: dropped {torn} bytes of an incomplete record"
            ));
            self.found.torn = 0;
        }
        if let Some(mode) = tightened {
            self.record(Event::Note {
                text: format!("others could open the journal (mode {mode:04o}); they no longer can"),
            })?;
            world.ask.tell(&format!(
                "others could open the journal (mode {mode:04o}); it is 0600 now"
            ));
            self.found.tightened = None;
        }
        if rolled_back {
            world.ask.tell(
                "the journal is an older copy: what the chain and the cloud prove is adopted, nothing is sent again",
            );
        }
        Ok(())
    }
}

impl Run<'_> {
    /// What follows from the last record and a run that was cut off did not come to: files to write, a token to forget.
    fn catch_up(&self) -> Result<(), UpgradeError> {
        self.upgrade.write_proposal()?;
        let state = &self.upgrade.state;
        if state.confirmed.is_some() {
            self.forget_token()?;
        }
        if state.committed.is_some() || (state.code().is_none() && state.proof.is_some()) {
            self.write_evidence()?;
        }
        Ok(())
    }

    async fn step(&mut self, step: Step, goal: Goal) -> Result<Outcome, UpgradeError> {
        match step {
            Step::Prepare => {
                self.refuse_beforehand(goal).await?;
                self.prepare().await
            }
            Step::Verify => self.verify().await,
            Step::Freeze | Step::Approve if self.upgrade.follows() => self.follow(goal).await,
            Step::Freeze => self.freeze().await,
            Step::Approve if goal == Goal::Proved => self.wait_for_others().await,
            Step::Approve => self.approve(goal).await,
            Step::Broadcast => self.broadcast().await,
            Step::Wait => self.wait().await,
            Step::Commit => self.commit().await,
            Step::Settle => self.settle().await,
            Step::Watch => self.watch().await,
            Step::Finished => Ok(Outcome::Reached),
        }
    }

    pub(super) fn plan(&self) -> Result<Plan, UpgradeError> {
        self.upgrade
            .state
            .plan()
            .cloned()
            .ok_or_else(|| UpgradeError::TooEarly {
                message: "the upgrade has no plan".to_owned(),
                command: "prepare",
            })
    }

    /// What changes of the code.
    pub(super) fn code(&self) -> Result<CodeChange, UpgradeError> {
        self.upgrade.state.code().cloned().ok_or_else(|| {
            UpgradeError::decide(
                Code::NoCodeChange,
                "only the app's policy changes: there is no CVM to upgrade",
            )
        })
    }

    /// The CVM, as the API's paths name it.
    pub(super) fn cvm(&self) -> Result<CvmId, UpgradeError> {
        Ok(self.code()?.cvm.parse()?)
    }

    /// What has to be in force on chain in the end.
    pub(super) fn changes(&self) -> Result<AppChanges, UpgradeError> {
        self.upgrade.state.changes().ok_or_else(|| UpgradeError::TooEarly {
            message: "nothing was prepared and verified yet".to_owned(),
            command: "prepare",
        })
    }

    /// The verified hash; zero before there is one, which no step that uses it comes before.
    pub(super) fn hash(&self) -> ComposeHash {
        self.upgrade
            .state
            .verified()
            .map_or(ComposeHash::new([0; 32]), |(hash, _)| *hash)
    }

    pub(super) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        self.upgrade.record(event)
    }

    /// Records what an effect came to. It came to that even when the disk says no, and then only the error tells.
    pub(super) fn record_outcome(&mut self, event: Event, fact: &str) -> Result<(), UpgradeError> {
        self.record(event).map_err(|error| not_stored(fact, error))
    }

    pub(super) fn note(&mut self, text: impl Into<String>) -> Result<(), UpgradeError> {
        self.record(Event::Note { text: text.into() })
    }

    pub(super) fn tell(&self, news: &str) {
        self.world.ask.tell(news);
    }

    /// Tells what the report has among its warnings as well.
    pub(super) fn warn(&mut self, code: Code, text: String) {
        let remark = Warning {
            code: code.to_owned(),
            text,
        };
        if self.upgrade.remark(remark.clone()) {
            self.tell(&format!("warning: {}", remark.text));
        }
    }

    /// A token that expires before the approval comes is no loss, but somebody has to prepare again.
    fn warn_of_expiry(&self) {
        let state = &self.upgrade.state;
        let Some(prepared) = state
            .prepared
            .as_ref()
            .filter(|prepared| prepared.token_sha256.is_some())
        else {
            return;
        };
        let soon = Timestamp::now()
            .saturating_add(EXPIRY_WARNING)
            .is_ok_and(|later| later >= prepared.expires);
        if soon && state.committed.is_none() {
            self.tell(&format!(
                "the commit token expires at {}; after that the same change is prepared again, for the same hash",
                prepared.expires
            ));
        }
    }

    /// The chain, connected once.
    pub(super) async fn chain(&self) -> Result<Chain, UpgradeError> {
        let deployment = self.upgrade.state.deployment();
        let chain_id = deployment.map_or_else(|| self.plan().map(|plan| plan.chain_id), |new| Ok(new.chain_id))?;
        self.world.chain(chain_id).await
    }

    pub(super) fn finality(&self, chain_id: u64) -> Finality {
        self.limits.finality.unwrap_or_else(|| Finality::default_for(chain_id))
    }

    /// The key, opened once a run; `None` when no source was named.
    pub(super) async fn signer(&mut self) -> Result<Option<&Signer>, UpgradeError> {
        if self.signer.is_none()
            && let Some(source) = self.world.signer
        {
            self.signer = Some(Signer::open(source, self.world.unlock, self.world.ask).await?);
        }
        Ok(self.signer.as_ref())
    }

    /// Whether a key is ready without asking anybody.
    pub(super) const fn open_signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sleeps, but not past the deadline; `false` when there is no time left.
    pub(super) async fn sleep(&self, wish: Duration) -> bool {
        let left = self.time_left();
        tokio::time::sleep(wish.min(left)).await;
        left > wish
    }

    pub(super) fn write_evidence(&self) -> Result<(), UpgradeError> {
        evidence::write(&self.upgrade.dir, &self.upgrade.state)
    }
}

/// The outcome of an effect could not be stored: the next run settles it.
pub(super) fn not_stored(fact: &str, error: impl Into<UpgradeError>) -> UpgradeError {
    match error.into() {
        error @ (UpgradeError::File(_) | UpgradeError::Journal(JournalError::Fs(_))) => UpgradeError::Unknown {
            code: Code::OutcomeNotStored,
            message: format!("{fact}, and that could not be stored"),
            source: Some(Box::new(error)),
        },
        other => other,
    }
}

/// Writes a file unless it holds these bytes already.
pub(super) fn keep(path: &Path, bytes: &[u8], mode: u32) -> Result<(), fsutil::FsError> {
    let room = bytes.len().try_into().unwrap_or(u64::MAX);
    if fsutil::read(path, room).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    fsutil::write(path, bytes, mode)
}

pub(super) fn pretty(value: &impl serde::Serialize) -> Vec<u8> {
    let mut text = text::json(&serde_json::to_string_pretty(value).unwrap_or_default());
    text.push('\n');
    text.into_bytes()
}

/// The time by the server's clock where it told, else by this machine's.
pub(super) fn server_time(date: Option<Timestamp>) -> Timestamp {
    date.unwrap_or_else(Timestamp::now)
}
