//! What can be done about a code where nothing but the code is known.

use super::verdict::{Verdict, verdict};
use super::{decision, doubt, ended, later, mismatch, table};
use crate::cli::exit::Exit;
use crate::code::{Code, Kind};
use crate::upgrade::Stop;

/// What a code means where nothing else is known: names in capitals stand for values. `None`: what to do stands in each
/// failure's own message, as where an argument is wrong.
pub(in crate::cli) fn by_code(code: Code) -> Option<Verdict> {
    if let Some((next, hint)) = table::row(code) {
        return Some(verdict(Exit::of(code.kind()), code, next, in_capitals(hint)));
    }
    Some(match code.kind() {
        Kind::Stop => mismatch(&Stop {
            code,
            what: String::new(),
            expected: "EXPECTED".to_owned(),
            found: "FOUND".to_owned(),
            details: Vec::new(),
            origin: None,
        }),
        Kind::Decision => doubt(code, code.needs_value().then_some("VALUE")),
        Kind::State => decision(Exit::State, code),
        Kind::Failed => ended(Exit::Failed, code),
        Kind::Unknown => ended(Exit::Unknown, code),
        Kind::Later => later(code),
        _ => return None,
    })
}

/// The number that a run ends with when a signal ended it.
pub(in crate::cli) const fn signal(code: Code) -> Exit {
    match code {
        Code::SignalHangup => Exit::Hangup,
        Code::SignalQuit => Exit::Quit,
        Code::SignalTerminate => Exit::Terminate,
        _ => Exit::Interrupt,
    }
}

/// A hint with names in capitals where values stand.
fn in_capitals(hint: &str) -> String {
    let mut parts = hint.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        text.push_str(&name.to_uppercase());
        text.push_str(rest);
    }
    text
}
