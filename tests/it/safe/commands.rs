//! `countersign safe`: a Safe as the chain shows it, and the hashes of its transactions, as a process.

use std::path::Path;

use alloy::primitives::{Address, B256, Bytes, U256, address, b256};
use countersign::chain::Call;
use countersign::safe::builder_file::{self, Batch, Form};
use countersign::safe::{Intent, SafeDomain, SafeTx};
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{BINARY, Ran};
use crate::support::command::{countersign, run, shown};
use crate::support::safes::{RELEASES, Release};
use crate::support::{ACCOUNTS, Anvil, AnvilOptions, Rpc, contracts};

/// A chain with one Safe on it, and a home for the commands.
struct Ground {
    rpc: Rpc,
    release: Release,
    safe: Address,
    home: tempfile::TempDir,
    anvil: Anvil,
}

impl Ground {
    fn new() -> Self {
        let anvil = Anvil::start(AnvilOptions::default());
        let (rpc, release) = (anvil.rpc(), RELEASES[1]);
        release.install(&rpc);
        let safe = release.create(&rpc, true, (&[ACCOUNTS[0].address, ACCOUNTS[1].address], 2));
        Self {
            rpc,
            release,
            safe,
            home: tempfile::tempdir().unwrap(),
            anvil,
        }
    }
    fn domain(&self) -> SafeDomain {
        SafeDomain {
            chain_id: 31337,
            safe: self.safe,
            version: self.release.version.parse().unwrap(),
        }
    }
    fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.home.path().join(name), content).unwrap();
        name.to_owned()
    }
    fn online(&self, arguments: &[&str]) -> Ran {
        let mut command = countersign(BINARY, self.home.path());
        command
            .env("ETH_RPC_URL", self.anvil.url())
            .args(arguments)
            .arg("--json");
        Ran::of(&mut command)
    }
    /// `safe show` or `safe check` of this Safe.
    fn look(&self, command: &str, more: &[&str]) -> Ran {
        let safe = self.safe.to_string();
        let mut arguments = vec!["safe", command, &safe, "--chain-id", "31337"];
        arguments.extend(more);
        self.online(&arguments)
    }
    fn store(&self, slot: B256, value: Address) {
        let word = value.into_word();
        self.rpc.call("anvil_setStorageAt", json!([self.safe, slot, word]));
    }
}

fn offline(home: &Path, arguments: &[&str]) -> Ran {
    Ran::of(countersign(BINARY, home).args(arguments).args(["--offline", "--json"]))
}

