//! An EVM chain as countersign sees it: endpoints that must agree, one block at a time, calls that change a policy.
//!
//! `chain` knows the app and KMS contracts and a transaction's life. It knows no Safe and no journal.

mod account;
mod app;
mod behind;
mod canonical;
mod closed;
mod cost;
mod factory;
mod fees;
mod hash_past;
mod headers;
mod history;
mod kms;
mod logs;
mod look;
mod policy;
mod policy_history;
mod proof;
mod quorum;
mod read;
mod revert;
mod rpc;
mod send;
mod sent;
mod storage;
mod timelock;
mod tx;
mod watch;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256, b256, keccak256};
use serde::{Deserialize, Serialize};
use url::Url;

use self::quorum::Patience;
use self::rpc::{Ask, Node, RawBlock};
use crate::http::{Endpoint, Http, RpcTransport};

pub use app::{AppQuery, AppState, OwnerKind, Preflight};
pub use closed::{StorageCheck, StorageFound, Word};
pub(crate) use closed::{StorageRead, Subject as StorageSubject, Told};
pub use cost::{FeePolicy, Spending, has_data_fee};
pub use factory::{DeployFailure, DeployedApp, FactoryCode, FactoryForm, FactoryTrial, NewApp};
pub use fees::{Filling, Market, Quote};
pub use hash_past::{HashPast, Search};
pub use history::HashRecord;
pub use kms::is_known_kms;
pub(crate) use logs::{LogQuery, PlacedLog};
pub use policy::{AppChanges, PolicyChange};
pub use policy_history::{PolicyEntry, PolicyEvent, PolicyFact, PolicyHistory, PolicyPlace};
pub use proof::{Besides, Proof, ProofFailure, Proved};
pub use quorum::{Heard, Missing, Quorum, Turnout};
pub use read::Replaced;
pub(crate) use read::{Fact, Question, Reading, Reverted};
pub use send::{Broadcast, Rejection};
pub(crate) use sent::Sent;
pub(crate) use storage::{mapping_slot, numbered};
pub use timelock::{
    OperationEnd, OperationLife, OperationPlace, OperationState, OperationStep, PendingOperation, PendingOperations,
    TimelockAct, TimelockCalls, TimelockInfo, TimelockObjection, TimelockOperation, TimelockProofFailure,
    TimelockRefusal, TimelockRelease, TimelockRole, TimelockRoles, check_operation,
};
pub use tx::{SignedTx, TxError, TxRequest, coins};
pub use watch::{InclusionAt, Sighting, Watch, WatchAction};

/// Chain id of anvil, where one confirmation is enough and no genesis is pinned.
pub const DEVELOPMENT_CHAIN: u64 = 31337;
/// Ethereum's chain id.
const ETHEREUM: u64 = 1;
/// Base's chain id.
const BASE: u64 = 8453;
/// Hashes of block 0, so that a chain id alone convinces nobody.
const GENESIS: &[(u64, B256)] = &[
    (
        ETHEREUM,
        b256!("d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"),
    ),
    (
        BASE,
        b256!("f712aa9241cc24369b143cf6dce85f0902a9731e70d66818a3a5845b296c73dd"),
    ),
];
/// How often an endpoint whose newest block is older than one seen before is asked again: behind a load balancer
/// another machine answers next.
const BEHIND_TRIES: u32 = 3;
const BEHIND_WAIT: Duration = Duration::from_millis(200);
/// Blocks by which one endpoint may be behind another where block times do not tell (they tell on every chain but that of
/// development): blocks spread in less.
const LAG: u64 = 8;

/// How to reach a chain.
#[derive(Debug, Clone)]
pub struct Options {
    /// Endpoints; what they say of one block must agree.
    pub endpoints: Vec<Url>,
    /// How many of them have to answer.
    pub quorum: Quorum,
    /// The chain id that every endpoint must have.
    pub chain_id: u64,
    /// Test builds only: a known chain id with another genesis is accepted.
    pub allow_unpinned: bool,
}

