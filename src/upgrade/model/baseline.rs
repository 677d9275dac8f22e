//! What a change is shown against, and how far that is proven. Data only.

use alloy::primitives::B256;

/// What is known of the manifest before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) enum Baseline {
    /// The app allows its hash.
    Proven,
    /// The endpoints that answered say that the app allows its hash, and they are fewer than have to agree.
    NotChecked {
        /// Who is missing and why, for people.
        missing: Vec<String>,
    },
    /// The app allowed it once and took it away.
    Revoked {
        /// Transaction in which an event names it.
        transaction: B256,
    },
    /// The app never allowed it.
    Never,
    /// Whether the app ever allowed it is not known.
    Unknown {
        /// Why, for people.
        why: String,
    },
    /// There is nothing before: a CVM is made, or no code changes.
    Nothing,
}

/// What is known of the past of the hash that is to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upgrade) enum Past {
    /// It was on the list and was taken away, in this transaction.
    TakenAway(B256),
    /// It never was, or it is on the list now.
    Clean,
    /// Nobody looked, or not far enough.
    NotKnown,
}
