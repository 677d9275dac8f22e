//! `app hashes list`, `app devices list` and `app owner show`: read from a real chain, told to people and to programs.

use alloy::primitives::{Address, B256};
use serde_json::{Value, json};

use countersign::compose::{Form, Manifest};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::support::contracts::abi;
use crate::support::timelocks::TimelockOptions;
use crate::support::world::{AppVariant, CVM, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, Anvil, AnvilOptions, World};

const SAFE: SafeOptions = SafeOptions {
    release: 1,
    l2: false,
    threshold: 2,
    owners: 3,
};

fn read(flow: &Flow<'_>, arguments: &[&str]) -> Ran {
    Ran::of(flow.command(&["app"]).args(arguments).args(["--json", "--cvm", CVM])).exits(0)
}

/// The same for people.
fn told(flow: &Flow<'_>, arguments: &[&str]) -> String {
    let output = flow
        .command(&["app"])
        .args(arguments)
        .args(["--cvm", CVM])
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn codes(ran: &Ran) -> Vec<String> {
    let list = ran.json["warnings"].as_array().unwrap();
    list.iter()
        .map(|warning| warning["code"].as_str().unwrap().to_owned())
        .collect()
}

fn entry<'a>(list: &'a Value, id: &B256) -> &'a Value {
    let list = list.as_array().unwrap();
    list.iter().find(|entry| entry["id"] == json!(id)).unwrap()
}

#[test]
fn h4_h6_hashes_are_listed_with_what_runs_and_what_could_still_be_rolled_back_to() {
    let world = World::start();
    let flow = Flow::new(&world);
    let (older, gone) = (B256::repeat_byte(0x11), B256::repeat_byte(0x22));
    let added = world.allow(older);
    world.allow(gone);
    let removed = world.as_owner(&abi::removeComposeHashCall { composeHash: gone });
    let ran = read(&flow, &["hashes", "list"]);
    let data = &ran.json["data"];
    assert_eq!(data["runs"], json!(world.first_hash));
    assert_eq!(data["incomplete"], Value::Null);
    for (id, allowed, transaction) in [(older, true, added), (gone, false, removed)] {
        let entry = entry(&data["hashes"], &id);
        assert_eq!(entry["allowed"], allowed);
        assert_eq!(entry["since"]["transaction"], json!(transaction));
    }
    assert!(codes(&ran).is_empty(), "{}", ran.said);
    let text = told(&flow, &["hashes", "list"]);
    let line = |id: B256| {
        text.lines()
            .find(|line| line.contains(&id.to_string()))
            .unwrap()
            .to_owned()
    };
    assert!(line(world.first_hash).ends_with(&format!("{CVM} runs it")), "{text}");
    assert!(line(older).ends_with(&format!("{CVM} could go back to it")), "{text}");
    assert!(line(gone).trim_end().ends_with(&removed.to_string()), "{text}");
}

#[test]
fn a_hash_that_an_old_helper_computed_for_the_manifest_is_told_by_that_helpers_name() {
    let world = World::start();
    let flow = Flow::new(&world);
    // Ampersands and angle brackets, which the Go SDK escapes; and another manifest, with a field that is null.
    let manifest = world.cloud.cvm(CVM).manifest;
    let of =
        |manifest: &serde_json::Map<String, Value>| Manifest::parse(json!(manifest).to_string().as_bytes()).unwrap();
    let go = B256::from(*of(&manifest).hash(Form::Go).as_bytes());
    let mut other = manifest.clone();
    other.insert("bash_script".to_owned(), Value::Null);
    let right = B256::from(*of(&other).hash(Form::Sorted).as_bytes());
    let python = world.first_hash;
    let stranger = B256::repeat_byte(0x77);
    for hash in [go, right, stranger] {
        world.allow(hash);
    }
    let wrong = |ran: &Ran| ran.json["data"]["wrong"].clone();

    let ran = read(&flow, &["hashes", "list"]);
    assert_eq!(codes(&ran), ["HASH_OF_OLD_HELPER"], "{}", ran.said);
    assert_eq!(wrong(&ran), json!({ go.to_string(): "go" }));
    let text = told(&flow, &["hashes", "list"]);
    let line = |id: B256| {
        text.lines()
            .find(|line| line.contains(&id.to_string()))
            .unwrap()
            .to_owned()
    };
    assert!(
        line(go).contains("WRONG") && line(go).contains("Go SDK before 0.6.0"),
        "{text}"
    );
    for fine in [world.first_hash, stranger] {
        assert!(!line(fine).contains("WRONG"), "{text}");
    }

    // By a file: what the CVM runs is right for its own manifest, and is never called wrong; the Go SDK leaves out what is null.
    let file = world.file("other.json", &json!(other).to_string());
    let by_file = read(&flow, &["hashes", "list", "--manifest", file.to_str().unwrap()]);
    assert_eq!(wrong(&by_file), json!({ go.to_string(): "go" }), "{}", by_file.said);
    let app = world.app.to_string();
    let words = [
        "app",
        "hashes",
        "list",
        "--json",
        &app,
        "--chain-id",
        "31337",
        "--manifest",
    ];
    let alone = Ran::of(flow.command(&words).arg(&file)).exits(0);
    assert_eq!(codes(&alone), ["HASH_OF_OLD_HELPER"; 2], "{}", alone.said);
    assert_eq!(
        wrong(&alone),
        json!({ python.to_string(): "python", go.to_string(): "go" })
    );

    // One that was taken away is told in its line and warned of no more.
    world.as_owner(&abi::removeComposeHashCall { composeHash: go });
    let gone = read(&flow, &["hashes", "list"]);
    assert!(codes(&gone).is_empty(), "{}", gone.said);
    assert_eq!(wrong(&gone), json!({ go.to_string(): "go" }));
}

