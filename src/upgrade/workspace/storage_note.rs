//! What `safe check` and `app check` found of a contract's storage last: one small file a contract, beside this machine's
//! record of signatures, so that whoever plans or signs later is told and asks no history again.
//!
//! It is a note and no proof: a file that is missing or cannot be read says nothing. A Safe's storage is proved again
//! whenever something is to be signed for it, by what its functions name and what its history told then.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use jiff::Timestamp;

use crate::chain::{
    BlockRef, Chain, ChainError,
    closed::{StorageCheck, StorageFound},
    timelock::TimelockRead,
};
use crate::fsutil::{self, FsError};
use crate::safe::{
    info::{SafeInfo, Trust, approved_hash_slot},
    slots::{check_named_storage, with_known_code},
    standing::StandingApproval,
};
use crate::upgrade::{
    World,
    checks::new_owner::NewOwner,
    model::storage_note::{SCHEMA, StorageNote, Storages},
};

/// The folder of these files, beside the record of signatures.
const FOLDER: &str = "checked";
/// Longest file that is read: as many slots as are asked for of one contract fit in.
const MAX_BYTES: u64 = 1 << 20;
/// How long a storage that was proved to be closed counts as such, seconds: for the commands that follow each other. What
/// hides in one was written when the contract was made, or by a call that its owners agreed to since.
const CLOSED_FOR: i64 = 3600;

impl StorageNote {
    /// Remembers it, unless what was found before stands. `record` is this machine's record of signatures, beside which the
    /// file stands.
    ///
    /// # Errors
    /// The disk said no.
    pub fn keep(&self, record: &Path) -> Result<(), FsError> {
        let last = Self::last(record, self.chain_id, self.contract);
        let stands = last.as_ref().is_some_and(|last| !self.replaces(last));
        if stands || matches!(self.found, StorageCheck::NotChecked { .. }) {
            return Ok(());
        }
        // A doubt that was found again rests on everybody by whom it was.
        let mut kept = self.clone();
        for before in last.into_iter().filter(|last| self.doubt().and(last.doubt()).is_some()) {
            kept.by.extend(before.by);
            kept.by.sort_unstable();
            kept.by.dedup();
        }
        let path = place(record, self.chain_id, self.contract);
        if let Some(folder) = path.parent() {
            fsutil::create_private_dir(folder)?;
        }
        let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        fsutil::write(&path, &text, 0o600)
    }

    /// What was found of a contract last on this machine, if that can be read.
    pub fn last(record: &Path, chain_id: u64, contract: Address) -> Option<Self> {
        let text = fsutil::read(&place(record, chain_id, contract), MAX_BYTES).ok()?;
        let read: Self = serde_json::from_slice(&text).ok()?;
        (read.schema == SCHEMA && (read.chain_id, read.contract) == (chain_id, contract)).then_some(read)
    }

    /// Whether it says of a moment ago that nothing hides there.
    fn is_newly_closed(&self) -> bool {
        let age = Timestamp::now().as_second().saturating_sub(self.at.as_second());
        self.is_closed() && (0..CLOSED_FOR).contains(&age)
    }

    const fn is_closed(&self) -> bool {
        matches!(self.found, StorageCheck::Closed { .. })
    }
}

/// What is known of a contract's storage by what its functions name and what the last reading of its history told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownStorage {
    /// It holds nothing else.
    Closed,
    /// The contract's code is no release that this build knows, so nobody knows what stands where; that it is other code is a
    /// finding of its own.
    OtherCode,
    /// It holds something else.
    Open(Box<StorageNote>),
    /// Nobody knows: a sentence.
    NotChecked(String),
}

/// A contract whose storage is judged.
struct Judged {
    chain_id: u64,
    contract: Address,
    block: BlockRef,
    /// What this machine found last.
    last: Option<StorageNote>,
    /// What the contract is, and what it may hide, for people.
    kind: &'static str,
    secret: &'static str,
    /// The command that reads its history; nothing where none does.
    reads_history: Option<String>,
}

/// Proves what can be proved of a Safe's storage without reading its history. One round trip, none within an hour after the
/// last that was kept; `record` is this machine's record of signatures. With it what was newly found, for whoever keeps it
/// ([`StorageNote::keep`]). Where owners approved one of the `known` hashes on chain is no secret of the storage.
///
/// # Errors
/// See [`ChainError`].
pub async fn safe_storage(
    chain: &Chain,
    record: Option<&Path>,
    info: &SafeInfo,
    known: &[B256],
) -> Result<(KnownStorage, Option<StorageNote>), ChainError> {
    let judged = Judged {
        chain_id: info.chain_id,
        contract: info.address,
        block: info.block,
        last: record.and_then(|record| StorageNote::last(record, info.chain_id, info.address)),
        kind: "Safe",
        secret: "a module or an owner",
        reads_history: Some(format!("safe check {} --chain-id {}", info.address, info.chain_id)),
    };
    if judged.is_newly_closed() {
        return Ok((KnownStorage::Closed, None));
    }
    let mut told = judged.told();
    let approvals = |hash: &B256| {
        info.owners
            .iter()
            .map(|owner| approved_hash_slot(*owner, *hash))
            .collect::<Vec<_>>()
    };
    told.extend(known.iter().flat_map(approvals));
    let found = check_named_storage(chain, info, &told).await?;
    let by = chain.believed();
    Ok(judged.known(found.map(|check| StorageFound { check, told, by })))
}

