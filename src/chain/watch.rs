//! Waiting for one nonce's transactions: what to do after each look. Pure; time is given, nothing is sent.
//!
//! The deadline is the caller's, before and after inclusion. There is never a new nonce: the same bytes go out again,
//! or the same call with the same nonce and higher fees.

use std::time::Duration;

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use super::{BlockRef, Finality};

/// Bytes that no endpoint ever showed are sent again this often.
const RESEND_EVERY: Duration = Duration::from_secs(30);
/// Bytes that were in a pool and are not any more are sent again after this long: pools drop and find again.
const UNSEEN_LIMIT: Duration = Duration::from_secs(60);
/// Looks at a nonce that a settled block used, without a receipt of ours, before it is given up; receipts come later.
const GONE_LOOKS: u32 = 3;
/// Such looks also span at least this long, and at least as many blocks.
const GONE_SPAN: Duration = Duration::from_secs(3);
/// Blocks without inclusion, at a fee below what is needed, before the fees are raised.
const STUCK_BLOCKS: u64 = 3;
/// Most raises.
const BUMPS: u32 = 5;
/// Wait between two looks for the first block, while the time between blocks is not known: endpoints count requests,
/// and a block is seen later by half of it on average.
const FIRST_BLOCK: Duration = Duration::from_millis(350);
/// Shortest and longest wait between two looks.
const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// One look at everything that matters while waiting, at one head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Newest block.
    pub head: BlockRef,
    /// Which of our transactions has a receipt in a canonical block.
    pub included: Option<InclusionAt>,
    /// Sender's newest nonce; the lowest that an endpoint says. Behind one address another machine may say it than the one
    /// that has the blocks.
    pub nonce: u64,
    /// Sender's nonce after the highest block that the asked finality covers, the lowest that an endpoint says, each
    /// after a block that it has; `None` where finality was not asked for, or not every endpoint shows that our nonce
    /// is used there, by a transaction that is none of ours.
    pub settled_nonce: Option<u64>,
    /// Whether an endpoint knows one of ours.
    pub pooled: bool,
    /// Base fee of the next block, wei per gas; the highest that an endpoint says.
    pub base_fee: u128,
    /// What blocks usually ask at least: that base fee and a small tip, wei per gas.
    pub needed: u128,
    /// The most that one of ours pays now, wei per gas.
    pub offered: u128,
    /// Highest block that the asked finality covers.
    pub settled: u64,
}

impl Sighting {
    /// The sender's next nonce, where what has `nonce` has to wait for others before it.
    pub fn waits_behind(&self, nonce: u64) -> Option<u64> {
        Some(self.nonce).filter(|next| *next < nonce && self.included.is_none())
    }
}

/// Where a transaction was included: its receipt is in a canonical block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionAt {
    /// Transaction.
    pub transaction: B256,
    /// Block.
    pub block: BlockRef,
    /// Receipt status.
    pub succeeded: bool,
}

/// Decides what to do next while one nonce's transactions are waited for; pure.
#[derive(Debug)]
pub struct Watch {
    finality: Finality,
    pace: Pace,
    included: Option<InclusionAt>,
    /// When an endpoint last knew one of ours.
    known: Option<Duration>,
    /// When the bytes last went out again.
    sent: Duration,
    /// Looks since the nonce was first seen used without a receipt of ours, and when that was.
    used: Option<(u32, Duration)>,
    /// Height at the first look or the last raise.
    since: Option<u64>,
    bumps: u32,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchAction {
    /// Look again after this long.
    Wait(Duration),
    /// Included, not yet settled; look again after this long.
    Settling {
        /// The block that includes the transaction.
        inclusion: InclusionAt,
        /// Time until the next look.
        wait: Duration,
    },
    /// Send the same bytes again.
    Rebroadcast,
    /// Sign the same call and nonce with higher fees.
    Bump,
    /// Settled: prove it.
    Settled(InclusionAt),
    /// The nonce went to a transaction that is not ours.
    Gone,
}

impl Watch {
    /// Watches the transactions of one nonce, right after they were sent.
    pub const fn new(finality: Finality) -> Self {
        Self {
            finality,
            pace: Pace::new(),
            included: None,
            known: None,
            sent: Duration::ZERO,
            used: None,
            since: None,
            bumps: 0,
        }
    }
    /// Watches what was in a block before that is not the chain's any more: it goes out again as soon as nobody shows it.
    #[must_use]
    pub const fn after(mut self, lost: Option<InclusionAt>) -> Self {
        self.included = lost;
        self
    }
    /// Time between two blocks, once two were seen.
    pub const fn block_time(&self) -> Option<Duration> {
        self.pace.block
    }
    /// What to do after `sighting`, seen at `now` (monotonic, since the watch began); `nonce` is ours.
    pub fn step(&mut self, sighting: &Sighting, nonce: u64, now: Duration) -> WatchAction {
        // An endpoint that is behind says nothing about what happened since: it takes nothing back.
        let behind = self.pace.see(sighting.head, now);
        self.since.get_or_insert(sighting.head.number);
        if sighting.pooled || sighting.included.is_some() {
            self.known = Some(now);
        }
        if let Some(inclusion) = sighting.included {
            self.included = Some(inclusion);
            self.used = None;
            return self.settle(inclusion, sighting, now);
        }
        if behind {
            return WatchAction::Wait(self.pace.wait(now));
        }
        if sighting.settled_nonce.is_some_and(|settled| settled > nonce) {
            return self.count_used(now);
        }
        self.used = None;
        // A nonce may be newer than blocks and receipts: what used it shows once they follow.
        if sighting.nonce > nonce {
            return WatchAction::Wait(self.pace.wait(now));
        }
        self.wait_for_inclusion(sighting, now)
    }

