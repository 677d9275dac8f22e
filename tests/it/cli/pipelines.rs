//! What pipelines decide by: exit codes that can be excused, outputs of a step, pages as Markdown, drift, tokens that expire,
//! and whether an app serves. Nothing of it reads prose.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};

use alloy::primitives::B256;
use serde_json::{Value, json};

use super::reached::of_a_safe;
use crate::harness::flow::{BINARY, Flow, Ran};
use crate::safe::upgrade::signer;
use crate::support::command::{json as object, run, shown};
use crate::support::world::{CVM, NEW_COMPOSE, WorldOptions};
use crate::support::{ACCOUNTS, World, countersign};

/// The files of a runner of GitHub Actions.
pub struct Runner {
    /// Outputs of the step.
    pub outputs: PathBuf,
    /// What the summary shows.
    pub summary: PathBuf,
}

impl Runner {
    /// Empty files below the world's folder.
    pub fn new(world: &World, name: &str) -> Self {
        Self {
            outputs: world.file(&format!("{name}.output"), ""),
            summary: world.file(&format!("{name}.summary"), ""),
        }
    }
    /// The variables that name them.
    pub fn variables(&self) -> [(&'static str, &std::path::Path); 2] {
        [("GITHUB_OUTPUT", &self.outputs), ("GITHUB_STEP_SUMMARY", &self.summary)]
    }
    /// Names and values, as a runner reads them; the last one of a name counts.
    pub fn read(&self) -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(&self.outputs).unwrap();
        let (mut read, mut lines) = (BTreeMap::new(), text.lines());
        while let Some(line) = lines.next() {
            let (name, delimiter) = line.split_once("<<").expect("a name and a delimiter");
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            read.insert(name.to_owned(), value.join("\n"));
        }
        read
    }
}

/// What a runner would take for commands in what a program printed.
pub fn commands(output: &Output) -> Vec<String> {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    let lines = both.iter().flat_map(|text| text.split(['\n', '\r']));
    let is = |line: &&str| line.trim().starts_with("::") || line.contains("##[");
    lines.filter(is).map(str::to_owned).collect()
}

#[test]
fn what_is_waited_for_is_green_where_that_is_asked_and_says_who_is_missing() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    let prepared = flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json").display().to_string();
    assert_eq!(prepared.fact("proposal"), &json!(proposal), "{}", prepared.said);
    assert_eq!(
        (prepared.fact("route"), prepared.fact("evidence")),
        (&json!("safe"), &Value::Null)
    );
    assert_eq!(prepared.fact("images_after"), &json!(["nginx:1.28"]));
    assert_ne!(prepared.fact("images_before"), prepared.fact("images_after"));
    let owners: Vec<String> = ACCOUNTS[..3]
        .iter()
        .map(|one| one.address.to_string().to_lowercase())
        .collect();
    let waits = |ran: &Ran| -> Vec<String> {
        let list = ran.fact("waiting_for").as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one.as_str().unwrap().to_lowercase()).collect()
    };
    let mut missing = waits(&prepared);
    missing.sort();
    let mut all = owners.clone();
    all.sort();
    assert_eq!(missing, all, "{}", prepared.said);
    let dir = flow.dir.to_str().unwrap();
    Ran::of(&mut flow.command(&["sign", "--json", "--dir", dir, "--signer", &signer(0), "--yes"])).exits(0);
    let plainly = flow
        .with("wait", &["--timeout", "1s"])
        .exits(8)
        .says("PENDING_SIGNATURES");
    assert_eq!(waits(&plainly).len(), 2, "{}", plainly.said);
    assert!(!waits(&plainly).contains(&owners[0]), "{}", plainly.said);
    let excused = flow.with("wait", &["--timeout", "1s", "--pending-ok"]);
    assert_eq!(
        (excused.exit, &excused.json["exit"]),
        (0, &json!(0)),
        "{}",
        excused.said
    );
    assert_eq!(
        (&excused.json["ok"], &excused.json["code"]),
        (&json!(false), &json!("PENDING_SIGNATURES"))
    );
    // What is wrong stays wrong.
    let wrong = Ran::of(&mut flow.command(&["wait", "--json", "--pending-ok", "--dir", "nowhere"]));
    assert_ne!(wrong.exit, 0, "{}", wrong.said);
}

