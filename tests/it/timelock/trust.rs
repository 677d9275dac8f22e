//! What is believed of a timelock: its code, who may change its rules, and which transaction scheduled an operation.

use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, b256, keccak256};
use serde_json::{Value, json};

use crate::harness::flow::{Flow, Ran};
use crate::support::timelocks::{TimelockOptions, TimelockSource, abi, advance, pass};
use crate::support::world::{CVM, SafeOptions, WorldOptions};
use crate::support::{ACCOUNTS, World};

const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;
/// Where OpenZeppelin's upgradeable `Ownable` keeps the owner (ERC-7201).
const OWNER_SLOT: B256 = b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300");
/// What the imitation allows besides.
const HIDDEN: B256 = B256::repeat_byte(0xee);
/// Where nobody's transaction is.
const NOWHERE: B256 = B256::repeat_byte(0x77);

/// An app that a timelock owns.
struct Ground {
    world: World,
    timelock: Address,
}

impl Ground {
    fn with(options: &TimelockOptions) -> Self {
        Self::of(World::start(), options)
    }

    fn of(world: World, options: &TimelockOptions) -> Self {
        let timelock = options.deploy(&world.rpc());
        let change = json!([world.app, OWNER_SLOT, timelock.into_word()]);
        world.rpc().call("anvil_setStorageAt", change);
        Self { world, timelock }
    }

    /// A Safe of which one owner's signature is enough proposes, a week passes, and account 3 administers at once.
    fn with_safe() -> Self {
        let world = World::with(WorldOptions {
            safe: Some(SafeOptions {
                release: 1,
                l2: true,
                threshold: 1,
                owners: 2,
            }),
            ..WorldOptions::default()
        });
        let options = TimelockOptions {
            min_delay: WEEK,
            proposers: vec![world.safe.unwrap()],
            admin: ACCOUNTS[3].address,
            ..TimelockOptions::default()
        };
        Self::of(world, &options)
    }

    fn send(&self, account: usize, call: &Value) -> B256 {
        let from = ACCOUNTS[account].address;
        let transaction = json!([{"from": from, "to": call["to"], "data": call["data"]}]);
        let rpc = self.world.rpc();
        let hash: B256 = serde_json::from_value(rpc.call("eth_sendTransaction", transaction)).unwrap();
        assert_eq!(rpc.mined(hash)["status"], "0x1");
        hash
    }
}

/// The upgrade's proposal in a file of its own, as another machine gets it.
fn elsewhere(flow: &Flow<'_>, name: &str, edit: impl FnOnce(&mut Value)) -> PathBuf {
    let mut proposal = flow.json_file("proposal.json");
    edit(&mut proposal);
    flow.world.file(name, &proposal.to_string())
}

fn on(flow: &Flow<'_>, file: &Path, words: &[&str]) -> Ran {
    let (command, more) = words.split_first().unwrap();
    let mut all = vec![*command, file.to_str().unwrap(), "--json"];
    all.extend(more);
    Ran::of(&mut flow.command(&all))
}

fn warned(ran: &Ran, code: &str) -> Option<String> {
    let warnings = ran.json["warnings"].as_array().cloned().unwrap_or_default();
    let found = warnings.into_iter().find(|one| one["code"] == code)?;
    Some(found["text"].as_str().unwrap().to_owned())
}

/// The value that a doubt is about.
fn value(ran: &Ran, code: &str) -> String {
    let findings = ran.json["data"]["verdict"]["findings"].as_array().unwrap();
    let found = findings.iter().find(|one| one["code"] == code);
    found.unwrap()["value"].as_str().unwrap().to_owned()
}

/// The release whose source the tests deploy.
const fn release_of(source: TimelockSource) -> &'static str {
    match source {
        TimelockSource::V45 => "4.5.0",
        TimelockSource::V4 => "4.9.6",
        TimelockSource::V5 => "5.4.0",
        TimelockSource::Imitation => "none",
    }
}

