//! Sealing: the bytes that only a guest of one app can open, exactly as the official SDK's `encryptEnvVars` makes them.
//!
//! Blob = ephemeral X25519 key (32) ‖ nonce (12) ‖ AES-256-GCM ciphertext ‖ tag (16), as hex digits. The shared secret
//! is the cipher's key as it stands, and nothing more is authenticated (dstack: no derivation, no associated data).

use std::fmt;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{EnvFile, Names, RecipientKey};

/// Bytes of a GCM nonce.
const NONCE: usize = 12;
/// Bytes of a GCM tag.
const TAG: usize = 16;
/// A byte of text becomes at most six of JSON (`\u001f`).
const ESCAPED: usize = 6;
/// What JSON puts around one variable, bytes, and to spare.
const AROUND: usize = 32;

/// An environment that only the guests of one app can open. Public, as far as the cipher holds; still it goes nowhere
/// but into the request.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedEnv {
    blob: String,
    names: Names,
    recipient: RecipientKey,
}

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The system gave no randomness.
    #[error("the system gave no randomness")]
    Random(#[source] getrandom::Error),
    /// The recipient key is one of the few points that lead every sender to the same secret; the guest refuses it too.
    #[error("the recipient key is a weak point of the curve")]
    WeakKey,
    /// Too long for the cipher, which the guest's rules exclude.
    #[error("the environment could not be encrypted")]
    Cipher,
}

impl EnvFile {
    /// Seals these variables for the guests of the key's app, with a fresh key and nonce.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, recipient: &RecipientKey) -> Result<SealedEnv, SealError> {
        let mut ephemeral = Zeroizing::new([0; 32]);
        let mut nonce = [0; NONCE];
        getrandom::fill(ephemeral.as_mut()).map_err(SealError::Random)?;
        getrandom::fill(&mut nonce).map_err(SealError::Random)?;
        Ok(SealedEnv {
            blob: hex::encode(encrypt(self.plaintext()?, &recipient.key, &ephemeral, nonce)?),
            names: self.names(),
            recipient: recipient.clone(),
        })
    }

    /// `{"env":[{"key":"K","value":"V"},…]}`, byte for byte as `JSON.stringify` writes it, in a buffer that never grows:
    /// growing would leave copies of the values behind.
    pub(super) fn plaintext(&self) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let bytes = self
            .variables
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() * ESCAPED + AROUND);
        let mut text = Zeroizing::new(Vec::with_capacity(bytes.sum::<usize>() + AROUND + TAG));
        let document = Document {
            env: self
                .expose()
                .map(|(key, value)| Pair {
                    key: key.as_str(),
                    value,
                })
                .collect(),
        };
        serde_json::to_writer(&mut *text, &document)
            .ok()
            .ok_or(SealError::Cipher)?;
        Ok(text)
    }
}

#[derive(Serialize)]
struct Document<'e> {
    env: Vec<Pair<'e>>,
}

#[derive(Serialize)]
struct Pair<'e> {
    key: &'e str,
    value: &'e str,
}

/// Encrypts in place, so that the plaintext is gone when this returns.
pub(super) fn encrypt(
    mut text: Zeroizing<Vec<u8>>,
    recipient: &[u8; 32],
    ephemeral: &[u8; 32],
    nonce: [u8; NONCE],
) -> Result<Vec<u8>, SealError> {
    let secret = StaticSecret::from(*ephemeral);
    let shared = secret.diffie_hellman(&PublicKey::from(*recipient));
    if !shared.was_contributory() {
        return Err(SealError::WeakKey);
    }
    let cipher = Aes256Gcm::new(<&Key<Aes256Gcm>>::from(shared.as_bytes()));
    cipher
        .encrypt_in_place(&Nonce::from(nonce), b"", &mut *text)
        .ok()
        .ok_or(SealError::Cipher)?;
    Ok([PublicKey::from(&secret).as_bytes(), nonce.as_slice(), text.as_slice()].concat())
}

impl SealedEnv {
    /// The blob as the API takes it: hex digits without `0x`.
    pub fn blob(&self) -> &str {
        &self.blob
    }
    /// SHA-256 of the blob's text, for records.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.blob.as_bytes()).into()
    }
    /// Names of the variables, in order.
    pub const fn names(&self) -> &Names {
        &self.names
    }
    /// Who can open it.
    pub const fn recipient(&self) -> &RecipientKey {
        &self.recipient
    }
}
impl fmt::Debug for SealedEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedEnv")
            .field("names", &self.names)
            .field("bytes", &(self.blob.len() / 2))
            .field("app", &self.recipient.app())
            .finish_non_exhaustive()
    }
}
