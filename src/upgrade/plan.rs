//! The plan: everything that is read before anything is done, and what it means. Reads only.

use alloy::primitives::{Address, B256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::authority::{Actor, Authority, TimelockPlan};
use super::base::{Baseline, Past};
use super::environment::{self, Environment, Recipient, Sealing};
use super::findings::{Findings, Warning, policy_blockers, route_blocker, safe_remarks};
use super::revoke::{Kept, Others, Revocation};
use super::route::Route;
use super::storage_note::Storages;
use super::target::{Place, Target, refuse_another, stands};
use super::uncovered::Machine;
use super::waiting::Remarks;
use super::{Intent, UpgradeError, World, kms, pending};
use crate::chain::{AppQuery, AppState, Call, Chain, ChainError, HashRecord, PendingOperations, PolicyChange};
use crate::cloud::{Cvm, PendingUpdate, PublicPatch};
use crate::code::Code;
use crate::compose::{ComposeHash, FieldChange, Form, Manifest, Verification};
use crate::safe::SafeInfo;

/// Everything that was read before anything is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// App id = contract.
    pub app: Address,
    /// Chain id.
    pub chain_id: u64,
    /// DstackKms contract.
    pub kms: Option<Address>,
    /// The contracts.
    pub app_state: AppState,
    /// Whose authority it needs: the owner's, or whose the app is offered to.
    pub actor: Actor,
    /// How that is had.
    pub route: Route,
    /// The Safe that has to act: as the owner, or as the timelock's proposer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<SafeInfo>,
    /// The timelock that has to act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timelock: Option<TimelockPlan>,
    /// What is to run, if that changes: an upgrade. Without it only the policy does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeChange>,
    /// What else changes of the app's policy, in the same transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<PolicyChange>,
    /// The calls that are needed, when all changes are known and not in force yet.
    pub calls: Vec<Call>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What forbids going on.
    pub blockers: Vec<Warning>,
    /// When it was read.
    pub read_at: Timestamp,
    /// What waits at the timelock, as it was read with the rest.
    #[serde(skip)]
    pub(super) waiting: Option<PendingOperations>,
    /// What is known of the contracts' storage.
    #[serde(skip)]
    pub(super) storages: Storages,
}

/// What changes of the code that a CVM runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CodeChange {
    /// Host of the API.
    pub cloud: String,
    /// CVM, as it is named in the API's paths.
    pub cvm: String,
    /// Whether that CVM changes, or another one is made from it.
    #[serde(default, skip_serializing_if = "Target::is_cvm")]
    pub target: Target,
    /// Its name.
    pub cvm_name: Option<String>,
    /// Its UUID.
    pub cvm_uuid: Option<String>,
    /// Device that runs the CVM, or will run the new one.
    pub device: Option<B256>,
    /// Its OS image.
    pub os_image: Option<B256>,
    /// Hash the CVM runs now, where the cloud says.
    pub current_hash: Option<ComposeHash>,
    /// Manifest before.
    pub manifest: Manifest,
    /// What is sent to the cloud, but for the sealed environment.
    pub patch: PublicPatch,
    /// What the CVM has of that which changes of its machine, as the cloud said when this was planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_before: Option<Machine>,
    /// The environment that goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// What is known of the manifest before and of the hash after; only where the plan was just made.
    #[serde(skip)]
    pub(super) base: Option<(Baseline, Past)>,
    /// Something else than Phala Cloud's word speaks for the KMS: somebody named it, or an earlier upgrade here trusted it.
    #[serde(skip)]
    pub(super) kms_named: bool,
    /// Transaction whose receipt names the hash before, where the app does not allow it any more: a hint for signers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base_tx: Option<B256>,
    /// Its sealed bytes, until they are kept.
    #[serde(skip)]
    pub(super) sealed: Option<Sealing>,
    /// Fields that change.
    pub changes: Vec<FieldChange>,
    /// The form that reproduces the current hash; without one, hashes cannot be recomputed.
    pub form: Option<Form>,
    /// Hash the change should give.
    pub expected_hash: Option<ComposeHash>,
    /// Updates that wait for their commit.
    pub pending_updates: Vec<PendingUpdate>,
    /// End with the two headers instead of the token.
    pub confirm: bool,
}

