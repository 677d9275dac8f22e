//! What somebody allows transactions to cost, and what stands where nobody chose. Pure.

use alloy::primitives::U256;

use super::networks::{BASE, DEVELOPMENT_CHAIN, ETHEREUM};

/// Test networks of Ethereum: Sepolia, Holesky, Hoodi.
const TEST_ETHEREUM: [u64; 3] = [11_155_111, 17_000, 560_048];
/// Base Sepolia.
const TEST_BASE: u64 = 84_532;
/// Limit on Ethereum, wei: 0.05 of its coin, several upgrades by a Safe at 100 gwei.
const LIMIT: u64 = 50_000_000_000_000_000;
/// Limit on Base, wei: 0.005 of its coin, where an upgrade costs a thousandth of that.
const LIMIT_ON_BASE: u64 = 5_000_000_000_000_000;

/// Limits on what transactions may cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeePolicy {
    /// Highest `maxFeePerGas`, wei; without one: a multiple of the recent median.
    pub ceiling: Option<u128>,
    /// The most that all transactions of one intent may cost together, wei; without one: what suits the chain.
    pub most: Option<U256>,
}

impl FeePolicy {
    /// The most that all transactions of one intent may cost together, wei; none on a chain for which nobody chose.
    pub fn limit(&self, chain_id: u64) -> Option<U256> {
        self.most.or(match chain_id {
            ETHEREUM | DEVELOPMENT_CHAIN => Some(U256::from(LIMIT)),
            id if TEST_ETHEREUM.contains(&id) => Some(U256::from(LIMIT)),
            BASE | TEST_BASE => Some(U256::from(LIMIT_ON_BASE)),
            _ => None,
        })
    }
}

/// Whether a chain settles on another one, and takes a fee for the data there that no transaction limits.
pub const fn has_data_fee(chain_id: u64) -> bool {
    matches!(chain_id, BASE | TEST_BASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_stands_where_upgrades_are_known_to_happen_and_nowhere_else() {
        let limit = |chain| FeePolicy::default().limit(chain).map(|wei| wei.to_string());
        for chain in [1, 11_155_111, 17_000, 560_048, 31_337] {
            assert_eq!(limit(chain).as_deref(), Some("50000000000000000"), "{chain}");
        }
        for chain in [8453, 84_532] {
            assert_eq!(limit(chain).as_deref(), Some("5000000000000000"), "{chain}");
        }
        assert_eq!(limit(10), None);
    }
}
