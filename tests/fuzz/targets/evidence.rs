//! Evidence of an upgrade, as an auditor gets it from a stranger. What is proved under the block of a recorded document says
//! what that document says; and a document is read again as it was written.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};
use countersign::attest::Root;
use countersign::chain::PolicyChange;
use countersign::compose::ComposeHash;
use countersign::evidence::{Claim, Evidence, Measured, Outcome, page, verify};
use countersign_fuzz::Bases;

/// Claims that stand on the block's header.
const BY_HEADER: [&str; 6] = ["block", "transaction", "receipt", "event", "state", "owner"];

pub(crate) struct Target {
    bases: Bases,
    recorded: Vec<Recorded>,
}

/// What a recorded document says of its block.
struct Recorded {
    block: B256,
    transaction: Option<B256>,
    app: Address,
    owner: Option<Address>,
    changes: BTreeSet<PolicyChange>,
}

impl Recorded {
    fn of(evidence: &Evidence) -> Self {
        Self {
            block: evidence.block.hash,
            transaction: evidence.transaction.map(|transaction| transaction.hash),
            app: evidence.app,
            owner: evidence.owner,
            changes: evidence.changes.iter().copied().collect(),
        }
    }
}

impl Target {
    pub(crate) fn new() -> Self {
        let bases = Bases::read(&["tests/vectors/evidence/key.json", "tests/vectors/evidence/safe.json"]);
        let read = |base: &serde_json::Value| Evidence::parse(base.to_string().as_bytes()).unwrap();
        let recorded = bases.all().iter().map(|base| Recorded::of(&read(base))).collect();
        Self { bases, recorded }
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let text = self.bases.text(input);
        let Ok(evidence) = Evidence::parse(&text) else { return };
        let by = Measured {
            root: &Root::intel(),
            at: None,
        };
        let claims = verify(&evidence, &by);
        assert!(!page(&evidence).is_empty());
        let again = Evidence::parse(evidence.to_json().as_bytes()).expect("what was written is read");
        if !evidence.is_of_format_1() {
            assert_eq!(verify(&again, &by), claims);
        }
        let holds = |about: &str| all_hold(&claims, about);
        if let Some(code) = &evidence.code
            && holds("manifest")
        {
            let manifest = code.manifest.as_deref().unwrap();
            assert_eq!(ComposeHash::of(manifest.as_bytes()), code.compose_hash);
        }
        let recorded = self.recorded.iter().find(|one| one.block == evidence.block.hash);
        let Some(recorded) = recorded.filter(|_| BY_HEADER.iter().all(|about| holds(about))) else {
            return;
        };
        assert_eq!((evidence.app, evidence.owner), (recorded.app, recorded.owner));
        let transaction = evidence.transaction.map(|transaction| transaction.hash);
        assert_eq!(transaction, recorded.transaction);
        assert!(
            evidence.changes.iter().all(|change| recorded.changes.contains(change)),
            "the block does not say that"
        );
    }
}

/// Whether there are claims of this name, and all of them hold.
fn all_hold(claims: &[Claim], about: &str) -> bool {
    let mut named = claims.iter().filter(|claim| claim.about == about).peekable();
    named.peek().is_some() && named.all(|claim| claim.outcome == Outcome::Holds)
}
