//! Files that are named in the place of another one, or that somebody's tools changed: refused before anything is asked, or said.
//! And environments as the guest reads them.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::harness::flow::{Flow, Ran};
use crate::support::World;
use crate::support::world::{CVM, NEW_COMPOSE};

fn private(world: &World, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = world.file(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The text of the remark with this code; empty where there is none.
fn remark(ran: &Ran, code: &str) -> String {
    let all = ran.json["warnings"].as_array().unwrap();
    let found = all.iter().find(|warning| warning["code"] == code);
    found.map_or_else(String::new, |warning| warning["text"].as_str().unwrap().to_owned())
}

fn run(flow: &Flow<'_>, words: &[&str]) -> Ran {
    Ran::of(&mut flow.command(words))
}

/// Files that are no Docker Compose text, and what is said of each.
const WRONG: [(&str, &str, &str); 9] = [
    (
        "app-compose.json",
        r#"{"manifest_version":2,"name":"","runner":"docker-compose","docker_compose_file":"services:\n  a:\n    image: a\n"}"#,
        "it is a manifest",
    ),
    (
        "prod.env",
        "DATABASE_URL=postgres://app:hunter2@db.test/app\nB=1\n",
        "NAME=VALUE lines",
    ),
    (
        "page.yml",
        "<!DOCTYPE html><html><head><title>404</title></head></html>\n",
        "a web page",
    ),
    ("absent.yml", "404: Not Found", "as a server answers"),
    (
        "merge.yml",
        "services:\n  a:\n<<<<<<< HEAD\n    image: a\n>>>>>>> b\n",
        "line 3 is the mark of a merge",
    ),
    (
        "tabs.yml",
        "services:\n\tapp:\n\t\timage: nginx:1.28\n",
        "line 2 is indented by a tab",
    ),
    (
        "cut.yml",
        "services:\n  app:\n    image: nginx\n    ports: [\"80:8",
        "as a file does that was cut",
    ),
    ("empty.yml", "services: {}\n", "there is no service in it"),
    (
        "digest.yml",
        "services:\n  a:\n    image: nginx@sha256:{{DIGEST}}\n",
        "cannot be pulled",
    ),
];

#[test]
fn bug_b6_no_other_file_takes_the_place_of_the_compose_text_in_any_command() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json");
    let before = world.cloud.requests().len();
    for (name, text, words) in WRONG {
        let file = world.file(name, text);
        let file = file.to_str().unwrap();
        for command in [
            vec!["plan", "--json", "--cvm", CVM, "-c", file],
            vec!["prepare", "--json", "--cvm", CVM, "-c", file],
            vec![
                "upgrade",
                "--json",
                "--cvm",
                CVM,
                "--yes",
                "--signer",
                "env:OWNER_KEY",
                "-c",
                file,
            ],
            vec!["review", "--json", "-c", file, proposal.to_str().unwrap()],
            vec!["cvm", "docker-compose", file, "--json", "--yes", "--cvm", CVM],
            vec!["cvm", "patch", "--compose", file, "--json", "--yes", "--cvm", CVM],
        ] {
            let refused = run(&flow, &command).exits(3).says("INPUT_COMPOSE_TEXT");
            assert!(
                refused.json["message"].as_str().unwrap().contains(words),
                "{command:?}: {}",
                refused.said
            );
            assert!(!refused.said.contains("hunter2"), "{}", refused.said);
        }
    }
    assert_eq!(world.cloud.requests().len(), before, "nothing was asked");
}

#[test]
fn bug_b17_where_only_line_ends_differ_that_is_said_and_nobody_is_looked_for() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json");
    let review = |file: &PathBuf| {
        let words = [
            "review",
            "--json",
            "--offline",
            "-c",
            file.to_str().unwrap(),
            proposal.to_str().unwrap(),
        ];
        run(&flow, &words)
    };
    let checkout = world.file("crlf.yml", &NEW_COMPOSE.replace('\n', "\r\n"));
    let said = review(&checkout).exits(5).says("LINE_ENDS_DIFFER");
    assert!(
        said.json["hint"].as_str().unwrap().contains("core.autocrlf"),
        "{}",
        said.said
    );
    assert!(!said.said.contains("who changed what"), "{}", said.said);
    let other = world.file("other.yml", &NEW_COMPOSE.replace("1.28", "1.29").replace('\n', "\r\n"));
    review(&other).exits(5).says("HASH_MISMATCH");
}

