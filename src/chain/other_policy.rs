//! How an app allows a compose hash that is no DstackApp, of the kinds that are known by name. Data; pure.

use std::fmt;

use alloy::primitives::Address;
use serde::Serialize;

/// How an app allows a compose hash, where its owner's call to the app is not what does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OtherPolicy {
    /// It passes its policy on to a contract that several apps share.
    Cluster {
        /// That contract.
        cluster: Address,
        /// Who owns that, where it says so.
        owner: Option<Address>,
    },
    /// A hash has to be proposed, and can be activated by anybody once its notice is over.
    Notice {
        /// Who proposes.
        owner: Address,
        /// Seconds of notice.
        seconds: u64,
        /// When the hash that was asked about was proposed, seconds since 1970.
        proposed_at: Option<u64>,
    },
}

impl fmt::Display for OtherPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { cluster, .. } => write!(f, "it passes its policy on to the cluster contract {cluster}"),
            Self::Notice { seconds, .. } => {
                write!(f, "it allows a compose hash only after a notice of {seconds} seconds")
            }
        }
    }
}
