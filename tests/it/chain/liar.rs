//! An endpoint that answers as a node does, except where the test makes it lie.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::routing::post;
use serde_json::{Value, json};

use crate::support::{Rpc, block, runtime};

/// What a lie sees: method, parameters; for a batch as a whole `batch` and its length.
type Lie = dyn Fn(&str, &Value) -> Option<Value> + Send + Sync;

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
        let (rpc, lie): (Rpc, Arc<Lie>) = (Rpc::new(upstream), Arc::new(lie));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let answer = post(move |Json(body): Json<Value>| {
            let (rpc, lie, log) = (rpc.clone(), Arc::clone(&lie), Arc::clone(&log));
            async move { Json(answer(&rpc, &*lie, &log, body).await) }
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

async fn answer(rpc: &Rpc, lie: &Lie, log: &Mutex<Vec<String>>, body: Value) -> Value {
    match body {
        Value::Array(calls) => {
            if let Some(refused) = lie("batch", &json!(calls.len())) {
                return json!({"jsonrpc": "2.0", "id": null, "error": refused["error"]});
            }
            let mut answers = Vec::new();
            for call in calls {
                answers.push(one(rpc, lie, log, &call).await);
            }
            Value::Array(answers)
        }
        call => one(rpc, lie, log, &call).await,
    }
}

async fn one(rpc: &Rpc, lie: &Lie, log: &Mutex<Vec<String>>, call: &Value) -> Value {
    let method = call["method"].as_str().unwrap();
    log.lock().unwrap().push(method.to_owned());
    let said = match lie(method, &call["params"]) {
        Some(said) => said,
        None => match rpc.ask(method, call["params"].clone()).await {
            Ok(result) => result,
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
