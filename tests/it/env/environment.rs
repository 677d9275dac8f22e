//! An environment on its way to the guest: sealed for a key that the KMS's contract vouches for, bound to the approved
//! change, in no record. The simulated guest opens it with code of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::support::cloud::KmsKeys;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{Action, FaultProxy, Match, Message, Nth, World};

/// A value that nobody but the guest may ever see.
const CANARY: &str = "canary-environment-value-6e51";

/// An environment with the two names that the CVM's manifest has, and one more.
fn env_file(world: &World) -> PathBuf {
    let text = format!(
        "# production\nDATABASE_URL=\"postgres://u:{CANARY}@db/x?y#z\"\nexport LOG_LEVEL=debug # not info\nNEW='{CANARY}\nsecond line'\n"
    );
    private(world, "prod.env", &text)
}

fn private(world: &World, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = world.file(name, text);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn expected() -> BTreeMap<String, String> {
    let pairs = [
        ("DATABASE_URL", format!("postgres://u:{CANARY}@db/x?y#z")),
        ("LOG_LEVEL", "debug".to_owned()),
        ("NEW", format!("{CANARY}\nsecond line")),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn with_env(flow: &Flow<'_>, step: &str, more: &[&str]) -> Ran {
    let file = env_file(flow.world);
    let mut all = vec!["-e", file.to_str().unwrap()];
    all.extend_from_slice(more);
    flow.with(step, &all)
}

fn codes(ran: &Ran) -> Vec<&str> {
    let warnings = ran.json["warnings"].as_array().unwrap();
    warnings
        .iter()
        .map(|warning| warning["code"].as_str().unwrap())
        .collect()
}

/// Everything in the upgrade's directory, file by file.
fn kept(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.is_file())
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(path).unwrap(),
            )
        })
        .collect()
}

fn patches(world: &World) -> Vec<Value> {
    let all = world.cloud.requests_to("PATCH", CVM);
    all.iter().map(|request| request.json()).collect()
}

#[test]
fn v23_values_reach_the_guest_and_no_record_and_no_text() {
    let world = World::start();
    let flow = Flow::new(&world);
    let seen = |text: &[u8]| String::from_utf8_lossy(text).contains(CANARY);
    let prepared = with_env(&flow, "prepare", &["-vv"]).exits(0);
    assert!(!seen(prepared.said.as_bytes()), "{}", prepared.said);
    assert!(codes(&prepared).contains(&"ENV_NAMES_ADDED"), "{}", prepared.said);
    let sent = patches(&world).remove(0);
    assert_eq!(
        sent["allowed_envs"],
        json!(["DATABASE_URL", "LOG_LEVEL", "NEW"]),
        "names and blob go together"
    );
    let blob = sent["encrypted_env"].as_str().unwrap().to_owned();
    for (name, bytes) in kept(&flow.dir) {
        assert!(!seen(&bytes), "{name} holds a value");
        let holds_blob = String::from_utf8_lossy(&bytes).contains(&blob);
        assert_eq!(
            holds_blob,
            name.starts_with("environment-"),
            "{name} and the sealed bytes"
        );
    }
    let plan = &flow.journal().iter().find(|record| record["kind"] == "plan").unwrap()["body"].clone();
    assert_eq!(plan["code"]["environment"]["names"], sent["allowed_envs"]);
    let done = flow.with("resume", &["-vv"]).exits(0);
    assert!(!seen(done.said.as_bytes()));
    assert_eq!(world.cloud.cvm(CVM).environment, expected());
    assert!(world.cloud.cvm(CVM).boot_error.is_none());
    for (name, bytes) in kept(&flow.dir) {
        assert!(
            !seen(&bytes) && !name.starts_with("environment-"),
            "{name} after the commit"
        );
    }
}

#[test]
fn the_whole_upgrade_carries_an_environment_and_one_without_leaves_it_alone() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_env(&flow, "upgrade", &[]).exits(0);
    assert_eq!(world.cloud.cvm(CVM).environment, expected());
    let mut second = Flow::new(&world);
    second.dir = world.folder().join("second");
    second.compose = world.file("third.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    world.cloud.forget_requests();
    second.step("upgrade").exits(0);
    let sent = patches(&world).remove(0);
    assert!(
        sent.get("encrypted_env").is_none() && sent.get("allowed_envs").is_none(),
        "{sent}"
    );
    assert_eq!(
        world.cloud.cvm(CVM).environment,
        expected(),
        "the guest keeps what it has"
    );
}

