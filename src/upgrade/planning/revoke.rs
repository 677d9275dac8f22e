//! Older compose hashes that an upgrade takes from the app's list, in the same approval. An allowed hash needs no
//! approval: who has the API key can put a CVM back to it.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};

use crate::chain::{PolicyChange, policy_history::PolicyHistory};
use crate::cloud::{CloudError, Page, apps::PendingUpdate};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::upgrade::{UpgradeError, World, finding::Warning};

/// Entries that the server puts on one page at most.
const PAGE: u32 = 100;
/// Most pages that are read.
const PAGES: u32 = 100;

/// What is to be kept.
pub(in crate::upgrade) struct Kept<'a> {
    /// What the CVM runs, where the cloud says.
    pub(in crate::upgrade) runs: Option<ComposeHash>,
    /// What the upgrade gives, where that can be computed.
    pub(in crate::upgrade) expected: Option<ComposeHash>,
    /// What waits for a commit.
    pub(in crate::upgrade) pending: &'a [PendingUpdate],
    /// What other CVMs of the app run.
    pub(in crate::upgrade) others: Others,
}

/// The hashes that the app's CVMs run.
pub(in crate::upgrade) struct Others {
    hashes: BTreeSet<B256>,
    /// Some CVM may run something else.
    incomplete: bool,
}

/// What is taken away, and what is to be known about it.
#[derive(Default)]
pub(in crate::upgrade) struct Revocation {
    pub(in crate::upgrade) changes: Vec<PolicyChange>,
    pub(in crate::upgrade) warnings: Vec<Warning>,
    pub(in crate::upgrade) blockers: Vec<Warning>,
}

impl Others {
    /// Asks the cloud for all CVMs of the workspace. One request for every hundred.
    pub(in crate::upgrade) async fn read(world: &World<'_>, app: Address) -> Result<Self, UpgradeError> {
        let mut found = Self {
            hashes: BTreeSet::new(),
            incomplete: false,
        };
        for number in 1..=PAGES {
            let page = Page {
                number: Some(number),
                size: Some(PAGE),
            };
            let part = match world.cloud.cvms(page).await {
                Ok(part) => part,
                Err(CloudError::NotFound(_)) => {
                    found.incomplete = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            for cvm in part.items.iter().filter(|cvm| cvm.app_id == Some(app)) {
                match cvm.compose_hash {
                    Some(hash) => drop(found.hashes.insert(word(hash))),
                    None => found.incomplete = true,
                }
            }
            if !part.goes_on() {
                return Ok(found);
            }
        }
        found.incomplete = true;
        Ok(found)
    }
}

impl Revocation {
    /// Every allowed hash but those that are kept; `named` are taken away anyhow.
    pub(in crate::upgrade) fn of(history: &PolicyHistory, kept: &Kept<'_>, named: &[PolicyChange]) -> Self {
        let mut found = Self::default();
        let (Some(runs), Some(expected)) = (kept.runs, kept.expected) else {
            found.blockers.push(warning(
                Code::RevokeUnknown,
                "which hashes are older is not known: the hash that runs or the one after the change cannot be told here",
            ));
            return found;
        };
        let waiting = kept.pending.iter().filter_map(|update| update.compose_hash).map(word);
        let mut keep = kept.others.hashes.clone();
        keep.extend(waiting);
        keep.extend([word(runs), word(expected)]);
        let older = history
            .hashes
            .iter()
            .filter(|entry| entry.allowed && !keep.contains(&entry.id));
        let changes = older.map(|entry| PolicyChange::RemoveComposeHash(entry.id));
        found.changes = changes.filter(|change| !named.contains(change)).collect();
        if runs != expected {
            found.warnings.push(warning(
                Code::HashKept,
                format!(
                    "{runs} stays allowed, because the CVM runs it until the commit; afterwards `countersign app hashes remove` \
                     takes it away"
                ),
            ));
        }
        if let Some(why) = &history.incomplete {
            found.warnings.push(warning(
                Code::HistoryIncomplete,
                format!("hashes that are not listed here may stay allowed, because the app's history is not known whole: {why}"),
            ));
        }
        if kept.others.incomplete {
            found.warnings.push(warning(
                Code::InUseUnknown,
                "Phala Cloud does not tell what every CVM of the app runs: one that runs an older hash will not boot again",
            ));
        }
        found
    }
}

fn word(hash: ComposeHash) -> B256 {
    B256::from(*hash.as_bytes())
}

fn warning(code: Code, text: impl Into<String>) -> Warning {
    Warning {
        code: code.to_owned(),
        text: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::policy_history::PolicyEntry;
    use crate::upgrade::sample;

    fn history(allowed: &[(u8, bool)]) -> PolicyHistory {
        let entry = |(id, allowed): &(u8, bool)| PolicyEntry {
            id: B256::repeat_byte(*id),
            allowed: *allowed,
            since: None,
        };
        PolicyHistory {
            block: sample::block(9),
            hashes: allowed.iter().map(entry).collect(),
            devices: Vec::new(),
            events: Vec::new(),
            upgrades_disabled: None,
            incomplete: None,
        }
    }

    fn kept(pending: &[PendingUpdate]) -> Kept<'_> {
        Kept {
            runs: Some(ComposeHash::new([1; 32])),
            expected: Some(ComposeHash::new([2; 32])),
            pending,
            others: Others {
                hashes: [B256::repeat_byte(3)].into(),
                incomplete: false,
            },
        }
    }

    fn gone(byte: u8) -> PolicyChange {
        PolicyChange::RemoveComposeHash(B256::repeat_byte(byte))
    }

    #[test]
    fn h6_what_runs_what_comes_and_what_waits_is_kept_and_every_other_allowed_hash_goes() {
        let pending = [PendingUpdate {
            vm_uuid: None,
            compose_hash: Some(ComposeHash::new([4; 32])),
            on_chain: None,
            instance_name: None,
        }];
        let all = history(&[
            (1, true),
            (2, true),
            (3, true),
            (4, true),
            (5, true),
            (6, false),
            (7, true),
        ]);
        let found = Revocation::of(&all, &kept(&pending), &[gone(7)]);
        assert_eq!(found.changes, [gone(5)]);
        assert!(found.blockers.is_empty());
        let codes: Vec<&str> = found.warnings.iter().map(|one| one.code.name()).collect();
        assert_eq!(codes, ["HASH_KEPT"]);
    }

    #[test]
    fn h6_nothing_goes_as_long_as_it_is_not_known_what_has_to_stay() {
        let all = history(&[(5, true)]);
        for (runs, expected) in [(None, Some([2; 32])), (Some([1; 32]), None)] {
            let kept = Kept {
                runs: runs.map(ComposeHash::new),
                expected: expected.map(ComposeHash::new),
                ..kept(&[])
            };
            let found = Revocation::of(&all, &kept, &[]);
            assert!(found.changes.is_empty());
            assert_eq!(found.blockers[0].code, "REVOKE_UNKNOWN");
        }
    }

    #[test]
    fn h6_a_history_that_is_not_whole_is_told() {
        let mut part = history(&[(5, true)]);
        part.incomplete = Some("pruned".to_owned());
        let found = Revocation::of(&part, &kept(&[]), &[]);
        assert_eq!(found.changes, [gone(5)]);
        assert!(found.warnings.iter().any(|one| one.code == "HISTORY_INCOMPLETE"));
    }
}
