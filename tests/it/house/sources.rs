//! Sources of this repository as rules about them read them: by words and texts, without types.
#![allow(
    clippy::string_slice,
    reason = "texts are cut where a mark of one byte or a whole character was found"
)]

use std::path::{Path, PathBuf};

use crate::support::repository;

/// A word or a text of Rust; comments and characters are left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Token<'s> {
    Word(&'s str),
    Text(&'s str),
    Mark(char),
}

/// The words, texts and marks of a source, in order.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let raw = raw_text(rest);
        let (length, token) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if let Some((from, to, length)) = raw {
            (length, Some(Token::Text(&rest[from..to])))
        } else if first == '"' {
            let length = closing(rest, '"');
            (length, Some(Token::Text(&rest[1..length - 1])))
        } else if first == '\'' {
            // A character, or the tick of a lifetime.
            let inner: Vec<char> = rest.chars().skip(1).take(2).collect();
            match inner.as_slice() {
                ['\\', _] => (closing(rest, '\''), None),
                [one, '\''] => (2 + one.len_utf8(), None),
                _ => (1, None),
            }
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let end = end.unwrap_or(rest.len());
            (end, Some(Token::Word(&rest[..end])))
        } else {
            (
                first.len_utf8(),
                Some(Token::Mark(first)).filter(|_| !first.is_whitespace()),
            )
        };
        found.extend(token);
        rest = &rest[length..];
    }
    found
}

/// Where a text without escapes begins and ends inside, and its length.
fn raw_text(text: &str) -> Option<(usize, usize, usize)> {
    let marks = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let count = marks.find(|c| c != '#')?;
    marks[count..].strip_prefix('"')?;
    let from = text.find('"')? + 1;
    let end = format!("\"{}", "#".repeat(count));
    let to = from + text[from..].find(&end)?;
    Some((from, to, to + end.len()))
}

/// The length of what begins and ends with `mark`.
fn closing(text: &str, mark: char) -> usize {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return at + 1,
            _ => {}
        }
    }
    panic!("a text without an end");
}

/// Every file below a folder with this ending.
pub fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    fn below(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => below(&path, ending, found),
                false if path.to_str().unwrap().ends_with(ending) => found.push(path),
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    below(&repository().join(folder), ending, &mut found);
    assert!(!found.is_empty(), "{folder} holds no {ending}");
    found.sort();
    found
}

/// A source in two: what the program is made of, and its tests.
pub fn halves(path: &Path) -> (String, String) {
    let text = std::fs::read_to_string(path).unwrap();
    if path.to_str().unwrap().ends_with("tests.rs") {
        return (String::new(), text);
    }
    match text.split_once("#[cfg(test)]\nmod tests {") {
        Some((before, tests)) => (before.to_owned(), tests.to_owned()),
        None => (text, String::new()),
    }
}
