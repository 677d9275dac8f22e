//! Pages for people, as data, and set for terminals: aligned facts, indented blocks, long lines broken with their margin. Pure.
//!
//! What a page holds is made harmless by [`crate::text`], line by line. [`crate::cli::show::html`] sets the same items for
//! browsers, so that nobody sees in one what is not in the other.

use std::error::Error;

use crate::cli::show::names::Names;
use crate::text::{NO_TERMINAL, is_padded, wrap, wrap_command};
pub(in crate::cli) use crate::text::{escape, json as harmless_json};

/// Longest foreign text that is shown in one place, characters.
const MAX_FOREIGN: usize = 200;
/// Before what a line of its own goes on with.
const MARGIN: &str = "    ";
/// Before what a line of a block goes on with; no line of a difference begins so.
const BLOCK_MARGIN: &str = "  ↳ ";
/// Before each line of a text below its name; no name begins so.
const BELOW: &str = "  │ ";

/// As [`escape`], at most as long as one line should be.
pub(in crate::cli) fn shorten(text: &str) -> String {
    crate::text::shorten(text, MAX_FOREIGN)
}

/// An error and its causes on one line.
pub(in crate::cli) fn told(error: &dyn Error) -> String {
    let mut parts = vec![shorten(&error.to_string())];
    parts.extend(error.source().into_iter().flat_map(each_cause));
    parts.dedup();
    parts.join(": ")
}

/// An error, then its cause, then the cause of that.
pub(in crate::cli) fn each_cause<'e>(first: &'e (dyn Error + 'static)) -> impl Iterator<Item = String> + 'e {
    eyre::Chain::new(first).map(|error| shorten(&error.to_string()))
}

/// What a command says to people, item by item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Page {
    items: Vec<Item>,
}

/// One item of a page. Its words are harmless on a line of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) enum Item {
    /// A line of its own.
    Line(String),
    /// A line that something follows.
    Heading(String),
    /// What it comes to, as a line of its own.
    Verdict(Mood, String),
    /// A name and its value, in two columns, of which the first has so many characters.
    Fact { name: String, value: String, column: usize },
    /// An indented line.
    Remark { text: String, danger: bool },
    /// A line of somebody's text, or of a difference of two: it breaks also where no terminal says how wide it is.
    Theirs(String),
    /// A line of somebody's text below its name.
    Below(String),
    /// A command, which stays one that can be pasted, after a word about it.
    Command(String),
}

/// What a verdict says at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Mood {
    /// Everything was checked, and matches.
    Clean,
    /// It matches as far as it was checked.
    Unchecked,
    /// It cannot go on now.
    NotNow,
    /// It must not go on.
    Stop,
}

impl Item {
    fn shown(&self, width: Option<usize>) -> String {
        match self {
            Self::Line(text) | Self::Heading(text) | Self::Verdict(_, text) => own(text, width, MARGIN),
            Self::Fact { name, value, column } => {
                let margin = " ".repeat(column.saturating_add(4));
                own(&format!("  {name:column$}  {value}"), width, &margin)
            }
            Self::Remark { text, .. } => own(&format!("  {text}"), width, BLOCK_MARGIN),
            Self::Theirs(text) => theirs(&format!("  {text}"), width),
            Self::Below(text) => theirs(&format!("{BELOW}{text}"), width),
            Self::Command(text) => width.map_or_else(|| text.clone(), |width| wrap_command(text, width)),
        }
    }
}

/// Goes on behind this margin.
fn own(text: &str, width: Option<usize>, margin: &str) -> String {
    match width {
        Some(width) => wrap(text, width, margin, false),
        // Nobody knows where it will be shown, and what was searched for should be found: only what pads breaks.
        None if is_padded(text) => wrap(text, NO_TERMINAL, margin, true),
        None => text.to_owned(),
    }
}

fn theirs(text: &str, width: Option<usize>) -> String {
    wrap(text, width.unwrap_or(NO_TERMINAL), BLOCK_MARGIN, width.is_none())
}

impl Page {
    /// A line of its own.
    pub(in crate::cli) fn line(&mut self, line: &str) -> &mut Self {
        self.push(Item::Line(escape(line)))
    }

    /// A heading after an empty line.
    pub(in crate::cli) fn heading(&mut self, line: &str) -> &mut Self {
        self.gap().push(Item::Heading(escape(line)))
    }

    /// What it comes to, after an empty line.
    pub(in crate::cli) fn verdict(&mut self, mood: Mood, line: &str) -> &mut Self {
        self.gap().push(Item::Verdict(mood, escape(line)))
    }

