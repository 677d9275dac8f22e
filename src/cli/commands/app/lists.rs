//! `app hashes` and `app devices`: what an app allows, since when, by which transaction.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::change::{AddDevices, AddHashes, RemoveDevices, RemoveHashes};
use super::operations::Waiting;
use crate::chain::{
    AppState,
    policy_history::{PolicyEntry, PolicyHistory, PolicyPlace},
};
use crate::cli::act::place::{Found, Place};
use crate::cli::failure::error::CliError;
use crate::cli::session::files::manifest_file;
use crate::cli::session::{Outside, Session};
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::compose::{ComposeHash, Manifest};

/// Compose hashes.
#[derive(Debug, Subcommand)]
pub(super) enum Hashes {
    /// List what is allowed now and what was allowed before
    ///
    /// Hashes of a manifest that is known, of the CVM or of a file, are told by name where an old helper computed them wrongly.
    #[command(after_help = "Examples:\n  countersign app hashes list --cvm my-app\n  \
        countersign app hashes list 0x1234567890123456789012345678901234567890 --chain-id 8453 --manifest app-compose.json")]
    List(Box<HashList>),
    /// Propose that the app allows these compose hashes
    #[command(after_help = "Example:\n  countersign app hashes add 0x1234... --cvm my-app")]
    Add(Box<AddHashes>),
    /// Propose that the app no longer allows these compose hashes
    #[command(after_help = "Example:\n  countersign app hashes remove 0x1234... --cvm my-app")]
    Remove(Box<RemoveHashes>),
}

/// Devices.
#[derive(Debug, Subcommand)]
pub(super) enum Devices {
    /// List what is allowed now and what was allowed before
    #[command(after_help = "Examples:\n  countersign app devices list --cvm my-app\n  \
        countersign app devices list 0x1234567890123456789012345678901234567890 --chain-id 8453")]
    List(Box<Place>),
    /// Propose that these devices may run the app
    #[command(after_help = "Example:\n  countersign app devices add 0x1234... --cvm my-app")]
    Add(Box<AddDevices>),
    /// Propose that these devices may no longer run the app
    #[command(after_help = "Example:\n  countersign app devices remove 0x1234... --cvm my-app")]
    Remove(Box<RemoveDevices>),
}

/// Which app's hashes, and a manifest whose hashes may stand among them.
#[derive(Debug, Args)]
pub(super) struct HashList {
    #[command(flatten)]
    place: Place,
    /// Manifest (app-compose.json) whose hashes may stand there [default: that of the CVM]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

impl HashList {
    /// The manifest that is known: of the file, else of the CVM where Phala Cloud gives it.
    async fn known(&self, outside: &Outside<'_>, found: &Found) -> Result<Option<Manifest>, CliError> {
        match (&self.manifest, &found.id) {
            (Some(file), _) => manifest_file(file).map(|(_, manifest)| Some(manifest)),
            (None, Some(id)) => Ok(outside.world().cloud.manifest(id).await.ok()),
            (None, None) => Ok(None),
        }
    }
}

/// What was read for a list.
struct Read {
    found: Found,
    app: AppState,
    history: PolicyHistory,
    /// What waits for the app at the timelock that owns it, if one does.
    waiting: Option<Waiting>,
}

impl Hashes {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self {
            Self::List(list) => Read::hashes(&list, session).await,
            Self::Add(change) => change.run(session).await,
            Self::Remove(change) => change.run(session).await,
        }
    }
}

impl Devices {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self {
            Self::List(place) => Read::devices(&place, session).await,
            Self::Add(change) => change.run(session).await,
            Self::Remove(change) => change.run(session).await,
        }
    }
}

