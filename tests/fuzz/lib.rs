//! What the targets share: texts that the fuzzer writes, and scripts of edits to texts that are whole.

pub mod edits;
pub mod endpoint;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// First byte of an input that is a script of edits; no text begins with it.
const SCRIPT: u8 = 1;

/// Whole texts that edits begin from.
pub struct Bases(Vec<Value>);

impl Bases {
    /// JSON files, by their paths from the top of the repository.
    pub fn read(paths: &[&str]) -> Self {
        let read = |path: &&str| {
            let bytes = std::fs::read(repository().join(path)).unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        Self(paths.iter().map(read).collect())
    }

    /// Documents that a target made.
    pub const fn of(documents: Vec<Value>) -> Self {
        Self(documents)
    }

    /// All of them.
    pub fn all(&self) -> &[Value] {
        &self.0
    }

    /// The text that an input stands for: itself, or one of these after the edits that it describes.
    pub fn text<'i>(&self, input: &'i [u8]) -> Cow<'i, [u8]> {
        match input {
            [SCRIPT, which, script @ ..] => {
                let base = usize::from(*which) % self.0.len().max(1);
                let base = self.0.get(base).cloned().unwrap_or_default();
                Cow::Owned(edits::edited(base, script).to_string().into_bytes())
            }
            text => Cow::Borrowed(text),
        }
    }
}

/// A directory that no disk is waited for in, where the machine has one.
///
/// # Panics
/// No directory can be made.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.unwrap()
}

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
