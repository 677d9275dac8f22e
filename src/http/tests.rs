//! What [`Http`] and [`RpcTransport`] do when the other side does what it should not.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alloy::primitives::U64;
use alloy::rpc::client::RpcClient;
use alloy::transports::{RpcError, TransportError};
use reqwest::Method;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tracing::field::{Field, Visit};

use super::fake::{Act, Fake, answer, json};
use super::*;

/// Time for one attempt where a test waits for its end.
const SHORT: Duration = Duration::from_millis(300);

/// Far more than any of these tests needs, however busy the machine is, and far less than for ever.
const LONG: Duration = Duration::from_secs(15);

fn http() -> Http {
    within(LONG * 2)
}

/// A client for servers that never answer.
fn hurried() -> Http {
    within(SHORT)
}

fn within(total: Duration) -> Http {
    let limits = Limits {
        connect: total,
        total,
        body: 64 * 1024,
    };
    Http::new(limits).with_retries(RetryPolicy {
        attempts: 3,
        base: Duration::from_millis(2),
        cap: Duration::from_millis(4),
        deadline: None,
    })
}

fn read(url: Url) -> Request {
    Request::new(Method::GET, url, Retry::Read)
}

fn write(url: Url) -> Request {
    let mut request = Request::new(Method::POST, url, Retry::Write);
    request.body = Some(b"{}".to_vec());
    request
}

fn silent() -> impl Fn(usize, &fake::Seen) -> Act {
    |_, _| Act::Silence
}

/// An error with all its causes, in both of its forms.
fn everything(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(cause) = next {
        write!(text, " {cause} {cause:?}").unwrap();
        next = cause.source();
    }
    text
}

#[tokio::test]
async fn a1_a_name_that_does_not_resolve_was_not_sent_to() {
    let error = hurried()
        .send(write("https://nowhere.invalid/".parse().unwrap()))
        .await
        .unwrap_err();
    assert_eq!((&error.kind, error.sent), (&Kind::Connect, Sent::No), "{error:?}");
}

#[tokio::test]
async fn a2_a_refused_connection_was_not_sent_to() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for request in [read, write] {
        let error = http()
            .send(request(format!("http://{closed}/").parse().unwrap()))
            .await
            .unwrap_err();
        assert_eq!((&error.kind, error.sent), (&Kind::Connect, Sent::No), "{error:?}");
    }
}

#[tokio::test]
async fn a3_a_handshake_that_never_ends_is_given_up_in_time_and_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let began = Instant::now();
    let mut request = write(format!("https://{address}/").parse().unwrap());
    request.retry = Retry::Once;
    let error = hurried().send(request).await.unwrap_err();
    assert_eq!(error.sent, Sent::No, "{error:?}");
    assert!(matches!(error.kind, Kind::Connect | Kind::Timeout), "{error:?}");
    assert!(began.elapsed() < LONG);
}

/// A self-signed Ed25519 certificate for `localhost`, DER in hex, made once by `openssl req -x509 -newkey ed25519`.
const CERTIFICATE: &str = concat!(
    "3082015230820104a0030201020214288c19eaa7bb7a0f87ce38c4231e2ad1cdebd24a300506032b65703014311230100603",
    "5504030c096c6f63616c686f73743020170d3236313132313036333534335a180f32313236313032383036333534335a3014",
    "3112301006035504030c096c6f63616c686f7374302a300506032b657003210038be8d1ed4b25968be8e7ac6acea9a46eab8",
    "7a2b530b220be9c4d7f1b981644ca3663064301d0603551d0e04160414de013428ced72ccfbcbfdf473c2e2e8f67df846c30",
    "1f0603551d23041830168014de013428ced72ccfbcbfdf473c2e2e8f67df846c30140603551d11040d300b82096c6f63616c",
    "686f7374300c0603551d130101ff04023000300506032b6570034100e822c930a182075c8f5dd7624e5bfb6b58baef219b38",
    "a780e281d47eb929955c4f0a6a07306a5ed36a3262eae436ad3f02c49eb416850db1a4b1cf3557af160f",
);

/// Its key, PKCS#8. It guards nothing.
const CERTIFICATE_KEY: &str =
    "302e020100300506032b65700422042088c2524b2be0eeba8d068b3428854d4a601c286ba181929cc5fb050bd2207d51";

