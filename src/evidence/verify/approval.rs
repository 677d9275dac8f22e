//! What was approved, and by whom: calls, the Safe's transaction and its signatures, the timelock's operation. Pure.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};

use crate::chain::Call;
use crate::chain::timelock::TimelockAct;
use crate::evidence::claim::Claim;
use crate::evidence::document::{Evidence, Operation, SafeTransaction};
use crate::safe::{OwnerSignature, SafeTx};

/// The claims about who approved what.
pub(super) fn claims(evidence: &Evidence) -> Vec<Claim> {
    let mut claims = vec![calls(evidence)];
    claims.extend(approver(evidence));
    if let Some(timelock) = &evidence.timelock {
        claims.push(operation(evidence, timelock));
        claims.push(Claim::open(
            "scheduling",
            format!(
                "who scheduled it, how long before, and what code the timelock {} has, is not in the document",
                timelock.address
            ),
        ));
    }
    if let Some(safe) = &evidence.safe {
        claims.extend(safe_transaction(evidence, safe));
        claims.push(signatures(safe));
        let is_astray = safe.schedules && evidence.timelock.is_none();
        claims
            .extend(is_astray.then(|| Claim::differs("scheduling", "the Safe scheduled it, and no timelock is named")));
    }
    claims
}

/// Whether what approved the change is what owns the app: its timelock, or else its Safe. Of a key the transaction shows it.
fn approver(evidence: &Evidence) -> Option<Claim> {
    let about = "approver";
    let timelock = evidence
        .timelock
        .as_ref()
        .map(|timelock| ("timelock", timelock.address));
    let safe = evidence.safe.as_ref().map(|safe| ("Safe", safe.domain.safe));
    let (kind, address) = timelock.or(safe)?;
    Some(match evidence.approver() {
        Some(owner) => Claim::whether(
            about,
            owner == address,
            [
                format!("the {kind} {address} is the owner that the document names"),
                format!("the {kind} {address} is not the owner that the document names, {owner}"),
            ],
        ),
        None => Claim::open(
            about,
            format!("the document does not say that the {kind} {address} owns the app"),
        ),
    })
}

/// The Safe's transaction, where the document has its fields and they may be signed.
pub(super) fn read(safe: &SafeTransaction) -> Option<SafeTx> {
    SafeTx::accept(safe.domain, safe.fields.clone()?, true).ok()
}

fn calls(evidence: &Evidence) -> Claim {
    let changes = evidence.changes.iter().map(|change| change.call(evidence.app));
    if evidence.is_of_format_1() {
        return Claim::open("calls", "the calls are not in the document");
    }
    let whether = changes.eq(evidence.calls.iter().cloned());
    Claim::whether(
        "calls",
        whether,
        [
            format!(
                "{} call(s) make the changes of this app, and nothing else",
                evidence.calls.len()
            ),
            "the calls are not those that make the changes".to_owned(),
        ],
    )
}

/// What else an approval was for.
fn beside(evidence: &Evidence) -> String {
    let others: Vec<String> = evidence.others.iter().map(|other| other.app.to_string()).collect();
    match others.is_empty() {
        true => String::new(),
        false => format!(", beside calls of {}", others.join(", ")),
    }
}

/// Whether `calls` are those of this app, and otherwise only calls of the other apps.
fn makes(evidence: &Evidence, calls: &[Call]) -> bool {
    let others: BTreeSet<Address> = evidence.others.iter().map(|other| other.app).collect();
    let mut own = calls.iter().filter(|call| !others.contains(&call.to));
    own.by_ref().eq(evidence.calls.iter())
}

fn operation(evidence: &Evidence, timelock: &Operation) -> Claim {
    let about = "operation";
    let Some(operation) = &timelock.operation else {
        return Claim::open(about, "what the timelock executed is not in the document");
    };
    let (id, named) = (operation.id(), timelock.id);
    if id != named {
        return Claim::differs(
            about,
            format!("the operation's id is {id}, and the document says {named}"),
        );
    }
    Claim::whether(
        about,
        makes(evidence, operation.calls()),
        [
            format!("{id} makes exactly these calls{}", beside(evidence)),
            format!("{id} makes other calls"),
        ],
    )
}

