//! One digest for one owner, Safe and nonce, by whichever way the owner agrees, and for nothing but what was reviewed.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, U256, uint};
use countersign::safe::{SafeDomain, SafeTxFields, version::SafeVersion};
use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::harness::flow::{Flow, Ran};
use crate::safe::upgrade::signer;
use crate::support::contracts::abi;
use crate::support::safes::{self, RELEASES};
use crate::support::{ACCOUNTS, AppVariant, SafeOptions, World, WorldOptions};

/// Order of secp256k1.
const ORDER: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

fn world() -> World {
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

/// A prepared upgrade to a compose text of its own, at the Safe's next nonce.
fn prepared<'w>(world: &'w World, name: &str) -> Flow<'w> {
    let text = format!("services:\n  web:\n    image: nginx:{name}\n");
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join(name);
    flow.compose = world.file(&format!("{name}.yml"), &text);
    flow.hash = world.hash_with(&text);
    let same = [
        "--supersede",
        "--safe-nonce",
        "0",
        "--accept",
        "SAFE_NONCE_TAKEN_HERE=0",
    ];
    flow.with("prepare", &same).exits(0);
    flow
}

fn file(flow: &Flow<'_>) -> PathBuf {
    flow.dir.join("proposal.json")
}

fn digest(flow: &Flow<'_>) -> String {
    let proposal = flow.json_file("proposal.json");
    proposal["safe"]["digests"]["safe_tx"].as_str().unwrap().to_owned()
}

/// A command on an upgrade with the key of an account.
fn run(flow: &Flow<'_>, index: usize, arguments: &[&str]) -> Ran {
    let (file, key) = (file(flow), signer(index));
    let (command, more) = arguments.split_first().unwrap();
    let mut all = vec![*command, file.to_str().unwrap()];
    all.extend(more);
    all.extend(["--signer", &key, "--yes", "--json"]);
    Ran::of(&mut flow.command(&all))
}

/// Asserts that an earlier agreement stood against it, which the refusal names with the option that goes on.
#[track_caller]
fn refused(ran: Ran, earlier: &str) -> Ran {
    let ran = ran.exits(6).says("ALREADY_SIGNED");
    let option = format!("--accept ALREADY_SIGNED={earlier}");
    assert!(ran.said.contains(&option), "{}", ran.said);
    ran
}

fn safe_nonce(world: &World) -> U256 {
    world.rpc().read(world.safe.unwrap(), &safes::abi::nonceCall {})
}

#[test]
fn sec_h3_a_who_signed_one_approves_no_other_on_chain_and_the_other_way_round() {
    let world = world();
    let (a, b) = (prepared(&world, "a"), prepared(&world, "b"));
    run(&a, 0, &["sign"]).exits(0);
    let sent = world.rpc().nonce(ACCOUNTS[0].address);
    refused(run(&b, 0, &["sign", "--on-chain"]), &digest(&a));
    assert_eq!(world.rpc().nonce(ACCOUNTS[0].address), sent);
    run(&b, 1, &["sign", "--on-chain"]).exits(0);
    let told = refused(run(&a, 1, &["sign"]), &digest(&b));
    assert!(told.said.contains("approval on chain"), "{}", told.said);
    // The same one in another way is no other one.
    run(&a, 0, &["sign", "--on-chain"]).exits(0);
    // And who knows of the first may go on.
    let known = format!("ALREADY_SIGNED={}", digest(&a));
    run(&b, 0, &["sign", "--on-chain", "--accept", "ALREADY_SIGNED=0x00"]).exits(6);
    run(&b, 0, &["sign", "--on-chain", "--accept", &known]).exits(0);
}

#[test]
fn sec_h3_b_who_signed_one_executes_no_other_as_an_owner() {
    let world = world();
    let (a, b) = (prepared(&world, "a"), prepared(&world, "b"));
    let out = world.folder().join("a.sig");
    run(&a, 0, &["sign", "--out", out.to_str().unwrap()]).exits(0);
    run(&b, 1, &["sign"]).exits(0);
    refused(run(&b, 0, &["execute"]), &digest(&a));
    refused(run(&b, 0, &["resume"]), &digest(&a));
    assert_eq!(safe_nonce(&world), U256::ZERO);
    assert_eq!(b.announcements(), 0);
    // The signatures are enough by now, and an owner who wants another one still does not send it.
    run(&b, 2, &["sign"]).exits(0);
    refused(run(&b, 0, &["execute"]), &digest(&a));
    run(&b, 4, &["execute"]).exits(0);
    assert_eq!(b.announcements(), 1);
}