/// How a handshake with the server of that certificate ended.
type Handshake = tokio::task::JoinHandle<std::io::Result<()>>;

async fn strangers_handshake() -> (u16, Handshake) {
    let certificate = hex::decode(CERTIFICATE).unwrap().into();
    let key = PrivatePkcs8KeyDer::from(hex::decode(CERTIFICATE_KEY).unwrap()).into();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(config)).accept(stream).await.map(drop)
    });
    (port, server)
}

async fn strangers_server() -> u16 {
    strangers_handshake().await.0
}

#[tokio::test]
async fn a4_a_server_that_nobody_vouches_for_is_refused_before_anything_is_sent() {
    let http = http();
    let (port, server) = strangers_handshake().await;
    let mut request = write(format!("https://localhost:{port}/").parse().unwrap());
    request.retry = Retry::Once;
    let error = http.send(request).await.unwrap_err();
    assert_eq!((&error.kind, error.sent), (&Kind::Tls, Sent::No), "{error:?}");
    let said = server
        .await
        .unwrap()
        .expect_err("the client ended the handshake")
        .to_string();
    assert!(said.contains("alert"), "{said}");
}

/// What a client says of a server that nobody vouches for, with the built-in list or without.
async fn told_of_a_stranger(built_in: bool) -> Kind {
    let network = Network {
        built_in,
        ..Network::default()
    };
    let port = strangers_server().await;
    let request = read(format!("https://localhost:{port}/").parse().unwrap());
    let error = http().reaching(network).send(request).await.unwrap_err();
    assert_eq!(error.sent, Sent::No);
    error.kind
}

#[tokio::test]
#[ignore = "another test runs it where the system has no list"]
async fn a4_without_a_system_s_list_the_built_in_one_stands_in() {
    assert_eq!(told_of_a_stranger(true).await, Kind::Tls);
    assert_eq!(told_of_a_stranger(false).await, Kind::NoTls);
}

#[tokio::test]
async fn a4_a_built_in_list_stands_in_where_the_system_has_none() {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args([
        "--ignored",
        "--exact",
        "http::tests::a4_without_a_system_s_list_the_built_in_one_stands_in",
    ]);
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        child.env(name, "/nonexistent");
    }
    let output = child.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn a4_a_handshake_that_fails_over_the_line_says_nothing_of_identity() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let error = http()
        .send(write(format!("https://{address}/").parse().unwrap()))
        .await
        .unwrap_err();
    assert_eq!((&error.kind, error.sent), (&Kind::Connect, Sent::No), "{error:?}");
    server.abort();
}

#[tokio::test]
async fn a5_a_server_that_says_nothing_ends_in_time_and_a_write_may_have_arrived() {
    let fake = Fake::serve(silent()).await;
    let began = Instant::now();
    let error = hurried().send(write(fake.url("/"))).await.unwrap_err();
    assert_eq!((&error.kind, error.sent), (&Kind::Timeout, Sent::Maybe), "{error:?}");
    assert!(began.elapsed() < LONG);
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a6_a_body_that_drips_ends_at_the_same_deadline() {
    let head = b"HTTP/1.1 200 X\r\nContent-Length: 5000\r\n\r\n".to_vec();
    let fake = Fake::serve(move |_, _| Act::Pour(head.clone(), b"x".to_vec(), Duration::from_millis(20))).await;
    let mut request = read(fake.url("/"));
    request.retry = Retry::Once;
    let began = Instant::now();
    let error = hurried().send(request).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout, "{error:?}");
    assert!(began.elapsed() < LONG);
}