#[test]
fn v24_a_key_that_the_kms_did_not_sign_for_this_app_stops_everything() {
    let world = World::start();
    let other = KmsKeys::named("somebody else");
    let honest = world.cloud.cvm(CVM).kms.unwrap().keys;
    let now = u64::try_from(jiff::Timestamp::now().as_second()).unwrap();
    let (app, stranger) = (world.app, alloy::primitives::Address::repeat_byte(9));
    let swapped = hex::encode(other.public(app));
    let key = honest.public(app);
    let signed_by_other =
        json!({"public_key": hex::encode(other.public(app)), "signature": other.sign(app, &other.public(app), None)});
    let dated = |time: u64| json!({"signature_v1": honest.sign(app, &key, Some(time)), "timestamp": time});
    let table = [
        ("swapped", json!({"public_key": swapped})),
        ("signed by another KMS", signed_by_other),
        (
            "signed for another app",
            json!({"signature": honest.sign(stranger, &key, None)}),
        ),
        ("unsigned", json!({"signature": null})),
        ("malformed", json!({"public_key": "00"})),
        ("stale", dated(now - 400)),
        ("from the future", dated(now + 600)),
        ("half dated", json!({"timestamp": now})),
    ];
    let flow = Flow::new(&world);
    for (what, lie) in table {
        let lie = lie.clone();
        world.cloud.lie(|lies| {
            lies.edit_pubkey = Some(Arc::new(move |body: &mut Value| {
                for (name, value) in lie.as_object().unwrap() {
                    body[name] = value.clone();
                }
            }));
        });
        let refused = with_env(&flow, "prepare", &[]).exits(5).says("ENV_KEY_MISMATCH");
        assert!(!refused.said.contains(CANARY), "{what}");
    }
    world.cloud.lie(|lies| {
        let fresh = dated(now);
        lies.edit_pubkey = Some(Arc::new(move |body: &mut Value| {
            body["signature_v1"] = fresh["signature_v1"].clone();
            body["timestamp"] = fresh["timestamp"].clone();
        }));
    });
    with_env(&flow, "plan", &[]).exits(0);
    assert!(patches(&world).is_empty(), "nothing was sent");
}

#[test]
fn v24_the_contract_decides_whose_word_counts() {
    let world = World::start();
    let flow = Flow::new(&world);
    let honest = world.cloud.cvm(CVM).kms.unwrap().keys;
    let other = KmsKeys::named("somebody else");
    let pin = |keys: &KmsKeys| format!("--kms-root-key=0x{}", hex::encode(keys.root_key()));
    assert!(!codes(&with_env(&flow, "plan", &[]).exits(0)).contains(&"KMS_NOT_KNOWN"));
    world.forget_the_kms();
    let planned = with_env(&flow, "plan", &[]).exits(6).says("KMS_NOT_KNOWN");
    assert!(codes(&planned).contains(&"KMS_NOT_KNOWN"), "{}", planned.said);
    let pinned = with_env(&flow, "plan", &[&pin(&honest)]).exits(0);
    assert!(!codes(&pinned).contains(&"KMS_NOT_KNOWN"), "{}", pinned.said);
    with_env(&flow, "plan", &[&pin(&other)])
        .exits(5)
        .says("KMS_ROOT_MISMATCH");
    world.publish_root_key(other.root_key());
    with_env(&flow, "prepare", &[]).exits(5).says("ENV_KEY_MISMATCH");
    world.publish_root_key(Vec::new());
    with_env(&flow, "prepare", &[]).exits(6).says("ENV_KMS_KEY_MISSING");
    world.publish_root_key(vec![2; 33]);
    with_env(&flow, "prepare", &[]).exits(5);
    assert!(patches(&world).is_empty(), "nothing was sent");
}

