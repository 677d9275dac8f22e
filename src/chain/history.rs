//! The events of an app's contract: when each hash was added or removed last.
//!
//! Events say when and by whom; whether a hash is allowed is read from the state.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use serde::{Deserialize, Serialize};

use super::logs::{self, LogQuery};
use super::{Chain, ChainError};
use crate::abi::app::DstackApp;

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

impl Chain {
    /// Newest `ComposeHashAdded`/`ComposeHashRemoved` event of every hash of `app`, oldest first. One round trip to
    /// the head and one or more for logs.
    ///
    /// # Errors
    /// See [`ChainError`]; endpoints that refuse long ranges are asked in short ones.
    pub async fn hash_history(&self, app: Address) -> Result<Vec<HashRecord>, ChainError> {
        let query = LogQuery {
            address: app,
            topics: vec![
                DstackApp::ComposeHashAdded::SIGNATURE_HASH,
                DstackApp::ComposeHashRemoved::SIGNATURE_HASH,
            ],
            from: 0,
            to: self.head().await?.number,
        };
        let found = self
            .hear_of_past(|node| logs::newest_first(node, &query, |_| false))
            .await?;
        // A pruned endpoint knows less: the longest history is the best one, and the state decides anyway.
        let longest = found.into_iter().map(|(_, logs)| logs).max_by_key(Vec::len);
        Ok(newest_of_each(longest.iter().flatten().filter_map(record).collect()))
    }
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
