//! `schema`: the JSON Schema of what `--json` prints.

use clap::Args;

use crate::cli::show::report::{self, Report};

/// Print the JSON Schema of the object that --json prints
#[derive(Debug, Args)]
pub(in crate::cli) struct Schema {}

impl Schema {
    pub(in crate::cli) fn run(self) -> Report {
        let schema = report::json_schema();
        let mut report = Report::done("schema", "made");
        report.raw = Some(format!("{schema:#}\n"));
        report.data = Some(schema);
        report
    }
}
