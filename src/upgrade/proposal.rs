//! `proposal.json`: the public file that others check. It holds no secret.
//!
//! Nothing in it is trusted: reading recomputes every value that follows from another.

use std::path::Path;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::event::{Identity, Preparation};
use super::findings::derived_warnings;
use super::state::State;
use super::{Plan, Route, UpgradeError};
use crate::chain::Call;
use crate::cloud::CvmId;
use crate::compose::{ComposeError, ComposeHash, Manifest, Verification, strict_json};
use crate::fsutil;

/// File name within an upgrade's directory.
pub(super) const FILE: &str = "proposal.json";
/// Format that this build writes.
const SCHEMA: &str = "countersign.proposal/1";
/// A manifest holds at most 200 KiB of texts, and the proposal holds it twice.
const MAX_BYTES: u64 = 2 << 20;

/// The public file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Format.
    pub schema: String,
    /// Name of the upgrade.
    pub update: String,
    /// Host of the API.
    pub cloud: String,
    /// Compose hash to allow.
    pub compose_hash: ComposeHash,
    /// How it was verified where the proposal was made.
    pub verified: Verification,
    /// The calls that need the owner's authority.
    pub calls: Vec<Call>,
    /// ERC-8213 digest of each call's data.
    pub calldata_digests: Vec<B256>,
    /// Manifest after the change.
    pub manifest_after: Manifest,
    /// When the server answered.
    pub prepared_at: jiff::Timestamp,
    /// When the commit token dies.
    pub token_expires: jiff::Timestamp,
    /// What was read before anything was done.
    pub plan: Plan,
}

impl Proposal {
    /// The proposal of a verified upgrade; `None` before that.
    pub(super) fn of(state: &State) -> Option<Self> {
        let (identity, plan) = (state.identity()?, state.plan()?);
        let (hash, how) = state.verified()?;
        let prepared = state.prepared.as_ref()?;
        let call = plan.call_for(*hash);
        Some(Self {
            schema: SCHEMA.to_owned(),
            update: identity.update.clone(),
            cloud: identity.cloud.clone(),
            compose_hash: *hash,
            verified: how.clone(),
            calldata_digests: vec![call.digest()],
            calls: vec![call],
            manifest_after: plan.manifest.with(&plan.patch.changes),
            prepared_at: prepared.at,
            token_expires: prepared.expires,
            plan: plan.clone(),
        })
    }

    /// Reads a proposal and recomputes everything that can be recomputed.
    ///
    /// # Errors
    /// Malformed, or it contradicts itself.
    pub fn read(path: &Path) -> Result<Self, UpgradeError> {
        let bytes = fsutil::read(path, MAX_BYTES)?;
        let malformed = |why: String| UpgradeError::Proposal {
            path: path.to_owned(),
            why,
        };
        let written = strict_json(&bytes, bytes.len()).map_err(|error| {
            malformed(match error {
                ComposeError::Json(error) => error.to_string(),
                other => other.to_string(),
            })
        })?;
        let proposal: Self = serde_json::from_value(written.clone()).map_err(|error| malformed(error.to_string()))?;
        if proposal.schema != SCHEMA {
            return Err(malformed(format!(
                "its format is `{}`, this version reads `{SCHEMA}`",
                proposal.schema.escape_debug()
            )));
        }
        let understood = serde_json::to_value(&proposal).map_err(|error| malformed(error.to_string()))?;
        if let Some(place) = difference(&written, &understood, "") {
            return Err(malformed(format!(
                "`{}` is not written as this version writes it",
                place.escape_debug()
            )));
        }
        let named: CvmId = proposal.plan.cvm.parse()?;
        if named.to_string() != proposal.plan.cvm {
            return Err(malformed("its CVM is not named as this version names it".to_owned()));
        }
        proposal.check()?;
        proposal.check_plan()?;
        Ok(proposal)
    }

