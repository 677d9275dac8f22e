//! The blocks that endpoints show beside a receipt: one header for one hash. Pure.

use super::error::contradiction;
use super::rpc::Node;
use super::{BlockRef, ChainError};

/// One block has one header: whoever gives another time to a hash that another one knows contradicts it.
///
/// # Errors
/// Two endpoints do.
pub(super) fn same_headers(all: &[(&Node, BlockRef)]) -> Result<(), ChainError> {
    for (index, (node, block)) in all.iter().enumerate() {
        let mut others = all.iter().skip(index + 1);
        let other = others.find(|(_, other)| other.hash == block.hash && other != block);
        if let Some((other, theirs)) = other {
            let what = if theirs.number == block.number {
                "timestamp"
            } else {
                "the number"
            };
            return Err(contradiction(node.label(), other.label(), what, block.number));
        }
    }
    Ok(())
}
