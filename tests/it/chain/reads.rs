//! Endpoints and what they say of the app.

use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use alloy::sol_types::SolCall;
use countersign::chain::{
    AppChanges, AppQuery, AppState, Call, Chain, ChainError, Options, OwnerKind, fees::Filling, quorum::Quorum,
};
use countersign::http::{Http, Limits};
use serde_json::{Value, json};

use super::liar::Liar;
use super::{HASH, STRANGER, chain_of, connect, connect_as, connect_with};
use crate::support::contracts::{self, abi};
use crate::support::world::AppVariant;
use crate::support::{ACCOUNTS, Action, Anvil, AnvilOptions, FaultProxy, Match, Message, Nth, World, WorldOptions};

/// Everything that can be asked about an app.
pub fn query(world: &World) -> AppQuery {
    AppQuery {
        app: world.app,
        kms: Some(world.kms),
        hash: Some(HASH),
        running: None,
        device: Some(world.device),
        os_image: Some(keccak256("os image")),
        kind: true,
    }
}

async fn state(world: &World) -> AppState {
    chain_of(world).await.app(&query(world)).await.unwrap()
}

/// The first four bytes of a call, as its parameters show them.
fn calls<C: SolCall>(method: &str, params: &Value) -> bool {
    let selector = alloy::hex::encode_prefixed(C::SELECTOR);
    let shown = params[0]["data"].as_str().or(params[0]["input"].as_str());
    method == "eth_call" && shown.is_some_and(|data| data.starts_with(&selector))
}

fn is_disagreement(error: &ChainError, about: &str) -> bool {
    matches!(error, ChainError::Disagreement { what, .. } if what.contains(about))
}

#[tokio::test]
async fn the_newer_app_is_read_whole_at_one_block() {
    let world = World::start();
    let state = state(&world).await;
    assert_eq!(state.block.number, world.rpc().height());
    assert_eq!((state.owner, state.owner_kind), (world.owner.address, OwnerKind::Eoa));
    assert_eq!(state.pending_owner, Some(Address::ZERO), "two-step, nobody pending");
    assert_eq!((state.version, state.require_tcb_up_to_date), (Some(2), Some(false)));
    assert!(state.manages_hashes && !state.any_device);
    assert_eq!((state.hash_allowed, state.device_allowed), (Some(false), Some(true)));
    assert_eq!(state.registered, Some(true));
    let code = world
        .rpc()
        .call("eth_getCode", json!([state.implementation.unwrap(), "latest"]));
    let code: alloy::primitives::Bytes = serde_json::from_value(code).unwrap();
    assert_eq!(state.implementation_code_hash, Some(keccak256(code)));
}

#[tokio::test]
async fn o8_the_older_app_has_no_pending_owner_and_is_read_all_the_same() {
    let world = World::with(WorldOptions {
        app: AppVariant::OneStep,
        ..WorldOptions::default()
    });
    let state = state(&world).await;
    assert_eq!(state.pending_owner, None);
    assert_eq!((state.version, state.require_tcb_up_to_date), (None, None));
    assert_eq!((state.owner, state.hash_allowed), (world.owner.address, Some(false)));
}

#[tokio::test]
async fn the_kms_is_asked_as_if_the_hash_were_allowed() {
    let world = World::start();
    let preflight = state(&world).await.preflight.unwrap();
    assert!(preflight.allowed && preflight.as_if_allowed, "{preflight:?}");
    assert!(!world.is_allowed(HASH), "nothing was changed");
}

#[tokio::test]
async fn h5_the_kms_own_reason_is_told() {
    let table = [
        (
            WorldOptions {
                device_allowed: false,
                ..WorldOptions::default()
            },
            "Device not allowed",
        ),
        (
            WorldOptions {
                os_image_allowed: false,
                ..WorldOptions::default()
            },
            "OS image is not allowed",
        ),
    ];
    for (options, reason) in table {
        let preflight = state(&World::with(options)).await.preflight.unwrap();
        assert!(!preflight.allowed && preflight.as_if_allowed);
        assert_eq!(preflight.reason, reason);
    }
}

