//! What a machine keeps on disk: out of git, and used before anything is prepared beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use alloy::primitives::U256;
use serde_json::Value;

use crate::harness::flow::{BINARY, Ran};
use crate::support::World;
use crate::support::world::{CVM, SafeOptions, WorldOptions};

/// Runs git in a folder, with nobody's configuration, and says what it printed.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What `git add .` takes.
fn added(folder: &Path) -> Vec<String> {
    git(folder, &["add", "."]);
    let names = git(folder, &["ls-files"]);
    names.lines().map(ToOwned::to_owned).collect()
}

/// A preparation without a directory of its own choice, with the world's folder as the working directory.
fn prepare(world: &World, more: &[&str]) -> Ran {
    let compose = world.file("new-compose.yml", crate::support::world::NEW_COMPOSE);
    let mut command = world.countersign(BINARY);
    command
        .args(["prepare", "--json", "--cvm", CVM, "-c"])
        .arg(compose)
        .args(more);
    Ran::of(&mut command)
}

fn codes(ran: &Ran) -> Vec<String> {
    let warnings = ran.json["warnings"].as_array().cloned().unwrap_or_default();
    let code = |one: &Value| one["code"].as_str().unwrap().to_owned();
    warnings.iter().map(code).collect()
}

/// Names of files that hold secrets.
const SECRET: [&str; 6] = [
    "journal",
    "journal.head",
    "token",
    "prepare.raw",
    "values",
    "sealed.hex",
];

#[track_caller]
fn without_secrets(names: &[String]) {
    for name in names {
        let last = Path::new(name).file_name().unwrap().to_str().unwrap();
        let secret = SECRET.contains(&last) || last.starts_with("environment");
        assert!(!secret, "{name} would be committed: {names:?}");
    }
}

#[test]
fn ppl_p5_git_takes_what_others_read_of_a_state_directory_and_no_secret() {
    for more in [&[][..], &["--dir", "state/v2"], &["--dir", "state"]] {
        let world = World::start();
        git(world.folder(), &["init", "-q"]);
        let ran = prepare(&world, more).exits(0);
        let dir = PathBuf::from(ran.fact("dir").as_str().unwrap());
        assert!(world.folder().join(&dir).join("token").exists(), "{}", ran.said);
        // An export that somebody keeps beside the proposal.
        std::fs::write(world.folder().join(&dir).join("batch.json"), "{}").unwrap();
        let names = added(world.folder());
        without_secrets(&names);
        for public in ["proposal.json", "batch.json"] {
            let name = dir.join(public).display().to_string();
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(!codes(&ran).contains(&"STATE_IN_GIT".to_owned()), "{}", ran.said);
    }
}

#[test]
fn ppl_p5_a_fleets_members_keep_their_secrets_out_of_git_too() {
    let world = World::start();
    let second = world.add_cvm(2);
    git(world.folder(), &["init", "-q"]);
    let compose = world.file("new-compose.yml", crate::support::world::NEW_COMPOSE);
    for place in [".countersign/many", "many"] {
        let mut command = world.countersign(BINARY);
        command
            .args([
                "fleet",
                "prepare",
                "--json",
                "--supersede",
                "--dir",
                place,
                "--cvm",
                CVM,
                "--also",
                &second.name,
                "-c",
            ])
            .arg(&compose);
        Ran::of(&mut command).exits(0);
        assert!(world.folder().join(place).join(CVM).join("token").exists());
    }
    let names = added(world.folder());
    without_secrets(&names);
    assert!(names.contains(&format!("many/{CVM}/proposal.json")), "{names:?}");
}

#[test]
fn ppl_p5_somebodys_own_gitignore_stays_and_the_secrets_stay_out_all_the_same() {
    let world = World::start();
    git(world.folder(), &["init", "-q"]);
    let root = world.folder().join(".countersign");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join(".gitignore"), "# mine\n*.tmp\n").unwrap();
    prepare(&world, &[]).exits(0);
    assert_eq!(
        std::fs::read_to_string(root.join(".gitignore")).unwrap(),
        "# mine\n*.tmp\n"
    );
    without_secrets(&added(world.folder()));
}

