//! Whether Intel stands behind the machine that signed a quote, and how safe it says the machine is. Pure: the time is given,
//! and so is the collateral.
//!
//! The rules are Intel's (Intel TDX DCAP Quote Verification Library), as `dcap-qvl` follows them. Its plain `verify` takes any
//! status but `Revoked`, and its own policy cannot be told to take an old status without a grace period besides; so it is
//! asked for what it found, and [`TcbPolicy`] judges that.

use std::collections::BTreeSet;
use std::fmt;

use alloy::primitives::B256;
use dcap_qvl::intel::{PckExtension, parse_pck_extension};
use dcap_qvl::{QuoteClaims, QuotePolicy, TcbInfo, TcbLevel};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::collateral::{Collateral, Window};
use super::quote::{self, Quote};
use super::quote_error::QuoteError;
use super::root::Root;

/// A genuine quote's machine, at the time that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// How safe Intel says it is, with its TDX module and its quoting enclave.
    pub status: TcbStatus,
    /// Intel's advisories about it. They come with good levels too, as information.
    pub advisories: Vec<String>,
    /// Number of the evaluation that says so; a later one may say otherwise.
    pub evaluation: u32,
    /// The kind of machine.
    pub fmspc: [u8; 6],
    /// dstack's `device_id`: SHA-256 of the machine's own identifier (PPID). What a guest says of it is always the hash of
    /// nothing.
    pub device_id: B256,
    /// From when until when the collateral is good.
    pub window: Window,
}

/// How safe a machine is (Intel PCS API 4, `tcbStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TcbStatus {
    /// As safe as it can be made.
    UpToDate,
    /// Software has to be hardened.
    SWHardeningNeeded,
    /// A setting has to be changed.
    ConfigurationNeeded,
    /// Both.
    ConfigurationAndSWHardeningNeeded,
    /// Updates are missing.
    OutOfDate,
    /// Updates are missing, and a setting has to be changed.
    OutOfDateConfigurationNeeded,
    /// The machine was updated since, and the trust domain was not started again.
    TDRelaunchAdvised,
    /// So, and a setting has to be changed.
    TDRelaunchAdvisedConfigurationNeeded,
    /// Its keys are known to others. Nobody can accept it.
    Revoked,
}

/// A status that Intel does not know, or that nobody can accept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is no status of a machine that can be accepted: {}", TcbStatus::names())]
pub struct NoTcbStatus {
    text: String,
}

/// Which machines are safe enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcbPolicy {
    accepted: BTreeSet<TcbStatus>,
    evaluation: u32,
}

impl Quote {
    /// Whether Intel stands behind this quote at `at`: all that [`Quote::platform`] checks, and that nothing of it was
    /// revoked, the quoting enclave is Intel's, and the machine is of a level that Intel lists.
    ///
    /// # Errors
    /// *Broken* where Intel's word contradicts, *not known* where the collateral does not allow an answer at that time.
    pub fn verify(&self, collateral: &Collateral, root: &Root, at: Timestamp) -> Result<Platform, QuoteError> {
        let identity = self.platform(root)?;
        let (found, quoted) = (&collateral.tcb_info.fmspc, hex::encode_upper(identity.fmspc));
        if !found.eq_ignore_ascii_case(&quoted) {
            return Err(QuoteError::OtherPlatform {
                found: crate::text::shorten(found, 40),
                quoted,
            });
        }
        let mut window = collateral.window();
        self.chain()?
            .iter()
            .for_each(|certificate| window.narrow_to(certificate));
        if !window.contains(at) {
            return Err(QuoteError::NotCurrent {
                from: window.from,
                until: window.until,
                at,
            });
        }
        let seconds = u64::try_from(at.as_second()).unwrap_or_default();
        let asked = root.verifier().verify_with_policy(
            self.bytes(),
            &collateral.parts,
            seconds,
            &QuotePolicy::claims_only(seconds),
        );
        match asked {
            Ok(claims) => Ok(Platform::of(claims, window)),
            Err(source) => Err(self.refused(collateral, source.into())),
        }
    }

    /// Why it was refused. The quote's own signatures and all dates were looked at before; collateral that somebody forged
    /// says what he likes, so that this only chooses among refusals.
    fn refused(&self, collateral: &Collateral, source: Box<dyn std::error::Error + Send + Sync>) -> QuoteError {
        let machine = self.chain().ok().and_then(|chain| {
            let first = chain.into_iter().next()?;
            parse_pck_extension(&first.der).ok()
        });
        let Some(machine) = machine else {
            return QuoteError::Refused(source);
        };
        let report = self.report();
        let modules = [Some(report.tee_tcb_svn), report.tee_tcb_svn2].into_iter().flatten();
        match modules
            .map(|module| level(&collateral.tcb_info, &machine, &module))
            .max()
        {
            Some(Level::None) => QuoteError::NoLevel(source),
            Some(Level::Revoked) => QuoteError::Revoked(source),
            _ => QuoteError::Refused(source),
        }
    }
}

