//! Texts that are measured, from the files that were named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::args::Files;
use crate::cli::args::also::Also;
use crate::cli::args::besides::{Besides, ShutdownTimeout};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Next, told};
use crate::cloud::patch::{Gpus, Patch};
use crate::cloud::updates::CommitToken;
use crate::code::Code;
use crate::compose::{Changes, Manifest, NoComposeText, check_compose_text};
use crate::evidence::{self, Evidence};
use crate::fsutil;

/// Largest compose file or script: Phala Cloud refuses more.
const MAX_TEXT: u64 = 200 * 1024;
/// Largest file with a commit token: a UUID's text and some white space.
const MAX_TOKEN: u64 = 256;

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 4 << 20;

/// A manifest's bytes as they stand, and the manifest.
pub(in crate::cli) fn manifest_file(path: &Path) -> Result<(Vec<u8>, Manifest), CliError> {
    let bytes = fsutil::read(path, MAX_MANIFEST).map_err(CliError::UserFile)?;
    let manifest = Manifest::parse(&bytes).map_err(|error| CliError::Input {
        code: Code::InputManifest,
        message: format!("`{}` is no manifest: {}", path.display(), told(&error)),
        hint: "give the app-compose.json of a CVM: one JSON object, every name in it once".to_owned(),
    })?;
    Ok((bytes, manifest))
}

/// What a reviewer expects; nothing when they named nothing.
pub(in crate::cli) fn local(files: &Files) -> Result<Option<Changes>, CliError> {
    let text = |path: &Option<PathBuf>| path.as_deref().map(text_file).transpose();
    let names = files.allowed_env.as_ref();
    let changes = Changes {
        docker_compose_file: files.compose.as_deref().map(compose_file).transpose()?,
        pre_launch_script: text(&files.pre_launch_script)?,
        allowed_envs: names.map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
        public_logs: files.public_logs,
        public_sysinfo: files.public_sysinfo,
        public_tcbinfo: files.public_tcbinfo,
    };
    Ok(Some(changes).filter(|changes| !changes.is_empty()))
}

/// A patch with what changes besides the manifest.
pub(in crate::cli) fn with_besides(patch: Patch, besides: &Besides) -> Result<Patch, CliError> {
    Ok(Patch {
        user_config: besides.user_config.as_deref().map(text_file).transpose()?,
        gpus: besides.gpus.map(|count| Gpus::Count {
            count,
            product_name: besides.gpu_product.clone(),
        }),
        shutdown_timeout: besides.shutdown_timeout.map(|ShutdownTimeout(time)| time),
        allow_force_stop: besides.allow_force_stop,
        ..patch
    })
}

/// The text of the Docker Compose file that another CVM has of its own.
pub(in crate::cli) fn own_text(also: &Also) -> Result<Option<String>, CliError> {
    also.compose.as_deref().map(compose_file).transpose()
}

/// What a reviewer expects of other apps of a proposal, by their CVMs.
pub(in crate::cli) fn expected(all: &[Also]) -> Result<BTreeMap<String, Changes>, CliError> {
    let each = all.iter().map(|also| {
        let Some(text) = own_text(also)? else {
            return Err(CliError::Usage {
                code: Code::UsageNoFile,
                message: format!("no Docker Compose file was named for `{}`", also.cvm),
                hint: "name the file that you expect, for example --also my-api=api/docker-compose.yml".to_owned(),
                next: Next::Again,
            });
        };
        let changes = Changes {
            docker_compose_file: Some(text),
            ..Changes::default()
        };
        Ok((also.cvm.to_string(), changes))
    });
    each.collect()
}

/// A Docker Compose text: measured as it stands, and one that Compose runs. What looks like another file is refused before
/// anything is asked or sent, with a word about what it looks like.
pub(in crate::cli) fn compose_file(path: &Path) -> Result<String, CliError> {
    let text = text_file(path)?;
    check_text(&text, path)?;
    Ok(text)
}

/// Whether Compose runs a text that came from the file at `path`.
pub(in crate::cli) fn check_text(text: &str, path: &Path) -> Result<(), CliError> {
    check_compose_text(text).map_err(|why| CliError::Input {
        code: Code::InputComposeText,
        message: format!("`{}` cannot be the Docker Compose file: {why}", path.display()),
        hint: instead(&why, path),
    })
}

/// What to name instead, or what to mend.
fn instead(why: &NoComposeText, path: &Path) -> String {
    match why {
        NoComposeText::Manifest => {
            "name the Docker Compose file itself; `countersign cvm compose-file` shows the text that stands in a manifest".to_owned()
        }
        NoComposeText::Dotenv => format!(
            "the guest's environment is named by --env-file: did you mean `-e {0}`?",
            path.display()
        ),
        NoComposeText::Html | NoComposeText::Answer => {
            "get the file again: what was downloaded is what a server says when it does not have it".to_owned()
        }
        NoComposeText::Conflict { .. } => "finish the merge, then name the file again".to_owned(),
        NoComposeText::Tab { .. } => "indent with spaces".to_owned(),
        NoComposeText::Cut { .. } => "get the whole file".to_owned(),
        NoComposeText::Image { .. } => "write the image as NAME@sha256: and the 64 hex digits of its digest".to_owned(),
        _ => "`docker compose config` shows what Compose reads in it".to_owned(),
    }
}

/// The evidence in a file that the user named.
pub(in crate::cli) fn evidence_file(file: &Path) -> Result<Evidence, CliError> {
    let bytes = fsutil::read(file, evidence::MAX_BYTES as u64).map_err(CliError::UserFile)?;
    Evidence::parse(&bytes).map_err(|error| CliError::Input {
        code: Code::InputEvidence,
        message: format!("`{}` cannot be read as evidence: {}", file.display(), told(&error)),
        hint: "name the evidence.json of an upgrade".to_owned(),
    })
}

/// The commit token that stands alone in a file which nobody else may read; what to do where none does.
pub(in crate::cli) fn token_file(path: &Path, hint: &str) -> Result<CommitToken, CliError> {
    let bytes = fsutil::read_secret(path, MAX_TOKEN).map_err(CliError::UserFile)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default();
    CommitToken::new(text.trim()).map_err(|_not_a_uuid| CliError::Input {
        code: Code::InputToken,
        message: format!("`{}` holds no commit token", path.display()),
        hint: hint.to_owned(),
    })
}

/// A text that is measured as it stands: not empty, UTF-8, no byte order mark (it would change the hash unseen).
pub(in crate::cli) fn text_file(path: &Path) -> Result<String, CliError> {
    let bytes = fsutil::read(path, MAX_TEXT).map_err(CliError::UserFile)?;
    let refuse = |why: &str| CliError::Input {
        code: Code::InputTextFile,
        message: format!("`{}` cannot be used: {why}", path.display()),
        hint: format!("save `{}` as UTF-8 text without a byte order mark", path.display()),
    };
    match String::from_utf8(bytes) {
        Err(_) => Err(refuse("it is not UTF-8")),
        Ok(text) if text.trim().is_empty() => Err(refuse("it is empty")),
        Ok(text) if text.starts_with('\u{feff}') => Err(refuse("it starts with a byte order mark")),
        Ok(text) => Ok(text),
    }
}
