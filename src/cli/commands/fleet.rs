//! `fleet`: several CVMs by one approval, of one app or of several apps that one owner has.

mod apps;
mod place;
mod prepare;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::act::fleet::{hash_of, sentence, stopped, tell};
use crate::cli::act::fleet_attest::Proofs;
use crate::cli::act::probe;
use crate::cli::args::attesting::Attesting;
use crate::cli::args::probing::Probing;
use crate::cli::args::values;
use crate::cli::args::{Agree, Allow, Reach, Settle, SharedOptions, Watch};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::upgrade::{
    self, UpgradeError,
    fleet::{Apps, Halt, Waves},
};

use self::place::Place;
use self::prepare::Prepare;

/// Upgrade several CVMs or apps of one owner by one approval
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
    #[command(flatten)]
    attesting: Attesting,
    #[command(flatten)]
    probing: Probing,
}

impl Fleet {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            FleetCommand::Prepare(prepare) => prepare.run(session).await,
            FleetCommand::Status(place) => place.status(session),
            FleetCommand::Commit(commit) => commit.run(session).await,
        }
    }
}

impl Commit {
    /// After a wave whose CVMs run the hash: the others wait until the app serves.
    async fn probe(&self, session: &Session, dirs: &[PathBuf]) -> Result<(), Halt> {
        let found = probe::ask(session.http(), &self.probing, self.reach.timeout).await;
        found.map_err(|why| {
            let named = dirs.first().and_then(|dir| dir.file_name()?.to_str());
            let error = UpgradeError::Failed {
                code: Code::ProbeFailed,
                message: format!("the wave runs the new hash, and {why}"),
            };
            Halt::of(named.unwrap_or_default(), error)
        })
    }

    async fn run(self, session: &Session) -> Result<Report, CliError> {
        let typed = SharedOptions {
            reach: Some(&self.reach),
            settle: Some(&self.settle),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            watch: Some(&self.watch),
            attesting: Some(&self.attesting),
            ..SharedOptions::default()
        };
        let mut settings = session.settings(typed)?;
        settings.limits.parallel = self.parallel;
        let dir = &self.place.dir;
        let outside = session.outside(&settings);
        let world = outside.world();
        let proofs = Proofs::of(session, &settings)?;
        let waves = Waves {
            canary: self.canary,
            after: async |dirs: &[PathBuf]| {
                proofs.check(dirs).await?;
                self.probe(session, dirs).await
            },
        };
        if Apps::are_in(dir) {
            let committed = Apps::open(dir)?.commit(&world, &settings.limits, &waves).await;
            return apps::committed(session, dir, committed, proofs).await;
        }
        session.about(dir);
        let fleet = upgrade::fleet::Fleet::open(dir)?;
        let told = match fleet.commit(&world, &settings.limits, &waves).await {
            Ok(told) => told,
            Err(halt) => return Ok(proofs.tell(stopped(session, dir, "fleet commit", halt))),
        };
        let mut report = Report::done("fleet commit", String::new());
        let fleet = upgrade::fleet::Fleet::open(dir)?;
        proofs.look_at_rest(&fleet.members()).await;
        let counts = tell(&mut report, session, &fleet)?;
        report.message = match told.is_empty() {
            true if counts.live == counts.members => format!("every CVM runs {}", hash_of(&fleet)),
            _ => format!("nothing is left to commit; {}", sentence(&counts)),
        };
        report.warnings.extend(told);
        Ok(proofs.tell(report))
    }
}
