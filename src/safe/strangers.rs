//! What lets a stranger act for a Safe although its owners, threshold and modules are in order: a fallback handler that
//! obeys the Safe, and owners that are contracts and take what nobody signed. What was read stands here; pure.
//!
//! A Safe passes every call that it does not know to its fallback handler, from itself and for everybody. The contract
//! there sees the Safe as the sender, whoever called.

use std::collections::BTreeSet;
use std::fmt;

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::deployments::{self, Identity};

/// What a fallback handler is, of those contracts that have no business to be one: each does something for the Safe, or
/// for whoever asks in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obedient {
    /// An app's contract.
    App,
    /// A KMS's contract.
    Kms,
    /// A timelock, of OpenZeppelin's or Compound's kind.
    Timelock,
    /// Zodiac's Delay module.
    Delay,
    /// A governor: the Safe's votes would be everybody's.
    Governor,
    /// Another contract that names the Safe as its owner, admin, heir or module.
    Subject,
}

/// An owner of a Safe that is a contract, or a key that delegates to one: what it says decides about its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractOwner {
    /// Its address.
    pub address: Address,
    /// The Safe that it owns: the one that was read, or one that owns that.
    pub of: Address,
    /// It took a signature that nobody made (ERC-1271).
    pub takes_anything: bool,
    /// Its parts, where it answers as a Safe does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<OwnerSafe>,
}

/// The code that answers for an owner that is a Safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerSafe {
    /// keccak256 of the code at its address.
    pub proxy_code_hash: B256,
    /// Slot 0.
    pub singleton: Address,
    /// keccak256 of the singleton's code.
    pub singleton_code_hash: B256,
    /// Answers ERC-1271 for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_handler: Option<Address>,
    /// keccak256 of the fallback handler's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_handler_code_hash: Option<B256>,
}

impl OwnerSafe {
    /// The first of its parts, at `address` and behind it, whose code nobody vouches for: where it is, and its code hash.
    pub(super) fn unknown(&self, address: Address, code: &BTreeSet<B256>) -> Option<(Address, B256)> {
        let vouched = |hash: &B256| code.contains(hash);
        let proxy = (address, self.proxy_code_hash);
        if !deployments::is_proxy_code(proxy.1) && !vouched(&proxy.1) {
            return Some(proxy);
        }
        let singleton = (self.singleton, self.singleton_code_hash);
        if !is_known(singleton.0, singleton.1, deployments::Contract::is_singleton) && !vouched(&singleton.1) {
            return Some(singleton);
        }
        let handler = (
            self.fallback_handler?,
            self.fallback_handler_code_hash.unwrap_or_default(),
        );
        let known = is_known(handler.0, handler.1, deployments::Contract::is_handler) || vouched(&handler.1);
        (!known).then_some(handler)
    }
}

/// Whether it is the Safe team's code, and made for this.
pub(super) fn is_known(address: Address, code_hash: B256, kind: fn(deployments::Contract) -> bool) -> bool {
    match deployments::identify(address, code_hash) {
        Identity::Listed(known) | Identity::Elsewhere(known) => kind(known.contract),
        Identity::Altered(_) | Identity::Unknown => false,
    }
}

impl fmt::Display for Obedient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::App => "an app's contract",
            Self::Kms => "a KMS's contract",
            Self::Timelock => "a timelock",
            Self::Delay => "a Delay module",
            Self::Governor => "a governor",
            Self::Subject => "a contract that obeys the Safe",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::safe::deployments::{Build, Contract, PROXY_CODE, find};
    use crate::safe::version::SafeVersion;

    fn child(change: impl FnOnce(&mut OwnerSafe)) -> OwnerSafe {
        let known = |contract| find(SafeVersion::V1_4_1, contract, Build::Canonical).unwrap();
        let (singleton, handler) = (known(Contract::Singleton), known(Contract::CompatibilityHandler));
        let mut safe = OwnerSafe {
            proxy_code_hash: PROXY_CODE[1].1,
            singleton: singleton.address,
            singleton_code_hash: singleton.code_hash,
            fallback_handler: Some(handler.address),
            fallback_handler_code_hash: Some(handler.code_hash),
        };
        change(&mut safe);
        safe
    }

    fn found(owner: &OwnerSafe, vouched: &[B256]) -> Option<(Address, B256)> {
        owner.unknown(Address::repeat_byte(1), &vouched.iter().copied().collect())
    }

    #[test]
    fn an_owner_that_is_a_safe_is_known_by_the_code_of_each_part_that_answers_for_it() {
        let (elsewhere, other) = (Address::repeat_byte(9), B256::repeat_byte(9));
        assert_eq!(found(&child(|_| ()), &[]), None);
        assert_eq!(found(&child(|safe| safe.fallback_handler = None), &[]), None);
        // Known code is no handler by being known.
        let singleton = find(SafeVersion::V1_4_1, Contract::Singleton, Build::Canonical).unwrap();
        let confused = child(|safe| {
            safe.fallback_handler = Some(singleton.address);
            safe.fallback_handler_code_hash = Some(singleton.code_hash);
        });
        assert_eq!(found(&confused, &[]), Some((singleton.address, singleton.code_hash)));
        let handler = child(|safe| {
            safe.fallback_handler = Some(elsewhere);
            safe.fallback_handler_code_hash = Some(other);
        });
        assert_eq!(found(&handler, &[]), Some((elsewhere, other)));
        assert_eq!(found(&handler, &[other]), None);
        let altered = child(|safe| safe.fallback_handler_code_hash = Some(other));
        assert_eq!(found(&altered, &[]).unwrap().1, other);
        let singleton = child(|safe| safe.singleton_code_hash = other);
        assert_eq!(found(&singleton, &[]).unwrap().1, other);
        let proxy = child(|safe| safe.proxy_code_hash = other);
        assert_eq!(found(&proxy, &[]), Some((Address::repeat_byte(1), other)));
        assert_eq!(found(&proxy, &[B256::repeat_byte(8)]).unwrap().1, other);
    }
}
