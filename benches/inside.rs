//! What countersign does between its requests: canonical bytes and hash of a large manifest, records to the disk and
//! back, the fold of a journal into a state, and the verdict on what a CVM attests. The journal is one of a real upgrade, the
//! quote one of a real machine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a bench ends when its world is broken; criterion's macros write no documentation"
)]

#[path = "../tests/it/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::path::Path;

use countersign::attest::saved::{Measure, Saved};
use countersign::attest::{EventLog, Link, Quote, Root, Standing, TcbPolicy};
use countersign::compose::{Changes, Form, Manifest};
use countersign::evidence::{Evidence, Measured, Outcome, verify};
use countersign::fsutil::AppendFile;
use countersign::upgrade::{
    Upgrade,
    record::{Event, State},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::World;
use support::world::{CVM, NEW_COMPOSE};

/// Docker Compose text of the size that Phala Cloud just takes.
const COMPOSE_BYTES: usize = 200 * 1024;
/// Records of a long upgrade.
const RECORDS: usize = 50;

fn manifest(c: &mut Criterion) {
    let service = "  web:\n    image: \"nginx:1.28\" # größer\n    environment:\n      - A=1\n";
    let text: String = format!("services:\n{}", service.repeat(COMPOSE_BYTES / service.len()));
    let bytes = json!({"manifest_version": 2, "name": CVM, "runner": "docker-compose", "docker_compose_file": text,
        "allowed_envs": ["A"], "features": ["kms", "tproxy-net"]})
    .to_string();
    let manifest = Manifest::parse(bytes.as_bytes()).unwrap();
    let changes = Changes {
        docker_compose_file: Some(format!("{text}# new\n")),
        ..Changes::default()
    };
    let current = manifest.hash(Form::Sorted);
    let claimed = manifest.with(&changes).hash(Form::Sorted);
    let mut group = c.benchmark_group("manifest of 200 KiB");
    group.bench_function("parse", |b| b.iter(|| Manifest::parse(black_box(bytes.as_bytes()))));
    group.bench_function("canonical bytes and hash", |b| {
        b.iter(|| black_box(&manifest).hash(Form::Sorted));
    });
    group.bench_function("verify a change", |b| {
        b.iter(|| manifest.verify(current, black_box(&changes), claimed));
    });
    group.finish();
}

/// Records of a real upgrade, filled up with notes.
fn records() -> Vec<Event> {
    let world = World::start();
    let (file, dir) = (world.file("compose.yml", NEW_COMPOSE), world.folder().join("upgrade"));
    let mut command = world.countersign(env!("CARGO_BIN_EXE_countersign"));
    command.args([
        "upgrade",
        "--cvm",
        CVM,
        "--yes",
        "--json",
        "--signer",
        "env:OWNER_KEY",
        "-c",
    ]);
    let output = command.arg(file).arg("--dir").arg(&dir).output().unwrap();
    assert!(output.status.success(), "{}", support::command::shown(&output));
    let text = std::fs::read_to_string(dir.join("journal")).unwrap();
    let mut events: Vec<Event> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let last = events.pop().unwrap();
    while events.len() + 1 < RECORDS {
        events.push(Event::Note {
            text: "sent 0xe1f3a2 again".repeat(10),
        });
    }
    events.push(last);
    events
}

/// The lines that a journal has.
fn lines(events: &[Event]) -> Vec<String> {
    let mut before = "0".repeat(64);
    let mut line = |(index, event): (usize, &Event)| {
        let event = serde_json::to_string(event).unwrap();
        let inner = event.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap();
        let text = format!(r#"{{"seq":{},"prev":"{before}",{inner}"#, index + 1);
        before = hex::encode(Sha256::digest(text.as_bytes()));
        format!("{text},\"sum\":\"{before}\"}}\n")
    };
    events.iter().enumerate().map(&mut line).collect()
}

fn append_all(dir: &Path, lines: &[String]) {
    let mut file = AppendFile::hold(&dir.join("journal")).unwrap();
    for line in lines {
        file.append(line.as_bytes()).unwrap();
    }
}

fn journal(c: &mut Criterion) {
    let events = records();
    let lines = lines(&events);
    let written = tempfile::tempdir().unwrap();
    append_all(written.path(), &lines);
    let state = Upgrade::peek(written.path()).unwrap();
    assert_eq!(state.status().records, u64::try_from(RECORDS).unwrap());
    let mut group = c.benchmark_group("journal of 50 records");
    group.sample_size(20);
    group.bench_function("append, each on disk", |b| {
        b.iter_batched(
            || tempfile::tempdir().unwrap(),
            |dir| {
                append_all(dir.path(), &lines);
                dir
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("read, check and fold", |b| {
        b.iter(|| Upgrade::peek(written.path()).unwrap())
    });
    group.bench_function("fold", |b| {
        b.iter_batched(
            || events.clone(),
            |events| State::fold(events).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// Evidence of a real CVM with Intel's collateral for its machine, as `attest` keeps it.
fn saved() -> Vec<u8> {
    let folder = support::repository().join("tests/vectors/attestation/near-mpc");
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap() };
    let quote: Vec<u8> = serde_json::from_value(read("quote.json")).unwrap();
    let log = read("tcb_info.json")["event_log"].to_string();
    let measured = Quote::parse(&quote).unwrap().report().rtmr[3];
    let boot = EventLog::parse(log.as_bytes()).unwrap().boot(&measured).unwrap();
    let saved = json!({
        "format": "countersign.attestation/1", "at": "2026-08-14T00:00:00Z", "cvm": CVM,
        "wanted": {"compose_hash": boot.compose_hash, "named_by": "person", "chain_id": 1, "app": boot.app_id,
            "kms": boot.app_id, "instance": "not-known"},
        "gathered": {"quote": format!("0x{}", hex::encode(quote)), "log": log, "collateral": read("collateral.json")},
    });
    saved.to_string().into_bytes()
}

fn attestation(c: &mut Criterion) {
    let (bytes, root, tcb) = (saved(), Root::intel(), TcbPolicy::default());
    let judged = |bytes: &[u8]| {
        let saved = Saved::parse(bytes).unwrap();
        let at = saved.at;
        saved.judge(&Measure {
            tcb: &tcb,
            root: &root,
            at,
        })
    };
    let held = judged(&bytes);
    let held = held.findings.iter().filter(|one| one.standing == Standing::Holds);
    let held: Vec<Link> = held.map(|one| one.link).collect();
    assert_eq!(held[..4], [Link::Genuine, Link::Tcb, Link::Log, Link::Compose]);
    // As long as a log may be, and as many events.
    let payload = "5a".repeat(86);
    let event = json!({"imr": 3, "event_type": 0x0800_0001, "digest": "", "event": "x", "event_payload": payload});
    let long = Value::from(vec![event; 4096]).to_string();
    assert!((1_000_000..1 << 20).contains(&long.len()));
    let mut group = c.benchmark_group("attestation");
    group.bench_function("read and judge", |b| b.iter(|| judged(black_box(&bytes))));
    group.bench_function("event log of 1 MB", |b| {
        b.iter(|| EventLog::parse(black_box(long.as_bytes())).unwrap().replay(3));
    });
    group.finish();
}

/// Evidence of an upgrade that a Safe approved, with a machine of Intel's beside it: as much as there is to compute.
fn evidence(c: &mut Criterion) {
    let file = support::repository().join("tests/vectors/evidence/safe.json");
    let mut whole: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let made_of: Value = serde_json::from_slice(&saved()).unwrap();
    whole["attestation"] = json!({"made_of": made_of, "links": []});
    let (bytes, root) = (whole.to_string().into_bytes(), Root::intel());
    let by = Measured { root: &root, at: None };
    let holds = |about: &str| {
        let claims = verify(&Evidence::parse(&bytes).unwrap(), &by);
        claims
            .iter()
            .any(|claim| claim.about == about && claim.outcome == Outcome::Holds)
    };
    assert!(
        ["signatures", "block", "event", "state", "owners"]
            .into_iter()
            .all(holds)
    );
    c.bench_function("evidence, read and verified", |b| {
        b.iter(|| verify(&Evidence::parse(black_box(&bytes)).unwrap(), &by));
    });
}

criterion_group!(benches, manifest, journal, attestation, evidence);
criterion_main!(benches);
