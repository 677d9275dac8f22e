//! What the block's hash proves: the transaction, its receipt, and the state after it. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Log as RawLog, U256};
use alloy::rpc::types::Log;

use super::approval;
use crate::chain::policy_history::PolicyFact;
use crate::chain::witness::{BlockWitness, Shown, ShownContract, ShownReceipt, ShownTransaction};
use crate::chain::{Call, PolicyChange, policy_history};
use crate::evidence::claim::Claim;
use crate::evidence::document::{Evidence, SafeTransaction};
use crate::safe::{SafeTx, executed, slots};

/// The claims about the block.
pub(super) fn claims(evidence: &Evidence) -> Vec<Claim> {
    let witness = evidence.witness.as_ref();
    let Some(block) = witness.and_then(|witness| witness.block.as_ref()) else {
        return vec![Claim::open("block", "the block's header is not in the document")];
    };
    let shown = match shown(block, evidence.block.hash) {
        Ok(shown) => shown,
        Err(claim) => return vec![claim],
    };
    let mut claims = vec![Claim::whether(
        "block",
        shown.block == evidence.block,
        [
            format!("the header's hash is that of block {}", shown.block.number),
            "the header says another number or another time than the document".to_owned(),
        ],
    )];
    claims.extend(transaction(evidence, &shown));
    claims.extend(receipt(evidence, &shown));
    let head = witness.and_then(|witness| witness.head.as_ref());
    match (head, &evidence.said.settled) {
        // The state of the block was forgotten, and that of a later one is here.
        (Some(head), Some(settled)) => match self::shown(head, settled.head.hash) {
            Ok(later) => claims.extend(state(evidence, &later)),
            Err(claim) => claims.push(claim),
        },
        (Some(_), None) => claims.push(Claim::differs("state", "it is of a block that nobody names")),
        (None, _) => claims.extend(state(evidence, &shown)),
    }
    claims
}

fn shown(witness: &BlockWitness, hash: B256) -> Result<Shown, Claim> {
    match witness.check(hash) {
        Ok(shown) if shown.unused == 0 => Ok(shown),
        Ok(shown) => Err(Claim::differs(
            "block",
            format!("{} nodes of the block's tries lead nowhere", shown.unused),
        )),
        Err(fault) => Err(Claim::differs("block", fault.to_string())),
    }
}

fn transaction(evidence: &Evidence, shown: &Shown) -> Vec<Claim> {
    let about = "transaction";
    let Some(named) = evidence.transaction else {
        return vec![Claim::open(
            about,
            "no transaction is named: the state alone shows the change",
        )];
    };
    let found = match &shown.transaction {
        None => return vec![Claim::open(about, "the transaction is not in the document")],
        Some(Err(fault)) => return vec![Claim::differs(about, fault.to_string())],
        Some(Ok(found)) => found,
    };
    let same = found.hash == named.hash && named.sender.is_none_or(|sender| sender == found.sender);
    let claim = Claim::whether(
        about,
        same,
        [
            format!("{} is in the block, sent by {}", found.hash, found.sender),
            format!("the block holds {}, sent by {}", found.hash, found.sender),
        ],
    );
    vec![claim, carries(evidence, found)]
}

/// Whether the transaction is what was approved.
fn carries(evidence: &Evidence, found: &ShownTransaction) -> Claim {
    let about = "calldata";
    let whole = found.to.map(|to| Call {
        to,
        value: found.value,
        data: found.input.clone(),
    });
    let through = "another contract carries it: what was called is not read from its data";
    let safe = evidence.safe.as_ref().filter(|safe| !safe.schedules);
    if let Some(safe) = safe {
        let Some(tx) = approval::read(safe) else {
            return Claim::open(about, "the Safe's transaction is not known");
        };
        return match whole.is_some_and(|whole| tx.is_executed_by(&whole)) {
            true => Claim::whether(
                about,
                executes(&tx, safe, found),
                [
                    "it executes the Safe's transaction, with these signatures".to_owned(),
                    "it executes the Safe's transaction with other signatures".to_owned(),
                ],
            ),
            false => Claim::open(about, through),
        };
    }
    let expected = match evidence
        .timelock
        .as_ref()
        .map(|timelock| (&timelock.operation, timelock))
    {
        Some((Some(operation), timelock)) => Some(operation.execute(timelock.address)),
        Some((None, _)) => None,
        None => match evidence.calls.as_slice() {
            [call] => Some(call.clone()),
            _ => None,
        },
    };
    match (whole, expected) {
        (Some(whole), Some(expected)) if whole == expected => {
            Claim::holds(about, "it makes exactly the call that was approved")
        }
        _ => Claim::open(about, through),
    }
}

