//! Reading who may act for whom: everything at one block, on which the endpoints agree, all of one level in one round trip.
//!
//! A contract is known by its code first and by what it answers last: whatever is neither is unknown, and so is what is
//! beyond the limits here.

mod account;
mod administrator;
mod app;
mod delay;
mod governor;
mod kms;
mod level;
mod proxy;
mod safe;
mod storage;
mod timelock;

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use serde::Serialize;

use super::model::{Finding, Node, World};
use crate::chain::closed::StorageCheck;
use crate::chain::timelock::TimelockRead;
use crate::chain::{BlockRef, Chain, ChainError};
use crate::code::Code;
use crate::safe::info::{SafeInfo, Trust};

pub use kms::{AllowedImage, KmsFacts};

/// Contracts and keys that are looked at.
const MOST_NODES: usize = 200;
/// Steps from an app or a KMS to who acts for it in the end.
const DEPTH: usize = 8;

/// What a reader vouches for code to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TrustedCode {
    /// A DstackApp's.
    App,
    /// A DstackKms's.
    Kms,
    /// A Safe's: its proxy, its singleton or its handler.
    Safe,
    /// A timelock's, of OpenZeppelin's kind.
    Timelock,
    /// A Delay module's.
    Delay,
    /// What keys may delegate to: it does nothing but what they sign.
    Delegate,
}

/// What an OS image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OsImage {
    /// One with a login.
    Dev,
    /// One without.
    Prod,
}

/// Which app to read, and what its reader vouches for.
#[derive(Debug, Clone, Default)]
pub struct PowerQuery {
    /// App.
    pub app: Address,
    /// Its KMS, where that is known.
    pub kms: Option<Address>,
    /// Code by its keccak256.
    pub trusted: BTreeMap<B256, TrustedCode>,
    /// OS images by their hash.
    pub images: BTreeMap<B256, OsImage>,
}

/// What was read of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppFacts {
    /// App.
    pub app: Address,
    /// `owner()`; nothing: it was renounced.
    pub owner: Option<Address>,
    /// To whom it is offered.
    pub pending_owner: Option<Address>,
    /// keccak256 of the code behind its proxy, or of its own.
    pub code_hash: B256,
    /// Any device may run it.
    pub any_device: bool,
    /// Its code can never change.
    pub frozen: bool,
    /// Compose hashes that it allows, as far as they are known.
    pub hashes: Vec<B256>,
    /// What its storage holds besides.
    pub storage: StorageCheck,
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The block.
    pub block: BlockRef,
    /// Chain id.
    pub chain_id: u64,
    /// The app.
    pub app: AppFacts,
    /// Its KMS.
    pub kms: Option<KmsFacts>,
    /// Who may act for whom, and what can be done.
    pub world: World,
    /// What a reader has to know.
    pub findings: BTreeSet<Finding>,
    /// Endpoints that agreed.
    pub endpoints: usize,
}

/// Reads who may act for an app and its KMS at the newest agreed block. Round trips: the head, the app, one for every step to
/// whoever acts in the end, two where that is a timelock, besides those of reading logs; and one for the storage.
///
/// # Errors
/// See [`ChainError`]. What no endpoint tells is no error: it is unknown, and adds power.
pub async fn read(chain: &Chain, query: &PowerQuery) -> Result<Survey, ChainError> {
    let block = chain.head().await?;
    let mut reader = Reader::new(chain, query, block);
    let (mut app, mut kms) = app::first(&mut reader).await?;
    level::all(&mut reader).await?;
    storage::close(&mut reader, &mut app.facts, kms.as_mut()).await?;
    app::effects(&mut reader, &mut app);
    if let Some(kms) = &kms {
        kms::effects(&mut reader, kms);
    }
    let mut world = reader.world;
    timelock::opaque(&mut world, &reader.waiting);
    Ok(Survey {
        block,
        chain_id: chain.id(),
        app: app.facts,
        kms,
        world,
        findings: reader.findings,
        endpoints: reader.endpoints,
    })
}

/// What was read so far.
struct Reader<'a> {
    chain: &'a Chain,
    query: &'a PowerQuery,
    block: BlockRef,
    trust: Trust,
    world: World,
    findings: BTreeSet<Finding>,
    /// How far each address is from where it began.
    seen: BTreeMap<Address, usize>,
    /// What is asked in the next round trip.
    next: Vec<level::Asked>,
    safes: Vec<SafeInfo>,
    timelocks: Vec<TimelockRead>,
    waiting: Vec<timelock::Waiting>,
    /// What the app says to new code: nothing where it was not asked or does not tell.
    takes_new_code: Option<bool>,
    /// keccak256 of code that was asked for by itself.
    codes: BTreeMap<Address, B256>,
    endpoints: usize,
}

impl<'a> Reader<'a> {
    fn new(chain: &'a Chain, query: &'a PowerQuery, block: BlockRef) -> Self {
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

    fn is_trusted(&self, code: B256, kind: TrustedCode) -> bool {
        self.query.trusted.get(&code) == Some(&kind)
    }

    fn find(&mut self, code: Code, address: impl Into<Option<Address>>, text: impl Into<String>) {
        self.findings.insert(Finding {
            code,
            address: address.into(),
            text: text.into(),
        });
    }

    /// Asks who acts for these in the end, unless they were asked about before: by everything that may stand there, or by
    /// their code first where most are keys.
    fn follow(&mut self, addresses: impl IntoIterator<Item = Address>, from: Address, mostly_keys: bool) {
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
                self.next.push(level::Asked::Glance(address));
            } else {
                self.next.push(level::Asked::Whole(address));
            }
        }
    }

    fn add(&mut self, node: Node) {
        self.world.nodes.insert(node.address, node);
    }
}
