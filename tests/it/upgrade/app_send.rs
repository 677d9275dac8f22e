//! `app deploy --signer` and by a Safe, with a directory that remembers it: one app however often it is killed, whatever
//! answers are lost, and whoever is to own it.

use std::path::{Path, PathBuf};
use std::process::Command;

use alloy::primitives::{Address, B256, keccak256};
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::support::contracts::abi;
use crate::support::timelocks::TimelockOptions;
use crate::support::world::{AppVariant, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, Action, AnvilOptions, FaultProxy, Match, Nth, World};

const TWO_OF_THREE: SafeOptions = SafeOptions {
    release: 1,
    l2: false,
    threshold: 2,
    owners: 3,
};

/// One deployment: what is asked for, by whom, with which directory.
struct Order<'w> {
    flow: &'w Flow<'w>,
    owner: Address,
    hash: B256,
    /// The key, by account.
    key: usize,
    dir: PathBuf,
}

impl<'w> Order<'w> {
    fn new(flow: &'w Flow<'w>, name: &str, key: usize) -> Self {
        Self {
            flow,
            owner: flow.world.safe.unwrap_or(ACCOUNTS[3].address),
            hash: keccak256(name),
            key,
            dir: flow.world.folder().join(name),
        }
    }
    /// The arguments without a key.
    fn command(&self, more: &[&str]) -> Command {
        let world = self.flow.world;
        let mut command = self.flow.command(&["app", "deploy", "--json", "--chain-id", "31337"]);
        command.args([
            "--kms-contract",
            &world.kms.to_string(),
            "--owner",
            &self.owner.to_string(),
        ]);
        command.args([
            "--compose-hash",
            &self.hash.to_string(),
            "--device",
            &world.device.to_string(),
        ]);
        command.arg("--dir").arg(&self.dir).args(more);
        command
    }
    fn signed(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["--signer", &format!("env:SIGNER_{}", self.key), "--yes"]);
        command.args(more);
        command
    }
    fn run(&self, more: &[&str]) -> Ran {
        Ran::of(&mut self.signed(more))
    }
    /// Apps of this hash, by the KMS's events and each app's own state.
    fn apps(&self) -> Vec<Address> {
        let world = self.flow.world;
        let topic = keccak256("AppDeployedViaFactory(address,address)");
        let filter = json!([{"fromBlock": "0x0", "address": world.kms, "topics": [topic]}]);
        let logs = world.rpc().call("eth_getLogs", filter);
        let named = logs.as_array().unwrap().iter().map(|log| {
            let word: B256 = log["topics"][1].as_str().unwrap().parse().unwrap();
            Address::from_word(word)
        });
        let allows = abi::allowedComposeHashesCall { composeHash: self.hash };
        named.filter(|app| world.rpc().read(*app, &allows)).collect()
    }
    fn kinds(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.dir.join("journal")).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records
            .map(|record| record["kind"].as_str().unwrap().to_owned())
            .filter(|kind| kind != "note")
            .collect()
    }
    /// Exactly one app, which is what was asked for, from one signature.
    #[track_caller]
    fn made_once(&self, ran: &Ran) {
        let apps = self.apps();
        assert_eq!(apps.len(), 1, "{}", ran.said);
        assert_eq!(*ran.fact("app"), json!(apps[0]), "{}", ran.said);
        let owner = self.flow.world.rpc().read(apps[0], &abi::ownerCall {});
        assert_eq!(owner, self.owner);
        let kinds = self.kinds();
        assert_eq!(kinds.iter().filter(|kind| *kind == "tx.signed").count(), 1, "{kinds:?}");
        assert_eq!(kinds.last().map(String::as_str), Some("deployed"), "{kinds:?}");
    }
}

