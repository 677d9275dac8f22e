//! Begins an upgrade: plans, shows the plan, prepares and goes on; or sends values alone, which is no upgrade.

use std::path::Path;

use serde_json::json;

use crate::cli::act::api::get;
use crate::cli::act::attest::{self, Attesting};
use crate::cli::act::waiting::conclude;
use crate::cli::failure::decision;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::settings::{ROOT, Settings};
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cli::show::view;
use crate::code::Code;
use crate::upgrade::{
    self, Goal, Upgrade, UpgradeError, Warning, World,
    adoption::Received,
    model::{Intent, Plan},
    record::{Facts, Step},
    steps::ValuesChange,
};

/// Code of a change of values alone, whether it was sent or only seen.
pub(in crate::cli) const VALUES_ONLY: Code = Code::EnvValuesOnly;

/// An upgrade to begin.
pub(in crate::cli) struct Beginning<'a> {
    pub(in crate::cli) intent: Intent,
    /// The directory that was named.
    pub(in crate::cli) dir: Option<&'a Path>,
    pub(in crate::cli) goal: Goal,
    /// The command that asks for it.
    pub(in crate::cli) command: &'a str,
    /// What a person should know of it besides.
    pub(in crate::cli) remarks: Vec<Warning>,
    /// What somebody else prepared of it already.
    pub(in crate::cli) received: Option<Received>,
}

/// Plans, shows the plan, and takes a new upgrade as far as the goal. A change of values alone is no upgrade: it is sent
/// where the goal is that the CVM runs it.
pub(in crate::cli) async fn begin(
    session: &Session,
    settings: &Settings,
    beginning: Beginning<'_>,
) -> Result<Report, CliError> {
    let Beginning {
        intent, goal, command, ..
    } = &beginning;
    let attesting = Attesting::of(session, settings)?;
    let outside = session.outside(settings);
    let world = outside.world();
    let mut plan = upgrade::plan(&world, intent).await?;
    upgrade::recall(&mut plan, Path::new(ROOT))?;
    plan.warnings.extend(beginning.remarks.iter().cloned());
    let usual = || Upgrade::fresh_dir(Path::new(ROOT), &plan);
    let dir = beginning.dir.map_or_else(usual, Path::to_owned);
    upgrade::steps::look_ahead(&world, &mut plan, &dir, &settings.limits).await?;
    if let Some(values) = ValuesChange::find(&plan, Some(&dir), Path::new(ROOT))? {
        show(session, None, &plan);
        return match goal {
            Goal::Live | Goal::Committed => send(&world, settings, values, about_values(&plan, command)).await,
            _ => Ok(nothing_to_prepare(session, &plan, command)),
        };
    }
    if *goal == Goal::Live {
        refuse_without_key(session, settings, &plan, &dir)?;
    }
    session.about(&dir);
    let begun = match &beginning.received {
        None => Upgrade::begin(&dir, plan.clone(), &settings.limits),
        Some(received) => Upgrade::begin_received(&dir, plan.clone(), &settings.limits, received),
    };
    show(session, begun.as_ref().ok(), &plan);
    let mut upgrade = begun?;
    let outcome = upgrade.advance(&world, *goal, &settings.limits).await?;
    let mut report = session.went(&upgrade, &outcome, command);
    if upgrade.verdict().is_none() {
        report.set_verdict(&plan.verdict(&settings.limits));
    }
    attest::follow(attesting, &upgrade, report).await
}

/// What one key has to approve is not begun in the cloud before it is known which key that is.
fn refuse_without_key(session: &Session, settings: &Settings, plan: &Plan, dir: &Path) -> Result<(), CliError> {
    if !plan.route.is_key() {
        return Ok(());
    }
    let is_over = plan.app_state.hash_allowed == Some(true) || upgrade::holds(dir);
    if settings.signer.is_some() || is_over || !plan.blockers.is_empty() {
        return Ok(());
    }
    show(session, None, plan);
    Err(UpgradeError::decide(
        Code::SignerNeeded,
        format!("{} has to sign, and no key was named", plan.actor.address),
    )
    .into())
}

/// Sends other values, and says in a report about them what became of them.
pub(in crate::cli) async fn send(
    world: &World<'_>,
    settings: &Settings,
    values: ValuesChange,
    mut report: Report,
) -> Result<Report, CliError> {
    let id = values.cvm().clone();
    let sent = values.send(world, &settings.limits).await?;
    report.message = match sent.earlier {
        false => "only values of the environment changed, which nobody has to approve: they were taken",
        true => "the guest has these values from an earlier run, so nothing was sent",
    }
    .to_owned();
    report.next = Some(get(&id));
    report.certain = None;
    report
        .facts
        .upgrade
        .correlation_id
        .clone_from(&sent.accepted.correlation_id);
    report
        .page
        .facts(&[("operation", sent.accepted.correlation_id.clone())]);
    report.data = Some(json!({ "accepted": sent.accepted, "earlier": sent.earlier }));
    Ok(match sent.settled {
        Some(settled) => {
            let operation = sent.accepted.correlation_id.as_deref();
            conclude(report, &id, settled, operation)
        }
        None => report,
    })
}

fn nothing_to_prepare(session: &Session, plan: &Plan, command: &str) -> Report {
    let mut report = about_values(plan, command);
    "only values of the environment change, no names: nobody has to approve that on chain, so there is nothing to prepare"
        .clone_into(&mut report.message);
    let verdict = decision(report.code);
    (report.exit, report.hint) = (verdict.exit, Some(verdict.hint));
    report.next = Some(session.typed().instead_of(command, "upgrade"));
    report
}

/// The report of a change of values alone, before it is known what became of them.
pub(in crate::cli) fn about_values(plan: &Plan, command: &str) -> Report {
    let mut report = Report::done(command, "");
    report.code = VALUES_ONLY;
    report.warnings.clone_from(&plan.warnings);
    report.facts.upgrade = Facts {
        cvm: plan.code.as_ref().map(|code| code.cvm.clone()),
        app: Some(plan.app),
        chain_id: Some(plan.chain_id),
        owner: Some(plan.app_state.owner),
        compose_hash: plan.current_hash(),
        ..Facts::default()
    };
    report
}

/// Shows what will be decided about: the plan that an upgrade was begun with, or the one that could not begin.
pub(in crate::cli) fn show(session: &Session, upgrade: Option<&Upgrade>, plan: &Plan) {
    if upgrade.is_some_and(|upgrade| upgrade.status().step == Step::Finished) {
        return;
    }
    let mut page = Page::default();
    view::plan(
        &mut page,
        upgrade.and_then(|upgrade| upgrade.state().plan()).unwrap_or(plan),
    );
    session.out.detail(&page);
}
