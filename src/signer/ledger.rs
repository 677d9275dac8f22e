//! A key on a Ledger, in its Ethereum app (application interface: `doc/ethapp.adoc` of LedgerHQ/app-ethereum).
//!
//! The device shows what it signs: a transaction's fields, and domain hash and message hash of a Safe transaction. Its
//! address is read again before each signature, since another device, seed or passphrase may be behind the same plug.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use alloy::consensus::{SignableTransaction as _, TxEip1559};
use alloy::primitives::{Address, B256, Signature, U256};
use tokio::sync::oneshot;

use super::error::{LedgerError, SignerError};
use super::hid::{self, Packets};
use super::recovered::safe_tx_hash;
use super::source::DerivationPath;
use crate::safe::SafeTx;
use crate::safe::service::Notice;

/// How long a person may take to confirm.
const PATIENCE: Duration = Duration::from_secs(120);
/// Class of every command.
const CLASS: u8 = 0xe0;
const GET_ADDRESS: u8 = 0x02;
const SIGN_TRANSACTION: u8 = 0x04;
const GET_CONFIGURATION: u8 = 0x06;
const SIGN_TYPED_DATA: u8 = 0x0c;
/// First parameter of the first part of a command, and of those that follow it.
const FIRST: u8 = 0x00;
const MORE: u8 = 0x80;
/// Longest data of one command.
const MAX_DATA: usize = 255;
/// Earlier apps sign typed data wrongly (app-ethereum issue 105).
const TYPED_DATA_SINCE: (u8, u8, u8) = (1, 6, 0);
const DONE: u16 = 0x9000;

/// A key on a device.
pub(super) struct Ledger {
    path: DerivationPath,
    address: Address,
    device: Device,
}

/// The device, one command at a time.
struct Device {
    packets: Arc<Mutex<Box<dyn Packets>>>,
    patience: Duration,
}

impl Ledger {
    /// Finds the device and reads the address of its key at `path`.
    pub(super) async fn open(path: &DerivationPath) -> Result<Self, SignerError> {
        Self::connect(hid::find()?, path, PATIENCE).await
    }

    async fn connect(
        packets: Box<dyn Packets>,
        path: &DerivationPath,
        patience: Duration,
    ) -> Result<Self, SignerError> {
        let device = Device {
            packets: Arc::new(Mutex::new(packets)),
            patience,
        };
        let address = device.address(path).await?;
        let path = path.clone();
        Ok(Self { path, address, device })
    }

    pub(super) const fn address(&self) -> Address {
        self.address
    }

    pub(super) async fn sign_transaction(&self, tx: &TxEip1559) -> Result<Signature, SignerError> {
        self.recheck().await?;
        let data = [bytes(&self.path), tx.encoded_for_signing()].concat();
        let (r, s) = self.device.sign(SIGN_TRANSACTION, &data).await?;
        super::recovered::complete(r, s, tx.signature_hash(), self.address)
    }

    pub(super) async fn sign_safe_tx(&self, tx: &SafeTx) -> Result<Signature, SignerError> {
        let domain = tx.domain();
        let message = tx.fields().message_hash(domain.version);
        self.sign_typed(domain.separator(), message, safe_tx_hash(tx)).await
    }

    pub(super) async fn sign_notice(&self, notice: &Notice) -> Result<Signature, SignerError> {
        self.sign_typed(notice.domain(), notice.message(), notice.hash()).await
    }

    /// Domain and message are what the device is told and shows; `digest` is what both give.
    async fn sign_typed(&self, domain: B256, message: B256, digest: B256) -> Result<Signature, SignerError> {
        self.recheck().await?;
        let version = self.device.version().await?;
        if version < TYPED_DATA_SINCE {
            return Err(LedgerError::TooOld { found: Some(version) }.into());
        }
        let data = [&bytes(&self.path)[..], domain.as_slice(), message.as_slice()].concat();
        let (r, s) = self.device.sign(SIGN_TYPED_DATA, &data).await?;
        super::recovered::complete(r, s, digest, self.address)
    }

    /// Whether it is still the same key.
    async fn recheck(&self) -> Result<(), SignerError> {
        let found = self.device.address(&self.path).await?;
        if found == self.address {
            return Ok(());
        }
        Err(SignerError::OtherKey {
            found,
            expected: self.address,
        })
    }
}

