//! Rules of files, with faults made by real means: other processes, limits, devices, links.

use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, chown, mknodat};
use rustix::process::Uid;
use tempfile::TempDir;

use super::*;

const PLENTY: u64 = 1 << 20;

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(path: &Path, bytes: &[u8], mode: u32) {
    write(path, bytes, mode).unwrap();
    // One that was there keeps a tighter mode.
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

/// A file of another user: ours given away when root runs the tests, else one of the system's.
fn foreign(dir: &Path) -> PathBuf {
    if !rustix::process::geteuid().is_root() {
        return PathBuf::from("/etc/passwd");
    }
    let path = dir.join("foreign");
    put(&path, b"x", 0o600);
    chown(&path, Some(Uid::from_raw(65_534)), None).unwrap();
    path
}

fn kind<T: std::fmt::Debug>(outcome: Result<T, FsError>) -> ErrorKind {
    outcome.unwrap_err().source.kind()
}

/// Runs an ignored test of this file as another process, in `dir`.
fn child(name: &str, dir: &Path) -> Child {
    child_in_shell(name, dir, "")
}

fn child_in_shell(name: &str, dir: &Path, before: &str) -> Child {
    let test = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    Command::new("sh")
        .args(["-c", &format!("{before}\nexec \"$@\""), "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--ignored", "--quiet"])
        .current_dir(dir)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for(what: impl Fn() -> bool) {
    let start = Instant::now();
    while !what() {
        assert!(start.elapsed() < Duration::from_secs(60), "it never happened");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "the other process of the locking tests"]
fn other_process() {
    match AppendFile::hold(Path::new("journal")) {
        Ok(mut held) => {
            held.append(b"held\n").unwrap();
            put(Path::new("holder"), std::process::id().to_string().as_bytes(), 0o600);
            wait_for(|| Path::new("stop").exists());
        }
        Err(HoldError::Held { .. }) => put(Path::new(&format!("refused-{}", std::process::id())), b"", 0o600),
        Err(HoldError::Fs(error)) => panic!("{error:?}"),
    }
}

#[test]
fn c1_a_second_holder_is_refused_at_once_and_told_who_holds_it() {
    let dir = dir();
    let path = dir.path().join("journal");
    let mut other = child("other_process", dir.path());
    wait_for(|| dir.path().join("holder").exists());

    let start = Instant::now();
    let refusal = AppendFile::hold(&path).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(1));
    let HoldError::Held { holder, .. } = refusal else {
        panic!("{refusal:?}")
    };
    let pid = String::from_utf8(read(&dir.path().join("holder"), PLENTY).unwrap()).unwrap();
    assert!(
        holder.starts_with(&format!("process {pid} ")) && holder.contains(" since 20"),
        "{holder}"
    );

    put(&dir.path().join("stop"), b"", 0o600);
    assert!(other.wait().unwrap().success());
}

#[test]
fn c2_of_64_processes_at_once_exactly_one_proceeds() {
    let dir = dir();
    let children: Vec<_> = (0..64).map(|_| child("other_process", dir.path())).collect();
    let refused = || {
        let names = list(dir.path()).unwrap();
        names
            .iter()
            .filter(|name| name.to_string_lossy().contains("refused-"))
            .count()
    };
    wait_for(|| refused() == 63);
    put(&dir.path().join("stop"), b"", 0o600);
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(read(&dir.path().join("journal"), PLENTY).unwrap(), b"held\n");
}

#[test]
fn c3_a_killed_holder_leaves_no_lock() {
    let dir = dir();
    let mut other = child("other_process", dir.path());
    wait_for(|| dir.path().join("holder").exists());
    other.kill().unwrap();
    other.wait().unwrap();
    let held = AppendFile::hold(&dir.path().join("journal")).unwrap();
    assert_eq!(held.read(PLENTY).unwrap(), b"held\n");
}

#[test]
fn c8_a_held_file_can_be_read_by_others() {
    let dir = dir();
    let path = dir.path().join("journal");
    let mut held = AppendFile::hold(&path).unwrap();
    held.append(b"one\n").unwrap();
    assert_eq!(read(&path, PLENTY).unwrap(), b"one\n");
}

#[test]
fn a_lock_ends_with_its_value() {
    let dir = dir();
    let path = dir.path().join("journal");
    drop(AppendFile::hold(&path).unwrap());
    assert!(AppendFile::hold(&path).is_ok());
}

#[test]
fn appended_bytes_follow_what_was_there() {
    let dir = dir();
    let path = dir.path().join("journal");
    let mut held = AppendFile::hold(&path).unwrap();
    held.append(b"one\n").unwrap();
    assert_eq!(held.read(PLENTY).unwrap(), b"one\n");
    held.append(b"two\n").unwrap();
    drop(held);
    AppendFile::hold(&path).unwrap().append(b"three\n").unwrap();
    assert_eq!(read(&path, PLENTY).unwrap(), b"one\ntwo\nthree\n");
}

#[test]
fn j1_after_a_cut_at_any_byte_the_next_record_starts_there() {
    let dir = dir();
    let whole = b"first\nsecond\nthird";
    for len in 0..=whole.len() {
        let path = dir.path().join(format!("journal-{len}"));
        let mut held = AppendFile::hold(&path).unwrap();
        held.append(whole).unwrap();
        held.cut(u64::try_from(len).unwrap()).unwrap();
        held.append(b"next\n").unwrap();
        assert_eq!(
            read(&path, PLENTY).unwrap(),
            [whole.get(..len).unwrap(), b"next\n"].concat()
        );
    }
}

#[test]
#[ignore = "the process with a file size limit"]
fn limited_process() {
    let mut held = AppendFile::hold(Path::new("journal")).unwrap();
    held.append(b"before\n").unwrap();
    let error = held.append(&[b'x'; 300_000]).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::FileTooLarge);
    held.append(b"after\n").unwrap_err();
    write(Path::new("proposal"), &[b'x'; 300_000], 0o600).unwrap_err();
    put(Path::new("passed"), b"", 0o600);
}

#[test]
fn d2_d5_d6_a_write_that_stops_halfway_is_an_error_and_ends_the_appending() {
    let dir = dir();
    put(&dir.path().join("proposal"), b"old", 0o600);
    // 400 blocks of 512 bytes: enough for the reserve, not for the long record.
    let mut limited = child_in_shell("limited_process", dir.path(), "trap '' XFSZ; ulimit -f 400");
    assert!(limited.wait().unwrap().success());
    assert!(dir.path().join("passed").exists());

    let journal = read(&dir.path().join("journal"), PLENTY).unwrap();
    assert!(journal.starts_with(b"before\nxxx") && !journal.ends_with(b"after\n"));
    assert_eq!(read(&dir.path().join("proposal"), PLENTY).unwrap(), b"old");
}

/// On a disk of 256 KiB that nobody else uses.
#[test]
#[ignore = "the process with a full disk"]
fn full_disk_process() {
    let full = |outcome: Result<(), FsError>| kind(outcome) == ErrorKind::StorageFull;
    let mut held = AppendFile::hold(Path::new("journal")).unwrap();
    held.append(b"before\n").unwrap();
    put(Path::new("proposal"), b"old", 0o600);
    let mut fillers = (0..).map(|number| write(Path::new(&format!("filler-{number}")), &[0; 4096], 0o600));
    assert!(full(fillers.find(Result::is_err).unwrap()));

    assert!(full(write(Path::new("proposal"), &[b'x'; 8192], 0o600)));
    assert_eq!(read(Path::new("proposal"), PLENTY).unwrap(), b"old");
    let Err(HoldError::Fs(error)) = AppendFile::hold(Path::new("another")) else {
        panic!("it was held")
    };
    assert_eq!(error.source.kind(), ErrorKind::StorageFull);

    held.append(&[b'y'; 48 * 1024]).unwrap();
    assert!(full(held.append(&[b'z'; 32 * 1024])));
    put(Path::new("../passed"), b"", 0o600);
}

/// Where the system lets a process have file systems of its own; elsewhere nothing is shown.
#[test]
fn d1_d3_on_a_full_disk_nothing_begins_and_what_was_begun_can_be_recorded() {
    let dir = dir();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = format!("mount -t tmpfs -o size=256k tmpfs {}", disk.display());
    let possible = Command::new("unshare").args(["-rm", "sh", "-c", &mount]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return;
    }
    let before = format!(
        "set -- unshare -rm sh -c '{mount} && cd {} && exec \"$@\"' sh \"$@\"",
        disk.display()
    );
    let mut process = child_in_shell("full_disk_process", dir.path(), &before);
    assert!(process.wait().unwrap().success());
    assert!(dir.path().join("passed").exists());
}

#[test]
fn d3_room_is_reserved_behind_the_last_record() {
    let dir = dir();
    let path = dir.path().join("journal");
    let mut held = AppendFile::hold(&path).unwrap();
    held.append(b"one\n").unwrap();
    held.reserve().unwrap();
    let metadata = std::fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 4);
    // A file system that cannot reserve shows only what is written.
    assert!(metadata.blocks() * 512 >= 64 * 1024 || metadata.blocks() <= 8);
}

