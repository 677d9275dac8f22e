//! The reference of codes as one page of Markdown: by the number that a run ends with, each code under a heading.

use std::fmt::Write as _;

use super::meaning::{Explained, ending_with};
use crate::cli::exit::Exit;
use crate::code::{Code, Kind};

const HEAD: &str = "\
# Codes

For whoever reads a failure, a warning or the `code` of `--json`, and for programs that decide by it.

Every code stands here once, under the number that a run with it ends with. Codes are append-only: a name that was
published keeps its meaning. A code that a program does not know is a failure. `countersign explain CODE` prints one of
these entries, `countersign explain --all` this page. Words in capitals stand for values of the case at hand.
";

/// The whole page.
pub(super) fn page() -> String {
    let mut page = HEAD.to_owned();
    for exit in Exit::ALL {
        section(
            &mut page,
            &format!("{}: {}", exit.code(), exit.meaning()),
            ending_with(exit),
        );
    }
    let notes = Code::ALL.iter().filter(|code| code.kind() == Kind::Note);
    let notes = notes.copied().map(Explained::of);
    section(&mut page, "Warnings and notes, which forbid nothing", notes);
    page
}

fn section(page: &mut String, title: &str, codes: impl Iterator<Item = Explained>) {
    let _infallible = write!(page, "\n## {title}\n");
    for explained in codes {
        let _infallible = write!(page, "\n### {}\n\n{}\n", explained.code, explained.code.about());
        let lines = [
            ("Severity", explained.severity().map(str::to_owned)),
            ("What to do", Some(plain(&explained.hint))),
            ("Next", explained.next.as_ref().map(|next| command(&next.to_string()))),
            (
                "Agreed to by",
                explained.accept.as_ref().map(|option| format!("`{option}`")),
            ),
        ];
        let mut lines = lines
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .peekable();
        if lines.peek().is_some() {
            page.push('\n');
        }
        for (name, value) in lines {
            let _infallible = writeln!(page, "- {name}: {value}");
        }
    }
}

/// A command as one, and words as they are.
fn command(next: &str) -> String {
    match next.starts_with("countersign ") {
        true => format!("`{next}`"),
        false => next.to_owned(),
    }
}

/// A hint as Markdown reads it: no tag, no emphasis.
fn plain(hint: &str) -> String {
    hint.replace('<', "\\<").replace('*', "\\*")
}
