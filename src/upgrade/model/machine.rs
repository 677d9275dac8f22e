//! What of a CVM lies outside the manifest: its resources, image and GPUs. Data only.

use serde::{Deserialize, Serialize};

use crate::cloud::{Cvm, patch::PublicPatch};

/// What a CVM may use and boots, as far as somebody says; in a change, absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Virtual CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u64>,
    /// MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk: Option<u64>,
    /// OS image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

impl Machine {
    /// What `patch` changes of it.
    pub(in crate::upgrade) fn after(patch: &PublicPatch) -> Self {
        Self {
            vcpu: patch.vcpu.map(u64::from),
            memory: patch.memory.map(u64::from),
            disk: patch.disk_size.map(u64::from),
            image: patch.image.clone(),
        }
    }

    /// What the CVM has of that which `patch` changes; nothing where that is not known, or none of it changes.
    pub(in crate::upgrade) fn before(patch: &PublicPatch, cvm: &Cvm) -> Option<Self> {
        let change = Self::after(patch);
        let now = Self {
            vcpu: cvm.resources.vcpu.filter(|_| change.vcpu.is_some()),
            memory: cvm.resources.memory.filter(|_| change.memory.is_some()),
            disk: cvm.resources.disk_size.filter(|_| change.disk.is_some()),
            image: cvm.os_image.clone().filter(|_| change.image.is_some()),
        };
        Some(now).filter(|now| *now != Self::default())
    }

    pub(super) fn is_within(&self, change: &Self) -> bool {
        let within = |ours: bool, theirs: bool| !ours || theirs;
        within(self.vcpu.is_some(), change.vcpu.is_some())
            && within(self.memory.is_some(), change.memory.is_some())
            && within(self.disk.is_some(), change.disk.is_some())
            && within(self.image.is_some(), change.image.is_some())
    }
}