/// A text that runs, in which somebody speaks to runners and to readers of Markdown.
const EVIL: &str = "services:\n  web:\n    image: nginx:1.27\n    command: |\n      ::add-mask::x ```\n      \
                    ##[set-output name=compose_hash;]0x00\n      ::error::owned\n      <img src=x>\n      \
                    code<<E\n";

fn runs_evil(world: &World) -> PathBuf {
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest["docker_compose_file"] = Value::from(EVIL);
        cvm.compose_hash = crate::support::cloud::compose_hash(&cvm.manifest);
    });
    world.allow(world.cloud.cvm(CVM).compose_hash);
    world.file("evil.yml", &EVIL.replace("1.27", "1.28"))
}

#[test]
fn a_runner_gets_outputs_a_summary_and_marks_and_no_command_of_a_stranger() {
    let world = World::start();
    let compose = runs_evil(&world);
    let flow = Flow::new(&world);
    let words = ["plan", "--cvm", CVM, "-c", compose.to_str().unwrap(), "--github"];
    for as_json in [false, true] {
        let runner = Runner::new(&world, if as_json { "json" } else { "text" });
        let mut command = flow.command(&words);
        command.envs(runner.variables()).arg("-vv");
        if as_json {
            command.arg("--json");
        }
        let output = run(&mut command);
        let said = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("add-mask"), "it was shown: {said}");
        for line in commands(&output) {
            let mark = ["::warning file=", "::notice file=", "::error file="];
            assert!(mark.iter().any(|mark| line.starts_with(mark)), "{line}\n{said}");
            assert!(line.contains("title=countersign "), "{line}");
        }
        assert!(said.contains("\n::warning file="), "{said}");
        if as_json {
            let patch = &object(&output)["data"]["code"]["patch"];
            assert!(
                patch.to_string().contains("##[set-output"),
                "JSON keeps the value: {patch}"
            );
        }
        let read = runner.read();
        let value = |name: &str| read.get(name).map(String::as_str);
        let hash = value("compose_hash").unwrap();
        assert!(hash.parse::<B256>().is_ok_and(|hash| hash != B256::ZERO), "{read:?}");
        assert_eq!(
            (value("code"), value("exit"), value("ok")),
            (Some("OK"), Some("0"), Some("true"))
        );
        assert_eq!(
            (value("images_after"), value("route"), value("live")),
            (Some("nginx:1.28"), Some("eoa"), Some("none"))
        );
        assert!(value("message").is_none(), "prose is no output: {read:?}");
        let summary = std::fs::read_to_string(&runner.summary).unwrap();
        assert!(summary.starts_with("# ") && summary.contains("````diff\n"), "{summary}");
    }
}

#[test]
fn without_a_runner_nothing_is_begun() {
    let world = World::start();
    let flow = Flow::new(&world);
    let before = world.cloud.request_count();
    let ran = flow.with("prepare", &["--github"]).exits(2).says("USAGE_NO_RUNNER");
    assert!(!ran.json["next"].as_str().unwrap().contains("--github"), "{}", ran.said);
    assert_eq!(world.cloud.request_count(), before);
    // Outputs that nobody can write are no success.
    let mut status = flow.command(&["explain", "OK", "--github"]);
    let output = run(status.env("GITHUB_OUTPUT", "missing/output"));
    assert_eq!(output.status.code(), Some(12), "{}", shown(&output));
}

