//! What a CVM's environment was last replaced with where only its values changed: a record of its own, since no upgrade
//! keeps one, and what the CVM's operations say of it.
//!
//! The record is there before the request goes out. A run that heard no answer, or was cut off, is settled by the operation
//! that followed; the same values are not sent twice as long as theirs is the last change of the environment.

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cloud::lifecycle::Operation;
use crate::compose::ComposeHash;
use crate::upgrade::workspace::record_log::{Line, Records};

/// File name within the record's directory.
const FILE: &str = "values";
/// Format that this build writes and the newest that it reads.
const SCHEMA: u32 = 1;

/// One change of values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::upgrade) struct Record {
    schema: u32,
    /// The CVM, by its UUID where the cloud gives one.
    cvm: String,
    /// Compose hash that it ran.
    hash: Option<ComposeHash>,
    /// What tells the values from others, under a key that is no record.
    values: B256,
    /// Time at which the record was made.
    at: Timestamp,
    /// The CVM's latest operation before.
    after: Option<String>,
    /// Whether the server took them, as far as this record knows.
    taken: bool,
    /// The operation that does it.
    operation: Option<String>,
}

/// What the CVM's operations say of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) enum Trace {
    /// The values were taken, by this operation, and nothing changed the environment since.
    There(String),
    /// They were not taken.
    Nothing,
    /// Nobody can say: they are sent again, which does no harm but one more restart.
    Unclear,
}

/// The records of a CVM, held by this process.
pub(in crate::upgrade) type Sent = Records<Record>;

impl Line for Record {
    const FILE: &'static str = FILE;
    const SCHEMA: u32 = SCHEMA;
    fn schema(&self) -> u32 {
        self.schema
    }
}

impl Record {
    /// Values that are about to be sent.
    pub(in crate::upgrade) fn new(cvm: String, hash: Option<ComposeHash>, values: B256) -> Self {
        Self {
            schema: SCHEMA,
            cvm,
            hash,
            values,
            at: Timestamp::now(),
            after: None,
            taken: false,
            operation: None,
        }
    }

    /// Sets the CVM's latest operation before the values are sent.
    pub(in crate::upgrade) fn after(self, after: Option<String>) -> Self {
        Self { after, ..self }
    }

    /// Marks the values as taken by the server, and sets the operation that applies them.
    pub(in crate::upgrade) fn taken(self, operation: Option<String>) -> Self {
        Self {
            taken: true,
            operation,
            ..self
        }
    }

    /// Whether it is known that the server took it.
    pub(in crate::upgrade) const fn is_taken(&self) -> bool {
        self.taken
    }

    /// Whether it is about this CVM as it is now.
    pub(in crate::upgrade) fn is_about(&self, cvm: &str, hash: Option<ComposeHash>) -> bool {
        self.cvm == cvm && self.hash == hash
    }

    /// Whether another record is about the same values of the same CVM.
    pub(in crate::upgrade) fn is_same(&self, other: &Self) -> bool {
        self.is_about(&other.cvm, other.hash) && self.values == other.values
    }

    /// What the CVM's latest operations, the latest first, say of it. Pure.
    pub(in crate::upgrade) fn trace(&self, operations: &[Operation]) -> Trace {
        let newer = match &self.after {
            None => operations,
            Some(after) => match operations
                .iter()
                .position(|one| one.correlation_id.as_ref() == Some(after))
            {
                Some(place) => operations.split_at(place).0,
                None => return Trace::Unclear,
            },
        };
        let changes: Vec<&Operation> = newer.iter().filter(|one| touches_environment(one)).collect();
        let own = match (&self.operation, changes.as_slice()) {
            (Some(id), [latest, ..]) if latest.correlation_id.as_ref() == Some(id) => latest,
            (None, []) if !self.taken => return Trace::Nothing,
            (None, [only]) => only,
            _ => return Trace::Unclear,
        };
        match (own.status.as_deref(), &own.correlation_id) {
            (Some("failed"), _) => Trace::Nothing,
            (_, Some(id)) => Trace::There(id.clone()),
            (_, None) => Trace::Unclear,
        }
    }
}

/// Whether an operation may have replaced the environment; the server's names for types are its own.
fn touches_environment(operation: &Operation) -> bool {
    let kind = operation.operation_type.as_deref().unwrap_or_default();
    kind.contains("env") || kind == "compose_update"
}

