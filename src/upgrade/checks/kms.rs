//! The KMS of an app: whether anything but Phala Cloud's word speaks for its contract, and what it says of the boot to come.
//! Pure.
//!
//! The app's contract names no KMS: whoever calls its `isAppAllowed` cannot be read. So the first trust in a contract that is
//! not built in is somebody's decision, wherever values are sealed for it.

use alloy::primitives::Address;

use crate::chain::{AppState, Preflight, is_known_kms};
use crate::code::Code;
use crate::upgrade::{
    UpgradeError,
    checks::os_image::not_allowed,
    finding::{Finding, Warning},
    model::environment::EnvRequest,
    model::{Intent, Plan},
};

/// Who knows the KMS is told of that one, whatever the cloud would rather have.
pub(in crate::upgrade) fn refuse_other(expected: Option<Address>, found: Option<Address>) -> Result<(), UpgradeError> {
    match (expected, found) {
        (Some(expected), Some(found)) if expected != found => Err(UpgradeError::stop(
            Code::KmsMismatch,
            "KMS contract of the CVM",
            expected,
            found,
        )),
        _ => Ok(()),
    }
}

/// Whether somebody named the KMS, by its contract or by its root key.
pub(in crate::upgrade) fn is_named(intent: &Intent, kms: Option<Address>) -> bool {
    let by_root = matches!(&intent.env, Some(EnvRequest::Values { root: Some(_), .. }));
    by_root || (kms.is_some() && intent.expected.kms == kms)
}

/// The KMS contract of a plan, where nothing but Phala Cloud's word speaks for it.
fn unnamed(plan: &Plan) -> Option<Address> {
    plan.code.as_ref().filter(|code| !code.kms_named)?;
    plan.kms.filter(|kms| !is_known_kms(plan.chain_id, *kms))
}

/// What somebody has to decide about the KMS before anything is sealed or sent.
pub(in crate::upgrade) fn doubt(plan: &Plan) -> Option<Finding> {
    changed(plan).or_else(|| first_trust(plan))
}

/// Phala Cloud names another KMS than before, and nobody here does.
fn changed(plan: &Plan) -> Option<Finding> {
    let code = plan.code.as_ref().filter(|code| !code.kms_named)?;
    let (before, now) = (code.kms_before?, plan.kms?);
    let text = || {
        format!(
            "the app's last upgrade that was proved here was for the KMS contract {before}, and Phala Cloud names {now} now: a \
             CVM keeps its keys with its KMS only, and values are sealed for whoever runs it; ask whoever runs the KMS, and \
             name the contract as `kms` in phala.toml"
        )
    };
    (before != now).then(|| Finding::decision(Code::KmsChanged, Some(now.to_string()), text()))
}

/// Values would be sealed for a KMS that nobody named.
fn first_trust(plan: &Plan) -> Option<Finding> {
    let kms = unnamed(plan)?;
    let vouched = plan.code.as_ref()?.environment.as_ref()?.vouched.as_ref()?;
    Some(Finding::decision(
        Code::KmsNotKnown,
        Some(kms.to_string()),
        format!(
            "the values would be sealed for the KMS contract {kms}, which only Phala Cloud names: this version does not know it, \
             no earlier upgrade of the app here trusted it, and the app's contract does not say which KMS asks it, so this is \
             the first trust in it; compare its root key {} with what whoever runs it says, and name that by --kms-root-key, \
             or the contract as `kms` in phala.toml",
            vouched.root
        ),
    ))
}

/// What whoever reads or signs should know: values are sealed for a KMS contract that is none that this version knows.
/// Without values nothing is given to it that it does not have; the page says then which one it is.
pub(in crate::upgrade) fn unknown(plan: &Plan) -> Option<Finding> {
    let kms = unnamed(plan)?;
    plan.code.as_ref()?.environment.as_ref()?;
    Some(Finding::note(
        Code::KmsNotKnown,
        format!(
            "this version does not know the KMS contract {kms}, and the app's contract does not say which KMS asks it: \
             compare it with what whoever runs the KMS says"
        ),
    ))
}

/// Why the KMS would not let a CVM boot, were the hash allowed; nothing where it would, or was not asked so.
pub(in crate::upgrade) fn refusal(app: &AppState) -> Option<String> {
    let asked = |preflight: &&Preflight| preflight.as_if_allowed || app.hash_allowed == Some(true);
    let denied = app.preflight.as_ref().filter(asked);
    match denied.filter(|preflight| !preflight.allowed) {
        Some(preflight) => Some(preflight.reason.clone()),
        None if app.os_image_allowed == Some(false) => Some("OS image is not allowed".to_owned()),
        None => None,
    }
}

