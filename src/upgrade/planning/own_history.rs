//! What this machine's own upgrades proved of an app's hashes: where a receipt is found, and which hash was taken away. Reads
//! directories only; it costs no request, and is never more than a hint where the chain has to say it as well.

use alloy::primitives::{Address, B256};

use crate::chain::{PolicyChange, Proof};
use crate::upgrade::{World, model::Plan, model::baseline::Past, planning::neighbours::Neighbours};

/// Receipts that are asked for because own upgrades name them.
const HINTS: usize = 3;

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

impl OwnHistory {
    /// Reads it from the upgrades that this machine keeps.
    pub(in crate::upgrade) fn of(world: &World<'_>, plan: &Plan) -> Self {
        let neighbours = Neighbours::below(world.root);
        let proofs = neighbours
            .states()
            .flat_map(|(_, state)| state.proof().into_iter().chain(state.batch.proofs.values()));
        Self::from_proofs(proofs, plan.chain_id, plan.app)
    }

    fn from_proofs<'p>(proofs: impl Iterator<Item = &'p Proof>, chain_id: u64, app: Address) -> Self {
        let ours = proofs.filter(|proof| (proof.chain_id, proof.app) == (chain_id, app));
        let mut changes: Vec<Change> = ours
            .filter_map(|proof| Some((proof, proof.transaction?)))
            .flat_map(|(proof, transaction)| {
                let of_hashes = proof.changes.iter().filter_map(|proved| of_a_hash(proved.change));
                of_hashes.map(move |(hash, allowed)| Change {
                    block: proof.block.number,
                    transaction,
                    hash,
                    allowed,
                })
            })
            .collect();
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
        let of = |chain, app| OwnHistory::from_proofs(std::iter::once(&proof), chain, app).0.len();
        assert!(of(chain, app) > 0);
        assert_eq!(of(chain + 1, app) + of(chain, Address::ZERO), 0);
    }
}
