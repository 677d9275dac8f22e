//! Files that appear whole, append-only files, locks, bounded reads; every error names its path.
//!
//! The only room that touches `std::fs`. It knows nothing of what the bytes mean.
//!
//! ```
//! use countersign::fsutil;
//!
//! let dir = tempfile::tempdir()?;
//! let file = dir.path().join("proposal.json");
//! fsutil::write(&file, b"{}", 0o644)?;
//! assert_eq!(fsutil::read(&file, 1024)?, b"{}");
//! // Larger than what is wanted is refused, not cut.
//! assert!(fsutil::read(&file, 1).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod append;
mod lines;

use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

pub use append::{AppendFile, HoldError};
pub use lines::{Line, LineFile, Rest, each_line, sum};

/// A file operation that failed, with its path.
///
/// The kind of `source` tells the system's refusals from ours: `PermissionDenied` for a mode, owner or link count
/// that lets others in, `InvalidInput` for what is no regular file, `FileTooLarge` for more bytes than asked for.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FsError {
    /// What was tried, as a verb phrase.
    pub action: &'static str,
    /// The path.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// The user whose files are the system's.
const SYSTEM: u32 = 0;

/// Names of unfinished files: these parts around random characters.
const TEMPORARY: (&str, &str) = (".countersign-", ".tmp");

/// Reads a regular file of at most `max` bytes; symlinks are followed, devices and pipes are not read.
///
/// # Errors
/// Missing, not a regular file, too long, unreadable.
pub fn read(path: &Path, max: u64) -> Result<Vec<u8>, FsError> {
    let (file, metadata) = open_regular(path, OFlags::empty()).at("read", path)?;
    read_bounded(&file, metadata.len(), max).at("read", path)
}

/// As [`read()`], for a file that this program wrote itself: a symlink in its place is somebody else's.
///
/// # Errors
/// As [`read()`], and a symlink.
pub fn read_own(path: &Path, max: u64) -> Result<Vec<u8>, FsError> {
    let (file, metadata) = open_regular(path, OFlags::NOFOLLOW).at("read", path)?;
    read_bounded(&file, metadata.len(), max).at("read", path)
}

