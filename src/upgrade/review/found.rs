//! A transaction that came from somewhere else: decoded by our own interfaces, compared by content with the upgrade
//! that it should be, and never believed.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};
use serde::Serialize;

use crate::chain::{AppQuery, Call, ChainError};
use crate::code::Code;
use crate::safe::{
    Digests, Recognition, SafeDomain, SafeTxFields,
    builder_file::{Batch, Checksum},
    recognise_batch,
};
use crate::upgrade::{
    Proposal, Stop, UpgradeError, World,
    finding::Warning,
    review::{
        CallShown, Problem,
        paper::{show, told},
    },
};

/// Where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Source {
    /// A batch file of the Transaction Builder.
    BuilderFile {
        /// What it calls itself; anybody's words.
        name: String,
        /// It carries a right checksum; without one the wallet warns.
        checksum: bool,
    },
    /// The Safe Transaction Service.
    Service {
        /// Its host.
        host: String,
    },
}

/// One or more transactions that came from somewhere else.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Where from.
    pub source: Source,
    /// Chain id.
    pub chain_id: u64,
    /// The Safe that it says it is for.
    pub safe: Option<Address>,
    /// The transactions; several at one nonce are competitors.
    pub transactions: Vec<FoundTx>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What could not be checked.
    pub unchecked: Vec<String>,
    /// What stands against it.
    pub problems: Vec<Problem>,
}

/// One of them.
#[derive(Debug, Clone, Serialize)]
pub struct FoundTx {
    /// Whether it makes exactly the calls of the upgrade; nothing when there was no upgrade to compare it with.
    pub ours: Option<bool>,
    /// The first thing in which it differs.
    pub difference: Option<String>,
    /// The ten fields, where it has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<SafeTxFields>,
    /// Its hashes, computed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Digests>,
    /// The hash that it is said to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_hash: Option<B256>,
    /// What the service says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posted: Option<Posted>,
    /// Its calls, decoded.
    pub calls: Vec<CallShown>,
}

/// What a service says of a transaction, and what of it is true.
#[derive(Debug, Clone, Serialize)]
pub struct Posted {
    /// It only uses up its nonce.
    pub rejects: bool,
    /// Somebody who may propose has signed it; anybody can post what nobody has signed.
    pub trusted: bool,
    /// The service says that it was executed; the chain knows.
    pub said_executed: bool,
    /// Who is said to have proposed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposer: Option<Address>,
    /// What it says of its origin; anybody's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Owners whose signature recovers to them for the hash computed here.
    pub signed_by: Vec<Address>,
    /// Owners whom the service names for a signature that is not theirs.
    pub not_theirs: Vec<Address>,
}

impl Found {
    pub(super) fn stop(&mut self, code: Code, (what, expected, found): (&str, String, String)) {
        self.problems.push(Problem::Stop(Stop {
            code,
            what: what.to_owned(),
            expected,
            found,
            details: Vec::new(),
            origin: None,
        }));
    }

    pub(super) fn decide(&mut self, code: Code, message: impl Into<String>) {
        self.problems.push(Problem::Decide {
            code: code.to_owned(),
            message: message.into(),
        });
    }

    /// Whether nothing stands against it.
    pub const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Calls that no upgrade makes, and calls that go to more than one contract.
    pub(super) fn judge_calls(&mut self) {
        let calls: Vec<CallShown> = self.transactions.iter().flat_map(|tx| tx.calls.clone()).collect();
        for (index, call) in calls.iter().enumerate() {
            let of_an_upgrade = call.decoded.as_ref().is_some_and(|decoded| decoded.of_an_upgrade);
            if !of_an_upgrade {
                let found = (&*format!("call {index}"), "a call of an upgrade".to_owned(), told(call));
                self.stop(Code::CallRefused, found);
            }
            if !call.value.is_zero() {
                let found = (
                    &*format!("value of call {index}"),
                    "0 wei".to_owned(),
                    format!("{} wei", call.value),
                );
                self.stop(Code::CallRefused, found);
            }
            if !call.to_the_app {
                let app = calls.first().map(|first| first.to.to_string()).unwrap_or_default();
                let found = (&*format!("target of call {index}"), app, call.to.to_string());
                self.stop(Code::ForeignTarget, found);
            }
        }
    }

