//! An adversary against the solver: worlds that nobody chose, a model of what the contracts do that shares nothing with the
//! solver, and plans at random by every set of at most two keys. Nobody is quicker than claimed, and nearly every claim is
//! reached to the second. A rule that is taken away from the solver's world is found out.
//!
//! `make thorough` takes two thousand worlds.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::Address;
use countersign::power::{
    Actor, Class, Confidence, Domain, Effect, Kind, Node, Party, Rule, Solution, Who, World, solve,
};

const KEYS: usize = 5;
const APP: usize = 99;
const STRANGER: usize = 98;

/// A generator of numbers that anybody can repeat.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap();
        usize::try_from(self.next() % most).unwrap()
    }
    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.below(of.len())])
    }
}

/// What stands at a place.
#[derive(Debug, Clone)]
enum Thing {
    Key,
    Safe {
        k: usize,
        owners: Vec<usize>,
        modules: Vec<usize>,
        handler: Option<usize>,
    },
    Lock {
        delay: u64,
        proposers: BTreeSet<usize>,
        executors: BTreeSet<usize>,
        open: bool,
        admin: Option<usize>,
    },
    Delay {
        cooldown: u64,
        modules: BTreeSet<usize>,
        owner: usize,
        safe: usize,
    },
}

impl Thing {
    /// One more thing, for the place after those that are there.
    fn made(chance: &mut Chance, things: &mut [Self]) -> Self {
        let place = things.len();
        let some = |chance: &mut Chance, most: usize| -> Vec<usize> {
            let some = (0..=chance.below(most)).map(|_| chance.below(place));
            some.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let safes: Vec<usize> = (0..place)
            .filter(|at| matches!(things[*at], Self::Safe { .. }))
            .collect();
        match chance.below(5) {
            0..=1 => {
                let owners = some(chance, 3);
                Self::Safe {
                    k: 1 + chance.below(owners.len()),
                    modules: if chance.one_in(4) { some(chance, 1) } else { Vec::new() },
                    handler: None,
                    owners,
                }
            }
            2 if !safes.is_empty() => {
                let safe = chance.pick(&safes).unwrap();
                if let Self::Safe { modules, .. } = &mut things[safe] {
                    modules.push(place);
                }
                Self::Delay {
                    cooldown: [0, 60, 120, 180][chance.below(4)],
                    modules: some(chance, 2).into_iter().collect(),
                    owner: chance.below(place),
                    safe,
                }
            }
            _ => Self::Lock {
                delay: [0, 60, 3_600, 86_400][chance.below(4)],
                proposers: some(chance, 2).into_iter().collect(),
                executors: match chance.one_in(2) {
                    true => BTreeSet::new(),
                    false => some(chance, 2).into_iter().collect(),
                },
                open: false,
                admin: chance.one_in(4).then(|| chance.below(place)),
            },
        }
    }
}

/// A call that one contract gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Op {
    Allow,
    Approve(usize, Box<Self>),
    Execute(usize, Box<Self>),
    AsModule(usize, Box<Self>),
    Schedule(usize, Box<Self>, u64),
    Unlock(usize, Box<Self>),
    Propose(usize, usize),
    Open(usize),
    ExecuteNext(usize),
    Cooldown(usize),
    Enable(usize, usize),
}

impl Op {
    fn target(&self) -> usize {
        match self {
            Self::Allow => APP,
            Self::Approve(at, _)
            | Self::Execute(at, _)
            | Self::AsModule(at, _)
            | Self::Schedule(at, _, _)
            | Self::Unlock(at, _)
            | Self::Propose(at, _)
            | Self::Open(at)
            | Self::ExecuteNext(at)
            | Self::Cooldown(at)
            | Self::Enable(at, _) => *at,
        }
    }
    /// A Safe has these itself, so that none of them reaches its handler.
    const fn is_safes_own(&self) -> bool {
        matches!(
            self,
            Self::Approve(..) | Self::Execute(..) | Self::AsModule(..) | Self::Enable(..)
        )
    }
}

/// The chain while a plan runs.
#[derive(Clone)]
struct Chain {
    things: Vec<Thing>,
    owner: usize,
    now: u64,
    approved: BTreeSet<(usize, usize, Op)>,
    ready: BTreeMap<(usize, Op), u64>,
    queue: BTreeMap<usize, Vec<(Op, u64)>>,
    allowed: bool,
}

