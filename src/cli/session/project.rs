//! `phala.toml`: the project file of the `phala` command line, and what means something here of it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use alloy::primitives::Address;
use serde::Deserialize;
use serde::de::Error as _;
use url::Url;

use crate::chain::Finality;
use crate::cli::args::attesting::Insistence;
use crate::cli::args::{Change, values};
use crate::cli::failure::error::CliError;
use crate::code::Code;
use crate::fsutil;
use crate::signer::Source;
use crate::text::quote_os;

/// Project file of the `phala` command line.
pub(in crate::cli) const PROJECT_FILE: &str = "phala.toml";
/// Largest `phala.toml` that is read.
pub(in crate::cli) const MAX_PROJECT: u64 = 64 * 1024;

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
    /// The table that is ours alone.
    #[serde(default)]
    pub(in crate::cli) countersign: Own,
}

/// The table `[countersign]`: what an option or the environment says otherwise, by the option's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Own {
    /// Endpoints, which have to agree.
    #[serde(default, deserialize_with = "addresses")]
    pub(in crate::cli) rpc_url: Vec<Url>,
    quorum: Option<i64>,
    #[serde(default, deserialize_with = "web_address")]
    pub(in crate::cli) logs_rpc_url: Option<Url>,
    #[serde(default, deserialize_with = "web_address")]
    pub(in crate::cli) service_url: Option<Url>,
    #[serde(default, deserialize_with = "parsed")]
    pub(in crate::cli) signer: Option<Source>,
    confirmations: Option<i64>,
    finality: Option<Tag>,
    /// Names of addresses, for people.
    #[serde(default, deserialize_with = "owners")]
    pub(in crate::cli) owners: BTreeMap<Address, String>,
}

/// A chain's own tag for settled blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tag {
    Safe,
    Finalized,
}

impl Own {
    /// How many of the endpoints have to agree.
    pub(in crate::cli) fn quorum(&self) -> Option<usize> {
        self.quorum.and_then(|quorum| usize::try_from(quorum).ok())
    }

    /// When a block is taken to stay.
    pub(in crate::cli) fn finality(&self) -> Option<Finality> {
        let counted = self.confirmations.and_then(|blocks| u64::try_from(blocks).ok());
        match self.finality {
            Some(Tag::Safe) => Some(Finality::Safe),
            Some(Tag::Finalized) => Some(Finality::Finalized),
            None => counted.map(Finality::Confirmations),
        }
    }

    /// What no type says of it.
    fn check(&self) -> Result<(), String> {
        let positive = |name: &str, number: Option<i64>| match number {
            Some(number) if number < 1 => Err(format!("`{name}` is a whole number from 1 on")),
            _ => Ok(()),
        };
        positive("quorum", self.quorum)?;
        positive("confirmations", self.confirmations)?;
        match (self.confirmations, self.finality) {
            (Some(_), Some(_)) => Err("`confirmations` and `finality` say the same thing twice".to_owned()),
            _ => Ok(()),
        }
    }
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
        project.countersign.check()?;
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

fn read<T, E: Display>(read: impl FnOnce(&str) -> Result<T, E>, text: &str) -> Result<T, String> {
    read(text).map_err(|why| why.to_string())
}

/// As an option's value is read.
fn parsed<'de, T, D>(file: D) -> Result<Option<T>, D::Error>
where
    T: FromStr<Err: Display>,
    D: serde::Deserializer<'de>,
{
    let text = String::deserialize(file)?;
    read(str::parse, &text).map(Some).map_err(D::Error::custom)
}

fn web_address<'de, D: serde::Deserializer<'de>>(file: D) -> Result<Option<Url>, D::Error> {
    let text = String::deserialize(file)?;
    read(values::web_address, &text).map(Some).map_err(D::Error::custom)
}

/// One address of a server, or several.
fn addresses<'de, D: serde::Deserializer<'de>>(file: D) -> Result<Vec<Url>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Some {
        One(String),
        Several(Vec<String>),
    }
    let texts = match Some::deserialize(file) {
        Ok(Some::One(text)) => vec![text],
        Ok(Some::Several(texts)) => texts,
        Err(_) => {
            return Err(D::Error::custom(
                "`rpc_url` is an address of a server, or a list of them",
            ));
        }
    };
    let urls = texts.iter().map(|text| read(values::web_address, text));
    urls.collect::<Result<_, _>>().map_err(D::Error::custom)
}

/// Longest name of an owner, characters.
const MAX_NAME: usize = 32;

/// Names for addresses, one for each.
fn owners<'de, D: serde::Deserializer<'de>>(file: D) -> Result<BTreeMap<Address, String>, D::Error> {
    let named = BTreeMap::<String, String>::deserialize(file)?;
    let mut owners = BTreeMap::new();
    for (name, text) in named {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        // What looks like an address or a part of one would be taken for it.
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) || name.starts_with("0x") {
            return Err(D::Error::custom(format!(
                "a name in `owners` has up to {MAX_NAME} letters, digits, `-`, `_` and `.`, and does not begin with 0x"
            )));
        }
        let address = read(values::address, &text)
            .map_err(|why| D::Error::custom(format!("`{name}` in `owners` is no address: {why}")))?;
        if let Some(other) = owners.insert(address, name.clone()) {
            return Err(D::Error::custom(format!(
                "{address} has two names in `owners`, `{other}` and `{name}`"
            )));
        }
    }
    Ok(owners)
}
