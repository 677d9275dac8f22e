//! Every rule, and small worlds whose answers were found by hand.

use super::super::front::MOST_SETS;
use super::super::model::{Class, Confidence, Domain, Effect};
use super::*;

const APP: Address = Address::repeat_byte(0xaa);

fn at(byte: u8) -> Address {
    Address::repeat_byte(byte)
}

fn key(byte: u8) -> Node {
    Node::key(at(byte))
}

fn node(byte: u8, kind: Kind, rules: impl IntoIterator<Item = Rule>) -> Node {
    Node::new(at(byte), kind, Confidence::Closed).with(rules)
}

fn acts(bytes: &[u8]) -> Vec<Actor> {
    bytes.iter().map(|byte| Actor::Acts(at(*byte))).collect()
}

fn signs(bytes: &[u8]) -> Vec<Actor> {
    bytes.iter().map(|byte| Actor::Signs(at(*byte))).collect()
}

fn safe(byte: u8, k: usize, owners: &[u8]) -> Node {
    node(byte, Kind::Safe, [Rule::KOfN { k, of: signs(owners) }])
}

fn child(byte: u8) -> Rule {
    Rule::Child {
        of: Actor::Acts(at(byte)),
    }
}

fn calls(from: u8, to: u8) -> Actor {
    Actor::Calls {
        from: at(from),
        to: at(to),
    }
}

fn lock(delay: u64, proposers: &[u8], executors: Option<&[u8]>, after: u64) -> Rule {
    Rule::Lock {
        delay,
        proposers: Who::Of(acts(proposers)),
        executors: executors.map_or(Who::Anybody, |of| Who::Of(acts(of))),
        after,
        shows: true,
    }
}

/// The ways in which `owner` calls the app: the last bytes of the keys, seconds of notice, and for how long the call shows.
fn solved(owner: u8, nodes: impl IntoIterator<Item = Node>) -> Vec<(Vec<String>, u64, u64)> {
    let front = ways(owner, nodes).effects.remove(0);
    let told = |party: &Party| match party {
        Party::Key(address) => format!("{:x}", address.0[19]),
        Party::Unknown(address) => format!("?{:x}", address.0[19]),
        Party::Some { least, .. } => format!("some {least}"),
        other => other.to_string(),
    };
    let ways = front.ways().iter();
    ways.map(|way| (way.parties.iter().map(told).collect(), way.notice, way.shown))
        .collect()
}

fn ways(owner: u8, nodes: impl IntoIterator<Item = Node>) -> Solution {
    let effect = Effect {
        domain: Domain::App,
        class: Class::AnyCode,
        target: Some(APP),
        call: "addComposeHash",
        by: Rule::Child {
            of: Actor::Calls {
                from: at(owner),
                to: APP,
            },
        },
        names_the_hash: true,
        announced: None,
    };
    let nodes = nodes.into_iter().map(|node| (node.address, node));
    solve(&World {
        nodes: nodes.collect(),
        effects: vec![effect],
    })
}

fn told(parties: &[&str], notice: u64) -> (Vec<String>, u64, u64) {
    (parties.iter().map(|party| (*party).to_owned()).collect(), notice, 0)
}

fn shown(parties: &[&str], notice: u64, shown: u64) -> (Vec<String>, u64, u64) {
    (told(parties, notice).0, notice, shown)
}

#[test]
fn a_key_acts_at_once_and_what_is_not_there_is_unknown() {
    assert_eq!(solved(1, [key(1)]), [told(&["1"], 0)]);
    assert_eq!(solved(1, []), [told(&["?1"], 0)]);
    assert_eq!(solved(1, [node(1, Kind::Administrator, [Rule::Any])]), [told(&[], 0)]);
    // Nobody's is nobody's.
    assert_eq!(solved(1, [node(1, Kind::Administrator, [])]), []);
}

#[test]
fn a_safe_needs_every_choice_of_its_owners_and_a_module_none_of_them() {
    let keys = || [key(1), key(2), key(3)];
    let expected = [told(&["1", "2"], 0), told(&["1", "3"], 0), told(&["2", "3"], 0)];
    assert_eq!(solved(9, keys().into_iter().chain([safe(9, 2, &[1, 2, 3])])), expected);
    let module = safe(9, 2, &[1, 2, 3]).with([child(4)]);
    let found = solved(9, keys().into_iter().chain([module, key(4)]));
    assert_eq!(found[0], told(&["4"], 0));
    assert_eq!(found.len(), 4);
}

