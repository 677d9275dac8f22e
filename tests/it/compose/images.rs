//! What runs, where it is shown and where it is asked for: images that a variable chooses, images without a digest, and what no
//! list of images names.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::flow::{Flow, Ran};
use crate::support::World;
use crate::support::world::CVM;

const DIGEST: &str = "9f2c6a0b1e4d7f3a8c5b2e1d0f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a";

/// A flow with this compose text.
fn flow<'w>(world: &'w World, compose: &str) -> Flow<'w> {
    Flow {
        compose: world.file("images.yml", compose),
        hash: world.hash_with(compose),
        ..Flow::new(world)
    }
}

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

#[test]
fn bug_b1_a_value_that_chooses_an_image_is_sent_by_nobody_who_did_not_agree_to_it() {
    let world = World::start();
    let compose = format!("services:\n  api:\n    image: ${{API_IMAGE:-registry.test/acme/api@sha256:{DIGEST}}}\n");
    let flow = flow(&world, &compose);
    let file = |value: &str| {
        let text = format!("DATABASE_URL=x\nLOG_LEVEL=b\nAPI_IMAGE={value}\n");
        private(&world, &format!("{value}.env").replace('/', "-"), &text)
    };
    let honest = file("honest");
    let begun = flow.with("upgrade", &["-e", honest.to_str().unwrap()]).exits(0);
    let said = remark(&begun, "ENV_CHOOSES_IMAGE");
    assert!(
        said.contains("API_IMAGE, which whoever seals the environment sets"),
        "{}",
        begun.said
    );
    assert!(remark(&begun, "IMAGE_NOT_PINNED").is_empty(), "{}", begun.said);

    let evil = file("registry.test/mallory/miner");
    let sent = world.cloud.requests_to("PATCH", "").len();
    for words in [["upgrade", "--yes"].as_slice(), &["cvm", "envs", "--yes", "--wait"]] {
        let run = |more: &[&str]| {
            let mut all = words.to_vec();
            all.extend(["--json", "--cvm", CVM, "-e", evil.to_str().unwrap()]);
            all.extend(more);
            Ran::of(&mut flow.command(&all))
        };
        let refused = run(&[]).exits(6).says("ENV_CHOOSES_IMAGE");
        let next = refused.json["next"].as_str().unwrap();
        assert!(
            next.contains("--accept ENV_CHOOSES_IMAGE=API_IMAGE"),
            "{}",
            refused.said
        );
        run(&["--accept", "ENV_CHOOSES_IMAGE=OTHER"])
            .exits(6)
            .says("ENV_CHOOSES_IMAGE");
        assert_eq!(world.cloud.requests_to("PATCH", "").len(), sent, "{words:?}");
    }
    sealed_elsewhere(&world, &flow);
    let mut agreed = flow.command(&["upgrade", "--yes", "--json", "--cvm", CVM, "-e"]);
    agreed.arg(&evil).args(["--accept", "ENV_CHOOSES_IMAGE=API_IMAGE"]);
    Ran::of(&mut agreed).exits(0).says("ENV_VALUES_ONLY");
}

/// Nor is an environment that was sealed elsewhere, whatever is in it, and whatever names are said to be.
fn sealed_elsewhere(world: &World, flow: &Flow<'_>) {
    world.file("sealed.hex", "abcdef\n");
    let sealed = ["--encrypted-env", "sealed.hex"];
    let hash = format!("0x{}", "ab".repeat(32));
    let before = changing(world);
    for how in [
        ["envs", "sealed.hex"].as_slice(),
        &["envs", "sealed.hex", "--allowed-env", "DATABASE_URL"],
        &["patch", sealed[0], sealed[1]],
        &["replicate", sealed[0], sealed[1]],
        &[
            "replicate",
            "--prepare-only",
            "--token-file",
            "replica.token",
            sealed[0],
            sealed[1],
        ],
        &["compose-file", "--commit", &hash, sealed[0], sealed[1]],
    ] {
        let words = [&["cvm"], how, &["--json", "--yes", "--cvm", CVM]].concat();
        let mut sealed = flow.command(&words);
        Ran::of(sealed.current_dir(world.folder()))
            .exits(6)
            .says("ENV_CHOOSES_IMAGE");
        assert_eq!(changing(world), before, "{how:?}");
    }
    let (app, text) = (world.app.to_string(), flow.compose.to_str().unwrap());
    let words = [
        "cvm", "create", "--name", "other", "-c", text, "--app-id", &app, "--json", "--yes",
    ];
    let mut made = flow.command(&[&words[..], &sealed, &["--allowed-env", "API_IMAGE"]].concat());
    Ran::of(made.current_dir(world.folder()))
        .exits(6)
        .says("ENV_CHOOSES_IMAGE");
    assert_eq!(changing(world), before, "a new CVM of an app that is there");
}

