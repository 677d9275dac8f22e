//! A Safe's version, and what of its rules depends on it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What `VERSION()` says, without decoration: services append `+L2` to mark a singleton that emits more events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SafeVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

/// The hash rules of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashRules {
    /// Before 1.0.0: no chain id in the domain, and `baseGas` is called `dataGas`.
    DataGas,
    /// 1.0.0 to 1.2.0: no chain id in the domain.
    NoChainId,
    /// From 1.3.0 on.
    Current,
}

/// Whether countersign works with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// 1.3.0 to 1.5.0.
    Full,
    /// Older: a signature is good on every chain where the Safe exists, so it is refused unless asked for.
    Old,
    /// Not known when this build was made: its hash rules could be others.
    Unknown,
}

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a Safe version")]
pub struct NotAVersion(String);

impl SafeVersion {
    /// GnosisSafe 1.3.0, the first with a chain id in its domain.
    pub const V1_3_0: Self = Self::new(1, 3, 0);
    /// Safe 1.4.0, rare.
    pub const V1_4_0: Self = Self::new(1, 4, 0);
    /// Safe 1.4.1.
    pub const V1_4_1: Self = Self::new(1, 4, 1);
    /// Safe 1.5.0.
    pub const V1_5_0: Self = Self::new(1, 5, 0);

    /// A version by its numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
    /// Whether countersign works with it.
    pub fn support(self) -> Support {
        match self {
            Self::V1_3_0 | Self::V1_4_0 | Self::V1_4_1 | Self::V1_5_0 => Support::Full,
            old if old < Self::V1_3_0 => Support::Old,
            _ => Support::Unknown,
        }
    }
    /// How its transactions are hashed.
    pub fn hash_rules(self) -> HashRules {
        if self < Self::new(1, 0, 0) {
            HashRules::DataGas
        } else if self < Self::V1_3_0 {
            HashRules::NoChainId
        } else {
            HashRules::Current
        }
    }
    /// Whether it asks contract owners `isValidSignature(bytes32,bytes)` (ERC-1271) and not the older
    /// `isValidSignature(bytes,bytes)`.
    pub fn asks_owners_by_hash(self) -> bool {
        self >= Self::V1_5_0
    }
}

impl FromStr for SafeVersion {
    type Err = NotAVersion;
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let refuse = || NotAVersion(text.chars().take(32).collect());
        let bare = text.split_once('+').map_or(text, |(bare, _)| bare);
        let mut numbers = bare.split('.').map(number);
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Ok(Self::new(major, minor, patch)),
            _ => Err(refuse()),
        }
    }
}

/// Decimal digits only, no leading zeros: `01.3.0` is nobody's version.
fn number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for SafeVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl TryFrom<String> for SafeVersion {
    type Error = NotAVersion;
    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

impl From<SafeVersion> for String {
    fn from(version: SafeVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pitfall_31_decoration_after_a_plus_is_not_part_of_the_version() {
        assert_eq!("1.3.0+L2".parse(), Ok(SafeVersion::V1_3_0));
        assert_eq!("1.4.1".parse(), Ok(SafeVersion::V1_4_1));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            "1",
            "1.3",
            "1.3.0.0",
            "v1.3.0",
            "1.3.0-rc1",
            "1..0",
            " 1.3.0",
            "01.3.0",
            "1.3.+0",
            "70000.0.0",
            "١.٣.٠",
        ] {
            assert!(text.parse::<SafeVersion>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn m27_versions_before_1_3_0_are_old_and_unknown_ones_are_not_trusted() {
        for old in ["0.1.0", "1.0.0", "1.1.1", "1.2.0"] {
            assert_eq!(old.parse::<SafeVersion>().unwrap().support(), Support::Old);
        }
        for new in ["1.3.1", "1.4.2", "1.6.0", "2.0.0"] {
            assert_eq!(new.parse::<SafeVersion>().unwrap().support(), Support::Unknown);
        }
    }

    proptest! {
        #[test]
        fn a_version_reads_back_as_it_was_written(major in 0u16.., minor in 0u16.., patch in 0u16..) {
            let version = SafeVersion::new(major, minor, patch);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
        #[test]
        fn no_text_makes_the_reader_fail(text in ".{0,40}") {
            drop(text.parse::<SafeVersion>());
        }
    }
}
