//! The acts that are measured, each in a world of its own that goes on from round to round.

use std::path::PathBuf;
use std::process::{Command, Output};

use alloy::primitives::B256;
use serde_json::json;

use crate::measure::{self, Cost};
use crate::support::cloud::API_KEY;
use crate::support::command;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{AnvilOptions, World, WorldOptions};

/// countersign, and what it upgrades.
pub struct Ours {
    /// Where it happens.
    pub world: World,
    /// The chain's URL, when it is not anvil's own.
    pub chain: Option<String>,
    /// The cloud's prefix, when it is not its own.
    pub cloud: Option<String>,
}

/// The official CLI (`phala` 1.1.18) and SDK (`@phala/cloud` 0.2.9), and what they upgrade.
pub struct Theirs {
    world: World,
    chain_id: u64,
    /// Prefix of the cloud and URL of the chain.
    servers: [String; 2],
}

/// Another text every round, so that every round is an upgrade.
struct Change {
    file: PathBuf,
    text: String,
    hash: B256,
}

fn change(world: &World, round: u32) -> Change {
    let text = format!("{NEW_COMPOSE}# round {round}\n");
    Change {
        file: world.file("docker-compose.yml", &text),
        hash: world.hash_with(&text),
        text,
    }
}

fn world(chain_id: u64, block_time: Option<u64>) -> World {
    World::with(WorldOptions {
        anvil: AnvilOptions {
            chain_id,
            block_time,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    })
}

impl Ours {
    /// On the development chain, a block per transaction or one every so many seconds.
    pub fn start(block_time: Option<u64>) -> Self {
        Self {
            world: world(31337, block_time),
            chain: None,
            cloud: None,
        }
    }
    /// Prints its version.
    pub fn version(&self) -> Cost {
        self.run(&mut self.command(&["--version"])).0
    }
    /// Runs words, and reads the object that they print.
    pub fn measured(&self, words: &[&str]) -> (Cost, serde_json::Value) {
        let (cost, output) = self.run(&mut self.command(words));
        (cost, serde_json::from_slice(&output.stdout).unwrap())
    }
    /// Where a round's upgrade is, its compose file, and the hash it brings.
    pub fn round(&self, round: u32) -> (String, String, B256) {
        let change = change(&self.world, round);
        (self.dir(round), change.file.to_str().unwrap().to_owned(), change.hash)
    }
    /// Prepare; then the owner's transaction and its proof, not measured; then commit.
    pub fn prepare_and_commit(&self, round: u32) -> (Cost, Cost) {
        let change = change(&self.world, round);
        let dir = self.dir(round);
        let file = change.file.to_str().unwrap();
        let prepare = ["prepare", "--cvm", CVM, "-c", file, "--dir", &dir, "--json"];
        let (prepared, _) = self.run(&mut self.command(&prepare));
        self.world.allow(change.hash);
        self.run(&mut self.command(&["wait", "--dir", &dir, "--json"]));
        let commit = ["commit", "--dir", &dir, "--yes", "--no-wait", "--json"];
        let (committed, _) = self.run(&mut self.command(&commit));
        self.world.cloud.wait_for_hash(CVM, change.hash);
        (prepared, committed)
    }
    /// The plan alone.
    pub fn plan(&self, round: u32) -> Cost {
        let change = change(&self.world, round);
        let file = change.file.to_str().unwrap();
        self.measured(&["plan", "--cvm", CVM, "-c", file, "--json"]).0
    }
    /// Prepare alone, and where.
    pub fn prepare(&self, round: u32) -> (Cost, String) {
        let (dir, file, _) = self.round(round);
        let words = [
            "prepare",
            "--cvm",
            CVM,
            "-c",
            &file,
            "--dir",
            &dir,
            "--json",
            "--supersede",
        ];
        (self.measured(&words).0, dir)
    }
    /// The whole upgrade.
    pub fn upgrade(&self, round: u32, more: &[&str]) -> Cost {
        let (mut command, hash) = self.upgrade_command(round, more);
        let (cost, _) = self.run(&mut command);
        self.world.cloud.wait_for_hash(CVM, hash);
        cost
    }
    /// The whole upgrade as a command, and the hash it brings.
    pub fn upgrade_command(&self, round: u32, more: &[&str]) -> (Command, B256) {
        self.world.cloud.forget_requests();
        let change = change(&self.world, round);
        let dir = self.dir(round);
        let file = change.file.to_str().unwrap();
        let arguments = ["upgrade", "--cvm", CVM, "-c", file, "--dir", &dir, "--yes", "--json"];
        let mut command = self.command(&arguments);
        command.args(["--signer", "env:OWNER_KEY"]).args(more);
        (command, change.hash)
    }
    fn dir(&self, round: u32) -> String {
        let dir = self.world.folder().join(format!("upgrade-{round}"));
        dir.to_str().unwrap().to_owned()
    }
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.countersign(crate::BINARY);
        command.args(arguments);
        if let Some(url) = &self.chain {
            command.env("ETH_RPC_URL", url);
        }
        if let Some(prefix) = &self.cloud {
            command.env("PHALA_CLOUD_API_PREFIX", prefix);
        }
        command
    }
    fn run(&self, command: &mut Command) -> (Cost, Output) {
        measure::run(command, self.world.folder())
    }
}

