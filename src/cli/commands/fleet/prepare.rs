//! `fleet prepare`: a change for several CVMs, of one app or of several apps.

use clap::Args;

use super::apps;
use super::place::Place;
use crate::cli::act::fleet::{hash_of, left_out, stopped, tell};
use crate::cli::args::also::Also;
use crate::cli::args::values;
use crate::cli::args::{Agree, Allow, Change, Governor, Multisig, Notices, Reach, SharedOptions};
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::files::own_text;
use crate::cli::show::report::Report;
use crate::cloud::CvmId;
use crate::code::Code;
use crate::upgrade::{
    self, UpgradeError, World,
    fleet::{AppIntent, Apps, Fleet, Invitation},
    model::Intent,
};

#[derive(Debug, Args)]
pub(super) struct Prepare {
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
    #[command(flatten)]
    agree: Agree,
}

impl Prepare {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        };
        let mut settings = session.settings(typed)?;
        settings.limits.parallel = self.parallel;
        let intent = session.intent(&settings, &self.change, &self.timelock)?.value;
        let outside = session.outside(&settings);
        let world = outside.world();
        let mut apps = self.apps(&world, &intent).await?;
        if apps.len() > 1 {
            let prepared = Apps::prepare(&self.place.dir, &world, &apps, &settings.limits).await;
            return apps::prepared(session, &self.place.dir, prepared, apps.len());
        }
        let wanted = match apps.pop() {
            Some(only) => only,
            None => AppIntent {
                invited: self.invitation(self.members(&world, &intent.cvm).await?),
                intent,
            },
        };
        let dir = &self.place.dir;
        session.about(dir);
        let fleet = match Fleet::prepare(dir, &world, &wanted, &settings.limits).await {
            Ok(fleet) => fleet,
            Err(halt) => return Ok(stopped(session, dir, "fleet prepare", halt)),
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
    async fn members(&self, world: &World<'_>, first: &CvmId) -> Result<Vec<CvmId>, CliError> {
        let mut members = vec![first.clone()];
        let others = if self.all {
            let own = world.cloud.cvm(first).await?;
            let app = own.app_id.ok_or_else(|| {
                CliError::from(UpgradeError::Decide {
                    code: Code::AppUnknown,
                    message: format!("Phala Cloud names no app for `{first}`"),
                    source: None,
                })
            })?;
            let mut all = upgrade::fleet::cvms_of(world, app).await?;
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

    /// What each app is to become. Nobody is asked whose CVMs they are when none besides was named.
    async fn apps(&self, world: &World<'_>, intent: &Intent) -> Result<Vec<AppIntent>, CliError> {
        if self.also.is_empty() {
            return Ok(Vec::new());
        }
        let cvms = self.members(world, &intent.cvm).await?;
        let apps = upgrade::fleet::by_app(world, &cvms).await?;
        let several = apps.len() > 1;
        let each = apps
            .into_iter()
            .map(|(_, members)| self.wanted(intent, members, several));
        each.collect()
    }

    /// Who is asked to join a fleet.
    fn invitation(&self, cvms: Vec<CvmId>) -> Invitation {
        Invitation {
            cvms,
            without: self.without.clone(),
            skip_current: self.all,
            with_others: false,
        }
    }

    /// One app has one hash, so a file that is named for one of its CVMs is for all of them.
    fn wanted(&self, intent: &Intent, cvms: Vec<CvmId>, several: bool) -> Result<AppIntent, CliError> {
        let mut mine = intent.clone();
        let is_first = cvms.contains(&intent.cvm);
        let mut own = intent.patch.changes.docker_compose_file.clone().filter(|_| is_first);
        for also in self.also.iter().filter(|also| cvms.contains(&also.cvm)) {
            let Some(text) = own_text(also)? else { continue };
            if own.as_ref().is_some_and(|own| *own != text) {
                return Err(CliError::Usage {
                    code: Code::UsageOneFile,
                    message: format!(
                        "`{}` is of an app for which another Docker Compose file was named, and an app has one hash",
                        also.cvm
                    ),
                    hint: "name the same file for all CVMs of an app".to_owned(),
                    next: Next::Again,
                });
            }
            own = Some(text);
        }
        if let Some(text) = own {
            mine.patch.changes.docker_compose_file = Some(text);
        }
        if !is_first {
            mine.expected.app = None;
        }
        if let Some(first) = cvms.first() {
            mine.cvm = first.clone();
        }
        Ok(AppIntent {
            intent: mine,
            invited: Invitation {
                with_others: several,
                ..self.invitation(cvms)
            },
        })
    }
}
