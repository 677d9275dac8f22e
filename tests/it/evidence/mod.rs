//! What remains of an upgrade, and its verification by anybody: no key, no account, no directory.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::flow::{BINARY, Flow, Ran};
use crate::harness::judge;
use crate::safe::upgrade::{execute, signed_by_two, two_of_three};
use crate::support::{Attested, World};

/// `verify` in an empty folder, with nothing of the world in its environment.
fn verify(file: &Path, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let mut command = crate::support::countersign(BINARY, folder.path());
    command.args(["verify", "--json"]).arg(file).args(more);
    let ran = Ran::of(&mut command);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it writes nothing"
    );
    ran
}

/// What was said of the claims of this name.
fn outcomes<'r>(ran: &'r Ran, about: &str) -> Vec<&'r str> {
    let claims = ran.json["data"]["claims"].as_array().unwrap().iter();
    let named = claims.filter(|claim| claim["about"] == about);
    named.map(|claim| claim["outcome"].as_str().unwrap()).collect()
}

#[track_caller]
fn all_hold(ran: &Ran, names: &[&str]) {
    for name in names {
        let found = outcomes(ran, name);
        let holds = !found.is_empty() && found.iter().all(|one| *one == "holds");
        assert!(holds, "{name}: {found:?}: {}", ran.said);
    }
}

/// An upgrade that a key approves, up to its end.
fn by_key(world: &World) -> Flow<'_> {
    let flow = Flow::new(world);
    flow.step("upgrade").exits(0);
    flow
}

/// An upgrade that two owners of a Safe sign and somebody else executes.
fn by_safe(world: &World) -> Flow<'_> {
    let flow = signed_by_two(world);
    execute(&flow, 4).exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow
}

#[test]
fn whoever_has_the_file_proves_it_again_without_anybody() {
    let world = World::start();
    let flow = by_key(&world);
    let file = flow.dir.join("evidence.json");
    assert!(!flow.dir.join("witness.json").exists(), "it is in the evidence");
    let alone = verify(&file, &[]).exits(0).says("OK");
    all_hold(
        &alone,
        &[
            "manifest",
            "previous-manifest",
            "compose-hash",
            "calls",
            "block",
            "transaction",
            "calldata",
            "receipt",
            "event",
            "state",
            "owner",
            "code",
            "chain",
            "approver",
        ],
    );
    for said in ["genesis", "kms"] {
        assert_eq!(outcomes(&alone, said), ["said"], "nobody knows this {said}");
    }
    for open in ["canonical", "now", "attestation"] {
        assert_eq!(outcomes(&alone, open), ["not-checked"], "{open}");
    }
    assert!(
        alone.json["message"].as_str().unwrap().contains("3 were not checked"),
        "{}",
        alone.said
    );
    verify(&file, &["--require-all"]).exits(6).says("EVIDENCE_NOT_CHECKED");
    // The chain says the rest, and what is in force now.
    let asked = verify(&file, &["--rpc-url", &world.anvil.url()]).exits(0);
    all_hold(&asked, &["canonical", "genesis", "now"]);
    // The directory is as good, and names its proposal.
    all_hold(&verify(&flow.dir, &[]).exits(0), &["proposal"]);
    let page = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(
        page.lines()
            .next()
            .unwrap()
            .contains("countersign verify evidence.json"),
        "{page}"
    );
}

#[test]
fn what_was_signed_and_executed_is_computed_again_from_the_transaction() {
    let world = two_of_three();
    let flow = by_safe(&world);
    let file = flow.dir.join("evidence.json");
    let alone = verify(&file, &[]).exits(0);
    all_hold(
        &alone,
        &[
            "safe-transaction",
            "approver",
            "signatures",
            "calldata",
            "execution",
            "owners",
            "event",
            "state",
        ],
    );
    let evidence = flow.json_file("evidence.json");
    let mut owners: Vec<String> = serde_json::from_value(evidence["safe"]["signed_by"].clone()).unwrap();
    owners.sort();
    let mut expected = [0, 1].map(|index| crate::support::ACCOUNTS[index].address.to_string());
    expected.sort();
    assert_eq!(
        owners.iter().map(|one| one.to_lowercase()).collect::<Vec<_>>(),
        expected.map(|one| one.to_lowercase())
    );
    // A third owner who is none, and a threshold that was not asked for.
    for (place, value) in [
        ("/safe/threshold", json!(1)),
        ("/safe/owners/0", json!("0x6666666666666666666666666666666666666666")),
    ] {
        differs(&world, &evidence, place, value);
    }
}

