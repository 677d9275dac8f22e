//! Keeps what is secret of a state directory out of git: a `.gitignore` that is written with the directory, and a word
//! where git tracks such a file already. Git itself is never run.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::fsutil::{self, FsError};
use crate::upgrade::{finding::Warning, record::git_index};

/// Name of the directory below which upgrades are kept when nobody names another place.
pub const STATE_DIR: &str = ".countersign";
const FILE: &str = ".gitignore";
/// How the files that this tool writes begin; one that begins otherwise is somebody else's.
const MARK: &str = "# Written by countersign";
/// Below the usual place everything is kept out but what holds no secret: what others read, and exports.
const USUAL: &str = "# Written by countersign: journals, commit tokens and environments stay out of git, what others read may go in.\n\
    *\n!*/\n!.gitignore\n!*.json\n!*.md\n!*.txt\n";
/// Largest `.gitignore` that is looked at.
const MAX: u64 = 1 << 20;
/// Directories above one that are looked at for a repository.
const DEPTH: usize = 64;
/// Largest index that is read: some hundred thousand files.
const MAX_INDEX: u64 = 64 << 20;
/// Most files that a warning names.
const NAMED: usize = 5;

/// Patterns of what is secret in a directory of one upgrade, or of values that were sent alone.
const SECRET: [&str; 11] = [
    "journal",
    "journal.head",
    "journal.lock",
    "token",
    "prepare.raw",
    "environment-*",
    "environment.key",
    "sealed.hex",
    "values",
    "values.lock",
    ".countersign-*.tmp",
];

/// Whose files a directory of its own holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upgrade) enum Holds {
    /// One upgrade's.
    One,
    /// A fleet's, and below it those of its members.
    Fleet,
}

/// Writes the `.gitignore` of a state directory that exists: at the usual place that it is below, or else, and where
/// somebody has one of their own there, in the directory itself. What somebody else wrote stays as it is, and a place
/// where nothing may be written is passed over.
///
/// # Errors
/// The disk said no.
pub(in crate::upgrade) fn protect(dir: &Path, holds: Holds) -> Result<(), FsError> {
    let dir = fsutil::absolute(dir)?;
    match usual_place(&dir) {
        Some(root) if is_ours(&root, USUAL)? => Ok(()),
        _ => is_ours(&dir, &of_its_own(holds)).map(drop),
    }
}

/// Says which secret files of a state directory git tracks. A repository that cannot be read says nothing.
pub(in crate::upgrade) fn tracked(dir: &Path, holds: Holds) -> Option<Warning> {
    let dir = fsutil::absolute(dir).ok()?;
    let (tree, git) = repository(&dir)?;
    let bytes = fsutil::read(&git.join("index"), MAX_INDEX).ok()?;
    let within = |path: &Path| match usual_place(&dir) {
        Some(root) => path.starts_with(root),
        None => below(path, &dir).is_some_and(|depth| depth <= usize::from(holds == Holds::Fleet)),
    };
    let paths = git_index::paths(&bytes)?;
    let found = paths.into_iter().filter(|path| {
        let whole = tree.join(path);
        path.file_name().is_some_and(|name| is_secret(&name.to_string_lossy())) && within(&whole)
    });
    let names: Vec<String> = found.map(|path| path.display().to_string()).collect();
    let (some, more) = names.split_at(names.len().min(NAMED));
    let more = match more.len() {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    (!some.is_empty()).then(|| Warning {
        code: Code::StateInGit,
        text: format!(
            "git tracks files that hold or may hold secrets: {}{more}; take them out with `git rm --cached`, and see to it \
             that what was committed or pushed is no longer worth anything",
            some.join(", ")
        ),
    })
}

/// The nearest directory above of the usual name.
fn usual_place(dir: &Path) -> Option<PathBuf> {
    let mut above = dir.ancestors().skip(1);
    let named = |path: &&Path| path.file_name().is_some_and(|name| name == STATE_DIR);
    above.find(named).map(Path::to_owned)
}

/// Writes the file where there is none. Whether what is there is this tool's.
fn is_ours(dir: &Path, content: &str) -> Result<bool, FsError> {
    let path = dir.join(FILE);
    match fsutil::read(&path, MAX) {
        Ok(found) => return Ok(found.starts_with(MARK.as_bytes())),
        Err(error) if error.source.kind() == ErrorKind::NotFound => {}
        // Whatever it is, somebody else put it there.
        Err(error) if is_refusal(error.source.kind()) => return Ok(false),
        Err(error) => return Err(error),
    }
    match fsutil::note(&path, content.as_bytes(), 0o644) {
        Ok(()) => Ok(true),
        Err(error) if is_refusal(error.source.kind()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Nothing may be read or written there; or it is no file, or a link that leads nowhere, which is somebody's.
const fn is_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::InvalidInput
            | ErrorKind::IsADirectory
            | ErrorKind::FileTooLarge
    )
}

/// For a directory that somebody chose, in which other files may lie: only our own are kept out.
fn of_its_own(holds: Holds) -> String {
    let depths: &[&str] = match holds {
        Holds::One => &["/"],
        Holds::Fleet => &["/", "/*/"],
    };
    let mut text = format!("{MARK}: what may hold secrets stays out of git.\n");
    for depth in depths {
        for name in SECRET {
            text.push_str(&format!("{depth}{name}\n"));
        }
    }
    text
}

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|pattern| match pattern.split_once('*') {
        Some((start, end)) => name.starts_with(start) && name.ends_with(end),
        None => name == *pattern,
    })
}

