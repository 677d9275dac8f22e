//! Commands that a person pastes into a POSIX shell. Pure.
//!
//! What came from outside stands in single quotes, in which a shell obeys nothing. Characters that no terminal should be
//! sent are made by `printf` from octal digits, so that a command can be shown and still gives exactly the words meant.
//! Only this program's own placeholder is left to the shell to fill in; it is one by its type, never by its looks.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::{is_deceptive, names};

/// Blanks in a row that are written as their number: they could push what follows to where it looks like a line.
const PADDING: usize = 8;
/// A line feed, as every POSIX shell starts with it: command substitution drops those at the end.
const LINE_FEED: &str = "\"${IFS#??}\"";

/// A word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// A word as it is, which may be no text.
    Given(OsString),
    /// The variable that holds an endpoint's address, which is not shown; behind an option and `=`, where it was given so.
    RpcUrl {
        /// `--rpc-url=`, or nothing.
        option: String,
    },
}

impl Word {
    /// The word as a shell reads it.
    pub(crate) fn quoted(&self) -> String {
        match self {
            Self::Given(word) => quote_os(word),
            Self::RpcUrl { option } if option.is_empty() => "\"$ETH_RPC_URL\"".to_owned(),
            Self::RpcUrl { option } => format!("{}\"$ETH_RPC_URL\"", quote(option)),
        }
    }
}

impl<W: Into<OsString>> From<W> for Word {
    fn from(word: W) -> Self {
        Self::Given(word.into())
    }
}

/// Words as one command.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a Word>) -> String {
    let words: Vec<String> = words.into_iter().map(Word::quoted).collect();
    words.join(" ")
}

/// An option and its value, so that a value that begins with `-` is no option itself.
pub(crate) fn option(name: &str, value: &str) -> String {
    let between = if value.starts_with('-') { '=' } else { ' ' };
    format!("{name}{between}{}", quote(value))
}

/// The last word of a command, which is no option although it may begin like one.
pub(crate) fn argument(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let between = if word.as_bytes().starts_with(b"-") { "-- " } else { "" };
    format!("{between}{}", quote_os(word))
}

/// One word from outside, as a shell reads it.
pub(crate) fn quote(word: &str) -> String {
    if is_plain(word) {
        return word.to_owned();
    }
    let mut quoted = Quoted::default();
    let mut blanks = 0_usize;
    for (character, poses) in names::marked(word) {
        if character == ' ' {
            blanks = blanks.saturating_add(1);
            continue;
        }
        quoted.blanks(std::mem::take(&mut blanks));
        quoted.take(character, poses);
    }
    quoted.blanks(blanks);
    quoted.end()
}

/// As [`quote`], for a name that the system gave, which may be no text.
pub(crate) fn quote_os(word: &OsStr) -> String {
    if let Some(text) = word.to_str() {
        return quote(text);
    }
    let mut quoted = Quoted::default();
    for chunk in word.as_bytes().utf8_chunks() {
        chunk
            .valid()
            .chars()
            .for_each(|character| quoted.take(character, false));
        quoted.bytes(chunk.invalid());
    }
    quoted.end()
}

/// Whether no shell sees anything in it: also not `~`, and no `=` in front, which zsh expands.
fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&byte);
    !word.is_empty() && word.bytes().all(plain) && !word.starts_with(['=', '%'])
}

/// A word that grows part by part.
#[derive(Default)]
struct Quoted {
    out: String,
    /// Inside single quotes.
    single: bool,
    /// Octal digits for `printf` that are not written yet.
    octal: String,
    /// Whether those end in a line feed.
    feeds: usize,
}

impl Quoted {
    fn take(&mut self, character: char, poses: bool) {
        if poses || is_deceptive(character) {
            self.bytes(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else if self.feeds > 0 && character.is_ascii() {
            // A line feed has to have something behind it, or the substitution drops it.
            self.bytes(&[u8::try_from(character).unwrap_or(b'?')]);
            self.flush();
        } else {
            self.flush();
            self.plain(character);
        }
    }

    fn plain(&mut self, character: char) {
        if character == '\'' {
            self.close();
            self.out.push_str("\\'");
            return;
        }
        if !self.single {
            self.single = true;
            self.out.push('\'');
        }
        self.out.push(character);
    }

    fn blanks(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        self.flush();
        if count < PADDING {
            (0..count).for_each(|_| self.plain(' '));
            return;
        }
        self.close();
        self.out.push_str(&format!("\"$(printf '%{count}s' '')\""));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.octal.push_str(&format!("\\{byte:03o}"));
            self.feeds = if *byte == b'\n' {
                self.feeds.saturating_add(1)
            } else {
                0
            };
        }
    }

    /// Writes the octal digits; line feeds at their end stand for themselves.
    fn flush(&mut self) {
        let octal = std::mem::take(&mut self.octal);
        let feeds = std::mem::take(&mut self.feeds);
        if octal.is_empty() {
            return;
        }
        self.close();
        let digits = octal.trim_end_matches("\\012");
        if !digits.is_empty() {
            self.out.push_str(&format!("\"$(printf '{digits}')\""));
        }
        self.out.push_str(&LINE_FEED.repeat(feeds));
    }

    fn close(&mut self) {
        if std::mem::take(&mut self.single) {
            self.out.push('\'');
        }
    }

    fn end(mut self) -> String {
        self.flush();
        self.close();
        if self.out.is_empty() {
            self.out.push_str("''");
        }
        self.out
    }
}