#[test]
fn a_change_of_values_alone_is_told_apart_before_anything_is_sent() {
    let world = World::start();
    let flow = Flow::new(&world);
    let same = private(&world, "same.env", "DATABASE_URL=a\nLOG_LEVEL=b\n");
    let turned = private(&world, "turned.env", "LOG_LEVEL=b\nDATABASE_URL=a\n");
    let fewer = private(&world, "fewer.env", "LOG_LEVEL=b\\n\n");
    let run = |step: &str, file: &Path, more: &[&str]| {
        let mut words = vec![step, "--json", "--cvm", CVM, "-e", file.to_str().unwrap()];
        words.extend_from_slice(more);
        Ran::of(&mut flow.command(&words))
    };
    run("plan", &same, &[]).exits(0).says("ENV_VALUES_ONLY");
    let refused = run("prepare", &same, &[]).exits(6).says("ENV_VALUES_ONLY");
    assert!(
        refused.json["next"].as_str().unwrap().contains("countersign upgrade"),
        "{}",
        refused.said
    );
    assert!(codes(&run("plan", &turned, &[]).exits(0)).contains(&"ENV_NAMES_REORDERED"));
    let less = run("plan", &fewer, &[]).exits(0);
    for code in ["ENV_NAMES_REMOVED", "ENV_VALUES_ALTERED"] {
        assert!(codes(&less).contains(&code), "{code} in {}", less.said);
    }
    let listed = ["--allowed-env", "DATABASE_URL,LOG_LEVEL,X"];
    assert!(codes(&run("plan", &fewer, &listed).exits(0)).contains(&"ENV_VALUES_MISSING"));
    run("plan", &same, &["--allowed-env", "LOG_LEVEL"])
        .exits(6)
        .says("ENV_NAME_NOT_ALLOWED");
    assert!(patches(&world).is_empty(), "nothing was sent");
}

#[test]
fn n5_values_come_from_files_and_variables_and_never_from_arguments() {
    let world = World::start();
    let flow = Flow::new(&world);
    for words in [["-e", "NEW=canary-argument"], ["--env", "NEW=canary-argument"]] {
        let refused = flow.with("prepare", &words).exits(2).says("USAGE_ENV_VALUE");
        assert!(!refused.said.contains("canary-argument"));
    }
    flow.with("plan", &["--env", "NOT_SET_HERE"])
        .exits(3)
        .says("INPUT_ENV_VARIABLE");
    let broken = private(&world, "broken.env", &format!("A=1\nB={CANARY}#{CANARY}\n"));
    let refused = flow
        .with("plan", &["-e", broken.to_str().unwrap()])
        .exits(3)
        .says("INPUT_ENV");
    assert!(
        refused.said.contains("line 2") && !refused.said.contains(CANARY),
        "{}",
        refused.said
    );
    let file = private(&world, "one.env", "DATABASE_URL=a\n");
    let mut command = flow.command(&[]);
    let arguments = flow.arguments("upgrade");
    command
        .args(&arguments)
        .args(["-e", file.to_str().unwrap(), "--env", "LOG_LEVEL"])
        .env("LOG_LEVEL", "");
    Ran::of(&mut command).exits(0);
    let found = world.cloud.cvm(CVM).environment;
    assert_eq!(found.get("DATABASE_URL").map(String::as_str), Some("a"));
    assert_eq!(
        found.get("LOG_LEVEL").map(String::as_str),
        Some(""),
        "an empty value is a value"
    );
}

#[test]
fn t1_preparing_again_sends_the_same_sealed_bytes() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_env(&flow, "prepare", &[]).exits(0);
    world.cloud.advance(15 * 24 * 3600);
    flow.step("resume").exits(6).says("COMMIT_REJECTED_466");
    flow.step("resume").exits(0);
    let sent = patches(&world);
    assert_eq!(sent.len(), 2, "the token had died");
    assert_eq!(sent[0], sent[1]);
    assert_eq!(world.cloud.cvm(CVM).environment, expected());
}

#[test]
fn a_machine_without_the_sealed_bytes_never_prepares_without_them() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_env(&flow, "prepare", &[]).exits(0);
    let hash = world.cloud.tokens().remove(0).hash;
    world.allow(hash);
    let mut elsewhere = Flow::new(&world);
    elsewhere.dir = world.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere.dir).unwrap();
    std::fs::copy(flow.dir.join("proposal.json"), elsewhere.dir.join("proposal.json")).unwrap();
    let file = elsewhere.dir.join("proposal.json");
    let adopt = ["resume", "--json", "--yes", file.to_str().unwrap()];
    let needed = Ran::of(&mut elsewhere.command(&adopt));
    needed.exits(6).says("ENV_NEEDED");
    assert_eq!(patches(&world).len(), 1, "nothing was prepared without the environment");
    let adopted = world.folder().join(".countersign");
    let mut adopted = std::fs::read_dir(&adopted).unwrap().map(|entry| entry.unwrap().path());
    let adopted = adopted.find(|path| path.is_dir()).unwrap();
    elsewhere.dir = adopted;
    with_env(&elsewhere, "prepare", &[]).exits(0);
    elsewhere.step("resume").exits(0);
    assert_eq!(world.cloud.cvm(CVM).environment, expected());
}

