//! The journal is cut, torn, altered, rolled back, taken away or exchanged: nothing is sent twice, nothing that was not
//! meant is sent at all.

use alloy::consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy::eips::Encodable2718 as _;
use alloy::primitives::{Bytes, TxKind, keccak256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{self, copied, finished, legal, lines, rewrite};
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{ACCOUNTS, AnvilOptions, World, WorldOptions};

const JOURNAL: &str = "journal";
const HEAD: &str = "journal.head";

fn write(flow: &Flow<'_>, journal: impl AsRef<[u8]>) {
    std::fs::write(flow.dir.join(JOURNAL), journal).unwrap();
}

fn forget_head(flow: &Flow<'_>) {
    std::fs::remove_file(flow.dir.join(HEAD)).unwrap();
}

fn after<'w>(world: &'w World, steps: &[&str]) -> Flow<'w> {
    let flow = Flow::new(world);
    for step in steps {
        flow.step(step).exits(0);
    }
    flow
}

fn without_mining() -> World {
    World::with(WorldOptions {
        anvil: AnvilOptions {
            no_mining: true,
            ..AnvilOptions::default()
        },
        ..WorldOptions::default()
    })
}

/// Transactions of the owner in the pool.
fn pooled(world: &World) -> usize {
    let content = world.rpc().call("txpool_content", json!([]));
    ["pending", "queued"]
        .iter()
        .flat_map(|part| content[part].as_object().into_iter().flatten())
        .filter(|(from, _)| from.parse() == Ok(world.owner.address))
        .map(|(_, transactions)| transactions.as_object().map_or(0, serde_json::Map::len))
        .sum()
}