/// What the cloud said of the CVM, checked for what an upgrade needs.
struct Subject {
    cvm: Cvm,
    manifest: Manifest,
    app: Address,
    chain_id: u64,
    target: Target,
    warnings: Vec<Warning>,
}

impl CodeChange {
    /// Whether a pending update is one of this CVM.
    pub(super) fn is_of_this_cvm(&self, update: &PendingUpdate) -> bool {
        is_of(update, self.cvm_uuid.as_deref())
    }

    /// The CVM that it makes, where it makes one, and where: for people.
    pub fn makes(&self) -> Option<String> {
        let (word, seat) = self.target.word().zip(self.target.seat())?;
        let device = self
            .device
            .map_or_else(String::new, |device| format!(", device {device}"));
        Some(format!("another CVM: {word} on {seat}{device}"))
    }

    /// What recomputing `claimed` from the manifest and the change gives.
    pub fn recompute(&self, claimed: ComposeHash) -> Verification {
        self.current_hash.map_or(Verification::Uncomputable, |current| {
            self.manifest.verify(current, &self.patch.changes, claimed)
        })
    }

    /// The manifest after the change.
    pub fn manifest_after(&self) -> Manifest {
        self.manifest.with(&self.patch.changes)
    }
}

impl Plan {
    /// What has to be in force on chain in the end: the verified hash, where the code changes, then the rest; `None`
    /// as long as that hash is not known. What is in force already and needs no call is left out.
    pub fn changes_with(&self, hash: Option<ComposeHash>) -> Option<Vec<PolicyChange>> {
        let code = match (&self.code, hash) {
            (None, _) => None,
            (Some(_), Some(_)) if self.stands() => None,
            (Some(_), Some(hash)) => Some(PolicyChange::AddComposeHash(B256::from(*hash.as_bytes()))),
            (Some(_), None) => return None,
        };
        Some(code.into_iter().chain(self.policy.iter().copied()).collect())
    }

    /// The calls that the owner has to make for [`Self::changes_with`]; none as long as the hash is not known.
    pub fn calls_with(&self, hash: Option<ComposeHash>) -> Vec<Call> {
        let changes = self.changes_with(hash).unwrap_or_default();
        changes.into_iter().map(|change| change.call(self.app)).collect()
    }

    /// What waits at the timelock, held against what is wanted.
    pub(super) fn judge_what_waits(&mut self) {
        let Some(waiting) = &self.waiting else { return };
        let mut found = Remarks::of(self, waiting);
        self.warnings.append(&mut found.warnings);
        self.blockers.append(&mut found.blockers);
    }

    /// Who is asked first: the timelock's proposer, or whoever has to act itself.
    pub fn asked_address(&self) -> Address {
        self.timelock
            .as_ref()
            .map_or(self.actor.address, |timelock| timelock.proposer)
    }

    /// Whether who has to act follows from the app and the changes, and a timelock is asked as it can be.
    pub(super) fn has_its_actor(&self) -> bool {
        let heir = self.policy.iter().find_map(|change| match change {
            PolicyChange::AcceptOwnership(heir) => Some(*heir),
            _ => None,
        });
        let actor = match heir {
            Some(heir) => self.actor.address == heir,
            None => self.actor == Actor::owner(&self.app_state),
        };
        let timelock = self.timelock.as_ref().is_none_or(|timelock| {
            timelock.info.address == self.actor.address
                && timelock.roles.proposers.contains(&timelock.proposer)
                && timelock.delay >= timelock.info.min_delay
        });
        actor && timelock
    }

