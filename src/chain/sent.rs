//! Transactions as they were sent: by whom, to whom, with which data.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U64};
use serde::Deserialize;
use serde_json::json;

use super::error::contradiction;
use super::rpc::{Ask, Node};
use super::{Chain, ChainError};

/// Transactions of one round trip.
const AT_ONCE: usize = 32;

/// A transaction as it was sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Sent {
    /// By whom.
    pub(crate) from: Address,
    /// To whom; nothing where it made a contract.
    pub(crate) to: Option<Address>,
    /// Its data.
    pub(crate) input: Bytes,
    /// The block that it is in.
    pub(crate) block_number: Option<U64>,
}

impl Sent {
    /// Whether another answer tells of the same; the block may be replaced by another one.
    fn is_same(&self, other: &Self) -> bool {
        (self.from, self.to, &self.input) == (other.from, other.to, &other.input)
    }
}

impl Chain {
    /// These transactions, as far as they are in blocks and every endpoint that has to agree has them. One round trip for every 32.
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
            let other = |(hash, mine): &(&B256, &Sent)| theirs.get(*hash).is_some_and(|theirs| !theirs.is_same(mine));
            if let Some((hash, mine)) = known.iter().find(other) {
                let (what, block) = (format!("transaction {hash}"), mine.block_number.unwrap_or_default());
                return Err(contradiction(first.label(), node.label(), &what, block.to()));
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
            found.extend(one.filter(|one| one.block_number.is_some()).map(|one| (*hash, one)));
        }
    }
    Ok(found)
}
