//! Named worlds on real contracts: what is claimed of each, to the party and to the second, and each claim carried out. Delay
//! and the governors of seconds are contracts of our own with the rules of the originals, of which no package has the code.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::SolValue;
use serde_json::json;

use super::executor::{Act, now, prove, prove_from};
use super::ground::{Claim, Ground, STRANGER, claim, claims, found, hash, key, node};
use super::plans::{Call, by_safe, executes, outside, safe_hash, schedules, unlocks, with_signatures};
use crate::support::Rpc;
use crate::support::contracts::abi;
use crate::support::safes::RELEASES;
use crate::support::timelocks::{self, TimelockOptions, TimelockSource};
use crate::support::world::AppVariant;

const DAY: u64 = 86_400;

fn timelock(ground: &Ground, options: TimelockOptions) -> Address {
    options.deploy(&ground.rpc())
}

fn plain(proposers: &[Address]) -> TimelockOptions {
    TimelockOptions {
        min_delay: 2 * DAY,
        proposers: proposers.to_vec(),
        ..TimelockOptions::default()
    }
}

/// A timelock's own call scheduled by one key, executed by anybody.
fn through(timelock: Address, call: &Call, by: (Address, u64, u64)) -> Vec<Act> {
    let (proposer, delay, finish) = by;
    let begin = finish.saturating_sub(delay);
    let first = schedules(timelock, call, delay).by(begin, proposer);
    vec![first, unlocks(timelock, call).by(finish, STRANGER)]
}

#[test]
fn p01_eoa() {
    let ground = Ground::new();
    let ran = ground.power(&[]).exits(0);
    let expected = claim(&[key(1)], 0);
    assert_eq!(claims(&ran, "app", "any-code"), [expected.clone()].into());
    assert_eq!(claims(&ran, "platform", "any-code"), [claim(&[key(0)], 0)].into());
    let call = Call::allow(&ground, hash("p01"));
    prove(&ground, &expected, hash("p01"), |at| vec![call.by(at, key(1))]);
    let minimum = &ran.json["data"]["minimum"]["app"]["any-code"];
    assert_eq!(*minimum, json!({"notice": 0, "code_notice": 0, "parties": 1}));
}

#[test]
fn p02_safe() {
    for release in 0..RELEASES.len() {
        let ground = Ground::new();
        let owners = [key(1), key(2), key(3)];
        let safe = ground.safe(release, 2, &owners);
        ground.give(safe);
        let pairs = [[key(1), key(2)], [key(1), key(3)], [key(2), key(3)]];
        let ran = ground.power(&[]).exits(0);
        assert_eq!(
            claims(&ran, "app", "any-code"),
            pairs.iter().map(|pair| claim(pair, 0)).collect()
        );
        assert_eq!(node(&ran, safe)["confidence"], "closed", "{}", ran.said);
        let call = Call::allow(&ground, hash("p02"));
        for pair in pairs {
            prove(&ground, &claim(&pair, 0), hash("p02"), |at| {
                by_safe(&ground, at, safe, (&call, &pair))
            });
        }
    }
}

#[test]
fn p03_module() {
    let ground = Ground::new();
    let safe = ground.safe(1, 2, &[key(1), key(2)]);
    ground.give(safe);
    ground
        .rpc()
        .execute_as(safe, safe, &outside::enableModuleCall { module: key(3) });
    let expected = claim(&[key(3)], 0);
    assert_eq!(
        ground.claims(&[]),
        [expected.clone(), claim(&[key(1), key(2)], 0)].into()
    );
    let call = Call::allow(&ground, hash("p03"));
    let act = outside::execTransactionFromModuleCall {
        to: call.to,
        value: U256::ZERO,
        data: call.data,
        operation: 0,
    };
    prove(&ground, &expected, hash("p03"), |at| {
        vec![Act::new(at, key(3), safe, &act)]
    });
}

