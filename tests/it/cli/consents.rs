//! What somebody agrees to: the page, the consents and the evidence show one list, read from the bytes that are signed, and
//! nothing that is in these bytes is missing from it.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use serde_json::Value;

use crate::harness::flow::{Flow, Ran};
use crate::support::command::{run, shown};
use crate::support::timelocks::{TimelockOptions, advance};
use crate::support::{ACCOUNTS, SafeOptions, World, WorldOptions};
use crate::timelock::route::Ground;

const SAFE: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};
const DEVICE: B256 = B256::repeat_byte(0xd1);
const HEIR: &str = "0x6666666666666666666666666666666666666666";
const DAY: u64 = 86_400;

fn safe_world() -> World {
    World::with(WorldOptions {
        safe: Some(SAFE),
        ..WorldOptions::default()
    })
}

/// A step by the key of an account, agreed to in advance.
fn by(flow: &Flow<'_>, step: &[&str], account: usize) -> Ran {
    let (dir, signer) = (flow.dir.to_str().unwrap(), format!("env:SIGNER_{account}"));
    let mut command = flow.command(step);
    command.args(["--json", "--dir", dir, "--signer", &signer, "--yes", "--timeout", "20s"]);
    Ran::of(&mut command)
}

/// The lines of a list of effects on a page or in a consent: those under its heading.
fn listed(said: &str) -> Vec<String> {
    let mut lines = said.lines();
    let Some(_) = lines.find(|line| line.trim() == "what takes effect, by the bytes that are signed") else {
        return Vec::new();
    };
    let list = lines.take_while(|line| line.starts_with("  "));
    list.map(|line| line.trim().trim_start_matches("DANGER: ").to_owned())
        .collect()
}

/// The sentences of a list in JSON.
fn sentences(effects: &Value) -> Vec<String> {
    let all = effects.as_array().into_iter().flatten();
    all.map(|one| one["sentence"].as_str().unwrap().to_owned()).collect()
}

/// The sentences of a document, which holds nothing else of them.
fn texts(effects: &Value) -> Vec<String> {
    serde_json::from_value(effects.clone()).unwrap()
}

/// Facts of a consent by their names; a name that stands there twice fails.
fn facts(said: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let lines = said.lines().skip_while(|line| line.trim() != "what it is about");
    for line in lines.filter(|line| line.starts_with("  ")) {
        let (name, value) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
        let before = found.insert(name.to_owned(), value.trim().to_owned());
        assert_eq!(before, None, "{name} stands there twice: {said}");
    }
    found
}

/// The page of a file that somebody was sent, without a chain.
fn offline_page(world: &World, file: &str) -> String {
    let file = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let flow = Flow::new(world);
    shown(&run(&mut flow.command(&["review", &file, "--offline"])))
}

#[test]
fn sec_c5_signing_and_executing_show_every_call_and_never_say_that_nothing_else_changes() {
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.with("prepare", &["--add-device", &DEVICE.to_string()]).exits(0);
    let page = flow.step("review").exits(0);
    let of_page = sentences(&page.json["data"]["transaction"]["effects"]);
    let device = format!("allow device {DEVICE} on the app {}", world.app);
    let hash = format!("allow compose hash {} on the app {}", flow.hash, world.app);
    assert!(of_page.iter().any(|one| one.starts_with(&device)), "{of_page:?}");
    assert!(of_page.iter().any(|one| one.starts_with(&hash)), "{of_page:?}");
    for account in [0, 2] {
        let signed = by(&flow, &["sign"], account).exits(0);
        assert_eq!(listed(&signed.said), of_page, "{}", signed.said);
        assert!(!signed.said.contains("nothing"), "{}", signed.said);
    }
    let executed = by(&flow, &["execute"], 4).exits(0);
    let inside: Vec<String> = of_page
        .iter()
        .map(|one| format!("{one}, by the Safe {}", world.safe.unwrap()))
        .collect();
    let mut seen = listed(&executed.said);
    seen.retain(|one| !one.starts_with("execute a transaction of the Safe"));
    assert_eq!(seen, inside, "{}", executed.said);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    let evidence = flow.json_file("evidence.json");
    assert_eq!(texts(&evidence["said"]["effects"]), listed(&executed.said));
    let text = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    for sentence in inside {
        assert!(text.contains(&format!("- {sentence}\n")), "{text}");
    }
}

