//! What `verify` found, for programs. Data; pure.

use schemars::JsonSchema;
use serde::Serialize;

use crate::evidence::{Claim, Outcome, worst};

/// What `verify` found.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::cli) struct Verified {
    /// Claim by claim.
    claims: Vec<Claim>,
    /// The worst of them.
    worst: Outcome,
    /// Whether evidence of a root that a test made would count, which is added to what was found.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    test_root: Option<bool>,
}

impl Verified {
    /// What there is to say of these.
    pub(in crate::cli) fn of(claims: &[Claim]) -> Self {
        Self {
            claims: claims.to_vec(),
            worst: worst(claims),
            test_root: None,
        }
    }
}