#[test]
fn sec_h3_b_who_executed_as_an_owner_goes_on() {
    let world = world();
    let a = prepared(&world, "a");
    run(&a, 1, &["sign"]).exits(0);
    run(&a, 0, &["execute"]).exits(0);
    // Neither the wait for it nor another run is another agreement.
    run(&a, 0, &["execute"]).exits(0);
    run(&a, 0, &["resume"]).exits(0);
    assert_eq!(a.announcements(), 1);
}

/// A Safe that is an owner of the Safe that owns the app.
fn nested() -> (World, Address) {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: true,
            threshold: 2,
            owners: 3,
        }),
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let (rpc, release) = (world.rpc(), &RELEASES[1]);
    let child = release.create(&rpc, true, (&[ACCOUNTS[0].address, ACCOUNTS[1].address], 1));
    let owners = [child, ACCOUNTS[2].address, ACCOUNTS[3].address];
    let safe = release.create(&rpc, false, (&owners, 2));
    let owner = rpc.read(world.app, &abi::ownerCall {});
    rpc.execute_as(owner, world.app, &abi::transferOwnershipCall { to: safe });
    (world, child)
}

#[test]
fn a_nested_safe_that_computes_another_hash_is_signed_for_by_nobody() {
    let (world, child) = nested();
    let flow = prepared(&world, "a");
    let name = child.to_string();
    // keccak256("getTransactionHash(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,uint256)")
    let liar = Liar::to(&world.anvil.url(), move |method, parameters| {
        let call = &parameters[0];
        let to = call["to"].as_str().unwrap_or_default();
        let data = call["data"].as_str().or(call["input"].as_str()).unwrap_or_default();
        let asked =
            method == "eth_call" && to.eq_ignore_ascii_case(&child.to_string()) && data.starts_with("0xd8d11f78");
        asked.then(|| json!(B256::repeat_byte(0xee)))
    });
    let endpoint = liar.url().to_owned();
    let sign = |more: &[&str]| run(&flow, 0, &[&["sign", "--for", &name][..], more].concat());
    let refused = sign(&["--rpc-url", &endpoint]).exits(5).says("SAFE_TX_HASH");
    assert!(
        refused.said.contains(&B256::repeat_byte(0xee).to_string()),
        "{}",
        refused.said
    );
    sign(&[]).exits(0);
}

#[test]
fn sec_h3_c_a_safe_that_is_an_owner_agrees_to_one_digest_at_a_nonce_of_the_safe_above() {
    let (world, child) = nested();
    let (a, b) = (prepared(&world, "a"), prepared(&world, "b"));
    let name = child.to_string();
    run(&a, 0, &["sign", "--for", &name]).exits(0);
    // Before it is executed the nonce of the child is the same, afterwards it is another.
    run(&b, 0, &["sign", "--for", &name]).exits(6).says("ALREADY_SIGNED");
    run(&a, 4, &["execute", "--for", &name]).exits(0);
    refused(run(&b, 0, &["sign", "--for", &name]), &digest(&a));
    // Nor by its other owner, who signed nothing: it is the child that agrees.
    refused(run(&b, 1, &["sign", "--for", &name]), &digest(&a));
    // What was signed elsewhere is not executed here either.
    let (file, key) = (file(&b), signer(1));
    let mut elsewhere = b.command(&["sign", file.to_str().unwrap(), "--for", &name, "--signer", &key]);
    elsewhere
        .args(["--yes", "--json"])
        .env("HOME", world.folder().join("elsewhere"));
    Ran::of(&mut elsewhere).exits(0);
    refused(run(&b, 4, &["execute", "--for", &name]), &digest(&a));
    // An owner of both agrees once, in whichever of the two ways.
    run(&b, 2, &["sign"]).exits(0);
}

/// Hash of code that stands for that of an old Safe.
const OLD_CODE: &str = "0x7777777777777777777777777777777777777777777777777777777777777777";

/// The proposal of a Safe whose hashes know no chain, said to be on this one.
fn on_chain(proposal: &Value, chain_id: u64) -> Value {
    let mut changed = proposal.clone();
    changed["plan"]["chain_id"] = json!(chain_id);
    for place in ["/plan/safe", "/safe/frozen/domain"] {
        let safe = changed.pointer_mut(place).unwrap();
        safe["chain_id"] = json!(chain_id);
        safe["version"] = json!("1.1.1");
        if let Some(code) = safe.get_mut("singleton_code_hash") {
            *code = json!(OLD_CODE);
        }
    }
    let domain: SafeDomain = serde_json::from_value(changed["safe"]["frozen"]["domain"].clone()).unwrap();
    let fields: SafeTxFields = serde_json::from_value(changed["safe"]["frozen"]["transaction"].clone()).unwrap();
    assert_eq!(domain.version, SafeVersion::new(1, 1, 1));
    let digests = &mut changed["safe"]["digests"];
    digests["domain"] = json!(domain.separator());
    digests["message"] = json!(fields.message_hash(domain.version));
    digests["safe_tx"] = json!(fields.hash(&domain));
    changed
}