#[test]
fn v24_sealed_bytes_that_somebody_exchanged_are_not_sent() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_env(&flow, "prepare", &[]).exits(0);
    let (name, bytes) = kept(&flow.dir)
        .into_iter()
        .find(|(name, _)| name.starts_with("environment-"))
        .unwrap();
    let mut other = bytes;
    other.reverse();
    std::fs::write(flow.dir.join(name), other).unwrap();
    world.cloud.advance(15 * 24 * 3600);
    flow.step("resume").exits(6).says("COMMIT_REJECTED_466");
    flow.step("resume").exits(5).says("ENV_CHANGED");
    assert_eq!(patches(&world).len(), 1);
}

#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
#[test]
fn k01_k05_killed_around_prepare_it_goes_on_with_the_environment() {
    for point in ["prepare.a", "prepare.b", "prepare.d", "prepare.e"] {
        let world = World::start();
        let mut flow = Flow::new(&world);
        flow.env.push(("FAILPOINTS".to_owned(), format!("{point}=return")));
        assert_eq!(with_env(&flow, "prepare", &[]).exit, -1, "{point}");
        flow.env.pop();
        flow.step("resume").exits(0);
        assert_eq!(world.cloud.cvm(CVM).environment, expected(), "{point}");
        let keys = world.cloud.cvm(CVM).kms.unwrap().keys;
        for sent in patches(&world) {
            let blob = sent["encrypted_env"].as_str().expect("never without it");
            assert!(crate::support::guest::open(&keys.secret(world.app), blob).is_some());
        }
    }
}

/// An environment with the names that are live, and this value.
fn with_value(flow: &Flow<'_>, step: &str, (value, more): (&str, &[&str])) -> Ran {
    let text = format!("DATABASE_URL={value}\nLOG_LEVEL=b\n");
    let file = private(flow.world, &format!("{value}.env"), &text);
    let mut all = vec!["-e", file.to_str().unwrap()];
    all.extend_from_slice(more);
    flow.with(step, &all)
}

#[test]
fn t1_other_values_are_prepared_again_for_the_same_hash_and_the_same_ones_are_not() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_value(&flow, "prepare", ("old", &[])).exits(0);
    let first = patches(&world);
    let same = with_value(&flow, "prepare", ("old", &[])).exits(0);
    assert_eq!(patches(&world), first, "the same values are prepared once");
    assert!(!same.said.contains("other values"), "{}", same.said);
    let key = flow.dir.join("environment.key");
    assert_eq!(std::fs::read(&key).unwrap().len(), 32);
    let changed = with_value(&flow, "prepare", ("new", &[])).exits(0);
    assert!(
        changed.said.contains("preparing again with the new ones"),
        "{}",
        changed.said
    );
    assert_eq!(patches(&world).len(), 2);
    let tokens = world.cloud.tokens();
    assert_eq!(tokens[0].hash, tokens[1].hash, "the approval is for the same hash");
    let sealed = kept(&flow.dir)
        .into_iter()
        .filter(|(name, _)| name.starts_with("environment-"));
    assert_eq!(sealed.count(), 1, "the old bytes are gone");
    // The owner approves, and the values change once more: the approval stays good.
    flow.step("execute").exits(0);
    with_value(&flow, "prepare", ("newest", &[])).exits(0);
    flow.step("resume").exits(0);
    flow.landed_once();
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "newest");
    for (name, bytes) in kept(&flow.dir) {
        assert!(
            !String::from_utf8_lossy(&bytes).contains("newest"),
            "{name} holds a value"
        );
    }
}

#[test]
fn t1_other_values_do_not_end_a_colleagues_token_unasked() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_value(&flow, "prepare", ("old", &[])).exits(0);
    let mut theirs = Flow::new(&world);
    theirs.dir = world.folder().join("theirs");
    theirs.compose = world.file("theirs.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    theirs.with("prepare", &["--supersede"]).exits(0);
    with_value(&flow, "prepare", ("new", &[]))
        .exits(6)
        .says("UPDATE_PENDING");
    assert_eq!(patches(&world).len(), 2, "nothing was sent");
    with_value(&flow, "prepare", ("new", &["--supersede"])).exits(0);
    flow.step("resume").exits(0);
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "new");
}

