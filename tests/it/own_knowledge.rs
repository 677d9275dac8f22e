//! What a machine keeps on disk: out of git, and used before anything is prepared beside it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::flow::{BINARY, Ran};
use crate::support::World;
use crate::support::world::CVM;

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