#[test]
fn p04_lock() {
    let ground = Ground::new();
    let safe = ground.safe(2, 2, &[key(1), key(2), key(3)]);
    let lock = timelock(
        &ground,
        TimelockOptions {
            admin: key(4),
            ..plain(&[safe])
        },
    );
    ground.give(lock);
    let ran = ground.power(&[]).exits(0);
    let pairs = [[key(1), key(2)], [key(1), key(3)], [key(2), key(3)]];
    // Whoever administers makes proposers, which shortens nothing.
    let mut expected: std::collections::BTreeSet<Claim> = pairs.iter().map(|pair| claim(pair, 2 * DAY)).collect();
    expected.insert(claim(&[key(4)], 2 * DAY));
    assert_eq!(claims(&ran, "app", "any-code"), expected);
    assert_eq!(
        ran.json["data"]["minimum"]["app"]["any-code"],
        json!({"notice": 2 * DAY, "code_notice": 0, "parties": 1})
    );
    assert_eq!(node(&ran, lock)["confidence"], "closed", "{}", ran.said);
    let call = Call::allow(&ground, hash("p04"));
    for pair in pairs {
        prove(&ground, &claim(&pair, 2 * DAY), hash("p04"), |finish| {
            let mut plan = by_safe(&ground, 0, safe, (&schedules(lock, &call, 2 * DAY), &pair));
            plan.push(unlocks(lock, &call).by(finish, STRANGER));
            plan
        });
    }
    let role = keccak256("PROPOSER_ROLE");
    let grant = timelocks::abi::grantRoleCall { role, account: key(4) };
    prove(&ground, &claim(&[key(4)], 2 * DAY), hash("p04"), |finish| {
        let mut plan = vec![Act::new(0, key(4), lock, &grant)];
        plan.extend(
            through(lock, &call, (key(4), 2 * DAY, finish))
                .into_iter()
                .map(|act| Act {
                    at: if act.from == key(4) { 0 } else { act.at },
                    ..act
                }),
        );
        plan
    });
}

#[test]
fn p05_lock49() {
    let ground = Ground::new();
    let lock = timelock(
        &ground,
        TimelockOptions {
            source: TimelockSource::V4,
            min_delay: 3_600,
            executors: vec![key(3)],
            ..plain(&[key(2)])
        },
    );
    ground.give(lock);
    let expected = claim(&[key(2), key(3)], 3_600);
    assert_eq!(ground.claims(&[]), [expected.clone()].into());
    let call = Call::allow(&ground, hash("p05"));
    prove(&ground, &expected, hash("p05"), |finish| {
        vec![
            schedules(lock, &call, 3_600).by(0, key(2)),
            unlocks(lock, &call).by(finish, key(3)),
        ]
    });
}

#[test]
fn p06_offer() {
    let ground = Ground::of(AppVariant::TwoStep);
    ground.give(key(2));
    let heir = claim(&[key(2)], 0);
    assert_eq!(ground.claims(&[]), [claim(&[key(1)], 0), heir.clone()].into());
    let call = Call::allow(&ground, hash("p06"));
    let accept = Call::new(ground.world.app, &abi::acceptOwnershipCall {});
    prove(&ground, &heir, hash("p06"), |at| {
        vec![accept.by(at, key(2)), call.by(at, key(2))]
    });
}

#[test]
fn p07_handler_app() {
    for release in 0..RELEASES.len() {
        let ground = Ground::new();
        let safe = ground.safe(release, 2, &[key(1), key(2)]);
        ground.give(safe);
        let handler = ground.world.app;
        ground
            .rpc()
            .execute_as(safe, safe, &outside::setFallbackHandlerCall { handler });
        let ran = ground.power(&[]).exits(0);
        let anybody = claim(&[], 0);
        assert_eq!(claims(&ran, "app", "any-code"), [anybody.clone()].into());
        assert!(found(&ran, safe).contains("SAFE_HANDLER"), "{}", ran.said);
        let call = Call::allow(&ground, hash("p07"));
        prove(&ground, &anybody, hash("p07"), |at| {
            vec![Act {
                to: safe,
                ..call.by(at, STRANGER)
            }]
        });
    }
}

