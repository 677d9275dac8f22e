//! The password of a keystore, and what it opens.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use zeroize::Zeroizing;

use super::ask::{Ask, Unlock};
use super::error::SignerError;
use super::keystore::Keystore;
use super::source::Source;
use crate::fsutil;

/// Longest keystore that is read, bytes.
const MAX_KEYSTORE: u64 = 64 * 1024;
/// Longest password file that is read, bytes.
const MAX_PASSWORD: u64 = 4096;
/// How often a person may try a password.
const TRIES: u32 = 3;

/// What a keystore held.
pub(super) struct Unlocked {
    pub(super) key: Zeroizing<[u8; 32]>,
    /// Whose key it says it is.
    pub(super) address: Option<Address>,
}

/// Opens the keystore of a source, and says where it is.
pub(super) fn unlock(source: &Source, unlock: &Unlock, ask: &dyn Ask) -> Result<(PathBuf, Unlocked), SignerError> {
    let path = match source {
        Source::Keystore(path) => path.clone(),
        Source::Account(name) => match &unlock.keystore_dir {
            Some(folder) => folder.join(name),
            None => return Err(SignerError::NoFolder { name: name.clone() }),
        },
        other => {
            return Err(SignerError::Source {
                text: other.to_string(),
            });
        }
    };
    let broken = |why: String| SignerError::Keystore {
        path: path.clone(),
        why,
    };
    let keystore = Keystore::parse(&fsutil::read_guarded(&path, MAX_KEYSTORE)?).map_err(broken)?;
    let key = match &unlock.password_file {
        Some(file) => by_file(&keystore, file)?,
        None => by_person(&keystore, &path, ask)?,
    };
    let Some(key) = key else {
        return Err(SignerError::Password { path });
    };
    let address = keystore.address;
    Ok((path, Unlocked { key, address }))
}

/// The line end behind a password is the editor's.
fn by_file(keystore: &Keystore, file: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, SignerError> {
    let content = fsutil::read_secret(file, MAX_PASSWORD)?;
    let line = content.strip_suffix(b"\n").unwrap_or(&content);
    Ok(keystore.decrypt(line.strip_suffix(b"\r").unwrap_or(line)))
}

fn by_person(keystore: &Keystore, path: &Path, ask: &dyn Ask) -> Result<Option<Zeroizing<[u8; 32]>>, SignerError> {
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