/// How many requests could change something.
fn changing(world: &World) -> usize {
    let methods = ["PATCH", "POST", "PUT", "DELETE"];
    methods
        .iter()
        .map(|method| world.cloud.requests_to(method, "").len())
        .sum()
}

#[test]
fn bug_b1_who_requires_digests_sends_nothing_else_by_any_command() {
    let world = World::start();
    let compose = "services:\n  api:\n    image: registry.test/acme/api:1\n";
    let flow = flow(&world, compose);
    let manifest = serde_json::json!({
        "manifest_version": 2, "name": "", "runner": "docker-compose", "docker_compose_file": compose, "allowed_envs": [],
    });
    world.file("manifest.json", &manifest.to_string());
    let hash = format!("0x{}", "ab".repeat(32));
    let app = format!("0x{}", "cd".repeat(20));
    let cvm = ["--cvm", CVM];
    for how in [
        ["create", "--name", "another-app", "-c", "images.yml"].as_slice(),
        &["create", "--commit", "--app-id", &app, "--compose-hash", &hash],
        &["patch", "-c", "images.yml", cvm[0], cvm[1]],
        &["docker-compose", "images.yml", cvm[0], cvm[1]],
        &["compose-file", "manifest.json", cvm[0], cvm[1]],
        &["compose-file", "--commit", &hash, cvm[0], cvm[1]],
        &["patch", "--compose-hash", &hash, cvm[0], cvm[1]],
        &[
            "replicate",
            "--commit",
            "--token-file",
            "token",
            "--compose-hash",
            &hash,
            cvm[0],
            cvm[1],
        ],
    ] {
        let words = [&["cvm"], how, &["--json", "--yes", "--require-digests"]].concat();
        let mut command = flow.command(&words);
        Ran::of(command.current_dir(world.folder()))
            .exits(6)
            .says("DIGEST_REQUIRED");
        assert_eq!(changing(&world), 0, "{how:?}");
    }
    // What was prepared by somebody who did not insist goes no step on with somebody who does.
    flow.step("prepare").exits(0);
    for step in ["prepare", "upgrade", "commit"] {
        flow.with(step, &["--require-digests"]).exits(6).says("DIGEST_REQUIRED");
    }
    flow.step("upgrade").exits(0);
    // Values alone as well: what they go to has no digest.
    let values = private(&world, "values.env", "DATABASE_URL=x\nLOG_LEVEL=c\n");
    let before = changing(&world);
    let mut sent = flow.command(&["upgrade", "--yes", "--json", "--require-digests", "--cvm", CVM, "-e"]);
    Ran::of(sent.arg(&values)).exits(6).says("DIGEST_REQUIRED");
    assert_eq!(changing(&world), before);
}

#[test]
fn bug_b6_a_manifest_whose_text_compose_does_not_run_is_refused_before_any_request() {
    let world = World::start();
    let flow = Flow::new(&world);
    let manifest = serde_json::json!({
        "manifest_version": 2, "name": "", "runner": "docker-compose", "docker_compose_file": "404: Not Found", "allowed_envs": [],
    });
    world.file("manifest.json", &manifest.to_string());
    let mut command = flow.command(&["cvm", "compose-file", "manifest.json", "--json", "--yes", "--cvm", CVM]);
    Ran::of(command.current_dir(world.folder()))
        .exits(3)
        .says("INPUT_COMPOSE_TEXT");
    assert!(world.cloud.requests_to("", "").is_empty());
}