#[test]
fn other_values_come_too_late_for_an_update_that_was_committed() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.cloud.set_boot_time(std::time::Duration::from_secs(3600));
    with_value(&flow, "upgrade", ("old", &["--no-wait"])).exits(0);
    for step in ["prepare", "upgrade"] {
        let late = with_value(&flow, step, ("new", &["--timeout", "2s"]))
            .exits(6)
            .says("ENV_VALUES_LATE");
        assert!(late.json["next"].as_str().unwrap().contains("resume"), "{}", late.said);
    }
    with_value(&flow, "prepare", ("old", &[])).exits(0);
    world.cloud.set_boot_time(std::time::Duration::ZERO);
    flow.step("resume").exits(0);
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "old");
    assert_eq!(world.cloud.commits(CVM).len(), 1);
}

#[test]
fn without_the_key_values_count_as_others() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_value(&flow, "prepare", ("old", &[])).exits(0);
    std::fs::remove_file(flow.dir.join("environment.key")).unwrap();
    with_value(&flow, "prepare", ("old", &[])).exits(0);
    assert_eq!(patches(&world).len(), 2);
    with_value(&flow, "prepare", ("old", &[])).exits(0);
    assert_eq!(patches(&world).len(), 2);
    flow.step("resume").exits(0);
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "old");
}

#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
#[test]
fn k01_k05_killed_while_other_values_are_prepared_it_goes_on_with_them() {
    for point in ["prepare.a", "prepare.b", "prepare.d", "prepare.e"] {
        let world = World::start();
        let mut flow = Flow::new(&world);
        with_value(&flow, "prepare", ("old", &[])).exits(0);
        flow.step("execute").exits(0);
        flow.env.push(("FAILPOINTS".to_owned(), format!("{point}=return")));
        assert_eq!(with_value(&flow, "prepare", ("new", &[])).exit, -1, "{point}");
        flow.env.pop();
        flow.step("resume").exits(0);
        flow.landed_once();
        assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "new", "{point}");
    }
}

/// An upgrade of values alone: no compose file, the names that are live.
fn values_only(flow: &Flow<'_>, words: &[&str], value: &str) -> Ran {
    let text = format!("DATABASE_URL={value}\nLOG_LEVEL=b\n");
    let file = private(flow.world, &format!("{value}.env"), &text);
    let mut all = words.to_vec();
    all.extend(["--json", "--cvm", CVM, "-e", file.to_str().unwrap()]);
    Ran::of(&mut flow.command(&all))
}

#[test]
fn values_alone_are_sent_without_an_approval_and_said_to_be() {
    let world = World::start();
    let flow = Flow::new(&world);
    values_only(&flow, &["upgrade"], "first").exits(2).says("USAGE_CONSENT");
    assert!(
        world.cloud.requests_to("PATCH", "").is_empty(),
        "nothing was sent without consent"
    );
    let sent = values_only(&flow, &["upgrade", "--yes"], "first")
        .exits(0)
        .says("ENV_VALUES_ONLY");
    assert!(
        sent.json["message"].as_str().unwrap().contains("nobody has to approve"),
        "{}",
        sent.said
    );
    assert!(sent.fact("correlation_id").is_string(), "{}", sent.said);
    let body = world.cloud.requests_to("PATCH", "/envs").remove(0).json();
    assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["encrypted_env"]);
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "first");
    assert_eq!(world.cloud.requests_to("PATCH", "").len(), 1);
    assert_eq!(flow.announcements(), 0);
    let kept = kept(&world.folder().join(".countersign").join(format!("{CVM}-values")));
    let names: std::collections::BTreeSet<_> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["environment.key", "values", "values.lock"].into(),
        "there is no upgrade to keep"
    );
    for (name, bytes) in &kept {
        assert!(
            !String::from_utf8_lossy(bytes).contains("first"),
            "{name} holds a value"
        );
    }
    // The command for one CVM does the same.
    let order = values_only(&flow, &["cvm", "envs", "--yes", "--wait"], "second")
        .exits(0)
        .says("ENV_VALUES_ONLY");
    assert!(
        order.json["message"].as_str().unwrap().contains("carried out"),
        "{}",
        order.said
    );
    assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "second");
}