    /// Name and value in two columns; facts without a value are left out.
    pub(in crate::cli) fn facts<N: AsRef<str>>(&mut self, facts: &[(N, Option<String>)]) -> &mut Self {
        let known = || {
            facts
                .iter()
                .filter_map(|(name, value)| value.as_ref().map(|value| (escape(name.as_ref()), value)))
        };
        let column = known().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, value) in known() {
            let value = escape(value);
            self.push(Item::Fact { name, value, column });
        }
        self
    }

    /// Lines that were made elsewhere, indented; what deceives is written out line by line.
    pub(in crate::cli) fn block(&mut self, lines: &str) -> &mut Self {
        self.each(lines.lines())
    }

    /// Remarks, one after the other, indented. A line end inside of one is written out, since it may come from a stranger.
    pub(in crate::cli) fn each(&mut self, remarks: impl IntoIterator<Item = impl AsRef<str>>) -> &mut Self {
        for remark in remarks {
            self.remark(remark.as_ref(), false);
        }
        self
    }

    /// One remark, and whether it is about what nobody should agree to without thought.
    pub(in crate::cli) fn remark(&mut self, remark: &str, danger: bool) -> &mut Self {
        let text = escape(remark);
        self.push(Item::Remark { text, danger })
    }

    /// Lines of somebody's text, or of a difference of two, indented. Only a line feed ends one.
    pub(in crate::cli) fn theirs(&mut self, lines: &str) -> &mut Self {
        self.each_line(lines, Item::Theirs)
    }

    /// Lines of somebody's text below a name, indented deeper than any name. Only a line feed ends one.
    pub(in crate::cli) fn theirs_below(&mut self, name: &str, lines: &str) -> &mut Self {
        self.block(&format!("{name}:")).each_line(lines, Item::Below)
    }

    /// A command to paste, after a word about it. Its words are quoted, and hold nothing that a terminal obeys.
    pub(in crate::cli) fn command(&mut self, word: &str, command: &str) -> &mut Self {
        self.push(Item::Command(escape(&format!("{word}: {command}"))))
    }

    /// With names beside the addresses that have one; a command and somebody's text stay as they are.
    pub(in crate::cli) fn named(&self, names: &Names) -> Self {
        let name = |item: &Item| {
            let beside = |text: &String| names.beside(text);
            match item {
                Item::Line(text) => Item::Line(beside(text)),
                Item::Heading(text) => Item::Heading(beside(text)),
                Item::Verdict(mood, text) => Item::Verdict(*mood, beside(text)),
                Item::Fact { name, value, column } => Item::Fact {
                    name: name.clone(),
                    value: beside(value),
                    column: *column,
                },
                Item::Remark { text, danger } => Item::Remark {
                    text: beside(text),
                    danger: *danger,
                },
                other => other.clone(),
            }
        };
        Self {
            items: self.items.iter().map(name).collect(),
        }
    }

    /// Whether nothing was said.
    pub(in crate::cli) const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What it says, in order.
    pub(in crate::cli) fn items(&self) -> &[Item] {
        &self.items
    }

    /// The text for a terminal of so many columns, or for none, ending in a line break unless it is empty.
    pub(in crate::cli) fn text(&self, width: Option<usize>) -> String {
        let mut text = String::new();
        for item in &self.items {
            text.push_str(&item.shown(width));
            text.push('\n');
        }
        text
    }

    fn gap(&mut self) -> &mut Self {
        if self.is_empty() { self } else { self.line("") }
    }

    fn each_line(&mut self, lines: &str, item: fn(String) -> Item) -> &mut Self {
        for line in lines.strip_suffix('\n').unwrap_or(lines).split('\n') {
            self.push(item(escape(line)));
        }
        self
    }

    fn push(&mut self, item: Item) -> &mut Self {
        self.items.push(item);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_foreign_text_is_cut_between_characters() {
        let shown = shorten(&"é".repeat(5000));
        assert_eq!(shown.chars().count(), MAX_FOREIGN + 1);
        assert!(shown.ends_with('…'));
    }

    #[test]
    fn facts_are_aligned_and_unknown_ones_left_out() {
        let mut page = Page::default();
        page.facts(&[
            ("app", Some("0x1".to_owned())),
            ("owner", None),
            ("chain id", Some("8453".to_owned())),
        ]);
        assert_eq!(page.text(None), "  app       0x1\n  chain id  8453\n");
    }

    #[test]
    fn sec_l1_no_text_of_a_stranger_begins_a_line_of_the_page() {
        const FORGED: &str = "Everything that could be checked matches";
        for filler in [" ", "#", "ab ", "漢", "x"] {
            for length in 60..100 {
                let text: String = filler.chars().cycle().take(length).chain(FORGED.chars()).collect();
                let mut page = Page::default();
                page.line(&format!("CVM {text}")).heading(&text);
                page.facts(&[("CVM", Some(text.clone()))]);
                page.block(&text).theirs(&format!("+{text}"));
                for width in [40, 80, 100] {
                    for line in page.text(Some(width)).lines() {
                        assert!(line.chars().count() <= width + 1, "{line}");
                        assert!(
                            !line.starts_with("Everything") && !line.starts_with("  Everything"),
                            "{line}"
                        );
                    }
                }
                let mut diff = Page::default();
                diff.theirs(&format!("+{text}"));
                assert!(
                    diff.text(None).lines().all(|line| line.chars().count() <= 81),
                    "{filler:?}"
                );
            }
        }
    }

    #[test]
    fn a_command_breaks_between_its_words_and_only_on_a_terminal() {
        let mut page = Page::default();
        let command = format!(
            "countersign sign '{}' --rpc-url http://127.0.0.1:8545",
            "a b ".repeat(20)
        );
        page.command("next", &command);
        assert_eq!(page.text(None), format!("next: {command}\n"));
        let shown = page.text(Some(80));
        assert_eq!(shown.replace(" \\\n    ", " "), format!("next: {command}\n"));
        assert!(shown.contains("\\\n"));
    }

    #[test]
    fn a_hash_is_found_again_in_a_page_without_a_terminal() {
        let mut page = Page::default();
        let image = format!("+    image: registry.example/team/service@sha256:{}", "0a".repeat(32));
        page.theirs(&image)
            .block(&image)
            .facts(&[("image", Some(image.clone()))]);
        assert_eq!(page.text(None).matches(&*"0a".repeat(32)).count(), 3);
    }
}
