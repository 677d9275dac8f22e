//! `phala.toml`: the project file of the `phala` command line, and what means something here of it.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::Deserialize;
use serde::de::Error as _;

use crate::cli::args::attesting::Insistence;
use crate::cli::args::{Change, values};
use crate::cli::failure::error::CliError;
use crate::code::Code;
use crate::fsutil;
use crate::text::quote_os;

/// Project file of the `phala` command line.
pub(in crate::cli) const PROJECT_FILE: &str = "phala.toml";
/// Largest `phala.toml` that is read.
const MAX_PROJECT: u64 = 64 * 1024;

/// The fields of `phala.toml` that mean something here; every other field is left to the tools that know it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(in crate::cli) struct Project {
    id: Option<String>,
    uuid: Option<String>,
    app_id: Option<String>,
    instance_id: Option<String>,
    name: Option<String>,
    cvm_id: Option<String>,
    pub(in crate::cli) compose_file: Option<PathBuf>,
    env_file: Option<PathBuf>,
    public_logs: Option<bool>,
    public_sysinfo: Option<bool>,
    /// Ours alone: the app that the CVM has to be of.
    #[serde(default, deserialize_with = "address")]
    pub(in crate::cli) app: Option<Address>,
    /// Ours alone: the contract of the KMS that guards it.
    #[serde(default, deserialize_with = "address")]
    pub(in crate::cli) kms: Option<Address>,
    /// Ours alone: how much of a proof at the hardware a run insists on.
    pub(in crate::cli) attest: Option<Insistence>,
}

impl Project {
    /// Reads `phala.toml` in the working directory; a missing one is an empty one.
    pub(in crate::cli) fn here() -> Result<Self, CliError> {
        Self::read(Path::new(PROJECT_FILE))
    }

    fn read(path: &Path) -> Result<Self, CliError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let bytes = fsutil::read(path, MAX_PROJECT).map_err(CliError::UserFile)?;
        Self::parse(&bytes).map_err(|why| CliError::Input {
            code: Code::InputProjectFile,
            message: format!("`{}` cannot be read: {why}", path.display()),
            hint: format!(
                "correct `{}`, or name the CVM and the compose file by --cvm and --compose elsewhere",
                path.display()
            ),
        })
    }

    pub(in crate::cli) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8 ({error})"))?;
        let project: Self = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        match &project.compose_file {
            Some(path) if path.as_os_str().is_empty() => Err("`compose_file` is empty".to_owned()),
            _ => Ok(project),
        }
    }

    /// Fields that the `phala` command line takes for an option that is missing, and that are not taken here, each with the
    /// option that says the same: what is approved stands in the command or in the proposal, never in a file beside them.
    pub(in crate::cli) fn left_alone(&self, change: &Change) -> Vec<String> {
        let is_free = change.workload.env_file.is_empty() && change.workload.env.is_empty();
        let env_file = self.env_file.as_ref().filter(|_| is_free);
        let env_file = env_file.map(|path| format!("`env_file` (say --env-file {})", quote_os(path.as_os_str())));
        let switch = |name: &str, field: Option<bool>, typed: Option<bool>| {
            let field = field.filter(|_| typed.is_none())?;
            Some(format!("`{name}` (say --{} {field})", name.replace('_', "-")))
        };
        let logs = switch("public_logs", self.public_logs, change.public_logs);
        let sysinfo = switch("public_sysinfo", self.public_sysinfo, change.public_sysinfo);
        env_file.into_iter().chain(logs).chain(sysinfo).collect()
    }

    /// The CVM, by the first name that the `phala` command line would take.
    pub(in crate::cli) fn cvm(&self) -> Option<&str> {
        let names = [
            &self.id,
            &self.uuid,
            &self.app_id,
            &self.instance_id,
            &self.name,
            &self.cvm_id,
        ];
        names.into_iter().flatten().map(String::as_str).next()
    }
}

/// As an address among the arguments is read.
fn address<'de, D: serde::Deserializer<'de>>(file: D) -> Result<Option<Address>, D::Error> {
    let text = String::deserialize(file)?;
    values::address(&text)
        .map(Some)
        .map_err(|why| D::Error::custom(format!("`app` or `kms` is no address: {why}")))
}
