//! What a Safe's own `checkSignatures` says about packed signatures, without asking it: the same checks in the same
//! order, with the same codes. Lenient where the Safe is; reading for ourselves is [`OwnerSignature`]'s business.
//!
//! [`OwnerSignature`]: super::OwnerSignature

use alloy::primitives::{Address, B256, Bytes, Signature, U256, eip191_hash_message};

use super::approvals::Facts;
use super::signature::{ENTRY, Entry};

/// Why a Safe refuses packed signatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The Safe was never set up.
    #[error("the Safe has no threshold")]
    NoThreshold,
    /// Fewer entries than the threshold.
    #[error("{found} bytes are fewer than {threshold} signatures")]
    TooShort {
        /// Bytes.
        found: usize,
        /// Signatures that are needed.
        threshold: u64,
    },
    /// A contract's data would begin among the entries.
    #[error("signature {index} points into the entries")]
    InsideEntries {
        /// Position, from zero.
        index: usize,
    },
    /// A contract's data would begin after the end.
    #[error("signature {index} points beyond the end")]
    OutOfBounds {
        /// Position, from zero.
        index: usize,
    },
    /// A contract's data would end after the end.
    #[error("the data of signature {index} runs past the end")]
    PastTheEnd {
        /// Position, from zero.
        index: usize,
    },
    /// The contract did not confirm its signature.
    #[error("{owner} did not confirm signature {index}")]
    Unconfirmed {
        /// Position, from zero.
        index: usize,
        /// The contract.
        owner: Address,
    },
    /// The hash is not approved.
    #[error("{owner} did not approve the hash and is not the sender (signature {index})")]
    NotApproved {
        /// Position, from zero.
        index: usize,
        /// Who should have.
        owner: Address,
    },
    /// Somebody else's signature, or one of another hash.
    #[error("signature {index} is that of no owner")]
    NotAnOwner {
        /// Position, from zero.
        index: usize,
        /// Whom it recovers to.
        signer: Option<Address>,
    },
    /// Not in ascending order of the owners' addresses, or the same owner twice.
    #[error("signature {index} is not in ascending order of the owners")]
    NotAscending {
        /// Position, from zero.
        index: usize,
        /// Whose it is.
        owner: Address,
    },
}

impl Refusal {
    /// The code with which the Safe reverts. (A contract owner may revert with words of its own instead of GS024.)
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoThreshold => "GS001",
            Self::TooShort { .. } => "GS020",
            Self::InsideEntries { .. } => "GS021",
            Self::OutOfBounds { .. } => "GS022",
            Self::PastTheEnd { .. } => "GS023",
            Self::Unconfirmed { .. } => "GS024",
            Self::NotApproved { .. } => "GS025",
            Self::NotAnOwner { .. } | Self::NotAscending { .. } => "GS026",
        }
    }
}

/// The owners whose signatures a Safe would count in `bytes` for `hash`; `facts` is what its chain says, the executor
/// being whoever sends the transaction. Entries after the first `threshold` are not looked at, as the Safe does not.
///
/// # Errors
/// See [`Refusal`].
pub fn check_signatures(bytes: &[u8], hash: B256, facts: &Facts) -> Result<Vec<Address>, Refusal> {
    if facts.threshold == 0 {
        return Err(Refusal::NoThreshold);
    }
    let needed = usize::try_from(facts.threshold)
        .ok()
        .and_then(|count| count.checked_mul(ENTRY));
    let Some(statics) = needed.filter(|needed| bytes.len() >= *needed) else {
        return Err(Refusal::TooShort {
            found: bytes.len(),
            threshold: facts.threshold,
        });
    };
    let (entries, _) = bytes.as_chunks::<ENTRY>();
    let mut owners: Vec<Address> = Vec::new();
    for (index, entry) in entries.iter().take(statics / ENTRY).enumerate() {
        let check = Check {
            bytes,
            hash,
            facts,
            statics,
            index,
        };
        let signer = check.signer(&Entry::read(entry))?;
        let owner = signer.filter(|signer| facts.owners.contains(signer));
        let Some(owner) = owner else {
            return Err(Refusal::NotAnOwner { index, signer });
        };
        if owners.last().is_some_and(|last| *last >= owner) {
            return Err(Refusal::NotAscending { index, owner });
        }
        owners.push(owner);
    }
    Ok(owners)
}

struct Check<'a> {
    bytes: &'a [u8],
    hash: B256,
    facts: &'a Facts,
    statics: usize,
    index: usize,
}

impl Check<'_> {
    fn signer(&self, entry: &Entry) -> Result<Option<Address>, Refusal> {
        match entry.v {
            0 => self.contract(entry).map(Some),
            1 => self.approval(entry).map(Some),
            v if v > 30 => Ok(ecrecover(eip191_hash_message(self.hash), v - 4, entry)),
            v => Ok(ecrecover(self.hash, v, entry)),
        }
    }
    fn contract(&self, entry: &Entry) -> Result<Address, Refusal> {
        let (owner, index) = (entry.low_address(), self.index);
        if entry.s < U256::from(self.statics) {
            return Err(Refusal::InsideEntries { index });
        }
        let start = usize::try_from(entry.s).ok().and_then(|start| self.bytes.get(start..));
        let Some((length, rest)) = start.and_then(<[u8]>::split_first_chunk::<32>) else {
            return Err(Refusal::OutOfBounds { index });
        };
        let length = usize::try_from(U256::from_be_bytes(*length)).ok();
        let Some(data) = length.and_then(|length| rest.get(..length)) else {
            return Err(Refusal::PastTheEnd { index });
        };
        let data = Bytes::copy_from_slice(data);
        if self.facts.confirmed.contains(&(owner, data)) {
            Ok(owner)
        } else {
            Err(Refusal::Unconfirmed { index, owner })
        }
    }
    fn approval(&self, entry: &Entry) -> Result<Address, Refusal> {
        let (owner, index) = (entry.low_address(), self.index);
        if self.facts.executor == Some(owner) || self.facts.approved.contains(&owner) {
            Ok(owner)
        } else {
            Err(Refusal::NotApproved { index, owner })
        }
    }
}

/// The precompile: no address for any v but 27 and 28, or for numbers out of range; both halves of s are fine.
fn ecrecover(hash: B256, v: u8, entry: &Entry) -> Option<Address> {
    let odd = match v {
        27 => false,
        28 => true,
        _ => return None,
    };
    let signature = Signature::new(entry.r, entry.s, odd);
    signature.recover_address_from_prehash(&hash).ok()
}
