//! A CVM that Phala Cloud does not know: which there are, and which of them may have been meant. Pure.

use super::api::problem;
use super::error::CliError;
use super::verdict::Next;
use crate::text;

/// What stands before the name of a CVM that is asked for.
const BY_NAME: &str = "/cvms/";
/// Most names that a sentence lists.
const MOST: usize = 10;
/// How near a name has to be, from 0 to 1 (Jaro and Winkler), to be taken for one that was mistyped.
const NEAR: f64 = 0.85;

/// The name of a CVM that Phala Cloud was asked for and does not know.
pub(in crate::cli) fn unknown(error: &CliError) -> Option<String> {
    let refused = problem(error).filter(|refused| refused.status == 404)?;
    let (_, name) = refused.request.strip_prefix("GET ")?.rsplit_once(BY_NAME)?;
    (!name.is_empty() && !name.contains(['/', '?'])).then(|| name.to_owned())
}

pub(super) fn sentence(named: &str, known: &[String]) -> String {
    let none = format!("the workspace of this API key has no CVM `{named}`");
    if known.is_empty() {
        return format!("{none}, and no other one");
    }
    if let Some(near) = nearest(named, known) {
        return format!("{none}; the nearest is `{}`", text::name(near));
    }
    let names: Vec<String> = known.iter().take(MOST).map(|name| text::name(name)).collect();
    let more = known.len().saturating_sub(MOST);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{none}; there are {}{more}", names.join(", "))
}

pub(super) fn next(named: &str, known: &[String]) -> Next {
    match nearest(named, known) {
        Some(near) => Next::Instead(named.to_owned(), near.to_owned()),
        None => Next::Command("cvm list"),
    }
}

fn nearest<'k>(named: &str, known: &'k [String]) -> Option<&'k str> {
    let each = known.iter().map(|one| (strsim::jaro_winkler(named, one), one.as_str()));
    let near = each.filter(|(nearness, _)| *nearness > NEAR);
    near.max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_is_told_from_one_that_is_like_none() {
        let known = ["payments-api", "payments-api-2", "ledger"].map(str::to_owned);
        assert!(sentence("payment-api", &known).ends_with("the nearest is `payments-api`"));
        assert_eq!(
            next("payment-api", &known),
            Next::Instead("payment-api".to_owned(), "payments-api".to_owned())
        );
        assert!(sentence("xyz", &known).ends_with("there are payments-api, payments-api-2, ledger"));
        assert_eq!(next("xyz", &known), Next::Command("cvm list"));
        let many: Vec<String> = (0..13).map(|number| format!("q{number}")).collect();
        assert!(sentence("xyz", &many).ends_with("q9 and 3 more"));
        assert!(sentence("xyz", &[]).ends_with("and no other one"));
    }
}
