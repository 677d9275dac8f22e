//! The body of the unified PATCH, whole and without the sealed environment. Pure.

use serde::{Deserialize, Serialize};

use crate::compose::Changes;

/// Body of `PATCH /cvms/{id}`. Absent fields stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// What the manifest covers.
    #[serde(flatten)]
    pub changes: Changes,
    /// Virtual CPUs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vcpu: Option<u32>,
    /// Memory, MB.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory: Option<u32>,
    /// Disk, GB, as the documents (`updateCvmResources`, `patchCvm`, `provision_cvm`: "Disk size in GB"), the official
    /// command line (`phala cvms resize --disk-size`: "Disk size in GB") and SDK (`disk_size: 50` in its own example) and
    /// the records (OpenAPI, `CvmBasicInfo`: "Allocated disk size in GB") have it. The OpenAPI text of this one field
    /// (`UpdateCvmRequest`) says MB, and nothing else does. See [`super::updates::MAX_DISK_GB`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk_size: Option<u32>,
    /// OS image name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// Sealed environment, hex.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub encrypted_env: Option<String>,
    /// Text that the guest is given as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_config: Option<String>,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpus: Option<Gpus>,
    /// How long a graceful shutdown may take, seconds; `Some(None)` for as long as it takes.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    pub shutdown_timeout: Option<Option<u64>>,
    /// Whether a shutdown that takes longer is forced.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allow_force_stop: Option<bool>,
}

/// What of a [`Patch`] everybody may read: all of it but the sealed environment. Proposals and journals hold it; the sealed
/// bytes join it on the way to the cloud, and come from nowhere else than whoever sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicPatch {
    /// What the manifest covers.
    #[serde(flatten)]
    pub changes: Changes,
    /// Virtual CPUs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vcpu: Option<u32>,
    /// Memory, MB.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory: Option<u32>,
    /// Disk, GB.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub disk_size: Option<u32>,
    /// OS image name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// Text that the guest is given as it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user_config: Option<String>,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpus: Option<Gpus>,
    /// How long a graceful shutdown may take, seconds; `Some(None)` for as long as it takes.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    pub shutdown_timeout: Option<Option<u64>>,
    /// Whether a shutdown that takes longer is forced.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allow_force_stop: Option<bool>,
}

impl PublicPatch {
    /// The request, with a sealed environment, hex, where one belongs to it.
    pub fn sealed(self, encrypted_env: Option<String>) -> Patch {
        let Self {
            changes,
            vcpu,
            memory,
            disk_size,
            image,
            user_config,
            gpus,
            shutdown_timeout,
            allow_force_stop,
        } = self;
        Patch {
            changes,
            vcpu,
            memory,
            disk_size,
            image,
            encrypted_env,
            user_config,
            gpus,
            shutdown_timeout,
            allow_force_stop,
        }
    }
}

impl Patch {
    /// What of it everybody may read.
    #[must_use]
    pub fn public(self) -> PublicPatch {
        let Self {
            changes,
            vcpu,
            memory,
            disk_size,
            image,
            encrypted_env: _,
            user_config,
            gpus,
            shutdown_timeout,
            allow_force_stop,
        } = self;
        PublicPatch {
            changes,
            vcpu,
            memory,
            disk_size,
            image,
            user_config,
            gpus,
            shutdown_timeout,
            allow_force_stop,
        }
    }
}

/// GPUs for a CVM. The documents and clients count them, the published OpenAPI file names their slots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gpus {
    /// So many, of this product.
    Count {
        /// How many.
        count: u32,
        /// Which product.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        product_name: Option<String>,
    },
    /// These slots, or all of them.
    Slots {
        /// The slots.
        gpus: Vec<GpuSlot>,
        /// `listed` or `all`.
        attach_mode: String,
    },
}

/// A GPU by its slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuSlot {
    /// PCI slot.
    pub slot: String,
    /// Product.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub product_id: Option<String>,
}

/// A null that was written is kept apart from nothing.
fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u64>>, D::Error> {
    Option::deserialize(from).map(Some)
}
