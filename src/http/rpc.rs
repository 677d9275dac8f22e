//! JSON-RPC over [`Http`], as alloy wants a transport to be.
//!
//! alloy's own reads bodies without a limit, prints them and the URL into its errors, and takes an answer to another
//! request. It makes one attempt: who asks knows the other endpoints and how long to wait.

use std::borrow::Cow;
use std::task::{Context, Poll};
use std::time::Duration;

use alloy::rpc::json_rpc::{Id, RequestPacket, Response, ResponsePacket, ResponsePayload, RpcError};
use alloy::transports::{TransportError, TransportErrorKind, TransportFut};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tower::Service;

use super::{Answer, Endpoint, Http, Request, Retry, Secrets};

/// Longest time for one request: another endpoint may answer meanwhile.
const TIME: Duration = Duration::from_secs(10);

/// Largest answer that is read: a block with all its receipts fits.
const BODY: usize = 4 * 1024 * 1024;

/// Longest foreign text in an error, characters.
const TEXT: usize = 512;

/// Largest `data` of an error that is kept: revert reasons are far smaller.
const DATA: usize = 64 * 1024;

/// alloy's transport to one JSON-RPC endpoint, through [`Http`].
///
/// Each request is sent once. 429 and 503 become an `HttpError` with the server's delay, which
/// `TransportErrorKind::is_retry_err` and `retry_after` find; every text of the server is escaped and cut.
#[derive(Debug, Clone)]
pub struct RpcTransport {
    http: Http,
    endpoint: Endpoint,
    body: usize,
}

impl RpcTransport {
    /// A transport to `endpoint`.
    pub const fn new(http: Http, endpoint: Endpoint) -> Self {
        Self {
            http,
            endpoint,
            body: BODY,
        }
    }
    /// Reads answers of up to so many bytes.
    pub const fn reading(mut self, body: usize) -> Self {
        self.body = body;
        self
    }
    /// Where it goes.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    async fn ask(self, packet: RequestPacket) -> Result<ResponsePacket, TransportError> {
        let body = serde_json::to_vec(&packet).map_err(TransportError::ser_err)?;
        let mut request = Request::new(Method::POST, self.endpoint.url().clone(), Retry::Once);
        request
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body = Some(body);
        request.time = Some(TIME.min(self.http.limits().total));
        request.body_limit = Some(self.body);
        request.hide_path = true;
        let answer = self.http.send(request).await.map_err(TransportErrorKind::custom)?;
        let secrets = self.endpoint.secrets();
        let answered = understand(&answer, &secrets)?;
        check(&packet, safe(answered, &secrets))
    }
}

impl Service<RequestPacket> for RpcTransport {
    type Response = ResponsePacket;
    type Error = TransportError;
    type Future = TransportFut<'static>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, packet: RequestPacket) -> Self::Future {
        Box::pin(self.clone().ask(packet))
    }
}

/// Status and body to packet. Some servers send JSON-RPC errors with an HTTP status of their own.
fn understand(answer: &Answer, secrets: &Secrets) -> Result<ResponsePacket, TransportError> {
    let parsed = serde_json::from_slice::<ResponsePacket>(&answer.body);
    let fine = (200..300).contains(&answer.status);
    match parsed {
        Ok(packet) if fine => Ok(packet),
        Ok(packet) if packet.is_error() && !matches!(answer.status, 429 | 503) => Ok(packet),
        Err(error) if fine => Err(TransportError::deser_err(
            error,
            secrets.clean_bytes(&answer.body, TEXT),
        )),
        _ => Err(TransportErrorKind::http_error_with_retry_after(
            answer.status,
            secrets.clean_bytes(&answer.body, TEXT),
            answer.retry_after,
        )),
    }
}

/// Every answer must name a request, and each request has one answer.
fn check(packet: &RequestPacket, answered: ResponsePacket) -> Result<ResponsePacket, TransportError> {
    match (packet, answered) {
        (RequestPacket::Single(request), ResponsePacket::Single(response)) => {
            if response.id == *request.id() || is_nameless_error(&response) {
                Ok(ResponsePacket::Single(Response {
                    id: request.id().clone(),
                    ..response
                }))
            } else {
                Err(foreign())
            }
        }
        (RequestPacket::Batch(requests), ResponsePacket::Batch(responses)) => {
            let mut open: Vec<&Id> = requests.iter().map(|request| request.id()).collect();
            for response in &responses {
                let place = open.iter().position(|id| **id == response.id).ok_or_else(foreign)?;
                open.swap_remove(place);
            }
            match open.first() {
                Some(missing) => Err(TransportErrorKind::missing_batch_response((*missing).clone())),
                None => Ok(ResponsePacket::Batch(responses)),
            }
        }
        // One error for a whole batch: too many requests, or a batch that is too long.
        (RequestPacket::Batch(_), ResponsePacket::Single(response)) => match response.payload {
            ResponsePayload::Failure(error) => Err(RpcError::ErrorResp(error)),
            ResponsePayload::Success(_) => Err(foreign()),
        },
        (RequestPacket::Single(_), ResponsePacket::Batch(_)) => Err(foreign()),
    }
}

fn foreign() -> TransportError {
    TransportErrorKind::custom_str("the answer is to another request")
}

/// A server that could not read the request cannot name it (JSON-RPC 2.0, section 5).
const fn is_nameless_error(response: &Response) -> bool {
    matches!(response.id, Id::None) && matches!(response.payload, ResponsePayload::Failure(_))
}

/// The packet with the server's words made safe to show.
fn safe(mut packet: ResponsePacket, secrets: &Secrets) -> ResponsePacket {
    let responses = match &mut packet {
        ResponsePacket::Single(response) => std::slice::from_mut(response),
        ResponsePacket::Batch(responses) => responses,
    };
    for response in responses {
        if let ResponsePayload::Failure(error) = &mut response.payload {
            error.message = Cow::Owned(secrets.clean(&error.message, TEXT));
            error.data = error.data.take().filter(|data| is_harmless(data.get()));
        }
    }
    packet
}

/// Revert data is printable ASCII; anything else in an error is for nobody.
fn is_harmless(data: &str) -> bool {
    data.len() <= DATA && data.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
