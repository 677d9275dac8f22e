//! The API's released versions: which one is asked for, and what a server makes of that.
//!
//! The newest that this program knows is asked for. A server that refuses it says so before it does anything, and the same
//! request goes out again in the version before. Whatever a server answers with, records are read by the places where any
//! version has a value.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use reqwest::header::HeaderName;

use super::error::{CloudError, Problem};
use crate::http::Answer;
use crate::text::shorten;

/// The header that names the version, in questions and answers.
pub(super) const VERSION: HeaderName = HeaderName::from_static("x-phala-version");

/// Longest name of a version that is kept, characters.
const LONGEST: usize = 64;

/// The API's released versions, as `X-Phala-Version` names them, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ApiVersion {
    /// 2025-10-28: flat CVM records.
    V20251028,
    /// 2026-01-21: nested CVM records, ids of orders and checks are numbers.
    V20260121,
    /// 2026-05-22: every id is a text (`cvm_…`, `kms_…`).
    V20260522,
    /// 2026-06-23: KMSs by their contract (`kc_…`), their nodes below it.
    V20260623,
}

/// What a client and all that share this learnt of the versions that a server speaks; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spoken(Arc<Heard>);

#[derive(Debug, Default)]
struct Heard {
    /// One bit for each version that was refused.
    refused: AtomicU8,
    /// A version that this program does not know, as the server names it.
    unknown: OnceLock<String>,
}

impl ApiVersion {
    /// Every version, the newest first.
    pub const ALL: [Self; 4] = [Self::V20260623, Self::V20260522, Self::V20260121, Self::V20251028];
    /// The newest one.
    pub const NEWEST: Self = Self::V20260623;

    /// As `X-Phala-Version` names it.
    pub const fn text(self) -> &'static str {
        match self {
            Self::V20251028 => "2025-10-28",
            Self::V20260121 => "2026-01-21",
            Self::V20260522 => "2026-05-22",
            Self::V20260623 => "2026-06-23",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::V20251028 => 1,
            Self::V20260121 => 2,
            Self::V20260522 => 4,
            Self::V20260623 => 8,
        }
    }
}

impl Spoken {
    /// The newest version up to `most` that was not refused; without one, `most` itself.
    pub(super) fn best(&self, most: ApiVersion) -> ApiVersion {
        self.up_to(most).unwrap_or(most)
    }

    /// Writes down that a version was refused; gives the one to ask for instead.
    pub(super) fn refuse(&self, version: ApiVersion) -> Option<ApiVersion> {
        self.0.refused.fetch_or(version.bit(), Ordering::Relaxed);
        self.up_to(version)
    }

    fn up_to(&self, most: ApiVersion) -> Option<ApiVersion> {
        let refused = self.0.refused.load(Ordering::Relaxed);
        let spoken = |version: &ApiVersion| *version <= most && refused & version.bit() == 0;
        ApiVersion::ALL.into_iter().find(spoken)
    }

    /// The version of an answer, where it names one that this program does not know; escaped.
    pub(crate) fn unknown(&self) -> Option<&str> {
        self.0.unknown.get().map(String::as_str)
    }

    /// Takes in what an answer says of its own version.
    pub(super) fn hear(&self, answer: &Answer) {
        let Some(said) = answer.header(VERSION.as_str()) else {
            return;
        };
        if !said.is_empty() && ApiVersion::ALL.iter().all(|version| version.text() != said) {
            let _known = self.0.unknown.set(shorten(said, LONGEST));
        }
    }
}

/// Whether a server refuses the version that was asked for, so that nothing was done. No client or document shows such an
/// answer: a header that FastAPI refuses is named in its list (422), and any other refusal of it (400, 406) is taken to name
/// the header as well.
pub(super) fn is_refused(error: &CloudError) -> bool {
    matches!(error, CloudError::Refused(problem) if matches!(problem.status, 400 | 406 | 422) && names_version(problem))
}

