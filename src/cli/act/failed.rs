//! The report of a failure, with what a journal knows of effects.

use crate::cli::act::{fleet, unapproved::know};
use crate::cli::exit::Exit;
use crate::cli::failure;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::{self, Report};
use crate::upgrade::{JournalError, Upgrade, UpgradeError, record::Effect, steps::applied_effects};

/// The report of a failure, with what the journal knows of effects.
pub(in crate::cli) fn failed(session: &Session, error: &CliError) -> Report {
    let mut report = failure::report(error, session.command(), &session.typed());
    let Some(dir) = session.dir() else { return report };
    match Upgrade::peek(&dir) {
        Ok(state) => {
            let answer = std::mem::take(&mut report.facts);
            report.know(state.status(), &dir);
            report.know_files(&state, Some(&dir));
            report.facts.vendor_code = answer.vendor_code;
            report.facts.request_id = answer.request_id;
        }
        Err(UpgradeError::Journal(JournalError::Fleet { .. })) => {
            return fleet::unfinished(session, &dir, session.command(), error);
        }
        Err(UpgradeError::Journal(JournalError::Missing { .. })) => {
            // What the server refused was not taken, whatever was meant.
            let unknown = matches!(
                report.exit,
                Exit::Unknown | Exit::Pending | Exit::Hangup | Exit::Interrupt | Exit::Quit | Exit::Terminate
            );
            let known = applied_effects(&dir).filter(|(taken, _)| unknown || *taken == Effect::Done);
            if let Some(effects) = known {
                know(&mut report, effects);
            }
        }
        // What cannot be read may say anything.
        Err(_) => {
            report.effects = report::NOTHING_READ;
            report.certain = Some(report::UNREADABLE.to_owned());
        }
    }
    report
}
