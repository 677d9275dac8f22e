//! `plan`: everything that is read before anything is done.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::act::begin::VALUES_ONLY;
use crate::cli::act::drift::{self, Compare};
use crate::cli::act::unapproved;
use crate::cli::args::{Change, Governor, Multisig, PageFormat, Reach, SharedOptions, Written};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Next, decision};
use crate::cli::session::Session;
use crate::cli::session::settings::ROOT;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::upgrade::{
    self, UpgradeError, World,
    steps::{Planned, plan_either},
};

/// Show what an upgrade would change and who has to approve it
///
/// Nothing is changed.
///
/// Reads the CVM and its manifest from Phala Cloud and the app's contract from the chain, computes the compose hash that
/// the change should give, and shows the images and fields that change, the call that the owner has to make, and what
/// stands in the way. Ends with 6 when something does. Where no KMS on a chain guards the CVM it says that nobody has to
/// approve, and what applies the change at once.
///
/// With --drift it compares instead: what the CVM runs with these files, and both with what the evidence of finished upgrades
/// below .countersign says was released last. Ends with 0 where all that could be compared is the same.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign plan --cvm my-app -c docker-compose.yml --rpc-url https://mainnet.base.org\n  \
        countersign plan --cvm my-app -c docker-compose.yml --drift --json"
)]
pub(in crate::cli) struct Plan {
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    timelock: Governor,
    /// Compare what runs with these files and with the last release on record, and end with 6 where something differs
    #[arg(long, help_heading = "Drift")]
    drift: bool,
    /// Evidence of a release to compare with, besides what is below .countersign; repeat it
    #[arg(long, value_name = "FILE", requires = "drift", help_heading = "Drift")]
    evidence: Vec<PathBuf>,
    /// End with 6 as well where something could not be compared
    #[arg(long, requires = "drift", help_heading = "Drift")]
    require_all: bool,
    #[command(flatten)]
    written: Written,
}

impl Plan {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let mut report = self.found(session).await?;
        report.is_markdown = self.written.format == PageFormat::Markdown;
        Ok(report)
    }

    async fn found(&self, session: &Session) -> Result<Report, CliError> {
        let mut settings = session.settings(SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            ..SharedOptions::default()
        })?;
        settings.quorum.partial = true;
        let intent = session.intent(&settings, &self.change, &self.timelock)?;
        let outside = session.outside(&settings);
        let planned = plan_either(&outside.world(), &intent.value).await?;
        if self.drift {
            return self.compared(session, &outside.world(), &planned).await;
        }
        let mut plan = match planned {
            Planned::Approved(plan) => *plan,
            Planned::Unapproved(plan) => return Ok(unapproved::planned(session, &plan, &settings.limits)),
        };
        upgrade::recall(&mut plan, Path::new(ROOT))?;
        let dir = upgrade::Upgrade::fresh_dir(Path::new(ROOT), &plan);
        upgrade::steps::look_ahead(&outside.world(), &mut plan, &dir, &settings.limits).await?;
        Ok(report(session, &plan, &settings.limits))
    }

    /// What runs beside the files and the record.
    async fn compared(&self, session: &Session, world: &World<'_>, planned: &Planned) -> Result<Report, CliError> {
        let (code, plan) = match planned {
            Planned::Approved(plan) => (plan.code.as_ref(), Some(plan.as_ref())),
            Planned::Unapproved(plan) => (Some(&plan.code), None),
        };
        let code = code.ok_or_else(|| UpgradeError::decide(Code::NoCodeChange, "only the app's policy changes"))?;
        let compare = Compare {
            code,
            plan,
            evidence: &self.evidence,
            require_all: self.require_all,
        };
        let mut report = drift::drift(session, world, compare).await?;
        report.know_images(Some(code));
        if let Some(plan) = plan {
            know(&mut report, plan);
        }
        Ok(report)
    }
}

fn report(session: &Session, plan: &upgrade::model::Plan, limits: &upgrade::Limits) -> Report {
    let mut report = Report::done("plan", "the plan can be carried out");
    view::plan(&mut report.page, plan);
    report.warnings.clone_from(&plan.warnings);
    know(&mut report, plan);
    report.data = serde_json::to_value(plan).ok();
    report.next = Some(session.typed().instead_of("plan", "upgrade"));
    if plan.is_values_only() {
        report.code = VALUES_ONLY;
        "only values of the environment change, which nobody has to approve: `upgrade` sends them"
            .clone_into(&mut report.message);
    }
    if let Some(blocker) = plan.obstacle() {
        let verdict = decision(blocker.code);
        report.exit = verdict.exit;
        report.code = verdict.code;
        report.message = blocker.text;
        report.hint = Some(verdict.hint);
        report.next = Some(match verdict.next {
            Next::With(flag) => format!("{} {flag}", session.typed().instead_of("plan", "upgrade")),
            _ => session.typed().instead_of("plan", "plan"),
        });
    }
    let verdict = plan.verdict(limits);
    report.set_verdict(&verdict);
    if let Err(error) = verdict.check() {
        let told = failure::report(&error.into(), "plan", &session.typed());
        (report.exit, report.code, report.message) = (told.exit, told.code, told.message);
        (report.stop, report.hint, report.next) = (told.stop, told.hint, told.next);
    }
    report
}

/// What is known of the upgrade by its plan.
fn know(report: &mut Report, plan: &upgrade::model::Plan) {
    let code = plan.code.as_ref();
    report.know_images(code);
    report.facts.upgrade = upgrade::record::Facts {
        route: Some(plan.route.kind().to_owned()),
        cvm: code.map(|code| code.cvm.clone()),
        app: Some(plan.app),
        chain_id: Some(plan.chain_id),
        owner: Some(plan.app_state.owner),
        previous_compose_hash: plan.current_hash(),
        compose_hash: code.and_then(|code| code.expected_hash),
        policy: plan.policy.clone(),
        ..upgrade::record::Facts::default()
    };
}
