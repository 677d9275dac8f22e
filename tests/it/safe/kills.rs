//! The process dies by SIGKILL around every effect of the Safe route; the same command again finishes it once.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::{B256, U256};
use serde_json::json;

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{self, copied, each, ended, offline_status};
use crate::safe::upgrade::{Person, proposal, signer};
use crate::support::command::shown;
use crate::support::safe_service::SERVICE_KEY;
use crate::support::{FaultProxy, Match, Moment, Nth, SafeOptions, SafeService, World, WorldOptions, safes};

/// Command, place of death.
const POINTS: [(&str, &str); 19] = [
    ("prepare", "freeze.a"),
    ("prepare", "freeze.b"),
    ("prepare", "export.a"),
    ("sign", "safe.sign.a"),
    ("sign", "safe.sign.b"),
    ("sign", "safe-sign.b"),
    ("sign", "safe-sign.d"),
    ("sign", "safe.sign.d"),
    ("sign", "safe.sign.e"),
    ("sign --on-chain", "errand.a"),
    ("sign --on-chain", "sign.b"),
    ("sign --on-chain", "sign.d"),
    ("sign --on-chain", "sign.e"),
    ("sign --on-chain", "broadcast.d"),
    ("execute", "sign.a"),
    ("execute", "sign.b"),
    ("execute", "sign.d"),
    ("execute", "sign.e"),
    ("execute", "broadcast.d"),
];

fn step(flow: &Flow<'_>, words: &str) -> Command {
    if words == "prepare" {
        return judge::command(flow, "prepare", &[]);
    }
    let dir = flow.dir.to_str().unwrap();
    let mut all: Vec<&str> = words.split(' ').collect();
    let key = if words == "execute" {
        "env:SIGNER_4"
    } else {
        "env:SIGNER_0"
    };
    all.extend(["--dir", dir, "--signer", key, "--yes", "--json"]);
    flow.command(&all)
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k_a_death_around_any_effect_of_the_safe_route_is_followed_by_one_that_finishes() {
    each(&POINTS, |(words, point)| {
        let world = World::with(WorldOptions {
            safe: Some(SafeOptions {
                release: 1,
                l2: true,
                threshold: 1,
                owners: 2,
            }),
            ..WorldOptions::default()
        });
        let flow = Flow::new(&world);
        let on_chain = *words == "sign --on-chain";
        let sign = if on_chain { "sign --on-chain" } else { "sign" };
        for one in ["prepare", sign, "execute"] {
            if one == *words {
                let output = step(&flow, one)
                    .env("FAILPOINTS", format!("{point}=return"))
                    .output()
                    .unwrap();
                assert_eq!(output.status.signal(), Some(9), "{point}: {}", shown(&output));
            }
            Ran::of(&mut step(&flow, one)).exits(0);
        }
        flow.step("wait").exits(0);
        flow.step("commit").exits(0);
        flow.landed_once();
        let nonce = world.rpc().read(world.safe.unwrap(), &safes::abi::nonceCall {});
        assert_eq!(nonce, U256::from(1), "{point}");
        let payer = crate::support::ACCOUNTS[4].address;
        assert_eq!(world.rpc().nonce(payer), 1, "{point}: one execution");
        if !on_chain {
            judge::legal(&flow);
        }
    });
}

/// Around every write that has to survive: of a file (before it, before it gets its name, after), of a record.
const DISK: [&str; 5] = ["write.a", "write.b", "write.d", "append.a", "append.d"];

/// Runs `die` once for every durable write that a command makes, until it gives `false`: nobody died. It is told where
/// to die and a name for this death. Gives the number of deaths.
pub fn at_every_write(die: impl Fn(&str, &str) -> bool + Sync) -> usize {
    let deaths = AtomicUsize::new(0);
    each(&DISK, |point| {
        for nth in 0.. {
            let failpoints = match nth {
                0 => format!("{point}=return"),
                skipped => format!("{point}={skipped}*off->return"),
            };
            if !die(&failpoints, &format!("{}-{nth}", point.replace('.', "-"))) {
                break;
            }
            deaths.fetch_add(1, Ordering::SeqCst);
            assert!(nth < 50, "{point}: this does not end");
        }
    });
    deaths.into_inner()
}

/// Whether the command died where it should; otherwise it has to have succeeded.
pub fn dies(command: &mut Command, failpoints: &str) -> bool {
    let output = command.env("FAILPOINTS", failpoints).output().unwrap();
    command.env_remove("FAILPOINTS");
    if output.status.signal() == Some(9) {
        return true;
    }
    assert!(output.status.success(), "{failpoints}: {}", shown(&output));
    false
}

fn two_of_three() -> World {
    World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        ..WorldOptions::default()
    })
}

