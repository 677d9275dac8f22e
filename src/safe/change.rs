//! How a change of a Safe reads.

use std::fmt;

use alloy::primitives::Address;

use super::info::Change;

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Identity => f.write_str("it is another Safe"),
            Self::Code { before, now } if before == now => f.write_str("its code or version is another one"),
            Self::Code { before, now } => write!(f, "its singleton was {before} and is {now}"),
            Self::OwnerAdded { owner } => write!(f, "{owner} became an owner"),
            Self::OwnerRemoved { owner } => write!(f, "{owner} is no owner any more"),
            Self::Threshold { before, now } => write!(f, "its threshold was {before} and is {now}"),
            Self::Guard { before, now } => swapped(f, "guard", *before, *now),
            Self::ModuleGuard { before, now } => swapped(f, "module guard", *before, *now),
            Self::Modules { added, removed } => {
                write!(f, "modules enabled since: {}; disabled: {}", list(added), list(removed))
            }
            Self::FallbackHandler { before, now } => swapped(f, "fallback handler", *before, *now),
        }
    }
}

fn swapped(f: &mut fmt::Formatter<'_>, what: &str, before: Option<Address>, now: Option<Address>) -> fmt::Result {
    let shown = |address: Option<Address>| address.map_or_else(|| "none".to_owned(), |address| address.to_string());
    if before == now {
        write!(f, "the code of its {what} is another one")
    } else {
        write!(f, "its {what} was {} and is {}", shown(before), shown(now))
    }
}

fn list(all: &[Address]) -> String {
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
