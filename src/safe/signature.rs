//! One owner's signature, read strictly: the five ways in which a Safe lets an owner agree. Pure.

use alloy::primitives::{Address, B256, Bytes, Signature, U256, eip191_hash_message, uint};

/// Bytes of an entry in the static part: r, s, v.
pub(super) const ENTRY: usize = 65;
/// Longest signature of one contract owner that is read.
const MAX_CONTRACT_SIGNATURE: usize = 16 * 1024;
/// More owners than any Safe that people sign for.
const MAX_ENTRIES: usize = 256;
/// Order of secp256k1 (SEC 2, 2.4.1).
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

/// How an owner agrees.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerSignature {
    /// A key signed the safeTxHash (EIP-712; v 27 or 28).
    Eip712(Signature),
    /// A key signed the safeTxHash as a message (`eth_sign`, `personal_sign`; v 31 or 32). Read, never made here.
    EthSign(Signature),
    /// A contract that answers ERC-1271 (v 0).
    Contract {
        /// The contract.
        owner: Address,
        /// What it takes for its signature.
        data: Bytes,
    },
    /// The owner approved the hash on chain, or sends the transaction (v 1).
    Approved {
        /// The owner who approved it, or sends the transaction.
        owner: Address,
    },
}

/// Why bytes are no signature, or not one that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Another length than any signature has.
    #[error(
        "{found} bytes are no signature{}",
        if *.found == 64 { ": of r and s alone, or compact (EIP-2098), it takes 65 with v" } else { "" }
    )]
    Length {
        /// How many.
        found: usize,
    },
    /// r or s is zero, or not below the curve's order.
    #[error("{which} of the signature is out of range")]
    OutOfRange {
        /// `r` or `s`.
        which: &'static str,
    },
    /// A kind of signature that no Safe up to 1.5.0 knows.
    #[error(
        "v of the signature is {v}, not 0, 1, 27, 28, 31 or 32{}",
        if *.v >= 35 { ": from 35 on it is that of a transaction (EIP-155), not of a hash" } else { "" }
    )]
    UnknownKind {
        /// v.
        v: u8,
    },
    /// The owner's address has bytes before it, or the entry of an approval says more than an address.
    #[error("the entry of a contract or an approval is malformed")]
    Malformed,
    /// A contract's signature is not where its entry says, or something else is between the parts.
    #[error("the signatures of contracts do not follow the entries without gap and overlap")]
    Layout,
    /// More than anybody would read.
    #[error("the signatures are too long")]
    TooLong,
    /// No key made it.
    #[error("the signature recovers to no address")]
    Unrecoverable,
    /// Whoever signed is no owner, or signed something else.
    #[error("the signature is that of {signer}, who is no owner of the Safe, or it is one of something else")]
    NotAnOwner {
        /// Whom it recovers to for this hash.
        signer: Address,
    },
}

