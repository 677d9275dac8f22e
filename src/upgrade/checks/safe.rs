//! Whether a Safe is still what was pinned, and its transaction the one that is agreed to.

use alloy::primitives::U256;

use crate::chain::Chain;
use crate::code::Code;
use crate::safe::{
    Look,
    info::{Change, SafeInfo},
    look,
};
use crate::upgrade::{
    Limits, UpgradeError, checks::verdict::same_hash, finding::Verdict, model::Plan, model::safe_approval::SignedSafeTx,
};

/// Whether somebody agreed to a doubt about a nonce of the Safe.
pub(in crate::upgrade) fn agreed(limits: &Limits, code: Code, nonce: U256) -> bool {
    limits.accepted.covers(code, Some(&nonce.to_string()))
}

/// Checks, before anything is signed or executed, everything that a chain says of the Safe and the transaction. `true`: the
/// Safe changed in a way that was accepted.
///
/// # Errors
/// Something is not what the plan read, or not what the transaction needs.
pub(in crate::upgrade) fn check_signed_tx(
    limits: &Limits,
    plan: &Plan,
    signed_tx: &SignedSafeTx,
    look: &Look,
) -> Result<bool, UpgradeError> {
    let Some(pinned) = &plan.safe else {
        return Err(UpgradeError::stop(
            Code::SafeChanged,
            "owner of the app",
            "a Safe",
            "no Safe",
        ));
    };
    let asks_nothing = plan.code.is_none() && plan.policy.is_empty();
    let changed = match asks_nothing {
        true => {
            judge(limits, &look.info, &look.info)?;
            !look.info.changes_since(pinned).is_empty()
        }
        false => judge(limits, pinned, &look.info)?,
    };
    same_hash(look, signed_tx)?;
    Ok(changed)
}

/// Checks what a chain says of a nested Safe, which owns the Safe, and of its transaction; gives the nested Safe as it
/// is now. Reads the chain.
///
/// # Errors
/// The nested Safe is not what the plan read, or not what its transaction needs.
pub(in crate::upgrade) async fn check_child(
    chain: &Chain,
    limits: &Limits,
    pinned: &SafeInfo,
    signed_tx: &SignedSafeTx,
) -> Result<SafeInfo, UpgradeError> {
    let found = look(chain, &signed_tx.tx, &signed_tx.signatures, None).await?;
    judge(limits, pinned, &found.info)?;
    if found.hash_on_chain != Some(signed_tx.tx.hash()) {
        return Err(UpgradeError::stop(
            Code::SafeTxHash,
            "hash of the nested Safe's transaction",
            signed_tx.tx.hash(),
            found
                .hash_on_chain
                .map_or_else(|| "no answer of the Safe".to_owned(), |hash| hash.to_string()),
        ));
    }
    Ok(found.info)
}

/// Whether the Safe may be signed for: its code is known, and it is what was read before. `true`: it changed, and that
/// was accepted.
///
/// # Errors
/// Unknown code, or a change that nobody accepted.
pub(in crate::upgrade) fn judge(limits: &Limits, pinned: &SafeInfo, now: &SafeInfo) -> Result<bool, UpgradeError> {
    let changes = same_code(limits, pinned, now)?;
    match safe_verdict(limits, pinned, now).forbidding() {
        Some(finding) => Err(finding.error()),
        None => Ok(!changes.is_empty()),
    }
}

fn safe_verdict(limits: &Limits, pinned: &SafeInfo, now: &SafeInfo) -> Verdict {
    let findings = crate::upgrade::checks::verdict::of_safe(pinned, now, &limits.trust);
    Verdict::new(findings, Vec::new(), &limits.accepted)
}

/// Changes in words.
pub(in crate::upgrade) fn in_words(changes: &[Change]) -> String {
    let told: Vec<String> = changes.iter().map(ToString::to_string).collect();
    told.join("; ")
}

/// What is asked of the Safe even by those who only wait for what it does: its code is known and the one that was read
/// before, or nothing that it answers counts. Gives what else changed.
///
/// # Errors
/// Unknown or other code.
pub(in crate::upgrade) fn same_code(
    limits: &Limits,
    pinned: &SafeInfo,
    now: &SafeInfo,
) -> Result<Vec<Change>, UpgradeError> {
    let verdict = safe_verdict(limits, pinned, now);
    let of_people = [Code::SafeOwnersChanged, Code::SafeHelpersChanged];
    let mut forbidding = verdict.findings.iter().filter(|finding| finding.forbids());
    match forbidding.find(|finding| !of_people.contains(&finding.code)) {
        Some(finding) => Err(finding.error()),
        None => Ok(now.changes_since(pinned)),
    }
}
