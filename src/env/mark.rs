//! Telling whether two environments have the same values, without keeping any: a keyed digest of all of them together.
//!
//! The digest says nothing without its key, and with it only whether a guess of *every* value is right.

use std::fmt;

use hmac::{Hmac, Mac as _};
use sha2_for_hmac::Sha256;
use zeroize::Zeroizing;

use super::{EnvFile, SealError};

/// Key under which environments are compared; never printed.
#[derive(Clone)]
pub struct MarkKey(Zeroizing<[u8; 32]>);

impl MarkKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn random() -> Result<Self, SealError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(key.as_mut()).map_err(SealError::Random)?;
        Ok(Self(key))
    }
    /// A key that was kept; `None` when these are not the bytes of one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }
    /// The key, for whoever keeps it.
    pub fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}
impl fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkKey(…)")
    }
}

impl EnvFile {
    /// HMAC-SHA256 (RFC 2104) of what would be sealed: names and values in order.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn mark(&self, key: &MarkKey) -> Result<[u8; 32], SealError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose())
            .ok()
            .ok_or(SealError::Cipher)?;
        mac.update(&self.plaintext()?);
        Ok(mac.finalize().into_bytes().into())
    }
}