impl OwnerSignature {
    /// Reads what one owner sent: 65 bytes, or a contract's signature as it stands alone (its data right after the one
    /// entry). A wallet's v of 0 or 1 is read as 27 or 28.
    ///
    /// Whether 65 bytes are a signature of the hash or of it as a message is for [`SignatureSet::insert`](super::approvals::SignatureSet::insert) to find out.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn read(bytes: &[u8]) -> Result<Self, SignatureError> {
        let Some((entry, tail)) = bytes.split_first_chunk::<ENTRY>() else {
            return Err(SignatureError::Length { found: bytes.len() });
        };
        let entry = Entry::read(entry);
        match entry.v {
            // An ECDSA s of 65 does not occur, and a contract's signature has a tail.
            0 if !tail.is_empty() => match Self::contract(&entry, bytes)? {
                (ENTRY, end, signature) if end == bytes.len() => Ok(signature),
                _ => Err(SignatureError::Layout),
            },
            1 if tail.is_empty() && entry.s.is_zero() => entry.approval(),
            0 | 1 if tail.is_empty() => entry.ecdsa(entry.v == 1).map(Self::Eip712),
            27 | 28 if tail.is_empty() => entry.ecdsa(entry.v == 28).map(Self::Eip712),
            31 | 32 if tail.is_empty() => entry.ecdsa(entry.v == 32).map(Self::EthSign),
            0 | 1 | 27 | 28 | 31 | 32 => Err(SignatureError::Length { found: bytes.len() }),
            v => Err(SignatureError::UnknownKind { v }),
        }
    }
    /// Reads several signatures packed as a Safe takes them: entries, then the contracts' data without gap or overlap.
    /// Here v 0 and 1 mean what they mean on chain.
    ///
    /// # Errors
    /// See [`SignatureError`].
    pub fn read_packed(bytes: &[u8]) -> Result<Vec<Self>, SignatureError> {
        let entries = entries(bytes)?;
        let mut parts = Vec::new();
        let all = entries.iter().map(|entry| Self::from_entry(entry, bytes, &mut parts));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        parts.sort_unstable();
        let mut end = entries.len() * ENTRY;
        for (start, after) in parts {
            if start != end {
                return Err(SignatureError::Layout);
            }
            end = after;
        }
        if end == bytes.len() {
            Ok(all)
        } else {
            Err(SignatureError::Layout)
        }
    }
    /// The bytes of this signature alone, as [`Self::read`] reads them, with the lower s.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Contract { owner, data } => {
                let mut bytes = entry(word(*owner), B256::from(U256::from(ENTRY)), 0).to_vec();
                extend_dynamic(&mut bytes, data);
                bytes.into()
            }
            other => other.entry(B256::ZERO).to_vec().into(),
        }
    }
    /// Who agrees, by this signature, to `hash`.
    ///
    /// # Errors
    /// Nobody's key makes such a signature.
    pub fn signer(&self, hash: B256) -> Result<Address, SignatureError> {
        let recover = |signature: &Signature, hash: B256| {
            let recovered = signature.recover_address_from_prehash(&hash).ok();
            recovered
                .filter(|signer| !signer.is_zero())
                .ok_or(SignatureError::Unrecoverable)
        };
        match self {
            Self::Eip712(signature) => recover(signature, hash),
            Self::EthSign(signature) => recover(signature, eip191_hash_message(hash)),
            Self::Contract { owner, .. } | Self::Approved { owner } => Ok(*owner),
        }
    }
    /// This signature with the lower of its two values of s (EIP-2), and the parity that belongs to it. A Safe takes
    /// both, and anybody can make one of the other: only this form is kept, packed and written.
    pub fn normalised(self) -> Self {
        match self {
            Self::Eip712(signature) => Self::Eip712(signature.normalized_s()),
            Self::EthSign(signature) => Self::EthSign(signature.normalized_s()),
            other => other,
        }
    }
    /// Whether it has the upper of the two values of s.
    pub fn has_upper_s(&self) -> bool {
        match self {
            Self::Eip712(signature) | Self::EthSign(signature) => signature.normalize_s().is_some(),
            Self::Contract { .. } | Self::Approved { .. } => false,
        }
    }
    /// Whether it can be checked without a chain.
    pub const fn proves_itself(&self) -> bool {
        matches!(self, Self::Eip712(_) | Self::EthSign(_))
    }

    fn from_entry(entry: &Entry, bytes: &[u8], parts: &mut Vec<(usize, usize)>) -> Result<Self, SignatureError> {
        match entry.v {
            0 => {
                let (start, end, signature) = Self::contract(entry, bytes)?;
                parts.push((start, end));
                Ok(signature)
            }
            1 => entry.approval(),
            27 | 28 => entry.ecdsa(entry.v == 28).map(Self::Eip712),
            31 | 32 => entry.ecdsa(entry.v == 32).map(Self::EthSign),
            v => Err(SignatureError::UnknownKind { v }),
        }
    }
    /// A contract's signature, and from where to where its data stands.
    fn contract(entry: &Entry, bytes: &[u8]) -> Result<(usize, usize, Self), SignatureError> {
        let owner = entry.owner()?;
        let start = usize::try_from(entry.s).unwrap_or(usize::MAX);
        let rest = bytes.get(start..).and_then(<[u8]>::split_first_chunk::<32>);
        let (length, rest) = rest.ok_or(SignatureError::Layout)?;
        let length = usize::try_from(U256::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_CONTRACT_SIGNATURE {
            return Err(SignatureError::TooLong);
        }
        let data = Bytes::copy_from_slice(rest.get(..length).ok_or(SignatureError::Layout)?);
        Ok((start, start + 32 + length, Self::Contract { owner, data }))
    }
    /// The entry in the static part; `offset` says where a contract's data is.
    pub(super) fn entry(&self, offset: B256) -> [u8; ENTRY] {
        let ecdsa = |signature: &Signature, v: u8| {
            let signature = signature.normalized_s();
            let (r, s) = (signature.r().into(), signature.s().into());
            entry(r, s, v + u8::from(signature.v()))
        };
        match self {
            Self::Eip712(signature) => ecdsa(signature, 27),
            Self::EthSign(signature) => ecdsa(signature, 31),
            Self::Contract { owner, .. } => entry(word(*owner), offset, 0),
            Self::Approved { owner } => entry(word(*owner), B256::ZERO, 1),
        }
    }
}

