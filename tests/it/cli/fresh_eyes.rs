//! What somebody found who had nothing but the binary: other agreements that show elsewhere, proposals that are wrong and
//! have to be rejected, signatures that nobody made, and what is said and advised after each step.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::safe::notices::ground;
use crate::safe::service::{Elsewhere, elsewhere};
use crate::safe::upgrade::signer;
use crate::support::contracts::abi;
use crate::support::safes::RELEASES;
use crate::support::{ACCOUNTS, AppVariant, SafeOptions, World, WorldOptions};

fn world() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

/// A prepared upgrade in a directory of its own, and a copy of its proposal outside of it.
fn proposed(world: &World, name: &str) -> PathBuf {
    let text = format!("services:\n  web:\n    image: nginx:{name}\n");
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join(name);
    flow.compose = world.file(&format!("{name}.yml"), &text);
    let same = [
        "--supersede",
        "--safe-nonce",
        "0",
        "--accept",
        "SAFE_NONCE_TAKEN_HERE=0",
    ];
    flow.with("prepare", &same).exits(0);
    let place = world.folder().join(format!("{name}-sent"));
    std::fs::create_dir(&place).unwrap();
    let copy = place.join("p.json");
    std::fs::copy(flow.dir.join("proposal.json"), &copy).unwrap();
    copy
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn digest(file: &Path) -> String {
    json(file)["safe"]["digests"]["safe_tx"].as_str().unwrap().to_owned()
}

/// A command on a file, in a folder of its own below the world's, with a home of its own.
fn run_at(world: &World, (place, home): (&str, &str), arguments: &[&str]) -> Ran {
    let (place, home) = (world.folder().join(place), world.folder().join(home));
    for dir in [&place, &home] {
        std::fs::create_dir_all(dir).unwrap();
    }
    let flow = Flow::new(world);
    let mut command = flow.command(arguments);
    command.arg("--json").current_dir(place);
    command.env("HOME", &home).env_remove("XDG_STATE_HOME");
    Ran::of(&mut command)
}

fn run(world: &World, arguments: &[&str]) -> Ran {
    run_at(world, ("here", "home"), arguments)
}

#[test]
fn fre_5a_another_digest_that_the_service_shows_of_an_owner_stops_it_as_its_own_record_does() {
    let (world, service) = ground();
    let file = proposed(&world, "a");
    let file = file.to_str().unwrap();
    let other = elsewhere(&service, world.safe.unwrap(), (0, 1), Elsewhere::Signed(1)).to_string();
    let (url, key, out) = (service.url(), signer(1), world.folder().join("o"));
    let sign = ["sign", file, "--service-url", &url, "--signer", &key, "--yes"];
    let to_file = [&sign[..], &["--out", out.to_str().unwrap()]].concat();
    let refused = run(&world, &to_file).exits(6).says("ALREADY_SIGNED");
    assert!(refused.said.contains(&other), "{}", refused.said);
    assert!(!out.exists());
    let execute = ["execute", file, "--service-url", &url, "--signer", &key, "--yes"];
    for index in [0, 2] {
        let key = signer(index);
        run(&world, &["sign", file, "--signer", &key, "--yes"]).exits(0);
    }
    run(&world, &execute).exits(6).says("ALREADY_SIGNED");
    let known = format!("ALREADY_SIGNED={other}");
    run(&world, &[&to_file[..], &["--accept", &known]].concat()).exits(0);
    // Whoever agreed to nothing else is not hindered, nor is anybody by a service that is not there.
    let key = signer(2);
    run(
        &world,
        &["sign", file, "--service-url", &url, "--signer", &key, "--yes"],
    )
    .exits(0);
    let nowhere = ["--service-url", "http://127.0.0.1:1"];
    let key = signer(0);
    let ran = run(
        &world,
        &[&["sign", file, "--signer", &key, "--yes"], &nowhere[..]].concat(),
    );
    ran.exits(0);
}

#[test]
fn fre_5b_an_approval_on_chain_in_a_neighbours_journal_counts_without_a_record() {
    let world = world();
    let (a, b) = (proposed(&world, "a"), proposed(&world, "b"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let key = signer(1);
    run(&world, &["sign", b, "--on-chain", "--signer", &key, "--yes"]).exits(0);
    let refused = run_at(&world, ("here", "other"), &["sign", a, "--signer", &key, "--yes"]);
    let refused = refused.exits(6).says("ALREADY_SIGNED");
    assert!(refused.said.contains(&digest(Path::new(b))), "{}", refused.said);
    // Where the journal of it is gone and only a copy of the proposal is left, the chain still says it.
    let place = world.folder().join("left").join(".countersign").join("b");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::copy(b, place.join("proposal.json")).unwrap();
    let refused = run_at(&world, ("left", "third"), &["sign", a, "--signer", &key, "--yes"]);
    let refused = refused.exits(6).says("ALREADY_SIGNED");
    assert!(refused.said.contains("as the chain shows"), "{}", refused.said);
    let free = signer(2);
    run_at(&world, ("left", "third"), &["sign", a, "--signer", &free, "--yes"]).exits(0);
}

/// A change of a proposal's JSON, saved beside it.
fn changed(file: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut value = json(file);
    change(&mut value);
    let place = file.parent().unwrap().join(format!("{name}.json"));
    std::fs::write(&place, serde_json::to_vec_pretty(&value).unwrap()).unwrap();
    place
}

/// Proposals that nobody may approve, each wrong in another way.
fn wrong(file: &Path) -> Vec<PathBuf> {
    let field = |name: &str, value: Value| {
        let name = name.to_owned();
        changed(file, &name, |all| all["safe"]["frozen"]["transaction"][&name] = value)
    };
    vec![
        field("operation", json!(1)),
        field("gasPrice", json!("0x1")),
        field("value", json!("0x64")),
        field("data", json!("0x")),
        changed(file, "env", |all| {
            all["plan"]["code"]["patch"]["encrypted_env"] = json!("ab")
        }),
        changed(file, "key", |all| all["plan"]["code"]["patch"]["mode"] = json!("x")),
        changed(file, "top", |all| all["more"] = json!(1)),
        changed(file, "hash", |all| {
            let text = all["manifest_after"]["docker_compose_file"]
                .as_str()
                .unwrap()
                .to_owned();
            all["manifest_after"]["docker_compose_file"] = json!(format!("{text}# more\n"));
        }),
        changed(file, "app", |all| all["plan"]["app_state"] = json!("none")),
        changed(file, "proxy", |all| {
            all["more"] = json!(1);
            all["plan"]["safe"]["proxy_code_hash"] = json!(format!("0x{}", "11".repeat(32)));
        }),
    ]
}

#[test]
fn fre_6_a_wrong_proposal_can_be_rejected_by_its_chain_safe_and_nonce_alone() {
    let world = world();
    let file = proposed(&world, "a");
    let (one, two) = (signer(0), signer(1));
    let right = run(&world, &["review", file.to_str().unwrap(), "--reject", "--offline"]).exits(0);
    let hash = right.json["data"]["hashes"]["safe_tx"].as_str().unwrap().to_owned();
    let bad = &wrong(&file)[0];
    rejects_alone(&world, bad, &hash);
    let text = bad.to_str().unwrap();
    let place = ("there", "home-there");
    let ran = run_at(&world, place, &["reject", text])
        .exits(8)
        .says("PENDING_REJECTION");
    assert!(ran.said.contains(&hash), "{}", ran.said);
    run_at(&world, place, &["reject", text, "--signer", &two, "--yes"]).exits(0);
    let nonce = world
        .rpc()
        .read(world.safe.unwrap(), &crate::support::safes::abi::nonceCall {});
    assert_eq!(nonce, alloy::primitives::U256::ONE, "the nonce is used up");
    let other = proposed_again(&world);
    for bad in wrong(&other) {
        let text = bad.to_str().unwrap();
        run(&world, &["review", text, "--reject"]).exits(0);
        run(&world, &["sign", text, "--reject", "--signer", &one, "--yes"]).exits(0);
    }
    let half = changed(&file, "half", |all| {
        all["more"] = json!(1);
        all["safe"]["frozen"]["transaction"]["nonce"] = json!("many");
    });
    let half = half.to_str().unwrap();
    run(&world, &["review", half, "--reject"]).exits(3);
    run(&world, &["reject", half, "--signer", &one, "--yes"]).exits(3);
}

/// A wrong proposal is shown, exported and signed as a rejection, with what it says left as it is, and never approved.
fn rejects_alone(world: &World, bad: &Path, hash: &str) {
    let (text, before) = (bad.to_str().unwrap(), json(bad));
    let ran = run(world, &["review", text]);
    assert!([3, 5].contains(&ran.exit), "{}", ran.said);
    let shown = run(world, &["review", text, "--reject"]).exits(0);
    assert_eq!(
        shown.json["data"]["hashes"]["safe_tx"],
        json!(hash),
        "{text}: {}",
        shown.said
    );
    assert!(shown.said.contains("PROPOSAL_ONLY_REJECTED"), "{}", shown.said);
    run(world, &["review", text, "--reject", "--offline"]).exits(0);
    let export = run(world, &["export", text, "--reject", "--format", "typed-data"]);
    assert_eq!(export.exits(0).json["data"]["safeTxHash"], json!(hash));
    let (one, two) = (signer(0), signer(1));
    let out = world.folder().join("rejection");
    let out = out.to_str().unwrap();
    let sign = ["sign", text, "--reject", "--signer", &one, "--yes", "--out", out];
    run(world, &sign).exits(0);
    assert_eq!(json(bad), before, "a signature in a file of its own leaves it as it is");
    let ran = run(world, &["import", out, "--proposal", text]).exits(0);
    assert_eq!(ran.json["data"]["rejects"], true, "{}", ran.said);
    let mut after = json(bad);
    assert_eq!(after["safe"]["rejection"]["signatures"].as_array().unwrap().len(), 1);
    after["safe"].as_object_mut().unwrap().remove("rejection");
    assert_eq!(after, before, "everything else stays as it was: {text}");
    let ran = run(world, &["sign", text, "--signer", &two, "--yes"]);
    assert!([3, 5].contains(&ran.exit), "{}", ran.said);
}

/// Another proposal at the next nonce.
fn proposed_again(world: &World) -> PathBuf {
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join("again");
    flow.compose = world.file("again.yml", "services:\n  web:\n    image: nginx:again\n");
    flow.with("prepare", &["--supersede"]).exits(0);
    let place = world.folder().join("again-sent");
    std::fs::create_dir(&place).unwrap();
    let copy = place.join("p.json");
    std::fs::copy(flow.dir.join("proposal.json"), &copy).unwrap();
    copy
}

#[test]
fn fre_6_a_wrong_proposal_in_the_place_of_a_directorys_own_is_rejected_by_its_journal() {
    let world = world();
    proposed(&world, "a");
    let own = world.folder().join("a").join("proposal.json");
    let bad = json(&own);
    let mut bad = bad;
    bad["safe"]["frozen"]["transaction"]["gasPrice"] = json!("0x1");
    std::fs::write(&own, serde_json::to_vec_pretty(&bad).unwrap()).unwrap();
    let (text, key) = (own.to_str().unwrap(), signer(0));
    run(&world, &["review", text, "--reject"]).exits(0);
    run(&world, &["sign", text, "--reject", "--signer", &key, "--yes"]).exits(0);
    run(&world, &["reject", text]).exits(8).says("PENDING_REJECTION");
}

#[test]
fn fre_7_what_was_approved_on_chain_is_said_and_counted_afterwards() {
    let world = world();
    let file = proposed(&world, "a");
    let (text, key) = (file.to_str().unwrap(), signer(1));
    let ran = run(&world, &["sign", text, "--on-chain", "--signer", &key, "--yes"]).exits(0);
    assert!(!ran.said.contains("nothing was signed"), "{}", ran.said);
    assert_eq!(ran.effect("approval"), "done", "{}", ran.said);
    let status = run(&world, &["status", text]).exits(0);
    assert_eq!(status.effect("approval"), "done", "{}", status.said);
    assert_eq!(status.fact("signed_by").as_array().unwrap().len(), 1, "{}", status.said);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 65 bytes that anybody can write: an owner's approval, without the owner.
fn forged(index: usize) -> String {
    let owner = hex(ACCOUNTS[index].address.as_slice());
    format!("{}{owner}{}01", "0".repeat(24), "0".repeat(64))
}

#[test]
fn fre_8_an_approval_that_anybody_can_write_counts_for_nothing_before_a_chain_confirms_it() {
    let world = world();
    let file = proposed(&world, "a");
    let text = file.to_str().unwrap();
    let two = world.file("forged", &format!("{}{}", forged(1), forged(2)));
    let ran = run(&world, &["import", two.to_str().unwrap(), "--proposal", text]).exits(0);
    assert_eq!(ran.fact("signed_by"), &json!([]), "{}", ran.said);
    assert_eq!(ran.fact("unproven").as_array().unwrap().len(), 2, "{}", ran.said);
    assert!(ran.said.contains("SIGNATURE_UNPROVEN"), "{}", ran.said);
    assert!(!ran.json["next"].as_str().unwrap().contains("execute"), "{}", ran.said);
    let offline = run(&world, &["review", text, "--offline"]).exits(0);
    let open = offline.json["data"]["verdict"]["not_checked"].to_string();
    assert!(
        open.to_lowercase().contains(&hex(ACCOUNTS[1].address.as_slice())),
        "{}",
        offline.said
    );
    assert_eq!(offline.fact("signed_by"), &json!([]));
    // The owner's own signature takes its place.
    let key = signer(1);
    let signed = run(&world, &["sign", text, "--signer", &key, "--yes"]).exits(0);
    assert_eq!(signed.json["data"]["signatures"], 1, "{}", signed.said);
    assert_eq!(signed.fact("signed_by").as_array().unwrap().len(), 1);
    // The same signature twice is one.
    let copy = proposed_again(&world);
    let out = world.folder().join("one");
    let key = signer(0);
    let sign = [
        "sign",
        copy.to_str().unwrap(),
        "--signer",
        &key,
        "--yes",
        "--out",
        out.to_str().unwrap(),
    ];
    run(&world, &sign).exits(0);
    let bytes = json(&out)["signature"].as_str().unwrap().to_owned();
    let twice = world.file("twice", &format!("{bytes}\n{bytes}\n"));
    let ran = run(
        &world,
        &["import", twice.to_str().unwrap(), "--proposal", copy.to_str().unwrap()],
    )
    .exits(0);
    assert!(
        ran.json["message"].as_str().unwrap().starts_with("1 signature for"),
        "{}",
        ran.said
    );
}

#[test]
fn fre_16_who_rejected_here_is_remembered_for_a_copy_of_the_proposal_too() {
    let world = world();
    let file = proposed(&world, "a");
    let text = file.to_str().unwrap();
    let (one, two) = (signer(0), signer(1));
    run(&world, &["reject", text, "--signer", &one, "--yes"]).exits(8);
    run(&world, &["sign", text, "--signer", &two, "--yes"])
        .exits(6)
        .says("SAFE_REJECTING");
    run(&world, &["review", text]).exits(6).says("SAFE_REJECTING");
    run(&world, &["review", text, "--reject"]).exits(0);
    run_at(&world, ("elsewhere", "home"), &["review", text]).exits(0);
}

#[test]
fn fre_17_a_rejection_that_is_imported_is_told_as_one() {
    let world = world();
    let file = proposed(&world, "a");
    let (text, key, out) = (file.to_str().unwrap(), signer(0), world.folder().join("r"));
    let out = out.to_str().unwrap();
    let signed = run(
        &world,
        &["sign", text, "--reject", "--signer", &key, "--yes", "--out", out],
    )
    .exits(0);
    let hash = signed.json["data"]["safeTxHash"].clone();
    let ran = run_at(&world, ("other", "other"), &["import", out, "--proposal", text]).exits(0);
    assert_eq!(ran.json["data"]["safeTxHash"], hash, "{}", ran.said);
    let message = ran.json["message"].as_str().unwrap();
    assert!(
        message.contains("REJECTION") && message.contains(hash.as_str().unwrap()),
        "{message}"
    );
    assert!(ran.json["next"].as_str().unwrap().contains(" reject "), "{}", ran.said);
    assert!(!ran.said.contains("countersign sign p.json"), "{}", ran.said);
}

#[test]
fn fre_18_22_a_nonce_that_is_named_is_the_one_that_was_chosen_and_one_that_is_far_is_a_doubt() {
    let world = world();
    let file = proposed(&world, "a");
    let (text, key) = (file.to_str().unwrap(), signer(0));
    for arguments in [
        vec!["review", text],
        vec!["review", text, "--offline"],
        vec!["sign", text, "--signer", &key, "--yes"],
        vec!["sign", text, "--reject", "--signer", &key, "--yes"],
        vec!["execute", text, "--signer", &key, "--yes"],
        vec!["reject", text, "--signer", &key, "--yes"],
    ] {
        let ran = run(&world, &[&arguments[..], &["--safe-nonce", "5"]].concat());
        ran.exits(6).says("SAFE_NONCE_CHOSEN");
    }
    run(&world, &["review", text, "--safe-nonce", "0"]).exits(0);
    let mut flow = Flow::new(&world);
    flow.dir = world.folder().join("far");
    flow.compose = world.file("far.yml", "services:\n  web:\n    image: nginx:far\n");
    let far = ["--supersede", "--safe-nonce", "1000", "--accept", "SAFE_NONCE_FAR=1000"];
    flow.with("prepare", &far).exits(0);
    let place = world.folder().join("far.json");
    std::fs::copy(flow.dir.join("proposal.json"), &place).unwrap();
    let text = place.to_str().unwrap();
    run(&world, &["review", text]).exits(6).says("SAFE_NONCE_FAR");
    run(&world, &["sign", text, "--signer", &key, "--yes"])
        .exits(6)
        .says("SAFE_NONCE_FAR");
    let known = [
        "sign",
        text,
        "--signer",
        &key,
        "--yes",
        "--accept",
        "SAFE_NONCE_FAR=1000",
    ];
    run(&world, &known).exits(0);
    run(&world, &["review", text, "--reject"]).exits(0);
}

#[test]
fn fre_23_24_a_signature_for_a_file_of_its_own_leaves_the_proposal_as_it_is_and_takes_no_inputs_place() {
    let world = world();
    let file = proposed(&world, "a");
    let (text, key) = (file.to_str().unwrap(), signer(0));
    let dir = world.folder().join("a");
    let own = dir.join("proposal.json");
    let before = std::fs::read(&own).unwrap();
    let out = world.folder().join("s");
    let sign = ["sign", "--dir", dir.to_str().unwrap(), "--signer", &key, "--yes"];
    run(&world, &[&sign[..], &["--out", out.to_str().unwrap()]].concat()).exits(0);
    assert_eq!(std::fs::read(&own).unwrap(), before);
    assert!(out.exists());
    for (command, target) in [
        (&sign[..], own.to_str().unwrap()),
        (&sign[..], dir.join("journal").to_str().unwrap()),
        (&["sign", text, "--signer", &key, "--yes"][..], text),
        (&["export", text, "--format", "typed-data"][..], text),
    ] {
        let before = std::fs::read(target).unwrap();
        let ran = run(&world, &[command, &["--out", target, "--overwrite"]].concat());
        ran.exits(2).says("USAGE_CONFLICT");
        // A directory's own proposal is written anew from its journal, and stays one.
        let whole = target == own.to_str().unwrap() && digest(&own) == digest(&file);
        assert!(whole || std::fs::read(target).unwrap() == before, "{target}");
    }
}

#[test]
fn fre_27_a_service_that_shows_only_others_does_not_show_the_proposals_own() {
    let (world, service) = ground();
    let file = proposed(&world, "a");
    elsewhere(&service, world.safe.unwrap(), (0, 5), Elsewhere::Unsigned);
    let url = service.url();
    let ran = run(&world, &["review", file.to_str().unwrap(), "--service-url", &url]);
    let ran = ran.exits(6).says("SERVICE_NO_TX");
    assert!(!ran.said.contains("also shows"), "{}", ran.said);
}

#[test]
fn fre_30_a_key_that_is_typed_as_an_option_is_not_repeated() {
    let world = world();
    let digits = hex(&[0xab; 32]);
    for word in [format!("--0x{digits}"), format!("--{digits}=x"), format!("-s{digits}")] {
        let ran = run(&world, &["status", &word]).exits(2);
        assert!(!ran.said.contains(&digits), "{}", ran.said);
    }
}

#[test]
fn fre_19_the_next_step_keeps_what_was_said_and_repeats_no_command_that_cannot_go_on() {
    let world = world();
    let file = proposed(&world, "a");
    let text = file.to_str().unwrap();
    let next = |ran: &Ran| ran.json["next"].as_str().unwrap_or_default().to_owned();
    let offline = run(&world, &["review", text, "--offline"]).exits(0);
    assert!(next(&offline).contains("--offline"), "{}", next(&offline));
    let offline = run(&world, &["review", text, "--reject", "--offline"]).exits(0);
    assert!(next(&offline).contains("--offline"), "{}", next(&offline));
    let agreed = run(&world, &["review", text, "--accept", "ALREADY_SIGNED=0x01"]).exits(0);
    assert!(
        next(&agreed).contains("--accept ALREADY_SIGNED=0x01"),
        "{}",
        next(&agreed)
    );
    let stranger = signer(4);
    let ran = run(&world, &["sign", text, "--signer", &stranger, "--yes"])
        .exits(5)
        .says("SIGNER_NOT_OWNER");
    assert!(!next(&ran).contains(&stranger), "{}", next(&ran));
    let bad = changed(&file, "bad", |all| all["calls"][0]["value"] = json!("0x1"));
    let ran = run(&world, &["review", bad.to_str().unwrap()]).exits(5);
    assert!(!next(&ran).ends_with(" status"), "{}", next(&ran));
    let dir = world.folder().join("a");
    let ran = run(&world, &["commit", "--dir", dir.to_str().unwrap(), "--yes"]);
    assert!(!next(&ran).contains(" execute"), "{}", ran.said);
    let secret = format!("{}/v2/CANARY", world.anvil.url());
    let ran = run(&world, &["review", text, "--rpc-url", &secret]);
    assert!(
        !ran.said.contains("CANARY") && !next(&ran).contains("$ETH_RPC_URL"),
        "{}",
        ran.said
    );
}

/// A world whose app's Safe has a Safe among its owners, which is given as well.
fn nested_world() -> (World, Address) {
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
    let child = RELEASES[1].create(&rpc, true, (&[ACCOUNTS[3].address, ACCOUNTS[4].address], 2));
    let owners = [child, ACCOUNTS[1].address, ACCOUNTS[2].address];
    let safe = RELEASES[1].create(&rpc, false, (&owners, 2));
    let owner = rpc.read(world.app, &abi::ownerCall {});
    rpc.execute_as(owner, world.app, &abi::transferOwnershipCall { to: safe });
    (world, child)
}

#[test]
fn fre_14_a_nested_safes_signatures_in_files_are_taken_in_and_executed_when_enough_are_there() {
    let (world, child) = nested_world();
    let file = proposed(&world, "a");
    let (text, child) = (file.to_str().unwrap(), child.to_string());
    let out = world.folder().join("f3");
    let out = out.to_str().unwrap();
    let (one, two) = (signer(3), signer(4));
    let sign = ["sign", text, "--for", &child, "--signer", &one, "--yes", "--out", out];
    let signed = run(&world, &sign).exits(0);
    assert!(
        signed.json["next"].as_str().unwrap().contains(" import "),
        "{}",
        signed.said
    );
    let dir = world.folder().join("a");
    run(&world, &["import", out, "--dir", dir.to_str().unwrap()]).exits(0);
    let ran = run(&world, &["import", out, "--proposal", text]).exits(0);
    assert!(!ran.json["next"].as_str().unwrap().contains("execute"), "{}", ran.said);
    let signed = run(&world, &["sign", text, "--for", &child, "--signer", &two, "--yes"]).exits(0);
    assert!(
        signed.json["next"].as_str().unwrap().contains("execute"),
        "{}",
        signed.said
    );
    let sender = signer(0);
    run(
        &world,
        &["execute", text, "--for", &child, "--signer", &sender, "--yes"],
    )
    .exits(0);
}

#[test]
fn fr2_an_owner_that_a_file_names_twice_is_a_stop_offline_and_online() {
    let world = world();
    let file = proposed(&world, "a");
    let twice = changed(&file, "twice", |all| {
        let owners = all["plan"]["safe"]["owners"].as_array_mut().unwrap();
        owners.push(owners[0].clone());
    });
    let (text, key) = (twice.to_str().unwrap(), signer(1));
    let offline = run(&world, &["review", text, "--offline"]).exits(5);
    let code = offline.json["code"].as_str().unwrap().to_owned();
    for words in [
        &["review", text][..],
        &["sign", text, "--signer", &key, "--yes"],
        &["sign", text, "--signer", &key, "--yes", "--offline"],
    ] {
        run(&world, words).exits(5).says(&code);
    }
    run(&world, &["review", file.to_str().unwrap()]).exits(0);
}
