//! The fault proxy's own rules: each fault is what it says, and only the request that a rule names meets it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Action, Anvil, AnvilOptions, FaultProxy, Match, Message, Moment, Nth, Rpc, World, block, http};

/// Longer than a client of these tests waits.
const LATE: Duration = Duration::from_secs(20);

fn chain() -> (Anvil, FaultProxy, Rpc) {
    let anvil = Anvil::start(AnvilOptions::default());
    let proxy = FaultProxy::to(&anvil.url());
    let rpc = Rpc::new(proxy.url());
    (anvil, proxy, rpc)
}

/// Status and body, or why there is none.
fn get(url: String) -> Result<(u16, Vec<u8>), String> {
    block(async move {
        let answer = http()
            .get(url)
            .timeout(Duration::from_secs(2))
            .send()
            .await
            .map_err(|e| format!("{e:?}"))?;
        let status = answer.status().as_u16();
        Ok((status, answer.bytes().await.map_err(|e| format!("{e:?}"))?.to_vec()))
    })
}

fn height(rpc: &Rpc) -> Result<Value, String> {
    rpc.try_call("eth_blockNumber", json!([]))
}

#[test]
fn without_rules_it_changes_nothing_and_counts_every_request() {
    let (anvil, proxy, rpc) = chain();
    anvil.rpc().mine(3);
    assert_eq!(height(&rpc), Ok(json!("0x3")));
    rpc.call("eth_chainId", json!([]));
    let seen: Vec<String> = proxy.seen().into_iter().flat_map(|one| one.rpc).collect();
    assert_eq!(seen, ["eth_blockNumber", "eth_chainId"]);
    assert_eq!(proxy.requests(), 2);
}

#[test]
fn a_rule_meets_only_the_request_it_names() {
    let (_anvil, proxy, rpc) = chain();
    proxy.on(Match::Rpc("eth_blockNumber"), Nth::Only(2), Action::ResetAfterRead);
    let outcomes: Vec<bool> = (0..3).map(|_| height(&rpc).is_ok()).collect();
    assert_eq!(outcomes, [true, false, true]);
    proxy.on(
        Match::Rpc("eth_blockNumber"),
        Nth::From(1),
        Action::Answer(Message::answer(503, &[], "{}")),
    );
    assert!(rpc.try_call("eth_chainId", json!([])).is_ok());
    assert!(height(&rpc).unwrap().is_null());
    proxy.heal();
    assert!(height(&rpc).is_ok());
}

#[test]
fn a8_a9_resets_differ_in_whether_the_server_did_it() {
    let (anvil, proxy, rpc) = chain();
    for (action, mined) in [
        (Action::ResetBefore, 0),
        (Action::ResetAfterRead, 0),
        (Action::ResetAfterForward, 1),
    ] {
        let before = anvil.rpc().height();
        proxy.on(Match::Any, Nth::Every, action.clone());
        assert!(rpc.try_call("evm_mine", json!([])).is_err());
        assert_eq!(anvil.rpc().height() - before, mined, "{action:?}");
        proxy.heal();
    }
}

#[test]
fn a33_twice_reaches_the_server_twice() {
    let (anvil, proxy, rpc) = chain();
    proxy.on(Match::Rpc("evm_mine"), Nth::Every, Action::Twice);
    rpc.call("evm_mine", json!([]));
    assert_eq!((anvil.rpc().height(), proxy.requests()), (2, 1));
}

#[test]
fn a1_a2_refuse_and_listen_again() {
    let (_anvil, mut proxy, rpc) = chain();
    proxy.refuse();
    assert!(height(&rpc).is_err());
    proxy.listen_again();
    assert!(height(&rpc).is_ok());
}

#[test]
fn a5_a6_slow_and_silent_answers_end_only_by_the_clients_own_deadline() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let faults = [
        (Action::Swallow, 0),
        (Action::SwallowAfterForward, 1),
        (Action::Drip(Duration::from_millis(100)), 1),
        (Action::Delay(LATE), 0),
    ];
    for (action, served) in faults {
        proxy.heal();
        world.cloud.forget_requests();
        proxy.on(Match::Any, Nth::Every, action.clone());
        let start = Instant::now();
        assert!(get(format!("{}/cvms/x", proxy.prefix())).is_err(), "{action:?}");
        assert!(start.elapsed() >= Duration::from_millis(1900), "{action:?}");
        assert_eq!(world.cloud.requests().len(), served, "{action:?}");
    }
}

