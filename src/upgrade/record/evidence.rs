//! What remains for auditors, made from what an upgrade recorded. What the document holds, and how it is proved again, is the
//! room `evidence`'s.

use std::path::Path;

use alloy::primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::chain::{
    BlockRef, Call, PolicyChange, Proof,
    witness::{ContractSlots, Witness, app_slots, kms_slots},
};
use crate::compose::{ComposeHash, Form, Verification};
use crate::evidence::{
    self, Agreed, CloudSaid, Code, Evidence, Made, Operation, Other, SafeTransaction, Said, Scheduling, Settled,
    Transaction, Uncovered,
};
use crate::fsutil;
use crate::safe::{effects::Effect, slots::owner_slots};
use crate::upgrade::{
    UpgradeError,
    accepted::Acceptance,
    files::{keep, pretty},
    model::{CodeChange, plan::Plan, proposal, safe_approval::SafeApproval, safe_approval::Stage, uncovered},
    record::state::State,
};

/// What the proof's block proves, as it was taken when the proof was made.
const WITNESS: &str = "witness.json";
/// Longest witness that is read, bytes: half of what evidence may have.
const MAX_WITNESS: u64 = evidence::MAX_BYTES as u64 / 2;

/// A witness as it is kept, with the block that it is of.
#[derive(Serialize, Deserialize)]
struct Kept<W> {
    block: B256,
    witness: W,
}

/// The witness of a block that was taken before: it waits in a file of its own until there is evidence that holds it.
fn witness(dir: &Path, block: &BlockRef) -> Option<Witness> {
    let kept = fsutil::read(&dir.join(WITNESS), MAX_WITNESS).ok();
    let kept: Option<Kept<Witness>> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    kept.filter(|kept| kept.block == block.hash).map(|kept| kept.witness)
}

/// Whether a witness of the block is here.
pub(in crate::upgrade) fn has_witness(dir: &Path, block: &BlockRef) -> bool {
    let held = || evidence::read(dir).filter(|held| held.block.hash == block.hash);
    witness(dir, block).is_some() || held().is_some_and(|held| held.witness.is_some())
}

/// Keeps the witness of a proof's block.
pub(in crate::upgrade) fn keep_witness(dir: &Path, block: &BlockRef, witness: &Witness) -> Result<(), UpgradeError> {
    let kept = Kept {
        block: block.hash,
        witness,
    };
    Ok(keep(&dir.join(WITNESS), &pretty(&kept), 0o644)?)
}

/// The contracts that evidence shows the state of: every app, its KMS, and the Safe that acted.
pub(in crate::upgrade) fn contracts(state: &State) -> Vec<ContractSlots> {
    let own = state.plan().map(|plan| (plan, state.verified().map(|(hash, _)| *hash)));
    let others = state.batch.joined().map(|(other, _)| (&other.plan, other.compose_hash));
    let mut contracts: Vec<ContractSlots> = own
        .into_iter()
        .chain(others)
        .flat_map(|(plan, hash)| {
            let kms = plan.kms.map(|kms| kms_slots(kms, plan.app));
            std::iter::once(app(plan, hash)).chain(kms)
        })
        .collect();
    let safe = state.plan().and_then(|plan| plan.safe.as_ref());
    contracts.extend(safe.map(|safe| ContractSlots {
        contract: safe.address,
        slots: owner_slots(&safe.owners),
    }));
    contracts
}

fn app(plan: &Plan, hash: Option<ComposeHash>) -> ContractSlots {
    let (mut hashes, mut devices) = (Vec::new(), Vec::new());
    for change in plan.changes_with(hash).unwrap_or_default() {
        match change {
            PolicyChange::AddComposeHash(hash) | PolicyChange::RemoveComposeHash(hash) => hashes.push(hash),
            PolicyChange::AddDevice(device) | PolicyChange::RemoveDevice(device) => devices.push(device),
            _ => {}
        }
    }
    let code = plan.code.as_ref();
    hashes.extend(hash.filter(|_| code.is_some()).map(|hash| B256::from(*hash.as_bytes())));
    devices.extend(code.and_then(|code| code.device));
    hashes.dedup();
    devices.dedup();
    app_slots(plan.app, &hashes, &devices)
}

