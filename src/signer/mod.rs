//! Keys, seen only as "can sign this for that address".
//!
//! No key, password or seed ever leaves this room; every buffer that held one is wiped. There is no `sign_hash`.
//!
//! ```
//! use countersign::signer::Source;
//!
//! let source: Source = "ledger:2".parse()?;
//! assert_eq!(source.to_string(), "ledger:m/44'/60'/2'/0/0");
//! // A key is never an argument, and what looks like one is not repeated.
//! assert!("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d".parse::<Source>().is_err());
//! # Ok::<(), countersign::signer::SignerError>(())
//! ```

mod ask;
#[cfg(feature = "aws-kms")]
mod aws_kms;
mod consent;
mod error;
#[cfg(feature = "ledger")]
mod hid;
mod key;
#[cfg(feature = "keystore")]
mod keystore;
#[cfg(feature = "ledger")]
mod ledger;
mod record;
mod recovered;
mod source;
#[cfg(feature = "keystore")]
mod unlock;

use alloy::consensus::{SignableTransaction as _, TxEip1559};
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::primitives::{Address, B256, Signature, TxKind};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;

use crate::chain::{SignedTx, TxRequest};
use crate::fsutil::point;
use crate::safe::service::Notice;
use crate::safe::{OwnerSignature, SafeTx};

pub use ask::{Ask, Unlock};
pub use consent::{Consent, Decision, Fact, Name, digest_facts};
pub use error::{AskError, EarlierConsent, KmsError, LedgerError, RecordError, SignerError};
pub use record::{ConsentBy, SafeConsent, SigningRecord};
pub use source::{DerivationPath, Source};

use recovered::safe_tx_hash;

/// A key that is ready.
pub struct Signer {
    address: Address,
    key: Key,
}

/// How the key is reached.
enum Key {
    /// In this process.
    Local(PrivateKeySigner),
    /// On a device.
    #[cfg(feature = "ledger")]
    Ledger(ledger::Ledger),
    /// At AWS.
    #[cfg(feature = "aws-kms")]
    Aws(aws_kms::Kms),
}

impl Signer {
    /// Opens a key: reads files, asks for what is missing. A password is asked for three times.
    ///
    /// # Errors
    /// See [`SignerError`].
    pub async fn open(source: &Source, unlock: &Unlock, ask: &dyn Ask) -> Result<Self, SignerError> {
        source.check_built()?;
        let key = match source {
            #[cfg(feature = "ledger")]
            Source::Ledger(path) => Key::Ledger(ledger::Ledger::open(path).await?),
            #[cfg(feature = "aws-kms")]
            Source::Aws(id) => Key::Aws(aws_kms::Kms::open(id).await?),
            local => Key::Local(key::open(local, unlock, ask)?),
        };
        let address = key.address();
        if matches!(source, Source::Ledger(_)) {
            ask.tell(&format!(
                "{address} on the Ledger signs: compare what its screen shows before you confirm it there"
            ));
        }
        Ok(Self { address, key })
    }
    /// The address it signs for.
    pub const fn address(&self) -> Address {
        self.address
    }
    /// Signs a transaction (EIP-1559) and recovers the signer from the result.
    ///
    /// # Errors
    /// `request.from` is another address, the key did not sign, or the signature does not recover to it.
    pub async fn sign_tx(&self, request: &TxRequest) -> Result<SignedTx, SignerError> {
        if request.from != self.address {
            return Err(SignerError::OtherKey {
                found: self.address,
                expected: request.from,
            });
        }
        let tx = TxEip1559 {
            chain_id: request.chain_id,
            nonce: request.nonce,
            gas_limit: request.gas_limit,
            max_fee_per_gas: request.max_fee_per_gas,
            max_priority_fee_per_gas: request.max_priority_fee_per_gas,
            to: TxKind::Call(request.call.to),
            value: request.call.value,
            access_list: alloy::eips::eip2930::AccessList::default(),
            input: request.call.data.clone(),
        };
        let signature = self.key.sign_transaction(&tx).await?;
        let raw = tx.into_signed(signature).encoded_2718();
        Ok(SignedTx::from_raw(request.clone(), raw.into())?)
    }
    /// Signs a Safe transaction as an owner (EIP-712; v 27 or 28, low s) and recovers the signer from the result.
    ///
    /// The key signs one transaction for each nonce of a Safe: what it is about to sign is in `record`, durably, before
    /// it is touched. The same transaction may be signed again; another one only if it does nothing but use up the
    /// nonce ([`SafeTx::is_rejection`]), and after that only this one, or if the earlier digest is among `accepted`. Cut
    /// off, it leaves at most a record of a signature that was never made.
    ///
    /// # Errors
    /// [`SignerError::AlreadySigned`], the record cannot be used, the key did not sign, or the signature is not one by
    /// this key of the safeTxHash.
    pub async fn sign_safe_tx(
        &self,
        tx: &SafeTx,
        record: &SigningRecord,
        accepted: &[B256],
    ) -> Result<OwnerSignature, SignerError> {
        let consent = SafeConsent::new(self.address, tx, ConsentBy::Signature);
        record.admit(&[consent], accepted)?;
        point("safe-sign.b");
        let signature = self.key.sign_safe_tx(tx).await?;
        point("safe-sign.d");
        self.read_back(&signature, tx.hash())
    }
    /// Signs what the Safe Transaction Service wants signed before it changes its own records (EIP-712), and recovers
    /// the signer from the result. It moves nothing on any chain.
    ///
    /// # Errors
    /// The key did not sign, or the signature is not one by this key of the document.
    pub async fn sign_notice(&self, notice: &Notice) -> Result<OwnerSignature, SignerError> {
        let signature = self.key.sign_notice(notice).await?;
        self.read_back(&signature, notice.hash())
    }