fn names_version(problem: &Problem) -> bool {
    let mut said = std::iter::once(&problem.message).chain(&problem.suggestions);
    said.any(|text| text.to_ascii_lowercase().contains(VERSION.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{client, cvm_id, patch};
    use super::super::*;
    use crate::http::fake::{self, Act, Fake, Seen};

    /// A client that may ask for anything.
    fn newest(fake: &Fake) -> Client {
        let mut client = client(fake);
        client.options.version = ApiVersion::NEWEST;
        client
    }

    /// The versions that were asked for, in their order.
    fn asked(fake: &Fake) -> Vec<String> {
        let version = |seen: &Seen| seen.header("x-phala-version").unwrap().to_owned();
        fake.seen().iter().map(version).collect()
    }

    /// A server that speaks no version after `newest`, and refuses others with this status and body.
    async fn speaking(newest: &'static str, status: u16, body: &'static str) -> Fake {
        Fake::serve(move |_, seen| {
            let spoken = seen.header("x-phala-version").unwrap() <= newest;
            let record = r#"{"name": "web", "status": "running"}"#;
            Act::Say(if spoken {
                fake::json(200, record)
            } else {
                fake::json(status, body)
            })
        })
        .await
    }

    const LISTED: &str =
        r#"{"detail":[{"loc":["header","x-phala-version"],"msg":"Unsupported","type":"value_error"}]}"#;
    const PLAIN: &str = r#"{"detail":"Unsupported X-Phala-Version"}"#;
    const CODED: &str =
        r#"{"error_code":"ERR-09-001","message":"unsupported","suggestions":["Send another X-Phala-Version"]}"#;

    #[tokio::test]
    async fn the_newest_version_is_asked_for_and_an_older_one_where_the_server_refuses_it() {
        for (status, body) in [(422, LISTED), (400, PLAIN), (406, CODED)] {
            let fake = speaking("2026-01-21", status, body).await;
            let client = newest(&fake);
            assert_eq!(client.cvm(&cvm_id()).await.unwrap().name.as_deref(), Some("web"));
            assert_eq!(asked(&fake), ["2026-06-23", "2026-05-22", "2026-01-21"], "{body}");
            client.clone().cvm(&cvm_id()).await.unwrap();
            assert_eq!(asked(&fake).len(), 4, "what was refused once is not asked for again");
        }
    }

    #[tokio::test]
    async fn an_order_goes_out_again_whole_where_its_version_was_refused_and_never_otherwise() {
        let fake = speaking("2026-05-22", 400, PLAIN).await;
        let _answer = newest(&fake).prepare(&cvm_id(), &patch()).await.unwrap();
        let seen = fake.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].body, seen[1].body);
        assert_eq!(seen[1].header("x-prepare-only"), Some("true"));
        for other in [r#"{"detail":"Invalid compose file"}"#, "<html>", ""] {
            let fake = Fake::always(400, other).await;
            let answer = newest(&fake).prepare(&cvm_id(), &patch()).await.unwrap();
            assert!(matches!(answer.read(), Err(CloudError::Refused(_))), "{other}");
            assert_eq!(fake.seen().len(), 1, "{other}");
        }
    }

    #[tokio::test]
    async fn a_server_that_speaks_none_of_them_is_asked_once_for_each_and_its_last_word_is_the_error() {
        let fake = Fake::always(422, LISTED).await;
        let error = newest(&fake).cvm(&cvm_id()).await.unwrap_err();
        assert!(
            error.to_string().contains("header.x-phala-version: Unsupported"),
            "{error}"
        );
        assert_eq!(asked(&fake), ["2026-06-23", "2026-05-22", "2026-01-21", "2025-10-28"]);
    }

    #[tokio::test]
    async fn a_version_that_nobody_knows_yet_is_read_as_far_as_it_goes_and_named() {
        let record =
            json!({"id": {"new": 1}, "name": "web", "status": "running", "kms_info": {"chain_id": 8453}, "new": []});
        let body = record.to_string();
        let answer = fake::answer(200, "X-Phala-Version: 2027-02-01\r\n", body.as_bytes());
        let fake = Fake::serve(move |_, _| Act::Say(answer.clone())).await;
        let spoken = Spoken::default();
        let client = newest(&fake).sharing(spoken.clone());
        let cvm = client.cvm(&cvm_id()).await.unwrap();
        assert_eq!((cvm.name.as_deref(), cvm.kms.chain_id), (Some("web"), Some(8453)));
        assert_eq!(spoken.unknown(), Some("2027-02-01"));
        // One that is known is nothing to speak of.
        let answer = fake::answer(200, "X-Phala-Version: 2025-10-28\r\n", b"{}");
        let fake = Fake::serve(move |_, _| Act::Say(answer.clone())).await;
        let client = newest(&fake).sharing(Spoken::default());
        client.cvm(&cvm_id()).await.unwrap();
        assert_eq!(client.unknown_version(), None);
    }
}
