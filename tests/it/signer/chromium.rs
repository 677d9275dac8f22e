//! `--signer browser` with a real Chromium and a wallet in it. `make browser` runs these; where there is no Chromium, each is
//! skipped with a line.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use alloy::signers::k256::elliptic_curve::rand_core::OsRng;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};

use super::browser::{digest, prepared, sign, signed_by};
use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::skipped;
use crate::safe::upgrade::two_of_three;
use crate::support::contracts::abi;
use crate::support::page::{Ended, Serving, chromium, play};
use crate::support::safes::RELEASES;
use crate::support::timelocks::{TimelockOptions, advance};
use crate::support::world::CVM;
use crate::support::{ACCOUNTS, AppVariant, SafeOptions, World, WorldOptions, packages, repository};
use crate::timelock::route::Ground;

/// Chromium; `None` where it is missing, which is said.
fn browser() -> Option<PathBuf> {
    let found = chromium();
    if found.is_none() {
        skipped("a real browser", "Chromium is not installed");
    }
    found
}

/// What happened on the page of a command that a person with these accounts looks at.
fn played(flow: &Flow<'_>, arguments: &[&str], wish: Value) -> Option<(Value, Ended)> {
    let browser = browser()?;
    let more = ["--json", "--no-open"];
    let serving = Serving::start(flow.command(arguments).args(more));
    let mut wish = wish;
    wish["url"] = json!(serving.url);
    wish["rpc"] = json!(flow.world.anvil.url());
    let seen = play(&browser, flow.world.folder(), &wish);
    for bad in ["violations", "elsewhere"] {
        assert_eq!(seen[bad], json!([]), "{seen:#}");
    }
    // What a command refuses, and that it ended, a browser tells its console.
    let gone = |line: &&Value| {
        !line
            .as_str()
            .unwrap_or_default()
            .starts_with("Failed to load resource: ")
    };
    let said: Vec<&Value> = seen["said"].as_array().unwrap().iter().filter(gone).collect();
    assert!(said.is_empty(), "{seen:#}");
    Some((seen, serving.ended()))
}

/// The keys of these accounts, for the wallet.
fn keys(accounts: &[usize]) -> Value {
    json!(accounts.iter().map(|index| ACCOUNTS[*index].key).collect::<Vec<_>>())
}

/// `sign` of the upgrade's proposal, played so.
fn signing(flow: &Flow<'_>, wish: Value) -> Option<(Value, Ended)> {
    let file = flow.dir.join("proposal.json");
    played(flow, &["sign", file.to_str().unwrap(), "--signer", "browser"], wish)
}

/// An owner signs with a keystore.
fn by_keystore(flow: &Flow<'_>, index: usize) {
    let secrets = tempfile::tempdir().unwrap();
    let key = alloy::hex::decode(ACCOUNTS[index].key).unwrap();
    PrivateKeySigner::encrypt_keystore(secrets.path(), &mut OsRng, key, "word", Some("bob")).unwrap();
    let password = flow.world.file("password", "word");
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o600)).unwrap();
    let keystore = format!("keystore:{}", secrets.path().join("bob").display());
    let by_keystore = [
        "--signer",
        &keystore,
        "--password-file",
        password.to_str().unwrap(),
        "--yes",
    ];
    Ran::of(&mut sign(flow, &by_keystore)).exits(0);
}

/// An owner signs with `cast`, and the signature is taken in.
fn by_cast(flow: &Flow<'_>, index: usize) {
    let file = flow.dir.join("proposal.json");
    let file = file.to_str().unwrap();
    let typed = flow
        .command(&["export", file, "--format", "typed-data"])
        .output()
        .unwrap();
    let document = flow
        .world
        .file("typed.json", std::str::from_utf8(&typed.stdout).unwrap());
    let printed = std::process::Command::new("node")
        .arg(packages().join("@foundry-rs/cast/bin.mjs"))
        .args(["wallet", "sign", "--data", "--from-file"])
        .arg(&document)
        .args(["--private-key", ACCOUNTS[index].key])
        .env("HOME", flow.world.folder())
        .output()
        .unwrap();
    let given = flow
        .world
        .file("carol.hex", std::str::from_utf8(&printed.stdout).unwrap());
    let import = [
        "import",
        given.to_str().unwrap(),
        "--dir",
        flow.dir.to_str().unwrap(),
        "--json",
    ];
    Ran::of(&mut flow.command(&import)).exits(0);
}