#[test]
fn d7_a_directory_that_takes_no_files_is_an_error_that_names_the_path() {
    for outcome in [
        AppendFile::hold(Path::new("/proc/journal")).map(drop),
        hold_in_missing_directory(),
    ] {
        let Err(HoldError::Fs(error)) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(error.to_string().contains("journal"), "{error}");
    }
    assert!(
        write(Path::new("/proc/proposal"), b"x", 0o600)
            .unwrap_err()
            .to_string()
            .contains("/proc/proposal")
    );
}

fn hold_in_missing_directory() -> Result<(), HoldError> {
    AppendFile::hold(&dir().path().join("missing/journal")).map(drop)
}

#[test]
fn d8_nothing_is_appended_to_a_file_that_was_removed_or_replaced() {
    let dir = dir();
    let path = dir.path().join("journal");
    let mut held = AppendFile::hold(&path).unwrap();
    remove(&path).unwrap();
    assert_eq!(kind(held.append(b"x")), ErrorKind::NotFound);
    drop(held);

    let mut held = AppendFile::hold(&path).unwrap();
    put(&path, b"another", 0o600);
    assert_eq!(kind(held.append(b"x")), ErrorKind::NotFound);
    assert_eq!(read(&path, PLENTY).unwrap(), b"another");
}

#[test]
fn d10_a_journal_that_others_may_open_is_closed_to_them_and_says_so() {
    let dir = dir();
    let path = dir.path().join("journal");
    put(&path, b"one\n", 0o644);
    let held = AppendFile::hold(&path).unwrap();
    assert_eq!((mode(&path), held.tightened()), (0o600, Some(0o644)));
    drop(held);
    assert_eq!(AppendFile::hold(&path).unwrap().tightened(), None);
    assert_eq!(mode(&dir.path().join("journal.lock")), 0o600);
}

