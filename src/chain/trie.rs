//! Merkle Patricia tries (Yellow Paper, appendix D): what a trie holds at a key, by those of its nodes that lead there.
//! Pure.
//!
//! Nodes come from strangers. `alloy_trie::proof::verify_proof` aborts where the paths of nodes that follow each other are
//! longer than a key can be, so the way is walked here; whatever stands in them, a step takes bounded time, and there are
//! no more steps than the key has nibbles.

use std::collections::BTreeMap;

use alloy::primitives::{B256, Bytes, keccak256};
use alloy::rlp::{EMPTY_STRING_CODE, Header};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::root::adjust_index_for_rlp;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};

/// Items of a branch: a child for each nibble, and a value.
const BRANCH: usize = 17;

/// Nodes by their hashes, and which of them a way led over.
#[derive(Debug, Default)]
pub(super) struct Nodes<'a>(BTreeMap<B256, Node<'a>>);

#[derive(Debug)]
struct Node<'a> {
    bytes: &'a Bytes,
    walked: bool,
}

/// Why nodes do not tell what a trie holds at a key: one is missing, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its nodes do not lead from the root to the key")]
pub(super) struct NoWay;

/// What stands in the place of a node inside another one.
enum Reference<'a> {
    Nothing,
    Hash(B256),
    /// Nodes shorter than a hash stand in place of it.
    Inside(&'a [u8]),
}

impl<'a> Nodes<'a> {
    pub(super) fn new(nodes: impl IntoIterator<Item = &'a Bytes>) -> Self {
        let each = nodes.into_iter().map(|bytes| (keccak256(bytes), bytes));
        Self(
            each.map(|(hash, bytes)| (hash, Node { bytes, walked: false }))
                .collect(),
        )
    }

    /// What the trie with this root holds at a key; `None`: nothing.
    pub(super) fn get(&mut self, root: B256, key: &[u8]) -> Result<Option<&'a [u8]>, NoWay> {
        if root == EMPTY_ROOT_HASH {
            return Ok(None);
        }
        let key: Vec<u8> = key.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).collect();
        let mut path = key.as_slice();
        let mut node = self.node(root)?;
        loop {
            let items = items(node).ok_or(NoWay)?;
            let child = match (items.as_slice(), path) {
                ([.., value], []) if items.len() == BRANCH => return text(value).map(not_empty),
                (_, [nibble, rest @ ..]) if items.len() == BRANCH => {
                    path = rest;
                    items.get(usize::from(*nibble)).ok_or(NoWay)?
                }
                ([partial, next], _) => {
                    let (partial, is_leaf) = partial_path(text(partial)?).ok_or(NoWay)?;
                    match path.strip_prefix(partial.as_slice()) {
                        Some([]) if is_leaf => return text(next).map(not_empty),
                        Some(rest) if !is_leaf && !partial.is_empty() => path = rest,
                        _ if is_leaf || !partial.is_empty() => return Ok(None),
                        _ => return Err(NoWay),
                    }
                    next
                }
                _ => return Err(NoWay),
            };
            node = match reference(child)? {
                Reference::Nothing => return Ok(None),
                Reference::Hash(hash) => self.node(hash)?,
                Reference::Inside(node) => node,
            };
        }
    }

    /// The nodes that a way led over.
    pub(super) fn walked(&self) -> impl Iterator<Item = &'a Bytes> {
        self.0.values().filter(|node| node.walked).map(|node| node.bytes)
    }

    fn node(&mut self, hash: B256) -> Result<&'a [u8], NoWay> {
        let node = self.0.get_mut(&hash).ok_or(NoWay)?;
        node.walked = true;
        Ok(node.bytes)
    }
}

fn not_empty(value: &[u8]) -> Option<&[u8]> {
    Some(value).filter(|value| !value.is_empty())
}

/// The items of a list, each with its header; `None` where it is no list, has something behind it, or more items than a
/// node can have.
fn items(node: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = node;
    let mut inside = Header::decode_bytes(&mut rest, true).ok()?;
    let mut items = Vec::with_capacity(BRANCH);
    while !inside.is_empty() {
        if items.len() == BRANCH {
            return None;
        }
        let mut after = inside;
        let header = Header::decode(&mut after).ok()?;
        let after = after.get(header.payload_length..)?;
        items.push(inside.get(..inside.len() - after.len())?);
        inside = after;
    }
    rest.is_empty().then_some(items)
}

