//! What a fleet decides, and the fold of that: who belongs to it, which wave goes, what stopped one. Pure.
//!
//! Decisions are records of the fleet's journal that name no member; what happens to a member is an
//! [`Event`](crate::upgrade::record::Event) under its name.

use std::collections::{BTreeMap, HashSet};

use alloy::primitives::Address;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cloud::CvmId;
use crate::compose::ComposeHash;
use crate::upgrade::record::event::IllegalStep;

/// How the files of a fleet that are no member's begin.
const OWN_FILES: &str = "journal";

/// Which fleet this is: the first record of its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::upgrade) struct FleetIdentity {
    /// Journal format.
    pub(in crate::upgrade) schema: u32,
    /// App's contract.
    pub(in crate::upgrade) app: Address,
    /// Chain id.
    pub(in crate::upgrade) chain_id: u64,
    /// Host of the API.
    pub(in crate::upgrade) cloud: String,
    /// CVMs, as they are named in the API's paths.
    pub(in crate::upgrade) members: Vec<String>,
}

/// One decision of a fleet, as a record's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body")]
pub(in crate::upgrade) enum Decision {
    /// First record.
    #[serde(rename = "fleet.open")]
    Open(FleetIdentity),
    /// Another CVM belongs to it.
    #[serde(rename = "fleet.joined")]
    Joined {
        /// The CVM that joined.
        cvm: String,
    },
    /// A CVM does not belong to it: it ran the hash before anything was done, or somebody said so.
    #[serde(rename = "fleet.left-out")]
    LeftOut {
        /// The CVM that is left out.
        cvm: String,
        /// What it runs, where that is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        compose_hash: Option<ComposeHash>,
    },
    /// All of these are prepared for one hash; the first one's proposal is approved.
    #[serde(rename = "fleet.prepared")]
    Prepared {
        /// The hash.
        compose_hash: ComposeHash,
        /// Whom it is for.
        members: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// These are committed now, and no others.
    #[serde(rename = "fleet.wave")]
    Wave {
        /// They go first, alone.
        canary: bool,
        /// Which.
        members: Vec<String>,
        /// When.
        at: Timestamp,
    },
    /// All of the wave run the hash.
    #[serde(rename = "fleet.wave.passed")]
    Passed {
        /// When.
        at: Timestamp,
    },
    /// One of the wave does not: no other wave follows in this run.
    #[serde(rename = "fleet.wave.stopped")]
    Stopped {
        /// Which.
        cvm: String,
        /// Why.
        why: String,
        /// When.
        at: Timestamp,
    },
    /// Something worth remembering.
    #[serde(rename = "note")]
    Note {
        /// What.
        text: String,
    },
}

/// The wave that was begun last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Wave {
    /// It goes first, alone.
    pub canary: bool,
    /// CVMs.
    pub members: Vec<String>,
    /// How it ended; nothing while it is under way, or when its run was cut off.
    pub end: Option<WaveEnd>,
}

/// How a wave ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaveEnd {
    /// All of it run the hash.
    Passed,
    /// Something failed.
    Stopped,
}

/// The fold of the decisions.
#[derive(Debug, Clone)]
pub(in crate::upgrade) struct Roster {
    pub(in crate::upgrade) charter: FleetIdentity,
    /// In the order in which they came.
    pub(in crate::upgrade) members: Vec<String>,
    /// Names of the members, to look one up: each record of the journal names one.
    names: HashSet<String>,
    pub(in crate::upgrade) left_out: BTreeMap<String, Option<ComposeHash>>,
    /// The hash, and whom it is for.
    pub(in crate::upgrade) prepared: Option<(ComposeHash, Vec<String>)>,
    pub(in crate::upgrade) wave: Option<Wave>,
    /// Why a member was what stopped a wave, until it is in another.
    pub(in crate::upgrade) stopped: BTreeMap<String, String>,
}

impl Roster {
    /// A fleet in which nothing is decided but who it is.
    ///
    /// # Errors
    /// Its members cannot have these names.
    pub(in crate::upgrade) fn new(charter: FleetIdentity) -> Result<Self, IllegalStep> {
        let mut names = std::collections::BTreeSet::new();
        if !charter
            .members
            .iter()
            .all(|cvm| is_member_name(cvm) && names.insert(cvm))
        {
            return Err(IllegalStep {
                kind: "fleet.open",
                why: "no CVM has such a name, or one is there twice",
            });
        }
        Ok(Self {
            members: charter.members.clone(),
            names: charter.members.iter().cloned().collect(),
            charter,
            left_out: BTreeMap::new(),
            prepared: None,
            wave: None,
            stopped: BTreeMap::new(),
        })
    }

    /// Whether `cvm` belongs to it.
    pub(in crate::upgrade) fn has(&self, cvm: &str) -> bool {
        self.names.contains(cvm)
    }

