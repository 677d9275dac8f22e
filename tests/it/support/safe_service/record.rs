//! Records as the service writes them: texts for numbers in v2, numbers in v1.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use super::chain::{self, Execution, Info};
use super::model::{Confirmation, Delegate, Fields, Lies, Proposal};
use crate::support::Rpc;

/// One transaction.
pub(super) async fn transaction(rpc: &Rpc, proposal: &Proposal, version: &str, lies: &Lies) -> Value {
    let execution = chain::execution(rpc, proposal.safe, proposal.hash).await;
    let required = chain::threshold(rpc, proposal.safe).await.unwrap_or_default();
    let mut record = base(proposal, required);
    let approvals = approvals(rpc, proposal).await;
    record["confirmations"].as_array_mut().unwrap().extend(approvals);
    executed(&mut record, execution.as_ref());
    if version == "v1" {
        for name in ["nonce", "safeTxGas", "baseGas"] {
            let number: u64 = record[name].as_str().unwrap().parse().unwrap();
            record[name] = number.into();
        }
    }
    if let Some((field, value)) = &lies.field {
        record[*field] = value.clone();
    }
    if lies.executed {
        let lie = Execution {
            transaction: json!(alloy::primitives::B256::repeat_byte(0xee)),
            block: json!(1),
            failed: false,
        };
        executed(&mut record, Some(&lie));
    }
    let more = lies.confirmations.iter().cloned();
    record["confirmations"].as_array_mut().unwrap().extend(more);
    record
}

/// Approvals on chain, which the service learns of by the Safe's events.
async fn approvals(rpc: &Rpc, proposal: &Proposal) -> Vec<Value> {
    let mut found = Vec::new();
    for owner in chain::owners(rpc, proposal.safe).await.unwrap_or_default() {
        let confirmed = proposal.confirmations.iter().any(|one| one.owner == owner);
        if !confirmed && let Some(mut one) = chain::approval(rpc, proposal, owner).await {
            let transaction = one.1.take();
            let mut record = confirmation(&one.0, proposal.created);
            record["transactionHash"] = transaction;
            found.push(record);
        }
    }
    found
}

fn base(proposal: &Proposal, required: U256) -> Value {
    let Fields {
        to,
        value,
        data,
        operation,
        safe_tx_gas,
        base_gas,
        gas_price,
        gas_token,
        refund_receiver,
        nonce,
    } = &proposal.fields;
    let confirmations: Vec<Value> = proposal
        .confirmations
        .iter()
        .map(|one| confirmation(one, proposal.created))
        .collect();
    let origin = match &proposal.origin {
        Value::String(text) => text.clone(),
        // As Python writes it.
        other => other.to_string().replace("\":\"", "\": \"").replace("\",\"", "\", \""),
    };
    json!({
        "safe": proposal.safe.to_string(), "to": to.to_string(), "value": value.to_string(),
        "data": (!data.is_empty()).then_some(data), "operation": operation, "gasToken": gas_token.to_string(),
        "safeTxGas": safe_tx_gas.to_string(), "baseGas": base_gas.to_string(), "gasPrice": gas_price.to_string(),
        "refundReceiver": refund_receiver.to_string(), "nonce": nonce.to_string(), "executionDate": null,
        "submissionDate": proposal.created.to_string(), "modified": proposal.created.to_string(), "blockNumber": null,
        "transactionHash": null, "safeTxHash": proposal.hash, "proposer": proposal.proposer.to_string(),
        "proposedByDelegate": proposal.by_delegate.map(|delegate| delegate.to_string()), "executor": null,
        "isExecuted": false, "isSuccessful": null, "ethGasPrice": null, "maxFeePerGas": null,
        "maxPriorityFeePerGas": null, "gasUsed": null, "fee": null, "payment": null, "origin": origin,
        "dataDecoded": null, "confirmationsRequired": required.to::<u64>(), "confirmations": confirmations,
        "trusted": proposal.trusted, "signatures": null,
    })
}

fn executed(record: &mut Value, execution: Option<&Execution>) {
    let Some(execution) = execution else { return };
    record["isExecuted"] = json!(true);
    record["isSuccessful"] = json!(!execution.failed);
    record["transactionHash"] = execution.transaction.clone();
    record["blockNumber"] = execution.block.clone();
    record["executionDate"] = record["submissionDate"].clone();
}

/// One signature.
pub(super) fn confirmation(one: &Confirmation, created: jiff::Timestamp) -> Value {
    json!({
        "owner": one.owner.to_string(), "submissionDate": created.to_string(), "transactionHash": null,
        "signature": one.signature, "signatureType": one.kind,
    })
}

/// One delegate.
pub(super) fn delegate(one: &Delegate) -> Value {
    json!({
        "safe": one.safe.map(|safe| safe.to_string()), "delegate": one.delegate.to_string(),
        "delegator": one.delegator.to_string(), "label": one.label, "expiryDate": null,
    })
}

/// A Safe.
pub(super) fn safe(address: Address, info: &Info) -> Value {
    let texts = |list: &[Address]| list.iter().map(Address::to_string).collect::<Vec<_>>();
    json!({
        "address": address.to_string(), "nonce": info.nonce.to_string(), "threshold": info.threshold.to::<u64>(),
        "owners": texts(&info.owners), "masterCopy": info.singleton.to_string(), "modules": texts(&info.modules),
        "fallbackHandler": info.handler.to_string(), "guard": info.guard.to_string(),
        "moduleGuard": Address::ZERO.to_string(), "version": format!("{}+L2", info.version),
    })
}