impl Theirs {
    /// On a chain of this id, a block per transaction.
    pub fn start(chain_id: u64) -> Self {
        let world = world(chain_id, None);
        Self {
            servers: [world.cloud.prefix(), world.anvil.url()],
            world,
            chain_id,
        }
    }
    /// The cloud's prefix.
    pub fn cloud(&self) -> String {
        self.world.cloud.prefix()
    }
    /// The chain's URL.
    pub fn chain(&self) -> String {
        self.world.anvil.url()
    }
    /// Speaks to both through something that stands in front of them.
    pub fn through(&mut self, cloud: &str, chain: &str) {
        self.servers = [cloud, chain].map(ToOwned::to_owned);
    }
    /// Prepare alone.
    pub fn prepare(&self, round: u32) -> Cost {
        let change = change(&self.world, round);
        let file = change.file.to_str().unwrap();
        self.phala(&["deploy", "--cvm-id", CVM, "-c", file, "--prepare-only", "--json"])
            .0
    }
    /// Prints its version.
    pub fn version(&self) -> Cost {
        self.phala(&["--version"]).0
    }
    /// Prepare; then the owner's transaction, not measured; then commit.
    pub fn prepare_and_commit(&self, round: u32) -> (Cost, Cost) {
        let change = change(&self.world, round);
        let file = change.file.to_str().unwrap();
        let prepare = ["deploy", "--cvm-id", CVM, "-c", file, "--prepare-only", "--json"];
        let (prepared, output) = self.phala(&prepare);
        let answer = command::json(&output);
        let token = answer["commit_token"].as_str().unwrap();
        let transaction = self.world.allow(change.hash).to_string();
        let mut commit = vec!["deploy", "--cvm-id", CVM, "--commit", "--token", token, "--json"];
        commit.extend(["--transaction-hash", &transaction]);
        let (committed, _) = self.phala(&commit);
        self.world.cloud.wait_for_hash(CVM, change.hash);
        (prepared, committed)
    }
    /// The whole update by the CLI, for an app that one key owns; it returns when the commit is accepted.
    pub fn upgrade_by_cli(&self, round: u32, more: &[&str]) -> Cost {
        let change = change(&self.world, round);
        let (file, url) = (change.file.to_str().unwrap(), &self.servers[1]);
        let mut arguments = vec!["deploy", "--cvm-id", CVM, "-c", file, "--json"];
        arguments.extend(["--private-key", self.world.owner.key, "--rpc-url", url]);
        arguments.extend(more);
        let (cost, _) = self.phala(&arguments);
        self.world.cloud.wait_for_hash(CVM, change.hash);
        cost
    }
    /// The same by the SDK, as its documents show it.
    pub fn upgrade_by_sdk(&self, round: u32) -> Cost {
        let change = change(&self.world, round);
        let request = json!({"id": CVM, "docker_compose_file": change.text, "chainId": self.chain_id,
            "rpcUrl": self.servers[1], "privateKey": self.world.owner.key});
        let mut command = command::node("sdk.mjs", self.world.folder());
        let (cost, _) = self.run(command.args(["update", &request.to_string()]));
        self.world.cloud.wait_for_hash(CVM, change.hash);
        cost
    }
    fn phala(&self, arguments: &[&str]) -> (Cost, Output) {
        let mut command = command::node("node_modules/phala/dist/index.js", self.world.folder());
        self.run(command.args(arguments))
    }
    fn run(&self, command: &mut Command) -> (Cost, Output) {
        command
            .env("PHALA_CLOUD_API_PREFIX", &self.servers[0])
            .env("PHALA_CLOUD_API_KEY", API_KEY);
        measure::run(command, self.world.folder())
    }
}
