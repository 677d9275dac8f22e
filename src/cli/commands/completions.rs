//! `completions`: a shell's completion script.

use clap::Args;
use clap_complete::Shell;
use clap_complete::env::Shells;

use crate::cli::exit::Exit;
use crate::cli::session::completion::ASKED;
use crate::cli::show::report::Report;
use crate::code::Code;

/// Print the completion script of a shell
///
/// The script is short: while a line is typed, the shell asks the program, which knows its commands and options, the CVMs
/// that it met on this machine, the directories of upgrades here, the keys that there are, and the codes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  source <(countersign completions bash)\n  source <(countersign completions zsh)\n  \
    countersign completions fish | source"
)]
pub(in crate::cli) struct Completions {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(in crate::cli) fn run(self) -> Report {
        let name = self.shell.to_string();
        let mut script = Vec::new();
        let shells = Shells::builtins();
        let written = shells
            .completer(&name)
            .map(|shell| shell.write_registration(ASKED, "countersign", "countersign", "countersign", &mut script));
        let mut report = Report::done("completions", "made");
        if !matches!(written, Some(Ok(()))) {
            report.exit = Exit::Bug;
            report.code = Code::Defect;
            report.message = format!("no script for {name} could be made");
            return report;
        }
        let script = String::from_utf8_lossy(&script).into_owned();
        report.data = Some(serde_json::json!({ "shell": name, "script": script }));
        report.raw = Some(script);
        report
    }
}