impl Read {
    async fn hashes(list: &HashList, session: &Session) -> Result<Report, CliError> {
        let read = Self::of(&list.place, session).await?;
        let settings = list.place.settings(session)?;
        let manifest = list.known(&session.outside(&settings), &read.found).await?;
        let runs = read.found.query.hash;
        let mut report = read.report("app hashes", &read.history.hashes);
        let wrong = |entry: &PolicyEntry| {
            let known = manifest.as_ref().filter(|_| runs != Some(entry.id))?;
            known.wrong_helper(ComposeHash::new(entry.id.0))
        };
        let word = |entry: &PolicyEntry| match (wrong(entry), &read.found.cvm) {
            (Some(helper), _) => Some(format!("WRONG: no guest measures it; computed by {helper}")),
            (None, Some(cvm)) if runs == Some(entry.id) => Some(format!("{cvm} runs it")),
            (None, Some(cvm)) if entry.allowed => Some(format!("{cvm} could go back to it")),
            _ => None,
        };
        for entry in read.history.hashes.iter().filter(|entry| entry.allowed) {
            if let Some(helper) = wrong(entry) {
                let text = format!(
                    "{} is a wrong hash of the manifest, computed by {helper}: no guest measures it",
                    entry.id
                );
                report.warn(Code::HashOfOldHelper, text);
            }
        }
        table(&mut report, &read.listing("HASH", &read.history.hashes), &word);
        read.show_waiting(&mut report);
        report.data = Some(json!({
            "app": read.app.app,
            "block": read.history.block,
            "runs": runs,
            "wrong": read.history.hashes.iter().filter_map(|entry| Some((entry.id.to_string(), wrong(entry)?))).collect::<BTreeMap<_, _>>(),
            "hashes": read.history.hashes,
            "incomplete": read.history.incomplete,
            "timelock": read.waiting,
        }));
        Ok(report)
    }

    async fn devices(place: &Place, session: &Session) -> Result<Report, CliError> {
        let read = Self::of(place, session).await?;
        let on = read.found.query.device;
        let mut report = read.report("app devices", &read.history.devices);
        if read.app.any_device {
            report.warn(Code::AnyDevice, "every device may run the app, whatever the list says");
        }
        let word = |entry: &PolicyEntry| {
            let cvm = read.found.cvm.as_ref().filter(|_| on == Some(entry.id))?;
            Some(format!("{cvm} is on it"))
        };
        table(&mut report, &read.listing("DEVICE", &read.history.devices), &word);
        read.show_waiting(&mut report);
        report.data = Some(json!({
            "app": read.app.app,
            "block": read.history.block,
            "any_device": read.app.any_device,
            "on": on,
            "devices": read.history.devices,
            "incomplete": read.history.incomplete,
            "timelock": read.waiting,
        }));
        Ok(report)
    }

    async fn of(place: &Place, session: &Session) -> Result<Self, CliError> {
        let settings = place.settings(session)?;
        let outside = session.outside(&settings);
        let found = place.find(&outside).await?;
        let chain = outside.world().chain(found.chain_id).await?;
        let (app, past) = chain.app_and_past(&found.query).await?;
        let about = (found.query.hash.as_slice(), found.query.device.as_slice());
        let (history, waiting) = tokio::join!(chain.history_of(&app, past, about), Waiting::for_app(&chain, &app));
        Ok(Self {
            history: history?,
            waiting: waiting?,
            found,
            app,
        })
    }

    const fn listing<'a>(&self, title: &'a str, list: &'a [PolicyEntry]) -> Listing<'a> {
        Listing {
            title,
            completeness: Completeness::of(&self.history),
            list,
        }
    }

    /// What comes without anybody being asked again belongs to what is allowed.
    fn show_waiting(&self, report: &mut Report) {
        let Some(waiting) = &self.waiting else { return };
        waiting.show(&mut report.page);
        if let Some(why) = &waiting.incomplete {
            let text = format!(
                "more may wait at the timelock {} that owns the app: {why}",
                self.app.owner
            );
            report.warn(Code::HistoryIncomplete, text);
        }
    }

