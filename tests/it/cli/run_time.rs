//! The time for a run is one: whatever cloud and endpoints do, it ends a few seconds after `--timeout` at the latest, begins
//! nothing with an effect after it, and says what is pending.

use std::time::{Duration, Instant};

use crate::cloud::faults::COMMIT;
use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::finished;
use crate::support::world::CVM;
use crate::support::{Action, FaultProxy, Match, Moment, Nth, World};

/// What a run has after its time, and as much again for a machine that is busy.
const GRACE: Duration = Duration::from_secs(5 + 5);

fn approved(flow: &Flow<'_>) {
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
}

fn path(of: &std::path::Path) -> &str {
    of.to_str().unwrap()
}

/// The run, which ended in time, and how often the proxy was asked by it.
fn timed(proxy: &FaultProxy, (seconds, run): (u64, impl FnOnce() -> Ran)) -> (Ran, usize) {
    let (before, began) = (proxy.seen().len(), Instant::now());
    let ran = run();
    let most = Duration::from_secs(seconds) + GRACE;
    assert!(began.elapsed() < most, "{:?}: {}", began.elapsed(), ran.said);
    (ran, proxy.seen().len() - before)
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn fr2_16_a_slow_cloud_takes_no_longer_than_the_time_and_one_grace() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    let slow = || {
        let proxy = FaultProxy::to(&world.cloud.prefix());
        proxy.on(Match::Any, Nth::Every, Action::Delay(Duration::from_millis(4600)));
        proxy
    };
    let other = world.file("other.yml", "services:\n  web:\n    image: nginx:1.29\n");
    let one = |step: &'static str| {
        let (proxy, mut flow) = (slow(), Flow::new(&world));
        if step != "commit" {
            (flow.compose, flow.dir) = (other.clone(), world.folder().join(format!("slow-{step}")));
        }
        let flow = flow.cloud_at(&proxy.prefix());
        let mut more = vec!["--timeout", "6s"];
        more.extend((step != "commit").then_some("--supersede"));
        let (ran, asked) = timed(&proxy, (6, || flow.with(step, &more)));
        // One that ends before the time is up, one that begins before, and one after it; some of them two at a time.
        assert!(asked <= 5, "{step}: {asked}: {}", ran.said);
        match step {
            // Its commit began in time, and its outcome is known.
            "commit" => assert_eq!(ran.exits(8).says("PENDING_RESTART").effect("commit"), "done"),
            _ => drop(ran.exits(75).says("NET_TIMEOUT")),
        }
    };
    std::thread::scope(|scope| {
        for step in ["prepare", "upgrade", "commit"] {
            scope.spawn(move || one(step));
        }
    });
    assert_eq!(
        world.cloud.requests_to("PATCH", "").len(),
        1,
        "nothing else was prepared"
    );
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn fr2_16_nothing_with_an_effect_begins_after_the_time_and_what_began_learns_its_outcome() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    approved(&flow);
    let pause = Action::Delay(Duration::from_secs(2));
    proxy.on(Match::Http("GET", "/cvms/"), Nth::Only(1), pause);
    let late = flow.with("commit", &["--timeout", "1s"]).exits(75).says("NET_TIMEOUT");
    assert!(late.said.contains("was not begun"), "{}", late.said);
    assert_eq!(late.effect("commit"), "none");
    flow.nothing_committed();
    proxy.heal();
    proxy.on(COMMIT, Nth::Only(1), Action::Delay(Duration::from_secs(5)));
    let begun = flow.with("commit", &["--timeout", "4s"]);
    assert!(matches!(begun.exit, 0 | 8), "{}", begun.said);
    assert_eq!(begun.effect("commit"), "done", "{}", begun.said);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn fr2_16_a_commit_behind_another_operation_is_pending_and_not_sent() {
    let world = World::start();
    let flow = Flow::new(&world);
    approved(&flow);
    let busy = |operation: Option<&str>| {
        let operation = operation.map(str::to_owned);
        world.cloud.change_cvm(CVM, |cvm| cvm.progress = operation);
    };
    busy(Some("restart"));
    let ran = flow
        .with("commit", &["--timeout", "2s"])
        .exits(8)
        .says("PENDING_OPERATION");
    assert_eq!(ran.effect("commit"), "none", "{}", ran.said);
    assert!(world.cloud.requests_to("POST", "/commit-update").is_empty());
    busy(None);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn fr2_16_a_slow_endpoint_takes_no_longer_than_the_time_and_one_grace() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let flow = Flow::new(&world).chain_at(&proxy.url());
    flow.step("prepare").exits(0);
    proxy.on(Match::Any, Nth::Every, Action::Delay(Duration::from_secs(3)));
    let app = world.app.to_string();
    let of_app = ["--chain-id", "31337", "--json", "--timeout", "4s"];
    let lists: [&[&str]; 4] = [
        &["app", "check", &app],
        &["app", "owner", "show", &app],
        &["app", "hashes", "list", &app],
        &["app", "devices", "list", &app],
    ];
    for list in lists {
        let (ran, asked) = timed(&proxy, (4, || Ran::of(&mut flow.command(&[list, &of_app].concat()))));
        assert!(asked <= 4, "{asked}: {}", ran.said);
        ran.exits(75);
    }
    let own = ["review", "--json", "--timeout", "4s", "--dir", path(&flow.dir)];
    let (ran, asked) = timed(&proxy, (4, || Ran::of(&mut flow.command(&own))));
    assert!(asked <= 4, "{asked}: {}", ran.said);
    for step in ["execute", "wait"] {
        let (ran, asked) = timed(&proxy, (4, || flow.with(step, &["--timeout", "4s"])));
        assert!(asked <= 4, "{step}: {asked}: {}", ran.said);
        assert!(matches!(ran.exit, 8 | 75), "{}", ran.said);
        flow.nothing_happened();
    }
    proxy.heal();
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn fr2_16_a_token_that_is_refused_while_another_operation_runs_settles_nothing() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    approved(&flow);
    world.cloud.advance(15 * 24 * 3600);
    let gate = proxy.gate(COMMIT, Nth::Only(1), Moment::Arrived);
    let ran = std::thread::scope(|scope| {
        let run = scope.spawn(|| flow.with("commit", &["--timeout", "6s"]));
        gate.wait();
        world
            .cloud
            .change_cvm(CVM, |cvm| cvm.progress = Some("restart".to_owned()));
        gate.open();
        run.join().unwrap()
    });
    assert_ne!(ran.exits(9).says("COMMIT_UNKNOWN").effect("commit"), "done");
}
