//! The names of an environment in three places: the local file, the CVM's manifest, an update that waits. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use super::EnvName;

/// Names in order. The order is part of the manifest, so it is part of the compose hash.
pub type Names = Vec<EnvName>;

/// What the local names would do to the names that are live, and to those of an update that waits for its commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NameChange {
    /// Local, and not live: the guest would receive them for the first time.
    pub appear: Vec<String>,
    /// Live, and not local: the guest would no longer receive them.
    pub vanish: Vec<String>,
    /// Local and live names are equal but for their order: another compose hash, nothing else.
    pub reordered: bool,
    /// In the waiting update, and not local: whoever made it would miss them.
    pub lost_from_pending: Vec<String>,
}

impl NameChange {
    /// Compares local names with live ones and, where an update waits, with its names. They are texts, since those of a
    /// manifest are another's and may be anything.
    pub fn between(local: &[String], live: &[String], pending: Option<&[String]>) -> Self {
        let lacks = |list: &[String], other: &[String]| -> Vec<String> {
            let known: BTreeSet<&String> = other.iter().collect();
            list.iter().filter(|name| !known.contains(name)).cloned().collect()
        };
        let (appear, vanish) = (lacks(local, live), lacks(live, local));
        Self {
            reordered: appear.is_empty() && vanish.is_empty() && local != live,
            lost_from_pending: pending.map(|pending| lacks(pending, local)).unwrap_or_default(),
            appear,
            vanish,
        }
    }
    /// Whether only values can differ: the same names in the same order, so the compose hash stays and nobody has to
    /// approve on chain.
    pub const fn is_value_only(&self) -> bool {
        self.appear.is_empty() && self.vanish.is_empty() && !self.reordered
    }
}