/// Makes the table of known code again, with every release and compiler: `make thorough` sets the variable.
#[test]
fn se2_t2_the_table_of_known_code_is_what_the_compilers_make() {
    if std::env::var_os("COUNTERSIGN_THOROUGH").is_none() {
        return;
    }
    let root = crate::support::repository();
    let made = std::process::Command::new("node")
        .arg(root.join("tests/node/timelock_code.mjs"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let table = std::fs::read_to_string(root.join("src/chain/timelock/known_code.csv")).unwrap();
    assert_eq!(String::from_utf8(made.stdout).unwrap(), table);
}

#[test]
fn se2_t2_releases_are_known_by_their_code_and_an_imitation_with_one_more_call_is_a_decision() {
    for source in [TimelockSource::V45, TimelockSource::V4, TimelockSource::V5] {
        let ground = Ground::with(&TimelockOptions {
            source,
            ..TimelockOptions::default()
        });
        let flow = Flow::new(&ground.world);
        let plan = flow.step("plan").exits(0);
        assert_eq!(warned(&plan, "TIMELOCK_CODE_UNKNOWN"), None, "{source:?}");
        let words = ["app", "owner", "show", "--cvm", CVM, "--json"];
        let shown = Ran::of(&mut flow.command(&words)).exits(0);
        let release = &shown.json["data"]["owner"]["timelock"]["release"];
        assert_eq!(release, release_of(source), "{}", shown.said);
    }
    let ground = Ground::with(&TimelockOptions {
        source: TimelockSource::Imitation,
        ..TimelockOptions::default()
    });
    let flow = Flow::new(&ground.world);
    let code = ground
        .world
        .rpc()
        .call("eth_getCode", json!([ground.timelock, "latest"]));
    let code: alloy::primitives::Bytes = serde_json::from_value(code).unwrap();
    for step in ["plan", "prepare", "upgrade"] {
        let ran = flow.step(step).exits(6).says("TIMELOCK_CODE_UNKNOWN");
        assert_eq!(value(&ran, "TIMELOCK_CODE_UNKNOWN"), keccak256(&code).to_string());
        assert!(
            ran.json["next"]
                .as_str()
                .unwrap()
                .contains("--accept TIMELOCK_CODE_UNKNOWN=0x"),
            "{}",
            ran.said
        );
    }
    assert!(ground.world.cloud.requests_to("PATCH", CVM).is_empty());
    flow.with("prepare", &["--accept", "TIMELOCK_CODE_UNKNOWN=0x00"])
        .exits(6)
        .says("TIMELOCK_CODE_UNKNOWN");
    let agreed = format!("TIMELOCK_CODE_UNKNOWN={}", keccak256(&code));
    flow.with("prepare", &["--accept", &agreed]).exits(0);
    // Who has only the file is asked for himself; here it stands in the journal.
    let file = elsewhere(&flow, "elsewhere.json", |_| {});
    on(&flow, &file, &["review"]).exits(6).says("TIMELOCK_CODE_UNKNOWN");
    on(&flow, &file, &["review", "--accept", &agreed]).exits(0);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    advance(&ground.world.rpc(), DAY);
    flow.step("resume").exits(0);
    assert!(ground.world.is_allowed(HIDDEN), "the imitation did what it does");
    let accepted = flow.json_file("evidence.json")["said"]["accepted"].clone();
    assert_eq!(accepted[0]["code"], "TIMELOCK_CODE_UNKNOWN", "{accepted}");
    // What it did besides is in the evidence.
    let page = std::fs::read_to_string(flow.dir.join("evidence.md")).unwrap();
    assert!(page.contains(&HIDDEN.to_string()), "{page}");
}

#[test]
fn se2_t2_an_app_is_not_given_to_an_imitation_without_a_word() {
    let world = World::start();
    let imitation = TimelockOptions {
        source: TimelockSource::Imitation,
        ..TimelockOptions::default()
    };
    let heir = imitation.deploy(&world.rpc()).to_string();
    let flow = Flow::new(&world);
    let (app, dir) = (world.app.to_string(), flow.dir.to_str().unwrap().to_owned());
    let words = [
        "app",
        "owner",
        "transfer",
        &heir,
        "--app",
        &app,
        "--chain-id",
        "31337",
        "--json",
        "--dir",
        &dir,
    ];
    let ran = Ran::of(&mut flow.command(&words)).exits(6).says("NEW_OWNER_UNKNOWN");
    assert!(ran.said.contains("no timelock of OpenZeppelin"), "{}", ran.said);
}

#[test]
fn se2_t1_who_administers_is_told_in_review_by_what_is_read_and_a_forged_file_does_not_hide_it() {
    let ground = Ground::with_safe();
    let flow = Flow::new(&ground.world);
    let prepared = flow.step("prepare").exits(0);
    let admin = ACCOUNTS[3].address.to_string();
    assert!(warned(&prepared, "TIMELOCK_ADMIN").unwrap().contains(&admin));
    let honest = elsewhere(&flow, "honest.json", |_| {});
    let review = on(&flow, &honest, &["review"]).exits(0);
    assert!(
        warned(&review, "TIMELOCK_ADMIN").unwrap().contains(&admin),
        "{}",
        review.said
    );
    let shown = &review.json["data"]["timelock"];
    assert_eq!(shown["now"], true, "{}", review.said);
    assert_eq!(shown["admins"], json!([ACCOUNTS[3].address]), "{}", review.said);
    assert_eq!(shown["release"], "5.4.0", "{}", review.said);
    let offline = on(&flow, &honest, &["review", "--offline"]).exits(0);
    assert!(
        warned(&offline, "TIMELOCK_ADMIN").unwrap().contains(&admin),
        "{}",
        offline.said
    );
    assert_eq!(offline.json["data"]["timelock"]["now"], false, "{}", offline.said);
    assert!(
        offline.said.contains("whether the timelock has the code"),
        "{}",
        offline.said
    );

    let timelock = json!(ground.timelock);
    let forged = elsewhere(&flow, "forged.json", |proposal| {
        proposal["plan"]["timelock"]["roles"]["admins"] = json!([timelock]);
        proposal["plan"]["timelock"]["info"]["open_executor"] = json!(false);
        proposal["plan"]["timelock"]["info"]["min_delay"] = json!(60);
        proposal["plan"]["warnings"] = json!([]);
    });
    let review = on(&flow, &forged, &["review"]).exits(0);
    assert!(
        warned(&review, "TIMELOCK_ADMIN").unwrap().contains(&admin),
        "{}",
        review.said
    );
    let differs = warned(&review, "TIMELOCK_DIFFERS").unwrap();
    for word in [&*admin, "everybody may execute", "604800 seconds"] {
        assert!(differs.contains(word), "{differs}");
    }
    let coded = elsewhere(&flow, "coded.json", |proposal| {
        proposal["plan"]["timelock"]["info"]["code_hash"] = json!(NOWHERE);
    });
    on(&flow, &coded, &["review"]).exits(5).says("TIMELOCK_CHANGED");
    on(&flow, &coded, &["sign", "--signer", "env:SIGNER_0", "--yes"])
        .exits(5)
        .says("TIMELOCK_CHANGED");
}

#[test]
fn se2_t1_a_role_that_is_gone_stops_review_and_sign_alike() {
    let ground = Ground::with_safe();
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let file = elsewhere(&flow, "elsewhere.json", |_| {});
    let gone = abi::revokeRoleCall {
        role: keccak256("PROPOSER_ROLE"),
        account: ground.world.safe.unwrap(),
    };
    ground.world.rpc().execute(ACCOUNTS[3].address, ground.timelock, &gone);
    on(&flow, &file, &["review"]).exits(6).says("TIMELOCK_ROLE_MISSING");
    on(&flow, &file, &["sign", "--signer", "env:SIGNER_0", "--yes"])
        .exits(6)
        .says("TIMELOCK_ROLE_MISSING");
}

#[test]
fn se2_t3_evidence_names_the_transaction_that_scheduled_and_no_other() {
    let ground = Ground::with(&TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    let section = flow.json_file("proposal.json")["timelock"].clone();
    let said = json!({"id": section["id"], "transaction": NOWHERE, "ready_at": 1});
    let lie = |proposal: &mut Value| proposal["timelock"]["scheduled"] = said.clone();
    // Before anything is scheduled, a file that claims it keeps nobody from scheduling.
    let early = elsewhere(&flow, "early.json", lie);
    let review = on(&flow, &early, &["review"]);
    assert!(
        warned(&review, "SCHEDULING_NOT_FOUND")
            .unwrap()
            .contains(&NOWHERE.to_string()),
        "{}",
        review.said
    );
    on(
        &flow,
        &early,
        &["execute", "--yes", "--timeout", "20s", "--signer", "env:SIGNER_1"],
    )
    .exits(8)
    .says("PENDING_DELAY");

    // Cancelled and scheduled anew by others, while this machine remembers the first.
    flow.step("execute").exits(8).says("PENDING_DELAY");
    let first = flow.json_file("proposal.json")["timelock"]["scheduled"]["transaction"].clone();
    let id: B256 = serde_json::from_value(section["id"].clone()).unwrap();
    ground
        .world
        .rpc()
        .execute(ACCOUNTS[1].address, ground.timelock, &abi::cancelCall { id });
    advance(&ground.world.rpc(), 60);
    let second = ground.send(1, &section["schedule"]);
    advance(&ground.world.rpc(), DAY);
    let late = elsewhere(&flow, "late.json", |_| {});
    let review = on(&flow, &late, &["review"]).exits(0);
    assert!(warned(&review, "SCHEDULING_NOT_FOUND").is_some(), "{}", review.said);
    ground.send(3, &section["execute"]);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    let evidence = flow.json_file("evidence.json")["said"]["scheduled"].clone();
    assert_ne!(evidence["transaction"], first);
    assert_eq!(evidence["transaction"], json!(second));
    // From when on it could be executed is that scheduling's, too.
    let journal = flow.journal();
    let of = |transaction: &Value| {
        let told = journal
            .iter()
            .rev()
            .find(|record| &record["body"]["transaction"] == transaction);
        told.unwrap()["body"]["ready_at"].as_u64()
    };
    assert!(of(&json!(second)).unwrap() >= of(&first).unwrap() + 60, "{journal:?}");
}

#[test]
fn se2_t3_a_false_scheduling_in_a_file_does_not_come_into_evidence() {
    let ground = Ground::with(&TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    let real = flow.json_file("proposal.json")["timelock"]["scheduled"]["transaction"].clone();
    let file = elsewhere(&flow, "forged.json", |proposal| {
        proposal["timelock"]["scheduled"]["transaction"] = json!(NOWHERE);
    });
    advance(&ground.world.rpc(), DAY);
    let there = ["execute", "--yes", "--timeout", "20s", "--signer", "env:SIGNER_3"];
    let there = on(&flow, &file, &there).exits(0).fact("dir").clone();
    let there = there.as_str().unwrap();
    Ran::of(&mut flow.command(&["wait", "--json", "--timeout", "20s", "--dir", there])).exits(0);
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    let journal = std::fs::read_to_string(ground.world.folder().join(there).join("journal")).unwrap();
    assert!(journal.contains(real.as_str().unwrap()), "{journal}");
    assert_eq!(
        flow.json_file("evidence.json")["said"]["scheduled"]["transaction"],
        real
    );
    // The least delay fell since: it is told, and what was scheduled keeps its own.
    let shorter = abi::updateDelayCall {
        newDelay: alloy::primitives::U256::from(1),
    };
    pass(
        &ground.world.rpc(),
        (ground.timelock, ACCOUNTS[1].address),
        (ground.timelock, &shorter),
    );
}

#[test]
fn fr2_13_status_looks_whether_an_operation_stands_that_is_recorded_as_scheduled() {
    let ground = Ground::with(&TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    let url = ground.world.anvil.url();
    let status = || flow.with("status", &["--rpc-url", &url]).exits(0);
    flow.step("prepare").exits(0);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    let section = flow.json_file("proposal.json")["timelock"].clone();
    let id: B256 = serde_json::from_value(section["id"].clone()).unwrap();
    let message = |ran: &Ran| ran.json["message"].as_str().unwrap().to_owned();
    assert!(message(&status()).contains("has scheduled the change"));
    let cancel = || {
        let rpc = ground.world.rpc();
        rpc.execute(ACCOUNTS[1].address, ground.timelock, &abi::cancelCall { id });
    };
    cancel();
    let told = status();
    assert!(message(&told).contains("and then cancelled"), "{}", told.said);
    assert!(warned(&told, "OPERATION_CANCELLED").is_some(), "{}", told.said);
    assert!(told.fact("ready_at").is_null(), "{}", told.said);
    let next = told.json["next"].as_str().unwrap();
    assert!(
        next.starts_with("countersign execute --dir") && next.ends_with("--new-nonce"),
        "{next}"
    );
    assert!(
        !flow.kinds().contains(&"timelock.again".to_owned()),
        "nothing is written"
    );

    // Somebody else schedules it anew, later, and executes it.
    advance(&ground.world.rpc(), 60);
    ground.send(1, &section["schedule"]);
    let waits = status();
    assert!(message(&waits).contains("has scheduled the change"), "{}", waits.said);
    assert_ne!(waits.fact("ready_at"), told.fact("ready_at"), "{}", waits.said);
    advance(&ground.world.rpc(), DAY);
    ground.send(3, &section["execute"]);
    let done = status();
    assert!(
        message(&done).contains("was executed, and the change is in force"),
        "{}",
        done.said
    );
    let next = done.json["next"].as_str().unwrap();
    assert!(next.starts_with("countersign wait --dir"), "{next}");
    // Nobody answers: what is recorded is shown, and that nobody looked.
    let away = flow.with("status", &["--rpc-url", "http://127.0.0.1:9"]).exits(0);
    assert!(
        away.said
            .contains("not checked: whether what is recorded as scheduled stands"),
        "{}",
        away.said
    );
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
}

#[test]
fn fr2_13_a_cancelled_operation_goes_on_by_what_status_names_as_next() {
    let ground = Ground::with(&TimelockOptions::default());
    let flow = Flow::new(&ground.world);
    let url = ground.world.anvil.url();
    flow.step("prepare").exits(0);
    flow.step("execute").exits(8).says("PENDING_DELAY");
    let section = flow.json_file("proposal.json")["timelock"].clone();
    let id: B256 = serde_json::from_value(section["id"].clone()).unwrap();
    let rpc = ground.world.rpc();
    rpc.execute(ACCOUNTS[1].address, ground.timelock, &abi::cancelCall { id });
    let told = flow.with("status", &["--rpc-url", &url]).exits(0);
    assert!(
        told.json["next"].as_str().unwrap().contains("--new-nonce"),
        "{}",
        told.said
    );
    flow.with("execute", &["--new-nonce"]).exits(8).says("PENDING_DELAY");
    advance(&rpc, DAY);
    flow.step("resume").exits(0);
}
