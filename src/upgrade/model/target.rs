//! What a commit makes of an allowed hash: the CVM itself runs it, or another CVM of the same app does.
//!
//! A replica and a new instance go the way of an upgrade. Their source is the CVM that is named; what it runs is the
//! manifest before, and the node that will run the new CVM decides which device has to be allowed.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::cloud::{instances::NewInstance, patch::Patch, replicas::Replica};
use crate::compose::ComposeHash;
use crate::upgrade::model::environment::patch_digest;

/// What the commit makes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Target {
    /// The CVM itself runs the hash.
    #[default]
    Cvm,
    /// Another CVM runs what this one runs.
    Replica(Placement),
    /// Another CVM of the app, which may run something else.
    Instance(Placement),
}

/// Where a new CVM is to run, and what was there before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
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
pub(in crate::upgrade) enum Request {
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
    pub const fn placement(&self) -> Option<&Placement> {
        match self {
            Self::Cvm => None,
            Self::Replica(placement) | Self::Instance(placement) => Some(placement),
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
    pub(in crate::upgrade) const fn is_cvm(&self) -> bool {
        !self.is_new()
    }

    pub(in crate::upgrade) const fn placement_mut(&mut self) -> Option<&mut Placement> {
        match self {
            Self::Cvm => None,
            Self::Replica(placement) | Self::Instance(placement) => Some(placement),
        }
    }

    /// Whether the same is asked for, whatever was there when it was planned.
    pub(in crate::upgrade) fn asks_the_same(&self, other: &Self) -> bool {
        let node = |target: &Self| target.placement().map(|placement| placement.node);
        (self.word(), node(self)) == (other.word(), node(other))
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            Some(node) => write!(f, "node {node}"),
            None => f.write_str("the same node"),
        }
    }
}

impl Request {
    /// SHA-256 of the body.
    pub(in crate::upgrade) fn digest(&self) -> [u8; 32] {
        let bytes = match self {
            Self::Patch(patch) => return patch_digest(patch),
            Self::Replica(replica) => serde_json::to_vec(replica),
            Self::Instance(instance) => serde_json::to_vec(instance),
        };
        Sha256::digest(bytes.unwrap_or_default()).into()
    }
}

/// A UUID without dashes.
pub(in crate::upgrade) fn plain(uuid: &str) -> String {
    uuid.replace('-', "").to_ascii_lowercase()
}

/// Whether two texts name one UUID.
pub(in crate::upgrade) fn same_uuid(one: &str, other: &str) -> bool {
    fn digits(uuid: &str) -> impl Iterator<Item = u8> {
        let digits = uuid.bytes().filter(|digit| *digit != b'-');
        digits.map(|digit| digit.to_ascii_lowercase())
    }
    digits(one).eq(digits(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::PolicyChange;
    use crate::upgrade::model::{CodeChange, Plan};
    use crate::upgrade::sample;
    use alloy::primitives::B256;

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
        let placement = || Target::Replica(Placement::default());
        let changes = |target, allowed, policy: &[PolicyChange]| {
            let plan = plan(target, allowed, policy);
            plan.changes_with(Some(sample::hash())).unwrap()
        };
        assert_eq!(changes(placement(), true, &[device]), [device]);
        assert_eq!(changes(placement(), false, &[device]), [hash, device]);
        // One call stays, and is found in force.
        assert_eq!(changes(placement(), true, &[]), [hash]);
        assert_eq!(changes(Target::Cvm, true, &[device]), [hash, device]);
    }

    #[test]
    fn a_uuid_is_the_same_with_dashes_and_capitals() {
        assert!(same_uuid("0f8FAD5b-d9cb", "0f8fad5bd9CB"));
        assert!(!same_uuid("0f8fad5b", "0f8fad5b1") && !same_uuid("", "0"));
    }

    #[test]
    fn who_asks_for_another_node_or_kind_asks_for_something_else() {
        let on = |node| Placement {
            node: Some(node),
            ..Placement::default()
        };
        let later = Placement {
            before: vec!["u".to_owned()],
            ..on(18)
        };
        assert!(Target::Replica(on(18)).asks_the_same(&Target::Replica(later)));
        assert!(!Target::Replica(on(18)).asks_the_same(&Target::Replica(on(26))));
        assert!(!Target::Replica(on(18)).asks_the_same(&Target::Instance(on(18))));
        assert!(!Target::Replica(Placement::default()).asks_the_same(&Target::Cvm));
    }

    #[test]
    fn the_same_wish_has_the_same_directory_whatever_the_app_has_by_now() {
        let digest = |target| {
            let code = plan(target, true, &[]).code.unwrap();
            code.digest()
        };
        let first = digest(Target::Instance(Placement::default()));
        let later = Placement {
            from: Some(sample::hash()),
            before: vec!["u".to_owned()],
            node: None,
        };
        assert_eq!(digest(Target::Instance(later.clone())), first);
        let other = Placement {
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
        code.target = Target::Replica(Placement::default());
        let written = serde_json::to_value(&code).unwrap();
        assert_eq!(written["target"], serde_json::json!({"kind": "replica"}));
        assert_eq!(serde_json::from_value::<CodeChange>(written).unwrap(), code);
    }

    #[test]
    fn each_kind_sends_what_belongs_to_it() {
        let mut code = sample::plan().code.unwrap();
        let patch = code.patch.clone().sealed(Some("ab".to_owned()));
        let placement = Placement {
            node: Some(5),
            ..Placement::default()
        };
        let body = |code: &CodeChange| match code.request(patch.clone()) {
            Request::Patch(patch) => serde_json::to_value(patch).unwrap(),
            Request::Replica(replica) => serde_json::to_value(replica).unwrap(),
            Request::Instance(instance) => serde_json::to_value(instance).unwrap(),
        };
        let text = body(&code)["docker_compose_file"].clone();
        code.target = Target::Replica(placement.clone());
        assert_eq!(body(&code), serde_json::json!({"node_id": 5, "encrypted_env": "ab"}));
        code.target = Target::Instance(placement);
        let whole = serde_json::json!({"node_id": 5, "docker_compose_file": text, "encrypted_env": "ab"});
        assert_eq!(body(&code), whole);
    }
}