/// No file that was begun is left, and the journal holds each owner's signature once.
fn whole(flow: &Flow<'_>, owners: usize, tag: &str) {
    judge::legal(flow);
    let kinds = flow.kinds();
    let signed = kinds.iter().filter(|kind| *kind == "safe.signature").count();
    assert_eq!(signed, owners, "{tag}: {kinds:?}");
    let held = proposal(flow)["safe"]["signatures"].as_array().unwrap().len();
    assert_eq!(held, owners, "{tag}");
    for entry in std::fs::read_dir(&flow.dir).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.starts_with(".countersign-"), "{tag}: {name}");
    }
}

/// What two owners made of the proposal: a file with a signature, and a signed copy.
fn two_signatures(flow: &Flow<'_>) -> [String; 2] {
    let (alice, bob) = (Person::new(flow, "alice"), Person::new(flow, "bob"));
    let own = flow.dir.join("proposal.json");
    let (file, out) = (alice.get(&own, "proposal.json"), alice.file("alice.json"));
    alice
        .run(&["sign", &file, "--out", &out, "--signer", &signer(0), "--yes"])
        .exits(0);
    let file = bob.get(&own, "from-bob.json");
    bob.run(&["sign", &file, "--signer", &signer(2), "--yes"]).exits(0);
    [out, file]
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k06_to_k10_a_death_at_any_write_of_import_loses_no_signature_and_takes_none_twice() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let [alice, bob] = two_signatures(&flow);
    let deaths = at_every_write(|failpoints, tag| {
        let flow = copied(&flow, tag);
        let dir = flow.dir.to_str().unwrap();
        let mut import = flow.command(&["import", &alice, &bob, "--dir", dir, "--json"]);
        if !dies(&mut import, failpoints) {
            return false;
        }
        offline_status(&flow).exits(0);
        Ran::of(&mut import).exits(0);
        whole(&flow, 2, tag);
        true
    });
    // Two records with their heads, and the proposal.
    assert!(deaths >= 4 + 3, "{deaths}");
    let last = judge::moved(&flow, world.folder().join("append-a-1"));
    let key = signer(1);
    let dir = last.dir.to_str().unwrap();
    Ran::of(&mut last.command(&["execute", "--dir", dir, "--signer", &key, "--yes", "--json"])).exits(0);
    last.step("wait").exits(0);
    last.step("commit").exits(0);
    last.landed_once();
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k06_to_k10_a_proposal_by_itself_is_the_old_one_or_the_new_one_wherever_import_or_sign_dies() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let [alice, bob] = two_signatures(&flow);
    let before = std::fs::read(flow.dir.join("proposal.json")).unwrap();
    let taken = Person::new(&flow, "taken");
    let file = taken.get(&flow.dir.join("proposal.json"), "proposal.json");
    let [between, after] = [&alice, &bob].map(|from| {
        taken.run(&["import", from, "--proposal", &file]).exits(0);
        std::fs::read(&file).unwrap()
    });
    let deaths = at_every_write(|failpoints, tag| {
        let person = Person::new(&flow, &format!("importer-{tag}"));
        let file = person.get(&flow.dir.join("proposal.json"), "proposal.json");
        let mut import = flow.command(&["import", &alice, &bob, "--proposal", &file, "--json"]);
        if !dies(import.env("HOME", &person.home), failpoints) {
            return false;
        }
        let now = std::fs::read(&file).unwrap();
        assert!([&before, &between, &after].contains(&&now), "{tag}");
        Ran::of(&mut import).exits(0);
        assert_eq!(std::fs::read(&file).unwrap(), after, "{tag}");
        true
    });
    assert_eq!(deaths, 2 * 3, "the proposal is written for each file");
    let signed = std::fs::read(&alice).unwrap();
    let deaths = at_every_write(|failpoints, tag| {
        let person = Person::new(&flow, &format!("signer-{tag}"));
        let (file, out) = (
            person.get(&flow.dir.join("proposal.json"), "proposal.json"),
            person.file("out.json"),
        );
        let arguments = ["sign", &file, "--out", &out, "--signer", &signer(0), "--yes", "--json"];
        let mut sign = flow.command(&arguments);
        if !dies(sign.env("HOME", &person.home).current_dir(&person.home), failpoints) {
            return false;
        }
        assert!(std::fs::read(&out).map_or(true, |now| now == signed), "{tag}");
        // The same digest may be signed again, and is.
        Ran::of(&mut sign).exits(0);
        assert_eq!(std::fs::read(&out).unwrap(), signed, "{tag}");
        assert_eq!(std::fs::read(&file).unwrap(), before, "{tag}");
        let record = record(&person.home);
        assert_eq!(record.lines().count(), 1, "{tag}: {record}");
        true
    });
    assert!(deaths >= 2 + 3, "{deaths}");
}

