//! Other CVMs that one approval is for, as they are typed: `NAME`, or `NAME=FILE` where one has a Docker Compose file of
//! its own.

use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::args::values;
use crate::cloud::CvmId;

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