/// As [`read()`], for a file that others may read and must not change.
///
/// # Errors
/// As [`read()`], and a mode with which others may write, or the file of another user who is not the system's.
pub fn read_guarded(path: &Path, max: u64) -> Result<Vec<u8>, FsError> {
    const ACTION: &str = "trust";
    let (file, metadata) = open_regular(path, OFlags::empty()).at(ACTION, path)?;
    let is_the_systems = metadata.uid() == SYSTEM || rustix::process::geteuid().is_root();
    if !is_the_systems {
        check_owner(&metadata).at(ACTION, path)?;
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 != 0 {
        let why = format!("others may change it (mode {mode:04o}); `chmod 600` it");
        return Err(refused(ErrorKind::PermissionDenied, why)).at(ACTION, path);
    }
    read_bounded(&file, metadata.len(), max).at(ACTION, path)
}

/// As [`read`], for a file that only its owner may read.
///
/// # Errors
/// As [`read`], and a mode wider than 0600, another owner, or a second name of the file.
pub fn read_secret(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, FsError> {
    secret(path, max, OFlags::empty())
}

/// As [`read_secret`], for a file that this program wrote itself: a symlink in its place is somebody else's.
///
/// # Errors
/// As [`read_secret`], and a symlink.
pub fn read_own_secret(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, FsError> {
    secret(path, max, OFlags::NOFOLLOW)
}

fn secret(path: &Path, max: u64, extra: OFlags) -> Result<Zeroizing<Vec<u8>>, FsError> {
    const ACTION: &str = "use the secret in";
    let (file, metadata) = open_regular(path, extra).at(ACTION, path)?;
    check_owner(&metadata)
        .and_then(|()| check_one_name(&metadata))
        .at(ACTION, path)?;
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let why = format!("others may open it (mode {mode:04o}); `chmod 600` it");
        return Err(refused(ErrorKind::PermissionDenied, why)).at(ACTION, path);
    }
    if metadata.len() > max {
        return Err(too_long(max)).at(ACTION, path);
    }
    // One buffer of the final size: growing it would leave copies of the secret behind.
    let room = usize::try_from(metadata.len()).map_err(Error::other).at(ACTION, path)?;
    let mut bytes = Zeroizing::new(vec![0; room]);
    (&file).read_exact(&mut bytes).at(ACTION, path)?;
    Ok(bytes)
}

/// Writes a file so that it appears whole or not at all, and survives power loss. Cut off, it may leave an
/// unfinished file beside it, which the next [`AppendFile::hold`] in that directory removes. A file that is there keeps a
/// mode that is tighter than `mode`.
///
/// # Errors
/// The disk said no, or `path` is something else than a regular file; the old content is intact.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let umask = Umask::Ignored;
    exchange(path, &Content { bytes, mode, umask }, File::sync_all)
        .and_then(|()| sync_dir(parent(path)))
        .at("write", path)
}

/// As [`write()`], but does not wait for the disk: after power loss the file may be the one before, empty or missing.
/// For what is worth having and can be done without.
///
/// # Errors
/// As [`write()`].
pub fn note(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let umask = Umask::Ignored;
    exchange(path, &Content { bytes, mode, umask }, |_| Ok(())).at("write", path)
}

/// As [`write()`], for a file that the user named: where it is new, the umask may make its mode tighter.
///
/// # Errors
/// As [`write()`].
pub fn publish(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FsError> {
    let umask = Umask::Asked;
    exchange(path, &Content { bytes, mode, umask }, File::sync_all)
        .and_then(|()| sync_dir(parent(path)))
        .at("write", path)
}

/// Whether [`write()`] would find what it needs: a regular file or nothing at `path`, in a directory that takes new files.
/// For whoever does something before it that cannot be taken back.
///
/// # Errors
/// It would not.
pub fn check_writable(path: &Path) -> Result<(), FsError> {
    existing_mode(path)
        .and_then(|_mode| temporary(parent(path), 0o600).map(drop))
        .at("write", path)
}

/// Writes to a descriptor that this process was given open, for example a pipe; nothing is created or cut.
///
/// # Errors
/// It is not open, or takes nothing.
pub fn write_to(descriptor: u32, bytes: &[u8]) -> Result<(), FsError> {
    const ACTION: &str = "write to";
    let path = PathBuf::from(format!("/dev/fd/{descriptor}"));
    let mut file = OpenOptions::new().write(true).open(&path).at(ACTION, &path)?;
    file.write_all(bytes).and_then(|()| file.flush()).at(ACTION, &path)
}

/// Adds to the end of a file that another program made and reads, such as the one for the outputs of a step; it is made where
/// it is missing. Nothing waits for the disk.
///
/// # Errors
/// The disk said no.
pub fn extend(path: &Path, bytes: &[u8]) -> Result<(), FsError> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).at("write to", path)
}

/// Alone among the runs of this program that read a file of a directory and write it again, until it is dropped.
#[derive(Debug)]
pub struct Guard {
    /// Closing it unlocks; nothing where the file system has no locks for directories.
    _directory: Option<File>,
}

/// Waits until no other run holds the guard of the directory of `path`. It is held for as long as reading and writing a
/// file takes, and leaves nothing behind. Where directories cannot be locked it keeps nobody out.
///
/// # Errors
/// The directory cannot be opened.
pub fn guard(path: &Path) -> Result<Guard, FsError> {
    let directory = File::open(parent(path)).at("open the directory of", path)?;
    let locked = directory.lock();
    Ok(Guard {
        _directory: locked.is_ok().then_some(directory),
    })
}

/// Creates a directory (and its parents) that only its owner may enter, durably. One that is there already is
/// closed to others.
///
/// # Errors
/// The disk said no; there is something else, or somebody else's directory.
pub fn create_private_dir(path: &Path) -> Result<(), FsError> {
    const ACTION: &str = "create the directory";
    create_missing(path).at(ACTION, path)?;
    let metadata = std::fs::symlink_metadata(path).at(ACTION, path)?;
    if !metadata.is_dir() {
        return Err(refused(ErrorKind::NotADirectory, "it is something else".to_owned())).at(ACTION, path);
    }
    check_owner(&metadata).at(ACTION, path)?;
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).at(ACTION, path)?;
    }
    Ok(())
}

