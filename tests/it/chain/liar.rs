//! An endpoint that answers as a node does, except where the test makes it lie.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::routing::post;
use serde_json::{Value, json};

use crate::support::{Rpc, block, runtime};

/// What a lie sees: method, parameters; for a batch as a whole `batch` and its length.
type Lie = dyn Fn(&str, &Value) -> Option<Value> + Send + Sync;
/// What it makes of the true result of a method.
type Edit = dyn Fn(&str, &mut Value) + Send + Sync;

/// How a server answers.
struct Manner {
    lie: Box<Lie>,
    edit: Box<Edit>,
}

/// A JSON-RPC server in front of a node.
pub struct Liar {
    url: String,
    task: tokio::task::JoinHandle<()>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Liar {
    /// In front of `upstream`; `lie` gives the answer's `result`, or an object with a single key `error`, or nothing
    /// for the truth.
    pub fn to(upstream: &str, lie: impl Fn(&str, &Value) -> Option<Value> + Send + Sync + 'static) -> Self {
        Self::with(
            upstream,
            Manner {
                lie: Box::new(lie),
                edit: Box::new(|_, _| {}),
            },
        )
    }
    /// In front of `upstream`; `edit` changes its true results.
    pub fn editing(upstream: &str, edit: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> Self {
        Self::with(
            upstream,
            Manner {
                lie: Box::new(|_, _| None),
                edit: Box::new(edit),
            },
        )
    }
    fn with(upstream: &str, manner: Manner) -> Self {
        let (rpc, manner) = (Rpc::new(upstream), Arc::new(manner));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let answer = post(move |Json(body): Json<Value>| {
            let (rpc, manner, log) = (rpc.clone(), Arc::clone(&manner), Arc::clone(&log));
            async move { Json(answer(&rpc, &manner, &log, body).await) }
        });
        let app = axum::Router::new().route("/", answer.clone()).route("/{key}", answer);
        let listener = block(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = runtime().spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, task, asked }
    }
    pub fn url(&self) -> &str {
        &self.url
    }
    /// Methods so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(rpc: &Rpc, manner: &Manner, log: &Mutex<Vec<String>>, body: Value) -> Value {
    match body {
        Value::Array(calls) => {
            if let Some(refused) = (manner.lie)("batch", &json!(calls.len())) {
                return json!({"jsonrpc": "2.0", "id": null, "error": refused["error"]});
            }
            let mut answers = Vec::new();
            for call in calls {
                answers.push(one(rpc, manner, log, &call).await);
            }
            Value::Array(answers)
        }
        call => one(rpc, manner, log, &call).await,
    }
}

async fn one(rpc: &Rpc, manner: &Manner, log: &Mutex<Vec<String>>, call: &Value) -> Value {
    let method = call["method"].as_str().unwrap();
    log.lock().unwrap().push(method.to_owned());
    let said = match (manner.lie)(method, &call["params"]) {
        Some(said) => said,
        None => match rpc.ask(method, call["params"].clone()).await {
            Ok(mut result) => {
                (manner.edit)(method, &mut result);
                result
            }
            Err(error) => json!({"error": serde_json::from_str::<Value>(&error).unwrap()}),
        },
    };
    match said
        .get("error")
        .filter(|_| said.as_object().is_some_and(|fields| fields.len() == 1))
    {
        Some(error) => json!({"jsonrpc": "2.0", "id": call["id"], "error": error}),
        None => json!({"jsonrpc": "2.0", "id": call["id"], "result": said}),
    }
}
