//! The client against a server that answers as each case asks. What the service really does is simulated with the
//! integration tests; here stand the shapes, the faults and the bytes of the requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alloy::primitives::{address, b256};
use serde_json::json;

use super::super::{Intent, OwnerSignature, SafeDomain, SafeTx, approvals::SignatureSet, version::SafeVersion};
use super::delegates::MAX_OWNERS;
use super::list::{BODY, MAX_ENTRIES, MAX_LIST, MAX_PAGES, MAX_UNSIGNED, MAX_UNSIGNED_PAGES, PAGE};
use super::*;
use crate::chain::Call;
use crate::http::fake::{Act, Fake, Seen, answer, json as said};
use crate::http::{Kind, Limits, RetryPolicy};

pub(super) const SAFE: Address = Address::repeat_byte(0x22);
pub(super) const TO: Address = Address::repeat_byte(0x11);
pub(super) const HASH: B256 = b256!("2c4a1da8f4ec2ccd79cd520c8ee06119e7b5812006167ae13ac693834860368a");
pub(super) const DOMAIN: SafeDomain = SafeDomain {
    chain_id: 8453,
    safe: SAFE,
    version: SafeVersion::V1_4_1,
};
/// The first two accounts of every anvil.
pub(super) const SIGNERS: [Address; 2] = [
    address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("70997970C51812dc3A010C7d01b50e0d17dc79C8"),
];
/// Their signatures of [`HASH`].
pub(super) const SIGNATURES: [&str; 2] = [
    "0xaa26e53043f0a2d2fc7c8ed6345384f7e0cc25939823ad00068892ed3525cbdb07c72cdc1d10c2b3c486318015c3606133b3c98a8616aea4b1865c5c019a2a1c1b",
    "0x51fb0df535d40d3059b7dcdc0e860b681867c4e82613c53d5064f8afecb5fb0e6b2dcc9373aacfc941d539283fd19e6990f3b2484963ea3ca6bdb91302699fd01b",
];
const KEY: &str = "eyJhbGciOiJIUzI1NiJ9.canary.0123456789";

fn data() -> String {
    format!("0xdfc77223{}", "ab".repeat(32))
}

/// The record of a transaction as the service (v2) sends it, with one confirmation.
pub(super) fn record() -> Value {
    json!({
        "safe": SAFE.to_string(), "to": TO.to_string(), "value": "0", "data": data(), "operation": 0,
        "gasToken": Address::ZERO, "safeTxGas": "0", "baseGas": "0", "gasPrice": "0",
        "refundReceiver": Address::ZERO, "nonce": "7", "executionDate": null,
        "submissionDate": "2026-11-21T10:00:00.000000Z", "modified": "2026-11-21T10:00:00.000000Z",
        "blockNumber": null, "transactionHash": null, "safeTxHash": HASH, "proposer": SIGNERS[0].to_string(),
        "proposedByDelegate": null, "executor": null, "isExecuted": false, "isSuccessful": null,
        "ethGasPrice": null, "maxFeePerGas": null, "maxPriorityFeePerGas": null, "gasUsed": null, "fee": null,
        "payment": null, "origin": "{}", "dataDecoded": null, "confirmationsRequired": 2, "trusted": true,
        "signatures": null, "confirmations": [{
            "owner": SIGNERS[0].to_string(), "submissionDate": "2026-11-21T10:00:00.000000Z",
            "transactionHash": null, "signature": SIGNATURES[0], "signatureType": "EOA",
        }],
    })
}

fn with_confirmations(count: usize) -> Value {
    let mut record = record();
    let both = SIGNERS.iter().zip(SIGNATURES);
    record["confirmations"] = both
        .take(count)
        .map(|(owner, signature)| json!({ "owner": owner, "signature": signature }))
        .collect();
    record
}

fn page(results: &[Value], next: Option<&str>) -> String {
    json!({ "count": results.len(), "next": next, "previous": null, "results": results, "countUniqueNonce": 1 })
        .to_string()
}

fn tx() -> SafeTx {
    let call = Call {
        to: TO,
        value: U256::ZERO,
        data: data().parse().unwrap(),
    };
    let tx = SafeTx::freeze(&Intent {
        domain: DOMAIN,
        nonce: U256::from(7),
        calls: vec![call],
        batcher: None,
        old_versions: false,
    });
    let tx = tx.unwrap();
    assert_eq!(tx.hash(), HASH);
    tx
}

fn signature(number: usize) -> OwnerSignature {
    OwnerSignature::read(&SIGNATURES[number].parse::<alloy::primitives::Bytes>().unwrap()).unwrap()
}

