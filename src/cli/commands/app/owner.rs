//! `app owner`: who owns an app, who can act for the owner, and who owned it before.

use std::future::Future;
use std::pin::Pin;

use alloy::primitives::Address;
use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::change::{Accept, Transfer};
use super::lists::{at, incomplete};
use super::operations::Waiting;
use crate::chain::{
    AppState, BlockRef, Chain, ChainError, OwnerKind, TimelockRole,
    governance::Governor,
    policy_history::{PolicyEvent, PolicyFact},
    timelock::{LogReach, TimelockInfo, TimelockRead, TimelockRoles},
};
use crate::cli::act::place::Place;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::text::Page;
use crate::cli::show::view;
use crate::code::Code;
use crate::safe::info::{SafeInfo, Severity, Trust};
use crate::upgrade::{
    model::{StorageNote, safe_code},
    steps::governance_of,
    workspace::{KnownStorage, safe_storage, standing_approvals, timelock_storage},
};

/// A Safe that proposes to a timelock, a Safe that owns it, and that one's owners.
const DEPTH: u32 = 3;

/// What is asked about the owner.
#[derive(Debug, Subcommand)]
pub(super) enum Owner {
    /// Show the owner, who can act for it, and everybody who owned the app before
    #[command(after_help = "Examples:\n  countersign app owner show --cvm my-app\n  \
        countersign app owner show 0x1234567890123456789012345678901234567890 --chain-id 8453")]
    Show(Box<Place>),
    /// Propose that another one owns the app: at once, or, where the app changes hands in two steps, by an offer
    #[command(after_help = "Example:\n  countersign app owner transfer 0x1234... --cvm my-app")]
    Transfer(Box<Transfer>),
    /// Propose, as whom the app was offered to, to accept it
    #[command(after_help = "Example:\n  countersign app owner accept --cvm my-app")]
    Accept(Box<Accept>),
}

/// Somebody with power over an app, and who can act for them.
#[derive(Debug, Serialize)]
struct Power {
    address: Address,
    kind: OwnerKind,
    safe: Option<SafeInfo>,
    timelock: Option<Timelock>,
    /// What it is, where it is a Governor.
    governor: Option<Governor>,
    /// Contracts among the Safe's owners or the timelock's proposers, executors, cancellers and admins.
    behind: Vec<Self>,
}

#[derive(Debug, Serialize)]
struct Timelock {
    info: TimelockInfo,
    /// The release of OpenZeppelin Contracts that its code is; null where it is none that this build knows.
    release: Option<&'static str>,
    roles: TimelockRoles,
    #[serde(flatten)]
    waiting: Waiting,
    #[serde(skip)]
    read: TimelockRead,
}

impl Owner {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self {
            Self::Show(place) => Self::show(&place, session).await,
            Self::Transfer(transfer) => transfer.run(session).await,
            Self::Accept(accept) => accept.run(session).await,
        }
    }

    async fn show(place: &Place, session: &Session) -> Result<Report, CliError> {
        let settings = place.settings(session)?;
        let outside = session.outside(&settings);
        let found = place.find(&outside).await?;
        let chain = outside.world().chain(found.chain_id).await?;
        let app = chain.app(&found.query).await?;
        let history = chain.policy_history(&app, &[], &[]).await?;
        let owner = power(&chain, app.owner, &app.block, DEPTH).await?;
        let new_owner = app.pending_owner.filter(|new_owner| !new_owner.is_zero());
        let new_owner = match new_owner {
            Some(new_owner) => Some(power(&chain, new_owner, &app.block, DEPTH).await?),
            None => None,
        };
        let mut report = Report::done("app owner", "read from the chain");
        report.facts.upgrade.chain_id = Some(found.chain_id);
        report.facts.upgrade.app = Some(app.app);
        report.facts.upgrade.owner = Some(app.owner);
        warn(&mut report, &app, &owner);
        report.warnings.extend(governance_of(&chain, &app).await?);
        let record = settings.record.as_deref();
        of_storage(
            &mut report,
            record.and_then(|record| StorageNote::last(record, found.chain_id, app.app)),
        );
        for safe in std::iter::once(&owner).chain(&new_owner).flat_map(Power::safes) {
            of_safe(&mut report, safe);
            let at_top = [Some(app.owner), app.pending_owner].contains(&Some(safe.address));
            for one in standing_approvals(record, safe, !at_top) {
                report.warn(Code::SafeStandingApproval, one.told(safe.address));
            }
            let (storage, _) = safe_storage(&chain, record, safe, &[]).await?;
            of_known(&mut report, &storage);
        }
        for read in std::iter::once(&owner).chain(&new_owner).flat_map(Power::timelocks) {
            let (storage, _) = timelock_storage(&chain, record, read, Some(app.app)).await?;
            of_known(&mut report, &storage);
        }
        incomplete(&mut report, history.incomplete.as_deref());
        let events: Vec<&PolicyEvent> = history.owners().collect();
        page(&mut report.page, &app, history.upgrades_disabled);
        shown(&mut report.page, "the owner", &owner);
        if let Some(new_owner) = &new_owner {
            shown(&mut report.page, "to whom the app was offered", new_owner);
        }
        told(&mut report.page, &events);
        if history.incomplete.is_some() && !events.is_empty() {
            report.page.block("and perhaps others");
        }
        report.data = Some(json!({
            "app": app.app,
            "block": app.block,
            "ownership": if app.pending_owner.is_some() { "two-step" } else { "one-step" },
            "owner": owner,
            "pending_owner": new_owner,
            "upgrades_disabled": history.upgrades_disabled,
            "history": events,
            "incomplete": history.incomplete,
        }));
        Ok(report)
    }
}