#[tokio::test]
async fn a7_the_overall_deadline_ends_attempts_and_waits() {
    let fake = Fake::serve(silent()).await;
    let policy = RetryPolicy {
        attempts: 1000,
        deadline: Some(SHORT * 2),
        ..RetryPolicy::default()
    };
    let began = Instant::now();
    let error = hurried()
        .with_retries(policy)
        .send(read(fake.url("/")))
        .await
        .unwrap_err();
    assert_eq!(error.kind, Kind::Timeout, "{error:?}");
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a7_a_wait_beyond_the_deadline_is_not_begun() {
    let busy = answer(503, "Retry-After: 30\r\n", b"");
    let fake = Fake::serve(move |_, _| Act::Say(busy.clone())).await;
    let policy = RetryPolicy {
        deadline: Some(LONG),
        ..RetryPolicy::default()
    };
    let began = Instant::now();
    let answer = http().with_retries(policy).send(read(fake.url("/"))).await.unwrap();
    assert_eq!(answer.status, 503);
    assert!(began.elapsed() < LONG);
}

#[tokio::test]
async fn a8_a_write_cut_off_before_it_left_whole_was_not_sent_and_is_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // More than both sockets' buffers hold, so that it cannot leave while nobody reads.
    let body = vec![b'x'; 32 * 1024 * 1024];
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let mut some = [0; 10];
        first.read_exact(&mut some).await.unwrap();
        first.set_zero_linger().unwrap();
        drop(first);
        listener.accept().await.unwrap().0.set_zero_linger().unwrap();
        listener.accept().await.unwrap().0.set_zero_linger().unwrap();
    });
    let mut request = write(format!("http://{address}/").parse().unwrap());
    request.body = Some(body);
    let error = http().send(request).await.unwrap_err();
    assert_eq!((&error.kind, error.sent), (&Kind::Broken, Sent::No), "{error:?}");
    server.await.expect("three attempts were made");
}

