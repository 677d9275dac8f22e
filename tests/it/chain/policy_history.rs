//! The history of an app's policy as its events and its state tell it, on a real chain.

use alloy::primitives::{Address, B256};
use countersign::chain::{
    AppQuery, AppState, Chain, Options,
    hash_past::{HashPast, Search},
    policy_history::{PolicyEntry, PolicyFact, PolicyHistory, PolicyPlace},
};
use countersign::http::{Http, Limits};
use serde_json::json;

use crate::chain::liar::Liar;
use crate::harness::judge::each;
use crate::support::contracts::abi;
use crate::support::world::{AppVariant, WorldOptions};
use crate::support::{ACCOUNTS, World};

const BOTH: [AppVariant; 2] = [AppVariant::OneStep, AppVariant::TwoStep];

fn options(url: &str) -> Options {
    Options {
        endpoints: vec![url.parse().unwrap()],
        chain_id: 31337,
        quorum: countersign::chain::quorum::Quorum::default(),
        allow_unpinned: false,
    }
}

async fn connect(url: &str) -> Chain {
    let http = Http::new(Limits::default());
    Chain::connect(&options(url), &http).await.unwrap()
}

async fn state(chain: &Chain, app: Address) -> AppState {
    let query = AppQuery {
        app,
        kms: None,
        hash: None,
        running: None,
        device: None,
        os_image: None,
        kind: false,
    };
    chain.app(&query).await.unwrap()
}

async fn history(chain: &Chain, app: Address) -> PolicyHistory {
    let state = state(chain, app).await;
    let history = chain.policy_history(&state, &[], &[]).await.unwrap();
    assert_eq!(history.block, state.block);
    history
}

/// Runs a test's futures; the world blocks, so that it cannot be made inside of one.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn entry(list: &[PolicyEntry], id: B256) -> PolicyEntry {
    let found: Vec<&PolicyEntry> = list.iter().filter(|entry| entry.id == id).collect();
    assert_eq!(found.len(), 1, "{id}");
    *found[0]
}

/// Where the chain itself says that a transaction is.
fn is_at(world: &World, place: PolicyPlace, transaction: B256) {
    assert_eq!(place.transaction, transaction);
    let receipt = world.rpc().mined(transaction);
    let hash: B256 = serde_json::from_value(receipt["blockHash"].clone()).unwrap();
    assert_eq!(place.block.hash, hash);
    let block = world.rpc().call("eth_getBlockByHash", json!([hash, false]));
    let time: alloy::primitives::U64 = serde_json::from_value(block["timestamp"].clone()).unwrap();
    assert_eq!(place.block.timestamp, time.to::<u64>());
}

#[test]
fn h4_h6_what_is_allowed_is_told_with_the_transaction_since_which_it_is() {
    each(&BOTH, |variant| {
        let world = World::with(WorldOptions {
            app: *variant,
            ..WorldOptions::default()
        });
        let (hash, gone) = (B256::repeat_byte(0x11), B256::repeat_byte(0x22));
        let device = B256::repeat_byte(0x33);
        world.allow(hash);
        world.as_owner(&abi::removeComposeHashCall { composeHash: hash });
        let since = world.allow(hash);
        world.allow(hash);
        world.allow(gone);
        let removed = world.as_owner(&abi::removeComposeHashCall { composeHash: gone });
        let added = world.as_owner(&abi::addDeviceCall { deviceId: device });
        let unlisted = world.as_owner(&abi::removeDeviceCall { deviceId: world.device });
        let history = run(async { history(&connect(&world.anvil.url()).await, world.app).await });
        assert_eq!(history.incomplete, None);
        assert_eq!(history.hashes.len(), 3);
        assert_eq!(history.devices.len(), 2);
        for (entry, allowed, transaction) in [
            (entry(&history.hashes, hash), true, since),
            (entry(&history.hashes, gone), false, removed),
            (entry(&history.devices, device), true, added),
            (entry(&history.devices, world.device), false, unlisted),
        ] {
            assert_eq!(entry.allowed, allowed);
            is_at(&world, entry.since.unwrap(), transaction);
        }
        assert!(entry(&history.hashes, world.first_hash).allowed);
    });
}

