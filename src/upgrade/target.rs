//! What a commit makes of an allowed hash: the CVM itself runs it, or another CVM of the same app does.
//!
//! A replica and a new instance go the way of an upgrade. Their source is the CVM that is named; what it runs is the
//! manifest before, and the node that will run the new CVM decides which device has to be allowed.

use std::collections::BTreeSet;
use std::fmt;

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::environment::patch_digest;
use super::findings::Warning;
use super::plan::same_uuid;
use super::{CodeChange, Intent, Plan, UpgradeError, World};
use crate::chain::{AppState, PolicyChange};
use crate::cloud::{Cvm, CvmId, NewInstance, Patch, PublicPatch, Replica};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash};

/// What the commit makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Target {
    /// The CVM itself runs the hash.
    #[default]
    Cvm,
    /// Another CVM runs what this one runs.
    Replica(Seat),
    /// Another CVM of the app, which may run something else.
    Instance(Seat),
}

/// Where a new CVM is to run, and what was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// Number of the node; without it the source's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// Revision that is named to the cloud as the one to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ComposeHash>,
    /// UUIDs of the CVMs that the app had when this was planned, without dashes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
}

/// What prepare sends.
pub(super) enum Request {
    /// A change of the CVM.
    Patch(Patch),
    /// A replica of the CVM.
    Replica(Replica),
    /// An instance of the app.
    Instance(NewInstance),
}

impl Target {
    /// Whether another CVM is made.
    pub const fn is_new(&self) -> bool {
        !matches!(self, Self::Cvm)
    }

    /// Where the new CVM is to run; `None`: none is made.
    pub const fn seat(&self) -> Option<&Seat> {
        match self {
            Self::Cvm => None,
            Self::Replica(seat) | Self::Instance(seat) => Some(seat),
        }
    }

    /// What is made, in one word; nothing where the CVM itself changes.
    pub const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Cvm => None,
            Self::Replica(_) => Some("replica"),
            Self::Instance(_) => Some("instance"),
        }
    }

    /// For whom the CVM itself changes, nothing is written.
    pub(super) const fn is_cvm(&self) -> bool {
        !self.is_new()
    }

    const fn seat_mut(&mut self) -> Option<&mut Seat> {
        match self {
            Self::Cvm => None,
            Self::Replica(seat) | Self::Instance(seat) => Some(seat),
        }
    }

    /// Whether what is sent for it is all of `code`: a new CVM takes its place and, as an instance, its texts, and starts
    /// from what its source runs.
    pub(super) fn takes_all(&self, code: &CodeChange) -> bool {
        let Some(seat) = self.seat() else { return true };
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
            Self::Instance(_) => code.patch == texts && (seat.from.is_none() || seat.from == code.current_hash),
            _ => code.patch == PublicPatch::default() && seat.from == code.current_hash,
        };
        taken && !code.confirm
    }

    /// Whether the same is asked for, whatever was there when it was planned.
    pub(super) fn asks_the_same(&self, other: &Self) -> bool {
        let node = |target: &Self| target.seat().map(|seat| seat.node);
        (self.word(), node(self)) == (other.word(), node(other))
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "node {node}"),
            None => f.write_str("the same node"),
        }
    }
}

impl CodeChange {
    /// What prepare sends, with a sealed environment where one belongs to it.
    pub(super) fn request(&self, patch: Patch) -> Request {
        let Patch {
            changes, encrypted_env, ..
        } = patch.clone();
        match &self.target {
            Target::Cvm => Request::Patch(patch),
            Target::Replica(seat) => Request::Replica(Replica {
                node_id: seat.node,
                encrypted_env,
                compose_hash: seat.from,
            }),
            Target::Instance(seat) => Request::Instance(NewInstance {
                node_id: seat.node,
                docker_compose_file: changes.docker_compose_file,
                pre_launch_script: changes.pre_launch_script,
                encrypted_env,
                compose_hash: seat.from,
            }),
        }
    }

    /// What is asked for, as the upgrade's own name and directory are made from it: the same whatever the app has by now.
    pub(super) fn digest(&self) -> [u8; 32] {
        let change = patch_digest(&self.patch);
        match (self.target.word(), self.target.seat()) {
            (Some(word), Some(seat)) => {
                let asked = format!("{word}|{}|{}", self.cvm, seat.node.unwrap_or_default());
                Sha256::digest([asked.as_bytes(), &change].concat()).into()
            }
            _ => change,
        }
    }
}

impl Request {
    /// SHA-256 of the body.
    pub(super) fn digest(&self) -> [u8; 32] {
        let bytes = match self {
            Self::Patch(patch) => return patch_digest(patch),
            Self::Replica(replica) => serde_json::to_vec(replica),
            Self::Instance(instance) => serde_json::to_vec(instance),
        };
        Sha256::digest(bytes.unwrap_or_default()).into()
    }
}

