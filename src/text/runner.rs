//! Text for a runner of GitHub Actions, which takes some lines of what it logs for commands, and reads the outputs of a step
//! from a file. Pure.

use std::borrow::Cow;

use super::escape;

/// What a command of a line begins with, behind blanks.
const COMMAND: &str = "::";
/// What a command of the older form begins with, anywhere in a line.
const OLD_COMMAND: &str = "##[";

/// `text` so that no runner finds a command in it: what would begin one is written out.
pub(crate) fn inert(text: &str) -> Cow<'_, str> {
    if !text.contains(COMMAND) && !text.contains(OLD_COMMAND) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    // A carriage return ends a line for a runner as well.
    for line in text.split_inclusive(['\n', '\r']) {
        let bare = line.trim_start();
        let blanks = line.strip_suffix(bare).unwrap_or_default();
        match bare.strip_prefix(COMMAND) {
            Some(rest) => out.extend([blanks, "\\u{3a}:", &rest.replace(OLD_COMMAND, "\\u{23}#[")]),
            None => out.push_str(&line.replace(OLD_COMMAND, "\\u{23}#[")),
        }
    }
    out.into()
}

/// As [`inert`] for JSON, whose value stays the same. No line of it begins with a colon.
pub(crate) fn inert_json(json: &str) -> String {
    json.replace(OLD_COMMAND, "\\u0023#[")
}

/// A command that marks a run with a message: `kind` is `error`, `warning` or `notice`.
pub(crate) fn annotation(kind: &str, properties: &[(&str, &str)], message: &str) -> String {
    let properties: Vec<String> = properties
        .iter()
        .map(|(name, value)| format!("{name}={}", data(value).replace(':', "%3A").replace(',', "%2C")))
        .collect();
    format!("::{kind} {}::{}\n", properties.join(","), data(message))
}

/// An output of a step for the file that the runner names. It ends only where a line is `delimiter`, which nobody else knows.
pub(crate) fn output(name: &str, lines: &[String], delimiter: &str) -> String {
    let lines: String = lines.iter().map(|line| escape(line) + "\n").collect();
    format!("{name}<<{delimiter}\n{lines}{delimiter}\n")
}

/// The words of a command on one line.
fn data(text: &str) -> String {
    escape(text).replace('%', "%25")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_stranger_is_a_command_to_a_runner() {
        for (text, shown) in [
            ("::add-mask::x\n", "\\u{3a}:add-mask::x\n"),
            (" \t::stop-commands::x", " \t\\u{3a}:stop-commands::x"),
            ("\u{a0}::x::", "\u{a0}\\u{3a}:x::"),
            ("a\r::set-output name=x::y", "a\r\\u{3a}:set-output name=x::y"),
            (
                "a ##[set-output name=x;]y ##[debug]",
                "a \\u{23}#[set-output name=x;]y \\u{23}#[debug]",
            ),
            ("::a ##[b]", "\\u{3a}:a \\u{23}#[b]"),
            ("###[x]", "#\\u{23}#[x]"),
        ] {
            assert_eq!(inert(text), shown, "{text:?}");
        }
        for harmless in ["a::b\n", "std::fs", "## [x]", "", "\n"] {
            assert_eq!(inert(harmless), harmless);
        }
        let json = "{\"a\":\"##[debug]x\"}";
        let (told, kept): (serde_json::Value, serde_json::Value) = (
            serde_json::from_str(&inert_json(json)).unwrap(),
            serde_json::from_str(json).unwrap(),
        );
        assert!(told == kept && !inert_json(json).contains(OLD_COMMAND));
    }

    #[test]
    fn an_annotation_is_one_command_whatever_is_in_it() {
        let evil = "a%0A\r\n::error::b,c:d";
        let told = annotation("error", &[("file", evil), ("title", "x")], evil);
        assert_eq!(told.lines().count(), 1);
        assert!(!told.trim_end().contains(['\r', '\n']));
        let (properties, message) = told.strip_prefix("::error ").unwrap().split_once("::").unwrap();
        assert_eq!(properties.matches(',').count(), 1, "{properties}");
        assert!(!properties.contains(':') && message.contains("%250A"), "{told}");
    }

    #[test]
    fn an_output_ends_where_its_delimiter_stands_and_nowhere_else() {
        let evil = "x\nEND\nother<<E\ny\nE\n".to_owned();
        let told = output("cvm", &[evil, "second".to_owned()], "END");
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 4, "{told}");
        assert_eq!((lines[0], lines[2], lines[3]), ("cvm<<END", "second", "END"));
    }
}
