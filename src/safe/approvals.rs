//! The owners' agreement to one hash: collected from anywhere, judged against a chain, packed for `execTransaction`.
//!
//! A set belongs to one hash. What only a chain can say (who owns the Safe now, which hashes are approved, what a
//! contract answers to ERC-1271) is given as [`Facts`]. Pure.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};

use super::signature::{ENTRY, OwnerSignature, SignatureError, extend_dynamic};
use super::tx::SafeTx;

/// What a chain says about the owners of a Safe and one hash, at one block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `getOwners()`.
    pub owners: BTreeSet<Address>,
    /// `getThreshold()`.
    pub threshold: u64,
    /// Owners whose `approvedHashes(owner, hash)` is not zero.
    pub approved: BTreeSet<Address>,
    /// What contract owners took for their signature of the hash.
    pub confirmed: BTreeSet<(Address, Bytes)>,
    /// Who sends the transaction, if that is known: an owner's own transaction needs nothing else from them.
    pub executor: Option<Address>,
}

/// Signatures for one hash, in the order in which a Safe wants them: by owner, as numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureSet {
    hash: B256,
    by_owner: BTreeMap<Address, OwnerSignature>,
}

/// What became of a signature that was put into a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// The first of this owner.
    New(Address),
    /// The very same was there.
    Same(Address),
    /// The owner had agreed already; the earlier signature was kept.
    Kept(Address),
    /// The owner had agreed in a way that only a chain can check; this one proves itself and took its place.
    Replaced(Address),
    /// Only a chain can check either. The later one took the earlier one's place, so that what somebody else put here keeps
    /// no owner out.
    Superseded(Address),
}

impl Inserted {
    /// Whose it is.
    pub const fn owner(self) -> Address {
        match self {
            Self::New(owner)
            | Self::Same(owner)
            | Self::Kept(owner)
            | Self::Replaced(owner)
            | Self::Superseded(owner) => owner,
        }
    }
}

/// Why an owner's signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// No owner, or no longer.
    NotAnOwner,
    /// A contract's signature that the contract has not confirmed.
    Unconfirmed,
    /// An approval that is not on chain, by somebody who is not the sender.
    NotApproved,
}

/// Where a set stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Owners whose agreement counts, the executor and approvals on chain included.
    pub counted: BTreeSet<Address>,
    /// Signatures that do not count.
    pub doubtful: BTreeMap<Address, Doubt>,
    /// Owners who have not agreed, or not so that it counts.
    pub missing: BTreeSet<Address>,
    /// How many are needed.
    pub threshold: u64,
}

/// Exactly as many signatures as the Safe asks for, each of which counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The argument of `execTransaction`.
    pub bytes: Bytes,
    /// Whose they are.
    pub owners: Vec<Address>,
}

/// Not enough signatures count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{counted} of the {threshold} signatures that the Safe asks for count", counted = .0.counted.len(), threshold = .0.threshold)]
pub struct TooFew(pub Box<Standing>);

impl SignatureSet {
    /// An empty set for the hash of `tx`. Another transaction needs another set: its signatures do not carry over.
    pub const fn new(tx: &SafeTx) -> Self {
        Self {
            hash: tx.hash(),
            by_owner: BTreeMap::new(),
        }
    }
    /// The hash that is signed.
    pub const fn hash(&self) -> B256 {
        self.hash
    }
    /// The signatures, by owner.
    pub const fn by_owner(&self) -> &BTreeMap<Address, OwnerSignature> {
        &self.by_owner
    }
    /// Owners whose signatures prove themselves: the others say something that only a chain can confirm.
    pub fn proven(&self) -> impl Iterator<Item = Address> {
        let proven = self.by_owner.iter().filter(|(_, signature)| signature.proves_itself());
        proven.map(|(owner, _)| *owner)
    }
    /// Owners of whom there is something that only a chain can confirm.
    pub fn unproven(&self) -> impl Iterator<Item = Address> {
        let unproven = self.by_owner.iter().filter(|(_, signature)| !signature.proves_itself());
        unproven.map(|(owner, _)| *owner)
    }
    /// Keeps `signature` if one of `owners` made it for this hash. 65 bytes that are no owner's signature of the hash
    /// itself are tried as one of the hash as a message. One signature is kept for each owner: the first that proves
    /// itself, with the lower s ([`OwnerSignature::normalised`]), else a contract's that came last.
    ///
    /// # Errors
    /// It recovers to nobody, or to somebody who is no owner.
    pub fn insert(
        &mut self,
        signature: OwnerSignature,
        owners: &BTreeSet<Address>,
    ) -> Result<Inserted, SignatureError> {
        let (owner, signature) = self.attribute(signature, owners)?;
        let Some(earlier) = self.by_owner.get_mut(&owner) else {
            self.by_owner.insert(owner, signature);
            return Ok(Inserted::New(owner));
        };
        if *earlier == signature {
            Ok(Inserted::Same(owner))
        } else if signature.proves_itself() && !earlier.proves_itself() {
            *earlier = signature;
            Ok(Inserted::Replaced(owner))
        } else if matches!(signature, OwnerSignature::Contract { .. }) && !earlier.proves_itself() {
            *earlier = signature;
            Ok(Inserted::Superseded(owner))
        } else {
            Ok(Inserted::Kept(owner))
        }
    }
    /// Leaves out what the chain does not confirm.
    pub fn confirmed(mut self, facts: &Facts) -> Self {
        self.by_owner
            .retain(|owner, signature| doubt(*owner, signature, facts).is_none());
        self
    }
    /// Whose agreement counts, given what the chain says.
    pub fn standing(&self, facts: &Facts) -> Standing {
        let counts = |owner: &&Address| self.countable(**owner, facts).is_some();
        let counted: BTreeSet<Address> = facts.owners.iter().filter(counts).copied().collect();
        let doubtful = self.by_owner.iter();
        let doubtful = doubtful.filter_map(|(owner, signature)| Some((*owner, doubt(*owner, signature, facts)?)));
        Standing {
            doubtful: doubtful.collect(),
            missing: facts.owners.difference(&counted).copied().collect(),
            counted,
            threshold: facts.threshold,
        }
    }
    /// Packs exactly as many signatures as the Safe asks for, only such as count: those that prove themselves first,
    /// then approvals on chain, contracts, and the sender's own word last.
    ///
    /// # Errors
    /// Fewer count than the threshold.
    pub fn pack(&self, facts: &Facts) -> Result<Packed, TooFew> {
        let countable = facts.owners.iter();
        let mut countable: Vec<(u8, Address, OwnerSignature)> = countable
            .filter_map(|owner| self.countable(*owner, facts).map(|(rank, one)| (rank, *owner, one)))
            .collect();
        let needed = usize::try_from(facts.threshold).unwrap_or(usize::MAX);
        if needed == 0 || countable.len() < needed {
            return Err(TooFew(Box::new(self.standing(facts))));
        }
        countable.sort_by_key(|(rank, owner, _)| (*rank, *owner));
        countable.truncate(needed);
        let chosen = countable.into_iter().map(|(_, owner, one)| (owner, one)).collect();
        Ok(Packed {
            bytes: pack(&chosen),
            owners: chosen.into_keys().collect(),
        })
    }

