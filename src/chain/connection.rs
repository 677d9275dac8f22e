//! A chain behind its endpoints: who they are, and that they are of the chain that was asked for.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256};
use tokio::sync::OnceCell;
use url::Url;

use super::block::BlockRef;
use super::error::ChainError;
use super::greeting::{Greeting, Hello, Tops};
use super::networks::{freshness, genesis};
use super::quorum::{Quorum, Turnout};
use super::rpc::{Ask, Node};
use crate::http::Http;

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
    /// The newest blocks that they named when they were asked who they are.
    pub(super) tops: Arc<Tops>,
    /// Who is asked for histories besides.
    pub(super) past: Option<Arc<Past>>,
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

/// An endpoint that is asked for histories alone, once one is wanted.
#[derive(Debug)]
pub(super) struct Past {
    options: Options,
    http: Http,
    reached: OnceCell<Chain>,
}

impl Past {
    fn new(options: Options, http: Http) -> Self {
        Self {
            options,
            http,
            reached: OnceCell::new(),
        }
    }

    /// It has to be of the same chain.
    ///
    /// # Errors
    /// It is not, or does not answer.
    pub(super) async fn chain(&self) -> Result<&Chain, ChainError> {
        let connect = || async { Box::pin(Chain::connect(&self.options, &self.http)).await };
        self.reached.get_or_try_init(connect).await
    }
}

impl Chain {
    /// Checks chain id and genesis of every endpoint: one round trip to each.
    ///
    /// # Errors
    /// No endpoint, a wrong chain, or fewer that answer than have to.
    pub async fn connect(options: &Options, http: &Http) -> Result<Self, ChainError> {
        let chain = Self::greeted(options, Greeting::begin(&options.endpoints, &options.quorum, http)).await?;
        chain.tops.forget();
        Ok(chain)
    }

    /// As [`Self::connect`], with endpoints that were asked already: the first [`Self::head`] within a second is the newest
    /// block that they named then.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn greeted(options: &Options, mut greeting: Greeting) -> Result<Self, ChainError> {
        let mut chain = Self {
            nodes: Arc::clone(&greeting.nodes),
            quorum: options.quorum.clone(),
            id: options.chain_id,
            genesis: None,
            freshness: if options.allow_unpinned {
                None
            } else {
                freshness(options.chain_id)
            },
            seen: Arc::new(AtomicU64::new(0)),
            tops: Arc::default(),
            past: None,
            guess: Arc::default(),
        };
        chain.begin_turnout();
        let pinned = genesis(options.chain_id).filter(|_| !options.allow_unpinned);
        let said = Mutex::new(greeting.said().await);
        let found = chain.gather(|node| chain.check_identity(node, &said, pinned)).await?;
        chain.genesis = found.into_iter().find_map(|(_, genesis)| genesis);
        Ok(chain)
    }

    /// Asks one more endpoint for what contracts logged, which gives long histories where the others refuse them: those are
    /// asked once then, and left out where they refuse. It takes no other part, and what it tells counts by receipts and state
    /// that the others agree on. It is connected to when a history is wanted.
    #[must_use]
    pub fn with_histories_of(mut self, endpoint: &Url, options: &Options, http: &Http) -> Self {
        self.nodes.iter().for_each(Node::be_brief);
        let options = Options {
            endpoints: vec![endpoint.clone()],
            quorum: Quorum {
                needed: None,
                turnout: Turnout::default(),
                ..options.quorum.clone()
            },
            ..options.clone()
        };
        self.past = Some(Arc::new(Past::new(options, http.clone())));
        self
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
        self.tops.forget();
        self.gather(|node| self.check_chain(node)).await?;
        Ok(())
    }

    pub(super) fn guess(&self) -> MutexGuard<'_, Guess> {
        self.guess.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of the endpoints this one is.
    pub(super) fn place(&self, node: &Node) -> usize {
        let same = self.nodes.iter().position(|other| std::ptr::eq(other, node));
        same.unwrap_or(self.nodes.len())
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

    /// The first block's hash, where it is the one that is `pinned` or none is: as the endpoint said it, or says now.
    async fn check_identity(
        &self,
        node: &Node,
        said: &Mutex<Vec<Option<Result<Hello, ChainError>>>>,
        pinned: Option<B256>,
    ) -> Result<Option<B256>, ChainError> {
        let place = self.place(node);
        let earlier = said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_mut(place)
            .and_then(Option::take);
        let mut hello = match earlier {
            Some(said) => said?,
            None => Hello::of(node).await?,
        };
        self.check_id(node, hello.chain_id)?;
        self.tops.keep(place, &mut hello);
        let found = hello.first.or_else(|error| pinned.map_or(Ok(None), |_| Err(error)))?;
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
