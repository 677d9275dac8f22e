//! What an upgrade is given from outside: cloud, chain, key, person, and what may be done without asking again.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use url::Url;

use crate::chain::witness::LastTaken;
use crate::chain::{Chain, FeePolicy, Finality, greeting::Greeting, quorum::Quorum};
use crate::cloud::Client;
use crate::code::Code;
use crate::http::Http;
use crate::safe::{info::Trust, service::Services};
use crate::signer::{Ask, Signer, Source, Unlock};
use crate::upgrade::{
    accepted::Accepted,
    error::{Pending, UpgradeError},
};

/// What may be done without asking again, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long one run waits for the chain, the cloud and the restart.
    pub timeout: Duration,
    /// When a block is taken to stay; by default what suits the chain.
    pub finality: Option<Finality>,
    /// What the transaction may cost.
    pub fees: FeePolicy,
    /// Doubts that somebody agreed to by name.
    pub accepted: Accepted,
    /// Prepare although another update of this CVM is pending: its token is replaced.
    pub supersede: bool,
    /// Nonce of the key's transaction; by default the next one, once nothing of the key is in flight.
    pub nonce: Option<u64>,
    /// Sign with the next nonce although an earlier transaction of this upgrade lost its own.
    pub new_nonce: bool,
    /// Return when the commit is accepted, without waiting for the CVM.
    pub no_wait: bool,
    /// What is fine about the Safe that owns the app although this build does not know it.
    pub trust: Trust,
    /// Nonce of the Safe to use; by default the first one that is free.
    pub safe_nonce: Option<U256>,
    /// Ask no chain: what it would say is not checked.
    pub offline: bool,
    /// How many CVMs of a fleet are worked on at once.
    pub parallel: usize,
    /// The safeTxHash that somebody reviewed; no key agrees to another one.
    pub expected_safe_tx: Option<B256>,
}

impl Default for Limits {
    /// A quarter of an hour, what a transaction usually costs, and no doubt that anybody agreed to.
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(15),
            finality: None,
            fees: FeePolicy::default(),
            accepted: Accepted::default(),
            supersede: false,
            nonce: None,
            new_nonce: false,
            no_wait: false,
            trust: Trust::default(),
            safe_nonce: None,
            offline: false,
            parallel: 8,
            expected_safe_tx: None,
        }
    }
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// Prepared and verified.
    Verified,
    /// The proposal is written, with the transaction that a Safe's owners sign.
    Prepared,
    /// The transaction is sent.
    Executed,
    /// Its effect is proved.
    Proved,
    /// The commit is accepted.
    Committed,
    /// The CVM reports the hash.
    Live,
    /// An owner approved on chain: with its own key, or, where one is named, the Safe that is an owner by what its owners
    /// signed.
    ApprovedOnChain(Option<Address>),
    /// What was to be approved can never be executed.
    Rejected,
}

/// Where a run ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The goal was reached.
    Reached,
    /// Nothing is wrong; it waits for somebody or something.
    Pending(Pending),
}

/// The outside: cloud, chain, key, person.
pub struct World<'a> {
    /// Phala Cloud.
    pub cloud: &'a Client,
    /// Shared HTTP client.
    pub http: &'a Http,
    /// JSON-RPC endpoints.
    pub endpoints: &'a [Url],
    /// Endpoint that is asked for what contracts logged besides those, and for nothing else.
    pub histories: Option<&'a Url>,
    /// How many of them have to agree.
    pub quorum: &'a Quorum,
    /// Safe Transaction Services that may be asked.
    pub services: &'a Services,
    /// The chain, once it was reached.
    pub reached: Reached,
    /// Test builds only: known chain ids with another genesis are accepted.
    pub allow_unpinned: bool,
    /// Where the key is, if one was named.
    pub signer: Option<&'a Source>,
    /// How keystores open.
    pub unlock: &'a Unlock,
    /// Below this directory upgrades of this machine are kept.
    pub root: &'a Path,
    /// Transaction that may show that the app once allowed what runs: a hint, which counts only by its receipt.
    pub base_tx: Option<B256>,
    /// Where this machine remembers which Safe transactions its keys signed.
    pub record: Option<&'a Path>,
    /// The person, or what stands for one.
    pub ask: &'a dyn Ask,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("cloud", &self.cloud)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// A chain that was connected to, so that planning and acting share the connection and the newest block seen; and what was
/// taken of it last for evidence.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    chain: Arc<OnceLock<Chain>>,
    greeting: Arc<Mutex<Option<Greeting>>>,
    pub(in crate::upgrade) witness: LastTaken,
}

impl World<'_> {
    /// Opens the key that was named, to do `what`.
    ///
    /// # Errors
    /// None was named, or it cannot be opened.
    pub async fn open_signer(&self, what: &str) -> Result<Signer, UpgradeError> {
        let Some(source) = self.signer else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                format!("no key was named to {what}"),
            ));
        };
        Ok(Signer::open(source, self.unlock, self.ask).await?)
    }

    /// Begins to ask the endpoints who they are, since a chain will be needed once something else is known.
    pub fn greet(&self) {
        if self.endpoints.is_empty() || self.reached.chain.get().is_some() {
            return;
        }
        self.reached
            .greeting()
            .get_or_insert_with(|| Greeting::begin(self.endpoints, self.quorum, self.http));
    }

    /// Begins to ask the chain for its newest block, where it was reached: it will be read once something else is done.
    pub(in crate::upgrade) fn look_ahead(&self) {
        if let Some(chain) = self.reached.chain.get() {
            chain.look_ahead();
        }
    }

    /// Connects to the chain, once.
    ///
    /// # Errors
    /// See [`crate::chain::ChainError`].
    pub async fn chain(&self, chain_id: u64) -> Result<Chain, UpgradeError> {
        if let Some(chain) = self.reached.chain.get().filter(|chain| chain.id() == chain_id) {
            return Ok(chain.clone());
        }
        let options = crate::chain::Options {
            endpoints: self.endpoints.to_vec(),
            quorum: self.quorum.clone(),
            chain_id,
            allow_unpinned: self.allow_unpinned,
        };
        let greeting = self.reached.greeting().take();
        let greeting = greeting.unwrap_or_else(|| Greeting::begin(self.endpoints, self.quorum, self.http));
        let chain = Chain::greeted(&options, greeting).await?;
        let chain = match self.histories {
            Some(endpoint) => chain.with_histories_of(endpoint, &options, self.http),
            None => chain,
        };
        self.reached.chain.get_or_init(|| chain.clone());
        Ok(chain)
    }
}

impl Reached {
    fn greeting(&self) -> MutexGuard<'_, Option<Greeting>> {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