    /// The signature, read as if a stranger had sent it.
    fn read_back(&self, signature: &Signature, digest: B256) -> Result<OwnerSignature, SignerError> {
        let signature = OwnerSignature::read(&signature.as_bytes()).map_err(SignerError::NoSignature)?;
        let signature = signature.normalised();
        let found = signature.signer(digest).map_err(SignerError::NoSignature)?;
        if found == self.address {
            Ok(signature)
        } else {
            Err(SignerError::WrongSignature {
                found,
                expected: self.address,
            })
        }
    }
}

impl Key {
    fn address(&self) -> Address {
        match self {
            Self::Local(key) => key.address(),
            #[cfg(feature = "ledger")]
            Self::Ledger(ledger) => ledger.address(),
            #[cfg(feature = "aws-kms")]
            Self::Aws(kms) => kms.address(),
        }
    }
    async fn sign_transaction(&self, tx: &TxEip1559) -> Result<Signature, SignerError> {
        match self {
            Self::Local(key) => sign_here(key, tx.signature_hash()),
            #[cfg(feature = "ledger")]
            Self::Ledger(ledger) => ledger.sign_transaction(tx).await,
            #[cfg(feature = "aws-kms")]
            Self::Aws(kms) => kms.sign(tx.signature_hash()).await,
        }
    }
    async fn sign_safe_tx(&self, tx: &SafeTx) -> Result<Signature, SignerError> {
        match self {
            Self::Local(key) => sign_here(key, safe_tx_hash(tx)),
            #[cfg(feature = "ledger")]
            Self::Ledger(ledger) => ledger.sign_safe_tx(tx).await,
            #[cfg(feature = "aws-kms")]
            Self::Aws(kms) => kms.sign(safe_tx_hash(tx)).await,
        }
    }
    async fn sign_notice(&self, notice: &Notice) -> Result<Signature, SignerError> {
        match self {
            Self::Local(key) => sign_here(key, notice.hash()),
            #[cfg(feature = "ledger")]
            Self::Ledger(ledger) => ledger.sign_notice(notice).await,
            #[cfg(feature = "aws-kms")]
            Self::Aws(kms) => kms.sign(notice.hash()).await,
        }
    }
}

fn sign_here(key: &PrivateKeySigner, digest: B256) -> Result<Signature, SignerError> {
    key.sign_hash_sync(&digest).map_err(SignerError::Unsigned)
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

// Most of them open a keystore.
#[cfg(test)]
#[cfg(feature = "keystore")]
mod tests;