#[test]
fn bug_b19_a_script_with_line_ends_of_windows_is_a_remark() {
    let world = World::start();
    let flow = Flow::new(&world);
    let script = |text: &str| {
        let file = world.file("pre-launch.sh", text);
        flow.with("plan", &["--pre-launch-script", file.to_str().unwrap()])
            .exits(0)
    };
    let said = script("#!/bin/bash\r\nset -e\r\necho hi\r\n");
    assert!(remark(&said, "SCRIPT_LINE_ENDS").contains("CRLF"), "{}", said.said);
    let said = script("#!/bin/bash\nset -e\necho hi\n");
    assert!(remark(&said, "SCRIPT_LINE_ENDS").is_empty(), "{}", said.said);
}

#[test]
fn bug_b26_a_file_without_any_variable_takes_no_environment_away() {
    let world = World::start();
    let flow = Flow::new(&world);
    for text in ["", "# nothing yet\n\n"] {
        let file = private(&world, "empty.env", text);
        let refused = flow
            .with("prepare", &["-e", file.to_str().unwrap()])
            .exits(3)
            .says("INPUT_ENV");
        assert!(
            refused.json["message"].as_str().unwrap().contains("sets no variable"),
            "{}",
            refused.said
        );
    }
    assert!(world.cloud.requests_to("PATCH", "").is_empty());
}

#[test]
fn bug_b4_empty_values_are_a_remark_in_an_upgrade_and_need_a_name_where_they_would_be_sent_at_once() {
    let world = World::start();
    let flow = Flow::new(&world);
    let file = |name: &str, text: &str| private(&world, name, text).to_str().unwrap().to_owned();
    let more = file("more.env", "DATABASE_URL=\nLOG_LEVEL=\"\"\nNEW=1\n");
    let planned = flow.with("plan", &["-e", &more]).exits(0);
    let said = remark(&planned, "ENV_VALUES_BLANK");
    assert!(
        said.contains("DATABASE_URL, LOG_LEVEL") && !said.contains("NEW"),
        "{}",
        planned.said
    );

    let blank = file("blank.env", "DATABASE_URL=\nLOG_LEVEL=b\n");
    for words in [["upgrade", "--yes"].as_slice(), &["cvm", "envs", "--yes"]] {
        let order = |more: &[&str]| run(&flow, &[words, &["--json", "--cvm", CVM, "-e", &blank], more].concat());
        let refused = order(&[]).exits(6).says("ENV_VALUES_BLANK");
        assert!(
            refused.json["next"]
                .as_str()
                .unwrap()
                .contains("--accept ENV_VALUES_BLANK=DATABASE_URL"),
            "{}",
            refused.said
        );
        order(&["--accept", "ENV_VALUES_BLANK=LOG_LEVEL"]).exits(6);
        assert!(world.cloud.requests_to("PATCH", "").is_empty(), "{words:?}");
    }
    let agreed = [
        "upgrade",
        "--yes",
        "--json",
        "--cvm",
        CVM,
        "-e",
        &blank,
        "--accept",
        "ENV_VALUES_BLANK=DATABASE_URL",
    ];
    run(&flow, &agreed).exits(0).says("ENV_VALUES_ONLY");
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "");
}

#[test]
fn bug_b5_names_that_nobody_supplies_and_names_that_nothing_refers_to_are_remarks() {
    let world = World::start();
    let compose = "services:\n  api:\n    image: registry.test/acme/api:1\n    command: [\"${GREETING:-hello}\"]\n    environment:\n      \
                   - DATABASE_URL=${DATABASE_URL}\n      - API_TOKEN=${API_TOKEN:?needed}\n      - STRIPE_SECRET\n      - LOG_LEVEL\n";
    let flow = Flow {
        compose: world.file("env.yml", compose),
        ..Flow::new(&world)
    };
    let plan = |text: &str| {
        let file = private(&world, "some.env", text);
        flow.with("plan", &["-e", file.to_str().unwrap()]).exits(0)
    };
    let partial = plan("DATABASE_URL=x\nLOG_LEVEL=b\n");
    let said = remark(&partial, "ENV_NAMES_UNSUPPLIED");
    assert!(
        said.contains("API_TOKEN (Compose does not start without it), STRIPE_SECRET"),
        "{}",
        partial.said
    );
    assert!(said.contains("defaults stand in for GREETING (`hello`)"), "{said}");
    assert!(remark(&partial, "ENV_NAMES_UNUSED").is_empty(), "{}", partial.said);

    let typo = plan("DATABASE_URL=x\nLOG_LEVEL=b\nAPI_TOKN=t\nSTRIPE_SECRET=s\n");
    assert!(
        remark(&typo, "ENV_NAMES_UNSUPPLIED").contains("API_TOKEN"),
        "{}",
        typo.said
    );
    assert!(
        remark(&typo, "ENV_NAMES_UNUSED").ends_with(": API_TOKN"),
        "{}",
        typo.said
    );

    let full = plan("DATABASE_URL=x\nLOG_LEVEL=b\nAPI_TOKEN=t\nSTRIPE_SECRET=s\n");
    for code in ["ENV_NAMES_UNSUPPLIED", "ENV_NAMES_UNUSED"] {
        assert!(remark(&full, code).is_empty(), "{}", full.said);
    }
}

