//! What `safe check` and `app check` found of a contract's storage last: one small file a contract, beside this machine's
//! record of signatures, so that whoever plans or signs later is told and asks no history again.
//!
//! It is a note and no proof: a file that is missing or cannot be read says nothing, and is told as not checked.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::World;
use crate::chain::{BlockRef, StorageCheck};
use crate::fsutil::{self, FsError};

/// The folder of these files, beside the record of signatures.
const FOLDER: &str = "checked";
/// Longest file that is read.
const MAX_BYTES: u64 = 16 << 10;
/// Names the format.
const SCHEMA: &str = "countersign.checked/1";

/// What was found of one contract's storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageNote {
    schema: String,
    /// Chain id.
    pub chain_id: u64,
    /// Contract.
    pub contract: Address,
    /// The block at which it was so.
    pub block: BlockRef,
    /// What was found.
    pub found: StorageCheck,
    /// When.
    pub at: Timestamp,
}

impl StorageNote {
    /// What was found of a contract just now.
    pub fn now((chain_id, contract): (u64, Address), block: BlockRef, found: StorageCheck) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            chain_id,
            contract,
            block,
            found,
            at: Timestamp::now(),
        }
    }

    /// Remembers it, unless nothing was found out: that takes nothing back. `record` is this machine's record of
    /// signatures, beside which the file stands.
    ///
    /// # Errors
    /// The disk said no.
    pub fn keep(&self, record: &Path) -> Result<(), FsError> {
        if matches!(self.found, StorageCheck::NotChecked { .. }) {
            return Ok(());
        }
        let path = place(record, (self.chain_id, self.contract));
        if let Some(folder) = path.parent() {
            fsutil::create_private_dir(folder)?;
        }
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        fsutil::write(&path, &text, 0o600)
    }

    /// What was found of a contract last on this machine, if that can be read.
    pub fn last(record: &Path, of: (u64, Address)) -> Option<Self> {
        let text = fsutil::read(&place(record, of), MAX_BYTES).ok()?;
        let read: Self = serde_json::from_slice(&text).ok()?;
        (read.schema == SCHEMA && (read.chain_id, read.contract) == of).then_some(read)
    }

    /// The doubt that it is, if it is one.
    pub fn doubt(&self) -> Option<String> {
        let StorageCheck::NotClosed { .. } = self.found else {
            return None;
        };
        Some(format!(
            "the storage of {} holds something that no function and no event of it names: a module, an owner or a hash may \
             be hidden there (read at block {})",
            self.contract, self.block.number
        ))
    }
}

impl World<'_> {
    /// What was found last of these contracts of a chain. Those that were never looked at are left out.
    pub(super) fn noted(&self, chain_id: u64, contracts: &[Address]) -> Vec<StorageNote> {
        let Some(record) = self.record else { return Vec::new() };
        let last = |contract: &Address| StorageNote::last(record, (chain_id, *contract));
        contracts.iter().filter_map(last).collect()
    }
}

fn place(record: &Path, (chain_id, contract): (u64, Address)) -> PathBuf {
    let name = format!("{chain_id}-{}.json", hex::encode(contract));
    record.with_file_name(FOLDER).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Word;

    const OF: (u64, Address) = (8453, Address::repeat_byte(0x5a));

    fn found(found: StorageCheck) -> StorageNote {
        StorageNote::now(OF, BlockRef::default(), found)
    }

    #[test]
    fn what_was_found_is_found_again_and_not_knowing_takes_nothing_back() {
        let home = tempfile::tempdir().unwrap();
        let record = home.path().join("countersign/signed");
        assert_eq!(StorageNote::last(&record, OF), None);
        let rests_on = Word::Block;
        let open = found(StorageCheck::NotClosed { slots: 3, rests_on });
        open.keep(&record).unwrap();
        assert_eq!(StorageNote::last(&record, OF), Some(open.clone()));
        assert!(open.doubt().unwrap().contains(&OF.1.to_string()));
        let why = "no proof".to_owned();
        found(StorageCheck::NotChecked { why }).keep(&record).unwrap();
        assert_eq!(StorageNote::last(&record, OF), Some(open));
        let rests_on = Word::Endpoints {
            endpoints: vec!["http://one".to_owned()],
        };
        let closed = found(StorageCheck::Closed { slots: 4, rests_on });
        closed.keep(&record).unwrap();
        assert_eq!(StorageNote::last(&record, OF), Some(closed.clone()));
        assert_eq!(closed.doubt(), None);
        // Another contract's file at this place, and one that is none, say nothing.
        let path = place(&record, OF);
        let text = String::from_utf8(fsutil::read(&path, MAX_BYTES).unwrap()).unwrap();
        for bad in [text.replace("8453", "1"), text.replace('{', "["), String::new()] {
            fsutil::write(&path, bad.as_bytes(), 0o600).unwrap();
            assert_eq!(StorageNote::last(&record, OF), None);
        }
    }
}
