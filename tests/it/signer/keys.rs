//! Keys that this machine does not hold, through the real binary: AWS KMS by AWS's own environment, and a Ledger that is
//! not there.

use crate::harness::flow::{Flow, Ran};
use crate::support::World;
use crate::support::kms::{Act, FakeKms, KEY_ID};

/// Runs `execute` with a key from `source`.
fn execute(flow: &Flow, source: &str) -> Ran {
    let dir = flow.dir.to_str().unwrap().to_owned();
    let arguments = ["execute", "--json", "--yes", "--dir", &dir, "--signer", source];
    Ran::of(&mut flow.command(&arguments))
}

#[test]
#[cfg_attr(
    all(feature = "ledger", feature = "aws-kms"),
    ignore = "needs a build without one of these features, as `make test` has it"
)]
fn a_build_without_such_keys_says_which_feature_is_missing_before_anything_happens() {
    let world = World::start();
    let flow = Flow::new(&world);
    for (source, feature, built) in [
        ("ledger", "ledger", cfg!(feature = "ledger")),
        ("ledger:2", "ledger", cfg!(feature = "ledger")),
        ("aws:alias/owner", "aws-kms", cfg!(feature = "aws-kms")),
    ] {
        if built {
            continue;
        }
        let mut arguments = flow.arguments("upgrade");
        let place = arguments
            .iter()
            .position(|argument| argument == "env:OWNER_KEY")
            .unwrap();
        arguments[place] = source.to_owned();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ran = Ran::of(&mut flow.command(&arguments));
        let ran = ran.exits(2).says("USAGE_FEATURE");
        assert!(ran.said.contains(&format!("--features {feature}")), "{}", ran.said);
    }
    flow.nothing_happened();
}

#[test]
#[cfg_attr(not(feature = "ledger"), ignore = "needs --features ledger, as `make keys` has it")]
fn n8_a_ledger_that_is_not_plugged_in_is_asked_for_later() {
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    // A machine that has one is left alone.
    if std::path::Path::new("/sys/class/hidraw").exists()
        && std::fs::read_dir("/sys/class/hidraw").is_ok_and(|mut all| all.next().is_some())
    {
        return;
    }
    execute(&flow, "ledger").exits(75).says("LEDGER_ABSENT");
    flow.nothing_happened();
}

#[test]
#[cfg_attr(not(feature = "aws-kms"), ignore = "needs --features aws-kms, as `make keys` has it")]
fn n6_n7_an_upgrade_with_a_key_at_aws_goes_through_once_aws_agrees() {
    let world = World::start();
    let kms = FakeKms::start(&hex::decode(world.owner.key.trim_start_matches("0x")).unwrap());
    let mut flow = Flow::new(&world);
    flow.env.extend(kms.env());
    flow.step("prepare").exits(0);
    let source = format!("aws:{KEY_ID}");
    for (act, exit, code) in [
        (Act::Refuse(403, "AccessDeniedException"), 4, "KMS_REFUSED"),
        (Act::Refuse(400, "DisabledException"), 4, "KMS_NO_KEY"),
        (Act::Refuse(400, "ThrottlingException"), 75, "KMS_UNAVAILABLE"),
        (Act::Page(503), 75, "KMS_UNAVAILABLE"),
        (Act::Rubbish, 3, "KMS_ANSWER"),
        (Act::OtherKey, 5, "SIGNATURE_MISMATCH"),
    ] {
        kms.on("Sign", act);
        execute(&flow, &source).exits(exit).says(code);
    }
    kms.heal();
    execute(&flow, "aws:alias/other").exits(4).says("KMS_NO_KEY");
    flow.nothing_happened();
    kms.on("Sign", Act::HighS);
    execute(&flow, &source).exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
#[cfg_attr(not(feature = "aws-kms"), ignore = "needs --features aws-kms, as `make keys` has it")]
fn n6_without_credentials_or_region_aws_is_not_asked() {
    let world = World::start();
    let kms = FakeKms::start(&[7; 32]);
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    for missing in [
        &["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"][..],
        &["AWS_REGION", "AWS_ENDPOINT_URL_KMS"],
    ] {
        let mut flow = Flow::new(&world);
        let env = kms.env().into_iter();
        flow.env
            .extend(env.filter(|(name, _)| !missing.contains(&name.as_str())));
        execute(&flow, &format!("aws:{KEY_ID}"))
            .exits(4)
            .says("KMS_NOT_CONFIGURED");
    }
    assert!(kms.asked().is_empty());
    flow.nothing_happened();
}

#[test]
#[cfg_attr(not(feature = "aws-kms"), ignore = "needs --features aws-kms, as `make keys` has it")]
fn n7_a_key_at_aws_that_is_not_the_owners_signs_nothing() {
    let world = World::start();
    let kms = FakeKms::start(&[7; 32]);
    let mut flow = Flow::new(&world);
    flow.env.extend(kms.env());
    flow.step("prepare").exits(0);
    execute(&flow, &format!("aws:{KEY_ID}"))
        .exits(5)
        .says("SIGNER_NOT_OWNER");
    assert_eq!(kms.asked(), ["GetPublicKey"]);
    flow.nothing_happened();
}
