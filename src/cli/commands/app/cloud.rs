//! `app list`, `attestations`, `tcb-evaluation`, `device-allowlist`, `redeploy`: what Phala Cloud says of apps, and does with them.

use alloy::primitives::{Address, B256};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::act::api::{Api, Part, named};
use crate::cli::args::Agree;
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::{self, error::CliError};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::cloud::{
    CvmId,
    inventory::{RevisionId, redeploy::Redeployment},
    updates::Patched,
};
use crate::code::Code;
use crate::upgrade::UpgradeError;

/// List the workspace's apps, as Phala Cloud has them
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign app list")]
pub(super) struct List {
    #[command(flatten)]
    part: Part,
}

/// Which app, for what only Phala Cloud is asked about.
#[derive(Debug, Args)]
pub(super) struct AtCloud {
    /// App id = address of the app's contract [default: the CVM's]
    #[arg(value_name = "ADDRESS", conflicts_with = "cvm", value_parser = values::address)]
    app: Option<Address>,
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
}

/// Show quotes and certificates of an app's CVMs, as Phala Cloud passes them on; nothing is verified here
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign app attestations --cvm my-app --json")]
pub(super) struct Attestations {
    #[command(flatten)]
    of: AtCloud,
}

/// Show whether Intel's next collateral still calls the machines of an app's CVMs up to date, in Phala Cloud's word
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign app tcb-evaluation --cvm my-app")]
pub(super) struct TcbEvaluation {
    #[command(flatten)]
    of: AtCloud,
}

/// Show which devices an app's CVMs are on and whether its contract allows them, in Phala Cloud's word
///
/// `countersign app devices list` reads the contract itself.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign app device-allowlist --cvm my-app")]
pub(super) struct DeviceAllowlist {
    #[command(flatten)]
    of: AtCloud,
}

/// Have CVMs of an app run a revision that Phala Cloud keeps, at once: without proof, and without a look at what it holds
///
/// As `countersign cvm redeploy`, for several CVMs in one request.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign app redeploy rev_1234 --app 0x3f91deaf16ff7c823ee65081d6bafa1ceea05ffc --yes"
)]
pub(super) struct Redeploy {
    /// The revision's id
    #[arg(value_name = "REVISION")]
    revision: RevisionId,
    /// App id = address of the app's contract
    #[arg(long, value_name = "ADDRESS", value_parser = values::address)]
    app: Address,
    /// UUID of a CVM that is to run it; repeat it [default: the only one there is]
    #[arg(long, value_name = "UUID", value_parser = values::cvm)]
    uuid: Vec<CvmId>,
    /// Transaction that allowed the revision's hash
    #[arg(long, value_name = "HASH", value_parser = values::word)]
    transaction_hash: Option<B256>,
    #[command(flatten)]
    agree: Agree,
}

impl AtCloud {
    async fn find(&self, api: &Api<'_>) -> Result<Address, CliError> {
        if let Some(app) = self.app {
            return Ok(app);
        }
        let id = named(self.cvm.as_ref())?;
        let cvm = api.cloud.cvm(&id).await?;
        cvm.app_id.ok_or_else(|| {
            let message = format!("Phala Cloud names no app for {id}");
            UpgradeError::decide(Code::AppUnknown, message).into()
        })
    }
}

impl List {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let list = Api::new(session, None)?.cloud.apps(self.part.asked()).await?;
        let mut report = Report::done("app list", "read");
        let rows = list.items.iter().map(|app| {
            cells([
                app.name.as_deref().map(crate::text::name),
                app.kms_type.clone(),
                app.cvm_count.map(|count| count.to_string()),
                app.app_id.map(|app| app.to_string()),
            ])
        });
        report
            .page
            .table(&["NAME", "KMS", "CVMS", "APP"], &rows.collect::<Vec<_>>());
        report.next = Part::next(&list, "app list");
        report.data = Some(json!(list));
        Ok(report)
    }
}

