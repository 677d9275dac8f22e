//! Secrets that a server repeats, cut out of what it says.

use std::fmt;

use zeroize::Zeroizing;

use crate::text::shorten;

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

    /// `text` of the server without them, escaped, on one line of at most `max` characters. Of a page of HTML its title.
    pub(crate) fn clean(&self, text: &str, max: usize) -> String {
        let titled = page(text);
        let text = titled.as_deref().unwrap_or(text);
        if self.0.iter().any(|secret| text.contains(secret.as_str())) {
            let cut = self.0.iter().fold(text.to_owned(), |text, secret| {
                text.replace(secret.as_str(), "(secret)")
            });
            return shorten(&cut, max);
        }
        shorten(text, max)
    }

    /// [`Self::clean`] of bytes that may not be UTF-8.
    pub(crate) fn clean_bytes(&self, bytes: &[u8], max: usize) -> String {
        self.clean(&String::from_utf8_lossy(bytes), max)
    }
}

/// What is said in the place of a page of HTML, which is of a proxy or of a server that fails.
fn page(text: &str) -> Option<String> {
    let text = text.trim_start();
    let lower = text.to_ascii_lowercase();
    if !["<!doctype html", "<html"].iter().any(|start| lower.starts_with(start)) {
        return None;
    }
    let (from, to) = (lower.find("<title>"), lower.find("</title>"));
    let title = from.zip(to).and_then(|(from, to)| text.get(from + "<title>".len()..to));
    Some(match title.map(str::trim).filter(|title| !title.is_empty()) {
        Some(title) => format!("a page of HTML, titled `{title}`"),
        None => "a page of HTML".to_owned(),
    })
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a13_bytes_that_are_not_utf8_are_shown_not_refused() {
        assert_eq!(
            Secrets::default().clean_bytes(b"a\xff\xfe<b>", 10),
            "a\u{fffd}\u{fffd}<b>"
        );
        assert_eq!(Secrets::default().clean_bytes(&[b'x'; 100_000], 5), "xxxxx…");
    }

    #[test]
    fn svc_11_of_a_page_of_html_its_title_is_told() {
        let told = |text: &str| Secrets::default().clean(text, 200);
        let page = "\n<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Server Error (500)</title></head><body>x</body></html>";
        assert_eq!(told(page), "a page of HTML, titled `Server Error (500)`");
        assert_eq!(told("<html>\n<h1>502</h1></html>"), "a page of HTML");
        assert_eq!(told("<b> is no page"), "<b> is no page");
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
