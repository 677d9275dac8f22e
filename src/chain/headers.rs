//! The blocks that endpoints show beside a receipt: one header for one hash, and who is behind the others.

use super::proof::{Claim, Evidence, Place};
use super::quorum::Missing;
use super::rpc::Node;
use super::{BlockRef, Chain, ChainError, contradiction};

/// One block has one header: whoever gives another time to a hash that another one knows contradicts it.
///
/// # Errors
/// Two endpoints do.
pub(super) fn same_headers(found: &[(&Node, Evidence)]) -> Result<(), ChainError> {
    let blocks = |evidence: &Evidence| [Some(evidence.head), evidence.guessed.map(|(block, _)| block)];
    let all = found.iter().flat_map(|(node, evidence)| {
        let each = blocks(evidence).into_iter().flatten();
        each.map(move |block| (*node, block))
    });
    let all: Vec<(&Node, BlockRef)> = all.collect();
    for (index, (node, block)) in all.iter().enumerate() {
        let mut others = all.iter().skip(index + 1);
        let other = others.find(|(_, other)| other.hash == block.hash && other != block);
        if let Some((other, theirs)) = other {
            let what = if theirs.number == block.number {
                "timestamp"
            } else {
                "the number"
            };
            return Err(contradiction((node.label(), other.label()), what, block.number));
        }
    }
    Ok(())
}

impl Chain {
    /// Names those whose blocks do not cover the receipt's while those of others do, and goes on without them where enough
    /// are left.
    pub(super) fn leave_behind(&self, found: &mut Vec<(&Node, Evidence)>, (claim, (number, _)): (&Claim<'_>, Place)) {
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
            Missing::new(node, why)
        });
        let behind: Vec<Missing> = behind.collect();
        self.quorum.turnout.miss(&behind, true);
        if there >= self.required() {
            found.retain(|(_, evidence)| covers(evidence));
        }
    }
}
