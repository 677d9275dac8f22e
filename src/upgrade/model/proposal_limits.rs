//! What a proposal may carry: no sealed environment, and nothing larger than Phala Cloud takes. Pure; called where a
//! proposal is read, and where one is planned.

use serde_json::Value;

use crate::cloud::patch::PublicPatch;
use crate::code::Code;
use crate::compose::{ComposeError, MAX_CHANGE_BYTES};
use crate::upgrade::UpgradeError;

/// How a sealed environment would be called, its letters alone.
const SEALED: &str = "encryptedenv";

/// Nothing that a change brings is larger than Phala Cloud takes, or than whoever reads its proposal.
///
/// # Errors
/// What is.
pub(in crate::upgrade) fn check_change(patch: &PublicPatch) -> Result<(), ComposeError> {
    patch.changes.check_size()?;
    let found = patch.user_config.as_ref().map_or(0, String::len);
    match found > MAX_CHANGE_BYTES {
        false => Ok(()),
        true => Err(ComposeError::UserConfigTooLong {
            found,
            max: MAX_CHANGE_BYTES,
        }),
    }
}

/// A sealed environment in a proposal would be sent by whoever commits, and nobody can look into it.
pub(in crate::upgrade) fn refuse_sealed(written: &Value) -> Result<(), UpgradeError> {
    let letters = |name: &str| -> String {
        let kept = name.chars().filter(char::is_ascii_alphanumeric);
        kept.map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let others = written.get("others").and_then(Value::as_array);
    let apps = std::iter::once(written).chain(others.into_iter().flatten());
    let mut patches = apps.filter_map(|app| app.pointer("/plan/code/patch")?.as_object());
    match patches.find_map(|patch| patch.keys().find(|name| letters(name) == SEALED)) {
        None => Ok(()),
        Some(name) => Err(UpgradeError::stop(
            Code::ProposalCarriesEnv,
            "change of the proposal",
            "no environment: that is sealed by whoever has the values",
            format!("`{}`", name.escape_debug()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_from_a_proposal_is_no_change() {
        let patch = |bytes: usize| PublicPatch {
            user_config: Some("x".repeat(bytes)),
            ..PublicPatch::default()
        };
        assert!(check_change(&patch(MAX_CHANGE_BYTES)).is_ok());
        assert!(matches!(
            check_change(&patch(MAX_CHANGE_BYTES + 1)),
            Err(ComposeError::UserConfigTooLong { .. })
        ));
    }
}
