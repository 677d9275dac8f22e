//! What comes next, and for whom: the reader's command, and what others have to do with which file. Pure.
//!
//! One upgrade has several kinds of reader: whoever prepared it, the owners of a Safe, who have only the proposal, whoever
//! executes, and an auditor. What is next for one is nothing that the other can run.

use std::path::Path;

use crate::cli::failure::{Commands, Next};
use crate::cli::session::next::CommandLine;
use crate::cli::show::advice::{Advice, OtherStep};
use crate::code::Code;
use crate::upgrade::{
    model::Route,
    record::{State, Step},
};
use alloy::primitives::Address;

/// The command of a step, where one key approves; nothing after the last.
pub(in crate::cli) const fn command_after(step: Step) -> Option<&'static str> {
    Some(match step {
        Step::Prepare | Step::Verify | Step::Freeze | Step::Settle | Step::Watch => "resume",
        Step::Approve => "execute",
        Step::Broadcast | Step::Wait => "wait",
        Step::Commit => "commit",
        Step::Finished => return None,
    })
}

/// Who reads, as far as the run knows.
#[derive(Debug)]
pub(in crate::cli) struct Reader<'a> {
    /// What was typed, and what it was about.
    pub(in crate::cli) typed: &'a CommandLine,
    /// Where the proposal is.
    pub(in crate::cli) proposal: &'a Path,
    /// A Safe Transaction Service was named, or its key is there.
    pub(in crate::cli) has_service: bool,
    /// There is a key for Phala Cloud, without which nothing can be committed.
    pub(in crate::cli) has_api_key: bool,
}

/// Whoever prepared it, to whom a signature is sent.
pub(in crate::cli) fn import(signature: &Path) -> OtherStep {
    let name = signature.file_name().map_or(signature, Path::new);
    let command = CommandLine::nothing().import(name);
    OtherStep::new("whoever prepared it", Some(signature), vec![command])
}

impl Reader<'_> {
    /// What comes after what the upgrade has come to.
    pub(in crate::cli) fn advise(&self, state: &State) -> Advice {
        match state.next() {
            Step::Approve => self.approve(state),
            Step::Commit => self.commit(state),
            step => match command_after(step) {
                Some(command) => self.only(self.typed.step(command)),
                None => Advice::default(),
            },
        }
    }

    /// Signatures are missing: the owners who have not signed yet need the proposal.
    pub(in crate::cli) fn sign(&self, state: &State) -> Advice {
        if state.is_rejecting() {
            return self.only(self.typed.step("reject"));
        }
        let name = self.proposal.file_name().map_or(self.proposal, Path::new);
        let own = |command: &str| CommandLine::nothing().of_file(command, name);
        let mut others = vec![OtherStep::new(
            "each owner who has not signed",
            Some(self.proposal),
            vec![own("review"), own("sign")],
        )];
        let signed = state.status().facts.signed_by.is_some_and(|signed| !signed.is_empty());
        let next = if self.has_service && signed {
            self.typed.step("propose")
        } else {
            self.typed.of_file("review", self.proposal)
        };
        if self.has_service && !signed {
            let propose = self.typed.of_file("propose", self.proposal);
            others.push(OtherStep::new(
                "the first owner who signed, or whoever prepared it then",
                None,
                vec![propose],
            ));
        }
        let next = Some(next);
        Advice { next, others }
    }

    /// A rejection, or a nested Safe's approval, has one signature more: it is used up, or executed, once enough are there.
    pub(in crate::cli) fn signed_otherwise(&self, state: &State, nested: Option<Address>) -> Advice {
        let Some(safe) = nested else {
            return self.only(self.typed.step("reject"));
        };
        if state.nested_is_signed(safe) {
            return self.only(format!("{} --for {safe}", self.typed.step("execute")));
        }
        let name = self.proposal.file_name().map_or(self.proposal, Path::new);
        let own = |command: &str| CommandLine::nothing().of_file(command, name);
        let commands = vec![own("review"), format!("{} --for {safe}", own("sign"))];
        Advice {
            next: Some(self.typed.of_file("review", self.proposal)),
            others: vec![OtherStep::new(
                &format!("each owner of the Safe {safe} who has not signed"),
                Some(self.proposal),
                commands,
            )],
        }
    }

    /// What comes next where something is waited for, by the code that the run ended with.
    pub(in crate::cli) fn pending(&self, state: &State, code: Code, command: &str) -> Advice {
        let step = |command: &str| self.only(self.typed.step(command));
        match code {
            Code::PendingSignatures => self.sign(state),
            Code::PendingExecution => self.execute(),
            Code::PendingRejection => step("reject"),
            Code::PendingOwner | Code::PendingGovernor => step("wait"),
            Code::PendingNonce => self.only(self.typed.command(&Next::Step("execute", "--new-nonce"))),
            _ if command == "wait" => step("wait"),
            _ => step("resume"),
        }
    }

    /// Enough have signed: anybody executes it.
    fn execute(&self) -> Advice {
        self.only(self.typed.with_key(self.typed.step("execute")))
    }

    fn approve(&self, state: &State) -> Advice {
        let facts = state.status().facts;
        if state.needs_new_nonce() {
            return self.only(self.typed.command(&Next::NewNonce));
        }
        if let (Some(signed), Some(threshold)) = (&facts.signed_by, facts.threshold) {
            let enough = u64::try_from(signed.len()).is_ok_and(|have| have >= threshold);
            return match enough && !state.is_rejecting() {
                true => self.only(self.typed.step("execute")),
                false => self.sign(state),
            };
        }
        let is = |of: fn(&Route) -> bool| state.plan().is_some_and(|plan| of(&plan.route));
        self.only(if is(Route::is_calldata) {
            // What has to be called stands on the page of the review.
            self.typed.of_file("review", self.proposal)
        } else if is(Route::is_timelock) && facts.ready_at.is_some() {
            // Once it is scheduled, the delay has to be over.
            self.typed.step("resume")
        } else {
            self.typed.step("execute")
        })
    }

    /// Whoever has the token commits, or whoever can prepare again.
    fn commit(&self, state: &State) -> Advice {
        if self.has_api_key || !state.is_adopted() {
            return self.only(self.typed.step("commit"));
        }
        let commit = CommandLine::nothing().step("commit");
        Advice {
            next: None,
            others: vec![OtherStep::new("whoever prepared it", None, vec![commit])],
        }
    }

    fn only(&self, next: String) -> Advice {
        Advice {
            next: Some(next),
            others: Vec::new(),
        }
    }
}
