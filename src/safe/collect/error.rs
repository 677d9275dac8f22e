//! Why a file is refused.

use alloy::primitives::{Address, B256};

use crate::safe::signature::SignatureError;

/// Larger than the signatures of any Safe.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Why a file is refused: it is malformed, whatever it was made for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectError {
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Too long.
    #[error("the file has {found} bytes, more than {MAX_BYTES}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// Another encoding.
    #[error("the file is not UTF-8: where it was made by redirecting, PowerShell writes UTF-16")]
    NotUtf8,
    /// Not JSON, or JSON that two readers read differently.
    #[error("the file is not JSON of one meaning")]
    Json(#[source] serde_json::Error),
    /// None of the known kinds of file.
    #[error("the file is none that signatures are read from")]
    NotRecognised,
    /// Something else that people send by mistake.
    #[error("the file holds no signatures that can be read: it is {what}")]
    Mistaken {
        /// What it is.
        what: &'static str,
    },
    /// Our own kind of file, of another version.
    #[error("the file says that it is `{found}`, which this build does not read")]
    Schema {
        /// What it says.
        found: String,
    },
    /// A list of several transactions: which of them is meant?
    #[error("the file holds {found} transactions, not one")]
    ManyTransactions {
        /// How many.
        found: usize,
    },
    /// A known kind of file without a signature in it.
    #[error("the file holds no signature")]
    NoSignature,
    /// A field is missing, or not what it should be.
    #[error("`{field}` is {wrong}")]
    Field {
        /// Path of the field.
        field: String,
        /// What is wrong.
        wrong: &'static str,
    },
    /// What it says of one signature and of another cannot both be so: who is to tell which one was meant?
    #[error("the file contradicts itself: {0}")]
    Contradiction(Contradiction),
    /// What stands for a signature is none.
    #[error("signature {index} of the file cannot be read")]
    Signature {
        /// Position, from zero.
        index: usize,
        /// Why.
        #[source]
        source: SignatureError,
    },
}

/// Two claims of one file that cannot both be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// One signature, and two who are said to have made it.
    #[error("one signature is that of {one} and that of {other}")]
    TwoOwners {
        /// Whose it is said to be first.
        one: Address,
        /// Whose it is said to be then.
        other: Address,
    },
    /// Two different signatures of one transaction, and one who is said to have made both.
    #[error("two different signatures are that of {owner}")]
    TwoSignatures {
        /// Whose they are said to be.
        owner: Address,
    },
    /// One signature, and two transactions that it is said to be of.
    #[error("one signature is said to sign {one} and {other}")]
    TwoTransactions {
        /// Which safeTxHash is named first.
        one: B256,
        /// Which one is named then.
        other: B256,
    },
}

/// A field that is not what it should be.
pub(super) fn wrong(field: impl Into<String>, wrong: &'static str) -> CollectError {
    CollectError::Field {
        field: field.into(),
        wrong,
    }
}
