//! Timelocks as a chain shows them: OpenZeppelin's own contracts of 5.x and 4.x on anvil, with time moved by it, and what
//! is recognised, computed, read and proved of them.

pub mod pending;
pub mod route;
pub mod storage;
pub mod trust;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use countersign::chain::{
    BlockRef, Call, Chain, ChainError, Options, TimelockRefusal, TimelockRole,
    timelock::{
        LogReach, OperationAt, OperationEnd, OperationState, OperationStep, TimelockCalls, TimelockInfo,
        TimelockOperation, TimelockProofFailure, TimelockRelease,
    },
};
use countersign::http::{Http, Limits};
use serde_json::json;

use crate::chain::liar::Liar;
use crate::support::contracts;
use crate::support::safes::{RELEASES, ask};
use crate::support::timelocks::{TimelockOptions, TimelockSource, abi, advance, now, pass};
use crate::support::{ACCOUNTS, Anvil, AnvilOptions, Rpc, World};

/// The whole history, by as many requests as it takes.
const REACH: LogReach = LogReach { from: 0, requests: 400 };
const BOTH: [TimelockSource; 2] = [TimelockSource::V4, TimelockSource::V5];
const DAY: u64 = 86_400;
/// One operation of each form, predecessors and salts of every kind among them.
const OPERATIONS: usize = 1_000;

struct Ground {
    rpc: Rpc,
    chain: Chain,
    /// What operations call.
    stage: Address,
    anvil: Anvil,
}

impl Ground {
    async fn new() -> Self {
        let anvil = Anvil::start(AnvilOptions::default());
        let rpc = anvil.rpc();
        let stage = contracts::deploy(&rpc, ACCOUNTS[0].address, "Stage", &[]);
        Self {
            chain: connect(&anvil.url()).await,
            rpc,
            stage,
            anvil,
        }
    }
    fn deploy(&self, source: TimelockSource) -> Address {
        let options = TimelockOptions {
            source,
            ..TimelockOptions::default()
        };
        options.deploy(&self.rpc)
    }
    async fn info(&self, timelock: Address) -> TimelockInfo {
        self.chain.timelock(timelock).await.unwrap().unwrap()
    }
    async fn state(&self, timelock: Address, id: B256) -> OperationState {
        let head = self.head().await;
        self.chain.operation_state(timelock, id, &head).await.unwrap()
    }
    async fn head(&self) -> BlockRef {
        self.chain.head().await.unwrap()
    }
    /// Sends a call of the library's making; it has to go through.
    fn send(&self, from: usize, call: &Call) -> B256 {
        let transaction = self.rpc.send(ACCOUNTS[from].address, Some(call.to), &call.data);
        assert_eq!(self.rpc.mined(transaction)["status"], "0x1");
        transaction
    }
    async fn objection(&self, from: usize, call: &Call) -> Option<TimelockRefusal> {
        let head = self.head().await;
        let said = self.chain.timelock_objection(ACCOUNTS[from].address, call, &head).await;
        said.unwrap()
            .map(|said| said.refusal.expect("the timelock's own objection"))
    }
    /// The next block has this time.
    fn mine_at(&self, time: u64) {
        self.rpc.call("evm_setNextBlockTimestamp", json!([time]));
        self.rpc.mine(1);
    }
    fn act(&self) -> Call {
        self.calls("act()")
    }
    fn calls(&self, function: &str) -> Call {
        Call {
            to: self.stage,
            value: U256::ZERO,
            data: Bytes::copy_from_slice(&keccak256(function)[..4]),
        }
    }
}

async fn connect(url: &str) -> Chain {
    let options = Options {
        endpoints: vec![url.parse().unwrap()],
        chain_id: 31337,
        quorum: countersign::chain::quorum::Quorum::default(),
        allow_unpinned: false,
    };
    let http = Http::new(Limits::default());
    Chain::connect(&options, &http).await.unwrap()
}

fn operation(calls: Vec<Call>, salt: u64) -> TimelockOperation {
    TimelockOperation::of(calls, B256::from(U256::from(salt))).unwrap()
}

