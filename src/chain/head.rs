//! The newest block on which the endpoints agree.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::block::{BlockRef, Finality};
use super::connection::Chain;
use super::error::{ChainError, Missing, contradiction};
use super::quorum::Patience;
use super::rpc::{Ask, Node, RawBlock};

/// How often an endpoint whose newest block is older than one seen before is asked again: behind a load balancer
/// another machine answers next.
const BEHIND_TRIES: u32 = 3;
const BEHIND_WAIT: Duration = Duration::from_millis(200);
/// Blocks by which one endpoint may be behind another where block times do not tell (they tell on every chain but that of
/// development): blocks spread in less.
const LAG: u64 = 8;

/// What the endpoints' newest blocks come to.
#[must_use]
pub(super) enum Common {
    /// All have this one.
    Head(BlockRef),
    /// They have different ones at one height: a fork that settles by itself, or one that is not followed.
    Forked { number: u64, missing: Vec<Missing> },
    /// Some are far below the others.
    Behind(Vec<Missing>),
}

impl Chain {
    /// The newest block on which the endpoints agree; never one below an earlier answer. One round trip, with the
    /// chain id checked again in it, and another one to endpoints that are ahead. Endpoints that are far apart or have
    /// different blocks are asked again for a while.
    ///
    /// # Errors
    /// Too few endpoints are fresh and answer, or they are on different forks.
    pub async fn head(&self) -> Result<BlockRef, ChainError> {
        let mut patience = Patience::new(&self.quorum);
        loop {
            let apart = match self.common_head().await? {
                Common::Head(head) => {
                    self.seen.fetch_max(head.number, Ordering::Relaxed);
                    return Ok(head);
                }
                apart => apart,
            };
            if patience.wait_for_one(&self.quorum).await {
                continue;
            }
            return match apart {
                Common::Forked { number, missing } => self.below_the_fork(number, missing).await,
                Common::Behind(missing) => {
                    let answered = self.nodes.len().saturating_sub(missing.len());
                    Err(self.too_few(answered, missing))
                }
                Common::Head(head) => Ok(head),
            };
        }
    }

    /// Begins to ask for the newest block, which is wanted once something else is done, on the Tokio runtime that this is called
    /// in, and does not wait. One round trip to each endpoint; [`Self::head`] takes what it brings, within a second and before anything else is asked for that happened.
    pub fn look_ahead(&self) {
        self.tops.ask(&self.nodes, self.id());
    }

    /// One look for the block at the height that all have.
    async fn common_head(&self) -> Result<Common, ChainError> {
        let all = self.gather(|node| self.top(node)).await?;
        let (tops, behind) = self.side_by_side(all);
        if !behind.is_empty() && tops.len() < self.required() {
            return Ok(Common::Behind(behind));
        }
        let Some(lowest) = tops.iter().map(|(_, top)| top.number).min() else {
            return Err(ChainError::NoEndpoint { chain: self.id });
        };
        let same_height = self
            .gather(|node| {
                let top = tops.iter().find(|(other, _)| std::ptr::eq(*other, node));
                let behind = behind.iter().find(|missing| missing.endpoint == node.label());
                block_at(node, top.map(|(_, top)| *top), behind, lowest)
            })
            .await?;
        self.agreed(&same_height)
    }

