//! What runs: the manifests, and the hash that was allowed. Pure.

use crate::compose::ComposeHash;
use crate::evidence::claim::Claim;
use crate::evidence::document::{Code, Evidence};

/// The claims about the code, where it changed.
pub(super) fn claims(evidence: &Evidence) -> Vec<Claim> {
    let Some(code) = &evidence.code else {
        let added = evidence.added_hash();
        let missing = |hash| Claim::open("manifest", format!("the manifest of {hash} is not in the document"));
        return added.map(missing).into_iter().collect();
    };
    let mut claims = vec![manifest("manifest", code.manifest.as_deref(), code.compose_hash)];
    if let Some(previous) = code.previous_compose_hash {
        claims.push(manifest(
            "previous-manifest",
            code.previous_manifest.as_deref(),
            previous,
        ));
    } else if code.previous_manifest.is_some() {
        claims.push(Claim::said("previous-manifest", "nobody says which hash ran before"));
    }
    claims.push(allowed(evidence, code));
    claims
}

fn manifest(about: &str, text: Option<&str>, hash: ComposeHash) -> Claim {
    let Some(text) = text else {
        return Claim::open(about, format!("the manifest of {hash} is not in the document"));
    };
    let found = ComposeHash::of(text.as_bytes());
    Claim::whether(
        about,
        found == hash,
        [
            format!("SHA-256 of the manifest is {hash}"),
            format!("SHA-256 of the manifest is {found}, and the document says {hash}"),
        ],
    )
}

/// That the hash is the one that the change allows.
fn allowed(evidence: &Evidence, code: &Code) -> Claim {
    let about = "compose-hash";
    match evidence.added_hash() {
        Some(added) => Claim::whether(
            about,
            added == code.compose_hash,
            [
                format!("{added} is the hash that the change allows"),
                format!("the change allows {added}, and the document says {}", code.compose_hash),
            ],
        ),
        None => Claim::open(about, format!("{} was allowed before", code.compose_hash)),
    }
}
