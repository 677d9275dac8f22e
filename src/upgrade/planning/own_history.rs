//! What this machine's own upgrades proved of an app's hashes: where a receipt is found, and which hash was taken away. Reads
//! directories only; it costs no request, and is never more than a hint where the chain has to say it as well.

use std::path::Path;
use std::sync::OnceLock;

use alloy::primitives::{Address, B256};

use crate::chain::{PolicyChange, Proof};
use crate::upgrade::{model::Plan, model::baseline::Past, planning::neighbours::Neighbours};

/// Receipts that are asked for because own upgrades name them.
const HINTS: usize = 3;

/// What own upgrades proved, whatever the app; read when it is asked for, once in a run.
#[derive(Debug)]
pub(in crate::upgrade) struct OwnProofs<'r> {
    root: &'r Path,
    changes: OnceLock<Vec<OfApp>>,
}

/// Chain and app of a change, and the change.
type OfApp = (u64, Address, Change);

/// What own upgrades changed of the list of hashes of one app, oldest first.
#[derive(Debug, Default)]
pub(in crate::upgrade) struct OwnHistory(Vec<Change>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Change {
    block: u64,
    transaction: B256,
    hash: B256,
    allowed: bool,
}

impl<'r> OwnProofs<'r> {
    /// Those of the upgrades that this machine keeps below `root`.
    pub(in crate::upgrade) const fn below(root: &'r Path) -> Self {
        let changes = OnceLock::new();
        Self { root, changes }
    }

    /// What they say of the app of a plan.
    pub(in crate::upgrade) fn of(&self, plan: &Plan) -> OwnHistory {
        let changes = self.changes.get_or_init(|| {
            let neighbours = Neighbours::below(self.root);
            let states = neighbours.states().map(|(_, state)| state);
            let proofs = states.flat_map(|state| state.proof().into_iter().chain(state.batch.proofs.values()));
            proofs.flat_map(changes_of).collect()
        });
        OwnHistory::among(changes, plan.chain_id, plan.app)
    }
}

fn changes_of(proof: &Proof) -> impl Iterator<Item = OfApp> {
    let found = proof.transaction.into_iter().flat_map(move |transaction| {
        let of_hashes = proof.changes.iter().filter_map(|proved| of_a_hash(proved.change));
        of_hashes.map(move |(hash, allowed)| Change {
            block: proof.block.number,
            transaction,
            hash,
            allowed,
        })
    });
    found.map(|change| (proof.chain_id, proof.app, change))
}

impl OwnHistory {
    fn among(all: &[OfApp], chain_id: u64, app: Address) -> Self {
        let ours = all.iter().filter(|(chain, of, _)| (*chain, *of) == (chain_id, app));
        let mut changes: Vec<Change> = ours.map(|(.., change)| *change).collect();
        changes.sort_by_key(|change| change.block);
        Self(changes)
    }

    /// Transactions whose receipts tell of a hash, the newest first.
    pub(in crate::upgrade) fn hints(&self, hash: B256) -> impl Iterator<Item = B256> {
        let about = self.0.iter().rev().filter(move |change| change.hash == hash);
        about.map(|change| change.transaction).take(HINTS)
    }

    /// Whether the last that own upgrades did about a hash was to take it away.
    pub(in crate::upgrade) fn past(&self, hash: B256) -> Past {
        match self.0.iter().rev().find(|change| change.hash == hash) {
            Some(last) if !last.allowed => Past::TakenAway(last.transaction),
            _ => Past::NotKnown,
        }
    }
}

const fn of_a_hash(change: PolicyChange) -> Option<(B256, bool)> {
    match change {
        PolicyChange::AddComposeHash(hash) => Some((hash, true)),
        PolicyChange::RemoveComposeHash(hash) => Some((hash, false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::sample;

    const HASH: B256 = B256::repeat_byte(7);

    fn change(block: u64, allowed: bool) -> Change {
        Change {
            block,
            transaction: B256::with_last_byte(u8::try_from(block).unwrap()),
            hash: HASH,
            allowed,
        }
    }

    #[test]
    fn a_hash_counts_as_taken_away_only_if_nothing_own_allowed_it_again() {
        let away = OwnHistory(vec![change(1, true), change(2, false)]);
        assert_eq!(away.past(HASH), Past::TakenAway(B256::with_last_byte(2)));
        let back = OwnHistory(vec![change(1, true), change(2, false), change(3, true)]);
        assert_eq!(back.past(HASH), Past::NotKnown);
        assert_eq!(back.past(B256::ZERO), Past::NotKnown);
        let hints: Vec<B256> = back.hints(HASH).collect();
        assert_eq!(hints, [3, 2, 1].map(B256::with_last_byte));
    }

    #[test]
    fn another_apps_or_chains_proofs_say_nothing() {
        let proof = sample::proof(B256::repeat_byte(9));
        let (chain, app) = (proof.chain_id, proof.app);
        let changes: Vec<OfApp> = changes_of(&proof).collect();
        let of = |chain, app| OwnHistory::among(&changes, chain, app).0.len();
        assert!(of(chain, app) > 0);
        assert_eq!(of(chain + 1, app) + of(chain, Address::ZERO), 0);
    }
}