    /// Whether another plan asks for the same.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        let code = |plan: &Self| {
            let code = plan.code.as_ref();
            code.map(|code| (code.patch.clone(), code.environment.is_some()))
        };
        let target = |plan: &Self| plan.code.as_ref().map(|code| code.target.clone()).unwrap_or_default();
        code(self) == code(other)
            && target(self).asks_the_same(&target(other))
            && (self.code.is_some() || self.policy == other.policy)
    }

    /// Hash that the CVM runs before the change, where the code changes and the cloud says.
    pub fn current_hash(&self) -> Option<ComposeHash> {
        self.code.as_ref().and_then(|code| code.current_hash)
    }
}

/// Reads the CVM, its manifest and KMS facts from the cloud, and the contracts from the chain. Changes nothing.
///
/// # Errors
/// Something could not be read, or the CVM is not one that this tool upgrades.
pub async fn plan(world: &World<'_>, intent: &Intent) -> Result<Plan, UpgradeError> {
    let patch = environment::complete(intent)?.public();
    super::carried::check_change(&patch)?;
    let mut subject = read_subject(world, intent).await?;
    let mut remarks = std::mem::take(&mut subject.warnings);
    let form = subject
        .cvm
        .compose_hash
        .and_then(|known| subject.manifest.calibrate(known));
    let after = subject.manifest.with(&patch.changes);
    let expected = form.map(|form| after.hash(form));
    let chain = world.chain(subject.chain_id).await?;
    let query = query(&subject, expected);
    let (state, pending, history) = tokio::join!(
        chain.app(&query),
        world.cloud.pending_updates(subject.app),
        history(&chain, &query, intent),
    );
    let environment = match &intent.env {
        Some(request) => Some(environment::seal(world, &chain, &subject.recipient(intent), request).await?),
        None => None,
    };
    let cloud = world.cloud.host();
    let state = state?;
    check_heir(&state, intent.expected.pending_owner)?;
    let authority = Authority::read(&chain, Actor::owner(&state), intent.timelock).await?;
    let pending = pending::known_pending(pending)?;
    let kept = (
        subject.cvm.compose_hash,
        expected,
        pending.as_deref().unwrap_or_default(),
    );
    let revocation = revocation(world, (&chain, &state), intent, kept).await?;
    let policy: Vec<PolicyChange> = intent.policy.iter().chain(&revocation.changes).copied().collect();
    let mut history = history?;
    history.retain(|record| !policy.contains(&PolicyChange::RemoveComposeHash(record.hash)));
    let draft = Draft {
        patch,
        environment,
        cloud,
        authority,
        subject,
        intent,
        form,
        expected,
        after,
        pending,
        history,
        policy,
        revocation,
    };
    let mut plan = draft.assess(state);
    plan.read_baseline(world, &chain).await?;
    plan.judge_what_waits();
    plan.warnings.append(&mut remarks);
    Ok(pending::compare(world, plan).await)
}

/// What is taken away besides, where that is asked for.
async fn revocation(
    world: &World<'_>,
    (chain, state): (&Chain, &AppState),
    intent: &Intent,
    (runs, expected, pending): (Option<ComposeHash>, Option<ComposeHash>, &[PendingUpdate]),
) -> Result<Revocation, UpgradeError> {
    if !intent.revoke_old {
        return Ok(Revocation::default());
    }
    let (history, others) = tokio::join!(chain.policy_history(state, (&[], &[])), Others::read(world, state.app));
    let kept = Kept {
        runs,
        expected,
        pending,
        others: others?,
    };
    Ok(Revocation::of(&history?, &kept, &intent.policy))
}

/// Every hash that was ever allowed or removed, where somebody wants to know.
async fn history(chain: &Chain, query: &AppQuery, intent: &Intent) -> Result<Vec<HashRecord>, ChainError> {
    if !intent.expected.strict {
        return Ok(Vec::new());
    }
    chain.hash_history(query.app).await
}

