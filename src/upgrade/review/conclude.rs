//! What the verdict adds to a review: what stands against agreeing, what was not checked, what has to be read whole. Pure.

use crate::upgrade::{
    checks::{
        timelock,
        verdict::{Known, Subject},
    },
    finding::{Finding, Verdict},
    review::{
        model::{Review, Whole},
        problem::{Problem, Question},
    },
};

impl Review {
    /// Adds to the verdict what only the review finds: stops, and what was not compared with the reader's own files.
    pub(super) fn add_to(&self, verdict: &mut Verdict, subject: &Subject<'_>, question: &Question) {
        let own = self.problems.iter().filter(|problem| problem.is_stop());
        let own: Vec<Finding> = own.filter_map(Problem::finding).collect();
        verdict.add_own(own, self.not_compared(subject, question));
    }

    /// Takes in the verdict: what stands against it before what is judged after it.
    pub(super) fn conclude(&mut self, subject: &Subject<'_>, known: Option<&Known>, verdict: Verdict) {
        let force = known.is_some_and(|known| known.in_force);
        let before = std::mem::take(&mut self.problems);
        let forbidding = verdict.findings.iter().filter(|finding| finding.forbids());
        self.problems = forbidding.map(Problem::from_finding).collect();
        self.problems
            .extend(before.into_iter().filter(|problem| !problem.is_stop()));
        let notes = verdict.findings.iter().filter(|finding| !finding.forbids());
        if known.is_some_and(|known| known.timelock.is_some()) {
            // What was said of it when this was prepared is told by what was read now.
            self.warnings.retain(|warning| !timelock::TOLD.contains(&warning.code));
        }
        let is_found = |code| verdict.findings.iter().any(|finding| finding.code == code);
        self.warnings
            .retain(|warning| !(warning.is_told_before() && is_found(warning.code)));
        for note in notes.map(Finding::warning) {
            if !self.warnings.contains(&note) {
                self.warnings.push(note);
            }
        }
        self.unchecked.extend(verdict.not_checked.iter().cloned());
        for (index, one) in subject.proposal.apps().enumerate() {
            let known = known.and_then(|known| known.apps.get(index));
            let is_approved = known.is_some_and(|known| known.base.approves_the_rest(&one.plan));
            if !subject.only_takes_away() && !is_approved && !force {
                self.whole.extend(one.manifest_after.clone().map(|manifest| Whole {
                    cvm: one.name(),
                    manifest,
                }));
            }
        }
        self.verdict = verdict;
    }

    /// What the reader's own files say nothing of, app by app, once there are any.
    fn not_compared(&self, subject: &Subject<'_>, question: &Question) -> Vec<String> {
        let no_files = question.local.is_none() && question.others.is_empty();
        if no_files || subject.only_takes_away() {
            return Vec::new();
        }
        let several = !self.others.is_empty();
        let checks = std::iter::once(&self.compose_hash).chain(self.others.iter().map(|other| &other.compose_hash));
        let each = subject.proposal.apps().zip(checks).enumerate();
        each.filter_map(|(index, (one, check))| {
            let name = one.name();
            let own = match index {
                0 => question.local.is_some(),
                _ => question.others.contains_key(&name),
            };
            let of = if several { format!(" of {name}") } else { String::new() };
            match (check, own) {
                (None, false) => None,
                (None, true) => Some(format!(
                    "your files{of} with anything: the proposal shows no manifest, only what it changes of the app's policy"
                )),
                (Some(_), false) => Some(format!("any field of the manifest{of}, of which your files say nothing")),
                (Some(check), true) => match check.local.as_ref().map(|local| local.not_compared.as_slice()) {
                    None | Some([]) => None,
                    Some(fields) => Some(format!(
                        "these fields of the manifest{of}, of which your files say nothing: {}",
                        fields.join(", ")
                    )),
                },
            }
        })
        .collect()
    }
}