    /// Whose proposal is approved, as far as that is decided.
    pub(in crate::upgrade) fn approval(&self) -> Option<&str> {
        let prepared = self.prepared.as_ref().map(|(_, members)| members);
        prepared.unwrap_or(&self.members).first().map(String::as_str)
    }

    /// Whether `decision` may come now.
    ///
    /// # Errors
    /// It may not.
    pub(in crate::upgrade) fn check(&self, decision: &Decision) -> Result<(), IllegalStep> {
        self.objection(decision).map_or(Ok(()), |why| {
            Err(IllegalStep {
                kind: decision.kind(),
                why,
            })
        })
    }

    /// Takes one decision in.
    ///
    /// # Errors
    /// It may not come now; the roster is unchanged.
    pub(in crate::upgrade) fn apply(&mut self, decision: Decision) -> Result<(), IllegalStep> {
        self.check(&decision)?;
        match decision {
            Decision::Open(_) | Decision::Note { .. } => {}
            Decision::Joined { cvm } => {
                self.left_out.remove(&cvm);
                self.names.insert(cvm.clone());
                self.members.push(cvm);
            }
            Decision::LeftOut { cvm, compose_hash } => {
                self.names.remove(&cvm);
                self.members.retain(|member| *member != cvm);
                self.left_out.insert(cvm, compose_hash);
            }
            Decision::Prepared {
                compose_hash, members, ..
            } => self.prepared = Some((compose_hash, members)),
            Decision::Wave { canary, members, .. } => {
                self.stopped.retain(|cvm, _| !members.contains(cvm));
                self.wave = Some(Wave {
                    canary,
                    members,
                    end: None,
                });
            }
            Decision::Passed { .. } => self.end_wave(WaveEnd::Passed),
            Decision::Stopped { cvm, why, .. } => {
                self.stopped.insert(cvm, why);
                self.end_wave(WaveEnd::Stopped);
            }
        }
        Ok(())
    }

    fn end_wave(&mut self, end: WaveEnd) {
        if let Some(wave) = &mut self.wave {
            wave.end = Some(end);
        }
    }

    /// Why `decision` cannot come now.
    fn objection(&self, decision: &Decision) -> Option<&'static str> {
        let missing = |is_there: bool, why| (!is_there).then_some(why);
        match decision {
            Decision::Open(_) => Some("the journal was opened before"),
            Decision::Joined { cvm } => missing(!self.has(cvm), "it belongs to the fleet already")
                .or_else(|| missing(is_member_name(cvm), "no CVM has that name")),
            Decision::LeftOut { cvm, .. } => missing(
                self.has(cvm) && !self.is_prepared(cvm),
                "it does not belong to the fleet, or was prepared",
            ),
            Decision::Prepared {
                compose_hash, members, ..
            } => {
                let same = self.prepared.as_ref().is_none_or(|(known, _)| known == compose_hash);
                missing(same, "a fleet has one hash")
                    .or_else(|| missing(!members.is_empty(), "it is for nobody"))
                    .or_else(|| {
                        missing(
                            self.has_all(members),
                            "it is for a CVM that does not belong to the fleet",
                        )
                    })
            }
            Decision::Wave { members, .. } => missing(
                members.iter().all(|cvm| self.is_prepared(cvm)),
                "it is for a CVM that is not prepared",
            ),
            Decision::Passed { .. } => missing(
                self.wave.as_ref().is_some_and(|wave| wave.end.is_none()),
                "no wave is under way",
            ),
            Decision::Stopped { cvm, .. } => missing(
                self.wave
                    .as_ref()
                    .is_some_and(|wave| wave.end != Some(WaveEnd::Passed) && wave.members.contains(cvm)),
                "it is in no wave that is under way",
            ),
            Decision::Note { .. } => None,
        }
    }

    fn has_all(&self, members: &[String]) -> bool {
        members.iter().all(|cvm| self.has(cvm))
    }

    fn is_prepared(&self, cvm: &str) -> bool {
        let prepared = self.prepared.as_ref();
        prepared.is_some_and(|(_, members)| members.iter().any(|member| member == cvm))
    }
}

impl Decision {
    /// The record's kind, as the journal names it.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "fleet.open",
            Self::Joined { .. } => "fleet.joined",
            Self::LeftOut { .. } => "fleet.left-out",
            Self::Prepared { .. } => "fleet.prepared",
            Self::Wave { .. } => "fleet.wave",
            Self::Passed { .. } => "fleet.wave.passed",
            Self::Stopped { .. } => "fleet.wave.stopped",
            Self::Note { .. } => "note",
        }
    }
}

/// Whether a CVM is named so, and its directory can be beside the fleet's own files.
pub(in crate::upgrade) fn is_member_name(name: &str) -> bool {
    let is_own_file = name.split('.').next() == Some(OWN_FILES);
    !is_own_file && name.parse::<CvmId>().is_ok_and(|read| read.as_str() == name)
}
