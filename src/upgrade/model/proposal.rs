//! `proposal.json`: the public file that others check. It holds no secret.
//!
//! Nothing in it is trusted: reading recomputes every value that follows from another.

use std::path::Path;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chain::{AppChanges, Call};
use crate::cloud::{CvmId, patch::PublicPatch};
use crate::code::Code;
use crate::compose::{ComposeError, ComposeHash, Manifest, Verification, strict_json};
use crate::fsutil;
use crate::text::escape;
use crate::upgrade::{
    Origin, UpgradeError,
    model::{CodeChange, Environment, Plan, Route, Target},
    model::{
        plan::needs_calls,
        proposal_limits::{check_change, refuse_sealed},
        safe_approval::{SafeApproval, SafeSection, Stage},
        timelock_operation::{Asked, Choice, Scheduled, TimelockSection},
    },
};

/// File name within an upgrade's directory.
pub(in crate::upgrade) const FILE: &str = "proposal.json";
/// Format that this build writes.
pub(in crate::upgrade) const SCHEMA: &str = "countersign.proposal/1";
/// A manifest holds at most 200 KiB of texts, and the proposal holds it twice, for every app that one transaction changes.
const MAX_BYTES: u64 = 16 << 20;

/// The public file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Format.
    pub schema: String,
    /// Name of the upgrade.
    pub update: String,
    /// Host of the API; like everything about a compose hash, it is there when the code changes, and only then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
    /// Compose hash to allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub compose_hash: Option<ComposeHash>,
    /// How it was verified where the proposal was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub verified: Option<Verification>,
    /// The calls that need the owner's authority.
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Value>"))]
    pub calls: Vec<Call>,
    /// ERC-8213 digest of each call's data.
    #[cfg_attr(feature = "cli", schemars(with = "Vec<String>"))]
    pub calldata_digests: Vec<B256>,
    /// What the owners of a Safe sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub safe: Option<SafeSection>,
    /// What the timelock executes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub timelock: Option<TimelockSection>,
    /// Manifest after the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub manifest_after: Option<Manifest>,
    /// When the server answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub prepared_at: Option<jiff::Timestamp>,
    /// When the commit token expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub token_expires: Option<jiff::Timestamp>,
    /// What was read before anything was done.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub plan: Plan,
    /// Other apps of the same owner that the same transaction changes: what the proposal of each says, but for who acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Self>,
}

