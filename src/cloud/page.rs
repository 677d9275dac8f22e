//! Pages of lists. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::{self, Malformed};
use super::{Call, CloudError, Reply};

/// Which part of a list; what is not said, the server decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Page {
    /// Number of the page, from one.
    pub number: Option<u32>,
    /// Entries on a page; the server takes at most 100.
    pub size: Option<u32>,
}

/// One part of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Paged<T> {
    /// Entries of this part.
    pub items: Vec<T>,
    /// Entries of the whole list.
    pub total: Option<u64>,
    /// Number of this page, from one.
    pub page: Option<u64>,
    /// How many pages there are.
    pub pages: Option<u64>,
}

impl<T> Paged<T> {
    /// A list that is whole.
    pub fn whole(items: Vec<T>) -> Self {
        Self {
            total: u64::try_from(items.len()).ok(),
            page: Some(1),
            pages: Some(1),
            items,
        }
    }
    /// Whether another page follows.
    pub fn goes_on(&self) -> bool {
        matches!((self.page, self.pages), (Some(page), Some(pages)) if page < pages)
    }
}

impl Page {
    pub(super) fn ask(self, call: &mut Call) {
        for (name, value) in [("page", self.number), ("page_size", self.size)] {
            if let Some(value) = value {
                call.query(name, &value.to_string());
            }
        }
    }
}

impl Reply {
    /// Reads a page: an object with `items`, or a bare list.
    pub(super) fn paged<T>(
        &self,
        answer: &Value,
        read: impl Fn(&Value) -> Result<T, Malformed>,
    ) -> Result<Paged<T>, CloudError> {
        Ok(Paged {
            items: self.items(answer, read)?,
            total: read::number(answer, &["/total"]),
            page: read::number(answer, &["/page"]),
            pages: read::number(answer, &["/pages"]),
        })
    }

    /// Reads the entries of a list, bare or under `items`.
    pub(super) fn items<T>(
        &self,
        answer: &Value,
        read: impl Fn(&Value) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, CloudError> {
        let items = answer.get("items").unwrap_or(answer);
        let items = items.as_array().ok_or_else(|| self.unexpected("no list in it"))?;
        items.iter().map(|item| self.sound(read(item))).collect()
    }
}
