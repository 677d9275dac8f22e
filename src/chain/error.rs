//! Why a chain gave no usable answer.

use alloy::primitives::{Address, B256};
use serde::Serialize;

use super::other_policy::OtherPolicy;

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
    /// The app's address has a contract of a kind that is known by name and to which no route leads.
    #[error("the app {address} is not a DstackApp: {policy}")]
    OtherPolicy {
        /// Address.
        address: Address,
        /// How it allows a hash.
        policy: OtherPolicy,
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
        /// The contradiction, for people.
        what: String,
    },
    /// No endpoint was given.
    #[error("no RPC endpoint was given for chain {chain}")]
    NoEndpoint {
        /// Chain id.
        chain: u64,
    },
}

/// An endpoint that is missing where others agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Scheme and host.
    pub endpoint: String,
    /// Why, for people.
    pub why: String,
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.why)
    }
}

/// Two endpoints that cannot both be right.
pub(super) fn contradiction(first: &str, second: &str, what: &str, block: u64) -> ChainError {
    ChainError::Disagreement {
        first: first.to_owned(),
        second: second.to_owned(),
        what: what.to_owned(),
        block,
    }
}

/// Who is missing and why, in one line.
pub(super) fn told(missing: &[Missing]) -> String {
    let each: Vec<String> = missing.iter().map(ToString::to_string).collect();
    each.join("; ")
}

/// An error with its sources, in one line.
pub(super) fn whole(error: &ChainError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}
