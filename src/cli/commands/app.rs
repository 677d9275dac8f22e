//! `app`: the app's contract as the chain shows it.

mod change;
mod cloud;
mod deploy;
mod instances;
mod lists;
mod operations;
mod owner;
mod revisions;

use std::time::Duration;

use alloy::primitives::{Address, B256};
use clap::{Args, Subcommand};
use serde_json::json;

use self::change::{Change, Switch};
use self::deploy::Deploy;
use self::instances::Instances;
use self::lists::{Devices, Hashes};
use self::owner::Owner;
use self::revisions::Revisions;
use crate::chain::{AppQuery, AppState};
use crate::cli::act::place::Place;
use crate::cli::act::power::{self, Asked};
use crate::cli::act::storage;
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::{self, error::CliError};
use crate::cli::session::{Outside, Session};
use crate::cli::show::power::least;
use crate::cli::show::report::Report;
use crate::cli::show::view;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::power::{Class, Domain, Power};
use crate::upgrade::{model::StorageNote, steps::governance_of};

/// Show and change an app's contract: owner, hashes, devices
///
/// A change is proposed like an upgrade: it makes a directory and a proposal, and `review`, `sign`, `export`, `import`,
/// `propose`, `execute`, `wait`, `reject`, `resume` and `status` take it on. It ends with the proof on chain; there is
/// nothing to commit, and no API key is needed once it is proposed.
#[derive(Debug, Args)]
pub(in crate::cli) struct App {
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Show owner, implementation, and every hash and device that is or was allowed, since when, by which transaction
    #[command(after_help = "Examples:\n  countersign app show --cvm my-app\n  \
        countersign app show 0x1234567890123456789012345678901234567890 --chain-id 8453")]
    Show(Target),
    /// Say whether the KMS would let this CVM, or this hash, boot; ends with 6 when not
    #[command(after_help = "Example:\n  countersign app check --cvm my-app --hash 0x1234...")]
    Check(Check),
    /// Compose hashes: which are allowed, since when, by which transaction; add and remove them
    #[command(subcommand)]
    Hashes(Hashes),
    /// Devices: which may run the app, since when, by which transaction; add and remove them
    #[command(subcommand)]
    Devices(Devices),
    /// Instances: the app's CVMs, and one more of them by an approval
    #[command(subcommand)]
    Instances(Instances),
    /// Revisions: Phala Cloud's own history of what the app's CVMs were made to run
    #[command(subcommand)]
    Revisions(Revisions),
    /// Propose whether every device may run the app
    #[command(after_help = "Example:\n  countersign app allow-any-device off --cvm my-app")]
    AllowAnyDevice(Box<Switch>),
    /// Propose whether the machine's firmware has to be up to date
    #[command(after_help = "Example:\n  countersign app require-tcb-up-to-date on --cvm my-app")]
    RequireTcbUpToDate(Box<Switch>),
    /// Propose several changes in one approval
    #[command(
        after_help = "Example:\n  countersign app change --add-device 0x1234... --remove-hash 0x5678... --cvm my-app"
    )]
    Change(Box<Change>),
    /// The owner: who it is, who can act for it, who it was before; give the app away, accept it
    #[command(subcommand)]
    Owner(Owner),
    Deploy(Box<Deploy>),
    List(cloud::List),
    Attestations(cloud::Attestations),
    TcbEvaluation(cloud::TcbEvaluation),
    DeviceAllowlist(cloud::DeviceAllowlist),
    Redeploy(Box<cloud::Redeploy>),
}

#[derive(Debug, Args)]
struct Target {
    #[command(flatten)]
    place: Place,
    /// Compose hash to ask about [default: the one that the CVM runs]
    #[arg(long, value_name = "HASH", value_parser = values::compose_hash)]
    hash: Option<ComposeHash>,
    /// Device id to ask about [default: the CVM's]
    #[arg(long, value_name = "DEVICE", value_parser = values::word)]
    device: Option<B256>,
    /// Hash of the OS image to ask about [default: the CVM's]
    #[arg(long, value_name = "HASH", value_parser = values::word)]
    os_image: Option<B256>,
    /// Address of the KMS contract [default: the CVM's]
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    kms: Option<Address>,
}

