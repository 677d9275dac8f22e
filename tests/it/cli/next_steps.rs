//! What a run says comes next: right for the route and for whoever reads it, and never a circle.

use std::path::Path;

use serde_json::Value;

use crate::harness::flow::{Flow, Ran};
use crate::safe::upgrade::{Person, signer};
use crate::support::terminal::AtTerminal;
use crate::support::world::CVM;
use crate::support::{ACCOUNTS, SafeOptions, World, WorldOptions};

const TWO_OF_THREE: SafeOptions = SafeOptions {
    release: 1,
    l2: true,
    threshold: 2,
    owners: 3,
};

fn safe_world() -> World {
    World::with(WorldOptions {
        safe: Some(TWO_OF_THREE),
        ..WorldOptions::default()
    })
}

fn next(ran: &Ran) -> &str {
    ran.json["next"].as_str().unwrap_or_default()
}

/// The words of a command after the program's name; what is quoted here has no blanks in it.
fn words(command: &str) -> Vec<String> {
    let mut words = command.split_whitespace();
    assert_eq!(words.next(), Some("countersign"), "{command}");
    words.map(|word| word.trim_matches('\'').to_owned()).collect()
}

/// Runs a command that was advised, in a folder, with more words.
fn follow(person: &Person<'_>, command: &str, more: &[&str]) -> Ran {
    let words = words(command);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    words.extend_from_slice(more);
    person.run(&words)
}

