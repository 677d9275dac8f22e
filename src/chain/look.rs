//! Looking at the transactions of one nonce: receipts, nonce, pool, head and finality in one round trip.

use alloy::primitives::{Address, B256, U64};
use alloy::rpc::types::Log;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::fees::FeeHistory;
use super::rpc::{Ask, Node, RawBlock};
use super::{BlockRef, Chain, ChainError, Finality, InclusionAt, Sighting, SignedTx};

/// Blocks over which the time between blocks is measured.
const TIMED_BLOCKS: u64 = 10;
/// Blocks over which the smallest usual tip is measured, and its percentile.
const TIP_BLOCKS: u64 = 5;
const TIP_PERCENTILE: u64 = 10;

/// The fields of a receipt that are used here. Endpoints that preconfirm give receipts without a block.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawReceipt {
    pub(super) transaction_hash: B256,
    pub(super) block_hash: Option<B256>,
    pub(super) block_number: Option<U64>,
    pub(super) status: Option<U64>,
    pub(super) from: Address,
    pub(super) gas_used: U64,
    #[serde(default)]
    pub(super) logs: Vec<Log>,
}

impl RawReceipt {
    /// Number and hash of its block.
    pub(super) fn place(&self) -> Option<(u64, B256)> {
        Some((self.block_number?.to(), self.block_hash?))
    }
    pub(super) fn succeeded(&self) -> bool {
        self.status == Some(U64::ONE)
    }
    /// Whether two endpoints tell the same of one transaction in one block.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        let facts = |log: &Log| (log.inner.clone(), log.log_index);
        self.transaction_hash == other.transaction_hash
            && self.succeeded() == other.succeeded()
            && self.from == other.from
            && self.gas_used == other.gas_used
            && self.logs.len() == other.logs.len()
            && self.logs.iter().map(facts).eq(other.logs.iter().map(facts))
    }
    pub(super) fn ask(transaction: B256) -> Ask {
        Ask::new("eth_getTransactionReceipt", json!([transaction]))
    }
}

impl Finality {
    /// The tag of the block that has reached it, where there is one.
    pub const fn tag(self) -> Option<&'static str> {
        match self {
            Self::Confirmations(_) => None,
            Self::Safe => Some("safe"),
            Self::Finalized => Some("finalized"),
        }
    }
    /// Highest block with enough blocks on it, itself included, at this head.
    pub(super) const fn depth(self, head: u64) -> Option<u64> {
        match self {
            Self::Confirmations(0) => Some(head),
            Self::Confirmations(count) => Some(head.saturating_add(1).saturating_sub(count)),
            Self::Safe | Self::Finalized => None,
        }
    }
}

/// What one endpoint shows.
struct Glance {
    head: BlockRef,
    nonce: u64,
    history: FeeHistory,
    /// Highest settled block; `None`: the tag is not offered.
    settled: Option<u64>,
    included: Option<InclusionAt>,
    pooled: bool,
}

