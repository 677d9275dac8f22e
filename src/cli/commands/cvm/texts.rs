//! `pre-launch-script`, `docker-compose`, `os-image`, `os-images`.

use std::path::PathBuf;

use alloy::primitives::B256;
use clap::Args;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::go_on::GoOn;
use super::order::{Order, Terms};
use super::patch::Proof;
use crate::cli::act::api::{Api, On, Part};
use crate::cli::args::values;
use crate::cli::failure::{Commands as _, Next, error::CliError};
use crate::cli::session::Session;
use crate::cli::session::files::{compose_file, text_file};
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::cloud::{images::OsImage, inventory::script::ScriptStatus, updates::Patched};
use crate::code::Code;
use crate::compose::Changes;
use crate::upgrade::UpgradeError;

/// Show or change the script that runs before the containers; a change needs an upgrade on an on-chain KMS
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:\n  countersign cvm pre-launch-script my-app setup.sh --yes\n  \
    countersign cvm pre-launch-script my-app --show\n  \
    countersign cvm pre-launch-script my-app official.sh --to-latest-official --dir up --yes"
)]
pub(super) struct PreLaunchScript {
    #[command(flatten)]
    terms: Terms,
    /// The script; with --to-latest-official your copy of it, which is compared before anybody is asked
    #[arg(value_name = "FILE", required_unless_present_any = ["show", "upgrade_status", "to_latest_official"])]
    file: Option<PathBuf>,
    /// Print the script that the CVM has, and nothing else
    #[arg(long, conflicts_with_all = ["upgrade_status", "to_latest_official"])]
    show: bool,
    /// Say how the CVM's script stands to Phala's official ones
    #[arg(long, conflicts_with = "to_latest_official")]
    upgrade_status: bool,
    /// Replace the script by Phala's newest official one, whose text Phala Cloud has
    #[arg(long)]
    to_latest_official: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    on: GoOn,
}

/// Show or change the Docker Compose text; a change needs an upgrade on an on-chain KMS
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:\n  countersign cvm docker-compose my-app docker-compose.yml --yes\n  \
    countersign cvm docker-compose my-app --show > docker-compose.yml"
)]
pub(super) struct DockerCompose {
    #[command(flatten)]
    terms: Terms,
    /// The Docker Compose file
    #[arg(value_name = "FILE", required_unless_present = "show")]
    file: Option<PathBuf>,
    /// Print the text that the CVM has, and nothing else
    #[arg(long)]
    show: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    on: GoOn,
}

/// Give a CVM another OS image; it restarts
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Example:\n  countersign cvm os-image my-app dstack-0.5.8 --wait --yes"
)]
pub(super) struct OsImageArgs {
    #[command(flatten)]
    terms: Terms,
    /// The image, as `countersign cvm os-images` names it
    #[arg(value_name = "NAME", value_parser = values::filled)]
    image: String,
}

/// List the OS images that a CVM may be given, or all there are
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign cvm os-images my-app\n  countersign cvm os-images --all")]
pub(super) struct OsImages {
    #[command(flatten)]
    on: On,
    /// All images, whatever the CVM
    #[arg(long, conflicts_with_all = ["on", "cvm"])]
    all: bool,
    #[command(flatten)]
    part: Part,
}

impl PreLaunchScript {
    pub(super) async fn run(mut self, session: &Session) -> Result<Report, CliError> {
        let word = self.file.take_if(|_| self.show || self.upgrade_status);
        self.terms = self.terms.or_word(word.as_deref())?;
        let order = self.terms.order(session, "cvm pre-launch-script")?;
        if self.to_latest_official {
            return self.official(&order).await;
        }
        if self.upgrade_status {
            let status = order.api.cloud.script_status(&order.id).await?;
            return Ok(standing(&order, &status));
        }
        let Some(file) = self.file else {
            let text = order.api.cloud.pre_launch_script(&order.id).await?;
            return Ok(whole(&order, text));
        };
        let text = text_file(&file)?;
        let path = file.display().to_string();
        let changes = Changes {
            pre_launch_script: Some(text.clone()),
            ..Changes::default()
        };
        order.check(&changes, None).await?;
        order.ask(
            "Change the pre-launch script? The CVM restarts.",
            &[("file", path.clone())],
        )?;
        let since = order.before().await?.running(self.proof.compose_hash);
        let approved = self.proof.approved();
        let patched = order
            .api
            .cloud
            .set_pre_launch_script(&order.id, &text, approved)
            .await?;
        let wish = self.on.wish(changes, ["--pre-launch-script".to_owned(), path], since);
        order.with_phases("the script was taken", patched, wish).await
    }
}