impl Plan {
    /// Whether the app allows the hash already, so that only the rest needs somebody: a replica runs what runs already.
    ///
    /// Nobody is asked to allow again what is allowed; where nothing else is needed, the one call stays and is found in
    /// force. The commit reads the hash from the chain in either case.
    pub(super) fn stands(&self) -> bool {
        let is_new = self.code.as_ref().is_some_and(|code| code.target.is_new());
        stands(is_new, &self.app_state, &self.policy)
    }
}

/// The same before there is a plan.
pub(super) fn stands(is_new: bool, app: &AppState, policy: &[PolicyChange]) -> bool {
    is_new && app.hash_allowed == Some(true) && !policy.is_empty()
}

/// What the cloud says of the place, checked for what a new CVM needs.
pub(super) struct Place {
    pub(super) target: Target,
    /// Device of the node.
    pub(super) device: Option<B256>,
    pub(super) warnings: Vec<Warning>,
}

impl Place {
    /// Reads the app's CVMs and the node. Changes nothing.
    ///
    /// # Errors
    /// The cloud offers no such node, or does not tell its device; or the change is one that no new CVM can have.
    pub(super) async fn read(world: &World<'_>, intent: &Intent, source: &Cvm) -> Result<Self, UpgradeError> {
        let mut target = intent.target.clone();
        let device = source.device_id;
        let warnings = Vec::new();
        let (Some(seat), Some(app)) = (target.seat_mut(), source.app_id) else {
            return Ok(Self {
                target,
                device,
                warnings,
            });
        };
        refuse_more(intent)?;
        let there = world.cloud.app_cvms(app).await?;
        let device = match seat.node {
            Some(node) => Some(device_of(world, node).await?),
            None => device,
        };
        seat.before = uuids(&there);
        let revisions: BTreeSet<_> = there
            .iter()
            .filter_map(|cvm| cvm.compose_hash)
            .map(|hash| *hash.as_bytes())
            .collect();
        let exact = matches!(intent.target, Target::Replica(_)) || revisions.len() > 1;
        seat.from = source.compose_hash.filter(|_| exact);
        let warnings = twins(&there, source, device).into_iter().collect();
        Ok(Self {
            target,
            device,
            warnings,
        })
    }
}

/// Names of CVMs as they are compared: without dashes.
pub(super) fn uuids(cvms: &[Cvm]) -> Vec<String> {
    let mut all: Vec<String> = cvms.iter().filter_map(|cvm| cvm.uuid.as_deref()).map(plain).collect();
    all.sort();
    all
}

/// Who names a CVM by its app or its UUID must be told of that one, whatever the cloud would rather have upgraded.
pub(super) fn refuse_another(named: &CvmId, cvm: &Cvm) -> Result<(), UpgradeError> {
    if let (Some(app), Some(found)) = (named.app(), cvm.app_id)
        && app != found
    {
        return Err(UpgradeError::stop(Code::AppMismatch, "app of the CVM", app, found));
    }
    match (named.uuid(), cvm.uuid.as_deref()) {
        (Some(uuid), Some(found)) if !same_uuid(uuid, found) => {
            Err(UpgradeError::stop(Code::CvmMismatch, "UUID of the CVM", uuid, found))
        }
        _ => Ok(()),
    }
}

/// A UUID without dashes.
pub(super) fn plain(uuid: &str) -> String {
    uuid.replace('-', "").to_ascii_lowercase()
}

/// A new CVM takes its place and, as an instance, its texts; everything else is as the source has it.
fn refuse_more(intent: &Intent) -> Result<(), UpgradeError> {
    let Changes {
        docker_compose_file,
        pre_launch_script,
        ..
    } = &intent.patch.changes;
    let texts = Patch {
        changes: Changes {
            docker_compose_file: docker_compose_file.clone(),
            pre_launch_script: pre_launch_script.clone(),
            ..Changes::default()
        },
        ..Patch::default()
    };
    let taken = match intent.target {
        Target::Instance(_) => intent.patch == texts,
        _ => intent.patch == Patch::default(),
    };
    if taken && !intent.confirm {
        return Ok(());
    }
    Err(UpgradeError::decide(
        Code::NewCvmChange,
        "a new CVM can only be given a node and an environment, and an instance other texts to run; change the rest afterwards",
    ))
}

/// The device of a node, which the app's contract has to allow.
async fn device_of(world: &World<'_>, node: u64) -> Result<B256, UpgradeError> {
    let nodes = world.cloud.nodes().await?.nodes;
    let found = nodes.iter().find(|known| known.id == Some(node));
    found.and_then(|found| found.device_id).ok_or_else(|| {
        UpgradeError::decide(
            Code::NodeUnknown,
            format!("Phala Cloud offers no node {node}, or does not say which device it is"),
        )
    })
}

