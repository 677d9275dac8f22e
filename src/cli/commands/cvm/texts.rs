//! `pre-launch-script`, `docker-compose`, `os-image`, `os-images`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::go_on::GoOn;
use super::order::Terms;
use super::patch::Proof;
use crate::cli::act::api::{Api, On, Part};
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::files::{compose_file, text_file};
use crate::cli::show::report::Report;
use crate::cloud::images::OsImage;
use crate::compose::Changes;

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
    on: GoOn,
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
    on: GoOn,
    #[command(flatten)]
    terms: Terms,
}

/// Give a CVM another OS image; it restarts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm os-image dstack-0.5.8 --cvm my-app --wait --yes")]
pub(super) struct OsImageArgs {
    /// The image, as `countersign cvm os-images` names it
    #[arg(value_name = "NAME", value_parser = values::filled)]
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

impl DockerCompose {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm docker-compose")?;
        let text = compose_file(&self.file)?;
        let path = self.file.display().to_string();
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
