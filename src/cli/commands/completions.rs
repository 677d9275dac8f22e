//! `completions`: a shell's completion script.

use clap::Args;
use clap_complete::Shell;

use crate::cli::show::report::Report;

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign completions bash > ~/.local/share/bash-completion/completions/countersign"
)]
pub(in crate::cli) struct Completions {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(in crate::cli) fn run(self, mut root: clap::Command) -> Report {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut root, "countersign", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        let mut report = Report::done("completions", "made");
        report.data = Some(serde_json::json!({ "shell": self.shell.to_string(), "script": script }));
        report.raw = Some(script);
        report
    }
}