#[test]
fn three_of_five_sign_by_browser_keystore_and_cast_and_a_browser_executes() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 3,
            owners: 5,
        }),
        ..WorldOptions::default()
    });
    let flow = prepared(&world);
    // The wallet begins on another chain, and is asked to switch.
    let wish = json!({ "keys": keys(&[0]), "connects": true, "chain": "0x1" });
    let Some((seen, ended)) = signing(&flow, wish) else {
        return;
    };
    ended.exits(0, "OK");
    let calls = [
        "eth_requestAccounts",
        "eth_requestAccounts",
        "eth_chainId",
        "wallet_switchEthereumChain",
        "eth_chainId",
    ];
    assert_eq!(seen["calls"], json!([&calls[..], &["eth_signTypedData_v4"]].concat()));
    assert!(
        !seen["asked"]["at"].as_str().unwrap().contains('#'),
        "the token left the address"
    );
    assert!(
        seen["asked"]["verdict"].as_str().unwrap().contains("atches"),
        "{seen:#}"
    );
    assert_eq!(seen["disabled"], false);

    by_keystore(&flow, 1);
    by_cast(&flow, 2);
    assert_eq!(signed_by(&flow), 3);

    // Anybody executes, and here an owner's browser does.
    let execute = ["execute", "--dir", flow.dir.to_str().unwrap(), "--signer", "browser"];
    let wish = json!({ "keys": keys(&[4]), "connects": true, "act": "send" });
    let (seen, ended) = played(&flow, &execute, wish).unwrap();
    ended.exits(0, "OK");
    assert_eq!(seen["sent"].as_array().unwrap().len(), 1, "{seen:#}");
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn what_goes_wrong_in_a_browser_ends_with_its_own_code_and_signs_nothing() {
    let world = two_of_three();
    let flow = prepared(&world);
    let cases = [
        ("refuse", 6, "WALLET_REFUSED"),
        ("busy", 6, "WALLET_BUSY"),
        ("other-key", 5, "SIGNATURE_MISMATCH"),
        ("other-nonce", 5, "SIGNATURE_MISMATCH"),
        ("personal", 5, "SIGNATURE_MISMATCH"),
        ("decline", 6, "DECLINED"),
        ("close", 8, "PAGE_CLOSED"),
        ("silent", 8, "PAGE_CLOSED"),
        ("unknown-chain", 6, "DECLINED"),
    ];
    for (fault, exit, code) in cases {
        let digest = digest(&flow);
        let wish = json!({ "keys": keys(&[0, 1]), "connects": true, "chain": "0x1", "fault": fault, "digest": digest });
        let Some((seen, ended)) = signing(&flow, wish) else {
            return;
        };
        ended.exits(exit, code);
        assert_eq!(signed_by(&flow), 0, "{fault}");
        if fault == "unknown-chain" {
            assert!(
                seen["trouble"].as_str().unwrap().contains("does not know chain 31337"),
                "{seen:#}"
            );
            assert!(!seen["calls"].to_string().contains("eth_sign"), "{seen:#}");
        }
    }
    // A named account that the wallet does not give, and one that is nobody's.
    let named = format!("browser:{}", ACCOUNTS[0].address);
    let file = flow.dir.join("proposal.json");
    let arguments = ["sign", file.to_str().unwrap(), "--signer", &named];
    let wish = json!({ "keys": keys(&[0, 1]), "fault": "other-account" });
    let (seen, ended) = played(&flow, &arguments, wish).unwrap();
    ended.exits(6, "DECLINED");
    assert!(
        seen["trouble"]
            .as_str()
            .unwrap()
            .contains(&ACCOUNTS[0].address.to_string()),
        "{seen:#}"
    );
    assert_eq!(
        seen["calls"],
        json!(["eth_requestAccounts"]),
        "nothing was asked of another account"
    );
    let (seen, ended) = signing(&flow, json!({ "keys": keys(&[4]), "connects": true })).unwrap();
    ended.exits(5, "SIGNER_NOT_OWNER");
    assert_eq!(seen["calls"], json!(["eth_requestAccounts"]));
    assert!(
        seen["ended"]["status"]
            .as_str()
            .unwrap()
            .contains(&ACCOUNTS[2].address.to_string()),
        "{seen:#}"
    );
}

