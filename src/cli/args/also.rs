//! Other CVMs that one approval is for, as they are typed: `NAME`, or `NAME=FILE` where one has a Docker Compose file of
//! its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::args::values;
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::settings::text_file;
use crate::cloud::CvmId;
use crate::code::Code;
use crate::compose::Changes;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Also {
    /// The CVM.
    pub(in crate::cli) cvm: CvmId,
    /// Its own Docker Compose file.
    pub(in crate::cli) compose: Option<PathBuf>,
}

impl FromStr for Also {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (cvm, compose) = match text.split_once('=') {
            Some((_, "")) => return Err("after `=` stands the CVM's own Docker Compose file".to_owned()),
            Some((cvm, file)) => (cvm, Some(PathBuf::from(file))),
            None => (text, None),
        };
        Ok(Self {
            cvm: values::cvm(cvm)?,
            compose,
        })
    }
}

impl Also {
    /// The text of its own Docker Compose file.
    pub(in crate::cli) fn text(&self) -> Result<Option<String>, CliError> {
        self.compose.as_deref().map(text_file).transpose()
    }
}

/// What a reviewer expects of other apps of a proposal, by their CVMs.
pub(in crate::cli) fn expected(all: &[Also]) -> Result<BTreeMap<String, Changes>, CliError> {
    let each = all.iter().map(|also| {
        let Some(text) = also.text()? else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cvm_may_have_a_file_of_its_own() {
        let plain: Also = "my-api".parse().unwrap();
        assert_eq!((plain.cvm.to_string().as_str(), plain.compose), ("my-api", None));
        let own: Also = "my-api=api/docker-compose.yml".parse().unwrap();
        assert_eq!(own.compose, Some(PathBuf::from("api/docker-compose.yml")));
        assert!("=file".parse::<Also>().is_err());
    }
}