#[test]
fn bug_b1_bug_b7_bug_b20_sec_h5_the_plan_and_the_page_of_a_signer_name_what_no_digest_fixes() {
    let world = World::start();
    let compose = format!(
        "include: [oci://registry.test/other/compose]\nservices:\n  api:\n    image: registry.test/acme/api@sha256:${{DIGEST}}\n  \
         mcp:\n    build:\n      dockerfile_inline: |\n        FROM python:3.12-slim\n  web:\n    image: nginx@sha256:{DIGEST}\n    \
         volumes: [/var/run/docker.sock:/s]\n"
    );
    let flow = flow(&world, &compose);
    let planned = flow.step("plan").exits(0);
    let chosen = remark(&planned, "ENV_CHOOSES_IMAGE");
    assert!(
        chosen.contains("by DIGEST, which the environment cannot set"),
        "{}",
        planned.said
    );
    let besides = remark(&planned, "IMAGES_NOT_ALL_KNOWN");
    for piece in [
        "oci://registry.test/other/compose",
        "`mcp` is built on the guest",
        "python:3.12-slim",
        "docker.sock",
    ] {
        assert!(besides.contains(piece), "{piece}: {besides}");
    }
    assert!(
        remark(&planned, "IMAGE_NOT_PINNED").contains("python:3.12-slim"),
        "{}",
        planned.said
    );
    flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json");
    let reviewed = Ran::of(&mut flow.command(&["review", "--offline", "--json", proposal.to_str().unwrap()]));
    let images = reviewed.json["data"]["images"].as_array().unwrap();
    let of = |name: &str| {
        images
            .iter()
            .find(|image| image["name"].as_str().unwrap().starts_with(name))
            .unwrap()
    };
    assert_eq!(of("nginx@")["digest"], format!("sha256:{DIGEST}"));
    assert_eq!(of("registry.test/acme/api")["digest"], Value::Null);
    assert_eq!(of("registry.test/acme/api")["chosen_by"][0]["variable"], "DIGEST");
    assert_eq!(of("python")["role"], "base");
    let ways: Vec<&str> = reviewed.json["data"]["unlisted"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["way"].as_str().unwrap())
        .collect();
    assert_eq!(ways, ["include", "build", "engine"]);
    page_names(
        &flow,
        &[
            "CHOSEN BY A VARIABLE: the hash does not fix what runs",
            "NO DIGEST: the hash does not fix what runs",
            "NOT ALL THAT RUNS IS AN IMAGE OF THIS LIST",
        ],
    );
}

/// The page of a signer has each of these.
fn page_names(flow: &Flow<'_>, lines: &[&str]) {
    let proposal = flow.dir.join("proposal.json");
    let output = flow
        .command(&["review", "--offline", proposal.to_str().unwrap()])
        .output()
        .unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for line in lines {
        assert!(page.contains(line), "{line}: {page}");
    }
}

#[test]
fn bug_b1_who_requires_digests_prepares_and_reviews_nothing_else_without_agreeing_to_each() {
    let world = World::start();
    let compose = "services:\n  api:\n    image: registry.test/acme/api:1\n  mcp:\n    build: .\n";
    let flow = flow(&world, compose);
    let refused = flow
        .with("prepare", &["--require-digests"])
        .exits(6)
        .says("DIGEST_REQUIRED");
    let next = refused.json["next"].as_str().unwrap();
    assert!(
        next.contains("--accept DIGEST_REQUIRED=registry.test/acme/api:1"),
        "{}",
        refused.said
    );
    assert!(world.cloud.requests_to("PATCH", "").is_empty());
    let one = [
        "--require-digests",
        "--accept",
        "DIGEST_REQUIRED=registry.test/acme/api:1",
    ];
    let still = flow.with("prepare", &one).exits(6).says("DIGEST_REQUIRED");
    assert!(
        still.json["message"]
            .as_str()
            .unwrap()
            .contains("`mcp` is built on the guest"),
        "{}",
        still.said
    );
    let both = [&one[..], &["--accept", "DIGEST_REQUIRED=way:build"]].concat();
    flow.with("prepare", &both).exits(0);
    // Whoever gets the file agreed to nothing yet.
    let proposal = world.folder().join("sent.json");
    std::fs::copy(flow.dir.join("proposal.json"), &proposal).unwrap();
    let review = |more: &[&str]| {
        let mut all = vec!["review", "--json", proposal.to_str().unwrap()];
        all.extend(more);
        Ran::of(&mut flow.command(&all))
    };
    review(&["--require-digests"]).exits(6).says("DIGEST_REQUIRED");
    let agreed = review(&both);
    assert_eq!(agreed.exit, 0, "{}", agreed.said);

    // Whole digests need no agreement.
    let pinned = format!("services:\n  api:\n    image: registry.test/acme/api:1@sha256:{DIGEST}\n");
    let world = World::start();
    let flow = super::images::flow(&world, &pinned);
    flow.with("prepare", &["--require-digests"]).exits(0);
}