/// A transfer that somebody knows of goes to whom they know.
pub(super) fn check_heir(state: &AppState, expected: Option<Address>) -> Result<(), UpgradeError> {
    let Some(expected) = expected else {
        return Ok(());
    };
    let found = state.pending_owner.unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    Err(UpgradeError::stop(
        Code::PendingOwnerMismatch,
        "pending owner of the app",
        expected,
        found,
    ))
}

impl Subject {
    const fn recipient<'a>(&self, intent: &'a Intent) -> Recipient<'a> {
        Recipient {
            cvm: &intent.cvm,
            app: self.app,
            kms: self.cvm.kms.kms_contract,
        }
    }
}

fn query(subject: &Subject, hash: Option<ComposeHash>) -> AppQuery {
    AppQuery {
        app: subject.app,
        kms: subject.cvm.kms.kms_contract,
        hash: hash.map(|hash| B256::from(*hash.as_bytes())),
        running: subject.cvm.compose_hash.map(|hash| B256::from(*hash.as_bytes())),
        device: subject.cvm.device_id,
        os_image: subject.cvm.os_image_hash,
    }
}

async fn read_subject(world: &World<'_>, intent: &Intent) -> Result<Subject, UpgradeError> {
    let (cvm, manifest) = tokio::join!(world.cloud.cvm(&intent.cvm), world.cloud.manifest(&intent.cvm));
    let mut cvm = cvm?;
    refuse_another(&intent.cvm, &cvm)?;
    let Some(chain_id) = cvm.kms.chain_id else {
        return Err(UpgradeError::decide(
            Code::KmsOffchain,
            format!(
                "`{}` is guarded by an off-chain KMS: Phala Cloud would apply the change at once, nobody has to approve it",
                intent.cvm
            ),
        ));
    };
    let Some(app) = cvm.app_id else {
        return Err(UpgradeError::decide(
            Code::AppUnknown,
            format!("Phala Cloud names no app for `{}`", intent.cvm),
        ));
    };
    if let Some(expected) = intent.expected.app.filter(|expected| *expected != app) {
        return Err(UpgradeError::stop(Code::AppMismatch, "app of the CVM", expected, app));
    }
    kms::refuse_other(intent.expected.kms, cvm.kms.kms_contract)?;
    if let Some(contract) = cvm.kms.app_contract.filter(|contract| *contract != app) {
        return Err(UpgradeError::stop(
            Code::AppMismatch,
            "app contract of the CVM",
            app,
            contract,
        ));
    }
    let manifest = manifest?;
    let place = Place::read(world, intent, &cvm).await?;
    if place.target.is_new() {
        environment::refuse_skipped(intent, &manifest)?;
    }
    cvm.device_id = place.device;
    Ok(Subject {
        manifest,
        cvm,
        app,
        chain_id,
        target: place.target,
        warnings: place.warnings,
    })
}

struct Draft<'a> {
    cloud: String,
    patch: PublicPatch,
    environment: Option<(Environment, Sealing)>,
    subject: Subject,
    intent: &'a Intent,
    form: Option<Form>,
    expected: Option<ComposeHash>,
    after: Manifest,
    pending: Option<Vec<PendingUpdate>>,
    history: Vec<HashRecord>,
    policy: Vec<PolicyChange>,
    revocation: Revocation,
    authority: Authority,
}

