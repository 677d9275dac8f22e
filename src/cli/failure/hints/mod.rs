//! What can be done about each code: next step and hint, one row a code, in a file by what the code is about.
//!
//! `{name}` in a hint stands for a value of the failure at hand, and `{option}` for the option that agrees to a doubt.

mod local;
mod outside;
mod owners;
mod row;
mod upgrade;
mod usage;

use self::row::Row;
use super::verdict::{Next, Verdict, verdict};
use crate::cli::exit::Exit;
use crate::code::{Code, Kind};
use crate::text::quote;

fn rows() -> impl Iterator<Item = &'static Row> {
    let files = [usage::ROWS, local::ROWS, outside::ROWS, upgrade::ROWS, owners::ROWS];
    files.into_iter().flatten()
}

/// Next step and hint of a code, with the places of its values.
fn row(code: Code) -> (Next, &'static str) {
    let found = rows().find(|(of, ..)| *of == code);
    found.map_or((Next::Look, ""), |(_, next, hint)| (next.clone(), *hint))
}

/// What a code means whose hint names no value.
pub(super) fn said(code: Code) -> Verdict {
    about(code, &[])
}

/// What a code means, with the values that its hint names.
pub(super) fn about(code: Code, values: &[(&str, &str)]) -> Verdict {
    let (next, hint) = row(code);
    let hint = filled(hint, &[("code", code.name())]);
    verdict(Exit::of(code.kind()), code, next, filled(&hint, values))
}

/// What can be done about what needs a decision, or another world first.
pub(in crate::cli) fn decision(code: Code) -> Verdict {
    match code.kind() {
        Kind::Decision => doubt(code, None),
        // Where it ends with 6, it is a state, whatever else it is elsewhere.
        _ => ended(Exit::State, code),
    }
}

/// What can be done where a run ends with `exit`: what failed for good, whose end is not known, or what comes later.
pub(in crate::cli) fn ended(exit: Exit, code: Code) -> Verdict {
    Verdict { exit, ..said(code) }
}

/// What can be done about a doubt; `value`: what it is about, where that is known.
pub(in crate::cli) fn doubt(code: Code, value: Option<&str>) -> Verdict {
    let (next, hint) = row(code);
    if !hint.contains("{option}") {
        return said(code);
    }
    let (option, next) = match (value, next) {
        (_, Next::With(option)) if value.is_none() || !code.needs_value() => (option.to_string(), Next::With(option)),
        // A value may be a name that somebody else chose.
        (Some(value), _) => agreeing(format!("--accept {}", quote(&format!("{code}={value}")))),
        (None, next) if code.needs_value() => (format!("--accept {code}=VALUE"), next),
        (None, _) => agreeing(format!("--accept {code}")),
    };
    verdict(Exit::State, code, next, filled(hint, &[("option", &option)]))
}

/// An option that agrees, and the step that gives it.
fn agreeing(option: String) -> (String, Next) {
    (option.clone(), Next::with(option))
}

/// What a code means where nothing else is known: names in capitals stand for values.
pub(in crate::cli) fn by_code(code: Code) -> Verdict {
    let said = doubt(code, code.needs_value().then_some("VALUE"));
    Verdict {
        exit: match code.kind() {
            Kind::Signal => signal(code),
            _ => said.exit,
        },
        hint: in_capitals(&said.hint),
        ..said
    }
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

/// A hint with its values.
fn filled(hint: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(hint.to_owned(), |hint, (name, value)| {
        hint.replace(&format!("{{{name}}}"), value)
    })
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn every_code_has_one_row_and_a_hint_that_says_something() {
        let codes: BTreeSet<Code> = rows().map(|(code, ..)| *code).collect();
        assert_eq!(codes.len(), rows().count(), "a code has two rows");
        let without: Vec<&Code> = Code::ALL.iter().filter(|code| !codes.contains(code)).collect();
        assert!(without.is_empty(), "no hint: {without:?}");
        for code in Code::ALL {
            let hint = by_code(*code).hint;
            assert!(hint.split(' ').count() > 2, "{code}: {hint}");
            assert!(
                !hint.ends_with('.') && !hint.contains(['\n', '{', '}']),
                "{code}: {hint}"
            );
        }
    }

    #[test]
    fn no_code_has_the_hint_of_another() {
        let mut seen: BTreeMap<String, Code> = BTreeMap::new();
        for code in Code::ALL {
            // A hint that differs by its code's name alone is another's as well.
            let hint = by_code(*code).hint.replace(code.name(), "CODE");
            if let Some(other) = seen.insert(hint.clone(), *code) {
                panic!("{code} has the hint of {other}: {hint}");
            }
        }
    }

    #[test]
    fn what_a_person_may_agree_to_says_how() {
        for code in Code::ALL.iter().filter(|code| code.kind() == Kind::Decision) {
            let Verdict { hint, next, .. } = by_code(*code);
            let options = ["--accept", "--supersede", "--remove-in-use"];
            assert!(options.iter().any(|option| hint.contains(option)), "{code}: {hint}");
            let agrees = matches!(&next, Next::With(option) if hint.contains(option.as_ref()));
            assert!(agrees || *code == Code::AlreadySigned, "{code}: {next:?} for {hint}");
        }
    }

    #[test]
    fn a_hint_takes_the_values_of_the_case_and_leaves_no_place_empty() {
        let said = about(Code::AlreadySigned, &[("nonce", "7"), ("digest", "0xab")]);
        assert_eq!(said.hint.matches("nonce 7").count(), 2, "{}", said.hint);
        assert!(
            said.hint.contains("ALREADY_SIGNED=0xab") && !said.hint.contains('{'),
            "{}",
            said.hint
        );
        assert_eq!(said.exit, Exit::State);
    }

    #[test]
    fn a_doubt_is_agreed_to_by_its_own_option_or_by_its_code_and_value() {
        let hash = doubt(Code::BaseUnknown, Some("0xab"));
        assert_eq!(hash.next, Next::with("--accept BASE_UNKNOWN=0xab"));
        assert!(hash.hint.ends_with("--accept BASE_UNKNOWN=0xab"), "{}", hash.hint);
        assert_eq!(doubt(Code::BaseUnknown, None).next, Next::Look);
        let owner = doubt(Code::NewOwnerUnseen, Some("0xab"));
        assert_eq!(owner.next, Next::with("--accept-new-owner"));
        assert!(owner.hint.ends_with("--accept-new-owner"), "{}", owner.hint);
        let nonce = doubt(Code::SafeNonceFar, None);
        assert_eq!(nonce.next, Next::Without("--safe-nonce"));
    }
}
