//! What a plan's facts mean: what forbids going on, and what a person should know. Pure.

use alloy::primitives::B256;

use crate::chain::{AppState, OwnerKind, PolicyChange, policy_history::PolicyHistory};
use crate::cloud::{Cvm, apps::PendingUpdate};
use crate::code::Code;
use crate::compose::{ComposeHash, Form, Manifest};
use crate::upgrade::{
    checks::{
        governance, kms,
        os_image::{NextImage, lost_on_image, not_allowed},
    },
    finding::Warning,
    model::{
        plan::{is_of, needs_calls},
        remarks::{derived_warnings, manifest_warnings},
        route::Route,
        target::Target,
    },
};

/// The facts that are judged.
pub(in crate::upgrade) struct Findings<'f> {
    pub(in crate::upgrade) app: &'f AppState,
    pub(in crate::upgrade) cvm: &'f Cvm,
    pub(in crate::upgrade) before: &'f Manifest,
    pub(in crate::upgrade) after: &'f Manifest,
    pub(in crate::upgrade) form: Option<Form>,
    pub(in crate::upgrade) expected: Option<ComposeHash>,
    /// `None`: the API does not say.
    pub(in crate::upgrade) pending: Option<&'f [PendingUpdate]>,
    /// Empty unless older hashes forbid going on.
    pub(in crate::upgrade) history: Option<&'f PolicyHistory>,
    /// What else changes of the policy.
    pub(in crate::upgrade) policy: &'f [PolicyChange],
    /// An environment goes with it.
    pub(in crate::upgrade) environment: bool,
    /// Whether another CVM is made.
    pub(in crate::upgrade) target: &'f Target,
    /// The OS image that the CVM is to be given.
    pub(in crate::upgrade) image: Option<&'f NextImage>,
}

impl Findings<'_> {
    /// What forbids going on.
    pub(in crate::upgrade) fn blockers(&self) -> Vec<Warning> {
        // Which kind of app it is, before what follows from that.
        let mut found: Vec<Warning> = governance::of_app(self.app, self.expected).into_iter().collect();
        found.extend(self.contract_blockers().into_iter().flatten());
        // The token of a new instance is the app's own and takes no CVM's.
        let takes_token = !matches!(self.target, Target::Instance(_));
        let ours = self
            .pending
            .unwrap_or_default()
            .iter()
            .filter(|update| takes_token && is_of(update, self.cvm.uuid.as_deref()));
        found.extend(ours.filter_map(|update| {
            let hash = update
                .compose_hash
                .map_or_else(|| "unknown hash".to_owned(), |hash| hash.to_string());
            Warning::when(true, Code::UpdatePending, || {
                format!("another update of this CVM is pending ({hash}); preparing this one ends its commit token")
            })
        }));
        found.extend(
            self.history
                .into_iter()
                .flat_map(|history| self.older_hashes(history))
                .flatten(),
        );
        found
    }

    /// An allowed hash needs no approval: who has the API key can put the CVM back to it.
    fn older_hashes(&self, history: &PolicyHistory) -> [Option<Warning>; 2] {
        let known = [self.cvm.compose_hash, self.expected];
        let stays = |id: &B256| {
            let removed = self.policy.contains(&PolicyChange::RemoveComposeHash(*id));
            !removed && !known.contains(&Some(ComposeHash::new(id.0)))
        };
        let allowed = history.hashes.iter().filter(|entry| entry.allowed);
        let older: Vec<String> = allowed
            .filter(|entry| stays(&entry.id))
            .map(|entry| entry.id.to_string())
            .collect();
        let allowed = Warning::when(!older.is_empty(), Code::OlderHashesAllowed, || {
            format!(
                "hashes other than the one that runs are still allowed, so the CVM can be put back to them without an \
                 approval: {}",
                older.join(", ")
            )
        });
        let unknown = history.incomplete.as_ref().map(|why| Warning {
            code: Code::OlderHashesUnknown,
            text: format!("whether older hashes are still allowed is not known: {why}"),
        });
        [allowed, unknown.filter(|_| older.is_empty())]
    }

    fn contract_blockers(&self) -> [Option<Warning>; 8] {
        let app = self.app;
        let calls = needs_calls(app, self.policy);
        let same_hash = self.expected.is_some() && self.expected == self.cvm.compose_hash;
        let unchanged = (same_hash || self.before == self.after) && !self.target.is_new();
        let device = self
            .cvm
            .device_id
            .map_or_else(|| "unknown".to_owned(), |device| device.to_string());
        let image_refused = app.os_image_allowed == Some(false);
        let denied = kms::refusal(app).filter(|_| image_refused || !self.lets_the_device_in());
        [
            Warning::when(unchanged && self.environment, Code::EnvValuesOnly, || {
                "only values of the environment change, no names: nobody has to approve that on chain, and preparing would apply it at once".to_owned()
            }),
            Warning::when(unchanged && !self.environment, Code::NothingToApprove, || {
                "nothing that the compose hash covers changes, so nobody has to approve it".to_owned()
            }),
            Warning::when(
                calls && app.owner_kind == OwnerKind::Nobody,
                Code::OwnerRenounced,
                || "the app has no owner: its policy can never change again".to_owned(),
            ),
            Warning::when(calls && !app.manages_hashes, Code::AppInterface, || {
                format!(
                    "{} does not announce the interface that allows compose hashes (ERC-165 0x8fd37527)",
                    app.app
                )
            }),
            Warning::when(app.registered == Some(false), Code::AppNotRegistered, || {
                "the KMS contract does not know the app".to_owned()
            }),
            Warning::when(
                app.device_allowed == Some(false) && !app.any_device && !self.lets_the_device_in(),
                Code::DeviceNotAllowed,
                || {
                    format!(
                        "the app does not allow the device that {}; its owner has to call addDevice({device}) first, \
                         or in the same approval by --add-device {device}",
                        if self.target.is_new() {
                            "is to run the new CVM"
                        } else {
                            "runs the CVM"
                        }
                    )
                },
            ),
            denied.map(|denied| match self.image.filter(|_| image_refused) {
                Some(image) => not_allowed(image.name(), image.hash(), self.cvm.kms.kms_contract),
                None => Warning {
                    code: Code::KmsWouldRefuse,
                    text: format!("with the hash allowed, the KMS would still refuse the boot: {denied}"),
                },
            }),
            self.lost_on_the_image(),
        ]
    }

    /// What the CVM's image, or the one that it is to be given, does not survive of the manifest as it is to be.
    fn lost_on_the_image(&self) -> Option<Warning> {
        let now = self.cvm.os_version.as_deref().or(self.cvm.os_image.as_deref());
        let named = self.image.map(NextImage::name).or(now)?;
        lost_on_image(named, self.cvm.node_version.as_deref(), self.after)
    }

    /// Whether the change itself lets the CVM's device in, which is not let in now.
    fn lets_the_device_in(&self) -> bool {
        let adds = |change: &PolicyChange| match change {
            PolicyChange::AddDevice(device) => Some(*device) == self.cvm.device_id,
            PolicyChange::AllowAnyDevice(on) => *on,
            _ => false,
        };
        self.app.device_allowed == Some(false) && !self.app.any_device && self.policy.iter().any(adds)
    }

    /// What a person should know.
    pub(in crate::upgrade) fn warnings(&self) -> Vec<Warning> {
        let mut found = derived_warnings(self.app, None);
        let of_code = manifest_warnings(self.before, self.after, self.form);
        found.extend(of_code);
        found.extend(self.cloud_warnings().into_iter().flatten());
        found
    }

    fn cloud_warnings(&self) -> [Option<Warning>; 3] {
        let progress = self.cvm.progress.as_ref();
        let target = progress
            .and_then(|progress| progress.target.clone())
            .unwrap_or_else(|| "unknown".to_owned());
        let denied = kms::refusal(self.app).filter(|_| self.lets_the_device_in());
        [
            // The KMS is asked as if the hash were allowed, not as if the device were.
            denied.and_then(|denied| {
                Warning::when(true, Code::KmsNotAsked, || {
                    format!("what the KMS will say once the device is allowed is not known; now it says: {denied}")
                })
            }),
            Warning::when(self.pending.is_none(), Code::PendingUnknown, || {
                "Phala Cloud does not say whether another update of this app is pending".to_owned()
            }),
            Warning::when(progress.is_some(), Code::OperationInProgress, || {
                format!("an operation is under way on the CVM (target: {target})")
            }),
        ]
    }
}

