//! `fleet`: several CVMs by one approval, of one app or of several apps that one owner has.

mod apps;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::args::also::Also;
use crate::cli::args::values;
use crate::cli::args::{Agree, Allow, Change, Governor, Multisig, Notices, Reach, Settle, Watch};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Commands, Next};
use crate::cli::session::Session;
use crate::cli::session::advice::command_after;
use crate::cli::session::settings::{self, Project, Typed};
use crate::cli::show::report::{self, Report};
use crate::cloud::CvmId;
use crate::code::Code;
use crate::upgrade::{
    self, AppIntent, Apps, Counts, Effect, Effects, Halt, JournalError, Member, Standing, Step, UpgradeError, Wave,
    WaveEnd, Waves,
};

/// Upgrade several CVMs by one approval, of one app or of several apps of one owner
///
/// `prepare` prepares the change for each of them and compares the hashes of each app. The first one's proposal is approved
/// by the ordinary commands (`review`, `sign`, `execute`, `wait`, with its directory). `commit` then commits them in waves:
/// the canaries first, the rest only when those run the hash. Several apps need one Safe or timelock as their owner: one
/// transaction makes the calls of all, and each app is committed by its own proof.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fleet {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "arguments exist once a run")]
enum FleetCommand {
    /// Prepare a change for several CVMs, and write the proposal that is approved for all of them
    #[command(after_help = "Examples:\n  \
        countersign fleet prepare --cvm my-app --all -c docker-compose.yml --dir release-7\n  \
        countersign fleet prepare --cvm my-app -c docker-compose.yml --also my-api=api/docker-compose.yml --dir release-8")]
    Prepare(Prepare),
    /// Show where each CVM stands, from the journal alone
    #[command(after_help = "Example:\n  countersign fleet status --dir release-7")]
    Status(Place),
    /// Commit every CVM that does not run the hash yet, the canaries first
    #[command(after_help = "Example:\n  countersign fleet commit --dir release-7 --canary 1 --parallel 8 --yes")]
    Commit(Commit),
}

#[derive(Debug, Args)]
struct Place {
    /// Directory of the fleet
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Prepare {
    #[command(flatten)]
    change: Change,
    /// Another CVM, of the same app or of another app of the same owner, with a Docker Compose file of its own where it has
    /// one; repeat it, or separate by commas
    #[arg(long, value_name = "ID[=FILE]", value_delimiter = ',', help_heading = "What changes")]
    also: Vec<Also>,
    /// Every CVM of the app; those that run the hash already are left out
    #[arg(long, conflicts_with = "also", help_heading = "What changes")]
    all: bool,
    /// Leave this CVM out; repeat it, or separate by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "What changes", value_parser = values::cvm)]
    without: Vec<CvmId>,
    #[command(flatten)]
    place: Place,
    /// How many are prepared at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = values::whole::<usize>(1..))]
    parallel: usize,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    timelock: Governor,
    #[command(flatten)]
    allow: Allow,
}

#[derive(Debug, Args)]
struct Commit {
    #[command(flatten)]
    place: Place,
    /// How many go first, alone
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = values::whole::<usize>(0..))]
    canary: usize,
    /// How many are under way at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = values::whole::<usize>(1..))]
    parallel: usize,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    agree: Agree,
    #[command(flatten)]
    watch: Watch,
}

impl Fleet {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            FleetCommand::Prepare(prepare) => prepare.run(session).await,
            FleetCommand::Status(place) => place.run(session),
            FleetCommand::Commit(commit) => commit.run(session).await,
        }
    }
}

impl Prepare {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = Typed {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            allow: Some(&self.allow),
            ..Typed::default()
        };
        let settings = session.settings(typed)?;
        let intent = settings::intent(
            &self.change,
            &Project::here()?,
            (&settings.limits.trust, &self.timelock),
            (&session.env, &|news| session.out.progress(news)),
        )?
        .value;
        let outside = session.outside(&settings)?;
        let world = outside.world();
        let mut apps = self.apps(&world, &intent).await?;
        if apps.len() > 1 {
            return apps::prepare(
                session,
                &self.place.dir,
                (&world, &settings.limits),
                (apps, self.parallel),
            )
            .await;
        }
        let AppIntent { intent, invited } = match apps.pop() {
            Some(only) => only,
            None => AppIntent {
                invited: self.invitation(self.members(&world, &intent.cvm).await?),
                intent,
            },
        };
        let limits = (&settings.limits, self.parallel);
        let dir = &self.place.dir;
        session.about(dir);
        let fleet = match upgrade::Fleet::prepare(dir, &world, (&intent, &invited), limits).await {
            Ok(fleet) => fleet,
            Err(halt) => return Ok(stopped(session, dir, ("fleet prepare", halt))),
        };
        let mut report = Report::done("fleet prepare", String::new());
        let counts = tell(&mut report, session, &fleet)?;
        let left_out = match counts.left_out {
            0 => String::new(),
            _ => format!("; {}", left_out(&fleet)),
        };
        report.message = format!("{} CVMs are prepared for {}{left_out}", counts.members, hash_of(&fleet));
        Ok(report)
    }

    /// The one that was named first, then the others, each once.
    async fn members(&self, world: &upgrade::World<'_>, first: &CvmId) -> Result<Vec<CvmId>, CliError> {
        let mut members = vec![first.clone()];
        let others = if self.all {
            let own = world.cloud.cvm(first).await?;
            let app = own.app_id.ok_or_else(|| {
                CliError::from(upgrade::UpgradeError::Decide {
                    code: Code::AppUnknown,
                    message: format!("Phala Cloud names no app for `{first}`"),
                    source: None,
                })
            })?;
            let mut all = upgrade::cvms_of(world, app).await?;
            // The first may have been named otherwise than the list names it.
            all.retain(|cvm| {
                Some(&cvm.to_string()) != own.name.as_ref() && Some(&cvm.to_string()) != own.uuid.as_ref()
            });
            all
        } else {
            self.also.iter().map(|also| also.cvm.clone()).collect()
        };
        for cvm in others {
            if !members.contains(&cvm) {
                members.push(cvm);
            }
        }
        Ok(members)
    }
}

