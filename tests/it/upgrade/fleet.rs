//! Several CVMs of one app by one approval: every one is committed exactly once, whatever happens on the way.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use alloy::primitives::B256;
use serde_json::Value;

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{self, each, is_thorough};
use crate::support::command::shown;
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};
use crate::support::{BootFailure, World, until};
use crate::upgrade::tamper::Dice;

/// A CVM that restarts for as long as a test likes.
const FOREVER: Duration = Duration::from_secs(3600);

/// A fleet of CVMs of one app.
struct Ground {
    world: World,
    names: Vec<String>,
}

impl Ground {
    fn of(world: World, size: u64) -> Self {
        let mut names = vec![CVM.to_owned()];
        names.extend((1..size).map(|number| world.add_cvm(number + 1).name));
        Self { world, names }
    }
    fn new(size: u64) -> Self {
        Self::of(World::start(), size)
    }
    fn flow(&self) -> Flow<'_> {
        Flow::new(&self.world)
    }
    fn commits(&self) -> Vec<Vec<B256>> {
        self.names.iter().map(|name| self.world.cloud.commits(name)).collect()
    }
    /// Commits that the cloud took for each CVM, by its own log of requests.
    fn taken(&self) -> BTreeMap<String, usize> {
        let mut taken: BTreeMap<String, usize> = self.names.iter().map(|name| (name.clone(), 0)).collect();
        for request in self.world.cloud.requests_to("POST", "/commit-update") {
            let cvm = request
                .path
                .trim_end_matches("/commit-update")
                .rsplit('/')
                .next()
                .unwrap();
            if (200..300).contains(&request.status) {
                *taken.get_mut(cvm).unwrap() += 1;
            }
        }
        taken
    }
    /// Every CVM runs the hash by exactly one commit, and one transaction allowed it.
    #[track_caller]
    fn is_done_once(&self, flow: &Flow<'_>, context: &str) {
        assert!(
            self.taken().values().all(|count| *count == 1),
            "{context}: {:?}",
            self.taken()
        );
        for name in &self.names {
            let cvm = self.world.cloud.cvm(name);
            assert_eq!(
                (cvm.compose_hash, cvm.commits),
                (flow.hash, vec![flow.hash]),
                "{context}: {name}"
            );
        }
        assert_eq!(flow.announcements(), 1, "{context}");
        is_one_chain(flow, &self.names);
    }
    /// This CVM runs the new compose file already.
    fn is_ahead(&self, name: &str) {
        self.world.cloud.change_cvm(name, |cvm| {
            cvm.manifest["docker_compose_file"] = Value::from(NEW_COMPOSE);
            cvm.compose_hash = crate::support::cloud::compose_hash(&cvm.manifest);
        });
    }
}

/// The kinds of a member's records, notes left out, or of the fleet's decisions.
fn kinds(flow: &Flow<'_>, member: Option<&str>) -> Vec<String> {
    let records = flow.journal().into_iter();
    let of = records.filter(|record| record["member"].as_str() == member && record["kind"] != "note");
    of.map(|record| record["kind"].as_str().unwrap().to_owned()).collect()
}

/// Number of the first record of this kind among a member's, or the fleet's.
fn first(flow: &Flow<'_>, member: Option<&str>, kind: &str) -> Option<u64> {
    let records = flow.journal().into_iter();
    let mut of = records.filter(|record| record["member"].as_str() == member && record["kind"] == kind);
    of.next().map(|record| record["seq"].as_u64().unwrap())
}

/// One journal for all of them: an unbroken chain, each record under the name of whose it is.
#[track_caller]
fn is_one_chain(flow: &Flow<'_>, names: &[String]) {
    judge::chain(flow);
    let journal = flow.journal();
    assert_eq!(journal[0]["kind"], "fleet.open");
    let stranger = journal
        .iter()
        .filter_map(|record| record["member"].as_str())
        .find(|member| !names.iter().any(|name| name == member));
    assert_eq!(stranger, None);
    for name in names {
        assert!(
            !flow.dir.join(name).join("journal").exists(),
            "{name} has one of its own"
        );
    }
}

fn prepare(flow: &Flow<'_>) -> Command {
    let (dir, compose) = (flow.dir.to_str().unwrap(), flow.compose.to_str().unwrap());
    let arguments = [
        "fleet", "prepare", "--json", "--cvm", CVM, "--all", "-c", compose, "--dir", dir,
    ];
    flow.command(&arguments)
}

