//! One run of a program: wall time, processor time, peak memory.
//!
//! Linux counts the memory of the process that forked towards its child's peak. This program holds servers, so the
//! child that is measured is started by a small copy of it ([`launcher`]), whose own few megabytes are below anything
//! that is measured here.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wait4::Wait4;

use crate::support::command;

/// First argument of the copy.
const LAUNCHER: &str = "--launch-and-measure";

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// From the spawn to the exit.
    pub wall: Duration,
    /// User and system time.
    pub processor: Duration,
    /// Peak of the resident set, bytes.
    pub memory: u64,
}

/// Runs the child when this process is the copy that measures; `None` in the bench itself.
pub fn launcher() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != LAUNCHER {
        return None;
    }
    let (report, program) = (arguments.next()?, arguments.next()?);
    let began = Instant::now();
    let child = Command::new(program)
        .args(arguments)
        .spawn()
        .expect("the program starts");
    let used = child.wait4().expect("the program ends");
    let report_text = json!({
        "wall": began.elapsed().as_secs_f64(),
        "processor": (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        "memory": used.rusage.maxrss,
    });
    std::fs::write(report, report_text.to_string()).expect("the report is written");
    let code = used.status.code().and_then(|code| u8::try_from(code).ok());
    Some(ExitCode::from(code.unwrap_or(u8::MAX)))
}

/// Runs `command` to its end by way of the copy. Its environment is what was set on it and nothing else, as the
/// harness makes every command.
pub fn run(command: &Command, folder: &Path) -> (Cost, Output) {
    let report = folder.join("cost.json");
    let mut copy = Command::new(std::env::current_exe().expect("this program has a path"));
    copy.arg(LAUNCHER)
        .arg(&report)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?)))
                .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        )
        .current_dir(command.get_current_dir().unwrap_or(folder))
        .stdin(std::process::Stdio::null());
    let output = command::run(&mut copy);
    assert!(output.status.success(), "{command:?}\n{}", command::shown(&output));
    let text = std::fs::read(&report).expect("the copy reports");
    let numbers: Value = serde_json::from_slice(&text).expect("the report is JSON");
    let seconds = |name: &str| Duration::from_secs_f64(numbers[name].as_f64().expect("seconds"));
    let cost = Cost {
        wall: seconds("wall"),
        processor: seconds("processor"),
        memory: numbers["memory"].as_u64().expect("bytes"),
    };
    (cost, output)
}
