//! What an event changes of a state, where that is more than one field. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::chain::{BlockRef, Proof, SignedTx};
use crate::safe::SafeInfo;
use crate::upgrade::{
    model::{
        safe_approval::{Frozen, Nested, Signatures, Stage},
        timelock_operation::Scheduled,
        tx_purpose::Errand,
    },
    record::{
        event::{Event, Preparation},
        state::{SentAgreement, State},
    },
};

impl State {
    pub(in crate::upgrade) fn pin(&mut self, safe: SafeInfo) {
        if let Some(plan) = &mut self.plan {
            plan.safe = Some(safe);
        }
    }

    pub(in crate::upgrade) fn take_sealed(&mut self, event: &Event) {
        if let Event::Sealed {
            sha256,
            values,
            replaces,
        } = event
        {
            (self.sealed, self.values) = (Some(*sha256), *values);
            self.outdated |= replaces;
        }
    }

    pub(in crate::upgrade) fn take_prepared(&mut self, preparation: Preparation) {
        self.imported = !self.preparing;
        self.from_elsewhere |= self.imported;
        self.preparing = false;
        self.outdated = false;
        self.token_refused = false;
        self.prepared = Some(preparation);
    }

    pub(in crate::upgrade) fn try_prepare(&mut self, there: Vec<String>) {
        self.remember(self.preparing, there);
        self.preparing = true;
    }

    pub(in crate::upgrade) fn try_commit(&mut self, there: Vec<String>) {
        self.remember(self.committing, there);
        self.committing = true;
        self.commit_sent = true;
    }

    /// A request of which nothing is known keeps what was there before it.
    pub(in crate::upgrade) fn remember(&mut self, unknown: bool, there: Vec<String>) {
        if !unknown {
            self.there = there;
        }
    }

    /// Whether the hash was only found running, as Phala Cloud says: nobody answered a commit, and no operation of this
    /// upgrade's own is known.
    pub(in crate::upgrade) const fn was_found(&self) -> bool {
        self.made.is_none() && self.confirmed.is_none() && matches!(self.committed, Some((None, _)))
    }

    pub(in crate::upgrade) fn take_done(&mut self, at: Timestamp, again: bool) {
        self.done = self.done.or(Some(at));
        self.confirmed = self.confirmed.or(again.then_some(at));
    }

    /// Whatever was said came to nothing: the commit is still to be made.
    pub(in crate::upgrade) fn take_commit_back(&mut self) {
        self.committed = None;
        self.made = None;
        self.done = None;
        self.confirmed = None;
    }

    pub(in crate::upgrade) fn take_frozen(&mut self, frozen: Box<Frozen>) {
        self.frozen = Some(frozen);
        // What executed another one is no matter any more.
        self.gone = self.gone.take().filter(|_| self.safe_gone.is_none());
        self.safe_gone = None;
        self.rejecting = None;
        self.approved.clear();
        // Signatures are for one hash.
        self.ballots = Signatures::default();
    }

    pub(in crate::upgrade) fn take_nested(&mut self, safe: SafeInfo, frozen: Frozen) {
        let nested = Nested {
            safe,
            frozen,
            // Signatures are for one hash.
            signatures: BTreeMap::new(),
        };
        self.ballots.nested.insert(nested.safe.address, nested);
    }

    /// The Safe transaction that scheduled it did its part.
    pub(in crate::upgrade) fn take_scheduled(&mut self, scheduled: Scheduled) {
        if self.scheduled.replace(scheduled).is_none() {
            self.spend();
        }
    }

    /// What scheduled it is in no block: the Safe transaction that did can do it again, and one that would execute it waits
    /// for nothing.
    pub(in crate::upgrade) fn unschedule(&mut self) {
        self.scheduled = None;
        if self.stage() == Some(Stage::Execute) {
            self.frozen = None;
            self.ballots = Signatures::default();
        }
        if self.frozen.is_none()
            && let Some((frozen, ballots)) = self.spent.pop_if(|(frozen, _)| frozen.stage == Stage::Schedule)
        {
            self.frozen = Some(Box::new(frozen));
            self.ballots = ballots;
        }
    }

    pub(in crate::upgrade) fn spend(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.spent.push((*frozen, std::mem::take(&mut self.ballots)));
            self.approved.clear();
        }
        self.safe_gone = None;
    }

    pub(in crate::upgrade) fn schedule_anew(&mut self) {
        self.attempt += 1;
        self.gone = None;
        self.chosen = None;
        self.scheduled = None;
        self.rejecting = None;
        self.spend();
    }

    pub(in crate::upgrade) fn end_errand(&mut self) {
        self.approved.extend(self.errand.and_then(Errand::owner));
        self.errand = None;
        self.signed.clear();
        self.sent = false;
        self.seen = None;
        self.gone = None;
    }

    pub(in crate::upgrade) fn take_signed(&mut self, tx: SignedTx) {
        self.signing = None;
        self.sent = false;
        self.gone = None;
        if let Some(frozen) = &self.frozen {
            self.agreements.push(SentAgreement {
                from: tx.request.from,
                errand: self.errand,
                approval: frozen.transaction.hash(&frozen.domain),
                rejects: self.rejecting.is_some(),
            });
        }
        self.spending.count(&tx.request);
        self.signed.push(tx);
    }

    pub(in crate::upgrade) fn take_proof(&mut self, proof: Box<Proof>) {
        self.proof = Some(proof);
        self.proof_gone = None;
    }

    /// What the same transaction did elsewhere is as doubtful, and our own bytes are waited for again.
    pub(in crate::upgrade) fn lose_proof(&mut self, block: BlockRef) {
        self.proof = None;
        self.adopted = false;
        self.others_proved.clear();
        self.seen = None;
        self.proof_gone = Some(block);
    }

    pub(in crate::upgrade) fn lose_transaction(&mut self, why: String) {
        self.signed.clear();
        self.sent = false;
        self.seen = None;
        self.errand = None;
        // A reorganisation may have come after the proof.
        self.proof = None;
        self.others_proved.clear();
        self.gone = Some(why);
    }
}
