//! Watching: streams in any pieces, streams that end, servers without streams.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::tests::{KEY, client, cvm_id, keyless};
use super::*;
use crate::http::fake::{self, Act, Fake, answer};
use crate::http::{Http, Limits};

/// A stream that holds every part of the format: a byte order mark, comments, all line ends, data of several lines,
/// fields without a colon or a blank, a retry time, an id, text beyond ASCII.
const STREAM_TEXT: &str = "\u{feff}: welcome\r\nevent: state\r\ndata: {\"status\":\"starting\",\r\ndata: \"boot_progress\":\"é漢\"}\r\n\r\n\
    :\n\nretry: 10\nid: 7\nevent:state\rdata:{\"status\":\"booting\"}\r\rdata\nevent: unknown\n\ndata: {\"status\":\"up\"}\n\n\
    event: complete\ndata: {\"status\":\"RUNNING\"}\r\n\r\nevent: state\ndata: {\"status\":\"never ended\"}\n";

fn decoded(pieces: &[&[u8]]) -> Vec<(String, String)> {
    let mut decoder = SseDecoder::with_limit(MAX_EVENT);
    let all = pieces.iter().flat_map(|piece| events(&mut decoder, piece));
    all.map(|event| (event.event.into_owned(), event.data)).collect()
}

#[test]
fn a_stream_gives_the_same_events_however_its_bytes_are_cut() {
    let bytes = STREAM_TEXT.as_bytes();
    let whole = decoded(&[bytes]);
    let expected = [
        ("state", "{\"status\":\"starting\",\n\"boot_progress\":\"é漢\"}"),
        ("state", "{\"status\":\"booting\"}"),
        ("unknown", ""),
        ("message", "{\"status\":\"up\"}"),
        ("complete", "{\"status\":\"RUNNING\"}"),
    ];
    let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
    assert_eq!(whole, expected);
    for first in 0..=bytes.len() {
        let (head, tail) = bytes.split_at(first);
        assert_eq!(decoded(&[head, tail]), whole, "cut at {first}");
        for second in (0..=tail.len()).step_by(7) {
            let (middle, end) = tail.split_at(second);
            assert_eq!(decoded(&[head, middle, end]), whole, "cut at {first} and {second}");
        }
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decoded(&single), whole);
}

#[test]
fn every_pair_of_bytes_is_decoded_the_same_whole_and_in_two() {
    let around = (b"event: state\ndata: x", b"\ndata: y\n\n");
    for first in 0..=u8::MAX {
        for second in 0..=u8::MAX {
            let text = [around.0.as_slice(), &[first, second], around.1].concat();
            let whole = decoded(&[&text]);
            let cut = around.0.len() + 1;
            let (head, tail) = text.split_at(cut);
            assert_eq!(decoded(&[head, tail]), whole, "{first} {second}");
            assert!((1..=2).contains(&whole.len()), "{first} {second}: {whole:?}");
        }
    }
}

#[test]
fn an_event_beyond_the_limit_is_left_out_and_the_next_one_is_read() {
    let long = "x".repeat(MAX_EVENT.get() + 1);
    let text = format!("event: state\ndata: {long}\n\nevent: state\ndata: {{}}\n\n");
    assert_eq!(decoded(&[text.as_bytes()]), [("state".to_owned(), "{}".to_owned())]);
    let endless = vec![b'x'; 4 << 20];
    assert!(decoded(&[b"data: ", &endless, &endless]).is_empty());
}

fn watch() -> Watch {
    Watch {
        pause: Duration::from_millis(2),
        deadline: Some(Duration::from_secs(180)),
        ..Watch::for_target("Running")
    }
}

fn stream(text: &str) -> Act {
    Act::Say(answer(
        200,
        "Content-Type: text/event-stream; charset=utf-8\r\n",
        text.as_bytes(),
    ))
}

fn state(status: &str) -> String {
    format!("event: state\ndata: {{\"status\":\"{status}\"}}\n\n")
}

/// What watching gave, and what was told on the way.
async fn watched(fake: &Fake, watch: &Watch) -> (Result<Watched, CloudError>, Vec<String>) {
    watched_by(&client(fake), watch).await
}