/// Bytes that are the same in every run.
fn bytes(seed: &str, length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(32)).map(|word| keccak256(format!("{seed} {word}")));
    words.flatten().take(length).collect()
}

fn some_operation(number: usize) -> TimelockOperation {
    let word = |name: &str| keccak256(format!("{name} {number}"));
    let call = |index: usize| {
        let length = usize::from(word(&format!("length {index}"))[0]);
        let value = U256::from_be_bytes(word(&format!("value {index}")).0);
        Call {
            to: Address::from_word(word(&format!("to {index}"))),
            value: if index.is_multiple_of(2) { value } else { U256::ZERO },
            data: bytes(&format!("data {number} {index}"), length).into(),
        }
    };
    let calls = match number % 4 {
        0 | 1 => TimelockCalls::Single(call(0)),
        _ => TimelockCalls::Batch((0..=usize::from(word("calls")[0] % 6)).map(call).collect()),
    };
    TimelockOperation {
        calls,
        predecessor: if number.is_multiple_of(3) {
            B256::ZERO
        } else {
            word("before")
        },
        salt: if number.is_multiple_of(5) {
            B256::ZERO
        } else {
            word("salt")
        },
    }
}

/// The question that the contract is asked about an operation's id, by the harness's own interface.
fn hash_question(operation: &TimelockOperation) -> Vec<u8> {
    let (predecessor, salt) = (operation.predecessor, operation.salt);
    match &operation.calls {
        TimelockCalls::Single(call) => abi::hashOperationCall {
            target: call.to,
            value: call.value,
            data: call.data.clone(),
            predecessor,
            salt,
        }
        .abi_encode(),
        TimelockCalls::Batch(calls) => abi::hashOperationBatchCall {
            targets: calls.iter().map(|call| call.to).collect(),
            values: calls.iter().map(|call| call.value).collect(),
            payloads: calls.iter().map(|call| call.data.clone()).collect(),
            predecessor,
            salt,
        }
        .abi_encode(),
    }
}

#[tokio::test]
async fn the_id_of_an_operation_is_the_one_that_the_contract_computes() {
    let ground = Ground::new().await;
    let asker = contracts::deploy(&ground.rpc, ACCOUNTS[0].address, "ManyCalls", &[]);
    let operations: Vec<TimelockOperation> = (0..OPERATIONS).map(some_operation).collect();
    let questions: Vec<Vec<u8>> = operations.iter().map(hash_question).collect();
    for source in BOTH {
        let answers = ask(&ground.rpc, asker, ground.deploy(source), &questions);
        assert_eq!(answers.len(), OPERATIONS);
        for (operation, answer) in operations.iter().zip(answers) {
            assert!(answer.ok);
            assert_eq!(operation.id(), B256::abi_decode(&answer.data).unwrap(), "{operation:?}");
        }
    }
}

#[tokio::test]
async fn a_timelock_is_recognised_with_its_release_delay_and_open_executor() {
    let ground = Ground::new().await;
    for (source, release) in [
        (TimelockSource::V4, TimelockRelease::V4),
        (TimelockSource::V5, TimelockRelease::V5),
    ] {
        let info = ground.info(ground.deploy(source)).await;
        assert_eq!((info.release, info.min_delay), (release, DAY));
        assert!(info.open_executor && info.separate_cancellers && info.self_administered);
        assert_eq!(info.implementation, None);
        assert_eq!(info.admin_role == B256::ZERO, source == TimelockSource::V5);
        let closed = TimelockOptions {
            source,
            executors: vec![ACCOUNTS[2].address],
            ..TimelockOptions::default()
        };
        assert!(!ground.info(closed.deploy(&ground.rpc)).await.open_executor);
    }
}

