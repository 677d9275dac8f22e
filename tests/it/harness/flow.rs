//! Driving the real binary through an upgrade, and judging the outcome by the chain, the cloud and the journal.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use alloy::primitives::B256;
use serde_json::Value;

use crate::support::command::{run, shown};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{World, contracts};

/// The binary that is tested.
pub const BINARY: &str = env!("CARGO_BIN_EXE_countersign");

/// The binary of every flow: the one that is tested, or another that `COUNTERSIGN_BINARY` names for `tests/versions.sh`.
fn binary() -> &'static str {
    static NAMED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("COUNTERSIGN_BINARY").ok());
    NAMED.as_deref().unwrap_or(BINARY)
}

/// One finished run with `--json`.
pub struct Ran {
    /// Exit code; -1 after a signal.
    pub exit: i32,
    /// The one object on stdout; null when there was none.
    pub json: Value,
    /// Everything it said.
    pub said: String,
}

impl Ran {
    /// Runs `command` to its end.
    pub fn of(command: &mut Command) -> Self {
        let output = run(command);
        let said = shown(&output);
        let json = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Self {
            exit: output.status.code().unwrap_or(-1),
            json,
            said,
        }
    }
    /// Asserts the exit code, and that the object says the same.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.exit, code, "{}", self.said);
        assert_eq!(self.json["exit"], code, "{}", self.said);
        assert_eq!(self.json["ok"], code == 0, "{}", self.said);
        self
    }
    /// Asserts the stable code.
    #[track_caller]
    pub fn says(self, code: &str) -> Self {
        assert_eq!(self.json["code"], code, "{}", self.said);
        self
    }
    /// Asserts that the stable code is one of these.
    #[track_caller]
    pub fn says_one_of(self, codes: &[&str]) -> Self {
        let code = self.json["code"].as_str().unwrap_or_default();
        assert!(codes.contains(&code), "{}", self.said);
        self
    }
    /// A fact.
    pub fn fact(&self, name: &str) -> &Value {
        &self.json["facts"][name]
    }
    /// What is certain about an effect.
    pub fn effect(&self, name: &str) -> &str {
        self.json["effects"][name].as_str().unwrap_or("absent")
    }
}

/// One upgrade of a world's CVM, in a directory of its own.
pub struct Flow<'w> {
    /// Where it happens.
    pub world: &'w World,
    /// The upgrade's directory.
    pub dir: PathBuf,
    /// The compose file.
    pub compose: PathBuf,
    /// Overrides of the environment.
    pub env: Vec<(String, String)>,
    /// The hash that the change gives.
    pub hash: B256,
    /// The binary that is run.
    pub binary: &'w str,
}