/// The bytes of an item that is no list.
fn text(mut item: &[u8]) -> Result<&[u8], NoWay> {
    Header::decode_bytes(&mut item, false).map_err(|_not_a_string| NoWay)
}

fn reference(item: &[u8]) -> Result<Reference<'_>, NoWay> {
    if item == [EMPTY_STRING_CODE] {
        return Ok(Reference::Nothing);
    }
    match text(item) {
        Ok(hash) => B256::try_from(hash).map(Reference::Hash).map_err(|_length| NoWay),
        Err(NoWay) if item.len() < B256::len_bytes() => Ok(Reference::Inside(item)),
        Err(NoWay) => Err(NoWay),
    }
}

/// The nibbles of a leaf's or an extension's part of the path, and whether it is a leaf (hex prefix encoding, Yellow
/// Paper, appendix C).
fn partial_path(encoded: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (first, rest) = encoded.split_first()?;
    if rest.len() > B256::len_bytes() {
        return None;
    }
    let odd = match first >> 4 {
        0 | 2 => None,
        1 | 3 => Some(first & 0xf),
        _ => return None,
    };
    let rest = rest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    Some((odd.into_iter().chain(rest).collect(), first >> 5 == 1))
}

/// The key of an item in a block's tries of transactions and receipts.
pub(super) fn index_key(index: u64) -> Vec<u8> {
    alloy::rlp::encode(index)
}

