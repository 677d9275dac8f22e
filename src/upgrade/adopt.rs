//! What came back from others: a proposal of the same upgrade, with signatures that the journal does not have.

use super::ceremony::Stage;
use super::drive::Upgrade;
use super::event::Event;
use super::{Proposal, UpgradeError, proposal};

impl Upgrade {
    /// A copy of the proposal that came back signed and was put in the place of ours is not written over: its signatures
    /// are taken over first.
    pub(super) fn take_back(&mut self) -> Result<(), UpgradeError> {
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

    /// Takes over what a proposal of the same upgrade has and the journal does not: the Safe transaction, signatures.
    pub(super) fn take_ballots(&mut self, proposal: &Proposal) -> Result<(), UpgradeError> {
        let Some(section) = &proposal.safe else { return Ok(()) };
        // What has been scheduled needs nobody's signature any more.
        if section.frozen.stage == Stage::Schedule && self.state().scheduled.is_some() {
            return Ok(());
        }
        match &self.state().frozen {
            None => self.record(Event::SafeFrozen(Box::new(section.frozen.clone())))?,
            Some(own) if **own == section.frozen => {}
            Some(own) => {
                return Err(UpgradeError::stop(
                    "PROPOSAL_CHANGED",
                    "Safe transaction",
                    own.transaction.hash(&own.domain),
                    section.digests.safe_tx,
                ));
            }
        }
        for nested in &section.nested {
            let child = nested.safe.address;
            match self.state().ballots.nested.get(&child) {
                None => self.record(Event::SafeNested {
                    safe: Box::new(nested.safe.clone()),
                    frozen: Box::new(nested.frozen.clone()),
                })?,
                Some(own) if own.frozen == nested.frozen => {}
                Some(own) => {
                    return Err(UpgradeError::stop(
                        "PROPOSAL_CHANGED",
                        format!("transaction of the nested Safe {child}"),
                        own.frozen.transaction.hash(&own.frozen.domain),
                        nested.digests.safe_tx,
                    ));
                }
            }
        }
        for (paper, one) in section.all_signatures() {
            if self.state().has_signed(paper, one.owner) {
                continue;
            }
            self.record(Event::SafeSignature {
                owner: one.owner,
                signature: one.signature.clone(),
                paper,
                source: proposal::FILE.to_owned(),
            })?;
        }
        self.write_proposal()
    }
}