fn by(sender: Address, signature: &OwnerSignature) -> Signed<'_> {
    Signed { sender, signature }
}

fn signatures(count: usize) -> SignatureSet {
    let mut set = SignatureSet::new(&tx());
    for number in 0..count {
        set.insert(signature(number), &SIGNERS.into()).unwrap();
    }
    set
}

fn http() -> Http {
    let limits = Limits {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(15),
        body: 64 * 1024,
    };
    Http::new(limits).with_retries(RetryPolicy {
        attempts: 3,
        base: Duration::from_millis(2),
        cap: Duration::from_millis(4),
        deadline: None,
    })
}

fn key() -> ServiceKey {
    ServiceKey::new(Zeroizing::new(KEY.to_owned())).unwrap()
}

fn client(fake: &Fake) -> Service {
    Service::new(&http(), fake.url("/tx-service/base"), Some(key())).unwrap()
}

fn origin() -> Origin {
    Origin::note("upgrade of cvm-1")
}

/// A service that keeps one transaction as a real one does: the proposal's signature and each confirmation add up.
async fn board(start: usize, also: impl Fn(usize, &Seen) -> Option<Act> + Send + Sync + 'static) -> Fake {
    let there: Arc<[AtomicBool; 2]> = Arc::new([AtomicBool::new(start > 0), AtomicBool::new(start > 1)]);
    Fake::serve(move |number, seen| {
        if seen.line().starts_with("POST") {
            let body = seen.json();
            for (flag, known) in there.iter().zip(SIGNATURES) {
                flag.fetch_or(body["signature"] == known, Ordering::SeqCst);
            }
        }
        if let Some(act) = also(number, seen) {
            return act;
        }
        if seen.line().starts_with("POST") {
            return Act::Say(answer(201, "", b""));
        }
        let held: Vec<Value> = (0..2)
            .filter(|number| there[*number].load(Ordering::SeqCst))
            .map(|number| json!({ "owner": SIGNERS[number], "signature": SIGNATURES[number] }))
            .collect();
        if held.is_empty() {
            return Act::Say(said(
                404,
                r#"{"detail":"No MultisigTransaction matches the given query."}"#,
            ));
        }
        let mut record = record();
        record["confirmations"] = held.into();
        Act::Say(said(200, &record.to_string()))
    })
    .await
}

fn posts(fake: &Fake) -> Vec<Seen> {
    fake.seen()
        .into_iter()
        .filter(|seen| seen.line().starts_with("POST"))
        .collect()
}

#[tokio::test]
async fn pitfall_69_any_service_url_reaches_the_same_place() {
    for base in [
        "/tx-service/base",
        "/tx-service/base/",
        "/tx-service/base/api",
        "/tx-service/base/api/?a=b#c",
    ] {
        let fake = Fake::always(404, "").await;
        let service = Service::new(&http(), fake.url(base), None).unwrap();
        assert_eq!(service.safe(SAFE).await.unwrap(), None);
        let path = format!("GET /tx-service/base/api/v1/safes/{SAFE}/");
        assert_eq!(fake.seen()[0].line(), path, "{base}");
        assert_eq!(fake.seen()[0].header("authorization"), None);
    }
    for (base, path) in [
        ("", "/api"),
        ("/", "/api"),
        ("/api/", "/api"),
        ("/my%20api", "/my%20api/api"),
    ] {
        let fake = Fake::always(404, "").await;
        let service = Service::new(&http(), fake.url(base), None).unwrap();
        assert_eq!(service.safe(SAFE).await.unwrap(), None);
        assert!(
            fake.seen()[0].line().starts_with(&format!("GET {path}/v1/safes/")),
            "{base}"
        );
    }
    let nowhere = Service::new(&http(), "data:text".parse().unwrap(), None);
    assert!(matches!(nowhere, Err(ServiceError::BadUrl)));
}