#[test]
fn a_finished_upgrade_knows_which_values_were_sent_last() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_value(&flow, "upgrade", ("old", &[])).exits(0);
    world.cloud.forget_requests();
    with_value(&flow, "upgrade", ("old", &[])).exits(0).says("OK");
    assert!(
        world.cloud.requests_to("PATCH", "").is_empty(),
        "the same again sends nothing"
    );
    with_value(&flow, "prepare", ("new", &[]))
        .exits(6)
        .says("ENV_VALUES_ONLY");
    for _ in 0..2 {
        with_value(&flow, "upgrade", ("new", &[])).exits(0);
        assert_eq!(world.cloud.requests_to("PATCH", "/envs").len(), 1, "once is enough");
        assert_eq!(world.cloud.cvm(CVM).environment["DATABASE_URL"], "new");
    }
    flow.landed_once();
    flow.step("status").exits(0);
}

/// How often values reached the cloud, and what the guest has.
fn arrived(world: &World) -> (usize, String) {
    let value = world.cloud.cvm(CVM).environment.get("DATABASE_URL").cloned();
    (
        world.cloud.requests_to("PATCH", "/envs").len(),
        value.unwrap_or_default(),
    )
}

#[test]
fn a9_values_whose_answer_was_lost_are_settled_by_reading_and_the_same_ones_are_sent_once() {
    let world = World::start();
    // What was taken is carried out at once: nothing here is about waiting.
    world.cloud.set_boot_time(std::time::Duration::ZERO);
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let (mut flow, honest) = (Flow::new(&world).cloud_at(&proxy.prefix()), Flow::new(&world));
    // Time enough for any machine, and little between two attempts; read by builds with `failpoints`.
    flow.env.push(("COUNTERSIGN_REQUEST_MS".to_owned(), "20000".to_owned()));
    let envs = ["cvm", "envs", "--yes", "--wait"];
    let sent = |value: &str| values_only(&honest, &envs, value).exits(0).says("ENV_VALUES_ONLY");
    let last = |number: usize, value: &str| assert_eq!(arrived(&world), (number, value.to_owned()));
    let put = || Match::Http("PATCH", "/envs");
    // Taken, and the answer lost: the operation that followed tells.
    proxy.on(put(), Nth::Only(1), Action::ResetAfterForward);
    let taken = values_only(&flow, &envs, "one").exits(0).says("ENV_VALUES_ONLY");
    assert!(taken.fact("correlation_id").is_string(), "{}", taken.said);
    last(1, "one");
    let again = sent("one");
    assert_eq!(again.json["data"]["earlier"], true, "{}", again.said);
    assert_eq!(again.fact("correlation_id"), taken.fact("correlation_id"));
    last(1, "one");
    // Taken, and nobody can be asked what became of it: unknown, until a later run looks.
    proxy.heal();
    proxy.on(put(), Nth::Only(1), Action::ResetAfterForward);
    proxy.on(Match::Http("GET", "/operations"), Nth::From(2), Action::ResetAfterRead);
    let unknown = values_only(&flow, &envs, "two").exits(9).says("ENV_VALUES_UNKNOWN");
    assert!(
        unknown.json["next"]
            .as_str()
            .unwrap()
            .starts_with("countersign cvm envs"),
        "{}",
        unknown.said
    );
    world.cloud.wait_for_hash(CVM, world.first_hash);
    assert_eq!(sent("two").json["data"]["earlier"], true);
    last(2, "two");
    // Not taken: unknown, and sent by the next run.
    proxy.heal();
    proxy.on(put(), Nth::Only(1), Action::ResetAfterRead);
    values_only(&flow, &envs, "three").exits(9).says("ENV_VALUES_UNKNOWN");
    last(2, "two");
    assert_eq!(sent("three").json["data"]["earlier"], false);
    last(3, "three");
    // A gateway that gives up says as little.
    proxy.heal();
    proxy.on(put(), Nth::Only(1), Action::ForwardThenStatus(504));
    values_only(&flow, &envs, "four").exits(0);
    last(4, "four");
    // Somebody else replaced them meanwhile: the same values are sent again.
    let theirs = world.cloud.requests_to("PATCH", "/envs")[0].json()["encrypted_env"]
        .as_str()
        .unwrap()
        .to_owned();
    world.file("theirs.hex", &theirs);
    Ran::of(&mut honest.command(&["cvm", "envs", "theirs.hex", "--cvm", CVM, "--yes", "--wait", "--json"])).exits(0);
    last(5, "one");
    assert_eq!(sent("four").json["data"]["earlier"], false);
    last(6, "four");
    // What was damaged is told from what is not there.
    let record = world.folder().join(".countersign").join(format!("{CVM}-values/values"));
    std::fs::write(&record, "{}\n").unwrap();
    values_only(&honest, &envs, "five").exits(10).says("JOURNAL_DAMAGED");
    last(6, "four");
}