/// What a home remembers of its keys' signatures.
fn record(home: &Path) -> String {
    fn find(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                find(&path, found);
            } else if path.parent().unwrap().ends_with("countersign") && path.extension().is_none() {
                found.push(std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = Vec::new();
    find(home, &mut found);
    found.concat()
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k06_to_k10_an_export_is_absent_or_whole_wherever_it_dies_and_the_same_bytes_again() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let [alice, bob] = two_signatures(&flow);
    let dir = flow.dir.to_str().unwrap();
    Ran::of(&mut flow.command(&["import", &alice, &bob, "--dir", dir, "--json"])).exits(0);
    let files = |flow: &Flow<'_>| {
        let of = |name: &str| std::fs::read(flow.dir.join(name)).unwrap();
        ["journal", "proposal.json"].map(of)
    };
    let kept = files(&flow);
    for format in ["builder-file", "typed-data", "calldata", "eip712sign"] {
        let export = |flow: &Flow<'_>, out: &Path| {
            let (dir, out) = (flow.dir.to_str().unwrap(), out.to_str().unwrap());
            flow.command(&["export", "--dir", dir, "--format", format, "--out", out, "--json"])
        };
        let whole = world.folder().join(format);
        Ran::of(&mut export(&flow, &whole)).exits(0);
        let whole = std::fs::read(&whole).unwrap();
        let deaths = at_every_write(|failpoints, tag| {
            let flow = copied(&flow, &format!("{format}-{tag}"));
            let out = flow.dir.join("exported");
            let mut export = export(&flow, &out);
            if !dies(&mut export, failpoints) {
                return false;
            }
            assert!(std::fs::read(&out).map_or(true, |now| now == whole), "{format} {tag}");
            Ran::of(&mut export).exits(0);
            assert_eq!(std::fs::read(&out).unwrap(), whole, "{format} {tag}");
            assert_eq!(files(&flow), kept, "{format} {tag}");
            true
        });
        assert_eq!(deaths, 3, "{format}: one file is written");
    }
}

/// A service that knows the world's Safe.
fn service(world: &World) -> SafeService {
    let service = SafeService::start(&world.rpc());
    service.index(world.safe.unwrap());
    service
}

fn propose(flow: &Flow<'_>, url: &str) -> Command {
    let dir = flow.dir.to_str().unwrap();
    let mut command = flow.command(&["propose", "--dir", dir, "--service-url", url, "--json"]);
    command.env("SAFE_TRANSACTION_SERVICE_API_KEY", SERVICE_KEY);
    command
}

fn safe_tx_hash(flow: &Flow<'_>) -> B256 {
    serde_json::from_value(proposal(flow)["safe"]["digests"]["safe_tx"].clone()).unwrap()
}