/// A chain behind one or more endpoints.
///
/// Every endpoint is asked everything, and as many as were named have to answer, unless the [`Quorum`] says fewer; two
/// that contradict each other about the same block are an error.
#[derive(Debug, Clone)]
pub struct Chain {
    nodes: Arc<[Node]>,
    quorum: Quorum,
    id: u64,
    /// How old the newest block may be.
    freshness: Option<Duration>,
    /// Highest head that was agreed on.
    seen: Arc<AtomicU64>,
    /// What earlier answers let expect of the next ones.
    guess: Arc<Mutex<Guess>>,
}

/// What is asked for along with the rest because it will be needed, unless something changed. A wrong guess costs a
/// round trip, a right one saves it; neither is believed without the answer.
#[derive(Debug, Clone, Default)]
struct Guess {
    /// Implementation and owner that an app named.
    codes: Vec<Address>,
    /// A transaction and the block that held it.
    included: Option<(B256, BlockRef)>,
}

/// A call that changes a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Contract.
    pub to: Address,
    /// Wei; always zero here.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
}

/// One block.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRef {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Seconds since 1970.
    pub timestamp: u64,
}

/// When a block is taken to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finality {
    /// This many blocks, the one that holds the transaction included.
    Confirmations(u64),
    /// The `safe` block has reached it.
    Safe,
    /// The `finalized` block has reached it.
    Finalized,
}

impl fmt::Display for Finality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Confirmations(1) => f.write_str("1 confirmation"),
            Self::Confirmations(blocks) => write!(f, "{blocks} confirmations"),
            Self::Safe => f.write_str("the safe block"),
            Self::Finalized => f.write_str("the finalized block"),
        }
    }
}

/// Why the chain gave no usable answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No endpoint answered usefully; try later.
    #[error("{endpoint} gave no usable answer to {method}")]
    Unavailable {
        /// Scheme and host.
        endpoint: String,
        /// JSON-RPC method.
        method: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Fewer endpoints answered than have to agree; try later.
    #[error("{answered} of {named} endpoints agree and {needed} have to: {}", told(missing))]
    TooFew {
        /// How many answered, and the same.
        answered: usize,
        /// How many were named.
        named: usize,
        /// How many have to agree.
        needed: usize,
        /// Who did not, and why.
        missing: Vec<Missing>,
    },
    /// An endpoint has another chain id.
    #[error("{endpoint} is chain {found}, not {expected}")]
    WrongChain {
        /// Scheme and host.
        endpoint: String,
        /// What it says.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// Right chain id, another genesis block.
    #[error("{endpoint} has another genesis block than chain {chain}: {found}, not {expected}")]
    WrongGenesis {
        /// Scheme and host.
        endpoint: String,
        /// Chain id.
        chain: u64,
        /// What it says.
        found: B256,
        /// What is pinned.
        expected: B256,
    },
    /// Two endpoints contradict each other about one block.
    #[error("{first} and {second} disagree about {what} at block {block}")]
    Disagreement {
        /// Scheme and host.
        first: String,
        /// Scheme and host.
        second: String,
        /// What they disagree about.
        what: String,
        /// Block number.
        block: u64,
    },
    /// Every endpoint's newest block is old.
    #[error("the newest block of every endpoint is older than {limit} seconds (block {number})")]
    Stale {
        /// Newest block seen.
        number: u64,
        /// Limit, seconds.
        limit: u64,
    },
    /// The app's address has no contract that this tool knows.
    #[error("{address} is not a DstackApp: {why}")]
    NotAnApp {
        /// Address.
        address: Address,
        /// Why.
        why: String,
    },
    /// The KMS's address has no contract that this tool knows.
    #[error("{address} on chain {chain} is not a DstackKms: it does not answer `registeredApps(address)`")]
    NotAKms {
        /// Address.
        address: Address,
        /// Chain id.
        chain: u64,
    },
    /// A KMS contract of before July 2025.
    #[error(
        "the KMS {address} on chain {chain} is of before July 2025: it knows apps by ids that are not the addresses of their contracts"
    )]
    AppsById {
        /// Address.
        address: Address,
        /// Chain id.
        chain: u64,
    },
    /// What was taken for a timelock does not answer like one.
    #[error("{address} on chain {chain} is not a TimelockController: it does not answer `{function}` as one does")]
    NotATimelock {
        /// Address.
        address: Address,
        /// Chain id.
        chain: u64,
        /// What was asked.
        function: &'static str,
    },
    /// Asked for a finality that the endpoint does not offer.
    #[error("{endpoint} has no `{tag}` block")]
    NoFinalityTag {
        /// Scheme and host.
        endpoint: String,
        /// `safe` or `finalized`.
        tag: &'static str,
    },
    /// An answer that contradicts itself or the request.
    #[error("{endpoint} answered {method} with something impossible: {what}")]
    Impossible {
        /// Scheme and host.
        endpoint: String,
        /// JSON-RPC method.
        method: String,
        /// What.
        what: String,
    },
    /// No endpoint was given.
    #[error("no RPC endpoint was given for chain {chain}")]
    NoEndpoint {
        /// Chain id.
        chain: u64,
    },
}