impl Proposal {
    /// Name and version of the format that is written.
    pub const FORMAT: &str = SCHEMA;

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
        refuse_sealed(&written)?;
        let proposal: Self = serde_json::from_value(written.clone()).map_err(|error| malformed(error.to_string()))?;
        if proposal.schema != SCHEMA {
            return Err(malformed(format!(
                "its format is `{}`, this version reads `{SCHEMA}`",
                escape(&proposal.schema)
            )));
        }
        let understood = serde_json::to_value(&proposal).map_err(|error| malformed(error.to_string()))?;
        if let Some(place) = difference(&written, &understood, "") {
            return Err(malformed(format!(
                "`{}` is not written as this version writes it",
                escape(&place)
            )));
        }
        for one in proposal.apps() {
            one.check_size().map_err(malformed)?;
        }
        for code in proposal.apps().filter_map(|one| one.plan.code.as_ref()) {
            let named: CvmId = code.cvm.parse()?;
            if named.to_string() != code.cvm {
                return Err(malformed("its CVM is not named as this version names it".to_owned()));
            }
        }
        if !proposal.is_whole() {
            return Err(malformed(
                "what belongs to a change of the code is not all there, or more than that".to_owned(),
            ));
        }
        proposal.verify()?;
        Ok(proposal)
    }

    /// Recomputes every value that follows from another one.
    ///
    /// # Errors
    /// It contradicts itself.
    pub(in crate::upgrade) fn verify(&self) -> Result<(), UpgradeError> {
        self.check()?;
        self.check_plan()?;
        self.check_others()
    }

    /// What the proposal says of a change of the code: the plan's part, the manifest after it, the hash and how it was
    /// verified; `None` when only the policy changes.
    pub fn code(&self) -> Option<(&CodeChange, &Manifest, (&ComposeHash, &Verification))> {
        Some((
            self.plan.code.as_ref()?,
            self.manifest_after.as_ref()?,
            (self.compose_hash.as_ref()?, self.verified.as_ref()?),
        ))
    }

    /// What has to be in force on chain in the end.
    pub fn changes(&self) -> AppChanges {
        AppChanges {
            app: self.plan.app,
            changes: self.plan.changes_with(self.compose_hash).unwrap_or_default(),
        }
    }

    /// Everything about a compose hash is there, or nothing; and something changes.
    pub(in crate::upgrade) fn is_whole(&self) -> bool {
        let code = self.plan.code.is_some();
        let parts = [
            self.cloud.is_some(),
            self.compose_hash.is_some(),
            self.verified.is_some(),
            self.manifest_after.is_some(),
            self.prepared_at.is_some(),
            self.token_expires.is_some(),
        ];
        parts.iter().all(|there| *there == code) && !self.changes().changes.is_empty()
    }

    /// What is asked and how it was verified, recomputed.
    pub(in crate::upgrade) fn check_content(&self) -> Result<(), UpgradeError> {
        if let Some((code, stated, (hash, verified))) = self.code() {
            check_code(code, stated, *hash, verified)?;
        }
        let calls = self.all_calls();
        if self.calls != calls {
            return Err(UpgradeError::stop(
                Code::ProposalChanged,
                "calls",
                shown(&calls),
                shown(&self.calls),
            ));
        }
        let digests: Vec<B256> = calls.iter().map(Call::digest).collect();
        if self.calldata_digests != digests {
            return Err(UpgradeError::stop(
                Code::ProposalChanged,
                "calldata digests",
                "those of the calls",
                "others",
            ));
        }
        Ok(())
    }

    /// Every value that follows from another one, recomputed.
    fn check(&self) -> Result<(), UpgradeError> {
        self.check_content()?;
        let section = self.asked().map(|asked| asked.section(self.scheduled()));
        // By both rules it is that of the plan, and one that was found stands in the place of one that is numbered.
        let rule = self.timelock.as_ref().map(|section| section.rule.is_name());
        let of_the_plan = rule.is_none_or(|by_name| by_name != self.plan.chooses_its_operation());
        if self.timelock != section || !of_the_plan {
            return Err(UpgradeError::stop(
                Code::ProposalChanged,
                "operation of the timelock",
                "what follows from chain, timelock, calls and its number",
                "another one",
            ));
        }
        self.ceremony().map(drop)
    }

    /// What the timelock is asked to do; `None`: none acts.
    fn asked(&self) -> Option<Asked> {
        let choice = match &self.timelock {
            Some(section) => section.choice(),
            // Not chosen yet: nothing can be signed for it either.
            None if self.plan.chooses_its_operation() => return None,
            None => Choice::by_name(0),
        };
        Asked::of(&self.update, &self.plan, &self.all_calls(), choice)
    }

    /// Which operation was chosen; `None`: it follows from the upgrade's name, or none was.
    pub(in crate::upgrade) fn chosen(&self) -> Option<Choice> {
        let choice = self.timelock.as_ref().map(TimelockSection::choice);
        choice.filter(|choice| !choice.rule.is_name())
    }

    pub(in crate::upgrade) fn scheduled(&self) -> Option<&Scheduled> {
        let section = self.timelock.as_ref()?;
        section
            .scheduled
            .as_ref()
            .filter(|scheduled| scheduled.id == section.id)
    }

    /// What is asked of whoever acts next: the changes themselves, or what a timelock is to be told.
    pub(in crate::upgrade) fn expected_calls(&self) -> Vec<Call> {
        let stage = match (&self.safe, &self.timelock) {
            (Some(section), _) => section.frozen.stage,
            (None, None) => Stage::Policy,
            (None, Some(section)) if section.scheduled.is_some() => Stage::Execute,
            (None, Some(_)) => Stage::Schedule,
        };
        self.calls_at(stage)
    }

    /// The calls that a Safe makes at a stage.
    fn calls_at(&self, stage: Stage) -> Vec<Call> {
        match stage {
            Stage::Policy => self.all_calls(),
            other => self.asked().and_then(|asked| asked.call(other)).into_iter().collect(),
        }
    }

    /// Every value of the plan that follows from another one: people are shown them.
    pub(in crate::upgrade) fn check_plan(&self) -> Result<(), UpgradeError> {
        let plan = &self.plan;
        let changed = |what: &str| {
            Err(UpgradeError::stop(
                Code::ProposalChanged,
                what,
                "what follows from the rest of the proposal",
                "another one",
            ))
        };
        let code = plan.code.as_ref();
        let form = code.and_then(|code| code.manifest.calibrate(code.current_hash?));
        let expected = self
            .manifest_after
            .as_ref()
            .zip(form)
            .map(|(after, form)| after.hash(form));
        let needed = expected.filter(|_| needs_calls(&plan.app_state, &plan.policy));
        let calls = plan.calls_with(needed);
        let differs = |code: &CodeChange| {
            if Some(&code.cloud) != self.cloud.as_ref() {
                Some("API host of the plan")
            } else if code.form != form || code.expected_hash != expected {
                Some("hash of the plan")
            } else if code.changes != code.manifest.diff(&code.manifest_after()) {
                Some("changes of the plan")
            } else if !code.machine_fits() {
                Some("machine of the plan")
            } else if !code.target.takes_all(code) {
                Some("change of a new CVM")
            } else {
                None
            }
        };
        if plan.app_state.app != plan.app {
            changed("app of the plan")
        } else if let Some(what) = code.and_then(differs) {
            changed(what)
        } else if plan.calls != calls {
            changed("calls of the plan")
        } else if plan
            .safe
            .as_ref()
            .is_some_and(|safe| (safe.address, safe.chain_id) != (plan.asked_address(), plan.chain_id))
        {
            changed("Safe of the plan")
        } else if !plan.has_its_actor() {
            changed("who has to act")
        } else if plan.route != Route::of(plan.actor, plan.safe.as_ref(), plan.timelock.as_ref()) {
            changed("route of the plan")
        } else {
            Ok(())
        }
    }

    /// The Safe transaction and its signatures, rebuilt; `None` when no Safe approves.
    ///
    /// # Errors
    /// What the file says is not what follows from the rest of it.
    pub fn ceremony(&self) -> Result<Option<SafeApproval>, UpgradeError> {
        let section = self.safe.as_ref();
        section
            .map(|section| section.check(&self.plan, &self.calls_at(section.frozen.stage)))
            .transpose()
    }

    /// What it asks of its own app, and for which CVM.
    pub(in crate::upgrade) fn summary(&self) -> String {
        let plan = &self.plan;
        let cvm = plan
            .code
            .as_ref()
            .map(|code| match (code.target.word(), code.target.placement()) {
                (Some(word), Some(placement)) => format!(", {word} of CVM {} on {placement}", code.cvm),
                _ => format!(", CVM {}", code.cvm),
            });
        format!(
            "{}, app {}, chain {}{}",
            self.changes(),
            plan.app,
            plan.chain_id,
            cvm.unwrap_or_default()
        )
    }

    /// What follows from no call: what is sent to the cloud for its own app.
    pub(in crate::upgrade) fn sends(&self) -> Option<(&PublicPatch, &Target, Option<&Environment>, bool)> {
        let code = self.plan.code.as_ref()?;
        Some((&code.patch, &code.target, code.environment.as_ref(), code.confirm))
    }

    /// App's contract.
    pub const fn app(&self) -> Address {
        self.plan.app
    }
}

