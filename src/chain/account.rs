//! What is known of any address: what stands there, and whether it was ever used.

use alloy::primitives::{Address, U64, U256};
use serde_json::json;

use super::app::OwnerKind;
use super::read::Question;
use super::rpc::Ask;
use super::{BlockRef, Chain, ChainError};

impl Chain {
    /// What stands at an address after `block`. One round trip.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn kind_of(&self, address: Address, block: &BlockRef) -> Result<OwnerKind, ChainError> {
        let mut reading = self.read(block, &[Question::code(address)]).await?;
        Ok(OwnerKind::of(address, &reading.next().bytes()))
    }

    /// Whether an address ever sent a transaction or holds ether, at the height of `block`, by any endpoint. One round
    /// trip.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn was_seen(&self, address: Address, block: &BlockRef) -> Result<bool, ChainError> {
        let height = U64::from(block.number);
        let asks = [
            Ask::new("eth_getTransactionCount", json!([address, height])),
            Ask::new("eth_getBalance", json!([address, height])),
        ];
        let found = self.gather(|node| {
            let asks = asks.clone();
            async move {
                let mut replies = node.ask(&asks).await?;
                Ok((replies.number()?, replies.take::<U256>()?))
            }
        });
        let found = found.await?;
        Ok(found
            .iter()
            .any(|(_, (nonce, balance))| *nonce > 0 || !balance.is_zero()))
    }
}