impl Chain {
    fn new(town: &Town) -> Self {
        Self {
            things: town.things.clone(),
            owner: town.owner,
            now: 0,
            approved: BTreeSet::new(),
            ready: BTreeMap::new(),
            queue: BTreeMap::new(),
            allowed: false,
        }
    }

    /// Makes a call; whether it went through. One that does not changes nothing.
    fn call(&mut self, sender: usize, op: &Op) -> bool {
        let before = self.clone();
        let done = self.tried(sender, op);
        if !done {
            *self = before;
        }
        done
    }

    /// A call to a Safe that the Safe does not know, by anybody.
    fn through(&mut self, safe: usize, op: &Op) -> bool {
        match &self.things[safe] {
            Thing::Safe { handler: Some(to), .. } if *to == op.target() && !op.is_safes_own() => self.call(safe, op),
            _ => false,
        }
    }

    fn tried(&mut self, sender: usize, op: &Op) -> bool {
        if *op == Op::Allow {
            self.allowed |= sender == self.owner;
            return sender == self.owner;
        }
        let at = op.target();
        match self.things[at].clone() {
            Thing::Key => false,
            Thing::Safe { k, owners, modules, .. } => self.at_safe(sender, op, (k, &owners, &modules)),
            Thing::Lock { .. } => self.at_lock(sender, op),
            Thing::Delay { .. } => self.at_delay(sender, op),
        }
    }

    fn at_safe(&mut self, sender: usize, op: &Op, safe: (usize, &[usize], &[usize])) -> bool {
        let ((k, owners, modules), at) = (safe, op.target());
        match op {
            Op::Approve(_, inner) => owners.contains(&sender) && self.approved.insert((at, sender, (**inner).clone())),
            Op::Execute(_, inner) => {
                let agreed = |owner: &&usize| self.approved.contains(&(at, **owner, (**inner).clone()));
                k > 0 && owners.iter().filter(agreed).count() >= k && self.call(at, inner)
            }
            Op::AsModule(_, inner) => modules.contains(&sender) && self.call(at, inner),
            _ => false,
        }
    }

    fn at_lock(&mut self, sender: usize, op: &Op) -> bool {
        let (at, now) = (op.target(), self.now);
        let Thing::Lock {
            delay,
            proposers,
            executors,
            open,
            admin,
        } = &mut self.things[at]
        else {
            return false;
        };
        match op {
            Op::Schedule(_, inner, asked) => {
                let free = !self.ready.contains_key(&(at, (**inner).clone()));
                let may = proposers.contains(&sender) && *asked >= *delay && free;
                may && self.ready.insert((at, (**inner).clone()), now + asked).is_none()
            }
            Op::Unlock(_, inner) => {
                let ready = self
                    .ready
                    .get(&(at, (**inner).clone()))
                    .is_some_and(|ready| *ready <= now);
                (*open || executors.contains(&sender)) && ready && self.call(at, inner)
            }
            Op::Propose(_, who) if *admin == Some(sender) => {
                proposers.insert(*who);
                true
            }
            Op::Open(_) if *admin == Some(sender) => {
                *open = true;
                true
            }
            _ => false,
        }
    }

    fn at_delay(&mut self, sender: usize, op: &Op) -> bool {
        let (at, now) = (op.target(), self.now);
        let Thing::Delay {
            cooldown,
            modules,
            owner,
            safe,
        } = &mut self.things[at]
        else {
            return false;
        };
        match op {
            Op::AsModule(_, inner) if modules.contains(&sender) => {
                self.queue.entry(at).or_default().push(((**inner).clone(), now));
                true
            }
            Op::ExecuteNext(_) => {
                let (safe, cooldown) = (*safe, *cooldown);
                let Some(queue) = self.queue.get_mut(&at).filter(|queue| !queue.is_empty()) else {
                    return false;
                };
                let (inner, since) = queue[0].clone();
                now >= since + cooldown && {
                    queue.remove(0);
                    self.call(at, &Op::AsModule(safe, Box::new(inner)))
                }
            }
            Op::Cooldown(_) if *owner == sender => {
                *cooldown = 0;
                true
            }
            Op::Enable(_, who) if *owner == sender => {
                modules.insert(*who);
                true
            }
            _ => false,
        }
    }
}

