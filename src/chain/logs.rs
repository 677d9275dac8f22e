//! What a contract logged, and the receipt of a transaction, as every endpoint that works tells it.
//!
//! Endpoints limit the range or the number of logs, so ranges are halved, newest first.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U64};
use alloy::rpc::types::Log;
use serde_json::json;

use super::error::{contradiction, whole};
use super::look::{Place, RawReceipt};
use super::read::Replaced;
use super::rpc::{Ask, Node, RawBlock, Reply};
use super::{BlockRef, Chain, ChainError};

/// Blocks that are asked for at once after an endpoint refused all of them.
const WINDOW: u64 = 1 << 17;
/// Refused below this many blocks, an endpoint offers no logs.
const WINDOW_MIN: u64 = 512;
/// Requests after which a search is given up: a public endpoint would take an hour for more.
const REQUESTS: u32 = 400;
/// Blocks that are looked up in one round trip.
const BLOCKS: usize = 64;
/// Transactions that are looked up because too few endpoints tell of what they logged.
const DOUBTFUL: usize = 64;

/// Which logs.
#[derive(Debug, Clone)]
pub(crate) struct LogQuery {
    /// The contract; logs of others are left out, whatever an endpoint gives.
    pub(crate) address: Address,
    /// First topics, any of which.
    pub(crate) topics: Vec<B256>,
    /// First block.
    pub(crate) from: u64,
    /// Last block.
    pub(crate) to: u64,
}

/// A log in a block of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacedLog {
    /// Contract, topics and data.
    pub(crate) log: alloy::primitives::Log,
    /// Its block.
    pub(crate) block: BlockRef,
    /// Its transaction.
    pub(crate) transaction: B256,
    /// Its index in the block.
    pub(crate) index: u64,
}

/// A receipt on which the endpoints agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Executed without failing.
    pub(crate) succeeded: bool,
    /// Who sent the transaction.
    pub(crate) from: Address,
    /// Its block, which is the chain's at that height.
    pub(crate) block: BlockRef,
    /// What was logged.
    pub(crate) logs: Vec<alloy::primitives::Log>,
}

/// A history that this endpoint's limits make too long to read.
#[derive(Debug, thiserror::Error)]
#[error("its limits on logs make the search too long, stopped at block {0}")]
struct TooLong(u64);

