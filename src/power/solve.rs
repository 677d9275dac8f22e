//! The quickest ways to every effect, by the rules of the nodes: the least fixed point from nobody being able to act. Pure.
//!
//! | rule | who has to agree, and how long it takes |
//! |---|---|
//! | `Party` | that party, at once |
//! | `Any` | nobody, at once |
//! | `Child` | as whoever acts |
//! | `KOfN` | every choice of k: all their parties, and as long as the slowest of them takes, for they go on beside one another |
//! | `All` | all of them, and the delay |
//! | `Lock` | who schedules and who executes; scheduling, then the delay, and the executor's own time beside that |
//!
//! Whatever is not known adds power: an address without a node acts for an unknown party at once, and what is too much to be
//! computed is a way that needs fewer parties, never none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use alloy::primitives::Address;

use super::front::{Front, How, Way, only_counted};
use super::model::{Actor, Kind, Node, Party, Rule, Who, World};

/// Owners of a Safe whose choices are told one by one.
pub(super) const MOST_OWNERS: usize = 50;
/// Choices that are made for one Safe before its parties are only counted.
pub(super) const MOST_CHOICES: usize = 20_000;

/// The ways that lead to effects, and where they could only be bounded.
#[derive(Debug, Clone, Default)]
pub struct Solution {
    /// Of every effect, in the order of the world's.
    pub effects: Vec<Front>,
    /// Nodes with more choices than are told one by one.
    pub bounded: BTreeSet<Address>,
}

/// The quickest ways to every effect of a world.
pub fn solve(world: &World) -> Solution {
    let mut solver = Solver::new(world);
    while solver.round() {}
    let effects = world.effects.iter().map(|effect| {
        let mut front = Front::default();
        for way in solver.ways(None, &effect.by) {
            front.add(way);
        }
        front
    });
    Solution {
        effects: effects.collect(),
        bounded: solver.bounded.clone(),
    }
}

struct Solver<'w> {
    world: &'w World,
    acts: BTreeMap<Address, Front>,
    bounded: BTreeSet<Address>,
}

impl<'w> Solver<'w> {
    fn new(world: &'w World) -> Self {
        let acts = world.nodes.keys().map(|address| (*address, Front::default()));
        let too_many = |node: &&Node| node.rules.iter().any(has_too_many);
        let bounded = world.nodes.values().filter(too_many).map(|node| node.address);
        Self {
            world,
            acts: acts.collect(),
            bounded: bounded.collect(),
        }
    }

    /// Applies every rule once; whether that made a difference.
    fn round(&mut self) -> bool {
        let mut changed = false;
        for (address, node) in &self.world.nodes {
            let ways: Vec<Way> = node
                .rules
                .iter()
                .flat_map(|rule| self.ways(Some(*address), rule))
                .collect();
            let Some(front) = self.acts.get_mut(address) else {
                continue;
            };
            for way in ways {
                changed |= front.add(way);
            }
            if front.bound(*address) {
                self.bounded.insert(*address);
                changed = true;
            }
        }
        changed
    }

    /// The ways that a rule gives by what is known so far.
    fn ways(&self, node: Option<Address>, rule: &Rule) -> Vec<Way> {
        let way = |parties: BTreeSet<Party>, notice: u64, shown: u64, by: Vec<Way>| Way {
            parties,
            notice,
            shown,
            how: Arc::new(How {
                node,
                rule: Some(rule.clone()),
                by,
            }),
        };
        match rule {
            Rule::Party { party } => vec![way([*party].into(), 0, 0, Vec::new())],
            Rule::Any => vec![way(BTreeSet::new(), 0, 0, Vec::new())],
            Rule::Child { of } => {
                let hides = node.and_then(|node| self.world.nodes.get(&node)).is_some_and(can_hide);
                let each = self.of(*of).into_iter();
                each.map(|by| {
                    let shown = if hides { 0 } else { by.shown };
                    way(by.parties.clone(), by.notice, shown, vec![by])
                })
                .collect()
            }
            Rule::KOfN { k, of } => self
                .choices(node, *k, of)
                .into_iter()
                .map(|choice| {
                    let (parties, notice) = together(&choice);
                    way(parties, notice, 0, choice)
                })
                .collect(),
            Rule::All { of, delay, .. } => vec![way(of.iter().copied().collect(), *delay, *delay, Vec::new())],
            Rule::Lock { .. } => self
                .locked(rule)
                .into_iter()
                .map(|locked| {
                    let parties = locked.by.iter().flat_map(|by| by.parties.iter().copied());
                    way(parties.collect(), locked.notice, locked.shown, locked.by)
                })
                .collect(),
        }
    }

