//! Whom quotes have to come from: Intel. Only a build with the feature `attest-test-root`, of which no release can be made,
//! takes another root, and says so wherever it shows something.

use crate::attest::Root;
use crate::cli::failure::error::CliError;
use crate::cli::session::environment::Environment;

/// The root, and whether it is one that a test made.
#[derive(Debug)]
pub(in crate::cli) struct QuoteRoot {
    pub(in crate::cli) root: Root,
    pub(in crate::cli) is_of_a_test: bool,
}

impl QuoteRoot {
    const INTEL: Self = Self {
        root: Root::intel(),
        is_of_a_test: false,
    };
}

/// What `--version -v` says of a build that takes other roots; nothing in any other.
pub(in crate::cli) const TEST_BUILD: Option<&str> = if cfg!(feature = "attest-test-root") {
    Some("TEST BUILD: it takes evidence of roots that a test made, so that nothing it proves is proven")
} else {
    None
};

impl Environment {
    /// Whom quotes have to come from.
    #[cfg(not(feature = "attest-test-root"))]
    #[expect(clippy::unused_self, reason = "the same signature as in test builds")]
    pub(in crate::cli) const fn quote_root(&self) -> Result<QuoteRoot, CliError> {
        Ok(QuoteRoot::INTEL)
    }

    /// Whom quotes have to come from: the certificate in the file that a variable names, in DER.
    #[cfg(feature = "attest-test-root")]
    pub(in crate::cli) fn quote_root(&self) -> Result<QuoteRoot, CliError> {
        const MAX: u64 = 64 * 1024;
        let Some(path) = self.text("COUNTERSIGN_TEST_ROOT") else {
            return Ok(QuoteRoot::INTEL);
        };
        let der = crate::fsutil::read(std::path::Path::new(&path), MAX).map_err(CliError::UserFile)?;
        let root = Root::for_tests(der).ok_or_else(|| CliError::Input {
            code: crate::code::Code::InputFile,
            message: format!("`{path}` holds no certificate"),
            hint: "name the root of the tests".to_owned(),
        })?;
        Ok(QuoteRoot {
            root,
            is_of_a_test: true,
        })
    }
}
