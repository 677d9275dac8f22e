//! The KMS: values are sealed for one that somebody knows by more than the cloud's word, and it is asked again before each
//! step that relies on it.

use std::os::unix::fs::PermissionsExt as _;

use alloy::primitives::{Address, B256};

use crate::harness::flow::{Flow, Ran};
use crate::support::World;
use crate::support::contracts::abi;
use crate::support::world::{CVM, NEW_COMPOSE, SafeOptions, WorldOptions};

/// A command with values for the guest.
fn with_values(flow: &Flow<'_>, step: &str, (values, more): (&str, &[&str])) -> Ran {
    let file = flow.world.file("prod.env", values);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut all = vec!["-e", file.to_str().unwrap()];
    all.extend_from_slice(more);
    flow.with(step, &all)
}

const VALUES: (&str, &[&str]) = ("DATABASE_URL=hunter2-secret\nLOG_LEVEL=debug\n", &[]);

fn agreed(kms: Address) -> String {
    format!("KMS_NOT_KNOWN={kms}")
}

/// An upgrade of the world's CVM to another compose file, in a directory of its own.
fn another<'w>(world: &'w World, name: &str) -> Flow<'w> {
    let compose = NEW_COMPOSE.replace("1.28", &format!("1.28-{name}"));
    let mut flow = Flow::new(world);
    flow.dir = world.folder().join(name);
    flow.compose = world.file(&format!("{name}.yml"), &compose);
    flow.hash = world.hash_with(&compose);
    flow
}

