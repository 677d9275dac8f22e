//! Why an upgrade does not go on: one variant per thing that a caller may do differently.

use std::path::PathBuf;

use crate::chain::{ChainError, ProofFailure, TxError};
use crate::cloud::CloudError;
use crate::code::{Code, Severity};
use crate::compose::{ComposeError, ComposeHash};
use crate::fsutil::FsError;
use crate::safe::{LookError, service::ServiceError};
use crate::signer::{Ask, AskError, SignerError};
use crate::upgrade::{
    Stop,
    finding::{Finding, Origin, Verdict},
    journal_error::JournalError,
};

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
        computed: ComposeHash,
        claimed: ComposeHash,
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
    pub(crate) fn stop(code: Code, what: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        Self::Stop(Box::new(Stop::new(code, what, expected, found)))
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

impl Finding {
    /// What a failed check means: a stop, or a doubt; where its code is none that somebody may agree to, it stands until
    /// the world changes. `None`: nothing could be read.
    pub(super) fn of(error: &UpgradeError) -> Option<Self> {
        match error {
            UpgradeError::Stop(stop) => Some(Self::stop((**stop).clone())),
            UpgradeError::Decide { code, message, .. } => Some(match code.severity() {
                Severity::Decision => Self::decision(*code, None, message.clone()),
                _ => Self::state(*code, message.clone()),
            }),
            _ => None,
        }
    }

    /// The error that stands for it where it forbids.
    pub(super) fn error(&self) -> UpgradeError {
        match &self.stop {
            Some(stop) => UpgradeError::Stop(stop.clone()),
            None => UpgradeError::decide(self.code, self.message.clone()),
        }
    }
}

impl Verdict {
    /// Nothing, or why it may not be signed.
    ///
    /// # Errors
    /// A stop, or a doubt to which nobody agreed.
    pub fn check(&self) -> Result<(), UpgradeError> {
        match self.forbidding() {
            None => Ok(()),
            Some(_) => Err(UpgradeError::Forbidden(Box::new(self.clone()))),
        }
    }

    /// Nothing, or why it may not be signed, right before a signature: findings about what the bytes themselves do are
    /// left to the question, where somebody is there who can be asked for the value.
    ///
    /// # Errors
    /// A stop, or a doubt to which nobody agreed.
    pub(super) fn check_before_asking(&self, ask: &dyn Ask) -> Result<(), UpgradeError> {
        let left = |finding: &Finding| finding.asked && ask.can_name();
        let forbids = |finding: &&Finding| finding.forbids() && !left(finding);
        match self.findings.iter().find(forbids) {
            None => Ok(()),
            Some(_) => Err(UpgradeError::Forbidden(Box::new(self.clone()))),
        }
    }
}
