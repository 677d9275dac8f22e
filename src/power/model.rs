//! Who may act for whom, as data: parties, nodes, the rules by which a node acts, and what follows for an app. Pure.

use std::collections::BTreeMap;
use std::fmt;

use alloy::primitives::Address;
use serde::{Serialize, Serializer};

use crate::code::{Code, Severity};

/// Somebody who has to agree to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Party {
    /// Whoever holds the key of this address.
    Key(Address),
    /// Whoever a contract obeys that nobody here knows: it may be anybody.
    Unknown(Address),
    /// Enough holders of a token's votes.
    Voters(Address),
    /// This many of the owners of a Safe that has too many sets of them to name each.
    Some {
        /// The Safe.
        of: Address,
        /// How many at least.
        least: usize,
    },
    /// Whoever can act in the workspace at Phala Cloud.
    ApiKey,
    /// Whoever operates the machine.
    Cloud,
}

impl Party {
    /// How many people it stands for at least: nobody, where nobody knows.
    pub const fn least(self) -> usize {
        match self {
            Self::Unknown(_) => 0,
            Self::Some { least, .. } => least,
            Self::Key(_) | Self::Voters(_) | Self::ApiKey | Self::Cloud => 1,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(address) => write!(f, "{address}"),
            Self::Unknown(address) => write!(f, "unknown {address}"),
            Self::Voters(token) => write!(f, "voters of {token}"),
            Self::Some { of, least } => write!(f, "{least} of the owners of {of}"),
            Self::ApiKey => f.write_str("api-key"),
            Self::Cloud => f.write_str("cloud"),
        }
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A node that has to act, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// It makes any call.
    Acts(Address),
    /// It approves a hash as an owner of a Safe, by a call or by what answers for its signature.
    Signs(Address),
    /// It calls this contract itself: anybody has it do that where it passes on what it does not know.
    Calls {
        /// Who calls.
        from: Address,
        /// Whom.
        to: Address,
    },
}

impl Actor {
    /// Whose act it is.
    pub const fn address(self) -> Address {
        match self {
            Self::Acts(address) | Self::Signs(address) | Self::Calls { from: address, .. } => address,
        }
    }
}

/// One way in which a node acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Rule {
    /// Somebody's own.
    Party {
        /// Who.
        party: Party,
    },
    /// Nobody is needed.
    Any,
    /// Another acts as the node.
    Child {
        /// Who.
        of: Actor,
    },
    /// So many of these approve, beside one another.
    KOfN {
        /// How many.
        k: usize,
        /// Of whom.
        of: Vec<Actor>,
    },
    /// All of these agree; then it takes time.
    All {
        /// Who.
        of: Vec<Party>,
        /// Seconds.
        delay: u64,
        /// Whether the seconds follow from a number of blocks, and may be more.
        estimated: bool,
    },
    /// Somebody schedules, time passes, somebody executes.
    Lock {
        /// Seconds from scheduling to executing.
        delay: u64,
        /// Who schedules.
        proposers: Who,
        /// Who executes.
        executors: Who,
        /// Seconds until it begins: what waits and is executed first takes so long from now on.
        after: u64,
        /// Whether what is going to be done is public from the scheduling on.
        shows: bool,
    },
}

impl Rule {
    /// Everybody who acts by it, besides parties.
    pub fn actors(&self) -> Vec<Actor> {
        let of = |who: &Who| match who {
            Who::Anybody => Vec::new(),
            Who::Of(actors) => actors.clone(),
        };
        match self {
            Self::Party { .. } | Self::Any | Self::All { .. } => Vec::new(),
            Self::Child { of } => vec![*of],
            Self::KOfN { of, .. } => of.clone(),
            Self::Lock {
                proposers, executors, ..
            } => [of(proposers), of(executors)].concat(),
        }
    }
}

/// Who may do something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Everybody.
    Anybody,
    /// Each of these.
    Of(Vec<Actor>),
}

/// What stands at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// A key.
    Key,
    /// A key that delegates to a contract (EIP-7702).
    DelegatedKey,
    /// A Safe.
    Safe,
    /// A timelock of OpenZeppelin's.
    Timelock,
    /// Zodiac's Delay.
    Delay,
    /// A governor of OpenZeppelin's.
    Governor,
    /// A contract that administers proxies, or is the code of several.
    Administrator,
    /// An app's contract.
    App,
    /// A KMS's contract.
    Kms,
    /// A contract that nobody here knows.
    Unknown,
}

impl Kind {
    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::DelegatedKey => "delegated key",
            Self::Safe => "Safe",
            Self::Timelock => "timelock",
            Self::Delay => "Delay module",
            Self::Governor => "governor",
            Self::Administrator => "administrator",
            Self::App => "app",
            Self::Kms => "KMS",
            Self::Unknown => "unknown contract",
        }
    }
}