/// Who owns the app, and everybody behind.
#[derive(Debug, Clone)]
struct Town {
    things: Vec<Thing>,
    owner: usize,
}

impl Town {
    /// Places are made from the keys up, so that each needs earlier ones only; handlers may point anywhere.
    fn made(chance: &mut Chance) -> Self {
        let mut things = vec![Thing::Key; KEYS];
        for _ in 0..=chance.below(5) {
            let made = Thing::made(chance, &mut things);
            things.push(made);
        }
        let count = things.len();
        for thing in &mut things {
            match thing {
                Thing::Safe { handler, .. } if chance.one_in(4) => {
                    *handler = Some(if chance.one_in(2) { APP } else { chance.below(count) });
                }
                Thing::Lock { executors, open, .. } => *open = executors.is_empty(),
                _ => {}
            }
        }
        let owner = if chance.one_in(6) {
            chance.below(count)
        } else {
            count - 1
        };
        Self { things, owner }
    }

    /// The same for the solver, with its rules.
    fn world(&self) -> World {
        let nodes = self
            .things
            .iter()
            .enumerate()
            .map(|(at, thing)| (place(at), self.node(at, thing)));
        let by = Rule::Child {
            of: calls(self.owner, APP),
        };
        let effect = Effect {
            domain: Domain::App,
            class: Class::AnyCode,
            target: Some(place(APP)),
            call: "addComposeHash",
            by,
            names_the_hash: true,
            announced: None,
        };
        World {
            nodes: nodes.collect(),
            effects: vec![effect],
        }
    }

    fn node(&self, at: usize, thing: &Thing) -> Node {
        let new = |kind| Node::new(place(at), kind, Confidence::Closed);
        let called = |who: &BTreeSet<usize>, admin: &Option<usize>| -> Vec<Actor> {
            who.iter().chain(admin).map(|from| calls(*from, at)).collect()
        };
        match thing {
            Thing::Key => Node::key(place(at)),
            Thing::Safe {
                k,
                owners,
                modules,
                handler,
            } => {
                let signs = owners.iter().map(|owner| Actor::Signs(place(*owner))).collect();
                let modules = modules.iter().filter(|module| match &self.things[**module] {
                    Thing::Delay { safe, .. } => *safe == at,
                    _ => true,
                });
                let mut node = new(Kind::Safe)
                    .with([Rule::KOfN { k: *k, of: signs }])
                    .with(modules.map(|module| Rule::Child {
                        of: Actor::Acts(place(*module)),
                    }));
                node.passes_on_to = handler.map(place);
                node
            }
            Thing::Lock {
                delay,
                proposers,
                executors,
                open,
                admin,
            } => new(Kind::Timelock).with([Rule::Lock {
                delay: *delay,
                proposers: Who::Of(called(proposers, admin)),
                executors: if *open {
                    Who::Anybody
                } else {
                    Who::Of(called(executors, admin))
                },
                after: 0,
                shows: true,
            }]),
            Thing::Delay {
                cooldown,
                modules,
                owner,
                ..
            } => only_as_module(new(Kind::Delay)).with([
                Rule::Lock {
                    delay: *cooldown,
                    proposers: Who::Of(modules.iter().map(|module| Actor::Signs(place(*module))).collect()),
                    executors: Who::Anybody,
                    after: 0,
                    shows: false,
                },
                Rule::Child { of: calls(*owner, at) },
            ]),
        }
    }
}

fn only_as_module(mut node: Node) -> Node {
    node.only_as_module = true;
    node
}

fn place(at: usize) -> Address {
    Address::with_last_byte(u8::try_from(at).unwrap() + 1)
}

fn calls(from: usize, to: usize) -> Actor {
    Actor::Calls {
        from: place(from),
        to: place(to),
    }
}

/// What a stranger or a key does at a second: a call, or one through a Safe's handler.
#[derive(Debug, Clone)]
struct Move {
    at: u64,
    by: usize,
    through: Option<usize>,
    op: Op,
}

