//! What a code means where nothing but the code is known.

use serde_json::{Value, json};

use crate::cli::exit::Exit;
use crate::cli::failure::{self, Next};
use crate::code::{Code, Kind};

/// What is known of a code where nothing else is known.
pub(super) struct Explained {
    pub(super) code: Code,
    /// What to do, with names in capitals for values.
    pub(super) hint: String,
    /// What to run next.
    pub(super) next: Option<Next>,
    /// The option that agrees to it.
    pub(super) accept: Option<String>,
}

impl Explained {
    /// What its name alone tells.
    pub(super) fn of(code: Code) -> Self {
        let advice = failure::by_code(code);
        let accept = (code.kind() == Kind::Decision).then(|| match code.needs_value() {
            true => format!("--accept {code}=VALUE"),
            false => format!("--accept {code}"),
        });
        Self {
            code,
            hint: advice.hint,
            // Nothing comes after what forbids nothing.
            next: Some(advice.next).filter(|_| !matches!(code.kind(), Kind::Done | Kind::Note)),
            accept,
        }
    }

    /// The number that a run ends with, where the code decides it.
    pub(super) fn exit(&self) -> Option<Exit> {
        match self.code.kind() {
            Kind::Note => None,
            Kind::Signal => Some(failure::signal(self.code)),
            kind => Some(Exit::of(kind)),
        }
    }

    /// How much it weighs for whoever is about to sign, where it weighs anything there.
    pub(super) fn severity(&self) -> Option<&'static str> {
        match self.code.kind() {
            Kind::Stop => Some("stop"),
            Kind::Decision => Some("decision"),
            Kind::State => Some("state"),
            Kind::Note => Some("note"),
            _ => None,
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "code": self.code,
            "kind": kind(self.code.kind()),
            "severity": self.severity(),
            "exit": self.exit().map(Exit::code),
            "about": self.code.about(),
            "hint": self.hint,
            "next": self.next.as_ref().map(ToString::to_string),
            "accept": self.accept,
        })
    }
}

/// The kind's name.
pub(super) fn kind(kind: Kind) -> String {
    format!("{kind:?}").to_lowercase()
}

/// The codes that a run with this number may show.
pub(super) fn ending_with(exit: Exit) -> impl Iterator<Item = Explained> {
    let all = Code::ALL.iter().copied().map(Explained::of);
    all.filter(move |explained| explained.exit() == Some(exit))
}