/// How sure what is said of a node, or of a path through it, is; the first is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Its code is known, and its storage holds nothing that was not named.
    Closed,
    /// Its code is known, and its functions and events were believed.
    Getters,
    /// It answers as its kind does, and nobody knows its code.
    ByBehaviour,
    /// Nobody knows what it does.
    Unknown,
}

impl Confidence {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Getters => "getters",
            Self::ByBehaviour => "by-behaviour",
            Self::Unknown => "unknown",
        }
    }
}

/// Who can stop what a node has scheduled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Veto {
    /// Each of them can.
    pub by: Vec<Address>,
    /// By which call.
    pub how: &'static str,
}

/// A contract or a key, and who may act for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Address.
    pub address: Address,
    /// What it is.
    pub kind: Kind,
    /// Version or release, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How sure that is.
    pub confidence: Confidence,
    /// By which it acts.
    pub rules: Vec<Rule>,
    /// By which it approves a hash as an owner of a Safe, besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signs_by: Vec<Rule>,
    /// Whom it calls for everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes_on_to: Option<Address>,
    /// Who can stop what it has scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub veto: Option<Veto>,
    /// It acts for Safes as their module, and makes no other call.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_as_module: bool,
}

impl Node {
    /// A node without rules: nobody acts for it.
    pub const fn new(address: Address, kind: Kind, confidence: Confidence) -> Self {
        Self {
            address,
            kind,
            version: None,
            confidence,
            rules: Vec::new(),
            signs_by: Vec::new(),
            passes_on_to: None,
            veto: None,
            only_as_module: false,
        }
    }

    /// A key.
    pub fn key(address: Address) -> Self {
        let party = Party::Key(address);
        let node = Self::new(address, Kind::Key, Confidence::Closed);
        node.with([Rule::Party { party }])
    }

    /// A contract that nobody knows.
    pub fn unknown(address: Address) -> Self {
        let party = Party::Unknown(address);
        let node = Self::new(address, Kind::Unknown, Confidence::Unknown);
        node.with([Rule::Party { party }])
    }

    /// Adds rules.
    #[must_use]
    pub fn with(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// What it is, in a word with its version or its numbers.
    pub fn label(&self) -> String {
        let quorum = self.rules.iter().find_map(|rule| match rule {
            Rule::KOfN { k, of } => Some(format!("{k}-of-{}", of.len())),
            _ => None,
        });
        match quorum {
            Some(quorum) => format!("{quorum} {}", self.kind.name()),
            None => self.kind.name().to_owned(),
        }
    }
}

/// Who decides about an app's code, apart from one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Domain {
    /// Whoever governs the app.
    App,
    /// Whoever governs the KMS.
    Platform,
    /// Whoever operates the CVM.
    Operator,
    /// Everybody.
    Anybody,
}

impl Domain {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 4] = [Self::App, Self::Platform, Self::Operator, Self::Anybody];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Platform => "platform",
            Self::Operator => "operator",
            Self::Anybody => "anybody",
        }
    }
}

/// What a path changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Any code gets the app's keys.
    AnyCode,
    /// A hash that is allowed, in another version or on another machine.
    ApprovedCode,
    /// What no hash covers.
    Inputs,
    /// Gateway and domains.
    Traffic,
}

impl Class {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AnyCode => "any-code",
            Self::ApprovedCode => "approved-code",
            Self::Inputs => "inputs",
            Self::Traffic => "traffic",
        }
    }
}

/// Something that can be done to an app, and who can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// By whose power.
    pub domain: Domain,
    /// What it changes.
    pub class: Class,
    /// The contract whose state changes; nothing where no chain is involved.
    pub target: Option<Address>,
    /// The call, or what is done.
    pub call: &'static str,
    /// Who can.
    pub by: Rule,
    /// Whether the very hash is in the call: otherwise it can be chosen in the second of the effect.
    pub names_the_hash: bool,
    /// What waits already, where that is what makes the path.
    pub announced: Option<String>,
}

/// Something that a reader has to know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Its code.
    pub code: Code,
    /// Of which contract.
    pub address: Option<Address>,
    /// In a sentence.
    pub text: String,
}

impl Finding {
    /// How grave it is.
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut fields = serializer.serialize_struct("Finding", 4)?;
        fields.serialize_field("code", self.code.name())?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("address", &self.address)?;
        fields.serialize_field("text", &self.text)?;
        fields.end()
    }
}

/// Everything that is known of who may act for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// By address; whoever is not here is unknown.
    pub nodes: BTreeMap<Address, Node>,
    /// What can be done.
    pub effects: Vec<Effect>,
}
