//! What somebody agreed to by name: doubts of the kind that an option may answer. Pure.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::code::{Code, Kind};
use crate::signer::Decision;

/// One doubt that somebody agreed to: its code, and the value that the doubt is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// Which doubt.
    pub code: Code,
    /// What it is about, as the refusal names it; nothing where any value is agreed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl From<&Decision> for Acceptance {
    fn from(named: &Decision) -> Self {
        Self {
            code: named.code,
            value: Some(named.value.clone()),
        }
    }
}

/// Everything that somebody agreed to by name, and what they insist on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    agreed: BTreeSet<Acceptance>,
    needs_digests: bool,
}

/// Why a text names nothing that can be agreed to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// No such code.
    #[error("`{name}` is no code that this version knows; the refusal names the one to agree to")]
    Unknown {
        /// What was given.
        name: String,
    },
    /// A code that nobody can agree to.
    #[error("nobody can agree to {0}: it is no doubt that an option answers")]
    NoDecision(Code),
    /// The doubt is about a value.
    #[error("{0} is about a value: write --accept {0}=VALUE with the one that the refusal names")]
    NeedsValue(Code),
    /// An equals sign with nothing behind it, or blanks.
    #[error("nothing usable stands behind `{0}=`")]
    BlankValue(Code),
}

impl Accepted {
    /// Takes in one more.
    pub fn agree(&mut self, one: Acceptance) {
        self.agreed.insert(one);
    }

    /// Agrees to a doubt whatever it is about: what options that are older than their code's value mean.
    pub fn agree_to_all(&mut self, code: Code) {
        self.agree(Acceptance { code, value: None });
    }

    /// From here on, whatever runs and no digest fixes is a doubt.
    pub const fn insist_on_digests(&mut self) {
        self.needs_digests = true;
    }

    /// Whether whatever no digest fixes is a doubt.
    pub const fn needs_digests(&self) -> bool {
        self.needs_digests
    }

    /// Whether somebody agreed to this doubt. Hexadecimal digits are the same in either case.
    pub fn covers(&self, code: Code, value: Option<&str>) -> bool {
        self.agreed.iter().any(|one| {
            one.code == code
                && match (&one.value, value) {
                    (None, _) => true,
                    (Some(agreed), Some(asked)) => same(agreed, asked),
                    (Some(_), None) => false,
                }
        })
    }

    /// The values that were agreed to for a code.
    pub fn values(&self, code: Code) -> impl Iterator<Item = &str> {
        let of_code = self.agreed.iter().filter(move |one| one.code == code);
        of_code.filter_map(|one| one.value.as_deref())
    }

    /// What was agreed to now, and what a journal says was agreed to before.
    pub(super) fn with(&self, before: &[Acceptance]) -> Self {
        let mut all = self.clone();
        all.agreed.extend(before.iter().cloned());
        all
    }

    /// All of it, in the order of the codes.
    pub fn iter(&self) -> impl Iterator<Item = &Acceptance> {
        self.agreed.iter()
    }
}

fn same(agreed: &str, asked: &str) -> bool {
    let hexadecimal = |text: &str| {
        let digits = text.strip_prefix("0x");
        digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
    };
    agreed == asked || (hexadecimal(agreed) && hexadecimal(asked) && agreed.eq_ignore_ascii_case(asked))
}

impl FromStr for Acceptance {
    type Err = AcceptError;

    /// Reads `CODE` or `CODE=VALUE`.
    fn from_str(text: &str) -> Result<Self, AcceptError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let unknown = || AcceptError::Unknown { name: name.to_owned() };
        let code: Code = name.parse().map_err(|_unknown| unknown())?;
        if code.kind() != Kind::Decision {
            return Err(AcceptError::NoDecision(code));
        }
        match value {
            None if code.needs_value() => Err(AcceptError::NeedsValue(code)),
            Some(value) if value.trim().is_empty() || value.trim() != value => Err(AcceptError::BlankValue(code)),
            value => Ok(Self {
                code,
                value: value.map(str::to_owned),
            }),
        }
    }
}

impl std::fmt::Display for Acceptance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_decision_is_agreed_to_and_with_the_value_that_it_is_about() {
        let read = |text: &str| text.parse::<Acceptance>();
        assert_eq!(read("HASH_MISMATCH"), Err(AcceptError::NoDecision(Code::HashMismatch)));
        assert_eq!(
            read("SAFE_NONCE_TAKEN=1"),
            Err(AcceptError::NoDecision(Code::SafeNonceTaken))
        );
        assert_eq!(
            read("HASH_UNVERIFIABLE"),
            Err(AcceptError::NeedsValue(Code::HashUnverifiable))
        );
        for blank in ["HASH_UNVERIFIABLE=", "HASH_UNVERIFIABLE= ", "HASH_UNVERIFIABLE= 0x1"] {
            assert_eq!(
                read(blank),
                Err(AcceptError::BlankValue(Code::HashUnverifiable)),
                "{blank}"
            );
        }
        assert!(matches!(
            read("hash_unverifiable=0x1"),
            Err(AcceptError::Unknown { .. })
        ));
        assert_eq!(read("UPDATE_PENDING").unwrap().to_string(), "UPDATE_PENDING");
        assert_eq!(
            read("HASH_UNVERIFIABLE=0xAB").unwrap().to_string(),
            "HASH_UNVERIFIABLE=0xAB"
        );
    }

    #[test]
    fn another_value_of_the_same_doubt_is_not_agreed_to() {
        let mut accepted = Accepted::default();
        accepted.agree("HASH_UNVERIFIABLE=0xAB".parse().unwrap());
        assert!(accepted.covers(Code::HashUnverifiable, Some("0xab")));
        assert!(!accepted.covers(Code::HashUnverifiable, Some("0xac")));
        assert!(!accepted.covers(Code::HashUnverifiable, None));
        accepted.agree("DIGEST_REQUIRED=0xacme/app:v1".parse().unwrap());
        assert!(!accepted.covers(Code::DigestRequired, Some("0xacme/app:V1")));
        assert!(!accepted.covers(Code::UpdatePending, Some("0xab")));
        accepted.agree_to_all(Code::UpdatePending);
        assert!(accepted.covers(Code::UpdatePending, None));
        assert!(accepted.covers(Code::UpdatePending, Some("x")));
    }
}
