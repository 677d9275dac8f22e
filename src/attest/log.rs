//! The event log of a CVM's guest: what was extended into the run-time measurement registers, in order.
//!
//! A log is a claim of whoever hands it over. Only what its events fold to can be compared with a quote, and only when
//! each digest is computed here from name and payload: a digest that is believed lets the payload beside it say anything.
//! Pure; certificates and attestations bring logs, [`Boot`] says what a log means.

use serde::Deserialize;
use sha2::{Digest as _, Sha384};

use super::boot::{self, Boot};
use super::event::{Event, RUNTIME_EVENT, RUNTIME_REGISTER, Register, extended};
use super::log_error::{LogError, MAX_LOG_BYTES};

/// Most events that are read: real logs have 31.
const MAX_EVENTS: usize = 4096;
/// A log whose digests were computed, and agree with those that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLog {
    events: Vec<Event>,
}

/// An event as it came, before anything of it is believed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) register: u32,
    pub(super) kind: u32,
    pub(super) name: String,
    pub(super) payload: Vec<u8>,
    /// Empty where the guest left it out.
    pub(super) digest: Vec<u8>,
    /// How the digest is made; absent means 1.
    pub(super) version: Option<u32>,
    pub(super) preimage: Option<Vec<u8>>,
}

/// An event as JSON has it.
#[derive(Deserialize)]
struct Written {
    imr: u32,
    event_type: u32,
    digest: String,
    event: String,
    event_payload: String,
    version: Option<u32>,
    preimage: Option<String>,
}

impl EventLog {
    /// Reads a log as the guest writes it: a JSON array of `{imr, event_type, digest, event, event_payload}`, with `version`
    /// and `preimage` where the manifest says `event_log_version` 2.
    ///
    /// # Errors
    /// What cannot be read, and what contradicts itself: see [`LogError::standing`].
    pub fn parse(json: &[u8]) -> Result<Self, LogError> {
        Self::of(given(json)?)
    }

    /// As [`EventLog::parse`] for a log whose events lost their `version` on the way, as Phala Cloud's API may give them; only for
    /// a manifest that says `event_log_version` 2.
    ///
    /// # Errors
    /// As there.
    pub fn parse_second_version(json: &[u8]) -> Result<Self, LogError> {
        let mut events = given(json)?;
        for event in events.iter_mut().filter(|event| event.kind == RUNTIME_EVENT) {
            event.version = Some(2);
        }
        Self::of(events)
    }

    /// Checks each event for itself.
    pub(super) fn of(events: Vec<Given>) -> Result<Self, LogError> {
        let events = events.into_iter().enumerate().map(|(at, given)| event(at, given));
        Ok(Self {
            events: events.collect::<Result<_, _>>()?,
        })
    }

    /// Its events, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// What the events of a register fold to: SHA-384 of the value so far and the next digest, from zeros.
    pub fn replay(&self, register: u32) -> Register {
        let of = self.events.iter().filter(|event| event.register == register);
        of.fold(Register::ZERO, |value, event| extended(&value, event))
    }

    /// What the CVM with this RTMR3 booted, by the events before `system-ready`.
    ///
    /// The register may stand at any point from `system-ready` on: the quote of a certificate is of the boot, and the app may
    /// have added events since. Those are listed and prove nothing.
    ///
    /// # Errors
    /// The register is at no point of the log, the log contradicts itself, or it is of no boot that is known.
    pub fn boot(&self, rtmr3: &Register) -> Result<Boot, LogError> {
        let events = self.events.iter().filter(|event| event.register == RUNTIME_REGISTER);
        boot::read(&events.collect::<Vec<_>>(), rtmr3)
    }
}

fn given(json: &[u8]) -> Result<Vec<Given>, LogError> {
    if json.len() > MAX_LOG_BYTES {
        return Err(LogError::TooLong { found: json.len() });
    }
    let written: Vec<Written> = serde_json::from_slice(json).map_err(LogError::Json)?;
    if written.len() > MAX_EVENTS {
        return Err(LogError::TooMany { found: written.len() });
    }
    let bytes = |at, what, text: &str| hex::decode(text).map_err(|source| LogError::Hex { at, what, source });
    let read = |(at, event): (usize, Written)| {
        Ok(Given {
            register: event.imr,
            kind: event.event_type,
            payload: bytes(at, "event_payload", &event.event_payload)?,
            digest: bytes(at, "digest", &event.digest)?,
            preimage: event.preimage.map(|text| bytes(at, "preimage", &text)).transpose()?,
            version: event.version,
            name: event.event,
        })
    };
    written.into_iter().enumerate().map(read).collect()
}

/// Checks one event: it stands in the register of its type, and its digest is that of its name and payload.
fn event(at: usize, given: Given) -> Result<Event, LogError> {
    if given.register > RUNTIME_REGISTER {
        return Err(LogError::NoSuchRegister {
            at,
            register: given.register,
        });
    }
    if (given.register == RUNTIME_REGISTER) != (given.kind == RUNTIME_EVENT) {
        return Err(LogError::ForeignRegister {
            at,
            register: given.register,
            kind: given.kind,
        });
    }
    let digest = match given.kind {
        RUNTIME_EVENT => runtime_digest(at, &given)?,
        _ => Register::try_from(given.digest.as_slice())
            .ok()
            .ok_or(LogError::DigestLength {
                at,
                found: given.digest.len(),
            })?,
    };
    Ok(Event {
        register: given.register,
        kind: given.kind,
        name: given.name,
        payload: given.payload,
        digest,
    })
}

/// The digest of a run-time event, computed from name and payload; what came with it has to be the same.
fn runtime_digest(at: usize, given: &Given) -> Result<Register, LogError> {
    let name = || given.name.clone();
    let preimage = match given.version.unwrap_or(1) {
        1 => first_preimage(given),
        2 => second_preimage(given).map_err(LogError::Json)?,
        version => return Err(LogError::Version { at, version }),
    };
    if given.preimage.as_ref().is_some_and(|given| *given != preimage) {
        return Err(LogError::Preimage { at, name: name() });
    }
    let digest: [u8; 48] = Sha384::digest(&preimage).into();
    if !given.digest.is_empty() && given.digest != digest {
        return Err(LogError::Digest { at, name: name() });
    }
    Ok(digest.into())
}

/// Type, name and payload between colons; nothing keeps a colon out of the name (dstack `cc-eventlog`, version 1).
fn first_preimage(given: &Given) -> Vec<u8> {
    [
        &RUNTIME_EVENT.to_le_bytes()[..],
        b":",
        given.name.as_bytes(),
        b":",
        &given.payload,
    ]
    .concat()
}

/// The canonical JSON (RFC 8785) of name, payload and type (dstack `cc-eventlog`, version 2).
fn second_preimage(given: &Given) -> Result<Vec<u8>, serde_json::Error> {
    let name = serde_json::to_string(&given.name)?;
    let payload = hex::encode(&given.payload);
    Ok(format!(r#"{{"name":{name},"payload":"{payload}","type":{RUNTIME_EVENT}}}"#).into_bytes())
}