/// A CVM or a hash, and how long other code has to be announced.
#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    target: Target,
    /// End with 6 where whoever governs the app needs less notice than this for other code
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    notice: Option<Duration>,
}

impl App {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            AppCommand::Show(target) => target.show(session).await,
            AppCommand::Check(check) => check.run(session).await,
            AppCommand::Hashes(hashes) => hashes.run(session).await,
            AppCommand::Devices(devices) => devices.run(session).await,
            AppCommand::Instances(instances) => instances.run(session).await,
            AppCommand::Revisions(revisions) => revisions.run(session).await,
            AppCommand::AllowAnyDevice(switch) => switch.any_device(session).await,
            AppCommand::RequireTcbUpToDate(switch) => switch.tcb(session).await,
            AppCommand::Change(change) => change.run(session).await,
            AppCommand::Owner(owner) => owner.run(session).await,
            AppCommand::Deploy(deploy) => deploy.run(session).await,
            AppCommand::List(list) => list.run(session).await,
            AppCommand::Attestations(args) => args.run(session).await,
            AppCommand::TcbEvaluation(args) => args.run(session).await,
            AppCommand::DeviceAllowlist(args) => args.run(session).await,
            AppCommand::Redeploy(redeploy) => redeploy.run(session).await,
        }
    }
}

impl Target {
    async fn show(self, session: &Session) -> Result<Report, CliError> {
        let settings = self.place.settings(session)?;
        let outside = session.outside(&settings);
        let (chain_id, query) = self.query(&outside).await?;
        let chain = outside.world().chain(chain_id).await?;
        let (app, past) = chain.app_and_past(&query).await?;
        let about = (query.hash.as_slice(), query.device.as_slice());
        let (history, governance) = tokio::join!(chain.history_of(&app, past, about), governance_of(&chain, &app));
        let (history, governance) = (history?, governance?);
        let mut report = Report::done("app show", "read from the chain");
        view::app(&mut report.page, &app);
        view::remarks(&mut report.page, "who governs it", &governance);
        report.warnings.extend(governance);
        for (list, title) in [(&history.hashes, "compose hashes"), (&history.devices, "devices")] {
            let listing = lists::Listing {
                title,
                completeness: lists::Completeness::of(&history),
                list,
            };
            lists::entries(&mut report, &listing, &|_| None);
        }
        lists::incomplete(&mut report, history.incomplete.as_deref());
        know(&mut report, chain_id, &app, &query);
        report.data = Some(json!({
            "app": app,
            "other_policy": app.other_policy,
            "hashes": history.hashes,
            "devices": history.devices,
            "upgrades_disabled": history.upgrades_disabled,
            "incomplete": history.incomplete,
        }));
        Ok(report)
    }

    async fn check(self, session: &Session, notice: Option<Duration>) -> Result<Report, CliError> {
        let settings = self.place.settings(session)?;
        let outside = session.outside(&settings);
        let (chain_id, query) = self.query(&outside).await?;
        let chain = outside.world().chain(chain_id).await?;
        let app = chain.app(&query).await?;
        let refusals = refusals(&app);
        let mut report = Report::done("app check", "the KMS would let it boot");
        view::app(&mut report.page, &app);
        know(&mut report, chain_id, &app, &query);
        report.data = Some(json!({ "allowed": refusals.is_empty(), "refusals": refusals, "app": app }));
        if app.require_tcb_up_to_date == Some(true) {
            let text = "the app asks for firmware that is up to date, and whether the machine's is nobody here knows";
            report.warn(Code::TcbNotKnown, text);
            report.message = format!("{}, if the firmware is up to date", report.message);
        }
        if !refusals.is_empty() {
            report.exit = Exit::State;
            report.code = Code::BootRefused;
            report.message = format!("the KMS would not let it boot: {}", refusals.join("; "));
            report.hint = Some(failure::by_code(report.code).hint);
            report.next = Some(session.typed().instead_of("check", "show"));
        }
        let hashes: Vec<B256> = query.hash.into_iter().chain(query.running).collect();
        let found = chain.app_storage(&app, &hashes, query.device.as_slice()).await?;
        let mut notes = vec![StorageNote::now(chain_id, app.app, app.block, found)];
        let mut standing = Vec::new();
        let owners = [Some(app.owner), app.pending_owner];
        for owner in owners.into_iter().flatten().filter(|owner| !owner.is_zero()) {
            let (of_owner, approvals) = storage::of_owner(&chain, owner, &app.block).await?;
            notes.extend(of_owner);
            standing.extend(approvals);
        }
        storage::tell(&mut report, session, &settings, &notes);
        storage::show_approvals(&mut report, &standing);
        for (safe, one) in &standing {
            report.warn(Code::SafeStandingApproval, one.told(*safe));
        }
        if let Some(notice) = notice {
            let asked = Asked {
                app: app.app,
                kms: query.kms,
                owner: None,
            };
            judge_notice(&mut report, &power::of(&chain, asked).await?, notice);
        }
        Ok(report)
    }