impl Place {
    fn run(&self, session: &Session) -> Result<Report, CliError> {
        if Apps::are_in(&self.dir) {
            return apps::status(session, &self.dir);
        }
        session.about(&self.dir);
        let fleet = upgrade::Fleet::open(&self.dir)?;
        let mut report = Report::done("fleet status", "read from the journal");
        tell(&mut report, session, &fleet)?;
        Ok(report)
    }
}

impl Commit {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = Typed {
            reach: Some(&self.reach),
            settle: Some(&self.settle),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            watch: Some(&self.watch),
            ..Typed::default()
        };
        let settings = session.settings(typed)?;
        let dir = &self.place.dir;
        let outside = session.outside(&settings)?;
        let waves = Waves {
            canary: self.canary,
            parallel: self.parallel,
        };
        if Apps::are_in(dir) {
            return apps::commit(session, dir, (&outside.world(), &settings.limits), waves).await;
        }
        session.about(dir);
        let fleet = upgrade::Fleet::open(dir)?;
        let told = match fleet.commit(&outside.world(), &settings.limits, waves).await {
            Ok(told) => told,
            Err(halt) => return Ok(stopped(session, dir, ("fleet commit", halt))),
        };
        let mut report = Report::done("fleet commit", String::new());
        let counts = tell(&mut report, session, &upgrade::Fleet::open(dir)?)?;
        report.message = match told.is_empty() {
            true if counts.live == counts.members => format!("every CVM runs {}", hash_of(&fleet)),
            _ => format!("nothing is left to commit; {}", sentence(&counts)),
        };
        report.warnings.extend(told);
        Ok(report)
    }
}

fn stopped(session: &Session, dir: &Path, (command, halt): (&'static str, Halt)) -> Report {
    unfinished(session, dir, (command, halt.cvm, &CliError::Upgrade(halt.error)))
}

/// The report of a fleet that did not get to its end, with where each CVM stands as far as that can be read.
pub(in crate::cli) fn unfinished(
    session: &Session,
    dir: &Path,
    (command, cvm, error): (&'static str, Option<String>, &CliError),
) -> Report {
    let fleet = upgrade::Fleet::open(dir);
    let next = FleetCommands {
        session,
        dir,
        approval: fleet.as_ref().ok().map(upgrade::Fleet::approval),
    };
    let mut report = failure::report(error, command, &next);
    if let Some(cvm) = cvm.filter(|cvm| !report.message.contains(cvm)) {
        report.message = format!("{cvm}: {}", report.message);
    }
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
struct FleetCommands<'a> {
    session: &'a Session,
    dir: &'a Path,
    approval: Option<PathBuf>,
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

fn hash_of(fleet: &upgrade::Fleet) -> String {
    fleet.compose_hash().map_or_else(String::new, |hash| hash.to_string())
}

/// Where the fleet stands, for people and programs.
fn tell(report: &mut Report, session: &Session, fleet: &upgrade::Fleet) -> Result<Counts, CliError> {
    let members = fleet.members()?;
    let counts = Counts::of(fleet, &members);
    let (app, chain_id) = fleet.app();
    report.facts.upgrade.app = Some(app);
    report.facts.upgrade.chain_id = Some(chain_id);
    report.facts.upgrade.compose_hash = fleet.compose_hash();
    report.effects = effects(&members);
    report.certain = Some(format!("{}.", sentence(&counts)));
    report.next = next(session, fleet, (&members, &counts));
    let approval = fleet.approval().display().to_string();
    report.page.facts(&[
        ("approved in", Some(approval.clone())),
        ("compose hash", fleet.compose_hash().map(|hash| hash.to_string())),
        ("CVMs", Some(sentence(&counts))),
        ("last wave", fleet.wave().map(wave)),
    ]);
    report.page.heading("each");
    let rows = members.iter().map(|member| (member.cvm.as_str(), Some(word(member))));
    let left_out = fleet.left_out();
    let left_out = left_out.map(|(cvm, runs)| (cvm, Some(why_left_out(runs.is_some()).to_owned())));
    report.page.facts(&rows.chain(left_out).collect::<Vec<_>>());
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
fn left_out(fleet: &upgrade::Fleet) -> String {
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

fn data(member: &Member) -> serde_json::Value {
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
fn effects(members: &[Member]) -> Effects {
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
fn sentence(counts: &Counts) -> String {
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

fn word(member: &Member) -> String {
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
fn next(session: &Session, fleet: &upgrade::Fleet, (members, counts): (&[Member], &Counts)) -> Option<String> {
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
