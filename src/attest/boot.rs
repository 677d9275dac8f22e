//! What a CVM booted, by the events that its guest extended into RTMR3 before `system-ready`. Pure; the log calls it.
//!
//! The grammar is dstack's (`dstack-util`, `system_setup`), from 0.5.4 to 0.6. Guests before 0.6 let the app add events after
//! `system-ready`, also a second `compose-hash`: whatever comes after names nothing.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, FixedBytes};
use serde_json::Value;

use super::event::{Event, Register, extended};
use super::log_error::LogError;
use crate::compose::ComposeHash;
use crate::json;

/// The last event of the guest's own.
const READY: &str = "system-ready";
/// The only name that may come several times.
const MANY: &str = "init-script-hash";

/// What a CVM booted: the guest's own word, which counts for as much as the image whose registers the quote measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The app: the address of its contract where a KMS on a chain guards it.
    pub app_id: Address,
    /// The manifest.
    pub compose_hash: ComposeHash,
    /// The instance; nothing where the manifest says `no_instance_id`.
    pub instance_id: Option<FixedBytes<20>>,
    /// Who gave the keys.
    pub key_provider: KeyProvider,
    /// The KMS's own measurement, as older guests record it.
    pub mr_kms: Option<B256>,
    /// The hash of the OS image that the guest was told.
    pub os_image_hash: Option<B256>,
    /// The policy for graphics processors, by its hash.
    pub gpu_policy_hash: Option<B256>,
    /// RTMR3 at `boot-mr-done`, which is when the KMS looked.
    pub rtmr3_at_boot: Register,
    /// Events that the app added and the quote covers.
    pub app_events: Vec<Event>,
    /// Events behind the point that the quote measured: nothing covers them.
    pub uncovered: Vec<Event>,
}

/// Who gave the guest its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProvider {
    /// Its kind.
    pub kind: KeyProviderKind,
    /// What identifies it: of a KMS the public key of its certificate authority.
    pub id: Vec<u8>,
    /// The event's payload as it was measured.
    pub payload: Vec<u8>,
}

/// Kinds of key providers (dstack `KeyProviderKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyProviderKind {
    /// No keys.
    None,
    /// An enclave on the same machine.
    LocalSgx,
    /// A KMS.
    Kms,
    /// A TPM.
    Tpm,
}

/// How long a payload is.
#[derive(Clone, Copy)]
enum Length {
    Exactly(usize),
    /// So long, or empty.
    OrEmpty(usize),
    Any,
}

/// The order of events before `system-ready`: name, whether every guest has it, length of the payload.
const GRAMMAR: [(&str, bool, Length); 13] = [
    ("system-preparing", true, Length::Exactly(0)),
    ("app-id", true, Length::Exactly(20)),
    ("compose-hash", true, Length::Exactly(32)),
    (MANY, false, Length::Exactly(32)),
    ("gpu-policy-hash", false, Length::Exactly(32)),
    ("gpu-attestation", false, Length::Any),
    ("instance-id", true, Length::OrEmpty(20)),
    ("boot-mr-done", true, Length::Exactly(0)),
    ("mr-kms", false, Length::Exactly(32)),
    ("os-image-hash", false, Length::Exactly(32)),
    ("key-provider", true, Length::Any),
    ("storage-fs", false, Length::Any),
    (READY, true, Length::Exactly(0)),
];

/// Reads the events of RTMR3.
pub(super) fn read(events: &[&Event], rtmr3: &Register) -> Result<Boot, LogError> {
    let ready = events.iter().position(|event| event.name == READY);
    let own = events.get(..=ready.unwrap_or(usize::MAX)).unwrap_or(events);
    one_reading(own)?;
    let covered = covered(events, rtmr3)?;
    if ready.is_none_or(|ready| covered <= ready) {
        return Err(LogError::NotReady);
    }
    in_order(own)?;
    let payload = |name| {
        own.iter()
            .find(|event| event.name == name)
            .map(|event| &event.payload[..])
    };
    let hash = |name| payload(name).and_then(|bytes| B256::try_from(bytes).ok());
    let cloned = |events: Option<&[&Event]>| {
        events
            .unwrap_or_default()
            .iter()
            .map(|event| (*event).clone())
            .collect()
    };
    let required = |name| payload(name).ok_or(LogError::Missing { name });
    Ok(Boot {
        app_id: Address::from(fixed("app-id", required("app-id")?)?),
        compose_hash: ComposeHash::new(fixed("compose-hash", required("compose-hash")?)?),
        instance_id: payload("instance-id").and_then(|bytes| FixedBytes::try_from(bytes).ok()),
        key_provider: KeyProvider::read(required("key-provider")?)?,
        mr_kms: hash("mr-kms"),
        os_image_hash: hash("os-image-hash"),
        gpu_policy_hash: hash("gpu-policy-hash"),
        rtmr3_at_boot: until(own, "boot-mr-done"),
        app_events: cloned(events.get(own.len()..covered)),
        uncovered: cloned(events.get(covered..)),
    })
}

