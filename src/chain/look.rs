//! Looking at the transactions of one nonce: receipts, nonce, pool, head and finality in one round trip.

use alloy::primitives::{Address, B256, U64};
use alloy::rpc::types::Log;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::error::Missing;
use super::fees::FeeHistory;
use super::networks::{BASE, ETHEREUM};
use super::rpc::{Ask, Node, RawBlock};
use super::{
    BlockRef, Chain, ChainError, Finality, SignedTx,
    watch::{InclusionAt, Sighting},
};

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

/// A receipt's block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) hash: B256,
}

impl Place {
    pub(super) fn is_of(self, block: &BlockRef) -> bool {
        (self.number, self.hash) == (block.number, block.hash)
    }
}

impl RawReceipt {
    /// Its block.
    pub(super) fn place(&self) -> Option<Place> {
        Some(Place {
            number: self.block_number?.to(),
            hash: self.block_hash?,
        })
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

/// What one endpoint shows.
struct Glance {
    head: BlockRef,
    nonce: u64,
    history: FeeHistory,
    /// Highest settled block; `None`: the tag is not offered.
    settled: Option<u64>,
    included: Option<InclusionAt>,
    /// What a used nonce without a receipt comes to.
    used: Used,
    pooled: bool,
}

/// What an endpoint shows of a nonce that is used while it has no receipt of ours.
enum Used {
    /// The nonce is free, or a receipt is there.
    No,
    /// Its blocks do not show the use yet, or one of ours is in one of them: the rest will follow.
    Behind(String),
    /// The nonce after the highest settled block.
    Settled(u64),
}

/// Blocks below the newest one in which the use of a nonce is looked for; every node keeps the state of as many.
const USE_WINDOW: u64 = 120;

impl Chain {
    /// One look at the transactions of one nonce. One round trip, and another one when a receipt is in a block below
    /// the head.
    ///
    /// # Errors
    /// No endpoint answered (a caller that waits goes on waiting), the chain is another one, or no endpoint has the
    /// asked finality.
    pub async fn look(&self, txs: &[SignedTx], finality: Finality) -> Result<Sighting, ChainError> {
        self.tops.forget();
        let found = self.gather(|node| self.second_glance(node, txs, finality)).await?;
        let settled = self.settled(&found, finality)?;
        let glances: Vec<&Glance> = found.iter().map(|(_, glance)| glance).collect();
        let Some(newest) = glances.iter().max_by_key(|glance| glance.head.number) else {
            return Err(ChainError::NoEndpoint { chain: self.id() });
        };
        let with_it = glances.iter().filter(|glance| glance.included.is_some());
        let included = with_it.max_by_key(|glance| glance.head.number);
        let settled_nonce = match included {
            Some(_) => None,
            None => self.settled_nonce(&found),
        };
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
            settled_nonce,
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
            ETHEREUM => return Ok(Duration::from_secs(12)),
            BASE => return Ok(Duration::from_secs(2)),
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

    /// The lowest nonce after settled blocks, where every endpoint says that ours is used in one and shows nothing of ours;
    /// those whose blocks or receipts are behind their nonces are named.
    fn settled_nonce(&self, found: &[(&Node, Glance)]) -> Option<u64> {
        let behind = found.iter().filter_map(|(node, glance)| match &glance.used {
            Used::Behind(why) => Some(node.missing(why.as_str())),
            Used::No | Used::Settled(_) => None,
        });
        let behind: Vec<Missing> = behind.collect();
        self.quorum.turnout.miss(&behind, true);
        let settled = found.iter().map(|(_, glance)| match glance.used {
            Used::Settled(nonce) => Some(nonce),
            Used::No | Used::Behind(_) => None,
        });
        settled.collect::<Option<Vec<u64>>>()?.into_iter().min()
    }

    /// A glance, and another one where a block came between two answers of the first, so that its nonce was ahead of its head.
    async fn second_glance(&self, node: &Node, txs: &[SignedTx], finality: Finality) -> Result<Glance, ChainError> {
        let first = self.glance(node, txs, finality).await?;
        match first.used {
            Used::Behind(_) => self.glance(node, txs, finality).await,
            Used::No | Used::Settled(_) => Ok(first),
        }
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
        let included = included(node, head, &receipts).await?;
        let ours = txs.last().map_or(u64::MAX, |tx| tx.request.nonce);
        let used = if included.is_none() && nonce > ours {
            let last = finality.depth(head.number).or(settled).unwrap_or_default();
            let account = Account {
                node,
                sender,
                nonce: ours,
            };
            account.used(txs, head.number, last.min(head.number)).await?
        } else {
            Used::No
        };
        Ok(Glance {
            head,
            nonce,
            history,
            settled,
            included,
            used,
            pooled,
        })
    }
}

/// The sender of ours as one endpoint knows it, and the nonce of ours.
struct Account<'a> {
    node: &'a Node,
    sender: Address,
    nonce: u64,
}

impl Account<'_> {
    /// What the endpoint's own blocks say of the used nonce, up to the head and up to what is settled.
    async fn used(&self, txs: &[SignedTx], head: u64, settled: u64) -> Result<Used, ChainError> {
        let nonce = self.nonce;
        if self.at(head).await?.is_some_and(|at_head| at_head <= nonce) {
            let why = format!("it says that nonce {nonce} is used, and its newest block {head} does not show by what");
            return Ok(Used::Behind(why));
        }
        if let Some((block, listed)) = self.use_of(head).await?
            && let Some(tx) = txs.iter().find(|tx| listed.contains(&tx.hash))
        {
            let why = format!(
                "it has transaction {} in block {block}, and shows no receipt of it",
                tx.hash
            );
            return Ok(Used::Behind(why));
        }
        let settled_nonce = self.at(settled).await?;
        Ok(Used::Settled(settled_nonce.unwrap_or_default()))
    }

    /// The nonce after a block; `None` where the endpoint does not have that state.
    async fn at(&self, block: u64) -> Result<Option<u64>, ChainError> {
        let ask = Ask::new("eth_getTransactionCount", json!([self.sender, U64::from(block)]));
        let found: Option<U64> = self.node.ask(&[ask]).await?.take_if_offered()?;
        Ok(found.map(|nonce| nonce.to()))
    }

    /// The block that used the nonce, with its transactions; `None` where it is too far below, or the endpoint does not say.
    async fn use_of(&self, head: u64) -> Result<Option<(u64, Vec<B256>)>, ChainError> {
        let (mut below, mut with) = (head.saturating_sub(USE_WINDOW), head);
        if below > 0 && self.at(below).await?.is_none_or(|nonce| nonce > self.nonce) {
            return Ok(None);
        }
        while with.saturating_sub(below) > 1 {
            let middle = below + (with - below) / 2;
            match self.at(middle).await? {
                Some(nonce) if nonce > self.nonce => with = middle,
                Some(_) => below = middle,
                None => return Ok(None),
            }
        }
        let listed: Option<Option<Listed>> = self.node.ask(&[Ask::block(with)]).await?.take_if_offered()?;
        Ok(listed.flatten().map(|block| (with, block.transactions)))
    }
}

/// A block as the list of its transactions.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(default)]
    transactions: Vec<B256>,
}

/// The first receipt whose block is the chain's block at its height.
async fn included(node: &Node, head: BlockRef, receipts: &[RawReceipt]) -> Result<Option<InclusionAt>, ChainError> {
    for receipt in receipts {
        let Some(Place { number, hash }) = receipt.place() else {
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