#[test]
fn a10_to_a16_broken_bodies_are_broken_as_named() {
    let world = World::start();
    let proxy = FaultProxy::to(&world.cloud.prefix());
    let url = format!("{}/nothing", proxy.prefix());
    let with = |action: Action| {
        proxy.heal();
        proxy.on(Match::Http("GET", "/nothing"), Nth::Every, action);
        get(url.clone())
    };
    let plain = get(url.clone()).unwrap();
    assert_eq!(plain.0, 401);
    assert_eq!(with(Action::Empty).unwrap(), (401, vec![]));
    assert!(
        with(Action::Truncate).unwrap_err().contains("Body"),
        "an incomplete body is an error"
    );
    assert_eq!(with(Action::WrongLength).unwrap().1.len(), plain.1.len() / 2);
    assert_eq!(with(Action::Body(vec![0xff, 0xfe])).unwrap(), (401, vec![0xff, 0xfe]));
    assert_eq!(with(Action::ForwardThenStatus(502)).unwrap(), (502, plain.1));
    assert!(with(Action::Html).unwrap().1.starts_with(b"<html>"));
    assert_eq!(with(Action::Big(3 << 20)).unwrap().1.len(), 3 << 20);
    assert_eq!(with(Action::DeepJson(100_000)).unwrap().1.len(), 200_000);
    assert!(with(Action::GzipBomb).unwrap().1.starts_with(&[0x1f, 0x8b, 8]));
    assert_eq!(with(Action::Redirect("https://evil.example/".into())).unwrap().0, 307);
}

#[test]
fn answers_are_mutated_frozen_and_misnumbered_in_batches_too() {
    let (anvil, proxy, rpc) = chain();
    let batch = || -> Value {
        let url = proxy.url();
        block(async move {
            let calls = json!([
                {"jsonrpc": "2.0", "id": 5, "method": "eth_chainId", "params": []},
                {"jsonrpc": "2.0", "id": 6, "method": "eth_blockNumber", "params": []},
            ]);
            http()
                .post(url)
                .json(&calls)
                .send()
                .await
                .unwrap()
                .json()
                .await
                .unwrap()
        })
    };
    proxy.on(
        Match::Rpc("eth_blockNumber"),
        Nth::Every,
        Action::Mutate("/result", json!("0x63")),
    );
    assert_eq!(height(&rpc), Ok(json!("0x63")));
    let answers = batch();
    assert_eq!(
        (&answers[0]["result"], &answers[1]["result"]),
        (&json!("0x7a69"), &json!("0x63"))
    );
    proxy.heal();
    proxy.on(Match::Rpc("eth_blockNumber"), Nth::Every, Action::Freeze);
    assert_eq!(height(&rpc), Ok(json!("0x0")));
    anvil.rpc().mine(2);
    assert_eq!(height(&rpc), Ok(json!("0x0")));
    assert_eq!(batch()[1]["result"], "0x0");
    proxy.heal();
    proxy.on(Match::Rpc("eth_chainId"), Nth::Every, Action::WrongId);
    assert_eq!((&batch()[0]["id"], &batch()[1]["id"]), (&json!(987_654_321), &json!(6)));
}

#[test]
fn a_gate_holds_a_request_before_and_after_the_server_and_can_cut_it() {
    let (anvil, proxy, rpc) = chain();
    for (moment, mined) in [(Moment::Arrived, 0), (Moment::Served, 1), (Moment::Answered, 1)] {
        let before = anvil.rpc().height();
        let gate = proxy.gate(Match::Rpc("evm_mine"), Nth::Only(1), moment);
        std::thread::scope(|scope| {
            let client = scope.spawn(|| rpc.try_call("evm_mine", json!([])));
            gate.wait();
            assert_eq!(anvil.rpc().height() - before, mined, "{moment:?}");
            gate.open();
            assert!(client.join().unwrap().is_ok());
        });
    }
    let (before, gate) = (
        anvil.rpc().height(),
        proxy.gate(Match::Rpc("evm_mine"), Nth::Only(1), Moment::Arrived),
    );
    std::thread::scope(|scope| {
        let client = scope.spawn(|| rpc.try_call("evm_mine", json!([])));
        gate.wait();
        gate.cut();
        assert!(client.join().unwrap().is_err());
    });
    assert_eq!(
        anvil.rpc().height(),
        before,
        "a request that is cut on arrival has no effect"
    );
}

#[test]
fn a_request_can_be_answered_by_another_server() {
    let (_anvil, proxy, rpc) = chain();
    let other = Anvil::start(AnvilOptions {
        chain_id: 8453,
        ..AnvilOptions::default()
    });
    proxy.on(Match::Rpc("eth_chainId"), Nth::Only(2), Action::Elsewhere(other.url()));
    let answers: Vec<Value> = (0..3).map(|_| rpc.call("eth_chainId", json!([]))).collect();
    assert_eq!(answers, ["0x7a69", "0x2105", "0x7a69"]);
}
