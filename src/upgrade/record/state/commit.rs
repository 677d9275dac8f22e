//! The commit, and what Phala Cloud said of it. Pure.

use jiff::Timestamp;

use crate::cloud::updates::Accepted;
use crate::upgrade::record::event::{Event, unless};

/// The commit of an upgrade.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct CommitState {
    /// It was sent, and what came of that is not known.
    pub(in crate::upgrade) trying: bool,
    /// A commit was sent at some time.
    pub(in crate::upgrade) sent: bool,
    /// When one was sent last.
    pub(in crate::upgrade) at: Option<Timestamp>,
    /// The app's CVMs before the last request that may have made another one.
    pub(in crate::upgrade) there: Vec<String>,
    /// The CVM that the commit made.
    pub(in crate::upgrade) made: Option<String>,
    /// What the server answered, unless the hash was only found running, and when.
    pub(in crate::upgrade) committed: Option<(Option<Accepted>, Timestamp)>,
    pub(in crate::upgrade) done: Option<Timestamp>,
    /// When the hash stood for a second look, after an operation of this upgrade's own.
    pub(in crate::upgrade) confirmed: Option<Timestamp>,
}

impl CommitState {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::CommitTry { there, at } => {
                self.at = Some(at);
                self.remember(self.trying, there);
                (self.trying, self.sent) = (true, true);
            }
            Event::CommitNot { .. } => self.trying = false,
            Event::CommitOk { accepted, at, made } => {
                (self.trying, self.made) = (false, made);
                self.committed = Some((accepted, at));
            }
            // Whatever was said came to nothing: the commit is still to be made.
            Event::CommitVoid { .. } => {
                self.committed = None;
                self.made = None;
                self.done = None;
                self.confirmed = None;
            }
            Event::Done { at, again } => {
                self.done = self.done.or(Some(at));
                self.confirmed = self.confirmed.or(again.then_some(at));
            }
            _ => {}
        }
    }

    /// A request of which nothing is known keeps what was there before it.
    pub(super) fn remember(&mut self, unknown: bool, there: Vec<String>) {
        if !unknown {
            self.there = there;
        }
    }

    pub(super) fn objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::CommitNot { .. } => unless(self.trying, "no commit was tried"),
            Event::CommitVoid { .. } | Event::Done { .. } => unless(self.committed.is_some(), "nothing was committed"),
            _ => None,
        }
    }

    /// Whether the hash was only found running, as Phala Cloud says: nobody answered a commit, and no operation of this
    /// upgrade's own is known.
    pub(in crate::upgrade) const fn was_found(&self) -> bool {
        self.made.is_none() && self.confirmed.is_none() && matches!(self.committed, Some((None, _)))
    }

    /// The server's name for the request that it accepted.
    pub(in crate::upgrade) fn correlation_id(&self) -> Option<String> {
        let (accepted, _) = self.committed.as_ref()?;
        accepted.as_ref()?.correlation_id.clone()
    }
}