#[test]
fn ppl_p5_files_that_git_tracks_already_are_named() {
    for version in ["2", "4"] {
        let world = World::start();
        git(world.folder(), &["init", "-q"]);
        let ran = prepare(&world, &[]).exits(0);
        let dir = ran.fact("dir").as_str().unwrap().to_owned();
        git(world.folder(), &["add", "-f", "."]);
        git(world.folder(), &["update-index", "--index-version", version]);
        let again = prepare(&world, &[]).exits(0);
        let warned = again.json["warnings"].as_array().unwrap();
        let warned = warned.iter().find(|one| one["code"] == "STATE_IN_GIT");
        let text = warned.unwrap_or_else(|| panic!("{}", again.said))["text"]
            .as_str()
            .unwrap();
        assert!(text.contains(&format!("{dir}/token")), "{text}");
        assert!(!text.contains("proposal.json"), "{text}");
        git(world.folder(), &["rm", "-q", "-r", "-f", "--cached", "."]);
        without_secrets(&added(world.folder()));
        let clean = prepare(&world, &[]).exits(0);
        assert!(!codes(&clean).contains(&"STATE_IN_GIT".to_owned()), "{}", clean.said);
    }
}

#[test]
fn ppl_p5_values_that_are_sent_alone_leave_nothing_that_git_takes() {
    let world = World::start();
    git(world.folder(), &["init", "-q"]);
    let names = world.cloud.cvm(CVM).manifest["allowed_envs"].clone();
    let names = names.as_array().unwrap().iter();
    let lines = names.map(|name| format!("{}=v\n", name.as_str().unwrap()));
    let env = world
        .folder()
        .parent()
        .unwrap()
        .join(format!("values-{}.env", std::process::id()));
    std::fs::write(&env, lines.collect::<String>()).unwrap();
    let mut command = world.countersign(BINARY);
    command
        .args(["cvm", "envs", "--cvm", CVM, "--json", "--yes", "-e"])
        .arg(&env);
    let ran = Ran::of(&mut command).exits(0);
    let noted = world.folder().join(format!(".countersign/{CVM}-values/values"));
    assert!(noted.exists(), "{}", ran.said);
    without_secrets(&added(world.folder()));
}

/// A change of the app that the flow is about, so that two upgrades of one CVM differ.
fn other_compose(world: &World) -> PathBuf {
    world.file("other-compose.yml", "services:\n  web:\n    image: other:3\n")
}

/// Prepares the other change in a directory, or in the usual place.
fn prepare_other(world: &World, more: &[&str]) -> Ran {
    let compose = other_compose(world);
    let mut command = world.countersign(BINARY);
    command
        .args(["prepare", "--json", "--cvm", CVM, "-c"])
        .arg(compose)
        .args(more);
    Ran::of(&mut command)
}

/// A world whose cloud does not say what waits for its commit.
fn silent_about_pending() -> World {
    let world = World::start();
    world.cloud.lie(|lies| lies.no_pending_list = true);
    world
}

#[test]
fn ppl_p4_a_second_preparation_of_a_cvm_does_not_end_the_first_ones_token_unasked() {
    for places in [
        [None, None],
        [Some("a"), Some("b")],
        [None, Some("b")],
        [Some("deep/a"), Some("deep/b")],
    ] {
        let world = silent_about_pending();
        let dir = |place: Option<&'static str>| place.map_or_else(Vec::new, |dir| vec!["--dir", dir]);
        let first = prepare(&world, &dir(places[0])).exits(0);
        let said = prepare_other(&world, &dir(places[1]))
            .exits(6)
            .says("OWN_UPDATE_PENDING");
        let first = first.fact("dir").as_str().unwrap();
        let name = Path::new(first).file_name().unwrap().to_str().unwrap();
        assert!(said.json["message"].as_str().unwrap().contains(name), "{}", said.said);
        assert!(
            said.json["next"].as_str().unwrap().contains("--supersede"),
            "{}",
            said.said
        );
        assert_eq!(world.cloud.tokens().len(), 1, "nothing was prepared");
        let agreed = [&dir(places[1])[..], &["--supersede"]].concat();
        prepare_other(&world, &agreed).exits(0);
        assert_eq!(world.cloud.tokens().len(), 2);
        // The first one's own directory is gone on with as before.
        prepare(&world, &dir(places[0])).exits(0);
    }
}

