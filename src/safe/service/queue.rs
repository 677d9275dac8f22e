//! Which nonce a new transaction of a Safe takes, given what waits already. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{B256, U256};

use super::record::ServiceTx;

/// Where a new transaction goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextNonce {
    /// The first nonce, from the chain's on, that no signed proposal holds.
    pub nonce: U256,
    /// Proposals with that very nonce that nobody who counts has signed: they do not hold it, but whoever signs them
    /// makes them competitors.
    pub competitors: Vec<B256>,
    /// Nonces after [`Self::nonce`] that nobody holds although somebody holds a later one: what waits behind a gap
    /// waits for ever unless it is filled.
    pub gaps: Vec<Gap>,
}

/// Nonces that nobody holds, the last one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first.
    pub first: U256,
    /// The last.
    pub last: U256,
}

/// The first free nonce in the contiguous queue: counted up from the chain's nonce, never down from the highest one
/// proposed, which anybody can make absurd. Only proposals that [`ServiceTx::holds_its_nonce`] count; what the service
/// says about execution does not.
pub fn next_nonce(chain_nonce: U256, pending: &[ServiceTx]) -> NextNonce {
    let held = pending.iter().filter(|tx| tx.holds_its_nonce());
    let held: BTreeSet<U256> = held
        .map(|tx| tx.fields.nonce)
        .filter(|nonce| *nonce >= chain_nonce)
        .collect();
    let mut nonce = chain_nonce;
    while held.contains(&nonce) {
        nonce = nonce.saturating_add(U256::ONE);
    }
    let mut gaps = Vec::new();
    let mut free = nonce;
    for taken in held.range(nonce..) {
        if *taken > free {
            gaps.push(Gap {
                first: free,
                last: taken.saturating_sub(U256::ONE),
            });
        }
        free = taken.saturating_add(U256::ONE);
    }
    NextNonce {
        nonce,
        competitors: at_nonce(nonce, pending),
        gaps,
    }
}

/// Hashes of all proposals with `nonce`, signed or not, as the service names them; each once.
pub fn at_nonce(nonce: U256, pending: &[ServiceTx]) -> Vec<B256> {
    let there = pending.iter().filter(|tx| tx.fields.nonce == nonce);
    let hashes: BTreeSet<B256> = there.map(|tx| tx.claimed_hash).collect();
    hashes.into_iter().collect()
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
