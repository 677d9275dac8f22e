//! The command line as a process: what it prints and how it ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::flow::{BINARY, Flow, Ran};
use crate::support::{PATIENCE, World};

/// Recorded commands with their output; `TRYCMD=overwrite` records them again.
#[test]
fn commands_print_what_is_recorded() {
    trycmd::TestCases::new()
        .register_bin("countersign", std::path::Path::new(BINARY))
        .env("COLUMNS", "100")
        .env("PHALA_CLOUD_API_KEY", "")
        .env("PHALA_CLOUD_API_PREFIX", "")
        .env("ETH_RPC_URL", "")
        .case("tests/cmd/*.trycmd")
        .case("tests/cmd/*.toml");
}

/// The binary with nothing of this process's environment.
fn countersign(args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A server that takes connections and never answers.
struct Silence(TcpListener);

impl Silence {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }
    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
    /// The next connection, if one comes in time.
    fn next(&self) -> Option<TcpStream> {
        self.0.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok((stream, _)) = self.0.accept() {
                stream.set_nonblocking(false).unwrap();
                return Some(stream);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
    /// A run that hangs on this server, once it is connected.
    fn holds(&self) -> Child {
        let child = countersign(&["plan", "--cvm", "my-app", "--vcpu", "2", "--json"])
            .env("PHALA_CLOUD_API_PREFIX", self.url())
            .env("PHALA_CLOUD_API_KEY", "phak_test")
            .spawn()
            .unwrap();
        let mut stream = self.next().expect("the run did not connect");
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        // Kept open for as long as the run lives.
        std::mem::forget(stream);
        child
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

fn only_object(stdout: &[u8]) -> Value {
    let text = std::str::from_utf8(stdout).unwrap();
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let object = values
        .next()
        .unwrap_or_else(|| panic!("no object in {text:?}"))
        .unwrap();
    assert!(
        object.is_object() && values.next().is_none(),
        "more than one object in {text:?}"
    );
    object
}

#[test]
fn g1_g4_a_signal_ends_the_run_with_its_code_and_one_object() {
    use rustix::process::Signal;
    for (sent, code) in [
        (Signal::INT, 130),
        (Signal::QUIT, 131),
        (Signal::TERM, 143),
        (Signal::HUP, 129),
    ] {
        let server = Silence::new();
        let child = server.holds();
        signal(&child, sent);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let object = only_object(&output.stdout);
        assert_eq!(object["exit"], code);
        assert_eq!(object["ok"], false);
        assert_eq!(object["safe_to_rerun"], true);
        assert!(
            object["next"]
                .as_str()
                .unwrap()
                .starts_with("countersign plan --cvm my-app")
        );
    }
}

#[test]
fn g2_a_second_interrupt_ends_the_process_at_once() {
    let server = Silence::new();
    let child = server.holds();
    signal(&child, rustix::process::Signal::INT);
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn g5_a_closed_stdout_is_neither_an_error_nor_a_panic() {
    for args in [
        &["schema"][..],
        &["--help"],
        &["completions", "bash"],
        &["schema", "--json"],
    ] {
        let mut child = countersign(args).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_result_that_finds_no_room_is_a_failure() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = countersign(&["schema"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(12));
    assert!(String::from_utf8_lossy(&output.stderr).contains("could not be printed"));
}

#[test]
fn g6_a_stderr_that_takes_nothing_changes_nothing() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = countersign(&["plan", "--json"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(only_object(&output.stdout)["code"], "USAGE_NO_CVM");
    assert_eq!(
        countersign(&["plan"]).stderr(full()).output().unwrap().status.code(),
        Some(2)
    );
}

#[test]
fn d6_a_file_size_limit_is_an_error_and_not_the_end_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("ulimit -f 0; exec '{BINARY}' man '{}' --json", dir.path().display());
    let output = Command::new("sh").args(["-c", &script]).env_clear().output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(12),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(only_object(&output.stdout)["code"], "STORAGE_FULL");
}

#[test]
fn verbosity_never_changes_stdout() {
    let plain = countersign(&["hash", "tests/cmd/hash.in/app-compose.json"])
        .output()
        .unwrap();
    for flag in ["-v", "-vv", "-vvv"] {
        let output = countersign(&["hash", "tests/cmd/hash.in/app-compose.json", flag])
            .output()
            .unwrap();
        assert_eq!(output.stdout, plain.stdout);
    }
    assert!(!plain.stdout.is_empty());
}

#[test]
fn i17_devices_pipes_and_endless_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for path in [
        "/dev/zero",
        "/dev/null",
        pipe.to_str().unwrap(),
        dir.path().to_str().unwrap(),
    ] {
        let output = countersign(&["hash", path, "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(3), "{path}");
        assert_eq!(only_object(&output.stdout)["code"], "INPUT_FILE");
    }
}

#[test]
fn every_malformed_manifest_gives_one_object_and_the_input_code() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app-compose.json");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [&[u8]; 9] = [
        b"",
        b" ",
        b"[]",
        b"null",
        b"{\"a\":1,\"a\":2}",
        b"\xff\xfe",
        b"{\"a\":NaN}",
        b"{\"a\":1e999}",
        deep.as_bytes(),
    ];
    for bytes in cases {
        std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
        let output = countersign(&["hash", path.to_str().unwrap(), "--json"])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(bytes.get(..40).unwrap_or(bytes)).into_owned();
        assert_eq!(output.status.code(), Some(3), "{shown:?}");
        assert_eq!(only_object(&output.stdout)["code"], "INPUT_MANIFEST", "{shown:?}");
    }
}

#[test]
fn v23_no_secret_is_said_however_much_is_asked_for() {
    let compose = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(compose.path(), "services: {web: {image: nginx}}\n").unwrap();
    let output = countersign(&[
        "plan",
        "--cvm",
        "my-app",
        "--rpc-url",
        "http://127.0.0.1:1/v2/CANARY?key=CANARY",
        "-vvv",
        "--compose",
    ])
    .arg(compose.path())
    .env("PHALA_CLOUD_API_PREFIX", "http://u:CANARY@127.0.0.1:1/v1?key=CANARY")
    .env("PHALA_CLOUD_API_KEY", "phak_CANARY")
    .output()
    .unwrap();
    let said = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    assert!(said.contains("next: countersign plan"), "{said}");
    assert!(!said.contains("CANARY"), "{said}");
}

/// Runs a step at a terminal, answers its question, and returns its exit code and everything it showed.
///
/// `script` of util-linux is the terminal.
#[cfg(target_os = "linux")]
fn at_a_terminal(flow: &Flow<'_>, arguments: &[&str], answer: &str) -> (i32, String) {
    answering(flow, arguments, &[("Type yes to agree: ", answer)])
}

/// The same with an answer to each question, told by how it ends.
#[cfg(target_os = "linux")]
pub fn answering(flow: &Flow<'_>, arguments: &[&str], answers: &[(&str, &str)]) -> (i32, String) {
    let line = format!("exec '{BINARY}' {}", arguments.join(" "));
    let mut command = flow.command(&[]);
    let environment: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .envs(environment)
        .env("TERM", "dumb")
        .env("SHELL", "/bin/sh");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = Vec::new();
    let mut screen = child.stdout.take().unwrap();
    let mut byte = [0];
    while screen.read(&mut byte).unwrap() == 1 {
        shown.push(byte[0]);
        for (_, answer) in answers.iter().filter(|(asked, _)| shown.ends_with(asked.as_bytes())) {
            child.stdin.as_mut().unwrap().write_all(answer.as_bytes()).unwrap();
        }
    }
    let status = child.wait().unwrap();
    (
        status.code().unwrap_or(-1),
        String::from_utf8_lossy(&shown).into_owned(),
    )
}

#[cfg(target_os = "linux")]
#[test]
fn g8_consent_is_the_whole_word_and_anything_else_has_no_effect() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let execute = ["execute", "--dir", dir, "--signer", "env:OWNER_KEY"];
    for (answer, code) in [
        ("no\n", 6),
        ("y\nno\n", 6),
        ("\nno\n", 6),
        ("y\n\u{4}", 6),
        ("\u{4}", 6),
        ("\u{3}", 130),
    ] {
        let (exit, shown) = at_a_terminal(&flow, &execute, answer);
        assert_eq!(exit, code, "{answer:?}: {shown}");
        assert!(shown.contains("nothing was signed, sent or committed"), "{shown}");
        flow.nothing_happened();
    }
    // What is neither is no decision, and is asked again.
    let (exit, shown) = at_a_terminal(&flow, &execute, "y\nYes\nyes\n");
    assert_eq!(exit, 0, "{shown}");
    assert_eq!(flow.announcements(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn json_is_not_consent_even_at_a_terminal() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let execute = [
        "execute",
        "--dir",
        flow.dir.to_str().unwrap(),
        "--signer",
        "env:OWNER_KEY",
        "--json",
    ];
    let (exit, shown) = at_a_terminal(&flow, &execute, "yes\n");
    assert_eq!(exit, 2, "{shown}");
    assert!(
        shown.contains("USAGE_CONSENT") && !shown.contains("Type yes"),
        "{shown}"
    );
    flow.nothing_happened();
}

#[test]
fn g7_without_a_terminal_nothing_is_guessed_and_the_flag_is_named() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap();
    let asked = flow
        .command(&["execute", "--dir", dir, "--signer", "env:OWNER_KEY", "--json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(2));
    let object = only_object(&asked.stdout);
    assert_eq!(object["code"], "USAGE_CONSENT");
    assert!(object["next"].as_str().unwrap().ends_with("--yes"), "{object}");
    assert_eq!(object["effects"]["approval"], "none");
    flow.nothing_happened();
}

#[test]
fn the_next_command_leads_from_plan_to_live() {
    let world = World::start();
    let flow = Flow::new(&world);
    let dir = flow.dir.to_str().unwrap();
    let mut ran = flow.step("prepare").exits(0);
    let mut steps = Vec::new();
    while let Some(next) = ran.json["next"].as_str().map(str::to_owned) {
        let words: Vec<&str> = next.split_whitespace().skip(1).collect();
        assert_eq!(words[1..3], ["--dir", dir], "{next}");
        steps.push(words[0].to_owned());
        assert!(steps.len() < 6, "{steps:?} does not end");
        let mut arguments = words.clone();
        arguments.push("--json");
        if words[0] != "wait" {
            arguments.push("--yes");
        }
        if words[0] == "execute" {
            arguments.extend(["--signer", "env:OWNER_KEY"]);
        }
        ran = Ran::of(&mut flow.command(&arguments)).exits(0);
    }
    assert_eq!(steps, ["execute", "wait", "commit"]);
    flow.landed_once();
}

#[test]
fn the_project_file_of_the_ecosystem_is_enough_to_plan() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.file(
        "phala.toml",
        &format!(
            "name = \"{}\"\ncompose_file = \"new-compose.yml\"\nlisted = false\n",
            crate::support::world::CVM
        ),
    );
    let plan = Ran::of(&mut flow.command(&["plan", "--json"])).exits(0);
    assert_eq!(plan.fact("compose_hash"), &serde_json::json!(flow.hash));
    world.file("phala.toml", "name = ");
    Ran::of(&mut flow.command(&["plan", "--json"]))
        .exits(3)
        .says("INPUT_PROJECT_FILE");
}

#[test]
fn an_upgrade_is_found_without_a_name_as_long_as_it_is_the_only_one() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    Ran::of(&mut flow.command(&["status", "--json"]))
        .exits(2)
        .says("USAGE_NO_UPGRADE");
    let root = world.folder().join(".countersign");
    flow.dir = root.join("first");
    flow.step("prepare").exits(0);
    let only = Ran::of(&mut flow.command(&["status", "--json"])).exits(0);
    assert_eq!(only.fact("compose_hash"), &serde_json::json!(flow.hash));
    flow.dir = root.join("second");
    flow.with("prepare", &["--supersede"]).exits(0);
    let several = Ran::of(&mut flow.command(&["status", "--json"])).exits(0);
    assert_eq!(several.json["data"].as_array().unwrap().len(), 2, "{}", several.said);
    let refused = Ran::of(&mut flow.command(&["wait", "--json"]))
        .exits(2)
        .says("USAGE_WHICH_UPGRADE");
    assert!(
        refused.json["message"]
            .as_str()
            .unwrap()
            .contains(".countersign/second"),
        "{}",
        refused.said
    );
    flow.nothing_happened();
}

#[test]
fn a_proposal_that_is_missing_or_damaged_is_the_users_to_correct() {
    let world = World::start();
    let flow = Flow::new(&world);
    Ran::of(&mut flow.command(&["wait", "missing.json", "--json"]))
        .exits(3)
        .says("INPUT_FILE");
    world.file("bad.json", "{\"schema\":\"countersign.proposal/9\"}");
    Ran::of(&mut flow.command(&["wait", "bad.json", "--json"]))
        .exits(3)
        .says("INPUT_PROPOSAL");
    assert!(
        !world.folder().join(".countersign").exists(),
        "nothing is begun from a bad file"
    );
}

#[test]
fn c1_a_second_run_is_told_who_holds_the_upgrade() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let server = Silence::new();
    let dir = flow.dir.to_str().unwrap();
    let mut first = flow
        .command(&["wait", "--dir", dir, "--rpc-url", &server.url(), "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let held = server.next().expect("the first run did not connect");
    let second = flow.step("execute").exits(11).says("LOCKED");
    assert!(second.said.contains(&first.id().to_string()), "{}", second.said);
    assert_eq!(second.effect("prepare"), "done", "reading does not need the lock");
    flow.step("status").exits(0);
    first.kill().unwrap();
    first.wait().unwrap();
    drop(held);
    flow.step("execute").exits(0);
}

#[test]
fn an_app_is_shown_and_checked_by_its_address_or_by_its_cvm() {
    let world = World::start();
    let flow = Flow::new(&world);
    let app = world.app.to_string();
    for target in [
        vec!["--cvm", crate::support::world::CVM],
        vec![&app, "--chain-id", "31337"],
        vec![&app],
    ] {
        let shown = Ran::of(flow.command(&["app", "show", "--json"]).args(&target)).exits(0);
        assert_eq!(
            shown.json["data"]["app"]["owner"],
            serde_json::json!(world.owner.address),
            "{target:?}"
        );
        let hashes = shown.json["data"]["hashes"].as_array().unwrap();
        assert_eq!(hashes.len(), 1, "{}", shown.said);
        assert_eq!(hashes[0]["id"], serde_json::json!(world.first_hash));
        let since = &hashes[0]["since"];
        let at = &since["block"];
        assert!(
            at["timestamp"].as_u64() > Some(0) && since["transaction"].is_string(),
            "{since}"
        );
        let devices = &shown.json["data"]["devices"];
        assert_eq!(devices[0]["id"], serde_json::json!(world.device));
    }
    let check = |hash: &str| {
        let target = [
            "app",
            "check",
            "--json",
            "--cvm",
            crate::support::world::CVM,
            "--hash",
            hash,
        ];
        Ran::of(&mut flow.command(&target))
    };
    assert_eq!(
        check(&world.first_hash.to_string()).exits(0).json["data"]["allowed"],
        true
    );
    let refused = check(&flow.hash.to_string()).exits(6).says("BOOT_REFUSED");
    assert_eq!(refused.json["data"]["allowed"], false);
    let nothing = Ran::of(&mut flow.command(&[
        "app",
        "show",
        "0x00000000000000000000000000000000000000ff",
        "--chain-id",
        "31337",
        "--json",
    ]));
    nothing.exits(5).says("APP_MISMATCH");
}
