//! Which fleet, and `fleet status`.

use std::path::PathBuf;

use clap::Args;

use super::apps;
use crate::cli::act::fleet::tell;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::upgrade::fleet::{Apps, Fleet};

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Directory of the fleet
    #[arg(long, value_name = "DIR")]
    pub(super) dir: PathBuf,
}

impl Place {
    /// Shows where each CVM stands.
    pub(super) fn status(&self, session: &Session) -> Result<Report, CliError> {
        if Apps::are_in(&self.dir) {
            return apps::status(session, &self.dir);
        }
        session.about(&self.dir);
        let fleet = Fleet::open(&self.dir)?;
        let mut report = Report::done("fleet status", "read from the journal");
        tell(&mut report, session, &fleet)?;
        Ok(report)
    }
}
