//! Reading a document, of this format or of an earlier one. Pure.

use serde::Deserialize;

use super::document::{Evidence, FORMAT, Other};
use super::earlier;

/// Longest file that is read, bytes: a witness and an attestation have limits of their own.
pub const MAX_BYTES: usize = 16 << 20;
/// Most changes, calls, apps, events or owners: far more than one transaction has.
const MOST: usize = 4096;

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
    /// A list that no transaction could make.
    #[error("it lists {found} {what}, and at most {MOST} are read")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// So many.
        found: usize,
    },
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
            FORMAT => serde_json::from_slice(bytes)
                .map_err(EvidenceError::Json)
                .and_then(Self::bounded),
            earlier::FORMAT => earlier::read(bytes)
                .map_err(EvidenceError::Json)
                .and_then(Self::bounded),
            other => Err(EvidenceError::Format {
                format: crate::text::shorten(other, 60),
            }),
        }
    }
}

impl Evidence {
    /// The document, if its lists are of a length that a transaction can make.
    fn bounded(self) -> Result<Self, EvidenceError> {
        let of_others = |other: &Other| other.changes.len() + other.besides.len();
        let endpoints = self.said.settled.as_ref().map_or(0, |settled| settled.endpoints.len());
        let lists = [
            ("changes", self.changes.len() + self.besides.len()),
            ("calls", self.calls.len()),
            ("apps", self.others.len()),
            ("changes of other apps", self.others.iter().map(of_others).sum()),
            (
                "owners",
                self.safe
                    .as_ref()
                    .map_or(0, |safe| safe.owners.len() + safe.signed_by.len()),
            ),
            (
                "things said",
                self.said.accepted.len() + self.said.uncovered.len() + self.said.effects.len() + endpoints,
            ),
        ];
        match lists.into_iter().find(|(_, found)| *found > MOST) {
            Some((what, found)) => Err(EvidenceError::TooMany { what, found }),
            None => Ok(self),
        }
    }
}

#[derive(Deserialize)]
struct Named {
    schema: String,
}
