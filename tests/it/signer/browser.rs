//! `--signer browser` as a process: the page of a real command, played by a plain client.

use alloy::primitives::{B256, U256};
use alloy::signers::SignerSync as _;
use alloy::signers::local::PrivateKeySigner;
use serde_json::{Value, json};

use crate::harness::flow::Flow;
use crate::harness::judge::signal;
use crate::safe::upgrade::{proposal, signer, two_of_three};
use crate::support::page::{Ended, Serving, Tab};
use crate::support::{ACCOUNTS, World};

/// A prepared upgrade of a Safe with three owners, of whom two have to sign.
pub fn prepared(world: &World) -> Flow<'_> {
    let flow = Flow::new(world);
    flow.step("prepare").exits(0);
    flow
}

/// `sign` of the upgrade's proposal, with more arguments.
pub fn sign(flow: &Flow<'_>, more: &[&str]) -> std::process::Command {
    let file = flow.dir.join("proposal.json");
    let mut command = flow.command(&["sign", file.to_str().unwrap(), "--json", "--no-open"]);
    command.args(more);
    command
}

fn start(flow: &Flow<'_>, more: &[&str]) -> Serving {
    let more: Vec<&str> = ["--signer", "browser"].iter().chain(more).copied().collect();
    Serving::start(&mut sign(flow, &more))
}

fn key(index: usize) -> PrivateKeySigner {
    ACCOUNTS[index].key.parse().unwrap()
}

