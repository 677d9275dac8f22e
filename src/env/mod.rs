//! The workload environment: what an `.env` file says, the guest's rules for it, and sealing it for one app's guest.
//!
//! Pure but for the randomness of sealing: nothing here talks to the network or opens files. Values are wiped when they
//! are dropped and are in no error, no `Debug` and no serialization; names are public, since the manifest lists them.
//!
//! The way is one-directional on purpose: an [`EnvFile`] becomes a [`SealedEnv`] only for a [`RecipientKey`], and that
//! exists only when a signature of the KMS's root key was found over it ([`UncheckedKey::check`]).
//!
//! ```
//! use countersign::env::EnvFile;
//!
//! let file = EnvFile::parse(b"LOG_LEVEL=info\nTOKEN='two words'\n")?;
//! let names: Vec<String> = file.expose().map(|(name, _)| name.to_string()).collect();
//! assert_eq!(names, ["LOG_LEVEL", "TOKEN"]);
//! // Cut at the hash sign by the rules of dotenv: refused instead.
//! assert!(EnvFile::parse(b"PASSWORD=with#sign\n").is_err());
//! # Ok::<(), countersign::env::EnvError>(())
//! ```

mod dotenv;
mod mark;
mod names;
mod recipient;
mod rules;
mod seal;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::Serialize;
use zeroize::Zeroizing;

pub use mark::MarkKey;
pub use names::{NameChange, Names};
pub use recipient::{Dated, KeyError, RecipientKey, RootKey, UncheckedKey};
pub use rules::{
    EnvError, EnvName, LineFault, MAX_FILE_BYTES, MAX_NAME_BYTES, MAX_TOTAL_BYTES, MAX_VALUE_BYTES, MAX_VARIABLES,
};
pub use seal::{SealError, SealedEnv};

/// The variables of one workload, in order, within the guest's rules. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct EnvFile {
    variables: Vec<(EnvName, Zeroizing<String>)>,
}

/// What the guest would do to a value that the file does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caution {
    /// The guest writes backslashes unescaped into a file that a shell and Docker Compose read: `\\` may become `\`.
    Backslash,
    /// A carriage return inside the value ends up in the middle of a line of that file.
    CarriageReturn,
    /// A shell on the guest reads the file before the containers start, and this name changes what the shell does.
    ShellName,
}

/// Names that change how the guest's own shell runs when it reads the variables (bash manual, "Shell Variables";
/// ld.so(8)); nothing forbids them.
const SHELL_NAMES: [&str; 9] = [
    "BASH_ENV",
    "ENV",
    "HOME",
    "IFS",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PATH",
    "SHELLOPTS",
    "PS4",
];

impl EnvFile {
    /// Reads an `.env` file by the rules of npm `dotenv`, which the official SDK's `parseEnvVars` shares, and refuses
    /// what those rules would silently misread: a value cut at a `#`, an open quote, a line that is no assignment.
    ///
    /// # Errors
    /// See [`EnvError`]; lines are named, values never.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvError> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(EnvError::TooLong { found: bytes.len() });
        }
        let text = std::str::from_utf8(bytes).ok().ok_or(EnvError::Utf8)?;
        Self::new(dotenv::parse(text)?)
    }
    /// Takes variables in this order.
    ///
    /// # Errors
    /// What the guest would refuse, or a name that comes twice.
    pub fn new(variables: Vec<(EnvName, Zeroizing<String>)>) -> Result<Self, EnvError> {
        check(&variables)?;
        Ok(Self { variables })
    }
    /// Takes one more variable, written as `NAME=VALUE`; the value is taken as it stands, quotes and all, as the
    /// official CLI takes it.
    ///
    /// # Errors
    /// As [`EnvFile::new`], and [`EnvError::NoEquals`].
    pub fn with_pair(self, pair: &str) -> Result<Self, EnvError> {
        let (name, value) = pair.split_once('=').ok_or(EnvError::NoEquals)?;
        self.with(EnvName::new(name)?, Zeroizing::new(value.to_owned()))
    }
    /// Takes one more variable.
    ///
    /// # Errors
    /// As [`EnvFile::new`].
    pub fn with(mut self, name: EnvName, value: Zeroizing<String>) -> Result<Self, EnvError> {
        self.variables.push((name, value));
        check(&self.variables)?;
        Ok(self)
    }
    /// Adds the variables of another file behind these.
    ///
    /// # Errors
    /// As [`EnvFile::new`].
    pub fn and(mut self, other: Self) -> Result<Self, EnvError> {
        self.variables.extend(other.variables);
        check(&self.variables)?;
        Ok(self)
    }
    /// Names, in order: what `allowed_envs` has to list, and the manifest's hash covers.
    pub fn names(&self) -> Names {
        self.variables.iter().map(|(name, _)| name.clone()).collect()
    }
    /// Whether there is no variable.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }
    /// Variables whose value or name the guest will not take as plainly as it looks.
    pub fn cautions(&self) -> Vec<(EnvName, Caution)> {
        let mut found = Vec::new();
        for (name, value) in &self.variables {
            let of = [
                (value.contains('\\'), Caution::Backslash),
                (value.contains('\r'), Caution::CarriageReturn),
                (SHELL_NAMES.contains(&name.as_str()), Caution::ShellName),
            ];
            found.extend(
                of.into_iter()
                    .filter(|(is_so, _)| *is_so)
                    .map(|(_, caution)| (name.clone(), caution)),
            );
        }
        found
    }
    /// Variables whose value is empty, or white space alone.
    pub fn blank(&self) -> Names {
        let blank = self.variables.iter().filter(|(_, value)| value.trim().is_empty());
        blank.map(|(name, _)| name.clone()).collect()
    }
    /// The variables, for whoever has to hand them on.
    pub fn expose(&self) -> impl Iterator<Item = (&EnvName, &str)> {
        self.variables.iter().map(|(name, value)| (name, value.as_str()))
    }
}

impl fmt::Debug for EnvFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.variables.iter().map(|(name, _)| (name, "…"));
        f.debug_map().entries(names).finish()
    }
}

/// The guest writes a value with a backslash in double quotes and leaves the backslash as it is, so that one at the end takes
/// the closing quote, and with it the line that follows, for a part of the value (dstack-util `parse_env_file.rs`); it writes
/// names in alphabetical order.
fn swallows(name: &EnvName, variables: &[(EnvName, Zeroizing<String>)]) -> EnvError {
    let behind = variables.iter().map(|(other, _)| other).filter(|other| *other > name);
    EnvError::Swallows {
        name: name.clone(),
        next: behind.min().cloned(),
    }
}

fn check(variables: &[(EnvName, Zeroizing<String>)]) -> Result<(), EnvError> {
    if variables.len() > MAX_VARIABLES {
        return Err(EnvError::TooMany { found: variables.len() });
    }
    let mut total = 0usize;
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in variables {
        if !seen.insert(name) {
            return Err(EnvError::Twice { name: name.clone() });
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(EnvError::ValueTooLong {
                name: name.clone(),
                found: value.len(),
            });
        }
        if value.contains('\0') {
            return Err(EnvError::Nul { name: name.clone() });
        }
        let backslashes = value.bytes().rev().take_while(|byte| *byte == b'\\').count();
        if backslashes % 2 == 1 {
            return Err(swallows(name, variables));
        }
        total = total.saturating_add(name.as_str().len()).saturating_add(value.len());
    }
    if total > MAX_TOTAL_BYTES {
        return Err(EnvError::TooMuch { found: total });
    }
    Ok(())
}
