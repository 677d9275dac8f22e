//! What a report says of the run itself: which endpoints agreed, in which version the cloud spoke, where settings come from.

use std::sync::PoisonError;

use crate::cli::exit::Exit;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::upgrade::Warning;

impl Session {
    /// Tells which endpoints agreed, and which were missing in what was read.
    pub(in crate::cli) fn tell_endpoints(&self, report: &mut Report) {
        let Some(heard) = self.turnout.heard() else { return };
        report.set_data("endpoints", &heard);
        if report.exit == Exit::Pending && report.code != Code::PendingEndpoints {
            for missing in &heard.missing {
                report.message = format!("{}; {missing}", report.message);
            }
        }
        if !heard.short {
            return;
        }
        for missing in &heard.missing {
            let text = format!(
                "not checked at {}, where {} of {} endpoints have to agree: {}",
                missing.endpoint, heard.needed, heard.named, missing.why
            );
            report.page.line(&text);
            report.warnings.push(Warning {
                code: Code::EndpointMissing,
                text,
            });
        }
    }

    /// Says where the settings come from that were used.
    pub(in crate::cli) fn tell_settings(&self, report: &mut Report) {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let told = origins
            .iter()
            .map(|(name, from)| ((*name).to_owned(), (*from).to_owned()));
        report.facts.settings = told.collect();
    }

    /// Says that Phala Cloud answered in a version of its API that this program does not know.
    pub(in crate::cli) fn tell_version(&self, report: &mut Report) {
        let Some(version) = self.spoken.unknown() else { return };
        let text = format!(
            "Phala Cloud answers in version {version} of its API, which this program does not know: its records were read as \
             far as they have the known places"
        );
        report.page.line(&text);
        report.warnings.push(Warning {
            code: Code::CloudVersionUnknown,
            text,
        });
    }
}
