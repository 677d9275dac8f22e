//! `list`, `get` and `manifest`.

use alloy::primitives::Address;
use clap::Args;
use serde_json::{Value, json};

use crate::cli::act::api::{Api, On, Part, record, show};
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::completion::remember;
use crate::cli::show::report::Report;
use crate::cli::show::words::chain;
use crate::cloud::{Cvm, Paged};
use crate::code::Code;
use crate::compose::Form;
use crate::text::name;
use crate::upgrade::Warning;

/// Print a CVM's manifest (app-compose.json), to be looked at, or changed and provisioned again
///
/// stdout is the manifest in the form that gives the CVM's compose hash, where one does, and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm manifest my-app > app-compose.json")]
pub(super) struct ShowManifest {
    #[command(flatten)]
    on: On,
}

/// List the workspace's CVMs
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign cvm list --page-size 100\n  \
    countersign cvm list --all --app 0x3f91deaf16ff7c823ee65081d6bafa1ceea05ffc")]
pub(super) struct List {
    /// All of them, whatever the pages
    #[arg(long, conflicts_with_all = ["page", "page_size"])]
    all: bool,
    /// The instances of this app only
    #[arg(long, value_name = "ADDRESS", requires = "all", value_parser = values::address)]
    app: Option<Address>,
    #[command(flatten)]
    part: Part,
}

/// Show a CVM
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm get my-app")]
pub(super) struct Get {
    #[command(flatten)]
    on: On,
}

impl List {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, None)?;
        let part = if self.all {
            let mut items = api.cloud.all_cvms().await?;
            items.retain(|cvm| self.app.is_none() || cvm.app_id == self.app);
            Paged::whole(items)
        } else {
            api.cloud.cvms(self.part.asked()).await?
        };
        remember(&session.env, part.items.iter().filter_map(|cvm| cvm.name.as_deref()));
        let mut report = Report::done("cvm list", "read");
        let rows: Vec<Vec<String>> = part.items.iter().map(row).collect();
        report.page.table(&["NAME", "STATUS", "KMS", "UUID", "APP"], &rows);
        if let Some(total) = part.total {
            report.message = format!("{} of {total} CVMs", rows.len());
        }
        report.next = Part::next(&part, "cvm list");
        let (total, page, pages) = (part.total, part.page, part.pages);
        // Each record is let go once it is taken over: a long list is held once.
        let items: Value = part.items.into_iter().map(taken_over).collect();
        report.data = Some(json!({ "total": total, "page": page, "pages": pages }));
        if let Some(data) = report.data.as_mut() {
            data["items"] = items;
        }
        Ok(report)
    }
}

/// As [`record`], without a copy.
fn taken_over(mut cvm: Cvm) -> Value {
    let raw = std::mem::take(&mut cvm.raw);
    let mut item = json!({ "cvm": cvm });
    item["record"] = raw;
    item
}

fn row(cvm: &Cvm) -> Vec<String> {
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    vec![
        name(&or(&cvm.name)),
        or(&cvm.status),
        // Where a chain has it, the app's owner approves.
        cvm.kms.chain_id.map_or_else(|| "Phala".to_owned(), chain),
        or(&cvm.uuid),
        cvm.app_id.map_or_else(|| "?".to_owned(), |app| app.to_string()),
    ]
}

impl ShowManifest {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let api = Api::new(session, None)?;
        let cvm = api.cloud.cvm(&id).await?;
        let manifest = api.cloud.manifest(&id).await?;
        let form = cvm.compose_hash.and_then(|known| manifest.calibrate(known));
        let mut report = Report::done("cvm manifest", "read");
        if form.is_none() {
            report.warnings.push(Warning {
                code: Code::ManifestFormUnknown,
                text: "no form of this manifest gives the compose hash that the record names".to_owned(),
            });
        }
        report.facts.upgrade.cvm = Some(id.to_string());
        report.facts.upgrade.app = cvm.app_id;
        report.facts.upgrade.chain_id = cvm.kms.chain_id;
        report.facts.upgrade.compose_hash = cvm.compose_hash;
        let text = manifest.canonical(form.unwrap_or(Form::Sorted));
        report.raw = Some(format!("{text}\n"));
        report.data = Some(json!({ "manifest": manifest, "form": form, "images": manifest.images() }));
        Ok(report)
    }
}

impl Get {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let cvm = Api::new(session, None)?.cloud.cvm(&id).await?;
        let mut report = Report::done("cvm get", "read");
        report.facts.upgrade.cvm = Some(id.to_string());
        report.facts.upgrade.app = cvm.app_id;
        report.facts.upgrade.chain_id = cvm.kms.chain_id;
        report.facts.upgrade.compose_hash = cvm.compose_hash;
        show(&mut report.page, &cvm);
        report.data = Some(record(&cvm));
        Ok(report)
    }
}
