//! `hash`: compose hashes of a local manifest.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::files::manifest_file;
use crate::cli::show::report::Report;
use crate::compose::{ComposeHash, Form, Manifest};

/// Compute the compose hash of an app-compose.json
///
/// A compose hash is the SHA-256 of the manifest's canonical bytes. Backends have written those bytes in several forms, and a
/// guest measures the file that it has, byte by byte (as-is); without --form every known one is shown. With --known it says which form gives that hash, and ends with 5 when none does.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign hash app-compose.json --form sorted")]
pub(in crate::cli) struct Hash {
    /// Manifest: the app-compose.json of a CVM
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this form: as-is, sorted, sorted-ascii, sorted-without-nulls, legacy-pretty or go
    #[arg(long, value_parser = form)]
    form: Option<Asked>,
    /// Hash that the manifest should have
    #[arg(long, value_name = "HASH", value_parser = values::compose_hash)]
    known: Option<ComposeHash>,
}

/// The form that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The bytes of the file as they stand, which is what a guest measures.
    AsIs,
    /// A form in which a backend writes a manifest.
    Written(Form),
}

impl Asked {
    /// Every one, the bytes themselves first.
    fn all() -> Vec<Self> {
        let written = Form::ALL.into_iter().map(Self::Written);
        std::iter::once(Self::AsIs).chain(written).collect()
    }

    /// The hash of a file in this form.
    fn hash(self, bytes: &[u8], manifest: &Manifest) -> ComposeHash {
        match self {
            Self::AsIs => ComposeHash::of(bytes),
            Self::Written(form) => manifest.hash(form),
        }
    }
}

impl Hash {
    pub(in crate::cli) fn run(self) -> Result<Report, CliError> {
        let (bytes, manifest) = manifest_file(&self.file)?;
        let forms = self.form.map_or_else(Asked::all, |form| vec![form]);
        let hashes: Vec<(String, ComposeHash)> = forms
            .iter()
            .map(|form| (name(*form), form.hash(&bytes, &manifest)))
            .collect();
        let matching = self.known.map(|known| hashes.iter().find(|(_, hash)| *hash == known));
        if let (Some(expected), Some(None)) = (self.known, matching) {
            return Err(CliError::NotThisHash {
                expected,
                found: self
                    .form
                    .unwrap_or(Asked::Written(Form::Sorted))
                    .hash(&bytes, &manifest),
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
        let is_usual = ["docker_compose_file", "runner"]
            .iter()
            .any(|field| manifest.get(field).is_some());
        if !is_usual {
            report.hint = Some(
                "it has neither `runner` nor `docker_compose_file`, so it does not look like a manifest".to_owned(),
            );
        }
        report.data = Some(json!({ "hashes": by_form, "form": matching }));
        Ok(report)
    }
}

/// A form's name, as it is written in plans and proposals.
fn name(form: Asked) -> String {
    match form {
        Asked::AsIs => "as-is".to_owned(),
        Asked::Written(form) => match serde_json::to_value(form) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        },
    }
}

fn form(text: &str) -> Result<Asked, String> {
    let named = Asked::all().into_iter().find(|form| name(*form) == text);
    named.ok_or_else(|| {
        let all: Vec<String> = Asked::all().into_iter().map(name).collect();
        format!("the forms are {}", all.join(", "))
    })
}
