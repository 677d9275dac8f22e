//! Whether somebody agreed to what no hash covers. Pure.

use crate::code::Code;
use crate::upgrade::{
    Limits, UpgradeError,
    accepted::Acceptance,
    model::uncovered::{ENVIRONMENT, PREPARED, Uncovered},
    record::State,
};

/// Whoever commits an update that somebody else prepared agrees by name to what nobody can recompute. Gives what was
/// agreed to.
///
/// # Errors
/// Something of it was not agreed to.
pub(in crate::upgrade) fn agreed_unseen(state: &State, limits: &Limits) -> Result<Vec<Acceptance>, UpgradeError> {
    let Some(code) = state.code().filter(|_| state.is_from_elsewhere()) else {
        return Ok(Vec::new());
    };
    // An environment of others is sent by nobody else: only where the commit names what they prepared does it take effect.
    let is_ours = |one: &Uncovered| match one.field {
        ENVIRONMENT => state.prepare.sealed.is_some() || !code.confirm,
        // Whoever took it on agreed to it by its hash, and whoever prepares it again does not commit theirs.
        PREPARED => !code.confirm || state.prepare.answer.as_ref().is_some_and(|answer| answer.adopted),
        _ => false,
    };
    let accepted = limits.accepted.with(&state.accepted);
    let all = code.uncovered().into_iter().filter(|one| !is_ours(one));
    let (agreed, open): (Vec<Uncovered>, Vec<Uncovered>) =
        all.partition(|one| accepted.covers(Code::UncoveredChange, Some(one.field)));
    if open.is_empty() {
        let named = agreed.into_iter().map(|one| Acceptance {
            code: Code::UncoveredChange,
            value: Some(one.field.to_owned()),
        });
        return Ok(named.collect());
    }
    let told: Vec<String> = open.iter().map(ToString::to_string).collect();
    let options: Vec<String> = open
        .iter()
        .map(|one| format!("--accept {}={}", Code::UncoveredChange, one.field))
        .collect();
    Err(UpgradeError::decide(
        Code::UncoveredChange,
        format!(
            "the proposal changes what no hash covers, and nobody on this machine planned it: {}; `{}` agrees to it",
            told.join("; "),
            options.join(" ")
        ),
    ))
}
