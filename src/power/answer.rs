//! The answer as a whole (`countersign.power/1`): what was read, the paths, what follows, and under which assumptions. Pure.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::inputs::{Allowed, inputs};
use super::model::{Actor, Class, Confidence, Domain, Effect, Finding, Node, Rule, World};
use super::paths::{Path, paths};
use super::read::{AppFacts, KmsFacts, Survey};
use super::solve::solve;
use super::stage::{Erc733, Grounds, erc733};
use crate::chain::BlockRef;
use crate::chain::closed::StorageCheck;
use crate::code::Code;
use crate::compose::Manifest;

/// Name and version of the format.
pub(super) const SCHEMA: &str = "countersign.power/1";
/// What is assumed, told with every answer.
pub(super) const ASSUMPTIONS: [&str; 5] = [
    "every contract that is called known has the code that its hash says; each that is known by behaviour acts as its kind does",
    "storage is closed where that is said; elsewhere the functions and events that the endpoints give are whole",
    "each key is held by one person, and nobody has lent one",
    "the chain's time advances honestly",
    "Intel, AMD, the KMS's code and dstack do what their sources say",
];
/// What is outside of every answer.
pub(super) const NOT_EXAMINED: [&str; 6] = [
    "coercion, and agreements off the chain",
    "faults in code that is known",
    "votes that are bought",
    "the source code and what it does",
    "whether builds can be reproduced",
    "what the code that runs loads itself",
];

/// Who can change what an app runs, how fast, and with whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Power {
    /// Name and version of this format.
    pub schema: &'static str,
    /// The block at which it is so.
    pub block: BlockRef,
    /// Chain id.
    pub chain_id: u64,
    /// App.
    pub app: Address,
    /// KMS.
    pub kms: Option<Address>,
    /// The least of every domain and class; no two domains are one number.
    pub minimum: BTreeMap<&'static str, BTreeMap<&'static str, Minimum>>,
    /// Every path.
    pub paths: Vec<Path>,
    /// Who may act for whom.
    pub nodes: Vec<Node>,
    /// What can be done, and by whose rule: with the nodes, all from which the paths follow.
    pub effects: Vec<Effect>,
    /// What a reader has to know.
    pub findings: BTreeSet<Finding>,
    /// What ERC-733 asks.
    pub erc733: Erc733,
    /// What is outside of this answer.
    pub not_examined: [&'static str; 6],
    /// What is assumed.
    pub assumptions: [&'static str; 5],
    /// The code of the app and of every contract that acts for it is known, and their storage closed: nobody else governs it.
    pub closed: bool,
    /// What was read of the app.
    pub policy: AppFacts,
    /// What was read of the KMS.
    pub platform: Option<KmsFacts>,
    /// How many endpoints agreed.
    pub endpoints: usize,
}

/// The least that it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Minimum {
    /// Seconds from the first sign of anything.
    pub notice: u64,
    /// Seconds for which the very hash is public.
    pub code_notice: u64,
    /// The fewest people of any path with that notice.
    pub parties: usize,
}

impl Power {
    /// The answer by what was read and the manifests that were shown; `notice` is how many seconds are asked for.
    pub fn new(survey: Survey, manifests: &BTreeMap<B256, Manifest>, notice: u64) -> Self {
        let incomplete = match &survey.app.storage {
            StorageCheck::Closed { .. } => None,
            StorageCheck::NotClosed { .. } => Some("its storage holds something that nothing names"),
            StorageCheck::NotChecked { why } => Some(why.as_str()),
        };
        let allowed = Allowed {
            app: survey.app.app,
            hashes: &survey.app.hashes,
            incomplete,
        };
        let shown = inputs(&allowed, manifests);
        let mut world = survey.world.clone();
        world.effects.extend(shown.effects.iter().cloned());
        let solution = solve(&world);
        let paths = paths(&world, &solution);
        let mut findings = survey.findings.clone();
        findings.extend(shown.findings.iter().cloned());
        findings.extend(solution.bounded.iter().map(|safe| Finding {
            code: Code::PowerLimit,
            address: Some(*safe),
            text: format!("{safe} has more sets of owners than are told one by one: only their number is"),
        }));
        let closed = is_closed(&world, survey.app.app);
        let erc733 = erc733(&Grounds {
            survey: &survey,
            inputs: &shown,
            paths: &paths,
            notice,
            closed,
        });
        Self {
            schema: SCHEMA,
            block: survey.block,
            chain_id: survey.chain_id,
            app: survey.app.app,
            kms: survey.kms.as_ref().map(|kms| kms.kms),
            minimum: minimum(&paths),
            paths,
            nodes: world.nodes.into_values().collect(),
            effects: world.effects,
            findings,
            erc733,
            not_examined: NOT_EXAMINED,
            assumptions: ASSUMPTIONS,
            closed,
            policy: survey.app,
            platform: survey.kms,
            endpoints: survey.endpoints,
        }
    }

