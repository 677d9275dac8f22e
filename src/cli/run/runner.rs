//! `--github`: tells a runner of GitHub Actions how the run ended, by the files that it names and by marks in its log.

use std::path::PathBuf;

use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::environment::Environment;
use crate::cli::show::report::Report;
use crate::cli::show::{output, runner};
use crate::code::Code;
use crate::fsutil::{self, FsError};

/// Bytes of randomness in what ends an output, so that nobody who writes a value can end it.
const DELIMITER_BYTES: usize = 16;

/// What the runner reads.
#[derive(Debug)]
pub(super) struct Runner {
    outputs: PathBuf,
    /// Runners of other makers may have none.
    summary: Option<PathBuf>,
    delimiter: String,
}

impl Runner {
    /// The files that the runner names; looked for before anything is done.
    pub(super) fn of(env: &Environment) -> Result<Self, CliError> {
        let (outputs, summary) = env.runner_files();
        let outputs = outputs.ok_or_else(|| CliError::Usage {
            code: Code::UsageNoRunner,
            message: "--github was given, and no runner named a file for the outputs of a step".to_owned(),
            hint: "leave --github out, or name such a file in GITHUB_OUTPUT".to_owned(),
            next: Next::Without("--github"),
        })?;
        let mut bytes = [0; DELIMITER_BYTES];
        getrandom::fill(&mut bytes).map_err(|error| CliError::Start(std::io::Error::other(error)))?;
        Ok(Self {
            outputs,
            summary,
            delimiter: format!("countersign-{}", hex::encode(bytes)),
        })
    }

    /// Writes the outputs and the summary, then marks the run. `file`: the Docker Compose file that it is about.
    pub(super) fn tell(&self, report: &Report, file: Option<&str>) -> Result<(), FsError> {
        output::command_runner(&runner::annotations(report, file));
        fsutil::extend(&self.outputs, runner::outputs(report, &self.delimiter).as_bytes())?;
        match &self.summary {
            Some(summary) => fsutil::extend(summary, runner::summary(report).as_bytes()),
            None => Ok(()),
        }
    }
}
