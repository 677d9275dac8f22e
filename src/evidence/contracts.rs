//! What the contracts say of a CVM that was measured. Asks a chain.

use std::collections::BTreeSet;

use alloy::primitives::B256;

use crate::attest::BootInfo;
use crate::attest::saved::{Contracts, Measure, Saved};
use crate::chain::boot::{BootQuery, Measured};
use crate::chain::{Chain, ChainError};

/// What the contracts say now of what was measured. Two round trips.
///
/// # Errors
/// See [`Chain::boot_policy`](crate::chain::Chain::boot_policy).
pub async fn ask_contracts(chain: &Chain, saved: &Saved, by: &Measure<'_>) -> Result<Contracts, ChainError> {
    let verdict = saved.judge(by);
    let (wanted, asked) = (&saved.wanted, verdict.boot_info());
    let machine = verdict.quote.as_ref().and_then(|quote| quote.platform(by.root).ok());
    let device = machine.map(|machine| machine.device_id);
    let measured_image = verdict.boot.as_ref().and_then(|boot| boot.os_image_hash);
    let images: BTreeSet<B256> = measured_image
        .into_iter()
        .chain(saved.gathered.evidence().documented_image())
        .collect();
    let query = BootQuery {
        app: wanted.app,
        kms: wanted.kms,
        hash: B256::from(*wanted.compose_hash.as_bytes()),
        device,
        images: images.into_iter().collect(),
        measured: asked.as_ref().map(measured),
    };
    let said = chain.boot_policy(&query).await?;
    Ok(Contracts {
        block: said.block.number,
        block_hash: said.block.hash,
        kms_key: said.kms_key,
        hash_allowed: said.hash_allowed,
        any_device: said.any_device,
        allowed_device: device.filter(|_| said.device_allowed == Some(true)),
        require_tcb_up_to_date: said.require_tcb_up_to_date,
        images: said.images.into_iter().collect(),
        asked,
        is_allowed: said.is_allowed,
        reason: said.reason,
    })
}

fn measured(boot: &BootInfo) -> Measured {
    Measured {
        app: boot.app_id,
        compose_hash: B256::from(*boot.compose_hash.as_bytes()),
        instance: boot.instance_id,
        device: boot.device_id,
        mr_aggregated: boot.mr_aggregated,
        mr_system: boot.mr_system,
        os_image: boot.os_image_hash,
        tcb_status: boot.tcb_status.to_string(),
        advisories: boot.advisories.clone(),
    }
}