#[test]
fn d10_n4_a_secret_that_others_may_open_is_refused_with_the_remedy() {
    let dir = dir();
    let path = dir.path().join("key");
    put(&path, b"secret", 0o600);
    assert_eq!(*read_secret(&path, PLENTY).unwrap(), b"secret");
    for wide in [0o644, 0o640, 0o604, 0o620, 0o601] {
        put(&path, b"secret", wide);
        let error = read_secret(&path, PLENTY).unwrap_err();
        assert_eq!(error.source.kind(), ErrorKind::PermissionDenied);
        assert!(error.source.to_string().contains("chmod 600"));
    }
}

#[test]
fn d11_a_secret_with_two_names_or_another_owner_is_refused() {
    let dir = dir();
    let path = dir.path().join("key");
    put(&path, b"secret", 0o600);
    std::fs::hard_link(&path, dir.path().join("twin")).unwrap();
    assert_eq!(kind(read_secret(&path, PLENTY)), ErrorKind::PermissionDenied);
    assert_eq!(
        kind(read_secret(&foreign(dir.path()), PLENTY)),
        ErrorKind::PermissionDenied
    );
}

#[test]
fn a_secret_longer_than_asked_for_is_refused() {
    let dir = dir();
    let path = dir.path().join("key");
    put(&path, b"secret", 0o600);
    assert!(read_secret(&path, 6).is_ok());
    assert_eq!(kind(read_secret(&path, 5)), ErrorKind::FileTooLarge);
}