impl Chain {
    /// Logs of `query`, oldest first, with their blocks; the search goes back from the newest one until `enough` says
    /// so. Every endpoint that gives logs must tell the same, and what too few give is looked up in receipts. Two round trips and one more for every 64 blocks with a log;
    /// more where endpoints refuse long ranges.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub(crate) async fn logs(
        &self,
        query: &LogQuery,
        enough: impl Fn(&Log) -> bool + Sync,
    ) -> Result<Vec<PlacedLog>, ChainError> {
        let enough = &enough;
        let found = self.hear_of_past(|node| placed(node, query, enough)).await?;
        let own = found.iter().filter(|(node, _)| self.is_asked_for_all(node)).count();
        let mut few = own < self.required();
        let mut found = found.into_iter();
        let Some((first, mut logs)) = found.next() else {
            return Err(ChainError::NoEndpoint { chain: self.id() });
        };
        for (node, theirs) in found {
            // Who is asked for histories remembers more than the others, and what only it tells is looked up.
            if !self.is_asked_for_all(node) && theirs.len() > logs.len() && theirs.starts_with(&logs) {
                (few, logs) = (true, theirs);
            } else if !is_one_history(&logs, &theirs, enough) {
                return Err(contradiction(
                    first.label(),
                    node.label(),
                    "the logs of a contract",
                    query.to,
                ));
            }
        }
        if few {
            logs = self.confirmed(logs).await?;
        }
        logs.reverse();
        Ok(logs)
    }

    /// Logs that fewer endpoints give than have to agree, as far as receipts show them on which as many agree.
    async fn confirmed(&self, logs: Vec<PlacedLog>) -> Result<Vec<PlacedLog>, ChainError> {
        let mut kept = Vec::new();
        let mut last: Option<(B256, Option<Receipt>)> = None;
        for placed in logs {
            let receipt = match last.take() {
                Some((transaction, receipt)) if transaction == placed.transaction => receipt,
                _ => self.receipt(placed.transaction).await?,
            };
            let shows = receipt
                .as_ref()
                .is_some_and(|receipt| receipt.block == placed.block && receipt.logs.contains(&placed.log));
            last = Some((placed.transaction, receipt));
            if shows {
                kept.push(placed);
            }
        }
        Ok(kept)
    }
    /// Whether these are one history, newest first; who is asked for histories may remember more of it than the others.
    fn tell_one_past(&self, found: &[(&Node, Vec<PlacedLog>)]) -> bool {
        let remembers = found.iter().find(|(node, _)| !self.is_asked_for_all(node));
        let Some((_, whole)) = remembers.or(found.first()) else {
            return true;
        };
        found.iter().all(|(_, logs)| match remembers {
            Some(_) => whole.starts_with(logs),
            None => logs == whole,
        })
    }
    /// All logs of `query` of the endpoint that has most of them, oldest first, and why that may not be all: endpoints tell
    /// different histories, or none gives one. For what is confirmed by the state afterwards. Round trips as for
    /// [`Self::logs`].
    ///
    /// # Errors
    /// See [`ChainError`].
    pub(crate) async fn longest_logs(&self, query: &LogQuery) -> Result<(Vec<PlacedLog>, Option<String>), ChainError> {
        let found = match self.hear_of_past(|node| placed(node, query, |_: &Log| false)).await {
            Ok(found) => found,
            Err(error @ ChainError::Unavailable { .. }) => return Ok((Vec::new(), Some(whole(&error)))),
            Err(error) => return Err(error),
        };
        let differ = (!self.tell_one_past(&found)).then(|| "the endpoints tell different histories".to_owned());
        let longest = found.into_iter().map(|(_, logs)| logs).max_by_key(Vec::len);
        let mut logs = longest.unwrap_or_default();
        logs.reverse();
        Ok((logs, differ))
    }
    /// Every log of `query` that any endpoint gives within so many requests, oldest first, and why that may not be all. For
    /// what is confirmed by the state afterwards: an endpoint that holds some back hides nothing that another one gives.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub(crate) async fn all_logs(
        &self,
        query: &LogQuery,
        requests: u32,
    ) -> Result<(Vec<PlacedLog>, Option<String>), ChainError> {
        let found = match self.hear_of_past(|node| placed_within(node, query, requests)).await {
            Ok(found) => found,
            Err(error @ ChainError::Unavailable { .. }) => return Ok((Vec::new(), Some(whole(&error)))),
            Err(error) => return Err(error),
        };
        let stopped = found.iter().filter_map(|(_, (_, stopped))| *stopped).min();
        let found: Vec<(&Node, Vec<PlacedLog>)> = found.into_iter().map(|(node, (logs, _))| (node, logs)).collect();
        let same = self.tell_one_past(&found);
        let incomplete = match (same, stopped) {
            (false, _) => Some("the endpoints tell different histories".to_owned()),
            (true, Some(block)) => Some(TooLong(block).to_string()),
            (true, None) => None,
        };
        let mut logs: Vec<PlacedLog> = Vec::new();
        for (_, theirs) in found {
            match logs.is_empty() {
                true => logs = theirs,
                false => logs.extend(
                    theirs
                        .into_iter()
                        .filter(|placed| !logs.contains(placed))
                        .collect::<Vec<_>>(),
                ),
            }
        }
        logs.sort_by_key(|placed| (placed.block.number, placed.index));
        Ok((logs, incomplete))
    }
    /// Logs of `query`, oldest first, as far as so many requests reach back: those that as many endpoints give as have to
    /// agree, and those of the others that are in receipts on which as many agree.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub(crate) async fn agreed_logs(&self, query: &LogQuery, requests: u32) -> Result<Vec<Log>, ChainError> {
        let (mut agreed, doubtful): (Vec<_>, Vec<_>) = self
            .counted_logs(query, requests)
            .await?
            .into_iter()
            .partition(|(_, count)| *count >= self.required());
        let mut receipts: BTreeMap<B256, Option<Receipt>> = BTreeMap::new();
        for (log, count) in doubtful {
            let Some(transaction) = log.transaction_hash else {
                continue;
            };
            if !receipts.contains_key(&transaction) {
                if receipts.len() >= DOUBTFUL {
                    continue;
                }
                receipts.insert(transaction, self.receipt(transaction).await?);
            }
            let receipt = receipts.get(&transaction).and_then(Option::as_ref);
            if receipt.is_some_and(|receipt| receipt.holds(&log)) {
                agreed.push((log, count));
            }
        }
        Ok(in_order(agreed))
    }
    /// Logs of `query` that anybody gives, oldest first, as far as so many requests reach back: hints, which prove nothing.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub(crate) async fn told_logs(&self, query: &LogQuery, requests: u32) -> Result<Vec<Log>, ChainError> {
        Ok(in_order(self.counted_logs(query, requests).await?))
    }
    /// Every log that an endpoint gives, and how many give it.
    async fn counted_logs(&self, query: &LogQuery, requests: u32) -> Result<Vec<(Log, usize)>, ChainError> {
        let never = |_: &Log| false;
        let found = self.hear_of_past(|node| within(node, query, &never, requests)).await?;
        let mut counted: Vec<(Log, usize)> = Vec::new();
        let mut known: BTreeMap<(Option<B256>, Option<u64>), Vec<usize>> = BTreeMap::new();
        let told = found.into_iter().flat_map(|(node, logs)| {
            // Who is asked for histories alone agrees with nobody.
            let counts = usize::from(self.is_asked_for_all(node));
            once_each(logs).into_iter().map(move |log| (log, counts))
        });
        for (log, counts) in told {
            let at = known.entry((log.block_hash, log.log_index)).or_default();
            let same = |index: &&usize| counted.get(**index).is_some_and(|(other, _)| is_same(other, &log));
            match at.iter().find(same).copied() {
                Some(index) => counted
                    .iter_mut()
                    .skip(index)
                    .take(1)
                    .for_each(|(_, count)| *count += counts),
                None => {
                    at.push(counted.len());
                    counted.push((log, counts));
                }
            }
        }
        Ok(counted)
    }
    /// The receipt of a transaction that is in a block; `None` when an endpoint does not have it there. Two round trips.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub(crate) async fn receipt(&self, transaction: B256) -> Result<Option<Receipt>, ChainError> {
        let found = self.gather(|node| receipt(node, transaction)).await?;
        let mut found = found.into_iter();
        let Some((first, mine)) = found.next() else {
            return Err(ChainError::NoEndpoint { chain: self.id() });
        };
        let Some((raw, block)) = mine else { return Ok(None) };
        for (node, theirs) in found {
            let Some((other, place)) = theirs.filter(|(_, place)| *place == block) else {
                return Ok(None);
            };
            if !raw.says_the_same(&other) {
                return Err(contradiction(first.label(), node.label(), "the receipt", place.number));
            }
        }
        let logs = raw.logs.iter().filter(|log| !log.removed).map(|log| log.inner.clone());
        Ok(Some(Receipt {
            succeeded: raw.succeeded(),
            from: raw.from,
            block,
            logs: logs.collect(),
        }))
    }
}

