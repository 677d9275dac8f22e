//! The process dies by SIGKILL around and between all of its effects; what is run after it finishes the upgrade once.
//!
//! Kill points per effect: *a* before the record that announces it, *b* after that record, *c* in flight, *d* answer
//! read and not recorded, *e* recorded. *c* needs no help from the binary; the others are its failpoints.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use crate::harness::flow::Flow;
use crate::harness::judge::{self, command, each, effects, ended, finished, is_thorough, offline_status, spawn};
use crate::support::world::CVM;
use crate::support::{AnvilOptions, FaultProxy, Match, Moment, Nth, PATIENCE, World, WorldOptions};

/// A CVM that restarts for as long as a test likes.
const FOREVER: Duration = Duration::from_secs(3600);

/// What is run after a death: going on, or the same again.
const AGAIN: [&str; 2] = ["resume", "upgrade"];

/// Place of death, and what `status` may say then about prepare, approval, transaction, commit and live.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    id: &'static str,
    /// Of the failpoint.
    pub name: &'static str,
    certain: &'static str,
}

const fn point(id: &'static str, name: &'static str, certain: &'static str) -> Point {
    Point { id, name, certain }
}

/// One for each place.
pub const POINTS: [Point; 17] = [
    point("K01", "prepare.a", "none none none none none"),
    point("K02", "prepare.b", "maybe none none none none"),
    point("K04", "prepare.d", "maybe none none none none"),
    point("K05", "prepare.e", "done none none none none"),
    point("K06", "export.a", "done none none none none"),
    point("K09", "export.e", "done none none none none"),
    point("K11", "sign.a", "done none none none none"),
    point("K12", "sign.b", "done maybe none none none"),
    point("K14", "sign.d", "done maybe none none none"),
    point("K16", "sign.e", "done done maybe none none"),
    point("K17", "broadcast.b", "done done maybe none none"),
    point("K19", "broadcast.d", "done done maybe none none"),
    point("K20", "broadcast.e", "done done maybe none none"),
    point("K26", "commit.a", "done done done none none"),
    point("K27", "commit.b", "done done done maybe none"),
    point("K29", "commit.d", "done done done maybe none"),
    point("K30", "commit.e", "done done done done maybe"),
];

/// Runs `upgrade` until it dies at the failpoint.
pub fn die_at(flow: &Flow<'_>, failpoints: &str, more: &[&str]) {
    let mut run = command(flow, "upgrade", more);
    let output = run.env("FAILPOINTS", failpoints).output().unwrap();
    assert_eq!(
        output.status.signal(),
        Some(9),
        "{failpoints}: {}",
        crate::support::command::shown(&output)
    );
}

