//! A cloud, a chain and a service that write into every field what would deceive a person or a shell: nothing of it reaches a
//! page or a terminal as it is, and each next command is exactly the words that are meant.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::chain::liar::Liar;
use crate::cli::doors::{HOSTILE, Recorder, harmless};
use crate::harness::flow::{BINARY, Flow};
use crate::support::World;
use crate::support::command::run;
use crate::support::world::CVM;

/// A server that answers every request so.
struct Answers(String);

impl Answers {
    fn with(status: u16, body: &Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let body = body.to_string();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut part = [0; 1 << 16];
                let _read = stream.read(&mut part);
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} Odd\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nRetry-After: 0\r\nConnection: close\r\n\r\n"
                );
                let _sent = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat());
            }
        });
        Self(url)
    }
}

/// All of it in one text.
fn hostile() -> String {
    HOSTILE.join(" ")
}

/// An answer with hostile words wherever an API may have some.
fn bodies() -> Vec<(u16, Value)> {
    let text = hostile();
    let said = json!({
        "detail": text, "message": text, "error": text, "error_code": text, "request_id": text, "correlation_id": text,
        "details": [{"field": text, "message": text, "value": text}], "links": [text], "suggestions": [text],
        "items": [], "results": [], "next": text, "status": text, "name": text, "arguments": [text], "code": 1,
    });
    let listed = json!({"detail": [{"loc": [text, 0], "msg": text, "type": text}], "nonFieldErrors": [text], text.clone(): [text]});
    let mut all: Vec<(u16, Value)> = [200, 400, 401, 404, 422].map(|status| (status, said.clone())).to_vec();
    all.push((422, listed));
    all.push((200, json!(text)));
    all
}

/// Judges one run: its page, its JSON, and what `sh` makes of every command that it names. `words` were typed.
fn judge(recorder: &Recorder, command: &mut Command, words: &[&str]) {
    for as_json in [false, true] {
        let mut typed: Vec<&str> = words.to_vec();
        typed.extend(as_json.then_some("--json"));
        let mut one = Command::new(command.get_program());
        one.env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(command.get_current_dir().unwrap())
            .args(&typed);
        let output = run(&mut one);
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        harmless(&said);
        harmless(&String::from_utf8(output.stderr).unwrap());
        if !as_json {
            continue;
        }
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {said}"));
        let others = told["others"].as_array().cloned().unwrap_or_default();
        let others = others
            .iter()
            .flat_map(|one| one["commands"].as_array().cloned().unwrap_or_default());
        let all = std::iter::once(told["next"].clone()).chain(others);
        for next in all.filter_map(|next| next.as_str().map(str::to_owned)) {
            let meant = recorder.words(&next);
            let text = hostile();
            // Each word is typed, a word of our own, or the stranger's whole.
            for word in meant {
                let word = String::from_utf8(word).unwrap();
                let plain = word
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !b"$`;|&<>()".contains(&byte));
                let is_theirs = word.contains(&text);
                assert!(plain || is_theirs || typed.contains(&word.as_str()), "{next}: {word}");
            }
        }
    }
}

fn bare(flow: &Flow<'_>, changes: &[(&str, &str)]) -> Command {
    let mut command = flow.command(&[]);
    command.envs(changes.iter().copied());
    command
}

#[test]
fn sec_h2_a_hostile_cloud_and_service_reach_no_page_and_no_shell() {
    let world = World::start();
    let flow = Flow::new(&world);
    let recorder = Recorder::new();
    let compose = flow.compose.to_str().unwrap().to_owned();
    let odd = world
        .folder()
        .join(hostile().replace('/', ":").chars().take(60).collect::<String>());
    let odd = odd.to_str().unwrap().to_owned();
    let safe = world.owner.address.to_string();
    for (status, body) in bodies() {
        let answers = Answers::with(status, &body);
        let prefix = format!("{}/api/v1", answers.0);
        let service = format!("{}/tx", answers.0);
        let mut command = bare(&flow, &[("PHALA_CLOUD_API_PREFIX", &prefix)]);
        for words in [
            &["plan", "--cvm", CVM, "-c", &compose][..],
            &["cvm", "show", "--cvm", CVM],
            &["cvm", "restart", "--cvm", CVM, "--yes"],
            &["nodes"],
            &["prepare", "--cvm", CVM, "-c", &compose, "--dir", &odd],
            &["safe", "queue", &safe, "--chain-id", "31337", "--service-url", &service],
            &[
                "safe",
                "delegates",
                "list",
                &safe,
                "--chain-id",
                "31337",
                "--service-url",
                &service,
            ],
        ] {
            judge(&recorder, &mut command, words);
        }
    }
}

#[test]
fn sec_h2_a_hostile_chain_reaches_no_page_and_no_shell() {
    let world = World::start();
    let flow = Flow::new(&world);
    let recorder = Recorder::new();
    let compose = flow.compose.to_str().unwrap().to_owned();
    flow.step("prepare").exits(0);
    let dir = flow.dir.to_str().unwrap().to_owned();
    let reverts = |text: &str| {
        let mut data = alloy::primitives::hex::decode("08c379a0").unwrap();
        data.extend(alloy::sol_types::SolValue::abi_encode_params(&(text.to_owned(),)));
        json!({"error": {"code": 3, "message": text, "data": alloy::primitives::hex::encode_prefixed(data)}})
    };
    for method in [
        "eth_call",
        "eth_estimateGas",
        "eth_getBlockByNumber",
        "eth_sendRawTransaction",
        "eth_chainId",
    ] {
        let text = hostile();
        let liar = Liar::to(&world.anvil.url(), move |asked, _| {
            (asked == method).then(|| reverts(&text))
        });
        let mut command = bare(&flow, &[("ETH_RPC_URL", liar.url())]);
        for words in [
            &["plan", "--cvm", CVM, "-c", &compose][..],
            &["review", "--dir", &dir],
            &["execute", "--dir", &dir, "--signer", "env:OWNER_KEY", "--yes"],
            &["app", "show", &world.app.to_string(), "--chain-id", "31337"],
        ] {
            judge(&recorder, &mut command, words);
        }
    }
    assert!(BINARY.ends_with("countersign"));
}
