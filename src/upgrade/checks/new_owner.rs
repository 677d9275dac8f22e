//! Who an app is given to, as the chain has it now, and what that means for whoever signs. Pure: what was read is an input.

use alloy::primitives::Address;

use crate::chain::{AppState, OwnerKind, PolicyChange, timelock::TimelockRead};
use crate::code::Code;
use crate::safe::info::{SafeInfo, Trust};
use crate::upgrade::{
    checks::{
        safe_findings::{Targets, obeying, of_safe_finding},
        timelock::{of_code, of_roles},
    },
    finding::Finding,
};

/// A new owner as the chain has it.
#[derive(Debug, Clone)]
pub(in crate::upgrade) struct NewOwner {
    pub(in crate::upgrade) address: Address,
    pub(in crate::upgrade) kind: OwnerKind,
    /// Something of it was seen on the chain; asked where it has no code.
    pub(in crate::upgrade) seen: bool,
    /// What it is, where it is a Safe.
    pub(in crate::upgrade) safe: Option<SafeInfo>,
    /// What it is, where it is a timelock.
    pub(in crate::upgrade) timelock: Option<TimelockRead>,
}

/// What is found about whoever an app is given to. Only a stop is no doubt: nobody may give an app to a Safe that
/// strangers act for.
pub(in crate::upgrade) fn of_new_owner(
    targets: &Targets,
    state: Option<&AppState>,
    new_owner: &NewOwner,
) -> Vec<Finding> {
    let address = new_owner.address;
    let doubt = |code: Code, text: String| Finding::decision(code, Some(address.to_string()), text);
    if address.is_zero() && state.is_some_and(|state| state.pending_owner.is_some()) {
        let text = "nobody has the zero address: offering the app to it takes back the offer that is under way";
        return vec![Finding::note(Code::NewOwnerCannotAct, text.to_owned())];
    }
    let place = state.is_some_and(|state| [Some(state.app), state.implementation].contains(&Some(address)));
    match new_owner.kind {
        OwnerKind::Nobody => vec![never(address)],
        _ if place => vec![never(address)],
        OwnerKind::DelegatedEoa => Vec::new(),
        OwnerKind::Eoa if new_owner.seen => Vec::new(),
        OwnerKind::Eoa => vec![doubt(
            Code::NewOwnerUnseen,
            format!(
                "{address} has no code on this chain and was never seen on it: a Safe or a timelock of another chain cannot act \
                 here, and of a mistyped address nobody has the key"
            ),
        )],
        OwnerKind::Contract => match (&new_owner.safe, &new_owner.timelock) {
            (Some(safe), _) => of_safe(targets, safe),
            (None, Some(read)) => of_timelock(read),
            (None, None) => vec![doubt(
                Code::NewOwnerUnknown,
                format!(
                    "{address} is a contract that is neither a Safe nor a timelock: whether it can act is not known"
                ),
            )],
        },
    }
}

fn never(address: Address) -> Finding {
    let text = format!("{address} can never act as the app's owner");
    Finding::decision(Code::NewOwnerCannotAct, Some(address.to_string()), text)
}

fn of_safe(targets: &Targets, safe: &SafeInfo) -> Vec<Finding> {
    let found = safe.findings(&Trust::default());
    let found = found.iter().filter_map(|finding| of_safe_finding(safe, finding));
    found.chain(obeying(targets, safe)).collect()
}

fn of_timelock(read: &TimelockRead) -> Vec<Finding> {
    let TimelockRead { info, roles, .. } = read;
    let address = info.address;
    let doubt = |code: Code, text: String| Finding::decision(code, Some(address.to_string()), text);
    let can_execute = info.open_executor || !roles.executors.is_empty();
    let cannot = (roles.proposers.is_empty() || !can_execute).then(|| {
        let text = format!("nobody is known who may propose to the timelock {address} and execute there");
        doubt(Code::NewOwnerCannotAct, text)
    });
    let unknown = of_code(info)
        .into_iter()
        .map(|finding| doubt(Code::NewOwnerUnknown, finding.message));
    // A delay that outlives a token is no matter of who owns the app.
    let told = of_roles(info, roles, 0).into_iter().map(|mut finding| {
        finding.message = format!("the new owner, the timelock {address}: {}", finding.message);
        finding
    });
    cannot.into_iter().chain(unknown).chain(told).collect()
}

/// Whom the changes give the app to.
pub(in crate::upgrade) fn new_owners(changes: &[PolicyChange]) -> impl Iterator<Item = Address> + '_ {
    changes.iter().filter_map(PolicyChange::new_owner)
}
