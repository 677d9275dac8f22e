//! What does not match, and what nobody but a person can decide, as a review tells it. Data only.

use std::collections::BTreeMap;

use alloy::primitives::Address;
use serde::Serialize;

use crate::code::Code;
use crate::compose::Changes;
use crate::upgrade::{
    Stop, UpgradeError,
    finding::{Finding, Warning},
};

/// What stands against agreeing to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "problem", rename_all = "kebab-case")]
pub enum Problem {
    /// Something is not what it should be.
    Stop(Stop),
    /// The world changed, or somebody has to decide.
    Decide {
        /// Stable code.
        code: Code,
        /// What happened.
        message: String,
    },
}

/// What is compared, and with what.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// It is the rejection that is to be signed.
    pub rejects: bool,
    /// The reviewer's own values.
    pub local: Option<Changes>,
    /// Who would execute it; by default its first owner.
    pub executor: Option<Address>,
    /// The reviewer's own values for other apps that the same transaction changes, by their CVMs.
    pub others: BTreeMap<String, Changes>,
}

impl Problem {
    /// Whether it can never be agreed to.
    pub const fn is_stop(&self) -> bool {
        matches!(self, Self::Stop(_))
    }

    /// A warning about an owner that is itself a Safe, for those who do not sign for it.
    pub(super) fn remark(self, safe: Address) -> Warning {
        let (code, text) = match self {
            Self::Stop(stop) => (stop.code.to_owned(), stop.to_string()),
            Self::Decide { code, message } => (code, message),
        };
        Warning {
            code,
            text: format!("the owner {safe}, itself a Safe: {text}"),
        }
    }

    pub(super) fn finding(&self) -> Option<Finding> {
        match self {
            Self::Stop(stop) => Some(Finding::stop(stop.clone())),
            Self::Decide { .. } => None,
        }
    }

    pub(super) fn from_finding(finding: &Finding) -> Self {
        match &finding.stop {
            Some(stop) => Self::Stop((**stop).clone()),
            None => Self::Decide {
                code: finding.code,
                message: finding.message.clone(),
            },
        }
    }

    /// Whether it says already that nothing is left to be signed.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Self::Decide { code, .. } if [Code::HashAlreadyAllowed, Code::SafeTxGone, Code::Abandoned].contains(code))
    }

    /// What an error means for a review: a finding, unless nothing could be read.
    pub(super) fn of(error: UpgradeError) -> Result<Self, UpgradeError> {
        match error {
            UpgradeError::Stop(stop) => Ok(Self::Stop(*stop)),
            UpgradeError::Decide { code, message, .. } => Ok(Self::Decide {
                code: code.to_owned(),
                message,
            }),
            other => Err(other),
        }
    }
}