#[cfg_attr(
    not(feature = "failpoints"),
    ignore = "needs --features failpoints, as `make test` has it"
)]
#[test]
fn k01_k05_killed_around_sending_values_it_settles_by_reading() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    for (number, (point, reached)) in [("values.b", 0), ("values.d", 1)].into_iter().enumerate() {
        let value = format!("killed{number}");
        let before = arrived(&world).0;
        flow.env.push(("FAILPOINTS".to_owned(), format!("{point}=return")));
        assert_eq!(
            values_only(&flow, &["cvm", "envs", "--yes"], &value).exit,
            -1,
            "{point}"
        );
        flow.env.pop();
        assert_eq!(arrived(&world).0, before + reached, "{point}");
        let done = values_only(&flow, &["cvm", "envs", "--yes", "--wait"], &value).exits(0);
        assert_eq!(done.json["data"]["earlier"], reached == 1, "{point}: {}", done.said);
        assert_eq!(arrived(&world), (before + 1, value), "{point}");
    }
}

#[test]
fn an_environment_that_was_sealed_elsewhere_goes_on_as_an_upgrade() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_env(&flow, "prepare", &[]).exits(0);
    let blob = patches(&world)[0]["encrypted_env"].as_str().unwrap().to_owned();
    world.file("sealed.hex", &blob);
    let dir = world.folder().join("elsewhere");
    let words = [
        "cvm",
        "envs",
        "sealed.hex",
        "--cvm",
        CVM,
        "--allowed-env",
        "DATABASE_URL,LOG_LEVEL,NEW",
        "--supersede",
        "--yes",
        "--json",
        "--dir",
        dir.to_str().unwrap(),
    ];
    let begun = Ran::of(&mut flow.command(&words)).exits(0);
    assert!(codes(&begun).contains(&"ENV_SEALED_ELSEWHERE"), "{}", begun.said);
    for (name, bytes) in kept(&dir) {
        let holds = String::from_utf8_lossy(&bytes).contains(&blob);
        assert_eq!(holds, name.starts_with("environment-"), "{name} and the sealed bytes");
    }
    // The same command goes on with it.
    let again = Ran::of(&mut flow.command(&words)).exits(0);
    assert_eq!(again.fact("compose_hash"), begun.fact("compose_hash"));
    let resume = [
        "resume",
        "--dir",
        dir.to_str().unwrap(),
        "--signer",
        "env:OWNER_KEY",
        "--yes",
        "--json",
    ];
    Ran::of(&mut flow.command(&resume)).exits(0);
    assert_eq!(world.cloud.cvm(CVM).environment, expected());
}

#[test]
fn values_are_not_sent_to_a_cvm_that_would_not_come_up_again() {
    let world = World::start();
    let flow = Flow::new(&world);
    world.as_owner(&crate::support::contracts::abi::removeComposeHashCall {
        composeHash: world.first_hash,
    });
    values_only(&flow, &["plan"], "a").exits(6).says("HASH_REMOVED");
    values_only(&flow, &["upgrade", "--yes"], "a")
        .exits(6)
        .says("HASH_REMOVED");
    world.allow(world.first_hash);
    world.as_owner(&crate::support::contracts::abi::removeDeviceCall { deviceId: world.device });
    values_only(&flow, &["upgrade", "--yes"], "a")
        .exits(6)
        .says("DEVICE_NOT_ALLOWED");
    assert!(world.cloud.requests_to("PATCH", "").is_empty(), "nothing was sent");
}

#[test]
fn other_names_are_a_change_that_cvm_envs_takes_on_as_an_upgrade() {
    let world = World::start();
    let flow = Flow::new(&world);
    let file = env_file(&world);
    let file = file.to_str().unwrap();
    let run = |words: &[&str]| Ran::of(&mut flow.command(words));
    let asked = run(&["cvm", "envs", "--cvm", CVM, "-e", file, "--json", "--yes"])
        .exits(6)
        .says("HASH_REQUIRED");
    assert!(codes(&asked).contains(&"ENV_NAMES_ADDED"), "{}", asked.said);
    assert!(patches(&world).is_empty(), "nothing was sent");
    let next = asked.json["next"].as_str().unwrap();
    assert_eq!(next, format!("countersign prepare --cvm {CVM} --env-file {file}"));
    let dir = flow.dir.to_str().unwrap();
    let begun = run(&["cvm", "envs", "--cvm", CVM, "-e", file, "--dir", dir, "--json", "--yes"]).exits(0);
    assert_eq!(begun.fact("compose_hash"), asked.fact("compose_hash"));
    flow.step("resume").exits(0);
    assert_eq!(world.cloud.cvm(CVM).environment, expected());
}

