//! What only the writer says, line by line. Pure.

use crate::evidence::claim::Claim;
use crate::evidence::document::Evidence;

/// What nothing proves.
pub(super) fn claims(evidence: &Evidence) -> Vec<Claim> {
    let (said, cloud) = (&evidence.said, &evidence.said.cloud);
    let mut lines = vec![("said.upgrade", format!("the upgrade is called {}", name(&said.update)))];
    let mut line = |about, text: Option<String>| lines.extend(text.map(|text| (about, text)));
    let cvm = said.cvm_name.as_ref().or(said.cvm.as_ref());
    line("said.cvm", cvm.map(|cvm| format!("the CVM is {}", name(cvm))));
    line("said.kms", said.kms.map(|kms| format!("the KMS is {kms}")));
    line(
        "said.settled",
        said.settled.as_ref().map(|settled| {
            let by = settled.endpoints.join(", ");
            format!(
                "still in force at block {}, by {}; {by} agreed",
                settled.head.number, settled.finality
            )
        }),
    );
    line(
        "said.committed",
        cloud
            .committed_at
            .map(|at| format!("Phala Cloud accepted the commit at {at}")),
    );
    line(
        "said.live",
        cloud.live_at.map(|at| format!("Phala Cloud said at {at} that it runs")),
    );
    for agreed in &said.accepted {
        line("said.agreed", Some(format!("agreed to by name: {agreed}")));
    }
    for uncovered in &said.uncovered {
        line("said.uncovered", Some(format!("no hash covers it: {uncovered}")));
    }
    let first = (!said.version.is_empty()).then(|| format!("written by countersign {}", said.version));
    line("said.version", first);
    lines
        .into_iter()
        .map(|(about, text)| Claim::said(about, text))
        .collect()
}

/// A name in one piece: no line that is broken inside it looks like another claim.
fn name(text: &str) -> String {
    crate::text::shorten(text, 100)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join("␠")
}