#[test]
fn sec_c5_a_batch_that_gives_the_app_away_says_so_first() {
    let world = World::start();
    let said = offline_page(&world, "proposal_gives_away.json");
    let list = listed(&said);
    assert!(
        list[0].starts_with("GIVES THE APP AWAY") && list[0].contains(HEIR),
        "{said}"
    );
    assert!(list[1].starts_with("allow compose hash"), "{said}");
    assert!(!said.contains("changes besides: nothing"), "{said}");
}

#[test]
fn sec_h1_where_the_hash_stands_already_what_is_called_is_what_changes_besides() {
    let world = World::start();
    let said = offline_page(&world, "proposal_gives_away_only.json");
    assert!(!said.contains("changes besides: nothing"), "{said}");
    let list = listed(&said);
    assert!(list.len() == 1 && list[0].starts_with("GIVES THE APP AWAY"), "{said}");
    let besides = said.split_once("changes besides:").unwrap().1;
    assert!(besides.trim_start().starts_with("GIVES THE APP AWAY"), "{said}");
}

#[test]
fn ppl_p6_every_value_of_a_consent_has_a_name_of_its_own() {
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let first = by(&flow, &["sign"], 0).exits(0);
    assert_eq!(facts(&first.said)["signed so far"], "nobody", "{}", first.said);
    let second = by(&flow, &["sign"], 2).exits(0);
    let signer = ACCOUNTS[0].address.to_string();
    assert_eq!(facts(&second.said)["signed so far"], signer, "{}", second.said);
    let executed = by(&flow, &["execute"], 4).exits(0);
    let found = facts(&executed.said);
    let names = [
        "Safe nonce",
        "key nonce",
        "digest of the call",
        "digest of execTransaction",
        "safeTxHash",
        "domain hash",
        "message hash",
    ];
    for name in names {
        assert!(found.contains_key(name), "{name}: {}", executed.said);
    }
    assert!(!found.contains_key("nonce"), "{}", executed.said);
    assert_ne!(found["digest of the call"], found["digest of execTransaction"]);
    assert_eq!(found["signatures needed"], "2");
    let allows = format!("allow compose hash {}", flow.hash);
    for ran in [&first, &second, &executed] {
        assert!(
            listed(&ran.said).iter().any(|one| one.starts_with(&allows)),
            "{}",
            ran.said
        );
    }
}

#[test]
fn ppl_p6_an_approval_on_chain_shows_what_is_approved_and_its_own_digest() {
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let approved = by(&flow, &["sign", "--on-chain"], 0).exits(0);
    let list = listed(&approved.said);
    assert!(list[0].starts_with("approve Safe transaction 0x"), "{}", approved.said);
    assert!(
        list[1].starts_with(&format!("allow compose hash {}", flow.hash)),
        "{}",
        approved.said
    );
    let found = facts(&approved.said);
    assert_ne!(found["digest of the call"], found["digest of approveHash"]);
}

