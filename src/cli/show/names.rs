//! Names that the owner of a project gave to addresses: shown beside an address, and never instead of it. Pure.

use std::collections::BTreeMap;

use alloy::primitives::Address;

/// Length of an address as it is written: `0x` and 40 hex digits.
const LENGTH: usize = 42;

/// Names of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::cli) struct Names(BTreeMap<Address, String>);

impl Names {
    /// Each of an address and its name.
    pub(in crate::cli) const fn new(names: BTreeMap<Address, String>) -> Self {
        Self(names)
    }

    /// Whether nobody has a name.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text with each known address followed by its name.
    pub(in crate::cli) fn beside(&self, text: &str) -> String {
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, at)) = rest.find("0x").and_then(|at| rest.split_at_checked(at)) {
            named.push_str(before);
            let (word, after) = at.split_at(end_of_word(at));
            named.push_str(word);
            let known = Some(word).filter(|word| word.len() == LENGTH);
            let name = known.and_then(|word| self.0.get(&word.parse::<Address>().ok()?));
            if let Some(name) = name {
                named.push_str(&format!(" ({name})"));
            }
            rest = after;
        }
        named + rest
    }
}

/// Where the letters and digits end with which a text begins.
fn end_of_word(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    fn names() -> Names {
        Names::new(BTreeMap::from([(ALICE.parse().unwrap(), "alice".to_owned())]))
    }

    #[test]
    fn an_address_is_followed_by_its_name_and_nothing_else_is() {
        let small = ALICE.to_lowercase();
        let text = format!("{ALICE}, {small}; 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC and 0x12");
        let shown = format!("{ALICE} (alice), {small} (alice); 0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC and 0x12");
        assert_eq!(names().beside(&text), shown);
        // A hash that begins with it, and a word that ends with it.
        for other in [
            format!("{ALICE}00"),
            format!("{ALICE}{}", "0".repeat(24)),
            "é0x".to_owned(),
            "0x0x".to_owned(),
        ] {
            assert_eq!(names().beside(&other), other);
        }
        assert_eq!(Names::default().beside(&text), text);
    }
}
