//! What a signature that does not fit was made for instead: the usual mistakes, tried one after the other. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Signature, U256, eip191_hash_message, keccak256};

use super::signature::OwnerSignature;
use super::tx::{SafeDomain, SafeTx, SafeTxFields};
use super::version::SafeVersion;

/// Nonces that are tried on either side.
const NONCES: u64 = 32;
/// Chains that are tried: where apps and their rehearsals are.
const CHAINS: [u64; 9] = [1, 10, 137, 8453, 31337, 42161, 84532, 11_155_111, 11_155_420];

/// What an owner signed instead of the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// This transaction with another nonce.
    #[error("{signer} signed it for nonce {nonce}")]
    Nonce {
        /// Owner.
        signer: Address,
        /// That nonce.
        nonce: U256,
    },
    /// This transaction on another chain.
    #[error("{signer} signed it for chain {chain_id}")]
    Chain {
        /// Owner.
        signer: Address,
        /// That chain.
        chain_id: u64,
    },
    /// This transaction as another version of the Safe hashes it.
    #[error("{signer} signed it as a Safe of version {version} hashes it")]
    Version {
        /// Owner.
        signer: Address,
        /// The newest version that hashes so.
        version: SafeVersion,
    },
    /// The hash itself, under the mark of a message.
    #[error(
        "{signer} signed the hash itself, but v is {marked}, the mark of a message (eth_sign): with {right} in its place \
         it counts"
    )]
    Mark {
        /// Owner.
        signer: Address,
        /// v as it is.
        marked: u8,
        /// v as it has to be.
        right: u8,
    },
    /// The hash as a text of hexadecimal digits.
    #[error("{signer} signed the text of the hash, not the hash")]
    Text {
        /// Owner.
        signer: Address,
    },
    /// The message hash alone, without the domain.
    #[error("{signer} signed the message hash, not the safeTxHash")]
    MessageHash {
        /// Owner.
        signer: Address,
    },
    /// The 66 bytes that are hashed, as a message.
    #[error("{signer} signed the bytes before hashing as a message")]
    Preimage {
        /// Owner.
        signer: Address,
    },
    /// The hash hashed once more.
    #[error("{signer} signed the keccak256 of the hash")]
    HashedTwice {
        /// Owner.
        signer: Address,
    },
}

/// What one of `owners` signed, if it was not `tx`. A guess that is never wrong: the owner did sign what it says.
pub fn mismatch(tx: &SafeTx, signature: &Signature, owners: &BTreeSet<Address>) -> Option<Mismatch> {
    let by = |digest: B256| {
        let signer = signature.recover_address_from_prehash(&digest).ok();
        signer.filter(|signer| owners.contains(signer))
    };
    let either = |hash: B256| by(hash).or_else(|| by(eip191_hash_message(hash)));
    let hash_of = |domain: &SafeDomain| tx.fields().hash(domain);
    let (domain, fields) = (*tx.domain(), tx.fields());

    let nonces = nearby(fields.nonce).filter_map(|nonce| {
        let other = SafeTxFields {
            nonce,
            ..fields.clone()
        };
        either(other.hash(&domain)).map(|signer| Mismatch::Nonce { signer, nonce })
    });
    let chains = CHAINS.into_iter().filter(|chain| *chain != domain.chain_id);
    let chains = chains.filter_map(|chain_id| {
        either(hash_of(&SafeDomain { chain_id, ..domain })).map(|signer| Mismatch::Chain { signer, chain_id })
    });
    let versions = [
        SafeVersion::new(0, 1, 0),
        SafeVersion::new(1, 2, 0),
        SafeVersion::V1_5_0,
    ];
    let versions = versions.into_iter().filter_map(|version| {
        let hash = hash_of(&SafeDomain { version, ..domain });
        let signer = (hash != tx.hash()).then(|| either(hash))??;
        Some(Mismatch::Version { signer, version })
    });
    let mistakes = || {
        let text = by(eip191_hash_message(tx.hash().to_string())).map(|signer| Mismatch::Text { signer });
        let message = || either(fields.message_hash(domain.version)).map(|signer| Mismatch::MessageHash { signer });
        let preimage = || by(eip191_hash_message(tx.preimage())).map(|signer| Mismatch::Preimage { signer });
        let twice = || either(keccak256(tx.hash())).map(|signer| Mismatch::HashedTwice { signer });
        text.or_else(message).or_else(preimage).or_else(twice)
    };
    nonces.chain(chains).chain(versions).next().or_else(mistakes)
}

/// Whether one of `owners` signed the very hash, and the signature is marked as one of a message.
pub fn mismarked(tx: &SafeTx, signature: &OwnerSignature, owners: &BTreeSet<Address>) -> Option<Mismatch> {
    let OwnerSignature::EthSign(inner) = signature else {
        return None;
    };
    let signer = inner.recover_address_from_prehash(&tx.hash()).ok();
    let signer = signer.filter(|signer| owners.contains(signer))?;
    let right = 27 + u8::from(inner.v());
    let marked = right + 4;
    Some(Mismatch::Mark { signer, marked, right })
}

/// The nonces around `nonce`, nearest first, without itself.
fn nearby(nonce: U256) -> impl Iterator<Item = U256> {
    (1..=NONCES)
        .map(U256::from)
        .flat_map(move |step| [nonce.checked_add(step), nonce.checked_sub(step)])
        .flatten()
}
