//! `hash`: compose hashes of a local manifest.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::failure::told;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::compose::{ComposeHash, Form, Manifest};
use crate::fsutil;

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 4 << 20;

/// Compute the compose hash of an app-compose.json
///
/// A compose hash is the SHA-256 of the manifest's canonical bytes. Backends have written those bytes in several forms;
/// without --form every known one is shown. With --known it says which form gives that hash, and ends with 5 when none does.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign hash app-compose.json --form sorted")]
pub(in crate::cli) struct Hash {
    /// Manifest: the app-compose.json of a CVM
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this form: sorted, sorted-ascii, sorted-without-nulls, legacy-pretty or go
    #[arg(long, value_parser = form)]
    form: Option<Form>,
    /// Hash that the manifest should have
    #[arg(long, value_name = "HASH", value_parser = values::compose_hash)]
    known: Option<ComposeHash>,
}

impl Hash {
    pub(in crate::cli) fn run(self) -> Result<Report, CliError> {
        let bytes = fsutil::read(&self.file, MAX_MANIFEST).map_err(CliError::UserFile)?;
        let manifest = Manifest::parse(&bytes).map_err(|error| CliError::Input {
            code: Code::InputManifest,
            message: format!("`{}` is no manifest: {}", self.file.display(), told(&error)),
            hint: "give the app-compose.json of a CVM: one JSON object, every name in it once".to_owned(),
        })?;
        let forms = self.form.map_or_else(|| Form::ALL.to_vec(), |form| vec![form]);
        let hashes: Vec<(String, ComposeHash)> = forms.iter().map(|form| (name(*form), manifest.hash(*form))).collect();
        let matching = self.known.map(|known| hashes.iter().find(|(_, hash)| *hash == known));
        if let (Some(expected), Some(None)) = (self.known, matching) {
            return Err(CliError::NotThisHash {
                expected,
                found: manifest.hash(self.form.unwrap_or(Form::Sorted)),
            });
        }
        let matching = matching.flatten().map(|(name, _)| name.clone());
        let mut report = Report::done("hash", "computed");
        match (&matching, hashes.as_slice()) {
            (Some(form), _) => report.page.line(&format!("the form `{form}` gives that hash")),
            (None, [(_, hash)]) => report.page.line(&hash.to_string()),
            (None, several) => {
                let rows: Vec<_> = several
                    .iter()
                    .map(|(name, hash)| (name, Some(hash.to_string())))
                    .collect();
                report.page.facts(&rows)
            }
        };
        let by_form: serde_json::Map<_, _> = hashes.iter().map(|(name, hash)| (name.clone(), json!(hash))).collect();
        report.data = Some(json!({ "hashes": by_form, "form": matching }));
        Ok(report)
    }
}

/// A form's name, as it is written in plans and proposals.
fn name(form: Form) -> String {
    match serde_json::to_value(form) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

fn form(text: &str) -> Result<Form, String> {
    let named = Form::ALL.into_iter().find(|form| name(*form) == text);
    named.ok_or_else(|| format!("the forms are {}", Form::ALL.map(name).join(", ")))
}