#[test]
fn p08_handler_lock() {
    let ground = Ground::new();
    let safe = ground.safe(1, 2, &[key(1), key(2)]);
    let lock = timelock(&ground, plain(&[safe]));
    ground.give(lock);
    ground
        .rpc()
        .execute_as(safe, safe, &outside::setFallbackHandlerCall { handler: lock });
    let anybody = claim(&[], 2 * DAY);
    assert_eq!(ground.claims(&[]), [anybody.clone()].into());
    let call = Call::allow(&ground, hash("p08"));
    prove(&ground, &anybody, hash("p08"), |finish| {
        let schedule = Act {
            to: safe,
            ..schedules(lock, &call, 2 * DAY).by(0, STRANGER)
        };
        vec![schedule, unlocks(lock, &call).by(finish, STRANGER)]
    });
}

#[test]
fn p09_nested_shared_key() {
    let ground = Ground::new();
    let child = ground.safe(0, 2, &[key(1), key(2)]);
    let parent = ground.safe(1, 2, &[key(1), child]);
    ground.give(parent);
    let expected = claim(&[key(1), key(2)], 0);
    assert_eq!(ground.claims(&[]), [expected.clone()].into());
    let call = Call::allow(&ground, hash("p09"));
    prove(&ground, &expected, hash("p09"), |at| {
        let approve = outside::approveHashCall {
            hash: safe_hash(&ground, parent, &call),
        };
        let mut plan = by_safe(&ground, at, child, (&Call::new(parent, &approve), &[key(1), key(2)]));
        plan.push(Act::new(at, key(1), parent, &approve));
        plan.push(executes(at, parent, &call, &[key(1), child]));
        plan
    });
}

#[test]
fn p10_lying_child() {
    let ground = Ground::new();
    let child = ground.safe(1, 2, &[key(1), key(2)]);
    let handler = ground.deploy("SaysYes", &[]);
    ground
        .rpc()
        .execute_as(child, child, &outside::setFallbackHandlerCall { handler });
    let parent = ground.safe(1, 1, &[child]);
    ground.give(parent);
    // Whoever the handler obeys is not known; here it is everybody.
    let ran = ground.power(&[]).exits(0);
    let nobody_known = Claim {
        parties: [format!("unknown {handler}")].into(),
        notice: 0,
    };
    assert_eq!(
        claims(&ran, "app", "any-code"),
        [nobody_known, claim(&[key(1), key(2)], 0)].into()
    );
    assert_eq!(ran.json["data"]["minimum"]["app"]["any-code"]["parties"], 0);
    let call = Call::allow(&ground, hash("p10"));
    prove(&ground, &claim(&[], 0), hash("p10"), |at| {
        let mut signatures = child.into_word().to_vec();
        signatures.extend(U256::from(65).to_be_bytes::<32>());
        signatures.push(0);
        signatures.extend([0; 32]);
        vec![with_signatures(at, parent, &call, signatures)]
    });
}

/// A Safe whose Delay module somebody queues at.
fn delayed(ground: &Ground, owner: Option<Address>) -> (Address, Address) {
    let safe = ground.safe(1, 2, &[key(1), key(2)]);
    let arguments = (owner.unwrap_or(safe), safe, U256::from(2 * DAY)).abi_encode_params();
    let delay = ground.deploy("DelayInFull", &arguments);
    let rpc = ground.rpc();
    rpc.execute_as(
        owner.unwrap_or(safe),
        delay,
        &outside::enableModuleCall { module: key(3) },
    );
    rpc.execute_as(safe, safe, &outside::enableModuleCall { module: delay });
    ground.give(safe);
    (safe, delay)
}

