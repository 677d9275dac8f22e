//! What an RPC endpoint answers. Beside an honest one it can be missed, and it cannot change what is read: what is accepted
//! of both is what the honest one says.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use alloy::primitives::{Address, B256, U256, keccak256};
use countersign::chain::quorum::Quorum;
use countersign::chain::{AppQuery, AppState, Chain, ChainError, Options};
use countersign::http::{Http, Limits, RetryPolicy};
use countersign_fuzz::{edits, endpoint};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use url::Url;

const APP: Address = Address::repeat_byte(0xa1);
const OWNER: Address = Address::repeat_byte(0x0e);
const HASH: B256 = B256::repeat_byte(0xab);

pub(crate) struct Target {
    endpoints: [Url; 2],
    http: Http,
    input: Rc<RefCell<Vec<u8>>>,
    asked: Rc<Cell<usize>>,
    honest: Option<AppState>,
    local: LocalSet,
    runtime: Runtime,
}

impl Target {
    pub(crate) fn new() -> Self {
        let (runtime, local) = (super::runtime(), LocalSet::new());
        let (input, asked) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
        let script = (Rc::clone(&input), Rc::clone(&asked));
        let addresses = local.block_on(&runtime, async move {
            let honest = |body: &[u8]| (200, answer(body).to_string().into_bytes());
            let other = move |body: &[u8]| {
                let number = script.1.get();
                script.1.set(number + 1);
                (200, distorted(body, &script.0.borrow(), number))
            };
            [
                endpoint::serve(Rc::new(RefCell::new(Box::new(honest)))).await,
                endpoint::serve(Rc::new(RefCell::new(Box::new(other)))).await,
            ]
        });
        let mut target = Self {
            endpoints: addresses.map(|address| format!("http://{address}").parse().unwrap()),
            http: Http::new(Limits::default()).with_retries(RetryPolicy {
                attempts: 1,
                ..RetryPolicy::default()
            }),
            input,
            asked,
            honest: None,
            local,
            runtime,
        };
        target.honest = Some(target.read(&[]).expect("the honest endpoint cannot be read"));
        target
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let honest = self.honest.clone().expect("an honest reading");
        if let Ok(mut found) = self.read(input) {
            // An endpoint may know fewer blocks; that which it names is the honest one's as well.
            let (named, own) = (
                json!(found.block.hash),
                block(&json!(format!("{:#x}", found.block.number))),
            );
            assert_eq!(named, own["hash"], "a block that the honest endpoint does not have");
            found.block = honest.block;
            assert_eq!(found, honest, "one endpoint changed what both say");
        }
    }

    fn read(&self, input: &[u8]) -> Result<AppState, ChainError> {
        self.input.replace(input.to_vec());
        self.asked.set(0);
        self.local.block_on(&self.runtime, async {
            let until = tokio::time::Instant::now() + std::time::Duration::from_secs(3);
            let options = Options {
                endpoints: self.endpoints.to_vec(),
                quorum: Quorum {
                    until: Some(until),
                    ..Quorum::default()
                },
                chain_id: 31337,
                allow_unpinned: true,
            };
            let chain = Chain::connect(&options, &self.http).await?;
            chain
                .app(&AppQuery {
                    app: APP,
                    kms: None,
                    hash: Some(HASH),
                    running: Some(B256::repeat_byte(0xac)),
                    device: Some(B256::repeat_byte(0xde)),
                    os_image: None,
                    kind: true,
                })
                .await
        })
    }
}

/// The honest answer after the edits that stand in the input for the request of this number, or the input itself.
fn distorted(body: &[u8], input: &[u8], number: usize) -> Vec<u8> {
    match input {
        [] => answer(body).to_string().into_bytes(),
        [0, text @ ..] => text.to_vec(),
        [which, script @ ..] => {
            let honest = answer(body);
            match usize::from(*which) % 6 {
                0 => edits::edited(honest, script).to_string().into_bytes(),
                which if which == number + 1 => edits::edited(honest, script).to_string().into_bytes(),
                _ => honest.to_string().into_bytes(),
            }
        }
    }
}

/// A chain of one app that a key owns.
fn answer(body: &[u8]) -> Value {
    match serde_json::from_slice(body) {
        Ok(Value::Array(requests)) => requests.iter().map(one).collect(),
        Ok(request) => one(&request),
        Err(_) => Value::Null,
    }
}

fn one(request: &Value) -> Value {
    let params = &request["params"];
    let result = match request["method"].as_str().unwrap_or_default() {
        "eth_chainId" => json!("0x7a69"),
        "eth_blockNumber" => json!("0x20"),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => block(&params[0]),
        "eth_getCode" if params[0] == json!(APP) => json!("0x60016002"),
        "eth_getCode" => json!("0x"),
        "eth_getStorageAt" => json!(B256::ZERO),
        "eth_call" => return called(request, params),
        _ => return failed(request, -32601),
    };
    json!({"jsonrpc": "2.0", "id": request["id"], "result": result})
}

fn block(which: &Value) -> Value {
    let number = which.as_str().and_then(|text| text.strip_prefix("0x"));
    let number = number
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .unwrap_or(32);
    json!({
        "number": format!("{number:#x}"), "hash": B256::with_last_byte(number as u8), "timestamp": format!("{:#x}", 1_790_000_000 + number),
        "parentHash": B256::with_last_byte((number as u8).wrapping_sub(1)), "gasLimit": "0x1c9c380", "baseFeePerGas": "0x7"
    })
}

/// What the app answers, by the first four bytes of what is called.
fn called(request: &Value, params: &Value) -> Value {
    let data = params[0]["data"]
        .as_str()
        .or_else(|| params[0]["input"].as_str())
        .unwrap_or_default();
    let is = |signature: &str| data.get(2..10) == format!("{:x}", keccak256(signature)).get(..8);
    let word = |number: u64| json!(B256::from(U256::from(number)));
    let result = if is("owner()") {
        json!(OWNER.into_word())
    } else if is("pendingOwner()") {
        word(0)
    } else if is("version()") {
        word(2)
    } else if [
        "supportsInterface(bytes4)",
        "allowedComposeHashes(bytes32)",
        "allowedDeviceIds(bytes32)",
    ]
    .into_iter()
    .any(is)
    {
        word(u64::from(!data.contains(&"ab".repeat(32))))
    } else if is("allowAnyDevice()") || is("requireTcbUpToDate()") {
        word(0)
    } else {
        return failed(request, 3);
    };
    json!({"jsonrpc": "2.0", "id": request["id"], "result": result})
}

fn failed(request: &Value, code: i64) -> Value {
    json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": "execution reverted", "data": "0x"}})
}