#[test]
fn bug_b8_fields_of_the_project_file_that_are_not_taken_are_named_with_their_options() {
    let world = World::start();
    let flow = Flow::new(&world);
    let project = format!(
        "name = \"{CVM}\"\ncompose_file = \"new-compose.yml\"\nenv_file = \".env\"\npublic_logs = false\npublic_sysinfo = false\n"
    );
    let folder = world.folder();
    std::fs::write(folder.join("phala.toml"), project).unwrap();
    let at = |more: &[&str]| {
        let mut command = flow.command(&[&["plan", "--json"], more].concat());
        Ran::of(command.current_dir(folder)).exits(0)
    };
    let said = at(&[]).said;
    for option in ["--env-file .env", "--public-logs false", "--public-sysinfo false"] {
        assert!(said.contains(option), "{option}: {said}");
    }
    let typed = at(&["--public-logs", "false"]).said;
    assert!(
        !typed.contains("say --public-logs") && typed.contains("say --public-sysinfo false"),
        "{typed}"
    );
}

#[test]
fn bug_b9_bug_b10_values_that_the_guest_would_read_differently_are_refused_before_anything_is_asked() {
    let world = World::start();
    let flow = Flow::new(&world);
    for (text, words) in [
        ("BASE=https://x.test\nURL=${BASE}/v1\n", "line 2: a `$` stands here"),
        ("PASSWORD=\"abc$def\"\n", "line 1: a `$` stands here"),
        ("PASSWORD=a$$b\n", "line 1: a `$` stands here"),
        ("API_TOKEN=abc\\\nNEXT_VAR=important\n", "`NEXT_VAR` would be lost"),
    ] {
        let file = private(&world, "odd.env", text);
        let refused = flow
            .with("plan", &["-e", file.to_str().unwrap()])
            .exits(3)
            .says("INPUT_ENV");
        assert!(
            refused.json["message"].as_str().unwrap().contains(words),
            "{}",
            refused.said
        );
    }
    assert!(world.cloud.requests().is_empty());
    let file = private(&world, "plain.env", "PASSWORD='abc$def'\nPRICE=5$\nTWO=a\\\\\\\\\n");
    flow.with("plan", &["-e", file.to_str().unwrap()]).exits(0);
}

#[test]
fn bug_b14_the_bytes_of_a_file_as_they_stand_are_one_of_its_hashes() {
    let world = World::start();
    let flow = Flow::new(&world);
    let manifest = "{\n    \"manifest_version\": 2,\n    \"runner\": \"docker-compose\",\n    \"docker_compose_file\": \"services: {}\"\n}";
    let file = world.file("indented.json", manifest);
    let known = hex::encode(Sha256::digest(manifest.as_bytes()));
    let known = format!("0x{known}");
    let words = ["hash", "--json", file.to_str().unwrap(), "--known", &known];
    let found = run(&flow, &words).exits(0);
    assert_eq!(found.json["data"]["form"], "as-is", "{}", found.said);
    assert_eq!(found.json["data"]["hashes"]["as-is"], known);
    let only = run(&flow, &["hash", "--json", file.to_str().unwrap(), "--form", "as-is"]).exits(0);
    assert_eq!(
        only.json["data"]["hashes"].as_object().unwrap().len(),
        1,
        "{}",
        only.said
    );
    let other = world.file("other.json", "{\"a\":1}");
    let said = run(&flow, &["hash", "--json", other.to_str().unwrap()]).exits(0);
    assert!(
        said.json["hint"]
            .as_str()
            .unwrap()
            .contains("does not look like a manifest"),
        "{}",
        said.said
    );
}
