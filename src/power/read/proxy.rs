//! Proxies (ERC-1967): whoever can give a contract other code acts for it.

use alloy::primitives::{Address, B256, b256};

use super::facts::Proxied;
use super::reader::Reader;
use crate::chain::{IMPLEMENTATION_SLOT, Question, Reading};
use crate::power::model::{Actor, Confidence, Node, Party, Rule};

/// keccak256("eip1967.proxy.admin") - 1.
const ADMIN_SLOT: B256 = b256!("b53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103");
/// keccak256("eip1967.proxy.beacon") - 1.
const BEACON_SLOT: B256 = b256!("a3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50");

/// What is asked of every contract.
pub(super) fn questions(address: Address) -> Vec<Question> {
    let slots = [IMPLEMENTATION_SLOT, ADMIN_SLOT, BEACON_SLOT];
    slots.into_iter().map(|slot| Question::slot(address, slot)).collect()
}

/// The answers.
pub(super) fn of(facts: &mut Reading) -> Proxied {
    let mut next = || {
        let bytes = facts.next().bytes();
        let address = bytes.last_chunk::<20>().map(|address| Address::from(*address));
        address.filter(|address| !address.is_zero())
    };
    Proxied {
        implementation: next(),
        admin: next(),
        beacon: next(),
    }
}

/// The node with the power of whoever can change its code: admin and beacon are read, and where a contract changes its code
/// itself nobody knows who has it do that.
pub(super) fn with(reader: &mut Reader<'_>, node: Node, proxied: &Proxied) -> Node {
    let address = node.address;
    let rules: Vec<Rule> = by_others(reader, address, proxied).collect();
    let by_itself = rules.is_empty() && proxied.implementation.is_some();
    let mut node = node.with(rules);
    if by_itself {
        let party = Party::Unknown(address);
        node.confidence = Confidence::Unknown;
        node = node.with([Rule::Party { party }]);
    }
    node
}

/// The power of admin and beacon.
pub(super) fn by_others(reader: &mut Reader<'_>, address: Address, proxied: &Proxied) -> impl Iterator<Item = Rule> {
    let found = [proxied.admin, proxied.beacon];
    reader.follow(found.into_iter().flatten(), address, false);
    let to = address;
    found.into_iter().flatten().map(move |from| Rule::Child {
        of: Actor::Calls { from, to },
    })
}
