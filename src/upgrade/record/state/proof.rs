//! What is proved of this app. Pure.

use crate::chain::{BlockRef, Proof};
use crate::upgrade::record::event::{Event, unless};

/// The proof, and what became of it.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct ProofState {
    pub(in crate::upgrade) proof: Option<Box<Proof>>,
    /// It was in force without a transaction of this upgrade's own.
    pub(in crate::upgrade) adopted: bool,
    /// The block of the last proof, where that is not the chain's any more.
    pub(in crate::upgrade) gone: Option<BlockRef>,
}

impl ProofState {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::TxFinal(proof) => self.take(proof),
            Event::Adopted(proof) => {
                self.adopted = true;
                self.take(proof);
            }
            Event::ProofGone { block } => {
                self.proof = None;
                self.adopted = false;
                self.gone = Some(block);
            }
            // A reorganisation may have come after the proof.
            Event::TxGone { .. } => self.proof = None,
            _ => {}
        }
    }

    fn take(&mut self, proof: Box<Proof>) {
        self.proof = Some(proof);
        self.gone = None;
    }

    pub(super) fn objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::ProofGone { .. } => unless(self.proof.is_some(), "nothing was proved"),
            _ => None,
        }
    }
}
