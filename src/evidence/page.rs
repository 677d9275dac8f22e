//! The document as a page for people (`evidence.md`). Makes text; pure.

use super::document::{Evidence, Operation, SafeTransaction, Settled};
use crate::attest::Standing;
use crate::chain::PolicyChange;
use crate::chain::policy_history::PolicyFact;
use crate::compose::{FieldChange, Manifest};
use crate::text::{fenced, markdown};

/// The page.
pub fn page(evidence: &Evidence) -> String {
    let mut lines = vec![
        "Check it yourself: `countersign verify evidence.json`, without a key and without an account.\n".to_owned(),
        title(evidence),
        "| fact | value |".to_owned(),
        "| --- | --- |".to_owned(),
    ];
    lines.extend(rows(evidence).into_iter().map(|(fact, value)| row(fact, &value)));
    lines.extend(
        evidence
            .safe
            .iter()
            .flat_map(safe_rows)
            .map(|(fact, value)| row(fact, &value)),
    );
    if let Some(timelock) = &evidence.timelock {
        let rows = timelock_rows(evidence, timelock).into_iter();
        lines.extend(rows.map(|(fact, value)| row(fact, &value)));
    }
    let agreed = evidence.said.accepted.iter();
    lines.extend(agreed.map(|one| row("agreed to by name", &one.to_string())));
    lines.push("\n## Policy\n".to_owned());
    let logs = evidence
        .said
        .settled
        .as_ref()
        .map(|settled| settled.log_indexes.as_slice());
    lines.extend(policy(&evidence.changes, logs.unwrap_or_default(), &evidence.besides));
    for other in &evidence.others {
        lines.push(format!("\n## Policy of {}, by the same transaction\n", other.app));
        match other.changes.as_slice() {
            [] => lines.push("- approved, and undone before it was proved".to_owned()),
            changes => lines.extend(policy(changes, &[], &other.besides)),
        }
    }
    lines.extend(section(
        "What took effect, by the bytes that were signed",
        &evidence.said.effects,
    ));
    lines.extend(section("What the hardware measured", &measured(evidence)));
    lines.extend(section(
        "What can not be shown without asking the chain",
        &missing(evidence),
    ));
    if evidence.code.is_some() {
        lines.push("\n## Changes".to_owned());
        lines.extend(changes(evidence).iter().map(|change| {
            let text = fenced("diff", &change.text_diff());
            format!("\n### {}\n\n{text}", markdown(&change.field))
        }));
    }
    if !evidence.said.uncovered.is_empty() {
        lines.push("\n## What no hash covers".to_owned());
        lines.extend(evidence.said.uncovered.iter().map(|one| {
            let text = fenced("text", &one.to_string());
            format!("\n### {}\n\n{text}", markdown(&one.field))
        }));
    }
    lines.join("\n") + "\n"
}

/// The fields of the manifest that changed.
fn changes(evidence: &Evidence) -> Vec<FieldChange> {
    let code = evidence.code.as_ref();
    let shown = code.and_then(|code| Some([code.manifest.as_deref()?, code.previous_manifest.as_deref()?]));
    let unproven = || match evidence.said.manifests.as_slice() {
        [after, before] => Some([after.as_str(), before.as_str()]),
        _ => None,
    };
    let Some(texts) = shown.or_else(unproven) else {
        return Vec::new();
    };
    match texts.map(|text| Manifest::parse(text.as_bytes())) {
        [Ok(after), Ok(before)] => before.diff(&after),
        _ => Vec::new(),
    }
}

/// A row of a table, whatever is in it.
pub fn row(fact: &str, value: &str) -> String {
    format!("| {} | {} |", markdown(fact), markdown(value))
}

/// Seconds since 1970 as a time.
pub fn block_time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| seconds.to_string(), |time| time.to_string())
}

/// What is only the cloud's word is called that.
fn title(evidence: &Evidence) -> String {
    let said = &evidence.said;
    let Some(name) = said.cvm_name.as_ref().or(said.cvm.as_ref()) else {
        return format!(
            "# Change {} of the policy of {}\n",
            markdown(&said.update),
            evidence.app
        );
    };
    let live = match said.cloud.live_at {
        Some(_) => ": live, as Phala Cloud says",
        None => "",
    };
    format!("# Upgrade {} of {}{live}\n", markdown(&said.update), markdown(name))
}

fn section(title: &str, lines: &[String]) -> Option<String> {
    let lines: Vec<String> = lines.iter().map(|line| format!("- {}", markdown(line))).collect();
    (!lines.is_empty()).then(|| format!("\n## {title}\n\n{}", lines.join("\n")))
}

/// What a transaction is shown to have changed, line by line.
fn policy(changes: &[PolicyChange], logs: &[Option<u64>], besides: &[PolicyFact]) -> Vec<String> {
    let indexes = logs.iter().copied().chain(std::iter::repeat(None));
    let lines = changes.iter().zip(indexes).map(|(change, index)| match index {
        Some(index) => format!("- {} (log {index} of the block)", markdown(&change.to_string())),
        None => format!("- {}", markdown(&change.to_string())),
    });
    let besides = besides.iter().map(|what| {
        format!(
            "- **besides, which this upgrade did not ask for**: {}",
            markdown(&what.to_string())
        )
    });
    lines.chain(besides).collect()
}

