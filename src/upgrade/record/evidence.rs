//! What remains for auditors: who approved what, when, in which transaction, the proof, the operation.

use std::path::Path;

use alloy::primitives::{Address, B256};
use serde::Serialize;

use crate::chain::Proof;
use crate::compose::{ComposeHash, FieldChange, Verification};
use crate::fsutil;
use crate::safe::{effects::Effect, version::SafeVersion};
use crate::text::{fenced, markdown};
use crate::upgrade::{
    UpgradeError,
    accepted::Acceptance,
    files::{keep, pretty},
    model::{target::Target, timelock_operation::Scheduled, uncovered::Uncovered},
    record::{state::State, status::Status},
};

pub(in crate::upgrade) const JSON: &str = "evidence.json";
pub(in crate::upgrade) const TEXT: &str = "evidence.md";
/// Whose word it is that a CVM runs a hash: only an attestation would be more.
const CLOUD: &str = "Phala Cloud";

/// The content of `evidence.json`.
#[derive(Debug, Serialize)]
struct Evidence<'a> {
    schema: &'static str,
    update: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cvm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cvm_name: Option<&'a str>,
    /// What was made from that CVM, and where; nothing where it changed itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a Target>,
    /// UUID of the CVM that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    new_cvm: Option<&'a str>,
    /// Device that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<B256>,
    app: Address,
    chain_id: u64,
    owner: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_hash: Option<ComposeHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_compose_hash: Option<ComposeHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<&'a Verification>,
    changes: &'a [FieldChange],
    /// What changed and no hash covers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    uncovered: Vec<Uncovered>,
    /// The hash was recomputed from what a proposal shows, which somebody else prepared.
    from_elsewhere: bool,
    /// Other apps that the same transaction changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<OtherEvidence<'a>>,
    /// The Safe that approved, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    safe: Option<SafeEvidence>,
    /// The timelock that executed, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    timelock: Option<TimelockEvidence>,
    /// What took effect, read from the bytes that were signed; nothing where they are not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    effects: Vec<Effect>,
    /// Doubts that somebody agreed to by name.
    #[serde(skip_serializing_if = "<[Acceptance]>::is_empty")]
    accepted: &'a [Acceptance],
    /// Whether somebody else's transaction was found instead of one sent by this upgrade.
    adopted: bool,
    proof: &'a Proof,
    correlation_id: Option<String>,
    /// When Phala Cloud accepted the commit.
    committed_at: Option<jiff::Timestamp>,
    /// No answer to the commit came, and reading found what became of it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    was_read: bool,
    /// When the hash was found running, where nobody answered a commit of this upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    found_running_at: Option<jiff::Timestamp>,
    live_at: Option<jiff::Timestamp>,
    /// Whose word that is; nothing where nobody said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    live_says: Option<&'static str>,
    /// When it said so again, after an operation of this upgrade's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_again_at: Option<jiff::Timestamp>,
}

impl Evidence<'_> {
    fn committed(&self) -> String {
        match (self.committed_at, self.found_running_at) {
            (Some(at), _) => at.to_string(),
            (None, Some(at)) => format!("no answer to a commit: the hash was found running at {at}"),
            (None, None) => "no".to_owned(),
        }
    }

    /// What is only the cloud's word is called that.
    fn title(&self) -> String {
        let Some(name) = self.cvm_name.or(self.cvm) else {
            return format!("# Change {} of the policy of {}\n", markdown(self.update), self.app);
        };
        let says = self.live_says.map(|who| format!(": live, as {who} says"));
        format!(
            "# Upgrade {} of {}{}\n",
            markdown(self.update),
            markdown(name),
            says.unwrap_or_default()
        )
    }
}

/// Another app that the same transaction changed; its CVMs have evidence of their own.
#[derive(Debug, Serialize)]
struct OtherEvidence<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cvm: Option<&'a str>,
    app: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_hash: Option<ComposeHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<&'a Verification>,
    /// Nothing: it was undone before it could be proved.
    proof: Option<&'a Proof>,
}

