//! `is-allowed`, `status`, `batch-stop`: what the cloud says of several CVMs in one request.

use alloy::primitives::{Address, B256};
use clap::Args;
use serde_json::json;

use crate::cli::act::api::{Api, On};
use crate::cli::args::Agree;
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::{self, error::CliError};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::cloud::{
    CvmId,
    inventory::allowed::{AllowedQuery, IsAllowed},
    inventory::batch::{CvmStatus, MOST_STOPPED},
};
use crate::code::Code;
use crate::compose::ComposeHash;

/// Most CVMs whose states are asked for in one request.
const MOST_STATES: usize = 500;

/// Ask Phala Cloud whether the app's contract lets a CVM run, or each CVM of an app; ends with 6 when not
///
/// It is Phala Cloud's word; `countersign app check` asks the chain.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign cvm is-allowed my-app --compose-hash 0x1234...\n  \
    countersign cvm is-allowed --app 0x3f91deaf16ff7c823ee65081d6bafa1ceea05ffc"
)]
pub(super) struct IsAllowedArgs {
    #[command(flatten)]
    on: On,
    /// All CVMs of this app, in one request
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["on", "cvm"], value_parser = values::address)]
    app: Option<Address>,
    /// Compose hash to ask about [default: the one that the CVM runs]
    #[arg(long, value_name = "HASH", conflicts_with = "app", value_parser = values::compose_hash)]
    compose_hash: Option<ComposeHash>,
    /// Ask about the device of this node [default: the CVM's]
    #[arg(long, value_name = "N", conflicts_with_all = ["app", "device"], value_parser = values::whole::<u64>(0..))]
    node: Option<u64>,
    /// Device id to ask about [default: the CVM's]
    #[arg(long, value_name = "DEVICE", conflicts_with = "app", value_parser = values::word)]
    device: Option<B256>,
}

/// Show the states of several CVMs, asked for in one request
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign cvm status my-app other-app\n  countersign cvm status --all")]
pub(super) struct Status {
    /// CVMs [default: what phala.toml names]
    #[arg(value_name = "ID", value_parser = values::cvm)]
    cvms: Vec<CvmId>,
    /// All of the workspace's
    #[arg(long, conflicts_with = "cvms")]
    all: bool,
}

/// Stop several CVMs at once, like pulling their power
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm batch-stop my-app other-app --yes")]
pub(super) struct BatchStop {
    /// CVMs, at most 50
    #[arg(value_name = "ID", required = true, num_args = 1..=MOST_STOPPED, value_parser = values::cvm)]
    cvms: Vec<CvmId>,
    #[command(flatten)]
    agree: Agree,
}

impl IsAllowedArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let mut report = Report::done("cvm is-allowed", "allowed, as Phala Cloud reads the chain");
        let api = Api::new(session, None)?;
        let Some(app) = self.app else {
            let id = self.on.id()?;
            report.facts.upgrade.cvm = Some(id.to_string());
            let query = AllowedQuery {
                compose_hash: self.compose_hash,
                node_id: self.node,
                device_id: self.device,
            };
            let one = api.cloud.cvm_is_allowed(&id, &query).await?;
            report.facts.upgrade.app = one.app;
            report.facts.upgrade.compose_hash = one.compose_hash;
            report.page.line(&row(&one));
            report.data = Some(json!(one));
            return Ok(judged(report, usize::from(one.is_allowed != Some(true)), 0));
        };
        report.facts.upgrade.app = Some(app);
        let all = api.cloud.app_cvms_are_allowed(app).await?;
        for one in &all.results {
            report.page.line(&row(one));
        }
        for skipped in &all.skipped_cvm_ids {
            report.page.line(&format!("{skipped}  not looked at"));
        }
        // What is counted and what is listed may differ, and the worse of both is what holds.
        let failed = |one: &&IsAllowed| one.is_allowed != Some(true);
        let listed = all.results.iter().filter(failed).count();
        let counted = all
            .denied_count
            .unwrap_or(0)
            .saturating_add(all.error_count.unwrap_or(0));
        let denied = listed.max(usize::try_from(counted).unwrap_or(usize::MAX));
        if all.is_onchain == Some(false) {
            "no contract guards this app, so nothing has to be allowed".clone_into(&mut report.message);
        }
        let skipped = all.skipped_cvm_ids.len();
        report.data = Some(json!(all));
        Ok(judged(report, denied, skipped))
    }
}