/// Another CVM that runs the same there already: perhaps this was done before.
fn twins(there: &[Cvm], source: &Cvm, device: Option<B256>) -> Option<Warning> {
    let same = there.iter().filter(|cvm| {
        let is_source = cvm.uuid.as_deref().map(plain) == source.uuid.as_deref().map(plain);
        !is_source && device.is_some() && cvm.device_id == device && cvm.compose_hash == source.compose_hash
    });
    let name = |cvm: &'_ Cvm| cvm.uuid.clone().or_else(|| cvm.name.clone());
    let names: Vec<String> = same
        .map(|cvm| name(cvm).unwrap_or_else(|| "one without a name".to_owned()))
        .collect();
    (!names.is_empty()).then(|| Warning {
        code: Code::NewCvmTwin,
        text: format!(
            "the app has a CVM on that node already that runs what the source runs: {}",
            names.join(", ")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn plan(target: Target, hash_allowed: bool, policy: &[PolicyChange]) -> Plan {
        let mut plan = sample::plan();
        plan.app_state.hash_allowed = Some(hash_allowed);
        plan.policy = policy.to_vec();
        if let Some(code) = &mut plan.code {
            code.target = target;
        }
        plan
    }

    #[test]
    fn what_is_allowed_is_not_called_for_again_when_a_new_cvm_needs_something_else() {
        let device = PolicyChange::AddDevice(B256::repeat_byte(1));
        let hash = PolicyChange::AddComposeHash(B256::from(*sample::hash().as_bytes()));
        let seat = || Target::Replica(Seat::default());
        let changes = |target, allowed, policy: &[PolicyChange]| {
            let plan = plan(target, allowed, policy);
            plan.changes_with(Some(sample::hash())).unwrap()
        };
        assert_eq!(changes(seat(), true, &[device]), [device]);
        assert_eq!(changes(seat(), false, &[device]), [hash, device]);
        // One call stays, and is found in force.
        assert_eq!(changes(seat(), true, &[]), [hash]);
        assert_eq!(changes(Target::Cvm, true, &[device]), [hash, device]);
    }

    #[test]
    fn who_asks_for_another_node_or_kind_asks_for_something_else() {
        let on = |node| Seat {
            node: Some(node),
            ..Seat::default()
        };
        let later = Seat {
            before: vec!["u".to_owned()],
            ..on(18)
        };
        assert!(Target::Replica(on(18)).asks_the_same(&Target::Replica(later)));
        assert!(!Target::Replica(on(18)).asks_the_same(&Target::Replica(on(26))));
        assert!(!Target::Replica(on(18)).asks_the_same(&Target::Instance(on(18))));
        assert!(!Target::Replica(Seat::default()).asks_the_same(&Target::Cvm));
    }

    #[test]
    fn the_same_wish_has_the_same_directory_whatever_the_app_has_by_now() {
        let digest = |target| {
            let code = plan(target, true, &[]).code.unwrap();
            code.digest()
        };
        let first = digest(Target::Instance(Seat::default()));
        let later = Seat {
            from: Some(sample::hash()),
            before: vec!["u".to_owned()],
            node: None,
        };
        assert_eq!(digest(Target::Instance(later.clone())), first);
        let other = Seat {
            node: Some(1),
            ..later.clone()
        };
        assert_ne!(digest(Target::Instance(other)), first);
        assert_ne!(digest(Target::Replica(later)), first);
        assert_ne!(digest(Target::Cvm), first);
    }

    #[test]
    fn a_change_of_the_cvm_itself_is_written_as_it_always_was() {
        let code = sample::plan().code.unwrap();
        let written = serde_json::to_value(&code).unwrap();
        assert_eq!(written.get("target"), None);
        let mut code = code;
        code.target = Target::Replica(Seat::default());
        let written = serde_json::to_value(&code).unwrap();
        assert_eq!(written["target"], serde_json::json!({"kind": "replica"}));
        assert_eq!(serde_json::from_value::<CodeChange>(written).unwrap(), code);
    }

    #[test]
    fn each_kind_sends_what_belongs_to_it() {
        let mut code = sample::plan().code.unwrap();
        let patch = code.patch.clone().sealed(Some("ab".to_owned()));
        let seat = Seat {
            node: Some(5),
            ..Seat::default()
        };
        let body = |code: &CodeChange| match code.request(patch.clone()) {
            Request::Patch(patch) => serde_json::to_value(patch).unwrap(),
            Request::Replica(replica) => serde_json::to_value(replica).unwrap(),
            Request::Instance(instance) => serde_json::to_value(instance).unwrap(),
        };
        let text = body(&code)["docker_compose_file"].clone();
        code.target = Target::Replica(seat.clone());
        assert_eq!(body(&code), serde_json::json!({"node_id": 5, "encrypted_env": "ab"}));
        code.target = Target::Instance(seat);
        let whole = serde_json::json!({"node_id": 5, "docker_compose_file": text, "encrypted_env": "ab"});
        assert_eq!(body(&code), whole);
    }
}
