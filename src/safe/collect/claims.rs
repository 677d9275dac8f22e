//! A signature that somebody offers, and what its file says about it.

use alloy::primitives::{Address, B256, U256};

use crate::safe::signature::OwnerSignature;
use crate::safe::tx::SafeTxFields;

/// A signature that somebody offers, and what its file says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The signature.
    pub signature: OwnerSignature,
    /// What the file says.
    pub claims: Claims,
    /// Which kind of file it was.
    pub source: &'static str,
}

/// What a file says about a signature. Compared, never trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    /// The hash that was signed.
    pub safe_tx_hash: Option<B256>,
    /// Chain id.
    pub chain_id: Option<u64>,
    /// The Safe.
    pub safe: Option<Address>,
    /// Nonce of the Safe.
    pub nonce: Option<U256>,
    /// Whose signature it is.
    pub owner: Option<Address>,
    /// The whole transaction.
    pub fields: Option<Box<SafeTxFields>>,
}