#[tokio::test]
async fn without_state_override_the_kms_is_asked_as_things_are() {
    let world = World::start();
    let refuse = |method: &str, params: &Value| {
        let third = method == "eth_call" && params.get(2).is_some();
        third.then(|| json!({"error": {"code": -32602, "message": "too many arguments, want at most 2"}}))
    };
    let ignore = |method: &str, params: &Value| {
        (calls::<abi::allowedComposeHashesCall>(method, params)).then(|| json!(B256::ZERO))
    };
    let liars = [
        Liar::to(&world.anvil.url(), refuse),
        Liar::to(&world.anvil.url(), ignore),
    ];
    for liar in liars {
        let chain = connect(&[liar.url()]).await.unwrap();
        let preflight = chain.app(&query(&world)).await.unwrap().preflight.unwrap();
        assert!(!preflight.as_if_allowed && !preflight.allowed, "{preflight:?}");
        assert_eq!(preflight.reason, "Compose hash not allowed");
    }
}

#[tokio::test]
async fn o3_a_pending_owner_is_seen() {
    let world = World::start();
    world.as_owner(&abi::transferOwnershipCall { to: STRANGER });
    let state = state(&world).await;
    assert_eq!(
        (state.owner, state.pending_owner),
        (world.owner.address, Some(STRANGER))
    );
}

#[tokio::test]
async fn o4_a_renounced_app_belongs_to_nobody() {
    let world = World::start();
    world.as_owner(&abi::renounceOwnershipCall {});
    let state = state(&world).await;
    assert_eq!((state.owner, state.owner_kind), (Address::ZERO, OwnerKind::Nobody));
}

#[tokio::test]
async fn o5_another_implementation_shows_in_address_and_code() {
    let world = World::start();
    let before = state(&world).await;
    let other = contracts::deploy(&world.rpc(), ACCOUNTS[0].address, "DstackAppOneStep", &[]);
    world.as_owner(&abi::upgradeToAndCallCall {
        implementation: other,
        data: Default::default(),
    });
    let after = state(&world).await;
    assert_eq!(after.implementation, Some(other));
    assert_ne!(after.implementation_code_hash, before.implementation_code_hash);
    assert_eq!(after.code_hash, before.code_hash, "the proxy itself is the same");
}

#[tokio::test]
async fn o6_an_address_without_code_is_not_an_app() {
    let world = World::start();
    world.rpc().call("anvil_setCode", json!([world.app, "0x"]));
    let error = chain_of(&world).await.app(&query(&world)).await.unwrap_err();
    assert!(
        matches!(error, ChainError::NotAnApp { address, .. } if address == world.app),
        "{error}"
    );
}

#[tokio::test]
async fn a_contract_of_another_kind_is_not_an_app_and_not_a_kms() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let error = chain
        .app(&AppQuery {
            app: world.kms,
            kms: None,
            ..query(&world)
        })
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ChainError::NotAnApp { why, .. } if why.contains('(')),
        "{error}"
    );
    for wrong in [world.app, STRANGER] {
        let error = chain
            .app(&AppQuery {
                kms: Some(wrong),
                ..query(&world)
            })
            .await
            .unwrap_err();
        assert!(
            matches!(error, ChainError::NotAKms { address, .. } if address == wrong),
            "{error}"
        );
    }
}

#[tokio::test]
async fn o7_the_owners_kind_is_told_by_its_code() {
    let world = World::start();
    let owner = world.owner.address;
    let delegation = format!("0xef0100{}", "aa".repeat(20));
    for (code, kind) in [
        (delegation.as_str(), OwnerKind::DelegatedEoa),
        ("0x6080", OwnerKind::Contract),
        ("0x", OwnerKind::Eoa),
    ] {
        world.rpc().call("anvil_setCode", json!([owner, code]));
        assert_eq!(state(&world).await.owner_kind, kind, "{code}");
    }
}

