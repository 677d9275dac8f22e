//! What the block's hash proves: the transaction, its receipt, and the state after it. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, KECCAK256_EMPTY, Log as RawLog, U256};
use alloy::rpc::types::Log;

use super::approval;
use crate::chain::policy_history::PolicyFact;
use crate::chain::timelock::{OperationAt, OperationStep, check_operation};
use crate::chain::witness::{BlockWitness, Fault, Shown, ShownContract, ShownReceipt, ShownTransaction};
use crate::chain::{Call, PolicyChange, is_known_kms, policy_history};
use crate::evidence::claim::{BESIDES, Claim};
use crate::evidence::document::{Evidence, Operation, SafeTransaction};
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
    let later = match head.map(|head| later(evidence, head)) {
        None => None,
        Some(Ok((later, claim))) => {
            claims.push(claim);
            Some(later)
        }
        Some(Err(claim)) => {
            claims.push(claim);
            None
        }
    };
    claims.extend(state(evidence, &After { shown, later }));
    claims
}

/// What the block shows of contracts; and a later one, of those whose state at the block was forgotten.
struct After {
    shown: Shown,
    later: Option<Shown>,
}

impl After {
    /// A contract, and the number of the block after which it is shown. The block itself goes before a later one.
    fn contract(&self, address: Address) -> Option<(&Result<ShownContract, Fault>, u64)> {
        let of = |shown: &'_ Shown| shown.block.number;
        let first = self.shown.contracts.get(&address).map(|one| (one, of(&self.shown)));
        let later = || {
            self.later
                .as_ref()?
                .contracts
                .get(&address)
                .zip(self.later.as_ref().map(of))
        };
        first.or_else(later)
    }

    fn all(&self) -> impl Iterator<Item = &Result<ShownContract, Fault>> {
        let later = self.later.iter().flat_map(|later| later.contracts.values());
        self.shown.contracts.values().chain(later)
    }
}

/// A later block with the state that the first one's endpoints had forgotten. Only the chain can say that it follows.
fn later(evidence: &Evidence, witness: &BlockWitness) -> Result<(Shown, Claim), Claim> {
    let about = "later-block";
    let Some(settled) = &evidence.said.settled else {
        return Err(Claim::differs(about, "there is state of a block that nobody names"));
    };
    let shown = shown(witness, settled.head.hash)?;
    let (first, found) = (&evidence.block, &shown.block);
    if *found != settled.head || found.number <= first.number || found.timestamp < first.timestamp {
        return Err(Claim::differs(about, "the block that the state is of is no later one"));
    }
    let claim = Claim::holds(
        about,
        format!(
            "a second header's hash is that of block {} ({}), of which some of the state is",
            found.number, found.hash
        ),
    );
    Ok((shown, claim))
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
    let mut claims = vec![claim, signed_for(evidence, found), carries(evidence, found)];
    if found.delegations > 0 {
        let text = format!(
            "besides, it gives other code to {} account(s) (EIP-7702)",
            found.delegations
        );
        claims.push(Claim::open("calldata", text));
    }
    let is_direct = evidence.safe.is_none() && evidence.timelock.is_none();
    claims.extend(is_direct.then(|| approved_by_key(evidence, found)));
    claims
}

/// The chain that its sender signed it for.
fn signed_for(evidence: &Evidence, found: &ShownTransaction) -> Claim {
    let about = "chain";
    match found.chain_id {
        Some(id) => Claim::whether(
            about,
            id == evidence.chain_id,
            [
                format!("the transaction is signed for chain {id}"),
                format!(
                    "the transaction is signed for chain {id}, and the document says {}",
                    evidence.chain_id
                ),
            ],
        ),
        None => Claim::open(about, "the transaction is signed for no chain"),
    }
}