#[tokio::test]
async fn a_timelock_behind_a_proxy_names_the_code_that_answers_for_it() {
    let ground = Ground::new().await;
    let code = ground.deploy(TimelockSource::V5);
    let proxy = contracts::deploy_proxy(&ground.rpc, ACCOUNTS[0].address, code, Vec::new());
    let info = ground.info(proxy).await;
    assert_eq!(info.implementation, Some(code));
    assert_eq!(info.implementation_code_hash, Some(ground.info(code).await.code_hash));
    assert!(!info.self_administered, "a proxy has none of the constructor's roles");
}

#[tokio::test]
async fn nothing_else_is_taken_for_a_timelock() {
    let world = World::start();
    let rpc = world.rpc();
    let chain = connect(&world.anvil.url()).await;
    RELEASES[1].install(&rpc);
    let safe = RELEASES[1].create(&rpc, false, (&[ACCOUNTS[0].address], 1));
    let timelock = TimelockOptions::default().deploy(&rpc);
    let delegation = [&[0xef, 0x01, 0x00][..], timelock.as_slice()].concat();
    let odd = |byte: u8, code: &[u8]| {
        let at = Address::repeat_byte(byte);
        rpc.call("anvil_setCode", json!([at, Bytes::copy_from_slice(code)]));
        at
    };
    for (what, address) in [
        ("an app", world.app),
        ("a KMS", world.kms),
        ("a Safe", safe),
        ("an account", ACCOUNTS[0].address),
        ("an account that delegates to a timelock", odd(0xd1, &delegation)),
        ("nobody", Address::ZERO),
        // PUSH 1, store it, return that word.
        (
            "one who always says yes",
            odd(0xd2, &hex::decode("600160005260206000f3").unwrap()),
        ),
        // Returns a word of zeros.
        ("one who always says no", odd(0xd3, &hex::decode("60206000f3").unwrap())),
        // CALLDATASIZE, copy all of it, return it.
        ("an echo", odd(0xd4, &hex::decode("366000600037366000f3").unwrap())),
        // INVALID burns all gas.
        ("one who never answers", odd(0xd5, &[0xfe])),
    ] {
        assert_eq!(chain.timelock(address).await.unwrap(), None, "{what}");
    }
    assert!(chain.timelock(timelock).await.unwrap().is_some());
    let head = chain.head().await.unwrap();
    for (what, address) in [
        ("an app", world.app),
        ("one who always says no", Address::repeat_byte(0xd3)),
    ] {
        let asked = chain.operation_state(address, B256::repeat_byte(1), &head).await;
        match asked {
            Err(ChainError::NotATimelock { address: named, .. }) => assert_eq!(named, address),
            // All zeros are what a timelock says of what it does not know.
            Ok(state) => assert_eq!((state, address), (OperationState::Unset, Address::repeat_byte(0xd3))),
            Err(other) => panic!("{what}: {other}"),
        }
    }
}

#[tokio::test]
async fn l1_l3_an_operation_waits_to_the_second_and_anybody_may_execute_it_then() {
    let ground = Ground::new().await;
    for source in BOTH {
        let timelock = ground.deploy(source);
        for calls in [vec![ground.act()], vec![ground.act(), ground.act()]] {
            let operation = operation(calls, 7);
            let id = operation.id();
            assert_eq!(ground.state(timelock, id).await, OperationState::Unset);
            let from = ground.rpc.height();
            assert_eq!(ground.chain.operation_life(timelock, id, from).await.unwrap(), None);
            let scheduled = ground.send(1, &operation.schedule(timelock, 2 * DAY));
            let ready_at = now(&ground.rpc) + 2 * DAY;
            assert_eq!(ground.state(timelock, id).await, OperationState::Waiting { ready_at });
            let execute = operation.execute(timelock);
            assert_eq!(ground.objection(4, &execute).await, Some(TimelockRefusal::NotReady));
            ground.mine_at(ready_at - 1);
            assert_eq!(ground.state(timelock, id).await, OperationState::Waiting { ready_at });
            assert_eq!(ground.objection(4, &execute).await, Some(TimelockRefusal::NotReady));
            ground.mine_at(ready_at);
            assert_eq!(
                ground.state(timelock, id).await,
                OperationState::Ready { since: ready_at }
            );
            assert_eq!(ground.objection(4, &execute).await, None);
            let executed = ground.send(4, &execute);
            assert_eq!(ground.state(timelock, id).await, OperationState::Done);
            assert_eq!(ground.objection(4, &execute).await, Some(TimelockRefusal::NotReady));
            let life = ground.chain.operation_life(timelock, id, from).await.unwrap().unwrap();
            assert_eq!((life.scheduled.transaction, life.delay), (scheduled, 2 * DAY));
            assert_eq!(life.operation.as_ref(), Some(&operation));
            let Some(OperationEnd::Executed(place)) = life.end else {
                panic!("{life:?}")
            };
            assert_eq!(place.transaction, executed);
            assert_eq!(place.block.timestamp, now(&ground.rpc));
        }
    }
}

