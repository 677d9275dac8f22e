//! From where a key is to the key.
//!
//! Called by [`Signer::open`](super::Signer::open). Every buffer that holds a key or a password is wiped, and no
//! error quotes one: the libraries' own errors do, so they are dropped.

use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

use super::ask::{Ask, Unlock};
use super::error::SignerError;
use super::source::Source;
use crate::fsutil;

/// Longest key file that is read, bytes.
const MAX_SECRET: u64 = 4096;

/// Finds the key.
#[cfg_attr(
    not(feature = "keystore"),
    allow(unused_variables, reason = "only keystores are unlocked")
)]
pub(super) fn open(source: &Source, unlock: &Unlock, ask: &dyn Ask) -> Result<PrivateKeySigner, SignerError> {
    match source {
        Source::Prompt => parse(&ask.secret("Private key")?, "what was typed"),
        Source::Env(name) => {
            let text = ask
                .variable(name)
                .ok_or_else(|| SignerError::NoVariable { name: name.clone() })?;
            ask.tell(&format!(
                "the key comes from the environment variable `{name}`, which child processes inherit and logs of a \
                 pipeline may show; a keystore keeps it safer"
            ));
            parse(&text, &format!("the environment variable `{name}`"))
        }
        Source::File(path) => {
            let bytes = fsutil::read_secret(path, MAX_SECRET)?;
            let place = format!("`{}`", path.display());
            let text = std::str::from_utf8(&bytes)
                .ok()
                .ok_or_else(|| not_a_key(&place, "it is not text"))?;
            parse(text, &place)
        }
        #[cfg(feature = "keystore")]
        Source::Keystore(_) | Source::Account(_) => {
            let (path, unlocked) = super::unlock::unlock(source, unlock, ask)?;
            let key = scalar(&unlocked.key, &format!("`{}`", path.display()))?;
            match unlocked.address {
                Some(address) if address != key.address() => Err(SignerError::Keystore {
                    why: format!("it says it is of {address}, and its key is of {}", key.address()),
                    path,
                }),
                _ => Ok(key),
            }
        }
        // Other keys are opened elsewhere, or by no part of this build.
        _ => Err(SignerError::Source {
            text: source.to_string(),
        }),
    }
}

/// 64 hex digits, with or without `0x`, white space around them allowed.
fn parse(text: &str, place: &str) -> Result<PrivateKeySigner, SignerError> {
    let text = text.trim();
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), bytes.as_mut())
        .ok()
        .ok_or_else(|| not_a_key(place, "it is not 64 hex digits"))?;
    scalar(&bytes, place)
}

fn scalar(bytes: &[u8; 32], place: &str) -> Result<PrivateKeySigner, SignerError> {
    PrivateKeySigner::from_slice(bytes)
        .ok()
        .ok_or_else(|| not_a_key(place, "it is zero, or not below the order of the curve"))
}

fn not_a_key(place: &str, why: &'static str) -> SignerError {
    SignerError::NotAKey {
        place: place.to_owned(),
        why,
    }
}
