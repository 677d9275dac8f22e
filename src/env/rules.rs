//! The guest's rules for variables: which names it takes, how much of them, and what else is refused.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// It ends in a backslash, by which the guest takes what follows for a part of it.
    #[error(
        "the value of `{name}` ends in a backslash, and the guest would take what follows for a part of it{}",
        .next.as_ref().map(|next| format!(": `{next}` would be lost")).unwrap_or_default()
    )]
    Swallows {
        /// Its name.
        name: EnvName,
        /// The variable that the guest reads next, which would be lost.
        next: Option<EnvName>,
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
    /// A dollar sign that Docker Compose fills in and npm `dotenv` takes as it stands.
    #[error(
        "a `$` stands here that Docker Compose would fill in and others take as it is: put the value in single quotes if it is \
         meant as it is, or write the value out"
    )]
    Dollar,
    /// White space that no editor shows.
    #[error("white space that no editor shows ends the value or the comment: put the value in quotes, or take it out")]
    Invisible,
    /// An earlier line sets this name.
    #[error("this name is set on an earlier line already")]
    Twice,
}

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