/// Evidence in which one value is another one is refused.
#[track_caller]
fn differs(world: &World, evidence: &Value, place: &str, value: Value) -> Ran {
    let mut changed = evidence.clone();
    *changed.pointer_mut(place).unwrap() = value;
    let file = world.file("changed.json", &changed.to_string());
    verify(&file, &[]).exits(5).says("EVIDENCE_DIFFERS")
}

#[test]
fn ppl_4_one_value_that_is_another_one_is_noticed() {
    let world = World::start();
    let flow = by_key(&world);
    let evidence = flow.json_file("evidence.json");
    let hash = json!("0x6666666666666666666666666666666666666666666666666666666666666666");
    for (place, value) in [
        ("/app", json!("0x6666666666666666666666666666666666666666")),
        ("/owner", json!("0x6666666666666666666666666666666666666666")),
        ("/code/compose_hash", hash.clone()),
        ("/code/previous_compose_hash", hash.clone()),
        ("/transaction/hash", hash.clone()),
        ("/block/hash", hash),
        ("/block/timestamp", json!(1)),
        ("/calls/0/value", json!("0x1")),
    ] {
        differs(&world, &evidence, place, value);
    }
    let manifest = evidence["code"]["manifest"].as_str().unwrap();
    differs(
        &world,
        &evidence,
        "/code/manifest",
        json!(manifest.replacen("nginx", "nginy", 1)),
    );
    // An endpoint that does not answer hides neither what holds nor what differs.
    let nowhere = crate::support::attested::closed_port();
    let whole = world.file("whole.json", &evidence.to_string());
    let silent = verify(&whole, &["--rpc-url", &nowhere, "--timeout", "1s"]).exits(75);
    all_hold(&silent, &["manifest", "block", "event", "state"]);
    assert_eq!(outcomes(&silent, "canonical"), ["not-checked"]);
    let mut changed = evidence.clone();
    changed["owner"] = json!("0x6666666666666666666666666666666666666666");
    let changed = world.file("changed.json", &changed.to_string());
    verify(&changed, &["--rpc-url", &nowhere, "--timeout", "1s"])
        .exits(5)
        .says("EVIDENCE_DIFFERS");
    // What is no evidence at all.
    for (text, code) in [("{}", "INPUT_EVIDENCE"), ("no", "INPUT_EVIDENCE")] {
        let file = world.file("other.json", text);
        verify(&file, &[]).exits(3).says(code);
    }
    verify(&world.folder().join("missing.json"), &[])
        .exits(3)
        .says("INPUT_FILE");
}

#[test]
fn evidence_of_format_1_is_read_and_what_it_cannot_show_is_named() {
    let world = World::start();
    let flow = by_key(&world);
    let now = flow.json_file("evidence.json");
    let proof = json!({"chain_id": now["chain_id"], "app": now["app"],
        "changes": [{"change": now["changes"][0], "log_index": now["said"]["settled"]["log_indexes"][0]}],
        "transaction": now["transaction"]["hash"], "sender": now["transaction"]["sender"], "block": now["block"],
        "gas_used": now["said"]["settled"]["gas_used"], "head": now["said"]["settled"]["head"],
        "finality": now["said"]["settled"]["finality"], "endpoints": ["http://127.0.0.1"], "named": 1});
    let first = json!({"schema": "countersign.evidence/1", "update": "u", "cvm": "my-app", "app": now["app"],
        "chain_id": now["chain_id"], "owner": now["owner"], "compose_hash": now["code"]["compose_hash"],
        "previous_compose_hash": now["code"]["previous_compose_hash"], "verified": {"verified": {"form": "sorted"}},
        "changes": [], "from_elsewhere": false, "adopted": false, "proof": proof, "correlation_id": null,
        "committed_at": null, "live_at": null});
    let file = world.file("first.json", &first.to_string());
    let alone = verify(&file, &[]).exits(0);
    for open in ["manifest", "block"] {
        assert_eq!(outcomes(&alone, open), ["not-checked"], "{open}: {}", alone.said);
    }
    all_hold(
        &verify(&file, &["--rpc-url", &world.anvil.url()]).exits(0),
        &["canonical", "now", "compose-hash"],
    );
    verify(&file, &["--require-all"]).exits(6);
}

