//! What the verdict adds to a review: what stands against agreeing, what was not checked, what has to be read whole. Pure.

use super::{Problem, Review, Whole};
use crate::upgrade::examine::Subject;
use crate::upgrade::verdict::{Finding, Known};
use crate::upgrade::{Limits, State};

impl Review {
    /// Takes in the verdict: what stands against it before what is judged after it.
    pub(super) fn conclude(
        &mut self,
        subject: &Subject<'_>,
        known: Option<&Known>,
        (limits, state): (&Limits, &State),
    ) {
        let mut verdict = subject.judge(known, (limits, &state.accepted));
        let own = self.problems.iter().filter(|problem| problem.is_stop());
        let own: Vec<Finding> = own.filter_map(Problem::finding).collect();
        let force = known.is_some_and(|known| known.in_force);
        verdict.add_own(own, self.not_compared());
        let before = std::mem::take(&mut self.problems);
        let forbidding = verdict.findings.iter().filter(|finding| finding.forbids());
        self.problems = forbidding.map(Problem::from_finding).collect();
        self.problems
            .extend(before.into_iter().filter(|problem| !problem.is_stop()));
        let notes = verdict.findings.iter().filter(|finding| !finding.forbids());
        for note in notes.map(Finding::warning) {
            if !self.warnings.contains(&note) {
                self.warnings.push(note);
            }
        }
        self.unchecked.extend(verdict.not_checked.iter().cloned());
        let approved = |index: usize| {
            let known = known.and_then(|known| known.apps.get(index));
            known.is_some_and(|known| known.base.is_approved())
        };
        for (index, one) in subject.proposal.apps().enumerate() {
            if !subject.only_takes_away() && !approved(index) && !force {
                self.whole.extend(one.manifest_after.clone().map(|manifest| Whole {
                    cvm: one.name(),
                    manifest,
                }));
            }
        }
        self.verdict = verdict;
    }

    /// Hashed fields that the reader's own files say nothing of.
    fn not_compared(&self) -> Vec<String> {
        let local = self.compose_hash.as_ref().and_then(|check| check.local.as_ref());
        let fields = local.map(|local| local.not_compared.as_slice()).unwrap_or_default();
        match fields {
            [] => Vec::new(),
            fields => vec![format!(
                "these fields of the manifest, of which your files say nothing: {}",
                fields.join(", ")
            )],
        }
    }
}