#[test]
fn two_wallets_two_tabs_reload_and_the_way_back_change_nothing() {
    for (fault, index) in [
        ("two-wallets", 0),
        ("second-tab", 1),
        ("reload-before", 2),
        ("back-before", 0),
    ] {
        let world = two_of_three();
        let flow = prepared(&world);
        let wish = json!({ "keys": keys(&[index]), "connects": true, "fault": fault });
        let Some((seen, ended)) = signing(&flow, wish) else {
            return;
        };
        ended.exits(0, "OK");
        assert_eq!(signed_by(&flow), 1, "{fault}");
        if fault == "two-wallets" {
            let names: Vec<&str> = seen["asked"]["wallets"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            assert_eq!(names, ["First", "Second \u{fffd}<b>"], "as plain text");
        }
        if fault == "second-tab" {
            assert_eq!(seen["second"]["text"], "", "another tab sees nothing");
        }
    }
}

#[test]
fn names_of_strangers_are_text_on_the_page_at_every_width_and_its_pictures_are_in_the_book() {
    let world = two_of_three();
    let mut flow = Flow::new(&world);
    let text = "services:\n  web:\n    image: \"nginx:1.28\"\n    command: \"<img src=x onerror=alert(1)> \u{202e}gnp \
                \u{200b}<script>alert(1)</script>\"\n";
    flow.compose = world.file("hostile.yml", text);
    flow.hash = world.hash_with(text);
    flow.step("prepare").exits(0);
    let shots = tempfile::tempdir().unwrap();
    let wish = json!({ "keys": keys(&[0]), "connects": true, "shots": shots.path(), "shot": "hostile" });
    let Some((seen, ended)) = signing(&flow, wish) else {
        return;
    };
    ended.exits(0, "OK");
    assert_eq!(seen["asked"]["foreign"], 0, "{seen:#}");
    let shown = seen["asked"]["text"].as_str().unwrap();
    assert!(
        shown.contains("<img src=x onerror=alert(1)>") && shown.contains("\\u{202e}gnp"),
        "{shown}"
    );
    assert!(!shown.contains('\u{202e}') && !shown.contains('\u{200b}'));
    for width in ["wide320", "wide1280"] {
        assert_eq!(seen[width], 0, "nothing is wider than the window");
    }
}

#[test]
fn a_safe_that_owns_the_safe_agrees_by_browsers_alone() {
    if browser().is_none() {
        return;
    }
    // A Safe that owns the Safe: its owners sign, and its transaction is sent, by browsers.
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let rpc = world.rpc();
    RELEASES[1].install(&rpc);
    let child = RELEASES[1].create(&rpc, true, (&[ACCOUNTS[0].address, ACCOUNTS[1].address], 1));
    let safe = RELEASES[1].create(&rpc, false, (&[child, ACCOUNTS[2].address, ACCOUNTS[3].address], 2));
    let owner = rpc.read(world.app, &abi::ownerCall {});
    rpc.execute_as(owner, world.app, &abi::transferOwnershipCall { to: safe });
    let flow = prepared(&world);
    let (file, name) = (flow.dir.join("proposal.json"), child.to_string());
    let file = file.to_str().unwrap();
    let by = |arguments: &[&str], index: usize, act: &str| {
        let wish = json!({ "keys": keys(&[index]), "connects": true, "act": act });
        let arguments = [arguments, &["--signer", "browser"]].concat();
        played(&flow, &arguments, wish).unwrap()
    };
    by(&["sign", file, "--for", &name], 0, "sign").1.exits(0, "OK");
    by(&["execute", file, "--for", &name], 4, "send").1.exits(0, "OK");
    by(&["sign", file, "--on-chain"], 2, "send").1.exits(0, "OK");
    by(&["execute", file], 4, "send").1.exits(0, "OK");
    flow.step("wait").exits(0);
    assert_eq!(flow.announcements(), 1);
}

#[test]
fn a_timelock_is_scheduled_and_executed_by_browsers() {
    if browser().is_none() {
        return;
    }
    let ground = Ground::with(TimelockOptions::default());
    let flow = prepared(&ground.world);
    let dir = flow.dir.to_str().unwrap();
    let by = |index: usize| {
        let wish = json!({ "keys": keys(&[index]), "connects": true, "act": "send" });
        played(&flow, &["execute", "--dir", dir, "--signer", "browser"], wish)
            .unwrap()
            .1
    };
    by(1).exits(8, "PENDING_DELAY");
    advance(&ground.world.rpc(), 86_400 + 60);
    by(3).exits(0, "OK");
    flow.step("wait").exits(0);
}

#[test]
fn a_key_in_a_browser_takes_a_whole_upgrade_by_one_command() {
    if browser().is_none() {
        return;
    }
    let world = World::start();
    let flow = Flow::new(&world);
    let compose = flow.compose.to_str().unwrap();
    let dir = flow.dir.to_str().unwrap();
    let arguments = [
        "upgrade", "--cvm", CVM, "-c", compose, "--dir", dir, "--signer", "browser", "--yes",
    ];
    let wish = json!({ "keys": keys(&[1]), "connects": true, "act": "send" });
    let (seen, ended) = played(&flow, &arguments, wish).unwrap();
    ended.exits(0, "OK");
    assert_eq!(seen["sent"].as_array().unwrap().len(), 1);
    flow.landed_once();
}

#[test]
fn a_wallet_signs_what_the_service_asks_for_too() {
    let (world, service) = crate::safe::notices::ground();
    let flow = crate::safe::notices::flow(&world);
    flow.step("prepare").exits(0);
    let (dir, url) = (flow.dir.to_str().unwrap(), service.url());
    let (safe, delegate) = (world.safe.unwrap().to_string(), ACCOUNTS[3].address.to_string());
    let place = ["--service-url", &url, "--signer", "browser"];
    let wish = || json!({ "keys": keys(&[0]), "connects": true });
    let add = [
        &[
            "safe",
            "delegates",
            "add",
            &safe,
            &delegate,
            "--label",
            "ci",
            "--chain-id",
            "31337",
        ][..],
        &place,
    ]
    .concat();
    let Some((seen, ended)) = played(&flow, &add, wish()) else {
        return;
    };
    ended.exits(0, "OK");
    assert_eq!(service.delegates().len(), 1, "{seen:#}");
    assert!(seen["asked"]["text"].as_str().unwrap().contains(&delegate));
    let sign = ["sign", "--dir", dir, "--signer", "env:SIGNER_0", "--yes", "--json"];
    Ran::of(&mut flow.command(&sign)).exits(0);
    crate::safe::notices::propose(&flow, &service, &[]).exits(0);
    let withdraw = [&["propose", "--withdraw", "--dir", dir][..], &place].concat();
    played(&flow, &withdraw, wish()).unwrap().1.exits(0, "OK");
    assert!(service.proposals().is_empty());
}

#[test]
fn the_pictures_of_the_book_are_those_of_the_page() {
    let world = two_of_three();
    let flow = prepared(&world);
    let shots = tempfile::tempdir().unwrap();
    let wish = |name: &str, account: usize, fault: Option<&str>| json!({ "keys": keys(&[account]), "connects": true, "shots": shots.path(), "shot": name, "fault": fault });
    let Some((_, ended)) = signing(&flow, wish("sign", 0, None)) else {
        return;
    };
    ended.exits(0, "OK");
    signing(&flow, wish("refused", 1, Some("refuse")))
        .unwrap()
        .1
        .exits(6, "WALLET_REFUSED");
    let file = flow.dir.join("proposal.json");
    let review = ["review", file.to_str().unwrap(), "--open"];
    let (seen, ended) = played(
        &flow,
        &review,
        json!({ "keys": keys(&[0]), "act": "look", "shots": shots.path() }),
    )
    .unwrap();
    ended.exits(0, "OK");
    assert_eq!(seen["buttons"], 0, "there is nothing to press");
    let images = repository().join("docs/src/howto/images");
    for name in ["sign-1280-light.png", "sign-320-dark.png", "refused-1280-dark.png"] {
        let picture = std::fs::read(shots.path().join(name)).unwrap();
        assert!(picture.starts_with(b"\x89PNG"), "{name}");
        if std::env::var_os("DOCS").is_some_and(|value| value == "overwrite") {
            std::fs::create_dir_all(&images).unwrap();
            std::fs::write(images.join(name), &picture).unwrap();
        }
        assert!(images.join(name).is_file(), "DOCS=overwrite makes {name}");
    }
}

#[test]
fn a_transaction_that_is_refused_lost_replaced_or_never_sent_is_settled_by_reading() {
    let cases = [
        ("refuse", 6, "WALLET_REFUSED", 0),
        ("silent", 9, "WALLET_UNKNOWN", 0),
        ("never-sent", 9, "WALLET_UNKNOWN", 0),
        ("answer-lost", 9, "WALLET_UNKNOWN", 1),
        ("other-data", 5, "TX_MISMATCH", 1),
    ];
    for (fault, exit, code, sent) in cases {
        let world = World::start();
        let flow = prepared(&world);
        let dir = flow.dir.to_str().unwrap();
        let execute = ["execute", "--dir", dir, "--signer", "browser"];
        let wish = |fault: Option<&str>| json!({ "keys": keys(&[1]), "connects": true, "act": "send", "fault": fault });
        let Some((seen, ended)) = played(&flow, &execute, wish(Some(fault))) else {
            return;
        };
        ended.exits(exit, code);
        let asked = seen["calls"].to_string().contains("eth_sendTransaction");
        assert!(
            asked && seen["sent"].as_array().unwrap().len() >= sent,
            "{fault}: {seen:#}"
        );
        if fault == "other-data" {
            // Bytes behind the call change nothing for the contract: the change is in force, and it is not what was asked for.
            continue;
        }
        if fault == "answer-lost" {
            // It was mined: nobody is asked again.
            flow.step("resume").exits(0);
            flow.landed_once();
            continue;
        }
        let (seen, ended) = played(&flow, &execute, wish(None)).unwrap();
        ended.exits(0, "OK");
        let told = seen["asked"]["text"].as_str().unwrap().contains("ASKED BEFORE");
        assert!(told, "{fault}: the second request says that there was a first");
        flow.step("wait").exits(0);
        flow.step("commit").exits(0);
    }
}