impl<'w> Flow<'w> {
    /// The upgrade that most tests make.
    pub fn new(world: &'w World) -> Self {
        Self {
            world,
            dir: world.folder().join("upgrade"),
            compose: world.file("new-compose.yml", NEW_COMPOSE),
            env: Vec::new(),
            hash: world.hash_with(NEW_COMPOSE),
            binary: binary(),
        }
    }
    /// The same upgrade by another binary.
    pub fn by<'b>(&self, binary: &'b str) -> Flow<'b>
    where
        'w: 'b,
    {
        Flow {
            binary,
            ..crate::harness::judge::moved(self, self.dir.clone())
        }
    }
    /// Speaks to the cloud at `prefix`, for example through a proxy.
    pub fn cloud_at(mut self, prefix: &str) -> Self {
        self.env.push(("PHALA_CLOUD_API_PREFIX".to_owned(), prefix.to_owned()));
        self
    }
    /// Speaks to the chain at `url`, for example through a proxy.
    pub fn chain_at(mut self, url: &str) -> Self {
        self.env.push(("ETH_RPC_URL".to_owned(), url.to_owned()));
        self
    }
    /// A command with the world's environment, ready to be changed or spawned.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.countersign(self.binary);
        command
            .args(arguments)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
    /// A step's arguments: what it needs, consent and JSON.
    pub fn arguments(&self, step: &str) -> Vec<String> {
        let mut all = vec![step.to_owned(), "--json".to_owned()];
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        if matches!(step, "plan" | "prepare" | "upgrade") {
            all.extend(["--cvm".to_owned(), CVM.to_owned(), "-c".to_owned(), path(&self.compose)]);
        }
        if step != "plan" {
            all.extend(["--dir".to_owned(), path(&self.dir)]);
        }
        if matches!(step, "execute" | "upgrade" | "resume") {
            all.extend(["--signer".to_owned(), "env:OWNER_KEY".to_owned()]);
        }
        if matches!(step, "execute" | "commit" | "upgrade" | "resume") {
            all.push("--yes".to_owned());
        }
        if matches!(step, "execute" | "resume") {
            all.extend(self.given_away());
        }
        all
    }
    /// Agreement by name to the ownership that the upgrade's own proposal hands over, which `--yes` does not give.
    pub fn given_away(&self) -> Vec<String> {
        let Ok(text) = std::fs::read(self.dir.join("proposal.json")) else {
            return Vec::new();
        };
        let proposal: Value = serde_json::from_slice(&text).unwrap_or(Value::Null);
        let policy = proposal["plan"]["policy"].as_array().cloned().unwrap_or_default();
        let to = |change: &Value| {
            let to = ["transfer-ownership", "offer-ownership"].map(|kind| change[kind].as_str().map(str::to_owned));
            to.into_iter().flatten().next()
        };
        let named = policy.iter().filter_map(to);
        named
            .flat_map(|to| ["--accept".to_owned(), format!("APP_GIVEN_AWAY={to}")])
            .collect()
    }
    /// Runs a step with more arguments.
    pub fn with(&self, step: &str, more: &[&str]) -> Ran {
        let mut arguments = self.arguments(step);
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ran::of(&mut self.command(&arguments))
    }
    /// Runs a step.
    pub fn step(&self, step: &str) -> Ran {
        self.with(step, &[])
    }
    /// The journal's records.
    pub fn journal(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.dir.join("journal")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
    /// The journal's kinds of record, notes left out.
    pub fn kinds(&self) -> Vec<String> {
        let kinds = self
            .journal()
            .into_iter()
            .map(|record| record["kind"].as_str().unwrap().to_owned());
        kinds.filter(|kind| kind != "note").collect()
    }
    /// A file of the upgrade, as JSON.
    pub fn json_file(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.dir.join(name)).unwrap()).unwrap()
    }
    /// How often the app announced that the hash was added.
    pub fn announcements(&self) -> usize {
        let (topic, data) = contracts::compose_hash_added(self.hash);
        let filter = serde_json::json!([{"fromBlock": "0x0", "address": self.world.app, "topics": [topic]}]);
        let logs = self.world.rpc().call("eth_getLogs", filter);
        let logs = logs.as_array().unwrap();
        logs.iter()
            .filter(|log| log["data"].as_str() == Some(&data.to_string()))
            .count()
    }
    /// Nothing lost, nothing twice: one announcement, one commit of our hash, which the CVM runs.
    #[track_caller]
    pub fn landed_once(&self) {
        assert_eq!(self.announcements(), 1, "announcements of {}", self.hash);
        self.committed_once();
    }
    /// One commit of our hash, which the CVM runs.
    #[track_caller]
    pub fn committed_once(&self) {
        self.world.cloud.wait_for_hash(CVM, self.hash);
        assert_eq!(self.world.cloud.commits(CVM), vec![self.hash], "commits");
    }
    /// The cloud was not asked to commit.
    #[track_caller]
    pub fn nothing_committed(&self) {
        assert_eq!(self.world.cloud.commits(CVM), Vec::<B256>::new());
    }
    /// Nothing reached the chain or the CVM.
    #[track_caller]
    pub fn nothing_happened(&self) {
        assert_eq!(self.announcements(), 0);
        assert_eq!(self.world.cloud.commits(CVM), Vec::<B256>::new());
        assert_eq!(self.world.cloud.cvm(CVM).compose_hash, self.world.first_hash);
    }
}
