//! Which block stands at a height, and how far a chain is settled, as the endpoints agree on it.

use alloy::primitives::B256;

use super::error::contradiction;
use super::head::Common;
use super::rpc::{Ask, Node};
use super::{BlockRef, Chain, ChainError, Finality};

impl Chain {
    /// The block at a height, `None` where too few endpoints have one there. One round trip.
    ///
    /// # Errors
    /// They have different ones, though they agree on the newest block.
    pub(super) async fn one_block(&self, number: u64) -> Result<Option<BlockRef>, ChainError> {
        let mut is_second = false;
        loop {
            let found = self.gather(|node| node.block_if_there(Ask::block(number))).await?;
            let there = found.into_iter().filter_map(|(node, block)| Some((node, block?)));
            let there: Vec<(&Node, BlockRef)> = there.collect();
            if there.is_empty() {
                return Ok(None);
            }
            match self.agreed(&there)? {
                Common::Head(block) => return Ok(Some(block).filter(|_| there.len() >= self.required())),
                Common::Forked { missing, .. } if is_second => {
                    let first = there.first().map_or("", |(node, _)| node.label());
                    let second = missing.first().map_or("", |missing| missing.endpoint.as_str());
                    return Err(contradiction(first, second, "the block hash", number));
                }
                // The chain may have been reorganised between their answers.
                _ => self.head().await?,
            };
            is_second = true;
        }
    }

    /// Hash of the block at this height, where as many endpoints name it as have to agree. One round trip.
    ///
    /// # Errors
    /// Too few endpoints answered, or they contradict each other.
    pub async fn block_hash(&self, number: u64) -> Result<Option<B256>, ChainError> {
        Ok(self.one_block(number).await?.map(|block| block.hash))
    }

    /// A block that `finality` covers at `head`.
    pub(super) async fn settled_block(&self, head: BlockRef, finality: Finality) -> Result<BlockRef, ChainError> {
        let number = match (finality.tag(), finality.depth(head.number)) {
            (Some(tag), _) => {
                let found = self.gather(|node| node.block(Ask::block_at(tag))).await?;
                found.iter().map(|(_, block)| block.number).min().unwrap_or_default()
            }
            (None, Some(number)) if number < head.number => number,
            (None, _) => return Ok(head),
        };
        let block = self.one_block(number).await?;
        block.ok_or(ChainError::NoEndpoint { chain: self.id() })
    }

    /// The lowest block that as many endpoints name for a tag as have to agree.
    ///
    /// # Errors
    /// Too few offer the tag.
    pub(super) fn reached(&self, settled: &[(&Node, Option<u64>)], tag: &'static str) -> Result<u64, ChainError> {
        let offered: Vec<u64> = settled.iter().filter_map(|(_, number)| *number).collect();
        let without = settled.iter().find(|(_, number)| number.is_none());
        match (offered.iter().min(), without) {
            (Some(lowest), None) => Ok(*lowest),
            (Some(lowest), Some(_)) if offered.len() >= self.required() => Ok(*lowest),
            (_, without) => Err(ChainError::NoFinalityTag {
                endpoint: without.map_or_else(String::new, |(node, _)| node.label().to_owned()),
                tag,
            }),
        }
    }
}
