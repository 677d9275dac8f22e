//! `status`: where upgrades stand, from their journals; of one that is over, what runs now is looked at once more.

use clap::Args;
use serde_json::json;

use crate::cli::args::Which;
use crate::cli::error::CliError;
use crate::cli::known::Known;
use crate::cli::report::{self, Report};
use crate::cli::session::Session;
use crate::cli::{settings, view};
use crate::code::Code;
use crate::text::option;
use crate::upgrade::{self, Effect, State, Warning};

/// Show where an upgrade stands, from its journal
///
/// Writes nothing and waits for no lock, so it can be run beside a run that is under way. It asks nobody, but for Phala Cloud,
/// where there is an API key, whether a CVM that ran the new hash still does. Without a name, it
/// lists every unfinished upgrade below .countersign, or shows the last one where none is unfinished. What it calls unknown
/// is settled by `countersign resume`. Of a proposal by itself it says what the file says.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign status\n  \
    countersign status --dir .countersign/my-app-1a2b3c4d --json\n  countersign status --all")]
pub(in crate::cli) struct Status {
    #[command(flatten)]
    which: Which,
    /// List finished upgrades too
    #[arg(long, conflicts_with_all = ["proposal", "dir"])]
    all: bool,
}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        if self.which.proposal.is_none() && self.which.dir.dir.is_none() {
            let found = Known::all(self.which.dir.cvm.as_ref())?;
            let finished = found.iter().filter(|one| !one.is_open()).count();
            let shown: Vec<&Known> = found.iter().filter(|one| self.all || one.is_open()).collect();
            if !shown.is_empty() && (self.all || found.len() > 1) {
                return Ok(list(session, &shown, finished));
            }
        }
        let standing = session.standing(&self.which)?;
        let (state, mut status) = (&standing.state, standing.state.status());
        let mut report = Report::done("status", report::certain(&status));
        let proposal = standing.proposal.clone();
        report.advise(session.advise(&proposal, |reader| reader.advise(state)));
        if let Some(dir) = standing.dir()
            && let Some(warning) = look_again(session, state).await?
        {
            if warning.code == Code::CvmRunsAnother {
                status.effects.live = Effect::None;
                report.message = format!("Phala Cloud reported the new hash once: {}.", warning.text);
                report.next = Some(format!(
                    "countersign resume {}",
                    option("--dir", &dir.display().to_string())
                ));
            }
            report.warnings.push(warning);
        }
        report.data = serde_json::to_value(&status).ok();
        match standing.dir() {
            Some(dir) => view::standing(&mut report.page, (&status, &report.message), dir),
            None => view::standing_alone(&mut report.page, (&status, &report.message), &proposal),
        }
        view::effects(&mut report.page, &status);
        report.know(status, &proposal);
        standing.locate(&mut report);
        Ok(report)
    }
}

/// Whether the CVM of an upgrade that is over still runs its hash, where there is an API key to ask with.
async fn look_again(session: &Session, state: &State) -> Result<Option<Warning>, CliError> {
    if state.status().effects.live != Effect::Done {
        return Ok(None);
    }
    let settings = session.settings(settings::Typed::default())?;
    if settings.api_key.is_none() {
        return Ok(None);
    }
    let outside = session.outside(&settings)?;
    Ok(state.look_again(outside.cloud()).await)
}

/// A table of several upgrades; one that cannot be read does not hide the others.
fn list(session: &Session, shown: &[&Known], finished: usize) -> Report {
    let mut report = Report::done("status", "read from the journals");
    let mut rows = vec![
        ["DIRECTORY", "CVM", "IMAGES", "STEP", "AGE", "TOKEN"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut upgrades = Vec::new();
    for one in shown {
        let dir = one.dir.display().to_string();
        let words = one.words();
        rows.push(std::iter::once(dir.clone()).chain(words.clone()).collect());
        upgrades.push(match &one.state {
            Ok(state) => {
                let typed = session.typed().within(Some(&one.dir));
                let proposal = one.dir.join(upgrade::PROPOSAL_FILE);
                let advice = session.advise_as((&typed, &proposal), |reader| reader.advise(state));
                json!({ "dir": dir, "status": state.status(), "waits": words[2], "next": advice.next, "others": advice.others })
            }
            Err(error) => json!({ "dir": dir, "error": error.to_string() }),
        });
    }
    view::table(&mut report.page, &rows);
    let hidden = finished > 0 && shown.iter().all(|one| one.is_open());
    if hidden {
        report.page.line(&format!(
            "{finished} finished: `countersign status --all` lists them too"
        ));
    }
    if let [only] = upgrades.as_slice() {
        report.next = only["next"].as_str().map(str::to_owned);
    }
    report.data = Some(json!(upgrades));
    report
}
