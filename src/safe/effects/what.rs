//! One effect as data, whether it is dangerous, whom it gives power to, and its sentence. Pure.

use std::fmt;

use alloy::primitives::{Address, B256, FixedBytes, U256, utils::format_ether};
use serde::Serialize;

use crate::chain::TimelockRole;

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// What happens.
    #[serde(flatten)]
    pub what: What,
    /// The contract that it happens to, or who gets the ether.
    pub target: Address,
    /// What is known of the target.
    pub is: Target,
    /// By which ways it comes about, the outermost first; none: by the call itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<By>,
    /// It gives or takes power, cannot be undone, goes to a contract that it does not belong to, or cannot be told.
    pub danger: bool,
    /// All of that, for people.
    pub sentence: String,
}

/// What a target is to whoever signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The app, or one of the apps, that is asked about; with its CVM, where one is named.
    App(Option<String>),
    /// The KMS of the app.
    Kms,
    /// The Safe whose owners sign, or a Safe that is one of them.
    Safe,
    /// The timelock that owns the app.
    Timelock,
    /// Nothing that anybody named.
    Other,
}

/// A way by which something comes about that is no direct call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A timelock's operation that is scheduled: only once its delay is over and somebody executes it.
    Scheduled(B256),
    /// A timelock's operation that is executed.
    Executed(B256),
    /// A Safe that executes a transaction.
    Safe(Address),
    /// A Safe transaction that is approved on chain, once enough owners approve it.
    Approved(B256),
}

/// What happens. One-step and two-step ownership have the same call, so that one kind stands for both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// `addComposeHash`
    AllowComposeHash {
        /// What may run.
        compose_hash: B256,
    },
    /// `removeComposeHash`
    RemoveComposeHash {
        /// What may not run any more.
        compose_hash: B256,
    },
    /// `addDevice`
    AddDevice {
        /// Which.
        device: B256,
    },
    /// `removeDevice`
    RemoveDevice {
        /// Which.
        device: B256,
    },
    /// `setAllowAnyDevice`
    AllowAnyDevice {
        /// Whether.
        on: bool,
    },
    /// `setRequireTcbUpToDate`
    RequireTcbUpToDate {
        /// Whether.
        on: bool,
    },
    /// `transferOwnership`: at once, or by an offer that the new owner takes
    TransferOwnership {
        /// New owner.
        to: Address,
    },
    /// `acceptOwnership`
    AcceptOwnership,
    /// `renounceOwnership`
    RenounceOwnership,
    /// `disableUpgrades`
    DisableUpgrades,
    /// `upgradeToAndCall`
    ReplaceCode {
        /// The new implementation.
        implementation: Address,
        /// It is called at once as well.
        calls: bool,
    },
    /// `deployAndRegisterApp`
    MakeApp {
        /// Owner of the new app.
        owner: Address,
        /// Its code can never change.
        disable_upgrades: bool,
        /// Whether firmware has to be up to date, where the factory asks for it.
        require_tcb_up_to_date: Option<bool>,
        /// Every device may run it.
        allow_any_device: bool,
        /// The device that may run it.
        device: B256,
        /// The compose hash that it allows.
        compose_hash: B256,
    },
    /// `registerApp`
    RegisterApp {
        /// Which.
        app: Address,
    },
    /// `addOwnerWithThreshold`
    AddSafeOwner {
        /// New owner.
        owner: Address,
        /// Signatures that are needed from then on.
        threshold: U256,
    },
    /// `removeOwner`
    RemoveSafeOwner {
        /// Who goes.
        owner: Address,
        /// Signatures that are needed from then on.
        threshold: U256,
    },
    /// `swapOwner`
    SwapSafeOwner {
        /// Who goes.
        old: Address,
        /// Who comes.
        new: Address,
    },
    /// `changeThreshold`
    ChangeThreshold {
        /// Signatures that are needed from then on.
        threshold: U256,
    },
    /// `enableModule`
    EnableModule {
        /// Which.
        module: Address,
    },
    /// `disableModule`
    DisableModule {
        /// Which.
        module: Address,
    },
    /// `setGuard`
    SetGuard {
        /// Which; zero takes it away.
        guard: Address,
    },
    /// `setModuleGuard`
    SetModuleGuard {
        /// Which; zero takes it away.
        guard: Address,
    },
    /// `setFallbackHandler`
    SetFallbackHandler {
        /// Which.
        handler: Address,
    },
    /// `changeMasterCopy`
    ReplaceSafeCode {
        /// The new singleton.
        singleton: Address,
    },
    /// `grantRole`
    GrantRole {
        /// Id of the role.
        role: B256,
        /// Who gets it.
        account: Address,
    },
    /// `revokeRole`
    RevokeRole {
        /// Id of the role.
        role: B256,
        /// Who loses it.
        account: Address,
    },
    /// `renounceRole`
    RenounceRole {
        /// Id of the role.
        role: B256,
        /// Who gives it up.
        account: Address,
    },
    /// `updateDelay`
    ChangeDelay {
        /// The least delay from then on.
        seconds: U256,
    },
    /// `schedule`, `scheduleBatch`: what it does stands beside it
    Schedule {
        /// Its id.
        operation: B256,
        /// Seconds from the scheduling until it may be executed.
        delay: U256,
        /// An operation that has to be done before; zero for none.
        predecessor: B256,
        /// Tells apart operations that are otherwise the same.
        salt: B256,
    },
    /// `execute`, `executeBatch`: what it does stands beside it
    ExecuteOperation {
        /// Its id.
        operation: B256,
        /// An operation that has to be done before; zero for none.
        predecessor: B256,
        /// Tells apart operations that are otherwise the same.
        salt: B256,
    },
    /// `cancel`
    CancelOperation {
        /// Its id.
        operation: B256,
    },
    /// `approveHash`: where the transaction is known, what it does stands beside it
    ApproveHash {
        /// The safeTxHash.
        hash: B256,
        /// Whether the transaction is known.
        known: bool,
    },
    /// `execTransaction`: what it does stands beside it
    ExecuteSafeTransaction,
    /// The Safe calls itself with nothing: its nonce is used up
    UseUpNonce,
    /// Ether leaves
    SendEther {
        /// wei
        value: U256,
    },
    /// The Safe pays whoever executes
    PayRefund {
        /// Wei or tokens per gas.
        gas_price: U256,
        /// The token; zero for ether.
        token: Address,
        /// Who gets it; zero for whoever executes.
        receiver: Address,
    },
    /// Code of the target runs in the Safe's place and may do whatever the Safe may
    DelegateCall,
    /// A function that this build does not know, or arguments that can be read in two ways
    Unknown {
        /// The first four bytes, if there are as many.
        selector: Option<FixedBytes<4>>,
        /// Bytes of calldata.
        bytes: usize,
    },
    /// Calls in calls in calls, deeper than anybody reads
    TooDeep,
}