fn safe_transaction(evidence: &Evidence, safe: &SafeTransaction) -> Vec<Claim> {
    let about = "safe-transaction";
    let Some(fields) = &safe.fields else {
        return vec![Claim::open(about, "the Safe's transaction is not in the document")];
    };
    let (hash, named) = (fields.hash(&safe.domain), safe.safe_tx_hash);
    if safe.domain.chain_id != evidence.chain_id {
        let other = safe.domain.chain_id;
        return vec![Claim::differs(
            about,
            format!(
                "the Safe is on chain {other}, and the document is about chain {}",
                evidence.chain_id
            ),
        )];
    }
    if hash != named {
        let text = format!("its safeTxHash is {hash}, and the document says {named}");
        return vec![Claim::differs(about, text)];
    }
    let Some(tx) = read(safe) else {
        return vec![Claim::differs(
            about,
            format!("{hash} is no transaction that countersign has signed"),
        )];
    };
    let makes = match &evidence.timelock {
        Some(timelock) => asks(&tx, safe, timelock),
        None => makes(evidence, tx.calls()),
    };
    vec![Claim::whether(
        about,
        makes,
        [
            format!(
                "{hash} is the hash of a transaction that makes exactly these calls{}",
                beside(evidence)
            ),
            format!("{hash} is the hash of a transaction that makes other calls"),
        ],
    )]
}

/// Whether the Safe's transaction asks the timelock for the operation, or executes it.
fn asks(tx: &SafeTx, safe: &SafeTransaction, timelock: &Operation) -> bool {
    let ([call], Some(operation)) = (tx.calls(), &timelock.operation) else {
        return false;
    };
    call.to == timelock.address
        && match TimelockAct::decode(&call.data) {
            Some(TimelockAct::Schedule { operation: asked, .. }) => safe.schedules && asked == *operation,
            Some(TimelockAct::Execute { operation: asked }) => !safe.schedules && asked == *operation,
            _ => false,
        }
}

/// Who signed, among those who own the Safe by the document.
fn signatures(safe: &SafeTransaction) -> Claim {
    let about = "signatures";
    if safe.signatures.is_empty() {
        return Claim::open(
            about,
            "no signatures are in the document: owners approved on chain, or elsewhere",
        );
    }
    let read = match OwnerSignature::read_packed(&safe.signatures) {
        Ok(read) => read,
        Err(error) => return Claim::differs(about, format!("they cannot be read: {error}")),
    };
    let owners: BTreeSet<Address> = safe.owners.iter().copied().collect();
    let (mut signed, mut unproven) = (BTreeSet::new(), BTreeSet::new());
    for one in &read {
        let Some(owner) = signer(one, safe.safe_tx_hash).filter(|owner| owners.contains(owner)) else {
            return Claim::differs(about, "one of them is no owner's signature of this transaction");
        };
        match one.proves_itself() {
            true => signed.insert(owner),
            false => unproven.insert(owner),
        };
    }
    if signed != safe.signed_by.iter().copied().collect() {
        return Claim::differs(about, "they are not those of the owners that the document names");
    }
    let names = |all: &BTreeSet<Address>| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (threshold, count) = (safe.threshold, owners.len());
    let proven = u64::try_from(signed.len()).is_ok_and(|signed| signed >= threshold);
    if safe.fields.is_none() {
        return Claim::open(
            about,
            format!(
                "{} signed a hash; what they signed is not in the document",
                names(&signed)
            ),
        );
    }
    let whom = format!(
        "{} signed it: {} of the {count} whom the document calls owners of {} (threshold {threshold})",
        names(&signed),
        signed.len(),
        safe.domain.safe
    );
    match (proven, unproven.is_empty()) {
        (true, _) => Claim::holds(about, whom),
        (false, true) => Claim::open(about, format!("{whom}: others agreed on chain, or elsewhere")),
        (false, false) => Claim::open(
            about,
            format!("{whom}; that {} agreed is for the chain to say", names(&unproven)),
        ),
    }
}

/// Whose packed signatures of a hash prove themselves, in their order.
pub fn signers(packed: &[u8], hash: B256) -> Vec<Address> {
    let read = OwnerSignature::read_packed(packed).unwrap_or_default();
    let proven = read.iter().filter(|one| one.proves_itself());
    proven.filter_map(|one| signer(one, hash)).collect()
}

fn signer(signature: &OwnerSignature, hash: B256) -> Option<Address> {
    signature.clone().normalised().signer(hash).ok()
}
