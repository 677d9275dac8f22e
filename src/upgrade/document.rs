//! A proposal by itself: what a signer has who keeps no journal of the upgrade.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;

use super::adopt::news;
use super::ballot::{Book, sign_ballot};
use super::ceremony::{Ceremony, Paper};
use super::drive::{Upgrade, keep, pretty};
use super::event::Event;
use super::examine;
use super::neighbours::Neighbours;
use super::safe_half::keep_rejection;
use super::verdict::Verdict;
use super::{Accepted, Limits, Plan, Proposal, State, UpgradeError, Warning, World};
use crate::code::Code;
use crate::fsutil;
use crate::safe::{Look, Merged, Offer, OwnerSignature, SafeInfo, merge};
use crate::signer::Signer;

/// A proposal file, open for signatures. Nothing of it is trusted but what follows from the rest.
#[derive(Debug)]
pub struct Document {
    path: PathBuf,
    state: State,
    /// Leave the file as it is.
    kept: bool,
}

/// What is signed, reviewed or exported: an upgrade of this machine, or a proposal from anywhere.
#[derive(Debug)]
pub enum Subject {
    /// An upgrade with a journal.
    Upgrade(Box<Upgrade>),
    /// A proposal file.
    Document(Box<Document>),
}

/// What was compared before a signature, and what was not.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the chain said; nothing without one.
    pub look: Option<Look>,
    /// What is asked for is in force on chain already.
    pub allowed: bool,
    /// What could not be checked, one sentence each.
    pub unchecked: Vec<String>,
    /// What a person should know.
    pub remarks: Vec<Warning>,
    /// Whether it may be signed, and why.
    pub verdict: Verdict,
}

impl Document {
    /// Opens a proposal.
    ///
    /// # Errors
    /// Malformed, or it contradicts itself.
    pub fn open(path: &Path) -> Result<Self, UpgradeError> {
        let proposal = Proposal::read(path)?;
        let state = State::fold(proposal.events()).map_err(|(_, illegal)| UpgradeError::Proposal {
            path: path.to_owned(),
            why: illegal.to_string(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            state,
            kept: false,
        })
    }

    pub(super) fn assembled(path: &Path, state: State) -> Self {
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
            self.state.rejected_at = Some(place.display().to_string());
            return;
        }
        let neighbours = Neighbours::below(root);
        let found = neighbours.states().find(|(_, state)| rejects(state));
        self.state.rejected_at = found.map(|(dir, _)| dir.display().to_string());
    }

    /// What is known.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The same, taken out.
    pub fn into_state(self) -> State {
        self.state
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        self.state.apply(event).map_err(|illegal| UpgradeError::Proposal {
            path: self.path.clone(),
            why: illegal.to_string(),
        })
    }

