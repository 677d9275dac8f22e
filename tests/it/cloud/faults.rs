//! Every fault that Phala Cloud, or the way to it, can have: against the prepare PATCH, the commit POST and the reads.
//! Each case ends in a healthy rerun that lands exactly once.
//!
//! Where a case answers otherwise than one might expect, the row says why. Times are short by
//! `COUNTERSIGN_REQUEST_MS`, which only builds with `failpoints` read.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::B256;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::support::cloud::API_KEY;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{Action, FaultProxy, Match, Message, Moment, Nth, World, until};

/// Time for a request where a test runs into it, milliseconds.
const SHORT: &str = "700";
/// Time for a request elsewhere, for slow machines; waits between attempts are short by it as well.
const USUAL: &str = "20000";
/// Instead of an exit code: another row has this case for the commit.
const ELSEWHERE: i32 = -1;

/// The prepare request.
pub const PREPARE: Match = Match::Http("PATCH", "/cvms/");
/// The commit request.
pub const COMMIT: Match = Match::Http("POST", "/commit-update");

/// An upgrade of its own on the world's one CVM, through `proxy`.
pub fn numbered<'w>(world: &'w World, proxy: &FaultProxy, number: usize) -> Flow<'w> {
    let compose = NEW_COMPOSE.replace("1.28", &format!("1.28.{number}"));
    let mut flow = Flow::new(world).cloud_at(&proxy.prefix());
    flow.dir = world.folder().join(format!("upgrade-{number}"));
    flow.compose = world.file(&format!("compose-{number}.yml"), &compose);
    flow.hash = world.hash_with(&compose);
    flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), USUAL.to_owned()));
    flow
}

/// Neither output nor journal nor proposal holds the API key or a commit token.
#[track_caller]
pub fn keeps_secrets(flow: &Flow<'_>, ran: &Ran) {
    let kept = |name: &str| std::fs::read_to_string(flow.dir.join(name)).unwrap_or_default();
    let tokens = flow.world.cloud.tokens().into_iter().map(|token| token.text);
    for secret in tokens.chain([API_KEY.to_owned(), flow.world.owner.key.to_owned()]) {
        for text in [&ran.said, &kept("journal"), &kept("proposal.json")] {
            assert!(!text.contains(&secret), "a secret in: {text}");
        }
    }
}

/// One announcement and one commit of this upgrade's hash, which the CVM runs.
fn landed(flow: &Flow<'_>) -> Result<(), String> {
    let commits = flow.world.cloud.commits(CVM);
    let ours = commits.iter().filter(|hash| **hash == flow.hash).count();
    let seen = (flow.announcements(), ours, flow.world.cloud.cvm(CVM).compose_hash);
    if seen == (1, 1, flow.hash) {
        Ok(())
    } else {
        Err(format!("announced {}, committed {}, runs {}", seen.0, seen.1, seen.2))
    }
}

/// What a fault does to one request.
#[derive(Clone)]
enum Fault {
    /// The proxy does this.
    Proxy(Action),
    /// The same, and a request that nobody answers ends soon.
    Slow(Action),
}

/// One row of the table.
struct Case {
    id: &'static str,
    fault: Fault,
    /// Exit code when it happens to prepare.
    prepare: i32,
    /// Exit code when it happens to commit.
    commit: i32,
}

impl Case {
    const fn expected(&self, at: At) -> i32 {
        match at {
            At::Prepare => self.prepare,
            At::Commit => self.commit,
        }
    }
}

