//! Files that the user named for a result: what is there already is not lost, and no mode gets wider.

use std::io::ErrorKind;
use std::path::Path;

use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::code::Code;
use crate::fsutil;
use crate::upgrade::UpgradeError;

/// Longest file that is compared with what would replace it, bytes.
const MAX: u64 = 1 << 24;

/// Where a result goes.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) struct OutFile<'a> {
    path: &'a Path,
    /// Replace whatever is there; nothing where the command has no option that says so.
    overwrite: Option<bool>,
}

impl<'a> OutFile<'a> {
    /// For a command with `--overwrite`.
    pub(in crate::cli) const fn new(path: &'a Path, overwrite: bool) -> Self {
        Self {
            path,
            overwrite: Some(overwrite),
        }
    }

    /// For a command that never replaces what it did not write.
    pub(in crate::cli) const fn strict(path: &'a Path) -> Self {
        Self { path, overwrite: None }
    }

    /// Refuses a file that the command reads as well, whatever may be replaced: `inputs` are those.
    ///
    /// # Errors
    /// It is one of them.
    pub(in crate::cli) fn apart_from<'p>(self, inputs: impl IntoIterator<Item = &'p Path>) -> Result<Self, CliError> {
        let own = fsutil::absolute(self.path).ok();
        let is_same = |input: &&Path| own.is_some() && fsutil::absolute(input).ok() == own;
        match inputs.into_iter().find(is_same) {
            None => Ok(self),
            Some(input) => Err(CliError::Usage {
                code: Code::UsageConflict,
                message: format!("`{}` is what is read: the result would take its place", input.display()),
                hint: "name another file for the result".to_owned(),
                next: Next::Command("--help"),
            }),
        }
    }

    /// Whether it can be written, before anything is done that cannot be taken back. A file that is there may go if it is
    /// empty or, by `is_own`, an earlier writing of the same thing.
    ///
    /// # Errors
    /// Something else is there, or the place takes no file.
    pub(in crate::cli) fn check(self, is_own: impl Fn(&[u8]) -> bool) -> Result<(), CliError> {
        fsutil::check_writable(self.path).map_err(CliError::UserFile)?;
        if self.overwrite == Some(true) {
            return Ok(());
        }
        match fsutil::read(self.path, MAX) {
            Ok(found) if found.is_empty() || is_own(&found) => Ok(()),
            Err(error) if error.source.kind() == ErrorKind::NotFound => Ok(()),
            _ => Err(CliError::FileExists {
                path: self.path.to_owned(),
                can_overwrite: self.overwrite.is_some(),
            }),
        }
    }

    /// Writes it, with at most this mode; the same bytes are not written again.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(in crate::cli) fn write(self, bytes: &[u8], mode: u32, is_own: impl Fn(&[u8]) -> bool) -> Result<(), CliError> {
        self.check(|found| found == bytes || is_own(found))?;
        if fsutil::read(self.path, MAX).is_ok_and(|found| found == bytes) {
            return Ok(());
        }
        Ok(fsutil::publish(self.path, bytes, mode).map_err(UpgradeError::File)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn content(path: &Path) -> Vec<u8> {
        fsutil::read(path, MAX).unwrap()
    }

    #[test]
    fn sec_l4_a_file_that_is_there_is_replaced_only_when_it_may_be_and_its_mode_stays_tight() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("out");
        let never = |_: &[u8]| false;
        OutFile::new(&path, false).write(b"one", 0o644, never).unwrap();
        for tight in [0o600, 0o640, 0o400] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(tight)).unwrap();
            OutFile::new(&path, false).write(b"one", 0o644, never).unwrap();
            assert_eq!(mode(&path), tight, "the same bytes");
            for refused in [OutFile::new(&path, false), OutFile::strict(&path)] {
                let error = refused.write(b"two", 0o644, never).unwrap_err();
                assert!(matches!(error, CliError::FileExists { .. }));
            }
            assert_eq!(content(&path), b"one");
            OutFile::new(&path, true).write(b"two", 0o644, never).unwrap();
            assert_eq!((content(&path), mode(&path)), (b"two".to_vec(), tight));
            OutFile::strict(&path)
                .write(b"one", 0o644, |found| found == b"two")
                .unwrap();
            assert_eq!((content(&path), mode(&path)), (b"one".to_vec(), tight));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        OutFile::new(&path, true).write(b"three", 0o644, never).unwrap();
        assert_eq!(mode(&path), 0o644);
    }

    #[test]
    fn sec_l4_an_empty_file_that_was_made_for_it_is_taken_with_its_mode() {
        let place = tempfile::NamedTempFile::new().unwrap();
        OutFile::new(place.path(), false).write(b"x", 0o644, |_| false).unwrap();
        assert_eq!(mode(place.path()), 0o600);
    }

    #[test]
    fn sec_l4_a_link_or_a_place_that_takes_no_file_is_told_before() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path().join("file"), &link).unwrap();
        for path in [link, place.path().join("none/file"), place.path().to_owned()] {
            let error = OutFile::new(&path, true).check(|_| true).unwrap_err();
            assert!(matches!(error, CliError::UserFile(_)), "{error:?}");
        }
        assert_eq!(place.path().read_dir().unwrap().count(), 1);
    }
}
