//! One block, and when it is taken to stay.

use std::fmt;

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use super::networks::{BASE, DEVELOPMENT_CHAIN};

/// One block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// When a block is taken to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finality {
    /// This many blocks, the one that holds the transaction included.
    Confirmations(u64),
    /// The `safe` block has reached it.
    Safe,
    /// The `finalized` block has reached it.
    Finalized,
}

impl fmt::Display for Finality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmations(1) => f.write_str("1 confirmation"),
            Self::Confirmations(blocks) => write!(f, "{blocks} confirmations"),
            Self::Safe => f.write_str("the safe block"),
            Self::Finalized => f.write_str("the finalized block"),
        }
    }
}

impl Finality {
    /// What suits a chain: one block on the development chain, twelve on Ethereum, five on Base, twelve elsewhere.
    pub const fn default_for(chain_id: u64) -> Self {
        match chain_id {
            DEVELOPMENT_CHAIN => Self::Confirmations(1),
            BASE => Self::Confirmations(5),
            _ => Self::Confirmations(12),
        }
    }
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
