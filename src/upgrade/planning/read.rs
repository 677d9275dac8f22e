//! The plan: everything that is read before anything is done, and what it means. Reads only.

use alloy::primitives::{Address, B256};
use jiff::Timestamp;

use crate::chain::{AppQuery, AppState, Chain, PolicyChange, policy_history::PolicyHistory};
use crate::cloud::{CloudError, Cvm, CvmId, apps::PendingUpdate, patch::PublicPatch};
use crate::code::Code;
use crate::compose::{ComposeHash, Form, Manifest};
use crate::upgrade::{
    UpgradeError, World,
    checks::{
        findings::{Findings, policy_blockers, route_blocker},
        kms,
        os_image::NextImage,
        pending_operations::Remarks,
    },
    finding::Warning,
    model::Intent,
    model::storage_note::Storages,
    model::{
        actor::Actor,
        environment::{Environment, Sealing},
        machine::Machine,
        plan::{CodeChange, Plan, needs_calls, stands},
        remarks::safe_remarks,
        target::Target,
        unapproved::UnapprovedPlan,
    },
    planning::{
        authority::Authority,
        login,
        own_history::OwnProofs,
        pending_updates as pending,
        placement::{Place, refuse_another},
        revoke::{Kept, Others, Revocation},
        seal::{self, Recipient},
        unapproved,
    },
};

/// What was read of a CVM's change: whether somebody has to approve it follows from the CVM.
#[derive(Debug, Clone)]
pub enum Planned {
    /// The app's owner has to approve it.
    Approved(Box<Plan>),
    /// No KMS on a chain guards the CVM: nobody has to approve it.
    Unapproved(Box<UnapprovedPlan>),
}

/// What the cloud said of the CVM, checked for what an upgrade needs.
struct Subject {
    cvm: Cvm,
    manifest: Manifest,
    app: Address,
    chain_id: u64,
    target: Target,
    /// The OS image that it is to be given.
    image: Option<NextImage>,
    warnings: Vec<Warning>,
}

impl Plan {
    /// What waits at the timelock, held against what is wanted.
    pub(in crate::upgrade) fn judge_what_waits(&mut self) {
        let Some(waiting) = &self.waiting else { return };
        let mut found = Remarks::of(self, waiting);
        self.warnings.append(&mut found.warnings);
        self.blockers.append(&mut found.blockers);
    }
}

/// Reads the CVM, its manifest and KMS facts from the cloud, and the contracts from the chain. Changes nothing.
///
/// # Errors
/// Something could not be read, or the CVM is not one that this tool upgrades.
pub async fn plan(world: &World<'_>, intent: &Intent) -> Result<Plan, UpgradeError> {
    plan_knowing(world, intent, &OwnProofs::below(world.root)).await
}

/// As [`plan()`], also for a CVM that no KMS on a chain guards.
///
/// # Errors
/// As [`plan()`].
pub async fn plan_either(world: &World<'_>, intent: &Intent) -> Result<Planned, UpgradeError> {
    let (cvm, manifest) = read_cvm(world, &intent.cvm).await?;
    if cvm.kms.chain_id.is_none() {
        let plan = unapproved::plan(intent, cvm, manifest)?;
        return Ok(Planned::Unapproved(Box::new(plan)));
    }
    let read = (cvm, manifest);
    let plan = plan_of(world, (intent, read), &OwnProofs::below(world.root)).await?;
    Ok(Planned::Approved(Box::new(plan)))
}

/// As [`plan()`], for one of several plans: what own upgrades proved is read for all of them.
pub(in crate::upgrade) async fn plan_knowing(
    world: &World<'_>,
    intent: &Intent,
    own: &OwnProofs<'_>,
) -> Result<Plan, UpgradeError> {
    let read = read_cvm(world, &intent.cvm).await?;
    plan_of(world, (intent, read), own).await
}

/// A CVM's record, and its manifest where that could be read.
type ReadCvm = (Cvm, Result<Manifest, CloudError>);

/// Reads both again where they do not belong together: the CVM may have changed between the two answers.
pub(in crate::upgrade) async fn read_cvm(world: &World<'_>, cvm: &CvmId) -> Result<ReadCvm, UpgradeError> {
    let (record, manifest) = read_both(world, cvm).await?;
    let runs = record.compose_hash;
    let fits = |manifest: &Manifest| runs.is_none_or(|hash| manifest.calibrate(hash).is_some());
    match manifest.as_ref().is_ok_and(|manifest| !fits(manifest)) {
        true => read_both(world, cvm).await,
        false => Ok((record, manifest)),
    }
}