/// Refuses what two readers could take for two boots.
fn one_reading(own: &[&Event]) -> Result<(), LogError> {
    let mut seen = BTreeSet::new();
    for event in own {
        let name = || event.name.clone();
        if event.name.contains(':') {
            return Err(LogError::Colon { name: name() });
        }
        if !seen.insert(&event.name) && event.name != MANY {
            return Err(LogError::Twice { name: name() });
        }
    }
    Ok(())
}

/// How many events the register covers.
fn covered(events: &[&Event], rtmr3: &Register) -> Result<usize, LogError> {
    let mut value = Register::ZERO;
    let mut last = (value == *rtmr3).then_some(0);
    for (at, event) in events.iter().enumerate() {
        value = extended(&value, event);
        if value == *rtmr3 {
            last = Some(at.saturating_add(1));
        }
    }
    last.ok_or(LogError::Register {
        found: value,
        measured: *rtmr3,
    })
}

/// Refuses every order of events but that of the guests that are known. The last of the grammar is the last of these.
fn in_order(own: &[&Event]) -> Result<(), LogError> {
    let mut events = own.iter().peekable();
    for (name, is_always, length) in GRAMMAR {
        let mut count = 0_usize;
        while let Some(event) = events.next_if(|event| event.name == name && (count == 0 || name == MANY)) {
            let found = event.payload.len();
            let fits = match length {
                Length::Exactly(bytes) => found == bytes,
                Length::OrEmpty(bytes) => found == bytes || found == 0,
                Length::Any => true,
            };
            if !fits {
                return Err(LogError::Length { name, found });
            }
            count = count.saturating_add(1);
        }
        if is_always && count == 0 {
            return Err(match own.iter().any(|event| event.name == name) {
                true => LogError::Order {
                    name: events.peek().map_or(name, |event| event.name.as_str()).to_owned(),
                },
                false => LogError::Missing { name },
            });
        }
    }
    Ok(())
}

/// RTMR3 when the event of this name had been added.
fn until(own: &[&Event], name: &str) -> Register {
    let count = own.iter().position(|event| event.name == name);
    let before = own.iter().take(count.unwrap_or(own.len()).saturating_add(1));
    before.fold(Register::ZERO, |value, event| extended(&value, event))
}

fn fixed<const N: usize>(name: &'static str, payload: &[u8]) -> Result<[u8; N], LogError> {
    payload.try_into().ok().ok_or(LogError::Length {
        name,
        found: payload.len(),
    })
}

impl KeyProviderKind {
    const ALL: [Self; 4] = [Self::None, Self::LocalSgx, Self::Kms, Self::Tpm];

    /// Its name in the event.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::LocalSgx => "local-sgx",
            Self::Kms => "kms",
            Self::Tpm => "tpm",
        }
    }
}

impl KeyProvider {
    /// Reads `{"name":…,"id":hex}`.
    fn read(payload: &[u8]) -> Result<Self, LogError> {
        Self::of(payload).ok_or(LogError::KeyProvider)
    }
    fn of(payload: &[u8]) -> Option<Self> {
        let value = json::parse(std::str::from_utf8(payload).ok()?).ok()?;
        let text = |field| value.get(field).and_then(Value::as_str);
        let name = text("name")?;
        Some(Self {
            kind: KeyProviderKind::ALL.into_iter().find(|kind| kind.name() == name)?,
            id: hex::decode(text("id")?).ok()?,
            payload: payload.to_vec(),
        })
    }
}
