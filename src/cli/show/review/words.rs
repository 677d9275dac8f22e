//! Words that several parts of a review use.

use crate::safe::service::links;

/// The chain by number, and by the prefix that wallets show where it is known.
pub(super) fn chain(id: u64) -> String {
    links::prefix(id).map_or_else(|| id.to_string(), |prefix| format!("{id} ({prefix})"))
}