impl Chain {
    /// Checks chain id and genesis of every endpoint: one round trip to each.
    ///
    /// # Errors
    /// No endpoint, a wrong chain, or fewer that answer than have to.
    pub async fn connect(options: &Options, http: &Http) -> Result<Self, ChainError> {
        let nodes = options
            .endpoints
            .iter()
            .map(|url| Node::new(RpcTransport::new(http.clone(), Endpoint::new(url.clone()))));
        let chain = Self {
            nodes: nodes.collect(),
            quorum: options.quorum.clone(),
            id: options.chain_id,
            freshness: if options.allow_unpinned {
                None
            } else {
                freshness(options.chain_id)
            },
            seen: Arc::new(AtomicU64::new(0)),
            guess: Arc::default(),
        };
        chain.begin_turnout();
        let pinned = GENESIS
            .iter()
            .find(|(id, _)| *id == options.chain_id && !options.allow_unpinned)
            .map(|(_, hash)| *hash);
        chain.gather(|node| chain.check_identity(node, pinned)).await?;
        Ok(chain)
    }
    /// Chain id.
    pub const fn id(&self) -> u64 {
        self.id
    }
    /// Reads the chain id of every endpoint again: before signing, sending and proving. One round trip.
    ///
    /// # Errors
    /// It changed, or too few endpoints answer.
    pub async fn recheck(&self) -> Result<(), ChainError> {
        self.gather(|node| self.check_chain(node)).await?;
        Ok(())
    }
    /// The newest block on which the endpoints agree; never one below an earlier answer. One round trip, with the
    /// chain id checked again in it, and another one to endpoints that are ahead. Endpoints that are far apart or have
    /// different blocks are asked again for a while.
    ///
    /// # Errors
    /// Too few endpoints are fresh and answer, or they are on different forks.
    pub async fn head(&self) -> Result<BlockRef, ChainError> {
        let mut patience = Patience::new(&self.quorum);
        loop {
            let apart = match self.common_head().await? {
                Common::Head(head) => {
                    self.seen.fetch_max(head.number, Ordering::Relaxed);
                    return Ok(head);
                }
                apart => apart,
            };
            if patience.wait_for_one(&self.quorum).await {
                continue;
            }
            return match apart {
                Common::Forked { number, missing } => self.below_the_fork(number, missing).await,
                Common::Behind(missing) => {
                    let answered = self.nodes.len().saturating_sub(missing.len());
                    Err(self.too_few(answered, missing))
                }
                Common::Head(head) => Ok(head),
            };
        }
    }

    /// One look for the block at the height that all have.
    async fn common_head(&self) -> Result<Common, ChainError> {
        let all = self.gather(|node| self.top(node)).await?;
        let (tops, behind) = self.side_by_side(all);
        if !behind.is_empty() && tops.len() < self.required() {
            return Ok(Common::Behind(behind));
        }
        let Some(lowest) = tops.iter().map(|(_, top)| top.number).min() else {
            return Err(ChainError::NoEndpoint { chain: self.id });
        };
        let same_height = self
            .gather(|node| {
                let top = tops.iter().find(|(other, _)| std::ptr::eq(*other, node));
                let behind = behind.iter().find(|missing| missing.endpoint == node.label());
                block_at(node, (top.map(|(_, top)| *top), behind), lowest)
            })
            .await?;
        self.agreed(&same_height)
    }

