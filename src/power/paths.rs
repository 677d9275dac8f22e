//! Ways as people and programs are told them: paths with their steps, who can stop them, and how sure they are. Pure.

use std::collections::BTreeSet;

use alloy::primitives::Address;
use serde::Serialize;

use super::front::Way;
use super::model::{Class, Confidence, Domain, Effect, Kind, Node, Party, Rule, Veto, Who, World};
use super::solve::Solution;

/// Whoever needs no right for it.
const ANYBODY: &str = "anybody";

/// One path to an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Path {
    /// Its name in this answer.
    pub id: String,
    /// What it changes.
    pub effect: Class,
    /// By whose power.
    pub domain: Domain,
    /// The contract whose state changes.
    pub target: Option<Address>,
    /// The call, or what is done.
    pub call: &'static str,
    /// Everybody who has to agree; nobody: anybody does it.
    pub parties: Vec<Party>,
    /// How many people that is at least.
    pub least_parties: usize,
    /// Whether all of them are told by name.
    pub parties_exact: bool,
    /// Seconds from the first sign of anything to the effect, at least.
    pub notice: u64,
    /// Seconds for which the very hash is public before it is allowed.
    pub code_notice: u64,
    /// Whether the seconds are the contracts' own, and not computed from a number of blocks.
    pub notice_exact: bool,
    /// What waits already and makes the path.
    pub announced: Option<String>,
    /// How sure it is.
    pub confidence: Confidence,
    /// Who can stop it.
    pub vetoes: Vec<Veto>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// By whom.
    pub by: String,
    /// What that is.
    #[serde(rename = "as")]
    pub role: String,
    /// Which call, or what else.
    pub call: String,
    /// Of which contract, where that is not what the path is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Address>,
    /// Seconds after the first sign.
    pub at: u64,
}

/// Every path of a solved world: by domain, then the quickest first, then the one with the fewest parties.
pub fn paths(world: &World, solution: &Solution) -> Vec<Path> {
    let mut found: Vec<Path> = world
        .effects
        .iter()
        .zip(&solution.effects)
        .flat_map(|(effect, front)| front.ways().iter().map(|way| path(world, effect, way)))
        .collect();
    let order = |path: &Path| {
        (
            path.domain,
            path.effect,
            path.notice,
            path.least_parties,
            path.code_notice,
            path.parties.clone(),
            path.call,
        )
    };
    found.sort_by_key(order);
    found.dedup();
    for (number, path) in found.iter_mut().enumerate() {
        path.id = format!("p{}", number.saturating_add(1));
    }
    found
}

fn path(world: &World, effect: &Effect, way: &Way) -> Path {
    let mut told = Told {
        world,
        steps: Vec::new(),
        nodes: BTreeSet::new(),
        estimated: false,
    };
    let target = effect.target;
    told.act(
        way,
        Doing {
            call: effect.call,
            to: target,
            at: way.notice,
        },
    );
    told.steps.sort_by_key(|step| step.at);
    let code_notice = match (effect.names_the_hash, effect.announced.is_some()) {
        (false, _) => 0,
        (true, true) => way.notice,
        (true, false) => way.shown,
    };
    let vetoes = told.nodes.iter().filter_map(|node| world.nodes.get(node)?.veto.clone());
    Path {
        id: String::new(),
        effect: effect.class,
        domain: effect.domain,
        target,
        call: effect.call,
        parties: way.parties.iter().copied().collect(),
        least_parties: way.least(),
        parties_exact: way.is_exact(),
        notice: way.notice,
        code_notice,
        notice_exact: !told.estimated,
        announced: effect.announced.clone(),
        confidence: told.confidence(way),
        vetoes: vetoes.filter(|veto| !veto.by.is_empty()).collect(),
        steps: told.steps,
    }
}

/// What somebody does.
#[derive(Clone, Copy)]
struct Doing<'d> {
    call: &'d str,
    to: Option<Address>,
    /// Seconds after the first sign.
    at: u64,
}

impl Doing<'_> {
    fn by(self, by: &str, role: &str) -> Step {
        Step {
            by: by.to_owned(),
            role: role.to_owned(),
            call: self.call.to_owned(),
            to: self.to,
            at: self.at,
        }
    }
}

/// A way while it is told.
struct Told<'w> {
    world: &'w World,
    steps: Vec<Step>,
    nodes: BTreeSet<Address>,
    estimated: bool,
}

