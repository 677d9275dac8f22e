//! The text that says where a key is.
//!
//! A key in the place of its name is an accident that happens; the refusal must not print it again.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::{SignerError, Source};

/// Longest refused text that is shown: longer ones are no typing errors.
const SHOWN: usize = 40;
/// This many hex digits in a row are taken for a part of a key.
const KEY_LIKE_DIGITS: usize = 24;
/// Words of the shortest seed phrase.
const SEED_WORDS: usize = 12;

impl FromStr for Source {
    type Err = SignerError;
    fn from_str(text: &str) -> Result<Self, SignerError> {
        let unknown = || SignerError::Source { text: harmless(text) };
        if text == "prompt" {
            return Ok(Self::Prompt);
        }
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        if rest.is_empty() || is_key(rest) {
            return Err(unknown());
        }
        match kind {
            "env" if is_variable(rest) => Ok(Self::Env(rest.to_owned())),
            "env" => Err(SignerError::Name {
                text: harmless(rest),
                what: "environment variable",
            }),
            "file" => Ok(Self::File(PathBuf::from(rest))),
            "keystore" => Ok(Self::Keystore(PathBuf::from(rest))),
            "account" if is_file_name(rest) => Ok(Self::Account(rest.to_owned())),
            "account" => Err(SignerError::Name {
                text: harmless(rest),
                what: "account",
            }),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt => f.write_str("prompt"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Keystore(path) => write!(f, "keystore:{}", path.display()),
            Self::Account(name) => write!(f, "account:{name}"),
        }
    }
}

/// POSIX: letters, digits and underscores, no digit first.
fn is_variable(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.starts_with(|first: char| first.is_ascii_digit())
}

/// A name inside a folder, not a way out of it.
fn is_file_name(name: &str) -> bool {
    !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

/// Exactly a private key, by the look of it.
fn is_key(text: &str) -> bool {
    let digits = text.trim().trim_start_matches("0x");
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The text for an error message, unless it may hold a secret.
fn harmless(text: &str) -> String {
    let digits_in_a_row = text
        .split(|character: char| !character.is_ascii_hexdigit())
        .any(|run| run.len() >= KEY_LIKE_DIGITS);
    let seed = text.split_whitespace().count() >= SEED_WORDS;
    if digits_in_a_row || seed || text.chars().count() > SHOWN {
        return "(not shown: it may be a secret)".to_owned();
    }
    text.escape_debug().to_string()
}
