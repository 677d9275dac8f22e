//! Ways to act that none of the others makes needless: who has to agree, and how long it takes from the first sign. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use alloy::primitives::Address;

use super::model::{Party, Rule};

/// Sets of parties that are told one by one; more of them become one that only counts.
pub(super) const MOST_SETS: usize = 64;

/// One way to act.
#[derive(Debug, Clone)]
pub struct Way {
    /// Everybody who has to agree.
    pub parties: BTreeSet<Party>,
    /// Seconds from the first transaction on, at least.
    pub notice: u64,
    /// Seconds for which the very call is public before it happens.
    pub shown: u64,
    /// How it comes about.
    pub how: Arc<How>,
}

/// How a way comes about.
#[derive(Debug, Clone)]
pub struct How {
    /// The node that acts; nothing where the effect itself is meant.
    pub node: Option<Address>,
    /// The rule by which it does; nothing where it passes on what anybody calls.
    pub rule: Option<Rule>,
    /// The ways of those who act by it: who approves, or who schedules and then who executes.
    pub by: Vec<Way>,
}

impl Way {
    /// How many people it takes at least.
    pub fn least(&self) -> usize {
        let exact = |party: &&Party| !matches!(party, Party::Some { .. });
        let named: usize = self.parties.iter().filter(exact).map(|party| party.least()).sum();
        // Whoever is only counted may be among those that are named.
        let counted = self.parties.iter().filter(|party| !exact(party));
        let counted = counted.map(|party| party.least()).max();
        named.max(counted.unwrap_or_default())
    }

    /// Whether every party of it is told by name.
    pub fn is_exact(&self) -> bool {
        !self.parties.iter().any(|party| matches!(party, Party::Some { .. }))
    }

    /// Whether this one makes the other needless.
    fn covers(&self, other: &Self) -> bool {
        self.notice <= other.notice && self.shown <= other.shown && is_within(&self.parties, &other.parties)
    }
}

/// Ways to act, none of which makes another needless.
#[derive(Debug, Clone, Default)]
pub struct Front {
    ways: Vec<Way>,
    /// The node whose parties are only counted, once there were too many sets of them.
    counted: Option<Address>,
}

impl Front {
    /// The ways, the quickest first, of those the ones with the fewest parties.
    pub fn ways(&self) -> &[Way] {
        &self.ways
    }

    /// Adds a way; whether that makes a difference.
    pub fn add(&mut self, way: Way) -> bool {
        let way = match self.counted {
            Some(of) => only_counted(of, &way),
            None => way,
        };
        if self.ways.iter().any(|known| known.covers(&way)) {
            return false;
        }
        self.ways.retain(|known| !way.covers(known));
        let key = |way: &Way| (way.notice, way.parties.len(), way.parties.clone());
        let at = self.ways.partition_point(|known| key(known) <= key(&way));
        self.ways.insert(at, way);
        true
    }

    /// Tells too many sets of parties by their number alone; whether it had to.
    pub fn bound(&mut self, of: Address) -> bool {
        if self.ways.len() <= MOST_SETS || self.counted.is_some() {
            return false;
        }
        self.counted = Some(of);
        for way in std::mem::take(&mut self.ways) {
            self.add(way);
        }
        true
    }
}

/// Whether these are among the others; fewer owners of a Safe, of whom only the number is told, are among more of them.
fn is_within(parties: &BTreeSet<Party>, others: &BTreeSet<Party>) -> bool {
    let is_one = |party: &Party| match party {
        Party::Some { of, least } => others
            .iter()
            .any(|other| matches!(other, Party::Some { of: theirs, least: more } if theirs == of && more >= least)),
        named => others.contains(named),
    };
    parties.iter().all(is_one)
}

/// The way with its parties only counted: of the fewest that any of its ways needs.
pub(super) fn only_counted(of: Address, way: &Way) -> Way {
    let least = way.least();
    let parties = match least {
        0 => BTreeSet::new(),
        least => [Party::Some { of, least }].into(),
    };
    Way { parties, ..way.clone() }
}
