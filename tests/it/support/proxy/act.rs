//! One connection of the fault proxy: each request meets its rule and its gates.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::wire::{self, Buffer, Message};
use super::{Action, GateInner, Match, Moment, Release, Seen, Shared, lock};

/// Whether the connection may serve another request.
enum Next {
    Another,
    Close,
}

/// The action that a request meets, and the rule it came from.
struct Verdict {
    action: Action,
    rule: usize,
}

/// Serves one connection to its end. Faults end it early; so do errors, which are the client's to notice.
pub(super) async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Buffer::default();
    while let Ok(Next::Another) = request(&mut stream, &mut buffer, &shared).await {}
}

async fn request(stream: &mut TcpStream, buffer: &mut Buffer, shared: &Shared) -> io::Result<Next> {
    let Some(mut message) = buffer.read_head(stream).await? else {
        return Ok(Next::Close);
    };
    if shared.resets_before(&message) {
        shared.record(&message);
        return reset(stream);
    }
    if message.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    buffer.read_body(stream, &mut message, false).await?;
    shared.record(&message);
    let gates: Vec<_> = lock(&shared.gates)
        .iter()
        .filter(|gate| gate.takes(&message))
        .cloned()
        .collect();
    if pass(&gates, Moment::Arrived).await == Release::Cut {
        return reset(stream);
    }
    let verdict = shared.judge(&message);
    let next = serve_one(stream, shared, (&message, verdict), &gates).await?;
    pass(&gates, Moment::Answered).await;
    Ok(next)
}

async fn pass(gates: &[Arc<GateInner>], moment: Moment) -> Release {
    let mut outcome = Release::Go;
    for gate in gates.iter().filter(|gate| gate.moment == moment) {
        if gate.hold().await == Release::Cut {
            outcome = Release::Cut;
        }
    }
    outcome
}

/// Answers one request as its rule says.
async fn serve_one(
    stream: &mut TcpStream,
    shared: &Shared,
    (request, verdict): (&Message, Option<Verdict>),
    gates: &[Arc<GateInner>],
) -> io::Result<Next> {
    if let Some(next) = unforwarded(stream, verdict.as_ref().map(|v| &v.action)).await? {
        return Ok(next);
    }
    let action = verdict.as_ref().map(|verdict| &verdict.action);
    let upstream = match action {
        Some(Action::Elsewhere(other)) => other.as_str(),
        _ => shared.upstream.as_str(),
    };
    if let Some(Action::Delay(time)) = action {
        tokio::time::sleep(*time).await;
    }
    let first = wire::forward(upstream, request).await;
    let second = if matches!(action, Some(Action::Twice)) {
        wire::forward(upstream, request).await
    } else {
        first
    };
    let Ok(mut answer) = second else { return reset(stream) };
    if matches!(action, Some(Action::AnswerWhenMined)) {
        mined(upstream, (request, &answer)).await?;
    }
    if let Some(verdict) = &verdict {
        shared.alter(&mut answer, request, verdict);
    }
    if pass(gates, Moment::Served).await == Release::Cut {
        return reset(stream);
    }
    deliver(stream, &answer, action).await
}

