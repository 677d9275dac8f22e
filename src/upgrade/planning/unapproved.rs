//! The plan for a CVM that no KMS on a chain guards: what changes, and what forbids it. Nobody is asked for an approval. Pure.

use jiff::Timestamp;

use crate::cloud::{CloudError, Cvm};
use crate::code::Code;
use crate::compose::{ComposeHash, Manifest};
use crate::upgrade::{
    UpgradeError,
    checks::os_image::lost_on_image,
    finding::Warning,
    model::{
        Intent, machine::Machine, plan::CodeChange, proposal_limits::check_change, remarks::manifest_warnings,
        target::Target, unapproved::UnapprovedPlan,
    },
};

/// What the change comes to.
///
/// # Errors
/// Somebody named a contract of the KMS or a change of the app's policy, a new CVM was asked for, an environment would be
/// sealed for a key that nobody vouches for, or the manifest could not be read.
pub(in crate::upgrade) fn plan(
    intent: &Intent,
    cvm: Cvm,
    manifest: Result<Manifest, CloudError>,
) -> Result<UnapprovedPlan, UpgradeError> {
    refuse_what_needs_a_chain(intent)?;
    let manifest = manifest?;
    let patch = intent.patch.clone().public();
    check_change(&patch)?;
    let form = cvm.compose_hash.and_then(|known| manifest.calibrate(known));
    let after = manifest.with(&patch.changes);
    let expected: Option<ComposeHash> = form.map(|form| after.hash(form));
    let image = patch
        .image
        .as_deref()
        .or(cvm.os_version.as_deref())
        .or(cvm.os_image.as_deref());
    let lost = image.and_then(|image| lost_on_image(image, cvm.node_version.as_deref(), &after));
    let unchanged = Warning::when(manifest == after, Code::NothingToApprove, || {
        "nothing that the compose hash covers changes: `countersign cvm patch` changes the rest".to_owned()
    });
    let warnings = manifest_warnings(&manifest, &after, form);
    let under_way = Warning::when(cvm.progress.is_some(), Code::OperationInProgress, || {
        "an operation is under way on the CVM".to_owned()
    });
    Ok(UnapprovedPlan {
        app: cvm.app_id,
        warnings: warnings.into_iter().chain(under_way).collect(),
        blockers: unchanged.into_iter().chain(lost).collect(),
        read_at: Timestamp::now(),
        code: CodeChange {
            machine_before: Machine::before(&patch, &cvm),
            cloud: String::new(),
            cvm: intent.cvm.to_string(),
            target: Target::Cvm,
            changes: manifest.diff(&after),
            manifest,
            patch,
            environment: None,
            base: None,
            kms_named: false,
            kms_before: None,
            base_tx: None,
            sealed: None,
            form,
            expected_hash: expected,
            pending_updates: Vec::new(),
            confirm: false,
            prepared_elsewhere: false,
            device: cvm.device_id,
            os_image: cvm.os_image_hash,
            current_hash: cvm.compose_hash,
            cvm_name: cvm.name,
            cvm_uuid: cvm.uuid,
        },
    })
}

fn refuse_what_needs_a_chain(intent: &Intent) -> Result<(), UpgradeError> {
    if let Some(expected) = intent.expected.kms {
        let what = "KMS contract of the CVM";
        return Err(UpgradeError::stop(
            Code::KmsMismatch,
            what,
            expected,
            "none, as Phala Cloud says",
        ));
    }
    if intent.env.is_some() {
        return Err(UpgradeError::decide(
            Code::EnvKmsUnknown,
            "no KMS on a chain guards the CVM: nothing vouches for the key that values would be sealed for",
        ));
    }
    if intent.target.is_new() || !intent.policy.is_empty() || intent.revoke_old {
        return Err(UpgradeError::decide(
            Code::KmsOffchain,
            "no KMS on a chain guards the CVM: there is no policy to change and no approval by which another CVM is made",
        ));
    }
    Ok(())
}