fn commands(other: &Value) -> Vec<&str> {
    other["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|command| command.as_str().unwrap())
        .collect()
}

#[test]
fn ppl_p1_house_h3_each_of_those_who_take_part_in_a_safe_upgrade_is_told_their_own_next_command() {
    let world = safe_world();
    let flow = Flow::new(&world);
    let own = flow.dir.join("proposal.json");
    let prepared = flow.step("prepare").exits(0);
    // Nothing can be executed yet: the owners have to see it.
    let asks_owners = |ran: &Ran| {
        assert!(
            next(ran).starts_with(&format!("countersign review {}", own.display())),
            "{}",
            ran.said
        );
        let other = &ran.json["others"][0];
        assert_eq!(other["file"], own.to_str().unwrap(), "{}", ran.said);
        let expected = ["countersign review proposal.json", "countersign sign proposal.json"];
        assert_eq!(commands(other), expected, "{}", ran.said);
    };
    asks_owners(&prepared);
    asks_owners(&flow.step("status").exits(0));
    asks_owners(&flow.with("execute", &[]).exits(8).says("PENDING_SIGNATURES"));
    asks_owners(&flow.with("wait", &["--timeout", "1s"]).exits(8));

    // An owner has the file and nothing else, and runs what the others were told.
    let alice = Person::new(&flow, "alice");
    alice.get(&own, "proposal.json");
    let reviewed = follow(&alice, commands(&prepared.json["others"][0])[0], &[]).exits(0);
    let hash = reviewed.fact("safe_tx_hash").as_str().unwrap();
    let expected = format!("countersign sign proposal.json --expect-safe-tx-hash {hash}");
    assert_eq!(next(&reviewed), expected, "{}", reviewed.said);
    let signed = follow(
        &alice,
        next(&reviewed),
        &["--signer", &signer(0), "--out", "alice.json", "--yes"],
    )
    .exits(0);
    let import = &signed.json["others"][0];
    assert_eq!(import["file"], "alice.json", "{}", signed.said);
    assert_eq!(commands(import), ["countersign import alice.json"], "{}", signed.said);
    follow(&alice, next(&signed), &[]).exits(0);

    // Whoever prepared it takes it in; one of two is not for them to sign.
    std::fs::copy(alice.home.join("alice.json"), world.folder().join("alice.json")).unwrap();
    let imported = Ran::of(&mut flow.command(&["import", "alice.json", "--dir", flow.dir.to_str().unwrap(), "--json"]));
    asks_owners(&imported.exits(0));

    // The last owner who was needed signs in place: whoever has the file now executes.
    let bob = Person::new(&flow, "bob");
    bob.get(&own, "proposal.json");
    let last = bob
        .run(&["sign", "proposal.json", "--signer", &signer(1), "--yes"])
        .exits(0);
    assert!(
        next(&last).starts_with("countersign execute proposal.json"),
        "{}",
        last.said
    );
    let executed = follow(&bob, next(&last), &["--yes"]).exits(0);
    assert!(next(&executed).starts_with("countersign wait"), "{}", executed.said);
    let waited = follow(&bob, next(&executed), &[]).exits(0);
    assert!(!next(&waited).contains(" sign"), "{}", waited.said);
}

#[test]
fn ppl_p1_an_owner_who_signs_in_place_hands_the_file_to_the_next_owner() {
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let alice = Person::new(&flow, "alice");
    alice.get(&flow.dir.join("proposal.json"), "proposal.json");
    let first = alice
        .run(&["sign", "proposal.json", "--signer", &signer(0), "--yes"])
        .exits(0);
    assert!(
        next(&first).starts_with("countersign review proposal.json"),
        "{}",
        first.said
    );
    assert_eq!(first.json["others"][0]["file"], "proposal.json", "{}", first.said);
    let mut text = flow.command(&["status", "proposal.json"]);
    let shown = crate::support::command::run(text.current_dir(&alice.home));
    let shown = crate::support::command::shown(&shown);
    assert!(
        shown.contains("give proposal.json to each owner who has not signed, who runs"),
        "{shown}"
    );
    assert!(shown.contains("countersign sign proposal.json"), "{shown}");
}

#[test]
fn ppl_p2_nobody_is_asked_for_a_private_key_who_named_none() {
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let alice = Person::new(&flow, "alice");
    alice.get(&flow.dir.join("proposal.json"), "proposal.json");
    let keys = alice.home.join(".foundry/keystores");
    std::fs::create_dir_all(&keys).unwrap();
    std::fs::write(keys.join("alice-key"), "{}").unwrap();
    let mut command = flow.command(&["sign", "proposal.json"]);
    command.current_dir(&alice.home).env("HOME", &alice.home);
    let left = AtTerminal::start(&mut command).end();
    assert_eq!(left.exit, 6, "{}", left.terminal);
    assert!(!left.terminal.contains("Private key"), "{}", left.terminal);
    for part in [
        "safeTxHash",
        "SIGNER_NEEDED",
        "ledger",
        "keystore:PATH",
        "alice-key",
        "aws:KEY-ID",
        "prompt",
    ] {
        assert!(left.terminal.contains(part), "{part}: {}", left.terminal);
    }
    let needed = alice.run(&["sign", "proposal.json"]).exits(6).says("SIGNER_NEEDED");
    assert_eq!(
        next(&needed),
        "countersign sign proposal.json --json --signer account:alice-key",
        "{}",
        needed.said
    );

    // What may not be signed at all is said first.
    let text = std::fs::read_to_string(alice.home.join("proposal.json"))
        .unwrap()
        .replace("nginx:1.28", "nginx:1.29");
    std::fs::write(alice.home.join("proposal.json"), text).unwrap();
    let stopped = alice.run(&["sign", "proposal.json"]);
    assert!(stopped.exit == 5 || stopped.exit == 3, "{}", stopped.said);
}

#[test]
fn ppl_p2_an_upgrade_without_a_key_is_refused_before_anything_is_prepared() {
    let world = World::start();
    let flow = Flow::new(&world);
    let compose = flow.compose.to_str().unwrap().to_owned();
    let mut command = flow.command(&["upgrade", "--cvm", CVM, "-c", &compose]);
    let left = AtTerminal::start(&mut command).end();
    assert_eq!(left.exit, 6, "{}", left.terminal);
    assert!(
        left.terminal.contains("SIGNER_NEEDED") && !left.terminal.contains("Private key"),
        "{}",
        left.terminal
    );
    assert!(
        left.terminal.contains("nginx:1.28"),
        "the plan is shown: {}",
        left.terminal
    );
    assert!(world.cloud.requests_to("PATCH", "").is_empty());
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    for step in ["execute", "resume"] {
        let left = AtTerminal::start(&mut flow.command(&[step, "--dir", dir])).end();
        assert_eq!(left.exit, 6, "{step}: {}", left.terminal);
        assert!(
            left.terminal.contains("SIGNER_NEEDED") && !left.terminal.contains("Private key"),
            "{}",
            left.terminal
        );
        assert!(!left.terminal.contains("--signer env:"), "{}", left.terminal);
        assert!(
            left.terminal.contains("nginx:1.28"),
            "what waits is shown: {}",
            left.terminal
        );
    }
}

fn in_folder(flow: &Flow<'_>, words: &[&str]) -> Ran {
    Ran::of(flow.command(words).arg("--json"))
}

#[test]
fn ppl_p3_the_upgrade_that_is_meant_is_the_only_unfinished_one() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    let root = world.folder().join(".countersign");
    flow.dir = root.join("one");
    flow.step("upgrade").exits(0);
    // The last finished one stands for itself where nothing is open.
    let last = in_folder(&flow, &["status"]).exits(0);
    assert_eq!(last.json["step"], "finished", "{}", last.said);
    assert!(last.json["next"].is_null(), "{}", last.said);
    std::fs::write(&flow.compose, "services:\n  web:\n    image: nginx:1.29\n").unwrap();
    flow.dir = root.join("two");
    flow.step("prepare").exits(0);
    let table = in_folder(&flow, &["status"]).exits(0);
    let rows = table.json["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{}", table.said);
    assert!(
        rows[0]["dir"].as_str().unwrap().ends_with("two") && next(&table).contains("two"),
        "{}",
        table.said
    );
    assert_eq!(
        in_folder(&flow, &["status", "--all"]).json["data"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let text = crate::support::command::shown(&crate::support::command::run(&mut flow.command(&["status"])));
    for part in [
        CVM,
        "nginx:1.28 -> nginx:1.29",
        "waits for the owner 0x",
        "old",
        "expires in",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let executed = in_folder(&flow, &["execute", "--signer", "env:OWNER_KEY", "--yes"]).exits(0);
    assert!(
        executed.fact("dir").as_str().unwrap().ends_with("two"),
        "{}",
        executed.said
    );
    in_folder(&flow, &["wait"]).exits(0);
    in_folder(&flow, &["commit", "--yes"]).exits(0);
    let last = in_folder(&flow, &["status"]).exits(0);
    assert!(last.fact("dir").as_str().unwrap().ends_with("two"), "{}", last.said);
}

#[test]
fn ppl_p3_of_several_unfinished_ones_only_those_are_named_and_a_cvm_chooses() {
    let world = World::start();
    let other = world.add_app(2, world.owner.address);
    let mut flow = Flow::new(&world);
    let root = world.folder().join(".countersign");
    flow.dir = root.join("done");
    flow.step("upgrade").exits(0);
    std::fs::write(&flow.compose, "services:\n  web:\n    image: nginx:1.29\n").unwrap();
    flow.dir = root.join("first");
    flow.step("prepare").exits(0);
    let compose = flow.compose.to_str().unwrap().to_owned();
    let second = root.join("second");
    let words = [
        "prepare",
        "--cvm",
        &other.name,
        "-c",
        &compose,
        "--dir",
        second.to_str().unwrap(),
    ];
    in_folder(&flow, &words).exits(0);
    let refused = in_folder(&flow, &["execute"]).exits(2).says("USAGE_WHICH_UPGRADE");
    let message = refused.json["message"].as_str().unwrap();
    assert!(
        message.contains("first") && message.contains("second") && !message.contains("done"),
        "{message}"
    );
    assert!(
        message.contains("nginx:1.29") && message.contains(&other.name),
        "{message}"
    );
    assert!(!next(&refused).contains("done"), "{}", refused.said);
    let named = in_folder(
        &flow,
        &["execute", "--cvm", &other.name, "--signer", "env:OWNER_KEY", "--yes"],
    )
    .exits(0);
    assert!(
        named.fact("dir").as_str().unwrap().ends_with("second"),
        "{}",
        named.said
    );
    in_folder(&flow, &["status", "--cvm", "no-such-cvm"])
        .exits(2)
        .says("USAGE_NO_UPGRADE");
}

/// Runs in a folder of somebody who has nothing but the proposal, and another address for the cloud.
fn audit(flow: &Flow<'_>, folder: &Path, words: &[&str]) -> Ran {
    let mut command = flow.command(words);
    command
        .arg("--json")
        .current_dir(folder)
        .env("HOME", folder)
        .env("PHALA_CLOUD_API_PREFIX", "http://127.0.0.1:9/elsewhere")
        .env_remove("PHALA_CLOUD_API_KEY");
    Ran::of(&mut command)
}

#[test]
fn ppl_p13_an_auditor_proves_reviews_and_looks_without_a_cloud_and_nothing_stays_behind() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let folder = world.folder().join("auditor");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(flow.dir.join("proposal.json"), folder.join("proposal.json")).unwrap();
    let early = audit(&flow, &folder, &["wait", "proposal.json", "--timeout", "1s"]).exits(8);
    assert!(
        next(&early).starts_with("countersign wait proposal.json"),
        "{}",
        early.said
    );
    audit(&flow, &folder, &["status", "proposal.json"]).exits(0);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    let before = world.cloud.requests().len();
    let proved = audit(&flow, &folder, &["wait", "proposal.json"]).exits(0);
    assert!(proved.json["next"].is_null(), "{}", proved.said);
    assert_eq!(proved.effect("transaction"), "done", "{}", proved.said);
    assert!(!proved.said.contains("nothing was committed"), "{}", proved.said);
    let reviewed = audit(&flow, &folder, &["review", "proposal.json"])
        .exits(6)
        .says("HASH_ALREADY_ALLOWED");
    assert!(!reviewed.said.contains("decide what is right"), "{}", reviewed.said);
    assert!(
        next(&reviewed).starts_with("countersign wait proposal.json"),
        "{}",
        reviewed.said
    );
    let status = audit(&flow, &folder, &["status", "proposal.json"]).exits(0);
    assert_eq!(status.fact("proposal"), "proposal.json", "{}", status.said);
    assert_eq!(world.cloud.requests().len(), before, "the cloud was asked");
    let left: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["proposal.json"], "something stayed behind");
}

#[test]
fn house_h1_after_a_stranger_used_the_nonce_the_hint_leads_out() {
    let world = safe_world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    crate::safe::upgrade::use_up_nonce(&world, &[ACCOUNTS[0].address, ACCOUNTS[1].address]);
    let manager = Person::new(&flow, "manager");
    let refused = flow.with("execute", &[]).exits(6).says("SAFE_NONCE_TAKEN");
    assert!(next(&refused).contains("--new-nonce"), "{}", refused.said);
    for step in ["resume", "status"] {
        let again = flow.step(step);
        assert!(
            next(&again).contains("execute") && next(&again).contains("--new-nonce"),
            "{}",
            again.said
        );
    }
    let chosen = follow(&manager, next(&refused), &[])
        .exits(8)
        .says("PENDING_SIGNATURES");
    assert!(next(&chosen).starts_with("countersign review"), "{}", chosen.said);
    assert_eq!(chosen.fact("safe_nonce"), "1", "{}", chosen.said);
}