/// How many directories lie between; `None`: it is not below.
fn below(path: &Path, dir: &Path) -> Option<usize> {
    let rest = path.strip_prefix(dir).ok()?;
    rest.components().count().checked_sub(1)
}

/// The working tree that holds a directory, and its git directory.
fn repository(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    const POINTER: u64 = 4096;
    for tree in dir.ancestors().take(DEPTH) {
        let git = tree.join(".git");
        if git.is_dir() {
            return Some((tree.to_owned(), git));
        }
        // Of a linked working tree or a submodule: a file that says where.
        let Ok(bytes) = fsutil::read(&git, POINTER) else {
            continue;
        };
        let text = String::from_utf8(bytes).ok()?;
        let place = text.trim_end().strip_prefix("gitdir: ")?;
        return Some((tree.to_owned(), tree.join(place)));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_known_by_its_name_and_what_others_read_is_not() {
        for secret in [
            "journal",
            "token",
            "environment-0xab",
            "environment.key",
            "values",
            ".countersign-x.tmp",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for public in [
            "proposal.json",
            "evidence.md",
            "environment.json",
            "tokens",
            ".gitignore",
            "batch.json",
        ] {
            assert!(!is_secret(public), "{public}");
        }
    }

    #[test]
    fn ppl_p5_the_file_stands_where_the_directory_is_kept_and_nobodys_own_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let read = |path: &Path| {
            fsutil::read(path, MAX).map_or_else(|_none| String::new(), |bytes| String::from_utf8(bytes).unwrap())
        };
        let usual = folder.path().join(STATE_DIR).join("app-1");
        let own = folder.path().join("state");
        for dir in [&usual, &own] {
            fsutil::create_private_dir(dir).unwrap();
            protect(dir, Holds::One).unwrap();
        }
        assert_eq!(read(&usual.parent().unwrap().join(FILE)), USUAL);
        assert!(!usual.join(FILE).exists());
        assert!(read(&own.join(FILE)).contains("\n/token\n"));
        fsutil::note(&usual.parent().unwrap().join(FILE), b"mine\n", 0o644).unwrap();
        protect(&usual, Holds::One).unwrap();
        assert_eq!(read(&usual.parent().unwrap().join(FILE)), "mine\n");
        assert!(
            read(&usual.join(FILE)).contains("\n/journal\n"),
            "then it stands in the directory"
        );
        fsutil::note(&own.join(FILE), b"mine\n", 0o644).unwrap();
        protect(&own, Holds::Fleet).unwrap();
        assert_eq!(read(&own.join(FILE)), "mine\n");
    }
}
