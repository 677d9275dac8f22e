//! What is found of a Safe, by its weight for whoever signs. Pure.

use alloy::primitives::Address;

use crate::code::Code;
use crate::safe::{
    info::{Finding as SafeFinding, SafeInfo},
    strangers::Obedient,
};
use crate::upgrade::{Stop, finding::Finding};

/// Contracts that do what an app's owner says, by what they are.
pub(in crate::upgrade) type Targets = [(Obedient, Option<Address>); 3];

/// A fallback handler that is one of these, where it did not answer as one already.
pub(in crate::upgrade) fn obeying(targets: &Targets, safe: &SafeInfo) -> Option<Finding> {
    let address = safe.fallback_handler?;
    let (is, _) = *targets.iter().find(|(_, target)| *target == Some(address))?;
    let known = safe.fallback_handler_obeys.is_some();
    (!known).then(|| of_safe_finding(safe, &SafeFinding::ObedientHandler { address, is }))?
}

pub(in crate::upgrade) fn of_safe_finding(safe: &SafeInfo, finding: &SafeFinding) -> Option<Finding> {
    let text = format!("Safe {}: {finding}", safe.address);
    let code = crate::upgrade::model::remarks::safe_code(finding);
    match finding {
        SafeFinding::OldVersion { .. } | SafeFinding::UnknownVersion { .. } => {
            Some(Finding::decision(code, None, text))
        }
        SafeFinding::UnknownSingleton { code_hash, .. }
        | SafeFinding::UnknownProxy { code_hash }
        | SafeFinding::OwnerUnknown { code_hash, .. } => {
            Some(Finding::decision(code, Some(code_hash.to_string()), text))
        }
        SafeFinding::ObedientHandler { .. } | SafeFinding::OwnerTakesAnything { .. } => Some(wrong(
            safe,
            code,
            finding,
            "a Safe for which nobody acts but its owners and modules",
        )),
        SafeFinding::OtherVersion { .. } | SafeFinding::NotASingleton { .. } | SafeFinding::ImpossibleOwners { .. } => {
            Some(wrong(safe, code, finding, "a Safe as the Safe team deploys it"))
        }
        _ => Some(Finding::note(code, text)),
    }
}

fn wrong(safe: &SafeInfo, code: Code, finding: &SafeFinding, expected: &str) -> Finding {
    Finding::stop(Stop {
        code,
        what: format!("Safe {}", safe.address),
        expected: expected.to_owned(),
        found: finding.to_string(),
        details: Vec::new(),
        origin: None,
    })
}