/// Writes document and page, as far as there is something to prove; with the head of the journal's chain of records.
pub(in crate::upgrade) fn write(dir: &Path, state: &State, journal_head: &str) -> Result<(), UpgradeError> {
    let Some(proof) = state.proof() else { return Ok(()) };
    // What was written before holds the block's witness, and what the hardware measured, which whoever looked added.
    let earlier = evidence::read(dir);
    let (held, earlier) = earlier.map_or((None, None), |earlier| {
        let witness = earlier.witness.filter(|_| earlier.block.hash == proof.block.hash);
        (witness, earlier.attestation)
    });
    let witness = witness(dir, &proof.block).or(held);
    let Some(mut evidence) = document(dir, state, witness) else {
        return Ok(());
    };
    evidence.said.journal_head = journal_head.parse().ok();
    let hash = evidence.code.as_ref().map(|code| code.compose_hash);
    evidence.attestation = earlier.filter(|earlier| Some(earlier.made_of.wanted.compose_hash) == hash);
    evidence::store(dir, &evidence)?;
    Ok(fsutil::remove(&dir.join(WITNESS))?)
}

/// Takes the files away: what they name is not on the chain any more.
pub(in crate::upgrade) fn withdraw(dir: &Path) -> Result<(), UpgradeError> {
    for name in [evidence::FILE, evidence::PAGE, WITNESS] {
        fsutil::remove(&dir.join(name))?;
    }
    Ok(())
}

fn document(dir: &Path, state: &State, witness: Option<Witness>) -> Option<Evidence> {
    let (plan, proof) = (state.plan()?, state.proof()?);
    let changes: Vec<_> = proof.changes.iter().map(|proved| proved.change).collect();
    let ceremony = state.last_ceremony().ok().flatten();
    let ceremony = ceremony.filter(|_| state.safe.gone.is_none());
    let sent = witness.as_ref().and_then(|witness| sent(witness, &proof.block));
    let mut evidence = Evidence::about(plan.chain_id, plan.app, proof.block);
    evidence.owner = Some(plan.app_state.owner);
    evidence.calls = changes.iter().map(|change| change.call(plan.app)).collect();
    evidence.changes = changes;
    evidence.besides = proof.besides.iter().map(|one| one.what).collect();
    evidence.code = plan.code.as_ref().and_then(|code| shown_code(state, code));
    evidence.safe = ceremony.and_then(|ceremony| safe(plan, &ceremony, sent.as_ref()));
    evidence.timelock = state.asked().map(|asked| Operation {
        address: asked.timelock,
        id: asked.operation.id(),
        operation: Some(asked.operation),
    });
    evidence.transaction = Transaction::of(proof);
    evidence.witness = witness;
    let joined = state.batch.joined();
    evidence.others = joined.map(|(other, proof)| others(other.plan.app, proof)).collect();
    evidence.said = Box::new(said(dir, state, plan)?);
    Some(evidence)
}

/// The call of the proof's transaction, as the witness shows it.
fn sent(witness: &Witness, block: &BlockRef) -> Option<Call> {
    let shown = witness.block.as_ref()?.check(block.hash).ok()?;
    let found = shown.transaction?.ok()?;
    Some(Call {
        to: found.to?,
        value: found.value,
        data: found.input,
    })
}

/// The manifests, byte for byte as they are hashed, where that is known.
fn shown_code(state: &State, code: &CodeChange) -> Option<Code> {
    let (compose_hash, how) = state.verified()?;
    let form = form(how);
    Some(Code {
        compose_hash: *compose_hash,
        manifest: form.map(|form| code.manifest_after().canonical(form)),
        previous_compose_hash: code.current_hash,
        previous_manifest: form.map(|form| code.manifest.canonical(form)),
    })
}

const fn form(how: &Verification) -> Option<Form> {
    match how {
        Verification::Verified { form } => Some(*form),
        Verification::Uncomputable | Verification::Mismatch { .. } => None,
    }
}

/// What the Safe's owners signed, with the signatures of the transaction that executed it, where that is here.
fn safe(plan: &Plan, ceremony: &SafeApproval, sent: Option<&Call>) -> Option<SafeTransaction> {
    let safe = plan.safe.as_ref()?;
    let tx = &ceremony.approval.tx;
    let executed = sent.and_then(|sent| tx.signatures_in(sent));
    Some(SafeTransaction {
        domain: *tx.domain(),
        fields: Some(tx.fields().clone()),
        safe_tx_hash: tx.hash(),
        schedules: ceremony.stage == Stage::Schedule,
        signed_by: signed_by(executed.as_ref(), ceremony),
        owners: safe.owners.clone(),
        threshold: safe.threshold,
        signatures: executed.unwrap_or_else(|| ceremony.approval.signatures.packed()),
    })
}

