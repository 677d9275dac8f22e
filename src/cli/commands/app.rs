//! `app`: the app's contract as the chain shows it.

use alloy::primitives::{Address, B256};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::chain::{AppQuery, AppState, HashRecord};
use crate::cli::args::Reach;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::report::Report;
use crate::cli::session::{Outside, Session};
use crate::cli::settings::{self, Project, Settings, Typed};
use crate::cli::view;
use crate::cloud::CvmId;
use crate::compose::ComposeHash;
use crate::upgrade;

/// Read the app's contract: who owns it, which hashes and devices it allows
#[derive(Debug, Args)]
pub(in crate::cli) struct App {
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Show owner, implementation, devices, and every hash that was allowed or removed
    #[command(after_help = "Examples:\n  countersign app show --cvm my-app\n  \
        countersign app show 0x1234567890123456789012345678901234567890 --chain-id 8453")]
    Show(Target),
    /// Say whether the KMS would let this CVM, or this hash, boot; ends with 6 when not
    #[command(after_help = "Example:\n  countersign app check --cvm my-app --hash 0x1234...")]
    Check(Target),
}

#[derive(Debug, Args)]
struct Target {
    /// App id = address of the app's contract [default: the CVM's]
    #[arg(value_name = "ADDRESS", conflicts_with = "cvm")]
    app: Option<Address>,
    /// CVM whose app it is; Phala Cloud is asked for its addresses [default: what phala.toml names]
    #[arg(long, value_name = "ID")]
    cvm: Option<CvmId>,
    /// Chain of the app, when only its address is given
    #[arg(long, value_name = "N", requires = "app")]
    chain_id: Option<u64>,
    /// Compose hash to ask about [default: the one that the CVM runs]
    #[arg(long, value_name = "HASH")]
    hash: Option<ComposeHash>,
    /// Device id to ask about [default: the CVM's]
    #[arg(long, value_name = "DEVICE")]
    device: Option<B256>,
    /// Hash of the OS image to ask about [default: the CVM's]
    #[arg(long, value_name = "HASH")]
    os_image: Option<B256>,
    /// Address of the KMS contract [default: the CVM's]
    #[arg(long, value_name = "ADDRESS")]
    kms: Option<Address>,
    #[command(flatten)]
    reach: Reach,
}

impl App {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            AppCommand::Show(target) => target.show(session).await,
            AppCommand::Check(target) => target.check(session).await,
        }
    }
}

impl Target {
    async fn show(self, session: &Session) -> Result<Report, CliError> {
        let settings = self.settings(session)?;
        let outside = session.outside(&settings)?;
        let (chain_id, query) = self.query(&outside).await?;
        let chain = outside.world().chain(chain_id).await?;
        let app = chain.app(&query).await?;
        let history = chain.hash_history(query.app).await?;
        let mut report = Report::done("app show", "read from the chain");
        view::app(&mut report.page, &app);
        hashes(&mut report, &history);
        know(&mut report, chain_id, &app, &query);
        report.data = Some(json!({ "app": app, "hashes": history }));
        Ok(report)
    }

    async fn check(self, session: &Session) -> Result<Report, CliError> {
        let settings = self.settings(session)?;
        let outside = session.outside(&settings)?;
        let (chain_id, query) = self.query(&outside).await?;
        let chain = outside.world().chain(chain_id).await?;
        let app = chain.app(&query).await?;
        let refusals = refusals(&app);
        let mut report = Report::done("app check", "the KMS would let it boot");
        view::app(&mut report.page, &app);
        know(&mut report, chain_id, &app, &query);
        report.data = Some(json!({ "allowed": refusals.is_empty(), "refusals": refusals, "app": app }));
        if !refusals.is_empty() {
            report.exit = Exit::State;
            report.code = "BOOT_REFUSED".to_owned();
            report.message = format!("the KMS would not let it boot: {}", refusals.join("; "));
            report.hint = Some("the app's owner has to allow what is missing".to_owned());
            report.next = Some(session.typed().instead_of("check", "show"));
        }
        Ok(report)
    }

    fn settings(&self, session: &Session) -> Result<Settings, CliError> {
        Settings::gather(
            Typed {
                reach: Some(&self.reach),
                ..Typed::default()
            },
            &session.env,
        )
    }

    /// What to ask, and on which chain: from the arguments, and from the cloud where a CVM is named.
    async fn query(&self, outside: &Outside<'_>) -> Result<(u64, AppQuery), CliError> {
        let asked = |app: Address| AppQuery {
            app,
            kms: self.kms,
            hash: self.hash.map(|hash| B256::from(*hash.as_bytes())),
            device: self.device,
            os_image: self.os_image,
        };
        if let (Some(app), Some(chain_id)) = (self.app, self.chain_id) {
            return Ok((chain_id, asked(app)));
        }
        let world = outside.world();
        if let Some(app) = self.app {
            let kms = world.cloud.app_kms_info(app).await?.kms;
            let query = AppQuery {
                kms: self.kms.or(kms.kms_contract),
                ..asked(app)
            };
            return Ok((kms.chain_id.ok_or_else(off_chain)?, query));
        }
        let cvm = world
            .cloud
            .cvm(&settings::cvm(self.cvm.as_ref(), &Project::here()?)?.value)
            .await?;
        let app = cvm.app_id.or(cvm.kms.app_contract).ok_or_else(off_chain)?;
        let asked = asked(app);
        let query = AppQuery {
            app,
            kms: asked.kms.or(cvm.kms.kms_contract),
            hash: asked
                .hash
                .or_else(|| cvm.compose_hash.map(|hash| B256::from(*hash.as_bytes()))),
            device: asked.device.or(cvm.device_id),
            os_image: asked.os_image.or(cvm.os_image_hash),
        };
        Ok((cvm.kms.chain_id.ok_or_else(off_chain)?, query))
    }
}

fn off_chain() -> CliError {
    CliError::from(upgrade::UpgradeError::Decide {
        code: "KMS_OFFCHAIN",
        message: "no on-chain KMS guards it, so there is no contract to read".to_owned(),
        source: None,
    })
}

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
    if let Some(preflight) = app
        .preflight
        .as_ref()
        .filter(|preflight| !preflight.allowed && refusals.is_empty())
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

fn hashes(report: &mut Report, history: &[HashRecord]) {
    report.page.heading("hashes, oldest first");
    if history.is_empty() {
        report.page.block("none");
    }
    for record in history {
        let word = if record.allowed { "allowed" } else { "removed" };
        report.page.block(&format!(
            "{word}  {}  block {}  {}",
            record.hash, record.block, record.transaction
        ));
    }
}