/// Somebody else's update with these names waits for its commit.
fn theirs(world: &World, names: &str, dir: &str) {
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join(dir);
    flow.compose = world.file("theirs.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    flow.with("prepare", &["--allowed-env", names, "--supersede"]).exits(0);
}

#[test]
fn what_a_waiting_update_would_lose_is_told_before_it_is_replaced() {
    let world = World::start();
    let flow = Flow::new(&world);
    let one = private(&world, "one.env", "DATABASE_URL=a\n");
    let look = |file: &Path| {
        flow.with("plan", &["-e", file.to_str().unwrap()])
            .exits(6)
            .says("UPDATE_PENDING")
    };
    theirs(&world, "DATABASE_URL,LOG_LEVEL", "theirs");
    let told = look(&one);
    assert!(codes(&told).contains(&"ENV_NAMES_PENDING"), "{}", told.said);
    assert!(told.said.contains("does not: LOG_LEVEL"), "{}", told.said);
    theirs(&world, "DATABASE_URL", "theirs-2");
    let told = look(&one);
    assert!(
        !codes(&told).iter().any(|code| code.starts_with("ENV_NAMES_PENDING")),
        "{}",
        told.said
    );
    // A name that is neither live nor local: only who prepared it knows.
    theirs(&world, "DATABASE_URL,SECRET_OF_THEIRS", "theirs-3");
    assert!(codes(&look(&one)).contains(&"ENV_NAMES_PENDING_UNKNOWN"));
    theirs(&world, "DATABASE_URL,SECRET_OF_OURS", ".countersign/mine");
    let told = look(&one);
    assert!(told.said.contains("does not: SECRET_OF_OURS"), "{}", told.said);
    assert!(!codes(&told).contains(&"ENV_NAMES_PENDING_UNKNOWN"), "{}", told.said);
}

#[test]
fn an_upgrade_begun_without_an_environment_is_another_one_than_with() {
    let world = World::start();
    let flow = Flow::new(&world);
    let file = private(&world, "a.env", "DATABASE_URL=a\nLOG_LEVEL=b\n");
    flow.with("prepare", &["--allowed-env", "DATABASE_URL,LOG_LEVEL"])
        .exits(0);
    flow.with("prepare", &["-e", file.to_str().unwrap()])
        .exits(10)
        .says("JOURNAL_FOREIGN");
    let sealed = kept(&flow.dir)
        .into_iter()
        .any(|(name, _)| name.starts_with("environment-"));
    assert!(!sealed, "nothing is left behind");
    flow.step("status").exits(0);
}

#[test]
fn values_for_which_the_cloud_asks_for_an_approval_after_all_are_not_sent() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let flow = Flow::new(&world).cloud_at(&proxy.prefix());
    let cvm = world.cloud.cvm(CVM);
    let bare = |text: String| text.trim_start_matches("0x").to_lowercase();
    let detail = |name: &str, value: Value| json!({"field": name, "value": value, "message": name});
    let details = json!([
        detail("compose_hash", json!("ab".repeat(32))),
        detail("app_id", json!(bare(world.app.to_string()))),
        detail("device_id", json!(bare(cvm.device.to_string()))),
        detail(
            "kms_info",
            json!({"chain_id": 31337, "kms_contract_address": world.kms.to_string()})
        ),
    ]);
    let body = json!({"error_code": "ERR-01-005", "message": "Compose hash registration required", "details": details});
    let answer = Action::Answer(Message {
        start: "HTTP/1.1 465 Required".to_owned(),
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("content-length".to_owned(), body.to_string().len().to_string()),
        ],
        body: body.to_string().into_bytes(),
    });
    proxy.on(Match::Http("PATCH", "/envs"), Nth::Every, answer);
    values_only(&flow, &["upgrade", "--yes"], "first")
        .exits(6)
        .says("ENV_HASH_REQUIRED");
    assert_eq!(world.cloud.cvm(CVM).environment, cvm.environment);
}
