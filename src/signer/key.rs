//! From where a key is to the key.
//!
//! Called by [`Signer::open`](super::Signer::open). Every buffer that holds a key or a password is wiped, and no
//! error quotes one: the libraries' own errors do, so they are dropped.

use std::path::Path;

use alloy::signers::local::PrivateKeySigner;
use zeroize::Zeroizing;

use super::ask::{Ask, Unlock};
use super::error::SignerError;
use super::keystore::Keystore;
use super::source::Source;
use crate::fsutil;

/// Longest key or password file that is read, bytes.
const MAX_SECRET: u64 = 4096;
/// Longest keystore that is read, bytes.
const MAX_KEYSTORE: u64 = 64 * 1024;
/// How often a person may try a password.
const TRIES: u32 = 3;

/// Finds the key.
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
        Source::Keystore(path) => keystore(path, unlock, ask),
        Source::Account(name) => match &unlock.keystore_dir {
            Some(folder) => keystore(&folder.join(name), unlock, ask),
            None => Err(SignerError::NoFolder { name: name.clone() }),
        },
        Source::Ledger(_) | Source::Aws(_) => Err(SignerError::Source {
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

fn keystore(path: &Path, unlock: &Unlock, ask: &dyn Ask) -> Result<PrivateKeySigner, SignerError> {
    let broken = |why: String| SignerError::Keystore {
        path: path.to_owned(),
        why,
    };
    let keystore = Keystore::parse(&fsutil::read_guarded(path, MAX_KEYSTORE)?).map_err(broken)?;
    let bytes = match &unlock.password_file {
        Some(file) => unlocked_by_file(&keystore, file)?,
        None => unlocked_by_person(&keystore, path, ask)?,
    };
    let bytes = bytes.ok_or_else(|| SignerError::Password { path: path.to_owned() })?;
    let key = scalar(&bytes, &format!("`{}`", path.display()))?;
    match keystore.address {
        Some(address) if address != key.address() => Err(broken(format!(
            "it says it is of {address}, and its key is of {}",
            key.address()
        ))),
        _ => Ok(key),
    }
}

type Unlocked = Option<Zeroizing<[u8; 32]>>;

/// The line end behind a password is the editor's.
fn unlocked_by_file(keystore: &Keystore, file: &Path) -> Result<Unlocked, SignerError> {
    let content = fsutil::read_secret(file, MAX_SECRET)?;
    let line = content.strip_suffix(b"\n").unwrap_or(&content);
    Ok(keystore.decrypt(line.strip_suffix(b"\r").unwrap_or(line)))
}

fn unlocked_by_person(keystore: &Keystore, path: &Path, ask: &dyn Ask) -> Result<Unlocked, SignerError> {
    for left in (0..TRIES).rev() {
        let password = ask.secret(&format!("Password of {}", path.display()))?;
        if let Some(bytes) = keystore.decrypt(password.as_bytes()) {
            return Ok(Some(bytes));
        }
        if left > 0 {
            ask.tell("wrong password");
        }
    }
    Ok(None)
}
