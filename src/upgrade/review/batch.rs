//! Other apps that the same transaction changes: each is shown and checked as it would be alone.

use crate::code::Code;
use crate::safe::info::Trust;
use crate::upgrade::{
    UpgradeError,
    checks::verdict::Known,
    finding::Warning,
    model::Proposal,
    review::{
        model::{AppNow, OtherApp, Review},
        offline,
        problem::{Problem, Question},
    },
};

impl Review {
    /// Shows the apps that joined, and takes over what stands against each.
    pub(super) fn show_others(
        &mut self,
        proposal: &Proposal,
        question: &Question,
        trust: &Trust,
    ) -> Result<(), UpgradeError> {
        for other in &proposal.others {
            let mine = Question {
                rejects: false,
                local: question.others.get(&other.name()).cloned(),
                ..Question::default()
            };
            let review = offline::review(other, None, &mine, trust)?;
            self.problems
                .extend(review.problems.into_iter().map(|problem| problem.of_app(other)));
            self.warnings
                .extend(review.warnings.into_iter().map(|warning| of_app(warning, other)));
            self.others.push(OtherApp {
                asked: review.asked,
                images: review.images,
                unlisted: review.unlisted,
                changes: review.changes,
                uncovered: review.uncovered,
                compose_hash: review.compose_hash,
                app: review.app,
            });
        }
        self.refuse_unknown(proposal, question)
    }

    /// The apps that joined, as the chain has them now.
    pub(super) fn take_others(&mut self, known: &Known) {
        for (shown, now) in self.others.iter_mut().zip(known.apps.iter().skip(1)) {
            shown.app = AppNow {
                now: true,
                state: now.state.clone(),
            };
        }
    }

    /// Nobody has to sign what is in force.
    pub(super) fn judge_force(&mut self, in_force: bool) {
        if in_force && !self.problems.iter().any(Problem::is_settled) {
            self.decide(
                Code::HashAlreadyAllowed,
                "the change is in force already: nobody has to sign",
            );
        }
    }

    /// A file for a CVM that the proposal is not about would be compared with nothing.
    fn refuse_unknown(&self, proposal: &Proposal, question: &Question) -> Result<(), UpgradeError> {
        let known = |name: &str| proposal.others.iter().any(|other| other.name() == name);
        let Some(name) = question.others.keys().find(|name| !known(name)) else {
            return Ok(());
        };
        let names: Vec<String> = proposal.others.iter().map(Proposal::name).collect();
        Err(UpgradeError::decide(
            Code::AppNotInProposal,
            format!(
                "the proposal has no other app with the CVM `{name}`; the others are: {}",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            ),
        ))
    }
}

/// Puts the app's name before the text of a warning, where a proposal has several apps.
fn of_app(warning: Warning, proposal: &Proposal) -> Warning {
    Warning {
        text: format!("{}: {}", proposal.name(), warning.text),
        ..warning
    }
}

impl Problem {
    /// Adds the app's name to what stands against agreeing, where a proposal has several apps.
    pub(super) fn of_app(self, proposal: &Proposal) -> Self {
        match self {
            Self::Stop(mut stop) => {
                stop.what = format!("{} ({})", stop.what, proposal.name());
                Self::Stop(stop)
            }
            Self::Decide { code, message } => Self::Decide {
                code,
                message: format!("{}: {message}", proposal.name()),
            },
        }
    }
}