fn queues(call: &Call) -> outside::execTransactionFromModuleCall {
    outside::execTransactionFromModuleCall {
        to: call.to,
        value: U256::ZERO,
        data: call.data.clone(),
        operation: 0,
    }
}

fn executes_next(call: &Call) -> outside::executeNextTxCall {
    outside::executeNextTxCall {
        to: call.to,
        value: U256::ZERO,
        data: call.data.clone(),
        operation: 0,
    }
}

#[test]
fn p11_delay() {
    let ground = Ground::new();
    let (_, delay) = delayed(&ground, None);
    let owners = claim(&[key(1), key(2)], 0);
    // Its code is in no table: a wait of which nobody knows that it is kept does not count.
    let unknown = Claim {
        parties: [format!("unknown {delay}")].into(),
        notice: 0,
    };
    assert_eq!(ground.claims(&[]), [owners.clone(), unknown].into());
    let trusted = ground.claims(&["--trust-code", &ground.code(delay, "delay")]);
    let expected = claim(&[key(3)], 2 * DAY);
    assert_eq!(trusted, [owners, expected.clone()].into());
    let call = Call::allow(&ground, hash("p11"));
    prove(&ground, &expected, hash("p11"), |finish| {
        let first = Act::new(0, key(3), delay, &queues(&call));
        vec![first, Act::new(finish, STRANGER, delay, &executes_next(&call))]
    });
}

#[test]
fn p12_delay_owner() {
    let ground = Ground::new();
    let (_, delay) = delayed(&ground, Some(key(4)));
    let code = ground.code(delay, "delay");
    let expected = claim(&[key(4)], 0);
    let all = ground.claims(&["--trust-code", &code]);
    assert_eq!(
        all,
        [expected.clone(), claim(&[key(1), key(2)], 0), claim(&[key(3)], 2 * DAY)].into()
    );
    let call = Call::allow(&ground, hash("p12"));
    let none = outside::setTxCooldownCall { cooldown: U256::ZERO };
    let itself = outside::enableModuleCall { module: key(4) };
    prove(&ground, &expected, hash("p12"), |at| {
        vec![
            Act::new(at, key(4), delay, &itself),
            Act::new(at, key(4), delay, &queues(&call)),
            Act::new(at, key(4), delay, &none),
            Act::new(at, STRANGER, delay, &executes_next(&call)),
        ]
    });
}

/// A proposal to a governor, from its first to its last step.
fn proposal(ground: &Ground, governor: Address, call: &Call, times: (u64, Option<u64>, u64)) -> Vec<Act> {
    let (vote_at, queue_at, finish) = times;
    let (targets, values, calldatas) = (vec![call.to], vec![U256::ZERO], vec![call.data.clone()]);
    let description = keccak256("other code");
    let propose = outside::proposeCall {
        targets: targets.clone(),
        values: values.clone(),
        calldatas: calldatas.clone(),
        description: "other code".to_owned(),
    };
    let id = outside::hashProposalCall {
        targets: targets.clone(),
        values: values.clone(),
        calldatas: calldatas.clone(),
        description,
    };
    let vote = outside::castVoteCall {
        proposalId: ground.rpc().read(governor, &id),
        support: 1,
    };
    let queue = outside::queueCall {
        targets: targets.clone(),
        values: values.clone(),
        calldatas: calldatas.clone(),
        description,
    };
    let execute = outside::executeCall {
        targets,
        values,
        calldatas,
        description,
    };
    let mut plan = vec![
        Act::new(0, STRANGER, governor, &propose),
        Act::new(vote_at, key(2), governor, &vote),
    ];
    plan.extend(queue_at.map(|at| Act::new(at, STRANGER, governor, &queue)));
    plan.push(Act::new(finish, STRANGER, governor, &execute));
    plan
}

/// The claim with the voters named, of whom the chain here has one.
fn voted(claim: &Claim) -> Claim {
    Claim {
        parties: [key(2).to_string()].into(),
        notice: claim.notice,
    }
}

