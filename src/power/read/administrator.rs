//! Contracts that administer the code of others: OpenZeppelin's ProxyAdmin and UpgradeableBeacon, whose owner does.

use alloy::primitives::Address;

use super::reader::Reader;
use crate::abi::governance::Administrator as P;
use crate::abi::kinds::Kinds as K;
use crate::chain::{Question, Reading};
use crate::power::model::{Actor, Confidence, Kind, Node, Rule};

/// What is asked of a contract that may be one.
pub(super) fn questions(address: Address) -> Vec<Question> {
    vec![
        Question::call(address, &K::ownerCall {}).of_stranger(),
        Question::call(address, &K::pendingOwnerCall {}).of_stranger(),
        Question::call(address, &P::UPGRADE_INTERFACE_VERSIONCall {}).of_stranger(),
        Question::call(address, &P::implementationCall {}).of_stranger(),
    ]
}

/// The node, where the answers are those of one.
pub(super) fn of(reader: &mut Reader<'_>, address: Address, facts: &mut Reading) -> Option<Option<Node>> {
    let owner = facts.next().short::<K::ownerCall>()?;
    let heir = facts.next().short::<K::pendingOwnerCall>();
    let version = facts.next().short::<P::UPGRADE_INTERFACE_VERSIONCall>();
    let implementation = facts.next().short::<P::implementationCall>();
    if version.is_none_or(|version| version != "5.0.0") && implementation.is_none() {
        return None;
    }
    let owners: Vec<Address> = [Some(owner), heir]
        .into_iter()
        .flatten()
        .filter(|owner| !owner.is_zero())
        .collect();
    reader.follow(owners.iter().copied(), address, false);
    let rules = owners.into_iter().map(|from| Rule::Child {
        of: Actor::Calls { from, to: address },
    });
    Some(Some(
        Node::new(address, Kind::Administrator, Confidence::ByBehaviour).with(rules),
    ))
}
