//! `app revisions`: the cloud's own history of what an app's CVMs were made to run.

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use serde_json::json;

use super::instances::of_app;
use crate::cli::args::{SharedOptions, values};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::cloud::{Client, CvmId, Page, revisions::Revision};
use crate::code::Code;
use crate::compose::Form;

/// Revisions.
#[derive(Debug, Subcommand)]
pub(super) enum Revisions {
    /// List what the app's CVMs were made to run: when, by whom, by what kind of order
    #[command(after_help = "Examples:\n  countersign app revisions list --cvm my-app\n  \
        countersign app revisions list 0x1234567890123456789012345678901234567890 --page 2")]
    List(ListArgs),
    /// Show a revision with its manifest, and whether the manifest has the hash that it names
    #[command(after_help = "Example:\n  countersign app revisions show rev_1a2b --cvm my-app > app-compose.json")]
    Show(ShowArgs),
}

/// Which part of an app's history.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// App id = address of the app's contract [default: the CVM's]
    #[arg(value_name = "ADDRESS", conflicts_with = "cvm", value_parser = values::address)]
    app: Option<Address>,
    /// CVM whose app it is [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
    /// Page, from 1
    #[arg(long, value_name = "N", default_value = "1", value_parser = values::whole::<u32>(1..))]
    page: u32,
    /// Entries on a page
    #[arg(long, value_name = "N", default_value = "50", value_parser = values::whole::<u32>(1..=1000))]
    page_size: u32,
}

/// Which revision.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Revision, as `countersign app revisions list` names it
    #[arg(value_name = "REVISION", value_parser = values::cvm)]
    revision: CvmId,
    /// App id = address of the app's contract [default: the CVM's]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "cvm", value_parser = values::address)]
    app: Option<Address>,
    /// CVM whose app it is [default: what phala.toml names]
    #[arg(long, value_name = "ID", value_parser = values::cvm)]
    cvm: Option<CvmId>,
}

impl Revisions {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = session.settings(SharedOptions::default())?;
        let outside = session.outside(&settings);
        match self {
            Self::List(list) => list.run(outside.cloud()).await,
            Self::Show(show) => show.run(outside.cloud()).await,
        }
    }
}

impl ListArgs {
    async fn run(self, cloud: &Client) -> Result<Report, CliError> {
        let app = of_app(cloud, self.app, self.cvm.as_ref()).await?;
        let page = Page {
            number: Some(self.page),
            size: Some(self.page_size),
        };
        let found = cloud.revisions(app, page).await?;
        let (count, total) = (found.items.len(), found.total);
        let of = total.map_or_else(String::new, |total| format!(" of {total}"));
        let mut report = Report::done("app revisions list", format!("{count}{of} revisions"));
        report.facts.upgrade.app = Some(app);
        report
            .page
            .table(&HEAD, &found.items.iter().map(row).collect::<Vec<_>>());
        report.data = Some(json!({
            "revisions": found.items,
            "total": total,
            "page": found.page,
            "pages": found.pages,
        }));
        Ok(report)
    }
}

impl ShowArgs {
    async fn run(self, cloud: &Client) -> Result<Report, CliError> {
        let app = of_app(cloud, self.app, self.cvm.as_ref()).await?;
        let found = cloud.revision(app, &self.revision.to_string()).await?;
        let (revision, manifest) = (&found.revision, found.manifest.as_ref());
        let form = revision
            .compose_hash
            .zip(manifest)
            .and_then(|(hash, manifest)| manifest.calibrate(hash));
        let mut report = Report::done("app revisions show", "read");
        report.facts.upgrade.app = Some(app);
        report.facts.upgrade.compose_hash = revision.compose_hash;
        if manifest.is_some() && form.is_none() {
            report.warn(
                Code::ManifestFormUnknown,
                "the manifest of this revision does not have the hash that it names, as far as can be computed here",
            );
        }
        report.raw = manifest.map(|manifest| format!("{}\n", manifest.canonical(form.unwrap_or(Form::Sorted))));
        if report.raw.is_none() {
            report.page.table(&HEAD, &[row(revision)]);
        }
        report.data = Some(json!({
            "revision": revision,
            "manifest": manifest,
            "form": form,
            "user_config": found.user_config,
        }));
        Ok(report)
    }
}

const HEAD: [&str; 6] = ["REVISION", "TIME", "CVM", "OPERATION", "BY", "HASH"];

fn row(revision: &Revision) -> Vec<String> {
    cells([
        Some(revision.id.clone()),
        revision.created_at.clone(),
        revision.cvm.clone().or_else(|| revision.vm_uuid.clone()),
        revision.operation.clone(),
        revision.by.clone(),
        revision.compose_hash.map(|hash| hash.to_string()),
    ])
}
