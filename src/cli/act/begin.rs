//! Begins an upgrade: plans, shows the plan, prepares and goes on; or sends values alone, which is no upgrade.

use std::path::Path;

use serde_json::json;

use crate::cli::act::api::get;
use crate::cli::act::waiting::conclude;
use crate::cli::args::{Change, Governor, NewDir};
use crate::cli::failure::decision;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::settings::{self, Project, ROOT, Settings};
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cli::show::view;
use crate::code::Code;
use crate::upgrade::{
    self, Goal, Upgrade, UpgradeError, World,
    model::{Intent, Plan},
    record::{Facts, Step},
    steps::ValuesChange,
};

/// Code of a change of values alone, whether it was sent or only seen.
pub(in crate::cli) const VALUES_ONLY: Code = Code::EnvValuesOnly;

/// Plans, shows the plan, and takes a new upgrade as far as `goal`.
pub(in crate::cli) async fn begin(
    session: &Session,
    settings: &Settings,
    (change, dir, governor): (&Change, &NewDir, &Governor),
    goal: (Goal, &str),
) -> Result<Report, CliError> {
    let intent = settings::intent(
        change,
        &Project::here()?,
        (&settings.limits.trust, governor),
        (&session.env, &|news| session.out.progress(news)),
    )?;
    start(session, settings, intent.value, (dir.dir.as_deref(), goal)).await
}

/// Plans, shows the plan, and takes a new upgrade as far as the goal. A change of values alone is no upgrade: it is sent
/// where the goal is that the CVM runs it.
pub(in crate::cli) async fn start(
    session: &Session,
    settings: &Settings,
    intent: Intent,
    (dir, goal): (Option<&Path>, (Goal, &str)),
) -> Result<Report, CliError> {
    let outside = session.outside(settings);
    let world = outside.world();
    let mut plan = upgrade::plan(&world, &intent).await?;
    upgrade::recall(&mut plan, &upgrade::find(Path::new(ROOT))?);
    let dir = dir.map_or_else(|| Upgrade::default_dir(Path::new(ROOT), &plan), Path::to_owned);
    upgrade::steps::look_ahead(&world, &mut plan, (&dir, &settings.limits)).await?;
    if let Some(values) = ValuesChange::find(&plan, Some(&dir), Path::new(ROOT))? {
        show(session, None, &plan);
        return match goal.0 {
            Goal::Live | Goal::Committed => send(&world, settings, (values, &plan), goal.1).await,
            _ => Ok(nothing_to_prepare(session, &plan, goal.1)),
        };
    }
    refuse_without_key(session, (settings, &plan), (&dir, goal.0))?;
    session.about(&dir);
    let begun = Upgrade::begin(&dir, plan.clone(), &settings.limits);
    show(session, begun.as_ref().ok(), &plan);
    let mut upgrade = begun?;
    let outcome = upgrade.advance(&world, goal.0, &settings.limits).await?;
    let mut report = session.went(&upgrade, &outcome, goal.1);
    if upgrade.verdict().is_none() {
        report.set_verdict(&plan.verdict(&settings.limits));
    }
    Ok(report)
}

/// What one key has to approve is not begun in the cloud before it is known which key that is.
fn refuse_without_key(
    session: &Session,
    (settings, plan): (&Settings, &Plan),
    (dir, goal): (&Path, Goal),
) -> Result<(), CliError> {
    if !plan.route.is_key() {
        return Ok(());
    }
    let is_over = plan.app_state.hash_allowed == Some(true) || upgrade::holds(dir);
    if goal != Goal::Live || settings.signer.is_some() || is_over || !plan.blockers.is_empty() {
        return Ok(());
    }
    show(session, None, plan);
    Err(UpgradeError::decide(
        Code::SignerNeeded,
        format!("{} has to sign, and no key was named", plan.actor.address),
    )
    .into())
}

/// Sends other values and says what became of them.
pub(in crate::cli) async fn send(
    world: &World<'_>,
    settings: &Settings,
    (values, plan): (ValuesChange, &Plan),
    command: &str,
) -> Result<Report, CliError> {
    let id = values.cvm().clone();
    let sent = values.send(world, &settings.limits).await?;
    let said = match sent.earlier {
        false => "only values of the environment changed, which nobody has to approve: they were taken",
        true => "the guest has these values from an earlier run, so nothing was sent",
    };
    let mut report = about_values(plan, command, said);
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
            conclude(report, &id, (settled, operation))
        }
        None => report,
    })
}

fn nothing_to_prepare(session: &Session, plan: &Plan, command: &str) -> Report {
    let mut report = about_values(
        plan,
        command,
        "only values of the environment change, no names: nobody has to approve that on chain, so there is nothing to prepare",
    );
    let verdict = decision(report.code);
    (report.exit, report.hint) = (verdict.exit, Some(verdict.hint));
    report.next = Some(session.typed().instead_of(command, "upgrade"));
    report
}

fn about_values(plan: &Plan, command: &str, message: &str) -> Report {
    let mut report = Report::done(command, message);
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
    session.out.aside(&page);
}
