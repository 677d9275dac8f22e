//! What came back from others: a proposal of the same upgrade, with signatures that the journal does not have.

use std::io::ErrorKind;

use crate::code::Code;
use crate::safe::info::SafeInfo;
use crate::upgrade::{
    UpgradeError,
    model::Proposal,
    model::{
        proposal,
        safe_approval::{FrozenSafeTx, SafeSection, Stage},
    },
    record::State,
    record::event::Event,
    workspace::{document::Document, upgrade::Upgrade},
};

impl Upgrade {
    /// A copy of the proposal that came back signed and was put in the place of ours is not written over: its signatures
    /// are taken over first.
    pub(in crate::upgrade) fn take_back(&mut self) -> Result<(), UpgradeError> {
        let Some(own) = Proposal::of(self.state()).and_then(|own| own.safe) else {
            return Ok(());
        };
        match Proposal::read(&self.dir().join(proposal::FILE)) {
            Ok(found)
                if found
                    .safe
                    .as_ref()
                    .is_some_and(|safe| safe.frozen == own.frozen && *safe != own) =>
            {
                found.check_same(self.state())?;
                self.take_ballots(&found)
            }
            _ => Ok(()),
        }
    }

    /// Takes over what a proposal of the same upgrade has and the journal does not: the Safe transaction, signatures of
    /// owners who have none here, and such as prove themselves in the place of such as only a chain can check.
    pub(in crate::upgrade) fn take_ballots(&mut self, proposal: &Proposal) -> Result<(), UpgradeError> {
        // What has been scheduled needs nobody's signature any more.
        if let Some(choice) = unknown_choice(self.state(), proposal) {
            self.record(choice)?;
        }
        let done = |section: &&SafeSection| {
            section.frozen.stage == Stage::Schedule && self.state().timelock.scheduled.is_some()
        };
        let Some(section) = proposal.safe.as_ref().filter(|section| !done(section)) else {
            return Ok(());
        };
        for event in news(self.state(), section)? {
            self.record(event)?;
        }
        self.write_proposal()
    }
}

impl Document {
    /// Somebody else may have written the file since it was opened: what they wrote stays.
    pub(in crate::upgrade) fn take_back(&mut self) -> Result<(), UpgradeError> {
        let found = match Proposal::read(self.path()) {
            Err(UpgradeError::File(error)) if error.source.kind() == ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        found.check_same(self.state())?;
        if let Some(choice) = unknown_choice(self.state(), &found) {
            self.record(choice)?;
        }
        let Some(section) = &found.safe else { return Ok(()) };
        for event in news(self.state(), section)? {
            self.record(event)?;
        }
        Ok(())
    }
}

/// The operation that a proposal names, where nothing was asked of the timelock yet: one that others know of stands in the
/// place of one that only this machine chose.
fn unknown_choice(state: &State, proposal: &Proposal) -> Option<Event> {
    let choice = proposal
        .chosen()
        .filter(|choice| state.timelock.chosen.as_ref() != Some(choice))?;
    let event = Event::TimelockChosen(Box::new(choice));
    state.check(&event).is_ok().then_some(event)
}

/// What a proposal of the same upgrade tells that is not known yet.
///
/// # Errors
/// It has another Safe transaction.
pub(in crate::upgrade) fn news(state: &State, section: &SafeSection) -> Result<Vec<Event>, UpgradeError> {
    let changed = |what: String, own: &FrozenSafeTx, found| {
        UpgradeError::stop(Code::ProposalChanged, what, own.transaction.hash(&own.domain), found)
    };
    let mut events = Vec::new();
    match &state.safe.frozen {
        None => events.push(Event::SafeFrozen(Box::new(section.frozen.clone()))),
        Some(own) if **own == section.frozen => {}
        Some(own) => return Err(changed("Safe transaction".to_owned(), own, section.digests.safe_tx)),
    }
    for nested in &section.nested {
        let child = nested.safe.address;
        match state.safe.signatures.nested.get(&child) {
            None => events.push(Event::SafeNested {
                safe: Box::new(nested.safe.clone()),
                frozen: Box::new(nested.frozen.clone()),
            }),
            Some(own) if own.frozen == nested.frozen => {}
            Some(own) => {
                let what = format!("transaction of the nested Safe {child}");
                return Err(changed(what, &own.frozen, nested.digests.safe_tx));
            }
        }
    }
    let mut own = state.ceremony()?;
    let owners = state
        .plan()
        .and_then(|plan| plan.safe.as_ref())
        .map(SafeInfo::owner_set);
    let owners = owners.unwrap_or_default();
    for (role, one) in section.all_signatures() {
        let is_news = own.as_mut().is_none_or(|own| {
            let is_known = own.role(role).is_some();
            !is_known || own.take(role, &one.signature, &owners)
        });
        if is_news {
            events.push(Event::SafeSignature {
                owner: one.owner,
                signature: one.signature.clone(),
                role,
                source: proposal::FILE.to_owned(),
            });
        }
    }
    Ok(events)
}
