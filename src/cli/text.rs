//! Text for people: aligned facts, indented blocks, foreign characters made harmless. Pure.

use std::fmt::Write as _;

/// Longest foreign text that is shown in one place, characters.
const MAX_FOREIGN: usize = 200;

/// Whether a terminal could be made to lie by it: control characters, bidirectional overrides, invisible ones.
pub(super) fn is_hazard(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}')
        || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` on one line with every hazard written out.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if is_hazard(c) {
            out.extend(c.escape_unicode())
        } else {
            out.push(c)
        }
        out
    })
}

/// As [`escape`], at most as long as one line should be.
pub(super) fn shorten(text: &str) -> String {
    let escaped = escape(text);
    if escaped.chars().count() <= MAX_FOREIGN {
        return escaped;
    }
    escaped.chars().take(MAX_FOREIGN).chain(['…']).collect()
}

/// JSON text in which hazards that JSON itself leaves alone are written as escapes; its value stays the same.
pub(super) fn harmless_json(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if is_hazard(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
        out
    })
}

/// What a command says to people, block by block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page {
    text: String,
}

impl Page {
    /// A line of its own.
    pub(super) fn line(&mut self, line: &str) -> &mut Self {
        self.text.push_str(&escape(line));
        self.text.push('\n');
        self
    }

    /// A heading after an empty line.
    pub(super) fn heading(&mut self, line: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(line)
    }

    /// Name and value in two columns; facts without a value are left out.
    pub(super) fn facts<N: AsRef<str>>(&mut self, facts: &[(N, Option<String>)]) -> &mut Self {
        let known = || {
            facts
                .iter()
                .filter_map(|(name, value)| value.as_ref().map(|value| (name.as_ref(), value)))
        };
        let width = known().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        for (name, value) in known() {
            // Writing to a string cannot fail.
            let _written = writeln!(self.text, "  {:width$}  {}", escape(name), escape(value));
        }
        self
    }

    /// Lines that were made elsewhere, indented; hazards are written out line by line.
    pub(super) fn block(&mut self, lines: &str) -> &mut Self {
        for line in lines.lines() {
            self.text.push_str("  ");
            self.line(line);
        }
        self
    }

    /// The text, ending in a line break unless it is empty.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a40_foreign_text_cannot_move_the_cursor_or_turn_the_line() {
        let evil = "ok\u{1b}[2Jno\u{202e}gnp\r\n\u{200b}";
        let shown = escape(evil);
        assert!(!shown.chars().any(is_hazard), "{shown}");
        assert!(shown.starts_with("ok") && shown.contains("gnp"));
    }

    #[test]
    fn a40_json_keeps_its_value_while_hazards_are_escaped() {
        let value = serde_json::json!({ "a": "x\u{202e}y\u{1b}\u{e0041}z\u{85}" });
        let json = harmless_json(&value.to_string());
        assert!(!json.chars().any(is_hazard), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
    }

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
        assert_eq!(page.as_str(), "  app       0x1\n  chain id  8453\n");
    }
}
