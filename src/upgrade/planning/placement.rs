//! Where a new CVM of an app comes to be. Reads only.

use std::collections::BTreeSet;

use alloy::primitives::B256;

use crate::cloud::{Cvm, CvmId, inventory::AnyId, patch::Patch};
use crate::code::Code;
use crate::compose::Changes;
use crate::upgrade::{
    UpgradeError, World,
    finding::Warning,
    model::Intent,
    model::target::{Target, plain, same_uuid},
};

/// What the cloud says of the place, checked for what a new CVM needs.
pub(in crate::upgrade) struct Place {
    pub(in crate::upgrade) target: Target,
    /// Device of the node.
    pub(in crate::upgrade) device: Option<B256>,
    pub(in crate::upgrade) warnings: Vec<Warning>,
}

impl Place {
    /// Reads the app's CVMs and the node. Changes nothing.
    ///
    /// # Errors
    /// The cloud offers no such node, or does not tell its device; or the change is one that no new CVM can have.
    pub(in crate::upgrade) async fn read(
        world: &World<'_>,
        intent: &Intent,
        source: &Cvm,
    ) -> Result<Self, UpgradeError> {
        let mut target = intent.target.clone();
        let device = source.device_id;
        let warnings = Vec::new();
        let (Some(placement), Some(app)) = (target.placement_mut(), source.app_id) else {
            return Ok(Self {
                target,
                device,
                warnings,
            });
        };
        refuse_more(intent)?;
        let there = world.cloud.app_cvms(app).await?;
        let device = match placement.node {
            Some(node) => Some(device_of(world, node).await?),
            None => device,
        };
        placement.before = uuids(&there);
        let revisions: BTreeSet<_> = there
            .iter()
            .filter_map(|cvm| cvm.compose_hash)
            .map(|hash| *hash.as_bytes())
            .collect();
        let exact = matches!(intent.target, Target::Replica(_)) || revisions.len() > 1;
        placement.from = source.compose_hash.filter(|_| exact);
        let warnings = twins(&there, source, device).into_iter().collect();
        Ok(Self {
            target,
            device,
            warnings,
        })
    }
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
    let found = nodes.iter().find(|known| known.id == Some(AnyId::Number(node)));
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

/// Names of CVMs as they are compared: without dashes.
pub(in crate::upgrade) fn uuids(cvms: &[Cvm]) -> Vec<String> {
    let mut all: Vec<String> = cvms.iter().filter_map(|cvm| cvm.uuid.as_deref()).map(plain).collect();
    all.sort();
    all
}

/// Who names a CVM by its app or its UUID must be told of that one, whatever the cloud would rather have upgraded.
pub(in crate::upgrade) fn refuse_another(named: &CvmId, cvm: &Cvm) -> Result<(), UpgradeError> {
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
