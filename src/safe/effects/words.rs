//! The sentence of an effect. Pure.

use std::fmt;

use alloy::primitives::{Address, B256, U256, utils::format_ether};

use super::what::{By, Target, What};
use crate::chain::TimelockRole;

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheduled(operation) => write!(f, ", later, by operation {operation}"),
            Self::Executed(operation) => write!(f, ", by operation {operation}"),
            Self::Safe(safe) => write!(f, ", by the Safe {safe}"),
            Self::Approved(hash) => write!(f, ", by Safe transaction {hash}"),
        }
    }
}

/// A target in words.
pub(super) struct Spot<'a> {
    pub(super) address: Address,
    pub(super) is: &'a Target,
}

impl fmt::Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match self.is {
            // A name comes from outside: in quotes, and with everything that could end them or hide written out.
            Target::App(Some(name)) => write!(f, "the app {address} ({name:?})"),
            Target::App(None) => write!(f, "the app {address}"),
            Target::Kms => write!(f, "the KMS {address}"),
            Target::Safe => write!(f, "the Safe {address}"),
            Target::Timelock => write!(f, "the timelock {address}"),
            Target::Other => write!(f, "{address}"),
        }
    }
}

/// What happens, in words.
pub(super) struct Sentence<'a> {
    pub(super) what: &'a What,
    pub(super) place: Spot<'a>,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.place;
        match self.what {
            What::AllowComposeHash { compose_hash } => write!(f, "allow compose hash {compose_hash} on {at}"),
            What::RemoveComposeHash { compose_hash } => write!(f, "remove compose hash {compose_hash} from {at}"),
            What::AddDevice { device } => write!(f, "allow device {device} on {at}"),
            What::RemoveDevice { device } => write!(f, "remove device {device} from {at}"),
            What::AllowAnyDevice { on: true } => write!(f, "let every device run {at}"),
            What::AllowAnyDevice { on: false } => write!(f, "let only listed devices run {at}"),
            What::RequireTcbUpToDate { on: true } => write!(f, "ask for up-to-date firmware at {at}"),
            What::RequireTcbUpToDate { on: false } => write!(f, "no longer ask for up-to-date firmware at {at}"),
            What::WithdrawOffer => write!(f, "take back the offer of {at} to whomever it was made"),
            What::AcceptOwnership => write!(f, "accept the ownership of {at}"),
            What::DisableUpgrades => write!(f, "FREEZES THE CODE of {at} for ever"),
            What::TransferOwnership { .. } | What::RenounceOwnership | What::ReplaceCode { .. } => self.ownership(f),
            What::MakeApp { .. } => self.new_app(f),
            What::RegisterApp { app } => write!(f, "register the app {app} with {at}"),
            What::GrantRole { .. }
            | What::RevokeRole { .. }
            | What::RenounceRole { .. }
            | What::ChangeDelay { .. }
            | What::Schedule { .. }
            | What::ExecuteOperation { .. }
            | What::CancelOperation { .. } => self.timelock(f),
            What::ApproveHash { .. } | What::ExecuteSafeTransaction | What::UseUpNonce => self.transaction(f),
            What::SendEther { value } => write!(f, "SENDS {} ETH ({value} wei) to {at}", format_ether(*value)),
            What::PayRefund { .. } | What::DelegateCall | What::Unknown { .. } | What::TooDeep => self.foreign(f),
            _ => self.safe(f),
        }
    }
}

