//! The guest's environment: from files and variables that the user named.

use std::path::Path;

use zeroize::Zeroizing;

use crate::cli::args::Workload;
use crate::cli::failure::error::CliError;
use crate::cli::session::environment::Environment;
use crate::code::Code;
use crate::env::{EnvError, EnvFile, MAX_FILE_BYTES};
use crate::fsutil;
use crate::upgrade::model::EnvRequest;

/// The guest's environment: files in the order they were named, then variables of this process.
pub(in crate::cli) fn workload(
    change: &Workload,
    env: &Environment,
    tell: &dyn Fn(&str),
) -> Result<Option<EnvRequest>, CliError> {
    if change.is_empty() {
        return Ok(None);
    }
    let mut all = EnvFile::default();
    for path in &change.env_file {
        let refuse = |error: EnvError| not_an_env(&path.display().to_string(), &error);
        let file = EnvFile::parse(&env_file(path, tell)?).map_err(refuse)?;
        if file.is_empty() {
            return Err(CliError::Input {
                code: Code::InputEnv,
                message: format!(
                    "`{}` sets no variable, and would take the whole environment away",
                    path.display()
                ),
                hint: "name the file that has the guest's environment, or leave --env-file out to keep what is there"
                    .to_owned(),
            });
        }
        all = all.and(file).map_err(refuse)?;
    }
    for name in &change.env {
        // Unlike a setting, a value may be empty.
        let value = env.as_it_is(name.as_str()).ok_or_else(|| CliError::Input {
            code: Code::InputEnvVariable,
            message: format!("the variable `{name}` is not set here, so its value cannot be taken from it"),
            hint: format!("set `{name}` in this shell, or write {name}=VALUE into a file and name that by --env-file"),
        })?;
        all = all
            .with(name.clone(), value)
            .map_err(|error| not_an_env(name.as_str(), &error))?;
    }
    Ok(Some(EnvRequest::Values {
        file: all,
        root: change.kms_root_key,
    }))
}

fn env_file(path: &Path, tell: &dyn Fn(&str)) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let max = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX);
    match fsutil::read_secret(path, max) {
        Err(error) if error.source.kind() == std::io::ErrorKind::PermissionDenied => {
            let bytes = fsutil::read(path, max)
                .map(Zeroizing::new)
                .map_err(CliError::UserFile)?;
            tell(&format!(
                "others on this machine may read `{0}`: `chmod 600 {0}`",
                path.display()
            ));
            Ok(bytes)
        }
        other => other.map_err(CliError::UserFile),
    }
}

fn not_an_env(place: &str, error: &EnvError) -> CliError {
    CliError::Input {
        code: Code::InputEnv,
        message: format!("`{place}` cannot be the guest's environment: {error}"),
        hint: "write NAME=VALUE on a line of its own for each variable, with quotes around values that are not plain"
            .to_owned(),
    }
}
