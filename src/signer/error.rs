//! Why a key is not ready or did not sign: one variant for each thing that a caller may do differently.
//!
//! No error quotes a key, a password, or a text that may be one.

use std::path::PathBuf;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};

use super::consent::Decision;
use crate::chain::TxError;
use crate::fsutil::{FsError, HoldError};
use crate::safe::SignatureError;

/// Nobody answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No terminal and no `--yes`.
    #[error("nobody can be asked here: {0}")]
    Nobody(String),
    /// Consent was given in advance, and what is asked has to be agreed to by its name.
    #[error("{} has to be agreed to by name: {}", .0.code, .0.what)]
    Undecided(Box<Decision>),
    /// The terminal broke.
    #[error("the answer could not be read")]
    Io(#[source] std::io::Error),
    /// Nobody answered on the page.
    #[error(transparent)]
    Page(#[from] WalletError),
}

/// Why a record of signatures cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Another process holds it, or it is not a file that may be used.
    #[error(transparent)]
    Hold(#[from] HoldError),
    /// The disk said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// It is not what was written.
    #[error("the record of signatures `{}` is damaged at line {line}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// First bad line, counted from 1.
        line: u64,
        /// What is wrong.
        why: &'static str,
    },
}

/// What an owner agreed to before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierConsent {
    /// Whose agreement it was.
    pub owner: Address,
    /// What was agreed to, a safeTxHash.
    pub digest: B256,
    /// Nonce of the Safe.
    pub nonce: U256,
    /// The Safe.
    pub safe: Address,
    /// In which way and when, or who shows it.
    pub how: String,
}

impl std::fmt::Display for EarlierConsent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            owner,
            digest,
            nonce,
            safe,
            how,
        } = self;
        write!(
            f,
            "{owner} agreed to {digest} for nonce {nonce} of Safe {safe} before, {how}"
        )
    }
}

/// Why a key is not ready or did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// A text that names no source.
    #[error(
        "`{text}` names no key; write browser[:ADDRESS], prompt, env:NAME, file:PATH, keystore:PATH, account:NAME, ledger[:PATH] or aws:KEY-ID"
    )]
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
    /// This build cannot reach such keys.
    #[error("this build of countersign has no support for `{source_kind}` keys: the feature `{feature}` is missing")]
    NoFeature {
        /// First word of the source.
        source_kind: &'static str,
        /// Cargo feature.
        feature: &'static str,
    },
    /// The Ledger has no key for this, or did not sign.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// AWS KMS has no key for this, or did not sign.
    #[error(transparent)]
    Kms(#[from] KmsError),
    /// The wallet in the browser did not sign.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// Not a key.
    #[error("{place} holds no private key: {why}")]
    NotAKey {
        /// Where the key was looked for, for people.
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
    /// The owner agreed to something else for this nonce of this Safe.
    #[error("{0}")]
    AlreadySigned(Box<EarlierConsent>),
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

/// Why a wallet in a browser did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// No socket, no thread, no randomness.
    #[error("no page for a wallet can be served here")]
    Unserved(#[source] std::io::Error),
    /// The page was there and is no more.
    #[error("the page was closed before it was done")]
    Closed,
    /// Nobody answered in time.
    #[error("nobody answered on the page in time")]
    TimedOut,
    /// Whoever sits there said no to the wallet.
    #[error("it was refused in the wallet")]
    Refused,
    /// It has to be answered something else first.
    #[error("the wallet has another request open")]
    Busy,
    /// It gave an error.
    #[error("the wallet gave error {code}: {message}")]
    Failed {
        /// Its code (EIP-1193, EIP-1474).
        code: i64,
        /// Its words.
        message: String,
    },
    /// Its answer is none.
    #[error("the wallet's answer cannot be used: {0}")]
    Malformed(&'static str),
    /// It signs no transaction without sending it.
    #[error("a wallet in a browser signs no transaction without sending it")]
    Sends,
}

/// Why a Ledger did not sign.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// None is plugged in, or it went away.
    #[error("no Ledger is plugged in")]
    Absent,
    /// Another program uses it, or this user may not.
    #[error("the Ledger cannot be opened or went away")]
    Usb(#[source] std::io::Error),
    /// It waits for its PIN.
    #[error("the Ledger is locked")]
    Locked,
    /// Another app is open, or none.
    #[error("the Ethereum app is not open on the Ledger")]
    OtherApp,
    /// The person at the device said no.
    #[error("it was refused on the Ledger")]
    Refused,
    /// The app's settings forbid what it cannot show in full.
    #[error("the Ethereum app of the Ledger does not sign this while blind signing is off")]
    BlindSigning,
    /// The app cannot do what is needed.
    #[error("the Ethereum app of the Ledger is too old{}", version_of(.found))]
    TooOld {
        /// Its version, if it was asked.
        found: Option<(u8, u8, u8)>,
    },
    /// Nobody pressed a button.
    #[error("the Ledger did not answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// Its answer is none.
    #[error("the Ledger's answer cannot be used: {0}")]
    Malformed(&'static str),
    /// A status that means nothing in particular.
    #[error("the Ledger answered with status {0:#06x}")]
    Status(u16),
}

fn version_of(found: &Option<(u8, u8, u8)>) -> String {
    found.map_or_else(String::new, |(major, minor, patch)| {
        format!(" (version {major}.{minor}.{patch})")
    })
}

/// Why AWS KMS did not sign. Of what AWS says only its code is kept: its messages may repeat what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KmsError {
    /// No credentials or no region.
    #[error("AWS has no credentials or no region for this machine")]
    NotConfigured,
    /// The credentials are not taken, or do not allow it.
    #[error("AWS KMS refused: {code}")]
    Refused {
        /// AWS's code.
        code: String,
    },
    /// There is no such key, or it cannot be used now.
    #[error("AWS KMS has no usable key of this name: {code}")]
    NoKey {
        /// AWS's code.
        code: String,
    },
    /// The key is not one of Ethereum's kind.
    #[error("the AWS KMS key is no ECC_SECG_P256K1 key for signing")]
    OtherKind,
    /// It may work later.
    #[error("AWS KMS cannot be used now: {what}")]
    Later {
        /// AWS's code, or what happened.
        what: String,
    },
    /// Its answer is none.
    #[error("the answer of AWS KMS cannot be used: {0}")]
    Malformed(&'static str),
}