#[test]
fn plan_review_and_status_are_one_page_of_markdown_each() {
    let world = of_a_safe();
    let flow = Flow::new(&world);
    let compose = flow.compose.to_str().unwrap();
    flow.step("prepare").exits(0);
    let (dir, proposal) = (flow.dir.to_str().unwrap(), flow.dir.join("proposal.json"));
    for words in [
        &["plan", "--cvm", CVM, "-c", compose, "--accept", "OWN_UPDATE_PENDING"][..],
        &["review", proposal.to_str().unwrap(), "-c", compose],
        &["status", "--dir", dir],
    ] {
        let mut command = flow.command(words);
        let output = run(command.args(["--format", "markdown"]));
        let page = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(
            page.starts_with("# ") && page.contains("\n| fact | value |\n| --- | --- |\n"),
            "{}",
            shown(&output)
        );
        let mut command = flow.command(words);
        let told = object(&run(command.args(["--format", "markdown", "--json"])));
        assert_eq!(told["page"].as_str().unwrap().lines().next(), page.lines().next());
        let plain = object(&run(flow.command(words).arg("--json")));
        assert_eq!(plain.get("page"), None);
    }
}

#[test]
fn every_file_that_others_read_fits_its_schema() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    let status = flow.step("status").exits(0);
    let compose = flow.compose.to_str().unwrap();
    let evidence = flow.dir.join("evidence.json").display().to_string();
    let drift = drift(&flow, compose, &["--evidence", &evidence]).exits(0);
    let verified = Ran::of(&mut flow.command(&["verify", &evidence, "--json"])).exits(0);
    let of = |name: &str| object(&run(world.countersign(BINARY).args(["schema", name, "--json"])))["data"].clone();
    for (name, value) in [
        ("result", status.json.clone()),
        ("status", status.json["data"].clone()),
        ("drift", drift.json["data"].clone()),
        ("verify", verified.json["data"].clone()),
        ("proposal", flow.json_file("proposal.json")),
        ("evidence", flow.json_file("evidence.json")),
    ] {
        let schema = of(name);
        assert!(
            schema["$id"].as_str().unwrap().starts_with("urn:countersign:schema:"),
            "{schema}"
        );
        assert_eq!(misfit(&schema, &schema, &value, name), None);
        let mut other = value;
        other["schema"] = json!(7);
        other["said"] = json!("x");
        if ["result", "proposal", "evidence"].contains(&name) {
            assert!(
                misfit(&schema, &schema, &other, name).is_some(),
                "{name} takes anything"
            );
        }
    }
    let signature = of("signature");
    let required = signature["required"].as_array().unwrap();
    assert!(required.contains(&json!("safeTxHash")), "{signature}");
}

/// Where a value does not fit a schema of the kind that is published here.
fn misfit(root: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return misfit(root, root.pointer(reference.trim_start_matches('#'))?, value, place);
    }
    let any = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    if let Some(any) = any {
        let fits = any.iter().any(|one| misfit(root, one, value, place).is_none());
        return (!fits).then(|| format!("{place}: none of the forms: {value}"));
    }
    if schema.get("const").is_some_and(|one| one != value) {
        return Some(format!("{place}: {value}"));
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => true,
    };
    if !types.is_empty() && !types.iter().any(is) {
        return Some(format!("{place}: {types:?}, not {value}"));
    }
    let required = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    if let (Some(missing), true) = (
        required.clone().find(|name| value.get(name).is_none()),
        value.is_object(),
    ) {
        return Some(format!("{place}: `{missing}` is missing"));
    }
    let members = value.as_object().into_iter().flatten();
    members
        .filter_map(|(name, inner)| match schema["properties"].get(name) {
            Some(known) => misfit(root, known, inner, &format!("{place}.{name}")),
            None if schema["additionalProperties"] == false => Some(format!("{place}: `{name}` is not known")),
            None => None,
        })
        .chain(value.as_array().into_iter().flatten().filter_map(|inner| {
            let items = schema.get("items")?;
            misfit(root, items, inner, &format!("{place}[]"))
        }))
        .next()
}

/// `plan --drift` for this compose file.
fn drift(flow: &Flow<'_>, compose: &str, more: &[&str]) -> Ran {
    let words = ["plan", "--json", "--drift", "--cvm", CVM, "-c", compose];
    Ran::of(flow.command(&words).args(more))
}

/// What the comparison came to that begins so.
fn part(ran: &Ran, what: &str) -> String {
    let parts = ran.json["data"]["drift"].as_array().unwrap();
    let found = parts
        .iter()
        .find(|part| part["what"].as_str().unwrap().starts_with(what));
    found.unwrap()["outcome"].as_str().unwrap().to_owned()
}

