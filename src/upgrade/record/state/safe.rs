//! What a Safe is asked: the transaction that was chosen, who agreed, and what became of it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use jiff::Timestamp;

use crate::safe::info::SafeInfo;
use crate::upgrade::{
    model::safe_approval::{FrozenSafeTx, Nested, Signatures, Stage},
    record::event::Event,
};

/// The Safe's part of an approval.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct SafeState {
    /// The Safe transaction, once it is chosen.
    pub(in crate::upgrade) frozen: Option<Box<FrozenSafeTx>>,
    pub(in crate::upgrade) signatures: Signatures,
    /// Owners whose approvals on chain were sent from here and proved.
    pub(in crate::upgrade) approved: BTreeSet<Address>,
    /// Transactions of the Safe that did their part, and who signed them.
    pub(in crate::upgrade) spent: Vec<(FrozenSafeTx, Signatures)>,
    /// Why the Safe transaction can never take effect.
    pub(in crate::upgrade) gone: Option<String>,
    /// When somebody decided to reject it.
    pub(in crate::upgrade) rejecting: Option<Timestamp>,
    /// Where on this machine somebody decided to reject the very transaction; no record of this upgrade.
    pub(in crate::upgrade) rejected_at: Option<String>,
}

impl SafeState {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::SafeFrozen(frozen) => self.choose(frozen),
            Event::SafeSignature {
                owner, signature, role, ..
            } => self.signatures.keep(role, owner, signature),
            Event::SafeNested { safe, frozen } => self.choose_nested(*safe, *frozen),
            Event::SafeGone { why } => self.gone = Some(why),
            Event::SafeReject { at } => self.rejecting = Some(at),
            _ => {}
        }
    }

    fn choose(&mut self, frozen: Box<FrozenSafeTx>) {
        self.frozen = Some(frozen);
        self.gone = None;
        self.rejecting = None;
        self.approved.clear();
        // Signatures are for one hash.
        self.signatures = Signatures::default();
    }

    fn choose_nested(&mut self, safe: SafeInfo, frozen: FrozenSafeTx) {
        let nested = Nested {
            safe,
            frozen,
            // Signatures are for one hash.
            signatures: BTreeMap::new(),
        };
        self.signatures.nested.insert(nested.safe.address, nested);
    }

    /// The transaction that was chosen did its part, or nothing is asked with it any more.
    pub(super) fn spend(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            self.spent.push((*frozen, std::mem::take(&mut self.signatures)));
            self.approved.clear();
        }
        self.gone = None;
    }

    /// What scheduled the operation is in no block: the transaction that did can do it again, and one that would execute it
    /// waits for nothing.
    pub(super) fn schedule_again(&mut self) {
        if self.stage() == Some(Stage::Execute) {
            self.frozen = None;
            self.signatures = Signatures::default();
        }
        if self.frozen.is_none()
            && let Some((frozen, signatures)) = self.spent.pop_if(|(frozen, _)| frozen.stage == Stage::Schedule)
        {
            self.frozen = Some(Box::new(frozen));
            self.signatures = signatures;
        }
    }

    /// What the chosen transaction is for.
    pub(in crate::upgrade) fn stage(&self) -> Option<Stage> {
        self.frozen.as_ref().map(|frozen| frozen.stage)
    }

    /// The hash of the transaction that was chosen.
    pub(in crate::upgrade) fn chosen_hash(&self) -> Option<B256> {
        let frozen = self.frozen.as_ref()?;
        Some(frozen.transaction.hash(&frozen.domain))
    }
}