/// Requests to each endpoint by which a timelock's events are read.
const REQUESTS: u32 = 400;

type Reading<'a> = Pin<Box<dyn Future<Output = Result<Power, ChainError>> + Send + 'a>>;

/// What stands at an address after a block, and behind it.
fn power<'a>(chain: &'a Chain, address: Address, block: &'a BlockRef, depth: u32) -> Reading<'a> {
    Box::pin(async move {
        let kind = chain.kind_of(address, block).await?;
        let mut found = Power {
            address,
            kind,
            safe: None,
            timelock: None,
            governor: None,
            behind: Vec::new(),
        };
        if kind != OwnerKind::Contract {
            return Ok(found);
        }
        found.safe = SafeInfo::read_at(chain, address, block).await?;
        let timelock = match found.safe.is_none() {
            true => chain.timelock_at(address, block).await?,
            false => None,
        };
        if found.safe.is_none() && timelock.is_none() {
            found.governor = chain.governor_at(address, block).await?;
        }
        if let Some(info) = timelock {
            let (roles, waiting) = chain
                .timelock_standing(
                    &info,
                    &[],
                    LogReach {
                        from: 0,
                        requests: REQUESTS,
                    },
                )
                .await?;
            found.timelock = Some(Timelock {
                release: info.known_release(),
                info: info.clone(),
                roles: roles.clone(),
                waiting: waiting.clone().into(),
                read: TimelockRead { info, roles, waiting },
            });
        }
        let Some(deeper) = depth.checked_sub(1) else {
            return Ok(found);
        };
        for member in found.members() {
            let behind = power(chain, member, block, deeper).await?;
            if behind.kind == OwnerKind::Contract {
                found.behind.push(behind);
            }
        }
        Ok(found)
    })
}

impl Power {
    /// The Safes among those who can act.
    fn safes(&self) -> Vec<&SafeInfo> {
        let behind = self.behind.iter().flat_map(Self::safes);
        self.safe.iter().chain(behind).collect()
    }

    /// The timelocks among those who can act, as they were read.
    fn timelocks(&self) -> Vec<&TimelockRead> {
        let behind = self.behind.iter().flat_map(Self::timelocks);
        let own = self.timelock.iter().map(|timelock| &timelock.read);
        own.chain(behind).collect()
    }

    /// Who can act for it.
    fn members(&self) -> Vec<Address> {
        let mut members = Vec::new();
        if let Some(safe) = &self.safe {
            members.extend(&safe.owners);
        }
        if let Some(timelock) = &self.timelock {
            members.extend(TimelockRole::ALL.iter().flat_map(|role| timelock.roles.of(*role)));
        }
        members.sort();
        members.dedup();
        members.retain(|member| *member != self.address);
        members
    }
}

fn warn(report: &mut Report, app: &AppState, owner: &Power) {
    match owner.kind {
        OwnerKind::Nobody => report.warn(
            Code::OwnerRenounced,
            "nobody owns the app: it can never be changed again",
        ),
        OwnerKind::Contract if owner.safe.is_none() && owner.timelock.is_none() && owner.governor.is_none() => report
            .warn(
                Code::OwnerUnknown,
                "the owner is a contract that is neither a Safe nor a timelock: who can act for it is not known",
            ),
        _ => {}
    }
    if let Some(new_owner) = app.pending_owner.filter(|new_owner| !new_owner.is_zero()) {
        report.warn(
            Code::OwnerPending,
            format!("the app was offered to {new_owner}, who has not accepted it"),
        );
    }
    let Some(timelock) = &owner.timelock else { return };
    let Timelock { info, roles, .. } = timelock;
    if let Some(why) = &timelock.waiting.incomplete {
        let text = format!("not checked: whether more operations wait at the timelock: {why}");
        report.warn(Code::OperationsUnknown, text);
    }
    if let Some(why) = &roles.incomplete {
        let text = format!("who may act for the timelock is not known whole: {why}");
        report.warn(Code::TimelockRolesUnknown, text);
    } else if roles.proposers.is_empty() {
        report.warn(
            Code::TimelockNoProposer,
            "nobody may propose to the timelock: it can never act again",
        );
    }
    if timelock.release.is_none() {
        let text = "the timelock's code is no release of OpenZeppelin's that this build knows: whether it waits, and what \
                    else it does, is not known";
        report.warn(Code::TimelockCodeUnknown, text);
    }
    for admin in roles.admins.iter().filter(|admin| **admin != info.address) {
        let text = format!("{admin} can change the timelock's roles at once, without its delay");
        report.warn(Code::TimelockAdmin, text);
    }
}

