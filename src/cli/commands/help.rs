//! `help`: what a command says with `--help`.

use clap::Args;

use crate::cli::args::groups::grouped;
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::show::output;
use crate::cli::show::report::Report;

/// Print the help of a command, or of all of them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign help\n  countersign help cvm list")]
pub(in crate::cli) struct Help {
    /// The command, word by word [default: all commands]
    #[arg(value_name = "COMMAND", value_parser = values::filled)]
    words: Vec<String>,
}

impl Help {
    pub(in crate::cli) fn run(self, mut root: clap::Command) -> Result<Report, CliError> {
        root.build();
        let name = root.get_name().to_owned();
        let line = std::iter::once(name).chain(self.words).chain(["--help".to_owned()]);
        let asked = grouped(root, output::columns(), false).try_get_matches_from(line);
        let text = match asked {
            Err(error) if error.use_stderr() => return Err(CliError::Arguments(Box::new(error))),
            Err(help) => help.render().to_string(),
            Ok(_) => String::new(),
        };
        let mut report = Report::done("help", "made");
        report.data = Some(serde_json::json!({ "help": text }));
        report.raw = Some(text);
        Ok(report)
    }
}
