//! `status`: where upgrades stand, from their journals; whether the chain still says what was proved, and, of one that is
//! over, what runs now.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use url::Url;

use crate::cli::act::failed::failed;
use crate::cli::args::values;
use crate::cli::args::{Reach, Typed, Which};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::known::Known;
use crate::cli::show::report::{self, Report};
use crate::cli::show::view;
use crate::code::Code;
use crate::text::option;
use crate::upgrade::{self, Effect, ProofNow, State, UpgradeError, Warning};

/// Show where an upgrade stands, from its journal
///
/// Writes nothing and waits for no lock, so it can be run beside a run that is under way. Where an endpoint is named and
/// something was proved, it looks whether that still stands; where there is an API key, it asks Phala Cloud whether a CVM that
/// ran the new hash still does. Otherwise it asks nobody. Without a name, it lists every unfinished upgrade below
/// .countersign, or shows the last one where none is unfinished. What it calls unknown
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
    /// JSON-RPC endpoint that is asked whether what was proved still stands [env: ETH_RPC_URL]
    #[arg(long, value_name = "URL", help_heading = "Chain", value_parser = values::web_address)]
    rpc_url: Vec<Url>,
}

/// How long the chain is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Status {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        if self.which.proposal.is_none() && self.which.dir.dir.is_none() {
            let found = Known::all(self.which.dir.cvm.as_ref())?;
            let finished = found.iter().filter(|one| !one.is_open()).count();
            let shown: Vec<&Known> = found.iter().filter(|one| self.all || one.is_open()).collect();
            if !shown.is_empty() && (self.all || found.len() > 1) {
                return Ok(list(session, &shown, finished));
            }
        }
        let standing = session.standing(&self.which)?;
        let looked = self.look(session, &standing.state).await;
        let state = &looked.state;
        let mut status = state.status();
        let mut report = Report::done("status", report::certain(&status));
        report.warnings.extend(looked.remark);
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
    let settings = session.settings(Typed::default())?;
    if settings.api_key.is_none() {
        return Ok(None);
    }
    let outside = session.outside(&settings);
    Ok(state.look_again(outside.cloud()).await)
}

/// A journal's state as the chain leaves it.
struct Looked {
    state: State,
    remark: Option<Warning>,
}

impl Status {
    /// Looks at the proof again, where there is one and an endpoint is named; writes nothing.
    async fn look(&self, session: &Session, state: &State) -> Looked {
        let mut looked = Looked {
            state: state.clone(),
            remark: None,
        };
        let Some(proof) = state.proof() else { return looked };
        let place = format!(
            "block {} ({}), which held the proof",
            proof.block.number, proof.block.hash
        );
        let found = match self.ask(session, state).await {
            Ok(Some(found)) => found,
            Ok(None) => return looked,
            Err(error) => {
                looked.remark = Some(told(
                    Code::ProofNotChecked,
                    format!(
                        "not checked: whether {place}, is still there: {}",
                        failed(session, &error).message
                    ),
                ));
                return looked;
            }
        };
        looked.remark = match found {
            ProofNow::Stands(_) => None,
            ProofNow::Unsettled => Some(told(
                Code::ProofNotChecked,
                format!("{place}, is not at every endpoint now"),
            )),
            ProofNow::Gone => Some(told(
                Code::ProofGone,
                format!("{place}, was replaced: the change has to be proved anew"),
            )),
            ProofNow::NeverWas => Some(told(
                Code::ProofGone,
                format!("{place}, did not have the change in force: it has to be proved anew"),
            )),
            ProofNow::Undone(change) => Some(told(
                Code::HashRemoved,
                format!("this was approved and is undone: {change}"),
            )),
        };
        if matches!(found, ProofNow::Gone | ProofNow::NeverWas | ProofNow::Undone(_)) {
            looked.state.forget_proof();
        }
        looked
    }

    /// What the chain says of the proof; nothing where no endpoint is named.
    async fn ask(&self, session: &Session, state: &State) -> Result<Option<ProofNow>, CliError> {
        let reach = Reach::to(self.rpc_url.clone(), None, PATIENCE);
        let settings = session.settings(Typed {
            reach: Some(&reach),
            ..Typed::default()
        })?;
        if settings.endpoints.is_empty() {
            return Ok(None);
        }
        let outside = session.outside(&settings);
        let world = outside.world();
        let asked = upgrade::look_at_proof(&world, settings.limits.finality, state);
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(found) => Ok(found?),
            Err(_) => Err(UpgradeError::Later {
                code: Code::NetTimeout,
                message: "no endpoint answered in time".to_owned(),
                source: None,
            }
            .into()),
        }
    }
}

fn told(code: Code, text: String) -> Warning {
    Warning { code, text }
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
