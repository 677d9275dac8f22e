//! Keys, seen only as "can sign this for that address".
//!
//! No key, password or seed ever leaves this room; every buffer that held one is wiped. There is no `sign_hash`.

mod key;
mod keystore;
mod source;

use std::path::PathBuf;

use alloy::consensus::{SignableTransaction as _, TxEip1559};
use alloy::eips::eip2718::Encodable2718 as _;
use alloy::network::TxSignerSync as _;
use alloy::primitives::{Address, TxKind};
use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

use crate::chain::{SignedTx, TxError, TxRequest};
use crate::fsutil::FsError;

/// Where a key is. Parses `prompt`, `env:NAME`, `file:PATH`, `keystore:PATH`, `account:NAME`.
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
    /// Something happened that a person wants to see.
    fn tell(&self, news: &str);
}

/// What a person agrees to.
#[derive(Debug, Clone)]
pub struct Consent {
    /// One line, a question.
    pub question: String,
    /// Facts, one a line.
    pub facts: Vec<(String, String)>,
}

/// Nobody answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No terminal and no `--yes`.
    #[error("nobody can be asked here: {0}")]
    Nobody(String),
    /// The terminal broke.
    #[error("the answer could not be read")]
    Io(#[source] std::io::Error),
}

/// A key that is ready.
pub struct Signer {
    address: Address,
    key: PrivateKeySigner,
}

/// Why a key is not ready or did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// A text that names no source.
    #[error("`{text}` names no key; write prompt, env:NAME, file:PATH, keystore:PATH or account:NAME")]
    Source {
        /// What was written, unless it looks like a key.
        text: String,
    },
    /// A name of the environment or of an account that cannot be one.
    #[error("`{text}` names no {what}")]
    Name {
        /// What was written, unless it looks like a key.
        text: String,
        /// What it should name.
        what: &'static str,
    },
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FsError),
    /// Nobody was there.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Not a key.
    #[error("{place} holds no private key: {why}")]
    NotAKey {
        /// Where.
        place: String,
        /// Why, without the content.
        why: &'static str,
    },
    /// The variable is not set.
    #[error("the environment variable `{name}` is not set")]
    NoVariable {
        /// Name.
        name: String,
    },
    /// An account without a folder to look in.
    #[error("account `{name}` is in no known keystore folder")]
    NoFolder {
        /// Account.
        name: String,
    },
    /// Wrong password, three times.
    #[error("wrong password for `{}`", path.display())]
    Password {
        /// Keystore.
        path: PathBuf,
    },
    /// Damaged keystore.
    #[error("`{}` is not a keystore: {why}", path.display())]
    Keystore {
        /// Keystore.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The key did not sign.
    #[error("the key did not sign")]
    Unsigned(#[source] alloy::signers::Error),
    /// The signature is not by the key it should be by, or not over these bytes.
    #[error(transparent)]
    Signed(#[from] TxError),
    /// The key belongs to another address.
    #[error("the key belongs to {found}, and {expected} has to sign")]
    OtherKey {
        /// Its address.
        found: Address,
        /// Address needed.
        expected: Address,
    },
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
    pub fn open(source: &Source, unlock: &Unlock, ask: &dyn Ask) -> Result<Self, SignerError> {
        let key = key::open(source, unlock, ask)?;
        Ok(Self {
            address: key.address(),
            key,
        })
    }
    /// The address it signs for.
    pub const fn address(&self) -> Address {
        self.address
    }
    /// Signs a transaction (EIP-1559) and recovers the signer from the result.
    ///
    /// # Errors
    /// `request.from` is another address, or the signature does not recover to it.
    pub fn sign_tx(&self, request: &TxRequest) -> Result<SignedTx, SignerError> {
        if request.from != self.address {
            return Err(SignerError::OtherKey {
                found: self.address,
                expected: request.from,
            });
        }
        let mut tx = TxEip1559 {
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
        let signature = self.key.sign_transaction_sync(&mut tx).map_err(SignerError::Unsigned)?;
        let raw = tx.into_signed(signature).encoded_2718();
        Ok(SignedTx::from_raw(request.clone(), raw.into())?)
    }
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
