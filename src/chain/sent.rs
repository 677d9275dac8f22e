//! Transactions as they were sent: by whom, to whom, with which data.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes};
use serde::Deserialize;
use serde_json::json;

use super::rpc::{Ask, Node};
use super::{Chain, ChainError, contradiction};

/// Transactions of one round trip.
const AT_ONCE: usize = 32;

/// A transaction as it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Sent {
    /// By whom.
    pub(crate) from: Address,
    /// To whom; nothing where it made a contract.
    pub(crate) to: Option<Address>,
    /// Its data.
    pub(crate) input: Bytes,
}

impl Chain {
    /// These transactions, as far as as many endpoints have them as have to agree. One round trip for every 32.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub(crate) async fn sent(&self, transactions: &BTreeSet<B256>) -> Result<BTreeMap<B256, Sent>, ChainError> {
        if transactions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let found = self.gather(|node| sent(node, transactions)).await?;
        let mut found = found.into_iter();
        let Some((first, mut known)) = found.next() else {
            return Err(ChainError::NoEndpoint { chain: self.id() });
        };
        for (node, theirs) in found {
            let other = |(hash, mine): (&B256, &Sent)| theirs.get(hash).is_some_and(|theirs| theirs != mine);
            if known.iter().any(other) {
                let who = (first.label(), node.label());
                return Err(contradiction(who, "a transaction", 0));
            }
            known.retain(|hash, _| theirs.contains_key(hash));
        }
        Ok(known)
    }
}

async fn sent(node: &Node, transactions: &BTreeSet<B256>) -> Result<BTreeMap<B256, Sent>, ChainError> {
    let mut found = BTreeMap::new();
    let all: Vec<B256> = transactions.iter().copied().collect();
    for some in all.chunks(AT_ONCE) {
        let asks: Vec<Ask> = some
            .iter()
            .map(|hash| Ask::new("eth_getTransactionByHash", json!([hash])))
            .collect();
        let mut replies = node.ask(&asks).await?;
        for hash in some {
            let one: Option<Sent> = replies.take()?;
            found.extend(one.map(|one| (*hash, one)));
        }
    }
    Ok(found)
}