#[test]
fn p13_governor() {
    for (name, notice) in [("SecondsGovernor", 10_801), ("EarlyGovernor", 3_601)] {
        let ground = Ground::new();
        let governor = ground.deploy(name, &key(2).abi_encode());
        ground.give(governor);
        let expected = Claim {
            parties: [format!("voters of {governor}")].into(),
            notice,
        };
        assert_eq!(ground.claims(&[]), [expected.clone()].into(), "{name}");
        let call = Call::allow(&ground, hash("p13"));
        prove(&ground, &voted(&expected), hash("p13"), |finish| {
            proposal(&ground, governor, &call, (3_601.min(finish), None, finish))
        });
    }
}

#[test]
fn p14_governor_timelock() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let lock = timelock(
        &ground,
        TimelockOptions {
            admin: key(0),
            proposers: Vec::new(),
            ..plain(&[])
        },
    );
    let arguments = (key(2), lock).abi_encode_params();
    let governor = ground.deploy("SecondsTimelockGovernor", &arguments);
    for role in ["PROPOSER_ROLE", "CANCELLER_ROLE"].map(keccak256) {
        rpc.execute(
            key(0),
            lock,
            &timelocks::abi::grantRoleCall {
                role,
                account: governor,
            },
        );
    }
    let own = timelocks::abi::renounceRoleCall {
        role: B256::ZERO,
        account: key(0),
    };
    rpc.execute(key(0), lock, &own);
    ground.give(lock);
    let expected = Claim {
        parties: [format!("voters of {governor}")].into(),
        notice: 183_601,
    };
    assert_eq!(ground.claims(&[]), [expected.clone()].into());
    let call = Call::allow(&ground, hash("p14"));
    prove(&ground, &voted(&expected), hash("p14"), |finish| {
        proposal(&ground, governor, &call, (3_601, Some(10_801), finish))
    });
}

#[test]
fn p15_pending_update_delay() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let lock = timelock(&ground, plain(&[key(2)]));
    ground.give(lock);
    let none = Call::new(lock, &timelocks::abi::updateDelayCall { newDelay: U256::ZERO });
    let schedule = schedules(lock, &none, 2 * DAY);
    rpc.mined(rpc.send(key(2), Some(lock), &schedule.data));
    timelocks::advance(&rpc, 2 * DAY - 600);
    let ready = rpc.read(
        lock,
        &timelocks::abi::getTimestampCall {
            id: operation(&rpc, lock, &none),
        },
    );
    let left = ready.to::<u64>() - now(&rpc);
    let expected = claim(&[key(2)], left);
    assert_eq!(ground.claims(&[]), [expected.clone()].into());
    let call = Call::allow(&ground, hash("p15"));
    let plan = |finish: u64| {
        vec![
            unlocks(lock, &none).by(finish, STRANGER),
            schedules(lock, &call, 0).by(finish, key(2)),
            unlocks(lock, &call).by(finish, STRANGER),
        ]
    };
    prove_from(&ground, &expected, hash("p15"), (0, &plan));
}

fn operation(rpc: &Rpc, lock: Address, call: &Call) -> B256 {
    let question = timelocks::abi::hashOperationCall {
        target: call.to,
        value: U256::ZERO,
        data: call.data.clone(),
        predecessor: B256::ZERO,
        salt: keccak256("salt"),
    };
    rpc.read(lock, &question)
}

#[test]
fn p16_delegated_key() {
    let ground = Ground::new();
    let delegate = ground.deploy("Quiet", &[]);
    let code = [&[0xef, 0x01, 0x00], delegate.as_slice()].concat();
    ground.rpc().call("anvil_setCode", json!([key(1), Bytes::from(code)]));
    let unknown = Claim {
        parties: [format!("unknown {delegate}")].into(),
        notice: 0,
    };
    assert_eq!(ground.claims(&[]), [claim(&[key(1)], 0), unknown].into());
    let known = ground.claims(&["--trust-code", &ground.code(delegate, "delegate")]);
    assert_eq!(known, [claim(&[key(1)], 0)].into());
}