    /// All of them, packed as a Safe takes them.
    pub fn packed(&self) -> Bytes {
        pack(&self.by_owner)
    }

    /// Whose signature it is, read as one of the hash or of the hash as a message.
    pub(super) fn attribute(
        &self,
        signature: OwnerSignature,
        owners: &BTreeSet<Address>,
    ) -> Result<(Address, OwnerSignature), SignatureError> {
        let signature = signature.normalised();
        let signer = signature.signer(self.hash)?;
        if owners.contains(&signer) {
            return Ok((signer, signature));
        }
        if let OwnerSignature::Eip712(inner) = signature {
            let as_message = OwnerSignature::EthSign(inner);
            let other = as_message.signer(self.hash).ok().filter(|other| owners.contains(other));
            if let Some(owner) = other {
                return Ok((owner, as_message));
            }
        }
        Err(SignatureError::NotAnOwner { signer })
    }
    /// The signature to use for `owner`, and how gladly: lower is better.
    fn countable(&self, owner: Address, facts: &Facts) -> Option<(u8, OwnerSignature)> {
        let own = self.by_owner.get(&owner);
        if let Some(signature) = own.filter(|signature| signature.proves_itself()) {
            let rank = u8::from(matches!(signature, OwnerSignature::EthSign(_)));
            return Some((rank, signature.clone()));
        }
        if facts.approved.contains(&owner) {
            return Some((2, OwnerSignature::Approved { owner }));
        }
        if let Some(contract) = own.filter(|signature| doubt(owner, signature, facts).is_none()) {
            return Some((3, contract.clone()));
        }
        (facts.executor == Some(owner)).then_some((4, OwnerSignature::Approved { owner }))
    }
}

/// Why `signature`, whose signer is known, does not count.
fn doubt(owner: Address, signature: &OwnerSignature, facts: &Facts) -> Option<Doubt> {
    if !facts.owners.contains(&owner) {
        return Some(Doubt::NotAnOwner);
    }
    match signature {
        OwnerSignature::Eip712(_) | OwnerSignature::EthSign(_) => None,
        OwnerSignature::Contract { data, .. } => {
            let confirmed = facts.confirmed.contains(&(owner, data.clone()));
            (!confirmed).then_some(Doubt::Unconfirmed)
        }
        OwnerSignature::Approved { .. } => {
            let approved = facts.approved.contains(&owner) || facts.executor == Some(owner);
            (!approved).then_some(Doubt::NotApproved)
        }
    }
}

/// Packed signatures that say of each of `owners` that they approved on chain. For simulations that override the
/// approvals; see [`approved_hash_slot`](super::info::approved_hash_slot).
pub fn prevalidated(owners: &BTreeSet<Address>) -> Bytes {
    let all = owners.iter();
    pack(&all.map(|&owner| (owner, OwnerSignature::Approved { owner })).collect())
}

/// Entries in the order of the owners, then the contracts' data; every offset is computed here.
fn pack(chosen: &BTreeMap<Address, OwnerSignature>) -> Bytes {
    let statics = chosen.len() * ENTRY;
    let (mut entries, mut tail) = (Vec::with_capacity(statics), Vec::new());
    for signature in chosen.values() {
        let offset = B256::from(U256::from(statics + tail.len()));
        entries.extend_from_slice(&signature.entry(offset));
        if let OwnerSignature::Contract { data, .. } = signature {
            extend_dynamic(&mut tail, data);
        }
    }
    entries.append(&mut tail);
    entries.into()
}

#[cfg(test)]
#[path = "approvals_tests.rs"]
mod tests;
