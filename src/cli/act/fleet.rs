//! Where the CVMs of a fleet stand, for people and programs, and what comes next for it.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Commands, Next};
use crate::cli::session::Session;
use crate::cli::session::advice::command_after;
use crate::cli::show::report::{self, Report};
use crate::text;
use crate::upgrade::{
    JournalError, UpgradeError,
    fleet::{Counts, Fleet, Halt, Member, Standing, Wave, WaveEnd},
    record::{Effect, Effects, Step},
};

/// The report of a run that was halted.
pub(in crate::cli) fn stopped(session: &Session, dir: &Path, command: &'static str, halt: Halt) -> Report {
    let mut report = unfinished(session, dir, command, &CliError::Upgrade(halt.error));
    if let Some(cvm) = halt.cvm.filter(|cvm| !report.message.contains(cvm)) {
        report.message = format!("{cvm}: {}", report.message);
    }
    report
}

/// The hash that it is about, as text.
pub(in crate::cli) fn hash_of(fleet: &Fleet) -> String {
    fleet.compose_hash().map_or_else(String::new, |hash| hash.to_string())
}

/// The report of a fleet that did not get to its end, with where each CVM stands as far as that can be read.
pub(in crate::cli) fn unfinished(session: &Session, dir: &Path, command: &'static str, error: &CliError) -> Report {
    let fleet = Fleet::open(dir);
    let next = FleetCommands {
        session,
        dir,
        approval: fleet.as_ref().ok().map(Fleet::approval),
    };
    let mut report = failure::report(error, command, &next);
    let (next, compared) = (report.next.take(), report.data.take());
    let told = fleet
        .map_err(CliError::from)
        .and_then(|fleet| tell(&mut report, session, &fleet));
    let nothing_there = |error: &CliError| match error {
        CliError::Upgrade(error) => matches!(**error, UpgradeError::Journal(JournalError::Missing { .. })),
        _ => false,
    };
    if told.as_ref().is_err_and(|error| !nothing_there(error)) {
        // What cannot be read may say anything.
        report.effects = report::NOTHING_READ;
        report.certain = Some(report::UNREADABLE.to_owned());
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

/// Next commands where the run was about a fleet.
pub(in crate::cli) struct FleetCommands<'a> {
    pub(in crate::cli) session: &'a Session,
    pub(in crate::cli) dir: &'a Path,
    /// The upgrade whose proposal is approved, where it is known.
    pub(in crate::cli) approval: Option<PathBuf>,
}

impl Commands for FleetCommands<'_> {
    fn command(&self, next: &Next) -> String {
        let typed = self.session.typed();
        match next {
            Next::Look | Next::List | Next::FleetStatus => typed.within(Some(self.dir)).step("fleet status"),
            Next::Resume => typed.command(&Next::Again),
            Next::Command(command) if !command.starts_with("fleet") => {
                typed.within(self.approval.as_deref()).command(next)
            }
            _ => typed.command(next),
        }
    }

    fn sources(&self) -> String {
        self.session.typed().sources()
    }
}

/// Where the fleet stands, for people and programs.
pub(in crate::cli) fn tell(report: &mut Report, session: &Session, fleet: &Fleet) -> Result<Counts, CliError> {
    let members = fleet.members();
    let counts = Counts::of(fleet, &members);
    let (app, chain_id) = fleet.app();
    report.facts.upgrade.app = Some(app);
    report.facts.upgrade.chain_id = Some(chain_id);
    report.facts.upgrade.compose_hash = fleet.compose_hash();
    report.effects = effects(&members);
    report.certain = Some(format!("{}.", sentence(&counts)));
    report.next = next(session, fleet, &members, &counts);
    let approval = fleet.approval().display().to_string();
    report.page.facts(&[
        ("approved in", Some(approval.clone())),
        ("compose hash", fleet.compose_hash().map(|hash| hash.to_string())),
        ("CVMs", Some(sentence(&counts))),
        ("last wave", fleet.wave().map(wave)),
    ]);
    report.page.line("");
    let rows = members.iter().map(|member| vec![text::name(&member.cvm), word(member)]);
    let left_out = fleet.left_out();
    let left_out = left_out.map(|(cvm, runs)| vec![text::name(cvm), why_left_out(runs.is_some()).to_owned()]);
    report
        .page
        .table(&["CVM", "STANDS"], &rows.chain(left_out).collect::<Vec<_>>());
    let left_out = fleet.left_out();
    report.data = Some(json!({
        "approval": approval,
        "compose_hash": fleet.compose_hash(),
        "counts": counts,
        "wave": fleet.wave(),
        "members": members.iter().map(data).collect::<Vec<_>>(),
        "left_out": left_out.map(|(cvm, hash)| json!({ "cvm": cvm, "compose_hash": hash })).collect::<Vec<_>>(),
    }));
    Ok(counts)
}