#[test]
fn p17_serial_timelocks() {
    let ground = Ground::new();
    let inner = timelock(
        &ground,
        TimelockOptions {
            min_delay: 3_600,
            ..plain(&[key(2)])
        },
    );
    let outer = timelock(&ground, plain(&[inner]));
    ground.give(outer);
    let expected = claim(&[key(2)], 176_400);
    assert_eq!(ground.claims(&[]), [expected.clone()].into());
    let call = Call::allow(&ground, hash("p17"));
    prove(&ground, &expected, hash("p17"), |finish| {
        let schedule = schedules(outer, &call, 2 * DAY);
        let mut plan = through(inner, &schedule, (key(2), 3_600, 3_600));
        plan.push(unlocks(outer, &call).by(finish, STRANGER));
        plan
    });
}

#[test]
fn p18_unknown_owner() {
    let ground = Ground::new();
    let owner = ground.deploy("Quiet", &[]);
    ground.give(owner);
    let ran = ground.power(&[]).exits(0);
    let expected = Claim {
        parties: [format!("unknown {owner}")].into(),
        notice: 0,
    };
    assert_eq!(claims(&ran, "app", "any-code"), [expected].into());
    assert!(found(&ran, owner).contains("UNKNOWN_CONTRACT"), "{}", ran.said);
    assert_eq!(ran.json["data"]["minimum"]["app"]["any-code"]["parties"], 0);
}

#[test]
fn p21_the_kms_owner_needs_nobody_else_for_an_image_that_lies() {
    let ground = Ground::new();
    ground.world.allow_os_image(false);
    let allowed = ground.world.first_hash;
    let expected = claim(&[key(0)], 0);
    let ran = ground.power(&[]).exits(0);
    assert!(claims(&ran, "platform", "any-code").contains(&expected));
    let add = abi::addOsImageHashCall {
        osImageHash: keccak256("os image"),
    };
    let kms = ground.world.kms;
    prove(&ground, &expected, allowed, |at| vec![Act::new(at, key(0), kms, &add)]);
}

#[test]
fn p24_other_code_leaves_no_hash_event() {
    let ground = Ground::new();
    let code = ground.deploy("SaysAllowed", &[]);
    let app = ground.world.app;
    let ran = ground.power(&[]).exits(0);
    let paths = ran.json["data"]["paths"].as_array().unwrap();
    let upgrade = paths
        .iter()
        .find(|path| path["call"] == "upgradeToAndCall" && path["domain"] == "app")
        .unwrap();
    assert_eq!((&upgrade["notice"], &upgrade["code_notice"]), (&json!(0), &json!(0)));
    // The code says that it is one that can be upgraded to.
    let slot = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc";
    ground
        .rpc()
        .call("anvil_setStorageAt", json!([app, slot, code.into_word()]));
    assert!(super::executor::boots(&ground, hash("p24")));
}

#[test]
fn p25_frozen_app() {
    let ground = Ground::new();
    ground
        .rpc()
        .execute(key(1), ground.world.app, &abi::disableUpgradesCall {});
    let ran = ground.power(&[]).exits(0);
    let paths = ran.json["data"]["paths"].as_array().unwrap();
    let calls = |domain: &str| -> Vec<&str> {
        let of = paths
            .iter()
            .filter(|path| path["domain"] == domain && path["effect"] == "any-code");
        of.map(|path| path["call"].as_str().unwrap()).collect()
    };
    assert_eq!(calls("app"), ["addComposeHash", "transferOwnership"]);
    assert!(calls("platform").contains(&"upgradeToAndCall"));
    assert_eq!(ran.json["data"]["policy"]["frozen"], true);
}

