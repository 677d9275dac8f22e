//! What cannot be had: it is named, and is never a failure of the CVM.

use super::{attest, first, of, standing};
use crate::harness::flow::{BINARY, Ran};
use crate::support::attested::{Behaviour, Serves, closed_port};
use crate::support::world::{CVM, WorldOptions};
use crate::support::{Attested, World};

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn a_guest_that_cannot_be_asked_leaves_the_image_unknown() {
    let world = World::start();
    let attested = Attested::of(&world);
    let (closed, pccs) = (closed_port(), attested.pccs());
    let silent = of(&world, &attested, &["--guest-url", &closed, "--pccs", &pccs]);
    let silent = silent.exits(6).says("NOT_PROVEN");
    assert_eq!(first(&silent), ("image", "not-known"));
    // Phala Cloud passes on quote and log, so that the rest holds.
    for link in [
        "genuine", "tcb", "log", "compose", "app", "instance", "device", "kms", "chain",
    ] {
        assert_eq!(standing(&silent, link), "holds", "{link}: {}", silent.said);
    }
    assert_eq!(silent.json["data"]["not_had"][0]["from"], "the guest");
    // Nobody follows where a guest, or whoever answers for it, sends one.
    let elsewhere = format!("{}/guest/prpc/Info", attested.guest().trim_end_matches("/guest"));
    for info in [
        Serves::Redirect(elsewhere),
        Serves::Status(404),
        Serves::Status(502),
        Serves::Rubbish,
    ] {
        let before = attested.requests().len();
        attested.behave(Behaviour {
            info: info.clone(),
            ..Behaviour::default()
        });
        let told = attest(&world, &attested, &[]).exits(6).says("NOT_PROVEN");
        assert_eq!(first(&told), ("image", "not-known"), "{info:?}");
        let asked = attested.requests().split_off(before);
        let infos = asked.iter().filter(|request| request.path.ends_with("/Info")).count();
        assert!(infos <= 2, "{info:?}: {infos}");
        assert!(
            !asked.iter().any(|request| request.path.starts_with("/guest/guest")),
            "{asked:?}"
        );
    }
    // Where measurements are private, the certificate is enough.
    attested.behave(Behaviour {
        private: true,
        ..Behaviour::default()
    });
    attest(&world, &attested, &[]).exits(0).says("OK");
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn collateral_that_cannot_be_had_is_asked_for_later_only_where_nothing_else_is_missing() {
    let world = World::start();
    let attested = Attested::of(&world);
    let (closed, guest) = (closed_port(), attested.guest());
    let later = of(&world, &attested, &["--guest-url", &guest, "--pccs", &closed]);
    let later = later.exits(75).says("COLLATERAL_UNREACHABLE");
    assert_eq!(first(&later), ("genuine", "not-known"));
    let elsewhere = closed_port();
    let both = of(&world, &attested, &["--guest-url", &elsewhere, "--pccs", &closed]);
    both.exits(6).says("NOT_PROVEN");
    for (pccs, exit) in [
        (Serves::Status(503), 75),
        (Serves::Status(404), 6),
        (Serves::Rubbish, 6),
        (Serves::Redirect(format!("{}/sgx", attested.pccs())), 6),
    ] {
        attested.behave(Behaviour {
            pccs: pccs.clone(),
            ..Behaviour::default()
        });
        let told = attest(&world, &attested, &[]);
        assert_eq!(
            (told.exit, first(&told)),
            (exit, ("genuine", "not-known")),
            "{pccs:?}: {}",
            told.said
        );
    }
    // It may come as a file.
    let file = world.file("collateral.json", &attested.collateral().to_string());
    let file = file.to_str().unwrap();
    of(&world, &attested, &["--guest-url", &guest, "--collateral", file]).exits(0);
    let none = world.file("none.json", "{}");
    let none = none.to_str().unwrap();
    of(&world, &attested, &["--guest-url", &guest, "--collateral", none])
        .exits(3)
        .says("INPUT_ATTESTATION");
    of(&world, &attested, &["--evidence", none])
        .exits(3)
        .says("INPUT_ATTESTATION");
}

#[test]
#[cfg_attr(
    not(feature = "attest-test-root"),
    ignore = "needs --features attest-test-root, as `make test` has it"
)]
fn a_cvm_that_is_not_up_is_waited_for() {
    let world = World::start();
    let attested = Attested::of(&world);
    world.cloud.change_cvm(CVM, |cvm| cvm.status = "starting".to_owned());
    world.cloud.lie(|lies| {
        lies.edit_attestation = Some(std::sync::Arc::new(|body: &mut serde_json::Value| {
            body["is_online"] = false.into();
            body["tcb_info"] = serde_json::Value::Null;
        }));
    });
    let closed = closed_port();
    let early = of(&world, &attested, &["--guest-url", &closed]);
    early.exits(8).says("PENDING_ATTESTATION");
}

#[test]
fn att_a31_an_app_that_no_contract_guards_is_named() {
    let world = World::with(WorldOptions {
        onchain: false,
        ..WorldOptions::default()
    });
    let mut command = world.countersign(BINARY);
    command.args(["attest", "--json", CVM]);
    Ran::of(&mut command).exits(6).says("KMS_OFFCHAIN");
}
