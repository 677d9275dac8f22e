//! Which batch library a Safe can use on its chain.

use alloy::primitives::{Address, keccak256};

use super::deployments::{self, Deployment};
use super::info::SafeInfo;
use crate::chain::{Chain, ChainError, Question};

/// The MultiSendCallOnly library for this Safe: the first of those that belong to its version and build whose code
/// stands on the chain as the Safe team deployed it. `None`: there is none, so the Safe makes one call at a time.
///
/// # Errors
/// The chain did not answer.
pub async fn batcher_on(chain: &Chain, safe: &SafeInfo) -> Result<Option<Address>, ChainError> {
    let candidates = deployments::batchers(safe.version, safe.build());
    let questions: Vec<Question> = candidates.iter().map(|known| Question::code(known.address)).collect();
    let mut reading = chain.read(&safe.block, &questions).await?;
    let stands = |known: &&&Deployment| keccak256(reading.next().bytes()) == known.code_hash;
    Ok(candidates.iter().find(stands).map(|known| known.address))
}
