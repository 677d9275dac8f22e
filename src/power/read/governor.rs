//! OpenZeppelin's Governor, 4.x and 5.x: enough votes, after the delay and the period of a vote, or as soon as a super
//! quorum is reached.

use alloy::primitives::{Address, U256};

use super::reader::Reader;
use crate::abi::governance::Governor as G;
use crate::chain::governance::Governor;
use crate::chain::{BlockRef, Question, Reading};
use crate::power::model::{Confidence, Kind, Node, Party, Rule, Veto};

/// Chains whose blocks are known to be so many seconds apart at least.
const BLOCK_TIMES: [(u64, u64); 2] = [(1, 12), (8453, 2)];

/// What is asked of a contract that may be a governor.
pub(super) fn questions(address: Address, block: &BlockRef) -> Vec<Question> {
    let timepoint = U256::from(block.number.saturating_sub(1));
    let mut all = Governor::questions(address);
    all.extend([
        Question::call(address, &G::superQuorumCall { timepoint }).of_stranger(),
        Question::call(address, &G::tokenCall {}).of_stranger(),
        Question::call(address, &G::proposalGuardianCall {}).of_stranger(),
    ]);
    all
}

/// The node, where the answers are those of a governor. Who votes how much is not read: it is enough holders of the token.
pub(super) fn of(reader: &Reader<'_>, address: Address, facts: &mut Reading) -> Option<Option<Node>> {
    let recognised = Governor::questions(address).len();
    let found = Governor::recognise(address, &mut facts.part(recognised))?;
    let ends_early = facts.next().short::<G::superQuorumCall>().is_some();
    let token = facts.next().short::<G::tokenCall>();
    let guardian = facts.next().short::<G::proposalGuardianCall>();
    let period = if ends_early { 0 } else { found.voting_period };
    let ticks = found.voting_delay.saturating_add(period).saturating_add(1);
    let of_blocks = BLOCK_TIMES.iter().find(|(chain, _)| *chain == reader.chain.id());
    let tick = match found.by_seconds {
        true => 1,
        // Where nobody knows how fast blocks come, they come at once.
        false => of_blocks.map_or(0, |(_, seconds)| *seconds),
    };
    let rule = Rule::All {
        of: vec![Party::Voters(token.unwrap_or(address))],
        delay: ticks.saturating_mul(tick),
        estimated: !found.by_seconds,
    };
    let mut node = Node::new(address, Kind::Governor, Confidence::ByBehaviour).with([rule]);
    let guardian = guardian.filter(|guardian| !guardian.is_zero());
    node.veto = guardian.map(|guardian| Veto {
        by: vec![guardian],
        how: "cancel",
    });
    Some(Some(node))
}
