//! The text of an `.env` file: the grammar of npm `dotenv`, minus everything in it that two readers take differently.
//!
//! Where this accepts a file, npm `dotenv` and the official SDK's `parseEnvVars` read the same names and values from it.
//! Errors name lines; no error holds a piece of the text.

use zeroize::Zeroizing;

use super::rules::{EnvError, EnvName, LineFault};

/// Reads all assignments, in order.
pub(super) fn parse(text: &str) -> Result<Vec<(EnvName, Zeroizing<String>)>, EnvError> {
    // Line ends of any system count as one, also inside quotes.
    let text = replaced(text.strip_prefix('\u{feff}').unwrap_or(text), "\r\n", "\n");
    let text = replaced(&text, "\r", "\n");
    let mut reader = Reader { rest: &text, line: 1 };
    let mut found: Vec<(EnvName, Zeroizing<String>)> = Vec::new();
    while !reader.rest.is_empty() {
        let line = reader.line;
        let fault = |why| EnvError::Line { line, why };
        if let Some((name, value)) = reader.assignment().map_err(fault)? {
            if found.iter().any(|(known, _)| *known == name) {
                return Err(fault(LineFault::Twice));
            }
            found.push((name, value));
        }
    }
    Ok(found)
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Reader<'t> {
    /// Reads one line, or the several that a quoted value spans. `None`: empty, or a comment.
    fn assignment(&mut self) -> Result<Option<(EnvName, Zeroizing<String>)>, LineFault> {
        let start = self.rest.trim_start_matches([' ', '\t']);
        if start.is_empty() || start.starts_with(['\n', '#']) {
            comment(start)?;
            self.next_line();
            return Ok(None);
        }
        let start = start
            .strip_prefix("export")
            .filter(|rest| rest.starts_with([' ', '\t']))
            .unwrap_or(start);
        let line = start.split('\n').next().unwrap_or_default();
        let (name, _) = line.split_once('=').ok_or(LineFault::NotAnAssignment)?;
        let (_, value) = start.split_once('=').ok_or(LineFault::NotAnAssignment)?;
        let name = EnvName::new(name.trim_matches([' ', '\t']))
            .ok()
            .ok_or(LineFault::Name)?;
        let opening = value.trim_start_matches([' ', '\t']);
        let value = match opening.chars().next().filter(|first| matches!(first, '"' | '\'' | '`')) {
            Some(quote) => self.quoted(opening, quote)?,
            None => {
                let value = unquoted(value.split('\n').next().unwrap_or_default())?;
                self.next_line();
                value
            }
        };
        Ok(Some((name, value)))
    }

    /// `opening` starts with `quote`. The text between the quotes is taken as it stands, except that double quotes turn
    /// `\n` and `\r` into line ends; a backslash before the quote keeps both characters and does not close.
    fn quoted(&mut self, opening: &'t str, quote: char) -> Result<Zeroizing<String>, LineFault> {
        let body = opening.strip_prefix(quote).ok_or(LineFault::OpenQuote)?;
        let mut before = quote;
        let close = body.char_indices().find(|(_, character)| {
            let closes = *character == quote && before != '\\';
            before = *character;
            closes
        });
        let (at, _) = close.ok_or(LineFault::OpenQuote)?;
        let (inside, behind) = body.split_at_checked(at).ok_or(LineFault::OpenQuote)?;
        let behind = behind.strip_prefix(quote).ok_or(LineFault::OpenQuote)?;
        let trailing = behind.split('\n').next().unwrap_or_default().trim_matches([' ', '\t']);
        if !trailing.is_empty() && !trailing.starts_with('#') {
            return Err(LineFault::AfterQuote);
        }
        comment(trailing)?;
        self.line += inside.matches('\n').count();
        self.rest = behind;
        self.next_line();
        if quote != '"' {
            return Ok(Zeroizing::new(inside.to_owned()));
        }
        plain_dollars(inside)?;
        Ok(replaced(&replaced(inside, "\\n", "\n"), "\\r", "\r"))
    }

    fn next_line(&mut self) {
        self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        self.line += 1;
    }
}

/// A value without quotes: to the end of the line, or to a comment behind white space.
fn unquoted(text: &str) -> Result<Zeroizing<String>, LineFault> {
    let value = match text.split_once('#') {
        Some((value, _)) if !value.ends_with([' ', '\t']) => return Err(LineFault::Hash),
        Some((value, rest)) => {
            comment(rest)?;
            value
        }
        None => text,
    };
    let value = value.trim_matches([' ', '\t']);
    plain_dollars(value)?;
    let odd = |character: char| character.is_whitespace() || character == '\u{feff}';
    if value.starts_with(odd) || value.ends_with(odd) {
        return Err(LineFault::Invisible);
    }
    Ok(Zeroizing::new(value.to_owned()))
}

/// No dollar sign that Compose would fill in: before a name, a brace or another one (compose-go `dotenv/parser.go`,
/// `template/template.go`).
fn plain_dollars(value: &str) -> Result<(), LineFault> {
    let fills = |next: char| next.is_ascii_alphabetic() || matches!(next, '_' | '{' | '$');
    let mut rest = value;
    while let Some((_, behind)) = rest.split_once('$') {
        if behind.starts_with(fills) {
            return Err(LineFault::Dollar);
        }
        rest = behind;
    }
    Ok(())
}

/// A comment to the end of its line. Readers in JavaScript end the line, and so the comment, at two characters more.
fn comment(text: &str) -> Result<(), LineFault> {
    let line = text.split('\n').next().unwrap_or_default();
    if line.contains(['\u{2028}', '\u{2029}']) {
        return Err(LineFault::Invisible);
    }
    Ok(())
}

/// `text` with `to`, which is no longer, in the place of `from`; in a buffer that never grows.
fn replaced(text: &str, from: &str, to: &str) -> Zeroizing<String> {
    let mut whole = Zeroizing::new(String::with_capacity(text.len()));
    for (at, part) in text.split(from).enumerate() {
        if at > 0 {
            whole.push_str(to);
        }
        whole.push_str(part);
    }
    whole
}