/// What the KMS says now of the boot that follows the change of `plan`. A refusal stands until the world changes.
pub(in crate::upgrade) fn of_boot(plan: &Plan, app: &AppState) -> Vec<Finding> {
    let Some(code) = &plan.code else { return Vec::new() };
    let image = code.patch.image.as_deref();
    boot(app, image.map(|name| not_allowed(name, code.os_image, plan.kms)))
}

/// What the KMS says now of the boot of the hash that it was asked about; what is told of the OS image, if that is what it
/// refuses and another one is to come.
pub(in crate::upgrade) fn boot(app: &AppState, of_image: Option<Warning>) -> Vec<Finding> {
    let mut found = Vec::new();
    if app.registered == Some(false) {
        let text = "the KMS contract does not know the app".to_owned();
        found.push(Finding::decision(Code::AppNotRegistered, None, text));
    }
    let image_refused = app.os_image_allowed == Some(false);
    // The KMS is never asked as if a device were let in, and one that is not is told of by itself.
    let device_refused = app.device_allowed == Some(false) && !app.any_device;
    if let Some(reason) = refusal(app).filter(|_| image_refused || !device_refused) {
        let reason = if image_refused {
            "OS image is not allowed"
        } else {
            &*reason
        };
        let Warning { code, text } = of_image.filter(|_| image_refused).unwrap_or_else(|| Warning {
            code: Code::KmsWouldRefuse,
            text: format!("with the hash allowed, the KMS would still refuse the boot: {reason}"),
        });
        found.push(Finding::decision(code, None, text));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::sample;

    fn asked(allowed: bool, as_if_allowed: bool) -> AppState {
        let mut app = sample::plan().app_state;
        app.preflight = Some(Preflight {
            allowed,
            reason: "Device not allowed".to_owned(),
            as_if_allowed,
        });
        app
    }

    fn codes(app: &AppState) -> Vec<Code> {
        of_boot(&sample::plan(), app)
            .into_iter()
            .map(|finding| finding.code)
            .collect()
    }

    #[test]
    fn fr2_another_kms_than_before_is_a_decision_that_names_both_unless_somebody_named_it() {
        let mut plan = sample::plan();
        let (before, now) = (Address::repeat_byte(0xbe), Address::repeat_byte(0x11));
        plan.kms = Some(now);
        assert_eq!(changed(&plan), None, "nothing was proved before");
        plan.code.as_mut().unwrap().kms_before = Some(now);
        assert_eq!(changed(&plan), None, "the same one");
        plan.code.as_mut().unwrap().kms_before = Some(before);
        let found = doubt(&plan).unwrap();
        assert_eq!((found.code, found.value), (Code::KmsChanged, Some(now.to_string())));
        for kms in [before, now] {
            assert!(found.message.contains(&kms.to_string()), "{}", found.message);
        }
        plan.code.as_mut().unwrap().kms_named = true;
        assert_eq!(changed(&plan), None);
    }

    #[test]
    fn con_c3_what_the_kms_says_counts_when_it_was_asked_as_if_the_hash_were_allowed_or_that_is() {
        assert!(codes(&asked(true, true)).is_empty());
        assert_eq!(codes(&asked(false, true)), [Code::KmsWouldRefuse]);
        let mut app = asked(false, false);
        assert!(codes(&app).is_empty(), "it denies the hash, which is not allowed yet");
        app.os_image_allowed = Some(false);
        assert_eq!(codes(&app), [Code::KmsWouldRefuse], "that needs no override");
        app.os_image_allowed = Some(true);
        app.hash_allowed = Some(true);
        assert_eq!(codes(&app), [Code::KmsWouldRefuse]);
        app.registered = Some(false);
        assert_eq!(codes(&app), [Code::AppNotRegistered, Code::KmsWouldRefuse]);
    }

    #[test]
    fn con_c3_a_device_that_is_not_let_in_is_another_findings_business() {
        let plan = sample::plan();
        let mut app = asked(false, true);
        app.device_allowed = Some(false);
        assert!(of_boot(&plan, &app).is_empty());
        app.os_image_allowed = Some(false);
        assert_eq!(of_boot(&plan, &app).len(), 1, "nor does that let the image in");
    }
}