#[track_caller]
fn nothing_left(world: &World) {
    let requests = world.cloud.requests();
    let writes: Vec<_> = requests.iter().filter(|request| request.method != "GET").collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn se2_e1_values_for_a_kms_that_only_the_cloud_names_are_somebodys_decision() {
    let world = World::start();
    world.forget_the_kms();
    let stranger = world.stranger_takes_the_kms();
    let flow = Flow::new(&world);
    for step in ["plan", "prepare", "upgrade"] {
        let refused = with_values(&flow, step, VALUES).exits(6).says("KMS_NOT_KNOWN");
        let hint = refused.json["hint"].as_str().unwrap();
        assert!(hint.contains(&format!("--accept {}", agreed(stranger))), "{hint}");
        assert!(refused.said.contains("the first trust"), "{}", refused.said);
        assert!(!refused.said.contains("hunter2"));
    }
    let other = agreed(world.kms);
    with_values(&flow, "prepare", (VALUES.0, &["--accept", &other]))
        .exits(6)
        .says("KMS_NOT_KNOWN");
    nothing_left(&world);
    assert!(!flow.dir.exists(), "nothing is kept");
    with_values(&flow, "prepare", (VALUES.0, &["--accept", &agreed(stranger)])).exits(0);
    // It holds for the upgrade, and stands in its record and on a reviewer's page.
    with_values(&flow, "prepare", VALUES).exits(0);
    let review = flow.step("review").exits(0);
    assert!(review.said.contains("KMS_NOT_KNOWN"), "{}", review.said);
    for step in ["execute", "wait", "commit"] {
        flow.step(step).exits(0);
    }
    let evidence = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(evidence.contains(&agreed(stranger)), "{evidence}");
}

#[test]
fn se2_e1_who_pinned_the_kms_meets_no_question_and_no_other_kms() {
    let world = World::start();
    let honest = world.cloud.cvm(CVM).kms.unwrap().keys;
    let root = format!("--kms-root-key=0x{}", hex::encode(honest.root_key()));
    let by_file = another(&world, "by-file");
    with_values(&by_file, "upgrade", VALUES).exits(0);
    world.forget_the_kms();
    // An earlier upgrade that was proved speaks for the KMS, and for no other one.
    let by_past = another(&world, "by-past");
    with_values(&by_past, "upgrade", VALUES).exits(0);
    std::fs::remove_dir_all(&by_file.dir).unwrap();
    std::fs::remove_dir_all(&by_past.dir).unwrap();
    let by_root = another(&world, "by-root");
    with_values(&by_root, "prepare", VALUES).exits(6).says("KMS_NOT_KNOWN");
    with_values(&by_root, "upgrade", (VALUES.0, &[&root])).exits(0);
    world.stranger_takes_the_kms();
    world.cloud.forget_requests();
    let taken = another(&world, "taken");
    with_values(&taken, "prepare", VALUES).exits(6).says("KMS_CHANGED");
    with_values(&taken, "prepare", (VALUES.0, &[&root]))
        .exits(5)
        .says("KMS_ROOT_MISMATCH");
    world.file("phala.toml", &format!("kms = \"{}\"\nattest = \"no\"\n", world.kms));
    with_values(&taken, "prepare", VALUES).exits(5).says("KMS_MISMATCH");
    nothing_left(&world);
}

#[test]
fn fr2_e1_another_kms_than_that_of_a_proved_upgrade_is_a_decision_that_names_both() {
    let world = World::start();
    world.forget_the_kms();
    let mut first = another(&world, "first");
    first.dir = world.folder().join(".countersign").join("first");
    first.step("upgrade").exits(0);
    let honest = world.kms;
    let stranger = world.stranger_takes_the_kms();
    world.cloud.forget_requests();
    let next = another(&world, "next");
    // With values and without: the app's own keys are the KMS's.
    for step in ["plan", "prepare", "upgrade"] {
        let with = with_values(&next, step, VALUES).exits(6).says("KMS_CHANGED");
        let without = next.step(step).exits(6).says("KMS_CHANGED");
        for ran in [with, without] {
            let message = ran.json["message"].to_string();
            assert!(
                message.contains(&honest.to_string()) && message.contains(&stranger.to_string()),
                "{message}"
            );
            let hint = ran.json["hint"].as_str().unwrap();
            assert!(hint.contains(&format!("--accept KMS_CHANGED={stranger}")), "{hint}");
        }
    }
    let not_this = format!("KMS_CHANGED={honest}");
    with_values(&next, "prepare", (VALUES.0, &["--accept", &not_this])).exits(6);
    nothing_left(&world);
    let this = format!("KMS_CHANGED={stranger}");
    with_values(&next, "prepare", (VALUES.0, &["--accept", &this])).exits(0);
    // It stands in the journal, and the directory's later commands ask for it no more.
    with_values(&next, "prepare", VALUES).exits(0);
    next.step("review").exits(0);
    for step in ["execute", "wait", "commit"] {
        next.step(step).exits(0);
    }
    let evidence = std::fs::read_to_string(next.dir.join("evidence.md")).unwrap();
    assert!(evidence.contains(&this), "{evidence}");
    // What was proved under it since is what counts from then on.
    another(&world, "third").step("prepare").exits(0);
}

#[test]
fn se2_e1_other_values_in_a_directory_that_trusts_one_kms_are_not_sealed_for_another() {
    let world = World::start();
    let flow = Flow::new(&world);
    with_values(&flow, "prepare", VALUES).exits(0);
    world.forget_the_kms();
    world.stranger_takes_the_kms();
    world.cloud.forget_requests();
    let other = VALUES.0.replace("hunter2", "hunter3");
    for step in ["prepare", "upgrade"] {
        with_values(&flow, step, (&other, &[])).exits(6).says("KMS_NOT_KNOWN");
    }
    nothing_left(&world);
}

#[test]
fn se2_e1_other_values_alone_are_not_sent_for_a_kms_that_nobody_knows() {
    let world = World::start();
    let mut flow = Flow::new(&world);
    let current = world.cloud.cvm(CVM).manifest["docker_compose_file"].clone();
    flow.compose = world.file("current.yml", current.as_str().unwrap());
    world.forget_the_kms();
    let kms = world.stranger_takes_the_kms();
    let names = world.cloud.cvm(CVM).manifest["allowed_envs"].clone();
    let names = names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned());
    let values: Vec<String> = names.map(|name| format!("{name}=hunter2\n")).collect();
    let values = values.concat();
    with_values(&flow, "upgrade", (&values, &[]))
        .exits(6)
        .says("KMS_NOT_KNOWN");
    nothing_left(&world);
    with_values(&flow, "upgrade", (&values, &["--accept", &agreed(kms)])).exits(0);
}

#[test]
fn se2_e1_without_values_an_unknown_kms_is_named_and_asks_nothing() {
    let world = World::start();
    world.forget_the_kms();
    let flow = Flow::new(&world);
    let shown = |words: &[&str]| crate::support::command::shown(&flow.command(words).output().unwrap());
    let compose = flow.compose.to_str().unwrap();
    let named = format!("{} (not known to this version)", world.kms);
    let planned = shown(&["plan", "--cvm", CVM, "-c", compose]);
    assert!(planned.contains(&named), "{planned}");
    flow.step("prepare").exits(0);
    let review = shown(&["review", "--dir", flow.dir.to_str().unwrap()]);
    // The line may break.
    let words: Vec<&str> = review.split_whitespace().collect();
    assert!(words.join(" ").contains(&named), "{review}");
    flow.step("upgrade").exits(0);
    flow.landed_once();
}

