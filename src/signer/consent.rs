//! What a person agrees to, as data: only the command line sets it as text.

use std::fmt;

use alloy::primitives::{Address, B256};
use serde::Serialize;

use crate::code::Code;
use crate::safe::Digests;
use crate::safe::effects::Effect;

/// What a person agrees to.
#[derive(Debug, Clone, Default)]
pub struct Consent {
    /// One line, a question.
    pub question: String,
    /// Where it happens and to what: chain, Safe, app, CVM.
    pub subject: Vec<Fact>,
    /// What takes effect, read from the very bytes that are signed; nothing where nothing is signed.
    pub effects: Vec<Effect>,
    /// What else has to be known.
    pub facts: Vec<Fact>,
    /// The hashes that devices and wallets show before they sign a Safe transaction.
    pub digests: Option<Digests>,
    /// What a general yes does not answer, and nobody agreed to by name yet.
    pub decisions: Vec<Decision>,
    /// What a key does after it; nothing where none is used.
    pub acting: Option<Acting>,
}

/// What a key does once somebody agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acting {
    /// What it does.
    pub act: Act,
    /// Whose key.
    pub from: Address,
    /// On which chain it counts.
    pub chain_id: u64,
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// It signs a document.
    Sign,
    /// It signs a transaction, which is sent.
    Send,
}

/// Something that has to be agreed to by the name of what it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// Stable code.
    pub code: Code,
    /// What has to be named: an address, or a CVM as it was named.
    pub value: String,
    /// What it is, in a sentence.
    pub what: String,
}

/// One fact under its own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is.
    pub name: Name,
    /// Of which of several apps, counted from one; zero where there is only one.
    pub app: usize,
    /// As people write it.
    pub value: String,
}

/// What a fact is. No two things have one name: the nonce of a Safe is another number than that of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Name {
    /// Chain id.
    Chain,
    /// An app's contract.
    App,
    /// A CVM.
    Cvm,
    /// Several CVMs.
    Cvms,
    /// A Safe and its version.
    Safe,
    /// A timelock.
    Timelock,
    /// A KMS's contract.
    Kms,
    /// Nonce of a Safe.
    SafeNonce,
    /// Nonce of the key that sends.
    KeyNonce,
    /// Whether a Safe calls or lets other code run in its place.
    SafeOperation,
    /// The owners that signed.
    SignedBy,
    /// The owners that approved on chain.
    ApprovedBy,
    /// Signatures that a Safe asks for.
    Threshold,
    /// ERC-8213 digest of the data that a Safe's owners sign, or that a key's transaction carries.
    DigestOfCall,
    /// ERC-8213 digest of the `execTransaction` that a key's transaction carries.
    DigestOfExecution,
    /// ERC-8213 digest of the `approveHash` that a key's transaction carries.
    DigestOfApproval,
    /// Calldata.
    Calldata,
    /// A timelock's operation.
    OperationId,
    /// How long a timelock waits.
    Delay,
    /// What an owner that is a Safe approves.
    Approves,
    /// As whom somebody approves.
    ApprovesAs,
    /// As whom somebody executes.
    ExecutesAs,
    /// The CVM that a commit makes.
    Makes,
    /// Fields of the manifest that change.
    Changes,
    /// Images of the manifest before.
    ImagesBefore,
    /// Images of the manifest after.
    ImagesAfter,
    /// Something that changes and that no hash covers.
    Uncovered,
    /// Most that a transaction costs.
    CostsAtMost,
    /// What of it is for keeping its data.
    DataCost,
    /// Most that a transaction's gas costs.
    GasCostsAtMost,
    /// Most that it costs with all that was signed before for the same end.
    CostsTogether,
    /// A compose hash.
    ComposeHash,
    /// A transaction of a chain.
    Transaction,
    /// A node.
    Node,
    /// Names of the environment.
    Variables,
    /// Code of a contract.
    Code,
    /// A Safe Transaction Service.
    Service,
    /// The hash of a Safe transaction.
    SafeTxHash,
    /// EIP-712 domain hash.
    DomainHash,
    /// EIP-712 message hash.
    MessageHash,
    /// Who may propose.
    Delegate,
    /// In whose name.
    Delegator,
    /// What somebody calls it.
    Label,
    /// That a wallet was asked for the same before.
    AskedBefore,
    /// A field of the cloud's, or a word of a command's own.
    Other(&'static str),
}