fn executes(tx: &SafeTx, safe: &SafeTransaction, found: &ShownTransaction) -> bool {
    tx.exec_call(&safe.signatures).data == found.input
}

fn receipt(evidence: &Evidence, shown: &Shown) -> Vec<Claim> {
    let about = "receipt";
    let found = match &shown.receipt {
        None => return vec![Claim::open(about, "the receipt is not in the document")],
        Some(Err(fault)) => return vec![Claim::differs(about, fault.to_string())],
        Some(Ok(found)) => found,
    };
    if !found.succeeded {
        return vec![Claim::differs(about, "the transaction failed")];
    }
    let logs = placed(&found.logs);
    let mut claims = vec![Claim::holds(about, "the block says that the transaction succeeded")];
    claims.extend(events(evidence.app, &evidence.changes, &evidence.besides, &logs));
    for other in evidence.others.iter().filter(|other| !other.changes.is_empty()) {
        claims.extend(events(other.app, &other.changes, &other.besides, &logs));
    }
    let safe = evidence.safe.as_ref().filter(|safe| !safe.schedules);
    claims.extend(safe.map(|safe| executed_by(safe, found)));
    claims
}

fn executed_by(safe: &SafeTransaction, found: &ShownReceipt) -> Claim {
    let about = "execution";
    match executed::check_receipt(&found.logs, safe.domain.safe, safe.safe_tx_hash) {
        Ok(()) => Claim::holds(about, format!("the Safe says that it executed {}", safe.safe_tx_hash)),
        Err(error) => Claim::differs(about, error.to_string()),
    }
}

/// That each change has its event, and that the app logged nothing else.
fn events(app: Address, changes: &[PolicyChange], besides: &[PolicyFact], logs: &[Log]) -> Vec<Claim> {
    let about = "event";
    let mut own: Vec<u64> = Vec::new();
    let mut claims: Vec<Claim> = Vec::new();
    for change in changes {
        claims.push(match change.shown(logs, app) {
            Ok(index) => {
                own.push(index);
                Claim::holds(
                    about,
                    format!("the app logged it: {change} (log {index} of the transaction)"),
                )
            }
            Err(why) => Claim::differs(about, why),
        });
    }
    let others = logs.iter().filter(|log| log.address() == app);
    let others = others.filter(|log| log.log_index.is_none_or(|index| !own.contains(&index)));
    let facts: Vec<PolicyFact> = others.filter_map(|log| policy_history::fact(&log.inner)).collect();
    if facts != besides {
        claims.push(Claim::differs(
            about,
            "what else the app logged is not what the document says",
        ));
    }
    claims
}

/// Logs with their place in the transaction.
fn placed(logs: &[RawLog]) -> Vec<Log> {
    let all = (0..).zip(logs);
    all.map(|(index, log)| Log {
        inner: log.clone(),
        log_index: Some(index),
        ..Log::default()
    })
    .collect()
}