/// Everything that relies on the boot is refused with `code`, and nothing is sent or committed.
#[track_caller]
fn refused(flow: &Flow<'_>, steps: &[&str], code: &str) {
    let nonce = flow.world.rpc().nonce(flow.world.owner.address);
    for step in steps {
        flow.step(step).exits(6).says(code);
    }
    assert_eq!(flow.world.rpc().nonce(flow.world.owner.address), nonce);
    flow.nothing_committed();
}

#[test]
fn con_c3_a_kms_that_changes_its_mind_is_asked_before_each_step_that_relies_on_it() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    world.allow_os_image(false);
    refused(&flow, &["review", "execute", "resume"], "KMS_WOULD_REFUSE");
    world.allow_os_image(true);
    for step in ["execute", "wait"] {
        flow.step(step).exits(0);
    }
    world.allow_os_image(false);
    refused(&flow, &["commit", "resume"], "KMS_WOULD_REFUSE");
    world.allow_os_image(true);
    let (rpc, owner, device) = (world.rpc(), world.owner.address, world.device);
    rpc.execute(owner, world.app, &abi::removeDeviceCall { deviceId: device });
    refused(&flow, &["commit", "resume"], "DEVICE_NOT_ALLOWED");
    rpc.execute(owner, world.app, &abi::addDeviceCall { deviceId: device });
    flow.step("commit").exits(0);
    flow.committed_once();
}

#[test]
fn con_c3_owners_of_a_safe_are_told_what_the_kms_says_now() {
    let world = World::with(WorldOptions {
        safe: Some(SafeOptions {
            release: 1,
            l2: false,
            threshold: 1,
            owners: 2,
        }),
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let proposal = world.file(
        "p.json",
        &std::fs::read_to_string(flow.dir.join("proposal.json")).unwrap(),
    );
    let proposal = proposal.to_str().unwrap();
    world.allow_os_image(false);
    let on = |words: &[&str]| {
        let (command, more) = words.split_first().unwrap();
        let all = [&[*command, proposal, "--json"], more].concat();
        Ran::of(&mut flow.command(&all))
    };
    let key = ["sign", "--signer", "env:SIGNER_0", "--yes"];
    on(&["review"]).exits(6).says("KMS_WOULD_REFUSE");
    on(&key).exits(6).says("KMS_WOULD_REFUSE");
    world.allow_os_image(true);
    on(&["review"]).exits(0);
    on(&key).exits(0);
}

#[test]
fn con_c5_what_depends_on_the_firmware_is_said_to_depend_on_it() {
    let world = World::start();
    let fresh = abi::setRequireTcbUpToDateCall { on: true };
    world.rpc().execute(world.owner.address, world.app, &fresh);
    let flow = Flow::new(&world);
    let check = ["app", "check", "--cvm", CVM, "--json"];
    for ran in [flow.step("plan"), Ran::of(&mut flow.command(&check))] {
        let ran = ran.exits(0);
        assert!(ran.said.contains("TCB_NOT_KNOWN"), "{}", ran.said);
    }
    let page = crate::support::command::shown(&flow.command(&["app", "check", "--cvm", CVM]).output().unwrap());
    assert!(page.contains("yes, if the firmware is up to date"), "{page}");
}

#[test]
fn con_c6_1_app_check_names_every_reason() {
    let world = World::with(WorldOptions {
        os_image_allowed: false,
        device_allowed: false,
        ..WorldOptions::default()
    });
    let flow = Flow::new(&world);
    let other = format!("{}", B256::repeat_byte(7));
    let ran = Ran::of(&mut flow.command(&["app", "check", "--cvm", CVM, "--hash", &other, "--json"]));
    let ran = ran.exits(6).says("BOOT_REFUSED");
    let refusals = ran.json["data"]["refusals"].as_array().unwrap().clone();
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    for reason in ["compose hash", "device", "OS image"] {
        assert!(
            refusals.iter().any(|one| one.as_str().unwrap().contains(reason)),
            "{reason}: {refusals:?}"
        );
    }
}