    /// Those at the height that most of them have, as many as have to agree; and those that are far from it. What one
    /// alone claims, above or below, is its own word: where nobody is in the majority, all of them are apart. Where only
    /// something is told the lowest counts for all.
    fn side_by_side<'s>(&self, tops: Vec<(&'s Node, BlockRef)>) -> (Vec<(&'s Node, BlockRef)>, Vec<Missing>) {
        let heights: Vec<u64> = tops.iter().map(|(_, top)| top.number).collect();
        let Some((high, is_shared)) = shared_height(&heights) else {
            return (tops, Vec::new());
        };
        if self.freshness.is_some() || heights.iter().all(|height| is_near(high, *height)) {
            return (tops, Vec::new());
        }
        let apart = tops.iter().filter(|(_, top)| !(is_shared && is_near(high, top.number)));
        let apart = apart.map(|(node, top)| {
            let far = |other: &BlockRef| top.number.abs_diff(other.number) > LAG;
            let other = tops
                .iter()
                .find(|(_, other)| far(other) && (!is_shared || is_near(high, other.number)));
            let (label, theirs) = other.map_or(("another one", high), |(other, top)| (other.label(), top.number));
            let number = top.number;
            let place = if number > theirs { "ahead" } else { "behind" };
            Missing::new(
                node,
                format!("it is {place}: its newest block is {number}, and that of {label} is {theirs}"),
            )
        });
        let apart: Vec<Missing> = apart.collect();
        if self.quorum.partial {
            self.quorum.turnout.miss(&apart, false);
            return (tops, Vec::new());
        }
        let group = tops.iter().filter(|(_, top)| is_near(high, top.number)).copied();
        (group.collect(), apart)
    }

    /// What endpoints with different newest blocks mean: where they agree on one that counts as settled, one of them will
    /// follow the other; where they do not, one is wrong.
    async fn below_the_fork(&self, number: u64, missing: Vec<Missing>) -> Result<BlockRef, ChainError> {
        let settled = Finality::default_for(self.id).depth(number).unwrap_or(number);
        let found = self.gather(|node| node.block(Ask::block(settled))).await?;
        match self.agreed(&found)? {
            Common::Head(block) if self.quorum.partial => {
                self.quorum.turnout.miss(&missing, false);
                Ok(block)
            }
            Common::Head(_) => {
                let answered = self.nodes.len().saturating_sub(missing.len());
                Err(self.too_few(answered, missing))
            }
            Common::Forked { .. } | Common::Behind(_) => {
                let first = found.first().map_or("", |(node, _)| node.label());
                let second = missing.first().map_or("", |missing| missing.endpoint.as_str());
                Err(contradiction((first, second), "the block hash", settled))
            }
        }
    }

    fn guess(&self) -> MutexGuard<'_, Guess> {
        self.guess.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_id(&self, node: &Node, found: u64) -> Result<(), ChainError> {
        if found == self.id {
            return Ok(());
        }
        Err(ChainError::WrongChain {
            endpoint: node.label().to_owned(),
            found,
            expected: self.id,
        })
    }

    async fn check_chain(&self, node: &Node) -> Result<(), ChainError> {
        let found = node.ask(&[Ask::chain_id()]).await?.number()?;
        self.check_id(node, found)
    }

    async fn check_identity(&self, node: &Node, pinned: Option<B256>) -> Result<(), ChainError> {
        let mut replies = node.ask(&[Ask::chain_id(), Ask::block(0)]).await?;
        self.check_id(node, replies.number()?)?;
        let Some(expected) = pinned else { return Ok(()) };
        let genesis: Option<RawBlock> = replies.take()?;
        let found = genesis
            .and_then(|raw| raw.sealed())
            .ok_or_else(|| node.misshapen("eth_getBlockByNumber"))?
            .hash;
        if found == expected {
            return Ok(());
        }
        Err(ChainError::WrongGenesis {
            endpoint: node.label().to_owned(),
            chain: self.id,
            found,
            expected,
        })
    }

    /// An endpoint's newest block, which is fresh and not below what was seen before.
    async fn top(&self, node: &Node) -> Result<BlockRef, ChainError> {
        let mut tries = 1;
        loop {
            let mut replies = node.ask(&[Ask::chain_id(), Ask::block_at("latest")]).await?;
            self.check_id(node, replies.number()?)?;
            let top = self.check_top(node, &replies.take()?)?;
            match self.check_not_behind(node, top) {
                Ok(()) => return Ok(top),
                Err(behind) if tries == BEHIND_TRIES => return Err(behind),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(BEHIND_WAIT).await;
        }
    }

    /// An endpoint below a head that was agreed on before may hide what happened since.
    fn check_not_behind(&self, node: &Node, top: BlockRef) -> Result<(), ChainError> {
        let seen = self.seen.load(Ordering::Relaxed);
        if top.number >= seen {
            return Ok(());
        }
        Err(node.unavailable("eth_getBlockByNumber", Behind { top: top.number, seen }))
    }

    fn check_top(&self, node: &Node, raw: &RawBlock) -> Result<BlockRef, ChainError> {
        let top = raw.sealed().ok_or_else(|| node.misshapen("eth_getBlockByNumber"))?;
        match self.freshness {
            Some(limit) if is_stale(&top, limit, jiff::Timestamp::now()) => Err(ChainError::Stale {
                number: top.number,
                limit: limit.as_secs(),
            }),
            _ => Ok(top),
        }
    }

    /// One block, if all have the same.
    ///
    /// # Errors
    /// One hash with two time stamps.
    fn agreed(&self, found: &[(&Node, BlockRef)]) -> Result<Common, ChainError> {
        let Some(((first, block), others)) = found.split_first() else {
            return Err(ChainError::NoEndpoint { chain: self.id });
        };
        let mut missing = Vec::new();
        for (node, other) in others {
            if other.hash != block.hash {
                let (number, mine, theirs) = (block.number, other.hash, block.hash);
                let why = format!(
                    "its block {number} is {mine}, and that of {} is {theirs}",
                    first.label()
                );
                missing.push(Missing::new(node, why));
            } else if other.timestamp != block.timestamp {
                return Err(contradiction((first.label(), node.label()), "timestamp", block.number));
            }
        }
        Ok(match missing.is_empty() {
            true => Common::Head(*block),
            false => Common::Forked {
                number: block.number,
                missing,
            },
        })
    }
}

/// What the endpoints' newest blocks come to.
#[must_use]
enum Common {
    /// All have this one.
    Head(BlockRef),
    /// They have different ones at one height: a fork that settles by itself, or one that is not followed.
    Forked { number: u64, missing: Vec<Missing> },
    /// Some are far below the others.
    Behind(Vec<Missing>),
}

/// Two endpoints that cannot both be right.
fn contradiction((first, second): (&str, &str), what: &str, block: u64) -> ChainError {
    ChainError::Disagreement {
        first: first.to_owned(),
        second: second.to_owned(),
        what: what.to_owned(),
        block,
    }
}

/// Whether a block is at most a few below `high`, and not above it.
const fn is_near(high: u64, number: u64) -> bool {
    number <= high && number.saturating_add(LAG) >= high
}

/// The height at which most of these are, with those a few blocks below it, and whether more are there than anywhere else;
/// the higher one of two with as many. Pure.
fn shared_height(heights: &[u64]) -> Option<(u64, bool)> {
    let count = |high: u64| heights.iter().filter(|height| is_near(high, **height)).count();
    let high = heights.iter().copied().max_by_key(|high| (count(*high), *high))?;
    let others: Vec<u64> = heights
        .iter()
        .copied()
        .filter(|height| !is_near(high, *height))
        .collect();
    let elsewhere = others
        .iter()
        .map(|top| others.iter().filter(|other| is_near(*top, **other)).count());
    Some((high, elsewhere.max().unwrap_or_default() < count(high)))
}

/// Who is missing and why, in one line.
fn told(missing: &[Missing]) -> String {
    let each: Vec<String> = missing.iter().map(ToString::to_string).collect();
    each.join("; ")
}

/// An endpoint that is behind what another one, or itself, has shown.
#[derive(Debug, thiserror::Error)]
#[error("its newest block is {top}, and block {seen} was seen before")]
struct Behind {
    top: u64,
    seen: u64,
}

/// The endpoint's block at a height up to its newest one, `None` where that is not known; one that is far below has none.
async fn block_at(
    node: &Node,
    (top, behind): (Option<BlockRef>, Option<&Missing>),
    height: u64,
) -> Result<BlockRef, ChainError> {
    match (top, behind) {
        (Some(top), _) if top.number == height => Ok(top),
        (None, Some(behind)) => Err(node.unavailable("eth_getBlockByNumber", behind.why.clone())),
        _ => node.block(Ask::block(height)).await,
    }
}

/// How old the newest block of a chain may be; chains without a rule of their own get Ethereum's.
const fn freshness(chain_id: u64) -> Option<Duration> {
    match chain_id {
        DEVELOPMENT_CHAIN => None,
        BASE => Some(Duration::from_secs(60)),
        _ => Some(Duration::from_secs(300)),
    }
}

fn is_stale(block: &BlockRef, limit: Duration, now: jiff::Timestamp) -> bool {
    let now = u64::try_from(now.as_second()).unwrap_or_default();
    now.saturating_sub(block.timestamp) > limit.as_secs()
}

impl Finality {
    /// What suits a chain: one block on the development chain, twelve on Ethereum, five on Base, twelve elsewhere.
    pub const fn default_for(chain_id: u64) -> Self {
        match chain_id {
            DEVELOPMENT_CHAIN => Self::Confirmations(1),
            8453 => Self::Confirmations(5),
            _ => Self::Confirmations(12),
        }
    }
}

impl Call {
    /// `addComposeHash(bytes32)` on `app`: 36 bytes of calldata.
    pub fn add_compose_hash(app: Address, hash: B256) -> Self {
        PolicyChange::AddComposeHash(hash).call(app)
    }
    /// ERC-8213 calldata digest, as hardware wallets show it: keccak256 of the calldata's length as a 256-bit
    /// big-endian number, followed by the calldata.
    pub fn digest(&self) -> B256 {
        let length = U256::from(self.data.len()).to_be_bytes::<32>();
        keccak256([length.as_slice(), &self.data].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call::add_compose_hash(Address::repeat_byte(0x22), B256::repeat_byte(0xab))
    }

    #[test]
    fn v7_the_call_is_the_selector_and_the_hash_and_nothing_after() {
        let mut expected = vec![0xdf, 0xc7, 0x72, 0x23];
        expected.extend([0xab; 32]);
        assert_eq!(call().data, expected);
        assert_eq!(call().value, U256::ZERO);
    }

    #[test]
    fn the_digest_of_calldata_is_the_one_of_erc_8213() {
        let expected = b256!("7c084e9fe991fc3c7e2d5422642b6dd45c49ddb28d87a1992f28061c43e63403");
        assert_eq!(call().digest(), expected);
    }

    #[test]
    fn r12_the_newest_block_may_be_a_minute_old_on_base_and_five_on_ethereum() {
        let now: jiff::Timestamp = "2026-11-21T05:00:00Z".parse().unwrap();
        let seconds = u64::try_from(now.as_second()).unwrap();
        let aged = |age: u64| BlockRef {
            number: 1,
            hash: B256::ZERO,
            timestamp: seconds - age,
        };
        for (chain, limit) in [(BASE, 60), (ETHEREUM, 300), (2035, 300)] {
            let limit_of = freshness(chain).unwrap();
            assert!(!is_stale(&aged(limit), limit_of, now), "{chain}");
            assert!(is_stale(&aged(limit + 1), limit_of, now), "{chain}");
        }
        assert_eq!(freshness(DEVELOPMENT_CHAIN), None);
        let ahead = BlockRef {
            timestamp: seconds + 30,
            ..aged(0)
        };
        assert!(!is_stale(&ahead, Duration::from_secs(60), now));
    }

    #[test]
    fn fr2_7_what_one_alone_claims_is_no_height() {
        let cases = [
            (vec![6, 6, 1006], (6, true)),
            (vec![1006, 5, 6], (6, true)),
            (vec![6, 30, 30], (30, true)),
            (vec![6, 1006], (1006, false)),
            (vec![6, 14], (14, true)),
            (vec![6], (6, true)),
        ];
        for (heights, expected) in cases {
            assert_eq!(shared_height(&heights), Some(expected), "{heights:?}");
        }
        assert_eq!(shared_height(&[]), None);
    }

    #[test]
    fn r11_ethereum_and_base_are_known_by_their_first_block() {
        let ids: Vec<u64> = GENESIS.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, [1, 8453]);
    }
}
