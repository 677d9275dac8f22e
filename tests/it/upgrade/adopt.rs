//! Updates that somebody else prepared: taken on with their token or without, told of by a delivery, and what keeps one from
//! being taken on.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use alloy::primitives::{B256, hex};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2_for_hmac::Sha256;

use crate::cloud::peers::phala_prepare;
use crate::harness::flow::{BINARY, Ran};
use crate::support::World;
use crate::support::cloud::{API_KEY, Fate, TOKEN_LIFE, bare};
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};

const OTHER: &str = "services:\n  web:\n    image: nginx:1.29\n    ports:\n      - \"80:80\"\n";
const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

fn run(world: &World, words: &[&str]) -> Ran {
    Ran::of(world.countersign(BINARY).args(words).arg("--json").env("HOOK", SECRET))
}

/// Prepared by another tool: a PATCH with the header, and what the answer gave.
pub fn prepare(world: &World, body: &Value) -> (B256, String) {
    let client = reqwest::Client::new();
    let sent = client
        .patch(format!("{}/cvms/{CVM}", world.cloud.prefix()))
        .header("x-api-key", API_KEY)
        .header("x-prepare-only", "true")
        .header("x-phala-version", "2026-01-21")
        .json(body)
        .send();
    let answer = crate::support::block(sent).unwrap();
    assert_eq!(answer.status().as_u16(), 465);
    let token = world.cloud.tokens().last().unwrap().clone();
    (token.hash, token.text)
}

fn compose(text: &str) -> Value {
    json!({ "docker_compose_file": text })
}

fn adopt(world: &World, more: &[&str]) -> Ran {
    run(world, &[&["adopt", CVM] as &[&str], more].concat())
}

