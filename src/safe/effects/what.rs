//! What can happen, as data: the kinds, their targets and ways, what belongs where and what is dangerous. Pure.

use alloy::primitives::{Address, B256, FixedBytes, U256};
use serde::Serialize;

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
        /// The device that may run the app.
        device: B256,
    },
    /// `removeDevice`
    RemoveDevice {
        /// The device that is taken from the list.
        device: B256,
    },
    /// `setAllowAnyDevice`
    AllowAnyDevice {
        /// Whether every device may run the app.
        on: bool,
    },
    /// `setRequireTcbUpToDate`
    RequireTcbUpToDate {
        /// Whether the firmware has to be up to date.
        on: bool,
    },
    /// `transferOwnership`: at once, or by an offer that the new owner takes
    TransferOwnership {
        /// New owner.
        to: Address,
    },
    /// `transferOwnership` to nobody: takes an offer back, and is refused where ownership changes in one step
    WithdrawOffer,
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
        /// The app that is registered.
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
        /// The module that may act for the Safe.
        module: Address,
    },
    /// `disableModule`
    DisableModule {
        /// The module that may not act for the Safe any more.
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
        /// The new fallback handler.
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
pub(super) enum Place {
    App,
    AppOrKms,
    Kms,
    Safe,
    Timelock,
    Anywhere,
    Nowhere,
}

impl What {
    pub(super) const fn place(&self) -> Place {
        match self {
            Self::AllowComposeHash { .. }
            | Self::RemoveComposeHash { .. }
            | Self::AddDevice { .. }
            | Self::RemoveDevice { .. }
            | Self::AllowAnyDevice { .. }
            | Self::RequireTcbUpToDate { .. }
            | Self::AcceptOwnership
            | Self::WithdrawOffer
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
    pub(super) const fn is_dangerous(&self) -> bool {
        !matches!(
            self,
            Self::AllowComposeHash { .. }
                | Self::RemoveComposeHash { .. }
                | Self::AddDevice { .. }
                | Self::RemoveDevice { .. }
                | Self::AllowAnyDevice { on: false }
                | Self::RequireTcbUpToDate { on: true }
                | Self::AcceptOwnership
                | Self::WithdrawOffer
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
    pub(super) fn holds(self, is: &Target) -> bool {
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