    /// The ways in which somebody acts as asked.
    fn of(&self, actor: Actor) -> Vec<Way> {
        let acts = |address: Address| match self.acts.get(&address) {
            Some(front) => front.ways().to_vec(),
            None => self.ways(
                Some(address),
                &Rule::Party {
                    party: Party::Unknown(address),
                },
            ),
        };
        let mut front = Front::default();
        let makes_no_call = |address: &Address| self.world.nodes.get(address).is_some_and(|node| node.only_as_module);
        if matches!(&actor, Actor::Signs(from) | Actor::Calls { from, .. } if makes_no_call(from)) {
            return Vec::new();
        }
        let (address, more) = match actor {
            Actor::Acts(address) => (address, Vec::new()),
            Actor::Signs(address) => {
                let signs_by = self.world.nodes.get(&address).map(|node| node.signs_by.as_slice());
                let more = signs_by.unwrap_or_default().iter();
                (address, more.flat_map(|rule| self.ways(Some(address), rule)).collect())
            }
            Actor::Calls { from, to } => {
                let passes_on = self
                    .world
                    .nodes
                    .get(&from)
                    .is_some_and(|node| node.passes_on_to == Some(to));
                let how = How {
                    node: Some(from),
                    rule: None,
                    by: Vec::new(),
                };
                let anybody = Way {
                    parties: BTreeSet::new(),
                    notice: 0,
                    shown: 0,
                    how: Arc::new(how),
                };
                (from, Some(anybody).filter(|_| passes_on).into_iter().collect())
            }
        };
        for way in acts(address).into_iter().chain(more) {
            front.add(way);
        }
        front.ways().to_vec()
    }

    /// Choices of `k` of these, without those that others make needless.
    fn choices(&self, node: Option<Address>, k: usize, of: &[Actor]) -> Vec<Vec<Way>> {
        let fronts: Vec<Vec<Way>> = of.iter().map(|actor| self.of(*actor)).collect();
        if k == 0 {
            return vec![Vec::new()];
        }
        let counted = node.is_some_and(|node| self.bounded.contains(&node));
        let named = (!counted).then(|| combine(k, &fronts)).flatten();
        named.unwrap_or_else(|| fewest(node.unwrap_or_default(), k, &fronts).into_iter().collect())
    }

    /// The ways through a delay.
    fn locked(&self, rule: &Rule) -> Vec<Locked> {
        let Rule::Lock {
            delay,
            proposers,
            executors,
            after,
            shows,
        } = rule
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for proposer in self.each(proposers) {
            for executor in self.each(executors) {
                let own = executor.as_ref().map_or(0, |by| by.notice);
                // What waits is executed by the same who execute in the end.
                let begins = if *after > 0 { (*after).max(own) } else { 0 };
                let scheduled = proposer.as_ref().map_or(0, |by| by.notice).max(begins);
                let public = proposer.as_ref().map_or(0, |by| by.shown);
                found.push(Locked {
                    notice: scheduled.saturating_add(*delay).max(own),
                    shown: if *shows { public.saturating_add(*delay) } else { 0 },
                    by: proposer.iter().chain(&executor).cloned().collect(),
                });
            }
        }
        found
    }

    /// The ways of each of them; nobody's where everybody may.
    fn each(&self, who: &Who) -> Vec<Option<Way>> {
        match who {
            Who::Anybody => vec![None],
            Who::Of(actors) => {
                let mut front = Front::default();
                for way in actors.iter().flat_map(|actor| self.of(*actor)) {
                    front.add(way);
                }
                front.ways().iter().cloned().map(Some).collect()
            }
        }
    }
}

/// A way through a delay.
struct Locked {
    notice: u64,
    shown: u64,
    by: Vec<Way>,
}

/// Whether a node can do something that its call does not show: a Safe runs code of the caller's choice as its own.
const fn can_hide(node: &Node) -> bool {
    matches!(node.kind, Kind::Safe)
}

/// Whether a Safe has more owners than are told one by one.
const fn has_too_many(rule: &Rule) -> bool {
    matches!(rule, Rule::KOfN { of, .. } if of.len() > MOST_OWNERS)
}