#[test]
fn nested_safes_with_an_owner_in_common_need_that_one_once() {
    let nodes = [key(1), key(2), key(3), safe(8, 2, &[1, 2]), safe(9, 2, &[1, 8])];
    assert_eq!(solved(9, nodes), [told(&["1", "2"], 0)]);
}

#[test]
fn approvals_go_on_beside_one_another() {
    let one = node(6, Kind::Timelock, [lock(100, &[1], None, 0)]);
    let other = node(7, Kind::Timelock, [lock(60, &[2], None, 0)]);
    assert_eq!(
        solved(9, [key(1), key(2), one, other, safe(9, 2, &[6, 7])]),
        [told(&["1", "2"], 100)]
    );
}

#[test]
fn delays_in_a_row_add_up_and_an_executors_own_runs_beside() {
    let inner = node(6, Kind::Timelock, [lock(3_600, &[1], None, 0)]);
    let outer = node(7, Kind::Timelock, [lock(172_800, &[6], None, 0)]);
    assert_eq!(
        solved(7, [key(1), inner.clone(), outer]),
        [shown(&["1"], 176_400, 176_400)]
    );
    for (delay, notice) in [(60, 3_600), (7_200, 7_200)] {
        let closed = node(7, Kind::Timelock, [lock(delay, &[2], Some(&[6]), 0)]);
        assert_eq!(
            solved(7, [key(1), key(2), inner.clone(), closed]),
            [shown(&["1", "2"], notice, delay)]
        );
    }
}

#[test]
fn what_waits_already_shortens_a_delay_and_is_executed_by_those_who_may() {
    let slow = node(6, Kind::Timelock, [lock(1_000, &[1], None, 0)]);
    // A shorter delay is 595 seconds away; scheduling goes on meanwhile.
    for (proposer, notice) in [(2, 595), (6, 1_000)] {
        let rules = [lock(172_800, &[proposer], None, 0), lock(0, &[proposer], None, 595)];
        let found = solved(7, [key(1), key(2), slow.clone(), node(7, Kind::Timelock, rules)]);
        assert_eq!(found[0].1, notice);
    }
    // Whoever executes it needs its own time first.
    let closed = node(7, Kind::Timelock, [lock(10, &[2], Some(&[6]), 595)]);
    assert_eq!(
        solved(7, [key(1), key(2), slow, closed]),
        [shown(&["1", "2"], 1_010, 10)]
    );
    // What is executed without a proposal needs none.
    let rule = Rule::Lock {
        delay: 0,
        proposers: Who::Anybody,
        executors: Who::Anybody,
        after: 7,
        shows: true,
    };
    assert_eq!(solved(7, [node(7, Kind::Timelock, [rule])]), [told(&[], 7)]);
}

#[test]
fn all_of_them_agree_and_then_it_takes_time() {
    let rule = Rule::All {
        of: vec![Party::Key(at(1)), Party::Key(at(2))],
        delay: 10_801,
        estimated: false,
    };
    assert_eq!(
        solved(7, [node(7, Kind::Governor, [rule])]),
        [shown(&["1", "2"], 10_801, 10_801)]
    );
}

#[test]
fn a_handler_lets_anybody_call_that_contract_and_no_other() {
    let mut obeys = safe(9, 1, &[1]);
    obeys.passes_on_to = Some(APP);
    assert_eq!(solved(9, [key(1), obeys.clone()]), [told(&[], 0)]);
    obeys.passes_on_to = Some(at(7));
    assert_eq!(solved(9, [key(1), obeys.clone()]), [told(&["1"], 0)]);
    // Behind the timelock that it calls, anybody schedules; where it has no role, that gives nothing.
    let schedules = |rule| solved(7, [key(1), key(2), obeys.clone(), node(7, Kind::Timelock, [rule])]);
    let of = |actor| Rule::Lock {
        delay: 60,
        proposers: Who::Of(vec![actor]),
        executors: Who::Anybody,
        after: 0,
        shows: true,
    };
    assert_eq!(schedules(of(calls(9, 7))), [shown(&[], 60, 60)]);
    assert_eq!(schedules(of(calls(2, 7))), [shown(&["2"], 60, 60)]);
    // It signs and is a module as itself alone.
    let parent = safe(8, 1, &[9]).with([child(9)]);
    obeys.passes_on_to = Some(at(8));
    assert_eq!(solved(8, [key(1), obeys, parent]), [told(&["1"], 0)]);
}

