//! Where a Safe transaction stands: decided from what was observed, without asking anybody ([`status`]), and the
//! observing itself ([`observe`]).

use std::ops::Range;

use alloy::primitives::{Address, U256};

use super::approvals::{SignatureSet, Standing};
use super::executed::{Execution, executions};
use super::read::{Look, LookError, look};
use super::tx::SafeTx;
use crate::chain::{AppChanges, Chain, ChainError};

/// Most nonces that are listed: a transaction far behind the queue is somebody's mistake, not a queue.
const LISTED: u64 = 64;

/// Where a Safe transaction stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SafeStatus {
    /// Other nonces come first.
    Queued {
        /// The nonces, from the Safe's next one on; the first 64 when there are more.
        ahead: Vec<U256>,
    },
    /// It is next, and too few signatures count.
    AwaitingSignatures(Standing),
    /// It is next, and enough signatures count: anybody may execute it.
    Ready(Standing),
    /// Executed, and the call inside did not fail. What came of it is for [`Chain::prove`] to say.
    Executed(Execution),
    /// Executed, the call inside failed, and the nonce is used up.
    FailedInside(Execution),
    /// The transaction that does nothing was executed at its nonce, to stop it.
    Rejected {
        /// That one.
        by: Execution,
    },
    /// Another transaction was executed at its nonce.
    Replaced {
        /// That one; `None` when the Safe's events do not fit its nonce, and so do not say which.
        by: Option<Execution>,
    },
    /// What it is for is the case already, though not by it.
    EffectPresent,
    /// Its nonce is used up, and the events that were found do not reach back to that.
    Unknown,
}

/// What was observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The Safe and its owners' agreement.
    pub look: Look,
    /// What the Safe executed, oldest first and without gap, up to the block of the look or a later one; not needed
    /// while the nonce is not used up.
    pub executions: Vec<Execution>,
    /// Whether what the transaction is for is the case.
    pub effect_present: bool,
}

/// What to observe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Who would send it, if that is known.
    pub executor: Option<Address>,
    /// Executions are looked for from this block on: one in which the transaction's nonce was not used up.
    pub from_block: u64,
    /// What the transaction is to change of an app's policy, if it is one of those.
    pub effect: Option<AppChanges>,
}

/// Where `tx` stands. Its own execution outranks everything, then the effect; a rejection is known by its hash, and
/// whoever else took the nonce by counting the executions back from the Safe's next nonce. Pure.
pub fn status(tx: &SafeTx, set: &SignatureSet, observed: &Observed) -> SafeStatus {
    let Observed { look, executions, .. } = observed;
    let (nonce, next) = (tx.fields().nonce, look.info.nonce);
    let own = executions.iter().rfind(|execution| execution.safe_tx_hash == tx.hash());
    match own {
        Some(own) if !own.failed => return SafeStatus::Executed(*own),
        _ if observed.effect_present => return SafeStatus::EffectPresent,
        Some(own) => return SafeStatus::FailedInside(*own),
        None => {}
    }
    if nonce > next {
        return SafeStatus::Queued {
            ahead: ahead(next..nonce),
        };
    }
    if nonce == next {
        let standing = set.standing(&look.facts);
        return if is_enough(&standing) {
            SafeStatus::Ready(standing)
        } else {
            SafeStatus::AwaitingSignatures(standing)
        };
    }
    let rejection = SafeTx::rejection(*tx.domain(), nonce, true).ok();
    let rejection = rejection.and_then(|rejection| {
        let by_hash = |execution: &&Execution| execution.safe_tx_hash == rejection.hash();
        executions.iter().rfind(by_hash)
    });
    match rejection {
        Some(by) => SafeStatus::Rejected { by: *by },
        None => taken(nonce, look, executions),
    }
}

/// Who took a nonce that is used up, when neither the transaction nor its rejection did.
fn taken(nonce: U256, look: &Look, executions: &[Execution]) -> SafeStatus {
    let next = look.info.nonce;
    let until = look.info.block.number;
    let seen: Vec<&Execution> = executions
        .iter()
        .filter(|execution| execution.block.number <= until)
        .collect();
    // Each nonce makes one event, so there cannot be more events than nonces.
    if U256::from(seen.len()) > next {
        return SafeStatus::Replaced { by: None };
    }
    let back = usize::try_from(next.saturating_sub(nonce)).ok();
    let index = back.and_then(|back| seen.len().checked_sub(back));
    match index.and_then(|index| seen.get(index)) {
        Some(by) => SafeStatus::Replaced { by: Some(**by) },
        None => SafeStatus::Unknown,
    }
}

fn is_enough(standing: &Standing) -> bool {
    let counted = u64::try_from(standing.counted.len()).unwrap_or(u64::MAX);
    standing.threshold > 0 && counted >= standing.threshold
}

fn ahead(nonces: Range<U256>) -> Vec<U256> {
    let mut listed = Vec::new();
    let mut nonce = nonces.start;
    for _ in 0..LISTED {
        if nonce >= nonces.end {
            break;
        }
        listed.push(nonce);
        nonce = nonce.saturating_add(U256::ONE);
    }
    listed
}

/// Looks at the Safe, at its events when the nonce is used up, and at the effect; then says where `tx` stands. Four
/// round trips, and those of [`executions`].
///
/// An endpoint that offers no logs that far back leaves a used nonce [`SafeStatus::Unknown`].
///
/// # Errors
/// See [`LookError`].
pub async fn observe(
    chain: &Chain,
    tx: &SafeTx,
    set: &SignatureSet,
    watched: &Watched,
) -> Result<(SafeStatus, Observed), LookError> {
    let look = look(chain, tx, set, watched.executor).await?;
    let effect_present = match &watched.effect {
        Some(changes) => chain.holds(changes, &look.info.block).await?,
        None => false,
    };
    let executions = if tx.fields().nonce < look.info.nonce {
        match executions(chain, tx.domain().safe, watched.from_block).await {
            Ok(found) => found,
            Err(error @ ChainError::Unavailable { .. }) => {
                tracing::warn!(%error, "the Safe's events were not found");
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        }
    } else {
        Vec::new()
    };
    let observed = Observed {
        look,
        executions,
        effect_present,
    };
    Ok((status(tx, set, &observed), observed))
}

impl SafeStatus {
    /// A stable name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::AwaitingSignatures(_) => "awaiting-signatures",
            Self::Ready(_) => "ready",
            Self::Executed(_) => "executed",
            Self::FailedInside(_) => "failed-inside",
            Self::Rejected { .. } => "rejected",
            Self::Replaced { .. } => "replaced",
            Self::EffectPresent => "effect-present",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