/// Makes plans for some keys: whatever comes to hand, and sometimes too early.
struct Planner<'t> {
    town: &'t Town,
    keys: BTreeSet<usize>,
    chance: &'t mut Chance,
    moves: Vec<Move>,
    deep: usize,
}

impl Planner<'_> {
    /// Has somebody make a call no sooner than `from`; when it happens.
    fn has(&mut self, who: usize, op: &Op, from: u64) -> Option<u64> {
        self.deep += 1;
        let at = if self.deep > 40 { None } else { self.way(who, op, from) };
        self.deep -= 1;
        at
    }

    fn push(&mut self, at: u64, by: usize, op: &Op) {
        let (through, op) = (None, op.clone());
        self.moves.push(Move { at, by, through, op });
    }

    fn way(&mut self, who: usize, op: &Op, from: u64) -> Option<u64> {
        match self.town.things[who].clone() {
            Thing::Key => {
                self.keys.contains(&who).then(|| self.push(from, who, op))?;
                Some(from)
            }
            Thing::Safe {
                k,
                owners,
                modules,
                handler,
            } => {
                if handler == Some(op.target()) && !op.is_safes_own() && !self.chance.one_in(4) {
                    let (by, op) = (STRANGER, op.clone());
                    self.moves.push(Move {
                        at: from,
                        by,
                        through: Some(who),
                        op,
                    });
                    return Some(from);
                }
                let module = self.chance.pick(&modules).filter(|_| !self.chance.one_in(3));
                if let Some(module) = module {
                    return self.has(module, &Op::AsModule(who, Box::new(op.clone())), from);
                }
                let mut at = from;
                let mut left = owners;
                let mut given = 0;
                while given < k {
                    let owner = self.chance.pick(&left)?;
                    left.retain(|one| *one != owner);
                    let begun = self.moves.len();
                    match self.has(owner, &Op::Approve(who, Box::new(op.clone())), from) {
                        Some(done) => {
                            at = at.max(done);
                            given += 1;
                        }
                        None => self.moves.truncate(begun),
                    }
                }
                self.push(at, STRANGER, &Op::Execute(who, Box::new(op.clone())));
                Some(at)
            }
            Thing::Lock {
                delay,
                proposers,
                executors,
                open,
                admin,
            } => self.lock((who, op, from), (delay, &proposers, &executors, open, admin)),
            Thing::Delay {
                cooldown,
                modules,
                owner,
                safe,
            } => self.delay((who, op, from), (cooldown, &modules, owner, safe)),
        }
    }

    fn lock(
        &mut self,
        asked: (usize, &Op, u64),
        lock: (u64, &BTreeSet<usize>, &BTreeSet<usize>, bool, Option<usize>),
    ) -> Option<u64> {
        let ((who, op, from), (delay, proposers, executors, open, admin)) = (asked, lock);
        let mut begin = from;
        let mut able: Vec<usize> = proposers.iter().copied().collect();
        if let Some(admin) = admin.filter(|_| self.chance.one_in(2)) {
            // A key of ours, or the administrator itself where it acts at once, becomes a proposer.
            let heir = self
                .chance
                .pick(&self.keys.iter().copied().collect::<Vec<_>>())
                .unwrap_or(STRANGER);
            begin = self.has(admin, &Op::Propose(who, heir), from)?;
            able = vec![heir];
        }
        let proposer = self.chance.pick(&able)?;
        let schedule = Op::Schedule(who, Box::new(op.clone()), delay);
        let scheduled = match proposer {
            STRANGER => {
                self.push(begin, STRANGER, &schedule);
                begin
            }
            proposer => self.has(proposer, &schedule, begin)?,
        };
        let ready = scheduled + delay;
        let unlock = Op::Unlock(who, Box::new(op.clone()));
        if open {
            self.push(ready, STRANGER, &unlock);
            return Some(ready);
        }
        if let Some(admin) = admin.filter(|_| self.chance.one_in(2)) {
            let opened = self.has(admin, &Op::Open(who), from)?;
            let at = ready.max(opened);
            self.push(at, STRANGER, &unlock);
            return Some(at);
        }
        let executor = self.chance.pick(&executors.iter().copied().collect::<Vec<_>>())?;
        let begun = self.moves.len();
        let first = self.has(executor, &unlock, from)?;
        if first >= ready {
            return Some(first);
        }
        // It begins later, so as not to come too early.
        for later in &mut self.moves[begun..] {
            later.at += ready - first;
        }
        Some(ready)
    }

    fn delay(&mut self, asked: (usize, &Op, u64), delay: (u64, &BTreeSet<usize>, usize, usize)) -> Option<u64> {
        let ((who, op, from), (cooldown, modules, owner, safe)) = (asked, delay);
        // What it is asked for is to act as a module; the Safe's call is inside.
        let (Op::AsModule(at, inner), next) = (op, Op::ExecuteNext(who)) else {
            return None;
        };
        if *at != safe {
            return None;
        }
        let queue = Op::AsModule(who, inner.clone());
        if self.chance.one_in(2) {
            let heir = self
                .chance
                .pick(&self.keys.iter().copied().collect::<Vec<_>>())
                .unwrap_or(STRANGER);
            let enabled = self.has(owner, &Op::Enable(who, heir), from)?;
            self.push(enabled, heir, &queue);
            let none = self.has(owner, &Op::Cooldown(who), from)?;
            let at = enabled.max(none);
            self.push(at, STRANGER, &next);
            return Some(at);
        }
        let module = self.chance.pick(&modules.iter().copied().collect::<Vec<_>>())?;
        let queued = self.has(module, &queue, from)?;
        let mut at = queued + cooldown;
        if self.chance.one_in(2) {
            let begun = self.moves.len();
            match self.has(owner, &Op::Cooldown(who), from) {
                Some(none) => at = queued.max(none),
                None => self.moves.truncate(begun),
            }
        }
        self.push(at, STRANGER, &next);
        Some(at)
    }
}

