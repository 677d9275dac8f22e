//! What Phala Cloud was asked for and gave before anybody approves: the sealed environment, the hash, the token. Pure.

use alloy::primitives::B256;
use jiff::Timestamp;

use crate::compose::{ComposeHash, Verification};
use crate::upgrade::record::event::{Event, Preparation, unless};

/// The preparation of an upgrade.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct PrepareState {
    /// SHA-256 of the sealed environment.
    pub(in crate::upgrade) sealed: Option<B256>,
    /// What tells its values from others.
    pub(in crate::upgrade) values: Option<B256>,
    /// What was prepared is for other values than those that were sealed since.
    pub(in crate::upgrade) outdated: bool,
    /// It was asked for, and what came of that is not known.
    pub(in crate::upgrade) trying: bool,
    /// The preparation came with a proposal; its token is on another machine.
    pub(in crate::upgrade) imported: bool,
    /// The upgrade began with a proposal that was prepared on another machine.
    pub(in crate::upgrade) from_elsewhere: bool,
    pub(in crate::upgrade) token_refused: bool,
    /// How often a commit was refused for its token.
    pub(in crate::upgrade) refusals: u32,
    pub(in crate::upgrade) answer: Option<Preparation>,
    pub(in crate::upgrade) verified: Option<(ComposeHash, Verification)>,
}

impl PrepareState {
    pub(super) fn apply(&mut self, event: Event) {
        match event {
            Event::Sealed {
                sha256,
                values,
                replaces,
            } => {
                (self.sealed, self.values) = (Some(sha256), values);
                self.outdated |= replaces;
            }
            Event::PrepareTry { .. } => self.trying = true,
            Event::PrepareOk(preparation) => {
                self.imported = !self.trying;
                self.from_elsewhere |= self.imported;
                self.trying = false;
                self.outdated = false;
                self.token_refused = false;
                self.answer = Some(preparation);
            }
            Event::Verified { hash, how } => self.verified = Some((hash, how)),
            Event::CommitNot {
                token_refused: true, ..
            } => {
                self.refusals += 1;
                self.token_refused = true;
            }
            _ => {}
        }
    }

    pub(super) fn objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::PrepareOk(preparation) => {
                let was_asked = self.trying || preparation.token_sha256.is_none() || preparation.adopted;
                let agrees = self.verified.as_ref().is_none_or(|(hash, _)| *hash == preparation.hash);
                unless(was_asked, "nothing was asked").or_else(|| unless(agrees, "the hash is not the verified one"))
            }
            Event::Verified { hash, .. } => {
                let was_prepared = self.answer.as_ref().is_some_and(|answer| answer.hash == *hash);
                unless(was_prepared, "the hash was not prepared")
            }
            _ => None,
        }
    }

    /// When the commit token that this machine was given expires.
    pub(in crate::upgrade) fn token_expires(&self) -> Option<Timestamp> {
        let answer = self.answer.as_ref()?;
        answer.token_sha256.map(|_| answer.expires)
    }
}
