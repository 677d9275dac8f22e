//! The workload environment: what an `.env` file says, the guest's rules for it, and sealing it for one app's guest.
//!
//! Pure but for the randomness of sealing: nothing here talks to the network or opens files. Values are wiped when they
//! are dropped and are in no error, no `Debug` and no serialization; names are public, since the manifest lists them.
//!
//! The way is one-directional on purpose: an [`EnvFile`] becomes a [`SealedEnv`] only for a [`RecipientKey`], and that
//! exists only when a signature of the KMS's root key was found over it ([`UncheckedKey::check`]).

mod dotenv;
mod mark;
mod names;
mod recipient;
mod seal;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use mark::MarkKey;
pub use names::{NameChange, Names};
pub use recipient::{Dated, KeyError, RecipientKey, RootKey, UncheckedKey};
pub use seal::{SealError, SealedEnv};

/// Most variables that the guest takes (dstack-util `parse_env_file.rs`).
pub const MAX_VARIABLES: usize = 1024;
/// Longest name that the guest takes, bytes.
pub const MAX_NAME_BYTES: usize = 255;
/// Longest value that the guest takes, UTF-8 bytes.
pub const MAX_VALUE_BYTES: usize = 128 * 1024;
/// Most that the guest takes of all names and values together, bytes.
pub const MAX_TOTAL_BYTES: usize = 1024 * 1024;
/// Longest file that is read, bytes: twice what the guest takes leaves room for comments.
pub const MAX_FILE_BYTES: usize = 2 * MAX_TOTAL_BYTES;

/// Name of a variable as the guest takes it: letters, digits and underscores, not a digit first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

/// The variables of one workload, in order, within the guest's rules. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct EnvFile {
    variables: Vec<(EnvName, Zeroizing<String>)>,
}

/// What a workload's environment may not be. No message holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// Not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// More than [`MAX_FILE_BYTES`].
    #[error("the text has {found} bytes, and at most {MAX_FILE_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// A line that readers of such files take in different ways, or not at all.
    #[error("line {line}: {why}")]
    Line {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        why: LineFault,
    },
    /// `KEY=VALUE` without an equals sign.
    #[error("a variable is written as NAME=VALUE, and there is no `=`")]
    NoEquals,
    /// A name that the guest refuses, which would stop its boot.
    #[error(
        "a variable's name has letters, digits and underscores, does not start with a digit, and has at most {MAX_NAME_BYTES} bytes"
    )]
    Name,
    /// One name, two values: the guest would take the last, and not say so.
    #[error("`{name}` is set twice")]
    Twice {
        /// The name.
        name: EnvName,
    },
    /// More than [`MAX_VALUE_BYTES`].
    #[error("the value of `{name}` has {found} bytes, and the guest takes at most {MAX_VALUE_BYTES}")]
    ValueTooLong {
        /// Its name.
        name: EnvName,
        /// Bytes found.
        found: usize,
    },
    /// No environment can hold it.
    #[error("the value of `{name}` has a NUL character")]
    Nul {
        /// Its name.
        name: EnvName,
    },
    /// More than [`MAX_VARIABLES`].
    #[error("there are {found} variables, and the guest takes at most {MAX_VARIABLES}")]
    TooMany {
        /// Variables found.
        found: usize,
    },
    /// More than [`MAX_TOTAL_BYTES`].
    #[error("names and values have {found} bytes, and the guest takes at most {MAX_TOTAL_BYTES}")]
    TooMuch {
        /// Bytes found.
        found: usize,
    },
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// Neither empty, nor a comment, nor an assignment.
    #[error("not of the form NAME=VALUE")]
    NotAnAssignment,
    /// See [`EnvError::Name`].
    #[error("the name is none that the guest takes: letters, digits and underscores, not a digit first")]
    Name,
    /// A quote opens and does not close.
    #[error("a quote opens here and is not closed (a backslash before a quote keeps it open)")]
    OpenQuote,
    /// Text after the closing quote.
    #[error("text follows the closing quote; only a comment may")]
    AfterQuote,
    /// `#` right after other text: some readers cut the value there, others do not.
    #[error("a `#` stands in an unquoted value: put the value in quotes, or a space before a comment")]
    Hash,
    /// White space that no editor shows.
    #[error("white space that no editor shows ends the value or the comment: put the value in quotes, or take it out")]
    Invisible,
    /// The same name on an earlier line.
    #[error("this name is set on an earlier line already")]
    Twice,
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

impl EnvName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`EnvError::Name`].
    pub fn new(text: &str) -> Result<Self, EnvError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if starts && text.len() <= MAX_NAME_BYTES && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(EnvError::Name)
        }
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for EnvName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::str::FromStr for EnvName {
    type Err = EnvError;
    fn from_str(text: &str) -> Result<Self, EnvError> {
        Self::new(text)
    }
}
impl TryFrom<String> for EnvName {
    type Error = EnvError;
    fn try_from(text: String) -> Result<Self, EnvError> {
        Self::new(&text)
    }
}
impl From<EnvName> for String {
    fn from(name: EnvName) -> Self {
        name.0
    }
}

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
        total = total.saturating_add(name.0.len()).saturating_add(value.len());
    }
    if total > MAX_TOTAL_BYTES {
        return Err(EnvError::TooMuch { found: total });
    }
    Ok(())
}