/// The root of a block's list, and the nodes that lead to one of its items.
pub(super) fn ordered(items: &[Vec<u8>], index: usize) -> (B256, Vec<Bytes>) {
    let target = Nibbles::unpack(alloy::rlp::encode(index));
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    for place in 0..items.len() {
        let place = adjust_index_for_rlp(place, items.len());
        if let Some(item) = items.get(place) {
            builder.add_leaf(Nibbles::unpack(alloy::rlp::encode(place)), item);
        }
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes();
    (
        root,
        nodes.into_nodes_sorted().into_iter().map(|(_, node)| node).collect(),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use alloy_trie::root::ordered_trie_root_encoded;
    use proptest::prelude::*;

    use super::*;

    /// The root of a trie, and its nodes on the ways to `keys`, which need not be there, for each of them.
    pub(in crate::chain) fn made(leaves: &BTreeMap<B256, Vec<u8>>, keys: &[B256]) -> (B256, Vec<Vec<Bytes>>) {
        let targets: Vec<Nibbles> = keys.iter().map(Nibbles::unpack).collect();
        let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(targets.clone()));
        for (key, value) in leaves {
            builder.add_leaf(Nibbles::unpack(key), value);
        }
        let root = builder.root();
        let nodes = builder.take_proof_nodes();
        let proofs = targets.iter().map(|target| {
            let mut nodes: Vec<_> = nodes.matching_nodes_sorted(target);
            nodes.sort_by_key(|(path, _)| path.len());
            nodes.into_iter().map(|(_, node)| node).collect()
        });
        (root, proofs.collect())
    }

    /// A node of two items: a part of the path with its flag, and what is behind it.
    pub(in crate::chain) fn short_node(flagged: &[u8], next: &[u8]) -> Bytes {
        let mut node = Vec::new();
        alloy::rlp::encode_list::<_, dyn alloy::rlp::Encodable>(
            &[&flagged as &dyn alloy::rlp::Encodable, &next],
            &mut node,
        );
        node.into()
    }

    /// An extension by a whole key, to the node behind it.
    pub(in crate::chain) fn whole_extension(key: B256, next: &Bytes) -> Bytes {
        short_node(&[&[0], key.as_slice()].concat(), keccak256(next).as_slice())
    }

    #[test]
    fn every_item_of_a_list_is_led_to_and_nothing_behind_its_end() {
        // Short items stand inside their parents.
        for (count, length) in [
            (1, 40),
            (2, 1),
            (3, 1),
            (16, 3),
            (127, 2),
            (128, 33),
            (129, 1),
            (300, 40),
        ] {
            let items: Vec<Vec<u8>> = (0..count)
                .map(|index| vec![u8::try_from(index % 250 + 1).unwrap(); length])
                .collect();
            for index in [0, 1, count / 2, count - 1].into_iter().filter(|index| *index < count) {
                let (root, list) = ordered(&items, index);
                assert_eq!(root, ordered_trie_root_encoded(&items), "{count}");
                let mut nodes = Nodes::new(&list);
                let found = nodes.get(root, &index_key(index as u64));
                assert_eq!(found, Ok(Some(items[index].as_slice())), "{index} of {count}");
                let (root, list) = ordered(&items, count);
                let mut nodes = Nodes::new(&list);
                assert_eq!(nodes.get(root, &index_key(count as u64)), Ok(None), "{count}");
            }
        }
    }

    #[test]
    fn nodes_that_do_not_lead_to_the_key_tell_nothing() {
        let leaves: BTreeMap<B256, Vec<u8>> = (1..60).map(|byte| (keccak256([byte]), vec![byte; 40])).collect();
        let (key, absent) = (keccak256([7]), keccak256("absent"));
        let (root, proofs) = made(&leaves, &[key, absent]);
        assert_eq!(Nodes::new(&proofs[0]).get(root, key.as_slice()), Ok(Some(&[7; 40][..])));
        assert_eq!(Nodes::new(&proofs[1]).get(root, absent.as_slice()), Ok(None));
        for without in 0..proofs[0].len() {
            let mut fewer = proofs[0].clone();
            fewer.remove(without);
            assert_eq!(Nodes::new(&fewer).get(root, key.as_slice()), Err(NoWay), "{without}");
        }
        assert_eq!(Nodes::new(&[]).get(EMPTY_ROOT_HASH, key.as_slice()), Ok(None));
        assert_eq!(Nodes::new(&[]).get(root, key.as_slice()), Err(NoWay));
    }

    #[test]
    fn a_path_longer_than_a_key_and_one_that_goes_nowhere_tell_nothing() {
        let key = keccak256("key");
        let leaf = short_node(&[&[0x20], key.as_slice()].concat(), &[1; 40]);
        let second = whole_extension(key, &leaf);
        let first = whole_extension(key, &second);
        let nodes = [first.clone(), second, leaf.clone()];
        assert_eq!(Nodes::new(&nodes).get(keccak256(&first), key.as_slice()), Ok(None));
        // An extension by nothing would be a step that costs no nibble.
        let idle = short_node(&[0], keccak256(&leaf).as_slice());
        let nodes = [idle.clone(), leaf];
        assert_eq!(Nodes::new(&nodes).get(keccak256(&idle), key.as_slice()), Err(NoWay));
    }

    #[test]
    fn a_node_has_two_items_or_seventeen_and_nothing_behind_them() {
        let key = keccak256("key");
        let leaf = short_node(&[&[0x20], key.as_slice()].concat(), &[1; 40]);
        let longer: Bytes = [leaf.as_ref(), &[0]].concat().into();
        assert_eq!(
            Nodes::new([&longer]).get(keccak256(&longer), key.as_slice()),
            Err(NoWay)
        );
        for items in [0, 1, 3, 16, 18, 50_000] {
            let mut node = Vec::new();
            alloy::rlp::encode_list::<Bytes, Bytes>(&vec![Bytes::new(); items], &mut node);
            let node = Bytes::from(node);
            assert_eq!(
                Nodes::new([&node]).get(keccak256(&node), key.as_slice()),
                Err(NoWay),
                "{items}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_in_a_node_makes_the_walk_fail_otherwise_than_by_saying_so(
            flagged in proptest::collection::vec(any::<u8>(), 0..40),
            next in proptest::collection::vec(any::<u8>(), 0..40),
            raw in proptest::collection::vec(any::<u8>(), 0..80),
            key in any::<[u8; 32]>(),
        ) {
            let raw = Bytes::from(raw);
            let (inner, outer) = (short_node(&flagged, &next), whole_extension(key.into(), &raw));
            for root in [&raw, &inner, &outer] {
                let mut nodes = Nodes::new([&raw, &inner, &outer]);
                let found = nodes.get(keccak256(root), &key);
                prop_assert!(matches!(found, Ok(_) | Err(NoWay)));
            }
        }
    }
}