#[tokio::test]
async fn a9_a_lost_reply_to_a_write_is_not_repeated_and_to_a_read_is() {
    let act = |number, _: &fake::Seen| {
        if number == 0 {
            Act::Reset
        } else {
            Act::Say(json(200, "{}"))
        }
    };
    let fake = Fake::serve(act).await;
    let error = http().send(write(fake.url("/"))).await.unwrap_err();
    assert_eq!((&error.kind, error.sent), (&Kind::Broken, Sent::Maybe), "{error:?}");
    assert_eq!(fake.seen().len(), 1);
    let fake = Fake::serve(act).await;
    assert_eq!(http().send(read(fake.url("/"))).await.unwrap().status, 200);
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn a11_a_truncated_answer_is_no_answer() {
    let cut = b"HTTP/1.1 202 X\r\nContent-Length: 100\r\n\r\n{\"correlation".to_vec();
    let fake = Fake::serve(move |_, _| Act::Say(cut.clone())).await;
    let error = http().send(write(fake.url("/"))).await.unwrap_err();
    assert_eq!((&error.kind, error.sent), (&Kind::Broken, Sent::Maybe), "{error:?}");
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a14_a_body_beyond_the_limit_is_not_read_whether_its_length_is_declared_or_not() {
    let declared = b"HTTP/1.1 200 X\r\nContent-Length: 1073741824\r\n\r\n".to_vec();
    let endless = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk = [b"4000\r\n".as_slice(), &[b'x'; 0x4000], b"\r\n"].concat();
    for head in [declared, endless] {
        let piece = chunk.clone();
        let fake = Fake::serve(move |_, _| Act::Pour(head.clone(), piece.clone(), Duration::ZERO)).await;
        let error = http().send(write(fake.url("/"))).await.unwrap_err();
        assert_eq!(error.kind, Kind::TooLarge { limit: 64 * 1024 });
        assert_eq!(error.sent, Sent::Maybe);
        let read = http().send(read(fake.url("/"))).await.unwrap_err();
        assert_eq!(read.kind, Kind::TooLarge { limit: 64 * 1024 });
        assert_eq!(fake.seen().len(), 2, "no attempt is repeated");
    }
}

#[tokio::test]
async fn a15_nothing_is_asked_for_or_read_compressed() {
    let squeezed = answer(200, "Content-Encoding: gzip\r\n", b"\x1f\x8b\x08bomb");
    let fake = Fake::serve(move |_, _| Act::Say(squeezed.clone())).await;
    let answer = http().send(read(fake.url("/"))).await.unwrap();
    assert_eq!(answer.body, b"\x1f\x8b\x08bomb");
    assert_eq!(fake.seen()[0].header("accept-encoding"), None);
}

#[tokio::test]
async fn a20_a_redirect_is_refused_and_its_target_never_hears_of_us() {
    let target = Fake::always(200, "{}").await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: {}\r\n", target.url("/steal?x=1"));
        let moved = answer(status, &location, b"");
        let fake = Fake::serve(move |_, _| Act::Say(moved.clone())).await;
        let mut request = write(fake.url("/"));
        request.headers.insert("x-api-key", "phak_canary".parse().unwrap());
        let error = http().send(request).await.unwrap_err();
        assert_eq!(
            error.kind,
            Kind::Redirect {
                to: "127.0.0.1".to_owned()
            }
        );
        let elsewhere = matches!(status, 301 | 307 | 308);
        assert_eq!(error.sent == Sent::No, elsewhere, "{status}");
        assert_eq!(fake.seen().len(), 1, "{status}");
    }
    assert!(target.seen().is_empty());
}

#[tokio::test]
async fn a20_plain_http_leaves_this_machine_never() {
    let far = [
        "http://192.0.2.1/",
        "http://example.org/",
        "http://localhost.example.org/",
        "ftp://127.0.0.1/",
        "http://[2001:db8::1]/",
    ];
    for url in far {
        let error = http().send(read(url.parse().unwrap())).await.unwrap_err();
        assert_eq!((&error.kind, error.sent), (&Kind::Insecure, Sent::No), "{url}");
    }
    let fake = Fake::always(200, "{}").await;
    let near = format!("http://localhost:{}/", fake.port()).parse().unwrap();
    assert_eq!(http().send(read(near)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a26_a_429_is_repeated_after_the_servers_own_delay_also_for_writes() {
    let act = |number, _: &fake::Seen| {
        Act::Say(match number {
            0 => answer(429, "Retry-After: 1\r\n", b"slow down"),
            _ => json(202, "{}"),
        })
    };
    let fake = Fake::serve(act).await;
    let began = Instant::now();
    let answer = http().send(write(fake.url("/"))).await.unwrap();
    assert_eq!(answer.status, 202);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(fake.seen().len(), 2);
}

/// What was told of waits.
static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn hear(news: &str) {
    TOLD.lock().unwrap().push(news.to_owned());
}

#[tokio::test]
async fn a26_a_wait_that_a_server_asks_for_is_told_and_one_that_nobody_waits_for_ends_at_once() {
    let fake = Fake::serve(|number, _| {
        Act::Say(match number {
            0 => answer(429, "Retry-After: 1\r\n", b"slow down"),
            1 => answer(503, "Retry-After: 2\r\n", b"slow down"),
            _ => json(200, "{}"),
        })
    })
    .await;
    let http = http().telling(hear);
    let url = fake.url("/secret?key=secret");
    assert_eq!(http.send(read(url.clone())).await.unwrap().status, 200);
    let told = format!("waiting 2 seconds, as {} asks: 503 to GET /secret", Endpoint::new(url));
    assert_eq!(TOLD.lock().unwrap().as_slice(), [told]);

    let fake = Fake::serve(|_, _| Act::Say(answer(429, "Retry-After: 100000\r\n", b"no"))).await;
    for request in [read(fake.url("/")), write(fake.url("/"))] {
        let answer = http.send(request).await.unwrap();
        assert_eq!(
            (answer.status, answer.retry_after),
            (429, Some(Duration::from_secs(100_000)))
        );
    }
    assert_eq!(fake.seen().len(), 2, "neither is repeated");
    assert_eq!(TOLD.lock().unwrap().len(), 1, "nothing was waited for");
}

#[test]
fn a26_when_to_come_again_is_said_in_words() {
    let told = |seconds| pause(Some(Duration::from_secs(seconds)));
    assert_eq!(told(100_000), "; it asks to be left alone for 27h 46m 40s");
    assert_eq!((told(0), pause(None)), (String::new(), String::new()));
    assert!(told(u64::MAX).starts_with("; it asks"), "{}", told(u64::MAX));
}

#[tokio::test]
async fn a7_a_request_that_ends_in_time_has_nothing_of_the_seconds_after_it() {
    let head = b"HTTP/1.1 200 X\r\nContent-Length: 1\r\nConnection: close\r\n\r\n".to_vec();
    let slow = Act::Pour(head, b"x".to_vec(), Duration::from_secs(1));
    let fake = Fake::serve(move |_, _| slow.clone()).await;
    let http = http().until(Instant::now() + SHORT);
    let once = |ends_in_time| Request {
        retry: Retry::Once,
        ends_in_time,
        ..read(fake.url("/"))
    };
    let cut = http.send(once(true)).await.unwrap_err();
    assert_eq!((cut.kind, fake.seen().len()), (Kind::Timeout, 1));
    let late = http.send(once(true)).await.unwrap_err();
    assert_eq!((late.sent, fake.seen().len()), (Sent::No, 1), "it is not begun");
    assert_eq!(http.send(once(false)).await.unwrap().body, b"x");
}

#[tokio::test]
async fn a26_a_quota_that_is_empty_for_seconds_is_waited_for_and_one_of_a_month_is_not() {
    let once = |status: u16, headers: &'static str| async move {
        let fake = Fake::serve(move |_, _| Act::Say(answer(status, headers, b"{}"))).await;
        let mut request = read(fake.url("/"));
        request.retry = Retry::Once;
        http().send(request).await.unwrap().retry_after
    };
    let seconds = Duration::from_secs;
    assert_eq!(once(429, "X-RateLimit-Reset: 7\r\n").await, Some(seconds(7)));
    assert_eq!(
        once(429, "Retry-After: 2\r\nX-RateLimit-Reset: 7\r\n").await,
        Some(seconds(2))
    );
    assert_eq!(once(429, "X-RateLimit-Reset: 1763719200\r\n").await, None);
    assert_eq!(once(429, "X-RateLimit-Reset: soon\r\n").await, None);
    let month = "X-RateLimit-Remaining: 4999\r\nX-RateLimit-Reset: 1800\r\n";
    assert_eq!(once(429, month).await, None, "svc_11: it is the month that ends then");
    let full = "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 7\r\n";
    assert_eq!(once(429, full).await, Some(seconds(7)));
    assert_eq!(
        once(200, "X-RateLimit-Reset: 7\r\n").await,
        None,
        "said on every answer"
    );
}

#[tokio::test]
async fn a27_reads_are_repeated_as_often_as_allowed_and_the_last_answer_is_given() {
    let fake = Fake::always(502, "bad gateway").await;
    assert_eq!(http().send(read(fake.url("/"))).await.unwrap().status, 502);
    assert_eq!(fake.seen().len(), 3);
    let fake = Fake::always(502, "bad gateway").await;
    assert_eq!(http().send(write(fake.url("/"))).await.unwrap().status, 502);
    assert_eq!(fake.seen().len(), 1, "a write may have happened behind the gateway");
}

#[tokio::test]
async fn a32_odd_statuses_are_answers_and_a_storm_of_preliminary_ones_ends() {
    for status in [299, 599] {
        let fake = Fake::always(status, "{}").await;
        assert_eq!(http().send(read(fake.url("/"))).await.unwrap().status, status);
    }
    let piece = b"HTTP/1.1 102 Processing\r\n\r\n".to_vec();
    let fake = Fake::serve(move |_, _| Act::Pour(piece.clone(), piece.clone(), Duration::from_micros(50))).await;
    let mut request = write(fake.url("/"));
    request.retry = Retry::Once;
    let error = hurried().send(request).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Timeout | Kind::Broken), "{error:?}");
    assert_eq!(error.sent, Sent::Maybe);
}

#[tokio::test]
async fn an_answer_carries_the_servers_clock_and_its_name_for_the_request() {
    let said = answer(
        200,
        "Date: Sat, 21 Nov 2026 05:00:00 GMT\r\nX-Request-ID: req_9f3c\r\n",
        b"ok",
    );
    let fake = Fake::serve(move |_, _| Act::Say(said.clone())).await;
    let answer = http().send(read(fake.url("/"))).await.unwrap();
    assert_eq!(answer.date, Some("2026-11-21T05:00:00Z".parse().unwrap()));
    assert_eq!(answer.request_id.as_deref(), Some("req_9f3c"));
    assert_eq!(answer.body, b"ok");
}

#[test]
fn a26_retry_after_is_seconds_or_a_date_and_garbage_is_nothing() {
    let now = Some("2026-11-21T05:00:00Z".parse().unwrap());
    assert_eq!(attempt::delay("7", now), Some(Duration::from_secs(7)));
    assert_eq!(
        attempt::delay("99999999999999999999999", now),
        Some(Duration::from_secs(u64::MAX))
    );
    assert_eq!(
        attempt::delay("Sat, 21 Nov 2026 05:00:09 GMT", now),
        Some(Duration::from_secs(9))
    );
    for garbage in ["", "-5", "soon", "1.5", "Sat, 21 Nov 2026 04:00:00 GMT"] {
        assert_eq!(attempt::delay(garbage, now), None, "{garbage}");
    }
}

#[tokio::test]
async fn r28_direct_connection_without_proxy_variables() {
    let fake = Fake::always(200, "{}").await;
    assert_eq!(http().send(read(fake.url("/"))).await.unwrap().status, 200);
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn r28_proxies_that_the_environment_names_are_not_used() {
    let proxy = Fake::always(502, "{}").await;
    let address = proxy.url("").to_string();
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "http::tests::r28_direct_connection_without_proxy_variables"]);
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ] {
        child.env(name, &address);
    }
    child.env_remove("NO_PROXY").env_remove("no_proxy");
    let output = child.output().await.unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert!(proxy.seen().is_empty());
}

