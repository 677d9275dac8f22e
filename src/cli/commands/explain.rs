//! `explain`: what a stable code or an exit code means, and what to do about it. No network, no files.

mod markdown;
mod meaning;

use clap::Args;
use serde_json::{Value, json};

use self::meaning::{Explained, ending_with, kind};
use crate::cli::args::values;
use crate::cli::exit::Exit;
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::show::report::Report;
use crate::code::Code;

/// Most names that are offered in the place of one that is no code.
const MAX_NEAR: usize = 3;

/// Say what a code or an exit code means, and what to do about it
#[derive(Debug, Args)]
#[command(
    after_help = format!(
        "Examples:\n  countersign explain {}\n  countersign explain 6\n  countersign explain --all > codes.md",
        Code::HashMismatch
    )
)]
pub(in crate::cli) struct Explain {
    /// Stable code as reports and warnings name it, or the number that a run ended with
    #[arg(value_name = "CODE", required_unless_present = "all", value_parser = values::filled)]
    code: Option<String>,
    /// Print all of them, as one page of Markdown
    #[arg(long, conflicts_with = "code")]
    all: bool,
}

impl Explain {
    pub(in crate::cli) fn run(self) -> Result<Report, CliError> {
        let Some(asked) = self.code else { return Ok(all()) };
        let name = asked.trim().replace('-', "_").to_uppercase();
        if let Ok(number) = name.parse::<u8>()
            && let Some(exit) = Exit::ALL.into_iter().find(|exit| exit.code() == number)
        {
            return Ok(of_exit(exit));
        }
        match name.parse::<Code>() {
            Ok(code) => Ok(of_code(&Explained::of(code))),
            Err(_) => Err(unknown(&asked, &name)),
        }
    }
}

fn of_code(explained: &Explained) -> Report {
    let code = explained.code;
    let mut report = Report::done("explain", format!("{code}: {}", code.about()));
    report.page.line(&report.message).facts(&[
        ("kind", Some(kind(code.kind()))),
        (
            "exit",
            explained
                .exit()
                .map(|exit| format!("{}, {}", exit.code(), exit.meaning())),
        ),
        ("hint", Some(explained.hint.clone())),
        ("next", explained.next.as_ref().map(ToString::to_string)),
        ("accept", explained.accept.clone()),
    ]);
    report.data = Some(explained.json());
    report
}

fn of_exit(exit: Exit) -> Report {
    let mut report = Report::done("explain", format!("{}: {}", exit.code(), exit.meaning()));
    let rerun = match exit.safe_to_rerun() {
        true => "running the same command again does no harm",
        false => "running the same command again is no answer: look first",
    };
    report
        .page
        .line(&report.message)
        .line(&format!("  {rerun}"))
        .heading("codes");
    let codes: Vec<Code> = ending_with(exit).map(|explained| explained.code).collect();
    for code in &codes {
        report.page.line(&format!("  {code}: {}", code.about()));
    }
    report.data = Some(json!({
        "exit": exit.code(),
        "meaning": exit.meaning(),
        "safe_to_rerun": exit.safe_to_rerun(),
        "codes": codes,
    }));
    report
}

fn all() -> Report {
    let mut report = Report::done("explain", "made");
    let codes: Vec<Value> = Code::ALL.iter().map(|code| Explained::of(*code).json()).collect();
    report.data = Some(json!({ "codes": codes }));
    report.raw = Some(markdown::page());
    report
}

fn unknown(asked: &str, name: &str) -> CliError {
    let near = near(name);
    let hint = match near.as_slice() {
        [] => "`countersign explain --all` has every code".to_owned(),
        near => format!(
            "did you mean {}? `countersign explain --all` has every code",
            near.join(", ")
        ),
    };
    CliError::Usage {
        code: Code::UsageInvalidValue,
        message: format!("there is no code `{}`", crate::cli::show::text::shorten(asked)),
        hint,
        next: match near.first() {
            Some(first) => Next::Explain(Some(first.to_owned())),
            None => Next::Explain(None),
        },
    }
}

/// Codes whose names hold this one, or are written nearly so; the nearest first.
fn near(name: &str) -> Vec<&'static str> {
    let far = name.chars().count() / 4;
    let mut near: Vec<(usize, &'static str)> = Code::ALL
        .iter()
        .map(|code| code.name())
        .filter_map(|code| match code.contains(name) {
            true if !name.is_empty() => Some((0, code)),
            _ => Some(edits(name, code))
                .filter(|edits| *edits <= far)
                .map(|edits| (edits, code)),
        })
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, code)| code).take(MAX_NEAR).collect()
}

/// How many characters have to be put in, taken out or replaced to make one text of another (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, left) in one.chars().zip(1_usize..) {
        let mut next = vec![left];
        for (pair, below) in row.windows(2).zip(&other) {
            let [diagonal, over] = pair else { continue };
            let before = next.last().copied().unwrap_or_default();
            let replaced = diagonal.saturating_add(usize::from(above != *below));
            next.push(replaced.min(over.saturating_add(1)).min(before.saturating_add(1)));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure;
    use crate::code::Kind;

    #[test]
    fn every_code_has_a_page_with_nothing_left_to_fill_in() {
        for code in Code::ALL {
            let explained = Explained::of(*code);
            let text = of_code(&explained).whole().text(None);
            assert!(text.contains(code.name()) && text.contains(code.about()), "{text}");
            assert!(!text.contains('{'), "{text}");
            assert_eq!(explained.accept.is_some(), code.kind() == Kind::Decision, "{code}");
            assert_eq!(
                explained.exit().map(Exit::code),
                code.kind().exit().or(signal(*code)),
                "{code}"
            );
        }
    }

    fn signal(code: Code) -> Option<u8> {
        (code.kind() == Kind::Signal).then(|| failure::signal(code).code())
    }

    #[test]
    fn every_page_says_what_to_do_and_one_that_decides_something_what_to_run() {
        for code in Code::ALL {
            let Explained { hint, next, .. } = Explained::of(*code);
            let decides = !matches!(code.kind(), Kind::Done | Kind::Note);
            assert!(!hint.is_empty(), "{code}");
            assert_eq!(next.is_some(), decides, "{code}");
        }
    }

    #[test]
    fn a_page_says_what_a_failure_with_that_code_says() {
        let error = crate::upgrade::UpgradeError::Decide {
            code: Code::TxGone,
            message: "x".to_owned(),
            source: None,
        };
        let said = failure::judge(&CliError::from(error));
        let explained = Explained::of(Code::TxGone);
        assert_eq!(explained.hint, said.hint);
        assert_eq!(explained.next, Some(said.next));
    }

    #[test]
    fn near_names_are_those_that_hold_it_or_are_a_slip_away() {
        assert_eq!(near("HASH_MISMACH"), ["HASH_MISMATCH"]);
        assert!(near("NONCE_FAR").contains(&"SAFE_NONCE_FAR"));
        assert_eq!(near("XYZ"), Vec::<&str>::new());
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!((edits("", "abc"), edits("abc", "")), (3, 3));
    }
}
