//! What a command ends with when it does not reach its goal, still typed. [`crate::cli::failure`] makes sentences of it.

use crate::cli::failure::Next;
use crate::code::Code;
use crate::fsutil::FsError;
use crate::safe::service::ServiceError;
use crate::upgrade::UpgradeError;

/// Why a command did not reach its goal.
#[derive(Debug)]
pub(in crate::cli) enum CliError {
    /// The arguments do not say enough, or contradict each other.
    Usage {
        /// Stable code.
        code: Code,
        /// What is wrong.
        message: String,
        /// What to change.
        hint: String,
        /// What to run then.
        next: Next,
    },
    /// An argument is a secret, or would have to be one.
    Secret {
        /// What is wrong, without the argument.
        message: String,
    },
    /// Phala Cloud knows no CVM of this name.
    NoCvm {
        /// The name.
        named: String,
        /// Those of the workspace.
        known: Vec<String>,
        /// Its answer.
        refusal: Box<Self>,
    },
    /// clap refused the arguments.
    Arguments(Box<clap::Error>),
    /// A value or file of the user's is malformed.
    Input {
        /// Stable code.
        code: Code,
        /// What is wrong.
        message: String,
        /// What to change.
        hint: String,
    },
    /// A file that the user named cannot be read.
    UserFile(FsError),
    /// A file that a result should go to is there already, and holds something else.
    FileExists {
        /// The file.
        path: std::path::PathBuf,
        /// Whether the command has an option that replaces it.
        can_overwrite: bool,
    },
    /// A hash that the user gave is not the hash of the file.
    NotThisHash {
        /// What was given.
        expected: crate::compose::ComposeHash,
        /// Hash of the file in the form that Phala Cloud writes today.
        found: crate::compose::ComposeHash,
    },
    /// The Safe Transaction Service did not.
    Service(Box<ServiceError>),
    /// A delivery of a webhook that is not taken.
    Webhook(crate::webhook::WebhookError),
    /// The library did not get there.
    Upgrade(Box<UpgradeError>),
    /// A signal ended the run.
    Signal(crate::cli::exit::Exit),
    /// The result could not be printed.
    Output(std::io::Error),
    /// The program broke one of its own rules.
    Defect {
        /// Where, as file and line of the source.
        place: String,
    },
    /// The program could not be started.
    Start(std::io::Error),
}

impl<E: Into<UpgradeError>> From<E> for CliError {
    fn from(error: E) -> Self {
        Self::Upgrade(Box::new(error.into()))
    }
}

impl From<ServiceError> for CliError {
    fn from(error: ServiceError) -> Self {
        Self::Service(Box::new(error))
    }
}
