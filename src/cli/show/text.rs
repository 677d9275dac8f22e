//! Pages for people, as data, and set for terminals: aligned facts, indented blocks, long lines broken with their margin. Pure.
//!
//! What a page holds is made harmless by [`crate::text`], line by line. [`crate::cli::show::html`] sets the same items for
//! browsers, and [`crate::cli::show::markdown`] for pages on the web, so that nobody sees in one what is not in the other.

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

/// Parameters of SGR (ECMA-48).
const BOLD: &str = "1";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
/// First words of lines, and their colours.
const MARKS: [(&str, &str); 3] = [("error", "1;31"), ("STOP", "1;31"), ("warning", "1;33")];
/// How the name of a fact begins that somebody has to see.
const WARNING_NAMES: [&str; 4] = ["NOT ", "NO ", "ANOTHER ", "DANGER"];

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
    /// It is a list for other programs too, also where it has no row.
    lists: bool,
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
    /// A line of a table.
    Row(Row),
}

/// A line of a table: in columns on a terminal, and with a tab between its cells elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Row {
    cells: Vec<String>,
    /// Characters of each column.
    widths: Vec<usize>,
    /// It names the columns, and stands on terminals only.
    is_head: bool,
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

impl Row {
    /// Its cells, as they are read by whoever sees no columns.
    pub(in crate::cli) fn cells(&self) -> &[String] {
        &self.cells
    }

    /// Whether it names the columns.
    pub(in crate::cli) const fn is_head(&self) -> bool {
        self.is_head
    }

    /// In columns; what does not fit goes on below, from cell to cell.
    fn shown(&self, width: usize) -> String {
        let (mut lines, mut line) = (Vec::new(), String::new());
        for (cell, column) in self.cells.iter().zip(&self.widths) {
            let used = line.chars().count();
            if used > 0 && used.saturating_add(cell.chars().count()) > width {
                lines.push(std::mem::replace(&mut line, MARGIN.to_owned()));
            }
            line.push_str(&format!("{cell:column$}  "));
        }
        lines.push(line);
        let lines = lines.iter().map(|line| wrap(line.trim_end(), width, MARGIN, false));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Item {
    /// What sets it apart on a terminal with colours.
    fn color(&self) -> Option<&'static str> {
        match self {
            Self::Heading(_) | Self::Row(Row { is_head: true, .. }) => Some(BOLD),
            Self::Verdict(Mood::Clean, _) => Some(GREEN),
            Self::Verdict(Mood::Unchecked | Mood::NotNow, _) => Some(YELLOW),
            Self::Verdict(Mood::Stop, _) | Self::Remark { danger: true, .. } => Some(RED),
            Self::Fact { name, .. } => WARNING_NAMES
                .iter()
                .any(|word| name.starts_with(word))
                .then_some(YELLOW),
            // Differences: of texts, and of images.
            Self::Theirs(text) | Self::Remark { text, .. } => match text.chars().next() {
                Some('+') => Some(GREEN),
                Some('-') => Some(RED),
                _ => None,
            },
            Self::Line(_) | Self::Below(_) | Self::Command(_) | Self::Row(_) => None,
        }
    }

    /// As it is set; nothing for what only terminals show.
    fn shown(&self, width: Option<usize>) -> Option<String> {
        Some(match self {
            Self::Line(text) | Self::Heading(text) | Self::Verdict(_, text) => own(text, width, MARGIN),
            Self::Fact { name, value, column } => {
                let margin = " ".repeat(column.saturating_add(4));
                own(&format!("  {name:column$}  {value}"), width, &margin)
            }
            Self::Remark { text, .. } => own(&format!("  {text}"), width, BLOCK_MARGIN),
            Self::Theirs(text) => theirs(&format!("  {text}"), width),
            Self::Below(text) => theirs(&format!("{BELOW}{text}"), width),
            Self::Command(text) => width.map_or_else(|| text.clone(), |width| wrap_command(text, width)),
            Self::Row(row) => match width {
                Some(width) => row.shown(width),
                None if row.is_head => return None,
                None => row.cells.join("\t"),
            },
        })
    }
}

/// Text in a colour, line by line, so that whatever cuts lines cuts no colour off.
fn colored(text: &str, color: &str) -> String {
    let lines = text.split('\n').map(|line| match line {
        "" => String::new(),
        line => format!("\u{1b}[{color}m{line}\u{1b}[0m"),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A line whose first word says what it is, with that word in its colour.
fn marked(text: String) -> String {
    let mark = MARKS
        .iter()
        .find_map(|(mark, color)| Some((mark, color, text.strip_prefix(mark)?)));
    match mark {
        Some((mark, color, rest)) if rest.starts_with([':', ' ']) => format!("{}{rest}", colored(mark, color)),
        _ => text,
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

    /// With names beside the addresses that have one; a command, a table and somebody's text stay as they are.
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
            lists: self.lists,
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

    /// A table: what names its columns, then its rows. A cell is text of its own.
    pub(in crate::cli) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> &mut Self {
        self.lists = true;
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        let all: Vec<Vec<String>> = std::iter::once(&head)
            .chain(rows)
            .map(|row| row.iter().map(|cell| escape(cell)).collect())
            .collect();
        let width = |column: usize| {
            let cells = all.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        for (number, cells) in all.into_iter().enumerate().filter(|_| !rows.is_empty()) {
            self.push(Item::Row(Row {
                cells,
                widths: widths.clone(),
                is_head: number == 0,
            }));
        }
        self
    }

    /// Whether it is a list for other programs too, so that nothing but its rows may stand among them.
    pub(in crate::cli) const fn is_table(&self) -> bool {
        self.lists
    }

    /// Its rows, and everything else.
    pub(in crate::cli) fn split(self) -> (Self, Self) {
        let is_row = |item: &Item| matches!(item, Item::Row(_));
        let (rows, others) = self.items.into_iter().partition(is_row);
        let page = |items| Self { items, lists: false };
        (page(rows), page(others))
    }

    /// With what another page says behind it.
    pub(in crate::cli) fn append(&mut self, other: Self) -> &mut Self {
        self.items.extend(other.items);
        self
    }

    /// The text for a terminal of so many columns, or for none, ending in a line break unless it is empty.
    pub(in crate::cli) fn text(&self, width: Option<usize>) -> String {
        self.painted(width, false)
    }

    /// As [`Self::text`], in colours or not.
    pub(in crate::cli) fn painted(&self, width: Option<usize>, color: bool) -> String {
        let mut text = String::new();
        for item in &self.items {
            let Some(shown) = item.shown(width) else { continue };
            text.push_str(&match item.color() {
                Some(style) if color => colored(&shown, style),
                None if color => marked(shown),
                _ => shown,
            });
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