    fn settle(&self, inclusion: InclusionAt, sighting: &Sighting, now: Duration) -> WatchAction {
        let height = inclusion.block.number;
        if height <= sighting.settled {
            return WatchAction::Settled(inclusion);
        }
        let wait = match self.finality {
            Finality::Confirmations(_) => self.pace.wait_blocks(height - sighting.settled, now),
            Finality::Safe | Finality::Finalized => WAIT_MAX,
        };
        WatchAction::Settling { inclusion, wait }
    }

    fn count_used(&mut self, now: Duration) -> WatchAction {
        let (looks, first) = self
            .used
            .map_or((1, now), |(looks, first)| (looks.saturating_add(1), first));
        self.used = Some((looks, first));
        let span = GONE_SPAN.max(self.pace.block.unwrap_or_default() * GONE_LOOKS);
        if looks >= GONE_LOOKS && now.saturating_sub(first) >= span {
            return WatchAction::Gone;
        }
        WatchAction::Wait(self.pace.wait(now))
    }

    fn wait_for_inclusion(&mut self, sighting: &Sighting, now: Duration) -> WatchAction {
        let replaced = self.included.take().is_some();
        if self.is_stuck(sighting) {
            self.since = Some(sighting.head.number);
            self.bumps += 1;
            return WatchAction::Bump;
        }
        let silent = now.saturating_sub(self.sent) >= RESEND_EVERY;
        let unseen = self.known.is_none_or(|seen| now.saturating_sub(seen) >= UNSEEN_LIMIT);
        if !sighting.pooled && (replaced || (silent && unseen)) {
            self.sent = now;
            return WatchAction::Rebroadcast;
        }
        WatchAction::Wait(self.pace.wait(now))
    }

    fn is_stuck(&self, sighting: &Sighting) -> bool {
        let waited = self
            .since
            .is_some_and(|since| sighting.head.number >= since.saturating_add(STUCK_BLOCKS));
        waited && sighting.offered < sighting.needed && self.bumps < BUMPS
    }
}

/// When to look again: often when the next block is due, seldom in between.
#[derive(Debug)]
struct Pace {
    first: Option<BlockRef>,
    highest: u64,
    /// Time between blocks, by their time stamps.
    block: Option<Duration>,
    /// When the head was last seen to change.
    changed: Option<Duration>,
}

impl Pace {
    const fn new() -> Self {
        Self {
            first: None,
            highest: 0,
            block: None,
            changed: None,
        }
    }
    /// Whether `head` is below one seen before.
    fn see(&mut self, head: BlockRef, now: Duration) -> bool {
        let first = *self.first.get_or_insert(head);
        if first == head {
            self.highest = self.highest.max(head.number);
            return head.number < self.highest;
        }
        if head.number > self.highest {
            self.highest = head.number;
            self.changed = Some(now);
            let blocks = u32::try_from(head.number.saturating_sub(first.number)).unwrap_or(u32::MAX);
            let span = Duration::from_secs(head.timestamp.saturating_sub(first.timestamp));
            self.block = span.checked_div(blocks).filter(|time| !time.is_zero());
        }
        head.number < self.highest
    }
    /// Time to the next look.
    fn wait(&self, now: Duration) -> Duration {
        let (Some(block), Some(changed)) = (self.block, self.changed) else {
            // Nothing is known of the rhythm yet: look at once for chains that mine at once, then a few times a second.
            return (now * 3)
                .min(FIRST_BLOCK)
                .max(now / 20)
                .clamp(WAIT_MIN, Duration::from_secs(1));
        };
        let seldom = (block / 8).clamp(Duration::from_millis(100), WAIT_MAX);
        let often = (block / 32).clamp(Duration::from_millis(50), Duration::from_millis(500));
        // The change was seen late by up to one wait, so the next one may come earlier than a whole block later.
        let due = (changed + block).saturating_sub(block / 8);
        if now < due {
            (due - now).clamp(WAIT_MIN, seldom)
        } else if now < due + block / 2 {
            often
        } else {
            seldom
        }
    }
    /// Time to the next look when `count` more blocks are needed.
    fn wait_blocks(&self, count: u64, now: Duration) -> Duration {
        let next = self.wait(now);
        let Some(block) = self.block.filter(|_| count > 1) else {
            return next;
        };
        let more = u32::try_from(count - 1).unwrap_or(u32::MAX);
        next.max(block.saturating_mul(more).min(WAIT_MAX))
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