/// Whether the key that owns the app sent it, where it calls the app itself.
fn approved_by_key(evidence: &Evidence, found: &ShownTransaction) -> Claim {
    let about = "approver";
    match evidence.approver() {
        Some(_) if !found.is_signed => {
            Claim::open(about, "the transaction has no signature: it is of the chain's own kind")
        }
        Some(owner) if found.to == Some(evidence.app) && owner == found.sender => Claim::holds(
            about,
            format!("{owner}, the owner that the document names, sent it to the app"),
        ),
        Some(owner) if found.to == Some(evidence.app) => Claim::differs(
            about,
            format!(
                "{} called the app, and the document says that {owner} owns it",
                found.sender
            ),
        ),
        _ => Claim::open(about, "how the owner approved it is not in the document"),
    }
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
                    format!(
                        "it executes the transaction of the Safe {}, with these signatures",
                        safe.domain.safe
                    ),
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
        (Some(whole), _) if whole.to == evidence.app && !evidence.calls.contains(&whole) => {
            Claim::differs(about, "it calls the app, and makes none of these calls")
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
        None => {
            return ["receipt", "event"]
                .map(|about| Claim::open(about, "the receipt is not in the document"))
                .into();
        }
        Some(Err(fault)) => return vec![Claim::differs(about, fault.to_string())],
        Some(Ok(found)) => found,
    };
    if !found.succeeded {
        return vec![Claim::differs(about, "the transaction failed")];
    }
    let logs = placed(&found.logs);
    let mut claims = vec![Claim::holds(about, "the block says that the transaction succeeded")];
    claims.extend(events(evidence.app, &evidence.changes, &evidence.besides, &logs));
    claims.extend(others(evidence, &logs));
    let safe = evidence.safe.as_ref().filter(|safe| !safe.schedules);
    claims.extend(safe.map(|safe| executed_by(safe, found)));
    claims.extend(
        evidence
            .timelock
            .as_ref()
            .map(|timelock| executed_by_timelock(timelock, found)),
    );
    claims
}

/// Whether the timelock says that it executed the operation, call by call.
fn executed_by_timelock(timelock: &Operation, found: &ShownReceipt) -> Claim {
    let about = "operation-executed";
    let (address, id) = (timelock.address, timelock.id);
    let Some(operation) = &timelock.operation else {
        return Claim::open(about, "what the timelock executed is not in the document");
    };
    let of = OperationAt {
        timelock: address,
        operation,
    };
    match check_operation(&found.logs, of, OperationStep::Executed) {
        Ok(()) => Claim::holds(
            about,
            format!("the timelock {address} says that it executed {id}, call by call"),
        ),
        Err(error) => Claim::differs(about, error.to_string()),
    }
}

fn executed_by(safe: &SafeTransaction, found: &ShownReceipt) -> Claim {
    let about = "execution";
    match executed::check_receipt(&found.logs, safe.domain.safe, safe.safe_tx_hash) {
        Ok(()) if safe.fields.is_none() => Claim::open(
            about,
            format!(
                "the Safe executed {}, and what that is is not in the document",
                safe.safe_tx_hash
            ),
        ),
        Ok(()) => Claim::holds(
            about,
            format!(
                "the Safe {} says that it executed {}",
                safe.domain.safe, safe.safe_tx_hash
            ),
        ),
        Err(error) => Claim::differs(about, error.to_string()),
    }
}