/// Releases the usual upgrade, with its evidence in the usual place.
fn release(flow: &Flow<'_>) {
    let compose = flow.compose.to_str().unwrap();
    let words = [
        "upgrade",
        "--json",
        "--cvm",
        CVM,
        "-c",
        compose,
        "--dir",
        ".countersign/first",
    ];
    let signed = ["--signer", "env:OWNER_KEY", "--yes"];
    Ran::of(flow.command(&words).args(signed)).exits(0);
}

#[test]
fn what_drifted_from_the_files_or_from_the_record_is_told_part_by_part() {
    let world = World::start();
    let flow = Flow::new(&world);
    let old = world.file("old.yml", &NEW_COMPOSE.replace("1.28", "1.27"));
    let new = flow.compose.to_str().unwrap();
    // Before anything was released: the files differ from what runs, and nothing is on record.
    let before = drift(&flow, new, &[]).exits(6).says("DRIFT");
    assert_eq!(part(&before, "code, by the files"), "differs");
    assert_eq!(part(&before, "code, by the last release"), "not-checked");
    release(&flow);
    let same = drift(&flow, new, &[]).exits(0).says("OK");
    for what in [
        "code, by the files",
        "code, by the last release",
        "device",
        "owner",
        "allowed hashes",
        "names of the environment, by the last",
    ] {
        assert_eq!(part(&same, what), "same", "{what}: {}", same.said);
    }
    assert_eq!(part(&same, "names of the environment, by the files"), "not-checked");
    let files = drift(&flow, old.to_str().unwrap(), &[]).exits(6).says("DRIFT");
    assert_eq!(part(&files, "code, by the files"), "differs");
    assert_eq!(part(&files, "code, by the last release"), "same");
    // Somebody allows another hash, past every release.
    world.allow(B256::repeat_byte(9));
    let policy = drift(&flow, new, &[]).exits(6).says("DRIFT");
    assert_eq!(part(&policy, "allowed hashes"), "differs");
    assert_eq!(part(&policy, "code, by the files"), "same");
    assert!(
        policy.said.contains("that no upgrade on record made"),
        "{}",
        policy.said
    );
}

#[test]
fn what_is_not_on_record_is_not_checked_and_a_record_can_be_named() {
    let world = World::start();
    let flow = Flow::new(&world);
    let new = flow.compose.to_str().unwrap();
    release(&flow);
    let elsewhere = world.folder().join("released.json");
    std::fs::rename(world.folder().join(".countersign/first/evidence.json"), &elsewhere).unwrap();
    let unknown = drift(&flow, new, &[]).exits(0);
    assert_eq!(
        part(&unknown, "code, by the last release"),
        "not-checked",
        "{}",
        unknown.said
    );
    drift(&flow, new, &["--require-all"]).exits(6).says("DRIFT_UNKNOWN");
    let named = drift(&flow, new, &["--evidence", elsewhere.to_str().unwrap()]).exits(0);
    assert_eq!(part(&named, "code, by the last release"), "same", "{}", named.said);
    drift(&flow, new, &["--evidence", new]).exits(3).says("INPUT_EVIDENCE");
}

#[test]
fn a_cvm_that_nobody_guards_is_compared_with_the_files() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    world.forget_the_kms();
    let flow = Flow::new(&world);
    let differs = drift(&flow, flow.compose.to_str().unwrap(), &[]).exits(6).says("DRIFT");
    assert_eq!(part(&differs, "code, by the last release"), "not-checked");
    let runs = world.file("runs.yml", &NEW_COMPOSE.replace("1.28", "1.27"));
    let same = drift(&flow, runs.to_str().unwrap(), &[]).exits(0);
    assert_eq!(part(&same, "code, by the files"), "same", "{}", same.said);
}

