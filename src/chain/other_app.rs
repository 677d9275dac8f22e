//! Apps that allow a compose hash in another way than DstackApp does, recognised by what they answer: one that passes its
//! policy on to a contract that several apps share, and one that takes a hash only after a notice.
//!
//! Several functions have to be answered in the right shape at one block, and the app's answers have to be those of what it
//! names. What imitates all of that is taken for it, so what is recognised only ever forbids more.

use alloy::primitives::{Address, B256, keccak256};

use super::other_policy::OtherPolicy;
use super::read::{Fact, Question, Reading, ask_stranger as ask};
use super::{BlockRef, Chain, ChainError};
use crate::abi::app::DstackApp as A;
use crate::abi::governance::OtherApp;

/// Which app is asked about.
pub(super) struct Asked {
    pub(super) app: Address,
    /// Its owner.
    pub(super) owner: Option<Address>,
    /// A hash that it may have notice of.
    pub(super) hash: Option<B256>,
}

/// What an app answers that may have another policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clue {
    cluster: Option<Address>,
    notice: Option<u64>,
}

impl Clue {
    /// Asked of every app, with the rest.
    pub(super) fn questions(app: Address) -> [Question; 2] {
        [
            Question::call(app, &OtherApp::clusterCall {}).of_stranger(),
            Question::call(app, &OtherApp::noticePeriodCall {}).of_stranger(),
        ]
    }

    /// The answers.
    pub(super) fn of(facts: &mut Reading) -> Self {
        Self {
            cluster: facts
                .next()
                .short::<OtherApp::clusterCall>()
                .filter(|cluster| !cluster.is_zero()),
            notice: facts.next().number::<OtherApp::noticePeriodCall>(),
        }
    }
}

impl Chain {
    /// How an app allows a hash that gave a clue of another policy. One round trip; none without a clue.
    pub(super) async fn other_policy(
        &self,
        asked: &Asked,
        clue: Clue,
        block: &BlockRef,
    ) -> Result<Option<OtherPolicy>, ChainError> {
        let app = asked.app;
        if let Some(cluster) = clue.cluster.filter(|cluster| *cluster != app) {
            let mut facts = self.read(block, &of_cluster(app, cluster)).await?;
            if let Some(found) = passes_on(cluster, &mut facts) {
                return Ok(Some(found));
            }
        }
        let Some((seconds, owner)) = clue.notice.zip(asked.owner) else {
            return Ok(None);
        };
        let mut facts = self.read(block, &of_notice(app, owner, asked.hash)).await?;
        Ok(gives_notice(&mut facts).then(|| OtherPolicy::Notice {
            owner,
            seconds,
            proposed_at: facts
                .next()
                .number::<OtherApp::proposedAtCall>()
                .filter(|time| *time > 0),
        }))
    }
}

/// A hash that nobody has.
fn nobodys() -> B256 {
    keccak256("countersign: compose hash")
}

fn of_cluster(app: Address, cluster: Address) -> [Question; 7] {
    let listed = |at: Address| ask(at, &A::allowedComposeHashesCall { composeHash: nobodys() });
    [
        Question::code(cluster),
        listed(cluster),
        listed(app),
        ask(cluster, &A::allowAnyDeviceCall {}),
        ask(app, &A::allowAnyDeviceCall {}),
        ask(cluster, &OtherApp::clusterOwnerCall {}),
        ask(cluster, &A::ownerCall {}),
    ]
}

/// The contract that the app names answers what an app is asked, and the app says the same.
fn passes_on(cluster: Address, facts: &mut Reading) -> Option<OtherPolicy> {
    let has_code = !facts.next().bytes().is_empty();
    let mut listed = || facts.next().short::<A::allowedComposeHashesCall>();
    let lists = [listed(), listed()];
    let mut any_device = || facts.next().short::<A::allowAnyDeviceCall>();
    let switches = [any_device(), any_device()];
    let cluster_owner = facts.next().short::<OtherApp::clusterOwnerCall>();
    let owner = cluster_owner.or(facts.next().short::<A::ownerCall>());
    let same = |answers: [Option<bool>; 2]| answers[0].is_some() && answers[0] == answers[1];
    (has_code && same(lists) && same(switches)).then(|| OtherPolicy::Cluster {
        cluster,
        owner: owner.filter(|owner| !owner.is_zero()),
    })
}

/// Its owner may propose a hash and may not add one, and nobody may activate what was not proposed.
fn of_notice(app: Address, owner: Address, hash: Option<B256>) -> [Question; 5] {
    let probe = nobodys();
    [
        ask(app, &OtherApp::proposedAtCall { hash: probe }),
        ask(app, &OtherApp::proposeComposeHashCall { hash: probe }).from(owner),
        ask(app, &A::addComposeHashCall { composeHash: probe }).from(owner),
        ask(app, &OtherApp::activateComposeHashCall { hash: probe }).from(owner),
        ask(
            app,
            &OtherApp::proposedAtCall {
                hash: hash.unwrap_or(probe),
            },
        ),
    ]
}

fn gives_notice(facts: &mut Reading) -> bool {
    let unproposed = facts
        .next()
        .short::<OtherApp::proposedAtCall>()
        .is_some_and(|time| time.is_zero());
    let proposes = matches!(facts.next(), Fact::Bytes(_));
    let refuses = [facts.next(), facts.next()]
        .iter()
        .all(|fact| matches!(fact, Fact::Reverted(_)));
    unproposed && proposes && refuses
}
