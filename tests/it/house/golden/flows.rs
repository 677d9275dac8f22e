//! The flows: one of each kind of approval, of what is changed, and of how it ends.

use alloy::primitives::{Address, B256, b256, keccak256};
use serde_json::json;

use super::record::Golden;
use crate::support::contracts::abi;
use crate::support::safe_service::SERVICE_KEY;
use crate::support::safes::RELEASES;
use crate::support::timelocks::{TimelockOptions, advance};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{ACCOUNTS, AppVariant, SafeOptions, SafeService, World, WorldOptions};

const DAY: u64 = 86_400;
/// Where OpenZeppelin's upgradeable `Ownable` keeps the owner (ERC-7201).
const OWNER_SLOT: B256 = b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
const PREPARE: &str = "prepare --cvm payments-prod -c new-compose.yml --dir upgrade";

/// A world whose app a Safe owns, of which two of three owners sign.
fn safe_world(app: AppVariant) -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        app,
        ..WorldOptions::default()
    })
}

/// The app belongs to a timelock to which `proposer` proposes.
fn give_to_timelock(world: &World, proposer: Address) {
    let options = TimelockOptions {
        proposers: vec![proposer],
        ..TimelockOptions::default()
    };
    let timelock = options.deploy(&world.rpc());
    let change = json!([world.app, OWNER_SLOT, timelock.into_word()]);
    world.rpc().call("anvil_setStorageAt", change);
}

/// Executes as account 4, who is no owner, and ends the upgrade.
fn execute_and_commit(golden: &Golden<'_>, dir: &str) {
    golden.json(&format!("execute --dir {dir} --signer env:SIGNER_4 --yes"), 0);
    golden.json(&format!("wait --dir {dir}"), 0);
    golden.json(&format!("commit --dir {dir} --yes"), 0);
    golden.page(&format!("status --dir {dir}"), 0);
}

