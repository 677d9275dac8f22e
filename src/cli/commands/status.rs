//! `status`: where upgrades stand, from their journals alone.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::args::Which;
use crate::cli::error::CliError;
use crate::cli::report::{self, Report};
use crate::cli::session::Session;
use crate::cli::settings::ROOT;
use crate::cli::view;
use crate::upgrade::{self, Upgrade};

/// Show where an upgrade stands, from its journal alone
///
/// Asks nobody, writes nothing and waits for no lock, so it can be run beside a run that is under way. Without a name, it
/// lists every upgrade below .countersign. What it calls unknown is settled by `countersign resume`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign status --dir .countersign/my-app-1a2b3c4d --json")]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    which: Which,
}

impl Status {
    pub(super) fn run(self, session: &Session) -> Result<Report, CliError> {
        if self.which.proposal.is_none() && self.which.dir.dir.is_none() {
            let found = upgrade::find(Path::new(ROOT))?;
            if found.len() > 1 {
                return list(&found);
            }
        }
        let dir = session.name(&self.which)?;
        let status = Upgrade::peek(&dir)?.status();
        let mut report = Report::done("status", report::certain(&status));
        report.next = session.typed().after(status.step);
        report.data = serde_json::to_value(&status).ok();
        view::standing(&mut report.page, &status, &dir);
        view::effects(&mut report.page, &status);
        report.know(status, &dir);
        Ok(report)
    }
}

/// One line for each of several upgrades; one that cannot be read does not hide the others.
fn list(dirs: &[PathBuf]) -> Result<Report, CliError> {
    let mut report = Report::done("status", "read from the journals");
    let mut rows = Vec::new();
    let mut upgrades = Vec::new();
    for dir in dirs {
        let name = dir.display().to_string();
        match Upgrade::peek(dir) {
            Ok(state) => {
                let status = state.status();
                rows.push((name.clone(), Some(format!("next: {}", report::step_name(&status)))));
                upgrades.push(json!({ "dir": name, "status": status }));
            }
            Err(error) => {
                rows.push((name.clone(), Some(format!("cannot be read: {error}"))));
                upgrades.push(json!({ "dir": name, "error": error.to_string() }));
            }
        }
    }
    report.page.facts(&rows);
    report.data = Some(json!(upgrades));
    Ok(report)
}
