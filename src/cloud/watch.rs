//! Watching a CVM until it reaches a state: a stream of events, and questions where there is no stream.
//!
//! A stream that ends is opened again, with growing pauses; after [`MAX_FAILURES`] streams in a row that gave nothing,
//! the state is asked for in intervals instead. What no repetition cures (401, 403, 404, a target that the server does
//! not know) ends the watching. A watcher sees states, not transitions: a fast restart may show none, so whoever waits
//! for a restart compares the compose hash and the operation too.

use std::num::NonZeroUsize;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::Method;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde_json::Value;
use sse_core::{MessageEvent, SseDecoder, SseEvent};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::Refusal;
use super::{API_KEY, Client, CloudError, CvmId, CvmState};
use crate::compose::strict_json;
use crate::http::{HttpError, Kind, Retry, Secrets, Stream};

/// Largest event that is read, bytes; a larger one is left out.
const MAX_EVENT: NonZeroUsize = match NonZeroUsize::new(1 << 20) {
    Some(bytes) => bytes,
    None => NonZeroUsize::MIN,
};

/// Streams in a row that gave no event before questions take their place.
pub const MAX_FAILURES: u32 = 3;

/// Longest pause that a server gets which asks for one: the deadline ends the waiting, not the server.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Between two states, as the server takes it.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// Length of one stream, as the server takes it.
const STREAM: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(600));

/// What to watch for, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Status to wait for, for example `running`; case does not count.
    pub target: String,
    /// Time between two states, 5 to 30 seconds.
    pub interval: Duration,
    /// Length of one stream, 10 to 600 seconds; then another one is opened.
    pub stream: Duration,
    /// Time in all; without it only the target or an error ends it.
    pub deadline: Option<Duration>,
    /// First pause after a stream that failed; it doubles up to half a minute.
    pub pause: Duration,
}

/// How watching ended.
#[derive(Debug, Clone)]
pub enum Watched {
    /// The CVM is there.
    Reached(CvmState),
    /// Time is up; the last state that was seen.
    TimedOut(Option<CvmState>),
}

/// What a watcher is told on the way.
#[derive(Debug)]
pub enum News<'a> {
    /// A state.
    State(&'a CvmState),
    /// The stream ended, and is opened again after a pause.
    Again {
        /// Why.
        why: &'a str,
    },
    /// There is no stream: the state is asked for in intervals from here.
    Polling {
        /// Why.
        why: &'a str,
    },
}

impl Watch {
    /// Watches for `target`, as the official clients do by default, for as long as it takes.
    pub fn for_target(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            interval: Duration::from_secs(5),
            stream: Duration::from_secs(300),
            deadline: None,
            pause: Duration::from_secs(1),
        }
    }

    fn is_met_by(&self, state: &CvmState) -> bool {
        let status = state.status.as_deref();
        status.is_some_and(|status| status.eq_ignore_ascii_case(&self.target))
    }
}

/// What one event means to a watcher.
#[derive(Debug)]
enum Meaning {
    /// A state.
    State(CvmState),
    /// The server says that the target is reached; the state, if it says so too.
    Complete(Option<CvmState>),
    /// This stream is over.
    Over(String),
    /// Nothing that this client knows.
    Nothing,
}

/// How one stream ended.
enum Ended {
    Reached(CvmState),
    /// It gave events, or the server ended it as it should.
    Over(String),
    /// It gave nothing.
    Failed(String),
    /// It was refused for now, and this pause asked for.
    Refused(String, Duration),
    /// The server answers, but not with a stream.
    NoStream(String),
}

/// What a watcher remembers and whom it tells.
struct Watcher<'a> {
    watch: &'a Watch,
    tell: &'a mut (dyn FnMut(News<'_>) + Send),
    last: &'a mut Option<CvmState>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, watch::{Watch, Watched}};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// let watch = Watch::for_target("running");