impl<'a> OtherEvidence<'a> {
    fn of(state: &'a State) -> Vec<Self> {
        let each = state.batch.joined().map(|(other, proof)| Self {
            cvm: other.plan.code.as_ref().map(|code| code.cvm.as_str()),
            app: other.plan.app,
            compose_hash: other.compose_hash,
            verified: other.verified.as_ref(),
            proof,
        });
        each.collect()
    }

    fn lines(&self) -> Vec<String> {
        let name = self.cvm.map(|cvm| format!(" ({})", markdown(cvm)));
        let title = format!(
            "\n## Policy of {}{}, by the same transaction\n",
            self.app,
            name.unwrap_or_default()
        );
        let shown = match self.proof {
            Some(proof) => policy(proof),
            None => vec!["- approved, and undone before it was proved".to_owned()],
        };
        std::iter::once(title).chain(shown).collect()
    }
}

/// What a transaction is shown to have changed, line by line.
fn policy(proof: &Proof) -> Vec<String> {
    let lines = proof.changes.iter().map(|proved| match proved.log_index {
        Some(index) => format!("- {} (log {index} of the block)", markdown(&proved.change.to_string())),
        None => format!("- {} (by state)", markdown(&proved.change.to_string())),
    });
    let besides = proof.besides.iter().map(|one| {
        format!(
            "- **besides, which this upgrade did not ask for**: {} (log {} of the block)",
            markdown(&one.what.to_string()),
            one.log_index
        )
    });
    lines.chain(besides).collect()
}

/// What a timelock was asked, and when.
#[derive(Debug, Serialize)]
struct TimelockEvidence {
    address: Address,
    id: B256,
    proposer: Address,
    delay: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled: Option<Scheduled>,
}

impl TimelockEvidence {
    fn of(state: &State) -> Option<Self> {
        let (asked, timelock) = (state.asked()?, state.plan()?.timelock.as_ref()?);
        Some(Self {
            address: asked.timelock,
            id: asked.operation.id(),
            proposer: timelock.proposer,
            delay: asked.delay,
            scheduled: state.timelock.scheduled,
        })
    }

    fn rows(&self) -> [(&'static str, String); 5] {
        let scheduled = self.scheduled.and_then(|scheduled| scheduled.transaction);
        [
            ("timelock", self.address.to_string()),
            ("operation", self.id.to_string()),
            ("proposed by", self.proposer.to_string()),
            ("delay", format!("{} seconds", self.delay)),
            (
                "scheduled in",
                scheduled.map_or_else(|| "unknown".to_owned(), |hash| hash.to_string()),
            ),
        ]
    }
}

/// What a Safe approved, and whose signatures this upgrade has.
#[derive(Debug, Serialize)]
struct SafeEvidence {
    address: Address,
    version: SafeVersion,
    safe_tx_hash: B256,
    nonce: String,
    threshold: u64,
    signed_by: Vec<Address>,
}

impl SafeEvidence {
    /// Nothing when the change came about without the Safe transaction.
    fn of(state: &State) -> Option<Self> {
        if state.safe.gone.is_some() {
            return None;
        }
        let ceremony = state.last_ceremony().ok()??;
        let safe = state.plan()?.safe.as_ref()?;
        Some(Self {
            address: safe.address,
            version: safe.version,
            safe_tx_hash: ceremony.hash(),
            nonce: ceremony.nonce().to_string(),
            threshold: safe.threshold,
            signed_by: ceremony.approval.signatures.proven().collect(),
        })
    }