#[tokio::test]
async fn the_key_is_a_bearer_token_and_is_never_shown() {
    let fake = Fake::serve(|_, seen| {
        let header = seen.header("authorization").unwrap_or_default().to_owned();
        Act::Say(said(401, &json!({ "detail": format!("no: {header}") }).to_string()))
    })
    .await;
    let service = client(&fake);
    let error = service.transaction(HASH).await.unwrap_err();
    assert_eq!(
        fake.seen()[0].header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert!(matches!(error, ServiceError::Auth(_)));
    for text in [
        error.to_string(),
        format!("{error:?}"),
        format!("{service:?}"),
        format!("{:?}", key()),
    ] {
        assert!(!text.contains("canary"), "{text}");
    }
    for text in ["", "two words", "line\n", "\u{e9}"] {
        assert!(matches!(
            ServiceKey::new(Zeroizing::new(text.to_owned())),
            Err(ServiceError::BadKey)
        ));
    }
}

#[tokio::test]
async fn pitfall_34_addresses_in_paths_carry_their_checksum() {
    let safe = address!("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed");
    let fake = Fake::always(404, "").await;
    assert_eq!(client(&fake).safe(safe).await.unwrap(), None);
    assert!(
        fake.seen()[0]
            .line()
            .ends_with("/0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed/")
    );
}

#[tokio::test]
async fn each_refusal_is_told_in_the_services_own_words() {
    type Wanted = fn(&ServiceError) -> bool;
    let cases: [(u16, &str, &str, Wanted); 9] = [
        (401, r#"{"detail":"bad key"}"#, "bad key", |e| {
            matches!(e, ServiceError::Auth(_))
        }),
        (
            422,
            r#"{"code":1,"message":"Checksum address validation failed","arguments":["0xab"]}"#,
            "Checksum address validation failed (0xab)",
            |e| matches!(e, ServiceError::Refused(_)),
        ),
        (
            422,
            r#"{"nonFieldErrors":["Tx with nonce=7 already executed","x"]}"#,
            "Tx with nonce=7 already executed; x",
            |e| matches!(e, ServiceError::Refused(_)),
        ),
        (
            400,
            r#"{"signature":["Ensure this"],"to":["not checksumed"]}"#,
            "signature: Ensure this; to: not checksumed",
            |e| matches!(e, ServiceError::Refused(_)),
        ),
        (
            451,
            r#"{"detail":"Safe is unavailable for legal reasons"}"#,
            "legal reasons",
            |e| matches!(e, ServiceError::Banned(_)),
        ),
        (429, r#"{"detail":"Monthly quota exceeded."}"#, "Monthly quota", |e| {
            matches!(e, ServiceError::Unavailable(_))
        }),
        (
            503,
            r#"{"exception":"Problem connecting to Ethereum network","trace":"secret"}"#,
            "Problem connecting",
            |e| matches!(e, ServiceError::Unavailable(_)),
        ),
        (
            404,
            "<html><title>nginx</title></html>",
            "a page of HTML, titled `nginx`",
            |e| matches!(e, ServiceError::NotFound(_)),
        ),
        (418, "a\u{1b}[2Jb", "a\\u{1b}[2Jb", |e| {
            matches!(e, ServiceError::Refused(_))
        }),
    ];
    for (status, body, words, wanted) in cases {
        let fake = Fake::always(status, body).await;
        let error = client(&fake).transaction(HASH).await.unwrap_err();
        assert!(wanted(&error), "{status}: {error:?}");
        assert!(error.to_string().contains(words), "{status}: {error}");
        assert!(!error.to_string().contains("secret"), "the trace stays there");
    }
}

