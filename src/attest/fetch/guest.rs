//! The agent of a CVM's guest (dstack `guest-agent`), which anybody may ask through the gateway: `Info` with the guest's
//! certificate, and `GetAttestationForAppKey` with a quote of the moment.
//!
//! The gateway's TLS does not end in the CVM, so that whoever runs it may answer in the guest's place: what comes is judged by
//! the signatures inside.

use alloy::primitives::FixedBytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use super::{FetchError, ask, below, impatient, malformed};
use crate::http::Http;

/// Longest answer that is read, bytes: real ones have 60 kB.
const MAX_BYTES: usize = 8 << 20;
/// Where the agent listens (dstack, `guest-agent`).
const PORT: &str = "8090";
/// Longest domain that an id and the port still fit before (RFC 1035, 2.3.4: 253 in all).
const MAX_DOMAIN: usize = 253 - 46;

/// The agent of one guest.
#[derive(Debug, Clone)]
pub struct Guest {
    http: Http,
    base: Url,
}

/// What a guest says of itself; nothing of it is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestInfo {
    /// Its certificate chain, PEM; nothing before its KMS signed one.
    pub certificate: Option<String>,
    /// The manifest that it says it runs; nothing where the manifest keeps it private.
    pub manifest: Option<String>,
    /// Its event log, JSON as it came.
    pub log: Option<String>,
    /// The CVM's configuration as its host wrote it, JSON.
    pub vm_config: Option<String>,
}

/// A quote that a guest had made when it was asked, with its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestQuote {
    /// The quote.
    pub quote: Vec<u8>,
    /// Its event log, JSON.
    pub log: String,
    /// The CVM's configuration as its host wrote it, JSON.
    pub vm_config: Option<String>,
}

#[derive(Deserialize)]
struct InfoReply {
    app_cert: Option<String>,
    tcb_info: Option<String>,
    vm_config: Option<String>,
}

#[derive(Deserialize)]
struct TcbInfo<'a> {
    app_compose: Option<String>,
    #[serde(borrow)]
    event_log: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct QuoteReply {
    quote: String,
    event_log: String,
    vm_config: Option<String>,
}

impl Guest {
    /// The agent of the instance or app with this id, behind the gateway of this domain: both as the CVM's record names them,
    /// and nothing else makes the address.
    ///
    /// # Errors
    /// The domain is none.
    pub fn of(http: &Http, id: FixedBytes<20>, domain: &str) -> Result<Self, FetchError> {
        let no = |why| FetchError::NoAddress { why };
        let domain = domain.to_ascii_lowercase();
        if !is_domain(&domain) {
            return Err(no("the gateway's domain is none"));
        }
        let address = format!("https://{}-{PORT}.{domain}/", hex::encode(id));
        let base = Url::parse(&address)
            .ok()
            .ok_or_else(|| no("the gateway's domain is none"))?;
        Ok(Self::at(http, base))
    }

    /// The agent at an address that somebody named.
    pub fn at(http: &Http, base: Url) -> Self {
        Self {
            http: impatient(http),
            base,
        }
    }

    /// `GET /prpc/Info?json`
    ///
    /// # Errors
    /// No answer, or one that cannot be read.
    pub async fn info(&self) -> Result<GuestInfo, FetchError> {
        let url = self.call("Info");
        let answer = ask(&self.http, url.clone(), None, MAX_BYTES).await?;
        let reply: InfoReply = serde_json::from_slice(&answer.body).map_err(|error| malformed(&url, error))?;
        let said = |text: Option<String>| text.filter(|text| !text.is_empty());
        let inside = said(reply.tcb_info);
        let inside = inside.as_deref().map(serde_json::from_str::<TcbInfo<'_>>).transpose();
        let inside = inside.map_err(|error| malformed(&url, error))?;
        let (manifest, log) = inside.map_or((None, None), |inside| (inside.app_compose, inside.event_log));
        Ok(GuestInfo {
            certificate: said(reply.app_cert),
            manifest: said(manifest),
            log: log.map(|log| log.get().to_owned()),
            vm_config: said(reply.vm_config),
        })
    }

    /// `POST /prpc/GetAttestationForAppKey?json`: guests from dstack 0.5.6 on have it.
    ///
    /// # Errors
    /// No answer, or one that cannot be read.
    pub async fn quote(&self) -> Result<GuestQuote, FetchError> {
        let url = self.call("GetAttestationForAppKey");
        let asked = br#"{"algorithm":"secp256k1"}"#.to_vec();
        let answer = ask(&self.http, url.clone(), Some(asked), MAX_BYTES).await?;
        let reply: QuoteReply = serde_json::from_slice(&answer.body).map_err(|error| malformed(&url, error))?;
        Ok(GuestQuote {
            quote: hex::decode(&reply.quote).map_err(|error| malformed(&url, error))?,
            log: reply.event_log,
            vm_config: reply.vm_config.filter(|text| !text.is_empty()),
        })
    }

    fn call(&self, name: &str) -> Url {
        let mut url = below(&self.base, &format!("/prpc/{name}"));
        url.set_query(Some("json"));
        url
    }
}

/// Whether a text is a name in the DNS, of two labels at least, and no address in numbers.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    let labels: Vec<&str> = text.split('.').collect();
    let is_name = labels
        .last()
        .is_some_and(|last| last.bytes().any(|byte| byte.is_ascii_alphabetic()));
    is_name && labels.len() > 1 && text.len() <= MAX_DOMAIN && labels.into_iter().all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;

    #[test]
    fn the_address_of_a_guest_is_made_of_its_id_and_a_domain_and_of_nothing_else() {
        let http = Http::new(Limits::default());
        let id = FixedBytes::repeat_byte(0xbb);
        let guest = Guest::of(&http, id, "dstack-Prod5.phala.network").unwrap();
        let host = format!("{}-8090.dstack-prod5.phala.network", "bb".repeat(20));
        assert_eq!(guest.call("Info").as_str(), format!("https://{host}/prpc/Info?json"));
        let bad = [
            "",
            "localhost",
            "evil.example/x?",
            "evil.example:8443",
            "user@evil.example",
            "evil.example#",
            "evil.example.",
            ".evil.example",
            "evil..example",
            "-a.example",
            "a-.example",
            "127.0.0.1",
            "1.2",
            "a b.example",
            "ex%61mple.org",
            "ünï.example",
            "evil.example\\x",
            "[::1].a",
        ];
        for domain in bad {
            let found = Guest::of(&http, id, domain);
            assert!(matches!(found, Err(FetchError::NoAddress { .. })), "{domain}");
        }
        let long = format!("{}.example", "a.".repeat(120));
        assert!(Guest::of(&http, id, &long).is_err());
    }
}