/// Several calls need an owner that can make them in one transaction.
pub(in crate::upgrade) fn route_blocker(route: &Route, calls: usize) -> Option<Warning> {
    let single = matches!(route, Route::Eoa { .. } | Route::Calldata { .. });
    Warning::when(single && calls > 1, Code::BatchNeedsSafe, || {
        "only a Safe or a timelock makes several calls in one transaction; make the changes of the app's policy one by one"
            .to_owned()
    })
}

/// Two changes that set the same thing.
pub(in crate::upgrade) fn policy_conflict(changes: &[PolicyChange]) -> Option<Warning> {
    let (one, other) = changes.iter().enumerate().find_map(|(index, change)| {
        let mut others = changes.iter().skip(index + 1);
        let other = others.find(|other| change.conflicts_with(**other))?;
        Some((change, other))
    })?;
    Some(Warning {
        code: Code::PolicyConflict,
        text: format!("these two set the same thing: {one}; {other}"),
    })
}

/// What forbids a change of an app's policy.
pub(in crate::upgrade) fn policy_blockers(app: &AppState, changes: &[PolicyChange]) -> Vec<Warning> {
    let lists = |change: &PolicyChange| change.is_of_a_list();
    let tcb = |change: &PolicyChange| matches!(change, PolicyChange::RequireTcbUpToDate(_));
    let found = [
        governance::of_app(app, None).filter(|_| !changes.is_empty()),
        Warning::when(
            app.owner_kind == OwnerKind::Nobody && !changes.is_empty(),
            Code::OwnerRenounced,
            || "the app has no owner: its policy can never change again".to_owned(),
        ),
        policy_conflict(changes),
        Warning::when(
            !app.manages_hashes && changes.iter().any(lists),
            Code::AppInterface,
            || {
                format!(
                    "{} does not announce the interface that allows hashes and devices (ERC-165 0x8fd37527)",
                    app.app
                )
            },
        ),
        Warning::when(
            app.require_tcb_up_to_date.is_none() && changes.iter().any(tcb),
            Code::AppInterface,
            || {
                format!(
                    "{} has no switch for firmware: it is older than version 2 of the contract",
                    app.app
                )
            },
        ),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
#[path = "findings_tests.rs"]
mod tests;
