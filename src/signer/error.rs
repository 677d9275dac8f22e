//! Why a key is not ready or did not sign: one variant for each thing that a caller may do differently.
//!
//! No error quotes a key, a password, or a text that may be one.

use std::path::PathBuf;

use alloy::primitives::{Address, B256, U256};
use jiff::Timestamp;

use super::record::RecordError;
use crate::chain::TxError;
use crate::fsutil::FsError;
use crate::safe::SignatureError;

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
    /// What this key signed is not known for certain, so it signs nothing.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The key signed something else for this nonce of this Safe.
    #[error("you signed {earlier} for nonce {nonce} of Safe {safe} on {at}")]
    AlreadySigned {
        /// What was signed, a safeTxHash.
        earlier: B256,
        /// Nonce of the Safe.
        nonce: U256,
        /// The Safe.
        safe: Address,
        /// When.
        at: Timestamp,
    },
    /// The key gave back what is no signature that counts.
    #[error("the key did not give a signature that counts")]
    NoSignature(#[source] SignatureError),
    /// The signature is somebody else's, or one of something else.
    #[error("the signature is that of {found} and not of {expected}, or it is one of something else")]
    WrongSignature {
        /// Whom it recovers to.
        found: Address,
        /// Whose it should be.
        expected: Address,
    },
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