/// An upgrade that is proven at the hardware.
fn attested<'w>(world: &'w World, attested: &Attested) -> Flow<'w> {
    let flow = Flow::new(world);
    let (guest, pccs) = (attested.guest(), attested.pccs());
    let more = ["--attest", "require", "--guest-url", &guest, "--pccs", &pccs];
    let mut command: Command = judge::command(&flow, "upgrade", &more);
    Ran::of(command.env("COUNTERSIGN_TEST_ROOT", attested.root())).exits(0);
    flow
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn what_the_hardware_measured_is_judged_again_as_of_its_time() {
    let world = World::start();
    let servers = Attested::of(&world);
    let flow = attested(&world, &servers);
    let file = flow.dir.join("evidence.json");
    let by = |file: &Path, more: &[&str]| {
        let mut command = crate::support::countersign(BINARY, world.folder());
        command.args(["verify", "--json"]).arg(file).args(more);
        Ran::of(command.env("COUNTERSIGN_TEST_ROOT", servers.root()))
    };
    let whole = by(&file, &[]).exits(0);
    if std::env::var_os("VECTORS").is_some_and(|value| value == "overwrite") {
        let kept = crate::support::repository().join("tests/vectors/evidence");
        std::fs::copy(&file, kept.join("attested.json")).unwrap();
        std::fs::copy(servers.root(), kept.join("root.der")).unwrap();
    }
    all_hold(
        &whole,
        &[
            "attestation",
            "attestation.genuine",
            "attestation.tcb",
            "attestation.log",
            "attestation.compose",
            "attestation.app",
        ],
    );
    for open in ["attestation.fresh", "attestation.contracts"] {
        assert_eq!(outcomes(&whole, open), ["not-checked"], "{open}");
    }
    assert_eq!(outcomes(&whole, "attestation.kms-contract"), ["said"]);
    // The contracts are asked again where somebody can be asked, and say when they say otherwise now.
    let rpc = world.anvil.url();
    let asked = by(&file, &["--rpc-url", &rpc]).exits(0);
    all_hold(&asked, &["attestation.contracts"]);
    world.allow_os_image(false);
    let later = by(&file, &["--rpc-url", &rpc]).exits(0);
    assert_eq!(
        outcomes(&later, "attestation.contracts"),
        ["not-checked"],
        "{}",
        later.said
    );
    world.allow_os_image(true);
    assert!(whole.json["data"]["test_root"] == true, "{}", whole.said);
    // With Intel's root none of it is genuine, and the document said that it is.
    verify(&file, &[]).exits(5).says("EVIDENCE_DIFFERS");
    // A later commit keeps what was measured.
    flow.step("commit").exits(0);
    assert!(flow.json_file("evidence.json")["attestation"].is_object());
    // Another quote, and a verdict that nobody reached.
    let evidence = flow.json_file("evidence.json");
    for (place, value) in [
        ("/attestation/links/10/standing", json!("holds")),
        (
            "/attestation/made_of/wanted/compose_hash",
            evidence["code"]["previous_compose_hash"].clone(),
        ),
        ("/attestation/made_of/gathered/certificate", json!("")),
    ] {
        let mut changed = evidence.clone();
        *changed.pointer_mut(place).unwrap() = value;
        let file = world.file("changed.json", &changed.to_string());
        by(&file, &[]).exits(5).says("EVIDENCE_DIFFERS");
    }
}