/// What the list of levels says of one machine; ordered by what it means to be told first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Listed,
    Revoked,
    None,
}

/// The level of a machine, as `dcap-qvl` finds it: the highest one that the machine meets, and that of its TDX module.
fn level(info: &TcbInfo, machine: &PckExtension, module: &[u8; 16]) -> Level {
    let of = |status| match status {
        dcap_qvl::TcbStatus::Revoked => Level::Revoked,
        _ => Level::Listed,
    };
    let met = |level: &&TcbLevel| {
        level
            .shortfalls(&machine.cpu_svn, machine.pce_svn, Some(module))
            .is_ok_and(|missing| missing.is_empty())
    };
    let highest = info.tcb_levels.iter().filter(met).max_by(|a, b| {
        let key = |level: &'_ TcbLevel| {
            (
                level.tcb.sgx_components.clone(),
                level.tcb.pce_svn,
                level.tcb.tdx_components.clone(),
            )
        };
        key(a).cmp(&key(b))
    });
    let Some(highest) = highest else {
        return Level::None;
    };
    let identity = match info.tdx_module_identity(module) {
        Ok(None) => return of(highest.tcb_status),
        Ok(Some(identity)) => identity,
        Err(_) => return Level::None,
    };
    match identity
        .tcb_levels
        .iter()
        .find(|level| level.shortfall(module).is_none())
    {
        Some(level) => of(highest.tcb_status).max(of(level.tcb_status)),
        None => Level::None,
    }
}

impl Platform {
    fn of(claims: QuoteClaims, window: Window) -> Self {
        let until = i64::try_from(claims.earliest_expiration_date).ok();
        let until = until.and_then(|seconds| Timestamp::from_second(seconds).ok());
        Self {
            status: claims.tcb.status.into(),
            advisories: claims.tcb.advisory_ids,
            evaluation: claims.tcb.eval_data_number,
            fmspc: claims.platform.pck.fmspc,
            device_id: quote::device_id(&claims.platform.pck.ppid),
            window: Window {
                until: until.map_or(window.until, |until| until.min(window.until)),
                ..window
            },
        }
    }
}

impl Default for TcbPolicy {
    /// Up to date and nothing else.
    fn default() -> Self {
        Self {
            accepted: BTreeSet::from([TcbStatus::UpToDate]),
            evaluation: 0,
        }
    }
}

impl TcbPolicy {
    /// Accepts one more status, unless it is [`TcbStatus::Revoked`].
    #[must_use]
    pub fn accept(mut self, status: TcbStatus) -> Self {
        self.accepted
            .extend(Some(status).filter(|status| *status != TcbStatus::Revoked));
        self
    }
    /// Refuses collateral of an older evaluation than this, since a server that keeps an old one hides what was found since.
    #[must_use]
    pub const fn from_evaluation(mut self, number: u32) -> Self {
        self.evaluation = number;
        self
    }
    /// Whether a machine is safe enough.
    pub fn accepts(&self, platform: &Platform) -> bool {
        self.accepted.contains(&platform.status) && platform.evaluation >= self.evaluation
    }
}

impl TcbStatus {
    /// All that can be accepted.
    pub const ALL: [Self; 8] = [
        Self::UpToDate,
        Self::SWHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSWHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::TDRelaunchAdvised,
        Self::TDRelaunchAdvisedConfigurationNeeded,
    ];

    fn names() -> String {
        Self::ALL.map(|status| format!("`{status}`")).join(", ")
    }
}

impl From<dcap_qvl::TcbStatus> for TcbStatus {
    fn from(status: dcap_qvl::TcbStatus) -> Self {
        use dcap_qvl::TcbStatus as Theirs;
        match status {
            Theirs::UpToDate => Self::UpToDate,
            Theirs::SWHardeningNeeded => Self::SWHardeningNeeded,
            Theirs::ConfigurationNeeded => Self::ConfigurationNeeded,
            Theirs::ConfigurationAndSWHardeningNeeded => Self::ConfigurationAndSWHardeningNeeded,
            Theirs::OutOfDate => Self::OutOfDate,
            Theirs::OutOfDateConfigurationNeeded => Self::OutOfDateConfigurationNeeded,
            Theirs::TDRelaunchAdvised => Self::TDRelaunchAdvised,
            Theirs::TDRelaunchAdvisedConfigurationNeeded => Self::TDRelaunchAdvisedConfigurationNeeded,
            Theirs::Revoked => Self::Revoked,
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::str::FromStr for TcbStatus {
    type Err = NoTcbStatus;
    fn from_str(text: &str) -> Result<Self, NoTcbStatus> {
        let named = Self::ALL.into_iter().find(|status| status.to_string() == text);
        named.ok_or_else(|| NoTcbStatus {
            text: crate::text::shorten(text, 60),
        })
    }
}
