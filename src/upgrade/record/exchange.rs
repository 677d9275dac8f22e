//! Between records and proposals: what of an upgrade others see, and what their proposal says to the records. Pure.

use std::path::Path;

use crate::chain::Call;
use crate::code::Code;
use crate::safe::info::Trust;
use crate::upgrade::{
    UpgradeError,
    finding::Warning,
    model::{CodeChange, Plan},
    model::{
        proposal::{FILE, Proposal, SCHEMA},
        remarks::{derived_warnings, safe_remarks},
        safe_approval::{SafeTxRole, Signed},
    },
    record::{
        event::{Event, Identity, Preparation},
        state::State,
    },
};

impl Proposal {
    /// The proposal of a verified upgrade; `None` before that.
    pub fn of(state: &State) -> Option<Self> {
        let (identity, plan) = (state.identity()?, state.plan()?);
        // Nothing is proposed before all of it is known.
        state.changes()?;
        let prepared = state.prepare.answer.as_ref();
        let calls = state.calls();
        let safe = match (&state.safe.frozen, state.ceremony()) {
            (Some(frozen), Ok(Some(ceremony))) => {
                Some(ceremony.section(frozen, state.is_rejecting(), &state.safe.signatures))
            }
            _ => None,
        };
        Some(Self {
            schema: SCHEMA.to_owned(),
            update: identity.update.clone(),
            cloud: identity.cloud.clone(),
            compose_hash: state.verified().map(|(hash, _)| *hash),
            verified: state.verified().map(|(_, how)| how.clone()),
            calldata_digests: calls.iter().map(Call::digest).collect(),
            calls,
            safe,
            timelock: state
                .asked()
                .map(|asked| asked.section(state.timelock.scheduled.as_ref())),
            manifest_after: plan.code.as_ref().map(CodeChange::manifest_after),
            prepared_at: prepared.map(|prepared| prepared.at),
            token_expires: prepared.map(|prepared| prepared.expires),
            plan: plan.clone(),
            others: state.batch.others.clone(),
        })
    }

    /// What a journal would hold that was begun with this proposal.
    pub(in crate::upgrade) fn events(self) -> Vec<Event> {
        let (section, at) = (self.safe.clone(), self.prepared_at.unwrap_or(self.plan.read_at));
        let scheduled = self.scheduled().copied();
        let tries = self.choosing();
        let (preparation, verified) = (self.preparation(), self.compose_hash.zip(self.verified.clone()));
        let others: Vec<Self> = self.others.iter().cloned().map(Self::unsaid).collect();
        let (identity, plan) = self.into_identity();
        let mut events = vec![Event::Open(identity), Event::Plan(Box::new(plan))];
        events.extend(preparation.map(Event::PrepareOk));
        events.extend(verified.map(|(hash, how)| Event::Verified { hash, how }));
        events.extend(Some(others).filter(|others| !others.is_empty()).map(Event::Joined));
        events.extend(tries);
        events.extend(scheduled.map(Event::TimelockScheduled));
        let Some(section) = section else { return events };
        events.push(Event::SafeFrozen(Box::new(section.frozen)));
        let mut extend = |signatures: Vec<Signed>, role: SafeTxRole| {
            events.extend(signatures.into_iter().map(|one| Event::SafeSignature {
                owner: one.owner,
                signature: one.signature,
                role,
                source: FILE.to_owned(),
            }));
        };
        extend(section.signatures, SafeTxRole::Approval);
        let rejection = section.rejection.is_some();
        if let Some(rejection) = section.rejection {
            extend(rejection.signatures, SafeTxRole::Rejection);
        }
        for nested in section.nested {
            let child = nested.safe.address;
            events.push(Event::SafeNested {
                safe: Box::new(nested.safe),
                frozen: Box::new(nested.frozen),
            });
            events.extend(nested.signatures.into_iter().map(|one| Event::SafeSignature {
                owner: one.owner,
                signature: one.signature,
                role: SafeTxRole::Nested(child),
                source: FILE.to_owned(),
            }));
        }
        if rejection {
            events.push(Event::SafeReject { at });
        }
        events
    }

