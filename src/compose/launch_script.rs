//! The pre-launch script of a manifest: whether it is one of Phala's own, by its hash.
//!
//! Pure. Phala Cloud puts a script of its own into manifests that bring none, and its text moves without notice.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::manifest::Manifest;

/// Versions and SHA-256 of Phala's scripts, the newest first: `phala-cloud-prelaunch-script/prelaunch.sh` in the history of
/// github.com/Dstack-TEE/dstack-examples. A version that was mended without a new number stands there with each of its texts.
const OFFICIAL: [(&str, &str); 21] = [
    (
        "0.0.20",
        "982181610f70be9087b1c69b36b719b47b82d37fcef8acc9289ed3bb3095ffe8",
    ),
    (
        "0.0.19",
        "cec8f68ce6185b912023d886bba20cd06386dd9751af904e6107e758b9d68983",
    ),
    (
        "0.0.18",
        "24d363e17b26dabdbf287588c1e1968fd7fdfef10954123b99ff6c6a837c5692",
    ),
    (
        "0.0.17",
        "93d29be852c0ccf92b275f824d71f1b589e906503c4d67332f36c633412fabe5",
    ),
    (
        "0.0.16",
        "803d861b57b1c61244f3e6e48bc11a15f8d7e421d6f052282d90e0289e85903d",
    ),
    (
        "0.0.16",
        "037a558a532ded8b5de956adb2a77684393abfc5a876a07274cf64035910c337",
    ),
    (
        "0.0.16",
        "9843af25b7069841b22cee60ee8f225b3d52e893de71b208feae724a8f6787fa",
    ),
    (
        "0.0.16",
        "4259eeddabdfcc73e657fef51d3511820f6899b1825db6a4ce0905c60f1f5869",
    ),
    (
        "0.0.15",
        "bf12939bc82c9bdd103b6b1226913e6da58ed7cfcfc7c7ae808ac0813715b9a8",
    ),
    (
        "0.0.14",
        "22ee7123712744ae1814257bfd0a396d0a3c990c5e240c4e93253bdb5b649765",
    ),
    (
        "0.0.13",
        "c608c19a6756b532f9995ffafab1ae569d50acff5283162e9787ee85f642641a",
    ),
    (
        "0.0.12",
        "7d3a3737bf3a59d6511cadb7b1867d21bae6d796136326c4be503323a5ad3741",
    ),
    (
        "0.0.11",
        "d31c9df2af520aa5e23b99b428eba6854c84294b6f582dd46b150d624b0d4cbe",
    ),
    (
        "0.0.10",
        "33778715b33573186ae1a32bbbd6e2a12047aaa1eecdeee7180216c2b1e0a24a",
    ),
    (
        "0.0.8",
        "9c5470c546ed4d6e6351844121c92c18e477464f910df89a783aa26ffac4a410",
    ),
    (
        "0.0.8",
        "ff8a8a7c013fe5bc7a027ec371a5d9dc3ce172e9e71aca5012730246eba3bb99",
    ),
    (
        "0.0.7",
        "7ea66e7cbf824b4d48e08fa1fe348ce9dddd4b5aa3f5624a5860913904ac8a1e",
    ),
    (
        "0.0.7",
        "a521f725e63916bdb6b266535ea4ab25877033ee36c395e52503da322da07313",
    ),
    (
        "0.0.6",
        "7127d8fd1dd3f27bab2c0b4f04f402b59239ae6884c174186b6e7cc6dc4df898",
    ),
    (
        "0.0.5",
        "3787d7beaf274f103b61b5e0220b113bffe7bd0dfb38545796eb7cfb46c3e3ba",
    ),
    (
        "0.0.4",
        "6a68965b4966eeb08043afdac0cef7f0115e3d27f73fe0c028f81664ed05e04e",
    ),
];

/// The script that runs before the containers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "script", rename_all = "kebab-case")]
pub enum LaunchScript {
    /// There is none.
    None,
    /// One of Phala's.
    Official {
        /// Its version.
        version: &'static str,
        /// SHA-256 of its text, with one newline at its end and none before it.
        sha256: String,
    },
    /// One that this version does not know.
    Unknown {
        /// SHA-256 of its text, as of an official one.
        sha256: String,
    },
}

impl fmt::Display for LaunchScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no script"),
            Self::Official { version, .. } => write!(f, "Phala's own script, version {version}"),
            Self::Unknown { sha256 } => {
                write!(f, "no script of Phala's that this version knows (SHA-256 {sha256})")
            }
        }
    }
}

impl LaunchScript {
    /// The script of this text. Phala Cloud keeps scripts without the newline at their end, and kept them with one before
    /// them, which makes them no others.
    fn of(text: &str) -> Self {
        let text = text.trim_matches('\n');
        if text.is_empty() {
            return Self::None;
        }
        let sha256 = hex::encode(Sha256::new().chain_update(text).chain_update("\n").finalize());
        match OFFICIAL.iter().find(|(_, known)| *known == sha256) {
            Some((version, _)) => Self::Official { version, sha256 },
            None => Self::Unknown { sha256 },
        }
    }
}

impl Manifest {
    /// The script that runs before the containers, by its hash.
    pub fn launch_script(&self) -> LaunchScript {
        match self.get("pre_launch_script").and_then(Value::as_str) {
            Some(text) => LaunchScript::of(text),
            None => LaunchScript::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_the_same_with_and_without_newlines_around_it_and_another_with_one_letter_more() {
        let sha256 = |text: &str| match LaunchScript::of(text) {
            LaunchScript::Unknown { sha256 } => sha256,
            other => panic!("{other:?}"),
        };
        // printf 'echo hi\n' | sha256sum
        let known = "ab08508fdf5ca4da5c4995987bc41c56c048aaa5eeb046417ae4049b7d40286e";
        assert_eq!(sha256("echo hi"), known);
        assert_eq!(sha256("echo hi"), sha256("\necho hi\n"));
        assert_ne!(sha256("echo hi"), sha256("echo hii"));
        assert_eq!(LaunchScript::of("\n"), LaunchScript::None);
        assert!(LaunchScript::of("x").to_string().contains("no script of Phala's"));
    }

    #[test]
    fn every_official_script_is_told_by_its_version_and_none_stands_there_twice() {
        let mut hashes: Vec<&str> = OFFICIAL.iter().map(|(_, hash)| *hash).collect();
        assert!(
            hashes
                .iter()
                .all(|hash| hash.len() == 64 && hash.chars().all(|c| c.is_ascii_hexdigit()))
        );
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), OFFICIAL.len());
    }
}