#[test]
fn h5_devices_are_listed_with_the_one_that_the_cvm_is_on() {
    let world = World::start();
    let flow = Flow::new(&world);
    let other = B256::repeat_byte(0x33);
    let added = world.as_owner(&abi::addDeviceCall { deviceId: other });
    let ran = read(&flow, &["devices", "list"]);
    let data = &ran.json["data"];
    assert_eq!(
        (&data["on"], &data["any_device"]),
        (&json!(world.device), &json!(false))
    );
    assert_eq!(entry(&data["devices"], &other)["since"]["transaction"], json!(added));
    assert!(codes(&ran).is_empty(), "{}", ran.said);
    let text = told(&flow, &["devices", "list"]);
    let line = text
        .lines()
        .find(|line| line.contains(&world.device.to_string()))
        .unwrap();
    assert!(line.ends_with(&format!("{CVM} is on it")), "{text}");
    world.as_owner(&abi::setAllowAnyDeviceCall { allowAny: true });
    assert_eq!(codes(&read(&flow, &["devices", "list"])), ["ANY_DEVICE"]);
}

#[test]
fn an_app_that_phala_cloud_does_not_know_is_listed_by_its_address_and_chain() {
    let world = World::start();
    let flow = Flow::new(&world);
    let app = world.app.to_string();
    for list in ["hashes", "devices"] {
        let mut command = flow.command(&["app", list, "list", "--json", &app, "--chain-id", "31337"]);
        command.env_remove("PHALA_CLOUD_API_KEY");
        let ran = Ran::of(&mut command).exits(0);
        assert_eq!(ran.json["data"][list].as_array().unwrap().len(), 1, "{}", ran.said);
    }
    assert!(world.cloud.requests().is_empty());
}

#[test]
fn a_history_that_an_endpoint_keeps_back_is_a_warning_and_the_state_is_listed() {
    let world = World::start();
    let flow = Flow::new(&world);
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!([]))
    });
    for list in ["hashes", "devices"] {
        let mut command = flow.command(&["app", list, "list", "--json", "--cvm", CVM]);
        let ran = Ran::of(command.env("ETH_RPC_URL", liar.url())).exits(0);
        assert_eq!(codes(&ran), ["HISTORY_INCOMPLETE"]);
        let listed = ran.json["data"][list].as_array().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(
            (&listed[0]["allowed"], &listed[0]["since"]),
            (&json!(true), &Value::Null)
        );
    }
}

#[test]
fn o3_o8_the_owner_of_both_kinds_of_app_is_shown_with_everybody_before_and_whom_it_was_offered_to() {
    for variant in [AppVariant::OneStep, AppVariant::TwoStep] {
        let world = World::with(WorldOptions {
            app: variant,
            ..WorldOptions::default()
        });
        let flow = Flow::new(&world);
        let heir = ACCOUNTS[3].address;
        world.as_owner(&abi::transferOwnershipCall { to: heir });
        let ran = read(&flow, &["owner", "show"]);
        let data = &ran.json["data"];
        let (owner, steps, offered) = match variant {
            AppVariant::OneStep => (heir, "one-step", Value::Null),
            AppVariant::TwoStep => (world.owner.address, "two-step", json!(heir)),
        };
        assert_eq!(data["owner"]["address"], json!(owner));
        assert_eq!(data["owner"]["kind"], "eoa");
        assert_eq!(data["ownership"], steps);
        assert_eq!(data["pending_owner"]["address"], offered);
        assert_eq!(data["upgrades_disabled"], false);
        let history = data["history"].as_array().unwrap();
        assert_eq!(history.len(), 2);
        assert_eq!(history[0]["from"], json!(Address::ZERO));
        assert_eq!(history[1]["to"], json!(heir));
        assert_eq!(codes(&ran).is_empty(), offered.is_null(), "{}", ran.said);
    }
}

