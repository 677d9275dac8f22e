//! Signatures as they are read back from devices, services and wallets, and the hash that they have to be of.

use alloy::primitives::{Address, B256, Signature, U256};

use super::error::SignerError;
use crate::safe::{OwnerSignature, SafeTx, SignatureError};

/// The safeTxHash, computed anew from the fields.
pub(super) fn safe_tx_hash(tx: &SafeTx) -> B256 {
    tx.fields().hash(tx.domain())
}

/// The signature with low s and that parity with which it is one by `expected`: hardware, services and wallets give s of
/// either half, and a parity that depends on their version or none at all.
pub(super) fn complete(r: U256, s: U256, digest: B256, expected: Address) -> Result<Signature, SignerError> {
    let mut found = Err(SignatureError::Unrecoverable);
    for odd in [false, true] {
        let signature = Signature::new(r, s, odd).normalized_s();
        // Range and half are checked as for a stranger's signature.
        let read = OwnerSignature::read(&signature.as_bytes()).map_err(SignerError::NoSignature)?;
        match read.signer(digest) {
            Ok(signer) if signer == expected => return Ok(signature),
            signer => found = found.or(signer),
        }
    }
    let found = found.map_err(SignerError::NoSignature)?;
    Err(SignerError::WrongSignature { found, expected })
}