#[tokio::test]
async fn l4_l9_a_cancelled_operation_can_be_scheduled_again_and_stays_executable_for_ever() {
    let ground = Ground::new().await;
    for source in BOTH {
        let timelock = ground.deploy(source);
        let operation = operation(vec![ground.act()], 1);
        let (id, from) = (operation.id(), ground.rpc.height());
        assert_eq!(
            ground.objection(1, &operation.cancel(timelock)).await,
            Some(TimelockRefusal::NotPending)
        );
        ground.send(1, &operation.schedule(timelock, DAY));
        let cancelled = ground.send(1, &operation.cancel(timelock));
        assert_eq!(ground.state(timelock, id).await, OperationState::Unset);
        let life = ground.chain.operation_life(timelock, id, from).await.unwrap().unwrap();
        let Some(OperationEnd::Cancelled(place)) = life.end else {
            panic!("{life:?}")
        };
        assert_eq!(place.transaction, cancelled);
        let again = ground.send(1, &operation.schedule(timelock, DAY));
        let life = ground.chain.operation_life(timelock, id, from).await.unwrap().unwrap();
        assert_eq!((life.scheduled.transaction, life.end), (again, None));
        advance(&ground.rpc, 365 * DAY);
        assert!(matches!(ground.state(timelock, id).await, OperationState::Ready { .. }));
        assert_eq!(ground.objection(3, &operation.execute(timelock)).await, None);
    }
}

#[tokio::test]
async fn l2_l6_l7_l8_what_a_timelock_would_refuse_is_known_before_it_is_sent() {
    let ground = Ground::new().await;
    for source in BOTH {
        let timelock = ground.deploy(source);
        let first = operation(vec![ground.act()], 1);
        let refused = ground.objection(3, &first.schedule(timelock, DAY)).await;
        let missing = TimelockRefusal::MissingRole {
            account: ACCOUNTS[3].address,
            role: keccak256("PROPOSER_ROLE"),
        };
        assert_eq!(refused, Some(missing));
        let short = ground.objection(1, &first.schedule(timelock, DAY - 1)).await.unwrap();
        let told = match source {
            TimelockSource::V45 | TimelockSource::V4 => None,
            TimelockSource::V5 | TimelockSource::Imitation => Some((U256::from(DAY - 1), U256::from(DAY))),
        };
        assert_eq!(short, TimelockRefusal::InsufficientDelay { delays: told });
        ground.send(1, &first.schedule(timelock, DAY));
        let twice = ground.objection(1, &first.schedule(timelock, DAY)).await;
        assert_eq!(twice, Some(TimelockRefusal::AlreadyScheduled));
        let second = TimelockOperation {
            predecessor: first.id(),
            ..operation(vec![ground.act()], 2)
        };
        ground.send(1, &second.schedule(timelock, DAY));
        advance(&ground.rpc, DAY);
        let early = ground.objection(1, &second.execute(timelock)).await;
        assert_eq!(early, Some(TimelockRefusal::PredecessorNotDone));
        ground.send(1, &first.execute(timelock));
        assert_eq!(ground.objection(1, &second.execute(timelock)).await, None);
    }
}