// ---- redaction ----

/// Keeps every field of every event and span.
struct Ear(Arc<Mutex<String>>);

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Ear {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        span.record(&mut Words(&mut self.0.lock().unwrap()));
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Words(&mut self.0.lock().unwrap()));
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Words(&mut self.0.lock().unwrap()));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Ears that stay: where only one is known, an event that a thread without one meets first is taken for one that nobody
/// wants, by every thread and for good.
static STAYING: std::sync::LazyLock<[tracing::Dispatch; 2]> =
    std::sync::LazyLock::new(|| [(), ()].map(|()| tracing::Dispatch::new(Ear(Arc::default()))));

/// Runs `work` and gives what it logged, at every level and from every library.
pub(crate) async fn overheard<T>(work: impl Future<Output = T>) -> (T, String) {
    std::sync::LazyLock::force(&STAYING);
    let heard = Arc::new(Mutex::new(String::new()));
    let guard = tracing::subscriber::set_default(Ear(Arc::clone(&heard)));
    let outcome = work.await;
    drop(guard);
    let heard = heard.lock().unwrap().clone();
    (outcome, heard)
}

const CANARIES: [&str; 4] = ["canaryuser", "canarypass", "canarypath", "canaryquery"];

fn keyed(fake: &Fake) -> Url {
    let mut url = fake.url("/v2/canarypath?key=canaryquery");
    url.set_username("canaryuser").unwrap();
    url.set_password(Some("canarypass")).unwrap();
    url
}

