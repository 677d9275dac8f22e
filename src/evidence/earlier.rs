//! Documents of format 1, which versions up to 0.1.0 wrote: what they say, without what would prove it. Pure.

use alloy::primitives::{Address, B256, Bytes};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::document::{CloudSaid, Code, Evidence, Operation, Other, SafeTransaction, Said, Settled, Transaction};
use crate::chain::Proof;
use crate::compose::ComposeHash;
use crate::safe::SafeDomain;
use crate::safe::version::SafeVersion;

/// Name and version of the format.
pub(super) const FORMAT: &str = "countersign.evidence/1";

#[derive(Deserialize)]
struct Earlier {
    update: String,
    cvm: Option<String>,
    cvm_name: Option<String>,
    app: Address,
    chain_id: u64,
    owner: Option<Address>,
    compose_hash: Option<ComposeHash>,
    previous_compose_hash: Option<ComposeHash>,
    safe: Option<EarlierSafe>,
    timelock: Option<EarlierTimelock>,
    #[serde(default)]
    others: Vec<EarlierOther>,
    proof: Proof,
    correlation_id: Option<String>,
    committed_at: Option<Timestamp>,
    live_at: Option<Timestamp>,
}

#[derive(Deserialize)]
struct EarlierSafe {
    address: Address,
    version: SafeVersion,
    safe_tx_hash: B256,
    threshold: u64,
}

#[derive(Deserialize)]
struct EarlierTimelock {
    address: Address,
    id: B256,
}

#[derive(Deserialize)]
struct EarlierOther {
    app: Address,
    proof: Option<Proof>,
}

/// Reads one.
pub(super) fn read(bytes: &[u8]) -> Result<Evidence, serde_json::Error> {
    let whole: Value = serde_json::from_slice(bytes)?;
    let earlier: Earlier = serde_json::from_slice(bytes)?;
    let Earlier { proof, safe, .. } = earlier;
    let chain_id = earlier.chain_id;
    let safe = safe.map(|safe| SafeTransaction {
        domain: SafeDomain {
            chain_id,
            safe: safe.address,
            version: safe.version,
        },
        fields: None,
        safe_tx_hash: safe.safe_tx_hash,
        schedules: earlier.timelock.is_some(),
        owners: Vec::new(),
        threshold: safe.threshold,
        signed_by: Vec::new(),
        signatures: Bytes::new(),
    });
    Ok(Evidence {
        owner: earlier.owner,
        changes: proof.changes.iter().map(|proved| proved.change).collect(),
        besides: proof.besides.iter().map(|one| one.what).collect(),
        calls: proof
            .changes
            .iter()
            .map(|proved| proved.change.call(earlier.app))
            .collect(),
        code: earlier.compose_hash.map(|compose_hash| Code {
            compose_hash,
            manifest: None,
            previous_compose_hash: earlier.previous_compose_hash,
            previous_manifest: None,
        }),
        safe,
        timelock: earlier.timelock.map(|timelock| Operation {
            address: timelock.address,
            id: timelock.id,
            operation: None,
        }),
        transaction: Transaction::of(&proof),
        others: earlier.others.into_iter().map(EarlierOther::read).collect(),
        said: Box::new(Said {
            update: earlier.update,
            cvm: earlier.cvm,
            cvm_name: earlier.cvm_name,
            settled: Some(Settled::of(&proof)),
            cloud: CloudSaid {
                correlation_id: earlier.correlation_id,
                committed_at: earlier.committed_at,
                live_at: earlier.live_at,
                ..CloudSaid::default()
            },
            earlier: Some(whole),
            ..Said::default()
        }),
        ..Evidence::about(chain_id, earlier.app, proof.block)
    })
}

impl EarlierOther {
    fn read(self) -> Other {
        match self.proof {
            Some(proof) => Other::of(&proof),
            None => Other {
                app: self.app,
                changes: Vec::new(),
                besides: Vec::new(),
            },
        }
    }
}