/// Proves what can be proved of the storage of a timelock whose code is known, by what was `read` of its roles and
/// operations. One round trip at most, none within an hour after the last that was kept; `record` is this machine's
/// record of signatures, `app` an app that the timelock owns. With it what was newly found, for whoever keeps it
/// ([`StorageNote::keep`]).
///
/// # Errors
/// See [`ChainError`].
pub async fn timelock_storage(
    chain: &Chain,
    record: Option<&Path>,
    read: &TimelockRead,
    app: Option<Address>,
) -> Result<(KnownStorage, Option<StorageNote>), ChainError> {
    let judged = Judged {
        chain_id: chain.id(),
        contract: read.info.address,
        block: read.info.block,
        last: record.and_then(|record| StorageNote::last(record, chain.id(), read.info.address)),
        kind: "timelock",
        secret: "a role or an operation",
        reads_history: app.map(|app| format!("app check {app} --chain-id {}", chain.id())),
    };
    if read.info.known_release().is_none() {
        return Ok((KnownStorage::OtherCode, None));
    }
    if judged.is_newly_closed() {
        return Ok((KnownStorage::Closed, None));
    }
    let found = chain.timelock_storage_as_read(read, &judged.told()).await?;
    Ok(judged.known(found))
}

impl Judged {
    fn is_newly_closed(&self) -> bool {
        self.last.as_ref().is_some_and(StorageNote::is_newly_closed)
    }

    fn told(&self) -> Vec<B256> {
        self.last.as_ref().map_or_else(Vec::new, |last| last.told.clone())
    }

    /// What `found` means beside what was found last; it is nothing where only the history could tell.
    fn known(self, found: Option<StorageFound>) -> (KnownStorage, Option<StorageNote>) {
        let Self {
            chain_id,
            contract,
            block,
            last,
            ..
        } = &self;
        let standing = last.as_ref().map_or_else(Vec::new, |last| last.standing.clone());
        let note = found.map(|found| StorageNote::now(*chain_id, *contract, *block, found).with_approvals(standing));
        let doubt = last.clone().filter(|last| last.doubt().is_some());
        match (note, doubt) {
            (Some(note), Some(last)) if note.is_closed() && !note.replaces(&last) => {
                (KnownStorage::Open(Box::new(last)), None)
            }
            (Some(note), _) if note.is_closed() => (KnownStorage::Closed, Some(note)),
            (Some(note), _) if note.doubt().is_some() => (KnownStorage::Open(Box::new(note.clone())), Some(note)),
            (_, Some(last)) => (KnownStorage::Open(Box::new(last)), None),
            (note, None) => (KnownStorage::NotChecked(self.not_checked(note.as_ref())), None),
        }
    }

    fn not_checked(&self, note: Option<&StorageNote>) -> String {
        let Self {
            contract, kind, secret, ..
        } = self;
        let why = match note.map(|note| &note.found) {
            Some(StorageCheck::NotChecked { why }) => why.clone(),
            _ => {
                let since = self.last.as_ref();
                let since = since.map_or_else(String::new, |last| format!(" since block {}", last.block.number));
                let how = self.reads_history.as_ref();
                let how = how.map_or_else(String::new, |how| format!(" (`countersign {how}`)"));
                format!("there is something in it{since} that only its history can tell{how}")
            }
        };
        format!("whether the storage of the {kind} {} hides {secret}: {why}", contract)
    }
}

/// The approvals that count for a Safe as it is now, by what was found of its storage last. `is_owner`: it owns another Safe.
pub fn standing_approvals(record: Option<&Path>, info: &SafeInfo, is_owner: bool) -> Vec<StandingApproval> {
    let last = record.and_then(|record| StorageNote::last(record, info.chain_id, info.address));
    last.map_or_else(Vec::new, |note| note.counted(&info.owners, is_owner))
}

