//! The events of an app's contract: when each hash was added or removed last.
//!
//! Events say when and by whom; whether a hash is allowed is read from the state. Endpoints limit the range or the
//! number of logs, so ranges are halved, newest first.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U64};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rpc::{Ask, Node, Reply};
use super::{BlockRef, Chain, ChainError};
use crate::abi::app::DstackApp;

/// Blocks that are asked for at once after an endpoint refused all of them.
const WINDOW: u64 = 1 << 17;
/// Refused below this many blocks, an endpoint offers no logs.
const WINDOW_MIN: u64 = 512;
/// Requests after which a search is given up: a public endpoint would take an hour for more.
const REQUESTS: u32 = 400;

/// A hash's newest event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashRecord {
    /// Hash.
    pub hash: B256,
    /// Whether the newest event added it.
    pub allowed: bool,
    /// Transaction of that event.
    pub transaction: B256,
    /// Its block.
    pub block: u64,
}

/// How far back to search.
enum Search {
    /// To the contract's beginning.
    All,
    /// To the newest event of this hash.
    Until(B256),
}

/// A history that this endpoint's limits make too long to read.
#[derive(Debug, thiserror::Error)]
#[error("its limits on logs make the search too long, stopped at block {0}")]
struct TooLong(u64);

impl Chain {
    /// Newest `ComposeHashAdded`/`ComposeHashRemoved` event of every hash of `app`, oldest first. One round trip to
    /// the head and one or more for logs.
    ///
    /// # Errors
    /// See [`ChainError`]; endpoints that refuse long ranges are asked in short ones.
    pub async fn hash_history(&self, app: Address) -> Result<Vec<HashRecord>, ChainError> {
        let head = self.head().await?;
        self.search(app, head, &Search::All).await
    }

    /// The newest event of one hash, if it is found.
    pub(super) async fn newest_event(
        &self,
        app: Address,
        hash: B256,
        head: BlockRef,
    ) -> Result<Option<HashRecord>, ChainError> {
        let found = self.search(app, head, &Search::Until(hash)).await?;
        Ok(found.into_iter().rev().find(|record| record.hash == hash))
    }

    async fn search(&self, app: Address, head: BlockRef, search: &Search) -> Result<Vec<HashRecord>, ChainError> {
        let found = self.gather(|node| newest_first(node, app, head.number, search)).await?;
        // A pruned endpoint knows less: the longest history is the best one, and the state decides anyway.
        let logs = found.into_iter().map(|(_, logs)| logs).max_by_key(Vec::len);
        Ok(newest_of_each(logs.unwrap_or_default()))
    }
}

async fn newest_first(node: &Node, app: Address, head: u64, search: &Search) -> Result<Vec<HashRecord>, ChainError> {
    let (mut to, mut window) = (head, head.saturating_add(1));
    let mut found = Vec::new();
    for _ in 0..REQUESTS {
        let from = to.saturating_add(1).saturating_sub(window);
        match logs(node, app, from, to).await? {
            None if window <= WINDOW_MIN => return Err(node.unavailable("eth_getLogs", TooLong(to))),
            None => window = (window / 2).min(WINDOW),
            Some(Batch { records, existed }) => {
                found.extend(records.into_iter().rev());
                let done = matches!(search, Search::Until(hash) if found.iter().any(|record| record.hash == *hash));
                if from == 0 || done || !existed {
                    return Ok(found);
                }
                to = from - 1;
            }
        }
    }
    Err(node.unavailable("eth_getLogs", TooLong(to)))
}

struct Batch {
    records: Vec<HashRecord>,
    /// Whether the contract was there at the first block; unknown counts as yes.
    existed: bool,
}

/// `None`: the endpoint refused the range.
async fn logs(node: &Node, app: Address, from: u64, to: u64) -> Result<Option<Batch>, ChainError> {
    let topics = [
        DstackApp::ComposeHashAdded::SIGNATURE_HASH,
        DstackApp::ComposeHashRemoved::SIGNATURE_HASH,
    ];
    let filter = json!({
        "address": app,
        "topics": [topics],
        "fromBlock": U64::from(from),
        "toBlock": U64::from(to),
    });
    let asks = [
        Ask::new("eth_getLogs", json!([filter])),
        Ask::new("eth_getCode", json!([app, U64::from(from)])),
    ];
    let mut replies = node.ask(&asks).await?;
    let (method, reply) = replies.reply()?;
    let Reply::Result(raw) = reply else { return Ok(None) };
    let logs: Vec<Log> = serde_json::from_str(raw.get()).map_err(|_shape| node.misshapen(method))?;
    let code: Option<alloy::primitives::Bytes> = replies.take_if_offered()?;
    let mut records = Vec::new();
    for log in logs.iter().filter(|log| log.address() == app && !log.removed) {
        records.extend(record(log));
    }
    Ok(Some(Batch {
        records,
        existed: code.is_none_or(|code| !code.is_empty()),
    }))
}

/// An event of the contract as this tool knows it; contracts of others index the hash.
fn record(log: &Log) -> Option<HashRecord> {
    let allowed = log.topic0() == Some(&DstackApp::ComposeHashAdded::SIGNATURE_HASH);
    let own = log.topics().len() == 1 && log.data().data.len() == 32;
    own.then_some(HashRecord {
        hash: B256::from_slice(&log.data().data),
        allowed,
        transaction: log.transaction_hash?,
        block: log.block_number?,
    })
}

/// From newest first to one record of each hash, oldest first.
fn newest_of_each(newest_first: Vec<HashRecord>) -> Vec<HashRecord> {
    let mut seen: BTreeMap<B256, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for record in newest_first {
        if seen.insert(record.hash, kept.len()).is_none() {
            kept.push(record);
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(hash: u8, allowed: bool, block: u64) -> HashRecord {
        HashRecord {
            hash: B256::repeat_byte(hash),
            allowed,
            transaction: B256::with_last_byte(u8::try_from(block).unwrap()),
            block,
        }
    }

    #[test]
    fn h4_the_newest_event_of_a_hash_decides() {
        let newest_first = vec![
            record(1, true, 9),
            record(2, false, 7),
            record(1, false, 5),
            record(1, true, 2),
        ];
        assert_eq!(newest_of_each(newest_first), [record(2, false, 7), record(1, true, 9)]);
    }
}