impl Chain {
    /// One look at the transactions of one nonce. One round trip, and another one when a receipt is in a block below
    /// the head.
    ///
    /// # Errors
    /// No endpoint answered (a caller that waits goes on waiting), the chain is another one, or no endpoint has the
    /// asked finality.
    pub async fn look(&self, txs: &[SignedTx], finality: Finality) -> Result<Sighting, ChainError> {
        let found = self.gather(|node| self.glance(node, txs, finality)).await?;
        let settled = self.settled(&found, finality)?;
        let glances: Vec<&Glance> = found.iter().map(|(_, glance)| glance).collect();
        let Some(newest) = glances.iter().max_by_key(|glance| glance.head.number) else {
            return Err(ChainError::NoEndpoint { chain: self.id() });
        };
        let with_it = glances.iter().filter(|glance| glance.included.is_some());
        let included = with_it.max_by_key(|glance| glance.head.number);
        if let Some(at) = included.and_then(|glance| glance.included) {
            self.guess().included = Some((at.transaction, at.block));
        }
        // It only says when to look at the fees: what is signed then follows from what all endpoints agree on.
        let next = |glance: &&Glance| glance.history.next_base_fee();
        let base_fee = glances.iter().map(next).max().unwrap_or_default();
        let tip = glances.iter().map(|glance| glance.history.tip()).max();
        let offers = txs.iter().map(|tx| {
            let most = base_fee.saturating_add(tx.request.max_priority_fee_per_gas);
            tx.request.max_fee_per_gas.min(most)
        });
        Ok(Sighting {
            head: newest.head,
            included: included.and_then(|glance| glance.included),
            nonce: glances.iter().map(|glance| glance.nonce).min().unwrap_or_default(),
            pooled: glances.iter().any(|glance| glance.pooled),
            base_fee,
            needed: base_fee.saturating_add(tip.unwrap_or_default()),
            offered: offers.max().unwrap_or_default(),
            settled: settled.unwrap_or_else(|| {
                let head = included.unwrap_or(newest).head.number;
                finality.depth(head).unwrap_or_default()
            }),
        })
    }
    /// Time between the last blocks, for polling; known chains cost no request, others two round trips.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn block_time(&self) -> Result<Duration, ChainError> {
        match self.id() {
            super::ETHEREUM => return Ok(Duration::from_secs(12)),
            super::BASE => return Ok(Duration::from_secs(2)),
            _ => {}
        }
        let head = self.head().await?;
        let earlier = head.number.saturating_sub(TIMED_BLOCKS);
        let found = self.hear(|node| node.block(Ask::block(earlier))).await?;
        let first = found.first().map_or(head.timestamp, |(_, block)| block.timestamp);
        let blocks = u32::try_from(head.number - earlier).unwrap_or(1).max(1);
        Ok(Duration::from_secs(head.timestamp.saturating_sub(first)) / blocks)
    }

    /// The block that the asked tag has reached on every endpoint that has it; `None` for depths.
    fn settled(&self, found: &[(&Node, Glance)], finality: Finality) -> Result<Option<u64>, ChainError> {
        let Some(tag) = finality.tag() else { return Ok(None) };
        let settled = found.iter().map(|(node, glance)| (*node, glance.settled));
        let settled: Vec<(&Node, Option<u64>)> = settled.collect();
        self.reached(&settled, tag).map(Some)
    }

    async fn glance(&self, node: &Node, txs: &[SignedTx], finality: Finality) -> Result<Glance, ChainError> {
        let sender = txs.first().map_or(Address::ZERO, |tx| tx.request.from);
        let mut asks = vec![
            Ask::chain_id(),
            Ask::block_at("latest"),
            Ask::block_at(finality.tag().unwrap_or("latest")),
            Ask::new("eth_getTransactionCount", json!([sender, "latest"])),
            FeeHistory::ask(TIP_BLOCKS, TIP_PERCENTILE),
        ];
        for tx in txs {
            asks.push(RawReceipt::ask(tx.hash));
            asks.push(Ask::new("eth_getTransactionByHash", json!([tx.hash])));
        }
        let mut replies = node.ask(&asks).await?;
        self.check_id(node, replies.number()?)?;
        let head: RawBlock = replies.take()?;
        let head = head.sealed().ok_or_else(|| node.misshapen("eth_getBlockByNumber"))?;
        let tagged: Option<Option<RawBlock>> = replies.take_if_offered()?;
        let (nonce, history) = (replies.number()?, replies.take()?);
        let mut receipts = Vec::new();
        let mut pooled = false;
        for _ in txs {
            receipts.extend(replies.take::<Option<RawReceipt>>()?);
            pooled |= replies
                .take_if_offered::<Value>()?
                .is_some_and(|found| !found.is_null());
        }
        let settled = tagged.flatten().and_then(|raw| raw.sealed()).map(|block| block.number);
        Ok(Glance {
            head,
            nonce,
            history,
            settled,
            included: included(node, head, &receipts).await?,
            pooled,
        })
    }
}

/// The first receipt whose block is the chain's block at its height.
async fn included(node: &Node, head: BlockRef, receipts: &[RawReceipt]) -> Result<Option<InclusionAt>, ChainError> {
    for receipt in receipts {
        let Some((number, hash)) = receipt.place() else {
            continue;
        };
        let block = if number == head.number {
            Some(head)
        } else {
            node.block_if_there(Ask::block(number)).await?
        };
        if let Some(block) = block.filter(|block| block.hash == hash && block.number == number) {
            return Ok(Some(InclusionAt {
                transaction: receipt.transaction_hash,
                block,
                succeeded: receipt.succeeded(),
            }));
        }
    }
    Ok(None)
}
