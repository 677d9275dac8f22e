//! An append-only file that one process holds.
//!
//! Called by the journal. A lock dies with its process, so nobody ever has to unlock by hand.

use std::fs::{File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{Error, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

use super::{At as _, FsError, LineFile};

/// Room kept behind the last record, so that the outcome of an effect can be written on a full disk.
#[cfg(any(target_os = "linux", target_os = "android"))]
const RESERVE: u64 = 64 * 1024;

/// Longest holder text that is read back.
const MAX_HOLDER: u64 = 512;

/// An append-only file held by one process.
#[derive(Debug)]
pub struct AppendFile {
    path: PathBuf,
    file: File,
    /// Closing it unlocks.
    _lock: File,
    tightened: Option<u32>,
    /// After a failed write or sync the kernel may have dropped pages, and a later sync that succeeds proves nothing.
    broken: bool,
}

/// Why a file could not be held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HoldError {
    /// Another process holds it.
    #[error("`{}` is held by {holder}", path.display())]
    Held {
        /// The lock file.
        path: PathBuf,
        /// Process, host and time, as the holder wrote them.
        holder: String,
    },
    /// The file cannot be used.
    #[error(transparent)]
    Fs(#[from] FsError),
}

impl AppendFile {
    /// Opens or creates `path` (0600, regular file, one link, no symlink) and locks its sibling `<path>.lock`
    /// for the life of the value. Space for later records is reserved, and files that an interrupted
    /// [`write`](fn@super::write) left in the directory are removed.
    ///
    /// # Errors
    /// Held by another process, or not a file this tool may use.
    pub fn hold(path: &Path) -> Result<Self, HoldError> {
        let mut held = Self::hold_to_read(path)?;
        let on_disk = held.file.sync_all();
        on_disk
            .and_then(|()| super::sync_dir(super::parent(&held.path)))
            .at("open", &held.path)?;
        held.reserve()?;
        Ok(held)
    }

    /// Like [`Self::hold`], for whoever rests nothing on what the file says: it need not be on disk yet, and no space is
    /// reserved.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub fn hold_to_read(path: &Path) -> Result<Self, HoldError> {
        let path = super::canonical(path).at("open", path)?;
        let lock = lock(&sibling(&path))?;
        super::sweep(super::parent(&path))?;
        let (file, tightened) = open(&path).at("open", &path)?;
        Ok(Self {
            path,
            file,
            _lock: lock,
            tightened,
            broken: false,
        })
    }

    /// Everything in the file, at most `max` bytes.
    ///
    /// # Errors
    /// Unreadable or longer than `max`.
    pub fn read(&self, max: u64) -> Result<Vec<u8>, FsError> {
        let mut file = &self.file;
        let metadata = file.metadata().at("read", &self.path)?;
        file.seek(SeekFrom::Start(0))
            .and_then(|_| super::read_bounded(&self.file, metadata.len(), max))
            .at("read", &self.path)
    }

    /// The file, to be read by its lines.
    ///
    /// # Errors
    /// The system has no handle left.
    pub fn lines(&self) -> Result<LineFile, FsError> {
        let file = self.file.try_clone().at("read", &self.path)?;
        let length = file.metadata().at("read", &self.path)?.len();
        Ok(LineFile::of(self.path.clone(), file, length))
    }

    /// Cuts the file to `len` bytes, durably.
    ///
    /// # Errors
    /// The disk said no.
    pub fn cut(&mut self, len: u64) -> Result<(), FsError> {
        self.change("cut", |file| {
            file.set_len(len)?;
            file.sync_all()
        })?;
        self.reserve()
    }

    /// Appends `bytes` and returns when they are on disk. After a failure nothing more is appended.
    ///
    /// # Errors
    /// The disk said no, or the file is gone from its place; the file may end in a torn record.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        super::point("append.a");
        self.change("append to", |mut file| {
            file.write_all(bytes)?;
            file.sync_data()
        })?;
        super::point("append.d");
        Ok(())
    }

    /// Reserves room for the records to come, where the file system can; call it before an effect, so that its
    /// outcome can be written.
    ///
    /// # Errors
    /// The disk is full.
    pub fn reserve(&mut self) -> Result<(), FsError> {
        self.reserve_behind(0)
    }

    /// Reserves room for the records to come, behind `length` bytes that are appended next.
    ///
    /// # Errors
    /// The disk is full.
    pub fn reserve_behind(&mut self, length: usize) -> Result<(), FsError> {
        reserve(&self.file, length as u64).at("reserve room behind", &self.path)
    }

    /// The mode that the file had when it was opened, if others could open it; they no longer can.
    pub const fn tightened(&self) -> Option<u32> {
        self.tightened
    }

    /// The path, canonical.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn change(&mut self, action: &'static str, act: impl FnOnce(&File) -> std::io::Result<()>) -> Result<(), FsError> {
        let outcome = if self.broken {
            Err(Error::other("an earlier write failed"))
        } else {
            self.in_place().and_then(|()| act(&self.file))
        };
        self.broken = outcome.is_err();
        outcome.at(action, &self.path)
    }

    /// A file that was removed or replaced takes bytes as ever, and nobody finds them again.
    fn in_place(&self) -> std::io::Result<()> {
        let ours = self.file.metadata()?;
        super::check_one_name(&ours)?;
        let named = std::fs::symlink_metadata(&self.path)?;
        if (ours.dev(), ours.ino()) != (named.dev(), named.ino()) {
            return Err(Error::new(ErrorKind::NotFound, "another file took its place"));
        }
        Ok(())
    }
}