impl Receipt {
    /// Whether a log is one of this transaction's, in its block.
    fn holds(&self, log: &Log) -> bool {
        log.block_hash == Some(self.block.hash)
            && log.block_number == Some(self.block.number)
            && self.logs.contains(&log.inner)
    }
}

/// Logs as the chain has them one after the other.
fn in_order(counted: Vec<(Log, usize)>) -> Vec<Log> {
    let mut logs: Vec<Log> = counted.into_iter().map(|(log, _)| log).collect();
    logs.sort_by_key(|log| (log.block_number, log.log_index));
    logs
}

/// What one endpoint tells, without what it repeats.
fn once_each(logs: Vec<Log>) -> Vec<Log> {
    let mut kept: BTreeMap<(Option<B256>, Option<u64>), Log> = BTreeMap::new();
    for log in logs {
        kept.entry((log.block_hash, log.log_index)).or_insert(log);
    }
    kept.into_values().collect()
}

/// Whether two endpoints tell the same log at the same place.
fn is_same(mine: &Log, theirs: &Log) -> bool {
    mine.inner == theirs.inner
        && (mine.block_number, mine.transaction_hash) == (theirs.block_number, theirs.transaction_hash)
}

/// Whether two endpoints tell the same, newest first. One with short ranges ends its search where it has enough, and another
/// gives all that it has at once.
fn is_one_history(mine: &[PlacedLog], theirs: &[PlacedLog], enough: impl Fn(&Log) -> bool) -> bool {
    let (shorter, longer) = match mine.len() < theirs.len() {
        true => (mine, theirs),
        false => (theirs, mine),
    };
    let bare = |placed: &PlacedLog| Log {
        inner: placed.log.clone(),
        ..Log::default()
    };
    longer.starts_with(shorter) && (shorter.len() == longer.len() || shorter.iter().any(|placed| enough(&bare(placed))))
}