impl PreLaunchScript {
    /// By the server's own text. What it is, only a copy of it tells: with one, the hash that the server names has to be that of the
    /// CVM's manifest with that copy.
    async fn official(&self, order: &Order<'_>) -> Result<Report, CliError> {
        let cloud = &order.api.cloud;
        if self.on.dir.is_some() && self.file.is_none() {
            return Err(CliError::Usage {
                code: Code::UsageNoFile,
                message: "an upgrade shows its texts, and Phala Cloud does not give that of its official script"
                    .to_owned(),
                hint: "name your copy of it as FILE".to_owned(),
                next: Next::with("FILE"),
            });
        }
        let status = cloud.script_status(&order.id).await?;
        let text = self.file.as_deref().map(text_file).transpose()?;
        let own = text
            .as_ref()
            .map(|text| B256::from(<[u8; 32]>::from(Sha256::digest(text))));
        if let (Some(own), Some(official)) = (own, status.latest_official_hash)
            && own != official
        {
            let stop = UpgradeError::stop(Code::ScriptNotOfficial, "SHA-256 of the official script", official, own);
            return Err(stop.into());
        }
        let changes = Changes {
            pre_launch_script: text,
            ..Changes::default()
        };
        order.check(&changes, None).await?;
        let official = status.latest_official_hash.map(|hash| hash.to_string());
        order.ask(
            "Replace the pre-launch script by Phala's newest official one? The CVM restarts.",
            &[("SHA-256 of it", official.unwrap_or_else(|| "not known".to_owned()))],
        )?;
        let since = order.before().await?.running(self.proof.compose_hash);
        let prepared = match cloud.upgrade_script(&order.id, self.proof.approved()).await? {
            Patched::Accepted(accepted) => {
                return order
                    .with_operation("the official script was taken", &accepted, since)
                    .await;
            }
            Patched::HashRequired(prepared) => prepared,
        };
        let Some(file) = &self.file else {
            let mut report = order.first_phase(&prepared);
            report.next = Some(order.session().typed().command(&Next::with("FILE --dir DIR")));
            return Ok(report);
        };
        let (cvm, manifest) = tokio::try_join!(cloud.cvm(&order.id), cloud.manifest(&order.id))?;
        let form = cvm.compose_hash.and_then(|known| manifest.calibrate(known));
        if let Some(own) = form.map(|form| manifest.with(&changes).hash(form))
            && own != prepared.compose_hash
        {
            let named = prepared.compose_hash;
            return Err(
                UpgradeError::stop(Code::HashMismatch, "compose hash with the official script", own, named).into(),
            );
        }
        let words = ["--pre-launch-script".to_owned(), file.display().to_string()];
        let wish = self.on.wish(changes, words, since);
        order.hash_required(&prepared, wish).await
    }
}

/// A text and nothing else.
fn whole(order: &Order<'_>, text: String) -> Report {
    let mut report = Report::done(order.name(), "read");
    report.facts.upgrade.cvm = Some(order.id.to_string());
    report.data = Some(json!({ "text": text }));
    report.raw = Some(text);
    report
}

/// How a script stands to the official ones.
fn standing(order: &Order<'_>, status: &ScriptStatus) -> Report {
    let said = match (status.is_official, status.is_latest) {
        (Some(true), Some(true)) => "the script is Phala's newest official one",
        (Some(true), _) => "the script is an official one of Phala's, and not the newest",
        (Some(false), _) => "the script is none of Phala's official ones",
        (None, _) => "whether the script is an official one is not known",
    };
    let mut report = Report::done(order.name(), said);
    report.facts.upgrade.cvm = Some(order.id.to_string());
    let text = |hash: Option<B256>| hash.map(|hash| hash.to_string());
    report.page.line(said);
    report.page.facts(&[
        ("SHA-256 of the CVM's", text(status.current_hash)),
        ("SHA-256 of the newest", text(status.latest_official_hash)),
    ]);
    report.data = Some(json!(status));
    report
}

impl DockerCompose {
    pub(super) async fn run(mut self, session: &Session) -> Result<Report, CliError> {
        let word = self.file.take_if(|_| self.show);
        self.terms = self.terms.or_word(word.as_deref())?;
        let order = self.terms.order(session, "cvm docker-compose")?;
        let Some(file) = self.file else {
            let text = order.api.cloud.docker_compose(&order.id).await?;
            return Ok(whole(&order, text));
        };
        let text = compose_file(&file)?;
        let path = file.display().to_string();
        let changes = Changes {
            docker_compose_file: Some(text.clone()),
            ..Changes::default()
        };
        order.check(&changes, None).await?;
        order.ask(
            "Change the Docker Compose text? The CVM restarts.",
            &[("file", path.clone())],
        )?;
        let since = order.before().await?.running(self.proof.compose_hash);
        let approved = self.proof.approved();
        let patched = order.api.cloud.set_docker_compose(&order.id, &text, approved).await?;
        let wish = self.on.wish(changes, ["--compose".to_owned(), path], since);
        order
            .with_phases("the Docker Compose text was taken", patched, wish)
            .await
    }
}

impl OsImageArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm os-image")?;
        let allowed = order.check_image(&self.image).await?;
        order.ask(
            "Change the OS image? The CVM restarts.",
            &[("OS image", self.image.clone()), ("allowed by the KMS", allowed)],
        )?;
        let since = order.before().await?;
        let accepted = order.api.cloud.set_os_image(&order.id, &self.image).await?;
        order.with_operation("the OS image was taken", &accepted, since).await
    }
}

impl OsImages {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, None)?;
        let mut report = Report::done("cvm os-images", "read");
        let images = if self.all {
            let part = api.cloud.os_images(self.part.asked()).await?;
            report.next = Part::next(&part, "cvm os-images --all");
            part.items
        } else {
            let id = self.on.id()?;
            report.facts.upgrade.cvm = Some(id.to_string());
            api.cloud.available_os_images(&id).await?
        };
        let head = ["NAME", "VERSION", "KIND", "STANDS", "HASH"];
        report.page.table(&head, &images.iter().map(row).collect::<Vec<_>>());
        report.data = Some(json!({ "items": images }));
        Ok(report)
    }
}

fn row(image: &OsImage) -> Vec<String> {
    let word = |is: bool, yes: &str, no: &str| Some(if is { yes } else { no }.to_owned());
    cells([
        image.name.clone(),
        image.version.clone(),
        word(image.is_dev == Some(true), "development", "production"),
        word(image.is_current == Some(true), "in use", "-"),
        image.os_image_hash.map(|hash| hash.to_string()),
    ])
}
