//! Several people and machines at one Safe transaction at the same time: nobody's signature gets lost, and it is executed
//! once, whoever comes first.

use alloy::primitives::U256;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{copied, ended};
use crate::safe::upgrade::{Person, proposal, signer};
use crate::support::world::CVM;
use crate::support::{ACCOUNTS, FaultProxy, Match, Moment, Nth, SafeOptions, World, WorldOptions, safes};

fn world(threshold: u64, owners: usize) -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold,
            owners,
        }),
        ..WorldOptions::default()
    })
}

fn spawned(command: &mut std::process::Command) -> std::process::Child {
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

fn safe_nonce(world: &World) -> U256 {
    world.rpc().read(world.safe.unwrap(), &safes::abi::nonceCall {})
}

#[test]
fn c5_owners_who_sign_one_file_at_once_lose_nobodys_signature() {
    let world = world(3, 5);
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    let shared = Person::new(&flow, "shared");
    let file = shared.get(&flow.dir.join("proposal.json"), "proposal.json");
    let homes = [0, 1, 2].map(|index| Person::new(&flow, &format!("owner-{index}")));
    proxy.forget();
    // All of them have read the file before the first one writes it.
    let gates = [1, 2, 3].map(|nth| proxy.gate(Match::Rpc("eth_chainId"), Nth::Only(nth), Moment::Arrived));
    let runs: Vec<_> = homes
        .iter()
        .enumerate()
        .map(|(index, person)| {
            let key = signer(index);
            let mut command = flow.command(&["sign", &file, "--signer", &key, "--yes", "--json"]);
            spawned(command.env("HOME", &person.home))
        })
        .collect();
    for gate in &gates {
        gate.wait();
    }
    for gate in &gates {
        gate.open();
    }
    for run in runs {
        ended(run).exits(0);
    }
    let signed: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(signed["safe"]["signatures"].as_array().unwrap().len(), 3, "{signed}");
    std::fs::copy(&file, flow.dir.join("proposal.json")).unwrap();
    crate::safe::upgrade::execute(&flow, 4).exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn c5_a_proposal_that_another_took_the_place_of_meanwhile_is_not_written_over() {
    let world = world(2, 3);
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    let mut other = Flow::new(&world);
    other.dir = world.folder().join("other");
    other.with("prepare", &["--supersede", "--safe-nonce", "4"]).exits(0);
    let person = Person::new(&flow, "owner");
    let file = person.get(&flow.dir.join("proposal.json"), "proposal.json");
    proxy.forget();
    let gate = proxy.gate(Match::Rpc("eth_chainId"), Nth::Only(1), Moment::Arrived);
    let mut sign = flow.command(&["sign", &file, "--signer", &signer(0), "--yes", "--json"]);
    let run = spawned(sign.env("HOME", &person.home));
    gate.wait();
    let theirs = std::fs::read(other.dir.join("proposal.json")).unwrap();
    std::fs::write(&file, &theirs).unwrap();
    gate.open();
    ended(run).exits(5).says("PROPOSAL_CHANGED");
    assert_eq!(std::fs::read(&file).unwrap(), theirs);
}

#[test]
fn c5_one_key_on_two_machines_signs_one_hash_which_counts_once() {
    let world = world(2, 3);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let files = ["desk", "laptop"].map(|name| {
        let person = Person::new(&flow, name);
        let file = person.get(&flow.dir.join("proposal.json"), "proposal.json");
        person.run(&["sign", &file, "--signer", &signer(1), "--yes"]).exits(0);
        file
    });
    let dir = flow.dir.to_str().unwrap();
    let import = ["import", &files[0], &files[1], "--dir", dir, "--json"];
    let taken = Ran::of(&mut flow.command(&import)).exits(0);
    let outcomes = taken.json["data"]["signatures"].as_array().unwrap().clone();
    let outcomes: Vec<_> = outcomes.iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["new"], "{}", taken.said);
    crate::safe::upgrade::execute(&flow, 4)
        .exits(8)
        .says("PENDING_SIGNATURES");
    assert_eq!(proposal(&flow)["safe"]["signatures"].as_array().unwrap().len(), 1);
}

/// A prepared upgrade that enough owners have signed, and the same on another machine.
fn two_machines<'w>(world: &'w World, chain: &str) -> [Flow<'w>; 2] {
    let flow = Flow::new(world).chain_at(chain);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    for index in [0, 1] {
        let key = signer(index);
        Ran::of(&mut flow.command(&["sign", "--dir", dir, "--signer", &key, "--yes", "--json"])).exits(0);
    }
    let second = copied(&flow, "another-machine");
    [flow, second]
}