#[test]
fn sec_h3_d_an_old_safe_has_one_digest_whatever_chain_a_proposal_names() {
    let world = world();
    let (a, b) = (prepared(&world, "a"), prepared(&world, "b"));
    let place = |flow: &Flow<'_>, chain_id: u64| {
        let proposal = on_chain(&flow.json_file("proposal.json"), chain_id);
        let path = world.file(&format!("{chain_id}.json"), &proposal.to_string());
        (
            path,
            proposal["safe"]["digests"]["safe_tx"].as_str().unwrap().to_owned(),
        )
    };
    let sign = |path: &Path| {
        let key = signer(0);
        let mut command = a.command(&[
            "sign",
            path.to_str().unwrap(),
            "--offline",
            "--accept-old-safe",
            "--trust-code",
            OLD_CODE,
        ]);
        Ran::of(command.args(["--signer", &key, "--yes", "--json"]))
    };
    let (first, earlier) = place(&a, 1);
    sign(&first).exits(0);
    refused(sign(&place(&b, 8453).0), &earlier);
    // What is the same on both chains is the same.
    sign(&place(&a, 8453).0).exits(0);
}

#[test]
fn sec_m3_a_file_that_was_exchanged_after_the_review_reaches_no_key() {
    let world = world();
    let (a, b) = (prepared(&world, "a"), prepared(&world, "b"));
    let path = file(&a);
    let reviewed = Ran::of(&mut a.command(&["review", path.to_str().unwrap(), "--json"])).exits(0);
    let option = format!("--expect-safe-tx-hash {}", digest(&a));
    let next = reviewed.json["next"].as_str().unwrap();
    assert!(next.contains(&option), "{next}");
    let hash = digest(&a);
    let expected = ["--expect-safe-tx-hash", hash.as_str()];
    let outside = world.file("passed-on.json", &std::fs::read_to_string(&path).unwrap());
    let signs = |more: &[&str]| {
        let key = signer(0);
        let mut command = a.command(&["sign", outside.to_str().unwrap(), "--signer", &key, "--yes", "--json"]);
        Ran::of(command.args(expected).args(more))
    };
    std::fs::copy(file(&b), &outside).unwrap();
    for more in [&[][..], &["--offline"], &["--out", "x"], &["--reject"]] {
        signs(more).exits(5).says("SAFE_TX_UNEXPECTED");
    }
    assert!(!world.folder().join(".local/state/countersign/signed").exists());
    for command in [
        &["sign", "--on-chain"][..],
        &["execute"],
        &["reject"],
        &["propose", "--service-url", "http://127.0.0.1:1"],
    ] {
        let all = [command, &expected].concat();
        let (exit, sent) = match command[0] {
            // No signer is an argument of it that means anything before it is withdrawn.
            "propose" => (5, 0),
            _ => (5, world.rpc().nonce(ACCOUNTS[0].address)),
        };
        run(&b, 0, &all).exits(exit).says("SAFE_TX_UNEXPECTED");
        if sent > 0 {
            assert_eq!(world.rpc().nonce(ACCOUNTS[0].address), sent);
        }
    }
    assert!(b.json_file("proposal.json")["safe"]["rejection"].is_null());
    // With what was reviewed it goes through.
    std::fs::copy(&path, &outside).unwrap();
    signs(&[]).exits(0);
    run(&a, 1, &["sign", "--expect-safe-tx-hash", &hash]).exits(0);
    run(&a, 4, &["execute", "--expect-safe-tx-hash", &hash]).exits(8);
    run(&a, 0, &["execute", "--expect-safe-tx-hash", &hash]).exits(0);
}

