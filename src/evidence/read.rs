//! Reading a document, of this format or of an earlier one. Pure.

use serde::Deserialize;

use super::document::{Evidence, FORMAT};
use super::earlier;

/// Longest file that is read, bytes: a witness and an attestation have limits of their own.
pub const MAX_BYTES: usize = 64 << 20;

/// Why a file is no evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// More than is read.
    #[error("it has {found} bytes, and at most {MAX_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No JSON of a format that is known.
    #[error("it is no evidence of a format that this version reads")]
    Json(#[source] serde_json::Error),
    /// Another format.
    #[error("it is of the format `{format}`, which this version does not read")]
    Format {
        /// Its name, shortened.
        format: String,
    },
}

impl Evidence {
    /// Reads a document of this format, or of format 1.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(bytes: &[u8]) -> Result<Self, EvidenceError> {
        if bytes.len() > MAX_BYTES {
            return Err(EvidenceError::TooLong { found: bytes.len() });
        }
        let format: Named = serde_json::from_slice(bytes).map_err(EvidenceError::Json)?;
        match format.schema.as_str() {
            FORMAT => serde_json::from_slice(bytes).map_err(EvidenceError::Json),
            earlier::FORMAT => earlier::read(bytes).map_err(EvidenceError::Json),
            other => Err(EvidenceError::Format {
                format: crate::text::shorten(other, 60),
            }),
        }
    }
}

#[derive(Deserialize)]
struct Named {
    schema: String,
}