    /// Every value that follows from another one, recomputed.
    fn check(&self) -> Result<(), UpgradeError> {
        let after = self.plan.manifest.with(&self.plan.patch.changes);
        if after != self.manifest_after {
            let differing = after
                .diff(&self.manifest_after)
                .into_iter()
                .map(|change| change.field)
                .collect::<Vec<_>>();
            return Err(UpgradeError::stop(
                "PROPOSAL_CHANGED",
                "manifest after the change",
                "the manifest before with the changes",
                differing.join(", "),
            ));
        }
        match self.plan.current_hash.map(|current| {
            self.plan
                .manifest
                .verify(current, &self.plan.patch.changes, self.compose_hash)
        }) {
            Some(Verification::Mismatch { computed, explanation }) => {
                return Err(UpgradeError::hash_mismatch(
                    computed,
                    self.compose_hash,
                    explanation.into_iter().collect(),
                ));
            }
            found => {
                let found = found.unwrap_or(Verification::Uncomputable);
                if found != self.verified {
                    return Err(UpgradeError::stop(
                        "PROPOSAL_CHANGED",
                        "how the hash was verified",
                        format!("{found:?}"),
                        format!("{:?}", self.verified),
                    ));
                }
            }
        }
        let call = self.plan.call_for(self.compose_hash);
        if self.calls != [call.clone()] {
            return Err(UpgradeError::stop(
                "PROPOSAL_CHANGED",
                "calls",
                call.data,
                self.calls
                    .iter()
                    .map(|found| found.data.to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            ));
        }
        if self.calldata_digests != [call.digest()] {
            return Err(UpgradeError::stop(
                "PROPOSAL_CHANGED",
                "calldata digest",
                call.digest(),
                "another one",
            ));
        }
        Ok(())
    }

    /// Every value of the plan that follows from another one: people are shown them.
    fn check_plan(&self) -> Result<(), UpgradeError> {
        let plan = &self.plan;
        let changed = |what: &str| {
            Err(UpgradeError::stop(
                "PROPOSAL_CHANGED",
                what,
                "what follows from the rest of the proposal",
                "another one",
            ))
        };
        let form = plan.current_hash.and_then(|current| plan.manifest.calibrate(current));
        let expected = form.map(|form| self.manifest_after.hash(form));
        let call = expected
            .filter(|_| plan.app_state.hash_allowed != Some(true))
            .map(|hash| plan.call_for(hash));
        if plan.cloud != self.cloud {
            changed("API host of the plan")
        } else if plan.app_state.app != plan.app {
            changed("app of the plan")
        } else if plan.form != form || plan.expected_hash != expected {
            changed("hash of the plan")
        } else if plan.changes != plan.manifest.diff(&self.manifest_after) {
            changed("changes of the plan")
        } else if plan.call != call {
            changed("call of the plan")
        } else if plan.route != Route::of(&plan.app_state) {
            changed("route of the plan")
        } else {
            Ok(())
        }
    }

    /// Whether it is the proposal of the upgrade that a journal knows.
    pub(super) fn check_same(&self, state: &State) -> Result<(), UpgradeError> {
        let Some(own) = Self::of(state) else { return Ok(()) };
        let told = |proposal: &Self| {
            format!(
                "{}, CVM {}, app {}, chain {}",
                proposal.compose_hash, proposal.plan.cvm, proposal.plan.app, proposal.plan.chain_id
            )
        };
        if told(&own) == told(self) {
            return Ok(());
        }
        Err(UpgradeError::stop(
            "PROPOSAL_CHANGED",
            "what the proposal asks for",
            told(&own),
            told(self),
        ))
    }

    /// The records that a machine starts with which did not prepare the upgrade itself.
    pub(super) fn into_identity(self) -> (Identity, Plan, Preparation, Verification) {
        let identity = Identity {
            schema: super::journal::SCHEMA,
            update: self.update,
            cvm: self.plan.cvm.clone(),
            app: self.plan.app,
            chain_id: self.plan.chain_id,
            cloud: self.cloud,
        };
        let preparation = Preparation {
            hash: self.compose_hash,
            token_sha256: None,
            at: self.prepared_at,
            expires: self.token_expires,
            request_id: None,
        };
        let mut plan = self.plan;
        // Sentences of a file from elsewhere are nobody's word; what follows from its values is said anew.
        plan.warnings = derived_warnings(&plan.app_state, (&plan.manifest, &self.manifest_after), plan.form);
        plan.blockers.clear();
        (identity, plan, preparation, self.verified)
    }

    /// App's contract.
    pub const fn app(&self) -> Address {
        self.plan.app
    }
}

/// Where two JSON values differ first, as a path: an unknown member, or a value that can be written in several ways.
fn difference(written: &Value, understood: &Value, path: &str) -> Option<String> {
    match (written, understood) {
        (Value::Object(left), Value::Object(right)) => left
            .keys()
            .chain(right.keys())
            .find_map(|key| differ(left.get(key), right.get(key), format!("{path}/{key}"))),
        (Value::Array(left), Value::Array(right)) => (0..left.len().max(right.len()))
            .find_map(|index| differ(left.get(index), right.get(index), format!("{path}/{index}"))),
        _ => (written != understood).then(|| path.to_owned()),
    }
}

fn differ(written: Option<&Value>, understood: Option<&Value>, path: String) -> Option<String> {
    match (written, understood) {
        (Some(written), Some(understood)) => difference(written, understood, &path),
        _ => Some(path),
    }
}

#[cfg(test)]
#[path = "proposal_tests.rs"]
mod tests;