/// A file that only its owner may read.
pub fn secret(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.file(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A delivery that tells of an update, in files.
fn delivery(world: &World, told: &Value, key: &str) -> [String; 2] {
    let event = "cvm.update.pending_approval";
    let body = json!({"id": "evt_1", "event": event, "created_at": "2026-11-20T00:00:00Z",
        "workspace": {"slug": "sim"}, "data": told});
    signed(world, event, &body.to_string(), key)
}

/// A body and its headers, in files.
fn signed(world: &World, event: &str, body: &str, key: &str) -> [String; 2] {
    // Long ago: what was kept is as good as what just came.
    let at = "1789000000";
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    let signature = hex::encode(mac.finalize().into_bytes());
    let headers = format!(
        "x-webhook-id: evt_1\nx-webhook-event: {event}\nx-webhook-timestamp: {at}\nx-webhook-signature: sha256={signature}\n"
    );
    let body = secret(world, "body.json", body);
    let headers = world.file("headers.txt", &headers);
    [body, headers].map(|path| path.to_str().unwrap().to_owned())
}

fn told(world: &World, hash: B256, token: &str) -> Value {
    json!({"cvm_id": "cvm_00000001", "cvm_name": CVM, "compose_hash": hash.to_string(),
        "app_id": bare(world.app), "device_id": hex::encode(world.device),
        "kms": {"chain_id": 31337, "contract_address": world.kms.to_string()},
        "expires_at": "2027-01-01T00:00:00Z", "initiated_by": {"user_id": 7, "username": "sam"}, "commit_token": token})
}

fn steps(world: &World, dir: &str, steps: &[&str]) {
    for step in steps {
        let signer: &[&str] = if *step == "execute" {
            &["--signer", "env:OWNER_KEY"]
        } else {
            &[]
        };
        let yes: &[&str] = if matches!(*step, "execute" | "commit") {
            &["--yes"]
        } else {
            &[]
        };
        run(world, &[&[*step, "--dir", dir] as &[&str], signer, yes].concat()).exits(0);
    }
}

fn dir(ran: &Ran) -> String {
    ran.fact("dir").as_str().unwrap().to_owned()
}

#[test]
fn an_update_with_its_token_is_approved_and_committed_with_that_token() {
    let world = World::start();
    let (hash, token) = prepare(&world, &compose(NEW_COMPOSE));
    let file = secret(&world, "token-file", &token);
    let with = ["--token-file", file.to_str().unwrap()];
    let asked = adopt(&world, &with).exits(6).says("ADOPT_UNSEEN");
    assert!(!world.folder().join(".countersign").exists(), "{}", asked.said);
    let accept = format!("ADOPT_UNSEEN={hash}");
    let adopted = adopt(&world, &[&with[..], &["--accept", &accept]].concat()).exits(0);
    assert_eq!(
        adopted.fact("compose_hash"),
        &json!(hash.to_string()),
        "{}",
        adopted.said
    );
    assert_eq!(
        adopted.json["data"]["adopted"]["token"],
        json!(true),
        "{}",
        adopted.said
    );
    assert!(!adopted.said.contains(&token), "the token is nobody's to read");
    let dir = dir(&adopted);
    steps(&world, &dir, &["execute", "wait", "commit"]);
    world.cloud.wait_for_hash(CVM, hash);
    assert_eq!(world.cloud.tokens().len(), 1, "nothing was prepared again");
    assert_eq!(world.cloud.tokens()[0].fate, Fate::Used);
    let evidence: Value =
        serde_json::from_slice(&std::fs::read(world.folder().join(&dir).join("evidence.json")).unwrap()).unwrap();
    assert_eq!(evidence["code"]["compose_hash"], json!(hash.to_string()));
    assert!(
        evidence.to_string().contains("ADOPT_UNSEEN"),
        "what was agreed to stands in the evidence"
    );
    run(&world, &["verify", &dir]).exits(0);
    adopt(&world, &[]).exits(6).says("ADOPT_NOTHING");
}

#[test]
fn without_a_token_the_same_hash_is_prepared_again_after_the_approval_or_at_once() {
    let world = World::start();
    let (hash, _) = prepare(&world, &compose(NEW_COMPOSE));
    let adopted = adopt(&world, &[]).exits(0);
    assert!(
        adopted.json["message"]
            .as_str()
            .unwrap()
            .contains("whoever prepared it"),
        "{}",
        adopted.said
    );
    assert_eq!(world.cloud.tokens().len(), 1, "nobody's token ended");
    assert_eq!(world.cloud.tokens()[0].fate, Fate::Live);
    // Again is the same.
    let again = adopt(&world, &[]).exits(0);
    assert_eq!(dir(&again), dir(&adopted));
    steps(&world, &dir(&adopted), &["execute", "wait", "commit"]);
    world.cloud.wait_for_hash(CVM, hash);
    assert_eq!(world.cloud.commits(CVM), [hash]);

    let (other, _) = prepare(&world, &compose(OTHER));
    let adopted = adopt(&world, &["--prepare-again"]).exits(0);
    assert_eq!(
        adopted.fact("compose_hash"),
        &json!(other.to_string()),
        "{}",
        adopted.said
    );
    adopt(&world, &[]).exits(6).says("ADOPT_OWN");
    steps(&world, &dir(&adopted), &["execute", "wait", "commit"]);
    assert_eq!(world.cloud.commits(CVM), [hash, other]);
}

#[test]
fn what_the_official_cli_prepared_a_safe_approves_by_files_and_its_token_commits() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    });
    let answer = phala_prepare(&world);
    let hash = world.cloud.tokens()[0].hash;
    let file = secret(&world, "token-file", answer["commit_token"].as_str().unwrap());
    let accept = format!("ADOPT_UNSEEN={hash}");
    let adopted = adopt(&world, &["--token-file", file.to_str().unwrap(), "--accept", &accept]).exits(0);
    let dir = dir(&adopted);
    let proposal = format!("{dir}/proposal.json");
    run(&world, &["review", &proposal]).exits(0);
    for owner in ["env:SIGNER_0", "env:SIGNER_1"] {
        run(&world, &["sign", &proposal, "--signer", owner, "--yes"]).exits(0);
    }
    run(&world, &["execute", "--dir", &dir, "--signer", "env:SIGNER_4", "--yes"]).exits(0);
    steps(&world, &dir, &["wait", "commit"]);
    world.cloud.wait_for_hash(CVM, hash);
    assert_eq!(world.cloud.tokens().len(), 1);
}

