//! The ground that worlds stand on: a chain with the KMS, an app and the Safe contracts, and what the binary says of it.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use alloy::primitives::{Address, B256, keccak256};
use serde_json::{Value, json};

use crate::harness::flow::{BINARY, Ran};
use crate::support::contracts::{self, abi};
use crate::support::safes::RELEASES;
use crate::support::world::{AppVariant, World, WorldOptions};
use crate::support::{ACCOUNTS, Rpc, repository};

/// Who has nothing to do with any of it.
pub const STRANGER: Address = Address::repeat_byte(0x57);
/// The KMS's owner.
pub const KMS_OWNER: Address = ACCOUNTS[0].address;

/// Keys of those who have.
pub fn key(number: usize) -> Address {
    ACCOUNTS[number].address
}

/// One path as the binary tells it: by whose power, what it changes, the parties and the seconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    pub parties: BTreeSet<String>,
    pub notice: u64,
}

/// A chain with an app that somebody owns.
pub struct Ground {
    pub world: World,
}

impl Ground {
    pub fn new() -> Self {
        Self::of(AppVariant::OneStep)
    }

    pub fn of(app: AppVariant) -> Self {
        let world = World::with(WorldOptions {
            app,
            owner: Some(key(1)),
            ..WorldOptions::default()
        });
        let rpc = world.rpc();
        RELEASES.iter().for_each(|release| release.install(&rpc));
        rpc.call("anvil_autoImpersonateAccount", json!([true]));
        rpc.call("anvil_setBalance", json!([STRANGER, "0xde0b6b3a7640000"]));
        // What was set without a transaction is in a block.
        rpc.mine(1);
        Self { world }
    }

    pub fn rpc(&self) -> Rpc {
        self.world.rpc()
    }

    pub fn deploy(&self, name: &str, arguments: &[u8]) -> Address {
        contracts::deploy(&self.rpc(), KMS_OWNER, name, arguments)
    }

    /// Gives the app to somebody.
    pub fn give(&self, to: Address) -> &Self {
        let call = abi::transferOwnershipCall { to };
        self.rpc().execute(key(1), self.world.app, &call);
        self
    }

    /// A Safe of the release with this number.
    pub fn safe(&self, release: usize, threshold: u64, owners: &[Address]) -> Address {
        RELEASES[release].create(&self.rpc(), true, (owners, threshold))
    }

    /// What the binary says.
    pub fn power(&self, more: &[&str]) -> Ran {
        self.power_at(&self.world.anvil.url(), more)
    }

    pub fn power_at(&self, url: &str, more: &[&str]) -> Ran {
        let mut command = self.world.countersign(BINARY);
        let (app, kms) = (self.world.app.to_string(), self.world.kms.to_string());
        command.env("ETH_RPC_URL", url);
        command
            .args(["power", &app, "--chain-id", "31337", "--kms", &kms, "--json"])
            .args(more);
        let ran = Ran::of(&mut command);
        if ran.exit == 0 {
            solved_again(&ran);
        }
        ran
    }

    /// What it claims of the app's own governors.
    pub fn claims(&self, more: &[&str]) -> BTreeSet<Claim> {
        claims(&self.power(more).exits(0), "app", "any-code")
    }

    /// Option that names the code behind a proxy.
    pub fn code_behind(&self, proxy: Address, kind: &str) -> String {
        let slot = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc";
        let word = self.rpc().call("eth_getStorageAt", json!([proxy, slot, "latest"]));
        let word: B256 = serde_json::from_value(word).unwrap();
        self.code(Address::from_word(word), kind)
    }

    /// Option that names the code of the contract at an address.
    pub fn code(&self, address: Address, kind: &str) -> String {
        let code = self.rpc().call("eth_getCode", json!([address, "latest"]));
        let code: alloy::primitives::Bytes = serde_json::from_value(code).unwrap();
        format!("{}={kind}", keccak256(code))
    }
}

/// Solves the rules of the answer once more, in another language, unless parties are only counted.
#[track_caller]
fn solved_again(ran: &Ran) {
    let data = &ran.json["data"];
    let is_exact = |path: &Value| path["parties_exact"] == true;
    if !data["paths"].as_array().unwrap().iter().all(is_exact) {
        return;
    }
    let mut script = Command::new("node");
    script.arg(repository().join("tests/node/power.mjs"));
    let mut child = script.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(data.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What is claimed of a domain and a class.
pub fn claims(ran: &Ran, domain: &str, class: &str) -> BTreeSet<Claim> {
    let paths = ran.json["data"]["paths"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", ran.said));
    let of = |path: &&Value| path["domain"] == domain && path["effect"] == class;
    paths
        .iter()
        .filter(of)
        .map(|path| Claim {
            parties: serde_json::from_value(path["parties"].clone()).unwrap(),
            notice: path["notice"].as_u64().unwrap(),
        })
        .collect()
}

/// A claim by these parties after so many seconds.
pub fn claim(parties: &[Address], notice: u64) -> Claim {
    Claim {
        parties: parties.iter().map(ToString::to_string).collect(),
        notice,
    }
}

/// A hash that nobody allowed.
pub fn hash(name: &str) -> B256 {
    keccak256(name)
}

/// Codes of the findings about an address.
pub fn found(ran: &Ran, address: Address) -> BTreeSet<String> {
    let findings = ran.json["data"]["findings"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", ran.said));
    let about = |one: &&Value| one["address"].as_str().is_some_and(|at| at.parse() == Ok(address));
    let codes = findings
        .iter()
        .filter(about)
        .map(|one| one["code"].as_str().unwrap().to_owned());
    codes.collect()
}

/// The node at an address.
pub fn node(ran: &Ran, address: Address) -> Value {
    let nodes = ran.json["data"]["nodes"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", ran.said));
    let at = |node: &&Value| node["address"].as_str().is_some_and(|at| at.parse() == Ok(address));
    nodes.iter().find(at).cloned().unwrap_or_default()
}
