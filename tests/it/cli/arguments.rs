//! Arguments, variables and the project file as a process takes them: what could be meant otherwise ends with 2 (or, where
//! it stands in the environment or in a file, with 3), before anything is asked of anybody.

use serde_json::Value;

use crate::harness::flow::{Flow, Ran};
use crate::support::World;
use crate::support::world::CVM;

const WRONG_CAPITALS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed";
const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

/// `safe hash` from its fields, with one of them another.
fn hash_with(flow: &Flow<'_>, other: (&str, &str)) -> Ran {
    let mut fields = vec![
        ("--safe", ADDRESS),
        ("--chain-id", "8453"),
        ("--safe-version", "1.4.1"),
        ("--to", "0x1111111111111111111111111111111111111111"),
        ("--data", "0x00"),
        ("--value", "0"),
        ("--nonce", "7"),
    ];
    fields.retain(|(name, _)| *name != other.0);
    fields.push(other);
    let mut words = vec!["safe", "hash", "--offline", "--json"];
    words.extend(fields.iter().flat_map(|(name, value)| [*name, *value]));
    Ran::of(&mut flow.command(&words))
}

#[test]
fn bug_b12_an_empty_or_disguised_number_changes_nothing_that_is_signed() {
    let world = World::start();
    let flow = Flow::new(&world);
    hash_with(&flow, ("--nonce", "7")).exits(0);
    for other in [
        ("--nonce", ""),
        ("--nonce", "1_0"),
        ("--nonce", "0b101"),
        ("--nonce", "+5"),
        ("--nonce", "007"),
        ("--value", ""),
        ("--value", "1_000"),
        ("--data", ""),
        ("--data", "0X00"),
        ("--chain-id", "+8453"),
        ("--safe-tx-gas", ""),
        ("--operation", "01"),
    ] {
        let ran = hash_with(&flow, other).exits(2).says("USAGE_INVALID_VALUE");
        assert_eq!(ran.json["data"], Value::Null, "{}", ran.said);
    }
    let named = hash_with(&flow, ("--nonce", "1_0"));
    assert!(named.said.contains("decimal digits"), "{}", named.said);
    flow.with("prepare", &["--safe-nonce", ""]).exits(2);
    assert!(world.cloud.requests().is_empty(), "nothing was asked");
}

#[test]
fn bug_b18_capitals_that_break_the_checksum_are_refused_wherever_an_address_is_typed() {
    let world = World::start();
    let flow = Flow::new(&world);
    for words in [
        vec![
            "app",
            "owner",
            "transfer",
            WRONG_CAPITALS,
            "--app",
            ADDRESS,
            "--chain-id",
            "31337",
        ],
        vec!["app", "owner", "show", WRONG_CAPITALS, "--chain-id", "31337"],
        vec!["plan", "--cvm", CVM, "--vcpu", "2", "--app", WRONG_CAPITALS],
        vec!["plan", "--cvm", WRONG_CAPITALS, "--vcpu", "2"],
        vec!["safe", "show", WRONG_CAPITALS, "--chain-id", "31337"],
        vec!["sign", "--for", WRONG_CAPITALS],
    ] {
        let ran = Ran::of(flow.command(&words).arg("--json")).exits(2);
        assert!(
            ran.said.contains("EIP-55") && ran.said.contains(ADDRESS),
            "{}",
            ran.said
        );
    }
    for (field, code) in [("app", "INPUT_PROJECT_FILE"), ("app_id", "INPUT_PROJECT_FILE")] {
        let text = format!("name = \"{CVM}\"\n{field} = \"{WRONG_CAPITALS}\"\n");
        std::fs::write(world.folder().join("phala.toml"), text).unwrap();
        let mut command = flow.command(&["plan", "--vcpu", "2", "--json"]);
        let ran = Ran::of(command.current_dir(world.folder())).exits(3).says(code);
        assert!(ran.said.contains("EIP-55"), "{}", ran.said);
    }
    assert!(world.cloud.requests().is_empty(), "nothing was asked");
}

#[test]
fn bug_b16_the_hint_for_an_endpoint_names_an_endpoint() {
    let world = World::start();
    for bad in [
        "wss://x.test",
        "https://a.test,https://b.test",
        " ",
        "\"https://a.test\"",
        "a.test",
    ] {
        let flow = Flow::new(&world).chain_at(bad);
        let ran = flow.step("plan").exits(3).says("INPUT_ADDRESS");
        let hint = ran.json["hint"].as_str().unwrap();
        assert!(
            hint.contains("https://mainnet.base.org") && !hint.contains("phala"),
            "{hint}"
        );
    }
    let flow = Flow::new(&world).cloud_at("cloud-api.phala.com");
    let hint = flow.step("plan").exits(3).json["hint"].as_str().unwrap().to_owned();
    assert!(hint.contains("https://cloud-api.phala.com/api/v1"), "{hint}");
}

#[test]
fn an_empty_variable_counts_as_not_set_and_a_line_break_at_its_end_is_none_of_it() {
    let world = World::start();
    let broken = format!("{}\n", world.anvil.url());
    Flow::new(&world).chain_at(&broken).step("plan").exits(0);
    let prefix = format!("{}\r\n", world.cloud.prefix());
    Flow::new(&world).cloud_at(&prefix).step("plan").exits(0);
    let none = Flow::new(&world).chain_at("").step("plan");
    assert_ne!(none.exit, 0, "{}", none.said);
    assert!(none.said.contains("--rpc-url"), "{}", none.said);

    let mut flow = Flow::new(&world);
    let key = world.cloud.requests()[0]
        .header("x-api-key")
        .unwrap_or_default()
        .to_owned();
    flow.env.push(("PHALA_CLOUD_API_KEY".to_owned(), format!("{key}\n")));
    flow.step("plan").exits(0);
    let quoted = format!("\"{key}\"");
    flow.env.push(("PHALA_CLOUD_API_KEY".to_owned(), quoted));
    let ran = flow.step("plan").exits(3).says("INPUT_API_KEY");
    assert!(
        !ran.said.contains(&key) && ran.said.contains("without quotes"),
        "{}",
        ran.said
    );
}