impl Device {
    async fn address(&self, path: &DerivationPath) -> Result<Address, LedgerError> {
        let answer = self.ask(GET_ADDRESS, FIRST, &bytes(path)).await?;
        read_address(&answer).ok_or(LedgerError::Malformed("it holds no address, or not the one of its key"))
    }

    async fn version(&self) -> Result<(u8, u8, u8), LedgerError> {
        match self.ask(GET_CONFIGURATION, FIRST, &[]).await?.as_slice() {
            [_flags, major, minor, patch] => Ok((*major, *minor, *patch)),
            _ => Err(LedgerError::Malformed("it holds no version")),
        }
    }

    /// Sends what is to be signed in as many parts as it takes, and waits for the person.
    async fn sign(&self, instruction: u8, data: &[u8]) -> Result<(U256, U256), LedgerError> {
        let mut answer = Vec::new();
        for (index, part) in data.chunks(MAX_DATA).enumerate() {
            let place = if index == 0 { FIRST } else { MORE };
            answer = self.ask(instruction, place, part).await?;
        }
        // The parity in front depends on the app's version, and is found again from the signature.
        let signature = answer.split_first().map(|(_parity, rest)| rest.split_at_checked(32));
        match signature {
            Some(Some((r, s))) if s.len() == 32 => Ok((U256::from_be_slice(r), U256::from_be_slice(s))),
            _ => Err(LedgerError::Malformed("it holds no signature")),
        }
    }

    /// One command. It waits in a thread of its own, which ends with the process: nothing else can be done about a
    /// device that is silent.
    async fn ask(&self, instruction: u8, place: u8, data: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let length = u8::try_from(data.len())
            .ok()
            .ok_or(LedgerError::Malformed("the command is too long"))?;
        let command = [&[CLASS, instruction, place, 0, length][..], data].concat();
        let (packets, patience) = (Arc::clone(&self.packets), self.patience);
        let (sender, receiver) = oneshot::channel();
        std::thread::spawn(move || {
            let mut packets = packets.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = hid::exchange(packets.as_mut(), &command, patience, || !sender.is_closed());
            // Whoever asked may have gone.
            let _unwanted = sender.send(answer);
        });
        let answer = receiver
            .await
            .ok()
            .ok_or(LedgerError::Malformed("it stopped in the middle"))??;
        let (data, status) = answer
            .split_last_chunk::<2>()
            .ok_or(LedgerError::Malformed("it has no status"))?;
        match u16::from_be_bytes(*status) {
            DONE => Ok(data.to_vec()),
            status => Err(meaning(instruction, status)),
        }
    }
}

/// What a status other than done means: those of the Ethereum app, then those of the system below it.
const fn meaning(instruction: u8, status: u16) -> LedgerError {
    match (status, instruction) {
        (0x6985 | 0x5501, _) => LedgerError::Refused,
        (0x6a80, SIGN_TRANSACTION | SIGN_TYPED_DATA) => LedgerError::BlindSigning,
        (0x6501, SIGN_TRANSACTION) => LedgerError::TooOld { found: None },
        (0x5515 | 0x6804 | 0x6982, _) => LedgerError::Locked,
        (0x6511 | 0x6d00 | 0x6d02 | 0x6e00 | 0x6e01 | 0x911c, _) => LedgerError::OtherApp,
        _ => LedgerError::Status(status),
    }
}

/// The path as the app reads it: how many steps, then each.
fn bytes(path: &DerivationPath) -> Vec<u8> {
    let steps = path.steps();
    let count = u8::try_from(steps.len()).unwrap_or(u8::MAX);
    std::iter::once(count)
        .chain(steps.iter().flat_map(|step| step.to_be_bytes()))
        .collect()
}

/// Public key and address, each with its length before it; the one has to belong to the other.
fn read_address(answer: &[u8]) -> Option<Address> {
    let (key, rest) = counted(answer)?;
    let (text, _chain_code) = counted(rest)?;
    let (4, point) = key.split_first()? else { return None };
    let point: &[u8; 64] = point.try_into().ok()?;
    let address = Address::from_raw_public_key(point);
    let mut named = Address::ZERO;
    hex::decode_to_slice(text, named.as_mut_slice()).ok()?;
    (named == address).then_some(address)
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
