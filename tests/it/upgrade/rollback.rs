//! Back to something that the app allows already: from the cloud's history, from evidence and from files; and what keeps a CVM
//! from it.

use alloy::primitives::{B256, keccak256};
use serde_json::{Value, json};

use crate::harness::flow::{BINARY, Ran};
use crate::support::cloud::canonical;
use crate::support::contracts::abi;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{ACCOUNTS, World};

const THIRD: &str = "services:\n  web:\n    image: nginx:1.29\n    ports:\n      - \"80:80\"\n";

fn run(world: &World, words: &[&str]) -> Ran {
    Ran::of(world.countersign(BINARY).args(words).arg("--json"))
}

/// An upgrade to a compose text, by the owner's key.
fn upgrade(world: &World, compose: &str, more: &[&str]) -> B256 {
    let hash = world.hash_with(compose);
    let file = world.file("compose.yml", compose);
    let words = [
        "upgrade",
        "--cvm",
        CVM,
        "-c",
        file.to_str().unwrap(),
        "--signer",
        "env:OWNER_KEY",
        "--yes",
    ];
    run(world, &[&words, more].concat()).exits(0);
    world.cloud.wait_for_hash(CVM, hash);
    hash
}

/// Three versions, the last of which runs.
fn three() -> (World, [B256; 3]) {
    let world = World::start();
    let second = upgrade(&world, NEW_COMPOSE, &[]);
    let third = upgrade(&world, THIRD, &[]);
    let first = world.first_hash;
    (world, [first, second, third])
}

fn rollback(world: &World, more: &[&str]) -> Ran {
    run(world, &[&["rollback", CVM] as &[&str], more].concat())
}

fn back(world: &World, more: &[&str]) -> Ran {
    rollback(world, &[more, &["--yes"]].concat())
}

fn transactions(world: &World) -> u64 {
    world
        .rpc()
        .call("eth_getTransactionCount", json!([world.owner.address, "latest"]))
        .as_str()
        .map_or(0, |text| {
            u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
        })
}

/// Nothing that changes the CVM was asked for.
fn nothing_asked(world: &World) {
    for verb in ["PATCH", "POST"] {
        assert!(
            world
                .cloud
                .requests_to(verb, "")
                .iter()
                .all(|request| request.path.ends_with("is-allowed"))
        );
    }
}

