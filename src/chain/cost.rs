//! What all transactions of one intent may cost together. Pure.
//!
//! Fees and gas are what endpoints say, and one that lies must not empty a key. So whatever they say, the highest that was
//! signed for each nonce counts, raised fees and new nonces with it, until the sum reaches a limit.

use std::collections::BTreeMap;

use alloy::primitives::{Address, U256};

use super::fee_policy::FeePolicy;
use super::tx::{TxError, TxRequest};

/// The most that signed transactions of one intent can cost, by sender and nonce.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spending(BTreeMap<(Address, u64), U256>);

impl Spending {
    /// Counts a transaction that was signed. Of one nonce at most one is mined.
    pub fn count(&mut self, request: &TxRequest) {
        let most = self.0.entry((request.from, request.nonce)).or_default();
        *most = request.most().max(*most);
    }

    /// Whether nothing was signed so far.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The most that all of it can cost once this is signed as well, wei, with `data_fee` for what is no field of it.
    ///
    /// # Errors
    /// That is more than the limit.
    pub fn admit(&self, request: &TxRequest, data_fee: U256, policy: &FeePolicy) -> Result<U256, TxError> {
        let mut all = self.clone();
        all.count(request);
        let sum = |sum: U256, most: &U256| sum.saturating_add(*most);
        let needed = all.0.values().fold(data_fee, sum);
        match policy.limit(request.chain_id) {
            Some(limit) if needed > limit => Err(TxError::CostLimit { needed, limit }),
            _ => Ok(needed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Call;
    use crate::chain::networks::ETHEREUM;

    fn request(nonce: u64, fee: u128) -> TxRequest {
        TxRequest {
            chain_id: ETHEREUM,
            from: Address::repeat_byte(1),
            nonce,
            call: Call::add_compose_hash(Address::repeat_byte(2), alloy::primitives::B256::ZERO),
            gas_limit: 1_000_000,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: 0,
        }
    }

    #[test]
    fn raised_fees_take_the_place_of_the_lower_ones_and_new_nonces_add_to_them() {
        const COIN: u128 = 1_000_000_000_000_000_000;
        // A million gas at 20 gwei: 0.02 of the coin.
        let fee = 20_000_000_000;
        let mut spending = Spending::default();
        let policy = FeePolicy::default();
        let admit = |spending: &Spending, nonce, fee| spending.admit(&request(nonce, fee), U256::ZERO, &policy);
        spending.count(&request(7, fee));
        assert_eq!(admit(&spending, 7, 2 * fee).unwrap(), U256::from(COIN / 25));
        spending.count(&request(7, 2 * fee));
        spending.count(&request(7, fee));
        assert_eq!(admit(&spending, 8, fee / 2).unwrap(), U256::from(COIN / 20));
        let error = admit(&spending, 8, fee / 2 + 1).unwrap_err();
        assert!(
            matches!(error, TxError::CostLimit { limit, .. } if limit == U256::from(COIN / 20)),
            "{error}"
        );
        let data = spending.admit(&request(8, fee / 2), U256::from(1), &policy);
        assert!(data.is_err(), "what the data costs is part of it");
        let raised = FeePolicy {
            most: Some(U256::from(COIN)),
            ..policy
        };
        assert!(spending.admit(&request(8, fee), U256::from(1), &raised).is_ok());
    }
}
