//! Each lie that a guest, its host or its cloud can tell, by the link that it breaks, at the real command.

use super::{attest, first};
use crate::support::attestation::{Cvm, Event};
use crate::support::attested::{Behaviour, Serves, boot};
use crate::support::contracts::abi;
use crate::support::{Attested, World};

/// A lie: its name, what it changes, and the link that it breaks.
type Lie = (&'static str, fn(&mut Cvm), &'static str);

const LIES: [Lie; 12] = [
    ("att_A13 other app", |cvm| cvm.measure("app-id", &[0x66; 20]), "app"),
    (
        "att_A14 other instance",
        |cvm| cvm.measure("instance-id", &[0x66; 20]),
        "instance",
    ),
    ("att_A15 other machine", |cvm| cvm.intel.ppid = [0x66; 16], "device"),
    (
        "att_A16 keys of no KMS",
        |cvm| cvm.measure("key-provider", br#"{"name":"local-sgx","id":""}"#),
        "kms",
    ),
    (
        "att_A17 a KMS of its own making",
        |cvm| cvm.chain.kms = rcgen::KeyPair::generate().unwrap(),
        "image",
    ),
    (
        "att_A18 a certificate of another key",
        |cvm| cvm.report_data = Some([0x66; 64]),
        "image",
    ),
    ("att_A19 another manifest", |cvm| cvm.manifest.push(b' '), "compose"),
    (
        "att_A22 a host that says something else",
        |cvm| cvm.config_id[1] ^= 1,
        "compose",
    ),
    (
        "att_A25 a machine that can be looked into",
        |cvm| cvm.td_attributes |= 1,
        "genuine",
    ),
    ("att_A10 revoked", |cvm| cvm.intel.status = "Revoked", "tcb"),
    (
        "a third manifest",
        |cvm| boot(cvm, b"{\"third\":true}".to_vec()),
        "compose",
    ),
    (
        "an image that the KMS does not allow",
        |cvm| cvm.measure("os-image-hash", &[0x66; 32]),
        "chain",
    ),
];

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn each_lie_of_a_guest_ends_with_five_and_names_its_link() {
    let world = World::start();
    let hash = world.first_hash.to_string();
    for (name, lie, link) in LIES {
        let attested = Attested::of(&world);
        attest(&world, &attested, &["--compose-hash", &hash]).exits(0);
        attested.lie(lie);
        let told = attest(&world, &attested, &["--compose-hash", &hash]);
        assert_eq!(
            (told.exit, first(&told)),
            (5, (link, "broken")),
            "{name}: {}",
            told.said
        );
        told.says("ATTESTATION_BROKEN");
    }
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn att_a2_a3_a5_a30_a_log_that_is_not_what_was_measured() {
    let world = World::start();
    let attested = Attested::of(&world);
    let hash = world.first_hash.to_string();
    let honest = attested.log();
    let shows = |change: &dyn Fn(&mut Vec<Event>)| {
        let mut log = honest.clone();
        change(&mut log);
        attested.behave(Behaviour {
            shown_log: Some(log),
            ..Behaviour::default()
        });
        attest(&world, &attested, &["--compose-hash", &hash])
    };
    let at = |log: &[Event], name: &str| log.iter().position(|event| event.name == name).unwrap();
    let kept = shows(&|log| {
        let at = at(log, "compose-hash");
        log[at].payload = vec![0x66; 32];
    });
    assert_eq!(first(&kept.exits(5)), ("log", "broken"));
    let left_out = shows(&|log| {
        let at = at(log, "key-provider");
        log.remove(at);
    });
    assert_eq!(first(&left_out.exits(5)), ("log", "broken"));
    // What the app adds after the boot names nothing, and is covered by nothing.
    let more = shows(&|log| log.push(Event::runtime("compose-hash", &[0x66; 32])));
    assert_eq!(first(&more.exits(0)), ("none", "holds"));
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn att_a10_a_machine_that_is_not_up_to_date_is_somebodys_decision_unless_the_app_asks_for_one_that_is() {
    let world = World::start();
    let attested = Attested::of(&world);
    attested.lie(|cvm| cvm.intel.status = "OutOfDate");
    let stale = attest(&world, &attested, &[]).exits(6).says("TCB_STATUS");
    assert_eq!(first(&stale), ("tcb", "not-known"));
    assert!(
        stale.json["next"]
            .as_str()
            .unwrap()
            .contains("--accept TCB_STATUS=OutOfDate"),
        "{}",
        stale.said
    );
    let agreed = ["--accept", "TCB_STATUS=OutOfDate"];
    attest(&world, &attested, &agreed).exits(0);
    attest(&world, &attested, &["--accept", "TCB_STATUS=SWHardeningNeeded"]).exits(6);
    attest(&world, &attested, &["--accept", "TCB_STATUS=Revoked"]).exits(2);
    world.as_owner(&abi::setRequireTcbUpToDateCall { on: true });
    let required = attest(&world, &attested, &[]).exits(5).says("ATTESTATION_BROKEN");
    assert_eq!(first(&required), ("tcb", "broken"));
    // What somebody agrees to here, the app's contract does not.
    let refused = attest(&world, &attested, &agreed).exits(5).says("ATTESTATION_BROKEN");
    assert_eq!(first(&refused), ("chain", "broken"));
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn att_a1_an_own_kernel_that_no_kms_certifies_is_never_proven() {
    let world = World::start();
    let attested = Attested::of(&world);
    attested.lie(|cvm| {
        cvm.mrtd = [0x66; 48];
        cvm.log[1] = Event::firmware(1, b"own kernel");
    });
    attested.behave(Behaviour {
        no_certificate: true,
        ..Behaviour::default()
    });
    let rogue = attest(&world, &attested, &[]).exits(6).says("NOT_PROVEN");
    assert_eq!(first(&rogue), ("image", "not-known"));
    // Nor by the cloud's word alone.
    attested.behave(Behaviour {
        info: Serves::Status(502),
        ..Behaviour::default()
    });
    let rogue = attest(&world, &attested, &[]).exits(6).says("NOT_PROVEN");
    assert_eq!(first(&rogue), ("image", "not-known"));
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn att_a17_a_kms_that_only_phala_cloud_names_is_somebodys_decision() {
    let world = World::start();
    let attested = Attested::of(&world);
    attest(&world, &attested, &[]).exits(0);
    world.forget_the_kms();
    let unknown = attest(&world, &attested, &[]).exits(6).says("KMS_NOT_KNOWN");
    assert!(
        unknown.json["next"]
            .as_str()
            .unwrap()
            .contains("--accept KMS_NOT_KNOWN="),
        "{}",
        unknown.said
    );
    let agreed = format!("KMS_NOT_KNOWN={}", world.kms);
    attest(&world, &attested, &["--accept", &agreed]).exits(0);
    // Whoever knows the KMS is not talked into another.
    world.file("phala.toml", &format!("kms = \"{}\"\n", world.kms));
    world.stranger_takes_the_kms();
    attest(&world, &attested, &[]).exits(5).says("KMS_MISMATCH");
}
