//! Keys, seen only as "can sign this for that address".
//!
//! No key, password or seed ever leaves this room; every buffer that held one is wiped. There is no `sign_hash`.

#[cfg(feature = "aws-kms")]
mod aws_kms;
mod consent;
mod error;
#[cfg(feature = "ledger")]
mod hid;
mod key;
mod keystore;
#[cfg(feature = "ledger")]
mod ledger;
mod record;
mod source;

use std::path::PathBuf;

use alloy::consensus::{SignableTransaction as _, TxEip1559};
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::primitives::{Address, B256, Signature, TxKind};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

use crate::chain::{SignedTx, TxRequest};
use crate::fsutil::point;
use crate::safe::service::Notice;
use crate::safe::{OwnerSignature, SafeTx};
#[cfg(any(feature = "ledger", feature = "aws-kms"))]
use {crate::safe::SignatureError, alloy::primitives::U256};

pub use consent::{Consent, Decision, Fact, Name, digest_facts};
pub use error::{AskError, EarlierConsent, KmsError, LedgerError, SignerError};
pub use record::{ConsentBy, RecordError, SafeConsent, SigningRecord};
pub use source::DerivationPath;

/// Where a key is. Parses `prompt`, `env:NAME`, `file:PATH`, `keystore:PATH`, `account:NAME`, `ledger`,
/// `ledger:INDEX`, `ledger:m/44'/60'/…`, `aws:KEY-ID`. Every build parses all of them; see [`Source::check_built`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Typed by a person, without echo.
    Prompt,
    /// In an environment variable.
    Env(String),
    /// In a file that only its owner may read.
    File(PathBuf),
    /// In an encrypted keystore (Web3 Secret Storage).
    Keystore(PathBuf),
    /// In Foundry's keystore folder, by name.
    Account(String),
    /// On a Ledger, which shows what it signs.
    Ledger(DerivationPath),
    /// In AWS KMS: a key id, an alias or an ARN.
    Aws(String),
}

/// What a person or the environment may be asked; the command line answers, tests fake it.
pub trait Ask: Send + Sync {
    /// A secret, typed without echo.
    ///
    /// # Errors
    /// There is nobody to ask, or the answer was refused.
    fn secret(&self, prompt: &str) -> Result<Zeroizing<String>, AskError>;
    /// An environment variable that holds a key.
    fn variable(&self, name: &str) -> Option<Zeroizing<String>>;
    /// Consent to an effect, after what it is was shown.
    ///
    /// # Errors
    /// There is nobody to ask and consent was not given in advance.
    fn consent(&self, what: &Consent) -> Result<bool, AskError>;
    /// Whether consent can be had at all: somebody is there to ask, or gave it in advance.
    ///
    /// # Errors
    /// There is nobody to ask and consent was not given in advance.
    fn can_agree(&self) -> Result<(), AskError> {
        Ok(())
    }
    /// Whether consent was given in advance, so that nobody looks at what is shown.
    fn agrees_unseen(&self) -> bool {
        false
    }
    /// Whether somebody is there who can be asked for what a decision is about: otherwise it has to be agreed to beforehand.
    fn can_name(&self) -> bool {
        true
    }
    /// Something happened that a person wants to see.
    fn tell(&self, news: &str);
}

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

/// How to open a keystore without a person: a file that holds its password.
#[derive(Debug, Clone, Default)]
pub struct Unlock {
    /// Password file (0600).
    pub password_file: Option<PathBuf>,
    /// Foundry's keystore folder, for `account:`.
    pub keystore_dir: Option<PathBuf>,
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

/// The safeTxHash, computed anew from the fields.
fn safe_tx_hash(tx: &SafeTx) -> B256 {
    tx.fields().hash(tx.domain())
}

/// The signature with low s and that parity with which it is one by `expected`: hardware and services give s of
/// either half, and a parity that depends on their version or none at all.
#[cfg(any(feature = "ledger", feature = "aws-kms"))]
fn complete(r: U256, s: U256, digest: B256, expected: Address) -> Result<Signature, SignerError> {
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

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