#[test]
fn house_h7_another_cloud_and_what_was_given_up_stop_approvals_on_chain_and_rejections_too() {
    let world = world();
    let a = prepared(&world, "a");
    let elsewhere = |arguments: &[&str]| {
        let (file, key) = (file(&a), signer(0));
        let mut command = a.command(&[arguments, &[file.to_str().unwrap(), "--signer", &key]].concat());
        command.args(["--yes", "--json"]);
        command.env("PHALA_CLOUD_API_PREFIX", "http://cloud.example/api/v1");
        Ran::of(&mut command)
    };
    let sent = world.rpc().nonce(ACCOUNTS[0].address);
    elsewhere(&["sign", "--on-chain"]).exits(5).says("CLOUD_MISMATCH");
    elsewhere(&["reject"]).exits(5).says("CLOUD_MISMATCH");
    assert_eq!(world.rpc().nonce(ACCOUNTS[0].address), sent);
    assert!(a.json_file("proposal.json")["safe"]["rejection"].is_null());
    run(&a, 0, &["reject"]).exits(8);
    run(&a, 1, &["reject"]).exits(0);
    run(&a, 2, &["sign", "--on-chain"]).exits(6).says("ABANDONED");
    assert_eq!(world.rpc().nonce(ACCOUNTS[2].address), 0);
}

#[test]
fn house_h2_after_a_rejection_was_signed_nobody_says_that_nothing_was() {
    let world = world();
    let a = prepared(&world, "a");
    run(&a, 0, &["reject"]).exits(8);
    let told = run(&a, 1, &["sign"]).exits(6).says("SAFE_REJECTING");
    assert_eq!(told.effect("approval"), "done", "{}", told.said);
    assert!(!told.said.contains("nothing was signed"), "{}", told.said);
    let next = told.json["next"].as_str().unwrap();
    assert!(next.starts_with("countersign reject"), "{next}");
}

/// The same signature as anybody can make it of another's: the other s, and the other parity.
fn other_s(signature: &str) -> String {
    let bytes = alloy::primitives::hex::decode(signature).unwrap();
    let s = ORDER - U256::from_be_slice(&bytes[32..64]);
    let v = match bytes[64] {
        27 => 28,
        28 => 27,
        other => panic!("v {other}"),
    };
    let changed = [&bytes[..32], &s.to_be_bytes::<32>(), &[v]].concat();
    format!("0x{}", alloy::primitives::hex::encode(changed))
}

fn has_lower_s(signature: &str) -> bool {
    let bytes = alloy::primitives::hex::decode(signature).unwrap();
    U256::from_be_slice(&bytes[32..64]) <= ORDER >> 1
}

#[test]
fn a_signature_with_the_upper_s_counts_with_the_lower_wherever_it_comes_from_and_that_is_said() {
    let world = world();
    let a = prepared(&world, "a");
    // In a file of its own.
    let out = world.folder().join("zero.json");
    run(&a, 0, &["sign", "--out", out.to_str().unwrap()]).exits(0);
    let mut signed: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    let lower = signed["signature"].as_str().unwrap().to_owned();
    signed["signature"] = json!(other_s(&lower));
    std::fs::write(&out, signed.to_string()).unwrap();
    let dir = a.dir.to_str().unwrap();
    let import = ["import", out.to_str().unwrap(), "--dir", dir, "--json"];
    let taken = Ran::of(&mut a.command(&import)).exits(0);
    assert_eq!(
        taken.json["data"]["signatures"][0]["normalised"], true,
        "{}",
        taken.said
    );
    assert!(taken.said.contains("SIGNATURE_NORMALISED"), "{}", taken.said);
    let kept = a.json_file("proposal.json")["safe"]["signatures"][0].clone();
    assert_eq!(kept["signature"], json!(lower));
    // In a proposal.
    let mut proposal = a.json_file("proposal.json");
    proposal["safe"]["signatures"][0]["signature"] = json!(other_s(&lower));
    let passed = world.file("passed-on.json", &proposal.to_string());
    let path = passed.to_str().unwrap();
    for more in [&[][..], &["--offline"]] {
        let reviewed = Ran::of(a.command(&["review", path, "--json"]).args(more)).exits(0);
        assert!(reviewed.said.contains("SIGNATURE_NORMALISED"), "{}", reviewed.said);
    }
    let key = signer(1);
    let second = Ran::of(&mut a.command(&["sign", path, "--signer", &key, "--yes", "--json"])).exits(0);
    assert!(second.said.contains("SIGNATURE_NORMALISED"), "{}", second.said);
    let written: Value = serde_json::from_slice(&std::fs::read(&passed).unwrap()).unwrap();
    for one in written["safe"]["signatures"].as_array().unwrap() {
        assert!(has_lower_s(one["signature"].as_str().unwrap()), "{one}");
    }
    std::fs::copy(&passed, file(&a)).unwrap();
    run(&a, 4, &["execute"]).exits(0);
    assert_eq!(a.announcements(), 1);
}