#[tokio::test]
async fn l6_a_raised_delay_is_read_and_the_old_one_refused() {
    let ground = Ground::new().await;
    for source in BOTH {
        let timelock = ground.deploy(source);
        let raise = abi::updateDelayCall {
            newDelay: U256::from(15 * DAY),
        };
        let itself = Call {
            to: timelock,
            value: U256::ZERO,
            data: raise.abi_encode().into(),
        };
        assert_eq!(ground.objection(1, &itself).await, Some(TimelockRefusal::OnlyItself));
        pass(&ground.rpc, (timelock, ACCOUNTS[1].address), (timelock, &raise));
        assert_eq!(ground.info(timelock).await.min_delay, 15 * DAY);
        let late = operation(vec![ground.act()], 1);
        let refused = ground.objection(1, &late.schedule(timelock, DAY)).await;
        assert!(
            matches!(refused, Some(TimelockRefusal::InsufficientDelay { .. })),
            "{refused:?}"
        );
        assert_eq!(ground.objection(1, &late.schedule(timelock, 15 * DAY)).await, None);
    }
}

#[tokio::test]
async fn l7_roles_are_told_as_they_are_whatever_was_granted_revoked_and_renounced() {
    let ground = Ground::new().await;
    let [admin, proposer, second, third, executor] = ACCOUNTS.map(|account| account.address);
    for source in BOTH {
        let options = TimelockOptions {
            source,
            proposers: vec![proposer, second],
            executors: vec![executor, Address::ZERO],
            admin,
            ..TimelockOptions::default()
        };
        let timelock = options.deploy(&ground.rpc);
        let role = |name: &str| keccak256(name);
        let grant = |name: &str, account| abi::grantRoleCall {
            role: role(name),
            account,
        };
        ground.rpc.execute(admin, timelock, &grant("PROPOSER_ROLE", third));
        ground.rpc.execute(admin, timelock, &grant("CANCELLER_ROLE", third));
        let revoke = abi::revokeRoleCall {
            role: role("PROPOSER_ROLE"),
            account: proposer,
        };
        ground.rpc.execute(admin, timelock, &revoke);
        let renounce = abi::renounceRoleCall {
            role: role("CANCELLER_ROLE"),
            account: second,
        };
        ground.rpc.execute(second, timelock, &renounce);
        let info = ground.info(timelock).await;
        let (roles, _) = ground.chain.timelock_standing(&info, &[], REACH).await.unwrap();
        let sorted = |mut list: Vec<Address>| {
            list.sort();
            list
        };
        assert_eq!(roles.incomplete, None);
        assert!(info.open_executor);
        assert_eq!(roles.proposers, sorted(vec![second, third]));
        assert_eq!(roles.cancellers, sorted(vec![proposer, third]));
        assert_eq!(roles.executors, [executor]);
        assert_eq!(roles.of(TimelockRole::Admin), sorted(vec![admin, timelock]));
        // Back to where it was: the newest event decides, by the state.
        ground.rpc.execute(admin, timelock, &grant("PROPOSER_ROLE", proposer));
        let head = ground.head().await;
        let asked = [
            (TimelockRole::Proposer, proposer),
            (TimelockRole::Canceller, second),
            (TimelockRole::Executor, executor),
            (TimelockRole::Admin, timelock),
        ];
        let held = ground.chain.timelock_holds(&info, &head, &asked).await.unwrap();
        assert_eq!(held, [true, false, true, true]);
        let before = ground.chain.timelock_holds(&info, &info.block, &asked).await.unwrap();
        assert_eq!(before, [false, false, true, true]);
        let (again, _) = ground.chain.timelock_standing(&info, &[], REACH).await.unwrap();
        assert_eq!(again, roles, "at the block that was read");
    }
}