/// Runs a plan; when the app allowed the hash, counted from the first move.
fn outcome(town: &Town, mut moves: Vec<Move>) -> Option<u64> {
    let first = moves.iter().map(|one| one.at).min()?;
    moves.sort_by_key(|one| one.at);
    let mut chain = Chain::new(town);
    for one in moves {
        chain.now = one.at;
        let _done = match one.through {
            Some(safe) => chain.through(safe, &one.op),
            None => chain.call(one.by, &one.op),
        };
        if chain.allowed {
            return Some(one.at - first);
        }
    }
    None
}

/// The quickest that some keys came to by so many plans.
fn quickest(town: &Town, keys: &BTreeSet<usize>, chance: &mut Chance, plans: usize) -> Option<u64> {
    let mut best = None;
    for _ in 0..plans {
        let mut planner = Planner {
            town,
            keys: keys.clone(),
            chance: &mut *chance,
            moves: Vec::new(),
            deep: 0,
        };
        let planned = planner.has(town.owner, &Op::Allow, 0);
        let mut moves = planner.moves;
        if planned.is_none() && moves.is_empty() {
            continue;
        }
        if chance.one_in(4) && !moves.is_empty() {
            let at = chance.below(moves.len());
            moves[at].at = moves[at].at.saturating_sub(1 + chance.next() % 90);
        }
        let found = outcome(town, moves);
        best = best.into_iter().chain(found).min();
    }
    best
}

/// The least notice that is claimed for some keys.
fn claimed(solution: &Solution, keys: &BTreeSet<usize>) -> Option<u64> {
    let keys: BTreeSet<Party> = keys.iter().map(|key| Party::Key(place(*key))).collect();
    let ways = solution.effects[0].ways().iter();
    ways.filter(|way| way.parties.is_subset(&keys))
        .map(|way| way.notice)
        .min()
}

fn sets() -> Vec<BTreeSet<usize>> {
    let mut all = vec![BTreeSet::new()];
    for one in 0..KEYS {
        all.push([one].into());
        all.extend((one + 1..KEYS).map(|other| BTreeSet::from([one, other])));
    }
    all
}

/// What became of many worlds.
#[derive(Debug, Default)]
struct Tally {
    worlds: usize,
    finite: usize,
    reached: usize,
    quicker: Vec<String>,
    missed: Vec<String>,
}

