//! Endpoints that hold something back or make something up never lengthen a notice; limits, manifests, and what commands
//! about something else say.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use serde_json::{Value, json};

use super::ground::{Claim, Ground, claim, claims, found, key, node};
use super::plans::outside;
use crate::chain::liar::Liar;
use crate::harness::flow::{BINARY, Ran};
use crate::support::cloud::{canonical, ordinary_manifest};
use crate::support::timelocks::{TimelockOptions, abi as timelock};
use crate::support::world::CVM;

const DAY: u64 = 86_400;

fn lock(ground: &Ground) -> Address {
    let options = TimelockOptions {
        min_delay: 2 * DAY,
        proposers: vec![key(2)],
        ..TimelockOptions::default()
    };
    options.deploy(&ground.rpc())
}

fn unknown(address: Address, notice: u64) -> Claim {
    Claim {
        parties: [format!("unknown {address}")].into(),
        notice,
    }
}

/// The least that these parties need.
fn least(claims: &BTreeSet<Claim>) -> u64 {
    claims.iter().map(|claim| claim.notice).min().unwrap()
}

#[test]
fn p32_a_role_that_an_endpoint_holds_back_may_be_anybodys() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let admin = TimelockOptions {
        min_delay: 2 * DAY,
        proposers: vec![key(2)],
        admin: key(0),
        ..TimelockOptions::default()
    };
    let lock = admin.deploy(&rpc);
    let role = keccak256("PROPOSER_ROLE");
    rpc.execute(key(0), lock, &timelock::grantRoleCall { role, account: key(4) });
    rpc.execute(
        key(0),
        lock,
        &timelock::renounceRoleCall {
            role: B256::ZERO,
            account: key(0),
        },
    );
    ground.give(lock);
    let honest = ground.claims(&[]);
    assert_eq!(honest, [claim(&[key(2)], 2 * DAY), claim(&[key(4)], 2 * DAY)].into());
    let hidden = key(4).into_word().to_string();
    let liar = Liar::editing(&ground.world.anvil.url(), move |method, told| {
        if let (true, Some(logs)) = (method == "eth_getLogs", told.as_array_mut()) {
            logs.retain(|log| {
                !log["topics"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|topic| *topic == json!(hidden))
            });
        }
    });
    let lied = ground.power_at(liar.url(), &[]).exits(0);
    let told = claims(&lied, "app", "any-code");
    assert!(told.contains(&unknown(lock, 0)), "{}", lied.said);
    assert!(found(&lied, lock).contains("STORAGE_NOT_CLOSED"), "{}", lied.said);
    assert!(least(&told) <= least(&honest));
}

#[test]
fn p33_a_module_that_an_endpoint_leaves_out_may_be_anybody() {
    let ground = Ground::new();
    let safe = ground.safe(1, 2, &[key(1), key(2)]);
    ground.give(safe);
    ground
        .rpc()
        .execute_as(safe, safe, &outside::enableModuleCall { module: key(3) });
    alloy::sol! {
        function getModulesPaginated(address start, uint256 size) returns (address[] modules, address next);
    }
    let none = (
        Vec::<Address>::new(),
        address!("0000000000000000000000000000000000000001"),
    )
        .abi_encode_params();
    let none = json!(Bytes::from(none));
    let selector = Bytes::from(getModulesPaginatedCall::SELECTOR).to_string();
    let liar = Liar::to(&ground.world.anvil.url(), move |method, asked| {
        let is_it = method == "eth_call"
            && asked[0]["data"]
                .as_str()
                .is_some_and(|data| data.starts_with(&selector));
        is_it.then(|| none.clone())
    });
    let lied = ground.power_at(liar.url(), &[]).exits(0);
    assert!(
        claims(&lied, "app", "any-code").contains(&unknown(safe, 0)),
        "{}",
        lied.said
    );
}

#[test]
fn p34_without_proofs_nothing_is_called_closed() {
    let ground = Ground::new();
    let safe = ground.safe(1, 2, &[key(1), key(2)]);
    ground.give(safe);
    let blind = Liar::to(&ground.world.anvil.url(), |method, _| {
        (method == "eth_getProof").then(|| json!({"error": {"code": -32601, "message": "the method does not exist"}}))
    });
    let ran = ground.power_at(blind.url(), &[]).exits(0);
    assert_eq!(claims(&ran, "app", "any-code"), [claim(&[key(1), key(2)], 0)].into());
    assert_eq!(node(&ran, safe)["confidence"], "getters", "{}", ran.said);
    assert_eq!(ran.json["data"]["closed"], false);
    assert!(
        found(&ran, ground.world.app).contains("MANIFEST_UNKNOWN"),
        "{}",
        ran.said
    );
    ground
        .power_at(blind.url(), &["--require-closed"])
        .exits(6)
        .says("POWER_NOT_CLOSED");
}