fn nonce(world: &World, account: usize) -> u64 {
    world.rpc().nonce(ACCOUNTS[account].address)
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_makes_an_app_of_a_safe_once_seals_for_it_and_hands_over_to_the_commit() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let order = Order::new(&flow, "new-app", 4);
    let before = nonce(&world, 4);
    let unasked = Ran::of(&mut order.command(&["--signer", "env:SIGNER_4"]));
    unasked.exits(2).says("USAGE_CONSENT");
    assert_eq!((order.apps().len(), nonce(&world, 4)), (0, before));
    let values = world.file("new.env", "GREETING=a value that nobody reads\n");
    let sealing = ["--env-file", values.to_str().unwrap(), "--kms-id", "kms_abc"];
    let ran = order.run(&sealing).exits(0);
    order.made_once(&ran);
    assert!(!ran.said.contains("nobody reads"), "{}", ran.said);
    let sealed = order.dir.join("sealed.hex");
    for (file, expected) in [("journal", 0o600), ("sealed.hex", 0o600), ("evidence.json", 0o644)] {
        assert_eq!(mode(&order.dir.join(file)), expected, "{file}");
    }
    assert_eq!(mode(&order.dir), 0o700);
    let next = ran.json["next"].as_str().unwrap();
    assert!(next.starts_with("countersign cvm create --commit --app-id "), "{next}");
    assert!(
        next.contains(sealed.to_str().unwrap()) && next.contains("--allowed-env GREETING"),
        "{next}"
    );
    assert_eq!(order.run(&[]).exits(0).fact("app"), ran.fact("app"));
    assert_eq!(nonce(&world, 4), before + 1, "running again sends nothing");
    let status = Ran::of(flow.command(&["status", "--json", "--dir"]).arg(&order.dir)).exits(0);
    assert_eq!(status.effect("transaction"), "done");
    // The same directory for something else, and the journal's file for an upgrade.
    let other = Order {
        hash: B256::repeat_byte(9),
        dir: order.dir.clone(),
        ..Order::new(&flow, "other", 4)
    };
    other.run(&[]).exits(10).says("JOURNAL_FOREIGN");
    let commit = Ran::of(flow.command(&["commit", "--json", "--yes", "--dir"]).arg(&order.dir));
    commit.exits(6).says("NOTHING_TO_COMMIT");
    let evidence: Value = serde_json::from_slice(&std::fs::read(order.dir.join("evidence.json")).unwrap()).unwrap();
    let transaction: B256 = serde_json::from_value(evidence["deployed"]["transaction"].clone()).unwrap();
    assert_eq!(world.rpc().mined(transaction)["status"], "0x1");
}

/// What a deployment leaves in its directory.
const KEPT: [&str; 7] = [
    ".gitignore",
    "evidence.json",
    "evidence.md",
    "journal",
    "journal.head",
    "journal.lock",
    "sealed.hex",
];

