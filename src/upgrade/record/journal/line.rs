//! One record as a line: `{"seq","prev","kind","body","sum"}`, with `"member"` after `prev` where a fleet's journal says
//! whose it is. Pure.

use serde::{Deserialize, Serialize};

use crate::fsutil;

/// `prev` of the first record.
const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The last record's place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) sum: String,
}

/// A line whose place and sum are right; what it says has not been read.
#[derive(Debug)]
pub(super) struct Record<'l> {
    pub(super) head: Head,
    /// Whose it is, in a fleet's journal.
    pub(super) member: Option<String>,
    /// The kind and what follows it, without the sum.
    content: &'l str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    seq: u64,
    prev: String,
    member: Option<String>,
}

impl Head {
    /// Before the first record.
    pub(super) fn genesis() -> Self {
        Self {
            seq: 0,
            sum: GENESIS.to_owned(),
        }
    }

    /// The line of the next record, with its newline, and its head.
    pub(super) fn next(
        &self,
        member: Option<&str>,
        content: &impl Serialize,
    ) -> Result<(String, Self), serde_json::Error> {
        let seq = self.seq + 1;
        let content = serde_json::to_string(content)?;
        let inner = content
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or_default();
        let whose = match member {
            Some(member) => format!(r#""member":{},"#, serde_json::to_string(member)?),
            None => String::new(),
        };
        let text = format!(r#"{{"seq":{seq},"prev":"{}",{whose}{inner}"#, self.sum);
        let sum = fsutil::sum(&[&text]);
        Ok((format!("{text},\"sum\":\"{sum}\"}}\n"), Self { seq, sum }))
    }
}

impl<'l> Record<'l> {
    /// Reads the line, without its newline, that follows `before`; or why it is not the one that was written.
    pub(super) fn read(line: &'l [u8], before: &Head) -> Result<Self, &'static str> {
        let (record, prev) = Self::read_alone(line)?;
        if record.head.seq != before.seq + 1 || prev != before.sum {
            return Err("it does not follow the record before it");
        }
        Ok(record)
    }

    /// Reads a line that was found in its place before.
    pub(super) fn again(line: &'l [u8]) -> Result<Self, &'static str> {
        Self::read_alone(line).map(|(record, _)| record)
    }

    /// The record, and the sum that it says it follows.
    fn read_alone(line: &'l [u8]) -> Result<(Self, String), &'static str> {
        let text = std::str::from_utf8(line).ok().ok_or("it is not text")?;
        let (covered, sum) = text
            .strip_suffix("\"}")
            .and_then(|text| text.rsplit_once(",\"sum\":\""))
            .ok_or("it has no checksum")?;
        if fsutil::sum(&[covered]) != sum {
            return Err("its checksum is wrong");
        }
        let (link, content) = covered.split_once(",\"kind\":").ok_or("it has no kind")?;
        let link: Link = serde_json::from_str(&format!("{link}}}"))
            .ok()
            .ok_or("it has no number")?;
        let record = Self {
            head: Head {
                seq: link.seq,
                sum: sum.to_owned(),
            },
            member: link.member,
            content,
        };
        Ok((record, link.prev))
    }

    /// What it says.
    pub(super) fn content<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&format!("{{\"kind\":{}}}", self.content))
    }

    /// Whether it is of this kind.
    pub(super) fn is(&self, kind: &str) -> bool {
        let quoted = self.content.strip_prefix('"');
        let rest = quoted.and_then(|text| text.strip_prefix(kind));
        rest.is_some_and(|rest| rest.starts_with('"'))
    }

    /// The format that a first record names.
    pub(super) fn schema(&self) -> Option<u32> {
        #[derive(Deserialize)]
        struct First {
            body: Schema,
        }
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        self.content::<First>().ok().map(|first| first.body.schema)
    }
}