#[tokio::test]
async fn absent_is_nothing_only_where_the_service_itself_says_so() {
    let fake = Fake::always(404, r#"{"detail":"No MultisigTransaction matches the given query."}"#).await;
    assert_eq!(client(&fake).transaction(HASH).await.unwrap(), None);
    let wrong_url = Fake::always(404, "<html>404</html>").await;
    assert!(
        client(&wrong_url).transaction(HASH).await.is_err(),
        "a proposal there would be lost"
    );
}

#[tokio::test]
async fn a12_html_and_a10_nothing_are_no_answers() {
    for body in [
        "<html>sign in</html>",
        "",
        "[]",
        "{\"a\":1,\"a\":2}",
        "{\"results\":{}}",
    ] {
        let fake = Fake::always(200, body).await;
        let service = client(&fake);
        for error in [
            service.transaction(HASH).await.map(drop),
            service.safe(SAFE).await.map(drop),
            service.queue(SAFE, U256::from(7)).await.map(drop),
        ] {
            assert!(
                matches!(error, Err(ServiceError::Unexpected { .. })),
                "{body}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a26_a_read_is_repeated_after_429_and_503() {
    let fake = Fake::serve(|number, _| match number {
        0 => Act::Say(answer(429, "Retry-After: 0\r\n", br#"{"detail":"slow"}"#)),
        1 => Act::Say(said(503, "{}")),
        _ => Act::Say(said(200, &record().to_string())),
    })
    .await;
    assert!(client(&fake).transaction(HASH).await.unwrap().is_some());
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn m21_a_record_under_another_hash_is_no_answer() {
    let mut other = record();
    other["safeTxHash"] = json!(B256::repeat_byte(3));
    let fake = Fake::always(200, &other.to_string()).await;
    let error = client(&fake).transaction(HASH).await.unwrap_err();
    assert!(matches!(error, ServiceError::Tampered { hash: HASH, .. }), "{error}");
}

#[tokio::test]
async fn a_list_of_another_safe_is_no_answer() {
    let mut other = record();
    other["safe"] = json!(TO);
    let fake = Fake::always(200, &page(&[other], None)).await;
    assert!(client(&fake).queue(SAFE, U256::ZERO).await.is_err());
}

#[tokio::test]
async fn the_queue_is_asked_for_signed_proposals_from_the_nonce_on() {
    let fake = Fake::always(200, &page(&[record()], None)).await;
    let queue = client(&fake).queue(SAFE, U256::from(7)).await.unwrap();
    assert_eq!(queue.len(), 1);
    assert_eq!(
        fake.seen()[0].line(),
        format!(
            "GET /tx-service/base/api/v2/safes/{SAFE}/multisig-transactions/?executed=false&nonce__gte=7&ordering=nonce\
             &trusted=true&limit=50&offset=0"
        )
    );
}

#[tokio::test]
async fn pitfall_8_all_proposals_of_a_nonce_are_listed_and_the_unsigned_are_marked() {
    let mut junk = record();
    junk["safeTxHash"] = json!(B256::repeat_byte(3));
    junk["confirmations"] = json!([]);
    // The service's own flag lies; the list that it is in counts.
    junk["trusted"] = json!(true);
    let fake = Fake::serve(move |_, seen| {
        let both = [record(), junk.clone()];
        let some = if seen.line().contains("trusted=true") {
            &both[..1]
        } else {
            &both[..]
        };
        Act::Say(said(200, &page(some, None)))
    })
    .await;
    let found = client(&fake).by_nonce(SAFE, U256::from(7)).await.unwrap().all();
    let marks: Vec<_> = found.iter().map(|tx| (tx.claimed_hash, tx.trusted)).collect();
    assert_eq!(marks, [(HASH, true), (B256::repeat_byte(3), false)]);
}

#[tokio::test]
async fn pitfall_4_junk_that_cannot_be_read_hides_nothing() {
    let fake = Fake::serve(|_, seen| {
        if seen.line().contains("trusted=true") {
            Act::Say(said(200, &page(&[record()], None)))
        } else {
            Act::Say(said(200, &format!("{}1{}", "[".repeat(500), "]".repeat(500))))
        }
    })
    .await;
    let found = client(&fake).by_nonce(SAFE, U256::from(7)).await.unwrap();
    assert_eq!((found.trusted.len(), found.unsigned.read.len()), (1, 0));
    assert!(found.unsigned.failure.is_some(), "and it is known that it was not seen");
}

#[tokio::test]
async fn svc_1_whatever_becomes_of_what_anybody_can_post_the_signed_ones_are_kept() {
    let long = format!("{{\"results\":[\"{}\"]}}", "ab".repeat(1024 * 1024));
    let failures: [(u16, String); 6] = [
        (200, long),
        (200, "<html>".to_owned()),
        (200, page(&[json!({"safe": SAFE})], None)),
        (401, "{}".to_owned()),
        (451, "{}".to_owned()),
        (500, "<!doctype html>".to_owned()),
    ];
    for (status, body) in failures {
        let fake = Fake::serve(move |_, seen| {
            let trusted = seen.line().contains("trusted=true");
            Act::Say(if trusted {
                said(200, &page(&[record()], None))
            } else {
                said(status, &body)
            })
        })
        .await;
        let found = client(&fake).by_nonce(SAFE, U256::from(7)).await.unwrap();
        assert_eq!(found.trusted.len(), 1, "{status}");
        assert!(
            found.unsigned.failure.is_some() && found.unsigned.read.is_empty(),
            "{status}"
        );
        let asked = fake.seen();
        let asked = asked.iter().filter(|seen| seen.line().contains("trusted=false"));
        assert!(asked.clone().count() > 0 && asked.clone().all(|seen| seen.line().contains("limit=10&")));
    }
}

#[tokio::test]
async fn svc_1_a_page_of_signed_ones_that_is_too_large_is_asked_for_in_parts() {
    let large = json!({ "results": ["ab".repeat(5 * 1024 * 1024)] }).to_string();
    let fake = Fake::serve(move |_, seen| {
        Act::Say(if seen.line().contains("limit=50&") {
            said(200, &large)
        } else {
            said(200, &page(&[record()], None))
        })
    })
    .await;
    let found = client(&fake).queue(SAFE, U256::from(7)).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(
        fake.seen()[1].line().ends_with("limit=5&offset=0"),
        "{}",
        fake.seen()[1].line()
    );
}

#[tokio::test]
async fn svc_9_of_what_anybody_can_post_only_some_is_read_and_the_rest_counted() {
    let fake = Fake::serve(|number, seen| {
        if seen.line().contains("trusted=true") {
            return Act::Say(said(200, &page(&[record()], None)));
        }
        let junk = |mark: usize| {
            let mut junk = record();
            junk["safeTxHash"] = json!(B256::from(U256::from(number * 100 + mark)));
            junk
        };
        let some: Vec<Value> = (0..10).map(junk).collect();
        let body = json!({ "count": 261, "next": "more", "results": some }).to_string();
        Act::Say(said(200, &body))
    })
    .await;
    let found = client(&fake).by_nonce(SAFE, U256::from(7)).await.unwrap();
    assert_eq!((found.unsigned.read.len(), found.unsigned.more), (50, 210));
    assert!(found.unsigned.failure.is_none());
    assert_eq!(fake.seen().len(), 6);
}

#[tokio::test]
async fn pages_are_counted_here_and_never_followed_to_another_host() {
    let fake = Fake::serve(|number, _| {
        let mut record = record();
        record["safeTxHash"] = json!(B256::with_last_byte(u8::try_from(number).unwrap()));
        let next = (number < 2).then_some("https://evil.example/next");
        Act::Say(said(200, &page(&[record.clone(), record], next)))
    })
    .await;
    let queue = client(&fake).queue(SAFE, U256::ZERO).await.unwrap();
    assert_eq!(queue.len(), 3, "each hash once");
    let offsets: Vec<_> = fake
        .seen()
        .iter()
        .map(|seen| seen.line().rsplit('=').next().unwrap().to_owned())
        .collect();
    assert_eq!(offsets, ["0", "2", "4"]);
}

#[tokio::test]
async fn a_list_without_end_is_refused_where_owners_sign_and_cut_where_anybody_writes() {
    let fake = Fake::serve(|number, _| {
        let some: Vec<Value> = (0..PAGE)
            .map(|index| {
                let mut record = record();
                record["safeTxHash"] = json!(B256::from(U256::from(number * PAGE + index)));
                record
            })
            .collect();
        Act::Say(said(200, &page(&some, Some("https://evil.example/next"))))
    })
    .await;
    let service = client(&fake);
    let endless = service.queue(SAFE, U256::ZERO).await;
    assert_eq!(bound(endless), (MAX_ENTRIES, "entries"));
    let before = fake.seen().len();
    let cut = service.unsigned(SAFE, U256::ZERO, &[]).await;
    assert_eq!((cut.read.len(), fake.seen().len() - before), (MAX_UNSIGNED, 1));
}

/// The bound that ended a list: how many of what.
fn bound<T: std::fmt::Debug>(ended: Result<T, ServiceError>) -> (usize, &'static str) {
    match ended {
        Err(ServiceError::TooMany { limit, of, .. }) => (limit, of),
        other => panic!("{other:?}"),
    }
}

/// A record of a transaction that differs from every other by its hash.
fn numbered(number: usize) -> Value {
    let mut record = record();
    record["safeTxHash"] = json!(B256::from(U256::from(number)));
    record
}

#[tokio::test]
async fn a_list_of_small_pages_without_end_is_refused_long_before_its_entries_are_too_many() {
    let fake =
        Fake::serve(|number, _| Act::Say(said(200, &page(&[numbered(number)], Some("https://evil.example/next")))))
            .await;
    let endless = client(&fake).queue(SAFE, U256::ZERO).await;
    assert_eq!(bound(endless), (MAX_PAGES, "pages"));
    assert_eq!(fake.seen().len(), MAX_PAGES);
    let cut = client(&fake).unsigned(SAFE, U256::ZERO, &[]).await;
    assert_eq!(
        (cut.read.len(), cut.failure.is_none(), fake.seen().len()),
        (MAX_UNSIGNED_PAGES, true, MAX_PAGES + MAX_UNSIGNED_PAGES)
    );
}

#[tokio::test]
async fn a_page_that_brings_nothing_new_ends_a_list() {
    let fake = Fake::serve(|number, _| {
        let some = [numbered(number % 2), numbered(0)];
        Act::Say(said(200, &page(&some, Some("https://evil.example/next"))))
    })
    .await;
    let ended = client(&fake).queue(SAFE, U256::ZERO).await;
    assert!(
        matches!(&ended, Err(ServiceError::Unexpected { what, .. }) if what.contains("nothing")),
        "{ended:?}"
    );
    assert_eq!(fake.seen().len(), 3, "the second one had something new");
}

#[tokio::test]
async fn pages_that_are_large_together_are_too_much_though_each_is_not() {
    let fake = Fake::serve(|number, _| {
        let mut large = numbered(number);
        large["dataDecoded"] = json!("x".repeat(BODY - 4096));
        Act::Say(said(200, &page(&[large], Some("https://evil.example/next"))))
    })
    .await;
    let endless = client(&fake).queue(SAFE, U256::ZERO).await;
    assert_eq!(bound(endless), (MAX_LIST, "bytes"));
    assert_eq!(fake.seen().len(), MAX_LIST / BODY + 1);
}

#[tokio::test]
async fn a_safe_of_more_owners_than_sign_is_not_asked_for_the_delegates_of_each() {
    let fake = Fake::always(200, &page(&[], None)).await;
    let owners: Vec<Address> = (0..=MAX_OWNERS)
        .map(|number| Address::left_padding_from(&number.to_be_bytes()))
        .collect();
    let refused = client(&fake).delegates_for(SAFE, &owners).await;
    assert_eq!(bound(refused), (MAX_OWNERS, "owners"));
    assert!(fake.seen().is_empty());
    client(&fake).delegates_for(SAFE, &owners[1..]).await.unwrap();
    assert_eq!(fake.seen().len(), 1 + MAX_OWNERS);
}

#[tokio::test]
async fn reading_ends_with_the_time_and_what_was_written_learns_its_outcome() {
    let head = |status: u16, body: &str| {
        let length = body.len() + 1;
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
        Act::Pour(head.into_bytes(), b"\n".to_vec(), Duration::from_secs(1))
    };
    let fake = Fake::serve(move |_, seen| match seen.line().starts_with("POST") {
        true => head(201, ""),
        false => head(200, &record().to_string()),
    })
    .await;
    let time = tokio::time::Instant::now() + Duration::from_millis(300);
    let service = Service::new(&http().until(time), fake.url("/tx-service/base"), None).unwrap();
    let cut = service.transaction(HASH).await;
    assert!(
        matches!(&cut, Err(ServiceError::Http(error)) if error.kind == Kind::Timeout),
        "{cut:?}"
    );
    let asked = fake.seen().len();
    assert!(service.queue(SAFE, U256::ZERO).await.is_err());
    assert_eq!(fake.seen().len(), asked, "after the time nothing is read");
    service.confirm(HASH, &signature(0)).await.unwrap();
    assert!(service.transaction(HASH).await.unwrap().is_some());
}

#[tokio::test]
async fn m21_the_safe_is_read_with_its_decorated_version() {
    let body = json!({
        "address": SAFE, "nonce": "7", "threshold": 2, "owners": SIGNERS, "masterCopy": TO, "modules": [],
        "fallbackHandler": TO, "guard": Address::ZERO, "moduleGuard": Address::ZERO, "version": "1.4.1+L2",
    });
    let fake = Fake::always(200, &body.to_string()).await;
    let safe = client(&fake).safe(SAFE).await.unwrap().unwrap();
    assert_eq!((safe.nonce, safe.threshold, safe.guard), (U256::from(7), 2, None));
    assert_eq!(safe.version.unwrap().parse(), Ok(SafeVersion::V1_4_1));
    assert!(client(&fake).safe(TO).await.is_err(), "about another Safe");
}

#[tokio::test]
async fn pitfall_53_delegates_are_listed_with_their_end() {
    let body = page(
        &[
            json!({ "safe": null, "delegate": TO, "delegator": SIGNERS[0], "label": "ci", "expiryDate": null }),
            json!({ "safe": SAFE, "delegate": TO, "delegator": SIGNERS[1], "label": "x\u{7}",
                "expiryDate": "2026-12-01T00:00:00Z" }),
        ],
        None,
    );
    let fake = Fake::always(200, &body).await;
    let filter = DelegateFilter {
        safe: Some(SAFE),
        ..DelegateFilter::default()
    };
    let found = client(&fake).delegates(&filter).await.unwrap().found;
    assert_eq!((found[0].safe, found[0].expires), (None, None));
    assert_eq!(found[1].label, "x\\u{7}");
    assert_eq!(found[1].expires, Some("2026-12-01T00:00:00Z".parse().unwrap()));
    let path = format!("GET /tx-service/base/api/v2/delegates/?safe={SAFE}&limit=50&offset=0");
    assert_eq!(fake.seen()[0].line(), path);
}

#[tokio::test]
async fn delegates_of_others_than_was_asked_for_are_told_apart() {
    let one = |safe: Value, delegate: Address, delegator: Address| json!({ "safe": safe, "delegate": delegate, "delegator": delegator, "label": "" });
    let list = [
        one(json!(SAFE), TO, SIGNERS[0]),
        one(json!(TO), TO, SIGNERS[0]),
        one(json!(SAFE), SAFE, SIGNERS[0]),
        one(json!(SAFE), TO, SIGNERS[1]),
        one(json!(null), TO, SIGNERS[0]),
    ];
    let fake = Fake::always(200, &page(&list, None)).await;
    let service = client(&fake);
    let all = DelegateFilter {
        safe: Some(SAFE),
        delegate: Some(TO),
        delegator: Some(SIGNERS[0]),
    };
    let told = service.delegates(&all).await.unwrap();
    assert_eq!((told.found.len(), told.unasked.len()), (2, 3));
    let of_owner = DelegateFilter {
        delegator: Some(SIGNERS[0]),
        ..DelegateFilter::default()
    };
    let told = service.delegates(&of_owner).await.unwrap();
    assert_eq!((told.found.len(), told.unasked.len()), (4, 1));
    let told = service.delegates_for(SAFE, &SIGNERS[..1]).await.unwrap();
    assert_eq!(told.found.iter().filter(|one| one.safe.is_none()).count(), 1, "once");
}

#[tokio::test]
async fn a_proposal_says_everything_that_was_signed() {
    let fake = Fake::always(201, "").await;
    let service = client(&fake);
    service
        .propose(&tx(), by(SIGNERS[0], &signature(0)), &origin())
        .await
        .unwrap();
    let seen = &fake.seen()[0];
    assert_eq!(
        seen.line(),
        format!("POST /tx-service/base/api/v2/safes/{SAFE}/multisig-transactions/")
    );
    assert_eq!(
        seen.json(),
        json!({
            "to": TO.to_string(), "value": "0", "data": data(), "operation": 0, "safeTxGas": "0", "baseGas": "0",
            "gasPrice": "0", "gasToken": Address::ZERO, "refundReceiver": Address::ZERO, "nonce": 7,
            "contractTransactionHash": HASH, "sender": SIGNERS[0].to_string(), "signature": SIGNATURES[0],
            "origin": "{\"name\":\"countersign\",\"note\":\"upgrade of cvm-1\"}",
        })
    );
}

#[test]
fn pitfall_71_an_origin_fits_and_has_no_markup() {
    for note in ["", "short", "<b>\u{202e}&\"\\\n", &"\"".repeat(500), &"é".repeat(500)] {
        let origin = Origin::note(note);
        assert!(origin.as_str().chars().count() <= 200, "{}", origin.as_str());
        let read: Value = serde_json::from_str(origin.as_str()).unwrap();
        assert_eq!(read["name"], "countersign");
        assert!(!read["note"].as_str().unwrap().contains(['<', '>', '&', '\u{202e}']));
    }
}

#[tokio::test]
async fn what_is_not_there_is_proposed_with_one_signature_and_confirmed_with_the_others() {
    let fake = board(0, |_, _| None).await;
    let published = client(&fake).publish(&tx(), &signatures(2), &origin()).await.unwrap();
    assert!(published.created && published.missing.is_empty() && published.refused.is_empty());
    assert_eq!(published.confirmed, SIGNERS.into());
    let posts = posts(&fake);
    assert_eq!(posts.len(), 2);
    assert!(posts[0].line().ends_with("/multisig-transactions/"));
    assert_eq!(
        posts[1].line(),
        format!("POST /tx-service/base/api/v1/multisig-transactions/{HASH}/confirmations/")
    );
}

#[tokio::test]
async fn pitfall_27_publishing_again_posts_only_what_is_missing() {
    let fake = board(1, |_, _| None).await;
    let published = client(&fake).publish(&tx(), &signatures(2), &origin()).await.unwrap();
    assert!(!published.created && published.missing.is_empty());
    assert_eq!(posts(&fake).len(), 1);
    let again = client(&fake).publish(&tx(), &signatures(2), &origin()).await.unwrap();
    assert!(!again.created && again.missing.is_empty());
    assert_eq!(posts(&fake).len(), 1, "nothing more to say");
}

#[tokio::test]
async fn a9_a_lost_answer_is_settled_by_reading() {
    for lost in [1, 2] {
        let fake = board(0, move |number, _| (number == lost).then_some(Act::Reset)).await;
        let published = client(&fake).publish(&tx(), &signatures(2), &origin()).await;
        let published = published.unwrap_or_else(|error| panic!("request {lost}: {error}"));
        assert!(published.missing.is_empty());
        let seen = posts(&fake);
        assert_eq!(seen.len(), 2, "request {lost}: no post is repeated");
    }
}

#[tokio::test]
async fn a27_a_post_that_broke_and_is_not_there_stays_unknown() {
    for act in [Act::Reset, Act::Say(said(502, "<html>"))] {
        // The service loses everything that is posted.
        let fake = Fake::serve(move |_, seen| {
            if seen.line().starts_with("POST") {
                act.clone()
            } else {
                Act::Say(said(404, r#"{"detail":"no"}"#))
            }
        })
        .await;
        let error = client(&fake)
            .publish(&tx(), &signatures(1), &origin())
            .await
            .unwrap_err();
        assert!(matches!(error, ServiceError::Unsettled { .. }), "{error}");
        assert!(error.may_have_happened());
        assert_eq!(posts(&fake).len(), 1);
    }
}

#[tokio::test]
async fn a26_a_post_is_repeated_after_429_only() {
    let fake = board(0, |number, _| {
        (number == 1).then(|| Act::Say(answer(429, "Retry-After: 0\r\n", b"{}")))
    })
    .await;
    assert!(
        client(&fake)
            .publish(&tx(), &signatures(1), &origin())
            .await
            .unwrap()
            .created
    );
    assert_eq!(posts(&fake).len(), 2);
}

#[tokio::test]
async fn a_signature_that_the_service_refuses_does_not_stop_the_others() {
    // The first in order of addresses is the second of the two.
    let fake = board(0, |_, seen| {
        let is_first = seen.json()["signature"] == SIGNATURES[1];
        is_first.then(|| Act::Say(said(422, r#"{"nonFieldErrors":["Signer is not an owner"]}"#)))
    })
    .await;
    let published = client(&fake).publish(&tx(), &signatures(2), &origin()).await.unwrap();
    assert_eq!(published.refused.len(), 1);
    assert_eq!(published.refused[0].0, SIGNERS[1]);
}

#[tokio::test]
async fn nothing_is_published_without_a_signature_or_with_those_of_another_transaction() {
    let fake = board(0, |_, _| None).await;
    let service = client(&fake);
    let none = service.publish(&tx(), &signatures(0), &origin()).await;
    assert!(matches!(none, Err(ServiceError::NoSignature)));
    let rejection = SafeTx::rejection(DOMAIN, U256::from(7), false).unwrap();
    let other = service.publish(&rejection, &signatures(1), &origin()).await;
    assert!(matches!(other, Err(ServiceError::OtherSignatures { .. })));
    assert!(posts(&fake).is_empty());
}

#[tokio::test]
async fn m21_nothing_is_added_to_a_tampered_record() {
    let mut tampered = with_confirmations(1);
    tampered["to"] = json!(SIGNERS[0]);
    let fake = Fake::always(200, &tampered.to_string()).await;
    let error = client(&fake)
        .publish(&tx(), &signatures(2), &origin())
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        ServiceError::Tampered {
            why: Some(NotAccepted::OtherHash { .. }),
            ..
        }
    ));
    assert!(posts(&fake).is_empty());
}

#[tokio::test]
async fn m21_a_foreign_confirmation_under_an_owners_name_is_not_taken_for_theirs() {
    let mut foreign = with_confirmations(1);
    foreign["confirmations"][0]["owner"] = json!(SIGNERS[1]);
    let text = foreign.to_string();
    let fake = Fake::serve(move |_, seen| {
        let status = if seen.line().starts_with("POST") { 201 } else { 200 };
        Act::Say(said(status, &text))
    })
    .await;
    let published = client(&fake).publish(&tx(), &signatures(2), &origin()).await.unwrap();
    assert_eq!(
        published.missing,
        SIGNERS.into(),
        "both were posted, and neither is there"
    );
}

#[test]
fn safes_own_service_is_asked_unbidden_only_by_those_who_have_a_key_for_it() {
    let http = Http::new(Limits::default());
    let key = || ServiceKey::new(KEY.to_owned().into()).unwrap();
    let named = || "https://queue.example.org/tx".parse::<Url>().unwrap();
    let host = |services: &Services, chain_id: u64| {
        let service = services.configured(&http, chain_id).unwrap();
        service.map(|service| service.host())
    };
    assert_eq!(host(&Services::default(), 8453), None);
    let unbidden = Services::default().of(&http, 8453).unwrap().unwrap();
    assert_eq!(unbidden.host(), "https://api.safe.global");
    let own = Services::new(None, Some(key()));
    assert_eq!(host(&own, 8453).as_deref(), Some("https://api.safe.global"));
    assert_eq!(host(&own, 31337), None, "Safe runs none there");
    for key in [None, Some(key())] {
        let services = Services::new(Some(named()), key);
        assert_eq!(host(&services, 31337).as_deref(), Some("https://queue.example.org"));
        assert_eq!(host(&services, 8453).as_deref(), Some("https://queue.example.org"));
    }
}
