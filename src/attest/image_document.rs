//! The document from which a 0.6 guest's registers can be computed (`vm_config.tdx_measurement`, dstack "lite"): the image's
//! list of checksums, and what its firmware, kernel and command line measure as, in CBOR. Pure.

use alloy::primitives::B256;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha384};

use super::event::Register;
use super::reader::Reader;
use super::report::TdReport;
use crate::json;

/// Longest configuration that is read, bytes: real ones have 1 kB.
const MAX_CONFIG_BYTES: usize = 64 * 1024;
/// The line of the checksums that names the measurement.
const MEASUREMENT: &str = "measurement.tdx.cbor";
/// Deepest nesting of the measurement; real ones have four levels.
const MAX_DEPTH: u8 = 8;
/// What the firmware measures into RTMR1 around the kernel (TCG PC Client Platform Firmware Profile).
const FIRMWARE: [&[u8]; 4] = [
    b"Calling EFI Application from Boot Option",
    &[0; 4],
    b"Exit Boot Services Invocation",
    b"Exit Boot Services Returned with Success",
];

/// What an image measures as.
pub(super) struct ImageDocument {
    /// The image, by the hash of its list of checksums.
    pub(super) os_image_hash: B256,
    mrtd: Vec<Register>,
    rtmr1: Register,
    rtmr2: Register,
}

impl ImageDocument {
    /// Whether it is of what was measured.
    pub(super) fn is_of(&self, report: &TdReport) -> bool {
        self.mrtd.contains(&report.mrtd) && [self.rtmr1, self.rtmr2] == [report.rtmr[1], report.rtmr[2]]
    }
}

/// Reads the document in a CVM's configuration; nothing where that holds none.
pub(super) fn read(config: &[u8]) -> Option<Result<ImageDocument, ()>> {
    let text = std::str::from_utf8(config)
        .ok()
        .filter(|text| text.len() <= MAX_CONFIG_BYTES)?;
    let config = json::parse(text).ok()?;
    let document = config.get("tdx_measurement").filter(|document| !document.is_null())?;
    Some(of(document).ok_or(()))
}

fn of(document: &Value) -> Option<ImageDocument> {
    let part = |name| BASE64_STANDARD.decode(document.get(name)?.as_str()?).ok();
    let (checksums, measurement) = (part("checksum_file")?, part("measurement")?);
    let lines = std::str::from_utf8(&checksums).ok()?.lines();
    let mut named = lines
        .filter_map(|line| line.split_once("  "))
        .filter(|(_, name)| *name == MEASUREMENT);
    let (listed, _) = named.next()?;
    if named.next().is_some() || hex::decode(listed).ok()? != Sha256::digest(&measurement).as_slice() {
        return None;
    }
    let mut reader = Reader::new(&measurement);
    let read = item(&mut reader, MAX_DEPTH)?;
    let read = Some(read).filter(|_| reader.rest().is_empty())?;
    if read.get(&["version"])? != &Item::Number(3) {
        return None;
    }
    let register = |path: &[&str]| match read.get(path)? {
        Item::Bytes(bytes) => Register::try_from(bytes.as_slice()).ok(),
        _ => None,
    };
    let measured = FIRMWARE.map(|text| Register::from(<[u8; 48]>::from(Sha384::digest(text))));
    let kernel = register(&["image", "kernel_authenticode"])?;
    Some(ImageDocument {
        os_image_hash: B256::from(<[u8; 32]>::from(Sha256::digest(&checksums))),
        mrtd: vec![
            register(&["tdvf", "mrtd", "single_pass"])?,
            register(&["tdvf", "mrtd", "two_pass"])?,
        ],
        rtmr1: folded(std::iter::once(kernel).chain(measured)),
        rtmr2: folded([
            register(&["image", "cmdline_sha384"])?,
            register(&["image", "initrd_sha384"])?,
        ]),
    })
}

fn folded(digests: impl IntoIterator<Item = Register>) -> Register {
    let extended = |value: Register, digest: Register| {
        let both = Sha384::digest([value.as_slice(), digest.as_slice()].concat());
        Register::from(<[u8; 48]>::from(both))
    };
    digests.into_iter().fold(Register::ZERO, extended)
}

/// What CBOR (RFC 8949) the measurement is made of: maps with texts as keys, bytes, texts, numbers.
#[derive(PartialEq)]
enum Item {
    Number(u64),
    Bytes(Vec<u8>),
    Text(String),
    Map(Vec<(String, Self)>),
}

impl Item {
    fn get(&self, path: &[&str]) -> Option<&Self> {
        let [first, rest @ ..] = path else {
            return Some(self);
        };
        match self {
            Self::Map(entries) => entries.iter().find(|(key, _)| key == first)?.1.get(rest),
            _ => None,
        }
    }
}

fn item(reader: &mut Reader<'_>, depth: u8) -> Option<Item> {
    let first = reader.byte()?;
    let value = match first & 0x1f {
        small @ 0..24 => u64::from(small),
        24 => u64::from(reader.byte()?),
        25 => reader.array().map(u16::from_be_bytes)?.into(),
        26 => reader.array().map(u32::from_be_bytes)?.into(),
        _ => return None,
    };
    let length = usize::try_from(value).ok()?;
    match first >> 5 {
        0 => Some(Item::Number(value)),
        2 => Some(Item::Bytes(reader.take(length)?.to_vec())),
        3 => Some(Item::Text(String::from_utf8(reader.take(length)?.to_vec()).ok()?)),
        5 => {
            let inside = depth.checked_sub(1)?;
            let mut entries: Vec<(String, Item)> = Vec::new();
            for _ in 0..length {
                let Item::Text(key) = item(reader, inside)? else {
                    return None;
                };
                if entries.iter().any(|(other, _)| *other == key) {
                    return None;
                }
                entries.push((key, item(reader, inside)?));
            }
            Some(Item::Map(entries))
        }
        _ => None,
    }
}