/// The manifest after the change and its hash follow from what was there before.
fn check_code(
    code: &CodeChange,
    stated: &Manifest,
    hash: ComposeHash,
    verified: &Verification,
) -> Result<(), UpgradeError> {
    let after = code.manifest_after();
    if after != *stated {
        let differing: Vec<String> = after.diff(stated).into_iter().map(|change| change.field).collect();
        return Err(UpgradeError::stop(
            Code::ProposalChanged,
            "manifest after the change",
            "the manifest before with the changes",
            differing.join(", "),
        ));
    }
    match code.recompute(hash) {
        Verification::Mismatch { computed, explanation } => Err(UpgradeError::hash_mismatch(
            Origin::Proposal,
            computed,
            hash,
            explanation.into_iter().collect(),
        )),
        found if found == *verified => Ok(()),
        found => Err(UpgradeError::stop(
            Code::ProposalChanged,
            "how the hash was verified",
            found,
            verified,
        )),
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

impl Proposal {
    /// Nothing in it is larger than Phala Cloud takes, or has.
    ///
    /// # Errors
    /// What is, in words.
    pub(in crate::upgrade) fn check_size(&self) -> Result<(), String> {
        let told = |error: ComposeError| error.to_string();
        if let Some(code) = &self.plan.code {
            check_change(&code.patch).map_err(told)?;
            code.manifest.check_size().map_err(told)?;
        }
        self.manifest_after
            .as_ref()
            .map_or(Ok(()), Manifest::check_size)
            .map_err(told)
    }
}

#[cfg(test)]
#[path = "proposal_tests.rs"]
mod tests;
