//! `pre-launch-script`, `docker-compose`, `compose-file`, `envs`, `os-image`, `os-images`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::list::Part;
use super::order::{Api, On, Terms, sealed};
use super::patch::{Proof, names};
use crate::cli::error::CliError;
use crate::cli::failure::told;
use crate::cli::report::Report;
use crate::cli::session::Session;
use crate::cli::settings::text_file;
use crate::cloud::{CommitCompose, Envs, OsImage};
use crate::compose::{ComposeHash, MAX_MANIFEST_BYTES, Manifest};
use crate::env::EnvName;
use crate::fsutil;

/// Change the script that runs before the containers; needs an upgrade on an on-chain KMS
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm pre-launch-script setup.sh --cvm my-app --yes")]
pub(super) struct PreLaunchScript {
    /// The script
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    terms: Terms,
}

/// Change the Docker Compose text; needs an upgrade on an on-chain KMS
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm docker-compose docker-compose.yml --cvm my-app --yes")]
pub(super) struct DockerCompose {
    /// The Docker Compose file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    terms: Terms,
}

/// Change the whole manifest: provision it (nothing changes yet), then commit its hash
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign cvm compose-file app-compose.json --cvm my-app --yes\n  \
    countersign cvm compose-file --commit 0x1234... --cvm my-app --yes"
)]
pub(super) struct ComposeFile {
    /// Manifest to provision: an app-compose.json
    #[arg(value_name = "FILE", required_unless_present = "commit")]
    file: Option<PathBuf>,
    /// Commit the manifest that was provisioned with this hash
    #[arg(long, value_name = "HASH", conflicts_with = "file")]
    commit: Option<ComposeHash>,
    /// File with the sealed environment, hex
    #[arg(long, value_name = "FILE", requires = "commit")]
    encrypted_env: Option<PathBuf>,
    /// Environment variable that the guest may receive; repeat it, the order counts
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "commit")]
    allowed_env: Option<Vec<EnvName>>,
    /// Whether the names of variables replace the ones in force
    #[arg(long, value_name = "BOOL")]
    update_env_vars: Option<bool>,
    #[command(flatten)]
    terms: Terms,
}

/// Replace the sealed environment; other names of variables need an approval on an on-chain KMS
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm envs sealed.hex --cvm my-app --yes")]
pub(super) struct EnvsArgs {
    /// File with the sealed environment, hex
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Environment variable that the guest may receive; repeat it, the order counts [default: as it is]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    allowed_env: Option<Vec<EnvName>>,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    terms: Terms,
}

/// Give a CVM another OS image; it restarts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm os-image dstack-0.5.8 --cvm my-app --wait --yes")]
pub(super) struct OsImageArgs {
    /// The image, as `countersign cvm os-images` names it
    #[arg(value_name = "NAME")]
    image: String,
    #[command(flatten)]
    terms: Terms,
}

/// List the OS images that a CVM may be given, or all there are
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign cvm os-images --cvm my-app\n  countersign cvm os-images --all")]
pub(super) struct OsImages {
    #[command(flatten)]
    on: On,
    /// All images, whatever the CVM
    #[arg(long, conflicts_with = "cvm")]
    all: bool,
    #[command(flatten)]
    part: Part,
}

impl PreLaunchScript {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm pre-launch-script")?;
        let text = text_file(&self.file)?;
        let path = self.file.display().to_string();
        order.ask(
            "Change the pre-launch script? The CVM restarts.",
            &[("file", path.clone())],
        )?;
        let approved = self.proof.approved();
        let patched = order
            .api
            .cloud
            .set_pre_launch_script(&order.id, &text, approved)
            .await?;
        let upgrade = ["--pre-launch-script".to_owned(), path];
        order.with_phases("the script was taken", patched, &upgrade).await
    }
}

impl DockerCompose {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm docker-compose")?;
        let text = text_file(&self.file)?;
        let path = self.file.display().to_string();
        order.ask(
            "Change the Docker Compose text? The CVM restarts.",
            &[("file", path.clone())],
        )?;
        let approved = self.proof.approved();
        let patched = order.api.cloud.set_docker_compose(&order.id, &text, approved).await?;
        let upgrade = ["--compose".to_owned(), path];
        order
            .with_phases("the Docker Compose text was taken", patched, &upgrade)
            .await
    }
}

