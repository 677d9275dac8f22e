//! Something that stands for signatures in a file, before they are read.

use alloy::primitives::{Address, Bytes, hex};

use super::claims::{Claims, Offer};
use super::error::{CollectError, wrong};
use crate::safe::signature::OwnerSignature;

/// Bytes of r, s and v.
const ONE: usize = 65;

/// Something that stands for one signature, or for several packed, as a file has it.
pub(super) struct Found {
    pub(super) bytes: Form,
    pub(super) claims: Claims,
    pub(super) source: &'static str,
}

/// How a file writes a signature.
pub(super) enum Form {
    /// As wallets and Safes write it, alone or packed.
    Bytes(Vec<u8>),
    /// Read already.
    Read(OwnerSignature),
}

impl Found {
    /// The signatures; `index` is the position in the file.
    pub(super) fn offers(self, index: usize) -> Result<Vec<Offer>, CollectError> {
        let signatures = match self.bytes {
            Form::Read(signature) => Ok(vec![signature]),
            // A wallet's own v of 0 and 1 can be told apart from a contract's or an approval's only where it stands alone.
            Form::Bytes(bytes) if bytes.len() == ONE => OwnerSignature::read(&bytes).map(|one| vec![one]),
            Form::Bytes(bytes) => OwnerSignature::read_packed(&bytes),
        };
        let signatures = signatures.map_err(|source| CollectError::Signature { index, source })?;
        if signatures.len() > 1 && self.claims.owner.is_some() {
            return Err(wrong("signature", "several signatures of one owner"));
        }
        let (claims, source) = (self.claims, self.source);
        let offer = |signature| Offer {
            signature,
            claims: claims.clone(),
            source,
        };
        Ok(signatures.into_iter().map(offer).collect())
    }
}

/// A signature of which the file says nothing else.
pub(super) const fn bare(bytes: Vec<u8>) -> Found {
    Found {
        bytes: Form::Bytes(bytes),
        claims: Claims {
            safe_tx_hash: None,
            chain_id: None,
            safe: None,
            nonce: None,
            owner: None,
            fields: None,
        },
        source: "hexadecimal",
    }
}

/// Whether so many bytes can be one signature of a key, or several packed.
pub(super) const fn is_whole(bytes: &[u8]) -> bool {
    bytes.len() >= ONE
}

/// Bytes in hexadecimal, with or without `0x` before them, and in the quotes of a shell.
pub(super) fn digits(text: &str) -> Option<Vec<u8>> {
    let quoted = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
    let text = quoted.unwrap_or(text);
    let text = text.strip_prefix("0x").unwrap_or(text);
    // The decoder takes a prefix off as well.
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| hex::decode(text).ok()).flatten()
}

/// A signature by a contract.
pub(super) fn contract(owner: Address, data: Vec<u8>) -> Form {
    Form::Read(OwnerSignature::Contract {
        owner,
        data: Bytes::from(data),
    })
}
