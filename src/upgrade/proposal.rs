//! `proposal.json`: the public file that others check. It holds no secret.
//!
//! Nothing in it is trusted: reading recomputes every value that follows from another.

use std::path::Path;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ceremony::{Ceremony, Paper, SafeSection, Signed};
use super::event::{Event, Identity, Preparation};
use super::findings::{derived_warnings, safe_remarks};
use super::state::State;
use super::{Plan, Route, UpgradeError};
use crate::chain::Call;
use crate::cloud::CvmId;
use crate::compose::{ComposeError, ComposeHash, Manifest, Verification, strict_json};
use crate::fsutil;
use crate::safe::Trust;

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
    /// What the owners of a Safe sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<SafeSection>,
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
    pub fn of(state: &State) -> Option<Self> {
        let (identity, plan) = (state.identity()?, state.plan()?);
        let (hash, how) = state.verified()?;
        let prepared = state.prepared.as_ref()?;
        let calls = plan.calls_for(*hash);
        let safe = match (&state.frozen, state.ceremony()) {
            (Some(frozen), Ok(Some(ceremony))) => Some(ceremony.section(frozen, state.is_rejecting(), &state.ballots)),
            _ => None,
        };
        Some(Self {
            schema: SCHEMA.to_owned(),
            update: identity.update.clone(),
            cloud: identity.cloud.clone(),
            compose_hash: *hash,
            verified: how.clone(),
            calldata_digests: calls.iter().map(Call::digest).collect(),
            calls,
            safe,
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
        proposal.verify()?;
        Ok(proposal)
    }

    /// Recomputes every value that follows from another one.
    ///
    /// # Errors
    /// It contradicts itself.
    pub(super) fn verify(&self) -> Result<(), UpgradeError> {
        self.check()?;
        self.check_plan()
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
        let calls = self.plan.calls_for(self.compose_hash);
        if self.calls != calls {
            return Err(UpgradeError::stop(
                "PROPOSAL_CHANGED",
                "calls",
                shown(&calls),
                shown(&self.calls),
            ));
        }
        let digests: Vec<B256> = calls.iter().map(Call::digest).collect();
        if self.calldata_digests != digests {
            return Err(UpgradeError::stop(
                "PROPOSAL_CHANGED",
                "calldata digests",
                "those of the calls",
                "others",
            ));
        }
        self.ceremony().map(drop)
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
        let calls = expected
            .filter(|_| plan.app_state.hash_allowed != Some(true))
            .map(|hash| plan.calls_for(hash))
            .unwrap_or_default();
        if plan.cloud != self.cloud {
            changed("API host of the plan")
        } else if plan.app_state.app != plan.app {
            changed("app of the plan")
        } else if plan.form != form || plan.expected_hash != expected {
            changed("hash of the plan")
        } else if plan.changes != plan.manifest.diff(&self.manifest_after) {
            changed("changes of the plan")
        } else if plan.calls != calls {
            changed("calls of the plan")
        } else if plan
            .safe
            .as_ref()
            .is_some_and(|safe| (safe.address, safe.chain_id) != (plan.app_state.owner, plan.chain_id))
        {
            changed("Safe of the plan")
        } else if plan.route != Route::of(&plan.app_state, plan.safe.as_ref()) {
            changed("route of the plan")
        } else {
            Ok(())
        }
    }

    /// The Safe transaction and its signatures, rebuilt; `None` when no Safe approves.
    ///
    /// # Errors
    /// What the file says is not what follows from the rest of it.
    pub fn ceremony(&self) -> Result<Option<Ceremony>, UpgradeError> {
        let calls = self.plan.calls_for(self.compose_hash);
        let section = self.safe.as_ref();
        section.map(|section| section.check(&self.plan, &calls)).transpose()
    }

    /// What a journal would hold that was begun with this proposal.
    pub(super) fn events(self) -> Vec<Event> {
        let (section, at) = (self.safe.clone(), self.prepared_at);
        let (identity, plan, preparation, how) = self.into_identity();
        let hash = preparation.hash;
        let mut events = vec![
            Event::Open(identity),
            Event::Plan(Box::new(plan)),
            Event::PrepareOk(preparation),
            Event::Verified { hash, how },
        ];
        let Some(section) = section else { return events };
        events.push(Event::SafeFrozen(Box::new(section.frozen)));
        let mut extend = |signatures: Vec<Signed>, paper: Paper| {
            events.extend(signatures.into_iter().map(|one| Event::SafeSignature {
                owner: one.owner,
                signature: one.signature,
                paper,
                source: FILE.to_owned(),
            }));
        };
        extend(section.signatures, Paper::Approval);
        let rejection = section.rejection.is_some();
        if let Some(rejection) = section.rejection {
            extend(rejection.signatures, Paper::Rejection);
        }
        for nested in section.nested {
            let child = nested.safe.address;
            events.push(Event::SafeNested {
                safe: Box::new(nested.safe),
                frozen: Box::new(nested.frozen),
            });
            events.extend(nested.signatures.into_iter().map(|one| Event::SafeSignature {
                owner: one.owner,
                signature: one.signature,
                paper: Paper::Nested(child),
                source: FILE.to_owned(),
            }));
        }
        if rejection {
            events.push(Event::SafeReject { at });
        }
        events
    }

    /// Whether it is the proposal of the upgrade that a journal knows.
    ///
    /// # Errors
    /// It asks for something else.
    pub fn check_same(&self, state: &State) -> Result<(), UpgradeError> {
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
        if let Some(safe) = &plan.safe {
            plan.warnings.extend(safe_remarks(safe, &Trust::default()).1);
        }
        plan.blockers.clear();
        (identity, plan, preparation, self.verified)
    }

    /// App's contract.
    pub const fn app(&self) -> Address {
        self.plan.app
    }
}

fn shown(calls: &[Call]) -> String {
    let data: Vec<String> = calls.iter().map(|call| call.data.to_string()).collect();
    data.join(", ")
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