fn says_what_is_certain(flow: &Flow<'_>, (id, certain): (&str, &str)) {
    let status = offline_status(flow).exits(0);
    effects(&status, id, certain);
    judge::legal(flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k01_to_k30_a_death_at_any_point_loses_nothing_and_repeats_nothing() {
    let ways = POINTS.into_iter().flat_map(|point| AGAIN.map(|again| (point, again)));
    // Of three ways two, such that each point and each way to go on is among them.
    let cases: Vec<_> = ways
        .enumerate()
        .filter(|(number, _)| is_thorough() || number % 3 != 0)
        .map(|(_, case)| case)
        .collect();
    each(&cases, |(point, again)| {
        let world = World::start();
        let flow = Flow::new(&world);
        die_at(&flow, &format!("{}=return", point.name), &[]);
        says_what_is_certain(&flow, (point.id, point.certain));
        flow.step(again).exits(0);
        finished(&flow);
    });
}

/// Which server a request is held in front of.
#[derive(Debug, Clone, Copy)]
enum Side {
    Cloud,
    Chain,
}

/// A request during which the process dies.
#[derive(Debug, Clone, Copy)]
struct InFlight {
    id: &'static str,
    side: Side,
    /// Verb and part of the path, or a JSON-RPC method.
    what: (&'static str, &'static str),
    /// Which of them.
    nth: usize,
    more: &'static [&'static str],
    certain: &'static str,
}

const fn in_flight(
    id: &'static str,
    side: Side,
    what: (&'static str, &'static str),
    certain: &'static str,
) -> InFlight {
    InFlight {
        id,
        side,
        what,
        nth: 1,
        more: &[],
        certain,
    }
}

const IN_FLIGHT: [InFlight; 6] = [
    in_flight("K03", Side::Cloud, ("PATCH", "/cvms/"), "maybe none none none none"),
    in_flight(
        "K18",
        Side::Chain,
        ("", "eth_sendRawTransaction"),
        "done done maybe none none",
    ),
    in_flight(
        "K28",
        Side::Cloud,
        ("POST", "/commit-update"),
        "done done done maybe none",
    ),
    // The ending with two headers: the same verb and path, and no token that works only once.
    InFlight {
        nth: 2,
        more: &["--confirm"],
        ..in_flight(
            "K28 by headers",
            Side::Cloud,
            ("PATCH", "/cvms/"),
            "done done done maybe none",
        )
    },
    InFlight {
        more: &["--confirm"],
        ..in_flight("K03", Side::Cloud, ("PATCH", "/cvms/"), "maybe none none none none")
    },
    in_flight(
        "S7",
        Side::Chain,
        ("", "eth_getTransactionReceipt"),
        "done done maybe none none",
    ),
];

impl InFlight {
    fn matches(&self) -> Match {
        match self.side {
            Side::Cloud => Match::Http(self.what.0, self.what.1),
            Side::Chain => Match::Rpc(self.what.1),
        }
    }
}

/// A flow whose requests to one side pass a proxy.
fn through(world: &World, side: Side) -> (FaultProxy, Flow<'_>) {
    match side {
        Side::Cloud => {
            let proxy = FaultProxy::to(&world.cloud.prefix());
            let flow = Flow::new(world).cloud_at(&proxy.prefix());
            (proxy, flow)
        }
        Side::Chain => {
            let proxy = FaultProxy::to(&world.anvil.url());
            let flow = Flow::new(world).chain_at(&proxy.url());
            (proxy, flow)
        }
    }
}

#[test]
fn c_a_death_in_flight_is_settled_whether_or_not_the_server_did_it() {
    let mut cases = Vec::new();
    for case in IN_FLIGHT {
        for (moment, again) in [
            (Moment::Arrived, AGAIN[0]),
            (Moment::Served, AGAIN[0]),
            (Moment::Served, AGAIN[1]),
        ] {
            cases.push((case, moment, again));
        }
    }
    each(&cases, |(case, moment, again)| {
        let world = World::start();
        let (proxy, flow) = through(&world, case.side);
        let gate = proxy.gate(case.matches(), Nth::Only(case.nth), *moment);
        let mut child = spawn(&flow, "upgrade", case.more);
        gate.wait();
        child.kill().unwrap();
        ended(child);
        gate.cut();
        says_what_is_certain(&flow, (case.id, case.certain));
        flow.with(again, if *again == "upgrade" { case.more } else { &[] })
            .exits(0);
        finished(&flow);
    });
}

#[test]
fn s1_a_death_while_the_plan_is_read_leaves_nothing_behind() {
    let first = [
        (Side::Cloud, Match::Http("GET", "/cvms/")),
        (Side::Chain, Match::Rpc("eth_chainId")),
        (Side::Chain, Match::Any),
    ];
    for (side, matches) in first {
        let world = World::start();
        let (proxy, flow) = through(&world, side);
        let gate = proxy.gate(matches, Nth::Only(1), Moment::Served);
        let mut child = spawn(&flow, "upgrade", &[]);
        gate.wait();
        child.kill().unwrap();
        ended(child);
        gate.open();
        flow.nothing_happened();
        assert!(!flow.dir.exists());
        offline_status(&flow).exits(2).says("USAGE_NO_UPGRADE");
        flow.step("upgrade").exits(0);
        finished(&flow);
    }
}

#[test]
fn k31_to_k35_a_death_while_the_cvm_restarts_is_only_a_pause() {
    let cases: Vec<_> = (1..=5).zip(AGAIN.into_iter().cycle()).collect();
    each(&cases, |(look, again)| {
        let world = World::start();
        world.cloud.set_boot_time(FOREVER);
        let (proxy, flow) = through(&world, Side::Cloud);
        let commit = proxy.gate(Match::Http("POST", "/commit-update"), Nth::Only(1), Moment::Served);
        let mut child = spawn(&flow, "upgrade", &[]);
        commit.wait();
        let gate = proxy.gate(Match::Http("GET", "/cvms/"), Nth::Only(*look), Moment::Arrived);
        commit.open();
        gate.wait();
        child.kill().unwrap();
        ended(child);
        gate.cut();
        says_what_is_certain(&flow, ("K31", "done done done done maybe"));
        world.cloud.set_boot_time(Duration::ZERO);
        flow.step(again).exits(0);
        finished(&flow);
    });
}

/// A run that waits for its transaction on a chain that does not mine, and has looked for it.
fn waiting<'w>(world: &'w World, failpoints: &str) -> (FaultProxy, Flow<'w>, std::process::Child) {
    let (proxy, flow) = through(world, Side::Chain);
    let second_look = proxy.gate(Match::Rpc("eth_getTransactionReceipt"), Nth::Only(2), Moment::Answered);
    let child = command(&flow, "upgrade", &["--timeout", "10m", "--max-fee", "10000"])
        .env("FAILPOINTS", failpoints)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    second_look.wait();
    (proxy, flow, child)
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k21_to_k25_a_death_around_a_higher_fee_leaves_one_nonce() {
    let cases = [
        ("K21", "bump.a=return", 1),
        ("K22", "bump.b=return", 1),
        ("K23", "bump.d=return", 1),
        ("K24", "bump.e=return", 2),
        ("K25", "broadcast.d=1*off->return", 2),
    ];
    each(&cases, |(id, failpoints, signed)| {
        let world = World::with(WorldOptions {
            anvil: AnvilOptions {
                no_mining: true,
                ..AnvilOptions::default()
            },
            ..WorldOptions::default()
        });
        let (_proxy, flow, child) = waiting(&world, failpoints);
        stall(&world, 4);
        let ran = ended(child);
        assert_eq!(ran.exit, -1, "{}", ran.said);
        says_what_is_certain(&flow, (id, "done done maybe none none"));
        let bytes: Vec<_> = flow
            .journal()
            .into_iter()
            .filter(|record| record["kind"] == "tx.signed")
            .map(|record| record["body"]["raw"].clone())
            .collect();
        assert_eq!(bytes.len(), *signed);
        // Fees are what they were, and somebody's node still had the first one.
        let rpc = world.rpc();
        rpc.call("anvil_setNextBlockBaseFeePerGas", serde_json::json!(["0x3b9aca00"]));
        rpc.mine(1);
        rpc.call("evm_setAutomine", serde_json::json!([true]));
        let first = rpc.try_call("eth_sendRawTransaction", serde_json::json!([bytes[0]]));
        assert!(first.is_ok() || *signed == 2, "{first:?}");
        rpc.mine(1);
        flow.step("resume").exits(0);
        finished(&flow);
    });
}

/// Blocks go by without the transaction, and fees rise above what it pays.
fn stall(world: &World, blocks: u64) {
    let rpc = world.rpc();
    rpc.call("anvil_dropAllTransactions", serde_json::json!([]));
    rpc.call("anvil_setNextBlockBaseFeePerGas", serde_json::json!(["0x4a817c800"]));
    rpc.mine(blocks);
}

#[test]
fn a_death_at_any_time_is_followed_by_one_that_finishes() {
    let world = World::start();
    let began = Instant::now();
    Flow::new(&world).step("upgrade").exits(0);
    let whole = began.elapsed();
    const DEATHS: u32 = 16;
    let cases: Vec<u32> = (0..DEATHS).collect();
    each(&cases, |at| {
        let world = World::start();
        let flow = Flow::new(&world);
        let mut child = spawn(&flow, "upgrade", &[]);
        std::thread::sleep(whole * *at / DEATHS);
        child.kill().unwrap();
        ended(child);
        flow.step("upgrade").exits(0);
        finished(&flow);
    });
}

/// Different kinds of record in the journal: how far the upgrade is.
fn progress(flow: &Flow<'_>) -> usize {
    let kinds: std::collections::BTreeSet<String> = flow.kinds().into_iter().collect();
    kinds.len()
}

/// Kills run after run until one is faster than its killer. Gives the deaths, and the deaths of runs that had brought
/// the upgrade further without finishing it.
///
/// A run lives longer than the one before only if that one brought nothing new, and begins with less time than a
/// process needs to start: so many die, at many places, on a machine of any speed.
fn killed_until_done(flow: &Flow<'_>) -> (usize, usize) {
    let mut time = Duration::from_millis(2);
    let (mut deaths, mut further) = (0, 0);
    loop {
        let before = progress(flow);
        let mut child = spawn(flow, "upgrade", &[]);
        std::thread::sleep(time);
        child.kill().unwrap();
        let ran = ended(child);
        if ran.exit == 0 {
            return (deaths, further);
        }
        assert_eq!(ran.exit, -1, "nothing but its death may stop it: {}", ran.said);
        deaths += 1;
        if progress(flow) > before {
            further += 1;
        } else {
            time += time / 8;
        }
        assert!(time < PATIENCE, "{deaths} deaths, and no end");
    }
}

#[test]
fn a_run_that_is_killed_over_and_over_still_gets_there() {
    let mut further = 0;
    // A hasty machine may go from the first record to the last between two deaths; not every time.
    for _ in 0..20 {
        let world = World::start();
        let flow = Flow::new(&world);
        let found = killed_until_done(&flow);
        assert!(found.0 > 3, "{found:?}: it was not killed often enough to say anything");
        finished(&flow);
        assert_eq!(world.cloud.commits(CVM).len(), 1);
        further += found.1;
        if further >= 8 {
            return;
        }
    }
    panic!("{further} deaths between the first record and the last say little");
}

/// Calls by which a run changes a disk or speaks to a server.
const CALLS: &str =
    "openat,write,fallocate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,connect,sendto,writev";

#[test]
fn a_death_at_any_call_to_the_kernel_is_followed_by_one_that_finishes() {
    if !judge::can_trace() {
        return judge::skipped("deaths at calls to the kernel", "no strace");
    }
    let steps: &[usize] = if is_thorough() { &[2, 3, 5, 7, 11] } else { &[5, 11] };
    each(steps, |step| {
        let world = World::start();
        let flow = Flow::new(&world);
        let mut deaths = 0;
        for nth in (20..4000).step_by(*step) {
            let trace = format!("trace={CALLS}");
            let inject = format!("inject={CALLS}:signal=KILL:when={nth}");
            let before = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
            let output = judge::behind(&before, &flow, ("upgrade", &[])).output().unwrap();
            if output.status.success() {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 3, "{deaths} deaths say little");
        finished(&flow);
    });
}