#[test]
fn p26_renounced() {
    let ground = Ground::new();
    ground
        .rpc()
        .execute(key(1), ground.world.app, &abi::renounceOwnershipCall {});
    let ran = ground.power(&[]).exits(0);
    assert_eq!(claims(&ran, "app", "any-code"), Default::default());
    assert_eq!(claims(&ran, "platform", "any-code"), [claim(&[key(0)], 0)].into());
    // That there is no path is said only where every contract is known.
    assert!(
        ran.json["message"].as_str().unwrap().contains("not proven"),
        "{}",
        ran.said
    );
    assert_eq!(ran.json["data"]["policy"]["owner"], serde_json::Value::Null);
}

#[test]
fn p27_proxy_admin() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let admin = ground.deploy("Administrator", &key(3).abi_encode());
    let slot = "0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103";
    rpc.call("anvil_setStorageAt", json!([ground.world.app, slot, admin.into_word()]));
    assert_eq!(ground.claims(&[]), [claim(&[key(1)], 0), claim(&[key(3)], 0)].into());
    rpc.call(
        "anvil_setStorageAt",
        json!([ground.world.app, slot, key(4).into_word()]),
    );
    assert_eq!(ground.claims(&[]), [claim(&[key(1)], 0), claim(&[key(4)], 0)].into());
}

#[test]
fn p30_a_module_and_an_owner_that_no_getter_shows_may_be_anybody() {
    let ground = Ground::new();
    let release = &RELEASES[1];
    let planter = ground.deploy("Planter", &[]);
    let slot = |list: u8| keccak256([key(4).into_word(), B256::with_last_byte(list)].concat());
    for list in [1, 2] {
        let plant = outside::plantCall {
            slot: slot(list),
            value: B256::with_last_byte(1),
        };
        let mut setup = release.setup((&[key(1), key(2)], 2));
        setup.to = planter;
        setup.data = alloy::sol_types::SolCall::abi_encode(&plant).into();
        let safe = release.set_up(&ground.rpc(), true, setup);
        ground.rpc().execute_as(
            owner(&ground),
            ground.world.app,
            &abi::transferOwnershipCall { to: safe },
        );
        let ran = ground.power(&[]).exits(0);
        let unknown = Claim {
            parties: [format!("unknown {safe}")].into(),
            notice: 0,
        };
        assert!(claims(&ran, "app", "any-code").contains(&unknown), "{}", ran.said);
        assert!(found(&ran, safe).contains("STORAGE_NOT_CLOSED"), "{}", ran.said);
    }
}

fn owner(ground: &Ground) -> Address {
    ground.rpc().read(ground.world.app, &abi::ownerCall {})
}

#[test]
fn p40_an_operation_that_somebody_forgot_needs_nobody_and_no_time() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let lock = timelock(&ground, plain(&[key(2)]));
    ground.give(lock);
    let call = Call::allow(&ground, hash("p40"));
    rpc.mined(rpc.send(key(2), Some(lock), &schedules(lock, &call, 2 * DAY).data));
    timelocks::advance(&rpc, 3 * DAY);
    let anybody = claim(&[], 0);
    let ran = ground.power(&[]).exits(0);
    assert_eq!(
        claims(&ran, "app", "any-code"),
        [anybody.clone(), claim(&[key(2)], 2 * DAY)].into()
    );
    prove(&ground, &anybody, hash("p40"), |at| {
        vec![unlocks(lock, &call).by(at, STRANGER)]
    });
}