#[tokio::test]
async fn an_app_is_read_in_three_round_trips_and_the_rest_in_one() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let chain = connect(&[&proxy.url()]).await.unwrap();
    assert_eq!(proxy.requests(), 1, "connect");
    proxy.forget();
    chain.app(&query(&world)).await.unwrap();
    assert_eq!(proxy.requests(), 3, "app");
    proxy.forget();
    chain.app(&query(&world)).await.unwrap();
    assert_eq!(proxy.requests(), 2, "app, whose owner and code are expected");
    proxy.forget();
    chain.look_ahead();
    chain.head().await.unwrap();
    assert_eq!(proxy.requests(), 1, "head that was asked for ahead");
    for _ in 0..2 {
        proxy.forget();
        chain.recheck().await.unwrap();
        assert_eq!(proxy.requests(), 1, "recheck");
        proxy.forget();
        chain.head().await.unwrap();
        assert_eq!(proxy.requests(), 1, "head");
    }
}

#[tokio::test]
async fn r9_another_chain_id_is_refused() {
    let anvil = Anvil::start(AnvilOptions {
        chain_id: 5,
        ..AnvilOptions::default()
    });
    let error = connect(&[&anvil.url()]).await.unwrap_err();
    assert!(
        matches!(
            error,
            ChainError::WrongChain {
                found: 5,
                expected: 31337,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn r9_one_endpoint_of_another_chain_is_refused_though_the_other_is_right() {
    let right = Anvil::start(AnvilOptions::default());
    let wrong = Anvil::start(AnvilOptions {
        chain_id: 5,
        ..AnvilOptions::default()
    });
    for urls in [[right.url(), wrong.url()], [wrong.url(), right.url()]] {
        let error = connect(&[&urls[0], &urls[1]]).await.unwrap_err();
        assert!(matches!(error, ChainError::WrongChain { .. }), "{error}");
    }
}

#[tokio::test]
async fn r10_a_chain_id_that_changes_in_the_middle_is_noticed_by_every_step() {
    let world = World::start();
    let chain = chain_of(&world).await;
    let tx = super::addition(&world, &chain, HASH).await;
    world.rpc().call("anvil_setChainId", json!([5]));
    let wrong = |error: &ChainError| matches!(error, ChainError::WrongChain { found: 5, .. });
    assert!(wrong(&chain.recheck().await.unwrap_err()));
    assert!(wrong(&chain.head().await.unwrap_err()));
    assert!(wrong(
        &chain.look(std::slice::from_ref(&tx), super::ONE).await.unwrap_err()
    ));
    let failure = chain
        .prove(tx.hash, &AppChanges::allowing(world.app, HASH), super::ONE)
        .await
        .unwrap_err();
    assert!(
        matches!(&failure, countersign::chain::ProofFailure::Chain(error) if wrong(error)),
        "{failure}"
    );
}

#[tokio::test]
async fn r11_the_right_chain_id_with_another_first_block_is_refused() {
    for chain_id in [1, 8453] {
        let anvil = Anvil::start(AnvilOptions {
            chain_id,
            ..AnvilOptions::default()
        });
        let error = connect_as(&[&anvil.url()], chain_id, false).await.unwrap_err();
        assert!(matches!(error, ChainError::WrongGenesis { .. }), "{error}");
        let chain = connect_as(&[&anvil.url()], chain_id, true).await.unwrap();
        assert_eq!(chain.head().await.unwrap().number, 0);
    }
}

#[tokio::test]
async fn r12_an_endpoint_that_stands_still_is_not_believed() {
    let anvil = Anvil::start(AnvilOptions {
        chain_id: 2035,
        more: vec!["--timestamp".to_owned(), "1577836800".to_owned()],
        ..AnvilOptions::default()
    });
    let chain = connect_as(&[&anvil.url()], 2035, false).await.unwrap();
    let error = chain.head().await.unwrap_err();
    assert!(matches!(error, ChainError::Stale { number: 0, limit: 300 }), "{error}");
}

#[tokio::test]
async fn r1_a_dead_endpoint_is_missed_unless_fewer_have_to_agree() {
    let world = World::start();
    for (needed, partial) in [(None, false), (Some(1), false), (None, true)] {
        let mut proxy = FaultProxy::to(&world.anvil.url());
        let quorum = Quorum {
            needed,
            partial,
            until: Some(tokio::time::Instant::now() + Duration::from_secs(2)),
            ..Quorum::default()
        };
        let turnout = quorum.turnout.clone();
        let chain = connect_with(&[&proxy.url(), &world.anvil.url()], quorum).await.unwrap();
        assert_eq!(turnout.heard().unwrap().agreed.len(), 2);
        proxy.refuse();
        let state = chain.app(&query(&world)).await;
        let heard = turnout.heard().unwrap();
        let missing: Vec<&str> = heard.missing.iter().map(|missing| missing.endpoint.as_str()).collect();
        assert_eq!(
            (missing, heard.short),
            (vec![proxy.url().as_str()], partial),
            "{heard:?}"
        );
        assert_eq!(heard.agreed, [world.anvil.url()]);
        match (needed, partial, state) {
            (None, false, Err(error @ ChainError::TooFew { .. })) => {
                assert!(error.to_string().contains(&proxy.url()), "{error}");
            }
            (_, _, Ok(state)) => assert_eq!(state.owner, world.owner.address),
            (.., Err(error)) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn r1_no_endpoint_is_an_error_that_names_the_host_only() {
    let mut proxy = FaultProxy::to("http://127.0.0.1:1");
    proxy.refuse();
    let error = connect(&[&format!("{}/secret-key?token=secret", proxy.url())])
        .await
        .unwrap_err();
    assert!(matches!(error, ChainError::Unavailable { .. }), "{error}");
    let shown = format!("{error:?} {error}");
    assert!(!shown.contains("secret"), "r27: {shown}");
}

#[tokio::test]
async fn r4_a_hiccup_is_waited_out() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let chain = connect(&[&proxy.url()]).await.unwrap();
    proxy.on(
        Match::Any,
        Nth::Only(1),
        Action::Answer(Message::answer(429, &[("retry-after", "1")], "slow down")),
    );
    proxy.on(Match::Any, Nth::Only(3), Action::ResetAfterRead);
    assert!(chain.app(&query(&world)).await.is_ok());
}

#[tokio::test]
async fn r6_r7_r8_answers_that_are_none_are_discarded() {
    let world = World::start();
    let faults = [
        Action::Html,
        Action::Empty,
        Action::Truncate,
        Action::WrongId,
        Action::Big(64 << 20),
        Action::GzipBomb,
        Action::DeepJson(10_000),
    ];
    let tried = faults.map(async |fault| {
        let proxy = FaultProxy::to(&world.anvil.url());
        let quorum = Quorum {
            needed: Some(1),
            ..Quorum::default()
        };
        let chain = connect_with(&[&proxy.url(), &world.anvil.url()], quorum).await.unwrap();
        proxy.on(Match::Any, Nth::Every, fault.clone());
        assert!(chain.app(&query(&world)).await.is_ok(), "{fault:?}");
        let alone = connect(&[&proxy.url()]).await.unwrap_err();
        assert!(matches!(alone, ChainError::Unavailable { .. }), "{fault:?}: {alone}");
        assert!(format!("{alone:?}").len() < 4000, "{fault:?}");
    });
    futures_util::future::join_all(tried).await;
}

#[tokio::test]
async fn r18_a_forged_owner_is_contradicted_by_the_second_endpoint() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, params| {
        calls::<abi::ownerCall>(method, params).then(|| json!(STRANGER.into_word()))
    });
    let chain = connect(&[liar.url(), &world.anvil.url()]).await.unwrap();
    let error = chain.app(&query(&world)).await.unwrap_err();
    assert!(is_disagreement(&error, "owner()"), "{error}");
}

#[tokio::test]
async fn r19_a_forged_allowance_is_contradicted_either_way() {
    let world = World::start();
    let allowed = world.first_hash;
    for (hash, said) in [(HASH, 1), (allowed, 0)] {
        let liar = Liar::to(&world.anvil.url(), move |method, params| {
            let lie = calls::<abi::allowedComposeHashesCall>(method, params) && params.get(2).is_none();
            lie.then(|| json!(B256::with_last_byte(said)))
        });
        let chain = connect(&[&world.anvil.url(), liar.url()]).await.unwrap();
        let error = chain
            .app(&AppQuery {
                hash: Some(hash),
                ..query(&world)
            })
            .await
            .unwrap_err();
        assert!(is_disagreement(&error, "allowedComposeHashes"), "{error}");
    }
}

#[tokio::test]
async fn a_failure_of_the_endpoint_is_never_taken_for_the_contracts_answer() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, params| {
        let lie = calls::<abi::pendingOwnerCall>(method, params);
        lie.then(|| json!({"error": {"code": -32005, "message": "daily request limit exceeded"}}))
    });
    let chain = connect(&[liar.url()]).await.unwrap();
    let error = chain.app(&query(&world)).await.unwrap_err();
    assert!(matches!(error, ChainError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn endpoints_that_limit_batches_are_asked_one_by_one() {
    let world = World::start();
    let said = json!({"code": 31, "message": "Batch of more than 3 requests are not allowed on free tier"});
    let liar = Liar::to(&world.anvil.url(), move |method, length| {
        (method == "batch" && length.as_u64() > Some(3)).then(|| json!({ "error": said }))
    });
    let chain = connect(&[liar.url()]).await.unwrap();
    let state = chain.app(&query(&world)).await.unwrap();
    assert_eq!(state, chain_of(&world).await.app(&query(&world)).await.unwrap());
}

#[tokio::test]
async fn everything_can_run_in_a_task_of_its_own() {
    let world = World::start();
    let (app, url, owner) = (world.app, world.anvil.url(), world.owner);
    let query = query(&world);
    let task = async move {
        let chain = connect(&[&url]).await?;
        let call = Call::add_compose_hash(app, HASH);
        let quote = chain.fill(owner.address, &call, Filling::default()).await.unwrap();
        let request = quote.request;
        let tx = super::sign(request, owner);
        chain.broadcast(&tx).await?;
        while chain
            .look(std::slice::from_ref(&tx), super::ONE)
            .await?
            .included
            .is_none()
        {}
        let proof = chain
            .prove(tx.hash, &AppChanges::allowing(app, HASH), super::ONE)
            .await
            .unwrap();
        let again = chain
            .prove_state(&AppChanges::allowing(app, HASH), super::ONE)
            .await
            .unwrap();
        let state = chain.app(&query).await?;
        assert_eq!(chain.policy_history(&state, &[], &[]).await?.hashes.len(), 2);
        chain.block_time().await?;
        Ok::<_, ChainError>((proof, again))
    };
    let (proof, again) = tokio::spawn(task).await.unwrap().unwrap();
    assert_eq!(proof, again);
}

#[tokio::test]
async fn r25_endpoints_without_block_hashes_are_asked_by_number() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |_, params| {
        let by_hash = params
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one.get("blockHash").is_some()));
        by_hash.then(|| json!({"error": {"code": -32602, "message": "invalid argument: hex string expected"}}))
    });
    let chain = connect(&[liar.url(), &world.anvil.url()]).await.unwrap();
    let state = chain.app(&query(&world)).await.unwrap();
    assert_eq!(state, chain_of(&world).await.app(&query(&world)).await.unwrap());
}

#[tokio::test]
async fn r25_a_number_whose_block_is_another_one_is_not_believed() {
    let world = World::start();
    let liar = Liar::to(&world.anvil.url(), |method, params| {
        if params
            .as_array()
            .is_some_and(|list| list.iter().any(|one| one.get("blockHash").is_some()))
        {
            return Some(json!({"error": {"code": -32602, "message": "invalid argument"}}));
        }
        let by_number = method == "eth_getBlockByNumber" && params[0] != "latest" && params[0] != "0x0";
        by_number.then(|| json!({"number": params[0], "hash": HASH, "timestamp": "0x1", "gasLimit": "0x1"}))
    });
    let chain = connect(&[liar.url()]).await.unwrap();
    let error = chain.app(&query(&world)).await.unwrap_err();
    assert!(matches!(error, ChainError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn r29_different_forks_below_what_is_settled_contradict_each_other() {
    let one = Anvil::start(AnvilOptions::default());
    let other = Anvil::start(AnvilOptions::default());
    for (anvil, time) in [(&one, 1_900_000_000_u64), (&other, 1_900_000_100)] {
        anvil.rpc().call("evm_setNextBlockTimestamp", json!([time]));
        anvil.rpc().mine(1);
    }
    let quorum = Quorum {
        until: Some(tokio::time::Instant::now() + Duration::from_secs(1)),
        ..Quorum::default()
    };
    let chain = connect_with(&[&one.url(), &other.url()], quorum).await.unwrap();
    let error = chain.head().await.unwrap_err();
    assert!(is_disagreement(&error, "block hash"), "{error}");
    assert!(error.to_string().contains(&other.url()), "{error}");
}

#[tokio::test]
async fn r29_a_fork_at_the_newest_block_is_waited_for() {
    let options = |chain_id| AnvilOptions {
        chain_id,
        more: vec!["--timestamp".to_owned(), "1900000000".to_owned()],
        ..AnvilOptions::default()
    };
    let (one, other) = (Anvil::start(options(2035)), Anvil::start(options(2035)));
    for (anvil, time) in [(&one, 1_900_000_100_u64), (&other, 1_900_000_200)] {
        // The same times on both, however long each took to start.
        anvil
            .rpc()
            .call("evm_setNextBlockTimestamp", json!([1_900_000_050_u64]));
        anvil.rpc().call("anvil_mine", json!(["0x14", "0x1"]));
        anvil.rpc().call("evm_setNextBlockTimestamp", json!([time]));
        anvil.rpc().mine(1);
    }
    let urls = [one.url(), other.url()];
    for partial in [false, true] {
        let options = Options {
            endpoints: urls.iter().map(|url| url.parse().unwrap()).collect(),
            quorum: Quorum {
                partial,
                until: Some(tokio::time::Instant::now() + Duration::from_secs(4)),
                ..Quorum::default()
            },
            chain_id: 2035,
            allow_unpinned: false,
        };
        let chain = Chain::connect(&options, &Http::new(Limits::default())).await.unwrap();
        match chain.head().await {
            Ok(head) => assert!(partial && head.number == 10, "{head:?}"),
            Err(error) => {
                assert!(!partial && matches!(error, ChainError::TooFew { .. }), "{error}");
                assert!(error.to_string().contains(&other.url()), "{error}");
            }
        }
    }
}

async fn head_number(chain: &Chain) -> Result<u64, ChainError> {
    chain.head().await.map(|head| head.number)
}

#[tokio::test]
async fn r13_the_head_never_goes_backwards() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.anvil.url());
    let late = Anvil::start(AnvilOptions::default());
    let chain = connect(&[&proxy.url()]).await.unwrap();
    let height = world.rpc().height();
    assert_eq!(head_number(&chain).await.unwrap(), height);
    // Every second request reaches another machine, which is at block 0.
    proxy.on(Match::Any, Nth::Only(1), Action::Elsewhere(late.url()));
    assert_eq!(head_number(&chain).await.unwrap(), height);
    proxy.on(Match::Any, Nth::Every, Action::Elsewhere(late.url()));
    let error = head_number(&chain).await.unwrap_err();
    assert!(matches!(error, ChainError::Unavailable { .. }), "{error}");
}
