//! The text that says where a key is.
//!
//! A key in the place of its name is an accident that happens; the refusal must not print it again.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use alloy::primitives::Address;

use super::error::SignerError;
use crate::text;

/// Longest refused text that is shown: longer ones are no typing errors.
const SHOWN: usize = 40;
/// This many hex digits in a row are taken for a part of a key.
const KEY_LIKE_DIGITS: usize = 24;
/// The bit of a hardened step (BIP-32).
const HARDENED: u32 = 1 << 31;
/// More steps than the Ethereum app of a Ledger takes.
const MAX_STEPS: usize = 10;

/// Where a key is. Parses `browser`, `browser:ADDRESS`, `prompt`, `env:NAME`, `file:PATH`, `keystore:PATH`, `account:NAME`, `ledger`,
/// `ledger:INDEX`, `ledger:m/44'/60'/…`, `aws:KEY-ID`. Every build parses all of them; see [`Source::check_built`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In a wallet of a browser, which shows a page; of this account, or of the one that the wallet gives.
    Browser(Option<Address>),
    /// Typed by a person, without echo.
    Prompt,
    /// In an environment variable.
    Env(String),
    /// In a file that only its owner may read.
    File(PathBuf),
    /// In an encrypted keystore (Web3 Secret Storage).
    Keystore(PathBuf),
    /// In Foundry's keystore folder, by name.
    Account(String),
    /// On a Ledger, which shows what it signs.
    Ledger(DerivationPath),
    /// In AWS KMS: a key id, an alias or an ARN.
    Aws(String),
}

impl FromStr for Source {
    type Err = SignerError;
    fn from_str(text: &str) -> Result<Self, SignerError> {
        let unknown = || SignerError::Source { text: harmless(text) };
        match text {
            "browser" => return Ok(Self::Browser(None)),
            "prompt" => return Ok(Self::Prompt),
            "ledger" => return Ok(Self::Ledger(DerivationPath::ledger_live(0))),
            _ => {}
        }
        let (kind, rest) = text.split_once(':').ok_or_else(unknown)?;
        // Also with something around it: a path that cannot be opened would be named by the error.
        if rest.is_empty() || text::may_hold_secret(rest) {
            return Err(unknown());
        }
        match kind {
            "browser" => account(rest)
                .map(|account| Self::Browser(Some(account)))
                .ok_or_else(|| SignerError::Name {
                    text: harmless(rest),
                    what: "account",
                }),
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
            "ledger" => DerivationPath::read(rest)
                .map(Self::Ledger)
                .ok_or_else(|| SignerError::Name {
                    text: harmless(rest),
                    what: "derivation path",
                }),
            "aws" if is_key_id(rest) => Ok(Self::Aws(rest.to_owned())),
            "aws" => Err(SignerError::Name {
                text: harmless(rest),
                what: "AWS KMS key",
            }),
            _ => Err(unknown()),
        }
    }
}

impl Source {
    /// Whether this build can reach keys of this kind. No I/O.
    ///
    /// # Errors
    /// [`SignerError::NoFeature`].
    pub const fn check_built(&self) -> Result<(), SignerError> {
        let (source_kind, feature) = match self {
            Self::Keystore(_) | Self::Account(_) if !cfg!(feature = "keystore") => ("keystore", "keystore"),
            Self::Ledger(_) if !cfg!(feature = "ledger") => ("ledger", "ledger"),
            Self::Aws(_) if !cfg!(feature = "aws-kms") => ("aws", "aws-kms"),
            _ => return Ok(()),
        };
        Err(SignerError::NoFeature { source_kind, feature })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Browser(None) => f.write_str("browser"),
            Self::Browser(Some(account)) => write!(f, "browser:{account}"),
            Self::Prompt => f.write_str("prompt"),
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Keystore(path) => write!(f, "keystore:{}", path.display()),
            Self::Account(name) => write!(f, "account:{name}"),
            Self::Ledger(path) => write!(f, "ledger:{path}"),
            Self::Aws(key) => write!(f, "aws:{key}"),
        }
    }
}

/// Which key of a seed (BIP-32, BIP-44).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DerivationPath(Vec<u32>);

impl DerivationPath {
    /// The path that Ledger's own program uses for its account `index`.
    fn ledger_live(index: u32) -> Self {
        Self(vec![44 | HARDENED, 60 | HARDENED, index | HARDENED, 0, 0])
    }
    /// An index of [`Self::ledger_live`], or a path such as `m/44'/60'/0'/0/0`.
    fn read(text: &str) -> Option<Self> {
        if let Some(index) = step(text) {
            return Some(Self::ledger_live(index));
        }
        let steps = text.strip_prefix("m/")?.split('/').map(|part| {
            let plain = part.strip_suffix(['\'', 'h', 'H']);
            let hardened = if plain.is_some() { HARDENED } else { 0 };
            step(plain.unwrap_or(part)).map(|index| index | hardened)
        });
        let steps: Vec<u32> = steps.collect::<Option<_>>()?;
        (steps.len() <= MAX_STEPS).then_some(Self(steps))
    }
    /// The steps; hardened ones have their highest bit set.
    pub fn steps(&self) -> &[u32] {
        &self.0
    }
}

impl fmt::Display for DerivationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("m")?;
        for step in &self.0 {
            let mark = if step & HARDENED == 0 { "" } else { "'" };
            write!(f, "/{}{mark}", step & !HARDENED)?;
        }
        Ok(())
    }
}

/// A step without its mark.
fn step(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|index| digits && *index < HARDENED)
}

/// An address; one in both cases has its checksum (EIP-55).
fn account(text: &str) -> Option<Address> {
    let address: Address = text.parse().ok()?;
    let digits = text.strip_prefix("0x")?;
    let one_case = digits == digits.to_lowercase() || digits == digits.to_uppercase();
    (one_case || address.to_checksum(None) == text).then_some(address)
}

/// Key id, alias or ARN, as AWS writes them.
fn is_key_id(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b":/_-".contains(&byte))
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

/// The text for an error message, unless it may hold a secret.
fn harmless(text: &str) -> String {
    let digits_in_a_row = text
        .split(|character: char| !character.is_ascii_hexdigit())
        .any(|run| run.len() >= KEY_LIKE_DIGITS);
    if digits_in_a_row || text::may_hold_secret(text) || text.chars().count() > SHOWN {
        return "(not shown: it may be a secret)".to_owned();
    }
    text::escape(text)
}