#[test]
fn a_delivery_tells_of_it_and_a_forged_one_does_not() {
    let world = World::start();
    let (hash, token) = prepare(&world, &compose(NEW_COMPOSE));
    let honest = told(&world, hash, &token);
    let accept = format!("ADOPT_UNSEEN={hash}");
    let with = |told: &Value, key: &str| {
        let [body, headers] = delivery(&world, told, key);
        let words = [
            "--delivery",
            &body,
            "--headers",
            &headers,
            "--secret-from",
            "env:HOOK",
            "--accept",
            &accept,
        ];
        adopt(&world, &words)
    };
    with(&honest, "whsec_ffffffffffffffffffffffffffffffff")
        .exits(5)
        .says("WEBHOOK_SIGNATURE");
    // Signed by whoever has the secret, and not what the cloud and the chain say.
    let lies = [
        ("/app_id", json!("00".repeat(20)), "APP_MISMATCH"),
        ("/kms/chain_id", json!(8453), "CHAIN_MISMATCH"),
        ("/device_id", json!("11".repeat(32)), "DEVICE_MISMATCH"),
        (
            "/kms/contract_address",
            json!(format!("0x{}", "22".repeat(20))),
            "KMS_MISMATCH",
        ),
    ];
    for (place, value, code) in lies {
        let mut lie = honest.clone();
        *lie.pointer_mut(place).unwrap() = value;
        with(&lie, SECRET).exits(5).says(code);
    }
    let mut other = honest.clone();
    other["compose_hash"] = json!(B256::repeat_byte(7).to_string());
    with(&other, SECRET).exits(6).says("ADOPT_NOTHING");
    let adopted = with(&honest, SECRET).exits(0);
    assert_eq!(adopted.json["data"]["adopted"]["by"], "sam", "{}", adopted.said);
    assert!(!adopted.said.contains(&token));
    steps(&world, &dir(&adopted), &["execute", "wait", "commit"]);
    assert_eq!(world.cloud.commits(CVM), [hash]);
    assert_eq!(world.cloud.tokens().len(), 1);
}

#[test]
fn a_token_that_is_lost_replaced_expired_or_anothers_commits_nothing_else() {
    let world = World::start();
    let (hash, token) = prepare(&world, &compose(NEW_COMPOSE));
    let accept = format!("ADOPT_UNSEEN={hash}");
    let with = |world: &World, token: &str| {
        let file = secret(world, "token-file", token);
        adopt(world, &["--token-file", file.to_str().unwrap(), "--accept", &accept])
    };
    with(&world, "not a token").exits(3).says("INPUT_TOKEN");
    // Of one that the server does not know it says nothing, and so do we: the right one comes into the same directory.
    let unknown = with(&world, "00000000-0000-4000-8000-000000000000").exits(0);
    let codes = unknown.json["warnings"].to_string();
    assert!(codes.contains("ADOPT_TOKEN_UNCHECKED"), "{codes}");
    // It was prepared again, for the same hash: the earlier token is dead, which is said.
    let (same, live) = prepare(&world, &compose(NEW_COMPOSE));
    assert_eq!(same, hash);
    let dead = with(&world, &token).exits(0);
    let warnings = dead.json["warnings"].as_array().unwrap();
    assert!(
        warnings.iter().any(|one| one["code"] == "ADOPT_TOKEN_DEAD"),
        "{}",
        dead.said
    );
    assert_eq!(dead.json["data"]["adopted"]["token"], json!(false));
    // The right one later is taken into the same directory.
    let adopted = with(&world, &live).exits(0);
    assert_eq!(dir(&adopted), dir(&dead));
    // It is replaced while it waits: the commit says so, and prepares the same hash again when it is told to.
    let dir = dir(&adopted);
    steps(&world, &dir, &["execute", "wait"]);
    let (_, _) = prepare(&world, &compose(NEW_COMPOSE));
    let refused = run(&world, &["commit", "--dir", &dir, "--yes"]);
    refused.exits(6).says("COMMIT_REJECTED_466");
    run(&world, &["commit", "--dir", &dir, "--yes"]).exits(0);
    world.cloud.wait_for_hash(CVM, hash);
    assert_eq!(world.cloud.commits(CVM), [hash]);

    // The token of another update.
    let world = World::start();
    let (_, first) = prepare(&world, &compose(OTHER));
    let (hash, _) = prepare(&world, &compose(NEW_COMPOSE));
    let file = secret(&world, "token-file", &first);
    let accept = format!("ADOPT_UNSEEN={hash}");
    let words = ["--token-file", file.to_str().unwrap(), "--accept", &accept];
    adopt(&world, &words).exits(5).says("ADOPT_TOKEN_OTHER");
    // What has expired does not wait any more.
    world.cloud.advance(TOKEN_LIFE + 1);
    adopt(&world, &[]).exits(6).says("ADOPT_NOTHING");
}

