//! The codes with which Safe contracts revert, in plain words. Pure.

use alloy::sol_types::{Revert, SolError};

/// Every code of Safe 1.3.0 to 1.5.0 and what it means (`safe-smart-account/docs/error_codes.md`).
const CODES: [(&str, &str); 33] = [
    ("GS000", "the call of the set-up failed"),
    ("GS001", "the Safe has no threshold"),
    ("GS002", "there is no code at the target of the set-up"),
    ("GS010", "not enough gas was sent"),
    ("GS011", "the refund in ether failed"),
    ("GS012", "the refund in tokens failed"),
    ("GS013", "the call that the Safe makes failed"),
    ("GS020", "there are fewer signatures than the threshold asks for"),
    ("GS021", "a contract's signature points into the entries"),
    ("GS022", "a contract's signature points beyond the end"),
    ("GS023", "a contract's signature runs past the end"),
    ("GS024", "a contract did not confirm its signature"),
    ("GS025", "an owner has not approved the hash and is not the sender"),
    (
        "GS026",
        "a signature is that of no owner, out of order, or one of another hash (nonce, chain, data)",
    ),
    ("GS027", "the bytes beside the hash are not those of the hash"),
    ("GS030", "only an owner can approve a hash"),
    ("GS031", "only the Safe itself can do that"),
    ("GS100", "modules were set up before"),
    ("GS101", "that address cannot be a module"),
    ("GS102", "the module was enabled before"),
    ("GS103", "the module before this one is another one"),
    ("GS104", "the sender is no module of the Safe"),
    ("GS105", "that is no start for a page of modules"),
    ("GS106", "a page of modules has a size"),
    ("GS200", "owners were set up before"),
    ("GS201", "the threshold is above the number of owners"),
    ("GS202", "the threshold is zero"),
    ("GS203", "that address cannot be an owner"),
    ("GS204", "that address is an owner already"),
    ("GS205", "the owner before this one is another one"),
    ("GS300", "the guard does not say that it is one"),
    ("GS301", "the module guard does not say that it is one"),
    ("GS400", "a Safe cannot be its own fallback handler"),
];

/// A code, and what it means.
pub(super) fn known(code: &str) -> Option<(&'static str, &'static str)> {
    CODES.into_iter().find(|(known, _)| *known == code)
}

/// The code in the bytes of a revert, or at the end of what an endpoint says when it passes no bytes on.
pub(super) fn of_revert(data: &[u8], said: &str) -> Option<(&'static str, &'static str)> {
    if data.is_empty() {
        let last = said.split_whitespace().next_back()?;
        return known(last.trim_matches(|quote| matches!(quote, '"' | '\'')));
    }
    known(&Revert::abi_decode(data).ok()?.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_from_bytes_and_without_them_from_the_endpoints_words() {
        let data = Revert::from("GS013").abi_encode();
        assert_eq!(of_revert(&data, "execution reverted").unwrap().0, "GS013");
        assert_eq!(of_revert(&[], "execution reverted: GS026").unwrap().0, "GS026");
        assert_eq!(of_revert(&[], "\"GS001\"").unwrap().0, "GS001");
        assert_eq!(of_revert(&[], "execution reverted"), None);
        assert_eq!(of_revert(&[], ""), None);
    }

    #[test]
    fn words_that_only_hold_a_code_are_no_code() {
        let data = Revert::from("not a GS013").abi_encode();
        assert_eq!(of_revert(&data, "GS013"), None);
        assert_eq!(of_revert(&[1, 2, 3, 4], "GS013"), None);
        assert_eq!(known("GS999"), None);
    }

    #[test]
    fn every_code_stands_once_and_in_order() {
        assert!(CODES.is_sorted_by(|(one, _), (next, _)| one < next));
    }
}
