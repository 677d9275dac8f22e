//! Keys, and keys that delegate to a contract (EIP-7702): whatever that contract does, it does as the key.

use alloy::primitives::{Address, keccak256};

use super::facts::TrustedCode;
use super::reader::{Asked, Reader};
use crate::chain::{OwnerKind, Reading};
use crate::code::Code;
use crate::power::model::{Confidence, Kind, Node, Party, Rule};

/// Takes an address without a contract of its own; whether it is one.
pub(super) fn is_account(reader: &mut Reader<'_>, address: Address, code: &[u8]) -> bool {
    match OwnerKind::of(address, code) {
        OwnerKind::Nobody => reader.add(Node::new(address, Kind::Key, Confidence::Closed)),
        OwnerKind::Eoa => reader.add(Node::key(address)),
        OwnerKind::DelegatedEoa => {
            let to = code.last_chunk::<20>().map(|to| Address::from(*to)).unwrap_or_default();
            reader.next.push(Asked::Delegate { key: address, to });
        }
        OwnerKind::Contract => return false,
    }
    true
}

/// Takes an address that was only asked for its code.
pub(super) fn glance(reader: &mut Reader<'_>, address: Address, facts: &mut Reading) {
    if !is_account(reader, address, &facts.next().bytes()) {
        reader.next.push(Asked::Whole(address));
    }
}

/// Takes a key and what it delegates to.
pub(super) fn delegate(reader: &mut Reader<'_>, pair: (Address, Address), facts: &mut Reading) {
    let (key, to) = pair;
    let hash = keccak256(facts.next().bytes());
    let mut node = Node {
        kind: Kind::DelegatedKey,
        ..Node::key(key)
    };
    if !reader.is_trusted(hash, TrustedCode::Delegate) {
        let text = format!(
            "the key {key} delegates to {to}, and nobody here knows what that does: its code has the hash {hash}"
        );
        reader.find(Code::OwnerDelegates, key, text);
        let party = Party::Unknown(to);
        node = node.with([Rule::Party { party }]);
        node.confidence = Confidence::Unknown;
    }
    reader.add(node);
}
