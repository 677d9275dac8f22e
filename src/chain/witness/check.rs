//! What a witness shows to whoever knows the block's hash. Pure; nothing in it panics on what strangers write.

use std::collections::BTreeSet;

use alloy::consensus::Header;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::rlp::Decodable;
use alloy_trie::TrieAccount;

use super::super::BlockRef;
use super::super::trie::{Nodes, index_key};
use super::wire::{read_receipt, read_transaction};
use super::{
    BlockWitness, Fault, MOST_CONTRACTS, MOST_NODES, MOST_SLOTS, Part, Shown, ShownContract, ShownReceipt,
    ShownTransaction, merged,
};

impl BlockWitness {
    /// What it shows of the block with this hash. Pure; the time is bounded by its size.
    ///
    /// # Errors
    /// The header is not that block's, or more is named than is looked at: then it shows nothing. What else is wrong stands
    /// with the part that it is about.
    pub fn check(&self, hash: B256) -> Result<Shown, Fault> {
        self.walk(hash).map(|(shown, _)| shown)
    }

    /// What it shows, and the nodes that are needed for that.
    pub(super) fn walk(&self, hash: B256) -> Result<(Shown, Vec<Bytes>), Fault> {
        let found = keccak256(&self.header);
        if found != hash {
            return Err(Fault::OtherBlock { expected: hash, found });
        }
        let named: usize = self.contracts.iter().map(|one| one.slots.len()).sum();
        if self.nodes.len() > MOST_NODES || named > 2 * MOST_SLOTS {
            return Err(Fault::TooMany);
        }
        let wanted = merged(&self.contracts);
        let slots: usize = wanted.values().map(BTreeSet::len).sum();
        if wanted.len() > MOST_CONTRACTS || slots > MOST_SLOTS {
            return Err(Fault::TooMany);
        }
        let mut rest = self.header.as_ref();
        let header = Header::decode(&mut rest).map_err(|_form| Fault::Header)?;
        if !rest.is_empty() {
            return Err(Fault::Header);
        }
        let mut nodes = Nodes::new(&self.nodes);
        let transaction = self.transaction.map(|index| transaction(&mut nodes, &header, index));
        let receipt = self.receipt.map(|index| {
            let shown = receipt(&mut nodes, &header, index);
            match self.transaction {
                Some(other) if other != index => Err(Fault::Apart),
                _ => shown,
            }
        });
        let contracts = wanted.into_iter().map(|(address, slots)| {
            let shown = contract(&mut nodes, header.state_root, address, &slots);
            (address, shown)
        });
        let contracts = contracts.collect();
        let walked: Vec<Bytes> = nodes.walked().cloned().collect();
        let shown = Shown {
            block: BlockRef {
                number: header.number,
                hash,
                timestamp: header.timestamp,
            },
            transaction,
            receipt,
            contracts,
            unused: self.nodes.len().saturating_sub(walked.len()),
        };
        Ok((shown, walked))
    }
}

impl Shown {
    /// The first thing that the witness names and does not show.
    pub fn fault(&self) -> Option<Fault> {
        let transaction = self.transaction.iter().filter_map(|one| one.as_ref().err());
        let receipt = self.receipt.iter().filter_map(|one| one.as_ref().err());
        let contracts = self.contracts.values().filter_map(|one| one.as_ref().err());
        let slots = self.contracts.values().flatten();
        let slots = slots.flat_map(|one| one.slots.values().filter_map(|value| value.as_ref().err()));
        transaction.chain(receipt).chain(contracts).chain(slots).next().copied()
    }
}

fn transaction(nodes: &mut Nodes<'_>, header: &Header, index: u64) -> Result<ShownTransaction, Fault> {
    let part = Part::Transaction;
    let found = nodes.get(header.transactions_root, &index_key(index));
    let bytes = found
        .map_err(|_way| Fault::NotLedTo(part))?
        .ok_or(Fault::NotThere(part))?;
    read_transaction(index, bytes).ok_or(Fault::Unreadable(part))
}

fn receipt(nodes: &mut Nodes<'_>, header: &Header, index: u64) -> Result<ShownReceipt, Fault> {
    let part = Part::Receipt;
    let found = nodes.get(header.receipts_root, &index_key(index));
    let bytes = found
        .map_err(|_way| Fault::NotLedTo(part))?
        .ok_or(Fault::NotThere(part))?;
    read_receipt(index, bytes).ok_or(Fault::Unreadable(part))
}

fn contract(
    nodes: &mut Nodes<'_>,
    state_root: B256,
    address: Address,
    slots: &BTreeSet<B256>,
) -> Result<ShownContract, Fault> {
    let part = Part::Contract(address);
    let found = nodes.get(state_root, keccak256(address).as_slice());
    let account = match found.map_err(|_way| Fault::NotLedTo(part))? {
        Some(mut bytes) => Some(TrieAccount::decode(&mut bytes).map_err(|_form| Fault::Unreadable(part))?),
        None => None,
    };
    let slots = slots.iter().map(|slot| {
        let value = match account {
            Some(account) => value(nodes, account.storage_root, *slot),
            None => Ok(U256::ZERO),
        };
        (*slot, value)
    });
    Ok(ShownContract {
        slots: slots.collect(),
        code_hash: account.map(|account| account.code_hash),
    })
}

fn value(nodes: &mut Nodes<'_>, storage_root: B256, slot: B256) -> Result<U256, Fault> {
    let found = nodes.get(storage_root, keccak256(slot).as_slice());
    match found.map_err(|_way| Fault::Slot(slot))? {
        Some(mut bytes) => U256::decode(&mut bytes).map_err(|_form| Fault::Slot(slot)),
        None => Ok(U256::ZERO),
    }
}
