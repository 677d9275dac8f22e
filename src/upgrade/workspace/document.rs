//! A proposal by itself: what a signer has who keeps no journal of the upgrade.

use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::fsutil;
use crate::signer::Decision;
use crate::upgrade::{
    UpgradeError,
    files::{keep, pretty},
    finding::Verdict,
    model::{Plan, Proposal},
    model::{proposal, safe_approval::SafeApproval},
    planning::neighbours::Neighbours,
    record::State,
    record::{event::Event, exchange, rejection::keep_rejection},
    workspace::upgrade::Upgrade,
};

/// A proposal file, open for signatures. Nothing of it is trusted but what follows from the rest.
#[derive(Debug)]
pub struct Document {
    pub(in crate::upgrade) path: PathBuf,
    state: State,
    /// Leave the file as it is.
    pub(in crate::upgrade) kept: bool,
}

/// What is signed, reviewed or exported: an upgrade of this machine, or a proposal from anywhere.
#[derive(Debug)]
pub enum Subject {
    /// An upgrade with a journal.
    Upgrade(Box<Upgrade>),
    /// A proposal file.
    Document(Box<Document>),
}

impl Document {
    /// Opens a proposal.
    ///
    /// # Errors
    /// Malformed, or it contradicts itself.
    pub fn open(path: &Path) -> Result<Self, UpgradeError> {
        Ok(Self::assembled(path, exchange::state_of(path)?))
    }

    pub(in crate::upgrade) fn assembled(path: &Path, state: State) -> Self {
        Self {
            path: path.to_owned(),
            state,
            kept: false,
        }
    }

    /// Looks whether this machine decided to reject the very transaction: in the file's directory, or below `root`.
    pub fn heed(&mut self, root: &Path) {
        let Some(hash) = self.state.chosen_hash() else { return };
        let rejects = |state: &State| state.is_rejecting() && state.chosen_hash() == Some(hash);
        let place = self.path.parent().unwrap_or(Path::new("."));
        if Upgrade::peek(place).is_ok_and(|state| rejects(&state)) {
            self.state.safe.rejected_at = Some(place.display().to_string());
            return;
        }
        let neighbours = Neighbours::below(root);
        let found = neighbours.states().find(|(_, state)| rejects(state));
        self.state.safe.rejected_at = found.map(|(dir, _)| dir.display().to_string());
    }

    /// What is known.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Consumes the document and gives its state.
    pub fn into_state(self) -> State {
        self.state
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::upgrade) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        self.state.apply(event).map_err(|illegal| UpgradeError::Proposal {
            path: self.path.clone(),
            why: illegal.to_string(),
        })
    }

    /// Writes the file, with what others wrote into it meanwhile.
    pub(in crate::upgrade) fn write(&mut self) -> Result<(), UpgradeError> {
        if self.kept {
            return Ok(());
        }
        let _alone = fsutil::guard(&self.path)?;
        if self.state.is_only_to_reject() {
            return keep_rejection(&self.path, &self.state);
        }
        self.take_back()?;
        if let Some(proposal) = Proposal::of(&self.state) {
            keep(&self.path, &pretty(&proposal), 0o644)?;
        }
        Ok(())
    }
}

impl Subject {
    /// What is known.
    pub fn state(&self) -> &State {
        match self {
            Self::Upgrade(upgrade) => upgrade.state(),
            Self::Document(document) => document.state(),
        }
    }

    /// Leaves a proposal file as it is: what is signed goes elsewhere. A journal is written all the same.
    pub const fn leave(&mut self) {
        match self {
            Self::Document(document) => document.kept = true,
            Self::Upgrade(upgrade) => upgrade.leave(),
        }
    }

    /// Its proposal, once there is one.
    pub fn proposal(&self) -> Option<Proposal> {
        Proposal::of(self.state())
    }

    /// Where its proposal is.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Upgrade(upgrade) => upgrade.dir().join(proposal::FILE),
            Self::Document(document) => document.path().to_owned(),
        }
    }

    /// Plan and Safe transaction of an upgrade that a Safe approves.
    ///
    /// # Errors
    /// None was chosen yet, or no Safe approves.
    pub fn ceremony(&self) -> Result<(&Plan, SafeApproval), UpgradeError> {
        let state = self.state();
        match (state.plan(), state.ceremony()?) {
            (Some(plan), Some(ceremony)) => Ok((plan, ceremony)),
            (Some(plan), None) if plan.safe.is_none() => Err(UpgradeError::decide(
                Code::NoSafe,
                format!("no Safe owns the app: its owner is {}", plan.app_state.owner),
            )),
            _ => Err(UpgradeError::TooEarly {
                message: "no Safe transaction was chosen yet".to_owned(),
                command: "prepare",
            }),
        }
    }

    /// An upgrade of this machine remembers the verdict; a file has no place for it.
    pub(in crate::upgrade) fn keep_verdict(&mut self, verdict: &Verdict) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.keep_verdict(verdict),
            Self::Document(_) => Ok(()),
        }
    }

    /// The proposal as a file for others, with everything that is known here: what was chosen for an owner that is a Safe
    /// stands in no other file.
    pub fn copy(&self) -> Option<Vec<u8>> {
        Some(pretty(&self.proposal()?))
    }

    pub(in crate::upgrade) fn book(&mut self) -> Book<'_> {
        match self {
            Self::Upgrade(upgrade) => Book::Upgrade(upgrade),
            Self::Document(document) => Book::Document(document),
        }
    }

    pub(in crate::upgrade) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.record(event),
            Self::Document(document) => document.record(event),
        }
    }

    pub(in crate::upgrade) fn write(&mut self) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.write_proposal(),
            Self::Document(document) => document.write(),
        }
    }
}

/// Where signatures are written down.
pub(in crate::upgrade) enum Book<'a> {
    /// An upgrade with a journal.
    Upgrade(&'a mut Upgrade),
    /// A proposal by itself.
    Document(&'a mut Document),
}

impl Book<'_> {
    pub(in crate::upgrade) fn state(&self) -> &State {
        match self {
            Self::Upgrade(upgrade) => upgrade.state(),
            Self::Document(document) => document.state(),
        }
    }

    pub(in crate::upgrade) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.record(event),
            Self::Document(document) => document.record(event),
        }
    }

    /// Remembers what somebody was asked for and named.
    pub(in crate::upgrade) fn keep_named(&mut self, named: &[Decision]) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.keep_named(named),
            Self::Document(document) => named
                .iter()
                .try_for_each(|one| document.record(Event::Accepted(one.into()))),
        }
    }

    pub(in crate::upgrade) fn write(&mut self) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.write_proposal(),
            Self::Document(document) => document.write(),
        }
    }
}
