//! The key that an environment is sealed for, and why it may be believed: a signature of the KMS's root key (V24).
//!
//! Recovery from a signature never fails on wrong data, it gives another key. So the recovered key is compared with the
//! root key that the KMS's contract publishes, and nothing else counts.

use alloy::primitives::{Address, B256, Signature, keccak256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What both forms of the signed message begin with (dstack `kms/src/crypto.rs`).
const PREFIX: &[u8] = b"dstack-env-encrypt-pubkey:";
/// Oldest dated signature that is taken, seconds (dstack SDK: inclusive).
const MAX_AGE: i64 = 300;
/// How far ahead the KMS's clock may be, seconds (dstack SDK: inclusive).
const MAX_AHEAD: i64 = 60;

/// A public key of secp256k1, compressed: the root key of a KMS, from its contract's `kmsInfo().k256Pubkey`.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RootKey([u8; 33]);

/// A recipient key as somebody sent it. Nothing can be sealed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UncheckedKey {
    /// X25519 public key.
    key: [u8; 32],
    /// Signature over app id and key.
    undated: Option<[u8; 65]>,
    /// Signature over app id, time and key, and the time, seconds since 1970.
    dated: Option<([u8; 65], u64)>,
}

/// A recipient key that the KMS's root key vouched for, for one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientKey {
    pub(super) key: [u8; 32],
    app: Address,
    root: RootKey,
    dated: Dated,
}

/// How the signature says when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dated {
    /// It holds the time: it was made in the last minutes.
    At(Timestamp),
    /// It holds none: it may be any age. Phala Cloud's API has only this form.
    Undated,
}

/// Why a recipient key is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Something else than the hex digits that it should be.
    #[error("the {what} has to be {bytes} bytes as hex digits")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// Bytes it has to have.
        bytes: usize,
    },
    /// Not a point of the curve.
    #[error("the root key is not a public key of secp256k1")]
    RootKey,
    /// One of the few points that lead every sender to the same secret.
    #[error("the key is a weak point of the curve, for which everybody could open what is sealed")]
    Weak,
    /// No signature at all.
    #[error("nobody signed the key")]
    Unsigned,
    /// A dated signature without its date, or a date without its signature.
    #[error("a dated signature needs its signature and its time, and one of them is missing")]
    HalfDated,
    /// Signed by somebody else, or over something else.
    #[error("the key is signed by {found}, or for another app, and not by the KMS's root key {root}")]
    NotByRoot {
        /// The root key.
        root: RootKey,
        /// What the signature recovers to, if to anything.
        found: String,
    },
    /// The dated signature is too old.
    #[error("the key's signature is {age} s old, and at most {MAX_AGE} are taken")]
    Stale {
        /// Age, seconds.
        age: i64,
    },
    /// The dated signature is from the future.
    #[error("the key's signature is dated {ahead} s ahead of this machine's clock, and at most {MAX_AHEAD} are taken")]
    Ahead {
        /// How far, seconds.
        ahead: i64,
    },
}

impl RootKey {
    /// Takes a key as a contract holds it: 33 bytes compressed, or 65 bytes.
    ///
    /// # Errors
    /// [`KeyError::RootKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let key = alloy::signers::k256::ecdsa::VerifyingKey::from_sec1_bytes(bytes);
        key.ok().map(|key| Self::of(&key)).ok_or(KeyError::RootKey)
    }
    /// The 33 bytes.
    pub const fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }
    fn of(key: &alloy::signers::k256::ecdsa::VerifyingKey) -> Self {
        let point = key.to_encoded_point(true);
        let mut bytes = [0; 33];
        // A compressed point has 33 bytes; anything else stays all zero and equals no key.
        if let Ok(exact) = <[u8; 33]>::try_from(point.as_bytes()) {
            bytes = exact;
        }
        Self(bytes)
    }
}
impl std::fmt::Display for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{}", hex::encode(self.0))
    }
}
impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}
impl std::str::FromStr for RootKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = hex::decode(text.strip_prefix("0x").unwrap_or(text));
        bytes
            .ok()
            .ok_or(KeyError::RootKey)
            .and_then(|bytes| Self::from_bytes(&bytes))
    }
}
impl TryFrom<String> for RootKey {
    type Error = KeyError;
    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}
impl From<RootKey> for String {
    fn from(key: RootKey) -> Self {
        key.to_string()
    }
}

