//! What was agreed to: `--accept`, and the options with names of their own that mean the same. No I/O.

use crate::cli::args::{Multisig, SharedOptions};
use crate::code::Code;
use crate::safe::info::Trust;
use crate::upgrade::{Acceptance, Accepted};

/// What options with names of their own agree to.
pub(in crate::cli) fn accepted(typed: SharedOptions<'_>) -> Accepted {
    let mut accepted = Accepted::default();
    let safe = typed.safe;
    let named = [
        (
            typed.allow.is_some_and(|allow| allow.accept_unverified_hash),
            Code::HashUnverifiable,
        ),
        (typed.allow.is_some_and(|allow| allow.supersede), Code::UpdatePending),
        (safe.is_some_and(|safe| safe.accept_old_safe), Code::SafeOldVersion),
        (
            safe.is_some_and(|safe| safe.accept_safe_changes),
            Code::SafeOwnersChanged,
        ),
        (
            safe.is_some_and(|safe| safe.accept_safe_changes),
            Code::SafeHelpersChanged,
        ),
    ];
    for (_, code) in named.into_iter().filter(|(given, _)| *given) {
        accepted.agree_to_all(code);
    }
    for hash in safe.into_iter().flat_map(|safe| &safe.trust_code) {
        accepted.agree(Acceptance {
            code: Code::SafeUnknownCode,
            value: Some(hash.to_string()),
        });
    }
    accepted
}

/// Code and versions of Safes that somebody vouches for.
pub(in crate::cli) fn trust(safe: &Multisig) -> Trust {
    Trust {
        code: safe.trust_code.iter().copied().collect(),
        old_versions: safe.accept_old_safe,
    }
}
