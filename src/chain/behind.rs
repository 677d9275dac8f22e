//! Endpoints whose blocks do not reach a receipt that others show.

use super::error::Missing;
use super::proof::{Claim, Evidence};
use super::rpc::Node;
use super::{BlockRef, Chain};

impl Chain {
    /// Names those whose blocks do not cover the receipt's while those of others do, and goes on without them where enough
    /// are left.
    pub(super) fn leave_behind(&self, found: &mut Vec<(&Node, Evidence)>, claim: &Claim<'_>, number: u64) {
        let covers = |evidence: &Evidence| {
            let depth = claim.finality.depth(evidence.head.number).or(evidence.settled);
            depth.is_some_and(|depth| number <= depth.min(evidence.head.number))
        };
        let there = found.iter().filter(|(_, evidence)| covers(evidence)).count();
        if there == 0 {
            return;
        }
        let behind = found.iter().filter(|(_, evidence)| !covers(evidence));
        let behind = behind.map(|(node, evidence)| {
            let (top, transaction) = (evidence.head.number, claim.transaction);
            let why = format!(
                "its newest block is {top}, and by the others transaction {transaction} is in block {number}, which {} covers",
                claim.finality
            );
            node.missing(why)
        });
        let behind: Vec<Missing> = behind.collect();
        self.quorum.turnout.miss(&behind, true);
        if there >= self.required() {
            found.retain(|(_, evidence)| covers(evidence));
        }
    }
}

impl Evidence {
    /// Blocks that it names.
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockRef> + use<> {
        [Some(self.head), self.guessed.map(|(block, _)| block)]
            .into_iter()
            .flatten()
    }
}