    /// Whether it is the proposal of the upgrade that a journal knows.
    ///
    /// # Errors
    /// It asks for something else.
    pub fn check_same(&self, state: &State) -> Result<(), UpgradeError> {
        let Some(own) = Self::of(state) else { return Ok(()) };
        let told = |proposal: &Self| {
            let all: Vec<String> = proposal.apps().map(Self::summary).collect();
            all.join("; ")
        };
        let (ours, theirs) = (told(&own), told(self));
        if ours != theirs {
            return Err(UpgradeError::stop(
                Code::ProposalChanged,
                "what the proposal asks for",
                ours,
                theirs,
            ));
        }
        if own.apps().map(Self::sends).eq(self.apps().map(Self::sends)) {
            return Ok(());
        }
        Err(UpgradeError::stop(
            Code::ProposalChanged,
            "what the proposal has sent to Phala Cloud",
            "what this directory's journal says",
            "something else, which no hash covers",
        ))
    }

    /// What leads to its operation: the choice, or one record for each operation that was cancelled; a file that claims a
    /// lot of them is not believed.
    fn choosing(&self) -> Vec<Event> {
        const MOST: u64 = 100;
        if let Some(choice) = self.chosen() {
            return vec![Event::TimelockChosen(Box::new(choice))];
        }
        let attempt = self.timelock.as_ref().map_or(0, |section| section.attempt);
        (0..attempt.min(MOST)).map(|_| Event::TimelockAgain).collect()
    }

    /// Without the sentences of whoever wrote it, which are nobody's word: what follows from its values is said anew. What
    /// else was told stays by its code, in words of ours.
    fn unsaid(mut self) -> Self {
        let mut derived = derived_warnings(&self.plan.app_state, self.plan.code.as_ref());
        if let Some(safe) = &self.plan.safe {
            derived.extend(safe_remarks(safe, &Trust::default()).1);
        }
        let told = std::mem::replace(&mut self.plan.warnings, derived);
        let mut codes: Vec<Code> = told.into_iter().map(|warning| warning.code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.retain(|code| self.plan.warnings.iter().all(|derived| derived.code != *code));
        self.plan.warnings.extend(codes.into_iter().map(Warning::told_before));
        self.plan.blockers.clear();
        self
    }

    /// What prepare gave on another machine, whose token stays there.
    fn preparation(&self) -> Option<Preparation> {
        Some(Preparation {
            hash: self.compose_hash?,
            token_sha256: None,
            at: self.prepared_at?,
            expires: self.token_expires?,
            request_id: None,
            adopted: false,
        })
    }

    /// The records that a machine starts with which did not prepare the upgrade itself.
    fn into_identity(self) -> (Identity, Plan) {
        let Self {
            update,
            cloud,
            mut plan,
            ..
        } = self.unsaid();
        if let Some(timelock) = &mut plan.timelock {
            // What its code is known as is read by everybody for himself.
            timelock.info.body_hash = None;
        }
        let identity = Identity {
            schema: crate::upgrade::record::journal::SCHEMA,
            update,
            cvm: plan.code.as_ref().map(|code| code.cvm.clone()),
            app: plan.app,
            chain_id: plan.chain_id,
            cloud,
        };
        (identity, plan)
    }
}

/// What a proposal by itself tells, as records.
///
/// # Errors
/// Malformed, or it contradicts itself.
pub(in crate::upgrade) fn state_of(path: &Path) -> Result<State, UpgradeError> {
    let proposal = Proposal::read(path)?;
    State::fold(proposal.events()).map_err(|(_, illegal)| UpgradeError::Proposal {
        path: path.to_owned(),
        why: illegal.to_string(),
    })
}
