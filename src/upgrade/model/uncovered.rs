//! What no hash covers: what an update changes of a CVM outside the manifest that the chain guards, and the environment
//! that goes with it. Nobody can recompute it, so it is shown in full. Pure; called by plan, review, consent and commit.

use std::fmt;

use serde::Serialize;

use crate::cloud::patch::{Gpus, PublicPatch};
use crate::upgrade::{model::CodeChange, model::machine::Machine};

/// What stands for the environment among what changes.
pub(in crate::upgrade) const ENVIRONMENT: &str = "environment";

/// What stands for an update that somebody else prepared among what changes.
pub(in crate::upgrade) const PREPARED: &str = "prepared";
const UNSEEN: &str = "what somebody else prepared, with the resources, OS image, user_config and sealed environment that it has: \
                      Phala Cloud shows none of them, and nobody here could see them";

/// One thing that changes and that no hash covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uncovered {
    /// Its name, as Phala Cloud's API has it; whoever agrees to it names it so.
    pub field: &'static str,
    /// How it was when the update was planned, where that is known: the word of whoever planned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is to be; a text in full.
    pub after: String,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.before {
            Some(before) => write!(f, "{} becomes {}, was {before}", self.field, self.after),
            None => write!(f, "{} becomes {}", self.field, self.after),
        }
    }
}

impl CodeChange {
    /// Everything that changes and that no hash covers, in the order of the API's fields.
    pub fn uncovered(&self) -> Vec<Uncovered> {
        // A field that is added to the request has to be shown here, or in the manifest's changes.
        let PublicPatch {
            changes: _,
            vcpu: _,
            memory: _,
            disk_size: _,
            image: _,
            user_config,
            gpus,
            shutdown_timeout,
            allow_force_stop,
        } = &self.patch;
        let (before, after) = (
            self.machine_before.clone().unwrap_or_default(),
            Machine::after(&self.patch),
        );
        let unit = |number: Option<u64>, unit: &str| number.map(|number| format!("{number}{unit}"));
        let plain = |field, after: Option<String>| (field, None, after);
        let all = [
            ("vcpu", unit(before.vcpu, ""), unit(after.vcpu, "")),
            ("memory", unit(before.memory, " MB"), unit(after.memory, " MB")),
            ("disk_size", unit(before.disk, " GB"), unit(after.disk, " GB")),
            ("image", before.image, after.image),
            plain("user_config", user_config.clone()),
            plain("gpus", gpus.as_ref().map(gpus_told)),
            plain("shutdown_timeout", shutdown_timeout.map(timeout_told)),
            plain("allow_force_stop", allow_force_stop.map(|may| may.to_string())),
            plain(ENVIRONMENT, self.environment_told()),
            plain(PREPARED, self.prepared_elsewhere.then(|| UNSEEN.to_owned())),
        ];
        all.into_iter()
            .filter_map(|(field, before, after)| {
                Some(Uncovered {
                    field,
                    before,
                    after: after?,
                })
            })
            .collect()
    }

    /// The values are sealed; names and key are not.
    fn environment_told(&self) -> Option<String> {
        let environment = self.environment.as_ref()?;
        let names: Vec<&str> = environment.names.iter().map(crate::env::EnvName::as_str).collect();
        let names = match names.as_slice() {
            [] => "values whose names are not said".to_owned(),
            some => format!("values of {}", some.join(", ")),
        };
        Some(match &environment.vouched {
            None => format!("replaced as a whole: {names}, sealed elsewhere, for a key that was not checked"),
            Some(vouched) => format!(
                "replaced as a whole: {names}, sealed for the key {} by the root key {} of the KMS {}",
                vouched.recipient, vouched.root, vouched.kms
            ),
        })
    }

    /// Whether what it says of before is about what changes.
    pub(in crate::upgrade) fn machine_fits(&self) -> bool {
        let change = Machine::after(&self.patch);
        self.machine_before
            .as_ref()
            .is_none_or(|before| *before != Machine::default() && before.is_within(&change))
    }
}

fn gpus_told(gpus: &Gpus) -> String {
    match gpus {
        Gpus::Count { count, product_name } => match product_name {
            Some(product) => format!("{count} of {product}"),
            None => count.to_string(),
        },
        Gpus::Slots { gpus, attach_mode } => {
            let slots: Vec<String> = gpus
                .iter()
                .map(|gpu| match &gpu.product_id {
                    Some(product) => format!("{} ({product})", gpu.slot),
                    None => gpu.slot.clone(),
                })
                .collect();
            format!("slots [{}], attach mode {attach_mode}", slots.join(", "))
        }
    }
}

fn timeout_told(timeout: Option<u64>) -> String {
    timeout.map_or_else(
        || "as long as it takes".to_owned(),
        |seconds| format!("{seconds} seconds"),
    )
}