#[test]
fn what_was_written_once_is_proved_for_ever() {
    for name in ["key", "safe"] {
        let file = crate::support::repository().join(format!("tests/vectors/evidence/{name}.json"));
        // What is kept there is never made anew without a reason.
        if std::env::var_os("VECTORS").is_some_and(|value| value == "overwrite") {
            let made = match name {
                "key" => by_key(&World::start()).json_file("evidence.json"),
                _ => by_safe(&two_of_three()).json_file("evidence.json"),
            };
            std::fs::write(&file, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
        }
        let ran = verify(&file, &[]).exits(0);
        all_hold(
            &ran,
            &["manifest", "block", "transaction", "receipt", "event", "state", "owner"],
        );
    }
}

/// What a forger shows, and what is to be said of it instead of *holds*. In the files whose names say so the block is a real
/// one; in the others header and tries are made for the purpose.
const FORGED: [(&str, i32, &str, &str); 29] = [
    ("approver-by-unsigned-deposit", 0, "approver", "not-checked"),
    ("approver-owner-called-another-contract", 0, "approver", "not-checked"),
    ("others-event-shown-as-the-apps", 0, "other-app", "not-checked"),
    ("others-not-called-and-not-in-force", 0, "other-app", "not-checked"),
    ("timelock-any-contract-never-scheduled", 0, "scheduling", "not-checked"),
    ("app-without-code", 5, "code", "differs"),
    ("attested-108-days-before-the-block", 5, "attestation", "differs"),
    ("besides-implementation-replaced", 0, "besides", "holds"),
    ("delegatecall-fields-removed", 0, "signatures", "not-checked"),
    ("delegatecall-fields-removed", 0, "execution", "not-checked"),
    ("delegates-owner-eip7702", 0, "calldata", "not-checked"),
    ("dev-chain-shown-as-base", 5, "chain", "differs"),
    ("executed-by-another-safe", 5, "approver", "differs"),
    ("format1-calls-hold-without-calls", 5, "calls", "not-checked"),
    ("fresh-replayed", 5, "attestation.fresh", "said"),
    ("genuine-block-other-change", 5, "calldata", "differs"),
    ("head-takes-over", 5, "owner", "differs"),
    ("head-takes-over-require-all", 5, "owner", "differs"),
    ("invented-owners-genuine-block", 0, "owners", "not-checked"),
    ("key-as-timelock-genuine-block", 5, "approver", "differs"),
    ("key-shown-as-safe-genuine-block", 5, "approver", "differs"),
    ("kms-is-any-contract", 0, "kms", "said"),
    ("removed-but-still-allowed", 5, "state", "differs"),
    ("schedule-never-executed-owner-is-safe", 5, "approver", "differs"),
    ("self-made-quote-type3-nochain", 0, "attestation.compose", "not-checked"),
    ("sender-is-not-owner", 5, "approver", "differs"),
    ("timelock-not-owner-not-executed", 5, "operation-executed", "differs"),
    ("tx-of-chain-1", 5, "chain", "differs"),
    ("unknown-events-of-app", 0, "event", "not-checked"),
];

#[test]
fn what_a_forger_shows_does_not_hold() {
    let folder = crate::support::repository().join("tests/vectors/evidence/forged");
    for (name, exit, about, outcome) in FORGED {
        let ran = verify(&folder.join(format!("{name}.json")), &[]);
        assert_eq!(ran.exit, exit, "{name}: {}", ran.said);
        assert!(outcomes(&ran, about).contains(&outcome), "{name}: {}", ran.said);
    }
    let besides = verify(&folder.join("besides-implementation-replaced.json"), &[]);
    let message = besides.json["message"].as_str().unwrap();
    assert!(
        message.contains("NOT ASKED FOR") && besides.said.contains("0x7777"),
        "{}",
        besides.said
    );
    // No name looks like a line of its own.
    let mut command = crate::support::countersign(BINARY, &folder);
    let named = crate::support::command::run(command.args(["verify", "name-fakes-lines.json"]));
    let page = String::from_utf8(named.stdout).unwrap();
    assert!(
        !page.contains("  canonical holds") && !page.contains("chain 8453  "),
        "{page}"
    );
    assert!(page.starts_with("evidence of the app 0x"), "{page}");
}
