//! The three answers that every step of a verification gives. Pure; used by everything in this room.

use serde::{Deserialize, Serialize};

/// What a step says. Ordered: where several are joined, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It was looked at, and it is so.
    Holds,
    /// It could not be found out: something is missing, of an unknown format, or not of this time.
    NotKnown,
    /// It was looked at, and something contradicts it.
    Broken,
}