async fn read_both(world: &World<'_>, cvm: &CvmId) -> Result<ReadCvm, UpgradeError> {
    world.greet();
    let (record, manifest) = tokio::join!(world.cloud.cvm(cvm), world.cloud.manifest(cvm));
    let record = record?;
    refuse_another(cvm, &record)?;
    Ok((record, manifest))
}

async fn plan_of(world: &World<'_>, asked: (&Intent, ReadCvm), own: &OwnProofs<'_>) -> Result<Plan, UpgradeError> {
    let (intent, read) = asked;
    let patch = seal::complete(intent)?.public();
    crate::upgrade::model::proposal_limits::check_change(&patch)?;
    let mut subject = read_subject(world, intent, read).await?;
    let mut remarks = std::mem::take(&mut subject.warnings);
    let runs = subject.cvm.compose_hash;
    let form = runs.and_then(|known| subject.manifest.calibrate(known));
    let after = subject.manifest.with(&patch.changes);
    let expected = as_wanted(intent.expected.hash, form.map(|form| after.hash(form)))?;
    let chain = world.chain(subject.chain_id).await?;
    let query = query(&subject, expected);
    let (state, pending) = tokio::join!(chain.app(&query), world.cloud.pending_updates(subject.app));
    let environment = sealed(world, &chain, &subject, intent).await?;
    let state = state?;
    check_pending_owner(&state, intent.expected.pending_owner)?;
    let authority = Authority::read(&chain, Actor::owner(&state), intent.timelock).await?;
    let pending = pending::known_pending(pending)?;
    let history = match intent.revoke_old || intent.expected.strict {
        true => Some(chain.policy_history(&state, &[], &[]).await?),
        false => None,
    };
    let revocation = match history.as_ref().filter(|_| intent.revoke_old) {
        Some(history) => {
            let kept = Kept {
                runs,
                expected,
                pending: pending.as_deref().unwrap_or_default(),
                others: Others::read(world, state.app).await?,
            };
            Revocation::of(history, &kept, &intent.policy)
        }
        None => Revocation::default(),
    };
    let policy: Vec<PolicyChange> = intent.policy.iter().chain(&revocation.changes).copied().collect();
    let draft = Draft {
        patch,
        environment,
        cloud: world.cloud.host(),
        authority,
        subject,
        intent,
        form,
        expected,
        after,
        pending,
        history: history.filter(|_| intent.expected.strict),
        policy,
        revocation,
    };
    let mut plan = draft.assess(state);
    plan.read_baseline(world, &chain, own).await?;
    plan.judge_what_waits();
    plan.warnings.append(&mut remarks);
    Ok(pending::compare(world, plan).await)
}

/// Who knows which hash the change has gives no other one.
fn as_wanted(wanted: Option<ComposeHash>, computed: Option<ComposeHash>) -> Result<Option<ComposeHash>, UpgradeError> {
    match wanted {
        Some(wanted) if computed != Some(wanted) => {
            let found = computed.map_or_else(|| "one that cannot be computed".to_owned(), |hash| hash.to_string());
            Err(UpgradeError::stop(
                Code::HashMismatch,
                "compose hash of the change",
                wanted,
                found,
            ))
        }
        _ => Ok(computed),
    }
}

/// The environment that was named, sealed.
async fn sealed(
    world: &World<'_>,
    chain: &Chain,
    subject: &Subject,
    intent: &Intent,
) -> Result<Option<(Environment, Sealing)>, UpgradeError> {
    match &intent.env {
        Some(request) => Ok(Some(
            seal::seal(world, chain, &subject.recipient(intent), request).await?,
        )),
        None => Ok(None),
    }
}

/// A transfer that somebody knows of goes to whom they know.
pub(in crate::upgrade) fn check_pending_owner(state: &AppState, expected: Option<Address>) -> Result<(), UpgradeError> {
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
    /// What the KMS's contract knows the OS image by that the CVM boots next; nothing where that is not known.
    fn os_image(&self) -> Option<B256> {
        self.image.as_ref().map_or(self.cvm.os_image_hash, NextImage::hash)
    }

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
        os_image: subject.os_image(),
        kind: true,
    }
}