impl Told<'_> {
    /// Tells how something is done by a way: what comes before it, then the act itself.
    fn act(&mut self, way: &Way, doing: Doing<'_>) {
        let how = &way.how;
        self.nodes.extend(how.node);
        match (&how.rule, how.by.as_slice()) {
            (None, _) => {
                let through = how.node.map(|node| format!("through the handler of {node}"));
                let to = how.node;
                return self.step(Doing { to, ..doing }.by(ANYBODY, &through.unwrap_or_default()));
            }
            (Some(Rule::Party { party }), _) => return self.party(*party, doing),
            (Some(Rule::Any), _) => return self.step(doing.by(ANYBODY, ANYBODY)),
            (Some(Rule::Child { .. }), by) => {
                let module = how.node.filter(|node| self.is_safe(*node));
                let as_module = Doing {
                    call: "execTransactionFromModule",
                    to: module,
                    ..doing
                };
                by.iter()
                    .for_each(|by| self.act(by, if module.is_some() { as_module } else { doing }));
                if module.is_none() {
                    return;
                }
            }
            (Some(Rule::KOfN { .. }), approvals) => {
                let call = "approve the Safe's transaction";
                let to = how.node;
                approvals
                    .iter()
                    .for_each(|by| self.act(by, Doing { call, to, ..doing }));
            }
            (Some(Rule::All { of, delay, estimated }), _) => {
                self.estimated |= estimated;
                let vote = Doing {
                    call: "propose, and vote for it",
                    to: how.node,
                    at: doing.at.saturating_sub(*delay),
                };
                of.iter().for_each(|party| self.party(*party, vote));
            }
            (Some(rule @ Rule::Lock { .. }), by) => self.lock(rule, by, Doing { to: how.node, ..doing }),
        }
        if let Some(node) = how.node {
            let known = self.world.nodes.get(&node);
            let label = known.map_or_else(|| Kind::Unknown.name().to_owned(), Node::label);
            self.step(doing.by(&node.to_string(), &label));
        }
    }

    fn is_safe(&self, node: Address) -> bool {
        self.world.nodes.get(&node).is_some_and(|node| node.kind == Kind::Safe)
    }

    /// What a lock's proposer and executor do, in the order of the ways, which are theirs.
    fn lock(&mut self, rule: &Rule, by: &[Way], doing: Doing<'_>) {
        let Rule::Lock {
            delay,
            proposers,
            executors,
            after,
            ..
        } = rule
        else {
            return;
        };
        let mut by = by.iter();
        let proposer = matches!(proposers, Who::Of(_)).then(|| by.next()).flatten();
        let executor = matches!(executors, Who::Of(_)).then(|| by.next()).flatten();
        let execute = |call, at| Doing { call, at, ..doing };
        if *after > 0 {
            self.somebody(executor, execute("execute what waits", *after));
        }
        if proposer.is_some() {
            self.somebody(proposer, execute("schedule", doing.at.saturating_sub(*delay)));
        }
        if *after == 0 || *delay > 0 {
            self.somebody(executor, execute("execute", doing.at));
        }
    }

    fn somebody(&mut self, way: Option<&Way>, doing: Doing<'_>) {
        match way {
            Some(way) => self.act(way, doing),
            None => self.step(doing.by(ANYBODY, ANYBODY)),
        }
    }

    fn party(&mut self, party: Party, doing: Doing<'_>) {
        self.nodes.extend(who(party));
        self.step(doing.by(&party.to_string(), role_of(party)));
    }

    fn step(&mut self, step: Step) {
        if !self.steps.contains(&step) {
            self.steps.push(step);
        }
    }

    /// As sure as the least sure of its nodes.
    fn confidence(&self, way: &Way) -> Confidence {
        let unknown = |party: &Party| matches!(party, Party::Unknown(_));
        let of = |node: &Address| {
            self.world
                .nodes
                .get(node)
                .map_or(Confidence::Unknown, |node| node.confidence)
        };
        match way.parties.iter().any(unknown) {
            true => Confidence::Unknown,
            false => self.nodes.iter().map(of).max().unwrap_or(Confidence::Closed),
        }
    }
}

/// The node that a party is.
const fn who(party: Party) -> Option<Address> {
    match party {
        Party::Key(address) => Some(address),
        _ => None,
    }
}

const fn role_of(party: Party) -> &'static str {
    match party {
        Party::Key(_) => "key",
        Party::Unknown(_) => "whoever it obeys",
        Party::Voters(_) => "enough of them",
        Party::Some { .. } => "enough of them",
        Party::ApiKey => "workspace",
        Party::Cloud => "host",
    }
}
