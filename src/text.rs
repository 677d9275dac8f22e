//! Every door through which words of strangers leave: to terminals and text pages, into JSON, HTML, Markdown, commands for
//! a shell, and what a runner of GitHub Actions reads. One list says which characters deceive.
//!
//! Leaf room, pure: nothing here prints, reads, or knows what a text is about.

#![cfg_attr(
    not(feature = "cli"),
    allow(
        dead_code,
        unused_imports,
        reason = "only the command line has pages and next commands"
    )
)]

mod deceptive;
mod names;
mod runner;
mod shell;
mod short;
mod wrap;

pub(crate) use deceptive::is_deceptive;
pub(crate) use runner::{annotation, inert, inert_json, output};
pub(crate) use shell::{Word, argument, command, option, quote, quote_os};
pub(crate) use short::short_hashes;
pub(crate) use wrap::{NO_TERMINAL, is_padded, wrap, wrap_command};

/// Key-like: this many hex digits in a row are more than an address has, so that they may be a private key, or most of
/// one.
const KEY_DIGITS: usize = 44;
/// Characters after the mark of an API key or of a webhook's secret that make it one.
const MARKED: usize = 12;
/// Words of the shortest seed phrase.
const SEED_WORDS: usize = 12;

/// `text` on one line with everything that deceives written out, as `\u{202e}`; so are letters that pose as those of another
/// script inside one word.
pub(crate) fn escape(text: &str) -> String {
    written(text, is_deceptive)
}

/// A name that something is known by, as it is shown: as [`escape`], and nothing that is all twins of Latin
/// letters.
pub(crate) fn name(text: &str) -> String {
    let foreign = || text.chars().filter(|c| c.is_alphabetic() && !c.is_ascii());
    let posing =
        !text.chars().any(|c| c.is_ascii_alphabetic()) && foreign().count() > 0 && foreign().all(names::is_twin);
    if posing {
        let shown = text.chars().map(|c| match names::is_twin(c) || is_deceptive(c) {
            true => c.escape_unicode().collect(),
            false => String::from(c),
        });
        return shown.collect();
    }
    escape(text)
}

/// As [`escape`] for a text of several lines: line feeds stay.
pub(crate) fn escape_lines(text: &str) -> String {
    written(text, |character| character != '\n' && is_deceptive(character))
}

/// As [`escape`], at most `max` characters; an escape is never cut in its middle.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max && is_plain(text) {
        return text.to_owned();
    }
    let mut safe = String::new();
    let mut count = 0_usize;
    for piece in pieces(text, is_deceptive) {
        count = count.saturating_add(piece.chars().count());
        if count > max {
            safe.push('…');
            break;
        }
        safe.push_str(&piece);
    }
    safe
}

/// JSON text in which everything that deceives, and that JSON itself leaves alone, is written as `\u` escapes; its value stays
/// the same. Line feeds between values stay.
pub(crate) fn json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for line in json.split_inclusive('\n') {
        if line.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
            out.push_str(line);
            continue;
        }
        for (character, poses) in names::marked(line) {
            if poses || (character != '\n' && is_deceptive(character)) {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            } else {
                out.push(character);
            }
        }
    }
    out
}

/// `text` as one line inside Markdown, also inside a cell of a table: it is seen as it is written, and starts nothing, no link,
/// no tag, no cell, no heading.
pub(crate) fn markdown(text: &str) -> String {
    let escaped = escape(text);
    let mut out = String::with_capacity(escaped.len());
    let mut before = ' ';
    let mut characters = escaped.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // Not every reader of tables knows a backslash before the bar.
            '|' => out.push_str("&#124;"),
            // Inside a word it starts nothing.
            '_' if before.is_alphanumeric() && characters.peek().is_some_and(|next| next.is_alphanumeric()) => {
                out.push('_');
            }
            '\\' | '`' | '*' | '_' | '~' | '#' | '!' | '[' | ']' | '$' => out.extend(['\\', character]),
            // At the start of a line they make lists, headings and rules.
            '-' | '+' | '=' if out.is_empty() => out.extend(['\\', character]),
            // After a bracket it is the target of a link for some readers, though the bracket is escaped.
            '(' if before == ']' => out.push_str("\\("),
            // A bare address becomes a link.
            '/' if before == ':' => out.push_str("&#47;"),
            '@' => out.push_str("&#64;"),
            '.' if is_number(&out) || ends_in_www(&out) => out.push_str("\\."),
            other => out.push(other),
        }
        before = character;
    }
    out
}

/// `text` as one line inside HTML, also inside a quoted attribute: it is seen as it is written, and starts nothing, no tag, no
/// entity, no attribute.
pub(crate) fn html(text: &str) -> String {
    let escaped = escape(text);
    let mut out = String::with_capacity(escaped.len());
    for character in escaped.chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// `text` as a fenced block of Markdown; the fence is longer than any inside.
pub(crate) fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.saturating_add(1).max(3));
    format!("{fence}{language}\n{}\n{fence}", escape_lines(text.trim_end()))
}

/// Whether a text holds what may be a private key, most of one, an API key, a webhook's secret or a seed phrase, whatever
/// stands around it. No message may repeat such a text.
pub(crate) fn may_hold_secret(text: &str) -> bool {
    // Blanks inside a key come from where it was copied.
    let bare: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && !is_deceptive(*c))
        .collect();
    let longest = bare.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
    let marked = |mark: &str| {
        bare.split(mark).skip(1).any(|rest| {
            let tail = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || "_-+/=".contains(*c));
            tail.count() >= MARKED
        })
    };
    longest.is_some_and(|digits| digits >= KEY_DIGITS) || marked("phak_") || marked("whsec_") || is_seed(text)
}

/// Twelve words or more, and nothing but letters in them.
fn is_seed(text: &str) -> bool {
    let words = || {
        text.split(|c: char| !c.is_ascii_alphabetic())
            .filter(|word| !word.is_empty())
    };
    let plain = |c: char| c.is_ascii_alphabetic() || c.is_whitespace() || "'\",.;:".contains(c);
    let blanks = text.split_whitespace().count();
    words().count() >= SEED_WORDS && blanks >= SEED_WORDS && text.chars().all(plain)
}

fn written(text: &str, is_written_out: impl Fn(char) -> bool + Copy) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if is_plain(line) {
            out.push_str(line);
        } else {
            out.extend(pieces(line, is_written_out));
        }
    }
    out
}

/// Whether all of it is shown as it is, as most texts are.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// The characters of `text`, each as it is shown.
fn pieces(text: &str, is_written_out: impl Fn(char) -> bool) -> impl Iterator<Item = String> {
    names::marked(text).into_iter().map(move |(character, poses)| {
        if poses || is_written_out(character) {
            character.escape_unicode().collect()
        } else {
            character.into()
        }
    })
}

fn ends_in_www(text: &str) -> bool {
    let mut last = text.bytes().rev().take(3);
    text.len() >= 3 && last.all(|byte| byte.eq_ignore_ascii_case(&b'w'))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
#[path = "text/tests.rs"]
mod tests;