#[test]
fn o4_an_app_that_was_given_up_has_no_owner_and_says_so() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.as_owner(&abi::renounceOwnershipCall {});
    let ran = read(&flow, &["owner", "show"]);
    assert_eq!(ran.json["data"]["owner"]["kind"], "nobody");
    assert_eq!(codes(&ran), ["OWNER_RENOUNCED"]);
    assert!(told(&flow, &["owner", "show"]).contains("gave it up"));
}

#[test]
fn a_timelock_that_a_safe_proposes_to_is_shown_with_both() {
    let world = World::with(WorldOptions {
        safe: Some(SAFE),
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let safe = world.safe.unwrap();
    let ran = read(&flow, &["owner", "show"]);
    assert_eq!(ran.json["data"]["owner"]["safe"]["threshold"], 2);
    let timelock = TimelockOptions {
        proposers: vec![safe],
        admin: ACCOUNTS[4].address,
        ..TimelockOptions::default()
    };
    let timelock = timelock.deploy(&world.rpc());
    let give = abi::transferOwnershipCall { to: timelock };
    world.rpc().execute_as(safe, world.app, &give);
    let ran = read(&flow, &["owner", "show"]);
    let owner = &ran.json["data"]["owner"];
    assert_eq!(owner["address"], json!(timelock));
    assert_eq!(owner["timelock"]["info"]["min_delay"], 86_400);
    assert_eq!(owner["timelock"]["roles"]["proposers"], json!([safe]));
    assert_eq!(owner["behind"][0]["safe"]["address"], json!(safe));
    assert_eq!(codes(&ran), ["TIMELOCK_ADMIN"]);
    let text = told(&flow, &["owner", "show"]);
    assert!(
        text.contains("a timelock") && text.contains("everybody") && text.contains("2 of 3"),
        "{text}"
    );
}

/// Every command about an app that ends well and has something to warn of says it to people as well.
#[test]
fn fr2_5_what_programs_are_warned_of_people_read_too() {
    let world = World::start();
    world.allow(B256::repeat_byte(0xee));
    let timelock = TimelockOptions {
        admin: ACCOUNTS[4].address,
        ..TimelockOptions::default()
    };
    let timelock = timelock.deploy(&world.rpc());
    world.as_owner(&abi::transferOwnershipCall { to: timelock });
    let silent = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!([]))
    });
    let flow = Flow::new(&world).chain_at(silent.url());
    let mut seen = 0;
    for arguments in [
        &["app", "hashes", "list"][..],
        &["app", "devices", "list"],
        &["app", "show"],
        &["app", "owner", "show"],
        &["app", "check"],
    ] {
        let ran = Ran::of(flow.command(arguments).args(["--json", "--cvm", CVM]));
        let warnings = ran.json["warnings"].as_array().unwrap().clone();
        let output = flow.command(arguments).args(["--cvm", CVM]).output().unwrap();
        let (page, aside) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        for warning in &warnings {
            let text = warning["text"].as_str().unwrap();
            assert!(
                page.contains(text) || aside.contains(text),
                "{arguments:?}: {text}\n{page}\n{aside}"
            );
        }
        seen += warnings.len();
        // No list is called whole, and nothing is called empty, of which there may be more.
        let hedged = page
            .lines()
            .filter(|line| ["none", "nothing"].contains(&line.trim()))
            .count();
        assert_eq!(hedged, 0, "{arguments:?}\n{page}");
    }
    assert!(seen > 5, "{seen}");
}

#[test]
fn a_history_that_endpoints_refuse_comes_from_the_one_that_is_named_for_histories() {
    let world = World::start();
    let added = world.allow(B256::repeat_byte(0x11));
    let short = Liar::to(&world.anvil.url(), |method, _| {
        let refusal = json!({"error": {"code": -32005, "message": "range is too long"}});
        (method == "eth_getLogs").then_some(refusal)
    });
    let flow = Flow::new(&world).chain_at(short.url());
    let alone = read(&flow, &["hashes", "list"]);
    assert!(alone.json["data"]["incomplete"].is_string());
    let past = world.anvil.url();
    let both = read(&flow, &["hashes", "list", "--logs-rpc-url", &past]);
    assert_eq!(both.json["data"]["incomplete"], Value::Null);
    let hash = B256::repeat_byte(0x11);
    let since = &entry(&both.json["data"]["hashes"], &hash)["since"];
    assert_eq!(since["transaction"], json!(added));
    // It has to be of the same chain.
    let other = Anvil::start(AnvilOptions {
        chain_id: 1337,
        ..AnvilOptions::default()
    });
    let wrong = Ran::of(
        flow.command(&["app", "hashes", "list", "--json", "--cvm", CVM])
            .args(["--logs-rpc-url", &other.url()]),
    );
    wrong.exits(5).says("CHAIN_MISMATCH");
}
