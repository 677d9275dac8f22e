//! MRCONFIGID: what the host said of the app when it made the TD, a second copy of the compose hash that needs no log.
//! Pure.
//!
//! The host sets it, so that it shows nothing by itself; but a guest that measured something else than its host said is
//! refused. The four forms are dstack's (`dstack-types`, `mr_config`).

use alloy::primitives::{B256, keccak256};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::boot::{Boot, KeyProviderKind};
use super::event::Register;
use super::standing::Standing;
use crate::compose::ComposeHash;

/// What stands before the document in the third form's hash.
const DOCUMENT_DOMAIN: &[u8] = b"dstack-mr-config-v3:\0";
/// Longest document that is read, bytes.
const MAX_DOCUMENT_BYTES: usize = 16 * 1024;

/// What MRCONFIGID says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigId {
    /// Nothing: all zeros.
    Unset,
    /// The compose hash.
    ComposeHash(ComposeHash),
    /// Keccak-256 of compose hash, app id and key provider.
    Identity(B256),
    /// SHA-256 of a document that the host holds.
    Document(B256),
    /// A form that is not known here.
    Unknown(Register),
}

/// The document of the third form.
#[derive(Deserialize)]
struct Document {
    version: u8,
    app_id: String,
    compose_hash: String,
    key_provider: String,
    #[serde(default)]
    key_provider_id: String,
    #[serde(default)]
    instance_id: String,
}

impl ConfigId {
    /// Reads the register.
    pub fn read(register: &Register) -> Self {
        let (form, hash) = match register.as_slice() {
            [form, rest @ ..] => match rest.split_first_chunk::<32>() {
                Some((hash, tail)) if tail.iter().all(|byte| *byte == 0) => (*form, *hash),
                _ => return Self::Unknown(*register),
            },
            [] => return Self::Unknown(*register),
        };
        match form {
            0 if hash == [0; 32] => Self::Unset,
            1 => Self::ComposeHash(ComposeHash::new(hash)),
            2 => Self::Identity(hash.into()),
            3 => Self::Document(hash.into()),
            _ => Self::Unknown(*register),
        }
    }

    /// Whether it says what the guest booted. `document` is the host's, where the third form needs it.
    ///
    /// *Holds* also where it says nothing; *not known* for a form that is not known here, or without its document.
    pub fn check(&self, boot: &Boot, document: Option<&[u8]>) -> Standing {
        let is_so = match self {
            Self::Unset => true,
            Self::ComposeHash(hash) => *hash == boot.compose_hash,
            Self::Identity(hash) => *hash == identity(boot),
            Self::Document(hash) => match document {
                Some(bytes) if bytes.len() <= MAX_DOCUMENT_BYTES => {
                    if *hash != B256::from(<[u8; 32]>::from(Sha256::digest([DOCUMENT_DOMAIN, bytes].concat()))) {
                        return Standing::Broken;
                    }
                    match serde_json::from_slice::<Document>(bytes) {
                        Ok(document) if document.version == 3 => document.is_of(boot),
                        _ => return Standing::NotKnown,
                    }
                }
                _ => return Standing::NotKnown,
            },
            Self::Unknown(_) => return Standing::NotKnown,
        };
        if is_so { Standing::Holds } else { Standing::Broken }
    }
}

impl Document {
    fn is_of(&self, boot: &Boot) -> bool {
        let is = |text: &str, bytes: &[u8]| hex::decode(text).is_ok_and(|decoded| decoded == bytes);
        is(&self.app_id, boot.app_id.as_slice())
            && is(&self.compose_hash, boot.compose_hash.as_bytes())
            && is(&self.key_provider_id, &boot.key_provider.id)
            && is(
                &self.instance_id,
                boot.instance_id.as_ref().map_or(&[][..], |id| id.as_slice()),
            )
            && self.key_provider == boot.key_provider.kind.name()
    }
}

/// Keccak-256 of the parts that the second form binds.
fn identity(boot: &Boot) -> B256 {
    let kind = match boot.key_provider.kind {
        KeyProviderKind::None => 0,
        KeyProviderKind::LocalSgx => 1,
        KeyProviderKind::Kms => 2,
        KeyProviderKind::Tpm => 3,
    };
    let parts: [&[u8]; 4] = [
        boot.compose_hash.as_bytes(),
        boot.app_id.as_slice(),
        &[kind],
        &boot.key_provider.id,
    ];
    keccak256(parts.concat())
}