#[test]
fn a_token_that_dies_soon_ends_a_look_and_one_that_lives_does_not() {
    let world = World::start();
    let flow = Flow::new(&world);
    let look = |more: &[&str]| Ran::of(flow.command(&["status", "--json"]).args(more));
    look(&["--expiring", "3d"]).exits(0).says("OK");
    let words = ["prepare", "--json", "--cvm", CVM, "-c", flow.compose.to_str().unwrap()];
    let prepared = Ran::of(&mut flow.command(&words)).exits(0);
    let dir = prepared.fact("dir").as_str().unwrap();
    look(&["--expiring", "1h"]).exits(0);
    for more in [
        &["--expiring", "30d"][..],
        &["--expiring", "30d", "--dir", dir],
        &["--expiring", "30d", "--all"],
    ] {
        let ran = look(more).exits(6).says("TOKEN_EXPIRING");
        assert!(ran.json["message"].as_str().unwrap().contains(dir), "{}", ran.said);
    }
    look(&["--all"]).exits(0);
}

/// An app that answers so, and remembers what it was asked.
pub struct App {
    /// Its address.
    pub url: String,
    says: Arc<Mutex<(u16, &'static str)>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl App {
    /// Serves at a port of its own.
    pub fn saying(status: u16, body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthz?key=canary", listener.local_addr().unwrap());
        let (says, asked) = (
            Arc::new(Mutex::new((status, body))),
            Arc::<Mutex<Vec<String>>>::default(),
        );
        let (told, heard) = (Arc::clone(&says), Arc::clone(&asked));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut part = [0; 1 << 12];
                let length = stream.read(&mut part).unwrap_or_default();
                heard
                    .lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&part[..length]).into_owned());
                let (status, body) = *told.lock().unwrap();
                let location = if status == 302 {
                    "Location: http://127.0.0.1:1/\r\n"
                } else {
                    ""
                };
                let head = format!(
                    "HTTP/1.1 {status} X\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _sent = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
            }
        });
        Self { url, says, asked }
    }
    fn now_says(&self, status: u16, body: &'static str) {
        *self.says.lock().unwrap() = (status, body);
    }
}

#[test]
fn an_app_that_does_not_serve_ends_a_commit_that_stays_a_commit() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let app = App::saying(503, "starting");
    let probe = ["--probe", &app.url, "--probe-expect", "ready", "--timeout", "12s"];
    let failed = flow.with("commit", &probe).exits(7).says("PROBE_FAILED");
    assert_eq!(
        (failed.effect("commit"), failed.effect("live")),
        ("done", "done"),
        "{}",
        failed.said
    );
    assert!(
        failed.said.contains("503") && !failed.said.contains("canary"),
        "{}",
        failed.said
    );
    assert_eq!(failed.json["data"]["probe"]["ok"], false);
    flow.committed_once();
    // The text that is expected has to be there, and no redirect is followed.
    let quick = ["--probe", &app.url, "--probe-expect", "ready", "--timeout", "1s"];
    app.now_says(200, "starting");
    flow.with("commit", &quick).exits(7).says("PROBE_FAILED");
    app.now_says(302, "ready");
    flow.with("resume", &quick).exits(7).says("PROBE_FAILED");
    app.now_says(200, "all ready");
    let served = flow.with("commit", &quick).exits(0).says("OK");
    assert_eq!(served.json["data"]["probe"]["ok"], true, "{}", served.said);
    flow.committed_once();
    let asked = app.asked.lock().unwrap();
    assert!(
        asked.iter().all(|request| request.starts_with("GET /healthz")),
        "{asked:?}"
    );
    let keys = ["phak_", "authorization", "x-api-key", "cookie"];
    assert!(
        asked
            .iter()
            .all(|one| keys.iter().all(|key| !one.to_lowercase().contains(key))),
        "{asked:?}"
    );
}

#[test]
fn a_version_says_what_it_was_built_from_beside_the_result() {
    let home = tempfile::tempdir().unwrap();
    let plain = run(countersign(BINARY, home.path()).arg("--version"));
    let more = run(countersign(BINARY, home.path()).args(["--version", "-v"]));
    assert_eq!(plain.stdout, more.stdout, "-v changes nothing on stdout");
    let said = String::from_utf8(more.stderr).unwrap();
    for part in [
        "commit ",
        "target ",
        "features ",
        "keystore",
        "countersign.result/1, countersign.proposal/1, countersign.evidence/2",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(plain.stderr.is_empty());
}
