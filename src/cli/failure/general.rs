//! What can be done about a code where nothing but the code is known, and next steps in words.

use std::fmt;

use super::verdict::{Next, Verdict, verdict};
use super::{decision, doubt, ended, later, mismatch, table};
use crate::cli::exit::Exit;
use crate::code::{Code, Kind};
use crate::upgrade::Stop;

/// In words, where no command was typed.
impl fmt::Display for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again => f.write_str("the same command again"),
            Self::With(more) => write!(f, "the same command with {more}"),
            Self::Without(option) => write!(f, "the same command without {option}"),
            Self::Signer => f.write_str("the same command with --signer SOURCE"),
            Self::Resume => f.write_str("countersign resume"),
            Self::Command("--help") => f.write_str("countersign COMMAND --help"),
            Self::Command(command) => write!(f, "countersign {command}"),
            Self::Step(command, more) => write!(f, "countersign {command} {more}"),
            Self::Look | Self::List => f.write_str("countersign status"),
            Self::FleetStatus => f.write_str("countersign fleet status"),
            Self::Cvm => f.write_str("countersign cvm get"),
            Self::NewNonce => f.write_str("countersign execute --new-nonce"),
            Self::Explain(Some(code)) => write!(f, "countersign explain {code}"),
            Self::Explain(None) => f.write_str("countersign explain --all"),
        }
    }
}

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
