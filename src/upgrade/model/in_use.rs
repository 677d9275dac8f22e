//! What of an app's lists a CVM needs to boot again, held against what is taken away. Pure.

use alloy::primitives::B256;

use crate::chain::{AppState, PolicyChange};
use crate::code::Code;
use crate::upgrade::finding::Warning;

/// What a CVM runs, and where, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InUse {
    /// The CVM, for people.
    pub cvm: Option<String>,
    /// Compose hash that it runs.
    pub hash: Option<B256>,
    /// Device that runs it.
    pub device: Option<B256>,
}

impl InUse {
    /// What the CVM would not boot again without. `listed`: whether its device is on the app's list now.
    pub(in crate::upgrade) fn remarks(
        &self,
        app: &AppState,
        changes: &[PolicyChange],
        listed: Option<bool>,
    ) -> Vec<Warning> {
        let cvm = self.cvm.as_deref().unwrap_or("the CVM");
        let mut found = Vec::new();
        let hash = self
            .hash
            .filter(|hash| changes.contains(&PolicyChange::RemoveComposeHash(*hash)));
        found.extend(hash.map(|hash| Warning {
            code: Code::HashInUse,
            text: format!("{cvm} runs {hash}: without it on the list the CVM does not boot again"),
        }));
        let (Some(device), Some(listed)) = (self.device, listed) else {
            return found;
        };
        let after = changes
            .iter()
            .fold((app.any_device, listed), |(any, listed), change| match change {
                PolicyChange::AllowAnyDevice(on) => (*on, listed),
                PolicyChange::AddDevice(added) if *added == device => (any, true),
                PolicyChange::RemoveDevice(gone) if *gone == device => (any, false),
                _ => (any, listed),
            });
        let lets_in = |(any, listed): (bool, bool)| any || listed;
        if lets_in((app.any_device, listed)) && !lets_in(after) {
            found.push(Warning {
                code: Code::DeviceInUse,
                text: format!(
                    "{cvm} is on device {device}: the app would no longer let that in, and the CVM not boot again"
                ),
            });
        }
        found
    }

    /// Whether a change takes something away that a CVM may need.
    pub(in crate::upgrade) const fn is_taken(change: &PolicyChange) -> bool {
        matches!(
            change,
            PolicyChange::RemoveComposeHash(_) | PolicyChange::RemoveDevice(_) | PolicyChange::AllowAnyDevice(false)
        )
    }

    /// What is not known although something is taken away.
    pub(in crate::upgrade) fn doubts(&self, changes: &[PolicyChange]) -> Option<Warning> {
        let takes = |change: &PolicyChange| match change {
            PolicyChange::RemoveComposeHash(_) => self.hash.is_none(),
            PolicyChange::RemoveDevice(_) | PolicyChange::AllowAnyDevice(false) => self.device.is_none(),
            _ => false,
        };
        changes.iter().any(takes).then(|| Warning {
            code: Code::InUseUnknown,
            text: "which CVM needs what is taken away is not known here, since none was named: one that does will not boot again"
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::sample;

    const HASH: B256 = B256::repeat_byte(1);
    const DEVICE: B256 = B256::repeat_byte(2);

    fn codes(any: bool, listed: bool, changes: &[PolicyChange]) -> Vec<String> {
        let mut app = sample::plan().app_state;
        app.any_device = any;
        let in_use = InUse {
            cvm: None,
            hash: Some(HASH),
            device: Some(DEVICE),
        };
        assert_eq!(in_use.doubts(changes), None);
        let found = in_use.remarks(&app, changes, Some(listed));
        found
            .into_iter()
            .map(|warning| warning.code.name().to_owned())
            .collect()
    }

    #[test]
    fn what_a_cvm_needs_is_told_only_when_it_goes() {
        use PolicyChange::{AddDevice, AllowAnyDevice, RemoveComposeHash, RemoveDevice};
        let other = B256::repeat_byte(3);
        let none = Vec::<String>::new();
        assert_eq!(codes(false, true, &[RemoveComposeHash(HASH)]), ["HASH_IN_USE"]);
        assert_eq!(
            codes(false, true, &[RemoveComposeHash(other), RemoveDevice(other)]),
            none
        );
        assert_eq!(codes(false, true, &[RemoveDevice(DEVICE)]), ["DEVICE_IN_USE"]);
        assert_eq!(codes(true, true, &[RemoveDevice(DEVICE)]), none);
        assert_eq!(codes(true, false, &[AllowAnyDevice(false)]), ["DEVICE_IN_USE"]);
        assert_eq!(codes(true, false, &[AllowAnyDevice(false), AddDevice(DEVICE)]), none);
        assert_eq!(codes(false, true, &[RemoveDevice(DEVICE), AllowAnyDevice(true)]), none);
        // Who is not let in now loses nothing.
        assert_eq!(codes(false, false, &[AllowAnyDevice(false)]), none);
    }

    #[test]
    fn what_is_taken_away_without_a_cvm_to_ask_about_is_doubted() {
        use PolicyChange::{AddDevice, AllowAnyDevice, RemoveComposeHash, RemoveDevice};
        let nobody = InUse::default();
        for change in [RemoveComposeHash(HASH), RemoveDevice(DEVICE), AllowAnyDevice(false)] {
            assert!(nobody.doubts(&[change]).is_some(), "{change}");
        }
        assert_eq!(nobody.doubts(&[AddDevice(DEVICE), AllowAnyDevice(true)]), None);
    }
}
