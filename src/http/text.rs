//! Words of strangers, made safe to show.

use std::fmt;

use zeroize::Zeroizing;

/// Shorter texts than this are no secrets, and cutting them out would only make messages unreadable.
const MIN_SECRET: usize = 6;

/// What a request carried and no message may repeat, although a server may.
#[derive(Clone, Default)]
pub(crate) struct Secrets(Vec<Zeroizing<String>>);

impl Secrets {
    pub(crate) fn add(&mut self, secret: &str) {
        if secret.len() >= MIN_SECRET {
            self.0.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// `text` of the server without them, escaped, on one line of at most `max` characters.
    pub(crate) fn clean(&self, text: &str, max: usize) -> String {
        if self.0.iter().any(|secret| text.contains(secret.as_str())) {
            let cut = self.0.iter().fold(text.to_owned(), |text, secret| {
                text.replace(secret.as_str(), "(secret)")
            });
            return escape(&cut, max);
        }
        escape(text, max)
    }

    /// [`Self::clean`] of bytes that may not be UTF-8.
    pub(crate) fn clean_bytes(&self, bytes: &[u8], max: usize) -> String {
        self.clean(&String::from_utf8_lossy(bytes), max)
    }
}
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

/// `text` on one line, at most `max` characters: whatever could move the cursor, hide or reorder is written out.
///
/// Terminals obey control characters (ANSI, OSC), and bidirectional and invisible ones show one thing and mean
/// another (Unicode Standard Annex 9; CVE-2021-42574).
pub(crate) fn escape(text: &str, max: usize) -> String {
    let mut safe = String::new();
    let mut count = 0_usize;
    for character in text.chars() {
        let piece: String = if is_deceptive(character) {
            character.escape_default().collect()
        } else {
            character.into()
        };
        count = count.saturating_add(piece.chars().count());
        if count > max {
            safe.push('…');
            break;
        }
        safe.push_str(&piece);
    }
    safe
}

/// Whether a character can make a text look like another one.
pub(crate) fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a40_what_moves_hides_or_reorders_is_written_out() {
        let text = "ok\u{1b}[2J\u{9b}1m\u{7}\r\n\u{202e}gnp\u{2066}\u{200b}\u{e0041}\u{2028}\0é漢";
        let safe = escape(text, 500);
        assert!(!safe.chars().any(is_deceptive), "{safe}");
        assert!(safe.starts_with("ok\\u{1b}[2J\\u{9b}1m"), "{safe}");
        assert!(safe.ends_with("é漢"), "{safe}");
    }

    #[test]
    fn a40_a_long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(escape("ééééé", 3), "ééé…");
        assert_eq!(escape("ééé", 3), "ééé");
        assert_eq!(escape("ab\u{202e}", 4), "ab…", "an escape is never cut in its middle");
    }

    #[test]
    fn a13_bytes_that_are_not_utf8_are_shown_not_refused() {
        assert_eq!(
            Secrets::default().clean_bytes(b"a\xff\xfe<b>", 10),
            "a\u{fffd}\u{fffd}<b>"
        );
        assert_eq!(Secrets::default().clean_bytes(&[b'x'; 100_000], 5), "xxxxx…");
    }

    #[test]
    fn a_secret_that_a_server_repeats_is_cut_out_before_anything_else() {
        let mut secrets = Secrets::default();
        secrets.add("phak_canary");
        assert_eq!(secrets.clean("bad key phak_canary!", 100), "bad key (secret)!");
        assert_eq!(
            secrets.clean("1234phak_canary", 9),
            "1234(secr…",
            "a cut never leaves half a secret"
        );
        assert!(!format!("{secrets:?}").contains("phak"));
    }
}