#[test]
fn j1_j12_a_torn_tail_is_dropped_told_and_gone_on_from() {
    let world = World::start();
    let flow = after(&world, &["prepare", "execute"]);
    let whole = lines(&flow).concat();
    let last = lines(&flow).pop().unwrap().len();
    for (at, missing) in [1, 2, last / 2, last - 1].into_iter().enumerate() {
        for head in [true, false] {
            let torn = copied(&flow, &format!("torn-{at}-{head}"));
            write(&torn, &whole.as_bytes()[..whole.len() - missing]);
            if !head {
                forget_head(&torn);
            }
            let waited = torn.step("wait").exits(0);
            let dropped = format!("dropped {} bytes", last - missing);
            assert!(waited.said.contains(&dropped), "{}", waited.said);
            assert!(lines(&torn).concat().contains(&dropped));
            legal(&torn);
        }
    }
    let zeros = copied(&flow, "zeros");
    write(&zeros, [whole.as_bytes(), &[0; 600]].concat());
    zeros.step("wait").exits(0);
    legal(&zeros);
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn j6_any_older_copy_of_a_finished_upgrade_adds_nothing() {
    let world = World::start();
    let flow = after(&world, &["upgrade"]);
    let all = lines(&flow);
    for count in 0..all.len() {
        for head in [true, false] {
            for again in ["resume", "upgrade"] {
                let older = copied(&flow, &format!("older-{count}-{head}-{again}"));
                write(&older, all[..count].concat());
                if !head {
                    forget_head(&older);
                }
                let ran = older.step(again);
                let context = format!("{count} records, head {head}, {again}: {}", ran.said);
                assert!([0, 2, 6].contains(&ran.exit), "{context}");
                assert_eq!(world.rpc().nonce(world.owner.address), 1, "{context}");
                assert_eq!(flow.announcements(), 1, "{context}");
                assert_eq!(world.cloud.commits(CVM), [flow.hash], "{context}");
                assert_eq!(world.cloud.cvm(CVM).status, "running", "{context}");
            }
        }
    }
    finished(&flow);
}

#[test]
fn j6_any_older_copy_of_a_waiting_upgrade_signs_nothing_new() {
    let world = without_mining();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    assert_eq!(pooled(&world), 1);
    let all = lines(&flow);
    let ours = flow
        .journal()
        .into_iter()
        .find(|record| record["kind"] == "tx.signed")
        .unwrap();
    let mut codes = Vec::new();
    for count in 1..all.len() {
        for head in [true, false] {
            let older = copied(&flow, &format!("older-{count}-{head}"));
            write(&older, all[..count].concat());
            if !head {
                forget_head(&older);
            }
            let ran = older.with("resume", &["--timeout", "600ms"]);
            codes.extend(ran.json["code"].as_str().map(str::to_owned));
            let context = format!("{count} records, head {head}: {}", ran.said);
            assert!([6, 8].contains(&ran.exit), "{context}");
            assert_eq!(pooled(&world), 1, "{context}");
            let signed = older
                .journal()
                .into_iter()
                .filter(|record| record["kind"] == "tx.signed");
            assert!(
                signed
                    .map(|record| record["body"]["raw"].clone())
                    .all(|raw| raw == ours["body"]["raw"]),
                "{context}"
            );
        }
    }
    assert!(codes.iter().any(|code| code == "JOURNAL_ROLLED_BACK"), "{codes:?}");
    world.rpc().call("evm_setAutomine", json!([true]));
    world.rpc().mine(1);
    // The copies prepared again: the first one's token is dead, and the approval is not.
    let refused = flow.step("resume").exits(6).says("COMMIT_REJECTED_466");
    assert_eq!(refused.effect("transaction"), "done");
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn j7_without_its_journal_an_upgrade_is_found_on_the_chain() {
    let world = World::start();
    let flow = after(&world, &["prepare", "execute"]);
    let sent = flow.journal().pop().unwrap()["body"]["hash"].clone();
    std::fs::remove_dir_all(&flow.dir).unwrap();
    let done = flow.with("upgrade", &["--supersede"]).exits(0);
    assert_eq!(done.fact("transaction_hash"), &sent);
    assert!(flow.kinds().contains(&"adopted".to_owned()));
    finished(&flow);
}

#[test]
fn j7_without_its_journal_a_transaction_in_flight_is_not_answered_by_another() {
    let world = without_mining();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(0);
    std::fs::remove_dir_all(&flow.dir).unwrap();
    let ran = flow.with("upgrade", &["--supersede"]);
    assert_eq!((ran.exit, pooled(&world)), (6, 1), "{}", ran.said);
    world.rpc().call("evm_setAutomine", json!([true]));
    world.rpc().mine(1);
    flow.step("resume").exits(0);
    finished(&flow);
}

/// Every command that would act on the journal, and the one that only reads it.
fn refused_by_all(flow: &Flow<'_>, code: i32) -> Vec<Ran> {
    let before = std::fs::read(flow.dir.join(JOURNAL)).unwrap();
    let asked = flow
        .world
        .cloud
        .requests()
        .iter()
        .filter(|request| request.method != "GET")
        .count();
    let ran: Vec<Ran> = ["status", "execute", "wait", "commit", "resume", "upgrade"]
        .map(|step| flow.step(step).exits(code))
        .into();
    assert!(
        std::fs::read(flow.dir.join(JOURNAL)).unwrap() == before,
        "a refused journal stays as it is"
    );
    let asks = flow
        .world
        .cloud
        .requests()
        .iter()
        .filter(|request| request.method != "GET")
        .count();
    assert_eq!(asks, asked);
    flow.nothing_happened();
    ran
}

#[test]
fn j2_to_j5_j8_j11_a_journal_that_was_not_written_so_is_refused_with_its_record() {
    let world = World::start();
    let flow = after(&world, &["prepare"]);
    let all = lines(&flow);
    let bent = |name: &str, journal: Vec<u8>| {
        let bent = copied(&flow, name);
        write(&bent, journal);
        refused_by_all(&bent, 10)
    };
    let mut start = 0;
    for (at, line) in all.iter().enumerate() {
        let mut bytes = all.concat().into_bytes();
        bytes[start + line.len() / 2] ^= 1;
        start += line.len();
        for ran in bent(&format!("j2-{at}"), bytes) {
            assert!(ran.said.contains(&format!("record {}", at + 1)), "{}", ran.said);
        }
    }
    let mut missing = all.clone();
    missing.remove(1);
    bent("j3", missing.concat().into_bytes());
    let mut twice = all.clone();
    twice.insert(2, all[1].clone());
    bent("j4", twice.concat().into_bytes());
    let mut swapped = all;
    swapped.swap(1, 2);
    bent("j5", swapped.concat().into_bytes());
    bent("j11", b"garbage\n".repeat(1000));

    let newer = copied(&flow, "j8");
    let mut records = flow.journal();
    records[0]["body"]["schema"] = json!(2);
    rewrite(&newer, &records);
    for ran in refused_by_all(&newer, 10) {
        ran.says("JOURNAL_NEWER");
    }
    let huge = copied(&flow, "j11-huge");
    let file = std::fs::File::options()
        .write(true)
        .open(huge.dir.join(JOURNAL))
        .unwrap();
    file.set_len(1 << 30).unwrap();
    huge.step("status").exits(10);
    huge.step("resume").exits(10);
}

#[test]
fn j9_the_directory_of_another_upgrade_is_refused() {
    let world = World::start();
    let flow = after(&world, &["prepare"]);
    let other = world.add_cvm(2).name;
    let mut arguments = flow.arguments("upgrade");
    let cvm = arguments.iter().position(|argument| argument == CVM).unwrap();
    arguments[cvm].clone_from(&other);
    let foreign = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Ran::of(&mut flow.command(&arguments)).exits(10).says("JOURNAL_FOREIGN")
    };
    let ran = foreign(&arguments);
    assert!(
        ran.said.contains(&other) && ran.said.contains(CVM),
        "it names both: {}",
        ran.said
    );
    let changed = world.file("other.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    let mut arguments = flow.arguments("upgrade");
    let compose = arguments.iter().position(|argument| argument == "-c").unwrap();
    arguments[compose + 1] = changed.to_str().unwrap().to_owned();
    foreign(&arguments);
    flow.nothing_happened();
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn j10_an_empty_journal_is_a_new_one() {
    let world = World::start();
    let flow = Flow::new(&world);
    std::fs::create_dir(&flow.dir).unwrap();
    write(&flow, "");
    flow.step("status").exits(2);
    flow.step("upgrade").exits(0);
    finished(&flow);
}

/// A transaction of the owner that is not the planned one.
fn other_transaction(world: &World, like: &Value) -> (Value, Bytes) {
    let request = &like["request"];
    let number = |name: &str| request[name].as_u64().unwrap();
    let data: Bytes = [&[0xf2, 0xfd, 0xe3, 0x8b][..], &[0; 12], ACCOUNTS[3].address.as_slice()]
        .concat()
        .into();
    let transaction = TxEip1559 {
        chain_id: number("chain_id"),
        nonce: number("nonce"),
        gas_limit: number("gas_limit"),
        max_fee_per_gas: number("max_fee_per_gas").into(),
        max_priority_fee_per_gas: number("max_priority_fee_per_gas").into(),
        to: TxKind::Call(world.app),
        input: data.clone(),
        ..TxEip1559::default()
    };
    let key: PrivateKeySigner = world.owner.key.parse().unwrap();
    let signature = key.sign_hash_sync(&transaction.signature_hash()).unwrap();
    let raw: Bytes = TxEnvelope::from(transaction.into_signed(signature))
        .encoded_2718()
        .into();
    let mut request = request.clone();
    request["call"]["data"] = json!(data);
    (request, raw)
}

#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn j13_a_transaction_that_was_put_into_the_journal_is_not_sent() {
    let world = World::start();
    let flow = Flow::new(&world);
    let mut run = judge::command(&flow, "upgrade", &[]);
    let died = run.env("FAILPOINTS", "sign.e=return").output().unwrap();
    assert_eq!(died.status.code(), None);
    let records = flow.journal();
    let at = records.iter().position(|record| record["kind"] == "tx.signed").unwrap();
    let (request, raw) = other_transaction(&world, &records[at]["body"]);
    let body = |request: &Value, raw: &Bytes| json!({"request": request, "hash": keccak256(raw), "raw": raw});
    let planned = records[at]["body"]["request"].clone();
    let mut foreign = planned.clone();
    foreign["from"] = json!(ACCOUNTS[3].address);
    for (name, body) in [
        ("all of it", body(&request, &raw)),
        ("its bytes", body(&planned, &raw)),
        ("its sender", {
            let mut body = records[at]["body"].clone();
            body["request"] = foreign;
            body
        }),
        ("its call", {
            let mut body = records[at]["body"].clone();
            body["request"] = request.clone();
            body
        }),
    ] {
        let forged = copied(&flow, name);
        let mut records = records.clone();
        records[at]["body"] = body;
        rewrite(&forged, &records);
        let ran = forged.step("resume");
        assert_eq!(ran.exit, 5, "{name}: {}", ran.said);
        assert_eq!(
            (world.rpc().nonce(world.owner.address), pooled(&world)),
            (0, 0),
            "{name}"
        );
    }
    flow.nothing_happened();
    flow.step("resume").exits(0);
    finished(&flow);
}

/// The watch sends unseen bytes again after half a minute, so that is how long this takes.
#[test]
#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
fn j13_a_transaction_that_was_put_into_the_journal_is_not_sent_again_either() {
    let world = World::start();
    let flow = Flow::new(&world);
    let mut run = judge::command(&flow, "upgrade", &[]);
    let died = run.env("FAILPOINTS", "sign.e=return").output().unwrap();
    assert_eq!(died.status.code(), None);
    let mut records = flow.journal();
    let at = records.iter().position(|record| record["kind"] == "tx.signed").unwrap();
    let (request, raw) = other_transaction(&world, &records[at]["body"]);
    let hash = keccak256(&raw);
    records[at]["body"] = json!({"request": request, "hash": hash, "raw": raw});
    let mut sent = records[at].clone();
    sent["kind"] = json!("tx.sent");
    sent["body"] = json!({"hash": hash, "at": "2026-11-21T05:00:00Z"});
    records.truncate(at + 1);
    records.push(sent);
    rewrite(&flow, &records);
    flow.step("wait").exits(5).says("TX_MISMATCH");
    assert_eq!((world.rpc().nonce(world.owner.address), pooled(&world)), (0, 0));
    flow.nothing_happened();
}

#[test]
fn j13_a_hash_that_was_put_into_the_journal_is_not_signed_and_not_committed() {
    let world = World::start();
    let flow = after(&world, &["prepare"]);
    let evil = json!("0x".to_owned() + &"66".repeat(32));
    let forge = |name: &str| {
        let forged = copied(&flow, name);
        let mut records = flow.journal();
        let text = serde_json::to_string(&records).unwrap();
        let ours = flow.hash.to_string();
        for record in &mut records {
            if ["prepare.ok", "verified"].contains(&record["kind"].as_str().unwrap()) {
                record["body"]["hash"] = evil.clone();
            }
            if record["kind"] == "tx.final" {
                record["body"]["changes"][0]["change"]["add-compose-hash"] = evil.clone();
            }
        }
        assert!(text.contains(&ours));
        rewrite(&forged, &records);
        forged
    };
    let ran = forge("before signing").step("resume");
    assert_eq!(ran.exit, 5, "{}", ran.said);
    flow.nothing_happened();
    flow.step("execute").exits(0);
    flow.step("wait").exits(0);
    let ran = forge("before the commit").step("resume");
    assert!([5, 6].contains(&ran.exit), "{}", ran.said);
    flow.nothing_committed();
    flow.step("resume").exits(0);
    finished(&flow);
}

#[test]
fn a_copy_without_its_token_prepares_again_for_the_same_hash() {
    let world = World::start();
    let flow = after(&world, &["prepare", "execute", "wait"]);
    std::fs::remove_file(flow.dir.join("token")).unwrap();
    flow.step("resume").exits(0);
    assert_eq!(world.cloud.tokens().len(), 2);
    finished(&flow);
}
