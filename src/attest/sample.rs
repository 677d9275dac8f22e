//! Recorded evidence.

use serde::Deserialize;
use serde_json::Value;

use super::{Collateral, EventLog, Quote, synthetic};

pub(super) const NEAR_QUOTE: &str = include_str!("../../tests/vectors/attestation/near-mpc/quote.json");
pub(super) const NEAR_COLLATERAL: &str = include_str!("../../tests/vectors/attestation/near-mpc/collateral.json");
pub(super) const NEAR_TCB_INFO: &str = include_str!("../../tests/vectors/attestation/near-mpc/tcb_info.json");
/// A date at which the collateral of near-mpc is good.
pub(super) const NEAR_TIME: i64 = 1_786_665_600;
pub(super) const CRABBOX: &str =
    include_str!("../../tests/vectors/attestation/crabbox-phala-cloud/real_attestation_info.json");
pub(super) const CRABBOX_QUOTE: &[u8] =
    include_bytes!("../../tests/vectors/attestation/crabbox-phala-cloud/real_tdx_quote.bin");
pub(super) const QUOTE_REPORT: &str = include_str!("../../tests/vectors/attestation/dstack-verifier/quote-report.json");
pub(super) const LITE: &str = include_str!("../../tests/vectors/attestation/dstack-verifier/tdx-lite-getquote.json");
pub(super) const LITE_ATTESTATION: &str =
    include_str!("../../tests/vectors/attestation/dstack-verifier/tdx-lite-attestation.json");

pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(super) fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap()
}

/// A recorded quote with its event log.
pub(super) struct Recorded {
    pub(super) quote: Quote,
    pub(super) log: EventLog,
}

pub(super) fn near_mpc() -> Recorded {
    let bytes: Vec<u8> = serde_json::from_str(NEAR_QUOTE).unwrap();
    Recorded {
        quote: Quote::parse(&bytes).unwrap(),
        log: EventLog::parse(json(NEAR_TCB_INFO)["event_log"].to_string().as_bytes()).unwrap(),
    }
}

pub(super) fn near_collateral() -> Collateral {
    Collateral::parse(NEAR_COLLATERAL.as_bytes()).unwrap()
}

pub(super) fn crabbox() -> Recorded {
    let info = json(CRABBOX);
    let tcb_info = json(text(&info, "tcb_info"));
    Recorded {
        quote: Quote::parse(CRABBOX_QUOTE).unwrap(),
        log: EventLog::parse(tcb_info["event_log"].to_string().as_bytes()).unwrap(),
    }
}

/// Of a reply to `GetQuote`.
pub(super) fn reply(reply: &str) -> Recorded {
    let reply = json(reply);
    Recorded {
        quote: Quote::parse(&hex::decode(text(&reply, "quote")).unwrap()).unwrap(),
        log: EventLog::parse(text(&reply, "event_log").as_bytes()).unwrap(),
    }
}

/// Cases that were made here, in one file.
#[derive(Deserialize)]
pub(super) struct Cases<T> {
    pub(super) cases: Vec<T>,
    #[serde(default)]
    pub(super) root_der: String,
}

/// The events of a recorded log, as they are written again.
pub(super) fn events(log: &EventLog) -> Vec<synthetic::Event> {
    let events = log.events().iter().map(|event| synthetic::Event {
        register: event.register,
        kind: event.kind,
        name: event.name.clone(),
        payload: event.payload.clone(),
        digest: event.digest.to_vec(),
    });
    events.collect()
}
