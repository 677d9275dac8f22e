//! anvil as a child process: started on a free port, stopped by its own handle.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use alloy::primitives::{Address, address};
use serde_json::json;
use tempfile::TempDir;

use super::Rpc;

/// One of anvil's accounts. The keys are printed by every anvil and guard nothing.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Address.
    pub address: Address,
    /// Private key, hex with `0x`.
    pub key: &'static str,
}

/// Anvil's accounts. It may have more, and takes a while to find each.
pub const ACCOUNTS: [Account; 5] = [
    Account {
        address: address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
        key: "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    },
    Account {
        address: address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        key: "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    },
    Account {
        address: address!("3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
        key: "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    },
    Account {
        address: address!("90F79bf6EB2c4f870365E785982E1f101E93b906"),
        key: "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    },
    Account {
        address: address!("15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
        key: "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    },
];

/// How to start anvil.
#[derive(Debug, Clone)]
pub struct AnvilOptions {
    /// Chain id.
    pub chain_id: u64,
    /// Mine every so many seconds instead of once per transaction.
    pub block_time: Option<u64>,
    /// Mine only when told.
    pub no_mining: bool,
    /// Slots per epoch: how far `safe` and `finalized` lag (1: by one and two blocks).
    pub slots_in_epoch: Option<u64>,
    /// File that holds the chain's state across restarts, written every second.
    pub state: Option<PathBuf>,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Anything else.
    pub more: Vec<String>,
}

/// A running anvil; dropping it stops it.
#[derive(Debug)]
pub struct Anvil {
    child: Child,
    port: u16,
    options: AnvilOptions,
    /// Where it keeps states of older blocks; whoever kills it has to clear them away.
    _home: TempDir,
}

impl Default for AnvilOptions {
    fn default() -> Self {
        Self {
            chain_id: 31337,
            block_time: None,
            no_mining: false,
            slots_in_epoch: None,
            state: None,
            port: 0,
            more: Vec::new(),
        }
    }
}

impl AnvilOptions {
    fn arguments(&self) -> Vec<String> {
        let mut list: Vec<String> = ["--host", "127.0.0.1", "--port"].map(str::to_owned).to_vec();
        list.push(self.port.to_string());
        list.extend(["--accounts".to_owned(), ACCOUNTS.len().to_string()]);
        list.extend(["--chain-id".to_owned(), self.chain_id.to_string()]);
        if let Some(seconds) = self.block_time {
            list.extend(["--block-time".to_owned(), seconds.to_string()]);
        }
        if self.no_mining {
            list.push("--no-mining".to_owned());
        }
        if let Some(slots) = self.slots_in_epoch {
            list.extend(["--slots-in-an-epoch".to_owned(), slots.to_string()]);
        }
        if let Some(file) = &self.state {
            list.extend(["--state".to_owned(), file.display().to_string()]);
            list.extend(["--state-interval".to_owned(), "1".to_owned()]);
        }
        list.extend(self.more.iter().cloned());
        list
    }
}

impl Anvil {
    /// Starts anvil and waits until it answers.
    pub fn start(options: AnvilOptions) -> Self {
        let home = TempDir::new().unwrap();
        let mut child = Command::new(binary())
            .args(options.arguments())
            .env_clear()
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("Listening on 127.0.0.1:")?.trim().parse().ok())
            .expect("anvil says where it listens");
        // anvil logs every call; nobody reads it, and a full pipe would stop it.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let this = Self {
            child,
            port,
            options,
            _home: home,
        };
        super::until("anvil", || this.rpc().try_call("eth_chainId", json!([])).ok());
        this
    }
    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
    /// Speaks to it.
    pub fn rpc(&self) -> Rpc {
        Rpc::new(self.url())
    }
    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
    /// Stops it at once, as a crash would; nothing listens on its port until [`Self::restart`].
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
    /// Starts it again on the same port; with `state` in the options it still knows its chain.
    pub fn restart(&mut self) {
        self.kill();
        let options = AnvilOptions {
            port: self.port,
            ..self.options.clone()
        };
        *self = Self::start(options);
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The binary behind npm's launcher, so that the child we hold is the server itself.
fn binary() -> PathBuf {
    let folder = super::packages().join("@foundry-rs");
    let mut entries = std::fs::read_dir(folder)
        .expect("the @foundry-rs packages")
        .map_while(Result::ok);
    let found = entries.find_map(|entry| {
        let path = entry.path().join("bin/anvil");
        (entry.file_name().to_string_lossy().starts_with("anvil-") && path.is_file()).then_some(path)
    });
    found.expect("npm has no anvil for this machine")
}