#[test]
fn o3_o8_the_owners_of_an_app_are_told_in_order_as_it_changes_hands() {
    for variant in BOTH {
        let world = World::with(WorldOptions {
            app: variant,
            ..WorldOptions::default()
        });
        let (owner, heir) = (world.owner.address, ACCOUNTS[3].address);
        let offered = world.as_owner(&abi::transferOwnershipCall { to: heir });
        let handed = match variant {
            AppVariant::OneStep => offered,
            AppVariant::TwoStep => world.rpc().execute(heir, world.app, &abi::acceptOwnershipCall {}),
        };
        let history = run(async { history(&connect(&world.anvil.url()).await, world.app).await });
        let told: Vec<PolicyFact> = history.owners().map(|event| event.what).collect();
        let mut expected = vec![PolicyFact::OwnershipTransferred {
            from: Address::ZERO,
            to: owner,
        }];
        if variant == AppVariant::TwoStep {
            expected.push(PolicyFact::OwnershipOffered { from: owner, to: heir });
        }
        expected.push(PolicyFact::OwnershipTransferred { from: owner, to: heir });
        assert_eq!(told, expected);
        is_at(&world, history.owners().last().unwrap().place, handed);
    }
}

#[test]
fn switches_are_told_with_their_transactions_and_frozen_code_by_the_contract_itself() {
    for variant in BOTH {
        let world = World::with(WorldOptions {
            app: variant,
            ..WorldOptions::default()
        });
        let before = run(async { history(&connect(&world.anvil.url()).await, world.app).await });
        assert_eq!(before.upgrades_disabled, Some(false));
        assert!(
            before
                .events
                .iter()
                .any(|event| matches!(event.what, PolicyFact::Implementation { .. }))
        );
        let on = world.as_owner(&abi::setAllowAnyDeviceCall { allowAny: true });
        let mut expected = vec![(PolicyFact::AnyDevice { on: true }, on)];
        if variant == AppVariant::TwoStep {
            let fresh = world.as_owner(&abi::setRequireTcbUpToDateCall { on: true });
            expected.push((PolicyFact::TcbUpToDate { on: true }, fresh));
        }
        let frozen = world.as_owner(&abi::disableUpgradesCall {});
        expected.push((PolicyFact::UpgradesDisabled, frozen));
        let after = run(async { history(&connect(&world.anvil.url()).await, world.app).await });
        let new = &after.events[before.events.len()..];
        assert_eq!(after.upgrades_disabled, Some(true));
        assert_eq!(new.len(), expected.len());
        for (event, (what, transaction)) in new.iter().zip(expected) {
            assert_eq!(event.what, what);
            is_at(&world, event.place, transaction);
        }
    }
}

#[test]
fn o4_of_an_app_that_was_given_up_the_last_owner_is_told() {
    let world = World::start();
    world.as_owner(&abi::renounceOwnershipCall {});
    let history = run(async { history(&connect(&world.anvil.url()).await, world.app).await });
    let last = history.owners().last().unwrap().what;
    let expected = PolicyFact::OwnershipTransferred {
        from: world.owner.address,
        to: Address::ZERO,
    };
    assert_eq!((last, history.upgrades_disabled), (expected, None));
}

/// What an endpoint that forgets or refuses logs leaves of a history.
fn through(world: &World, lie: fn(&str, &serde_json::Value) -> Option<serde_json::Value>) -> PolicyHistory {
    let liar = Liar::to(&world.anvil.url(), lie);
    let asked = [world.first_hash, B256::repeat_byte(0x44)];
    run(async {
        let chain = connect(liar.url()).await;
        let state = state(&chain, world.app).await;
        chain.policy_history(&state, &asked, &[world.device]).await.unwrap()
    })
}

#[test]
fn a_history_that_cannot_be_read_whole_says_so_and_the_state_is_told_all_the_same() {
    let world = World::start();
    for lie in [
        |method: &str, _: &serde_json::Value| (method == "eth_getLogs").then(|| json!([])),
        |method: &str, _: &serde_json::Value| {
            let refusal = json!({"error": {"code": -32005, "message": "query returned more than 0 results"}});
            (method == "eth_getLogs").then_some(refusal)
        },
    ] {
        let history = through(&world, lie);
        assert!(history.incomplete.is_some());
        assert_eq!(history.events, []);
        let first = entry(&history.hashes, world.first_hash);
        assert_eq!((first.allowed, first.since), (true, None));
        assert!(!entry(&history.hashes, B256::repeat_byte(0x44)).allowed);
        assert!(entry(&history.devices, world.device).allowed);
    }
}

#[test]
fn h2_an_event_that_an_endpoint_keeps_back_is_noticed_by_the_state() {
    let world = World::start();
    let hash = B256::repeat_byte(0x55);
    world.allow(hash);
    world.as_owner(&abi::removeComposeHashCall { composeHash: hash });
    let all = json!([{"address": world.app, "fromBlock": "0x0", "toBlock": "latest"}]);
    let mut logs = world.rpc().call("eth_getLogs", all);
    logs.as_array_mut().unwrap().pop().expect("the removal");
    let liar = Liar::to(&world.anvil.url(), move |method, _| {
        (method == "eth_getLogs").then(|| logs.clone())
    });
    let history = run(async { history(&connect(liar.url()).await, world.app).await });
    let why = history.incomplete.unwrap();
    assert!(why.contains(&hash.to_string()), "{why}");
    let told = entry(&history.hashes, hash);
    assert_eq!((told.allowed, told.since), (false, None));
}