impl Consent {
    /// A question with facts, about something that nobody signs.
    pub fn ask(question: impl Into<String>, facts: Vec<Fact>) -> Self {
        Self {
            question: question.into(),
            facts,
            ..Self::default()
        }
    }
}

impl Fact {
    /// A fact.
    pub fn new(name: Name, value: impl ToString) -> Self {
        Self {
            name,
            app: 0,
            value: value.to_string(),
        }
    }

    /// Sets which of several apps the fact is of, counted from one.
    #[must_use]
    pub fn of_app(self, app: usize) -> Self {
        Self { app, ..self }
    }

    /// Its name for people.
    pub fn label(&self) -> String {
        match self.app {
            0 => self.name.to_string(),
            app => format!("{} ({app})", self.name),
        }
    }
}

/// The hashes of a Safe transaction, in the order in which devices and wallets show them.
pub fn digest_facts(digests: &Digests) -> [Fact; 4] {
    let fact = |name, hash: B256| Fact::new(name, hash);
    [
        fact(Name::DomainHash, digests.domain),
        fact(Name::MessageHash, digests.message),
        fact(Name::SafeTxHash, digests.safe_tx),
        fact(Name::DigestOfCall, digests.data),
    ]
}

impl Decision {
    /// Whether somebody named what it is about. Hexadecimal digits are the same in either case.
    pub fn is_named_by(&self, answer: &str) -> bool {
        let value = self.value.as_str();
        answer == value || (value.starts_with("0x") && answer.eq_ignore_ascii_case(value))
    }
}

impl Acting {
    /// That `from` signs a document for this chain.
    pub const fn signs(from: Address, chain_id: u64) -> Self {
        Self {
            act: Act::Sign,
            from,
            chain_id,
        }
    }

    /// That `from` sends a transaction on this chain.
    pub const fn sends(from: Address, chain_id: u64) -> Self {
        Self {
            act: Act::Send,
            from,
            chain_id,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.code, self.value)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "chain",
            Self::App => "app",
            Self::Cvm => "CVM",
            Self::Cvms => "CVMs",
            Self::Safe => "Safe",
            Self::Timelock => "timelock",
            Self::Kms => "KMS",
            Self::SafeNonce => "Safe nonce",
            Self::KeyNonce => "key nonce",
            Self::SafeOperation => "Safe operation",
            Self::SignedBy => "signed so far",
            Self::ApprovedBy => "approved on chain",
            Self::Threshold => "signatures needed",
            Self::DigestOfCall => "digest of the call",
            Self::DigestOfExecution => "digest of execTransaction",
            Self::DigestOfApproval => "digest of approveHash",
            Self::Calldata => "calldata",
            Self::OperationId => "operation id",
            Self::Delay => "delay",
            Self::Approves => "approves",
            Self::ApprovesAs => "approves as",
            Self::ExecutesAs => "executes as",
            Self::Makes => "makes",
            Self::Changes => "changes",
            Self::ImagesBefore => "images before",
            Self::ImagesAfter => "images after",
            Self::Uncovered => "no hash covers",
            Self::CostsAtMost => "costs at most",
            Self::DataCost => "of it for its data",
            Self::GasCostsAtMost => "gas costs at most",
            Self::CostsTogether => "with what was signed before",
            Self::ComposeHash => "compose hash",
            Self::Transaction => "transaction",
            Self::Node => "node",
            Self::Variables => "variables",
            Self::Code => "its code",
            Self::Service => "service",
            Self::SafeTxHash => "safeTxHash",
            Self::DomainHash => "domain hash",
            Self::MessageHash => "message hash",
            Self::Delegate => "delegate",
            Self::Delegator => "in the name of",
            Self::Label => "called",
            Self::AskedBefore => "ASKED BEFORE",
            Self::Other(name) => name,
        })
    }
}