fn sibling(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Locks the file at `path`, creates it if need be, and writes who holds it. It is never removed: a process that
/// waits with the old file open would lock what nobody else sees.
fn lock(path: &Path) -> Result<File, HoldError> {
    let (mut file, _) = open_own(path, OFlags::empty()).at("open", path)?;
    match patiently(|| file.try_lock()) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(HoldError::Held {
                path: path.to_owned(),
                holder: holder(&file),
            });
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).at("lock", path).map_err(HoldError::from);
        }
    }
    probe(path).at("lock", path)?;
    // The text is a courtesy to whoever finds the file locked.
    file.set_len(0)
        .and_then(|()| file.write_all(introduction().as_bytes()))
        .at("write", path)?;
    Ok(file)
}

/// Asks again for a moment: a child that was just forked elsewhere in this process, or a holder that is dying, gives
/// the lock up within milliseconds.
fn patiently(attempt: impl Fn() -> Result<(), TryLockError>) -> Result<(), TryLockError> {
    for wait in [5, 20, 75] {
        match attempt() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(wait)),
            settled => return settled,
        }
    }
    attempt()
}

/// A lock that does not keep a second opener out is no lock: some network file systems grant every one.
fn probe(path: &Path) -> std::io::Result<()> {
    match open_own(path, OFlags::empty())?.0.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => Err(Error::new(
            ErrorKind::Unsupported,
            "locks do not hold on this file system",
        )),
    }
}

fn introduction() -> String {
    let pid = std::process::id();
    let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
    match super::read(Path::new("/proc/sys/kernel/hostname"), MAX_HOLDER) {
        Ok(host) => format!("process {pid} on {} since {now}", String::from_utf8_lossy(&host).trim()),
        Err(_) => format!("process {pid} since {now}"),
    }
}

/// What the holder wrote, on one line and harmless to a terminal.
fn holder(file: &File) -> String {
    let mut bytes = Vec::new();
    let text = match file.take(MAX_HOLDER).read_to_end(&mut bytes) {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().escape_debug().to_string(),
        Err(_) => String::new(),
    };
    if text.is_empty() {
        "another process".to_owned()
    } else {
        text
    }
}

fn open(path: &Path) -> std::io::Result<(File, Option<u32>)> {
    let (file, metadata) = open_own(path, OFlags::APPEND)?;
    let mode = metadata.mode() & 0o777;
    let open_to_others = mode & 0o077 != 0;
    if open_to_others {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok((file, open_to_others.then_some(mode)))
}

/// Opens or creates a regular file of our own with one name.
fn open_own(path: &Path, extra: OFlags) -> std::io::Result<(File, Metadata)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(super::flags(OFlags::NOFOLLOW | OFlags::NONBLOCK | extra))
        .open(path)?;
    let metadata = file.metadata()?;
    super::check_regular(&metadata)?;
    super::check_owner(&metadata)?;
    super::check_one_name(&metadata)?;
    Ok((file, metadata))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn reserve(file: &File, next: u64) -> std::io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    let len = file.metadata()?.len();
    let room = RESERVE.saturating_add(next);
    // The kernel reserves beyond the limit on file sizes, and refuses to write there.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| len.saturating_add(room) > limit) {
        return Err(Errno::FBIG.into());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, len, room) {
        // Not every file system can.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reserve(_file: &File, _next: u64) -> std::io::Result<()> {
    Ok(())
}
