//! `fleet` for several apps of one owner: one transaction for all of them, one fleet for each.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::act::fleet::{FleetCommands, data, effects, sentence, word};
use crate::cli::act::fleet_attest::Proofs;
use crate::cli::failure;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::upgrade::{
    Upgrade, Warning,
    fleet::{Apps, Counts, Fleet, Halt},
};

/// What preparing so many of them came to.
pub(super) fn prepared(
    session: &Session,
    dir: &Path,
    prepared: Result<Apps, Halt>,
    wanted: usize,
) -> Result<Report, CliError> {
    let apps = match prepared {
        Ok(apps) => apps,
        Err(halt) => return Ok(stopped(session, dir, "fleet prepare", halt)),
    };
    let mut report = Report::done("fleet prepare", String::new());
    let told = tell(&mut report, session, &apps)?;
    report.message = format!("{wanted} apps are prepared for one transaction: {told}");
    Ok(report)
}

/// Where all of them stand.
pub(super) fn status(session: &Session, dir: &Path) -> Result<Report, CliError> {
    let mut report = Report::done("fleet status", "read from the journals");
    tell(&mut report, session, &Apps::open(dir)?)?;
    Ok(report)
}

/// What committing all of them came to.
pub(super) async fn committed(
    session: &Session,
    dir: &Path,
    committed: Result<Vec<Warning>, Halt>,
    proofs: Proofs<'_>,
) -> Result<Report, CliError> {
    let apps = Apps::open(dir)?;
    let warnings = match committed {
        Ok(warnings) => warnings,
        Err(halt) => return Ok(proofs.tell(stopped(session, dir, "fleet commit", halt))),
    };
    for fleet in apps.fleets()? {
        proofs.look_at_rest(&fleet.members()).await;
    }
    let mut report = Report::done("fleet commit", String::new());
    let told = tell(&mut report, session, &apps)?;
    report.message = format!("nothing is left to commit: {told}");
    report.warnings.extend(warnings);
    Ok(proofs.tell(report))
}

/// The report of what did not get to its end, with where each CVM stands where that is known.
fn stopped(session: &Session, dir: &Path, command: &'static str, halt: Halt) -> Report {
    let apps = Apps::open(dir).ok();
    let next = FleetCommands {
        session,
        dir,
        approval: apps.as_ref().and_then(|apps| approval(apps).ok()),
    };
    let mut report = failure::report(&CliError::Upgrade(halt.error), command, &next);
    if let Some(cvm) = halt.cvm.filter(|cvm| !report.message.contains(cvm)) {
        report.message = format!("{cvm}: {}", report.message);
    }
    let (next, compared) = (report.next.take(), report.data.take());
    if let Some(Err(error)) = apps.map(|apps| tell(&mut report, session, &apps)) {
        report.effects = crate::cli::show::report::NOTHING_READ;
        tracing::debug!(?error, "where the apps stand cannot be read");
    }
    report.next = next;
    if let Some(compared) = compared {
        match &mut report.data {
            Some(serde_json::Value::Object(data)) => {
                data.insert("stop".to_owned(), compared);
            }
            data => *data = Some(compared),
        }
    }
    report
}

/// The upgrade whose proposal is approved.
fn approval(apps: &Apps) -> Result<PathBuf, CliError> {
    Ok(apps.fleets()?.first().map(Fleet::approval).unwrap_or_default())
}

/// Where every app and every CVM stands, for people and programs; gives it in one line.
fn tell(report: &mut Report, session: &Session, apps: &Apps) -> Result<String, CliError> {
    let (fleets, approval) = (apps.fleets()?, approval(apps)?);
    let state = Upgrade::peek(&approval)?;
    report
        .page
        .facts(&[("approved in", Some(approval.display().to_string()))]);
    let (mut all, mut each, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_over = true;
    for (index, fleet) in fleets.iter().enumerate() {
        let (app, chain_id) = fleet.app();
        let members = fleet.members();
        let counts = Counts::of(fleet, &members);
        let asked = index == 0 || state.asks_of(app);
        let how = if asked {
            "by the one transaction"
        } else {
            "none needed: it was allowed already"
        };
        report.facts.upgrade.chain_id = Some(chain_id);
        report.page.heading(&format!("app {app}"));
        report.page.facts(&[
            ("compose hash", fleet.compose_hash().map(|hash| hash.to_string())),
            ("approval", Some(how.to_owned())),
            ("CVMs", Some(sentence(&counts))),
        ]);
        let rows = members.iter().map(|member| (member.cvm.as_str(), Some(word(member))));
        report.page.facts(&rows.collect::<Vec<_>>());
        each.push(json!({
            "app": app,
            "compose_hash": fleet.compose_hash(),
            "asked": asked,
            "counts": counts,
            "members": members.iter().map(data).collect::<Vec<_>>(),
        }));
        lines.push(sentence(&counts));
        is_over &= counts.live + counts.given_up == counts.members;
        all.extend(members);
    }
    let told = lines.join("; ");
    report.effects = effects(&all);
    report.certain = Some(format!("{told}."));
    report.data = Some(json!({ "approval": approval, "apps": each }));
    report.next = match is_over {
        true => None,
        false if state.is_approved() => Some(session.typed().within(Some(apps.dir())).step("fleet commit")),
        false => Some(session.typed().within(Some(&approval)).step("review")),
    };
    Ok(told)
}