#[test]
fn the_texts_that_are_shown_have_to_give_the_hash() {
    let world = World::start();
    let (hash, _) = prepare(
        &world,
        &json!({"docker_compose_file": NEW_COMPOSE, "allowed_envs": ["NEW"], "public_logs": false}),
    );
    // Names are shown by nobody.
    adopt(&world, &[]).exits(5).says("HASH_MISMATCH");
    assert!(!world.folder().join(".countersign").exists());
    let other = world.file("other.yml", OTHER);
    adopt(&world, &["-c", other.to_str().unwrap()])
        .exits(5)
        .says("HASH_MISMATCH");
    let wanted = hash.to_string();
    adopt(&world, &["--compose-hash", &B256::repeat_byte(1).to_string()])
        .exits(6)
        .says("ADOPT_NOTHING");
    let right = world.file("right.yml", NEW_COMPOSE);
    let words = [
        "--allowed-env",
        "NEW",
        "--compose-hash",
        &wanted,
        "-c",
        right.to_str().unwrap(),
    ];
    let adopted = adopt(&world, &words).exits(0);
    let proposal: Value =
        serde_json::from_slice(&std::fs::read(world.folder().join(dir(&adopted)).join("proposal.json")).unwrap())
            .unwrap();
    assert_eq!(proposal["manifest_after"]["public_logs"], json!(false));
    assert_eq!(proposal["manifest_after"]["allowed_envs"], json!(["NEW"]));
}

#[test]
fn a_preview_that_lies_or_shows_nothing_gives_no_upgrade() {
    let world = World::start();
    let (hash, _) = prepare(&world, &compose(NEW_COMPOSE));
    world.cloud.lie(|lies| lies.no_pending_list = true);
    let unsaid = adopt(&world, &[]).exits(6).says("ADOPT_NOTHING");
    assert!(unsaid.said.contains("does not say"), "{}", unsaid.said);
    world.cloud.lie(|lies| lies.no_pending_list = false);
    world
        .cloud
        .lie(|lies| lies.preview = Some(json!({"pending_docker_compose": OTHER})));
    adopt(&world, &[]).exits(5).says("HASH_MISMATCH");
    world
        .cloud
        .lie(|lies| lies.preview = Some(json!({"pending_docker_compose": null, "pending_pre_launch_script": null})));
    adopt(&world, &[]).exits(6).says("ADOPT_NO_TEXT");
    let file = world.file("file.yml", NEW_COMPOSE);
    let adopted = adopt(&world, &["-c", file.to_str().unwrap()]).exits(0);
    assert_eq!(adopted.fact("compose_hash"), &json!(hash.to_string()));
}

