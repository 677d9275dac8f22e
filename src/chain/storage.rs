//! A contract's storage as a whole: what an endpoint's proof (EIP-1186) says of named slots, and whether anything is
//! outside of them. Pure.
//!
//! A proof alone shows what is in a slot. That there is nothing else follows from the root: it is computed again from the
//! named slots, and equals the contract's own only if those are all (a Merkle Patricia trie, Yellow Paper, appendix D).

use std::collections::{BTreeMap, BTreeSet};

use alloy::consensus::Header;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::rpc::types::EIP1186AccountProofResponse as AccountProof;
use alloy_trie::root::storage_root_unhashed;
use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};

use super::BlockRef;
use super::trie::Nodes;

/// What a slot holds, as the trie has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    /// The trie has no such slot.
    Absent,
    /// This. Zero is never here on a real chain; development nodes leave it in the trie.
    Holds(U256),
}

/// Slots of a contract that a proof showed, and the root of all its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proven {
    root: B256,
    leaves: BTreeMap<B256, Leaf>,
}

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotProven {
    /// It is about another account.
    #[error("it is about another account")]
    OtherAccount,
    /// The account is not what the state root says.
    #[error("the account is not the one of the block's state root")]
    Account,
    /// A slot that was asked for is missing, or its value is not what the storage root says.
    #[error("slot {0} is not the one of the account's storage root")]
    Slot(B256),
}

impl Proven {
    /// What `proof` shows of `slots` of `contract`, by the state root of a block.
    pub(super) fn new(
        state_root: B256,
        contract: Address,
        proof: &AccountProof,
        slots: &[B256],
    ) -> Result<Self, NotProven> {
        if proof.address != contract {
            return Err(NotProven::OtherAccount);
        }
        let account = TrieAccount::new(proof.nonce, proof.balance, proof.storage_hash, proof.code_hash);
        let is_nothing = proof.storage_hash == EMPTY_ROOT_HASH && proof.code_hash == KECCAK_EMPTY;
        let mut nodes = Nodes::new(&proof.account_proof);
        match nodes.get(state_root, keccak256(contract).as_slice()) {
            Ok(Some(held)) if held == alloy::rlp::encode(account) => {}
            Ok(None) if is_nothing => {}
            Ok(_) | Err(_) => return Err(NotProven::Account),
        }
        let mut proven = Self {
            root: proof.storage_hash,
            leaves: BTreeMap::new(),
        };
        for slot in slots {
            let leaf = leaf(proof, *slot).ok_or(NotProven::Slot(*slot))?;
            proven.leaves.insert(*slot, leaf);
        }
        Ok(proven)
    }

    /// Adds the slots of another proof at the same block; `None` where the two have different storage roots.
    pub(super) fn join(mut self, other: Self) -> Option<Self> {
        self.leaves.extend(other.leaves);
        (self.root == other.root).then_some(self)
    }

    /// Whether the contract's storage holds nothing outside of the slots that were named, of which those in `only` count as
    /// zero or as the value that stands there.
    pub(super) fn is_closed(&self, only: &BTreeMap<B256, U256>) -> bool {
        let counts = |slot: &B256, value: &U256| value.is_zero() || only.get(slot).is_none_or(|only| only == value);
        let held = self.leaves.iter().filter_map(|(slot, leaf)| match leaf {
            Leaf::Holds(value) if counts(slot, value) => Some((*slot, *value)),
            Leaf::Absent | Leaf::Holds(_) => None,
        });
        storage_root_unhashed(held) == self.root
    }

    /// The slots that hold something.
    pub(super) fn held(&self) -> BTreeSet<B256> {
        let holds = |leaf: &Leaf| matches!(leaf, Leaf::Holds(value) if !value.is_zero());
        let held = self.leaves.iter().filter(|(_, leaf)| holds(leaf));
        held.map(|(slot, _)| *slot).collect()
    }

    /// How many slots were named.
    pub(super) fn named(&self) -> usize {
        self.leaves.len()
    }
}

