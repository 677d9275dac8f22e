//! What endpoints say first: of which chain they are, and their newest block. They are asked before it is known which chain they
//! have to be of, so that nobody waits for it afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy::primitives::B256;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use url::Url;

use super::error::ChainError;
use super::quorum::Quorum;
use super::rpc::{Ask, Node, RawBlock};
use crate::http::{Endpoint, Http, RpcTransport};

/// Longest time for a request when the time for the run is over: its last look has to be possible, at the others too where
/// one is silent.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// How long a newest block that was asked for ahead is taken for the newest one: no longer than blocks take.
const NEWEST: Duration = Duration::from_secs(1);

/// What one endpoint said first.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) chain_id: u64,
    /// Hash of its first block; `None` where it has none, an error where it does not say.
    pub(super) first: Result<Option<B256>, ChainError>,
    /// Its newest block, and when it said so.
    top: Option<(RawBlock, Instant)>,
}

impl Hello {
    pub(super) async fn of(node: &Node) -> Result<Self, ChainError> {
        let mut replies = node
            .ask(&[Ask::chain_id(), Ask::block(0), Ask::block_at("latest")])
            .await?;
        let chain_id = replies.number()?;
        let first: Result<Option<RawBlock>, ChainError> = replies.take();
        let top: Option<RawBlock> = replies.take().ok();
        Ok(Self {
            chain_id,
            first: first.map(|raw| raw.and_then(|raw| raw.sealed()).map(|block| block.hash)),
            top: top.map(|raw| (raw, Instant::now())),
        })
    }
}

/// The newest blocks that endpoints named before anybody wanted them, by the place of their endpoint; each is taken once.
#[derive(Debug, Default)]
pub(super) struct Tops {
    kept: Arc<Mutex<BTreeMap<usize, (RawBlock, Instant)>>>,
    asked: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Tops {
    pub(super) fn keep(&self, place: usize, hello: &mut Hello) {
        let top = hello.top.take().map(|top| (place, top));
        lock(&self.kept).extend(top);
    }

    /// Begins to ask these endpoints, and does not wait; not where somebody asks already.
    pub(super) fn ask(&self, nodes: &Arc<[Node]>, chain_id: u64) {
        let Ok(mut asked) = self.asked.try_lock() else {
            return;
        };
        if asked.is_some() {
            return;
        }
        let (nodes, kept) = (Arc::clone(nodes), Arc::clone(&self.kept));
        *asked = Some(tokio::spawn(async move {
            let tops = join_all(nodes.iter().map(|node| newest(node, chain_id))).await;
            let tops = tops.into_iter().enumerate();
            let told = tops.filter_map(|(place, top)| Some((place, (top?, Instant::now()))));
            lock(&kept).extend(told);
        }));
    }

    /// What was told ahead is old once the chain was asked for something that happened.
    pub(super) fn forget(&self) {
        let asked = self.asked.try_lock().ok().and_then(|mut asked| asked.take());
        if let Some(asked) = asked {
            asked.abort();
        }
        lock(&self.kept).clear();
    }

    /// The newest block of an endpoint, where it was told a moment ago.
    pub(super) async fn take(&self, place: usize) -> Option<RawBlock> {
        if let Some(asked) = self.asked.lock().await.take() {
            // What could not be had is asked for again.
            let _ended = asked.await;
        }
        let (raw, at) = lock(&self.kept).remove(&place)?;
        (at.elapsed() < NEWEST).then_some(raw)
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An endpoint's newest block, where it is of the right chain and says so.
async fn newest(node: &Node, chain_id: u64) -> Option<RawBlock> {
    let mut replies = node.ask(&[Ask::chain_id(), Ask::block_at("latest")]).await.ok()?;
    let is_right = replies.number().ok()? == chain_id;
    replies.take().ok().filter(|_| is_right)
}

/// Endpoints that are asked who they are. What they say waits until a chain is connected to.
#[derive(Debug)]
pub struct Greeting {
    pub(super) nodes: Arc<[Node]>,
    asked: JoinHandle<Vec<Result<Hello, ChainError>>>,
}

impl Greeting {
    /// Begins to ask them on the Tokio runtime that this is called in, and does not wait. One round trip to each.
    pub fn begin(endpoints: &[Url], quorum: &Quorum, http: &Http) -> Self {
        let http = match quorum.until {
            Some(until) => http.clone().until(until).sharing(LAST_LOOK),
            None => http.clone(),
        };
        let nodes = endpoints
            .iter()
            .map(|url| Node::new(RpcTransport::new(http.clone(), Endpoint::new(url.clone()))));
        let nodes: Arc<[Node]> = nodes.collect();
        let asked = Arc::clone(&nodes);
        Self {
            nodes,
            asked: tokio::spawn(async move { join_all(asked.iter().map(Hello::of)).await }),
        }
    }

    /// What each said, in their order; nothing where the asking itself broke.
    pub(super) async fn said(&mut self) -> Vec<Option<Result<Hello, ChainError>>> {
        let said = (&mut self.asked).await.unwrap_or_default();
        said.into_iter().map(Some).collect()
    }
}

impl Drop for Greeting {
    fn drop(&mut self) {
        self.asked.abort();
    }
}