    /// The least of a domain and class; nothing: no path was found.
    pub fn least(&self, domain: Domain, class: Class) -> Option<Minimum> {
        self.minimum.get(domain.name())?.get(class.name()).copied()
    }

    /// What got worse since an earlier answer, in sentences.
    ///
    /// # Errors
    /// It is about another app, or another chain.
    pub fn worse_than(&self, earlier: &Earlier) -> Result<Vec<String>, OtherApp> {
        if (earlier.chain_id, earlier.app) != (self.chain_id, self.app) {
            return Err(OtherApp {
                app: earlier.app,
                chain_id: earlier.chain_id,
            });
        }
        let mut worse = Vec::new();
        for path in &self.paths {
            let parties: BTreeSet<String> = path.parties.iter().map(ToString::to_string).collect();
            let same = |old: &&EarlierPath| {
                (old.domain.as_str(), old.effect.as_str()) == (path.domain.name(), path.effect.name())
                    && old.parties.is_subset(&parties)
            };
            let before = || earlier.paths.iter().filter(same);
            let notice = before().map(|old| old.notice).min();
            let public = before().map(|old| old.code_notice).min();
            let told = |now: u64, before: Option<u64>| {
                let before =
                    before.map_or_else(|| "not at all before".to_owned(), |before| format!("{before} s before"));
                format!("{now} s, {before}")
            };
            let what = || format!("{}, {}: {}", path.domain.name(), path.effect.name(), who(&parties));
            if notice.is_none_or(|before| path.notice < before) {
                worse.push(format!("{} after {}", what(), told(path.notice, notice)));
            } else if public.is_some_and(|before| path.code_notice < before) {
                let public = told(path.code_notice, public);
                worse.push(format!("{}, with the very hash public for {public}", what()));
            }
        }
        worse.dedup();
        Ok(worse)
    }
}

/// Parties in words.
fn who(parties: &BTreeSet<String>) -> String {
    match parties.is_empty() {
        true => "anybody".to_owned(),
        false => parties.iter().cloned().collect::<Vec<_>>().join(" with "),
    }
}

/// Whether the code of this contract and of all that act for it is known, and their storage closed.
fn is_closed(world: &World, contract: Address) -> bool {
    let (mut open, mut seen) = (vec![contract], BTreeSet::new());
    while let Some(address) = open.pop() {
        if !seen.insert(address) {
            continue;
        }
        let Some(node) = world.nodes.get(&address) else {
            return false;
        };
        if node.confidence != Confidence::Closed {
            return false;
        }
        let rules = node.rules.iter().chain(&node.signs_by);
        open.extend(rules.flat_map(Rule::actors).map(Actor::address));
    }
    true
}

fn minimum(paths: &[Path]) -> BTreeMap<&'static str, BTreeMap<&'static str, Minimum>> {
    let mut found: BTreeMap<&'static str, BTreeMap<&'static str, Minimum>> = BTreeMap::new();
    for path in paths {
        let this = Minimum {
            notice: path.notice,
            code_notice: path.code_notice,
            parties: path.least_parties,
        };
        let of_domain = found.entry(path.domain.name()).or_default();
        let least = of_domain.entry(path.effect.name()).or_insert(this);
        least.code_notice = least.code_notice.min(this.code_notice);
        if (this.notice, this.parties) < (least.notice, least.parties) {
            (least.notice, least.parties) = (this.notice, this.parties);
        }
    }
    found
}

/// An earlier answer, as far as it is compared.
#[derive(Debug, Clone, Deserialize)]
pub struct Earlier {
    /// Name and version of its format.
    pub schema: String,
    chain_id: u64,
    app: Address,
    paths: Vec<EarlierPath>,
}

#[derive(Debug, Clone, Deserialize)]
struct EarlierPath {
    domain: String,
    effect: String,
    parties: BTreeSet<String>,
    notice: u64,
    code_notice: u64,
}

/// An answer about another app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is about the app {app} on chain {chain_id}")]
pub struct OtherApp {
    app: Address,
    chain_id: u64,
}
