//! What a running CVM says of itself: system information, network, attestation.
//!
//! The cloud passes these on. Nothing here verifies a quote; a compose hash in them is the CVM's word, not a proof.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::read;
use super::{Client, CloudError, CvmId, Key};
use crate::compose::ComposeHash;
use crate::http::Retry;

/// Largest attestation that is read, bytes: certificates and an event log.
const ATTESTATION: usize = 8 << 20;

/// Name of the event by which the guest measures its manifest.
const COMPOSE_HASH_EVENT: &str = "compose-hash";

/// System information of a CVM.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stats {
    /// Whether the CVM could be asked.
    pub is_online: Option<bool>,
    /// Whether its owner lets anybody ask.
    pub is_public: Option<bool>,
    /// Why there is nothing.
    pub error: Option<String>,
    /// Status as the server writes it.
    pub status: Option<String>,
    /// Boot progress, free text.
    pub boot_progress: Option<String>,
    /// Boot error, free text.
    pub boot_error: Option<String>,
    /// Memory in all, bytes.
    pub total_memory: Option<u64>,
    /// Memory in use, bytes.
    pub used_memory: Option<u64>,
    /// Virtual CPUs that the guest sees.
    pub num_cpus: Option<u64>,
    /// Since the boot, seconds.
    pub uptime: Option<u64>,
    /// The record as it came.
    pub raw: Value,
}

/// Where a CVM can be reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Network {
    /// Whether the CVM could be asked.
    pub is_online: Option<bool>,
    /// Whether its owner lets anybody ask.
    pub is_public: Option<bool>,
    /// Why there is nothing.
    pub error: Option<String>,
    /// Address inside the gateway's network.
    pub internal_ip: Option<String>,
    /// When the gateway last heard of it.
    pub latest_handshake: Option<String>,
    /// Public addresses, one pair for each port.
    pub public_urls: Vec<PublicUrl>,
}

/// Public addresses of one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicUrl {
    /// Of the app: any of its instances answers.
    pub app: Option<String>,
    /// Of this instance.
    pub instance: Option<String>,
}

/// What a CVM shows to be believed; not verified here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attestation {
    /// Whether the CVM could be asked.
    pub is_online: Option<bool>,
    /// Whether its owner lets anybody ask.
    pub is_public: Option<bool>,
    /// Why there is nothing.
    pub error: Option<String>,
    /// Measurements.
    pub tcb_info: Option<TcbInfo>,
    /// What can be verified.
    #[serde(skip)]
    pub evidence: Evidence,
    /// The record as it came, certificates and quote in it.
    pub raw: Value,
}

/// What an attestation holds that can be verified, as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The quote of the first certificate that has one.
    pub quote: Option<Vec<u8>>,
    /// The event log, JSON.
    pub log: Option<String>,
    /// The manifest that the guest says it runs.
    pub manifest: Option<String>,
}

/// Measurements of a TDX guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TcbInfo {
    /// MRTD, hex.
    pub mrtd: Option<String>,
    /// RTMR 0 to 3, hex.
    pub rtmr: [Option<String>; 4],
    /// The manifest's very bytes.
    pub app_compose: Option<String>,
    /// What was measured, in order.
    pub event_log: Vec<MeasuredEvent>,
}

/// Where the event log stands in an answer.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    tcb_info: Option<WrittenInfo<'a>>,
}

#[derive(Deserialize)]
struct WrittenInfo<'a> {
    #[serde(borrow)]
    event_log: Option<&'a RawValue>,
}

/// One measured event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeasuredEvent {
    /// Register that it went into.
    pub imr: Option<u64>,
    /// Its name.
    pub event: Option<String>,
    /// What was measured, hex.
    pub event_payload: Option<String>,
    /// Digest, hex.
    pub digest: Option<String>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// println!("{:?}", client.stats(id).await?.is_online);
