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