/// Removes a file; a missing one is no error.
///
/// # Errors
/// The disk said no.
pub fn remove(path: &Path) -> Result<(), FsError> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_dir(parent(path)).at("remove", path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).at("remove", path),
    }
}

/// Whether [`write()`] could put a file there: nothing is there, or a regular file.
///
/// # Errors
/// Something else is there, or it cannot be looked at.
pub fn check_place(path: &Path) -> Result<(), FsError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        found => found.and_then(|metadata| check_regular(&metadata)).at("write", path),
    }
}

/// Removes a directory with all that is in it; one that is not there is removed already.
///
/// # Errors
/// It, or something in it, cannot be removed.
pub fn remove_dir(path: &Path) -> Result<(), FsError> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.at("remove", path),
    }
}

/// Whether there is a file or directory of this name that can be looked at.
pub fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

/// Names of the entries of a directory, sorted; a missing directory has none.
///
/// # Errors
/// Unreadable.
pub fn list(path: &Path) -> Result<Vec<PathBuf>, FsError> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("list", path)?,
    };
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>, Error>>()
        .at("list", path)?;
    paths.sort();
    Ok(paths)
}

/// The directories in a directory, and what may be one behind a symlink, each by its [`absolute`] path; one that cannot be
/// looked at is left out.
///
/// # Errors
/// The directory cannot be looked at.
pub fn list_absolute(path: &Path) -> Result<Vec<PathBuf>, FsError> {
    const ACTION: &str = "list";
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at(ACTION, path)?,
    };
    let within = path.canonicalize().at(ACTION, path)?;
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.at(ACTION, path)?;
        match entry.file_type().at(ACTION, path)? {
            kind if kind.is_file() => {}
            kind if kind.is_symlink() => paths.extend(absolute(&entry.path())),
            _ => paths.push(within.join(entry.file_name())),
        }
    }
    paths.sort();
    Ok(paths)
}

/// One path for one file or directory, whatever way it was written; what it names need not be there, the directory
/// that is to hold it must.
///
/// # Errors
/// That directory cannot be looked at, or the path names nothing that could be there.
pub fn absolute(path: &Path) -> Result<PathBuf, FsError> {
    const ACTION: &str = "look at";
    match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => canonical(path).at(ACTION, path),
        found => found.at(ACTION, path),
    }
}

/// Absolute path of a file that need not be there yet and is no symlink: its directory's canonical path, and its name.
fn canonical(path: &Path) -> std::io::Result<PathBuf> {
    let name = path
        .file_name()
        .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "it names no file"))?;
    Ok(parent(path).canonicalize()?.join(name))
}

