//! Why a file is refused.

use alloy::primitives::B256;

/// Larger than any batch that somebody could review.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuilderFileError {
    /// Too long.
    #[error("the file has {found} bytes, more than {MAX_BYTES}")]
    TooLong {
        /// How many.
        found: usize,
    },
    /// Not UTF-8, or it starts with a byte order mark.
    #[error("the file is not plain UTF-8")]
    NotUtf8,
    /// Not JSON, or JSON that two readers read differently.
    #[error("the file is not JSON of one meaning")]
    Json(#[source] serde_json::Error),
    /// A library of batches: one of them has to be exported alone.
    #[error("the file holds a library of batches, not one batch")]
    Library,
    /// A field is missing, or not what it should be.
    #[error("`{field}` is {wrong}")]
    Field {
        /// Path of the field.
        field: String,
        /// What is wrong.
        wrong: &'static str,
    },
    /// A call by method that cannot be encoded here.
    #[error("the method of call {index} cannot be encoded: {what}")]
    Method {
        /// Position, from zero.
        index: usize,
        /// Why.
        what: &'static str,
    },
    /// The file was changed after its checksum was written.
    #[error("the checksum of the file is {found}, it should be {computed}")]
    Checksum {
        /// What it says.
        found: String,
        /// What it should say.
        computed: B256,
    },
}

/// A field that is not what it should be.
pub(super) fn wrong(field: impl Into<String>, wrong: &'static str) -> BuilderFileError {
    BuilderFileError::Field {
        field: field.into(),
        wrong,
    }
}