/// The service holds one proposal with one confirmation of each of so many owners.
fn published_once(service: &SafeService, owners: usize, tag: &str) {
    let proposals = service.proposals();
    assert_eq!(proposals.len(), 1, "{tag}");
    let confirmed = &proposals[0].confirmations;
    let mut named: Vec<_> = confirmed.iter().map(|one| one.owner).collect();
    named.sort();
    named.dedup();
    assert_eq!((named.len(), confirmed.len()), (owners, owners), "{tag}");
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k10_a_death_at_any_write_of_propose_loses_no_signature_of_the_service() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let [_, bob] = two_signatures(&flow);
    let first = service(&world);
    let publish = ["propose", &bob, "--service-url", &first.url(), "--json"];
    Ran::of(&mut flow.command(&publish)).exits(0);
    crate::safe::service::confirm_elsewhere(&first, safe_tx_hash(&flow), 1);
    let deaths = at_every_write(|failpoints, tag| {
        let flow = copied(&flow, tag);
        let mut propose = propose(&flow, &first.url());
        if !dies(&mut propose, failpoints) {
            return false;
        }
        offline_status(&flow).exits(0);
        Ran::of(&mut propose).exits(0);
        whole(&flow, 2, tag);
        true
    });
    assert!(deaths >= 4 + 3, "{deaths}");
    published_once(&first, 2, "nothing was posted again");
    let posts = first.requests().into_iter().filter(|request| request.method == "POST");
    assert_eq!(posts.count(), 2, "one proposal, one confirmation");
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k07_to_k09_a_death_while_propose_speaks_to_the_service_is_settled_by_reading() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let files = two_signatures(&flow);
    let dir = flow.dir.to_str().unwrap();
    let import = ["import", &files[0], &files[1], "--dir", dir, "--json"];
    Ran::of(&mut flow.command(&import)).exits(0);
    let requests = [
        ("GET", "/multisig-transactions/", 1),
        ("POST", "/multisig-transactions/", 1),
        ("POST", "/confirmations/", 1),
        ("GET", "/multisig-transactions/", 2),
    ];
    let moments = [Moment::Arrived, Moment::Served];
    let cases: Vec<_> = requests
        .iter()
        .flat_map(|one| moments.map(|moment| (*one, moment)))
        .collect();
    each(&cases, |((verb, path, nth), moment)| {
        let tag = format!("{verb} {path} {nth} {moment:?}");
        let service = service(&world);
        let url = service.url();
        let (origin, base) = url.split_at(url.find("/tx-service").unwrap());
        let proxy = FaultProxy::to(origin);
        let name = tag.replace(['/', ' '], "-");
        let flow = copied(&flow, &name);
        let gate = proxy.gate(Match::Http(verb, path), Nth::Only(*nth), *moment);
        let mut child = propose(&flow, &format!("{}{base}", proxy.url()))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        gate.wait();
        child.kill().unwrap();
        ended(child);
        gate.cut();
        offline_status(&flow).exits(0);
        let before = service.requests().len();
        let again = Ran::of(&mut propose(&flow, &url)).exits(0);
        assert_eq!(again.json["data"]["missing"], json!([]), "{tag}");
        published_once(&service, 2, &tag);
        whole(&flow, 2, &tag);
        // Read before anything is posted, and what is there is not posted again.
        let requests = service.requests();
        assert_eq!(requests[before].method, "GET", "{tag}");
        let of = |part: &str| {
            let posts = requests
                .iter()
                .filter(|one| one.method == "POST" && one.path.contains(part));
            posts.count()
        };
        let posts = (of("/safes/"), of("/confirmations/"));
        assert_eq!(posts, (1, 1), "{tag}");
    });
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn k11_to_k20_a_death_at_any_write_of_sign_or_execute_leaves_one_transaction() {
    let world = two_of_three();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let files = two_signatures(&flow);
    let dir = flow.dir.to_str().unwrap();
    let import = ["import", &files[0], &files[1], "--dir", dir, "--json"];
    Ran::of(&mut flow.command(&import)).exits(0);
    let deaths = at_every_write(|failpoints, tag| {
        let flow = copied(&flow, &format!("sign-{tag}"));
        let dir = flow.dir.to_str().unwrap();
        let mut sign = flow.command(&["sign", "--dir", dir, "--signer", &signer(1), "--yes", "--json"]);
        if !dies(sign.env("HOME", flow.dir.join("home")), failpoints) {
            return false;
        }
        offline_status(&flow).exits(0);
        Ran::of(&mut sign).exits(0);
        whole(&flow, 3, tag);
        true
    });
    // Intent, the machine's record and the signature; the proposal.
    assert!(deaths >= 6 + 3, "{deaths}");
    let rpc = world.rpc();
    let one_at_a_time = std::sync::Mutex::new(());
    let deaths = at_every_write(|failpoints, tag| {
        let _alone = one_at_a_time.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let flow = copied(&flow, &format!("execute-{tag}"));
        let dir = flow.dir.to_str().unwrap();
        let snapshot = rpc.call("evm_snapshot", json!([]));
        let mut execute = flow.command(&["execute", "--dir", dir, "--signer", &signer(4), "--yes", "--json"]);
        let died = dies(&mut execute, failpoints);
        offline_status(&flow).exits(0);
        Ran::of(&mut execute).exits(0);
        flow.step("wait").exits(0);
        whole(&flow, 2, tag);
        assert_eq!(
            (flow.announcements(), rpc.nonce(crate::support::ACCOUNTS[4].address)),
            (1, 1),
            "{tag}"
        );
        rpc.call("evm_revert", json!([snapshot]));
        died
    });
    assert!(deaths >= 6, "{deaths}");
}