/// Removes what a [`write()`] that was cut off left in a directory; only whoever keeps all others from writing there may.
///
/// # Errors
/// The disk said no.
pub fn sweep(directory: &Path) -> Result<(), FsError> {
    for path in list(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Whether the umask has a say in the mode of a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Umask {
    Asked,
    Ignored,
}

/// What a new file holds, and who may read it.
struct Content<'a> {
    bytes: &'a [u8],
    mode: u32,
    umask: Umask,
}

/// Puts a new file in the place of `path`; `settle` is done to it before it gets the name.
fn exchange(
    path: &Path,
    content: &Content<'_>,
    settle: impl FnOnce(&File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let Content { bytes, mode, umask } = *content;
    point("write.a");
    let existing = existing_mode(path)?;
    let born = if umask == Umask::Asked { mode } else { 0o600 };
    let mut file = temporary(parent(path), born)?;
    let mode = match existing {
        // Never wider than it was; its owner reads it all the same.
        Some(existing) => existing & mode | 0o400,
        None if umask == Umask::Asked => file.as_file().metadata()?.mode() & mode | 0o600,
        None => mode,
    };
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    settle(file.as_file())?;
    point("write.b");
    file.persist(path).map_err(|error| error.error)?;
    point("write.d");
    Ok(())
}

/// Mode of the regular file at `path`; nothing where there is none.
fn existing_mode(path: &Path) -> std::io::Result<Option<u32>> {
    match std::fs::symlink_metadata(path) {
        // A rename would put a file where a device or somebody's symlink is.
        Ok(metadata) => check_regular(&metadata).map(|()| Some(metadata.mode() & 0o777)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// An unfinished file; the umask makes its mode tighter. An error is the system's own, which is told apart by its number: the
/// library puts the path around it.
fn temporary(directory: &Path, mode: u32) -> std::io::Result<tempfile::NamedTempFile> {
    let mut number = None;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(mode);
    let made = tempfile::Builder::new()
        .prefix(TEMPORARY.0)
        .suffix(TEMPORARY.1)
        .make_in(directory, |path| {
            options.open(path).inspect_err(|error| number = error.raw_os_error())
        });
    made.map_err(|error| number.map_or(error, std::io::Error::from_raw_os_error))
}

fn create_missing(path: &Path) -> std::io::Result<()> {
    if path.as_os_str().is_empty() || std::fs::symlink_metadata(path).is_ok() {
        return Ok(());
    }
    let above = parent(path);
    create_missing(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_dir(above),
    }
}

/// Opens for reading without waiting for the other end of a pipe.
fn open_regular(path: &Path, extra: OFlags) -> std::io::Result<(File, Metadata)> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NONBLOCK | extra))
        .open(path);
    let file = match opened {
        Err(_not_followed) if extra.contains(OFlags::NOFOLLOW) && is_symlink(path) => {
            return Err(refused(ErrorKind::PermissionDenied, "it is a symlink".to_owned()));
        }
        other => other?,
    };
    let metadata = file.metadata()?;
    check_regular(&metadata)?;
    Ok((file, metadata))
}

/// The file may grow while it is read, so its length only says how much room to begin with.
fn read_bounded(file: &File, length: u64, max: u64) -> std::io::Result<Vec<u8>> {
    let bytes = read_at_most(file, length, max.saturating_add(1))?;
    if bytes.len() as u64 > max {
        return Err(too_long(max));
    }
    Ok(bytes)
}

/// What is left to read of a file that had `length` bytes, at most `most` of them.
fn read_at_most(file: &File, length: u64, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let room = usize::try_from(length.min(most)).map_err(Error::other)?;
    bytes.try_reserve_exact(room)?;
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a path is a symlink, wherever it leads.
pub fn is_symlink(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink())
}

fn check_regular(metadata: &Metadata) -> std::io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(refused(ErrorKind::InvalidInput, "it is not a regular file".to_owned()))
}

fn check_owner(metadata: &Metadata) -> std::io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    if metadata.uid() == own {
        return Ok(());
    }
    let why = format!("it belongs to user {}, and this is user {own}", metadata.uid());
    Err(refused(ErrorKind::PermissionDenied, why))
}

/// A second name is a second way to read or replace the file.
fn check_one_name(metadata: &Metadata) -> std::io::Result<()> {
    match metadata.nlink() {
        1 => Ok(()),
        0 => Err(refused(ErrorKind::NotFound, "it was removed".to_owned())),
        names => Err(refused(
            ErrorKind::PermissionDenied,
            format!("it has {names} names (hard links)"),
        )),
    }
}

fn too_long(max: u64) -> Error {
    refused(ErrorKind::FileTooLarge, format!("it has more than {max} bytes"))
}

fn refused(kind: ErrorKind, why: String) -> Error {
    Error::new(kind, why)
}

/// Flags beside those that `OpenOptions` has words for.
fn flags(extra: OFlags) -> i32 {
    (extra | OFlags::CLOEXEC).bits().cast_signed()
}

/// The directory that holds `path`.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// Makes names that came or went survive power loss.
fn sync_dir(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

/// Adds what was tried, and where, to an error of the system.
trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, FsError>;
}

impl<T> At<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, FsError> {
        self.map_err(|source| FsError {
            action,
            path: path.to_owned(),
            source,
        })
    }
}

/// A named point at which a test build dies when `FAILPOINTS` says `<name>=return`: by SIGKILL, so that nothing is
/// flushed, unlocked or tidied up. Nothing in other builds.
#[cfg(feature = "failpoints")]
pub(crate) fn point(name: &str) {
    use rustix::process::{Signal, getpid, kill_process};
    fail::fail_point!(name, |_| kill_process(getpid(), Signal::KILL).unwrap_or_default());
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn point(_name: &str) {}

#[cfg(test)]
mod tests;
