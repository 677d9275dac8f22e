//! The environment that goes with an upgrade: what is asked for, what was sealed, and who vouched for the key.

use std::fmt;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::code::Code;
use crate::compose::Manifest;
use crate::env::{Dated, EnvFile, MarkKey, Names, RootKey, SealError};
use crate::upgrade::UpgradeError;

/// What the guests are to have as environment.
#[derive(Clone)]
pub enum EnvRequest {
    /// Variables, to be sealed for a key that is checked.
    Values {
        /// The variables.
        file: EnvFile,
        /// The KMS's root key, where it is known by other means: the contract has to name the same.
        root: Option<RootKey>,
    },
    /// Bytes that were sealed elsewhere, for a key that nobody checks here.
    Sealed {
        /// Hex digits.
        blob: String,
        /// Names of the variables in them; none where the names in force stay.
        names: Names,
    },
}

impl fmt::Debug for EnvRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, names) = match self {
            Self::Values { file, .. } => ("Values", file.names()),
            Self::Sealed { names, .. } => ("Sealed", names.clone()),
        };
        f.debug_struct(kind).field("names", &names).finish_non_exhaustive()
    }
}

/// Sealed bytes, and the values in them where they are known: what tells whether a later run has the same.
#[derive(Clone)]
pub(in crate::upgrade) struct Sealing {
    blob: String,
    values: Option<EnvFile>,
}

impl Sealing {
    pub(in crate::upgrade) fn new(blob: &str, values: Option<EnvFile>) -> Self {
        Self {
            blob: blob.to_owned(),
            values,
        }
    }

    /// The sealed bytes, hex.
    pub(in crate::upgrade) fn blob(&self) -> &str {
        &self.blob
    }
    /// Variables whose value is empty; none where the values are not known here.
    pub(in crate::upgrade) fn blank(&self) -> Names {
        self.values.as_ref().map(EnvFile::blank).unwrap_or_default()
    }
    /// Their SHA-256.
    pub(in crate::upgrade) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.blob.as_bytes()).into()
    }
    /// What tells these values from others: under a key where they are known, otherwise by the bytes.
    pub(in crate::upgrade) fn mark(&self, key: &MarkKey) -> Result<B256, UpgradeError> {
        let mark = self.values.as_ref().map(|values| values.mark(key)).transpose();
        Ok(B256::from(mark.map_err(not_sealed)?.unwrap_or_else(|| self.digest())))
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing")
            .field("digest", &hex::encode(self.digest()))
            .finish_non_exhaustive()
    }
}

impl PartialEq for Sealing {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

/// An environment as records have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Names of the sealed variables, in order.
    pub names: Names,
    /// Who vouches for the key; nobody where it was sealed elsewhere.
    #[serde(flatten)]
    pub vouched: Option<Vouched>,
}

/// The key that an environment was sealed for, and whose word it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// The KMS's contract.
    pub kms: Address,
    /// Its root key.
    pub root: RootKey,
    /// The key that it is sealed for.
    pub recipient: B256,
    /// How old the root key's word is.
    pub dated: Dated,
}

/// Names that a manifest lets the guest have.
pub(in crate::upgrade) fn allowed(manifest: &Manifest) -> Vec<String> {
    let list = manifest.get("allowed_envs").and_then(|value| value.as_array());
    let names = list.into_iter().flatten();
    names.filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect()
}

pub(in crate::upgrade) fn not_sealed(error: SealError) -> UpgradeError {
    UpgradeError::Later {
        code: Code::EnvNotSealed,
        message: "the environment could not be sealed".to_owned(),
        source: Some(Box::new(error)),
    }
}

/// SHA-256 of a body that prepare sends, with a sealed environment or before there is one.
pub(in crate::upgrade) fn patch_digest(patch: &impl Serialize) -> [u8; 32] {
    Sha256::digest(serde_json::to_vec(patch).unwrap_or_default()).into()
}