pub fn digest(flow: &Flow<'_>) -> B256 {
    proposal(flow)["safe"]["digests"]["safe_tx"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

fn signature(index: usize, digest: B256) -> Value {
    json!({ "result": alloy::hex::encode_prefixed(key(index).sign_hash_sync(&digest).unwrap().as_bytes()) })
}

pub fn signed_by(flow: &Flow<'_>) -> usize {
    proposal(flow)["safe"]["signatures"].as_array().unwrap().len()
}

/// Plays it up to the request, as an account; the turn and the request.
fn up_to_request(tab: &Tab, index: usize) -> (Value, Value) {
    tab.connect(ACCOUNTS[index].address);
    tab.agree(&[]);
    tab.request()
}

#[test]
fn an_owner_signs_on_the_page_and_the_proposal_has_the_signature() {
    let world = two_of_three();
    let flow = prepared(&world);
    let serving = start(&flow, &[]);
    let tab = serving.tab();
    tab.connect(ACCOUNTS[0].address);
    let view = tab.agree(&[]);
    let html = view["html"].as_str().unwrap();
    let digest = digest(&flow);
    let grouped = |hash: &str| {
        let digits: Vec<String> = hash
            .trim_start_matches("0x")
            .as_bytes()
            .chunks(4)
            .map(|four| format!("<span>{}</span>", std::str::from_utf8(four).unwrap()))
            .collect();
        digits.concat()
    };
    assert!(html.contains(&grouped(&digest.to_string())), "{html}");
    assert!(
        html.contains("<p class=\"verdict clean\">") || html.contains("<p class=\"verdict unchecked\">"),
        "{html}"
    );
    assert!(html.contains("what takes effect, by the bytes that are signed") && html.contains("who asks for what"));
    let (turn, request) = tab.request();
    assert_eq!(
        request["params"][0].as_str().unwrap().to_lowercase(),
        format!("{:#x}", ACCOUNTS[0].address)
    );
    tab.answer(&turn, signature(0, digest));
    let over = tab.at("over");
    assert_eq!(over["good"], true, "{over}");
    let ended = serving.ended().exits(0, "OK");
    assert!(
        ended.said.contains("ssh -N -L"),
        "the tunnel is told where nothing is opened"
    );
    assert_eq!(signed_by(&flow), 1);
    let kinds = flow.kinds();
    assert!(kinds.iter().any(|kind| kind == "safe.signature"), "{kinds:?}");
}

#[test]
fn who_is_no_owner_is_refused_before_any_wallet_is_asked_and_the_page_names_the_owners() {
    let world = two_of_three();
    let flow = prepared(&world);
    let serving = start(&flow, &[]);
    let tab = serving.tab();
    tab.connect(ACCOUNTS[4].address);
    let over = tab.at("over");
    assert!(
        over["said"]
            .as_str()
            .unwrap()
            .contains(&ACCOUNTS[0].address.to_string()),
        "{over}"
    );
    serving.ended().exits(5, "SIGNER_NOT_OWNER");
    assert_eq!(signed_by(&flow), 0);
    // One that is named needs no page to be refused.
    let named = format!("browser:{}", ACCOUNTS[4].address);
    let serving = Serving::start(&mut sign(&flow, &["--signer", &named]));
    serving.ended().exits(5, "SIGNER_NOT_OWNER");
}

#[test]
fn what_comes_back_wrong_or_not_at_all_ends_with_its_own_code_and_a_second_run_signs() {
    let world = two_of_three();
    let flow = prepared(&world);
    let digest = digest(&flow);
    let says = |code: i64| json!({ "error": { "code": code, "message": "as it \u{202e}says" } });
    let cases: [(&str, Value, i32, &str); 5] = [
        ("refused", says(4001), 6, "WALLET_REFUSED"),
        ("busy", says(-32002), 6, "WALLET_BUSY"),
        ("an error", says(-32603), 75, "WALLET_FAILED"),
        ("another key", signature(1, digest), 5, "SIGNATURE_MISMATCH"),
        ("no signature", json!({ "result": "0x12" }), 3, "WALLET_ANSWER"),
    ];
    for (why, answer, exit, code) in cases {
        let serving = start(&flow, &[]);
        let tab = serving.tab();
        let (turn, _) = up_to_request(&tab, 0);
        tab.answer(&turn, answer);
        let over = tab.at("over");
        assert_eq!(over["good"], false, "{why}");
        let ended = serving.ended().exits(exit, code);
        assert!(!ended.said.contains('\u{202e}'), "{why}");
        assert_eq!(signed_by(&flow), 0, "{why}");
    }
    let serving = start(&flow, &[]);
    let tab = serving.tab();
    tab.connect(ACCOUNTS[0].address);
    let turn = tab.at("consent")["turn"].clone();
    assert_eq!(tab.say("/decline", &json!({ "turn": turn })).0, 200);
    serving.ended().exits(6, "DECLINED");
    let serving = start(&flow, &[]);
    let tab = serving.tab();
    let (_, _) = up_to_request(&tab, 0);
    assert_eq!(tab.say("/leave", &json!({})).0, 200);
    serving.ended().exits(8, "PAGE_CLOSED");
    let nobody = Serving::start(&mut sign(&flow, &["--signer", "browser", "--timeout", "3s"]));
    nobody.ended().exits(8, "PAGE_TIMEOUT");
    signs(&flow, 0);
}

/// Signs with the page of a new run.
fn signs(flow: &Flow<'_>, index: usize) -> Ended {
    let before = signed_by(flow);
    let serving = start(flow, &[]);
    let tab = serving.tab();
    let (turn, _) = up_to_request(&tab, index);
    tab.answer(&turn, signature(index, digest(flow)));
    let ended = serving.ended().exits(0, "OK");
    assert_eq!(signed_by(flow), before + 1);
    ended
}

#[test]
fn killed_between_request_and_answer_it_asks_again_and_signs_the_same() {
    let world = two_of_three();
    let flow = prepared(&world);
    let serving = start(&flow, &[]);
    let tab = serving.tab();
    let (turn, first) = up_to_request(&tab, 0);
    serving.kill();
    assert_eq!(
        tab.say("/answer", &json!({ "turn": turn, "result": "0x" })).0,
        0,
        "nobody is there"
    );
    let record = std::fs::read_to_string(world.folder().join(".local/state/countersign/signed")).unwrap();
    assert!(
        record.contains(&digest(&flow).to_string()),
        "it was written before the request was handed out"
    );
    let serving = start(&flow, &[]);
    let (turn, again) = up_to_request(&serving.tab(), 0);
    assert_eq!(first, again);
    serving.tab().answer(&turn, signature(0, digest(&flow)));
    serving.ended().exits(0, "OK");
    assert_eq!(signed_by(&flow), 1);
}

#[test]
fn an_interrupt_ends_it_at_every_stage() {
    let world = two_of_three();
    let flow = prepared(&world);
    for stage in ["account", "consent", "request"] {
        let serving = start(&flow, &[]);
        let tab = serving.tab();
        tab.at("account");
        if stage != "account" {
            tab.connect(ACCOUNTS[0].address);
            tab.at("consent");
        }
        if stage == "request" {
            tab.agree(&[]);
            tab.request();
        }
        signal(serving.child(), rustix::process::Signal::INT);
        let ended = serving.ended();
        assert_eq!(ended.exit, 130, "{stage}: {}", ended.said);
    }
    assert_eq!(signed_by(&flow), 0);
}

#[test]
fn consent_is_given_on_the_page_and_yes_never_skips_it() {
    let world = two_of_three();
    let flow = prepared(&world);
    let serving = start(&flow, &["--yes"]);
    let tab = serving.tab();
    tab.connect(ACCOUNTS[0].address);
    let turn = tab.at("consent")["turn"].clone();
    assert_eq!(
        tab.say("/request", &json!({ "turn": turn })).0,
        410,
        "nothing is handed out before"
    );
    assert_eq!(tab.say("/decline", &json!({ "turn": turn })).0, 200);
    serving.ended().exits(6, "DECLINED");
}

#[test]
fn a_rejection_and_a_second_owner_are_signed_on_pages_and_anybody_executes() {
    let world = two_of_three();
    let flow = prepared(&world);
    signs(&flow, 0);
    signs(&flow, 2);
    let dir = flow.dir.to_str().unwrap();
    let executed = flow
        .command(&["execute", "--dir", dir, "--signer", &signer(4), "--yes", "--json"])
        .output()
        .unwrap();
    assert!(
        executed.status.success(),
        "{}",
        String::from_utf8_lossy(&executed.stderr)
    );
    flow.step("wait").exits(0);
    assert_eq!(flow.announcements(), 1);

    let world = two_of_three();
    let flow = prepared(&world);
    let dir = flow.dir.to_str().unwrap().to_owned();
    let reject = ["reject", "--dir", &dir, "--signer", "browser", "--json", "--no-open"];
    let serving = Serving::start(&mut flow.command(&reject));
    let tab = serving.tab();
    let (turn, request) = up_to_request(&tab, 0);
    let document: Value = serde_json::from_str(request["params"][1].as_str().unwrap()).unwrap();
    assert_eq!(document["message"]["data"], "0x");
    let rejection = proposal(&flow)["safe"]["rejection"]["digests"]["safe_tx"].clone();
    let rejection = rejection
        .as_str()
        .map_or_else(|| typed_digest(&document), |text| text.parse().unwrap());
    tab.answer(&turn, signature(0, rejection));
    serving.ended().exits(8, "PENDING_REJECTION");
}

/// The digest of a Safe transaction without calls, from its document.
fn typed_digest(document: &Value) -> B256 {
    use alloy::primitives::{Address, keccak256};
    use alloy::sol_types::SolValue as _;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let (domain, message) = (&document["domain"], &document["message"]);
    let number = |value: &Value| text(value).parse::<U256>().unwrap();
    let address = |value: &Value| text(value).parse::<Address>().unwrap();
    let kind = keccak256("EIP712Domain(uint256 chainId,address verifyingContract)");
    let separator = keccak256((kind, number(&domain["chainId"]), address(&domain["verifyingContract"])).abi_encode());
    let kind = keccak256(
        "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice,\
         address gasToken,address refundReceiver,uint256 nonce)",
    );
    let zero = U256::ZERO;
    let head = (kind, address(&message["to"]), zero, keccak256([]), zero).abi_encode();
    let gas = (
        zero,
        zero,
        zero,
        Address::ZERO,
        Address::ZERO,
        number(&message["nonce"]),
    )
        .abi_encode();
    let message = keccak256([head, gas].concat());
    keccak256([&[0x19, 0x01][..], separator.as_slice(), message.as_slice()].concat())
}

/// `execute` of an app that account 1 owns, on a page.
fn execute(flow: &Flow<'_>) -> Serving {
    let dir = flow.dir.to_str().unwrap();
    let named = format!("browser:{}", flow.world.owner.address);
    Serving::start(&mut flow.command(&["execute", "--dir", dir, "--signer", &named, "--json", "--no-open"]))
}

/// What a wallet does with a request to send: it is sent with these changes; the hash.
fn send(flow: &Flow<'_>, request: &Value, change: impl FnOnce(&mut Value)) -> Value {
    assert_eq!(request["method"], "eth_sendTransaction");
    let mut transaction = request["params"][0].clone();
    change(&mut transaction);
    flow.world.rpc().call("eth_sendTransaction", json!([transaction]))
}

#[test]
fn a_wallet_sends_what_is_shown_with_fees_of_its_own_and_the_effect_is_proved() {
    let world = World::start();
    let flow = prepared(&world);
    let serving = execute(&flow);
    let tab = serving.tab();
    let view = tab.agree(&[]);
    assert_eq!((&view["act"], &view["chainId"]), (&json!("send"), &json!("0x7a69")));
    assert!(
        view["html"]
            .as_str()
            .unwrap()
            .contains("what takes effect, by the bytes that are signed")
    );
    let (turn, request) = tab.request();
    let kinds = flow.kinds();
    assert!(
        kinds.iter().any(|kind| kind == "sign.try"),
        "the intent is on disk before the wallet has it: {kinds:?}"
    );
    assert_eq!(
        tab.say("/request", &json!({ "turn": turn })).0,
        410,
        "it is handed out once"
    );
    let hash = send(&flow, &request, |one| {
        one["maxFeePerGas"] = json!("0x77359400");
        one["maxPriorityFeePerGas"] = json!("0x3b9aca00");
        one["gas"] = json!("0x30d40");
    });
    tab.answer(&turn, json!({ "result": hash }));
    serving.ended().exits(0, "OK");
    flow.step("wait").exits(0);
    flow.step("commit").exits(0);
    flow.landed_once();
    let signed = flow
        .journal()
        .into_iter()
        .find(|one| one["event"]["kind"] == "tx.signed" || one["kind"] == "tx.signed");
    assert!(
        signed.unwrap().to_string().contains(hash.as_str().unwrap()),
        "what the wallet sent is kept as bytes"
    );
}

#[test]
fn a_transaction_by_a_wallet_that_is_sped_up_replaced_or_dropped_is_found_by_what_it_does() {
    for how in ["sped up", "dropped", "killed"] {
        let world = World::start();
        let flow = prepared(&world);
        let rpc = world.rpc();
        if how != "killed" {
            rpc.call("evm_setAutomine", json!([false]));
            rpc.call("evm_setIntervalMining", json!([0]));
        }
        let serving = execute(&flow);
        let tab = serving.tab();
        tab.agree(&[]);
        let (turn, request) = tab.request();
        let hash = send(&flow, &request, |_| ());
        if how == "killed" {
            serving.kill();
        } else {
            tab.answer(&turn, json!({ "result": hash }));
            serving.ended();
        }
        match how {
            "sped up" => {
                let faster = send(&flow, &request, |one| {
                    one["maxFeePerGas"] = json!("0x174876e800");
                    one["maxPriorityFeePerGas"] = json!("0x174876e800");
                });
                assert_ne!(faster, hash);
            }
            "dropped" => {
                rpc.call("anvil_dropTransaction", json!([hash]));
            }
            _ => {}
        }
        if how != "killed" {
            rpc.call("evm_setAutomine", json!([true]));
            rpc.call("evm_mine", json!([]));
        }
        // No key and no page: what there is is found, and sent again where it is gone.
        let dir = flow.dir.to_str().unwrap();
        let resumed = flow
            .command(&["resume", "--dir", dir, "--json", "--yes"])
            .output()
            .unwrap();
        assert_eq!(
            resumed.status.code(),
            Some(0),
            "{how}: {}",
            String::from_utf8_lossy(&resumed.stdout)
        );
        flow.landed_once();
    }
}

#[test]
fn what_a_wallet_does_not_send_is_asked_for_again_and_what_it_sends_otherwise_stops() {
    let world = World::start();
    let flow = prepared(&world);
    let says = |code: i64| json!({ "error": { "code": code, "message": "no" } });
    let nowhere = json!({ "result": format!("0x{}", "5e".repeat(32)) });
    let cases = [
        (says(4001), 6, "WALLET_REFUSED"),
        (says(-32002), 6, "WALLET_BUSY"),
        (says(-32603), 9, "WALLET_UNKNOWN"),
        (json!({ "result": "0x12" }), 9, "WALLET_UNKNOWN"),
        (nowhere, 9, "WALLET_UNKNOWN"),
    ];
    for (answer, exit, code) in cases {
        let serving = execute(&flow);
        let tab = serving.tab();
        tab.agree(&[]);
        let (turn, _) = tab.request();
        tab.answer(&turn, answer);
        serving.ended().exits(exit, code);
        flow.nothing_happened();
    }
    let serving = execute(&flow);
    let tab = serving.tab();
    let view = tab.agree(&[]);
    assert!(view["html"].as_str().unwrap().contains("ASKED BEFORE"), "{view}");
    let (turn, request) = tab.request();
    let other = send(&flow, &request, |one| one["to"] = json!(ACCOUNTS[3].address));
    tab.answer(&turn, json!({ "result": other }));
    serving.ended().exits(5, "TX_MISMATCH");
    flow.nothing_happened();
}

#[test]
fn a_second_app_that_a_wallet_could_make_is_a_decision() {
    let world = World::start();
    let flow = Flow::new(&world);
    let dir = flow.dir.to_str().unwrap();
    let owner = ACCOUNTS[1].address;
    let deploy = || {
        let arguments =
            crate::upgrade::app_deploy::arguments(&world, owner, B256::repeat_byte(7), B256::repeat_byte(8));
        let named = format!("browser:{owner}");
        let more = ["--dir", dir, "--signer", &named, "--no-open"];
        let all: Vec<&str> = arguments.iter().map(String::as_str).chain(more).collect();
        Serving::start(&mut flow.command(&all))
    };
    let first = deploy();
    let tab = first.tab();
    let view = tab.agree(&[]);
    assert!(view["decisions"].is_null(), "{view}");
    tab.request();
    first.kill();
    let second = deploy();
    let tab = second.tab();
    let view = tab.at("consent");
    let decision = &view["decisions"][0];
    assert_eq!(decision["code"], "WALLET_ASKED_BEFORE", "{view}");
    let turn = &view["turn"];
    assert_eq!(tab.say("/agree", &json!({ "turn": turn })).0, 422);
    tab.agree(&[decision["shown"].as_str().unwrap()]);
    let (turn, request) = tab.request();
    let hash = send(&flow, &request, |_| ());
    tab.answer(&turn, json!({ "result": hash }));
    second.ended().exits(0, "OK");
}

#[test]
fn the_page_is_opened_by_way_of_a_file_that_nobody_else_reads_and_that_is_taken_away() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = two_of_three();
    let flow = prepared(&world);
    let home = world.folder();
    let tools = home.join("tools");
    std::fs::create_dir_all(&tools).unwrap();
    let opener = tools.join("xdg-open");
    let told = home.join("opened");
    let script = format!(
        "#!/bin/sh\n{{ echo \"$@\"; stat -c %a \"$1\"; cat \"$1\"; }} > {0}.new && mv {0}.new {0}\n",
        told.display()
    );
    std::fs::write(&opener, script).unwrap();
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["", "Downloads"] {
        std::fs::create_dir_all(home.join(folder)).unwrap();
        let _before = std::fs::remove_file(&told);
        let file = flow.dir.join("proposal.json");
        let mut command = flow.command(&["sign", file.to_str().unwrap(), "--json", "--signer", "browser"]);
        command
            .env("DISPLAY", ":0")
            .env("PATH", format!("{}:/usr/bin:/bin", tools.display()));
        let serving = Serving::start(&mut command);
        let opened = crate::support::until("the opener", || std::fs::read_to_string(&told).ok());
        let (arguments, rest) = opened.split_once('\n').unwrap();
        let token = serving.url.rsplit_once('#').unwrap().1;
        assert!(
            !arguments.contains(token) && rest.starts_with("600\n") && rest.contains(&serving.url),
            "{opened}"
        );
        let way = std::path::Path::new(arguments);
        assert_eq!(
            way.parent().unwrap(),
            home.join(folder).as_path().components().as_path()
        );
        let tab = serving.tab();
        tab.connect(ACCOUNTS[0].address);
        let turn = tab.at("consent")["turn"].clone();
        assert_eq!(tab.say("/decline", &json!({ "turn": turn })).0, 200);
        let ended = serving.ended().exits(6, "DECLINED");
        assert!(!ended.said.contains("ssh -N"), "it was opened here");
        assert!(!way.exists(), "it leads nowhere any more");
    }
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_asked() {
    let world = two_of_three();
    let flow = prepared(&world);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let Err(ended) = Serving::try_start(&mut sign(&flow, &["--signer", "browser", "--listen", &listen])) else {
        panic!("it is taken");
    };
    ended.exits(3, "PAGE_UNSERVED");
    let Err(ended) = Serving::try_start(&mut sign(&flow, &["--signer", "browser", "--listen", "0.0.0.0:8788"])) else {
        panic!("others could reach it");
    };
    assert_eq!(ended.exit, 2, "{}", ended.said);
}

#[test]
fn review_is_shown_in_a_browser_without_anything_to_press() {
    let world = two_of_three();
    let flow = prepared(&world);
    let file = flow.dir.join("proposal.json");
    let review = ["review", file.to_str().unwrap(), "--open", "--no-open", "--json"];
    let serving = Serving::start(&mut flow.command(&review));
    let over = serving.tab().at("over");
    let html = over["html"].as_str().unwrap();
    assert!(over["act"].is_null() && html.contains("who asks for what"), "{over}");
    let ended = serving.ended().exits(0, "OK");
    for warning in ended.json["warnings"].as_array().unwrap() {
        assert!(html.contains(warning["code"].as_str().unwrap()), "{warning}");
    }
}
