//! Runs the command line and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Reads `FAILPOINTS`; lives as long as the run.
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    countersign::cli::run(std::env::args_os())
}