fn measured(evidence: &Evidence) -> Vec<String> {
    let Some(attestation) = &evidence.attestation else {
        return Vec::new();
    };
    let links = attestation.links.iter().map(|one| {
        let standing = match one.standing {
            Standing::Holds => "holds",
            Standing::NotKnown => "not known",
            Standing::Broken => "BROKEN",
        };
        format!("{}: {standing}", one.link)
    });
    let at = format!("looked at {}", attestation.made_of.at);
    std::iter::once(at).chain(links).collect()
}

fn missing(evidence: &Evidence) -> Vec<String> {
    let lacks = evidence.witness.iter().flat_map(|witness| &witness.missing);
    lacks.map(|lack| format!("{}: {}", lack.part, lack.why)).collect()
}

fn safe_rows(safe: &SafeTransaction) -> Vec<(&'static str, String)> {
    let names: Vec<String> = safe.signed_by.iter().map(ToString::to_string).collect();
    let signed = match names.is_empty() {
        true => "on chain, or elsewhere".to_owned(),
        false => names.join(", "),
    };
    let nonce = safe.fields.as_ref().map(|fields| fields.nonce.to_string());
    vec![
        ("Safe", format!("{} {}", safe.domain.safe, safe.domain.version)),
        ("safeTxHash", safe.safe_tx_hash.to_string()),
        ("nonce of the Safe", nonce.unwrap_or_else(|| "unknown".to_owned())),
        ("signed by", format!("{signed} (threshold {})", safe.threshold)),
    ]
}

fn timelock_rows(evidence: &Evidence, timelock: &Operation) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("timelock", timelock.address.to_string()),
        ("operation", timelock.id.to_string()),
    ];
    if let Some(scheduled) = &evidence.said.scheduled {
        let transaction = scheduled.transaction.map(|hash| hash.to_string());
        rows.extend([
            ("proposed by", scheduled.proposer.to_string()),
            ("delay", format!("{} seconds", scheduled.delay)),
            ("scheduled in", transaction.unwrap_or_else(|| "unknown".to_owned())),
        ]);
    }
    rows
}

fn rows(evidence: &Evidence) -> Vec<(&'static str, String)> {
    let said = &evidence.said;
    let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    let mut rows = Vec::new();
    if let Some(code) = &evidence.code {
        let before = code.previous_compose_hash.map(|hash| hash.to_string());
        let recomputed = match said.from_elsewhere {
            true => "recomputed from the proposal",
            false => "recomputed from local files",
        };
        rows.extend([
            ("CVM", known(said.cvm.clone())),
            ("compose hash before", known(before)),
            ("compose hash", code.compose_hash.to_string()),
            (
                recomputed,
                match code.manifest {
                    Some(_) => "yes".to_owned(),
                    None => "no: accepted unverified".to_owned(),
                },
            ),
            ("operation", known(said.cloud.correlation_id.clone())),
            ("committed", committed(evidence)),
            (
                "live",
                said.cloud
                    .live_at
                    .map_or_else(|| "not seen yet".to_owned(), |at| at.to_string()),
            ),
        ]);
    }
    rows.extend(made(evidence));
    let transaction = evidence.transaction;
    let hash = transaction.map(|transaction| transaction.hash.to_string());
    let sender = transaction.and_then(|transaction| transaction.sender);
    let owner = evidence.owner.map(|owner| owner.to_string());
    rows.extend([
        ("app", evidence.app.to_string()),
        ("chain", evidence.chain_id.to_string()),
        ("owner", known(owner)),
        (
            "transaction",
            hash.unwrap_or_else(|| "none: proved by state".to_owned()),
        ),
        ("sender", known(sender.map(|sender| sender.to_string()))),
        ("block", format!("{} ({})", evidence.block.number, evidence.block.hash)),
        ("block time", block_time(evidence.block.timestamp)),
    ]);
    rows.extend(said.settled.iter().flat_map(settled));
    rows
}

fn settled(settled: &Settled) -> [(&'static str, String); 3] {
    let named = settled.named.map(|named| format!(" of {named}")).unwrap_or_default();
    let names = settled.endpoints.join(", ");
    [
        ("still in force at block", settled.head.number.to_string()),
        ("settled by", settled.finality.to_string()),
        (
            "endpoints that agree",
            format!("{}{named}: {names}", settled.endpoints.len()),
        ),
    ]
}

fn committed(evidence: &Evidence) -> String {
    let cloud = &evidence.said.cloud;
    match (cloud.committed_at, cloud.found_running_at) {
        (Some(at), _) => at.to_string(),
        (None, Some(at)) => format!("no answer to a commit: the hash was found running at {at}"),
        (None, None) => "no".to_owned(),
    }
}

/// What was made from the CVM, and where.
fn made(evidence: &Evidence) -> Vec<(&'static str, String)> {
    let said = &evidence.said;
    let Some(made) = &said.makes else {
        return Vec::new();
    };
    let known = |value: Option<String>, otherwise: &str| value.unwrap_or_else(|| otherwise.to_owned());
    let device = said.device.map(|device| device.to_string());
    vec![
        ("makes", made.kind.clone()),
        ("node", known(made.node.map(|node| node.to_string()), "that of the CVM")),
        ("device", known(device, "unknown")),
        ("new CVM", known(said.new_cvm.clone(), "not made yet")),
    ]
}