#[tokio::test]
async fn roles_whose_events_cannot_be_read_whole_say_so_and_name_only_who_has_them() {
    let ground = Ground::new().await;
    let timelock = ground.deploy(TimelockSource::V5);
    let also = [ACCOUNTS[1].address, ACCOUNTS[2].address];
    let pruned = Liar::to(&ground.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!([]))
    });
    let refusing = Liar::to(&ground.anvil.url(), |method, _| {
        let limit = json!({"error": {"code": -32005, "message": "query returned more than 0 results"}});
        (method == "eth_getLogs").then_some(limit)
    });
    for liar in [pruned, refusing] {
        let chain = connect(liar.url()).await;
        let info = chain.timelock(timelock).await.unwrap().unwrap();
        let (roles, _) = chain.timelock_standing(&info, &also, REACH).await.unwrap();
        assert!(roles.incomplete.is_some());
        assert_eq!((roles.proposers, roles.cancellers), (vec![also[0]], vec![also[0]]));
        assert!(roles.executors.is_empty() && roles.admins.is_empty());
    }
}

#[tokio::test]
async fn l3_l4_l11_a_transaction_proves_exactly_the_operation_that_it_is_about() {
    let ground = Ground::new().await;
    for source in BOTH {
        let timelock = ground.deploy(source);
        let operation = operation(vec![ground.act(), ground.act()], 1);
        let extra = TimelockOperation {
            calls: TimelockCalls::Batch(vec![ground.act(), ground.act(), ground.act()]),
            ..operation.clone()
        };
        let scheduled = ground.send(1, &operation.schedule(timelock, DAY));
        let with_extra = ground.send(1, &extra.schedule(timelock, DAY));
        let proves = async |transaction, step| {
            let asked = OperationAt {
                timelock,
                operation: &operation,
            };
            ground.chain.prove_operation(transaction, asked, step).await
        };
        proves(scheduled, OperationStep::Scheduled).await.unwrap();
        for (transaction, step) in [
            (with_extra, OperationStep::Scheduled),
            (scheduled, OperationStep::Executed),
            (scheduled, OperationStep::Cancelled),
        ] {
            let failed = proves(transaction, step).await.unwrap_err();
            assert!(matches!(failed, TimelockProofFailure::NotShown { .. }), "{failed}");
        }
        let other = ground.deploy(source);
        let asked = OperationAt {
            timelock: other,
            operation: &operation,
        };
        let foreign = ground.chain.prove_operation(scheduled, asked, OperationStep::Scheduled);
        assert!(
            matches!(foreign.await.unwrap_err(), TimelockProofFailure::Foreign { emitter, .. } if emitter == timelock)
        );
        let cancelled = ground.send(1, &extra.cancel(timelock));
        let asked = OperationAt {
            timelock,
            operation: &extra,
        };
        let cancelled = ground
            .chain
            .prove_operation(cancelled, asked, OperationStep::Cancelled)
            .await;
        assert_eq!(cancelled.unwrap(), ground.head().await);
        advance(&ground.rpc, DAY);
        let executed = ground.send(2, &operation.execute(timelock));
        proves(executed, OperationStep::Executed).await.unwrap();
        let unknown = proves(B256::repeat_byte(1), OperationStep::Executed).await.unwrap_err();
        assert!(matches!(unknown, TimelockProofFailure::NotSettled { .. }), "{unknown}");
    }
}

#[tokio::test]
async fn a_call_that_fails_inside_is_told_with_its_own_reason_where_the_timelock_passes_it_on() {
    let ground = Ground::new().await;
    for (source, refusal) in [
        (TimelockSource::V4, Some(TimelockRefusal::CallFailed)),
        (TimelockSource::V5, None),
    ] {
        let timelock = ground.deploy(source);
        let operation = operation(vec![ground.calls("refuseSilently()")], 1);
        ground.send(1, &operation.schedule(timelock, DAY));
        advance(&ground.rpc, DAY);
        let head = ground.head().await;
        let execute = operation.execute(timelock);
        let said = ground
            .chain
            .timelock_objection(ACCOUNTS[2].address, &execute, &head)
            .await;
        assert_eq!(said.unwrap().unwrap().refusal, refusal);
    }
}
