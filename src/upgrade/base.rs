//! What a change is measured against: the manifest before is worth something only if the app ever allowed it. Otherwise
//! the cloud, or whoever wrote a proposal, could hide a change by having it on both sides.

use alloy::primitives::B256;

use super::{Stop, UpgradeError, Warning};
use crate::chain::{AppState, Chain, PolicyFact, PolicyHistory};
use crate::code::Code;
use crate::compose::ComposeHash;

/// What the app says of the hash before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    /// It is allowed, or nobody knows which hash runs.
    Good,
    /// It was on the list once.
    Revoked,
    /// It never was.
    Never,
    /// It is not on the list, and whether it was cannot be found out.
    Unknown(String),
}

impl Base {
    /// Asks the app's history where `app` does not allow `before` now; otherwise nothing is asked.
    pub(super) async fn of(chain: &Chain, app: &AppState, before: Option<ComposeHash>) -> Result<Self, UpgradeError> {
        let Some(before) = before.filter(|_| app.running_allowed == Some(false)) else {
            return Ok(Self::Good);
        };
        let history = chain.policy_history(app, (&[], &[])).await?;
        Ok(past(&history, before))
    }

    /// The same, for those who sign: what was never allowed stops them.
    pub(super) async fn require(
        chain: &Chain,
        app: &AppState,
        before: Option<ComposeHash>,
    ) -> Result<(), UpgradeError> {
        Self::of(chain, app, before).await?.check(before)
    }

    /// What a person should know of it.
    pub(super) fn warning(&self, before: Option<ComposeHash>) -> Option<Warning> {
        let before = before?;
        let (code, text) = match self {
            Self::Good | Self::Never => return None,
            Self::Revoked => (
                Code::BaseRevoked,
                format!("the app allowed {before}, what the change is shown against, and does not any more"),
            ),
            Self::Unknown(why) => (
                Code::BaseUnknown,
                format!(
                    "the app does not allow {before}, what the change is shown against, and whether it ever did is unknown: {why}"
                ),
            ),
        };
        Some(Warning {
            code: code.to_owned(),
            text,
        })
    }

    /// What forbids going on.
    pub(super) fn check(&self, before: Option<ComposeHash>) -> Result<(), UpgradeError> {
        match (self, before) {
            (Self::Never, Some(before)) => Err(UpgradeError::Stop(Box::new(Stop {
                code: Code::BaseNeverAllowed,
                what: "hash of the manifest before".to_owned(),
                expected: "one that the app allows, or allowed once".to_owned(),
                found: before.to_string(),
                details: vec!["the change is shown against something that nobody ever approved".to_owned()],
                origin: None,
            }))),
            _ => Ok(()),
        }
    }
}

fn past(history: &PolicyHistory, hash: ComposeHash) -> Base {
    // A hash that is there from the start may have no event of its own; that it was taken away has one.
    let hash = B256::from(*hash.as_bytes());
    let named = |fact: &PolicyFact| matches!(fact, PolicyFact::Hash { id, .. } if *id == hash);
    match &history.incomplete {
        _ if history.events.iter().any(|event| named(&event.what)) => Base::Revoked,
        Some(why) => Base::Unknown(why.clone()),
        None => Base::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{BlockRef, PolicyEvent, PolicyPlace};

    const HASH: ComposeHash = ComposeHash::new([7; 32]);

    fn history(events: &[(u8, bool)], incomplete: Option<&str>) -> PolicyHistory {
        let place = PolicyPlace {
            transaction: B256::ZERO,
            block: BlockRef::default(),
            log_index: 0,
        };
        let event = |(id, allowed): &(u8, bool)| PolicyEvent {
            what: PolicyFact::Hash {
                id: B256::repeat_byte(*id),
                allowed: *allowed,
            },
            place,
        };
        PolicyHistory {
            block: BlockRef::default(),
            hashes: Vec::new(),
            devices: Vec::new(),
            events: events.iter().map(event).collect(),
            upgrades_disabled: None,
            incomplete: incomplete.map(str::to_owned),
        }
    }

    #[test]
    fn v1b_only_what_the_app_allowed_once_is_worth_comparing_with() {
        assert_eq!(past(&history(&[(7, true), (7, false)], None), HASH), Base::Revoked);
        // Allowed from the start, without an event, and taken away.
        assert_eq!(past(&history(&[(7, false)], None), HASH), Base::Revoked);
        assert_eq!(past(&history(&[(8, true)], None), HASH), Base::Never);
        let unknown = past(&history(&[(8, true)], Some("pruned")), HASH);
        assert_eq!(unknown, Base::Unknown("pruned".to_owned()));
        // What is known is enough.
        assert_eq!(past(&history(&[(7, true)], Some("pruned")), HASH), Base::Revoked);
    }
}