#[test]
fn who_answers_for_a_signature_signs() {
    let mut lying = safe(8, 2, &[1, 2]);
    lying.signs_by = vec![Rule::Party {
        party: Party::Unknown(at(5)),
    }];
    let nodes = || [key(1), key(2), lying.clone()];
    assert_eq!(
        solved(9, nodes().into_iter().chain([safe(9, 1, &[8])])),
        [told(&["?5"], 0), told(&["1", "2"], 0)]
    );
    // As a module it acts by its owners.
    let module = node(9, Kind::Safe, [child(8)]);
    assert_eq!(solved(9, nodes().into_iter().chain([module])), [told(&["1", "2"], 0)]);
}

#[test]
fn what_acts_as_a_module_alone_owns_in_vain() {
    let mut module = node(6, Kind::Delay, [child(1)]);
    module.only_as_module = true;
    assert_eq!(solved(6, [key(1), module.clone()]), []);
    assert_eq!(solved(9, [key(1), module.clone(), safe(9, 1, &[6])]), []);
    assert_eq!(
        solved(9, [key(1), module, node(9, Kind::Safe, [child(6)])]),
        [told(&["1"], 0)]
    );
}

#[test]
fn a_circle_ends_and_gives_no_power() {
    let nodes = [
        key(1),
        node(6, Kind::Timelock, [lock(10, &[7, 1], None, 0), child(6)]),
        safe(7, 1, &[6]),
    ];
    assert_eq!(solved(7, nodes), [told(&["1"], 10)]);
    assert_eq!(solved(7, [safe(7, 1, &[7])]), []);
}

#[test]
fn what_a_safe_does_in_the_end_hides_the_call() {
    let timelock = node(6, Kind::Timelock, [lock(60, &[1], None, 0)]);
    let safe = node(9, Kind::Safe, [child(6)]);
    assert_eq!(solved(9, [key(1), timelock, safe]), [told(&["1"], 60)]);
}

#[test]
fn too_many_choices_are_fewer_parties_and_never_no_way() {
    let many: Vec<u8> = (1..=12).collect();
    let keys = || many.iter().map(|byte| key(*byte));
    let solution = ways(0xf0, keys().chain([safe(0xf0, 6, &many)]));
    assert_eq!(solution.bounded, [at(0xf0)].into());
    let front = &solution.effects[0];
    let [way] = front.ways() else { panic!("{front:?}") };
    assert_eq!((way.least(), way.notice, way.is_exact()), (6, 0, false));
    // A Safe among them may have the other owners as its own.
    let nested = keys().chain([
        safe(0xf1, 2, &[1, 2]),
        safe(0xf0, 6, &[many.clone(), vec![0xf1]].concat()),
    ]);
    assert_eq!(solved(0xf0, nested), [told(&["some 5"], 0)]);
    // More owners than are told at all.
    let crowd: Vec<u8> = (1..=60).collect();
    let nodes = crowd.iter().map(|byte| key(*byte)).chain([safe(0xf0, 2, &crowd)]);
    assert_eq!(solved(0xf0, nodes), [told(&["some 2"], 0)]);
    // Just as many sets as are told one by one.
    let eleven: Vec<u8> = (1..=11).collect();
    let nodes = eleven.iter().map(|byte| key(*byte)).chain([safe(0xf0, 2, &eleven)]);
    assert_eq!(solved(0xf0, nodes).len(), 55);
    const { assert!(55 <= MOST_SETS) };
}

#[test]
fn owners_that_cannot_act_are_not_counted_upon() {
    let dead = node(3, Kind::Administrator, []);
    assert_eq!(solved(9, [key(1), dead.clone(), safe(9, 2, &[1, 3])]), []);
    assert_eq!(
        solved(9, [key(1), key(2), dead, safe(9, 2, &[1, 2, 3])]),
        [told(&["1", "2"], 0)]
    );
}