    /// What to ask, and on which chain.
    async fn query(&self, outside: &Outside<'_>) -> Result<(u64, AppQuery), CliError> {
        let found = self.place.find(outside).await?;
        let query = AppQuery {
            app: found.query.app,
            kms: self.kms.or(found.query.kms),
            hash: self.hash.map(|hash| B256::from(*hash.as_bytes())).or(found.query.hash),
            running: None,
            device: self.device.or(found.query.device),
            os_image: self.os_image.or(found.query.os_image),
            kind: true,
        };
        Ok((found.chain_id, query))
    }
}

impl Check {
    async fn run(self, session: &Session) -> Result<Report, CliError> {
        self.target.check(session, self.notice).await
    }
}

/// Whether other code is announced long enough before.
fn judge_notice(report: &mut Report, found: &Power, notice: Duration) {
    let told = least(found, Domain::App, Class::AnyCode);
    report
        .page
        .heading("how much notice other code needs, by whoever governs the app");
    report.page.block(&told);
    report.set_data("power", &power::minimum(found));
    let short = found
        .least(Domain::App, Class::AnyCode)
        .is_some_and(|least| least.notice < notice.as_secs());
    if short && report.exit == Exit::Done {
        report.exit = Exit::State;
        report.code = Code::NoticeTooShort;
        report.message = format!("other code needs less notice than {} s: {told}", notice.as_secs());
        report.hint = Some(failure::by_code(report.code).hint);
        report.next = None;
    }
}

/// What the KMS's and the app's contract say where one of their lists lacks something, which is read by itself.
const NAMED: [&str; 4] = [
    "App not registered",
    "OS image is not allowed",
    "Compose hash not allowed",
    "Device not allowed",
];

/// Why the KMS would refuse, as far as the chain tells.
fn refusals(app: &AppState) -> Vec<String> {
    let mut refusals = Vec::new();
    if app.hash_allowed == Some(false) {
        refusals.push("the compose hash is not allowed".to_owned());
    }
    if app.device_allowed == Some(false) && !app.any_device {
        refusals.push("the device is not allowed".to_owned());
    }
    if app.registered == Some(false) {
        refusals.push("the KMS does not know the app".to_owned());
    }
    if app.os_image_allowed == Some(false) {
        refusals.push("the KMS does not allow the OS image".to_owned());
    }
    // It names the first of its reasons only.
    if let Some(preflight) = app
        .preflight
        .as_ref()
        .filter(|preflight| !preflight.allowed)
        .filter(|preflight| refusals.is_empty() || !NAMED.contains(&preflight.reason.as_str()))
    {
        refusals.push(preflight.reason.clone());
    }
    refusals
}

fn know(report: &mut Report, chain_id: u64, app: &AppState, query: &AppQuery) {
    report.facts.upgrade.chain_id = Some(chain_id);
    report.facts.upgrade.app = Some(app.app);
    report.facts.upgrade.owner = Some(app.owner);
    report.facts.upgrade.compose_hash = query.hash.map(|hash| ComposeHash::new(hash.0));
}
