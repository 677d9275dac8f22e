//! What the cloud reads from the chain before it believes anybody.

use alloy::primitives::{Address, B256, Bytes};
use serde_json::{Value, json};

use super::model::{Cvm, OnchainKms};
use crate::support::contracts::{abi, compose_hash_added};

/// Why an approval was not accepted.
pub(super) enum Denial {
    /// 467.
    Transaction(&'static str),
    /// 468.
    NotAllowed,
    /// The chain could not be read.
    Unreachable(String),
}

/// Checks what a commit or confirm brings: `transaction` may be empty or `already-registered`.
pub(super) async fn check(kms: &OnchainKms, app: Address, hash: B256, transaction: &str) -> Result<(), Denial> {
    if !matches!(transaction, "" | "already-registered") {
        check_transaction(kms, app, hash, transaction).await?;
    }
    if hash_allowed(kms, app, hash).await.map_err(Denial::Unreachable)? {
        Ok(())
    } else {
        Err(Denial::NotAllowed)
    }
}

/// `allowedComposeHashes(hash)` of the app.
pub(super) async fn hash_allowed(kms: &OnchainKms, app: Address, hash: B256) -> Result<bool, String> {
    kms.rpc
        .view(app, &abi::allowedComposeHashesCall { composeHash: hash })
        .await
}

/// Whether the app lets this device in.
pub(super) async fn device_allowed(kms: &OnchainKms, app: Address, device: B256) -> Result<(bool, bool), String> {
    let any = kms.rpc.view(app, &abi::allowAnyDeviceCall {}).await?;
    let this = kms
        .rpc
        .view(app, &abi::allowedDeviceIdsCall { deviceId: device })
        .await?;
    Ok((any, any || this))
}

/// Asks the KMS contract what a booting guest would be told.
pub(super) async fn may_boot(cvm: &Cvm, hash: B256) -> Result<(), String> {
    let Some(kms) = &cvm.kms else { return Ok(()) };
    let boot = abi::AppBootInfo {
        appId: cvm.app,
        composeHash: hash,
        instanceId: cvm.instance_id.parse().unwrap_or_default(),
        deviceId: cvm.device,
        mrAggregated: B256::ZERO,
        mrSystem: B256::ZERO,
        osImageHash: cvm.os_image,
        tcbStatus: "UpToDate".to_owned(),
        advisoryIds: Vec::new(),
    };
    let answer = kms.rpc.view(kms.contract, &abi::isAppAllowedCall { boot }).await?;
    if answer.isAllowed { Ok(()) } else { Err(answer.reason) }
}

async fn check_transaction(kms: &OnchainKms, app: Address, hash: B256, text: &str) -> Result<(), Denial> {
    let Ok(id) = text.parse::<B256>() else {
        return Err(Denial::Transaction("not a transaction hash"));
    };
    let asked = kms.rpc.ask("eth_getTransactionReceipt", json!([id])).await;
    let receipt = asked.map_err(Denial::Unreachable)?;
    if receipt.is_null() {
        return Err(Denial::Transaction("transaction not found"));
    }
    if receipt["status"] != "0x1" {
        return Err(Denial::Transaction("transaction failed"));
    }
    let (topic, data) = compose_hash_added(hash);
    let shows = |log: &Value| {
        serde_json::from_value::<Address>(log["address"].clone()).ok() == Some(app)
            && serde_json::from_value::<B256>(log["topics"][0].clone()).ok() == Some(topic)
            && serde_json::from_value::<Bytes>(log["data"].clone()).ok().as_ref() == Some(&data)
    };
    let shown = receipt["logs"].as_array().is_some_and(|logs| logs.iter().any(shows));
    if shown {
        Ok(())
    } else {
        Err(Denial::Transaction("transaction does not register this compose hash"))
    }
}