fn case(id: &'static str, fault: Fault, (prepare, commit): (i32, i32)) -> Case {
    Case {
        id,
        fault,
        prepare,
        commit,
    }
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Action {
    Action::Answer(Message::answer(status, &[("content-type", "application/json")], body))
}

fn elsewhere(status: u16, place: &str) -> Action {
    Action::Answer(Message::answer(status, &[("location", place)], ""))
}

fn wait_as_long(seconds: Option<&str>) -> Action {
    let header = seconds.map(|seconds| ("retry-after", seconds));
    let headers: Vec<_> = header.into_iter().collect();
    Action::Answer(Message::answer(429, &headers, "{\"detail\":\"Too many requests\"}"))
}

fn structured(status: u16, code: &str) -> Action {
    answer(status, json!({"error_code": code, "message": "no"}).to_string())
}

/// The line: what breaks before an answer is whole. A prepare that was not heard can be repeated (75). A commit that may
/// have been heard is settled by reading: found (0), or not found (9).
fn line() -> Vec<Case> {
    use Fault::{Proxy, Slow};
    let second = Duration::from_secs(1);
    vec![
        case("A5 no headers", Slow(Action::Swallow), (75, 9)),
        case("A5 no headers, done", Slow(Action::SwallowAfterForward), (75, 0)),
        case("A6 slow-loris body", Slow(Action::Drip(second / 20)), (75, 0)),
        // A body of one piece has left with its head, so nobody can know that it was not read.
        case("A8 reset before the body", Proxy(Action::ResetBefore), (75, 9)),
        case("A9 reset after the request", Proxy(Action::ResetAfterRead), (75, 9)),
        // The table's 9 is for a world that cannot be read; see `a9_what_cannot_be_read_is_unknown`.
        case("A9 lost reply", Proxy(Action::ResetAfterForward), (75, 0)),
        case("A10 empty", Proxy(answer(202, "")), (75, 9)),
        case("A10 empty, done", Proxy(Action::Empty), (75, 0)),
        case("A11 truncated", Proxy(Action::Truncate), (75, 0)),
        case("A11 wrong length", Proxy(Action::WrongLength), (75, 0)),
        case("A32 299", Proxy(answer(299, "{}")), (75, 9)),
        case("A32 599", Proxy(answer(599, "{}")), (75, 9)),
        case("A32 only 1xx", Slow(answer(102, "")), (75, 9)),
        case("A33 the server gets it twice", Proxy(Action::Twice), (0, 0)),
    ]
}

/// Bodies that are not what they should be.
fn bodies() -> Vec<Case> {
    use Fault::Proxy;
    let twice = r#"{"correlation_id":"a","correlation_id":"b","details":[]}"#;
    let short = |field: &str, value: Value| {
        let details = json!([{"field": "compose_hash", "value": "11".repeat(32)}, {"field": field, "value": value}]);
        json!({"error_code": "ERR-01-005", "details": details}).to_string()
    };
    let accepted = json!({"vm_uuid": "x", "correlation_id": "corr_x", "status": "in_progress",
        "new": {"deep": [1, null]}, "compose_hash": 7});
    vec![
        case("A12 captive portal", Proxy(Action::Html), (75, 9)),
        case("A13 not UTF-8", Proxy(answer(202, *b"{\"a\":\"\xff\xfe\"}")), (75, 9)),
        case("A14 1 GiB", Proxy(Action::Big(1 << 30)), (75, 9)),
        case("A15 gzip bomb", Proxy(Action::GzipBomb), (75, 9)),
        case("A16 depth 100000", Proxy(Action::DeepJson(100_000)), (75, 9)),
        case(
            "A16 depth 100000 as 465",
            Proxy(answer(465, "[".repeat(100_000))),
            (75, ELSEWHERE),
        ),
        case("A17 a key twice", Proxy(answer(202, twice)), (75, 9)),
        case("A17 a key twice as 465", Proxy(answer(465, twice)), (75, ELSEWHERE)),
        case(
            "A18 no operation named",
            Proxy(answer(202, "{\"status\":\"in_progress\"}")),
            (75, 9),
        ),
        case("A18 not an object", Proxy(answer(202, "[]")), (75, 9)),
        case(
            "A18 63 digits",
            Proxy(answer(465, short("compose_hash", json!("1".repeat(63))))),
            (5, ELSEWHERE),
        ),
        case(
            "A18 app is a list",
            Proxy(answer(465, short("app_id", json!([])))),
            (5, ELSEWHERE),
        ),
        case(
            "A18 chain is a name",
            Proxy(answer(465, short("kms_info", json!({"chain_id": "base"})))),
            (5, ELSEWHERE),
        ),
        case(
            "A18 device of 3 digits",
            Proxy(answer(465, short("device_id", json!("abc")))),
            (5, ELSEWHERE),
        ),
        case("A19 more fields, commit", Proxy(Action::Mutate("", accepted)), (5, 0)),
        case(
            "A28 465 without details",
            Proxy(structured(465, "ERR-01-005")),
            (75, 75),
        ),
        case("A28 465 with null", Proxy(answer(465, "null")), (75, ELSEWHERE)),
    ]
}

/// Refusals. At commit 400 and 422 are a state: nothing that the user typed is in that request.
fn refusals() -> Vec<Case> {
    use Fault::Proxy;
    let list = r#"{"detail":[{"loc":["body","docker_compose_file"],"msg":"no services","type":"value_error"}]}"#;
    vec![
        case("A20 301", Proxy(elsewhere(301, "https://evil.example/")), (5, 5)),
        case("A20 302", Proxy(elsewhere(302, "https://evil.example/")), (5, 5)),
        case(
            "A20 307",
            Proxy(Action::Redirect("https://evil.example/".to_owned())),
            (5, 5),
        ),
        case("A20 308", Proxy(elsewhere(308, "/elsewhere")), (5, 5)),
        case("A21 400", Proxy(structured(400, "ERR-01-003")), (3, 6)),
        case(
            "A22 401",
            Proxy(answer(401, "{\"detail\":\"Invalid API key\"}")),
            (4, 4),
        ),
        case("A22 403", Proxy(structured(403, "ERR-06-006")), (4, 4)),
        case("A23 404", Proxy(answer(404, "{\"detail\":\"CVM not found\"}")), (6, 6)),
        case(
            "A24 409",
            Proxy(answer(409, "{\"detail\":\"Another operation\"}")),
            (75, 75),
        ),
        case("A24 409 for good", Proxy(structured(409, "ERR-03-007")), (6, 6)),
        case("A25 422", Proxy(answer(422, list)), (3, 6)),
        case("A26 429", Proxy(wait_as_long(None)), (75, 75)),
        case(
            "A26 429 for a century",
            Proxy(wait_as_long(Some("3153600000"))),
            (75, 75),
        ),
        case(
            "A26 429 for nonsense",
            Proxy(wait_as_long(Some("-1e9; soon"))),
            (75, 75),
        ),
        // A write that the server may have done is not repeated within a run: the next run reads first.
        case("A27 500", Proxy(answer(500, "Internal Server Error")), (75, 9)),
        case("A27 502", Proxy(answer(502, "<html>bad gateway</html>")), (75, 9)),
        case(
            "A27 503",
            Proxy(answer(503, "{\"detail\":\"node maintenance\"}")),
            (75, 9),
        ),
        case("A27 504", Proxy(answer(504, "")), (75, 9)),
        case("A29 466", Proxy(structured(466, "ERR-01-006")), (6, 6)),
        case("A30 467", Proxy(structured(467, "ERR-01-007")), (6, 6)),
        case("A31 468", Proxy(structured(468, "ERR-01-008")), (6, 75)),
    ]
}

/// Which request meets the fault.
#[derive(Clone, Copy)]
enum At {
    Prepare,
    Commit,
}

/// Every case at one place, each on the state that the one before left: a running CVM.
fn all(cases: Vec<Case>, at: At) {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let mut wrong = Vec::new();
    let rows = cases.into_iter().filter(|case| case.expected(at) != ELSEWHERE);
    for (index, case) in rows.enumerate() {
        if let Err(why) = one(&world, &proxy, (index + 1, at), &case) {
            wrong.push(format!("{}: {why}", case.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn one(world: &World, proxy: &FaultProxy, (number, at): (usize, At), case: &Case) -> Result<(), String> {
    let mut flow = numbered(world, proxy, number);
    let usual = flow.env.clone();
    let action = match &case.fault {
        Fault::Proxy(action) => action,
        Fault::Slow(action) => {
            flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), SHORT.to_owned()));
            action
        }
    };
    let expected = case.expected(at);
    let (matches, command) = match at {
        At::Prepare => (PREPARE, "prepare"),
        At::Commit => (COMMIT, "commit"),
    };
    let short = std::mem::replace(&mut flow.env, usual.clone());
    if matches!(at, At::Commit) {
        for step in ["prepare", "execute", "wait"] {
            flow.step(step).exits(0);
        }
    }
    flow.env = short;
    proxy.on(matches, Nth::Every, action.clone());
    // What ends by itself does so without looking at the time. 467 is taken for a cloud that lags behind the chain.
    let waits = [9, 75].contains(&expected) || case.id == "A30 467";
    let patience = if waits { "1s" } else { "10m" };
    let ran = flow.with(command, &["--timeout", patience]);
    proxy.heal();
    keeps_secrets(&flow, &ran);
    let first = judge(&flow, &ran, (at, expected));
    flow.env = usual;
    let again = flow.step("resume");
    keeps_secrets(&flow, &again);
    first?;
    if again.exit != 0 {
        return Err(format!("the healthy rerun: {}", again.said));
    }
    landed(&flow)
}

/// Exit, text and what is told of effects agree, and nothing happened that may not have.
fn judge(flow: &Flow<'_>, ran: &Ran, (at, expected): (At, i32)) -> Result<(), String> {
    let told = |what: &str| Err(format!("{what}\n{}", ran.said));
    if ran.exit != expected || ran.json["exit"] != expected {
        return told(&format!("expected {expected}"));
    }
    if expected != 0 && (ran.json["next"].is_null() || ran.json["ok"] == true) {
        return told("no next command");
    }
    let committed = flow.world.cloud.commits(CVM).contains(&flow.hash);
    match at {
        At::Prepare if flow.announcements() != 0 || committed => told("prepare changed something"),
        At::Prepare if expected != 0 && ran.effect("prepare") != "maybe" => told("an answer that was not heard"),
        At::Commit if ran.effect("transaction") != "done" => told("the approval is not known"),
        At::Commit if expected == 0 && ran.effect("live") != "done" => told("not live"),
        At::Commit if expected == 9 && ran.effect("commit") != "maybe" => told("unknown, and not told so"),
        At::Commit if [4, 6, 75].contains(&expected) && ran.effect("commit") != "none" => told("certainly not done"),
        _ => Ok(()),
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a5_to_a11_a32_a33_a_line_that_breaks_at_prepare() {
    all(line(), At::Prepare);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a5_to_a11_a32_a33_a_line_that_breaks_at_commit() {
    all(line(), At::Commit);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a12_to_a19_a28_strange_bodies_at_prepare() {
    all(bodies(), At::Prepare);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a12_to_a19_a28_strange_bodies_at_commit() {
    all(bodies(), At::Commit);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a20_to_a31_refusals_at_prepare() {
    all(refusals(), At::Prepare);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a20_to_a31_refusals_at_commit() {
    all(refusals(), At::Commit);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn faults_of_a_read_end_a_plan_and_leave_nothing() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    let read = Match::Http("GET", "/cvms/");
    let mut wrong = Vec::new();
    for (id, action, expected) in [
        ("A9", Action::ResetAfterRead, 75),
        ("A10", Action::Empty, 75),
        ("A11", Action::Truncate, 75),
        ("A12", Action::Html, 75),
        ("A13", answer(200, *b"\xff"), 75),
        ("A14", Action::Big(1 << 30), 75),
        ("A15", Action::GzipBomb, 75),
        ("A16", Action::DeepJson(100_000), 75),
        ("A17", answer(200, "{\"app_id\":\"a\",\"app_id\":\"b\"}"), 75),
        ("A18", answer(200, "{\"app_id\":[]}"), 5),
        ("A20", Action::Redirect("https://evil.example/".to_owned()), 5),
        ("A21", structured(400, "ERR-01-003"), 3),
        ("A22", answer(401, "{\"detail\":\"Invalid API key\"}"), 4),
        ("A23", answer(404, "{\"detail\":\"CVM not found\"}"), 6),
        ("A26", wait_as_long(None), 75),
        ("A27", answer(503, ""), 75),
        ("A32", answer(299, "{}"), 75),
    ] {
        proxy.on(read.clone(), Nth::Every, action);
        let ran = flow.with("plan", &["--timeout", "2s"]);
        proxy.heal();
        keeps_secrets(&flow, &ran);
        if ran.exit != expected {
            wrong.push(format!("{id}: expected {expected}\n{}", ran.said));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(world.cloud.requests().iter().all(|request| request.method == "GET"));
    // One bad answer out of several is only a wait.
    for status in [500, 502, 503, 504, 429] {
        proxy.on(read.clone(), Nth::Only(1), answer(status, ""));
        flow.step("plan").exits(0);
        proxy.heal();
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a9_what_cannot_be_read_is_unknown_and_the_next_run_settles_it() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    proxy.on(COMMIT, Nth::Every, Action::ResetAfterForward);
    // The first look finds nothing done yet.
    proxy.on(Match::Http("GET", "/cvms/"), Nth::From(2), Action::ResetAfterRead);
    let unknown = flow.step("commit").exits(9).says("COMMIT_UNKNOWN");
    assert_eq!(unknown.effect("commit"), "maybe");
    assert!(unknown.json["next"].as_str().unwrap().contains("countersign resume"));
    flow.step("status").exits(0);
    // As long as nothing can be read nothing is sent again.
    let sent = world.cloud.requests_to("POST", "/commit-update").len();
    flow.step("commit").exits(75);
    assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), sent);
    proxy.heal();
    flow.step("commit").exits(0);
    assert_eq!(world.cloud.requests_to("POST", "/commit-update").len(), 1);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a7_a_commit_that_arrives_late_is_still_the_only_one() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let mut flow = numbered(&world, &proxy, 1);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let usual = flow.env.clone();
    flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), SHORT.to_owned()));
    let late = proxy.gate(COMMIT, Nth::Only(1), Moment::Arrived);
    flow.step("commit").exits(9).says("COMMIT_UNKNOWN");
    flow.env = usual;
    flow.step("commit").exits(0);
    late.open();
    until("the late one", || {
        (world.cloud.requests_to("POST", "/commit-update").len() == 2).then_some(())
    });
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a2_a_refused_connection_is_certainly_not_done() {
    let world = World::start();
    let mut proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    proxy.refuse();
    flow.step("plan").exits(75).says("NET_NO_CONNECTION");
    proxy.listen_again();
    proxy.on(PREPARE, Nth::Every, answer(503, ""));
    flow.step("prepare").exits(75);
    proxy.heal();
    proxy.refuse();
    // The plan is in the journal, so the PATCH is the first request.
    flow.step("resume").exits(75).says("NET_NO_CONNECTION");
    proxy.listen_again();
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    proxy.refuse();
    let refused = flow.step("commit").exits(75).says("NET_NO_CONNECTION");
    assert_eq!(refused.effect("commit"), "none");
    proxy.listen_again();
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a3_a_connection_that_never_opens_is_certainly_not_done() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let mut flow = numbered(&world, &proxy, 1);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let hole = BlackHole::new();
    let healthy = flow.env.clone();
    flow = flow.cloud_at(&format!("http://{}/api/v1", hole.address));
    flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), SHORT.to_owned()));
    let lost = flow
        .with("commit", &["--timeout", "2s"])
        .exits(75)
        .says("NET_NO_CONNECTION");
    assert_eq!(lost.effect("commit"), "none");
    flow.env = healthy;
    flow.step("commit").exits(0);
    flow.landed_once();
}

/// A port whose queue of connections is full: further ones are not answered at all.
struct BlackHole {
    address: std::net::SocketAddr,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = crate::support::block(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            socket.listen(1).unwrap()
        });
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the queue has no end");
        }
        Self {
            address,
            _listener: listener,
            _waiting: waiting,
        }
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a26_the_wish_to_be_left_alone_is_obeyed_and_a_commit_counts_as_not_processed() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    proxy.on(PREPARE, Nth::Only(1), wait_as_long(Some("1")));
    proxy.on(COMMIT, Nth::Only(1), wait_as_long(Some("1")));
    let began = Instant::now();
    flow.step("upgrade").exits(0);
    assert!(began.elapsed() > Duration::from_secs(2), "two waits of a second");
    flow.landed_once();
    assert_eq!(proxy.seen().iter().filter(|seen| seen.method == "PATCH").count(), 2);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a24_another_operation_is_waited_for() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    let busy = answer(409, "{\"detail\":\"Another operation is in progress\"}");
    proxy.on(PREPARE, Nth::Only(1), busy.clone());
    proxy.on(COMMIT, Nth::Only(1), busy);
    flow.step("upgrade").exits(0);
    flow.landed_once();
    assert_eq!(world.cloud.tokens().len(), 1);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a28_a30_a31_a_cloud_that_lags_behind_the_chain_is_waited_for() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    for (number, status) in [465, 467, 468].into_iter().enumerate() {
        let flow = numbered(&world, &proxy, number);
        proxy.on(COMMIT, Nth::Only(1), structured(status, "ERR-01-00x"));
        flow.step("upgrade").exits(0);
        proxy.heal();
        landed(&flow).unwrap();
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a30_a_transaction_that_is_never_accepted_gives_way_to_the_state_with_consent() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    proxy.on(COMMIT, Nth::Every, structured(467, "ERR-01-007"));
    let refused = flow
        .with("commit", &["--timeout", "1s"])
        .exits(6)
        .says("COMMIT_REJECTED_467");
    assert_eq!(refused.effect("commit"), "none");
    assert_eq!(refused.fact("vendor_code"), "ERR-01-007");
    proxy.heal();
    // After three refusals, half a second and a second apart, no time is left for the next pause: the fourth request
    // carries the other proof.
    for nth in 1..=3 {
        proxy.on(COMMIT, Nth::Only(nth), structured(467, "ERR-01-007"));
    }
    let ran = flow.with("commit", &["--timeout", "3s"]);
    assert!(matches!(ran.exit, 0 | 8), "{}", ran.said);
    let sent = world.cloud.requests_to("POST", "/commit-update");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].json()["transaction_hash"], "already-registered");
    flow.step("resume").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a20_a_redirect_carries_neither_key_nor_token_anywhere() {
    let world = World::start();
    let trap = FaultProxy::to(&world.cloud.prefix());
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    proxy.on(PREPARE, Nth::Only(1), Action::Redirect(trap.prefix()));
    flow.step("prepare").exits(5).says("REDIRECT_REFUSED");
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    for status in [301, 302, 303, 307, 308] {
        proxy.heal();
        proxy.on(COMMIT, Nth::Every, elsewhere(status, &trap.prefix()));
        flow.step("commit").exits(5).says("REDIRECT_REFUSED");
    }
    assert_eq!(trap.requests(), 0);
    proxy.heal();
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a14_a15_a16_no_answer_makes_the_process_grow() {
    const MIB: u64 = 1 << 20;
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let mut flow = numbered(&world, &proxy, 1);
    let peak = |flow: &Flow<'_>, step: &str| {
        let arguments = flow.arguments(step);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        peak_memory(&mut flow.command(&arguments))
    };
    let (status, baseline) = peak(&flow, "plan");
    assert_eq!(status, 0);
    let faults = [Action::Big(1 << 30), Action::GzipBomb, Action::DeepJson(1_000_000)];
    for fault in &faults {
        proxy.on(PREPARE, Nth::Every, fault.clone());
        let (status, memory) = peak(&flow, "prepare");
        proxy.heal();
        assert_eq!(status, 75);
        assert!(memory <= baseline + 16 * MIB, "{fault:?}: {memory} over {baseline}");
    }
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    for fault in &faults {
        proxy.on(COMMIT, Nth::Every, fault.clone());
        let (status, memory) = peak(&flow, "commit");
        proxy.heal();
        assert_eq!(status, 9);
        assert!(memory <= baseline + 16 * MIB, "{fault:?}: {memory} over {baseline}");
    }
    // A length that is not told is counted.
    let healthy = flow.env.clone();
    let flood = Flood::new();
    flow = flow.cloud_at(&flood.prefix());
    let (status, memory) = peak(&flow, "plan");
    assert_eq!(status, 75);
    assert!(memory <= baseline + 16 * MIB, "a flood: {memory} over {baseline}");
    flow.env = healthy;
    flow.step("commit").exits(0);
    flow.landed_once();
}

/// Exit code, and the most memory that was resident, as the kernel counts it.
fn peak_memory(command: &mut Command) -> (i32, u64) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let path = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or_default() * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(peak > 0, "{path} told nothing");
            return (status.code().unwrap_or(-1), peak);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Answers everything with a body that has no length and no end.
struct Flood(std::net::SocketAddr);

impl Flood {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || Self::pour(stream));
            }
        });
        Self(address)
    }
    fn prefix(&self) -> String {
        format!("http://{}/api/v1", self.0)
    }
    fn pour(mut stream: TcpStream) {
        let _asked = stream.read(&mut [0; 4096]);
        let chunk = [
            format!("{:x}\r\n", 1 << 16).into_bytes(),
            vec![b' '; 1 << 16],
            b"\r\n".to_vec(),
        ]
        .concat();
        let head = b"HTTP/1.1 200 x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut open = stream.write_all(head).is_ok();
        while open {
            open = stream.write_all(&chunk).is_ok();
        }
    }
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn a19_fields_that_nobody_knows_change_nothing() {
    let world = World::start();
    world.cloud.lie(|lies| {
        lies.edit_prepare = Some(Arc::new(|body| {
            body["new"] = json!({"deep": [1, 2.5, null]});
            let details = body["details"].as_array_mut().unwrap();
            details.push(json!({"field": "new", "value": {"a": 1}, "more": true}));
            details.push(json!("a text among objects"));
        }));
        lies.edit_cvm = Some(Arc::new(|record| record["new"] = json!([{}])));
    });
    let flow = Flow::new(&world);
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn faults_while_the_cvm_is_watched_are_waited_out() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = numbered(&world, &proxy, 1);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    proxy.on(Match::Http("GET", "/cvms/"), Nth::From(2), Action::Html);
    let waiting = flow
        .with("commit", &["--timeout", "2s"])
        .exits(8)
        .says("PENDING_RESTART");
    assert_eq!((waiting.effect("commit"), waiting.effect("live")), ("done", "maybe"));
    proxy.heal();
    flow.step("commit").exits(0);
    flow.landed_once();
    assert_eq!(world.cloud.commits(CVM), Vec::<B256>::from([flow.hash]));
}
