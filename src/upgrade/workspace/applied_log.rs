//! A change that Phala Cloud applies at once because nobody has to approve it: what was meant is on record before it is sent,
//! what became of it after, and what was not heard is settled by what the CVM says.

use alloy::primitives::B256;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cloud::{Progress, lifecycle::Operation};
use crate::compose::ComposeHash;
use crate::upgrade::{
    model::{environment::patch_digest, unapproved::UnapprovedPlan},
    record::Effect,
    workspace::record_log::Line,
};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::upgrade) struct Applying {
    schema: u32,
    /// The CVM, by its UUID where the cloud gives one.
    cvm: String,
    /// What is sent, in short.
    request: B256,
    /// Compose hash that it ran.
    before: Option<ComposeHash>,
    /// Compose hash that the change gives, where it can be computed.
    after: Option<ComposeHash>,
    /// Time at which it was meant.
    at: Timestamp,
    /// The CVM's latest operation before.
    since: Option<String>,
    /// What became of it, as far as this record knows.
    became: Became,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "became", rename_all = "kebab-case")]
enum Became {
    /// Nobody knows: it is about to be sent, or no answer was heard.
    Unknown,
    /// The server took it.
    Taken { operation: Option<String> },
    /// The CVM runs it, as Phala Cloud says.
    Live { hash: Option<ComposeHash>, at: Timestamp },
}

/// What the CVM says of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) enum Trace {
    /// The CVM runs it, and nothing is under way.
    Live,
    /// It was taken, by this operation, where that has a name.
    Taken(Option<String>),
    /// Nothing came of it.
    Nothing,
}

impl Line for Applying {
    const FILE: &'static str = "applied";
    const SCHEMA: u32 = 1;
    fn schema(&self) -> u32 {
        self.schema
    }
}

impl Applying {
    /// A change that is about to be sent.
    pub(in crate::upgrade) fn new(plan: &UnapprovedPlan) -> Self {
        let code = &plan.code;
        Self {
            schema: Self::SCHEMA,
            cvm: code.cvm_uuid.clone().unwrap_or_else(|| code.cvm.clone()),
            request: patch_digest(&code.patch).into(),
            before: code.current_hash,
            after: code.expected_hash,
            at: Timestamp::now(),
            since: None,
            became: Became::Unknown,
        }
    }

    /// With the CVM's latest operation before it is sent.
    pub(in crate::upgrade) fn since(self, since: Option<String>) -> Self {
        Self { since, ..self }
    }

    /// Taken by the server.
    pub(in crate::upgrade) fn taken(self, operation: Option<String>) -> Self {
        let became = Became::Taken { operation };
        Self { became, ..self }
    }

    /// What the CVM runs by now.
    pub(in crate::upgrade) fn live(self, hash: Option<ComposeHash>) -> Self {
        let became = Became::Live {
            hash,
            at: Timestamp::now(),
        };
        Self { became, ..self }
    }

    /// Whether it is known to be carried out.
    pub(in crate::upgrade) const fn is_live(&self) -> bool {
        matches!(self.became, Became::Live { .. })
    }

    /// Whether the CVM ran it and runs something else since: the same change is another one then.
    pub(in crate::upgrade) fn is_undone(&self, runs: Option<ComposeHash>) -> bool {
        match &self.became {
            Became::Live { hash, .. } => hash.zip(runs).is_some_and(|(hash, runs)| hash != runs),
            Became::Unknown | Became::Taken { .. } => false,
        }
    }

    /// What is known of its effect: whether the server took it, and whether the CVM runs it.
    pub(in crate::upgrade) const fn effects(&self) -> (Effect, Effect) {
        match &self.became {
            Became::Unknown => (Effect::Maybe, Effect::Maybe),
            Became::Taken { .. } => (Effect::Done, Effect::Maybe),
            Became::Live { .. } => (Effect::Done, Effect::Done),
        }
    }

    /// Whether another record is of the same change of the same CVM.
    pub(in crate::upgrade) fn is_same(&self, other: &Self) -> bool {
        (&self.cvm, self.request, self.after) == (&other.cvm, other.request, other.after)
    }

