//! What an upgrade is to change, with all that was read before anything is done. Data; pure.

use alloy::primitives::{Address, B256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::chain::{AppState, Call, PolicyChange, timelock::PendingOperations};
use crate::cloud::{
    apps::PendingUpdate,
    instances::NewInstance,
    patch::{Patch, PublicPatch},
    replicas::Replica,
};
use crate::compose::{Changes, ComposeHash, FieldChange, Form, Manifest, Verification};
use crate::safe::info::SafeInfo;
use crate::upgrade::{
    finding::Warning,
    model::storage_note::Storages,
    model::{
        actor::{Actor, TimelockPlan},
        baseline::{Baseline, Past},
        environment::{Environment, Sealing, patch_digest},
        machine::Machine,
        route::Route,
        target::{Request, Target, same_uuid},
    },
};

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
    pub(in crate::upgrade) waiting: Option<PendingOperations>,
    /// What is known of the contracts' storage.
    #[serde(skip)]
    pub(in crate::upgrade) storages: Storages,
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
    pub(in crate::upgrade) base: Option<(Baseline, Past)>,
    /// Something else than Phala Cloud's word speaks for the KMS: somebody named it, or an earlier upgrade here trusted it.
    #[serde(skip)]
    pub(in crate::upgrade) kms_named: bool,
    /// The KMS contract of the app's last upgrade that was proved here, where there is one.
    #[serde(skip)]
    pub(in crate::upgrade) kms_before: Option<Address>,
    /// Transaction whose receipt names the hash before, where the app does not allow it any more: a hint for signers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::upgrade) base_tx: Option<B256>,
    /// Its sealed bytes, until they are kept.
    #[serde(skip)]
    pub(in crate::upgrade) sealed: Option<Sealing>,
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
    /// What waits for its commit was prepared by somebody else: nobody here could see all of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prepared_elsewhere: bool,
}

impl CodeChange {
    /// Whether a pending update is one of this CVM.
    pub(in crate::upgrade) fn is_of_this_cvm(&self, update: &PendingUpdate) -> bool {
        is_of(update, self.cvm_uuid.as_deref())
    }

    /// The CVM that it makes, where it makes one, and where: for people.
    pub fn makes(&self) -> Option<String> {
        let (word, placement) = self.target.word().zip(self.target.placement())?;
        let device = self
            .device
            .map_or_else(String::new, |device| format!(", device {device}"));
        Some(format!("another CVM: {word} on {placement}{device}"))
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

    /// Who is asked first: the timelock's proposer, or whoever has to act itself.
    pub fn asked_address(&self) -> Address {
        self.timelock
            .as_ref()
            .map_or(self.actor.address, |timelock| timelock.proposer)
    }

    /// Whether who has to act follows from the app and the changes, and a timelock is asked as it can be.
    pub(in crate::upgrade) fn has_its_actor(&self) -> bool {
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
    pub(in crate::upgrade) fn asks_the_same(&self, other: &Self) -> bool {
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

/// Whether the owner has something to do, as far as is known of the hash.
pub(in crate::upgrade) fn needs_calls(app: &AppState, besides: &[PolicyChange]) -> bool {
    app.hash_allowed != Some(true) || !besides.is_empty()
}

/// Whether a pending update is one of the CVM with this UUID; unless both are known it may be.
pub(in crate::upgrade) fn is_of(update: &PendingUpdate, uuid: Option<&str>) -> bool {
    match (&update.vm_uuid, uuid) {
        (Some(theirs), Some(ours)) => same_uuid(theirs, ours),
        _ => true,
    }
}

impl CodeChange {
    /// What prepare sends, with a sealed environment where one belongs to it.
    pub(in crate::upgrade) fn request(&self, patch: Patch) -> Request {
        let Patch {
            changes, encrypted_env, ..
        } = patch.clone();
        match &self.target {
            Target::Cvm => Request::Patch(patch),
            Target::Replica(placement) => Request::Replica(Replica {
                node_id: placement.node,
                encrypted_env,
                compose_hash: placement.from,
            }),
            Target::Instance(placement) => Request::Instance(NewInstance {
                node_id: placement.node,
                docker_compose_file: changes.docker_compose_file,
                pre_launch_script: changes.pre_launch_script,
                encrypted_env,
                compose_hash: placement.from,
            }),
        }
    }

    /// What is asked for, as the upgrade's own name and directory are made from it: the same whatever the app has by now.
    pub(in crate::upgrade) fn digest(&self) -> [u8; 32] {
        let change = patch_digest(&self.patch);
        match (self.target.word(), self.target.placement()) {
            (Some(word), Some(placement)) => {
                let asked = format!("{word}|{}|{}", self.cvm, placement.node.unwrap_or_default());
                Sha256::digest([asked.as_bytes(), &change].concat()).into()
            }
            _ => change,
        }
    }
}

impl Plan {
    /// Whether the app allows the hash already, so that only the rest needs somebody: a replica runs what runs already.
    ///
    /// Nobody is asked to allow again what is allowed; where nothing else is needed, the one call stays and is found in
    /// force. The commit reads the hash from the chain in either case.
    pub(in crate::upgrade) fn stands(&self) -> bool {
        let is_new = self.code.as_ref().is_some_and(|code| code.target.is_new());
        stands(is_new, &self.app_state, &self.policy)
    }
}

/// Whether a new CVM's hash is allowed already and other changes of the app's policy remain; asked before there is a
/// plan.
pub(in crate::upgrade) fn stands(is_new: bool, app: &AppState, policy: &[PolicyChange]) -> bool {
    is_new && app.hash_allowed == Some(true) && !policy.is_empty()
}

impl Target {
    /// Whether what is sent for it is all of `code`: a new CVM takes its place and, as an instance, its texts, and starts
    /// from what its source runs.
    pub(in crate::upgrade) fn takes_all(&self, code: &CodeChange) -> bool {
        let Some(placement) = self.placement() else { return true };
        let Changes {
            docker_compose_file,
            pre_launch_script,
            ..
        } = &code.patch.changes;
        let texts = PublicPatch {
            changes: Changes {
                docker_compose_file: docker_compose_file.clone(),
                pre_launch_script: pre_launch_script.clone(),
                ..Changes::default()
            },
            ..PublicPatch::default()
        };
        let taken = match self {
            Self::Instance(_) => {
                code.patch == texts && (placement.from.is_none() || placement.from == code.current_hash)
            }
            _ => code.patch == PublicPatch::default() && placement.from == code.current_hash,
        };
        taken && !code.confirm
    }
}
