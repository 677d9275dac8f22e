//! Why a file is refused.

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

/// A field that is not what it should be.
pub(super) fn wrong(field: impl Into<String>, wrong: &'static str) -> CollectError {
    CollectError::Field {
        field: field.into(),
        wrong,
    }
}
