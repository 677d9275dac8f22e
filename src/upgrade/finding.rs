//! What was found: a value that does not match, a doubt, a remark, and the verdict over all of them. Data only.

use serde::{Deserialize, Serialize};

use crate::code::{Code, Severity};
use crate::signer::Decision;
use crate::upgrade::Accepted;

/// Something does not match what was approved or pinned. Nothing new was signed or sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
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

impl Stop {
    pub(in crate::upgrade) fn new(
        code: Code,
        what: impl Into<String>,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self {
            code,
            what: what.into(),
            expected: expected.to_string(),
            found: found.to_string(),
            details: Vec::new(),
            origin: None,
        }
    }
}

/// Where a value came from that does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
    pub(super) const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::Cloud => ("computed from your files", "sent by Phala Cloud"),
            Self::Proposal => ("computed from the text in this proposal", "written in this proposal"),
            Self::Journal => ("computed from the text in the journal", "written in the journal"),
        }
    }
}

/// Something a person should know; `code` is stable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
pub struct Warning {
    /// Stable code.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub code: Code,
    /// One sentence.
    pub text: String,
}

impl Warning {
    /// What is left of a warning of which only somebody else's file tells.
    pub(super) fn told_before(code: Code) -> Self {
        Self {
            code,
            text: format!("told where this was prepared: {}", code.about()),
        }
    }

    /// Whether it is no more than that.
    pub(super) fn is_told_before(&self) -> bool {
        *self == Self::told_before(self.code)
    }

    pub(in crate::upgrade) fn when(is_so: bool, code: Code, text: impl FnOnce() -> String) -> Option<Self> {
        is_so.then(|| Self { code, text: text() })
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable code.
    pub code: Code,
    /// How much it weighs.
    pub severity: Severity,
    /// CVM of the app that it is about, where a proposal has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// What the doubt is about: the value that whoever agrees has to name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What was found, in a sentence.
    pub message: String,
    /// Somebody agreed to it by name.
    pub accepted: bool,
    /// The bytes themselves do it: where they are signed, somebody at a terminal is asked for its value.
    #[serde(skip)]
    pub asked: bool,
    /// What was compared, of a stop.
    #[serde(skip)]
    pub stop: Option<Box<Stop>>,
}

/// Whether something may be signed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Everything that was found, the gravest first.
    pub findings: Vec<Finding>,
    /// What could not be checked, one sentence each.
    pub not_checked: Vec<String>,
}

impl Finding {
    /// Something is not what it should be.
    pub(super) fn stop(stop: Stop) -> Self {
        Self {
            code: stop.code,
            severity: Severity::Stop,
            app: None,
            value: None,
            message: stop.to_string(),
            accepted: false,
            asked: false,
            stop: Some(Box::new(stop)),
        }
    }

    /// A doubt that somebody may agree to, by naming its value where it is about one.
    pub(super) fn decision(code: Code, value: Option<String>, message: String) -> Self {
        Self {
            code,
            severity: Severity::Decision,
            app: None,
            value,
            message,
            accepted: false,
            asked: false,
            stop: None,
        }
    }

    /// What the bytes themselves do that somebody has to agree to by name.
    pub(in crate::upgrade) fn named(decision: Decision) -> Self {
        Self {
            asked: true,
            ..Self::decision(decision.code, Some(decision.value), decision.what)
        }
    }

    /// What stands until the world changes: no option agrees to it.
    pub(super) fn state(code: Code, message: String) -> Self {
        Self {
            severity: Severity::State,
            ..Self::decision(code, None, message)
        }
    }

    /// Something a person should know.
    pub(super) fn note(code: Code, message: String) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::decision(code, None, message)
        }
    }

    /// Whether it forbids signing.
    pub fn forbids(&self) -> bool {
        match self.severity {
            Severity::Stop | Severity::State => true,
            Severity::Decision => !self.accepted,
            Severity::Note => false,
        }
    }

    /// As a remark.
    pub(in crate::upgrade) fn warning(&self) -> Warning {
        Warning {
            code: self.code,
            text: self.message.clone(),
        }
    }

    pub(in crate::upgrade) fn of_app(mut self, app: &str) -> Self {
        self.message = format!("{app}: {}", self.message);
        if let Some(stop) = &mut self.stop {
            stop.what = format!("{} ({app})", stop.what);
        }
        self.app = Some(app.to_owned());
        self
    }
}

impl Verdict {
    /// A verdict over findings, of which some were agreed to.
    pub(super) fn new(findings: Vec<Finding>, not_checked: Vec<String>, accepted: &Accepted) -> Self {
        let mut unique: Vec<Finding> = Vec::new();
        for finding in findings {
            if !unique.contains(&finding) {
                unique.push(finding);
            }
        }
        let mut verdict = Self {
            findings: unique,
            not_checked,
        };
        verdict.agree(accepted);
        verdict
    }

    /// Marks what somebody agreed to.
    pub(super) fn agree(&mut self, accepted: &Accepted) {
        for finding in &mut self.findings {
            let is_covered = || accepted.covers(finding.code, finding.value.as_deref());
            finding.accepted |= finding.severity == Severity::Decision && is_covered();
        }
        self.findings
            .sort_by_key(|finding| (!finding.forbids(), finding.severity));
    }

    /// The gravest finding that forbids signing.
    pub fn forbidding(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.forbids())
    }

    /// Adds what the reader's own files say, and what they do not say.
    pub(super) fn add_own(&mut self, findings: Vec<Finding>, not_checked: Vec<String>) {
        let mut all = std::mem::take(&mut self.findings);
        for finding in findings {
            if !all.contains(&finding) {
                all.push(finding);
            }
        }
        all.sort_by_key(|finding| (!finding.forbids(), finding.severity));
        self.findings = all;
        self.not_checked.extend(not_checked);
    }

    /// The sentence of what forbids it.
    pub(super) fn told(&self) -> String {
        let forbidding = self.forbidding();
        forbidding.map_or_else(|| "nothing forbids it".to_owned(), |finding| finding.message.clone())
    }

    /// Doubts to which somebody agreed.
    pub fn agreed(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.accepted)
    }
}