    /// Writes the file, with what others wrote into it meanwhile.
    pub(super) fn write(&mut self) -> Result<(), UpgradeError> {
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
            Self::Upgrade(upgrade) => upgrade.dir().join(super::PROPOSAL_FILE),
            Self::Document(document) => document.path().to_owned(),
        }
    }

    /// Plan and Safe transaction of an upgrade that a Safe approves.
    ///
    /// # Errors
    /// None was chosen yet, or no Safe approves.
    pub fn ceremony(&self) -> Result<(&Plan, Ceremony), UpgradeError> {
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

    /// Compares everything with the chain, unless `limits` say that there is none to ask.
    ///
    /// # Errors
    /// Something is not what the proposal says.
    pub async fn check(&mut self, world: &World<'_>, limits: &Limits, rejects: bool) -> Result<Checked, UpgradeError> {
        let paper = if rejects { Paper::Rejection } else { Paper::Approval };
        self.check_paper(world, limits, paper).await
    }

    /// The verdict over what is known here, without a chain.
    ///
    /// # Errors
    /// There is no Safe transaction yet, or it is not what the plan asks for.
    pub fn verdict(&self, limits: &Limits, paper: Paper) -> Result<Verdict, UpgradeError> {
        let (_, ceremony) = self.ceremony()?;
        let proposal = self.whole_proposal()?;
        let subject = examine::Subject::of(self.state(), paper, (&proposal, Some(&ceremony)));
        Ok(subject.judge(None, (limits, &self.state().accepted)))
    }

    fn whole_proposal(&self) -> Result<Proposal, UpgradeError> {
        self.proposal().ok_or_else(|| UpgradeError::TooEarly {
            message: "there is no proposal yet".to_owned(),
            command: "prepare",
        })
    }

    async fn check_paper(&mut self, world: &World<'_>, limits: &Limits, paper: Paper) -> Result<Checked, UpgradeError> {
        let (plan, ceremony) = self.ceremony()?;
        let (verdict, known) = if limits.offline {
            (self.verdict(limits, paper)?, None)
        } else {
            let proposal = self.whole_proposal()?;
            let state = self.state();
            let subject = examine::Subject::of(state, paper, (&proposal, Some(&ceremony)));
            let chain = world.chain(plan.chain_id).await?;
            let known = examine::examine(world, &chain, &subject).await?;
            (subject.judge(Some(&known), (limits, &state.accepted)), Some(known))
        };
        // What is in force needs no signature, and what was chosen before does not matter any more.
        let allowed = known.as_ref().is_some_and(|known| known.in_force);
        self.keep_verdict(&verdict)?;
        verdict.check_before_asking(world.ask)?;
        let look = known.and_then(|known| known.look);
        let pinned = self.state().plan().and_then(|plan| plan.safe.as_ref());
        if let (Some(look), Some(pinned)) = (&look, pinned)
            && !look.info.changes_since(pinned).is_empty()
        {
            self.record(Event::SafePinned(Box::new(look.info.clone())))?;
        }
        Ok(Checked {
            look,
            allowed,
            unchecked: verdict.not_checked.clone(),
            remarks: Vec::new(),
            verdict,
        })
    }

    /// An upgrade of this machine remembers the verdict; a file has no place for it.
    fn keep_verdict(&mut self, verdict: &Verdict) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.keep_verdict(verdict),
            Self::Document(_) => Ok(()),
        }
    }

    /// Signs as an owner, once everything was checked that can be.
    ///
    /// # Errors
    /// A check failed, consent was refused, or this machine signed something else for the same nonce.
    pub async fn sign(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
        paper: Paper,
    ) -> Result<(Checked, OwnerSignature, Address), UpgradeError> {
        // A signature that cannot be kept is not made: the key's record would know of it, and nobody would have it.
        if let Self::Document(document) = self
            && !document.kept
        {
            fsutil::check_writable(&document.path)?;
        }
        let remarks = match paper {
            Paper::Nested(child) => self.choose_nested(world, limits, child).await?,
            _ => Vec::new(),
        };
        self.expect(limits, paper)?;
        self.state().expect_nonce(limits, paper)?;
        let rejects = paper == Paper::Rejection;
        let mut checked = self.check_paper(world, limits, paper).await?;
        checked.remarks.extend(remarks);
        checked.remarks.extend(self.state().signature_remarks());
        self.refuse_pointless(&checked, rejects)?;
        let Some(source) = world.signer else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                "an owner of the Safe has to sign, and no key was named",
            ));
        };
        if rejects && !self.state().is_rejecting() {
            self.record(Event::SafeReject {
                at: jiff::Timestamp::now(),
            })?;
        }
        let signer = Signer::open(source, world.unlock, world.ask).await?;
        sign_ballot((world, limits), &mut self.book(), &signer, paper).await?;
        checked.verdict.agree(&Accepted::default().with(&self.state().accepted));
        let owner = signer.address();
        let (_, ceremony) = self.ceremony()?;
        let signature = ceremony
            .paper(paper)
            .and_then(|(ballot, _)| ballot.signatures.by_owner().get(&owner).cloned());
        signature
            .map(|signature| (checked, signature, owner))
            .ok_or_else(|| UpgradeError::stop(Code::SignerNotOwner, "signer", "an owner of the Safe", owner))
    }

    /// Takes in signatures from elsewhere, for the approval or its rejection, whichever they are for.
    ///
    /// # Errors
    /// What was taken in could not be stored. A signature that does not count is no error: its verdict says so.
    pub fn import(&mut self, offers: Vec<Offer>, source: &str) -> Result<Vec<Merged>, UpgradeError> {
        let (plan, mut ceremony) = self.ceremony()?;
        let only_to_reject = self.state().is_only_to_reject();
        let owners = plan.safe.as_ref().map(SafeInfo::owner_set).unwrap_or_default();
        let children: Vec<Address> = ceremony.nested.keys().copied().collect();
        let mut merged = Vec::new();
        for offer in offers {
            let one = || vec![offer.clone()];
            let (first, second) = match only_to_reject {
                true => (&mut ceremony.rejection, None),
                false => (&mut ceremony.approval, Some(&mut ceremony.rejection)),
            };
            let mut verdict = merge(&mut first.signatures, &first.tx, one(), &owners);
            let others = second.into_iter().map(|ballot| (ballot, owners.clone()));
            let nested = ceremony
                .nested
                .values_mut()
                .map(|(safe, ballot)| (ballot, safe.owner_set()));
            for (ballot, owners) in others.chain(nested) {
                if verdict.iter().any(|one| one.outcome.is_ok()) {
                    break;
                }
                let tried = merge(&mut ballot.signatures, &ballot.tx, one(), &owners);
                // What is said of the approval is what people want to know when it fits none.
                if tried.iter().any(|one| one.outcome.is_ok()) {
                    verdict = tried;
                }
            }
            merged.append(&mut verdict);
        }
        let papers = [Paper::Approval, Paper::Rejection].into_iter();
        for paper in papers.chain(children.into_iter().map(Paper::Nested)) {
            let Some((ballot, _)) = ceremony.paper(paper) else {
                continue;
            };
            for (owner, signature) in ballot.signatures.by_owner() {
                let bytes = signature.to_bytes();
                let known = self.state().ballots.of(paper).and_then(|signed| signed.get(owner));
                if known == Some(&bytes) {
                    continue;
                }
                self.record(Event::SafeSignature {
                    owner: *owner,
                    signature: bytes,
                    paper,
                    source: source.to_owned(),
                })?;
            }
        }
        self.write()?;
        Ok(merged)
    }

    /// Takes in what a copy of the proposal has of owners that are Safes: their transactions, where none was chosen here,
    /// and who signed those. Gives whose signatures of which transactions are new.
    ///
    /// # Errors
    /// It is a copy of another proposal, or has another transaction of such an owner.
    pub fn take_nested(&mut self, copy: &Proposal) -> Result<Vec<(Address, Address)>, UpgradeError> {
        let Some(section) = copy.safe.as_ref().filter(|section| !section.nested.is_empty()) else {
            return Ok(Vec::new());
        };
        copy.check_same(self.state())?;
        let mut taken = Vec::new();
        for event in news(self.state(), section)? {
            match event {
                Event::SafeSignature {
                    paper: Paper::Nested(child),
                    owner,
                    ..
                } => taken.push((child, owner)),
                Event::SafeNested { .. } => {}
                _ => continue,
            }
            self.record(event)?;
        }
        self.write()?;
        Ok(taken)
    }

    /// The proposal as a file for others, with everything that is known here: what was chosen for an owner that is a Safe
    /// stands in no other file.
    pub fn copy(&self) -> Option<Vec<u8>> {
        Some(pretty(&self.proposal()?))
    }

    /// A signature that changes nothing any more is not asked for.
    fn refuse_pointless(&self, checked: &Checked, rejects: bool) -> Result<(), UpgradeError> {
        let (_, ceremony) = self.ceremony()?;
        if let Some(why) = &self.state().safe_gone {
            return Err(UpgradeError::decide(Code::SafeTxGone, why.clone()));
        }
        if let Some(look) = &checked.look
            && look.info.nonce > ceremony.nonce()
        {
            return Err(UpgradeError::decide(
                Code::SafeNonceTaken,
                format!(
                    "nonce {} of the Safe is used up, its next one is {}: a signature would count for nothing",
                    ceremony.nonce(),
                    look.info.nonce
                ),
            ));
        }
        if checked.allowed && !rejects {
            return Err(UpgradeError::decide(
                Code::HashAlreadyAllowed,
                "the change is in force already: nobody has to sign",
            ));
        }
        if let Some(place) = self.state().refused_here().filter(|_| !rejects) {
            return Err(UpgradeError::decide(
                Code::SafeRejecting,
                format!("somebody decided to reject the Safe transaction{place}; signing it would undo that"),
            ));
        }
        Ok(())
    }

    fn book(&mut self) -> Book<'_> {
        match self {
            Self::Upgrade(upgrade) => Book::Upgrade(upgrade),
            Self::Document(document) => Book::Document(document),
        }
    }

    pub(super) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.record(event),
            Self::Document(document) => document.record(event),
        }
    }

    pub(super) fn write(&mut self) -> Result<(), UpgradeError> {
        match self {
            Self::Upgrade(upgrade) => upgrade.write_proposal(),
            Self::Document(document) => document.write(),
        }
    }
}
