//! Every claim of a document, proved again from the document alone. Pure: nobody is asked, and no clock is read.

mod approval;
mod attestation;
mod block;
mod code;
mod said;

use alloy::primitives::B256;

pub use approval::signers;
pub use attestation::Measured;
pub(super) use attestation::by_contracts;

use super::claim::{Claim, Outcome};
use super::document::Evidence;

/// The claims of a document, and what is to be said of each.
///
/// *Holds* is what follows from a hash, a signature, the header of the block or a quote that is here. That the block is the
/// chain's, and what is in force now, only a chain can say.
pub fn verify(evidence: &Evidence, by: &Measured<'_>) -> Vec<Claim> {
    let mut claims = code::claims(evidence);
    claims.extend(approval::claims(evidence));
    claims.extend(block::claims(evidence));
    claims.extend(attestation::claims(evidence, by));
    claims.extend(said::claims(evidence));
    claims
}

/// Whether the proposal beside a document is the one that it names; `found` is SHA-256 of that file.
pub fn beside(evidence: &Evidence, found: Option<B256>) -> Option<Claim> {
    let about = "proposal";
    let named = evidence.said.proposal_sha256?;
    Some(match found {
        Some(found) => Claim::whether(
            about,
            found == named,
            [
                "the proposal beside it is the one that it names".to_owned(),
                format!("SHA-256 of the proposal beside it is {found}, and the document names {named}"),
            ],
        ),
        None => Claim::open(about, "no proposal is beside it"),
    })
}

/// The gravest outcome among claims.
pub fn worst(claims: &[Claim]) -> Outcome {
    claims.iter().map(|claim| claim.outcome).max().unwrap_or(Outcome::Holds)
}
