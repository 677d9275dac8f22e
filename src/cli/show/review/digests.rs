//! The hashes of a review, as devices and wallets show them.

use alloy::primitives::Address;

use crate::cli::show::text::Page;
use crate::safe::Digests;
use crate::upgrade::review::{NestedNow, Review, Turn};

fn digest_facts(digests: &Digests) -> [(&'static str, Option<String>); 4] {
    [
        (
            "domain hash",
            Some(format!("{}  Ledger and Trezor, first", digests.domain)),
        ),
        (
            "message hash",
            Some(format!("{}  Ledger and Trezor, second", digests.message)),
        ),
        (
            "safeTxHash",
            Some(format!("{}  Safe{{Wallet}}, other owners", digests.safe_tx)),
        ),
        (
            "calldata digest",
            Some(format!("{}  of its data (ERC-8213)", digests.data)),
        ),
    ]
}

/// What the owners of an owner compare: not the hashes of the transaction itself, but of the Safe's own one.
fn nested(page: &mut Page, one: &NestedNow) {
    let list = |all: &[Address]| {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        Some(names.join(", ")).filter(|names| !names.is_empty())
    };
    let turn = match one.turn {
        None => "",
        Some(Turn::Next) => ", the Safe's next one",
        Some(Turn::Queued) => ", queued: others come first",
        Some(Turn::Used) => ", USED UP",
    };
    page.heading(&format!(
        "owners of {}, which is itself an owner, compare these instead",
        one.safe
    ));
    page.facts(&[
        ("approves", Some(format!("{} (approveHash)", one.approves))),
        ("nonce", Some(format!("{}{turn}", one.nonce))),
    ]);
    page.facts(&digest_facts(&one.hashes));
    page.facts(&[
        ("needs", Some(format!("{} signatures", one.threshold))),
        ("signed by", list(&one.signed_by)),
        ("not yet", list(&one.missing)),
    ]);
}

/// What devices and wallets show of the transaction, of those of nested Safes, and of the execution.
pub(super) fn hashes(page: &mut Page, review: &Review) {
    if let Some(digests) = &review.hashes {
        page.heading("compare on your device, digit by digit (some write them in capitals)");
        page.facts(&digest_facts(digests));
    } else {
        page.heading("compare on your device: the target and the calldata above, or its digest");
    }
    for one in &review.nested {
        nested(page, one);
    }
    if let Some(execution) = &review.execution {
        page.heading("whoever executes it with these signatures sees");
        page.facts(&[
            ("to", Some(format!("the Safe {}", execution.to))),
            (
                "function",
                Some(format!("execTransaction, {} bytes of calldata", execution.bytes)),
            ),
            ("keccak256", Some(execution.keccak256.to_string())),
            ("calldata digest", Some(format!("{} (ERC-8213)", execution.digest))),
        ]);
    }
}