    fn rows(&self) -> [(&'static str, String); 4] {
        let names: Vec<String> = self.signed_by.iter().map(ToString::to_string).collect();
        let signed = if names.is_empty() {
            "on chain, or elsewhere".to_owned()
        } else {
            names.join(", ")
        };
        [
            ("Safe", format!("{} {}", self.address, self.version)),
            ("safeTxHash", self.safe_tx_hash.to_string()),
            ("nonce of the Safe", self.nonce.clone()),
            ("signed by", format!("{signed} (threshold {})", self.threshold)),
        ]
    }
}

/// What the transaction of the proof did by its own bytes, where this machine signed it, and otherwise what the Safe's
/// owners signed, where the Safe acted.
fn effects(state: &State, proof: &Proof) -> Vec<Effect> {
    let parties = state.parties();
    if let Some(sent) = state.tx.signed.iter().find(|sent| Some(sent.hash) == proof.transaction) {
        return parties.effects_of_calls(std::slice::from_ref(&sent.request.call));
    }
    let ceremony = state
        .last_ceremony()
        .ok()
        .flatten()
        .filter(|_| state.safe.gone.is_none());
    ceremony.map_or_else(Vec::new, |ceremony| parties.effects_of_tx(&ceremony.approval.tx))
}

/// Writes both files, as far as there is something to prove.
pub(in crate::upgrade) fn write(dir: &Path, state: &State) -> Result<(), UpgradeError> {
    let (Some(identity), Some(plan), Some(proof)) = (state.identity(), state.plan(), state.proof()) else {
        return Ok(());
    };
    let code = plan.code.as_ref();
    let new = code.filter(|code| code.target.is_new());
    let committed = state.commit.committed.as_ref().map(|(_, at)| *at);
    let evidence = Evidence {
        schema: "countersign.evidence/1",
        update: &identity.update,
        cvm: identity.cvm.as_deref(),
        cvm_name: code.and_then(|code| code.cvm_name.as_deref()),
        target: new.map(|code| &code.target),
        new_cvm: state.commit.made.as_deref(),
        device: new.and_then(|code| code.device),
        app: plan.app,
        chain_id: plan.chain_id,
        owner: plan.app_state.owner,
        compose_hash: state.verified().map(|(hash, _)| *hash),
        previous_compose_hash: plan.current_hash(),
        verified: state.verified().map(|(_, how)| how),
        changes: code.map(|code| code.changes.as_slice()).unwrap_or_default(),
        uncovered: code
            .map(crate::upgrade::model::CodeChange::uncovered)
            .unwrap_or_default(),
        from_elsewhere: state.is_from_elsewhere(),
        others: OtherEvidence::of(state),
        safe: SafeEvidence::of(state),
        timelock: TimelockEvidence::of(state),
        effects: effects(state, proof),
        accepted: &state.accepted,
        adopted: state.proof.adopted,
        proof,
        correlation_id: state.status().facts.correlation_id,
        committed_at: committed.filter(|_| !state.commit.was_found()),
        was_read: matches!(state.commit.committed, Some((None, _))) && state.commit.made.is_none(),
        found_running_at: committed.filter(|_| state.commit.was_found()),
        live_at: state.commit.done,
        live_says: state.commit.done.map(|_| CLOUD),
        seen_again_at: state.commit.confirmed,
    };
    keep(&dir.join(JSON), &pretty(&evidence), 0o644)?;
    keep(&dir.join(TEXT), text(&evidence, &state.status()).as_bytes(), 0o644)?;
    Ok(())
}

/// Takes both files away: what they name is not on the chain any more.
pub(in crate::upgrade) fn withdraw(dir: &Path) -> Result<(), UpgradeError> {
    fsutil::remove(&dir.join(JSON))?;
    Ok(fsutil::remove(&dir.join(TEXT))?)
}

fn text(evidence: &Evidence<'_>, status: &Status) -> String {
    let mut lines = vec![evidence.title(), "| fact | value |".to_owned()];
    lines.push("| --- | --- |".to_owned());
    lines.extend(rows(evidence, status).map(|(fact, value)| row(fact, &value)));
    if let Some(safe) = &evidence.safe {
        lines.extend(safe.rows().map(|(fact, value)| row(fact, &value)));
    }
    if let Some(timelock) = &evidence.timelock {
        lines.extend(timelock.rows().map(|(fact, value)| row(fact, &value)));
    }
    let agreed = evidence.accepted.iter();
    lines.extend(agreed.map(|one| row("agreed to by name", &one.to_string())));
    lines.push("\n## Policy\n".to_owned());
    lines.extend(policy(evidence.proof));
    lines.extend(evidence.others.iter().flat_map(OtherEvidence::lines));
    if !evidence.effects.is_empty() {
        lines.push("\n## What took effect, by the bytes that were signed\n".to_owned());
        lines.extend(
            evidence
                .effects
                .iter()
                .map(|effect| format!("- {}", markdown(&effect.sentence))),
        );
    }
    if evidence.cvm.is_none() {
        return lines.join("\n") + "\n";
    }
    lines.push("\n## Changes".to_owned());
    lines.extend(evidence.changes.iter().map(|change| {
        let text = fenced("diff", &change.text_diff());
        format!("\n### {}\n\n{text}", markdown(&change.field))
    }));
    if !evidence.uncovered.is_empty() {
        lines.push("\n## What no hash covers".to_owned());
        lines.extend(evidence.uncovered.iter().map(|one| {
            let text = fenced("text", &one.to_string());
            format!("\n### {}\n\n{text}", markdown(one.field))
        }));
    }
    lines.join("\n") + "\n"
}

/// A row of the table, whatever is in it.
pub(in crate::upgrade) fn row(fact: &str, value: &str) -> String {
    format!("| {} | {} |", markdown(fact), markdown(value))
}

fn rows(evidence: &Evidence<'_>, status: &Status) -> impl Iterator<Item = (&'static str, String)> {
    let proof = evidence.proof;
    let known = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
    let transaction = proof.transaction.map(|hash| hash.to_string());
    let made = evidence
        .target
        .and_then(|target| Some((target.word()?, target.placement()?)))
        .map(|(word, placement)| {
            let node = placement.node.map(|node| node.to_string());
            [
                ("makes", word.to_owned()),
                ("node", known(node, "that of the CVM")),
                (
                    "device",
                    known(evidence.device.map(|device| device.to_string()), "unknown"),
                ),
                (
                    "new CVM",
                    known(evidence.new_cvm.map(ToOwned::to_owned), "not made yet"),
                ),
            ]
        });
    let chain = [
        ("app", evidence.app.to_string()),
        ("chain", evidence.chain_id.to_string()),
        ("owner", evidence.owner.to_string()),
        ("transaction", known(transaction, "none: proved by state")),
        (
            "sender",
            known(proof.sender.map(|sender| sender.to_string()), "unknown"),
        ),
        ("block", format!("{} ({})", proof.block.number, proof.block.hash)),
        ("block time", block_time(proof.block.timestamp)),
        ("still in force at block", proof.head.number.to_string()),
        ("settled by", proof.finality.to_string()),
        ("endpoints that agree", proof.said_by()),
    ];
    let code = evidence.cvm.map(|cvm| {
        let before = evidence.previous_compose_hash.map(|hash| hash.to_string());
        let after = evidence.compose_hash.map(|hash| hash.to_string());
        [
            ("CVM", cvm.to_owned()),
            ("compose hash before", known(before, "unknown")),
            ("compose hash", known(after, "unknown")),
            (
                match evidence.from_elsewhere {
                    true => "recomputed from the proposal",
                    false => "recomputed from local files",
                },
                evidence.verified.map_or_else(String::new, how),
            ),
            ("operation", known(status.facts.correlation_id.clone(), "unknown")),
            ("committed", evidence.committed()),
            ("live", known(evidence.live_at.map(|at| at.to_string()), "not seen yet")),
        ]
    });
    let code = code.into_iter().flatten();
    code.chain(made.into_iter().flatten()).chain(chain)
}

fn how(verified: &Verification) -> String {
    match verified {
        Verification::Verified { .. } => "yes".to_owned(),
        Verification::Uncomputable => "no: accepted unverified".to_owned(),
        Verification::Mismatch { .. } => "no: different".to_owned(),
    }
}

pub(in crate::upgrade) fn block_time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| seconds.to_string(), |time| time.to_string())
}
