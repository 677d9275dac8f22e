//! `app deploy`: from provisioning to a CVM that runs, for an app whose owner is a Safe from its first block on; and every
//! wrong turn on the way.

use std::sync::Arc;

use alloy::primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::support::cloud::KmsKeys;
use crate::support::contracts::{self, abi};
use crate::support::timelocks::TimelockOptions;
use crate::support::world::{AppVariant, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

const SAFE: SafeOptions = SafeOptions {
    release: 1,
    l2: false,
    threshold: 2,
    owners: 3,
};
const HASH: B256 = B256::repeat_byte(0xab);
const DEVICE: B256 = B256::repeat_byte(0xde);

/// What every deployment of these tests says.
pub fn arguments(world: &World, owner: Address, hash: B256, device: B256) -> Vec<String> {
    let list = ["app", "deploy", "--json", "--chain-id", "31337", "--kms-contract"];
    let mut list: Vec<String> = list.map(str::to_owned).to_vec();
    list.extend([world.kms.to_string(), "--owner".to_owned(), owner.to_string()]);
    list.extend(["--compose-hash".to_owned(), hash.to_string()]);
    list.extend(["--device".to_owned(), device.to_string()]);
    list
}

fn deploy(flow: &Flow<'_>, arguments: &[String], more: &[&str]) -> Ran {
    let mut command = flow.command(&[]);
    Ran::of(command.args(arguments).args(more))
}

/// Sends the call that a plan shows.
fn send(world: &World, plan: &Ran, from: Address) -> B256 {
    let call = &plan.json["data"]["call"];
    let to: Address = serde_json::from_value(call["to"].clone()).unwrap();
    let data: Bytes = serde_json::from_value(call["data"].clone()).unwrap();
    assert_eq!(to, world.kms);
    let rpc = world.rpc();
    rpc.call("anvil_impersonateAccount", json!([from]));
    rpc.call("anvil_setBalance", json!([from, "0xde0b6b3a7640000"]));
    let transaction = rpc.send(from, Some(to), &data);
    assert_eq!(rpc.mined(transaction)["status"], "0x1");
    transaction
}

/// Hash and device of a CVM that is provisioned.
fn provision(world: &World, flow: &Flow<'_>) -> (B256, B256) {
    let compose = world.file("new.yml", "services:\n  web:\n    image: nginx\n");
    let mut create = flow.command(&[
        "cvm",
        "create",
        "--json",
        "--yes",
        "--name",
        "brand-new",
        "--kms",
        "base",
        "-c",
    ]);
    let names = ["--allowed-env", "GREETING", "--provision-only"];
    let provisioned = Ran::of(create.arg(&compose).args(names)).exits(0);
    let made = &provisioned.json["data"]["provisioned"];
    let word = |name: &str| made[name].as_str().unwrap().parse::<B256>().unwrap();
    (word("compose_hash"), word("device_id"))
}

/// What the guest of an app finds in its environment.
fn greeting(app: Address, blob: &str) -> String {
    let manifest = json!({"allowed_envs": ["GREETING"]});
    let guest = KmsKeys::named("kms").boot(app, blob, manifest.as_object().unwrap());
    guest.unwrap()["GREETING"].clone()
}

#[test]
fn an_app_of_a_safe_goes_from_provisioning_to_a_cvm() {
    let world = World::with(WorldOptions {
        safe: Some(SAFE),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let safe = world.safe.unwrap();
    let (hash, device) = provision(&world, &flow);
    let arguments = arguments(&world, safe, hash, device);
    let batch = world.folder().join("batch.json");
    let plan = deploy(&flow, &arguments, &["--out", batch.to_str().unwrap()]).exits(0);
    assert_eq!(
        (&plan.json["data"]["form"], &plan.json["data"]["from"]),
        (&json!("six"), &json!(safe))
    );
    let file: Value = serde_json::from_str(&std::fs::read_to_string(&batch).unwrap()).unwrap();
    assert_eq!(file["meta"]["createdFromSafeAddress"], safe.to_checksum(None));
    assert_eq!(file["transactions"][0]["data"], plan.json["data"]["call"]["data"]);
    let transaction = send(&world, &plan, safe);
    let values = world.file("new.env", "GREETING=a value that nobody reads\n");
    let sealed = world.folder().join("sealed.hex");
    let transaction_hash = transaction.to_string();
    let named = [
        "--transaction-hash",
        &transaction_hash,
        "--kms-id",
        "kms_abc",
        "--sealed-out",
    ];
    let named = [
        &named[..],
        &[sealed.to_str().unwrap(), "--env-file", values.to_str().unwrap()],
    ]
    .concat();
    let proved = deploy(&flow, &arguments, &named).exits(0);
    assert!(!proved.said.contains("nobody reads"), "{}", proved.said);
    let app: Address = serde_json::from_value(proved.fact("app").clone()).unwrap();
    assert_eq!(world.rpc().read(app, &abi::ownerCall {}), safe);
    assert!(world.rpc().read(world.kms, &abi::registeredAppsCall { app }));
    assert!(
        world
            .rpc()
            .read(app, &abi::allowedComposeHashesCall { composeHash: hash })
    );
    assert!(world.rpc().read(app, &abi::allowedDeviceIdsCall { deviceId: device }));
    let next = proved.json["next"].as_str().unwrap();
    let words: Vec<&str> = next.split(' ').skip(1).collect();
    let committed = Ran::of(flow.command(&words).args(["--json", "--yes"])).exits(0);
    assert_eq!(*committed.fact("app"), json!(app), "{}", committed.said);
    let request = &world.cloud.requests_to("POST", "/cvms").last().unwrap().json();
    assert_eq!(request["deployer_address"], json!(safe));
    assert_eq!(request["transaction_hash"], json!(transaction));
    let blob = std::fs::read_to_string(&sealed).unwrap();
    assert_eq!(
        (&request["encrypted_env"], &request["env_keys"]),
        (&json!(blob), &json!(["GREETING"]))
    );
    assert_eq!(greeting(app, &blob), "a value that nobody reads");
}

#[test]
fn v24_an_environment_is_not_sealed_for_a_key_that_the_kms_contract_does_not_vouch_for() {
    let world = World::start();
    let flow = Flow::new(&world);
    let arguments = arguments(&world, world.owner.address, HASH, DEVICE);
    let plan = deploy(&flow, &arguments, &[]).exits(0);
    let transaction = send(&world, &plan, world.owner.address).to_string();
    let values = world.file("new.env", "GREETING=a value that nobody reads\n");
    let sealed = world.folder().join("sealed.hex");
    let (values, file) = (values.to_str().unwrap(), sealed.to_str().unwrap());
    let named = ["--transaction-hash", &transaction, "--kms-id", "kms_abc"];
    let seal = ["--env-file", values, "--sealed-out", file];
    world.cloud.lie(|lies| {
        lies.edit_pubkey = Some(Arc::new(|body: &mut Value| body["public_key"] = json!("77".repeat(32))));
    });
    let stopped = deploy(&flow, &arguments, &[&named[..], &seal[..]].concat());
    stopped.exits(5).says("ENV_KEY_MISMATCH");
    assert!(!sealed.exists());
    for half in [&seal[..2], &seal[2..]] {
        let refused = deploy(&flow, &arguments, &[&named[..], half].concat());
        refused.exits(2).says("USAGE_MISSING_ARGUMENT");
    }
}

#[test]
fn a_key_deploys_for_another_owner_in_the_form_that_the_contract_takes() {
    for (variant, form) in [(AppVariant::OneStep, "five"), (AppVariant::TwoStep, "six")] {
        let world = World::with(WorldOptions {
            app: variant,
            ..WorldOptions::default()
        });
        let flow = Flow::new(&world);
        let (key, owner) = (ACCOUNTS[4].address, ACCOUNTS[3].address);
        let arguments = arguments(&world, owner, HASH, DEVICE);
        let plan = deploy(&flow, &arguments, &["--from", &key.to_string()]).exits(0);
        assert_eq!(plan.json["data"]["form"], form);
        let transaction = send(&world, &plan, key).to_string();
        let named = ["--transaction-hash", &transaction];
        let proved = deploy(&flow, &arguments, &named).exits(0);
        assert_eq!(proved.json["data"]["deployed"]["deployer"], json!(key));
        let early = deploy(&flow, &arguments, &[&named[..], &["--confirmations", "5"]].concat());
        early.exits(8).says("PENDING_FINALITY");
        world.rpc().mine(4);
        deploy(&flow, &arguments, &[&named[..], &["--confirmations", "5"]].concat()).exits(0);
    }
}

#[test]
fn owners_that_cannot_act_are_refused_before_anything_is_made() {
    let world = World::start();
    let flow = Flow::new(&world);
    let rpc = world.rpc();
    let locked = TimelockOptions {
        proposers: Vec::new(),
        ..TimelockOptions::default()
    };
    let unknown = contracts::deploy(&rpc, ACCOUNTS[0].address, "Stage", &[]);
    for (owner, code) in [
        (Address::repeat_byte(0x77), "NEW_OWNER_UNSEEN"),
        (unknown, "NEW_OWNER_UNKNOWN"),
        (locked.deploy(&rpc), "NEW_OWNER_CANNOT_ACT"),
        (Address::ZERO, "NEW_OWNER_CANNOT_ACT"),
    ] {
        let arguments = arguments(&world, owner, HASH, DEVICE);
        deploy(&flow, &arguments, &[]).exits(6).says(code);
        let forced = deploy(&flow, &arguments, &["--accept-new-owner"]);
        if owner.is_zero() {
            let refused = forced.exits(6).says("DEPLOY_REFUSED");
            assert!(refused.said.contains("invalid owner address"), "{}", refused.said);
        } else {
            assert_eq!(forced.exits(0).json["warnings"][0]["code"], code);
        }
    }
    let timelock = TimelockOptions::default().deploy(&rpc);
    deploy(&flow, &arguments(&world, timelock, HASH, DEVICE), &[]).exits(0);
}

#[test]
fn what_a_factory_cannot_do_is_said_before_anything_is_sent() {
    let world = World::with(WorldOptions {
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let owner = world.owner.address;
    let arguments = arguments(&world, owner, HASH, DEVICE);
    deploy(&flow, &arguments, &["--require-tcb-up-to-date"])
        .exits(6)
        .says("DEPLOY_REFUSED");
    let file = world.folder().join("batch.json");
    let no_safe = deploy(&flow, &arguments, &["--out", file.to_str().unwrap()]);
    no_safe.exits(6).says("NOT_A_SAFE");
    assert!(!file.exists());
}

#[test]
fn a_transaction_that_did_not_make_this_app_proves_nothing() {
    let world = World::start();
    let flow = Flow::new(&world);
    let owner = ACCOUNTS[3].address;
    let other = arguments(&world, ACCOUNTS[2].address, HASH, DEVICE);
    let plan = deploy(&flow, &other, &[]).exits(0);
    let transaction = send(&world, &plan, ACCOUNTS[2].address);
    let arguments = arguments(&world, owner, HASH, DEVICE);
    let prove = |transaction: B256| deploy(&flow, &arguments, &["--transaction-hash", &transaction.to_string()]);
    prove(transaction).exits(5).says("DEPLOY_MISMATCH");
    prove(world.allow(HASH)).exits(5).says("DEPLOY_MISMATCH");
    prove(B256::repeat_byte(1)).exits(8).says("PENDING_FINALITY");
    let failing = json!([{
        "from": ACCOUNTS[4].address, "to": world.kms, "data": "0x9cb9c31f", "gas": U256::from(1_000_000_u64)
    }]);
    let failed: B256 = serde_json::from_value(world.rpc().call("eth_sendTransaction", failing)).unwrap();
    assert_eq!(world.rpc().mined(failed)["status"], "0x0");
    prove(failed).exits(7).says("TX_REVERTED");
}
