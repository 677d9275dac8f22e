//! Asks a committed app itself whether it serves, as often as there is time. Nothing that was committed is taken back.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::args::probing::Probing;
use crate::cli::exit::Exit;
use crate::cli::failure::{Commands as _, by_code, told};
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::http::{Endpoint, Http, Request, Retry};
use crate::upgrade::record::Effect;

/// Longest that an app is waited for, once its CVM reports the hash.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);
/// Longest wait for one answer.
const ONE: Duration = Duration::from_secs(10);
/// Largest answer that is read, bytes.
const BODY: usize = 1 << 20;

/// Asks until it answers as expected, or says what the last answer was.
///
/// # Errors
/// It never did, in words.
pub(in crate::cli) async fn ask(http: &Http, probing: &Probing, patience: Duration) -> Result<(), String> {
    let Some(url) = &probing.probe else { return Ok(()) };
    let end = Instant::now() + patience.min(PATIENCE);
    loop {
        // No key of anybody's goes along, and no redirect is followed.
        let request = Request {
            time: Some(ONE),
            body_limit: Some(BODY),
            hide_path: true,
            ..Request::new(reqwest::Method::GET, url.clone(), Retry::Once)
        };
        let found = match http.send(request).await {
            Ok(answer) if !(200..300).contains(&answer.status) => format!("it answered {}", answer.status),
            Ok(answer) => match probing.probe_expect.as_deref() {
                Some(text) if !String::from_utf8_lossy(&answer.body).contains(text) => {
                    "its answer has not the text that was expected".to_owned()
                }
                _ => return Ok(()),
            },
            Err(error) => told(&error),
        };
        if Instant::now() + PAUSE >= end {
            return Err(format!(
                "{} does not serve as expected: {found}",
                Endpoint::new(url.clone())
            ));
        }
        sleep(PAUSE).await;
    }
}

/// Asks the app of a run that made its CVM live.
pub(in crate::cli) async fn follow(
    session: &Session,
    probing: &Probing,
    patience: Duration,
    mut report: Report,
) -> Report {
    if probing.probe.is_none() || report.exit != Exit::Done || report.effects.live != Effect::Done {
        return report;
    }
    let found = ask(session.http(), probing, patience).await;
    report.set_data(
        "probe",
        &serde_json::json!({ "ok": found.is_ok(), "why": found.as_ref().err() }),
    );
    match found {
        Ok(()) => {
            report
                .page
                .facts(&[("probe", Some("the app answers as expected".to_owned()))]);
        }
        Err(why) => {
            let meant = by_code(Code::ProbeFailed);
            report.page.facts(&[("probe", Some(why.clone()))]);
            (report.exit, report.code) = (meant.exit, meant.code);
            report.message = format!("the CVM runs the new hash, and {why}");
            report.next = Some(session.typed().command(&meant.next));
            report.hint = Some(meant.hint);
        }
    }
    report
}