/// What the proof says of one slot, if that fits its storage root.
fn leaf(proof: &AccountProof, slot: B256) -> Option<Leaf> {
    let mut all = proof.storage_proof.iter();
    let one = all.find(|one| one.key.as_b256() == slot)?;
    let mut nodes = Nodes::new(&one.proof);
    match nodes.get(proof.storage_hash, keccak256(slot).as_slice()).ok()? {
        None => one.value.is_zero().then_some(Leaf::Absent),
        Some(held) => (held == alloy::rlp::encode(one.value)).then_some(Leaf::Holds(one.value)),
    }
}

/// The state root of a block, from its header: `Ok` where the header hashes to the block's own hash, so that whoever
/// vouches for the hash vouches for the root; `Err` where only the endpoint's word stands for it.
pub(super) fn state_root(header: &Header, block: &BlockRef) -> Result<B256, B256> {
    match header.hash_slow() == block.hash {
        true => Ok(header.state_root),
        false => Err(header.state_root),
    }
}

/// The slot of `mapping[key]`, for a mapping in storage at `at` (Solidity, "Layout of State Variables in Storage").
pub(crate) fn mapping_slot(key: B256, at: B256) -> B256 {
    keccak256([key, at].concat())
}

/// The slot with this number.
pub(crate) fn numbered(slot: u8) -> B256 {
    B256::with_last_byte(slot)
}

#[cfg(test)]
mod tests {
    use alloy::rpc::types::EIP1186StorageProof as StorageProof;

    use super::super::trie::tests::{made, whole_extension};
    use super::*;

    const CONTRACT: Address = Address::repeat_byte(0x5a);

    /// A proof of `asked` over a storage that holds `held`, and the state root that it fits.
    fn proof(held: &[(B256, u64)], asked: &[B256]) -> (B256, AccountProof) {
        let leaves = held
            .iter()
            .map(|(slot, value)| (keccak256(slot), alloy::rlp::encode(U256::from(*value))));
        let hashed: Vec<B256> = asked.iter().map(keccak256).collect();
        let (storage_hash, proofs) = made(&leaves.collect(), &hashed);
        let value = |slot: &B256| {
            held.iter()
                .find(|(held, _)| held == slot)
                .map_or(0, |(_, value)| *value)
        };
        let storage_proof = asked.iter().zip(proofs).map(|(slot, proof)| StorageProof {
            key: (*slot).into(),
            value: U256::from(value(slot)),
            proof,
        });
        let account = TrieAccount::new(1, U256::from(7), storage_hash, B256::repeat_byte(0xc0));
        let key = keccak256(CONTRACT);
        let neighbour = (B256::repeat_byte(0x11), alloy::rlp::encode(TrieAccount::default()));
        let accounts = [(key, alloy::rlp::encode(account)), neighbour];
        let (state_root, mut account_proof) = made(&accounts.into(), &[key]);
        let proof = AccountProof {
            address: CONTRACT,
            balance: account.balance,
            code_hash: account.code_hash,
            nonce: account.nonce,
            storage_hash,
            account_proof: account_proof.remove(0),
            storage_proof: storage_proof.collect(),
        };
        (state_root, proof)
    }

    fn slots(numbers: &[u8]) -> Vec<B256> {
        numbers.iter().copied().map(numbered).collect()
    }

    fn held(numbers: &[u8]) -> Vec<(B256, u64)> {
        slots(numbers).into_iter().map(|slot| (slot, u64::MAX - 5)).collect()
    }

    #[test]
    fn a_storage_is_closed_exactly_when_every_slot_that_holds_something_is_named() {
        for (there, named, closed) in [
            (&[][..], &[][..], true),
            (&[], &[1, 2], true),
            (&[1], &[1], true),
            (&[1, 2, 3], &[3, 2, 1, 9], true),
            (&[1, 2, 3], &[1, 2], false),
            (&[1], &[], false),
            (&[1, 200], &[1, 201], false),
        ] {
            let (root, proof) = proof(&held(there), &slots(named));
            let proven = Proven::new(root, CONTRACT, &proof, &slots(named)).unwrap();
            assert_eq!(proven.is_closed(&BTreeMap::new()), closed, "{there:?} {named:?}");
        }
    }

