//! countersign beside the official tools, in one run: the same acts against the same simulated cloud and an anvil each,
//! all on loopback, one run of ours and one of theirs in turn. `cargo bench --bench side_by_side -- --quick` is shorter,
//! `--fleet` measures only lists of many CVMs, and `--slope` only round trips that wait for one another.
//!
//! What it prints it also writes to `target/bench/side_by_side.json`, with every sample. A target that is missed is
//! said and is not a failure: times depend on the machine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    unreachable_pub,
    reason = "a bench prints, and ends when its world is broken"
)]

#[path = "side_by_side/acts.rs"]
mod acts;
#[path = "side_by_side/ceremony.rs"]
mod ceremony;
#[path = "side_by_side/delay.rs"]
mod delay;
#[path = "side_by_side/fleet.rs"]
mod fleet;
#[path = "side_by_side/measure.rs"]
mod measure;
#[path = "side_by_side/slope.rs"]
mod slope;
#[path = "../tests/it/support/mod.rs"]
mod support;
#[path = "side_by_side/table.rs"]
mod table;

use std::process::ExitCode;

use serde_json::json;

use acts::{Ours, Theirs};
use support::FaultProxy;
use table::{Costs, Row, Target, Unit};

/// The tool's program, as it is released.
const BINARY: &str = env!("CARGO_BIN_EXE_countersign");

/// Runs of each act.
const ROUNDS: u32 = 12;
const QUICK_ROUNDS: u32 = 3;

/// Time between blocks in the scenario about delay, seconds.
const BLOCK_TIME: u64 = 2;

/// HTTP requests to one RPC endpoint that an upgrade may take.
const ROUND_TRIPS: f64 = 20.0;

fn main() -> ExitCode {
    if let Some(code) = measure::launcher() {
        return code;
    }
    let asked = |flag: &str| std::env::args().any(|argument| argument == flag);
    let rounds = if asked("--quick") { QUICK_ROUNDS } else { ROUNDS };
    let began = load();
    let rows = if asked("--fleet") {
        fleet::rows(rounds)
    } else if asked("--slope") {
        slope::rows(rounds)
    } else {
        all(rounds)
    };
    let about = format!(
        "{rounds} runs each, in turn; median (least–most); load of the machine {began} before, {} after",
        load()
    );
    println!("{}\n\n{about}", table::table(&rows));
    write(&rows, &about);
    ExitCode::SUCCESS
}

fn all(rounds: u32) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(start(rounds));
    rows.extend(steps(rounds));
    rows.extend(upgrades(rounds));
    rows.push(round_trips("upgrade, block per transaction", None, QUICK_ROUNDS));
    rows.push(round_trips("upgrade, 2-second blocks", Some(BLOCK_TIME), QUICK_ROUNDS));
    rows.extend(delay::rows(rounds, BLOCK_TIME));
    rows.extend(slope::rows(rounds.min(QUICK_ROUNDS)));
    rows.extend(ceremony::rows(rounds));
    rows.extend(fleet::rows(rounds));
    rows.push(size());
    rows
}

/// What it costs to start a program that does nothing.
fn start(rounds: u32) -> Vec<Row> {
    let (ours, theirs) = (Ours::start(None), Theirs::start(31337));
    let mut costs = Costs::new("--version", Target::None, Target::None);
    for round in 0..=rounds {
        let (mine, other) = (ours.version(), theirs.version());
        // The first round brings files into the page cache.
        if round > 0 {
            costs.ours(mine);
            costs.theirs(other);
        }
    }
    costs.rows().into()
}

/// Prepare and commit, with the owner's transaction between them made by the harness.
fn steps(rounds: u32) -> Vec<Row> {
    let (ours, theirs) = (Ours::start(None), Theirs::start(31337));
    let targets = (Target::PartOfTheirs(1.0 / 20.0), Target::PartOfTheirs(1.0 / 5.0));
    let mut prepare = Costs::new("prepare", targets.0, targets.1);
    let mut commit = Costs::new("commit", targets.0, targets.1);
    for round in 0..=rounds {
        let mine = ours.prepare_and_commit(round);
        let other = theirs.prepare_and_commit(round);
        if round > 0 {
            prepare.ours(mine.0);
            commit.ours(mine.1);
            prepare.theirs(other.0);
            commit.theirs(other.1);
        }
    }
    prepare.rows().into_iter().chain(commit.rows()).collect()
}

/// The whole of it for one key. Theirs knows no 31337 there (the multicall contract is missing in its table), and the
/// released program of ours takes no copy of Base: each has the chain id it can have, on the same kind of chain. Theirs
/// ends when the commit is accepted, unless it is told to wait; ours ends when the CVM is live, unless it is told not to.
fn upgrades(rounds: u32) -> Vec<Row> {
    let (ours, theirs) = (Ours::start(None), Theirs::start(8453));
    let eighth = Target::PartOfTheirs(1.0 / 8.0);
    let row = |name: &str| Row::new(&format!("upgrade, {name}: wall time"), Unit::Milliseconds, eighth);
    let mut accepted = Costs::new("upgrade, commit accepted", eighth, Target::None);
    let mut by_sdk = row("commit accepted, theirs by SDK");
    let mut live = row("ours live, theirs accepted");
    let mut both_live = row("live");
    for round in (0..=rounds * 2).step_by(2) {
        let mine = ours.upgrade(round, &["--no-wait"]);
        let cli = theirs.upgrade_by_cli(round, &[]);
        let mine_live = ours.upgrade(round + 1, &[]);
        let cli_live = theirs.upgrade_by_cli(round + 1, &["--wait"]);
        let sdk = theirs.upgrade_by_sdk(round + 1000);
        if round > 0 {
            accepted.ours(mine);
            accepted.theirs(cli);
            by_sdk.add(mine, sdk);
            live.add(mine_live, cli);
            both_live.add(mine_live, cli_live);
        }
    }
    accepted.rows().into_iter().chain([by_sdk, live, both_live]).collect()
}

/// HTTP requests to the chain's one endpoint, seen by a proxy in between.
fn round_trips(name: &str, block_time: Option<u64>, rounds: u32) -> Row {
    let mut ours = Ours::start(block_time);
    let proxy = FaultProxy::to(&ours.world.anvil.url());
    ours.chain = Some(proxy.url());
    let mut row = Row::new(
        &format!("{name}: requests to the RPC endpoint"),
        Unit::Count,
        Target::NeverAbove(ROUND_TRIPS),
    );
    for round in 0..rounds {
        proxy.forget();
        ours.upgrade(round, &["--confirmations", "1"]);
        row.ours.add(f64::from(u32::try_from(proxy.requests()).unwrap()));
    }
    row
}

fn size() -> Row {
    let bytes = std::fs::metadata(BINARY).unwrap().len();
    let mut row = Row::new("size of the program", Unit::Megabytes, Target::NeverAbove(26.0));
    row.ours.add(f64::from(u32::try_from(bytes / 1000).unwrap()) / 1e3);
    row
}

/// Load average of the last minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn write(rows: &[Row], about: &str) {
    let folder = support::repository().join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let result = json!({
        "about": about,
        "at": jiff::Timestamp::now().to_string(),
        "countersign": env!("CARGO_PKG_VERSION"),
        "processors": processors,
        "rows": rows.iter().map(Row::json).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&result).unwrap();
    std::fs::write(folder.join("side_by_side.json"), text).unwrap();
}
