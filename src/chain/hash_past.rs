//! Whether an app ever allowed a compose hash that it does not allow now. Asks for receipts and logs, so it is only asked
//! where the state says no.

use std::collections::BTreeSet;

use alloy::primitives::{B256, Log};
use alloy::sol_types::SolEvent;

use super::error::whole;
use super::logs::{self, LogQuery, PlacedLog};
use super::rpc::Ask;
use super::{AppState, BlockRef, Chain, ChainError};
use crate::abi::app::DstackApp as A;

/// What the past of a hash is known to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashPast {
    /// An event of the app names it, in a receipt that is in the chain of every endpoint.
    Named {
        /// Transaction of the event.
        transaction: B256,
        /// Its block.
        block: u64,
    },
    /// An endpoint gave the app's whole history from its first event, and no event names it.
    Never,
    /// Neither could be had.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

/// What a search of bounded length found of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// The app took the hash from its list, in this transaction.
    Removed {
        /// Transaction of the event.
        transaction: B256,
        /// Its block.
        block: u64,
    },
    /// The whole history has no such event.
    Never,
    /// The requests were used up, or no endpoint gives logs, before the first event was reached.
    Unfinished,
}

impl Chain {
    /// The past of `hash`, which `app` does not allow at its block. `hints` are transactions that may hold an event of
    /// it; what they hold counts only by a receipt that every endpoint has. Two round trips for each hint; without one
    /// that fits, those of reading logs.
    ///
    /// # Errors
    /// See [`ChainError`]; logs that no endpoint gives are no error, the answer is then [`HashPast::Unknown`].
    pub async fn hash_past(&self, app: &AppState, hash: B256, hints: &[B256]) -> Result<HashPast, ChainError> {
        for hint in hints {
            if let Some(named) = self.named_in(app, hash, *hint).await? {
                return Ok(named);
            }
        }
        let query = history(app);
        let found = match self.hear_of_past(|node| logs::placed(node, &query, |_| false)).await {
            Ok(found) => found,
            Err(error @ ChainError::Unavailable { .. }) => {
                return Ok(HashPast::Unknown { why: whole(&error) });
            }
            Err(error) => return Err(error),
        };
        let told = found.iter().flat_map(|(_, logs)| logs);
        let mut candidates: Vec<B256> = told
            .filter(|placed| names(&placed.log, hash))
            .map(|placed| placed.transaction)
            .collect();
        candidates.dedup();
        for transaction in candidates.iter().take(MOST_CANDIDATES) {
            if let Some(named) = self.named_in(app, hash, *transaction).await? {
                return Ok(named);
            }
        }
        let whole = |logs: &[PlacedLog]| logs.iter().any(|placed| begins(&placed.log));
        let silent = |logs: &[PlacedLog]| !logs.iter().any(|placed| names(&placed.log, hash));
        // Who is asked for histories alone shows what was, and not that nothing was.
        let mut own = found.iter().filter(|(node, _)| self.is_asked_for_all(node));
        if own.any(|(_, logs)| whole(logs) && silent(logs)) {
            return Ok(HashPast::Never);
        }
        let why = match candidates.is_empty() {
            true => "no endpoint gives the app's first events",
            false => "an endpoint tells of an event whose receipt not every endpoint has",
        };
        Ok(HashPast::Unknown { why: why.to_owned() })
    }

    /// Looks with at most `requests` requests to each endpoint, newest blocks first, whether `app` ever took `hash` from
    /// its list.
    ///
    /// # Errors
    /// See [`ChainError`]; what no endpoint gives is no error.
    pub async fn removal(&self, app: &AppState, hash: B256, requests: u32) -> Result<Search, ChainError> {
        let query = history(app);
        let removed = |log: &Log| log.topics().first() == Some(&A::ComposeHashRemoved::SIGNATURE_HASH);
        let enough = |log: &alloy::rpc::types::Log| removed(&log.inner) && names(&log.inner, hash);
        let found = match self
            .hear_of_past(|node| logs::within(node, &query, &enough, requests))
            .await
        {
            Ok(found) => found,
            Err(ChainError::Unavailable { .. }) => return Ok(Search::Unfinished),
            Err(error) => return Err(error),
        };
        let mut candidates: Vec<B256> = Vec::new();
        for log in found.iter().flat_map(|(_, logs)| logs).filter(|log| enough(log)) {
            candidates.extend(log.transaction_hash.filter(|hash| !candidates.contains(hash)));
        }
        for transaction in candidates.iter().take(MOST_CANDIDATES) {
            if let Some(HashPast::Named { transaction, block }) = self.named_in(app, hash, *transaction).await? {
                return Ok(Search::Removed { transaction, block });
            }
        }
        let mut own = found.iter().filter(|(node, _)| self.is_asked_for_all(node));
        let whole = own.any(|(_, logs)| logs.iter().any(|log| begins(&log.inner)));
        Ok(match whole && candidates.is_empty() {
            true => Search::Never,
            false => Search::Unfinished,
        })
    }