fn state(evidence: &Evidence, shown: &Shown) -> Vec<Claim> {
    let mut claims = match shown.contracts.get(&evidence.app) {
        None => vec![Claim::open("state", "the app's storage is not in the document")],
        Some(Err(fault)) => vec![Claim::differs("state", fault.to_string())],
        Some(Ok(app)) => state_of_app(evidence, app, shown.block.number),
    };
    if let Some(safe) = &evidence.safe {
        claims.push(match shown.contracts.get(&safe.domain.safe) {
            None => Claim::open(
                "owners",
                "the Safe's storage is not in the document: its owners are as the writer says",
            ),
            Some(Err(fault)) => Claim::differs("owners", fault.to_string()),
            Some(Ok(contract)) => owners(safe, contract),
        });
    }
    claims.extend(evidence.said.kms.map(|kms| known_to_kms(evidence, kms, shown)));
    claims.extend(faults(shown));
    claims
}

/// Whether the KMS that the writer names has the app on its list.
fn known_to_kms(evidence: &Evidence, kms: Address, shown: &Shown) -> Claim {
    let about = "kms";
    match shown.contracts.get(&kms) {
        Some(Ok(contract)) if contract.knows_app(evidence.app) => {
            Claim::holds(about, format!("the KMS {kms} has the app on its list"))
        }
        Some(Ok(_)) => Claim::open(
            about,
            format!("the slots that are here do not show that the KMS {kms} knows the app"),
        ),
        Some(Err(fault)) => Claim::differs(about, fault.to_string()),
        None => Claim::open(about, format!("the storage of the KMS {kms} is not in the document")),
    }
}

fn state_of_app(evidence: &Evidence, app: &ShownContract, number: u64) -> Vec<Claim> {
    let mut claims = Vec::new();
    let added = evidence
        .code
        .as_ref()
        .map(|code| PolicyChange::AddComposeHash(B256::from(*code.compose_hash.as_bytes())));
    let changes: BTreeSet<PolicyChange> = added.into_iter().chain(evidence.changes.iter().copied()).collect();
    for change in changes {
        let shown = match change {
            PolicyChange::AddComposeHash(hash) => app.allows_hash(hash),
            PolicyChange::AddDevice(device) => app.allows_device(device),
            _ => continue,
        };
        claims.push(match shown {
            true => Claim::holds(
                "state",
                format!("the app's storage says so after block {number}: {change}"),
            ),
            false => Claim::open("state", format!("the slots that are here do not show it: {change}")),
        });
    }
    claims.push(match (app.owner(), evidence.owner_after()) {
        (Some(found), Some(named)) => Claim::whether(
            "owner",
            found == named,
            [
                format!("{named} owns the app"),
                format!("{found} owns the app, and the document says {named}"),
            ],
        ),
        (None, Some(_)) => Claim::open("owner", "the slots that are here do not show who owns the app"),
        (_, None) => Claim::open("owner", "the document names no owner"),
    });
    claims.push(match app.code_hash {
        Some(hash) => Claim::holds("code", format!("keccak256 of the app's code is {hash}")),
        None => Claim::differs("code", "the app has no code"),
    });
    claims
}

fn owners(safe: &SafeTransaction, contract: &ShownContract) -> Claim {
    let value = |slot: B256| -> Option<U256> { contract.slots.get(&slot)?.as_ref().ok().copied() };
    match slots::shows_owners(&safe.owners, safe.threshold, value) {
        Some(so) => Claim::whether(
            "owners",
            so,
            [
                format!("{} owners, threshold {}", safe.owners.len(), safe.threshold),
                "the Safe has other owners, or another threshold".to_owned(),
            ],
        ),
        None => Claim::open("owners", "the slots that are here do not show who owns the Safe"),
    }
}

/// Slots that do not follow from their contract, and contracts that do not follow from the state.
fn faults(shown: &Shown) -> Vec<Claim> {
    let slots = shown.contracts.values().filter_map(|one| one.as_ref().ok());
    let faults = slots.flat_map(|one| one.slots.values().filter_map(|slot| slot.as_ref().err()));
    let others = shown.contracts.values().filter_map(|one| one.as_ref().err());
    faults
        .chain(others)
        .map(|fault| Claim::differs("state", fault.to_string()))
        .collect()
}