impl Sentence<'_> {
    fn ownership(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.place;
        match (self.what, at.is) {
            (What::TransferOwnership { to }, Target::App(_)) => write!(
                f,
                "GIVES THE APP AWAY: {to} becomes the owner of {at}, at once or by accepting it"
            ),
            (What::TransferOwnership { to }, _) => {
                write!(f, "GIVES {at} AWAY: {to} becomes its owner, at once or by accepting it")
            }
            (What::RenounceOwnership, Target::App(_)) => {
                write!(
                    f,
                    "GIVES THE APP UP: nobody owns {at} any more, and nobody could ever change it"
                )
            }
            (What::RenounceOwnership, _) => write!(f, "GIVES {at} UP: nobody owns it any more"),
            (What::ReplaceCode { implementation, calls }, _) => {
                let calls = if *calls { ", and calls it" } else { "" };
                write!(f, "REPLACES THE CODE of {at} by {implementation}{calls}")
            }
            _ => Ok(()),
        }
    }

    fn new_app(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let What::MakeApp {
            owner,
            disable_upgrades,
            require_tcb_up_to_date,
            allow_any_device,
            device,
            compose_hash,
        } = self.what
        else {
            return Ok(());
        };
        let code = if *disable_upgrades {
            "CODE FROZEN for ever"
        } else {
            "code that its owner can change"
        };
        write!(
            f,
            "make an app at {}, owned by {owner}, with {code}, that allows compose hash {compose_hash} on ",
            self.place
        )?;
        if *allow_any_device {
            write!(f, "every device")?;
        } else {
            write!(f, "device {device}")?;
        }
        match require_tcb_up_to_date {
            Some(true) => write!(f, ", with up-to-date firmware"),
            Some(false) => write!(f, ", whatever its firmware"),
            None => Ok(()),
        }
    }

    fn safe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.place;
        match self.what {
            What::AddSafeOwner { owner, threshold } => {
                write!(
                    f,
                    "MAKES {owner} AN OWNER of {at}, which then asks for {threshold} signatures"
                )
            }
            What::RemoveSafeOwner { owner, threshold } => {
                write!(
                    f,
                    "REMOVES THE OWNER {owner} of {at}, which then asks for {threshold} signatures"
                )
            }
            What::SwapSafeOwner { old, new } => write!(f, "REPLACES THE OWNER {old} of {at} by {new}"),
            What::ChangeThreshold { threshold } => {
                write!(f, "CHANGES HOW MANY OWNERS of {at} have to sign to {threshold}")
            }
            What::EnableModule { module } => write!(f, "LETS {module} ACT for {at} without its owners"),
            What::DisableModule { module } => write!(f, "TAKES THE MODULE {module} from {at}"),
            What::SetGuard { guard } => write!(f, "CHANGES WHO MAY REFUSE transactions of {at} to {guard}"),
            What::SetModuleGuard { guard } => {
                write!(f, "CHANGES WHO MAY REFUSE what modules of {at} do to {guard}")
            }
            What::SetFallbackHandler { handler } => write!(f, "CHANGES WHAT ANSWERS for {at} to {handler}"),
            What::ReplaceSafeCode { singleton } => write!(f, "REPLACES THE CODE of {at} by {singleton}"),
            _ => Ok(()),
        }
    }

    fn timelock(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.place;
        match self.what {
            What::GrantRole { role, account } => write!(f, "GIVES {account} THE ROLE {} of {at}", named(*role)),
            What::RevokeRole { role, account } => write!(f, "TAKES THE ROLE {} of {at} from {account}", named(*role)),
            What::RenounceRole { role, account } => {
                write!(f, "GIVES UP THE ROLE {} of {at}, of {account}", named(*role))
            }
            What::ChangeDelay { seconds } => {
                write!(f, "CHANGES THE LEAST DELAY of {at} to {}", duration(*seconds))
            }
            What::Schedule {
                operation,
                delay,
                predecessor,
                salt,
            } => {
                write!(
                    f,
                    "schedule operation {operation} at {at}, executable {} later",
                    duration(*delay)
                )?;
                after(f, *predecessor)?;
                write!(f, ", salt {salt}")
            }
            What::ExecuteOperation {
                operation,
                predecessor,
                salt,
            } => {
                write!(f, "execute operation {operation} at {at}")?;
                after(f, *predecessor)?;
                write!(f, ", salt {salt}")
            }
            What::CancelOperation { operation } => write!(f, "cancel operation {operation} at {at}"),
            _ => Ok(()),
        }
    }

    fn transaction(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.place;
        match self.what {
            What::ApproveHash { hash, known: true } => write!(f, "approve Safe transaction {hash} of {at}"),
            What::ApproveHash { hash, known: false } => {
                write!(f, "APPROVES SOMETHING UNKNOWN: Safe transaction {hash} of {at}")
            }
            What::ExecuteSafeTransaction => write!(f, "execute a transaction of {at}"),
            What::UseUpNonce => write!(f, "use up the nonce of {at}, and nothing else"),
            _ => Ok(()),
        }
    }

    fn foreign(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.place;
        match self.what {
            What::PayRefund {
                gas_price,
                token,
                receiver,
            } => {
                let who = if receiver.is_zero() {
                    "whoever executes".to_owned()
                } else {
                    receiver.to_string()
                };
                let token = if token.is_zero() {
                    "wei".to_owned()
                } else {
                    format!("of the token {token}")
                };
                write!(f, "MAKES {at} PAY {who} {gas_price} {token} for each gas")
            }
            What::DelegateCall => write!(f, "RUNS THE CODE of {at} in the Safe's place: it may do everything"),
            What::Unknown { selector: None, bytes } => {
                write!(f, "UNKNOWN: calls {at} with {bytes} bytes that name no function")
            }
            What::Unknown {
                selector: Some(selector),
                bytes,
            } => write!(
                f,
                "UNKNOWN: calls the function {selector} of {at}, {bytes} bytes, which this build cannot read"
            ),
            What::TooDeep => write!(f, "UNKNOWN: a call to {at} inside more calls than are read"),
            _ => Ok(()),
        }
    }
}

fn after(f: &mut fmt::Formatter<'_>, predecessor: B256) -> fmt::Result {
    if predecessor.is_zero() {
        return Ok(());
    }
    write!(f, ", only after operation {predecessor}")
}

fn named(role: B256) -> String {
    TimelockRole::of_id(role).map_or_else(|| role.to_string(), |known| format!("{known} ({role})"))
}

/// Seconds, and what they come to where that is whole days or hours.
fn duration(seconds: U256) -> String {
    let whole = |unit: u64| !seconds.is_zero() && (seconds % U256::from(unit)).is_zero();
    let plural = |count: U256, unit: &str| {
        let s = if count == U256::ONE { "" } else { "s" };
        format!("{count} {unit}{s}")
    };
    let told = plural(seconds, "second");
    if whole(86_400) {
        return format!("{} ({told})", plural(seconds / U256::from(86_400), "day"));
    }
    if whole(3_600) {
        return format!("{} ({told})", plural(seconds / U256::from(3_600), "hour"));
    }
    told
}