fn commit(flow: &Flow<'_>, more: &[&str]) -> Command {
    let dir = flow.dir.to_str().unwrap();
    let mut command = flow.command(&["fleet", "commit", "--json", "--yes", "--dir", dir]);
    command.args(more);
    command
}

/// Executes and proves the first one's proposal by the owner's key.
fn approve(flow: &Flow<'_>) {
    let first = flow.dir.join(CVM);
    let dir = first.to_str().unwrap();
    for step in [
        &["execute", "--json", "--dir", dir, "--signer", "env:OWNER_KEY", "--yes"][..],
        &["wait", "--json", "--dir", dir],
    ] {
        Ran::of(&mut flow.command(step)).exits(0);
    }
}

fn live(ran: &Ran) -> usize {
    let members = ran.json["data"]["members"].as_array().unwrap();
    let live = members
        .iter()
        .filter(|member| member["live"] == Value::Bool(true))
        .count();
    assert_eq!(ran.json["data"]["counts"]["live"], live, "{}", ran.said);
    live
}

fn status(flow: &Flow<'_>) -> Ran {
    let dir = flow.dir.to_str().unwrap();
    Ran::of(&mut flow.command(&["fleet", "status", "--json", "--dir", dir])).exits(0)
}

/// A step of one member's upgrade.
fn member(flow: &Flow<'_>, name: &str, step: &[&str]) -> Ran {
    let dir = flow.dir.join(name);
    let mut command = flow.command(step);
    Ran::of(command.args(["--json", "--dir", dir.to_str().unwrap()]))
}

#[test]
fn one_approval_serves_every_cvm_of_an_app() {
    let ground = Ground::new(12);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow)).exits(0);
    assert_eq!(
        prepared.json["data"]["members"].as_array().unwrap().len(),
        12,
        "{}",
        prepared.said
    );
    Ran::of(&mut commit(&flow, &[])).exits(6);
    assert!(
        ground.commits().iter().all(Vec::is_empty),
        "nothing is committed before it is proved"
    );
    approve(&flow);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&done), 12, "{}", done.said);
    assert_eq!(flow.announcements(), 1, "one transaction for all of them");
    assert!(ground.commits().iter().all(|commits| *commits == [flow.hash]));
    let again = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&again), 12);
    assert!(
        ground.commits().iter().all(|commits| commits.len() == 1),
        "nothing twice"
    );
    assert_eq!(live(&status(&flow)), 12);
    ground.is_done_once(&flow, "twelve");
    // That the canary ran the hash before any other was touched is in the journal.
    let back = first(&flow, Some(CVM), "done").unwrap();
    let passed = first(&flow, None, "fleet.wave.passed").unwrap();
    assert!(back < passed);
    for name in &ground.names[1..] {
        assert!(first(&flow, Some(name), "adopted").unwrap() > passed, "{name}");
        assert!(first(&flow, Some(name), "commit.try").unwrap() > passed, "{name}");
    }
    let decisions = [
        "fleet.open",
        "fleet.prepared",
        "fleet.wave",
        "fleet.wave.passed",
        "fleet.wave",
        "fleet.wave.passed",
    ];
    assert_eq!(kinds(&flow, None), decisions);
}

#[test]
fn each_member_is_an_upgrade_by_its_directory_and_one_lock_is_for_all() {
    let ground = Ground::new(3);
    let flow = ground.flow();
    let other = ground.names[1].as_str();
    let next = Ran::of(&mut prepare(&flow)).exits(0).json["next"].clone();
    let lead = flow.dir.join(CVM).display().to_string();
    assert_eq!(next, format!("countersign execute --dir {lead}"));
    let told = member(&flow, other, &["status"]).exits(0);
    assert_eq!(
        (told.fact("cvm"), told.effect("prepare")),
        (&Value::from(other), "done")
    );
    // Only the first one's proposal is approved: another one's upgrade signs nothing of its own.
    let signer = ["--signer", "env:OWNER_KEY", "--yes"];
    for step in ["execute", "resume"] {
        let step: Vec<&str> = [step].into_iter().chain(signer).collect();
        member(&flow, other, &step).exits(8).says("PENDING_APPROVAL");
    }
    assert_eq!(flow.world.rpc().nonce(flow.world.owner.address), 0);
    let dir = flow.dir.to_str().unwrap();
    let whole = Ran::of(&mut flow.command(&["resume", "--json", "--yes", "--dir", dir]));
    let whole = whole.exits(2).says("USAGE_FLEET");
    assert_eq!(whole.json["next"], format!("countersign fleet status --dir {dir}"));
    let held = countersign::fsutil::AppendFile::hold(&flow.dir.join("journal")).unwrap();
    for name in [CVM, other] {
        member(&flow, name, &["wait"]).exits(11).says("LOCKED");
        member(&flow, name, &["status"]).exits(0);
    }
    Ran::of(&mut commit(&flow, &[])).exits(11).says("LOCKED");
    Ran::of(&mut prepare(&flow)).exits(11).says("LOCKED");
    status(&flow);
    drop(held);
    approve(&flow);
    // One by itself, then the others.
    member(&flow, other, &["resume", "--yes"]).exits(0);
    assert_eq!(live(&status(&flow)), 1);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&done), 3, "{}", done.said);
    ground.is_done_once(&flow, "by directory");
}