#[test]
fn ppl_p4_what_is_finished_given_up_or_damaged_stands_in_nobodys_way() {
    let world = silent_about_pending();
    let dir = |ran: &Ran| world.folder().join(ran.fact("dir").as_str().unwrap());
    let compose = world.file("new-compose.yml", crate::support::world::NEW_COMPOSE);
    let mut upgrade = world.countersign(BINARY);
    upgrade.args([
        "upgrade",
        "--json",
        "--yes",
        "--signer",
        "env:OWNER_KEY",
        "--cvm",
        CVM,
        "-c",
    ]);
    let done = Ran::of(upgrade.arg(compose)).exits(0);
    let second = prepare_other(&world, &[]).exits(0);
    assert_ne!(dir(&done), dir(&second));
    // A journal that cannot be read is told of.
    std::fs::write(dir(&done).join("journal"), "nonsense\nmore\n").unwrap();
    let third = prepare_other(&world, &["--dir", "third"])
        .exits(6)
        .says("OWN_UPDATE_PENDING");
    drop(third);
    let plan = prepare_other(&world, &["--dir", "third", "--supersede"]).exits(0);
    assert!(codes(&plan).contains(&"NEIGHBOURS_UNREAD".to_owned()), "{}", plan.said);
}

#[test]
fn ppl_p4_a_neighbour_that_another_run_holds_is_read_all_the_same() {
    let world = silent_about_pending();
    let first = prepare(&world, &[]).exits(0);
    let lock = world
        .folder()
        .join(first.fact("dir").as_str().unwrap())
        .join("journal.lock");
    let held = std::fs::OpenOptions::new().write(true).open(lock).unwrap();
    held.lock().unwrap();
    prepare_other(&world, &[]).exits(6).says("OWN_UPDATE_PENDING");
}

#[test]
fn ppl_p4_a_member_of_a_fleet_holds_a_token_too() {
    let world = silent_about_pending();
    let second = world.add_cvm(2);
    let compose = world.file("new-compose.yml", crate::support::world::NEW_COMPOSE);
    let mut fleet = world.countersign(BINARY);
    fleet.args([
        "fleet",
        "prepare",
        "--json",
        "--dir",
        ".countersign/many",
        "--cvm",
        CVM,
        "--also",
        &second.name,
        "-c",
    ]);
    Ran::of(fleet.arg(compose)).exits(0);
    prepare_other(&world, &[]).exits(6).says("OWN_UPDATE_PENDING");
    // And a fleet is stopped by what one of its CVMs has under way.
    let mut other = world.countersign(BINARY);
    other.args([
        "fleet",
        "prepare",
        "--json",
        "--dir",
        "others",
        "--cvm",
        CVM,
        "--also",
        &second.name,
        "-c",
    ]);
    let ran = Ran::of(other.arg(other_compose(&world))).exits(6);
    assert!(ran.said.contains("OWN_UPDATE_PENDING"), "{}", ran.said);
}

/// A world whose app a Safe owns.
fn with_safe() -> World {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    });
    world.cloud.lie(|lies| lies.no_pending_list = true);
    world
}

fn nonce(world: &World, dir: &str) -> U256 {
    let bytes = std::fs::read(world.folder().join(dir).join("proposal.json")).unwrap();
    let proposal: Value = serde_json::from_slice(&bytes).unwrap();
    serde_json::from_value(proposal["safe"]["frozen"]["transaction"]["nonce"].clone()).unwrap()
}

/// A change of the policy, by the Safe.
fn add_device(world: &World, device: u8, dir: &str, more: &[&str]) -> Ran {
    let (app, device) = (
        world.app.to_string(),
        alloy::primitives::B256::repeat_byte(device).to_string(),
    );
    let mut command = world.countersign(BINARY);
    command.args([
        "app",
        "devices",
        "add",
        &device,
        "--app",
        &app,
        "--chain-id",
        "31337",
        "--json",
        "--dir",
        dir,
    ]);
    Ran::of(command.args(more))
}