/// What other apps logged. Whatever else is to be said of them stands in documents of their own.
fn others(evidence: &Evidence, logs: &[Log]) -> Vec<Claim> {
    let about = "other-app";
    let mut known = BTreeSet::from([evidence.app]);
    let mut claims = Vec::new();
    for other in &evidence.others {
        let app = other.app;
        if !known.insert(app) {
            claims.push(Claim::differs(about, format!("the app {app} is named twice")));
            continue;
        }
        let logged = events(app, &other.changes, &other.besides, logs).into_iter();
        let is_shown = !other.changes.is_empty();
        claims.extend(logged.filter(|_| is_shown).map(|claim| Claim {
            about: about.to_owned(),
            ..claim
        }));
        claims.push(Claim::open(
            about,
            format!("what runs in {app}, who owns it and what is in force there is not in this document"),
        ));
    }
    claims
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
                    format!("the app {app} logged it: {change} (log {index} of the transaction)"),
                )
            }
            Err(why) => Claim::differs(about, why),
        });
    }
    let others = logs.iter().filter(|log| log.address() == app);
    let others: Vec<&Log> = others
        .filter(|log| log.log_index.is_none_or(|index| !own.contains(&index)))
        .collect();
    let facts: Vec<PolicyFact> = others
        .iter()
        .filter_map(|log| policy_history::fact(&log.inner))
        .collect();
    if own.iter().collect::<BTreeSet<_>>().len() != own.len() {
        claims.push(Claim::differs(about, "a change is named twice"));
    }
    if facts != besides {
        claims.push(Claim::differs(
            about,
            "what else the app logged is not what the document says",
        ));
    }
    let unknown = others.len() - facts.len();
    claims.extend(
        facts
            .iter()
            .map(|fact| Claim::holds(BESIDES, format!("NOT ASKED FOR: the app {app} logged {fact}"))),
    );
    if unknown > 0 {
        claims.push(Claim::open(
            about,
            format!("the app {app} logged {unknown} more of kinds that are not known here"),
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

fn state(evidence: &Evidence, after: &After) -> Vec<Claim> {
    let mut claims = match after.contract(evidence.app) {
        None => vec![Claim::open("state", "the app's storage is not in the document")],
        Some((Err(fault), _)) => vec![Claim::differs("state", fault.to_string())],
        Some((Ok(app), number)) => state_of_app(evidence, app, number),
    };
    if let Some(safe) = &evidence.safe {
        claims.push(match after.contract(safe.domain.safe) {
            None => Claim::open(
                "owners",
                "the Safe's storage is not in the document: its owners are as the writer says",
            ),
            Some((Err(fault), _)) => Claim::differs("owners", fault.to_string()),
            Some((Ok(contract), _)) => owners(safe, contract),
        });
    }
    claims.push(known_to_kms(evidence, after));
    claims.extend(faults(after));
    claims
}

/// Whether the KMS that the writer names has the app on its list.
fn known_to_kms(evidence: &Evidence, after: &After) -> Claim {
    let about = "kms";
    let Some(kms) = evidence.said.kms else {
        return Claim::open(about, "the document names no KMS");
    };
    match after.contract(kms) {
        Some((Ok(contract), _)) if contract.knows_app(evidence.app) => match is_known_kms(evidence.chain_id, kms) {
            true => Claim::holds(about, format!("the KMS {kms} of Phala has the app on its list")),
            false => Claim::said(
                about,
                format!("{kms} is the KMS; it has the app where a KMS keeps its list, as another contract could"),
            ),
        },
        Some((Ok(_), _)) => Claim::open(
            about,
            format!("the slots that are here do not show that the KMS {kms} knows the app"),
        ),
        Some((Err(fault), _)) => Claim::differs(about, fault.to_string()),
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
    claims.extend(changes.into_iter().map(|change| state_of(&change, app, number)));
    claims.push(match (app.owner(), evidence.owner_after()) {
        (Some(found), Some(named)) => Claim::whether(
            "owner",
            found == named,
            [
                format!("{named} owns the app after block {number}"),
                format!("{found} owns the app after block {number}, and the document says {named}"),
            ],
        ),
        (None, Some(_)) => Claim::open("owner", "the slots that are here do not show who owns the app"),
        (_, None) => Claim::open("owner", "the document names no owner"),
    });
    let leads = app.implementation().map(|to| format!(", and it leads to {to}"));
    claims.push(
        match app.code_hash.filter(|hash| *hash != KECCAK256_EMPTY && !hash.is_zero()) {
            Some(hash) => Claim::holds(
                "code",
                format!(
                    "keccak256 of the app's code is {hash}{}; what that code does is not looked at",
                    leads.unwrap_or_default()
                ),
            ),
            None => Claim::differs("code", "the app has no code"),
        },
    );
    claims
}

/// Whether the app's storage says what a change made of it.
fn state_of(change: &PolicyChange, app: &ShownContract, number: u64) -> Claim {
    let about = "state";
    let says = match change {
        PolicyChange::AddComposeHash(hash) | PolicyChange::RemoveComposeHash(hash) => app.allows_hash(*hash),
        PolicyChange::AddDevice(device) | PolicyChange::RemoveDevice(device) => app.allows_device(*device),
        _ => return Claim::open(about, format!("not read from the app's storage: {change}")),
    };
    let removes = matches!(
        change,
        PolicyChange::RemoveComposeHash(_) | PolicyChange::RemoveDevice(_)
    );
    match (says, removes) {
        (true, false) => Claim::holds(
            about,
            format!("the app's storage says so after block {number}: {change}"),
        ),
        (true, true) => Claim::differs(
            about,
            format!("the app's storage says otherwise after block {number}: {change}"),
        ),
        (false, _) => Claim::open(about, format!("the slots that are here do not show it: {change}")),
    }
}

fn owners(safe: &SafeTransaction, contract: &ShownContract) -> Claim {
    let value = |slot: B256| -> Option<U256> { contract.slots.get(&slot)?.as_ref().ok().copied() };
    match slots::shows_owners(&safe.owners, safe.threshold, value) {
        Some(so) => Claim::whether(
            "owners",
            so,
            [
                format!(
                    "the Safe {} has these {} owners and the threshold {}",
                    safe.domain.safe,
                    safe.owners.len(),
                    safe.threshold
                ),
                format!("the Safe {} has other owners, or another threshold", safe.domain.safe),
            ],
        ),
        None => Claim::open("owners", "the slots that are here do not show who owns the Safe"),
    }
}

/// Slots that do not follow from their contract, and contracts that do not follow from the state.
fn faults(after: &After) -> Vec<Claim> {
    let slots = after.all().filter_map(|one| one.as_ref().ok());
    let faults = slots.flat_map(|one| one.slots.values().filter_map(|slot| slot.as_ref().err()));
    let others = after.all().filter_map(|one| one.as_ref().err());
    faults
        .chain(others)
        .map(|fault| Claim::differs("state", fault.to_string()))
        .collect()
}