/// A text of a record, wherever it is.
fn word(record: &Value, place: &str) -> Option<String> {
    let found = record.pointer(place)?;
    match found {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}

/// What each of an app's CVMs says at these places.
fn instances(report: &mut Report, said: &Value, places: &[(&'static str, &str)]) {
    for one in said["instances"].as_array().into_iter().flatten() {
        let name = word(one, "/name").or_else(|| word(one, "/vm_uuid")).unwrap_or_default();
        report.page.heading(&crate::text::name(&name));
        let facts: Vec<_> = places.iter().map(|(name, place)| (*name, word(one, place))).collect();
        report.page.facts(&facts);
    }
}

impl Attestations {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, None)?;
        let app = self.of.find(&api).await?;
        let said = api.cloud.app_attestations(app).await?;
        let mut report = Report::done("app attestations", "read; no quote was verified");
        report.facts.upgrade.app = Some(app);
        let places = [
            ("status", "/status"),
            ("device", "/device_id"),
            ("OS image", "/image_version"),
            ("error", "/error"),
        ];
        instances(&mut report, &said, &places);
        report.data = Some(said);
        Ok(report)
    }
}

impl TcbEvaluation {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, None)?;
        let app = self.of.find(&api).await?;
        let said = api.cloud.tcb_evaluation(app).await?;
        let mut report = Report::done("app tcb-evaluation", "read; it is Phala Cloud's word");
        report.facts.upgrade.app = Some(app);
        let places = [
            ("up to date", "/evaluation_ok"),
            ("status", "/evaluation_status"),
            ("device", "/device_id"),
            ("error", "/error"),
        ];
        instances(&mut report, &said, &places);
        report.data = Some(said);
        Ok(report)
    }
}

impl DeviceAllowlist {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, None)?;
        let app = self.of.find(&api).await?;
        let list = api.cloud.device_allowlist(app).await?;
        let mut report = Report::done("app device-allowlist", "read; it is Phala Cloud's word");
        report.facts.upgrade.app = Some(app);
        report.facts.upgrade.chain_id = list.chain_id;
        if list.allow_any_device == Some(true) {
            report.warn(Code::AnyDevice, "every device may run the app, whatever the list says");
        }
        let rows = list.devices.iter().map(|device| {
            let allowed = match device.allowed_onchain {
                Some(true) => "allowed",
                Some(false) => "not allowed",
                None => "unknown",
            };
            cells([
                Some(allowed.to_owned()),
                device.node_name.clone(),
                device.status.clone(),
                device.device_id.map(|id| id.to_string()),
            ])
        });
        let head = ["ALLOWED", "NODE", "STATUS", "DEVICE"];
        report.page.table(&head, &rows.collect::<Vec<_>>());
        report.data = Some(json!(list));
        Ok(report)
    }
}

impl Redeploy {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        let uuids: Vec<String> = self.uuid.iter().map(ToString::to_string).collect();
        let whom = match uuids.is_empty() {
            true => "the only one of the app".to_owned(),
            false => uuids.join(", "),
        };
        api.ask(
            "Have these CVMs run the revision at once? They restart; nothing is proved, and nobody is shown what the revision \
             holds.",
            &[("revision", self.revision.to_string()), ("app", self.app.to_string()), ("CVMs", whom)],
        )?;
        let back = Redeployment {
            revision: self.revision,
            transaction: self.transaction_hash,
        };
        let patched = api.cloud.redeploy_app(self.app, &self.uuid, &back).await?;
        let mut report = Report::done("app redeploy", "the revision was taken");
        report.facts.upgrade.app = Some(self.app);
        match patched {
            Patched::HashRequired(prepared) => {
                report.exit = Exit::State;
                report.code = Code::HashRequired;
                report.message = format!(
                    "an on-chain KMS guards this app, so its owner has to allow {} first; nothing was changed",
                    prepared.compose_hash
                );
                report.hint = Some(failure::by_code(report.code).hint);
                report.facts.upgrade.compose_hash = Some(prepared.compose_hash);
                report.facts.upgrade.chain_id = prepared.kms.chain_id;
            }
            Patched::Accepted(accepted) => {
                report.facts.upgrade.correlation_id.clone_from(&accepted.correlation_id);
                report.data = Some(json!({ "accepted": accepted }));
                report.next = Some(format!("countersign app instances list {}", self.app));
                report.warn(
                    Code::RedeployUnproved,
                    "the revision was applied at once: nothing of it was shown to anybody or proved here",
                );
            }
        }
        Ok(report)
    }
}