/// The receipt and its block, if that is the endpoint's block at its height.
async fn receipt(node: &Node, transaction: B256) -> Result<Option<(RawReceipt, BlockRef)>, ChainError> {
    let raw: Option<RawReceipt> = node.ask(&[RawReceipt::ask(transaction)]).await?.take()?;
    let Some((raw, Place { number, hash })) = raw.and_then(|raw| raw.place().map(|place| (raw, place))) else {
        return Ok(None);
    };
    let block = node.block_if_there(Ask::block(number)).await?;
    let block = block.filter(|block| block.hash == hash && block.number == number);
    Ok(block
        .filter(|_| raw.transaction_hash == transaction)
        .map(|block| (raw, block)))
}

/// An endpoint's logs, newest first, with the blocks that it has at their heights.
pub(super) async fn placed(
    node: &Node,
    query: &LogQuery,
    enough: impl Fn(&Log) -> bool + Sync,
) -> Result<Vec<PlacedLog>, ChainError> {
    let logs = newest_first(node, query, enough).await?;
    in_blocks(node, logs).await
}

/// An endpoint's logs, newest first, as far as so many requests reach back, and the block at which they were spent.
async fn placed_within(
    node: &Node,
    query: &LogQuery,
    requests: u32,
) -> Result<(Vec<PlacedLog>, Option<u64>), ChainError> {
    let (logs, stopped) = search(node, query, &|_: &Log| false, requests).await?;
    Ok((in_blocks(node, logs).await?, stopped))
}

/// Logs with the blocks that an endpoint has at their heights.
async fn in_blocks(node: &Node, logs: Vec<Log>) -> Result<Vec<PlacedLog>, ChainError> {
    let mut heights: Vec<u64> = logs.iter().filter_map(|log| log.block_number).collect();
    heights.dedup();
    let mut blocks: Vec<BlockRef> = Vec::with_capacity(heights.len());
    for some in heights.chunks(BLOCKS) {
        let asks: Vec<Ask> = some.iter().copied().map(Ask::block).collect();
        let mut replies = node.ask(&asks).await?;
        for _ in some {
            let block = replies.take::<Option<RawBlock>>()?.and_then(|raw| raw.sealed());
            blocks.extend(block);
        }
    }
    logs.into_iter()
        .map(|log| {
            let hash = log.block_hash.unwrap_or_default();
            let block = blocks
                .iter()
                .find(|block| block.hash == hash && Some(block.number) == log.block_number);
            // The chain was reorganised between the two questions; asked again, it will not be.
            let gone = || node.unavailable("eth_getLogs", Replaced(hash));
            let (block, transaction, index) = block
                .and_then(|block| Some((*block, log.transaction_hash?, log.log_index?)))
                .ok_or_else(gone)?;
            Ok(PlacedLog {
                log: log.inner,
                block,
                transaction,
                index,
            })
        })
        .collect()
}

/// An endpoint's logs, newest first, until `enough` says so, the contract did not exist yet or the range ends.
pub(super) async fn newest_first(
    node: &Node,
    query: &LogQuery,
    enough: impl Fn(&Log) -> bool + Sync,
) -> Result<Vec<Log>, ChainError> {
    match search(node, query, &enough, REQUESTS).await? {
        (found, None) => Ok(found),
        (_, Some(stopped)) => Err(node.unavailable("eth_getLogs", TooLong(stopped))),
    }
}

