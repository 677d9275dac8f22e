//! The TD report: what the TDX module measured of a trust domain. Pure; the quote carries it.
//!
//! Fields and their order: Intel TDX DCAP Quoting Library, quote formats 4 and 5 (TD report for TDX 1.0, 1.5, and its
//! extended body); attributes: Intel TDX Module ABI Specification 348551, TD_ATTRIBUTES.

use std::fmt;

use alloy::primitives::{B256, FixedBytes};
use sha2::{Digest as _, Sha256};

use super::event::Register;
use super::reader::Reader;

/// What was measured of a trust domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdReport {
    /// Security versions of the TDX module when the TD was launched.
    pub tee_tcb_svn: [u8; 16],
    /// The TDX module.
    pub mr_seam: Register,
    /// Who signed it; zeros mean Intel.
    pub mr_signer_seam: Register,
    /// What the TD may do, see [`TdReport::faults`].
    pub td_attributes: u64,
    /// Extended processor features.
    pub xfam: u64,
    /// The firmware that the TD started with.
    pub mrtd: Register,
    /// What the host said of the app, see [`ConfigId`](super::ConfigId).
    pub mr_config_id: Register,
    /// Owner, set by the host.
    pub mr_owner: Register,
    /// The owner's own word.
    pub mr_owner_config: Register,
    /// Run-time measurements: 0 the virtual hardware, 1 the kernel, 2 its command line and initial file system, 3 the app.
    pub rtmr: [Register; 4],
    /// What the guest asked to have signed.
    pub report_data: FixedBytes<64>,
    /// Security versions of the TDX module now, from TDX 1.5 on.
    pub tee_tcb_svn2: Option<[u8; 16]>,
    /// Service TDs that are bound to it, from TDX 1.5 on.
    pub mr_service_td: Option<Register>,
}

/// Why a genuine trust domain cannot be trusted: somebody outside may look into it, or move it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TdFault {
    /// The host reads and writes its memory.
    Debug,
    /// Its run is profiled from outside.
    Profiled,
    /// Bits that a verifier has to refuse.
    Reserved,
    /// The host can inject exceptions by taking pages away.
    PageFaults,
    /// It can be moved to another machine.
    Migratable,
    /// Another TD serves it and may act on it.
    ServiceTd,
}

/// Bits that have to be zero (348551-008, TD_ATTRIBUTES).
const RESERVED: u64 = bits(1, 3) | bits(7, 15) | bits(23, 26) | bits(32, 61);

impl TdReport {
    /// Reads a report; `is_later` where TDX 1.5 made it.
    pub(super) fn read(reader: &mut Reader<'_>, is_later: bool) -> Option<Self> {
        let tee_tcb_svn = reader.array()?;
        let mr_seam = register(reader)?;
        let mr_signer_seam = register(reader)?;
        let _seam_attributes = reader.take(8)?;
        Some(Self {
            tee_tcb_svn,
            mr_seam,
            mr_signer_seam,
            td_attributes: reader.array().map(u64::from_le_bytes)?,
            xfam: reader.array().map(u64::from_le_bytes)?,
            mrtd: register(reader)?,
            mr_config_id: register(reader)?,
            mr_owner: register(reader)?,
            mr_owner_config: register(reader)?,
            rtmr: [
                register(reader)?,
                register(reader)?,
                register(reader)?,
                register(reader)?,
            ],
            report_data: FixedBytes::from(reader.array::<64>()?),
            tee_tcb_svn2: if is_later { Some(reader.array()?) } else { None },
            mr_service_td: if is_later { Some(register(reader)?) } else { None },
        })
    }

    /// Why it could not be trusted though it were genuine; nothing where it can.
    pub fn faults(&self) -> Vec<TdFault> {
        let has = |mask| self.td_attributes & mask != 0;
        let served = self.mr_service_td.is_some_and(|service| service != Register::ZERO);
        let found = [
            (has(bits(0, 0)), TdFault::Debug),
            (has(bits(4, 6)), TdFault::Profiled),
            (has(RESERVED), TdFault::Reserved),
            (!has(bits(28, 28)), TdFault::PageFaults),
            (has(bits(29, 29)), TdFault::Migratable),
            (has(bits(17, 17)) || served, TdFault::ServiceTd),
        ];
        found
            .into_iter()
            .filter(|(is, _)| *is)
            .map(|(_, fault)| fault)
            .collect()
    }

    /// dstack's `mr_aggregated`: SHA-256 of the firmware, the registers with `rtmr3` in the last one's place, and what the
    /// host and owner said where they said anything.
    pub fn mr_aggregated(&self, rtmr3: &Register) -> B256 {
        let mut hasher = self.system();
        hasher.update(rtmr3);
        let said = [self.mr_config_id, self.mr_owner, self.mr_owner_config];
        if said != [Register::ZERO; 3] {
            said.iter().for_each(|said| hasher.update(said));
        }
        B256::from(<[u8; 32]>::from(hasher.finalize()))
    }

    /// dstack's `mr_system`: SHA-256 of firmware, image and the hash of the key provider.
    pub fn mr_system(&self, key_provider: &[u8]) -> B256 {
        let mut hasher = self.system();
        match key_provider {
            [] => hasher.update([0; 32]),
            payload => hasher.update(Sha256::digest(payload)),
        }
        B256::from(<[u8; 32]>::from(hasher.finalize()))
    }

    fn system(&self) -> Sha256 {
        let mut hasher = Sha256::new();
        hasher.update(self.mrtd);
        self.rtmr.iter().take(3).for_each(|rtmr| hasher.update(rtmr));
        hasher
    }
}

impl fmt::Display for TdFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Debug => "its host can read it, since it runs in debug mode",
            Self::Profiled => "its host can profile it",
            Self::Reserved => "it has attributes that have to be unset",
            Self::PageFaults => "its host can inject exceptions, since SEPT_VE_DISABLE is unset",
            Self::Migratable => "it can be moved to another machine",
            Self::ServiceTd => "another trust domain is bound to it",
        })
    }
}

fn register(reader: &mut Reader<'_>) -> Option<Register> {
    reader.array::<48>().map(Register::from)
}

/// The bits from `first` to `last`.
const fn bits(first: u32, last: u32) -> u64 {
    (u64::MAX << first) & (u64::MAX >> (63 - last))
}