#[test]
fn g1_a_signal_ends_a_fleets_run_and_says_where_each_cvm_stands() {
    let ground = Ground::new(3);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    approve(&flow);
    ground.world.cloud.set_boot_time(FOREVER);
    let mut run = commit(&flow, &[]);
    let child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the canary's commit", || first(&flow, Some(CVM), "commit.ok"));
    judge::signal(&child, rustix::process::Signal::TERM);
    let ended = judge::ended(child).exits(143);
    assert_eq!(
        (ended.effect("commit"), ended.effect("transaction")),
        ("maybe", "done"),
        "{}",
        ended.said
    );
    let counts = &ended.json["data"]["counts"];
    assert_eq!(
        (&counts["committed"], &counts["approved"], &counts["prepared"]),
        (&1.into(), &0.into(), &2.into())
    );
    let next = ended.json["next"].as_str().unwrap();
    assert!(
        next.starts_with("countersign fleet commit") && next.contains("--dir"),
        "{next}"
    );
    let missing = flow.dir.join("nowhere");
    let missing = ["fleet", "status", "--json", "--dir", missing.to_str().unwrap()];
    Ran::of(&mut flow.command(&missing)).exits(2).says("USAGE_NO_UPGRADE");
}

#[test]
fn a_cvm_that_runs_the_hash_already_is_left_out_and_said_to_be() {
    let ground = Ground::new(4);
    let flow = ground.flow();
    ground.world.allow(flow.hash);
    // The one that was named, whose proposal would have been approved, and another.
    for name in [CVM, ground.names[2].as_str()] {
        ground.is_ahead(name);
    }
    let prepared = Ran::of(&mut prepare(&flow)).exits(0);
    let data = &prepared.json["data"];
    let left_out: Vec<&Value> = data["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["cvm"])
        .collect();
    assert_eq!(left_out, [CVM, ground.names[2].as_str()], "{}", prepared.said);
    assert_eq!(
        (&data["counts"]["members"], &data["counts"]["left_out"]),
        (&2.into(), &2.into())
    );
    assert!(
        prepared.said.contains("2 run it already and are left out"),
        "{}",
        prepared.said
    );
    let lead = flow.dir.join(&ground.names[1]);
    assert_eq!(data["approval"], lead.display().to_string());
    // Nor do they come in when it is run again.
    Ran::of(&mut prepare(&flow)).exits(0);
    let signer = ["execute", "--signer", "env:OWNER_KEY", "--yes"];
    member(&flow, &ground.names[1], &signer).exits(0);
    member(&flow, &ground.names[1], &["wait"]).exits(0);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(
        (live(&done), done.json["data"]["left_out"].as_array().unwrap().len()),
        (2, 2)
    );
    let taken: Vec<usize> = ground.names.iter().map(|name| ground.taken()[name]).collect();
    assert_eq!(taken, [0, 1, 0, 1]);
}

#[test]
fn a_cvm_that_was_given_up_is_not_live_and_keeps_nobody_back() {
    let ground = Ground::new(4);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    let (early, late) = (ground.names[1].as_str(), ground.names[2].as_str());
    member(&flow, early, &["reject"]).exits(2).says("USAGE_CONSENT");
    member(&flow, early, &["reject", "--yes"]).exits(0);
    assert!(
        !flow.dir.join(early).join("token").exists(),
        "its commit token is of no use"
    );
    approve(&flow);
    // One that stops every wave is given up after it was committed, and the rest goes on.
    ground
        .world
        .cloud
        .set_boot_failure(Some(BootFailure::Error("no disk left".to_owned())));
    Ran::of(&mut commit(&flow, &["--canary", "0", "--parallel", "1"])).exits(7);
    ground.world.cloud.set_boot_failure(None);
    member(&flow, CVM, &["reject", "--yes"]).exits(0);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&done), 2, "{}", done.said);
    let counts = &done.json["data"]["counts"];
    assert_eq!(
        (&counts["members"], &counts["given_up"]),
        (&4.into(), &2.into()),
        "{}",
        done.said
    );
    assert!(done.said.contains("2 were given up"), "{}", done.said);
    let standing = |name: &str| {
        let members = done.json["data"]["members"].as_array().unwrap();
        let of = members.iter().find(|member| member["cvm"] == name).unwrap();
        (of["standing"].clone(), of["live"].clone())
    };
    for name in [CVM, early] {
        assert_eq!(standing(name), ("given-up".into(), false.into()), "{name}");
    }
    assert_eq!(standing(late), ("live".into(), true.into()));
    member(&flow, late, &["reject", "--yes"]).exits(6).says("ALREADY_LIVE");
    let taken: Vec<usize> = ground.names.iter().map(|name| ground.taken()[name]).collect();
    assert_eq!(taken, [1, 0, 1, 1]);
}

