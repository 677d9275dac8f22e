//! dstack's attestation in one piece (`dstack-attest`, version 0 in SCALE): quote, event log and configuration. Pure.
//!
//! It has the run-time events twice. dstack replays one list and checks the texts of the other, so that a liar may fill them
//! differently; here they have to be the same.

use super::event::RUNTIME_EVENT;
use super::log::{EventLog, Given};
use super::log_error::LogError;
use super::quote::Quote;
use super::reader::Reader;
use super::standing::Standing;

/// Longest attestation that is read, bytes: real ones have 7 kB.
const MAX_ATTESTATION_BYTES: usize = 256 * 1024;
/// Most events of one list.
const MAX_EVENTS: usize = 4096;

/// An attestation in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The quote's bytes.
    pub quote: Vec<u8>,
    /// The event log.
    pub log: EventLog,
    /// The CVM's configuration as its host wrote it.
    pub vm_config: String,
}

/// Why an attestation in one piece shows nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionedError {
    /// More than is read.
    #[error("the attestation has {found} bytes, and at most {MAX_ATTESTATION_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// Another format, as newer guests write it.
    #[error("the attestation is of a format that is not known here: it begins with {first:#04x}")]
    Format {
        /// Its first byte.
        first: u8,
    },
    /// Not of Intel TDX.
    #[error("the attestation is of another technology than Intel TDX: {found}")]
    NotTdx {
        /// What it says.
        found: u8,
    },
    /// It ends too early, or its parts do not fill it.
    #[error("the attestation cannot be read: its {part} is incomplete")]
    Incomplete {
        /// Which part.
        part: &'static str,
    },
    /// The two lists of run-time events differ.
    #[error("the attestation lists the events of its boot twice, and differently")]
    TwoLists,
    /// What it says was signed is not what the quote says.
    #[error("the attestation says that something else was signed than its quote does")]
    ReportData,
    /// The event log.
    #[error("the event log of the attestation is not usable")]
    Log(#[source] LogError),
}

impl VersionedError {
    /// *Broken* where it contradicts itself, *not known* where it is of another format.
    pub const fn standing(&self) -> Standing {
        match self {
            Self::TwoLists | Self::ReportData => Standing::Broken,
            Self::Log(source) => source.standing(),
            Self::TooLong { .. } | Self::Format { .. } | Self::NotTdx { .. } | Self::Incomplete { .. } => {
                Standing::NotKnown
            }
        }
    }
}

impl Versioned {
    /// Reads an attestation of version 0.
    ///
    /// # Errors
    /// Another version, incomplete, or contradicting itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, VersionedError> {
        if bytes.len() > MAX_ATTESTATION_BYTES {
            return Err(VersionedError::TooLong { found: bytes.len() });
        }
        let mut reader = Reader::new(bytes);
        let missing = |part| move || VersionedError::Incomplete { part };
        match reader.byte().ok_or_else(missing("version"))? {
            0 => {}
            first => return Err(VersionedError::Format { first }),
        }
        match reader.byte().ok_or_else(missing("technology"))? {
            0 => {}
            found => return Err(VersionedError::NotTdx { found }),
        }
        let quote = counted(&mut reader).ok_or_else(missing("quote"))?.to_vec();
        let events = list(&mut reader, event).ok_or_else(missing("event log"))?;
        let runtime = list(&mut reader, runtime_event).ok_or_else(missing("list of run-time events"))?;
        let report_data: [u8; 64] = reader.array().ok_or_else(missing("signed data"))?;
        let vm_config = text(&mut reader).ok_or_else(missing("configuration"))?;
        if !reader.rest().is_empty() {
            return Err(missing("end")());
        }
        let measured = events.iter().filter(|event| event.kind == RUNTIME_EVENT);
        if !measured
            .map(|event| (&event.name, &event.payload))
            .eq(runtime.iter().map(|(name, payload)| (name, payload)))
        {
            return Err(VersionedError::TwoLists);
        }
        if let Ok(read) = Quote::parse(&quote)
            && read.report().report_data != report_data
        {
            return Err(VersionedError::ReportData);
        }
        Ok(Self {
            quote,
            log: EventLog::of(events).map_err(VersionedError::Log)?,
            vm_config,
        })
    }
}

fn event(reader: &mut Reader<'_>) -> Option<Given> {
    Some(Given {
        register: reader.u32()?,
        kind: reader.u32()?,
        digest: counted(reader)?.to_vec(),
        name: text(reader)?,
        payload: counted(reader)?.to_vec(),
        ..Given::default()
    })
}

fn runtime_event(reader: &mut Reader<'_>) -> Option<(String, Vec<u8>)> {
    Some((text(reader)?, counted(reader)?.to_vec()))
}

fn list<T>(reader: &mut Reader<'_>, read: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let count = compact(reader).filter(|count| *count <= MAX_EVENTS)?;
    (0..count).map(|_| read(reader)).collect()
}

fn text(reader: &mut Reader<'_>) -> Option<String> {
    String::from_utf8(counted(reader)?.to_vec()).ok()
}

fn counted<'a>(reader: &mut Reader<'a>) -> Option<&'a [u8]> {
    let count = compact(reader)?;
    reader.take(count)
}

/// A length as SCALE writes it: its last two bits say in how many bytes, and it is written in the fewest.
fn compact(reader: &mut Reader<'_>) -> Option<usize> {
    let first = reader.byte()?;
    let (value, least) = match first & 3 {
        0 => (u32::from(first), 0),
        1 => (u32::from(u16::from_le_bytes([first, reader.byte()?])), 1 << 6),
        2 => {
            let [second, third, fourth] = reader.array()?;
            (u32::from_le_bytes([first, second, third, fourth]), 1 << 14)
        }
        _ => return None,
    };
    let value = value >> 2;
    usize::try_from(value).ok().filter(|_| value >= least)
}