#[tokio::test]
async fn r27_no_part_of_an_endpoint_but_scheme_and_host_is_ever_shown() {
    let echo = |_: usize, seen: &fake::Seen| Act::Say(answer(403, "", seen.head.as_bytes()));
    let html = |_: usize, seen: &fake::Seen| Act::Say(answer(200, "", seen.head.as_bytes()));
    let reset = |_: usize, _: &fake::Seen| Act::Reset;
    let moved = |_: usize, seen: &fake::Seen| {
        let path = seen.line().trim_start_matches("POST ");
        Act::Say(answer(
            302,
            &format!("Location: http://canaryuser@127.0.0.2{path}\r\n"),
            b"",
        ))
    };
    let fakes = [
        Fake::serve(echo).await,
        Fake::serve(html).await,
        Fake::serve(reset).await,
        Fake::serve(moved).await,
        Fake::serve(silent()).await,
    ];
    for fake in &fakes {
        let transport = RpcTransport::new(within(Duration::from_secs(2)), Endpoint::new(keyed(fake)));
        let shown = format!("{transport:?} {} {:?}", transport.endpoint(), transport.endpoint());
        let (outcome, heard) = overheard(ask(transport)).await;
        let error = outcome.unwrap_err();
        let said = format!("{shown} {heard} {}", everything(&error));
        assert!(heard.contains("milliseconds"), "the event is there: {heard}");
        for canary in CANARIES {
            assert!(!said.contains(canary), "{canary} in {said}");
        }
    }
    let (outcome, heard) = overheard(http().send(read(keyed(&fakes[2])))).await;
    let said = format!("{heard} {}", everything(&outcome.unwrap_err()));
    for canary in ["canaryuser", "canarypass", "canaryquery"] {
        assert!(!said.contains(canary), "{canary} in {said}");
    }
}

