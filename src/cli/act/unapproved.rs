//! A change of a CVM that no KMS on a chain guards: its plan, and its application at once with consent.

use std::path::Path;

use serde_json::json;

use crate::cli::act::api::get;
use crate::cli::act::waiting::conclude;
use crate::cli::failure;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::settings::{ROOT, Settings};
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cli::show::view;
use crate::code::Code;
use crate::upgrade::{
    Limits, Warning,
    model::{Intent, Plan, UnapprovedPlan},
    record::{Effect, Facts},
    steps::{Planned, applied_effects, plan_either},
};

/// The option that applies it.
pub(in crate::cli) const WITHOUT_APPROVAL: &str = "--without-approval";

/// What such a plan is for people and programs.
pub(in crate::cli) fn planned(session: &Session, plan: &UnapprovedPlan, limits: &Limits) -> Report {
    let mut report = report("plan", plan);
    "nobody has to approve it, and nobody can: `upgrade --without-approval` applies it at once"
        .clone_into(&mut report.message);
    view::unapproved(&mut report.page, plan);
    report.data = serde_json::to_value(plan).ok();
    let upgrade = session.typed().instead_of("plan", "upgrade");
    report.next = Some(format!("{upgrade} {WITHOUT_APPROVAL}"));
    if let Some(blocker) = plan.blockers.first() {
        let verdict = failure::decision(blocker.code);
        (report.exit, report.code) = (verdict.exit, verdict.code);
        report.message.clone_from(&blocker.text);
        report.hint = Some(verdict.hint);
        report.next = Some(session.typed().instead_of("plan", "plan"));
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

/// Shows the plan, applies it with consent, and says what became of it; in the directory that was named.
pub(in crate::cli) async fn apply(
    session: &Session,
    settings: &Settings,
    asked: (&Intent, Option<&Path>),
) -> Result<Report, CliError> {
    let (intent, dir) = asked;
    let outside = session.outside(settings);
    let world = outside.world();
    let plan = match plan_either(&world, intent).await? {
        Planned::Unapproved(plan) => plan,
        Planned::Approved(plan) => return Err(guarded(&plan)),
    };
    let usual = || plan.default_dir(Path::new(ROOT));
    let dir = dir.map_or_else(usual, Path::to_owned);
    let mut page = Page::default();
    view::unapproved(&mut page, &plan);
    session.out.detail(&page);
    session.about(&dir);
    let applied = plan.apply(&world, &dir, &settings.limits).await?;
    let mut report = report("upgrade", &plan);
    if let Some(effects) = applied_effects(&dir) {
        know(&mut report, effects);
    }
    report.message = match applied.earlier {
        false => "nobody approved anything: Phala Cloud took the change at once",
        true => "nobody approved anything: Phala Cloud took the change from an earlier run, so nothing was sent",
    }
    .to_owned();
    let id = intent.cvm.clone();
    report.next = Some(get(&id));
    report.facts.upgrade.correlation_id.clone_from(&applied.operation);
    report.page.facts(&[("operation", applied.operation.clone())]);
    report.data = Some(json!({ "approved_by": null, "earlier": applied.earlier, "operation": applied.operation }));
    Ok(match applied.settled {
        Some(settled) => conclude(report, &id, settled, applied.operation.as_deref()),
        None => report,
    })
}

/// What is certain of a change that was applied without an approval: whether Phala Cloud took it, and whether the CVM runs it.
pub(in crate::cli) fn know(report: &mut Report, effects: (Effect, Effect)) {
    let (taken, live) = effects;
    report.effects.commit = taken;
    report.effects.live = live;
    report.certain = Some(
        match (taken, live) {
            (Effect::Done, Effect::Done) => "Phala Cloud took the change, and the CVM runs it.",
            (Effect::Done, _) => "Phala Cloud took the change; whether the CVM runs it yet is not known.",
            _ => "Phala Cloud may have taken the change.",
        }
        .to_owned(),
    );
}

/// Somebody has to approve it after all.
fn guarded(plan: &Plan) -> CliError {
    let code = Code::UsageKmsOnchain;
    let said = failure::by_code(code);
    CliError::Usage {
        code,
        message: format!(
            "the app's owner {} has to approve it: a KMS on chain {} guards the CVM",
            plan.app_state.owner, plan.chain_id
        ),
        hint: said.hint,
        next: said.next,
    }
}

/// A report about it that says first that nobody approves anything.
fn report(command: &str, plan: &UnapprovedPlan) -> Report {
    let mut report = Report::done(command, "");
    report.warnings.push(Warning {
        code: Code::KmsOffchain,
        text:
            "no KMS on a chain guards the CVM: nobody approves what it runs, and whoever has the API key can change it"
                .to_owned(),
    });
    report.warnings.extend(plan.warnings.iter().cloned());
    report.facts.upgrade = Facts {
        cvm: Some(plan.code.cvm.clone()),
        app: plan.app,
        previous_compose_hash: plan.code.current_hash,
        compose_hash: plan.code.expected_hash,
        ..Facts::default()
    };
    report
}
