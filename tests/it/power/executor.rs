//! Carries out what is claimed: the parties that are named, and a stranger, and nobody else; all that happens in one second
//! in one block; the hash boots at the second that is claimed and, from the same state, not one second before.
//!
//! Nothing here knows how the claim was found.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

use super::ground::{Claim, Ground, STRANGER};
use crate::support::Rpc;
use crate::support::contracts::abi::{AppBootInfo, isAppAllowedCall};

/// Something that somebody does, so many seconds after the beginning.
#[derive(Debug, Clone)]
pub struct Act {
    pub at: u64,
    pub from: Address,
    pub to: Address,
    pub data: Bytes,
}

impl Act {
    pub fn new<C: SolCall>(at: u64, from: Address, to: Address, call: &C) -> Self {
        let data = call.abi_encode().into();
        Self { at, from, to, data }
    }
}

/// Time of the newest block.
pub fn now(rpc: &Rpc) -> u64 {
    crate::support::timelocks::now(rpc)
}

/// Whether the KMS would let a hash boot, on the device and the image that the world knows.
pub fn boots(ground: &Ground, hash: B256) -> bool {
    let world = &ground.world;
    let boot = AppBootInfo {
        appId: world.app,
        composeHash: hash,
        instanceId: Address::ZERO,
        deviceId: world.device,
        mrAggregated: B256::ZERO,
        mrSystem: B256::ZERO,
        osImageHash: alloy::primitives::keccak256("os image"),
        tcbStatus: "UpToDate".to_owned(),
        advisoryIds: Vec::new(),
    };
    ground.rpc().read(world.kms, &isAppAllowedCall { boot }).isAllowed
}

/// Carries a plan out from the second `start` on.
pub fn carry_out(rpc: &Rpc, start: u64, plan: &[Act]) {
    let mut seconds: BTreeMap<u64, Vec<&Act>> = BTreeMap::new();
    for act in plan {
        seconds.entry(act.at).or_default().push(act);
    }
    rpc.call("evm_setAutomine", json!([false]));
    for (second, acts) in seconds {
        let mut price = 2_000_000_000_000_u64;
        let sent: Vec<Value> = acts
            .iter()
            .map(|act| {
                price -= 1_000_000_000;
                rpc.call("anvil_setBalance", json!([act.from, "0x56bc75e2d63100000"]));
                let (gas, price) = (U256::from(2_000_000), U256::from(price));
                let tx = json!({"from": act.from, "to": act.to, "data": act.data, "gas": gas, "gasPrice": price});
                rpc.call("eth_sendTransaction", json!([tx]))
            })
            .collect();
        rpc.call("evm_setNextBlockTimestamp", json!([U256::from(start + second)]));
        rpc.call("evm_mine", json!([]));
        for hash in sent {
            let receipt = rpc.call("eth_getTransactionReceipt", json!([hash]));
            assert!(!receipt.is_null(), "one block holds all of a second");
        }
        assert_eq!(now(rpc), start + second);
    }
    rpc.call("evm_setAutomine", json!([true]));
}

/// Carries a claim out, by a plan that ends at a second of one's choice.
#[track_caller]
pub fn prove(ground: &Ground, claim: &Claim, hash: B256, plan: impl Fn(u64) -> Vec<Act>) {
    prove_from(ground, claim, hash, (10, &plan));
}

/// As [`prove`]; the plan begins so many seconds after the newest block, of which the claim is.
#[track_caller]
pub fn prove_from(ground: &Ground, claim: &Claim, hash: B256, how: (u64, &dyn Fn(u64) -> Vec<Act>)) {
    let (pause, plan) = how;
    let rpc = ground.rpc();
    let allowed: BTreeSet<String> = claim.parties.iter().cloned().chain([STRANGER.to_string()]).collect();
    let whole = plan(claim.notice);
    for act in &whole {
        assert!(
            allowed.contains(&act.from.to_string()),
            "{} is no party of the claim",
            act.from
        );
    }
    let last = whole.iter().map(|act| act.at).max().unwrap();
    assert_eq!(last, claim.notice, "the plan ends when the claim says");
    let start = now(&rpc) + pause;
    assert!(!boots(ground, hash));
    let snapshot = rpc.call("evm_snapshot", json!([]));
    carry_out(&rpc, start, &whole);
    assert!(boots(ground, hash), "after {} s it does not boot", claim.notice);
    rpc.call("evm_revert", json!([snapshot]));
    assert!(!boots(ground, hash));
    if claim.notice > 0 {
        let snapshot = rpc.call("evm_snapshot", json!([]));
        carry_out(&rpc, start, &plan(claim.notice - 1));
        assert!(!boots(ground, hash), "it boots one second before {} s", claim.notice);
        rpc.call("evm_revert", json!([snapshot]));
    }
}
