//! What a shell is offered while a line is typed, and that nothing of it acts on the shell.

use std::process::Command;

use serde_json::json;

use crate::harness::flow::{BINARY, Ran};
use crate::support::command::{run, shown};
use crate::support::world::CVM;
use crate::support::{World, WorldOptions};

/// What bash is offered for the last of these words.
fn offered(world: &World, words: &[&str]) -> Vec<String> {
    let mut command = world.countersign(BINARY);
    command
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_IFS", "\n")
        .arg("--")
        .args(words);
    let output = run(&mut command);
    assert!(output.status.success(), "{}", shown(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn ran(world: &World, words: &[&str]) -> Ran {
    Ran::of(world.countersign(BINARY).args(words))
}

#[test]
fn what_is_known_on_this_machine_is_offered() {
    let world = World::start();
    let before = offered(&world, &["countersign", "plan", "--cvm", ""]);
    assert!(!before.contains(&CVM.to_owned()), "{before:?}");
    ran(&world, &["cvm", "list", "--json"]).exits(0);
    world.cloud.forget_requests();
    assert_eq!(offered(&world, &["countersign", "plan", "--cvm", ""]), [CVM]);
    assert_eq!(offered(&world, &["countersign", "rollback", "pay"]), [CVM]);
    std::fs::create_dir_all(world.folder().join(".countersign/one-1234")).unwrap();
    let dirs = offered(&world, &["countersign", "status", "--dir", ".countersign/o"]);
    assert!(
        dirs.iter().any(|dir| dir.starts_with(".countersign/one-1234")),
        "{dirs:?}"
    );
    let keystores = world.folder().join(".foundry/keystores");
    std::fs::create_dir_all(&keystores).unwrap();
    std::fs::write(keystores.join("alice"), "{}").unwrap();
    let keys = offered(&world, &["countersign", "sign", "--signer", ""]);
    for key in ["browser", "ledger", "account:alice", "keystore:"] {
        assert!(keys.iter().any(|offer| offer == key), "{key}: {keys:?}");
    }
    assert_eq!(
        offered(&world, &["countersign", "explain", "HASH_MISM"]),
        ["HASH_MISMATCH"]
    );
    let options = offered(&world, &["countersign", "plan", "--str"]);
    assert_eq!(options, ["--strict"]);
    assert!(world.cloud.requests().is_empty(), "nobody is asked");
}

#[test]
fn a_name_that_a_shell_would_act_on_is_not_offered() {
    let world = World::with(WorldOptions::default());
    let uuid = world.cloud.cvm(CVM).uuid;
    for name in ["$(touch pwned)", "a;touch pwned", "a b", "-x", "a\u{202e}b"] {
        world.cloud.change_cvm(&uuid, |cvm| cvm.name = name.to_owned());
        ran(&world, &["cvm", "list", "--json"]).exits(0);
    }
    assert_eq!(offered(&world, &["countersign", "plan", "--cvm", ""]), [""; 0]);
}

#[test]
fn the_scripts_are_small_and_bash_completes_by_one() {
    let world = World::start();
    ran(&world, &["cvm", "list", "--json"]).exits(0);
    for shell in ["bash", "zsh", "fish"] {
        let made = ran(&world, &["completions", shell, "--json"]).exits(0);
        let script = made.json["data"]["script"].as_str().unwrap();
        assert!(script.len() < 4_000 && script.contains("COMPLETE"), "{script}");
        assert_eq!(made.json["data"]["shell"], json!(shell));
    }
    let folder = std::path::Path::new(BINARY).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    let script = "source <(countersign completions bash); COMP_WORDS=(countersign plan --cvm ''); COMP_CWORD=3; COMP_TYPE=9; \
                  _clap_complete_countersign countersign '' --cvm; printf '%s\\n' \"${COMPREPLY[@]}\"";
    bash.args(["--norc", "-c", script])
        .current_dir(world.folder())
        .env_clear()
        .env("PATH", path)
        .env("HOME", world.folder());
    let output = run(&mut bash);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("{CVM}\n"),
        "{}",
        shown(&output)
    );
}