#[test]
fn d11_a_journal_is_a_regular_file_of_our_own_with_one_name() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name);
    put(&at("file"), b"", 0o600);
    symlink(at("file"), at("symlink")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    fifo(&at("fifo"));
    std::fs::hard_link(at("file"), at("hard")).unwrap();
    std::fs::create_dir(at("directory")).unwrap();
    for name in ["symlink", "dangling", "fifo", "hard", "directory"] {
        let refusal = AppendFile::hold(&at(name));
        assert!(matches!(refusal, Err(HoldError::Fs(_))), "{name}: {refusal:?}");
    }
    assert!(!at("nowhere").exists());
    assert!(matches!(AppendFile::hold(&foreign(dir.path())), Err(HoldError::Fs(_))));
}

#[test]
fn d11_a_lock_file_that_is_a_symlink_is_not_followed() {
    let dir = dir();
    put(&dir.path().join("victim"), b"precious", 0o600);
    symlink(dir.path().join("victim"), dir.path().join("journal.lock")).unwrap();
    assert!(matches!(
        AppendFile::hold(&dir.path().join("journal")),
        Err(HoldError::Fs(_))
    ));
    assert_eq!(read(&dir.path().join("victim"), PLENTY).unwrap(), b"precious");
}

#[test]
fn d12_two_ways_to_write_one_path_are_one_lock() {
    let dir = dir();
    std::fs::create_dir(dir.path().join("sub")).unwrap();
    symlink(dir.path(), dir.path().join("alias")).unwrap();
    let held = AppendFile::hold(&dir.path().join("journal")).unwrap();
    for twin in ["sub/../journal", "alias/journal", "./journal"] {
        let refusal = AppendFile::hold(&dir.path().join(twin));
        assert!(matches!(refusal, Err(HoldError::Held { .. })), "{twin}: {refusal:?}");
    }
    assert_eq!(held.path(), dir.path().canonicalize().unwrap().join("journal"));
    assert!(matches!(
        AppendFile::hold(&dir.path().join("x".repeat(5000))),
        Err(HoldError::Fs(_))
    ));
}

#[test]
fn k08_what_a_killed_writer_left_is_removed_by_the_next_holder() {
    let dir = dir();
    let left = dir.path().join(".countersign-Ab3.tmp");
    put(&left, b"half", 0o600);
    put(&dir.path().join("proposal.json"), b"{}", 0o600);
    let _held = AppendFile::hold(&dir.path().join("journal")).unwrap();
    let names = list(dir.path()).unwrap();
    let expected = ["journal", "journal.lock", "proposal.json"].map(|name| dir.path().join(name));
    assert_eq!(names, expected);
}

#[test]
fn a_written_file_has_the_new_content_the_asked_mode_and_leaves_nothing_beside_it() {
    let dir = dir();
    let path = dir.path().join("proposal.json");
    for (content, asked) in [(b"one".as_slice(), 0o644), (b"another".as_slice(), 0o600)] {
        write(&path, content, asked).unwrap();
        assert_eq!((read(&path, PLENTY).unwrap(), mode(&path)), (content.to_vec(), asked));
        assert_eq!(list(dir.path()).unwrap(), std::slice::from_ref(&path));
    }
}