/// To which targets a function belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    App,
    AppOrKms,
    Kms,
    Safe,
    Timelock,
    Anywhere,
    Nowhere,
}

impl Effect {
    pub(super) fn new(what: What, (target, is): (Address, Target), by: &[By]) -> Self {
        let belongs = what.place().holds(&is);
        let danger = what.is_dangerous() || !belongs;
        let place = Spot {
            address: target,
            is: &is,
        };
        let ways: String = by.iter().rev().map(ToString::to_string).collect();
        let stray = if belongs || what.place() == Place::Nowhere {
            ""
        } else {
            " (NOT A CONTRACT THAT THIS BELONGS TO)"
        };
        let sentence = format!("{}{stray}{ways}", Sentence { what: &what, place });
        Self {
            what,
            target,
            is,
            by: by.to_vec(),
            danger,
            sentence,
        }
    }

    /// Whether it is only a way by which others come about, which stand in the list themselves.
    pub(super) const fn is_way(&self) -> bool {
        matches!(
            self.what,
            What::Schedule { .. }
                | What::ExecuteOperation { .. }
                | What::ApproveHash { known: true, .. }
                | What::ExecuteSafeTransaction
                | What::UseUpNonce
        )
    }

    /// Who gets control by it of what was the signers' before, or what gets out of their control: the address that
    /// somebody who agrees to that has to name. `None`: control stays.
    pub const fn hands_over(&self) -> Option<Address> {
        match self.what {
            What::TransferOwnership { to } => Some(to),
            What::ReplaceCode { implementation, .. } => Some(implementation),
            What::AddSafeOwner { owner, .. } => Some(owner),
            What::SwapSafeOwner { new, .. } => Some(new),
            What::EnableModule { module } => Some(module),
            What::SetGuard { guard } | What::SetModuleGuard { guard } => Some(guard),
            What::SetFallbackHandler { handler } => Some(handler),
            What::ReplaceSafeCode { singleton } => Some(singleton),
            What::GrantRole { account, .. } => Some(account),
            What::RenounceOwnership
            | What::RemoveSafeOwner { .. }
            | What::ChangeThreshold { .. }
            | What::DisableModule { .. }
            | What::RevokeRole { .. }
            | What::RenounceRole { .. }
            | What::ChangeDelay { .. }
            | What::DelegateCall => Some(self.target),
            _ => None,
        }
    }