/// Whose signatures those are, as far as they prove themselves.
fn signed_by(executed: Option<&Bytes>, ceremony: &SafeApproval) -> Vec<Address> {
    match executed {
        Some(packed) => evidence::signers(packed, ceremony.approval.tx.hash()),
        None => ceremony.approval.signatures.proven().collect(),
    }
}

fn others(app: Address, proof: Option<&Proof>) -> Other {
    proof.map_or_else(
        || Other {
            app,
            changes: Vec::new(),
            besides: Vec::new(),
        },
        Other::of,
    )
}

fn said(dir: &Path, state: &State, plan: &Plan) -> Option<Said> {
    let (identity, proof, code) = (state.identity()?, state.proof()?, plan.code.as_ref());
    let new = code.filter(|code| code.target.is_new());
    let unknown = code.filter(|_| state.verified().is_some_and(|(_, how)| form(how).is_none()));
    let texts = unknown.map(|code| [code.manifest_after(), code.manifest.clone()]);
    Some(Said {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        update: identity.update.clone(),
        cvm: identity.cvm.clone(),
        cvm_name: code.and_then(|code| code.cvm_name.clone()),
        makes: new.and_then(made),
        new_cvm: state.commit.made.clone(),
        device: code.and_then(|code| code.device),
        kms: plan.kms,
        manifests: texts
            .into_iter()
            .flatten()
            .map(|manifest| manifest.canonical(Form::Sorted))
            .collect(),
        from_elsewhere: state.is_from_elsewhere(),
        uncovered: code
            .map(|code| code.uncovered().into_iter().map(uncovered).collect())
            .unwrap_or_default(),
        accepted: state.accepted.iter().map(agreed).collect(),
        effects: effects(state, proof)
            .into_iter()
            .map(|effect| effect.sentence)
            .collect(),
        adopted: state.proof.adopted,
        settled: Some(Settled::of(proof)),
        scheduled: scheduling(state, plan),
        cloud: cloud(state),
        proposal_sha256: evidence::sha256_of(&dir.join(proposal::FILE)),
        ..Said::default()
    })
}

fn made(code: &CodeChange) -> Option<Made> {
    let (kind, placement) = code.target.word().zip(code.target.placement())?;
    Some(Made {
        kind: kind.to_owned(),
        node: placement.node,
    })
}

fn uncovered(one: uncovered::Uncovered) -> Uncovered {
    Uncovered {
        field: one.field.to_owned(),
        before: one.before,
        after: one.after,
    }
}

fn agreed(one: &Acceptance) -> Agreed {
    Agreed {
        code: one.code,
        value: one.value.clone(),
    }
}

fn scheduling(state: &State, plan: &Plan) -> Option<Scheduling> {
    let (asked, timelock) = (state.asked()?, plan.timelock.as_ref()?);
    Some(Scheduling {
        proposer: timelock.proposer,
        delay: asked.delay,
        transaction: state.timelock.scheduled.and_then(|scheduled| scheduled.transaction),
    })
}

fn cloud(state: &State) -> CloudSaid {
    let committed = state.commit.committed.as_ref().map(|(_, at)| *at);
    CloudSaid {
        correlation_id: state.status().facts.correlation_id,
        committed_at: committed.filter(|_| !state.commit.was_found()),
        was_read: matches!(state.commit.committed, Some((None, _))) && state.commit.made.is_none(),
        found_running_at: committed.filter(|_| state.commit.was_found()),
        live_at: state.commit.done,
        seen_again_at: state.commit.confirmed,
    }
}

/// What the transaction of the proof did by its own bytes, where this machine signed it, and otherwise what the Safe's
/// owners signed, where the Safe acted.
fn effects(state: &State, proof: &Proof) -> Vec<Effect> {
    let parties = state.parties();
    if let Some(sent) = state.tx.signed.iter().find(|sent| Some(sent.hash) == proof.transaction) {
        return parties.effects_of_calls(std::slice::from_ref(&sent.request.call));
    }
    let ceremony = state.last_ceremony().ok().flatten();
    let ceremony = ceremony.filter(|_| state.safe.gone.is_none());
    ceremony.map_or_else(Vec::new, |ceremony| parties.effects_of_tx(&ceremony.approval.tx))
}
