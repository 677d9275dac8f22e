//! Why an upgrade does not go on: one variant per thing that a caller may do differently.

use std::path::PathBuf;

use crate::chain::{ChainError, ProofFailure, TxError};
use crate::cloud::CloudError;
use crate::code::Code;
use crate::compose::{ComposeError, ComposeHash};
use crate::fsutil::FsError;
use crate::safe::LookError;
use crate::safe::service::ServiceError;
use crate::signer::{AskError, SignerError};

use super::journal::JournalError;
use super::verdict::Verdict;

/// Something does not match what was approved or pinned. Nothing new was signed or sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{what}: expected {expected}, found {found}")]
pub struct Stop {
    /// Stable code, for example `HASH_MISMATCH`.
    pub code: Code,
    /// What was compared.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// More lines for people, for example the field that differs.
    pub details: Vec<String>,
    /// Whose word the value is that does not match, where that decides what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// Where a value came from that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Phala Cloud sent it.
    Cloud,
    /// It stands in a proposal, which somebody else may have written.
    Proposal,
    /// It stands in this machine's own records.
    Journal,
}

impl Origin {
    /// What the hash was computed from, and where the other one is.
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Cloud => ("computed from your files", "sent by Phala Cloud"),
            Self::Proposal => ("computed from the text in this proposal", "written in this proposal"),
            Self::Journal => ("computed from the text in the journal", "written in the journal"),
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Stable code, for example `PENDING_CONFIRMATIONS`.
    pub code: Code,
    /// What is waited for, in one line.
    pub what: String,
}

/// Why an upgrade does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Verification failed.
    #[error(transparent)]
    Stop(Box<Stop>),
    /// The verdict forbids it; nothing was signed or sent.
    #[error("{}", .0.told())]
    Forbidden(Box<Verdict>),
    /// The world changed, or somebody has to decide. `code` is stable.
    #[error("{message}")]
    Decide {
        /// Stable code.
        code: Code,
        /// What happened and what the choices are.
        message: String,
        /// Why, where somebody else said so.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The plan found something that forbids going on.
    #[error("{message}")]
    Blocked {
        /// Stable code of the plan's blocker.
        code: Code,
        /// What it is.
        message: String,
    },
    /// A step was asked for before the one that must come first.
    #[error("{message}")]
    TooEarly {
        /// What is missing.
        message: String,
        /// The command that does it.
        command: &'static str,
    },
    /// Executed and failed, or the boot failed after commit.
    #[error("{message}")]
    Failed {
        /// Stable code.
        code: Code,
        /// What failed.
        message: String,
    },
    /// An effect may or may not have happened; the next run settles it.
    #[error("{message}")]
    Unknown {
        /// Stable code.
        code: Code,
        /// What is unknown.
        message: String,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Safe to run again later.
    #[error("{message}")]
    Later {
        /// Stable code.
        code: Code,
        /// What was not available.
        message: String,
        /// Why.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The cloud did not give a value.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The Safe Transaction Service did not give a value.
    #[error(transparent)]
    Service(ServiceError),
    /// The chain did not give a value.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No transaction was made.
    #[error(transparent)]
    Tx(#[from] TxError),
    /// No proof.
    #[error(transparent)]
    Proof(#[from] ProofFailure),
    /// No key, or it did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Nobody to ask.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Consent was refused.
    #[error("not done: {what} was declined")]
    Declined {
        /// What was declined.
        what: String,
    },
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FsError),
    /// A manifest or hash is malformed.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// A proposal file is malformed.
    #[error("`{}` is not a proposal: {why}", path.display())]
    Proposal {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

impl From<LookError> for UpgradeError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Chain(error) => Self::Chain(error),
            other => Self::stop(
                Code::SafeChanged,
                "owner of the app",
                "the Safe that was read before",
                other,
            ),
        }
    }
}

impl UpgradeError {
    pub(super) fn hash_mismatch(
        origin: Origin,
        (computed, claimed): (ComposeHash, ComposeHash),
        details: Vec<String>,
    ) -> Self {
        let (from, place) = origin.told();
        Self::Stop(Box::new(Stop {
            code: Code::HashMismatch,
            what: "compose hash".to_owned(),
            expected: format!("{computed} ({from})"),
            found: format!("{claimed} ({place})"),
            details,
            origin: Some(origin),
        }))
    }

    /// One value differs from what it must be.
    pub(super) fn stop(code: Code, what: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        Self::Stop(Box::new(Stop {
            code,
            what: what.into(),
            expected: expected.to_string(),
            found: found.to_string(),
            details: Vec::new(),
            origin: None,
        }))
    }

    /// What did not match; an error of another kind is told as its own sentence.
    pub(super) fn to_stop(&self) -> Stop {
        match self {
            Self::Stop(stop) => (**stop).clone(),
            other => Stop {
                code: Code::SafeChanged,
                what: "owner of the app".to_owned(),
                expected: "the Safe that was read before".to_owned(),
                found: other.to_string(),
                details: Vec::new(),
                origin: None,
            },
        }
    }

    pub(crate) fn decide(code: Code, message: impl Into<String>) -> Self {
        Self::Decide {
            code,
            message: message.into(),
            source: None,
        }
    }
}