#[test]
fn p51_more_owners_than_are_told_are_counted() {
    let ground = Ground::new();
    let crowd: Vec<Address> = (2..62).map(Address::repeat_byte).collect();
    let safe = ground.safe(1, 3, &crowd);
    ground.give(safe);
    let ran = ground.power(&[]).exits(0);
    let some = Claim {
        parties: [format!("3 of the owners of {safe}")].into(),
        notice: 0,
    };
    assert_eq!(claims(&ran, "app", "any-code"), [some].into());
    assert!(found(&ran, safe).contains("POWER_LIMIT"), "{}", ran.said);
    assert_eq!(ran.json["data"]["minimum"]["app"]["any-code"]["parties"], 3);
    let exact: Vec<&Value> = ran.json["data"]["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| &path["parties_exact"])
        .collect();
    assert!(exact.contains(&&json!(false)));
}

#[test]
fn p60_roles_that_others_administer_are_not_known() {
    let ground = Ground::new();
    let lock = lock(&ground);
    ground.give(lock);
    let entry = keccak256([keccak256("EXECUTOR_ROLE"), B256::ZERO].concat());
    let admin = B256::from(U256::from_be_bytes(entry.0) + U256::ONE);
    let other = keccak256("another role");
    ground.rpc().call("anvil_setStorageAt", json!([lock, admin, other]));
    ground.rpc().mine(1);
    let ran = ground.power(&[]).exits(0);
    assert!(
        claims(&ran, "app", "any-code").contains(&unknown(lock, 0)),
        "{}",
        ran.said
    );
    assert!(found(&ran, lock).contains("TIMELOCK_ROLES_UNKNOWN"), "{}", ran.said);
}

#[test]
fn an_imitation_of_a_timelock_is_told_as_one_that_nobody_knows() {
    let ground = Ground::new();
    let options = TimelockOptions {
        source: crate::support::timelocks::TimelockSource::Imitation,
        proposers: vec![key(2)],
        ..TimelockOptions::default()
    };
    let lock = options.deploy(&ground.rpc());
    ground.give(lock);
    let ran = ground.power(&[]).exits(0);
    assert_eq!(node(&ran, lock)["confidence"], "by-behaviour", "{}", ran.said);
    assert!(found(&ran, lock).contains("TIMELOCK_CODE_UNKNOWN"), "{}", ran.said);
}

#[test]
fn p70_what_a_manifest_leaves_open_is_the_operators() {
    let mut manifest = ordinary_manifest(CVM);
    let ground = Ground::new();
    let operator = |manifest: &str, hash: B256| {
        let file = ground.world.file("app-compose.json", manifest);
        let allow = crate::support::contracts::abi::addComposeHashCall { composeHash: hash };
        ground.rpc().execute(key(1), ground.world.app, &allow);
        ground.power(&["--manifest", file.to_str().unwrap()]).exits(0)
    };
    let of = |text: &str| {
        use sha2::Digest as _;
        B256::from_slice(&sha2::Sha256::digest(text.as_bytes()))
    };
    let codes = |ran: &Ran| found(ran, ground.world.app);
    // A tag without a digest.
    let text = canonical(&manifest);
    let tag = operator(&text, of(&text));
    assert!(codes(&tag).contains("IMAGE_NOT_PINNED"), "{}", tag.said);
    assert!(claims(&tag, "operator", "any-code").contains(&Claim {
        parties: ["api-key".to_owned()].into(),
        notice: 0
    }));
    // The environment chooses the image.
    manifest["docker_compose_file"] = json!("services:\n  web:\n    image: ${IMAGE}\n");
    manifest["allowed_envs"] = json!(["IMAGE", "API_SECRET"]);
    let text = canonical(&manifest);
    let chosen = operator(&text, of(&text));
    assert!(codes(&chosen).contains("ENV_CHOOSES_IMAGE"), "{}", chosen.said);
    // The manifest of the hash before is not shown this time.
    assert!(codes(&chosen).contains("MANIFEST_UNKNOWN"), "{}", chosen.said);
    let all = chosen.json["data"]["erc733"]["requirements"].as_array().unwrap();
    let state = |n: u64| all.iter().find(|one| one["n"] == n).unwrap()["state"].clone();
    assert_eq!((state(2), state(4)), (json!("fails"), json!("fails")));
}

#[test]
fn an_os_image_that_somebody_classified_is_no_door() {
    let ground = Ground::new();
    let image = keccak256("os image");
    let door = |ran: &Ran| {
        let paths = ran.json["data"]["paths"].as_array().unwrap().clone();
        paths
            .iter()
            .any(|path| path["call"].as_str().unwrap().contains("login"))
    };
    assert!(door(&ground.power(&[]).exits(0)));
    assert!(!door(&ground.power(&["--os-image", &format!("{image}=prod")]).exits(0)));
    let dev = ground.power(&["--os-image", &format!("{image}=dev")]).exits(0);
    assert!(door(&dev));
    let all = dev.json["data"]["erc733"]["requirements"].as_array().unwrap();
    assert_eq!(all.iter().find(|one| one["n"] == 7).unwrap()["state"], "fails");
    assert_eq!(dev.json["data"]["erc733"]["stage"], 0);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of members")]
fn p90_json_schema() {
    let ground = Ground::new();
    ground.give(lock(&ground));
    let ran = ground.power(&[]).exits(0);
    let data = &ran.json["data"];
    let members = |value: &Value| -> BTreeSet<String> { value.as_object().unwrap().keys().cloned().collect() };
    let of = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    assert_eq!(data["schema"], "countersign.power/1");
    let expected = [
        "schema",
        "block",
        "chain_id",
        "app",
        "kms",
        "minimum",
        "paths",
        "nodes",
        "effects",
        "findings",
        "erc733",
        "not_examined",
        "assumptions",
        "closed",
        "policy",
        "platform",
        "endpoints",
    ];
    assert_eq!(members(data), of(&expected));
    let path = data["paths"]
        .as_array()
        .unwrap()
        .iter()
        .find(|path| path["domain"] == "app")
        .unwrap();
    let expected = [
        "id",
        "effect",
        "domain",
        "target",
        "call",
        "parties",
        "least_parties",
        "parties_exact",
        "notice",
        "code_notice",
        "notice_exact",
        "announced",
        "confidence",
        "vetoes",
        "steps",
    ];
    assert_eq!(members(path), of(&expected));
    assert_eq!(path["vetoes"], json!([{"by": [key(2)], "how": "cancel"}]));
    let steps = path["steps"].as_array().unwrap();
    let last = steps.last().unwrap();
    assert_eq!(
        (&last["as"], &last["call"], &last["at"]),
        (&json!("timelock"), &path["call"], &json!(2 * DAY))
    );
    assert_eq!(
        (&steps[0]["by"], &steps[0]["call"], &steps[0]["at"]),
        (&json!(key(2).to_string()), &json!("schedule"), &json!(0))
    );
    let markdown = Ran::of(&mut {
        let mut command = ground.world.countersign(BINARY);
        let (app, kms) = (ground.world.app.to_string(), ground.world.kms.to_string());
        command.args([
            "power",
            &app,
            "--chain-id",
            "31337",
            "--kms",
            &kms,
            "--format",
            "markdown",
        ]);
        command.env("ETH_RPC_URL", ground.world.anvil.url());
        command
    });
    assert!(markdown.said.contains("## Paths: app"), "{}", markdown.said);
    assert!(markdown.said.contains("48 h (172800 s) of notice"), "{}", markdown.said);
}

#[test]
fn commands_about_the_app_say_how_much_notice_other_code_needs() {
    let ground = Ground::new();
    let world = &ground.world;
    let command = |words: &[&str]| {
        let mut command = world.countersign(BINARY);
        command.env("ETH_RPC_URL", world.anvil.url()).args(words);
        Ran::of(&mut command)
    };
    let (app, kms) = (world.app.to_string(), world.kms.to_string());
    let (hash, device) = (world.first_hash.to_string(), world.device.to_string());
    let check = [
        "app",
        "check",
        &app,
        "--chain-id",
        "31337",
        "--kms",
        &kms,
        "--hash",
        &hash,
        "--device",
        &device,
        "--json",
    ];
    command(&check).exits(0);
    let short = command(&[&check[..], &["--notice", "1h"]].concat()).exits(6);
    short.says("NOTICE_TOO_SHORT");
    let lock = lock(&ground).to_string();
    let transfer = [
        "app",
        "owner",
        "transfer",
        &lock,
        "--app",
        &app,
        "--chain-id",
        "31337",
        "--dir",
        "given",
        "--accept-new-owner",
        "--json",
    ];
    let told = command(&transfer);
    let power = &told.json["data"]["power"];
    assert_eq!(power["before"]["notice"], 0, "{}", told.said);
    assert_eq!(power["after"]["notice"], 2 * DAY, "{}", told.said);
    ground.give(lock.parse().unwrap());
    command(&[&check[..], &["--notice", "48h"]].concat()).exits(0);
}

#[test]
fn an_app_behind_a_safe_behind_a_timelock_is_read_in_few_requests() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let ground = Ground::new();
    let safe = ground.safe(1, 2, &[key(1), key(2), key(3)]);
    let options = TimelockOptions {
        proposers: vec![safe],
        ..TimelockOptions::default()
    };
    ground.give(options.deploy(&ground.rpc()));
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let node = Liar::to(&ground.world.anvil.url(), move |method, _| {
        counter.fetch_add(usize::from(method == "batch"), Ordering::Relaxed);
        None
    });
    let ran = ground.power_at(node.url(), &[]).exits(0);
    assert_eq!(claims(&ran, "app", "any-code").len(), 3, "{}", ran.said);
    // All of them, with those for logs and storage: about half go on beside others.
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked <= 18, "{asked} requests");
}