    /// Those at the height that most of them have, as many as have to agree; and those that are far from it. What one
    /// alone claims, above or below, is its own word: where nobody is in the majority, all of them are apart. Where only
    /// something is told the lowest counts for all.
    fn side_by_side<'s>(&self, tops: Vec<(&'s Node, BlockRef)>) -> (Vec<(&'s Node, BlockRef)>, Vec<Missing>) {
        let heights: Vec<u64> = tops.iter().map(|(_, top)| top.number).collect();
        let Some((high, is_shared)) = shared_height(&heights) else {
            return (tops, Vec::new());
        };
        if self.freshness.is_some() || heights.iter().all(|height| is_near(high, *height)) {
            return (tops, Vec::new());
        }
        let apart = tops.iter().filter(|(_, top)| !(is_shared && is_near(high, top.number)));
        let apart = apart.map(|(node, top)| {
            let far = |other: &BlockRef| top.number.abs_diff(other.number) > LAG;
            let other = tops
                .iter()
                .find(|(_, other)| far(other) && (!is_shared || is_near(high, other.number)));
            let (label, theirs) = other.map_or(("another one", high), |(other, top)| (other.label(), top.number));
            let number = top.number;
            let place = if number > theirs { "ahead" } else { "behind" };
            node.missing(format!(
                "it is {place}: its newest block is {number}, and that of {label} is {theirs}"
            ))
        });
        let apart: Vec<Missing> = apart.collect();
        if self.quorum.partial {
            self.quorum.turnout.miss(&apart, false);
            return (tops, Vec::new());
        }
        let group = tops.iter().filter(|(_, top)| is_near(high, top.number)).copied();
        (group.collect(), apart)
    }

    /// What endpoints with different newest blocks mean: where they agree on one that counts as settled, one of them will
    /// follow the other; where they do not, one is wrong.
    async fn below_the_fork(&self, number: u64, missing: Vec<Missing>) -> Result<BlockRef, ChainError> {
        let settled = Finality::default_for(self.id).depth(number).unwrap_or(number);
        let found = self.gather(|node| node.block(Ask::block(settled))).await?;
        match self.agreed(&found)? {
            Common::Head(block) if self.quorum.partial => {
                self.quorum.turnout.miss(&missing, false);
                Ok(block)
            }
            Common::Head(_) => {
                let answered = self.nodes.len().saturating_sub(missing.len());
                Err(self.too_few(answered, missing))
            }
            Common::Forked { .. } | Common::Behind(_) => {
                let first = found.first().map_or("", |(node, _)| node.label());
                let second = missing.first().map_or("", |missing| missing.endpoint.as_str());
                Err(contradiction(first, second, "the block hash", settled))
            }
        }
    }

    /// An endpoint's newest block, which is fresh and not below what was seen before.
    async fn top(&self, node: &Node) -> Result<BlockRef, ChainError> {
        let mut tries = 1;
        loop {
            let top = self.check_top(node, &self.newest(node).await?)?;
            match self.check_not_behind(node, top) {
                Ok(()) => return Ok(top),
                Err(behind) if tries == BEHIND_TRIES => return Err(behind),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(BEHIND_WAIT).await;
        }
    }

    /// An endpoint's newest block: the one that it named ahead a moment ago, or else the one that it names now, with the
    /// chain id.
    async fn newest(&self, node: &Node) -> Result<RawBlock, ChainError> {
        if let Some(told) = self.tops.take(self.place(node)).await {
            return Ok(told);
        }
        let mut replies = node.ask(&[Ask::chain_id(), Ask::block_at("latest")]).await?;
        self.check_id(node, replies.number()?)?;
        replies.take()
    }

    /// An endpoint below a head that was agreed on before may hide what happened since.
    pub(super) fn check_not_behind(&self, node: &Node, top: BlockRef) -> Result<(), ChainError> {
        let seen = self.seen.load(Ordering::Relaxed);
        if top.number >= seen {
            return Ok(());
        }
        Err(node.unavailable("eth_getBlockByNumber", Behind { top: top.number, seen }))
    }

    pub(super) fn check_top(&self, node: &Node, raw: &RawBlock) -> Result<BlockRef, ChainError> {
        let top = raw.sealed().ok_or_else(|| node.misshapen("eth_getBlockByNumber"))?;
        match self.freshness {
            Some(limit) if is_stale(&top, limit, jiff::Timestamp::now()) => Err(ChainError::Stale {
                number: top.number,
                limit: limit.as_secs(),
            }),
            _ => Ok(top),
        }
    }

    /// One block, if all have the same.
    ///
    /// # Errors
    /// One hash with two time stamps.
    pub(super) fn agreed(&self, found: &[(&Node, BlockRef)]) -> Result<Common, ChainError> {
        let Some(((first, block), others)) = found.split_first() else {
            return Err(ChainError::NoEndpoint { chain: self.id });
        };
        let mut missing = Vec::new();
        for (node, other) in others {
            if other.hash != block.hash {
                let (number, mine, theirs) = (block.number, other.hash, block.hash);
                let why = format!(
                    "its block {number} is {mine}, and that of {} is {theirs}",
                    first.label()
                );
                missing.push(node.missing(why));
            } else if other.timestamp != block.timestamp {
                return Err(contradiction(first.label(), node.label(), "timestamp", block.number));
            }
        }
        Ok(match missing.is_empty() {
            true => Common::Head(*block),
            false => Common::Forked {
                number: block.number,
                missing,
            },
        })
    }
}

/// Whether a block is at most a few below `high`, and not above it.
const fn is_near(high: u64, number: u64) -> bool {
    number <= high && number.saturating_add(LAG) >= high
}

/// The height at which most of these are, with those a few blocks below it, and whether more are there than anywhere else;
/// the higher one of two with as many. Pure.
fn shared_height(heights: &[u64]) -> Option<(u64, bool)> {
    let count = |high: u64| heights.iter().filter(|height| is_near(high, **height)).count();
    let high = heights.iter().copied().max_by_key(|high| (count(*high), *high))?;
    let others: Vec<u64> = heights
        .iter()
        .copied()
        .filter(|height| !is_near(high, *height))
        .collect();
    let elsewhere = others
        .iter()
        .map(|top| others.iter().filter(|other| is_near(*top, **other)).count());
    Some((high, elsewhere.max().unwrap_or_default() < count(high)))
}

/// An endpoint that is behind what another one, or itself, has shown.
#[derive(Debug, thiserror::Error)]
#[error("its newest block is {top}, and block {seen} was seen before")]
struct Behind {
    top: u64,
    seen: u64,
}

/// The endpoint's block at a height up to its newest one, `None` where that is not known; one that is far below has none.
async fn block_at(
    node: &Node,
    top: Option<BlockRef>,
    behind: Option<&Missing>,
    height: u64,
) -> Result<BlockRef, ChainError> {
    match (top, behind) {
        (Some(top), _) if top.number == height => Ok(top),
        (None, Some(behind)) => Err(node.unavailable("eth_getBlockByNumber", behind.why.clone())),
        _ => node.block(Ask::block(height)).await,
    }
}

fn is_stale(block: &BlockRef, limit: Duration, now: jiff::Timestamp) -> bool {
    let now = u64::try_from(now.as_second()).unwrap_or_default();
    now.saturating_sub(block.timestamp) > limit.as_secs()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;
    use crate::chain::networks::{BASE, DEVELOPMENT_CHAIN, ETHEREUM, freshness};

    #[test]
    fn r12_the_newest_block_may_be_a_minute_old_on_base_and_five_on_ethereum() {
        let now: jiff::Timestamp = "2026-11-21T05:00:00Z".parse().unwrap();
        let seconds = u64::try_from(now.as_second()).unwrap();
        let aged = |age: u64| BlockRef {
            number: 1,
            hash: B256::ZERO,
            timestamp: seconds - age,
        };
        for (chain, limit) in [(BASE, 60), (ETHEREUM, 300), (2035, 300)] {
            let limit_of = freshness(chain).unwrap();
            assert!(!is_stale(&aged(limit), limit_of, now), "{chain}");
            assert!(is_stale(&aged(limit + 1), limit_of, now), "{chain}");
        }
        assert_eq!(freshness(DEVELOPMENT_CHAIN), None);
        let ahead = BlockRef {
            timestamp: seconds + 30,
            ..aged(0)
        };
        assert!(!is_stale(&ahead, Duration::from_secs(60), now));
    }

    #[test]
    fn fr2_7_what_one_alone_claims_is_no_height() {
        let cases = [
            (vec![6, 6, 1006], (6, true)),
            (vec![1006, 5, 6], (6, true)),
            (vec![6, 30, 30], (30, true)),
            (vec![6, 1006], (1006, false)),
            (vec![6, 14], (14, true)),
            (vec![6], (6, true)),
        ];
        for (heights, expected) in cases {
            assert_eq!(shared_height(&heights), Some(expected), "{heights:?}");
        }
        assert_eq!(shared_height(&[]), None);
    }
}