impl Draft<'_> {
    fn findings<'f>(&'f self, app: &'f AppState) -> Findings<'f> {
        Findings {
            app,
            cvm: &self.subject.cvm,
            before: &self.subject.manifest,
            after: &self.after,
            form: self.form,
            expected: self.expected,
            pending: self.pending.as_deref(),
            history: &self.history,
            policy: &self.policy,
            environment: self.environment.is_some(),
            target: &self.subject.target,
        }
    }

    fn remarks(&self) -> Vec<Warning> {
        let mut remarks: Vec<Warning> = Vec::new();
        if let (Some(request), Some((sealed, _))) = (&self.intent.env, &self.environment) {
            let of_names = environment::remarks(request, sealed, &self.after);
            remarks.extend(of_names);
        }
        remarks
    }

    /// What forbids what changes besides.
    fn of_the_policy(&mut self, app: &AppState) -> Vec<Warning> {
        let stands = stands(self.subject.target.is_new(), app, &self.policy);
        let calls = self.policy.len() + usize::from(!stands);
        let mut found: Vec<Warning> = route_blocker(&self.authority.route(), calls).into_iter().collect();
        found.extend(policy_blockers(app, &self.policy));
        found.append(&mut self.revocation.blockers);
        found
    }

    /// What forbids going on with the Safe that has to act, and what a person should know of it.
    fn of_the_safe(&self, blockers: &mut Vec<Warning>, warnings: &mut Vec<Warning>) {
        if let Some(safe) = &self.authority.safe {
            let (forbids, notes) = safe_remarks(safe, &self.intent.trust);
            blockers.extend(forbids);
            warnings.extend(notes);
        }
    }

    fn assess(mut self, app_state: AppState) -> Plan {
        let mut blockers = self.findings(&app_state).blockers();
        let mut warnings = self.findings(&app_state).warnings();
        if self.intent.expected.pending_owner.is_some() {
            warnings.retain(|warning| warning.code != Code::OwnerPending);
        }
        let route = self.authority.route();
        // Why nobody can act yet, before what follows from nobody acting.
        blockers.append(&mut self.authority.blockers);
        blockers.extend(self.of_the_policy(&app_state));
        warnings.append(&mut self.revocation.warnings);
        warnings.append(&mut self.authority.warnings);
        self.of_the_safe(&mut blockers, &mut warnings);
        warnings.extend(self.remarks());
        let (environment, sealed) = self.environment.unzip();
        let needed = self.expected.filter(|_| needs_calls(&app_state, &self.policy));
        let subject = self.subject;
        let (cvm, manifest) = (subject.cvm, subject.manifest);
        let code = CodeChange {
            machine_before: Machine::before(&self.patch, &cvm),
            cloud: self.cloud,
            cvm: self.intent.cvm.to_string(),
            target: subject.target,
            cvm_name: cvm.name,
            cvm_uuid: cvm.uuid,
            device: cvm.device_id,
            os_image: cvm.os_image_hash,
            current_hash: cvm.compose_hash,
            changes: manifest.diff(&self.after),
            manifest,
            patch: self.patch,
            environment,
            base: None,
            kms_named: kms::is_named(self.intent, cvm.kms.kms_contract),
            base_tx: None,
            sealed,
            form: self.form,
            expected_hash: self.expected,
            pending_updates: self.pending.unwrap_or_default(),
            confirm: self.intent.confirm,
        };
        let mut plan = Plan {
            app: subject.app,
            chain_id: subject.chain_id,
            kms: cvm.kms.kms_contract,
            route,
            app_state,
            actor: self.authority.actor,
            safe: self.authority.safe,
            timelock: self.authority.timelock,
            code: Some(code),
            policy: self.policy,
            calls: Vec::new(),
            warnings,
            blockers,
            read_at: Timestamp::now(),
            waiting: self.authority.waiting,
            storages: Storages::default(),
        };
        plan.calls = plan.calls_with(needed);
        plan
    }
}

/// Whether the owner has something to do, as far as is known of the hash.
pub(super) fn needs_calls(app: &AppState, besides: &[PolicyChange]) -> bool {
    app.hash_allowed != Some(true) || !besides.is_empty()
}

/// Whether a pending update is one of the CVM with this UUID; unless both are known it may be.
pub(super) fn is_of(update: &PendingUpdate, uuid: Option<&str>) -> bool {
    match (&update.vm_uuid, uuid) {
        (Some(theirs), Some(ours)) => same_uuid(theirs, ours),
        _ => true,
    }
}

pub(super) fn same_uuid(one: &str, other: &str) -> bool {
    use super::target::plain;
    plain(one) == plain(other)
}