#[test]
fn of_two_that_wait_one_is_named_and_none_ends_unasked() {
    let world = World::start();
    let (one, _) = prepare(&world, &compose(NEW_COMPOSE));
    let (other, _) = prepare(&world, &compose(OTHER));
    // The cloud has one token for each CVM; a list with both is somebody's race.
    world.cloud.revive_tokens();
    adopt(&world, &[]).exits(6).says("ADOPT_WHICH");
    let wanted = one.to_string();
    adopt(&world, &["--compose-hash", &wanted]).exits(0);
    adopt(
        &world,
        &["--compose-hash", &other.to_string(), "--prepare-again", "--dir", "b"],
    )
    .exits(6)
    .says_one_of(&["UPDATE_PENDING", "OWN_UPDATE_PENDING"]);
    assert!(world.cloud.tokens().iter().all(|token| token.fate == Fate::Live));
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn one_that_was_killed_while_it_was_taken_on_goes_on() {
    for point in ["adopt.a", "adopt.b", "adopt.e", "export.a", "export.e"] {
        let world = World::start();
        let (hash, token) = prepare(&world, &compose(NEW_COMPOSE));
        let file = secret(&world, "token-file", &token);
        let accept = format!("ADOPT_UNSEEN={hash}");
        let words = [
            "adopt",
            CVM,
            "--token-file",
            file.to_str().unwrap(),
            "--accept",
            &accept,
            "--json",
        ];
        let mut command = world.countersign(BINARY);
        let killed = Ran::of(command.args(words).env("FAILPOINTS", format!("{point}=return")));
        assert_eq!(killed.exit, -1, "{point}: {}", killed.said);
        let adopted = run(&world, &words[..6]).exits(0);
        steps(&world, &dir(&adopted), &["execute", "wait", "commit"]);
        world.cloud.wait_for_hash(CVM, hash);
        assert_eq!(world.cloud.commits(CVM), [hash], "{point}");
        assert_eq!(world.cloud.tokens().len(), 1, "{point}");
    }
}

#[test]
fn an_off_chain_kms_has_nothing_to_take_on() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    adopt(&world, &[]).exits(6).says("KMS_OFFCHAIN");
}

#[test]
fn a_body_that_others_may_read_is_used_no_more_than_such_a_token() {
    let world = World::start();
    let (hash, token) = prepare(&world, &compose(NEW_COMPOSE));
    let [body, headers] = delivery(&world, &told(&world, hash, &token), SECRET);
    std::fs::set_permissions(&body, std::fs::Permissions::from_mode(0o644)).unwrap();
    let words = ["--delivery", &body, "--headers", &headers, "--secret-from", "env:HOOK"];
    adopt(&world, &words).exits(12).says("STORAGE_PERMISSION");
    std::fs::set_permissions(&body, std::fs::Permissions::from_mode(0o600)).unwrap();
    adopt(&world, &words).exits(6).says("ADOPT_UNSEEN");
}

#[test]
fn a_delivery_of_something_else_is_none_of_an_update() {
    let world = World::start();
    let [body, headers] = ["body.json", "headers.txt"].map(|name| world.folder().join(name));
    let text = r#"{"id": "evt_1", "event": "cvm.updated", "data": {"cvm_id": "cvm_1"}}"#;
    signed(&world, "cvm.updated", text, SECRET);
    let words = [
        "--delivery",
        body.to_str().unwrap(),
        "--headers",
        headers.to_str().unwrap(),
        "--secret-from",
        "env:HOOK",
    ];
    adopt(&world, &words).exits(3).says("INPUT_DELIVERY");
}

#[test]
fn what_nobody_could_see_of_it_is_told_to_everybody_who_signs_it() {
    let world = World::start();
    let mut body = compose(NEW_COMPOSE);
    body["user_config"] = json!("EVIL");
    let (hash, token) = prepare(&world, &body);
    let file = secret(&world, "token-file", &token);
    let accept = format!("ADOPT_UNSEEN={hash}");
    let adopted = adopt(&world, &["--token-file", file.to_str().unwrap(), "--accept", &accept]).exits(0);
    let dir = dir(&adopted);
    // The proposal alone, as an owner has it.
    let text = std::fs::read_to_string(world.folder().join(&dir).join("proposal.json")).unwrap();
    let alone = world.file("alone.json", &text);
    let review = run(&world, &["review", alone.to_str().unwrap()]).exits(0);
    let uncovered = review.json["data"]["uncovered"].as_array().unwrap();
    assert!(
        uncovered.iter().any(|one| one["field"] == "prepared"),
        "{}",
        review.said
    );
    // The same token is not taken for one of its own.
    let again = adopt(&world, &["--prepare-again"]).exits(6).says("ADOPT_OWN");
    assert!(again.json["message"].as_str().unwrap().contains(&dir), "{}", again.said);
    assert_eq!(world.cloud.tokens().len(), 1);
    adopt(&world, &["--prepare-again", "--dir", "own"]).exits(0);
    assert_eq!(world.cloud.tokens().len(), 2);
}
