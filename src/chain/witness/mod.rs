//! What anybody can check later by a block's hash alone: the header, a transaction and its receipt, and contracts with
//! named slots, taken while endpoints still have the state.
//!
//! Taking it asks endpoints ([`Chain::witness`](super::Chain::witness)). Checking it is pure: whoever knows the block's hash
//! needs nobody's word ([`BlockWitness::check`]). Nothing in it is believed: values are read out of the tries whose roots
//! the header names, and there is no second place where they stand.
//!
//! ```
//! use alloy::primitives::B256;
//! use countersign::chain::witness::{BlockWitness, Fault};
//!
//! let taken: BlockWitness = serde_json::from_str(r#"{"header": "0xc0", "nodes": []}"#)?;
//! assert!(matches!(taken.check(B256::ZERO), Err(Fault::OtherBlock { .. })));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod check;
mod layout;
mod take;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use alloy::primitives::{Address, B256, Bytes, Log, U256};
use serde::{Deserialize, Serialize};

use super::BlockRef;

pub use layout::{app_slots, kms_slots};
pub use take::LastTaken;

/// Contracts of one block, and slots of all of them together: several times what an app, its owners and its KMS have. The
/// answers of endpoints stay far below what an answer may be long, and a file from a stranger has no more ways to walk.
const MOST_CONTRACTS: usize = 32;
const MOST_SLOTS: usize = 256;
/// Nodes of one block: a way has at most 64, and there are few ways.
const MOST_NODES: usize = 16_384;

/// What was taken right after a [`Proof`](super::Proof) was made, and what is missing of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Hash of the chain's first block, as the endpoints had it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<B256>,
    /// The proof's block (`Proof::block`). `None`: no endpoint gave its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<BlockWitness>,
    /// The head that the proof names (`Proof::head`), with the contracts alone: only where that is another block, and no
    /// endpoint has the state of the first one any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<BlockWitness>,
    /// What no endpoint showed, and why. Written by whoever took it: nothing proves it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Lack>,
}

/// A block's header, and nodes of the four kinds of tries whose roots follow from it: transactions, receipts, accounts, and
/// each contract's storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockWitness {
    /// RLP of the header; its keccak256 is the block's hash (Yellow Paper, 4.4).
    pub header: Bytes,
    /// Index in the block of the transaction that the nodes show (key `rlp(index)` of the trie of `transactionsRoot`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<u64>,
    /// Index in the block of the receipt that the nodes show (key `rlp(index)` of the trie of `receiptsRoot`). It is of the
    /// transaction at the same index, and of no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<u64>,
    /// Contracts that the nodes show, with these of their slots (EIP-1186).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contracts: Vec<ContractSlots>,
    /// RLP of the nodes on the ways there, each once, in any order.
    pub nodes: Vec<Bytes>,
}

/// A contract, and slots of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractSlots {
    /// Contract.
    pub contract: Address,
    /// Its slots.
    pub slots: Vec<B256>,
}

/// The contracts with their slots, each once.
fn merged(all: &[ContractSlots]) -> BTreeMap<Address, BTreeSet<B256>> {
    let mut merged: BTreeMap<Address, BTreeSet<B256>> = BTreeMap::new();
    for one in all {
        merged.entry(one.contract).or_default().extend(&one.slots);
    }
    merged
}

/// A part of a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The header, and with it everything.
    Header,
    /// The transaction.
    Transaction,
    /// Its receipt.
    Receipt,
    /// A contract, at the proof's block and at the head that it names.
    Contract(Address),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("the block's header"),
            Self::Transaction => f.write_str("the transaction"),
            Self::Receipt => f.write_str("the receipt"),
            Self::Contract(contract) => write!(f, "the contract {contract}"),
        }
    }
}

/// A part that no endpoint showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lack {
    /// The part.
    pub part: Part,
    /// Why, for people; words of endpoints in it are escaped and cut.
    pub why: String,
}

/// What a witness shows of a block to whoever knows the block's hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The block: number and time are the header's.
    pub block: BlockRef,
    /// The transaction, where the witness names one.
    pub transaction: Option<Result<ShownTransaction, Fault>>,
    /// The receipt, where the witness names one.
    pub receipt: Option<Result<ShownReceipt, Fault>>,
    /// The contracts that the witness names.
    pub contracts: BTreeMap<Address, Result<ShownContract, Fault>>,
    /// Nodes that are on no way to any of it. None in what [`Chain::witness`](super::Chain::witness) took; what was changed
    /// somewhere has some, beside the fault.
    pub unused: usize,
}

/// A transaction of the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTransaction {
    /// Index in the block.
    pub index: u64,
    /// Hash: keccak256 of its EIP-2718 bytes.
    pub hash: B256,
    /// Sender: recovered from the signature; in deposits of OP Stack chains, which have none, it stands in the transaction.
    pub sender: Address,
    /// Whether it has a signature; deposits have none.
    pub is_signed: bool,
    /// The chain that its signature is for; `None`: for any (before EIP-155), or it has no signature.
    pub chain_id: Option<u64>,
    /// Accounts that it gives other code to (EIP-7702), so many.
    pub delegations: usize,
    /// Whom it calls; `None`: it creates a contract.
    pub to: Option<Address>,
    /// wei that it sends.
    pub value: U256,
    /// Calldata.
    pub input: Bytes,
}

/// A receipt of the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownReceipt {
    /// Index in the block of its transaction.
    pub index: u64,
    /// Whether the transaction did what it was to do.
    pub succeeded: bool,
    /// Its logs, in their order. Their indices *in the block* count the logs of all receipts before, which are not here: only
    /// the place within the transaction is shown.
    pub logs: Vec<Log>,
}

/// A contract after the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownContract {
    /// keccak256 of its code; `None`: the state has no such account.
    pub code_hash: Option<B256>,
    /// The slots that the witness names; zero where the storage holds nothing.
    pub slots: BTreeMap<B256, Result<U256, Fault>>,
}

/// What is wrong with a witness: which part contradicts what is above it, or is not led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The header is not the block's.
    #[error("the header is the one of block {found}, not of {expected}")]
    OtherBlock {
        /// The hash that was expected.
        expected: B256,
        /// keccak256 of the header.
        found: B256,
    },
    /// The header is the block's, and of a form that is not known here.
    #[error("the header is of a form that is not known")]
    Header,
    /// No nodes lead from the header's root to it.
    #[error("{0} does not follow from the block's {root}", root = root(.0))]
    NotLedTo(Part),
    /// The block has nothing at that index.
    #[error("the block does not hold {0}")]
    NotThere(Part),
    /// It follows from the root, and is of a form that is not known here.
    #[error("{0} is of a form that is not known")]
    Unreadable(Part),
    /// No nodes lead from the contract's storage root to the slot.
    #[error("slot {0} does not follow from the contract's storage root")]
    Slot(B256),
    /// The receipt is at another index than the transaction.
    #[error("the receipt is the one of another transaction")]
    Apart,
    /// More contracts, slots or nodes than anybody asks for.
    #[error("it names more contracts, slots or nodes than are looked at")]
    TooMany,
}

const fn root(part: &Part) -> &'static str {
    match part {
        Part::Header => "hash",
        Part::Transaction => "transactions root",
        Part::Receipt => "receipts root",
        Part::Contract(_) => "state root",
    }
}
