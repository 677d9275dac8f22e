//! A wrong proposal, of which only the rejection is signed: its file keeps what it says.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::compose::strict_json;
use crate::fsutil;
use crate::safe::info::SafeInfo;
use crate::upgrade::{
    UpgradeError,
    files::{keep, pretty},
    model::safe_approval::{Signed, SignedSafeTx, signed},
    record::State,
};

/// Longest file that is read: what no proposal needs.
pub(in crate::upgrade) const MAX_BYTES: u64 = 16 << 20;

/// Writes the signatures of the rejection into a wrong proposal, and leaves everything else as it is.
pub(in crate::upgrade) fn keep_rejection(path: &Path, state: &State) -> Result<(), UpgradeError> {
    let bytes = fsutil::read(path, MAX_BYTES)?;
    let malformed = || UpgradeError::Proposal {
        path: path.to_owned(),
        why: "it is no longer what was read".to_owned(),
    };
    let mut value = strict_json(&bytes, bytes.len()).map_err(|_changed| malformed())?;
    let (Some(plan), Some(ceremony)) = (state.plan(), state.ceremony()?) else {
        return Ok(());
    };
    let owners = plan.safe.as_ref().map(SafeInfo::owner_set).unwrap_or_default();
    // Others may have written theirs meanwhile.
    let theirs: Vec<Signed> = part(&value, "/safe/rejection/signatures").unwrap_or_default();
    let mut all = signed(&theirs);
    all.extend(signed(&ceremony.rejection.signed()));
    let signed_tx = SignedSafeTx::new(ceremony.rejection.tx.clone(), &owners, &all);
    let section = json!({"digests": signed_tx.tx.digests(), "signatures": signed_tx.signed()});
    let safe = value
        .get_mut("safe")
        .and_then(Value::as_object_mut)
        .ok_or_else(malformed)?;
    safe.insert("rejection".to_owned(), section);
    Ok(keep(path, &pretty(&value), 0o644)?)
}

impl State {
    /// Whether it came of a wrong proposal, so that nothing of it can be approved.
    pub(in crate::upgrade) fn is_only_to_reject(&self) -> bool {
        let asks_nothing = self.changes().is_some_and(|changes| changes.changes.is_empty());
        asks_nothing && self.batch.others.is_empty() && self.safe.frozen.is_some() && self.has_safe()
    }
}

/// The part of a JSON text at `place`, a JSON pointer.
pub(in crate::upgrade) fn part<T: DeserializeOwned>(value: &Value, place: &str) -> Result<T, String> {
    let found = value.pointer(place).cloned().unwrap_or_default();
    serde_json::from_value(found).map_err(|error| format!("`{place}`: {error}"))
}