#[test]
fn three_versions_up_and_one_back() {
    let (world, [first, second, third]) = three();
    let sent = transactions(&world);
    world.cloud.forget_requests();
    let listed = rollback(&world, &["--list"]).exits(0);
    let versions = listed.json["data"]["versions"].as_array().unwrap();
    let hashes: Vec<&str> = versions
        .iter()
        .map(|one| one["compose_hash"].as_str().unwrap())
        .collect();
    assert_eq!(hashes, [second.to_string(), first.to_string()], "{}", listed.said);
    assert!(
        versions
            .iter()
            .all(|one| one["obstacles"] == json!([]) && one["allowed"] == json!(true)),
        "{}",
        listed.said
    );
    nothing_asked(&world);

    let went = back(&world, &[]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    assert_eq!(transactions(&world), sent, "nobody approves it again");
    assert_eq!(world.cloud.commits(CVM), [second, third, second]);
    assert!(
        world
            .cloud
            .requests()
            .iter()
            .all(|request| !request.path.ends_with("/redeploy"))
    );
    let warnings = went.json["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|one| one["code"] == "ROLLBACK_TO"), "{}", went.said);
    assert_eq!(went.fact("compose_hash"), &json!(second.to_string()), "{}", went.said);
    // It is recorded like any upgrade, beside the one that first brought it.
    let dir = went.fact("dir").as_str().unwrap().to_owned();
    let evidence: Value =
        serde_json::from_slice(&std::fs::read(world.folder().join(&dir).join("evidence.json")).unwrap()).unwrap();
    assert_eq!(evidence["code"]["compose_hash"], json!(second.to_string()));
    assert_eq!(evidence["code"]["previous_compose_hash"], json!(third.to_string()));
    run(&world, &["verify", &dir]).exits(0);

    // And on again, to a revision by its name: what was committed twice is two upgrades, each in a directory of its own.
    let revisions = world.cloud.revisions();
    let newest = revisions.iter().find(|one| one.hash == hex::encode(third)).unwrap();
    let on = back(&world, &["--to", &newest.id]).exits(0);
    world.cloud.wait_for_hash(CVM, third);
    let again = back(&world, &["--to", &second.to_string()]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    let dirs = [&went, &on, &again].map(|ran| ran.fact("dir").as_str().unwrap().to_owned());
    assert!(
        dirs[0] != dirs[1] && dirs[1] != dirs[2] && dirs[0] != dirs[2],
        "{dirs:?}"
    );
    assert_eq!(transactions(&world), sent);
    // A copy of a proposal is about the upgrade that wrote it, and not about the first of its name.
    for ran in [&went, &again] {
        let dir = ran.fact("dir").as_str().unwrap();
        let copy = world.folder().join("copy.json");
        std::fs::copy(world.folder().join(dir).join("proposal.json"), &copy).unwrap();
        let status = run(&world, &["status", copy.to_str().unwrap()]).exits(0);
        assert_eq!(status.fact("dir"), ran.fact("dir"), "{}", status.said);
    }
    back(&world, &["--to", &second.to_string()])
        .exits(6)
        .says("NOTHING_TO_APPROVE");
}

#[test]
fn what_was_taken_away_is_not_gone_back_to_and_what_was_allowed_again_is() {
    let (world, [first, second, third]) = three();
    world.as_owner(&abi::removeComposeHashCall { composeHash: second });
    world.cloud.forget_requests();
    let refused = back(&world, &[]).exits(6).says("ROLLBACK_NOT_ALLOWED");
    assert!(
        refused.said.contains(&second.to_string()),
        "nothing older is taken in its place: {}",
        refused.said
    );
    nothing_asked(&world);
    let listed = rollback(&world, &["--list"]).exits(0);
    assert_eq!(
        listed.json["data"]["versions"][0]["obstacles"][0]["code"],
        "ROLLBACK_NOT_ALLOWED"
    );
    assert_eq!(listed.json["data"]["versions"][1]["obstacles"], json!([]));
    back(&world, &["--to", &first.to_string()]).exits(0);
    world.cloud.wait_for_hash(CVM, first);
    world.allow(second);
    back(&world, &["--to", &second.to_string()]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    assert_eq!(world.cloud.commits(CVM), [second, third, first, second]);
}

#[test]
fn the_kms_is_asked_whether_it_would_boot() {
    let (world, [_, second, third]) = three();
    world.allow_os_image(false);
    back(&world, &[]).exits(6).says("KMS_WOULD_REFUSE");
    world.allow_os_image(true);
    world.as_owner(&abi::removeDeviceCall { deviceId: world.device });
    back(&world, &[]).exits(6).says("DEVICE_NOT_ALLOWED");
    assert_eq!(world.cloud.commits(CVM), [second, third]);
    world.as_owner(&abi::addDeviceCall { deviceId: world.device });
    back(&world, &[]).exits(0);
}

#[test]
fn an_app_that_nobody_owns_any_more_goes_back_to_what_it_allows() {
    let (world, [_, second, _]) = three();
    world.as_owner(&abi::renounceOwnershipCall {});
    back(&world, &[]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
}

#[test]
fn other_names_of_variables_need_their_values() {
    let world = World::start();
    let env = world.file("env", "DATABASE_URL=a\nLOG_LEVEL=b\n");
    let other = world.file("other-env", "DATABASE_URL=a\n");
    let file = world.file("compose.yml", NEW_COMPOSE);
    let words = [
        "upgrade",
        "--cvm",
        CVM,
        "-c",
        file.to_str().unwrap(),
        "--signer",
        "env:OWNER_KEY",
        "--yes",
    ];
    run(&world, &[&words as &[&str], &["-e", other.to_str().unwrap()]].concat()).exits(0);
    back(&world, &[]).exits(6).says("ROLLBACK_ENVIRONMENT");
    back(&world, &["-e", other.to_str().unwrap()])
        .exits(6)
        .says("ROLLBACK_ENVIRONMENT");
    back(&world, &["-e", env.to_str().unwrap()]).exits(0);
    world.cloud.wait_for_hash(CVM, world.first_hash);
    let names: Vec<String> = world.cloud.cvm(CVM).environment.keys().cloned().collect();
    assert_eq!(names, ["DATABASE_URL", "LOG_LEVEL"]);
    // Fewer names: the guest keeps its values and is given fewer.
    let hash = world.cloud.commits(CVM)[0];
    back(&world, &["--to", &hash.to_string()]).exits(0);
    world.cloud.wait_for_hash(CVM, hash);
}

#[test]
fn the_text_is_believed_for_its_hash_alone_and_comes_from_files_where_the_history_has_none() {
    let (world, [first, second, third]) = three();
    let manifest = world
        .cloud
        .revisions()
        .into_iter()
        .find(|one| one.hash == hex::encode(second))
        .unwrap()
        .manifest
        .unwrap();
    // Evidence here would do; a pipeline on another machine has none.
    std::fs::remove_dir_all(world.folder().join(".countersign")).unwrap();
    // The history lies about what the hash stands for.
    world.cloud.change_revisions(|all| {
        for one in all.iter_mut().filter(|one| one.hash == hex::encode(second)) {
            one.manifest.as_mut().unwrap().insert(
                "docker_compose_file".to_owned(),
                json!("services:\n  evil:\n    image: evil\n"),
            );
        }
    });
    world.cloud.forget_requests();
    back(&world, &[]).exits(6).says("ROLLBACK_NO_TEXT");
    world
        .cloud
        .change_revisions(|all| all.iter_mut().for_each(|one| one.manifest = None));
    back(&world, &[]).exits(6).says("ROLLBACK_NO_TEXT");
    nothing_asked(&world);
    let wrong = world.file("wrong.json", &canonical(&world.cloud.cvm(CVM).manifest));
    back(&world, &["--manifest", wrong.to_str().unwrap()])
        .exits(6)
        .says("ROLLBACK_NO_TEXT");
    let file = world.file("app-compose.json", &canonical(&manifest));
    let no = world.file("no.json", "no manifest");
    back(&world, &["--manifest", no.to_str().unwrap()])
        .exits(3)
        .says("INPUT_MANIFEST");
    let went = back(&world, &["--manifest", file.to_str().unwrap()]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    // What the history forgot whole is named by its hash, and evidence has its text.
    world.cloud.change_revisions(Vec::clear);
    back(&world, &[]).exits(6).says("ROLLBACK_NOTHING");
    back(&world, &["--to", "rev_0001"]).exits(6).says("ROLLBACK_NOTHING");
    back(&world, &["--to", &third.to_string()]).exits(0);
    world.cloud.wait_for_hash(CVM, third);
    let evidence = format!("{}/evidence.json", went.fact("dir").as_str().unwrap());
    back(&world, &["--to", &second.to_string(), "--manifest", &evidence]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    back(&world, &["--to", &first.to_string()])
        .exits(6)
        .says("ROLLBACK_NO_TEXT");
    back(&world, &["--to", &keccak256("nothing").to_string()])
        .exits(6)
        .says("ROLLBACK_NOT_ALLOWED");
}

#[test]
fn a_history_that_is_not_whole_does_not_tell_what_came_before() {
    let (world, [_, second, _]) = three();
    world.cloud.change_revisions(|all| {
        let older = all[0].clone();
        for number in 0..1_000 {
            let id = format!("old_{number}");
            all.insert(0, crate::support::cloud::Revision { id, ..older.clone() });
        }
    });
    let refused = back(&world, &[]).exits(6).says("ROLLBACK_NOTHING");
    assert!(refused.said.contains("--to"), "{}", refused.said);
    back(&world, &["--to", &second.to_string()]).exits(0);
}

#[test]
fn a_history_that_leaves_out_what_ran_before_is_not_believed_against_evidence() {
    let (world, [first, second, third]) = three();
    world
        .cloud
        .change_revisions(|all| all.retain(|one| one.hash != hex::encode(second)));
    world.cloud.forget_requests();
    let listed = rollback(&world, &["--list"]).exits(0);
    for hash in [first, second] {
        assert!(listed.said.contains(&hash.to_string()), "{}", listed.said);
    }
    let refused = back(&world, &[]).exits(6).says("ROLLBACK_NOTHING");
    for word in [&first.to_string(), &second.to_string(), "evidence.json", "--to"] {
        assert!(refused.said.contains(word), "{}", refused.said);
    }
    nothing_asked(&world);
    // What the history forgot whole, evidence knows.
    world.cloud.change_revisions(Vec::clear);
    back(&world, &[]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    assert_eq!(world.cloud.commits(CVM), [second, third, second]);
}

#[test]
fn a_revision_that_is_listed_and_gone_keeps_the_others_from_nobody() {
    let (world, [first, second, _]) = three();
    std::fs::remove_dir_all(world.folder().join(".countersign")).unwrap();
    world.cloud.change_revisions(|all| {
        let of_second = all.iter_mut().filter(|one| one.hash == hex::encode(second));
        of_second.for_each(|one| one.is_gone = true);
    });
    let listed = rollback(&world, &["--list"]).exits(0);
    let versions = listed.json["data"]["versions"].as_array().unwrap();
    let codes = |hash: B256| {
        let found = versions
            .iter()
            .find(|one| one["compose_hash"] == json!(hash.to_string()));
        found.unwrap()["obstacles"].to_string()
    };
    assert!(codes(second).contains("ROLLBACK_NO_TEXT"), "{}", listed.said);
    assert_eq!(codes(first), "[]", "{}", listed.said);
}

#[test]
fn fields_that_no_update_changes_are_named() {
    let (world, [_, second, _]) = three();
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest.insert("secure_time".to_owned(), json!(true));
        cvm.compose_hash = crate::support::cloud::compose_hash(&cvm.manifest);
    });
    world.allow(world.cloud.cvm(CVM).compose_hash);
    let refused = back(&world, &["--to", &second.to_string()])
        .exits(6)
        .says("ROLLBACK_OTHER_FIELDS");
    assert!(refused.said.contains("secure_time"), "{}", refused.said);
}

#[test]
fn nobody_goes_back_without_consent_and_with_it_the_same_upgrade_goes_on() {
    let (world, [_, second, third]) = three();
    let tokens = world.cloud.tokens().len();
    // Without a terminal nobody agrees.
    let asked = rollback(&world, &[]).exits(2).says("USAGE_CONSENT");
    assert_eq!(world.cloud.tokens().len(), tokens, "nothing is prepared unasked");
    assert_eq!(world.cloud.commits(CVM), [second, third]);
    let went = back(&world, &[]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    assert_eq!(went.fact("dir"), asked.fact("dir"));
}

/// Killed at each of its writes and requests, and run again, it ends as if it had not been: one commit more.
#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a_rollback_that_was_killed_goes_on() {
    let (world, [_, second, third]) = three();
    for (round, point) in ["prepare.b", "prepare.d", "export.a", "commit.b", "commit.d", "commit.e"]
        .iter()
        .enumerate()
    {
        let to = if round % 2 == 0 { second } else { third };
        let before = world.cloud.commits(CVM).len();
        let words = ["rollback", CVM, "--to", &to.to_string(), "--yes", "--json"];
        let killed = Ran::of(
            world
                .countersign(BINARY)
                .args(words)
                .env("FAILPOINTS", format!("{point}=return")),
        );
        assert_eq!(killed.exit, -1, "{point}: {}", killed.said);
        run(&world, &["resume", "--cvm", CVM, "--yes"]).exits(0);
        world.cloud.wait_for_hash(CVM, to);
        let commits = world.cloud.commits(CVM);
        assert_eq!(commits.len(), before + 1, "{point}");
    }
}

#[test]
fn another_key_than_the_owners_is_enough_and_none_is_used() {
    let (world, [_, second, _]) = three();
    let balance = |world: &World| {
        world
            .rpc()
            .call("eth_getBalance", json!([ACCOUNTS[1].address, "latest"]))
    };
    let before = balance(&world);
    back(&world, &[]).exits(0);
    world.cloud.wait_for_hash(CVM, second);
    assert_eq!(balance(&world), before);
}

#[test]
fn revisions_are_listed_and_shown_as_the_cloud_has_them() {
    let (world, [_, second, _]) = three();
    let listed = run(&world, &["app", "revisions", "list", "--cvm", CVM]).exits(0);
    let list = listed.json["data"]["revisions"].as_array().unwrap();
    assert_eq!(list.len(), 3, "{}", listed.said);
    let named = list
        .iter()
        .find(|one| one["compose_hash"] == json!(second.to_string()))
        .unwrap();
    assert_eq!(
        (named["by"].as_str(), named["operation"].as_str()),
        (Some("sim"), Some("compose_update"))
    );
    let one = run(
        &world,
        &[
            "app",
            "revisions",
            "list",
            "--cvm",
            CVM,
            "--page",
            "2",
            "--page-size",
            "2",
        ],
    )
    .exits(0);
    assert_eq!(one.json["data"]["revisions"].as_array().unwrap().len(), 1);
    let id = named["id"].as_str().unwrap();
    let shown = run(&world, &["app", "revisions", "show", id, "--cvm", CVM]).exits(0);
    assert_eq!(shown.json["data"]["manifest"]["docker_compose_file"], NEW_COMPOSE);
    assert_eq!(shown.json["data"]["form"], "sorted", "{}", shown.said);
    world.cloud.change_revisions(|all| {
        all[1]
            .manifest
            .as_mut()
            .unwrap()
            .insert("name".to_owned(), json!("other"));
    });
    let odd = run(&world, &["app", "revisions", "show", id, "--cvm", CVM]).exits(0);
    assert_eq!(odd.json["warnings"][0]["code"], "MANIFEST_FORM_UNKNOWN", "{}", odd.said);
    run(&world, &["app", "revisions", "show", "rev_9", "--cvm", CVM])
        .exits(6)
        .says("API_NOT_FOUND");
}

#[test]
fn a_rollback_that_is_typed_again_goes_on_and_is_never_undone_by_it() {
    let (world, [_, second, third]) = three();
    back(&world, &["--no-wait"]).exits(0);
    let again = back(&world, &[]).exits(0);
    assert_eq!(again.fact("compose_hash"), &json!(second.to_string()), "{}", again.said);
    world.cloud.wait_for_hash(CVM, second);
    assert_eq!(world.cloud.commits(CVM), [second, third, second]);
    // At its end it is not gone back on unnamed, and `--to` names what else is meant.
    let over = back(&world, &[]).exits(6).says("ROLLBACK_NOTHING");
    assert!(over.json["message"].as_str().unwrap().contains("--to"), "{}", over.said);
    back(&world, &["--to", &second.to_string()])
        .exits(6)
        .says("NOTHING_TO_APPROVE");
    back(&world, &["--to", &third.to_string()]).exits(0);
    world.cloud.wait_for_hash(CVM, third);
    assert_eq!(world.cloud.commits(CVM), [second, third, second, third]);
}
