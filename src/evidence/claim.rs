//! What is to be said of one claim of a document. Data; pure.

use std::fmt;

use serde::Serialize;

/// Name of claims about what the app logged and nobody asked for.
pub const BESIDES: &str = "besides";

/// What is to be said of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It follows from a hash, a signature, a header of the chain or a quote.
    Holds,
    /// Nothing proves it: the writer says so.
    Said,
    /// It could be proved, and what it takes is not here.
    NotChecked,
    /// Something contradicts it.
    Differs,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Said => "said by the writer",
            Self::NotChecked => "not checked",
            Self::Differs => "DIFFERS",
        })
    }
}

/// One claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Claim {
    /// What it is about: a stable name.
    pub about: String,
    /// What is to be said of it.
    pub outcome: Outcome,
    /// What holds, or why it does not.
    pub text: String,
}

impl Claim {
    pub(super) fn holds(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(about, Outcome::Holds, text)
    }

    pub(super) fn differs(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(about, Outcome::Differs, text)
    }

    pub(super) fn open(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(about, Outcome::NotChecked, text)
    }

    pub(super) fn said(about: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(about, Outcome::Said, text)
    }

    fn new(about: impl Into<String>, outcome: Outcome, text: impl Into<String>) -> Self {
        Self {
            about: about.into(),
            outcome,
            // Nobody's words look like another line.
            text: text.into().split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    /// Holds where `what` is so, and differs otherwise.
    pub(super) fn whether(about: impl Into<String>, what: bool, [so, otherwise]: [String; 2]) -> Self {
        match what {
            true => Self::holds(about, so),
            false => Self::differs(about, otherwise),
        }
    }
}