/// Who does not belong to it, and why, in one line.
pub(in crate::cli) fn left_out(fleet: &Fleet) -> String {
    let current = fleet.left_out().filter(|(_, runs)| runs.is_some()).count();
    let others = fleet.left_out().count() - current;
    let told = [
        (current, "run it already and are left out"),
        (others, "are left out as you said"),
    ];
    let told: Vec<String> = told
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    told.join(", ")
}

const fn why_left_out(runs: bool) -> &'static str {
    if runs {
        "left out: it ran the hash already"
    } else {
        "left out by --without"
    }
}

pub(in crate::cli) fn data(member: &Member) -> serde_json::Value {
    json!({
        "cvm": member.cvm,
        "dir": member.dir.display().to_string(),
        "standing": member.standing,
        "live": member.is_live(),
        "stopped": member.stopped,
        "status": member.status,
        "error": member.error.as_ref().map(ToString::to_string),
    })
}

/// What happens to each CVM is done when it is for all of them, and did not happen when it did for none; what happens
/// once is done when one of them knows so.
pub(in crate::cli) fn effects(members: &[Member]) -> Effects {
    let each = |pick: fn(&Effects) -> Effect| -> Vec<Effect> {
        let of = |member: &Member| {
            member
                .status
                .as_ref()
                .map_or(Effect::Maybe, |status| pick(&status.effects))
        };
        members.iter().map(of).collect()
    };
    let all = |pick| match each(pick).as_slice() {
        [first, others @ ..] if others.iter().all(|other| other == first) => *first,
        [] => Effect::None,
        _ => Effect::Maybe,
    };
    let once = |pick| {
        let known = each(pick);
        let furthest = [Effect::Done, Effect::Maybe]
            .into_iter()
            .find(|effect| known.contains(effect));
        furthest.unwrap_or_default()
    };
    Effects {
        prepare: all(|effects| effects.prepare),
        approval: once(|effects| effects.approval),
        transaction: once(|effects| effects.transaction),
        commit: all(|effects| effects.commit),
        live: all(|effects| effects.live),
    }
}

/// How many stand where, in one line.
pub(in crate::cli) fn sentence(counts: &Counts) -> String {
    let parts = [
        (counts.live, "run the hash"),
        (counts.committed, "are committed and not back yet"),
        (counts.committing, "have a commit whose outcome is not known"),
        (counts.approved, "are approved and not committed"),
        (counts.prepared, "are prepared"),
        (counts.preparing, "are not prepared yet"),
        (counts.given_up, "were given up"),
        (counts.unreadable, "cannot be read"),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    format!("of {} CVMs {}", counts.members, told.join(", "))
}

fn wave(wave: &Wave) -> String {
    let who = if wave.canary { "canaries" } else { "the others" };
    let how = match wave.end {
        Some(WaveEnd::Passed) => "passed",
        Some(WaveEnd::Stopped) => "stopped",
        None => "not at its end",
    };
    format!("{who} ({}), {how}", wave.members.len())
}

pub(in crate::cli) fn word(member: &Member) -> String {
    let word = match (member.standing, &member.error) {
        (Standing::Unreadable, Some(error)) => return format!("cannot be read: {error}"),
        (Standing::Unreadable, None) => "cannot be read",
        (Standing::Preparing, _) => "not prepared yet",
        (Standing::Prepared, _) => "prepared",
        (Standing::Approved, _) => "approved",
        (Standing::Committing, _) => "commit sent, outcome not known",
        (Standing::Committed, _) => "committed, not back yet",
        (Standing::Live, _) => "live",
        (Standing::GivenUp, _) => "given up",
    };
    match &member.stopped {
        Some(why) => format!("{word}; stopped: {why}"),
        None => word.to_owned(),
    }
}

/// What comes next: the approval of the one proposal, then the commits.
fn next(session: &Session, fleet: &Fleet, members: &[Member], counts: &Counts) -> Option<String> {
    fleet.compose_hash()?;
    let approval = fleet.approval();
    let lead = members.iter().find(|member| member.dir == approval)?;
    let status = lead.status.as_ref()?;
    if counts.live + counts.given_up == counts.members {
        return None;
    }
    if status.effects.transaction == Effect::Done {
        let dir = approval.parent()?;
        return Some(session.typed().within(Some(dir)).step("fleet commit"));
    }
    let typed = session.typed().within(Some(&approval));
    let is_signed_by_owners = status.step == Step::Approve && status.facts.safe_tx_hash.is_some();
    if is_signed_by_owners {
        let signed = status.facts.signed_by.as_ref().map_or(0, Vec::len);
        let needed = status.facts.threshold.and_then(|needed| usize::try_from(needed).ok());
        // The owners' file: each reviews it and signs it.
        let command = if needed.is_some_and(|needed| signed >= needed) {
            "execute"
        } else {
            "review"
        };
        return Some(typed.step(command));
    }
    command_after(status.step).map(|command| typed.step(command))
}
