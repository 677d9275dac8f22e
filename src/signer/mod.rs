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
mod browser;
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
pub use browser::Wallet;
pub use consent::{Act, Acting, Consent, Decision, Fact, Name, digest_facts};
pub use error::{AskError, EarlierConsent, KmsError, LedgerError, RecordError, SignerError, WalletError};
pub use record::{ConsentBy, SafeConsent, SigningRecord};
pub use source::{DerivationPath, Source};

use recovered::{complete, safe_tx_hash};

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
    /// In a wallet of a browser.
    Browser(Account),
}

/// An account of a wallet in a browser.
struct Account {
    address: Address,
    wallet: Wallet,
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
            Source::Browser(named) => Key::Browser(Account::connect(ask.wallet()?, *named).await?),
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
    /// Whether it signs documents and sends its transactions itself, but gives none away signed.
    pub const fn sends(&self) -> bool {
        matches!(self.key, Key::Browser(_))
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
    /// Has a wallet sign a transaction and send it, where [`Self::sends`]. Gives the hash that the wallet says it has: what it
    /// sent is read back by that.
    ///
    /// # Errors
    /// `request.from` is another address, or the wallet gave no hash. [`Self::was_asked`] tells whether it may have sent
    /// something all the same.
    pub async fn send_tx(&self, request: &TxRequest) -> Result<B256, SignerError> {
        if request.from != self.address {
            return Err(SignerError::OtherKey {
                found: self.address,
                expected: request.from,
            });
        }
        match &self.key {
            Key::Browser(account) => Ok(account.wallet.send(request).await?),
            _ => Err(WalletError::Sends.into()),
        }
    }
    /// Whether a wallet got the last request, so that it may have done what it was asked.
    pub fn was_asked(&self) -> bool {
        match &self.key {
            Key::Browser(account) => account.wallet.is_handed_out(),
            _ => false,
        }
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
        let signature = self.key.sign_safe_tx(tx).await;
        if let Err(SignerError::Wallet(WalletError::Refused)) = &signature {
            record.refuse(&consent)?;
        }
        let signature = signature?;
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
            Self::Browser(account) => account.address,
        }
    }
    async fn sign_transaction(&self, tx: &TxEip1559) -> Result<Signature, SignerError> {
        match self {
            Self::Local(key) => sign_here(key, tx.signature_hash()),
            #[cfg(feature = "ledger")]
            Self::Ledger(ledger) => ledger.sign_transaction(tx).await,
            #[cfg(feature = "aws-kms")]
            Self::Aws(kms) => kms.sign(tx.signature_hash()).await,
            Self::Browser(_) => Err(WalletError::Sends.into()),
        }
    }
    async fn sign_safe_tx(&self, tx: &SafeTx) -> Result<Signature, SignerError> {
        match self {
            Self::Local(key) => sign_here(key, safe_tx_hash(tx)),
            #[cfg(feature = "ledger")]
            Self::Ledger(ledger) => ledger.sign_safe_tx(tx).await,
            #[cfg(feature = "aws-kms")]
            Self::Aws(kms) => kms.sign(safe_tx_hash(tx)).await,
            Self::Browser(account) => account.sign(&tx.typed_data(), safe_tx_hash(tx)).await,
        }
    }
    async fn sign_notice(&self, notice: &Notice) -> Result<Signature, SignerError> {
        match self {
            Self::Local(key) => sign_here(key, notice.hash()),
            #[cfg(feature = "ledger")]
            Self::Ledger(ledger) => ledger.sign_notice(notice).await,
            #[cfg(feature = "aws-kms")]
            Self::Aws(kms) => kms.sign(notice.hash()).await,
            Self::Browser(account) => account.sign(&notice.typed_data(), notice.hash()).await,
        }
    }
}

impl Account {
    /// The account that was named, or the one that the wallet gives.
    async fn connect(wallet: Wallet, named: Option<Address>) -> Result<Self, SignerError> {
        let address = match named {
            Some(address) => address,
            None => wallet.account().await?,
        };
        Ok(Self { address, wallet })
    }

    /// Has a document signed. Only a signature of this digest by this account is one.
    async fn sign(&self, document: &serde_json::Value, digest: B256) -> Result<Signature, SignerError> {
        let bytes = self.wallet.sign_typed_data(self.address, document).await?;
        let signature = Signature::from_raw(&bytes)
            .ok()
            .ok_or(WalletError::Malformed("it is no signature of a key"))?;
        complete(signature.r(), signature.s(), digest, self.address)
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
