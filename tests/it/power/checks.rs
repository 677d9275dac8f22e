//! Checks for pipelines: how much notice is asked for, what got worse, what is not known; and endpoints that lie.

use serde_json::{Value, json};

use super::ground::{Ground, claim, claims, key};
use crate::support::contracts::abi;
use crate::support::timelocks::TimelockOptions;

const DAY: u64 = 86_400;

fn locked(ground: &Ground) {
    let lock = TimelockOptions {
        min_delay: 2 * DAY,
        proposers: vec![key(2)],
        ..TimelockOptions::default()
    };
    ground.give(lock.deploy(&ground.rpc()));
}

#[test]
fn notice_is_asked_for_to_the_second() {
    let ground = Ground::new();
    locked(&ground);
    ground.power(&["--notice", "48h"]).exits(0).says("OK");
    let short = ground.power(&["--notice", "48h1s"]).exits(6).says("NOTICE_TOO_SHORT");
    assert!(
        short.json["hint"].as_str().unwrap().contains("timelock"),
        "{}",
        short.said
    );
    let requirement = |ran: &crate::harness::flow::Ran| {
        let all = ran.json["data"]["erc733"]["requirements"].as_array().unwrap().clone();
        all.into_iter().find(|one| one["n"] == 5).unwrap()["state"].clone()
    };
    assert_eq!(requirement(&short), "fails");
    assert_eq!(requirement(&ground.power(&["--notice", "48h"])), "holds");
    assert_eq!(
        requirement(&ground.power(&[])),
        "fails",
        "seven days where nobody says how much"
    );
}

#[test]
fn p80_compare_got_worse() {
    let ground = Ground::new();
    let before = ground.world.file("before.json", "");
    let keep = |ran: &crate::harness::flow::Ran| std::fs::write(&before, ran.json.to_string()).unwrap();
    let compare = || ground.power(&["--compare", before.to_str().unwrap()]);
    keep(&ground.power(&[]).exits(0));
    compare().exits(0);
    locked(&ground);
    // The key that owned it can do no more, and another needs two days: somebody who could not before.
    compare().exits(6).says("POWER_GREW");
    let behind = ground.power(&[]).exits(0);
    assert_eq!(claims(&behind, "app", "any-code"), [claim(&[key(2)], 2 * DAY)].into());
    keep(&behind);
    compare().exits(0);
    std::fs::write(&before, "{}").unwrap();
    compare().exits(3).says("INPUT_POWER_ANSWER");
}

#[test]
fn what_is_not_known_is_said_and_ends_a_check_that_asks_for_all() {
    let ground = Ground::new();
    let ran = ground.power(&["--require-closed"]).exits(6).says("POWER_NOT_CLOSED");
    assert_eq!(ran.json["next"], "countersign explain POWER_NOT_CLOSED");
    let codes: Vec<&Value> = ran.json["data"]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["code"])
        .collect();
    for code in ["MANIFEST_UNKNOWN", "OS_IMAGE_UNCLASSIFIED", "UNKNOWN_CONTRACT"] {
        assert!(codes.iter().any(|found| *found == code), "{code}: {}", ran.said);
    }
    assert_eq!(ran.json["data"]["assumptions"].as_array().unwrap().len(), 5);
    assert!(!ran.json["data"]["not_examined"].as_array().unwrap().is_empty());
}

#[test]
fn p91_same_bytes_twice() {
    let ground = Ground::new();
    locked(&ground);
    let once = ground.power(&[]).exits(0).json["data"].to_string();
    assert_eq!(once, ground.power(&[]).exits(0).json["data"].to_string());
}

#[test]
fn what_is_known_whole_is_called_closed_and_only_then_is_there_no_path() {
    let ground = Ground::new();
    let safe = ground.safe(1, 2, &[key(1), key(2)]);
    ground.give(safe);
    let app = ground.code_behind(ground.world.app, "app");
    let closed = ["--require-closed", "--trust-code", &app];
    assert_eq!(ground.power(&closed).exits(0).json["data"]["closed"], true);
    ground.power(&["--require-closed"]).exits(6).says("POWER_NOT_CLOSED");
    // Nobody owns it: that is a proof where all is known, and none where the code is not.
    let nobody = Ground::new();
    nobody.world.as_owner(&abi::disableUpgradesCall {});
    nobody.world.as_owner(&abi::renounceOwnershipCall {});
    let notice = |ran: &crate::harness::flow::Ran| {
        let all = ran.json["data"]["erc733"]["requirements"].as_array().unwrap().clone();
        let of = all.iter().find(|one| one["n"] == 5).unwrap();
        (ran.json["message"].clone(), of["state"].clone())
    };
    let known = nobody.power(&closed).exits(0);
    assert_eq!(notice(&known), (json!("no path"), json!("holds")), "{}", known.said);
    let open = nobody.power(&[]).exits(0);
    assert_eq!(notice(&open).1, "not-examined", "{}", open.said);
    assert_ne!(notice(&open).0, "no path");
}