    /// Without an upgrade to compare with: whether what is called is an app, and whether the Safe owns it.
    ///
    /// # Errors
    /// The chain did not answer.
    pub async fn ask(&mut self, world: &World<'_>) -> Result<(), UpgradeError> {
        let targets = self.transactions.iter().flat_map(|tx| &tx.calls).map(|call| call.to);
        let targets: BTreeSet<Address> = targets.collect();
        let chain = world.chain(self.chain_id).await?;
        for app in targets {
            let query = AppQuery {
                app,
                kms: None,
                hash: None,
                running: None,
                device: None,
                os_image: None,
            };
            match chain.app(&query).await {
                Ok(state) => {
                    if let Some(safe) = self.safe.filter(|safe| *safe != state.owner) {
                        let found = ("owner of the app", safe.to_string(), state.owner.to_string());
                        self.stop(Code::OwnerMismatch, found);
                    }
                }
                Err(ChainError::NotAnApp { .. }) => {
                    self.stop(
                        Code::NotAnApp,
                        ("target", "an app's contract".to_owned(), app.to_string()),
                    );
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Nobody is asked.
    pub fn stay_offline(&mut self) {
        self.unchecked
            .push("whether the target is an app, and whether this Safe owns it".to_owned());
    }
}

/// A batch file that somebody sent, compared with the upgrade that it should be, if one is named. Pure.
pub fn review_batch((file, checksum): (&Batch, Checksum), proposal: Option<&Proposal>) -> Found {
    let apps = proposal.map_or_else(
        || file.calls.first().map(|call| call.to).into_iter().collect(),
        Proposal::addresses,
    );
    let mut found = Found {
        source: Source::BuilderFile {
            name: file.name.clone(),
            checksum: checksum == Checksum::Right,
        },
        chain_id: file.chain_id,
        safe: file.safe,
        transactions: vec![FoundTx {
            ours: None,
            difference: None,
            fields: None,
            hashes: None,
            claimed_hash: None,
            posted: None,
            calls: file.calls.iter().map(|call| show(call, &apps)).collect(),
        }],
        warnings: Vec::new(),
        unchecked: vec![
            "its nonce and its hash: the wallet chooses the nonce when the file is imported, so compare the device with \
             a review of the transaction that comes of it"
                .to_owned(),
        ],
        problems: Vec::new(),
    };
    found.remark(file, checksum);
    let Some(proposal) = proposal else {
        found.judge_calls();
        found
            .unchecked
            .push("whether its compose hash is the right one: no proposal was named to compare it with".to_owned());
        return found;
    };
    let difference = difference(file, proposal);
    if let Some(difference) = &difference {
        let told = ("calls of the file", calls(&proposal.calls), difference.clone());
        found.stop(Code::BatchDiffers, told);
        found.judge_calls();
    }
    for tx in &mut found.transactions {
        tx.ours = Some(difference.is_none());
        tx.difference.clone_from(&difference);
    }
    found
}

impl Found {
    fn remark(&mut self, file: &Batch, checksum: Checksum) {
        let mut warn = |code: Code, text: &str| {
            self.warnings.push(Warning {
                code: code.to_owned(),
                text: text.to_owned(),
            });
        };
        if checksum == Checksum::Missing {
            warn(
                Code::NoChecksum,
                "the file has no checksum; the wallet warns when it is imported",
            );
        }
        if file.safe.is_none() {
            warn(
                Code::NoSafeNamed,
                "the file does not say for which Safe it is; it can be imported into any",
            );
        }
    }
}

/// The first thing in which the file is not the upgrade.
fn difference(file: &Batch, proposal: &Proposal) -> Option<String> {
    let plan = &proposal.plan;
    let Some(safe) = &plan.safe else {
        return Some(format!("who has to act is {}, which is no Safe", plan.asked_address()));
    };
    let domain = SafeDomain {
        chain_id: plan.chain_id,
        safe: safe.address,
        version: safe.version,
    };
    match recognise_batch(file, &domain, &proposal.expected_calls()) {
        Recognition::Same => None,
        Recognition::Different(difference) => Some(difference.to_string()),
        Recognition::NotOurs => Some("it calls something else altogether".to_owned()),
    }
}

fn calls(all: &[Call]) -> String {
    let told: Vec<String> = all.iter().map(|call| told(&show(call, &[call.to]))).collect();
    told.join("; ")
}