/// One CVM, and what is not allowed of it.
fn row(one: &IsAllowed) -> String {
    let said = |allowed: Option<bool>| match allowed {
        Some(true) => "allowed",
        Some(false) => "not allowed",
        None => "unknown",
    };
    let mut words: Vec<String> = one.cvm_id.iter().map(ToString::to_string).collect();
    words.push(said(one.is_allowed).to_owned());
    let hash = one.compose_hash.map_or_else(String::new, |hash| format!(" {hash}"));
    words.push(format!("hash{hash}: {}", said(one.compose_hash_allowed)));
    let device = one.device_id.map_or_else(String::new, |device| format!(" {device}"));
    let device_allowed = match one.allow_any_device {
        Some(true) => "every device is allowed",
        _ => said(one.device_id_allowed),
    };
    words.push(format!("device{device}: {device_allowed}"));
    words.extend(one.error.clone());
    words.join("  ")
}

/// What is not allowed, or was not looked at, needs somebody.
fn judged(mut report: Report, denied: usize, skipped: usize) -> Report {
    if denied + skipped > 0 {
        report.exit = Exit::State;
        report.code = Code::CloudSaysNotAllowed;
        report.message = match skipped {
            0 => format!("Phala Cloud says that the chain does not allow {denied}"),
            _ => format!("Phala Cloud says that the chain does not allow {denied}, and did not look at {skipped}"),
        };
        report.hint = Some(failure::by_code(report.code).hint);
    }
    report
}

impl Status {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, None)?;
        let mut names = Vec::new();
        let mut uuids: Vec<CvmId> = Vec::new();
        if self.all {
            for cvm in api.cloud.all_cvms().await? {
                let Some(uuid) = cvm.uuid.as_deref().and_then(|uuid| uuid.parse().ok()) else {
                    continue;
                };
                names.push(cvm.name.clone().unwrap_or_default());
                uuids.push(uuid);
            }
        } else {
            let named = match self.cvms.is_empty() {
                true => vec![On::default().id()?],
                false => self.cvms,
            };
            for id in named {
                names.push(id.to_string());
                uuids.push(match id.uuid() {
                    Some(_) => id,
                    // A name is no UUID: its record has that.
                    None => uuid_of(&api, &id).await?,
                });
            }
        }
        let mut found = std::collections::BTreeMap::new();
        for part in uuids.chunks(MOST_STATES) {
            found.extend(api.cloud.statuses(part).await?);
        }
        let found: std::collections::BTreeMap<String, CvmStatus> =
            found.into_iter().map(|(uuid, state)| (plain(&uuid), state)).collect();
        let mut report = Report::done("cvm status", "read");
        let (mut items, mut rows) = (Vec::new(), Vec::new());
        for (name, uuid) in names.iter().zip(&uuids) {
            let state = found.get(&plain(uuid.as_str()));
            let failed = state.and_then(|state| state.state.boot_error.clone());
            let or_none = |word: Option<String>| word.filter(|word| !word.is_empty()).or_else(|| Some("-".to_owned()));
            rows.push(cells([
                Some(crate::text::name(name)),
                state.and_then(|state| state.state.status.clone()),
                or_none(state.and_then(|state| state.operation_type.clone())),
                or_none(failed),
            ]));
            items.push(json!({ "name": name, "uuid": uuid.as_str(), "state": state }));
        }
        report.page.table(&["NAME", "STATUS", "OPERATION", "ERROR"], &rows);
        report.data = Some(json!({ "items": items }));
        Ok(report)
    }
}

async fn uuid_of(api: &Api<'_>, id: &CvmId) -> Result<CvmId, CliError> {
    let cvm = api.cloud.cvm(id).await?;
    Ok(cvm.uuid.unwrap_or_else(|| id.to_string()).parse::<CvmId>()?)
}

/// A UUID as it is compared: answers have it with dashes or without.
fn plain(uuid: &str) -> String {
    uuid.replace('-', "").to_ascii_lowercase()
}

impl BatchStop {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        let names: Vec<String> = self.cvms.iter().map(ToString::to_string).collect();
        api.ask(
            "Stop these CVMs at once, without a shutdown?",
            &[("CVMs", names.join(", "))],
        )?;
        let stopped = api.cloud.batch_stop(&self.cvms).await?;
        let mut report = Report::done("cvm batch-stop", "the CVMs stop");
        for one in &stopped.errors {
            let words = [&one.cvm_id, &one.error].into_iter().flatten().cloned();
            report.page.line(&words.collect::<Vec<_>>().join("  "));
        }
        let count = stopped.stopped.unwrap_or(0);
        if usize::try_from(count) != Ok(self.cvms.len()) || !stopped.errors.is_empty() {
            report.exit = Exit::State;
            report.code = Code::CvmsNotStopped;
            report.message = format!("{count} of {} stop", self.cvms.len());
            report.hint = Some(failure::by_code(report.code).hint);
        }
        report.next = Some(format!("countersign cvm status {}", quoted(&names)));
        report.data = Some(json!(stopped));
        Ok(report)
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| crate::text::quote(name)).collect();
    names.join(" ")
}