#[test]
fn i17_a_write_replaces_no_symlink_device_pipe_or_directory() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name);
    put(&at("victim"), b"precious", 0o600);
    symlink(at("victim"), at("symlink")).unwrap();
    fifo(&at("fifo"));
    std::fs::create_dir(at("directory")).unwrap();
    for path in [at("symlink"), at("fifo"), at("directory"), PathBuf::from("/dev/null")] {
        assert_eq!(kind(write(&path, b"x", 0o600)), ErrorKind::InvalidInput);
    }
    assert_eq!(read(&at("victim"), PLENTY).unwrap(), b"precious");
    assert_eq!(list(dir.path()).unwrap().len(), 4);
}

#[test]
fn i17_only_regular_files_are_read_and_no_more_than_asked_for() {
    let dir = dir();
    let at = |name: &str| dir.path().join(name);
    fifo(&at("fifo"));
    for path in [
        at("fifo"),
        dir.path().to_owned(),
        PathBuf::from("/dev/zero"),
        PathBuf::from("/dev/null"),
    ] {
        assert_eq!(kind(read(&path, PLENTY)), ErrorKind::InvalidInput);
        assert_eq!(kind(read_secret(&path, PLENTY)), ErrorKind::InvalidInput);
    }
    put(&at("file"), b"123456", 0o600);
    assert_eq!(read(&at("file"), 6).unwrap(), b"123456");
    assert_eq!(kind(read(&at("file"), 5)), ErrorKind::FileTooLarge);
    // Reports no length and has content.
    assert_eq!(kind(read(Path::new("/proc/self/maps"), 64)), ErrorKind::FileTooLarge);
    symlink(at("file"), at("symlink")).unwrap();
    assert_eq!(read(&at("symlink"), PLENTY).unwrap(), b"123456");
}

#[test]
fn a_missing_file_is_not_found_to_read_and_no_error_to_remove() {
    let dir = dir();
    let path = dir.path().join("missing");
    assert_eq!(kind(read(&path, PLENTY)), ErrorKind::NotFound);
    remove(&path).unwrap();
    assert_eq!(list(&path).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn d10_a_private_directory_is_closed_to_others_when_new_and_when_found() {
    let dir = dir();
    let deep = dir.path().join("a/b/c");
    create_private_dir(&deep).unwrap();
    create_private_dir(&deep).unwrap();
    assert_eq!([mode(&deep), mode(&dir.path().join("a"))], [0o700, 0o700]);
    std::fs::set_permissions(&deep, Permissions::from_mode(0o755)).unwrap();
    create_private_dir(&deep).unwrap();
    assert_eq!(mode(&deep), 0o700);
}

#[test]
fn a_private_directory_is_no_file_and_no_symlink() {
    let dir = dir();
    put(&dir.path().join("file"), b"", 0o600);
    symlink(dir.path(), dir.path().join("symlink")).unwrap();
    for name in ["file", "symlink"] {
        assert_eq!(
            kind(create_private_dir(&dir.path().join(name))),
            ErrorKind::NotADirectory
        );
    }
}

#[test]
fn se2_low_a_symlink_in_the_place_of_a_file_of_our_own_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    write(&target, b"secret", 0o600).unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert_eq!(*read_own_secret(&target, 10).unwrap(), b"secret");
    assert_eq!(read_own(&target, 10).unwrap(), b"secret");
    for refused in [
        read_own_secret(&link, 10).unwrap_err(),
        read_own(&link, 10).unwrap_err(),
    ] {
        assert_eq!(refused.source.kind(), ErrorKind::PermissionDenied, "{refused}");
        assert!(refused.source.to_string().contains("symlink"), "{}", refused.source);
    }
    // What a user names may be one: secrets are mounted like that.
    assert_eq!(*read_secret(&link, 10).unwrap(), b"secret");
    assert_eq!(read_guarded(&link, 10).unwrap(), b"secret");
}
