//! What was read so far, and what is asked next.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};

use super::facts::{PowerQuery, TrustedCode};
use crate::chain::governance::DelayModule;
use crate::chain::timelock::TimelockRead;
use crate::chain::{BlockRef, Chain, Question};
use crate::code::Code;
use crate::power::model::{Finding, Node, Rule, World};
use crate::safe::info::{SafeInfo, Trust};

/// Contracts and keys that are looked at.
const MOST_NODES: usize = 200;
/// Steps from an app or a KMS to who acts for it in the end.
const DEPTH: usize = 8;

/// What is asked in a round trip.
pub(super) enum Asked {
    /// Whether there is code.
    Glance(Address),
    /// Everything that tells what stands there.
    Whole(Address),
    /// The code behind a Safe.
    SafeCode(Box<SafeInfo>),
    /// The code that a key delegates to.
    Delegate { key: Address, to: Address },
    /// What waits in a Delay module's queue, and the code that it is.
    Queue(Box<DelaySeen>),
    /// Whether the app takes new code.
    NewCode(Question),
    /// The code behind a proxy.
    Behind(Address),
}

/// A Delay module before its queue was read.
pub(super) struct DelaySeen {
    pub(super) address: Address,
    pub(super) module: DelayModule,
    pub(super) owner: Option<Address>,
    /// `None`: they are not all there.
    pub(super) modules: Option<Vec<Address>>,
    pub(super) code_hash: B256,
    pub(super) clone_of: Option<Address>,
}

/// What is scheduled and not known to be harmless.
pub(super) struct Waiting {
    pub(super) timelock: Address,
    pub(super) target: Option<Address>,
    pub(super) rule: Rule,
}

/// What was read so far.
pub(super) struct Reader<'a> {
    pub(super) chain: &'a Chain,
    pub(super) query: &'a PowerQuery,
    pub(super) block: BlockRef,
    pub(super) trust: Trust,
    pub(super) world: World,
    pub(super) findings: BTreeSet<Finding>,
    /// How far each address is from where it began.
    pub(super) seen: BTreeMap<Address, usize>,
    /// What is asked in the next round trip.
    pub(super) next: Vec<Asked>,
    pub(super) safes: Vec<SafeInfo>,
    pub(super) timelocks: Vec<TimelockRead>,
    pub(super) waiting: Vec<Waiting>,
    /// What the app says to new code: nothing where it was not asked or does not tell.
    pub(super) takes_new_code: Option<bool>,
    /// keccak256 of code that was asked for by itself.
    pub(super) codes: BTreeMap<Address, B256>,
    pub(super) endpoints: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(chain: &'a Chain, query: &'a PowerQuery, block: BlockRef) -> Self {
        let code = query.trusted.iter().filter(|(_, kind)| **kind == TrustedCode::Safe);
        let trust = Trust {
            code: code.map(|(hash, _)| *hash).collect(),
            old_versions: false,
        };
        Self {
            chain,
            query,
            block,
            trust,
            world: World::default(),
            findings: BTreeSet::new(),
            seen: BTreeMap::new(),
            next: Vec::new(),
            safes: Vec::new(),
            timelocks: Vec::new(),
            waiting: Vec::new(),
            takes_new_code: None,
            codes: BTreeMap::new(),
            endpoints: 0,
        }
    }

    pub(super) fn is_trusted(&self, code: B256, kind: TrustedCode) -> bool {
        self.query.trusted.get(&code) == Some(&kind)
    }

    pub(super) fn find(&mut self, code: Code, address: impl Into<Option<Address>>, text: impl Into<String>) {
        self.findings.insert(Finding {
            code,
            address: address.into(),
            text: text.into(),
        });
    }

    /// Asks who acts for these in the end, unless they were asked about before: by everything that may stand there, or by
    /// their code first where most are keys.
    pub(super) fn follow(&mut self, addresses: impl IntoIterator<Item = Address>, from: Address, mostly_keys: bool) {
        let depth = self.seen.get(&from).map_or(0, |depth| depth.saturating_add(1));
        for address in addresses {
            if address.is_zero() || self.seen.contains_key(&address) {
                continue;
            }
            self.seen.insert(address, depth);
            if depth > DEPTH || self.seen.len() > MOST_NODES {
                let text = format!("{address} is further away, or one more, than what is looked at");
                self.find(Code::PowerLimit, address, text);
                self.add(Node::unknown(address));
            } else if mostly_keys {
                self.next.push(Asked::Glance(address));
            } else {
                self.next.push(Asked::Whole(address));
            }
        }
    }

    pub(super) fn add(&mut self, node: Node) {
        self.world.nodes.insert(node.address, node);
    }
}

/// A contract that nobody here knows.
pub(super) fn unknown(reader: &mut Reader<'_>, address: Address, code: B256) -> Node {
    let text = format!("nobody here knows what {address} is, whose code has the hash {code}");
    reader.find(Code::UnknownContract, address, text);
    Node::unknown(address)
}
