//! What differs between two manifests, for machines by field and for people by line.
//!
//! Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::canonical;
use crate::text::escape_lines;

/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 3;

/// One manifest field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Field name at the manifest's top level.
    pub field: String,
    /// Value before; `None` when the field was absent.
    pub before: Option<Value>,
    /// Value after; `None` when the field is gone.
    pub after: Option<Value>,
}

impl FieldChange {
    /// The difference as unified text lines (`-` before, `+` after), for people: what a terminal would obey or
    /// hide (control and bidirectional characters) is written as `\u{…}`.
    pub fn text_diff(&self) -> String {
        text(self)
    }
}

/// After this long, a difference that is right is shown, though a shorter one may exist.
const LONGEST_SEARCH: Duration = Duration::from_secs(1);

/// Fields that differ as the hash sees them: `2` and `2.0` are one number.
pub(super) fn fields(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<FieldChange> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name).map(canonical::value_text) != after.get(*name).map(canonical::value_text))
        .map(|name| FieldChange {
            field: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

/// Unified lines of one field.
pub(super) fn text(change: &FieldChange) -> String {
    let (before, after) = (content(change.before.as_ref()), content(change.after.as_ref()));
    // Only LF ends a line: a CR is content that has to be seen.
    let (old, new): (Vec<&str>, Vec<&str>) = (
        before.split_inclusive('\n').collect(),
        after.split_inclusive('\n').collect(),
    );
    let diff = similar::TextDiff::configure()
        .newline_terminated(true)
        .timeout(LONGEST_SEARCH)
        .diff_slices(&old, &new);
    escape_lines(
        &diff
            .unified_diff()
            .context_radius(CONTEXT_LINES)
            .missing_newline_hint(true)
            .to_string(),
    )
}

/// A string as it is, anything else as indented JSON.
fn content(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => format!("{other:#}\n"),
    }
}
