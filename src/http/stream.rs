//! An answer that is read piece by piece as it comes, for events. One attempt; whoever reads it begins again.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;

use super::attempt::{Fault, read};
use super::{Answer, Http, HttpError, Kind, Request};

/// An answer whose body has not been read yet.
#[derive(Debug)]
pub struct Stream {
    /// Status code.
    pub status: u16,
    request: Request,
    response: Response,
    limit: usize,
    time: Duration,
}

impl Http {
    /// Sends `request` once and gives its answer as soon as its head is there.
    ///
    /// # Errors
    /// No answer began in [`super::Limits::total`], or it is a redirect.
    pub async fn open(&self, request: Request) -> Result<Stream, HttpError> {
        let left = Arc::new(AtomicBool::new(false));
        let time = request.time.unwrap_or(self.limits().total);
        self.pace.turn(request.url.url(), None).await;
        let response = match tokio::time::timeout(time, self.begin(&request, &left)).await {
            Ok(Ok(response)) => response,
            Ok(Err(fault)) => return Err(request.failed(fault, &left)),
            Err(elapsed) => return Err(request.failed(Fault::timeout(elapsed), &left)),
        };
        tracing::debug!(verb = %request.verb, host = %request.url, status = response.status().as_u16(), "opened");
        Ok(Stream {
            status: response.status().as_u16(),
            limit: request.body_limit.unwrap_or(self.limits().body),
            request,
            response,
            time,
        })
    }
}

impl Stream {
    /// Verb and path, for messages.
    pub fn name(&self) -> String {
        format!("{} {}", self.request.verb, self.request.shown_path())
    }

    /// Whether the answer says that it is of this media type, parameters aside.
    pub fn is_of_type(&self, media: &str) -> bool {
        let value = self.response.headers().get(CONTENT_TYPE);
        let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case(media)
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Nothing came for `silence`, or the connection broke.
    pub async fn next(&mut self, silence: Duration) -> Result<Option<Vec<u8>>, HttpError> {
        let left = AtomicBool::new(true);
        match tokio::time::timeout(silence, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece.map(|piece| piece.to_vec())),
            Ok(Err(error)) => Err(self.request.failed(error.into(), &left)),
            Err(elapsed) => Err(self.request.failed(Fault::timeout(elapsed), &left)),
        }
    }

    /// The whole body, when the answer turns out to be no stream.
    ///
    /// # Errors
    /// It is too long, does not end in time, or the connection broke.
    pub async fn rest(self) -> Result<Answer, HttpError> {
        let left = AtomicBool::new(true);
        match tokio::time::timeout(self.time, read(self.response, self.limit)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(fault)) => Err(self.request.failed(fault, &left)),
            Err(elapsed) => Err(self.request.failed(Fault::timeout(elapsed), &left)),
        }
    }
}

impl Fault {
    fn timeout(elapsed: tokio::time::error::Elapsed) -> Self {
        Self {
            kind: Kind::Timeout,
            source: Some(Box::new(elapsed)),
        }
    }
}