#[tokio::test]
async fn secret_headers_and_bodies_are_in_no_event() {
    let fake = Fake::always(200, r#"{"token":"canaryanswer"}"#).await;
    let mut request = write(fake.url("/x"));
    request.body = Some(b"canarybody".to_vec());
    let mut key = reqwest::header::HeaderValue::from_static("canarykey");
    key.set_sensitive(true);
    request.headers.insert("x-api-key", key);
    let shown = format!("{request:?}");
    let (answer, heard) = overheard(http().send(request)).await;
    let said = format!("{shown} {heard} {:?}", answer.unwrap());
    for canary in ["canarykey", "canarybody", "canaryanswer"] {
        assert!(!said.contains(canary), "{canary} in {said}");
    }
}

// ---- JSON-RPC ----

async fn ask(transport: RpcTransport) -> Result<U64, TransportError> {
    RpcClient::new(transport, true).request_noparams("eth_chainId").await
}

async fn ask_once(answer: Vec<u8>) -> Result<U64, TransportError> {
    let fake = Fake::serve(move |_, _| Act::Say(answer.clone())).await;
    let outcome = ask(RpcTransport::new(http(), Endpoint::new(fake.url("/")))).await;
    assert_eq!(fake.seen().len(), 1, "a transport makes one attempt");
    outcome
}

/// `template` with the request's id in it.
async fn ask_with_id(template: &'static str) -> Result<U64, TransportError> {
    let act =
        move |_: usize, seen: &fake::Seen| Act::Say(json(200, &template.replace("ID", &seen.json()["id"].to_string())));
    let fake = Fake::serve(act).await;
    ask(RpcTransport::new(http(), Endpoint::new(fake.url("/")))).await
}

#[tokio::test]
async fn a_call_and_its_answer_pass_unchanged() {
    let answered = ask_with_id(r#"{"jsonrpc":"2.0","id":ID,"result":"0x2105"}"#).await;
    assert_eq!(answered.unwrap(), U64::from(8453));
}

#[tokio::test]
async fn r4_a_429_keeps_the_servers_delay_for_the_caller() {
    let too_many = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32005,"message":"limit exceeded"}}"#;
    for body in ["slow down", too_many] {
        let error = ask_once(answer(429, "Retry-After: 3\r\n", body.as_bytes()))
            .await
            .unwrap_err();
        let RpcError::Transport(kind) = error else {
            panic!("{error:?}");
        };
        assert!(kind.is_retry_err());
        assert_eq!(kind.retry_after(), Some(Duration::from_secs(3)));
        assert_eq!(kind.as_http_error().map(|error| error.status), Some(429));
    }
}

#[tokio::test]
async fn r5_a_limit_said_in_json_rpc_keeps_its_code() {
    let error =
        ask_with_id(r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32005,"message":"limit\u001b[31m exceeded"}}"#).await;
    let RpcError::ErrorResp(payload) = error.unwrap_err() else {
        panic!("not an error of the server");
    };
    assert_eq!(payload.code, -32005);
    assert!(payload.is_retry_err());
    assert_eq!(payload.message, "limit\\u{1b}[31m exceeded");
}

#[tokio::test]
async fn r6_html_and_broken_texts_are_bounded_and_escaped() {
    let html = format!("<html>\u{1b}]0;owned\u{7}\u{202e}{}", "x".repeat(20_000));
    for status in [200, 403, 502] {
        let error = ask_once(answer(status, "", html.as_bytes())).await.unwrap_err();
        let said = everything(&error);
        assert!(said.len() < 4_000, "{}", said.len());
        assert!(
            !said
                .chars()
                .any(|character| character == '\u{1b}' || character == '\u{202e}' || character == '\u{7}')
        );
    }
    let error = ask_once(answer(200, "", b"\xff\xfe{}")).await.unwrap_err();
    assert!(matches!(error, RpcError::DeserError { .. }), "{error:?}");
}