/// Asks until the transaction that was sent is in a block and that block is the chain's head, or was refused. anvil shows
/// a receipt before it shows the block.
async fn mined(upstream: &str, (request, answer): (&Message, &Message)) -> io::Result<()> {
    let hash = result(answer);
    while hash.is_string() {
        let receipt = ask(upstream, request, ("eth_getTransactionReceipt", json!([hash]))).await?;
        let head = ask(upstream, request, ("eth_getBlockByNumber", json!(["latest", false]))).await?;
        if !receipt.is_null() && receipt["blockHash"] == head["hash"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// A question to the chain, sent like another request.
async fn ask(upstream: &str, like: &Message, (method, params): (&str, Value)) -> io::Result<Value> {
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let question = Message {
        body: question.to_string().into_bytes(),
        ..like.clone()
    };
    Ok(result(&wire::forward(upstream, &question).await?))
}

fn result(answer: &Message) -> Value {
    serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["result"].take()
}

/// Faults that never reach the server.
async fn unforwarded(stream: &mut TcpStream, action: Option<&Action>) -> io::Result<Option<Next>> {
    let answer = match action {
        Some(Action::ResetAfterRead | Action::ResetBefore) => return reset(stream).map(Some),
        Some(Action::Swallow) => return swallow().await.map(Some),
        Some(Action::Big(length)) => {
            wire::flood(stream, *length).await?;
            return Ok(Some(Next::Close));
        }
        Some(Action::Answer(message)) => message.clone(),
        Some(Action::Html) => Message::answer(
            200,
            &[("content-type", "text/html")],
            "<html><body>Sign in to the \x1b[31mWi-Fi</body></html>",
        ),
        Some(Action::GzipBomb) => {
            let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
            Message::answer(200, &headers, wire::gzip_bomb(4 << 20))
        }
        Some(Action::DeepJson(depth)) => {
            let body = ["[".repeat(*depth), "]".repeat(*depth)].concat();
            Message::answer(200, &[("content-type", "application/json")], body)
        }
        Some(Action::Redirect(place)) => Message::answer(307, &[("location", place)], ""),
        _ => return Ok(None),
    };
    stream.write_all(&answer.encode()).await?;
    Ok(Some(Next::Another))
}

async fn deliver(stream: &mut TcpStream, answer: &Message, action: Option<&Action>) -> io::Result<Next> {
    let length = answer.body.len();
    match action {
        Some(Action::ResetAfterForward) => return reset(stream),
        Some(Action::SwallowAfterForward) => return swallow().await,
        Some(Action::Drip(pause)) => wire::drip(stream, &answer.encode(), *pause).await?,
        Some(Action::Truncate) => {
            let mut half = answer.clone();
            half.body.truncate(length / 2);
            stream.write_all(&half.encode_with_length(length)).await?;
            return Ok(Next::Close);
        }
        Some(Action::WrongLength) => {
            stream.write_all(&answer.encode_with_length(length / 2)).await?;
            return Ok(Next::Close);
        }
        _ => stream.write_all(&answer.encode()).await?,
    }
    Ok(Next::Another)
}

fn reset(stream: &TcpStream) -> io::Result<Next> {
    stream.set_zero_linger()?;
    Ok(Next::Close)
}

async fn swallow() -> io::Result<Next> {
    // Nothing waits for the end of this: the task goes with the proxy.
    std::future::pending().await
}

impl Shared {
    fn record(&self, request: &Message) {
        let (method, path) = (request.method().to_owned(), request.path().to_owned());
        lock(&self.seen).push(Seen {
            method,
            path,
            rpc: request.rpc_methods(),
            calls: wire::rpc_calls(&request.body),
        });
    }
    /// Whether a rule resets this request by its head alone; counts it there.
    fn resets_before(&self, head: &Message) -> bool {
        let mut rules = lock(&self.rules);
        let mut found = false;
        for rule in rules
            .iter_mut()
            .filter(|rule| matches!(rule.action, Action::ResetBefore))
        {
            if !matches!(rule.matches, Match::Rpc(_)) && rule.matches.holds(head) {
                rule.hits += 1;
                found |= rule.nth.holds(rule.hits);
            }
        }
        found
    }
    /// The newest rule that matches; every matching rule counts the request.
    fn judge(&self, request: &Message) -> Option<Verdict> {
        let mut verdict = None;
        for (index, rule) in lock(&self.rules).iter_mut().enumerate() {
            let counted = matches!(rule.action, Action::ResetBefore) && !matches!(rule.matches, Match::Rpc(_));
            if counted || !rule.matches.holds(request) {
                continue;
            }
            rule.hits += 1;
            if rule.nth.holds(rule.hits) {
                verdict = Some(Verdict {
                    action: rule.action.clone(),
                    rule: index,
                });
            }
        }
        verdict
    }
    /// Changes the server's answer.
    fn alter(&self, answer: &mut Message, request: &Message, verdict: &Verdict) {
        match &verdict.action {
            Action::ForwardThenStatus(status) => answer.set_status(*status),
            Action::Body(body) => answer.body.clone_from(body),
            Action::Empty => answer.body.clear(),
            Action::Mutate(pointer, value) => self.each(answer, (request, verdict), |part, _| {
                if let Some(place) = part.pointer_mut(pointer) {
                    place.clone_from(value);
                }
            }),
            Action::WrongId => self.each(answer, (request, verdict), |part, _| {
                part["id"] = Value::from(987_654_321)
            }),
            Action::Freeze => self.each(answer, (request, verdict), |part, frozen| match frozen {
                Some(old) => part["result"] = old.clone(),
                None => *frozen = Some(part["result"].clone()),
            }),
            _ => {}
        }
    }
    /// Does `change` to the JSON answer, or in a batch to the answers of the calls that the rule is for.
    fn each(
        &self,
        answer: &mut Message,
        (request, verdict): (&Message, &Verdict),
        change: impl Fn(&mut Value, &mut Option<Value>),
    ) {
        let Ok(mut json) = serde_json::from_slice::<Value>(&answer.body) else {
            return;
        };
        let mut rules = lock(&self.rules);
        let Some(rule) = rules.get_mut(verdict.rule) else {
            return;
        };
        match &mut json {
            Value::Array(parts) if !wire::rpc_calls(&request.body).is_empty() => {
                for call in wire::rpc_calls(&request.body) {
                    let meant = !matches!(rule.matches, Match::Rpc(method) if call["method"] != method);
                    if let Some(part) = parts.iter_mut().find(|part| meant && part["id"] == call["id"]) {
                        change(part, &mut rule.frozen);
                    }
                }
            }
            whole => change(whole, &mut rule.frozen),
        }
        answer.body = json.to_string().into_bytes();
    }
}