impl ComposeFile {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm compose-file")?;
        if let Some(hash) = self.commit {
            let commit = CommitCompose {
                hash,
                encrypted_env: self.encrypted_env.as_deref().map(sealed).transpose()?,
                env_keys: names(self.allowed_env.as_deref()),
                update_env_vars: self.update_env_vars,
            };
            let facts = [("compose hash", hash.to_string())];
            order.ask("Commit the provisioned manifest? The CVM restarts.", &facts)?;
            let accepted = order.api.cloud.commit_compose_file(&order.id, &commit).await?;
            return order.with_operation("the commit was taken", &accepted).await;
        }
        let file = self.file.as_deref().unwrap_or_else(|| std::path::Path::new(""));
        let max = u64::try_from(MAX_MANIFEST_BYTES).unwrap_or(u64::MAX);
        let bytes = fsutil::read(file, max).map_err(CliError::UserFile)?;
        let manifest = Manifest::parse(&bytes).map_err(|error| CliError::Input {
            code: "INPUT_MANIFEST",
            message: format!("`{}` is no manifest: {}", file.display(), told(&error)),
            hint: "give the app-compose.json of a CVM: one JSON object, every name in it once".to_owned(),
        })?;
        order.ask(
            "Provision this manifest? Nothing changes until its hash is committed.",
            &[],
        )?;
        let cloud = &order.api.cloud;
        let made = cloud
            .provision_compose_file(&order.id, &manifest, self.update_env_vars)
            .await?;
        let mut report = order.taken("the manifest is provisioned; nothing has changed yet");
        report.facts.upgrade.compose_hash = Some(made.compose_hash);
        report.facts.upgrade.app = made.app_id;
        report.facts.upgrade.chain_id = made.kms.chain_id;
        report.page.facts(&[
            ("compose hash", Some(made.compose_hash.to_string())),
            (
                "allowed",
                made.registered
                    .map(|allowed| if allowed { "yes" } else { "no" }.to_owned()),
            ),
        ]);
        if made.kms.is_onchain() && made.registered != Some(true) {
            report.hint = Some("the app's owner has to allow that hash before it is committed".to_owned());
        }
        let cvm = crate::cli::next::quote(&order.id.to_string());
        let hash = made.compose_hash;
        report.next = Some(format!("countersign cvm compose-file --commit {hash} --cvm {cvm}"));
        report.data = Some(json!(made));
        Ok(report)
    }
}

impl EnvsArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm envs")?;
        let envs = Envs {
            encrypted_env: sealed(&self.file)?,
            env_keys: names(self.allowed_env.as_deref()),
        };
        let mut facts = vec![("file", self.file.display().to_string())];
        facts.extend(envs.env_keys.as_ref().map(|names| ("variables", names.join(", "))));
        order.ask("Replace the environment? The CVM restarts.", &facts)?;
        let patched = order
            .api
            .cloud
            .set_envs(&order.id, &envs, self.proof.approved())
            .await?;
        order.with_phases("the environment was taken", patched, &[]).await
    }
}

impl OsImageArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm os-image")?;
        order.ask(
            "Change the OS image? The CVM restarts.",
            &[("OS image", self.image.clone())],
        )?;
        let accepted = order.api.cloud.set_os_image(&order.id, &self.image).await?;
        order.with_operation("the OS image was taken", &accepted).await
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
        for image in &images {
            report.page.line(&row(image));
        }
        report.data = Some(json!({ "items": images }));
        Ok(report)
    }
}

fn row(image: &OsImage) -> String {
    let mut words: Vec<String> = [&image.name, &image.version].into_iter().flatten().cloned().collect();
    words.extend(image.os_image_hash.map(|hash| hash.to_string()));
    words.extend((image.is_dev == Some(true)).then(|| "development".to_owned()));
    words.extend((image.is_current == Some(true)).then(|| "in use".to_owned()));
    words.join("  ")
}