#[test]
fn p42_pending_transfer() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let lock = timelock(&ground, plain(&[key(2)]));
    ground.give(lock);
    let transfer = Call::new(ground.world.app, &abi::transferOwnershipCall { to: key(3) });
    rpc.mined(rpc.send(key(2), Some(lock), &schedules(lock, &transfer, 2 * DAY).data));
    timelocks::advance(&rpc, DAY);
    let ready = rpc.read(
        lock,
        &timelocks::abi::getTimestampCall {
            id: operation(&rpc, lock, &transfer),
        },
    );
    let left = ready.to::<u64>() - now(&rpc);
    let expected = claim(&[key(3)], left);
    assert_eq!(ground.claims(&[]), [expected.clone(), claim(&[key(2)], 2 * DAY)].into());
    let call = Call::allow(&ground, hash("p42"));
    let plan = |finish: u64| vec![unlocks(lock, &transfer).by(finish, STRANGER), call.by(finish, key(3))];
    prove_from(&ground, &expected, hash("p42"), (0, &plan));
}

#[test]
fn p41_what_a_safe_is_told_to_do_is_opaque() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let safe = ground.safe(1, 2, &[key(1), key(2)]);
    let lock = timelock(&ground, plain(&[key(3)]));
    rpc.execute_as(safe, safe, &outside::enableModuleCall { module: lock });
    ground.give(safe);
    let module = Call::new(safe, &queues(&Call::allow(&ground, hash("p41"))));
    rpc.mined(rpc.send(key(3), Some(lock), &schedules(lock, &module, 2 * DAY).data));
    timelocks::advance(&rpc, DAY);
    let ready = rpc.read(
        lock,
        &timelocks::abi::getTimestampCall {
            id: operation(&rpc, lock, &module),
        },
    );
    let left = ready.to::<u64>() - now(&rpc);
    let anybody = claim(&[], left);
    assert!(ground.claims(&[]).contains(&anybody));
    let plan = |finish: u64| vec![unlocks(lock, &module).by(finish, STRANGER)];
    prove_from(&ground, &anybody, hash("p41"), (0, &plan));
}

#[test]
fn p50_a_circle_of_owners_ends() {
    let ground = Ground::new();
    let rpc = ground.rpc();
    let safe = ground.safe(1, 1, &[key(1)]);
    let lock = timelock(&ground, plain(&[safe]));
    let add = safes_owner(lock);
    rpc.execute_as(safe, safe, &add);
    ground.give(lock);
    assert_eq!(ground.claims(&[]), [claim(&[key(1)], 2 * DAY)].into());
}

fn safes_owner(owner: Address) -> impl alloy::sol_types::SolCall {
    alloy::sol! {
        function addOwnerWithThreshold(address owner, uint256 threshold);
    }
    addOwnerWithThresholdCall {
        owner,
        threshold: U256::from(1),
    }
}

#[test]
fn p53_an_executors_own_delay_runs_beside_the_other() {
    let ground = Ground::new();
    let slow = timelock(
        &ground,
        TimelockOptions {
            min_delay: 3 * DAY,
            ..plain(&[key(3)])
        },
    );
    let lock = timelock(
        &ground,
        TimelockOptions {
            executors: vec![slow],
            ..plain(&[key(2)])
        },
    );
    ground.give(lock);
    let expected = claim(&[key(2), key(3)], 3 * DAY);
    assert_eq!(ground.claims(&[]), [expected.clone()].into());
    let call = Call::allow(&ground, hash("p53"));
    prove(&ground, &expected, hash("p53"), |finish| {
        let execute = unlocks(lock, &call);
        let mut plan = vec![
            schedules(lock, &call, 2 * DAY).by(0, key(2)),
            schedules(slow, &execute, 3 * DAY).by(0, key(3)),
        ];
        plan.push(unlocks(slow, &execute).by(finish, STRANGER));
        plan
    });
}

#[test]
fn p20_any_device_is_everybodys() {
    let ground = Ground::new();
    let set = abi::setAllowAnyDeviceCall { allowAny: true };
    ground.rpc().execute(key(1), ground.world.app, &set);
    let ran = ground.power(&[]).exits(0);
    assert_eq!(claims(&ran, "anybody", "approved-code"), [claim(&[], 0)].into());
    assert_eq!(claims(&ran, "anybody", "any-code"), Default::default());
}
