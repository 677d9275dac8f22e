//! `fleet`: several CVMs of one app by one approval.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::args::{Agree, Allow, Change, Governor, Multisig, Notices, Reach, Settle, Watch};
use crate::cli::error::CliError;
use crate::cli::failure;
use crate::cli::report::{self, Report};
use crate::cli::session::Session;
use crate::cli::settings::{self, Project, Settings, Typed};
use crate::cloud::CvmId;
use crate::upgrade::{self, Member, Waves};

/// Upgrade several CVMs of one app by one approval
///
/// `prepare` prepares the same change for each of them and compares the hashes. The first one's proposal is approved by
/// the ordinary commands (`review`, `sign`, `execute`, `wait`, with its directory). `commit` then commits them in waves:
/// the canaries first, the rest only when those run the hash.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fleet {
    #[command(subcommand)]
    command: FleetCommand,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "arguments exist once a run")]
enum FleetCommand {
    /// Prepare the same change for several CVMs of one app, and write the proposal that is approved for all of them
    #[command(after_help = "Example:\n  \
        countersign fleet prepare --cvm my-app --all -c docker-compose.yml --dir release-7")]
    Prepare(Prepare),
    /// Show where each CVM stands, from the journals alone
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
    /// Another CVM of the same app; repeat it, or separate by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "What changes")]
    also: Vec<CvmId>,
    /// Every CVM of the app
    #[arg(long, conflicts_with = "also", help_heading = "What changes")]
    all: bool,
    #[command(flatten)]
    place: Place,
    /// How many are prepared at once
    #[arg(long, value_name = "N", default_value_t = 8)]
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
    #[arg(long, value_name = "N", default_value_t = 1)]
    canary: usize,
    /// How many are under way at once
    #[arg(long, value_name = "N", default_value_t = 8)]
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
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
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
        let settings = Settings::gather(typed, &session.env)?;
        let intent = settings::intent(
            &self.change,
            &Project::here()?,
            (&self.safe, &self.timelock),
            (&session.env, &|news| session.out.progress(news)),
        )?
        .value;
        let outside = session.outside(&settings)?;
        let world = outside.world();
        let cvms = self.members(&world, &intent.cvm).await?;
        let fleet = upgrade::Fleet::prepare(
            &self.place.dir,
            &world,
            (&intent, &cvms),
            (&settings.limits, self.parallel),
        )
        .await?;
        let mut report = Report::done(
            "fleet prepare",
            format!(
                "{} CVMs are prepared for {}; nothing was signed, sent or committed",
                cvms.len(),
                fleet.compose_hash()
            ),
        );
        tell(&mut report, &fleet);
        let approval = fleet.approval();
        session.about(&approval);
        report.next = Some(session.typed().step("execute"));
        Ok(report)
    }

    /// The one that was named first, then the others, each once.
    async fn members(&self, world: &upgrade::World<'_>, first: &CvmId) -> Result<Vec<CvmId>, CliError> {
        let mut members = vec![first.clone()];
        let others = if self.all {
            let own = world.cloud.cvm(first).await?;
            let app = own.app_id.ok_or_else(|| {
                CliError::from(upgrade::UpgradeError::Decide {
                    code: "APP_UNKNOWN",
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
            self.also.clone()
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
    fn run(&self, _: &Session) -> Result<Report, CliError> {
        let fleet = open(&self.dir)?;
        let mut report = Report::done("fleet status", "read from the journals");
        tell(&mut report, &fleet);
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
        let settings = Settings::gather(typed, &session.env)?;
        let fleet = open(&self.place.dir)?;
        let outside = session.outside(&settings)?;
        let waves = Waves {
            canary: self.canary,
            parallel: self.parallel,
        };
        let ended = fleet.commit(&outside.world(), &settings.limits, waves).await;
        let mut report = match ended {
            Ok(()) => Report::done("fleet commit", format!("every CVM runs {}", fleet.compose_hash())),
            Err(error) => failure::report(&CliError::from(error), "fleet commit", &session.typed()),
        };
        tell(&mut report, &fleet);
        Ok(report)
    }
}

/// A missing list is the user's to correct.
fn open(dir: &Path) -> Result<upgrade::Fleet, CliError> {
    upgrade::Fleet::open(dir).map_err(|error| match error {
        upgrade::UpgradeError::File(error) => CliError::UserFile(error),
        other => CliError::from(other),
    })
}

fn tell(report: &mut Report, fleet: &upgrade::Fleet) {
    let members = fleet.members();
    let live = members.iter().filter(|member| member.is_live()).count();
    let (app, chain_id) = fleet.app();
    report.facts.upgrade.app = Some(app);
    report.facts.upgrade.chain_id = Some(chain_id);
    report.facts.upgrade.compose_hash = Some(fleet.compose_hash());
    let approval = fleet.approval().display().to_string();
    report.page.facts(&[
        ("approved in", Some(approval.clone())),
        ("compose hash", Some(fleet.compose_hash().to_string())),
        ("live", Some(format!("{live} of {}", members.len()))),
    ]);
    let rows: Vec<(String, Option<String>)> = members
        .iter()
        .map(|member| (member.cvm.clone(), Some(word(member))))
        .collect();
    report.page.facts(&rows);
    let data: Vec<serde_json::Value> = members
        .iter()
        .map(|member| {
            json!({
                "cvm": member.cvm,
                "dir": member.dir.display().to_string(),
                "live": member.is_live(),
                "status": member.status,
                "error": member.error.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    report.data = Some(json!({ "approval": approval, "members": data }));
}

fn word(member: &Member) -> String {
    match (&member.status, &member.error) {
        (_, Some(error)) => format!("cannot be read: {error}"),
        (Some(_), None) if member.is_live() => "live".to_owned(),
        (Some(status), None) => format!("next: {}", report::step_name(status)),
        (None, None) => "not begun".to_owned(),
    }
}