#[test]
fn an_upgrade_by_a_key_is_as_it_was() {
    let world = World::start();
    let golden = Golden::of("key", &world);
    golden.page("plan --cvm payments-prod -c new-compose.yml", 0);
    golden.json(PREPARE, 0);
    golden.page("review --dir upgrade -c new-compose.yml", 0);
    golden.json("review --dir upgrade --offline", 0);
    golden.json("execute --dir upgrade --signer env:OWNER_KEY --yes", 0);
    golden.page("status --dir upgrade", 0);
    golden.json("wait --dir upgrade", 0);
    golden.json("commit --dir upgrade --yes", 0);
    golden.json("status --dir upgrade", 0);
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn an_upgrade_by_a_safe_through_files_is_as_it_was() {
    let world = safe_world(AppVariant::TwoStep);
    let golden = Golden::of("safe", &world);
    golden.json(PREPARE, 0);
    for format in [
        "builder-file",
        "builder-file-raw",
        "typed-data",
        "calldata",
        "eip712sign",
    ] {
        golden.json(
            &format!("export --dir upgrade --format {format} --out {format}.json"),
            0,
        );
    }
    golden.page("review --dir upgrade -c new-compose.yml", 0);
    golden.json("execute --dir upgrade --signer env:SIGNER_4 --yes", 8);
    golden.json("sign --dir upgrade --signer env:SIGNER_0 --yes", 0);
    golden.json(
        "sign upgrade/proposal.json --offline --out signature.json --signer env:SIGNER_2 --yes",
        0,
    );
    golden.json("import signature.json --dir upgrade", 0);
    golden.json("review --dir upgrade", 0);
    golden.json("export --dir upgrade --format calldata --out calldata-signed.json", 0);
    execute_and_commit(&golden, "upgrade");
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn an_upgrade_by_a_safe_that_owns_the_safe_is_as_it_was() {
    let world = safe_world(AppVariant::OneStep);
    let rpc = world.rpc();
    let child = RELEASES[1].create(&rpc, true, (&[ACCOUNTS[0].address, ACCOUNTS[1].address], 2));
    let owners = [child, ACCOUNTS[2].address, ACCOUNTS[3].address];
    let safe = RELEASES[1].create(&rpc, false, (&owners, 2));
    rpc.execute_as(world.safe.unwrap(), world.app, &abi::transferOwnershipCall { to: safe });
    let mut golden = Golden::of("nested", &world);
    golden.is_probed(child, safe);
    golden.json(PREPARE, 0);
    golden.json(
        &format!("sign --dir upgrade --for {child} --signer env:SIGNER_0 --yes"),
        0,
    );
    golden.json(
        &format!("sign --dir upgrade --for {child} --offline --signer env:SIGNER_1 --yes"),
        0,
    );
    golden.page("review --dir upgrade", 0);
    golden.json(
        &format!("execute --dir upgrade --for {child} --signer env:SIGNER_4 --yes"),
        0,
    );
    golden.json("sign --dir upgrade --signer env:SIGNER_2 --yes", 0);
    execute_and_commit(&golden, "upgrade");
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn an_upgrade_by_a_timelock_to_which_a_key_proposes_is_as_it_was() {
    let world = World::start();
    give_to_timelock(&world, ACCOUNTS[1].address);
    let golden = Golden::of("timelock", &world);
    golden.json(PREPARE, 0);
    golden.page("review --dir upgrade", 0);
    golden.json("execute --dir upgrade --signer env:OWNER_KEY --yes", 8);
    golden.page("status --dir upgrade", 0);
    advance(&world.rpc(), DAY);
    execute_and_commit(&golden, "upgrade");
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn an_upgrade_by_a_timelock_to_which_a_safe_proposes_is_as_it_was() {
    let world = safe_world(AppVariant::TwoStep);
    give_to_timelock(&world, world.safe.unwrap());
    let golden = Golden::of("safe-timelock", &world);
    golden.json(PREPARE, 0);
    golden.json("sign --dir upgrade --signer env:SIGNER_0 --yes", 0);
    golden.json("sign --dir upgrade --signer env:SIGNER_2 --yes", 0);
    golden.json("review --dir upgrade", 0);
    golden.json("execute --dir upgrade --signer env:SIGNER_4 --yes", 8);
    golden.page("status --dir upgrade", 0);
    advance(&world.rpc(), DAY);
    execute_and_commit(&golden, "upgrade");
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn an_upgrade_of_several_apps_by_one_transaction_is_as_it_was() {
    let world = safe_world(AppVariant::TwoStep);
    for number in [2, 3] {
        let cvm = world.add_app(number, world.safe.unwrap());
        let compose = NEW_COMPOSE.replace("nginx:1.28", &format!("service-{number}:2"));
        world.file(&format!("{}.yml", cvm.name), &compose);
    }
    let golden = Golden::of("several-apps", &world);
    let words = "--cvm payments-prod -c new-compose.yml --also app-2=app-2.yml,app-3=app-3.yml --dir fleet";
    let prepared = golden.json(&format!("fleet prepare {words} --parallel 1"), 0);
    let approval = prepared.json["data"]["approval"].as_str().unwrap();
    let folder = world.folder().to_str().unwrap();
    let lead = approval.trim_start_matches(folder).trim_start_matches('/').to_owned();
    golden.page(&format!("review --dir {lead}"), 0);
    golden.json(&format!("sign --dir {lead} --signer env:SIGNER_0 --yes"), 0);
    golden.json(&format!("sign --dir {lead} --signer env:SIGNER_1 --yes"), 0);
    golden.json(&format!("execute --dir {lead} --signer env:SIGNER_4 --yes"), 0);
    golden.json(&format!("wait --dir {lead}"), 0);
    golden.json("fleet commit --dir fleet --parallel 1 --yes", 0);
    golden.page("fleet status --dir fleet", 0);
    for cvm in [CVM, "app-2", "app-3"] {
        assert_eq!(world.cloud.commits(cvm).len(), 1, "{cvm}");
    }
    golden.compare();
}

#[test]
fn an_upgrade_of_a_fleet_is_as_it_was() {
    let world = World::start();
    for number in [2, 3] {
        world.add_cvm(number);
    }
    let golden = Golden::of("fleet", &world);
    golden.json(
        "fleet prepare --cvm payments-prod --all -c new-compose.yml --dir fleet --parallel 1",
        0,
    );
    golden.json("execute --dir fleet/payments-prod --signer env:OWNER_KEY --yes", 0);
    golden.json("wait --dir fleet/payments-prod", 0);
    golden.json("fleet commit --dir fleet --parallel 1 --yes", 0);
    golden.page("fleet status --dir fleet", 0);
    for cvm in [CVM, "payments-prod-2", "payments-prod-3"] {
        assert_eq!(world.cloud.commits(cvm).len(), 1, "{cvm}");
    }
    golden.compare();
}

#[test]
fn a_replica_and_an_instance_are_as_they_were() {
    for (name, words) in [
        ("replica", "cvm replicate --cvm payments-prod --node 26"),
        (
            "instance",
            "app instances add --cvm payments-prod --node 26 -c new-compose.yml",
        ),
    ] {
        let world = safe_world(AppVariant::TwoStep);
        let golden = Golden::of(name, &world);
        let device = keccak256(crate::support::cloud::NODES[1].2);
        golden.json(&format!("{words} --add-device {device} --dir upgrade"), 0);
        golden.page("review --dir upgrade", 0);
        golden.json("sign --dir upgrade --signer env:SIGNER_0 --yes", 0);
        golden.json("sign --dir upgrade --signer env:SIGNER_1 --yes", 0);
        execute_and_commit(&golden, "upgrade");
        assert_eq!(world.cloud.names().len(), 2);
        golden.compare();
    }
}

#[test]
fn a_new_app_is_as_it_was() {
    let world = safe_world(AppVariant::TwoStep);
    let golden = Golden::of("new-app", &world);
    let (kms, owner, device) = (world.kms, world.safe.unwrap(), world.device);
    let hash = B256::repeat_byte(0xab);
    let words = format!(
        "app deploy --chain-id 31337 --kms-contract {kms} --owner {owner} --compose-hash {hash} --device {device}"
    );
    golden.page(&words, 0);
    golden.json(&format!("{words} --dir new-app --signer env:SIGNER_4 --yes"), 0);
    golden.json(&format!("{words} --dir new-app --signer env:SIGNER_4 --yes"), 0);
    golden.page("status --dir new-app", 0);
    golden.compare();
}

#[test]
fn a_rejection_is_as_it_was() {
    let world = safe_world(AppVariant::TwoStep);
    let golden = Golden::of("reject", &world);
    golden.json(PREPARE, 0);
    golden.json("sign --dir upgrade --signer env:SIGNER_0 --yes", 0);
    golden.page("review --dir upgrade --reject", 0);
    golden.json("reject --dir upgrade --signer env:SIGNER_1 --yes", 8);
    golden.json(
        "export --dir upgrade --reject --format typed-data --out rejection.json",
        0,
    );
    golden.json("sign --dir upgrade --reject --signer env:SIGNER_2 --yes", 0);
    golden.json("reject --dir upgrade --signer env:SIGNER_4 --yes", 0);
    golden.json("resume --dir upgrade --signer env:SIGNER_4 --yes", 6);
    golden.page("status --dir upgrade", 0);
    golden.flow.nothing_happened();
    golden.compare();
}

#[test]
fn an_approval_on_chain_is_as_it_was() {
    let world = safe_world(AppVariant::TwoStep);
    let golden = Golden::of("on-chain", &world);
    golden.json(PREPARE, 0);
    golden.json("sign --on-chain --dir upgrade --signer env:SIGNER_0 --yes", 0);
    golden.json("execute --dir upgrade --signer env:SIGNER_4 --yes", 8);
    golden.json("sign --on-chain --dir upgrade --signer env:SIGNER_1 --yes", 0);
    execute_and_commit(&golden, "upgrade");
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn values_alone_and_an_upgrade_with_values_are_as_they_were() {
    let world = World::start();
    let values = world.file("prod.env", "DATABASE_URL=first\nLOG_LEVEL=b\n");
    std::fs::set_permissions(values, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let golden = Golden::of("values", &world);
    golden.json("upgrade --cvm payments-prod -e prod.env", 2);
    golden.json("upgrade --cvm payments-prod -e prod.env --yes", 0);
    golden.json(&format!("{PREPARE} -e prod.env"), 0);
    golden.json("execute --dir upgrade --signer env:OWNER_KEY --yes", 0);
    golden.json("resume --dir upgrade --signer env:OWNER_KEY --yes", 0);
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "first");
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn an_upgrade_by_a_safe_through_its_service_is_as_it_was() {
    let world = safe_world(AppVariant::TwoStep);
    let mut golden = Golden::of("service", &world);
    let service = SafeService::start(&world.rpc());
    service.index(world.safe.unwrap());
    let url = service.url();
    golden
        .flow
        .env
        .push(("SAFE_TRANSACTION_SERVICE_API_KEY".to_owned(), SERVICE_KEY.to_owned()));
    golden.service = Some(service);
    golden.json(&format!("{PREPARE} --service-url {url}"), 0);
    golden.json(
        &format!("sign --dir upgrade --signer env:SIGNER_0 --yes --service-url {url}"),
        0,
    );
    golden.json(
        &format!("propose --dir upgrade --signer env:SIGNER_0 --yes --service-url {url}"),
        0,
    );
    golden.json(
        &format!("sign --dir upgrade --signer env:SIGNER_1 --yes --service-url {url}"),
        0,
    );
    golden.json(&format!("propose --dir upgrade --yes --service-url {url}"), 0);
    golden.page(&format!("review --dir upgrade --service-url {url}"), 0);
    execute_and_commit(&golden, "upgrade");
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn a_whole_upgrade_that_is_confirmed_by_headers_is_as_it_was() {
    let world = World::start();
    let golden = Golden::of("headers", &world);
    let words = "upgrade --cvm payments-prod -c new-compose.yml --dir upgrade --signer env:OWNER_KEY --yes";
    golden.json(&format!("{words} --confirm"), 0);
    golden.json(&format!("{words} --confirm"), 0);
    golden.flow.landed_once();
    golden.compare();
}

#[test]
fn every_folder_of_golden_records_belongs_to_a_flow() {
    let folder = crate::support::repository().join("tests/golden");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(include_str!("flows.rs").contains(&format!("\"{name}\"")), "{name}");
    }
}