/// An endpoint that refuses long ranges, as most public ones do.
fn short(method: &str, _: &serde_json::Value) -> Option<serde_json::Value> {
    let refusal = json!({"error": {"code": -32005, "message": "query returned more than 0 results"}});
    (method == "eth_getLogs").then_some(refusal)
}

/// A chain behind the first, with the second for histories.
async fn with_past(url: &str, past: &str) -> Chain {
    let http = Http::new(Limits::default());
    let chain = connect(url).await;
    chain.with_histories_of(&past.parse().unwrap(), &options(url), &http)
}

#[test]
fn a_history_comes_whole_from_the_endpoint_that_is_named_for_it_and_nothing_else_does() {
    let world = World::start();
    world.allow(B256::repeat_byte(0x11));
    let whole = run(async { history(&connect(&world.anvil.url()).await, world.app).await });
    let main = Liar::to(&world.anvil.url(), short);
    let past = Liar::to(&world.anvil.url(), |_, _| None);
    let found = run(async { history(&with_past(main.url(), past.url()).await, world.app).await });
    assert_eq!(found.incomplete, None);
    assert_eq!(found.events, whole.events);
    let count = |liar: &Liar, method: &str| liar.asked().iter().filter(|asked| *asked == method).count();
    assert_eq!((count(&main, "eth_getLogs"), count(&past, "eth_getLogs")), (1, 1));
    assert!(count(&main, "eth_call") > 3);
    assert_eq!(count(&past, "eth_call"), 0);
    // One that remembers less is no contradiction, also where it does not say so.
    for forgets in [0, 2] {
        let main = Liar::editing(&world.anvil.url(), move |method, result| {
            if let Some(logs) = result.as_array_mut().filter(|_| method == "eth_getLogs") {
                logs.drain(..logs.len().saturating_sub(forgets));
            }
        });
        let found = run(async { history(&with_past(main.url(), past.url()).await, world.app).await });
        assert_eq!((found.incomplete, found.events), (None, whole.events.clone()));
    }
}

#[test]
fn what_the_endpoint_for_histories_makes_up_or_leaves_out_is_noticed() {
    let world = World::start();
    let (hash, made_up) = (B256::repeat_byte(0x55), B256::repeat_byte(0x66));
    let transaction = world.allow(hash);
    let main = Liar::to(&world.anvil.url(), short);
    let invents = Liar::editing(&world.anvil.url(), move |method, result| {
        let logs = result.as_array_mut().filter(|_| method == "eth_getLogs");
        let ours = logs.and_then(|logs| logs.iter_mut().find(|log| log["data"] == json!(hash)));
        if let Some(log) = ours {
            log["data"] = json!(made_up);
        }
    });
    run(async {
        let chain = with_past(main.url(), invents.url()).await;
        let state = state(&chain, world.app).await;
        let past = chain.hash_past(&state, made_up, &[]).await.unwrap();
        let named = matches!(past, HashPast::Named { .. });
        assert!(!named, "{past:?}");
        let history = chain.policy_history(&state, &[], &[]).await.unwrap();
        assert!(!entry(&history.hashes, made_up).allowed);
        assert!(history.incomplete.is_some());
    });
    // Left out by it, and told by one of the others.
    let silent = Liar::to(&world.anvil.url(), |method, _| {
        (method == "eth_getLogs").then(|| json!([]))
    });
    let found = run(async { history(&with_past(&world.anvil.url(), silent.url()).await, world.app).await });
    is_at(&world, entry(&found.hashes, hash).since.unwrap(), transaction);
    assert!(found.incomplete.unwrap().contains("different"));
}

#[test]
fn that_something_never_happened_the_endpoint_for_histories_proves_nobody() {
    let world = World::start();
    let hash = B256::repeat_byte(0x55);
    let short = Liar::to(&world.anvil.url(), short);
    let past = world.anvil.url();
    run(async {
        let (alone, with) = (connect(&past).await, with_past(short.url(), &past).await);
        let state = state(&alone, world.app).await;
        let never = alone.hash_past(&state, hash, &[]).await.unwrap();
        assert_eq!(never, HashPast::Never);
        let unknown = with.hash_past(&state, hash, &[]).await.unwrap();
        assert!(matches!(unknown, HashPast::Unknown { .. }), "{unknown:?}");
        assert_eq!(alone.removal(&state, hash, 9).await.unwrap(), Search::Never);
        assert_eq!(with.removal(&state, hash, 9).await.unwrap(), Search::Unfinished);
    });
}