/// An endpoint's logs, newest first, as far as so many requests reach back.
pub(super) async fn within(
    node: &Node,
    query: &LogQuery,
    enough: &(dyn Fn(&Log) -> bool + Sync),
    requests: u32,
) -> Result<Vec<Log>, ChainError> {
    Ok(search(node, query, enough, requests).await?.0)
}

/// An endpoint's logs, newest first, and the block at which the search was given up, if it was.
async fn search(
    node: &Node,
    query: &LogQuery,
    enough: &(dyn Fn(&Log) -> bool + Sync),
    requests: u32,
) -> Result<(Vec<Log>, Option<u64>), ChainError> {
    let (mut to, mut window) = (query.to, query.to.saturating_add(1).saturating_sub(query.from));
    let mut found: Vec<Log> = Vec::new();
    if window == 0 {
        return Ok((found, None));
    }
    for _ in 0..requests {
        let from = to.saturating_add(1).saturating_sub(window).max(query.from);
        match part(node, query, from, to).await? {
            None if node.is_brief() => return Err(node.unavailable("eth_getLogs", TooLong(to))),
            None if window <= WINDOW_MIN => return Ok((found, Some(to))),
            None => window = (window / 2).min(WINDOW),
            Some(Part { logs, existed }) => {
                let done = logs.iter().any(enough);
                found.extend(logs.into_iter().rev());
                if from <= query.from || done || !existed {
                    return Ok((found, None));
                }
                to = from - 1;
            }
        }
    }
    Ok((found, Some(to)))
}

struct Part {
    logs: Vec<Log>,
    /// Whether the contract was there at the first block; unknown counts as yes.
    existed: bool,
}

/// `None`: the endpoint refused the range.
async fn part(node: &Node, query: &LogQuery, from: u64, to: u64) -> Result<Option<Part>, ChainError> {
    let filter = json!({
        "address": query.address,
        "topics": [query.topics],
        "fromBlock": U64::from(from),
        "toBlock": U64::from(to),
    });
    let asks = [
        Ask::new("eth_getLogs", json!([filter])),
        Ask::new("eth_getCode", json!([query.address, U64::from(from)])),
    ];
    let mut replies = node.ask(&asks).await?;
    let (method, reply) = replies.reply()?;
    let Reply::Result(raw) = reply else { return Ok(None) };
    let mut logs: Vec<Log> = serde_json::from_str(raw.get()).map_err(|_shape| node.misshapen(method))?;
    let code: Option<Bytes> = replies.take_if_offered()?;
    let asked = |log: &Log| {
        let topic = log.topic0().is_some_and(|topic| query.topics.contains(topic));
        let place = log.block_number.is_none_or(|number| (from..=to).contains(&number));
        topic && place && log.address() == query.address && !log.removed
    };
    logs.retain(asked);
    Ok(Some(Part {
        logs,
        existed: code.is_none_or(|code| !code.is_empty()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(index: u64) -> PlacedLog {
        PlacedLog {
            log: alloy::primitives::Log::default(),
            block: BlockRef::default(),
            transaction: B256::ZERO,
            index,
        }
    }

    #[test]
    fn an_endpoint_with_short_ranges_tells_the_same_history_as_one_with_long_ones() {
        let logs: Vec<PlacedLog> = [9, 5, 2].map(placed).into();
        let both = |mine: &[PlacedLog], theirs: &[PlacedLog], enough: bool| {
            let found = is_one_history(mine, theirs, |_| enough);
            assert_eq!(found, is_one_history(theirs, mine, |_| enough));
            found
        };
        assert!(both(&logs, &logs, false));
        assert!(both(&logs[..2], &logs, true));
        // Nothing is never enough, and what is newer cannot be left out.
        assert!(!both(&logs[..2], &logs, false));
        assert!(!both(&[], &logs, true));
        assert!(!both(&logs[1..], &logs, true));
    }
}