#[test]
fn se2_t4_a_safe_that_schedules_sees_the_operation_its_delay_and_what_it_does() {
    let ground = Ground::with_safe(None);
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let id = flow.json_file("proposal.json")["timelock"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let page = flow.step("review").exits(0);
    assert_eq!(
        page.json["data"]["transaction"]["besides"],
        serde_json::json!([]),
        "{}",
        page.said
    );
    let shown_there = sentences(&page.json["data"]["transaction"]["effects"]);
    for account in [0, 2] {
        let signed = by(&flow, &["sign"], account).exits(0);
        let list = listed(&signed.said);
        assert_eq!(list, shown_there);
        assert!(
            list[0].starts_with(&format!("schedule operation {id} at the timelock")),
            "{}",
            signed.said
        );
        assert!(list[0].contains("1 day (86400 seconds) later"), "{}", signed.said);
        assert!(
            list[1].starts_with(&format!("allow compose hash {}", flow.hash)),
            "{}",
            signed.said
        );
        let found = facts(&signed.said);
        assert_eq!(
            (found["operation id"].as_str(), found["delay"].as_str()),
            (id.as_str(), "86400 seconds")
        );
    }
    by(&flow, &["execute"], 4).exits(8).says("PENDING_DELAY");
    let cancels = by(&flow, &["reject"], 4).exits(8).says("PENDING_SIGNATURES");
    let cancelled = by(&flow, &["sign"], 0).exits(0);
    let list = listed(&cancelled.said);
    assert!(
        list.len() == 1 && list[0].starts_with(&format!("cancel operation {id}")),
        "{} {}",
        cancels.said,
        cancelled.said
    );
}

#[test]
fn se2_t4_a_key_that_schedules_and_executes_sees_the_same() {
    let ground = Ground::with(TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let id = flow.json_file("proposal.json")["timelock"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let allows = format!("allow compose hash {}", flow.hash);
    for (account, verb, exit) in [(1, "schedule", 8), (3, "execute", 0)] {
        let page = flow.step("review").exits(0);
        let ran = by(&flow, &["execute"], account).exits(exit);
        let list = listed(&ran.said);
        assert_eq!(
            list,
            sentences(&page.json["data"]["transaction"]["effects"]),
            "{}",
            ran.said
        );
        assert!(list[0].starts_with(&format!("{verb} operation {id}")), "{}", ran.said);
        assert!(list[1].starts_with(&allows), "{}", ran.said);
        assert_eq!(facts(&ran.said)["operation id"], id);
        advance(&ground.world.rpc(), DAY);
    }
}

#[test]
fn sec_c5_a_key_alone_sees_what_its_transaction_does() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let page = flow.step("review").exits(0);
    let sent = flow.step("execute").exits(0);
    let expected = sentences(&page.json["data"]["transaction"]["effects"]);
    assert_eq!(listed(&sent.said), expected, "{}", sent.said);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    assert_eq!(texts(&flow.json_file("evidence.json")["said"]["effects"]), expected);
}

/// `app owner transfer HEIR` of the world's app, prepared.
fn transfer(world: &World) -> Flow<'_> {
    let flow = crate::upgrade::policy::flow(world);
    let to = ACCOUNTS[2].address.to_string();
    crate::upgrade::policy::propose(&flow, &["owner", "transfer", &to]).exits(0);
    flow
}

#[test]
fn sec_c5_a_yes_in_advance_does_not_give_an_app_away_its_heirs_address_does() {
    let world = World::start();
    let flow = transfer(&world);
    let nonce = world.rpc().nonce(world.owner.address);
    let heir = ACCOUNTS[2].address.to_string();
    let refused = by(&flow, &["execute"], 1).exits(6).says("APP_GIVEN_AWAY");
    let next = refused.json["next"].as_str().unwrap();
    assert!(next.contains(&format!("APP_GIVEN_AWAY={heir}")), "{next}");
    let other = format!("APP_GIVEN_AWAY={HEIR}");
    by(&flow, &["execute", "--accept", &other], 1)
        .exits(6)
        .says("APP_GIVEN_AWAY");
    assert!(!flow.kinds().contains(&"sign.try".to_owned()));
    assert_eq!(world.rpc().nonce(world.owner.address), nonce);
    let right = format!("APP_GIVEN_AWAY={heir}");
    let sent = by(&flow, &["execute", "--accept", &right], 1).exits(0);
    assert!(listed(&sent.said)[0].starts_with("GIVES THE APP AWAY"), "{}", sent.said);
}

#[test]
fn sec_c5_an_owner_of_a_safe_names_the_heir_at_each_signing() {
    let world = safe_world();
    let flow = transfer(&world);
    let right = format!("APP_GIVEN_AWAY={}", ACCOUNTS[2].address);
    for step in [&["sign"][..], &["sign", "--on-chain"]] {
        by(&flow, step, 0).exits(6).says("APP_GIVEN_AWAY");
    }
    assert!(!flow.kinds().contains(&"sign.try".to_owned()));
    for account in [0, 2] {
        by(&flow, &["sign", "--accept", &right], account).exits(0);
    }
    let nonce = world.rpc().nonce(ACCOUNTS[4].address);
    // What was agreed to in this directory may hold for what follows in it; nowhere else does it.
    let file = world.folder().join("elsewhere.json");
    std::fs::copy(flow.dir.join("proposal.json"), &file).unwrap();
    let mut command = flow.command(&[
        "sign",
        file.to_str().unwrap(),
        "--signer",
        "env:SIGNER_1",
        "--yes",
        "--json",
    ]);
    Ran::of(command.env("XDG_STATE_HOME", world.folder().join("carol")))
        .exits(6)
        .says("APP_GIVEN_AWAY");
    assert_eq!(world.rpc().nonce(ACCOUNTS[4].address), nonce);
    by(&flow, &["execute", "--accept", &right], 4).exits(0);
}

#[test]
fn a_yes_in_advance_deletes_no_cvm_its_name_does() {
    let world = World::start();
    let delete = |more: &[&str]| {
        let mut words = vec!["cvm", "delete", "--cvm", crate::support::world::CVM, "--yes", "--json"];
        words.extend(more);
        Ran::of(&mut Flow::new(&world).command(&words))
    };
    delete(&[]).exits(6).says("CVM_DELETED");
    delete(&["--accept", "CVM_DELETED=another"])
        .exits(6)
        .says("CVM_DELETED");
    assert!(!world.cloud.names().is_empty());
    let right = format!("CVM_DELETED={}", crate::support::world::CVM);
    delete(&["--accept", &right]).exits(0);
}

#[cfg(target_os = "linux")]
#[test]
fn sec_c5_at_a_terminal_the_heirs_address_is_typed_even_beside_yes() {
    let world = World::start();
    let flow = transfer(&world);
    let dir = flow.dir.to_str().unwrap();
    let (heir, asked) = (ACCOUNTS[2].address.to_string(), "to agree to that, or no: ");
    let execute = ["execute", "--dir", dir, "--signer", "env:OWNER_KEY", "--yes"];
    for answer in ["no\n".to_owned(), "yes\nno\n".to_owned(), format!("{HEIR}\nno\n")] {
        let (exit, shown) = crate::cli::process::answering(&flow, &execute, &[(asked, &answer)]);
        assert_eq!(exit, 6, "{answer:?}: {shown}");
        assert!(!flow.kinds().contains(&"sign.try".to_owned()), "{shown}");
    }
    let right = format!("{heir}\n");
    // Without --yes the question itself is asked as well.
    let (exit, shown) = crate::cli::process::answering(
        &flow,
        &execute[..5],
        &[(asked, &right), ("Type yes to agree: ", "no\n")],
    );
    assert_eq!(exit, 6, "{shown}");
    let (exit, shown) = crate::cli::process::answering(&flow, &execute, &[(asked, &right)]);
    assert_eq!(exit, 0, "{shown}");
}

#[test]
fn sec_c5_whatever_changes_page_consent_and_evidence_agree() {
    let device = DEVICE.to_string();
    let heir = ACCOUNTS[2].address.to_string();
    let changes: [&[&str]; 6] = [
        &["devices", "add", &device],
        &["hashes", "add", &device],
        &["allow-any-device", "on"],
        &["require-tcb-up-to-date", "on"],
        &["owner", "transfer", &heir],
        &["change", "--add-device", &device, "--add-hash", &device],
    ];
    crate::harness::judge::each(&changes, |words| {
        let world = safe_world();
        let flow = crate::upgrade::policy::flow(&world);
        crate::upgrade::policy::propose(&flow, words).exits(0);
        let named = flow.given_away();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        let page = flow.with("review", &named).exits(0);
        let transaction = &page.json["data"]["transaction"];
        let expected = sentences(&transaction["effects"]);
        // None of them is a compose hash that the proposal shows, so all of it is besides.
        assert_eq!(
            transaction["besides"].as_array().unwrap().len(),
            expected.len(),
            "{}",
            page.said
        );
        let named = flow.given_away();
        let named: Vec<&str> = named.iter().map(String::as_str).collect();
        assert_eq!(transaction["decisions"].is_array(), !named.is_empty(), "{}", page.said);
        for account in [0, 2] {
            let signed = by(&flow, &[&["sign"][..], &named].concat(), account).exits(0);
            assert_eq!(listed(&signed.said), expected, "{}", signed.said);
        }
        let executed = by(&flow, &[&["execute"][..], &named].concat(), 4).exits(0);
        flow.step("wait").exits(0);
        let list = listed(&executed.said);
        assert_eq!(
            texts(&flow.json_file("evidence.json")["said"]["effects"]),
            list,
            "{}",
            executed.said
        );
        for sentence in &expected {
            assert!(list.iter().any(|one| one.starts_with(sentence.as_str())), "{list:?}");
        }
    });
}

#[test]
fn a_new_app_whose_code_is_frozen_is_agreed_to_by_its_owners_name() {
    let world = World::start();
    let owner = ACCOUNTS[3].address.to_string();
    let (kms, hash, device) = (world.kms.to_string(), DEVICE.to_string(), world.device.to_string());
    let deploy = |more: &[&str]| {
        let mut words = vec![
            "app",
            "deploy",
            "--chain-id",
            "31337",
            "--kms-contract",
            &kms,
            "--owner",
            &owner,
            "--compose-hash",
            &hash,
            "--device",
            &device,
            "--disable-upgrades",
            "--signer",
            "env:SIGNER_1",
            "--yes",
            "--json",
            "--accept-new-owner",
        ];
        words.extend(more);
        let mut command = Flow::new(&world).command(&words);
        Ran::of(command.current_dir(world.folder()))
    };
    let refused = deploy(&[]).exits(6).says("UPGRADES_DISABLED");
    assert!(
        listed(&refused.said)[0].contains("CODE FROZEN for ever"),
        "{}",
        refused.said
    );
    deploy(&["--accept", &format!("UPGRADES_DISABLED={owner}")]).exits(0);
}