#[test]
fn a_safe_approves_for_the_whole_fleet() {
    let safe = SafeOptions {
        release: 1,
        l2: true,
        threshold: 1,
        owners: 2,
    };
    let world = World::with(WorldOptions {
        safe: Some(safe),
        ..WorldOptions::default()
    });
    let ground = Ground::of(world, 3);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    let first = flow.dir.join(CVM);
    let dir = first.to_str().unwrap();
    let signed = ["--signer", "env:SIGNER_0", "--yes"];
    for step in ["sign", "execute"] {
        let mut command = flow.command(&[step, "--json", "--dir", dir]);
        Ran::of(command.args(signed)).exits(0);
    }
    Ran::of(&mut flow.command(&["wait", "--json", "--dir", dir])).exits(0);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&done), 3, "{}", done.said);
    for name in &ground.names[1..] {
        assert!(
            !kinds(&flow, Some(name)).contains(&"safe.frozen".to_owned()),
            "{name} chose a transaction of its own that somebody could sign"
        );
    }
    assert!(ground.commits().iter().all(|commits| *commits == [flow.hash]));
}

#[test]
fn a_canary_whose_app_does_not_serve_stops_the_rest() {
    let ground = Ground::new(3);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    approve(&flow);
    let app = crate::cli::pipelines::App::saying(500, "no");
    let probe = ["--canary", "1", "--probe", &app.url, "--timeout", "20s"];
    let failed = Ran::of(&mut commit(&flow, &probe)).exits(7).says("PROBE_FAILED");
    assert_eq!(live(&failed), 1, "{}", failed.said);
    let touched = ground.commits().iter().filter(|commits| !commits.is_empty()).count();
    assert_eq!(touched, 1, "only the canary was touched");
    assert!(failed.said.contains("runs the new hash"), "{}", failed.said);
    // Without a probe the rest follow.
    Ran::of(&mut commit(&flow, &[])).exits(0);
    ground.is_done_once(&flow, "after the canary");
}

#[test]
fn a_canary_that_does_not_come_back_stops_the_rest() {
    let ground = Ground::new(5);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    approve(&flow);
    ground
        .world
        .cloud
        .set_boot_failure(Some(BootFailure::Error("no disk left".to_owned())));
    let failed = Ran::of(&mut commit(&flow, &["--canary", "1"]))
        .exits(7)
        .says("BOOT_FAILED");
    assert_eq!(live(&failed), 0, "{}", failed.said);
    let touched = ground.commits().iter().filter(|commits| !commits.is_empty()).count();
    assert_eq!(touched, 1, "only the canary was touched");
    let data = &status(&flow).json["data"];
    assert_eq!(
        (&data["wave"]["canary"], &data["wave"]["end"]),
        (&true.into(), &"stopped".into())
    );
    assert_eq!(data["counts"]["stopped"], 1);
    let why = data["members"][0]["stopped"].as_str().unwrap();
    assert!(why.contains("no disk left") && failed.said.contains(CVM), "{why}");
    // The next run is as careful again.
    Ran::of(&mut commit(&flow, &["--canary", "1"]))
        .exits(7)
        .says("BOOT_FAILED");
    let touched = ground.commits().iter().filter(|commits| !commits.is_empty()).count();
    assert_eq!(touched, 1, "still only the canary");
}