    /// What the hash that the CVM runs, what is under way on it, and its latest operations, the latest first, say of it. Pure.
    pub(in crate::upgrade) fn trace(
        &self,
        runs: Option<ComposeHash>,
        under_way: Option<&Progress>,
        operations: &[Operation],
    ) -> Trace {
        if under_way.is_none() && self.after.is_some() && runs == self.after {
            return Trace::Live;
        }
        if let Became::Taken { operation: Some(id) } = &self.became {
            let place = operations
                .iter()
                .position(|one| one.correlation_id.as_ref() == Some(id));
            let (newer, own) = operations.split_at(place.unwrap_or(0));
            let own = own.first().filter(|_| place.is_some());
            return match own.and_then(|one| one.status.as_deref()) {
                Some("failed") => Trace::Nothing,
                // Something else was applied since, and runs.
                Some(_) if runs != self.before && newer.iter().any(changes_what_runs) => Trace::Nothing,
                _ => Trace::Taken(Some(id.clone())),
            };
        }
        let place = operations
            .iter()
            .position(|one| self.since.is_some() && one.correlation_id == self.since);
        let newer = match (place, &self.since) {
            (Some(place), _) => operations.split_at(place).0,
            (None, None) => operations,
            // The list does not reach back to it.
            (None, Some(_)) => &[],
        };
        let own = newer.iter().rfind(|one| changes_what_runs(one));
        match (own.map(|one| one.status.as_deref()), under_way) {
            (Some(Some("failed")), _) => Trace::Nothing,
            (Some(_), _) => Trace::Taken(own.and_then(|one| one.correlation_id.clone())),
            (None, Some(progress)) => Trace::Taken(progress.correlation_id.clone()),
            (None, None) => Trace::Nothing,
        }
    }
}

/// Whether an operation may have been the change; the server's names for types are its own.
fn changes_what_runs(operation: &Operation) -> bool {
    let kind = operation.operation_type.as_deref().unwrap_or_default();
    kind.contains("update") || kind.contains("compose")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn meant() -> Applying {
        Applying {
            schema: 1,
            cvm: "cvm".to_owned(),
            request: B256::repeat_byte(1),
            before: Some(ComposeHash::new([1; 32])),
            after: Some(ComposeHash::new([2; 32])),
            at: Timestamp::UNIX_EPOCH,
            since: Some("before".to_owned()),
            became: Became::Unknown,
        }
    }

    fn runs(hash: u8) -> Option<ComposeHash> {
        Some(ComposeHash::new([hash; 32]))
    }

    fn progress(id: &str) -> Progress {
        Progress {
            target: None,
            correlation_id: Some(id.to_owned()),
        }
    }

    fn operations(all: &[(&str, &str, &str)]) -> Vec<Operation> {
        let one = |(id, kind, status): &(&str, &str, &str)| json!({"correlation_id": id, "operation_type": kind, "status": status});
        serde_json::from_value(all.iter().map(one).collect()).unwrap()
    }

    #[test]
    fn what_the_cvm_runs_tells_before_its_operations_do() {
        assert_eq!(meant().trace(runs(2), None, &[]), Trace::Live);
        assert_eq!(meant().trace(runs(1), None, &[]), Trace::Nothing);
        let under_way = Trace::Taken(Some("own".to_owned()));
        assert_eq!(
            meant().trace(runs(2), Some(&progress("own")), &[]),
            under_way,
            "not over yet"
        );
        assert_eq!(meant().trace(runs(1), Some(&progress("own")), &[]), under_way);
    }

    #[test]
    fn an_answer_that_was_lost_is_known_by_the_first_change_that_followed() {
        let before = ("before", "compose_update", "completed");
        let own = ("own", "compose_update", "in_progress");
        let later = ("later", "compose_update", "completed");
        let trace = |all: &[(&str, &str, &str)]| meant().trace(runs(1), None, &operations(all));
        assert_eq!(trace(&[before]), Trace::Nothing);
        assert_eq!(trace(&[own, before]), Trace::Taken(Some("own".to_owned())));
        assert_eq!(trace(&[later, own, before]), Trace::Taken(Some("own".to_owned())));
        assert_eq!(trace(&[("r", "restart", "completed"), before]), Trace::Nothing);
        assert_eq!(trace(&[("own", "compose_update", "failed"), before]), Trace::Nothing);
        assert_eq!(trace(&[later]), Trace::Nothing, "the list does not reach back");
    }

    #[test]
    fn what_was_taken_stays_taken_and_the_same_change_is_known_again() {
        let taken = meant().taken(Some("own".to_owned()));
        assert_eq!(taken.trace(runs(1), None, &[]), Trace::Taken(Some("own".to_owned())));
        let failed = operations(&[("own", "compose_update", "failed")]);
        assert_eq!(taken.trace(runs(1), None, &failed), Trace::Nothing);
        assert!(taken.is_same(&meant()) && !taken.is_live());
        assert!(taken.clone().live(meant().after).is_live());
        let mut other = meant();
        other.request = B256::repeat_byte(2);
        assert!(!taken.is_same(&other));
    }
}