/// Who was told of another chain or device is not answered with these.
fn refuse_other_place(intent: &Intent, cvm: &Cvm) -> Result<(), UpgradeError> {
    let (chain, device) = (intent.expected.chain_id, intent.expected.device);
    match (chain.zip(cvm.kms.chain_id), device.zip(cvm.device_id)) {
        (Some((expected, found)), _) if expected != found => Err(UpgradeError::stop(
            Code::ChainMismatch,
            "chain of the CVM's KMS",
            expected,
            found,
        )),
        (_, Some((expected, found))) if expected != found => Err(UpgradeError::stop(
            Code::DeviceMismatch,
            "device of the CVM",
            expected,
            found,
        )),
        _ => Ok(()),
    }
}

/// Nobody approves what this CVM runs.
fn off_chain(cvm: &CvmId) -> UpgradeError {
    UpgradeError::decide(
        Code::KmsOffchain,
        format!(
            "`{cvm}` is guarded by an off-chain KMS: Phala Cloud would apply the change at once, nobody has to approve it"
        ),
    )
}

/// The app of a CVM that an on-chain KMS guards, and the chain.
pub(in crate::upgrade) fn guarded(id: &CvmId, cvm: &Cvm) -> Result<(Address, u64), UpgradeError> {
    let chain_id = cvm.kms.chain_id.ok_or_else(|| off_chain(id))?;
    let unknown = || UpgradeError::decide(Code::AppUnknown, format!("Phala Cloud names no app for `{id}`"));
    Ok((cvm.app_id.ok_or_else(unknown)?, chain_id))
}

async fn read_subject(world: &World<'_>, intent: &Intent, read: ReadCvm) -> Result<Subject, UpgradeError> {
    let (mut cvm, manifest) = read;
    let (app, chain_id) = guarded(&intent.cvm, &cvm)?;
    if let Some(expected) = intent.expected.app.filter(|expected| *expected != app) {
        return Err(UpgradeError::stop(Code::AppMismatch, "app of the CVM", expected, app));
    }
    kms::refuse_other(intent.expected.kms, cvm.kms.kms_contract)?;
    refuse_other_place(intent, &cvm)?;
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
        seal::refuse_skipped(intent, &manifest)?;
    }
    cvm.device_id = place.device;
    let image = match intent.patch.image.as_deref().filter(|_| cvm.kms.kms_contract.is_some()) {
        Some(name) => Some(NextImage::read(world.cloud, &intent.cvm, name).await),
        None => None,
    };
    let mut warnings = place.warnings;
    warnings.extend(image.as_ref().and_then(NextImage::unknown));
    warnings.extend(login::who_may_log_in(world, intent, &cvm).await);
    Ok(Subject {
        manifest,
        cvm,
        app,
        chain_id,
        target: place.target,
        image,
        warnings,
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
    history: Option<PolicyHistory>,
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
            history: self.history.as_ref(),
            policy: &self.policy,
            environment: self.environment.is_some(),
            target: &self.subject.target,
            image: self.subject.image.as_ref(),
        }
    }

    fn remarks(&self) -> Vec<Warning> {
        let mut remarks: Vec<Warning> = Vec::new();
        if let (Some(request), Some((sealed, _))) = (&self.intent.env, &self.environment) {
            let of_names = seal::remarks(request, sealed, &self.after);
            remarks.extend(of_names);
        }
        remarks
    }

    /// What was found out about what is taken away and about whoever acts.
    fn known_warnings(&mut self) -> Vec<Warning> {
        let mut found = std::mem::take(&mut self.revocation.warnings);
        found.append(&mut self.authority.warnings);
        found
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
        warnings.append(&mut self.known_warnings());
        self.of_the_safe(&mut blockers, &mut warnings);
        warnings.extend(self.remarks());
        let (environment, sealed) = self.environment.unzip();
        let needed = self.expected.filter(|_| needs_calls(&app_state, &self.policy));
        let subject = self.subject;
        let (os_image, cvm, manifest) = (subject.os_image(), subject.cvm, subject.manifest);
        let code = CodeChange {
            machine_before: Machine::before(&self.patch, &cvm),
            cloud: self.cloud,
            cvm: self.intent.cvm.to_string(),
            target: subject.target,
            cvm_name: cvm.name,
            cvm_uuid: cvm.uuid,
            device: cvm.device_id,
            os_image,
            current_hash: cvm.compose_hash,
            changes: manifest.diff(&self.after),
            manifest,
            patch: self.patch,
            environment,
            base: None,
            kms_named: kms::is_named(self.intent, cvm.kms.kms_contract),
            kms_before: None,
            base_tx: None,
            sealed,
            form: self.form,
            expected_hash: self.expected,
            pending_updates: self.pending.unwrap_or_default(),
            confirm: self.intent.confirm,
            prepared_elsewhere: false,
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