async fn watched_by(client: &Client, watch: &Watch) -> (Result<Watched, CloudError>, Vec<String>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    let mut tell = move |news: News<'_>| {
        heard.lock().unwrap().push(match news {
            News::State(state) => state.status.clone().unwrap_or_default(),
            News::Again { .. } => "again".to_owned(),
            News::Polling { .. } => "polling".to_owned(),
        });
    };
    let outcome = client.watch(&cvm_id(), watch, &mut tell).await;
    let told = told.lock().unwrap().clone();
    (outcome, told)
}

fn reached(outcome: Result<Watched, CloudError>) -> String {
    match outcome.unwrap() {
        Watched::Reached(state) => state.status.unwrap(),
        Watched::TimedOut(last) => panic!("timed out at {last:?}"),
    }
}

#[tokio::test]
async fn a_stream_is_watched_to_the_target_whatever_its_case() {
    let text = [state("starting"), state("running")].concat();
    let fake = Fake::serve(move |_, _| stream(&text)).await;
    let (outcome, told) = watched(&fake, &watch()).await;
    assert_eq!(reached(outcome), "running");
    assert_eq!(told, ["starting", "running"]);
    let [seen] = &fake.seen()[..] else {
        panic!("one request")
    };
    let line = "GET /api/v1/cvms/chipotle-prod/state?target=Running&interval=5&timeout=300";
    assert_eq!(seen.line(), line);
    assert_eq!(seen.header("accept"), Some("text/event-stream"));
    assert_eq!(seen.header("cache-control"), Some("no-cache"));
    assert!(seen.header("x-api-key").is_some());
    assert_eq!(
        (seen.header("x-phala-version"), seen.header("content-type")),
        (None, None)
    );
}

#[tokio::test]
async fn times_are_kept_within_what_the_server_takes() {
    for (asked, sent) in [(1, "interval=5&timeout=10"), (100_000, "interval=30&timeout=600")] {
        let fake = Fake::serve(|_, _| stream(&state("running"))).await;
        let watch = Watch {
            interval: Duration::from_secs(asked),
            stream: Duration::from_secs(asked),
            ..watch()
        };
        reached(watched(&fake, &watch).await.0);
        assert!(fake.seen()[0].line().ends_with(sent), "{}", fake.seen()[0].line());
    }
}

