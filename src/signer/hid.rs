//! A command to a Ledger and its answer, in the packets of 64 bytes that go over USB.
//!
//! Called by [`ledger`](super::ledger). Framing: channel, tag 5, number of the packet; the first one says how long the
//! whole is (Ledger's USB HID transport).

use std::io::Error;
use std::time::{Duration, Instant};

use hidapi::{DeviceInfo, HidApi, HidDevice, HidError};

use super::LedgerError;

/// Bytes of a packet.
pub(super) const PACKET: usize = 64;
/// Ledger's vendor id at the USB forum.
const VENDOR: u16 = 0x2c97;
/// The usage page of the interface that takes commands; the others are for FIDO and for typing.
const USAGE_PAGE: u16 = 0xffa0;
/// Channel and tag with which every packet begins.
const MARK: [u8; 3] = [1, 1, 5];
/// Mark, number of the packet.
const HEAD: usize = 5;
/// How often it is looked whether anybody still waits.
const GLANCE: Duration = Duration::from_millis(100);
/// Packets left over from an earlier program, at most.
const MAX_STALE: usize = 1024;

/// Something that takes and gives packets.
pub(super) trait Packets: Send {
    /// Sends one.
    fn send(&mut self, packet: &[u8; PACKET]) -> Result<(), LedgerError>;
    /// Waits for one so long, and gives up with `None`.
    fn receive(&mut self, wait: Duration) -> Result<Option<[u8; PACKET]>, LedgerError>;
}

/// Opens the first Ledger that is plugged in.
pub(super) fn find() -> Result<Box<dyn Packets>, LedgerError> {
    let usb = HidApi::new().map_err(broken)?;
    let takes_commands = |device: &&DeviceInfo| {
        device.vendor_id() == VENDOR && (device.usage_page() == USAGE_PAGE || device.interface_number() == 0)
    };
    let found = usb.device_list().find(takes_commands).ok_or(LedgerError::Absent)?;
    Ok(Box::new(found.open_device(&usb).map_err(broken)?))
}

impl Packets for HidDevice {
    fn send(&mut self, packet: &[u8; PACKET]) -> Result<(), LedgerError> {
        // Before the packet stands the number of the report, which is always zero.
        let mut report = [0; PACKET + 1];
        report.iter_mut().skip(1).zip(packet).for_each(|(to, from)| *to = *from);
        let sent = self.write(&report).map_err(broken)?;
        if sent < report.len() {
            return Err(LedgerError::Usb(Error::other("a packet was not sent whole")));
        }
        Ok(())
    }
    fn receive(&mut self, wait: Duration) -> Result<Option<[u8; PACKET]>, LedgerError> {
        let mut packet = [0; PACKET];
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        match self.read_timeout(&mut packet, wait).map_err(broken)? {
            0 => Ok(None),
            PACKET => Ok(Some(packet)),
            _ => Err(LedgerError::Malformed("a packet is too short")),
        }
    }
}

/// Sends a command and waits for its answer until `patience` is over or nobody wants it any more.
pub(super) fn exchange(
    device: &mut dyn Packets,
    command: &[u8],
    patience: Duration,
    wanted: impl Fn() -> bool,
) -> Result<Vec<u8>, LedgerError> {
    let until = Instant::now() + patience;
    for _ in 0..MAX_STALE {
        if device.receive(Duration::ZERO)?.is_none() {
            break;
        }
    }
    for packet in packets(command)? {
        device.send(&packet)?;
    }
    let mut answer = Answer::default();
    while !answer.is_whole() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !wanted() {
            return Err(LedgerError::TimedOut(patience));
        }
        if let Some(packet) = device.receive(left.min(GLANCE))? {
            answer.take(&packet)?;
        }
    }
    Ok(answer.bytes)
}

/// The packets of a command.
fn packets(command: &[u8]) -> Result<Vec<[u8; PACKET]>, LedgerError> {
    let length = u16::try_from(command.len())
        .ok()
        .ok_or(LedgerError::Malformed("the command is too long"))?;
    let stream = [&length.to_be_bytes(), command].concat();
    let numbered = (0_u16..).zip(stream.chunks(PACKET - HEAD));
    Ok(numbered
        .map(|(number, part)| {
            let mut packet = [0; PACKET];
            let bytes = MARK.into_iter().chain(number.to_be_bytes()).chain(part.iter().copied());
            packet.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            packet
        })
        .collect())
}

/// What has come of an answer.
#[derive(Default)]
struct Answer {
    bytes: Vec<u8>,
    length: Option<usize>,
    next: u16,
}

impl Answer {
    fn is_whole(&self) -> bool {
        self.length.is_some_and(|length| self.bytes.len() == length)
    }

    fn take(&mut self, packet: &[u8; PACKET]) -> Result<(), LedgerError> {
        let [a, b, c, high, low, rest @ ..] = packet;
        if [*a, *b, *c] != MARK {
            return Err(LedgerError::Malformed("a packet is for somebody else"));
        }
        if u16::from_be_bytes([*high, *low]) != self.next {
            return Err(LedgerError::Malformed("its packets are out of order"));
        }
        self.next = self.next.wrapping_add(1);
        let (length, rest) = match (self.length, rest.split_first_chunk::<2>()) {
            (Some(length), _) => (length, rest.as_slice()),
            (None, Some((length, rest))) => (usize::from(u16::from_be_bytes(*length)), rest),
            (None, None) => return Err(LedgerError::Malformed("a packet is too short")),
        };
        self.length = Some(length);
        let missing = length - self.bytes.len();
        self.bytes.extend(rest.iter().take(missing));
        Ok(())
    }
}

fn broken(error: HidError) -> LedgerError {
    LedgerError::Usb(match error {
        HidError::IoError { error } => error,
        other => Error::other(other),
    })
}
