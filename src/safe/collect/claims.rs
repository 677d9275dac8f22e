//! A signature that somebody offers, and what its file says about it.

use alloy::primitives::{Address, B256, U256};

use super::error::{CollectError, Contradiction};
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

/// Refuses offers of one file that name two owners or two transactions of one signature, or two signatures of one owner of
/// the same thing: a tool that writes what owners made writes neither. The two forms of s are one signature, and what a
/// file says nothing of contradicts nothing.
pub(super) fn agree(offers: &[Offer]) -> Result<(), CollectError> {
    let mut earlier: Vec<(OwnerSignature, &Claims)> = Vec::new();
    for Offer { signature, claims, .. } in offers {
        let signature = signature.clone().normalised();
        let contradiction = earlier.iter().find_map(|(other, of)| match *other == signature {
            true => of.contradicted_by(claims),
            false if *of == claims => claims.owner.map(|owner| Contradiction::TwoSignatures { owner }),
            false => None,
        });
        if let Some(contradiction) = contradiction {
            return Err(CollectError::Contradiction(contradiction));
        }
        earlier.push((signature, claims));
    }
    Ok(())
}

impl Claims {
    /// What these claims and `later` ones about the same signature say that cannot both be so.
    fn contradicted_by(&self, later: &Self) -> Option<Contradiction> {
        let owners = self.owner.zip(later.owner).filter(|(one, other)| one != other);
        let hashes = self.safe_tx_hash.zip(later.safe_tx_hash);
        let hashes = hashes.filter(|(one, other)| one != other);
        owners
            .map(|(one, other)| Contradiction::TwoOwners { one, other })
            .or_else(|| hashes.map(|(one, other)| Contradiction::TwoTransactions { one, other }))
    }
}
