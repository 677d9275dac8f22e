//! A number that nobody knew before, and an app's answer to it. dstack's agent takes no number from outside; an app may offer
//! an address for it, which is its owner's to name.

use std::fmt;

use serde::Deserialize;
use url::Url;

use super::{FetchError, ask, malformed};
use crate::http::Http;

/// Bytes of the number.
const BYTES: usize = 32;
/// Longest answer that is read, bytes: a quote in hex, with its log.
const MAX_BYTES: usize = 1 << 20;
/// Where the number stands in an address.
const PLACE: &str = "{nonce}";

/// A number that nobody knew before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; BYTES]);

/// What `GetQuote` of dstack's agent answers, as apps pass it on.
#[derive(Deserialize)]
struct Reply {
    quote: String,
}

impl Nonce {
    /// One of the system's random numbers; nothing where it gives none.
    pub fn new() -> Option<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }
    /// Its bytes.
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }
    /// An address with the number, in hex, in the place of `{nonce}`; nothing where there is no such place, or no address.
    pub fn into_address(&self, template: &str) -> Option<Url> {
        let is_once = template.matches(PLACE).count() == 1;
        let address = template.replace(PLACE, &hex::encode(self.0));
        Url::parse(&address).ok().filter(|_| is_once)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The quote that an app answers with: as `{"quote": hex}`, or as hex digits alone.
///
/// # Errors
/// No answer, or no quote in it.
pub async fn answer(http: &Http, url: Url) -> Result<Vec<u8>, FetchError> {
    let answer = ask(http, url.clone(), None, MAX_BYTES).await?;
    let text = String::from_utf8(answer.body).map_err(|error| malformed(&url, error))?;
    let digits = match serde_json::from_str::<Reply>(&text) {
        Ok(reply) => reply.quote,
        Err(_) => text,
    };
    let digits = digits.trim();
    hex::decode(digits.strip_prefix("0x").unwrap_or(digits)).map_err(|error| malformed(&url, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stands_once_in_an_address() {
        let nonce = Nonce([0xab; BYTES]);
        let made = nonce.into_address("https://app.example/quote?n={nonce}").unwrap();
        assert_eq!(
            made.as_str(),
            format!("https://app.example/quote?n={}", "ab".repeat(BYTES))
        );
        for bad in [
            "https://app.example/quote",
            "https://app.example/{nonce}/{nonce}",
            "{nonce}",
        ] {
            assert!(nonce.into_address(bad).is_none(), "{bad}");
        }
        assert_ne!(Nonce::new(), Nonce::new());
    }
}