#[test]
fn k_a_fleet_that_is_killed_on_the_way_commits_every_cvm_once() {
    const DEATHS: [&str; 8] = [
        "commit.a=return",
        "commit.b=return",
        "commit.d=return",
        "commit.e=return",
        "commit.a=3*off->return",
        "commit.b=3*off->return",
        "commit.d=3*off->return",
        "commit.e=3*off->return",
    ];
    each(&DEATHS, |failpoints| {
        let ground = Ground::new(6);
        let flow = ground.flow();
        Ran::of(&mut prepare(&flow)).exits(0);
        approve(&flow);
        let output = commit(&flow, &["--parallel", "2"])
            .env("FAILPOINTS", failpoints)
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(9), "{failpoints}: {}", shown(&output));
        let done = Ran::of(&mut commit(&flow, &[])).exits(0);
        assert_eq!(live(&done), 6, "{failpoints}: {}", done.said);
        ground.is_done_once(&flow, failpoints);
    });
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k_a_fleet_that_is_killed_while_it_is_prepared_goes_on() {
    // One after the other in the same directory: durable writes of the journal, of raw answers, tokens and proposals, and
    // the fleet's own decisions.
    const DEATHS: [&str; 11] = [
        "append.a=return",
        "fleet.e=return",
        "append.d=return",
        "write.d=2*off->return",
        "append.a=3*off->return",
        "prepare.b=return",
        "append.d=6*off->return",
        "prepare.d=1*off->return",
        "write.b=9*off->return",
        "export.a=return",
        "fleet.b=return",
    ];
    let ground = Ground::new(5);
    let flow = ground.flow();
    for failpoints in DEATHS {
        let output = prepare(&flow).env("FAILPOINTS", failpoints).output().unwrap();
        let died = output.status.signal() == Some(9);
        // The first records are written once.
        assert!(
            died || failpoints == "fleet.e=return",
            "{failpoints}: {}",
            shown(&output)
        );
        Ran::of(&mut commit(&flow, &[])).says_one_of(&["STEP_TOO_EARLY", "USAGE_NO_UPGRADE"]);
    }
    let prepared = Ran::of(&mut prepare(&flow)).exits(0);
    assert_eq!(prepared.json["data"]["counts"]["prepared"], 5, "{}", prepared.said);
    assert!(ground.commits().iter().all(Vec::is_empty));
    approve(&flow);
    let done = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&done), 5, "{}", done.said);
    ground.is_done_once(&flow, "killed while it was prepared");
    for name in &ground.names {
        assert_eq!(
            kinds(&flow, Some(name)).iter().filter(|kind| *kind == "open").count(),
            1,
            "{name}"
        );
    }
}

