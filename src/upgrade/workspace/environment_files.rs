//! The sealed environment and its marking key in an upgrade's directory.

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use sha2::{Digest as _, Sha256};

use crate::code::Code;
use crate::env::MarkKey;
use crate::fsutil;
use crate::upgrade::{
    UpgradeError,
    model::environment::{Sealing, not_sealed},
    planning::seal::MAX_SEALED,
    record::event::Event,
    workspace::upgrade::Upgrade,
};

impl Upgrade {
    /// Keeps sealed bytes for the prepare that comes. What was prepared with other values is prepared again with these,
    /// as long as no commit was sent; what was prepared with the same ones stays.
    pub(in crate::upgrade) fn keep_sealed(&mut self, sealing: &Sealing) -> Result<(), UpgradeError> {
        let (values, same) = self.compare(sealing)?;
        let state = self.state();
        let replaces = match same {
            _ if state.is_new() => false,
            Some(false) if state.commit.committed.is_some() => return Err(too_late("the update was committed")),
            Some(false) if state.commit.trying => {
                return Err(too_late("a commit was sent, and its outcome is not known yet,"));
            }
            _ if state.commit.committed.is_some() => return Ok(()),
            Some(true) if self.sealed().is_ok() => return Ok(()),
            Some(true) => false,
            // Without anything to compare with they count as others, unless they are the first on this machine.
            _ => state.may_prepare_again() && state.prepare.sealed.is_some(),
        };
        let before = self.sealed_file();
        let sha256 = B256::from(sealing.digest());
        fsutil::write(&self.dir().join(name_of(sha256)), sealing.blob().as_bytes(), 0o600)?;
        self.record(Event::Sealed {
            sha256,
            values: Some(values),
            replaces,
        })?;
        match before.filter(|path| *path != self.dir().join(name_of(sha256))) {
            Some(old) => Ok(fsutil::remove(&old)?),
            None => Ok(()),
        }
    }

    /// What tells these values from others, and whether they are those that were sealed last; `None` when nothing tells.
    pub(in crate::upgrade) fn compare(&self, sealing: &Sealing) -> Result<(B256, Option<bool>), UpgradeError> {
        let (mark, comparable) = mark_in(self.dir(), sealing)?;
        let known = self.state().prepare.values.filter(|_| comparable);
        Ok((mark, known.map(|known| known == mark)))
    }

    /// Where the sealed bytes are, if there should be any.
    pub(in crate::upgrade) fn sealed_file(&self) -> Option<PathBuf> {
        self.state()
            .prepare
            .sealed
            .map(|sha256| self.dir().join(name_of(sha256)))
    }

    /// The sealed bytes as they were recorded.
    pub(in crate::upgrade) fn sealed(&self) -> Result<String, UpgradeError> {
        let gone = || {
            UpgradeError::decide(
                Code::EnvNeeded,
                "the sealed environment is not on this machine, and preparing without it would leave the guest with the \
                 old values",
            )
        };
        let (Some(path), Some(sha256)) = (self.sealed_file(), self.state().prepare.sealed) else {
            return Err(gone());
        };
        let bytes = match fsutil::read_own_secret(&path, MAX_SEALED) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Err(gone()),
            other => other?,
        };
        let found = B256::from(<[u8; 32]>::from(Sha256::digest(&bytes)));
        if found != sha256 {
            return Err(UpgradeError::stop(
                Code::EnvChanged,
                "SHA-256 of the sealed environment",
                sha256,
                found,
            ));
        }
        std::str::from_utf8(&bytes).map(ToOwned::to_owned).ok().ok_or_else(gone)
    }
}

/// What tells these values from others in records of `dir`, and whether earlier marks there can be compared with it: the
/// key under which they were made is kept beside them, and made where there is none.
pub(in crate::upgrade) fn mark_in(dir: &Path, sealing: &Sealing) -> Result<(B256, bool), UpgradeError> {
    let path = dir.join(KEY_FILE);
    let found = match fsutil::read_own_secret(&path, KEY_MAX) {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => None,
        other => MarkKey::from_bytes(&other?),
    };
    if let Some(key) = found {
        return Ok((sealing.mark(&key)?, true));
    }
    let key = MarkKey::random().map_err(not_sealed)?;
    fsutil::write(&path, key.expose(), 0o600)?;
    Ok((sealing.mark(&key)?, false))
}

/// The guest gets, or has, the earlier values; other ones are a change by themselves.
fn too_late(what: &str) -> UpgradeError {
    UpgradeError::decide(
        Code::EnvValuesLate,
        format!("{what} with other values than these; nothing was sent"),
    )
}

fn name_of(sha256: B256) -> String {
    let digits = hex::encode(sha256);
    format!("environment-{}", digits.chars().take(8).collect::<String>())
}

/// The key under which values are told from others (private). It stays as long as the directory does: a later run has to
/// know whether its values are those that were sent.
const KEY_FILE: &str = "environment.key";

/// A key, and nothing else.
const KEY_MAX: u64 = 32;
