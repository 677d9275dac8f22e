//! Which event may follow what is recorded, where more than one part of the state has a say. Pure.

use crate::upgrade::{
    model::{safe_approval::Stage, timelock_operation::Asked},
    record::{
        event::{Event, IllegalStep, unless},
        state::{About, State},
    },
};

impl State {
    /// Whether `event` may come now.
    ///
    /// # Errors
    /// It may not.
    pub fn check(&self, event: &Event) -> Result<(), IllegalStep> {
        self.objection(event).map_or(Ok(()), |why| {
            Err(IllegalStep {
                kind: event.kind(),
                why,
            })
        })
    }

    /// Why `event` cannot come now.
    fn objection(&self, event: &Event) -> Option<&'static str> {
        match (&self.identity, event) {
            (None, Event::Open(_)) => return None,
            (None, _) => return Some("the journal has not been opened"),
            (Some(_), Event::Open(_)) => return Some("the journal was opened before"),
            (Some(_), _) => {}
        }
        self.subject_objection(event)
            .or_else(|| self.prepare.objection(event))
            .or_else(|| self.batch_objection(event))
            .or_else(|| self.safe_objection(event))
            .or_else(|| self.timelock_objection(event))
            .or_else(|| self.tx_objection(event))
            .or_else(|| self.tx.objection(event))
            .or_else(|| self.proof.objection(event))
            .or_else(|| self.commit.objection(event))
    }

    /// Whether nothing is signed or proved.
    fn is_untouched(&self) -> bool {
        self.tx.signed.is_empty() && self.proof().is_none()
    }

    fn subject_objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::Plan(_) => unless(
                self.is_untouched() && self.deployment().is_none(),
                "something was approved already",
            ),
            Event::Deploy(_) => unless(self.about.is_none(), "something is planned already"),
            Event::Deployed(_) => match &self.about {
                Some(About::NewApp { made: None, .. }) => None,
                Some(About::NewApp { made: Some(_), .. }) => Some("the app was made before"),
                _ => Some("no app was to be made"),
            },
            Event::Sealed { replaces, .. } => {
                let may = !replaces || self.may_prepare_again();
                unless(self.has_environment(), "the plan has no environment")
                    .or_else(|| unless(may, "the commit was sent already"))
            }
            Event::PrepareTry { .. } => unless(self.plan().is_some(), "there is no plan"),
            Event::CommitTry { .. } | Event::CommitOk { .. } => unless(
                self.takes_commit(event) && self.has_code(),
                "there is no proof, or nothing to commit",
            ),
            _ => None,
        }
    }

    /// Whether there is a proof; what was sent with one may be answered after that is gone.
    fn takes_commit(&self, event: &Event) -> bool {
        self.proof().is_some() || (self.commit.trying && matches!(event, Event::CommitOk { .. }))
    }

    fn batch_objection(&self, event: &Event) -> Option<&'static str> {
        if matches!(event, Event::Joined(_) | Event::Joins { .. }) && self.changes().is_none() {
            return Some("the hash was not verified");
        }
        match event {
            Event::Joined(others) => unless(
                self.batch.others.is_empty() && !others.is_empty(),
                "apps joined before, or none does",
            )
            .or_else(|| unless(self.is_open_for_others(), "something was chosen already")),
            Event::Joins { .. } => {
                let is_alone = self.batch.joins.is_none() && self.batch.others.is_empty();
                unless(is_alone && self.is_open_for_others(), "it has an approval already")
            }
            Event::JoinedFinal(proof) => {
                let mut others = self.batch.others.iter();
                let is_known = others.any(|other| other.changes() == proof.subject());
                unless(is_known, "the proof is for something else")
            }
            _ => None,
        }
    }

    /// Whether nothing was chosen, signed or scheduled yet.
    pub(in crate::upgrade) fn is_open_for_others(&self) -> bool {
        let nothing_asked = self.timelock.chosen.is_none() && self.timelock.scheduled.is_none();
        nothing_asked && self.safe.frozen.is_none() && self.is_untouched()
    }

    fn safe_objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::SafeFrozen(frozen) => {
                let another = self.stage().is_none_or(|stage| stage != frozen.stage) || self.safe.gone.is_some();
                let can = self.changes().is_some() && self.has_safe() && self.tx.signed.is_empty();
                unless(can, "no Safe approves, or something was sent already")
                    .or_else(|| unless(another, "an intent has one nonce of the Safe"))
                    .or_else(|| unless(self.has_place_for(frozen.stage), "that is not what comes next"))
            }
            Event::SafeSignature { .. }
            | Event::SafeGone { .. }
            | Event::SafeReject { .. }
            | Event::SafeNested { .. } => unless(self.safe.frozen.is_some(), "no Safe transaction was chosen"),
            Event::SafePurpose { purpose } => {
                let of_timelock = purpose.owner().is_none() && self.has_timelock();
                unless(
                    (self.safe.frozen.is_some() || of_timelock) && self.is_untouched(),
                    "another transaction is on its way, or none is needed",
                )
            }
            Event::SafePinned(safe) => {
                let pinned = self.plan().and_then(|plan| plan.safe.as_ref());
                let is_same = pinned.is_some_and(|own| (own.address, own.chain_id) == (safe.address, safe.chain_id));
                unless(is_same, "it is another Safe")
            }
            _ => None,
        }
    }

    fn has_place_for(&self, stage: Stage) -> bool {
        match stage {
            Stage::Policy => !self.has_timelock(),
            Stage::Schedule => self.has_timelock() && self.timelock.scheduled.is_none(),
            Stage::Execute | Stage::Cancel => self.has_timelock(),
        }
    }

    fn timelock_objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::TimelockChosen(_) => self.choice_objection(event),
            Event::TimelockScheduled(scheduled) => unless(
                self.asked().is_some_and(|asked| asked.operation.id() == scheduled.id),
                "the operation is another one",
            ),
            Event::TimelockUnscheduled { .. } => unless(
                self.timelock.scheduled.is_some() && self.is_untouched(),
                "nothing was scheduled, or something is on its way",
            ),
            Event::TimelockAgain => unless(
                self.has_timelock() && self.is_untouched(),
                "no timelock acts, or something is on its way",
            ),
            _ => None,
        }
    }

    fn choice_objection(&self, event: &Event) -> Option<&'static str> {
        let Event::TimelockChosen(choice) = event else {
            return None;
        };
        let (Some(identity), Some(plan)) = (self.identity(), self.plan()) else {
            return Some("there is no plan");
        };
        if !plan.chooses_its_operation() || choice.rule.is_name() {
            return Some("its operation follows from its name");
        }
        if self.timelock.scheduled.is_some() || self.safe.frozen.is_some() || !self.is_untouched() {
            return Some("an operation was asked for already");
        }
        match Asked::of(&identity.update, plan, &self.calls(), choice.as_ref().clone()) {
            Some(_) => None,
            None => Some("the operation is not one of its calls"),
        }
    }

    fn tx_objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::SignTry { .. } => {
                let is_known = self.changes().is_some() || self.deployment().is_some();
                unless(is_known, "the hash was not verified")
            }
            Event::TxFinal(proof) | Event::Adopted(proof) => unless(
                self.changes().is_some_and(|changes| changes == proof.subject()),
                "the proof is for something else",
            ),
            _ => None,
        }
    }
}