/// All parties of ways that go on beside one another, and how long the slowest takes.
fn together(ways: &[Way]) -> (BTreeSet<Party>, u64) {
    let parties = ways.iter().flat_map(|way| way.parties.iter().copied()).collect();
    (parties, ways.iter().map(|way| way.notice).max().unwrap_or_default())
}

/// A choice of several ways: their parties by number, how long the slowest takes, and which way of which front each is.
#[derive(Clone)]
struct Choice {
    parties: u128,
    notice: u64,
    picks: Vec<(usize, usize)>,
}

/// Every choice of `k` of these that no other makes needless; nothing where there are too many.
fn combine(k: usize, fronts: &[Vec<Way>]) -> Option<Vec<Vec<Way>>> {
    let all: BTreeSet<Party> = fronts
        .iter()
        .flatten()
        .flat_map(|way| way.parties.iter().copied())
        .collect();
    if all.len() > 128 {
        return None;
    }
    let numbers: BTreeMap<Party, u32> = all.into_iter().zip(0..).collect();
    let bits = |way: &Way| {
        way.parties
            .iter()
            .filter_map(|party| numbers.get(party))
            .fold(0, |bits, number| bits | 1 << number)
    };
    let nothing = Choice {
        parties: 0,
        notice: 0,
        picks: Vec::new(),
    };
    let mut chosen: Vec<Vec<Choice>> = vec![Vec::new(); k.saturating_add(1)];
    chosen.first_mut()?.push(nothing);
    let mut made = 0usize;
    for (owner, front) in fronts.iter().enumerate() {
        for size in (1..=k).rev() {
            let smaller = chosen.get(size - 1).cloned().unwrap_or_default();
            let larger = chosen.get_mut(size)?;
            for (index, way) in front.iter().enumerate() {
                let parties: u128 = bits(way);
                for choice in &smaller {
                    made += 1;
                    if made > MOST_CHOICES {
                        return None;
                    }
                    let mut new = choice.clone();
                    new.parties |= parties;
                    new.notice = new.notice.max(way.notice);
                    new.picks.push((owner, index));
                    keep(larger, new);
                }
            }
        }
    }
    let way = |(owner, index): &(usize, usize)| fronts.get(*owner)?.get(*index).cloned();
    let whole = chosen.pop()?;
    whole
        .iter()
        .map(|choice| choice.picks.iter().map(way).collect())
        .collect()
}

/// Adds a choice unless another makes it needless, and takes out those that it makes needless.
fn keep(choices: &mut Vec<Choice>, new: Choice) {
    let covers = |one: &Choice, other: &Choice| one.notice <= other.notice && one.parties & !other.parties == 0;
    if choices.iter().any(|known| covers(known, &new)) {
        return;
    }
    choices.retain(|known| !covers(&new, known));
    choices.push(new);
}

/// A choice of which only the number of parties is told: the k quickest, and no more parties than any k of them need.
fn fewest(safe: Address, k: usize, fronts: &[Vec<Way>]) -> Option<Vec<Way>> {
    let able: Vec<&Vec<Way>> = fronts.iter().filter(|front| !front.is_empty()).collect();
    let mut quickest: Vec<&Way> = able
        .iter()
        .filter_map(|front| front.iter().min_by_key(|way| way.notice))
        .collect();
    quickest.sort_by_key(|way| way.notice);
    let slowest = quickest.get(k.checked_sub(1)?)?;
    // Keys of their own are counted; who may own more than once, or may be anybody, counts as few as it can.
    let is_key = |way: &Way| matches!(way.parties.iter().collect::<Vec<_>>().as_slice(), [Party::Key(_)]);
    let keys: BTreeSet<&Party> = able
        .iter()
        .filter(|front| front.len() == 1)
        .flat_map(|front| front.iter())
        .filter(|way| is_key(way))
        .flat_map(|way| &way.parties)
        .collect();
    let others = able.len() - keys.len();
    let mut fewest: Vec<usize> = able
        .iter()
        .filter_map(|front| front.iter().map(Way::least).min())
        .collect();
    fewest.sort_unstable();
    let least = fewest
        .get(k.checked_sub(1)?)
        .copied()
        .unwrap_or_default()
        .max(k.saturating_sub(others));
    let mut way = (*slowest).clone();
    way.parties = match least {
        0 => BTreeSet::new(),
        least => [Party::Some { of: safe, least }].into(),
    };
    way.shown = 0;
    Some(vec![only_counted(safe, &way)])
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;
