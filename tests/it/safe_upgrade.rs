//! Whole upgrades of apps that a Safe owns, on the real code of every release, from `prepare` to the CVM's new hash.

use std::path::{Path, PathBuf};

use alloy::primitives::U256;
use serde_json::Value;

use crate::flow::{Flow, Ran};
use crate::judge::each;
use crate::support::world::CVM;
use crate::support::{SafeOptions, World, WorldOptions};

/// A 2-of-3 Safe of the release that most apps have.
const USUAL: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};

fn world(safe: SafeOptions) -> World {
    World::with(WorldOptions {
        safe: Some(safe),
        ..WorldOptions::default()
    })
}

/// The directory and file of one of the people who take part, each with a home of its own.
struct Person<'f> {
    flow: &'f Flow<'f>,
    home: PathBuf,
}

impl<'f> Person<'f> {
    fn new(flow: &'f Flow<'f>, name: &str) -> Self {
        let home = flow.world.folder().join(name);
        std::fs::create_dir_all(&home).unwrap();
        Self { flow, home }
    }
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.flow.command(arguments);
        command.arg("--json").current_dir(&self.home).env("HOME", &self.home);
        Ran::of(&mut command)
    }
    fn file(&self, name: &str) -> String {
        self.home.join(name).to_str().unwrap().to_owned()
    }
    fn get(&self, from: &Path, name: &str) -> String {
        std::fs::copy(from, self.home.join(name)).unwrap();
        self.file(name)
    }
}

fn proposal(flow: &Flow<'_>) -> Value {
    flow.json_file("proposal.json")
}

fn signer(index: usize) -> String {
    format!("env:SIGNER_{index}")
}

#[test]
fn a_safe_approves_an_upgrade_with_signatures_on_one_file() {
    let world = world(USUAL);
    let flow = Flow::new(&world);
    let prepared = flow.step("prepare").exits(0);
    assert_eq!(prepared.fact("threshold"), 2, "{}", prepared.said);
    let pending = flow
        .with("wait", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_SIGNATURES");
    assert!(pending.said.contains("0 of 2"), "{}", pending.said);

    // The proposal goes from hand to hand.
    let (alice, bob) = (Person::new(&flow, "alice"), Person::new(&flow, "bob"));
    let file = alice.get(&flow.dir.join("proposal.json"), "proposal.json");
    let signed = alice.run(&["sign", &file, "--signer", &signer(0), "--yes"]).exits(0);
    assert_eq!(signed.fact("signed_by").as_array().unwrap().len(), 1);
    let file = bob.get(&alice.home.join("proposal.json"), "from-alice.json");
    bob.run(&["sign", &file, "--signer", &signer(2), "--yes"]).exits(0);

    // Anybody executes: account 4 is no owner.
    let last = bob.home.join("from-alice.json");
    std::fs::copy(&last, flow.dir.join("proposal.json")).unwrap();
    let path = flow.dir.join("proposal.json");
    let executed = Ran::of(&mut flow.command(&[
        "execute",
        path.to_str().unwrap(),
        "--signer",
        &signer(4),
        "--yes",
        "--json",
    ]))
    .exits(0);
    assert_eq!(executed.effect("approval"), "done", "{}", executed.said);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn one_owner_of_one_needs_one_command() {
    each(&[0, 1, 2], |release| {
        let world = world(SafeOptions {
            release: *release,
            l2: false,
            threshold: 1,
            owners: 1,
        });
        let flow = Flow::new(&world);
        flow.with("upgrade", &["--signer", &signer(0)]).exits(2);
        let mut command = flow.command(&[
            "upgrade",
            "--json",
            "--cvm",
            CVM,
            "-c",
            flow.compose.to_str().unwrap(),
            "--dir",
            flow.dir.to_str().unwrap(),
            "--signer",
            &signer(0),
            "--yes",
        ]);
        Ran::of(&mut command).exits(0);
        flow.landed_once();
    });
}

#[test]
fn m8_a_key_that_no_owner_has_signs_nothing() {
    let world = world(USUAL);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let file = flow.dir.join("proposal.json");
    let before = std::fs::read(&file).unwrap();
    let refused = Ran::of(&mut flow.command(&[
        "sign",
        file.to_str().unwrap(),
        "--signer",
        &signer(4),
        "--yes",
        "--json",
    ]));
    refused.exits(5).says("SIGNER_NOT_OWNER");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(proposal(&flow)["safe"]["signatures"].as_array().unwrap().len(), 0);
}

#[test]
fn rejecting_uses_up_the_nonce_and_the_upgrade_is_given_up() {
    let world = world(USUAL);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let first = Ran::of(&mut flow.command(&["reject", "--dir", dir, "--signer", &signer(0), "--yes", "--json"]));
    let first = first.exits(8).says("PENDING_REJECTION");
    assert!(first.said.contains("can be executed by anybody"), "{}", first.said);
    let second = Ran::of(&mut flow.command(&["reject", "--dir", dir, "--signer", &signer(1), "--yes", "--json"]));
    second.exits(0);
    let nonce = world
        .rpc()
        .read(world.safe.unwrap(), &crate::support::safes::abi::nonceCall {});
    assert_eq!(nonce, U256::from(1));
    assert_eq!(flow.announcements(), 0);
    flow.with("resume", &[]).exits(6).says("ABANDONED");
}