#[test]
fn c7_of_two_who_execute_at_once_the_later_one_finds_the_execution_of_the_earlier() {
    // One key's nonce, and two keys: the later transaction is refused by the Safe.
    for executors in [[4, 4], [3, 4]] {
        let world = world(2, 3);
        let proxy = FaultProxy::to(&world.anvil.url());
        let flows = two_machines(&world, &proxy.url());
        proxy.forget();
        let gates = [1, 2].map(|nth| proxy.gate(Match::Rpc("eth_sendRawTransaction"), Nth::Only(nth), Moment::Arrived));
        let runs = [0, 1].map(|at| {
            let (dir, key) = (flows[at].dir.to_str().unwrap(), signer(executors[at]));
            spawned(&mut flows[at].command(&["execute", "--dir", dir, "--signer", &key, "--yes", "--json"]))
        });
        for gate in &gates {
            gate.wait();
        }
        for gate in &gates {
            gate.open();
        }
        for run in runs {
            ended(run).exits(0);
        }
        for flow in &flows {
            let waited = flow.step("wait").exits(0);
            assert_eq!(waited.effect("transaction"), "done", "{executors:?}: {}", waited.said);
        }
        assert_eq!(
            (flows[0].announcements(), safe_nonce(&world)),
            (1, U256::from(1)),
            "{executors:?}"
        );
        flows[0].step("commit").exits(0);
        flows[0].landed_once();
        flows[1].step("resume").exits(0);
        flows[1].landed_once();
    }
}

#[test]
fn c7_a_cosigner_who_executed_before_is_found_before_anything_is_sent() {
    let world = world(2, 3);
    let [first, second] = two_machines(&world, &world.anvil.url());
    crate::safe::upgrade::execute(&first, 4).exits(0);
    for step in ["wait", "commit"] {
        first.step(step).exits(0);
    }
    let found = crate::safe::upgrade::execute(&second, 3).exits(0);
    assert_eq!(found.effect("transaction"), "done", "{}", found.said);
    assert_eq!(world.rpc().nonce(ACCOUNTS[3].address), 0);
    second.step("resume").exits(0);
    assert_eq!(world.cloud.commits(CVM).len(), 1);
    second.landed_once();
    let evidence = second.json_file("evidence.json");
    assert_eq!(evidence["said"]["adopted"], true, "{evidence}");
    assert_eq!(
        evidence["safe"]["safe_tx_hash"],
        proposal(&second)["safe"]["digests"]["safe_tx"]
    );
}

#[test]
fn c1_two_runs_that_sign_into_one_upgrade_are_one_after_the_other() {
    let world = world(2, 3);
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    proxy.forget();
    let gate = proxy.gate(Match::Rpc("eth_chainId"), Nth::Only(1), Moment::Arrived);
    let dir = flow.dir.to_str().unwrap();
    let sign = |index: usize| {
        let key = signer(index);
        flow.command(&["sign", "--dir", dir, "--signer", &key, "--yes", "--json"])
    };
    let first = spawned(&mut sign(0));
    gate.wait();
    Ran::of(&mut sign(1)).exits(11).says("LOCKED");
    gate.open();
    ended(first).exits(0);
    Ran::of(&mut sign(1)).exits(0);
    let owners = proposal(&flow)["safe"]["signatures"].as_array().unwrap().len();
    assert_eq!(json!(owners), 2);
}