    #[test]
    fn zero_that_a_development_node_keeps_hides_nothing() {
        let mut kept = held(&[1, 2]);
        kept.push((numbered(3), 0));
        for (named, closed) in [(&[1, 2, 3][..], true), (&[1, 2], false), (&[1, 3], false)] {
            let (root, proof) = proof(&kept, &slots(named));
            let proven = Proven::new(root, CONTRACT, &proof, &slots(named)).unwrap();
            assert_eq!(proven.is_closed(&BTreeMap::new()), closed, "{named:?}");
            // What has to be empty, or something else, and is not, stays outside.
            let only = |slot: u8, value: u64| BTreeMap::from([(numbered(slot), U256::from(value))]);
            assert_eq!(proven.is_closed(&only(3, 0)), closed, "{named:?}");
            assert_eq!(proven.is_closed(&only(2, u64::MAX - 5)), closed, "{named:?}");
            for value in [0, 1] {
                assert!(!proven.is_closed(&only(2, value)), "{named:?}");
            }
        }
    }

    #[test]
    fn slots_that_were_proved_one_after_the_other_count_together() {
        let all = held(&[1, 2]);
        let part = |named: &[u8]| {
            let (root, proof) = proof(&all, &slots(named));
            Proven::new(root, CONTRACT, &proof, &slots(named)).unwrap()
        };
        assert!(!part(&[1]).is_closed(&BTreeMap::new()));
        assert!(part(&[1]).join(part(&[2])).unwrap().is_closed(&BTreeMap::new()));
        let (root, other) = proof(&held(&[1]), &slots(&[1]));
        let other = Proven::new(root, CONTRACT, &other, &slots(&[1])).unwrap();
        assert_eq!(part(&[1]).join(other), None);
    }

    #[test]
    fn a_proof_whose_path_is_longer_than_a_key_can_be_shows_nothing() {
        let key = keccak256(CONTRACT);
        let (_, mut proof) = proof(&held(&[1]), &slots(&[1]));
        let second = whole_extension(key, &proof.account_proof[0]);
        let first = whole_extension(key, &second);
        let root = keccak256(&first);
        proof.account_proof = vec![first, second];
        let shown = Proven::new(root, CONTRACT, &proof, &slots(&[1]));
        assert_eq!(shown, Err(NotProven::Account));
    }

    #[test]
    fn a_proof_that_was_changed_anywhere_shows_nothing() {
        let named = slots(&[1, 2, 9]);
        let (root, honest) = proof(&held(&[1, 2]), &named);
        type Edit = fn(&mut AccountProof);
        let edits: [(Edit, NotProven); 8] = [
            (|proof| proof.address = Address::ZERO, NotProven::OtherAccount),
            (|proof| proof.storage_hash = EMPTY_ROOT_HASH, NotProven::Account),
            (|proof| proof.nonce += 1, NotProven::Account),
            (|proof| proof.account_proof.clear(), NotProven::Account),
            (
                |proof| proof.storage_proof[0].value = U256::from(1),
                NotProven::Slot(numbered(1)),
            ),
            (
                |proof| proof.storage_proof[1].value = U256::ZERO,
                NotProven::Slot(numbered(2)),
            ),
            (
                |proof| proof.storage_proof[2].value = U256::from(1),
                NotProven::Slot(numbered(9)),
            ),
            (|proof| proof.storage_proof.truncate(2), NotProven::Slot(numbered(9))),
        ];
        for (index, (edit, expected)) in edits.into_iter().enumerate() {
            let mut changed = honest.clone();
            edit(&mut changed);
            assert_eq!(Proven::new(root, CONTRACT, &changed, &named), Err(expected), "{index}");
        }
        let other = Proven::new(B256::repeat_byte(1), CONTRACT, &honest, &named);
        assert_eq!(other, Err(NotProven::Account));
    }

    #[test]
    fn a_state_root_is_the_blocks_only_where_the_header_hashes_to_it() {
        let header = Header {
            state_root: B256::repeat_byte(7),
            ..Header::default()
        };
        let block = BlockRef {
            hash: header.hash_slow(),
            ..BlockRef::default()
        };
        assert_eq!(state_root(&header, &block), Ok(header.state_root));
        assert_eq!(state_root(&header, &BlockRef::default()), Err(header.state_root));
    }
}