#[test]
fn ppl_p4_two_upgrades_of_one_safe_get_two_nonces() {
    let world = with_safe();
    let first = prepare(&world, &["--dir", "a"]).exits(0);
    assert!(
        !codes(&first).contains(&"SAFE_NONCE_TAKEN_HERE".to_owned()),
        "{}",
        first.said
    );
    let second = add_device(&world, 5, "b", &[]).exits(0);
    assert!(
        codes(&second).contains(&"SAFE_NONCE_TAKEN_HERE".to_owned()),
        "{}",
        second.said
    );
    assert_eq!((nonce(&world, "a"), nonce(&world, "b")), (U256::ZERO, U256::ONE));
    add_device(&world, 6, "c", &[]).exits(0);
    assert_eq!(nonce(&world, "c"), U256::from(2));
    let named = add_device(&world, 7, "d", &["--safe-nonce", "1"])
        .exits(6)
        .says("SAFE_NONCE_TAKEN_HERE");
    assert!(
        named.json["message"].as_str().unwrap().contains("/b`"),
        "{}",
        named.said
    );
    assert!(!world.folder().join("d").join("journal").exists());
    add_device(&world, 7, "d", &["--safe-nonce", "3"]).exits(0);
}

#[test]
fn bug_b13_a_nonce_that_is_used_up_or_far_off_is_refused_before_anything_is_prepared() {
    let world = with_safe();
    let safe = world.safe.unwrap();
    // Where Safes keep their nonce.
    let slot = alloy::primitives::B256::with_last_byte(5);
    let value = alloy::primitives::B256::with_last_byte(5);
    world
        .rpc()
        .call("anvil_setStorageAt", serde_json::json!([safe, slot, value]));
    for (asked, code) in [
        ("3", "SAFE_NONCE_TAKEN"),
        ("99", "SAFE_NONCE_FAR"),
        ("99999999999999999999", "SAFE_NONCE_FAR"),
    ] {
        prepare(&world, &["--safe-nonce", asked]).exits(6).says(code);
        let compose = world.file("new-compose.yml", crate::support::world::NEW_COMPOSE);
        let mut plan = world.countersign(BINARY);
        plan.args(["plan", "--json", "--cvm", CVM, "--safe-nonce", asked, "-c"]);
        Ran::of(plan.arg(compose)).exits(6).says(code);
        assert_eq!(world.cloud.tokens().len(), 0, "{asked}: nothing was prepared");
    }
    prepare(&world, &["--safe-nonce", "7"]).exits(0);
}

#[test]
fn bug_b13_a_batch_that_the_safe_cannot_make_is_refused_before_anything_is_prepared() {
    let world = with_safe();
    for release in &crate::support::safes::RELEASES {
        let library = serde_json::json!([release.call_only, "0x"]);
        world.rpc().call("anvil_setCode", library);
    }
    let device = alloy::primitives::B256::repeat_byte(5).to_string();
    prepare(&world, &["--add-device", &device])
        .exits(6)
        .says("SAFE_NO_BATCHER");
    assert_eq!(world.cloud.tokens().len(), 0, "nothing was prepared");
}

#[test]
fn bug_b13_an_upgrade_that_nobody_can_sign_or_agree_to_is_refused_before_anything_is_prepared() {
    let world = World::start();
    let compose = world.file("new-compose.yml", crate::support::world::NEW_COMPOSE);
    let cases: [(&[&str], i32, &str); 3] = [
        (&["--yes"], 6, "SIGNER_NEEDED"),
        (&["--signer", "env:OWNER_KEY"], 2, "USAGE_CONSENT"),
        (&["--signer", "env:SIGNER_4", "--yes"], 5, "SIGNER_NOT_OWNER"),
    ];
    for (more, exit, code) in cases {
        let mut upgrade = world.countersign(BINARY);
        upgrade
            .args(["upgrade", "--json", "--cvm", CVM, "-c"])
            .arg(&compose)
            .args(more);
        Ran::of(&mut upgrade).exits(exit).says(code);
        assert_eq!(world.cloud.tokens().len(), 0, "{more:?}: nothing was prepared");
    }
    let mut upgrade = world.countersign(BINARY);
    upgrade.args([
        "upgrade",
        "--json",
        "--yes",
        "--signer",
        "env:OWNER_KEY",
        "--cvm",
        CVM,
        "-c",
    ]);
    Ran::of(upgrade.arg(&compose)).exits(0);
}

#[test]
fn bug_b13_a_place_where_no_file_can_be_written_is_found_before_anything_is_prepared() {
    for name in ["proposal.json", "token", "prepare.raw"] {
        let world = World::start();
        std::fs::create_dir_all(world.folder().join("state").join(name)).unwrap();
        let ran = prepare(&world, &["--dir", "state"]);
        assert_eq!(ran.exit, 12, "{name}: {}", ran.said);
        assert_eq!(world.cloud.tokens().len(), 0, "{name}: nothing was prepared");
    }
}