    /// Whose code can never change again by it: the address that somebody who agrees to that has to name. Of an app that
    /// is only made by it, that is the owner.
    pub const fn freezes(&self) -> Option<Address> {
        match self.what {
            What::DisableUpgrades => Some(self.target),
            What::MakeApp {
                owner,
                disable_upgrades: true,
                ..
            } => Some(owner),
            _ => None,
        }
    }
}

impl What {
    const fn place(&self) -> Place {
        match self {
            Self::AllowComposeHash { .. }
            | Self::RemoveComposeHash { .. }
            | Self::AddDevice { .. }
            | Self::RemoveDevice { .. }
            | Self::AllowAnyDevice { .. }
            | Self::RequireTcbUpToDate { .. }
            | Self::AcceptOwnership
            | Self::DisableUpgrades => Place::App,
            Self::TransferOwnership { .. } | Self::RenounceOwnership | Self::ReplaceCode { .. } => Place::AppOrKms,
            Self::MakeApp { .. } | Self::RegisterApp { .. } => Place::Kms,
            Self::AddSafeOwner { .. }
            | Self::RemoveSafeOwner { .. }
            | Self::SwapSafeOwner { .. }
            | Self::ChangeThreshold { .. }
            | Self::EnableModule { .. }
            | Self::DisableModule { .. }
            | Self::SetGuard { .. }
            | Self::SetModuleGuard { .. }
            | Self::SetFallbackHandler { .. }
            | Self::ReplaceSafeCode { .. }
            | Self::ApproveHash { .. }
            | Self::ExecuteSafeTransaction
            | Self::UseUpNonce
            | Self::PayRefund { .. } => Place::Safe,
            Self::GrantRole { .. }
            | Self::RevokeRole { .. }
            | Self::RenounceRole { .. }
            | Self::ChangeDelay { .. }
            | Self::Schedule { .. }
            | Self::ExecuteOperation { .. }
            | Self::CancelOperation { .. } => Place::Timelock,
            Self::SendEther { .. } => Place::Anywhere,
            Self::DelegateCall | Self::Unknown { .. } | Self::TooDeep => Place::Nowhere,
        }
    }

    /// Whether it is dangerous wherever it belongs to.
    const fn is_dangerous(&self) -> bool {
        !matches!(
            self,
            Self::AllowComposeHash { .. }
                | Self::RemoveComposeHash { .. }
                | Self::AddDevice { .. }
                | Self::RemoveDevice { .. }
                | Self::AllowAnyDevice { .. }
                | Self::RequireTcbUpToDate { .. }
                | Self::AcceptOwnership
                | Self::MakeApp {
                    disable_upgrades: false,
                    ..
                }
                | Self::RegisterApp { .. }
                | Self::Schedule { .. }
                | Self::ExecuteOperation { .. }
                | Self::CancelOperation { .. }
                | Self::ApproveHash { known: true, .. }
                | Self::ExecuteSafeTransaction
                | Self::UseUpNonce
        )
    }
}

impl Place {
    fn holds(self, is: &Target) -> bool {
        match self {
            Self::App => matches!(is, Target::App(_)),
            Self::AppOrKms => matches!(is, Target::App(_) | Target::Kms),
            Self::Kms => *is == Target::Kms,
            Self::Safe => *is == Target::Safe,
            Self::Timelock => *is == Target::Timelock,
            Self::Anywhere => true,
            Self::Nowhere => false,
        }
    }
}

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
struct Spot<'a> {
    address: Address,
    is: &'a Target,
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

struct Sentence<'a> {
    what: &'a What,
    place: Spot<'a>,
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