/// if let Watched::Reached(state) = client.watch(id, &watch, &mut |news| println!("{news:?}")).await? {
///     println!("up for {:?}", state.uptime);
/// }
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/{cvm_id}/state` with `target`: server-sent events until the CVM is there.
    ///
    /// Documented as `watch_cvm_state`. `tell` hears every state and every new beginning.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409, 422, and what is wrong with the server's identity. Everything else
    /// is tried again until the deadline.
    pub async fn watch(
        &self,
        id: &CvmId,
        watch: &Watch,
        tell: &mut (dyn FnMut(News<'_>) + Send),
    ) -> Result<Watched, CloudError> {
        let end = watch.deadline.map(|deadline| Instant::now() + deadline);
        let mut last = None;
        let watcher = Watcher {
            watch,
            tell,
            last: &mut last,
        };
        let following = watcher.follow(self, id);
        let outcome = match end {
            Some(end) => timeout_at(end, following).await.ok(),
            None => Some(following.await),
        };
        match outcome {
            Some(reached) => reached.map(Watched::Reached),
            None => Ok(Watched::TimedOut(last)),
        }
    }

    /// Opens one stream.
    async fn open_states(&self, id: &CvmId, watch: &Watch) -> Result<(Stream, Secrets), CloudError> {
        let mut call = self.call(Method::GET, &["cvms", id.as_str(), "state"], Retry::Once)?;
        call.query("target", &watch.target);
        for (name, time, (least, most)) in [
            ("interval", watch.interval, INTERVAL),
            ("timeout", watch.stream, STREAM),
        ] {
            call.query(name, &time.clamp(least, most).as_secs().to_string());
        }
        // The official client sends neither this nor a version here.
        call.request.headers.remove(CONTENT_TYPE);
        let headers = &mut call.request.headers;
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        let Some(key) = &self.options.api_key else {
            return Err(CloudError::NoApiKey { request: call.name });
        };
        headers.insert(API_KEY, key.header());
        call.secrets.add(key.expose());
        Ok((self.http.open(call.request).await?, call.secrets))
    }
}

impl Watcher<'_> {
    async fn follow(mut self, client: &Client, id: &CvmId) -> Result<CvmState, CloudError> {
        let mut failures = 0;
        let mut pauses = pauses(self.watch.pause);
        loop {
            let mut asked = Duration::ZERO;
            let why = match self.stream(client, id).await? {
                Ended::Reached(state) => return Ok(state),
                Ended::Over(why) => {
                    failures = 0;
                    pauses = self::pauses(self.watch.pause);
                    why
                }
                Ended::Failed(why) => {
                    failures += 1;
                    why
                }
                Ended::Refused(why, pause) => {
                    failures += 1;
                    asked = pause;
                    why
                }
                Ended::NoStream(why) => {
                    failures = MAX_FAILURES;
                    why
                }
            };
            if failures >= MAX_FAILURES {
                (self.tell)(News::Polling { why: &why });
                sleep(asked).await;
                return self.poll(client, id).await;
            }
            (self.tell)(News::Again { why: &why });
            sleep(pauses.next().unwrap_or(self.watch.pause).max(asked)).await;
        }
    }

    /// One stream to its end.
    async fn stream(&mut self, client: &Client, id: &CvmId) -> Result<Ended, CloudError> {
        let (mut stream, secrets) = match client.open_states(id, self.watch).await {
            Ok(opened) => opened,
            Err(error) => return passing(error).map(Ended::Failed),
        };
        if stream.status != 200 || !stream.is_of_type("text/event-stream") {
            return self.no_stream(stream, &secrets).await;
        }
        // Between two events the server may be silent for one interval; twice that, and a connection is dead.
        let silence = self.watch.interval.clamp(INTERVAL.0, INTERVAL.1) * 2 + client.http.limits().total;
        let mut decoder = SseDecoder::with_limit(MAX_EVENT);
        let mut heard = false;
        loop {
            let bytes = match stream.next(silence).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok(ended(heard, "the stream ended")),
                Err(error) => return passing(error.into()).map(|why| ended(heard, &why)),
            };
            for event in events(&mut decoder, &bytes) {
                heard = true;
                match read(&event) {
                    Meaning::Nothing => {}
                    Meaning::Over(why) => return Ok(Ended::Over(why)),
                    Meaning::State(state) => {
                        if let Some(state) = self.seen(state) {
                            return Ok(Ended::Reached(state));
                        }
                    }
                    Meaning::Complete(state) => return self.completed(client, id, state).await,
                }
            }
        }
    }

    /// The server says that it is reached: believed when a state says so too.
    async fn completed(&mut self, client: &Client, id: &CvmId, said: Option<CvmState>) -> Result<Ended, CloudError> {
        let state = match said {
            Some(state) => state,
            None => match client.state(id).await {
                Ok(state) => state,
                Err(error) => return passing(error).map(Ended::Failed),
            },
        };
        Ok(match self.seen(state) {
            Some(state) => Ended::Reached(state),
            None => Ended::Over("the stream ended before the target".to_owned()),
        })
    }

    /// An answer that is no stream: a refusal, a state, or somebody else's page.
    async fn no_stream(&mut self, stream: Stream, secrets: &Secrets) -> Result<Ended, CloudError> {
        let (status, name) = (stream.status, stream.name());
        let answer = match stream.rest().await {
            Ok(answer) => answer,
            Err(error) => return passing(error.into()).map(Ended::Failed),
        };
        if status != 200 {
            let refusal = Refusal {
                request: &name,
                status,
                request_id: answer.request_id.as_deref(),
                retry_after: answer.retry_after,
                body: &answer.body,
                secrets,
            };
            let pause = answer.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
            return passing(refusal.error()).map(|why| Ended::Refused(why, pause));
        }
        if let Ok(state @ Value::Object(_)) = strict_json(&answer.body, answer.body.len())
            && let Some(state) = self.seen(CvmState::read(&state))
        {
            return Ok(Ended::Reached(state));
        }
        Ok(Ended::NoStream("the server gives no stream".to_owned()))
    }

    /// Asks in intervals.
    async fn poll(&mut self, client: &Client, id: &CvmId) -> Result<CvmState, CloudError> {
        loop {
            match client.state(id).await {
                Ok(state) => {
                    if let Some(state) = self.seen(state) {
                        return Ok(state);
                    }
                }
                Err(error) => {
                    let why = passing(error)?;
                    (self.tell)(News::Again { why: &why });
                }
            }
            sleep(self.watch.interval).await;
        }
    }

    /// Tells a state; gives it back when it is the one that was waited for.
    fn seen(&mut self, state: CvmState) -> Option<CvmState> {
        (self.tell)(News::State(&state));
        let there = self.watch.is_met_by(&state);
        *self.last = Some(state.clone());
        there.then_some(state)
    }
}

/// Complete events in `bytes` and what came before; those that are too large are left out.
fn events(decoder: &mut SseDecoder, mut bytes: &[u8]) -> Vec<MessageEvent> {
    let mut events = Vec::new();
    while let Some(event) = decoder.next(&mut bytes) {
        if let Ok(SseEvent::Message(event)) = event {
            events.push(event);
        }
    }
    events
}

/// What an event means. Pure.
fn read(event: &MessageEvent) -> Meaning {
    let data = strict_json(event.data.as_bytes(), event.data.len()).unwrap_or(Value::Null);
    let state = data.is_object().then(|| CvmState::read(&data));
    let named = state.filter(|state| state.status.is_some());
    match &*event.event {
        // Without a name, as a proxy may rewrite it, an object with a status is still one.
        "state" | "message" => named.map_or(Meaning::Nothing, Meaning::State),
        "complete" => Meaning::Complete(named),
        "timeout" => Meaning::Over("the stream's time is up".to_owned()),
        "error" => Meaning::Over("the server reports an error".to_owned()),
        _ => Meaning::Nothing,
    }
}

fn ended(heard: bool, why: &str) -> Ended {
    if heard {
        Ended::Over(why.to_owned())
    } else {
        Ended::Failed(why.to_owned())
    }
}

/// Why something failed that another attempt may cure; anything else stays an error.
pub(super) fn passing(error: CloudError) -> Result<String, CloudError> {
    let lasting = match &error {
        CloudError::Unavailable(_) | CloudError::Unexpected { .. } => false,
        CloudError::Http(HttpError { kind, .. }) => !matches!(
            kind,
            Kind::Connect | Kind::Timeout | Kind::Broken | Kind::TooLarge { .. }
        ),
        _ => true,
    };
    if lasting { Err(error) } else { Ok(error.to_string()) }
}

/// Pauses that double from `first` to half a minute, each cut at random by up to a half.
fn pauses(first: Duration) -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::new()
        .with_min_delay(first / 2)
        .with_max_delay(Duration::from_secs(15).max(first / 2))
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