/// The same with a record of its own, which knows nothing.
fn forgetful(flow: &Flow<'_>, state: &Path, arguments: &[&str]) -> Ran {
    let (file, key) = (file(flow), signer(0));
    let (command, more) = arguments.split_first().unwrap();
    let mut all = vec![*command, file.to_str().unwrap()];
    all.extend(more);
    all.extend(["--signer", &key, "--yes", "--json"]);
    Ran::of(flow.command(&all).env("XDG_STATE_HOME", state))
}

#[test]
fn sec_h3_what_this_machine_keeps_of_signatures_is_known_without_a_record() {
    let world = world();
    let (mut one, other) = (prepared(&world, "1"), prepared(&world, "2"));
    let below = world.folder().join(".countersign/1");
    std::fs::create_dir_all(below.parent().unwrap()).unwrap();
    std::fs::rename(&one.dir, &below).unwrap();
    one.dir = below;
    run(&one, 0, &["sign"]).exits(0);
    let earlier = digest(&one);
    let state = world.folder().join("elsewhere");
    let before = world.rpc().nonce(ACCOUNTS[0].address);
    for words in [&["sign"][..], &["sign", "--offline"], &["sign", "--on-chain"]] {
        let ran = refused(forgetful(&other, &state, words), &earlier);
        assert!(ran.said.contains(".countersign/1"), "{}", ran.said);
    }
    run(&other, 1, &["sign"]).exits(0);
    refused(forgetful(&other, &state, &["execute"]), &earlier);
    assert_eq!(world.rpc().nonce(ACCOUNTS[0].address), before, "nothing was sent");
    // What cannot be read hinders nobody, and is told.
    std::fs::write(one.dir.join("journal"), "damaged\n").unwrap();
    let told = forgetful(&other, &state, &["sign"]).exits(0);
    assert!(
        told.said.contains("cannot be read") && told.said.contains(".countersign/1"),
        "{}",
        told.said
    );
}

#[test]
fn sec_h3_of_twenty_processes_with_two_proposals_all_that_sign_sign_one() {
    let world = world();
    let flows = [prepared(&world, "1"), prepared(&world, "2")];
    let copies: Vec<_> = (0..20)
        .map(|number| {
            let flow = &flows[number % 2];
            let copy = world.folder().join(format!("copies-{number}")).join("proposal.json");
            std::fs::create_dir(copy.parent().unwrap()).unwrap();
            std::fs::copy(file(flow), &copy).unwrap();
            let key = signer(0);
            let path = copy.to_str().unwrap();
            let mut command = flow.command(&["sign", path, "--offline", "--signer", &key, "--yes", "--json"]);
            let null = std::process::Stdio::null;
            (copy, command.stdout(null()).stderr(null()).spawn().unwrap())
        })
        .collect();
    let mut signed = Vec::new();
    for (copy, mut child) in copies {
        let status = child.wait().unwrap().code();
        let value: Value = serde_json::from_slice(&std::fs::read(copy).unwrap()).unwrap();
        let has = !value["safe"]["signatures"].as_array().unwrap().is_empty();
        assert_eq!(status, Some(if has { 0 } else { 6 }));
        if has {
            signed.push(value["safe"]["digests"]["safe_tx"].clone());
        }
    }
    assert_eq!(signed.len(), 10);
    assert!(signed.iter().all(|one| *one == signed[0]));
}

#[test]
fn sec_h3_without_a_place_to_remember_nobody_agrees_in_any_way() {
    let world = world();
    let flow = prepared(&world, "1");
    run(&flow, 1, &["sign"]).exits(0);
    let state = world.folder().join("state");
    let place = state.join("countersign");
    let before = world.rpc().nonce(ACCOUNTS[0].address);
    let ways = [&["sign"][..], &["sign", "--on-chain"], &["execute"]];
    // A folder that could be anybody's, a file in its place, a damaged record.
    std::fs::create_dir_all(&state).unwrap();
    std::fs::create_dir(world.folder().join("anybody")).unwrap();
    std::os::unix::fs::symlink(world.folder().join("anybody"), &place).unwrap();
    for words in ways {
        forgetful(&flow, &state, words).exits(12);
    }
    std::fs::remove_file(&place).unwrap();
    std::fs::write(&place, "").unwrap();
    for words in ways {
        forgetful(&flow, &state, words).exits(12);
    }
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("signed"), "damaged\n").unwrap();
    for words in ways {
        forgetful(&flow, &state, words).exits(10).says("RECORD_DAMAGED");
    }
    assert_eq!(world.rpc().nonce(ACCOUNTS[0].address), before, "nothing was sent");
    let signatures = flow.json_file("proposal.json")["safe"]["signatures"].clone();
    assert_eq!(signatures.as_array().unwrap().len(), 1);
}