    fn report(&self, command: &str, list: &[PolicyEntry]) -> Report {
        let allowed = list.iter().filter(|entry| entry.allowed).count();
        let mut report = Report::done(command, format!("{allowed} of {} are allowed", list.len()));
        report.facts.upgrade.chain_id = Some(self.found.chain_id);
        report.facts.upgrade.app = Some(self.app.app);
        report.facts.upgrade.owner = Some(self.app.owner);
        report.facts.upgrade.compose_hash = self.found.query.hash.map(|hash| ComposeHash::new(hash.0));
        report.page.facts(&[
            ("app", Some(self.app.app.to_string())),
            (
                "at block",
                Some(format!("{} {}", self.history.block.number, self.history.block.hash)),
            ),
        ]);
        incomplete(&mut report, self.history.incomplete.as_deref());
        report
    }
}

/// Says that a history is not whole.
pub(super) fn incomplete(report: &mut Report, why: Option<&str>) {
    if let Some(why) = why {
        let text = format!("the history is not known whole, there may be more entries and earlier events: {why}");
        report.warn(Code::HistoryIncomplete, text);
    }
}

/// Whether a list names everything that was ever in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completeness {
    /// All of it.
    Whole,
    /// There may be more.
    Open,
}

impl Completeness {
    pub(super) const fn of(history: &PolicyHistory) -> Self {
        match history.incomplete {
            None => Self::Whole,
            Some(_) => Self::Open,
        }
    }
}

/// A list of the app's policy.
pub(super) struct Listing<'a> {
    pub(super) title: &'a str,
    pub(super) completeness: Completeness,
    pub(super) list: &'a [PolicyEntry],
}

/// The entries of a list as a table, those that are allowed first; `title` names what is listed.
fn table(report: &mut Report, listing: &Listing<'_>, word: &dyn Fn(&PolicyEntry) -> Option<String>) {
    let row = |entry: &PolicyEntry| {
        let stands = if entry.allowed { "allowed" } else { "not allowed" };
        vec![
            entry.id.to_string(),
            stands.to_owned(),
            entry.since.as_ref().map_or_else(|| "not known".to_owned(), at),
            word(entry).unwrap_or_default(),
        ]
    };
    let (allowed, others): (Vec<_>, Vec<_>) = listing.list.iter().partition(|entry| entry.allowed);
    let rows: Vec<_> = allowed.into_iter().chain(others).map(row).collect();
    report
        .page
        .line("")
        .table(&[listing.title, "STANDS", "SINCE", ""], &rows);
    if listing.completeness == Completeness::Open {
        report.page.line("and perhaps more");
    }
}

/// The entries of a list under two headings, those that are allowed first; `title` says of which list, where several are
/// shown.
pub(super) fn entries(report: &mut Report, listing: &Listing<'_>, word: &dyn Fn(&PolicyEntry) -> Option<String>) {
    let Listing {
        title,
        completeness,
        list,
    } = *listing;
    for (heading, allowed) in [("allowed", true), ("not allowed", false)] {
        report.page.heading(format!("{title} {heading}").trim_start());
        let mut none = true;
        for entry in list.iter().filter(|entry| entry.allowed == allowed) {
            none = false;
            let since = entry
                .since
                .as_ref()
                .map_or_else(|| "since when is not known".to_owned(), since);
            let more = word(entry).map_or_else(String::new, |word| format!("  {word}"));
            report.page.block(&format!("{}  {since}{more}", entry.id));
        }
        match completeness {
            Completeness::Whole if none => report.page.block("none"),
            Completeness::Whole => &mut report.page,
            Completeness::Open if none => report.page.block("none that is known; there may be some"),
            Completeness::Open => report.page.block("and perhaps more"),
        };
    }
}

/// Time, block and transaction of an event.
pub(super) fn since(place: &PolicyPlace) -> String {
    format!("since {}", at(place))
}

/// Time, block and transaction of an event, without the word `since`.
pub(super) fn at(place: &PolicyPlace) -> String {
    let seconds = i64::try_from(place.block.timestamp).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_second(seconds).map_or_else(|_odd| "?".to_owned(), |time| time.to_string());
    format!("{time}, block {}, {}", place.block.number, place.transaction)
}
