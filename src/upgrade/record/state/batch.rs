//! Other apps whose calls the same transaction makes. Pure.

use std::collections::BTreeMap;

use alloy::primitives::Address;

use crate::chain::Proof;
use crate::upgrade::{model::proposal::Proposal, record::event::Event};

/// The other apps of an approval, or the approval that this app joined.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct BatchState {
    /// Other apps of the same owner that the same transaction changes, as their own proposals say it.
    pub(in crate::upgrade) others: Vec<Proposal>,
    /// The app whose proposal is approved instead of this one's.
    pub(in crate::upgrade) joins: Option<Address>,
    /// What is proved of the others, by app.
    pub(in crate::upgrade) proofs: BTreeMap<Address, Proof>,
}

impl BatchState {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Joined(others) => self.others = others,
            Event::Joins { app } => self.joins = Some(app),
            Event::JoinedFinal(proof) => {
                self.proofs.insert(proof.app, *proof);
            }
            _ => {}
        }
    }

    /// The apps that joined, with what is proved of each.
    pub(in crate::upgrade) fn joined(&self) -> impl Iterator<Item = (&Proposal, Option<&Proof>)> {
        let proof = |app: &Address| self.proofs.get(app);
        self.others.iter().map(move |other| (other, proof(&other.plan.app)))
    }

    /// What is asked of the other apps and not proved yet.
    pub(in crate::upgrade) fn unproved(&self) -> Vec<Proposal> {
        let open = self.joined().filter(|(_, proof)| proof.is_none());
        open.map(|(other, _)| other.clone()).collect()
    }
}
