//! What a guest does with an encrypted environment, written from dstack's description and not from ours.

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use x25519_dalek::{PublicKey, StaticSecret};

/// Opens a blob (hex digits: ephemeral key, nonce, ciphertext with tag); `None` when it is not for this key.
pub fn open(secret: &[u8; 32], blob: &str) -> Option<Vec<u8>> {
    let blob = hex::decode(blob).ok()?;
    let (ephemeral, rest) = blob.split_first_chunk::<32>()?;
    let (nonce, text) = rest.split_first_chunk::<12>()?;
    let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*ephemeral));
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(shared.to_bytes()));
    cipher.decrypt(&Nonce::from(*nonce), text).ok()
}