    /// An event that names `hash`, looked for in one window of blocks around a time (seconds since 1970) at which something
    /// had to do with it, where the whole history cannot be had. `None` where that window shows none, or no endpoint gives it.
    /// A handful of round trips.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn named_around(&self, app: &AppState, hash: B256, at: u64) -> Result<Option<HashPast>, ChainError> {
        let Some(block) = unless_absent(self.block_around(&app.block, at).await)? else {
            return Ok(None);
        };
        let query = LogQuery {
            address: app.app,
            topics: vec![
                A::ComposeHashAdded::SIGNATURE_HASH,
                A::ComposeHashRemoved::SIGNATURE_HASH,
            ],
            from: block.saturating_sub(BEFORE),
            to: block.saturating_add(AFTER).min(app.block.number),
        };
        let enough = |log: &alloy::rpc::types::Log| names(&log.inner, hash);
        let heard = self.hear_of_past(|node| logs::within(node, &query, &enough, REQUESTS_AROUND));
        let found = unless_absent(heard.await)?.unwrap_or_default();
        let told = found.iter().flat_map(|(_, logs)| logs).filter(|log| enough(log));
        let candidates: BTreeSet<B256> = told.filter_map(|log| log.transaction_hash).collect();
        for transaction in candidates.into_iter().take(MOST_CANDIDATES) {
            if let Some(named) = self.named_in(app, hash, transaction).await? {
                return Ok(Some(named));
            }
        }
        Ok(None)
    }

    /// A block of about this time, by the time between blocks.
    async fn block_around(&self, head: &BlockRef, at: u64) -> Result<u64, ChainError> {
        let (mut number, mut step) = (head.number, TIMED.min(head.number));
        for _ in 0..STEPS {
            let tried = head.number.saturating_sub(step.max(1));
            let heard = self.hear(|node| node.block(Ask::block(tried))).await?;
            let Some((_, block)) = heard.first() else { break };
            number = block.number;
            if block.timestamp.abs_diff(at) <= NEAR || head.timestamp <= at {
                break;
            }
            let (blocks, seconds) = (
                head.number.saturating_sub(number),
                head.timestamp.saturating_sub(block.timestamp),
            );
            let ago = head.timestamp.saturating_sub(at);
            step = ago.saturating_mul(blocks) / seconds.max(1);
        }
        Ok(number)
    }

    /// What the receipt of `transaction` says of the hash, if every endpoint has it in its chain.
    async fn named_in(&self, app: &AppState, hash: B256, transaction: B256) -> Result<Option<HashPast>, ChainError> {
        let Some(receipt) = self.receipt(transaction).await? else {
            return Ok(None);
        };
        let by_the_app = |log: &&Log| log.address == app.app && names(log, hash);
        let named = receipt.succeeded && receipt.logs.iter().any(|log| by_the_app(&log));
        Ok(named.then_some(HashPast::Named {
            transaction,
            block: receipt.block.number,
        }))
    }
}

/// Blocks before and after a time in which an approval is looked for: a day of short blocks, since it comes before what it
/// approves, and an hour.
const BEFORE: u64 = 43_200;
const AFTER: u64 = 1_800;
/// Requests to each endpoint for the logs of that window.
const REQUESTS_AROUND: u32 = 16;
/// Blocks over which the time between blocks is measured first, how often that is made better, and how near is near enough,
/// seconds.
const TIMED: u64 = 1_000;
const STEPS: u32 = 6;
const NEAR: u64 = 600;

/// An endpoint that does not answer gives no hint.
fn unless_absent<T>(found: Result<T, ChainError>) -> Result<Option<T>, ChainError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ChainError::Unavailable { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Transactions that are looked up because an endpoint's logs name them.
const MOST_CANDIDATES: usize = 8;

fn history(app: &AppState) -> LogQuery {
    LogQuery {
        address: app.app,
        topics: vec![
            A::ComposeHashAdded::SIGNATURE_HASH,
            A::ComposeHashRemoved::SIGNATURE_HASH,
            A::OwnershipTransferred::SIGNATURE_HASH,
        ],
        from: 0,
        to: app.block.number,
    }
}

/// An event of the contract as this tool knows it: the hash stands in the data and is not indexed.
fn names(log: &Log, hash: B256) -> bool {
    let of_a_hash = [
        A::ComposeHashAdded::SIGNATURE_HASH,
        A::ComposeHashRemoved::SIGNATURE_HASH,
    ];
    log.topics().len() == 1
        && log.topics().first().is_some_and(|topic| of_a_hash.contains(topic))
        && log.data.data.as_ref() == hash.as_slice()
}

/// The first event of an app gives it its first owner.
fn begins(log: &Log) -> bool {
    log.topics().first() == Some(&A::OwnershipTransferred::SIGNATURE_HASH)
        && log.topics().get(1).is_some_and(B256::is_zero)
}