/// What is remarkable about a Safe that can act, so that a stranger may act for it too.
fn of_safe(report: &mut Report, safe: &SafeInfo) {
    for finding in safe.findings(&Trust::default()) {
        if finding.severity() > Severity::Note {
            let text = format!("Safe {}: {finding}", safe.address);
            report.warn(safe_code(&finding), text);
        }
    }
}

/// What this machine found last of a contract's storage, where that is a doubt.
fn of_storage(report: &mut Report, last: Option<StorageNote>) {
    if let Some(note) = last {
        doubt(report, &note);
    }
}

/// What is known of a contract's storage, where it is not that nothing hides there.
fn of_known(report: &mut Report, storage: &KnownStorage) {
    match storage {
        KnownStorage::Closed | KnownStorage::OtherCode => {}
        KnownStorage::Open(note) => doubt(report, note),
        KnownStorage::NotChecked(what) => report.warn(Code::StorageUnknown, format!("not checked: {what}")),
    }
}

fn doubt(report: &mut Report, note: &StorageNote) {
    if let Some(doubt) = note.doubt() {
        report.warn(Code::StorageNotClosed, doubt);
    }
}

fn page(page: &mut Page, app: &AppState, upgrades_disabled: Option<bool>) {
    let steps = if app.pending_owner.is_some() {
        "changes hands in two steps"
    } else {
        "changes hands in one step"
    };
    page.facts(&[
        ("app", Some(app.app.to_string())),
        ("ownership", Some(steps.to_owned())),
        (
            "code can change",
            upgrades_disabled.map(|disabled| view::yes_no(!disabled)),
        ),
        ("at block", Some(format!("{} {}", app.block.number, app.block.hash))),
    ]);
}

fn shown(page: &mut Page, title: &str, power: &Power) {
    page.heading(&format!("{title}: {}, {}", power.address, kind(power)));
    if let Some(safe) = &power.safe {
        view::safe(page, safe);
    }
    if let Some(timelock) = &power.timelock {
        self::timelock(page, timelock);
    }
    for behind in &power.behind {
        shown(page, &format!("who acts for {}", power.address), behind);
    }
}

fn kind(power: &Power) -> &'static str {
    match power.kind {
        OwnerKind::Contract if power.safe.is_some() => "a Safe",
        OwnerKind::Contract if power.timelock.is_some() => "a timelock",
        OwnerKind::Contract if power.governor.is_some() => "a Governor",
        kind => view::owner(kind),
    }
}

fn timelock(page: &mut Page, timelock: &Timelock) {
    let Timelock { info, roles, .. } = timelock;
    let list = |all: &[Address]| {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        let known = Some(names.join(", ")).filter(|names| !names.is_empty());
        match (known, &roles.incomplete) {
            (known, None) => known,
            (None, Some(_)) => Some("not known".to_owned()),
            (Some(names), Some(_)) => Some(format!("{names}, and perhaps others")),
        }
    };
    let executors = if info.open_executor {
        Some("everybody".to_owned())
    } else {
        list(&roles.executors)
    };
    page.facts(&[
        ("delay", Some(format!("at least {} seconds", info.min_delay))),
        ("proposers", list(&roles.proposers)),
        ("executors", executors),
        ("cancellers", list(&roles.cancellers)),
        ("admins", list(&roles.admins)),
        (
            "code",
            Some(timelock.release.map_or_else(
                || "no release of OpenZeppelin's that this build knows".to_owned(),
                |release| format!("that of OpenZeppelin's {release}"),
            )),
        ),
        (
            "code hash",
            Some(info.implementation_code_hash.unwrap_or(info.code_hash).to_string()),
        ),
    ]);
    timelock.waiting.show(page);
}

fn told(page: &mut Page, events: &[&PolicyEvent]) {
    page.heading("owners, oldest first");
    if events.is_empty() {
        page.block("not known");
    }
    for event in events {
        let what = match event.what {
            PolicyFact::OwnershipOffered { from, to } if to.is_zero() => format!("{from} took the offer back"),
            PolicyFact::OwnershipOffered { from, to } => format!("{from} offered it to {to}"),
            PolicyFact::OwnershipTransferred { from, to } if from.is_zero() => format!("{to} owned it from the start"),
            PolicyFact::OwnershipTransferred { from, to } if to.is_zero() => format!("{from} gave it up"),
            PolicyFact::OwnershipTransferred { from, to } => format!("{from} handed it to {to}"),
            _ => continue,
        };
        page.block(&format!("{what}  {}", at(&event.place)));
    }
}
