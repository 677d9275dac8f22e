//! Lists of the service, page by page, with bounds on everything that it could make endless.

use std::collections::BTreeSet;

use alloy::primitives::{B256, keccak256};
use serde_json::Value;

use super::error::ServiceError;

/// Largest answer that is read: a page of batches with their decoded data is larger than what other APIs send.
pub(super) const BODY: usize = 8 * 1024 * 1024;
/// Entries asked for at once. The service gives at most 200, and with their data they have to fit into [`BODY`].
pub(super) const PAGE: usize = 50;
/// By how much less is asked for where a page was too large.
pub(super) const SMALLER: usize = 10;
/// Most entries of one list that are read, before it is called absurd.
pub(super) const MAX_ENTRIES: usize = 1000;
/// Most bytes of one list that are read, all its pages together: far more than owners can have signed, and it must fit into
/// a small machine's memory.
pub(super) const MAX_LIST: usize = 32 * 1024 * 1024;
/// Most pages of one list: so many hold the most entries even where they were asked for in smaller parts.
pub(super) const MAX_PAGES: usize = 100;
/// Page, answer and list where anybody can fill the list: nothing depends on it, and it must cost nobody much.
const UNSIGNED_PAGE: usize = 10;
const UNSIGNED_BODY: usize = 1024 * 1024;
pub(super) const MAX_UNSIGNED: usize = 50;
pub(super) const MAX_UNSIGNED_PAGES: usize = 10;

/// A list to read.
pub(super) struct Pages<'a> {
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) half: Half,
}

/// Who can write what is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// Owners and their delegates, as the service says: it is read to its end, or not at all.
    Trusted,
    /// Anybody: some of it is enough.
    Unsigned,
}

impl Half {
    /// Entries asked for at once.
    const fn page(self) -> usize {
        match self {
            Self::Trusted => PAGE,
            Self::Unsigned => UNSIGNED_PAGE,
        }
    }
    /// Largest page that is read.
    pub(super) const fn body(self) -> usize {
        match self {
            Self::Trusted => BODY,
            Self::Unsigned => UNSIGNED_BODY,
        }
    }
}

/// What was read of a list.
pub(super) struct Listed<T> {
    pub(super) entries: Vec<T>,
    /// Entries asked for at once.
    pub(super) page: usize,
    /// Pages read, and their bytes.
    pages: usize,
    bytes: usize,
    /// Hashes of the entries' texts.
    seen: BTreeSet<B256>,
    /// How many there are, as the service counts them.
    pub(super) count: Option<u64>,
    /// Why no more was read.
    pub(super) ended: Result<(), ServiceError>,
}

/// Why a list is not read on although it goes on.
pub(super) enum Endless {
    /// A page holds nothing that the pages before it do not.
    NothingNew,
    /// A bound is reached: how many of what.
    Bound(usize, &'static str),
}

impl<T> Listed<T> {
    /// Nothing yet.
    pub(super) const fn new(half: Half) -> Self {
        Self {
            entries: Vec::new(),
            page: half.page(),
            pages: 0,
            bytes: 0,
            seen: BTreeSet::new(),
            count: None,
            ended: Ok(()),
        }
    }
    /// Counts a page of so many bytes that another one is said to follow, once its entries were taken in; whether that one is
    /// wanted.
    pub(super) fn counts(&mut self, half: Half, page: &[Value], bytes: usize) -> Result<bool, Endless> {
        let known = self.seen.len();
        self.seen.extend(page.iter().map(|entry| keccak256(entry.to_string())));
        if self.seen.len() == known {
            return Err(Endless::NothingNew);
        }
        self.pages += 1;
        self.bytes += bytes;
        match half {
            Half::Unsigned => {
                self.entries.truncate(MAX_UNSIGNED);
                Ok(self.entries.len() < MAX_UNSIGNED && self.pages < MAX_UNSIGNED_PAGES)
            }
            Half::Trusted if self.entries.len() >= MAX_ENTRIES => Err(Endless::Bound(MAX_ENTRIES, "entries")),
            Half::Trusted if self.pages >= MAX_PAGES => Err(Endless::Bound(MAX_PAGES, "pages")),
            Half::Trusted if self.bytes >= MAX_LIST => Err(Endless::Bound(MAX_LIST, "bytes")),
            Half::Trusted => Ok(true),
        }
    }
    /// All of it.
    pub(super) fn finished(self) -> Result<Vec<T>, ServiceError> {
        self.ended.map(|()| self.entries)
    }
}