/// r, s and v of one entry, unchecked.
pub(super) struct Entry {
    pub(super) r: U256,
    pub(super) s: U256,
    pub(super) v: u8,
}

impl Entry {
    pub(super) fn read(bytes: &[u8; ENTRY]) -> Self {
        let (r, rest) = bytes.split_at(32);
        let (s, v) = rest.split_at(32);
        Self {
            r: U256::from_be_slice(r),
            s: U256::from_be_slice(s),
            v: v.first().copied().unwrap_or_default(),
        }
    }
    fn ecdsa(&self, odd: bool) -> Result<Signature, SignatureError> {
        for (which, scalar) in [("r", self.r), ("s", self.s)] {
            if scalar.is_zero() || scalar >= ORDER {
                return Err(SignatureError::OutOfRange { which });
            }
        }
        Ok(Signature::new(self.r, self.s, odd))
    }
    fn approval(&self) -> Result<OwnerSignature, SignatureError> {
        if !self.s.is_zero() {
            return Err(SignatureError::Malformed);
        }
        Ok(OwnerSignature::Approved { owner: self.owner()? })
    }
    /// The address in r. A Safe ignores what stands before it; nobody writes anything there.
    fn owner(&self) -> Result<Address, SignatureError> {
        let (above, owner): (U256, Address) = (self.r >> 160, self.low_address());
        if above.is_zero() && !owner.is_zero() {
            Ok(owner)
        } else {
            Err(SignatureError::Malformed)
        }
    }
    /// The address in r as a Safe reads it.
    pub(super) fn low_address(&self) -> Address {
        Address::from_word(B256::from(self.r))
    }
}

/// The entries of packed signatures: they end where the first contract's data begins.
fn entries(bytes: &[u8]) -> Result<Vec<Entry>, SignatureError> {
    let mut found: Vec<Entry> = Vec::new();
    let mut end = bytes.len();
    while found.len() * ENTRY < end {
        let rest = bytes.get(found.len() * ENTRY..end);
        let Some((entry, _)) = rest.and_then(<[u8]>::split_first_chunk::<ENTRY>) else {
            return Err(SignatureError::Length { found: bytes.len() });
        };
        let entry = Entry::read(entry);
        if entry.v == 0 {
            end = end.min(usize::try_from(entry.s).unwrap_or(usize::MAX));
        }
        found.push(entry);
        if found.len() > MAX_ENTRIES {
            return Err(SignatureError::TooLong);
        }
    }
    if found.is_empty() || found.len() * ENTRY != end {
        return Err(SignatureError::Length { found: bytes.len() });
    }
    Ok(found)
}

pub(super) fn extend_dynamic(bytes: &mut Vec<u8>, data: &Bytes) {
    bytes.extend_from_slice(&U256::from(data.len()).to_be_bytes::<32>());
    bytes.extend_from_slice(data);
}

fn entry(r: B256, s: B256, v: u8) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let (head, tail) = entry.split_at_mut(32);
    head.copy_from_slice(r.as_slice());
    let (middle, last) = tail.split_at_mut(32);
    middle.copy_from_slice(s.as_slice());
    last.fill(v);
    entry
}

fn word(owner: Address) -> B256 {
    owner.into_word()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