#[tokio::test]
async fn r7_a_huge_answer_is_cut_off_at_four_mebibytes() {
    let huge = answer(200, "", &vec![b'x'; 5 * 1024 * 1024]);
    let error = ask_once(huge).await.unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<HttpError>());
    let kind = source.map(|error| error.kind.clone());
    assert_eq!(kind, Some(Kind::TooLarge { limit: 4 * 1024 * 1024 }), "{error:?}");
}

#[tokio::test]
async fn r8_an_answer_to_another_request_is_no_answer() {
    let foreign = [
        r#"{"jsonrpc":"2.0","id":77,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","result":"0x1"}"#,
        r#"[{"jsonrpc":"2.0","id":ID,"result":"0x1"}]"#,
        r#"{"jsonrpc":"2.0","id":ID,"id":ID,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":ID,"result":"0x1","result":"0x2"}"#,
        r#"{"jsonrpc":"2.0","id":77,"error":{"code":1,"message":"no"}}"#,
        "[]",
        "{}",
    ];
    for template in foreign {
        let outcome = ask_with_id(template).await;
        assert!(outcome.is_err(), "{template} gave {outcome:?}");
        assert!(!matches!(outcome, Err(RpcError::ErrorResp(_))), "{template}");
    }
    let nameless = ask_with_id(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"parse"}}"#).await;
    assert!(
        matches!(nameless, Err(RpcError::ErrorResp(_))),
        "a server that cannot read cannot name"
    );
}

#[tokio::test]
async fn r8_a_shuffled_batch_finds_its_requests_and_an_incomplete_one_is_none() {
    async fn batch(template: &'static str) -> (Result<U64, TransportError>, Result<U64, TransportError>) {
        let act = move |_: usize, seen: &fake::Seen| {
            let (first, second) = (seen.json()[0]["id"].to_string(), seen.json()[1]["id"].to_string());
            Act::Say(json(200, &template.replace("FIRST", &first).replace("SECOND", &second)))
        };
        let fake = Fake::serve(act).await;
        let client = RpcClient::new(RpcTransport::new(http(), Endpoint::new(fake.url("/"))), true);
        let mut batch = client.new_batch();
        let one = batch.add_call::<_, U64>("eth_chainId", &()).unwrap();
        let two = batch.add_call::<_, U64>("eth_blockNumber", &()).unwrap();
        let _sent = batch.send().await;
        (one.await, two.await)
    }
    let (one, two) = batch(r#"[{"id":SECOND,"result":"0x2"},{"id":FIRST,"result":"0x1"}]"#).await;
    assert_eq!((one.unwrap(), two.unwrap()), (U64::from(1), U64::from(2)));
    let bad = [
        r#"[{"id":FIRST,"result":"0x1"}]"#,
        r#"[{"id":FIRST,"result":"0x1"},{"id":FIRST,"result":"0x2"}]"#,
        r#"[{"id":FIRST,"result":"0x1"},{"id":77,"result":"0x2"}]"#,
        r#"[{"id":FIRST,"result":"0x1"},{"id":SECOND,"result":"0x2"},{"id":77,"result":"0x3"}]"#,
        r#"{"id":null,"error":{"code":-32005,"message":"batch too large"}}"#,
        r#"{"id":FIRST,"result":"0x1"}"#,
    ];
    for template in bad {
        let (one, two) = batch(template).await;
        assert!(one.is_err() && two.is_err(), "{template}");
    }
}

#[tokio::test]
async fn r7_a_result_nested_without_end_is_refused_not_followed() {
    let deep = format!(r#"{{"jsonrpc":"2.0","id":0,"result":{}"#, "[".repeat(100_000));
    assert!(ask_once(answer(200, "", deep.as_bytes())).await.is_err());
    let closed = format!(
        r#"{{"jsonrpc":"2.0","id":0,"result":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(ask_once(answer(200, "", closed.as_bytes())).await.is_err());
}

#[tokio::test]
async fn r3_a_silent_endpoint_is_left_after_its_time() {
    let fake = Fake::serve(silent()).await;
    let began = Instant::now();
    let error = ask(RpcTransport::new(hurried(), Endpoint::new(fake.url("/"))))
        .await
        .unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<HttpError>());
    assert_eq!(source.map(|error| &error.kind), Some(&Kind::Timeout));
    assert!(began.elapsed() < LONG);
}