#[tokio::test]
async fn complete_alone_is_believed_only_when_a_state_says_so_too() {
    // A `complete` with the state in it, as one of the official clients reads it.
    let fake = Fake::serve(|_, _| stream("event: complete\ndata: {\"status\":\"running\"}\n\n")).await;
    assert_eq!(reached(watched(&fake, &watch()).await.0), "running");
    // A `complete` without: the state is asked for.
    let fake = Fake::serve(|number, _| match number {
        0 => stream("event: complete\ndata: {}\n\n"),
        1 => Act::Say(fake::json(200, r#"{"status":"stopping"}"#)),
        _ => stream(&state("running")),
    })
    .await;
    let (outcome, told) = watched(&fake, &watch()).await;
    assert_eq!(reached(outcome), "running");
    assert_eq!(told, ["stopping", "again", "running"]);
}

#[tokio::test]
async fn a_stream_that_ends_breaks_or_times_out_is_opened_again() {
    let fake = Fake::serve(|number, _| match number {
        0 => stream(&state("starting")),
        1 => stream(&format!("{}event: timeout\ndata: {{}}\n\n", state("starting"))),
        2 => stream(&format!(
            "{}event: error\ndata: {{\"error\":\"x\"}}\n\n",
            state("starting")
        )),
        3 => Act::Reset,
        4 => Act::Say(fake::json(503, r#"{"detail":"maintenance"}"#)),
        _ => stream(&state("running")),
    })
    .await;
    let (outcome, told) = watched(&fake, &watch()).await;
    assert_eq!(reached(outcome), "running");
    let expected = [
        "starting", "again", "starting", "again", "starting", "again", "again", "again", "running",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_no_repetition_cures_ends_the_watching_at_once() {
    for status in [400, 401, 403, 404, 409, 422] {
        let coded = r#"{"error_code":"ERR-1","message":"no"}"#;
        let fake = Fake::always(status, coded).await;
        let error = watched(&fake, &watch()).await.0.unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(fake.seen().len(), 1, "{status}");
    }
    let fake = Fake::always(200, "{}").await;
    let outcome = keyless(&fake).watch(&cvm_id(), &watch(), &mut |_| {}).await;
    assert!(matches!(outcome, Err(CloudError::NoApiKey { .. })));
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_key_that_is_refused_in_the_middle_ends_the_watching() {
    for status in [401, 403, 404] {
        let fake = Fake::serve(move |number, _| match number {
            0 => stream(&state("starting")),
            _ => Act::Say(fake::json(status, r#"{"detail":"no"}"#)),
        })
        .await;
        let (outcome, told) = watched(&fake, &watch()).await;
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(&status.to_string()), "{error}");
        assert_eq!(
            (told, fake.seen().len()),
            (vec!["starting".to_owned(), "again".to_owned()], 2)
        );
    }
}

/// The server promises a sign of life in each interval; a connection without one for longer is half open.
#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_again() {
    let head = answer_head() + &state("starting");
    let fake = Fake::serve(move |number, _| match number {
        0 => Act::Pour(head.clone().into_bytes(), Vec::new(), Duration::from_secs(3600)),
        _ => stream(&state("running")),
    })
    .await;
    let mut client = client(&fake);
    client.http = Http::new(Limits {
        total: Duration::from_millis(200),
        ..Limits::default()
    });
    let watch = Watch {
        interval: Duration::from_secs(5),
        ..watch()
    };
    let (outcome, told) = watched_by(&client, &watch).await;
    assert_eq!(reached(outcome), "running");
    assert_eq!(told, ["starting", "again", "running"]);
}

#[tokio::test]
async fn a_refused_stream_does_not_repeat_the_key() {
    let fake = Fake::always(403, &json!({"detail": format!("{KEY} may not")}).to_string()).await;
    let error = watched(&fake, &watch()).await.0.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(KEY), "{error}");
}

#[tokio::test]
async fn without_streams_the_state_is_asked_for_until_it_is_there() {
    // Too many streams of one user are answered with 429; a proxy may answer with anything.
    for status in [429, 500] {
        let fake = Fake::serve(move |_, seen| {
            Act::Say(if seen.line().contains("target=") {
                fake::json(status, r#"{"detail":"no"}"#)
            } else {
                fake::json(200, r#"{"status":"RUNNING"}"#)
            })
        })
        .await;
        let (outcome, told) = watched(&fake, &watch()).await;
        assert_eq!(reached(outcome), "RUNNING");
        assert_eq!(told, ["again", "again", "polling", "RUNNING"]);
    }
    let fake = Fake::serve(|number, _| {
        let status = if number == 0 { "starting" } else { "running" };
        Act::Say(fake::json(200, &json!({ "status": status }).to_string()))
    })
    .await;
    let (outcome, told) = watched(&fake, &watch()).await;
    assert_eq!(reached(outcome), "running");
    assert_eq!(
        told,
        ["starting", "polling", "running"],
        "one JSON object in place of a stream"
    );
}

#[tokio::test]
async fn asking_in_intervals_ends_with_the_same_refusals() {
    let fake = Fake::serve(|_, seen| {
        Act::Say(if seen.line().contains("target=") {
            fake::json(429, r#"{"detail":"no"}"#)
        } else {
            fake::json(404, r#"{"detail":"CVM not found"}"#)
        })
    })
    .await;
    let error = watched(&fake, &watch()).await.0.unwrap_err();
    assert!(matches!(error, CloudError::NotFound(_)), "{error}");
}

#[tokio::test]
async fn when_time_is_up_the_last_state_is_given() {
    let head = answer_head() + &state("starting");
    let fake = Fake::serve(move |_, _| {
        Act::Pour(
            head.clone().into_bytes(),
            b": still here\n".to_vec(),
            Duration::from_millis(5),
        )
    })
    .await;
    let watch = Watch {
        deadline: Some(Duration::from_millis(300)),
        ..watch()
    };
    let (outcome, told) = watched(&fake, &watch).await;
    match outcome.unwrap() {
        Watched::TimedOut(last) => assert_eq!(last.and_then(|state| state.status), told.last().cloned()),
        other => panic!("{other:?}"),
    }
}

fn answer_head() -> String {
    "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Type: text/event-stream\r\n\r\n".to_owned()
}