fn attack(seeds: std::ops::Range<u64>, change: fn(&mut World)) -> Tally {
    let mut tally = Tally::default();
    for seed in seeds {
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ (seed + 1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        let town = Town::made(&mut chance);
        let mut world = town.world();
        change(&mut world);
        let solution = solve(&world);
        tally.worlds += 1;
        for keys in sets() {
            let claim = claimed(&solution, &keys);
            let best = quickest(&town, &keys, &mut chance, 120);
            if best.is_some_and(|best| claim.is_none_or(|claim| best < claim)) {
                tally.quicker.push(format!(
                    "seed {seed}, keys {keys:?}: {best:?} s, {claim:?} claimed: {town:?}"
                ));
            }
            tally.finite += usize::from(claim.is_some());
            tally.reached += usize::from(claim.is_some() && best == claim);
            if claim.is_some() && best != claim {
                tally.missed.push(format!(
                    "seed {seed}, keys {keys:?}: {best:?} s, {claim:?} claimed: {town:?}"
                ));
            }
        }
    }
    tally
}

#[test]
fn nobody_is_quicker_than_claimed_and_claims_are_reached_to_the_second() {
    let thorough = std::env::var_os("COUNTERSIGN_THOROUGH").is_some();
    let tally = attack(0..if thorough { 2_000 } else { 150 }, |_| ());
    assert!(tally.quicker.is_empty(), "{:#?}", tally.quicker);
    assert!(
        tally.finite > tally.worlds,
        "the worlds are too hard: {} of {}",
        tally.finite,
        tally.worlds
    );
    let share = tally.reached * 100 / tally.finite;
    assert!(
        share >= 95,
        "{share} % of {} claims were reached: {:#?}",
        tally.finite,
        tally.missed.iter().take(5).collect::<Vec<_>>()
    );
}

/// A rule that is missing, or reads otherwise.
type Mutant = (&'static str, fn(&mut World));

fn each_rule(world: &mut World, change: impl Fn(Kind, &mut Vec<Rule>)) {
    for node in world.nodes.values_mut() {
        change(node.kind, &mut node.rules);
    }
}

/// Changes what leads into and out of a delay.
fn each_lock(world: &mut World, change: impl Fn(Kind, &mut u64, &mut Who, &mut Who)) {
    each_rule(world, |kind, rules| {
        for rule in rules {
            if let Rule::Lock {
                delay,
                proposers,
                executors,
                ..
            } = rule
            {
                change(kind, delay, proposers, executors);
            }
        }
    });
}

fn without_children(world: &mut World, of: Kind) {
    each_rule(world, |kind, rules| {
        rules.retain(|rule| kind != of || !matches!(rule, Rule::Child { .. }));
    });
}

fn one_owner_more(world: &mut World) {
    each_rule(world, |_, rules| {
        for rule in rules {
            if let Rule::KOfN { k, .. } = rule {
                *k += 1;
            }
        }
    });
}

fn last_proposer_forgotten(world: &mut World) {
    each_lock(world, |kind, _, proposers, _| {
        if let (Kind::Timelock, Who::Of(who)) = (kind, proposers) {
            who.pop();
        }
    });
}

fn nobody_executes_for_everybody(world: &mut World) {
    each_lock(world, |kind, _, proposers, executors| {
        if kind == Kind::Timelock && *executors == Who::Anybody {
            *executors = std::mem::replace(proposers, Who::Of(Vec::new()));
        }
    });
}

#[test]
fn a_rule_that_is_taken_away_or_turned_is_found_out() {
    let mutants: [Mutant; 7] = [
        ("no handlers", |world| {
            world.nodes.values_mut().for_each(|node| node.passes_on_to = None);
        }),
        ("no modules", |world| without_children(world, Kind::Safe)),
        ("no owner of a Delay", |world| without_children(world, Kind::Delay)),
        ("one owner more", one_owner_more),
        ("the last proposer forgotten", last_proposer_forgotten),
        ("one second more", |world| {
            each_lock(world, |_, delay, _, _| *delay += 1)
        }),
        ("nobody executes for everybody", nobody_executes_for_everybody),
    ];
    for (name, mutant) in mutants {
        let found = (0..20).any(|some| !attack(some * 10..(some + 1) * 10, mutant).quicker.is_empty());
        assert!(found, "nothing objected within 200 worlds to: {name}");
    }
}