/// Places of death around what is signed, sent and proved.
const POINTS: [(&str, &str); 9] = [
    ("sign.a", "none none"),
    ("sign.b", "maybe none"),
    ("sign.d", "maybe none"),
    ("sign.e", "done maybe"),
    ("broadcast.b", "done maybe"),
    ("broadcast.d", "done maybe"),
    ("broadcast.e", "done maybe"),
    ("wait.b", "done maybe"),
    ("wait.e", "done done"),
];

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k11_to_k20_a_death_at_any_point_of_a_deployment_makes_one_app() {
    use crate::safe::kills::dies;
    let world = World::start();
    let flow = Flow::new(&world);
    for (at, (point, certain)) in POINTS.into_iter().enumerate() {
        let order = Order::new(&flow, point, 4);
        assert!(dies(&mut order.signed(&[]), &format!("{point}=return")), "{point}");
        let status = Ran::of(flow.command(&["status", "--json", "--dir"]).arg(&order.dir)).exits(0);
        let said = format!("{} {}", status.effect("approval"), status.effect("transaction"));
        assert_eq!(said, certain, "{point}: {}", status.said);
        // The same command, or the one that takes any upgrade on.
        let again = if at % 2 == 0 {
            order.run(&[])
        } else {
            let mut resume = flow.command(&["resume", "--json", "--signer", "env:SIGNER_4", "--yes", "--dir"]);
            Ran::of(resume.arg(&order.dir))
        };
        order.made_once(&again.exits(0));
        assert_eq!(nonce(&world, 4), at as u64 + 1, "{point}");
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_death_at_any_durable_write_of_a_deployment_makes_one_app() {
    use crate::safe::kills::{at_every_write, dies};
    let world = World::start();
    let flow = Flow::new(&world);
    let values = world.file("new.env", "GREETING=a value that nobody reads\n");
    let sealing = ["--env-file", values.to_str().unwrap(), "--kms-id", "kms_abc"];
    let deaths = at_every_write(|failpoints, name| {
        // What runs at the same time has a key of its own.
        let keys = ["write-a", "write-b", "write-d", "append-a", "append-d"];
        let key = keys.iter().position(|key| name.starts_with(key)).unwrap();
        let order = Order::new(&flow, name, key);
        if !dies(&mut order.signed(&sealing), failpoints) {
            return false;
        }
        let again = order.run(&sealing).exits(0);
        order.made_once(&again);
        let mut left: Vec<String> = std::fs::read_dir(&order.dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, KEPT, "{failpoints}");
        true
    });
    // Seven records, and evidence and environment in three files.
    assert!(deaths >= 2 * 7 + 3 * 3, "{deaths}");
}

#[test]
fn x16_a_lost_answer_to_the_sending_of_a_deployment_makes_one_app() {
    let world = World::start();
    for (at, action) in [
        Action::ResetAfterForward,
        Action::ResetAfterRead,
        Action::ForwardThenStatus(502),
        Action::Empty,
        Action::Twice,
    ]
    .into_iter()
    .enumerate()
    {
        let proxy = FaultProxy::to(&world.anvil.url());
        let flow = Flow::new(&world).chain_at(&proxy.url());
        let order = Order::new(&flow, &format!("lost-{at}"), 4);
        let said = format!("{action:?}");
        proxy.on(Match::Rpc("eth_sendRawTransaction"), Nth::Only(1), action);
        let first = order.run(&[]);
        assert!([0, 9].contains(&first.exit), "{said}: {}", first.said);
        let again = order.run(&[]).exits(0);
        order.made_once(&again);
        assert_eq!(nonce(&world, 4), at as u64 + 1, "{said}");
    }
}

#[test]
fn a_deployment_is_done_when_its_block_stays_and_a_lost_nonce_needs_somebodys_word() {
    let world = World::with(WorldOptions {
        anvil: AnvilOptions {
            no_mining: true,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let rpc = world.rpc();
    let order = Order::new(&flow, "slow", 4);
    let quick = ["--timeout", "1s", "--confirmations", "3"];
    order.run(&quick).exits(8).says("PENDING_INCLUSION");
    rpc.mine(1);
    order.run(&quick).exits(8).says("PENDING_CONFIRMATIONS");
    assert!(!order.dir.join("evidence.json").exists());
    rpc.mine(2);
    order.made_once(&order.run(&quick).exits(0));
    // Somebody uses the nonce of the next one for something else.
    let lost = Order::new(&flow, "lost", 2);
    lost.run(&quick).exits(8).says("PENDING_INCLUSION");
    rpc.call("anvil_dropAllTransactions", json!([]));
    rpc.call("evm_setAutomine", json!([true]));
    let stranger = rpc.send(ACCOUNTS[2].address, Some(ACCOUNTS[3].address), &[]);
    assert_eq!(rpc.mined(stranger)["status"], "0x1");
    let gone = lost.run(&["--timeout", "30s"]).exits(6).says("TX_REPLACED");
    let next = gone.json["next"].as_str().unwrap();
    assert!(
        next.contains(" execute --dir ") && next.ends_with("--new-nonce"),
        "{next}"
    );
    lost.run(&[]).exits(6).says("TX_GONE");
    assert_eq!(lost.apps().len(), 0);
    lost.run(&["--new-nonce"]).exits(0);
    assert_eq!(lost.apps().len(), 1);
}

#[test]
fn a_safe_that_makes_the_app_itself_is_waited_for_and_its_app_found_by_the_event() {
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let rpc = world.rpc();
    let timelock = TimelockOptions::default().deploy(&rpc);
    let safe = world.safe.unwrap();
    let order = Order {
        owner: timelock,
        ..Order::new(&flow, "by-safe", 4)
    };
    let from = safe.to_string();
    let by_safe = |more: &[&str]| Ran::of(order.command(&["--from", &from]).args(more));
    let asked = by_safe(&[]).exits(8).says("PENDING_OWNER");
    let file = order.dir.join("transaction-builder.json");
    let batch: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(batch["meta"]["createdFromSafeAddress"], safe.to_checksum(None));
    assert_eq!(batch["transactions"][0]["data"], asked.json["data"]["call"]["data"]);
    // The same app by somebody else, and another app by the Safe, are not this one.
    let stranger = Order {
        owner: timelock,
        dir: world.folder().join("stranger"),
        ..Order::new(&flow, "by-safe", 2)
    };
    let foreign = stranger.run(&[]).exits(0);
    let call = |ran: &Ran| -> alloy::primitives::Bytes {
        serde_json::from_value(ran.json["data"]["call"]["data"].clone()).unwrap()
    };
    let other = Order {
        owner: timelock,
        ..Order::new(&flow, "another", 4)
    };
    let another = Ran::of(&mut other.command(&["--from", &from])).exits(8);
    rpc.call("anvil_impersonateAccount", json!([safe]));
    rpc.call("anvil_setBalance", json!([safe, "0xde0b6b3a7640000"]));
    let send = |data: &[u8]| {
        let transaction = rpc.send(safe, Some(world.kms), data);
        assert_eq!(rpc.mined(transaction)["status"], "0x1");
        transaction
    };
    send(&call(&another));
    by_safe(&[]).exits(8).says("PENDING_OWNER");
    let transaction = send(&call(&asked));
    by_safe(&["--confirmations", "4", "--timeout", "1s"])
        .exits(8)
        .says("PENDING_CONFIRMATIONS");
    let wait = Ran::of(flow.command(&["wait", "--json", "--dir"]).arg(&order.dir)).exits(0);
    assert_eq!(*wait.fact("transaction_hash"), json!(transaction));
    assert_ne!(wait.fact("app"), foreign.fact("app"));
    let values = world.file("new.env", "GREETING=a value that nobody reads\n");
    let sealed = by_safe(&["--env-file", values.to_str().unwrap(), "--kms-id", "kms_abc"]).exits(0);
    let next = sealed.json["next"].as_str().unwrap();
    assert!(
        next.contains(&format!("--deployer {safe} --transaction-hash {transaction}")),
        "{next}"
    );
    assert!(order.dir.join("sealed.hex").exists());
    let app: Address = serde_json::from_value(sealed.fact("app").clone()).unwrap();
    assert_eq!(rpc.read(app, &abi::ownerCall {}), timelock);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_death_at_any_durable_write_while_a_safe_makes_the_app_is_followed_by_one_that_finds_it() {
    use std::os::unix::process::ExitStatusExt as _;

    use crate::safe::kills::at_every_write;
    let world = World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let rpc = world.rpc();
    let safe = world.safe.unwrap();
    let from = safe.to_string();
    let ends = |command: &mut Command, failpoints: &str, code: i32| {
        let output = command.env("FAILPOINTS", failpoints).output().unwrap();
        command.env_remove("FAILPOINTS");
        let died = output.status.signal() == Some(9);
        let said = crate::support::command::shown(&output);
        assert!(died || output.status.code() == Some(code), "{failpoints}: {said}");
        died
    };
    let asked = at_every_write(|failpoints, name| {
        let order = Order::new(&flow, &format!("ask-{name}"), 4);
        let mut command = order.command(&["--from", &from]);
        let died = ends(&mut command, failpoints, 8);
        Ran::of(&mut command).exits(8).says("PENDING_OWNER");
        assert_eq!(order.kinds(), ["open", "deploy"], "{name}");
        assert!(order.dir.join("transaction-builder.json").exists());
        died
    });
    // What is intended, in two records; the file.
    assert!(asked >= 2 * 2 + 3, "{asked}");
    let first = Order::new(&flow, "found", 4);
    let plan = Ran::of(&mut first.command(&["--from", &from])).exits(8);
    let data: alloy::primitives::Bytes = serde_json::from_value(plan.json["data"]["call"]["data"].clone()).unwrap();
    rpc.call("anvil_impersonateAccount", json!([safe]));
    rpc.call("anvil_setBalance", json!([safe, "0xde0b6b3a7640000"]));
    rpc.mined(rpc.send(safe, Some(world.kms), &data));
    let found = at_every_write(|failpoints, name| {
        let order = Order {
            dir: world.folder().join(format!("found-{name}")),
            ..Order::new(&flow, "found", 4)
        };
        std::fs::create_dir(&order.dir).unwrap();
        for file in ["journal", "journal.head"] {
            std::fs::copy(first.dir.join(file), order.dir.join(file)).unwrap();
        }
        let mut command = order.command(&["--from", &from]);
        let died = ends(&mut command, failpoints, 0);
        let again = Ran::of(&mut command).exits(0);
        assert_eq!(*again.fact("app"), json!(order.apps()[0]));
        assert_eq!(order.kinds(), ["open", "deploy", "deployed"], "{name}");
        assert!(order.dir.join("evidence.md").exists());
        died
    });
    assert!(found >= 2 + 2 * 3, "{found}");
}

#[test]
fn what_is_signed_is_what_was_recorded_and_the_key_is_the_senders() {
    let world = World::with(WorldOptions {
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let order = Order::new(&flow, "pinned", 4);
    let from = ACCOUNTS[2].address.to_string();
    order.run(&["--from", &from]).exits(5).says("SIGNER_NOT_SENDER");
    let right = Order {
        dir: order.dir.clone(),
        ..Order::new(&flow, "pinned", 2)
    };
    // The KMS gives other code to new apps from now on.
    let rpc = world.rpc();
    let newer = crate::support::contracts::deploy(&rpc, ACCOUNTS[0].address, "DstackAppTwoStep", &[]);
    let old: Address = rpc.read(world.kms, &abi::appImplementationCall {});
    let set = |to: Address| {
        let call = abi::setAppImplementationCall { implementation: to };
        rpc.execute(ACCOUNTS[0].address, world.kms, &call);
    };
    set(newer);
    let stopped = right.run(&[]).exits(5).says("DEPLOY_MISMATCH");
    assert_eq!(stopped.effect("approval"), "none");
    set(old);
    right.made_once(&right.run(&[]).exits(0));
}
