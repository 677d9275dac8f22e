//! Chains that are known by number: their first blocks, and how old their newest block may be.

use std::time::Duration;

use alloy::primitives::{B256, b256};

/// Chain id of anvil, where one confirmation is enough and no genesis is pinned.
pub(super) const DEVELOPMENT_CHAIN: u64 = 31337;
/// Ethereum's chain id.
pub(super) const ETHEREUM: u64 = 1;
/// Base's chain id.
pub(super) const BASE: u64 = 8453;
/// Hashes of block 0, so that a chain id alone convinces nobody.
const GENESIS: &[(u64, B256)] = &[
    (
        ETHEREUM,
        b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
    ),
    (
        BASE,
        b256!("f712aa9241cc24369b143cf6dce85f0902a9731e70d66818a3a5845b296c73dd"),
    ),
];

/// Hash of a known chain's block 0.
pub(super) fn genesis(chain_id: u64) -> Option<B256> {
    GENESIS.iter().find(|(id, _)| *id == chain_id).map(|(_, hash)| *hash)
}

/// How old the newest block of a chain may be; chains without a rule of their own get Ethereum's.
pub(super) const fn freshness(chain_id: u64) -> Option<Duration> {
    match chain_id {
        DEVELOPMENT_CHAIN => None,
        BASE => Some(Duration::from_secs(60)),
        _ => Some(Duration::from_secs(300)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r11_ethereum_and_base_are_known_by_their_first_block() {
        let ids: Vec<u64> = GENESIS.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [1, 8453]);
    }
}