impl World<'_> {
    /// What this machine found last of an app's storage.
    pub(in crate::upgrade) fn app_storage(&self, chain_id: u64, app: Address) -> Storages {
        let last = self.record.and_then(|record| StorageNote::last(record, chain_id, app));
        Storages {
            doubts: last.filter(|note| note.doubt().is_some()).into_iter().collect(),
            ..Storages::default()
        }
    }

    /// What is known of the storage of a Safe, and of the Safes that own it. `known`: hashes whose approval on chain is known
    /// of. One round trip for each.
    pub(in crate::upgrade) async fn safe_storages(
        &self,
        chain: &Chain,
        safe: &SafeInfo,
        known: &[B256],
    ) -> Result<Storages, ChainError> {
        let mut found = Storages::default();
        for info in with_known_code(chain, safe, &Trust::default()).await? {
            found.take(safe_storage(chain, self.record, &info, known).await?);
            let standing = standing_approvals(self.record, &info, info.address != safe.address);
            found
                .standing
                .extend(standing.into_iter().map(|one| (info.address, one)));
        }
        Ok(found)
    }

    /// What is known of the storage of a timelock. One round trip.
    pub(in crate::upgrade) async fn timelock_storage(
        &self,
        chain: &Chain,
        read: &TimelockRead,
        app: Option<Address>,
    ) -> Result<Storages, ChainError> {
        let mut found = Storages::default();
        found.take(timelock_storage(chain, self.record, read, app).await?);
        Ok(found)
    }

    /// What is known of the storage of whoever an app is given to.
    pub(in crate::upgrade) async fn new_owner_storages(
        &self,
        chain: &Chain,
        new_owner: &NewOwner,
    ) -> Result<Storages, ChainError> {
        let mut found = Storages::default();
        if let Some(safe) = &new_owner.safe {
            found.add(self.safe_storages(chain, safe, &[]).await?);
        }
        if let Some(read) = &new_owner.timelock {
            found.add(self.timelock_storage(chain, read, None).await?);
        }
        Ok(found)
    }

    /// Remembers what was newly found. Where it cannot be kept it is proved again.
    pub(in crate::upgrade) fn keep_storages(&self, found: &Storages) {
        for note in &found.newly {
            if let Some(Err(error)) = self.record.map(|record| note.keep(record)) {
                tracing::info!(%error, "what was found of the storage is not kept");
            }
        }
    }
}

impl Storages {
    fn take(&mut self, known: (KnownStorage, Option<StorageNote>)) {
        let (storage, note) = known;
        self.newly.extend(note);
        match storage {
            KnownStorage::Closed | KnownStorage::OtherCode => {}
            KnownStorage::Open(note) => self.doubts.push(*note),
            KnownStorage::NotChecked(what) => self.not_checked.push(what),
        }
    }
}

fn place(record: &Path, chain_id: u64, contract: Address) -> PathBuf {
    let name = format!("{chain_id}-{}.json", hex::encode(contract));
    record.with_file_name(FOLDER).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::closed::Word;
    use alloy::primitives::B256;

    const CHAIN: u64 = 8453;
    const OF: Address = Address::repeat_byte(0x5a);

    fn found(check: StorageCheck) -> StorageNote {
        let told = vec![B256::repeat_byte(3)];
        let by = vec!["http://one".to_owned(), "http://two".to_owned()];
        StorageNote::now(CHAIN, OF, BlockRef::default(), StorageFound { check, told, by })
    }

    #[test]
    fn what_was_found_is_found_again_and_not_knowing_takes_nothing_back() {
        let home = tempfile::tempdir().unwrap();
        let record = home.path().join("countersign/signed");
        assert_eq!(StorageNote::last(&record, CHAIN, OF), None);
        let rests_on = Word::Block;
        let open = found(StorageCheck::NotClosed { slots: 3, rests_on });
        open.keep(&record).unwrap();
        assert_eq!(StorageNote::last(&record, CHAIN, OF), Some(open.clone()));
        assert!(open.doubt().unwrap().contains(&OF.to_string()));
        let why = "no proof".to_owned();
        found(StorageCheck::NotChecked { why }).keep(&record).unwrap();
        assert_eq!(StorageNote::last(&record, CHAIN, OF), Some(open));
        let rests_on = Word::Endpoints {
            endpoints: vec!["http://one".to_owned()],
        };
        let closed = found(StorageCheck::Closed { slots: 4, rests_on });
        // One of the two alone, or another one, does not take the doubt back; both of them and more do.
        for by in [vec![], vec!["http://two".to_owned()], vec!["http://three".to_owned()]] {
            let fewer = StorageNote { by, ..closed.clone() };
            fewer.keep(&record).unwrap();
            assert!(StorageNote::last(&record, CHAIN, OF).unwrap().doubt().is_some());
        }
        closed.keep(&record).unwrap();
        assert_eq!(StorageNote::last(&record, CHAIN, OF), Some(closed.clone()));
        assert_eq!(closed.doubt(), None);
        // Another contract's file at this place, and one that is none, say nothing.
        let path = place(&record, CHAIN, OF);
        let text = String::from_utf8(fsutil::read(&path, MAX_BYTES).unwrap()).unwrap();
        for bad in [text.replace("8453", "1"), text.replace('{', "["), String::new()] {
            fsutil::write(&path, bad.as_bytes(), 0o600).unwrap();
            assert_eq!(StorageNote::last(&record, CHAIN, OF), None);
        }
    }
}