fn codes(ran: &Ran) -> Vec<String> {
    let found = ran.json["data"]["findings"].as_array().unwrap();
    found
        .iter()
        .map(|one| one["code"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_safe_is_shown_with_its_owners_and_nothing_remarkable() {
    let ground = Ground::new();
    let read = ground.look("show", &[]).exits(0);
    let safe = &read.json["data"]["safe"];
    assert_eq!(safe["address"], json!(ground.safe));
    assert_eq!(safe["threshold"], 2);
    assert_eq!(safe["version"], ground.release.version);
    assert_eq!(safe["owners"].as_array().unwrap().len(), 2);
    assert_eq!(codes(&read), Vec::<String>::new());
    ground.look("check", &[]).exits(0).says("OK");
    // The page for people holds what the object holds.
    let text = ground.safe.to_string();
    let mut command = countersign(BINARY, ground.home.path());
    command.args([
        "safe",
        "show",
        &text,
        "--chain-id",
        "31337",
        "--rpc-url",
        &ground.anvil.url(),
    ]);
    let page = run(&mut command);
    let said = String::from_utf8(page.stdout.clone()).unwrap();
    for word in [
        text,
        "2 of 2".to_owned(),
        ACCOUNTS[1].address.to_string(),
        "nothing".to_owned(),
    ] {
        assert!(said.contains(&word), "{word}: {}", shown(&page));
    }
}

#[test]
fn m15_m16_pitfall_36_a_safe_with_unknown_code_stops_and_helpers_are_told() {
    let ground = Ground::new();
    let stranger = contracts::deploy(&ground.rpc, ACCOUNTS[0].address, "ContractOwner", &[]);
    ground.store(
        b256!("4a204f620c8c5ccdca3fd54d003badd85ba500436a431f0cbda4f558c93c34c8"),
        stranger,
    );
    let guarded = ground.look("check", &[]).exits(0);
    assert_eq!(codes(&guarded), ["SAFE_GUARD"]);

    let code = ground
        .rpc
        .call("eth_getCode", json!([ground.release.singleton_l2, "latest"]));
    let altered = format!("{}00", code.as_str().unwrap());
    let elsewhere = Address::repeat_byte(0xe1);
    ground.rpc.call("anvil_setCode", json!([elsewhere, altered]));
    ground.store(B256::ZERO, elsewhere);
    let refused = ground.look("check", &[]).exits(5).says("SAFE_UNKNOWN_CODE");
    assert_eq!(codes(&refused), ["SAFE_UNKNOWN_CODE", "SAFE_GUARD"]);
    assert_eq!(refused.json["data"]["findings"][0]["severity"], "stop");
    let hash = refused.json["data"]["safe"]["singleton_code_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(refused.json["hint"].as_str().unwrap().contains(&hash));
    ground.look("show", &[]).exits(0);
    ground.look("check", &["--trust-code", &hash]).exits(0);
    let other = B256::repeat_byte(1).to_string();
    ground.look("check", &["--trust-code", &other]).exits(5);
}

#[test]
fn m27_an_old_version_needs_a_decision_and_not_more() {
    let ground = Ground::new();
    let code = ground
        .rpc
        .call("eth_getCode", json!([ground.release.singleton_l2, "latest"]));
    let (new, old) = (alloy::hex::encode("1.4.1"), alloy::hex::encode("1.1.1"));
    let code = code.as_str().unwrap().replace(&new, &old);
    ground
        .rpc
        .call("anvil_setCode", json!([ground.release.singleton_l2, code]));
    // Its code is unknown too, which weighs more.
    let refused = ground.look("check", &[]).exits(5);
    let hash = refused.json["data"]["safe"]["singleton_code_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let old = ground
        .look("check", &["--trust-code", &hash])
        .exits(6)
        .says("SAFE_OLD_VERSION");
    assert!(old.json["hint"].as_str().unwrap().contains("--accept-old-safe"));
    ground
        .look("check", &["--trust-code", &hash, "--accept-old-safe"])
        .exits(0);
}

#[test]
fn pitfall_29_an_address_that_is_no_safe_or_no_address_is_told_so() {
    let ground = Ground::new();
    let eoa = ACCOUNTS[2].address.to_string();
    for command in ["show", "check"] {
        let arguments = ["safe", command, &eoa, "--chain-id", "31337"];
        ground.online(&arguments).exits(6).says("NOT_A_SAFE");
    }
    let safe = ground.safe.to_string();
    let other = format!("base:{safe}");
    for bad in ["0x12", "no address"] {
        let ran = ground.online(&["safe", "show", bad, "--chain-id", "31337"]);
        ran.exits(2).says("USAGE_INVALID_VALUE");
    }
    let elsewhere = ground.online(&["safe", "show", &other, "--chain-id", "31337"]);
    elsewhere.exits(3).says("INPUT_ADDRESS");
    ground.online(&["safe", "show", &safe]).exits(2);
    let without =
        Ran::of(countersign(BINARY, ground.home.path()).args(["safe", "show", &safe, "--chain-id", "31337", "--json"]));
    without.exits(2).says("USAGE_NO_RPC");
}

/// The worked example of the reference: Safe, target, nonce and hashes are somebody else's numbers.
const SAFE: &str = "0x2222222222222222222222222222222222222222";
const TARGET: Address = address!("1111111111111111111111111111111111111111");
const DOMAIN_HASH: &str = "0xd517f1d0641e7399d15bb5b264f7fe37cc53e070f033adb464b8c0f4ed566dd3";
const MESSAGE_HASH: &str = "0x4f49c545a3738f6a93ff73a61dcb1a347ff6d0010795e60006bc78ab4ae608d7";
const SAFE_TX_HASH: &str = "0x2c4a1da8f4ec2ccd79cd520c8ee06119e7b5812006167ae13ac693834860368a";

fn data() -> String {
    format!("0xdfc77223{}", "ab".repeat(32))
}

fn example<'a>(data: &'a str, target: &'a str) -> Vec<&'a str> {
    vec![
        "safe",
        "hash",
        "--safe",
        SAFE,
        "--chain-id",
        "8453",
        "--safe-version",
        "1.4.1",
        "--to",
        target,
        "--data",
        data,
        "--nonce",
        "7",
    ]
}

#[test]
fn v8_hashes_of_given_fields_are_those_of_the_standard() {
    let home = tempfile::tempdir().unwrap();
    let (data, target) = (data(), TARGET.to_string());
    let ran = offline(home.path(), &example(&data, &target)).exits(0);
    let digests = &ran.json["data"]["digests"];
    assert_eq!(digests["domain"], DOMAIN_HASH);
    assert_eq!(digests["message"], MESSAGE_HASH);
    assert_eq!(digests["safe_tx"], SAFE_TX_HASH);
    assert_eq!(ran.json["data"]["compared"], false);
    assert_eq!(ran.json["data"]["acceptable"], true);
    // Any field changes the hash; what nobody should sign is hashed and told.
    for more in [
        ["--operation", "1"],
        ["--gas-price", "1"],
        ["--value", "1"],
        ["--refund-receiver", SAFE],
    ] {
        let mut arguments = example(&data, &target);
        arguments.extend(more);
        let ran = offline(home.path(), &arguments).exits(0);
        assert_ne!(ran.json["data"]["digests"]["safe_tx"], SAFE_TX_HASH);
        assert_eq!(ran.json["data"]["acceptable"], false, "{}", ran.said);
        assert_eq!(ran.json["warnings"][0]["code"], "SAFE_TX_REFUSED");
    }
    let mut old = example(&data, &target);
    old[7] = "1.1.1";
    let ran = offline(home.path(), &old).exits(0);
    let expected = "0x9b9919d3b21713a110c19b5a3e82e709a655e4b10a836ddace15c0fc3454a516";
    assert_eq!(ran.json["data"]["digests"]["safe_tx"], expected);
}

#[test]
fn what_a_hash_needs_and_is_not_given_is_named() {
    let home = tempfile::tempdir().unwrap();
    let (data, target) = (data(), TARGET.to_string());
    let full = example(&data, &target);
    for option in ["--safe", "--chain-id", "--safe-version"] {
        let at = full.iter().position(|word| *word == option).unwrap();
        let mut arguments = full.clone();
        arguments.drain(at..at + 2);
        let ran = offline(home.path(), &arguments).exits(2).says("USAGE_SAFE");
        assert!(ran.json["next"].as_str().unwrap().contains(option), "{}", ran.said);
    }
    offline(home.path(), &["safe", "hash"]).exits(2);
    let mut bad = full;
    bad.extend(["--operation", "2"]);
    offline(home.path(), &bad).exits(2);
}

fn transaction(domain: SafeDomain, calls: usize, library: Option<Address>) -> SafeTx {
    let call = Call {
        to: TARGET,
        value: U256::ZERO,
        data: Bytes::from_static(&[1, 2, 3, 4]),
    };
    let intent = Intent {
        domain,
        nonce: U256::from(5),
        calls: vec![call; calls],
        batcher: library,
        old_versions: false,
    };
    SafeTx::freeze(&intent).unwrap()
}

/// As a service answers it, with what a test changes of it.
fn service(tx: &SafeTx, change: impl Fn(&mut Value)) -> String {
    let mut message = tx.typed_data()["message"].clone();
    let object = message.as_object_mut().unwrap();
    object.insert("safe".to_owned(), json!(tx.domain().safe));
    object.insert("safeTxHash".to_owned(), json!(tx.hash()));
    object.insert("operation".to_owned(), json!(0));
    change(&mut message);
    message.to_string()
}

#[test]
fn v10_files_are_hashed_again_and_the_safe_itself_is_asked() {
    let ground = Ground::new();
    let one = transaction(ground.domain(), 1, None);
    let two = transaction(ground.domain(), 2, Some(ground.release.call_only));
    let batch = |tx: &SafeTx| Batch {
        chain_id: 31337,
        safe: Some(ground.safe),
        name: "two".to_owned(),
        description: String::new(),
        created_at: Some(jiff::Timestamp::UNIX_EPOCH),
        calls: tx.calls().to_vec(),
    };
    let typed = ground.file("typed.json", &one.typed_data().to_string());
    let told = ground.file("service.json", &service(&one, |_| ()));
    let single = ground.file("one.json", &builder_file::export(&batch(&one), Form::Raw).unwrap());
    let several = ground.file("two.json", &builder_file::export(&batch(&two), Form::Raw).unwrap());
    let cases = [
        (vec![typed.as_str()], &one),
        (vec![&told, "--chain-id", "31337"], &one),
        (vec![&single, "--nonce", "5"], &one),
        (vec![&several, "--nonce", "5"], &two),
    ];
    for (arguments, tx) in cases {
        let arguments: Vec<&str> = ["safe", "hash"].into_iter().chain(arguments).collect();
        let ran = ground.online(&arguments).exits(0);
        assert_eq!(ran.json["data"]["digests"]["safe_tx"], json!(tx.hash()), "{}", ran.said);
        assert_eq!(ran.json["data"]["compared"], true);
        assert_eq!(ran.json["data"]["calls"].as_array().unwrap().len(), tx.calls().len());
    }
    ground.online(&["safe", "hash", &single]).exits(2).says("USAGE_SAFE");
    let needs = offline(
        ground.home.path(),
        &["safe", "hash", &several, "--nonce", "5", "--safe-version", "1.4.1"],
    );
    assert!(
        needs.exits(2).json["next"]
            .as_str()
            .unwrap()
            .contains("--library 0x9641")
    );
}

#[test]
fn v10_m21_pitfall_32_another_hash_in_the_file_or_on_the_chain_stops() {
    let ground = Ground::new();
    let tx = transaction(ground.domain(), 1, None);
    let changed = service(&tx, |message| message["to"] = json!(ACCOUNTS[0].address));
    let file = ground.file("changed.json", &changed);
    let ran = ground.online(&["safe", "hash", &file, "--chain-id", "31337"]);
    ran.exits(5).says("SAFE_TX_HASH");
    // A Safe that computes another hash: its code says a version whose rules are not the ones it uses.
    let code = ground
        .rpc
        .call("eth_getCode", json!([ground.release.singleton_l2, "latest"]));
    let (new, old) = (alloy::hex::encode("1.4.1"), alloy::hex::encode("1.1.1"));
    let code = code.as_str().unwrap().replace(&new, &old);
    ground
        .rpc
        .call("anvil_setCode", json!([ground.release.singleton_l2, code]));
    let typed = ground.file("typed.json", &tx.typed_data().to_string());
    ground.online(&["safe", "hash", &typed]).exits(5).says("SAFE_TX_HASH");
}

#[test]
fn a_file_for_another_safe_or_chain_than_the_one_that_is_named_stops() {
    let ground = Ground::new();
    let tx = transaction(ground.domain(), 1, None);
    let typed = ground.file("typed.json", &tx.typed_data().to_string());
    let other = ACCOUNTS[3].address.to_string();
    for more in [["--safe", &other], ["--chain-id", "1"]] {
        let arguments = ["safe", "hash", &typed, more[0], more[1]];
        ground.online(&arguments).exits(5).says("SAFE_TX_PLACE");
    }
    let broken = ground.file("broken.json", "{\"primaryType\":\"SafeTx\"}");
    ground.online(&["safe", "hash", &broken]).exits(3).says("INPUT_SAFE_TX");
    let nothing = ground.file("nothing.json", "[]");
    ground
        .online(&["safe", "hash", &nothing])
        .exits(3)
        .says("INPUT_SAFE_TX");
    ground
        .online(&["safe", "hash", "missing.json"])
        .exits(3)
        .says("INPUT_FILE");
}

/// What `safe check` finds with other code behind the Safe, or by an endpoint that says otherwise.
#[test]
fn m15_a_safe_whose_code_owners_or_version_are_not_those_of_a_safe_is_not_signed_for() {
    let ground = Ground::new();
    let check = |more: &[&str]| ground.look("check", more);
    // A module acts without the owners, which forbids nothing.
    let stranger = contracts::deploy(&ground.rpc, ACCOUNTS[0].address, "ContractOwner", &[]);
    let (selector, module) = (
        alloy::primitives::keccak256("enableModule(address)"),
        stranger.into_word(),
    );
    let enable = [&selector[..4], module.as_slice()];
    ground.rpc.call("anvil_impersonateAccount", json!([ground.safe]));
    ground
        .rpc
        .call("anvil_setBalance", json!([ground.safe, "0xde0b6b3a7640000"]));
    ground.rpc.send(ground.safe, Some(ground.safe), &enable.concat());
    let with_module = ground.look("show", &[]).exits(0);
    assert_eq!(codes(&with_module), ["SAFE_MODULE"], "{}", with_module.said);
    // The code of a release, where nobody put it.
    let singleton = ground.release.singleton_l2;
    let code = ground.rpc.call("eth_getCode", json!([singleton, "latest"]));
    let elsewhere = Address::repeat_byte(0xe2);
    ground.rpc.call("anvil_setCode", json!([elsewhere, code]));
    ground.store(B256::ZERO, elsewhere);
    let unlisted = ground.look("show", &[]).exits(0);
    assert!(
        codes(&unlisted).contains(&"SAFE_UNLISTED".to_owned()),
        "{}",
        unlisted.said
    );
    // The same code but for the version that it reports.
    let (new, next) = (alloy::hex::encode("1.4.1"), alloy::hex::encode("1.9.9"));
    let altered = code.as_str().unwrap().replace(&new, &next);
    ground.rpc.call("anvil_setCode", json!([elsewhere, altered]));
    let refused = check(&[]).exits(5);
    let hash = refused.json["data"]["safe"]["singleton_code_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    let unknown = check(&["--trust-code", &hash]).exits(6).says("SAFE_VERSION");
    let hint = unknown.json["hint"].as_str().unwrap();
    assert!(hint.contains("a version of countersign"), "{hint}");
    ground.store(B256::ZERO, singleton);
    check(&[]).exits(0);
    // More owners are asked for than there are.
    let threshold = json!([ground.safe, B256::with_last_byte(4), B256::with_last_byte(9)]);
    ground.rpc.call("anvil_setStorageAt", threshold);
    check(&[]).exits(5).says("SAFE_OWNERS");
}

#[test]
fn m15_an_endpoint_that_says_another_version_or_another_contract_behind_the_safe_is_not_believed() {
    let ground = Ground::new();
    let (new, other) = (alloy::hex::encode("1.4.1"), alloy::hex::encode("1.5.0"));
    let version = Liar::editing(&ground.anvil.url(), move |method, result| {
        if method == "eth_call" {
            *result = json!(result.as_str().unwrap().replace(&new, &other));
        }
    });
    let library = ground.release.call_only.into_word();
    let contract = Liar::to(&ground.anvil.url(), move |method, asked| {
        (method == "eth_getStorageAt"
            && asked[1]
                .as_str()
                .is_some_and(|slot| slot.trim_start_matches("0x").trim_start_matches('0').is_empty()))
        .then(|| json!(library))
    });
    for (liar, code) in [(version, "SAFE_CODE_CONTRADICTED"), (contract, "SAFE_NOT_A_SINGLETON")] {
        let ran = ground.look("check", &["--rpc-url", liar.url()]);
        let ran = ran.exits(5).says(code);
        assert!(
            ran.json["hint"].as_str().unwrap().contains("sign nothing"),
            "{}",
            ran.said
        );
    }
}
