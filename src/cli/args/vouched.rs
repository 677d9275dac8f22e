//! What a reader vouches for, as it is typed: code by its hash, and OS images by theirs.

use std::str::FromStr;

use alloy::primitives::B256;

use crate::cli::args::values;
use crate::power::{OsImage, TrustedCode};

/// `HASH=KIND`: what code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct TrustCode {
    /// keccak256 of the code.
    pub(in crate::cli) hash: B256,
    /// What it is.
    pub(in crate::cli) kind: TrustedCode,
}

/// `HASH=dev` or `HASH=prod`: what an OS image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct ImageIs {
    /// Its hash.
    pub(in crate::cli) hash: B256,
    /// What it is.
    pub(in crate::cli) image: OsImage,
}

impl FromStr for TrustCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let kinds = [
            ("app", TrustedCode::App),
            ("kms", TrustedCode::Kms),
            ("safe", TrustedCode::Safe),
            ("timelock", TrustedCode::Timelock),
            ("delay", TrustedCode::Delay),
            ("delegate", TrustedCode::Delegate),
        ];
        let (hash, kind) = named(text, &kinds)?;
        Ok(Self { hash, kind })
    }
}

impl FromStr for ImageIs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (hash, image) = named(text, &[("dev", OsImage::Dev), ("prod", OsImage::Prod)])?;
        Ok(Self { hash, image })
    }
}

fn named<T: Copy>(text: &str, kinds: &[(&str, T)]) -> Result<(B256, T), String> {
    let words = || kinds.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let (hash, word) = text
        .split_once('=')
        .ok_or_else(|| format!("it is a hash, `=`, and one of {}", words()))?;
    let kind = kinds.iter().find(|(name, _)| *name == word).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| format!("after the `=` stands one of {}", words()))?;
    Ok((values::word(hash)?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_images_are_named_by_their_hash_and_a_word() {
        let hash = B256::repeat_byte(7);
        let code: TrustCode = format!("{hash}=delay").parse().unwrap();
        assert_eq!((code.hash, code.kind), (hash, TrustedCode::Delay));
        let image: ImageIs = format!("{hash}=dev").parse().unwrap();
        assert_eq!((image.hash, image.image), (hash, OsImage::Dev));
        for wrong in [hash.to_string(), format!("{hash}=roles"), "0x12=app".to_owned()] {
            assert!(wrong.parse::<TrustCode>().is_err(), "{wrong}");
        }
    }
}