impl UncheckedKey {
    /// Takes a key as hex digits, with or without `0x`, as the official clients do; without any signature yet.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn new(key: &str) -> Result<Self, KeyError> {
        Ok(Self {
            key: fixed(key, "recipient key")?,
            undated: None,
            dated: None,
        })
    }
    /// Adds the older form of signature, over app id and key.
    ///
    /// # Errors
    /// [`KeyError::Malformed`].
    pub fn signed(self, signature: &str) -> Result<Self, KeyError> {
        Ok(Self {
            undated: Some(fixed(signature, "signature")?),
            ..self
        })
    }
    /// Adds `signature_v1` and its `timestamp`, seconds since 1970.
    ///
    /// # Errors
    /// [`KeyError::Malformed`], or only one of the two.
    pub fn signed_at(self, signature: Option<&str>, timestamp: Option<u64>) -> Result<Self, KeyError> {
        let dated = match (signature, timestamp) {
            (Some(signature), Some(timestamp)) => Some((fixed(signature, "dated signature")?, timestamp)),
            (None, None) => None,
            _ => return Err(KeyError::HalfDated),
        };
        Ok(Self { dated, ..self })
    }
    /// The X25519 public key, as it was said.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }
    /// Believes the key for `app` if `root` signed it. A dated signature outranks the older form: where there is one it
    /// has to hold, and to be fresh at `now`. The older form, where it is there, has to hold as well.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn check(&self, app: Address, root: &RootKey, now: Timestamp) -> Result<RecipientKey, KeyError> {
        let believed = |dated| RecipientKey {
            key: self.key,
            app,
            root: *root,
            dated,
        };
        if is_weak(&self.key) {
            return Err(KeyError::Weak);
        }
        if self.undated.is_none() && self.dated.is_none() {
            return Err(KeyError::Unsigned);
        }
        if let Some(signature) = &self.undated {
            by_root(signature, keccak256([PREFIX, app.as_slice(), &self.key].concat()), root)?;
        }
        let Some((signature, timestamp)) = &self.dated else {
            return Ok(believed(Dated::Undated));
        };
        let parts = [PREFIX, app.as_slice(), &timestamp.to_be_bytes(), &self.key];
        by_root(signature, keccak256(parts.concat()), root)?;
        let signed = i64::try_from(*timestamp).unwrap_or(i64::MAX);
        let age = now.as_second().saturating_sub(signed);
        if age > MAX_AGE {
            return Err(KeyError::Stale { age });
        }
        if age < -MAX_AHEAD {
            return Err(KeyError::Ahead {
                ahead: age.saturating_neg(),
            });
        }
        // Within minutes of `now`, so a time that exists.
        Ok(believed(Dated::At(Timestamp::from_second(signed).unwrap_or(now))))
    }
}

impl RecipientKey {
    /// The X25519 public key.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }
    /// The app whose guests hold the private half.
    pub const fn app(&self) -> Address {
        self.app
    }
    /// Who vouched for it.
    pub const fn root(&self) -> &RootKey {
        &self.root
    }
    /// How fresh that is.
    pub const fn dated(&self) -> Dated {
        self.dated
    }
}

/// Whether the point is of small order: multiples by any secret are then the same one.
fn is_weak(key: &[u8; 32]) -> bool {
    let any = x25519_dalek::StaticSecret::from([1; 32]);
    !any.diffie_hellman(&x25519_dalek::PublicKey::from(*key))
        .was_contributory()
}

fn by_root(signature: &[u8; 65], hash: B256, root: &RootKey) -> Result<(), KeyError> {
    let found = recovered(signature, hash);
    if found.as_ref() == Some(root) {
        return Ok(());
    }
    Err(KeyError::NotByRoot {
        root: *root,
        found: found.map_or_else(|| "nobody".to_owned(), |key| key.to_string()),
    })
}

/// r, s, and 0 or 1 (27 or 28 from some signers).
fn recovered(signature: &[u8; 65], hash: B256) -> Option<RootKey> {
    let parity = match signature.last()? {
        0 | 27 => false,
        1 | 28 => true,
        _ => return None,
    };
    let signature = Signature::from_bytes_and_parity(signature.get(..64)?, parity);
    signature.recover_from_prehash(&hash).ok().map(|key| RootKey::of(&key))
}

fn fixed<const N: usize>(text: &str, what: &'static str) -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
        .ok()
        .ok_or(KeyError::Malformed { what, bytes: N })?;
    Ok(bytes)
}
