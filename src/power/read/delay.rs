//! Zodiac's Delay: its modules queue, and anybody has the first of the queue executed once it has waited. Its cooldown is
//! asked for when that is done, so that whoever sets it to zero waits for nothing.

use alloy::primitives::{Address, U256, address, keccak256};

use super::facts::TrustedCode;
use super::reader::{Asked, DelaySeen, Reader, unknown};
use crate::abi::governance::Delay as D;
use crate::abi::kinds::Kinds as K;
use crate::chain::governance::DelayModule;
use crate::chain::{Question, Reading};
use crate::power::model::{Actor, Confidence, Kind, Node, Rule, Veto, Who};

/// Where lists of modules begin.
const SENTINEL: Address = address!("0000000000000000000000000000000000000001");
/// Modules of one page; with as many there may be more.
const PAGE: u64 = 50;
/// Transactions in the queue that are looked at.
const MOST_QUEUED: u64 = 50;
/// Code of a minimal proxy (EIP-1167), before and after the address of what it stands for.
const CLONE: ([u8; 10], [u8; 15]) = (
    [0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73],
    [
        0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3,
    ],
);

impl DelaySeen {
    /// The code of what it stands for, and since when its queue waits.
    pub(super) fn questions(&self) -> Vec<Question> {
        let created = |nonce| {
            let call = D::txCreatedAtCall {
                nonce: U256::from(nonce),
            };
            Question::call(self.address, &call).of_stranger()
        };
        let code = self.clone_of.map(Question::code);
        code.into_iter().chain(self.queued().map(created)).collect()
    }

    fn queued(&self) -> std::ops::Range<u64> {
        let first = self.module.first;
        first..self.module.next.min(first.saturating_add(MOST_QUEUED))
    }
}

/// What is asked of a contract that may be one.
pub(super) fn questions(module: Address) -> Vec<Question> {
    let page = D::getModulesPaginatedCall {
        start: SENTINEL,
        pageSize: U256::from(PAGE),
    };
    let mut all = DelayModule::questions(module);
    all.extend([
        Question::call(module, &K::ownerCall {}).of_stranger(),
        Question::call(module, &page).optional(),
    ]);
    all
}

/// Takes a contract that answers as one does; its queue is read next.
pub(super) fn of(reader: &mut Reader<'_>, found: (Address, &[u8]), facts: &mut Reading) -> Option<Option<Node>> {
    let (address, code) = found;
    let recognised = DelayModule::questions(address).len();
    let module = DelayModule::recognise(&mut facts.part(recognised))?;
    let owner = facts.next().short::<K::ownerCall>();
    let page = facts.next().value::<D::getModulesPaginatedCall>();
    let is_whole = |count: usize| u64::try_from(count).is_ok_and(|count| count < PAGE);
    let modules = page.map(|page| page.modules).filter(|modules| is_whole(modules.len()));
    reader.follow(modules.iter().flatten().chain(&owner).copied(), address, false);
    reader.next.push(Asked::Queue(Box::new(DelaySeen {
        address,
        module,
        owner,
        modules,
        code_hash: keccak256(code),
        clone_of: clone_of(code),
    })));
    Some(None)
}

/// What a minimal proxy stands for.
fn clone_of(code: &[u8]) -> Option<Address> {
    let inner = code.strip_prefix(&CLONE.0)?.strip_suffix(&CLONE.1)?;
    <[u8; 20]>::try_from(inner).ok().map(Address::from)
}

/// Takes it with its queue. A delay restricts, so it counts only where its code is vouched for.
pub(super) fn queue(reader: &mut Reader<'_>, seen: DelaySeen, facts: &mut Reading) {
    let behind = seen.clone_of.map(|_| facts.next().bytes());
    let code_hash = behind.as_deref().map_or(seen.code_hash, keccak256);
    let (Some(modules), true) = (&seen.modules, reader.is_trusted(code_hash, TrustedCode::Delay)) else {
        let mut node = unknown(reader, seen.address, code_hash);
        node.kind = Kind::Delay;
        return reader.add(node);
    };
    let mut node = Node::new(seen.address, Kind::Delay, Confidence::Getters);
    node.only_as_module = true;
    let by_modules = Rule::Lock {
        delay: seen.module.cooldown,
        proposers: Who::Of(modules.iter().map(|module| Actor::Signs(*module)).collect()),
        executors: Who::Anybody,
        after: 0,
        shows: false,
    };
    let owner = seen.owner.filter(|owner| !owner.is_zero());
    let by_owner = owner.map(|from| Rule::Child {
        of: Actor::Calls { from, to: seen.address },
    });
    node = node.with([by_modules]).with(by_owner);
    node.veto = owner.map(|owner| Veto {
        by: vec![owner],
        how: "setTxNonce",
    });
    let now = reader.block.timestamp;
    let left = seen.queued().filter_map(|_| {
        let created = facts.next().number::<D::txCreatedAtCall>().unwrap_or_default();
        let ready = created.saturating_add(seen.module.cooldown);
        let expired = seen.module.expiration > 0 && ready.saturating_add(seen.module.expiration) < now;
        (!expired).then(|| ready.saturating_sub(now))
    });
    if let Some(after) = left.min() {
        node = node.with([waits(after)]);
    }
    reader.add(node);
}

/// What waits in a queue, whatever it is, is done by anybody.
const fn waits(after: u64) -> Rule {
    Rule::Lock {
        delay: 0,
        proposers: Who::Anybody,
        executors: Who::Anybody,
        after,
        shows: false,
    }
}
