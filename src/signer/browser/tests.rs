//! A page and its wallet, played over the real socket by a thread: whatever comes back, only a signature of the digest by the
//! account counts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;

use alloy::primitives::{B256, U256, eip191_hash_message, uint};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;

use super::*;
use crate::chain::Call;
use crate::code::Code;
use crate::safe::service::{Act, Notice};
use crate::safe::version::SafeVersion;
use crate::safe::{Intent, OwnerSignature, SafeDomain, SafeTx};
use crate::signer::{Ask, AskError, Consent, Signer, SignerError, SigningRecord, Source, Unlock};

/// The page, as its script speaks.
struct Page {
    port: u16,
    token: String,
    tab: &'static str,
}

impl Page {
    fn of(wallet: &Wallet) -> Self {
        let token = wallet.address().rsplit_once('#').unwrap().1.to_owned();
        Self {
            port: wallet.port(),
            token,
            tab: "first",
        }
    }

    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        // The server may answer before it took everything.
        let _cut = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn say(&self, path: &str, what: &Value) -> (u16, Value) {
        let (port, token, tab) = (self.port, &self.token, self.tab);
        let body = what.to_string();
        let answer = self.raw(
            format!(
                "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n\
                 X-Countersign-Token: {token}\r\nX-Countersign-Tab: {tab}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        );
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or_default();
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    /// What is shown, once it is at that stage.
    fn at(&self, stage: &str) -> Value {
        loop {
            let (status, view) = self.say("/view", &json!({}));
            assert_eq!(status, 200, "{view}");
            if view["stage"] == stage {
                return view;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Has the wallet answer the next request.
    fn answer(&self, wallet: impl FnOnce(&Value) -> Value) {
        let view = self.at("request");
        let (_, request) = self.say("/request", &json!({ "turn": view["turn"] }));
        let mut answer = wallet(&request);
        answer["turn"] = view["turn"].clone();
        assert_eq!(self.say("/answer", &answer).0, 200);
        assert_eq!(self.say("/answer", &answer).0, 410, "one answer");
    }
}

/// A person in front of this page.
struct Person(Wallet);

impl Ask for Person {
    fn secret(&self, _: &str) -> Result<Zeroizing<String>, AskError> {
        Err(AskError::Nobody("x".to_owned()))
    }
    fn variable(&self, _: &str) -> Option<Zeroizing<String>> {
        None
    }
    fn consent(&self, _: &Consent) -> Result<bool, AskError> {
        Ok(false)
    }
    fn wallet(&self) -> Result<Wallet, AskError> {
        Ok(self.0.clone())
    }
    fn tell(&self, _: &str) {}
}

fn key(byte: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
}

fn tx(nonce: u64, byte: u8) -> SafeTx {
    let intent = Intent {
        domain: SafeDomain {
            chain_id: 8453,
            safe: Address::repeat_byte(0x22),
            version: SafeVersion::V1_4_1,
        },
        nonce: U256::from(nonce),
        calls: vec![Call::add_compose_hash(
            Address::repeat_byte(0x33),
            B256::repeat_byte(byte),
        )],
        batcher: None,
        old_versions: false,
    };
    SafeTx::freeze(&intent).unwrap()
}

fn served() -> Wallet {
    Wallet::serve(0, Duration::from_secs(60)).unwrap()
}

/// Signs as the account of key 1, with a page whose wallet answers so.
async fn signed(
    record: &SigningRecord,
    tx: &SafeTx,
    wallet: impl FnOnce(&Value) -> Value + Send + 'static,
) -> Result<OwnerSignature, SignerError> {
    let page = served();
    let person = Person(page.clone());
    let there = Page::of(&page);
    let playing = std::thread::spawn(move || {
        let view = there.at("account");
        let account = json!({ "turn": view["turn"], "account": key(1).address() });
        assert_eq!(there.say("/account", &account).0, 200);
        there.answer(wallet);
    });
    let signer = Signer::open(&Source::Browser(None), &Unlock::default(), &person).await?;
    assert_eq!(signer.address(), key(1).address());
    let outcome = signer.sign_safe_tx(tx, record, &[]).await;
    playing.join().unwrap();
    outcome
}

fn record() -> (tempfile::TempDir, PathBuf, SigningRecord) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("signed");
    let record = SigningRecord::open(&path).unwrap();
    (dir, path, record)
}

/// A wallet that signs this digest with this key.
fn gives(byte: u8, digest: B256) -> impl FnOnce(&Value) -> Value {
    move |_| json!({ "result": alloy::hex::encode_prefixed(key(byte).sign_hash_sync(&digest).unwrap().as_bytes()) })
}

#[tokio::test]
async fn a_wallet_signs_the_document_and_the_record_has_it_before_the_wallet_does() {
    let (_dir, path, record) = record();
    let tx = tx(7, 1);
    let (document, digest) = (tx.typed_data(), tx.hash());
    let signature = signed(&record, &tx, move |request| {
        assert_eq!(request["method"], "eth_signTypedData_v4");
        assert_eq!(request["params"][0], json!(key(1).address()));
        let text: Value = serde_json::from_str(request["params"][1].as_str().unwrap()).unwrap();
        assert_eq!(text, document);
        assert_eq!(text["domain"]["chainId"], 8453, "a number, as every wallet reads it");
        let lines = crate::fsutil::read(&path, 1 << 16).unwrap();
        assert!(String::from_utf8(lines).unwrap().contains(&digest.to_string()));
        gives(1, digest)(request)
    })
    .await
    .unwrap();
    assert_eq!(signature.signer(tx.hash()).unwrap(), key(1).address());
}

#[tokio::test]
async fn an_upper_s_and_any_parity_become_a_signature_that_every_safe_takes() {
    let tx = tx(7, 1);
    let good = key(1).sign_hash_sync(&tx.hash()).unwrap();
    // Order of secp256k1 (SEC 2).
    let order = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);
    let upper = [good.r().to_be_bytes::<32>(), (order - good.s()).to_be_bytes::<32>()].concat();
    let lower = [good.r().to_be_bytes::<32>(), good.s().to_be_bytes::<32>()].concat();
    for (words, v) in [
        (&upper, 27),
        (&upper, 28),
        (&upper, 0),
        (&lower, 1),
        (&lower, 27),
        (&lower, 28),
    ] {
        let (_dir, _, record) = record();
        let result = alloy::hex::encode_prefixed([words.as_slice(), &[v]].concat());
        let signature = signed(&record, &tx, move |_| json!({ "result": result }))
            .await
            .unwrap();
        assert_eq!(signature.to_bytes(), OwnerSignature::Eip712(good).to_bytes(), "{v}");
    }
}

#[tokio::test]
async fn what_is_no_signature_of_this_digest_by_this_account_counts_for_nothing() {
    let wanted = tx(7, 1);
    let by_hand = eip191_hash_message(wanted.hash());
    let wrong = [
        ("another key, so that the account was a lie", 2, wanted.hash()),
        ("another nonce", 1, tx(8, 1).hash()),
        ("other data", 1, tx(7, 2).hash()),
        ("personal_sign", 1, by_hand),
    ];
    for (why, byte, digest) in wrong {
        let (_dir, _, record) = record();
        let outcome = signed(&record, &wanted, gives(byte, digest)).await;
        assert!(
            matches!(outcome, Err(SignerError::WrongSignature { .. })),
            "{why}: {outcome:?}"
        );
    }
    let whole = alloy::hex::encode_prefixed(key(1).sign_hash_sync(&wanted.hash()).unwrap().as_bytes());
    let zeros = format!("0x{}1b", "00".repeat(64));
    for text in [
        "",
        "0x",
        "null",
        "yes",
        whole.get(..130).unwrap(),
        &format!("{whole}00"),
        &zeros,
    ] {
        let (_dir, _, record) = record();
        let result = text.to_owned();
        let outcome = signed(&record, &wanted, move |_| json!({ "result": result })).await;
        let refused = matches!(
            outcome,
            Err(SignerError::Wallet(WalletError::Malformed(_)) | SignerError::NoSignature(_))
        );
        assert!(refused, "{text}: {outcome:?}");
    }
}

#[tokio::test]
async fn what_a_wallet_refuses_is_told_apart_and_the_record_says_so() {
    let (_dir, path, record) = record();
    let says = |code: i64| move |_: &Value| json!({ "error": { "code": code, "message": "no" } });
    let outcome = signed(&record, &tx(7, 1), says(4001)).await;
    assert!(
        matches!(outcome, Err(SignerError::Wallet(WalletError::Refused))),
        "{outcome:?}"
    );
    let lines = || String::from_utf8(crate::fsutil::read(&path, 1 << 16).unwrap()).unwrap();
    assert_eq!(lines().matches("refused-in-wallet").count(), 1);
    // Nobody but the wallet knows that it gave none: another digest for the nonce is refused as before.
    let digest = tx(7, 2).hash();
    let page = served();
    let person = Person(page.clone());
    let source = Source::Browser(Some(key(1).address()));
    let signer = Signer::open(&source, &Unlock::default(), &person).await.unwrap();
    match signer.sign_safe_tx(&tx(7, 2), &record, &[]).await {
        Err(SignerError::AlreadySigned(earlier)) => {
            assert!(
                earlier.how.contains("whose wallet said that it refused"),
                "{}",
                earlier.how
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(!page.is_handed_out(), "no wallet was asked");
    assert!(!lines().contains(&digest.to_string()));
    // The same one may be asked for again, and then it counts as signed.
    signed(&record, &tx(7, 1), gives(1, tx(7, 1).hash())).await.unwrap();
    assert_eq!(lines().lines().count(), 3);
    let busy = signed(&record, &tx(7, 1), says(-32002)).await;
    assert!(matches!(busy, Err(SignerError::Wallet(WalletError::Busy))), "{busy:?}");
    let failed = signed(&record, &tx(7, 1), says(-32603)).await;
    assert!(
        matches!(
            failed,
            Err(SignerError::Wallet(WalletError::Failed { code: -32603, .. }))
        ),
        "{failed:?}"
    );
    assert_eq!(lines().lines().count(), 3);
}

#[tokio::test]
async fn a_notice_to_the_service_is_signed_by_a_wallet_too() {
    let act = Act::Delegate {
        delegate: Address::repeat_byte(5),
    };
    let notice = Notice::new(8453, act, jiff::Timestamp::now());
    let page = served();
    let person = Person(page.clone());
    let there = Page::of(&page);
    let playing = std::thread::spawn(move || there.answer(gives(1, notice.hash())));
    let source = Source::Browser(Some(key(1).address()));
    let signer = Signer::open(&source, &Unlock::default(), &person).await.unwrap();
    let signature = signer.sign_notice(&notice).await.unwrap();
    playing.join().unwrap();
    assert_eq!(signature.signer(notice.hash()).unwrap(), key(1).address());
}

#[test]
fn consent_is_what_the_page_says_with_every_decision_named() {
    let value = "0x2222222222222222222222222222222222222222";
    let decision = Decision {
        code: Code::AppGivenAway,
        value: value.to_owned(),
        what: "gives the app away".to_owned(),
    };
    for agrees in [true, false] {
        let page = served();
        let there = Page::of(&page);
        let playing = std::thread::spawn(move || {
            let view = there.at("consent");
            assert_eq!(view["question"], "Sign it?");
            assert_eq!(view["chainId"], "0x2105");
            assert_eq!(view["act"], "sign");
            let turn = view["turn"].clone();
            assert_eq!(there.say("/agree", &json!({ "turn": turn })).0, 422, "not named");
            let (path, more) = match agrees {
                true => ("/agree", json!([value])),
                false => ("/decline", json!([])),
            };
            assert_eq!(there.say(path, &json!({ "turn": turn, "named": more })).0, 200);
        });
        let acting = Acting::signs(key(1).address(), 8453);
        let agreed = page
            .consent(acting, "Sign it?", std::slice::from_ref(&decision))
            .unwrap();
        assert_eq!(agreed, agrees);
        playing.join().unwrap();
    }
}

#[test]
fn nobody_who_lacks_the_token_reads_or_answers_and_a_second_tab_neither() {
    let page = served();
    page.show("<p>secret</p>".to_owned());
    let there = Page::of(&page);
    let port = there.port;
    let open = there.raw(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n").as_bytes());
    assert!(open.starts_with("HTTP/1.1 200") && !open.contains("secret") && !open.contains(&there.token));
    let stranger = Page {
        token: "0".repeat(64),
        ..Page::of(&page)
    };
    assert_eq!(stranger.say("/view", &json!({})).0, 403);
    assert!(!page.is_open());
    assert_eq!(there.say("/view", &json!({})).0, 200);
    let second = Page {
        tab: "second",
        ..Page::of(&page)
    };
    assert_eq!(
        second.say("/view", &json!({})),
        (409, json!({ "refused": "elsewhere" }))
    );
    let rebound = there.raw(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(rebound.starts_with("HTTP/1.1 421"), "{rebound}");
}

#[test]
fn ten_mebibytes_and_sixty_four_connections_that_say_nothing_end_no_session() {
    let page = served();
    let there = Page::of(&page);
    let large = json!({ "named": ["x".repeat(10 << 20)] });
    assert!(
        matches!(there.say("/agree", &large).0, 413 | 0),
        "the connection may be cut before the answer is read"
    );
    let _silent: Vec<TcpStream> = (0..BOUNDS.connections)
        .map(|_| TcpStream::connect(("127.0.0.1", there.port)).unwrap())
        .collect();
    assert_eq!(
        there.say("/view", &json!({})).0,
        200,
        "once those that say nothing are let go"
    );
}

#[test]
fn the_last_wallet_that_is_dropped_ends_the_server() {
    let page = served();
    let port = page.port();
    let second = page.clone();
    drop(page);
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    drop(second);
    let gone = || TcpStream::connect(("127.0.0.1", port)).is_err();
    while !gone() {
        std::thread::sleep(Duration::from_millis(5));
    }
}
