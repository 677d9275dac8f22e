//! A chain behind its endpoints: who they are, and that they are of the chain that was asked for.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use url::Url;

use super::block::BlockRef;
use super::error::ChainError;
use super::networks::{freshness, genesis};
use super::quorum::Quorum;
use super::rpc::{Ask, Node, RawBlock};
use crate::http::{Endpoint, Http, RpcTransport};

/// Longest time for a request when the time for the run is over: its last look has to be possible, at the others too where
/// one is silent.
const LAST_LOOK: Duration = Duration::from_secs(2);

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
    pub(super) nodes: Arc<[Node]>,
    pub(super) quorum: Quorum,
    pub(super) id: u64,
    /// Hash of its first block; nothing where no endpoint has that.
    genesis: Option<B256>,
    /// How old the newest block may be.
    pub(super) freshness: Option<Duration>,
    /// Highest head that was agreed on.
    pub(super) seen: Arc<AtomicU64>,
    /// What earlier answers let expect of the next ones.
    guess: Arc<Mutex<Guess>>,
}

/// What is asked for along with the rest because it will be needed, unless something changed. A wrong guess costs a
/// round trip, a right one saves it; neither is believed without the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Guess {
    /// Implementation and owner that an app named.
    pub(super) codes: Vec<Address>,
    /// A transaction and the block that held it.
    pub(super) included: Option<(B256, BlockRef)>,
}

impl Chain {
    /// Checks chain id and genesis of every endpoint: one round trip to each.
    ///
    /// # Errors
    /// No endpoint, a wrong chain, or fewer that answer than have to.
    pub async fn connect(options: &Options, http: &Http) -> Result<Self, ChainError> {
        let http = match options.quorum.until {
            Some(until) => http.clone().until(until).sharing(LAST_LOOK),
            None => http.clone(),
        };
        let nodes = options
            .endpoints
            .iter()
            .map(|url| Node::new(RpcTransport::new(http.clone(), Endpoint::new(url.clone()))));
        let mut chain = Self {
            nodes: nodes.collect(),
            quorum: options.quorum.clone(),
            id: options.chain_id,
            genesis: None,
            freshness: if options.allow_unpinned {
                None
            } else {
                freshness(options.chain_id)
            },
            seen: Arc::new(AtomicU64::new(0)),
            guess: Arc::default(),
        };
        chain.begin_turnout();
        let pinned = genesis(options.chain_id).filter(|_| !options.allow_unpinned);
        let found = chain.gather(|node| chain.check_identity(node, pinned)).await?;
        chain.genesis = found.into_iter().find_map(|(_, genesis)| genesis);
        Ok(chain)
    }

    /// Hash of the first block of the chain that is known by this number.
    pub fn known_genesis(chain_id: u64) -> Option<B256> {
        genesis(chain_id)
    }

    /// Hash of its first block, which tells chains apart that have one number; nothing where no endpoint has that block.
    pub const fn genesis(&self) -> Option<B256> {
        self.genesis
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

    pub(super) fn guess(&self) -> MutexGuard<'_, Guess> {
        self.guess.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check_id(&self, node: &Node, found: u64) -> Result<(), ChainError> {
        if found == self.id {
            return Ok(());
        }
        Err(ChainError::WrongChain {
            endpoint: node.label().to_owned(),
            found,
            expected: self.id,
        })
    }

    pub(super) async fn check_chain(&self, node: &Node) -> Result<(), ChainError> {
        let found = node.ask(&[Ask::chain_id()]).await?.number()?;
        self.check_id(node, found)
    }

    /// The first block's hash, where it is the one that is `pinned` or none is.
    async fn check_identity(&self, node: &Node, pinned: Option<B256>) -> Result<Option<B256>, ChainError> {
        let mut replies = node.ask(&[Ask::chain_id(), Ask::block(0)]).await?;
        self.check_id(node, replies.number()?)?;
        let first: Option<RawBlock> = replies
            .take()
            .or_else(|error| pinned.map_or(Ok(None), |_| Err(error)))?;
        let found = first.and_then(|raw| raw.sealed()).map(|block| block.hash);
        let Some(expected) = pinned else { return Ok(found) };
        let found = found.ok_or_else(|| node.misshapen("eth_getBlockByNumber"))?;
        if found == expected {
            return Ok(Some(found));
        }
        Err(ChainError::WrongGenesis {
            endpoint: node.label().to_owned(),
            chain: self.id,
            found,
            expected,
        })
    }
}