/// Where the records of a CVM are below `root`.
pub(in crate::upgrade) fn folder(root: &Path, cvm: &str) -> PathBuf {
    root.join(format!("{cvm}-values"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fsutil;
    use crate::upgrade::{
        UpgradeError,
        journal_error::JournalError,
        workspace::record_log::{LONG, MAX},
    };

    fn record() -> Record {
        Record::new("cvm".to_owned(), None, B256::repeat_byte(7)).after(Some("before".to_owned()))
    }

    fn operation(id: &str, kind: &str, status: &str) -> Operation {
        serde_json::from_value(json!({"correlation_id": id, "operation_type": kind, "status": status})).unwrap()
    }

    fn trace(record: &Record, kinds: &[(&str, &str, &str)]) -> Trace {
        let list: Vec<_> = kinds
            .iter()
            .map(|(id, kind, status)| operation(id, kind, status))
            .collect();
        record.trace(&list)
    }

    #[test]
    fn an_answer_that_was_lost_is_known_by_the_operation_that_followed() {
        let there = |id: &str| Trace::There(id.to_owned());
        let before = ("before", "power_on", "completed");
        let own = ("own", "envs_update", "in_progress");
        assert_eq!(trace(&record(), &[before]), Trace::Nothing);
        assert_eq!(trace(&record(), &[own, before]), there("own"));
        assert_eq!(
            trace(&record(), &[("r", "restart", "completed"), own, before]),
            there("own")
        );
        assert_eq!(
            trace(&record(), &[("own", "envs_update", "failed"), before]),
            Trace::Nothing
        );
        // Two, or a list that does not reach back far enough: nobody can say which.
        assert_eq!(
            trace(&record(), &[("o", "compose_update", "completed"), own, before]),
            Trace::Unclear
        );
        assert_eq!(trace(&record(), &[own]), Trace::Unclear);
        assert_eq!(trace(&record(), &[]), Trace::Unclear);
        assert_eq!(trace(&record().after(None), &[own]), there("own"));
        assert_eq!(trace(&record().after(None), &[]), Trace::Nothing);
    }

    #[test]
    fn values_that_were_taken_are_there_until_something_else_changes_the_environment() {
        let taken = record().taken(Some("own".to_owned()));
        let before = ("before", "power_on", "completed");
        let own = ("own", "envs_update", "completed");
        assert_eq!(trace(&taken, &[own, before]), Trace::There("own".to_owned()));
        assert_eq!(
            trace(&taken, &[("r", "restart", "failed"), own, before]),
            Trace::There("own".to_owned())
        );
        assert_eq!(
            trace(&taken, &[("o", "envs_update", "completed"), own, before]),
            Trace::Unclear
        );
        assert_eq!(trace(&taken, &[before]), Trace::Unclear);
        assert_eq!(
            trace(&record().taken(None), &[before]),
            Trace::Unclear,
            "a server that named no operation"
        );
    }

    #[test]
    fn records_survive_a_torn_tail_and_refuse_damage() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("x-values");
        assert_eq!(Sent::peek(&place).unwrap(), None);
        let mut sent = Sent::hold(&place).unwrap();
        assert_eq!(sent.last(), None);
        sent.write(record()).unwrap();
        assert!(
            matches!(Sent::hold(&place), Err(UpgradeError::Journal(JournalError::Hold(_)))),
            "held"
        );
        sent.write(record().taken(Some("own".to_owned()))).unwrap();
        drop(sent);
        let bytes = fsutil::read(&place.join(FILE), MAX).unwrap();
        let first = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in [first, first + 1, bytes.len() - 1] {
            fsutil::write(&place.join(FILE), bytes.split_at(cut).0, 0o600).unwrap();
            let mut sent = Sent::hold(&place).unwrap();
            assert_eq!(sent.last().map(|record| record.taken), Some(false), "{cut}");
            sent.write(record()).unwrap();
            drop(sent);
            assert!(Sent::peek(&place).unwrap().is_some(), "{cut}");
        }
        fsutil::write(&place.join(FILE), b"{}\n", 0o600).unwrap();
        let damaged = Sent::peek(&place).unwrap_err();
        assert!(
            matches!(damaged, UpgradeError::Journal(JournalError::Damaged { record: 1, .. })),
            "{damaged}"
        );
        let newer = serde_json::to_string(&Record { schema: 2, ..record() }).unwrap();
        fsutil::write(&place.join(FILE), format!("{newer}\n").as_bytes(), 0o600).unwrap();
        assert!(matches!(
            Sent::peek(&place),
            Err(UpgradeError::Journal(JournalError::Newer { found: 2, .. }))
        ));
    }

    #[test]
    fn a_long_list_of_records_is_shortened_to_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let last = record();
        let line = serde_json::to_string(&last).unwrap();
        let many = format!("{line}\n").repeat(LONG / line.len() + 1);
        fsutil::write(&dir.path().join(FILE), many.as_bytes(), 0o600).unwrap();
        assert_eq!(Sent::hold(dir.path()).unwrap().last(), Some(&last));
        assert!(fsutil::read(&dir.path().join(FILE), MAX).unwrap().len() < line.len() * 2);
    }
}
