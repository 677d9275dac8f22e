//! `GET /cvms/{id}/state` with a target: server-sent events until the CVM is there.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use serde_json::Value;

use super::Request;
use super::records;
use super::routes::Context;
use super::updates::query;

/// How often the state is looked at; the real one's least interval would only make tests slow.
const PACE: Duration = Duration::from_millis(20);

/// The stream that `request` asks for, if it asks for one.
pub(super) fn states(context: &Context, request: &Request, id: &str) -> Option<Response> {
    let target = query(request, "target")?;
    let uuid = context.find(id).ok()?.uuid;
    let context = context.clone();
    let stream = futures_util::stream::unfold(Some(context), move |context| {
        let (uuid, target) = (uuid.clone(), target.clone());
        async move {
            let context = context?;
            let state = {
                let state = context.lock();
                state.cvms.iter().find(|cvm| cvm.uuid == uuid).map(records::state)?
            };
            let there = state["status"]
                .as_str()
                .is_some_and(|status| status.eq_ignore_ascii_case(&target));
            let mut text = event("state", &state);
            if there {
                text.push_str(&event("complete", &state));
                return Some((Ok::<_, Infallible>(Bytes::from(text)), None));
            }
            tokio::time::sleep(PACE).await;
            Some((Ok(Bytes::from(text)), Some(context)))
        }
    });
    let response = Response::builder()
        .status(200)
        .header("content-type", "text/event-stream")
        .header("cache-control", "no-cache");
    Some(response.body(Body::from_stream(stream)).unwrap())
}

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}
