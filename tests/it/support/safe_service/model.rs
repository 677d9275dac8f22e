//! What the service keeps, and how it can lie.

use std::collections::BTreeSet;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use serde_json::Value;

use crate::support::cloud::Request;

/// One proposed transaction.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// safeTxHash.
    pub hash: B256,
    /// The Safe.
    pub safe: Address,
    /// The ten fields.
    pub fields: Fields,
    /// What the proposer said about himself, as JSON.
    pub origin: Value,
    /// Whether somebody who counts signed it.
    pub trusted: bool,
    /// The owner.
    pub proposer: Address,
    /// The owner's delegate.
    pub by_delegate: Option<Address>,
    /// Signatures of owners.
    pub confirmations: Vec<Confirmation>,
    /// When.
    pub created: jiff::Timestamp,
}

/// The ten fields of a transaction.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    pub to: Address,
    pub value: U256,
    pub data: Bytes,
    pub operation: u8,
    pub safe_tx_gas: U256,
    pub base_gas: U256,
    pub gas_price: U256,
    pub gas_token: Address,
    pub refund_receiver: Address,
    pub nonce: U256,
}

/// One owner's signature, standing alone.
#[derive(Debug, Clone)]
pub struct Confirmation {
    /// Owner.
    pub owner: Address,
    /// Bytes.
    pub signature: Bytes,
    /// `EOA`, `ETH_SIGN`, `CONTRACT_SIGNATURE` or `APPROVED_HASH`.
    pub kind: &'static str,
}

/// Somebody who may propose in an owner's name.
#[derive(Debug, Clone)]
pub struct Delegate {
    pub safe: Option<Address>,
    pub delegate: Address,
    pub delegator: Address,
    pub label: String,
}

/// Where the service is not what it should be.
#[derive(Debug, Clone, Default)]
pub struct Lies {
    /// Another value in a field of every transaction.
    pub field: Option<(&'static str, Value)>,
    /// Further confirmations in every transaction.
    pub confirmations: Vec<Value>,
    /// Everything was executed, and successfully.
    pub executed: bool,
    /// The chain cannot be reached.
    pub outage: bool,
    /// What nobody has signed cannot be listed.
    pub unsigned_broken: bool,
    /// So many entries a page, whatever was asked for.
    pub page: Option<usize>,
    /// A page for people instead of every answer.
    pub html: bool,
    /// So much time before every answer.
    pub slow: Option<Duration>,
    /// So many requests are refused as too many.
    pub too_many: u32,
    /// How many seconds a refusal as too many asks to be left alone for.
    pub retry_after: Option<u64>,
    /// Reads are refused once something was written.
    pub silent_after_write: bool,
    /// Further delegates in every list of them.
    pub delegates: Vec<Value>,
    /// Without a key nothing is answered.
    pub key_needed: bool,
    /// Writes have their effect, and their answer is a broken gateway's.
    pub loses_answers: bool,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) safes: BTreeSet<Address>,
    pub(super) banned: BTreeSet<Address>,
    pub(super) proposals: Vec<Proposal>,
    pub(super) delegates: Vec<Delegate>,
    pub(super) lies: Lies,
    pub(super) requests: Vec<Request>,
}

impl State {
    pub(super) fn proposal(&self, hash: B256) -> Option<&Proposal> {
        self.proposals.iter().find(|proposal| proposal.hash == hash)
    }
    /// Those who may propose for a Safe with these owners.
    pub(super) fn delegates_of(&self, safe: Address, owners: &[Address]) -> Vec<Delegate> {
        let all = self.delegates.iter();
        let here = all.filter(|one| one.safe.is_none_or(|its| its == safe) && owners.contains(&one.delegator));
        here.cloned().collect()
    }
}
