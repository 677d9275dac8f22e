//! The transaction that is on its way: what it is for, its signed bytes, where it was seen. Pure.

use alloy::primitives::{Address, B256};

use crate::chain::{BlockRef, SignedTx, fees::Spending};
use crate::upgrade::{
    model::tx_purpose::TxPurpose,
    record::event::{Event, unless},
};

/// The transaction of an intent, or of an owner's approval.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct TxState {
    /// The transaction that is on its way is an owner's approval, not the execution.
    pub(in crate::upgrade) purpose: Option<TxPurpose>,
    pub(in crate::upgrade) signing: Option<(Address, B256)>,
    pub(in crate::upgrade) signed: Vec<SignedTx>,
    /// Transactions signed here by which somebody agreed to what a Safe was asked.
    pub(in crate::upgrade) agreements: Vec<SentAgreement>,
    /// The most that everything signed here can cost, also what was given up since: its bytes are out.
    pub(in crate::upgrade) spending: Spending,
    pub(in crate::upgrade) sent: bool,
    pub(in crate::upgrade) seen: Option<(B256, BlockRef)>,
    pub(in crate::upgrade) gone: Option<String>,
}

/// A transaction signed here that executes what a Safe was asked, or approves it on chain. Its bytes may be out, so it
/// counts whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) struct SentAgreement {
    /// Whose key signed it.
    pub(in crate::upgrade) from: Address,
    pub(in crate::upgrade) purpose: Option<TxPurpose>,
    /// The safeTxHash of the approval that was chosen then.
    pub(in crate::upgrade) approval: B256,
    /// It executed the rejection instead.
    pub(in crate::upgrade) rejects: bool,
}

impl TxState {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::SafePurpose { purpose } => self.purpose = Some(purpose),
            Event::SafePurposeDone { .. } => {
                self.forget();
                self.gone = None;
            }
            Event::SignTry { signer, digest } => self.signing = Some((signer, digest)),
            Event::SafeSignature { .. } => self.signing = None,
            Event::TxSigned(tx) => {
                self.signing = None;
                self.sent = false;
                self.gone = None;
                self.spending.count(&tx.request);
                self.signed.push(tx);
            }
            Event::TxSent { .. } => self.sent = true,
            Event::TxSeen { hash, block } => self.seen = Some((hash, block)),
            Event::TxGone { why } => {
                self.forget();
                self.gone = Some(why);
            }
            _ => {}
        }
    }

    /// Nothing is on its way any more.
    fn forget(&mut self) {
        self.signed.clear();
        self.sent = false;
        self.seen = None;
        self.purpose = None;
    }

    pub(super) fn objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::SafePurposeDone { .. } => unless(self.purpose.is_some(), "no approval was sent"),
            Event::TxSigned(tx) => {
                let mut earlier = self.signed.iter();
                let one_nonce = earlier.all(|earlier| earlier.request.nonce == tx.request.nonce);
                unless(self.signing.is_some(), "no signature was asked for")
                    .or_else(|| unless(one_nonce, "an intent has one nonce"))
            }
            Event::TxSent { hash, .. } | Event::TxSeen { hash, .. } => {
                let is_ours = self.signed.iter().any(|tx| tx.hash == *hash);
                unless(is_ours, "the transaction is not ours")
            }
            Event::TxGone { .. } => unless(!self.signed.is_empty(), "nothing was signed"),
            _ => None,
        }
    }
}