/// println!("{:?}", client.network(id).await?.public_urls);
/// println!("{:?}", client.attestation(id).await?);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/{cvm_id}/stats`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn stats(&self, id: &CvmId) -> Result<Stats, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str(), "stats"]).await?;
        let record = reply.object()?;
        Ok(Stats {
            is_online: read::flag(&record, &["/is_online"]),
            is_public: read::flag(&record, &["/is_public"]),
            error: read::text(&record, &["/error"]),
            status: read::text(&record, &["/status"]),
            boot_progress: read::text(&record, &["/boot_progress"]),
            boot_error: read::text(&record, &["/boot_error"]),
            total_memory: read::number(&record, &["/sysinfo/total_memory"]),
            used_memory: read::number(&record, &["/sysinfo/used_memory"]),
            num_cpus: read::number(&record, &["/sysinfo/num_cpus"]),
            uptime: read::number(&record, &["/sysinfo/uptime"]),
            raw: record,
        })
    }
    /// `GET /api/v1/cvms/{cvm_id}/network`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn network(&self, id: &CvmId) -> Result<Network, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str(), "network"]).await?;
        let record = reply.object()?;
        let urls = record.get("public_urls").and_then(Value::as_array);
        Ok(Network {
            is_online: read::flag(&record, &["/is_online"]),
            is_public: read::flag(&record, &["/is_public"]),
            error: read::text(&record, &["/error"]),
            internal_ip: read::text(&record, &["/internal_ip"]),
            latest_handshake: read::text(&record, &["/latest_handshake"]),
            public_urls: urls
                .into_iter()
                .flatten()
                .map(|urls| PublicUrl {
                    app: read::text(urls, &["/app"]),
                    instance: read::text(urls, &["/instance"]),
                })
                .collect(),
        })
    }
    /// `GET /api/v1/cvms/{cvm_id}/attestation`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn attestation(&self, id: &CvmId) -> Result<Attestation, CloudError> {
        let mut call = self.call(Method::GET, &["cvms", id.as_str(), "attestation"], Retry::Read)?;
        call.request.body_limit = Some(ATTESTATION);
        let reply = self.send(call, Key::Needed).await?;
        let record = reply.object()?;
        Ok(Attestation {
            is_online: read::flag(&record, &["/is_online"]),
            is_public: read::flag(&record, &["/is_public"]),
            error: read::text(&record, &["/error"]),
            tcb_info: record
                .get("tcb_info")
                .filter(|info| info.is_object())
                .map(TcbInfo::read),
            evidence: Evidence::read(&record, &reply.answer.body),
            raw: record,
        })
    }
}

impl Evidence {
    fn read(record: &Value, body: &[u8]) -> Self {
        let certificates = record.get("app_certificates").and_then(Value::as_array);
        let quotes = certificates.into_iter().flatten();
        let quotes = quotes.filter_map(|one| read::document(one, "/quote"));
        let decoded = |text: String| hex::decode(text.strip_prefix("0x").unwrap_or(&text)).ok();
        // As it came: what was parsed once would hide that something stands there twice.
        let written: Option<Written<'_>> = serde_json::from_slice(body).ok();
        let log = written.and_then(|written| written.tcb_info?.event_log);
        Self {
            quote: quotes.filter_map(decoded).find(|quote| !quote.is_empty()),
            log: log.map(|log| log.get().to_owned()),
            manifest: read::document(record, "/tcb_info/app_compose").filter(|text| !text.is_empty()),
        }
    }
}

impl TcbInfo {
    fn read(info: &Value) -> Self {
        let events = info.get("event_log").and_then(Value::as_array);
        let word = |place: &str| read::document(info, place);
        Self {
            mrtd: word("/mrtd"),
            rtmr: [word("/rtmr0"), word("/rtmr1"), word("/rtmr2"), word("/rtmr3")],
            app_compose: word("/app_compose"),
            event_log: events
                .into_iter()
                .flatten()
                .map(|event| MeasuredEvent {
                    imr: read::number(event, &["/imr"]),
                    event: read::text(event, &["/event"]),
                    event_payload: read::document(event, "/event_payload"),
                    digest: read::document(event, "/digest"),
                })
                .collect(),
        }
    }

    /// SHA-256 of the manifest's bytes as the CVM shows them.
    pub fn shown_compose_hash(&self) -> Option<ComposeHash> {
        self.app_compose.as_ref().map(|text| ComposeHash::of(text.as_bytes()))
    }

    /// The compose hash in the event log, if exactly one event names one.
    pub fn measured_compose_hash(&self) -> Option<ComposeHash> {
        let named = |event: &&MeasuredEvent| event.event.as_deref() == Some(COMPOSE_HASH_EVENT);
        let mut events = self.event_log.iter().filter(named);
        match (events.next(), events.next()) {
            (Some(event), None) => event.event_payload.as_ref()?.parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Evidence {
        Evidence::read(&serde_json::from_str(body).unwrap(), body.as_bytes())
    }

    #[test]
    fn what_can_be_verified_is_taken_as_it_came() {
        let log = r#"[ {"imr":3, "imr":3} ]"#;
        let body = |quote: &str| {
            format!(
                r#"{{"app_certificates":[{{"quote":null}},{{"quote":"{quote}"}}],"tcb_info":{{"event_log":{log},"app_compose":"{{ }}"}}}}"#
            )
        };
        let expected = Evidence {
            quote: Some(vec![0xab, 0xcd]),
            log: Some(log.to_owned()),
            manifest: Some("{ }".to_owned()),
        };
        assert_eq!(read(&body("0xabCD")), expected);
        assert_eq!(read(&body("abcd")), expected);
        assert_eq!(read(&body("no hex")).quote, None);
        for none in [
            r#"{"app_certificates":null,"tcb_info":null}"#,
            r#"{"tcb_info":{"event_log":null}}"#,
            "{}",
        ] {
            assert_eq!(read(none), Evidence::default(), "{none}");
        }
    }
}