/// How a run is ended.
#[derive(Debug)]
enum Death {
    /// By itself, around the n-th durable append from now.
    Append(&'static str, usize),
    /// From outside, once the cloud has seen so many more requests.
    Requests(usize),
}

/// Runs `command` until it dies; `false`: it was done before.
fn dies(ground: &Ground, command: &mut Command, death: &Death) -> bool {
    let before = ground.world.cloud.request_count();
    if let Death::Append(point, skipped) = death {
        command.env("FAILPOINTS", format!("{point}={skipped}*off->return"));
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    until("the run to end, or to be ended", || {
        if child.try_wait().unwrap().is_some() {
            return Some(());
        }
        let Death::Requests(after) = death else { return None };
        (ground.world.cloud.request_count() >= before + after).then(|| child.kill().unwrap())
    });
    child.wait().unwrap().signal() == Some(9)
}

/// Ten deaths at random places of preparing and committing `size` CVMs, then to the end. The cloud's log judges.
fn killed_ten_times(size: u64, parallel: &str) {
    let seed = std::env::var("COUNTERSIGN_TEST_SEED").map_or_else(
        |_| u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()),
        |text| text.parse().unwrap(),
    );
    let mut dice = Dice(seed);
    let ground = Ground::new(size);
    let flow = ground.flow();
    let size = usize::try_from(size).unwrap();
    let begun = std::time::Instant::now();
    let mut log = format!("seed {seed}, {size} CVMs:");
    let mut kill = |phase: &str, most: usize, command: &mut dyn FnMut() -> Command| {
        let death = match dice.below(3) {
            0 => Death::Append("append.a", dice.below(most)),
            1 => Death::Append("append.d", dice.below(most)),
            _ => Death::Requests(1 + dice.below(most)),
        };
        let died = dies(&ground, &mut command(), &death);
        log.push_str(&format!(
            " {phase} {death:?}{}",
            if died { ";" } else { " (was done);" }
        ));
        assert!(died, "{log}");
    };
    // A run has several records and requests to make for each CVM: a part of them for each death leaves some for the next.
    for _ in 0..4 {
        kill("prepare", size.div_ceil(2), &mut || {
            let mut command = prepare(&flow);
            command.args(["--parallel", parallel]);
            command
        });
    }
    Ran::of(&mut prepare(&flow)).exits(0);
    approve(&flow);
    for _ in 0..6 {
        kill("commit", size.div_ceil(4), &mut || {
            commit(&flow, &["--parallel", parallel])
        });
    }
    let done = Ran::of(&mut commit(&flow, &["--parallel", parallel])).exits(0);
    assert_eq!(live(&done), size, "{log}\n{}", done.said);
    ground.is_done_once(&flow, &log);
    judge::say(&format!(
        "{log}\nten deaths and the end of it took {:?}",
        begun.elapsed()
    ));
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k_a_fleet_that_is_killed_ten_times_anywhere_commits_every_cvm_once() {
    killed_ten_times(16, "3");
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k_a_large_fleet_that_is_killed_ten_times_anywhere_commits_every_cvm_once() {
    killed_ten_times(if is_thorough() { 200 } else { 60 }, "8");
}

#[test]
fn a_cvm_of_another_app_or_with_another_hash_does_not_join() {
    let ground = Ground::new(2);
    let other = ground.names[1].clone();
    ground.world.cloud.change_cvm(&other, |cvm| {
        cvm.manifest["name"] = Value::from("renamed");
        cvm.compose_hash = crate::support::cloud::compose_hash(&cvm.manifest);
    });
    let runs = ground.world.cloud.cvm(&other).compose_hash;
    ground
        .world
        .as_owner(&crate::support::contracts::abi::addComposeHashCall { composeHash: runs });
    let flow = ground.flow();
    let stopped = Ran::of(&mut prepare(&flow)).exits(5).says("FLEET_HASH_MISMATCH");
    assert!(stopped.said.contains(&other), "{}", stopped.said);
    // Nothing of it can be approved: the fleet is not prepared.
    Ran::of(&mut commit(&flow, &[])).exits(6).says("STEP_TOO_EARLY");
    assert_eq!(kinds(&flow, None), ["fleet.open"]);
    // It goes on without the one that does not fit.
    let mut without = prepare(&flow);
    let prepared = Ran::of(without.args(["--without", &other])).exits(0);
    let left_out = &prepared.json["data"]["left_out"];
    assert_eq!(left_out, &serde_json::json!([{"cvm": other, "compose_hash": null}]));
    let mut late = prepare(&flow);
    Ran::of(late.args(["--without", CVM]))
        .exits(6)
        .says("FLEET_MEMBER_BEGUN");
    approve(&flow);
    assert_eq!(live(&Ran::of(&mut commit(&flow, &[])).exits(0)), 1);
    assert_eq!(ground.taken()[&other], 0);
}

#[test]
fn se2_p1_a_member_that_was_only_reported_is_looked_at_again_and_committed() {
    let ground = Ground::new(2);
    let flow = ground.flow();
    Ran::of(&mut prepare(&flow)).exits(0);
    approve(&flow);
    let hash = flow.hash;
    let edit = move |record: &mut Value| {
        if record["name"] == CVM {
            record["compose_hash"] = Value::from(hex::encode(hash));
            record["status"] = Value::from("running");
            record["progress"] = Value::Null;
        }
    };
    ground
        .world
        .cloud
        .lie(|lies| lies.edit_cvm = Some(std::sync::Arc::new(edit)));
    let first = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&first), 2, "{}", first.said);
    assert!(ground.world.cloud.commits(CVM).is_empty(), "nobody committed it");
    ground.world.cloud.lie(|lies| lies.edit_cvm = None);
    let second = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(live(&second), 2, "{}", second.said);
    ground.is_done_once(&flow, "looked at again");
    // What something replaced since is told, and not made again.
    let before = ground.world.first_hash;
    ground.world.cloud.change_cvm(CVM, |cvm| cvm.compose_hash = before);
    let third = Ran::of(&mut commit(&flow, &[])).exits(0);
    assert_eq!(third.json["warnings"][0]["code"], "CVM_RUNS_ANOTHER", "{}", third.said);
    assert!(!third.json["message"].as_str().unwrap().starts_with("every CVM runs"));
    assert_eq!(ground.taken()[CVM], 1);
}
