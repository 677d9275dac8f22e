//! Small things that decide whom a run believes: keys to seal for, files that hold secrets, lists of who takes part, and who
//! was first.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::harness::judge::{ended, spawn};
use crate::safe::upgrade::{execute, signed_by_two, two_of_three};
use crate::support::world::CVM;
use crate::support::{Action, FaultProxy, Match, Moment, Nth, World};

/// The points of small order, in every encoding that is below 2^255.
const WEAK: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

#[test]
fn se2_low_a_weak_key_to_seal_for_is_a_lie_and_no_hiccup_whoever_signed_it() {
    let world = World::start();
    let honest = world.cloud.cvm(CVM).kms.unwrap().keys;
    let file = world.file("values.env", "DB_PASSWORD=hunter2-secret\n");
    let flow = Flow::new(&world);
    for weak in WEAK {
        let key: [u8; 32] = hex::decode(weak).unwrap().try_into().unwrap();
        let said = json!({"public_key": weak, "signature": honest.sign(world.app, &key, None)});
        world.cloud.lie(|lies| {
            lies.edit_pubkey = Some(Arc::new(move |body: &mut Value| {
                for (name, value) in said.as_object().unwrap() {
                    body[name] = value.clone();
                }
            }));
        });
        let refused = flow.with("prepare", &["-e", file.to_str().unwrap()]);
        let refused = refused.exits(5).says("ENV_KEY_MISMATCH");
        assert!(refused.said.contains("weak point"), "{weak}: {}", refused.said);
        assert!(!refused.said.contains("hunter2"), "{weak}");
    }
    assert!(world.cloud.requests_to("PATCH", "").is_empty(), "nothing was sent");
}

/// A symlink to the file takes its place.
fn link(file: &Path) {
    let elsewhere = file.with_file_name("elsewhere");
    std::fs::rename(file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, file).unwrap();
}

#[test]
fn se2_low_a_token_that_is_a_symlink_is_not_sent() {
    let world = World::start();
    let flow = Flow::new(&world);
    for step in ["prepare", "execute", "wait"] {
        flow.step(step).exits(0);
    }
    let token = flow.dir.join("token");
    link(&token);
    let refused = flow.step("commit").exits(12);
    assert!(refused.said.contains("symlink"), "{}", refused.said);
    flow.nothing_committed();
    std::fs::rename(token.with_file_name("elsewhere"), &token).unwrap();
    flow.step("commit").exits(0);
    flow.landed_once();
}

#[test]
fn se2_low_the_key_that_tells_values_apart_is_no_symlink_either() {
    let world = World::start();
    let file = world.file("values.env", "DB_PASSWORD=hunter2-secret\n");
    let flow = Flow::new(&world);
    let prepare = || flow.with("prepare", &["-e", file.to_str().unwrap()]);
    prepare().exits(0);
    let key = flow.dir.join("environment.key");
    link(&key);
    let refused = prepare().exits(12);
    assert!(refused.said.contains("symlink"), "{}", refused.said);
}

#[test]
fn se2_low_a_keystore_that_others_may_change_signs_nothing() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::start();
    let flow = Flow::new(&world);
    flow.step("prepare").exits(0);
    let keystore = world.file("keystore", "{}");
    std::fs::set_permissions(&keystore, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (dir, source) = (flow.dir.to_str().unwrap(), format!("keystore:{}", keystore.display()));
    let arguments = ["execute", "--json", "--yes", "--dir", dir, "--signer", &source];
    let refused = Ran::of(&mut flow.command(&arguments));
    assert_ne!(refused.exit, 0, "{}", refused.said);
    assert!(refused.said.contains("others may change it"), "{}", refused.said);
    flow.nothing_happened();
}

fn prepare_all(flow: &Flow<'_>) -> Ran {
    let (dir, compose) = (flow.dir.to_str().unwrap(), flow.compose.to_str().unwrap());
    let arguments = [
        "fleet", "prepare", "--json", "--cvm", CVM, "--all", "-c", compose, "--dir", dir,
    ];
    Ran::of(&mut flow.command(&arguments))
}

#[test]
fn se2_low_fleet_members_with_one_name_are_told_apart_by_their_uuids() {
    let world = World::start();
    let others = [2, 3].map(|number| world.add_cvm(number));
    for other in &others {
        world
            .cloud
            .change_cvm(&other.uuid, |cvm| "one-name".clone_into(&mut cvm.name));
    }
    let flow = Flow::new(&world);
    let prepared = prepare_all(&flow).exits(0);
    assert_eq!(prepared.json["data"]["counts"]["members"], 3, "{}", prepared.said);
    for other in &others {
        assert!(
            plain(&prepared.said).contains(&other.uuid),
            "{}: {}",
            other.uuid,
            prepared.said
        );
    }
}

fn plain(text: &str) -> String {
    text.replace('-', "")
}

#[test]
fn se2_low_a_fleet_does_not_leave_out_what_the_cloud_lists_without_a_name() {
    let world = World::start();
    let second = world.add_cvm(2);
    let app = hex::encode(world.app);
    let rows = [
        json!({"app_id": app, "status": "running"}),
        json!({"status": "running"}),
        json!({"app_id": app, "name": CVM, "status": "running"}),
    ];
    for row in rows {
        let proxy = FaultProxy::to(&world.cloud.prefix());
        proxy.on(
            Match::Http("GET", "cvms/paginated"),
            Nth::Every,
            Action::Mutate("/items/1", row.clone()),
        );
        let flow = Flow::new(&world).cloud_at(&proxy.prefix());
        let refused = prepare_all(&flow).exits(6).says("FLEET_MEMBER_UNNAMED");
        assert!(refused.said.contains("lists a CVM"), "{row}: {}", refused.said);
        assert!(!flow.dir.join(&second.name).exists());
    }
    assert!(world.cloud.requests_to("PATCH", "").is_empty(), "nothing was prepared");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn se2_low_who_comes_second_is_told_that_somebody_else_executed() {
    let world = two_of_three();
    let proxy = FaultProxy::to(&world.anvil.url());
    let first = signed_by_two(&world);
    let mut second = Flow::new(&world).chain_at(&proxy.url());
    second.dir = world.folder().join("copy");
    copy(&first.dir, &second.dir);
    // Everything was read, and the first one is faster.
    let gate = proxy.gate(Match::Rpc("eth_estimateGas"), Nth::Only(1), Moment::Arrived);
    let late = spawn(&second, "execute", &[]);
    gate.wait();
    execute(&first, 3).exits(0);
    world.rpc().mined(sent(&first));
    gate.open();
    let late = ended(late);
    assert!(matches!(late.exit, 0 | 8), "{}", late.said);
    assert!(!late.said.contains("GS026"), "{}", late.said);
    assert!(!second.kinds().contains(&"tx.signed".to_owned()), "{}", late.said);
    second.step("resume").exits(0);
    second.landed_once();
}

/// The transaction that an upgrade sent last.
fn sent(flow: &Flow<'_>) -> alloy::primitives::B256 {
    let last = flow.journal().into_iter().rfind(|record| record["kind"] == "tx.sent");
    serde_json::from_value(last.unwrap()["body"]["hash"].clone()).unwrap()
}
