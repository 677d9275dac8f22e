//! Programs that tests run, each with an environment of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The real binary with a cleared environment, so that no setting of this machine reaches a test.
pub fn countersign(binary: impl AsRef<Path>, home: &Path) -> Command {
    let mut command = Command::new(binary.as_ref());
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/bin:/bin")
        // Each start that asks somebody reads the root certificates: one in place of this machine's many.
        .env("SSL_CERT_FILE", super::repository().join("tests/vectors/nobody.pem"))
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// Where a program is. By its path it starts without a copy of this process's page tables, which an environment of its own
/// would take otherwise.
pub fn path_of(program: &str) -> PathBuf {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places).map(|place| place.join(program));
    found
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| program.into())
}

/// `node` on a script below `tests/node`, with a cleared environment and nothing but loopback in it.
pub fn node(script: &str, home: &Path) -> Command {
    let mut command = Command::new(path_of("node"));
    command
        .arg(super::repository().join("tests/node").join(script))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("PHALA_DISABLE_UPDATE_CHECK", "1")
        .env("NO_COLOR", "1")
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

/// Asks an act of a script below `tests/node`, a line for each question; its lines.
pub fn ask(script: &str, act: &str, questions: &[Value]) -> Vec<Value> {
    super::packages();
    let home = tempfile::tempdir().unwrap();
    let mut node = node(script, home.path())
        .arg(act)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
    let mut stdin = node.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = node.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "node failed at {script} {act}");
    let answers = String::from_utf8(output.stdout).unwrap();
    let read = |line| serde_json::from_str(line).unwrap();
    answers.lines().map(read).collect()
}

/// Runs to the end.
pub fn run(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

/// stdout as JSON; shows everything when it is none.
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("no JSON on stdout ({e}): {}", shown(output)))
}

/// Everything that a program said, for a failing assertion.
pub fn shown(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
