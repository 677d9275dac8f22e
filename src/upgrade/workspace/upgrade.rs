//! An upgrade whose directory this process holds: its records on disk and in memory, and the files that follow from them.

use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::fsutil;
use crate::signer::Decision;
use crate::upgrade::{
    Accepted, UpgradeError, Warning, World,
    accepted::Acceptance,
    files::{keep, pretty},
    finding::Verdict,
    journal_error::JournalError,
    model::Proposal,
    model::proposal,
    record::{State, Status},
    record::{
        event::{Event, Identity},
        journal::{Found, Journal},
        rejection::keep_rejection,
    },
};

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

impl Upgrade {
    pub(in crate::upgrade) fn assembled(dir: &Path, journal: Journal, state: State, found: Found) -> Self {
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
    pub(in crate::upgrade) const fn leave(&mut self) {
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
    pub(in crate::upgrade) fn keep_verdict(&mut self, verdict: &Verdict) -> Result<(), UpgradeError> {
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
    pub(in crate::upgrade) fn keep_named(&mut self, named: &[Decision]) -> Result<(), UpgradeError> {
        for one in named {
            self.agree(one.into())?;
        }
        if let Some(verdict) = &mut self.verdict {
            verdict.agree(&Accepted::default().with(&self.state.accepted));
        }
        Ok(())
    }

    /// Remembers what somebody agreed to by name, once.
    pub(in crate::upgrade) fn agree(&mut self, one: Acceptance) -> Result<(), UpgradeError> {
        match self.state.accepted.contains(&one) {
            true => Ok(()),
            false => self.record(Event::Accepted(one)),
        }
    }

    /// Remembers a remark, once. `true`: it is a new one.
    pub(in crate::upgrade) fn remark(&mut self, remark: Warning) -> bool {
        let is_new = !self.remarks.contains(&remark);
        if is_new {
            self.remarks.push(remark);
        }
        is_new
    }

    /// On disk first, then in memory.
    pub(in crate::upgrade) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        self.state.check(&event).map_err(|illegal| self.illegal(illegal))?;
        self.journal.record(&event)?;
        self.state.apply(event).map_err(|illegal| self.illegal(illegal))
    }

    fn illegal(&self, illegal: crate::upgrade::record::IllegalStep) -> UpgradeError {
        JournalError::Damaged {
            path: self.journal.path().to_owned(),
            record: self.journal.next(),
            why: illegal.to_string(),
        }
        .into()
    }

    pub(in crate::upgrade) fn journal_path(&self) -> &Path {
        self.journal.path()
    }

    /// Head of the journal's chain of records, in hex.
    pub(in crate::upgrade) fn journal_head(&self) -> String {
        self.journal.last()
    }

    /// Whether another proposal is the one that is approved: another member's of its fleet, or another app's.
    pub(in crate::upgrade) fn follows(&self) -> bool {
        self.journal.follows() || self.state.batch.joins.is_some()
    }

    /// Whether it is in a fleet.
    pub(in crate::upgrade) const fn is_in_fleet(&self) -> bool {
        self.journal.is_shared()
    }

    pub(in crate::upgrade) const fn is_rolled_back(&self) -> bool {
        self.found.rolled_back
    }

    pub(in crate::upgrade) fn write_proposal(&self) -> Result<(), UpgradeError> {
        if self.kept {
            return Ok(());
        }
        let path = self.dir.join(proposal::FILE);
        if self.state.batch.joins.is_some() {
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

    pub(in crate::upgrade) fn refuse_given_up(&self) -> Result<(), UpgradeError> {
        match &self.state.abandoned {
            None => Ok(()),
            Some(why) => Err(UpgradeError::decide(
                Code::Abandoned,
                format!("the upgrade was given up: {why}"),
            )),
        }
    }

    pub(in crate::upgrade) fn refuse_foreign_cloud(&self, world: &World<'_>) -> Result<(), UpgradeError> {
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

    pub(in crate::upgrade) fn tell_recovery(&mut self, world: &World<'_>) -> Result<(), UpgradeError> {
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
